"""What is to be compiled, as plain data: leaves in, nodes out, updates, and the names they go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from symgraph.core import Constant, Leaf, Tensor, toposort
from symgraph.dims import Size, Variable, variables


@dataclass(frozen=True)
class Check:
    """Two sizes that must be equal when the function is called, and what the user wrote that needs it."""

    left: Size
    right: Size
    why: str


@dataclass(frozen=True)
class Program:
    """A function to be generated. All graphs are lowered: every node can be written as NumPy."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tree: Any
    """The nesting of the outputs, with the position of each in its place."""
    updates: tuple[tuple[Tensor, Tensor], ...] = ()
    names: Mapping[Tensor, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    comments: bool = True
    threads: int | None = None
    """How many threads may share a loop over blocks; None for as many as the process may use."""
    tile: int | None = None
    """How many elements of the widest array a block has; None for as many as the cache of the machine suggests."""
    quiet: frozenset[str] = frozenset()
    """Floating-point warnings that the optimized formulas raise without harm."""

    @cached_property
    def order(self) -> list[Tensor]:
        """Every node, inputs before users."""
        return toposort([*self.outputs, *[new for _, new in self.updates]])

    @cached_property
    def parameters(self) -> list[Tensor]:
        """The leaves that are not inputs: read or updated, in the order of first use."""
        inputs = set(self.inputs)
        found = [node for node in self.order if isinstance(node.op, Leaf) and node not in inputs]
        return list(dict.fromkeys([*found, *[parameter for parameter, _ in self.updates]]))

    @property
    def constants(self) -> list[Tensor]:
        """Constants that are arrays, in the order of first use."""
        return [node for node in self.order if isinstance(node.op, Constant)]

    @property
    def dims(self) -> list[Variable]:
        """The symbolic dimensions of the inputs, in order."""
        return list(dict.fromkeys(v for x in self.inputs for v in variables(*x.shape)))
