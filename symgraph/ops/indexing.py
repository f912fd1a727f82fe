"""NumPy indexing, read and written: x[key], x.at[key].set(v), take, one_hot.

A key is taken apart into at most four steps: slices and ints (`Slice`), new axes (`reshape`), integer arrays
(`Gather`), and for one corner of NumPy's rule a `moveaxis`. Writing takes the same steps backwards.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Constant, Tensor, as_shape, constant, describe, located_error, make
from ..dims import Dim, Shape, Size, prod, same, same_shape, slice_of
from ..dtypes import BOOL, INT64, as_dtype, is_inexact
from ..errors import DTypeError, ShapeError
from .base import as_tensor, axis_of, cast
from .gather import ScatterAdd, ScatterSet, all_different, axes_from, gather, gathered, index_shape, position
from .late import F
from .slices import FULL, Items, Slice, SliceSet, Unslice, normal_place, normal_slice, sliced

__all__ = ["getitem", "take", "take_along_axis", "put_along_axis", "one_hot", "At"]


# Keys ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Selection:
    """A key for a given x, in steps: items of a slice, shape with new axes, indices along axes, whether in front."""

    x: Tensor
    items: Items
    middle: Shape
    axes: tuple[int, ...]
    indices: tuple[Tensor, ...]
    front: bool

    @property
    def trivial(self) -> bool:
        """Whether the slices take everything."""
        return all(item == FULL if isinstance(item, tuple) else False for item in self.items)

    def shape(self) -> Shape:
        """The shape of what is selected."""
        if not self.axes:
            return self.middle
        return self._fronted(gathered(self.middle, self.axes, index_shape([i.aval for i in self.indices])))

    def _fronted(self, shape: Shape) -> Shape:
        if not self.front:
            return shape
        at, count = position(self.axes), len(index_shape([i.aval for i in self.indices]))
        return (*shape[at : at + count], *shape[:at], *shape[at + count :])

    def slice(self) -> Tensor:
        """The part that the slices select, with new axes."""
        part = self.x if self.trivial else make(Slice(self.items), self.x)
        return F.reshape(part, self.middle)

    def get(self) -> Tensor:
        part = self.slice()
        if not self.axes:
            return part
        y = gather(part, self.axes, self.indices)
        if self.front:
            count = len(index_shape([i.aval for i in self.indices]))
            y = F.moveaxis(y, axes_from(position(self.axes), count), axes_from(0, count))
        return y

    def _layout(self, v: Any, spread: bool) -> Tensor:
        """Values in the dtype of x, laid out as the gather does; one value is broadcast only if `spread`."""
        v = _fitting(self.x, v)
        if not v.ndim and not spread:
            return v
        wanted = self.shape()
        while v.ndim > len(wanted) and isinstance(v.shape[0], int) and v.shape[0] == 1:  # as NumPy's assignment
            v = F.squeeze(v, axis=0)
        v = F.broadcast_to(v, wanted)
        if self.front:
            count = len(index_shape([i.aval for i in self.indices]))
            v = F.moveaxis(v, axes_from(0, count), axes_from(position(self.axes), count))
        return v

    def set(self, v: Any) -> Tensor:
        v = self._layout(v, spread=self.trivial and not self.axes)
        if self.axes:
            v = _scatter_set(self.slice(), v, self.axes, self.indices)
        if v.ndim:
            v = F.reshape(v, sliced(self.x.shape, self.items))
        return v if self.trivial else make(SliceSet(self.items), self.x, v)

    def add(self, v: Any) -> Tensor:
        v = self._layout(v, spread=True)
        if self.axes:
            v = make(ScatterAdd(self.axes, self.middle, int(self.unique)), v, *self.indices)
        v = F.reshape(v, sliced(self.x.shape, self.items))
        return self.x + (v if self.trivial else make(Unslice(self.items, self.x.shape), v))

    @property
    def unique(self) -> bool:
        """Whether it is certain that no place is named twice."""
        return not self.axes or all_different(self.indices, [self.middle[a] for a in self.axes])


def _fitting(x: Tensor, values: Any) -> Tensor:
    """`values` in the dtype of x, or an error where that would drop fractions or imaginary parts."""
    v = as_tensor(values)
    kinds = "buifc".index
    if x.dtype != BOOL and is_inexact(v.dtype) and kinds(v.dtype.kind) > kinds(x.dtype.kind):
        rule = f"{v.dtype} values cannot be written into {x.dtype}. Convert x with .astype({str(v.dtype)!r}) first"
        raise located_error(DTypeError, "at[...]", [x, v], rule)
    return cast(v, x.dtype)


def _scatter_set(x: Tensor, v: Tensor, axes: tuple[int, ...], indices: tuple[Tensor, ...]) -> Tensor:
    unique = all_different(indices, [x.shape[a] for a in axes])
    count = index_shape([i.aval for i in indices])
    if not unique and len(count) > 1:  # one axis of writes has an order
        at = position(axes)
        v = F.reshape(v, (*v.shape[:at], prod(count), *v.shape[at + len(count) :])) if v.ndim else v
        indices = tuple(F.ravel(F.broadcast_to(i, count)) for i in indices)
    elif not unique:
        indices = (F.broadcast_to(indices[0], count), *indices[1:])
    return make(ScatterSet(axes, int(unique)), x, v, *indices)


def select(x: Tensor, key: Any) -> Selection:
    """The steps of `x[key]`."""
    try:
        return _select(x, key)
    except (ShapeError, DTypeError) as error:
        if error.located:
            raise
        raise located_error(type(error), "getitem", [x], str(error)) from None


@dataclass(frozen=True, eq=False)
class _Array:
    """An index array; one that comes from a mask has the size that the axis must have."""

    index: Tensor
    size: Size | None = None


def _select(x: Tensor, key: Any) -> Selection:
    parts = [_part(k) for k in (key if isinstance(key, tuple) else (key,))]
    parts = [p for part in parts for p in (part if isinstance(part, list) else [part])]
    taken = sum(1 for p in parts if p is not None and p is not Ellipsis)
    if taken > x.ndim:
        raise ShapeError(f"{taken} indices for {x.ndim} axes. Remove some, or add axes with None")
    if sum(1 for p in parts if p is Ellipsis) > 1:
        raise ShapeError("only one ... may stand in an index, for as many axes as are left")
    parts = parts if any(p is Ellipsis for p in parts) else [*parts, Ellipsis]
    arrays = any(isinstance(p, _Array) for p in parts)
    places = [n for n, p in enumerate(parts) if isinstance(p, _Array | int | Dim)] if arrays else []
    front = bool(places) and places[-1] - places[0] >= len(places)

    items: list[Any] = []
    middle: list[Size] = []
    axes: list[int] = []
    indices: list[Tensor] = []
    for p in parts:
        axis = len(items)
        if p is None:
            middle.append(1)
        elif p is Ellipsis:
            count = x.ndim - taken
            items += [FULL] * count
            middle += x.shape[axis : axis + count]
        elif isinstance(p, slice):
            items.append(normal_slice(p, x.shape[axis]))
            middle.append(slice_of(slice(*items[-1]), x.shape[axis])[3])
        elif isinstance(p, _Array) or arrays:
            axes.append(len(middle))
            indices.append(_index(p, axis, x.shape[axis]))
            items.append(FULL)
            middle.append(x.shape[axis])
        else:
            items.append(normal_place(p, axis, x.shape[axis]))
    front = front and position(axes) > 0
    return Selection(x, tuple(items), tuple(middle), tuple(axes), tuple(indices), front)


def _part(k: Any) -> Any:
    """One item of a key as None, Ellipsis, a slice, an int or Dim, or index arrays (one for each axis of a mask)."""
    if k is None or k is Ellipsis or isinstance(k, Dim):
        return k
    if isinstance(k, slice):
        for bound in (k.start, k.stop, k.step):
            if isinstance(bound, Tensor):
                raise ShapeError(
                    f"a bound of a slice is {describe(bound)}, so the size of the result is not known. "
                    "Slice with ints and sizes, or take(x, start + arange(length)) with a fixed length"
                )
        return k
    if isinstance(k, bool | np.bool_):
        raise ShapeError(f"{k} is no index here. Choose values with where(condition, x, y)")
    if not isinstance(k, Tensor | np.ndarray | list | tuple):
        try:
            return operator.index(k)
        except TypeError:
            pass
    if isinstance(k, list | tuple) and not len(k):
        k = np.zeros(0, np.int64)
    if isinstance(k, list | tuple) and any(isinstance(i, Tensor | Dim) for i in k):
        k = F.stack([as_tensor(i) for i in k])
    t = as_tensor(k)
    if t.dtype == BOOL:
        return _mask(t)
    if t.dtype.kind not in "iu":
        raise DTypeError(f"an index must hold integers, not {t.dtype}. Convert it with .astype(int), or divide with //")
    if isinstance(t.op, Constant) and not t.ndim:
        return int(t.op.value)
    return [_Array(t)]


def _mask(t: Tensor) -> list[_Array]:
    if not isinstance(t.op, Constant):
        raise ShapeError(
            f"the boolean index {describe(t)} selects a number of values that is not known before the function runs. "
            "Use where(mask, x, other) to choose values in place, or sum(where(mask, x, 0)) to add up the chosen ones"
        )
    if not t.ndim:
        raise ShapeError(f"{t.op.value} is no index here. Choose values with where(condition, x, y)")
    return [_Array(constant(found, INT64), n) for found, n in zip(np.nonzero(t.op.value), t.shape)]


def _index(p: Any, axis: int, size: Size) -> Tensor:
    """An index operand, checked where its values and the size are known."""
    if not isinstance(p, _Array):
        return cast(as_tensor(normal_place(p, axis, size)), INT64)
    if p.size is not None and not same(p.size, size):
        raise ShapeError(
            f"a boolean index has size {p.size} along axis {axis} of size {size}. Give a mask of that size"
        )
    if isinstance(p.index.op, Constant):
        value = p.index.op.value
        if isinstance(size, int) and value.size and not (-size <= value.min() and value.max() < size):
            bad = value[(value < -size) | (value >= size)].flat[0]
            raise ShapeError(f"index {bad} is out of range for axis {axis} of size {size} ({-size} to {size - 1})")
    return cast(p.index, p.index.dtype)


# Functions -----------------------------------------------------------------------------------------------------------


def getitem(x: Any, key: Any) -> Tensor:
    """`x[key]` with NumPy's basic and integer-array indexing.

    Ints, slices (bounds may be symbolic sizes), `...`, None, and integer arrays or tensors, broadcast together; a
    boolean mask must be a constant. A place known to be outside is a `ShapeError` now, others are an IndexError when
    the function runs.

    >>> from symgraph.core import symbol
    >>> x = symbol("x", ("batch", 10))
    >>> getitem(x, (slice(1, None), slice(None, None, 2))).shape
    (max(batch - 1, 0), 5)
    """
    x = as_tensor(x)
    return select(cast(x, x.dtype), key).get()


def unslice(x: Any, key: Any, shape: Any) -> Tensor:
    """Zeros of `shape` with `x` at the slices and ints `key`: the transpose of `getitem`."""
    x = as_tensor(x)
    x = cast(x, x.dtype)
    sizes = as_shape(shape)
    place = select(F.zeros(sizes, x.dtype), key)
    return x if place.trivial else make(Unslice(place.items, sizes), x)


def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Tensor:
    """`x` at `indices` along `axis`, or of all values in C order when `axis` is None.

    Indices out of range are an IndexError when the function runs; `mode="wrap"` counts on from the other end, and
    `mode="clip"` takes the nearest place.
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = F.ravel(x), 0
    axis = axis_of(axis, x.ndim)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"mode must be 'raise', 'wrap' or 'clip', not {mode!r}")
    if mode != "raise":
        n = x.shape[axis]
        indices = F.remainder(indices, n) if mode == "wrap" else F.clip(indices, 0, n - 1)
    elif not isinstance(indices, Tensor):
        indices = np.asarray(indices) if not _has_tensors(indices) else F.asarray(indices)
    return getitem(x, (*[slice(None)] * axis, indices))


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Tensor | Dim) or (isinstance(value, list | tuple) and any(map(_has_tensors, value)))


