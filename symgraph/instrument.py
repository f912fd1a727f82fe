"""Generated source with a clock around every statement.

Each statement of each function of a module is entered and left through probes which keep a stack: time belongs to the
innermost statement that is running, so a statement that calls a helper is charged for the call alone, and all times
together are the time of the whole call. A probe reads the clock first and last, so that what it does itself is charged
to nobody; the little that remains is measured on empty statements and taken off.

Where statements run on other threads, the statement of the calling thread that waits for them hands its time over to
them, in proportion to what each took: times remain shares of the time that the caller saw pass.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

OUTSIDE = 0
"""Stands for no statement: the time of a call in which no statement runs, such as the check of its arguments."""


@dataclass(frozen=True)
class Statement:
    """A statement of a module: its text, without comments, and its first and last line (from 1)."""

    text: str
    first: int
    last: int
    function: str
    returns: bool = False


class Probes:
    """The clock of every thread: what the instrumented source calls, and what it has counted."""

    def __init__(self, count: int, clock: Callable[[], float] = perf_counter) -> None:
        self.count = count
        self.clock = clock
        self.states: list[_State] = []
        self.local = threading.local()
        self.caller: _State | None = None

    def state(self) -> _State:
        """The state of this thread."""
        found = getattr(self.local, "state", None)
        if found is None:
            found = self.local.state = _State(self.count, self.clock())
            self.states.append(found)
        return found

    def start(self) -> None:
        """Forget everything; the time of this thread begins to count."""
        for state in self.states:
            state.clear(self.count)
        self.caller = self.state()
        self.caller.last = self.clock()

    def stop(self) -> Counts:
        """The counts since the start."""
        now = self.clock()
        caller = self.caller
        assert caller is not None
        caller.time[caller.stack[-1]] += now - caller.last
        workers: dict[tuple[int, int], list[float]] = {}
        for state in self.states:
            for key, times in state.under.items():
                known = workers.setdefault(key, [0.0] * self.count)
                workers[key] = [a + b for a, b in zip(known, times)]
        calls = [sum(column) for column in zip(*[s.calls for s in self.states])]
        inside = [sum(column) for column in zip(*[s.inside for s in self.states])]
        return Counts(list(caller.time), workers, calls, inside)

    def depth(self) -> int:
        """How many statements are running: where the stack of a function begins."""
        return len(self.state().stack)

    def enter(self, k: int, level: int) -> None:
        """Statement `k` begins, `level` statements being outside it."""
        now = self.clock()
        state = getattr(self.local, "state", None) or self.state()
        stack = state.stack
        state.time[stack[-1]] += now - state.last
        del stack[level:]
        if level == 1 and state is not self.caller:
            self._begin(state)
        state.inside[stack[-1]] += 1
        state.calls[k] += 1
        stack.append(k)
        state.last = self.clock()

    def leave(self, level: int) -> None:
        """The statement that `level` others are outside of has ended."""
        now = self.clock()
        state = self.local.state
        stack = state.stack
        state.time[stack[-1]] += now - state.last
        del stack[level:]
        state.last = self.clock()

    def _begin(self, state: _State) -> None:
        """Another thread begins a piece of work: for which statement of the caller?"""
        caller = self.caller
        waiting = list(caller.stack) if caller is not None else [OUTSIDE]
        key = waiting[min(1, len(waiting) - 1)], waiting[-1]
        state.time = state.under.setdefault(key, [0.0] * self.count)


class _State:
    """What one thread has counted, by statement."""

    def __init__(self, count: int, now: float) -> None:
        self.stack = [OUTSIDE]
        self.last = now
        self.clear(count)

    def clear(self, count: int) -> None:
        self.time = [0.0] * count
        self.calls = [0] * count
        self.inside = [0] * count
        self.under: dict[tuple[int, int], list[float]] = {}
        del self.stack[1:]


@dataclass(frozen=True)
class Counts:
    """One run: seconds by statement on the calling thread and on others, calls, and statements entered from each."""

    time: list[float]
    workers: Mapping[tuple[int, int], list[float]]
    calls: list[int]
    inside: list[int]

    def seconds(self, within: float = 0.0, around: float = 0.0) -> list[float]:
        """Seconds by statement, less what the probes take: `within` a statement, and `around` it from the one outside."""
        less = [within * c + around * i for c, i in zip(self.calls, self.inside)]
        if not self.workers:
            return [max(0.0, t - o) for t, o in zip(self.time, less)]
        busy = [t + sum(w[k] for w in self.workers.values()) for k, t in enumerate(self.time)]
        time = _shared(self.time, self.workers)
        return [t * (1 - min(1.0, o / b)) if b else 0.0 for t, b, o in zip(time, busy, less)]


def _shared(time: list[float], workers: Mapping[tuple[int, int], list[float]]) -> list[float]:
    """The time of the caller, with what it waited handed to the statements that other threads ran meanwhile."""
    found = list(time)
    waited: dict[int, float] = {}
    for (_, u), w in workers.items():
        waited[u] = waited.get(u, 0.0) + sum(w)
    for outer in {m for m, _ in workers}:
        groups = {u: w for (m, u), w in workers.items() if m == outer}
        work = [sum(column) for column in zip(*groups.values())]
        running = {k for k, t in enumerate(work) if t > 0}
        pool = sum(found[k] for k in running)
        for u, w in groups.items():
            if u not in running and waited[u]:
                spent = min(time[u] * sum(w) / waited[u], sum(w))
                found[u] = max(0.0, found[u] - spent)
                pool += spent
        both = {k: time[k] + work[k] for k in running}
        total = sum(both.values())
        for k in running:
            found[k] = pool * both[k] / total if total else 0.0
    return found


# Source --------------------------------------------------------------------------------------------------------------


def instrumented(source: str, lines: range | None = None) -> tuple[str, list[Statement], dict[str, str]]:
    """The module with probes, its statements (numbered from 1), and what each probe is called in it.

    Only functions that begin in `lines` have probes. Comments are lost.
    """
    tree = ast.parse(source)
    names = {probe: _unused(f"_{probe}", source) for probe in ("enter", "leave", "depth", "level", "result")}
    work = _Instrument(source.splitlines(), names)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and (lines is None or node.lineno in lines):
            work.function(node)
    return ast.unparse(ast.fix_missing_locations(tree)), work.statements, names


def _unused(name: str, source: str) -> str:
    while name in source:
        name += "_"
    return name


class _Instrument:
    """Puts probes into functions, and lists the statements they stand around."""

    def __init__(self, lines: list[str], names: Mapping[str, str]) -> None:
        self.lines = lines
        self.names = names
        self.statements: list[Statement] = []
        self.inside = ""

    def function(self, node: ast.FunctionDef) -> None:
        if any(isinstance(n, ast.Yield | ast.YieldFrom | ast.Await) for n in ast.walk(node)):
            return  # what is left and entered again has no place on a stack
        before, self.inside = self.inside, node.name
        start = 1 if ast.get_docstring(node, clean=False) is not None else 0
        begin = self._parsed(f"{self.names['level']} = {self.names['depth']}()")
        node.body = [*node.body[:start], *begin, *self._block(node.body[start:], 0)]
        self.inside = before

    def _block(self, body: list[ast.stmt], nested: int) -> list[ast.stmt]:
        return [new for node in body for new in self._statement(node, nested)]

    def _statement(self, node: ast.stmt, nested: int) -> list[ast.stmt]:
        if isinstance(node, ast.FunctionDef):
            self.function(node)
            return [node]
        if isinstance(node, ast.Global | ast.Nonlocal | ast.Pass | ast.Break | ast.Continue | ast.ClassDef):
            return [node]
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                handler.body = self._block(handler.body, nested)
            for field in ("body", "orelse", "finalbody"):
                setattr(node, field, self._block(getattr(node, field), nested))
            return [node]
        k = self._listed(node)
        level = f"{self.names['level']} + {nested}" if nested else self.names["level"]
        enter = self._parsed(f"{self.names['enter']}({k}, {level})")
        if isinstance(node, ast.Return):
            leave = self._parsed(f"{self.names['leave']}({self.names['level']})")
            if node.value is None:
                return [*enter, *leave, node]
            keep = ast.Assign([ast.Name(self.names["result"], ast.Store())], node.value)
            return [*enter, keep, *leave, ast.Return(ast.Name(self.names["result"], ast.Load()))]
        if isinstance(node, ast.With | ast.For | ast.While | ast.If):
            node.body = self._block(node.body, nested + 1)
            if not isinstance(node, ast.With):
                node.orelse = self._block(node.orelse, nested + 1)
        return [*enter, node, *self._parsed(f"{self.names['leave']}({level})")]

    def _listed(self, node: ast.stmt) -> int:
        body = getattr(node, "body", None)
        last = (body[0].lineno - 1 if body else node.end_lineno) or node.lineno
        last = max(node.lineno, last)
        if body:
            text = " ".join(line.split("  #")[0].strip() for line in self.lines[node.lineno - 1 : last])
        else:
            text = self._text(node)
        self.statements.append(Statement(text, node.lineno, last, self.inside, isinstance(node, ast.Return)))
        return len(self.statements)

    def _text(self, node: ast.stmt) -> str:
        """The statement as it stands in the source, on one line."""
        assert node.end_lineno is not None
        pieces = [line.encode() for line in self.lines[node.lineno - 1 : node.end_lineno]]
        pieces[-1] = pieces[-1][: node.end_col_offset]
        pieces[0] = pieces[0][node.col_offset :]
        return " ".join(piece.decode().strip() for piece in pieces)

    def _parsed(self, text: str) -> list[ast.stmt]:
        return ast.parse(text).body


# What the probes take ------------------------------------------------------------------------------------------------


def probe_cost(load: Callable[[str, Mapping[str, Any]], Callable[[], Any]]) -> tuple[float, float]:
    """Seconds that a pair of probes adds to its own statement, and to the one outside it: the least of several runs."""
    count = 100
    text, statements, names = instrumented("def empty():\n" + "    0\n" * count)
    probes = Probes(len(statements) + 1)
    run = load(text, bound(probes, names))
    within, around = [], []
    for _ in range(20):
        probes.start()
        run()
        counts = probes.stop()
        within.append(sum(counts.time[1:]) / count)
        around.append(counts.time[OUTSIDE] / count)
    return min(within), min(around)


def bound(probes: Probes, names: Mapping[str, str]) -> dict[str, Any]:
    """The probes by the names they have in the source."""
    return {names["enter"]: probes.enter, names["leave"]: probes.leave, names["depth"]: probes.depth}
