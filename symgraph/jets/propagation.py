"""Taylor coefficients through a graph: one walk from the inputs, a series for each node that depends on t.

How a node's series follows from those of its operands is a question of its kind:

    Elementwise   the recurrence that its partials give, or one of its own     (`symgraph.jets.elementwise`)
    Linear        the op on each coefficient
    Multilinear   the Cauchy product
    others        y' = J(x, y) x', from the op's own jvp: that expression is a small graph in x, y and the tangent x',
                  whose series are known below k when y[k] is asked for

The last rule alone would do for all; it makes Cholesky factors, eigenvectors, products, softmax and ops declared by users
work to any order. Where its expression depends on t through x' alone, the op is linear piece by piece (a maximum,
a sort, a gather), and is applied to each coefficient.

The series of a node inside such an expression may differ from what the node itself would give: the tangent x' is a symbol
there, with series x[1] + 2 x[2] t + ... . So a series keeps the node it stands for apart from its value at t = 0.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import product
from typing import Any

from ..core import Item, ShapedArray, Symbol, Tensor, describe, make, make_fresh, rebuild, toposort
from ..dtypes import is_inexact
from ..errors import GradientError
from ..ops.base import Elementwise, Linear, Multilinear, Primitive
from ..ops.elementwise import Cast
from ..ops.late import F
from ..ops.linalg import Inverse, Solve
from ..ops.mapped import MapRows, apply
from ..provenance import current
from .elementwise import RULES, from_partials
from .series import Coefficient, More, Series, Sum, fixed, follow


class Group:
    """The series of an op with several outputs, one for each."""

    def __init__(self, node: Tensor, primal: Tensor) -> None:
        self.node, self.primal, self.active = node, primal, True
        self.items = [Series(make(Item(i), node), make(Item(i), primal)) for i in range(len(node.aval))]


class Jets:
    """The series of the nodes that depend on t, as far as they have been asked for."""

    def __init__(self, known: Mapping[Tensor, Series]) -> None:
        self.table: dict[Tensor, Any] = dict(known)

    def of(self, node: Tensor) -> Any:
        """The series of a node whose operands have been seen."""
        found = self.table.get(node)
        return fixed(node) if found is None else found

    def lift(self, expression: Tensor, boundary: frozenset[Tensor]) -> Any:
        """The series of an expression in nodes that have been seen, the boundary: the nodes above it are seen now."""
        for node in toposort([expression], stop=ChainMap(self.table, dict.fromkeys(boundary))):
            if node not in self.table and node not in boundary:
                self.enter(node)
        return self.of(expression)

    def depends(self, expression: Tensor, boundary: frozenset[Tensor]) -> bool:
        """Whether an expression changes with t, as far as can be said without its series: a sign or a floor does not."""
        active: set[Tensor] = set()
        for node in toposort([expression], stop=ChainMap(self.table, dict.fromkeys(boundary))):
            if node in self.table or node in boundary:
                if self.of(node).active:
                    active.add(node)
            elif any(x in active for x in node.inputs) and (isinstance(node.aval, tuple) or is_inexact(node.dtype)):
                if not _is_steady(node, active):
                    active.add(node)
        return expression in active

    def enter(self, node: Tensor, order: int | None = None) -> None:
        """Give a node its series; with `order`, made up to there at once."""
        if not any(x in self.table for x in node.inputs):
            return
        xs = [self.of(x) for x in node.inputs]
        primal = rebuild(node, [x.primal for x in xs])
        if isinstance(node.op, Item):
            self.table[node] = xs[0].items[node.op.index] if isinstance(xs[0], Group) else fixed(node, primal)
            return
        several = isinstance(node.aval, tuple)
        z: Any = None
        if any(x.active for x in xs) and (several or is_inexact(node.dtype)):
            keep, current.where = current.where, node.where or current.where
            try:
                z = self._group(node, primal, xs, order) if several else self._single(node, primal, xs, order)
            finally:
                current.where = keep
        if z is not None or primal is not node:
            self.table[node] = fixed(node, primal) if z is None else z
        else:
            self.table.pop(node, None)

    def _single(self, node: Tensor, primal: Tensor, xs: list[Any], order: int | None) -> Series | None:
        z = self.table[node] = Series(node, primal)
        if order is not None and isinstance(node.op, MapRows):
            z.coefficients += _map_rows(node.op, xs, order)[0]
            return z
        z.more = self._rule(z, node.op, xs)
        if z.more is not None and order is not None:
            z.fill(order)
        return None if z.more is None else z

    def _group(self, node: Tensor, primal: Tensor, xs: list[Any], order: int | None) -> Group:
        group = self.table[node] = Group(node, primal)
        self.table.update({z.node: z for z in group.items})
        if order is not None and isinstance(node.op, MapRows):
            for z, found in zip(group.items, _map_rows(node.op, xs, order), strict=True):
                z.coefficients += found
            return group
        mores = self._by_jvp(group, node.op, xs)
        for i, z in enumerate(group.items):
            z.more = partial(_each, mores, i)
            z.active = is_inexact(z.node.dtype)
            z.by_rate = True
        if order is not None:
            for z in group.items:
                z.fill(order)
        return group

    def _rule(self, z: Series, op: Any, xs: list[Any]) -> More | None:
        rule = RULES.get(op.family) or OTHERS.get(op.family)
        if rule is not None:
            return rule(self, z, op, xs)
        if isinstance(op, Elementwise) and type(op).pushforward is Elementwise.pushforward:
            return from_partials(self, z, op, xs)
        if op.name == "stop_gradient":
            return None
        if isinstance(op, Linear):
            return _linear(z, op, xs)
        if isinstance(op, Multilinear):
            return _multilinear(z, op, xs)
        z.by_rate = True
        return partial(_each, self._by_jvp(z, op, xs), 0)

    def _by_jvp(self, z: Any, op: Any, xs: list[Any]) -> Callable[[], list[More]]:
        """The rule for any op, for each of its outputs: k y[k] = E[k-1], with E(t) the series of its jvp.

        It is made when first asked for: the jvp may be written with ops like this one, without end.
        """
        if not isinstance(op, Primitive):
            raise GradientError(f"{describe(z.node)} has no derivative")
        node, nodes = z.node, [x.node for x in xs]
        boundary = frozenset([node, *nodes])

        def jvp(tangents: Mapping[Any, Tensor]) -> list[Tensor | None]:
            made = op.pushforward([tangents.get(x) for x in xs], node, nodes)
            return list(made) if isinstance(z, Group) else [made]

        def symbols() -> dict[Any, Tensor]:
            one_each = {
                x.node: make_fresh(Symbol("t", ShapedArray(x.node.shape, x.node.dtype))) for x in xs if x.active
            }
            return {x: one_each[x.node] for x in xs if x.active}

        @cache
        def made() -> list[More]:
            still = [e for e in jvp(symbols()) if e is not None]
            if not any(self.lift(e, boundary).active for e in still):
                return _piecewise(z, op, xs)
            tangents = symbols()
            self.table.update({t: _derivative(x, t) for x, t in tangents.items()})
            return [_none if e is None else _integral(self.lift(e, boundary)) for e in jvp(tangents)]

        return made


def _is_steady(node: Tensor, active: set[Tensor]) -> bool:
    """Whether an elementwise op is constant piece by piece in its active operands."""
    if not isinstance(node.op, Elementwise) or node.op.partials is None:
        return False
    partials = node.op.partials(node, *node.inputs)
    return all(p is None for x, p in zip(node.inputs, partials, strict=True) if x in active)


def _each(mores: Callable[[], list[More]], i: int, k: int) -> Coefficient:
    return mores()[i](k)


def _none(k: int) -> None:
    return None


def _derivative(x: Series, t: Tensor) -> Series:
    """x'(t) as the series of the symbol that stands for it."""
    first = x[1]
    return Series(t, F.zeros_like(x.primal) if first is None else first, lambda k: x.rate(k + 1), x.mask)


