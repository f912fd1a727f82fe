"""Arithmetic: powers made cheap, signs moved outwards, exponentials joined, and what is nothing at all taken away."""

from __future__ import annotations

import numpy as np

from ..core import Constant, Tensor
from ..dims import same_shape
from ..dtypes import is_complex, is_inexact
from ..ops.base import Elementwise
from ..ops.late import F
from ..ops.reduce import Sum
from .facts import used_once
from .pattern import RuleSet, node_rules, numbers, rule, some, wildcards
from .signs import is_nonnegative, is_positive

x, y, z = wildcards("x y z")
c, d = numbers("c d")
exp, log, sqrt, sign, sigmoid = F.exp, F.log, F.sqrt, F.sign, F.sigmoid
magnitude = Elementwise.registry["absolute"]

MOST_PRODUCTS = 8
"""Whole powers up to this one become products."""


def same_as(node: Tensor, x: Tensor) -> Tensor | None:
    """`x`, when nothing was broadcast."""
    return x if node.ndim == x.ndim and same_shape(x.shape, node.shape) else None


def is_number(node: Tensor) -> bool:
    """Whether `node` is a constant without axes."""
    return isinstance(node.op, Constant) and node.op.value.ndim == 0


# Powers --------------------------------------------------------------------------------------------------------------


