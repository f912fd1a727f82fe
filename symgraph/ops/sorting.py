"""Sorting along an axis: y = x[p] with the permutation p = argsort(x), which is held fixed by differentiation.

Elements that tie could stand in any order, so they share the derivative evenly. With E the mean over each run of equal
values of y, which is its own transpose,

    jvp  E (t[p])        vjp  (E ct)[inverse of p]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import dims
from ..core import ShapedArray, Tensor, make
from ..dtypes import INT64, real_dtype
from ..errors import ShapeError
from . import code
from .base import General, Linear, Mask, Primitive, Pulled, axis_of, strong
from .batches import Axis, spread
from .code import Code
from .gather import ScatterAdd, gather
from .late import F

__all__ = ["sort", "argsort"]

STABLE = ("stable", "mergesort")


@dataclass(frozen=True)
class Along(Primitive):
    """An op on each row along one axis, of which every value depends on the whole row."""

    axis: int
    stable: bool = False

    def numpy(self, x: Code) -> Code:
        last = x.aval is not None and self.axis == x.aval.ndim - 1
        kind = "stable" if self.stable else None
        return code.call(f"np.{self.name}", x, axis=None if last else self.axis, kind=kind)

    def by_rows(self, y: ShapedArray, *xs: ShapedArray) -> tuple[bool, ...] | None:
        return (True,) if self.axis else None

    def batch(self, axes: Sequence[Axis], x: Tensor) -> tuple[Tensor, int]:
        (at,) = axes
        assert at is not None
        return make(replace(self, axis=self.axis + (self.axis >= at)), x), at

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 20 * dims.prod(xs[0].shape)


@dataclass(frozen=True)
class ArgSort(Along):
    """The places of the elements in increasing order; nan comes last."""

    name = "argsort"

    def infer(self, x: ShapedArray) -> ShapedArray:
        return ShapedArray(x.shape, INT64)

    def into(self, out: str, *xs: Code) -> list[str]:
        return [f"{code.whole(out)} = {self.numpy(*xs)}"]

    def nonnegative(self, *known: bool) -> bool:
        return True


@dataclass(frozen=True)
class Sort(Along, General):
    """The elements in increasing order; nan comes last."""

    name = "sort"

    def infer(self, x: ShapedArray) -> ShapedArray:
        return ShapedArray(x.shape, x.dtype)

    def into(self, out: str, *xs: Code) -> list[str]:
        kind = ', kind="stable"' if self.stable else ""
        return [*code.assign(out, xs[0]), f"{out}.sort({self.axis}{kind})"]

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        places = _places(xs[0], self.axis)
        back = ScatterAdd(tuple(range(y.ndim)), y.shape, 1)
        if mask is not None:  # where one of those that tie was taken, all are
            taken = _even(F.astype(mask, real_dtype(y.dtype)), y, self.axis) > 0
            mask = make(back, taken, *places)
        return [(make(back, _even(ct, y, self.axis), *places), mask)]

    def jvp(self, ts: Sequence[Any], y: Tensor, x: Tensor) -> Any:
        return _even(gather(ts[0], tuple(range(y.ndim)), _places(x, self.axis)), y, self.axis)

    def nonnegative(self, *known: bool) -> bool:
        return known[0]

    def bounded(self, *known: bool) -> bool:
        return known[0]


class MeanOfTies(Linear):
    """The mean of `u` over each run of equal neighbours in `y`, along the last axis: a symmetric map."""

    name = "mean_of_ties"
    structural = False
    adds = True

    def infer(self, u: ShapedArray, y: ShapedArray) -> ShapedArray:
        if not dims.same_shape(u.shape, y.shape):
            raise ShapeError("both operands have one shape. Broadcast them first")
        return u

    def statements(self, out: str, *xs: Code) -> list[str]:
        *lines, mean = self._steps(f"{out}_starts", f"{out}_counts", *xs)
        return [*lines, f"{out} = {mean}"]

    def into(self, out: str, *xs: Code) -> list[str]:
        *lines, mean = self._steps(code.local("starts"), code.local("counts"), *xs)
        return [*lines, f"{code.whole(out)} = {mean}"]

    def _steps(self, starts: str, counts: str, u: Code, y: Code) -> list[str]:
        """Where the runs begin in the flat array, how long they are, and the expression of their means."""
        if len(y.aval.shape) == 1:
            first = f"np.append(True, {y.atom}[1:] != {y.atom}[:-1])[:{y.atom}.size]"
            flat, shaped = u.atom, ""
        else:
            differ = f"{y.atom}[..., 1:] != {y.atom}[..., :-1]"
            first = f"np.insert({differ}, 0, True, axis=-1)[..., :{y.atom}.shape[-1]]"
            flat, shaped = f"{u.atom}.ravel()", f".reshape({u.atom}.shape)"
        narrow = u.aval.dtype.name in ("float16", "float32", "complex64")
        number = f"{counts}.astype({code.argument(real_dtype(u.aval.dtype))})" if narrow else counts
        return [
            f"{starts} = np.flatnonzero({first})",
            f"{counts} = np.diff({starts}, append={y.atom}.size)",
            f"np.repeat(np.add.reduceat({flat}, {starts}) / {number}, {counts}){shaped}",
        ]

    def transpose(self, ct: Tensor, u: Tensor, y: Tensor) -> Tensor:
        return make(self, ct, y)

    def batch(self, axes: Sequence[Axis], *xs: Tensor) -> tuple[Tensor, int]:
        return make(self, *spread(xs, axes)), 0

    def nonnegative(self, *known: bool) -> bool:
        return known[0]

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 4 * dims.prod(xs[0].shape)


_mean_of_ties = MeanOfTies()


def _even(u: Tensor, y: Tensor, axis: int) -> Tensor:
    """`u`, which stands beside the sorted `y`, with the mean of its values where those of `y` tie."""
    if axis == y.ndim - 1:
        return make(_mean_of_ties, u, y)
    return F.moveaxis(make(_mean_of_ties, F.moveaxis(u, axis, -1), F.moveaxis(y, axis, -1)), -1, axis)


def _places(x: Tensor, axis: int) -> list[Tensor]:
    """The indices, along each axis, at which `x` is in order."""
    order = argsort(x, axis)
    return [order if a == axis else F.reshape(F.arange(n), (n, *[1] * (x.ndim - a - 1))) for a, n in enumerate(x.shape)]


def _sorted(kind: type[Along], x: Any, axis: Any, method: str | None, stable: bool | None) -> Tensor:
    x = strong(x)
    if axis is None:
        x, axis = F.ravel(x), 0
    if method not in (None, "quicksort", "heapsort", *STABLE):
        raise ValueError(f"{kind.__name__.lower()}: kind={method!r} is not known; choose 'quicksort' or 'stable'")
    return make(kind(axis_of(axis, x.ndim), bool(stable) or method in STABLE), x)


def sort(x: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Tensor:
    """The elements in increasing order along `axis`, or of the flattened tensor where it is None; nan comes last.

    Elements that tie share the derivative evenly. `kind="stable"`, or `stable=True`, chooses NumPy's stable algorithm;
    complex numbers are ordered by their real parts, then by their imaginary ones. Raises `ShapeError` for a tensor
    without axes.

    >>> from symgraph.core import symbol
    >>> sort(symbol("x", ("batch", 3)), axis=0).shape
    (batch, 3)
    """
    return _sorted(Sort, x, axis, kind, stable)


def argsort(x: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Tensor:
    """The places of the elements in increasing order along `axis`, or in the flattened tensor; int64, no derivative."""
    return _sorted(ArgSort, x, axis, kind, stable)
