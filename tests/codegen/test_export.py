"""Exported modules: they run without symgraph, check their arguments, keep parameters, and are never half-written."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from codegen.export import quoted
from symgraph import CompileError, optim
from symgraph.dims import dim

_serial = itertools.count()


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"exported_{next(_serial)}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ruff(path: Path) -> None:
    """The rules that ruff applies without any configuration."""
    pytest.importorskip("ruff")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + path.read_text()


def regression(name: str = "train_step") -> tuple[Any, Any]:
    x, y = sg.symbol("x", ("batch", 3), "float32"), sg.symbol("y", ("batch",), "float32")
    w, b = sg.parameter(np.full(3, 0.5, "f4"), "w"), sg.parameter(np.float32(0), "b")
    loss = sg.named(((x @ w + b - y) ** 2).mean(), "loss")
    return sg.function([x, y], loss, optim.adam([w, b], sg.grad(loss, [w, b])), name=name), [w, b]


X = np.random.default_rng(0).normal(size=(20, 3)).astype("f4")
Y = (X @ np.array([1, -2, 3], "f4") + 1).astype("f4")


def test_the_module_does_what_the_function_does_bit_for_bit(tmp_path: Path) -> None:
    step, parameters = regression()
    step.export(tmp_path / "step.py")
    module = load(tmp_path / "step.py")
    for _ in range(5):
        assert module.train_step(X, Y) == step(X, Y)
    for p in parameters:
        assert np.array_equal(getattr(module, p.name), p.value)
    body = step.source.split("\n\n\n", 1)[1]
    assert body.strip() in (tmp_path / "step.py").read_text()
    assert module.train_step.__doc__ and "x (batch, 3) float32" in module.train_step.__doc__
    ruff(tmp_path / "step.py")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["step.npz", "step.py"]


def test_it_runs_where_symgraph_cannot_be_imported(tmp_path: Path) -> None:
    step, (w, _) = regression()
    step.export(str(tmp_path / "step.py"))
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    program = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("symgraph", "codegen"):
            raise ImportError(name)
sys.meta_path.insert(0, Missing())
sys.path.insert(0, sys.argv[1])
import numpy as np, step
data = np.load(sys.argv[1] + "/data.npz")
for _ in range(3):
    loss = step.train_step(data["x"], data["y"])
assert not {"symgraph", "codegen"} & set(sys.modules)
print(step.w.tobytes().hex())
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for _ in range(3):
        step(X, Y)
    assert done.stdout.strip() == w.value.tobytes().hex()


def test_arguments_are_checked(tmp_path: Path) -> None:
    step, _ = regression()
    step.export(tmp_path / "step.py")
    f, before = (module := load(tmp_path / "step.py")).train_step, load(tmp_path / "step.py").w
    for arguments, error, message in [
        ((X.astype("f8"), Y), TypeError, "x is float64; as float32 it could lose values"),
        ((X[0], Y), ValueError, "x has shape (3,), but 2 axes are expected"),
        ((X[:, :2], Y), ValueError, "x has shape (20, 2) but (batch, 3) is expected"),
        ((X, Y[:7]), ValueError, "y has shape (7,) but (batch,) is expected (x has batch=20)"),
        ((X, np.array(["a"])), TypeError, "y must hold float32 numbers, not <U1"),
        ((X, [None] * 20), TypeError, "y must hold float32 numbers, not object"),
    ]:
        with pytest.raises(error) as info:
            f(*arguments)
        assert str(info.value) == message
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        f(X)
    assert np.array_equal(module.w, before)
    assert f(x=X.tolist(), y=Y.tolist()) == step(X, Y)
    assert f(X.astype("f2"), Y) == step(X.astype("f2"), Y)


def test_integers_lists_and_ranges(tmp_path: Path) -> None:
    n = sg.symbol("n", ("k",), "int8")
    f = sg.function([n], n + 1, name="next")
    f.export(tmp_path / "m.py")
    g = load(tmp_path / "m.py").next_
    assert g([1, 2]).dtype == np.int8 and g([]).shape == (0,)
    with pytest.raises(TypeError, match="out of the range of int8"):
        g([300])
    with pytest.raises(TypeError, match="float64"):
        g([1.5])
    with pytest.raises(TypeError, match="int64"):
        g(np.array([1]))


def test_sizes_that_are_expressions_and_named_dimensions_that_must_agree(tmp_path: Path) -> None:
    n = dim("n")
    x, y = sg.symbol("x", (n,)), sg.symbol("y", (n + 1, 2))
    sg.function([x, y], x.sum() + y.sum(), name="f").export(tmp_path / "f.py")
    f = load(tmp_path / "f.py").f
    assert f(np.ones(2), np.ones((3, 2))) == 8
    with pytest.raises(ValueError, match=r"y has shape \(2, 2\) but \(n \+ 1, 2\) is expected \(x has n=2\)"):
        f(np.ones(2), np.ones((2, 2)))
    a, b = sg.symbol("a", ("rows",)), sg.symbol("b", ("lines",))
    sg.function([a, b], a * b, name="g").export(tmp_path / "g.py")
    g = load(tmp_path / "g.py").g
    with pytest.raises(
        ValueError, match=r"a has rows=2 but b has lines=3 \(used together by a \* b, test_export.py:\d+\)"
    ):
        g(np.ones(2), np.ones(3))
    ruff(tmp_path / "f.py")
    ruff(tmp_path / "g.py")


def test_save_and_load_again(tmp_path: Path) -> None:
    step, _ = regression()
    step.export(tmp_path / "step.py")
    module = load(tmp_path / "step.py")
    module.train_step(X, Y)
    module.save()
    assert np.array_equal(load(tmp_path / "step.py").w, module.w)
    module.train_step(X, Y)
    module.save(tmp_path / "other.npz")
    with np.load(tmp_path / "other.npz") as arrays:
        assert np.array_equal(arrays["w"], module.w)
    with pytest.raises(FileNotFoundError):
        module.save(tmp_path / "nowhere" / "p.npz")
    assert [p.name for p in tmp_path.iterdir() if "tmp" in p.name] == []


def test_constants_live_beside_the_source_and_without_arrays_there_is_no_npz(tmp_path: Path) -> None:
    x = sg.symbol("x", (40,))
    sg.function([x], x * np.arange(40.0), name="scaled").export(tmp_path / "a.py")
    module = load(tmp_path / "a.py")
    assert np.array_equal(module.scaled(np.ones(40)), np.arange(40.0)) and not hasattr(module, "save")
    assert (tmp_path / "a.npz").exists()
    sg.function([x], x + np.array([1.0]), name="plain").export(tmp_path / "b.py")
    assert not (tmp_path / "b.npz").exists()
    assert load(tmp_path / "b.py").plain(np.ones(40))[0] == 2
    sg.function([], sg.constant(2.0) * 3, name="six").export(tmp_path / "c.py")
    assert load(tmp_path / "c.py").six() == 6


@pytest.mark.parametrize(
    "names", [["save", "os", "np"], ["file", "file_2", "allow_pickle"], ["path", "temporary", "PARAMETERS"],
              ["checked", "as_array", "wraps"], ["call", "function", "class"], ["x); import os", "σ", '"""'],
              ["arrays", "{x}", "</script>"]]
)  # fmt: skip
def test_hostile_and_unlucky_names(tmp_path: Path, names: list[str]) -> None:
    parameters = [sg.parameter(np.full(2, float(i)), name) for i, name in enumerate(names, 1)]
    x = sg.symbol(names[0], (names[1],))
    total = sg.named(x * parameters[0] + parameters[1] * parameters[2], names[2])
    f = sg.function([x], total, {p: p + 1 for p in parameters}, name=names[1])
    f.export(tmp_path / "m.py")
    module = load(tmp_path / "m.py")
    g = getattr(module, f.name)
    assert g([1.0, 1.0]).tolist() == f([1.0, 1.0]).tolist()
    saver = next(
        v for k, v in vars(module).items() if k.startswith("save") and callable(v) and v.__module__ == module.__name__
    )
    saver()
    again = load(tmp_path / "m.py")
    assert getattr(again, f.name)([1.0, 1.0]).tolist() == f([1.0, 1.0]).tolist()
    with pytest.raises(TypeError):
        g(["no"])
    ruff(tmp_path / "m.py")


