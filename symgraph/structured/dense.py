"""A term as an array: values on the diagonals, bands and blocks where its places say, zeros elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core import Tensor, make
from ..dims import Shape, same
from ..dtypes import DType
from ..ops.diagonal import DiagonalMatrix
from ..ops.einsum import contraction
from ..ops.late import F
from .bands import diagonal_of, length_of
from .term import Label, Labels, Place, Term, at


def dense(term: Term, y: Shape, x: Shape, dtype: DType) -> Tensor:
    """The term as an array of shape y + x."""
    if not term.factors and term.scale == 1 and len(term.rows) == len(term.cols) == 1:
        row, col = term.rows[0].label, term.cols[0].label
        if row is not None and row == col and term.is_full(term.rows[0], y[0]) and same(y[0], x[0]):
            return F.eye(y[0], dtype=dtype)
    if len(term.rows) == len(term.cols) == 1:
        found = diagonal_of(term.rows[0], term.cols[0])
        if found is not None and found[2]:
            label, start, k = found
            if same(start, max(-k, 0)) and same(term.sizes[label], length_of(k, y[0], x[0])):
                return make(DiagonalMatrix(k, y[0], x[0]), term.value((label,), dtype))
    return placed(term, (*term.rows, *term.cols), (*y, *x), dtype)


def dense_rows(term: Term, columns: Labels, y: Shape, dtype: DType) -> Tensor:
    """The term with one axis for each label of its columns, and then the axes of the rows."""
    places = (*[at(k) for k in columns], *term.rows)
    return placed(term, places, (*[term.sizes[k] for k in columns], *y), dtype)


def placed(term: Term, places: Sequence[Place], shape: Shape, dtype: DType) -> Tensor:
    """The values of a term at their places in an array of zeros."""
    labels = tuple(dict.fromkeys(k for p in places for k in p.labels))
    value = term.value(labels, dtype)
    if all(term.is_full(p, n) for p, n in zip(places, shape, strict=True)):
        output = tuple(p.labels[0] for p in places if p.steps)
        if output != labels:
            value = contraction([labels], output, [value])
        missing = tuple(i for i, p in enumerate(places) if not p.steps)
        return F.expand_dims(value, missing) if missing else value
    return _scattered(term, value, labels, places, shape, dtype)


def _scattered(
    term: Term, value: Tensor, labels: Labels, places: Sequence[Place], shape: Shape, dtype: DType
) -> Tensor:
    index = tuple(positions(term, p, labels) for p in places)
    target = F.zeros(shape, dtype=dtype).at[index]
    return target.set(value) if all(_is_injective(k, places) for k in labels) else target.add(value)


def positions(term: Term, place: Place, labels: Labels) -> Any:
    """The places along one axis, as an integer or an array of them that broadcasts over the axes of `labels`."""
    if not place.steps:
        return place.offset
    total: Any = None
    for k, step in place.steps:
        i = F.arange(term.sizes[k])
        i = i if same(step, 1) else i * step
        after = len(labels) - 1 - labels.index(k)
        i = F.expand_dims(i, tuple(range(-after, 0))) if after else i
        total = i if total is None else total + i
    return total if same(place.offset, 0) else total + place.offset


def _is_injective(label: Label, places: Sequence[Place]) -> bool:
    """Whether different values of the label are certainly at different places: it stands alone along some axis."""
    return any(p.labels == (label,) for p in places)
