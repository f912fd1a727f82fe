"""The part of a generated module that is the same in each: its workspace and its loop over blocks."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from types import ModuleType

from . import blocks, blocks_alone, workspace
from . import cache as cache_size

SCALED = ("max(1, rows * cache() >> 20)", ": `rows` for a cache of 1 MiB")
"""What a block's rows are by default, and how it is said: as many as fit the cache of the machine the module runs on."""

NAMES = frozenset(
    ["THREADS", "Workspace", "Workspaces", "blocks", "blockwise", "cache", "contextvars", "finish", "helpers"]
)
NAMES |= {"os", "placed", "process", "queue", "serve", "share", "workspace"}
"""What the text defines and imports: names that nothing else in a generated module may have."""


def support(buffers: bool, kernels: bool, threads: int | None, table: str) -> str:
    """The text that follows the functions of a module which has buffers or kernels."""
    parts = []
    if kernels and threads == 1:
        parts += [body(blocks_alone), body(cache_size)]
    elif kernels:
        text = body(blocks)
        if threads is not None:
            text = _replaced(text, "THREADS = ", f"THREADS = {threads}")
        parts += [text, body(cache_size)]
    if buffers:
        parts += [body(workspace), f"workspace = Workspaces({table})"]
    return "".join(f"\n\n\n{part}" for part in parts)


def with_fixed_tile(text: str) -> str:
    """The text of a module whose blocks have the rows that it says, whatever the machine."""
    scaled, said = SCALED
    if scaled not in text:
        return text
    text = text.replace(scaled, "max(1, rows)").replace(said, "")
    shared, asked = body(cache_size).split("\n\n\n")
    text = text.replace(f"\n\n\n{asked}", "")
    return text if "process[" in text else text.replace(f"\n\n\n{shared}", "")


@cache
def body(module: ModuleType) -> str:
    """The text of a module after its docstring and imports."""
    text = inspect.getsource(module)
    first = next(n for n in ast.parse(text).body[1:] if not isinstance(n, ast.Import | ast.ImportFrom))
    return "\n".join(text.splitlines()[first.lineno - 1 :])


def _replaced(text: str, start: str, line: str) -> str:
    return "\n".join(line if old.startswith(start) else old for old in text.splitlines())
