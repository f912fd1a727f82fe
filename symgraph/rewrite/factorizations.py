"""Which matrices are factored once, and which are not factored at all.

    solve(L, b), L triangular              ->   solve_triangular(L, b)
    solve(L @ L.T, b)                      ->   two triangular systems
    solve(A, b), inv(A), ... of a symmetric
    A beside cholesky(A)                   ->   those of its factor
    solve(A, b), solve(A.T, c), inv(A),
    slogdet(A), det(A), of one A           ->   lu = factor(A);  solve(lu, b), solve(lu, c, transposed), ...
    svdvals(A), svd(A)                     ->   svd(A), and its values

A derivative of a solution solves with the same matrix again: transposed in reverse mode, as it is in forward mode. That of
a log-determinant is the inverse. Inside a loop over rows a matrix that does not depend on the rows is factored before the
loop. Without SciPy, which has LAPACK's routines for factors, every system is solved on its own, by NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

from ..core import Body, Bound, Item, Tensor, make, rebuild, toposort, with_bodies
from ..ops.diagonal import Triangle
from ..ops.einsum import Einsum
from ..ops.factored import SolveTriangle, inv_from_cholesky, lu_det, lu_factor, lu_slogdet, lu_solve
from ..ops.late import F
from ..ops.linalg import QR, Cholesky, Determinant, Inverse, SignLogDet, Solve
from ..ops.mapped import MapRows
from ..ops.shape import Transpose
from ..ops.singular import SVD, SingularValues
from ..ops.triangular import Half, SolveTriangular
from .engine import Mapping
from .symmetry import is_symmetric

Factors = tuple[Tensor, Tensor]

_OURS = (Solve, Inverse, SingularValues)


class System(NamedTuple):
    """A matrix whose factors are asked for, and how; `part` is "lower" or "upper" where it is triangular."""

    matrix: Tensor
    transposed: bool
    part: str | None
    unit: bool = False


def share_factorizations(outputs: Sequence[Tensor], fast: bool = True) -> tuple[list[Tensor], Mapping]:
    """`outputs` with one factorization for each matrix that needs it, and the map of nodes.

    Triangular systems are solved by LAPACK's own routines if `fast`, else by SciPy's function.
    """
    order = toposort(outputs)
    if not any(isinstance(node.op, _OURS) or node.op.bodies for node in order):
        return list(outputs), dict(zip(order, order, strict=True))
    definite = _definite(order) if has_lapack() else {}
    shared = _shared(order, definite) if has_lapack() else set()
    decomposed = {node.inputs[0]: node.op for node in order if isinstance(node.op, SVD)}
    done: Mapping = {}
    factors: dict[Tensor, Factors] = {}
    for node in order:
        new = _with_bodies(rebuild(node, [done[x] for x in node.inputs]), fast)
        system = _system(node)
        whole = node.inputs[0] if isinstance(node.op, Item) else node
        if system is not None and system.part is not None:
            new = _triangular(system, done[system.matrix], done[node.inputs[1]], fast)
        elif system is not None and system.matrix in shared:
            matrix = system.matrix
            new = lu_solve(_factors(factors, matrix, done), done[node.inputs[1]], system.transposed)
        elif system is not None and system.matrix in definite:
            factor = definite[system.matrix]
            both = System(factor, transposed=False, part="lower")
            new = _both_triangular(both, _rebuilt(factor, done), done[node.inputs[1]], fast)
        elif isinstance(whole.op, _OTHERS) and whole.inputs[0] in definite:
            new = _from_cholesky(node, new, _rebuilt(definite[whole.inputs[0]], done))
        elif isinstance(whole.op, _OTHERS) and whole.inputs[0] in shared:
            new = _from_factors(node, new, _factors(factors, whole.inputs[0], done))
        elif isinstance(node.op, Solve) and has_lapack() and (root := _root(node.inputs[0])) is not None:
            new = _both_triangular(root, done[root.matrix], done[node.inputs[1]], fast)
        elif isinstance(node.op, SingularValues) and node.inputs[0] in decomposed:
            new = make(Item(1), make(decomposed[node.inputs[0]], done[node.inputs[0]]))
        done[node] = new
    return [done[y] for y in outputs], done


@cache
def has_lapack() -> bool:
    """Whether SciPy is installed; it is not imported for that."""
    return find_spec("scipy") is not None


def _system(node: Tensor) -> System | None:
    """What a linear system is; None for anything else, and for stacks of matrices."""
    op = node.op
    if not isinstance(op, Solve) or any(x.ndim > 2 or _is_empty(x) for x in node.inputs):
        return None
    matrix = node.inputs[0]
    transposed = isinstance(matrix.op, Transpose)
    matrix = matrix.inputs[0] if transposed else matrix
    if isinstance(op, SolveTriangular):
        part = "lower" if op.below != transposed else "upper"
        return System(matrix, transposed != bool(op.transposed), part, op.unit)
    known = _part(matrix) if has_lapack() else None
    if known is None and has_lapack() and _root(node.inputs[0]) is not None:
        return None
    return System(matrix, transposed, known)


def _part(x: Tensor) -> str | None:
    """Which triangle of a matrix is all of it, because of how it is made."""
    op = x.op
    if isinstance(op, Cholesky | Half):
        return "lower"
    if isinstance(op, Item) and op.index == 1 and isinstance(x.inputs[0].op, QR):
        return "upper"
    if isinstance(op, Transpose) and x.ndim == 2:
        inner = _part(x.inputs[0])
        return inner and ("upper" if inner == "lower" else "lower")
    if isinstance(op, Triangle):
        return "lower" if op.part == "tril" and op.k <= 0 else "upper" if op.part == "triu" and op.k >= 0 else None
    return None


def _root(a: Tensor) -> System | None:
    """The triangular L, or the transpose of one, with A = L L^T, as the first of the two systems to be solved."""
    op = a.op
    if not isinstance(op, Einsum) or len(a.inputs) != 2 or a.inputs[0] is not a.inputs[1] or a.dtype.kind == "c":
        return None
    if len(op.output) != 2 or op.has_delta or op.sizes or a.inputs[0].ndim != 2:
        return None
    inner = [k for k in (0, 1) if op.operands[0][k] == op.operands[1][k]]
    part = _part(a.inputs[0])
    if len(inner) != 1 or part is None or op.operands[0][inner[0]] in op.output:
        return None
    return System(a.inputs[0], inner == [0], part)


def _triangular(system: System, matrix: Tensor, b: Tensor, fast: bool) -> Tensor:
    op = SolveTriangle if fast else SolveTriangular
    return make(op(system.part == "lower", 1 if system.transposed else 0, system.unit), matrix, b)


def _both_triangular(root: System, matrix: Tensor, b: Tensor, fast: bool) -> Tensor:
    """The solution for a matrix of which a root is known."""
    return _triangular(root._replace(transposed=not root.transposed), matrix, _triangular(root, matrix, b, fast), fast)


_OTHERS = (Inverse, SignLogDet, Determinant)


def _definite(order: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """The symmetric matrices that have a Cholesky factor anyway, with it."""
    wanted = {node.inputs[0] for node in order if isinstance(node.op, _OTHERS)}
    wanted |= {system.matrix for node in order if (system := _system(node)) is not None and system.part is None}
    found = {}
    for node in order:
        if isinstance(node.op, Cholesky) and node.inputs[0] in wanted and node.ndim == 2 and not _is_empty(node):
            matrix = node.inputs[0]
            if matrix.dtype.kind == "f" and is_symmetric(matrix):
                found[matrix] = node
    return found


def _rebuilt(factor: Tensor, done: Mapping) -> Tensor:
    """The factor of the matrix as it is now; the factor itself may come later in the walk."""
    return rebuild(factor, [done[factor.inputs[0]]])


def _from_cholesky(node: Tensor, new: Tensor, factor: Tensor) -> Tensor:
    """The inverse or determinant of a matrix whose Cholesky factor is known."""
    if isinstance(node.op, Inverse):
        return inv_from_cholesky(factor)
    diagonal = F.diagonal(factor)
    if isinstance(node.op, Determinant):
        return F.square(F.prod(diagonal))
    if not isinstance(node.op, Item):
        return new
    return 2 * F.sum(F.log(diagonal)) if node.op.index == 1 else F.ones((), node.dtype)


def _factors(made: dict[Tensor, Factors], matrix: Tensor, done: Mapping) -> Factors:
    if matrix not in made:
        made[matrix] = lu_factor(done[matrix])
    return made[matrix]


def _from_factors(node: Tensor, new: Tensor, factors: Factors) -> Tensor:
    """The inverse or determinant of a matrix that has been factored."""
    if isinstance(node.op, Inverse):
        return lu_solve(factors, F.eye(node.shape[0], dtype=node.dtype))
    if isinstance(node.op, Determinant):
        return lu_det(factors)
    return lu_slogdet(factors)[node.op.index] if isinstance(node.op, Item) else new


def _is_empty(x: Tensor) -> bool:
    return any(isinstance(n, int) and n == 0 for n in x.shape)


def _shared(order: Sequence[Tensor], definite: Mapping) -> set[Tensor]:
    """The matrices whose factors are needed more than once, and at least once to solve: a singular one is an error."""
    solved: dict[Tensor, int] = {}
    others: set[Tensor] = set()
    for node in order:
        system = _system(node)
        if system is not None and system.part is None:
            solved[system.matrix] = solved.get(system.matrix, 0) + 1
        elif isinstance(node.op, _OTHERS) and node.inputs[0].ndim == 2 and not _is_empty(node.inputs[0]):
            matrix = node.inputs[0]
            if isinstance(node.op, Inverse):
                solved[matrix] = solved.get(matrix, 0) + 1
            else:
                others.add(matrix)
    needed = {matrix for matrix, count in solved.items() if count > 1 or matrix in others}
    return needed - set(definite)


# Bodies --------------------------------------------------------------------------------------------------------------


def _with_bodies(node: Tensor, fast: bool) -> Tensor:
    """`node` with the same done inside the closed sub-graphs of its op."""
    if isinstance(node.op, MapRows) and has_lapack():
        node = _before_the_loop(node, node.op)
    return with_bodies(node, lambda outputs: share_factorizations(outputs, fast)[0])


def _before_the_loop(node: Tensor, op: MapRows) -> Tensor:
    """A loop over rows, with what its rows solve against factored before it."""
    order = toposort(op.body.outputs)
    bounds = op.body.inputs
    outside = {bounds[i] for i in range(op.mapped, len(bounds))}
    operands, inside, parts = list(node.inputs), {}, {}
    for x in order:
        system = _system(x)
        if system is None or system.part is not None or system.matrix not in outside:
            continue
        matrix = system.matrix
        given = node.inputs[matrix.op.index]  # type: ignore[attr-defined]
        part = _part(given)
        if part is not None:
            parts[matrix] = part
        elif matrix not in inside:
            factors = lu_factor(given)
            inside[matrix] = tuple(make(Bound(len(operands) + k, f.shape, f.dtype)) for k, f in enumerate(factors))
            operands += factors
    if not inside and not parts:
        return node
    done: Mapping = {}
    for x in order:
        system = _system(x)
        if system is not None and system.matrix in inside and system.part is None:
            a, b = inside[system.matrix]
            done[x] = lu_solve((a, b), done[x.inputs[1]], system.transposed)
        elif system is not None and system.matrix in parts and system.part is None:
            known = system._replace(part=parts[system.matrix])
            done[x] = _triangular(known, done[system.matrix], done[x.inputs[1]], fast=False)
        else:
            done[x] = rebuild(x, [done[i] for i in x.inputs])
    avals = [*op.body.avals, *[x.aval for x in operands[len(bounds) :]]]
    return make(replace(op, body=Body(avals, [done[y] for y in op.body.outputs])), *operands)
