"""The picture in DOT, laid out in mirrored columns.

The forward graph flows down on the left. The backward graph flows up on the right: its edges are written the other way
round with `dir=back`, so that each adjoint can be held at the height of the node it belongs to. Edges between the columns
do not take part in the ranking, which keeps large graphs fast and small ones free of tangles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from .picture import KINDS, Edge, Node, Part, Picture
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


@dataclass(frozen=True)
class Start:
    """Where the search for a layout starts: columns in order or reversed, held by an unseen node above or not, and whether
    the edges from column to column take part in it.

    Left and right are alike to Graphviz. Where it begins decides which column comes to stand on the left.
    """

    weight: str | None
    in_order: bool = True
    across: bool = False


STARTS = (Start("0"), Start(None), Start(None, in_order=False), Start("10"), Start("10", in_order=False),
          Start("0", across=True), Start(None, across=True))  # fmt: skip
"""The first puts forward on the left in most graphs; `draw` looks, and tries the others where it does not."""

COLUMNS = {0: "forward", 1: "backward"}


DEEPEST = 6
"""Parts nested deeper have no box of their own."""


def to_graphviz(
    outputs: Any, *, optimize: bool | str = False, legend: bool = True, theme: str = "light", **choices: Any
) -> Any:
    """A `graphviz.Digraph` of `outputs`: a tensor, any nesting of tensors, or a `Function`.

    The graph is drawn as it was written; `optimize=True` draws it as rewriting leaves it. The other arguments are those of
    `draw`. Every label is plain text: no name is ever read as markup. The same model gives the same DOT text.
    """
    return digraph(picture(outputs, optimize, **choices), legend, theme=theme_of(theme))


def digraph(shown: Picture, legend: bool = True, start: Start = STARTS[0], theme: Theme = THEMES["light"]) -> Any:
    """The picture in DOT, laid out from one of the `STARTS`."""
    graph = _package().Digraph("symgraph")
    large = len(shown.nodes) > LARGE
    shown = _without_crowds(shown) if large else shown
    graph.attr("graph", **_layout(large, theme))
    graph.attr("node", fontname=FONT, fontsize="11", fontcolor=theme.ink, height="0.3", penwidth="1.1")
    graph.attr("edge", color=theme.line, arrowsize="0.6", penwidth="1.0")
    levels = {node.key: node.order for node in shown.nodes}
    guided = len(shown.orders) > 1 and not large and start.weight is not None
    if guided:
        graph.node("top", label="", shape="point", width="0", height="0", style="invis")
    sides = shown.sides
    for k, side in enumerate(sides):
        mine = [node for node in shown.nodes if node.side == side]
        if len(sides) == 1:
            _add_columns(graph, mine, start, theme, "")
            continue
        with graph.subgraph(name=f"cluster_side{k}") as half:
            half.attr(label=side, labeljust="l", style="rounded", color=theme.soft, margin="16", fontsize="13")
            _add_columns(half, mine, start, theme, f"{k}_")
    if guided:
        for key in _highest(shown, levels):
            graph.edge("top", key, style="invis", weight=start.weight)
    rows = _rows(shown, levels)
    for forward, adjoint in rows:
        graph.body.append(f"\t{{rank=same {forward} {adjoint}}}\n")
    for edge in shown.edges:
        free = not start.across or (edge.kind == "adjoint" and (edge.tail, edge.head) not in rows)
        _add_edge(graph, edge, levels, {"constraint": "false"} if free else {}, theme)
    if legend:
        _add_legend(graph, shown, levels, large, theme)
    return graph


def _add_columns(graph: Any, nodes: list[Node], start: Start, theme: Theme, prefix: str) -> None:
    """The nodes of each order of derivative in a column of their own; with one order only, there are no columns."""
    orders = sorted({node.order for node in nodes})
    for order in orders if start.in_order else orders[::-1]:
        name = f"{prefix}{order}"
        if len(orders) == 1:
            _add_parts(graph, nodes, theme, name)
            continue
        with graph.subgraph(name=f"cluster_{name}") as column:
            column.attr(**_column(order, theme))
            _add_parts(column, [node for node in nodes if node.order == order], theme, name)


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


def _without_crowds(shown: Picture) -> Picture:
    """The picture without the edges from leaves that very many nodes use: those say the name in their text."""
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


def _column(order: int, theme: Theme) -> dict[str, str]:
    """The box around one order of derivative."""
    label = COLUMNS.get(order, f"derivative of order {order}")
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


def _add_edge(graph: Any, edge: Edge, levels: dict[str, int], across: dict[str, str], theme: Theme) -> None:
    tail, head = levels[edge.tail], levels[edge.head]
    if edge.kind == "adjoint":
        graph.edge(edge.tail, edge.head, style="dashed", color=theme.link, dir="none", penwidth="1.2", **across)
    elif tail != head:
        graph.edge(edge.tail, edge.head, color=theme.soft, penwidth="0.8", **across)
    elif head % 2:
        graph.edge(edge.head, edge.tail, dir="back")
    else:
        graph.edge(edge.tail, edge.head)


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


def _highest(shown: Picture, levels: dict[str, int]) -> list[str]:
    """The nodes at the top of their columns, column by column."""
    lower = {low for _, low in _vertical(shown, levels)}
    return [n.key for n in sorted(shown.nodes, key=lambda n: n.order) if n.key not in lower]


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
