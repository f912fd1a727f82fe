"""To SymPy and back: values of every elementwise form, exact constants, arrays, kinks, names, round trips, bad input."""

import subprocess
import sys

import numpy as np
import pytest

import symgraph as sg
from symgraph.ops import elementwise, special
from symgraph.ops.base import Elementwise
from symgraph.sympy_bridge import from_sympy, to_sympy
from symgraph.sympy_forms import elementwise_forms
from symgraph.testing.records import RECORDS

sp = pytest.importorskip("sympy")
x, y, z = sg.symbols("x y z")
sx, sy = sp.symbols("x y", real=True)

WITHOUT_FORM = {
    "isnan", "isinf", "isfinite", "signbit", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift",
}  # fmt: skip
"""Questions about floats and bits, which SymPy's numbers do not have."""


def test_every_elementwise_op_has_a_form_or_is_known_to_have_none():
    ours = {op.name for module in (elementwise, special) for op in vars(module).values() if isinstance(op, Elementwise)}
    assert ours - set(elementwise_forms()) == WITHOUT_FORM


def _scalars(record):
    """The 0-d tensors and values of the first element of each operand of a record's first sample."""
    values = [np.asarray(v).reshape(-1)[0] for v in record.samples[0]]
    return [sg.symbol(n, (), np.asarray(v).dtype) for n, v in zip("xyzuv", values, strict=False)], values


NAMED = [r for r in RECORDS if r.sympy]


@pytest.mark.parametrize("record", NAMED, ids=lambda r: r.name)
def test_records_with_a_sympy_name_have_that_form(record):
    tensors, values = _scalars(record)
    made = to_sympy(record.build(*tensors))
    symbols = {s.name: s for s in made.free_symbols}
    # SymPy's parser and ours may differ by form; they agree as numbers to 12 digits
    expected = sp.sympify(record.sympy, locals=symbols)
    at = {s: sp.Float(float(v), 30) for n, v in zip("xyzuv", values, strict=False) if (s := symbols.get(n)) is not None}
    assert abs(sp.N((made - expected).subs(at), 30)) < 1e-12


TWO = ["maximum", "minimum", "fmax", "fmin", "copysign", "heaviside", "floor_divide", "remainder", "fmod"]
ONE = ["absolute", "sign", "floor", "ceil", "trunc", "rint", "cbrt", "relu"]


@pytest.mark.parametrize("name", ONE + TWO)
@pytest.mark.parametrize("at", [(-1.7, 0.6), (2.5, -1.2), (0.4, 0.4), (0.0, 2.0), (-3.0, -0.5)])
def test_functions_with_kinks_have_numpys_values(name, at):
    count = 2 if name in TWO else 1
    made = to_sympy(getattr(sg, name)(*[x, y][:count]))
    value = made.subs({sx: sp.Rational(at[0]), sy: sp.Rational(at[1])}) if made.free_symbols else made
    expected = sg.evaluate(getattr(sg, name)(*[x, y][:count]), dict(zip([x, y][:count], at, strict=False)))
    assert float(value) == pytest.approx(float(expected), abs=1e-12)


def test_what_chooses_is_a_piecewise():
    assert to_sympy(sg.where(x > 0, x, y)) == sp.Piecewise((sx, sx > 0), (sy, True))
    assert to_sympy(sg.maximum(x, y)) == sp.Piecewise((sx, sx >= sy), (sy, True))
    assert to_sympy(abs(x)) == sp.Abs(sx)
    assert to_sympy(sg.grad(abs(x), x)) == sp.sign(sx)
    assert to_sympy(sg.grad(sg.relu(x), x)).subs(sx, 0) == 0


def test_whole_numbers_are_exact_and_floats_stay_floats():
    assert to_sympy(2 * x) == 2 * sx
    assert to_sympy(x**3) == sx**3
    assert to_sympy(x * 0.1) == sp.Float(0.1) * sx
    assert to_sympy(sg.constant(float("inf"))) == sp.oo
    assert to_sympy(sg.constant(2 + 0.5j)) == 2 + sp.Float(0.5) * sp.I
    n = sg.symbol("n", (), "int64")
    assert to_sympy(n + 1).is_integer


def test_derivatives_agree_with_sympys():
    for f in (lambda a, b: sg.sin(a) * sg.exp(b * a) / (1 + a**2), lambda a, b: sg.log(a**2 + b) * sg.tanh(b)):
        ours, theirs = to_sympy(sg.grad(f(x, y), x)), sp.diff(to_sympy(f(x, y)), sx)
        assert sp.simplify(
            (ours - theirs).subs({sx: sp.Rational(3, 7), sy: sp.Rational(5, 4)})
        ).evalf() == pytest.approx(0, abs=1e-12)


