"""One factorization for several systems with the same matrix: P A = L U, from which A X = B and A^T X = B cost n^2 each.

The compiler writes these where a matrix is solved against more than once, forward and transposed alike, or is triangular
(see `symgraph.rewrite.factorizations`), after everything has been differentiated. LAPACK's routines are called directly:
they tell a singular matrix by a number, for which NumPy's `LinAlgError` is raised, and cost little for small matrices.
Their matrices lie column by column: a matrix of NumPy's is their transpose as it stands, and no copy is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import dims
from ..core import Aval, Item, ShapedArray, Tensor, make
from ..dtypes import is_complex
from . import code
from .base import Primitive, evaluate_source
from .code import Code
from .late import F

__all__: list[str] = []


class FactorLU(Primitive):
    """(LU, pivots) of a square matrix: LAPACK's getrf."""

    name = "lu_factor"

    def infer(self, a: ShapedArray) -> Aval:
        return a, ShapedArray(a.shape[:1], np.dtype(np.int32))

    def statements(self, out: str, a: Code) -> list[str]:
        size = a.aval.shape[0]
        made = f"scipy.linalg.lapack.{_letter(a.aval)}getrf({a})"
        if not isinstance(size, int):  # LAPACK has no empty matrices
            made = f"{made} if {code.size(size).within(code.TERNARY + 1)} else ({a}, np.empty(0, np.int32), 0)"
        return [f"{out} = {made}", f"if {out}[2] > 0:", '    raise np.linalg.LinAlgError("Singular matrix")']

    def evaluate(self, *values: Any) -> Any:
        if not values[0].size:
            return values[0], np.empty(0, np.int32)
        return tuple(evaluate_source(self, values)[:2])

    def cost(self, y: Any, a: ShapedArray) -> Any:
        return 2 * dims.prod(a.shape) * a.shape[-1] // 3


@dataclass(frozen=True)
class SolveLU(Primitive):
    """X with A X = B, or A^T X = B, from the factors of A: LAPACK's getrs."""

    transposed: Literal[0, 1] = 0
    name = "lu_solve"

    def infer(self, lu: ShapedArray, pivots: ShapedArray, b: ShapedArray) -> Aval:
        return ShapedArray(b.shape, lu.dtype)

    def numpy(self, lu: Code, pivots: Code, b: Code) -> Code:
        routine = f"scipy.linalg.lapack.{_letter(lu.aval)}getrs"
        made = code.index(code.call(routine, lu, pivots, b, trans=self.transposed or None), 0)
        if len(b.aval.shape) > 1:  # LAPACK's matrices lie column by column
            made = code.call("np.ascontiguousarray", made)
        sizes = [n for n in b.aval.shape if not isinstance(n, int)]
        if not sizes:
            return made
        test = " and ".join(dict.fromkeys(code.size(n).within(code.AND) for n in sizes))
        return Code(f"{made} if {test} else {b.atom}.copy()", code.TERNARY)

    def evaluate(self, *values: Any) -> Any:
        return evaluate_source(self, values) if values[2].size else values[2]

    def cost(self, y: Any, lu: ShapedArray, pivots: ShapedArray, b: ShapedArray) -> Any:
        return 2 * lu.shape[0] * dims.prod(b.shape)


@dataclass(frozen=True)
class SolveTriangle(Primitive):
    """X with T X = B, or T^T X = B, for a triangle T of a matrix: LAPACK's trtrs, or BLAS's trsm for several columns."""

    below: bool
    transposed: Literal[0, 1] = 0
    unit: bool = False
    name = "solve_triangle"

    def infer(self, a: ShapedArray, b: ShapedArray) -> Aval:
        return ShapedArray(b.shape, a.dtype)

    def statements(self, out: str, a: Code, b: Code) -> list[str]:
        turned, letter = Code(f"{a.atom}.T"), _letter(a.aval)
        lower, unit = int(not self.below), int(self.unit)
        sizes = [code.size(n).within(code.AND) for n in b.aval.shape if not isinstance(n, int)]
        guard = " and ".join(dict.fromkeys(sizes))
        if b.aval.ndim > 1:
            told = {"side": 1, "lower": lower or None, "trans_a": self.transposed or None, "diag": unit or None}
            made = code.call(f"scipy.linalg.blas.{letter}trsm", 1.0, turned, Code(f"{b.atom}.T"), **told)
            check = f"not {a.atom}.diagonal().all()"
            lines = [f"{out} = {made}.T" + (f" if {guard} else {b.atom}.copy()" if guard else "")]
        else:
            info = code.local("info")
            told = {"lower": lower or None, "trans": 1 - self.transposed or None, "unitdiag": unit or None}
            made = code.call(f"scipy.linalg.lapack.{letter}trtrs", turned, b, **told)
            check = f"{info} > 0"
            lines = [f"{out}, {info} = {made}" + (f" if {guard} else ({b.atom}.copy(), 0)" if guard else "")]
        if self.unit:
            return lines
        return [*lines, f"if {check}:", '    raise np.linalg.LinAlgError("Singular matrix")']

    def evaluate(self, *values: Any) -> Any:
        return evaluate_source(self, values) if values[1].size else values[1]

    def cost(self, y: Any, a: ShapedArray, b: ShapedArray) -> Any:
        return a.shape[0] * dims.prod(b.shape)


