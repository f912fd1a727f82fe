"""Where two places along an axis coincide: the common elements of two arithmetic progressions.

    o1 + s1 * i = o2 + s2 * j    for 0 <= i < m, 0 <= j < n

has the solutions i = i0 + di * t, j = j0 + dj * t: a slice of a band, or the product of two bands, is a band again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from ..dims import Size, same
from .term import Label, NotStructuredError, Place, Term, new_label, same_place


@dataclass(frozen=True)
class Progression:
    """offset + step * i for 0 <= i < length."""

    offset: int
    step: int
    length: int


def common(a: Progression, b: Progression) -> tuple[Progression, Progression] | None:
    """The indices into `a` and into `b` of their common elements, in step, or None where there are none."""
    g = gcd(a.step, b.step)
    if (b.offset - a.offset) % g:
        return None
    di = abs(b.step) // g
    i = (b.offset - a.offset) // g * pow(a.step // g, -1, di) % di
    j, dj = (a.offset + a.step * i - b.offset) // b.step, a.step * di // b.step
    first, last = 0, (a.length - 1 - i) // di
    if dj > 0:
        first, last = max(first, -(j // dj)), min(last, (b.length - 1 - j) // dj)
    else:
        first, last = max(first, -((b.length - 1 - j) // -dj)), min(last, j // -dj)
    if last < first:
        return None
    count = last - first + 1
    return Progression(i + di * first, di, count), Progression(j + dj * first, dj, count)


def progression(place: Place, term: Term) -> Progression:
    """A place of at most one label, all sizes known."""
    if len(place.steps) > 1:
        raise NotStructuredError("places of several labels")
    label, step = place.steps[0] if place.steps else (None, 1)
    length = 1 if label is None else term.sizes[label]
    if not (isinstance(place.offset, int) and isinstance(step, int) and isinstance(length, int)):
        raise NotStructuredError("bands of unknown size")
    return Progression(place.offset, step, length)


def narrowed(term: Term, place: Place, part: Progression, label: Label | None) -> Term:
    """The term where the label of `place` runs over a part only, numbered by `label`, or stands at its one element."""
    if not place.steps:
        return term
    steps = () if label is None else ((label, part.step),)
    sizes = {} if label is None else {label: part.length}
    return term.substituted(place.steps[0][0], Place(part.offset, steps), sizes)


def sliced(term: Term, place: Place, start: int, step: int, length: int) -> tuple[Term, Place] | None:
    """The part of a term that lies in a slice of the axis along which it stands at `place`, and its place in the slice."""
    found = common(progression(place, term), Progression(start, step, length))
    if found is None:
        return None
    mine, there = found
    label = new_label() if mine.length > 1 else None
    return narrowed(term, place, mine, label), Place(there.offset, () if label is None else ((label, there.step),))


def met(term: Term, a: Place, b: Place, size: Size) -> Term | None:
    """The term where two places along an axis are the same place; None where they never are."""
    if same_place(a, b):
        return term
    for one, other in ((a, b), (b, a)):
        if one.label is not None and term.is_full(one, size) and one.label not in other.labels:
            return term.substituted(one.label, other, {k: term.sizes[k] for k in other.labels})
    if len(a.steps) == len(b.steps) == 1 and a.labels != b.labels and same(a.offset, b.offset):
        ((k, s),), ((j, t),) = a.steps, b.steps
        if same(s, t) and same(term.sizes[k], term.sizes[j]):
            return term.unified(k, j)
    if a.steps and a.labels == b.labels:
        return _at_crossing(term, a, b)
    first, second = progression(a, term), progression(b, term)
    found = common(first, second)
    if found is None:
        return None
    label = new_label() if found[0].length > 1 else None
    for place, part in zip((a, b), found, strict=True):
        term = narrowed(term, place, part, label)
    return term


def _at_crossing(term: Term, a: Place, b: Place) -> Term | None:
    """Where two different places of one label are equal: at one value of it, or never."""
    p, q = progression(a, term), progression(b, term)
    if p.step == q.step or (q.offset - p.offset) % (p.step - q.step):
        return None
    i = (q.offset - p.offset) // (p.step - q.step)
    return term.substituted(a.labels[0], Place(i), {}) if 0 <= i < p.length else None
