"""Which matrices are factored once: those solved against more than once, as A or as A^T.

    solve(A, b), solve(A.T, c)   ->   lu = factor(A);  solve(lu, b), solve(lu, c, transposed)
    svdvals(A), svd(A)           ->   svd(A), and its values

A derivative of a solution solves with the same matrix again: transposed in reverse mode, as it is in forward mode. Inside a
loop over rows a matrix that does not depend on the rows is factored before the loop. Without SciPy, which has LAPACK's
routines for factors, every system is solved on its own, by NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec

from ..core import Body, Bound, Item, Tensor, make, rebuild, toposort, with_bodies
from ..ops.factored import lu_factor, lu_solve
from ..ops.linalg import Solve
from ..ops.mapped import MapRows
from ..ops.shape import Transpose
from ..ops.singular import SVD, SingularValues
from .engine import Mapping

Factors = tuple[Tensor, Tensor]


def share_factorizations(outputs: Sequence[Tensor]) -> tuple[list[Tensor], Mapping]:
    """`outputs` with one factorization for each matrix that is solved against more than once, and the map of nodes."""
    order = toposort(outputs)
    if not any(isinstance(node.op, Solve | SingularValues) or node.op.bodies for node in order):
        return list(outputs), dict(zip(order, order, strict=True))
    shared = _shared(order) if _has_lapack() else set()
    decomposed = {node.inputs[0]: node.op for node in order if isinstance(node.op, SVD)}
    done: Mapping = {}
    factors: dict[Tensor, Factors] = {}
    for node in order:
        new = _with_bodies(rebuild(node, [done[x] for x in node.inputs]))
        found = _system(node)
        if found is not None and found[0] in shared:
            matrix, transposed = found
            if matrix not in factors:
                factors[matrix] = lu_factor(done[matrix])
            new = lu_solve(factors[matrix], done[node.inputs[1]], transposed)
        elif isinstance(node.op, SingularValues) and node.inputs[0] in decomposed:
            new = make(Item(1), make(decomposed[node.inputs[0]], done[node.inputs[0]]))
        done[node] = new
    return [done[y] for y in outputs], done


@cache
def _has_lapack() -> bool:
    return find_spec("scipy") is not None


def _system(node: Tensor) -> tuple[Tensor, bool] | None:
    """The matrix of a linear system and whether it is transposed; None for anything else, and for stacks of matrices."""
    if not isinstance(node.op, Solve) or any(x.ndim > 2 or _is_empty(x) for x in node.inputs):
        return None
    matrix = node.inputs[0]
    if isinstance(matrix.op, Transpose):
        return matrix.inputs[0], True
    return matrix, False


def _is_empty(x: Tensor) -> bool:
    return any(isinstance(n, int) and n == 0 for n in x.shape)


def _shared(order: Sequence[Tensor]) -> set[Tensor]:
    """The matrices of more than one system."""
    seen: set[Tensor] = set()
    shared: set[Tensor] = set()
    for node in order:
        found = _system(node)
        if found is not None:
            (shared if found[0] in seen else seen).add(found[0])
    return shared


# Bodies --------------------------------------------------------------------------------------------------------------


def _with_bodies(node: Tensor) -> Tensor:
    """`node` with the same done inside the closed sub-graphs of its op."""
    if isinstance(node.op, MapRows) and _has_lapack():
        node = _before_the_loop(node, node.op)
    return with_bodies(node, lambda outputs: share_factorizations(outputs)[0])


def _before_the_loop(node: Tensor, op: MapRows) -> Tensor:
    """A loop over rows, with what its rows solve against factored before it."""
    order = toposort(op.body.outputs)
    bounds = op.body.inputs
    outside = {bounds[i] for i in range(op.mapped, len(bounds))}
    operands, inside = list(node.inputs), {}
    for x in order:
        found = _system(x)
        if found is not None and found[0] in outside and found[0] not in inside:
            matrix = found[0]
            factors = lu_factor(node.inputs[matrix.op.index])  # type: ignore[attr-defined]
            inside[matrix] = tuple(make(Bound(len(operands) + k, f.shape, f.dtype)) for k, f in enumerate(factors))
            operands += factors
    if not inside:
        return node
    done: Mapping = {}
    for x in order:
        found = _system(x)
        if found is not None and found[0] in inside:
            a, b = inside[found[0]]
            done[x] = lu_solve((a, b), done[x.inputs[1]], found[1])
        else:
            done[x] = rebuild(x, [done[i] for i in x.inputs])
    avals = [*op.body.avals, *[x.aval for x in operands[len(bounds) :]]]
    return make(replace(op, body=Body(avals, [done[y] for y in op.body.outputs])), *operands)
