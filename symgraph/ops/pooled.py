"""The ops of pooling: the largest element of each window over some axes, or its sum.

    window_max  y[q] = max of x[q*stride + j] over j < size          window_sum  the sum of the same elements

The largest elements of a window share its cotangent evenly, as those of `max` do. The two maps that say so, one for
each mode, are ops of their own, linear in what they move and transposes of each other:

    at_max     y[q] = the mean of t over the places of window q where x is largest
    share_max  t[l] = the sum of ct[q] / (number of such places) over the windows q in which x[l] is largest
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .. import dims
from ..core import ShapedArray, Tensor, make
from ..dims import Shape, Size
from ..errors import ShapeError
from . import code
from .base import General, Linear, Mask, Primitive, Pulled
from .batches import spread
from .code import Code
from .late import F
from .slices import zeros_source
from .windows import Fold, Windows, at_place, window_count

FEW = 4
"""Windows of up to this many places are joined place by place, larger ones axis by axis."""


# Windows over several axes -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pooled(Primitive):
    """What the ops have in common: the axes, in increasing order, with the size and the stride of the windows."""

    axis: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def pooled(self, shape: Shape) -> Shape:
        """The shape with the number of windows in the place of each axis."""
        counts = {a: window_count(shape[a], k, s) for a, k, s in zip(self.axis, self.size, self.stride, strict=True)}
        return tuple(counts.get(a, n) for a, n in enumerate(shape))

    def along_axes(self, axes: Sequence[int]) -> Any:
        """The op on an operand whose axis `axes[i]` is axis i here."""
        moved = sorted(zip([axes[a] for a in self.axis], self.size, self.stride, strict=True))
        axis, size, stride = zip(*moved, strict=True)
        return replace(self, axis=axis, size=size, stride=stride)

    def places(self, shape: Shape, at: Sequence[int | str], axes: Sequence[int] | None = None) -> tuple[Any, ...]:
        """The index of what stands at one place, numbers or counters, of every window; of some axes only, or of all."""
        chosen = range(len(self.axis)) if axes is None else axes
        index: list[Any] = [slice(None)] * (max(self.axis[n] for n in chosen) + 1)
        for n, j in zip(chosen, at, strict=True):
            length = shape[self.axis[n]]
            count = window_count(length, self.size[n], self.stride[n])
            index[self.axis[n]] = at_place(j, length, self.size[n], count, self.stride[n], 1)
        return tuple(index)

    def counters(self) -> list[str]:
        """The names of the variables that count the places along each axis."""
        return [code.local(name) for name, _ in zip("ijkl", self.axis, strict=False)]

    def loops(self, body: str) -> list[str]:
        """`body` for every place of a window."""
        names = self.counters()
        heads = [f"{'    ' * n}for {v} in range({k}):" for n, (v, k) in enumerate(zip(names, self.size, strict=True))]
        return [*heads, f"{'    ' * len(names)}{body}"]

    def each(self) -> str:
        """The same as the end of a generator."""
        return " ".join(f"for {v} in range({k})" for v, k in zip(self.counters(), self.size, strict=True))

    @property
    def disjoint(self) -> bool:
        """Whether no element is in two windows."""
        return all(s >= k for s, k in zip(self.stride, self.size, strict=True))

    def tiles(self, shape: Shape) -> bool:
        """Whether every element is certainly in one window, and in one only."""
        lengths = [shape[a] for a in self.axis]
        fits = [isinstance(n, int) and n % k == 0 for n, k in zip(lengths, self.size, strict=True)]
        return self.stride == self.size and all(fits)

    def windowed(self, x: Tensor) -> Tensor:
        """The windows, with their places as an axis before each of the axes."""
        for n, (a, k, s) in enumerate(zip(self.axis, self.size, self.stride, strict=True)):
            x = make(Windows(a + n, k, s), x)
        return x

    def folded(self, y: Tensor, shape: Shape) -> Tensor:
        """The windows added in their places: the transpose of `windowed`."""
        for n in reversed(range(len(self.axis))):
            y = make(Fold(self.axis[n] + n, shape[self.axis[n]], self.stride[n]), y)
        return y

    def aligned(self, y: Tensor) -> Tensor:
        """One value for each window, against the windows."""
        return F.expand_dims(y, tuple(a + n for n, a in enumerate(self.axis)))

    def shifted(self, axes: Sequence[int | None], xs: Sequence[Tensor]) -> tuple[Tensor, int]:
        """The batch rule: a new axis in front."""
        return make(replace(self, axis=tuple(a + 1 for a in self.axis)), *spread(xs, axes)), 0


class Joined(Pooled):
    """One value for each window: its elements joined by a ufunc."""

    ufunc: ClassVar[str]

    def infer(self, x: ShapedArray) -> ShapedArray:
        return ShapedArray(self.pooled(x.shape), x.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        lines: list[str] = []
        shape = list(x.aval.shape)
        axes = [n for n, k in enumerate(self.size) if k > 1]  # an axis whose windows are single elements is sliced last
        for n in axes:
            target = out if n == axes[-1] else code.local(f"part{n}")
            lines += self._join(target, x, tuple(shape), n)
            shape[self.axis[n]] = window_count(shape[self.axis[n]], self.size[n], self.stride[n])
            x = Code(target)
        rest = [n for n, k in enumerate(self.size) if k == 1]
        return (
            [*lines, f"{out} = {code.index(x, *self.places(tuple(shape), [0] * len(rest), rest))}"] if rest else lines
        )

    def _join(self, target: str, x: Code, shape: Shape, n: int, into: bool = False) -> list[str]:
        """`x` joined along one axis."""
        size = self.size[n]
        part = lambda j: code.index(x, *self.places(shape, [j], [n]))
        if into:
            first = [f"{self.ufunc}({part(0)}, {part(1)}, out={target})"]
        else:
            first = [f"{target} = {self.ufunc}({part(0)}, {part(1)})"]
        if size == 2:
            return first
        j = code.local("j")
        return [*first, f"for {j} in range(2, {size}):", f"    {self.ufunc}({target}, {part(j)}, out={target})"]

    def into(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        shape = x.aval.shape
        if math.prod(self.size) <= FEW or 1 in self.size:
            first, second, *more = [
                code.index(x, *self.places(shape, at)) for at in itertools.product(*map(range, self.size))
            ]
            return [
                f"{self.ufunc}({first}, {second}, out={out})",
                *[f"{self.ufunc}({out}, {part}, out={out})" for part in more],
            ]
        lines = []
        for n in range(len(self.axis)):
            last = n == len(self.axis) - 1
            target = out if last else code.local(f"part{n}")
            lines += self._join(target, x, shape, n, into=last)
            shape = (*shape[: self.axis[n]], self.pooled(x.aval.shape)[self.axis[n]], *shape[self.axis[n] + 1 :])
            x = Code(target, aval=xs[0].aval)
        return lines

    def batch(self, axes: Sequence[int | None], *xs: Tensor) -> tuple[Tensor, int]:
        return self.shifted(axes, xs)

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return dims.prod(y.shape) * math.prod(self.size)


class WindowSum(Joined, Linear):
    """The sum of each window."""

    name = "window_sum"
    ufunc = "np.add"
    adds = True

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        y = self.aligned(ct)
        shape: list[Size] = list(ct.shape)
        for n, a in enumerate(self.axis):
            shape.insert(a + n, self.size[n])
        return self.folded(F.broadcast_to(y, tuple(shape)), x.shape)


class WindowMax(Joined, General):
    """The largest element of each window; nan if one is nan."""

    name = "window_max"
    ufunc = "np.maximum"

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        (x,) = xs
        largest = F.equal(self.windowed(x), self.aligned(y))
        if mask is not None:
            largest = F.logical_and(largest, self.aligned(mask))
        return [(make(ShareMax(self.axis, self.size, self.stride), ct, x, y), self.folded(largest, x.shape))]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, x: Tensor) -> Any:
        return None if ts[0] is None else make(AtMax(self.axis, self.size, self.stride), ts[0], x, y)

    def nonnegative(self, *known: bool) -> bool:
        return known[0]

    def bounded(self, *known: bool) -> bool:
        return known[0]


# Derivatives of the largest ------------------------------------------------------------------------------------------


class OfLargest(Pooled, Linear):
    """Linear in the first operand; x and y = max_pool(x) say where the largest elements are."""

    structural = False

    def _is_largest(self, x: Code, y: Code) -> str:
        return f"{code.index(x, *self.places(x.aval.shape, self.counters()))} == {y}"

    def _count(self, x: Code, y: Code) -> str:
        """How many places share each window, in the dtype of x; at least 1, also where y is nan."""
        total = f"sum(({self._is_largest(x, y)} {self.each()}), {code.scalar(x.aval.dtype)}(0))"
        return f"np.maximum({total}, 1)"

    def batch(self, axes: Sequence[int | None], *xs: Tensor) -> tuple[Tensor, int]:
        return self.shifted(axes, xs)

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 3 * dims.prod(xs[2].shape) * math.prod(self.size)


class AtMax(OfLargest):
    """(t, x, y) -> the mean of t over the places where x is largest in its window: the tangent of the largest."""

    name = "at_max"

    def infer(self, t: ShapedArray, x: ShapedArray, y: ShapedArray) -> ShapedArray:
        _require_same(t.shape, x.shape)
        _require_same(y.shape, self.pooled(x.shape))
        return ShapedArray(y.shape, t.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        t, x, y = xs
        part = code.index(t, *self.places(x.aval.shape, self.counters()))
        chosen = f"np.where({self._is_largest(x, y)}, {part}, 0)"
        return [f"{out} = sum({chosen} {self.each()}) / {self._count(x, y)}"]

    def transpose(self, ct: Tensor, *xs: Tensor) -> Tensor:
        _, x, y = xs
        return make(ShareMax(self.axis, self.size, self.stride), ct, x, y)


class ShareMax(OfLargest):
    """(ct, x, y) -> ct / count, in the places where x is largest in its window: the gradient of the largest."""

    name = "share_max"

    def infer(self, ct: ShapedArray, x: ShapedArray, y: ShapedArray) -> ShapedArray:
        _require_same(ct.shape, y.shape)
        _require_same(y.shape, self.pooled(x.shape))
        return ShapedArray(x.shape, ct.dtype)

    def _target(self, out: str, x: Code) -> Code:
        return code.index(Code(out), *self.places(x.aval.shape, self.counters()))

    def statements(self, out: str, *xs: Code) -> list[str]:
        ct, x, y = xs
        share = code.local("share")
        added = "=" if self.disjoint else "+="
        chosen = f"np.where({self._is_largest(x, y)}, {share}, 0)"
        return [
            f"{share} = {ct.within(code.TIMES)} / {self._count(x, y)}",
            f"{out} = {zeros_source(x.aval.shape, ct)}",
            *self.loops(f"{self._target(out, x)} {added} {chosen}"),
        ]

    def into(self, out: str, *xs: Code) -> list[str]:
        """Where a place has no share, the bits of the share times 0: exactly 0 whatever the share, and without a branch."""
        ct, x, y = xs
        largest, share, bits = code.local("largest"), code.local("share"), code.local("bits")
        places = math.prod(self.size)
        dtype = ct.aval.dtype
        flat = self.counters()[0]
        for v, k in zip(self.counters()[1:], self.size[1:], strict=True):
            flat = f"({flat})*{k} + {v}" if "+" in flat else f"{flat}*{k} + {v}"
        integer = f"np.uint{8 * dtype.itemsize}"
        lines = [
            f"{largest} = np.empty({code.shape((places, *y.aval.shape))}, bool)",
            *self.loops(f"np.equal({code.index(x, *self.places(x.aval.shape, self.counters()))}, {y}, out={largest}[{flat}])"),
            f"{share} = {largest}.sum(axis=0, dtype={'np.uint8' if places < 256 else code.dtype(dtype)})",
            f"{share} = ({ct.within(code.TIMES)} / np.maximum({share}, 1)).view({integer})",
        ]  # fmt: skip
        part = f"{largest}.view(np.uint8)[{flat}]"
        if not self.tiles(x.aval.shape):
            lines.append(f"{out}.fill(0)")
        if self.disjoint:
            target = self._target(bits, x)
            return [
                *lines,
                f"{bits} = {out}.view({integer})",
                *self.loops(f"np.multiply({share}, {part}, out={target})"),
            ]
        return [*lines, *self.loops(f"{self._target(out, x)} += ({share} * {part}).view({code.dtype(dtype)})")]

    def transpose(self, ct: Tensor, *xs: Tensor) -> Tensor:
        _, x, y = xs
        return make(AtMax(self.axis, self.size, self.stride), ct, x, y)


def _require_same(a: Shape, b: Shape) -> None:
    if len(a) != len(b):
        raise ShapeError(f"{len(a)} and {len(b)} axes must be as many")
    for m, n in zip(a, b, strict=True):
        dims.require_equal(m, n)
