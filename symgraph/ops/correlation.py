"""One trilinear form, and the three ops that leave out one of its factors.

    <u, t, w> = sum over q, o, i, r, p of   u[q, o, p]  t[q*stride + i*dilation, r, p]  w[i, r, o]

It is the correlation along one axis (the rows of t) of matrices: `Correlate(t, w)` is its gradient in u, `CorrelateWeights`
that in w, `CorrelateRows` that in t, and a derivative of one of them is another with an operand replaced. Leading axes,
the same in all three, are batches.

The rows of a window lie behind each other in memory, so the windows are a stack of matrices (places * r, p) that overlap:
a view, multiplied by BLAS without a copy. With r the input channels at each place of a window along the width and p the
width times the batch, that is a two-dimensional convolution (`conv`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import dims
from ..core import ShapedArray, Tensor, format_shape, make
from ..dims import Shape, Size, require_equal
from ..errors import DTypeError, ShapeError
from . import code
from .base import Multilinear
from .batches import spread
from .code import Code
from .late import F
from .slices import zeros_source
from .windows import along, at_place, window_count

LARGE = 1 << 22
"""From this many bytes on, the products of the rows are added one by one instead of all being kept."""


@dataclass(frozen=True)
class Trilinear(Multilinear):
    """What the three have in common: how windows of rows are taken."""

    stride: int = 1
    dilation: int = 1

    own: ClassVar[tuple[tuple[int, int], ...]]
    """For each operand the axis that it shares with the result alone, in both: a batch of this operand lengthens it."""

    def batch(self, axes: Sequence[int | None], *xs: Tensor) -> tuple[Tensor, int]:
        batched = [i for i, a in enumerate(axes) if a is not None]
        if len(batched) > 1:
            return make(self, *spread(xs, axes)), 0
        (i,) = batched
        own, kept = self.own[i]
        x = xs[i]
        place = x.ndim - 1 + own
        x = F.moveaxis(x, axes[i], place)
        wide = F.reshape(x, (*x.shape[:place], x.shape[place] * x.shape[place + 1], *x.shape[place + 2 :]))
        y = make(self, *xs[:i], wide, *xs[i + 1 :])
        at = y.ndim + kept
        return F.reshape(y, (*y.shape[:at], *x.shape[place : place + 2], *y.shape[at + 1 :])), at

    def _rows(self, j: int | str, t: Shape, places: int, count: Size) -> tuple[Any, ...]:
        """The index of the rows that stand at place `j` of the windows."""
        return along(len(t) - 3, at_place(j, t[-3], places, count, self.stride, self.dilation))

    def _stacked(self, t: Code, places: int, count: Size) -> Code:
        """The windows as one matrix each, (places * r, p): views of `t` that overlap."""
        *lead, rows, r, p = t.aval.shape
        item = t.aval.dtype.itemsize
        strides: list[Size] = [self.stride * r * p * item, p * item, item]
        step = rows * r * p * item
        for n in reversed(lead):
            strides.insert(0, step)
            step = step * n
        shape = (*lead, count, places * r, p)
        return code.call(
            "np.ndarray", shape, t.aval.dtype, code.call("np.ascontiguousarray", t), strides=tuple(strides)
        )


@dataclass(frozen=True)
class Correlate(Trilinear):
    """(t, w) -> u[q, o, p] = sum of w[i, r, o] t[q*stride + i*dilation, r, p]."""

    name = "correlate"
    own = ((-1, -1), (-1, -2))

    def infer(self, t: ShapedArray, w: ShapedArray) -> ShapedArray:
        _require(t, w)
        *lead, rows, r, p = t.shape
        *_, places, r2, o = w.shape
        require_equal(r, r2)
        return ShapedArray((*lead, window_count(rows, _fixed(places), self.stride, self.dilation), o, p), t.dtype)

    def _sizes(self, t: Code, w: Code) -> tuple[int, Size]:
        places = w.aval.shape[-3]
        return places, window_count(t.aval.shape[-3], places, self.stride, self.dilation)

    def statements(self, out: str, *xs: Code) -> list[str]:
        t, w = xs
        places, count = self._sizes(t, w)
        lead, i = len(t.aval.shape) - 3, code.local("i")
        product = f"{_matrix(w, i, lead, flipped=True)} @ {code.index(t, *self._rows(i, t.aval.shape, places, count))}"
        return [f"{out} = sum({product} for {i} in range({places}))"]

    def into(self, out: str, *xs: Code) -> list[str]:
        t, w = xs
        places, count = self._sizes(t, w)
        lead = len(t.aval.shape) - 3
        if places == 1 or self.dilation > 1:
            part = lambda i: code.index(t, *self._rows(i, t.aval.shape, places, count))
            lines = [f"np.matmul({_matrix(w, 0, lead, flipped=True)}, {part(0)}, out={out})"]
            i = code.local("i")
            if places > 1:
                lines.append(f"for {i} in range(1, {places}):")
                lines.append(f"    {out} += {_matrix(w, i, lead, flipped=True)} @ {part(i)}")
            return lines
        *batch, _, r, o = w.aval.shape
        stack = code.local("stack")
        weights = code.method(w, "reshape", *batch, *([1] if lead else []), places * r, o)
        return [
            f"{stack} = {self._stacked(t, places, count)}",
            f"np.matmul({_flipped(weights, lead)}, {stack}, out={out})",
        ]

    def transpose(self, i: int, ct: Tensor, *xs: Tensor) -> Tensor:
        t, w = xs
        if i == 0:
            return make(CorrelateRows(self.stride, self.dilation, t.shape[-3]), ct, w)
        return make(CorrelateWeights(self.stride, self.dilation, _fixed(w.shape[-3])), ct, t)

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 2 * dims.prod(y.shape) * dims.prod(xs[1].shape[-3:-1])


@dataclass(frozen=True)
class CorrelateWeights(Trilinear):
    """(u, t) -> w[i, r, o] = sum of u[q, o, p] t[q*stride + i*dilation, r, p]."""

    places: int = 1
    name = "correlate_weights"
    own = ((-2, -1), (-2, -2))

    def infer(self, u: ShapedArray, t: ShapedArray) -> ShapedArray:
        _require(u, t)
        *_, count, o, p = u.shape
        *lead, rows, r, p2 = t.shape
        require_equal(p, p2)
        require_equal(count, window_count(rows, self.places, self.stride, self.dilation))
        return ShapedArray((*lead, self.places, r, o), t.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        u, t = xs
        i, count = code.local("i"), u.aval.shape[-3]
        part = code.index(t, *self._rows(i, t.aval.shape, self.places, count))
        product = f"({part} @ {u.atom}.swapaxes(-1, -2)).sum(axis=-3)"
        return [f"{out} = np.stack([{product} for {i} in range({self.places})], axis=-3)"]

    def into(self, out: str, *xs: Code) -> list[str]:
        u, t = xs
        *lead, count, o, _ = u.aval.shape
        r = t.aval.shape[-2]
        if self.dilation > 1:
            i = code.local("i")
            part = code.index(t, *self._rows(i, t.aval.shape, self.places, count))
            target = code.index(Code(out), *along(len(lead), Code(i)))
            product = f"{part} @ {u.atom}.swapaxes(-1, -2)"
            return [f"for {i} in range({self.places}):", f"    np.sum({product}, axis=-3, out={target})"]
        stack, total = code.local("stack"), code.local("total")
        lines = [
            f"{stack} = {self._stacked(t, self.places, count)}",
            f"{total} = {code.method(Code(out), 'reshape', *lead, self.places * r, o)}",
        ]
        size = dims.prod([count, self.places * r, o]) * t.aval.dtype.itemsize
        if isinstance(size, int) and size > LARGE:
            q = code.local("q")
            at = along(len(lead), Code(q))
            row, rows = code.index(u, *at), code.index(Code(stack), *at)
            return [
                *lines,
                f"{total}.fill(0)",
                f"for {q} in range({count}):",
                f"    {total} += {rows} @ {_flipped(row, len(lead))}",
            ]
        return [*lines, f"np.sum({stack} @ {u.atom}.swapaxes(-1, -2), axis=-3, out={total})"]

    def transpose(self, i: int, ct: Tensor, *xs: Tensor) -> Tensor:
        u, t = xs
        if i == 0:
            return make(Correlate(self.stride, self.dilation), t, ct)
        return make(CorrelateRows(self.stride, self.dilation, t.shape[-3]), u, ct)

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 2 * dims.prod(xs[0].shape) * dims.prod(y.shape[-3:-1])


@dataclass(frozen=True)
class CorrelateRows(Trilinear):
    """(u, w) -> t[q*stride + i*dilation, r, p] += w[i, r, o] u[q, o, p], of `rows` rows."""

    rows: Size = 1
    name = "correlate_rows"
    own = ((-1, -1), (-2, -2))

    def infer(self, u: ShapedArray, w: ShapedArray) -> ShapedArray:
        _require(u, w)
        *lead, count, o, p = u.shape
        *_, places, r, o2 = w.shape
        require_equal(o, o2)
        require_equal(count, window_count(self.rows, _fixed(places), self.stride, self.dilation))
        return ShapedArray((*lead, self.rows, r, p), u.dtype)

    def _shape(self, u: Code, w: Code) -> Shape:
        return (*u.aval.shape[:-3], self.rows, w.aval.shape[-2], u.aval.shape[-1])

    def statements(self, out: str, *xs: Code) -> list[str]:
        u, w = xs
        return [f"{out} = {zeros_source(self._shape(u, w), u)}", *self._added(out, u, w, 0)]

    def _added(self, out: str, u: Code, w: Code, start: int) -> list[str]:
        """Each place of the windows, times its matrix, added to the rows where it stands."""
        i, shape, places = code.local("i"), self._shape(u, w), w.aval.shape[-3]
        target = code.index(Code(out), *self._rows(i, shape, places, u.aval.shape[-3]))
        product = f"{_matrix(w, i, len(shape) - 3)} @ {u}"
        return [f"for {i} in range({f'{start}, ' if start else ''}{places}):", f"    {target} += {product}"]

    def into(self, out: str, *xs: Code) -> list[str]:
        u, w = xs
        *lead, count, _, _ = u.aval.shape
        places = w.aval.shape[-3]
        depth = len(lead)
        if self.stride > 1 or self.dilation > 1:
            return [f"{out}.fill(0)", *self._added(out, u, w, 0)]
        if places == 1:
            return [f"np.matmul({_matrix(w, 0, depth)}, {u}, out={out})"]
        if not lead and isinstance(count, int) and count >= places:
            return self._gathered(out, u, w, count, places)
        at = lambda item: code.index(Code(out), *along(depth, item))
        n = code.size(count)
        return [
            f"{at(slice(n, None))} = 0",
            f"np.matmul({_matrix(w, 0, depth)}, {u}, out={at(slice(None, n))})",
            *self._added(out, u, w, 1),
        ]

    def _gathered(self, out: str, u: Code, w: Code, count: int, places: int) -> list[str]:
        """Each row from all the rows of u that reach it, which lie behind each other: one product, nothing is added."""
        r, o = w.aval.shape[-2:]
        p = code.size(u.aval.shape[-1])
        stack, turned, a = code.local("stack"), code.local("turned"), code.local("a")
        item, width = u.aval.dtype.itemsize, u.aval.shape[-1]
        shape, strides = (count - places + 1, places * o, width), (o * width * item, width * item, item)
        whole = code.call("np.ndarray", shape, u.aval.dtype, Code(stack), strides=strides)
        left = f"{places - 1} - {a}"
        return [
            f"{stack} = np.ascontiguousarray({u})",
            f"{turned} = {w.atom}[::-1].transpose(1, 0, 2).reshape({r}, {places * o})",
            f"np.matmul({turned}, {whole}, out={out}[{places - 1}:{count}])",
            f"for {a} in range({places - 1}):",
            f"    np.matmul({turned}[:, ({left})*{o}:], {stack}[:{a} + 1].reshape(({a} + 1)*{o}, {p}), out={out}[{a}])",
            f"    np.matmul({turned}[:, :({left})*{o}], {stack}[{a} - {places - 1}:].reshape(({left})*{o}, {p}), out={out}[{a} + {count}])",  # noqa: E501
        ]

    def transpose(self, i: int, ct: Tensor, *xs: Tensor) -> Tensor:
        u, w = xs
        if i == 0:
            return make(Correlate(self.stride, self.dilation), ct, w)
        return make(CorrelateWeights(self.stride, self.dilation, _fixed(w.shape[-3])), u, ct)

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 2 * dims.prod(xs[0].shape) * dims.prod(xs[1].shape[-3:-1])


def _matrix(w: Code, i: int | str, lead: int, flipped: bool = False) -> str:
    """The matrix of place `i`, (r, o) or flipped (o, r), to be multiplied with a stack of rows."""
    key = along(lead, Code(str(i)), *([None] if lead else []))
    made = code.index(w, *key)
    return _flipped(made, lead) if flipped else str(made)


def _flipped(x: Code, lead: int) -> str:
    return f"{x}.swapaxes(-1, -2)" if lead else f"{x}.T"


def _fixed(size: Size) -> int:
    if not isinstance(size, int):
        raise ShapeError(f"the size of a window must be a fixed int, not {size}")
    return size


def _require(a: ShapedArray, b: ShapedArray) -> None:
    """The operands have one dtype, and the same leading axes."""
    if a.dtype != b.dtype:
        raise DTypeError("the operands of a correlation have one dtype. Cast them with .astype(...)")
    if a.ndim != b.ndim or a.ndim < 3:
        raise ShapeError(f"{format_shape(a.shape)} and {format_shape(b.shape)} must have as many axes, three or more")
    for m, n in zip(a.shape[:-3], b.shape[:-3], strict=True):
        require_equal(m, n)
