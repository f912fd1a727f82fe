"""Products: factors that cancel, numbers that merge, and small factors multiplied before large ones.

A product is read as a monomial c * x1**n1 * x2**n2 * ..., through products and quotients that nobody else uses:

    (S / K) / K ... 1 / K / (S / K) = 1 / S          cancelled
    (x * 3) / n * 0.5 = (1.5 / n) * x                one product of the size of x

and written again, smallest factors first, where that is less work. Work is counted in elements, a quotient as four products
and an axis of unknown size as a thousand.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core import Constant, Tensor
from ..dims import Shape, same_shape
from ..dtypes import FLOAT64, is_complex
from ..ops.late import F
from .facts import facts, may_open
from .pattern import node_rules
from .scales import distance, fits, reach

MOST_FACTORS = 10
"""Longer products are looked at in parts, so that a chain of any length takes linear time."""

MOST_STEPS = 4 * MOST_FACTORS
UNKNOWN_SIZE = 1000
SHORT = 8
"""Numbers of no more characters are written as they are."""

COSTS = {"divide": 4.0, "reciprocal": 4.0, "exp": 20.0}

multiply, divide, negative, reciprocal, sqrt = F.multiply, F.divide, F.negative, F.reciprocal, F.sqrt


def bulk(shape: Shape) -> float:
    """The number of elements, with an axis of unknown size taken as a thousand."""
    total = 1.0
    for n in shape:
        total *= n if isinstance(n, int) else UNKNOWN_SIZE
    return total


def work(node: Tensor) -> float:
    """What computing the node from its operands costs."""
    return COSTS.get(node.op.name, 1.0) * bulk(node.shape)


def number_of(node: Tensor) -> Any:
    """The value of a 0-d constant, or None."""
    return node.op.number if isinstance(node.op, Constant) else None


@dataclass
class Monomial:
    """c * product of base**power, and what the operations it was read from cost."""

    coefficient: Any = 1.0
    powers: dict[Tensor, int] = field(default_factory=dict)
    work: float = 0.0
    numbers: int = 0
    """How many numbers were met."""
    met: int = 0
    """How many factors were met, each occurrence counted."""
    distance: float = 0.0
    """How far from 1 the numbers are together, whichever way each of them goes."""

    def cancels(self) -> bool:
        """Whether a factor occurs in the numerator and in the denominator."""
        return sum(map(abs, self.powers.values())) < self.met


def _splits(node: Tensor) -> bool:
    op = node.op
    return (op is multiply or op is divide or op is negative or op is reciprocal) and node not in facts.current.frozen


def monomial(root: Tensor, opened: Set[Tensor] = frozenset()) -> Monomial | None:
    """A product as a monomial; of shared products only those `opened`.

    None where it is too long, holds a zero, or has numbers that had better not meet.
    """
    found = Monomial()
    stack = [(root, 1, True)]
    steps = 0
    while stack:
        steps += 1
        if steps > MOST_STEPS or len(stack) + found.met > MOST_FACTORS:
            return None
        node, power, owned = stack.pop()
        op = node.op
        number = number_of(node)
        if number is not None:
            if number == 0 or not np.isfinite(number):
                return None
            found.coefficient = found.coefficient * number if power > 0 else found.coefficient / number
            if not fits(found.coefficient, FLOAT64):
                return None  # digits would be lost on the way
            found.numbers += 1
            found.distance += distance(number)
            continue
        alone = node is root or may_open(node)
        if _splits(node) and (alone or node in opened):
            owned = owned and alone
            if owned:
                found.work += work(node)
            if op is multiply:
                stack += [(x, power, owned) for x in (node.inputs if node.flipped else node.inputs[::-1])]
            elif op is divide:
                stack += [(node.inputs[1], -power, owned), (node.inputs[0], power, owned)]
            else:
                stack.append((node.inputs[0], -power if op is reciprocal else power, owned))
                found.coefficient = -found.coefficient if op is negative else found.coefficient
            continue
        found.powers[node] = found.powers.get(node, 0) + power
        found.met += 1
    return found if not found.numbers or _is_tame(found, root.dtype) else None


def _is_tame(m: Monomial, dtype: Any) -> bool:
    """Whether the numbers may be merged, and moved past the factors."""
    return fits(m.coefficient, dtype) and (m.met < 2 or m.distance <= reach(dtype))


def halve(powers: dict[Tensor, int]) -> bool:
    """sqrt(x)**2 = x and x / sqrt(x) = sqrt(x); whether any was found."""
    changed = False
    for root in [b for b in powers if b.op is sqrt]:
        n, x = powers[root], root.inputs[0]
        if abs(n) >= 2:
            half = int(n / 2)
            powers[root] = n - 2 * half
            powers[x] = powers.get(x, 0) + half
            changed = True
        n, m = powers[root], powers.get(x, 0)
        if n and m and (n > 0) != (m > 0):
            powers[x], powers[root] = m + (1 if n > 0 else -1), -n
            changed = True
    return changed


def product(m: Monomial, dtype: Any, inverse: bool = False) -> Tensor:
    """The monomial as a node, small factors first; of the size that its factors have together.

    With `inverse`, a small divisor is inverted even where no number stands over it: (1 / n) * x, not x / n.
    """
    c = m.coefficient if is_complex(dtype) else float(m.coefficient)
    over = [_raised(x, n) for x, n in m.powers.items() if n > 0]
    under = [_raised(x, -n) for x, n in m.powers.items() if n < 0]
    above: Tensor | None = None
    below: Tensor | None = None
    sizes = sorted({bulk(x.shape) for x in over + under})
    if c == -1 and over and (len(sizes) == 1 or not any([bulk(x.shape) == sizes[0] for x in under])):
        return -product(Monomial(1.0, m.powers), dtype)
    for size in sizes:
        for x in over:
            if bulk(x.shape) == size:
                above = x if above is None else above * x
        for x in under:
            if bulk(x.shape) == size:
                below = x if below is None else below * x
        if (c != 1 or inverse) and above is None and below is not None and size < sizes[-1]:
            above, c = _scaled_below(c, below), 1.0
            below = None
        elif c != 1 and above is not None:
            above, c = (-above if c == -1 else c * above), 1.0
        if above is not None and below is not None:
            above, below = above / below, None
    if below is not None:
        above = _scaled_below(c, below)
        c = 1.0
    if above is None:
        return F.full((), c, dtype)
    return above if c == 1 else -above if c == -1 else c * above


def _scaled_below(c: Any, below: Tensor) -> Tensor:
    """c / below, written 1 / (n * below) where c is one n-th and has no short decimal: 0.1 / n, but 1 / (3 * n)."""
    if isinstance(c, complex) or abs(c) >= 1 or len(repr(c)) <= SHORT:
        return c / below
    inverse = 1 / c
    return 1 / (inverse * below) if inverse == round(inverse) else c / below


def _raised(x: Tensor, n: int) -> Tensor:
    """x**n by squaring."""
    if n == 1:
        return x
    half = _raised(x, n // 2)
    return half * half * x if n % 2 else half * half


def spent(node: Tensor, bases: Any) -> float:
    """What computing `node` from `bases` costs, each part once."""
    total, stack, seen = 0.0, [node], set()
    while stack:
        n = stack.pop()
        if n in bases or n in seen or not n.inputs:
            continue
        seen.add(n)
        total += work(n)
        stack += n.inputs
    return total


def collect_factors(node: Tensor) -> Tensor | None:
    """The product in fewer or smaller operations, or None."""
    if node.aval.dtype.char not in "fdgFDG" or _is_plain(node):
        return None  # in half precision a product of two ordinary numbers may overflow: the user's order stays
    opened: set[Tensor] = set()
    while True:
        m = monomial(node, opened)
        if m is None or m.met + m.numbers < 2:
            return None
        bases = set(m.powers)
        halved = halve(m.powers)
        bases.update(m.powers)
        if halved or m.cancels() or m.numbers > 1 or (not opened and _mixed(m)):
            made = _cheaper(node, m, bases, m.work * (1 + 2e-9) if opened and m.numbers > 1 else m.work)
            if made is not None:
                return made
        more = _worth_opening(m, opened)
        if more is None or len(opened) > 3:
            return None
        opened.add(more)


def _is_plain(node: Tensor) -> bool:
    """Whether the node and the products it is made of multiply arrays of one rank, neither numbers nor quotients."""
    ndim = node.ndim
    if node.op is not multiply:
        return False
    for x in node.inputs:
        op = x.op
        if x.ndim != ndim or op is divide or op is negative or op is reciprocal or op is sqrt:
            return False
        for y in x.inputs if op is multiply else ():
            if y.ndim != ndim or y.op is multiply or y.op is divide or y.op is sqrt or isinstance(y.op, Constant):
                return False
        if isinstance(op, Constant):
            return False
    return True


def _cheaper(node: Tensor, m: Monomial, bases: set[Tensor], most: float) -> Tensor | None:
    m.powers = {x: n for x, n in m.powers.items() if n}
    if any(abs(n) > 8 for n in m.powers.values()):
        return None
    for inverse in (False, True) if m.coefficient == 1 and m.numbers > 1 else (False,):
        new = product(m, node.dtype, inverse)
        if new.dtype == node.dtype and spent(new, bases) < most * (1 - 1e-9):
            return new if same_shape(new.shape, node.shape) else F.broadcast_to(new, node.shape)
    return None


def _worth_opening(m: Monomial, opened: set[Tensor]) -> Tensor | None:
    """A product that others use too, one of whose factors would cancel, if need be with one in another such product.

    So does a number that merges with another: -0.5 * y * (2 * t) = -(y * t).
    """
    inside: list[tuple[Tensor | None, dict[Tensor, int]]] = [(None, m.powers)]
    for x, n in m.powers.items():
        if n and _splits(x) and x not in opened:
            parts = monomial(x)
            if parts is None:
                continue
            if m.numbers and parts.numbers and abs(n) == 1:
                return x
            powers = {y: k * n for y, k in parts.powers.items()}
            if any([k * other.get(y, 0) < 0 for y, k in powers.items() for _, other in inside]):
                return x
            inside.append((x, powers))
    return None


def _mixed(m: Monomial) -> bool:
    return len({bulk(x.shape) for x in m.powers}) + (m.numbers > 0) > 1


FACTORS = node_rules(
    "collect factors",
    [multiply, divide, negative],
    collect_factors,
    tag="finite-real",
    needs=[multiply, divide, negative, reciprocal],
    moderate=True,
    examples=[
        lambda x, y: (x * y) / x,
        lambda x, y: 1 / y / (x / y),
        lambda x: (x * 3.0) * 0.7,
        lambda x, y: (x / 3.0) * (y * 0.5),
        lambda X, x: (X * x) * x,
        lambda x: (x / F.sqrt(x)) * 2.0,
        lambda x: 2.0 * (F.sqrt(x) * F.sqrt(x)),
        lambda X, x: (X / x) / 3.0,
        lambda X, x: -(X / x),
        lambda X, x: 0.5 / x * (2.0 * X),
    ],
)

__all__ = ["FACTORS", "Monomial", "bulk", "collect_factors", "monomial", "number_of", "product", "spent", "work"]
