r"""Structured Jacobians and Hessians in their structure: A^{\top} \operatorname{diag}(d) A, V^{\top} V \otimes I.

Each term is a product of factors whose labels say how they meet, which is a contraction from the labels of its rows to
those of its columns. A term over pairs of axes that do not mix is a Kronecker product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from ..core import Tensor
from ..dims import same
from ..rewrite import STABILIZE, rewrite
from ..rewrite.simplify import SIMPLIFY
from ..structured import Structured
from ..structured.bands import diagonal_of
from ..structured.term import Place, Term
from . import names
from .arrays import number
from .contractions import contraction, indexed, indices
from .pieces import HADAMARD, ONES, PRODUCT, ZEROS, Piece, added, diagonal, hadamard, operator, scaled


@dataclass(frozen=True)
class Structure:
    """One term with its factors in simplified form."""

    term: Term
    tensors: tuple[Tensor, ...]

    def piece(self, xs: Sequence[Piece]) -> Piece:
        """The formula of the term on the formulas of its factors."""
        term = self.term
        labels = [ls for _, ls in term.factors]
        scalars = [x for x, ls in zip(xs, labels, strict=True) if not ls]
        arrays = [(x, ls) for x, ls in zip(xs, labels, strict=True) if ls]
        made = _array(term, arrays)
        for s in reversed(scalars):
            made = scaled(s, made) if made is not None else s
        scale = Piece(names.size(term.scale)) if hasattr(term.scale, "terms") else number(_plain(term.scale))
        return scaled(scale, made) if made is not None else scale

    @staticmethod
    def total(parts: Sequence[Piece]) -> Piece:
        """The sum of the terms."""
        return reduce(added, parts) if parts else ZEROS


def _plain(scale: object) -> object:
    return scale.item() if hasattr(scale, "item") else scale


def factors(x: Structured) -> list[Structure]:
    """The terms of x, their factors simplified together so that what they share is one node."""
    terms = [_merged(t) for t in x.terms]
    flat = [f for t in terms for f, _ in t.factors]
    shown, _ = rewrite(flat, STABILIZE + SIMPLIFY) if flat else ([], None)
    left = iter(shown)
    return [Structure(t, tuple(next(left) for _ in t.factors)) for t in terms]


def _merged(term: Term) -> Term:
    """The term with its scale in its first scalar factor, so that they are simplified together."""
    found = next((i for i, (_, labels) in enumerate(term.factors) if not labels), None)
    if found is None or not isinstance(term.scale, int | float):
        return term
    x, _ = term.factors[found]
    scaled_up: tuple[Tensor, tuple[int, ...]] = (x * term.scale, ())
    return replace(term, scale=1, factors=(*term.factors[:found], scaled_up, *term.factors[found + 1 :]))


Factors = Sequence[tuple[Piece, tuple[int, ...]]]


def _array(term: Term, arrays: Factors) -> Piece | None:
    """The term without its scalars; None if nothing is left."""
    rows, cols = term.rows, term.cols
    if not arrays and not rows and not cols:
        return None
    if len(rows) == len(cols) == 1:
        band = _band(rows[0], cols[0], arrays)
        if band is not None:
            return band
    places = (*rows, *cols)
    found = [p.label for p in places]
    if any(k is None for k in found):
        return _indexed(term, arrays)
    output = [k for k in found if k is not None]
    if len(rows) == len(cols) == 2:
        made = _kronecker(output, arrays)
        if made is not None:
            return made
    return contraction([ls for _, ls in arrays], output, [x for x, _ in arrays])


def _band(row: Place, col: Place, arrays: Factors) -> Piece | None:
    """A diagonal beside the main one, as diag with the offset as subscript."""
    found = diagonal_of(row, col)
    if found is None:
        return None
    label, _, offset = found
    if same(offset, 0) and not arrays:
        return None
    if any(ls != (label,) for _, ls in arrays):
        return None
    vector = reduce(hadamard, [x for x, _ in arrays]) if arrays else ONES
    made = diagonal(vector)
    if same(offset, 0):
        return made
    body = made.body.replace(operator("diag"), f"{operator('diag')}_{{{names.size(offset)}}}", 1)
    return replace(made, body=body, symmetric=False)


def _kronecker(output: Sequence[int], arrays: Factors) -> Piece | None:
    """P \\otimes Q, where the labels of the first axes and those of the second do not meet."""
    sides = [{output[0], output[2]}, {output[1], output[3]}]
    if sides[0] & sides[1]:
        return None
    groups: list[list[tuple[Piece, tuple[int, ...]]]] = [[], []]
    rest = list(arrays)
    while rest:
        found = next(((f, i) for f in rest for i in (0, 1) if sides[i] & set(f[1])), None)
        if found is None:
            return None
        factor, i = found
        sides[i] |= set(factor[1])
        if sides[0] & sides[1]:
            return None
        groups[i].append(factor)
        rest = [f for f in rest if f is not factor]
    p, q = (
        contraction([ls for _, ls in group], (output[i], output[i + 2]), [x for x, _ in group])
        for i, group in enumerate(groups)
    )
    text = f"{p.plain.at(PRODUCT)} \\otimes {q.plain.at(PRODUCT)}"
    return Piece(text, HADAMARD, p.negative ^ q.negative, p.scalars + q.scalars)


def _indexed(term: Term, arrays: Factors) -> Piece:
    """The elements that a term has, at the places where they stand."""
    labels = [k for p in (*term.rows, *term.cols) for k in p.labels]
    letters = indices([*labels, *[k for _, ls in arrays for k in ls]])
    summed = [k for k in letters if k not in labels]
    text = " ".join(indexed(x, " ".join(letters[k] for k in ls)).text for x, ls in arrays) or "1"
    if summed:
        text = f"\\sum_{{{', '.join(letters[k] for k in summed)}}} {text}"
    places = ", ".join(_place(p, letters) for p in (*term.rows, *term.cols))
    return Piece(f"\\left[{text}\\right]_{{{places}}}")


def _place(place: Place, letters: dict[int, str]) -> str:
    steps = [letters[k] if same(s, 1) else f"{names.size(s)} {letters[k]}" for k, s in place.steps]
    offset = [] if same(place.offset, 0) and steps else [names.size(place.offset)]
    return " + ".join([*steps, *offset]).replace("+ -", "- ")
