"""A node and what is near it: the part of a picture within some steps, and signs of what was left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .picture import Edge, Node, Picture


def focused(shown: Picture, middle: Iterable[str], radius: int) -> Picture:
    """The nodes within `radius` edges of the keys in `middle`, along values and links to adjoints, either way.

    A node that reads or feeds something outside has a sign for it, with the number of nodes.
    """
    near: dict[str, list[str]] = {n.key: [] for n in shown.nodes}
    for e in shown.edges:
        near[e.tail].append(e.head)
        near[e.head].append(e.tail)
    kept = set(middle)
    rim = list(kept)
    for _ in range(radius):
        rim = [key for key in dict.fromkeys(k for near_by in rim for k in near[near_by]) if key not in kept]
        kept.update(rim)
    nodes = [n for n in shown.nodes if n.key in kept]
    edges = [e for e in shown.edges if e.tail in kept and e.head in kept]
    missing: dict[tuple[str, bool], set[str]] = {}
    for e in shown.edges:
        if e.kind == "value" and (e.tail in kept) != (e.head in kept):
            inside, outside = (e.tail, e.head) if e.tail in kept else (e.head, e.tail)
            missing.setdefault((inside, inside == e.tail), set()).add(outside)
    by_key = {n.key: n for n in nodes}
    for (inside, feeds), others in missing.items():
        sign = _sign(by_key[inside], f"{inside}{'out' if feeds else 'in'}", len(others), feeds)
        nodes.append(sign)
        edges.append(Edge(inside, sign.key) if feeds else Edge(sign.key, inside))
    return Picture(tuple(nodes), tuple(edges))


def _sign(beside: Node, key: str, count: int, feeds: bool) -> Node:
    text = f"{count:,} more {'user' if feeds else 'operand'}{'s' * (count != 1)}"
    return replace(
        beside,
        key=key,
        kind="more",
        text=text,
        role="",
        type="",
        op="",
        name="",
        where="",
        elementwise=False,
        count=count,
    )
