"""Derivatives of order two to six together: blocks of variables, derivatives of derivatives, sizes of every kind."""

import numpy as np
import pytest
import sympy

import symgraph as sg
from symgraph import func
from symgraph.autodiff import batched_jacobian
from symgraph.errors import DTypeError, GradientError, ShapeError
from symgraph.structured.derive import HESSIAN_MODES

rng = np.random.default_rng(7)
MODES = (None, *HESSIAN_MODES)
A, B = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
AT = np.array([0.3, -0.6, 1.1])
V, W = rng.normal(size=3), rng.normal(size=3)


def value(y, given):
    return sg.interpret([y], given)[0]


def agree(found, expected, what="", rtol=1e-8):
    assert np.shape(found) == np.shape(expected), what
    np.testing.assert_allclose(
        found, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected), initial=1), err_msg=what
    )


# Several variables ---------------------------------------------------------------------------------------------------


def shifted_hessian(build, x, at):
    """The blocks for x and for the node that `build` names h, by a leaf that is added to h."""
    e = sg.symbol("e", x.shape)
    g = sg.grad(build(x, e), [x, e])
    return [sg.interpret(batched_jacobian(row, [x, e]), {x: at, e: np.zeros(x.shape)}) for row in g]


@pytest.mark.parametrize("mode", ["edge-pushing", None])
def test_blocks_of_variables_that_meet(mode):
    """The estimate of the work must not choose a form that leaves blocks out."""
    L = sg.constant(rng.normal(size=(2, 50)))
    x, c = sg.symbol("x", (50,)), sg.symbol("c", (2,))
    y = sg.sum(sg.exp(sg.sin(L @ x)) * sg.cos(c))
    given = {x: rng.normal(size=50), c: rng.normal(size=2)}
    for variables in ([x, c], [c, x]):
        expected = [sg.interpret(batched_jacobian(g, variables), given) for g in sg.grad(y, variables)]
        for row, wanted in zip(sg.hessian(y, variables, mode), expected, strict=True):
            for block, e in zip(row, wanted, strict=True):
                agree(value(block, given), e, f"{mode}\n{block}")


@pytest.mark.parametrize("mode", MODES)
def test_a_variable_that_depends_on_another(mode):
    x = sg.symbol("x", (3,))
    h = sg.exp(x)
    build = lambda x, e: sg.sum((sg.exp(x) + e) ** 3 * x**2)
    y = sg.sum(h**3 * x**2)
    expected = shifted_hessian(build, x, AT)
    for order in ([0, 1], [1, 0]):
        variables = [[x, h][k] for k in order]
        blocks = sg.hessian(y, variables, mode)
        for i, row in zip(order, blocks, strict=True):
            for j, block in zip(order, row, strict=True):
                agree(value(block, {x: AT}), expected[i][j], f"{mode} {order} {i} {j}\n{block}")


def test_the_same_variable_twice_and_one_that_is_not_used():
    x, s = sg.symbol("x", (3,)), sg.symbol("s")
    for mode in MODES:
        blocks = sg.hessian(sg.sum(x**3), [x, x, s], mode)
        expected = [[np.diag(6 * AT), np.diag(6 * AT), np.zeros(3)]] * 2 + [[np.zeros(3), np.zeros(3), np.zeros(())]]
        for row, wanted in zip(blocks, expected, strict=True):
            for block, e in zip(row, wanted, strict=True):
                agree(value(block, {x: AT, s: np.array(2.0)}), e, f"{mode}\n{block}")


# Sizes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_axes_of_size_0_and_1_and_no_axes(mode):
    s, o, z = sg.symbol("s"), sg.symbol("o", (1, 1)), sg.symbol("z", (0, 3))
    x = sg.symbol("x", (3,))
    given = {s: np.array(0.7), o: np.array([[0.9]]), z: np.zeros((0, 3)), x: AT}
    problems = [
        (sg.exp(s * s), [s]),
        (sg.sum(o**3 * s), [o, s]),
        (sg.sum(sg.sin(z * x)) + sg.sum(x**3), [z, x]),
        (sg.sum(x[3:] ** 2) + sg.sum(x[0:0:2] ** 2) + sg.sum(x**3), [x]),
        (sg.sum(sg.concatenate([z, x[None]]) ** 3), [x, z]),
    ]
    for y, variables in problems:
        blocks = sg.hessian(y, variables, mode)
        for g, row in zip(sg.grad(y, variables), blocks, strict=True):
            for e, block in zip(sg.interpret(batched_jacobian(g, variables), given), row, strict=True):
                agree(value(block, given), e, f"{mode}\n{block}")
                ones = np.ones(block.column_shape)
                agree(value(block.matvec(ones), given), np.tensordot(e, ones, ones.ndim), f"{mode}\n{block}")


