"""The part of a generated module that is the same in each: its workspace and its loop over blocks."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from types import ModuleType

from . import blocks, blocks_alone, workspace
from . import cache as cache_size
from .program import Program

SCALED = ("max(1, rows * cache() >> 20)", ": `rows` for a cache of 1 MiB")
"""What a block's rows are unless a tile was asked for, and how it is said: as many as fit the cache of the machine."""

NAMES = frozenset(
    ["THREADS", "Workspace", "Workspaces", "asked", "blocks", "blockwise", "cache", "contextvars", "finish", "helpers"]
)
NAMES |= {"os", "placed", "process", "queue", "serve", "share", "workspace"}
"""What the text defines and imports: names that nothing else in a generated module may have."""


def support(buffers: bool, kernels: bool, program: Program) -> str:
    """The text that follows the functions of a module which has buffers or kernels."""
    parts = []
    if kernels:
        text = body(blocks_alone if program.threads == 1 else blocks)
        if program.threads is not None:
            text = _replaced(text, "THREADS = ", f"THREADS = {program.threads}")
        if program.tile is not None:
            text = text.replace(SCALED[0], "max(1, rows)").replace(SCALED[1], "")
        parts += [text] if program.tile is not None else [text, body(cache_size)]
    if buffers:
        parts += [body(workspace), f"workspace = Workspaces({program.name}_buffers)"]
    return "".join(f"\n\n\n{part}" for part in parts)


@cache
def body(module: ModuleType) -> str:
    """The text of a module after its docstring and imports."""
    text = inspect.getsource(module)
    first = next(n for n in ast.parse(text).body[1:] if not isinstance(n, ast.Import | ast.ImportFrom))
    return "\n".join(text.splitlines()[first.lineno - 1 :])


def _replaced(text: str, start: str, line: str) -> str:
    return "\n".join(line if old.startswith(start) else old for old in text.splitlines())
