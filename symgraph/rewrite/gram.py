"""Weighted Gram matrices: A.T @ diag(d) @ A with d >= 0 is B.T @ B for B = sqrt(d)[:, None] * A.

BLAS knows that B.T @ B is symmetric (SYRK) and takes half the time. The Hessian of every convex loss of A @ x has this
form. Tried before lowering, while it can still be seen that a weight such as p * (1 - p) is not negative; after all
differentiation, for the root has no derivative at 0. Weights of which nothing is known are parted by their sign when the
function runs.
"""

from __future__ import annotations

from ..core import Tensor, make
from ..dims import prod
from ..ops.einsum import Einsum, contraction
from ..ops.gram import WeightedGram
from ..ops.late import F
from .contractions.order import nominal
from .pattern import NodeRule, RuleSet
from .signs import is_nonnegative

SMALLEST = 1 << 20
"""Products of fewer multiply-adds are left: the root and the product by it cost more than half of them."""

WIDE, LARGE = 100, 1 << 22
"""With weights of both signs the rows are copied: it takes so many columns, and multiply-adds, to win that back."""


def _factors(node: Tensor) -> tuple[Tensor, Tensor, int] | None:
    """The matrix, the weight of its summed axis, and that axis, if the node is a weighted Gram matrix."""
    op = node.op
    assert isinstance(op, Einsum)
    matrices = [i for i, x in enumerate(node.inputs) if x.ndim == 2]
    weights = [i for i, x in enumerate(node.inputs) if x.ndim == 1]
    if len(op.output) != 2 or len(matrices) != 2 or not weights or len(matrices) + len(weights) < len(node.inputs):
        return None
    a, b = matrices
    inner = set(op.operands[a]) & set(op.operands[b])
    if node.inputs[a] is not node.inputs[b] or len(inner) != 1 or node.dtype.char not in "fd":
        return None
    (k,) = inner
    axis = op.operands[a].index(k)
    if op.operands[b].index(k) != axis or k in op.output or any(op.operands[i] != (k,) for i in weights):
        return None
    weight = node.inputs[weights[0]]
    for i in weights[1:]:
        weight = weight * node.inputs[i]
    return node.inputs[a], weight, axis


def _work(x: Tensor, axis: int) -> float:
    return nominal(prod(x.shape)) * nominal(x.shape[1 - axis])


def _gram(node: Tensor) -> Tensor | None:
    found = _factors(node)
    if found is None:
        return None
    x, weight, axis = found
    if _work(x, axis) < SMALLEST or not is_nonnegative(weight):
        return None
    root = F.sqrt(weight)
    scaled = x * (root if axis else F.expand_dims(root, 1))
    labels = ((0, 1), (2, 1)) if axis else ((1, 0), (1, 2))
    return contraction(labels, (0, 2), [scaled, scaled])


def _signed_gram(node: Tensor) -> Tensor | None:
    found = _factors(node)
    if found is None:
        return None
    x, weight, axis = found
    if _work(x, axis) < LARGE or nominal(x.shape[1 - axis]) < WIDE:
        return None
    return make(WeightedGram(), x.T if axis else x, weight)


GRAM = RuleSet(NodeRule(Einsum, _gram, tag="rounding", name="weighted Gram matrix"))

SIGNED_GRAM = RuleSet(NodeRule(Einsum, _signed_gram, tag="rounding", name="Gram matrix with weights of both signs"))
"""For the fast style."""
