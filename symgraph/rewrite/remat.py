"""How much memory a graph needs, and a smaller need bought with recomputation.

A value is in memory from the step that computes it to the last step that reads it, or a view of it. The *peak* is the most
that is in memory at one step. To lower it, a value that is waiting at the peak, computed before and read after, is
dropped and computed again for its later readers: its twin hangs on a barrier which waits for a step that runs shortly
before them. Values are chosen greedily, those first that free the most bytes for the least work.

Source: Jain et al., Checkmate: Breaking the Memory Wall with Optimal Tensor Rematerialization (2020), for the problem;
Kumar et al., Efficient Rematerialization for Deep Networks (2019), for greedy choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dims
from ..core import Item, Tensor, rebuild, toposort
from ..errors import CompileError, ShapeError
from ..ops.base import Primitive
from ..ops.checkpoint import waiting
from ..ops.work import bytes_of, flops_of, is_step, nbytes

Order = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""The order in which the steps of some outputs run."""

MOST_ROUNDS = 1000
"""So often at most the peak is lowered."""

LONGEST = 64
"""A value whose twin would need more steps than this is kept."""

AT_ONCE = 32
"""So many steps that need too much memory are looked at before the graph is built anew."""


def peak(outputs: Iterable[Tensor], sizes: Mapping[Any, int] | None = None, order: Order = toposort) -> int:
    """The most bytes in use at one step, inputs and parameters aside, when steps run in `order` one by one.

    A step may write over an operand that nobody reads any more, where its op works in place.

    >>> from symgraph import exp, symbol
    >>> x = symbol("x", ("n",))
    >>> peak([exp(exp(exp(x)))], {"n": 10})
    80
    """
    return _Timeline(list(outputs), _Measure(sizes or {}), order).peak


class _Measure:
    """Bytes and work in numbers, at given sizes; asked for the same types and steps again and again."""

    def __init__(self, sizes: Mapping[Any, int]) -> None:
        self.sizes = sizes
        self._bytes: dict[Any, int] = {}
        self._work: dict[Any, int] = {}

    def bytes(self, node: Tensor) -> int:
        """The bytes of a value."""
        if node.aval not in self._bytes:
            self._bytes[node.aval] = self._number(nbytes(node.aval))
        return self._bytes[node.aval]

    def work(self, node: Tensor) -> int:
        """Operations and bytes moved to compute a value, taken to last equally long."""
        key = node.op, *[x.aval for x in node.inputs]
        if key not in self._work:
            self._work[key] = self._number(flops_of(node)) + self._number(bytes_of(node))
        return self._work[key]

    def _number(self, count: Any) -> int:
        try:
            return dims.evaluate(count, self.sizes)
        except ShapeError:
            missing = ", ".join(v.name for v in dims.variables(dims.substitute(count, self.sizes)))
            raise CompileError(
                f"how much memory is needed depends on {missing}; give the sizes to plan for, "
                f"as in sizes={{{missing!r}: 64}}"
            ) from None


# Time ----------------------------------------------------------------------------------------------------------------


class _Timeline:
    """Which values are in memory at which step."""

    def __init__(self, outputs: Sequence[Tensor], measure: _Measure, order: Order) -> None:
        self.outputs = list(outputs)
        self.order = list(order(outputs))
        self.measure = measure
        self.at = {node: i for i, node in enumerate(self.order)}
        self.owners = _owners(self.order)
        self.reads: dict[Tensor, list[int]] = {node: [] for node in self.order if is_step(node)}
        """For each value in memory, the steps that read it."""
        for i, node in enumerate(self.order):
            if is_step(node):
                for owner in dict.fromkeys(o for x in node.inputs for o in self.owners[x]):
                    self.reads[owner].append(i)
        for y in outputs:
            for owner in self.owners[y]:
                self.reads[owner].append(len(self.order))
        self.bytes = {node: measure.bytes(node) for node in self.reads}
        self.in_use = self._usage()
        self.peak = max(self.in_use, default=0)

    def last(self, node: Tensor) -> int:
        """The last step that reads a value."""
        reads = self.reads[node]
        return reads[-1] if reads else self.at[node]

    def _usage(self) -> list[int]:
        change = [0] * (len(self.order) + 2)
        for node, size in self.bytes.items():
            begin = self.at[node]
            change[begin + self._written_over(node)] += size
            change[self.last(node) + 1] -= size
        total, usage = 0, []
        for step in change[: len(self.order)]:
            total += step
            usage.append(total)
        return usage

    def _written_over(self, node: Tensor) -> bool:
        """Whether a result may lie where an operand was that is read here for the last time."""
        if not isinstance(node.op, Primitive) or not node.op.inplace or isinstance(node.aval, tuple):
            return False
        begin = self.at[node]
        if self.last(node) == begin:
            return False
        for x in node.inputs:
            own = is_step(x) and self.last(x) == begin
            if own and x.dtype == node.dtype and dims.same_shape(x.shape, node.shape):
                return True
        return False


