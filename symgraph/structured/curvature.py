"""The Hessian as a sum over the nonlinear nodes of the graph.

    H = sum over v of  J_v.T @ B_v @ J_v        B_v = cotangent of v * second derivative of its op

J_v is the structured Jacobian of the operands of v, found once in a forward sweep and contracted where two nodes share it;
B_v is what the op itself says, a diagonal for an elementwise function. Where a person would write J.T @ diag(w) @ J, this
is what comes out, with no product done twice on the way back.

Source: Gower and Mello, *A new framework for the computation of Hessians*, Optimization Methods and Software 27 (2012), with
the sum over nodes in place of the edges pushed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from ..autodiff import adjoints, jvp, tangents_of
from ..core import Constant, Item, Symbol, Tensor, make, make_fresh, substitute_all, toposort
from ..dims import Shape
from ..dtypes import DType
from ..ops.base import Linear, Mask, Multilinear, Primitive
from ..rewrite import stabilize_nodes
from ..rewrite.contractions.order import nominal
from .compose import product
from .dense import dense
from .linear import Terms, propagated, structure_of
from .merge import merged
from .tensor import whole
from .term import Factor, NotStructuredError, Term


def curvature(y: Tensor, u: Tensor, x: Tensor, notes: list[str] | None = None) -> Terms:
    """The terms of d2y / du dx.

    Raises `NotStructuredError` for an op outside the library.
    """
    variables = list(dict.fromkeys([u, x]))
    (stable,) = stabilize_nodes([y], frozen=variables)
    bends = _bends(stable, variables)
    right = _jacobians(stable, x, [b.column for b in bends], notes)
    left = right if u is x else _jacobians(stable, u, [b.row for b in bends], notes)
    found: Terms = []
    for bend in bends:
        a, b = bend.row.shape, bend.column.shape
        for p in left.get(bend.row, []):
            for q in bend.terms:
                for r in right.get(bend.column, []):
                    inner = _product(p.T, q, (u.shape, a, b), y.dtype)
                    term = None if inner is None else _product(inner, r, (u.shape, b, x.shape), y.dtype)
                    if term is not None:
                        found.append(term)
    return merged(found, y.dtype)


def _product(left: Term, right: Term, shapes: Sequence[Shape], dtype: DType) -> Term | None:
    """The product of two terms, of which one is made an array where two bands meet."""
    rows, inner, cols = shapes
    try:
        return product(left, right, inner)
    except NotStructuredError:
        sizes = [prod(map(nominal, (*a, *b))) for a, b in ((rows, inner), (inner, cols))]
        if sizes[0] <= sizes[1]:
            left = whole(dense(left, rows, inner, dtype), rows)
        else:
            right = whole(dense(right, inner, cols, dtype), inner)
        return product(left, right, inner)


def _jacobians(y: Tensor, x: Tensor, wanted: Sequence[Tensor], notes: list[str] | None) -> dict[Tensor, Terms]:
    """The structured Jacobians of nodes, which are used more than once."""
    seed = make_fresh(Symbol("t", x.aval))
    tangents = tangents_of([y], [x], [seed])
    found = {z: tangents[z] for z in wanted if z in tangents}
    terms = propagated(list(found.values()), seed, notes, shared=set(found.values()))
    return {z: terms[t] for z, t in found.items() if t in terms}


# The second derivatives of the ops -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Bend:
    """cotangent * d2 op / d row d column, for one pair of operands of a node."""

    row: Tensor
    column: Tensor
    terms: Terms


def _bends(y: Tensor, variables: Sequence[Tensor]) -> list[Bend]:
    """The second derivatives that are not zero, of all nodes between the variables and the stable `y`."""
    roots, cotangents = set(variables), adjoints(y, list(variables))
    known: dict[Any, _Model] = {}
    found = []
    for node in toposort([y]):
        if node not in cotangents or node in roots or isinstance(node.op, Linear | Item):
            continue
        if not isinstance(node.op, Primitive):
            raise NotStructuredError(node.op.name)
        active = tuple(i for i, z in enumerate(node.inputs) if z in cotangents)
        if isinstance(node.op, Multilinear) and len(active) < 2:
            continue
        ct, mask = cotangents[node]
        values = [*(ct if isinstance(ct, tuple) else (ct,)), mask]
        fixed = tuple(z if isinstance(z.op, Constant) else z.aval for z in node.inputs)
        key = node.op, fixed, active, isinstance(ct, tuple), tuple(None if v is None else v.aval for v in values)
        model = known.get(key)
        if model is None:
            model = known[key] = _Model(node, active, ct, mask)
        found += model.at(node, values)
    return found


class _Model:
    """The second derivatives of an op over symbols, which stand for the operands, the cotangent and the mask of a node."""

    def __init__(self, node: Tensor, active: Sequence[int], ct: Any, mask: Mask) -> None:
        op = node.op
        assert isinstance(op, Primitive)
        self.inputs = [z if isinstance(z.op, Constant) else make_fresh(Symbol("x", z.aval)) for z in node.inputs]
        given = [*(ct if isinstance(ct, tuple) else (ct,)), mask]
        self.held = [None if v is None else make_fresh(Symbol("held", v.aval)) for v in given]
        *cts, held_mask = self.held
        y = make(op, *self.inputs)
        wanted = [i in active for i in range(len(self.inputs))]
        pulled = op.pullback(tuple(cts) if isinstance(ct, tuple) else cts[0], held_mask, y, self.inputs, wanted)
        rows = [(i, p[0]) for i, p in enumerate(pulled) if p is not None]
        self.blocks: list[tuple[int, int, Terms]] = []
        for j in active:
            column = self.inputs[j]
            seed = make_fresh(Symbol("t", column.aval))
            blocks = structure_of(jvp([value for _, value in rows], column, seed), seed)
            self.blocks += [(i, j, terms) for (i, _), terms in zip(rows, blocks, strict=True) if terms]

    def at(self, node: Tensor, held: Sequence[Tensor | None]) -> list[Bend]:
        """The same at a node."""
        back = {s: z for s, z in zip(self.inputs, node.inputs, strict=True) if s is not z}
        back |= {s: v for s, v in zip(self.held, held, strict=True) if s is not None and v is not None}
        return [
            Bend(node.inputs[i], node.inputs[j], [replace(t, factors=_replaced(t.factors, back)) for t in terms])
            for i, j, terms in self.blocks
        ]


def _replaced(factors: Sequence[Factor], mapping: dict[Tensor, Tensor]) -> tuple[Factor, ...]:
    values = substitute_all([x for x, _ in factors], mapping)
    return tuple((x, labels) for x, (_, labels) in zip(values, factors, strict=True))
