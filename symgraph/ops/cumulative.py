"""Running sums and products along an axis.

The cumulative product is differentiated exactly, also where factors are 0, through first-order linear recurrences

    h[k] = a[k] * h[k - 1] + b[k]        with h[-1] = 0

which are closed under differentiation: the derivative of one is another, run forward (jvp) or backward (vjp).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .. import dims
from ..core import ShapedArray, Tensor, located_error, make
from ..dtypes import INT64, DType, as_dtype
from ..errors import ShapeError
from . import code
from .base import General, Linear, Mask, Primitive, Pulled, axis_of, broadcast_like, strong
from .batches import spread
from .code import Code
from .late import F

__all__ = ["cumsum", "cumprod", "cumulative_sum", "cumulative_prod"]

WIDE = 256
"""Sums of rows of this many elements or more are taken row by row: `np.cumsum` needs 3.4 ns for an element along any axis,
a row 0.4 us and 0.1 ns for each (1000 x 1000 down the columns: 0.4 ms, not 3.4)."""


@dataclass(frozen=True)
class Cumulative(Primitive):
    """An accumulation along one axis, in 64 bits for booleans and integers or in `dtype`."""

    axis: int
    dtype: DType | None = None
    ufunc: ClassVar[str]

    def infer(self, x: ShapedArray) -> ShapedArray:
        return ShapedArray(x.shape, self.dtype or _wide(x.dtype))

    def numpy(self, x: Code) -> Code:
        one = x.aval is not None and x.aval.ndim == 1
        return code.method(x, self.name, axis=None if one else self.axis, dtype=self.dtype)

    def into(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        inner = dims.prod(x.aval.shape[self.axis + 1 :])
        if isinstance(inner, int) and inner >= WIDE and x.aval.dtype == (self.dtype or _wide(x.aval.dtype)):
            k, at = code.local("k"), _place(self.axis)
            first = [f"{out}{at('0:1')} = {x.atom}{at('0:1')}"]
            loop = f"for {k} in range(1, {out}.shape[{self.axis}]):"
            step = f"    {self.ufunc}({out}{at(f'{k} - 1')}, {x.atom}{at(k)}, out={out}{at(k)})"
            return [*first, loop, step]
        return [str(code.call(f"np.{self.name}", x, axis=self.axis, dtype=self.dtype, out=Code(out)))]

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        (at,) = axes
        assert at is not None
        return make(replace(self, axis=self.axis + (self.axis >= at)), x), at

    def nonnegative(self, *known: bool) -> bool:
        return known[0]


@dataclass(frozen=True)
class CumSum(Cumulative, Linear):
    """The running sum; its transpose is the running sum from the other end."""

    name = "cumsum"
    ufunc = "np.add"
    adds = True

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return F.flip(cumsum(F.flip(ct, self.axis), self.axis), self.axis)


class Rows(General):
    """A General op whose values along `axis` depend on each other alone: a mask passes to the rows it touches."""

    axis: int

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        if mask is not None:  # rows that were not taken may hold inf or nan
            mask = broadcast_like(F.any(mask, self.axis, keepdims=True), y)
            y, *xs = (F.where(mask, v, 0) for v in (y, *xs))
        cts = self.vjp(ct, y, *xs)
        return [(c, mask) if want and c is not None else None for c, want in zip(cts, wanted, strict=True)]


@dataclass(frozen=True)
class CumProd(Cumulative, Rows):
    """The running product y[k] = x[0] ... x[k], which is x[k] * y[k - 1]."""

    name = "cumprod"
    ufunc = "np.multiply"

    def vjp(self, ct: Tensor, y: Tensor, x: Tensor) -> Sequence[Any]:
        return [_backward(x, ct, self.axis) * _shifted(y, 1, self.axis)]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, x: Tensor) -> Any:
        return ts[0] if ts[0] is None else make(Recurrence(self.axis), x, ts[0] * _shifted(y, 1, self.axis))


@dataclass(frozen=True)
class Recurrence(Rows):
    """h[k] = a[k] * h[k - 1] + b[k] along an axis, for `a` and `b` of one shape."""

    axis: int
    name = "recurrence"

    def infer(self, a: ShapedArray, b: ShapedArray) -> ShapedArray:
        if not dims.same_shape(a.shape, b.shape):
            raise ShapeError("both operands have one shape. Broadcast them first")
        return b

    def statements(self, out: str, a: Code, b: Code) -> list[str]:
        return [f"{out} = {b.atom}.copy()", *self._steps(out, a, f"{out}_k")]

    def into(self, out: str, *xs: Code) -> list[str]:
        a, b = xs
        return [*code.assign(out, b), *self._steps(out, a, code.local("k"))]

    def _steps(self, out: str, a: Code, k: str) -> list[str]:
        at = _place(self.axis)
        loop = f"for {k} in range(1, {out}.shape[{self.axis}]):"
        return [loop, f"    {out}{at(k)} += {a.atom}{at(k)} * {out}{at(f'{k} - 1')}"]

    def vjp(self, ct: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Sequence[Any]:
        g = _backward(a, ct, self.axis)
        return [g * _shifted(y, 0, self.axis), g]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor, b: Tensor) -> Any:
        ta, tb = ts
        drive = None if ta is None else ta * _shifted(y, 0, self.axis)
        drive = tb if drive is None else drive if tb is None else tb + drive
        return None if drive is None else make(self, a, drive)

    def batch(self, axes: Sequence[int | None], *xs: Tensor) -> tuple[Tensor, int]:
        return make(Recurrence(self.axis + 1), *spread(xs, axes)), 0

    def nonnegative(self, *known: bool) -> bool:
        return known[0] and known[1]

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 2 * dims.prod(xs[0].shape)


def _place(axis: int) -> Callable[[str], str]:
    """The index of a place along an axis."""
    return lambda k: f"[{', '.join([*[':'] * axis, k])}]"


def _backward(a: Tensor, ct: Tensor, axis: int) -> Tensor:
    """g[k] = ct[k] + a[k + 1] * g[k + 1]: the recurrence of the transpose."""
    turned = _shifted(F.flip(a, axis), 0, axis)
    return F.flip(make(Recurrence(axis), turned, F.flip(ct, axis)), axis)


def _shifted(x: Tensor, first: int, axis: int) -> Tensor:
    """x[k - 1] along the axis, which begins with `first`."""
    start = F.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), first, x.dtype)
    return F.concatenate([start, x], axis)[(*[slice(None)] * axis, slice(None, -1))]


def _wide(dtype: DType) -> DType:
    return INT64 if dtype.kind in "bi" else as_dtype("uint64") if dtype.kind == "u" else dtype


def _along(kind: type[Cumulative], x: Any, axis: Any, dtype: Any) -> Tensor:
    x = strong(x)
    if axis is None:
        x, axis = F.ravel(x), 0
    along = axis_of(axis, x.ndim)
    wanted = None if dtype is None else as_dtype(dtype)
    if wanted is not None:
        x = F.astype(x, wanted)
        wanted = None if _wide(wanted) == wanted else wanted
    return make(kind(along, wanted), x)


def cumsum(x: Any, axis: Any = None, dtype: Any = None) -> Tensor:
    """The running sum along `axis`, or of the flattened tensor: y[k] = x[0] + ... + x[k].

    Booleans and integers are added in 64 bits, or all elements in `dtype`.
    """
    return _along(CumSum, x, axis, dtype)


def cumprod(x: Any, axis: Any = None, dtype: Any = None) -> Tensor:
    """The running product along `axis`, or of the flattened tensor: y[k] = x[0] * ... * x[k].

    Derivatives of every order are exact where factors are 0.
    """
    return _along(CumProd, x, axis, dtype)


def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """`cumsum` as the array API has it: `axis` may be left out for one axis only; `include_initial` puts a 0 in front."""
    return _from_first(CumSum, 0, x, axis, dtype, include_initial)


def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """`cumprod` as the array API has it: `axis` may be left out for one axis only; `include_initial` puts a 1 in front."""
    return _from_first(CumProd, 1, x, axis, dtype, include_initial)


def _from_first(kind: type[Cumulative], first: int, x: Any, axis: Any, dtype: Any, include_initial: bool) -> Tensor:
    x = strong(x)
    if axis is None and x.ndim != 1:
        rule = f"which of the {x.ndim} axes is meant? Give axis=" if x.ndim else "it has no axes. Give it one"
        raise located_error(ShapeError, f"cumulative_{kind.name.removeprefix('cum')}", [x], rule)
    along = axis_of(-1 if axis is None else axis, x.ndim)
    y = _along(kind, x, along, dtype)
    if not include_initial:
        return y
    return F.concatenate([F.full((*x.shape[:along], 1, *x.shape[along + 1 :]), first, y.dtype), y], along)
