"""What a rule may know beyond the node before it: which values have several users, held while one walk is on.

A rule that takes an operation apart saves work only where nobody else needs the parts. Sharing is that of the graph as it
came, followed through the walk; what a rule has just made counts as used once.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any

from ..core import Tensor


class Facts:
    """The facts of one walk over one graph."""

    def __init__(
        self, order: Sequence[Tensor] = (), outputs: Sequence[Tensor] = (), frozen: Collection[Tensor] = ()
    ) -> None:
        self.shared: set[Tensor] = set(outputs)
        """The nodes with more than one user (being an output is one), and what became of them."""
        self.frozen = frozen
        self.widths: dict[Tensor, int] = {}
        """How many terms a sum has."""
        self.values: Any = None
        """The values of the nodes as rational functions (`identity.Values`), where the rules ask for them."""
        self.taken: set[Tensor] = set()
        """The shared multiples whose every user takes their factor over (`factors.multiples_taken`), and what became of them."""
        seen: set[Tensor] = set()
        for node in order:
            for x in node.inputs:
                (self.shared if x in seen else seen).add(x)


class _Holder(threading.local):
    def __init__(self) -> None:
        self.current = Facts()
        self.again = False
        """Whether the last walk changed which values are shared."""


facts = _Holder()
"""`facts.current` belongs to the walk that is on in this thread."""


def may_open(node: Tensor) -> bool:
    """Whether taking the value apart repeats no work: it has one user, or all of them take it apart."""
    return node not in facts.current.shared or node in facts.current.taken


def used_once(node: Tensor) -> bool:
    """Whether the value has one user, as far as is known: taking it apart repeats no work."""
    return node not in facts.current.shared
