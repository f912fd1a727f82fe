"""Linear algebra on matrices and stacks of matrices, shape (..., n, n).

The derivatives are those of Giles, "An extended collection of matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008), written for a bilinear pairing: complex matrices are transposed, not conjugated.
`cholesky` and `eigh` read the lower triangle only, as NumPy's do, and so their gradients are lower triangular.
A singular matrix raises NumPy's LinAlgError when the function runs.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import dims
from ..core import Aval, Item, ShapedArray, Tensor, describe, located_error, make
from ..dims import Shape, Size
from ..dtypes import is_complex, promote, real_dtype
from ..errors import DTypeError, GradientError, ShapeError
from . import code
from .base import General, as_tensor, cast, promotion_type, unbroadcast
from .batches import Axis, Batched, front, padded
from .code import Code
from .late import F

__all__ = ["solve", "inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "qr", "matrix_power"]


# Solving -------------------------------------------------------------------------------------------------------------


class Solve(General):
    """X with A X = B, for stacks of matrices or one vector B: dX = solve(A, dB - dA X)."""

    name = "solve"

    def infer(self, a: ShapedArray, b: ShapedArray) -> Aval:
        n = _square(a)
        rows = b.shape[-2 if len(b.shape) > 1 else 0]
        try:
            dims.require_equal(n, rows)
        except ShapeError:
            raise ShapeError(f"the matrix has {n} rows and the right-hand side {rows}. They must be equal") from None
        if len(b.shape) == 1:
            return ShapedArray((*a.shape[:-2], rows), a.dtype)
        batch = dims.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return ShapedArray((*batch, *b.shape[-2:]), a.dtype)

    def numpy(self, a: Code, b: Code) -> Code:
        return code.call("np.linalg.solve", a, b)

    def batch(self, axes: Sequence[Axis], a: Tensor, b: Tensor) -> Batched:
        at_a, at_b = axes
        rank_a, rank_b = a.ndim - (at_a is not None), b.ndim - (at_b is not None)
        if at_a is None:  # one matrix: the batch makes more columns
            b = F.moveaxis(b, at_b, -1)
            if rank_b == 1:
                y = make(self, a, b)
                return y, y.ndim - 1
            y = make(self, a, F.reshape(b, (*b.shape[:-2], b.shape[-2] * b.shape[-1])))
            return F.reshape(y, (*y.shape[:-1], *b.shape[-2:])), y.ndim
        if rank_b == 1:
            if at_b is None:
                return make(self, front(a, at_a), b), 0
            y = make(self, front(a, at_a), F.expand_dims(padded(b, at_b, rank_a - 1), -1))
            return F.squeeze(y, -1), 0
        rank = max(rank_a, rank_b)
        return make(self, padded(a, at_a, rank), padded(b, at_b, rank)), 0

    def vjp(self, ct: Any, y: Tensor, a: Tensor, b: Tensor) -> Sequence[Tensor | None]:
        if b.ndim == 1 and a.ndim == 2:
            back = solve(a.T, ct)
            return -F.outer(back, y), back
        if b.ndim == 1:
            ct, y = F.expand_dims(ct, -1), F.expand_dims(y, -1)
        back = solve(a.mT, ct)
        ct_b = F.squeeze(back, axis=-1) if b.ndim == 1 else back
        return unbroadcast(-(back @ y.mT), a), unbroadcast(ct_b, b)

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor, b: Tensor) -> Any:
        da, db = ts
        if da is None:
            return solve(a, db)
        moved = F.matvec(da, y) if b.ndim == 1 else da @ y
        right = -moved if db is None else db - moved
        return _solve_like(a, right, vector=b.ndim == 1)

    def cost(self, y: Any, a: ShapedArray, b: ShapedArray) -> Any:
        n = a.shape[-1]
        return 2 * dims.prod(a.shape) * n // 3 + 2 * dims.prod(y.shape) * n


def _solve_like(a: Tensor, b: Tensor, vector: bool) -> Tensor:
    """`solve` where a stack of vectors is not taken for a matrix."""
    if vector and b.ndim > 1:
        return F.squeeze(solve(a, F.expand_dims(b, -1)), axis=-1)
    return solve(a, b)


class Inverse(General):
    """The inverse of each matrix: d(inv A) = -inv(A) dA inv(A)."""

    name = "inv"

    def infer(self, a: ShapedArray) -> Aval:
        _square(a)
        return ShapedArray(a.shape, a.dtype)

    def numpy(self, a: Code) -> Code:
        return code.call("np.linalg.inv", a)

    def batch(self, axes: Sequence[Axis], a: Tensor) -> Batched:
        return batch_stack(self, axes, a)

    def vjp(self, ct: Any, y: Tensor, a: Tensor) -> Sequence[Tensor | None]:
        return [-(y.mT @ ct @ y.mT)]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor) -> Any:
        return -(y @ ts[0] @ y)

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return 2 * dims.prod(a.shape) * a.shape[-1]


# Determinants --------------------------------------------------------------------------------------------------------


class Determinant(General):
    """The determinant of each matrix: d(det A) = det(A) tr(inv(A) dA)."""

    name = "det"
    scalar = True
    hazard = "A singular"

    def infer(self, a: ShapedArray) -> Aval:
        _square(a)
        return ShapedArray(a.shape[:-2], a.dtype)

    def numpy(self, a: Code) -> Code:
        return code.call("np.linalg.det", a)

    def batch(self, axes: Sequence[Axis], a: Tensor) -> Batched:
        return batch_stack(self, axes, a)

    def vjp(self, ct: Any, y: Tensor, a: Tensor) -> Sequence[Tensor | None]:
        return [_per_matrix(ct * y) * inv(a).mT]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor) -> Any:
        return y * _trace_solve(a, ts[0])

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return 2 * dims.prod(a.shape) * a.shape[-1] // 3


class SignLogDet(General):
    """(s, l) with det A = s exp(l) and |s| = 1: with t = tr(inv(A) dA), dl = Re t and ds = i s Im t."""

    name = "slogdet"
    scalar = True
    hazard = "A singular"

    def infer(self, a: ShapedArray) -> Aval:
        _square(a)
        return ShapedArray(a.shape[:-2], a.dtype), ShapedArray(a.shape[:-2], real_dtype(a.dtype))

    def numpy(self, a: Code) -> Code:
        return code.call("np.linalg.slogdet", a)

    def batch(self, axes: Sequence[Axis], a: Tensor) -> Batched:
        return batch_stack(self, axes, a)

    def vjp(self, ct: Any, y: Tensor, a: Tensor) -> Sequence[Tensor | None]:
        ct_sign, ct_log = ct
        total = None if ct_log is None else cast(ct_log, a.dtype)
        if ct_sign is not None and is_complex(a.dtype):
            turned = 1j * F.imag(ct_sign * make(Item(0), y))
            total = turned if total is None else total + turned
        return [None if total is None else _per_matrix(total) * inv(a).mT]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor) -> Any:
        t = _trace_solve(a, ts[0])
        if not is_complex(a.dtype):
            return None, t
        return 1j * make(Item(0), y) * F.imag(t), F.real(t)

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return 2 * dims.prod(a.shape) * a.shape[-1] // 3


def batch_stack(op: General, axes: Sequence[Axis], a: Tensor) -> tuple[Tensor, int]:
    """The batch rule of what works on each matrix of a stack."""
    (at,) = axes
    assert at is not None
    return make(op, front(a, at)), 0


def _per_matrix(x: Tensor) -> Tensor:
    """One number per matrix, with axes of 1 to multiply the matrices."""
    return F.expand_dims(x, (-2, -1)) if x.ndim else x


def _trace_solve(a: Tensor, da: Any) -> Tensor:
    return F.trace(solve(a, da), axis1=-2, axis2=-1)


# Factorizations ------------------------------------------------------------------------------------------------------


class Cholesky(General):
    """Lower triangular L with A = L L^T: dL = L half(inv(L) dA inv(L)^T)."""

    name = "cholesky"

    def infer(self, a: ShapedArray) -> Aval:
        _square(a)
        return ShapedArray(a.shape, a.dtype)

    def numpy(self, a: Code) -> Code:
        return code.call("np.linalg.cholesky", a)

    def batch(self, axes: Sequence[Axis], a: Tensor) -> Batched:
        return batch_stack(self, axes, a)

    def vjp(self, ct: Any, y: Tensor, a: Tensor) -> Sequence[Tensor | None]:
        real_only(self.name, a)
        return [F.cholesky_gradient(y, ct)]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor) -> Any:
        real_only(self.name, a)
        inner = solve(y, F.mirrored(ts[0]))
        return y @ F.half(solve(y, inner.mT).mT)

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return dims.prod(a.shape) * a.shape[-1] // 3


class SymmetricEigen(General):
    """(w, V) with A V = V diag(w), V orthogonal, w increasing: dw = diag(P), dV = V (F * P), P = V^T dA V.

    F[i, j] = 1 / (w[j] - w[i]) off the diagonal and 0 on it: dV is infinite or undefined where eigenvalues coincide.
    """

    name = "eigh"
    hazard = "equal eigenvalues (for the eigenvectors)"

    def infer(self, a: ShapedArray) -> Aval:
        _square(a)
        return ShapedArray(a.shape[:-1], real_dtype(a.dtype)), ShapedArray(a.shape, a.dtype)

    def numpy(self, a: Code) -> Code:
        return code.call("np.linalg.eigh", a)

    def batch(self, axes: Sequence[Axis], a: Tensor) -> Batched:
        return batch_stack(self, axes, a)

    def vjp(self, ct: Any, y: Tensor, a: Tensor) -> Sequence[Tensor | None]:
        real_only(self.name, a)
        ct_w, ct_v = ct
        w, v = make(Item(0), y), make(Item(1), y)
        s = None if ct_w is None else v * F.expand_dims(ct_w, -2) @ v.mT
        if ct_v is not None:
            turned = v @ (_gaps(w) * (v.mT @ ct_v)) @ v.mT
            s = turned if s is None else s + turned
        return [None if s is None else F.half(s + s.mT)]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor) -> Any:
        real_only(self.name, a)
        w, v = make(Item(0), y), make(Item(1), y)
        p = v.mT @ F.mirrored(ts[0]) @ v
        return F.einsum("...ii->...i", p), v @ (_gaps(w) * p)

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return 9 * dims.prod(a.shape) * a.shape[-1]


def _gaps(w: Tensor) -> Tensor:
    """1 / (w[j] - w[i]) off the diagonal, 0 on it."""
    eye = F.eye(w.shape[-1], dtype=bool)
    gaps = F.expand_dims(w, -2) - F.expand_dims(w, -1)
    return F.where(eye, 0, 1 / F.where(eye, 1, gaps))


class QR(General):
    """(Q, R) with A = Q R, Q of orthonormal columns and R upper triangular, for m x n matrices with m >= n.

    With C = Q^T dA inv(R) and W = low(C) - low(C)^T: dQ = Q W + (I - Q Q^T) dA inv(R), dR = (C - W) R.
    """

    name = "qr"
    hazard = "dependent columns"

    def infer(self, a: ShapedArray) -> Aval:
        if len(a.shape) < 2:
            raise ShapeError(f"the operand has {len(a.shape)} axes. A matrix has two")
        m, n = a.shape[-2:]
        k = dims.minimum(m, n)
        return ShapedArray((*a.shape[:-1], k), a.dtype), ShapedArray((*a.shape[:-2], k, n), a.dtype)

    def numpy(self, a: Code) -> Code:
        return code.call("np.linalg.qr", a)

    def batch(self, axes: Sequence[Axis], a: Tensor) -> Batched:
        return batch_stack(self, axes, a)

    def _tall(self, a: Tensor) -> None:
        real_only(self.name, a)
        m, n = a.shape[-2:]
        if not dims.same(dims.minimum(m, n), n):
            rule = f"the derivative needs at least as many rows as columns, not {m} x {n}. Factor the transpose instead"
            raise located_error(GradientError, self.name, [a], rule)

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, a: Tensor) -> Any:
        self._tall(a)
        q, r = make(Item(0), y), make(Item(1), y)
        scaled = solve(r.mT, F.matrix_transpose(ts[0])).mT  # dA inv(R)
        c = q.mT @ scaled
        low = F.tril(c, -1)
        w = low - low.mT
        return q @ (w - c) + scaled, (c - w) @ r

    def vjp(self, ct: Any, y: Tensor, a: Tensor) -> Sequence[Tensor | None]:
        self._tall(a)
        q, r = make(Item(0), y), make(Item(1), y)
        ct_q = F.zeros_like(q) if ct[0] is None else ct[0]
        ct_r = F.zeros_like(r) if ct[1] is None else ct[1]
        m = r @ ct_r.mT - ct_q.mT @ q
        s = F.tril(m, -1)
        diagonal = F.tril(m) - s
        return [solve(r, (ct_q + q @ (s + s.mT + diagonal)).mT).mT]

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return 4 * dims.prod(a.shape) * a.shape[-1]


# Functions -----------------------------------------------------------------------------------------------------------


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Tensor
    R: Tensor


_solve, _inverse, _determinant, _slogdet = Solve(), Inverse(), Determinant(), SignLogDet()
_cholesky, _eigh, _qr = Cholesky(), SymmetricEigen(), QR()


def lapack_operands(name: str, *args: Any) -> list[Tensor]:
    """Operands in the common dtype in which LAPACK computes: float32, float64, or a complex one."""
    xs = [as_tensor(x) for x in args]
    common = promote(*[promotion_type(x) for x in xs])
    if common.kind not in "fc":
        common = np.dtype(np.float64)
    if common == np.float16:
        raise located_error(DTypeError, name, xs, "linear algebra has no float16. Cast with .astype('float32')")
    return [cast(x, common) for x in xs]


def _square(a: ShapedArray) -> Size:
    if len(a.shape) < 2:
        raise ShapeError(f"the matrix has {len(a.shape)} axes. A matrix has two, and a stack of matrices more")
    m, n = a.shape[-2:]
    try:
        return dims.require_equal(m, n)
    except ShapeError:
        raise ShapeError(f"the last two axes ({m}, {n}) must be equal. The matrix must be square") from None


def real_only(name: str, a: Tensor) -> None:
    if is_complex(a.dtype):
        rule = "the derivative is known for real matrices only. Use stop_gradient if none is meant"
        raise located_error(GradientError, name, [a], rule)


def solve(a: Any, b: Any) -> Tensor:
    """The solution X of `a @ X = b`, a (..., n, n), b (..., n, k) or one vector (n,). float16 is a `DTypeError`."""
    return make(_solve, *lapack_operands("solve", a, b))


def inv(a: Any) -> Tensor:
    """The inverse of each matrix of a (..., n, n); prefer `solve(a, b)` to `inv(a) @ b`."""
    return make(_inverse, *lapack_operands("inv", a))


def det(a: Any) -> Tensor:
    """The determinant of each matrix of a (..., n, n); `slogdet` where it could overflow."""
    return make(_determinant, *lapack_operands("det", a))


def slogdet(a: Any) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its absolute value, as `(sign, logabsdet)`."""
    y = make(_slogdet, *lapack_operands("slogdet", a))
    return SlogdetResult(make(Item(0), y), make(Item(1), y))


