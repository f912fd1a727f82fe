"""Basic indexing: a place or a range of places along each axis, read (`Slice`) and written (`Unslice`, `SliceSet`).

Slices have a normal form, so that x[1:n], x[1:] and x[1:None:1] are one node: None where a bound is at the end of the
axis, counted from the front otherwise, and from the back (-1) only along an axis of symbolic size. NumPy clamps the
bounds when the function runs, exactly as `dims.slice_of` clamps them in the shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core import ShapedArray, Tensor, constant, format_shape, make
from ..dims import Shape, Size, as_size, require_equal, same, slice_of
from ..dtypes import FLOAT64
from ..errors import ShapeError
from . import code
from .base import Linear, Mask, unbroadcast, unbroadcast_mask
from .batches import batch_size, front, padded
from .code import Code
from .late import F

Range = tuple[Size | None, Size | None, int]
"""start, stop and step of a slice in normal form."""
Items = tuple[Size | Range, ...]
"""One entry for each axis: a place, or a range of places."""

FULL: Range = (None, None, 1)


@dataclass(frozen=True)
class Slice(Linear):
    """x at a place or a range of places along each axis."""

    items: Items
    name = "getitem"
    is_view = True
    scalar = True

    def infer(self, x: ShapedArray) -> ShapedArray:
        return ShapedArray(sliced(x.shape, self.items), x.dtype)

    def numpy(self, x: Code) -> Code:
        return code.index(x, *written(self.items))

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return make(Unslice(self.items, x.shape), ct)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        (at,) = axes
        assert at is not None
        before, behind = self.items[:at], self.items[at:]
        return make(Slice((*before, FULL, *behind)), x), len([i for i in before if isinstance(i, tuple)])

    def cost(self, y: Any, *xs: ShapedArray) -> int:
        return 0


@dataclass(frozen=True)
class Unslice(Linear):
    """Zeros of `shape` with x written at `items`: the transpose of `Slice`."""

    items: Items
    shape: Shape
    name = "unslice"
    mostly_zeros = True
    assigned = (0,)

    def infer(self, x: ShapedArray) -> ShapedArray:
        require_shape(x.shape, sliced(self.shape, self.items))
        return ShapedArray(self.shape, x.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        return [f"{out} = {zeros_source(self.shape, xs[0])}", f"{assigned(out, written(self.items))} = {xs[0]}"]

    def into(self, out: str, *xs: Code) -> list[str]:
        return [*self._cleared(out), f"{assigned(out, written(self.items))} = {xs[0]}"]

    def _cleared(self, out: str) -> list[str]:
        """Zeros around the place: before and after it, where it is a range of one axis; else everywhere."""
        cut = [(axis, item) for axis, item in enumerate(self.items) if item != FULL]
        axis, item = cut[0] if len(cut) == 1 else (0, 0)
        if not isinstance(item, tuple) or item[2] != 1:
            return [f"{out}.fill(0)"]
        start, stop, _ = item
        rest = [slice(None, start)] * (start is not None) + [slice(stop, None)] * (stop is not None)
        return [f"{assigned(out, [slice(None)] * axis + [part])} = 0" for part in rest]

    def add_into(self, out: str, *xs: Code) -> list[str]:
        return [f"{assigned(out, written(self.items))} += {xs[0]}"]

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return make(Slice(self.items), ct)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        x = F.moveaxis(x, axes[0], 0)
        return make(Unslice((FULL, *self.items), (x.shape[0], *self.shape)), x), 0


@dataclass(frozen=True)
class SliceSet(Linear):
    """x with v, broadcast as NumPy's assignment does it, in the place of x[items]."""

    items: Items
    name = "slice_set"
    inplace = True
    assigned = (1,)
    linear = 2

    def infer(self, x: ShapedArray, v: ShapedArray) -> ShapedArray:
        place = sliced(x.shape, self.items)
        require_shape(v.shape, place[len(place) - v.ndim :] if v.ndim <= len(place) else place, stretch=True)
        return ShapedArray(x.shape, x.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        return [f"{out} = {xs[0].atom}.copy()", f"{assigned(out, written(self.items))} = {xs[1]}"]

    def into(self, out: str, *xs: Code) -> list[str]:
        return written_over(out, xs[0], xs[1], written(self.items))

    def transpose(self, ct: Tensor, x: Tensor, v: Tensor) -> list[Tensor]:
        return [make(self, ct, constant(0, ct.dtype)), unbroadcast(make(Slice(self.items), ct), v)]

    def transpose_mask(self, mask: Tensor, x: Tensor, v: Tensor) -> list[Mask]:
        return [make(self, mask, constant(False)), unbroadcast_mask(make(Slice(self.items), mask), v)]

    def batch(self, axes: Sequence[int | None], x: Tensor, v: Tensor) -> tuple[Tensor, int]:
        n = batch_size((x, v), axes)
        x = F.broadcast_to(x, (n, *x.shape)) if axes[0] is None else front(x, axes[0])
        v = padded(v, axes[1], len(sliced(x.shape[1:], self.items)))
        return make(SliceSet((FULL, *self.items)), x, v), 0


def sliced(shape: Shape, items: Items) -> Shape:
    """The shape of x[items]."""
    if len(items) != len(shape):
        raise ShapeError(f"{len(items)} items for {len(shape)} axes")
    return tuple(slice_of(slice(*item), n)[3] for n, item in zip(shape, items, strict=True) if isinstance(item, tuple))


def written(items: Items) -> tuple[Any, ...]:
    """The index as a person writes it: without the full slices at the end, `...` for several in front."""
    key: list[Any] = [_as_slice(item) if isinstance(item, tuple) else item for item in items]
    full = [item == slice(None) if isinstance(item, slice) else False for item in key]
    while key and full[-1]:
        key.pop()
        full.pop()
    lead = full.index(False) if False in full else len(full)
    if lead >= 2 and len(key) == len(items):
        return (Code("..."), *key[lead:])
    return tuple(key) if key else (Code("..."),)


def _as_slice(item: Range) -> slice:
    start, stop, step = item
    return slice(start, stop, None if step == 1 else step)


def assigned(out: str, key: Sequence[Any]) -> str:
    return f"{out}[{', '.join(map(code.argument, key))}]"


def written_over(out: str, x: Code, v: Code, key: Sequence[Any]) -> list[str]:
    """The statements that make `out` x with v at `key`; `out` may be any of them."""
    if out != x and (out == v or out in key):
        kept = Code(code.local("kept"))
        v, key = kept if out == v else v, [kept if out == k else k for k in key]
        return [f"{kept} = {out}.copy()", *code.assign(out, x), f"{assigned(out, key)} = {v}"]
    return [*code.assign(out, x), f"{assigned(out, key)} = {v}"]


def zeros_source(shape: Shape, like: Code) -> Code:
    dtype: Any = Code(f"{like.atom}.dtype") if like.aval is None else like.aval.dtype
    return code.call("np.zeros", shape[0] if len(shape) == 1 else shape, dtype=None if dtype == FLOAT64 else dtype)


def require_shape(found: Shape, wanted: Shape, stretch: bool = False) -> None:
    try:
        if len(found) != len(wanted):
            raise ShapeError
        for a, b in zip(found, wanted, strict=True):
            if not (stretch and isinstance(a, int) and a == 1):
                require_equal(b, a)
    except ShapeError:
        raise ShapeError(
            f"values of shape {format_shape(found)} do not fit into a place of shape {format_shape(wanted)}. "
            "Give values that broadcast to it"
        ) from None


def _surely(question: Any) -> bool:
    """The answer about sizes, and False where there is none yet."""
    try:
        return bool(question())
    except ShapeError:
        return False


def normal_slice(s: slice, size: Size) -> Range:
    """The normal form of a slice of an axis of `size`."""
    start, stop, step, length = slice_of(s, size)
    if isinstance(start, int) and isinstance(length, int) and isinstance(size, int):
        if length == size and (step > 0 or size <= 1):
            return FULL
        if length == 0:
            return None, 0, 1
        step = 1 if length == 1 else step
        end = start + length * step  # one step past the last place
        if step > 0:
            return start or None, None if end >= size else end - step + 1, step
        return None if start == size - 1 else start, None if end < 0 else end - step - 1, step
    if same(length, 0):
        return None, 0, 1
    first, last = (0, size) if step > 0 else (size - 1, None)
    return (
        None if s.start is None or same(start, first) else _from_end(as_size(s.start), size),
        None if s.stop is None or stop is last or (stop is not None and last is not None and same(stop, last))
        else _from_end(as_size(s.stop), size),
        step,
    )  # fmt: skip


def _from_end(bound: Size, size: Size) -> Size:
    """A bound or place, written -k where it is the size minus k; a fixed size counts from the front."""
    if isinstance(size, int):
        return bound + size if isinstance(bound, int) and -size <= bound < 0 else bound
    behind = size - bound
    return -behind if isinstance(behind, int) and behind > 0 else bound


def normal_place(place: Any, axis: int, size: Size) -> Size:
    """A place along an axis of `size`, refused if it is certainly outside."""
    i = as_size(place)
    if _surely(lambda: i >= size) or _surely(lambda: i < -size):
        among = (
            f"{-size} to {size - 1}"
            if isinstance(size, int) and size
            else "there are none"
            if same(size, 0)
            else "0 to size - 1"
        )
        raise ShapeError(f"index {i} is out of range for axis {axis} of size {size} ({among})")
    return _from_end(i, size)
