"""Sliding windows along one axis, and their overlap-add: each is the transpose of the other.

    windows   y[..., j, i, ...] = x[..., i*stride + j*dilation, ...]         0 <= j < size, 0 <= i < count
    fold      x[..., l, ...]    = sum of y[..., j, i, ...] over i*stride + j*dilation = l

In the place of the axis stand two: the place j in the window, then the number i of the window. `Windows` is a view of the
operand; `Columns` are the same values laid out in memory of their own, as matrix products want them. Windows over several
axes are windows of windows. On booleans the sum of `fold` is `or`, so masks follow both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import dims
from ..core import ShapedArray, Tensor, located_error, make
from ..dims import Shape, Size
from ..errors import ShapeError
from . import code
from .base import Linear, axis_of, strong
from .code import Code
from .late import F
from .slices import zeros_source

__all__ = ["sliding_window_view"]


# Geometry ------------------------------------------------------------------------------------------------------------


def window_count(length: Size, size: int, stride: int = 1, dilation: int = 1) -> Size:
    """How many windows fit: none when a symbolic axis turns out too short.

    Raises `ShapeError` when the axis is certainly shorter than one window.
    """
    extent = window_extent(size, dilation)
    if isinstance(length, int):
        if length < extent:
            raise ShapeError(f"a window of {size} places{_spaced(dilation)} does not fit an axis of size {length}")
        return (length - extent) // stride + 1
    return dims.maximum((length - extent) // stride + 1, 0)


def _spaced(dilation: int) -> str:
    return f" at a distance of {dilation}" if dilation > 1 else ""


def window_extent(size: int, dilation: int) -> int:
    """The places from the first to the last of a window."""
    return (size - 1) * dilation + 1


def at_place(j: int | str, length: Size, size: int, count: Size, stride: int, dilation: int) -> slice:
    """The slice of the axis that holds place `j`, a number or the name of a counter, of every window."""
    start = Code(str(j) if dilation == 1 else f"{dilation}*{j}") if isinstance(j, str) else code.size(j * dilation)
    step = Code(str(stride)) if stride > 1 else None
    if isinstance(length, int) and isinstance(count, int):
        places = range(size) if isinstance(j, str) else [j]
        if all(len(range(p * dilation, length, stride)) == count for p in places):
            return slice(None if start == "0" else start, None, step)
    reach = count * stride
    stop = code.size(j * dilation + reach) if isinstance(j, int) else code.infix("+", start, code.size(reach))
    return slice(None if start == "0" else start, stop, step)


def along(axis: int, *items: Any) -> tuple[Any, ...]:
    """An index with `items` from `axis` on."""
    return (*[slice(None)] * axis, *items)


# Windows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Windows(Linear):
    """The windows along `axis`, as a view."""

    axis: int
    size: int
    stride: int = 1
    dilation: int = 1

    name = "windows"
    is_view = True
    readonly = True

    def infer(self, x: ShapedArray) -> ShapedArray:
        count = window_count(x.shape[self.axis], self.size, self.stride, self.dilation)
        return ShapedArray((*x.shape[: self.axis], self.size, count, *x.shape[self.axis + 1 :]), x.dtype)

    def numpy(self, x: Code) -> Code:
        extent = window_extent(self.size, self.dilation)
        y = code.call("np.lib.stride_tricks.sliding_window_view", x, extent, axis=self.axis)
        step = slice(None, None, self.stride)
        if self.stride > 1:
            y = code.index(y, *along(self.axis, step))
        if self.dilation > 1:
            y = code.index(y, Code("..."), slice(None, None, self.dilation))
        return code.call("np.moveaxis", y, -1, self.axis)

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return make(Fold(self.axis, x.shape[self.axis], self.stride, self.dilation), ct)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        return make(replace(self, axis=self.axis + 1), F.moveaxis(x, axes[0], 0)), 0

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 0 if self.is_view else super().cost(y, *xs)


@dataclass(frozen=True)
class Columns(Windows):
    """The windows along `axis`, laid out in memory."""

    name = "columns"
    is_view = False
    readonly = False

    def statements(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        j = code.local("j")
        part = code.index(x, *along(self.axis, self._places(x.aval, j)))
        return [f"{out} = np.stack([{part} for {j} in range({self.size})], axis={self.axis})"]

    def into(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        j, target = code.local("j"), Code(out)
        count = window_count(x.aval.shape[self.axis], self.size, self.stride, self.dilation)
        if self.stride > 1 or self.dilation > 1 or not isinstance(count, int) or self.size == 1:
            part = code.index(x, *along(self.axis, self._places(x.aval, j)))
            return [f"for {j} in range({self.size}):", f"    {code.index(target, *along(self.axis, Code(j)))} = {part}"]
        # The places of the next column are those of the last one, moved by one: x, maybe transposed, is read only once.
        at = lambda *items: code.index(target, *along(self.axis, *items))
        column, before = Code(j), Code(f"{j} - 1")
        last = code.index(x, *along(self.axis, Code(f"{j} + {count - 1}" if count > 1 else j)))
        return [
            f"{at(0)} = {code.index(x, *along(self.axis, slice(None, count)))}",
            f"for {j} in range(1, {self.size}):",
            f"    {at(column, slice(None, -1))} = {at(before, slice(1, None))}",
            f"    {at(column, -1)} = {last}",
        ]

    def _places(self, x: ShapedArray, j: int | str) -> slice:
        length = x.shape[self.axis]
        count = window_count(length, self.size, self.stride, self.dilation)
        return at_place(j, length, self.size, count, self.stride, self.dilation)


@dataclass(frozen=True)
class Fold(Linear):
    """The sum of windows in their places along an axis of size `length`: the transpose of `Windows`."""

    axis: int
    length: Size
    stride: int = 1
    dilation: int = 1

    name = "fold"
    adds = True

    def infer(self, x: ShapedArray) -> ShapedArray:
        size, count = x.shape[self.axis : self.axis + 2]
        if not isinstance(size, int):
            raise ShapeError(f"the size of a window must be a fixed int, not {size}")
        dims.require_equal(count, window_count(self.length, size, self.stride, self.dilation))
        return ShapedArray(self._shape(x.shape), x.dtype)

    def _shape(self, shape: Shape) -> Shape:
        return (*shape[: self.axis], self.length, *shape[self.axis + 2 :])

    def statements(self, out: str, *xs: Code) -> list[str]:
        return [f"{out} = {zeros_source(self._shape(xs[0].aval.shape), xs[0])}", *self._added(out, xs[0], 0)]

    def into(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        size, count = x.aval.shape[self.axis : self.axis + 2]
        if self.stride > 1:
            return [f"{out}.fill(0)", *self._added(out, x, 0)]
        at = lambda item: code.index(Code(out), *along(self.axis, item))
        first = code.index(x, *along(self.axis, 0))
        start = code.size(count)
        lines = [f"{at(slice(None, start))} = {first}", f"{at(slice(start, None))} = 0"]
        return lines + self._added(out, x, 1) if size > 1 else lines

    def _added(self, out: str, x: Code, start: int) -> list[str]:
        size, count = x.aval.shape[self.axis : self.axis + 2]
        j = code.local("j")
        place = at_place(j, self.length, size, count, self.stride, self.dilation)
        whole = f"{start}, {size}" if start else f"{size}"
        disjoint = size == 1 or (self.dilation == 1 and self.stride >= size)
        target, part = code.index(Code(out), *along(self.axis, place)), code.index(x, *along(self.axis, Code(j)))
        return [f"for {j} in range({whole}):", f"    {target} {'=' if disjoint else '+='} {part}"]

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return make(Columns(self.axis, int(x.shape[self.axis]), self.stride, self.dilation), ct)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        return make(replace(self, axis=self.axis + 1), F.moveaxis(x, axes[0], 0)), 0

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return dims.prod(xs[0].shape)


def windows(x: Tensor, axis: int, size: int, stride: int = 1, dilation: int = 1, copied: bool = False) -> Tensor:
    """The windows of `x` along one axis, as a view or in memory of their own."""
    return make((Columns if copied else Windows)(axis, size, stride, dilation), x)


def sliding_window_view(x: Any, window_shape: Any, axis: Any = None) -> Tensor:
    """Every window of a given size, as axes after those of x: y[..., i, ..., j] = x[..., i + j, ...].

    `axis` says along which axes the sizes in `window_shape` run; without it, all axes in order. An axis may be named
    twice. The derivative adds the windows in their places.

    Raises `ShapeError` when a window is longer than its axis.

    >>> from symgraph.core import symbol
    >>> sliding_window_view(symbol("x", ("batch", 28)), 5, axis=1).shape
    (batch, 24, 5)
    """
    x = strong(x)
    sizes = tuple(window_shape) if isinstance(window_shape, tuple | list) else (window_shape,)
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        axes = tuple(axis_of(a, x.ndim) for a in (axis if isinstance(axis, tuple | list) else (axis,)))
    if len(sizes) != len(axes):
        rule = f"window_shape has {len(sizes)} sizes for {len(axes)} axes. Give one for each, or name the axes"
        raise located_error(ShapeError, "sliding_window_view", [x], rule)
    y = x
    for a, given in zip(axes, sizes, strict=True):
        size = positive(given, "window_shape", "sliding_window_view", [x])
        if isinstance(n := y.shape[a], int) and n < size:
            rule = f"the window ({size}) is longer than axis {a} ({n}). Take a shorter one, or pad x"
            raise located_error(ShapeError, "sliding_window_view", [x], rule)
        y = F.moveaxis(windows(y, a, size), a, -1)
    return y


def positive(value: Any, what: str, tried: str, xs: Sequence[Tensor], least: int = 1) -> int:
    """`value` as an int of at least `least`, or an error of the function that was `tried`."""
    try:
        found = value.__index__()
    except AttributeError:
        raise located_error(ShapeError, tried, xs, f"{what} must be a fixed int, not {value!r}") from None
    if found < least or isinstance(value, bool):
        raise located_error(ShapeError, tried, xs, f"{what} must be at least {least}, not {value!r}")
    return int(found)


def one_for_each(
    given: Any, count: int, what: str, tried: str, xs: Sequence[Tensor], least: int = 1
) -> tuple[int, ...]:
    """An int for each of `count` axes, from one for all or from as many as there are."""
    values = tuple(given) if isinstance(given, tuple | list) else (given,) * count
    if len(values) != count:
        rule = f"{what}={given!r} must be one int" + (f" or {count} of them" if count > 1 else "")
        raise located_error(ShapeError, tried, xs, rule)
    return tuple(positive(v, what, tried, xs, least) for v in values)
