"""One factorization for several systems with the same matrix: P A = L U, from which A X = B and A^T X = B cost n^2 each.

The compiler writes these where a matrix is solved against more than once, forward and transposed alike (see
`symgraph.rewrite.factorizations`), after everything has been differentiated. LAPACK's routines are called directly: they
tell a singular matrix by a number, for which NumPy's `LinAlgError` is raised, and cost little for small matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import dims
from ..core import Aval, Item, ShapedArray, Tensor, make
from . import code
from .base import Primitive, evaluate_source
from .code import Code

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
        test = " and ".join(code.size(n).within(code.AND) for n in sizes)
        return Code(f"{made} if {test} else {b.atom}.copy()", code.TERNARY)

    def evaluate(self, *values: Any) -> Any:
        return evaluate_source(self, values) if values[2].size else values[2]

    def cost(self, y: Any, lu: ShapedArray, pivots: ShapedArray, b: ShapedArray) -> Any:
        return 2 * lu.shape[0] * dims.prod(b.shape)


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
