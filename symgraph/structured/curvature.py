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
from math import prod

from ..autodiff import adjoints, tangents_of
from ..core import Symbol, Tensor, make_fresh, toposort
from ..dims import Shape
from ..dtypes import DType
from ..rewrite import stabilize_nodes
from ..rewrite.contractions.order import nominal
from .compose import product
from .dense import dense
from .linear import propagated
from .local import Models
from .merge import merged
from .tensor import whole
from .term import NotStructuredError, Term, Terms


def curvature(y: Tensor, u: Tensor, x: Tensor, notes: list[str] | None = None) -> Terms:
    """The terms of d2y / du dx.

    Raises `NotStructuredError` for an op outside the library.
    """
    variables = list(dict.fromkeys([u, x]))
    (stable,) = stabilize_nodes([y], frozen=variables)
    cotangents = adjoints(y, variables)
    models, roots = Models(cotangents), set(variables)
    bends = [b for node in toposort([stable]) if node in cotangents and node not in roots for b in models.bends(node)]
    right = _jacobians(stable, x, [b.column for b in bends], notes)
    left = right if u is x else _jacobians(stable, u, [b.row for b in bends], notes)
    found: Terms = []
    for bend in bends:
        a, b = bend.row.shape, bend.column.shape
        for p in left.get(bend.row, []):
            for q in bend.terms:
                for r in right.get(bend.column, []):
                    inner = product_of(p.T, q, (u.shape, a, b), y.dtype)
                    term = None if inner is None else product_of(inner, r, (u.shape, b, x.shape), y.dtype)
                    if term is not None:
                        found.append(term)
    return merged(found, y.dtype)


def product_of(left: Term, right: Term, shapes: Sequence[Shape], dtype: DType) -> Term | None:
    """The product of two terms, of which one is made an array where two bands meet; shapes of rows, inner, columns."""
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
