"""Matrix products as they are written by hand: without the identity, and without a transpose around them.

    A.T @ I = A.T        trace'(A @ X) = A.T        (U.T @ R).T = R.T @ U        (S.T @ A.T).T = A @ S        0 @ W = 0

The derivative of a trace is an identity matrix, and every product with it moves labels and computes nothing. The
derivative with respect to a factor that was transposed is the transpose of a product, which is the product of the
transposes in reverse: the same work, and its elements lie in the order in which they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Constant, Tensor
from ..dims import same
from ..dtypes import is_inexact
from ..ops.creation import Full
from ..ops.diagonal import Eye
from ..ops.einsum import Einsum, contraction
from ..ops.late import F
from ..ops.shape import BroadcastTo, Transpose
from .factors import number_of
from .facts import facts, used_once
from .pattern import RuleSet, node_rules

Labels = Sequence[Any]


def _is_identity(x: Tensor) -> bool:
    """Whether `x` is a square matrix with a number on the diagonal and 0 elsewhere, made from nothing else."""
    op = x.op
    if isinstance(op, Eye):
        return op.k == 0 and same(op.rows, op.columns)
    return isinstance(op, Einsum) and op.output == (0, 0) and op.operands == ((),)


def _without_identity(node: Tensor) -> Tensor | None:
    """A product with an identity matrix is a product with its two labels made one."""
    op = node.op
    assert isinstance(op, Einsum)
    if len(node.inputs) < 2 or not is_inexact(node.dtype):
        return None
    for i, x in enumerate(node.inputs):
        if not _is_identity(x) or x in facts.current.frozen:
            continue
        rest = [ls for j, ls in enumerate(op.operands) if j != i]
        there = {label for ls in rest for label in ls}
        for gone, kept in (op.operands[i], op.operands[i][::-1]):
            if gone == kept or gone in op.output or kept not in {*there, *op.output} or not {gone, kept} & there:
                continue
            labels = [tuple(kept if label == gone else label for label in ls) for ls in rest]
            xs = [y for j, y in enumerate(node.inputs) if j != i]
            sizes = dict(enumerate(op.sizes, len({label for ls in op.operands for label in ls})))
            made = contraction(labels, op.output, xs, sizes)
            return made if isinstance(x.op, Eye) or number_of(x.inputs[0]) == 1 else x.inputs[0] * made
    return None


def _is_nothing(x: Tensor) -> bool:
    """Whether all elements are 0, and known to be."""
    if isinstance(x.op, Full | BroadcastTo):
        x = x.inputs[0]
    return isinstance(x.op, Constant) and x.op.value.size > 0 and not x.op.value.any()


def _product_with_nothing(node: Tensor) -> Tensor | None:
    """A product with a matrix of zeros is zeros, as x * 0 is 0."""
    if not any([_is_nothing(x) and x not in facts.current.frozen for x in node.inputs]):
        return None
    return F.zeros_like(node)


def _transposed_product(node: Tensor) -> Tensor | None:
    """(x @ y).T = y.T @ x.T, where nobody else needs x @ y."""
    inner = node.inputs[0]
    op = inner.op
    assert isinstance(op, Einsum)
    if inner.ndim != 2 or len(inner.inputs) != 2 or op.has_delta or op.sizes or not used_once(inner):
        return None
    return contraction(op.operands, op.output[::-1], inner.inputs) if is_inexact(node.dtype) else None


def _transposed_operand(node: Tensor) -> Tensor | None:
    """A product with x.T is one with x, whose labels are exchanged."""
    op = node.op
    assert isinstance(op, Einsum)
    turned = [isinstance(x.op, Transpose) and x.ndim == 2 and x not in facts.current.frozen for x in node.inputs]
    if not any(turned):
        return None
    labels = [ls[::-1] if t else ls for ls, t in zip(op.operands, turned, strict=True)]
    xs = [x.inputs[0] if t else x for x, t in zip(node.inputs, turned, strict=True)]
    sizes = dict(enumerate(op.sizes, len({label for ls in op.operands for label in ls})))
    return contraction(labels, op.output, xs, sizes)


MATRICES = RuleSet(
    *node_rules(
        "product with the identity", [Einsum], _without_identity, needs=[Eye, Einsum], tag="finite-real",
        examples=[
            lambda X: X @ F.eye(3) if X.shape[1] == 3 else None,
            lambda X: F.eye(X.shape[0]) @ X,
            lambda X: F.einsum("ij,jk,ik->k", X, F.eye(3), X) if X.shape[1] == 3 else None,
            lambda X: X.T @ _spread(X.shape[0]),
        ],
    ),
    *node_rules(
        "product with zeros", [Einsum], _product_with_nothing, needs=[Full, BroadcastTo, Constant], tag="finite-real",
        examples=[
            lambda X: X.T @ F.zeros((X.shape[0], 2)),
            lambda X: F.einsum("ij,j->i", X, np.zeros(X.shape[1])) if X.size else None,
            lambda X: F.full(X.shape[0], 0.0) @ X,
        ],
    ),
    *node_rules(
        "transpose of a product", [Transpose], _transposed_product, needs=[Einsum], tag="rounding", moderate=True,
        examples=[lambda X: F.transpose(X @ X[:2].T), lambda X: F.transpose(X.T @ F.exp(X))],
    ),
    *node_rules(
        "product with a transpose", [Einsum], _transposed_operand, needs=[Transpose], tag="rounding", moderate=True,
        examples=[lambda X: X @ X[:2].T, lambda X: X.T @ F.exp(X)],
    ),
)  # fmt: skip


def _spread(n: Any) -> Tensor:
    """2 on the diagonal, as the derivative of 2 * trace(x) has it: for an example."""
    return contraction([()], ("i", "i"), [F.full((), 2.0)], {"i": n})


__all__ = ["MATRICES"]
