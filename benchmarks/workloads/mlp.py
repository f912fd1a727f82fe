"""Training step of a multilayer perceptron: relu layers, softmax cross-entropy, gradient descent.

h <- max(h W + b, 0) ...,  loss = mean(logsumexp(z) - z[y]),  w <- w - rate * dloss/dw
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from . import steps
from .base import Case, Data

RATE = 0.01


def data(rng: np.random.Generator, widths: tuple[int, ...], batch: int, dtype: str) -> Data:
    weights = []
    for rows, columns in itertools.pairwise(widths):
        weights.append((rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(dtype))
        weights.append((0.1 * rng.standard_normal(columns)).astype(dtype))
    x = rng.standard_normal((batch, widths[0])).astype(dtype)
    return {"x": x, "y": rng.integers(0, widths[-1], batch), "weights": weights}


def by_numpy(data: Data) -> Case:
    """The cotangent of the logits carries rate / n, so that products with it are the updates themselves."""
    weights = [w.copy() for w in data["weights"]]
    layers = list(zip(weights[::2], weights[1::2]))
    n, dtype = len(data["x"]), data["x"].dtype
    hidden = [np.empty((n, len(b)), dtype) for b in weights[1::2]]
    cotangents = [np.empty_like(h) for h in hidden[:-1]]
    masks = [np.empty(h.shape, bool) for h in hidden[:-1]]
    products = [np.empty_like(w) for w in weights]
    column, rows, scale = np.empty((n, 1), dtype), np.arange(n), dtype.type(RATE / n)

    def call(x: Any, y: Any) -> Any:
        h = x
        for (W, b), out in zip(layers, hidden):
            np.dot(h, W, out=out)
            np.add(out, b, out=out)
            if out is not hidden[-1]:
                np.maximum(out, 0, out=out)
            h = out
        np.maximum.reduce(h, axis=1, keepdims=True, out=column)
        np.subtract(h, column, out=h)
        picked = h[rows, y].sum()
        np.exp(h, out=h)
        np.add.reduce(h, axis=1, keepdims=True, out=column)
        loss = (np.log(column).sum() - picked) / n
        np.divide(scale, column, out=column)
        np.multiply(h, column, out=h)
        h[rows, y] -= scale
        for i in reversed(range(len(layers))):
            W, b = layers[i]
            before = hidden[i - 1] if i else x
            if i:
                np.dot(h, W.T, out=cotangents[i - 1])
            np.subtract(W, np.dot(before.T, h, out=products[2 * i]), out=W)
            np.subtract(b, np.add.reduce(h, axis=0, out=products[2 * i + 1]), out=b)
            if i:
                h = np.multiply(cotangents[i - 1], np.greater(before, 0, out=masks[i - 1]), out=cotangents[i - 1])
        return loss

    return Case(call, (data["x"], data["y"]), lambda: weights)


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    X = sg.symbol("X", ("batch", data["x"].shape[1]), data["x"].dtype)
    y = sg.symbol("y", ("batch",), "int64")
    weights = [sg.parameter(w, f"{'Wb'[i % 2]}{i // 2 + 1}") for i, w in enumerate(data["weights"])]
    loss = symgraph_loss(weights, X, y)
    updates = sg.optim.sgd(weights, sg.grad(loss, weights), RATE)
    step = sg.function([X, y], loss, updates, name="step")
    return Case(step, (data["x"], data["y"]), lambda: [w.value for w in weights])


def symgraph_loss(weights: Any, X: Any, y: Any) -> Any:
    import symgraph as sg

    h = X
    for W, b in zip(weights[:-2:2], weights[1:-2:2]):
        h = sg.relu(h @ W + b)
    logits = h @ weights[-2] + weights[-1]
    return -sg.take_along_axis(sg.log_softmax(logits), y[:, None], axis=1).mean()


def by_jax(data: Data) -> Case:
    return steps.jax_step(jax_loss, data["weights"], (data["x"], data["y"]), RATE)


def jax_loss(weights: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    for W, b in zip(weights[:-2:2], weights[1:-2:2]):
        x = jax.nn.relu(x @ W + b)
    scores = jax.nn.log_softmax(x @ weights[-2] + weights[-1])
    return -jnp.take_along_axis(scores, y[:, None], axis=1).mean()


def by_torch(data: Data) -> Case:
    return steps.torch_step(torch_loss, data["weights"], (data["x"], data["y"]), RATE)


def by_torch_compile(data: Data) -> Case:
    return steps.torch_compile_step(torch_loss, data["weights"], (data["x"], data["y"]), RATE)


def torch_loss(weights: Any, x: Any, y: Any) -> Any:
    import torch

    for W, b in zip(weights[:-2:2], weights[1:-2:2]):
        x = torch.relu(torch.addmm(b, x, W))
    return torch.nn.functional.cross_entropy(torch.addmm(weights[-1], x, weights[-2]), y)


def by_pytensor(data: Data) -> Case:
    return steps.pytensor_step(pytensor_loss, data["weights"], (data["x"], data["y"]), RATE)


def pytensor_loss(weights: Any, x: Any, y: Any) -> Any:
    import pytensor.tensor as pt

    for W, b in zip(weights[:-2:2], weights[1:-2:2]):
        x = pt.maximum(x @ W + b, 0)
    scores = pt.special.log_softmax(x @ weights[-2] + weights[-1], axis=-1)
    return -scores[pt.arange(y.shape[0]), y].mean(dtype=x.dtype)


def by_autograd(data: Data) -> Case:
    return steps.autograd_step(autograd_loss, data["weights"], (data["x"], data["y"]), RATE)


def autograd_loss(weights: Any, x: Any, y: Any) -> Any:
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    for W, b in zip(weights[:-2:2], weights[1:-2:2]):
        x = anp.maximum(anp.dot(x, W) + b, 0)
    z = anp.dot(x, weights[-2]) + weights[-1]
    return anp.mean(logsumexp(z, axis=1) - z[np.arange(len(y)), y])