def _owners(order: Sequence[Tensor]) -> dict[Tensor, tuple[Tensor, ...]]:
    """For each node, the steps in whose memory its value lies: itself, what it is a view of, or nothing for leaves."""
    owners: dict[Tensor, tuple[Tensor, ...]] = {}
    for node in order:
        if is_step(node):
            owners[node] = (node,)
        elif isinstance(node.op, Item):
            owners[node] = owners[node.inputs[0]]
        elif node.inputs:
            among = getattr(node.op, "aliases", None)
            xs = node.inputs if among is None else [node.inputs[i] for i in among]
            owners[node] = tuple(dict.fromkeys(o for x in xs for o in owners[x]))
        else:
            owners[node] = ()
    return owners


# Recomputing ---------------------------------------------------------------------------------------------------------


def within(
    outputs: Sequence[Tensor], memory: int, sizes: Mapping[Any, int] | None = None, order: Order = toposort
) -> tuple[list[Tensor], dict[Tensor, Tensor]]:
    """`outputs` with steps repeated until the peak is at most `memory` bytes, and the successor of every node.

    Symbolic dimensions are taken to be as in `sizes`. Raises `CompileError` where the peak cannot be lowered so far.
    """
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 0:
        raise CompileError(f"memory={memory!r}: a budget is a number of bytes")
    line = _Timeline(outputs, _Measure(sizes or {}), order)
    mapping = {node: node for node in line.order}
    for _ in range(MOST_ROUNDS):
        if line.peak <= memory:
            return line.outputs, mapping
        found = _lowered(line, memory, order)
        if found is None:
            break
        line, step = found
        mapping = {old: step.get(new, new) for old, new in mapping.items()}
    raise CompileError(
        f"memory={memory}: recomputing values lowers the peak to {line.peak} bytes and no further; "
        f"give at least that much, or smaller sizes"
    )


def _lowered(line: _Timeline, memory: int, order: Order) -> tuple[_Timeline, dict[Tensor, Tensor]] | None:
    """A timeline with a lower peak: by dropping as many values as the budget asks for, or fewer where that does not help."""
    drops, first = _drops(line, memory)
    tries = [drops[: len(drops) >> k] for k in range(len(drops).bit_length())]
    tries += [[drop] for drop in first[:16]]
    for chosen in tries:
        outputs, mapping = _repeated(line, chosen)
        new = _Timeline(outputs, line.measure, order)
        if new.peak < line.peak:
            return new, mapping
    return None


@dataclass(frozen=True)
class _Drop:
    """A value to drop, the steps that compute it again for its readers from `until` on, and the price of a byte."""

    value: Tensor
    steps: tuple[Tensor, ...]
    reads: frozenset[Tensor]
    """The values in memory that the steps read."""
    since: int
    until: int
    price: float


def _drops(line: _Timeline, memory: int) -> tuple[list[_Drop], list[_Drop]]:
    """Values to drop, no one of them needed to compute another again; and all that could be dropped at the peak."""
    usage = np.array(line.in_use)
    chosen: dict[Tensor, _Drop] = {}
    needed: set[Tensor] = set()
    first: list[_Drop] | None = None
    for _ in range(AT_ONCE):
        at = int(usage.argmax())
        excess = usage[at] - memory
        found = _candidates(line, at)
        first = found if first is None else first
        before = len(chosen)
        for drop in found:
            if excess <= 0:
                break
            if drop.value in chosen or drop.value in needed or not drop.reads.isdisjoint(chosen):
                continue
            chosen[drop.value] = drop
            needed |= drop.reads
            begin = max([i for i in line.reads[drop.value] if i < at], default=line.at[drop.value])
            usage[begin + 1 : drop.until] -= line.bytes[drop.value]
            excess -= line.bytes[drop.value]
        if len(chosen) == before:
            break
    return list(chosen.values()), first or []