def _along(x: Tensor, indices: Any, axis: int | None) -> tuple[Tensor, tuple[Any, ...]]:
    """x, and the index arrays that walk along `axis` and stay where they are along the other axes."""
    if axis is None:
        x, axis = F.ravel(x), 0
    axis = axis_of(axis, x.ndim)
    indices = as_tensor(indices)
    if indices.ndim != x.ndim:
        rule = f"indices has {indices.ndim} axes and x {x.ndim}. Give indices as many axes, with size 1 to broadcast"
        raise located_error(ShapeError, "take_along_axis", [x, indices], rule)
    grid = [F.reshape(F.arange(n), (n, *[1] * (x.ndim - a - 1))) for a, n in enumerate(x.shape)]
    return x, tuple(indices if a == axis else grid[a] for a in range(x.ndim))


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Tensor:
    """y[i, j, ...] = x[i, indices[i, j, ...], ...]: one index for each place, along `axis`.

    `indices` has as many axes as `x`; the axes other than `axis` broadcast. Used to read values in the order of an
    argsort or at an argmax.
    """
    x, key = _along(as_tensor(x), indices, axis)
    return getitem(x, key)


def put_along_axis(x: Any, indices: Any, values: Any, axis: int | None) -> Tensor:
    """`x` with `values` written where `take_along_axis` reads. Unlike NumPy's it returns a new tensor."""
    x = as_tensor(x)
    flat, key = _along(x, indices, axis)
    return F.reshape(At(flat)[key].set(values), x.shape)


