"""Choices: where, masks, branches, comparisons and logic.

    where(~c, a, b) = where(c, b, a)        where(c, x, 0) * where(c, y, 0) = where(c, x * y, 0)        ~(a == b) = a != b

An order comparison is not negated into the opposite one: neither a < b nor a >= b holds of nan.
"""

from __future__ import annotations

import numpy as np

from ..core import Constant, Item, Tensor, constant, substitute_all
from ..dtypes import is_inexact
from ..ops.base import Elementwise
from ..ops.control import Cond
from ..ops.elementwise import Cast, Where
from ..ops.late import F
from ..ops.reduce import Norm, Sum
from .arithmetic import is_number, same_as
from .facts import facts, used_once
from .pattern import RuleSet, node_rules, wildcards

x, y = wildcards("x y")
where, masked_multiply = F.where, F.masked_multiply
ops = Elementwise.registry
NOT = (ops["invert"], ops["logical_not"])
AND, OR, XOR = ((ops[f"bitwise_{n}"], ops[f"logical_{n}"]) for n in ("and", "or", "xor"))
EQUAL, NOT_EQUAL = ops["equal"], ops["not_equal"]

MOST_GUARDED = 8
"""Longer products are not searched for a second guard."""


def _is_bool(node: Tensor) -> bool:
    return bool(node.dtype == np.bool_)


def _negated(node: Tensor) -> Tensor | None:
    """The condition whose negation `node` is."""
    return node.inputs[0] if node.op in NOT and _is_bool(node.inputs[0]) else None


def is_negation(a: Tensor, b: Tensor) -> bool:
    """Whether one of two conditions is the negation of the other."""
    return _negated(a) is b or _negated(b) is a


def _is_zero(node: Tensor) -> bool:
    return is_number(node) and not node.op.number  # type: ignore[attr-defined]


# where ---------------------------------------------------------------------------------------------------------------


def _masked_by_one(node: Tensor) -> Tensor | None:
    """`where(mask, a * 1, 0)` is `where(mask, a, 0)`; a mask applied twice is applied once; one that always holds, never."""
    mask, a, b = node.inputs
    for p, q in ((a, b), (b, a)):
        if is_number(q) and abs(q.op.number) == 1 and p.ndim == node.ndim:  # type: ignore[attr-defined]
            return where(mask, p if q.op.number == 1 else -p, 0)  # type: ignore[attr-defined]
        if isinstance(q.op, Where) and q.inputs[0] is mask and _is_zero(q.inputs[2]):
            return masked_multiply(mask, p, q.inputs[1])
    if isinstance(mask.op, Constant) and mask.op.value.all():
        return same_as(node, a * b)
    return None


def _known_where(node: Tensor) -> Tensor | None:
    condition, a, b = node.inputs
    if a is b or _are_equal_numbers(a, b):
        return same_as(node, a) if a.ndim or not node.ndim else F.full(node.shape, F.cast(a, node.dtype))
    if isinstance(condition.op, Constant) and condition.op.value.size:
        if condition.op.value.all():
            return same_as(node, a)
        if not condition.op.value.any():
            return same_as(node, b)
    return None


def _are_equal_numbers(a: Tensor, b: Tensor) -> bool:
    """Whether two numbers have the same bits: one may be a Python number."""
    return is_number(a) and is_number(b) and a.op.value.tobytes() == b.op.value.tobytes()  # type: ignore[attr-defined]


def _where_of_where(node: Tensor) -> Tensor | None:
    """where(m, where(m, a, b), c) = where(m, a, c), and with ~m the other branch."""
    m, a, b = node.inputs
    for taken, branch in ((True, a), (False, b)):
        if not isinstance(branch.op, Where):
            continue
        inner = branch.inputs[0]
        if inner is m or _negated(inner) is m or _negated(m) is inner:
            part = branch.inputs[1 if (inner is m) == taken else 2]
            if branch.ndim == part.ndim == node.ndim or part.ndim == 0:
                return same_as(node, where(m, part, b) if taken else where(m, a, part))
    return None


def _where_not(node: Tensor) -> Tensor | None:
    """where(~c, a, b) = where(c, b, a)."""
    c = _negated(node.inputs[0])
    return None if c is None else where(c, node.inputs[2], node.inputs[1])


def _where_of_truth(node: Tensor) -> Tensor | None:
    """where(c, True, False) = c."""
    c, a, b = node.inputs
    if _is_bool(node) and is_number(a) and is_number(b) and a is not b:
        return c if a.op.number else ~c  # type: ignore[attr-defined]
    return None


