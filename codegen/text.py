"""Small pieces of text: docstrings, comments and literals of the generated source, with whatever a user wrote escaped."""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

import numpy as np

from symgraph.core import Tensor, format_shape
from symgraph.dims import Variable
from symgraph.ops import code
from symgraph.ops.base import Primitive
from symgraph.ops.code import Code

from .program import Program

WIDTH = 88
"""Lines longer than this are not made by writing a value where it is used."""

LONGEST = 104
"""Calls and headers longer than this are written on several lines."""


def escaped(text: str) -> str:
    """`text` for a docstring or a comment, with escapes for what could end it: quotes, backslashes, line breaks."""
    return "".join(c if c.isprintable() and c not in '"\\' else json.dumps(c)[1:-1] for c in text)


def docstring(types: str, effects: str) -> list[str]:
    """What the function takes and gives, on one line if it fits."""
    text = f"{types}; {effects}." if effects else f"{types}."
    if len(text) <= WIDTH:
        return [f'    """{text}"""']
    more = [""] + textwrap.wrap(f"{effects[0].upper()}{effects[1:]}.", WIDTH) if effects else []
    first, *rest = textwrap.wrap(f"{types}.", WIDTH)
    return [f'    """{first}', *[f"    {line}" if line else "" for line in [*rest, *more]], '    """']


def wrapped(statement: str) -> list[str]:
    """A statement that ends with a list in parentheses, which stands on lines of its own where one would be too long."""
    if len(statement) <= LONGEST:
        return [statement]
    end = start = statement.rindex(")")
    depth = 1
    while depth:
        start -= 1
        depth += {")": 1, "(": -1}.get(statement[start], 0)
    lines = [""]
    for item in _items(statement[start + 1 : end]):
        if lines[-1] and len(lines[-1]) + len(item) > LONGEST - 10:
            lines.append("")
        lines[-1] += f" {item}," if lines[-1] else f"{item},"
    return [statement[: start + 1], *[f"    {line}" for line in lines], statement[end:]]


def _items(text: str) -> list[str]:
    """The parts between the commas that stand in no brackets."""
    found, depth, start = [], 0, 0
    for i, c in enumerate(f"{text},"):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(c, 0)
        if c == "," and not depth:
            found.append(text[start:i].strip())
            start = i + 1
    return [item for item in found if item]


def rows_of(value: np.ndarray[Any, Any]) -> str:
    if value.ndim == 0:
        text = str(code.literal(value, exact=True))
        return text
    return f"[{', '.join(map(rows_of, value))}]"


def is_readonly(x: Tensor) -> bool:
    """Whether the value may be a view, of a view, that NumPy lets nobody write."""
    while isinstance(x.op, Primitive) and x.op.is_view and not x.op.readonly:
        x = x.inputs[0]
    return isinstance(x.op, Primitive) and x.op.readonly


def type_of(x: Tensor) -> str:
    return f"{format_shape(x.shape)} {x.dtype}" if x.ndim else str(x.dtype)


def nested(tree: Any, results: list[str]) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{_key(key)}: {nested(item, results)}" for key, item in tree.items()) + "}"
    if isinstance(tree, list):
        return f"[{', '.join(nested(item, results) for item in tree)}]"
    if isinstance(tree, tuple):
        inside = ", ".join(nested(item, results) for item in tree)
        return f"({inside}{',' if len(tree) == 1 else ''})"
    return results[tree] if isinstance(tree, int) else "None"


def _key(key: str | int) -> str:
    """A dict key as source, in the quotes the rest of the source uses."""
    return json.dumps(key, ensure_ascii=False) if isinstance(key, str) and key.isprintable() else repr(key)


def dim_lines(
    program: Program, written: dict[Tensor, Code], dims: dict[Variable, str], lines: list[tuple[str, Tensor | None]]
) -> list[tuple[str, Tensor | None]]:
    """`batch = x.shape[0]` for each dimension that the function mentions."""
    used = set(re.findall(r"\w+", "\n".join(text for text, _ in lines)))
    found: list[tuple[str, Tensor | None]] = []
    for v, name in dims.items():
        if name not in used:
            continue
        for x in program.inputs:
            axis = next(
                (a for a, s in enumerate(x.shape) if not isinstance(s, int) and s.is_variable and s.key == v), None
            )
            if axis is not None:
                found.append((f"{name} = {written[x]}.shape[{axis}]", None))
                break
    return found
