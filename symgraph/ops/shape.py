"""The same values in another arrangement: reshape, transpose, broadcast.

Each op is linear and made of zeros and ones; its transpose puts the values back (reshape, transpose) or adds those that
were copies of one another (broadcast). `expand_dims` and `squeeze` are reshapes: one arrangement is one node, and the
source says `x[:, None]` where only axes of size 1 come or go.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import dims
from ..core import ShapedArray, Tensor, as_shape, describe, format_shape, located_error, make, misuse
from ..dims import Dim, Shape, Size, prod, require_equal, same, same_shape
from ..errors import ShapeError
from . import code
from .base import Linear, as_tensor, axes_of, axis_of, strong, unbroadcast, unbroadcast_mask
from .code import Code

__all__ = [
    "shape", "ndim", "size",
    "reshape", "ravel", "expand_dims", "squeeze", "atleast_1d", "atleast_2d", "atleast_3d",
    "transpose", "permute_dims", "swapaxes", "moveaxis", "rollaxis", "matrix_transpose",
    "broadcast_to", "broadcast_arrays", "broadcast_shapes",
]  # fmt: skip


def shape(x: Any) -> Shape:
    """The sizes of the axes, each an int or a symbolic `Dim`.

    >>> from symgraph.core import symbol
    >>> shape(symbol("x", ("batch", 3)))
    (batch, 3)
    """
    return as_tensor(x).shape


def ndim(x: Any) -> int:
    """The number of axes."""
    return as_tensor(x).ndim


def size(x: Any, axis: Any = None) -> Size:
    """The number of values, or the product of the sizes of `axis`.

    >>> from symgraph.core import symbol
    >>> size(symbol("x", ("batch", 3)))
    3*batch
    """
    x = as_tensor(x)
    return prod(x.shape[a] for a in axes_of(axis, x.ndim))


# Reshape -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reshape(Linear):
    """The values in C order, along other axes."""

    shape: Shape
    name = "reshape"
    is_view = True

    def infer(self, x: ShapedArray) -> ShapedArray:
        if not same_shape(_wide(x.shape), _wide(self.shape)):
            old, new = prod(x.shape), prod(self.shape)
            try:
                require_equal(new, old)
            except ShapeError:
                raise ShapeError(
                    f"{format_shape(x.shape)} has {old} values and {format_shape(self.shape)} has {new}. Give sizes "
                    "with the same product, or -1 for the one that follows from the others"
                ) from None
        return ShapedArray(self.shape, x.dtype)

    def numpy(self, x: Code) -> Code:
        old = x.aval.shape if x.aval is not None else None
        if old is not None:
            if len(old) < len(self.shape) and (key := _inserting(old, self.shape)) is not None:
                return code.index(x, *key)
            if len(old) > len(self.shape) and (axes := _dropping(old, self.shape)) is not None:
                return code.method(x, "squeeze", axis=axes[0] if len(axes) == 1 else axes)
        if len(self.shape) == 1:
            return code.method(x, "ravel")
        return code.method(x, "reshape", *self.shape) if self.shape else code.method(x, "reshape", ())

    def into(self, out: str, *xs: Code) -> list[str]:
        return [f"{out}.reshape({xs[0].atom}.shape)[...] = {xs[0]}"]  # a view of `out`: x need not be contiguous

    def by_rows(self, y: ShapedArray, *xs: ShapedArray) -> tuple[bool, ...] | None:
        old, new = xs[0].shape, y.shape  # only where the source names no size: `x[:, None]`, `x.squeeze(axis=1)`
        if not old or not new or same(old[0], 1) or not same(old[0], new[0]):
            return None
        named = len(old) == len(new) or (_inserting(old, new) if len(old) < len(new) else _dropping(old, new)) is None
        return None if named else (True,)

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return reshape(ct, x.shape)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        x = moveaxis(x, axes[0], 0)
        return reshape(x, (x.shape[0], *self.shape)), 0

    def cost(self, y: Any, *xs: ShapedArray) -> int:
        return 0


def _wide(s: Shape) -> Shape:
    return tuple(n for n in s if not same(n, 1))


def _dropping(old: Shape, new: Shape) -> tuple[int, ...] | None:
    """The axes of size 1 without which `old` is `new`, or None. Of several choices, the first axes go."""
    axes: list[int] = []
    extra = len(old) - len(new)
    rest = list(new)
    for axis, n in enumerate(old):
        if same(n, 1) and len(axes) < extra:
            axes.append(axis)
        elif not rest or not same(rest.pop(0), n):
            return None
    return tuple(axes) if len(axes) == extra else None


def _inserting(old: Shape, new: Shape) -> list[Any] | None:
    """The index such as `[:, None]` that makes `new` of `old`, or None."""
    axes = _dropping(new, old)
    if axes is None:
        return None
    key: list[Any] = [None if axis in axes else slice(None) for axis in range(len(new))]
    trailing = len(key) - max(axes) - 1
    if trailing:
        return key[: len(key) - trailing]
    first = min(axes)
    if first >= 2 and len(axes) == len(key) - first:
        return [Code("..."), *key[first:]]
    return key


def reshape(x: Any, shape: Any, order: str = "C") -> Tensor:
    """The values of `x` along other axes; one size may be -1 and follows from the others.

    A size that cannot be known now, such as half of `batch`, becomes an expression in the dimensions, and the compiled
    function checks that it comes out even. `order="F"` reads and writes the first axis fastest.

    Raises `ShapeError` when the numbers of values differ.

    >>> from symgraph.core import symbol
    >>> reshape(symbol("x", ("batch", 28, 28)), (-1, 784)).shape
    (batch, 784)
    """
    x = strong(x)
    if order == "F":
        wanted = _resolved(x, shape)
        return transpose(reshape(transpose(x), wanted[::-1]))
    if order not in ("C", "A"):
        raise ValueError(f"order must be 'C' or 'F', not {order!r}")
    wanted = _resolved(x, shape)
    return x if same_shape(wanted, x.shape) else make(Reshape(wanted), x)


def _resolved(x: Tensor, shape: Any) -> Shape:
    """`shape` with its -1 replaced by the size that follows from the others."""
    sizes = list(shape) if isinstance(shape, tuple | list) else [shape]
    free = [i for i, n in enumerate(sizes) if not isinstance(n, str | Dim) and n is not None and _index(n) == -1]
    if not free:
        return as_shape(tuple(sizes))
    if len(free) > 1:
        raise located_error(ShapeError, "reshape", [x], f"only one size may be -1, but the new shape is {tuple(sizes)}")
    known = as_shape(tuple(n for i, n in enumerate(sizes) if i != free[0]))
    total, part = prod(x.shape), prod(known)
    if same(part, 0):
        rule = f"-1 could be any size when the others hold {part} values. Give every size"
        raise located_error(ShapeError, "reshape", [x], rule)
    left, right = _cancelled(x.shape, known)
    found = left // right
    if isinstance(total, int) and isinstance(part, int) and total % part:
        rule = (
            f"{total} values cannot be split evenly into {format_shape(known)} times -1. Give sizes that divide {total}"
        )
        raise located_error(ShapeError, "reshape", [x], rule)
    return (*known[: free[0]], found, *known[free[0] :])


def _cancelled(old: Shape, known: Shape) -> tuple[Size, Size]:
    """The products of the sizes that stand only in one of the two."""
    left, right = list(old), []
    for n in known:
        at = next((i for i, m in enumerate(left) if same(m, n)), None)
        if at is None:
            right.append(n)
        else:
            del left[at]
    return prod(left), prod(right)


def _index(n: Any) -> int:
    try:
        return operator.index(n)
    except TypeError:
        raise misuse(ShapeError, f"a shape is made of ints and sizes, not {describe(n)}") from None


def ravel(x: Any, order: str = "C") -> Tensor:
    """All values along one axis, in C order (or with `order="F"` the first axis fastest)."""
    x = strong(x)
    return reshape(x, (prod(x.shape),), order)


def expand_dims(x: Any, axis: Any) -> Tensor:
    """`x` with new axes of size 1, at the places `axis` of the result.

    >>> from symgraph.core import symbol
    >>> expand_dims(symbol("x", ("batch", 3)), (0, -1)).shape
    (1, batch, 3, 1)
    """
    x = strong(x)
    count = len(axis) if isinstance(axis, tuple | list) else 1
    axes = axes_of(axis, x.ndim + count)
    old = iter(x.shape)
    return reshape(x, tuple(1 if i in axes else next(old) for i in range(x.ndim + count)))


def squeeze(x: Any, axis: Any = None) -> Tensor:
    """`x` without its axes of size 1, or without those of `axis`.

    Only axes known to be 1 now are dropped: a symbolic size stays even if it may turn out as 1.

    Raises `ShapeError` if an axis in `axis` is not known to have size 1.
    """
    x = strong(x)
    if axis is None:
        return reshape(x, _wide(x.shape))
    axes = axes_of(axis, x.ndim)
    for a in axes:
        if not same(x.shape[a], 1):
            rule = (
                f"axis {a} has size {x.shape[a]}, and only an axis of fixed size 1 can be dropped. Index it, or reshape"
            )
            raise located_error(ShapeError, "squeeze", [x], rule)
    return reshape(x, tuple(n for a, n in enumerate(x.shape) if a not in axes))


def atleast_1d(*xs: Any) -> Any:
    """Each operand with at least one axis; a tuple for several operands."""
    return _each([x if x.ndim else reshape(x, (1,)) for x in map(strong, xs)])


def atleast_2d(*xs: Any) -> Any:
    """Each operand with at least two axes, new ones in front; a tuple for several operands."""
    return _each([expand_dims(x, tuple(range(2 - x.ndim))) if x.ndim < 2 else x for x in map(strong, xs)])


def atleast_3d(*xs: Any) -> Any:
    """Each operand with at least three axes: (n,) becomes (1, n, 1) and (m, n) becomes (m, n, 1)."""
    new: tuple[Any, ...] = ((0, 1, 2), (0, 2), (2,))
    return _each([expand_dims(x, new[x.ndim]) if x.ndim < 3 else x for x in map(strong, xs)])


def _each(found: list[Tensor]) -> Any:
    return found[0] if len(found) == 1 else tuple(found)


# Transpose -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transpose(Linear):
    """y has axis `axes[i]` of x as its axis i."""

    axes: tuple[int, ...]
    name = "transpose"
    is_view = True

    def infer(self, x: ShapedArray) -> ShapedArray:
        if sorted(self.axes) != list(range(x.ndim)):
            raise ShapeError(f"axes={self.axes} is not a permutation of the {x.ndim} axes. Name every axis once")
        return ShapedArray(tuple(x.shape[a] for a in self.axes), x.dtype)

    def numpy(self, x: Code) -> Code:
        axes, n = self.axes, len(self.axes)
        moved = [i for i, a in enumerate(axes) if i != a]
        if axes == tuple(reversed(range(n))):
            return Code(f"{x.atom}.T")
        if len(moved) == 2:
            return code.method(x, "swapaxes", *moved)
        return code.method(x, "transpose", *axes)

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return transpose(ct, _inverse(self.axes))

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        (at,) = axes
        assert at is not None
        return transpose(x, (at, *[a + (a >= at) for a in self.axes])), 0

    def cost(self, y: Any, *xs: ShapedArray) -> int:
        return 0


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def transpose(x: Any, axes: Any = None) -> Tensor:
    """`x` with its axes permuted: result axis i is axis `axes[i]`; without `axes`, in reverse order.

    >>> from symgraph.core import symbol
    >>> transpose(symbol("x", ("batch", 2, 3)), (0, 2, 1)).shape
    (batch, 3, 2)
    """
    x = strong(x)
    if axes is None:
        order = tuple(reversed(range(x.ndim)))
    else:
        order = tuple(axis_of(a, x.ndim, "axes") for a in (axes if isinstance(axes, tuple | list) else (axes,)))
    return x if order == tuple(range(x.ndim)) else make(Transpose(order), x)


permute_dims = transpose


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """`x` with two axes interchanged."""
    x = strong(x)
    order = list(range(x.ndim))
    a, b = axis_of(axis1, x.ndim, "axis1"), axis_of(axis2, x.ndim, "axis2")
    order[a], order[b] = b, a
    return transpose(x, order)


def matrix_transpose(x: Any) -> Tensor:
    """The last two axes interchanged: the transpose of every matrix of a stack."""
    x = strong(x)
    if x.ndim < 2:
        raise located_error(
            ShapeError, "matrix_transpose", [x], f"a matrix has two axes, not {x.ndim}. Add one with x[:, None]"
        )
    return swapaxes(x, -1, -2)


def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """`x` with the axes `source` moved to the places `destination`; the others keep their order."""
    x = strong(x)
    froms = [axis_of(a, x.ndim, "source") for a in (source if isinstance(source, tuple | list) else (source,))]
    tos = [
        axis_of(a, x.ndim, "destination")
        for a in (destination if isinstance(destination, tuple | list) else (destination,))
    ]
    if len(froms) != len(tos) or len(set(froms)) < len(froms) or len(set(tos)) < len(tos):
        rule = f"source={source} and destination={destination} must name as many axes, each once"
        raise located_error(ShapeError, "moveaxis", [x], rule)
    order = [a for a in range(x.ndim) if a not in froms]
    for to, a in sorted(zip(tos, froms, strict=True)):
        order.insert(to, a)
    return transpose(x, order)


def rollaxis(x: Any, axis: int, start: int = 0) -> Tensor:
    """`x` with `axis` moved to stand before the axis that is at `start`."""
    x = strong(x)
    a = axis_of(axis, x.ndim)
    to = start + x.ndim if start < 0 else start
    if not 0 <= to <= x.ndim:
        raise located_error(ShapeError, "rollaxis", [x], f"start={start} is out of range for {x.ndim} axes")
    return moveaxis(x, a, to - 1 if a < to else to)


# Broadcast -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BroadcastTo(Linear):
    """x repeated along new leading axes and along its axes of size 1."""

    shape: Shape
    name = "broadcast_to"
    is_view = True
    readonly = True

    def infer(self, x: ShapedArray) -> ShapedArray:
        lead = len(self.shape) - x.ndim
        try:
            if lead < 0:
                raise ShapeError
            for old, new in zip(x.shape, self.shape[lead:], strict=True):
                if not same(old, 1):
                    require_equal(new, old)
        except ShapeError:
            raise ShapeError(
                f"{format_shape(x.shape)} does not broadcast to {format_shape(self.shape)}: from the last axis "
                "backwards, a size must be 1 or stay as it is. Reshape first, to put axes of size 1 where values repeat"
            ) from None
        return ShapedArray(self.shape, x.dtype)

    def numpy(self, x: Code) -> Code:
        return code.call("np.broadcast_to", x, self.shape)

    def into(self, out: str, *xs: Code) -> list[str]:
        return code.assign(out, xs[0])

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return unbroadcast(ct, x)

    def transpose_mask(self, mask: Tensor, x: Tensor) -> Any:
        return unbroadcast_mask(mask, x)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        x = moveaxis(x, axes[0], 0)
        n, lead = x.shape[0], len(self.shape) - (x.ndim - 1)
        return broadcast_to(reshape(x, (n, *[1] * lead, *x.shape[1:])), (n, *self.shape)), 0

    def cost(self, y: Any, *xs: ShapedArray) -> int:
        return 0


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """`x` repeated to `shape`, as arithmetic does it: new axes in front, and axes of fixed size 1 stretched.

    Raises `ShapeError` when a size is neither 1 nor the wanted one.
    """
    x = strong(x)
    wanted = as_shape(shape)
    return x if same_shape(wanted, x.shape) else make(BroadcastTo(wanted), x)


def broadcast_arrays(*xs: Any) -> tuple[Tensor, ...]:
    """The operands, each broadcast to their common shape."""
    tensors = [strong(x) for x in xs]
    try:
        common = dims.broadcast_shapes(*[x.shape for x in tensors])
    except ShapeError as error:
        rule = f"the shapes have no common one ({error}). Sizes must agree from the last axis backwards, or be 1"
        raise located_error(ShapeError, "broadcast_arrays", tensors, rule) from None
    return tuple(broadcast_to(x, common) for x in tensors)


def broadcast_shapes(*shapes: Any) -> Shape:
    """The shape that operands of these shapes have together."""
    return dims.broadcast_shapes(*map(as_shape, shapes))
