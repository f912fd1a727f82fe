"""Training step of a deep narrow network: many square tanh layers, mean squared error, gradient descent.

h <- tanh(h W + b) ...,  loss = mean((h - y)**2),  w <- w - rate * dloss/dw
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import steps
from .base import Case, Data

RATE = 0.01


def data(rng: np.random.Generator, layers: int, width: int, batch: int, dtype: str = "float64") -> Data:
    weights = []
    for _ in range(layers):
        weights.append((rng.standard_normal((width, width)) / np.sqrt(width)).astype(dtype))
        weights.append((0.1 * rng.standard_normal(width)).astype(dtype))
    x, y = (rng.standard_normal((batch, width)).astype(dtype) for _ in range(2))
    return {"x": x, "y": np.tanh(y), "weights": weights}


def by_numpy(data: Data) -> Case:
    weights = [w.copy() for w in data["weights"]]
    layers = list(zip(weights[::2], weights[1::2]))
    x = data["x"]
    hidden = [np.empty_like(x) for _ in layers]
    ct, slope, product, row = np.empty_like(x), np.empty_like(x), np.empty_like(weights[0]), np.empty_like(weights[1])
    scale = 2 * RATE / x.size  # carried by the cotangent: products with it are the updates themselves

    def call(x: Any, y: Any) -> Any:
        nonlocal ct, slope
        h = x
        for (W, b), out in zip(layers, hidden):
            np.dot(h, W, out=out)
            np.add(out, b, out=out)
            np.tanh(out, out=out)
            h = out
        np.subtract(h, y, out=ct)
        loss = np.vdot(ct, ct) / ct.size
        np.multiply(ct, scale, out=ct)
        for i in reversed(range(len(layers))):
            W, b = layers[i]
            h = hidden[i]
            np.multiply(h, h, out=h)  # read for the last time
            np.subtract(1, h, out=h)
            np.multiply(ct, h, out=ct)
            before = hidden[i - 1] if i else x
            if i:
                np.dot(ct, W.T, out=slope)
            np.subtract(W, np.dot(before.T, ct, out=product), out=W)
            np.subtract(b, np.add.reduce(ct, axis=0, out=row), out=b)
            ct, slope = slope, ct
        return loss

    return Case(call, (x, data["y"]), lambda: weights)


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    width = data["x"].shape[1]
    X, Y = sg.symbol("X", ("batch", width)), sg.symbol("Y", ("batch", width))
    weights = [sg.parameter(w, f"{'Wb'[i % 2]}{i // 2 + 1}") for i, w in enumerate(data["weights"])]
    h = X
    for W, b in zip(weights[::2], weights[1::2]):
        h = sg.tanh(h @ W + b)
    loss = ((h - Y) ** 2).mean()
    step = sg.function([X, Y], loss, sg.optim.sgd(weights, sg.grad(loss, weights), RATE), name="step")
    return Case(step, (data["x"], data["y"]), lambda: [w.value for w in weights])


def by_jax(data: Data) -> Case:
    return steps.jax_step(jax_loss, data["weights"], (data["x"], data["y"]), RATE)


def jax_loss(weights: Any, x: Any, y: Any) -> Any:
    import jax.numpy as jnp

    for W, b in zip(weights[::2], weights[1::2]):
        x = jnp.tanh(x @ W + b)
    return ((x - y) ** 2).mean()


def by_torch(data: Data) -> Case:
    return steps.torch_step(torch_loss, data["weights"], (data["x"], data["y"]), RATE)


def by_torch_compile(data: Data) -> Case:
    return steps.torch_compile_step(torch_loss, data["weights"], (data["x"], data["y"]), RATE)


def torch_loss(weights: Any, x: Any, y: Any) -> Any:
    import torch

    for W, b in zip(weights[::2], weights[1::2]):
        x = torch.tanh(torch.addmm(b, x, W))
    return torch.nn.functional.mse_loss(x, y)


def by_pytensor(data: Data) -> Case:
    return steps.pytensor_step(pytensor_loss, data["weights"], (data["x"], data["y"]), RATE)


def pytensor_loss(weights: Any, x: Any, y: Any) -> Any:
    import pytensor.tensor as pt

    for W, b in zip(weights[::2], weights[1::2]):
        x = pt.tanh(x @ W + b)
    return ((x - y) ** 2).mean()


def by_autograd(data: Data) -> Case:
    return steps.autograd_step(autograd_loss, data["weights"], (data["x"], data["y"]), RATE)


def autograd_loss(weights: Any, x: Any, y: Any) -> Any:
    import autograd.numpy as anp

    for W, b in zip(weights[::2], weights[1::2]):
        x = anp.tanh(anp.dot(x, W) + b)
    return anp.mean((x - y) ** 2)
