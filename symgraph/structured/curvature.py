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
from typing import Any

from ..autodiff import adjoints, jvp, tangents_of
from ..core import Item, Symbol, Tensor, make, make_fresh, substitute_all, toposort
from ..dims import Shape
from ..dtypes import DType, is_inexact
from ..ops.base import Linear, Mask, Primitive
from ..rewrite import stabilize_nodes
from ..rewrite.contractions.order import nominal
from .compose import product
from .dense import dense
from .linear import Terms, propagated, structure_of
from .merge import merged
from .tensor import whole
from .term import NotStructuredError, Term


def curvature(y: Tensor, u: Tensor, x: Tensor, notes: list[str] | None = None) -> Terms:
    """The terms of d2y / du dx.

    Raises `NotStructuredError` for an op outside the library.
    """
    variables = list(dict.fromkeys([u, x]))
    (stable,) = stabilize_nodes([y], frozen=variables)
    roots, cotangents = set(variables), adjoints(y, variables)
    order = toposort([stable])
    curved = [n for n in order if n in cotangents and n not in roots and not isinstance(n.op, Linear | Item)]
    right = _jacobians(stable, x, curved, notes)
    left = right if u is x else _jacobians(stable, u, curved, notes)
    found: Terms = []
    for node in curved:
        if not isinstance(node.op, Primitive):
            raise NotStructuredError(node.op.name)
        ct, mask = cotangents[node]
        active = [i for i, z in enumerate(node.inputs) if z in left or z in right]
        if not active:
            continue
        for i, j, terms in _second(node, ct, mask, active):
            a, b = node.inputs[i], node.inputs[j]
            for p in left.get(a, []):
                for q in terms:
                    for r in right.get(b, []):
                        inner = _product(p.T, q, (u.shape, a.shape, b.shape), y.dtype)
                        term = None if inner is None else _product(inner, r, (u.shape, b.shape, x.shape), y.dtype)
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


def _jacobians(y: Tensor, x: Tensor, curved: Sequence[Tensor], notes: list[str] | None) -> dict[Tensor, Terms]:
    """The structured Jacobian of each operand of the curved nodes."""
    seed = make_fresh(Symbol("t", x.aval))
    tangents = tangents_of([y], [x], [seed])
    wanted = {z: tangents[z] for node in curved for z in node.inputs if z in tangents}
    terms = propagated(list(wanted.values()), seed, notes, shared=set(wanted.values()))
    return {z: terms[t] for z, t in wanted.items() if t in terms}


def _second(node: Tensor, ct: Any, mask: Mask, active: Sequence[int]) -> list[tuple[int, int, Terms]]:
    """For each pair of operands the terms of cotangent * d2 op, as a map from the second to the first."""
    op = node.op
    assert isinstance(op, Primitive)
    bound = {i: make_fresh(Symbol(f"x{i}", node.inputs[i].aval)) for i in active}
    xs = [bound.get(i, z) for i, z in enumerate(node.inputs)]
    y = make(op, *xs)
    back: dict[Tensor, Tensor] = {s: node.inputs[i] for i, s in bound.items()}

    def held(value: Tensor | None) -> Tensor | None:
        if value is None:
            return None
        symbol = make_fresh(Symbol("held", value.aval))
        back[symbol] = value
        return symbol

    cts = tuple(map(held, ct)) if isinstance(ct, tuple) else held(ct)
    pulled = op.pullback(cts, held(mask), y, xs, [i in bound for i in range(len(xs))])
    found = []
    for j, s in bound.items():
        if not is_inexact(s.dtype):
            continue
        seed = make_fresh(Symbol("t", s.aval))
        outputs = [(i, pulled[i]) for i in active]
        values = [p[0] for _, p in outputs if p is not None]
        tangents = jvp(values, s, seed)
        terms_of = structure_of(substitute_all(tangents, back), seed)
        for (i, _), terms in zip([o for o in outputs if o[1] is not None], terms_of, strict=True):
            if terms:
                found.append((i, j, terms))
    return found
