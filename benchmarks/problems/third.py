"""The third derivative of logistic regression along v: the Hessian of the derivative of the loss along v, X' diag(d * Xv) X."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import logistic
from .base import Compiled, Data, symgraph


def data(rng: np.random.Generator, rows: int, features: int) -> Data:
    return {**logistic.data(rng, rows, features), "v": rng.standard_normal(features)}


def formula(np: Any, w: Any, X: Any, y: Any, v: Any) -> Any:
    """The derivative along v, for the frameworks that transform functions."""
    return np.along(lambda w: logistic.formula(np, w, X, y), w, v)


def by_numpy(data: Data) -> Compiled:
    """The rows of positive and of negative weight make a symmetric product each."""

    def call(w: Any, X: Any, y: Any, v: Any) -> Any:
        p = logistic.probability(w, X, y)
        d = -(y**3) * p * (1 - p) * (1 - 2 * p) * (X @ v)
        order = np.argsort(d < 0, kind="stable")
        B = X[order]
        B *= np.sqrt(np.abs(d[order]))[:, None]
        k = len(d) - np.count_nonzero(d < 0)
        H = B[:k].T @ B[:k]
        H -= B[k:].T @ B[k:]
        return H

    return Compiled(call, tuple(data.values()))


def _by_symgraph(data: Data, mode: str | None) -> Compiled:
    import symgraph as sg

    def derive(w: Any, X: Any, y: Any, v: Any) -> Any:
        return sg.hessian(sg.jvp(logistic.formula(sg, w, X, y), w, v), w, mode=mode)

    return symgraph(derive, data)


def by_symgraph(data: Data) -> Compiled:
    return _by_symgraph(data, None)


def by_symgraph_fr(data: Data) -> Compiled:
    return _by_symgraph(data, "forward-over-reverse")


def by_symgraph_sym(data: Data) -> Compiled:
    return _by_symgraph(data, "symmetric")
