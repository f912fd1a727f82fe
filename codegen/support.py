"""The part of a generated module that is the same in each: its workspace and its loop over blocks."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from types import ModuleType

from . import blocks, workspace


def support(buffers: bool, kernels: bool, threads: int | None, table: str) -> str:
    """The text that follows the functions of a module which has buffers or kernels."""
    parts = []
    if kernels:
        text = _body(blocks)
        if threads is not None:
            text = _replaced(text, "THREADS = ", f"THREADS = {threads}")
        parts.append(text)
    if buffers:
        parts += [_body(workspace), f"workspace = Workspaces({table})"]
    return "".join(f"\n\n\n{part}" for part in parts)


@cache
def _body(module: ModuleType) -> str:
    """The text of a module after its docstring and imports."""
    text = inspect.getsource(module)
    first = next(n for n in ast.parse(text).body[1:] if not isinstance(n, ast.Import | ast.ImportFrom))
    return "\n".join(text.splitlines()[first.lineno - 1 :])


def _replaced(text: str, start: str, line: str) -> str:
    return "\n".join(line if old.startswith(start) else old for old in text.splitlines())
