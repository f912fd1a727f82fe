"""Bad input is a clear error, as early as it can be known: what was tried, the operands, the line, the rule, the remedy."""

import ast
import re
import sys

import numpy as np
import pytest

import symgraph as sg
from codegen.names import identifier
from symgraph.core import symbol

HERE = r"test_bad_input\.py:\d+"


def here(lines=1):
    """The user's file and line, `lines` below the call, as messages write it."""
    return f"test_bad_input.py:{sys._getframe(1).f_lineno + lines}"


x, y = symbol("x", ("batch", 64)), symbol("W", (32, 10))
s = symbol("s")
k = symbol("k", 3, "int64")
v = symbol("v", 3)


# While the graph is built --------------------------------------------------------------------------------------------


def test_a_wrong_shape_is_an_error_at_the_users_line():
    with pytest.raises(sg.ShapeError) as caught:
        line = here()
        x @ y
    text = str(caught.value)
    assert text.startswith(f"{line}: matmul of x (batch, 64) float64 and W (32, 10) float64: ")
    assert "64" in text and "32" in text
    assert re.search(rf"made: x at {HERE}, W at {HERE}", text)


@pytest.mark.parametrize(
    ("attempt", "kind", "message"),
    [
        (lambda: x + y, sg.ShapeError, r"add of x \(batch, 64\) float64 and W \(32, 10\) float64: axis -1: 10 != 64; to broadcast"),
        (lambda: v + symbol("u", 4), sg.ShapeError, r"add of v \(3,\) float64 and u \(4,\)"),
        (lambda: sg.concatenate([v, x]), sg.ShapeError, r"concatenate of v \(3,\) .*and x \(batch, 64\)"),
        (lambda: v.reshape(2, 2), sg.ShapeError, r"reshape.* of v \(3,\)"),
        (lambda: v.sum(axis=1), sg.ShapeError, r"sum of v .*axis=1 is out of range for 1 axes"),
        (lambda: v[5], (sg.ShapeError, IndexError), r"v"),
        (lambda: sg.flip(v, 5), sg.ShapeError, r"flip of v \(3,\) float64: axis=5 is out of range"),
        (lambda: np.flip(v, 5), sg.ShapeError, r"flip of v \(3,\) float64: axis=5"),
        (lambda: v.squeeze(4), sg.ShapeError, r"squeeze of v .*axis=4"),
        (lambda: sg.expand_dims(v, 4), sg.ShapeError, r"expand_dims of v .*axis=4"),
        (lambda: v.transpose(0, 5), sg.ShapeError, r"transpose of v .*axes=5"),
        (lambda: sg.moveaxis(v, 0, 3), sg.ShapeError, r"moveaxis of v .*destination=3"),
        (lambda: v.swapaxes(0, 9), sg.ShapeError, r"swapaxes of v .*axis2=9"),
        (lambda: sg.concatenate([v, s], axis=3), sg.ShapeError, r"concatenate of v .* and s .*axis=3"),
        (lambda: sg.zeros((2, -1)), sg.ShapeError, r"zeros: the size of axis 1 is negative \(-1\)"),
        (lambda: sg.eye(2.5), sg.ShapeError, r"eye: the size of axis 0 must be an int"),
        (lambda: sg.arange(0, 3, 0), sg.ShapeError, r"arange: step=0"),
        (lambda: sg.linspace(0, 1, -2), sg.ShapeError, r"linspace: .*negative"),
        (lambda: symbol("x", (-1,)), sg.ShapeError, r"symbol: .*negative"),
        (lambda: sg.one_hot(k, -3), sg.ShapeError, r"one_hot of k .*negative"),
        (lambda: k.at[0].add(1.5), sg.DTypeError, r"of k .*float64 values cannot be written into int64"),
        (lambda: sg.linalg.inv(symbol("q", (2, 3), int)), sg.ShapeError, r"inv of cast q \(2, 3\) float64"),
        (lambda: v[0, 0], (sg.ShapeError, IndexError), r"v"),
        (lambda: sg.transpose(v, (0, 1)), sg.ShapeError, r"axes"),
        (lambda: sg.broadcast_to(v, (4,)), sg.ShapeError, r"broadcast_to of v .*\(3,\) does not broadcast to \(4,\)"),
        (lambda: sg.where(v > 0, v, np.ones(4)), sg.ShapeError, r"where"),
        (lambda: sg.linalg.solve(symbol("A", (3, 4)), v), sg.ShapeError, r"solve of A \(3, 4\)"),
        (lambda: v << 1, sg.DTypeError, r"left_shift of v .*float64"),
        (lambda: -symbol("b", 2, "bool"), sg.DTypeError, r"negative of b .*bool"),
        (lambda: symbol("z", 3, "complex128").astype("float64"), sg.DTypeError, r"imaginary part. Take real\(x\) or abs\(x\)"),
        (lambda: v[v], (sg.DTypeError, IndexError, TypeError), r"int|bool|index"),
        (lambda: v + "a", TypeError, r"str|'a'"),
        (lambda: v + None, TypeError, r"None"),
        (lambda: v + np.array(["a", "b", "c"]), (sg.DTypeError, TypeError), r"U1|str|array|numbers"),
        (lambda: v + np.array([object()] * 3), (sg.DTypeError, TypeError), r"object"),
        (lambda: sg.constant(np.array([{}, None])), sg.DTypeError, r"object"),
        (lambda: sg.constant([[1, 2], [3]]), sg.DTypeError, r"array of numbers"),
        (lambda: sg.constant(np.array(["2020-01-01"], "M8[D]")), sg.DTypeError, r"datetime64"),
        (lambda: sg.constant("text"), sg.DTypeError, r"U4|str"),
        (lambda: symbol("x", 3, "object"), sg.DTypeError, r"object"),
        (lambda: symbol("x", 3, "nonsense"), (sg.DTypeError, TypeError), r"nonsense"),
        (lambda: symbol("x", 3, "U5"), sg.DTypeError, r"U5"),
        (lambda: symbol("x", (-1,)), sg.ShapeError, r"-1|negative"),
        (lambda: symbol("x", 2.5), sg.ShapeError, r"2.5"),
        (lambda: symbol("", 3), TypeError, r"name of a symbol must be a non-empty string"),
        (lambda: symbol(3), TypeError, r"name of a symbol must be a non-empty string, not 3"),
        (lambda: sg.parameter(v, "w"), TypeError, r"the value of parameter w must be an array, not v"),
        (lambda: sg.parameter(["a"], "w"), sg.DTypeError, r"U1"),
        (lambda: sg.parameter(1.0, ""), TypeError, r"name of a parameter"),
        (lambda: sg.sum(v, out=np.zeros(())), TypeError, r"out"),
        (lambda: np.add(v, v, out=np.zeros(3)), TypeError, r"out"),
        (lambda: np.sort_complex(v), TypeError, r"sort_complex"),
        (lambda: bool(v > 0), TypeError, r"where\(condition, a, b\)"),
        (lambda: float(s), TypeError, r"s"),
        (lambda: np.asarray(v), TypeError, r"v"),
    ],
)  # fmt: skip
def test_mistakes_known_while_building(attempt, kind, message):
    with pytest.raises(kind, match=message) as caught:
        attempt()
    assert "\n" not in str(caught.value).split("\n  made: ")[0]


