r"""What NumPy's broadcasting is in matrix notation: a row added to every row of X is \mathbf{1} b^{\top}, a column times X is
\operatorname{diag}(d) X. Arrays of more than two axes are written as NumPy would."""

from __future__ import annotations

from ..dims import Shape, same, same_shape
from .pieces import ONES, Piece, diagonal, product, scaled


def ones(shape: Shape) -> Piece:
    r"""The array of ones of a shape: \mathbf{1}, and \mathbf{1} \mathbf{1}^{\top} for a matrix."""
    wide = _wide(shape)
    if wide == "matrix":
        return product([ONES, ONES.turned])
    return ONES.turned if wide == "row" else ONES


def _wide(shape: Shape) -> str:
    """Whether the notation takes an array for a column, a row, a matrix, or none of these."""
    if len(shape) == 1:
        return "column"
    if len(shape) == 2:
        if same(shape[1], 1):
            return "column"
        return "row" if same(shape[0], 1) else "matrix"
    return "scalar" if not shape else "array"


def stretched(x: Piece, given: Shape, shape: Shape) -> Piece:
    """x broadcast from the shape it has: a number becomes a vector or matrix of it, a vector one of its copies."""
    if same_shape(given, shape) or x.is_zero:
        return x
    if len(shape) == 1 or (len(shape) == 2 and not given):
        return scaled(x, ones(shape)) if not given else x
    if len(shape) == 2:
        if len(given) == 1:
            return product([ONES, x.turned]) if not same(shape[0], 1) else x.turned
        if same(given[0], 1) and same(given[1], 1):
            return scaled(x, ones(shape))
        if same(given[1], 1):
            return product([x, ONES.turned])
        return product([ONES, x])
    return x


def aligned(x: Piece, given: Shape, shape: Shape) -> Piece:
    """An operand of an elementwise function: a scalar stays one."""
    return x if not given else stretched(x, given, shape)


def as_diagonal(x: Piece, given: Shape, shape: Shape) -> tuple[str, Piece] | None:
    """The side and the matrix to multiply by, where a vector scales the rows (left) or the columns (right) of a matrix."""
    if len(shape) != 2 or same_shape(given, shape) or _wide(shape) != "matrix":
        return None
    if len(given) == 1:
        return "right", diagonal(x)
    if len(given) == 2 and same(given[1], 1) and not same(given[0], 1):
        return "left", diagonal(x)
    if len(given) == 2 and same(given[0], 1) and not same(given[1], 1):
        return "right", diagonal(x.turned)
    return None
