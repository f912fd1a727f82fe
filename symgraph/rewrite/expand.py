"""Expansion, for the fast style: functions that NumPy computes one element at a time, in steps that it computes many at a time.

NumPy's exp, log1p and maximum use the vector instructions of the machine and its logaddexp does not: softplus takes 13 ns
an element, its expansion 3.
"""

from __future__ import annotations

import math

from ..core import Constant, Tensor
from ..ops.late import F
from .pattern import RuleSet, node_rules
from .signs import is_nonnegative

WITHIN_ONE = frozenset([F.tanh, F.sin, F.cos, F.sigmoid, F.erf, F.arctan])
"""Functions whose exponential is far from overflow."""


def _softplus(node: Tensor) -> Tensor | None:
    """log(1 + e**x) = max(x, 0) + log(1 + e**-abs(x)), in which nothing overflows."""
    (x,) = node.inputs
    if not x.ndim or node.dtype.kind != "f":
        return None  # one number takes the math module
    if x.op in WITHIN_ONE or (x.op is F.negative and is_nonnegative(x.inputs[0])):
        return F.log1p(F.exp(x))
    return F.maximum(x, 0) + F.log1p(F.exp(-abs(x)))


def _softplus_of_two(node: Tensor) -> Tensor | None:
    """log2(1 + 2**x) = max(x, 0) + log2(1 + 2**-abs(x))."""
    for x, zero in (node.inputs, node.inputs[::-1]):
        if (
            isinstance(zero.op, Constant)
            and zero.op.number == 0
            and node.dtype.kind == "f"
            and x.ndim
            and x.ndim == node.ndim
        ):
            return F.maximum(x, 0) + F.log1p(F.exp2(-abs(x))) / math.log(2)
    return None


EXPAND = RuleSet(
    *node_rules(
        "softplus in vector instructions", [F.softplus], _softplus, tag="rounding",
        examples=[lambda x, y: F.softplus(x + y), lambda x: F.softplus(F.tanh(x)), lambda x: F.softplus(-abs(x))],
    ),
    *node_rules(
        "logaddexp2 in vector instructions", [F.logaddexp2], _softplus_of_two, tag="rounding", needs=[Constant],
        examples=[lambda x: F.logaddexp2(x, 0), lambda x: F.logaddexp2(0, F.tanh(x))],
    ),
)  # fmt: skip

__all__ = ["EXPAND"]
