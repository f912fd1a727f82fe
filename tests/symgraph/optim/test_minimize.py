"""Runs to convergence: classic problems, rates of convergence, hard starts, what failure leaves behind, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import optimize

import symgraph as sg
from symgraph import CompileError, ShapeError, optim, parameter, symbol
from symgraph.core import toposort

METHODS = ["newton", "newton-cg"]
SQUARES = ["levenberg-marquardt", "gauss-newton"]


def _rng() -> Any:
    return np.random.default_rng(11)


def _chained(z: Any) -> Any:
    return ((1 - z[:-1]) ** 2 + 100 * (z[1:] - z[:-1] ** 2) ** 2).sum()


# Classic problems ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_rosenbrock(method: str) -> None:
    x, y = symbol("x"), symbol("y")
    found = optim.minimize((1 - x) ** 2 + 100 * (y - x * x) ** 2, {"x": x, "y": y}, {"x": -1.2, "y": 1.0}, method)
    assert found.success and found.status == 0 and found.nit <= 35
    np.testing.assert_allclose([found.x["x"], found.x["y"]], 1, rtol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_chained_rosenbrock_of_a_thousand(method: str) -> None:
    z = parameter(1 + 0.3 * np.sin(np.arange(1000)), "z")
    found = optim.minimize(_chained(z), z, method=method)
    assert found.success and found.nit <= 30
    np.testing.assert_allclose(z.value, 1, rtol=1e-7)


def test_a_step_on_bands_never_makes_the_matrix() -> None:
    """A square array of so many numbers each way could not be made: that a step runs at all shows it."""
    z = parameter(np.full(200_000, 0.9), "z")
    step = sg.function([], _chained(z), optim.newton(z, _chained(z)))
    values = [step() for _ in range(9)]
    assert values[-1] < 0.5 * values[0]
    assert "ptsv" in step.source


def test_logistic_regression_converges_quadratically() -> None:
    rng = _rng()
    X = rng.normal(size=(300, 10))
    y = np.where(X @ rng.normal(size=10) + rng.logistic(size=300) > 0, 1.0, -1.0)
    a, b, w = symbol("X", ("n", 10)), symbol("y", ("n",)), parameter(np.zeros(10), "w")
    loss = sg.softplus(-b * (a @ w)).sum() + 0.05 * (w @ w)
    found = optim.minimize(loss, w, data={a: X, b: y}, gtol=1e-11)
    expected = optimize.minimize(
        lambda v: np.logaddexp(0, -y * (X @ v)).sum() + 0.05 * v @ v,
        np.zeros(10),
        method="BFGS",
        options={"gtol": 1e-7},
    )
    assert found.success
    np.testing.assert_allclose(w.value, expected.x, rtol=1e-5)
    e = [float(i.optimality) for i in found.history] + [float(found.optimality)]
    near = [(a, b) for a, b in itertools.pairwise(e) if 1e-7 < a < 1e-1]
    assert near and all(b <= 0.2 * a**1.8 for a, b in near)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("masked", [False, True])
def test_matrix_factorization_whose_minima_are_not_isolated(method: str, masked: bool) -> None:
    rng = _rng()
    T = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 15))
    mask = (rng.random((20, 15)) < 0.8).astype(float) if masked else np.ones((20, 15))
    U, V = parameter(rng.normal(size=(20, 2)), "U"), parameter(rng.normal(size=(15, 2)), "V")
    found = optim.minimize((mask * (T - U @ V.T) ** 2).sum(), [U, V], method=method)
    assert found.success and found.fun < 1e-12
    np.testing.assert_allclose(mask * (U.value @ V.value.T), mask * T, atol=1e-5)


def test_newton_on_one_factor_solves_blocks() -> None:
    rng = _rng()
    T, V = rng.normal(size=(40, 30)), rng.normal(size=(30, 3))
    U = parameter(np.zeros((40, 3)), "U")
    loss = ((T - U @ V.T) ** 2).sum()
    assert "solve_definite" not in {n.op.name for n in toposort(list(optim.newton(U, loss).values()))}
    assert optim.minimize(loss, U).success
    np.testing.assert_allclose(U.value, np.linalg.lstsq(V, T.T)[0].T, rtol=1e-7)


def _network(rng: Any) -> tuple[Any, list[Any]]:
    x = np.linspace(-2, 2, 40)[:, None]
    shapes = [(1, 6), (6,), (6,), ()]
    W1, b1, W2, b2 = ps = [parameter(rng.normal(size=s), n) for s, n in zip(shapes, ["W1", "b1", "W2", "b2"])]
    return [sg.tanh(x @ W1 + b1) @ W2 + b2 - np.sin(2 * x[:, 0]), *[0.1 * p for p in ps]], ps


@pytest.mark.parametrize("method", METHODS)
def test_small_network(method: str) -> None:
    residuals, ps = _network(_rng())
    found = optim.minimize(sum((r * r).sum() for r in residuals), ps, method=method)
    assert found.success
    assert found.fun < found.history[0].fun / 10


def test_small_network_by_residuals() -> None:
    residuals, ps = _network(_rng())
    found = optim.least_squares(residuals, ps)
    assert found.success
    assert found.fun < found.history[0].fun / 10


# Sums of squares -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SQUARES)
def test_curve_fit_beside_scipy(method: str) -> None:
    rng = _rng()
    times = np.linspace(0, 4, 60)
    values = 2.5 * np.exp(-1.3 * times) + 0.5 + 0.05 * rng.normal(size=60)
    t, y = symbol("t", ("n",)), symbol("y", ("n",))
    a, k, c = sg.symbols("a k c")
    found = optim.least_squares(
        a * sg.exp(-k * t) + c - y, [a, k, c], [1.0, 0.5, 0.0], method, data={t: times, y: values}
    )
    expected = optimize.least_squares(
        lambda p: p[0] * np.exp(-p[1] * times) + p[2] - values, [1.0, 0.5, 0.0], method="lm",
        xtol=1e-15, ftol=1e-15, gtol=1e-15,
    )  # fmt: skip
    assert found.success and found.nit < 20
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-7)
    np.testing.assert_allclose(found.fun, expected.cost, rtol=1e-10)


def test_qr_keeps_the_digits_that_normal_equations_lose() -> None:
    A = np.vander(np.linspace(0, 1, 60), 16)
    b = A @ np.ones(16)
    sums = {}
    for solver in ("qr", "cholesky"):
        w = parameter(np.zeros(16), "w")
        step = sg.function([], ((A @ w - b) ** 2).sum(), optim.levenberg_marquardt(w, A @ w - b, 1e-14, solver))
        step(), step()
        sums[solver] = step()
    assert sums["qr"] < 1e-20 < sums["cholesky"]


def test_least_squares_on_bands_is_linear_in_the_size() -> None:
    z = parameter(np.full(200_000, 0.9), "z")
    found = optim.least_squares([10 * (z[1:] - z[:-1] ** 2), 1 - z[:-1]], z, method="gauss-newton")
    assert found.success
    np.testing.assert_allclose(z.value, 1, atol=1e-7)


# Starts that are hard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [[1.0, 0.1], [0.0, 1e-3], [5.0, -0.2]])
def test_from_where_the_hessian_is_indefinite_it_goes_to_a_minimum(method: str, start: Any) -> None:
    s = symbol("s", (2,))
    found = optim.minimize(s[0] ** 2 - s[1] ** 2 + s[1] ** 4, s, start, method)
    assert found.success
    np.testing.assert_allclose(found.fun, -0.25, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [[100.0, -50.0], [1e4, 1e4]])
def test_from_far_where_the_loss_is_nearly_linear(method: str, start: Any) -> None:
    s = symbol("s", (2,))
    found = optim.minimize(sg.sqrt(1 + s @ s) + 0.1 * s[0], s, start, method, maxiter=400)
    assert found.success
    np.testing.assert_allclose(found.x, [-0.1 / np.sqrt(0.99), 0], atol=1e-7)


def test_a_saddle_is_not_called_a_minimum() -> None:
    s = parameter([0.0, 0.0], "s")
    found = optim.minimize(s[0] ** 2 - s[1] ** 2 + s[1] ** 4, s)
    assert not found.success and found.status == 5
    assert "negative curvature" in found.message


def test_a_minimum_with_a_flat_direction_is_a_minimum() -> None:
    s = parameter([3.0, -1.0, 5.0], "s")
    for loss in ((s[0] + s[1] - 1) ** 2, (s**4).sum() * 0 + (s[0] * s[1] * 0) + (s[2] - 1) ** 4):
        found = optim.minimize(loss, s)
        assert found.success
        assert found.fun < 1e-9
        again = optim.minimize(loss, s)
        assert again.success and len(again.history) <= 2


def test_dependent_columns_stop_gauss_newton_and_not_levenberg_marquardt() -> None:
    w = parameter([1.0, 1.0], "w")
    residuals = [w[0] + w[1] - 3, (w[0] + w[1]) ** 2 - 9]
    found = optim.least_squares(residuals, w, method="gauss-newton")
    assert not found.success and found.status == 3 and found.nit == 0
    assert "dependent" in found.message and "levenberg-marquardt" in found.message
    assert w.value.tolist() == [1.0, 1.0]
    assert optim.least_squares(residuals, w).success
    np.testing.assert_allclose(w.value, [1.5, 1.5], rtol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_nan_beyond_a_wall(method: str) -> None:
    x = parameter([1e-3, 200.0], "x")
    found = optim.minimize((x - sg.log(x)).sum(), x, method=method)
    assert found.success
    np.testing.assert_allclose(x.value, 1, rtol=1e-6)


# What is left behind -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_of_nan_at_the_start_changes_nothing(method: str) -> None:
    x = parameter([-1.0, 2.0], "x")
    found = optim.minimize((x - sg.log(x)).sum(), x, method=method)
    assert not found.success and found.status == 4 and "start elsewhere" in found.message
    assert x.value.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("method", METHODS)
def test_without_a_minimum_it_says_so(method: str) -> None:
    x = parameter([1.0, 1.0], "x")
    found = optim.minimize(x.sum(), x, method=method, maxiter=40)
    assert not found.success and found.status == 2 and "after 40 steps" in found.message
    assert np.isfinite(x.value).all() and found.fun < 2


def test_a_kink_ends_the_run_without_success_or_at_the_kink() -> None:
    x = parameter(1.0, "x")
    found = optim.minimize(abs(x - 0.3), x, maxiter=2000)
    assert abs(x.value - 0.3) < 1e-6
    assert len(found.history) < 2000


def test_the_loss_never_goes_up() -> None:
    residuals, ps = _network(_rng())
    found = optim.minimize(sum((r * r).sum() for r in residuals), ps)
    values = [i.fun for i in found.history]
    assert len(values) > 10
    assert all(b <= a * (1 + 1e-13) for a, b in itertools.pairwise(values))
    assert found.nit == sum(i.taken for i in found.history)


def test_a_callback_sees_every_iteration_and_may_stop() -> None:
    x, seen = parameter([-1.2, 1.0], "x"), []

    def callback(iteration: Any) -> None:
        seen.append(iteration)
        if iteration.fun < 1:
            raise StopIteration

    found = optim.minimize(_chained(x), x, callback=callback)
    assert not found.success and found.status == 6
    assert seen == list(found.history) and found.fun < 1


def test_an_interrupt_leaves_the_best_parameters() -> None:
    x = parameter([-1.2, 1.0], "x")

    def callback(iteration: Any) -> None:
        if iteration.fun < 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optim.minimize(_chained(x), x, callback=callback)
    assert sg.evaluate(_chained(x)) < 1


# Variables and data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_float32(method: str) -> None:
    x = parameter(np.array([-1.2, 1.0], np.float32), "x")
    found = optim.minimize(_chained(x), x, method=method)
    assert found.success and found.x.dtype == "float32" == found.fun.dtype
    np.testing.assert_allclose(x.value, 1, atol=1e-3)


def test_symbols_are_left_alone_and_parameters_keep_the_minimum() -> None:
    x, p = symbol("x", (2,)), parameter(3.0, "p")
    loss = ((x - p) ** 2).sum() + p * p
    found = optim.minimize(loss, (x, [p]), ([1.0, 2.0], [7.0]))
    assert isinstance(found.x, tuple) and isinstance(found.x[1], list)
    np.testing.assert_allclose(found.x[0], [0, 0], atol=1e-9)
    np.testing.assert_allclose(p.value, found.x[1][0])
    x_again = optim.minimize(loss, x, [0.0, 1.0])  # p stays as it is
    np.testing.assert_allclose(x_again.x, np.full(2, p.value), atol=1e-9)


def test_no_steps_only_measures() -> None:
    x = parameter(2.0, "x")
    found = optim.minimize(x * x, x, maxiter=0)
    assert (found.fun, found.optimality, found.nit, found.success) == (4.0, 4.0, 0, False)


def test_a_run_that_rounding_ends_is_a_success() -> None:
    x = parameter(1.0, "x")
    found = optim.minimize(1e12 + (x - 0.5) ** 2, x, gtol=1e-300)
    assert found.success and found.status in (0, 1)
    assert abs(x.value - 0.5) < 1e-3


def test_refusals() -> None:
    x, p, y = symbol("x", (2,)), parameter([1.0, 2.0], "p"), symbol("y")
    with pytest.raises(ValueError, match=r"method='bfgs' must be 'newton' or 'newton-cg'"):
        optim.minimize((p * p).sum(), p, method="bfgs")
    with pytest.raises(ValueError, match=r"use optim\.least_squares"):
        optim.minimize((p * p).sum(), p, method="gauss-newton")
    with pytest.raises(ValueError, match=r"use optim\.minimize"):
        optim.least_squares(p, p, method="newton")
    with pytest.raises(CompileError, match="no value to start from: give x0"):
        optim.minimize((x * x).sum(), x)
    with pytest.raises(CompileError, match="x0 must have 2 entries"):
        optim.minimize((x * x).sum() + (p * p).sum(), [x, p], {"x": [1.0, 2.0], "p": [1.0, 2.0]})
    with pytest.raises(CompileError, match=r"x0\['a'\] must have the keys 'x', 'p'"):
        optim.minimize((x * x).sum() + (p * p).sum(), {"a": {"x": x, "p": p}}, {"a": [1.0, 2.0]})
    with pytest.raises(CompileError, match="has no size yet"):
        optim.minimize((symbol("v", ("n",)) ** 2).sum(), symbol("v", ("n",)), [1.0])
    with pytest.raises(ShapeError, match=r"x0\[0\] has shape \(3,\)"):
        optim.minimize((x * x).sum(), [x], [np.zeros(3)])
    with pytest.raises(CompileError, match="given twice"):
        optim.minimize((x * x).sum(), [x, x], [np.zeros(2), np.zeros(2)])
    with pytest.raises(CompileError, match="y"):
        optim.minimize((p * p).sum() * y, p)
    q = parameter(1.0, "q")
    with pytest.raises(ShapeError):
        optim.minimize((p * p).sum() + q * q, [q, p], [5.0, [1.0]])
    assert q.value == 1
    for gtol in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="gtol="):
            optim.minimize((p * p).sum(), p, gtol=gtol)
    with pytest.raises(ValueError, match="maxiter=-1"):
        optim.minimize((p * p).sum(), p, maxiter=-1)
    with pytest.raises(TypeError, match="radius"):
        optim.minimize((p * p).sum(), p, radius=1.0)
    assert p.value.tolist() == [1.0, 2.0]
