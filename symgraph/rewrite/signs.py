"""What can be shown about the sign of a value by a short look at how it is made."""

from __future__ import annotations

from ..core import Constant, Tensor
from ..dtypes import is_complex
from ..ops.base import Primitive

DEPTH = 8

POSITIVE_EVERYWHERE = frozenset(["exp", "exp2", "cosh", "sigmoid", "softplus", "logistic"])
POSITIVE_IF_ALL = frozenset([
    "sum", "prod", "multiply", "divide", "sqrt", "cbrt", "square", "reciprocal", "max", "min", "minimum",
    "cast", "full", "dim_value", "reshape", "transpose", "broadcast_to",
])  # fmt: skip


def is_nonnegative(node: Tensor, depth: int = DEPTH) -> bool:
    """Whether `node` is never negative (nan aside)."""
    if isinstance(node.op, Constant):
        return not is_complex(node.dtype) and bool((node.op.value >= 0).all())
    if depth == 0 or not isinstance(node.op, Primitive) or node.dtype.kind == "i":  # signed integers wrap around
        return False
    if node.op.name == "multiply" and node.inputs[0] is node.inputs[1] and not is_complex(node.dtype):
        return True
    return node.op.nonnegative(*[is_nonnegative(x, depth - 1) for x in node.inputs])


def is_positive(node: Tensor, depth: int = DEPTH) -> bool:
    """Whether `node` is positive in exact arithmetic: a size is taken to be at least 1, and exp(x) not to underflow."""
    if isinstance(node.op, Constant):
        return not is_complex(node.dtype) and bool((node.op.value > 0).all())
    name = node.op.name
    if depth == 0 or not isinstance(node.op, Primitive):
        return False
    if name in POSITIVE_EVERYWHERE:
        return True
    if name in POSITIVE_IF_ALL:
        return all(is_positive(x, depth - 1) for x in node.inputs)
    if name == "add":
        x, y = node.inputs
        return (is_positive(x, depth - 1) and is_nonnegative(y)) or (is_positive(y, depth - 1) and is_nonnegative(x))
    return name == "maximum" and any(is_positive(x, depth - 1) for x in node.inputs)
