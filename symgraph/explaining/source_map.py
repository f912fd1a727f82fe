"""Every line of generated source traced to the lines that the user wrote, and back.

A statement that computes belongs to the user's lines of what it computes; one that does not (a heading, buffers, `return`)
says what it is for. Both come from the emitter's record of which node each statement is for, never from guessing at the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..core import Tensor, building, describe, toposort
from ..errors import CompileError, SymgraphError
from ..function import Function
from ..provenance import Location, format_location
from .links import MOST, trace, written_for
from .reading import Reading
from .text import columns, first

MOST_ROWS = 40
"""Statements that are printed; `rows` has them all."""


@dataclass(frozen=True)
class Row:
    """A generated statement, and where it comes from."""

    first: int
    last: int
    """Its lines in the generated source, from 1."""
    function: str
    text: str
    where: tuple[Location, ...]
    """The user's lines, that of the value it is named for first."""
    nodes: tuple[Tensor, ...] = field(repr=False)
    """The nodes as the user wrote them that it is about."""
    reason: str
    """Of a statement that computes nothing: what it is for (`workspace`, `sizes`, `results`, ...); else empty."""

    @property
    def lines(self) -> str:
        """`7`, or `7-9`."""
        return str(self.first) if self.last <= self.first else f"{self.first}-{self.last}"

    def __str__(self) -> str:
        return f"{self.lines}: {self.text}  <- {self.origin}"

    @property
    def origin(self) -> str:
        """The user's lines, or the reason: `model.py:5, 6`."""
        return self.reason or located(self.where)


@dataclass(frozen=True, repr=False)
class SourceMap:
    """The generated statements of a function and the user's lines behind them; prints as a table."""

    name: str
    rows: tuple[Row, ...]
    _lines: dict[Tensor, list[int]]
    own: frozenset[Tensor]
    """The nodes as written that are computed in statements of their own."""

    def at(self, line: int) -> Row | None:
        """The statement on a line of the generated source; None for a blank line, an import or support code."""
        return self._by_line.get(line)

    def of(self, origin: Tensor | Location | str) -> tuple[Row, ...]:
        """The statements that compute a node as it was written, or what the user's line (`"model.py:14"`) says.

        A node without a statement of its own is computed in those of its users. What rewriting left out has none.

        Raises `SymgraphError` for a node that the function was not made of.
        """
        if isinstance(origin, Tensor):
            if origin not in self._lines:
                raise SymgraphError(f"{describe(origin)} is no part of what {self.name} was made of")
            found = {row.first: row for n in self._lines[origin] if (row := self.at(n)) is not None}
            return tuple(found[n] for n in sorted(found))
        wanted = origin if isinstance(origin, str) else format_location(origin)
        return tuple(r for r in self.rows if not r.reason and wanted in map(format_location, r.where))

    @cached_property
    def _by_line(self) -> dict[int, Row]:
        return {n: row for row in self.rows for n in range(row.first, row.last + 1)}

    def __str__(self) -> str:
        return "\n".join([f"{self.name}: generated line <- where it comes from", *table(self.rows, MOST_ROWS)])

    __repr__ = __str__


@building()
def source_map(f: Function) -> SourceMap:
    """The source map of a compiled function, in time linear in the graph and the source.

    Raises `CompileError` for a function that was loaded without its graph.

    >>> from symgraph import function, sin, symbol
    >>> x = symbol("x", ("n",))
    >>> f = function([x], sin(x).sum(), style="plain")
    >>> [(row.text, row.origin) for row in source_map(f).rows]
    [('def f(x):', 'signature'), ('return np.sin(x).sum()', '<...>:1')]
    """
    if f.program is None or f.details is None:
        raise CompileError(
            f"{f.name} was loaded or copied and holds its source only; trace the function it was made from"
        )
    reading = Reading(f)
    nodes = {node: node for node in toposort(f.written)}
    links = trace(f, nodes, reading)
    behind = _origins(f, written_for(f, nodes))
    text = f.source.split("\n")
    rows = [
        Row(
            s.first, s.last, s.function, _text(text[s.first - 1 : s.last]), tuple(_where(s.computes, behind)),
            tuple(links.nodes_of.get(s.first, ())), s.reason,
        )
        for s in reading.statements
    ]  # fmt: skip
    return SourceMap(f.name, tuple(rows), links.lines_of, frozenset(nodes) - links.within)


def table(rows: Sequence[Row], most: int) -> list[str]:
    """Rows as aligned lines: line, statement, user's lines or reason."""
    lines = columns([(r.lines.rjust(3), r.text, r.origin) for r in rows[:most]], 2, {1: 68})
    return [*lines, *first([""] * len(rows), most, "more: print(*function.trace().rows, sep='\\n')")[most:]]


def located(where: Iterable[Location]) -> str:
    """`model.py:5, 6; layers.py:3`."""
    files: dict[str, list[str]] = {}
    for location in where:
        files.setdefault(location.file, []).append(str(location.line))
    return "; ".join(f"{file}:{', '.join(lines)}" for file, lines in files.items())


def _text(lines: Sequence[str]) -> str:
    """A statement on one line, without the comment that says where it comes from, and a function without its docstring."""
    if lines[0].lstrip().startswith("def "):
        lines = lines[: next(i for i, line in enumerate(lines, 1) if line.endswith(":"))]
    return " ".join(re.sub(r"  # (?:.+:\d+)?$", "", line).strip() for line in lines)


def _origins(f: Function, written: Mapping[Tensor, Sequence[Tensor]]) -> dict[Tensor, list[Location]]:
    """The user's lines of each rewritten node: its own, those of what it took the place of, or else those of its users.

    What depends on no leaf is shared by all models, and its line may be another model's: it has the lines of its users.
    """
    assert f.program is not None
    found: dict[Tensor, list[Location]] = {}
    for node in reversed(f.program.order):
        own = dict.fromkeys(x.where for x in (node, *written.get(node, ())) if x.leafy and x.where is not None)
        mine = found[node] = list(own) or found.get(node, [])
        for x in node.inputs if not all(x.leafy for x in node.inputs) else ():
            if not x.leafy and len(known := found.setdefault(x, [])) < MOST:
                known += [w for w in mine if w not in known]
    return found


def _where(computes: Sequence[Tensor], origins: Mapping[Tensor, Sequence[Location]]) -> list[Location]:
    """The user's lines of the nodes, each once; the first is that of the first node, the others in their order."""
    found: dict[tuple[str, int], Location] = {}
    for node in computes:
        own = [node.where] if node.leafy and node.where is not None else []  # a node inside the body of a loop
        for where in origins.get(node, own):
            found.setdefault((where.file, where.line), where)
    locations = list(found.values())
    return [*locations[:1], *sorted(locations[1:], key=lambda w: (w.file, w.line))]
