r"""Contractions as products of matrices.

The operands are the edges of a graph whose nodes are labels: matrices join two labels, vectors sit on one. A component
that is a path is a product of matrices from one end to the other, with vectors on the way as diagonals, ones where a sum
ends on nothing, and a trace where the path closes. What is none of these is written with its indices under a sum.
"""

from __future__ import annotations

from collections.abc import Sequence

from .pieces import (
    ATOM,
    IDENTITY,
    INNER,
    ONES,
    PRODUCT,
    Piece,
    bracketed,
    diagonal,
    hadamard,
    norm,
    operator,
    power,
    product,
    scaled,
)

Factor = tuple[Piece, tuple[int, ...]]


class _NoMatrixForm(Exception):
    pass


def contraction(operands: Sequence[Sequence[int]], output: Sequence[int], xs: Sequence[Piece]) -> Piece:
    """sum over the labels not in `output` of the product of the operands, in matrix notation where there is one."""
    factors = [(x, tuple(labels)) for x, labels in zip(xs, operands, strict=True)]
    for attempt in (factors, _merged(factors)):
        try:
            return _matrices(attempt, tuple(output))
        except _NoMatrixForm:
            continue
    return _indices(factors, tuple(output))


def _merged(factors: Sequence[Factor]) -> list[Factor]:
    """The factors with those on the same labels multiplied element by element."""
    found: dict[tuple[int, ...], Piece] = {}
    for x, labels in factors:
        found[labels] = hadamard(found[labels], x) if labels in found and labels else x
    return [(x, labels) for labels, x in found.items()] if () not in found else list(factors)


def _matrices(factors: Sequence[Factor], output: tuple[int, ...]) -> Piece:
    if len(output) > 2:
        raise _NoMatrixForm
    scalars = [x for x, labels in factors if not labels]
    arrays: Sequence[Factor] = [f for f in factors if f[1]]
    if len(arrays) == 1 and not output and len(set(arrays[0][1])) < len(arrays[0][1]) == 2:
        made = _trace(arrays[0][0])
    elif len(arrays) == 1 and len(arrays[0][1]) == 2 and arrays[0][1] == output[:1] * 2 and len(output) == 1:
        made = Piece(f"{operator('diag')}{bracketed(arrays[0][0].text)}")
    else:
        if any(len(labels) > 2 or len(set(labels)) < len(labels) for _, labels in arrays):
            raise _NoMatrixForm
        made = _from_parts(_components(arrays), output)
    for s in reversed(scalars):
        made = scaled(s, made)
    return made


def _components(arrays: Sequence[Factor]) -> list[list[Factor]]:
    """The operands that hang together by their labels."""
    found: list[tuple[set[int], list[Factor]]] = []
    for factor in arrays:
        labels, members = set(factor[1]), [factor]
        rest = []
        for known, others in found:
            if known & labels:
                labels, members = labels | known, others + members
            else:
                rest.append((known, others))
        found = [*rest, (labels, members)]
    return [members for _, members in found]


def _from_parts(parts: Sequence[list[Factor]], output: tuple[int, ...]) -> Piece:
    inner: list[Piece] = []
    by_label: dict[tuple[int, ...], Piece] = {}
    distinct = tuple(dict.fromkeys(output))
    for part in parts:
        own = tuple(label for label in distinct if any(label in labels for _, labels in part))
        if not own:
            inner.append(_scalar(part))
        elif len(own) == 1:
            by_label[own] = _chain(part, own[0], None)
        else:
            by_label[own] = _chain(part, own[0], own[1])
    if not output:
        made = inner.pop() if inner else Piece("1", number=True)
    elif len(output) == 1:
        made = by_label.get(output, ONES)
    elif len(distinct) == 1:
        made = diagonal(by_label[distinct]) if distinct in by_label else IDENTITY
    elif output in by_label:
        made = by_label[output]
    else:
        row, column = (by_label.get((label,), ONES) for label in output)
        made = product([row, column.turned])
    for s in reversed(inner):
        made = scaled(s, made)
    return made


def _chain(part: list[Factor], start: int, end: int | None) -> Piece:
    """The product from `start` to `end`, or to wherever it ends."""
    rest = list(part)
    pieces: list[Piece] = []
    here = start
    while True:
        vectors = [f for f in rest if f[1] == (here,)]
        edges = [f for f in rest if len(f[1]) == 2 and here in f[1]]
        rest = [f for f in rest if all(f is not v for v in vectors)]
        if here == end or not edges:
            if (end is not None and here != end) or (here == end and edges) or rest:
                raise _NoMatrixForm
            column = _hadamard([x for x, _ in vectors])
            if end is not None:
                pieces += [diagonal(column)] if column is not None else []
            elif column is not None or pieces:
                pieces.append(column or ONES)
            return product(pieces)
        if len(edges) > 1:
            raise _NoMatrixForm
        pieces += [diagonal(x) for x, _ in vectors]
        x, (a, b) = edges[0]
        rest = [f for f in rest if f is not edges[0]]
        pieces.append(x if a == here else x.turned)
        here = b if a == here else a


