"""Derivatives by the implicit function theorem, and Newton's method in the compiled source."""

import pickle

import numpy as np
import pytest

import symgraph as sg
from symgraph.batching import vmap
from symgraph.core import toposort
from symgraph.errors import DTypeError, GradientError, ShapeError
from symgraph.implicit import implicit
from symgraph.linalg import solve
from symgraph.roots import root
from symgraph.testing.gradients import check_grads

rng = np.random.default_rng(0)
M = rng.standard_normal((3, 3)) + 4 * np.eye(3)
B = rng.standard_normal(3)
X, T = rng.standard_normal((6, 3)), rng.standard_normal(6)


def system(m, b):
    return root(lambda y: m @ y + sg.tanh(y) - b, sg.zeros_like(b))


def ridge(x, t, strength):
    w = solve(x.T @ x + strength * sg.eye(3), x.T @ t)
    return implicit(w, argmin=lambda w: ((x @ w - t) ** 2).sum() + strength * (w * w).sum())


# Derivatives


def test_a_system_of_equations_to_second_order():
    m, b = sg.symbol("m", (3, 3)), sg.symbol("b", (3,))
    found = sg.evaluate(system(m, b), {m: M, b: B})
    np.testing.assert_allclose(M @ found + np.tanh(found), B, atol=1e-13)
    check_grads(system, M, B, order=2)


def test_a_minimum_has_the_derivatives_of_its_closed_form():
    check_grads(ridge, X, T, np.asarray(0.5), order=2)
    s, t, x = sg.symbol("s"), sg.symbol("t", (6,)), sg.symbol("x", (6, 3))
    closed = solve(x.T @ x + s * sg.eye(3), x.T @ t)
    for w in (lambda w: w[0] * w[1], lambda w: (w**3).sum()):  # hyper-gradients, first and second
        for derive in (lambda y: sg.grad(y, s), lambda y: sg.grad(sg.grad(y, s), s)):
            values = {s: 0.5, t: T, x: X}
            a = sg.evaluate(derive(w(ridge(x, t, s))), values)
            np.testing.assert_allclose(a, sg.evaluate(derive(w(closed)), values), rtol=1e-9)


def test_a_fixed_point_to_third_order():
    def contraction(a):
        y = a * 0
        for _ in range(60):
            y = 0.5 * sg.cos(y) + a / 4
        return implicit(y, fixed_point=lambda y: 0.5 * sg.cos(y) + a / 4)

    check_grads(contraction, np.asarray(0.3), order=3)


def test_nothing_goes_through_the_computation_of_the_solution():
    a = sg.symbol("a")
    y = implicit(sg.stop_gradient(sg.sqrt(a)), root=lambda y: y * y - a)
    assert sg.evaluate(sg.grad(y, a), {a: 4.0}) == 0.25
    wrong = implicit(17 * sg.sqrt(a) / 17, root=lambda y: y * y - a)
    assert sg.evaluate(sg.jvp(wrong, a, 1.0), {a: 4.0}) == 0.25
    known = sg.symbol("known")  # a solution from elsewhere
    assert sg.evaluate(sg.grad(implicit(known, root=lambda y: y * y - a), a), {known: 2.0, a: 4.0}) == 0.25


def test_the_unknowns_may_be_nested_and_the_equations_otherwise():
    def two(a, b):
        found = root(
            lambda d: [d["v"] * d["u"] - b, d["u"] ** 2 + d["v"].sum() - a],
            {"u": sg.constant(2.0), "v": sg.constant(np.full((2, 1), 0.1))},
        )
        return found["u"], found["v"]

    a, b = np.asarray(5.0), np.array([[0.3], [0.2]])
    check_grads(two, a, b, order=2)
    u, v = sg.evaluate(two(sg.constant(a), sg.constant(b)))
    np.testing.assert_allclose([u**2 + v.sum(), *(v * u).ravel()], [5.0, 0.3, 0.2])


def test_what_the_condition_does_not_use_has_no_derivative():
    a, c = sg.symbol("a"), sg.symbol("c")
    y = implicit(sg.sqrt(a) + 0 * c, root=lambda y: y * y - a)
    assert sg.evaluate(sg.grad(y, c, unused="zero"), {a: 4.0, c: 1.0}) == 0.0


