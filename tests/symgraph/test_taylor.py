"""Taylor coefficients, n-th derivatives and the biharmonic operator: against nested jvp, SymPy and closed forms."""

import ast
import math
import sys

import mpmath
import numpy as np
import pytest
import sympy

import symgraph as sg
from symgraph.autodiff import jvp
from symgraph.core import symbol, toposort
from symgraph.dtypes import is_inexact
from symgraph.errors import DTypeError, GradientError, ShapeError
from symgraph.jets import elementwise
from symgraph.pytree import flatten
from symgraph.taylor import biharmonic, derivative, taylor
from symgraph.testing.jets import check_jet
from symgraph.testing.records import RECORDS

DIFFERENTIABLE = [record for record in RECORDS if record.order]
CLOSED_FORM = [record for record in RECORDS if record.sympy and record.order]


def leaves(values):
    return [symbol("xyzuvw"[i], np.shape(v), np.asarray(v).dtype) for i, v in enumerate(values)]


def values_of(outputs, given):
    return sg.evaluate(list(outputs), given)


# Every op ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", DIFFERENTIABLE, ids=lambda record: record.name)
def test_record_against_nested_jvp(record):
    for sample in record.samples:
        values = [np.asarray(v) for v in sample]
        xs = leaves(values)
        wrt = [x for x in xs if is_inexact(x.dtype) and x.dtype.itemsize >= 8]
        if wrt:
            check_jet(flatten(record.build(*xs))[0], wrt, dict(zip(xs, values, strict=True)), order=3)


@pytest.mark.parametrize("record", CLOSED_FORM, ids=lambda record: record.name)
def test_record_against_sympy(record):
    """Each coefficient to order 6, relative to the exact one, which mpmath finds with 40 digits."""
    values = [np.asarray(v, float) for v in record.samples[0]]
    xs = leaves(values)
    rng = np.random.default_rng(1)
    directions = [rng.standard_normal(v.shape) for v in values]
    found = values_of(taylor(record.build(*xs), xs, directions, 6), dict(zip(xs, values, strict=True)))
    names = sympy.symbols("x y z")[: len(xs)]
    formula = sympy.sympify(record.sympy, locals=dict(zip("xyz", names, strict=False)))
    function = sympy.lambdify(names, formula, "mpmath")
    with mpmath.workdps(40):
        for i in range(min(len(v) for v in values)):
            line = [(mpmath.mpf(v[i]), mpmath.mpf(d[i])) for v, d in zip(values, directions, strict=True)]
            exact = mpmath.taylor(lambda t, line=line: function(*[p + t * d for p, d in line]), 0, 6)
            exact = [float(mpmath.re(e)) for e in exact]
            rtol = 1e-10 if record.name == "log_ndtr" else 1e-12  # SciPy's own value has 12 digits
            np.testing.assert_allclose([c[i] for c in found], exact, rtol=rtol, atol=1e-300)


def test_check_jet_finds_a_wrong_recurrence(monkeypatch):
    x = symbol("x", (2,))
    wrong = lambda jets, z, op, xs: lambda k: xs[0][k]
    monkeypatch.setitem(elementwise.RULES, sg.square, wrong)
    with pytest.raises(AssertionError, match=r"c\[1\] of"):
        check_jet([sg.square(x)], [x], {x: np.array([0.3, 2.0])}, order=2)


# Meaning -------------------------------------------------------------------------------------------------------------


def test_first_coefficients_are_the_function_and_its_jvp():
    x, v = symbol("x", ("n", 2)), symbol("v", ("n", 2))
    y = sg.exp(x) * x
    c = taylor(y, x, v, 1)
    assert c[0] is y
    given = {x: np.array([[0.1, 0.2]]), v: np.array([[1.0, -2.0]])}
    np.testing.assert_allclose(*values_of([c[1], jvp(y, x, v)], given), rtol=1e-15)