def _candidates(line: _Timeline, at: int) -> list[_Drop]:
    """The values that wait at step `at`, the best to drop first."""
    found = []
    returned = {o for y in line.outputs for o in line.owners[y]}
    for node, reads in line.reads.items():
        if line.at[node] >= at or line.last(node) <= at or not line.bytes[node] or node in returned or at in reads:
            continue
        if node.op.name == "draw" or isinstance(node.aval, tuple) or not node.leafy:
            continue
        steps = _steps(line, node, at)
        if steps is None:
            continue
        inside = set(steps)
        read = frozenset(o for n in steps for x in n.inputs if x not in inside for o in line.owners[x])
        gain = line.bytes[node] - sum(line.bytes[o] for o in read if line.last(o) == at)
        if gain > 0:
            until = next(i for i in reads if i > at)
            price = sum(line.measure.work(n) for n in steps) / gain
            found.append(_Drop(node, steps, read, at, until, price))
    return sorted(found, key=lambda d: d.price)


def _steps(line: _Timeline, value: Tensor, at: int) -> tuple[Tensor, ...] | None:
    """What has to be computed for `value` again from what is in memory at step `at`; None where that is too much."""
    order: list[Tensor] = []
    done: set[Tensor] = set()
    stack = [value]
    while stack:
        node = stack[-1]
        if node not in done:
            if node is not value and _there(line, node, at):
                done.add(node)
            elif node.op.name == "draw" or len(done) > LONGEST:
                return None
            elif pending := [x for x in node.inputs if x not in done]:
                stack += pending[::-1]
                continue
            else:
                done.add(node)
                order.append(node)
        stack.pop()
    return tuple(order)


def _there(line: _Timeline, node: Tensor, at: int) -> bool:
    """Whether the value is in memory at step `at` in any case: a leaf, a constant, or read later."""
    return not node.inputs or not node.leafy or all(line.at[o] <= at <= line.last(o) for o in line.owners[node])


def _repeated(line: _Timeline, drops: Sequence[_Drop]) -> tuple[list[Tensor], dict[Tensor, Tensor]]:
    """The outputs where the late readers of the dropped values read twins."""
    dropped = {d.value: d for d in drops}
    new: dict[Tensor, Tensor] = {}
    twins: dict[Tensor, dict[Tensor, Tensor]] = {}

    def read(x: Tensor, i: int) -> Tensor:
        """What step `i` reads in the place of `x`: a twin of a dropped value, or of a view of one."""
        for owner in line.owners[x]:
            drop = dropped.get(owner)
            if drop is not None and i >= drop.until:
                made = twins.get(owner)
                if made is None:
                    made = twins[owner] = _twins(line, drop, new)
                return _viewed(x, made, new)
        return new[x]

    for i, node in enumerate(line.order):
        if is_step(node):
            new[node] = rebuild(node, [read(x, i) for x in node.inputs])
        else:
            new[node] = rebuild(node, [new[x] for x in node.inputs])
    end = len(line.order)
    return [read(y, end) for y in line.outputs], new


def _viewed(x: Tensor, made: dict[Tensor, Tensor], new: Mapping[Tensor, Tensor]) -> Tensor:
    """`x`, a repeated step or a view of one, on the twins."""
    views = []
    node = x
    while node not in made:
        views.append(node)
        node = node.inputs[0]
    for view in reversed(views):
        made[view] = rebuild(view, [made.get(a, new.get(a, a)) for a in view.inputs])
    return made[x]


def _twins(line: _Timeline, drop: _Drop, new: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
    """The repeated steps, held back until the step before their first reader."""
    after = new[_anchor(line, drop)]
    made: dict[Tensor, Tensor] = {}
    for node in drop.steps:
        inputs = [made.get(x, new[x]) for x in node.inputs]
        if is_step(node) and not any(x in made for x in node.inputs):
            inputs = waiting(inputs, after)
        made[node] = rebuild(node, inputs)
    return made


def _anchor(line: _Timeline, drop: _Drop) -> Tensor:
    """A step that runs shortly before the first late reader: what else that reads, if it is new, or what runs before it."""
    reader = line.order[drop.until]
    others = [o for x in reader.inputs for o in line.owners[x] if drop.since <= line.at[o] and _is_anchor(o)]
    if others:
        return max(others, key=line.at.__getitem__)
    return next((n for n in reversed(line.order[drop.since : drop.until]) if _is_anchor(n)), line.order[drop.since])


def _is_anchor(node: Tensor) -> bool:
    return is_step(node) and node.leafy and not isinstance(node.aval, tuple)
