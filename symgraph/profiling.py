"""Where the time of a compiled function goes, by the statements of its generated source.

The source is run with a clock around every statement (`instrument`), on copies of the parameters and of the state of
random draws, which therefore do not change. Operations and bytes are those that the steps of the statement count
(`costs`), at the sizes of the arguments.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from codegen.runtime import load_text

from . import dims
from .core import Tensor, toposort
from .costs import aligned
from .errors import ShapeError
from .instrument import OUTSIDE, Probes, Statement, bound, instrumented, probe_cost
from .interpreter import sizes_of
from .ops.work import bytes_of, flops_of, is_step
from .parameter import parameter
from .provenance import line_of

LONG_ENOUGH = 0.3
"""Seconds of calls that are measured where the number of calls is not given."""

MOST_ROWS = 40
"""Rows that are printed; `rows` has them all."""


@dataclass(frozen=True)
class Row:
    """One statement of the generated source, or what a call does outside all of them."""

    statement: str
    where: str
    """The user's line, `model.py:14`."""
    line: int
    """The line of the generated source."""
    seconds: float
    """Time for each call of the function, without that of the statements of helpers which it calls."""
    share: float
    calls: float
    """How often the statement runs in each call of the function."""
    flops: int
    """Floating-point operations in each call of the function, at these sizes."""
    bytes: int
    """Bytes read and written in each call, as if nothing stayed in cache."""

    @property
    def gflops(self) -> float:
        """10^9 operations a second."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gbytes(self) -> float:
        """10^9 bytes a second."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0


@dataclass(frozen=True, repr=False)
class Profile:
    """The statements of a function by the time they take; prints as a table."""

    name: str
    rows: tuple[Row, ...]
    seconds: float
    """Time of one call: the sum of the rows."""
    repeat: int
    """How many calls were measured."""
    peak: int
    """The most memory that one call holds at a time beyond its arguments and parameters, results included, in bytes."""
    workspace: int | None
    """The part of it that is planned and kept from call to call, where the style plans it."""

    def __str__(self) -> str:
        heading = ("time", "share", "calls", "GFLOP/s", "GB/s", "FLOPs", "bytes", "statement", "line")
        shown = self.rows[:MOST_ROWS]
        cells = [
            (
                _time(r.seconds),
                f"{100 * r.share:.1f}%",
                f"{r.calls:g}",
                f"{r.gflops:.2f}" if r.flops else "",
                f"{r.gbytes:.2f}" if r.bytes else "",
                _short(r.flops) if r.flops else "",
                _short(r.bytes) if r.bytes else "",
                r.statement if len(r.statement) <= 80 else f"{r.statement[:77]}...",
                r.where,
            )
            for r in shown
        ]
        memory = f"at most {_short(self.peak)}B"
        if self.workspace is not None:
            memory += f" of which the workspace is {_short(self.workspace)}B"
        title = f"{self.name}: {_time(self.seconds)} a call ({self.repeat} calls measured), {memory}"
        rest = self.rows[MOST_ROWS:]
        more = [f"and {len(rest)} more, {100 * sum(r.share for r in rest):.1f}% together"] if rest else []
        return "\n".join([title, aligned([heading, *cells], left=(7, 8)), *more])

    __repr__ = __str__


def profile(
    f: Any, args: Sequence[Any] = (), by_name: Mapping[str, Any] | None = None, repeat: int | None = None
) -> Profile:
    """Time, calls, operations and bytes of each statement of the generated source, over `repeat` calls with `args`.

    Half of the calls, the faster ones, are averaged. Parameters keep their values and random states their draws. A
    function that came from a pickle has times but, without its graph, no operations and bytes.

    Raises what calling `f` would raise, and `ValueError` for a `repeat` that is no positive int.

    >>> from symgraph import function, symbol, tanh
    >>> x = symbol("x", ("n",))
    >>> f = function([x], tanh(x).sum())
    >>> found = profile(f, [[1.0, 2.0]], repeat=3)
    >>> sum(row.flops for row in found.rows)
    42
    """
    if repeat is not None and (not isinstance(repeat, int) or isinstance(repeat, bool) or repeat < 1):
        raise ValueError(f"repeat={repeat!r}: the number of calls to measure is an int that is at least 1")
    lines = _function_lines(f)
    text, statements, names = instrumented(f.source, lines)
    probes = Probes(len(statements) + 1)
    by_name = dict(by_name or {})
    twin, reset = _copied(f, text, bound(probes, names))
    run = lambda: twin(*args, **by_name)
    peak = _peak(run)
    runs = _measured(run, reset, probes, repeat)
    seconds, calls = _typical(runs)
    sizes = _sizes(f, args, by_name)
    work = _work(f, statements, lines, seconds, sizes)
    rows = _rows(f, statements, seconds, calls, work)
    return Profile(f.name, tuple(rows), sum(seconds), len(runs), peak, _workspace(twin))


# Running -------------------------------------------------------------------------------------------------------------


def _copied(f: Any, text: str, probes: Mapping[str, Any]) -> tuple[Callable[..., Any], Callable[[], None]]:
    """The instrumented function over copies of the parameters, and what gives those their first values again."""
    copies = {name: parameter(p.value, name) for name, p in f.parameters.items()}
    start = {name: p.value for name, p in copies.items()}
    make, given = f.__reduce__()
    swapped = {id(f.source): text, id(f.constants): {**f.constants, **probes}, id(f.parameters): copies}
    twin = make(*[swapped.get(id(value), value) for value in given])

    def reset() -> None:
        for name, p in copies.items():
            p._array[...] = start[name]

    return twin, reset