def test_second_coefficient_is_half_the_hessian():
    x, v = symbol("x", (3,)), symbol("v", (3,))
    y = sg.logsumexp(x) * sg.norm(x)
    given = {x: np.array([0.1, -0.4, 2.0]), v: np.array([1.0, 0.5, -1.0])}
    found, expected = values_of([taylor(y, x, v, 2)[2], 0.5 * (v @ sg.hvp(y, x, v))], given)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_polynomials_end():
    x = symbol("x", (2,))
    c = taylor(x**3 + 2 * x, x, sg.ones_like(x), 5)
    found = values_of(c, {x: [0.0, 2.0]})
    np.testing.assert_array_equal(found, [[0, 12], [2, 14], [0, 6], [1, 1], [0, 0], [0, 0]])
    assert c[4] is c[5] is sg.zeros_like(x)


def test_coefficients_are_differentiable():
    x, v = symbol("x", (3,)), symbol("v", (3,))
    y = sg.sum(sg.tanh(x * sg.sin(x)) / (1 + x * x))
    given = {x: np.array([0.1, -0.4, 2.0]), v: np.array([1.0, 0.5, -1.0])}
    c = taylor(y, x, v, 3)
    forward, reverse, expected = values_of([jvp(c[2], x, v), sg.sum(sg.grad(c[2], x) * v), 3 * c[3]], given)
    np.testing.assert_allclose([forward, reverse], expected, rtol=1e-12)
    along, twice = values_of([sg.sum(sg.grad(c[2], v) * v), 2 * c[2]], given)  # homogeneous of degree 2
    np.testing.assert_allclose(along, twice, rtol=1e-12)


def test_inverse_and_solve_have_their_geometric_series():
    rng = np.random.default_rng(0)
    a, b, r = rng.standard_normal((3, 3)) + 4 * np.eye(3), rng.standard_normal((3, 3)), rng.standard_normal(3)
    A, B = symbol("A", (3, 3)), symbol("B", (3, 3))
    inverse = taylor(sg.linalg.inv(A), A, B, 4)
    solved = taylor(sg.linalg.solve(A, r), A, B, 4)
    p, q = np.linalg.inv(a), np.linalg.inv(a)
    for c, s in zip(values_of(inverse, {A: a, B: b}), values_of(solved, {A: a, B: b}), strict=True):
        np.testing.assert_allclose(c, p, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(s, p @ r, rtol=1e-10, atol=1e-12)
        p = -q @ b @ p


def test_rows_share_one_loop():
    x, v = symbol("x", ("n", 3)), symbol("v", ("n", 3))
    w = symbol("w", (3,))
    y = sg.map_rows(lambda row: sg.tanh(row @ w) * row, x)
    c = taylor(y, (x, w), (v, sg.ones_like(w)), 4)
    assert sum(node.op.name == "map_rows" for node in toposort(c[1:])) == 1
    rng = np.random.default_rng(0)
    given = {x: rng.standard_normal((4, 3)), v: rng.standard_normal((4, 3)), w: rng.standard_normal(3)}
    plain = taylor(sg.tanh(x @ w)[:, None] * x, (x, w), (v, sg.ones_like(w)), 4)
    for a, b in zip(values_of(c, given), values_of(plain, given), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


# Nestings, shapes, types ---------------------------------------------------------------------------------------------


def test_nested_variables_and_outputs():
    x, w = symbol("x"), symbol("w", (2,))
    y = {"a": x * w, "b": [sg.exp(x), sg.sum(w)]}
    c = taylor(y, [x, {"w": w}], [1.0, {"w": np.array([1.0, 2.0])}], 2)
    assert len(c) == 3 and c[0]["a"] is y["a"] and set(c[2]) == {"a", "b"} and isinstance(c[2]["b"], list)
    found = sg.evaluate(c[2], {x: 0.5, w: [3.0, 4.0]})
    np.testing.assert_allclose(found["a"], [1, 2])
    np.testing.assert_allclose(found["b"], [np.exp(0.5) / 2, 0])


def test_order_zero_and_zero_direction():
    x = symbol("x", (2,))
    y = sg.sin(x)
    assert taylor(y, x, sg.ones_like(x), 0) == (y,)
    c = taylor(y, x, sg.zeros_like(x), 3)
    assert c[0] is y and all(d is sg.zeros_like(x) for d in c[1:])


def test_unreached_output_has_zeros():
    x, z = symbol("x"), symbol("z", ("n",))
    c = taylor(z, x, 1.0, 2)
    assert c[0] is z and c[1] is c[2] is sg.zeros_like(z)


def test_symbolic_sizes():
    x, v = symbol("x", ("n", "m")), symbol("v", ("n", "m"))
    y = sg.softmax(x, axis=0) @ sg.ones((x.shape[1], 2)) + sg.mean(x * x)
    c = taylor(y, x, v, 4)
    assert c[4].shape == y.shape
    rng = np.random.default_rng(0)
    for shape in ((3, 2), (1, 2), (2, 1)):
        values = rng.standard_normal(shape), rng.standard_normal(shape)
        fixed, u = symbol("x", shape), symbol("v", shape)
        same = sg.softmax(fixed, axis=0) @ sg.ones((shape[1], 2)) + sg.mean(fixed * fixed)
        expected = values_of(taylor(same, fixed, u, 4), dict(zip((fixed, u), values, strict=True)))
        found = sg.function([x, v], list(c))(*values)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 1)])
