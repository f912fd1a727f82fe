"""The picture as a networkx graph, with everything known of a node as attributes."""

from __future__ import annotations

from typing import Any

from .picture import Node, clean
from .selection import picture


def to_networkx(outputs: Any, *, optimize: bool | str = False, **choices: Any) -> Any:
    """A `networkx.MultiDiGraph` of `outputs`: a tensor, any nesting of tensors, or a `Function`.

    Nodes are named `n0`, `n1`, ... in the order of the computation and carry `kind` (input, parameter, constant, op, output,
    adjoint, gradient, update, or group for nodes in one box), `order` (of the derivative), `text`, `role`, `type`, `op`,
    `name`, `where`, `parts` (of the model, outermost first, as `encoder / layer 1`), `elementwise`, `updating` (leads from
    gradients to one new value alone), `side`, `count` and `made_of` (of nodes in one box). Edges carry `kind` (`value`, or
    `adjoint` from a node to its adjoint) and `position` among the operands. Attributes are strings, ints and bools, so the
    graph goes through GraphML and JSON and comes back the same.

    `optimize` and the other arguments choose what is in the graph, as in `draw`: `by`, `depth`, `focus`, `radius`, `collapse`.

    >>> from symgraph import grad, sin, symbol
    >>> x = symbol("x")
    >>> graph = to_networkx(grad(sin(x), x))
    >>> [graph.nodes[n]["text"] for n in graph]
    ['x', 'cos(x)']
    """
    try:
        import networkx
    except ImportError:
        raise ImportError("to_networkx needs networkx: pip install 'symgraph[viz]'") from None
    shown = picture(outputs, optimize, **choices)
    graph = networkx.MultiDiGraph()
    for node in shown.nodes:
        graph.add_node(node.key, **_attributes(node))
    for edge in shown.edges:
        graph.add_edge(edge.tail, edge.head, kind=edge.kind, position=edge.position)
    return graph


def _attributes(node: Node) -> dict[str, Any]:
    """What is known of a node, names with their control characters spelled out."""
    found = {k: v for k, v in vars(node).items() if k != "key"}
    made_of = ", ".join(f"{count} {op}" for op, count in node.made_of)
    return found | {"name": clean(node.name, 10_000), "parts": " / ".join(map(str, node.parts)), "made_of": made_of}
