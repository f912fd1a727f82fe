"""Sums of terms kept short: equal structures are added in the factor in which they differ.

    A.T diag(u) A + A.T diag(v) A  =  A.T diag(u + v) A

Without it the terms of a graph with branches, such as a residual network, would double at every join.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from ..core import Tensor
from ..dtypes import DType
from .term import Factor, Label, Labels, Place, Term

MOST_ALIKE = 6
"""More terms than this over the same axes are added up as arrays."""


def merged(terms: Sequence[Term], dtype: DType) -> list[Term]:
    """The same sum with fewer terms; those that cancel are gone."""
    if len(terms) < 2:
        return list(terms)
    groups: dict[Hashable, list[Term]] = {}
    for term in terms:
        group = groups.setdefault(pattern(term), [])
        term = _with_labels_of(term, group[0]) if group else term
        for i, other in enumerate(group):
            both = _sum(other, term)
            if both is not None:
                group[i] = both
                break
        else:
            group.append(term)
    found: list[Term] = []
    for group in groups.values():
        kept = [t for t in group if t.scale != 0]
        found += [_added(kept, dtype)] if len(kept) > MOST_ALIKE else kept
    return found


def pattern(term: Term) -> Hashable:
    """How the axes hang together, whatever the labels are called."""
    numbers: dict[Label, int] = {}

    def named(place: Place) -> Hashable:
        return str(place.offset), tuple((numbers.setdefault(k, len(numbers)), str(s)) for k, s in place.steps)

    rows, cols = tuple(map(named, term.rows)), tuple(map(named, term.cols))
    return rows, cols, tuple(str(term.sizes[k]) for k in numbers)


def renamed(term: Term, names: dict[Label, Label]) -> Term:
    """The term with other labels."""

    def place(p: Place) -> Place:
        return Place(p.offset, tuple((names.get(k, k), s) for k, s in p.steps))

    return replace(
        term,
        factors=tuple((x, tuple(names.get(k, k) for k in labels)) for x, labels in term.factors),
        rows=tuple(map(place, term.rows)),
        cols=tuple(map(place, term.cols)),
        sizes={names.get(k, k): n for k, n in term.sizes.items()},
    )


def _with_labels_of(term: Term, model: Term) -> Term:
    return renamed(term, dict(zip(term.outer, model.outer, strict=True)))


def _sum(a: Term, b: Term) -> Term | None:
    """a + b as one term, or None."""
    if _same_product(a, b):
        return replace(a, scale=a.scale + b.scale)
    outer = set(a.outer)
    left, right = _without(a.factors, b.factors), _without(b.factors, a.factors)
    if len(left) > 1 or len(right) > 1 or any(not set(ls) <= outer for _, ls in (*left, *right)):
        return None
    common = _without(a.factors, left)
    if any(not set(ls) <= outer for _, ls in common):
        return None
    labels: Labels = tuple(k for k in a.outer if k in (left or right)[0][1])
    if left and right and set(right[0][1]) != set(labels):
        return None
    terms = [Term(tuple(f), (), (), a.sizes, t.scale) for f, t in ((left, a), (right, b))]
    first, second = [t.value(labels, labels_dtype(left or right)) if t.factors else t.scale for t in terms]
    term = replace(a, factors=tuple(common), scale=1)
    return term.with_factor(first + second, labels)


def labels_dtype(factors: Sequence[Factor]) -> DType:
    return factors[0][0].dtype


def _without(factors: Sequence[Factor], others: Sequence[Factor]) -> list[Factor]:
    gone: list[tuple[Tensor, Labels]] = list(others)
    kept = []
    for factor in factors:
        match = next((i for i, f in enumerate(gone) if f[0] is factor[0] and f[1] == factor[1]), None)
        if match is None:
            kept.append(factor)
        else:
            gone.pop(match)
    return kept


def _same_product(a: Term, b: Term) -> bool:
    """Whether the factors are the same, up to the names of inner labels."""
    if len(a.factors) != len(b.factors):
        return False
    outer = set(a.outer)
    names: dict[Label, Label] = {}
    taken: set[Label] = set()
    for (x, ls), (y, ks) in zip(a.factors, b.factors, strict=True):
        if x is not y:
            return not _without(a.factors, b.factors)
        for k, other in zip(ls, ks, strict=True):
            if (k in outer) != (other in outer) or (k in outer and k != other):
                return False
            if names.setdefault(k, other) != other:
                return False
            taken.add(other)
    return len(taken) == len(names)


def _added(terms: Sequence[Term], dtype: DType) -> Term:
    """Terms over the same axes as one array."""
    first = terms[0]
    outer = first.outer
    total = first.value(outer, dtype)
    for term in terms[1:]:
        total = total + term.value(outer, dtype)
    return replace(first, factors=((total, outer),), sizes={k: first.sizes[k] for k in outer}, scale=1)
