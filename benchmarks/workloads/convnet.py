"""Training step of a small convolutional network on images of one channel, after LeNet (LeCun et al., 1998).

two times: 5 x 5 convolution, relu, 2 x 2 maxima; then relu layers and softmax cross-entropy; gradient descent
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import steps
from .base import Case, Data

RATE = 0.01
KERNEL = 5


def data(rng: np.random.Generator, batch: int, size: int, channels: tuple[int, int], widths: tuple[int, ...]) -> Data:
    left = ((size - KERNEL + 1) // 2 - KERNEL + 1) // 2  # the side of the image after both blocks
    first, second = channels
    shapes: list[tuple[int, ...]] = [(first, 1, KERNEL, KERNEL), (second, first, KERNEL, KERNEL)]
    shapes += list(zip((second * left * left, *widths), widths))
    weights = []
    for shape in shapes:
        inputs = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        weights.append((rng.standard_normal(shape) / np.sqrt(inputs)).astype(np.float32))
        weights.append((0.1 * rng.standard_normal(shape[0] if len(shape) > 2 else shape[1])).astype(np.float32))
    x = rng.standard_normal((batch, 1, size, size)).astype(np.float32)
    return {"x": x, "y": rng.integers(0, widths[-1], batch), "weights": weights}


# NumPy by hand -------------------------------------------------------------------------------------------------------


def by_numpy(data: Data) -> Case:
    """The batch is the last axis throughout, so that slices of the image are runs in memory and products are wide.

    Maxima and relu commute: the maxima go first, and leave a quarter of the work.
    """
    weights = [w.copy() for w in data["weights"]]
    n, _, size, _ = data["x"].shape
    blocks = [Block(weights[0], weights[1], size, n), Block(weights[2], weights[3], (size - KERNEL + 1) // 2, n)]
    layers = list(zip(weights[4::2], weights[5::2]))
    hidden = [np.empty((len(b), n), np.float32) for _, b in layers]
    cotangents = [np.empty((len(W), n), np.float32) for W, _ in layers]
    masks = [np.empty(h.shape, bool) for h in hidden[:-1]]
    products = [np.empty_like(W) for W, _ in layers]
    columns, scale, row = np.arange(n), np.float32(RATE / n), np.empty(n, np.float32)

    def call(x: Any, y: Any) -> Any:
        images = x.transpose(1, 2, 3, 0)
        for block in blocks:
            images = block.forward(images)
        h = flat = images.reshape(-1, n)
        for (W, b), out in zip(layers, hidden):
            np.dot(W.T, h, out=out)
            np.add(out, b[:, None], out=out)
            if out is not hidden[-1]:
                np.maximum(out, 0, out=out)
            h = out
        np.maximum.reduce(h, axis=0, out=row)
        np.subtract(h, row, out=h)
        picked = h[y, columns].sum()
        np.exp(h, out=h)
        np.add.reduce(h, axis=0, out=row)
        loss = (np.log(row).sum() - picked) / n
        np.divide(scale, row, out=row)
        np.multiply(h, row, out=h)
        h[y, columns] -= scale  # carries rate / n: products with it are the updates themselves
        for i in reversed(range(len(layers))):
            W, b = layers[i]
            before = hidden[i - 1] if i else flat
            np.dot(W, h, out=cotangents[i])
            np.subtract(W, np.dot(before, h.T, out=products[i]), out=W)
            np.subtract(b, np.add.reduce(h, axis=1), out=b)
            h = cotangents[i]
            if i:
                np.multiply(h, np.greater(before, 0, out=masks[i - 1]), out=h)
        ct = blocks[1].backward(h.reshape(images.shape), inner=True)
        blocks[0].backward(ct, inner=False)
        return loss

    return Case(call, (data["x"], data["y"]), lambda: weights)


class Block:
    """Convolution, maxima, relu of images (channels, height, width, batch), and the update of its weights."""

    def __init__(self, W: Any, b: Any, size: int, n: int) -> None:
        outputs, channels = W.shape[:2]
        rows = size - KERNEL + 1
        self.W, self.b, self.flat = W, b, W.reshape(outputs, -1)
        self.windows = np.empty((channels, KERNEL, KERNEL, rows, rows, n), np.float32)
        self.columns = self.windows.reshape(channels * KERNEL**2, -1)
        self.y, self.ct = (np.empty((outputs, rows, rows, n), np.float32) for _ in range(2))
        self.pooled = np.empty((outputs, rows // 2, rows // 2, n), np.float32)
        self.spare, self.mask = np.empty_like(self.pooled), np.empty(self.pooled.shape, bool)
        self.dx = np.empty((channels, size, size, n), np.float32)
        self.product = np.empty_like(self.flat)

    def forward(self, x: Any) -> Any:
        view = np.lib.stride_tricks.sliding_window_view(x, (KERNEL, KERNEL), axis=(1, 2))
        np.copyto(self.windows, view.transpose(0, 4, 5, 1, 2, 3))
        np.dot(self.flat, self.columns, out=self.y.reshape(len(self.b), -1))
        a, b, c, d = corners(self.y)
        np.maximum(a, b, out=self.pooled)
        np.maximum(c, d, out=self.spare)
        np.maximum(self.pooled, self.spare, out=self.pooled)
        np.copyto(self.spare, self.pooled)  # the maxima before bias and relu, to find their places by
        np.add(self.pooled, self.b[:, None, None, None], out=self.pooled)
        return np.maximum(self.pooled, 0, out=self.pooled)

    def backward(self, ct: Any, inner: bool) -> Any:
        np.multiply(ct, np.greater(self.pooled, 0, out=self.mask), out=ct)
        for part, slope in zip(corners(self.y), corners(self.ct)):
            np.multiply(np.equal(part, self.spare, out=self.mask), ct, out=slope)
        flat = self.ct.reshape(len(self.b), -1)
        np.dot(flat, self.columns.T, out=self.product)
        if inner:
            np.dot(self.flat.T, flat, out=self.columns)
            self.dx[...] = 0
            rows = self.windows.shape[3]
            for i in range(KERNEL):
                for j in range(KERNEL):
                    self.dx[:, i : i + rows, j : j + rows] += self.windows[:, i, j]
        np.subtract(self.flat, self.product, out=self.flat)
        np.subtract(self.b, ct.sum(axis=(1, 2, 3)), out=self.b)
        return self.dx


def corners(y: Any) -> list[Any]:
    """The four elements of every 2 x 2 square."""
    return [y[:, i::2, j::2] for i in range(2) for j in range(2)]


# Programs of users ---------------------------------------------------------------------------------------------------


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    x = sg.symbol("x", ("batch", *data["x"].shape[1:]), "float32")
    y = sg.symbol("y", ("batch",), "int64")
    weights = [sg.parameter(w, f"{'Wb'[i % 2]}{i // 2 + 1}") for i, w in enumerate(data["weights"])]
    h = x
    for W, b in zip(weights[:4:2], weights[1:4:2]):
        h = sg.max_pool2d(sg.relu(sg.conv2d(h, W, b)), 2)
    h = h.reshape(h.shape[0], -1)
    for W, b in zip(weights[4:-2:2], weights[5:-2:2]):
        h = sg.relu(h @ W + b)
    logits = h @ weights[-2] + weights[-1]
    loss = -sg.take_along_axis(sg.log_softmax(logits), y[:, None], axis=1).mean()
    step = sg.function([x, y], loss, sg.optim.sgd(weights, sg.grad(loss, weights), RATE), name="step")
    return Case(step, (data["x"], data["y"]), lambda: [w.value for w in weights])


def by_jax(data: Data) -> Case:
    return steps.jax_step(jax_loss, data["weights"], (data["x"], data["y"]), RATE)


def jax_loss(weights: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    for W, b in zip(weights[:4:2], weights[1:4:2]):
        x = jax.nn.relu(jax.lax.conv(x, W, (1, 1), "VALID") + b[:, None, None])
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = x.reshape(len(x), -1)
    for W, b in zip(weights[4:-2:2], weights[5:-2:2]):
        x = jax.nn.relu(x @ W + b)
    scores = jax.nn.log_softmax(x @ weights[-2] + weights[-1])
    return -jnp.take_along_axis(scores, y[:, None], axis=1).mean()


def by_torch(data: Data) -> Case:
    return steps.torch_step(torch_loss, data["weights"], (data["x"], data["y"]), RATE)


def by_torch_compile(data: Data) -> Case:
    return steps.torch_compile_step(torch_loss, data["weights"], (data["x"], data["y"]), RATE)


def torch_loss(weights: Any, x: Any, y: Any) -> Any:
    import torch
    from torch.nn.functional import conv2d, cross_entropy, max_pool2d

    for W, b in zip(weights[:4:2], weights[1:4:2]):
        x = max_pool2d(torch.relu(conv2d(x, W, b)), 2)
    x = x.flatten(1)
    for W, b in zip(weights[4:-2:2], weights[5:-2:2]):
        x = torch.relu(torch.addmm(b, x, W))
    return cross_entropy(torch.addmm(weights[-1], x, weights[-2]), y)


def by_autograd(data: Data) -> Case:
    return steps.autograd_step(autograd_loss, data["weights"], (data["x"], data["y"]), RATE)


def autograd_loss(weights: Any, x: Any, y: Any) -> Any:
    import autograd.numpy as anp
    from autograd.scipy.signal import convolve
    from autograd.scipy.special import logsumexp

    for W, b in zip(weights[:4:2], weights[1:4:2]):
        flipped = W[:, :, ::-1, ::-1]
        x = convolve(x, flipped, axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid") + b[:, None, None]
        n, channels, rows, columns = x.shape
        x = anp.max(anp.maximum(x, 0).reshape(n, channels, rows // 2, 2, columns // 2, 2), axis=(3, 5))
    x = x.reshape(len(x), -1)
    for W, b in zip(weights[4:-2:2], weights[5:-2:2]):
        x = anp.maximum(anp.dot(x, W) + b, 0)
    z = anp.dot(x, weights[-2]) + weights[-1]
    return anp.mean(logsumexp(z, axis=1) - z[np.arange(len(y)), y])
