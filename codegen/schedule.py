"""The order of the steps, and which of them share a line.

One order serves every style: depth first from the outputs, operands from left to right, which computes a value shortly
before it is used. Fusion and memory planning take this schedule and refine it; the plain style needs only `inline`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from symgraph.core import Item, Tensor

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
