"""The Hessian of log(sum(exp(x))): diag(p) - p p' with p = softmax(x)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Compiled, Data


def data(rng: np.random.Generator, n: int) -> Data:
    return {"x": rng.standard_normal(n)}


def formula(np: Any, x: Any) -> Any:
    return np.log(np.exp(x).sum())


def by_numpy(data: Data) -> Compiled:
    def call(x: Any) -> Any:
        p = np.exp(x - x.max())
        p /= p.sum()
        H = np.multiply.outer(-p, p)
        H.reshape(-1)[:: len(p) + 1] += p
        return H

    return Compiled(call, tuple(data.values()))
