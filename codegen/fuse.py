"""Which steps share a loop over blocks of rows, and the order in which loops and other steps run.

A *row* is a slice `x[i]` along the leading axis. Elementwise steps, and reductions over other axes, need of an operand
only the rows they make, so a group of them can run block by block with its temporaries in the cache. The level of a step
is the number of groups that must be complete before it: steps of one level and one leading size form a group, for every
path between two of them stays among them. A step sinks to the level of its users where that keeps no more memory alive.

Reductions over the leading axis end a group: each block gives a part, and the parts are joined when all are done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symgraph.core import Constant, Leaf, ShapedArray, Tensor
from symgraph.dims import Size, digest
from symgraph.ops.base import Primitive

from .memory import nominal_bytes
from .schedule import Schedule


@dataclass(frozen=True)
class Unit:
    """Steps that run together: one alone, or a group that loops over the rows of `size`."""

    nodes: tuple[Tensor, ...]
    size: Size | None = None


def row_operands(node: Tensor) -> tuple[bool, ...] | None:
    """Which operands a step needs row by row, for a step that a group may hold; a final reduction takes rows as well."""
    op = node.op
    if not isinstance(op, Primitive) or not isinstance(node.aval, ShapedArray):
        return None
    if not all(isinstance(x.aval, ShapedArray) for x in node.inputs):
        return None
    if is_final(node):
        return (True,) * len(node.inputs)
    return op.by_rows(node.aval, *[x.aval for x in node.inputs])


def is_final(node: Tensor) -> bool:
    """Whether the step reduces the rows themselves, and its result is there only after the last block."""
    return isinstance(node.op, Primitive) and node.op.joins_rows()


def space_of(node: Tensor) -> Any:
    """The leading size over which a step loops, as a key."""
    x = node.inputs[0] if is_final(node) else node
    size = x.shape[0]
    return size if isinstance(size, int) else digest(size)


def fuse(
    plan: Schedule,
    last: Collection[Tensor],
    after: Mapping[Tensor, Sequence[Tensor]],
    alone: Collection[Tensor],
    is_worth_it: Callable[[Sequence[Tensor]], bool],
) -> list[Unit]:
    """The units in order. The steps in `last` come after all others; `after` names steps that one must wait for.

    The steps in `alone` join no group, and a group that is not worth it is none.
    """
    rows = {node: r for node in plan.steps if node not in alone and (r := row_operands(node)) is not None}
    level, ready = _levels(plan.steps, rows, last)
    _sink(plan, rows, level, ready, last)
    groups = _groups(plan.steps, rows, level, is_worth_it)
    return _ordered(plan.steps, groups, last, after)


def _is_local(x: Tensor, row: bool, node: Tensor, rows: Mapping[Tensor, Any]) -> bool:
    """Whether `node` reads of `x` just the rows it makes, inside one loop."""
    return row and x in rows and not is_final(x) and space_of(x) == space_of(node)


def _levels(
    steps: Sequence[Tensor], rows: Mapping[Tensor, tuple[bool, ...]], last: Collection[Tensor]
) -> tuple[dict[Tensor, int], dict[Tensor, int]]:
    """The earliest level of each step that may join a group, and the level at which each value is ready."""
    level: dict[Tensor, int] = {}
    ready: dict[Tensor, int] = {}
    highest = 0
    for late in (False, True):
        for node in steps:
            if (node in last) is not late:
                continue
            needed = highest if late else 0
            row = rows.get(node)
            if row is None:
                ready[node] = max([needed, *[ready[x] for x in node.inputs]])
                continue
            for x, r in zip(node.inputs, row, strict=True):
                needed = max(needed, level[x] if _is_local(x, r, node, rows) else ready[x])
            level[node] = needed
            ready[node] = needed + 1
        highest = max(ready.values(), default=0)
    return level, ready


def _sink(
    plan: Schedule,
    rows: Mapping[Tensor, tuple[bool, ...]],
    level: dict[Tensor, int],
    ready: dict[Tensor, int],
    last: Collection[Tensor],
) -> None:
    """Move steps down to the users that share their loop, where that keeps no more memory alive than the results take."""
    end = max(ready.values(), default=0) + 1
    latest: dict[Tensor, int] = dict.fromkeys(plan.steps, end)  # the level at which the value must be ready
    local: dict[Tensor, int] = dict.fromkeys(plan.steps, end)  # or the level of the users that share the loop
    alive: dict[Tensor, int] = {}  # the level until which the value is kept
    for node in reversed(plan.steps):
        row = rows.get(node)
        if row is not None and node not in last:
            target = local[node]
            if level[node] < target < min(latest[node], end - 1) and not is_final(node):
                kept = [
                    x for x in dict.fromkeys(node.inputs) if not _is_given(x) and x.ndim and alive.get(x, -1) < target
                ]
                if sum(nominal_bytes(x) for x in kept) <= nominal_bytes(node):
                    level[node] = target
        at = level[node] if row is not None else latest[node]
        for i, x in enumerate(node.inputs):
            alive[x] = max(alive.get(x, -1), at)
            if row is not None and _is_local(x, row[i], node, rows):
                local[x] = min(local[x], at)
            else:
                latest[x] = min(latest[x], at)


def _is_given(x: Tensor) -> bool:
    """Whether the value is there all along: a leaf, a constant, or a view of one."""
    while x.inputs and isinstance(x.op, Primitive) and x.op.is_view:
        x = x.inputs[0]
    return isinstance(x.op, Leaf | Constant)


def _groups(
    steps: Sequence[Tensor],
    rows: Mapping[Tensor, tuple[bool, ...]],
    level: Mapping[Tensor, int],
    is_worth_it: Callable[[Sequence[Tensor]], bool],
) -> dict[Tensor, list[Tensor]]:
    """The steps of each group, under each of its steps: those of one level and space that touch one another."""
    parent: dict[Any, Any] = {}

    def find(x: Any) -> Any:
        while parent.setdefault(x, x) is not x:
            parent[x] = x = parent[parent[x]]
        return x

    for node in steps:
        if node not in rows:
            continue
        here = (level[node], space_of(node))
        for x, r in zip(node.inputs, rows[node], strict=True):
            if _is_local(x, r, node, rows) and level[x] == level[node]:
                parent[find(x)] = find(node)
            elif r and x.ndim and not isinstance(x.op, Constant):  # two readers of one array
                parent[find((x, *here))] = find(node)
    groups: dict[Any, list[Tensor]] = {}
    for node in steps:
        if node in rows:
            groups.setdefault(find(node), []).append(node)
    return {node: group for group in groups.values() if is_worth_it(group) for node in group}


def _ordered(
    steps: Sequence[Tensor],
    groups: Mapping[Tensor, list[Tensor]],
    last: Collection[Tensor],
    after: Mapping[Tensor, Sequence[Tensor]],
) -> list[Unit]:
    """The units, each after those it needs, as near as possible to the order of the steps; what is `last` comes last."""
    units: list[Unit] = []
    done: set[Tensor] = set()
    at_end = set(last).union(*[groups[node] for node in last if node in groups])
    seeds = [node for node in reversed(steps) if groups.get(node, [node])[-1] is node]  # a group comes with its last
    for late in (False, True):
        stack = [node for node in seeds if (node in at_end) is late]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            group = groups.get(node, [node])
            members = set(group)
            needed = [x for n in group for x in (*n.inputs, *after.get(n, ())) if x not in done and x not in members]
            if needed:
                stack.extend(reversed(needed))
                continue
            stack.pop()
            done |= members
            size = None
            if len(group) > 1:
                group = _sorted(group, after)
                size = (group[0].inputs[0] if is_final(group[0]) else group[0]).shape[0]
            units.append(Unit(tuple(group), size))
    return units


def _sorted(group: list[Tensor], after: Mapping[Tensor, Sequence[Tensor]]) -> list[Tensor]:
    """The steps of a group, one result after the other, each after those it needs and those in `after`."""
    members = set(group)
    read = {x for node in group for x in node.inputs}
    order: dict[Tensor, None] = {}
    stack = [*group[::-1], *[node for node in group[::-1] if node not in read]]
    while stack:
        node = stack[-1]
        if node not in order:
            pending = [x for x in (*node.inputs, *after.get(node, ())) if x in members and x not in order]
            if pending:
                stack += pending[::-1]
                continue
            order[node] = None
        stack.pop()
    return list(order)