def one_hot(labels: Any, num_classes: Any, dtype: Any = float) -> Tensor:
    """Rows of the identity matrix: y[..., k] = 1 where labels[...] = k, and 0 elsewhere.

    A label outside 0 ... num_classes - 1 gives a row of zeros. Raises `DTypeError` unless the labels are integers.

    >>> from symgraph.core import symbol
    >>> one_hot(symbol("labels", "batch", int), 10).shape
    (batch, 10)
    """
    labels = as_tensor(labels)
    if labels.dtype.kind not in "iu":
        rule = f"labels must be integers, not {labels.dtype}. Convert them with .astype(int)"
        raise located_error(DTypeError, "one_hot", [labels], rule)
    (count,) = as_shape((num_classes,))
    return F.cast(F.equal(F.expand_dims(labels, -1), F.arange(count, dtype=labels.dtype)), as_dtype(dtype))


class At:
    """`x.at[key]`: x with the selected values changed, as a new tensor.

    `set` writes values (of writes to one place the last one stays, and the others have derivative 0), `add` adds as
    often as a place is named, `get` reads. `multiply`, `divide`, `power`, `min`, `max` and `apply` need places that are
    all different. Values are cast to the dtype of x and broadcast. A boolean key may be a tensor when the values are
    the same for every place.
    """

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = as_tensor(x)

    def __getitem__(self, key: Any) -> Place:
        return Place(self.x, key)


