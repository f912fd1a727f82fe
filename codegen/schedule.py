"""The order of the steps.

Depth first from the outputs, operands from left to right, computes a value shortly before it is used. The fast style goes
on from there to save memory: the gradient of a weight, for example, is computed as soon as it is the last to read its two
operands, and not when all the cotangents are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from symgraph.core import Constant, Item, Leaf, Tensor
from symgraph.ops.late import F

from .memory import nominal_bytes
from .program import Program


@dataclass(frozen=True)
class Schedule:
    """The steps in order, how often each value is used, and its roots: the values whose memory it may share."""

    steps: tuple[Tensor, ...]
    uses: Mapping[Tensor, int]
    roots: Mapping[Tensor, frozenset[Tensor]]


def schedule(program: Program) -> Schedule:
    """The schedule of a program."""
    order = program.order
    uses: dict[Tensor, int] = dict.fromkeys(order, 0)
    for node in order:
        for x in node.inputs:
            uses[x] += 1
    for output in [*program.outputs, *[new for _, new in program.updates]]:
        uses[output] += 1
    return Schedule(tuple(order), uses, memory_roots(order))


NOTHING: frozenset[Tensor] = frozenset()


def memory_roots(order: list[Tensor]) -> dict[Tensor, frozenset[Tensor]]:
    """For each node, the nodes in whose memory its value may lie: itself, unless it is made by views alone."""
    roots: dict[Tensor, frozenset[Tensor]] = {}
    for node in order:
        if isinstance(node.op, Item) and not getattr(node.inputs[0].op, "is_view", False):
            roots[node] = frozenset([node])
        elif isinstance(node.op, Item) or getattr(node.op, "is_view", False):
            among = getattr(node.op, "aliases", range(len(node.inputs)))
            found = NOTHING.union(*[roots[node.inputs[i]] for i in among])
            roots[node] = found if len(among) == 1 else found | {node}
        else:
            roots[node] = frozenset([node])
    return roots


def order_in_memory(outputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """The order in which a function runs the steps of `outputs`."""
    program = Program("f", (), tuple(outputs), None)
    return low_memory(schedule(program), outputs).steps


def low_memory(plan: Schedule, results: Sequence[Tensor]) -> Schedule:
    """The same steps in an order that keeps little memory in use; `results` are kept to the end.

    Of the operands of a step the one with the longest history comes first, as its own operands need more room (Sethi and
    Ullman, 1970). Then, as soon as the steps that are still to read a value can all run, they come at once if that frees
    at least as much memory as their results take.
    """
    given = [x for x in plan.steps if _is_given(x)]
    steps = [x for x in plan.steps if not _is_given(x)]
    longest = [x for x in _longest_first(plan.steps, results) if not _is_given(x)]
    facts = _Facts(plan, results, steps)
    orders = [_Eager(facts, longest).order()]
    if len(steps) > TRIED:
        return replace(plan, steps=(*given, *orders[0]))
    if len(steps) <= GREEDY:
        orders.append(_greedy(facts, steps))
    orders += [_Eager(facts, steps).order(), longest, steps]
    best = min(orders, key=lambda order: _peak(facts, order))  # of equals the first
    return replace(plan, steps=(*given, *best))


GREEDY = 200
"""Of programs up to this length the step that leaves the least memory in use is tried first, again and again."""

TRIED = 2000
"""Of the orders of longer programs only the first is tried."""

FEW = 6
"""Values with more readers than this are not looked at: the work stays linear."""


class _Facts:
    """What is the same in all orders of the steps."""

    def __init__(self, plan: Schedule, results: Sequence[Tensor], steps: Sequence[Tensor]) -> None:
        self.bytes = {x: _bytes(x) for x in steps}
        self.views = {x for x in steps if _is_view(x)}
        self.takes = {x: 0 if x in self.views else n for x, n in self.bytes.items()}
        """The bytes of memory that a step needs for its result."""
        self.roots = plan.roots
        self.reads = {x: NOTHING.union(*[plan.roots[i] for i in x.inputs]) for x in steps}
        """The values, views aside, that a step reads."""
        self.made = {x: [r for r in roots if r in self.bytes] for x, roots in self.reads.items()}
        """Those of them that a step computes."""
        self.kept = NOTHING.union(*[plan.roots[y] for y in results])


class _Eager:
    """The order while it is made."""

    def __init__(self, facts: _Facts, steps: Sequence[Tensor]) -> None:
        self.steps = steps
        self.views, self.kept, self.bytes = facts.views, facts.kept, facts.bytes
        at = {x: n for n, x in enumerate(steps)}
        self.reads = {x: sorted(facts.made[x], key=at.__getitem__) for x in steps}
        """The values, views aside, that a step reads, in the order of the steps."""
        self.readers: dict[Tensor, dict[Tensor, None]] = {x: {} for x in steps}
        """The steps, views aside, that are still to read a value."""
        for x in steps:
            if x not in self.views:
                for root in self.reads[x]:
                    self.readers[root][x] = None
        self.cost = {x: self._cost(x) for x in steps}
        self.placed: dict[Tensor, None] = {}

    def _cost(self, x: Tensor) -> int:
        """The memory that a result takes: none if it goes into a sum, which grows as its terms come."""
        users = self.readers[x]
        if len(users) == 1:
            (user,) = users
            if user.op is F.add and self.bytes[user] == self.bytes[x]:
                return 0
        return self.bytes[x]

    def order(self) -> list[Tensor]:
        for step in self.steps:
            if step in self.views:
                continue
            pending = [step]
            while pending:
                x = pending.pop(0)
                if x not in self.placed:
                    self.place(x)
                    pending += self.due(x)
        for step in self.steps:
            self.place(step)
        return list(self.placed)

    def place(self, x: Tensor) -> None:
        """Put a step at the end of the order, after the views that it needs and nobody has needed yet."""
        stack = [x]
        while stack:
            node = stack[-1]
            pending = [i for i in node.inputs if i in self.reads and i not in self.placed]
            if pending:
                stack += pending
                continue
            stack.pop()
            self.placed[node] = None
        for root in self.reads[x]:
            self.readers[root].pop(x, None)

    def due(self, x: Tensor) -> list[Tensor]:
        """The readers of `x` and of its operands that should follow at once."""
        found: list[Tensor] = []
        for root in [*self.reads[x], x]:
            left = self.readers[root]
            if root in self.kept or not 0 < len(left) <= FEW:
                continue
            if all(self._is_ready(r) for r in left) and sum([self.cost[r] for r in left]) <= self.bytes[root]:
                found += left
        return found

    def _is_ready(self, x: Tensor) -> bool:
        """Whether everything that the step reads is there, or can be at once; numbers stay where they are."""
        if not self.bytes[x]:
            return False
        return all(r in self.placed or all(isinstance(i.op, Constant) for i in r.inputs) for r in self.reads[x])


def _greedy(facts: _Facts, steps: Sequence[Tensor]) -> list[Tensor]:
    """At every turn the step, of those that can run, after which the least memory is in use."""
    takes = facts.takes
    left: dict[Tensor, int] = {}
    for x in steps:
        for root in facts.made[x]:
            left[root] = left.get(root, 0) + 1
    frees = {x: [(r, facts.bytes[r]) for r in facts.made[x] if r not in facts.kept] for x in steps}
    at = {x: n for n, x in enumerate(steps)}
    users: dict[Tensor, list[Tensor]] = {x: [] for x in steps}
    missing = {x: 0 for x in steps}
    for x in steps:
        for i in dict.fromkeys(x.inputs):
            if not _is_given(i):
                users[i].append(x)
                missing[x] += 1

    def growth(x: Tensor) -> tuple[int, int]:
        return takes[x] - sum(size for r, size in frees[x] if left[r] == 1), at[x]

    order: list[Tensor] = []
    ready = {x: None for x in steps if not missing[x]}
    while ready:
        chosen = min(ready, key=growth)
        order.append(chosen)
        del ready[chosen]
        for root in facts.made[chosen]:
            left[root] -= 1
        for x in users[chosen]:
            missing[x] -= 1
            if not missing[x]:
                ready[x] = None
    return order


def _peak(facts: _Facts, order: Sequence[Tensor]) -> int:
    """The most bytes in use at one step, results kept to the end."""
    last: dict[Tensor, int] = {}
    for i, x in enumerate(order):
        for root in facts.roots[x]:
            last[root] = i
        for root in facts.made[x]:
            last[root] = i
    last.update(dict.fromkeys(facts.kept, len(order)))
    ends: dict[int, int] = {}
    most = now = 0
    for i, x in enumerate(order):
        size = facts.takes[x]
        if size:
            now += size
            ends[last[x]] = ends.get(last[x], 0) + size
        most = max(most, now)
        now -= ends.get(i, 0)
    return most


def _longest_first(steps: Sequence[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
    """Depth first, operands that hang on the longest chains of steps before others."""
    depth: dict[Tensor, int] = {}
    for x in steps:
        depth[x] = max([depth[i] for i in x.inputs], default=0) + 1
    order: dict[Tensor, None] = {}
    stack = list(results)[::-1]
    while stack:
        node = stack[-1]
        pending = [x for x in node.inputs if x not in order] if node not in order else []
        if pending:
            stack += sorted(pending[::-1], key=depth.__getitem__)
            continue
        stack.pop()
        order[node] = None
    return list(order)


def _is_given(x: Tensor) -> bool:
    return isinstance(x.op, Leaf | Constant)


def _is_view(x: Tensor) -> bool:
    return isinstance(x.op, Item) or bool(getattr(x.op, "is_view", False))


def _bytes(x: Tensor) -> int:
    return nominal_bytes(x) if isinstance(x.aval, tuple) or x.ndim else 0