def _hadamard(xs: Sequence[Piece]) -> Piece | None:
    made = None
    for x in xs:
        made = x if made is None else hadamard(made, x)
    return made


def _scalar(part: list[Factor]) -> Piece:
    """A product that is a single number: a row times ... times a column, a trace, or a sum over all elements."""
    if len(part) == 2 and part[0][0] == part[1][0] and len(part[0][1]) == 2 and part[0][1] == part[1][1]:
        return power(norm(part[0][0], "F"), "2")
    for i, (x, labels) in enumerate(part):
        if len(labels) == 1:
            rest = part[:i] + part[i + 1 :]
            if not rest:
                return inner([ONES.turned, x])
            try:
                return inner([x.turned, _chain(rest, labels[0], None)])
            except _NoMatrixForm:
                continue
    every = [label for _, ls in part for label in ls]
    once = [label for label in every if every.count(label) == 1]
    if once:
        return inner([ONES.turned, _chain(part, once[0], None)])
    return _trace(_cycle(part))


def _cycle(part: list[Factor]) -> Piece:
    """The product once round, from the first operand."""
    (x, (a, b)), rest = part[0], list(part[1:])
    if any(len(labels) != 2 for _, labels in rest):
        raise _NoMatrixForm
    pieces, here = [x], b
    while rest:
        found = next((f for f in rest if here in f[1]), None)
        if found is None:
            raise _NoMatrixForm
        rest = [f for f in rest if f is not found]
        y, (c, d) = found
        pieces.append(y if c == here else y.turned)
        here = d if c == here else c
    if here != a:
        raise _NoMatrixForm
    if len(pieces) == 2 and len({label for _, ls in part for label in ls}) == 2 and part[1][1] == part[0][1]:
        pieces = [pieces[0].turned, pieces[1].turned]
    return product(pieces)


def _trace(x: Piece) -> Piece:
    return Piece(f"{operator('tr')}{bracketed(x.plain.text)}", negative=x.negative, scalars=x.scalars)


def inner(factors: Sequence[Piece]) -> Piece:
    """A product of a row, matrices and a column: a number."""
    made = product(factors)
    return Piece(made.body, INNER, made.negative, made.scalars)


# With indices --------------------------------------------------------------------------------------------------------


def _indices(factors: Sequence[Factor], output: tuple[int, ...]) -> Piece:
    letters = indices([label for labels in (output, *[ls for _, ls in factors]) for label in labels])
    distinct = tuple(dict.fromkeys(output))
    summed = [k for k in letters if k not in output]
    terms = [indexed(x, "".join(f"{letters[k]} " for k in labels).strip()) if labels else x for x, labels in factors]
    made = product(terms) if terms else Piece("1", number=True)
    text = made.at(PRODUCT) if not made.scalars and not made.negative else made.text
    if summed:
        text = f"\\sum_{{{', '.join(letters[k] for k in summed)}}} {text}"
    if not output:
        return Piece(text, INNER - 1)
    if len(distinct) < len(output):
        seen: dict[int, str] = {}
        deltas, places = [], []
        fresh = iter("pqrstuvw")
        for k in output:
            letter = letters[k] if k not in seen else next(fresh, "z")
            deltas += [f"\\delta_{{{letters[k]} {letter}}}"] if k in seen else []
            seen[k] = letter
            places.append(letter)
        return Piece(f"\\left[{' '.join(deltas)} {text}\\right]_{{{' '.join(places)}}}")
    return Piece(f"\\left[{text}\\right]_{{{' '.join(letters[k] for k in output)}}}")


def indices(labels: Sequence[int]) -> dict[int, str]:
    """A letter for each label: i, j, k, ..."""
    distinct = list(dict.fromkeys(labels))
    return {k: "ijklmnopqrstuvwxyzabcdefgh"[i % 26] + ("'" * (i // 26)) for i, k in enumerate(distinct)}


def indexed(x: Piece, places: str) -> Piece:
    """An element of x."""
    body = x.plain.body
    single = x.prec == ATOM and "(" not in body and "_" not in body and "^" not in body
    text = f"{body}_{{{places}}}" if single else f"[{body}]_{{{places}}}"
    return Piece(text, negative=x.negative, scalars=x.scalars)
