"""Systems of equations that have one good answer, or say with nan that they have not.

A step of an optimizer solves with a matrix that should be positive definite and may not be: far from a minimum a Hessian
has directions of negative curvature. The Cholesky factorization finds that out on the way, at half the cost of an LU, and
nan as the answer lets the compiled step go on and reject it, where an exception would end it.

These have no derivatives: they are the last thing that a step computes.
"""

from __future__ import annotations

from typing import Any

from .. import dims
from ..core import Aval, ShapedArray, Tensor, make
from ..errors import ShapeError
from . import code
from .base import Primitive
from .code import Code

__all__: list[str] = []


class SolveDefinite(Primitive):
    """x with A x = b, from the lower triangle of a symmetric A; nan where A is not positive definite."""

    name = "solve_definite"

    def infer(self, a: ShapedArray, b: ShapedArray) -> Aval:
        _fits(a, len(a.shape) == 2 and dims.same(a.shape[0], a.shape[1]), "a square matrix")
        return _vector(b, a.shape[-1], a)

    def statements(self, out: str, a: Code, b: Code) -> list[str]:
        return _cholesky(out, f"{_letter(b.aval)}posv", a, b)

    def cost(self, y: Any, a: ShapedArray, b: ShapedArray) -> Any:
        n = b.shape[0]
        return n * n * n // 3 + 2 * n * n


class SolveDefiniteBanded(Primitive):
    """x with A x = b, A[j + k, j] = bands[k, j] = A[j, j + k]; nan where A is not positive definite."""

    name = "solve_definite_banded"

    def infer(self, bands: ShapedArray, b: ShapedArray) -> Aval:
        _fits(bands, len(bands.shape) == 2, "a matrix with a row for each diagonal, the main one first")
        return _vector(b, bands.shape[-1], bands)

    def statements(self, out: str, bands: Code, b: Code) -> list[str]:
        width, n = bands.aval.shape
        if width != 2 or not isinstance(n, int) or n < 2:
            return _cholesky(out, f"{_letter(b.aval)}pbsv", bands, b)
        info = code.local("info")
        solved = f"scipy.linalg.lapack.{_letter(b.aval)}ptsv({bands}[0], {bands}[1, :-1], {b})"
        return [f"{out}, {info} = {solved}[2:]", *_unless(out, info)]

    def cost(self, y: Any, bands: ShapedArray, b: ShapedArray) -> Any:
        width, n = bands.shape
        return n * width * (width + 4)


class LeastSquares(Primitive):
    """x that minimizes |A x - b|, for A (m, n) of rank n <= m, by QR, without ever squaring A; nan for a lower rank."""

    name = "least_squares"

    def infer(self, a: ShapedArray, b: ShapedArray) -> Aval:
        _fits(a, len(a.shape) == 2, "a matrix")
        _vector(b, a.shape[0], a)
        return ShapedArray(a.shape[1:], a.dtype)

    def statements(self, out: str, a: Code, b: Code) -> list[str]:
        r, info, small = map(code.local, ("r", "info", "small"))
        n = code.size(a.aval.shape[1])
        eps = f"max({a.atom}.shape) * np.finfo({r}.dtype).eps"
        return [
            f'{r} = np.linalg.qr(np.column_stack(({a}, {b})), mode="r")',  # its last column is Q.T @ b
            f"{small} = {eps} * np.sqrt((({r} * {r})[:{n}, :{n}]).sum(axis=0))",
            f"{out}, {info} = scipy.linalg.lapack.{_letter(b.aval)}trtrs({r}[:{n}, :{n}], {r}[:{n}, {n}])",
            f"if {info} > 0 or (np.abs({r}.diagonal()[:{n}]) <= {small}).any():",
            f"    {out} = np.full_like({out}, np.nan)",
        ]

    def cost(self, y: Any, a: ShapedArray, b: ShapedArray) -> Any:
        m, n = a.shape
        return 2 * m * n * n


def _fits(x: ShapedArray, good: bool, wanted: str) -> None:
    if not good or x.dtype.char not in "fd":
        raise ShapeError(f"the first operand is {x}. Give {wanted}, in float32 or float64")


def _vector(b: ShapedArray, n: Any, a: ShapedArray) -> ShapedArray:
    if len(b.shape) != 1 or b.dtype != a.dtype:
        raise ShapeError(f"the right-hand side is {b} and the matrix {a}. Give one vector of the same dtype")
    return ShapedArray((dims.require_equal(b.shape[0], n),), b.dtype)


def _cholesky(out: str, routine: str, a: Code, b: Code) -> list[str]:
    info = code.local("info")
    return [f"{out}, {info} = scipy.linalg.lapack.{routine}({a}, {b}, lower=1)[1:]", *_unless(out, info)]


def _unless(out: str, info: str) -> list[str]:
    return [f"if {info} > 0:", f"    {out} = np.full_like({out}, np.nan)"]


def _letter(aval: ShapedArray) -> str:
    """LAPACK's letter for a dtype."""
    return {"f": "s", "d": "d"}[aval.dtype.char]


_definite, _banded, _least = SolveDefinite(), SolveDefiniteBanded(), LeastSquares()


def solve_definite(a: Tensor, b: Tensor) -> Tensor:
    """x (n,) with A x = b for a symmetric positive definite A (n, n), of which the lower triangle is read; else nan."""
    return make(_definite, a, b)


def solve_definite_banded(bands: Tensor, b: Tensor) -> Tensor:
    """The same where A has only the diagonals 0, -1, ... (the rows of `bands`, aligned at their first value)."""
    return make(_banded, bands, b)


def least_squares(a: Tensor, b: Tensor) -> Tensor:
    """The x (n,) for which |A x - b| is least, A (m, n) of rank n <= m."""
    return make(_least, a, b)
