"""What rewriting did: every rule that fired, how often and where; and for one node, the rules that made it what is computed.

A rule is named with its tag: *exact* keeps every bit, *rounding* is equal in real arithmetic, *finite-real* wherever both
sides are finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..core import Tensor, rebuild, toposort
from ..pipeline import Trail, rewritten
from ..provenance import line_of
from .text import WIDTH, change, counted, indented, title

MOST_PLACES = 12
"""Of a rule that fired more often than this, the first places are listed."""

MOST_RULES = 6
"""A node is followed through at most so many firings in one pass."""


class Step(NamedTuple):
    """A rule with its tag, or a pass, and what it made of what."""

    rule: str
    before: str
    after: str


@dataclass(frozen=True)
class Rewriting:
    """The passes that ran over a graph, and what they left."""

    roots: tuple[Tensor, ...]
    nodes: tuple[Tensor, ...]
    trail: Trail

    @classmethod
    def of(cls, roots: Sequence[Tensor], **passes: Any) -> Rewriting:
        """Run the passes of `function` again, and note what each does."""
        trail: Trail = []
        nodes, *_ = rewritten(list(roots), trail=trail, **passes)
        return cls(tuple(roots), tuple(nodes), trail)

    def report(self, places: bool = True) -> list[str]:
        """The count of rewrites and nodes; then for each rule its places, each with the expression before and after."""
        found: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for what, fired, step in self.trail:
            for rule, old, new in fired:
                found.setdefault(f"{title(rule)} ({rule.tag})", []).append((old, new))
            for old, new in step.items() if not fired else ():
                if new is not old and new.op != old.op:
                    found.setdefault(f"{what} (rounding)", []).append((old, new))
        count = sum(map(len, found.values()))
        before, after = len(toposort(self.roots)), len(toposort(self.nodes))
        lines = [f"{counted(count, 'rewrite')} by {counted(len(found), 'rule')}, {before:,} nodes -> {after:,}"]
        if not places or not found:
            return lines
        lines.append("")
        for name, pairs in sorted(found.items(), key=lambda entry: -len(entry[1])):
            lines += indented([f"{name}, {counted(len(pairs), 'time')}"], 0)
            lines += indented([line for old, new in pairs[:MOST_PLACES] for line in _place(old, new)])
            if len(pairs) > MOST_PLACES:
                lines += indented([f"and {len(pairs) - MOST_PLACES:,} more"])
        return lines


def _place(old: Tensor, new: Tensor) -> list[str]:
    """`model.py:14  x * x / x -> x`, on two lines where it is long."""
    where = line_of(old)
    return arrow(*change(old, new), f"{where}  " if where else "")


def arrow(before: str, after: str, start: str = "") -> list[str]:
    """`before -> after` on one line, or on two; what reads the same is told once."""
    if before == after:
        return [f"{start}{before}  (reads the same)"]
    whole = f"{start}{before} -> {after}"
    if len(whole) <= WIDTH - 8:
        return [whole]
    return [f"{start}{before}", f"{' ' * len(start)}-> {after}"]


# One node ------------------------------------------------------------------------------------------------------------


def history(trail: Trail, nodes: Iterable[Tensor]) -> dict[Tensor, list[Step]]:
    """For each of these nodes as written that did not stay what it was: the rules that made it what is computed."""
    found: dict[Tensor, list[Step]] = {}
    passes = [
        (what, {old: (f"{title(rule)} ({rule.tag})", new) for rule, old, new in fired}, step)
        for what, fired, step in trail
    ]
    for node in nodes:
        told: list[Step] = []
        now = node
        for what, fired, step in passes:
            at = now
            for _ in range(MOST_RULES):
                at = _on_rewritten(at, step)
                if at not in fired:
                    break
                rule, new = fired[at]
                told.append(Step(rule, *change(at, new)))
                at = new
            after = step.get(now, now)
            if not fired and after is not now and after.op != now.op:
                told.append(Step(what, *change(now, after)))
            now = after
        if told:
            found[node] = told
    return found


def _on_rewritten(node: Tensor, step: Mapping[Tensor, Tensor]) -> Tensor:
    """The node as a pass met it: on inputs that were rewritten before."""
    inputs = [step.get(x, x) for x in node.inputs]
    return node if all(a is b for a, b in zip(inputs, node.inputs, strict=True)) else rebuild(node, inputs)
