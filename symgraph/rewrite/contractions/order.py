"""The order in which a product of several tensors is contracted, two at a time, chosen by what it costs.

    sum of A[i,j] * B[j,k] * v[k]        (A B) v   2 m n p + 2 m p     or     A (B v)   2 n p + 2 m n

A factor is its set of labels. Contracting two of them sums the labels that nobody else needs. Up to `EXACT` factors every
order is compared (dynamic programming over subsets); above, the cheapest pair is contracted again and again.

The cost is an estimate in nanoseconds: multiply-adds at the speed of BLAS where there is a matrix product, else the elements
read and written, and the overhead of one NumPy call. Symbolic sizes count as `NOMINAL`. What matters is only that the figures
are right to a factor of about two against each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

from ...core import Tensor
from ...dims import Size
from ...expected import expected

NOMINAL = 256
"""The size that a symbolic dimension is taken to have, unless the user expects another."""

PATH = 20000.0
"""What np.einsum takes to find its own way through more than two operands, in nanoseconds."""

EXACT = 7
"""The most factors for which every order is compared."""

CALL, VIEW = 600.0, 150.0
MULTIPLY_ADD, DOT, ELEMENTWISE, SUM = 0.05, 0.15, 0.25, 0.25
"""Nanoseconds, measured in float64 on one core: a NumPy call; a view; a multiply-add of a matrix product; one element
read or written by a dot product, by an elementwise step, by a sum."""

SUBSCRIPTS, EINSUM = 1200.0, 0.2
"""Nanoseconds that np.einsum takes to read its subscripts, and for each of its multiply-adds."""

SHORT_LOOPS, SPREAD = 6000.0, 1.0
"""Nanoseconds more, in all and for each element, of an elementwise product of more than two axes that no operand has all of:
NumPy runs many short loops, and what sums it has to turn it into a matrix first."""

Labels = frozenset[int]


class Sizes(dict[int, float]):
    """The size of each label; it remembers the products of sizes that were asked for."""

    def __init__(self, sizes: Mapping[int, float] | Iterable[tuple[int, float]]) -> None:
        super().__init__(sizes)
        self.counts: dict[Labels, float] = {}


Tree = int | tuple["Tree", "Tree"]
"""A factor by its number, or the contraction of two trees."""


def nominal(size: Size) -> float:
    """A size as a number."""
    return float(expected(size, NOMINAL))


def count(labels: Labels, sizes: Sizes) -> float:
    """The number of elements of a tensor with these labels."""
    found = sizes.counts.get(labels)
    if found is None:
        found = sizes.counts[labels] = prod([sizes[label] for label in labels])
    return found


def pair_cost(a: Labels, b: Labels, out: Labels, sizes: Sizes) -> float:
    """Of contracting two tensors to the labels `out`."""
    everything = a | b
    moved = count(a, sizes) + count(b, sizes) + count(out, sizes)
    if len(everything) == len(out):  # nothing is summed
        spread = SHORT_LOOPS + SPREAD * count(out, sizes) if len(out) > max(len(a), len(b), 2) else 0.0
        return CALL + spread + ELEMENTWISE * moved
    if out - b and out - a:
        return CALL + MULTIPLY_ADD * count(everything, sizes) + ELEMENTWISE * moved
    if a & b & out and a != b:  # not row by row
        return CALL + SUBSCRIPTS + EINSUM * count(everything, sizes) + DOT * moved
    return CALL + DOT * moved


def einsum_cost(factors: Sequence[frozenset[int]], output: frozenset[int], sizes: Sizes) -> float:
    """Of one contraction as it is emitted: operands summed first over labels of their own, then the product."""
    total = 0.0
    reduced = []
    for i, labels in enumerate(factors):
        others = output.union(*factors[:i], *factors[i + 1 :])
        own = labels - others
        if own and len(factors) > 1:
            total += CALL + SUM * count(labels, sizes)
        reduced.append(labels - own if len(factors) > 1 else labels)
    if len(factors) == 1:
        return VIEW if factors[0] <= output else CALL + SUM * count(factors[0], sizes)
    if len(factors) == 2:
        a, b = reduced
        return total + pair_cost(a, b, output & (a | b), sizes)
    return total + best_order(reduced, output, sizes, lambda i, j, out: None)[1] + PATH


def cost_of(node: Tensor) -> float:
    """Of a contraction as it is written."""
    op: Any = node.op
    sizes: dict[int, float] = {}
    for labels, x in zip(op.operands, node.inputs, strict=True):
        sizes.update(zip(labels, map(nominal, x.shape), strict=True))
    sizes.update(enumerate(map(nominal, op.sizes), len(sizes)))
    return _cost_of(op.operands, op.output, tuple(sizes[label] for label in range(len(sizes))))


@lru_cache(maxsize=4096)
def _cost_of(operands: tuple[tuple[int, ...], ...], output: tuple[int, ...], sizes: tuple[float, ...]) -> float:
    return einsum_cost([frozenset(ls) for ls in operands], frozenset(output), Sizes(enumerate(sizes)))


def best_order(
    factors: Sequence[Labels], output: Labels, sizes: Sizes, price: Callable[[int, int, Labels], float | None]
) -> tuple[Tree, float]:
    """The cheapest tree over all factors, and its cost. `price` gives the cost of contracting two factors where that is
    not what it takes to compute it: a product that exists already costs nothing."""
    if len(factors) == 1:
        return 0, 0.0
    return (_exact if len(factors) <= EXACT else _greedy)(factors, output, sizes, price)


def _exact(
    factors: Sequence[Labels], output: Labels, sizes: Sizes, price: Callable[[int, int, Labels], float | None]
) -> tuple[Tree, float]:
    n = len(factors)
    full = (1 << n) - 1
    union: list[Labels] = [frozenset()] * (full + 1)
    for s in range(1, full + 1):
        low = s & -s
        union[s] = union[s ^ low] | factors[low.bit_length() - 1]
    kept = [union[s] & (union[full ^ s] | output) for s in range(full + 1)]
    for i in range(n):
        kept[1 << i] = factors[i]
    subsets = sorted(range(1, full + 1), key=int.bit_count)
    for disconnected in (False, True):  # outer products only where nothing else is left to do
        best: dict[int, tuple[float, Tree]] = {1 << i: (0.0, i) for i in range(n)}
        for s in subsets:
            if s in best:
                continue
            found: tuple[float, Tree] | None = None
            low = s & -s
            t = rest = s ^ low
            while t:  # t runs over the non-empty subsets of s without its lowest factor
                left, right = s ^ t, t
                t = (t - 1) & rest
                if left not in best or right not in best:
                    continue
                if not disconnected and kept[left].isdisjoint(kept[right]):
                    continue
                step = None
                if s.bit_count() == 2:
                    step = price(left.bit_length() - 1, right.bit_length() - 1, kept[s])
                if step is None:
                    step = pair_cost(kept[left], kept[right], kept[s], sizes)
                total = best[left][0] + best[right][0] + step
                if found is None or total < found[0]:
                    found = total, (best[left][1], best[right][1])
            if found is not None:
                best[s] = found
        if full in best:
            break
    return best[full][1], best[full][0]


def _greedy(
    factors: Sequence[Labels], output: Labels, sizes: Sizes, price: Callable[[int, int, Labels], float | None]
) -> tuple[Tree, float]:
    trees: dict[int, Tree] = dict(enumerate(range(len(factors))))
    labels = dict(enumerate(factors))
    serial = list(range(len(factors)))
    uses = Counter([*output, *[label for ls in factors for label in ls]])
    scores: dict[tuple[int, int, Labels], tuple[float, float, Labels]] = {}

    def scored(i: int, j: int) -> tuple[float, float, Labels]:
        a, b = labels[i], labels[j]
        out = (a | b).difference([k for k in a & b if uses[k] == 2])
        key = serial[i], serial[j], out
        if key not in scores:
            ti, tj = trees[i], trees[j]
            own = price(ti, tj, out) if isinstance(ti, int) and isinstance(tj, int) else None
            step = pair_cost(a, b, out, sizes) if own is None else own
            grown = count(out, sizes) - count(a, sizes) - count(b, sizes)
            scores[key] = step + ELEMENTWISE * grown, step, out
        return scores[key]

    pairs = [(i, j) for i in trees for j in trees if i < j]
    known = {(i, j): scored(i, j) for i, j in pairs if not factors[i].isdisjoint(factors[j])}
    total = 0.0
    while len(trees) > 1:
        if not known:  # outer products only where nothing else is left to do
            known = {(i, j): scored(i, j) for i in trees for j in trees if i < j}
        (i, j), (_, step, out) = min(known.items(), key=lambda entry: (entry[1][:2], entry[0]))
        total += step
        fewer = labels[i] & labels[j] & out  # two had them, and one does now: another pair may sum them
        uses.subtract([*labels[i], *labels[j]])
        uses.update(out)
        trees[i], labels[i], serial[i] = (trees[i], trees[j]), out, len(factors) + len(trees)
        del trees[j], labels[j]
        known = {pair: score for pair, score in known.items() if j not in pair and i not in pair}
        again = [(k, m) for k, m in known if not fewer.isdisjoint(labels[k]) or not fewer.isdisjoint(labels[m])]
        beside = [(min(i, k), max(i, k)) for k, ls in labels.items() if k != i and not ls.isdisjoint(out)]
        for k, m in [*again, *beside]:
            known[k, m] = scored(k, m)
    return next(iter(trees.values())), total
