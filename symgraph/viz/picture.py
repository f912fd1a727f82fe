"""A picture as plain data: nodes with what is written in them, and the edges between them.

Pictures are made by `model`, and made smaller by `focus` and `collapse`; everything that draws starts from one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..explaining.text import safe

KINDS = {
    "input": "input",
    "parameter": "parameter",
    "constant": "constant",
    "op": "operation",
    "output": "output",
    "adjoint": "adjoint of ...",
    "gradient": "gradient of ...",
    "update": "update of ...",
    "group": "nodes in one box",
    "more": "nodes left out",
}
"""The kinds of node, and what each says of itself."""

LONGEST = 36
"""Longer texts are cut."""

BLANK = "•"
"""An operand that has no name of its own: the edge says where it comes from."""


class Part(NamedTuple):
    """A part of the model, by name; parts of one name in one place are numbered from 1."""

    name: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.number}" if self.number else self.name


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
    parts: tuple[Part, ...] = ()
    """The parts of the model that it belongs to, outermost first."""
    elementwise: bool = False
    """Whether it works element by element."""
    updating: bool = False
    """Whether it leads from gradients to the new value of a parameter, and to nothing else."""
    side: str = ""
    """`as written` or `after rewriting`, where both are in the picture."""
    count: int = 1
    """How many nodes it stands for."""
    made_of: tuple[tuple[str, int], ...] = ()
    """For several nodes in one box: how many of each operation."""


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
    def sides(self) -> list[str]:
        """The sides that occur: one, unless the graph is drawn as written and after rewriting."""
        return list(dict.fromkeys(node.side for node in self.nodes))

    @property
    def columns(self) -> list[tuple[str, int]]:
        """The side and order of each column, from left to right."""
        at = {side: k for k, side in enumerate(self.sides)}
        return sorted({(node.side, node.order) for node in self.nodes}, key=lambda c: (at[c[0]], c[1]))

    @property
    def orders(self) -> list[int]:
        """The orders that occur."""
        return sorted({node.order for node in self.nodes})


def clean(text: str, longest: int = LONGEST) -> str:
    """A name as it may be shown: control characters and direction marks spelled out, and not too long."""
    shown = safe(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
