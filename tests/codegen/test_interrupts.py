"""Ctrl-C at any moment: all updates of a call are written or none, and the next call finds everything in order."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from codegen.writes import first_write

HEAD = """
import os, random, signal, sys, threading, time
import numpy as np
import symgraph as sg
from symgraph import optim

signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in what a shell runs in the background
random.seed(int(sys.argv[1]))
go = threading.Event()

def send():
    while True:
        go.wait()
        go.clear()
        time.sleep(random.random() * span)
        os.kill(os.getpid(), signal.SIGINT)

def interrupted(call, times):
    # how often `call` is interrupted by a signal at a random moment
    global span
    begin = time.perf_counter()
    for _ in range(20):
        call()
    span = (time.perf_counter() - begin) / 10
    threading.Thread(target=send, daemon=True).start()
    for _ in range(times):
        go.set()
        try:
            while True:
                call()
        except KeyboardInterrupt:
            pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        yield

x = sg.symbol("x", ("n", 50))
params = [sg.parameter(np.zeros(shape), f"p{i}") for i, shape in enumerate([(50,), (3000, 50), (), (50, 50), (7,)])]
one = sg.sign(sg.tanh(x).mean())
updates = {p: p + one for p in params}
data = np.ones((int(sys.argv[2]), 50))
"""


def run(body: str, *arguments: object) -> str:
    program = HEAD + textwrap.dedent(body)
    command = [sys.executable, "-c", program, *[str(a) for a in arguments]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("rows", "options"), [(4, ""), (4, ", style='plain'"), (3000, ""), (3000, ", threads=4, tile=2000")]
)
def test_updates_are_all_written_or_none(rows: int, options: str) -> None:
    out = run(
        f"""
        f = sg.function([x], one, updates{options})
        done = []
        for _ in interrupted(lambda: f(data), 150):
            values = {{float(v) for p in params for v in np.unique(p.value)}}
            assert len(values) == 1, values
            done.append(values.pop())
        before = done[-1]
        f(data)
        assert all((p.value == before + 1).all() for p in params)
        print("counted", len(done))
        """,
        rows,
        rows,
    )
    assert out == "counted 150\n"


def test_the_updates_of_an_exported_module(tmp_path: Path) -> None:
    run(
        f"""
        sg.function([x], one, updates, name="step", threads=4, tile=2000).export({str(tmp_path / "made.py")!r})
        sys.path.insert(0, {str(tmp_path)!r})
        import made
        for _ in interrupted(lambda: made.step(data), 100):
            values = {{float(v) for p in params for v in np.unique(getattr(made, p.name))}}
            assert len(values) == 1, values
        """,
        1,
        3000,
    )


def test_results_that_are_donated_are_all_written_or_none() -> None:
    run(
        """
        f = sg.function([x], [x + params[0], x * params[0] + 1, one], updates)
        out = [np.zeros_like(data), np.ones_like(data), np.array(0.0)]
        for _ in interrupted(lambda: f(data, out=out), 100):
            now = params[0].value[0]
            assert np.unique(out[0]).tolist() == [now], (out[0], now)  # 1 + the value before the last call
            assert np.unique(out[1]).tolist() == [now]
        """,
        2,
        3000,
    )


def test_an_interrupt_before_the_updates_comes_at_once_and_changes_nothing() -> None:
    out = run(
        """
        class Interrupting:
            def __getattr__(self, name):
                return getattr(np, name)
            def tanh(self, *args, **options):
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(10):
                    time.sleep(0.01)
                print("it went on")
        f = sg.function([x], one, updates)
        scope = f._function.__globals__
        scope["np"] = Interrupting()
        try:
            f(data)
        except KeyboardInterrupt:
            print("interrupted")
        assert not any(p.value.any() for p in params)
        scope["np"] = np
        f(data)
        assert all((p.value == 1).all() for p in params)
        """,
        3,
        4,
    )
    assert out == "interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to the process itself")
@pytest.mark.parametrize("raising", [False, True])
def test_handlers_of_the_users_own(raising: bool) -> None:
    """They are called at once before the updates and after them in their midst, and stand when the call is over."""
    x = sg.symbol("x", ("n",))
    parameters = [sg.parameter(np.zeros(3), f"p{i}") for i in range(3)]
    f = sg.function([x], sg.tanh(x).sum(), {p: p + sg.tanh(x).sum() for p in parameters})
    assert not f._kept.whole
    seen: list[list[float]] = []

    def handler(number: int, frame: object) -> None:
        seen.append([float(p._array[0]) for p in parameters])
        if raising:
            raise LookupError("the user's")

    class Interrupting:
        """NumPy, but for a signal that arrives when `name` has run."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, name: str) -> Any:
            found = getattr(np, name)

            def call(*args: Any, **options: Any) -> Any:
                result = found(*args, **options)
                os.kill(os.getpid(), signal.SIGINT)
                return result

            call.reduce = getattr(found, "reduce", None)  # type: ignore[attr-defined]
            return call if name == self.name else found

    before = signal.signal(signal.SIGINT, handler)
    try:
        for name, at in [("tanh", 0.0), ("add", 1.0)]:
            for p in parameters:
                p.value = np.zeros(3)
            seen.clear()
            f._function.__globals__["np"] = Interrupting(name)
            with pytest.raises(LookupError) if raising else nullcontext():
                f([np.arctanh(0.5), np.arctanh(0.5)])
            assert signal.getsignal(signal.SIGINT) is handler
            assert seen and all(values == [at] * 3 for values in seen)
            assert [float(p.value[0]) for p in parameters] == ([at] * 3 if raising else [1.0] * 3)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_of_several_threads_leaves_none_at_work() -> None:
    run(
        """
        f = sg.function([x], [sg.exp(-x * x) + sg.tanh(x), sg.sin(x).sum()], threads=4, tile=500)
        g = sg.function([x], [sg.exp(-x * x) + sg.tanh(x), sg.sin(x).sum()], threads=1, tile=500)
        a = np.random.default_rng(0).normal(size=data.shape)
        wanted = g(a)
        for _ in interrupted(lambda: f(a), 150):
            found = f(a)
            assert np.array_equal(found[0], wanted[0]) and found[1] == wanted[1]
        import _thread
        assert _thread._count() <= 5
        """,
        4,
        3000,
    )


