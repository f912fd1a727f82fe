"""Which generated lines belong to which nodes as the user wrote them, both ways.

A statement computes a node of the rewritten graph, and whatever is written inside its expression. That node took the place of
nodes as written; one that rewriting made up on the way belongs to the nodes it was made up for, which are those that use it.
A line that computes nothing (a heading, a buffer, `return`) belongs to the nodes whose names it mentions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..core import Constant, Item, Leaf, Tensor, toposort
from ..function import Function

MOST = 12
"""A line or node is linked to at most this many where it belongs to others only by way of them."""


@dataclass(frozen=True)
class Trace:
    """The links between the drawn nodes (by key) and the lines of the source (from 1)."""

    nodes_of: dict[int, list[str]]
    lines_of: dict[str, list[int]]
    within: frozenset[str]
    """The nodes that have no statement of their own: their lines are those of what uses them."""
    end: int
    """The last line that is about this function; what follows is the same in every module."""


def trace(f: Function, keys: Mapping[Tensor, str]) -> Trace:
    """The links between the lines of `f` and the drawn nodes, in time linear in both."""
    reading = _Reading(f)
    drawn = _drawn_for(f, keys)
    nodes_of: dict[int, list[str]] = {}
    direct = {node: sorted(lines) for node, lines in reading.made.items()}
    for line, nodes in sorted(reading.nodes.items()):
        found = dict.fromkeys(key for node in nodes for key in drawn.get(node, ()))
        if found:
            nodes_of[line] = list(found)
    for line, nodes in sorted(reading.nodes.items()):
        for node in nodes:
            if isinstance(node.op, Leaf):
                direct.setdefault(node, []).append(line)
    lines_of, within = _lines_of(f, keys, direct)
    return Trace(nodes_of, lines_of, within, reading.end)


def _drawn_for(f: Function, keys: Mapping[Tensor, str]) -> dict[Tensor, list[str]]:
    """For each rewritten node the keys of what it took the place of, or else those of its users."""
    assert f.program is not None
    found: dict[Tensor, dict[str, None]] = {}
    for old in toposort(f.written):
        if old in keys:
            found.setdefault(f.became.get(old, old), {})[keys[old]] = None
    users: dict[Tensor, dict[str, None]] = {}
    for node in reversed(f.program.order):
        mine = found.get(node) or users.get(node, {})
        found[node] = mine
        for x in node.inputs:
            if x not in found:
                kept = users.setdefault(x, {})
                kept.update(dict.fromkeys(list(mine)[: max(0, MOST - len(kept))]))
    for leaf in [*f.program.inputs, *f.program.parameters]:
        if leaf in keys:
            found.setdefault(leaf, {keys[leaf]: None})
    return {node: list(names) for node, names in found.items()}


def _lines_of(
    f: Function, keys: Mapping[Tensor, str], direct: dict[Tensor, list[int]]
) -> tuple[dict[str, list[int]], frozenset[str]]:
    """The lines of each drawn node: those that compute what it became, or else those of its users."""
    lines: dict[str, list[int]] = {}
    within: set[str] = set()
    inherited: dict[Tensor, dict[int, None]] = {}
    for node in reversed(toposort(f.written)):
        new = f.became.get(node, node)
        leaf = isinstance(new.op, Leaf | Constant) and new is not node
        if isinstance(new.op, Item):
            direct.setdefault(new, direct.get(new.inputs[0], []))
        mine = [] if leaf else direct.get(new, [])
        if not mine:
            mine = sorted(inherited.get(node, {}))
            if node in keys and mine:
                within.add(keys[node])
        if node in keys:
            lines[keys[node]] = sorted(dict.fromkeys(mine))
        for x in node.inputs:
            kept = inherited.setdefault(x, {})
            kept.update(dict.fromkeys(mine[: max(0, MOST - len(kept))]))
    return lines, frozenset(within)


@dataclass
class _Scope:
    """A function of the module: the nodes that are written into each of its names, and those whose statements say it."""

    first: int
    last: int
    header: range
    names: dict[str, dict[Tensor, None]] = field(default_factory=dict)
    said: dict[str, dict[Tensor, None]] = field(default_factory=dict)
    all: dict[Tensor, None] = field(default_factory=dict)


class _Reading:
    """The source of a function, statement by statement."""

    def __init__(self, f: Function) -> None:
        assert f.program is not None and f.details is not None
        self.nodes: dict[int, list[Tensor]] = {}
        self.made: dict[Tensor, list[int]] = {}
        shift = f.source.count("\n", 0, f.source.index(f.details.function))
        self.known = {line + shift: node for line, node in f.details.lines.items()}
        self.claimed = set(self.known.values())
        self.text = f.source.split("\n")
        self.leaves = [*f.program.inputs, *f.program.parameters]
        names = [*f.details.arguments, *f.details.parameters]
        self.leaf_of = dict(zip(names, [*f.program.inputs, *f.details.parameters.values()], strict=True))
        self.said: dict[str, dict[Tensor, None]] = {}
        """The nodes of the statements in which a name occurs, in any function."""
        own = [s for s in ast.parse(f.source).body if self._is_own(s, f)]
        self.end = max((s.end_lineno or 0 for s in own), default=0)
        self._read(f, own)

    def _read(self, f: Function, own: Sequence[ast.stmt]) -> None:
        """First what computes nodes, then what only mentions them, then headings and what is left."""
        assert f.program is not None
        inside = {s.name: self._scope(s) for s in own if isinstance(s, ast.FunctionDef)}
        scopes = {name: scope for name, (scope, _) in inside.items()}
        statements = [(s, scope) for scope, body in inside.values() for s in body]
        results = [*f.program.outputs, *[new for _, new in f.program.updates]]
        main = scopes[f.name]
        for s, scope in statements:
            self._computing(s, scope)
        for s, scope in statements:
            if scope is main:
                self._returning(s, results)
        for s, scope in [*statements, *[(s, main) for s in own if not isinstance(s, ast.FunctionDef)]]:
            self._mentioning(s, scope)
        for s, scope in statements:
            self._calling(s, scope, scopes)
        for name, scope in scopes.items():
            calls = self.said.get(name, {})
            table = self._rows(scope, main)
            everything = dict.fromkeys(self.leaves) if scope is main else table or scope.all or calls
            for line in scope.header:
                self.nodes[line] = list(everything)
            self._rest(scope, calls)

    def _rest(self, scope: _Scope, called: Mapping[Tensor, None]) -> None:
        """What is left heads or closes other lines (`try:`, a bracket), or is in a helper that a statement calls."""
        lines = [n for n in range(scope.first, scope.last + 1) if self.text[n - 1].strip()]
        if not scope.all and called:
            for line in lines:
                self.nodes.setdefault(line, list(called))
        for before, line in [*pairwise(reversed(lines)), *pairwise(lines)]:
            if line not in self.nodes and before in self.nodes:
                self.nodes[line] = self.nodes[before]

    def _is_own(self, s: ast.stmt, f: Function) -> bool:
        if isinstance(s, ast.Import | ast.ImportFrom):
            return False
        last = max(self.known, default=0)
        named = isinstance(s, ast.FunctionDef) and s.name in (f.name, f"{f.name}_buffers")
        return named or s.lineno <= last

    def _scope(self, s: ast.FunctionDef) -> tuple[_Scope, list[ast.stmt]]:
        """A function and its statements, those inside others too, in the order of the text."""
        body = s.body[1:] if ast.get_docstring(s) is not None else s.body
        start = body[0].lineno if body else (s.end_lineno or s.lineno) + 1
        scope = _Scope(s.lineno, s.end_lineno or s.lineno, range(s.lineno, start))
        found: list[ast.stmt] = []
        stack = list(reversed(body))
        while stack:
            statement = stack.pop()
            found.append(statement)
            stack += reversed(_inner(statement))
        return scope, found

    def _computing(self, s: ast.stmt, scope: _Scope) -> None:
        """A statement with a node: that node and what is written inside its expression."""
        node = self.known.get(s.lineno)
        if node is None:
            return
        self._make(self._inside(node), s)
        scope.all[node] = None
        for name in _names(s):
            scope.said.setdefault(name, {})[node] = None
            self.said.setdefault(name, {})[node] = None
        for name in _targets(s):
            scope.names.setdefault(name, {})[node] = None

    def _inside(self, node: Tensor) -> list[Tensor]:
        """A node and what is written inside its expression, the node first."""
        found = toposort([node], stop=self.claimed - {node})
        return [n for n in reversed(found) if n is node or not (n in self.claimed or isinstance(n.op, Leaf | Constant))]

    def _make(self, nodes: Iterable[Tensor], s: ast.stmt) -> None:
        """The statement computes these nodes."""
        for line in _span(s):
            self.nodes[line] = list(dict.fromkeys([*self.nodes.get(line, ()), *nodes]))
            for node in nodes:
                self.made.setdefault(node, []).append(line)

    def _returning(self, s: ast.stmt, results: Iterable[Tensor]) -> None:
        """The statement at the end: results that have no statement of their own are computed in it."""
        rest = [y for y in results if y not in self.claimed and not isinstance(y.op, Leaf | Item)]
        if isinstance(s, ast.Return) and rest:
            self._make([node for y in rest for node in self._inside(y)], s)

    def _named(self, name: str, scope: _Scope) -> Mapping[Tensor, None]:
        """The nodes that a name stands for in a function, or else anywhere."""
        if name in self.leaf_of:
            return {self.leaf_of[name]: None}
        return scope.names.get(name) or scope.said.get(name) or self.said.get(name, {})

    def _mentioning(self, s: ast.stmt, scope: _Scope) -> None:
        """A statement without a node: those its names stand for."""
        if s.lineno in self.known:
            return
        found: dict[Tensor, None] = dict.fromkeys(self.nodes.get(s.lineno, ()))
        for name in _names(s):
            found.update(self._named(name, scope))
        for line in _span(s):
            if found:
                self.nodes[line] = list(found)

    def _calling(self, s: ast.stmt, scope: _Scope, scopes: Mapping[str, _Scope]) -> None:
        """A statement that runs a loop over blocks computes all that the function of the loop does."""
        for name in _names(s):
            other = scopes.get(name)
            if other is not None and other is not scope and s.lineno in self.known:
                for line in _span(s):
                    self.nodes[line] = list(dict.fromkeys([*self.nodes[line], *other.all]))

    def _rows(self, scope: _Scope, main: _Scope) -> dict[Tensor, None]:
        """The rows of the table of buffers: each says in a comment which buffer it is. The nodes of them all."""
        everything: dict[Tensor, None] = {}
        if scope.all:
            return everything
        for line in range(scope.first, scope.last + 1):
            found = re.search(r"  # (\w+)$", self.text[line - 1])
            nodes = found and self._named(found[1], main)
            if nodes:
                self.nodes[line] = list(nodes)
                everything.update(nodes)
        return everything


def _span(s: ast.stmt) -> range:
    """The lines of a statement; of one that holds others, its heading."""
    body: Any = getattr(s, "body", None)
    last = (body[0].lineno - 1 if body else s.end_lineno) or s.lineno
    return range(s.lineno, max(s.lineno, last) + 1)


def _names(s: ast.stmt) -> Iterable[str]:
    """The names in a statement itself, not in those inside it."""
    if isinstance(s, ast.Global):
        return s.names
    stack: list[ast.AST] = [s]
    found: dict[str, None] = {}
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name):
            found[node.id] = None
        stack += [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.stmt | ast.ExceptHandler)]
    return list(found)


def _inner(s: ast.AST) -> list[ast.stmt]:
    """The statements directly inside a statement, those of its handlers too."""
    found: list[ast.stmt] = []
    for child in ast.iter_child_nodes(s):
        if isinstance(child, ast.stmt):
            found.append(child)
        elif isinstance(child, ast.ExceptHandler):
            found += child.body
    return found


def _targets(s: ast.stmt) -> list[str]:
    """The names that a statement writes to: by assignment, into elements, or with `out=`."""
    targets = s.targets if isinstance(s, ast.Assign) else [s.target] if isinstance(s, ast.AugAssign) else []
    value = getattr(s, "value", None)
    if isinstance(value, ast.Call):
        targets = [*targets, *[k.value for k in value.keywords if k.arg == "out"]]
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and not isinstance(t, ast.Call)]
