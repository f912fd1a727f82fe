"""How large the numbers of a formula may be: constants are merged only where nothing is lost by it.

    x * 1e20 * 1e20 in float32: 1e40 is inf there        x / 1e30 / 1e30: 1e-60 is 0        (x * 1e25)**2 = 1e50 * x**2

Each of these is finite, step by step, for x of a suitable size. So a number that a rule makes has to be a normal number of the
dtype it is used in (neither infinite, nor 0, nor with fewer digits), and a product of several unknowns is left in the user's
order where a number among its factors is far from 1: whoever scales by 1e25 has elements near 1e-25, whose square is 0.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..core import Constant, Tensor
from ..dtypes import DType


@lru_cache(maxsize=64)
def _range(dtype: DType) -> tuple[float, float]:
    """The smallest and the largest normal number."""
    if dtype.kind not in "fc":
        return 0.0, float("inf")
    info = np.finfo(dtype)
    return float(info.smallest_normal), float(info.max)


def fits(number: Any, dtype: DType) -> bool:
    """Whether a number that is not 0 in exact arithmetic is a normal number of the dtype."""
    least, most = _range(dtype)
    return least <= _size(number) <= most if least else bool(np.isfinite(number))


def distance(number: Any) -> float:
    """How far from 1 a number other than 0 is: the absolute value of its logarithm."""
    return abs(math.log(_size(number)))


@lru_cache(maxsize=64)
def reach(dtype: DType) -> float:
    """How far from 1 the numbers of a product may be: a quarter of the way to the ends of the range."""
    least, most = _range(dtype)
    return min(-math.log(least), math.log(most)) / 4 if least else math.inf


def is_extreme(number: Any, dtype: DType) -> bool:
    """Whether a number is so far from 1 that it stays where it is: beyond 4e9 and below 3e-10 in float32."""
    return bool(number and np.isfinite(number) and distance(number) > reach(dtype))


def _size(number: Any) -> float:
    """The absolute value; of complex numbers, where it may be infinite."""
    return math.hypot(number.real, number.imag) if isinstance(number, complex) else abs(number)


def scales_far(x: Tensor, dtype: DType) -> bool:
    """Whether `x` is a constant without axes that is extreme in the dtype of a product."""
    return isinstance(x.op, Constant) and x.op.number is not None and is_extreme(x.op.number, dtype)


__all__ = ["distance", "fits", "is_extreme", "reach", "scales_far"]
