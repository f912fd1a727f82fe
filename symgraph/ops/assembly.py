"""A derivative put together from the terms of its structure: each of the first operands is one of them as an array.

Until it is compiled the sum stays one node, so that a drawing shows the structure and `Structured` can answer from it. The
last operand is what it is the derivative of: a Hessian that turned out constant still belongs to its function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from ..core import ShapedArray, Tensor, format_shape, located_error, make
from ..dims import prod, require_equal
from ..errors import CompileError
from . import code
from .base import Linear
from .checkpoint import PassThrough
from .code import Code
from .late import F

MOST_BYTES = 1 << 32
"""A derivative is not made as an array that is larger than this."""


@dataclass(frozen=True)
class Assembly(Linear):
    """The sum of all operands but the last: `rows` axes are those of the output, the rest those of the variable."""

    rows: int
    name = "structured"
    linear = None
    mentions = 1

    def infer(self, *xs: ShapedArray) -> ShapedArray:
        shape = xs[0].shape
        for x in xs[1:-1]:
            shape = tuple(map(require_equal, shape, x.shape))
        return ShapedArray(shape, xs[0].dtype)

    def numpy(self, *xs: Code) -> Code:
        return reduce(lambda a, b: code.infix("+", a, b), xs[:-1])

    def lower(self, *xs: Tensor) -> Tensor:
        _check_size(xs[0], xs[-1])
        return reduce(F.add, xs[:-1])

    def transpose(self, ct: Tensor, *xs: Tensor) -> list[Any]:
        return [ct] * (len(xs) - 1) + [None]

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        found = [t for t in ts[:-1] if t is not None]
        return reduce(F.add, found) if found else None

    def batch(self, axes: Sequence[int | None], *xs: Tensor) -> tuple[Tensor, int] | None:
        size = next((x.shape[a] for x, a in zip(xs[:-1], axes, strict=False) if a is not None), None)
        if size is None:
            size = next(x.shape[a] for x, a in zip(xs, axes, strict=True) if a is not None)
        moved = [
            F.broadcast_to(x, (size, *x.shape)) if a is None else F.moveaxis(x, a, 0)
            for x, a in zip(xs[:-1], axes, strict=False)
        ]
        return make(Assembly(self.rows + 1), *moved, xs[-1]), 0


@dataclass(frozen=True)
class Of(PassThrough):
    """The first operand, a part of a derivative of the second."""

    name = "of"
    mentions = 1

    def lower(self, *xs: Tensor) -> Tensor:
        return xs[0]


def _check_size(array: Tensor, of: Tensor) -> None:
    size = prod(array.shape)
    if isinstance(size, int) and size * array.dtype.itemsize > MOST_BYTES:
        needed, most = (n / 2**30 for n in (size * array.dtype.itemsize, MOST_BYTES))
        rule = (
            f"the array {format_shape(array.shape)} {array.dtype} would take {needed:.1f} GiB, and the limit is {most:.1f} GiB. "
            "Use .matvec(v), .rmatvec(v) or .csr(), of a Hessian also .diagonal(), .trace() or .solve(b), which do not make it, "
            "or raise symgraph.ops.assembly.MOST_BYTES"
        )
        raise located_error(CompileError, "the full derivative", [of], rule)
