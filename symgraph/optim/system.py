"""The equations of a step, (H + S) p = b: a symmetric matrix over all the numbers of several variables, by its structure.

H comes as the structured blocks d2/du dv, S is a diagonal of damping. Sizes are known while the graph is built, for the
variables are parameters, and so is where H has values. What is chosen:

    variables that do not meet     a system for each group
    a diagonal                     b / d
    bands, small blocks, and what  Cholesky of a band matrix, O(n w^2) for w diagonals
    a permutation brings there
    diagonal + low rank            Woodbury's identity
    anything else                  Cholesky of the whole, O(n^3 / 3)

A matrix that is not positive definite gives nan: the step is then rejected and damped more (Nocedal and Wright,
Numerical Optimization, 2nd ed., section 3.4). For a low rank
the diagonal, the sign of the determinant and that of b.p are looked at: an even number of negative eigenvalues may pass.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Tensor
from ..dims import prod
from ..dtypes import DType
from ..implicit import joined, split
from ..ops.base import cast
from ..ops.definite import solve_definite, solve_definite_banded
from ..ops.late import F
from ..structured.solve import low_rank, sides
from ..structured.sparse import places_of
from ..structured.tensor import Structured
from ..structured.term import Label, Term, at, new_label

LOW = 4
"""A band is worth its own factorization where the matrix is this many times wider."""
SPARSE = 1 << 24
"""With more values than this a matrix is not looked through for a pattern."""

Numbers = np.ndarray[Any, Any]
Blocks = Sequence[Sequence[Structured]]


def solve_shifted(
    blocks: Blocks, xs: Sequence[Tensor], shifts: Sequence[Tensor], b: Sequence[Tensor], dtype: DType
) -> list[Tensor]:
    """p with (H + diag(shifts)) p = b; nan where the matrix is not positive definite.

    `shifts` and `b` have the shapes of the variables `xs`; all is computed in `dtype`.
    """
    found: list[Tensor | None] = [None] * len(xs)
    for group in _groups(blocks):
        sizes: list[Any] = [prod(xs[i].shape) for i in group]
        shift = joined([cast(F.broadcast_to(shifts[i], xs[i].shape), dtype) for i in group])
        right = joined([cast(b[i], dtype) for i in group])
        part = [[blocks[i][j] for j in group] for i in group]
        p = right if not sum(sizes) else _solve(part, sizes, shift, right, dtype)
        for i, x in zip(group, split(p, [xs[i] for i in group]), strict=True):
            found[i] = x
    return [x for x in found if x is not None]


def _groups(blocks: Blocks) -> list[list[int]]:
    """The variables that meet in a block which is not zero, directly or through others."""
    left = set(range(len(blocks)))
    groups = []
    while left:
        group, stack = set(), [min(left)]
        while stack:
            i = stack.pop()
            if i not in group:
                group.add(i)
                stack += [j for j in left if blocks[i][j].terms]
        groups.append(sorted(group))
        left -= group
    return groups


def _solve(blocks: Blocks, sizes: Sequence[int], shift: Tensor, b: Tensor, dtype: DType) -> Tensor:
    n = sum(sizes)
    known = _Pattern.of(blocks, sizes)
    if known is not None:
        order, width = known.arranged()
        if width == 0 or LOW * (width + 1) <= n:
            return _banded(known, order, width, shift, b, dtype)
    if len(blocks) == 1 and len(blocks[0][0].row_shape) == 1:
        low = low_rank([*blocks[0][0].terms, _diagonal(shift, n)], n)
        if low is not None:
            return _definite_woodbury(*low, n, b, dtype)
    rows = [
        [F.reshape(cast(block.dense(), dtype), (m, k)) for block, k in zip(row, sizes, strict=True)]
        for row, m in zip(blocks, sizes, strict=True)
    ]
    made = [row[0] if len(row) == 1 else F.concatenate(row, axis=1) for row in rows]
    matrix = made[0] if len(made) == 1 else F.concatenate(made, axis=0)
    return solve_definite(matrix + F.diag(shift), b)


# A matrix that is mostly zeros ---------------------------------------------------------------------------------------


class _Pattern:
    """Where the values of each term stand in the whole matrix: term, rows and columns."""

    def __init__(self, terms: list[tuple[Term, Numbers, Numbers]], n: int) -> None:
        self.terms = terms
        self.n = n

    @staticmethod
    def of(blocks: Blocks, sizes: Sequence[int]) -> _Pattern | None:
        """The pattern, unless the matrix is dense, or nearly so."""
        n = sum(sizes)
        terms = [t for row in blocks for block in row for t in block.terms]
        count = sum(prod(t.sizes[k] for k in t.outer) for t in terms)
        if LOW * count > n * n + LOW * n * len(terms) or count > SPARSE:
            return None
        starts = np.cumsum([0, *sizes])
        found = []
        for i, row in enumerate(blocks):
            for j, block in enumerate(row):
                for t in block.terms:
                    keys = places_of(t, block.row_shape, block.column_shape)
                    found.append((t, starts[i] + keys // sizes[j], starts[j] + keys % sizes[j]))
        return _Pattern(found, n)

    def arranged(self) -> tuple[Numbers, int]:
        """The new place of each number, and how far from the diagonal values then stand."""
        plain = np.arange(self.n)
        width = self._width(plain)
        if width == 0 or LOW * (width + 1) <= min(self.n, 64 * LOW):
            return plain, width
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import reverse_cuthill_mckee

        rows, columns = (np.concatenate([t[k] for t in self.terms]) for k in (1, 2))
        graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(self.n, self.n)).tocsr()
        order = reverse_cuthill_mckee(graph, symmetric_mode=True)
        place = np.empty(self.n, np.int64)
        place[order] = plain
        other = self._width(place)
        return (place, other) if other < width else (plain, width)

    def _width(self, place: Numbers) -> int:
        return max((int(np.abs(place[r] - place[c]).max(initial=0)) for _, r, c in self.terms), default=0)


def _banded(known: _Pattern, place: Numbers, width: int, shift: Tensor, b: Tensor, dtype: DType) -> Tensor:
    n = known.n
    moved = not np.array_equal(place, np.arange(n))
    order = np.argsort(place)
    shift, b = (x[order] if moved else x for x in (shift, b))
    bands = _bands(known, place, width, dtype)
    if width == 0:
        d = bands + shift
        p = F.where(d > 0, b / d, np.nan)
    else:
        bands = F.reshape(bands, (width + 1, n)).at[0].add(shift)
        p = solve_definite_banded(bands, b)
    return p[place] if moved else p


def _bands(known: _Pattern, place: Numbers, width: int, dtype: DType) -> Tensor:
    """The lower diagonals one after another, each aligned at its first value."""
    n = known.n
    data = F.zeros(((width + 1) * n,), dtype=dtype)
    written = np.zeros((width + 1) * n, bool)
    for term, rows, columns in known.terms:
        r, c = place[rows], place[columns]
        lower = np.flatnonzero(r >= c)
        if not len(lower):
            continue
        value = cast(F.ravel(term.value(term.outer, dtype)), dtype)
        value = value if len(lower) == len(r) else value[lower]
        spots = (r - c)[lower] * n + c[lower]
        straight = bool((np.diff(spots) == 1).all())
        once = straight or len(np.unique(spots)) == len(spots)
        if len(spots) == len(written) and straight:
            data = value if not written.any() else data + value
        else:
            target = data.at[slice(int(spots[0]), int(spots[-1]) + 1) if straight else spots]
            data = target.set(value) if once and not written[spots].any() else target.add(value)
        written[spots] = True
    return data


# Diagonal plus low rank ----------------------------------------------------------------------------------------------


def _diagonal(shift: Tensor, n: int) -> Term:
    k = new_label()
    return Term(((shift, (k,)),), (at(k),), (at(k),), {k: n})


def _definite_woodbury(
    diagonal: Sequence[Term], outer: Sequence[tuple[Term, Label | None]], n: int, b: Tensor, dtype: DType
) -> Tensor:
    """y - Y (I + W Y)^-1 W y for D + U W, with y = D^-1 b and Y = D^-1 U; its determinant is det D det(I + W Y)."""
    values = [cast(t.value((t.rows[0].labels[0],), dtype), dtype) for t in diagonal]
    d = functools.reduce(operator.add, values)
    u, w = (cast(x, dtype) for x in sides(outer, n, dtype))
    y, scaled = b / d, u / F.expand_dims(d, 1)
    small = F.eye(u.shape[1], dtype=dtype) + w.T @ scaled
    p = y - scaled @ F.solve(small, w.T @ y)
    good = F.all(d > 0) & (F.slogdet(small).sign > 0) & (F.sum(b * p) >= 0)
    return F.where(good, p, np.nan)
