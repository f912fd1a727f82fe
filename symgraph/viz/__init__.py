"""Pictures of graphs: the forward graph and, beside it, the backward graph, each adjoint next to what it belongs to."""

from __future__ import annotations

from .graphviz_graph import to_graphviz
from .networkx_graph import to_networkx
from .page import view, view_function
from .render import draw
from .selection import picture

__all__ = ["draw", "picture", "to_graphviz", "to_networkx", "view", "view_function"]