def test_bad_paths_leave_nothing_behind(tmp_path: Path) -> None:
    step, _ = regression()
    for path, error, message in [
        (tmp_path / "step", CompileError, "must end in .py"),
        (tmp_path / "numpy.py", CompileError, "would hide the numpy it imports"),
        (tmp_path / "no" / "step.py", FileNotFoundError, "no directory"),
    ]:
        with pytest.raises(error, match=message):
            step.export(path)
    (tmp_path / "d.py").mkdir()
    with pytest.raises(IsADirectoryError):
        step.export(tmp_path / "d.py")
    assert [p.name for p in tmp_path.iterdir()] == ["d.py"]


def test_a_failure_while_writing_keeps_the_earlier_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, _ = regression()
    step.export(tmp_path / "step.py")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    step(X, Y)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        step.export(tmp_path / "step.py")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_same_export_has_the_same_bytes(tmp_path: Path) -> None:
    step, _ = regression()
    step.export(tmp_path / "a.py")
    os.makedirs(tmp_path / "again")
    step.export(tmp_path / "again" / "a.py")
    for name in ("a.py", "a.npz"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    "text", ["", "x", 'a"b', "it's", "a\\b", "two\nlines", "\x00\x01\u2028", "σ 🙂", "\ud800", "{x}"]
)
def test_quoted_text_is_read_back(text: str) -> None:
    assert eval(quoted(text)) == text
    assert "\n" not in quoted(text)
    if text.isascii() and text.isprintable():
        assert quoted(text) == json.dumps(text)


