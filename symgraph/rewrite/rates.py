"""A factor that every use of a value is multiplied by is multiplied into what the value is made of, once.

    W1 - rate * (X.T @ d),  W2 - rate * (h.T @ e),  d = e @ W2.T * (1 - h * h),  e = k * (h @ W2 - Y)

takes `rate` into `e`, where it joins `k`: neither gradient is multiplied by it any more. A value is *scaled* by c if all its
users are multiples by c or are linear in it and scaled themselves. Of several operands in which a step is linear, the one is
taken from which the factor gets away at the least cost; where there is none, the step itself is multiplied.

Sums of products are only associated in another way, so the rewriting is one of rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Constant, Tensor, rebuild, toposort
from ..dtypes import is_complex, is_inexact
from ..ops.base import Linear, Multilinear
from ..ops.checkpoint import PassThrough
from ..ops.elementwise import Where, masked_multiply
from ..ops.late import F
from ..provenance import current
from .contractions.order import CALL, ELEMENTWISE
from .contractions.regions import elements
from .engine import Mapping
from .scales import scales_far

Group = tuple[int, ...]
"""Operands that have to be multiplied together for the result to be multiplied."""

ROUNDS = 8
"""If choices have not settled by then, nothing is done."""


def take_in_factors(outputs: Sequence[Tensor]) -> tuple[list[Tensor], Mapping, Mapping]:
    """`outputs` with common factors multiplied where they cost least.

    Besides, the successor of every node that is still there, and for those that are not, the multiple that took their place.
    """
    order = toposort(outputs)
    same: tuple[list[Tensor], Mapping, Mapping] = list(outputs), dict(zip(order, order, strict=True)), {}
    if sum(_factor(node) is not None for node in order) < 2:
        return same
    plan = _Plan(order, outputs)
    if not plan.settled or not plan.worth_it():
        return same
    new, scaled = plan.built()
    return [new[y] for y in outputs], new, scaled


def _factor(node: Tensor) -> tuple[Tensor, Tensor] | None:
    """The value and the factor, for a multiple `c * x` by a value without axes."""
    if node.op is not F.multiply or not node.ndim:
        return None
    x, c = node.inputs if node.inputs[0].ndim else node.inputs[::-1]
    if not x.ndim or c.ndim or x.dtype != node.dtype or not _is_real(node):
        return None
    return None if node.dtype.itemsize == 2 or scales_far(c, node.dtype) else (x, c)


def _is_real(x: Tensor) -> bool:
    return not isinstance(x.aval, tuple) and is_inexact(x.dtype) and not is_complex(x.dtype)


def _is_zero(x: Tensor) -> bool:
    return isinstance(x.op, Constant) and not x.ndim and x.op.number == 0


def groups_of(node: Tensor) -> list[Group]:
    """The ways in which a step is linear."""
    op, xs = node.op, node.inputs
    if op is F.add or op is F.subtract:
        found: list[Group] = [(0, 1)]
    elif op is F.negative or op is F.divide:
        found = [(0,)]
    elif op is masked_multiply:
        found = [(1,), (2,)]
    elif op is F.multiply or isinstance(op, Multilinear):
        found = [(i,) for i in range(len(xs))]
    elif isinstance(op, Where):
        found = [(1, 2)]
    elif isinstance(op, Linear) and not isinstance(op, PassThrough):
        found = [tuple(range(len(xs) if op.linear is None else op.linear))]
    else:
        return []
    if not _is_real(node):
        return []
    alone = [g for g in found if all(sum(x is xs[i] for x in xs) == 1 for i in g)]
    return [g for g in alone if all(xs[i].dtype == node.dtype or _is_zero(xs[i]) for i in g)]


class _Plan:
    """Which values are scaled by what, and through which operands."""

    def __init__(self, order: list[Tensor], outputs: Sequence[Tensor]) -> None:
        self.order = order
        self.outputs = set(outputs)
        self.groups = {node: groups_of(node) for node in order}
        self.factors = {node: found for node in order if (found := _factor(node)) is not None}
        self.users: dict[Tensor, list[Tensor]] = {}
        for node in order:
            for x in node.inputs:
                self.users.setdefault(x, []).append(node)
        self.scale: dict[Tensor, Tensor] = {}
        self.chosen: dict[Tensor, Group] = {}
        self.cost: dict[Tensor, float] = {}
        self.first: list[Tensor] = []
        """The factors, and what they are made of."""
        self.settled = False
        allowed = {node: set().union(*groups) for node, groups in self.groups.items()}
        for _ in range(ROUNDS):
            self._find(allowed)
            self._choose()
            chosen = {node: set(self.chosen.get(node, ())) for node in self.order if node in self.scale}
            if all(allowed[node] == group for node, group in chosen.items()):
                self.settled = True
                break
            allowed = {node: chosen.get(node, set()) for node in self.order}

    def _find(self, allowed: dict[Tensor, set[int]]) -> None:
        """The factor of each value that has one."""
        self.scale = {}
        for node in reversed(self.order):
            if node in self.outputs or not node.inputs or not _is_real(node):
                continue
            found = [self._of_use(user, node, allowed) for user in self.users.get(node, ())]
            if found and all(c is not None and c is found[0] for c in found):
                self.scale[node] = found[0]  # type: ignore[assignment]

    def _of_use(self, user: Tensor, x: Tensor, allowed: dict[Tensor, set[int]]) -> Tensor | None:
        c = self.scale.get(user)
        if c is not None:
            return c if any(user.inputs[i] is x for i in allowed[user]) else None
        multiple = self.factors.get(user)
        return multiple[1] if multiple is not None and multiple[0] is x else None

    def _choose(self) -> None:
        """Through which operands a factor goes on, and what it costs in the end."""
        self.chosen, self.cost = {}, {}
        for node in self.order:
            c = self.scale.get(node)
            if c is None:
                continue
            ways: list[tuple[float, Group]] = [(self._own_cost(node), ())]
            for group in self.groups[node]:
                xs = [x for i in group if not _is_zero(x := node.inputs[i])]
                if xs and all(self.scale.get(x) is c for x in xs):
                    ways.append((sum(self.cost[x] / len(self.users[x]) for x in xs), group))
            self.cost[node], self.chosen[node] = min(ways, key=lambda way: (way[0], not way[1]))  # rather farther

    def _own_cost(self, node: Tensor) -> float:
        """Of multiplying the value itself: nothing where a number is multiplied into it anyway."""
        if _number(node) is not None:
            return 0.0
        return CALL + 2 * ELEMENTWISE * elements(node) if node.ndim else 0.0

    def worth_it(self) -> bool:
        """Drop the factors that would cost as much as before, and say whether any is left."""
        gain: dict[Tensor, float] = {}
        count: dict[Tensor, int] = {}
        for node, (x, c) in self.factors.items():
            if self.scale.get(x) is c and node not in self.scale:
                gain[c] = gain.get(c, 0.0) + CALL + 2 * ELEMENTWISE * elements(node)
                count[c] = count.get(c, 0) + 1
        for node, c in self.scale.items():
            if not self.chosen[node]:
                gain[c] = gain.get(c, 0.0) - self._own_cost(node)
        good = [c for c, total in gain.items() if total > 0 and count.get(c, 0) > 1]
        self.scale = {node: c for node, c in self.scale.items() if any(c is g for g in good)}
        self.first = toposort(good)
        return bool(self.scale) and not any(node in self.scale for node in self.first)

    def built(self) -> tuple[Mapping, Mapping]:
        """The new graph: the successors of the values that are still there, and the multiples of the others."""
        new: Mapping = {}
        scaled: Mapping = {}
        keep = current.where
        try:
            for node in dict.fromkeys([*self.first, *self.order]):
                current.where = node.where
                c = self.scale.get(node)
                if c is not None:
                    scaled[node] = self._multiplied(node, new[c], new, scaled)
                    continue
                multiple = self.factors.get(node)
                if multiple is not None and multiple[0] in scaled:
                    new[node] = scaled[multiple[0]]
                else:
                    new[node] = rebuild(node, [new[x] for x in node.inputs])
        finally:
            current.where = keep
        return new, scaled

    def _multiplied(self, node: Tensor, c: Tensor, new: Mapping, scaled: Mapping) -> Tensor:
        """c times a value: through the chosen operands, into its own number, or as it is."""
        group = self.chosen[node]
        if group:
            inside = [scaled.get(x, new.get(x, x)) if i in group else new[x] for i, x in enumerate(node.inputs)]
            return rebuild(node, inside)
        place = _number(node)
        if place is not None:
            return rebuild(node, [new[x] * c if i == place else new[x] for i, x in enumerate(node.inputs)])
        return rebuild(node, [new[x] for x in node.inputs]) * c


def _number(node: Tensor) -> int | None:
    """The operand without axes that a value is multiplied by already."""
    if node.op is F.multiply and node.ndim:
        return next((i for i, x in enumerate(node.inputs) if not x.ndim and not scales_far(x, node.dtype)), None)
    return None


__all__ = ["take_in_factors"]
