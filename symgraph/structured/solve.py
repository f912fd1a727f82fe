"""Solving H x = b by the structure of H.

a diagonal            b / d
blocks, kron(I, K)    one small system for each block, or one matrix for all of them
bands                 scipy.linalg.solve_banded, in time linear in n
diagonal + low rank   (D + U W)^-1 b = y - Y (I + W Y)^-1 W y,   y = D^-1 b,  Y = D^-1 U     (Woodbury)
anything else         the array, by LU, to which Woodbury's formula gives way where D is nearly singular
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Tensor, make
from ..dims import Shape, Size, prod, same
from ..dtypes import DType
from ..ops.banded import SolveBanded
from ..ops.late import F
from ..rewrite.contractions.order import nominal
from .bands import diagonal_of
from .dense import dense, placed
from .term import Factor, Label, Term, at, same_place

LOW = 4
"""A sum of outer products is of low rank where the matrix is this many times larger."""

SAFE = {4: 1e-3, 8: 1e-6}
"""How much smaller than the rest an element of the diagonal may be for Woodbury's formula, by the bytes of a number."""


def solve(terms: Sequence[Term], shape: Shape, b: Tensor, dtype: DType) -> Tensor:
    """x of shape `shape` with (sum of the terms) x = b."""
    shared = _diagonal_axes(terms, shape)
    if shared == set(range(len(shape))):
        return b / _values(terms, shape, dtype)
    if shared:
        return _by_blocks(terms, shape, shared, b, dtype)
    if len(shape) == 1:
        banded = _bands(terms, shape[0], dtype)
        if banded is not None:
            return make(SolveBanded(*banded[0]), *banded[1], b)
        split = low_rank(terms, shape[0])
        if split is not None:
            return _woodbury(*split, shape[0], b, dtype)
    n = prod(shape)
    parts = [dense(t, shape, shape, dtype) for t in terms]
    matrix = F.reshape(_sum(parts), (n, n))
    return F.reshape(F.solve(matrix, F.reshape(b, (n,))), shape)


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


# Diagonals and blocks ------------------------------------------------------------------------------------------------


def _diagonal_axes(terms: Sequence[Term], shape: Shape) -> set[int]:
    """The axes along which every term is diagonal."""
    return {
        i
        for i, n in enumerate(shape)
        if all(
            (t.rows[i].label is not None and same_place(t.rows[i], t.cols[i]) and t.is_full(t.rows[i], n)) or same(n, 1)
            for t in terms
        )
    }


def _values(terms: Sequence[Term], shape: Shape, dtype: DType) -> Tensor:
    return _sum([placed(t, t.rows, shape, dtype) for t in terms])


def _by_blocks(terms: Sequence[Term], shape: Shape, shared: set[int], b: Tensor, dtype: DType) -> Tensor:
    """One system over the other axes for each place along the shared ones; a single matrix where all are the same."""
    outer = [i for i in range(len(shape)) if i in shared]
    inner = [i for i in range(len(shape)) if i not in shared]
    size = prod(shape[i] for i in inner)
    b = F.transpose(b, (*outer, *inner))
    lead = tuple(shape[i] for i in outer)
    b = F.reshape(b, (*lead, size))
    varying = any(t.rows[i].label in labels for t in terms for i in outer for _, labels in t.factors)
    parts = []
    for t in terms:
        places = [*[t.rows[i] for i in outer if varying], *[t.rows[i] for i in inner], *[t.cols[i] for i in inner]]
        sizes = [*[shape[i] for i in outer if varying], *[shape[i] for i in inner] * 2]
        parts.append(placed(t, places, tuple(sizes), dtype))
    matrix = F.reshape(_sum(parts), (*(lead if varying else ()), size, size))
    if varying:
        x = F.squeeze(F.solve(matrix, F.expand_dims(b, -1)), -1)
    else:
        x = F.matrix_transpose(F.solve(matrix, F.reshape(b, (prod(lead), size)).T))
    x = F.reshape(x, (*lead, *[shape[i] for i in inner]))
    order = (*outer, *inner)
    return F.transpose(x, tuple(order.index(i) for i in range(len(shape))))


# Bands ---------------------------------------------------------------------------------------------------------------


