"""SciPy's optimizers take compiled functions, sparse matrices and patterns as they are."""

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize, root

import symgraph as sg
from symgraph.structured.coloring import compressed_csr
from symgraph.structured.sparsity import sparsity

N = 30


@pytest.fixture(scope="module")
def rosenbrock():
    """The function, its gradient, Hessian (dense, structured and compressed) and Hessian-vector product, and a start."""
    x, v = sg.symbol("x", (N,)), sg.symbol("v", (N,))
    y = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    gradient = sg.grad(y, x)
    hessian = sg.hessian(y, x)
    return {
        "fun": sg.function([x], y),
        "both": sg.function([x], (y, gradient)),
        "jac": sg.function([x], gradient),
        "dense": sg.function([x], hessian),
        "terms": sg.function([x], hessian.csr()),
        "compressed": sg.function([x], compressed_csr(gradient, x, symmetric=True)),
        "hessp": sg.function([x, v], sg.hvp(y, x, v)),
        "x0": np.full(N, 0.8),
    }


DENSE = ["Newton-CG", "trust-constr", "trust-krylov", "trust-ncg", "trust-exact"]
SPARSE = ["Newton-CG", "trust-constr"]  # the others take a dense array, or products by `hessp`


@pytest.mark.parametrize(
    ("method", "hessian"), [(m, "dense") for m in DENSE] + [(m, h) for m in SPARSE for h in ("terms", "compressed")]
)
def test_minimize_with_a_hessian(rosenbrock, method, hessian):
    f = rosenbrock
    found = minimize(f["fun"], f["x0"], jac=f["jac"], hess=f[hessian], method=method, tol=1e-8)
    np.testing.assert_allclose(found.x, 1, atol=1e-3)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-constr", "trust-krylov", "trust-ncg"])
def test_minimize_with_products(rosenbrock, method):
    f = rosenbrock
    found = minimize(f["fun"], f["x0"], jac=f["jac"], hessp=f["hessp"], method=method, tol=1e-8)
    np.testing.assert_allclose(found.x, 1, atol=1e-3)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "CG"])
def test_minimize_with_a_gradient(rosenbrock, method):
    f = rosenbrock
    assert minimize(f["fun"], f["x0"], jac=f["jac"], method=method, options={"maxiter": 900}).fun < 1e-3
    assert minimize(f["both"], f["x0"], jac=True, method=method, options={"maxiter": 900}).fun < 1e-3


def residuals():
    x = sg.symbol("x", (N,))
    return x, sg.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def test_least_squares_with_a_sparse_jacobian():
    x, r = residuals()
    jac = sg.function([x], compressed_csr(r, x))
    found = least_squares(sg.function([x], r), np.full(N, 0.8), jac=jac, method="trf", tr_solver="lsmr")
    assert found.success
    np.testing.assert_allclose(found.x, 1, atol=1e-6)


def test_least_squares_with_a_dense_jacobian():
    x, r = residuals()
    for method in ("trf", "dogbox", "lm"):
        found = least_squares(
            sg.function([x], r), np.full(N, 0.8), jac=sg.function([x], sg.jacobian(r, x)), method=method
        )
        np.testing.assert_allclose(found.x, 1, atol=1e-6)


def test_least_squares_with_a_pattern():
    x, r = residuals()
    plain = least_squares(sg.function([x], r), np.full(N, 0.8), method="trf", tr_solver="lsmr")
    found = least_squares(
        sg.function([x], r), np.full(N, 0.8), jac_sparsity=sparsity(r, x), method="trf", tr_solver="lsmr"
    )
    np.testing.assert_allclose(found.x, plain.x, atol=1e-4)
    np.testing.assert_allclose(found.x, 1, atol=1e-4)


def test_a_square_system():
    x = sg.symbol("x", (8,))
    y = sg.tanh(x) + x**3 - sg.roll(x, 1) / 4 - 0.1
    found = root(sg.function([x], y), np.zeros(8), jac=sg.function([x], sg.jacobian(y, x)))
    assert found.success
    np.testing.assert_allclose(sg.evaluate(y, {x: found.x}), 0, atol=1e-9)