def _peak(run: Callable[[], Any]) -> int:
    """The most bytes held at a time by a first call."""
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        run()
        return max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        if not tracing:
            tracemalloc.stop()


def _measured(
    run: Callable[[], Any], reset: Callable[[], None], probes: Probes, repeat: int | None
) -> list[tuple[list[float], list[int]]]:
    """Seconds and calls by statement, for each of `repeat` calls or for as many as take long enough."""
    cost = probe_cost(lambda source, values: load_text(source, "empty", values))
    reset()
    run()
    runs: list[tuple[list[float], list[int]]] = []
    begin = perf_counter()
    while len(runs) < (5 if repeat is None else repeat) or (
        repeat is None and len(runs) < 1000 and perf_counter() - begin < LONG_ENOUGH
    ):
        reset()
        probes.start()
        run()
        counts = probes.stop()
        runs.append((counts.seconds(*cost), counts.calls))
    return runs


def _typical(runs: list[tuple[list[float], list[int]]]) -> tuple[list[float], list[float]]:
    """The mean over the faster half of the runs."""
    chosen = sorted(runs, key=lambda r: sum(r[0]))[: (len(runs) + 1) // 2]
    seconds = np.mean([s for s, _ in chosen], axis=0)
    calls = np.mean([c for _, c in chosen], axis=0)
    return seconds.tolist(), calls.tolist()


# What the statements compute -----------------------------------------------------------------------------------------


def _function_lines(f: Any) -> range | None:
    """The lines of the module that hold the steps, where that is known; what follows is the same in every module."""
    details = getattr(f, "details", None)
    if details is None or details.function not in f.source:
        return None
    at = f.source.index(details.function)
    first = f.source.count("\n", 0, at) + 1
    return range(first, first + max(details.lines, default=details.function.count("\n") + 1))


def _sizes(f: Any, args: Sequence[Any], by_name: Mapping[str, Any]) -> dict[Any, int]:
    """The number that each dimension is in a call with these arguments."""
    if f.program is None:
        return {}
    values = f._bind(tuple(args), dict(by_name))
    return sizes_of({x: np.asarray(v) for x, v in zip(f.program.inputs, values)})


def _work(
    f: Any, statements: Sequence[Statement], lines: range | None, seconds: Sequence[float], sizes: Mapping[Any, int]
) -> dict[int, tuple[int, int, Tensor]]:
    """For a statement, the operations and bytes of the steps in it, and the node it is about."""
    if f.program is None or lines is None:
        return {}
    spread: dict[Tensor, list[int]] = {}
    for k, s in enumerate(statements, 1):
        for line in range(s.first, s.last + 1):
            node = f.details.lines.get(line - lines.start + 1)
            if node is not None:
                spread.setdefault(node, []).append(k)
                break
    found: dict[int, tuple[int, int, Tensor]] = {}
    claimed = set(spread)
    for node, ks in spread.items():
        slowest = max(ks, key=lambda k: seconds[k])  # where several statements compute one step
        for k in ks:
            found[k] = 0, 0, node
        found[slowest] = (*_counted(node, claimed, sizes), node)
    ends = [k for k, s in enumerate(statements, 1) if s.returns and s.function == f.name]
    rest = [y for y in [*f.program.outputs, *[new for _, new in f.program.updates]] if y not in claimed]
    if ends and rest:
        counts = [_counted(y, claimed, sizes) for y in rest]
        found[ends[-1]] = sum(c[0] for c in counts), sum(c[1] for c in counts), rest[0]
    return found


def _counted(root: Tensor, claimed: set[Tensor], sizes: Mapping[Any, int]) -> tuple[int, int]:
    """Operations and bytes of `root` and of what is written inside its statement; those nodes are claimed now."""
    flops = moved = 0
    inside = [*[node for node in toposort(root.inputs, stop=claimed) if node not in claimed], root]
    for node in inside:
        claimed.add(node)
        if is_step(node):
            flops += _number(flops_of(node), sizes)
            moved += _number(bytes_of(node), sizes)
    return flops, moved


def _number(count: Any, sizes: Mapping[Any, int]) -> int:
    try:
        return dims.evaluate(count, sizes)
    except ShapeError:  # a size that no argument tells
        return 0


def _workspace(f: Any) -> int | None:
    """The bytes of the workspace that `f`, called with one choice of sizes, has made, where its source has one."""
    for value in f._function.__globals__.values():
        if type(value).__name__ == "Workspaces":
            return max((w.nbytes for kept in value.free.values() for w in kept), default=0)
    return None


# The table -----------------------------------------------------------------------------------------------------------


def _rows(
    f: Any,
    statements: Sequence[Statement],
    seconds: Sequence[float],
    calls: Sequence[float],
    work: Mapping[int, tuple[int, int, Tensor]],
) -> list[Row]:
    """The statements that ran, the slowest first."""
    text = f.source.splitlines()
    total = sum(seconds) or 1.0
    rows = [Row("(the call itself)", "", 0, seconds[OUTSIDE], seconds[OUTSIDE] / total, 1, 0, 0)]
    for k, s in enumerate(statements, 1):
        if not calls[k]:
            continue
        flops, moved, node = work.get(k, (0, 0, None))
        comment = re.search(r"  # (.+:\d+)$", text[s.last - 1])
        where = line_of(node) if node is not None else ""
        rows.append(
            Row(s.text, where or (comment[1] if comment else ""), s.first, seconds[k], seconds[k] / total, calls[k], flops, moved)
        )  # fmt: skip
    return sorted(rows, key=lambda r: -r.seconds)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _short(number: int) -> str:
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{_digits(number / size)} {unit}"
    return f"{number} "


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


__all__ = ["Profile", "Row", "profile"]