def _bands(terms: Sequence[Term], n: Size, dtype: DType) -> tuple[tuple[tuple[int, ...]], list[Tensor]] | None:
    """The numbers of the diagonals and their values, if the matrix has nothing else."""
    found: dict[int, Tensor] = {}
    for t in terms:
        band = diagonal_of(t.rows[0], t.cols[0])
        if band is None:
            return None
        label, start, k = band
        if not same(start, max(-k, 0)) or not same(t.sizes[label], n - abs(k)):
            return None
        value = t.value((label,), dtype)
        found[k] = found[k] + value if k in found else value
    offsets = tuple(sorted(found, reverse=True))
    if not found or offsets[0] - offsets[-1] + 1 > max(nominal(n) / LOW, 3):
        return None
    return (offsets,), [found[k] for k in offsets]


# Diagonal plus low rank ----------------------------------------------------------------------------------------------


def low_rank(terms: Sequence[Term], n: Size) -> tuple[list[Term], list[tuple[Term, Label | None]]] | None:
    """The diagonal terms, and the others with the label over which they are sums of outer products (None for one)."""
    diagonal, outer, rank = [], [], 0.0
    for t in terms:
        row, col = t.rows[0].label, t.cols[0].label
        if row is None or col is None or not (same(t.sizes[row], n) and same(t.sizes[col], n)):
            return None
        if row == col:
            diagonal.append(t)
            continue
        if any(row in ls and col in ls for _, ls in t.factors):
            return None
        inner = {k for _, ls in t.factors for k in ls} - {row, col}
        if len(inner) > 1:
            return None
        label = inner.pop() if inner else None
        rank += nominal(t.sizes[label]) if label is not None else 1
        outer.append((t, label))
    if not diagonal or not outer or LOW * rank > nominal(n):
        return None
    return diagonal, outer


def _woodbury(
    diagonal: Sequence[Term], outer: Sequence[tuple[Term, Label | None]], n: Size, b: Tensor, dtype: DType
) -> Tensor:
    """By Woodbury's formula with one step of refinement; by LU where D has an element so small that the formula fails."""
    d = _values(diagonal, (n,), dtype)
    u, w = sides(outer, n, dtype)
    smallest, largest = F.min(abs(d)), F.max(abs(d) + F.sum(abs(u * w), axis=1))

    def by_woodbury() -> Tensor:
        scaled = u / F.expand_dims(d, 1)
        small = F.eye(u.shape[1], dtype=dtype) + w.T @ scaled

        def once(right: Tensor) -> Tensor:
            y = right / d
            return y - scaled @ F.solve(small, w.T @ y)

        x = once(b)
        return x + once(b - d * x - u @ (w.T @ x))

    def by_elimination() -> Tensor:
        return F.solve(F.diag(d) + u @ w.T, b)

    found: Tensor = F.cond(smallest > SAFE[dtype.itemsize] * largest, by_woodbury, by_elimination)
    return found


def sides(outer: Sequence[tuple[Term, Label | None]], n: Size, dtype: DType) -> tuple[Tensor, Tensor]:
    """U and W of n rows with U @ W.T = the sum of the terms, each a sum of outer products over its label."""
    columns, rows = [], []
    for t, label in outer:
        row, col = t.rows[0].labels[0], t.cols[0].labels[0]
        left = [f for f in t.factors if row in f[1] or col not in f[1]]
        right = [f for f in t.factors if col in f[1]]
        u = _side(left, row, label, n, t.sizes, dtype)
        columns.append(u if t.scale == 1 else u * t.scale)
        rows.append(_side(right, col, label, n, t.sizes, dtype))
    u, w = (x[0] if len(x) == 1 else F.concatenate(x, axis=1) for x in (columns, rows))
    return u, w


def _side(factors: Sequence[Factor], axis: Label, label: Label | None, n: Size, sizes: object, dtype: DType) -> Tensor:
    """The factors of one side as a matrix of n rows, one column for each outer product."""
    known: dict[Label, Size] = {**dict(sizes), axis: n}  # type: ignore[call-overload]
    output = (axis,) if label is None else (axis, label)
    term = Term(tuple(factors), tuple(map(at, output)), (), known)
    x = term.value(output, dtype)
    return F.expand_dims(x, 1) if label is None else x
