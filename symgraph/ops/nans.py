"""Reductions that leave nan out: each is the usual one of values in which a nan is replaced by what changes nothing.

    nansum   where(isnan(x), 0, x).sum()          nanmean   nansum / how many are not nan

The derivative at a nan is 0. Integers and booleans have none, and take the usual functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Tensor
from ..dtypes import is_complex, is_inexact, real_dtype
from .base import axes_of, cast, strong
from .late import F

__all__ = [
    "nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanargmax", "nanargmin", "nancumsum",
    "nancumprod",
]  # fmt: skip


def nansum(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over axes of the values that are not nan; 0 of none."""
    return F.sum(_without(x, 0), axis, dtype, keepdims)


def nanprod(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product over axes of the values that are not nan; 1 of none."""
    return F.prod(_without(x, 1), axis, dtype, keepdims)


def nanmean(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The mean over axes of the values that are not nan; nan of none, float64 for integers."""
    x = strong(x)
    if not is_inexact(x.dtype):
        return F.mean(x, axis, dtype, keepdims)
    total = nansum(x, axis, dtype, keepdims)
    return total / cast(_present(x, axis, keepdims), real_dtype(total.dtype))


def nanvar(x: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The variance over axes of the n values that are not nan, `sum(|x - nanmean(x)|^2) / (n - ddof)`; nan for n <= ddof.

    Real also for complex `x`.
    """
    x = strong(x)
    if not is_inexact(x.dtype):
        return F.var(x, axis, dtype, ddof, keepdims)
    d, free = _deviations(x, axis, dtype, ddof, keepdims)
    squares = F.real(d * F.conj(d)) if is_complex(d.dtype) else d * d
    return F.sum(squares, axis, keepdims=keepdims) / free


def nanstd(x: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes of the values that are not nan, with derivative 0 where they are all equal."""
    x = strong(x)
    if not is_inexact(x.dtype):
        return F.std(x, axis, dtype, ddof, keepdims)
    d, free = _deviations(x, axis, dtype, ddof, keepdims)
    return F.norm(d, None, axes_of(axis, x.ndim), keepdims) / F.sqrt(free)


def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest value over axes that is not nan; nan where there is none. Values that tie share the derivative."""
    return _extreme("max", -np.inf, x, axis, keepdims)


def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest value over axes that is not nan; nan where there is none. Values that tie share the derivative."""
    return _extreme("min", np.inf, x, axis, keepdims)


def nanargmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The index of the largest value that is not nan; int64. Where all are nan it is 0, where NumPy has an error."""
    return F.argmax(_without(x, -np.inf), axis, keepdims)


def nanargmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The index of the smallest value that is not nan; int64. Where all are nan it is 0, where NumPy has an error."""
    return F.argmin(_without(x, np.inf), axis, keepdims)


def nancumsum(x: Any, axis: Any = None, dtype: Any = None) -> Tensor:
    """The running sum along an axis, or of the flattened tensor, in which a nan counts as 0."""
    return F.cumsum(_without(x, 0), axis, dtype)


def nancumprod(x: Any, axis: Any = None, dtype: Any = None) -> Tensor:
    """The running product along an axis, or of the flattened tensor, in which a nan counts as 1."""
    return F.cumprod(_without(x, 1), axis, dtype)


# Parts ---------------------------------------------------------------------------------------------------------------


def _without(x: Any, neutral: float) -> Tensor:
    """`x` with `neutral` in the place of nan."""
    x = strong(x)
    return F.where(F.isnan(x), neutral, x) if is_inexact(x.dtype) else x


def _present(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    """How many values over axes are not nan."""
    return F.sum(F.logical_not(F.isnan(x)), axis, keepdims=keepdims)


def _deviations(x: Tensor, axis: Any, dtype: Any, ddof: float, keepdims: bool) -> tuple[Tensor, Tensor]:
    """The distances from the mean, 0 for nan; and the degrees of freedom, nan where there are none."""
    x = x if dtype is None else F.astype(x, dtype)
    d = F.where(F.isnan(x), 0, x - nanmean(x, axis, keepdims=True))
    free = cast(_present(x, axis, keepdims), real_dtype(x.dtype)) - ddof
    return d, F.where(free > 0, free, np.nan)


def _extreme(name: str, neutral: float, x: Any, axis: Any, keepdims: bool) -> Tensor:
    x = strong(x)
    found = getattr(F, name)(_without(x, neutral), axis, keepdims)
    return F.where(F.all(F.isnan(x), axis, keepdims), np.nan, found) if is_inexact(x.dtype) else found
