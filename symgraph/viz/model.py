"""What is drawn, as plain data: nodes, edges, and the order of the derivative each node belongs to.

What the user wrote has order 0 and stands on the left; what the first differentiation added has order 1 and stands beside
it, and so on. A node computed from nodes of some order has at least that order, so an update stands with its gradient.
Numbers and sizes are written in the labels of the ops that use them, except for the seed of reverse mode, the derivative
of an output by itself, which is where the backward graph begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core import Constant, Item, Leaf, Symbol, Tensor, format_shape, toposort
from ..errors import SymgraphError
from ..function import Function, Parameter
from ..ops.base import as_tensor
from ..ops.code import Code
from ..printing import expression, number
from ..provenance import adjoint_of, format_location, name_of
from ..pytree import flatten, paths
from ..rewrite import SIMPLIFY, STABILIZE, sequence

KINDS = {
    "input": "input",
    "parameter": "parameter",
    "constant": "constant",
    "op": "operation",
    "output": "output",
    "adjoint": "adjoint of ...",
    "gradient": "gradient of ...",
    "update": "update of ...",
}
"""The kinds of node, and what each says of itself."""

LONGEST = 36
"""Longer texts are cut."""

BLANK = "•"
"""An operand that has no name of its own: the edge says where it comes from."""


@dataclass(frozen=True)
class Node:
    """A node of the picture, named `n0`, `n1`, ... in the order of the computation."""

    key: str
    kind: str
    order: int
    text: str
    """What it computes: `sin(x1)`."""
    role: str
    """What it is: `gradient of x1`; empty for a plain op."""
    type: str
    """Shape and dtype."""
    op: str
    name: str
    where: str
    """The user's file and line."""


@dataclass(frozen=True)
class Edge:
    """A value used (`kind` value, at a position among the operands) or the link from a node to its adjoint."""

    tail: str
    head: str
    kind: str = "value"
    position: int = 0


