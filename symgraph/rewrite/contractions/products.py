"""The products and multiples that a graph has already, found by what they are and not by the order of their axes.

The key of a product of two tensors numbers their labels as they appear, the tensors in one order whichever was written first:
`A @ B`, its transpose, and `einsum("jk,ij->ik", B, A)` have one key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ...core import Tensor
from ...ops.einsum import Einsum
from .regions import Axes, Region

Key = tuple[Any, ...]
Value = tuple[Tensor, Axes]
"""A tensor and the label of each of its axes."""


class Products:
    """What exists, and what would be welcome."""

    def __init__(self) -> None:
        self.made: dict[Key, Value] = {}
        """The products that exist, with their axes in the numbers of the key."""
        self.wanted: Counter[Key] = Counter()
        """How many regions could begin with a product."""
        self.multiples: dict[Key, Tensor] = {}
        """The multiples that exist, by value and coefficient."""

    def find(self, a: Value, b: Value, out: frozenset[int]) -> Value | None:
        """The product of two tensors with the axes `out`, in some order, if there is one."""
        if key_of(a, b, out) not in self.made:
            return None
        x, axes = self.made[key_of(a, b, out)]
        names = {number: label for label, number in _numbering(a, b)[1].items()}
        return x, tuple(names[n] for n in axes)

    def add(self, a: Value, b: Value, x: Value) -> None:
        """`x` is the product of `a` and `b`."""
        numbers = _numbering(a, b)[1]
        made = x[0], tuple(numbers[label] for label in x[1])
        self.made.setdefault(key_of(a, b, frozenset(x[1])), made)

    def register(self, node: Tensor) -> None:
        """Remember a node that is the product of two tensors."""
        op = node.op
        if isinstance(op, Einsum) and len(node.inputs) == 2 and not op.has_delta and not op.sizes:
            a, b = zip(node.inputs, op.operands, strict=True)
            self.add(a, b, (node, op.output))

    def want(self, region: Region) -> None:
        """Count the products of two factors that a region could begin with."""
        self.wanted.update(set(_beginnings(region)))


def key_of(a: Value, b: Value, out: frozenset[int]) -> Key:
    """What identifies the product of two tensors that has the labels `out`."""
    key, numbers = _numbering(a, b)
    return key, frozenset(numbers[label] for label in out)


def _numbering(a: Value, b: Value) -> tuple[Key, dict[int, int]]:
    """The two factors in one order with labels counted as they appear, and the number of each label."""
    if a[0] is b[0]:
        return min(_numbered(a, b), _numbered(b, a), key=lambda found: found[0][:2])
    return (
        _numbered(a, b) if id(a[0]) < id(b[0]) else _numbered(b, a)
    )  # a key lives as long as its tensors, in this process


def _numbered(a: Value, b: Value) -> tuple[Key, dict[int, int]]:
    numbers: dict[int, int] = {}
    left, right = (tuple([numbers.setdefault(label, len(numbers)) for label in axes]) for axes in (a[1], b[1]))
    return (left, right, a[0], b[0]), numbers


def _beginnings(region: Region) -> Iterable[Key]:
    if len(region.factors) < 3:
        return
    for i, a in enumerate(region.factors):
        for j, b in enumerate(region.factors[:i]):
            if not set(a[1]).isdisjoint(b[1]):
                others = [ls for k, (_, ls) in enumerate(region.factors) if k not in (i, j)]
                needed = frozenset(region.output).union(*others)
                yield key_of(b, a, (frozenset(a[1]) | frozenset(b[1])) & needed)
