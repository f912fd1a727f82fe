"""Regions of a graph that are one contraction: a sum of a product of tensors, whatever ops it is written with.

    sum(x * x, axis=1)      (A.T * d) @ A      -(2 * (T - U @ V.T)) @ V      diag(d) @ A      trace(A @ B)

A node is taken into a region where nobody else uses it, so that no work is done twice; views are free, and a multiple `c * x`
is taken from `x` by all its users when they are contractions with smaller results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...core import Constant, Tensor
from ...dims import Size, same, same_shape
from ...ops.base import Elementwise
from ...ops.creation import Full
from ...ops.diagonal import Diagonal, DiagonalMatrix, Eye
from ...ops.einsum import Einsum
from ...ops.late import F
from ...ops.reduce import Sum
from ...ops.shape import BroadcastTo, Reshape, Transpose
from .order import Sizes, nominal

Axes = tuple[int, ...]
"""The label of each axis of a tensor."""


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

    @cached_property
    def numbers(self) -> Sizes:
        """The sizes, symbolic ones at their nominal values."""
        return Sizes((label, nominal(size)) for label, size in self.sizes.items())


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

    def enters(self, node: Tensor, alone: bool) -> bool:
        """Whether a node below the root is taken apart; `alone` if nobody else needs what lies above it."""
        kind = kind_of(node)
        if kind == "view":
            return True
        alone = alone and self.once(node)
        return kind is not None and (alone or (kind == "scale" and node in self.peeled))


# What a node is ------------------------------------------------------------------------------------------------------


def kind_of(node: Tensor) -> str | None:
    """`view`, `scale` (a multiple by a value without axes), `work`, or None for what is no part of a contraction."""
    if isinstance(node.aval, tuple) or node.dtype.char not in "fdFD":
        return None
    op = node.op
    found = KINDS.get(op.family)
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


KINDS: dict[Any, Any] = {
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
        size = elements(node) if kind else 0.0
        if kind == "scale" and 2 * reached.get(node, 0.0) <= size:
            peeled.add(node)
            target = reached.get(node, 0.0)
        elif isinstance(node.op, Transpose):
            target = reached.get(node, 0.0)
        else:
            target = min(size, reached.get(node, size)) if isinstance(node.op, Einsum | Sum) else float("inf")
        for x in dict.fromkeys(node.inputs):
            reached[x] = reached.get(x, 0.0) + target
    return peeled


def elements(node: Tensor) -> float:
    """The number of elements of a value."""
    total = 1.0
    for size in node.shape:
        total *= nominal(size)
    return total