def test_two_symbols_of_one_name_stay_distinct():
    a, b, taken = sg.symbol("x"), sg.symbol("x"), sg.symbol("x_2")
    made = to_sympy([taken - a, a - b])
    assert made[1] != 0
    assert len(set().union(*[m.free_symbols for m in made])) == 3
    A = sg.symbol("v", (2,))
    made = to_sympy([sg.symbol("v_0") + 0, A[0] + 0])
    assert made[0] != made[1]


def test_small_arrays_are_computed_element_by_element():
    A, v = sg.symbol("A", (2, 2)), sg.symbol("v", (2,))
    M, w = sp.Matrix(2, 2, sp.symbols("A_:2_:2", real=True)), sp.Matrix(sp.symbols("v_:2", real=True))
    assert sp.expand(to_sympy(v @ A @ v) - (w.T * M * w)[0]) == 0
    assert to_sympy(A @ A.T) == sp.ImmutableMatrix(M * M.T)
    assert to_sympy(sg.linalg.det(A)) == M.det()
    assert sp.simplify(to_sympy(sg.linalg.inv(A)) * M) == sp.eye(2)
    assert to_sympy(v) == sp.ImmutableDenseNDimArray(list(w))
    assert to_sympy(sg.sum(A, axis=0)) == sp.ImmutableDenseNDimArray([M[0, 0] + M[1, 0], M[0, 1] + M[1, 1]])
    assert sp.simplify(sum(to_sympy(sg.softmax(v)))) == 1
    assert to_sympy(sg.concatenate([v, v[::-1]])) == sp.ImmutableDenseNDimArray([w[0], w[1], w[1], w[0]])
    assert to_sympy(sg.hessian(sg.sum(v**3), v)) == sp.diag(6 * w[0], 6 * w[1])


ARRAYS = [
    lambda A, v: sg.logsumexp(A, axis=1) + v.max(),
    lambda A, v: sg.linalg.norm(A @ v),
    lambda A, v: sg.log_softmax(A, axis=0),
    lambda A, v: sg.outer(v, v) + sg.diag(v) @ A,
    lambda A, v: sg.prod(A, axis=0) * sg.cumsum(v),
    lambda A, v: sg.einsum("ij,j,i->", A, v, v) + sg.trace(A),
    lambda A, v: sg.where(A > v, A, 0).sum(axis=1),
    lambda A, v: A[[1, 0]] * v[:, None],
    lambda A, v: sg.linalg.solve(A, v) + sg.linalg.slogdet(A)[1],
]


@pytest.mark.parametrize("build", ARRAYS)
def test_arrays_have_the_graphs_values(build):
    A, v = sg.symbol("A", (2, 2)), sg.symbol("v", (2,))
    a, b = np.array([[1.5, 0.3], [-0.4, 2.1]]), np.array([0.7, -1.2])
    made = to_sympy(build(A, v))
    flat = list(made) if hasattr(made, "shape") else [made]
    numbers = {f"A_{i}_{j}": a[i, j] for i in (0, 1) for j in (0, 1)} | {f"v_{i}": b[i] for i in (0, 1)}
    got = [float(sp.N(e.subs({s: numbers[s.name] for s in e.free_symbols}))) for e in flat]
    expected = np.asarray(sg.evaluate(build(A, v), {A: a, v: b}))
    np.testing.assert_allclose(np.reshape(got, expected.shape), expected, rtol=1e-12)


ROUND = [
    x * y + sg.sin(x),
    (x - y) / (1 + x**2),
    sg.exp(-x * x / 2) * sg.sqrt(y * y + 1),
    sg.where((x > 0) & (y < 1), x, -y),
    sg.maximum(x, y) + sg.minimum(x, 0.5) + abs(x - y),
    sg.tanh(x) ** 2 * sg.arctan2(y, x) - sg.log1p(x * x),
    sg.relu(x) + sg.floor(y) + sg.sign(x),
    sg.special.gammaln(x * x + 1) + sg.special.erf(y) + sg.special.j0(x),
    1 / x - 2 / 3 * y**-2,
]


@pytest.mark.parametrize("expr", ROUND, ids=str)
def test_round_trips_have_the_same_value(expr):
    back = from_sympy(to_sympy(expr), [x, y])
    for at in ((0.7, -1.3), (-0.4, 2.2)):
        assert sg.evaluate(back, {x: at[0], y: at[1]}) == pytest.approx(
            sg.evaluate(expr, {x: at[0], y: at[1]}), rel=1e-12
        )


def test_round_trips_of_plain_expressions_are_the_same_node():
    for expr in (x * y, x + y, sg.sin(x) - y, x / y, x**2, sg.sqrt(x), -x, sg.where(x > y, x, y)):
        assert sg.simplify(from_sympy(to_sympy(expr), [x, y])) is sg.simplify(expr), str(expr)


