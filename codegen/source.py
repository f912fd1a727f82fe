"""Generated source, and the styles it is written in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgraph.core import Tensor
from symgraph.dims import Variable

from .program import Program

WIDTH = 88
"""Lines longer than this are not made by writing a value where it is used."""

SMALL = 16
"""Constant arrays up to this many elements are written in the source; larger ones live beside it."""


@dataclass(frozen=True)
class Source:
    """Generated source and what it needs to run."""

    name: str
    function: str
    """The text of the function (and its helpers), without imports."""
    preamble: str
    """Small constants, as assignments."""
    constants: dict[str, np.ndarray[Any, Any]]
    """Large constants, by the name the function uses."""
    arguments: tuple[str, ...]
    parameters: dict[str, Tensor]
    """The parameters, by the name the function uses."""
    dims: dict[Variable, str]
    uses_scipy: tuple[str, ...]
    lines: dict[int, Tensor] = field(default_factory=dict)
    """For each line of the function (from 1), the node whose value it computes."""

    @property
    def imports(self) -> str:
        """The import statements the module needs."""
        return "\n".join(["import numpy as np", *[f"import {module}" for module in self.uses_scipy]])

    @property
    def text(self) -> str:
        """The whole module text, but for the values of parameters and large constants."""
        parts = [self.imports, self.preamble, self.function]
        return "\n\n\n".join(part for part in [parts[0] + ("\n\n" + parts[1] if parts[1] else ""), parts[2]]) + "\n"


def emit(program: Program, style: str = "fast") -> Source:
    """The source of `program`."""
    from .plain import Plain

    return Plain(program).emit()
