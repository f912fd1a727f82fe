"""The models of the demo, written as any user of symgraph would write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import symgraph as sg
from symgraph import optim


@dataclass(frozen=True)
class Model:
    """A classifier as a graph: its inputs, what it learns, and what it computes."""

    x: sg.Tensor
    y: sg.Tensor
    parameters: list[sg.Parameter]
    logits: sg.Tensor
    loss: sg.Tensor


def mlp(rng: np.random.Generator) -> Model:
    """64 pixels, 128 rectified units, 10 classes; softmax cross-entropy with weight decay on the matrices alone."""
    x = sg.symbol("x", ("batch", 64), "float32")
    y = sg.symbol("y", ("batch",), "int64")
    W1 = sg.parameter(kaiming(rng, 64, 128), "W1")
    b1 = sg.parameter(np.zeros(128, np.float32), "b1")
    W2 = sg.parameter(kaiming(rng, 128, 10), "W2")
    b2 = sg.parameter(np.zeros(10, np.float32), "b2")

    hidden = sg.named(sg.relu(x @ W1 + b1), "hidden")
    logits = sg.named(hidden @ W2 + b2, "logits")
    decay = 1e-4 * ((W1 * W1).sum() + (W2 * W2).sum())
    loss = sg.named(cross_entropy(logits, y) + decay, "loss")
    return Model(x, y, [W1, b1, W2, b2], logits, loss)


def logistic(rng: np.random.Generator) -> Model:
    """Multinomial logistic regression: one matrix, softmax cross-entropy, weight decay. It is convex, so it starts at 0."""
    x = sg.symbol("x", ("batch", 64), "float32")
    y = sg.symbol("y", ("batch",), "int64")
    W = sg.parameter(np.zeros((64, 10), np.float32), "W")
    b = sg.parameter(np.zeros(10, np.float32), "b")

    logits = sg.named(x @ W + b, "logits")
    loss = sg.named(cross_entropy(logits, y) + 1e-4 * (W * W).sum(), "loss")
    return Model(x, y, [W, b], logits, loss)


def cross_entropy(logits: sg.Tensor, y: sg.Tensor) -> sg.Tensor:
    """The mean over the batch of -log p(label)."""
    log_p = sg.log_softmax(logits, axis=1)
    return -sg.take_along_axis(log_p, y[:, None], axis=1).mean()


def training_step(model: Model) -> sg.Function:
    """`train_step(x, y, rate)`: the loss of a mini-batch, and one step of Adam against its gradient."""
    rate = sg.symbol("rate", (), "float32")
    gradients = sg.grad(model.loss, model.parameters)
    updates = optim.adam(model.parameters, gradients, rate)
    return sg.function([model.x, model.y, rate], model.loss, updates, name="train_step")


def predictor(model: Model, mean: Any, scale: Any) -> sg.Function:
    """`predict(pixels)`: the digit each image shows and the probability of it, from pixels between 0 and 16."""
    pixels = sg.symbol("pixels", ("batch", 64), "float32")
    x = (pixels - sg.named(sg.constant(mean), "mean_image")) / scale
    p = sg.named(sg.softmax(sg.substitute(model.logits, {model.x: x}), axis=1), "p")
    digit, probability = sg.named(p.argmax(axis=1), "digit"), sg.named(p.max(axis=1), "probability")
    return sg.function([pixels], (digit, probability), name="predict")


def kaiming(rng: np.random.Generator, inputs: int, outputs: int) -> Any:
    """Normal weights with variance 2 / inputs, which keep the size of signals through rectified units."""
    return (rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)).astype(np.float32)


MODELS: dict[str, Callable[[np.random.Generator], Model]] = {"mlp": mlp, "logistic": logistic}
