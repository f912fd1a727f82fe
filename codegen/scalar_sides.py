"""Which side of which condition a value is needed on, for code that computes only the side that is taken.

Each node stands on the innermost side that holds all its uses. A side is one way that a condition may turn out, within
another side or the whole function; on it some conditions are settled, and what they leave out is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from symgraph.core import Constant, Tensor
from symgraph.ops.elementwise import MaskedMultiply, StopGradient, Where

DEPTH = 8
"""Conditions nested deeper than this make no further side."""

CHOICES = Where | MaskedMultiply
"""The ops of which one side may be left out."""


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a condition, within another side or none."""

    outer: Side | None
    condition: Tensor
    holds: bool
    depth: int
    facts: dict[Tensor, bool]
    """What holds here and what does not."""


@dataclass
class Branch:
    """An `if` statement."""

    condition: Tensor
    text: str
    sides: dict[bool, list[Any]] = field(default_factory=lambda: {True: [], False: []})


def condition_of(c: Tensor) -> tuple[Tensor, bool]:
    """The condition without `not`, and the side of it that is meant."""
    holds = True
    while getattr(c.op, "name", "") in ("logical_not", "invert"):
        c, holds = c.inputs[0], not holds
    return without_stops(c), holds


def without_stops(x: Tensor) -> Tensor:
    """The same value without `stop_gradient`."""
    while isinstance(x.op, StopGradient):
        x = x.inputs[0]
    return x


def _facts(condition: Tensor, holds: bool) -> dict[Tensor, bool]:
    """What follows from a condition: both parts of an `and` that holds, neither part of an `or` that does not."""
    found: dict[Tensor, bool] = {}
    pending = [(condition, holds)]
    while pending and len(found) < 2 * DEPTH:
        c, yes = pending.pop()
        found[c] = yes
        if getattr(c.op, "name", "") in (("logical_and", "bitwise_and") if yes else ("logical_or", "bitwise_or")):
            pending += [(part, meant == yes) for part, meant in map(condition_of, c.inputs)]
    return found


class Sides:
    """The innermost side that holds all uses of each node (None is the whole function), and how many uses it has."""

    def __init__(self, order: list[Tensor], results: list[Tensor]) -> None:
        self.made: dict[tuple[Side | None, Tensor, bool], Side] = {}
        self.of: dict[Tensor, Side | None] = dict.fromkeys(results)
        self.uses = Counter(results)
        if not any(isinstance(node.op, CHOICES | StopGradient) for node in order):
            self.of = dict.fromkeys(order)
            self.uses.update([x for node in order for x in node.inputs])
            return
        for node in reversed(order):
            if node in self.uses:  # else it is read past, like the `not` of a condition
                for x, side in self._operands(node):
                    self.of[x] = self.common(self.of[x], side) if x in self.of else side
                    self.uses[x] += 1

    def _operands(self, node: Tensor) -> list[tuple[Tensor, Side | None]]:
        """What a node reads, and on which side."""
        here = self.of[node]
        if not isinstance(node.op, CHOICES):
            return [(without_stops(x), here) for x in node.inputs]
        condition, holds, yes, no = branches(node)
        known = known_on(here, condition)
        if known is not None:
            return [(x, here) for x in (yes if known == holds else no)]
        return [
            (condition, here),
            *[(x, self.within(here, condition, holds)) for x in yes],
            *[(x, self.within(here, condition, not holds)) for x in no],
        ]

    def within(self, outer: Side | None, condition: Tensor, holds: bool) -> Side | None:
        """The side of a condition in another side; that itself if it is deep already."""
        if (outer is not None and outer.depth == DEPTH) or isinstance(condition.op, Constant):
            return outer
        key = outer, condition, holds
        if key not in self.made:
            depth, facts = (0, {}) if outer is None else (outer.depth, outer.facts)
            self.made[key] = Side(outer, condition, holds, depth + 1, {**facts, **_facts(condition, holds)})
        return self.made[key]

    def common(self, a: Side | None, b: Side | None) -> Side | None:
        """The innermost side that holds both."""
        while a is not b:
            if a is None or b is None:
                return None
            a, b = (a.outer, b) if a.depth > b.depth else (a, b.outer) if b.depth > a.depth else (a.outer, b.outer)
        return a


def branches(node: Tensor) -> tuple[Tensor, bool, list[Tensor], list[Tensor]]:
    """Of a `where` or masked product: the condition, the side of it that is meant, and what is read there and elsewhere."""
    condition, holds = condition_of(node.inputs[0])
    xs = [without_stops(x) for x in node.inputs[1:]]
    return (condition, holds, xs, []) if isinstance(node.op, MaskedMultiply) else (condition, holds, xs[:1], xs[1:])


def known_on(side: Side | None, condition: Tensor) -> bool | None:
    """Whether the condition holds on this side, as far as that is settled."""
    return None if side is None else side.facts.get(condition)


# Text ----------------------------------------------------------------------------------------------------------------

Line = tuple[int, str, Tensor | None]
"""Depth of the block, text, and the node that the line computes."""


def lines_of(block: list[Any], depth: int) -> Iterator[Line]:
    """The statements of a block as lines."""
    for item in block:
        if isinstance(item, Branch):
            yield from _branch_lines(item, depth, "if")
        else:
            yield depth, item[0], item[1]


def _branch_lines(branch: Branch, depth: int, word: str) -> Iterator[Line]:
    yes, no = branch.sides[True], branch.sides[False]
    if not yes:
        test = branch.text if branch.text.isidentifier() else f"({branch.text})"
        yield depth, f"{word} not {test}:", None
        yield from lines_of(no, depth + 1)
        return
    yield depth, f"{word} {branch.text}:", None
    yield from lines_of(yes, depth + 1)
    if len(no) == 1 and isinstance(no[0], Branch):
        yield from _branch_lines(no[0], depth, "elif")
    elif no:
        yield depth, "else:", None
        yield from lines_of(no, depth + 1)
