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
    if node.op.name == "multiply" and not is_complex(node.dtype):
        return all(is_nonnegative(x, depth - 1) for x in _odd_factors(node, depth))
    if node.op.name == "subtract" and _is_one(node.inputs[0]):
        return _is_at_most_one(node.inputs[1])
    return node.op.nonnegative(*[is_nonnegative(x, depth - 1) for x in node.inputs])


def _odd_factors(node: Tensor, depth: int) -> list[Tensor]:
    """The factors of a product that do not occur an even number of times."""
    found: dict[Tensor, None] = {}
    stack = [node]
    while stack:
        x = stack.pop()
        if x.op.name == "multiply" and depth:
            depth -= 1
            stack += x.inputs
        elif x in found:
            del found[x]
        else:
            found[x] = None
    return list(found)


def _is_one(x: Tensor) -> bool:
    x = x.inputs[0] if x.op.name in ("full", "broadcast_to") else x
    return isinstance(x.op, Constant) and x.op.number == 1


def _is_at_most_one(x: Tensor) -> bool:
    """Whether x <= 1 wherever it is no nan: the values of sigmoid, softmax and their like, and their squares."""
    if x.op.name in ("multiply", "square", "power"):
        base, exponent = x.inputs[0], x.inputs[-1]
        if x.op.name == "multiply" and base is not exponent:
            return all(y.op.name in ("sigmoid", "softmax") for y in x.inputs)
        if x.op.name == "power" and not (isinstance(exponent.op, Constant) and exponent.op.number == 2):
            return False
        x = base
    return x.op.name in ("sigmoid", "softmax", "tanh", "sin", "cos", "erf")


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
