"""Sums, for the fast style: in the order and in the form that make the least work.

The gradient of a weight that is used a hundred times is a sum of a hundred products. Added one by one as they come, they
need one running total; in any other order the products wait in memory for one another. What is mostly zeros, such as one
number in each row, comes last, so that it can be added in its places: `s - c * p` becomes `(-c) * p + s`.

A product of a column and a row to which something is added in its places is an outer product, for which BLAS takes half the
time of np.multiply. The columns of a matrix are summed by BLAS, as `ones @ x`: np.add.reduce takes 2 to 9 times as long, and most where rows
are short ((64, 128) float32: 2.5 us, not 0.9; (100000, 10): 1534, not 172).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Constant, Tensor, building, make, rebuild, toposort
from ..dims import prod, same_shape
from ..ops.base import Primitive
from ..ops.einsum import Einsum, contraction
from ..ops.late import F
from ..ops.reduce import Sum
from ..ops.shape import Reshape
from ..provenance import current, name_of
from .contractions.regions import elements
from .engine import Mapping

FEWEST = 4
"""Shorter sums are left as they are written."""

SMALLER = 8
"""A factor with so many times fewer elements than its product is negated in its place."""


@building()
def order_sums(outputs: Sequence[Tensor]) -> tuple[list[Tensor], Mapping]:
    """`outputs` with sums in the form and order of the least work, and the successor of every node."""
    order = toposort(outputs)
    if not any([x.ndim for x in order if not isinstance(x.aval, tuple)]):
        return list(outputs), dict(zip(order, order, strict=True))
    users: dict[Tensor, list[Tensor]] = {}
    depth: dict[Tensor, int] = {}
    for node in order:
        depth[node] = 1 + max([depth[x] for x in node.inputs], default=0)
        for x in node.inputs:
            users.setdefault(x, []).append(node)
    kept = set(outputs)
    inner = {
        node
        for node in order
        if _is_sum(node) and node not in kept and name_of(node) is None
        and len(users[node]) == 1 and _is_sum(users[node][0])
    }  # fmt: skip
    done: Mapping = {}
    keep = current.where
    try:
        for node in order:
            current.where = node.where
            if _sums_columns(node):
                x = done[node.inputs[0]]
                x = F.reshape(x, (prod(x.shape[:-1]), x.shape[-1]))
                done[node] = contraction([(0,), (0, 1)], (1,), [F.ones(x.shape[:1], x.dtype), x])
                continue
            opposite = None
            if node.op is F.subtract and _is_sparse(node.inputs[0]):
                opposite = _opposite(done[node.inputs[1]])
            if opposite is not None:
                done[node] = _as_outer(opposite) + done[node.inputs[0]]
                continue
            if node.op is F.add and any(map(_is_sparse, node.inputs)):
                done[node] = rebuild(node, [_as_outer(done[x]) for x in node.inputs])
                continue
            terms = terms_of(node, inner) if _is_sum(node) and node not in inner else []
            if len(terms) < FEWEST:
                done[node] = rebuild(node, [done[x] for x in node.inputs])
                continue
            first, *rest = sorted(terms, key=depth.__getitem__)
            total = done[first]
            for x in rest:
                total = total + done[x]
            done[node] = total
    finally:
        current.where = keep
    return [done[o] for o in outputs], done


def _sums_columns(node: Tensor) -> bool:
    """Whether the node is the sum over the rows of a matrix of float32 or float64, or over those of a stack of matrices."""
    op = node.op
    if not isinstance(op, Sum) or op.keepdims or node.dtype.char not in "fd" or node.ndim != 1:
        return False
    (x,) = node.inputs
    return op.axis == tuple(range(x.ndim - 1)) != () and x.dtype == node.dtype


def _is_sparse(x: Tensor) -> bool:
    """Whether the op can add its result to an array in less work than it takes to make it."""
    return isinstance(x.op, Primitive) and x.ndim > 0 and x.op.mostly_zeros


def _as_outer(x: Tensor) -> Tensor:
    """The product of a column and a row as an outer product, which BLAS makes in half the time."""
    if x.op is not F.multiply or x.ndim != 2 or x.dtype.char not in "fd":
        return x
    for column, row in (x.inputs, x.inputs[::-1]):
        whole = isinstance(column.op, Reshape) and same_shape(column.shape, (*column.inputs[0].shape, 1))
        if whole and row.ndim == 1 and same_shape(x.shape, (column.shape[0], row.shape[0])):
            return contraction([(0,), (1,)], (0, 1), [column.inputs[0], row])
    return x


def _opposite(x: Tensor) -> Tensor | None:
    """-x where a number or a far smaller array among its factors can take the sign, else None."""
    if isinstance(x.op, Constant):
        return make(Constant(-x.op.value, x.op.weak)) if not x.ndim and x.dtype.kind == "f" else None
    if x.op in (F.multiply, F.divide):
        for i in sorted(range(2), key=lambda i: x.inputs[i].ndim):
            opposite = _opposite(x.inputs[i])
            if opposite is not None:
                return rebuild(x, [*x.inputs[:i], opposite, *x.inputs[i + 1 :]])
    if x.op is F.multiply or isinstance(x.op, Einsum):
        i = min(range(len(x.inputs)), key=lambda i: (elements(x.inputs[i]), x.inputs[i].ndim))  # a row, not its column
        if SMALLER * elements(x.inputs[i]) <= elements(x):
            return rebuild(x, [*x.inputs[:i], -x.inputs[i], *x.inputs[i + 1 :]])
    return None


def _is_sum(node: Tensor) -> bool:
    """Whether the node adds two arrays of its own shape, in floating point."""
    return (
        node.op is F.add
        and node.ndim > 0
        and node.dtype.kind in "fc"
        and all(x.ndim == node.ndim and same_shape(x.shape, node.shape) for x in node.inputs)
    )


def terms_of(root: Tensor, inner: set[Tensor]) -> list[Tensor]:
    """The terms of a sum, from left to right."""
    found: list[Tensor] = []
    stack = [*root.inputs[::-1]]
    while stack:
        node = stack.pop()
        if node in inner:
            stack += node.inputs[::-1]
        else:
            found.append(node)
    return found
