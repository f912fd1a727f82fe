"""A deep ReLU network with cross-entropy; the Hessian with respect to the first weights.

With z = W9' relu(... relu(W0' x)), p = softmax(z) and J the derivative of z by the first layer's input, for each datum
H[i,j,k,l] = x[i] x[k] (J (diag(p) - p p') J')[j,l].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Compiled, Data


def data(rng: np.random.Generator, rows: int, width: int, layers: int) -> Data:
    weights = [0.5 * rng.standard_normal((width, width)) for _ in range(layers)]
    made = {f"W{i}": W for i, W in enumerate(weights)}
    X, Y = rng.standard_normal((rows, width)), np.eye(width)[rng.integers(0, width, rows)]
    return {**made, "X": X, "Y": Y}


def formula(np: Any, *given: Any) -> Any:
    *weights, X, Y = given
    h = X
    for W in weights[:-1]:
        h = np.relu(h @ W)
    return -(Y * np.log_softmax(h @ weights[-1], 1)).sum()


def by_numpy(data: Data) -> Compiled:
    """The derivative of z is carried backwards for all rows and outputs together, one product per layer."""

    def call(*given: Any) -> Any:
        *weights, X, _ = given
        h, masks = X, []
        for W in weights[:-1]:
            h = h @ W
            masks.append(h > 0)
            h = np.maximum(h, 0, out=h)
        z = h @ weights[-1]
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        n, width = p.shape
        J = weights[-1].T * masks[-1][:, None, :]  # datum, output, unit
        for W, mask in zip(weights[-2:0:-1], masks[-2::-1]):
            J = (J.reshape(-1, width) @ W.T).reshape(n, width, width)
            J *= mask[:, None, :]
        pJ = p[:, :, None] * J
        s = pJ.sum(axis=1)
        B = J.transpose(0, 2, 1) @ pJ
        B -= s[:, :, None] * s[:, None, :]
        XX = (X[:, :, None] * X[:, None, :]).reshape(n, width * width)
        H = (XX.T @ B.reshape(n, width * width)).reshape(width, width, width, width)
        return np.ascontiguousarray(H.transpose(0, 2, 1, 3))

    return Compiled(call, tuple(data.values()))
