"""The structure of a derivative as a formula of matrices: `A.T @ diag(d) @ A`, `2 * kron(V.T @ V, I)`, `diag(p) - outer(p, p)`.

Terms over two axes are chains of matrices from the row to the column, with vectors on the way as diagonals. Terms over
pairs of axes that do not mix are Kronecker products; what is neither is an `einsum` in which a label repeated in the output
is a Kronecker delta. A single value at a fixed place is a multiple of `unit(i, j)`, which is 1 there and 0 elsewhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import Tensor
from ..dims import same
from ..rewrite import STABILIZE, rewrite
from ..rewrite.simplify import SIMPLIFY
from .bands import diagonal_of
from .term import Factor, Label, Place, Term

LONG, AGAIN = 40, 16
"""The text of a factor that is longer than this gets a line of its own, and of one that stands in the formula again."""

_MARK = re.compile(r"\bfactor\d+x\b")


def formula(terms: Sequence[Term]) -> str:
    """The sum of the terms, after lines that give names to long factors."""
    names = _Names([x for t in terms for x, _ in t.factors])
    parts = [_signed(*_term(t, names)) for t in terms]
    if not parts:
        return "0"
    sign, first = parts[0]
    text = ("-" if sign == "-" else "") + first
    for sign, part in parts[1:]:
        text += f" {sign} {part}"
    return "\n".join([*names.lines, text])


class _Names:
    """The text of factors, written together so that what they share has one name, and the lines that define the long ones."""

    def __init__(self, factors: Sequence[Tensor]) -> None:
        from ..printing import to_text

        distinct = list(dict.fromkeys(factors))
        shown, _ = rewrite(distinct, STABILIZE + SIMPLIFY)
        marks = {x: f"factor{i}x" for i, x in enumerate(dict.fromkeys(shown))}
        text = to_text({mark: x for x, mark in marks.items()}) if marks else ""
        lines = text.split("\n") if text else []
        written = dict(line.split(" = ", 1) for line in lines if _MARK.match(line))
        uses = Counter(factors)
        again = {marks[y] for x, y in zip(distinct, shown, strict=True) if uses[x] > 1}
        most = {m: AGAIN if m in again else LONG for m in written}
        short = {m: value for m, value in written.items() if len(value) <= most[m] and text.count(m) == 1}
        long = [m for m in written if m not in short]
        renamed = short | {m: f"d{i}" for i, m in enumerate(long, 1)}
        self.known = {x: self._spelled(renamed[marks[y]], renamed) for x, y in zip(distinct, shown, strict=True)}
        kept = [line for line in lines if line.split(" = ")[0] not in short]
        self.lines = [self._spelled(line, renamed) for line in kept]

    @staticmethod
    def _spelled(text: str, names: Mapping[str, str]) -> str:
        return _MARK.sub(lambda m: names[m[0]], text)

    def __call__(self, x: Tensor) -> str:
        return self.known[x]


def _signed(scale: object, text: str) -> tuple[str, str]:
    negative = isinstance(scale, int | float) and scale < 0
    size = -scale if negative else scale  # type: ignore[operator]
    number = int(size) if isinstance(size, float) and size.is_integer() else size
    sign = "-" if negative else "+"
    if number == 1:
        return sign, text or "1"
    return sign, f"{number} * {_bracketed(text)}" if text else str(number)


def _term(term: Term, names: _Names) -> tuple[object, str]:
    scale: Any = term.scale
    scalars: list[str] = []
    for x, labels in term.factors:
        if not labels and (value := _number(names(x))) is not None:
            scale = scale * value
        elif not labels:
            multiple = _MULTIPLE.fullmatch(names(x))  # the numbers of 2 * ((0.5 * c) * I) are one
            scale = scale * float(multiple[1]) if multiple else scale
            scalars.append(multiple[2] if multiple else names(x))
    factors = [f for f in term.factors if f[1]]
    text = (
        _matrix(term.rows[0], term.cols[0], factors, names) if len(term.rows) == len(term.cols) == 1 else
        _kronecker(term, factors, names) if len(term.rows) == len(term.cols) == 2 else None
    )  # fmt: skip
    if text is None:
        text = _einsum(term, factors, names)
    parts = [*scalars, text] if text else scalars
    return scale, " * ".join(map(_bracketed, parts) if len(parts) > 1 else parts)


_MULTIPLE = re.compile(r"(\d+(?:\.\d+)?) \* (\w+)")


def _number(text: str) -> float | int | None:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return None


def _matrix(row: Place, col: Place, factors: Sequence[Factor], names: _Names) -> str | None:
    """A chain of matrices from the row to the column."""
    band = diagonal_of(row, col)
    if band is not None:
        label, _, k = band
        offset = "" if same(k, 0) else f", {k}"
        if any(labels != (label,) for _, labels in factors):
            return None
        d = " * ".join(_bracketed(names(x)) if len(factors) > 1 else names(x) for x, _ in factors)
        return f"diag({d or 'ones'}{offset})" if d or offset else "I"
    if row.label is None or col.label is None:
        return None
    rest = list(factors)
    pieces: list[str] = []
    here: Label = row.label
    vectors = [x for x, labels in rest if labels == (here,)]
    others = [x for x, labels in rest if labels == (col.label,)]
    if len(vectors) == len(others) == 1 and len(rest) == 2:
        return f"outer({names(vectors[0])}, {names(others[0])})"
    if len(vectors) + len(others) == len(rest) < 2:
        return f"outer({names(vectors[0]) if vectors else 'ones'}, {names(others[0]) if others else 'ones'})"
    while True:
        for factor in [f for f in rest if f[1] == (here,)]:
            rest = _without(rest, factor)
            pieces.append(f"diag({names(factor[0])})")
        if here == col.label:
            break
        step = next((f for f in rest if len(f[1]) == 2 and here in f[1]), None)
        if step is None:
            return None
        rest = _without(rest, step)
        x, (a, b) = step
        alone = len(factors) == 1
        turned = a != here
        text = names(x) if alone and not turned else _bracketed(names(x), tight=turned)
        pieces.append(f"{text}.T" if turned else text)
        here = b if a == here else a
    return None if rest else " @ ".join(pieces)


def _kronecker(term: Term, factors: Sequence[Factor], names: _Names) -> str | None:
    """kron(P, Q), where the labels of the first axes and those of the second do not meet."""
    sides: list[set[Label]] = []
    for row, col in zip(term.rows, term.cols, strict=True):
        if row.label is None or col.label is None:
            return None
        sides.append({row.label, col.label})
    if sides[0] & sides[1]:
        return None
    groups: list[list[Factor]] = [[], []]
    rest = list(factors)
    while rest:
        found = next(((f, i) for f in rest for i, s in enumerate(sides) if s & set(f[1])), None)
        if found is None:
            return None
        factor, i = found
        sides[i] |= set(factor[1])
        if sides[1 - i] & set(factor[1]):
            return None
        groups[i].append(factor)
        rest = _without(rest, factor)
    parts = [_matrix(term.rows[i], term.cols[i], groups[i], names) for i in (0, 1)]
    return None if None in parts else f"kron({', '.join(map(str, parts))})"


def _without(factors: Sequence[Factor], gone: Factor) -> list[Factor]:
    return [f for f in factors if f is not gone]


def _einsum(term: Term, factors: Sequence[Factor], names: _Names) -> str:
    """The contraction in the notation of `np.einsum`; places that are no bare label are spelled in brackets."""
    letters: dict[Label, str] = {}

    def letter(label: Label) -> str:
        return letters.setdefault(label, "ijklmnopqrstuvwxyzabcdefgh"[len(letters) % 26])

    def spelled(place: Place) -> str:
        if place.label is not None:
            return letter(place.label)
        steps = [letter(k) if same(s, 1) else f"{s}{letter(k)}" for k, s in place.steps]
        offset = [] if same(place.offset, 0) and steps else [str(place.offset)]
        return f"({'+'.join([*steps, *offset])})"

    places = (*term.rows, *term.cols)
    if not factors and places and not any(p.steps for p in places):
        return f"unit({', '.join(str(p.offset) for p in places)})"
    output = "".join(map(spelled, places))
    inputs = ",".join("".join(map(letter, labels)) for _, labels in factors)
    if not factors and not output:
        return ""
    if len(factors) == 1 and inputs == output:
        return names(factors[0][0])
    return f"einsum({', '.join([repr(f'{inputs}->{output}'), *[names(x) for x, _ in factors]])})"


def _bracketed(text: str, tight: bool = False) -> str:
    """`text` so that it can stand in a product; `tight`, so that an attribute can follow."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if depth == 0 and c == " " and text[i + 1 : i + 2] in ("+", "-", *("*/@" if tight else "/@*")):
            return f"({text})"
    return f"({text})" if text.startswith("-") else text
