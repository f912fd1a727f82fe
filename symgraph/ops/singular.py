"""Singular values and what is made of them: A = U diag(s) V^H with orthonormal columns in U and V, s decreasing.

With P = U^T dA V, and F[i, j] = 1 / (s[j]^2 - s[i]^2) off the diagonal and 0 on it,

    ds = diag(P)
    dU = U (F * (P S + S P^T)) + (I - U U^T) dA V inv(S)
    dV = V (F * (S P + P^T S)) + (I - V V^T) dA^T U inv(S)

(Giles 2008; Townsend, "Differentiating the singular value decomposition", 2016, for rectangular matrices). The vectors have no
derivative where singular values coincide, and for rectangular matrices where one is 0: it is then infinite or nan. That of
the singular values alone needs neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import dims
from ..core import Aval, Item, ShapedArray, Tensor, located_error, make
from ..dtypes import INT64, real_dtype
from ..errors import ShapeError
from . import code
from .base import General, as_tensor, cast, strong
from .batches import Axis, Batched
from .code import Code
from .late import F
from .linalg import batch_stack, lapack_operands, real_only

__all__ = ["svd", "svdvals", "pinv", "lstsq", "matrix_rank"]


class SVD(General):
    """(U, s, V^H), reduced: (..., m, k), (..., k) and (..., k, n) with k = min(m, n)."""

    name = "svd"
    hazard = "equal singular values, or one that is 0 (for the vectors)"

    def infer(self, a: ShapedArray) -> Aval:
        m, n, k = _sizes(a)
        stack = a.shape[:-2]
        return (
            ShapedArray((*stack, m, k), a.dtype),
            ShapedArray((*stack, k), real_dtype(a.dtype)),
            ShapedArray((*stack, k, n), a.dtype),
        )

    def numpy(self, a: Code) -> Code:
        return code.call("np.linalg.svd", a, full_matrices=Code("False"))

    def batch(self, axes: Sequence[Axis], a: Tensor) -> Batched:
        return batch_stack(self, axes, a)

    def jvp(self, ts: Sequence[Any], y: Tensor, a: Tensor) -> Any:
        u, s, vh = _items(y)
        if all(t is None for t in ts):
            return None
        da = ts[0]
        p = F.conj(u).mT @ da @ F.conj(vh).mT
        ds = F.real(F.einsum("...ii->...i", p))
        real_only(self.name, a)
        row, column, gaps = F.expand_dims(s, -2), F.expand_dims(s, -1), _gaps(s)
        du = u @ (gaps * (p * row + column * p.mT))
        dvh = (gaps * (row * p.mT + p * column)).mT @ vh
        m, n = a.shape[-2:]
        if not dims.same(dims.minimum(m, n), m):
            outside = da @ vh.mT
            du = du + (outside - u @ (u.mT @ outside)) / row
        if not dims.same(dims.minimum(m, n), n):
            outside = u.mT @ da
            dvh = dvh + (outside - (outside @ vh.mT) @ vh) / column
        return du, ds, dvh

    def vjp(self, ct: Any, y: Tensor, a: Tensor) -> Sequence[Tensor | None]:
        u, s, vh = _items(y)
        ct_u, ct_s, ct_vh = ct
        total = None if ct_s is None else F.conj(u) * F.expand_dims(ct_s, -2) @ F.conj(vh)
        if ct_u is None and ct_vh is None:
            return [total]
        real_only(self.name, a)
        m, n = a.shape[-2:]
        row, column, gaps = F.expand_dims(s, -2), F.expand_dims(s, -1), _gaps(s)
        if ct_u is not None:
            inner = u.mT @ ct_u
            part = u @ ((gaps * (inner - inner.mT)) * row) @ vh
            if not dims.same(dims.minimum(m, n), m):
                part = part + ((ct_u - u @ inner) / row) @ vh
            total = part if total is None else total + part
        if ct_vh is not None:
            inner = vh @ ct_vh.mT
            part = u @ (column * (gaps * (inner - inner.mT))) @ vh
            if not dims.same(dims.minimum(m, n), n):
                part = part + u @ ((ct_vh - inner.mT @ vh) / column)
            total = part if total is None else total + part
        return [total]

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return 14 * dims.prod(a.shape) * dims.minimum(*a.shape[-2:])


class SingularValues(General):
    """The singular values alone, decreasing: ds = Re diag(U^H dA V)."""

    name = "svdvals"

    def infer(self, a: ShapedArray) -> Aval:
        return ShapedArray((*a.shape[:-2], _sizes(a)[2]), real_dtype(a.dtype))

    def numpy(self, a: Code) -> Code:
        return code.call("np.linalg.svd", a, compute_uv=Code("False"))

    def batch(self, axes: Sequence[Axis], a: Tensor) -> Batched:
        return batch_stack(self, axes, a)

    def jvp(self, ts: Sequence[Any], y: Tensor, a: Tensor) -> Any:
        u, _, vh = _items(make(_svd, a))
        return F.real(F.einsum("...ji,...jk,...ik->...i", F.conj(u), ts[0], F.conj(vh)))

    def vjp(self, ct: Any, y: Tensor, a: Tensor) -> Sequence[Tensor | None]:
        u, _, vh = _items(make(_svd, a))
        return [F.conj(u) * F.expand_dims(ct, -2) @ F.conj(vh)]

    def nonnegative(self, *known: bool) -> bool:
        return True

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return 4 * dims.prod(a.shape) * dims.minimum(*a.shape[-2:])


class PseudoInverse(General):
    """The pseudoinverse X of A, with singular values below rtol times the largest taken for 0.

    dX = -X dA X + X X^H dA^H (I - A X) + (I - X A) dA^H X^H X, where the rank does not change (Golub and Pereyra 1973).
    """

    name = "pinv"
    hazard = "A where its rank changes"
    literals = (1,)

    def infer(self, a: ShapedArray, rtol: ShapedArray) -> Aval:
        m, n, _ = _sizes(a)
        return ShapedArray((*a.shape[:-2], n, m), a.dtype)

    def numpy(self, a: Code, rtol: Code) -> Code:
        return code.call("np.linalg.pinv", a, rtol)

    def batch(self, axes: Sequence[Axis], a: Tensor, rtol: Tensor) -> Batched:
        if axes[1] is not None or rtol.ndim:
            return None
        return make(self, F.moveaxis(a, axes[0], 0), rtol), 0

    def jvp(self, ts: Sequence[Any], y: Tensor, a: Tensor, rtol: Tensor) -> Any:
        da, yh = ts[0], F.conj(y).mT
        if da is None:
            return None
        back = F.conj(da).mT
        left, right = back - back @ a @ y, back - y @ (a @ back)
        return y @ yh @ left + right @ yh @ y - y @ da @ y

    def vjp(self, ct: Any, y: Tensor, a: Tensor, rtol: Tensor) -> Sequence[Tensor | None]:
        g, yh = ct.mT, F.conj(y).mT
        one = g @ y @ yh
        two = yh @ y @ g
        return [F.conj(one - a @ (y @ one) + two - two @ y @ a) - y.mT @ ct @ y.mT, None]

    def cost(self, y: Any, a: ShapedArray, rtol: ShapedArray) -> Any:
        return 16 * dims.prod(a.shape) * dims.minimum(*a.shape[-2:])


_svd, _svdvals, _pinv = SVD(), SingularValues(), PseudoInverse()


def _sizes(a: ShapedArray) -> tuple[Any, Any, Any]:
    """m, n and the smaller of them."""
    if len(a.shape) < 2:
        raise ShapeError(f"the operand has {len(a.shape)} axes. A matrix has two, and a stack of matrices more")
    m, n = a.shape[-2:]
    return m, n, dims.minimum(m, n)


def _items(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return make(Item(0), y), make(Item(1), y), make(Item(2), y)


def _gaps(s: Tensor) -> Tensor:
    """1 / (s[j]^2 - s[i]^2) off the diagonal, 0 on it."""
    eye = F.eye(s.shape[-1], dtype=bool)
    row, column = F.expand_dims(s, -2), F.expand_dims(s, -1)
    return F.where(eye, 0, 1 / F.where(eye, 1, (row - column) * (row + column)))


# Functions -----------------------------------------------------------------------------------------------------------


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition `a = U @ diag(S) @ Vh` of each matrix, as `(U, S, Vh)`; S alone unless `compute_uv`.

    U (..., m, k), S (..., k), decreasing, and Vh (..., k, n) with k = min(m, n). Derivatives of U and Vh are infinite or nan
    where singular values are equal, and known for real matrices; those of S are always there. Pass `full_matrices=False`
    unless the matrix is square: the further columns that NumPy adds are not determined by it, and are a `ShapeError` here.

    >>> from symgraph.core import symbol
    >>> [x.shape for x in svd(symbol("A", (5, 3)), full_matrices=False)]
    [(5, 3), (3,), (3, 3)]
    """
    (x,) = lapack_operands("svd", a)
    if not compute_uv:
        return make(_svdvals, x)
    if full_matrices and x.ndim > 1 and not dims.same(*x.shape[-2:]):
        rule = "the vectors of a matrix that is not square are the first min(m, n) alone. Pass full_matrices=False"
        raise located_error(ShapeError, "svd", [x], rule)
    return SVDResult(*_items(make(_svd, x)))