u, p, w = sg.symbol("u", ("n",)), sg.symbol("p", ("m",)), sg.symbol("w", ("n", "m"))
SYMBOLIC = {
    "band": lambda u, p, w: sg.sum((u[1:] - u[:-1] ** 2) ** 2) + sg.sum(u**2),
    "join": lambda u, p, w: sg.sum(sg.concatenate([u, p]) ** 3),
    "ends": lambda u, p, w: u[-1] ** 3 * u[0] + sg.sum(u[::-1] * sg.exp(u)),
    "rows": lambda u, p, w: sg.sum(sg.logsumexp(w * p, axis=1) * u),
}


@pytest.mark.parametrize("sizes", [(4, 3), (3, 3), (2, 1)])
@pytest.mark.parametrize("name", SYMBOLIC)
def test_sizes_known_only_at_the_call(name, sizes):
    n, m = sizes
    numbers = [rng.normal(size=shape) for shape in ((n,), (m,), (n, m))]
    fixed = [sg.symbol("f", v.shape) for v in numbers]
    given, known = (dict(zip(xs, numbers, strict=True)) for xs in ([u, p, w], fixed))
    y, z = SYMBOLIC[name](u, p, w), SYMBOLIC[name](*fixed)
    for x, f in zip((u, p, w), fixed, strict=True):
        (e,) = sg.interpret(batched_jacobian(sg.grad(z, f, unused="zero"), [f]), known)
        flat = e.reshape(f.size, f.size)
        for mode in MODES:
            H = sg.hessian(y, x, mode)
            for answer, wanted in (
                (H, e),
                (H.diagonal(), np.diag(flat).reshape(f.shape)),
                (H.trace(), np.trace(flat)),
                (H.matvec(x), np.tensordot(e, known[f], f.ndim)),
                (H.rmatvec(x), np.tensordot(known[f], e, f.ndim)),
            ):
                agree(value(answer, given), wanted, f"{mode}\n{H}")


@pytest.mark.parametrize("mode", MODES)
def test_a_size_as_a_factor(mode, request):
    """Equal values along an axis of unknown size count as often as it is long."""
    square = sg.broadcast_to(sg.sum(u**2), (u.shape[0], u.shape[0]))
    y = sg.sum(sg.sin(sg.sum(square, axis=0)) * u)
    given = {u: AT}
    (e,) = sg.interpret(batched_jacobian(sg.grad(sg.sum(sg.sin(3 * sg.sum(u**2)) * u), u), [u]), given)
    H = sg.hessian(y, u, mode)
    agree(value(H, given), e, str(H))
    agree(value(H.trace(), given), np.trace(e), str(H))


def test_a_vector_of_another_size_is_refused_at_the_call():
    v = sg.symbol("v", ("r",))
    f = sg.function([u, v], sg.hessian(sg.sum(u**4) + (u @ u) ** 2, u).matvec(v))
    assert f(np.ones(5), np.ones(5)).shape == (5,)
    with pytest.raises(ShapeError):
        f(np.ones(3), np.ones(5))


# Derivatives of derivatives ------------------------------------------------------------------------------------------

