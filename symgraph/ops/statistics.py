"""Means, variances and counts: plain compositions of the reductions, differentiated through their parts.

A size enters arithmetic as a weak number, so a float32 mean over a symbolic axis stays float32. float16 is computed in
float32, as NumPy does it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dims
from ..core import Tensor, located_error
from ..dims import Dim, Size
from ..dtypes import BOOL, FLOAT64, DType, as_dtype, is_complex, is_inexact, promote, real_dtype
from ..errors import ShapeError
from .base import as_tensor, axes_of, broadcast_like, cast, strong
from .late import F

__all__ = ["mean", "average", "var", "std", "ptp", "count_nonzero"]

HALF, SINGLE = np.dtype(np.float16), np.dtype(np.float32)


def mean(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over axes, sum(x) / n: float64 for booleans and integers, else in the dtype of `x`."""
    x, result = _real_operand(x, dtype)
    return cast(F.sum(x, axis, keepdims=keepdims) / count(x, axis), result)


def var(x: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The variance over axes, `sum(|x - mean(x)|^2) / (n - ddof)`; real also for complex `x`."""
    x, result = _real_operand(x, dtype)
    d = x - mean(x, axis, keepdims=True)
    squares = F.real(d * F.conj(d)) if is_complex(x.dtype) else d * d
    n = _freedom(x, axis, ddof)
    return cast(F.sum(squares, axis, keepdims=keepdims) / n, real_dtype(result))


def std(x: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes, norm(x - mean(x)) / sqrt(n - ddof).

    Like that of a norm, the derivative is 0 where all elements are equal.
    """
    x, result = _real_operand(x, dtype)
    n = _freedom(x, axis, ddof)
    root = math.sqrt(n) if isinstance(n, int | float) else F.sqrt(n)
    d = x - mean(x, axis, keepdims=True)
    return cast(F.norm(d, None, axes_of(axis, x.ndim), keepdims) / root, real_dtype(result))


def average(x: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False) -> Any:
    """The weighted mean sum(w * x) / sum(w); with `returned` also the sum of the weights.

    `weights` has the shape of `x`, or is a vector along the one axis.
    """
    x = strong(x)
    if weights is None:
        y = mean(x, axis, keepdims=keepdims)
        total = as_tensor(count(x, axis))
        return (y, F.broadcast_to(cast(total, y.dtype), y.shape)) if returned else y
    w = strong(weights)
    if w.ndim != x.ndim:
        axes = axes_of(axis, x.ndim)
        if axis is None or w.ndim != 1 or len(axes) != 1:
            rule = "weights have the shape of x, or one axis when the average is over one axis. Broadcast them first"
            raise located_error(ShapeError, "average", [x, w], rule)
        w = F.reshape(w, tuple(w.shape[0] if i == axes[0] else 1 for i in range(x.ndim)))
    dtype = promote(x.dtype, w.dtype) if is_inexact(x.dtype) else promote(x.dtype, w.dtype, FLOAT64)
    w = broadcast_like(cast(w, dtype), x)
    total = F.sum(w, axis, keepdims=keepdims)
    y = F.sum(cast(x, dtype) * w, axis, keepdims=keepdims) / total
    return (y, total) if returned else y


def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The range of values over axes, max(x) - min(x)."""
    return F.max(x, axis, keepdims) - F.min(x, axis, keepdims)


def count_nonzero(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The number of elements over axes that are not zero; int64."""
    x = strong(x)
    return F.sum(x if x.dtype == BOOL else F.not_equal(x, 0), axis, keepdims=keepdims)


# Parts ---------------------------------------------------------------------------------------------------------------


def count(x: Tensor, axis: Any) -> Size:
    """The number of elements along `axis`: a size, which is weak in arithmetic with tensors."""
    return dims.prod([x.shape[a] for a in axes_of(axis, x.ndim)])


def _freedom(x: Tensor, axis: Any, ddof: Any) -> Any:
    """n - ddof, and 0 where that is negative: a number, or a tensor of the precision of `x`."""
    n = count(x, axis)
    if isinstance(n, int):
        return max(n - ddof, 0)
    if isinstance(ddof, int | Dim):
        n, ddof = dims.maximum(n - ddof, 0), 0
    size = cast(as_tensor(n), real_dtype(x.dtype))
    return F.maximum(size - ddof, 0) if ddof else size


def _real_operand(x: Any, dtype: Any) -> tuple[Tensor, DType]:
    """`x` in the dtype to compute a mean in, and the dtype of the result."""
    x = strong(x)
    result = as_dtype(dtype) if dtype is not None else x.dtype if is_inexact(x.dtype) else FLOAT64
    return F.astype(x, SINGLE if result == HALF else result), result
