"""Numbers that meet sizes: 2 / (2 * m) = 1 / m and 0.5 * (2 * m) = m, for a whole number that every term of the size has.

The mean of squares halved is written `sum(r**2) / (2 * m)`, and its derivative brings another 2.
"""

from __future__ import annotations

import math

from ..core import Tensor, make
from ..dims import Size, as_polynomial, from_polynomial
from ..dtypes import is_inexact
from ..ops.creation import DimValue, dim_value
from ..ops.elementwise import Cast
from ..ops.late import F
from .factors import number_of
from .facts import facts
from .pattern import RuleSet, node_rules


def _size_of(x: Tensor) -> Size | None:
    """The size that a node is, cast or not."""
    if x in facts.current.frozen:
        return None
    while isinstance(x.op, Cast):
        x = x.inputs[0]
    return x.op.dim if isinstance(x.op, DimValue) else None


def _divided(size: Size) -> tuple[int, Size]:
    """A whole number and the size it is a multiple of: (2, m) of 2 * m."""
    terms = as_polynomial(size)
    common = math.gcd(*[n for _, n in terms])
    return (common, from_polynomial(tuple([(m, n // common) for m, n in terms]))) if common > 1 else (1, size)


def _number_and_size(node: Tensor) -> Tensor | None:
    """c / (n * m) = (c / n) / m and c * (n * m) = (c * n) * m."""
    for c, x in (node.inputs,) if node.op is F.divide else (node.inputs, node.inputs[::-1]):
        number, size = number_of(c), _size_of(x)
        if number is None or size is None or not is_inexact(node.dtype) or isinstance(number, complex):
            continue
        n, rest = _divided(size)
        if n > 1:
            total = F.cast(dim_value(rest), node.dtype)
            made = number / n if node.op is F.divide else number * n
            factor = F.full((), made, node.dtype)
            return factor / total if node.op is F.divide else factor * total
    return None


SIZES = RuleSet(
    *node_rules("number and size", [F.multiply, F.divide], _number_and_size, needs=[Cast, DimValue], tag="rounding", moderate=True,
        examples=[lambda: 3.0 / make(DimValue(6)), lambda: 0.5 * make(DimValue(6))])
)  # fmt: skip

__all__ = ["SIZES"]
