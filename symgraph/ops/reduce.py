"""Reductions over axes, y = reduce(x): sums, products, extremes and their places, any and all, length.

For all but the sum (which is linear) the derivative is one fact, the partial p = dy/dx in the shape of x:

    vjp  broadcast(ct) * p        jvp  sum of t * p

`axis` is None (all axes), an int or a sequence of ints; `keepdims` leaves reduced axes in place with size 1. Over no
axes at all a reduction is the identity, and over empty ones it is its neutral element, where it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from .. import dims
from ..core import ShapedArray, Tensor, make
from ..dims import Shape
from ..dtypes import BOOL, INT64, DType, as_dtype
from ..errors import ShapeError
from . import code
from .base import (
    General,
    Linear,
    Mask,
    Primitive,
    Pulled,
    axes_of,
    axis_of,
    broadcast_like,
    cast,
    cast_back,
    strong,
    times,
)
from .code import Code
from .late import F

__all__ = [
    "sum", "prod", "max", "min", "amax", "amin", "argmax", "argmin", "any", "all",
]  # fmt: skip

UINT64 = np.dtype(np.uint64)

ROW = 1024
"""Rows up to this length are reduced in the ways that are fast for short ones."""


# Kinds ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OverAxes(Primitive):
    """y[kept] = f of the values x[kept, reduced], whatever their order; `axis` holds increasing non-negative ints."""

    axis: tuple[int, ...]
    keepdims: bool = False
    scalar = True

    def joins_rows(self) -> bool:
        return self.combine is not None and 0 in self.axis

    def result_dtype(self, dtype: DType) -> DType:
        """The dtype of the result, given that of the operand."""
        return dtype

    def infer(self, x: ShapedArray) -> ShapedArray:
        return ShapedArray(reduced_shape(x.shape, self.axis, self.keepdims), self.result_dtype(x.dtype))

    def numpy(self, x: Code) -> Code:
        return code.method(x, self.name, **self.options(x))

    ufunc: ClassVar[str | None] = None
    """The ufunc whose `reduce` it is."""

    def into(self, out: str, *xs: Code) -> list[str] | None:
        (x,) = xs
        if self.ufunc is None:
            return [str(code.method(x, self.name, **self.options(x), out=Code(out)))]
        rows = self._row_length(x)
        if rows is not None and self._in_segments(x):  # 2 to 4 times as fast as `reduce` over rows of 10 to 1000
            flat = f"{out}.ravel()" if self.keepdims or len(x.aval.shape) - len(self.axis) > 1 else out
            return [f"{self.ufunc}.reduceat({x}.ravel(), np.arange(0, {x}.size, {rows}), out={flat})"]
        options = self.options(x)
        axis = options.pop("axis")
        return [
            str(
                code.call(
                    f"{self.ufunc}.reduce", x, axis=Code("None") if axis is None else axis, **options, out=Code(out)
                )
            )
        ]

    def fast(self, *xs: Code) -> Code | None:
        (x,) = xs
        if self.ufunc is None or self.keepdims or len(self.axis) < x.aval.ndim:
            return None
        options = self.options(x) | {"axis": None if x.aval.ndim == 1 else Code("None")}
        return code.call(f"{self.ufunc}.reduce", x, **options)

    def _row_length(self, x: Code) -> int | None:
        """The number of elements that each result is made of, where it is fixed and they lie next to each other."""
        shape = x.aval.shape
        count = dims.prod([shape[a] for a in self.axis])
        trailing = self.axis[0] == len(shape) - len(self.axis) > 0
        return count if trailing and isinstance(count, int) and 2 <= count <= ROW else None

    def _in_segments(self, x: Code) -> bool:
        """Whether `reduceat` gives the same."""
        return False

    def options(self, x: Code) -> dict[str, Any]:
        """The keyword arguments of the NumPy call; an axis need not be said when all are meant."""
        whole = x.aval is not None and len(self.axis) == x.aval.ndim
        axis = None if whole else self.axis[0] if len(self.axis) == 1 else self.axis
        return {"axis": axis, "keepdims": True if self.keepdims else None}

    def by_rows(self, y: ShapedArray, *xs: ShapedArray) -> tuple[bool, ...] | None:
        return None if 0 in self.axis else (True,)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        (at,) = axes
        assert at is not None
        shifted = tuple(a + (a >= at) for a in self.axis)
        gone = 0 if self.keepdims else len([a for a in shifted if a < at])
        return make(replace(self, axis=shifted), x), at - gone

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return dims.prod(xs[0].shape)

    def aligned(self, y: Tensor) -> Tensor:
        """`y`, or anything of its shape, with the reduced axes back as size 1 unless broadcasting finds them anyway."""
        leading = self.axis == tuple(range(len(self.axis)))
        return y if self.keepdims or leading else F.expand_dims(y, self.axis)


def reduced_shape(shape: Shape, axis: tuple[int, ...], keepdims: bool) -> Shape:
    """`shape` without the axes `axis`, or with size 1 in their place."""
    if keepdims:
        return tuple(1 if i in axis else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axis)


@dataclass(frozen=True)
class Reduction(OverAxes, General):
    """A reduction whose derivative is its `partial`, an expression in the shape of the operand."""

    def partial(self, y: Tensor, x: Tensor) -> Tensor:
        """dy/dx, given `y` aligned to broadcast against `x`."""
        raise TypeError(f"{self.name} has no partial")

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        (x,) = xs
        mask = mask if mask is None else broadcast_like(self.aligned(mask), x)
        return [(cast_back(times(self.aligned(ct), self.partial(self.aligned(y), x), None, mask), x), mask)]

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        (t,), (x,) = ts, xs
        return None if t is None else sum(t * self.partial(self.aligned(y), x), self.axis, keepdims=self.keepdims)


def reduce(op: OverAxes, x: Tensor) -> Tensor:
    """`op(x)`, which over no axes is `x` itself in the dtype of the result."""
    return make(op, x) if op.axis else cast(x, op.result_dtype(x.dtype))


# Sum and product -----------------------------------------------------------------------------------------------------


def sum_dtype(dtype: DType) -> DType:
    """The dtype in which NumPy adds and multiplies: the 64-bit one for booleans and integers."""
    return INT64 if dtype.kind in "bi" else UINT64 if dtype.kind == "u" else dtype


@dataclass(frozen=True)
class Accumulation(OverAxes):
    """A reduction in the wide dtype of `sum_dtype`, or in `dtype` where that is not the one asked for."""

    dtype: DType | None = None

    def result_dtype(self, dtype: DType) -> DType:
        return self.dtype or sum_dtype(dtype)

    def options(self, x: Code) -> dict[str, Any]:
        found = super().options(x)
        return {"axis": found["axis"], "dtype": self.dtype, "keepdims": found["keepdims"]}

    def nonnegative(self, *known: bool) -> bool:
        return known[0]


@dataclass(frozen=True)
class Sum(Accumulation, Linear):
    """The sum over axes; its transpose is broadcasting."""

    name = "sum"
    ufunc = "np.add"
    combine = "np.add"
    adds = True

    def into(self, out: str, *xs: Code) -> list[str] | None:
        (x,) = xs
        if self._row_length(x) is None or self.dtype is not None or x.aval.dtype == np.float16:
            return super().into(out, *xs)
        # Over rows `einsum` is 2 to 5 times as fast as `add.reduce` (1000 x 25: 7 us, not 22; 10^5 x 10: 0.39 ms, not 1.9)
        labels = "ijklmnopqrstuvwxyz"[: len(x.aval.shape)]
        kept = len(x.aval.shape) - len(self.axis)
        target = f"{out}[..., {', '.join('0' * len(self.axis))}]" if self.keepdims else out
        words = f"{x.atom}.view(np.uint8)" if x.aval.dtype == BOOL else x
        return [f'np.einsum("{labels}->{labels[:kept]}", {words}, out={target})']

    def fast(self, *xs: Code) -> Code | None:
        made = super().fast(*xs)
        if made is None or xs[0].aval.dtype != BOOL or self.dtype is not None:
            return made
        return Code(f"np.int64(np.count_nonzero({xs[0]}))")  # 0.3 us, not 1.1

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return F.broadcast_to(self.aligned(ct), x.shape)


@dataclass(frozen=True)
class Prod(Accumulation, Reduction):
    """The product over axes. The partial is the product of the *other* factors, which is exact where some are 0."""

    name = "prod"
    ufunc = "np.multiply"
    combine = "np.multiply"

    def partial(self, y: Tensor, x: Tensor) -> Tensor:
        p: Tensor | None = None
        for axis in self.axis:
            others = _before(x, axis) * F.flip(_before(F.flip(x, axis), axis), axis)
            p = others if p is None else p * others
            x = prod(x, axis, keepdims=True)
        assert p is not None
        return p


def _before(x: Tensor, axis: int) -> Tensor:
    """The product of the factors that precede each one along an axis."""
    one = F.ones((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype)
    return F.cumprod(F.concatenate([one, x], axis), axis)[(*[slice(None)] * axis, slice(None, -1))]


def _accumulate(kind: type[Accumulation], x: Any, axis: Any, dtype: Any, keepdims: bool) -> Tensor:
    x = strong(x)
    wanted = None if dtype is None else as_dtype(dtype)
    if wanted is not None:
        x = F.astype(x, wanted)
        wanted = None if sum_dtype(wanted) == wanted else wanted
    return reduce(kind(axes_of(axis, x.ndim), bool(keepdims), wanted), x)


def sum(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over axes. Booleans and integers are added in 64 bits, or all elements in `dtype`.

    >>> from symgraph.core import symbol
    >>> sum(symbol("x", ("batch", 3)), axis=0).shape
    (3,)
    """
    return _accumulate(Sum, x, axis, dtype, keepdims)


