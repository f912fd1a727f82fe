"""Contraction planning: every region of the graph that is one contraction is written anew, two operands at a time.

    (A @ B) @ v         ->  A @ (B @ v)                 the cheapest order of the products
    sum(x * y)          ->  dot of x and y              no array of products
    sum(x @ W, axis=0)  ->  sum(x, axis=0) @ W          sums before products
    (-(2 * E)) @ V      ->  -2 * (E @ V)                multiples of the smallest of the values
    (U.T @ E).T         ->  E.T @ U                     no transposed results
    diag(d) @ A         ->  d[:, None] * A              identity matrices and ones are no arrays

The pass runs when differentiation and simplification are done. A region is rewritten where that costs less, by the estimate
of `contraction_order`; products that exist already, of the forward pass for example, cost nothing, and those that several
regions would use are shared among them. All of it is rounding: equal in real arithmetic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core import Body, Constant, Tensor, building, constant, make, rebuild, toposort, weak_constant
from ..dims import same, same_shape
from ..ops.einsum import Einsum, contraction, renumbered
from ..ops.late import F
from ..provenance import current
from .contraction_order import (
    CALL,
    ELEMENTWISE,
    SUM,
    VIEW,
    Tree,
    best_order,
    count,
    pair_cost,
)
from .contraction_regions import Axes, Region, Usage, region_of
from .engine import Mapping

Key = tuple[Any, ...]
"""A product of two tensors, whatever the order of its axes."""


@building()
def plan_contractions(outputs: Sequence[Tensor]) -> tuple[list[Tensor], Mapping]:
    """`outputs` with their contractions planned, and the successor of every node that is still there.

    >>> from symgraph.core import symbol
    >>> A, B, v = symbol("A", (50, 40)), symbol("B", (40, 30)), symbol("v", (30,))
    >>> plan_contractions([(A @ B) @ v])[0][0] is A @ (B @ v)
    True
    """
    planner = _Planner(outputs)
    keep = current.where
    try:
        return planner.run(), planner.done
    finally:
        current.where = keep


class _Planner:
    def __init__(self, outputs: Sequence[Tensor]) -> None:
        self.outputs = list(outputs)
        self.order = toposort(outputs)
        self.usage = Usage(self.order, self.outputs)
        self.regions: dict[Tensor, Region] = {}
        self.wanted: Counter[Key] = Counter()
        """How many regions could use a product of two of their factors."""
        self.products: dict[Key, tuple[Tensor, Axes]] = {}
        """The products that exist, with the label of each axis."""
        self.scaled: dict[Any, Tensor] = {}
        """The multiples that exist, by value and coefficient."""
        self.done: Mapping = {}

    def run(self) -> list[Tensor]:
        needed = self.choose()
        for node in self.order:
            if node not in needed:
                continue
            current.where = node.where
            region = self.regions.get(node)
            if region is None:
                new = _with_bodies(rebuild(node, [self.done[x] for x in node.inputs]))
                self.register(new)
            else:
                new = _Builder(self, region).build()
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
            if region is not None and self.improves(region):
                self.regions[node] = region
                needed.update([x for x, _ in region.factors], region.numerators, region.denominators)
                self.wanted.update(_pairs(region))
            else:
                if region is not None:
                    settled.update(region.absorbed)
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

    def register(self, node: Tensor) -> None:
        """Remember a product of two tensors."""
        if isinstance(node.op, Einsum) and len(node.inputs) == 2 and not node.op.has_delta and not node.op.sizes:
            xs = list(zip(node.inputs, node.op.operands, strict=True))
            self.products.setdefault(_key(*xs, frozenset(node.op.output)), (node, self.named(xs, node.op.output)))

    def named(self, xs: Sequence[tuple[Tensor, Axes]], out: Axes) -> Axes:
        """The axes of a product in the labels of its key."""
        numbers = _numbering(*xs)[1]
        return tuple(numbers[label] for label in out)


def _with_bodies(node: Tensor) -> Tensor:
    """`node` with the contractions of its closed sub-graphs planned."""
    changed = {}
    for name in node.op.bodies:
        body: Body = getattr(node.op, name)
        outputs, _ = plan_contractions(body.outputs)
        if any(a is not b for a, b in zip(outputs, body.outputs, strict=True)):
            changed[name] = Body(body.avals, outputs)
    return make(replace(node.op, **changed), *node.inputs) if changed else node  # type: ignore[type-var]


# Products by what they are, not by the order of their axes -----------------------------------------------------------


def _numbering(a: tuple[Tensor, Axes], b: tuple[Tensor, Axes]) -> tuple[Key, dict[int, int]]:
    """The two factors in one order with labels counted as they appear, and the number of each label."""
    found = []
    for first, second in ((a, b), (b, a)) if a[0] is b[0] else ((a, b) if id(a[0]) < id(b[0]) else (b, a),):
        (left, right), _ = renumbered([first[1], second[1]], ())
        numbers = dict(zip((*first[1], *second[1]), (*left, *right), strict=True))
        found.append(((left, right, id(first[0]), id(second[0])), numbers))
    return min(found, key=lambda f: f[0])


def _key(a: tuple[Tensor, Axes], b: tuple[Tensor, Axes], out: frozenset[int]) -> Key:
    key, numbers = _numbering(a, b)
    return key, frozenset(numbers[label] for label in out)


def _pairs(region: Region) -> set[Key]:
    """The products of two factors that the region could begin with."""
    found = set()
    if len(region.factors) > 2:
        for i, a in enumerate(region.factors):
            for j, b in enumerate(region.factors[:i]):
                if not set(a[1]).isdisjoint(b[1]):
                    found.add(_key(b, a, _kept(region, i, j)))
    return found


def _kept(region: Region, i: int, j: int) -> frozenset[int]:
    """The labels of the product of two factors that others need."""
    here = frozenset(region.factors[i][1]) | frozenset(region.factors[j][1])
    others = [ls for k, (_, ls) in enumerate(region.factors) if k not in (i, j)]
    return here & frozenset(region.output).union(*others)


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


# Building ------------------------------------------------------------------------------------------------------------

Value = tuple[Tensor, Axes]


class _Builder:
    """Writes one region with the successors of its factors."""

    def __init__(self, planner: _Planner, region: Region) -> None:
        self.planner = planner
        self.region = region
        self.sizes = region.numbers
        self.output = frozenset(region.output)
        self.factors = [(planner.done[x], axes) for x, axes in region.factors]

    def build(self) -> Tensor:
        region = self.region
        leaves = [self.leaf(i) for i in range(len(self.factors))]
        present = frozenset(label for _, axes in leaves for label in axes) & self.output
        place = self.place_of_coefficient(leaves, present)
        if place is not None:
            x, axes = leaves[place]
            leaves[place] = self.multiplied(x), axes
        tree, _ = best_order([frozenset(ls) for _, ls in leaves], self.output, self.sizes, self.price(leaves))
        final = tuple(label for label in region.output if label in present)
        x, axes = self.tree(tree, leaves, self.output, final)
        if axes != final:
            x = F.transpose(x, tuple(axes.index(label) for label in final))
        if place is None and region.has_coefficient:
            x = self.multiplied(x)
        x = self.broadcast(x, final)
        root = region.root
        assert x.dtype == root.dtype and same_shape(x.shape, root.shape), (root.op, x.aval, root.aval)
        return x

    # Factors

    def leaf(self, i: int) -> Value:
        """A factor with its diagonal taken and the labels that it alone has summed."""
        x, axes = self.factors[i]
        others = self.output.union(*[ls for k, (_, ls) in enumerate(self.factors) if k != i])
        if len(set(axes)) < len(axes):
            distinct = tuple(dict.fromkeys(axes))
            kept = tuple(label for label in distinct if label in others)
            if len(kept) < len(distinct) - 1 or not kept:
                return contraction([axes], kept, [x]), kept  # a trace
            x, axes = contraction([axes], distinct, [x]), distinct
        kept = tuple(label for label in axes if label in others)
        if kept == axes:
            return x, axes
        ones = tuple(k for k, label in enumerate(axes) if label not in others and same(x.shape[k], 1))
        if ones:
            x, axes = F.squeeze(x, ones), tuple(label for k, label in enumerate(axes) if k not in ones)
        return contraction([axes], kept, [x]), kept

    def price(self, leaves: Sequence[Value]) -> Any:
        """What a product of two leaves costs: less where it exists, or where other regions want it as well."""

        def cost(i: int, j: int, out: frozenset[int]) -> float | None:
            a, b = leaves[i], leaves[j]
            if frozenset(a[1]).isdisjoint(b[1]):
                return None
            if _key(a, b, out) in self.planner.products:
                return VIEW
            (old_a, la), (old_b, lb) = self.region.factors[i], self.region.factors[j]
            users = self.planner.wanted[_key((old_a, la), (old_b, lb), out)]
            return pair_cost(frozenset(a[1]), frozenset(b[1]), out, self.sizes) / users if users > 1 else None

        return cost

    # Products

    def tree(self, tree: Tree, leaves: Sequence[Value], output: frozenset[int], final: Axes) -> Value:
        """The value of a tree; `final` is the order of the axes, where that is for us to choose."""
        values: list[Value] = []
        todo: list[Any] = [(tree, output, _Wish(order=final))]
        while todo:
            t, needed, wish = todo.pop()
            if t is None:
                b, a = values.pop(), values.pop()
                values.append(self.pair(a, b, needed, wish))
            elif isinstance(t, int):
                values.append(leaves[t])
            else:
                left, right = t
                la, lb = _labels(left, leaves), _labels(right, leaves)
                for_left, for_right = la & (needed | lb), lb & (needed | la)
                summed = (for_left | for_right) - needed
                todo.append((None, needed & (for_left | for_right), wish))
                todo.append((right, for_right, _Wish(summed=summed, beside=_axes(left, leaves))))
                todo.append((left, for_left, _Wish(summed=summed, beside=_axes(right, leaves))))
        return values[0]

    def pair(self, a: Value, b: Value, out: frozenset[int], wish: _Wish) -> Value:
        """The product of two values, with the axes `out`."""
        if frozenset(a[1]) | frozenset(b[1]) == out:
            return self.elementwise(a, b, wish.order)
        key, numbers = _key(a, b, out), _numbering(a, b)[1]
        if key in self.planner.products:
            x, axes = self.planner.products[key]
            names = {number: label for label, number in numbers.items()}
            return x, tuple(names[n] for n in axes)
        order = _arranged(a[1], b[1], out, wish)
        x = contraction([a[1], b[1]], order, [a[0], b[0]])
        self.planner.products[key] = x, tuple(numbers[label] for label in order)
        return x, order

    def elementwise(self, a: Value, b: Value, order: Axes | None) -> Value:
        """A product in which nothing is summed: broadcasting, or an outer product that an array is needed of."""
        root = self.region.root
        if order is None:
            long, short = (a, b) if len(a[1]) >= len(b[1]) else (b, a)
            order = (*[label for label in short[1] if label not in long[1]], *long[1])
        elif len(a[1]) == len(b[1]) == 1 and len(order) == 2 and root in self.planner.usage.not_elementwise:
            return contraction([a[1], b[1]], order, [a[0], b[0]]), order
        return _along(a, order) * _along(b, order), order

    # The coefficient

    def coefficient(self) -> tuple[Any, list[Tensor], list[Tensor]]:
        """A number, factors and divisors."""
        region, done = self.region, self.planner.done
        up, down = ([done.get(c, c) for c in cs] for cs in (region.numerators, region.denominators))
        return _joined(up, down, -1.0 if region.negative else 1.0, region.root.dtype)

    def place_of_coefficient(self, leaves: Sequence[Value], present: frozenset[int]) -> int | None:
        """The factor to be multiplied by the coefficient, or None for the result.

        One whose multiple exists already; else the smallest, if the result has at least twice as many elements.
        """
        if not self.region.has_coefficient:
            return None
        number, up, down = self.coefficient()
        for i, (x, _) in enumerate(leaves):
            if (x, number, *up, None, *down) in self.planner.scaled:
                return i
        sizes = [count(frozenset(axes), self.sizes) for _, axes in leaves]
        i = min(range(len(leaves)), key=sizes.__getitem__)
        return i if 2 * sizes[i] <= count(present, self.sizes) else None

    def multiplied(self, x: Tensor) -> Tensor:
        """`x` times the coefficient, whose numbers are joined into one."""
        number, up, down = self.coefficient()
        key = x, number, *up, None, *down
        found = self.planner.scaled.get(key)
        if found is None:
            found = self.planner.scaled[key] = self.product(x, number, up, down)
        return found

    def product(self, x: Tensor, number: Any, up: Sequence[Tensor], down: Sequence[Tensor]) -> Tensor:
        region = self.region
        if number == -1:
            x = -x
        elif number != 1:
            given = [c for c in (*region.numerators, *region.denominators) if isinstance(c.op, Constant)]
            weak = all(c.aval.weak for c in given)
            x = x * (weak_constant(number) if weak else constant(np.asarray(number, x.dtype)))
        for c in up:
            x = x * c
        for c in down:
            x = x / c
        return x

    def broadcast(self, x: Tensor, axes: Axes) -> Tensor:
        """`x` with the axes of the root that no factor has."""
        output, root = self.region.output, self.region.root
        if axes == output:
            return x
        if axes != output[len(output) - len(axes) :] or all(same(n, 1) for n in root.shape):
            x = F.expand_dims(x, tuple(i for i, label in enumerate(output) if label not in axes))
        return x if same_shape(x.shape, root.shape) else F.broadcast_to(x, root.shape)


def _labels(tree: Tree, leaves: Sequence[Value]) -> frozenset[int]:
    """Every label under a tree."""
    found: set[int] = set()
    stack = [tree]
    while stack:
        t = stack.pop()
        if isinstance(t, int):
            found.update(leaves[t][1])
        else:
            stack += t
    return frozenset(found)


@dataclass(frozen=True)
class _Wish:
    """How the axes of a product should lie: in this order; or else what is summed next, and what it will be multiplied by."""

    order: Axes | None = None
    summed: frozenset[int] = frozenset()
    beside: Axes = ()


def _axes(tree: Tree, leaves: Sequence[Value]) -> Axes:
    return leaves[tree][1] if isinstance(tree, int) else ()


def _arranged(a: Axes, b: Axes, out: frozenset[int], wish: _Wish) -> Axes:
    """As wished for; or the axes that both have first, then the rest of one factor and of the other, which is summed next."""
    if wish.order is not None:
        return wish.order
    batch = tuple(label for label in a if label in b and label in out)
    if frozenset(wish.beside) == out and wish.beside[-1] not in batch:
        return wish.beside  # to be multiplied element by element
    rows = tuple(label for label in a if label in out and label not in b)
    columns = tuple(label for label in b if label in out and label not in a)
    if wish.summed.intersection(rows) and not wish.summed.intersection(columns):
        rows, columns = columns, rows
    return batch + rows + columns


def _along(x: Value, order: Axes) -> Tensor:
    """`x` with its axes where `order` has them and size 1 for those it lacks, but for leading ones."""
    value, axes = x
    here = tuple(label for label in order if label in axes)
    value = F.transpose(value, tuple(axes.index(label) for label in here))
    lead = next((i for i, label in enumerate(order) if label in axes), len(order))
    new = tuple(i - lead for i in range(lead, len(order)) if order[i] not in axes)
    return F.expand_dims(value, new) if new else value


def _joined(up: list[Tensor], down: list[Tensor], sign: float, dtype: Any) -> tuple[Any, list[Tensor], list[Tensor]]:
    """The numbers among the factors of a coefficient as one, and the other factors; as they are if that overflows."""
    numbers = [c.op.number for c in up if isinstance(c.op, Constant)]
    divisors = [c.op.number for c in down if isinstance(c.op, Constant)]
    found: Any = sign
    for n in numbers:
        found = found * n
    for n in divisors:
        found = found / n if n else np.nan
    with np.errstate(all="ignore"):
        value = np.asarray(found, dtype)
    if not np.isfinite(value) or (not value and all(numbers)):
        return sign, up, down
    return found, [c for c in up if not isinstance(c.op, Constant)], [c for c in down if not isinstance(c.op, Constant)]
