"""Deviations from a mean: they add up to nothing.

    sum(x - sum(x) / n) = 0        over the n elements that the mean is of

The derivative of a mean takes the mean of the cotangent; where this is centred already (variance, standard deviation,
normalization layers), nothing is left of it. In floating point the sum is a rounding error of x, and what is written
instead is exact.
"""

from __future__ import annotations

from ..core import Constant, Tensor
from ..dims import prod, same, same_shape
from ..dtypes import is_inexact
from ..ops.creation import DimValue
from ..ops.elementwise import Cast
from ..ops.late import F
from ..ops.reduce import Sum
from ..ops.shape import Reshape
from .factors import MOST_FACTORS
from .pattern import RuleSet, node_rules


def _sum_of_deviations(node: Tensor) -> Tensor | None:
    """sum(s * (x - mean(x)) / t, axis) = 0 for factors s and t that are the same for all summed elements."""
    op, difference = node.op, node.inputs[0]
    assert isinstance(op, Sum)
    if not is_inexact(node.dtype) or not op.axis or node.dtype != difference.dtype:
        return None
    for _ in range(MOST_FACTORS):
        if difference.op not in (F.multiply, F.divide):
            break
        p, q = difference.inputs
        inner = p if _is_same_along(q, node.inputs[0], op.axis) else q
        if inner is q and (difference.op is F.divide or not _is_same_along(p, node.inputs[0], op.axis)):
            return None
        difference = inner
    if difference.op is not F.subtract or not same_shape(difference.shape, node.inputs[0].shape):
        return None
    for x, mean in (difference.inputs, difference.inputs[::-1]):
        if same_shape(x.shape, difference.shape) and _is_mean(mean, x, op.axis):
            return F.zeros_like(node)
    return None


def _is_same_along(s: Tensor, whole: Tensor, axis: tuple[int, ...]) -> bool:
    """Whether the factor `s` of `whole` is the same for all elements along the axes."""
    lead = whole.ndim - s.ndim
    return all([same(s.shape[a - lead], 1) for a in axis if a >= lead])


def _is_mean(mean: Tensor, x: Tensor, axis: tuple[int, ...]) -> bool:
    """Whether `mean` is sum(x, axis) / n, aligned with x, for the n elements of these axes."""
    if mean.op not in (F.divide, F.multiply):
        return False
    total, factor = mean.inputs
    n = prod([x.shape[a] for a in axis])
    while isinstance(factor.op, Cast):
        factor = factor.inputs[0]
    if isinstance(factor.op, DimValue):
        counts = mean.op is F.divide and same(factor.op.dim, n)
    elif isinstance(factor.op, Constant) and isinstance(n, int) and n:
        counts = factor.op.number == (n if mean.op is F.divide else 1 / n)
    else:
        counts = False
    return counts and _is_total(total, x, axis)


def _is_total(total: Tensor, x: Tensor, axis: tuple[int, ...]) -> bool:
    """Whether `total` is sum(x, axis) with its axes kept, however they came back."""
    lead = x.ndim - total.ndim
    kept = [1 if a in axis else n for a, n in enumerate(x.shape)]
    aligned = lead >= 0 and set(range(lead)) <= set(axis) and same_shape(total.shape, tuple(kept[lead:]))
    while isinstance(total.op, Reshape):
        total = total.inputs[0]
    return aligned and isinstance(total.op, Sum) and total.op.axis == axis and total.inputs[0] is x


DEVIATIONS = RuleSet(
    *node_rules("sum of deviations", [Sum], _sum_of_deviations, needs=[F.subtract, F.multiply, F.divide], tag="finite-real", moderate=True,
        examples=[lambda X: F.sum(X - F.mean(X)), lambda X: F.sum(X - F.mean(X, axis=0), axis=0),
                  lambda X: F.sum(F.mean(X, axis=1, keepdims=True) - X, axis=1),
                  lambda X: F.sum(3.0 * (X - F.mean(X)) / F.exp(X[:1, :1])) if X.shape[0] else None])
)  # fmt: skip

__all__ = ["DEVIATIONS"]
