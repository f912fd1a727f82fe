"""Canonical forms, simplification and constant folding, run when a function is compiled with `optimize=True`."""

from __future__ import annotations

import numpy as np

from ..core import Constant, Item, Tensor, constant, make
from ..dims import prod, same_shape
from ..dtypes import is_inexact, is_lossless
from ..ops.base import Elementwise, Primitive, summed_axes
from ..ops.creation import Full
from ..ops.elementwise import Cast, MaskedMultiply, Where
from ..ops.late import F
from ..ops.reduce import Sum
from ..ops.shape import BroadcastTo, Reshape, Transpose
from .pattern import NodeRule, RuleSet, numbers, rule, some, wildcards

x, y, z = wildcards("x y z")
c, d = numbers("c d")
where, masked_multiply = F.where, F.masked_multiply

FOLD_LIMIT = 4096
"""Constants with more elements than this are not computed at compile time unless that makes them smaller."""


def _is_scalar(node: Tensor) -> bool:
    return isinstance(node.op, Constant) and node.op.value.ndim == 0


# Constants -----------------------------------------------------------------------------------------------------------


def fold(node: Tensor) -> Tensor | None:
    """The value of an op on constants."""
    if not node.inputs or not all(isinstance(i.op, Constant) for i in node.inputs) or isinstance(node.aval, tuple):
        return None
    if not isinstance(node.op, Primitive) or not all(isinstance(s, int) for s in node.shape):
        return None
    size = prod(node.shape)
    if not isinstance(size, int) or size > max(FOLD_LIMIT, *[i.op.value.size for i in node.inputs]):  # type: ignore[attr-defined]
        return None
    if getattr(node.op, "is_random", False):
        return None
    if isinstance(node.op, BroadcastTo):
        return None
    value = node.op.evaluate(*[i.op.value for i in node.inputs])  # type: ignore[attr-defined]
    return constant(np.asarray(value, node.dtype))


# Broadcasting: a broadcast operand needs none where another operand has the full shape -------------------------------


def _drop_broadcasts(node: Tensor) -> Tensor | None:
    """`f(broadcast(x), y)` is `f(x, y)` where y has the shape of the result; `f(broadcast(x))` is `broadcast(f(x))`."""
    broadcast = [isinstance(i.op, BroadcastTo | Full) for i in node.inputs]
    if not any(broadcast):
        return None
    full = [
        not b and i.ndim == node.ndim and not summed_axes(node.shape, i.shape)
        for i, b in zip(node.inputs, broadcast, strict=True)
    ]
    bare = [i.inputs[0] if b else i for i, b in zip(node.inputs, broadcast, strict=True)]
    if any(full):
        return make(node.op, *bare)
    inner = make(node.op, *bare)
    if inner.ndim < node.ndim or summed_axes(node.shape, inner.shape):
        return F.broadcast_to(inner, node.shape)
    return inner


def _sum_of_broadcast(node: Tensor) -> Tensor | None:
    """Summing over a broadcast axis multiplies by its size."""
    inner = node.inputs[0]
    if not isinstance(inner.op, BroadcastTo | Full) or not isinstance(node.op, Sum) or not is_inexact(node.dtype):
        return None
    source = inner.inputs[0]
    stretched = set(summed_axes(inner.shape, source.shape)) & set(node.op.axis)
    if not stretched or node.op.keepdims:
        return None
    lead = inner.ndim - source.ndim
    rest = tuple(a for a in node.op.axis if a not in stretched)
    kept = tuple(a - lead for a in stretched if a >= lead)
    value = F.squeeze(source, axis=kept) if kept else source
    dropped = sorted(stretched)
    shape = tuple(s for a, s in enumerate(inner.shape) if a not in stretched)
    value = value if same_shape(value.shape, shape) else F.broadcast_to(value, shape)
    if rest:
        value = F.sum(value, axis=tuple(a - sum(d < a for d in dropped) for a in rest))
    return value * prod([inner.shape[a] for a in dropped])


def _broadcast_of_broadcast(node: Tensor) -> Tensor | None:
    inner = node.inputs[0]
    if inner.ndim == node.ndim and same_shape(inner.shape, node.shape):
        return inner
    return F.broadcast_to(inner.inputs[0], node.shape) if isinstance(inner.op, BroadcastTo | Full) else None


