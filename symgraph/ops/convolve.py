"""NumPy's convolution and correlation of two sequences.

    full    y[k] = sum over j of a[k - j] v[j]          valid    the same, where both overlap completely

One bilinear op in two modes is closed under differentiation: the derivative of a full one is a valid one with the other
operand reversed, and that of a valid one is full in the longer operand and valid in the shorter.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dims
from ..core import ShapedArray, Tensor, describe, located_error, make
from ..dims import Size
from ..errors import ShapeError
from . import code
from .base import Multilinear, as_tensor, promoted
from .batches import Axis, Batched, front
from .code import Code
from .einsum import contraction
from .late import F
from .windows import Windows

__all__ = ["convolve", "correlate"]


@dataclass(frozen=True)
class Convolve(Multilinear):
    """`np.convolve` of two sequences: every sum of products ("full"), or those of the whole shorter one ("valid").

    The second operand of a valid one is the shorter. A derivative of either is the other, with an operand reversed.
    """

    mode: str
    name = "convolve"

    def infer(self, a: ShapedArray, v: ShapedArray) -> ShapedArray:
        (n,), (m,) = a.shape, v.shape
        return ShapedArray((n + m - 1 if self.mode == "full" else n - m + 1,), a.dtype)

    def numpy(self, a: Code, v: Code) -> Code:
        return code.call("np.convolve", a, v, *([] if self.mode == "full" else [Code(f'"{self.mode}"')]))

    def transpose(self, i: int, ct: Tensor, *xs: Tensor) -> Tensor:
        a, v = xs
        if self.mode == "full":
            other = xs[1 - i]
            return _valid(ct, F.flip(other), xs[i].shape[0])
        if i == 0:
            return make(Convolve("full"), ct, F.flip(v))
        return F.flip(_valid(a, F.flip(ct), v.shape[0]))

    def batch(self, axes: Sequence[Axis], a: Tensor, v: Tensor) -> Batched:
        """The windows of `a`, times `v` reversed; rows one by one where the length of no operand is fixed."""
        (at_a, at_v), (n, m) = axes, (x.shape[-1 if at == 0 else 0] for x, at in zip((a, v), axes, strict=True))
        if self.mode == "full" and not isinstance(m, int):
            a, v, at_a, at_v, n, m = v, a, at_v, at_a, m, n
        if not isinstance(m, int):
            return None
        a, v = (x if at is None else front(x, at) for x, at in ((a, at_a), (v, at_v)))
        if self.mode == "full":
            a = F.pad(a, [(0, 0)] * (a.ndim - 1) + [(m - 1, m - 1)])
        places = Windows(a.ndim - 1, m)
        labels: list[Sequence[Hashable]] = [["j", "k"], ["j"]]
        operands = [ls if at is None else ["batch", *ls] for ls, at in zip(labels, (at_a, at_v), strict=True)]
        y = contraction(operands, ["batch", "k"], [make(places, a), F.flip(v, -1)])
        size = n + m - 1 if self.mode == "full" else n - m + 1
        return y if dims.same(y.shape[1], size) else F.reshape(y, (y.shape[0], size)), 0

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        n, m = (y if self.mode == "valid" else xs[0]).shape, xs[1].shape
        return 2 * dims.prod(n) * dims.prod(m)


def _valid(a: Tensor, v: Tensor, size: Size) -> Tensor:
    """The valid convolution, whose length is known to be `size`."""
    y = make(Convolve("valid"), a, v)
    return y if dims.same(y.shape[0], size) else F.reshape(y, (size,))


def convolve(a: Any, v: Any, mode: str = "full") -> Tensor:
    """The convolution of two sequences, `np.convolve`: y[k] = sum over j of a[k - j] v[j].

    (n,), (m,) -> (n + m - 1,) in mode "full"; (max(n, m),), its middle, in mode "same"; (max(n, m) - min(n, m) + 1,),
    where they overlap completely, in mode "valid". Raises `ShapeError` for operands that are empty or have several axes.

    >>> from symgraph.core import symbol
    >>> convolve(symbol("a", ("n",)), symbol("v", (3,))).shape
    (n + 2,)
    """
    return _convolve("convolve", a, v, mode)


def correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    """The correlation of two sequences, `np.correlate`: y[k] = sum over j of a[k + j] conj(v[j]).

    Lengths by `mode` as in `convolve`.

    >>> from symgraph.core import symbol
    >>> correlate(symbol("a", (8,)), symbol("v", (3,))).shape
    (6,)
    """
    return _convolve("correlate", a, F.flip(F.conj(as_tensor(v))), mode)


def _convolve(name: str, a: Any, v: Any, mode: str) -> Tensor:
    a, v = promoted(name, np.multiply, [as_tensor(a), as_tensor(v)])
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"mode must be 'full', 'same' or 'valid', not {mode!r}")
    for x in (a, v):
        if x.ndim != 1:
            raise located_error(
                ShapeError, name, [a, v], f"{describe(x, short=True)} must have one axis. Use ravel, or conv2d"
            )
        if dims.same(x.shape[0], 0):
            raise located_error(ShapeError, name, [a, v], f"{describe(x, short=True)} is empty. Give it an element")
    (n,), (m,) = a.shape, v.shape
    if mode == "full":
        return make(Convolve("full"), a, v)
    short, long = dims.minimum(n, m), dims.maximum(n, m)
    if mode == "same":
        start = (short - 1) // 2
        if name == "correlate":  # which reverses what it computes with the shorter one first
            start = start + dims.minimum(dims.maximum(m - n, 0), 1) * (short // 2 - start)
        start = dims.maximum(start, 0)
        return make(Convolve("full"), a, v)[start : start + long]
    if dims.same(short, m):
        return make(Convolve("valid"), a, v)
    if dims.same(short, n):
        return make(Convolve("valid"), v, a)
    return make(Convolve("full"), a, v)[dims.maximum(short - 1, 0) : long]
