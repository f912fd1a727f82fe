"""Truncated power series whose coefficients are tensors, each made when it is first asked for.

    x(t) = x[0] + x[1] t + x[2] t**2 + ...

A coefficient is made from lower ones of the same series and from those of others, so a series may be defined by itself:
y = exp(x) by y' = x' y, which gives y[k] from y[0], ..., y[k-1]. That is a lazy list as in McIlroy, "Power series, power
serious" (1999). A coefficient of None is 0 whatever the leaves hold, and costs nothing.

A series may carry a *mask* (see `symgraph.ops.base`): outside it the coefficients from x[1] on are 0 because a branch was
not taken, and products with them are 0 whatever the other factor is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import isfinite
from typing import Any

from ..core import Constant, Tensor
from ..ops.base import Mask, broadcast_like, cast, mask_and, times
from ..ops.late import F

Coefficient = Tensor | None
More = Callable[[int], Coefficient]
"""Makes the k-th coefficient, k >= 1, once the lower ones exist."""

Number = int | Fraction | float


class Series:
    """The series of one node: `node` is where it stands in the graph, `s[k]` its k-th coefficient, of one shape and dtype.

    `more(k)` makes the k-th coefficient from lower ones; for a series given `by_rate` it makes `rate(k)`. What is
    integrated (y' = p x') is given by its rates, and a linear op takes these as they are, so a network of layers
    never multiplies by k what was divided by k.
    """

    __slots__ = ("active", "by_rate", "coefficients", "mask", "more", "node", "rates")

    def __init__(
        self, node: Tensor, primal: Tensor, more: More | None = None, mask: Mask = None, by_rate: bool = False
    ) -> None:
        self.node = node
        self.coefficients: list[Coefficient] = [primal]
        self.rates: list[Coefficient] = [None]
        self.more = more
        self.mask = mask
        self.by_rate = by_rate
        self.active = True
        """Whether a coefficient but the first may differ from 0."""

    @property
    def primal(self) -> Tensor:
        """The value at t = 0."""
        found = self.coefficients[0]
        assert found is not None
        return found

    def __getitem__(self, k: int) -> Coefficient:
        if not self.active and k:
            return None
        while len(self.coefficients) <= k:
            n = len(self.coefficients)
            self.coefficients.append(scaled(Fraction(1, n), self.rate(n)) if self.by_rate else self._made(n))
        return self.coefficients[k]

    def rate(self, k: int) -> Coefficient:
        """k x[k], the coefficient of t**(k-1) in x'(t)."""
        if not self.active:
            return None
        if not self.by_rate:
            return scaled(k, self[k])
        while len(self.rates) <= k:
            self.rates.append(self._made(len(self.rates)))
        return self.rates[k]

    def fill(self, order: int) -> None:
        """Make what `more` makes up to an order."""
        if self.active and order:
            self.rate(order) if self.by_rate else self[order]

    def _made(self, k: int) -> Coefficient:
        assert self.more is not None
        c = self.more(k)
        if c is None or is_zero(c):
            return None
        return cast(broadcast_like(c, self.primal), self.primal.dtype)


def fixed(node: Tensor, primal: Tensor | None = None) -> Series:
    """The series of what does not depend on t."""
    found = Series(node, node if primal is None else primal)
    found.active = False
    return found


# Sums of products ----------------------------------------------------------------------------------------------------


class Sum:
    """c1 u1 v1 + c2 u2 v2 + ..., kept as numbers and products until `total` writes it with as few operations as it can.

    Numbers and signs are taken out of the factors, and terms that are the same are counted.
    """

    def __init__(self) -> None:
        self.terms: dict[Tensor, Number] = {}

    def add(self, u: Coefficient, v: Coefficient = None, weight: Number = 1, mask: Mask = None) -> Sum:
        """Add `weight * u * v`, or `weight * u` where there is no `v`; outside `mask` the product is 0."""
        if u is None:
            return self
        c, u = _number_and_rest(u)
        if v is not None:
            d, v = _number_and_rest(v)
            c, u = c * d, v if _is_one(u) else u if _is_one(v) else times(u, v, None, mask)
        c = c * weight
        found = self.terms.get(u, 0) + c
        self.terms[u] = found
        return self

    def total(self, scale: Number = 1) -> Coefficient:
        """`scale` times the sum, or None for none. Terms of equal weight are added before they are scaled."""
        groups: dict[Any, list[tuple[bool, Tensor]]] = {}
        for u, c in self.terms.items():
            if c != 0:
                negative = c < 0
                groups.setdefault(-c if negative else c, []).append((negative, u))
        if len(groups) == 1:
            ((weight, signed),) = groups.items()
            return _scaled_sum(weight * scale, signed)
        parts = [(False, made) for c, s in groups.items() if (made := _scaled_sum(c, s)) is not None]
        parts = [(True, p.inputs[0]) if p.op.name == "negative" else (False, p) for _, p in parts]
        return _scaled_sum(scale, parts)