def test_reading_sympy():
    a, b = sp.symbols("a b")
    assert str(from_sympy((a - b) / (a + b), {a: x, b: y})) == "(x - y) / (x + y)"
    assert str(from_sympy(sp.sqrt(a) - 3 / b, {"a": x, "b": y})) == "sqrt(x) - 3 / y"
    assert from_sympy(a, {a: x}) is x
    v = sg.symbol("v", (2,))
    assert from_sympy(sp.Matrix([[sp.Symbol("v_0"), 1], [0, sp.Symbol("v_1")]]), [v]).shape == (2, 2)
    assert float(sg.evaluate(from_sympy(sp.pi + sp.E, []), {})) == pytest.approx(np.pi + np.e)
    assert from_sympy({"p": a, "q": [b]}, {a: x, b: y}) == {"p": x, "q": [y]}
    assert sg.evaluate(from_sympy(sp.Max(a, b, 2), {a: x, b: y}), {x: 1.0, y: 3.0}) == 3
    assert np.isnan(sg.evaluate(from_sympy(sp.Piecewise((a, a > 0)), {a: x}), {x: -1.0}))


def test_given_symbols_replace_leaves_and_parts():
    t = sp.Symbol("t")
    part = sg.isnan(y)
    assert to_sympy(sg.sin(x), {x: t**2}) == sp.sin(t**2)
    assert to_sympy(sg.where(part, x, 0), {part: sp.false}) == 0
    with pytest.raises(sg.ShapeError, match="must have its shape"):
        to_sympy(x, {x: [1, 2]})


def test_what_has_no_form_says_so():
    with pytest.raises(sg.SymgraphError, match=r"isnan.*no form in SymPy"):
        to_sympy(sg.isnan(x))
    with pytest.raises(sg.SymgraphError, match=r"test_sympy_bridge.*map_rows.*no form"):
        to_sympy(sg.map_rows(lambda row: sg.tanh(row), sg.symbol("A", (2, 2))))
    with pytest.raises(sg.ShapeError, match=r"\(n,\) is not known now"):
        to_sympy(sg.symbol("v", ("n",)).sum())
    with pytest.raises(sg.ShapeError, match="10000 elements"):
        to_sympy(sg.symbol("v", (100, 100)).sum())


def test_what_cannot_be_read_says_so():
    a = sp.Symbol("a")
    with pytest.raises(sg.SymgraphError, match="zeta has no counterpart"):
        from_sympy(sp.zeta(a), {a: x})
    with pytest.raises(sg.SymgraphError, match="the symbol b is not given"):
        from_sympy(a + sp.Symbol("b"), {a: x})
    with pytest.raises(sg.SymgraphError, match="two of the tensors have one name"):
        from_sympy(a, [sg.symbol("a"), sg.symbol("a")])
    with pytest.raises(TypeError, match="expected a SymPy expression, not str"):
        from_sympy("a + 1", {a: x})
    with pytest.raises(sg.SymgraphError, match="an array; SymPy's symbols are scalars"):
        from_sympy(a, {a: sg.symbol("a", (2,))})


def test_a_branch_is_a_piecewise():
    y_or = sg.cond(x > 0, lambda: sg.log(x), lambda: -x * y)
    made = to_sympy(y_or)
    a, b = (sp.Symbol(n, real=True) for n in "xy")
    assert made == sp.Piecewise((sp.log(a), a > 0), (-a * b, True))
    assert to_sympy(sg.grad(y_or, y)) == sp.Piecewise((0, a > 0), (-a, True))


def test_extremes_of_extremes_come_back():
    v = sg.symbol("v", (3,))
    for f in (v.max(), np.minimum(np.maximum(v[0], -1), 1)):
        back = from_sympy(to_sympy(f), [v])
        for value in ([0.3, -2.0, 0.1], [-3.0, 2.0, 0.1], [0.0, 1.0, 5.0]):
            assert sg.evaluate(back, {v: value}) == sg.evaluate(f, {v: value})


def test_truths_are_counted():
    v = sg.symbol("v", (2,))
    counted = to_sympy(sg.sum(v > 0))
    back = from_sympy(counted, [v])
    assert sg.evaluate(back, {v: [1.0, -1.0]}) == 1


def test_whole_numbers_that_no_int64_holds_are_floats():
    assert sg.evaluate(from_sympy(to_sympy(x * 1e20), [x]), {x: 2.0}) == 2e20


def test_sizes_that_are_not_known_are_told():
    n = sg.symbol("n_vector", ("n",))
    with pytest.raises(sg.ShapeError, match="not known now"):
        to_sympy(sg.hessian(sg.sum(n**2), n))


def test_names_are_never_run():
    hostile = sg.symbol("__import__('os').system('false')")
    assert from_sympy(to_sympy(hostile + 1), [hostile]) is hostile + 1


def test_long_chains_need_no_recursion():
    value = x
    for _ in range(3000):
        value = value * y + 1
    assert to_sympy(value).func is sp.Add
    assert to_sympy(sg.sin(value), {value: "deep"}) == sp.sin(sp.Symbol("deep"))


def test_import_of_symgraph_does_not_load_sympy():
    script = "import symgraph, symgraph.sympy_bridge, symgraph.sympy_forms, symgraph.typeset, sys; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
