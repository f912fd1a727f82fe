"""Canonical forms: constants folded, broadcasts made late or not at all, casts and neutral elements dropped."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Constant, Tensor, constant, make
from ..dims import prod, same_shape
from ..dtypes import is_inexact, is_lossless
from ..ops.assembly import Assembly, Of
from ..ops.base import Elementwise, Primitive, summed_axes
from ..ops.creation import Full
from ..ops.einsum import Einsum
from ..ops.elementwise import Cast, Where
from ..ops.late import F
from ..ops.reduce import Sum
from ..ops.shape import BroadcastTo, Reshape, Transpose
from .arithmetic import same_as
from .facts import used_once
from .pattern import RuleSet, node_rules, rule, wildcards

where = F.where
(x,) = wildcards("x")

FOLD_LIMIT = 4096
"""Constants with more elements than this are not computed at compile time unless that makes them smaller."""

MOST_BYTES = 1 << 16
"""Of a product of constant matrices that is computed at compile time."""


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


def _folded_product(node: Tensor) -> Tensor | None:
    """A product of constant matrices, unless it is large or spreads numbers over a matrix."""
    size = prod(node.shape)
    if not isinstance(size, int) or size * node.dtype.itemsize > MOST_BYTES or not all([x.ndim for x in node.inputs]):
        return None
    return fold(node)


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


def _number_of_one_element(node: Tensor) -> Tensor | None:
    """An array of one element, or of equal constants, is that number where another operand gives the shape."""
    xs = [_single(x) for x in node.inputs]
    if all([x is y for x, y in zip(xs, node.inputs, strict=True)]) or isinstance(node.aval, tuple):
        return None
    new = make(node.op, *(xs[::-1] if node.flipped else xs))
    return new if new.ndim == node.ndim else None


def _single(x: Tensor) -> Tensor:
    if isinstance(x.op, Constant) and x.ndim and x.op.value.size and _is_uniform(x.op.value):
        return constant(x.op.value.flat[0])
    return x.inputs[0] if isinstance(x.op, Reshape) and x.inputs[0].ndim == 0 else x


def _is_uniform(value: np.ndarray[Any, Any]) -> bool:
    """Whether all elements have the same bits."""
    first = value.flat[0]
    if value.size == 1:
        return True
    if value.size > FOLD_LIMIT or first != value.flat[-1]:
        return False
    return value.tobytes() == first.tobytes() * value.size


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


def _squeezed_sum(node: Tensor) -> Tensor | None:
    """sum(x, axis, keepdims=True) without the axes that were kept is sum(x, axis)."""
    total = node.inputs[0]
    assert isinstance(total.op, Sum)
    kept = tuple(n for a, n in enumerate(total.shape) if a not in total.op.axis)
    if not total.op.keepdims or not total.op.axis or not same_shape(kept, node.shape) or not used_once(total):
        return None
    return F.sum(total.inputs[0], axis=total.op.axis, dtype=total.dtype)


# dtypes --------------------------------------------------------------------------------------------------------------


def _cast_of_cast(node: Tensor) -> Tensor | None:
    """A cast that loses nothing may be skipped on the way to another."""
    inner = node.inputs[0]
    if inner.dtype == node.dtype and not inner.aval.weak:
        return inner
    if isinstance(inner.op, Cast) and is_lossless(inner.inputs[0].dtype, inner.dtype):
        return F.cast(inner.inputs[0], node.dtype)
    return None


def _cast_of_broadcast(node: Tensor) -> Tensor | None:
    """A number is cast before it is spread."""
    inner = node.inputs[0]
    return F.full(node.shape, F.cast(inner.inputs[0], node.dtype)) if not inner.inputs[0].ndim else None


ELEMENTWISE = list(Elementwise.registry.values())
FOLD_ROOTS = [*ELEMENTWISE, Where, Cast, Sum, Reshape, Transpose]


def _assembled(node: Tensor) -> Tensor:
    assert isinstance(node.op, Assembly | Of)
    return node.op.lower(*node.inputs)


CANONICALIZE = RuleSet(
    *node_rules("fold constants", FOLD_ROOTS, fold, needs=[Constant]),
    *node_rules(
        "fold constant products",
        [Einsum],
        _folded_product,
        tag="rounding",
        needs=[Constant],
        examples=[lambda: constant(np.ones((2, 3))) @ constant(np.arange(3.0))],
    ),
    *node_rules("drop broadcasts", [*ELEMENTWISE, Where], _drop_broadcasts, needs=[BroadcastTo, Full]),
    *node_rules(
        "number of one element",
        [*ELEMENTWISE, Where],
        _number_of_one_element,
        needs=[Constant, Reshape],
        examples=[
            lambda X: X * np.array([[2.0]]),
            lambda X, x: X - F.reshape(x, (1, 1)),
            lambda X: where(X > 0, X, np.array([[0.0]])),
            lambda X: np.ones(X.shape) * X,
            lambda X: X - np.full((2, 3), 0.5) if X.shape == (2, 3) else X - np.zeros(3),
        ],
    ),
    *node_rules("sum over no axis", [Sum], _empty_sum, tag="finite-real"),
    *node_rules("sum of a broadcast", [Sum], _sum_of_broadcast, tag="rounding", needs=[BroadcastTo, Full]),
    *node_rules("broadcast of a broadcast", [BroadcastTo], _broadcast_of_broadcast),
    *node_rules("full of no axes", [Full], lambda node: node.inputs[0] if node.shape == () else None),
    *node_rules("transpose of a transpose", [Transpose], _transpose_of_transpose),
    *node_rules("reshape of a reshape", [Reshape], _reshape_of_reshape),
    *node_rules("cast of a cast", [Cast], _cast_of_cast),
    *node_rules(
        "cast of a broadcast",
        [Cast],
        _cast_of_broadcast,
        needs=[BroadcastTo, Full],
        examples=[lambda x: F.full((2, 3), 1.5).astype("complex128"), lambda x: F.full(4, x).astype("float64")],
    ),
    *node_rules(
        "sum squeezed",
        [Reshape],
        _squeezed_sum,
        needs=[Sum],
        examples=[
            lambda X: F.squeeze(F.sum(X, axis=1, keepdims=True), axis=1),
            lambda X: F.reshape(F.sum(X, keepdims=True), ()),
        ],
    ),
    *node_rules(
        "terms of a structure",
        [Assembly, Of],
        _assembled,
        examples=[lambda X: make(Assembly(1), X, F.exp(X), F.sum(X)), lambda X: make(Of(), F.exp(X), F.sum(X))],
    ),
    rule(x + 0, same_as, tag="finite-real"),
    rule(x - 0, same_as, tag="exact"),
    rule(0 - x, lambda node, x: same_as(node, -x), tag="finite-real"),
    rule(x * 1, same_as, tag="exact"),
    rule(x / 1, same_as, tag="exact"),
    rule(F.negative(-x), lambda x: x, tag="exact"),
    rule(F.positive(x), lambda x: x, tag="exact"),
)

__all__ = ["CANONICALIZE", "ELEMENTWISE", "fold"]
