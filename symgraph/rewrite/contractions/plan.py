"""The pass: which regions are written anew, from the outputs downwards, and then each of them, from the leaves upwards."""

from __future__ import annotations

from collections.abc import Sequence

from ...core import Tensor, building, rebuild, toposort, with_bodies
from ...dims import same
from ...ops.diagonal import Diagonal
from ...ops.einsum import Einsum
from ...ops.reduce import Sum
from ...provenance import current
from ..engine import Mapping
from .build import Builder
from .multiples import through_multiples
from .order import CALL, ELEMENTWISE, SUM, VIEW, best_order, count
from .parts import region_of
from .products import Products
from .regions import Region, Usage

CONTRACTIONS = frozenset([Einsum, Sum, Diagonal])
"""What a region ends in: a graph without any of them is as good as it can be."""


@building()
def plan_contractions(outputs: Sequence[Tensor]) -> tuple[list[Tensor], Mapping]:
    """`outputs` with their contractions planned, and the successor of every node that is still there.

    >>> from symgraph.core import symbol
    >>> A, B, v = symbol("A", (50, 40)), symbol("B", (40, 30)), symbol("v", (30,))
    >>> plan_contractions([(A @ B) @ v])[0][0] is A @ (B @ v)
    True
    """
    order = toposort(outputs)
    if not any([node.op.family in CONTRACTIONS or node.op.bodies for node in order]):
        return list(outputs), dict(zip(order, order, strict=True))
    planner = _Planner(outputs, order)
    keep = current.where
    try:
        return planner.run(), planner.done
    finally:
        current.where = keep


class _Planner:
    def __init__(self, outputs: Sequence[Tensor], order: list[Tensor]) -> None:
        self.outputs = list(outputs)
        self.order = order
        self.usage = Usage(self.order, self.outputs)
        self.regions: dict[Tensor, Region] = {}
        self.products = Products()
        self.done: Mapping = {}

    def run(self) -> list[Tensor]:
        needed = self.choose()
        through_multiples(self.regions.values())
        for node in self.order:
            if node not in needed:
                continue
            current.where = node.where
            region = self.regions.get(node)
            if region is None:
                new = with_bodies(
                    rebuild(node, [self.done[x] for x in node.inputs]), lambda ys: plan_contractions(ys)[0]
                )
                self.products.register(new)
            else:
                new = Builder(region, self.done, self.products, self.usage).build()
            self.done[node] = new
        return [self.done[o] for o in self.outputs]

    def choose(self) -> set[Tensor]:
        """From the outputs downwards: the regions to be written anew, and the nodes that are needed then."""
        needed = set(self.outputs)
        settled: set[Tensor] = set()  # inside a region that is best as it is
        for node in reversed(self.order):
            if node not in needed:
                continue
            region = None if node in settled else region_of(node, self.usage)
            better = region is not None and self.improves(region)
            if region is not None and not better and _is_long(node):
                settled.update(x for x in region.absorbed if not _is_long(x))
                region = region_of(node, self.usage, alone=False)  # by itself
                better = region is not None and self.improves(region)
            if region is not None and better:
                self.regions[node] = region
                needed.update([x for x, _ in region.factors], region.numerators, region.denominators)
                self.products.want(region)
            else:
                if region is not None:
                    settled.update(x for x in region.absorbed if not _is_long(x))
                needed.update(node.inputs)
        return needed

    def improves(self, region: Region) -> bool:
        if _is_outer(region) and region.root not in self.usage.not_elementwise:
            return True  # a broadcast product joins the steps around it
        factors, presums = _reduced(region)
        sizes = region.numbers
        _, cost = best_order(factors, frozenset(region.output), sizes, lambda i, j, out: None)
        cost += presums
        present = frozenset().union(*factors)
        if not present.issuperset(region.output):
            cost += VIEW
        if len(factors) == 1 and region.output != tuple(x for x in region.factors[0][1] if x in region.output):
            cost += VIEW
        if region.has_coefficient:
            smallest = min(count(f, sizes) for f in [*factors, present & frozenset(region.output)])
            cost += CALL + 2 * ELEMENTWISE * smallest
        return cost < region.cost - 1


def _is_long(node: Tensor) -> bool:
    """Whether the node is a product of more than two, which must be planned even where what it is part of is not."""
    return isinstance(node.op, Einsum) and len(node.inputs) > 2


def _reduced(region: Region) -> tuple[list[frozenset[int]], float]:
    """The labels of each factor once those that it alone has are summed, and what these sums cost."""
    cost = 0.0
    found = []
    sizes = region.numbers
    for i, (_, axes) in enumerate(region.factors):
        labels = frozenset(axes)
        others = frozenset(region.output).union(*[ls for k, (_, ls) in enumerate(region.factors) if k != i])
        own = labels - others
        if own:
            only_ones = all(same(region.sizes[label], 1) for label in own)
            cost += VIEW if only_ones else CALL + SUM * count(labels, sizes)
        if len(labels) < len(axes):
            cost += VIEW
        found.append(labels & others)
    return found, cost


def _is_outer(region: Region) -> bool:
    factors = [ls for _, ls in region.factors]
    labels = [label for ls in factors for label in ls]
    alone = not region.has_coefficient and len(region.absorbed) == 1
    return (
        alone and isinstance(region.root.op, Einsum) and len(factors) == 2 and sorted(labels) == sorted(region.output)
    )
