"""A structured derivative as a sparse matrix: where its values are is known when the graph is built.

The pattern (`indices`, `indptr`) is computed once from the places of the terms; what is left for the compiled function is to
write the values of each term at their places of `data`. For a band those places are every k-th, and the write is a slice.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..core import Tensor, located_error, make
from ..dims import Shape, Size, variables
from ..errors import ShapeError
from ..ops.assembly import Of
from ..ops.late import F
from ..pytree import Compound
from .term import Place, Term

MOST_VALUES = 1 << 28
"""More values than this (2 GiB in float64) are refused."""

Numbers = np.ndarray[Any, Any]


class CSR(Compound):
    """A sparse matrix whose pattern is known and whose `data` is a tensor; a function returns `scipy.sparse.csr_array`."""

    def __init__(self, data: Any, indices: Numbers, indptr: Numbers, shape: tuple[int, int]) -> None:
        self.data = data
        self.indices = indices
        self.indptr = indptr
        self.shape = shape
        for pattern in (indices, indptr):
            pattern.flags.writeable = False  # the matrices that a function returns share it

    @property
    def nnz(self) -> int:
        """The number of values that may differ from zero."""
        return len(self.indices)

    def parts(self) -> list[Any]:
        return [self.data]

    def rebuilt(self, parts: list[Any]) -> Any:
        (data,) = parts
        if not isinstance(data, np.ndarray):
            return CSR(data, self.indices, self.indptr, self.shape)
        made = copy.copy(self._template)
        made.data = data
        return made

    @cached_property
    def _template(self) -> Any:
        """A matrix of the pattern: SciPy checks it once, not in every call."""
        from scipy.sparse import csr_array

        return csr_array((np.zeros(self.nnz), self.indices, self.indptr), shape=self.shape)

    def __repr__(self) -> str:
        return f"CSR(shape={self.shape}, nnz={self.nnz})"


def csr(terms: Sequence[Term], y: Shape, x: Shape, of: Tensor) -> CSR:
    """The matrix of shape (size of y, size of x) that is the sum of the terms, a derivative `of` something."""
    known = variables(*y, *x)
    if known:
        names = ", ".join(sorted(v.name for v in known))
        rule = f"a sparse matrix needs sizes that are known while the graph is built, not {names}; give them as ints"
        raise located_error(ShapeError, "csr", [of], rule)
    rows, columns = (math.prod(_ints(s)) for s in (y, x))
    total = sum(math.prod(_ints(t.sizes[k] for k in t.outer)) for t in terms)
    if total > MOST_VALUES:
        rule = f"the matrix ({rows}, {columns}) would hold {total:.2e} values; use matvec, which needs none of them"
        raise located_error(ShapeError, "csr", [of], rule)
    keys = [places_of(t, y, x) for t in terms]
    pattern = np.unique(np.concatenate(keys)) if keys else np.empty(0, np.int64)
    indptr = np.searchsorted(pattern, np.arange(rows + 1, dtype=np.int64) * columns)
    small = max(len(pattern), columns) < 2**31
    indices = (pattern % max(columns, 1)).astype(np.int32 if small else np.int64)
    data = _data(terms, [np.searchsorted(pattern, k) for k in keys], len(pattern), of)
    return CSR(make(Of(), data, of), indices, indptr.astype(indices.dtype), (rows, columns))


def _ints(shape: Iterable[Size]) -> list[int]:
    return [operator.index(n) for n in shape]


def places_of(term: Term, y: Shape, x: Shape) -> Numbers:
    """For each value of a term, with the labels in their order, its row * number of columns + its column."""
    labels = term.outer
    total = np.zeros(_ints(term.sizes[k] for k in labels), np.int64)
    for place, size in zip((*term.rows, *term.cols), (*y, *x), strict=True):
        total = total * size + _along(term, place, labels)
    return total.ravel()


def _along(term: Term, place: Place, labels: Sequence[int]) -> Any:
    found: Any = place.offset
    for k, step in place.steps:
        after = len(labels) - 1 - labels.index(k)
        (size,) = _ints([term.sizes[k]])
        found = found + step * np.arange(size, dtype=np.int64).reshape(-1, *[1] * after)
    return found


def _data(terms: Sequence[Term], positions: Sequence[Numbers], count: int, of: Tensor) -> Tensor:
    """The values of all terms, each written at its positions; added where another term has been."""
    if len(terms) == 1 and np.array_equal(positions[0], np.arange(count)):
        return F.ravel(terms[0].value(terms[0].outer, of.dtype))
    data = F.zeros((count,), dtype=of.dtype)
    written = np.zeros(count, bool)
    for term, at in zip(terms, positions, strict=True):
        value = F.ravel(term.value(term.outer, of.dtype))
        once = len(np.unique(at)) == len(at)
        place = data.at[_progression(at)]
        data = place.set(value) if once and not written[at].any() else place.add(value)
        written[at] = True
    return data


def _progression(at: Numbers) -> Any:
    """The positions as a slice, if they are every k-th."""
    if len(at) > 1:
        step = int(at[1] - at[0])
        if step > 0 and bool((np.diff(at) == step).all()):
            return slice(int(at[0]), int(at[-1]) + 1, step)
    return at