def test_small_shapes(shape):
    x = symbol("x", shape)
    c = taylor(sg.sin(x) * np.ones(3), x, sg.ones_like(x), 3) if shape != (0,) else taylor(sg.sin(x), x, x, 3)
    given = {x: np.full(shape, 0.3)}
    assert [np.shape(v) for v in values_of(c, given)] == [c[0].shape] * 4


@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
def test_types_stay(dtype):
    x = symbol("x", (2,), dtype)
    y = sg.tanh(x * sg.sin(x)) / (2 + x) + sg.exp(-x) ** 3
    c = taylor(y, x, sg.ones_like(x), 4)
    for node in toposort(c):
        assert node.aval.weak or node.dtype == dtype, node
    point = np.array([0.3, -0.5]).astype(dtype) + (0.2j if dtype[0] == "c" else 0)
    wide = symbol("x", (2,), "complex128")
    y = sg.tanh(wide * sg.sin(wide)) / (2 + wide) + sg.exp(-wide) ** 3
    expected = values_of(taylor(y, wide, sg.ones_like(wide), 4), {wide: point})
    tolerance = 1e-12 if dtype == "complex128" else 1e-4
    np.testing.assert_allclose(values_of(c, {x: point.astype(dtype)}), expected, rtol=tolerance)


def test_complex_function_of_a_real_line():
    """|z| is not analytic, but its restriction to a line is smooth."""
    z = symbol("z", (), "complex128")
    c = values_of(taylor(sg.absolute(z), z, 1 + 0j, 2), {z: 3 + 4j})
    np.testing.assert_allclose(c, [5, 0.6, 0.5 * 16 / 125], rtol=1e-14)


def test_the_same_tensor_twice():
    x = symbol("x", (3,))
    A = symbol("A", (3, 3))
    given = {x: np.array([1.0, 2.0, -1.0]), A: np.arange(9.0).reshape(3, 3)}
    check_jet([sg.einsum("i,ij,j", x, A, x), sg.xlogy(sg.exp(x), sg.exp(x)), x ** x.sum()], [x, A], given, order=3)
    twice = taylor(x * x, [x, x], [sg.ones_like(x), sg.ones_like(x)], 2)
    np.testing.assert_allclose(values_of(twice, given)[2], [4, 4, 4])


