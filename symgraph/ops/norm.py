"""Norms of vectors and matrices: the Euclidean length is a node of its own, the others are compositions."""

from __future__ import annotations

import math
from typing import Any

from ..core import Tensor, located_error, make
from ..dtypes import FLOAT64, is_complex, is_inexact
from ..errors import ShapeError
from .base import axes_of, axis_of, cast, strong
from .late import F
from .reduce import Norm

__all__ = ["norm"]


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors or matrices, as `numpy.linalg.norm`.

    Without `ord` the Euclidean length over `axis` (an int, several, or all), whose derivative at 0 is 0. Over one axis
    `ord` is any number p, for `sum(|x|**p)**(1/p)`, or inf, -inf (largest and smallest `|x|`) or 0 (the number of nonzero
    elements). Over two axes it is 'fro', or 1, -1, inf, -inf: the largest or smallest sum of `|x|` down columns or rows; or 2,
    -2, 'nuc': the largest or smallest singular value, or the sum of all. Raises `ValueError` for an `ord` without a meaning.
    """
    x = strong(x)
    x = x if is_inexact(x.dtype) else cast(x, FLOAT64)
    if axis is not None and isinstance(axis, tuple | list) and len(axis) == 2 and ord is not None:
        row, column = (axis_of(a, x.ndim) for a in axis)
        return _matrix_norm(x, ord, row, column, keepdims)
    axes = axes_of(axis, x.ndim)
    if ord is None or (len(axes) == 1 and ord == 2):
        return _norm(x, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, *axes, keepdims)
    if len(axes) != 1:
        rule = f"ord={ord!r} is for vectors and matrices, not for {len(axes)} axes at once. Give axis="
        raise located_error(ShapeError, "norm", [x], rule)
    if isinstance(ord, str) or not isinstance(ord, int | float):
        raise ValueError(f"norm: ord={ord!r} is not a norm of vectors; give a number")
    size = F.absolute(x)
    if math.isinf(ord):
        return (F.max if ord > 0 else F.min)(size, axes, keepdims)
    if ord == 0:
        return cast(F.sum(F.not_equal(x, 0), axes, keepdims=keepdims), size.dtype)
    if ord == 1:
        return F.sum(size, axes, keepdims=keepdims)
    return F.sum(size**ord, axes, keepdims=keepdims) ** (1 / ord)


def _norm(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    """The Euclidean length; of complex numbers, of their real and imaginary parts together."""
    if not axes:
        return F.absolute(x)
    if not is_complex(x.dtype):
        return make(Norm(axes, bool(keepdims)), x)
    parts = F.stack([F.real(x), F.imag(x)])
    y = make(Norm((0, *[a + 1 for a in axes]), bool(keepdims)), parts)
    return F.squeeze(y, 0) if keepdims else y


def _matrix_norm(x: Tensor, ord: Any, row: int, column: int, keepdims: bool) -> Tensor:
    if row == column:
        raise located_error(ShapeError, "norm", [x], "a matrix has two different axes. Give axis=(row, column)")
    if ord == "fro":
        return _norm(x, axes_of((row, column), x.ndim), keepdims)
    if ord in (2, -2, "nuc"):
        values = F.svdvals(F.moveaxis(x, (row, column), (-2, -1)))
        y = F.sum(values, -1) if ord == "nuc" else F.max(values, -1) if ord == 2 else F.min(values, -1)
        return F.expand_dims(y, (row, column)) if keepdims else y
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise ValueError(
            f"norm: ord={ord!r} of a matrix has no meaning; choose None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        )
    inner, outer = (row, column) if abs(ord) == 1 else (column, row)
    sums = F.sum(F.absolute(x), inner, keepdims=True)
    y = (F.max if ord > 0 else F.min)(sums, outer, keepdims=True)
    return y if keepdims else F.squeeze(y, (row, column))