def svdvals(a: Any) -> Tensor:
    """The singular values (..., min(m, n)) of each matrix, decreasing; differentiable also where some are equal or 0."""
    return make(_svdvals, *lapack_operands("svdvals", a))


def pinv(a: Any, rcond: Any = None, *, rtol: Any = None) -> Tensor:
    """The (Moore-Penrose) pseudoinverse (..., n, m) of each matrix of a (..., m, n).

    Singular values up to `rtol` times the largest, 1e-15 unless given (`rcond` is its older name), are taken for 0. The
    derivative is that at a constant rank (Golub and Pereyra 1973).
    """
    if rcond is not None and rtol is not None:
        raise TypeError("pinv takes rcond or rtol, which are one thing, not both")
    (x,) = lapack_operands("pinv", a)
    bound = rtol if rcond is None else rcond
    return make(_pinv, x, cast(as_tensor(1e-15 if bound is None else bound), real_dtype(x.dtype)))


class LstsqResult(NamedTuple):
    """What `lstsq` returns."""

    x: Tensor
    residuals: Tensor
    rank: Tensor
    s: Tensor


def lstsq(a: Any, b: Any, rcond: Any = None) -> LstsqResult:
    """The x of least norm with the least `|b - a @ x|`, a (m, n), b (m,) or (m, k): `pinv(a) @ b`.

    Returns `(x, residuals, rank, s)` as NumPy does: the sums of squares of `b - a @ x`, one for each column of b (none for
    m <= n; NumPy gives none of a matrix without full rank either, which is not known here), the rank, and the singular
    values of a. Singular values up to `rcond` times the largest, eps * max(m, n) unless given, are taken for 0.
    """
    x, y = lapack_operands("lstsq", a, b)
    if x.ndim != 2 or y.ndim not in (1, 2):
        rule = "a is one matrix, and b a vector or a matrix. Map it over a stack with vmap"
        raise located_error(ShapeError, "lstsq", [x, y], rule)
    bound = _relative(x) if rcond is None else rcond
    found = pinv(x, bound) @ y
    left = y - x @ found
    squares = F.sum(F.real(left * F.conj(left)), 0, keepdims=y.ndim == 1)
    if dims.same(dims.minimum(*x.shape), x.shape[0]):
        squares = F.zeros((0,), squares.dtype)
    rank = F.astype(matrix_rank(x, rtol=bound), np.int32)  # LAPACK's
    return LstsqResult(found, squares, rank, svdvals(x))


