"""The parts of a model that stand in boxes of their own: by the user's scopes, by named values, or by lines.

A node that is the adjoint of another belongs to the part of that one, so the backward graph has the parts of the forward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core import Leaf, Symbol, Tensor
from ..provenance import Location, format_location, scope
from .picture import Part, clean

Path = tuple[Part, ...]
"""The parts around a node, outermost first."""

BY = ("scope", "name", "line")


def parts(
    order: Sequence[Tensor],
    links: Mapping[Tensor, Sequence[Tensor]],
    names: Mapping[Tensor, str],
    by: str = "scope",
    level: Mapping[Tensor, int] | None = None,
) -> dict[Tensor, Path]:
    """The part of each node of a graph in topological order; nodes outside all parts are left out.

    `by="scope"`: the scopes that were open where the node was written. Several scopes of one name are numbered as they occur.
    `by="name"`: the named value that a node flows into, if it flows into one only.
    `by="line"`: the user's file, and in it the line.
    `level` is the order of derivative that each node is drawn with.

    Raises `ValueError` for another `by`.
    """
    if by not in BY:
        raise ValueError(f"by={by!r} is no way to part a graph; choose 'scope', 'name' or 'line'")
    if by == "name":
        found = _by_name(order, links, names)
    elif by == "line":
        found = {n: _line(n.where) for n in order if n.where and n.leafy and not isinstance(n.op, Leaf)}
    else:
        found = _by_scope(order)
    beside = _beside(order, found, level or {}) if by == "scope" else {}
    for node in order:
        forward = links.get(node, ())
        near = [beside[f] for f in forward if f in beside]
        near += [found[f] for f in forward if f in found and not isinstance(f.op, Leaf)]
        if near:
            found[node] = near[0]
    return found | _shared([n for n in order if n.leafy or not links.get(n)], found)


def _shared(order: Sequence[Tensor], found: Mapping[Tensor, Path]) -> dict[Tensor, Path]:
    """The part of arrays that depend on no leaf, where all that uses one is in it: it may have been made in another model."""
    users: dict[Tensor, set[Path]] = {}
    shared: dict[Tensor, Path] = {}
    for node in reversed(order):
        mine = users.get(node, set())
        is_array = not isinstance(node.aval, tuple) and node.ndim
        if is_array and not node.leafy and node not in found and len(mine) == 1 and () not in mine:
            shared[node] = mine.pop()
        for x in node.inputs:
            users.setdefault(x, set()).add(found.get(node) or shared.get(node, ()))
    return shared


def _beside(order: Sequence[Tensor], found: Mapping[Tensor, Path], level: Mapping[Tensor, int]) -> dict[Tensor, Path]:
    """Where the gradient of each leaf belongs: in the part of the leaf, else in the one that uses it; in none if several do."""
    paths: dict[Tensor, set[Path]] = {}
    for node in order:
        for x in node.inputs:
            if isinstance(x.op, Leaf) and not level.get(node):
                paths.setdefault(x, set()).add(found.get(node, ()))
    return {x: found.get(x) or (mine.pop() if len(mine) == 1 else ()) for x, mine in paths.items()}


def leading(
    order: Sequence[Tensor],
    links: Mapping[Tensor, Sequence[Tensor]],
    found: Mapping[Tensor, Path],
    updates: Mapping[Tensor, Sequence[Tensor]],
    level: Mapping[Tensor, int],
) -> dict[Tensor, Path]:
    """The parts of new values of parameters, and of the steps from gradients and optimizer's state that lead to them alone.

    They belong to the parts of those parameters; `updates` tells whose new value a node is. The nodes in `found` have theirs.
    """
    state: set[Tensor] = set()
    for node in order:
        parameters = isinstance(node.op, Leaf) and not isinstance(node.op, Symbol)
        if parameters or (node.inputs and all(x in state or not x.leafy for x in node.inputs)):
            state.add(node)
    flows: dict[Tensor, Path] = {}
    """The part that a node flows into; none for what flows into several."""
    for node in reversed(order):
        if node in found:
            continue
        paths = {found.get(p, ()) for p in updates.get(node, ())} - {()} or {flows.get(node, ())}
        mine = flows[node] = paths.pop() if len(paths) == 1 else ()
        for x in node.inputs:
            steps = x in state or (level.get(x, 0) > 0 and not links.get(x))
            flows[x] = mine if steps and flows.get(x, mine) == mine else ()
    return {node: path for node, path in flows.items() if path and node not in found and node.leafy}


def _line(where: Location) -> Path:
    return Part(clean(where.file)), Part(clean(format_location(where)))


def _by_scope(order: Sequence[Tensor]) -> dict[Tensor, Path]:
    scopes = {n: n.where.scopes for n in order if n.where and n.where.scopes and n.leafy}
    paths = {path[: k + 1]: path[:k] for path in dict.fromkeys(scopes.values()) for k in range(len(path))}
    twins: dict[tuple[tuple[scope, ...], str], list[scope]] = {}
    for path, around in sorted(paths.items(), key=lambda entry: entry[0][-1].serial):
        twins.setdefault((around, path[-1].name), []).append(path[-1])
    numbers = {(around, s): k for (around, _), same in twins.items() if len(same) > 1 for k, s in enumerate(same, 1)}
    labels: dict[tuple[scope, ...], Path] = {(): ()}
    for path, around in paths.items():
        labels[path] = (*labels[around], Part(clean(path[-1].name), numbers.get((around, path[-1]), 0)))
    return {n: labels[path] for n, path in scopes.items()}


def _by_name(
    order: Sequence[Tensor], links: Mapping[Tensor, Sequence[Tensor]], names: Mapping[Tensor, str]
) -> dict[Tensor, Path]:
    found: dict[Tensor, Path | None] = {}
    for node in reversed(order):
        if isinstance(node.op, Leaf):
            continue
        if node in names:
            found[node] = (Part(clean(names[node])),)
        mine = found.get(node)
        for x in node.inputs:  # None for what flows into several parts, or into none
            if not isinstance(x.op, Leaf):
                found[x] = mine if x not in found or found[x] == mine else None
    return {n: path for n, path in found.items() if path}
