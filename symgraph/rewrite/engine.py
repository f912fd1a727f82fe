"""The rewriting engine: one bottom-up walk that applies rules until none fires, in time linear in the nodes.

A node is rebuilt on its rewritten inputs and offered to the rules filed under its op; what a rule returns is rewritten in
turn. Nothing is changed in place: the result is new outputs and a map from every old node to its successor, by which
names and other relations follow. A pass that changes nothing returns the same objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from ..core import Tensor, rebuild, toposort, with_bodies
from ..dims import same_shape
from ..errors import SymgraphError
from ..ops.base import Elementwise
from ..provenance import current
from .facts import Facts, facts
from .multiples import multiples_taken
from .pattern import TWIN, NodeRule, Rule, RuleSet

Mapping = dict[Tensor, Tensor]
Fired = list[tuple[Rule | NodeRule, Tensor, Tensor]]

MOST_ROUNDS = 4
"""Walks of one rewriting: taking operations apart leaves values with fewer users, which lets other rules fire."""

MOST_FIRINGS = 1000
"""Rules that fire at one place more often than this do not terminate."""


def rewrite(
    outputs: Iterable[Tensor], rules: RuleSet, frozen: Collection[Tensor] = (), fired: Fired | None = None
) -> tuple[list[Tensor], Mapping]:
    """`outputs` under `rules`, and the successor of every node. Frozen nodes are leaves: kept, and never matched through."""
    outputs = list(outputs)
    with np.errstate(all="ignore"):  # constants are folded, and what they are is no concern of the caller's settings
        found, mapping = _walked(outputs, rules, frozen, fired)
        for _ in range(MOST_ROUNDS - 1):
            if not facts.again:
                break
            found, step = _walked(found, rules, frozen, fired)
            mapping = compose(mapping, step)
    return found, mapping


def _walked(
    outputs: list[Tensor], rules: RuleSet, frozen: Collection[Tensor], fired: Fired | None
) -> tuple[list[Tensor], Mapping]:
    """One walk. It leaves `facts.again` true where a rule fired that changed which values are shared."""
    walk = _Walk(rules, frozenset(frozen), fired)
    order = toposort(outputs, stop=walk.held)
    if not any(rules.at(node) or node.op.bodies for node in order):
        facts.again = False
        return outputs, dict(zip(order, order, strict=True))
    keep = current.where, current.order, facts.current
    facts.current = Facts(order if rules.values else (), outputs, walk.held)
    if rules.values is not None and not walk.held:
        facts.current.values = rules.values(order)
        facts.current.taken = multiples_taken(order, facts.current.shared, outputs)
    try:
        walk.all(order)
    finally:
        current.where, current.order, facts.current = keep
        facts.again = walk.again
    return [walk.done[o] for o in outputs], walk.done


class _Walk:
    """One walk: what every node met so far has become."""

    def __init__(self, rules: RuleSet, held: frozenset[Tensor], fired: Fired | None) -> None:
        self.rules = rules
        self.held = held
        self.fired = fired
        self.done: Mapping = {node: node for node in held}
        self.firings: dict[Tensor, int] = {}
        self.again = False

    def all(self, order: Sequence[Tensor]) -> None:
        """Every node of a topological order; only where a rule fires is there more to do than to rebuild."""
        done, at, values = self.done, self.rules.at, facts.current.values
        shared, taken = facts.current.shared, facts.current.taken
        for node in order:
            if node in done:
                continue
            candidate = node
            for x in node.inputs:
                if done[x] is not x:
                    current.where, current.order = node.where, node.order
                    candidate = rebuild(node, [done[x] for x in node.inputs])
                    break
            if values is not None:
                values.find(node, candidate)
            if candidate in done or candidate.op.bodies:
                self.settle(node)
            else:
                rules = at(candidate)
                if rules and self.fires(rules, candidate):
                    self.settle(node)
                else:
                    done[node] = done[candidate] = candidate
            new = done[node]
            if node in shared:
                shared.add(new)
                if node in taken:
                    taken.add(new)
            if values is not None:
                values.carry(node, new)
                values.settled(new)

    def fires(self, rules: Sequence[Rule | NodeRule], node: Tensor) -> bool:
        """Whether one of the rules has something to say of `node`."""
        held = self.held
        for r in rules:
            new = r.apply(node, held)
            if new is not None and new is not node:
                return True
        return False

    def settle(self, root: Tensor) -> None:
        """`root` and all that its replacements bring, until no rule fires."""
        done = self.done
        waiting: dict[Tensor, tuple[Tensor, Tensor]] = {}  # node: its rebuilt self, and the replacement being rewritten
        stack = [root]
        while stack:
            node = stack[-1]
            if node in waiting:
                candidate, new = waiting[node]
                if new not in done:
                    stack.append(new)
                    continue
                del waiting[node]
                done[node] = done[candidate] = done[new]
            if node in done:
                stack.pop()
                continue
            pending = [x for x in node.inputs if x not in done]
            if pending:
                stack.extend(reversed(pending))
                continue
            current.where, current.order = node.where or root.where, node.order
            candidate = self.with_bodies(rebuild(node, [done[x] for x in node.inputs]))
            if candidate is not node and candidate in self.held:
                done[node] = node  # equal to a frozen node by a rule, yet another expression
                continue
            if candidate is not node and candidate in done:
                done[node] = done[candidate]
                continue
            new = self.apply(candidate)
            done[node] = done[candidate] = candidate  # inside its own replacement a node stands for itself
            if new is not candidate:
                self.firings[new] = self.firings.get(node, 0) + 1
                if self.firings[new] > MOST_FIRINGS:
                    raise SymgraphError(f"rewriting does not terminate at {node!r}; the rules undo each other")
                waiting[node] = candidate, new

    def with_bodies(self, node: Tensor) -> Tensor:
        """`node` with the closed sub-graphs of its op rewritten."""
        return with_bodies(node, lambda outputs: rewrite(outputs, self.rules, fired=self.fired)[0])

    def loses_a_user(self, node: Tensor, new: Tensor) -> bool:
        """Whether arithmetic that `node` took and others take too is none of `new`: it may be used once from now on."""
        shared = facts.current.shared
        lost = [x for x in node.inputs if isinstance(x.op, Elementwise) and x is not new and x in shared]
        return bool(lost) and not set(lost) <= set(new.inputs)

    def apply(self, node: Tensor) -> Tensor:
        """What the first rule that fires makes of `node`, or `node`."""
        for r in self.rules.at(node):
            new = r.apply(node, self.held)
            if new is None or new is node:
                continue
            if isinstance(node.aval, tuple):
                same = node.aval == new.aval
            else:
                same = new.dtype == node.dtype and same_shape(new.shape, node.shape)
            if same:
                if facts.current.values is not None:
                    facts.current.values.carry(node, new)
                self.again = self.again or r.moderate or TWIN in r.needs or self.loses_a_user(node, new)
                if self.fired is not None:
                    self.fired.append((r, node, new))
                return new
        return node


def compose(first: Mapping, second: Mapping) -> Mapping:
    """The map of two passes run one after the other."""
    return {old: second.get(new, new) for old, new in first.items()}


def sequence(
    outputs: Sequence[Tensor], passes: Iterable[RuleSet], fired: Fired | None = None
) -> tuple[list[Tensor], Mapping]:
    """Several passes in order, with one map from the first nodes to the last."""
    found = list(outputs)
    mapping: Mapping = {}
    for rules in passes:
        found, step = rewrite(found, rules, fired=fired)
        mapping = compose(mapping, step) | {old: new for old, new in step.items() if old not in mapping}
    return found, mapping
