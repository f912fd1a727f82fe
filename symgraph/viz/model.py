"""What is drawn, as plain data: nodes, edges, and the order of the derivative each node belongs to.

What the user wrote has order 0 and stands on the left; what the first differentiation added has order 1 and stands beside
it, and so on. A node computed from nodes of some order has at least that order, so an update stands with its gradient.
Numbers and sizes are written in the labels of the ops that use them, except for the seed of reverse mode, the derivative
of an output by itself, which is where the backward graph begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Constant, Item, Leaf, Symbol, Tensor, format_shape, toposort
from ..errors import SymgraphError
from ..explaining.text import one_step
from ..function import Function
from ..ops.base import Elementwise, as_tensor
from ..ops.code import Code
from ..ops.elementwise import Cast, ComplexAbs, Conjugate, Imag, Real, StopGradient, Where
from ..parameter import Parameter
from ..printing import number
from ..provenance import adjoint_of, line_of, name_of
from ..pytree import flatten, paths
from ..rewrite import SIMPLIFY, STABILIZE, sequence
from ..structured import Structured
from .parts import leading, parts
from .picture import BLANK, LONGEST, Edge, Node, Picture, clean


@dataclass(frozen=True)
class _Graph:
    """What is to be drawn: the roots with what they are called, the parameters that some of them update, and relations."""

    roots: list[Tensor]
    labels: list[str]
    updates: dict[Tensor, list[Parameter]]
    level: dict[Tensor, int]
    """The order of derivative that each node is drawn with."""
    links: dict[Tensor, list[Tensor]]
    """The forward nodes whose adjoint each node is."""
    names: dict[Tensor, str]
    became: Mapping[Tensor, Tensor]
    """What each node as written is in this graph, where rewriting changed it."""


def painted(
    outputs: Any, optimize: bool = False, by: str = "scope", constants: bool = True
) -> tuple[Picture, dict[Tensor, str]]:
    """The picture of `outputs`, a tensor, any nesting of tensors, or a `Function` with its updates, and where tensors are in it.

    The graph is drawn as the user wrote it; with `optimize=True`, as rewriting leaves it. `by` tells what makes its parts.
    Without `constants`, arrays are written into the nodes that use them. The second result has the key of each node that
    is drawn, by the tensor, and with `optimize=True` also by the tensor as written.
    """
    graph = _graph(outputs, optimize)
    painter = _Painter(graph, by, constants)
    shown = painter.paint()
    before = {old: painter.keys[new] for old, new in graph.became.items() if new in painter.keys}
    return shown, {**before, **painter.keys}


def _graph(outputs: Any, optimize: bool) -> _Graph:
    updates: dict[Tensor, list[Parameter]] = {}
    if isinstance(outputs, Function):
        program = outputs.program
        if program is None:
            raise SymgraphError(
                f"{outputs!r} was loaded without its graph; draw it where it was compiled, or read its source"
            )
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
    names = {node: name for node in order if (name := name_of(node))}
    present = set(order)
    links = {node: [f for f in adjoint_of(node) if f in present and f is not node] for node in order}
    level = _levels(order, links)
    successor: Mapping[Tensor, Tensor] = {}
    if optimize:
        roots, successor = sequence(roots, (STABILIZE + SIMPLIFY,))
        level, links, names = _carried(order, toposort(roots), successor, level, links, names)
    for parameter, i in targets:
        updates.setdefault(roots[i], []).append(parameter)  # type: ignore[arg-type]
    return _Graph(roots, labels, updates, level, links, names, successor)


def _labels(tree: Any, roots: Sequence[Tensor]) -> list[str]:
    """What each output is called: its key in a dict; nothing for a position, nor where the node has that name already."""
    keys = [path.rpartition("[")[2].rstrip("]") for path in paths(tree)]
    found = [key[1:-1] if key[:1] in ("'", '"') else "" for key in keys]
    return ["" if label == name_of(root) else label for label, root in zip(found, roots, strict=True)]


def _levels(order: list[Tensor], links: dict[Tensor, list[Tensor]]) -> dict[Tensor, int]:
    """The order of each node as written: at least that of its operands. Without an adjoint in sight all are forward."""
    if not any(links.values()):
        return dict.fromkeys(order, 0)
    level: dict[Tensor, int] = {}
    for node in order:
        own = 0 if isinstance(node.op, Constant) else node.order
        level[node] = max([own, *[level[x] for x in node.inputs if x.leafy]])
    return _with_shared(order, links, level)


def _with_shared(order: list[Tensor], links: dict[Tensor, list[Tensor]], level: dict[Tensor, int]) -> dict[Tensor, int]:
    """What depends on no leaf is shared by all graphs, and belongs to no order of its own.

    An adjoint among it stands beside its forward node, as the seed does, anything else with the first of its users.
    """
    users: dict[Tensor, int] = {}
    for node in reversed(order):
        if not node.leafy:
            level[node] = 1 + min(level[f] for f in links[node]) if links[node] else users.get(node, level[node])
        for x in node.inputs:
            users[x] = min(level[node], users.get(x, level[node]))
    return level


def _carried(
    before: list[Tensor],
    after: list[Tensor],
    successor: Mapping[Tensor, Tensor],
    level: dict[Tensor, int],
    links: dict[Tensor, list[Tensor]],
    names: dict[Tensor, str],
) -> tuple[dict[Tensor, int], dict[Tensor, list[Tensor]], dict[Tensor, str]]:
    """The relations of the nodes as written, on the nodes that took their places."""
    found: dict[Tensor, int] = {}
    carried: dict[Tensor, dict[Tensor, None]] = {node: {} for node in after}
    renamed: dict[Tensor, str] = {}
    for old in before:
        new = successor[old]
        if new not in carried:
            continue
        found[new] = min(level[old], found.get(new, level[old]))
        if old in names and (old is new or not isinstance(new.op, Leaf | Constant)):
            renamed.setdefault(new, names[old])
        carried[new].update(
            dict.fromkeys(f for old_f in links[old] if (f := successor[old_f]) in carried and f is not new)
        )
    for node in reversed(after):  # what a node is made of is no later than the node
        mine = found.setdefault(node, 0)
        for x in node.inputs:
            found[x] = min(mine, found.get(x, mine))
    moved = {node: list(forward) for node, forward in carried.items()}
    return _with_shared(after, moved, found), moved, renamed


BY_ELEMENTS = (Elementwise, Where, Cast, Real, Imag, Conjugate, ComplexAbs, StopGradient)
"""The ops that work element by element."""


class _Painter:
    """One picture in the making."""

    def __init__(self, graph: _Graph, by: str, constants: bool) -> None:
        self.graph = graph
        self.constants = constants
        self.order = toposort(graph.roots)
        self.times = Counter(graph.roots)
        self.roots = dict.fromkeys(graph.roots)
        self.links = graph.links
        self.level = graph.level
        self.used = {x for n in self.order for x in n.inputs}
        self.seeds = {n for n in self.order if isinstance(n.op, Constant) and self.links[n]}
        known = parts(self.order, self.links, graph.names, by, self.level)
        leads = leading(self.order, self.links, known, graph.updates, self.level)
        self.parts = {**known, **leads}
        self.updating = {node for node in leads if self.level[node]}
        self.keys: dict[Tensor, str] = {}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

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
        found = {*self.roots, *(n for n in used if number(n) is None or n in self.seeds)}
        if not self.constants:
            found -= {n for n in found if isinstance(n.op, Constant) and n not in self.seeds and n not in self.roots}
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
                blank = "array" if isinstance(x.op, Constant) and not self.constants else BLANK
                written = Code(clean(name, 16) if name else blank, aval=x.aval)
            words.append(written)
        return words

    def _node(self, node: Tensor) -> None:
        key = self.keys[node] = f"n{len(self.nodes)}"
        self.nodes.append(self._described(node, key))
        for position, x in enumerate(node.inputs[: len(node.inputs) - node.op.mentions]):
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
            else:
                labels = self._labels(node) or [clean(name)]
                first = [clean(name)] if name else labels[:1]
                shown = ", ".join(first if self._is_adjoint_too(node) else labels)
                text = f"{shown} = {text}" if shown else text
        return Node(
            key, kind, self.level[node], text, role, _type(node), node.op.name, name, line_of(node),
            self.parts.get(node, ()), isinstance(node.op, BY_ELEMENTS), node in self.updating,
        )  # fmt: skip

    def _text(self, node: Tensor) -> str:
        written = short_number(node)
        if written is not None:
            return str(written)
        if isinstance(node.op, Constant):
            return _array(node)
        if isinstance(node.op, Item):
            return f"output {node.op.index} of {node.inputs[0].op.name}"
        text = node.formula if isinstance(node, Structured) else ""
        if not text or "\n" in text or len(text) > LONGEST:
            text = str(one_step(node, self._words(node)))
        return node.op.name if "\n" in text or len(text) > LONGEST else text

    def _role(self, node: Tensor) -> tuple[str, str]:
        """The kind of a node, and its role in words."""
        if isinstance(node.op, Symbol):
            return "input", "input"
        if isinstance(node.op, Leaf):
            return "parameter", "parameter"
        if node in self.graph.updates:
            return "update", f"update of {', '.join(clean(p.name or '') for p in self.graph.updates[node])}"
        forward = self.links[node] if self.level[node] else []
        if forward:
            return self._adjoint_role(node, forward)
        if node in self.roots:
            return "output", "output"
        return ("constant", "constant") if isinstance(node.op, Constant) else ("op", "")

    def _labels(self, node: Tensor) -> list[str]:
        """What a root is called, each name once."""
        pairs = zip(self.graph.roots, self.graph.labels, strict=True)
        return list(dict.fromkeys(clean(label) for root, label in pairs if root is node and label))

    def _is_adjoint_too(self, node: Tensor) -> bool:
        """Whether a forward value was asked for as an adjoint: as exp(x) besides exp(x), or as what an output multiplies."""
        if not self.links[node] or self.level[node]:
            return False
        inside = node in self.used and any(isinstance(f.op, Leaf) for f in self.links[node])
        return inside or self.times[node] > 1

    def _adjoint_role(self, node: Tensor, forward: list[Tensor]) -> tuple[str, str]:
        leaves = [f for f in forward if isinstance(f.op, Leaf)]
        is_result = bool(leaves) or node in self.roots
        known = [clean(self.graph.names[f], 16) for f in (leaves or forward) if f in self.graph.names]
        role = "gradient" if is_result else "adjoint"
        if known:
            role += f" of {', '.join(known[:3])}{', ...' if len(known) > 3 else ''}"
        elif len(forward) > 1:
            role += f" of {len(forward)} values"
        return "gradient" if is_result else "adjoint", role

    def _stand_ins(self) -> None:
        """A root that is drawn as something else first (a leaf, a forward value): what it is besides stands beside it."""
        for node in self.roots:
            text = clean(self.nodes[int(self.keys[node][1:])].name or BLANK)
            labels = self._labels(node)
            if self._is_adjoint_too(node):
                names = [clean(self.graph.names.get(f, "a value"), 16) for f in self.links[node]]
                text = f"{labels[-1]} = {text}" if len(labels) > 1 or (labels and text != BLANK) else text
                self._stand_in(node, "gradient", 1, text, f"gradient of {', '.join(names[:3])}")
            elif isinstance(node.op, Leaf) and node not in self.graph.updates:
                text = f"{', '.join(labels)} = {text}" if labels else text
                self._stand_in(node, "output", 0, text, "output")
            if isinstance(node.op, Leaf) and node in self.graph.updates:
                names = [clean(p.name or "") for p in self.graph.updates[node]]
                self._stand_in(node, "update", 0, f"{', '.join(names)} ← {text}", f"update of {', '.join(names)}")

    def _stand_in(self, node: Tensor, kind: str, order: int, text: str, role: str) -> None:
        key = f"n{len(self.nodes)}"
        self.nodes.append(Node(key, kind, order, text, role, _type(node), "stand-in", "", "", self.parts.get(node, ())))
        self.edges.append(Edge(self.keys[node], key))
        if kind == "gradient":
            self.edges += [Edge(self.keys[f], key, "adjoint") for f in self.links[node][:MOST_LINKS] if f in self.keys]

    def _links(self) -> None:
        for node in self.order:
            if node in self.keys and self.level[node]:
                forward = [f for f in self.links[node] if f in self.keys and self.level[f] < self.level[node]]
                self.edges += [Edge(self.keys[f], self.keys[node], "adjoint") for f in forward[:MOST_LINKS]]


FEW = 4
"""A constant of so many elements is shown by them."""

MOST_LINKS = 3
"""One value may be the adjoint of very many (every step of a sum); more links than this say no more."""


def short_number(node: Tensor) -> Code | None:
    """A number or size as text, a number to six digits."""
    written = number(node)
    if written is not None and written.literal and len(written) > 8 and node.dtype.kind == "f":
        return Code(f"{float(written):.6g}", written.prec, node.aval, literal=True)
    return written


def _array(node: Tensor) -> str:
    """A constant: a small one by its elements."""
    value = node.op.value  # type: ignore[attr-defined]
    text = np.array2string(value, precision=4, separator=", ") if value.size <= FEW else ""
    return text if text and "\n" not in text and len(text) <= LONGEST else "constant"


def _type(node: Tensor) -> str:
    avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
    return "; ".join(f"{format_shape(a.shape)} {a.dtype}" if a.shape else str(a.dtype) for a in avals)
