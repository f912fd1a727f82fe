"""The picture in DOT, laid out in mirrored columns.

The forward graph flows down on the left. The backward graph flows up on the right: its edges are written the other way
round with `dir=back`, so that each adjoint can be held at the height of the node it belongs to. Edges between the columns
do not take part in the ranking, which keeps large graphs fast and small ones free of tangles. A chain of unseen nodes, one
in each column, keeps the columns in order from left to right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from math import hypot
from typing import Any

from .picture import KINDS, Edge, Node, Part, Picture
from .routes import ARROW, Curve
from .selection import picture
from .theme import THEMES, Theme, theme_of

FONT = "Helvetica,Arial,sans-serif"


def _shape(shape: str, style: str, borders: int = 1, margin: str = "0.12,0.06") -> dict[str, str]:
    """All attributes beside colours that kinds of node differ in, so that one statement changes from any kind to any other."""
    return {"shape": shape, "style": style, "peripheries": str(borders), "margin": margin}


SHAPES = {
    "input": _shape("ellipse", "filled"),
    "parameter": _shape("cylinder", "filled"),
    "constant": _shape("note", "filled"),
    "op": _shape("box", "rounded,filled"),
    "output": _shape("box", "filled", borders=2),
    "adjoint": _shape("box", "filled"),
    "gradient": _shape("hexagon", "filled", margin="0,0.02"),
    "update": _shape("cylinder", "filled,dashed"),
    "group": _shape("box3d", "filled"),
    "more": _shape("box", "rounded,dashed"),
}

LARGE = 300
"""Above this many nodes layout is made faster at the price of some beauty."""

SHORT = 24
"""A role and a type up to this long share a line."""

MANY = 16
"""In a large graph an input with more users than this is named by them, and no edges are drawn."""

LOWEST = 20
"""At most this many nodes at the bottom hold the legend below them."""


COLUMNS = {0: "forward", 1: "backward"}


DEEPEST = 6
"""Parts nested deeper have no box of their own."""


def to_graphviz(
    outputs: Any, *, optimize: bool | str = False, legend: bool = True, theme: str = "light", **choices: Any
) -> Any:
    """A `graphviz.Digraph` of `outputs`: a tensor, any nesting of tensors, or a `Function`.

    The graph is drawn as it was written; `optimize=True` draws it as rewriting leaves it. The other arguments are those of
    `draw`, which lays out columns, and the curves between them, more calmly than Graphviz does from this text alone.
    Every label is plain text: no name is ever read as markup. The same model gives the same DOT text.
    """
    return digraph(picture(outputs, optimize, **choices), legend, theme=theme_of(theme))


def digraph(shown: Picture, legend: bool = True, theme: Theme = THEMES["light"], across: bool = True) -> Any:
    """The picture in DOT, with the edges from column to column or without."""
    graph = _package().Digraph("symgraph")
    large = len(shown.nodes) > LARGE
    shown = without_crowds(shown)
    graph.attr("graph", **_layout(large, theme))
    graph.attr("node", fontname=FONT, fontsize="11", fontcolor=theme.ink, height="0.3", penwidth="1.1")
    graph.attr("edge", color=theme.line, arrowsize="0.6", penwidth="1.0")
    levels = {node.key: node.order for node in shown.nodes}
    columns = shown.columns
    for k, (side, order) in enumerate(columns):
        mine = [node for node in shown.nodes if (node.side, node.order) == (side, order)]
        if len(columns) == 1:
            _add_parts(graph, mine, theme, str(k))
            continue
        with graph.subgraph(name=f"cluster_{k}") as column:
            column.attr(**_column(side, order, len(shown.orders), theme))
            column.node(f"column{k}", label="", shape="point", width="0", height="0", style="invis")
            _add_parts(column, mine, theme, str(k))
    if len(columns) > 1:
        chain = " -> ".join(f"column{k}" for k in range(len(columns)))
        graph.body.append(f"\t{{rank=same {chain} [style=invis]}}\n")
    for forward, adjoint in _rows(shown, levels):
        graph.body.append(f"\t{{rank=same {forward} {adjoint}}}\n")
    for edge in shown.edges:
        if across or levels[edge.tail] == levels[edge.head]:
            _add_edge(graph, edge, levels, theme)
    if legend:
        _add_legend(graph, shown, levels, large, theme)
    return graph


def placed(text: str, routes: Mapping[Edge, Curve], theme: Theme) -> str:
    """A laid out text in DOT with the edges from column to column along their curves."""
    graph = _package().Digraph()
    for edge, curve in routes.items():
        pos = " ".join(f"{x:.1f},{y:.1f}" for x, y in curve)
        if edge.kind == "value":
            (x1, y1), (x2, y2) = curve[-2:]
            f = ARROW / max(hypot(x2 - x1, y2 - y1), 1e-9)
            pos = f"e,{x2 + f * (x2 - x1):.1f},{y2 + f * (y2 - y1):.1f} {pos}"
        graph.edge(edge.tail, edge.head, pos=pos, **_across(edge, theme))
    return f"{text.rstrip().removesuffix('}')}{''.join(graph.body)}}}\n"


def _add_parts(graph: Any, nodes: list[Node], theme: Theme, name: str, depth: int = 0) -> None:
    """The nodes, those of each part of the model in a box with its name."""
    inner: dict[Part, list[Node]] = {}
    for node in nodes:
        if depth < min(len(node.parts), DEEPEST):
            inner.setdefault(node.parts[depth], []).append(node)
    _add_nodes(graph, [node for node in nodes if depth >= min(len(node.parts), DEEPEST)], theme)
    for k, (part, members) in enumerate(inner.items()):
        with graph.subgraph(name=f"cluster_{name}_{k}") as box:
            box.attr(
                label=label_of([str(part)]), labeljust="l", style="rounded,filled", fillcolor=theme.part,
                color=theme.frame, margin="8", fontsize="10",
            )  # fmt: skip
            _add_parts(box, members, theme, f"{name}_{k}", depth + 1)


def without_crowds(shown: Picture) -> Picture:
    """A large picture without the edges from leaves that very many nodes use: those say the name in their text."""
    if len(shown.nodes) <= LARGE:
        return shown
    users = Counter(edge.tail for edge in shown.edges if edge.kind == "value")
    crowds = {n.key: users[n.key] for n in shown.nodes if n.kind in ("input", "parameter") and users[n.key] > MANY}
    if not crowds:
        return shown
    nodes = [
        replace(n, role=f"{n.role} of {crowds[n.key]} nodes, edges left out") if n.key in crowds else n
        for n in shown.nodes
    ]
    return Picture(tuple(nodes), tuple(e for e in shown.edges if e.kind != "value" or e.tail not in crowds))


def _package() -> Any:
    try:
        import graphviz
    except ImportError:
        raise ImportError("to_graphviz needs the graphviz package: pip install 'symgraph[viz]'") from None
    return graphviz


def _layout(large: bool, theme: Theme) -> dict[str, str]:
    layout = {
        "fontname": FONT, "fontsize": "12", "fontcolor": theme.ink, "bgcolor": theme.page, "pad": "0.25",
        "nodesep": "0.3", "ranksep": "0.35", "newrank": "true", "outputorder": "edgesfirst",
    }  # fmt: skip
    if large:
        layout |= {"nslimit": "1", "nslimit1": "1", "mclimit": "0.3", "splines": "line"}
    return layout


def _column(side: str, order: int, orders: int, theme: Theme) -> dict[str, str]:
    """The box around one order of derivative, on its side of the picture."""
    title = COLUMNS.get(order, f"derivative of order {order}")
    label = f"{side}: {title}" if side and orders > 1 else side or title
    return {
        "label": label, "labeljust": "l", "style": "rounded,filled", "color": theme.frame, "margin": "14",
        "fillcolor": theme.columns[order > 0],
    }  # fmt: skip


def _style(kind: str, theme: Theme) -> dict[str, str]:
    fill, line = theme.kinds[kind]
    return {**SHAPES[kind], "fillcolor": fill, "color": line}


def _add_nodes(graph: Any, nodes: Iterable[Node], theme: Theme) -> None:
    kind = ""
    for node in nodes:
        if node.kind != kind:
            kind = node.kind
            graph.attr("node", **_style(kind, theme))
        graph.node(node.key, label=label_of(_lines(node)), tooltip=label_of([node.where or node.op]))


def _lines(node: Node) -> list[str]:
    """The text of a node, its role, its type; the last two on one line where that is short."""
    if node.role and node.type and len(node.role) + len(node.type) <= SHORT:
        return [node.text, f"{node.role}, {node.type}"]
    return [line for line in (node.text, node.role, node.type) if line]


def label_of(lines: Iterable[str]) -> Any:
    """Lines as one label of plain text: backslashes, quotes, ampersands and angle brackets stand for themselves."""
    import graphviz

    plain = [line.replace("\\", "\\\\").replace("&", "&amp;") for line in lines]
    return graphviz.nohtml("\\n".join(plain))


def _add_edge(graph: Any, edge: Edge, levels: dict[str, int], theme: Theme) -> None:
    tail, head = levels[edge.tail], levels[edge.head]
    if edge.kind == "adjoint" or tail != head:
        graph.edge(edge.tail, edge.head, constraint="false", **_across(edge, theme))
    elif head % 2:
        graph.edge(edge.head, edge.tail, dir="back")
    else:
        graph.edge(edge.tail, edge.head)


def _across(edge: Edge, theme: Theme) -> dict[str, str]:
    """How an edge from column to column looks."""
    if edge.kind == "adjoint":
        return {"style": "dashed", "color": theme.link, "dir": "none", "penwidth": "1.2"}
    return {"color": theme.soft, "penwidth": "0.8"}


def _rows(shown: Picture, levels: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs (node, adjoint) that can stand at one height: one for each adjoint, none that would turn an edge round."""
    partner: dict[str, str] = {}
    taken: set[str] = set()
    for edge in shown.edges:
        if (
            edge.kind == "adjoint"
            and edge.head not in partner
            and edge.tail not in taken
            and abs(levels[edge.tail] - levels[edge.head]) == 1
        ):
            partner[edge.head] = edge.tail
            taken.add(edge.tail)
    while True:
        stuck = _on_cycles(shown, levels, partner)
        bad = [adjoint for adjoint, forward in partner.items() if adjoint in stuck or forward in stuck]
        if not bad:
            return [(forward, adjoint) for adjoint, forward in partner.items()]
        for adjoint in bad:
            del partner[adjoint]