def test_a_nan_dtype_is_refused():
    for bad in (float("nan"), np.nan, "nan"):
        with pytest.raises((sg.DTypeError, TypeError)):
            symbol("x", 3, bad)


def test_errors_are_of_the_kind_numpy_users_catch():
    assert issubclass(sg.ShapeError, ValueError) and issubclass(sg.DTypeError, TypeError)
    for error in (sg.ShapeError, sg.DTypeError, sg.GradientError, sg.CompileError):
        assert issubclass(error, sg.SymgraphError)


# While a function is compiled ----------------------------------------------------------------------------------------

w = sg.parameter(np.zeros(3), "w")


@pytest.mark.parametrize(
    ("attempt", "kind", "message"),
    [
        (lambda: sg.function(v, v), sg.CompileError, r"inputs must be a list, tuple or dict of symbols: write \[v\]"),
        (lambda: sg.function("v", v), sg.CompileError, r"list, tuple or dict of symbols, not 'v'"),
        (lambda: sg.function({v}, v), sg.CompileError, r"list, tuple or dict of symbols"),
        (lambda: sg.function([1.0], v), sg.CompileError, r"an input must be a symbol, not 1.0"),
        (lambda: sg.function([v * 2], v * 2), sg.CompileError, r"is computed; use substitute"),
        (lambda: sg.function([w], w), sg.CompileError, r"w \(3,\) float64 is a parameter"),
        (lambda: sg.function([v, v], v), sg.CompileError, r"v .*given twice"),
        (lambda: sg.function([symbol("v", 3), v], v), sg.CompileError, r"two inputs are named 'v'; pass a dict"),
        (lambda: sg.function({1: v}, v), sg.CompileError, r"keys of inputs are argument names, not 1"),
        (lambda: sg.function([], v + s), sg.CompileError, rf"depend on s \(\) float64 \(made at {HERE}\), v .*are not among the inputs"),
        (lambda: sg.function([v], v + s), sg.CompileError, r"depend on s .*which is not among the inputs"),
        (lambda: sg.function([v, s], v), sg.CompileError, r"the input 's' \(s \(\) float64\) is not used by the outputs; leave it out"),
        (lambda: sg.function([v], "v"), sg.CompileError, r"outputs must be a tensor, not 'v'"),
        (lambda: sg.function([v], {"a": [v, None]}), sg.CompileError, r"outputs\['a'\]\[1\] must be a tensor, not None"),
        (lambda: sg.function([v], v, updates={v: v}), sg.CompileError, r"v \(3,\) float64 is none; make it with parameter"),
        (lambda: sg.function([v], v, updates={"w": v}), sg.CompileError, r"'w' is none"),
        (lambda: sg.function([v], v, updates=[(w, v), (w, v)]), sg.CompileError, r"w .*updated twice"),
        (lambda: sg.function([v], v, updates={w: v.sum()}), sg.ShapeError, rf"update of w \(3,\) float64 has shape \(\) \(made at {HERE}\)"),
        (lambda: sg.function([v], v, updates={w: v[:2]}), sg.ShapeError, r"has shape \(2,\).*must have the parameter's shape"),
        (lambda: sg.function([v], v, updates={w: v * 1j}), sg.DTypeError, r"is complex128.*astype\('float64'\)"),
        (lambda: sg.function([v], v, updates={sg.parameter(np.zeros(3, "f"), "u"): v}), sg.DTypeError, r"update of u .*is float64"),
        (lambda: sg.function([v], v, updates={w: "v"}), TypeError, r"'v'"),
        (lambda: sg.function([v], v, updates={w: None}), TypeError, r"None"),
        (lambda: sg.function([v], v, backend="fortran"), sg.CompileError, r"backend='fortran'"),
        (lambda: sg.function([v], v, style="slow"), sg.CompileError, r"style='slow': choose 'fast' or 'plain'"),
        (lambda: sg.function([v], v, threads=0), sg.CompileError, r"threads=0 must be an int from 1 to 1024"),
        (lambda: sg.function([symbol("u", (2 * x.shape[0],))], sg.zeros(x.shape[0])), sg.CompileError, r"batch"),
        (lambda: sg.grad(v.sum(), s), sg.GradientError, r"sum \(\) float64 does not depend on s"),
    ],
)  # fmt: skip
def test_mistakes_known_while_compiling(attempt, kind, message):
    with pytest.raises(kind, match=message):
        attempt()
    assert w.value.tolist() == [0, 0, 0]