@pytest.mark.parametrize(
    "name", ["w", "array", "name", "dtype", "lock", "Shield", "starts", "code", "check_parameters"]
)
def test_parameters_that_cannot_be_updated_are_refused_before_anything_is_computed(tmp_path: Path, name: str) -> None:
    x, w, b = sg.symbol("x", (3,)), sg.parameter(np.zeros(3), name), sg.parameter(np.zeros(3), "b")
    sg.function([x], x @ w, {b: b + x.sum(), w: w - x.sum()}, name="step").export(tmp_path / "m.py")
    module = load(tmp_path / "m.py")
    mine = getattr(module, name)
    mine.flags.writeable = False
    with pytest.raises(ValueError, match=f"the parameter {name} is to be updated, but its array is read-only"):
        module.step(np.ones(3))
    for other in (np.zeros(4), np.zeros(3, "f4"), [0.0, 0.0, 0.0]):
        setattr(module, name, other)
        with pytest.raises(
            ValueError, match=rf"the parameter {name} must be an array of dtype float64 and shape \(3,\)"
        ):
            module.step(np.ones(3))
    assert not mine.any() and not module.b.any()
    setattr(module, name, np.zeros(6)[::2])  # a view will do
    module.step(np.ones(3))
    assert np.array_equal(module.b, [3, 3, 3]) and np.array_equal(getattr(module, name), [-3, -3, -3])
    ruff(tmp_path / "m.py")


def test_calls_of_a_module_from_several_threads_take_turns(tmp_path: Path) -> None:
    x, w = sg.symbol("x", (3,)), sg.parameter(np.zeros(3), "w")
    sg.function([x], w.sum(), {w: w + x}, name="step", style="plain").export(tmp_path / "m.py")
    module = load(tmp_path / "m.py")
    with ThreadPoolExecutor(8) as pool:
        totals = sorted(pool.map(lambda _: float(module.step(np.ones(3))), range(400)))
    assert totals == [3.0 * k for k in range(400)]
