"""Sums: terms that cancel or merge, and common factors taken out.

A sum is read as terms c * m, through sums, differences and signs that nobody else uses; each m is a product of powers:

    a - x + x = a        a * b + a * c = a * (b + c)        x / d - y / d = (x - y) / d        2 * x * y + x * y = 3 * (x * y)

and written again where that is less work.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Tensor
from ..dims import same_shape
from ..ops.late import F
from .factors import Monomial, bulk, monomial, number_of, product, spent, work
from .facts import facts, used_once
from .pattern import node_rules
from .scales import fits, is_extreme

MOST_TERMS = 10
"""Longer sums are looked at in parts, so that a sum of any length takes linear time."""

LARGEST = 1e6
"""Of numbers that are added to each other beforehand."""

add, subtract, negative = F.add, F.subtract, F.negative
PRODUCTS = frozenset([F.multiply, F.divide, F.negative, F.reciprocal])
SUMS = frozenset([add, subtract])
Term = tuple[float, Monomial, Tensor]
"""A sign, what the term is made of, and the node it is."""


def collect_terms(node: Tensor) -> Tensor | None:
    """The sum in fewer or smaller operations, or None."""
    if node.aval.dtype.kind not in "fc" or _too_wide(node):
        return None
    parts, cost = _parts(node)
    products = sum([x.op in PRODUCTS for _, x in parts])
    if products == 0 and len({x for _, x in parts}) == len(parts):
        return None
    terms = _opened([(sign, _monomial(x), x) for sign, x in parts])
    spread = _spread(terms, cost, node)
    if spread is not None:
        return spread
    cost += sum([m.work for _, m, _ in terms])
    bases = {x for _, m, _ in terms for x in m.powers}
    merged = _merged(terms)
    if not all([fits(m.coefficient, node.dtype) for _, m, _ in merged]):
        return None
    if len(merged) < len(terms):
        return _if_cheaper(_sum(merged, node), bases, cost * (1 + 2e-9), node)  # as much work in fewer terms
    taken = _factored(merged, node)
    if taken is None:
        return None
    return _if_cheaper(taken, bases, cost * (1 + 2e-9) if _repeats(merged) else cost, node)


def _repeats(terms: list[Term]) -> bool:
    """Whether one computed value is a factor of every term: e + x * e = (1 + x) * e takes as much work, and names e once."""
    first, *rest = [m.powers for _, m, _ in terms]
    return any([n > 0 and bool(x.inputs) and all([p.get(x, 0) > 0 for p in rest]) for x, n in first.items()])


def join_numbers(node: Tensor) -> Tensor | None:
    """2 - (x - 1) = 3 - x, where nobody else needs x - 1. Large numbers stay: x + 2**52 may be meant to round x."""
    if node.aval.dtype.kind not in "fc":
        return None
    for at, inner in enumerate(node.inputs):
        c = number_of(node.inputs[1 - at])
        if c is None or inner.op not in SUMS or not used_once(inner) or inner in facts.current.frozen:
            continue
        for place, x in enumerate(inner.inputs):
            d = number_of(inner.inputs[1 - place])
            if d is None or number_of(x) is not None or not (abs(c) <= LARGEST and abs(d) <= LARGEST):
                continue
            minus = node.op is subtract and at == 1
            x_minus = minus != (inner.op is subtract and place == 1)
            c_sign = -1 if node.op is subtract and at == 0 else 1
            d_sign = -1 if minus != (inner.op is subtract and place == 0) else 1
            total = c_sign * c + d_sign * d
            made = total - x if x_minus else x + total if total else x
            return made if made.dtype == node.dtype and same_shape(made.shape, node.shape) else None
    return None


def _if_cheaper(new: Tensor, bases: set[Tensor], cost: float, node: Tensor) -> Tensor | None:
    if new.dtype == node.dtype and spent(new, bases) < cost * (1 - 1e-9):
        return new if same_shape(new.shape, node.shape) else F.broadcast_to(new, node.shape)
    return None


def _spread(terms: list[Term], cost: float, node: Tensor) -> Tensor | None:
    """A factor without axes multiplied into a sum whose terms meet those outside: w - s * (c * w + g) = (1 - s * c) * w - s * g."""
    found: list[Term] = []
    for sign, m, x in terms:
        inner = [y for y, n in m.powers.items() if n == 1 and y.op in SUMS and y.ndim == node.ndim and used_once(y)]
        if len(inner) != 1 or any([y.ndim for y in m.powers if y is not inner[0]]) or inner[0] in facts.current.frozen:
            found.append((sign, m, x))
            cost += m.work
            continue
        parts, within = _parts(inner[0])
        cost += m.work + within
        outer = {y: n for y, n in m.powers.items() if y is not inner[0]}
        for minus, part in parts:
            p = _monomial(part)
            if is_extreme(m.coefficient, node.dtype) or is_extreme(p.coefficient, node.dtype):
                return None
            powers = dict(p.powers)
            for y, n in outer.items():
                powers[y] = powers.get(y, 0) + n
            cost += p.work
            joined = Monomial(m.coefficient * p.coefficient, {y: n for y, n in powers.items() if n}, p.work)
            found.append((sign * minus, joined, part))
    if len(found) == len(terms) or len(found) > MOST_TERMS:
        return None
    merged = _merged(found)
    if len(merged) == len(found) or not all([fits(m.coefficient, node.dtype) for _, m, _ in merged]):
        return None
    return _if_cheaper(_sum(merged, node), {y for _, m, _ in found for y in m.powers}, cost, node)


def _too_wide(node: Tensor) -> bool:
    """Whether the sum has more than `MOST_TERMS` terms, counted from the counts of its operands."""
    widths, shared = facts.current.widths, facts.current.shared
    width = 0
    for x in node.inputs:
        width += widths.get(x, 1) if x not in shared else 1
    widths[node] = width
    return width > MOST_TERMS


def _parts(root: Tensor) -> tuple[list[tuple[float, Tensor]], float]:
    """The signs and terms of a sum in the order in which they are written, and what adding them costs."""
    found: list[tuple[float, Tensor]] = []
    total = 0.0
    frozen = facts.current.frozen
    stack = [(root, 1.0)]
    while stack:
        node, sign = stack.pop()
        op = node.op
        if (op is add or op is subtract or op is negative) and (node is root or used_once(node)) and node not in frozen:
            total += work(node)
            if op is negative:
                stack.append((node.inputs[0], -sign))
            else:
                first, second = node.inputs[::-1] if node.flipped else node.inputs
                stack += [(second, -sign if op is subtract else sign), (first, sign)]
            continue
        found.append((sign, node))
        if len(found) > 2 * MOST_TERMS:
            break
    return found + [(sign, node) for node, sign in stack], total


def _monomial(node: Tensor) -> Monomial:
    """A term as a monomial; one that is none is its own base."""
    alone = Monomial(powers={node: 1}, met=1)
    if number_of(node) is not None or not used_once(node):
        return alone
    m = monomial(node) if node.op in PRODUCTS else None
    if m is None or not np.isfinite(m.coefficient) or not m.powers:
        return alone
    m.powers = {x: n for x, n in m.powers.items() if n}
    return m


def _opened(terms: list[Term]) -> list[Term]:
    """The terms, with a product that others need too taken apart where it merges with another term: p - 2 / x = -3 / x for p = -1 / x."""
    closed = [
        i for i, (_, m, x) in enumerate(terms) if x in m.powers and x.op in PRODUCTS and x not in facts.current.frozen
    ]
    if not closed:
        return terms
    apart: dict[int, Monomial] = {}
    alike: dict[Any, set[Tensor]] = {}
    for i, (_, m, x) in enumerate(terms):
        if i in closed:
            inner = monomial(x)
            if inner is None or not inner.powers or not np.isfinite(inner.coefficient):
                continue
            powers = {y: n for y, n in inner.powers.items() if n}
            m = apart[i] = Monomial(inner.coefficient, powers, 0.0, inner.numbers, inner.met)
        alike.setdefault(frozenset(m.powers.items()), set()).add(x)
    found = list(terms)
    for i, m in apart.items():
        if len(alike[frozenset(m.powers.items())]) > 1:
            found[i] = (terms[i][0], m, terms[i][2])
    return found


def _merged(terms: list[Term]) -> list[Term]:
    """Terms of the same factors as one; those that cancel are left out."""
    found: dict[Any, Term] = {}
    for sign, m, node in terms:
        key = frozenset(m.powers.items())
        c = sign * m.coefficient
        before = found.get(key)
        if before is not None:
            c = c + before[0] * before[1].coefficient
            m, node = before[1], before[2]
        found[key] = (1.0, Monomial(c, m.powers, m.work, m.numbers, m.met), node)
    return [t for t in found.values() if t[1].coefficient != 0]


def _sum(terms: list[Term], like: Tensor) -> Tensor:
    """The terms added in order, a negative one subtracted."""
    total: Tensor | None = None
    for sign, m, _ in sorted(terms, key=lambda t: _is_negative(t[0] * t[1].coefficient)) if terms else []:
        c = sign * m.coefficient
        minus = total is not None and _is_negative(c)
        term = product(Monomial(-c if minus else c, m.powers), like.dtype)
        total = term if total is None else total - term if minus else total + term
    return F.zeros_like(like) if total is None else total


def _is_negative(c: Any) -> bool:
    return not isinstance(c, complex) and c < 0


def _factored(terms: list[Term], like: Tensor) -> Tensor | None:
    """The sum with the factor that most terms have in common taken out, or None where none have one."""
    users: dict[Any, list[int]] = {}
    for i, (_, m, _) in enumerate(terms):
        if abs(m.coefficient) != 1:
            users.setdefault(abs(m.coefficient), []).append(i)
        for x, n in m.powers.items():
            users.setdefault((x, n > 0), []).append(i)
    shared = [
        (0.0 if not isinstance(key, tuple) else bulk(key[0].shape), at) for key, at in users.items() if len(at) > 1
    ]
    if not shared:
        return None
    best: Tensor | None = None
    least = float("inf")
    known = {x for _, m, _ in terms for x in m.powers}
    for _, at in sorted(shared, key=lambda s: (-len(s[1]), -s[0]))[:4]:
        made = _taken_out(terms, at, like)
        cost = spent(made, known)
        if cost < least:
            best, least = made, cost
    return best


def _taken_out(terms: list[Term], at: list[int], like: Tensor) -> Tensor:
    """The terms `at` as common * (their rests), in the place of the first of them."""
    first = terms[at[0]][1].powers
    common: dict[Tensor, int] = {}
    for x, n in first.items():
        others = [terms[i][1].powers.get(x, 0) for i in at]
        if all((k > 0) == (n > 0) and k != 0 for k in others):
            common[x] = min(others, key=abs)
    c = terms[at[0]][0] * terms[at[0]][1].coefficient
    if any(abs(terms[i][1].coefficient) != abs(c) for i in at):
        c = -1.0 if all(_is_negative(terms[i][0] * terms[i][1].coefficient) for i in at) else 1.0
    rests = []
    for i in at:
        sign, m, node = terms[i]
        powers = {x: n - common.get(x, 0) for x, n in m.powers.items()}
        rests.append((1.0, Monomial(sign * m.coefficient / c, {x: n for x, n in powers.items() if n}), node))
    inner = _sum(rests, like)
    if number_of(inner) is not None:
        group = Monomial(c * number_of(inner), common)
    else:
        group = Monomial(c, {**common, inner: common.get(inner, 0) + 1})
    kept = [t for i, t in enumerate(terms) if i not in at]
    place = sum(i < at[0] for i in range(len(terms)) if i not in at)
    return _sum([*kept[:place], (1.0, group, like), *kept[place:]], like)


TERMS = node_rules(
    "collect terms",
    [add, subtract],
    collect_terms,
    tag="finite-real",
    needs=[add, subtract, negative, F.multiply, F.divide],
    moderate=True,
    examples=[
        lambda x, y: (x + y) - y,
        lambda x, y, z: x * y + x * z,
        lambda x, y, z: x / z - y / z,
        lambda x, y: 2 * (x * y) + x * y,
        lambda x, y: (x - y) + (y - x),
        lambda x, y: 3.0 * x + 3.0 * y,
        lambda x, y, z: x * y * z - y * (x * z) + z,
        lambda x, y, z: -(x * y) - x * z,
        lambda x, y: x - 0.01 * (0.02 * x - 3 * y),
        lambda x, y: x + y + x,
        lambda x, y: F.exp(x) + F.exp(x) * y,
        lambda x, y: F.sin(y) * (x * y) - x * F.sin(y),
        lambda x, y, z: x * y + z + x * y + z,
    ],
) + node_rules(
    "numbers of a sum",
    [add, subtract],
    join_numbers,
    tag="rounding",
    needs=[add, subtract],
    moderate=True,
    examples=[
        lambda x: 2 - (x - 1),
        lambda x: (1 + x) + 2.5,
        lambda x: (1 - x) - 1,
        lambda x: 3 + (0.5 - x),
        lambda x: (x - 3) + 3,
        lambda x: 1 - (2 + x),
    ],
)

__all__ = ["TERMS", "collect_terms"]
