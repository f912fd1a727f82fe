"""The logarithm of a sum of exponentials, and its gradient, softmax.

    logsumexp(x) = log(sum(exp(x)))     softmax(x) = exp(x) / sum(exp(x))     log_softmax(x) = x - logsumexp(x)

Each is one node with a derivative of its own, so that derivatives of every order are written with softmax, which never
overflows. They are computed relative to the largest element; the exponentials and their sum are shared where several of
the three are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import dims
from ..core import ShapedArray, Tensor, located_error, make
from ..dims import same
from ..dtypes import FLOAT64, is_complex, is_inexact
from ..errors import DTypeError
from . import code
from .base import General, Mask, Pulled, as_tensor, axes_of, broadcast_like, cast, times
from .code import Code
from .late import F
from .reduce import Max, Reduction

__all__ = ["logsumexp", "softmax", "log_softmax"]


@dataclass(frozen=True)
class LogSumExp(Reduction):
    """log(sum(exp(x))): -inf for elements that are all -inf, where the derivative is 0; +inf if one is."""

    name = "logsumexp"
    quiet = "divide"

    def numpy(self, x: Code) -> Code:
        return code.call("scipy.special.logsumexp", x, **self.options(x))

    def into(self, out: str, *xs: Code) -> None:
        return None  # lowered

    def lower(self, *xs: Tensor) -> Tensor:
        m, _, s = _parts(xs[0], self.axis, guarded=True)
        y = F.log(s) + m
        return y if self.keepdims else F.squeeze(y, self.axis)

    def evaluate(self, *values: Any) -> Any:
        with np.errstate(all="ignore"):
            m = np.max(values[0], self.axis, keepdims=True, initial=-np.inf)
            m = np.where(np.isfinite(m), m, m.dtype.type(0))
            y = np.log(np.exp(values[0] - m).sum(self.axis, keepdims=True)) + m
        return y if self.keepdims else y.squeeze(self.axis)

    def partial(self, y: Tensor, x: Tensor) -> Tensor:
        return make(Softmax(self.axis, True), x)

    def bounded(self, *known: bool) -> bool:
        return known[0]

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 24 * dims.prod(xs[0].shape)


@dataclass(frozen=True)
class Rowwise(General):
    """Maps the elements that differ only along `axis` (a row) together, and keeps the shape."""

    axis: tuple[int, ...]

    def infer(self, x: ShapedArray) -> ShapedArray:
        return ShapedArray(x.shape, x.dtype)

    def numpy(self, x: Code) -> Code:
        axis = None if x.aval is not None and len(self.axis) == x.aval.ndim else self.axis
        return code.call(f"scipy.special.{self.name}", x, axis=axis[0] if axis and len(axis) == 1 else axis)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        (at,) = axes
        assert at is not None
        return make(replace(self, axis=tuple(a + (a >= at) for a in self.axis)), x), at

    def total(self, x: Tensor) -> Tensor:
        """The sum of each row, as rows of size 1."""
        return F.sum(x, self.axis, keepdims=True)

    def rows(self, mask: Mask) -> Mask:
        """The rows of size 1 that have an element in the mask."""
        return mask if mask is None else F.any(mask, self.axis, keepdims=True)

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 26 * dims.prod(xs[0].shape)


@dataclass(frozen=True)
class Softmax(Rowwise):
    """exp(x) / sum(exp(x)). A row that is all -inf gives nan, or with `zero` (as the gradient of logsumexp) zeros."""

    zero: bool = False
    name = "softmax"

    def lower(self, *xs: Tensor) -> Tensor:
        _, e, s = _parts(xs[0], self.axis, guarded=self.zero)
        return e / (F.where(s == 0, 1, s) if self.zero else s)

    def evaluate(self, *values: Any) -> Any:
        with np.errstate(all="ignore"):
            m = np.max(values[0], self.axis, keepdims=True, initial=-np.inf)
            if self.zero:
                m = np.where(np.isfinite(m), m, m.dtype.type(0))
            e = np.exp(values[0] - m)
            s = e.sum(self.axis, keepdims=True)
            return e / np.where(s == 0, s.dtype.type(1), s)

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        rows = self.rows(mask)
        g = times(ct - self.total(times(ct, y, None, mask)), y, None, rows)
        return [(g, rows if rows is None else broadcast_like(rows, y))]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, x: Tensor) -> Any:
        return ts[0] if ts[0] is None else y * (ts[0] - self.total(y * ts[0]))

    def nonnegative(self, *known: bool) -> bool:
        return True

    def bounded(self, *known: bool) -> bool:
        return known[0]


@dataclass(frozen=True)
class LogSoftmax(Rowwise):
    """x - logsumexp(x), kept with its shape."""

    name = "log_softmax"

    def lower(self, *xs: Tensor) -> Tensor:
        m, _, s = _parts(xs[0], self.axis, guarded=False)
        return xs[0] - m - F.log(s)

    def evaluate(self, *values: Any) -> Any:
        with np.errstate(all="ignore"):
            z = values[0] - np.max(values[0], self.axis, keepdims=True, initial=-np.inf)
            return z - np.log(np.exp(z).sum(self.axis, keepdims=True))

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        rows = self.rows(mask)
        g = ct - times(self.total(ct), softmax(xs[0], self.axis), None, rows)
        return [(g, rows if rows is None else broadcast_like(rows, y))]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, x: Tensor) -> Any:
        return ts[0] if ts[0] is None else ts[0] - self.total(softmax(x, self.axis) * ts[0])


def _parts(x: Tensor, axis: tuple[int, ...], guarded: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The largest element m of each row, exp(x - m) and its sum; guarded, an infinite m is replaced by 0."""
    limit = not all(isinstance(x.shape[a], int) for a in axis)
    m = make(Max(axis, True, limit), x)
    if guarded:
        m = F.where(F.isfinite(m), m, 0)
    e = F.exp(x - m)
    return m, e, F.sum(e, axis, keepdims=True)


