"""Arrays made from sizes and numbers: zeros, full, eye, arange, linspace, and a size as a number.

Sizes may be symbolic. Numbers with bits never stand in a field of an op: the fill value of `full` is its operand, and a
range of floats is a constant, or arithmetic on a range of integers when its length is symbolic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dims
from ..core import Constant, ShapedArray, Tensor, as_shape, constant, describe, make, misuse
from ..dims import Dim, Shape, Size, as_size, same
from ..dtypes import BOOL, FLOAT64, INT64, DType, as_dtype, promote, real_dtype
from ..errors import DTypeError, ShapeError
from . import code
from .base import Linear, Mask, Primitive, Pulled, as_tensor, cast, promotion_type
from .code import Code
from .late import F

__all__ = [
    "zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "empty_like",
    "arange", "linspace", "logspace", "dim_value", "array", "asarray", "meshgrid",
]  # fmt: skip


# Full ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Full(Linear):
    """A new array with one value everywhere; the value is the operand."""

    shape: Shape
    name = "full"
    literals = (0,)

    def infer(self, value: ShapedArray) -> ShapedArray:
        if value.shape:
            raise ShapeError("the fill value must be one number. Use broadcast_to to repeat an array")
        return ShapedArray(self.shape, value.dtype)

    def numpy(self, value: Code) -> Code:
        kind = value.aval.dtype if value.aval is not None else FLOAT64
        dtype = None if kind == FLOAT64 else kind
        if value.literal and value in ("0", "0j", "False"):
            return _filled("np.zeros", self.shape, dtype)
        if value.literal and value in ("1", "True"):
            return _filled("np.ones", self.shape, dtype)
        if value.literal and dtype is None and value.lstrip("-").isdigit():
            value = Code(f"{value}.0")
        if kind == BOOL or (kind == INT64 and value.literal):
            dtype = None
        return _filled("np.full", self.shape, dtype, value)

    def into(self, out: str, *xs: Code) -> list[str]:
        return [f"{out}.fill({xs[0]})"]

    def transpose(self, ct: Tensor, value: Tensor) -> Tensor:
        return F.sum(ct)

    def transpose_mask(self, mask: Tensor, value: Tensor) -> Tensor:
        return F.any(mask)

    def batch(self, axes: Sequence[int | None], value: Tensor) -> tuple[Tensor, int]:
        n = value.shape[0]
        return F.broadcast_to(F.reshape(value, (n, *[1] * len(self.shape))), (n, *self.shape)), 0


def _filled(function: str, shape: Shape, dtype: DType | None, *value: Code) -> Code:
    sizes = shape[0] if len(shape) == 1 else shape
    return code.call(function, sizes, *value, dtype=dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """An array of `shape` with `fill_value` everywhere. The value may be a tensor, and is then differentiated.

    >>> full(("batch", 2), 0.5, "float32").aval
    ShapedArray(shape=(batch, 2), dtype=dtype('float32'), weak=False)
    """
    value = as_tensor(fill_value)
    value = cast(value, value.dtype if dtype is None else as_dtype(dtype))
    sizes = as_shape(shape)
    if value.ndim:
        return F.broadcast_to(value, sizes)
    return make(Full(sizes), value) if sizes else value


def zeros(shape: Any, dtype: Any = float) -> Tensor:
    """An array of zeros; sizes may be symbolic."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = float) -> Tensor:
    """An array of ones; sizes may be symbolic."""
    return full(shape, 1, dtype)


