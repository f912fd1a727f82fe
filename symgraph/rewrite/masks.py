"""Masks: what a choice says about the values within it, and the guards of quotients that are not needed.

    where(m, f(where(m, a, b)), c) = where(m, f(a), c)        where(m, 1, 0) * y = where(m, y, 0)
    where(u == 0, 0, u * x / where(u == 0, 1, u)) = x where u != 0        where(x == 0, 0, 1) + log(x) = 1 + log(x)

Derivatives of branches come with the mask of the branch on every factor, so that nothing infinite leaks from the branch that
was not taken. Within the mask a masked value is the value itself. Sums, products and signs are looked through, since they
are computed everywhere without harm. A quotient keeps its guard, unless what is guarded cancels and nothing is divided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core import Tensor
from ..dims import same_shape
from ..ops.base import Elementwise
from ..ops.elementwise import Cast, MaskedMultiply, Where
from ..ops.late import F
from .arithmetic import same_as
from .choices import EQUAL, is_negation
from .factors import Monomial, number_of, product, spent, work
from .facts import facts, used_once
from .pattern import RuleSet, node_rules
from .scales import fits, is_extreme

MOST_STEPS = 16
"""Values with more parts are not looked through, so that a chain of any length takes linear time."""

where, masked_multiply, multiply, divide, negative = F.where, F.masked_multiply, F.multiply, F.divide, F.negative
ops = Elementwise.registry
THROUGH = frozenset([F.add, F.subtract, multiply, negative])
ARITHMETIC = frozenset([*THROUGH, divide])
LOGARITHMS = frozenset([F.log, ops["log2"], ops["log10"]])


# The value of a branch -----------------------------------------------------------------------------------------------


def _chosen(node: Tensor, mask: Tensor, holds: bool) -> Tensor | None:
    """The branch of a `where`, or the product of a masked product, that is taken where `mask` holds (or does not)."""
    op = node.op
    if not isinstance(op, Where | MaskedMultiply) or node in facts.current.frozen:
        return None
    own = node.inputs[0]
    if own is not mask:
        if not is_negation(own, mask):
            return None
        holds = not holds
    if isinstance(op, Where):
        return node.inputs[1 if holds else 2]
    return node.inputs[1] * node.inputs[2] if holds else F.zeros_like(node)


def _within(root: Tensor, mask: Tensor, holds: bool) -> Tensor:
    """`root` with the values that the mask decides in place of the choices; `root` itself where it decides none."""
    found: dict[Tensor, Tensor] = {}
    stack, steps = [root], 0
    while stack:
        node = stack[-1]
        if node in found:
            stack.pop()
            continue
        chosen = _chosen(node, mask, holds)
        if chosen is not None:
            if chosen in found or not chosen.inputs or steps > MOST_STEPS:
                found[node] = found.get(chosen, chosen)
            else:
                stack.append(chosen)
            steps += 1
            continue
        through = node.op in THROUGH and (node is root or used_once(node)) and node not in facts.current.frozen
        pending = [x for x in node.inputs if x not in found] if through else []
        if pending and steps <= MOST_STEPS:
            stack += pending
            steps += 1
            continue
        xs = [found.get(x, x) for x in node.inputs] if through else list(node.inputs)
        changed = any([x is not y for x, y in zip(xs, node.inputs, strict=True)])
        found[node] = node.op(*(xs[::-1] if node.flipped else xs)) if changed else node  # type: ignore[operator]
        stack.pop()
    return found[root]


def _where_within(node: Tensor) -> Tensor | None:
    """where(m, f(where(m, a, b)), g(where(m, c, d))) = where(m, f(a), g(d)) for sums, products and signs f and g."""
    mask, a, b = node.inputs
    for part, other, holds in ((a, b, True), (b, a, False)):
        if isinstance(part.op, MaskedMultiply) and _is_zero(other):
            own = part.inputs[0]
            if (own is mask) if holds else is_negation(own, mask):
                return same_as(node, part)  # it is 0 there by itself
    p, q = _within(a, mask, True), _within(b, mask, False)
    return None if p is a and q is b else where(mask, p, q)


def _product_within(node: Tensor) -> Tensor | None:
    """masked_multiply(m, a, b) = where(m, a * b, 0), whose derivative has masks of its own."""
    mask, a, b = node.inputs
    return where(mask, _within(a, mask, True) * _within(b, mask, True), 0)


# Choices between numbers ---------------------------------------------------------------------------------------------


def _choice_of_numbers(node: Tensor) -> Tensor | None:
    """where(m, 2, 0) * y = where(m, 2 * y, 0), and a factor of a choice between two numbers is multiplied into both."""
    for at, choice in enumerate(node.inputs):
        if not isinstance(choice.op, Where) or choice in facts.current.frozen or (at and node.op is divide):
            continue
        mask, a, b = choice.inputs
        if node.op is negative:
            return where(mask, -a, -b) if _are_numbers(a, b) and used_once(choice) else None
        y = node.inputs[1 - at]
        if _is_finite_number(y) and _are_numbers(a, b) and not (node.op is divide and not number_of(y)):
            if not (_merge(node, a, y) and _merge(node, b, y)):
                continue
            return where(mask, a / y, b / y) if node.op is divide else where(mask, a * y, b * y)
        if node.op is divide or node.ndim != choice.ndim:
            continue
        for p, q, holds in ((a, b, True), (b, a, False)):
            if not _is_zero(q):
                continue
            inner = _chosen(y, mask, holds)
            if inner is None and _is_finite_number(p):
                inner = y
            if inner is not None and _are_numbers(p, inner) and not _merge(node, p, inner):
                continue
            if inner is not None and (inner is y or _are_numbers(p, inner) or (used_once(choice) and used_once(y))):
                made = p * inner
                return where(mask, made, 0) if holds else where(mask, 0, made)
    return None


def _merge(node: Tensor, x: Tensor, y: Tensor) -> bool:
    """Whether the product (or quotient) of two finite numbers is one that they may be merged into."""
    p, q = number_of(x), number_of(y)
    return not p or not q or fits(p / q if node.op is divide else p * q, node.dtype)


def _cast_of_choice(node: Tensor) -> Tensor | None:
    """A choice between two numbers is made in the dtype in which it is used."""
    mask, a, b = node.inputs[0].inputs
    if number_of(a) is None or number_of(b) is None or node.inputs[0] in facts.current.frozen:
        return None
    return where(mask, F.cast(a, node.dtype), F.cast(b, node.dtype))


def _are_numbers(*xs: Tensor) -> bool:
    return all([_is_finite_number(x) for x in xs])


def _is_finite_number(x: Tensor) -> bool:
    n = number_of(x)
    return n is not None and x.dtype.kind in "fc" and bool(np.isfinite(n))


def _is_zero(x: Tensor) -> bool:
    return number_of(x) == 0


# Guards --------------------------------------------------------------------------------------------------------------


@dataclass
class _Factors:
    """A product as c * x**n * ..., of which some factors stood within a guard."""

    coefficient: Any = 1.0
    powers: dict[Tensor, int] = field(default_factory=dict)
    guarded: set[Tensor] = field(default_factory=set)


def _factors(roots: list[Tensor], mask: Tensor | None = None, holds: bool = True) -> _Factors | None:
    """The factors of a product, shared or not, where a mask holds; None where there are too many, or one is 0 or far from 1."""
    found = _Factors()
    dtype = roots[0].dtype
    stack = [(x, 1, False) for x in roots]
    for _ in range(MOST_STEPS):
        if not stack:
            return found if fits(found.coefficient, dtype) else None
        node, power, guarded = stack.pop()
        number = number_of(node)
        if number is not None:
            if number == 0 or not np.isfinite(number) or is_extreme(number, dtype):
                return None
            found.coefficient = found.coefficient * number if power > 0 else found.coefficient / number
            continue
        chosen = _chosen(node, mask, holds) if mask is not None and isinstance(node.op, Where) else None
        if node in facts.current.frozen:
            pass
        elif chosen is not None:
            stack.append((chosen, power, True))
            continue
        elif node.op is multiply or node.op is divide:
            x, y = node.inputs
            stack += [(x, power, guarded), (y, power if node.op is multiply else -power, guarded)]
            continue
        elif node.op is negative:
            found.coefficient = -found.coefficient
            stack.append((node.inputs[0], power, guarded))
            continue
        found.powers[node] = found.powers.get(node, 0) + power
        if guarded:
            found.guarded.add(node)
    return None


def _without_guard(roots: list[Tensor], mask: Tensor, holds: bool, like: Tensor) -> Tensor | None:
    """The product of `roots` where a mask holds, if what was guarded there cancels: nothing is divided that might be 0."""
    if not any([_has_quotient(x) for x in roots]):
        return None
    m = _factors(roots, mask, holds)
    if m is None or not m.guarded or any([m.powers[x] < 0 for x in m.guarded]):
        return None
    made = product(Monomial(m.coefficient, {x: n for x, n in m.powers.items() if n}), like.dtype)
    return made if made.dtype == like.dtype else None


def _has_quotient(root: Tensor) -> bool:
    """Whether a quotient by a choice is among the factors."""
    stack = [root]
    for _ in range(MOST_STEPS):
        if not stack:
            break
        node = stack.pop()
        if node.op is divide and any([isinstance(x.op, Where) for x in _numerator(node.inputs[1])]):
            return True
        if node.op in ARITHMETIC:
            stack += node.inputs
    return False


def _numerator(x: Tensor) -> tuple[Tensor, ...]:
    return x.inputs if x.op is multiply else (x,)


def _quotient_unguarded(node: Tensor) -> Tensor | None:
    """where(u == 0, 0, u * x / where(u == 0, 1, u)) = where(u == 0, 0, x), and so within a masked product."""
    if node.dtype.kind != "f":
        return None
    mask = node.inputs[0]
    if isinstance(node.op, MaskedMultiply):
        made = _without_guard(list(node.inputs[1:]), mask, True, node)
        return None if made is None else where(mask, made, 0)
    for at, holds in ((1, True), (2, False)):
        made = _without_guard([node.inputs[at]], mask, holds, node)
        if made is not None:
            return where(mask, made, node.inputs[2]) if holds else where(mask, node.inputs[1], made)
    return None


def _choice_cancels(node: Tensor) -> Tensor | None:
    """where(m, 0, c * x) / x = where(m, 0, c), and where(m, 0, x) * (y / x) = where(m, 0, y)."""
    for at, choice in enumerate(node.inputs):
        if not isinstance(choice.op, Where) or choice in facts.current.frozen or node.dtype.kind != "f":
            continue
        mask, a, b = choice.inputs
        other = _factors([node.inputs[1 - at]])
        if other is None or (at and node.op is divide):
            continue
        sign = -1 if node.op is divide else 1
        for p, q, holds in ((a, b, True), (b, a, False)):
            own = _factors([p]) if _is_zero(q) else None
            if own is None or not any([own.powers.get(x, 0) * n * sign < 0 for x, n in other.powers.items()]):
                continue
            powers = {x: own.powers.get(x, 0) + sign * other.powers.get(x, 0) for x in {**own.powers, **other.powers}}
            c = own.coefficient * other.coefficient if sign > 0 else own.coefficient / other.coefficient
            made = product(Monomial(c, {x: n for x, n in powers.items() if n}), node.dtype)
            most = work(node) + sum([spent(z, powers) for z in (p, node.inputs[1 - at]) if used_once(z)])
            if fits(c, node.dtype) and spent(made, powers) <= most:
                return where(mask, made, 0) if holds else where(mask, 0, made)
    return None


# Zeros ---------------------------------------------------------------------------------------------------------------


def _zero_of(mask: Tensor) -> Tensor | None:
    """The u of `u == 0`."""
    if mask.op is EQUAL and mask not in facts.current.frozen:
        for u, zero in (mask.inputs, mask.inputs[::-1]):
            if _is_zero(zero) and number_of(u) is None and u.dtype.kind == "f":
                return u
    return None


def _vanishes_with(v: Tensor, u: Tensor) -> bool:
    """Whether u and v are products of positive powers of the same factors: v is 0 wherever u is."""
    p, q = _factors([v]), _factors([u])
    if p is None or q is None or not q.powers or p.powers.keys() != q.powers.keys():
        return False
    return all([n > 0 for n in (*p.powers.values(), *q.powers.values())])


def _zero_where_zero(node: Tensor) -> Tensor | None:
    """where(u == 0, 0, v) = v for a v that is 0 wherever u is."""
    mask, a, b = node.inputs
    u = _zero_of(mask)
    if u is None or not _is_zero(a) or node.dtype.kind != "f" or number_of(b) is not None:
        return None
    return same_as(node, b) if _vanishes_with(b, u) else None


def _beside_a_logarithm(node: Tensor) -> Tensor | None:
    """where(u == 0, 0, c) + log(u) = c + log(u): minus infinity either way where u is 0."""
    if node.dtype.kind != "f":
        return None
    for at, choice in enumerate(node.inputs):
        if not isinstance(choice.op, Where) or not _are_numbers(*choice.inputs[1:]):
            continue
        u = _zero_of(choice.inputs[0])
        rest = node.inputs[1 - at]
        if u is None or not _has_logarithm(rest, u) or not same_shape(rest.shape, node.shape):
            continue
        c = choice.inputs[2]
        return node.op(*((c, rest) if at == 0 else (rest, c)))  # type: ignore[operator]
    return None


def _has_logarithm(root: Tensor, u: Tensor) -> bool:
    """Whether one of the terms of a sum is a multiple of log(w), for a w that is 0 wherever u is."""
    stack = [root]
    for _ in range(MOST_STEPS):
        if not stack:
            break
        node = stack.pop()
        if node.op in LOGARITHMS:
            w = node.inputs[0]
            if w is u or _has_factors_of(w, u):
                return True
        elif node.op is not divide and (node.op is not multiply or any([number_of(x) for x in node.inputs])):
            stack += node.inputs if node.op in ARITHMETIC else ()
    return False


def _has_factors_of(w: Tensor, u: Tensor) -> bool:
    p, q = _factors([w]), _factors([u])
    if p is None or q is None or not q.powers:
        return False
    return all([n > 0 and p.powers.get(x, 0) > 0 for x, n in q.powers.items()])


def _zero_of_a_product(node: Tensor) -> Tensor | None:
    """c * u == 0 where u == 0, and u * u == 0 too, for a number c that makes nothing smaller."""
    for u, zero in (node.inputs, node.inputs[::-1]):
        if not _is_zero(zero) or u.dtype.kind != "f" or u in facts.current.frozen:
            continue
        if u.op is negative:
            return node.op(u.inputs[0], 0)  # type: ignore[operator]
        if u.op is not multiply:
            continue
        for c, x in (u.inputs, u.inputs[::-1]):
            if c is x or (_is_finite_number(c) and abs(number_of(c)) >= 1 and same_shape(x.shape, u.shape)):
                return node.op(x, 0)  # type: ignore[operator]
    return None


MASKS = RuleSet(
    *node_rules("value within a mask", [Where], _where_within,
        needs=[Where, masked_multiply, *THROUGH], tag="finite-real", moderate=True,
        examples=[lambda x, y: where(x > 0, 2 * where(x > 0, y, x) + y, y), lambda x, y: where(x > 0, y, -where(x > 0, x, x * y)),
                  lambda x, y: where(x > 0, masked_multiply(x > 0, x, y), 0), lambda x, y: where(x > 0, masked_multiply(x > 0, x, y), 3),
                  lambda x, y: where(x > 0, 0, masked_multiply(~(x > 0), x, y)),
                  lambda x, y: where(x > 0, x * masked_multiply(~(x > 0), x, y), y)]),
    *node_rules("factor within a mask", [masked_multiply], _product_within, tag="finite-real", moderate=True,
        examples=[lambda x, y: masked_multiply(x > 0, -where(x > 0, y, 0), x), lambda x, y: masked_multiply(x > 0, 2 * y, 0.5),
                  lambda x, y: masked_multiply(~(x > 0), where(x > 0, 0, 1), y),
                  lambda x, y: masked_multiply(x > 0, masked_multiply(x > 0, x, y), y)]),
    *node_rules("choice between numbers", [multiply, divide, negative], _choice_of_numbers, needs=[Where], tag="finite-real",
        examples=[lambda x, y: where(x > 0, 1.0, 0.0) * y, lambda x: where(x > 0, 1.0, 0.25) / 4.0, lambda x: 3.0 * where(x > 0, 0.0, 0.5),
                  lambda x: -where(x > 0, 1.0, 0.25), lambda x, y: where(x > 0, y, 0.0) * where(x > 0, x, 2.0),
                  lambda x, y: y * where(x > 0, 0.0, 2.0)]),
    *node_rules("cast of a choice", [Cast], _cast_of_choice, needs=[Where],
        examples=[lambda x: where(x > 0, 1, 0).astype("float64"), lambda x: where(x > 0, 1.5, 2.0).astype("float32")]),
    *node_rules("quotient without its guard", [Where, masked_multiply], _quotient_unguarded, needs=[divide, multiply, negative],
        tag="finite-real", moderate=True,
        examples=[lambda x: where(x == 0, 0, x / where(x == 0, 1, x)), lambda x: where(x == 0, 0, x * x / where(x == 0, 1, x)),
                  lambda x, y: masked_multiply(~(x == 0), 1 / where(x == 0, 1, x), x * y)]),
    *node_rules("choice that cancels", [multiply, divide], _choice_cancels, needs=[Where], tag="finite-real", moderate=True,
        examples=[lambda x, y: where(x == 0, 0, y) / y, lambda x, y: where(x == 0, x * y, 0) / y,
                  lambda x, y: where(x == 0, 0, y) * (x / y), lambda x, y: x / y / y * where(x == 0, 0, y)]),
    *node_rules("zero where another is", [Where], _zero_where_zero, tag="rounding", moderate=True,
        examples=[lambda x, y: where(x == 0, 0, x), lambda x, y: where(x * x * y == 0, 0, 3.0 * (x * y))]),
    *node_rules("beside a logarithm", [F.add, F.subtract], _beside_a_logarithm, needs=[Where], tag="rounding", moderate=True,
        examples=[lambda x, y: where(x == 0, 0.0, 2.0) + F.log(x), lambda x, y: F.log(x / y) - where(x == 0, 0.0, 2.0)]),
    *node_rules("zero of a product", [EQUAL, ops["not_equal"]], _zero_of_a_product, needs=[multiply, negative], tag="exact", moderate=True,
        examples=[lambda x: 2.0 * x == 0, lambda x: x * x == 0, lambda x: -x != 0]),
)  # fmt: skip

__all__ = ["MASKS"]
