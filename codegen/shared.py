"""What a generated function and its helpers share: constants, and the helpers that bodies have become."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from symgraph.core import Body, Tensor
from symgraph.dtypes import FLOAT64
from symgraph.ops import code

from .names import Names
from .program import Program
from .text import rows_of

SMALL = 16
"""Constant arrays up to this many elements are written in the source; larger ones live beside it."""


class Shared:
    """What the function and its helpers share: constants, and the helpers themselves."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.preamble: list[str] = []
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.constants: dict[Tensor, str] = {}
        self.bodies: dict[Body, str] = {}
        self.body_names: dict[Body, str] = {}

    def constant(self, node: Tensor, name: str | None) -> str:
        """The name of a constant array, defined once."""
        if node not in self.constants:
            if name and re.fullmatch(r"(t|out|new)\d+", name):
                name += "_"  # not like the temporaries of a function
            made = self.constants[node] = self.names.take(name) if name else self.names.number("c")
            value = node.op.value  # type: ignore[attr-defined]
            if value.size <= SMALL and value.dtype.kind in "fiub" and value.size:
                dtype = (
                    ""
                    if value.dtype in (FLOAT64, np.dtype(np.int64), np.dtype(bool))
                    else f", dtype={code.dtype(value.dtype)}"
                )
                self.preamble.append(f"{made} = np.array({rows_of(value)}{dtype})")
            else:
                self.arrays[made] = value
        return self.constants[node]

    def body(self, body: Body, comments: bool, emit: Callable[[Program], str]) -> str:
        """The helper function made from a body."""
        if body not in self.body_names:
            name = self.body_names[body] = self.names.number("body")
            inputs = body.inputs
            program = Program(
                name, inputs, body.outputs, tuple(range(len(body.outputs))) if len(body.outputs) > 1 else 0,
                names={x: f"x{i + 1}" for i, x in enumerate(inputs)}, comments=comments,
            )  # fmt: skip
            self.bodies[body] = emit(program)
        return self.body_names[body]
