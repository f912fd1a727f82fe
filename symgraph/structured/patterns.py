"""Patterns: sparse matrices of booleans, (size of a node, size of the seed), and how contractions and moves change them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core import Tensor, located_error
from ..errors import ShapeError

Numbers = np.ndarray[Any, Any]
Pattern = Any
"""A `scipy.sparse.csr_array` of bool."""
MOST_VALUES = 1 << 28
"""A pattern with more places than this is refused."""


def sizes_of(x: Tensor) -> tuple[int, ...]:
    """The shape, which holds numbers only."""
    return tuple(int(n) for n in x.shape)


def size_of(x: Tensor) -> int:
    """The number of elements."""
    return math.prod(sizes_of(x))


def identity(n: int) -> Pattern:
    return selection(np.arange(n), n)


def nothing(rows: int, columns: int) -> Pattern:
    from scipy.sparse import csr_array

    return csr_array((rows, columns), dtype=bool)


def width(patterns: Any) -> int:
    columns: int = next(iter(patterns)).shape[1]
    return columns


def as_csr(pattern: Any) -> Pattern:
    """In normal form: every place once, in order, and no place that is False."""
    found = pattern.tocsr().astype(bool)
    found.sum_duplicates()
    found.eliminate_zeros()
    found.sort_indices()
    return found


def selection(index: Numbers, columns: int) -> Pattern:
    """The matrix that takes row `index[k]` as its k-th, and zeros for -1."""
    from scipy.sparse import csr_array

    there = index >= 0
    indptr = np.concatenate([[0], np.cumsum(there)])
    return csr_array((np.ones(int(indptr[-1]), bool), index[there], indptr), shape=(len(index), columns))


def selected(p: Pattern, index: Numbers) -> Pattern:
    """The rows of `p` at these places, empty for -1."""
    if len(index) == p.shape[0] and np.array_equal(index, np.arange(len(index))):
        return p
    refuse_too_many(np.diff(p.indptr)[index[index >= 0]].sum(dtype=np.int64), (len(index), p.shape[1]))
    return selection(index, p.shape[0]) @ p


def collected(p: Pattern, index: Numbers, rows: int) -> Pattern:
    """Row k of `p` joined into row `index[k]`, and left out for -1."""
    return selection(index, rows).T.tocsr() @ p


def union(patterns: Sequence[Pattern], y: Tensor) -> Pattern:
    """Wherever one of them is True; the first itself if the others add nothing."""
    total = patterns[0]
    for p in patterns[1:]:
        if p is not total and p.nnz:
            both = total + p
            total = both if both.nnz != total.nnz else total
    return total


def refuse_too_many(count: int, shape: tuple[int, int]) -> None:
    if count > MOST_VALUES:
        rule = (
            f"the derivative {shape} has {count:.2e} places that may differ from zero: it is not sparse; use jvp or vjp"
        )
        raise located_error(ShapeError, "sparsity", [], rule)


# Labels --------------------------------------------------------------------------------------------------------------

Labels = tuple[Any, ...]
Table = dict[Any, Numbers]
"""Coordinates, one array for each label: the places where a factor may differ from zero."""


def labelled(
    p: Pattern,
    inside: Labels,
    outside: Labels,
    sizes: Mapping[Any, int],
    supports: Sequence[tuple[Labels, Numbers]] = (),
) -> Pattern:
    """A contraction: a result depends on the elements that agree with it in every label that both have, and for which
    no factor is certainly zero."""
    unique = tuple(dict.fromkeys(inside))
    if len(unique) < len(inside):
        p = selected(p, _flat(unique, inside, sizes))
    table: Table = {}
    for labels, there in supports:
        table = joined(table, _coordinates(labels, there), sizes)
    kept = tuple(k for k in unique if k in outside or k in table)
    if len(kept) < len(unique):
        p = collected(p, _flat(unique, kept, sizes), _volume(kept, sizes))
    have = kept
    if table:
        for k in kept:
            if k not in table:
                table = joined(table, {k: np.arange(sizes[k])}, sizes)
        have = tuple(dict.fromkeys(k for k in outside if k in table))
        p = _relation(table, have, kept, sizes) @ p
    return selected(p, _flat(outside, have, sizes))


def _volume(labels: Labels, sizes: Mapping[Any, int]) -> int:
    return int(np.prod([sizes[k] for k in labels], dtype=np.int64))


def _flat(over: Labels, labels: Labels, sizes: Mapping[Any, int]) -> Numbers:
    """For each place of an array with the axes `over`, its place in one with the axes `labels`; where a label that
    `over` has twice differs, -1."""
    grid: dict[Any, Numbers] = {}
    apart: Any = False
    for axis, k in enumerate(over):
        here = np.arange(sizes[k]).reshape(-1, *[1] * (len(over) - 1 - axis))
        if k in grid:
            apart = apart | (grid[k] != here)
        else:
            grid[k] = here
    flat: Any = np.int64(0)
    for k in labels:
        flat = flat * sizes[k] + grid[k]
    found: Numbers = np.broadcast_to(np.where(apart, -1, flat), [sizes[k] for k in over]).ravel()
    return found


def _coordinates(labels: Labels, there: Numbers) -> Table:
    """The places of one factor."""
    found: Table = {}
    keep = np.ones(int(there.sum()), bool)
    for k, place in zip(labels, np.nonzero(there), strict=True):
        if k in found:
            keep &= found[k] == place
        else:
            found[k] = place
    return {k: place[keep] for k, place in found.items()}


def joined(a: Table, b: Table, sizes: Mapping[Any, int]) -> Table:
    """All pairs of places that agree in the labels that both have; `a` is everywhere where it has no labels."""
    if not a or not b:
        return a or b
    shared = [k for k in a if k in b]
    left: Any = np.zeros(len(next(iter(a.values()))), np.int64)
    right: Any = np.zeros(len(next(iter(b.values()))), np.int64)
    for k in shared:
        left, right = left * sizes[k] + a[k], right * sizes[k] + b[k]
    order = np.argsort(right, kind="stable")
    low, high = (np.searchsorted(right[order], left, side=s) for s in ("left", "right"))
    counts = high - low
    total = int(counts.sum())
    refuse_too_many(total, (len(left), len(right)))
    of_a = np.repeat(np.arange(len(left)), counts)
    of_b = order[np.repeat(low - (np.cumsum(counts) - counts), counts) + np.arange(total)]
    return {k: v[of_a] for k, v in a.items()} | {k: v[of_b] for k, v in b.items() if k not in a}


def _relation(table: Table, rows: Labels, columns: Labels, sizes: Mapping[Any, int]) -> Pattern:
    from scipy.sparse import csr_array

    count = len(next(iter(table.values())))
    places = []
    for labels in (rows, columns):
        flat: Any = np.zeros(count, np.int64)
        for k in labels:
            flat = flat * sizes[k] + table[k]
        places.append(flat)
    shape = (_volume(rows, sizes), _volume(columns, sizes))
    return csr_array((np.ones(count, bool), tuple(places)), shape=shape)
