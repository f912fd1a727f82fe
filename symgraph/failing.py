"""What is said of a call that failed: which function it was, where it was compiled, and which of the user's lines it is about.

An error in the arguments has the name of the function before its text. Every error, those of NumPy in generated code too, has
a note (`Exception.add_note`), which Python shows below the traceback. All of it is found out after the failure, so that calls
that succeed pay nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from .errors import SymgraphError
from .provenance import format_location

if TYPE_CHECKING:
    from .function import Function

MOST_TRACED = 20_000
"""Of a function made of more nodes than this, the generated line is told without the user's."""


def tell(f: Function, error: Exception) -> None:
    """Make an error that ended a call of `f` say so. What cannot be found out is left away, and nothing is raised.

    >>> import numpy as np
    >>> from symgraph import function, symbol
    >>> A = symbol("A", (2, 2))
    >>> f = function([A], np.linalg.inv(A), style="plain")
    >>> try:
    ...     f(np.zeros((2, 2)))
    ... except np.linalg.LinAlgError as error:
    ...     print(error, *error.__notes__, sep=chr(10))
    Singular matrix
    in f(A (2, 2) float64), compiled at <...>:1
      line 6 of its source, `return np.linalg.inv(A)`, comes from <...>:1
    """
    if isinstance(error, SymgraphError):
        error.args = (f"{f.name}: {error}",)
    place = f", compiled at {format_location(f.where)}" if f.where else ""
    lines = _lines(error.__traceback__, f._function.__code__.co_filename)
    error.add_note(f"in {f.name}({', '.join(map(str, f.arguments))}){place}{_step(f, lines)}")


def _lines(traceback: TracebackType | None, filename: str) -> list[int]:
    """The lines of the generated source that were running, innermost first."""
    found = []
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            found.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return found[::-1]


def _step(f: Function, lines: list[int]) -> str:
    """The generated statement that failed, and the user's lines behind it."""
    if not lines:
        return ""
    line, text, origin = lines[0], f.source.splitlines()[lines[0] - 1].partition("  # ")[0].strip(), ""
    if f.program is not None and len(f.program.order) <= MOST_TRACED:
        rows = [row for n in lines if (row := f.traced.at(n)) is not None and row.where]
        if rows:
            line, text, origin = rows[0].first, rows[0].text, f", comes from {rows[0].origin}"
    return f"\n  line {line} of its source, `{text}`{origin}"
