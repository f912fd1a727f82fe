"""How much work a step is: floating-point operations, and bytes that pass between memory and processor.

Each op counts its own operations (`Primitive.cost`: one for each element that is computed or moved, more where a function
or a factorization takes more, none for views). A step that is no view reads each of its operands once and writes its
result once; a broadcast operand is read as small as it is stored. Ops that move less, or that run other steps inside,
say so themselves (`Primitive.traffic`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dims
from ..core import Aval, Body, ShapedArray, Tensor, toposort
from .base import Primitive

See = Callable[[Any], Any]
"""How a type is to be seen: as it is, or with other sizes in it."""


def as_it_is(aval: Any) -> Any:
    """The type itself."""
    return aval


def is_step(node: Tensor) -> bool:
    """Whether computing the node does anything: it is no leaf, no constant, no output of another step, and no view."""
    return isinstance(node.op, Primitive) and (not node.op.is_view or bool(node.op.bodies))


def flops_of(node: Tensor, see: See = as_it_is) -> Any:
    """Floating-point operations of one node, its operands given."""
    op = node.op
    if not isinstance(op, Primitive) or not is_step(node):
        return 0
    return op.cost(see(node.aval), *[see(x.aval) for x in node.inputs])


def bytes_of(node: Tensor, see: See = as_it_is) -> Any:
    """Bytes that one node reads and writes, each operand once however often it is used."""
    op = node.op
    if not isinstance(op, Primitive) or not is_step(node):
        return 0
    own = op.traffic(see(node.aval), *[see(x.aval) for x in node.inputs])
    if own is not None:
        return own
    operands = dict.fromkeys([stored_as(x) for x in node.inputs])
    return nbytes(see(node.aval)) + sum(nbytes(see(x.aval)) for x in operands)


def stored_as(x: Tensor) -> Tensor:
    """What is read where `x` is an operand: of a broadcast value, what it was before it was repeated."""
    while x.op.name == "broadcast_to":
        x = x.inputs[0]
    return x


def nbytes(aval: Aval) -> Any:
    """The size of a value in memory, an int or a Dim. A value without axes is not counted."""
    if isinstance(aval, ShapedArray):
        return dims.prod(aval.shape) * aval.dtype.itemsize if aval.shape else 0
    return sum(nbytes(a) for a in aval)


def body_flops(body: Body) -> Any:
    """Floating-point operations of one run of a closed sub-graph."""
    return sum(flops_of(node) for node in toposort(body.outputs))


def body_bytes(body: Body) -> Any:
    """Bytes that one run of a closed sub-graph reads and writes."""
    return sum(bytes_of(node) for node in toposort(body.outputs))
