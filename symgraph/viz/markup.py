"""The parts of a page as markup: the picture as SVG, its legend, and the generated source line by line.

Whatever comes from a user or from a source goes through `text`, which leaves no markup in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ..explaining.links import Trace
from .graphviz_graph import COLUMNS, _lines
from .highlight import text
from .picture import KINDS, Node, Picture
from .placement import Box, Placement

# The picture ---------------------------------------------------------------------------------------------------------


def picture_of(shown: Picture, placed: Placement) -> Iterable[str]:
    """The graph as SVG: columns, then edges, then nodes."""
    yield "<defs>"
    for name in ("arrow", "arrow-near"):
        yield f'<marker id="{name}" viewBox="0 0 7 7" refX="0.5" refY="3.5" markerWidth="6.5" markerHeight="6.5" '
        yield 'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.5L7,3.5L0,6.5Z"/></marker>'
    yield "</defs>"
    for order, column in placed.columns.items() if len(placed.columns) > 1 else ():
        x, y = column.x - column.width / 2, column.y - column.height / 2
        place = f'x="{x:.1f}" y="{y:.1f}" width="{column.width:.1f}" height="{column.height:.1f}"'
        yield f'<rect class="column{" odd" * (order % 2)}" {place} rx="10"/>'
        title = COLUMNS.get(order, f"derivative of order {order}")
        yield f'<text class="title" x="{x + 12:.1f}" y="{y + 19:.1f}">{title}</text>'
    for frame in placed.frames:
        x, y = frame.box.x - frame.box.width / 2, frame.box.y - frame.box.height / 2
        place = f'x="{x:.1f}" y="{y:.1f}" width="{frame.box.width:.1f}" height="{frame.box.height:.1f}"'
        yield f'<rect class="part" {place} rx="7"/><text class="part-title" x="{x + 6:.1f}" y="{y + 11:.1f}">'
        yield f"{text(frame.name)}</text>"
    yield '<g id="edges">'
    level = {node.key: node.order for node in shown.nodes}
    for route in placed.routes:
        e = route.edge
        kind = "adjoint" if e.kind == "adjoint" else "across" if level[e.tail] != level[e.head] else ""
        yield f'<path class="{f"edge {kind}".strip()}" data-a="{e.tail}" data-b="{e.head}" d="{route.path}"/>'
    yield '</g><g id="bundles"></g><g id="nodes">'
    for node in shown.nodes:
        if box := placed.boxes.get(node.key):
            yield from _node(node, box)
    yield '</g><g id="boxes"></g>'


def _node(node: Node, box: Box) -> Iterable[str]:
    said = f"{node.text}; {node.role or KINDS[node.kind]}; {node.type}"
    yield (
        f'<g class="node {node.kind}" id="{node.key}" transform="translate({box.x:.1f} {box.y:.1f})" '
        f'data-w="{box.width:.1f}" data-h="{box.height:.1f}" role="button" tabindex="-1" aria-label="{text(said)}">'
    )
    yield shape(node.kind, box.width, box.height)
    lines = _lines(node)
    middle = 3.6 + (min(box.height / 8, 3) if node.kind in ("parameter", "update") else 0)
    for i, line in enumerate(lines):
        y = 12.6 * (i - (len(lines) - 1) / 2) + middle
        yield f'<text y="{y:.1f}">{text(line)}</text>'
    yield "</g>"


def shape(kind: str, width: float, height: float) -> str:
    """The outline of a kind of node, around the origin: kinds differ in shape as well as in colour."""
    w, h = width / 2, height / 2
    box = f'x="{-w:.1f}" y="{-h:.1f}" width="{width:.1f}" height="{height:.1f}"'
    if kind == "input":
        return f'<ellipse class="shape" rx="{w:.1f}" ry="{h:.1f}"/>'
    if kind in ("parameter", "update"):
        r = min(h / 4, 6)
        return (
            f'<path class="shape" d="M{-w:.1f},{-h + r:.1f}V{h - r:.1f}A{w:.1f},{r:.1f} 0 0 0 {w:.1f},{h - r:.1f}V{-h + r:.1f}'
            f'A{w:.1f},{r:.1f} 0 0 0 {-w:.1f},{-h + r:.1f}A{w:.1f},{r:.1f} 0 0 0 {w:.1f},{-h + r:.1f}"/>'
        )
    if kind == "constant":
        return f'<path class="shape" d="M{-w:.1f},{-h:.1f}H{w - 7:.1f}L{w:.1f},{-h + 7:.1f}V{h:.1f}H{-w:.1f}Z"/>'
    if kind == "gradient":
        s = w - min(w / 3, 14)
        points = [(-w, 0.0), (-s, -h), (s, -h), (w, 0.0), (s, h), (-s, h)]
        return f'<polygon class="shape" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
    if kind == "group":
        behind = f'x="{-w + 4:.1f}" y="{-h + 4:.1f}" width="{width:.1f}" height="{height:.1f}"'
        return f'<rect class="shape" {behind} rx="4"/><rect class="shape" {box} rx="4"/>'
    if kind == "output":
        inner = f'x="{-w + 3:.1f}" y="{-h + 3:.1f}" width="{width - 6:.1f}" height="{height - 6:.1f}"'
        return f'<rect class="shape" {box}/><rect class="shape" {inner}/>'
    return f'<rect class="shape" {box} rx="{6 if kind in ("op", "more") else 1}"/>'


def legend(shown: Picture) -> Iterable[str]:
    """A sample of each kind of node in the picture."""
    for kind in KINDS:
        if any(node.kind == kind for node in shown.nodes):
            sample = shape(kind, 24, 15)
            yield (
                f'<span role="listitem"><svg class="{kind}" viewBox="-14 -10 28 20" aria-hidden="true">{sample}</svg>'
                f"{escape(KINDS[kind].removesuffix(' of ...'))}</span>"
            )


# The source ----------------------------------------------------------------------------------------------------------


def listing(lines: list[str], links: Trace) -> str:
    """The lines as options of a list; those that belong to nodes can be chosen."""
    shown = []
    for number, line in enumerate(lines, 1):
        known = f' id="L{number}" data-n="{number}"' if links.nodes_of.get(number) else ' aria-disabled="true"'
        shown.append(f'<div role="option" aria-selected="false"{known}><i>{number}</i><span>{line}</span></div>')
    return "\n".join(shown)


def support(lines: list[str], start: int) -> str:
    """The lines that are the same in every module, folded away."""
    if not any(line.strip() for line in lines):
        return ""
    shown = "\n".join(f"<div><i>{n}</i><span>{line}</span></div>" for n, line in enumerate(lines, start))
    return (
        "<details><summary>Lines that every such module carries: workspaces and loops over blocks</summary>"
        f'<div class="support">{shown}</div></details>'
    )
