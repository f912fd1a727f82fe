"""Lowering: ops that are compositions (sigmoid, softmax, logsumexp) become their parts, which are then shared and fused."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Item, Tensor
from ..ops.base import Elementwise, Primitive
from ..ops.rules import Transparent
from .pattern import NO_RULES, NodeRule, Rule, RuleSet


def _lower(node: Tensor) -> Tensor | None:
    if isinstance(node.op, Item):
        whole = node.inputs[0]
        return whole.op.item(node.op.index, *whole.inputs) if isinstance(whole.op, Transparent) else None
    return node.op.lower(*node.inputs) if isinstance(node.op, Primitive) else None


class _EveryNode(RuleSet):
    """A set whose rules are tried at every node whose op may have a lower form."""

    def at(self, node: Tensor) -> Sequence[Rule | NodeRule]:
        op = node.op
        if isinstance(op, Item):
            return self.rules if isinstance(node.inputs[0].op, Transparent) else NO_RULES
        if isinstance(op, Elementwise) and type(op).lower is Elementwise.lower:
            return self.rules if op._lower else NO_RULES
        return self.rules if isinstance(op, Primitive) and type(op).lower is not Primitive.lower else NO_RULES


LOWER = _EveryNode(NodeRule(None, _lower, tag="rounding", name="lower"))
