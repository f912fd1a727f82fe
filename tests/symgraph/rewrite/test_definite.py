"""The gradient of a Gaussian log-density through a Cholesky factor comes out as a person writes it."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.linalg import cho_factor, cho_solve, cholesky, solve, solve_triangular
from symgraph.rewrite import factorizations

rng = np.random.default_rng(0)
K, y, Y, s = sg.symbol("K", ("n", "n")), sg.symbol("y", ("n",)), sg.symbol("Y", ("n", "k")), sg.symbol("s")


def logdet(L):
    return sg.sum(sg.log(sg.diagonal(L)))


def by_solve(A):
    L = cholesky(A)
    z = solve(L, y)
    return 0.5 * sg.sum(z * z) + logdet(L)


def by_cho_solve(A, lower=True):
    c = cho_factor(A, lower)
    return 0.5 * y @ cho_solve(c, y) + logdet(c[0])


def by_columns(A):
    L = cholesky(A)
    Z = solve_triangular(L, Y, lower=True)
    return s * sg.sum(Z * Z) + 3 * s * logdet(L)


FORMS = {
    "solve": by_solve,
    "cho_solve": by_cho_solve,
    "upper": lambda A: by_cho_solve(A, lower=False),
    "columns": by_columns,
    "squares": lambda A: (
        0.5 * y @ cho_solve((cholesky(A), True), y) + 0.5 * sg.sum(sg.log(sg.diagonal(cholesky(A)) ** 2))
    ),
}


def given(n=5):
    a = rng.standard_normal((n, n))
    return a @ a.T + n * np.eye(n), rng.standard_normal(n), rng.standard_normal((n, 2)), 0.7


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("style", ["plain", "fast"])
def test_one_factor_one_inverse_and_the_systems_of_the_value(name, style):
    A = (K + K.T) / 2
    value = FORMS[name](A)
    inputs = [K, Y, s] if name == "columns" else [K, y]
    f = sg.function(inputs, (value, sg.grad(value, K)), style=style)
    assert f.source.count("linalg.cholesky(") == 1 and f.source.count("potri") == 1
    solved = [w for w in ("trtrs(", "trsm(", "solve_triangular(") for _ in range(f.source.count(w))]
    assert len(solved) == 2 and "getrf" not in f.source
    direct = sg.function(inputs, (value, sg.grad(value, K)), optimize=False)
    assert "potri" not in direct.source
    a, v, w, c = given()
    arguments = [a, w, c] if name == "columns" else [a, v]
    for found, expected in zip(f(*arguments), direct(*arguments), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_it_is_the_gradient_by_hand():
    a, v, _, _ = given()
    A = (K + K.T) / 2
    inverse = np.linalg.inv(a)
    expected = 0.5 * (inverse - np.outer(inverse @ v, inverse @ v))
    np.testing.assert_allclose(sg.function([K, y], sg.grad(by_solve(A), K))(a, v), expected, rtol=1e-9, atol=1e-12)


def test_what_has_no_such_form_stays():
    """A part of the cotangent with a form of its own does not hide the rest of it."""
    A = (K + K.T) / 2
    L = cholesky(A)
    for value in (
        sg.sum(sg.sin(L)),
        logdet(L) + sg.sum(sg.sin(L)),
        solve(L, y) @ sg.sin(solve(L, y)),
        y @ (1 / sg.diagonal(L)),
    ):
        g = sg.grad(value, K)
        f, direct = (sg.function([K, y], [g, y], optimize=optimize) for optimize in (True, False))
        a, v, _, _ = given()
        np.testing.assert_allclose(f(a, v)[0], direct(a, v)[0], rtol=1e-8, atol=1e-11)


def test_without_scipy_numpy_does_it_all(monkeypatch):
    monkeypatch.setattr(factorizations, "has_lapack", lambda: False)
    monkeypatch.setattr("symgraph.rewrite.definite.has_lapack", lambda: False)
    A = (K + K.T) / 2
    f = sg.function([K, y], sg.grad(by_solve(A), K))
    assert "scipy" not in f.source
    a, v, _, _ = given()
    inverse = np.linalg.inv(a)
    expected = 0.5 * (inverse - np.outer(inverse @ v, inverse @ v))
    np.testing.assert_allclose(f(a, v), expected, rtol=1e-9, atol=1e-12)