def test_theta_made_of_theta():
    """Captured tensors that depend on each other are each counted once."""
    a = sg.symbol("a")
    h = sg.exp(a)
    y = implicit(sg.log(h * a + h), root=lambda y: sg.exp(y) - h * a - h)
    assert sg.evaluate(sg.grad(y, a), {a: 0.5}) == pytest.approx(1 + 1 / 1.5)
    assert sg.evaluate(sg.jvp(y, a, 1.0), {a: 0.5}) == pytest.approx(1 + 1 / 1.5)
    check_grads(lambda a: implicit(sg.log(sg.exp(a) * a), root=lambda y: sg.exp(y) - sg.exp(a) * a), np.asarray(0.7))


@pytest.mark.parametrize("shape", [(0,), (1,), (1, 2), ("n",)])
def test_shapes(shape):
    a = sg.symbol("a", shape)
    values = np.full([3 if s == "n" else s for s in shape], 4.0)
    y = root(lambda y: y * y - a, sg.ones_like(a))
    found, slope = sg.evaluate([y, sg.grad(y.sum(), a)], {a: values})
    np.testing.assert_allclose(found, np.sqrt(values))
    np.testing.assert_allclose(slope, np.full(values.shape, 0.25))


def test_single_precision_stays():
    a = sg.symbol("a", (3,), "float32")
    y = root(lambda y: y * y - a, sg.ones_like(a))
    for node in (y, sg.grad(y.sum(), a), sg.jvp(y, a, a)):
        assert node.dtype == np.float32
    f = sg.function([a], [y, sg.grad(y.sum(), a)])
    found, slope = f(np.full(3, 4, "float32"))
    assert found.dtype == slope.dtype == np.float32
    np.testing.assert_allclose(found, 2, rtol=1e-6)


def test_complex_roots():
    a = sg.symbol("a", (), "complex128")
    y = root(lambda y: y * y - a, sg.constant(1 + 1j))
    value = np.asarray(-3 + 4j)
    assert sg.evaluate(y, {a: value}) == pytest.approx(1 + 2j)
    for loss in (sg.real, sg.absolute):
        expected = sg.evaluate(sg.grad(loss(sg.sqrt(a)), a), {a: value})
        np.testing.assert_allclose(sg.evaluate(sg.grad(loss(y), a), {a: value}), expected)


def test_an_untaken_branch_does_not_leak():
    a = sg.symbol("a")
    loss = sg.where(a > 0, implicit(sg.sqrt(sg.maximum(a, 0.0)), root=lambda y: y * y - a), 0)
    with np.errstate(all="ignore"):
        assert sg.evaluate(sg.grad(loss, a), {a: 0.0}) == 0.0


# The compiled source


def test_value_gradient_and_curvature_share_one_factorization():
    m, b, v = sg.symbol("m", (3, 3)), sg.symbol("b", (3,)), sg.symbol("v", (3,))
    y = system(m, b)
    slopes = sg.grad((y * y).sum(), (m, b))
    f = sg.function([m, b, v], [y, *slopes, *sg.jvp(slopes, b, v)])
    assert f.source.count("getrf") == 1 and "implicit" not in f.source.replace("test_implicit", "")
    for style in ("plain", "fast"):
        g = sg.function([m, b], [y, *slopes], style=style, optimize=False)
        h = sg.function([m, b], [y, *slopes], style=style)
        for p, q in zip(g(M, B), h(M, B), strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-9)


def test_newtons_method_is_a_loop():
    a = sg.symbol("a")
    f = sg.function([a], root(lambda y: y * y - a, 1.0, steps=30))
    assert "for _ in range(30):" in f.source
    assert f(9.0) == 3.0 and isinstance(f(9.0), np.float64)
    copy = pickle.loads(pickle.dumps(f))
    assert copy(9.0) == 3.0


