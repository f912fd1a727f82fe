"""What each op that only moves, adds or multiplies does to a term: the rules of the structure of a linear map.

A rule takes the term of operand `i` of a node and gives that of the node, or a list of terms. A product with something that
does not depend on the seed is a factor, a contraction unifies labels, and whatever only moves values (slices, pads, joins,
reshapes) changes places. For what labels cannot say it raises `NotStructuredError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..core import Tensor
from ..dims import Size, prod, same, slice_of
from ..dtypes import is_complex
from ..ops.checkpoint import PassThrough
from ..ops.creation import Full
from ..ops.diagonal import Diagonal, DiagonalMatrix
from ..ops.einsum import Einsum
from ..ops.elementwise import Cast, Where
from ..ops.joining import Concatenate, Roll, Stack
from ..ops.late import F
from ..ops.reduce import Sum
from ..ops.shape import BroadcastTo, Reshape, Transpose
from ..ops.slices import Slice, Unslice
from .meet import sliced
from .term import Label, NotStructuredError, Place, Places, Term, Terms, at, fresh, new_label, restricted


def _stretched(term: Term, x: Tensor, y: Tensor) -> Term:
    """The term of `x` broadcast to the shape of `y`: a new label for every axis that is repeated."""
    lead = y.ndim - x.ndim
    rows: list[Place] = []
    sizes: dict[Label, Size] = {}
    for axis, size in enumerate(y.shape):
        if axis >= lead and not (same(x.shape[axis - lead], 1) and not same(size, 1)):
            rows.append(term.rows[axis - lead])
        else:
            (place,), more = fresh([size])
            rows.append(place)
            sizes.update(more)
    return term.with_rows(tuple(rows), sizes)


def _same(term: Term, node: Tensor, i: int) -> Term:
    return _stretched(term, node.inputs[i], node)


def _negative(term: Term, node: Tensor, i: int) -> Term:
    return term.scaled(-1)


def _subtract(term: Term, node: Tensor, i: int) -> Term:
    return _same(term, node, i).scaled(-1 if i else 1)


def _multiply(term: Term, node: Tensor, i: int) -> Term:
    return _same(term, node, i).times(node.inputs[1 - i])


def _divide(term: Term, node: Tensor, i: int) -> Term:
    if i:
        raise NotStructuredError("a divisor")
    return _same(term, node, i).times(F.divide(1, node.inputs[1]))


def _square_never(term: Term, node: Tensor, i: int) -> Term:
    raise NotStructuredError("not linear")


def _masked_multiply(term: Term, node: Tensor, i: int) -> Term:
    mask, *others = node.inputs
    return _same(term, node, i).masked(mask, others[2 - i], node.dtype)


def _where(term: Term, node: Tensor, i: int) -> Term:
    condition = node.inputs[0]
    return _same(term, node, i).masked(condition if i == 1 else ~condition, None, node.dtype)


def _cast(term: Term, node: Tensor, i: int) -> Term:
    if is_complex(node.dtype) != is_complex(node.inputs[0].dtype):
        raise NotStructuredError("complex")
    factors = tuple((F.cast(x, node.dtype), labels) for x, labels in term.factors)
    return Term(factors, term.rows, term.cols, term.sizes, term.scale)


def _sum(term: Term, node: Tensor, i: int) -> Term:
    op: Any = node.op
    rows = [Place() if k in op.axis else p for k, p in enumerate(term.rows) if op.keepdims or k not in op.axis]
    return term.with_rows(tuple(rows))


def _transpose(term: Term, node: Tensor, i: int) -> Term:
    op: Any = node.op
    return term.with_rows(tuple(term.rows[axis] for axis in op.axes))


def _reshape(term: Term, node: Tensor, i: int) -> Term:
    """Axes merged are places of several steps; an axis that is split has its label split too."""
    old, new = list(node.inputs[0].shape), list(node.shape)
    rows: list[Place] = []
    places = list(term.rows)
    while old or new:
        if old and same(old[0], 1):
            old.pop(0)
            places.pop(0)
        elif new and same(new[0], 1):
            new.pop(0)
            rows.append(Place())
        elif not old or not new:
            raise NotStructuredError("a reshape of empty arrays")
        else:
            group, sizes = _group(old, new)
            taken, places = places[: len(group)], places[len(group) :]
            if len(group) == len(sizes) == 1:
                rows.append(taken[0])
                continue
            joined = Place()
            for place, size in zip(taken, group, strict=True):
                joined = Place(joined.offset * size + place.offset, (*joined.moved(0, size).steps, *place.steps))
            if len(sizes) == 1:
                rows.append(joined)
                continue
            if len(group) > 1 or joined.label is None or not same(term.sizes[joined.label], group[0]):
                raise NotStructuredError("axes joined and split at once")
            parts = [new_label() for _ in sizes]
            whole = Place()
            for part, size in zip(parts, sizes, strict=True):
                whole = Place(0, (*whole.moved(0, size).steps, (part, 1)))
            renamed = term.substituted(joined.label, whole, dict(zip(parts, sizes, strict=True)))
            places = [p.substituted(joined.label, whole) for p in places]
            rows = [p.substituted(joined.label, whole) for p in rows]
            term = renamed
            rows += [at(k) for k in parts]
    return term.with_rows(tuple(rows))


def _group(old: list[Size], new: list[Size]) -> tuple[list[Size], list[Size]]:
    """The shortest leading runs of two shapes that hold equally many elements, taken away from both."""
    left, right = [old.pop(0)], [new.pop(0)]
    while not same(prod(left), prod(right)):
        a, b = prod(left), prod(right)
        shorter = isinstance(a, int) and isinstance(b, int) and a < b
        if not isinstance(a, int) or not isinstance(b, int):
            shorter = bool(old) and not (bool(new) and len(left) > len(right))
        if shorter and old:
            left.append(old.pop(0))
        elif new:
            right.append(new.pop(0))
        elif old:
            left.append(old.pop(0))
        else:
            raise NotStructuredError("a reshape whose sizes cannot be compared")
    return left, right


def _slice(term: Term, node: Tensor, i: int) -> Term | Terms:
    op: Any = node.op
    at = 0  # rows before this one are those of the result
    for item, size in zip(op.items, node.inputs[0].shape, strict=True):
        place = term.rows[at]
        if isinstance(item, tuple):
            start, _, step, length = slice_of(slice(*item), size)
        else:
            start, step, length = (item if not isinstance(item, int) or item >= 0 else size + item), 1, 1
        if isinstance(item, tuple) and same(start, 0) and step == 1 and same(length, size):
            at += 1
            continue
        if same(size, 1):
            if not same(length, 1):
                raise NotStructuredError("an empty slice")
        elif place.label is not None and term.is_full(place, size):
            steps = () if same(length, 1) else ((new_label(), step),)
            term = term.substituted(place.label, Place(start, steps), {k: length for k, _ in steps})
            place = Place(0, tuple((k, 1) for k, _ in steps))
        elif len(place.steps) == 1 and _covers(place, term, start, step, length):
            place = Place(0, ((place.labels[0], 1),))
        elif isinstance(start, int) and isinstance(length, int):
            found = sliced(term, place, start, step, length)
            if found is None:
                return []
            term, place = found
        else:
            raise NotStructuredError("a slice of a band of unknown size")
        kept = (place,) if isinstance(item, tuple) else ()
        term = replace(term, rows=(*term.rows[:at], *kept, *term.rows[at + 1 :]))
        at += len(kept)
    return term.with_rows(term.rows)


def _covers(place: Place, term: Term, start: Size, step: int, length: Size) -> bool:
    """Whether a place runs over exactly the slice."""
    ((label, by),) = place.steps
    return same(place.offset, start) and same(by, step) and same(term.sizes[label], length)


def _unslice(term: Term, node: Tensor, i: int) -> Term:
    op: Any = node.op
    rows, given = [], iter(term.rows)
    for item, size in zip(op.items, op.shape, strict=True):
        if isinstance(item, tuple):
            start, _, step, _ = slice_of(slice(*item), size)
            rows.append(next(given).moved(start, step))
        else:
            rows.append(Place(item if not isinstance(item, int) or item >= 0 else size + item))
    return term.with_rows(tuple(rows))


def _concatenate(term: Term, node: Tensor, i: int) -> Term:
    axis: int = node.op.axis  # type: ignore[attr-defined]
    start: Size = 0
    for x in node.inputs[:i]:
        start = start + x.shape[axis]
    rows = [p.moved(start, 1) if k == axis else p for k, p in enumerate(term.rows)]
    return term.with_rows(tuple(rows))


def _stack(term: Term, node: Tensor, i: int) -> Term:
    axis: int = node.op.axis  # type: ignore[attr-defined]
    return term.with_rows((*term.rows[:axis], Place(i), *term.rows[axis:]))


def _roll(term: Term, node: Tensor, i: int) -> Terms:
    """Two parts of the axis change places."""
    op: Any = node.op
    n = node.shape[op.axis]
    if not isinstance(n, int) or not isinstance(op.shift, int):
        raise NotStructuredError("a roll along an axis of unknown size")
    by = op.shift % max(n, 1)
    if not by:
        return [term]
    found = []
    for start, length, to in ((0, n - by, by), (n - by, by, 0)):
        place = term.rows[op.axis]
        if place.label is None or not term.is_full(place, n):
            raise NotStructuredError("a roll of a band")
        part = new_label()
        piece = term.substituted(place.label, Place(start, ((part, 1),)), {part: length})
        rows = list(piece.rows)
        rows[op.axis] = Place(to, ((part, 1),))
        found.append(piece.with_rows(tuple(rows)))
    return found


def _diagonal(term: Term, node: Tensor, i: int) -> Term:
    op: Any = node.op
    m, n = node.inputs[0].shape[-2:]
    if op.offset or not same(m, n):
        raise NotStructuredError("an off-diagonal")
    return _unify_rows(term, term.rows[-2], term.rows[-1], term.rows[:-2], m)


def _unify_rows(term: Term, a: Place, b: Place, rest: Places, size: Size) -> Term:
    if not (term.is_full(a, size) and term.is_full(b, size)):
        raise NotStructuredError("a diagonal of a band")
    if a.label is None or b.label is None:
        return term.with_rows((*rest, a))
    term = term.unified(a.label, b.label)
    return term.with_rows(tuple(p.substituted(b.label, at(a.label)) for p in (*rest, a)))


def _diagonal_matrix(term: Term, node: Tensor, i: int) -> Term:
    op: Any = node.op
    last = term.rows[-1]
    down, right = max(-op.offset, 0), max(op.offset, 0)
    return term.with_rows((*term.rows[:-1], last.moved(down, 1), last.moved(right, 1)))


def _einsum(term: Term, node: Tensor, i: int) -> Term:
    op: Any = node.op
    where: dict[int, Place] = {}
    sizes: dict[int, Size] = {}
    for labels, x in zip(op.operands, node.inputs, strict=True):
        for label, size in zip(labels, x.shape, strict=True):
            sizes[label] = size
    sizes |= dict(enumerate(op.sizes, len(sizes)))
    for label, place in zip(op.operands[i], term.rows, strict=True):
        if label in where:  # a diagonal
            first = where[label]
            if not (term.is_full(first, sizes[label]) and term.is_full(place, sizes[label])):
                raise NotStructuredError("a diagonal of a band")
            if first.label is not None and place.label is not None and first.label != place.label:
                old, new = place.label, first
                term = term.unified(first.label, old)
                where = {k: p.substituted(old, new) for k, p in where.items()}
            continue
        where[label] = place
    for label, size in sizes.items():
        if label not in where:
            (place,), more = fresh([size])
            where[label] = place
            term = Term(term.factors, term.rows, term.cols, {**term.sizes, **more}, term.scale)
    rows = tuple(where[label] for label in op.output)
    result = term
    scale: Any = 1
    found: list[Any] = []
    for k, (labels, x) in enumerate(zip(op.operands, node.inputs, strict=True)):
        if k != i:
            number, factors = restricted(x, [where[label] for label in labels], term.sizes)
            scale = scale * number
            found += factors
    result = result.scaled(scale)
    for factor in found:
        result = result.with_factor(*factor)
    return result.with_rows(rows)


def _passed(term: Term, node: Tensor, i: int) -> Term:
    if i:
        raise NotStructuredError("not the operand that passes")
    return term


RULES: dict[Any, Callable[[Term, Tensor, int], Term | Terms]] = {
    F.add: _same,
    F.subtract: _subtract,
    F.negative: _negative,
    F.multiply: _multiply,
    F.divide: _divide,
    F.masked_multiply: _masked_multiply,
    Where: _where,
    Cast: _cast,
    Sum: _sum,
    Transpose: _transpose,
    BroadcastTo: _same,
    Full: _same,
    Reshape: _reshape,
    Slice: _slice,
    Unslice: _unslice,
    Concatenate: _concatenate,
    Stack: _stack,
    Roll: _roll,
    Diagonal: _diagonal,
    DiagonalMatrix: _diagonal_matrix,
    Einsum: _einsum,
    PassThrough: _passed,
}
"""What each op does to a term of its operand `i`; it raises `NotStructuredError` for what labels cannot say."""