def test_an_update_may_be_a_number():
    u = sg.parameter(1.0, "u")
    sg.function([], [], updates={u: 3})()
    assert u.value == 3
    n = sg.parameter(1, "n")
    with pytest.raises(sg.DTypeError, match="update of n"):
        sg.function([], [], updates={n: 2.5})


# When a function is called -------------------------------------------------------------------------------------------

STEP_X = symbol("x", ("n", 3))
PARAMETER = sg.parameter(np.zeros(3), "w")
STEP = sg.function(
    [STEP_X, symbol("rate")][:1], STEP_X.sum(), updates={PARAMETER: PARAMETER + STEP_X.sum(axis=0)}, name="step"
)
GOOD = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: STEP(), TypeError, r"step\(x\) is missing 'x'"),
        (lambda: STEP(GOOD, GOOD), TypeError, r"step\(x\) takes 1 arguments but 2 were given"),
        (lambda: STEP(GOOD, x=GOOD), TypeError, r"step\(x\) got 'x' twice"),
        (lambda: STEP(X=GOOD), TypeError, r"step\(x\) has no argument 'X'"),
        (lambda: STEP(np.ones(3)), sg.ShapeError, r"x has shape \(3,\) but \(n, 3\) is expected: 1 axes in place of 2"),
        (lambda: STEP(np.ones((2, 4))), sg.ShapeError, r"x has shape \(2, 4\) but \(n, 3\) is expected: axis 1 is 4, not 3"),
        (lambda: STEP(3.0), sg.ShapeError, r"x has shape \(\)"),
        (lambda: STEP([[1, 2, 3], [4, 5]]), sg.ShapeError, r"x: a nested list must be rectangular"),
        (lambda: STEP(GOOD * 1j), sg.DTypeError, r"x is complex128 but float64 is expected.*x.astype\(np.float64\)"),
        (lambda: STEP(np.array([["a"] * 3])), sg.DTypeError, r"x must hold numbers of dtype float64, not <U1"),
        (lambda: STEP(np.array([[None] * 3])), sg.DTypeError, r"x must hold numbers of dtype float64, not object"),
        (lambda: STEP(None), sg.DTypeError, r"x must hold numbers of dtype float64, not object \(NoneType\)"),
        (lambda: STEP("abc"), sg.DTypeError, r"x must hold numbers"),
        (lambda: STEP({"x": 1}), sg.DTypeError, r"x must hold numbers.*dict"),
        (lambda: STEP([[None, 1, 2]]), sg.DTypeError, r"object"),
        (lambda: STEP(np.zeros((2, 3), "M8[D]")), sg.DTypeError, r"datetime64"),
        (lambda: STEP(STEP_X), TypeError, r"x got a tensor, which has no value"),
    ],
)  # fmt: skip
def test_mistakes_of_a_call_leave_the_parameters_alone(call, kind, message):
    before = PARAMETER.value
    with pytest.raises(kind, match=message):
        call()
    assert PARAMETER.value.tolist() == before.tolist()


