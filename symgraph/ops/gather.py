"""Indexing by integer arrays, read (`Gather`) and written (`ScatterAdd`, `ScatterSet`).

A place may be read more than once, so the transpose of a gather adds what comes back: `np.add.at` into zeros. The
transpose of that is the gather again. Indices are operands after the values, and constants of differentiation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Constant, ShapedArray, Tensor, constant, format_shape, make
from ..dims import Shape, Size, broadcast_shapes, prod, same
from ..dtypes import INT64
from ..errors import DTypeError, ShapeError
from . import code
from .base import Linear, Mask, unbroadcast, unbroadcast_mask
from .batches import batch_size, front
from .code import Code
from .late import F
from .slices import assigned, require_shape, written_over, zeros_source
from .work import nbytes


@dataclass(frozen=True)
class Gather(Linear):
    """x indexed by integer arrays along `axes` (increasing) and whole along the others.

    The axes of the indices, broadcast together, stand in the place of `axes` where those are neighbours, and in front
    otherwise. Negative indices count from the end; an index out of range is an IndexError when the function runs.
    """

    axes: tuple[int, ...]
    name = "gather"
    scalar = True

    def infer(self, x: ShapedArray, *indices: ShapedArray) -> ShapedArray:
        return ShapedArray(gathered(x.shape, self.axes, index_shape(indices)), x.dtype)

    def numpy(self, x: Code, *indices: Code) -> Code:
        return code.index(x, *_key(self.axes, indices))

    def into(self, out: str, *xs: Code) -> list[str]:
        return code.assign(out, self.fast(*xs) or self.numpy(*xs))

    def fast(self, *xs: Code) -> Code | None:
        # `x.take(i, 0)` is 2 to 4 times as fast as x[i], but copies an x that is not contiguous. With `out=` and an error
        # for places outside it keeps a copy of `out`: 4096 rows of 64 float32 take 77 us, 34 without, and 25 to copy.
        x, *indices = xs
        if len(indices) > 1 or not code.is_plain(x) or not indices[0].aval.shape or indices[0].aval.dtype == np.uint64:
            return None
        return code.method(x, "take", indices[0], self.axes[0])

    def transpose(self, ct: Tensor, x: Tensor, *indices: Tensor) -> Tensor:
        sizes = [x.shape[a] for a in self.axes]
        return make(ScatterAdd(self.axes, x.shape, int(all_different(indices, sizes))), ct, *indices)

    def batch(self, axes: Sequence[int | None], x: Tensor, *indices: Tensor) -> tuple[Tensor, int]:
        return _gather_batch(self.axes, axes, x, indices)

    def traffic(self, y: ShapedArray, x: ShapedArray, *indices: ShapedArray) -> Any:
        return 2 * nbytes(y) + sum(nbytes(i) for i in indices)


@dataclass(frozen=True)
class Pick(Gather):
    """A gather at one place, `x[i]` with integers known when the function runs: NumPy may return a view."""

    name = "pick"
    is_view = True

    def fast(self, *xs: Code) -> None:
        return None  # a view

    def infer(self, x: ShapedArray, *indices: ShapedArray) -> ShapedArray:
        if any(i.shape for i in indices):
            raise ShapeError("every index must be one integer")
        return super().infer(x, *indices)


@dataclass(frozen=True)
class ScatterAdd(Linear):
    """Zeros of `shape` with v added at the indexed places, as often as they are named: the transpose of `Gather`.

    `unique` says that no place is named twice.
    """

    axes: tuple[int, ...]
    shape: Shape
    unique: int
    name = "scatter_add"
    mostly_zeros = True
    adds = True
    assigned = (0,)

    def infer(self, v: ShapedArray, *indices: ShapedArray) -> ShapedArray:
        require_shape(v.shape, gathered(self.shape, self.axes, index_shape(indices)))
        return ShapedArray(self.shape, v.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        v, *indices = xs
        key = _key(self.axes, indices)
        if self.unique:
            return [f"{out} = {zeros_source(self.shape, v)}", f"{assigned(out, key)} = {v}"]
        where = code.argument(key[0]) if len(key) == 1 else code.argument(tuple(key))
        if any(isinstance(k, slice) for k in key):
            where = f"np.s_[{', '.join(map(code.argument, key))}]"
        return [f"{out} = {zeros_source(self.shape, v)}", f"np.add.at({out}, {where}, {v})"]

    def into(self, out: str, *xs: Code) -> list[str]:
        v, *indices = xs
        put = [f"{assigned(out, _key(self.axes, indices))} = {v}"] if self.unique else self.add_into(out, *xs)
        return [f"{out}.fill(0)", *put]

    def add_into(self, out: str, *xs: Code) -> list[str]:
        v, *indices = xs
        key = _key(self.axes, indices)
        if self.unique:
            return [f"{assigned(out, key)} += {v}"]
        flat = self._flat_index(v, indices)
        if flat is not None:
            return [f"np.add.at({out}.ravel(), {flat}, {v.atom}.ravel())"]
        where = f"np.s_[{', '.join(map(code.argument, key))}]" if slice(None) in key else code.argument(tuple(key))
        return [f"np.add.at({out}, {code.argument(key[0]) if len(key) == 1 else where}, {v})"]

    def _flat_index(self, v: Code, indices: Sequence[Code]) -> str | None:
        """The places of the elements of whole rows: `np.add.at` is fast for one axis alone, and slow for rows.

        4096 rows of 64 into 5000: 0.55 ms, not 2.4 row by row; sorted and reduced 1.7, by `np.bincount` 0.6 to 0.7; 256
        rows of 16 into 50: 12 us, not 39; as a product with one-hot rows 13 to 18.
        """
        rest = self.shape[1:]
        if self.axes != (0,) or not rest or not indices[0].aval.shape or v.literal or v.aval.dtype.kind not in "iuf":
            return None
        count = indices[0].aval.shape
        wanted = (*count, *rest)
        if len(v.aval.shape) != len(wanted) or any(same(n, 1) and not same(m, 1) for n, m in zip(v.aval.shape, wanted)):
            return None  # it broadcasts
        size = code.size(prod(rest)).within(code.TIMES)
        i = indices[0] if indices[0].aval.dtype == INT64 else code.method(indices[0], "astype", INT64)
        column = f"{i.atom}[:, None]" if len(count) == 1 else f"{i.atom}[..., None]"
        return f"({column} * {size} + np.arange({code.size(prod(rest))})).ravel()"

    def transpose(self, ct: Tensor, v: Tensor, *indices: Tensor) -> Tensor:
        return gather(ct, self.axes, indices)

    def cost(self, y: ShapedArray, v: ShapedArray, *indices: ShapedArray) -> Any:
        return prod(v.shape)

    def batch(self, axes: Sequence[int | None], v: Tensor, *indices: Tensor) -> tuple[Tensor, int]:
        return _scatter_batch(self.axes, self.shape, bool(self.unique), axes, v, indices)


@dataclass(frozen=True)
class ScatterSet(Linear):
    """x with v (one value, or one for each) written at the indexed places; `unique` says that none is named twice.

    Otherwise the indices have one axis, along which the last write to a place stays.
    """

    axes: tuple[int, ...]
    unique: int
    name = "scatter_set"
    inplace = True
    assigned = (1,)
    linear = 2

    def infer(self, x: ShapedArray, v: ShapedArray, *indices: ShapedArray) -> ShapedArray:
        place = gathered(x.shape, self.axes, index_shape(indices))
        if v.ndim:
            require_shape(v.shape, place)
        return ShapedArray(x.shape, x.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        x, v, *indices = xs
        if not self.unique and len(indices) > 1:  # NumPy may walk backwards where every stride is negative
            indices = [code.call("np.ascontiguousarray", indices[0]), *indices[1:]]
        return [f"{out} = {x.atom}.copy()", f"{assigned(out, _key(self.axes, indices))} = {v}"]

    def into(self, out: str, *xs: Code) -> list[str]:
        x, v, *indices = xs
        if not self.unique and len(indices) > 1:
            indices = [code.call("np.ascontiguousarray", indices[0]), *indices[1:]]
        return written_over(out, x, v, _key(self.axes, indices))

    def transpose(self, ct: Tensor, x: Tensor, v: Tensor, *indices: Tensor) -> list[Tensor]:
        read = gather(ct, self.axes, indices)
        if not self.unique:
            read = F.where(self._stays(x, read, indices), read, constant(0, ct.dtype))
        return [make(self, ct, constant(0, ct.dtype), *indices), unbroadcast(read, v)]

    def transpose_mask(self, mask: Tensor, x: Tensor, v: Tensor, *indices: Tensor) -> list[Mask]:
        read = gather(mask, self.axes, indices)
        if not self.unique:
            read = F.logical_and(self._stays(x, read, indices), read)
        return [make(self, mask, constant(False), *indices), unbroadcast_mask(read, v)]

    def batch(self, axes: Sequence[int | None], x: Tensor, v: Tensor, *indices: Tensor) -> tuple[Tensor, int]:
        return _set_batch(self, axes, x, v, indices)

    def cost(self, y: ShapedArray, x: ShapedArray, v: ShapedArray, *indices: ShapedArray) -> Any:
        return prod(y.shape) + prod(gathered(x.shape, self.axes, index_shape(indices)))

    def _stays(self, x: Tensor, v: Tensor, indices: Sequence[Tensor]) -> Tensor:
        """Which of the values written are not overwritten by a later one, in the layout of v."""
        count = index_shape([i.aval for i in indices])
        order = F.arange(count[0])
        places = tuple(range(len(self.axes)))
        blank = F.zeros(tuple(x.shape[a] for a in self.axes), dtype=INT64)
        last = gather(make(ScatterSet(places, 0), blank, order, *indices), places, indices)
        before = position(self.axes)
        after = v.ndim - before - 1
        return F.reshape(F.equal(last, order), (*[1] * before, count[0], *[1] * after))


def gather(x: Tensor, axes: tuple[int, ...], indices: Sequence[Tensor]) -> Tensor:
    """The node of `Gather`, a `Pick` where every index is one integer."""
    return make((Gather if any(i.ndim for i in indices) else Pick)(axes), x, *indices)


def all_different(indices: Sequence[Tensor], sizes: Sequence[Size]) -> bool:
    """Whether it is certain that indices along axes of these sizes name no place twice."""
    if not any(i.ndim for i in indices):
        return True
    shape = index_shape([i.aval for i in indices])
    varying = {a - len(shape) for a, n in enumerate(shape) if not (isinstance(n, int) and n == 1)}
    if varying <= {_counted_axis(i) for i in indices}:
        return True
    values = [i.op.value for i in indices if isinstance(i.op, Constant)]
    if len(values) < len(indices) or not all(isinstance(n, int) for n in sizes):
        return False
    places = np.stack(np.broadcast_arrays(*[v % n for v, n in zip(values, sizes)]), -1).reshape(-1, len(values))
    return len(np.unique(places, axis=0)) == len(places)


def _counted_axis(index: Tensor) -> int | None:
    """The axis, from the end, along which `index` counts 0, 1, 2, ... while it is the same along the others; or None."""
    varying = [a - index.ndim for a, n in enumerate(index.shape) if not (isinstance(n, int) and n == 1)]
    while index.op.name in ("reshape", "cast", "broadcast_to"):
        if index.op.name == "broadcast_to":
            inner = index.inputs[0]
            varying = [a - inner.ndim for a, n in enumerate(inner.shape) if not (isinstance(n, int) and n == 1)]
        index = index.inputs[0]
    counts = index.op.name == "arange" and index.ndim == 1
    return varying[0] if counts and len(varying) == 1 else None


def position(axes: Sequence[int]) -> int:
    """Where the axes of the indices stand in the result."""
    return axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0


def gathered(shape: Shape, axes: tuple[int, ...], index_shape: Shape) -> Shape:
    """The shape of a gather."""
    rest = [n for a, n in enumerate(shape) if a not in axes]
    at = position(axes)
    return (*rest[:at], *index_shape, *rest[at:])


def index_shape(indices: Sequence[ShapedArray]) -> Shape:
    for i in indices:
        if i.dtype.kind not in "iu":
            raise DTypeError(f"an index must hold integers, not {i.dtype}. Convert it with .astype(int)")
    try:
        return broadcast_shapes(*[i.shape for i in indices])
    except ShapeError as error:
        shapes = " and ".join(format_shape(i.shape) for i in indices)
        raise ShapeError(f"index arrays of shapes {shapes} do not broadcast together ({error})") from None


def _key(axes: Sequence[int], indices: Sequence[Any]) -> list[Any]:
    found = dict(zip(axes, indices, strict=True))
    return [found.get(a, slice(None)) for a in range(axes[-1] + 1)]


def _gather_batch(
    axes: tuple[int, ...], batch: Sequence[int | None], x: Tensor, indices: Sequence[Tensor]
) -> tuple[Tensor, int]:
    """Gather of a batch: as an index array of its own where both x and the indices are batched."""
    count = max(i.ndim - (b is not None) for i, b in zip(indices, batch[1:]))
    at = position(axes)
    if all(b is None for b in batch[1:]):
        y = gather(F.moveaxis(x, batch[0], 0), tuple(a + 1 for a in axes), indices)
        return y, 0 if len(axes) == 1 or position([a + 1 for a in axes]) else count
    lined = [_lined(i, b, count) for i, b in zip(indices, batch[1:])]
    if batch[0] is None:
        return gather(x, axes, lined), at
    x = F.moveaxis(x, batch[0], 0)
    rows = F.reshape(F.arange(x.shape[0]), (x.shape[0], *[1] * count))
    shifted = (0, *[a + 1 for a in axes])
    y = gather(x, shifted, [rows, *lined])  # the batch and the axes of the indices come first
    return F.moveaxis(y, axes_from(1, count), axes_from(at + 1, count)), 0


def axes_from(start: int, count: int) -> tuple[int, ...]:
    return tuple(range(start, start + count))


def _lined(index: Tensor, batch: int | None, count: int) -> Tensor:
    """An index with the batch axis in front of `count` axes."""
    if batch is None:
        return index
    index = F.moveaxis(index, batch, 0)
    return F.reshape(index, (index.shape[0], *[1] * (count - index.ndim + 1), *index.shape[1:]))


def _scatter_batch(
    axes: tuple[int, ...],
    shape: Shape,
    unique: bool,
    batch: Sequence[int | None],
    v: Tensor,
    indices: Sequence[Tensor],
) -> tuple[Tensor, int]:
    count = max(i.ndim - (b is not None) for i, b in zip(indices, batch[1:]))
    at = position(axes)
    n = next(x.shape[b] for x, b in zip((v, *indices), batch) if b is not None)
    if all(b is None for b in batch[1:]):  # the same places in every row: rows of values, which `np.add.at` adds faster
        return make(ScatterAdd(axes, (*shape, n), int(unique)), F.moveaxis(v, batch[0], -1), *indices), len(shape)
    v = F.broadcast_to(v, (n, *v.shape)) if batch[0] is None else F.moveaxis(v, batch[0], 0)
    rows = F.reshape(F.arange(n), (n, *[1] * count))
    shifted = (0, *[a + 1 for a in axes])
    v = F.moveaxis(v, axes_from(at + 1, count), axes_from(1, count))
    lined = [_lined(i, b, count) for i, b in zip(indices, batch[1:])]
    return make(ScatterAdd(shifted, (n, *shape), int(unique)), v, rows, *lined), 0


def _set_batch(
    op: ScatterSet, batch: Sequence[int | None], x: Tensor, v: Tensor, indices: Sequence[Tensor]
) -> tuple[Tensor, int]:
    """Assignment in a batch: the same places in every row, or those of each row by an index that counts the rows."""
    at_v, lines = batch[1], batch[2:]
    n = batch_size((x, v, *indices), batch)
    x = F.broadcast_to(x, (n, *x.shape)) if batch[0] is None else front(x, batch[0])
    whole = v.ndim > (at_v is not None)  # a value for each place, not one for all
    if whole or at_v is not None:
        v = F.broadcast_to(v, (n, *v.shape)) if at_v is None else front(v, at_v)
    at = position(op.axes)
    if all(b is None for b in lines) and op.axes[-1] - op.axes[0] == len(op.axes) - 1:  # the places stay where they are
        axes: tuple[int, ...] = tuple(a + 1 for a in op.axes)
        return make(ScatterSet(axes, op.unique), x, _placed(v, x, axes, indices), *indices), 0
    axes = (0, *[a + 1 for a in op.axes])
    count = max(i.ndim - (b is not None) for i, b in zip(indices, lines))
    places = [F.reshape(F.arange(n), (n, *[1] * count)), *[_lined(i, b, count) for i, b in zip(indices, lines)]]
    if whole:
        v = F.moveaxis(v, axes_from(at + 1, count), axes_from(1, count))
    v = _placed(v, x, axes, places)
    if not op.unique:  # the last write to a place stays, in indices of one axis: row after row
        shape = index_shape([i.aval for i in places])
        places = [F.ravel(F.broadcast_to(i, shape)) for i in places]
        v = F.reshape(v, (prod(shape), *v.shape[2:])) if v.ndim else v
    return make(ScatterSet(axes, op.unique), x, v, *places), 0


def _placed(v: Tensor, x: Tensor, axes: tuple[int, ...], indices: Sequence[Tensor]) -> Tensor:
    """One value for each row as one for each of its places."""
    if v.ndim != 1:
        return v
    shape = gathered(x.shape, axes, index_shape([i.aval for i in indices]))
    return F.broadcast_to(F.reshape(v, (v.shape[0], *[1] * (len(shape) - 1))), shape)
