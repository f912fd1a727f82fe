"""Triangular systems and Cholesky factors: SciPy's values, both modes to second order, the triangle that is read, errors."""

import numpy as np
import pytest
import scipy.linalg

import symgraph as sg
from symgraph.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from symgraph.ops.triangular import CholeskyGradient
from symgraph.testing.gradients import check_grads

rng = np.random.default_rng(0)


def matrix(*shape):
    return rng.standard_normal(shape) + 3 * np.eye(shape[-1])


def positive(n):
    a = matrix(n, n)
    return a @ a.T + np.eye(n)


Z = matrix(3, 3) + 1j * matrix(3, 3)
WAYS = [(trans, lower, unit) for trans in (0, 1) for lower in (False, True) for unit in (False, True)]


@pytest.mark.parametrize("trans, lower, unit", WAYS)
@pytest.mark.parametrize(
    "sizes", [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3, 2)), ((2, 3, 3), (3,)), ((3, 3), (4, 3, 1))]
)
def test_scipys_values_and_derivatives(sizes, trans, lower, unit):
    a, b = matrix(*sizes[0]), rng.standard_normal(sizes[1])
    A, B = sg.symbol("A", a.shape), sg.symbol("B", b.shape)
    y = solve_triangular(A, B, trans, lower, unit)
    t = np.tril(a) if lower else np.triu(a)
    t = np.where(np.eye(3, dtype=bool), 1, t) if unit else t
    expected = np.linalg.solve(np.swapaxes(t, -1, -2) if trans else t, b)
    assert y.shape == expected.shape
    for style in ("plain", "fast"):
        np.testing.assert_allclose(sg.function([A, B], y, style=style)(a, b), expected, rtol=1e-9)
    if a.ndim == b.ndim == 2:
        np.testing.assert_allclose(expected, scipy.linalg.solve_triangular(a, b, trans, lower, unit))
    check_grads(lambda x, y: solve_triangular(x, y, trans, lower, unit), a, b, order=2)


@pytest.mark.parametrize("trans", [0, 1, 2, "N", "T", "C"])
@pytest.mark.parametrize("lower", [False, True])
def test_complex_matrices_are_transposed_or_conjugated(trans, lower):
    b = rng.standard_normal(3)
    A = sg.symbol("A", (3, 3), complex)
    expected = scipy.linalg.solve_triangular(Z, b, trans, lower)
    np.testing.assert_allclose(sg.function([A], solve_triangular(A, b, trans, lower))(Z), expected)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("a", [positive(3), Z @ Z.conj().T])
def test_cho_solve(a, lower):
    b = rng.standard_normal((3, 2))
    A = sg.symbol("A", a.shape, a.dtype)
    c, said = cho_factor(A, lower)
    assert said is lower
    theirs = scipy.linalg.cho_factor(a, lower)
    found, x = sg.function([A], (c, cho_solve((c, lower), b)))(a)
    np.testing.assert_allclose(found, np.tril(theirs[0]) if lower else np.triu(theirs[0]))
    np.testing.assert_allclose(x, scipy.linalg.cho_solve(theirs, b))
    if a.dtype == float:
        check_grads(lambda a, b: cho_solve(cho_factor((a + a.T) / 2, lower), b), a, b, order=2)


def test_the_other_triangle_is_never_read():
    a = np.tril(matrix(4, 4)) + np.triu(np.full((4, 4), np.nan), 1)
    A, b = sg.symbol("A", (4, 4)), sg.symbol("b", (4,))
    y = solve_triangular(A, b, lower=True)
    for style in ("plain", "fast"):
        x, g = sg.function([A, b], (y, sg.grad((y * y).sum(), A)), style=style)(a, np.ones(4))
        assert np.isfinite(x).all() and np.isfinite(g).all() and (np.triu(g, 1) == 0).all()


@pytest.mark.parametrize("columns", [(), (2,)])
@pytest.mark.parametrize("n", [3, "n"])
@pytest.mark.parametrize("style", ["plain", "fast"])
def test_a_singular_matrix_raises_as_numpy_does(style, n, columns):
    A, b = sg.symbol("A", (n, n)), sg.symbol("b", (n, *columns))
    a = np.diag([1.0, 0, 2])
    with pytest.raises(np.linalg.LinAlgError, match="ingular matrix"):
        sg.function([A, b], solve_triangular(A, b), style=style)(a, np.ones((3, *columns)))
    unit = sg.function([A, b], solve_triangular(A, b, unit_diagonal=True), style=style)
    np.testing.assert_array_equal(unit(a, np.ones((3, *columns))), np.ones((3, *columns)))


def test_the_gradient_of_a_factor_is_an_op_of_its_own():
    A = sg.symbol("A", (3, 3))
    assert isinstance(sg.grad(cholesky(A).sum(), A).op, CholeskyGradient)
    check_grads(lambda a: sg.sin(cholesky((a + a.T) / 2)), positive(3), order=2)


@pytest.mark.parametrize("trans", [3, True, "t"])
def test_what_transposed_means_must_be_said(trans):
    A = sg.symbol("A", (3, 3))
    with pytest.raises(ValueError, match="trans="):
        solve_triangular(A, A, trans)


def test_wrong_operands():
    A = sg.symbol("A", (3, 3))
    with pytest.raises(sg.ShapeError, match="rows"):
        solve_triangular(A, sg.symbol("b", (4,)))
    with pytest.raises(sg.DTypeError, match="float16"):
        solve_triangular(A.astype("float16"), sg.symbol("b", (3,), "float16"))
    with pytest.raises(TypeError, match="cho_factor"):
        cho_solve(A, sg.symbol("b", (3,)))


def test_formulas():
    L, b = sg.symbol("L", ("n", "n")), sg.symbol("b", ("n",))
    assert sg.latex(solve_triangular(L, b, lower=True)) == "L^{-1} b"
    assert sg.latex(solve_triangular(L, b, "T", lower=True)) == "L^{-\\top} b"