class InverseFromCholesky(Primitive):
    """The inverse of A = L L^T, from L with zeros above its diagonal: LAPACK's potri, which gives one triangle."""

    name = "inv_from_cholesky"

    def infer(self, factor: ShapedArray) -> Aval:
        return factor

    def statements(self, out: str, factor: Code) -> list[str]:
        part, first = self._part(factor)
        return [first, f"{out} = {part} + {part}.T", f"np.fill_diagonal({out}, {part}.diagonal())"]

    def into(self, out: str, *xs: Code) -> list[str]:
        part, first = self._part(*xs)
        return [first, f"np.add({part}, {part}.T, out={out})", f"np.fill_diagonal({out}, {part}.diagonal())"]

    def _part(self, factor: Code) -> tuple[str, str]:
        """The name of one triangle of the inverse, zeros across, and the statement that computes it."""
        n = factor.aval.shape[0]
        part = code.local("part")
        made = f"scipy.linalg.lapack.{_letter(factor.aval)}potri({factor.atom}.T)[0]"
        guard = "" if isinstance(n, int) else f" if {code.size(n).within(code.TERNARY + 1)} else {factor}"
        return part, f"{part} = {made}{guard}"

    def evaluate(self, *values: Any) -> Any:
        return evaluate_source(self, values) if values[0].size else values[0]

    def cost(self, y: Any, factor: ShapedArray) -> Any:
        return 2 * dims.prod(factor.shape) * factor.shape[-1] // 3


def _letter(aval: ShapedArray) -> str:
    """LAPACK's letter for a dtype."""
    return {"f": "s", "d": "d", "F": "c", "D": "z"}[aval.dtype.char]


_factor = FactorLU()


def lu_factor(a: Tensor) -> tuple[Tensor, Tensor]:
    """The factors of a square matrix, and the rows that were exchanged."""
    made = make(_factor, a)
    return make(Item(0), made), make(Item(1), made)


def lu_solve(factors: tuple[Tensor, Tensor], b: Tensor, transposed: bool = False) -> Tensor:
    """The solution of a system whose matrix has been factored, or of the transposed system; b (n,) or (n, k)."""
    return make(SolveLU(1 if transposed else 0), *factors, b)


def inv_from_cholesky(factor: Tensor) -> Tensor:
    """The inverse of `factor @ factor.T`, for the lower triangular (n, n) result of a Cholesky factorization of real A."""
    return make(InverseFromCholesky(), factor)


def lu_slogdet(factors: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The sign of the determinant of a factored matrix, and the logarithm of its absolute value."""
    diagonal = F.diagonal(factors[0])
    sizes = F.abs(diagonal)
    signs = diagonal / sizes if is_complex(diagonal.dtype) else F.sign(diagonal)
    return _exchanged(factors) * F.prod(signs), F.sum(F.log(sizes))


def lu_det(factors: tuple[Tensor, Tensor]) -> Tensor:
    """The determinant of a factored matrix."""
    return _exchanged(factors) * F.prod(F.diagonal(factors[0]))


def _exchanged(factors: tuple[Tensor, Tensor]) -> Tensor:
    """-1 for an odd number of exchanged rows, else 1."""
    lu, pivots = factors
    swaps = F.count_nonzero(F.not_equal(pivots, F.arange(lu.shape[0])))
    return F.cast(1 - 2 * (swaps % 2), lu.dtype)
