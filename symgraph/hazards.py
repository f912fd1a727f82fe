"""Where a derivative may be infinite or undefined, found from the ops themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .core import Constant, Tensor, describe, toposort
from .ops.base import Primitive, as_tensor
from .ops.elementwise import divide, power
from .provenance import Location, format_location
from .pytree import flatten
from .rewrite import stabilize_nodes
from .rewrite.signs import is_positive


@dataclass(frozen=True)
class Hazard:
    """One place where an adjoint can be inf or nan."""

    node: Tensor
    condition: str
    where: Location | None

    def __str__(self) -> str:
        at = format_location(self.where)
        operands = ", ".join(describe(x, short=True) for x in self.node.inputs)
        what = f"{self.node.op.name}({operands}): the derivative is infinite or undefined where {self.condition}"
        return f"{at}: {what}" if at else what


def hazards(outputs: Any) -> list[Hazard]:
    """Every place in the graph of `outputs` where an adjoint can be inf or nan, with the user's line.

    The graph is looked at as differentiation sees it, with stable forms recognised: `log(1 + exp(x))` is no hazard.
    A derivative under an untaken branch of `where` is still listed; it is guarded there and does not reach the result.

    >>> from symgraph import hazards, sqrt, symbol
    >>> [h.condition for h in hazards(sqrt(symbol("x")))]
    ['x = 0']
    """
    leaves, _ = flatten(outputs)
    found = []
    for node in toposort(stabilize_nodes([as_tensor(leaf) for leaf in leaves])):
        if isinstance(node.op, Primitive) and node.op.hazard and node.leafy and not is_harmless(node):
            found.append(Hazard(node, node.op.hazard, node.where))
    return found


SINGULAR_AT_ZERO = {
    "divide": 1,
    "reciprocal": 0,
    "sqrt": 0,
    "cbrt": 0,
    "log": 0,
    "log2": 0,
    "log10": 0,
    "power": 0,
    "xlogy": 1,
}
"""The operand of an op whose derivative is infinite or undefined where that operand is 0."""


def is_harmless(node: Tensor) -> bool:
    """Whether the operand on which the hazard rests is known to stay away from the singular point."""
    operand = SINGULAR_AT_ZERO.get(node.op.name)
    if operand is None:
        return False
    if is_positive(node.inputs[operand]):
        return True
    if node.op is power and isinstance(node.inputs[1].op, Constant):
        n = node.inputs[1].op.value
        return bool(((n >= 1) | (n == 0)).all())
    return node.op is divide and isinstance(node.inputs[1].op, Constant) and bool((node.inputs[1].op.value != 0).all())
