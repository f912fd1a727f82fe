"""Pooling: the largest element, or the mean, of each window over the last axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Tensor, located_error, make
from ..dtypes import is_complex, is_inexact
from ..errors import DTypeError, ShapeError
from .base import strong
from .late import F
from .pooled import WindowMax, WindowSum
from .windows import one_for_each

__all__ = ["max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"]


def max_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest element of each window along the last axis: (..., length) -> (..., windows).

    Windows of `kernel_size` places start every `stride` places (as many as they are long, unless told). `padding`
    places on both sides, at most half a window, are smaller than everything. A remainder too short for a window is left
    out. Elements that tie share the derivative evenly.

    Raises `ShapeError` for a window longer than the axis, a stride below 1 or too much padding; `DTypeError` for
    complex numbers.

    >>> from symgraph.core import symbol
    >>> max_pool1d(symbol("x", ("batch", 8, 100)), 3, stride=2).shape
    (batch, 8, 49)
    """
    return _max_pool("max_pool1d", 1, x, kernel_size, stride, padding)


def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest element of each window over the last two axes: (..., height, width) -> (..., rows, columns).

    `kernel_size`, `stride` (the kernel size, unless told) and `padding` are one int or a pair (vertical, horizontal).
    `padding` places on each side, at most half a window, are smaller than everything. A remainder too short for a window
    is left out. Elements that tie share the derivative evenly.

    Raises `ShapeError` for a window larger than the image, a stride below 1 or too much padding; `DTypeError` for
    complex numbers.

    >>> from symgraph.core import symbol
    >>> max_pool2d(symbol("x", ("batch", 8, 24, 24)), 2).shape
    (batch, 8, 12, 12)
    """
    return _max_pool("max_pool2d", 2, x, kernel_size, stride, padding)


def avg_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The mean of each window along the last axis: (..., length) -> (..., windows). Integers give float64.

    The arguments are those of `max_pool1d`; the padding is made of zeros, which count.

    >>> from symgraph.core import symbol
    >>> avg_pool1d(symbol("x", ("batch", 8, 100)), 4).shape
    (batch, 8, 25)
    """
    return _avg_pool("avg_pool1d", 1, x, kernel_size, stride, padding)


def avg_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The mean of each window over the last two axes: (..., height, width) -> (..., rows, columns). Integers give float64.

    The arguments are those of `max_pool2d`; the padding is made of zeros, which count.

    >>> from symgraph.core import symbol
    >>> avg_pool2d(symbol("x", ("batch", 8, 24, 24)), 3, stride=1, padding=1).shape
    (batch, 8, 24, 24)
    """
    return _avg_pool("avg_pool2d", 2, x, kernel_size, stride, padding)


def _max_pool(name: str, count: int, x: Any, kernel_size: Any, stride: Any, padding: Any) -> Tensor:
    x = strong(x)
    if is_complex(x.dtype):
        raise located_error(
            DTypeError, name, [x], "of complex numbers none is the largest. Take real(x) or abs(x) first"
        )
    axis, size, steps, around = _geometry(name, count, x, kernel_size, stride, padding)
    if any(around):
        least: Any = -np.inf if is_inexact(x.dtype) else False if x.dtype.kind == "b" else np.iinfo(x.dtype).min
        x = _padded(x, around, least)
    if all(k == 1 for k in size):
        return _every(x, steps)
    return make(WindowMax(axis, size, steps), x)


def _avg_pool(name: str, count: int, x: Any, kernel_size: Any, stride: Any, padding: Any) -> Tensor:
    x = strong(x)
    axis, size, steps, around = _geometry(name, count, x, kernel_size, stride, padding)
    if not is_inexact(x.dtype):
        x = F.astype(x, np.float64)
    x = _padded(x, around, 0) if any(around) else x
    if all(k == 1 for k in size):
        return _every(x, steps)
    return make(WindowSum(axis, size, steps), x) / math.prod(size)


def _every(x: Tensor, steps: Sequence[int]) -> Tensor:
    """Windows of one element."""
    return x if all(s == 1 for s in steps) else x[(..., *[slice(None, None, s) for s in steps])]


def _padded(x: Tensor, around: Sequence[int], value: Any) -> Tensor:
    return F.pad(x, [(0, 0)] * (x.ndim - len(around)) + [(p, p) for p in around], constant_values=value)


def _geometry(
    name: str, count: int, x: Tensor, kernel_size: Any, stride: Any, padding: Any
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The axes, and the size, stride and padding along each of them."""
    if x.ndim < count:
        rule = f"there must be {count} axes to pool over, not {x.ndim}"
        raise located_error(ShapeError, name, [x], rule)
    axis = tuple(range(x.ndim - count, x.ndim))
    size = one_for_each(kernel_size, count, "kernel_size", name, [x])
    steps = size if stride is None else one_for_each(stride, count, "stride", name, [x])
    around = one_for_each(padding, count, "padding", name, [x], least=0)
    for a, k, p in zip(axis, size, around, strict=True):
        if 2 * p > k:
            rule = (
                f"padding={p} is more than half of a window of {k}: some windows would hold nothing else. Take {k // 2}"
            )
            raise located_error(ShapeError, name, [x], rule)
        n = x.shape[a]
        if isinstance(n, int) and n + 2 * p < k:
            rule = f"a window of {k} places does not fit axis {a} of size {n}. Take a smaller kernel_size"
            raise located_error(ShapeError, name, [x], rule)
    return axis, size, steps, around
