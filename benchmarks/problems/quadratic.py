"""The quadratic form x'Ax, whose Hessian A + A' does not depend on x."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Compiled, Data


def data(rng: np.random.Generator, n: int) -> Data:
    return {"x": rng.standard_normal(n), "A": rng.standard_normal((n, n))}


def formula(np: Any, x: Any, A: Any) -> Any:
    return x @ A @ x


def by_numpy(data: Data) -> Compiled:
    return Compiled(lambda x, A: A + A.T, tuple(data.values()))
