"""Many nodes in one box: parts of the model, parts that are repeated, runs of elementwise steps.

Boxes never mix orders of derivative. What a reader looks for first keeps a shape of its own: inputs, outputs, gradients
and updates; parameters go into a box only with the part of the model that they were made in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

from .picture import Edge, Node, Part, Picture, clean

LANDMARKS = frozenset({"input", "output", "gradient", "update", "more"})
SOURCES = frozenset({"parameter", "constant"})
MANY_OF = frozenset({"input", "parameter", "gradient", "update"})
FEW = 12
MOST_OPS = 3
"""Of the operations in a box, the most frequent ones are named."""


@dataclass(frozen=True)
class Box:
    """What the nodes of one box have in common, and what the box is called."""

    side: str
    order: int
    around: tuple[Part, ...]
    """The parts that the box itself is in."""
    name: str
    """Empty for a run of steps, which is called by them."""
    times: int = 1
    """How many parts of the model are in it."""
    distinct: Hashable = None
    updating: bool = False
    """Steps from gradients to new values stand behind the gradients, so they have a box of their own."""


Assigned = dict[str, Box]
"""The box of each node that goes into one."""


def by_depth(shown: Picture, depth: int) -> Assigned:
    """Parts nested deeper than `depth`: with 0 every part of the model is one box."""
    return {n.key: _part(n, depth) for n in _inside(shown) if len(n.parts) > depth}


def by_part(shown: Picture, name: str) -> Assigned:
    """The parts of this name (`cell` for all cells, `cell 2` for the second), each one box."""
    found: Assigned = {}
    for n in _inside(shown):
        for k, part in enumerate(n.parts):
            if name in (part.name, str(part)):
                found[n.key] = _part(n, k)
                break
    return found


def _part(n: Node, k: int) -> Box:
    return Box(n.side, n.order, n.parts[:k], str(n.parts[k]), distinct=n.parts[k], updating=n.updating)


def by_repeats(shown: Picture) -> Assigned:
    """Parts that come again: numbered ones, and neighbours like `layer1`, `layer2` made of the same operations."""
    made_of: dict[Box, Counter[str]] = {}
    for n in _inside(shown):
        for k in range(len(n.parts)):
            made_of.setdefault(_part(n, k), Counter())[n.op] += 1
    alike: dict[Box, Box] = {}
    for box, ops in made_of.items():
        part = box.distinct
        assert isinstance(part, Part)
        stem = part.name if part.number else re.sub(r"[\s_.:-]*\d+$", "", part.name)
        alike[box] = replace(box, name=stem, distinct=None if part.number else frozenset(ops.items()))
    times = Counter(alike.values())
    found: Assigned = {}
    for n in _inside(shown):
        for k in range(len(n.parts)):
            box = alike[_part(n, k)]
            if times[box] > 1:
                found[n.key] = replace(box, times=times[box])
                break
    return found


def by_runs(shown: Picture) -> Assigned:
    """Elementwise steps whose values nothing else reads, with the step that reads them."""
    users: dict[str, set[str]] = {n.key: set() for n in shown.nodes}
    for edge in shown.edges:
        if edge.kind == "value":
            users[edge.tail].add(edge.head)
    nodes = {n.key: n for n in shown.nodes}
    found: Assigned = {}
    for n in reversed(shown.nodes):  # what a value flows into comes first
        if _runs(n):
            ahead = users[n.key]
            into = nodes[next(iter(ahead))] if len(ahead) == 1 else None
            alike = into and _runs(into) and (into.order, into.parts, into.side) == (n.order, n.parts, n.side)
            joins = into is not None and alike and not n.name
            found[n.key] = found[into.key] if joins and into else Box(n.side, n.order, n.parts, "", distinct=n.key)
    return found


def by_kind(shown: Picture) -> Assigned:
    """Inputs, parameters, gradients and updates of which there are many: one box for each of these kinds."""
    counts = Counter((n.side, n.order, n.kind) for n in shown.nodes if n.kind in MANY_OF)
    return {
        n.key: Box(n.side, n.order, (), f"{count:,} {n.kind}s")
        for n in shown.nodes
        if (count := counts[n.side, n.order, n.kind]) > FEW
    }


def by_line(shown: Picture) -> Assigned:
    """What one line of the user's program made, and is in the box of no part yet."""
    single = [n for n in _inside(shown) if n.op != "group" and n.where]
    return {n.key: Box(n.side, n.order, n.parts, n.where, updating=n.updating) for n in single}


