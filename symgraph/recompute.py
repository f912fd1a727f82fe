"""Twins: what reverse mode reads in the place of values that it recomputes (see `ops.checkpoint`).

When the sweep reaches a checkpoint, its cotangent is known, and the segment before it is about to be read. The twin of a
node of the segment is the same op on the twins of its operands; where a node reads only values that are kept, one of
them goes through a barrier which waits for that cotangent. Nested segments are twins of twins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .core import Tensor, rebuild
from .ops.checkpoint import Checkpoint, waiting
from .ops.work import is_step


class Twins:
    """The twins made so far, by the node they repeat."""

    def __init__(self, frozen: Collection[Tensor]) -> None:
        self.frozen = frozenset(frozen)
        self.twin: dict[Tensor, Tensor] = {}
        self.read: dict[Tensor, list[Tensor]] = {}

    def operands(self, node: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """The node and its operands as a derivative rule shall read them."""
        if not self.twin:
            return node, node.inputs
        if node in self.read:
            return self.twin.get(node, node), self.read[node]
        return node, [self.twin.get(x, x) for x in node.inputs]

    def reach(self, end: Tensor, ct: Tensor) -> None:
        """The sweep is at the checkpoint `end` with its cotangent: from now on its segment is read from twins.

        Where the cotangent is a constant the backward pass begins here, and its values are still there.
        """
        if not ct.leafy:
            return
        made: dict[Tensor, Tensor] = {}
        for node in self._segment(end):
            inputs = [made.get(x, self.twin.get(x, x)) for x in node.inputs]
            if not any(x in made for x in node.inputs):
                if not is_step(node):
                    continue  # a view of what is kept is kept
                inputs = waiting(inputs, ct)
            made[node] = rebuild(node, inputs)
            self.read[node] = inputs
        if not end.op.whole:  # type: ignore[attr-defined]
            made.pop(end.inputs[0], None)  # the value at the checkpoint itself is kept
        self.twin.update(made)

    def _segment(self, end: Tensor) -> list[Tensor]:
        """The nodes that `end` is made of and that are not kept, operands first."""
        assert isinstance(end.op, Checkpoint)
        whole = end.op.whole
        edge = self.frozen.union(end.inputs[1:])

        def kept(x: Tensor) -> bool:
            if x in edge or not x.inputs or not x.leafy or x.op.name == "draw":
                return True
            return isinstance(x.op, Checkpoint) and not whole

        order: list[Tensor] = []
        done: set[Tensor] = set()
        stack = [end.inputs[0]]
        while stack:
            node = stack[-1]
            if node not in done:
                if kept(node):
                    done.add(node)
                elif pending := [x for x in node.inputs if x not in done]:
                    stack += pending[::-1]
                    continue
                else:
                    done.add(node)
                    order.append(node)
            stack.pop()
        return order