FUNCTIONS = {
    "cubes": lambda x: np.sum((A @ x) ** 3),
    "logsumexp": lambda x: np.log(np.sum(np.exp(A @ np.sin(x)))),
    "norm": lambda x: np.linalg.norm(A @ x + 1) * x[0],
    "network": lambda x: np.sum(np.tanh(A @ np.tanh(B @ x))),
    "Rosenbrock": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "slices": lambda x: np.prod(x) * np.sum(x[::-1][:2] * np.exp(x[1:])),
    "outer": lambda x: np.sum(np.sin(np.outer(x, x)) * np.outer(x, B @ x)),
    "division": lambda x: np.sum(x / (1 + np.sum(x * x))),
    "where": lambda x: np.sum(np.where(x > 0, x**4, np.exp(x) * x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_third_derivatives(name):
    f, x = FUNCTIONS[name], sg.symbol("x", (3,))
    y = f(x)
    (second,) = batched_jacobian(sg.grad(y, x), [x])
    step = 1e-5 * V
    near = [value(second, {x: AT + k * step}) for k in (-1, 1)]
    H = sg.hessian(y, x)
    wanted = sg.interpret(batched_jacobian(second, [x]), {x: AT})[0]
    agree(wanted @ V, (near[1] - near[0]) / 2e-5, "the reference", rtol=1e-5)
    trace = np.einsum("iij->j", wanted)
    for found, e in (
        (sg.jacobian(H, x, "forward"), wanted),
        (sg.jacobian(H, x, "reverse"), wanted),
        (sg.jacobian(H.matvec(sg.constant(V)), x), np.einsum("ijk,j->ik", wanted, V)),
        (sg.hessian(sg.jvp(y, x, V), x), wanted @ V),
        (sg.grad(H.trace(), x), trace),
        (sg.grad(sg.laplacian(y, x), x), trace),
        (sg.jvp(H.diagonal(), x, V), np.einsum("iij->ij", wanted) @ V),
        (sg.grad(V @ H @ W, x), np.einsum("ijk,i,j->k", wanted, V, W)),
    ):
        agree(value(found, {x: AT}), e, f"{name}\n{H}")


@pytest.mark.parametrize("name", ["logsumexp", "network", "slices"])
def test_transforms_of_callables_in_any_order(name):
    f = FUNCTIONS[name]
    H, T = func.hessian(f)(AT), func.jacobian(func.hessian(f))(AT)
    unit, rows = np.eye(3), rng.normal(size=(4, 3))
    agree(func.jacobian(func.grad(f))(AT), H)
    agree(func.jacobian(func.jit(func.grad(func.jit(f))))(AT), H)
    agree(func.vmap(lambda e: func.hvp(f)(AT, e))(unit), H)
    agree(func.vmap(lambda e: func.jvp(func.grad(f), (AT,), (e,))[1])(unit), H)
    agree(func.hessian(lambda x: func.jvp(f, (x,), (V,))[1])(AT), T @ V)
    agree(func.jvp(func.hessian(f), (AT,), (V,))[1], T @ V)
    agree(func.grad(func.laplacian(f))(AT), np.einsum("iij->j", T))
    agree(func.laplacian(func.laplacian(f))(AT), np.trace(func.hessian(func.laplacian(f))(AT)))
    agree(6 * func.taylor(f, 3)(AT, V)[3], np.einsum("ijk,i,j,k", T, V, V, V))
    agree(func.vmap(func.hessian(f))(rows), np.stack([func.hessian(f)(r) for r in rows]))
    whole = func.hessian(lambda X: np.sum(func.vmap(f)(X)))(rows)
    agree(np.einsum("aiaj->aij", whole), np.stack([func.hessian(f)(r) for r in rows]))


def test_implicit_values_bend_as_their_formulas_do():
    """y**3 + y = t, whose solution by Cardano's formula is differentiated in the ordinary way."""
    t = sg.symbol("t", (3,))
    half = t / 2
    disc = sg.sqrt(half**2 + 1 / 27)
    formula = sg.cbrt(half + disc) + sg.cbrt(half - disc)
    found = sg.root(lambda y: y**3 + y - t, t)
    attached = sg.implicit(sg.stop_gradient(formula), argmin=lambda y: sg.sum(y**4 / 4 + y**2 / 2 - y * t))
    bend = lambda y: sg.sum(y**3) + y[0] * y[1] * sg.exp(y[2])
    expected = value(sg.hessian(bend(formula), t), {t: AT})
    for y in (found, attached):
        for mode in ("forward-over-reverse", "symmetric"):
            agree(value(sg.hessian(bend(y), t, mode), {t: AT}), expected, mode, rtol=1e-7)
        third = value(sg.grad(sg.hessian(bend(y), t).trace(), t), {t: AT})
        agree(third, value(sg.grad(sg.hessian(bend(formula), t).trace(), t), {t: AT}), rtol=1e-6)


# Scalars, to order 6 -------------------------------------------------------------------------------------------------

SCALARS = {
    "tanh(x sin x)": lambda x, m: m.tanh(x * m.sin(x)),
    "softplus": lambda x, m: m.log(1 + m.exp(x)),
    "x**3.5": lambda x, m: x**3.5,
    "x**x": lambda x, m: x**x,
    "sqrt(1 + x**4)": lambda x, m: m.sqrt(1 + x**4),
    "logistic of x**2": lambda x, m: 1 / (1 + m.exp(-x * x)),
    "log(x)/x": lambda x, m: m.log(x) / x,
    "sinh cosh": lambda x, m: m.sinh(x) * m.cosh(2 * x),
}


@pytest.mark.parametrize("name", SCALARS)
def test_sympy_agrees_to_order_6(name):
    f, x, s = SCALARS[name], sg.symbol("x"), sympy.Symbol("x", real=True)
    y, expected = f(x, sg), f(s, sympy)
    nested = y
    for order in range(1, 7):
        expected, nested = sympy.diff(expected, s), sg.grad(nested, x)
        for at in (0.7, 1.3):
            e = float(expected.subs(s, sympy.Float(at, 40)))
            for found in (nested, sg.derivative(y, x, order)):
                np.testing.assert_allclose(value(found, {x: np.float64(at)}), e, rtol=1e-8, err_msg=f"order {order}")


# What cannot be ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0.0, 1e-9, 1e-5])
def test_a_well_conditioned_matrix_is_solved_whatever_its_diagonal(first):
    x, a = sg.symbol("x", (6,)), np.arange(1.0, 7)
    H = sg.hessian(sg.sum(x**4) + (a @ x) ** 2, x)
    given = {x: np.array([first, 1, -1, 2, 0.5, 0.3])}
    matrix, found = sg.interpret([H, H.solve(np.ones(6))], given)
    assert np.linalg.cond(matrix) < 1e4
    np.testing.assert_allclose(matrix @ found, np.ones(6), rtol=1e-9)


def test_nothing_is_solved_with_a_hessian_that_is_zero():
    x = sg.symbol("x", (3,))
    with pytest.raises((GradientError, np.linalg.LinAlgError)):
        sg.evaluate(sg.hessian(sg.sum(2 * x), x).solve(np.ones(3)), {})


def test_a_complex_vector_is_refused_by_a_real_matrix():
    x = sg.symbol("x", (3,))
    with pytest.raises(DTypeError):
        sg.hessian(sg.sum(x**3), x).matvec(1j * np.ones(3))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda x, i: sg.hessian(x**2, x), r"power \(3,\).*must be a scalar"),
        (lambda x, i: sg.hessian(sg.sum(i * x), i), r"with respect to i \(3,\) int64.*astype"),
        (lambda x, i: sg.hessian(sg.sum(x * 1j), x), "must be real"),
        (lambda x, i: sg.hessian(sg.sum(x**3), []), "no variable"),
        (lambda x, i: sg.jvp(sg.sum(x), x, np.ones(4)), "3 != 4"),
        (lambda x, i: sg.hvp(sg.sum(x**3), x, np.ones((3, 1))), "shape of its tensor"),
        (lambda x, i: sg.hessian(sg.sum(x**3), x).matvec(np.ones(4)), "4 != 3"),
        (lambda x, i: sg.jacobian(x[:2] ** 2, x).rmatvec(np.ones(3)), "3 != 2"),
        (lambda x, i: sg.jacobian(x[:2] ** 2, x).solve(np.ones(2)), "axes of the output"),
    ],
)
def test_mistakes_are_named(attempt, message):
    with pytest.raises((GradientError, ShapeError), match=message):
        attempt(sg.symbol("x", (3,)), sg.symbol("i", (3,), "int64"))
