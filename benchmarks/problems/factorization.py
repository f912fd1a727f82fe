"""Matrix factorization norm(T - UV')**2, masked or not: the Hessian with respect to U has one k x k block per row of U.

H[i,k,j,l] = 2 delta[i,j] sum_m W[i,m]**2 V[m,k] V[m,l]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Compiled, Data


def data(rng: np.random.Generator, n: int, k: int, masked: bool) -> Data:
    made = {
        "U": rng.standard_normal((n, k)),
        "V": rng.standard_normal((n, k)),
        "T": rng.standard_normal((n, n)),
    }
    return {**made, "W": (rng.random((n, n)) < 0.3) * 1.0} if masked else made


def formula(np: Any, U: Any, V: Any, T: Any, W: Any = None) -> Any:
    R = T - U @ V.T
    return ((R if W is None else W * R) ** 2).sum()


def by_numpy(data: Data) -> Compiled:
    """The blocks, written where they belong in an array of zeros."""

    def call(U: Any, V: Any, T: Any, W: Any = None) -> Any:
        n, k = U.shape
        H = np.zeros((n, k, n, k))
        blocks = np.einsum("ikil->ikl", H)  # a view
        if W is None:
            blocks[...] = 2 * (V.T @ V)
        else:
            pairs = (V[:, :, None] * V[:, None, :]).reshape(len(V), k * k)
            blocks[...] = (2 * (W * W) @ pairs).reshape(n, k, k)
        return H

    return Compiled(call, tuple(data.values()))
