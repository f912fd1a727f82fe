"""How a region is found: labels go down from its root to its factors.

Each axis of the root gets a label. A transposition permutes the labels, a sum and a product bring new ones, a broadcast drops
those along which values are repeated, an identity matrix makes two of them one. Values without axes, and numbers, are gathered
as one coefficient; a label that no factor has in the end counts equal terms, and its size joins the coefficient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count as counter
from typing import Any

from ...core import Constant, Tensor
from ...dims import Size, same
from ...ops.base import as_tensor
from ...ops.creation import Full
from ...ops.diagonal import Diagonal, DiagonalMatrix, Eye
from ...ops.einsum import Einsum
from ...ops.late import F
from ...ops.reduce import Sum
from ...ops.shape import BroadcastTo, Reshape, Transpose
from ..scales import scales_far
from .order import CALL, ELEMENTWISE, SUM, VIEW, cost_of
from .regions import Axes, Region, Usage, elements, kind_of

MOST_FACTORS, MOST_NODES = 12, 64
"""A region does not grow beyond these, so that planning takes time linear in the nodes."""


def region_of(root: Tensor, usage: Usage, alone: bool = True) -> Region | None:
    """The region under `root`, or None where there is nothing that could be done better; unless `alone`, only with views."""
    kind = kind_of(root)
    if kind is None or not (kind == "scale" or isinstance(root.op, Einsum | Sum | Transpose | Diagonal)):
        return None
    if not isinstance(root.op, Einsum | Sum) and not any(usage.enters(x, alone=True) for x in root.inputs if x.ndim):
        return None
    return _Parser(root, usage).parse(alone)


class _Parser:
    def __init__(self, root: Tensor, usage: Usage) -> None:
        self.usage = usage
        self.fresh = counter()
        self.sizes: dict[int, Size] = {}
        self.merged: dict[int, int] = {}
        self.outside = frozenset(self.new(root.shape))
        self.region = Region(root, tuple(sorted(self.outside)))
        self.contracts = False

    def parse(self, alone: bool) -> Region | None:
        region = self.region
        stack: list[tuple[Tensor, Axes, bool]] = [(region.root, region.output, alone)]
        while stack:
            node, labels, alone = stack.pop()
            root = not region.absorbed
            if not node.ndim and not root:
                if not (isinstance(node.op, Constant) and node.op.number == 1):
                    region.numerators.append(node)
                continue
            if not root:
                if self.is_full(len(stack), node) or not self.usage.enters(node, alone):
                    region.factors.append((node, labels))
                    continue
                alone = alone and self.usage.once(node)
            parts = _PARTS[node.op.family](self, node, labels)
            if parts is None:
                if root:
                    return None
                region.factors.append((node, labels))
                continue
            region.absorbed.append(node)
            self.contracts |= isinstance(node.op, Einsum | Sum | Eye)
            stack += [(x, ls, alone) for x, ls in reversed(parts)]
        if not self.contracts or not region.factors:
            return None
        return self.finished()

    def is_full(self, waiting: int, node: Tensor) -> bool:
        region = self.region
        if len(region.absorbed) >= MOST_NODES:
            return True
        return len(region.factors) + waiting + len(node.inputs) > MOST_FACTORS and kind_of(node) == "work"

    def finished(self) -> Region | None:
        region = self.region
        region.output = tuple(map(self.find, region.output))
        if len(set(region.output)) < len(region.output):
            return None
        region.factors = [(x, tuple(map(self.find, ls))) for x, ls in region.factors]
        for label in list(self.sizes):
            first = self.find(label)
            if isinstance(self.sizes[label], int):
                self.sizes[first] = self.sizes[label]
        region.sizes = {label: n for label, n in self.sizes.items() if self.find(label) == label}
        used = {label for _, ls in region.factors for label in ls} | set(region.output)
        for label, n in region.sizes.items():
            if label not in used and not same(n, 1):  # a sum of equal terms
                region.numerators.append(as_tensor(n))
        return region

    # Labels

    def new(self, shape: Iterable[Size]) -> Axes:
        labels = tuple(next(self.fresh) for _ in shape)
        self.sizes.update(zip(labels, shape))
        return labels

    def find(self, label: int) -> int:
        while label in self.merged:
            label = self.merged[label]
        return label

    def unify(self, pairs: Sequence[tuple[int, int]]) -> bool:
        """Make the labels of each pair one; nothing is done where the root has both of a pair."""
        before = dict(self.merged)
        for a, b in pairs:
            a, b = self.find(a), self.find(b)
            if a == b:
                continue
            if b in self.outside:
                a, b = b, a
            if b in self.outside:
                self.merged = before
                return False
            self.merged[b] = a
        return True

    def pay(self, cost: float) -> None:
        self.region.cost += cost


Parts = list[tuple[Tensor, Axes]] | None


def _einsum(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    op: Any = node.op
    if op.has_delta and node is p.region.root:
        return None
    inner: dict[int, int] = {}
    twins = []
    for own, given in zip(op.output, labels, strict=True):
        if own in inner:
            twins.append((inner[own], given))
        inner.setdefault(own, given)
    if not p.unify(twins):
        return None
    for ls, x in zip(op.operands, node.inputs, strict=True):
        for own, size in zip(ls, x.shape, strict=True):
            if own not in inner:
                (inner[own],) = p.new([size])
    parts = [(x, tuple(inner[own] for own in ls)) for ls, x in zip(op.operands, node.inputs, strict=True)]
    p.pay(cost_of(node))
    return parts


def _sum(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    op: Any = node.op
    (x,) = node.inputs
    p.pay(CALL + SUM * elements(x))
    if op.keepdims:
        return [(x, tuple(p.new([n])[0] if i in op.axis else labels[i] for i, n in enumerate(x.shape)))]
    kept = iter(labels)
    return [(x, tuple(p.new([n])[0] if i in op.axis else next(kept) for i, n in enumerate(x.shape)))]


def _transpose(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(VIEW)
    axes: tuple[int, ...] = node.op.axes  # type: ignore[attr-defined]
    return [(node.inputs[0], tuple(labels[axes.index(i)] for i in range(node.ndim)))]


def _aligned(p: _Parser, x: Tensor, node: Tensor, labels: Axes) -> tuple[Tensor, Axes]:
    """An operand that broadcasts to `node`, and its labels: a new one for an axis that is stretched."""
    lead = node.ndim - x.ndim
    return x, tuple(
        p.new([1])[0] if same(n, 1) and not same(m, 1) else label
        for n, m, label in zip(x.shape, node.shape[lead:], labels[lead:], strict=True)
    )


def _broadcast(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(VIEW)
    return [_aligned(p, node.inputs[0], node, labels)]


def _reshape(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(VIEW)
    (x,) = node.inputs
    wide = iter([label for n, label in zip(node.shape, labels, strict=True) if not same(n, 1)])
    return [(x, tuple(p.new([n])[0] if same(n, 1) else next(wide) for n in x.shape))]


def _eye(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + SUM * elements(node))
    return [] if p.unify([(labels[0], labels[1])]) else None


def _diagonal(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(VIEW)
    return [(node.inputs[0], (*labels, labels[-1]))]


def _diagonal_matrix(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + SUM * elements(node))
    return [(node.inputs[0], labels[:-1])] if p.unify([(labels[-2], labels[-1])]) else None


def _multiply(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    if any([scales_far(x, node.dtype) for x in node.inputs]):
        return None  # the products of what it scales may overflow, or vanish
    p.pay(CALL + ELEMENTWISE * (elements(node) + sum(elements(x) for x in node.inputs if x.ndim)))
    return [_aligned(p, x, node, labels) for x in node.inputs]


def _divide(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    if scales_far(node.inputs[1], node.dtype):
        return None
    p.pay(CALL + 2 * ELEMENTWISE * elements(node))
    x, c = node.inputs
    p.region.denominators.append(c)
    return [(x, labels)]


def _negative(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + 2 * ELEMENTWISE * elements(node))
    p.region.negative = not p.region.negative
    return [(node.inputs[0], labels)]


def _square(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + 2 * ELEMENTWISE * elements(node))
    return [(node.inputs[0], labels)] * 2


_PARTS: Mapping[Any, Callable[[_Parser, Tensor, Axes], Parts]] = {
    Einsum: _einsum,
    Sum: _sum,
    Transpose: _transpose,
    BroadcastTo: _broadcast,
    Full: _broadcast,
    Reshape: _reshape,
    Eye: _eye,
    Diagonal: _diagonal,
    DiagonalMatrix: _diagonal_matrix,
    F.multiply: _multiply,
    F.divide: _divide,
    F.negative: _negative,
    F.square: _square,
    F.power: _square,
}
