"""Linear algebra under NumPy's names: `sg.linalg.solve`, `sg.linalg.norm`, ... and `np.linalg.solve(tensor, ...)`.

As in NumPy, `linalg.diagonal` and `linalg.trace` are of the matrices in the last two axes, where `diagonal` and `trace` without
`linalg` take the first two; and `linalg.outer` is of vectors alone, where `outer` flattens what it is given.
`cho_factor`, `cho_solve` and `solve_triangular` are here under SciPy's names.
"""

from __future__ import annotations

from typing import Any

from .core import Tensor, located_error
from .errors import ShapeError
from .ops.base import as_tensor
from .ops.contract import cross, matmul, multi_dot, tensordot, vecdot
from .ops.late import F
from .ops.linalg import cholesky, det, eigh, eigvalsh, inv, matrix_power, qr, slogdet, solve
from .ops.norm import norm
from .ops.shape import matrix_transpose
from .ops.singular import cond, lstsq, matrix_rank, pinv, svd, svdvals
from .ops.triangular import cho_factor, cho_solve, solve_triangular

__all__ = [
    "cho_factor", "cho_solve", "cholesky", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "lstsq",
    "matmul", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr",
    "slogdet", "solve", "solve_triangular", "svd", "svdvals", "tensordot", "trace", "vecdot",
]  # fmt: skip


def diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """The diagonals of the matrices in the last two axes: y[..., i] = x[..., i, i + offset]."""
    return F.diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sums of the diagonals of the matrices in the last two axes: the sum over i of x[..., i, i + offset]."""
    return F.trace(x, offset, -2, -1, dtype)


def outer(x1: Any, x2: Any, /) -> Tensor:
    """The products of all pairs of elements of two vectors: y[i, j] = x1[i] * x2[j]. Raises `ShapeError` for others."""
    x, y = as_tensor(x1), as_tensor(x2)
    if x.ndim != 1 or y.ndim != 1:
        rule = "linalg.outer is of two vectors. symgraph.outer flattens what it is given, and np.multiply.outer keeps all axes"
        raise located_error(ShapeError, "outer", [x, y], rule)
    return F.outer(x, y)
