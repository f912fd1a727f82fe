"""Numbers that meet sizes: 2 / (2 * m) = 1 / m and 0.5 * (2 * m) = m, for a whole number that every term of the size has.

The mean of squares halved is written `sum(r**2) / (2 * m)`, and its derivative brings another 2.
"""

from __future__ import annotations

import math

from ..core import Tensor, constant, make
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


def _common(size: Size) -> int:
    """The largest whole number that every term of a size has: 2 of 2 * m."""
    return math.gcd(*[n for _, n in as_polynomial(size)])


def _divided(size: Size, by: int) -> Size:
    return from_polynomial(tuple([(m, n // by) for m, n in as_polynomial(size)]))


def _number_and_size(node: Tensor) -> Tensor | None:
    """2 / (6 * m) = 1 / (3 * m) and 0.5 * (2 * m) = m."""
    for c, x in (node.inputs,) if node.op is F.divide else (node.inputs, node.inputs[::-1]):
        number, size = number_of(c), _size_of(x)
        if number is None or size is None or not is_inexact(node.dtype) or isinstance(number, complex):
            continue
        n = _common(size)
        if node.op is F.divide and float(number).is_integer() and (shared := math.gcd(int(number), n)) > 1:
            return constant(number / shared, node.dtype) / F.cast(dim_value(_divided(size, shared)), node.dtype)
        if node.op is F.multiply and n > 1 and float(number * n).is_integer():
            return constant(number * n, node.dtype) * F.cast(dim_value(_divided(size, n)), node.dtype)
    return None


SIZES = RuleSet(
    *node_rules("number and size", [F.multiply, F.divide], _number_and_size, needs=[Cast, DimValue], tag="rounding", moderate=True,
        examples=[lambda: 3.0 / make(DimValue(6)), lambda: 0.5 * make(DimValue(6))])
)  # fmt: skip

__all__ = ["SIZES"]