class Place:
    """`x.at[key]`, with what can be done there."""

    __slots__ = ("key", "x")

    def __init__(self, x: Tensor, key: Any) -> None:
        self.x = cast(x, x.dtype)
        self.key = key

    def get(self) -> Tensor:
        """`x[key]`."""
        return getitem(self.x, self.key)

    def set(self, values: Any) -> Tensor:
        """x with `values` at the places."""
        mask = self._mask()
        return select(self.x, self.key).set(values) if mask is None else self._where(mask, values)

    def add(self, values: Any) -> Tensor:
        """x with `values` added at the places, once for every time a place is named."""
        mask = self._mask()
        return select(self.x, self.key).add(values) if mask is None else self._where(mask, self.x + values)

    def subtract(self, values: Any) -> Tensor:
        """x with `values` subtracted at the places, once for every time a place is named."""
        return self.add(-as_tensor(values))

    def apply(self, function: Any) -> Tensor:
        """x with `function` of what is there at the places."""
        mask = self._mask()
        if mask is not None:
            return self._where(mask, function(self.x))
        place = select(self.x, self.key)
        if not place.unique:
            rule = (
                "the key may name a place twice, and only add and set have a meaning then. Use slices or constant "
                "indices that are all different, or a boolean key"
            )
            raise located_error(ShapeError, "at[...]", [self.x, *place.indices], rule)
        return place.set(function(place.get()))

    def multiply(self, values: Any) -> Tensor:
        """x with the places multiplied by `values`."""
        return self.apply(lambda old: old * values)

    def divide(self, values: Any) -> Tensor:
        """x with the places divided by `values`."""
        return self.apply(lambda old: old / values)

    def power(self, values: Any) -> Tensor:
        """x with the places raised to `values`."""
        return self.apply(lambda old: old**values)

    def min(self, values: Any) -> Tensor:
        """x with the smaller of what is there and `values` at the places."""
        return self.apply(lambda old: F.minimum(old, values))

    def max(self, values: Any) -> Tensor:
        """x with the larger of what is there and `values` at the places."""
        return self.apply(lambda old: F.maximum(old, values))

    def _mask(self) -> Tensor | None:
        """The key if it is one boolean tensor."""
        key = self.key
        return key if isinstance(key, Tensor) and key.dtype == BOOL and not isinstance(key.op, Constant) else None

    def _where(self, mask: Tensor, values: Any) -> Tensor:
        x = self.x
        values = _fitting(x, values)
        rest = x.ndim - mask.ndim
        if rest < 0 or not same_shape(mask.shape, x.shape[: mask.ndim]):
            rule = "a boolean key must have the sizes of the first axes of x"
            raise located_error(ShapeError, "at[mask]", [x, mask], rule)
        if values.ndim > rest and not same_shape(values.shape, x.shape):
            rule = (
                "the number of places is not known, so the values must be the same for all. Use where(mask, values, x)"
            )
            raise located_error(ShapeError, "at[mask]", [x, mask, values], rule)
        wide = F.expand_dims(mask, tuple(range(mask.ndim, x.ndim))) if rest else mask
        return F.where(wide, values, x)


LATE: dict[str, Any] = {"unslice": unslice}
"""Functions for the rules of other families alone."""
