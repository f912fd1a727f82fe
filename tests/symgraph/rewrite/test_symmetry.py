"""What is called symmetric is so, and kernel matrices are seen to be; then their Cholesky factor does for everything."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.rewrite.symmetry import is_symmetric

X, x, A, w = sg.symbol("X", (4, 2)), sg.symbol("x", (4,)), sg.symbol("A", (4, 4)), sg.symbol("w", (2,))
D = X[:, None, :] - X[None]
VALUES = {v: np.random.default_rng(0).uniform(0.5, 2, v.shape) for v in (X, x, A, w)}

SYMMETRIC = {
    "kernel": 3 * sg.exp(-0.5 * sg.sum(D**2, axis=-1)) + 0.1 * sg.eye(4),
    "distances": sg.norm(D, axis=-1),
    "expanded": sg.sum(X * X, 1)[:, None] + sg.sum(X * X, 1)[None] - 2 * X @ X.T,
    "vectors": sg.exp(-abs(x[:, None] - x[None])),
    "product of odd": (x[:, None] - x[None]) * sg.sum(D, axis=-1),
    "minimum": np.minimum(x[:, None], x[None]),
    "sum": (A + A.T) / 2,
    "gram": A @ A.T,
    "weighted gram": sg.einsum("ij,kj,j->ik", X, X, w),
    "outer": sg.outer(x, x) + sg.diag(x),
}
NOT = {
    "a matrix": A, "twice": A + A, "odd": A - A.T, "differences": x[:, None] - x[None], "outer": sg.outer(x, x + 1),
    "product": A @ A, "triangle": sg.tril(A), "two sums": x[:, None] + (2 * x)[None], "exp of odd": sg.exp(x[:, None] - x[None]),
    "row": A + A.T + x, "power": (x[:, None] - x[None]) ** 3, "of two": X @ (X * x[:, None]).T, "signs": sg.sum(D, axis=-1) + sg.eye(4),
}  # fmt: skip


@pytest.mark.parametrize("name", SYMMETRIC)
def test_seen(name):
    y = sg.simplify(SYMMETRIC[name])
    value = sg.evaluate(y, VALUES)
    np.testing.assert_allclose(value, value.T, rtol=1e-12)
    assert is_symmetric(y)


@pytest.mark.parametrize("name", NOT)
def test_not_claimed(name):
    y = NOT[name]
    value = sg.evaluate(y, VALUES)
    assert not np.allclose(value, value.T)
    assert not is_symmetric(y) and not is_symmetric(sg.simplify(y))


def test_a_deep_chain_is_looked_at_shortly():
    y = A + A.T
    for _ in range(5000):
        y = sg.sin(y)
    assert not is_symmetric(y)


@pytest.mark.parametrize("style", ["plain", "fast"])
def test_a_cholesky_factor_does_for_systems_determinants_and_the_inverse(style):
    K = SYMMETRIC["kernel"]
    outputs = [
        np.linalg.solve(K, x),
        np.linalg.solve(K.T, A),
        *np.linalg.slogdet(K),
        np.linalg.det(K),
        np.linalg.inv(K),
    ]
    f = sg.function([X, x, A], [*outputs, np.linalg.cholesky(K)], style=style)
    assert not [w for w in ("getrf", "linalg.solve(", "det(", "linalg.inv(") if w in f.source]
    k = sg.evaluate(K, VALUES)
    a, v = VALUES[A], VALUES[x]
    expected = [np.linalg.solve(k, v), np.linalg.solve(k, a), *np.linalg.slogdet(k), np.linalg.det(k), np.linalg.inv(k)]
    for found, e in zip(f(VALUES[X], v, a), expected, strict=False):
        assert found.dtype == e.dtype
        np.testing.assert_allclose(found, e, rtol=1e-9)


def test_what_may_not_be_symmetric_is_solved_as_it_is():
    f = sg.function([A, x], [np.linalg.solve(A, x), np.linalg.cholesky(A)])
    assert "np.linalg.solve" in f.source
    a = np.array([[2.0, 1, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]])  # cholesky reads the lower triangle only
    np.testing.assert_allclose(f(a, np.ones(4))[0], np.linalg.solve(a, np.ones(4)))
