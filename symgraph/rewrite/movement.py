"""Rearrangements that undo or pass each other: transposes, reshapes, slices, pads and joins.

pad(x)[inside] = x        concatenate([x, y])[:len(x)] = x        exp(x.T) + y.T = (exp(x) + y).T
"""

from __future__ import annotations

from ..core import Constant, Tensor, make
from ..dims import Size, same, same_shape, slice_of
from ..errors import ShapeError
from ..ops.base import Elementwise
from ..ops.creation import Full
from ..ops.elementwise import Where
from ..ops.joining import Concatenate, Stack
from ..ops.late import F
from ..ops.shape import BroadcastTo, Reshape, Transpose, _dropping
from ..ops.slices import FULL, Range, Slice, SliceSet, Unslice, sliced
from .canonical import ELEMENTWISE
from .facts import used_once
from .pattern import RuleSet, node_rules

SCALING = (F.multiply, F.divide, F.negative)


def _at_most(a: Size, b: Size) -> bool:
    """Whether a <= b for certain."""
    if same(a, b):
        return True
    try:
        return bool(a <= b)
    except ShapeError:
        return False


# Slices --------------------------------------------------------------------------------------------------------------


def _slice_of_what_was_written(node: Tensor) -> Tensor | None:
    """The places of `pad`, or of `x.at[i].set(v)`, that were written hold what was written there; other rows do not."""
    inner = node.inputs[0]
    if node.op.items != inner.op.items:  # type: ignore[attr-defined]
        return None
    if isinstance(inner.op, Unslice):
        return inner.inputs[0] if same_shape(inner.inputs[0].shape, node.shape) else None
    return F.broadcast_to(inner.inputs[1], node.shape)


def _written_over_zeros(node: Tensor) -> Tensor | None:
    """Zeros with values written over a place: what a pad is."""
    x, v = node.inputs
    while isinstance(x.op, Full | BroadcastTo):
        x = x.inputs[0]
    if not isinstance(x.op, Constant) or x.op.value.tobytes().strip(b"\0"):
        return None  # -0.0 is no zero here
    op = Unslice(node.op.items, node.shape)  # type: ignore[attr-defined]
    return make(op, F.broadcast_to(v, sliced(node.shape, op.items)))


def _slice_of_joined(node: Tensor) -> Tensor | None:
    """A slice that lies in one part of a concatenation is a slice of that part."""
    inner = node.inputs[0]
    op, axis = node.op, inner.op.axis  # type: ignore[attr-defined]
    assert isinstance(op, Slice)
    item = op.items[axis]
    if not isinstance(item, tuple):
        first, length = item, 1
        if not isinstance(first, int) or first < 0:
            return None
    else:
        if item[2] != 1:
            return None
        first, _, _, length = slice_of(slice(*item), inner.shape[axis])  # type: ignore[assignment]
    start: Size = 0
    for x in inner.inputs:
        stop = start + x.shape[axis]
        if _at_most(start, first) and _at_most(first + length, stop):
            at = first - start
            key: Size | Range = at if not isinstance(item, tuple) else (at, at + length, 1)
            whole = isinstance(key, tuple) and same(at, 0) and same(length, x.shape[axis])
            items = [(FULL if whole else key) if a == axis else i for a, i in enumerate(op.items)]
            made = x[tuple(slice(*i) if isinstance(i, tuple) else i for i in items)]
            return made if same_shape(made.shape, node.shape) else None
        start = stop
    return None


def _place_in_stack(node: Tensor) -> Tensor | None:
    """stack([x, y])[1] = y."""
    inner, op = node.inputs[0], node.op
    assert isinstance(op, Slice) and isinstance(inner.op, Stack)
    axis = inner.op.axis
    place = op.items[axis]
    if not isinstance(place, int) or not 0 <= place < len(inner.inputs):
        return None
    rest = [i for a, i in enumerate(op.items) if a != axis]
    x = inner.inputs[place]
    return x if all(i == FULL for i in rest) else x[tuple(slice(*i) if isinstance(i, tuple) else i for i in rest)]