# Axes ----------------------------------------------------------------------------------------------------------------


def _transpose_of_transpose(node: Tensor) -> Tensor | None:
    inner = node.inputs[0]
    axes = node.op.axes  # type: ignore[attr-defined]
    if axes == tuple(range(node.ndim)):
        return inner
    if isinstance(inner.op, Transpose):
        return F.transpose(inner.inputs[0], tuple(inner.op.axes[a] for a in axes))
    return None


def _reshape_of_reshape(node: Tensor) -> Tensor | None:
    inner = node.inputs[0]
    if same_shape(inner.shape, node.shape):
        return inner
    return F.reshape(inner.inputs[0], node.shape) if isinstance(inner.op, Reshape) else None


def _empty_sum(node: Tensor) -> Tensor | None:
    return node.inputs[0] if node.op.axis == () and node.dtype == node.inputs[0].dtype else None  # type: ignore[attr-defined]


# dtypes --------------------------------------------------------------------------------------------------------------


def _cast_of_cast(node: Tensor) -> Tensor | None:
    """A cast that loses nothing may be skipped on the way to another."""
    inner = node.inputs[0]
    if inner.dtype == node.dtype and not inner.aval.weak:
        return inner
    if isinstance(inner.op, Cast) and is_lossless(inner.inputs[0].dtype, inner.dtype):
        return F.cast(inner.inputs[0], node.dtype)
    return None


# Arithmetic ----------------------------------------------------------------------------------------------------------


def _zero_like(node: Tensor) -> Tensor:
    return F.zeros_like(node)


def _self_quotient(x: Tensor) -> Tensor | None:
    return F.ones_like(x) if is_inexact(x.dtype) else None


def _times_zero(x: Tensor, node: Tensor) -> Tensor:
    return _zero_like(node)


def _same(node: Tensor, x: Tensor) -> Tensor | None:
    """`x`, when nothing was broadcast."""
    return x if node.ndim == x.ndim and same_shape(x.shape, node.shape) else None


def _merge_factors(x: Tensor, c: Tensor, d: Tensor) -> Tensor | None:
    """(x * c) * d = (c * d) * x."""
    return (c * d) * x if not _is_scalar(x) and _finite(c, d) else None


def _finite(*nodes: Tensor) -> bool:
    with np.errstate(all="ignore"):
        value = np.prod([node.op.value for node in nodes])  # type: ignore[attr-defined]
    return bool(np.isfinite(value)) and (value != 0 or any(not node.op.value for node in nodes))  # type: ignore[attr-defined]


def _minus_sum(x: Tensor, s: Tensor) -> Tensor | None:
    """sum(-x) = -sum(x); narrow ints are added in 64 bits, where their negatives may have wrapped around."""
    return -F.sum(x, axis=s.op.axis, keepdims=s.op.keepdims) if is_inexact(x.dtype) else None  # type: ignore[attr-defined]


def _power_of_number(x: Tensor, c: Tensor) -> Tensor | None:
    """x**1 = x, x**0.5 = sqrt x for x without sign trouble, x**-1 = 1 / x, x**0 = 1."""
    if not is_inexact(x.dtype):
        return None
    n = c.op.value.item()  # type: ignore[attr-defined]
    if n == 1:
        return x
    if n == 0:
        return F.ones_like(x)
    return 1 / x if n == -1 else None


def _negated_factor(node: Tensor) -> Tensor:
    """x * (-y) = -(x * y), with the factors in the order in which they were written."""
    x, y = node.inputs[::-1] if node.flipped else node.inputs
    if x.op is F.negative:
        return -(x.inputs[0] * y)
    return -(x * y.inputs[0])


def _masked_by_one(node: Tensor) -> Tensor | None:
    """`where(mask, a * 1, 0)` is `where(mask, a, 0)`; a mask applied twice is applied once; one that always holds, never."""
    mask, a, b = node.inputs
    for p, q in ((a, b), (b, a)):
        if _is_scalar(q) and abs(q.op.number) == 1 and p.ndim == node.ndim:  # type: ignore[attr-defined]
            return where(mask, p if q.op.number == 1 else -p, 0)  # type: ignore[attr-defined]
        if isinstance(q.op, Where) and q.inputs[0] is mask and _is_scalar(q.inputs[2]) and not q.inputs[2].op.number:  # type: ignore[attr-defined]
            return masked_multiply(mask, p, q.inputs[1])
    if isinstance(mask.op, Constant) and mask.op.value.all():
        return _same(node, a * b)
    return None