def test_no_convergence_is_an_error():
    a = sg.symbol("a")
    f = sg.function([a], root(lambda y: y * y + a, 1.0))
    with pytest.raises(RuntimeError, match="did not converge in 50 steps"):
        f(4.0)
    with pytest.raises(RuntimeError, match="did not converge"):
        f(np.nan)
    with pytest.raises(RuntimeError, match="did not converge in 2 steps"):
        sg.evaluate(root(lambda y: y * y - a, 1.0, steps=2), {a: 4.0})
    assert sg.evaluate(root(lambda y: y * y - a, 1.0, steps=2, tol=1.0), {a: 4.0}) == 2.5


def test_parameters_are_not_updated_when_there_is_no_convergence():
    p, a = sg.parameter(1.0, "p"), sg.symbol("a")
    f = sg.function([a], [], updates={p: root(lambda y: y * y + a, p)})
    with pytest.raises(RuntimeError):
        f(4.0)
    assert p.value == 1.0
    f(-9.0)
    assert p.value == 3.0


def test_a_singular_jacobian():
    a = sg.symbol("a", (2,))
    with pytest.raises(np.linalg.LinAlgError):
        sg.evaluate(root(lambda y: sg.stack([y[0] + y[1], y[0] + y[1]]) - a, np.ones(2)), {a: B[:2]})


def test_rows_are_solved_one_by_one():
    rows = sg.symbol("rows", ("n", 3))
    values = np.abs(rng.standard_normal((4, 3))) + 0.5
    y = vmap(lambda a: root(lambda y: y * y - a, sg.ones_like(a)))(rows)
    found, slope = sg.evaluate([y, sg.grad(y.sum(), rows)], {rows: values})
    np.testing.assert_allclose(found, np.sqrt(values))
    np.testing.assert_allclose(slope, 0.5 / np.sqrt(values))


def test_a_body_of_symbolic_size():
    a = sg.symbol("a")
    b = sg.symbol("b", ("n",))
    y = root(lambda y: y * sg.arange(b.shape[0], dtype="float64").sum() - a, 1.0)
    f = sg.function([a, b], [y, b.sum()])
    assert f(6.0, np.ones(4))[0] == pytest.approx(1.0)


# Bad input


def test_bad_conditions():
    a = sg.symbol("a", (3,))
    with pytest.raises(TypeError, match="one of root, argmin and fixed_point, not none"):
        implicit(a)
    with pytest.raises(TypeError, match="not root and fixed_point"):
        implicit(a, root=lambda y: y, fixed_point=lambda y: y)
    with pytest.raises(ShapeError, match=r"root gives \(2,\), 2 equations for 3 unknowns"):
        implicit(a, root=lambda y: y[:2])
    with pytest.raises(ShapeError, match=r"argmin must give one real number, not .*Reduce it with sum"):
        implicit(a, argmin=lambda y: y * y)
    with pytest.raises(ShapeError, match="fixed_point must give the nesting and the shapes"):
        implicit(a, fixed_point=lambda y: [y])
    with pytest.raises(ShapeError, match="fixed_point must give the nesting and the shapes"):
        implicit(a, fixed_point=lambda y: y.sum())
    with pytest.raises(GradientError, match="the condition root does not depend on its argument"):
        implicit(a, root=lambda y: a * 2)
    with pytest.raises(DTypeError, match="It must be real or complex"):
        implicit(a, root=lambda y: y > 0)
    with pytest.raises(DTypeError, match=r"the unknown\[1\] is .*int64.*astype"):
        root(lambda y: y[0], [1.0, 2])
    with pytest.raises(ShapeError, match="there is no unknown"):
        root(lambda y: y, [])


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 2.5}, {"tol": 0}, {"tol": -1.0}, {"tol": np.nan}])
def test_bad_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        root(lambda y: y, 1.0, **options)


def test_the_nodes_are_plain_data():
    a = sg.symbol("a", (3,))
    y = root(lambda y: y * y - a, sg.ones_like(a))
    assert y is root(lambda y: y * y - a, sg.ones_like(a))
    node = pickle.loads(pickle.dumps(sg.grad(y.sum(), a)))
    (leaf,) = [n for n in toposort([node]) if n.op.name == "symbol"]
    np.testing.assert_allclose(sg.evaluate(node, {leaf: np.full(3, 4.0)}), 0.25)
