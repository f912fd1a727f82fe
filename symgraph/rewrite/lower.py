"""Lowering: ops that are compositions (sigmoid, softmax, logsumexp) become their parts, which are then shared and fused."""

from __future__ import annotations

from ..core import Tensor
from ..ops.base import Primitive
from .pattern import NodeRule, Rule, RuleSet


def _lower(node: Tensor) -> Tensor | None:
    return node.op.lower(*node.inputs) if isinstance(node.op, Primitive) else None


class _EveryNode(RuleSet):
    """A set whose rules are tried at every node."""

    def at(self, node: Tensor) -> list[Rule | NodeRule]:
        return list(self.rules)


LOWER = _EveryNode(NodeRule(None, _lower, tag="rounding", name="lower"))
