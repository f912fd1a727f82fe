"""Single steps of the second-order methods: against their formulas in NumPy, kept or refused, in one dtype, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import CompileError, DTypeError, GradientError, ShapeError, function, optim, parameter, symbol

RNG = np.random.default_rng(8)
A = RNG.normal(size=(9, 4))
Y = RNG.normal(size=9)
STEPS = {"newton": optim.newton, "newton_cg": optim.newton_cg}
SQUARES = {"gauss_newton": optim.gauss_newton, "levenberg_marquardt": optim.levenberg_marquardt}


def _named(updates: Any) -> dict[str, Any]:
    return {p.name: p for p in updates}


def test_newton_is_its_formula() -> None:
    w = parameter(np.full(4, 0.1), "w")
    loss = sg.softplus(A @ w).sum() + (w @ w)
    updates = optim.newton(w, loss, damping=0.5)
    state = _named(updates)
    before = w.value
    function([], [], updates)()
    s = 1 / (1 + np.exp(-A @ before))
    g = A.T @ s + 2 * before
    H = (A.T * (s * (1 - s))) @ A + 2 * np.eye(4)
    p = np.linalg.solve(H + 0.5 * abs(g).max() * np.eye(4), -g)
    np.testing.assert_allclose(w.value, before + p, rtol=1e-12)

    def value(x: Any) -> Any:
        return np.logaddexp(0, A @ x).sum() + x @ x

    rho = (value(before) - value(before + p)) / -(g @ p + p @ H @ p / 2)
    np.testing.assert_allclose(state["damping"].value, 0.5 * max(1 / 3, 1 - (2 * rho - 1) ** 3), rtol=1e-6)
    assert state["growth"].value == 2


@pytest.mark.parametrize("solver", ["qr", "cholesky", None])
def test_levenberg_marquardt_is_its_formula(solver: Any) -> None:
    w, c = parameter(np.full(3, 0.1), "w"), parameter(0.2, "c")
    residuals = {"fit": sg.tanh(A[:, :3] @ w) * c - Y, "prior": 0.1 * w}
    updates = optim.levenberg_marquardt([w, c], residuals, damping=30.0, solver=solver)
    x = np.append(w.value, c.value)
    function([], [], updates)()
    t = np.tanh(A[:, :3] @ x[:3])
    J = np.block([[A[:, :3] * (x[3] * (1 - t * t))[:, None], t[:, None]], [0.1 * np.eye(3), np.zeros((3, 1))]])
    r = np.append(t * x[3] - Y, 0.1 * x[:3])
    N = J.T @ J
    p = np.linalg.solve(N + 30.0 * np.diag(np.diag(N)), -J.T @ r)
    np.testing.assert_allclose(np.append(w.value, c.value), x + p, rtol=1e-10)
    lengths = _named(updates)
    np.testing.assert_allclose(np.append(lengths["length_w"].value, lengths["length_c"].value), np.diag(N), rtol=1e-12)


def test_gauss_newton_solves_linear_least_squares_at_once() -> None:
    w = parameter(np.zeros(4), "w")
    function([], [], optim.gauss_newton(w, A @ w - Y))()
    np.testing.assert_allclose(w.value, np.linalg.lstsq(A, Y)[0], rtol=1e-10)


def test_gauss_newton_halves_its_rate_where_the_whole_step_is_too_long() -> None:
    w = parameter(2.0, "w")
    updates = optim.gauss_newton(w, sg.arctan(w))
    rate = _named(updates)["rate"]
    step = function([], w * 1, updates)
    seen = [(float(step()), float(rate.value)) for _ in range(6)]
    assert seen[0] == (2.0, 0.5) and seen[1][0] == 2.0  # the whole step would end at -3.5
    for _ in range(8):
        step()
    assert abs(w.value) < 1e-12 and rate.value == 1


def test_newton_cg_reaches_the_newton_point_of_a_quadratic() -> None:
    w = parameter(np.zeros(4), "w")
    loss = ((A @ w - Y) ** 2).sum()
    step = function([], loss, optim.newton_cg(w, loss, radius=100.0))
    for _ in range(8):
        step()
    np.testing.assert_allclose(w.value, np.linalg.lstsq(A, Y)[0], rtol=1e-9)


def test_newton_cg_stays_within_its_radius_and_enlarges_it() -> None:
    w = parameter(np.zeros(4), "w")
    loss = ((A @ w - 50 * Y) ** 2).sum()
    updates = optim.newton_cg(w, loss, radius=0.5)
    function([], [], updates)()
    np.testing.assert_allclose(np.linalg.norm(w.value), 0.5, rtol=1e-12)
    assert _named(updates)["radius"].value == 1


def test_newton_cg_follows_negative_curvature_to_the_boundary() -> None:
    w = parameter(np.array([0.3, 1e-3]), "w")
    loss = w[0] ** 2 - w[1] ** 2 + w[1] ** 4
    function([], [], optim.newton_cg(w, loss, radius=0.25))()
    np.testing.assert_allclose(np.linalg.norm(w.value - [0.3, 1e-3]), 0.25, rtol=1e-12)


@pytest.mark.parametrize("name", [*STEPS, *SQUARES])
def test_at_the_minimum_nothing_changes_and_the_state_does_not_run_away(name: str) -> None:
    w = parameter(np.zeros(3), "w")
    updates = STEPS[name](w, (w * w).sum()) if name in STEPS else SQUARES[name](w, w * 2)
    step = function([], [], updates)
    for _ in range(50):
        step()
    state = _named(updates)
    assert w.value.tolist() == [0, 0, 0]
    assert state["radius" if name == "newton_cg" else "rate" if name == "gauss_newton" else "damping"].value <= 1


def test_the_products_of_newton_cg_compute_nothing_again_that_does_not_move() -> None:
    w = parameter(np.full(4, 0.1), "w")
    loss = sg.softplus(A @ w).sum()
    source = function([], loss, optim.newton_cg(w, loss)).source
    body = source[: source.index("def f(")]
    assert "exp" not in body and "@" in body


@pytest.mark.parametrize("name", [*STEPS, *SQUARES])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_fails_leaves_parameters_as_they_were(name: str, bad: float) -> None:
    w, c = parameter([1.0, 2.0], "w"), parameter(0.5, "c")
    x = symbol("x", (2,))
    residuals = [w * x - 1, c * w - 2]
    if name in STEPS:
        updates = STEPS[name]([w, c], (residuals[0] ** 2).sum() + (residuals[1] ** 2).sum())
    else:
        updates = SQUARES[name]([w, c], residuals)
    step = function([x], [], updates)
    with np.errstate(all="ignore"):
        step([bad, 1.0])
    assert w.value.tolist() == [1.0, 2.0] and c.value == 0.5
    for _ in range(9):
        step([1.0, 1.0])
    assert np.isfinite(w.value).all() and w.value.tolist() != [1.0, 2.0]


@pytest.mark.parametrize("name", [*STEPS, *SQUARES])
def test_a_step_that_does_not_make_the_loss_smaller_is_not_taken(name: str) -> None:
    """1e3 sqrt(1 + w^2): the Newton step from 3 ends at -27."""
    w = parameter(3.0, "w")
    loss = 1e3 * sg.sqrt(1 + w * w)
    updates = (
        STEPS[name](w, loss, **({"damping": 1e-9} if name == "newton" else {"radius": 100.0}))
        if name in STEPS
        else SQUARES[name](w, sg.arctan(w), **({"damping": 1e-9} if name != "gauss_newton" else {}))
    )
    shown = loss if name in STEPS else sg.arctan(w) ** 2
    step = function([], shown, updates)
    values = [float(step()) for _ in range(30)]
    assert values[1] == values[0]
    assert all(b <= a for a, b in itertools.pairwise(values))
    assert abs(w.value) < 1e-6


@pytest.mark.parametrize("name", [*STEPS, *SQUARES])
def test_float32_stays_float32(name: str) -> None:
    w, c = parameter(np.ones(4, np.float32), "w"), parameter(np.float32(0.5), "c")
    X, y = A.astype("float32"), Y.astype("float32")
    r = sg.tanh(X @ w) * c - y
    updates = STEPS[name]([w, c], (r * r).sum()) if name in STEPS else SQUARES[name]([w, c], r)
    assert {p.dtype.name for p in updates} == {"float32"} == {new.dtype.name for new in updates.values()}
    step = function([], (r * r).sum(), updates)
    first = step()
    for _ in range(10):
        last = step()
    assert isinstance(last, np.float32) and last < first
    assert "float64" not in step.source


@pytest.mark.parametrize("name", [*STEPS, *SQUARES])
def test_parameters_of_two_precisions_keep_theirs(name: str) -> None:
    w, c = parameter(np.ones(4, np.float32), "w"), parameter(0.5, "c")
    r = sg.tanh(A @ w) * c - Y
    updates = STEPS[name]([w, c], (r * r).sum()) if name in STEPS else SQUARES[name]([w, c], r)
    assert updates[w].dtype == "float32" and updates[c].dtype == "float64"
    step = function([], (r * r).sum(), updates)
    first = step()
    for _ in range(10):
        step()
    assert step() < first


@pytest.mark.parametrize("name", [*STEPS, *SQUARES])
def test_a_singular_start_is_left_or_kept_but_never_nan(name: str) -> None:
    """The sum of two numbers is all that matters: the Hessian has a direction without curvature everywhere."""
    w = parameter([1.0, 2.0], "w")
    r = w[0] + w[1] - 10
    updates = STEPS[name](w, r * r) if name in STEPS else SQUARES[name](w, r)
    step = function([], [], updates)
    for _ in range(20):
        step()
    if name == "gauss_newton":
        assert w.value.tolist() == [1.0, 2.0]
    else:
        np.testing.assert_allclose(w.value, [4.5, 5.5], atol=1e-5)


def test_the_same_data_may_come_in_batches_of_any_size() -> None:
    X, y, w = symbol("X", ("n", 4)), symbol("y", ("n",)), parameter(np.zeros(4), "w")
    loss = sg.softplus(-y * (X @ w)).mean() + 0.1 * (w @ w)
    for make in STEPS.values():
        w.value = np.zeros(4)
        step = function([X, y], loss, make(w, loss))
        step(A, np.sign(Y))
        first = step(A[:5], np.sign(Y[:5]))
        for _ in range(10):
            last = step(A[:5], np.sign(Y[:5]))
        assert last <= first


def test_an_exported_step_runs_alone(tmp_path: Any) -> None:
    w = parameter(np.zeros(4), "w")
    loss = sg.softplus(A @ w).sum() + (w @ w)
    step = function([], loss, optim.newton_cg(w, loss), name="step")
    step.export(tmp_path / "newton_step.py")
    scope: dict[str, Any] = {"__file__": str(tmp_path / "newton_step.py"), "__name__": "newton_step"}
    exec((tmp_path / "newton_step.py").read_text(), scope)
    for _ in range(5):
        assert scope["step"]() == step()


def test_refusals() -> None:
    w, x, z = parameter([1.0, 2.0], "w"), symbol("x", (2,)), parameter([1j], "z")
    loss = (w * w).sum()
    for make in STEPS.values():
        with pytest.raises(CompileError, match=r"x .* is none; make it with parameter"):
            make(x, (x * x).sum())
        with pytest.raises(CompileError, match="given twice"):
            make([w, w], loss)
        with pytest.raises(CompileError, match="there are no parameters"):
            make([], loss)
        with pytest.raises(DTypeError, match="complex128, and second derivatives"):
            make(z, (abs(z) ** 2).sum())
        with pytest.raises(GradientError):
            make(w, w * w)
        with pytest.raises(GradientError, match="does not depend on"):
            make([w, parameter(1.0, "u")], loss)
    for square in SQUARES.values():
        with pytest.raises(DTypeError, match=r"residuals\[0\] are"):
            square(w, [sg.round(w).astype("int64")])
        with pytest.raises(ShapeError, match="there are no residuals"):
            square(w, [])
    with pytest.raises(ValueError, match=r"damping=0 must be finite and greater than 0"):
        optim.newton(w, loss, damping=0)
    with pytest.raises(TypeError, match="damping must be a number"):
        optim.levenberg_marquardt(w, w, damping="much")
    with pytest.raises(ValueError, match=r"rate=1.5 must be at most 1"):
        optim.gauss_newton(w, w, rate=1.5)
    with pytest.raises(ValueError, match=r"solver='svd' must be 'qr', 'cholesky' or None"):
        optim.levenberg_marquardt(w, w, solver="svd")
    with pytest.raises(ValueError, match=r"steps=0: give a positive whole number"):
        optim.newton_cg(w, loss, steps=0)
    with pytest.raises(ValueError, match=r"radius=inf must be finite"):
        optim.newton_cg(w, loss, radius=float("inf"))
