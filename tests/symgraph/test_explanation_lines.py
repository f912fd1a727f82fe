"""Every generated statement has a user's line or says what it is for, on the golden models, in every style; and back."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import Constant, Leaf, toposort
from symgraph.explaining.source_map import located

REASONS = {
    "signature", "buffers", "workspace", "warnings that are harmless", "sizes", "parameters", "array for a result",
    "results", "constant", "where math raises",
}  # fmt: skip


def _golden():
    """The models of the golden sources."""
    path = Path(__file__).parents[1] / "codegen" / "test_source.py"
    spec = importlib.util.spec_from_file_location("golden_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MODELS


def _others():
    a, v = sg.symbol("a"), sg.symbol("v", ("n",))
    M = sg.symbol("M", ("n", "n"))
    Q, R = sg.linalg.qr(M)
    chosen = sg.cond(a > 0, lambda u: sg.sin(u) * 2, lambda u: u - 1, v)
    return {
        "scalar": lambda: sg.function([a], sg.grad(sg.sin(a) + sg.log(a), a)),
        "side": lambda: sg.function([a], sg.where(a > 0, sg.log(a) * sg.sin(sg.log(a)), a**3)),
        "cond": lambda: sg.function([a, v], [chosen, sg.grad(chosen.sum(), v)]),
        "several": lambda: sg.function([M], [Q @ Q, R]),
        "constants": lambda: sg.function([v], [(v[:3] * np.arange(3.0)).sum(), sg.constant(np.arange(100.0))]),
        "nothing": lambda: sg.function([v], [v, v + 0]),
        "hessian": lambda: sg.function([v], sg.hessian((sg.tanh(v) ** 2).sum(), v)),
    }


MODELS = _golden() | _others()


def styled(f, style, optimize=True):
    count = len(f.program.outputs)
    updates = {p: new for (p, _), new in zip(f.program.updates, f.written[count:], strict=True)}
    return sg.function(
        list(f.program.inputs), list(f.written[:count]), updates=updates, name=f.name, style=style, optimize=optimize
    )


@pytest.mark.parametrize(("style", "optimize"), [("fast", True), ("plain", True), ("fast", False)])
@pytest.mark.parametrize("name", MODELS)
def test_every_statement_comes_from_somewhere(name, style, optimize):
    f = styled(MODELS[name](), style, optimize)
    found = f.trace()
    mine = {f.name, f"{f.name}_numpy", f"{f.name}_buffers"}
    module = ast.parse(f.source)
    own = [
        s for s in module.body
        if isinstance(s, ast.FunctionDef) and (s.name in mine or s.name.startswith((f"{f.name}_block", "body")))
    ]  # fmt: skip
    assert own
    for statement in [n for s in own for n in ast.walk(s) if isinstance(n, ast.stmt | ast.ExceptHandler)]:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        row = found.at(statement.lineno)
        assert row is not None, ast.unparse(statement)
        assert row.where or row.reason in REASONS, row
        assert not (row.reason and statement.lineno in _computing(f)), row
    for row in found.rows:
        assert all(w.file.endswith(".py") and w.line > 0 for w in row.where), row


def _computing(f):
    """The lines whose statement the emitter made for a node."""
    shift = f.source.count("\n", 0, f.source.index(f.details.function))
    return {line + shift for line in f.details.lines}


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("name", MODELS)
def test_and_back(name, style):
    f = styled(MODELS[name](), style)
    found = f.trace()
    for node in toposort(f.written):
        rows = found.of(node)
        if not isinstance(f.became[node].op, Leaf | Constant):
            assert rows, node
        if node in found.own and node.leafy and not isinstance(f.became[node].op, Leaf | Constant):
            assert any(node.where in row.where for row in rows if not row.reason), node
    lines = {w for row in found.rows if not row.reason for w in row.where}
    for where in lines:
        assert found.of(where) and found.of(where) == found.of(f"{where.file}:{where.line}")
        assert all(where in row.where for row in found.of(where))


def test_the_lines_are_those_of_the_statement():
    x = sg.symbol("x", ("n", 4))
    W = sg.symbol("W", (4, 3))
    h = sg.tanh(x @ W)
    total = h.sum()
    f = sg.function([x, W], total, style="plain")
    rows = {row.text: row for row in f.trace().rows if not row.reason}
    lines = {w.line for row in rows.values() for w in row.where}
    assert lines == {h.where.line, total.where.line}
    (row,) = rows.values()
    assert row.text == "return np.tanh(x @ W).sum()" and row.where[0] == total.where
    assert str(f.trace()).split("\n")[-1].endswith(f"test_explanation_lines.py:{total.where.line}, {h.where.line}")


def test_constants_of_other_models_have_no_lines_here():
    """`1 / n` exists once for all models: it belongs to the line that uses it, not to where it was first written."""
    n = sg.symbol("x", ("n",))
    first = 1 / n.shape[0] * sg.sin(n)
    x = sg.symbol("x", ("n",))
    second = 1 / x.shape[0] * sg.cos(x)
    f = sg.function([x], second, style="plain")
    assert first.where != second.where
    assert {w for row in f.trace().rows for w in row.where} == {second.where}


def test_several_lines_of_several_files_are_told_shortly():
    at = [sg.symbol("x").where._replace(file=f, line=n) for f, n in (("a.py", 1), ("b.py", 2), ("a.py", 3))]
    assert located(at) == "a.py:1, 3; b.py:2"
