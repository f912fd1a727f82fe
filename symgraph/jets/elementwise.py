"""Recurrences for the coefficients of elementwise functions.

An op states its partials p = dy/dx; along a path x(t) they say y' = p x', hence

    k y[k] = sum over j = 1 ... k of j x[j] p[k-j]

where p(t) is the series of the partial, an expression in x and y whose coefficients below k are known by then. So exp (p = y),
tanh (p = 1 - y**2), sin and cos (each the other's partial), erf, gamma and every op that anyone declares have their
recurrence without another line. A partial that is a quotient c/d, as those of logarithms and inverse circular functions
are, stays on the left, d y' = c x', which saves the division of series:

    d[0] k y[k] = c k x[k] - sum over j = 1 ... k-1 of j y[j] d[k-j]

Products, quotients, powers and roots have the usual recurrences of their own.

Source: Griewank and Walther, Evaluating Derivatives (2nd ed., 2008), section 13.2; Knuth, The Art of Computer
Programming 2, section 4.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Constant, Tensor, constant, rebuild, toposort
from ..ops import elementwise as ew
from ..ops import special
from ..ops.base import Elementwise, Mask, Unknown, as_tensor, mask_and, mask_or, times
from ..ops.late import F
from .series import Coefficient, More, Series, Sum, convolution, follow, mask_at, quotient, scaled

if TYPE_CHECKING:
    from .propagation import Jets

LARGEST_PRODUCT = 64
"""The largest exponent at which a power is multiplied out."""


def union(masks: Sequence[Mask]) -> Mask:
    """Where any of the masks holds."""
    found = masks[0] if masks else None
    for mask in masks[1:]:
        found = mask_or(found, mask)
    return found


# From partials -------------------------------------------------------------------------------------------------------


def _sigmoid(y: Tensor, x: Tensor) -> Sequence[Any]:
    return [y - F.square(y)]  # where y (1 - y) would be a product of two series


STATED: dict[Elementwise, Callable[..., Sequence[Any]]] = {special.sigmoid: _sigmoid}
"""Partials in the form that makes the shortest recurrence, where that is not the form of the op's own."""


def from_partials(jets: Jets, z: Series, op: Elementwise, xs: Sequence[Series]) -> More | None:
    """The recurrence that the partials of an op give; None where the op is constant piece by piece."""
    if op.partials is None:
        return None
    nodes = [x.node for x in xs]
    boundary = frozenset([z.node, *nodes])
    selects = op.selects(z.node, *nodes) if op.selects else [None] * len(xs)
    partials = STATED.get(op, op.partials)(z.node, *nodes)
    if any(isinstance(x.op, Constant) for x in nodes):
        partials = [_folded(p, boundary) if isinstance(p, Tensor) else p for p in partials]
    moving = [
        (x, p, None if s is None else jets.lift(s, boundary).primal)
        for x, p, s in zip(xs, partials, selects, strict=True)
        if x.active and p is not None
    ]
    for x, p, _ in moving:
        if isinstance(p, Unknown):
            raise op.refused(x.node, nodes)
    if not moving:
        return None
    z.mask = union([mask_and(x.mask, s) for x, _, s in moving])
    if not any(isinstance(p, Tensor) and jets.depends(p, boundary) for _, p, _ in moving):
        fixed_partials = [(p if not isinstance(p, Tensor) else jets.lift(p, boundary).primal, s) for _, p, s in moving]
        operands = [x for x, _, _ in moving]
        return follow(z, operands, lambda parts: _straight(operands, parts, fixed_partials))
    z.by_rate = True

    @cache
    def made() -> More:  # when first asked for: a partial may be an op like this one, without end
        divided = _as_quotient(moving[0][1]) if len(moving) == 1 and moving[0][2] is None else None
        if divided is not None:
            return _left_quotient(z, moving[0][0], divided[0], jets.lift(divided[1], boundary))
        return _chain_rule([(x, jets.lift(as_tensor(p), boundary), p, s) for x, p, s in moving])

    return lambda k: made()(k)


def _folded(p: Tensor, boundary: frozenset[Tensor]) -> Tensor:
    """`p` with arithmetic of numbers done, so that the Bessel function of order n + 1 - 1 is again the one of order n."""
    done: dict[Tensor, Tensor] = {}
    for node in toposort([p], stop=boundary):
        inputs = [done[x] for x in node.inputs] if node not in boundary else []
        known = [x.op.value for x in inputs if isinstance(x.op, Constant) and x.ndim == 0]
        if inputs and len(known) == len(inputs) and isinstance(node.op, Elementwise) and not node.aval.weak:
            done[node] = constant(np.asarray(node.op.evaluate(*known), node.dtype))
        else:
            done[node] = rebuild(node, inputs) if inputs else node
    return done[p]


def _straight(xs: Sequence[Series], parts: Sequence[Coefficient], partials: Sequence[tuple[Any, Mask]]) -> Coefficient:
    """The sum of p x[k] over operands, with partials that do not change."""
    found = Sum()
    for x, u, (p, select) in zip(xs, parts, partials, strict=True):
        _add_term(found, x, u, p, select)
    return found.total()


def _add_term(found: Sum, x: Series, u: Coefficient, p: Any, select: Mask) -> None:
    within = mask_and(x.mask, select)
    if u is None:
        return
    if select is not None:
        found.add(times(u, p, select, within))
    elif isinstance(p, Tensor):
        found.add(u, p, mask=within)
    else:
        found.add(scaled(p, u))


