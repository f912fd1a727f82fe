"""Regions of a graph that are one contraction: a sum of a product of tensors, whatever ops it is written with.

    sum(x * x, axis=1)      (A.T * d) @ A      -(2 * (T - U @ V.T)) @ V      diag(d) @ A      trace(A @ B)

Each axis of the root gets a label, and labels go down to the factors: a transposition permutes them, a sum and a product bring
new ones, a broadcast drops those that are repeated, an identity matrix makes two of them one. Factors without axes are gathered
as one coefficient. A node is taken into a region where nobody else uses it, so that no work is done twice; views are free, and
a multiple `c * x` is taken from `x` by all its users when they are contractions with smaller results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count as counter
from typing import Any

from ..core import Constant, Tensor
from ..dims import Size, same, same_shape
from ..ops.base import Elementwise, as_tensor
from ..ops.creation import Full
from ..ops.diagonal import Diagonal, DiagonalMatrix, Eye
from ..ops.einsum import Einsum
from ..ops.late import F
from ..ops.reduce import Sum
from ..ops.shape import BroadcastTo, Reshape, Transpose
from .contraction_order import CALL, ELEMENTWISE, SUM, VIEW, Sizes, best_order, count, nominal, pair_cost

Axes = tuple[int, ...]
"""The label of each axis of a tensor."""

MOST_FACTORS, MOST_NODES = 12, 64
"""A region does not grow beyond these, so that planning takes time linear in the nodes."""

PATH = 20000.0
"""What np.einsum takes to find its own way through more than two operands, in nanoseconds."""


@dataclass
class Region:
    """root[output] = coefficient * sum of the product of the factors."""

    root: Tensor
    output: Axes
    factors: list[tuple[Tensor, Axes]] = field(default_factory=list)
    numerators: list[Tensor] = field(default_factory=list)
    denominators: list[Tensor] = field(default_factory=list)
    negative: bool = False
    sizes: dict[int, Size] = field(default_factory=dict)
    absorbed: list[Tensor] = field(default_factory=list)
    cost: float = 0.0
    """What the region costs as it is written."""

    @property
    def has_coefficient(self) -> bool:
        return bool(self.numerators or self.denominators or self.negative)

    @property
    def numbers(self) -> Sizes:
        """The sizes, symbolic ones at their nominal values."""
        return {label: nominal(size) for label, size in self.sizes.items()}


class Usage:
    """Who uses what: decides which nodes a region may take in."""

    def __init__(self, order: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        self.uses: dict[Tensor, int] = {}
        self.not_elementwise: set[Tensor] = set(outputs)
        """The nodes that somebody needs as an array: an output, or an operand of an op that is not elementwise."""
        for node in order:
            for x in node.inputs:
                self.uses[x] = self.uses.get(x, 0) + 1
        for x in outputs:
            self.uses[x] = self.uses.get(x, 0) + 1
        self.peeled = _peeled(order, outputs)
        for node in order:
            if not isinstance(node.op, Elementwise):
                self.not_elementwise.update(node.inputs)

    def once(self, node: Tensor) -> bool:
        return self.uses.get(node, 0) == 1


# What a node is ------------------------------------------------------------------------------------------------------


def kind_of(node: Tensor) -> str | None:
    """`view`, `scale` (a multiple by a value without axes), `work`, or None for what is no part of a contraction."""
    if isinstance(node.aval, tuple) or node.dtype.char not in "fdFD":
        return None
    op = node.op
    found = _KINDS.get(op.family)
    return found(node) if callable(found) else found


def _scale_or_work(node: Tensor) -> str | None:
    if not node.ndim:
        return None
    return "scale" if any(not x.ndim for x in node.inputs) else "work"


def _product(node: Tensor) -> str:
    """A product with an array of one number, which only repeats the other operand, is as good as a view."""
    op: Any = node.op
    rest = [ls for x, ls in zip(node.inputs, op.operands, strict=True) if not _is_fill(x)]
    if len(rest) < len(node.inputs) == 2 and len(rest) == 1 and set(rest[0]) <= set(op.output) and not op.has_delta:
        return "view"
    return "work"


def _is_fill(x: Tensor) -> bool:
    return isinstance(x.op, Full | BroadcastTo) and not x.inputs[0].ndim


def _by_number(node: Tensor) -> str | None:
    return "scale" if node.inputs[0].ndim and not node.inputs[1].ndim else None


def _is_square(node: Tensor) -> str | None:
    exponent = node.inputs[1].op
    return "work" if node.ndim and isinstance(exponent, Constant) and exponent.number == 2 else None


def _only_ones(node: Tensor) -> str | None:
    """A reshape that only brings or drops axes of size 1."""
    old, new = _wide(node.inputs[0].shape), _wide(node.shape)
    return "view" if same_shape(old, new) else None


def _wide(shape: Iterable[Size]) -> tuple[Size, ...]:
    return tuple(n for n in shape if not same(n, 1))


_KINDS: dict[Any, Any] = {
    Einsum: _product,
    Sum: lambda node: "work" if node.dtype == node.inputs[0].dtype and node.op.axis else None,
    Transpose: "view",
    BroadcastTo: "view",
    Full: "view",
    Reshape: _only_ones,
    Eye: lambda node: "view" if not node.op.k and same(node.op.rows, node.op.columns) else None,
    Diagonal: lambda node: "view" if not node.op.offset and same(*node.inputs[0].shape[-2:]) else None,
    DiagonalMatrix: lambda node: "work" if not node.op.offset and same(*node.shape[-2:]) else None,
    F.multiply: _scale_or_work,
    F.divide: _by_number,
    F.negative: lambda node: "scale" if node.ndim else None,
    F.square: lambda node: "work" if node.ndim else None,
    F.power: _is_square,
}


def _peeled(order: Sequence[Tensor], outputs: Sequence[Tensor]) -> set[Tensor]:
    """The multiples c * x all of whose users are contractions, which together have at most half as many elements."""
    reached: dict[Tensor, float] = {}  # the elements of the contractions that a value ends in; inf for another user
    for x in outputs:
        reached[x] = float("inf")
    peeled = set()
    for node in reversed(order):
        kind = kind_of(node)
        size = _elements(node) if kind else 0.0
        if kind == "scale" and 2 * reached.get(node, 0.0) <= size:
            peeled.add(node)
            target = reached.get(node, 0.0)
        elif isinstance(node.op, Transpose):
            target = reached.get(node, 0.0)
        else:
            target = size if isinstance(node.op, Einsum) else float("inf")
        for x in dict.fromkeys(node.inputs):
            reached[x] = reached.get(x, 0.0) + target
    return peeled


def _elements(node: Tensor) -> float:
    total = 1.0
    for size in node.shape:
        total *= nominal(size)
    return total


# Regions -------------------------------------------------------------------------------------------------------------


def region_of(root: Tensor, usage: Usage) -> Region | None:
    """The region under `root`, or None where there is nothing that could be done better."""
    kind = kind_of(root)
    if kind is None or not (kind == "scale" or isinstance(root.op, Einsum | Sum | Transpose | Diagonal)):
        return None
    if not isinstance(root.op, Einsum | Sum) and not any(_enters(x, usage, alone=True) for x in root.inputs if x.ndim):
        return None
    return _Parser(root, usage).parse()


def _enters(node: Tensor, usage: Usage, alone: bool) -> bool:
    """Whether a node below the root is taken apart; `alone` if nobody else needs what lies above it."""
    kind = kind_of(node)
    if kind == "view":
        return True
    alone = alone and usage.once(node)
    return kind is not None and (alone or (kind == "scale" and node in usage.peeled))


class _Parser:
    def __init__(self, root: Tensor, usage: Usage) -> None:
        self.usage = usage
        self.fresh = counter()
        self.sizes: dict[int, Size] = {}
        self.merged: dict[int, int] = {}
        self.outside = frozenset(self.new(root.shape))
        self.region = Region(root, tuple(sorted(self.outside)))
        self.contracts = False

    def parse(self) -> Region | None:
        region = self.region
        stack: list[tuple[Tensor, Axes, bool]] = [(region.root, region.output, True)]
        while stack:
            node, labels, alone = stack.pop()
            root = not region.absorbed
            if not node.ndim and not root:
                if not (isinstance(node.op, Constant) and node.op.number == 1):
                    region.numerators.append(node)
                continue
            if not root:
                if self.is_full(len(stack), node) or not _enters(node, self.usage, alone):
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
    p.pay(
        einsum_cost([frozenset(ls) for _, ls in parts], frozenset(labels), {k: nominal(n) for k, n in p.sizes.items()})
    )
    return parts


def einsum_cost(factors: Sequence[frozenset[int]], output: frozenset[int], sizes: Sizes) -> float:
    """Of one contraction as it is emitted: operands summed first over labels of their own, then the product."""
    total = 0.0
    reduced = []
    for i, labels in enumerate(factors):
        others = output.union(*factors[:i], *factors[i + 1 :])
        own = labels - others
        if own and len(factors) > 1:
            total += CALL + SUM * count(labels, sizes)
        reduced.append(labels - own if len(factors) > 1 else labels)
    if len(factors) == 1:
        return VIEW if factors[0] <= output else CALL + SUM * count(factors[0], sizes)
    if len(factors) == 2:
        a, b = reduced
        return total + pair_cost(a, b, output & (a | b), sizes)
    return total + best_order(reduced, output, sizes, lambda i, j, out: None)[1] + PATH


def _sum(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    op: Any = node.op
    (x,) = node.inputs
    p.pay(CALL + SUM * _elements(x))
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
    p.pay(CALL + SUM * _elements(node))
    return [] if p.unify([(labels[0], labels[1])]) else None


def _diagonal(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(VIEW)
    return [(node.inputs[0], (*labels, labels[-1]))]


def _diagonal_matrix(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + SUM * _elements(node))
    return [(node.inputs[0], labels[:-1])] if p.unify([(labels[-2], labels[-1])]) else None


def _multiply(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + ELEMENTWISE * (_elements(node) + sum(_elements(x) for x in node.inputs if x.ndim)))
    return [_aligned(p, x, node, labels) for x in node.inputs]


def _divide(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + 2 * ELEMENTWISE * _elements(node))
    x, c = node.inputs
    p.region.denominators.append(c)
    return [(x, labels)]


def _negative(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + 2 * ELEMENTWISE * _elements(node))
    p.region.negative = not p.region.negative
    return [(node.inputs[0], labels)]


def _square(p: _Parser, node: Tensor, labels: Axes) -> Parts:
    p.pay(CALL + 2 * ELEMENTWISE * _elements(node))
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
