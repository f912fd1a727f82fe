"""Which elements of a value are certainly zero: those of constants, and where ops put zeros around values.

A product with a constant matrix, a triangle or a diagonal is as sparse as that is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Constant, Tensor
from ..dims import variables
from ..ops.base import Linear, Primitive
from ..ops.diagonal import Triangle
from ..ops.elementwise import Cast
from ..ops.late import F

Numbers = np.ndarray[Any, Any]
MOST = 1 << 26
"""Constants with more elements than this are taken for dense."""


class Zeros:
    """What is known of the nodes that a walk has seen."""

    def __init__(self) -> None:
        self._values: dict[Tensor, Any] = {}
        self._supports: dict[Tensor, Numbers | None] = {}

    def see(self, node: Tensor) -> None:
        """Take note of a node, after its operands."""
        if node.leafy and isinstance(node.op, Primitive) and self._is_known(node):
            self._supports[node] = _proper(self._support(node))

    def value(self, x: Tensor) -> Any:
        """The value of what depends on no leaf, or None."""
        if x.leafy or isinstance(x.aval, tuple) or variables(*x.shape) or _count(x) > MOST:
            return None
        if isinstance(x.op, Constant):
            return x.op.value
        if x not in self._values:
            (self._values[x],) = F.interpret([x], self._values)
        return self._values[x]

    def support(self, x: Tensor) -> Numbers | None:
        """Where `x` may differ from zero, or None for everywhere."""
        if x not in self._supports:
            value = self.value(x)
            self._supports[x] = None if value is None else _proper(np.asarray(value) != 0)
        return self._supports[x]

    def _is_known(self, node: Tensor) -> bool:
        if isinstance(node.aval, tuple) or variables(*node.shape) or _count(node) > MOST:
            return False
        sparse = isinstance(node.op, Triangle) or node.op.mostly_zeros  # type: ignore[attr-defined]
        return sparse or any(self._supports.get(x) is not None or not x.leafy for x in node.inputs)

    def _support(self, node: Tensor) -> Numbers | None:
        op: Any = node.op
        if isinstance(op, Cast) or op is F.negative:
            return self.support(node.inputs[0])
        if op is F.multiply or op is F.masked_multiply:
            found = [self.support(x) for x in node.inputs]
            there = [np.broadcast_to(s, node.shape) for s in found if s is not None]  # type: ignore[arg-type]
            return np.logical_and.reduce(there) if there else None
        if op is F.add or op is F.subtract:
            a, b = (self.support(x) for x in node.inputs)
            return None if a is None or b is None else np.logical_or(a, b)
        if isinstance(op, Linear) and op.structural and not op.adds:
            return self._moved(op, node)
        return None

    def _moved(self, op: Any, node: Tensor) -> Numbers | None:
        """A move of values is a move of their zeros."""
        operands = []
        for i, x in enumerate(node.inputs):
            if op.linear is None or i < op.linear:
                there = self.support(x)
                operands.append(np.ones(x.shape, np.int64) if there is None else there.astype(np.int64))
            else:
                value = self.value(x)
                if value is None:
                    return None
                operands.append(value)
        found: Numbers = np.asarray(op.evaluate(*operands)) != 0
        return found


def _count(x: Tensor) -> int:
    count: Any = 1
    for n in x.shape:
        count = count * n
    return int(count)


def _proper(support: Numbers | None) -> Numbers | None:
    """None for a support that leaves nothing out."""
    return None if support is None or support.all() else support
