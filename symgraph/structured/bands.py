"""Bands in their normal form: values along a whole diagonal, so that those of one diagonal are added up as vectors.

The derivative of x[1:] - x[:-1] along part of the main diagonal, twice, is one diagonal: zeros are put around the part.
"""

from __future__ import annotations

from ..core import Tensor
from ..dims import Shape, Size, maximum, minimum, same
from ..dtypes import DType
from ..ops.late import F
from .term import Label, Place, Term, new_label


def as_bands(term: Term, y: Shape, x: Shape, dtype: DType) -> Term:
    """The term with every label that runs along part of a diagonal extended to the whole of it."""
    for i, row in enumerate(term.rows):
        for j, col in enumerate(term.cols):
            if row.labels and row.labels == col.labels:
                term = _extended(term, i, j, y[i], x[j], dtype)
    return term


def diagonal_of(row: Place, col: Place) -> tuple[Label, Size, int] | None:
    """The label that runs along a diagonal, where it starts, and the number of the diagonal (0 is the main one)."""
    if len(row.steps) != 1 or row.labels != col.labels or not (same(row.steps[0][1], 1) and same(col.steps[0][1], 1)):
        return None
    k = col.offset - row.offset
    return (row.labels[0], row.offset, k) if isinstance(k, int) else None


def length_of(k: int, rows: Size, columns: Size) -> Size:
    """The length of the k-th diagonal."""
    return maximum(minimum(rows + min(k, 0), columns - max(k, 0)), 0)


def _extended(term: Term, i: int, j: int, rows: Size, columns: Size, dtype: DType) -> Term:
    found = diagonal_of(term.rows[i], term.cols[j])
    if found is None:
        return term
    label, start, k = found
    first = max(-k, 0)
    length = length_of(k, rows, columns)
    places = (*term.rows[:i], *term.rows[i + 1 :], *term.cols[:j], *term.cols[j + 1 :])
    if (same(start, first) and same(term.sizes[label], length)) or any(label in p.labels for p in places):
        return term
    new = new_label()
    before = start - first
    factors = []
    for x, labels in term.factors:
        if label in labels:
            axis = labels.index(label)
            x, labels = _padded(x, axis, before, length), (*labels[:axis], new, *labels[axis + 1 :])
        factors.append((x, labels))
    if not any(new in labels for _, labels in factors):
        ones = F.ones((term.sizes[label],), dtype=dtype)
        factors.append((_padded(ones, 0, before, length), (new,)))
    sizes = {**{k: n for k, n in term.sizes.items() if k != label}, new: length}
    row, col = Place(first, ((new, 1),)), Place(first + k, ((new, 1),))
    return Term(
        tuple(factors),
        (*term.rows[:i], row, *term.rows[i + 1 :]),
        (*term.cols[:j], col, *term.cols[j + 1 :]),
        sizes,
        term.scale,
    )


def _padded(x: Tensor, axis: int, before: Size, length: Size) -> Tensor:
    """`x` with zeros around it along an axis."""
    after = length - before - x.shape[axis]
    widths = [(0, 0)] * x.ndim
    if isinstance(before, int) and isinstance(after, int):
        widths[axis] = (before, after)
        return F.pad(x, widths)
    shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
    place = (*[slice(None)] * axis, slice(before, before + x.shape[axis]))
    return F.zeros(shape, dtype=x.dtype).at[place].set(x)
