"""Stacks whose items are computed in their places, so that nothing is copied together.

    h = t7[3]
    np.tanh(t4, out=h)

An item is written into the stack if it is a step that can write into memory that is there, and belongs to no other stack.
"""

from __future__ import annotations

from symgraph.core import Tensor
from symgraph.ops import code
from symgraph.ops.base import Primitive
from symgraph.ops.code import Code
from symgraph.ops.joining import Stack

from .inplace import keeps_alive
from .memory import Storage
from .places import Places
from .program import Program


class Pieces(Places):
    """An emission in which items of stacks lie in the stacks from the beginning."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.pieces = self._pieces()
        """The stack that an item is computed in, and its place there."""
        self.stacks = {stack for stack, _ in self.pieces.values()}
        self.placed: set[Tensor] = set()
        """The items that have been written."""
        if self.pieces:
            wholes = {piece: stack for piece, (stack, _) in self.pieces.items()}
            self.keeps = keeps_alive(self.plan.steps, frozenset(self.added.values()), wholes)

    def _pieces(self) -> dict[Tensor, tuple[Tensor, int]]:
        settled = {*self.added, *self.added.values(), *self.finals, *self.late, *self.outputs}
        settled |= {new for _, new in self.program.updates}
        found: dict[Tensor, tuple[Tensor, int]] = {}
        for node in self.plan.steps:
            if isinstance(node.op, Stack) and node.op.axis == 0 and node not in self.finals and node not in self.late:
                for i, x in enumerate(node.inputs):
                    if x.ndim and x not in settled and x not in found and self._writes(x):
                        found[x] = node, i
        return found

    def _into(self, node: Tensor, op: Primitive) -> bool:
        if self.kernel is None and node in self.pieces:
            return self._piece(node, op, *self.pieces[node])
        if self.kernel is None and node in self.stacks:
            return self._rest(node)
        return super()._into(node, op)

    def _piece(self, node: Tensor, op: Primitive, stack: Tensor, place: int) -> bool:
        """Write the step into its place in the stack."""
        xs = self._in_user_order(node, self._operands(node, op))
        if op.into("out", *xs) is None or all(x.literal for x in xs):
            return False
        item = f"{self._whole(stack).name}[{place}]"
        name = self.reserved.get(node) or (item if self.plan.uses[node] == 1 else self.names.number("t"))
        if name != item:
            self.body_lines.append((f"{name} = {item}", node))
        self.body_lines += [(line, node) for line in op.into(name, *xs) or []]
        self.code[node] = Code(name, aval=node.aval)
        self.placed.add(node)
        return True

    def _rest(self, stack: Tensor) -> bool:
        """Copy the items that could not be computed in their places."""
        storage = self._whole(stack)
        for i, x in enumerate(stack.inputs):
            if x not in self.placed or self.pieces[x][0] is not stack or self.pieces[x][1] != i:
                self.body_lines.append((f"{storage.name}[{i}] = {code.argument(self._strong(x))}", stack))
        self.code[stack] = Code(self._alias(stack, storage, []), aval=stack.aval)
        return True

    def _whole(self, stack: Tensor) -> Storage:
        """The memory of the stack, from its first item on."""
        if stack not in self.storage_of:
            storage = self._memory(stack)
            if storage.opening < 0:
                storage.opening = len(self.body_lines)
            storage.made = 0, ""
        return self.storage_of[stack]