@dataclass(frozen=True)
class Picture:
    """Everything that is drawn."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @property
    def orders(self) -> list[int]:
        """The orders that occur."""
        return sorted({node.order for node in self.nodes})


@dataclass(frozen=True)
class _Graph:
    """What is to be drawn: the roots with what they are called, the parameters that some of them update, and relations."""

    roots: list[Tensor]
    labels: list[str]
    updates: dict[Tensor, list[Parameter]]
    orders: dict[Tensor, int]
    adjoints: dict[Tensor, list[Tensor]]
    names: dict[Tensor, str]


def picture(outputs: Any, optimize: bool = False) -> Picture:
    """The picture of `outputs`: a tensor, any nesting of tensors, or a `Function` (with its updates).

    The graph is drawn as the user wrote it; with `optimize=True`, as rewriting leaves it.
    """
    return _Painter(_graph(outputs, optimize)).paint()


def _graph(outputs: Any, optimize: bool) -> _Graph:
    updates: dict[Tensor, list[Parameter]] = {}
    if isinstance(outputs, Function):
        program = outputs.program
        if program is None:
            raise SymgraphError(f"{outputs!r} was loaded without its graph; draw it where it was compiled, or read its source")
        count = len(program.outputs)
        roots = list(outputs.written)
        labels = [*_labels(program.tree, roots[:count]), *[""] * len(program.updates)]
        targets = [(p, i) for i, (p, _) in enumerate(program.updates, count)]
    else:
        leaves, _ = flatten(outputs)
        roots, targets = [as_tensor(leaf) for leaf in leaves], []
        labels = _labels(outputs, roots)
    if not roots:
        raise SymgraphError("there is nothing to draw: the outputs hold no tensor")
    order = toposort(roots)
    orders = {node: node.order for node in order}
    names = {node: name for node in order if (name := name_of(node))}
    present = set(order)
    adjoints = {node: [f for f in adjoint_of(node) if f in present] for node in order}
    if optimize:
        roots, successor = sequence(roots, (STABILIZE + SIMPLIFY,))
        orders, adjoints, names = _carried(order, successor, orders, adjoints, names)
    for parameter, i in targets:
        updates.setdefault(roots[i], []).append(parameter)
    return _Graph(roots, labels, updates, orders, adjoints, names)


def _labels(tree: Any, roots: Sequence[Tensor]) -> list[str]:
    """What each output is called: its key in a dict; nothing for a position, nor where the node has that name already."""
    keys = [path.rpartition("[")[2].rstrip("]") for path in paths(tree)]
    found = [key[1:-1] if key[:1] in ("'", '"') else "" for key in keys]
    return ["" if label == name_of(root) else label for label, root in zip(found, roots, strict=True)]


def _carried(order: list[Tensor], successor: Any, orders: Any, adjoints: Any, names: Any) -> tuple[Any, Any, Any]:
    """The relations of the nodes as written, on the nodes that took their places."""
    new_orders: dict[Tensor, int] = {}
    new_adjoints: dict[Tensor, list[Tensor]] = {}
    new_names: dict[Tensor, str] = {}
    for old in order:
        new = successor[old]
        new_orders[new] = min(orders[old], new_orders.get(new, orders[old]))
        if old in names and (old is new or not isinstance(new.op, Leaf | Constant)):
            new_names.setdefault(new, names[old])
        links = new_adjoints.setdefault(new, [])
        links += [f for f in dict.fromkeys(successor[f] for f in adjoints[old]) if f not in links_set(links)]
    return new_orders, new_adjoints, new_names


def links_set(links: list[Tensor]) -> set[Tensor]:
    """Membership by identity (`in` on a list of tensors would compare elementwise)."""
    return set(links)


class _Painter:
    """One picture in the making."""

    def __init__(self, graph: _Graph) -> None:
        self.graph = graph
        self.order = toposort(graph.roots)
        self.roots = set(graph.roots)
        self.present = set(self.order)
        self.links = {n: [f for f in graph.adjoints.get(n, ()) if f in self.present and f is not n] for n in self.order}
        self.level = self._levels()
        self.seeds = {n for n in self.order if isinstance(n.op, Constant) and self.links[n]}
        self.keys: dict[Tensor, str] = {}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

    def _levels(self) -> dict[Tensor, int]:
        """The order of each node: at least that of its operands. Without an adjoint in sight everything is forward."""
        graph = self.graph
        if not any(self.links.values()):
            return dict.fromkeys(self.order, 0)
        lowest = {n: graph.orders.get(n) for n in self.order}
        for node in reversed(self.order):  # what rewriting made has the order of its users
            mine = lowest[node]
            if mine is None:
                mine = lowest[node] = 0 if node in self.roots else 10**6
            for x in node.inputs:
                if graph.orders.get(x) is None:
                    before = lowest[x]
                    lowest[x] = mine if before is None else min(before, mine)
        level: dict[Tensor, int] = {}
        for node in self.order:
            if isinstance(node.op, Leaf):
                level[node] = 0
                continue
            found = lowest[node]
            assert found is not None
            below = [level[x] for x in node.inputs if not isinstance(x.op, Constant)]
            level[node] = max([0 if isinstance(node.op, Constant) else found, *below])
        for node in reversed(self.order):
            if isinstance(node.op, Constant) and self.links[node]:
                level[node] = 1 + min(level[f] for f in self.links[node])
            elif not isinstance(node.op, Constant):
                for x in node.inputs:
                    if isinstance(x.op, Constant) and not self.links[x]:
                        level[x] = min(level[node], level[x] or level[node])
        return level

    def paint(self) -> Picture:
        """All nodes in the order of the computation, then what only stands for another node."""
        self.drawn = self._drawn()
        for node in self.order:
            if node in self.drawn:
                self._node(node)
        self._stand_ins()
        self._links()
        return Picture(tuple(self.nodes), tuple(self.edges))

    def _drawn(self) -> set[Tensor]:
        """The nodes that get a shape of their own: not numbers and sizes, which are written where they are used."""
        used: set[Tensor] = set()
        for node in self.order:
            used.update(x for x in node.inputs if number(x) is None or (x in self.seeds and self._from_seed(node)))
        found = self.roots | {n for n in used if number(n) is None or n in self.seeds}
        return {n for n in self.order if n in found}

    def _from_seed(self, node: Tensor) -> bool:
        """Whether a 1 among the operands of `node` is the seed of reverse mode, and not a number of some formula."""
        return self.level[node] > 0 and (bool(self.links[node]) or node.op.name in ("multiply", "divide"))

    def _words(self, node: Tensor) -> list[Code]:
        words = []
        for x in node.inputs:
            written = short_number(x)
            if written is None:
                name = self.graph.names.get(x)
                written = Code(clean(name, 16), aval=x.aval) if name else Code(BLANK, aval=x.aval)
            words.append(written)
        return words

    def _node(self, node: Tensor) -> None:
        key = self.keys[node] = f"n{len(self.nodes)}"
        self.nodes.append(self._described(node, key))
        for position, x in enumerate(node.inputs):
            if x in self.keys and (number(x) is None or (x in self.seeds and self._from_seed(node))):
                self.edges.append(Edge(self.keys[x], key, "value", position))

    def _described(self, node: Tensor, key: str) -> Node:
        name = self.graph.names.get(node, "")
        kind, role = self._role(node)
        if isinstance(node.op, Leaf):
            text = clean(node.op.label)
        else:
            text = self._text(node)
            if kind == "update":
                text = f"{', '.join(clean(p.name or '') for p in self.graph.updates[node])} ← {text}"
            elif name:
                text = f"{clean(name)} = {text}"
        return Node(key, kind, self.level[node], text, role, _type(node), node.op.name, name, format_location(node.where))

    def _text(self, node: Tensor) -> str:
        written = short_number(node)
        if written is not None:
            return str(written)
        if isinstance(node.op, Constant):
            return "constant"
        if isinstance(node.op, Item):
            return f"output {node.op.index} of {node.inputs[0].op.name}"
        text = str(expression(node, self._words(node)))
        if len(text) > LONGEST:
            text = node.op.name
        return text

    def _role(self, node: Tensor) -> tuple[str, str]:
        """The kind of a node, and its role in words."""
        if isinstance(node.op, Symbol):
            return "input", "input"
        if isinstance(node.op, Leaf):
            return "parameter", "parameter"
        if node in self.graph.updates:
            return "update", f"update of {', '.join(clean(p.name or '') for p in self.graph.updates[node])}"
        forward = self.links[node] if self.level[node] else []
        label = self._label(node)
        if forward:
            return self._adjoint_role(node, forward, label)
        if node in self.roots:
            return "output", f"output{label}"
        return ("constant", "constant") if isinstance(node.op, Constant) else ("op", "")

    def _label(self, node: Tensor) -> str:
        found = [label for root, label in zip(self.graph.roots, self.graph.labels, strict=True) if root is node and label]
        return f" {', '.join(clean(label) for label in dict.fromkeys(found))}" if found else ""

    def _adjoint_role(self, node: Tensor, forward: list[Tensor], label: str) -> tuple[str, str]:
        leaves = [f for f in forward if isinstance(f.op, Leaf)]
        is_result = bool(leaves) or node in self.roots
        known = [clean(self.graph.names[f], 16) for f in (leaves or forward) if f in self.graph.names]
        role = "gradient" if is_result else "adjoint"
        if known:
            role += f" of {', '.join(known[:3])}{', ...' if len(known) > 3 else ''}"
        elif len(forward) > 1:
            role += f" of {len(forward)} values"
        if node in self.roots and label:
            role += f", output{label}"
        return "gradient" if is_result else "adjoint", role

    def _stand_ins(self) -> None:
        """A root that is drawn as something else first (a leaf, a forward value): what it is besides stands beside it."""
        for node, label in dict(zip(self.graph.roots, self.graph.labels, strict=True)).items():
            by_kind = self.nodes[int(self.keys[node][1:])]
            text = by_kind.name or BLANK
            if isinstance(node.op, Leaf) and node not in self.graph.updates and not self.links[node]:
                self._stand_in(node, "output", 0, clean(text), f"output{' ' + clean(label) if label else ''}")
            elif self.links[node] and self.level[node] == 0:
                names = [clean(self.graph.names.get(f, "a value"), 16) for f in self.links[node]]
                shown = "gradient of " + ", ".join(names[:3]) + (f", output {clean(label)}" if label else "")
                self._stand_in(node, "gradient", 1, clean(text), shown)
            if isinstance(node.op, Leaf) and node in self.graph.updates:
                names = [clean(p.name or "") for p in self.graph.updates[node]]
                self._stand_in(node, "update", 0, f"{', '.join(names)} ← {clean(text)}", f"update of {', '.join(names)}")

    def _stand_in(self, node: Tensor, kind: str, order: int, text: str, role: str) -> None:
        key = f"n{len(self.nodes)}"
        self.nodes.append(Node(key, kind, order, text, role, _type(node), "stand-in", "", ""))
        self.edges.append(Edge(self.keys[node], key))
        if kind == "gradient":
            self.edges += [Edge(self.keys[f], key, "adjoint") for f in self.links[node][:MOST_LINKS] if f in self.keys]

    def _links(self) -> None:
        for node in self.order:
            if node in self.keys and self.level[node]:
                forward = [f for f in self.links[node] if f in self.keys and self.level[f] < self.level[node]]
                self.edges += [Edge(self.keys[f], self.keys[node], "adjoint") for f in forward[:MOST_LINKS]]


MOST_LINKS = 3
"""One value may be the adjoint of very many (every step of a sum); more links than this say no more."""


def clean(text: str, longest: int = LONGEST) -> str:
    """A name as it may be shown: control characters and direction marks spelled out, and not too long."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def short_number(node: Tensor) -> Code | None:
    """A number or size as text, a number to six digits."""
    written = number(node)
    if written is not None and written.literal and len(written) > 8 and node.dtype.kind == "f":
        return Code(f"{float(written):.6g}", written.prec, node.aval, literal=True)
    return written


def _type(node: Tensor) -> str:
    avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
    return "; ".join(f"{format_shape(a.shape)} {a.dtype}" if a.shape else str(a.dtype) for a in avals)
