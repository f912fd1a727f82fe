"""The picture as a networkx graph, with everything known of a node as attributes."""

from __future__ import annotations

from typing import Any

from .model import picture


def to_networkx(outputs: Any, *, optimize: bool = False) -> Any:
    """A `networkx.MultiDiGraph` of `outputs`: a tensor, any nesting of tensors, or a `Function`.

    Nodes are named `n0`, `n1`, ... in the order of the computation and carry `kind` (input, parameter, constant, op, output,
    adjoint, gradient, update), `order` (of the derivative), `text`, `role`, `type`, `op`, `name` and `where`. Edges carry
    `kind` (`value`, or `adjoint` from a node to its adjoint) and `position` among the operands.

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
    shown = picture(outputs, optimize)
    graph = networkx.MultiDiGraph()
    for node in shown.nodes:
        attributes = {k: v for k, v in vars(node).items() if k != "key"}
        graph.add_node(node.key, **attributes)
    for edge in shown.edges:
        graph.add_edge(edge.tail, edge.head, kind=edge.kind, position=edge.position)
    return graph
