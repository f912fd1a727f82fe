"""Where everything of a picture lies: the boxes of its nodes and the curves of its edges, as Graphviz lays them out.

Lengths are points. The origin is the upper left corner, and y grows downwards, as in SVG.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from .graphviz_graph import DEEPEST, LARGE, digraph
from .picture import Edge, Part, Picture
from .render import TIMEOUT, forward_left, render
from .theme import THEMES

INCH = 72
MARGIN = 24
"""Points around the whole, and half of it around a column."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle by its middle and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Route:
    """The cubic curves of an edge: a first point, then three for each curve, from the value to what uses it."""

    edge: Edge
    points: tuple[Point, ...]

    @property
    def path(self) -> str:
        """The curve as the `d` of an SVG path."""
        words = [f"{x:.1f},{y:.1f}" for x, y in self.points]
        return f"M{words[0]}C{' '.join(words[1:])}"


@dataclass(frozen=True)
class Frame:
    """A part of the model: its name, and a box around its nodes of one order."""

    name: str
    box: Box


@dataclass(frozen=True)
class Placement:
    """A picture with places for its nodes, its edges, the parts of the model, and the column of each order of derivative."""

    width: float
    height: float
    boxes: dict[str, Box]
    routes: tuple[Route, ...]
    columns: dict[int, Box]
    frames: tuple[Frame, ...]
    """Outer parts before those inside them."""


def place(shown: Picture, engine: str | None = None, timeout: float = TIMEOUT) -> Placement:
    """The layout of a picture, made by a Graphviz program: forward on the left, each adjoint beside what it belongs to.

    Raises `ImportError` and `SymgraphError` as `draw` does where there is no program, or it fails.
    """
    if len(shown.orders) > 1 and len(shown.nodes) <= LARGE:
        source = forward_left(shown, False, THEMES["light"], engine, timeout)
    else:
        source = digraph(shown, legend=False).source
    return _read(render(source, "plain", engine, timeout).decode(), shown)


def _read(text: str, shown: Picture) -> Placement:
    """The places that Graphviz's `plain` format tells of."""
    height = 0.0
    found: dict[str, tuple[float, float, float, float]] = {}
    curves: dict[tuple[str, str, bool], list[tuple[Point, ...]]] = {}
    keys = {node.key for node in shown.nodes}
    for line in text.replace("\\\n", "").splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "graph":
            height = float(rest.split()[2]) * INCH
        elif kind == "node" and rest.split(" ", 1)[0] in keys:
            words = rest.split()
            x, y, w, h = (float(word) * INCH for word in words[1:5])
            found[words[0]] = x, height - y, w, h
        elif kind == "edge":
            words = shlex.split(rest)
            count = int(words[2])
            numbers = [float(word) * INCH for word in words[3 : 3 + 2 * count]]
            points = tuple((x, height - y) for x, y in zip(numbers[::2], numbers[1::2]))
            curves.setdefault((words[0], words[1], words[-1] == THEMES["light"].link), []).append(points)
    left = min((x - w / 2 for x, _, w, _ in found.values()), default=0.0) - MARGIN
    top = min((y - h / 2 for _, y, _, h in found.values()), default=0.0) - 2 * MARGIN
    right = max((x + w / 2 for x, _, w, _ in found.values()), default=0.0) + MARGIN
    turned = _is_backward_left(shown, {key: x for key, (x, *_) in found.items()})
    across = (lambda x: right - x) if turned else (lambda x: x - left)
    boxes = {key: Box(across(x), y - top, w, h) for key, (x, y, w, h) in found.items()}
    routes = []
    for edge in shown.edges:
        points = _curve(curves, edge)
        if points:
            routes.append(Route(edge, tuple((across(x), y - top) for x, y in points)))
    columns = {order: _around([boxes[n.key] for n in shown.nodes if n.order == order]) for order in shown.orders}
    far = [b.x + b.width / 2 for b in boxes.values()] + [x for r in routes for x, _ in r.points]
    low = [b.y + b.height / 2 for b in boxes.values()] + [y for r in routes for _, y in r.points]
    return Placement(max(far) + MARGIN, max(low) + MARGIN, boxes, tuple(routes), columns, _frames(shown, boxes))


def _frames(shown: Picture, boxes: dict[str, Box]) -> tuple[Frame, ...]:
    """The parts of the model, those of each order of derivative apart."""
    members: dict[tuple[int, tuple[Part, ...]], list[Box]] = {}
    deepest = max((min(len(n.parts), DEEPEST) for n in shown.nodes), default=0)
    for depth in range(deepest, 0, -1):  # from inside out: a part is drawn around the frames of its parts
        for n in shown.nodes:
            if len(n.parts[:DEEPEST]) == depth and n.key in boxes:
                members.setdefault((n.order, n.parts[:depth]), []).append(boxes[n.key])
        for order, path in [key for key in members if len(key[1]) == depth and depth > 1]:
            members.setdefault((order, path[:-1]), []).append(_framed(members[order, path]))
    found = sorted(members.items(), key=lambda entry: len(entry[0][1]))
    return tuple(Frame(str(path[-1]), _framed(around)) for (_, path), around in found)


def _is_backward_left(shown: Picture, x: dict[str, float]) -> bool:
    """Whether the columns came out from right to left; left and right are alike to Graphviz, so the picture is turned."""
    middles = [[x[n.key] for n in shown.nodes if n.order == order and n.key in x] for order in shown.orders]
    means = [sum(m) / len(m) for m in middles if m]
    return len(means) > 1 and means[-1] < means[0]


def _curve(curves: dict[tuple[str, str, bool], list[tuple[Point, ...]]], edge: Edge) -> tuple[Point, ...]:
    """The curve drawn for an edge, turned round where it was laid out from its head; nothing if it was left out."""
    link = edge.kind == "adjoint"
    if ahead := curves.get((edge.tail, edge.head, link)):
        return ahead.pop(0)
    if back := curves.get((edge.head, edge.tail, link)):
        return back.pop(0)[::-1]
    return ()


def _framed(boxes: list[Box]) -> Box:
    return _around(boxes, 7, 12)


def _around(boxes: list[Box], margin: float = MARGIN / 2, title: float = MARGIN / 2 + 4) -> Box:
    """The box around boxes, with room for a title."""
    left, right = min(b.x - b.width / 2 for b in boxes), max(b.x + b.width / 2 for b in boxes)
    top, bottom = min(b.y - b.height / 2 for b in boxes), max(b.y + b.height / 2 for b in boxes)
    left, right, top, bottom = left - margin, right + margin, top - margin - title, bottom + margin
    return Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
