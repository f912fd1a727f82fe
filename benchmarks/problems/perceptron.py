"""A network of two tanh layers and one output; the Hessian with respect to its input.

H = sum over the layers of J' diag(cotangent * tanh'') J,   J the derivative of the layer's input
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Compiled, Data


def data(rng: np.random.Generator, inputs: int, width: int) -> Data:
    return {
        "x": rng.standard_normal(inputs),
        "W1": rng.standard_normal((width, inputs)) / inputs**0.5,
        "W2": rng.standard_normal((width, width)) / width**0.5,
        "w3": rng.standard_normal(width),
    }


def formula(np: Any, x: Any, W1: Any, W2: Any, w3: Any) -> Any:
    return w3 @ np.tanh(W2 @ np.tanh(W1 @ x))


def by_numpy(data: Data) -> Compiled:
    def call(x: Any, W1: Any, W2: Any, w3: Any) -> Any:
        h1 = np.tanh(W1 @ x)
        h2 = np.tanh(W2 @ h1)
        s1, s2 = 1 - h1 * h1, 1 - h2 * h2
        b2 = w3 * s2
        b1 = (b2 @ W2) * s1
        J = W2 @ (s1[:, None] * W1)
        H = (J.T * (-2 * h2 * b2)) @ J
        H += (W1.T * (-2 * h1 * b1)) @ W1
        return H

    return Compiled(call, tuple(data.values()))