def _joined_slices(node: Tensor) -> Tensor | None:
    """concatenate([x[:k], x[k:]]) = x."""
    axis = node.op.axis  # type: ignore[attr-defined]
    parts = node.inputs
    if not all(isinstance(p.op, Slice) for p in parts):
        return None
    x = parts[0].inputs[0]
    if any(p.inputs[0] is not x for p in parts) or not same_shape(x.shape, node.shape):
        return None
    end: Size = 0
    for p in parts:
        items = p.op.items  # type: ignore[attr-defined]
        item = items[axis]
        if not isinstance(item, tuple) or item[2] != 1 or any(i != FULL for a, i in enumerate(items) if a != axis):
            return None
        start, _, _, length = slice_of(slice(*item), x.shape[axis])
        if not same(start, end):
            return None
        end = start + length
    return x


# Transposes ----------------------------------------------------------------------------------------------------------


def _transposes_outwards(node: Tensor) -> Tensor | None:
    """f(x.T, y.T) = f(x, y).T, where other operands have no axes: the arithmetic runs along memory."""
    if not used_once(node) or isinstance(node.aval, tuple):
        return None
    orders = {x.op.axes for x in node.inputs if isinstance(x.op, Transpose)}
    if len(orders) != 1 or any(x.ndim and not isinstance(x.op, Transpose) for x in node.inputs):
        return None
    (order,) = orders
    if len(order) != node.ndim or (node.op in SCALING and sum([x.ndim > 0 for x in node.inputs]) == 1):
        return None  # a factor moves outwards itself
    bare = [x.inputs[0] if isinstance(x.op, Transpose) else x for x in node.inputs]
    if isinstance(node.op, Elementwise) and node.flipped:
        bare = bare[::-1]
    return F.transpose(make(node.op, *bare), order)


def _rearranged_broadcast(node: Tensor) -> Tensor | None:
    """A broadcast that is transposed, or given axes of size 1, is a broadcast of x transposed, or given those axes."""
    inner = node.inputs[0]
    x, op = inner.inputs[0], node.op
    full = F.reshape(x, (*[1] * (inner.ndim - x.ndim), *x.shape))
    if isinstance(op, Transpose):
        return F.broadcast_to(F.transpose(full, op.axes), node.shape)
    axes = _dropping(node.shape, inner.shape) if node.ndim > inner.ndim else None
    if axes is None:
        return None
    sizes = iter(full.shape)
    return F.broadcast_to(F.reshape(full, tuple(1 if a in axes else next(sizes) for a in range(node.ndim))), node.shape)


MOVEMENT = RuleSet(
    *node_rules("slice of what was written", [Slice], _slice_of_what_was_written, needs=[Unslice, SliceSet],
        examples=[lambda x: F.pad(x, 2)[2:-2] if x.ndim == 1 and x.shape[0] else None,
                  lambda X: X.at[:, 1].set(X[:, 0])[:, 1]]),
    *node_rules("written over zeros", [SliceSet], _written_over_zeros, needs=[Full, BroadcastTo],
        examples=[lambda x: F.zeros_like(x).at[1:].set(x[1:]) if x.ndim == 1 and x.shape[0] else None]),
    *node_rules("slice of joined parts", [Slice], _slice_of_joined, needs=[Concatenate],
        examples=[lambda X: F.concatenate([X, 2 * X])[: X.shape[0]], lambda X: F.concatenate([X, -X], axis=1)[:, 3:5] if X.shape[1] == 3 else None]),
    *node_rules("place in a stack", [Slice], _place_in_stack, needs=[Stack],
        examples=[lambda x: F.stack([x, 2 * x])[1], lambda X: F.stack([X, 2 * X], axis=1)[:, 0, 1:]]),
    *node_rules("joined slices", [Concatenate], _joined_slices, needs=[Slice],
        examples=[lambda X: F.concatenate([X[:1], X[1:]]) if X.shape[0] > 1 else None]),
    *node_rules("transposes outwards", [*ELEMENTWISE, Where], _transposes_outwards, needs=[Transpose],
        examples=[lambda X: F.sum(F.exp(X.T), axis=0), lambda X: F.sum(X.T * (2 * X).T + 1)]),
    *node_rules("rearranged broadcast", [Transpose, Reshape], _rearranged_broadcast, needs=[BroadcastTo],
        examples=[lambda X: F.transpose(F.broadcast_to(X, (2, *X.shape))), lambda X: F.broadcast_to(X, (2, *X.shape))[:, None]]),
)  # fmt: skip

__all__ = ["MOVEMENT"]