def _integral(e: Series) -> More:
    return lambda k: e[k - 1]


def _piecewise(z: Any, op: Primitive, xs: list[Any]) -> list[More]:
    """The op's jvp on each rate, for what is linear piece by piece."""
    nodes = [x.primal for x in xs]

    @cache
    def at(k: int) -> Any:
        ts = [x.rate(k) if x.active else None for x in xs]
        return None if all(t is None for t in ts) else op.pushforward(ts, z.primal, nodes)

    if not isinstance(z, Group):
        return [at]
    return [partial(_output, at, i) for i in range(len(z.items))]


def _output(at: Callable[[int], Any], i: int, k: int) -> Coefficient:
    made = at(k)
    return None if made is None else made[i]


# Linear and multilinear ops ------------------------------------------------------------------------------------------


def _linear(z: Series, op: Linear, xs: list[Any]) -> More:
    nodes = [x.primal for x in xs]
    z.mask = xs[0].mask if isinstance(op, Cast) else None
    return follow(z, xs, lambda parts: op.pushforward(parts, z.primal, nodes))


def _multilinear(z: Series, op: Multilinear, xs: list[Any]) -> More:
    moving = [i for i, x in enumerate(xs) if x.active]
    if len(moving) > 1:
        return lambda k: _cauchy(op, xs, k)
    (i,) = moving
    nodes = [x.primal for x in xs]
    return follow(z, [xs[i]], lambda part: make(op, *nodes[:i], part[0], *nodes[i + 1 :]))  # type: ignore[arg-type]