def prod(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product over axes, with the dtypes of `sum`. Derivatives of every order are exact where factors are 0."""
    return _accumulate(Prod, x, axis, dtype, keepdims)


# Extremes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Extreme(Reduction):
    """The largest or smallest element. Those that attain it share the cotangent evenly, and the mask selects them."""

    limit: bool = False
    """Whether the result among no elements is an infinity rather than an error."""

    def _in_segments(self, x: Code) -> bool:
        return code.is_plain(x) and not self.limit

    def infer(self, x: ShapedArray) -> ShapedArray:
        for a in () if self.limit else self.axis:
            _require_elements(x, a)
        return super().infer(x)

    def _shares(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where `x` attains `y`, and how many times it does."""
        chosen = x == self.aligned(y)
        return chosen, self.aligned(cast(sum(chosen, self.axis, keepdims=self.keepdims), x.dtype))

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        (x,) = xs
        chosen, times_attained = self._shares(y, x)
        if mask is not None:
            chosen = F.logical_and(broadcast_like(self.aligned(mask), x), chosen)
        return [(F.where(chosen, self.aligned(ct) / times_attained, 0), chosen)]

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        (t,), (x,) = ts, xs
        if t is None:
            return None
        chosen, times_attained = self._shares(y, x)
        return sum(F.where(chosen, t / times_attained, 0), self.axis, keepdims=self.keepdims)

    def nonnegative(self, *known: bool) -> bool:
        return known[0]

    def bounded(self, *known: bool) -> bool:
        return known[0]


@dataclass(frozen=True)
class Max(Extreme):
    """The largest element over axes."""

    name = "max"
    ufunc = "np.maximum"
    combine = "np.maximum"

    def options(self, x: Code) -> dict[str, Any]:
        return super().options(x) | ({"initial": Code("-np.inf")} if self.limit else {})


@dataclass(frozen=True)
class Min(Extreme):
    """The smallest element over axes."""

    name = "min"
    ufunc = "np.minimum"
    combine = "np.minimum"


def _require_elements(x: ShapedArray, axis: int) -> None:
    size = x.shape[axis]
    if isinstance(size, int) and size == 0:
        raise ShapeError(f"axis {axis} has size 0: among no elements none is largest or smallest. Leave the axis out")


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes; nan if one is nan. Elements that tie share the derivative evenly.

    Raises `ShapeError` over an axis of size 0.
    """
    x = strong(x)
    return reduce(Max(axes_of(axis, x.ndim), bool(keepdims)), x)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes; nan if one is nan. Elements that tie share the derivative evenly.

    Raises `ShapeError` over an axis of size 0.
    """
    x = strong(x)
    return reduce(Min(axes_of(axis, x.ndim), bool(keepdims)), x)


amax, amin = max, min


@dataclass(frozen=True)
class Arg(OverAxes):
    """The index of an extreme element along one axis: the first one, or the first nan."""

    def result_dtype(self, dtype: DType) -> DType:
        return INT64

    def infer(self, x: ShapedArray) -> ShapedArray:
        _require_elements(x, self.axis[0])
        return super().infer(x)

    def nonnegative(self, *known: bool) -> bool:
        return True


@dataclass(frozen=True)
class ArgMax(Arg):
    """The index of the largest element."""

    name = "argmax"


@dataclass(frozen=True)
class ArgMin(Arg):
    """The index of the smallest element."""

    name = "argmin"


def _arg(kind: type[Arg], x: Any, axis: Any, keepdims: bool) -> Tensor:
    x = strong(x)
    if axis is None:
        y = make(kind((0,)), F.ravel(x))
        return F.reshape(y, (1,) * x.ndim) if keepdims else y
    return make(kind((axis_of(axis, x.ndim),), bool(keepdims)), x)


def argmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The index of the (first) largest element along `axis`, or in the flattened tensor; int64, no derivative."""
    return _arg(ArgMax, x, axis, keepdims)


def argmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The index of the (first) smallest element along `axis`, or in the flattened tensor; int64, no derivative."""
    return _arg(ArgMin, x, axis, keepdims)


# Logic ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Logical(OverAxes):
    """Whether some or all elements are not zero."""

    def result_dtype(self, dtype: DType) -> DType:
        return BOOL

    def _in_segments(self, x: Code) -> bool:
        return code.is_plain(x) and x.aval.dtype == BOOL

    def nonnegative(self, *known: bool) -> bool:
        return True


@dataclass(frozen=True)
class AnyOf(Logical):
    """Whether an element is not zero; False of none."""

    name = "any"
    ufunc = "np.logical_or"
    combine = "np.logical_or"


@dataclass(frozen=True)
class AllOf(Logical):
    """Whether every element is not zero; True of none."""

    name = "all"
    ufunc = "np.logical_and"
    combine = "np.logical_and"


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether any element over axes is true (not zero); bool."""
    x = strong(x)
    return reduce(AnyOf(axes_of(axis, x.ndim), bool(keepdims)), x)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over axes are true (not zero); bool."""
    x = strong(x)
    return reduce(AllOf(axes_of(axis, x.ndim), bool(keepdims)), x)


# Length --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Norm(Reduction):
    """The Euclidean length over axes, sqrt(sum(x * x)), with derivative x / y, and 0 at 0 (in every order)."""

    name = "norm"

    def into(self, out: str, *xs: Code) -> list[str] | None:
        return None  # lowered

    def numpy(self, x: Code) -> Code:
        options = self.options(x)
        if isinstance(options["axis"], tuple) and len(options["axis"]) != 2:
            return code.call("np.sqrt", code.method(code.infix("*", x, x), "sum", **options))
        return code.call("np.linalg.norm", x, **options)

    def lower(self, *xs: Tensor) -> Tensor:
        (x,) = xs
        return F.sqrt(sum(x * x, self.axis, keepdims=self.keepdims))

    def partial(self, y: Tensor, x: Tensor) -> Tensor:
        return x / F.where(y == 0, np.inf, y)

    def nonnegative(self, *known: bool) -> bool:
        return True

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 2 * dims.prod(xs[0].shape)
