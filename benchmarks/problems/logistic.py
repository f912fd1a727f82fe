"""Logistic regression with labels of -1 and 1: the Hessian X' diag(d) X of sum(log(1 + exp(-y * Xw)))."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Compiled, Data


def data(rng: np.random.Generator, rows: int, features: int) -> Data:
    return {
        "w": 0.1 * rng.standard_normal(features),
        "X": rng.standard_normal((rows, features)),
        "y": np.sign(rng.standard_normal(rows)),
    }


def formula(np: Any, w: Any, X: Any, y: Any) -> Any:
    return np.logaddexp(0, -y * (X @ w)).sum()


def probability(w: Any, X: Any, y: Any) -> Any:
    """Of the wrong label, p = 1 / (1 + exp(y * Xw)): first derivative of the loss is -p."""
    return 1 / (1 + np.exp(y * (X @ w)))


def by_numpy(data: Data) -> Compiled:
    """d = y**2 p (1 - p) is not negative, so that with B = sqrt(d) X the product B' B is symmetric: BLAS takes half the time."""

    def call(w: Any, X: Any, y: Any) -> Any:
        p = probability(w, X, y)
        B = (np.abs(y) * np.sqrt(p * (1 - p)))[:, None] * X
        return B.T @ B

    return Compiled(call, tuple(data.values()))