def _scaled_sum(weight: Number, signed: list[tuple[bool, Tensor]]) -> Coefficient:
    if not signed:
        return None
    total: Tensor | None = None
    flipped = all(negative for negative, _ in signed)
    for negative, u in sorted(signed, key=lambda s: s[0] != flipped):
        if total is None:
            total = u
        else:
            total = total + u if negative == flipped else total - u
    return scaled(-weight if flipped else weight, total)


def scaled(weight: Number, u: Coefficient) -> Coefficient:
    """`weight * u`, with numbers joined."""
    if u is None or weight == 0:
        return None
    c, u = _number_and_rest(u)
    weight = c * weight
    if weight == 1:
        return u
    if weight == -1:
        return -u
    return u * float(weight)


def _number_and_rest(u: Tensor) -> tuple[Number, Tensor]:
    """u = number * rest, where the rest is ones if `u` is one number everywhere."""
    if u.op.name == "negative":
        c, rest = _number_and_rest(u.inputs[0])
        return -c, rest
    number = number_of(u)
    if number is None:
        return 1, u
    return int(number) if number.is_integer() else number, u if number == 1 else F.ones_like(u)


def number_of(u: Tensor) -> float | None:
    """The finite real number that `u` certainly is everywhere, or None."""
    u = u.inputs[0] if u.op.name in ("full", "broadcast_to") else u
    if not isinstance(u.op, Constant) or u.op.number is None or u.dtype.kind != "f" or u.aval.weak:
        return None
    return u.op.number if isfinite(u.op.number) else None


def is_zero(u: Tensor) -> bool:
    """Whether `u` is 0 whatever the leaves hold."""
    u = u.inputs[0] if u.op.name in ("full", "broadcast_to") else u
    return isinstance(u.op, Constant) and not u.op.value.any()


def _is_one(u: Tensor) -> bool:
    return number_of(u) == 1


# Products of series --------------------------------------------------------------------------------------------------


def mask_at(x: Series, k: int) -> Mask:
    """Outside which x[k] is 0 because a branch was not taken."""
    return x.mask if k else None


def convolution(x: Series, y: Series, k: int, first: int = 0, last: int = 0) -> Sum:
    """The sum of x[j] y[k-j] for first <= j <= k - last; where both are one series, each pair is multiplied once."""
    found = Sum()
    for j in range(first, k - last + 1):
        i = k - j
        if x[j] is None or y[i] is None:
            continue
        if x is y and first == last:
            if j < i:
                found.add(scaled(2, x[j]), x[i], mask=mask_and(mask_at(x, j), mask_at(x, i)))
            elif j == i:
                found.add(x[j], x[j], mask=x.mask)
        else:
            found.add(x[j], y[i], mask=mask_and(mask_at(x, j), mask_at(y, i)))
    return found


def quotient(u: Coefficient, v: Tensor, mask: Mask) -> Coefficient:
    """u / v, 0 outside the mask."""
    if u is None:
        return None
    if mask is None:
        return u / v
    return times(u, 1 / v, None, mask)


def follow(z: Series, xs: Sequence[Series], at: Callable[[list[Coefficient]], Coefficient]) -> More:
    """The rule of what is linear in its moving operands together: `at` of their coefficients, or of their rates."""
    moving = [x for x in xs if x.active]
    z.by_rate = all(x.by_rate for x in moving)

    def more(k: int) -> Coefficient:
        parts = [x.rate(k) if z.by_rate else x[k] if x.active else None for x in xs]
        return None if all(part is None for part in parts) else at(parts)

    return more