def test_a_list_is_accepted_where_it_is_a_rectangular_array():
    assert STEP([[1, 2, 3]]) == 6
    assert STEP([[1.5, 2, True]]) == 4.5
    assert STEP(np.zeros((0, 3))) == 0


# Names ---------------------------------------------------------------------------------------------------------------

NAMES = [
    "x); import os", "class", "<script>alert(1)</script>", "lambda", "None", "np", "print", "self", "match", "x y", "1x", "x.y", "a-b",
    'x"', "x'", "x\n    import os", "x\\", "{x}", "%s", "σ", "Größe", "变量", "😀", " ", "__x__", "_", "x" * 500, "\x00", "ﬁ", "t1", "f", "n",
    "x # comment", '"""', "return", "global", "scipy", "$x$", "\\input{x}", "a_b", "A", "__import__('os')", "exec", "train",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_becomes_an_identifier(name):
    made = identifier(name)
    assert made.isidentifier() and len(made) <= 600
    assert re.fullmatch(r"\w+", made)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_ever_executed(name):
    """As the name of an input, a dimension, a parameter, a value, a constant, a function and a key, all at once."""
    u = symbol(name, (name, 2))
    p = sg.parameter(np.ones(2), name)
    c = sg.named(sg.constant(np.array([1.0, 2.0])), name)
    h = sg.named(sg.exp(u * 0), name)
    outputs = {name: sg.named((h * p * c).sum(), name), ("n",): u.shape[0] * 1, "the h": h}
    f = sg.function([u], outputs, updates={p: p + u.sum(axis=0)}, name=name)
    compile(f.source, "<check>", "exec")
    found = f(np.ones((4, 2)))
    assert found[name] == 12 and found[("n",)] == 4 and found["the h"].shape == (4, 2)
    assert p.value.tolist() == [5, 5]
    imports = [n for n in ast.walk(ast.parse(f.source)) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(n) for n in imports] == ["import numpy as np"]
    assert f(**{name: np.ones((4, 2))})["the h"].shape == (4, 2)
    assert sg.evaluate(u.sum(), {u: np.ones((1, 2))}) == 2


def test_names_that_become_the_same_identifier_stay_apart():
    a, b, c = symbol("x y"), symbol("x-y"), symbol("x_y")
    f = sg.function([a, b, c], a - 2 * b + 10 * c)
    assert f(1, 2, 3) == 27
    assert f(**{"x y": 1, "x-y": 2, "x_y": 3}) == 27
    p, q = sg.parameter(1.0, "w"), sg.parameter(2.0, "w")
    assert sg.function([], p - q, updates={p: q, q: p})() == -1
    assert (p.value, q.value) == (2, 1)


def test_a_name_must_be_text():
    for bad in (None, 3, b"x", ["x"]):
        with pytest.raises(TypeError, match="name"):
            sg.named(v * 2, bad)
        with pytest.raises(TypeError):
            sg.function([v], v * 2, name=bad if bad is not None else 3)


def test_comments_do_not_leak_the_users_path():
    outputs = [sg.exp(v), sg.exp(v).sum()]
    text = sg.function([v], outputs).source
    assert "# test_bad_input.py:" in text and "/" not in text
    assert "#" not in sg.function([v], outputs, comments=False).source


def test_a_name_cannot_leave_the_docstring():
    """A dimension is the one name that appears as it was written: in the docstring, where it is escaped."""
    u = symbol("u", ('"""\n    raise SystemExit\n    """',))
    f = sg.function([u], u * 2)
    assert f([1.0]).tolist() == [2]
    _, step = ast.parse(f.source).body
    assert "raise SystemExit" in ast.get_docstring(step)
    assert [type(line) for line in step.body] == [ast.Expr, ast.Return]
    scope = {}
    exec(compile("def act():\n    return v * 2 + v * 2 * v", "a\nraise SystemExit\n.py", "exec"), {"v": v}, scope)
    g = sg.function([v], [scope["act"](), v * 2])
    assert g(np.ones(3))[0].tolist() == [4, 4, 4]


def test_a_function_that_needs_scipy_says_so_where_it_is_missing(monkeypatch):
    u = symbol("u", ("n",))
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(sg.CompileError, match=r"f uses scipy.*pip install scipy"):
        sg.function([u], sg.erf(u))
