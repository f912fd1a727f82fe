"""Sums of terms kept short: equal structures are added in the factor in which they differ.

    A.T diag(u) A + A.T diag(v) A  =  A.T diag(u + v) A

Without it the terms of a graph with branches, such as a residual network, would double at every join.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..dims import Size
from ..dtypes import DType
from ..ops.base import cast
from ..ops.einsum import contraction
from .term import Factor, Label, Labels, Place, Term, new_label, spread

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
            both = _sum(other, term, dtype)
            if both is not None:
                group[i] = both
                break
        else:
            group.append(term)
            if len(group) > MOST_ALIKE:
                group[:] = [_added(group, dtype)]
    return [t for group in groups.values() for t in group if t.scale != 0]


def pattern(term: Term) -> Hashable:
    """How the axes hang together, whatever the labels are called."""
    numbers: dict[Label, int] = {}

    def named(place: Place) -> Hashable:
        return str(place.offset), tuple((numbers.setdefault(k, len(numbers)), str(s)) for k, s in place.steps)

    rows, cols = tuple(map(named, term.rows)), tuple(map(named, term.cols))
    return rows, cols, tuple(str(term.sizes[k]) for k in numbers)


def renamed(term: Term, names: dict[Label, Label]) -> Term:
    """The term with other labels; one of its own that has a name given to another is called anew."""
    own = {k for _, labels in term.factors for k in labels}.union(term.sizes)
    names = names | {k: new_label() for k in own.intersection(names.values()).difference(names)}

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


def _sum(a: Term, b: Term, dtype: DType) -> Term | None:
    """a + b as one term, or None: what both have in common is kept, the rest of one is added to the rest of the other.

    The sum is taken where it makes nothing larger: where one rest is a single factor with all the labels of the other, or
    where both hang on the common part by the same labels, inner ones among them.
    """
    b, common, left, right = _matched(a, b)
    if not left and not right:
        return replace(a, scale=a.scale + b.scale)
    outer = set(a.outer)
    held = outer.union(*[ls for _, ls in common])
    inner = held - outer
    i, j = ({k for _, ls in rest for k in ls} & held for rest in (left, right))
    larger = i if len(i) >= len(j) else j
    if not (i <= larger and j <= larger):
        return None
    single = any(len(rest) == 1 and set(rest[0][1]) == larger for rest in (left, right))
    if not single and not (i == j and larger & inner):
        return None
    labels = tuple(k for k in (*a.outer, *sorted(inner)) if k in larger)
    sizes = {**b.sizes, **a.sizes}
    values = [_rest(rest, t.scale, labels, sizes, dtype) for rest, t in ((left, a), (right, b))]
    kept = {k: n for k, n in sizes.items() if k in held}
    return replace(a, factors=tuple(common), sizes=kept, scale=1).with_factor(values[0] + values[1], labels)


def _rest(factors: Sequence[Factor], scale: Any, labels: Labels, sizes: Mapping[Label, Size], dtype: DType) -> Any:
    """A product that broadcasts over the axes `labels`, or a number."""
    if not factors:
        return scale
    own = tuple(k for k in labels if any(k in ls for _, ls in factors))
    x = contraction([ls for _, ls in factors], own, [cast(x, dtype) for x, _ in factors], sizes)
    x = x if scale == 1 else -x if scale == -1 else x * scale
    return spread(x, own, labels)


def _matched(a: Term, b: Term) -> tuple[Term, list[Factor], list[Factor], list[Factor]]:
    """`b` with its inner labels called as those of `a` wherever their factors are the same, the factors that both have,
    and the rest of each."""
    outer = set(a.outer)
    names: dict[Label, Label] = {}
    rest_b = list(range(len(b.factors)))
    common: list[int] = []
    for i, (x, ls) in enumerate(a.factors):
        for j in rest_b:
            y, ks = b.factors[j]
            if x is y and _agree(ls, ks, outer, names):
                names.update((k, own) for own, k in zip(ls, ks, strict=True) if k not in outer)
                rest_b.remove(j)
                common.append(i)
                break
    b = renamed(b, names)
    left = [f for i, f in enumerate(a.factors) if i not in common]
    return b, [a.factors[i] for i in common], left, [b.factors[j] for j in rest_b]


def _agree(ls: Labels, ks: Labels, outer: set[Label], names: Mapping[Label, Label]) -> bool:
    """Whether labels of b can be called as those of a: outer ones are the same, inner ones one to one."""
    for own, k in zip(ls, ks, strict=True):
        if own in outer or k in outer:
            if own != k:
                return False
        elif names.get(k, own) != own or (k not in names and own in names.values()):
            return False
    return len(set(zip(ls, ks, strict=True))) == len(set(ls)) == len(set(ks))


def _added(terms: Sequence[Term], dtype: DType) -> Term:
    """Terms over the same axes as one array."""
    first = terms[0]
    outer = first.outer
    total = first.value(outer, dtype)
    for term in terms[1:]:
        total = total + term.value(outer, dtype)
    return replace(first, factors=((total, outer),), sizes={k: first.sizes[k] for k in outer}, scale=1)
