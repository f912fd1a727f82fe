"""How the pattern of a node follows from those of its operands, for each op that says more than "everything"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import ShapedArray, Symbol, Tensor, constant, located_error, make, make_fresh, toposort
from ..errors import ShapeError
from ..ops.base import Linear, Primitive
from ..ops.checkpoint import Barrier, Checkpoint, PassThrough
from ..ops.convolve import Convolve
from ..ops.correlation import Correlate, CorrelateRows, CorrelateWeights
from ..ops.cumulative import CumSum, Recurrence
from ..ops.einsum import Einsum, contraction
from ..ops.elementwise import Cast, Conjugate, Imag, Real, Where
from ..ops.gather import Gather, Pick, ScatterAdd, ScatterSet, position
from ..ops.late import F
from ..ops.linalg import Solve
from ..ops.pooled import AtMax, ShareMax, WindowSum
from ..ops.windows import Fold, Windows
from .patterns import (
    Labels,
    Numbers,
    Pattern,
    collected,
    labelled,
    nothing,
    refuse_too_many,
    selected,
    size_of,
    sizes_of,
    union,
    width,
)

if TYPE_CHECKING:
    from .reach import Reach

Given = Mapping[int, Pattern]
"""The patterns of the operands that depend on the seed, by their number."""


class UnknownError(Exception):
    """An op whose places depend on values that only the call knows."""


# Moves ---------------------------------------------------------------------------------------------------------------


def elementwise(walk: Reach, node: Tensor, given: Given) -> Pattern:
    parts = []
    for i, p in given.items():
        factors = _factors(walk, node, i)
        if not factors and node.inputs[i].shape == node.shape:
            parts.append(p)
            continue
        index = _broadcast_index(node.inputs[i], node)
        for there in factors:
            index = np.where(np.broadcast_to(there, sizes_of(node)).ravel(), index, -1)
        parts.append(selected(p, index))
    return union(parts, node)


def _broadcast_index(x: Tensor, y: Tensor) -> Numbers:
    return np.broadcast_to(np.arange(size_of(x)).reshape(sizes_of(x)), sizes_of(y)).ravel()


def _factors(walk: Reach, node: Tensor, i: int) -> list[Numbers]:
    """Where the factors of operand `i` may differ from zero, as far as that is known."""
    known = walk.zeros.support
    if node.op is F.multiply or node.op is F.masked_multiply:
        found = [known(x) for k, x in enumerate(node.inputs) if k != i]
    elif isinstance(node.op, Where):
        chosen = walk.zeros.value(node.inputs[0])
        found = [None if chosen is None else chosen == (i == 1)]
    else:
        found = []
    return [there for there in found if there is not None]


def moved(walk: Reach, node: Tensor, given: Given) -> Pattern:
    """The op run on positions: 0 where a result is no element of an operand that counts."""
    from scipy.sparse import vstack

    op: Any = node.op
    start = 1
    operands: list[Any] = []
    for i, x in enumerate(node.inputs):
        if i in given:
            operands.append(np.arange(start, start + size_of(x)).reshape(sizes_of(x)))
            start += size_of(x)
        elif op.linear is None or i < op.linear:
            operands.append(np.zeros(sizes_of(x), np.int64))
        else:
            operands.append(_value(walk, x))
    index = np.asarray(op.evaluate(*operands)).ravel() - 1
    together = next(iter(given.values())) if len(given) == 1 else vstack(list(given.values()), format="csr")
    return selected(together, index)


def _value(walk: Reach, x: Tensor) -> Any:
    found = walk.zeros.value(x)
    if found is None:
        raise UnknownError
    return found


def added(walk: Reach, node: Tensor, given: Given) -> Pattern:
    """The transpose run on positions: to which result each element is added."""
    op: Any = node.op
    operands = [
        x if op.linear is None or i < op.linear else constant(_value(walk, x)) for i, x in enumerate(node.inputs)
    ]
    ct = make_fresh(Symbol("ct", ShapedArray(node.shape, np.dtype(np.float64))))
    found = op.transpose(ct, *operands)
    backward = [found] if isinstance(found, Tensor) else list(found)
    steps = [n for n in toposort(backward, stop={ct}) if n is not ct and n.leafy]
    if not all(isinstance(n.op, Linear) and n.op.structural and not n.op.adds for n in steps):
        raise UnknownError
    positions = np.arange(1.0, 1 + size_of(node)).reshape(sizes_of(node))
    places = F.interpret([backward[i] for i in given], {ct: positions})
    parts = [
        collected(p, np.asarray(at).ravel().astype(np.int64) - 1, size_of(node))
        for p, at in zip(given.values(), places, strict=True)
    ]
    return union(parts, node)


def _passed(walk: Reach, node: Tensor, given: Given) -> Pattern:
    return given[0] if 0 in given else nothing(size_of(node), width(given.values()))


def _running(walk: Reach, node: Tensor, given: Given) -> Pattern:
    """Running sums: each element of a row reaches itself and those after it."""
    from scipy.sparse import csr_array

    axis: int = node.op.axis  # type: ignore[attr-defined]
    p = union(list(given.values()), node)
    rows = np.repeat(np.arange(p.shape[0]), np.diff(p.indptr))
    shape = sizes_of(node)
    inner = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    along = rows // inner % shape[axis] if rows.size else rows
    lane = (rows - along * inner) * p.shape[1] + p.indices
    order = np.lexsort((along, lane))
    first = order[np.concatenate([[True], np.diff(lane[order]) > 0])] if len(order) else order
    counts = shape[axis] - along[first]
    refuse_too_many(counts.sum(dtype=np.int64), p.shape)
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places = (np.repeat(rows[first], counts) + steps * inner, np.repeat(p.indices[first], counts))
    return csr_array((np.ones(len(steps), bool), places), shape=p.shape)


# Contractions -----


def _einsum(walk: Reach, node: Tensor, given: Given) -> Pattern:
    op: Any = node.op
    sizes = {
        k: int(n) for ls, x in zip(op.operands, node.inputs, strict=True) for k, n in zip(ls, x.shape, strict=True)
    }
    sizes |= {len(sizes) + k: int(n) for k, n in enumerate(op.sizes)}
    parts = []
    for i, p in given.items():
        supports = []
        for k, x in enumerate(node.inputs):
            there = walk.zeros.support(x) if k != i else None
            if there is not None:
                supports.append((op.operands[k], there))
        parts.append(labelled(p, op.operands[i], op.output, sizes, supports))
    return union(parts, node)


# Other ops -----------------------------------------------------------------------------------------------------------


def _as_graph(form: Callable[..., Tensor]) -> Callable[[Reach, Tensor, Given], Pattern]:
    """The rule of an op whose result depends on what another graph depends on: `form(op, *operands)`."""

    def rule(walk: Reach, node: Tensor, given: Given) -> Pattern:
        fresh = {i: make_fresh(Symbol("t", node.inputs[i].aval)) for i in given}
        made = form(node.op, *[fresh.get(i, x) for i, x in enumerate(node.inputs)])
        return walk.of_graph(made, {x: given[i] for i, x in fresh.items()}, node)

    return rule


def _correlate(op: Any, t: Tensor, w: Tensor) -> Tensor:
    lead = tuple(range(t.ndim - 3))
    taken = make(Windows(t.ndim - 3, int(w.shape[-3]), op.stride, op.dilation), t)
    return contraction([(*lead, *"iqrp"), (*lead, *"iro")], (*lead, *"qop"), [taken, w])


def _correlate_weights(op: Any, u: Tensor, t: Tensor) -> Tensor:
    lead = tuple(range(t.ndim - 3))
    taken = make(Windows(t.ndim - 3, op.places, op.stride, op.dilation), t)
    return contraction([(*lead, *"qop"), (*lead, *"iqrp")], (*lead, *"iro"), [u, taken])


def _correlate_rows(op: Any, u: Tensor, w: Tensor) -> Tensor:
    lead = tuple(range(u.ndim - 3))
    spread = contraction([(*lead, *"qop"), (*lead, *"iro")], (*lead, *"iqrp"), [u, w])
    return make(Fold(u.ndim - 3, op.rows, op.stride, op.dilation), spread)


def _convolve(op: Any, a: Tensor, v: Tensor) -> Tensor:
    m: Any = v.shape[0]
    if op.mode == "full":
        a = F.pad(a, [(m - 1, m - 1)])
    return contraction(["jk", "j"], "k", [make(Windows(0, m), a), F.flip(v)])


def _at_max(op: Any, t: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return make(WindowSum(op.axis, op.size, op.stride), t)


def _window_sum(op: Any, x: Tensor) -> Tensor:
    total: Tensor = F.sum(op.windowed(x), axis=tuple(a + n for n, a in enumerate(op.axis)))
    return total


def _share_max(op: Any, ct: Tensor, x: Tensor, y: Tensor) -> Tensor:
    summed = WindowSum(op.axis, op.size, op.stride)
    back: Tensor = summed.transpose(ct, x)
    return back


def _gather(walk: Reach, node: Tensor, given: Given) -> Pattern:
    """At places known now a move; else any place along the axes of the indices."""
    if all(walk.zeros.value(i) is not None for i in node.inputs[1:]):
        return moved(walk, node, given)
    op: Any = node.op
    inside, outside = _labels_of(op.axes, node.inputs[0].ndim, node.ndim)
    return labelled(given[0], inside, outside, _sizes((inside, node.inputs[0]), (outside, node)))


def _scatter_add(walk: Reach, node: Tensor, given: Given) -> Pattern:
    if all(walk.zeros.value(i) is not None for i in node.inputs[1:]):
        return added(walk, node, given)
    op: Any = node.op
    outside, inside = _labels_of(op.axes, node.ndim, node.inputs[0].ndim)
    return labelled(given[0], inside, outside, _sizes((inside, node.inputs[0]), (outside, node)))


def _scatter_set(walk: Reach, node: Tensor, given: Given) -> Pattern:
    op: Any = node.op
    x, v, *indices = node.inputs
    if all(walk.zeros.value(i) is not None for i in indices):
        return moved(walk, node, given)
    parts = [given[0]] if 0 in given else []
    if 1 in given:
        outside, inside = _labels_of(op.axes, x.ndim, v.ndim)
        inside = inside if v.ndim else ()
        parts.append(labelled(given[1], inside, outside, _sizes((inside, v), (outside, node))))
    return union(parts, node)


def _labels_of(axes: Sequence[int], whole: int, read: int) -> tuple[Labels, Labels]:
    """Labels of an array and of what is gathered from it along `axes`: the other axes are the same in both."""
    rest = [a for a in range(whole) if a not in axes]
    at = position(axes)
    new = [f"index{k}" for k in range(read - len(rest))]
    return tuple(range(whole)), (*rest[:at], *new, *rest[at:])


def _sizes(*pairs: tuple[Labels, Tensor]) -> dict[Any, int]:
    return {k: int(n) for labels, x in pairs for k, n in zip(labels, x.shape, strict=True)}


def _solve(walk: Reach, node: Tensor, given: Given) -> Pattern:
    """Each right-hand side for itself, in each matrix of a stack."""
    if set(given) != {1}:
        return rowwise(walk, node, given, node)
    b = node.inputs[1]
    if b.ndim == 1:
        inside: Labels = ("b",)
        outside: Labels = (*range(node.ndim - 1), "y")
    else:
        lead = node.ndim - b.ndim
        shared = [k if b.shape[k - lead] == node.shape[k] else f"one{k}" for k in range(lead, node.ndim - 2)]
        inside, outside = (*shared, "b", "column"), (*range(node.ndim - 2), "y", "column")
    return labelled(given[1], inside, outside, _sizes((inside, b), (outside, node)))


def rowwise(walk: Reach, node: Tensor, given: Given, y: Tensor) -> Pattern:
    """Every element of a row of the result depends on that row of the operands, or on all of an operand."""
    xs = [x.aval for x in node.inputs]
    rows = node.op.by_rows(y.aval, *xs) if isinstance(node.op, Primitive) and y is node else None
    parts = []
    for i, p in given.items():
        shape = node.inputs[i].shape
        if isinstance(node.inputs[i].aval, tuple):
            raise located_error(ShapeError, "sparsity", [node], "an operand with several outputs has no pattern")
        outside = tuple(f"y{k}" for k in range(y.ndim))
        inside = tuple(f"x{k}" for k in range(len(shape)))
        if rows is not None and rows[i]:
            inside = ("y0", *inside[1:])
        parts.append(labelled(p, inside, outside, _sizes((inside, node.inputs[i]), (outside, y))))
    return union(parts, y)


RULES: dict[Any, Callable[[Reach, Tensor, Given], Pattern]] = {
    **dict.fromkeys([Where, Cast, Real, Imag, Conjugate], elementwise),
    **dict.fromkeys([PassThrough, Checkpoint, Barrier], _passed),
    **dict.fromkeys([CumSum, Recurrence], _running),
    **dict.fromkeys([Gather, Pick], _gather),
    ScatterAdd: _scatter_add,
    ScatterSet: _scatter_set,
    Einsum: _einsum,
    Solve: _solve,
    Correlate: _as_graph(_correlate),
    CorrelateWeights: _as_graph(_correlate_weights),
    CorrelateRows: _as_graph(_correlate_rows),
    Convolve: _as_graph(_convolve),
    WindowSum: _as_graph(_window_sum),
    AtMax: _as_graph(_at_max),
    ShareMax: _as_graph(_share_max),
}
"""How the pattern of a node follows from those of its operands."""