def power_by_squaring(x: Tensor, n: int) -> Tensor:
    """x**n for n >= 1 in at most 2 log2(n) products."""
    if n == 1:
        return x
    half = power_by_squaring(x, n // 2)
    return half * half * x if n % 2 else half * half


def _power_of_number(x: Tensor, c: Tensor) -> Tensor | None:
    """x**c as products and roots: whole powers, and halves of what is never negative (where -0.0 and -inf agree)."""
    n = c.op.number  # type: ignore[attr-defined]
    if not is_inexact(x.dtype):
        return x if n == 1 and c.dtype == x.dtype and x.dtype != np.bool_ else None
    if isinstance(n, complex) or not np.isfinite(n):
        return None
    if n == 0:
        return F.ones_like(x)
    if n == round(n) and abs(n) <= MOST_PRODUCTS:
        if is_complex(x.dtype) and abs(n) > 2:
            return None
        made = power_by_squaring(x, abs(int(n)))
        return made if n > 0 else 1 / made
    if is_complex(x.dtype) or 2 * n != round(2 * n) or abs(n) > 3:
        return None
    if n > 0 and is_nonnegative(x):
        return sqrt(x) if n == 0.5 else power_by_squaring(x, int(n)) * sqrt(x)
    if n == -0.5 and is_positive(x):
        return 1 / sqrt(x)
    return None


# Signs ---------------------------------------------------------------------------------------------------------------


def _minus_sum(x: Tensor, s: Tensor) -> Tensor | None:
    """sum(-x) = -sum(x); narrow ints are added in 64 bits, where their negatives may have wrapped around."""
    return -F.sum(x, axis=s.op.axis, keepdims=s.op.keepdims) if is_inexact(x.dtype) else None  # type: ignore[attr-defined]


def _negated_factor(node: Tensor) -> Tensor | None:
    """x * (-y) = -(x * y), with the factors in the order in which they were written; a number keeps its sign before an array."""
    x, y = node.inputs[::-1] if node.flipped else node.inputs
    if x.op is F.negative and x.ndim >= min(y.ndim, 1):
        return -(x.inputs[0] * y)
    return -(x * y.inputs[0]) if y.op is F.negative and y.ndim >= min(x.ndim, 1) else None


def _negated_factor_in_sum(node: Tensor) -> Tensor | None:
    """x + (-s) * y = x - s * y and x - (-s) * y = x + s * y, where nobody else needs the product."""
    p, q = node.inputs[::-1] if node.flipped else node.inputs
    for x, product in ((p, q), (q, p)) if node.op is F.add else ((p, q),):
        if product.op is not F.multiply or not used_once(product) or not is_inexact(node.dtype):
            continue
        for s, y in (product.inputs, product.inputs[::-1]):
            if s.op is F.negative and not s.ndim and y.ndim:
                rest = s.inputs[0] * y
                return x - rest if node.op is F.add else x + rest
    return None


def _negated_number(c: Tensor, x: Tensor) -> Tensor | None:
    """-(c * x) = (-c) * x, where nobody else needs c * x."""
    return (-c) * x if is_inexact(x.dtype) else None


def _negated_quotient(c: Tensor, x: Tensor, node: Tensor) -> Tensor | None:
    """-(c / x) = (-c) / x, where x is a number or nobody else needs c / x."""
    return (-c) / x if is_inexact(c.dtype) and (not x.ndim or used_once(node.inputs[0])) else None


def _plus_negative(node: Tensor, x: Tensor, c: Tensor, y: Tensor) -> Tensor | None:
    """x + (-3) * y = x - 3 * y, unless x begins with a sign too."""
    return (
        x - _without_sign(c, y)
        if _is_negative(c) and not _begins_with_sign(x) and _unshared_product(node, c, y)
        else None
    )


def _plus_negative_quotient(node: Tensor, x: Tensor, c: Tensor, y: Tensor) -> Tensor | None:
    """x + (-3) / y = x - 3 / y, unless x begins with a sign too."""
    negative = _is_negative(c) and not _begins_with_sign(x) and _unshared_product(node, c, y)
    return x - (-c) / y if negative else None


def _minus_negative(node: Tensor, x: Tensor, c: Tensor, y: Tensor) -> Tensor | None:
    """x - (-3) * y = x + 3 * y."""
    return x + _without_sign(c, y) if _is_negative(c) and _unshared_product(node, c, y) else None


def _without_sign(c: Tensor, y: Tensor) -> Tensor:
    return y if c.op.number == -1 else (-c) * y  # type: ignore[attr-defined]


def _is_negative(c: Tensor) -> bool:
    return c.dtype.kind == "f" and c.op.number < 0  # type: ignore[attr-defined]


def _begins_with_sign(x: Tensor) -> bool:
    return x.op is F.negative or (x.op is F.multiply and any([is_number(f) and _is_negative(f) for f in x.inputs]))


def _unshared_product(node: Tensor, c: Tensor, y: Tensor) -> bool:
    """Whether the product c * y among the operands has no other user."""
    return all(
        [used_once(p) for p in node.inputs if any([f is c for f in p.inputs]) and any([f is y for f in p.inputs])]
    )


def _minus_both(node: Tensor) -> Tensor | None:
    """-x - y = -(x + y), where nobody else needs -x; the zeros differ in sign."""
    minus, y = node.inputs
    if minus.op is not F.negative or not used_once(minus) or not is_inexact(node.dtype):
        return None
    return -(minus.inputs[0] + y)


def _negated_difference(node: Tensor) -> Tensor | None:
    """-(x - y) = y - x, where nobody else needs x - y; the zeros of equal operands differ in sign."""
    inner = node.inputs[0]
    if inner.op is not F.subtract or not used_once(inner) or not is_inexact(node.dtype):
        return None
    x, y = inner.inputs
    return y - x


def _nonnegative_magnitude(x: Tensor) -> Tensor | None:
    """|x| = x where x is never negative."""
    return x if is_nonnegative(x) else None


# Exponentials --------------------------------------------------------------------------------------------------------


def _joined_exponentials(node: Tensor) -> Tensor | None:
    """exp(a) * exp(b) = exp(a + b), where nobody else needs either."""
    a, b = node.inputs
    if a.op is not exp or b.op is not exp or a is b or not (used_once(a) and used_once(b)):
        return None
    return exp(a.inputs[0] + b.inputs[0])  # type: ignore[operator]


def _divided_by_exponential(node: Tensor) -> Tensor | None:
    """x / exp(y) = x * exp(-y), where nobody else needs exp(y)."""
    x, e = node.inputs
    if e.op is not exp or not used_once(e) or is_complex(node.dtype):
        return None
    inverse = exp(-e.inputs[0])  # type: ignore[operator]
    return same_as(node, inverse) if is_number(x) and x.op.number == 1 else x * inverse  # type: ignore[attr-defined]


def _complement(node: Tensor) -> Tensor | None:
    """y * sigmoid(-x) - (1 - y) * sigmoid(x) = y - sigmoid(x): the gradient of the logistic loss, as everyone writes it."""
    first, second = node.inputs
    if first.op is not F.multiply or second.op is not F.multiply:
        return None
    found = _complement_of(node, first, second)
    if found is not None:
        return found
    opposite = _complement_of(node, second, first)
    return None if opposite is None else -opposite


def _complement_of(node: Tensor, first: Tensor, second: Tensor) -> Tensor | None:
    for y, p in (first.inputs, first.inputs[::-1]):
        for rest, q in (second.inputs, second.inputs[::-1]):
            if p.op is not sigmoid or q.op is not sigmoid or not _is_complement(rest, y):
                continue
            u, v = p.inputs[0], q.inputs[0]
            if (u.op is F.negative and u.inputs[0] is v) or (v.op is F.negative and v.inputs[0] is u):
                return same_as(node, y - q)
    return None


def _logistic_loss(node: Tensor) -> Tensor | None:
    """y * softplus(-x) + (1 - y) * softplus(x) = max(x, 0) - x * y + softplus(-|x|): nothing cancels for y = 0 and 1."""
    first, second = node.inputs
    if first.op is not F.multiply or second.op is not F.multiply or is_complex(node.dtype):
        return None
    if not (used_once(first) and used_once(second)):
        return None
    for yes, no in ((first, second), (second, first)):
        for y, p in (yes.inputs, yes.inputs[::-1]):
            for rest, q in (no.inputs, no.inputs[::-1]):
                if p.op is not F.softplus or q.op is not F.softplus or not _is_complement(rest, y):
                    continue
                u, v = p.inputs[0], q.inputs[0]
                if (u.op is F.negative and u.inputs[0] is v) or (v.op is F.negative and v.inputs[0] is u):
                    x = v if u.op is F.negative and u.inputs[0] is v else u
                    share = x * y if x is v else x * rest
                    return same_as(node, F.relu(x) - share + _log1p_exp_of_minus(abs(x)))
    return None


def _log1p_exp_of_minus(x: Tensor) -> Tensor:
    return F.softplus(-x)


def _is_complement(rest: Tensor, y: Tensor) -> bool:
    """Whether `rest` is 1 - y."""
    if rest.op is not F.subtract:
        return False
    one, other = rest.inputs
    return other is y and is_number(one) and one.op.number == 1  # type: ignore[attr-defined]


ARITHMETIC = RuleSet(
    rule(x * -1, lambda x, node: -x if x.dtype != np.bool_ else None, tag="exact"),
    rule(x / -1, lambda x: -x if is_inexact(x.dtype) else None, tag="exact"),
    rule(
        x**c,
        _power_of_number,
        tag="rounding",
        moderate=True,
        examples=[
            lambda x: x**1,
            lambda x: x**0,
            lambda x: x**-1,
            lambda x: x**2,
            lambda x: x**3,
            lambda x: x**5,
            lambda x: x**-2,
            lambda x: abs(x) ** 0.5,
            lambda x: (x * x) ** 1.5,
            lambda x: exp(x) ** -0.5,
        ],
    ),
    rule(F.square(x), lambda x: x * x, tag="exact"),
    rule(x * 0, lambda node: F.zeros_like(node), tag="finite-real"),
    rule(x * -0.0, lambda node: F.zeros_like(node), tag="finite-real"),
    rule(-0.0 / x, lambda node: F.zeros_like(node) if is_inexact(node.dtype) else None, tag="finite-real"),
    rule(x + -0.0, same_as, tag="exact"),
    rule(0 / x, lambda node: F.zeros_like(node) if is_inexact(node.dtype) else None, tag="finite-real"),
    rule(x - x, lambda x: F.zeros_like(x), tag="finite-real"),
    rule(x / x, lambda x: F.ones_like(x) if is_inexact(x.dtype) else None, tag="finite-real"),
    rule(x * (1 / z), lambda x, z: x / z),
    rule(x * F.reciprocal(z), lambda x, z: x / z),
    rule(x / (1 / z), lambda x, z: x * z, tag="finite-real"),
    rule(x + x, lambda x: 2 * x if x.dtype != np.bool_ else None, tag="exact"),
    # signs travel outwards, where they meet and vanish
    rule(x * (-y), _negated_factor, tag="exact"),
    rule(x / (-y), lambda x, y: -(x / y), tag="exact"),
    rule((-x) / y, lambda x, y: -(x / y), tag="exact"),
    rule(x + (-y), lambda x, y: x - y, tag="exact"),
    rule(x - (-y), lambda x, y: x + y, tag="exact"),
    *node_rules("minus both", [F.subtract], _minus_both, tag="rounding", needs=[F.negative], examples=[lambda x, y: -x - y]),
    *node_rules(
        "sign of a number in a sum", [F.add, F.subtract], _negated_factor_in_sum, needs=[F.multiply],
        examples=[lambda X, y: X * X + -y * X, lambda X, y: X * X - -y * X, lambda X, y: -y * X + X * X],
    ),
    rule(F.negative(c * x), _negated_number, tag="exact", example=lambda x: -(3.0 * x)),
    rule(F.negative(c / x), _negated_quotient, tag="exact", example=lambda x: -(3.0 / x)),
    rule(x + c * y, _plus_negative, tag="exact", example=lambda x, y: x + -3.0 * y),
    rule(x + c / y, _plus_negative_quotient, tag="exact", example=lambda x, y: x + -3.0 / y),
    rule(F.expm1(x) + 1, lambda x: exp(x)),
    rule(x - c * y, _minus_negative, tag="exact", example=lambda x, y: x - -3.0 * y),
    rule(some(Sum, "s")(-x), _minus_sum, tag="finite-real", example=lambda x: F.sum(-x)),
    *node_rules(
        "minus a difference", [F.negative], _negated_difference, tag="rounding", needs=[F.subtract],
        examples=[lambda x, y: -(x - y)],
    ),
    # magnitudes
    rule(abs(-x), lambda x: abs(x) if is_inexact(x.dtype) else None, tag="exact"),
    rule(magnitude(x) * magnitude(x), lambda x: x * x if is_inexact(x.dtype) else None, tag="exact"),
    rule(magnitude(magnitude(x)), lambda x: abs(x), tag="exact"),
    rule(magnitude(x), _nonnegative_magnitude, tag="exact", example=lambda x: abs(exp(x))),
    rule(sign(sign(x)), lambda x: sign(x), tag="exact"),
    rule(x * sign(x), lambda x: abs(x) if not is_complex(x.dtype) and is_inexact(x.dtype) else None, tag="finite-real"),
    rule(F.maximum(x, x), lambda x: x, tag="exact"),
    rule(F.minimum(x, x), lambda x: x, tag="exact"),
    rule(F.maximum(F.maximum(x, y), y), lambda x, y, node: same_as(node, F.maximum(x, y)), tag="exact"),
    rule(F.minimum(F.minimum(x, y), y), lambda x, y, node: same_as(node, F.minimum(x, y)), tag="exact"),
    rule(F.relu(F.relu(x)), lambda x: F.relu(x), tag="exact"),
    # exponentials and roots
    *node_rules(
        "product of exponentials", [F.multiply], _joined_exponentials, tag="rounding", needs=[exp], moderate=True,
        examples=[lambda x, y: exp(x) * exp(y)],
    ),
    *node_rules(
        "quotient by an exponential", [F.divide], _divided_by_exponential, tag="finite-real", needs=[exp], moderate=True,
        examples=[lambda x, y: x / exp(y), lambda y: 1 / exp(y)],
    ),
    rule(sqrt(x) * sqrt(x), lambda x: None if is_complex(x.dtype) else x, tag="finite-real"),
    rule(x / sqrt(x), lambda x: None if is_complex(x.dtype) else sqrt(x), tag="finite-real"),
    rule(log(exp(x)), lambda x: None if is_complex(x.dtype) else x, tag="finite-real"),
    *node_rules(
        "sigmoid and its complement", [F.subtract], _complement, tag="finite-real", needs=[F.multiply],
        examples=[lambda x, y: y * sigmoid(-x) - (1 - y) * sigmoid(x), lambda x, y: (1 - y) * sigmoid(x) - y * sigmoid(-x)],
    ),
    *node_rules(
        "logistic loss", [F.add], _logistic_loss, tag="finite-real", needs=[F.multiply], moderate=True,
        examples=[
            lambda x, y: y * F.softplus(-x) + (1 - y) * F.softplus(x),
            lambda x, y: y * F.softplus(x) + (1 - y) * F.softplus(-x),
        ],
    ),
)  # fmt: skip

__all__ = ["ARITHMETIC", "is_number", "power_by_squaring", "same_as"]