# Where writing begins ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("t = np.dot(x, W)\nreturn t", None),
        ("np.add(W, x, out=W)", (1, True)),
        ("t = np.exp(x)\nnp.add(W, t, out=W)\nnp.add(b, t, out=b)", (2, False)),
        ("W[...] = x\nb[...] = W2", (1, True)),
        ("W[...] = np.exp(x)\nb[...] = t", (1, True)),  # all calls come before the first assignment
        ("W[...] = t\nb[...] = np.exp(x)", (1, False)),
        ("W -= x\nb -= 2 * x", (1, True)),
        ("t, W[...] = np.frexp(x)", (1, True)),
        ("np.copyto(W, x)\nt = np.sum(x)", (1, True)),
        ("np.add.at(W, x, 1)\nW.sort()", (1, False)),
        ("view = W[1:]\nt = 1\nview[...] = np.exp(x)\nb[...] = np.exp(x)", (3, False)),
        ("view = W.T.reshape(3)\nnp.add(view, 1, out=view)\nb[...] = 1", (2, False)),
        ("helper(W)", (1, False)),
        ("t = 1\nloop(quiet, x)\nreturn t", None),
        ("t = 1\nloop(kernel, x)\nreturn t", (2, False)),  # the kernel writes a parameter, which is a global
        ("for i in range(3):\n    t = i\n    W[i] = t\nreturn 1", (1, False)),
        ("with errstate():\n    t = 1\n    W[...] = t\n    return 1", (3, True)),
        ("try:\n    t = 1\nexcept ValueError:\n    t, W[...] = again(x)\n    return t\nW[...] = t", (4, True)),
    ],
)
def test_where_writing_begins(body: str, expected: tuple[int, bool] | None) -> None:
    text = (
        "import numpy as np\n\n\ndef f(x):\n" + textwrap.indent(body, "    ") + "\n\n"
        "def helper(p):\n    p += 1\n\n"
        "def again(x):\n    return np.exp(x), 1\n\n"
        "def quiet(x):\n    return W + x\n\n"
        "def kernel(x):\n    np.add(W, x, out=W)\n\n"
        "def loop(k, x):\n    k(x)\n"
    )
    ast.parse(text)
    assert first_write(text, "f", ["W", "b"]) == expected


def test_a_shield_stands_only_where_it_is_needed() -> None:
    x = sg.symbol("x", ("n",))
    w, b = sg.parameter(np.zeros(3), "w"), sg.parameter(np.zeros(3), "b")
    s, t = sg.parameter(0.0, "s"), sg.parameter(0.0, "t")
    y = sg.symbol("y")
    assert sg.function([x], [], {w: w + x.sum()})._kept.whole
    assert not sg.function([x], [], {w: w + x.sum(), b: b * x.sum()})._kept.whole
    assert sg.function([y], [], {s: s + y, t: t * y})._kept.whole
    assert sg.function([x], x.sum() * w)._kept.whole
