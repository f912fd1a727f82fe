"""What it takes to compute a derivative, estimated: by this one of several forms is chosen.

The estimate is that of contraction planning, in nanoseconds: a contraction at the cost of its best order, any other step at
the elements it reads and writes. Parts that the forms share count for all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Tensor, toposort
from ..ops.base import Primitive
from ..ops.einsum import Einsum
from ..rewrite.contractions.order import CALL, ELEMENTWISE, VIEW, cost_of
from ..rewrite.contractions.regions import elements


def work(outputs: Sequence[Tensor]) -> float:
    """An estimate of the time that computing the outputs takes."""
    return sum(_step(node) for node in toposort(outputs) if node.inputs and not isinstance(node.aval, tuple))


def _step(node: Tensor) -> float:
    op = node.op
    if isinstance(op, Einsum) and not op.is_view:
        return cost_of(node)
    if isinstance(op, Primitive) and op.is_view:
        return VIEW
    return CALL + ELEMENTWISE * (
        elements(node) + sum(elements(x) for x in node.inputs if not isinstance(x.aval, tuple))
    )
