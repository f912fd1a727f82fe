"""The rewriting engine: one bottom-up walk that applies rules until none fires, in time linear in the nodes.

A node is rebuilt on its rewritten inputs and offered to the rules filed under its op; what a rule returns is rewritten in
turn. Nothing is changed in place: the result is new outputs and a map from every old node to its successor, by which
names and other relations follow. A pass that changes nothing returns the same objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ..core import Body, Tensor, make, rebuild
from ..dims import same_shape
from ..errors import SymgraphError
from ..provenance import current
from .pattern import NodeRule, Rule, RuleSet

Mapping = dict[Tensor, Tensor]
Fired = list[tuple[Rule | NodeRule, Tensor, Tensor]]

MOST_FIRINGS = 1000
"""Rules that fire at one place more often than this do not terminate."""


def rewrite(
    outputs: Iterable[Tensor], rules: RuleSet, frozen: Collection[Tensor] = (), fired: Fired | None = None
) -> tuple[list[Tensor], Mapping]:
    """`outputs` under `rules`, and the successor of every node. Frozen nodes are leaves: kept, and never matched through."""
    outputs = list(outputs)
    held = frozenset(frozen)
    done: Mapping = {node: node for node in held}
    waiting: dict[Tensor, tuple[Tensor, Tensor]] = {}  # node: its rebuilt self, and the replacement being rewritten
    firings: dict[Tensor, int] = {}
    stack = outputs[::-1]
    keep = current.where
    try:
        while stack:
            node = stack[-1]
            if node in waiting:
                candidate, new = waiting[node]
                if node is not new and (new not in done or new in waiting):
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
            current.where = node.where
            candidate = _with_bodies(rebuild(node, [done[x] for x in node.inputs]), rules, fired)
            if candidate is not node and candidate in held:
                done[node] = node  # equal to a frozen node by a rule, yet another expression
                continue
            if candidate is not node and candidate in done:
                done[node] = done[candidate]
                continue
            new = _apply(rules, candidate, held, fired)
            done[node] = done[candidate] = candidate  # inside its own replacement a node stands for itself
            if new is not candidate:
                firings[new] = firings.get(node, 0) + 1
                if firings[new] > MOST_FIRINGS:
                    raise SymgraphError(f"rewriting does not terminate at {node!r}; the rules undo each other")
                waiting[node] = candidate, new
    finally:
        current.where = keep
    return [done[o] for o in outputs], done


def _with_bodies(node: Tensor, rules: RuleSet, fired: Fired | None) -> Tensor:
    """`node` with the closed sub-graphs of its op rewritten."""
    if not node.op.bodies:
        return node
    changed = {}
    for field in node.op.bodies:
        body: Body = getattr(node.op, field)
        outputs, _ = rewrite(body.outputs, rules, fired=fired)
        if any(a is not b for a, b in zip(outputs, body.outputs, strict=True)):
            changed[field] = Body(body.avals, outputs)
    return make(replace(node.op, **changed), *node.inputs) if changed else node  # type: ignore[type-var]


def _apply(rules: RuleSet, node: Tensor, frozen: Collection[Tensor], fired: Fired | None) -> Tensor:
    for r in rules.at(node):
        new = r.apply(node, frozen)
        if new is None or new is node:
            continue
        if isinstance(node.aval, tuple):
            same = node.aval == new.aval
        else:
            same = new.dtype == node.dtype and same_shape(new.shape, node.shape)
        if same:
            if fired is not None:
                fired.append((r, node, new))
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
