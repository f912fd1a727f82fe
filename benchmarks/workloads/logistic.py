"""Training step of logistic regression with a penalty, as in the tutorials: rows of features, targets 0 or 1.

    p = 1 / (1 + exp(-x w - b)),  loss = mean(-y log p - (1 - y) log(1 - p)) + penalty * sum(w**2)

Every program but symgraph's writes the cross-entropy in its stable form, logaddexp(0, z) - y z; symgraph finds it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import steps
from .base import Case, Data

RATE, PENALTY = 0.01, 0.01


def data(rng: np.random.Generator, rows: int, features: int) -> Data:
    weights = [0.1 * rng.standard_normal(features), np.asarray(0.1)]
    x, y = rng.standard_normal((rows, features)), rng.integers(0, 2, rows).astype(float)
    return {"x": x, "y": y, "weights": weights}


def by_numpy(data: Data) -> Case:
    w, b = (v.copy() for v in data["weights"])
    n = len(data["y"])
    z, e, t = (np.empty(n) for _ in range(3))
    g = np.empty_like(w)
    shrink = 1 - 2 * RATE * PENALTY

    def call(x: Any, y: Any) -> Any:
        np.matmul(x, w, out=z)
        np.add(z, b, out=z)
        np.abs(z, out=e)  # softplus(z) = max(z, 0) + log1p(exp(-|z|)) and sigmoid(z) share one exponential
        np.negative(e, out=e)
        np.exp(e, out=e)
        np.log1p(e, out=t)
        value = t.sum() + np.maximum(z, 0, out=t).sum() - np.dot(y, z)
        loss = value / n + PENALTY * np.dot(w, w)
        np.add(e, 1, out=t)  # sigmoid(z) = (1 or e) / (1 + e)
        np.copyto(e, 1, where=np.greater_equal(z, 0))
        np.divide(e, t, out=t)
        np.subtract(t, y, out=t)
        np.multiply(t, RATE / n, out=t)
        np.matmul(t, x, out=g)
        np.multiply(w, shrink, out=w)
        np.subtract(w, g, out=w)
        np.subtract(b, t.sum(), out=b)
        return loss

    return Case(call, (data["x"], data["y"]), lambda: [w, b])


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    x, y = sg.symbol("x", ("rows", data["x"].shape[1])), sg.symbol("y", ("rows",))
    w, b = (sg.parameter(v, name) for v, name in zip(data["weights"], "wb"))
    p = 1 / (1 + sg.exp(-(x @ w) - b))
    loss = sg.mean(-y * sg.log(p) - (1 - y) * sg.log(1 - p)) + PENALTY * (w**2).sum()
    step = sg.function([x, y], loss, sg.optim.sgd([w, b], sg.grad(loss, [w, b]), RATE), name="step")
    return Case(step, (data["x"], data["y"]), lambda: [w.value, b.value])


def by_jax(data: Data) -> Case:
    return steps.jax_step(jax_loss, data["weights"], (data["x"], data["y"]), RATE)


def jax_loss(weights: Any, x: Any, y: Any) -> Any:
    import jax.numpy as jnp

    w, b = weights
    z = x @ w + b
    return (jnp.logaddexp(0, z) - y * z).mean() + PENALTY * (w**2).sum()


def by_torch(data: Data) -> Case:
    return steps.torch_step(torch_loss, data["weights"], (data["x"], data["y"]), RATE)


def by_torch_compile(data: Data) -> Case:
    w, b = data["weights"]
    weights = [w, b.reshape(1)]  # updates of a 0-d tensor are lost in compiled code
    return steps.torch_compile_step(torch_loss, weights, (data["x"], data["y"]), RATE)


def torch_loss(weights: Any, x: Any, y: Any) -> Any:
    import torch

    w, b = weights
    z = torch.mv(x, w) + b
    return torch.nn.functional.binary_cross_entropy_with_logits(z, y) + PENALTY * torch.dot(w, w)


def by_pytensor(data: Data) -> Case:
    return steps.pytensor_step(pytensor_loss, data["weights"], (data["x"], data["y"]), RATE)


def pytensor_loss(weights: Any, x: Any, y: Any) -> Any:
    import pytensor.tensor as pt

    w, b = weights
    z = pt.dot(x, w) + b
    return (pt.softplus(z) - y * z).mean() + PENALTY * (w**2).sum()


def by_autograd(data: Data) -> Case:
    return steps.autograd_step(autograd_loss, data["weights"], (data["x"], data["y"]), RATE)


def autograd_loss(weights: Any, x: Any, y: Any) -> Any:
    import autograd.numpy as anp

    w, b = weights
    z = anp.dot(x, w) + b
    return anp.mean(anp.logaddexp(0.0, z) - y * z) + PENALTY * anp.sum(w**2)


def by_casadi(data: Data) -> Case:
    import casadi as ca

    n, features = data["x"].shape
    x, y, w, b = ca.MX.sym("x", n, features), ca.MX.sym("y", n), ca.MX.sym("w", features), ca.MX.sym("b")
    z = x @ w + b
    loss = ca.sum1(ca.fmax(z, 0) + ca.log1p(ca.exp(-ca.fabs(z))) - y * z) / n + PENALTY * ca.dot(w, w)
    new = [v - RATE * ca.gradient(loss, v) for v in (w, b)]
    f = ca.Function("step", [x, y, w, b], [loss, *new])
    return steps.casadi_step(f, [data["x"], data["y"]], data["weights"])