def _on_cycles(shown: Picture, levels: dict[str, int], partner: dict[str, str]) -> set[str]:
    """The nodes on cycles of 'must stand above' once partners are one node."""
    above: dict[str, list[str]] = {partner.get(n.key, n.key): [] for n in shown.nodes}
    below: dict[str, list[str]] = {key: [] for key in above}
    for high, low in _vertical(shown, levels):
        high, low = partner.get(high, high), partner.get(low, low)
        above[low].append(high)
        below[high].append(low)
    remaining = _peeled(set(above), above, below)
    return _peeled(remaining, below, above)


def _peeled(nodes: set[str], before: dict[str, list[str]], after: dict[str, list[str]]) -> set[str]:
    """What is left when nodes with nothing before them are taken away, again and again."""
    count = {n: sum(b in nodes for b in before[n]) for n in nodes}
    ready = [n for n, c in count.items() if not c]
    left = set(nodes)
    while ready:
        n = ready.pop()
        left.discard(n)
        for m in after[n]:
            if m in left:
                count[m] -= 1
                if not count[m]:
                    ready.append(m)
    return left


def _vertical(shown: Picture, levels: dict[str, int]) -> list[tuple[str, str]]:
    """The edges inside columns, from the upper node to the lower."""
    inside = [(e.tail, e.head) for e in shown.edges if e.kind == "value" and levels[e.tail] == levels[e.head]]
    return [(head, tail) if levels[head] % 2 else (tail, head) for tail, head in inside]


def _add_legend(graph: Any, shown: Picture, levels: dict[str, int], large: bool, theme: Theme) -> None:
    """One sample of every kind of node in the picture, in a row below it."""
    kinds = [kind for kind in KINDS if any(node.kind == kind for node in shown.nodes)]
    with graph.subgraph(name="cluster_legend") as box:
        box.attr(
            label="legend", labeljust="l", style="rounded", color=theme.frame, margin="8", fontsize="10", rank="same"
        )
        for kind in kinds:
            box.node(
                f"legend_{kind}",
                label=label_of([KINDS[kind]]),
                tooltip="legend",
                **{**_style(kind, theme), "fontsize": "9"},
            )
        for left, right in pairwise(kinds):
            box.edge(f"legend_{left}", f"legend_{right}", style="invis")
    if large:
        return
    upper = {high for high, _ in _vertical(shown, levels)}
    for key in [node.key for node in shown.nodes if node.key not in upper][:LOWEST]:
        graph.edge(key, f"legend_{kinds[len(kinds) // 2]}", style="invis", weight="0")