def _cauchy(op: Multilinear, xs: list[Any], k: int) -> Coefficient:
    """The sum of op(x1[i], x2[j], ...) over i + j + ... = k."""
    found = Sum()
    choices = [[j for j in range(k + 1) if x[j] is not None] for x in xs[:-1]]
    for chosen in product(*choices):
        left = k - sum(chosen)
        if left >= 0 and xs[-1][left] is not None:
            found.add(make(op, *[x[j] for x, j in zip(xs, (*chosen, left), strict=True)]))
    return found.total()


def _solve(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More:
    """A X = B: A[0] X[k] = B[k] - the sum of A[j] X[k-j], all with the one matrix A[0]."""
    a, b = xs
    vector = b.node.ndim == 1

    def more(k: int) -> Coefficient:
        right = Sum()
        for j in range(1, k + 1):
            u, v = a[j], z[k - j]
            if u is not None and v is not None:
                right.add(F.matvec(u, v) if vector else u @ v, weight=-1)
        top = right.add(b[k]).total()
        if top is None:
            return None
        if vector and top.ndim > 1:
            return F.squeeze(F.solve(a.primal, F.expand_dims(top, -1)), axis=-1)
        return F.solve(a.primal, top)

    return more


def _inverse(jets: Jets, z: Series, op: Any, xs: Sequence[Series]) -> More:
    (a,) = xs

    def more(k: int) -> Coefficient:
        found = Sum()
        for j in range(1, k + 1):
            u, v = a[j], z[k - j]
            if u is not None and v is not None:
                found.add(u @ v, weight=-1)
        top = found.total()
        return None if top is None else z.primal @ top

    return more


OTHERS: dict[Any, Callable[..., More | None]] = {Solve: _solve, Inverse: _inverse}
"""The recurrences of ops that are not elementwise, by family."""


# Loops over rows -----------------------------------------------------------------------------------------------------


def _map_rows(op: MapRows, xs: list[Any], order: int) -> list[list[Coefficient]]:
    """For each output of the body the coefficients from 1 on: the body's own series, made row by row."""
    given = [(i, k, x[k]) for i, x in enumerate(xs) for k in range(1, order + 1) if x[k] is not None]
    rows = [(i, k, c) for i, k, c in given if i < op.mapped]

    def forward(*values: Tensor) -> tuple[Tensor, ...]:
        operands = [*values[: op.mapped], *[x.primal for x in xs[op.mapped :]]]
        parts: dict[int, list[Coefficient]] = {i: [None] * order for i, _, _ in given}
        for i, k, c in given:
            parts[i][k - 1] = c
        for (i, k, _), value in zip(rows, values[op.mapped :], strict=True):
            parts[i][k - 1] = value
        known: dict[Tensor, Series] = {}
        for i, coefficients in parts.items():
            z = Series(operands[i], operands[i])
            z.coefficients += coefficients
            known[operands[i]] = z
        found = coefficients_of(apply(op.body, operands), known, order)
        return tuple(F.zeros_like(f[0]) if c is None else c for f in found for c in f[1:])

    stacked = F.map_rows(forward, *[x.primal for x in xs[: op.mapped]], *[c for _, _, c in rows])
    return [list(stacked[i * order : (i + 1) * order]) for i in range(len(op.body.outputs))]


# The walk ------------------------------------------------------------------------------------------------------------


def coefficients_of(outputs: Sequence[Tensor], known: Mapping[Tensor, Series], order: int) -> list[list[Coefficient]]:
    """For each output its coefficients up to `order`, from the series of the nodes where t enters."""
    jets = Jets(known)
    for node in toposort(outputs, stop=jets.table):
        if node not in jets.table:
            jets.enter(node, order)
    return [[jets.of(y)[k] for k in range(order + 1)] for y in outputs]