def test_variables_made_of_variables():
    """h = sin(x) moves by its own direction and by that of x; cos(x) stays a function of x."""
    x = symbol("x")
    h = sg.sin(x)
    y = h * h + sg.cos(x)
    found = values_of(taylor(y, (x, h), (1.0, 2.0), 3), {x: 0.4})
    s, c = math.sin(0.4), math.cos(0.4)
    path = [s, c + 2, -s / 2, -c / 6]
    square = [sum(path[j] * path[k - j] for j in range(k + 1)) for k in range(4)]
    np.testing.assert_allclose(found, np.add(square, [c, -s, -c / 2, s / 6]), rtol=1e-14)


def test_intermediate_variable_is_frozen():
    x = symbol("x")
    h = sg.exp(x)
    found = values_of(taylor(sg.log(1 + h), h, 1.0, 2), {x: 0.0})
    np.testing.assert_allclose(found, [math.log(2), 0.5, -0.125], rtol=1e-15)


# Singular points -----------------------------------------------------------------------------------------------------


def test_untaken_branches_do_not_leak():
    x = symbol("x", (3,))
    outside = sg.where(x > 0, sg.sqrt(x), 0)
    inside = [f(sg.where(x > 0, x, 0)) for f in (sg.sqrt, sg.log, lambda u: 1 / u, lambda u: u**-2, lambda u: u / u)]
    relu = sg.sqrt(sg.relu(x)) * sg.log(sg.relu(x))
    for y in [outside, *inside, relu]:
        found = np.array(values_of(taylor(y, x, sg.ones_like(x), 4)[1:], {x: [0.0, -1.0, 4.0]}))
        assert np.array_equal(found[:, :2], np.zeros((4, 2))), y
        assert np.all(np.isfinite(found[:, 2]))


def test_ties_and_kinks_follow_the_first_order():
    x, z = symbol("x", (4,)), symbol("z", (4,))
    outputs = [sg.maximum(x, z) ** 2, sg.absolute(x) ** 3, sg.relu(x) * z, sg.max(x * z), sg.clip(x, -1, 1)]
    point = np.array([0.0, 1.0, -1.0, 2.0])
    check_jet(outputs, [x, z], {x: point, z: np.array([0.0, 1.0, 3.0, -2.0])}, order=3)


def test_powers_are_exact_at_zero():
    x = symbol("x")
    for n in (1, 2, 3, 4, 7):
        np.testing.assert_array_equal(values_of(taylor(x**n, x, 1.0, 8), {x: 0.0}), np.eye(9)[n])
    np.testing.assert_array_equal(values_of(taylor(x**2.5, x, 1.0, 2), {x: 0.0}), [0, 0, 0])
    with np.errstate(divide="ignore"):
        assert values_of(taylor(x**0.5, x, 1.0, 1), {x: 0.0})[1] == np.inf


def test_stable_forms_are_recognised():
    x = symbol("x")
    found = values_of(taylor(sg.log(1 + sg.exp(x)), x, 1.0, 3), {x: 1000.0})
    np.testing.assert_array_equal(found, [1000, 1, 0, 0])


# Growth --------------------------------------------------------------------------------------------------------------


def network():
    x, v = symbol("x", (32,)), symbol("v", (32,))
    h = x
    for i in range(3):
        h = sg.tanh(h @ symbol(f"W{i}", (32, 32)) + symbol(f"b{i}", (32,)))
    return h @ symbol("w", (32,)), x, v


def test_sixth_directional_derivative_of_a_network_has_at_most_200_nodes():
    y, x, v = network()
    sixth = taylor(y, x, v, 6)[6]
    compiled = sg.pipeline.rewritten([sixth], True)[0]
    assert len(toposort([sg.simplify(sixth)])) <= 200
    assert len(toposort(compiled)) <= 200


def test_sixth_derivative_of_a_composition_takes_few_operations():
    x = symbol("x")
    y = sg.tanh(x * sg.sin(x))
    for style, bodies in (("plain", 1), ("fast", 2)):
        source = sg.function([x], derivative(y, x, 6), style=style).source
        operations = sum(isinstance(n, ast.BinOp | ast.UnaryOp | ast.Call) for n in ast.walk(ast.parse(source)))
        assert operations <= 110 * bodies, source


