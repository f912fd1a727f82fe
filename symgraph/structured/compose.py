"""Products and diagonals of terms: two places along one axis meet, and their labels become one."""

from __future__ import annotations

from ..dims import Shape
from .meet import met
from .merge import renamed
from .term import Term, new_label


def apart(term: Term) -> Term:
    """The term with labels that nothing else uses."""
    labels = {*term.sizes, *[k for _, ls in term.factors for k in ls]}
    return renamed(term, {k: new_label() for k in sorted(labels)})


def product(left: Term, right: Term, inner: Shape) -> Term | None:
    """left[rows, inner] * right[inner, cols], summed over the inner axes; None where they nowhere meet.

    Raises `NotStructuredError` for two bands whose intersection labels cannot say.
    """
    left, right = apart(left), apart(right)
    m, n = len(left.rows), len(inner)
    both = Term(left.factors, (*left.rows, *left.cols), (*right.rows, *right.cols), {**left.sizes, **right.sizes})
    both = both.scaled(left.scale * right.scale)
    for x, labels in right.factors:
        both = both.with_factor(x, labels)
    for axis in range(n):
        found = met(both, both.rows[m + axis], both.cols[axis], inner[axis])
        if found is None:
            return None
        both = found
    both = Term(both.factors, both.rows, both.cols[n:], both.sizes, both.scale)
    return both.with_rows(both.rows[:m])


def on_diagonal(term: Term, shape: Shape) -> Term | None:
    """The values whose row is their column, with the axes of the rows; None where there are none."""
    for axis, size in enumerate(shape):
        found = met(term, term.rows[axis], term.cols[axis], size)
        if found is None:
            return None
        term = found
    return Term(term.factors, term.rows, (), term.sizes, term.scale).with_rows(term.rows)
