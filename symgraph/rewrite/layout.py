"""Layout of stacks: a transposition of three axes or more moves outwards past elementwise ops and pooling.

    relu(x.transpose(p) + b) = relu(x + b').transpose(p)          max_pool(x.transpose(p)) = max_pool'(x).transpose(p)

Convolutions compute in a layout of their own and transpose what they take and give. Between two of them transpositions
meet and cancel, so that everything between runs along memory, in the layout of the convolution. What has fewer axes than
the result, or size 1 along them (a bias), is transposed instead, which costs nothing.
"""

from __future__ import annotations

from ..core import Tensor, make
from ..dims import same
from ..ops.base import Elementwise
from ..ops.elementwise import Cast, MaskedMultiply, Where
from ..ops.late import F
from ..ops.pool import max_pool2d
from ..ops.pooled import AtMax, Pooled, ShareMax, WindowMax, WindowSum
from ..ops.shape import Transpose
from .canonical import CANONICALIZE, ELEMENTWISE
from .movement import SCALING
from .pattern import RuleSet, node_rules


def _outwards(node: Tensor) -> Tensor | None:
    """f(x.transpose(p), b) = f(x, b').transpose(p)."""
    order = _order(node)
    if order is None or isinstance(node.aval, tuple):
        return None
    if node.op in SCALING and sum(x.ndim > 0 for x in node.inputs) == 1:
        return None  # a factor moves outwards itself
    back = tuple(sorted(range(node.ndim), key=order.__getitem__))
    bare = []
    for x in node.inputs:
        if isinstance(x.op, Transpose) and x.op.axes == order:
            bare.append(x.inputs[0])
        elif not x.ndim:
            bare.append(x)
        elif sum(not same(n, 1) for n in x.shape) <= 1:
            shape = (*[1] * (node.ndim - x.ndim), *x.shape)
            bare.append(F.reshape(x, tuple(shape[a] for a in back)))
        else:
            return None
    if isinstance(node.op, Elementwise) and node.flipped:
        bare = bare[::-1]
    return F.transpose(make(node.op, *bare), order)


def _pooled_outwards(node: Tensor) -> Tensor | None:
    """pool(x.transpose(p)) = pool'(x).transpose(p); the operands that come with x are transposed to it."""
    op, x = node.op, node.inputs[-2 if len(node.inputs) == 3 else 0]
    if not isinstance(op, Pooled) or not isinstance(x.op, Transpose):
        return None
    order = x.op.axes
    back = tuple(sorted(range(node.ndim), key=order.__getitem__))
    bare = [F.transpose(z, back) for z in node.inputs]
    return F.transpose(make(op.along_axes(order), *bare), order)


def _order(node: Tensor) -> tuple[int, ...] | None:
    """The one permutation of the operands that are transposed, if it is of as many axes as the result, three or more."""
    orders = {x.op.axes for x in node.inputs if isinstance(x.op, Transpose) and x.ndim == node.ndim > 2}
    return orders.pop() if len(orders) == 1 else None


LAYOUT = RuleSet(
    *node_rules("stacks transposed outwards", [*ELEMENTWISE, Where, MaskedMultiply, Cast], _outwards, needs=[Transpose],
        examples=[lambda X: F.exp(_stack(X)) * _stack(X) + X[0, :1], lambda X: F.where(_stack(X) > 0, _stack(X), 0)]),
    *node_rules("pooling transposed outwards", [WindowMax, WindowSum, AtMax, ShareMax], _pooled_outwards, needs=[Transpose],
        examples=[lambda X: max_pool2d(_stack(X), (1, 2)) if X.shape[0] > 1 else None]),
)  # fmt: skip


def _stack(x: Tensor) -> Tensor:
    return F.transpose(F.stack([x, 2 * x]), (1, 0, 2) if x.ndim == 2 else (0,))


ARRANGE = CANONICALIZE + LAYOUT

__all__ = ["ARRANGE", "LAYOUT"]