def _product_under_one_mask(node: Tensor) -> Tensor | None:
    """where(c, x, 0) * where(c, y, 0) = where(c, x * y, 0)."""
    p, q = node.inputs
    if not (isinstance(p.op, Where) and isinstance(q.op, Where) and p.inputs[0] is q.inputs[0]):
        return None
    if not (_is_zero(p.inputs[2]) and _is_zero(q.inputs[2]) and used_once(p) and used_once(q)):
        return None
    return where(p.inputs[0], p.inputs[1] * q.inputs[1], 0)


def _sum_under_one_mask(node: Tensor) -> Tensor | None:
    """where(c, x, 0) + where(c, y, 0) = where(c, x + y, 0), and where(c, x, 0) - where(c, 0, y) = where(c, x, -y)."""
    p, q = node.inputs[::-1] if node.flipped else node.inputs
    joined = _joined_choices(node, p, q)
    if joined is not None or p.op not in (F.add, F.subtract) or not used_once(p):
        return joined
    first, second = p.inputs[::-1] if p.flipped else p.inputs  # first + where(c, x, 0) + where(c, 0, y)
    for rest, choice in ((first, second), (second, first)):
        if p.op is F.add and rest.ndim == node.ndim and (joined := _joined_choices(node, choice, q)) is not None:
            return same_as(node, rest + joined)
    return None


def _joined_choices(node: Tensor, p: Tensor, q: Tensor) -> Tensor | None:
    """The sum or difference of two choices by one condition as a choice, where that is less work."""
    if _is_bool(node):
        return None
    first, second = _choice(p), _choice(q)
    if first is None or second is None or first[0] is not second[0]:
        return None
    pairs = list(zip(first[1:], second[1:], strict=True))
    free = [(is_number(x) and is_number(y)) or _is_zero(x) or _is_zero(y) for x, y in pairs]
    if not any(free) or not (all(free) or any([_is_zero(x) and _is_zero(y) for x, y in pairs])):
        return None
    return same_as(node, where(first[0], *[_joined(node, x, y) for x, y in pairs]))


