"""Sums and rearrangements of products: what is the same for every element is multiplied once, outside.

    sum(s * x) = s * sum(x)        (s * x).reshape(...) = s * x.reshape(...)        sum(x + s) = sum(x) + n * s

A factor leaves where the result is not larger than the operand, and enters (zeros with x written at some places) where it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Tensor, make
from ..dims import prod, same, same_shape
from ..dtypes import is_inexact
from ..ops.creation import Full
from ..ops.diagonal import DiagonalMatrix, Eye, Triangle, diagonal
from ..ops.einsum import Einsum, contraction
from ..ops.gather import Gather, Pick, ScatterAdd
from ..ops.late import F
from ..ops.reduce import Sum
from ..ops.shape import BroadcastTo, Reshape, Transpose
from ..ops.slices import Slice, Unslice
from .factors import Monomial, bulk, monomial, number_of, product
from .facts import may_open, used_once
from .pattern import RuleSet, node_rules
from .scales import is_extreme, scales_far
from .signs import is_nonnegative

multiply, divide, negative, add, subtract = F.multiply, F.divide, F.negative, F.add, F.subtract


# Factors -------------------------------------------------------------------------------------------------------------


def _split(product: Tensor) -> tuple[Any, Tensor, bool] | None:
    """(s, x, over) where the product is s * x, or x / s when `over`, for a factor s without axes; s is None for -x."""
    if product.op is negative:
        return None, product.inputs[0], False
    if product.op is multiply:
        p, q = product.inputs
        for s, x in ((p, q), (q, p)):
            if s.ndim == 0 and x.ndim:
                return s, x, False
    if product.op is divide and product.inputs[1].ndim == 0 and product.inputs[0].ndim:
        return product.inputs[1], product.inputs[0], True
    return None


def _scaled(split: tuple[Any, Tensor, bool], x: Tensor) -> Tensor:
    s, _, over = split
    return -x if s is None else x / s if over else s * x


def _factor_out(node: Tensor) -> Tensor | None:
    """op(s * x) = s * op(x) for what only moves, leaves out or adds elements."""
    product = node.inputs[0]
    if not is_inexact(node.dtype) or not used_once(product) or node.dtype != product.dtype:
        return None
    split = _split(product)
    if split is None or not same_shape(split[1].shape, product.shape):
        return None
    return _scaled(split, make(node.op, split[1], *node.inputs[1:]))


def _factor_out_of_contraction(node: Tensor) -> Tensor | None:
    """(s * x) @ y = s * (x @ y), where the result is not larger than x."""
    if not is_inexact(node.dtype):
        return None
    for i, factor in enumerate(node.inputs):
        split = _split(factor) if used_once(factor) and sum([x is factor for x in node.inputs]) == 1 else None
        if split is None or not same_shape(split[1].shape, factor.shape) or bulk(node.shape) > bulk(factor.shape):
            continue
        if split[0] is not None and scales_far(split[0], node.dtype):
            continue
        return _scaled(split, make(node.op, *node.inputs[:i], split[1], *node.inputs[i + 1 :]))
    return None


def _factor_into_zeros(node: Tensor) -> Tensor | None:
    """s * (zeros with x at some places) = zeros with s * x there."""
    if not is_inexact(node.dtype):
        return None
    among = Unslice | ScatterAdd | DiagonalMatrix
    placed = [i for i, x in enumerate(node.inputs) if isinstance(x.op, among) and used_once(x)]
    rest = [x for i, x in enumerate(node.inputs) if i not in placed[:1]]
    if not placed or any(x.ndim for x in rest) or (node.op is divide and placed[0] != 0):
        return None
    zeros = node.inputs[placed[0]]
    inner = zeros.inputs[0]
    new = node.op(*[inner if i == placed[0] else x for i, x in enumerate(node.inputs)])  # type: ignore[operator]
    return make(zeros.op, new, *zeros.inputs[1:])


# Sums ----------------------------------------------------------------------------------------------------------------


def _row_factor_out(node: Tensor) -> Tensor | None:
    """sum(s * x / t, axis) = s / t * sum(x, axis) for the factors s and t that are the same along every summed axis."""
    op, whole = node.op, node.inputs[0]
    assert isinstance(op, Sum)
    if not is_inexact(node.dtype) or not may_open(whole) or node.dtype != whole.dtype or not op.axis:
        return None
    if node.dtype.itemsize == 2:
        return None  # products in half precision overflow early
    m = monomial(whole)
    if m is None or is_extreme(m.coefficient, node.dtype):
        return None
    rows = {x: row for x in m.powers if (row := _reduced_row(x, whole, op)) is not None}
    kept = {x: n for x, n in m.powers.items() if x not in rows and n}
    if (not rows and m.coefficient == 1) or not kept:
        return None
    inner = product(Monomial(powers=kept), node.dtype)
    if not same_shape(inner.shape, whole.shape) or inner is whole:
        return None
    outer = {row: m.powers[x] for x, row in rows.items() if m.powers[x]}
    total = make(op, inner)
    return product(Monomial(m.coefficient, {**outer, total: outer.get(total, 0) + 1}), node.dtype)


def _reduced_row(s: Tensor, whole: Tensor, op: Sum) -> Tensor | None:
    """`s` aligned with the sum of `whole`, if it is the same along every summed axis; None if it is not."""
    lead = whole.ndim - s.ndim
    at = [a - lead for a in op.axis if a >= lead]
    if not all(same(s.shape[a], 1) for a in at):
        return None
    if all(same(whole.shape[a], 1) for a in op.axis):
        return None
    return s if op.keepdims or not at else F.squeeze(s, axis=tuple(at))


def _row_term_out(node: Tensor) -> Tensor | None:
    """sum(x + s, axis) = sum(x, axis) + n * s where s is the same along the n summed elements; a size is at least 1.

    Not for x as the user gave it: x - s of data near s is exact, and the difference of the sums is not.
    """
    op, total = node.op, node.inputs[0]
    assert isinstance(op, Sum)
    if not is_inexact(node.dtype) or not used_once(total) or node.dtype != total.dtype or not op.axis:
        return None
    p, q = total.inputs
    for s, x in ((q, p), (p, q)):
        row = _reduced_row(s, total, op)
        if row is None or not same_shape(x.shape, total.shape) or _is_given(x):
            continue
        many = prod([total.shape[a] for a in op.axis])
        summed = make(op, x)
        if total.op is add:
            return summed + many * row
        return summed - many * row if s is q else many * row - summed
    return None


def _is_given(x: Tensor) -> bool:
    """Whether the elements are those of a leaf, computed by no arithmetic."""
    while isinstance(x.op, Transpose | Reshape | Slice | BroadcastTo):
        x = x.inputs[0]
    return not x.inputs


def _sum_of_squares(node: Tensor) -> Tensor | None:
    """sum(c * x * x + d * y * y) = c * sum(x * x) + d * sum(y * y): each is one dot product, and nothing cancels."""
    op, total = node.op, node.inputs[0]
    assert isinstance(op, Sum)
    p, q = total.inputs
    if not used_once(total) or node.dtype != total.dtype or node.dtype.kind != "f" or not op.axis:
        return None
    if not all([same_shape(x.shape, total.shape) and _is_square(x) for x in (p, q)]):
        return None
    return make(op, p) + make(op, q)


def _is_square(x: Tensor) -> bool:
    """Whether `x` is y * y, or a multiple of it, that nobody else needs."""
    while x.op is multiply and used_once(x):
        p, q = x.inputs
        if p is q:
            return True
        if p.ndim and q.ndim:
            return False
        c, x = (q, p) if p.ndim else (p, q)
        if not is_nonnegative(c):
            return False
    return False


def _sum_of_single(node: Tensor) -> Tensor | None:
    """A sum along axes of size 1 is the value itself."""
    op, x = node.op, node.inputs[0]
    assert isinstance(op, Sum)
    if node.dtype == x.dtype and op.axis and all([same(x.shape[a], 1) for a in op.axis]):
        return F.reshape(x, node.shape)
    return None


def _sum_of_sum(node: Tensor) -> Tensor | None:
    """A sum over some axes and then over others is one over both."""
    inner = node.inputs[0]
    if not isinstance(inner.op, Sum) or not used_once(inner) or node.dtype != inner.inputs[0].dtype:
        return None
    first, second, x = inner.op, node.op, inner.inputs[0]
    assert isinstance(second, Sum)
    left = [a for a in range(x.ndim) if first.keepdims or a not in first.axis]
    axes = set(first.axis) | {left[a] for a in second.axis}
    return F.reshape(F.sum(x, axis=tuple(sorted(axes))), node.shape)


def _sum_of_rearranged(node: Tensor) -> Tensor | None:
    """The sum of all elements does not depend on their arrangement; that over some axes follows a transpose."""
    op, moved = node.op, node.inputs[0]
    assert isinstance(op, Sum)
    x = moved.inputs[0]
    if len(op.axis) == moved.ndim and moved.ndim and x.ndim:
        if isinstance(moved.op, Unslice | ScatterAdd) and not is_inexact(x.dtype):
            return None
        return F.reshape(F.sum(x), node.shape)
    if isinstance(moved.op, Transpose) and not op.keepdims:
        order = moved.op.axes
        axes = {order[a] for a in op.axis}
        kept = [a for a in range(x.ndim) if a not in axes]
        wanted = [a for a in order if a not in axes]
        return F.transpose(F.sum(x, axis=tuple(axes)), tuple(kept.index(a) for a in wanted))
    return None


def _sum_of_scatter(node: Tensor) -> Tensor | None:
    """What was scattered along an axis, one place in each row, is summed along it again: the values themselves."""
    op, placed = node.op, node.inputs[0]
    scatter, (v, *indices) = placed.op, placed.inputs
    assert isinstance(op, Sum) and isinstance(scatter, ScatterAdd)
    if not is_inexact(node.dtype) or len(op.axis) != 1 or op.axis[0] not in scatter.axes:
        return None
    if scatter.axes != tuple(range(placed.ndim)) or any(i.ndim != placed.ndim for i in indices):
        return None
    (axis,) = op.axis
    for a, index in zip(scatter.axes, indices, strict=True):
        if a == axis:
            continue
        counted = index.inputs[0] if isinstance(index.op, Reshape) else index
        counts = (
            counted.op.name == "arange" and counted.ndim == 1 and same(counted.op.start, 0) and counted.op.step == 1  # type: ignore[attr-defined]
        )
        along = [i for i, n in enumerate(index.shape) if not same(n, 1)]
        if not counts or along != [a] or not same(counted.shape[0], placed.shape[a]):
            return None
    return F.sum(v, axis=axis, keepdims=op.keepdims)


# One-hot rows --------------------------------------------------------------------------------------------------------


def _is_one_hot(node: Tensor) -> bool:
    """Whether `node` is rows of an identity matrix, eye(n)[k]."""
    eye = node.inputs[0].op if node.inputs else None
    return (
        isinstance(node.op, Gather)
        and node.op.axes == (0,)
        and isinstance(eye, Eye)
        and eye.k == 0
        and same(eye.rows, eye.columns)
    )


def _one_hot_product(node: Tensor) -> Tensor | None:
    """eye(n)[k] @ W = W[k]."""
    op = node.op
    assert isinstance(op, Einsum)
    if len(node.inputs) != 2 or not is_inexact(node.dtype):
        return None
    for i in (0, 1):
        hot, w = node.inputs[i], node.inputs[1 - i]
        if not _is_one_hot(hot):
            continue
        *rows, column = op.operands[i]
        labels = op.operands[1 - i]
        summed = column not in op.output and column not in rows and labels.count(column) == 1
        if not summed or set(rows) & set(labels) or len(set(rows)) < len(rows):
            continue
        at = labels.index(column)
        picked = make((Pick if not rows else Gather)((at,)), w, hot.inputs[1])
        return contraction([(*labels[:at], *rows, *labels[at + 1 :])], op.output, [picked])
    return None


def _one_hot_sum(node: Tensor) -> Tensor | None:
    """sum(eye(n)[k] * x, axis=-1) = the element k of each row of x."""
    op, product = node.op, node.inputs[0]
    assert isinstance(op, Sum)
    if product.op is not multiply or op.axis != (product.ndim - 1,) or not is_inexact(node.dtype):
        return None
    for i in (0, 1):
        hot, x = product.inputs[i], product.inputs[1 - i]
        if _is_one_hot(hot) and same_shape(hot.shape, x.shape) and hot.ndim > 1:
            found = F.take_along_axis(x, F.expand_dims(hot.inputs[1], -1), axis=-1)
            return F.reshape(found, node.shape)
    return None


def _spread_once(node: Tensor) -> Tensor | None:
    """A rearranged constant array is a constant array: reshape(full), transpose(full), full[...]."""
    inner = node.inputs[0]
    if isinstance(inner.op, Full) or (isinstance(inner.op, BroadcastTo) and inner.inputs[0].ndim == 0):
        return F.full(node.shape, F.cast(inner.inputs[0], node.dtype) if node.dtype != inner.dtype else inner.inputs[0])
    return None


def _triangle_of_truth(node: Tensor) -> Tensor | None:
    """The triangle of a matrix that is True everywhere is a comparison of places."""
    op, x = node.op, node.inputs[0]
    assert isinstance(op, Triangle)
    if x.ndim != 2 or number_of(x.inputs[0]) is not True:
        return None
    rows, columns = x.shape
    below = F.arange(op.k, rows + op.k)[:, None]
    return below >= F.arange(columns) if op.part == "tril" else below <= F.arange(columns)


def _nothing_placed(node: Tensor) -> Tensor | None:
    """Zeros at some places of zeros are zeros."""
    x = node.inputs[0]
    zero = isinstance(x.op, Full | BroadcastTo) and number_of(x.inputs[0]) == 0
    return F.zeros_like(node) if zero and not isinstance(node.aval, tuple) else None


MOVING = [Reshape, Transpose, Slice, Gather, Pick]


def _multiple_of_eye(node: Tensor) -> Tensor | None:
    """c * eye(n): c on the diagonal, which a sum adds in its place."""
    a, b = node.inputs
    eye, c = (a, b) if isinstance(a.op, Eye) else (b, a)
    if not isinstance(eye.op, Eye) or c.ndim or node.dtype != eye.dtype or (node.op is divide and eye is b):
        return None
    ones = diagonal(eye, eye.op.k).shape
    value = c if node.op is multiply else 1 / c
    return make(DiagonalMatrix(eye.op.k, eye.op.rows, eye.op.columns), F.broadcast_to(value, ones))


LINEAR = RuleSet(
    *node_rules("factor out of a rearrangement", MOVING, _factor_out, needs=[multiply, divide, negative], tag="exact",
        examples=[lambda X, x: F.transpose(x * X), lambda X: (X * 3)[:, 1:], lambda X: F.reshape(-X, X.size),
                  lambda X: (X / 3)[:, 0]]),
    *node_rules("factor out of a contraction", [Einsum], _factor_out_of_contraction, needs=[multiply, divide, negative],
        tag="finite-real", moderate=True,
        examples=[lambda X: (3.0 * X) @ np.ones((3, 2)), lambda x: (-x) @ x if x.ndim == 1 else None]),
    *node_rules("factor into zeros", [multiply, divide, negative], _factor_into_zeros, needs=[Unslice, ScatterAdd, DiagonalMatrix],
        tag="finite-real", examples=[lambda x: F.pad(x, 1) * 3 if x.ndim else None, lambda x: -F.pad(x, 2) if x.ndim else None,
                                    lambda x: 2.0 * F.diag(x) if x.ndim == 1 else None]),
    *node_rules("zeros among zeros", [Unslice, ScatterAdd], _nothing_placed, needs=[Full, BroadcastTo], tag="exact",
        examples=[lambda x: F.pad(F.zeros_like(x), 1) if x.ndim and x.size else None]),
    *node_rules("triangle of what is true", [Triangle], _triangle_of_truth, needs=[Full], tag="exact",
        examples=[lambda: F.tri(3, dtype=bool), lambda: F.tri(3, 4, 1, dtype=bool), lambda: F.triu(F.ones((4, 3), bool), -2)]),
    *node_rules("multiple of the identity", [multiply, divide], _multiple_of_eye, needs=[Eye], tag="finite-real",
        examples=[lambda x: x.sum() * F.eye(3, 4, 1) if x.ndim else x * F.eye(3), lambda X: F.eye(2) / X.max()]),
    *node_rules("factor out of a sum", [Sum], _row_factor_out, needs=[multiply, divide], tag="finite-real", moderate=True,
        examples=[lambda X, x: F.sum(x * X), lambda X: F.sum(X / 7.0, axis=0),
                  lambda X: F.sum(F.sum(X, axis=1, keepdims=True) * X, axis=1) if X.shape[1] == 3 else None]),
    *node_rules("term out of a sum", [Sum], _row_term_out, needs=[add, subtract], tag="finite-real", moderate=True,
        examples=[lambda X, x: F.sum(X * X + x), lambda X, x: F.sum(x - X * X, axis=1)]),
    *node_rules("sum of squares", [Sum], _sum_of_squares, needs=[add], tag="rounding", moderate=True,
        examples=[lambda X: F.sum(100 * (X * X) + (X + 1) * (X + 1)), lambda X: F.sum(X * X + 3 * (F.sin(X) * F.sin(X)), axis=1)]),
    *node_rules("sum of one element", [Sum], _sum_of_single, tag="finite-real",
        examples=[lambda X: F.sum(X[:, :1], axis=1), lambda X: F.sum(X[:, None], axis=1, keepdims=True)]),
    *node_rules("sum of a sum", [Sum], _sum_of_sum, needs=[Sum], tag="rounding", moderate=True,
        examples=[lambda X: F.sum(F.sum(X, axis=0), axis=0), lambda X: F.sum(F.sum(X, axis=1, keepdims=True), axis=0, keepdims=True)]),
    *node_rules("sum of what is rearranged", [Sum], _sum_of_rearranged, needs=[Reshape, Transpose, Unslice, ScatterAdd],
        tag="rounding", moderate=True,
        examples=[lambda X: F.sum(F.transpose(X)), lambda X: F.sum(F.transpose(X), axis=0), lambda x: F.sum(F.pad(x, 2)) if x.ndim else None]),
    *node_rules("sum of a scatter", [Sum], _sum_of_scatter, needs=[ScatterAdd], tag="finite-real",
        examples=[lambda x: F.sum(_scattered(x), axis=1) if x.ndim == 1 and x.shape[0] else None]),
    *node_rules("product with one-hot rows", [Einsum], _one_hot_product, needs=[Gather, Pick], tag="finite-real",
        examples=[lambda X: F.eye(3)[np.array([2, 0, 0, 1])] @ F.transpose(X)]),
    *node_rules("sum over one-hot rows", [Sum], _one_hot_sum, needs=[multiply], tag="finite-real",
        examples=[lambda X: F.sum(F.eye(3)[np.array([2, 0, 0, 1])] * X, axis=1) if X.shape[0] == 4 and X.shape[1] == 3 else None]),
    *node_rules("rearranged constant array", MOVING, _spread_once, needs=[Full, BroadcastTo], tag="exact",
        examples=[lambda x: F.reshape(F.full((2, 3), x), 6), lambda x: F.full((2, 3), x).T[1:],
                  lambda x: F.full(4, x)[np.array([1, 2])]]),
)  # fmt: skip


def _scattered(x: Tensor) -> Tensor:
    """Each element of `x` in a row of its own: for an example."""
    rows = F.arange(x.shape[0])[:, None]
    columns = F.reshape(F.remainder(F.arange(x.shape[0]) * 2, 3), (x.shape[0], 1))
    return make(ScatterAdd((0, 1), (x.shape[0], 3), 1), F.reshape(x, (x.shape[0], 1)), rows, columns)


__all__ = ["LINEAR"]
