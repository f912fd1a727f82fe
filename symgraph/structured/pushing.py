"""The Hessian by edge pushing: second derivatives go back through the graph, as cotangents do in reverse mode.

Nodes are taken from the output backwards. W[v, w] holds the second derivative of the output with respect to two nodes, all
that lies behind them eliminated. A node v goes by the chain rule,

    W[z1, z2] += J_z1.T @ W[v, v] @ J_z2        W[z, w] += J_z.T @ W[v, w]        W[z1, z2] += cotangent * d2v / dz1 dz2

for its operands z. The blocks are as large as the nodes, not as the variable: where a wide input enters a narrow network, no
Jacobian with a column for each input is carried through it.

Source: Gower and Mello, *A new framework for the computation of Hessians*, Optimization Methods and Software 27 (2012).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..autodiff import adjoints
from ..core import Symbol, Tensor, make_fresh, toposort
from ..dtypes import DType
from ..rewrite import stabilize_nodes
from .curvature import product_of
from .linear import MOST_FACTORS
from .local import Models
from .merge import merged
from .term import Terms, identity

Blocks = dict[Tensor, dict[Tensor, Terms]]
"""W[v][w] for pairs of nodes of which v is the later one."""


def pushed(y: Tensor, variables: Sequence[Tensor]) -> dict[tuple[Tensor, Tensor], Terms]:
    """The terms of d2y / du dx for all pairs of variables.

    Raises `NotStructuredError` where an op has no structured rule or several outputs.
    """
    variables = list(dict.fromkeys(variables))
    (stable,) = stabilize_nodes([y], frozen=variables)
    models = Models(adjoints(y, variables))
    kept = {v: make_fresh(Symbol("v", v.aval)) if models.jacobians(v) else v for v in variables}
    nodes = [node for node in toposort([stable]) if kept.get(node) is not node]
    work = _Pushing(y.dtype, [*kept.values(), *nodes], models, kept)
    for node in reversed(nodes):
        if node in models.cotangents:
            work.eliminate(node)
    found = {}
    for u in variables:
        for x in variables:
            late, early = (u, x) if work.at[kept[u]] >= work.at[kept[x]] else (x, u)
            terms = work.blocks.get(kept[late], {}).get(kept[early], [])
            found[u, x] = terms if late is u else [t.T for t in terms]
    return found


class _Pushing:
    """The work on one graph: variables come first in `order`, so that a block with one of them goes with its other node.

    `kept` has for each variable what keeps its blocks: itself, or for one that depends on another a leaf that is added to
    it, for it is eliminated too.
    """

    def __init__(self, dtype: DType, order: Sequence[Tensor], models: Models, kept: Mapping[Tensor, Tensor]) -> None:
        self.dtype = dtype
        self.kept = kept
        self.at = {node: i for i, node in enumerate(order)}
        self.models = models
        self.blocks: Blocks = {}

    def eliminate(self, v: Tensor) -> None:
        """Express the blocks of v by those of its operands."""
        for bend in self.models.bends(v):
            if self.at[bend.row] >= self.at[bend.column]:
                self.add(bend.row, bend.column, bend.terms)
        blocks = self.blocks.pop(v, {})
        if not blocks:
            return
        jacobians: dict[Tensor, Terms] = {}
        for z, terms in self.models.jacobians(v):
            jacobians[z] = merged([*jacobians.get(z, []), *terms], self.dtype)
        if v in self.kept:
            jacobians[self.kept[v]] = [identity(v.shape)]
        for w, terms in blocks.items():
            if len(jacobians) > 1 or w is v:
                terms = [t.materialised(self.dtype) for t in terms]
            for z, left in jacobians.items():
                turned = [t.T for t in left]
                half = self.product(turned, terms, z, v, w)
                if w is not v:
                    self.add(z, w, half)
                    if z is w:
                        self.add(z, w, [t.T for t in half])
                    continue
                for other, right in jacobians.items():
                    if self.at[z] >= self.at[other]:
                        self.add(z, other, self.product(half, right, z, v, other))

    def product(self, left: Terms, right: Terms, rows: Tensor, inner: Tensor, cols: Tensor) -> Terms:
        shapes = rows.shape, inner.shape, cols.shape
        found = [product_of(p, q, shapes, self.dtype) for p in left for q in right]
        return [t for t in found if t is not None]

    def add(self, a: Tensor, b: Tensor, terms: Terms) -> None:
        if self.at[a] < self.at[b]:
            a, b, terms = b, a, [t.T for t in terms]
        blocks = self.blocks.setdefault(a, {})
        total = [*blocks.get(b, []), *terms]
        if any(len(t.factors) > MOST_FACTORS for t in total):
            total = [t.materialised(self.dtype) for t in total]
        blocks[b] = merged(total, self.dtype)
