"""Products with a multiple of a value, where the product with the value itself is wanted as well.

    g = c * x,   x @ x,   x @ g     becomes     s = x @ x,   s,   c * s

A multiple that somebody needs as an array is a factor of its own; that another product could be had for a number is seen only
once all regions are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...core import Tensor
from ...ops.late import F
from .products import Key, Value, key_of
from .regions import Region, kind_of


def through_multiples(regions: Iterable[Region]) -> None:
    """Rewrite, in place, the regions of two factors whose product is a multiple of the product of another region."""
    pairs = [region for region in regions if len(region.factors) == 2 and _covered(region)]
    known = {_key(region.factors, region) for region in pairs}
    for region in pairs:
        for i, (x, axes) in enumerate(region.factors):
            if x.ndim and kind_of(x) == "scale":
                inner, up, down, negative = _taken_apart(x)
                factors = list(region.factors)
                factors[i] = inner, axes
                if inner.ndim == x.ndim and _key(factors, region) in known:
                    region.factors = factors
                    region.numerators += up
                    region.denominators += down
                    region.negative ^= negative
                    break


def _covered(region: Region) -> bool:
    """Whether every axis of the result is one of a factor."""
    return set(region.output) <= {label for _, axes in region.factors for label in axes}


def _key(factors: Sequence[Value], region: Region) -> Key:
    first, second = factors
    return key_of(first, second, frozenset(region.output))


def _taken_apart(x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], bool]:
    """A multiple as the value, what it is multiplied by, what it is divided by, and whether its sign is turned."""
    if x.op.family == F.negative:
        return x.inputs[0], [], [], True
    if x.op.family == F.divide:
        return x.inputs[0], [], [x.inputs[1]], False
    inner, number = x.inputs if x.inputs[0].ndim else x.inputs[::-1]
    return inner, [number], [], False
