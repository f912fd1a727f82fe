"""Systems with a triangular matrix, under SciPy's names: n^2 operations for each right-hand side, and no factorization.

With T the triangle that is read, T X = B gives dX = inv(T) (dB - dT X): the adjoint of a triangular solve is the other
triangular solve, and the cotangent of T is the triangle of an outer product (Giles 2008, for a bilinear pairing). What the
other triangle holds is never read, so a Cholesky factor can share its array with anything.

    A = L L^H,  A X = B   ->   L Y = B,  L^H X = Y        cho_solve(cho_factor(A), B)

The gradient of a Cholesky factor, half(inv(L)^T mirrored(L^T G) inv(L)), is an op as well: for the G of a log-determinant or
of a quadratic form it is much simpler, which `symgraph.rewrite.definite` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .. import dims
from ..core import Aval, ShapedArray, Symbol, Tensor, describe, make, make_fresh, substitute_all
from . import code
from .base import General, Linear, unbroadcast
from .batches import Axis, Batched, padded
from .code import Code
from .diagonal import Triangle
from .late import F
from .linalg import Solve, cholesky, lapack_operands

__all__ = ["solve_triangular", "cho_factor", "cho_solve"]


@dataclass(frozen=True)
class SolveTriangular(Solve):
    """X with T X = B, or T^T X = B, where T is a triangle of the first operand, with ones on its diagonal if `unit`."""

    below: bool
    transposed: Literal[0, 1] = 0
    unit: bool = False
    name = "solve_triangular"

    def numpy(self, a: Code, b: Code) -> Code:
        if a.aval.ndim > 2 or b.aval.ndim > 2:
            return self._stacked(a, b)
        options = {"trans": self.transposed, "lower": self.below, "unit_diagonal": self.unit}
        said = {name: Code(repr(value)) for name, value in options.items() if value}
        return code.call("scipy.linalg.solve_triangular", a, b, **said, check_finite=Code("False"))

    def _stacked(self, a: Code, b: Code) -> Code:
        """Stacks of matrices are solved by NumPy, in one call, from the triangle alone."""
        part = "np.tril" if self.below else "np.triu"
        made = code.call(part, a, *([-1 if self.below else 1] if self.unit else []))
        if self.unit:
            made = code.infix("+", made, code.call("np.eye", a.aval.shape[-1], dtype=a.aval.dtype))
        return code.call("np.linalg.solve", Code(f"{made.atom}.mT") if self.transposed else made, b)

    def vjp(self, ct: Any, y: Tensor, a: Tensor, b: Tensor) -> Sequence[Tensor | None]:
        other = replace(self, transposed=0 if self.transposed else 1)
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
        return F.tril(x, -1 if self.unit else 0) if self.below else F.triu(x, 1 if self.unit else 0)

    def cost(self, y: Any, a: ShapedArray, b: ShapedArray) -> Any:
        return dims.prod(y.shape) * a.shape[-1]


def _like(op: SolveTriangular, a: Tensor, b: Tensor, vector: bool) -> Tensor:
    """The system where a stack of vectors is not taken for a matrix."""
    if vector and b.ndim > 1:
        return F.squeeze(make(op, a, F.expand_dims(b, -1)), axis=-1)
    return make(op, a, b)


# The gradient of a Cholesky factor -----------------------------------------------------------------------------------


class Half(Linear):
    """The lower triangle of each matrix with its diagonal halved: its own transpose."""

    name = "half"
    structural = False
    inplace = True

    def infer(self, x: ShapedArray) -> ShapedArray:
        return ShapedArray(x.shape, x.dtype)

    def numpy(self, x: Code) -> Code:
        lower, strict = code.call("np.tril", x), code.call("np.tril", x, -1)
        return code.infix("/", Code(f"({lower} + {strict})"), Code("2"))

    def into(self, out: str, *xs: Code) -> list[str]:
        n = xs[0].aval.shape[-1]
        flat = f"{out}.ravel()[::{code.argument(n + 1)}]"
        halved = flat if xs[0].aval.ndim == 2 else f'np.einsum("...ii->...i", {out})[...]'
        return [*Triangle("tril", 0).into(out, *xs), f"{halved} /= 2"]

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return make(self, ct)

    def batch(self, axes: Sequence[Axis], x: Tensor) -> Batched:
        return make(self, F.moveaxis(x, axes[0], 0)), 0


class CholeskyGradient(General):
    """half(inv(L)^T M inv(L)), where M is symmetric and has the lower triangle of L^T G.

    For A = L L^T and a cotangent G of L it is the cotangent of A, of which the lower triangle alone is read.
    """

    name = "cholesky_gradient"

    def infer(self, factor: ShapedArray, g: ShapedArray) -> Aval:
        return ShapedArray((*dims.broadcast_shapes(factor.shape[:-2], g.shape[:-2]), *factor.shape[-2:]), factor.dtype)

    def lower(self, factor: Tensor, g: Tensor) -> Tensor:
        inner = F.solve(factor.mT, mirrored(factor.mT @ g))
        return half(F.solve(factor.mT, inner.mT))

    def evaluate(self, *values: Any) -> Any:
        factor, g = self._given([ShapedArray(v.shape, v.dtype) for v in map(np.asarray, values)])
        return F.interpret([self.lower(factor, g)], {factor: values[0], g: values[1]})[0]

    def batch(self, axes: Sequence[Axis], factor: Tensor, g: Tensor) -> Batched:
        rank = max(x.ndim - (at is not None) for x, at in zip((factor, g), axes, strict=True))
        return make(self, *[padded(x, at, rank) for x, at in zip((factor, g), axes, strict=True)]), 0

    def vjp(self, ct: Any, y: Tensor, factor: Tensor, g: Tensor) -> Sequence[Tensor | None]:
        given = self._given([factor.aval, g.aval])
        found = F.vjp([self.lower(*given)], given, [ct], "zero")
        return substitute_all(found, dict(zip(given, (factor, g), strict=True)))

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, factor: Tensor, g: Tensor) -> Any:
        moved = [k for k, t in enumerate(ts) if t is not None]
        given = self._given([factor.aval, g.aval])
        found = F.jvp(self.lower(*given), [given[k] for k in moved], [ts[k] for k in moved])
        return substitute_all([found], dict(zip(given, (factor, g), strict=True)))[0]

    def _given(self, avals: Sequence[ShapedArray]) -> list[Tensor]:
        return [make_fresh(Symbol(name, aval)) for name, aval in zip(("L", "G"), avals, strict=True)]

    def cost(self, y: Any, factor: ShapedArray, g: ShapedArray) -> Any:
        return 4 * dims.prod(y.shape) * factor.shape[-1]


def half(x: Tensor) -> Tensor:
    """The lower triangle of each matrix with its diagonal halved."""
    return make(_half, x)


def mirrored(x: Any) -> Tensor:
    """The symmetric matrix that has the lower triangle of `x`."""
    return F.tril(x) + F.tril(x, -1).mT


def cholesky_gradient(factor: Tensor, g: Tensor) -> Tensor:
    """The cotangent of A = L @ L.T from `g`, that of L."""
    return make(_cholesky_gradient, factor, g)


_half, _cholesky_gradient = Half(), CholeskyGradient()
LATE = {"half": half, "mirrored": mirrored, "cholesky_gradient": cholesky_gradient}


# Functions -----------------------------------------------------------------------------------------------------------


TRANSPOSED = {0: 0, 1: 1, 2: 2, "N": 0, "T": 1, "C": 2}


def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False,
    overwrite_b: bool = False, check_finite: bool = True,
) -> Tensor:  # fmt: skip
    """The solution X of `T @ X = b`, T the upper triangle of a (..., n, n), the lower one if `lower`; b (n,) or (..., n, k).

    `trans` 1 or "T" solves `T.T @ X = b`, 2 or "C" `T.conj().T @ X = b`; `unit_diagonal` takes the diagonal for ones without
    reading it. The name and arguments are SciPy's; the last two are accepted and mean nothing here. Derivatives: that of `a`
    is a triangle. float16 is a `DTypeError`, a zero on the diagonal NumPy's `LinAlgError` when the function runs.

    >>> from symgraph import symbol
    >>> solve_triangular(symbol("L", ("n", "n")), symbol("b", ("n",)), lower=True).shape
    (n,)
    """
    if isinstance(trans, bool) or trans not in TRANSPOSED:
        raise ValueError(f'solve_triangular: trans={describe(trans)} must be 0 or "N", 1 or "T", or 2 or "C"')
    x, y = lapack_operands("solve_triangular", a, b)
    way = TRANSPOSED[trans]
    if way == 2:
        x = F.conj(x)
    return make(SolveTriangular(bool(lower), 1 if way else 0, bool(unit_diagonal)), x, y)


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Tensor, bool]:
    """The Cholesky factor of positive definite a (..., n, n) for `cho_solve`, as `(c, lower)`: that triangle of `a` is read.

    c is upper triangular with `a = c.conj().T @ c`, or lower with `a = c @ c.conj().T`; its other triangle is zero, where
    SciPy leaves what was there.

    >>> from symgraph import symbol
    >>> c, lower = cho_factor(symbol("A", (3, 3)), lower=True)
    >>> c.shape, lower
    ((3, 3), True)
    """
    return (cholesky(a) if lower else cholesky(F.matrix_transpose(a)).mT), bool(lower)


def cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Tensor:
    """The solution X of `A @ X = b` from `(c, lower)`, the Cholesky factor of A (see `cho_factor`); b (n,) or (..., n, k).

    >>> from symgraph import symbol
    >>> cho_solve(cho_factor(symbol("A", (3, 3))), symbol("b", (3,))).shape
    (3,)
    """
    if not (isinstance(c_and_lower, tuple | list) and len(c_and_lower) == 2):
        given = describe(c_and_lower)
        raise TypeError(f"cho_solve: the first argument is {given}. Give (c, lower), as cho_factor returns it")
    c, lower = c_and_lower
    first, second = (0, 2) if lower else (2, 0)
    return solve_triangular(c, solve_triangular(c, b, first, lower), second, lower)
