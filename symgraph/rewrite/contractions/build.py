"""A region written anew: sums that one factor has alone, products two at a time, the coefficient where it is cheapest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core import Constant, Tensor, constant, weak_constant
from ...dims import same, same_shape
from ...ops.einsum import contraction
from ...ops.late import F
from .order import VIEW, Tree, best_order, count, pair_cost
from .products import Products, Value, key_of
from .regions import Axes, Region, Usage


class Builder:
    """Writes one region with the successors of its factors."""

    def __init__(self, region: Region, done: Mapping[Tensor, Tensor], products: Products, usage: Usage) -> None:
        self.region = region
        self.done = done
        self.products = products
        self.usage = usage
        self.sizes = region.numbers
        self.output = frozenset(region.output)
        self.factors = [(done[x], axes) for x, axes in region.factors]

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
        if not same_shape(x.shape, root.shape):  # axes that have to be equal, and are called otherwise
            x = F.broadcast_to(x, root.shape)
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
            if self.products.find(a, b, out) is not None:
                return VIEW
            users = self.products.wanted[key_of(self.region.factors[i], self.region.factors[j], out)]
            turned = 1.0 if _is_turned(a[1], b[1], out) else 0.0  # of two orders as good, the one without a transpose
            return (pair_cost(frozenset(a[1]), frozenset(b[1]), out, self.sizes) + turned) / max(users, 1)

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
                first, second = _straight(wish.order, for_left, for_right, summed)
                if for_left == la:  # nothing is summed in it: it lies as its factors do
                    first = None
                if for_right == lb:
                    second = None
                todo.append((right, for_right, _Wish(second, summed, _axes(left, leaves))))
                todo.append((left, for_left, _Wish(first, summed, _axes(right, leaves))))
        return values[0]

    def pair(self, a: Value, b: Value, out: frozenset[int], wish: _Wish) -> Value:
        """The product of two values, with the axes `out`."""
        if frozenset(a[1]) | frozenset(b[1]) == out:
            return self.elementwise(a, b, wish)
        found = self.products.find(a, b, out)
        if found is None:
            order = _arranged(a[1], b[1], out, wish)
            found = contraction([a[1], b[1]], order, [a[0], b[0]]), order
            self.products.add(a, b, found)
        return found

    def elementwise(self, a: Value, b: Value, wish: _Wish) -> Value:
        """A product in which nothing is summed: broadcasting, or an outer product that an array is needed of.

        Of an array that is longer than both, what is summed next lies at one end: a matrix product takes it as it is.
        """
        root, order = self.region.root, wish.order
        if order is None:
            long, short = (a, b) if len(a[1]) >= len(b[1]) else (b, a)
            order = (*[label for label in short[1] if label not in long[1]], *long[1])
            first = tuple(label for label in order if label in wish.summed)
            if len(order) > len(long[1]) and first != order[len(order) - len(first) :]:
                order = tuple(dict.fromkeys((*first, *a[1], *b[1])))
        elif len(a[1]) == len(b[1]) == 1 and len(order) == 2 and root in self.usage.not_elementwise:
            return contraction([a[1], b[1]], order, [a[0], b[0]]), order
        return _along(a, order) * _along(b, order), order

    # The coefficient

    def coefficient(self) -> tuple[Any, list[Tensor], list[Tensor]]:
        """A number, factors and divisors."""
        region, done = self.region, self.done
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
            if (x, number, *up, None, *down) in self.products.multiples:
                return i
        sizes = [count(frozenset(axes), self.sizes) for _, axes in leaves]
        i = min(range(len(leaves)), key=lambda i: (sizes[i], not leaves[i][0].inputs))  # in place, rather than a copy
        return i if 2 * sizes[i] <= count(present, self.sizes) else None

    def multiplied(self, x: Tensor) -> Tensor:
        """`x` times the coefficient, whose numbers are joined into one."""
        number, up, down = self.coefficient()
        key = x, number, *up, None, *down
        found = self.products.multiples.get(key)
        if found is None:
            found = self.products.multiples[key] = self.product(x, number, up, down)
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
    if wish.beside and frozenset(wish.beside) == out and wish.beside[-1] not in batch:
        return wish.beside  # to be multiplied element by element
    rows = tuple(label for label in a if label in out and label not in b)
    columns = tuple(label for label in b if label in out and label not in a)
    if wish.summed.intersection(rows) and not wish.summed.intersection(columns):
        rows, columns = columns, rows
    return batch + rows + columns


def _straight(
    order: Axes | None, left: frozenset[int], right: frozenset[int], summed: frozenset[int]
) -> tuple[Axes | None, Axes | None]:
    """The axes of two matrices whose product has the axes `order` without a transposition: A @ (B @ C), not A @ (C.T @ B.T).T."""
    if order is None or len(order) != 2 or len(summed) != 1:
        return None, None
    (row, column), (inner,) = order, summed
    first, second = (row, inner), (inner, column)
    if (left, right) == (frozenset(first), frozenset(second)):
        return first, second
    return (second, first) if (right, left) == (frozenset(first), frozenset(second)) else (None, None)


def _is_turned(a: Axes, b: Axes, out: frozenset[int]) -> bool:
    """Whether what is summed is the first of the axes of both factors, or the last of both: one is to be transposed."""
    batch = out.intersection(a, b)
    left, right = ([label in out for label in axes if label not in batch] for axes in (a, b))
    return bool(left and right) and left[0] == right[0] and left[-1] == right[-1]


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
    if not (numbers or divisors) or not np.isfinite(value) or (not value and all(numbers)):
        return sign, up, down
    return (
        value.item(),
        [c for c in up if not isinstance(c.op, Constant)],
        [c for c in down if not isinstance(c.op, Constant)],
    )