def matrix_rank(a: Any, tol: Any = None, *, rtol: Any = None) -> Tensor:
    """The number of singular values of each matrix above `tol`, or above `rtol` times the largest; int64.

    Unless given, `rtol` is eps * max(m, n). Of a vector, whether it is not all 0.
    """
    if tol is not None and rtol is not None:
        raise TypeError("matrix_rank takes tol or rtol, not both")
    x = strong(a)
    if x.ndim < 2:
        return F.astype(F.any(F.not_equal(x, 0)), INT64)
    s = svdvals(x)
    if tol is None:
        (operand,) = lapack_operands("matrix_rank", x)
        tol = F.max(s, -1, keepdims=True) * (_relative(operand) if rtol is None else _spread(rtol))
    else:
        tol = _spread(tol)
    return F.sum(s > tol, -1)


def _spread(bound: Any) -> Any:
    """A bound for each matrix, with an axis for its singular values."""
    bound = as_tensor(bound)
    return F.expand_dims(bound, -1) if bound.ndim else bound


def _relative(x: Tensor) -> Any:
    """eps * max(m, n)."""
    size = dims.maximum(*x.shape[-2:])
    eps = float(np.finfo(x.dtype).eps)
    return size * eps if isinstance(size, int) else cast(F.dim_value(size) * eps, real_dtype(x.dtype))


def cond(x: Any, p: Any = None) -> Tensor:
    """The condition number `norm(x, p) * norm(inv(x), p)` of each matrix; for p None, 2 or -2 by its singular values.

    That is the largest over the smallest, infinite for a singular matrix, or for -2 the other way round. For any other p a
    singular matrix is NumPy's LinAlgError when the function runs, as it is for `inv`.
    """
    (x,) = lapack_operands("cond", x)
    if p not in (None, 2, -2):
        return F.norm(x, p, (-2, -1)) * F.norm(F.inv(x), p, (-2, -1))
    s = svdvals(x)
    large, small = s[..., 0], s[..., -1]
    above, below = (small, large) if p == -2 else (large, small)
    zero = F.equal(below, 0)
    return F.where(zero, math.inf, above / F.where(zero, 1, below))