def test_growth_is_quadratic():
    y, x, v = network()
    sizes = [len(toposort([taylor(y, x, v, k)[k]])) for k in (5, 10, 20)]
    assert sizes[1] < 4 * sizes[0] and sizes[2] < 4 * sizes[1]


@pytest.mark.parametrize("function", [sg.gamma, sg.j0, sg.cbrt, sg.erfinv])
def test_partials_that_lead_to_other_functions_do_not_multiply(function):
    """j0 leads to Bessel functions of orders 1, 2, ...; those met on two ways are one."""
    x = symbol("x")
    sizes = [len(toposort([taylor(function(x), x, 1.0, k)[k]])) for k in (10, 20, 40)]
    assert sizes[1] < 5 * sizes[0] and sizes[2] < 5 * sizes[1]


def test_long_chain():
    assert sys.getrecursionlimit() <= 1000
    x = symbol("x")
    y = x
    for i in range(25_000):
        y = (sg.sin(y) if i % 1000 == 0 else -y) + x
    c = taylor(y, x, 1.0, 2)
    first, second = 1.0, 0.0
    value = point = 0.3
    for i in range(25_000):
        if i % 1000 == 0:
            value, first, second = (
                math.sin(value),
                math.cos(value) * first,
                math.cos(value) * second - math.sin(value) * first**2 / 2,
            )
        else:
            value, first, second = -value, -first, -second
        value, first = value + point, first + 1
    np.testing.assert_allclose(values_of(c, {x: point}), [value, first, second], rtol=1e-9)


# Derivatives of functions of one number ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", range(7))
def test_derivative_against_sympy(order):
    x = symbol("x", (3,))
    t = sympy.Symbol("t")
    point = [0.3, 1.2, 2.5]
    formula = sympy.tanh(t * sympy.sin(t)) + sympy.log(t) / t
    exact = [float(formula.diff(t, order).evalf(30, subs={t: sympy.Float(p, 30)})) for p in point]
    y = sg.tanh(x * sg.sin(x)) + sg.log(x) / x
    found = sg.evaluate(derivative(y, x, order), {x: point})
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_derivative_of_a_number_may_mix():
    x = symbol("x")
    w = np.array([1.0, 2.0])
    y = {"sum": sg.sum(sg.exp(w * x)), "each": sg.stack([x**3, x])}
    found = sg.evaluate(derivative(y, x, 2), {x: 0.5})
    np.testing.assert_allclose(found["sum"], np.exp(0.5) + 4 * np.exp(1.0))
    np.testing.assert_array_equal(found["each"], [3, 0])


def test_derivative_broadcasts_and_keeps_types():
    x, a = symbol("x", ("n",), "float32"), symbol("a", (2, 1), "float32")
    y = derivative(sg.where(a > 0, a * x**3, sg.exp(x)), x, 2)
    assert y.dtype == np.float32 and [str(n) for n in y.shape] == ["2", "n"]
    found = sg.evaluate(y, {x: np.array([1.0, 0.0], "f"), a: np.array([[2.0], [-1.0]], "f")})
    np.testing.assert_allclose(found, [[12, 0], [math.e, 1]], rtol=1e-6)
    z = symbol("z", (), "complex128")
    np.testing.assert_allclose(sg.evaluate(derivative(sg.sin(z), z, 3), {z: 1 + 1j}), -np.cos(1 + 1j))


@pytest.mark.parametrize(
    ("mix", "name"),
    [
        (sg.sum, "sum"),
        (sg.softmax, "softmax"),
        (lambda x: x[::-1], "getitem"),
        (lambda x: x @ x, "dot"),
        (sg.cumsum, "cumsum"),
    ],
)
def test_derivative_refuses_to_mix_elements(mix, name):
    x = symbol("x", (3,))
    with pytest.raises(GradientError, match=f"through {name} of .*must depend on x.i. alone. Use jacobian.*or taylor"):
        derivative(sg.exp(mix(x)), x, 2)