def by_file(shown: Picture) -> Assigned:
    """What the lines of one file made, boxes included."""
    files = [(n, n.where.rpartition(":")[0]) for n in _inside(shown)]
    return {n.key: Box(n.side, n.order, (), file) for n, file in files if file}


def _runs(n: Node) -> bool:
    return n.elementwise and n.kind in ("op", "adjoint")


def _inside(shown: Picture) -> Iterable[Node]:
    return (n for n in shown.nodes if n.kind not in LANDMARKS)


# One box for several nodes -------------------------------------------------------------------------------------------


def contracted(shown: Picture, assigned: Assigned) -> tuple[Picture, dict[str, str]]:
    """The picture with boxes in the place of their nodes, and the key that stands for each key now.

    A box that would hold one node is that node.
    """
    members: dict[Box, list[Node]] = {}
    for n in shown.nodes:
        if n.key in assigned:
            members.setdefault(assigned[n.key], []).append(n)
    now = {n.key: n.key for n in shown.nodes}
    if all(len(group) == 1 for group in members.values()):
        return shown, now
    for group in members.values():
        now.update((n.key, group[-1].key) for n in group)
    leaving: dict[str, list[str]] = {}
    types = {n.key: n.type for n in shown.nodes}
    kinds = {n.key: n.kind for n in shown.nodes}
    edges: dict[tuple[str, str, str], Edge] = {}
    for e in shown.edges:
        tail, head = now[e.tail], now[e.head]
        if tail != head:
            key = tail, head, e.kind
            if key not in edges:
                edges[key] = Edge(tail, head, e.kind, e.position)
            if e.kind == "value" and kinds[e.tail] not in SOURCES:
                leaving.setdefault(tail, []).append(types[e.tail])
    boxes = {}
    for box, group in members.items():
        if len(group) > 1:
            boxes[group[-1].key] = _box(box, group, list(dict.fromkeys(leaving.get(group[-1].key, []))))
    nodes = [boxes.get(n.key, n) for n in shown.nodes if now[n.key] == n.key]
    return Picture(tuple(nodes), tuple(edges.values())), now


def _box(box: Box, group: list[Node], types: list[str]) -> Node:
    count = sum(n.count for n in group)
    types = types or list(dict.fromkeys(n.type for n in group))
    made_of: Counter[str] = Counter()
    for n in group:
        own = ((n.kind if n.kind in SOURCES else n.op.replace("_", " "), 1),)
        made_of.update(dict(n.made_of or own))
    text = box.name or _steps(group)
    if box.times > 1:
        text += f" × {box.times:,}"
    if box.updating:
        text += ", to new values"
    elif box.name and box.order and group[0].kind not in MANY_OF:
        text += f", {BACKWARD.get(box.order, f'order {box.order}')}"
    role = f"{count:,} nodes: {_most(made_of)}" if box.name else f"{count:,} elementwise steps"
    shown = types[0] if len(types) == 1 else f"{len(types)} types of values"
    return replace(
        group[-1], kind="group", text=clean(text, 60), role=clean(role, 80), type=shown, op="group" if box.name else "run",
        name="", parts=box.around, elementwise=False, count=count, made_of=tuple(made_of.most_common()),
    )  # fmt: skip


BACKWARD = {1: "backward"}


def _steps(group: list[Node]) -> str:
    """The ops of a run in order; of a long one the first and the last."""
    names = [n.op.replace("_", " ") for n in group]
    shown = names if len(names) <= 4 else [*names[:2], "…", names[-1]]
    last = group[-1]
    return f"{last.name} = {', '.join(shown)}" if last.name else ", ".join(shown)


def _most(counts: Counter[str]) -> str:
    named = [f"{count:,} {op}{'s' * (count != 1 and op in SOURCES)}" for op, count in counts.most_common(MOST_OPS)]
    return ", ".join(named) + (", …" if len(counts) > MOST_OPS else "")


STAGES: tuple[Callable[[Picture], Assigned], ...] = (
    by_repeats, by_runs, lambda shown: by_depth(shown, 1), lambda shown: by_depth(shown, 0), by_kind, by_line, by_file,
)  # fmt: skip
"""What makes a large picture smaller, step by step."""

STEPS: dict[str, Callable[[Picture], Assigned]] = {
    "repeats": by_repeats,
    "elementwise": by_runs,
    "parts": lambda shown: by_depth(shown, 0),
}
"""What can be asked for by a word."""