def _chain_rule(terms: Sequence[tuple[Series, Series, Any, Mask]]) -> More:
    """k z[k] = the sum over operands of j x[j] p[k-j], j = 1 ... k."""

    def more(k: int) -> Coefficient:
        found = Sum()
        for x, p, stated, select in terms:
            _add_term(found, x, x.rate(k), p.primal if isinstance(stated, Tensor) else stated, select)
            for j in range(1, k):
                if p[k - j] is not None:
                    _add_term(found, x, x.rate(j), p[k - j], select)
        return found.total()

    return more


def _as_quotient(p: Any) -> tuple[float, Tensor] | None:
    """(c, d) with p = c / d and a number c."""
    if isinstance(p, Tensor) and p.op is ew.divide:
        number = _real_number(p.inputs[0])
        return None if number is None else (number, p.inputs[1])
    return None


def _real_number(x: Tensor) -> float | None:
    """The real number that a constant is, also one of complex dtype; or None."""
    number = x.op.number if isinstance(x.op, Constant) else None
    if number is None or complex(number).imag:
        return None
    return complex(number).real


def _left_quotient(z: Series, x: Series, c: float, d: Series) -> More:
    """d[0] k z[k] = c k x[k] - the sum of j z[j] d[k-j], j = 1 ... k-1."""
    number = int(c) if c.is_integer() else c

    def more(k: int) -> Coefficient:
        top = Sum().add(scaled(number, x.rate(k)))
        for j in range(1, k):
            if d[k - j] is not None:
                top.add(z.rate(j), d[k - j], weight=-1, mask=z.mask)
        return quotient(top.total(), d.primal, z.mask)

    return more


# Products, quotients and powers --------------------------------------------------------------------------------------


def _multiply(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More:
    x, y = xs
    z.mask = union([v.mask for v in xs if v.active])
    if not y.active:
        return follow(z, [x], lambda part: Sum().add(part[0], y.primal, mask=x.mask).total())
    if not x.active:
        return follow(z, [y], lambda part: Sum().add(part[0], x.primal, mask=y.mask).total())
    return lambda k: convolution(x, y, k).total()


def _masked_multiply(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More:
    inside, (x, y) = xs[0].primal, xs[1:]
    z.mask = mask_and(inside, union([v.mask for v in (x, y) if v.active]))

    def more(k: int) -> Coefficient:
        found = Sum()
        for j in range(k + 1):
            u, v = x[j], y[k - j]
            if u is not None and v is not None:
                within = mask_and(inside, mask_and(mask_at(x, j), mask_at(y, k - j)))
                found.add(ew.masked_multiply(within, u, v))
        return found.total()

    return more


def _divide(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More:
    x, y = xs
    z.mask = union([v.mask for v in xs if v.active])
    if not y.active:
        return follow(z, [x], lambda part: quotient(part[0], y.primal, x.mask))
    return lambda k: quotient(convolution(y, z, k, 1).add(scaled(-1, x[k])).total(-1), y.primal, z.mask)


def _reciprocal(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More:
    (x,) = xs
    z.mask = x.mask

    def more(k: int) -> Coefficient:
        return Sum().add(z.primal, convolution(x, z, k, 1).total(-1), mask=z.mask).total()

    return more


def _square(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More:
    (x,) = xs
    z.mask = x.mask
    return lambda k: convolution(x, x, k).total()


def _sqrt(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More:
    x = xs[0]
    z.mask = x.mask

    def more(k: int) -> Coefficient:
        top = convolution(z, z, k, 1, 1).add(scaled(-1, x[k])).total(Fraction(-1, 2))
        return quotient(top, z.primal, z.mask)

    return more


def _power(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More | None:
    x, y = xs
    n = _real_number(y.primal)
    if n is None or y.active:
        return from_partials(jets, z, op, xs)
    if n == 0.5:
        return _sqrt(jets, z, op, xs)
    if n < 0:
        z.mask = x.mask
        return lambda k: _power_recurrence(z, x, n, k)
    if not n.is_integer() or not 1 <= n <= LARGEST_PRODUCT:
        return from_partials(jets, z, op, xs)  # exact where x = 0
    product = jets.lift(_multiplied_out(x.node, int(n)), frozenset([z.node, x.node]))
    z.mask = x.mask
    return lambda k: product[k]


def _multiplied_out(x: Tensor, n: int) -> Tensor:
    """x ** n as a square, or as a square times x; for n = 1, x itself."""
    if n == 1:
        return x
    half = x if n < 4 else x ** (n // 2)
    return F.square(half) * x if n % 2 else F.square(half)


def _power_recurrence(z: Series, x: Series, n: float, k: int) -> Coefficient:
    """k x[0] z[k] = sum over j of (n j - (k - j)) x[j] z[k-j], from x z' = n x' z."""
    found = Sum()
    for j in range(1, k + 1):
        weight = n * j - (k - j)
        if x[j] is not None and z[k - j] is not None and weight:
            exact = Fraction(int(weight), k) if weight.is_integer() else weight / k
            found.add(x[j], z[k - j], exact, mask=x.mask)
    return quotient(found.total(), x.primal, z.mask)


def _where(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More | None:
    c, x, y = xs
    condition = c.primal
    branches = [(condition, x), (~condition, y)]
    z.mask = union([mask_and(m, v.mask) for m, v in branches if v.active])

    def at(parts: list[Coefficient]) -> Coefficient:
        u, v = [0 if part is None else part for part in parts]
        made: Tensor = ew.where(condition, u, v)
        return made

    return follow(z, [x, y], at) if x.active or y.active else None


RULES: dict[Any, Callable[..., More | None]] = {
    ew.multiply: _multiply,
    ew.masked_multiply: _masked_multiply,
    ew.divide: _divide,
    ew.reciprocal: _reciprocal,
    ew.square: _square,
    ew.sqrt: _sqrt,
    ew.power: _power,
    ew.Where: _where,
}
"""Beside `from_partials`, by the family of the op."""
