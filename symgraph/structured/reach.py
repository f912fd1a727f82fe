"""What each element of a tangent depends on, step by step along its graph.

Most steps are *moves*: run on the positions of their operand instead of its values, an op says by itself which element
each of its results is. Steps that add elements are moves backwards, through their transpose. A contraction joins labels,
and sees which entries of its other operands are certainly zero. An op about which nothing is known lets every element of
a row of its result depend on that whole row, or on everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core import Body, Item, Symbol, Tensor, make, make_fresh, toposort
from ..dtypes import is_inexact
from ..ops.base import Elementwise, Linear, Primitive
from ..ops.control import Cond
from ..ops.mapped import MapRows
from ..ops.rules import Transparent
from .patterns import Pattern, identity, nothing, size_of, union, width
from .reach_rules import RULES, Given, UnknownError, added, elementwise, moved, rowwise
from .zeros import Zeros


class Reach:
    """A walk over a graph that is linear in its seeds; `check` is told every node that depends on one."""

    def __init__(self, check: Callable[[Tensor], None], zeros: Zeros | None = None) -> None:
        self.check = check
        self.zeros = zeros or Zeros()

    def of(self, outputs: Sequence[Tensor], seeds: Mapping[Tensor, Pattern]) -> list[Pattern | None]:
        """The pattern of each output, given those of the seeds; None where it does not depend on one."""
        order = toposort(outputs, stop=seeds)
        left: dict[Tensor, int] = dict.fromkeys(outputs, 1)
        for node in order:
            for x in node.inputs if node not in seeds else ():
                left[x] = left.get(x, 0) + 1
        found: dict[Tensor, Pattern] = dict(seeds)
        for node in order:
            if node in seeds:
                continue
            given = {i: found[x] for i, x in enumerate(node.inputs) if x in found}
            if not given:
                self.zeros.see(node)
            elif isinstance(node.aval, tuple):
                found[node] = given  # read by its items
            elif is_inexact(node.dtype):
                self.check(node)
                found[node] = self._step(node, given)
            for x in node.inputs:
                left[x] -= 1
                if not left[x]:
                    found.pop(x, None)
        return [found.get(y) for y in outputs]

    def _step(self, node: Tensor, given: Given) -> Pattern:
        if isinstance(node.op, Item):
            source = node.inputs[0]
            return self._joint(source, given[0], node.op.index, node)
        rule = RULES.get(node.op.family)
        try:
            if rule is not None:
                return rule(self, node, given)
            if isinstance(node.op, Elementwise):
                return elementwise(self, node, given)
            if isinstance(node.op, Linear) and node.op.structural:
                return (added if node.op.adds else moved)(self, node, given)
        except UnknownError:
            pass
        return self._joint(node, given, 0, node)

    def _joint(self, node: Tensor, given: Given, index: int, y: Tensor) -> Pattern:
        """`y` is `node`, or the output of that index: by its body, by what it is made of, or row by row."""
        if isinstance(node.op, MapRows):
            return self._map_rows(node, given, index, y)
        if isinstance(node.op, Cond):
            bodies = (node.op.true, node.op.false)
            return union([self._body(b, {i - 1: p for i, p in given.items()}, index, y) for b in bodies], y)
        fresh = {i: make_fresh(Symbol("t", node.inputs[i].aval)) for i in given}
        made = make(node.op, *[fresh.get(i, x) for i, x in enumerate(node.inputs)])
        if isinstance(node.op, Primitive):
            op, xs = node.op, made.inputs
            lowered = op.item(index, *xs) if isinstance(op, Transparent) else op.lower(*xs)
            if lowered is not None and lowered.op is not node.op:
                return self.of_graph(lowered, {x: given[i] for i, x in fresh.items()}, y)
        return rowwise(self, node, given, y)

    def of_graph(self, output: Tensor, seeds: Mapping[Tensor, Pattern], y: Tensor) -> Pattern:
        """The pattern of `y`, which is equal to another graph."""
        (found,) = Reach(self.check, self.zeros).of([output], seeds)
        return nothing(size_of(y), width(seeds.values())) if found is None else found

    def _body(self, body: Body, given: Given, index: int, y: Tensor) -> Pattern:
        return self.of_graph(body.outputs[index], {body.inputs[i]: p for i, p in given.items()}, y)

    def _map_rows(self, node: Tensor, given: Given, index: int, y: Tensor) -> Pattern:
        """The pattern of the body, once for each row."""
        import numpy as np
        from scipy.sparse import kron

        op: Any = node.op
        rows = int(node.inputs[0].shape[0])
        parts = []
        for i, p in given.items():
            x = op.body.inputs[i]
            (body,) = Reach(self.check, self.zeros).of([op.body.outputs[index]], {x: identity(size_of(x))})
            if body is not None:
                each = identity(rows) if i < op.mapped else np.ones((rows, 1), bool)
                parts.append(kron(each, body, format="csr").astype(bool) @ p)
        return union(parts, y) if parts else nothing(size_of(y), width(given.values()))