def empty(shape: Any, dtype: Any = float) -> Tensor:
    """The same as `zeros`: a value that depends on what was in memory is no expression."""
    return full(shape, 0, dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Tensor:
    """`full` with the shape and dtype of `x`, where no other is given."""
    x = as_tensor(x)
    return full(x.shape if shape is None else shape, fill_value, x.dtype if dtype is None else dtype)


def zeros_like(x: Any, dtype: Any = None, shape: Any = None) -> Tensor:
    """Zeros in the shape and dtype of `x`."""
    return full_like(x, 0, dtype, shape)


def ones_like(x: Any, dtype: Any = None, shape: Any = None) -> Tensor:
    """Ones in the shape and dtype of `x`."""
    return full_like(x, 1, dtype, shape)


def empty_like(x: Any, dtype: Any = None, shape: Any = None) -> Tensor:
    """The same as `zeros_like`."""
    return full_like(x, 0, dtype, shape)


# Sizes and ranges ----------------------------------------------------------------------------------------------------


class Source(Primitive):
    """An op without operands: nothing to differentiate."""

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        return []

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> None:
        return None

    def bounded(self, *known: bool) -> bool:
        return True


@dataclass(frozen=True)
class DimValue(Source):
    """A size as a 0-d integer: weak, as a Python int is."""

    dim: Size
    name = "dim_value"

    def infer(self) -> ShapedArray:
        return ShapedArray((), INT64, weak=True)

    def numpy(self) -> Code:
        return code.size(self.dim)

    def nonnegative(self, *known: bool) -> bool:
        return _surely(lambda: self.dim >= 0)

    def cost(self, y: Any, *xs: ShapedArray) -> int:
        return 0


def dim_value(dim: Any) -> Tensor:
    """A size as a number in arithmetic with tensors; like a Python int it takes its dtype from what it meets."""
    size = as_size(dim)
    return make(DimValue(size)) if isinstance(size, Dim) else as_tensor(size)


def _surely(question: Any) -> bool:
    """The answer about sizes, and False where there is none yet."""
    try:
        return bool(question())
    except ShapeError:
        return False


@dataclass(frozen=True)
class Arange(Source):
    """start, start + step, ... up to but not including stop."""

    start: Size
    stop: Size
    step: int
    dtype: DType
    name = "arange"

    def infer(self) -> ShapedArray:
        gap = self.stop - self.start if self.step > 0 else self.start - self.stop
        size = abs(self.step)
        return ShapedArray((dims.maximum((gap + size - 1) // size, 0),), self.dtype)

    def numpy(self) -> Code:
        sizes = [self.stop] if same(self.start, 0) and self.step == 1 else [self.start, self.stop]
        sizes += [] if self.step == 1 else [self.step]
        return code.call("np.arange", *sizes, dtype=None if self.dtype == INT64 else self.dtype)

    def into(self, out: str, *xs: Code) -> list[str]:
        return code.assign(out, self.numpy())

    def nonnegative(self, *known: bool) -> bool:
        return self.step > 0 and _surely(lambda: self.start >= 0)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Tensor:
    """start, start + step, ... up to but not including stop; one argument is the stop.

    Bounds may be symbolic sizes, with whole numbers beside them; a range of other floats is a constant.

    >>> from symgraph.dims import dim
    >>> arange(dim("batch")).aval
    ShapedArray(shape=(batch,), dtype=dtype('int64'), weak=False)
    """
    if stop is None:
        start, stop = 0, start
    given = (start, stop, step)
    for value in given:
        if isinstance(value, Tensor) or not isinstance(value, int | float | Dim | np.number):
            rule = f"{describe(value)} is not known now, so the size of the result is not. Use numbers and sizes"
            raise misuse(ShapeError, rule)
    if isinstance(step, Dim) or step == 0:
        raise misuse(ShapeError, f"step={step} must be a fixed number other than 0")
    whole = all(isinstance(v, Dim) or float(v).is_integer() for v in given)
    if not whole:
        if any(isinstance(v, Dim) for v in given):
            rule = f"a symbolic range has whole bounds, not {', '.join(map(str, given))}. Scale it: arange(n) * step"
            raise misuse(ShapeError, rule)
        return constant(np.arange(*given, dtype=dtype))
    found = (
        np.result_type(*[np.int64 if isinstance(v, int | Dim) else v for v in given])
        if dtype is None
        else as_dtype(dtype)
    )
    if found == BOOL:
        raise misuse(DTypeError, "there is no bool range. Compare one instead: arange(n) > 0")
    bounds = [v if isinstance(v, Dim) else int(v) for v in given]
    return make(Arange(bounds[0], bounds[1], int(step), found))


def linspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """`num` evenly spaced values from `start` to `stop`: y_i = start + i (stop - start) / (num - 1).

    Without `endpoint` the divisor is `num`. The ends may be tensors, broadcast, and the new axis stands at `axis`;
    `num` may be a symbolic size. With `retstep` also the distance is returned.
    """
    a, b, (n,) = as_tensor(start), as_tensor(stop), as_shape((num,))
    if isinstance(a.op, Constant) and isinstance(b.op, Constant) and not isinstance(n, Dim):
        values, step = np.linspace(_scalar(a), _scalar(b), n, endpoint, retstep=True, dtype=dtype, axis=axis)
        return (constant(values), constant(step)) if retstep else constant(values)
    kind = promote(promotion_type(a), promotion_type(b), float)
    gaps = n - 1 if endpoint else n
    distance = (cast(b, kind) - a) / dims.maximum(gaps, 1)
    y = F.reshape(arange(n, dtype=real_dtype(kind)), (n, *[1] * distance.ndim)) * distance + a
    if endpoint and isinstance(n, int) and n > 1:
        y = y.at[-1].set(b)
    y = F.moveaxis(y, 0, axis)
    if dtype is not None:
        y = cast(F.floor(y) if as_dtype(dtype).kind in "iu" else y, as_dtype(dtype))
    return (y, distance) if retstep else y


def _scalar(x: Tensor) -> Any:
    value = x.op.value  # type: ignore[attr-defined]
    return value.item() if x.aval.weak else value


def logspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None
) -> Tensor:
    """base**y for y in `linspace(start, stop, num)`."""
    y = F.power(base, linspace(start, stop, num, endpoint))
    return y if dtype is None else cast(y, as_dtype(dtype))


# Arrays --------------------------------------------------------------------------------------------------------------


def asarray(value: Any, dtype: Any = None) -> Tensor:
    """`value` as a tensor: a tensor itself, or an array, number, size, or nested list of these and of tensors.

    >>> from symgraph.core import symbol
    >>> x = symbol("x")
    >>> asarray([[x, 1], [0, x]]).shape
    (2, 2)
    """
    if isinstance(value, list | tuple) and any(map(_symbolic, value)):
        x = F.stack([asarray(item) if _symbolic(item) else as_tensor(item) for item in value])
    else:
        x = as_tensor(value)
    return cast(x, x.dtype if dtype is None else as_dtype(dtype))


array = asarray


def _symbolic(value: Any) -> bool:
    return isinstance(value, Tensor | Dim) or (isinstance(value, list | tuple) and any(map(_symbolic, value)))


def meshgrid(*xs: Any, indexing: str = "xy", sparse: bool = False) -> tuple[Tensor, ...]:
    """Coordinate arrays of the grid over the 1-d `xs`; with `indexing="xy"` the first two axes are exchanged.

    `sparse=True` leaves size 1 along the axes where a coordinate does not change.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing must be 'xy' or 'ij', not {indexing!r}")
    order = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        order[:2] = [1, 0]
    grid = [F.reshape(x, tuple(-1 if a == axis else 1 for a in order)) for axis, x in enumerate(xs)]
    return tuple(grid) if sparse else F.broadcast_arrays(*grid)
