"""Guards: a choice that derivatives make only to settle a value at a singular point, and that a formula leaves out.

where(d == 0, inf, d)        d          x / d is 0 where d is 0
where(d == 0, 0, z / d)      z / d
where(y == 0, 1, y - 1)      y - 1      the exponent in the derivative of x**y
"""

from __future__ import annotations

from ..core import Tensor
from ..ops.elementwise import Cast, Where
from ..ops.late import F
from ..printing import number


def unguarded(node: Tensor) -> Tensor | None:
    """What a guard stands for, or None if the node is none."""
    if not isinstance(node.op, Where) or node.inputs[0].op is not F.equal:
        return None
    (d, zero), settled, meant = node.inputs[0].inputs, number(node.inputs[1]), node.inputs[2]
    if number(zero) != "0":
        return None
    if settled == "inf":
        return meant if meant is d else None
    if node.order and settled in ("0", "0j"):
        return meant if meant.op is F.divide and _uncast(meant.inputs[1]) is d else None
    if node.order and settled == "1":
        return meant if meant.op is F.subtract and meant.inputs[0] is d else None
    return None


def _uncast(x: Tensor) -> Tensor:
    return x.inputs[0] if isinstance(x.op, Cast) else x


__all__ = ["unguarded"]
