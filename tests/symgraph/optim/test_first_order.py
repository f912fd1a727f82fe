"""Optimizers: each step against the same formula in NumPy, dtypes, state, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symgraph import CompileError, ShapeError, function, grad, optim, parameter, symbol

RNG = np.random.default_rng(5)
A = RNG.normal(size=(4, 3))


def quadratic(dtype: Any = "float64") -> tuple[Any, Any, Any]:
    """sum((A W - c)**2) of a matrix and a vector, and its gradient in NumPy."""
    W = parameter(np.full((3, 2), 0.5, dtype), "W")
    c = parameter(np.array([1.0, -2.0], dtype), "c")
    loss = ((A.astype(dtype) @ W - c) ** 2).sum()

    def gradient(w: Any, b: Any) -> list[Any]:
        r = 2 * (A.astype(dtype) @ w - b)
        return [A.astype(dtype).T @ r, -r.sum(0)]

    return [W, c], loss, gradient


def compare(updates: Any, parameters: Any, gradient: Any, reference: Any, steps: int = 7) -> None:
    step = function([], [], updates)
    values = [p.value for p in parameters]
    state: list[dict[str, Any]] = [{} for _ in values]
    for t in range(1, steps + 1):
        step()
        values = [reference(w, g, s, t) for w, g, s in zip(values, gradient(*values), state, strict=True)]
        for p, expected in zip(parameters, values, strict=True):
            np.testing.assert_allclose(p.value, expected, rtol=1e-12)


def test_sgd() -> None:
    ps, loss, gradient = quadratic()
    compare(optim.sgd(ps, grad(loss, ps), 0.02), ps, gradient, lambda w, g, s, t: w - 0.02 * g)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov: bool) -> None:
    ps, loss, gradient = quadratic()

    def reference(w: Any, g: Any, s: Any, t: int) -> Any:
        s["v"] = 0.9 * s.get("v", 0) + g
        return w - 0.01 * (0.9 * s["v"] + g if nesterov else s["v"])

    compare(optim.momentum(ps, grad(loss, ps), nesterov=nesterov), ps, gradient, reference)


def test_adam() -> None:
    ps, loss, gradient = quadratic()

    def reference(w: Any, g: Any, s: Any, t: int) -> Any:
        s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
        s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
        return w - 1e-3 * (s["m"] / (1 - 0.9**t)) / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)

    compare(optim.adam(ps, grad(loss, ps)), ps, gradient, reference)


def test_adam_follows_complex_parameters_downhill() -> None:
    z = parameter(np.array([1 + 2j, -3j]), "z")
    loss = (abs(z - (0.5 - 1j)) ** 2).sum()
    step = function([], loss, optim.adam(z, grad(loss, z), 0.05))
    for _ in range(400):
        last = step()
    assert last < 1e-6
    np.testing.assert_allclose(z.value, 0.5 - 1j, atol=1e-3)


@pytest.mark.parametrize("make", [optim.sgd, optim.momentum, optim.adam])
def test_float32_stays_float32_also_under_a_schedule(make: Any) -> None:
    ps, loss, _ = quadratic("float32")
    rate = symbol("rate")  # float64
    updates = make(ps, grad(loss, ps), rate)
    assert {new.dtype.name for p, new in updates.items() if p.name != "t"} == {"float32"}
    step = function([rate], loss, updates)
    first = step(1e-2)
    assert isinstance(first, np.float32) and step(1e-2) < first
    before = ps[0].value
    step(0.0)
    assert (ps[0].value == before).all()


def test_state_is_parameters_named_after_what_they_serve() -> None:
    w = parameter([1.0], "w")
    updates = optim.adam(w, grad((w * w).sum(), w))
    assert [p.name for p in updates] == ["t", "m_w", "v_w", "w"]
    function([], [], updates)()
    assert {p.name: p.value.tolist() for p in updates if p.name == "t"} == {"t": 1}


def test_nestings_and_nothing() -> None:
    a, b = parameter(1.0, "a"), parameter(2.0, "b")
    tree = {"first": a, "rest": (b,)}
    assert set(optim.sgd(tree, grad(a * b, tree))) == {a, b}
    assert optim.adam([], []) == {}


def test_refusals() -> None:
    w, x = parameter([1.0, 2.0], "w"), symbol("x", (2,))
    g = grad((w * x).sum(), w)
    with pytest.raises(CompileError, match=r"x .* is none; make it with parameter"):
        optim.sgd(x, g)
    with pytest.raises(CompileError, match="given twice"):
        optim.sgd([w, w], [g, g])
    with pytest.raises(CompileError, match="1 gradients are given for 2 parameters"):
        optim.sgd([w, parameter(1.0, "u")], [g])
    with pytest.raises(CompileError, match="must be a tensor"):
        optim.sgd(w, 1.0)
    with pytest.raises(ShapeError, match="does not fit"):
        optim.sgd(w, g.sum())
    with pytest.raises(ValueError, match=r"beta2=1.0 must be in \[0, 1\)"):
        optim.adam(w, g, beta2=1.0)
    with pytest.raises(ValueError, match="rate=nan"):
        optim.momentum(w, g, rate=float("nan"))
    with pytest.raises(TypeError, match="rate must be a number"):
        optim.momentum(w, g, rate="fast")
    with pytest.raises(ShapeError, match="rate must be a number or a 0-d tensor"):
        optim.sgd(w, g, rate=x)
