"""Linear algebra under NumPy's names: `sg.linalg.solve`, `sg.linalg.norm`, ... and `np.linalg.solve(tensor, ...)`."""

from .ops.contract import cross, matmul, multi_dot, outer, tensordot, trace, vecdot
from .ops.diagonal import diagonal
from .ops.linalg import cholesky, det, eigh, eigvalsh, inv, matrix_power, qr, slogdet, solve
from .ops.norm import norm
from .ops.shape import matrix_transpose

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_power", "matrix_transpose",
    "multi_dot", "norm", "outer", "qr", "slogdet", "solve", "tensordot", "trace", "vecdot",
]  # fmt: skip
