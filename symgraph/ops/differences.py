"""Differences of neighbours along an axis, and the areas under what stands between them."""

from __future__ import annotations

import operator
from typing import Any

from ..core import Tensor, located_error
from ..dtypes import BOOL
from ..errors import ShapeError
from .base import as_tensor, axis_of, strong
from .late import F

__all__ = ["diff", "trapezoid"]


def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """The differences x[k + 1] - x[k] of neighbours along `axis`, taken `n` times; of booleans, whether they differ.

    `prepend` and `append` are put before and behind first: arrays, or numbers for one element. Raises `ValueError` for a
    negative n, `ShapeError` for a tensor without axes.

    >>> from symgraph.core import symbol
    >>> diff(symbol("x", ("batch", 5)), n=2).shape
    (batch, 3)
    """
    x, n = strong(x), operator.index(n)
    if n < 0:
        raise ValueError(f"diff: n={n} is negative; give how often differences are taken, 0, 1, 2, ...")
    if n == 0:
        return x
    if not x.ndim:
        raise located_error(ShapeError, "diff", [x], "there is no axis along which to take differences. Give it one")
    axis = axis_of(axis, x.ndim)
    ends = [None if e is None else strong(e) for e in (prepend, append)]
    parts = [e if e is None or e.ndim else F.broadcast_to(e, _one(x, axis)) for e in ends]
    if any(p is not None for p in parts):
        x = F.concatenate([p for p in (parts[0], x, parts[1]) if p is not None], axis)
    for _ in range(n):
        after, before = x[_along(axis, slice(1, None))], x[_along(axis, slice(None, -1))]
        x = F.not_equal(after, before) if x.dtype == BOOL else after - before
    return x


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    """The integral of `y` along `axis` by the trapezoidal rule, `sum(d * (y[1:] + y[:-1]) / 2)`.

    `x` holds the places of the values, in one axis or in the shape of `y`; without it they lie `dx` apart.

    >>> from symgraph.core import symbol
    >>> trapezoid(symbol("y", ("batch", 5)), dx=0.1).shape
    (batch,)
    """
    y = strong(y)
    axis = axis_of(axis, y.ndim)
    steps = as_tensor(dx)
    if x is not None:
        places = strong(x)
        steps = diff(places, axis=axis if places.ndim > 1 else -1)
        if places.ndim == 1:
            steps = F.reshape(steps, (steps.shape[0], *[1] * (y.ndim - axis - 1)))
    return F.sum(steps * (y[_along(axis, slice(1, None))] + y[_along(axis, slice(None, -1))]) / 2, axis)


def _one(x: Tensor, axis: int) -> tuple[Any, ...]:
    """The shape of `x` with one element along `axis`."""
    return (*x.shape[:axis], 1, *x.shape[axis + 1 :])


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, part)
