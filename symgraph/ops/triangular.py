"""Systems with a triangular matrix, under SciPy's names: n^2 operations for each right-hand side, and no factorization.

With T the triangle that is read, T X = B gives dX = inv(T) (dB - dT X): the adjoint of a triangular solve is the other
triangular solve, and the cotangent of T is the triangle of an outer product (Giles 2008, for a bilinear pairing). What the
other triangle holds is never read, so a Cholesky factor can share its array with anything.

    A = L L^H,  A X = B   ->   L Y = B,  L^H X = Y        cho_solve(cho_factor(A), B)

The gradient of a Cholesky factor, half(inv(L)^T mirrored(L^T G) inv(L)), is an op as well: for the G of a log-determinant or
of a quadratic form it is much simpler, which `symgraph.rewrite.definite` knows.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from ..core import ShapedArray, Tensor, describe, make, misuse
from ..dtypes import is_complex
from ..errors import ShapeError
from . import code
from .base import unbroadcast
from .code import Code
from .late import F
from .linalg import Solve, cholesky, lapack_operands

__all__ = ["solve_triangular", "cho_factor", "cho_solve"]


@dataclass(frozen=True)
class SolveTriangular(Solve):
    """X with T X = B, or T^T X = B, where T is a triangle of the first operand, with ones on its diagonal if `unit`."""

    lower: bool
    transposed: Literal[0, 1] = 0
    unit: bool = False
    name = "solve_triangular"

    def numpy(self, a: Code, b: Code) -> Code:
        if a.aval.ndim > 2 or b.aval.ndim > 2:
            return self._stacked(a, b)
        options = {"trans": self.transposed, "lower": self.lower, "unit_diagonal": self.unit}
        said = {name: Code(repr(value)) for name, value in options.items() if value}
        return code.call("scipy.linalg.solve_triangular", a, b, **said, check_finite=Code("False"))

    def _stacked(self, a: Code, b: Code) -> Code:
        """Stacks of matrices are solved by NumPy, in one call, from the triangle alone."""
        part = "np.tril" if self.lower else "np.triu"
        made = code.call(part, a, *([-1 if self.lower else 1] if self.unit else []))
        if self.unit:
            made = code.infix("+", made, code.call("np.eye", a.aval.shape[-1], dtype=a.aval.dtype))
        return code.call("np.linalg.solve", Code(f"{made.atom}.mT") if self.transposed else made, b)

    def vjp(self, ct: Any, y: Tensor, a: Tensor, b: Tensor) -> Sequence[Tensor | None]:
        other = replace(self, transposed=1 - self.transposed)
        vector = b.ndim == 1
        back = _like(other, a, ct, vector)
        if vector and a.ndim == 2:
            left, right = (y, back) if self.transposed else (back, y)
            return -self.triangle(F.outer(left, right)), back
        u, v = (F.expand_dims(x, -1) if vector else x for x in (back, y))
        product = v @ u.mT if self.transposed else u @ v.mT
        return unbroadcast(-self.triangle(product), a), unbroadcast(back, b)

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor, b: Tensor) -> Any:
        da, db = ts
        if da is None:
            return make(self, a, db)  # type: ignore[arg-type]
        da = self.triangle(da)
        da = da.mT if self.transposed else da
        vector = b.ndim == 1
        moved = F.matvec(da, y) if vector else da @ y
        return _like(self, a, -moved if db is None else db - moved, vector)

    def triangle(self, x: Tensor) -> Tensor:
        """What is read of a matrix, or of its change."""
        return F.tril(x, -1 if self.unit else 0) if self.lower else F.triu(x, 1 if self.unit else 0)

    def cost(self, y: Any, a: ShapedArray, b: ShapedArray) -> Any:
        return code_cost(y, a)


def code_cost(y: ShapedArray, a: ShapedArray) -> Any:
    """A multiply-add for each element of the triangle and column."""
    from ..dims import prod

    return prod(y.shape) * a.shape[-1]


def _like(op: SolveTriangular, a: Tensor, b: Tensor, vector: bool) -> Tensor:
    """The system where a stack of vectors is not taken for a matrix."""
    if vector and b.ndim > 1:
        return F.squeeze(make(op, a, F.expand_dims(b, -1)), axis=-1)
    return make(op, a, b)