def _known_where(node: Tensor) -> Tensor | None:
    condition, a, b = node.inputs
    if a is b:
        return _same(node, a)
    if isinstance(condition.op, Constant) and condition.op.value.size:
        if condition.op.value.all():
            return _same(node, a)
        if not condition.op.value.any():
            return _same(node, b)
    return None


def _where_of_where(node: Tensor) -> Tensor | None:
    """where(m, where(m, a, b), c) = where(m, a, c)."""
    m, a, b = node.inputs
    if isinstance(a.op, Where) and a.inputs[0] is m and a.ndim == a.inputs[1].ndim == node.ndim:
        return where(m, a.inputs[1], b)
    if isinstance(b.op, Where) and b.inputs[0] is m and b.ndim == b.inputs[2].ndim == node.ndim:
        return where(m, a, b.inputs[2])
    return None


ELEMENTWISE = list(Elementwise.registry.values())

FOLD_ROOTS = [*ELEMENTWISE, Where, Cast, Sum, Reshape, Transpose]

CANONICALIZE = RuleSet(
    *[NodeRule(root, fold, name="fold constants") for root in FOLD_ROOTS],
    *[NodeRule(root, _drop_broadcasts, name="drop broadcasts") for root in [*ELEMENTWISE, Where]],
    NodeRule(Sum, _empty_sum, tag="finite-real", name="sum over no axis"),
    NodeRule(Sum, _sum_of_broadcast, tag="rounding", name="sum of a broadcast"),
    NodeRule(BroadcastTo, _broadcast_of_broadcast, name="broadcast of a broadcast"),
    NodeRule(Full, lambda node: node.inputs[0] if node.shape == () else None, name="full of no axes"),
    NodeRule(Transpose, _transpose_of_transpose, name="transpose of a transpose"),
    NodeRule(Reshape, _reshape_of_reshape, name="reshape of a reshape"),
    NodeRule(Cast, _cast_of_cast, name="cast of a cast"),
    NodeRule(Where, _known_where, name="where of a known condition"),
    NodeRule(Where, _where_of_where, name="where in where"),
    NodeRule(F.masked_multiply, _masked_by_one, name="masked product with one"),
    rule(x + 0, _same, tag="finite-real"),
    rule(x - 0, _same, tag="exact"),
    rule(0 - x, lambda node, x: _same(node, -x), tag="finite-real"),
    rule(x * 1, _same, tag="exact"),
    rule(x / 1, _same, tag="exact"),
    rule(F.negative(-x), lambda x: x, tag="exact"),
    rule(F.positive(x), lambda x: x, tag="exact"),
)

SIMPLIFY = CANONICALIZE + RuleSet(
    rule(x * -1, lambda x, node: -x if x.dtype != np.bool_ else None, tag="exact"),
    rule(x**c, _power_of_number, tag="rounding"),
    rule(x * 0, _times_zero, tag="finite-real"),
    rule(x - x, lambda x: _zero_like(x), tag="finite-real"),
    rule(x / x, _self_quotient, tag="finite-real"),
    rule(x * (1 / z), lambda x, z: x / z),
    rule(x * F.reciprocal(z), lambda x, z: x / z),
    rule((x * c) * d, _merge_factors),
    rule(x + x, lambda x: 2 * x if x.dtype != np.bool_ else None, tag="exact"),
    rule((x + y) + y, lambda x, y: x + 2 * y if x.dtype != np.bool_ else None),
    # signs travel outwards, where they meet and vanish
    rule(x * (-y), _negated_factor, tag="exact"),
    rule(x / (-y), lambda x, y: -(x / y), tag="exact"),
    rule((-x) / y, lambda x, y: -(x / y), tag="exact"),
    rule(x + (-y), lambda x, y: x - y, tag="exact"),
    rule(x - (-y), lambda x, y: x + y, tag="exact"),
    rule(some(Sum, "s")(-x), _minus_sum, tag="finite-real", example=lambda x: F.sum(-x)),
)

__all__ = ["CANONICALIZE", "SIMPLIFY", "Item", "MaskedMultiply", "fold"]
