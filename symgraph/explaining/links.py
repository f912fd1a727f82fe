"""Which generated lines belong to which nodes as the user wrote them, both ways.

A statement computes nodes of the rewritten graph (see `reading`). Such a node took the place of nodes as written; one that
rewriting made up on the way belongs to the nodes it was made up for, which are those that use it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..core import Constant, Item, Leaf, Tensor, toposort
from ..function import Function
from .reading import Reading

K = TypeVar("K", bound=Hashable)

MOST = 12
"""A line or node is linked to at most this many where it belongs to others only by way of them."""


@dataclass(frozen=True)
class Trace(Generic[K]):
    """The links between nodes as written (each by a key) and the lines of the source (from 1)."""

    nodes_of: dict[int, list[K]]
    lines_of: dict[K, list[int]]
    within: frozenset[K]
    """The nodes that have no statement of their own: their lines are those of what uses them."""
    end: int
    """The last line that is about this function; what follows is the same in every module."""


def trace(f: Function, keys: Mapping[Tensor, K], reading: Reading | None = None) -> Trace[K]:
    """The links between the lines of `f` and the nodes with keys, in time linear in both."""
    reading = reading or Reading(f)
    drawn = written_for(f, keys)
    nodes_of: dict[int, list[K]] = {}
    direct = {node: sorted(lines) for node, lines in reading.made.items()}
    for line, nodes in sorted(reading.nodes.items()):
        found = dict.fromkeys(key for node in nodes for key in drawn.get(node, ()))
        if found:
            nodes_of[line] = list(found)
    for line, nodes in sorted(reading.nodes.items()):
        for node in nodes:
            if isinstance(node.op, Leaf):
                direct.setdefault(node, []).append(line)
    lines_of, within = _lines_of(f, keys, direct)
    return Trace(nodes_of, lines_of, within, reading.end)


def carrier(f: Function, node: Tensor) -> Tensor:
    """What is computed for a node as written: what it became, or the multiple in its place."""
    return f.multiples[node] if node in f.multiples else f.became.get(node, node)


def written_for(f: Function, keys: Mapping[Tensor, K]) -> dict[Tensor, list[K]]:
    """For each rewritten node the keys of what it took the place of, or else those of its users."""
    assert f.program is not None
    found: dict[Tensor, dict[K, None]] = {}
    for old in toposort(f.written):
        if old in keys:
            found.setdefault(carrier(f, old), {})[keys[old]] = None
    users: dict[Tensor, dict[K, None]] = {}
    for node in reversed(f.program.order):
        mine = found.get(node) or users.get(node, {})
        found[node] = mine
        for x in node.inputs:
            if x not in found:
                kept = users.setdefault(x, {})
                kept.update(dict.fromkeys(list(mine)[: max(0, MOST - len(kept))]))
    for leaf in [*f.program.inputs, *f.program.parameters]:
        if leaf in keys:
            found.setdefault(leaf, {keys[leaf]: None})
    return {node: list(names) for node, names in found.items()}


def _lines_of(
    f: Function, keys: Mapping[Tensor, K], direct: dict[Tensor, list[int]]
) -> tuple[dict[K, list[int]], frozenset[K]]:
    """The lines of each node with a key: those that compute what it became, or else those of its users."""
    lines: dict[K, list[int]] = {}
    within: set[K] = set()
    inherited: dict[Tensor, dict[int, None]] = {}
    for node in reversed(toposort(f.written)):
        new = carrier(f, node)
        leaf = isinstance(new.op, Leaf | Constant) and new is not node
        if isinstance(new.op, Item):
            direct.setdefault(new, direct.get(new.inputs[0], []))
        mine = [] if leaf else direct.get(new, [])
        if not mine:
            mine = sorted(inherited.get(node, {}))
            if node in keys and mine:
                within.add(keys[node])
        if node in keys:
            lines[keys[node]] = sorted(dict.fromkeys(mine))
        for x in node.inputs:
            kept = inherited.setdefault(x, {})
            kept.update(dict.fromkeys(mine[: max(0, MOST - len(kept))]))
    return lines, frozenset(within)
