"""Order statistics: medians and quantiles, read off the sorted values.

The q-th quantile of n values stands at the place v = q (n - 1), between the neighbours a = y[floor(v)] and b = y[ceil(v)] of
the sorted values y:

    a + (b - a) (v - floor(v))

Like NumPy's, a median or quantile of values with a nan among them is nan; the nan-functions leave nans out, which sorting has
put behind the others. The derivative is that of `sort`: what ties shares it evenly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dims
from ..core import Tensor, located_error
from ..dims import Dim, Shape
from ..dtypes import BOOL, FLOAT64, INT64, is_complex, is_inexact
from ..errors import DTypeError, ShapeError
from .base import as_tensor, axes_of, cast, strong
from .late import F

__all__ = ["median", "quantile", "percentile", "nanmedian", "nanquantile", "nanpercentile"]

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The middle of the sorted values over axes, or the mean of the two in the middle; nan where one is nan.

    Values that tie share the derivative evenly. nan over axes of size 0; float64 for integers.

    >>> from symgraph.core import symbol
    >>> median(symbol("x", ("batch", 5)), axis=-1).shape
    (batch,)
    """
    x = strong(x)
    x, restore = _rows(x if is_inexact(x.dtype) else cast(x, FLOAT64), axis, keepdims)
    n = x.shape[-1]
    if dims.same(n, 0):
        return restore(F.full(x.shape[:-1], np.nan, x.dtype), 0)
    y = F.sort(x)
    high, low = y[..., n // 2], y[..., (n - 1) // 2]
    middle = high if isinstance(n, int) and n % 2 else (low + high) / 2
    return restore(_with_nan(middle, y), 0)


def quantile(x: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False) -> Tensor:
    """The value below which the fraction `q` of the values over axes lies; nan where one of them is nan.

    `q` is a number, an array or a tensor of values in [0, 1], whose axes come first in the result; the derivative in `q` is
    that of the interpolation. `method` is 'linear', 'lower', 'higher', 'midpoint' or 'nearest', as in NumPy (Hyndman and Fan
    1996 for 'linear'). Raises `ValueError` for a q known to be outside and for other methods, `ShapeError` over axes of size
    0, `DTypeError` for complex values.

    >>> from symgraph.core import symbol
    >>> quantile(symbol("x", ("batch", 5)), [0.25, 0.75], axis=1).shape
    (2, batch)
    """
    return _quantile("quantile", x, q, axis, method, keepdims)


def percentile(x: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`quantile(x, q / 100)`."""
    return _quantile("percentile", x, _of_hundred(x, q), axis, method, keepdims)


def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The median over axes of the values that are not nan; nan where there are none."""
    x = strong(x)
    if not is_inexact(x.dtype):
        return median(x, axis, keepdims)
    x, restore = _rows(x, axis, keepdims)
    if dims.same(x.shape[-1], 0):
        return restore(F.full(x.shape[:-1], np.nan, x.dtype), 0)
    y, last = F.sort(x), _last_present(x)
    low, high = _at_rows(y, last // 2), _at_rows(y, last - last // 2)
    return restore((low + high) / 2, 0)


def nanquantile(x: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`quantile` of the values that are not nan; nan where there are none."""
    return _quantile("nanquantile", x, q, axis, method, keepdims, skip=True)


def nanpercentile(x: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`percentile` of the values that are not nan; nan where there are none."""
    return _quantile("nanpercentile", x, _of_hundred(x, q), axis, method, keepdims, skip=True)


# Parts ---------------------------------------------------------------------------------------------------------------


def _rows(x: Tensor, axis: Any, keepdims: bool) -> tuple[Tensor, Callable[[Tensor, int], Tensor]]:
    """`x` with the reduced axes as one, the last; and what gives a result, with so many axes in front, its shape."""
    axes = axes_of(axis, x.ndim)
    kept = [a for a in range(x.ndim) if a not in axes]
    shape: Shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    if axes != tuple(range(len(kept), x.ndim)):
        x = F.transpose(x, (*kept, *axes))
    if len(axes) != 1:
        x = F.reshape(x, (*x.shape[: len(kept)], dims.prod(x.shape[len(kept) :])))

    def restore(y: Tensor, leading: int) -> Tensor:
        return F.reshape(y, (*y.shape[:leading], *shape)) if keepdims else y

    return x, restore


def _with_nan(y: Tensor, ordered: Tensor) -> Tensor:
    """`y`, and nan where the sorted values end with one."""
    return F.where(F.isnan(ordered[..., -1]), np.nan, y) if is_inexact(ordered.dtype) else y


def _last_present(x: Tensor) -> Tensor:
    """The place of the last sorted value of each row that is not nan, 0 where there is none."""
    return F.maximum(F.sum(F.logical_not(F.isnan(x)), -1) - 1, 0)


def _quantile(name: str, x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip: bool = False) -> Tensor:
    if method not in METHODS:
        raise ValueError(f"{name}: method={method!r} is not available; choose one of {', '.join(map(repr, METHODS))}")
    x = strong(x)
    if is_complex(x.dtype) or x.dtype == BOOL:
        rule = f"{x.dtype} values have no quantiles. Take real parts, or .astype(int)"
        raise located_error(DTypeError, name, [x], rule)
    fraction = q if isinstance(q, Tensor) else np.asarray(q)
    if fraction.dtype.kind not in "iuf":
        raise DTypeError(f"{name}: q must hold real numbers, not {fraction.dtype}")
    if isinstance(fraction, np.ndarray) and not np.all((fraction >= 0) & (fraction <= 1)):
        raise ValueError(
            f"{name}: q={q!r} is out of range; a quantile is between 0 and 1, a percentile between 0 and 100"
        )
    x, restore = _rows(x, axis, keepdims)
    if dims.same(x.shape[-1], 0):
        raise located_error(ShapeError, name, [x], "among no values there are no quantiles. Leave axes of size 0 out")
    y = F.sort(x)
    weak = type(q) in (int, float, _Number)
    if skip and is_inexact(x.dtype):
        return restore(_between(y, fraction, _last_present(x), method, weak), fraction.ndim)
    return restore(_with_nan(_between(y, fraction, x.shape[-1] - 1, method, weak), y), fraction.ndim)


class _Number(np.ndarray[Any, Any]):
    """A fraction that was given as a Python number, and so has no part in promotion."""


def _of_hundred(x: Any, q: Any) -> Any:
    """`q / 100` in the precision in which NumPy divides."""
    dtype = strong(x).dtype
    hundred = dtype.type(100) if dtype.kind == "f" else 100
    if isinstance(q, Tensor):
        return q / hundred
    made = np.asarray(np.true_divide(q, hundred))
    return made.view(_Number) if type(q) in (int, float) else made


def _between(y: Tensor, q: Any, last: Any, method: str, weak: bool) -> Tensor:
    """The values of the sorted rows `y` at the places `q * last`, where `last` is a size, or a tensor of one for each row.

    With constant q and a known size all places are known, and a single one is read by itself.
    """
    rows = isinstance(last, Tensor)
    if q.dtype.kind in "iu" and method == "linear":  # the first and the last values alone
        return _read(y, _times(q, last, rows, y), q.ndim, rows)
    place = _times(q, last, rows, y)
    below, above = np.floor(place), np.ceil(place)
    if method in ("lower", "higher", "nearest"):
        return _read(y, {"lower": below, "higher": above, "nearest": np.rint(place)}[method], q.ndim, rows)
    a, b = _read(y, below, q.ndim, rows), _read(y, above, q.ndim, rows)
    weight = place - below if method == "linear" else place != below
    if isinstance(weight, Tensor):
        dtype = y.dtype if weak else q.dtype
        weight = cast(weight, dtype if dtype.kind == "f" else FLOAT64)
    else:
        weight = float(weight) if weak else np.asarray(weight, q.dtype if q.dtype.kind == "f" else FLOAT64)
    weight = weight / 2 if method == "midpoint" else weight
    if isinstance(weight, float):
        return (a / 1 if y.dtype.kind in "iu" else a) if not weight else _mixed(a, b, weight)
    if q.ndim and not rows:
        weight = weight.reshape(*weight.shape, *[1] * (y.ndim - 1))
    return _mixed(a, b, as_tensor(weight))


def _mixed(a: Tensor, b: Tensor, weight: Any) -> Tensor:
    """`a + (b - a) * weight`, from the nearer end."""
    step = b - a
    if isinstance(weight, float):
        return a + step * weight if weight < 0.5 else b - step * (1 - weight)
    return F.where(weight < 0.5, a + step * weight, b - step * (1 - weight))


def _times(q: Any, last: Any, rows: bool, y: Tensor) -> Any:
    """`q * last`: for each fraction one place, or for each fraction and row."""
    if rows:
        last = cast(last, q.dtype) if q.dtype.kind == "f" else last
        return F.reshape(as_tensor(q), (*q.shape, *[1] * (y.ndim - 1))) * last
    return as_tensor(q) * F.dim_value(last) if isinstance(last, Dim) else q * last


def _read(y: Tensor, place: Any, leading: int, rows: bool) -> Tensor:
    """The values at places along the last axis, whose own axes come first."""
    if not rows:
        index = F.astype(place, INT64) if isinstance(place, Tensor) else np.asarray(place).astype(np.int64)
        found = F.take(y, index, -1) if leading else y[..., index if isinstance(index, Tensor) else int(index)]
        return F.moveaxis(found, tuple(range(y.ndim - 1, y.ndim - 1 + leading)), tuple(range(leading)))
    index = F.astype(place, INT64)
    lined = F.moveaxis(F.reshape(index, (dims.prod(index.shape[:leading]), *index.shape[leading:])), 0, -1)
    found = F.moveaxis(F.take_along_axis(y, lined, -1), -1, 0)
    return F.reshape(found, index.shape)


def _at_rows(y: Tensor, place: Tensor) -> Tensor:
    """One value of each row, at a place of its own."""
    return _read(y, place, 0, rows=True)
