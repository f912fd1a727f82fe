"""The order of the steps.

Depth first from the outputs, operands from left to right, computes a value shortly before it is used. The fast style goes
on from there to save memory: the gradient of a weight, for example, is computed as soon as it is the last to read its two
operands, and not when all the cotangents are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from symgraph.core import Constant, Item, Leaf, Tensor

from .memory import nominal_bytes
from .program import Program


@dataclass(frozen=True)
class Schedule:
    """The steps in order, how often each value is used, and its roots: the values whose memory it may share."""

    steps: tuple[Tensor, ...]
    uses: Mapping[Tensor, int]
    roots: Mapping[Tensor, frozenset[Tensor]]


def schedule(program: Program) -> Schedule:
    """The schedule of a program."""
    order = program.order
    uses: dict[Tensor, int] = dict.fromkeys(order, 0)
    for node in order:
        for x in node.inputs:
            uses[x] += 1
    for output in [*program.outputs, *[new for _, new in program.updates]]:
        uses[output] += 1
    return Schedule(tuple(order), uses, memory_roots(order))


NOTHING: frozenset[Tensor] = frozenset()


def memory_roots(order: list[Tensor]) -> dict[Tensor, frozenset[Tensor]]:
    """For each node, the nodes in whose memory its value may lie: itself, unless it is made by views alone."""
    roots: dict[Tensor, frozenset[Tensor]] = {}
    for node in order:
        if isinstance(node.op, Item) and not getattr(node.inputs[0].op, "is_view", False):
            roots[node] = frozenset([node])
        elif isinstance(node.op, Item) or getattr(node.op, "is_view", False):
            found = NOTHING.union(*[roots[x] for x in node.inputs])
            roots[node] = found if len(node.inputs) == 1 else found | {node}
        else:
            roots[node] = frozenset([node])
    return roots


def low_memory(plan: Schedule, results: Sequence[Tensor]) -> Schedule:
    """The same steps in an order that keeps little memory in use; `results` are kept to the end.

    Of the operands of a step the one with the longest history comes first, as its own operands need more room (Sethi and
    Ullman, 1970). Then each step moves forward to where it is the last to read operands, if that frees at least as much
    memory as its result takes.
    """
    steps = [x for x in _longest_first(plan.steps, results) if not _is_given(x)]
    place = {x: i for i, x in enumerate(steps)}
    reads = {x: frozenset().union(*[plan.roots[i] for i in x.inputs]) if x.inputs else NOTHING for x in steps}
    readers: dict[Tensor, dict[Tensor, None]] = {}
    for x in steps:
        if not _is_view(x):
            for root in reads[x]:
                readers.setdefault(root, {})[x] = None
    kept = NOTHING.union(*[plan.roots[y] for y in results])
    order: list[Tensor] = []
    placed: set[Tensor] = set()

    def put(x: Tensor) -> list[Tensor]:
        """Place a step, after the views it needs; the steps that may now be the last to read something."""
        stack = [x]
        while stack:
            node = stack[-1]
            pending = [i for i in node.inputs if i in place and i not in placed]
            if pending:
                stack += pending
                continue
            stack.pop()
            if node not in placed:
                placed.add(node)
                order.append(node)
        found: dict[Tensor, None] = {}
        for root in [*sorted(reads[x] & place.keys(), key=place.__getitem__), x]:
            left = readers.get(root, {})
            left.pop(x, None)
            if len(left) == 1:
                found.update(left)
        return list(found)

    def pays(x: Tensor) -> bool:
        if x in placed or x in kept or not _bytes(x) or any(r in place and r not in placed for r in reads[x]):
            return False
        freed = [r for r in reads[x] if r in place and r not in kept and len(readers[r]) == 1]
        return _bytes(x) <= sum(map(_bytes, freed))

    for step in steps:
        pending = [] if step in placed or _is_view(step) else [step]
        while pending:
            pending = [x for x in put(pending.pop(0)) if pays(x)] + pending
            pending = [x for x in pending if x not in placed]
    for step in steps:
        if step not in placed:
            put(step)
    return replace(plan, steps=(*[x for x in plan.steps if _is_given(x)], *order))


def _longest_first(steps: Sequence[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
    """Depth first, operands that hang on the longest chains of steps before others."""
    depth: dict[Tensor, int] = {}
    for x in steps:
        depth[x] = max([depth[i] for i in x.inputs], default=0) + 1
    order: dict[Tensor, None] = {}
    stack = list(results)[::-1]
    while stack:
        node = stack[-1]
        pending = [x for x in node.inputs if x not in order] if node not in order else []
        if pending:
            stack += sorted(pending[::-1], key=depth.__getitem__)
            continue
        stack.pop()
        order[node] = None
    return list(order)


def _is_given(x: Tensor) -> bool:
    return isinstance(x.op, Leaf | Constant)


def _is_view(x: Tensor) -> bool:
    return isinstance(x.op, Item) or bool(getattr(x.op, "is_view", False))


def _bytes(x: Tensor) -> int:
    return nominal_bytes(x) if isinstance(x.aval, tuple) or x.ndim else 0