def _operand(name: str, x: Any) -> Tensor:
    """A real tensor; booleans and integers become float64."""
    x = as_tensor(x)
    if is_complex(x.dtype):
        raise located_error(DTypeError, name, [x], "the operand must be real. Take real(x) first")
    return cast(x, x.dtype if is_inexact(x.dtype) else FLOAT64)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes, without overflow: exact for -inf (an impossible term) and for +inf.

    The gradient is `softmax`, and 0 where all elements are -inf. Of no elements it is -inf.
    """
    x = _operand("logsumexp", x)
    op = LogSumExp(axes_of(axis, x.ndim), bool(keepdims))
    if any(same(x.shape[a], 0) for a in op.axis):
        return F.full(op.infer(x.aval).shape, -np.inf, x.dtype)
    return make(op, x) if op.axis else x


def softmax(x: Any, axis: Any = -1) -> Tensor:
    """exp(x) / sum(exp(x)) over `axis` (the last, unless told; None for all), without overflow; nan where all are -inf.

    >>> from symgraph.core import symbol
    >>> softmax(symbol("x", ("batch", 10)), axis=-1).shape
    (batch, 10)
    """
    x = _operand("softmax", x)
    axes = axes_of(axis, x.ndim)
    return x if any(same(n, 0) for n in x.shape) else make(Softmax(axes), x) if axes else F.ones_like(x)


def log_softmax(x: Any, axis: Any = -1) -> Tensor:
    """log(softmax(x)) over `axis` (the last, unless told), accurate where softmax is close to 0 or 1."""
    x = _operand("log_softmax", x)
    axes = axes_of(axis, x.ndim)
    return x if any(same(n, 0) for n in x.shape) else make(LogSoftmax(axes), x) if axes else F.zeros_like(x)