def test_derivative_refuses_what_is_not_analytic():
    z = symbol("z", (2,), "complex128")
    with pytest.raises(GradientError, match=r"through conjugate.*not analytic"):
        derivative(sg.conj(z) * z, z)


# Biharmonic ----------------------------------------------------------------------------------------------------------


def example(lib, a, b, c):
    return lib.exp(a) * lib.sin(2 * b) * c**3 + lib.cos(a * b * c) + (a * a + b * b) ** 2


def test_biharmonic_against_sympy():
    names = sympy.symbols("a b c")
    formula = example(sympy, *names)
    total = sum(formula.diff(p, 2, q, 2) for p in names for q in names)
    point = [0.3, -0.7, 1.1]
    exact = float(total.evalf(30, subs=dict(zip(names, point, strict=True))))
    for shape in ((3,), ("n",)):
        x = symbol("x", shape)
        y = example(sg, x[0], x[1], x[2])
        found = biharmonic(y, x)
        assert found.shape == ()
        np.testing.assert_allclose(sg.evaluate(found, {x: point}), exact, rtol=1e-12)
        np.testing.assert_allclose(sg.function([x], found)(np.array(point)), exact, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_biharmonic_of_a_power_of_the_distance(n):
    """Delta^2 r^4 = 8 n (n + 2), in any dimension, in single precision too."""
    for dtype in ("float64", "float32"):
        x = symbol("x", (n,), dtype)
        found = sg.evaluate(biharmonic(sg.square(x @ x), x), {x: np.linspace(-1, 1, n, dtype=dtype)})
        assert found.dtype == dtype
        np.testing.assert_allclose(found, 8 * n * (n + 2), rtol=1e-5 if dtype == "float32" else 1e-13)


def test_biharmonic_of_a_network_runs_without_loops():
    y, x, _ = network()
    assert not [node for node in toposort([biharmonic(y, x)]) if node.op.name == "map_rows"]


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1.0, "2", None, True])
def test_order_must_be_an_int(order):
    x = symbol("x")
    with pytest.raises(TypeError, match="order must be an int"):
        taylor(x, x, 1.0, order)
    with pytest.raises(TypeError, match="order must be an int"):
        derivative(x, x, order)


def test_order_must_not_be_negative():
    x = symbol("x")
    with pytest.raises(GradientError, match=r"taylor of .*order=-1 is negative"):
        taylor(x, x, 1.0, -1)
    with pytest.raises(GradientError, match="order=-2 is negative"):
        derivative(x, x, -2)
    with pytest.raises(GradientError, match="factorial overflows"):
        derivative(sg.exp(x), x, 171)


def test_direction_has_the_shape_and_type_of_its_variable():
    x = symbol("x", (3,))
    with pytest.raises(ShapeError, match=r"direction of x .*has the shape of its tensor"):
        taylor(x, x, np.ones(2), 2)
    with pytest.raises(ShapeError, match="1 directions for 2 tensors"):
        taylor(x, [x, x], [np.ones(3)], 2)
    with pytest.raises(DTypeError, match="a direction of a real tensor is real"):
        taylor(x, x, np.ones(3) * 1j, 2)


def test_integers_are_constants():
    i = symbol("i", (), "int64")
    with pytest.raises(GradientError, match="int values are constants of differentiation"):
        taylor(i * 2.0, i, 1, 2)
    with pytest.raises(GradientError, match="int values are constants of differentiation"):
        derivative(i * 2.0, i)


def test_biharmonic_wants_a_scalar_of_a_vector():
    x, m = symbol("x", (3,)), symbol("m", (3, 3))
    with pytest.raises(GradientError, match="must be a scalar"):
        biharmonic(x, x)
    with pytest.raises(ShapeError, match="the variable must be a vector"):
        biharmonic(sg.sum(m), m)
