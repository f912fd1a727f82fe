"""The generated source, read statement by statement: which nodes of the rewritten graph each line is about.

A statement computes a node of the rewritten graph, and whatever is written inside its expression. A line that computes
nothing (a heading, a buffer, `return`) is about the nodes whose names it mentions, and says why it is there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..core import Constant, Item, Leaf, Tensor, toposort
from ..function import Function


@dataclass(frozen=True)
class Statement:
    """A statement of the module: its lines (from 1), the function it stands in, what it computes, or what it is for."""

    first: int
    last: int
    function: str
    computes: tuple[Tensor, ...]
    """The nodes of the rewritten graph that it computes, the one it is named for first."""
    reason: str
    """Of a statement that computes nothing: what it is for."""


@dataclass
class _Scope:
    """A function of the module: the nodes that are written into each of its names, and those whose statements say it."""

    first: int
    last: int
    header: range
    names: dict[str, dict[Tensor, None]] = field(default_factory=dict)
    said: dict[str, dict[Tensor, None]] = field(default_factory=dict)
    all: dict[Tensor, None] = field(default_factory=dict)


class Reading:
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
        self.computed: dict[int, list[Tensor]] = {}
        """By the first line of a statement that computes."""
        self.dims = set(f.details.dims.values())
        self._words: dict[ast.stmt, list[str]] = {}
        module = ast.parse(f.source).body
        last = max([*self.known, *[s.lineno for s in module if isinstance(s, ast.FunctionDef) and s.name == f.name]])
        own = [s for s in module if self._is_own(s, f, last)]
        self.end = max((s.end_lineno or 0 for s in own), default=0)
        self._read(f, own)
        self.statements = tuple(sorted(self._told(f.name, own), key=lambda s: s.first))
        """What the module says of this function, in the order of the text."""

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

    def _is_own(self, s: ast.stmt, f: Function, last: int) -> bool:
        if isinstance(s, ast.Import | ast.ImportFrom):
            return False
        named = isinstance(s, ast.FunctionDef) and s.name == f"{f.name}_buffers"
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
        for name in self._names(s):
            scope.said.setdefault(name, {})[node] = None
            self.said.setdefault(name, {})[node] = None
        for name in _targets(s):
            scope.names.setdefault(name, {})[node] = None

    def _inside(self, node: Tensor) -> list[Tensor]:
        """A node and what is written inside its expression, the node first."""
        below = reversed(toposort(node.inputs, stop=self.claimed))
        return [node, *[n for n in below if not (n in self.claimed or isinstance(n.op, Leaf | Constant))]]

    def _names(self, s: ast.stmt) -> list[str]:
        if s not in self._words:
            self._words[s] = _names(s)
        return self._words[s]

    def _make(self, nodes: Sequence[Tensor], s: ast.stmt) -> None:
        """The statement computes these nodes."""
        self.computed[s.lineno] = list(dict.fromkeys([*self.computed.get(s.lineno, ()), *nodes]))
        for line in _span(s):
            self.nodes[line] = list(dict.fromkeys([*self.nodes.get(line, ()), *nodes]))
            for node in nodes:
                self.made.setdefault(node, []).append(line)

    def _returning(self, s: ast.stmt, results: Iterable[Tensor]) -> None:
        """The statement at the end: results that have no statement of their own are computed in it."""
        rest = [y for y in results if y not in self.claimed and not isinstance(y.op, Leaf | Item)]
        if isinstance(s, ast.Return) and rest:
            self._make([node for y in rest for node in self._inside(y)], s)
            for name in self._names(s):
                self.said.setdefault(name, {}).update(dict.fromkeys(rest))

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
        for name in self._names(s):
            found.update(self._named(name, scope))
        for line in _span(s):
            if found:
                self.nodes[line] = list(found)

    def _calling(self, s: ast.stmt, scope: _Scope, scopes: Mapping[str, _Scope]) -> None:
        """A statement that runs a loop over blocks computes all that the function of the loop does."""
        for name in self._names(s):
            other = scopes.get(name)
            if other is not None and other is not scope and s.lineno in self.known:
                self.computed[s.lineno] = list(dict.fromkeys([*self.computed[s.lineno], *other.all]))
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

    # What each statement is for

    def _told(self, name: str, own: Sequence[ast.stmt]) -> Iterator[Statement]:
        """Every statement, with what it computes or what it is for."""
        for s in own:
            if not isinstance(s, ast.FunctionDef):
                yield Statement(s.lineno, s.end_lineno or s.lineno, "", (), "constant")
                continue
            scope, inner = self._scope(s)
            body: list[Any] = list(inner)
            is_table = s.name == f"{name}_buffers"
            yield Statement(
                scope.header.start, scope.header.stop - 1, s.name, (), "buffers" if is_table else "signature"
            )
            is_part = s.name.startswith(f"{name}_block") or s.name in (name, f"{name}_numpy")
            for x in [*body, *[h for t in body if isinstance(t, ast.Try) for h in t.handlers]]:
                span = _span(x)
                computes = [n for n in self.computed.get(x.lineno, ()) if not isinstance(n.op, Constant)]
                reason = "" if computes else "buffers" if is_table else self._reason(x, s.name == name)
                if not reason or (reason == "results" and not is_part):  # the body of a loop or branch: what calls it
                    reason, computes = "", computes or self.nodes.get(x.lineno, [])
                yield Statement(span.start, span.stop - 1, s.name, tuple(computes), reason)

    def _reason(self, s: ast.stmt | ast.ExceptHandler, main: bool) -> str:
        """What a statement is for that computes nothing; empty where it is about the nodes that it mentions."""
        if isinstance(s, ast.Return):
            falls_back = isinstance(s.value, ast.Call) and getattr(s.value.func, "id", "").endswith("_numpy")
            return "where math raises" if falls_back and main else "results"
        if isinstance(s, ast.Try | ast.ExceptHandler):
            return "where math raises"
        if isinstance(s, ast.With):
            called = {n.id for item in s.items for n in ast.walk(item.context_expr) if isinstance(n, ast.Name)}
            return "workspace" if "workspace" in called else "warnings that are harmless"
        if isinstance(s, ast.Global):
            return "parameters"
        targets = _targets(s)
        if targets and self.dims.issuperset(targets):
            return "sizes"
        value = getattr(s, "value", None)
        made = isinstance(value, ast.Call) and ast.unparse(value.func) == "np.empty"
        return "array for a result" if made else ""


def _span(s: ast.stmt) -> range:
    """The lines of a statement; of one that holds others, its heading."""
    body: Any = getattr(s, "body", None)
    last = (body[0].lineno - 1 if body else s.end_lineno) or s.lineno
    return range(s.lineno, max(s.lineno, last) + 1)


def _names(s: ast.stmt) -> list[str]:
    """The names in a statement itself, not in those inside it."""
    if isinstance(s, ast.Global):
        return s.names
    stack: list[ast.AST] = [s]
    found: dict[str, None] = {}
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name):
            found[node.id] = None
            continue
        for name in node._fields:
            value = getattr(node, name, None)
            for c in value if isinstance(value, list) else (value,):
                if isinstance(c, ast.AST) and not isinstance(c, ast.stmt | ast.ExceptHandler):
                    stack.append(c)
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
