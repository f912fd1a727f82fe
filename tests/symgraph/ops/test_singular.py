"""Singular values, pseudoinverses and what is made of them, beside NumPy and central differences."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.testing import check_grads

RNG = np.random.default_rng(8)
SHAPES = [(3, 3), (4, 3), (3, 4), (2, 3, 2), (2, 2, 3), (1, 1), (1, 3), (3, 1)]
L = np.linalg


def of(shape):
    return RNG.standard_normal(shape)


def value(function, *arrays):
    xs = [sg.symbol("ab"[i], a.shape, a.dtype) for i, a in enumerate(arrays)]
    return sg.function(xs, function(*xs))(*arrays)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_vectors_and_values_are_differentiated(shape):
    def weighed(x):
        return x**2 * np.arange(1.0, 1 + x.size // (2 if len(shape) == 3 else 1)).reshape(x.shape[-2:])

    a = of(shape)
    check_grads(lambda x: weighed(L.svd(x, full_matrices=False).U), a)
    check_grads(lambda x: weighed(L.svd(x, full_matrices=False).Vh), a)
    check_grads(lambda x: L.svd(x, full_matrices=False).S, a)
    check_grads(lambda x: (lambda u, s, vh: (u * s[..., None, :]) @ vh)(*L.svd(x, full_matrices=False)), a)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "function",
    [
        L.svdvals,
        L.pinv,
        L.cond,
        lambda a: L.cond(a, -2),
        lambda a: L.norm(a, 2, (-2, -1)),
        lambda a: L.norm(a, -2, (-1, -2), keepdims=True),
        lambda a: L.norm(a, "nuc", (-2, -1)),
    ],
)
def test_functions_are_numpys_with_their_derivatives(function, shape):
    a = of(shape)
    np.testing.assert_allclose(value(function, a), function(a), rtol=1e-10)
    check_grads(function, a)


def test_complex_matrices():
    z = of((3, 2)) + 1j * of((3, 2))
    for a in (z, z.T.copy()):
        np.testing.assert_allclose(value(L.svdvals, a), L.svdvals(a))
        check_grads(L.svdvals, a, order=1)
        check_grads(L.pinv, a)
    x = sg.symbol("x", (3, 2), complex)
    with pytest.raises(sg.GradientError, match=r"svd of x .* real matrices only"):
        sg.grad(np.abs(L.svd(x, full_matrices=False).U).sum(), x)


def test_equal_singular_values_have_finite_gradients_when_only_they_are_used():
    x = sg.symbol("x", (3, 3))
    for y in (L.svdvals(x).sum(), L.svd(x).S.sum(), L.norm(x, "nuc")):
        np.testing.assert_allclose(sg.evaluate(sg.grad(y, x), {x: np.eye(3)}), np.eye(3), atol=1e-15)
    vectors = sg.function([x], sg.grad(L.svd(x).U[0].sum(), x))
    with np.errstate(all="ignore"):
        assert not np.isfinite(vectors(np.eye(3))).all()  # as documented


@pytest.mark.parametrize("a", [of((5, 3)), of((3, 3)), of((3, 5))], ids=lambda a: str(a.shape))
@pytest.mark.parametrize("columns", [(), (2,)])
def test_least_squares(a, columns):
    b = of((len(a), *columns))
    for found, expected in zip(value(lambda a, b: tuple(L.lstsq(a, b)), a, b), L.lstsq(a, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
        assert found.shape == np.shape(expected) and found.dtype == np.asarray(expected).dtype
    check_grads(lambda a, b: L.lstsq(a, b)[0], a, b)


def test_least_squares_has_the_normal_equations_gradient():
    a, b = sg.symbol("a", ("n", 3)), sg.symbol("b", "n")
    g = sg.function([a, b], sg.grad(L.lstsq(a, b)[1].sum(), b))
    A, B = of((6, 3)), of(6)
    np.testing.assert_allclose(g(A, B), 2 * (B - A @ L.lstsq(A, B)[0]), rtol=1e-10)


def test_a_matrix_is_decomposed_once_for_value_and_gradient():
    x = sg.symbol("x", (4, 3))
    y = L.norm(x, "nuc")
    both = sg.function([x], [y, sg.grad(y, x)])
    assert both.source.count("np.linalg.svd(") == 1
    a = of((4, 3))
    u, s, vh = L.svd(a, full_matrices=False)
    for found, expected in zip(both(a), (s.sum(), u @ vh), strict=True):
        np.testing.assert_allclose(found, expected)


def test_ranks_and_condition_numbers():
    deficient = of((4, 3)) @ np.diag([1.0, 1, 0])
    for a in (of((4, 3)), deficient, np.zeros((3, 3)), np.stack([np.eye(3), np.ones((3, 3))]), np.ones(3), np.zeros(2)):
        rank = value(L.matrix_rank, a)
        assert rank.dtype == np.int64
        np.testing.assert_array_equal(rank, L.matrix_rank(a))
    np.testing.assert_array_equal(value(lambda a: L.matrix_rank(a, tol=0.5), np.diag([2.0, 0.4])), 1)
    np.testing.assert_allclose(value(lambda a: L.pinv(a, rtol=0.1), np.diag([2.0, 0.1])), np.diag([0.5, 0]))
    for p in (None, 2, -2):
        np.testing.assert_array_equal(value(lambda a: L.cond(a, p), np.zeros((2, 2))), np.inf)
    for p in (1, -1, "fro", np.inf):
        np.testing.assert_allclose(value(lambda a: L.cond(a, p), a := of((3, 3))), L.cond(a, p))


@pytest.mark.parametrize(
    ("attempt", "error", "said"),
    [
        (L.svd, sg.ShapeError, r"svd of x \(3, 2\).*full_matrices=False"),
        (lambda x: L.svdvals(x[0]), sg.ShapeError, "A matrix has two"),
        (lambda x: L.svdvals(x.astype("e")), sg.DTypeError, "float16"),
        (lambda x: L.pinv(x, 1e-3, rtol=1e-3), TypeError, "not both"),
        (lambda x: L.matrix_rank(x, 1e-3, rtol=1e-3), TypeError, "not both"),
        (lambda x: L.lstsq(x[None], x), sg.ShapeError, "one matrix"),
        (lambda x: L.norm(x, 5), ValueError, "no meaning"),
    ],
)
def test_mistakes_are_explained(attempt, error, said):
    with pytest.raises(error, match=said):
        attempt(sg.symbol("x", (3, 2)))
