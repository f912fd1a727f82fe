"""Generated source, and the styles it is written in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgraph.core import Tensor
from symgraph.dims import Variable

from .program import Program

STANDARD = ("_thread", "contextvars", "os", "queue")
"""Modules of the standard library that a generated module may use."""


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
    lines: dict[int, Tensor] = field(default_factory=dict)
    """For each line of the function (from 1), the node whose value it computes."""

    @property
    def imports(self) -> str:
        """The import statements the module needs."""
        scipy = [f"scipy.{m}" for m in ("special", "linalg", "fft") if f"scipy.{m}." in self.function]
        found = [
            m for m in STANDARD if f"{m}." in self.function and re.search(rf"(?<![\w.]){re.escape(m)}\.", self.function)
        ]
        lines = [f"import {module}" for module in found]
        lines += [""] if lines else []
        return "\n".join([*lines, "import numpy as np", *[f"import {module}" for module in scipy]])

    @property
    def text(self) -> str:
        """The whole module text, but for the values of parameters and large constants."""
        head = f"{self.imports}\n\n{self.preamble}" if self.preamble else self.imports
        return f"{head}\n\n\n{self.function}\n"


def emit(program: Program, style: str = "fast") -> Source:
    """The source of `program` in a style: `plain` is pure expressions, `fast` writes into memory that it plans."""
    from .fast import Fast
    from .plain import Plain

    return (Fast if style == "fast" else Plain)(program).emit()
