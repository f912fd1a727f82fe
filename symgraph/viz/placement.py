"""Where everything of a picture lies: the boxes of its nodes and the curves of its edges, as Graphviz lays them out.

Lengths are points. The origin is the upper left corner, and y grows downwards, as in SVG.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from .engine import TIMEOUT, render
from .graphviz_graph import DEEPEST, LARGE, digraph, without_crowds
from .picture import Edge, Part, Picture
from .routes import Box, Curve, Point, Routes
from .theme import THEMES, Theme

INCH = 72
MARGIN = 24
"""Points around the whole, and half of it around a column."""


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
    order: int
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


@dataclass(frozen=True)
class Layout:
    """What Graphviz made of a picture: here y grows upwards, as there."""

    text: str
    """In DOT, with the place of everything but the edges from column to column."""
    boxes: dict[str, Box]
    inside: dict[tuple[str, str], list[Curve]]
    """The curves of the edges inside columns, by their ends as they were written."""
    routes: dict[Edge, Curve]
    """The curves of the edges from column to column."""


def layout(shown: Picture, legend: bool, theme: Theme, engine: str | None = None, timeout: float = TIMEOUT) -> Layout:
    """The places of nodes and edges: Graphviz lays out the columns, and what leads from one to another is added.

    Raises `ImportError` and `SymgraphError` as `draw` does where there is no program, or it fails.
    """
    shown = without_crowds(shown)
    source = digraph(shown, legend, theme, across=False).source
    plain, _, text = render(source, "plain dot", engine, timeout).decode().partition("\nstop\n")
    keys = {node.key for node in shown.nodes}
    boxes: dict[str, Box] = {}
    inside: dict[tuple[str, str], list[Curve]] = {}
    for line in plain.replace("\\\n", "").splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "node" and rest.split(" ", 1)[0] in keys:
            name, *words = rest.split()[:5]
            boxes[name] = Box(*(float(word) * INCH for word in words))
        elif kind == "edge":
            tail, head, count, *words = shlex.split(rest)
            numbers = [float(word) * INCH for word in words[: 2 * int(count)]]
            inside.setdefault((tail, head), []).append(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    at = {column: k for k, column in enumerate(shown.columns)}
    column = {n.key: at[n.side, n.order] for n in shown.nodes if n.key in boxes}
    across = [e for e in shown.edges if e.tail in column and e.head in column and column[e.tail] != column[e.head]]
    routes = Routes(boxes, column).of(across, len(shown.nodes) > LARGE) if across else {}
    return Layout(text, boxes, inside, routes)


def place(shown: Picture, engine: str | None = None, timeout: float = TIMEOUT) -> Placement:
    """The layout of a picture, made by a Graphviz program: forward on the left, each adjoint beside what it belongs to.

    Raises `ImportError` and `SymgraphError` as `draw` does where there is no program, or it fails.
    """
    laid = layout(shown, False, THEMES["light"], engine, timeout)
    flipped = {key: Box(b.x, -b.y, b.width, b.height) for key, b in laid.boxes.items()}
    frames = _frames(shown, flipped)
    around = _columns(shown, flipped, frames)
    left = min(c.x - c.width / 2 for c in around.values()) - MARGIN / 2
    top = min(c.y - c.height / 2 for c in around.values()) - MARGIN / 2
    boxes = {key: _moved(box, left, top) for key, box in flipped.items()}
    columns = {order: _moved(box, left, top) for order, box in around.items()}
    routes = []
    for edge in shown.edges:
        points = laid.routes.get(edge) or _inside(laid.inside, edge)
        if points:
            routes.append(Route(edge, tuple((x - left, -y - top) for x, y in points)))
    far = [c.x + c.width / 2 for c in columns.values()] + [x for r in routes for x, _ in r.points]
    low = [c.y + c.height / 2 for c in columns.values()] + [y for r in routes for _, y in r.points]
    placed = tuple(Frame(f.name, f.order, _moved(f.box, left, top)) for f in frames)
    return Placement(max(far) + MARGIN / 2, max(low) + MARGIN / 2, boxes, tuple(routes), columns, placed)


def _moved(box: Box, left: float, top: float) -> Box:
    return Box(box.x - left, box.y - top, box.width, box.height)


def _columns(shown: Picture, boxes: dict[str, Box], frames: tuple[Frame, ...]) -> dict[int, Box]:
    """The box of each order of derivative, around its nodes and the parts that they are in."""
    found: dict[int, list[Box]] = {}
    for n in shown.nodes:
        if n.key in boxes:
            found.setdefault(n.order, []).append(boxes[n.key])
    for frame in frames:
        found[frame.order].append(frame.box)
    return {order: _around(found[order]) for order in sorted(found)}


def _inside(curves: dict[tuple[str, str], list[Curve]], edge: Edge) -> Curve:
    """The curve drawn for an edge, turned round where it was laid out from its head; nothing if it was left out."""
    if ahead := curves.get((edge.tail, edge.head)):
        return ahead.pop(0)
    if back := curves.get((edge.head, edge.tail)):
        return back.pop(0)[::-1]
    return ()


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
    return tuple(Frame(str(path[-1]), order, _framed(around)) for (order, path), around in found)


def _framed(boxes: list[Box]) -> Box:
    return _around(boxes, 7, 12)


def _around(boxes: list[Box], margin: float = MARGIN / 2, title: float = MARGIN / 2 + 4) -> Box:
    """The box around boxes, with room for a title."""
    left, right = min(b.x - b.width / 2 for b in boxes), max(b.x + b.width / 2 for b in boxes)
    top, bottom = min(b.y - b.height / 2 for b in boxes), max(b.y + b.height / 2 for b in boxes)
    left, right, top, bottom = left - margin, right + margin, top - margin - title, bottom + margin
    return Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
