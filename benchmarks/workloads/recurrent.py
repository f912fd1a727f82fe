"""A recurrent network unrolled in time: loss and gradients by its weights.

h[t] = tanh(x[t] U + h[t-1] W + b),  loss = mean((h[T] V - y)**2)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import steps
from .base import Case, Data


def data(rng: np.random.Generator, T: int, batch: int, inputs: int, width: int, outputs: int) -> Data:
    shapes = [(inputs, width), (width, width), (width,), (width, outputs)]
    weights = [(rng.standard_normal(s) / np.sqrt(s[0])).astype(np.float32) for s in shapes]
    x = rng.standard_normal((T, batch, inputs)).astype(np.float32)
    return {"x": x, "y": rng.standard_normal((batch, outputs)).astype(np.float32), "weights": weights}


def by_numpy(data: Data) -> Case:
    """The inputs of all times enter by one product, and each weight's gradient is one product over all times."""
    x, y = data["x"], data["y"]
    T, batch, inputs = x.shape
    width = len(data["weights"][2])
    hidden = np.zeros((T + 1, batch, width), np.float32)
    slopes = np.empty((T, batch, width), np.float32)
    state = np.empty((batch, width), np.float32)
    error = np.empty_like(y)

    def call(weights: Any, x: Any, y: Any) -> Any:
        U, W, b, V = weights
        np.dot(x.reshape(-1, inputs), U, out=hidden[1:].reshape(-1, width))
        np.add(hidden[1:], b, out=hidden[1:])
        for t in range(T):
            h = hidden[t + 1]
            if t:
                np.add(h, np.dot(hidden[t], W, out=state), out=h)
            np.tanh(h, out=h)
        last = hidden[T]
        np.subtract(np.dot(last, V, out=error), y, out=error)
        loss = np.vdot(error, error) / error.size
        np.multiply(error, np.float32(2 / error.size), out=error)
        dV = last.T @ error
        np.multiply(hidden[1:], hidden[1:], out=slopes)
        np.subtract(1, slopes, out=slopes)
        ct = np.dot(error, V.T, out=state)
        for t in reversed(range(T)):
            np.multiply(slopes[t], ct, out=slopes[t])
            if t:
                np.dot(slopes[t], W.T, out=ct)
        flat = slopes.reshape(-1, width)
        dU = x.reshape(-1, inputs).T @ flat
        dW = hidden[1:T].reshape(-1, width).T @ slopes[1:].reshape(-1, width)
        return loss, dU, dW, flat.sum(axis=0), dV

    return Case(call, (data["weights"], x, y))


def formula(np: Any, weights: Any, x: Any, y: Any, T: int) -> Any:
    """The loss, one time after the other."""
    U, W, b, V = weights
    h = np.tanh(x[0] @ U + b)
    for t in range(1, T):
        h = np.tanh(x[t] @ U + h @ W + b)
    return ((h @ V - y) ** 2).mean()


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    weights = [sg.symbol(name, w.shape, w.dtype) for name, w in zip("UWbV", data["weights"])]
    T, _, inputs = data["x"].shape
    x = sg.symbol("x", (T, "batch", inputs), "float32")
    y = sg.symbol("y", ("batch", data["y"].shape[1]), "float32")
    loss = formula(sg, weights, x, y, T)
    f = sg.function([*weights, x, y], [loss, *sg.grad(loss, weights)], name="recurrent")
    return Case(f, (*data["weights"], data["x"], data["y"]))


def by_jax(data: Data) -> Case:
    """A scan: an unrolled loop takes XLA minutes to compile."""
    import jax
    import jax.numpy as jnp

    def loss(weights: Any, x: Any, y: Any) -> Any:
        U, W, b, V = weights
        step = lambda h, ahead: (jnp.tanh(ahead + h @ W), None)
        h, _ = jax.lax.scan(step, jnp.zeros((x.shape[1], len(b)), x.dtype), x @ U + b)
        return ((h @ V - y) ** 2).mean()

    return steps.jax_gradients(loss, data["weights"], (data["x"], data["y"]))


def torch_loss(weights: Any, x: Any, y: Any) -> Any:
    import torch

    U, W, b, V = weights
    ahead = (x @ U + b).unbind()
    h = torch.tanh(ahead[0])
    for z in ahead[1:]:
        h = torch.tanh(torch.addmm(z, h, W))
    return torch.nn.functional.mse_loss(h @ V, y)


def by_torch(data: Data) -> Case:
    return steps.torch_gradients(torch_loss, data["weights"], (data["x"], data["y"]))


def by_torch_compile(data: Data) -> Case:
    return steps.torch_compile_gradients(torch_loss, data["weights"], (data["x"], data["y"]))


def by_pytensor(data: Data) -> Case:
    import pytensor.tensor as pt

    def loss(weights: Any, x: Any, y: Any) -> Any:
        U, W, b, V = weights
        ahead = x @ U + b
        h = pt.tanh(ahead[0])
        for t in range(1, len(data["x"])):
            h = pt.tanh(ahead[t] + h @ W)
        return ((h @ V - y) ** 2).mean(dtype="float32")

    return steps.pytensor_gradients(loss, data["weights"], (data["x"], data["y"]))


def by_autograd(data: Data) -> Case:
    import autograd.numpy as anp

    def loss(weights: Any, x: Any, y: Any) -> Any:
        U, W, b, V = weights
        ahead = anp.dot(x, U) + b
        h = anp.tanh(ahead[0])
        for t in range(1, len(data["x"])):
            h = anp.tanh(ahead[t] + anp.dot(h, W))
        return anp.mean((anp.dot(h, V) - y) ** 2)

    return steps.autograd_gradients(loss, data["weights"], (data["x"], data["y"]))
