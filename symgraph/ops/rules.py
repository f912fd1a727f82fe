"""The ops of functions whose derivative is a rule that the user gave.

For y = f(x) reverse mode needs the linear map ct -> J^T ct and forward mode the linear map t -> J t. A user gives one of
them; the other is its transpose, which differentiating the linear map itself finds: J t is the derivative of <J^T c, t> with
respect to c. So both modes work for both kinds of rule, and higher orders differentiate the rule like any other graph.

In compiled code the op is not there: it lowers to the body of the function, and what function and rule have in common is
computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core import (
    Aval,
    Body,
    Bound,
    Item,
    Op,
    ShapedArray,
    Symbol,
    Tensor,
    located_error,
    make,
    make_fresh,
    rebuild,
    substitute_all,
    toposort,
)
from ..dims import Size, require_equal, same_shape
from ..dtypes import is_inexact
from ..errors import GradientError, ShapeError
from .base import Elementwise, Mask, Primitive, Pulled, cast_back
from .batches import Axis, Batched, batch_size, front
from .late import F
from .work import body_bytes, body_flops


class Transparent(Primitive):
    """An op that says how a value is differentiated: in compiled code it is that value, and the op is not there."""

    def item(self, index: int, *xs: Tensor) -> Tensor:
        """What one of the results is made of."""
        raise NotImplementedError

    def lower(self, *xs: Tensor) -> Tensor | None:
        return None if isinstance(self.infer(*[x.aval for x in xs]), tuple) else self.item(0, *xs)


@dataclass(frozen=True)
class Custom(Transparent):
    """`primal(*operands)`, and a body that is linear in its last inputs: the derivative, as the user gave it.

    The first `given` operands are those that the rule differentiates; the others were captured.
    """

    primal: Body
    rule: Body
    given: int
    of: str
    """What the user called the function, for messages."""
    bodies = ("primal",)

    def infer(self, *xs: ShapedArray) -> Aval:
        for bound, x in zip(self.primal.avals, xs, strict=True):
            if bound.dtype != x.dtype or len(bound.shape) != len(x.shape):
                raise ShapeError(f"{self.of} was traced with {bound} and is given {x}")
            for a, b in zip(bound.shape, x.shape, strict=True):
                require_equal(a, b)
        found = tuple(ShapedArray(y.shape, y.dtype) for y in self.primal.outputs)
        return found if len(found) > 1 else found[0]

    def item(self, index: int, *xs: Tensor) -> Tensor:
        return substitute_all(self.primal.outputs[index : index + 1], dict(zip(self.primal.inputs, xs, strict=True)))[0]

    def evaluate(self, *values: Any) -> Any:
        found = F.interpret(self.primal.outputs, dict(zip(self.primal.inputs, values, strict=True)))
        return tuple(found) if len(found) > 1 else found[0]

    def batch(self, axes: Sequence[Axis], *xs: Tensor) -> Batched:
        """Function and rule both over the batch, as one op again."""
        n = batch_size(xs, axes)
        moved = [x if a is None else front(x, a) for x, a in zip(xs, axes, strict=True)]
        bounds = [make(Bound(i, x.shape, x.dtype)) for i, x in enumerate(moved)]
        rows: dict[Tensor, Any] = {
            inside: (b, None if a is None else 0) for inside, b, a in zip(self.primal.inputs, bounds, axes, strict=True)
        }
        outputs = [_stacked(y, a, n) for y, a in F.batched(self.primal.outputs, rows)]
        avals = tuple(ShapedArray(y.shape, y.dtype) for y in outputs)
        for node in toposort(self.rule.outputs):
            if isinstance(node.op, Again):
                if node.inputs != self.rule.inputs[: self.given]:
                    return None
                again = make(Again(avals), *bounds[: self.given])
                rows[node] = (again, 0) if len(avals) == 1 else (tuple(items(again)), (0,) * len(avals))
        seeds: list[Tensor] = []
        for inside, along in zip(self.rule.inputs[len(xs) :], self._seeded(axes), strict=True):
            shape = (n, *inside.shape) if along else inside.shape
            seeds.append(make(Bound(len(xs) + len(seeds), shape, inside.dtype)))
            rows[inside] = seeds[-1], 0 if along else None
        ruled = self._ruled([_stacked(y, a, n) for y, a in F.batched(self.rule.outputs, rows)], axes)
        types = [x.aval for x in bounds]
        op = type(self)(Body(types, outputs), Body([*types, *[s.aval for s in seeds]], ruled), self.given, self.of)
        return make(op, *moved), 0

    def _seeded(self, axes: Sequence[Axis]) -> list[bool]:
        """Which seeds of the rule differ from row to row."""
        raise NotImplementedError

    def _ruled(self, rows: list[Tensor], axes: Sequence[Axis]) -> list[Tensor]:
        """What the rule gives for all rows, from what it gives for each, stacked."""
        raise NotImplementedError

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return body_flops(self.primal)

    def traffic(self, y: Any, *xs: ShapedArray) -> Any:
        return body_bytes(self.primal)

    # The rule

    def applied(self, xs: Sequence[Tensor], seeds: Sequence[Tensor]) -> list[Tensor]:
        """The rule at these operands and seeds; calls of the function in its own rule are this op again."""
        done: dict[Tensor, Tensor] = dict(zip(self.rule.inputs, [*xs, *seeds], strict=True))
        for node in toposort(self.rule.outputs):
            if node not in done:
                inputs = [done[x] for x in node.inputs]
                again = isinstance(node.op, Again)
                done[node] = make(self, *inputs, *xs[self.given :]) if again else rebuild(node, inputs)
        return [done[y] for y in self.rule.outputs]

    def transposed(
        self, xs: Sequence[Tensor], seeds: Sequence[ShapedArray], cts: Sequence[Tensor | None]
    ) -> list[Tensor]:
        """The rule as a map of its seeds, transposed, at the cotangents of what it gives; None is zero."""
        unknown = [make_fresh(Symbol("seed", a)) for a in seeds]
        live = [(y, c) for y, c in zip(self.applied(xs, unknown), cts, strict=True) if c is not None]
        found: list[Tensor] = F.vjp([y for y, _ in live], unknown, [c for _, c in live], "zero")
        if set(unknown) & set(toposort(found)):
            what, other = ("cotangents", "forward") if isinstance(self, CustomVJP) else ("tangents", "reverse")
            rule = f"the rule of {self.of} is not linear in the {what}, so {other} mode, its transpose, does not exist"
            raise located_error(GradientError, self.name, xs[: self.given], rule)
        return found

    def wrt(self) -> list[int]:
        """The operands that the rule differentiates."""
        return [i for i in range(self.given) if is_inexact(self.primal.avals[i].dtype)]

    def live(self) -> list[int]:
        """The results that have derivatives."""
        return [k for k, y in enumerate(self.primal.outputs) if is_inexact(y.dtype)]

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        self._refuse_captured(xs, wanted)
        cts = ct if isinstance(y.aval, tuple) else (ct,)
        outputs = self.primal.outputs
        seeds = [F.zeros(outputs[k].shape, outputs[k].dtype) if cts[k] is None else cts[k] for k in self.live()]
        pulled: list[Pulled] = [None] * len(xs)
        for i, g in zip(self.wrt(), self.pulled(xs, seeds), strict=True):
            if wanted[i]:
                pulled[i] = _within(mask, cast_back(g, xs[i]), xs[i], self.primal)
        return pulled

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        self._refuse_captured(xs, [t is not None for t in ts])
        by_output = dict(zip(self.live(), self.pushed(xs, [ts[i] for i in self.wrt()]), strict=True))
        return tuple(by_output.get(k) for k in range(len(y.aval))) if isinstance(y.aval, tuple) else by_output[0]

    def pulled(self, xs: Sequence[Tensor], cts: Sequence[Tensor]) -> list[Tensor]:
        """The cotangents of the operands in `wrt()` from those of the results in `live()`."""
        raise NotImplementedError

    def pushed(self, xs: Sequence[Tensor], ts: Sequence[Tensor | None]) -> list[Tensor]:
        """The tangents of the results in `live()` from those of the operands in `wrt()`, where None is zero."""
        raise NotImplementedError

    def _refuse_captured(self, xs: Sequence[Tensor], moving: Sequence[bool]) -> None:
        outside = [x for x, m in zip(xs[self.given :], moving[self.given :], strict=True) if m]
        if outside:
            rule = f"{self.of} takes it from outside, and its rule says nothing of it. Pass it as an argument"
            raise located_error(GradientError, f"the derivative of {self.of}", outside, rule)


class CustomVJP(Custom):
    """A function with the rule ct -> J^T ct."""

    name = "custom_vjp"

    def pulled(self, xs: Sequence[Tensor], cts: Sequence[Tensor]) -> list[Tensor]:
        return self.applied(xs, cts)

    def pushed(self, xs: Sequence[Tensor], ts: Sequence[Tensor | None]) -> list[Tensor]:
        return self.transposed(xs, [self.primal.outputs[k].aval for k in self.live()], ts)

    def _seeded(self, axes: Sequence[Axis]) -> list[bool]:
        return [True] * len(self.live())

    def _ruled(self, rows: list[Tensor], axes: Sequence[Axis]) -> list[Tensor]:
        return [F.sum(g, axis=0) if axes[i] is None else g for i, g in zip(self.wrt(), rows, strict=True)]


class CustomJVP(Custom):
    """A function with the rule t -> J t."""

    name = "custom_jvp"

    def pulled(self, xs: Sequence[Tensor], cts: Sequence[Tensor]) -> list[Tensor]:
        return self.transposed(xs, [self.primal.avals[i] for i in self.wrt()], cts)

    def pushed(self, xs: Sequence[Tensor], ts: Sequence[Tensor | None]) -> list[Tensor]:
        seeds = [F.zeros_like(xs[i]) if t is None else t for i, t in zip(self.wrt(), ts, strict=True)]
        return self.applied(xs, seeds)

    def _seeded(self, axes: Sequence[Axis]) -> list[bool]:
        return [axes[i] is not None for i in self.wrt()]

    def _ruled(self, rows: list[Tensor], axes: Sequence[Axis]) -> list[Tensor]:
        return rows


@dataclass(frozen=True)
class Again(Op):
    """In a rule: the function itself, with its rule, at other operands of the same types."""

    avals: tuple[ShapedArray, ...]
    name = "again"

    def infer(self, *xs: ShapedArray) -> Aval:
        return self.avals if len(self.avals) > 1 else self.avals[0]


def _within(mask: Mask, g: Tensor, x: Tensor, body: Body) -> Pulled:
    """A cotangent under a mask: outside it everything is 0, whatever the rule makes of the operands there."""
    if mask is None:
        return g, None
    if same_shape(mask.shape, x.shape) and _is_pointwise(body, x):
        return F.where(mask, g, 0), mask
    inside = F.any(mask)
    return F.where(inside, g, 0), F.broadcast_to(inside, x.shape)


def _stacked(y: Tensor, axis: Axis, n: Size) -> Tensor:
    """A value for all rows with the batch axis first."""
    return F.broadcast_to(y, (n, *y.shape)) if axis is None else front(y, axis)


def _is_pointwise(body: Body, like: Tensor) -> bool:
    """Whether each element of a result is made of the elements of the operands in its place."""
    return all(
        isinstance(node.op, Elementwise) or node.op.name in ("where", "cast", "masked_multiply", "bound")
        for node in toposort(body.outputs)
        if node.leafy
    ) and all(same_shape(a.shape, like.shape) or not a.shape for a in body.avals)


def items(node: Tensor) -> list[Tensor]:
    """The results of an op as a list."""
    return [make(Item(k), node) for k in range(len(node.aval))] if isinstance(node.aval, tuple) else [node]