def _choice(x: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """The condition and the branches of a choice that nobody else needs, or of a multiple of one that is 0 on one side."""
    if not used_once(x) or x in facts.current.frozen:
        return None
    if isinstance(x.op, Where):
        c, a, b = x.inputs
        return c, a, b
    if x.op is F.negative:
        inner, number = x.inputs[0], None
    elif (x.op is F.multiply or x.op is F.divide) and is_number(x.inputs[1]):  # where a constant stands in a product
        inner, number = x.inputs
    else:
        return None
    if not isinstance(inner.op, Where) or not used_once(inner) or inner.ndim != x.ndim or not is_inexact(x.dtype):
        return None
    if number is not None and (not np.isfinite(number.op.number) or (x.op is F.divide and not number.op.number)):  # type: ignore[attr-defined]
        return None
    c, a, b = inner.inputs
    if inner.dtype != x.dtype or not (_is_zero(a) or _is_zero(b)) or inner in facts.current.frozen:
        return None
    a, b = [y if _is_zero(y) else -y if number is None else x.op(y, number) for y in (a, b)]
    return c, a, b


def _joined(node: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x + y or x - y, as `node` is, without a zero."""
    if _is_zero(y):
        return x
    if _is_zero(x):
        return y if node.op is F.add else -y
    return x + y if node.op is F.add else x - y


def _negated_branch(node: Tensor) -> Tensor | None:
    """y + where(c, -x, 0) = y - where(c, x, 0) and back, where nobody else needs either."""
    xs = node.inputs[::-1] if node.flipped else node.inputs
    for at, choice in enumerate(xs):
        if not isinstance(choice.op, Where) or not used_once(choice) or (node.op is F.subtract and not at):
            continue
        c, a, b = choice.inputs
        for x, other in ((a, b), (b, a)):
            if x.op is F.negative and used_once(x) and _is_zero(other) and node.dtype.kind in "fc":
                inner = x.inputs[0]
                opposite = where(c, inner, 0) if x is a else where(c, 0, inner)
                return xs[1 - at] - opposite if node.op is F.add else xs[0] + opposite
    return None


# Logic ---------------------------------------------------------------------------------------------------------------


def _not(node: Tensor) -> Tensor | None:
    """~~x = x, ~(a == b) = (a != b) and back; of whole numbers also ~(a < b) = (a >= b)."""
    inner = node.inputs[0]
    if not _is_bool(inner):
        return inner.inputs[0] if node.op is ops["invert"] and inner.op is ops["invert"] else None
    if inner.op in NOT and _is_bool(inner.inputs[0]):
        return inner.inputs[0]
    opposite = OPPOSITE.get(inner.op)  # type: ignore[call-overload]
    if opposite is None or not used_once(inner):
        return None
    if inner.op in (EQUAL, NOT_EQUAL) or inner.inputs[0].dtype.kind in "biu":
        return opposite(*inner.inputs)
    return None


OPPOSITE = {
    EQUAL: NOT_EQUAL, NOT_EQUAL: EQUAL, ops["less"]: ops["greater_equal"], ops["greater_equal"]: ops["less"],
    ops["greater"]: ops["less_equal"], ops["less_equal"]: ops["greater"],
}  # fmt: skip


def _logic(node: Tensor) -> Tensor | None:
    """The identities of and, or and xor: with themselves, with True and False, with the negation, and absorption."""
    if not _is_bool(node) or not all(map(_is_bool, node.inputs)):
        return None
    for p, q in (node.inputs, node.inputs[::-1]):
        if node.op in XOR:
            if p is q:
                return F.zeros_like(node)
            if is_number(q):
                return same_as(node, ~p if q.op.number else p)  # type: ignore[attr-defined]
            continue
        conjunction = node.op in AND
        if p is q:
            return p
        if is_number(q):
            return same_as(node, p) if bool(q.op.number) == conjunction else F.full_like(node, not conjunction)  # type: ignore[attr-defined]
        if _negated(q) is p:
            return F.full_like(node, not conjunction)
        if q.op in (OR if conjunction else AND) and any([p is r for r in q.inputs]):
            return same_as(node, p)
        if q.op in (AND if conjunction else OR) and any([p is r for r in q.inputs]):
            return same_as(node, q)
    return None


def _compared_with_itself(node: Tensor) -> Tensor | None:
    """x < x never holds; x == x does, except of nan."""
    x = node.inputs[0]
    if x is not node.inputs[1]:
        return None
    if node.op in (ops["less"], ops["greater"]):
        return F.full_like(node, False)
    if x.dtype.kind in "biu":
        return F.full_like(node, node.op is not NOT_EQUAL)
    return None


def _truth_of_cast(node: Tensor) -> Tensor | None:
    """(b as a number) != 0 is b, and == 0 is ~b."""
    for p, q in (node.inputs, node.inputs[::-1]):
        if isinstance(p.op, Cast) and _is_bool(p.inputs[0]) and _is_zero(q):
            return same_as(node, p.inputs[0] if node.op is NOT_EQUAL else ~p.inputs[0])
    return None


# Branches ------------------------------------------------------------------------------------------------------------


def _known_branch(node: Tensor) -> Tensor | None:
    """A branch that is taken for certain, or both when they are the same, takes the place of the choice."""
    chosen, index = (node.inputs[0], node.op.index) if isinstance(node.op, Item) else (node, 0)
    op = chosen.op
    if not isinstance(op, Cond) or isinstance(node.aval, tuple):
        return None
    predicate, *operands = chosen.inputs
    if is_number(predicate):
        body = op.true if predicate.op.number else op.false  # type: ignore[attr-defined]
    elif op.true.outputs[index] is op.false.outputs[index]:
        body = op.true
    else:
        return None
    return substitute_all([body.outputs[index]], dict(zip(body.inputs, operands, strict=True)))[0]


# Guards --------------------------------------------------------------------------------------------------------------


def _guarded(node: Tensor) -> Tensor | None:
    """The n of `where(n == 0, inf, n)`, by which a norm is divided: no quotient is infinite."""
    if not isinstance(node.op, Where):
        return None
    condition, infinite, n = node.inputs
    if not is_number(infinite) or infinite.op.number != np.inf or condition.op is not EQUAL:  # type: ignore[attr-defined]
        return None
    p, q = condition.inputs
    return n if (p is n and _is_zero(q)) or (q is n and _is_zero(p)) else None


def _guarded_twice(node: Tensor) -> Tensor | None:
    """where(n == 0, inf, n) * n = n * n: nan at 0 either way under a quotient; and so with sum(x * x) for n = norm(x)."""
    factors = [*(node.inputs[::-1] if node.flipped else node.inputs)]
    at = 0
    while at < len(factors) and len(factors) <= MOST_GUARDED:
        x = factors[at]
        if x.op is F.multiply and used_once(x):
            factors[at : at + 1] = x.inputs[::-1] if x.flipped else x.inputs
        else:
            at += 1
    for i, g in enumerate(factors):
        n = _guarded(g)
        if n is not None and any([_is_zero_with(x, n) for j, x in enumerate(factors) if j != i]):
            factors[i] = n
            made = factors[0]
            for x in factors[1:]:
                made = made * x
            return made
    return None


def _is_zero_with(x: Tensor, n: Tensor) -> bool:
    """Whether `x` is 0 where n is: n itself, or the sum of the squares whose root n is."""
    if x is n:
        return True
    if not isinstance(n.op, Norm) or not isinstance(x.op, Sum) or x.op.axis != n.op.axis:
        return False
    square = x.inputs[0]
    return square.op is F.multiply and square.inputs[0] is n.inputs[0] and square.inputs[1] is n.inputs[0]


CHOICES = RuleSet(
    *node_rules("where of a known condition", [Where], _known_where,
        examples=[lambda x: where(True, x, 1), lambda x: where(False, 1, x), lambda x, y: where(x > 0, y, y)]),
    *node_rules("where in where", [Where], _where_of_where, needs=[Where],
        examples=[lambda x, y, z: where(x > 0, where(x > 0, y, z), x), lambda x, y, z: where(x > 0, x, where(x > 0, y, z)),
                  lambda x, y, z: where(x > 0, where(~(x > 0), y, z), x)]),
    *node_rules("where of a negation", [Where], _where_not, needs=NOT, examples=[lambda x, y: where(~(x > 0), x, y)]),
    *node_rules("where of True and False", [Where], _where_of_truth, needs=[Constant],
        examples=[lambda x: where(x > 0, True, False), lambda x: where(x > 0, False, True)]),
    *node_rules("masked product with one", [masked_multiply], _masked_by_one, needs=[Constant, Where],
        examples=[lambda x, y: masked_multiply(x > 0, y, 1), lambda x, y: masked_multiply(True, x, y),
                  lambda x, y: masked_multiply(x > 0, y, where(x > 0, x, 0))]),
    *node_rules("product under one mask", [F.multiply], _product_under_one_mask, needs=[Where], tag="finite-real",
        examples=[lambda x, y: where(x > 0, x, 0) * where(x > 0, y, 0)]),
    *node_rules("sum under one mask", [F.add, F.subtract], _sum_under_one_mask, needs=[Where], tag="rounding",
        examples=[lambda x, y: where(x > 0, x, 0) + where(x > 0, y, 0), lambda x, y: where(x > 0, x, 0) - where(x > 0, 0, y),
                  lambda x, y: where(x > 0, 0, x) - where(x > 0, 0, y), lambda x: where(x > 0, 1.0, 2.0) - where(x > 0, 3.0, 0.5),
                  lambda x, y: where(x > 0, x, 0) * 0.5 + where(x > 0, y, 0), lambda x, y: where(x > 0, x, 0) / 4.0 - where(x > 0, 0, y),
                  lambda x, y: y + where(x > 0, x, 0) + where(x > 0, 0, y)]),
    *node_rules("sign of a branch", [F.add, F.subtract], _negated_branch, needs=[Where], tag="rounding",
        examples=[lambda x, y: x + where(x > 0, -y, 0.0), lambda x, y: x - where(x > 0, 0.0, -y)]),
    *node_rules("not", NOT, _not,
        examples=[lambda x: ~~(x > 0), lambda x, y: ~(x == y), lambda x, y: ~(x != y), lambda x: ~(~x)]),
    *node_rules("logic", [*AND, *OR, *XOR], _logic,
        examples=[lambda x: (x > 0) & (x > 0), lambda x: (x > 0) & True, lambda x: (x > 0) | True, lambda x: (x > 0) ^ (x > 0),
                  lambda x: (x > 0) & ~(x > 0), lambda x, y: (x > 0) & ((x > 0) | (y > 0)), lambda x, y: (x > 0) & ((x > 0) & (y > 0)),
                  lambda x: (x > 0) ^ True]),
    *node_rules("compared with itself", list(OPPOSITE), _compared_with_itself, needs=["twin"],
        examples=[lambda x: x < x, lambda x: x > x, lambda x: x == x]),
    *node_rules("truth of a cast", [EQUAL, NOT_EQUAL], _truth_of_cast, needs=[Cast],
        examples=[lambda x: (x > 0).astype("float64") != 0, lambda x: (x > 0).astype("int64") == 0]),
    *node_rules("guarded twice", [F.multiply], _guarded_twice, needs=[Where, F.multiply], tag="finite-real", moderate=True,
        examples=[lambda x: where(x == 0, np.inf, x) * x, lambda x, y: y * x * where(x == 0, np.inf, x),
                  lambda x: F.sum(x * x) * where(F.norm(x) == 0, np.inf, F.norm(x)) if x.dtype.kind == "f" else None]),
    *node_rules("known branch", [Cond, Item], _known_branch,
        examples=[lambda x: F.cond(constant(True), lambda u: u + 1, lambda u: u - 1, x),
                  lambda x: F.cond(F.any(x > 0), lambda u: u * 2, lambda u: u * 2, x)]),
)  # fmt: skip

__all__ = ["CHOICES", "EQUAL", "is_negation"]