def cholesky(a: Any) -> Tensor:
    """The lower triangular L with a = L @ L.T, for positive definite a (..., n, n); its lower half is read."""
    return make(_cholesky, *lapack_operands("cholesky", a))


def eigh(a: Any) -> EighResult:
    """The eigenvalues (..., n), increasing, and eigenvectors (..., n, n) of symmetric a (the lower half)."""
    y = make(_eigh, *lapack_operands("eigh", a))
    return EighResult(make(Item(0), y), make(Item(1), y))


def eigvalsh(a: Any) -> Tensor:
    """The eigenvalues of symmetric a, increasing."""
    return make(Item(0), make(_eigh, *lapack_operands("eigvalsh", a)))


def qr(a: Any) -> QRResult:
    """Q with orthonormal columns and upper triangular R with a = Q @ R, reduced: (..., m, k) and (..., k, n)."""
    y = make(_qr, *lapack_operands("qr", a))
    return QRResult(make(Item(0), y), make(Item(1), y))


def matrix_power(a: Any, n: int) -> Tensor:
    """The product of n copies of a square matrix, by squaring; of the inverse for n < 0, the identity for 0."""
    x, n = as_tensor(a), operator.index(n)
    if x.ndim < 2:
        raise located_error(ShapeError, "matrix_power", [x], f"{describe(x, short=True)} must be a matrix")
    try:
        size = dims.require_equal(*x.shape[-2:])
    except ShapeError:
        raise located_error(ShapeError, "matrix_power", [x], "the matrix must be square") from None
    if n == 0:
        return _identity_like(x, size)
    base = inv(x) if n < 0 else x
    found: Tensor | None = None
    power = abs(n)
    while power:
        if power & 1:
            found = base if found is None else found @ base
        power >>= 1
        base = base @ base if power else base
    assert found is not None
    return found


def _identity_like(x: Tensor, size: Size) -> Tensor:
    eye = F.eye(size, dtype=x.dtype)
    shape: Shape = (*x.shape[:-2], size, size)
    return F.broadcast_to(eye, shape) if x.ndim > 2 else eye
