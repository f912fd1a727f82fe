"""`cond`: one of two closed sub-graphs runs, as an `if` in the compiled source.

A branch is traced on fresh symbols and then closed: its operands and every tensor it takes from outside become numbered
bound variables, so that the branch depends on nothing but its inputs. What the branch itself builds stays inside and
runs only when the branch is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np

from .. import dims
from ..core import (
    Aval,
    Body,
    Bound,
    Constant,
    Item,
    Op,
    ShapedArray,
    Symbol,
    Tensor,
    constant,
    format_shape,
    located_error,
    make,
    make_fresh,
    recording,
    substitute_all,
    toposort,
)
from ..dims import Dim, Size
from ..dims import _of as dim_of
from ..dtypes import is_inexact, promote
from ..errors import DTypeError, ShapeError
from ..pytree import flatten, paths, tree_map
from .base import Mask, Primitive, Pulled, as_tensor, cast, cast_back, gives_scalar, promotion_type
from .batches import Axis, Batched, aligned, batch_size
from .code import TERNARY, Code
from .late import F
from .work import body_bytes, body_flops

__all__ = ["cond"]


@dataclass(frozen=True)
class Cond(Primitive):
    """`true(*operands)` if the first operand holds, else `false(*operands)`; derivatives are branches in turn."""

    true: Body
    false: Body
    name = "cond"
    bodies = ("true", "false")

    def __post_init__(self) -> None:
        inside = [node.op for body in (self.true, self.false) for node in toposort(body.outputs)]
        hazards = [op.hazard for op in inside if isinstance(op, Primitive) and op.hazard]
        object.__setattr__(self, "hazard", f"in a branch, {hazards[0]}" if hazards else None)

    @property
    def is_view(self) -> bool:
        """Whether a branch may return its operand, or a view of one."""
        return any(_may_be_operand(y) for body in (self.true, self.false) for y in body.outputs)

    @property
    def scalar(self) -> bool:
        """Whether every branch computes NumPy scalars for its results without axes."""
        return all(gives_scalar(y) for body in (self.true, self.false) for y in body.outputs)

    def infer(self, pred: ShapedArray, *xs: ShapedArray) -> Aval:
        if pred.dtype != np.bool_ or pred.shape:
            raise DTypeError(f"the predicate is {pred}. It must be one bool: reduce it with all() or any()")
        for body in (self.true, self.false):
            for bound, x in zip(body.avals, xs, strict=True):
                _same_type(bound, x, "a branch was traced with", "and is given")
        pairs = zip(self.true.outputs, self.false.outputs, strict=True)
        found = tuple(_same_type(a.aval, b.aval, "the true branch gives", "and the false branch") for a, b in pairs)
        return found if len(found) > 1 else found[0]

    def numpy(self, pred: Code, *xs: Code) -> Code:
        from . import code

        arguments = ", ".join(x.atom if x.literal else x for x in xs)  # a branch takes arrays, not Python numbers
        true, false = code.body(self.true), code.body(self.false)
        return Code(f"{true}({arguments}) if {pred.within(TERNARY + 1)} else {false}({arguments})", TERNARY)

    def into(self, out: str, *xs: Code) -> None:
        return None  # a branch makes its own array

    def evaluate(self, *values: Any) -> Any:
        body = self.true if values[0] else self.false
        found = F.interpret(body.outputs, dict(zip(body.inputs, values[1:])))
        return found[0] if len(found) == 1 else tuple(found)

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        pred, *operands = xs
        count = len(operands)
        cts = ct if isinstance(y.aval, tuple) else (ct,)
        live = [i for i, c in enumerate(cts) if c is not None]
        variables = [i for i in range(count) if wanted[1 + i] and is_inexact(operands[i].dtype)]
        if not live or not variables:
            return [None] * len(xs)
        seeds = [make(Bound(count + j, cts[i].shape, cts[i].dtype)) for j, i in enumerate(live)]

        def backward(body: Body) -> list[Tensor]:
            inputs = body.inputs
            outputs, wrt = [body.outputs[i] for i in live], [inputs[i] for i in variables]
            return F.vjp(outputs, wrt, seeds, "zero")

        found = branch(pred, backward(self.true), backward(self.false), [*operands, *[cts[i] for i in live]])
        pulled: list[Pulled] = [None] * len(xs)
        for i, g in zip(variables, found):
            x = operands[i]
            if mask is None:
                pulled[1 + i] = cast_back(g, x), None
            else:  # outside the mask everything is 0, whatever happens in the branch
                inside = F.any(mask)
                pulled[1 + i] = cast_back(F.where(inside, g, 0), x), F.broadcast_to(inside, x.shape)
        return pulled

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        pred, *operands = xs
        count = len(operands)
        moving = [i for i in range(count) if ts[1 + i] is not None and is_inexact(operands[i].dtype)]
        several = isinstance(y.aval, tuple)
        avals = y.aval if several else (y.aval,)
        live = [i for i, a in enumerate(avals) if is_inexact(a.dtype)]
        if not moving or not live:
            return None
        tangents: list[Any] = [ts[1 + i] for i in moving]
        seeds = [make(Bound(count + j, t.shape, t.dtype)) for j, t in enumerate(tangents)]

        def forward(body: Body) -> list[Tensor]:
            inputs = body.inputs
            outputs, wrt = [body.outputs[i] for i in live], [inputs[i] for i in moving]
            return F.jvp(outputs, wrt, seeds)

        found = branch(pred, forward(self.true), forward(self.false), [*operands, *tangents])
        by_output = dict(zip(live, found))
        return tuple(by_output.get(i) for i in range(len(avals))) if several else found[0]

    def batch(self, axes: Sequence[Axis], pred: Tensor, *xs: Tensor) -> Batched:
        """Where the predicate is the same for all rows, one branch runs on all of them; else both do, and each row
        takes its own."""
        at_pred, *at = axes
        if at_pred is not None:
            taken = [F.batched(b.outputs, dict(zip(b.inputs, zip(xs, at)))) for b in (self.true, self.false)]
            chosen = [aligned((pred, a, b), (at_pred, at_a, at_b)) for (a, at_a), (b, at_b) in zip(*taken)]
            return [F.where(*operands) for operands, _ in chosen], [place for _, place in chosen]
        bounds = [make(Bound(i, x.shape, x.dtype)) for i, x in enumerate(xs)]
        bodies = [F.batched(b.outputs, dict(zip(b.inputs, zip(bounds, at)))) for b in (self.true, self.false)]
        rows, n = [a is not None or b is not None for (_, a), (_, b) in zip(*bodies)], batch_size(xs, at)
        both = [[_stacked(y, a, n) if row else y for (y, a), row in zip(body, rows)] for body in bodies]
        return branch(pred, both[0], both[1], xs), [0 if row else None for row in rows]

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return dims.maximum(body_flops(self.true), body_flops(self.false))

    def traffic(self, y: Any, *xs: ShapedArray) -> Any:
        return dims.maximum(body_bytes(self.true), body_bytes(self.false))


def _stacked(y: Tensor, axis: Axis, n: Size) -> Tensor:
    """A result with the batch axis first."""
    made: Tensor = F.broadcast_to(y, (n, *y.shape)) if axis is None else F.moveaxis(y, axis, 0)
    return made


def _may_be_operand(y: Tensor) -> bool:
    while isinstance(y.op, Primitive) and y.op.is_view and len(y.inputs) == 1:
        y = y.inputs[0]
    return isinstance(y.op, Bound | Item) or (isinstance(y.op, Primitive) and y.op.is_view)


def _same_type(a: ShapedArray, b: ShapedArray, first: str, second: str) -> ShapedArray:
    text = f"{first} {format_shape(a.shape)} {a.dtype} {second} {format_shape(b.shape)} {b.dtype}"
    if a.dtype != b.dtype:
        raise DTypeError(f"{text}. Cast one of them with .astype(...)")
    if len(a.shape) != len(b.shape):
        raise ShapeError(f"{text}. The shapes must be equal: use broadcast_to or reshape")
    try:
        return ShapedArray(tuple(dims.require_equal(m, n) for m, n in zip(a.shape, b.shape)), a.dtype)
    except ShapeError:
        raise ShapeError(f"{text}. The shapes must be equal: use broadcast_to or reshape") from None


def branch(pred: Tensor, true: Sequence[Tensor], false: Sequence[Tensor], operands: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of a `Cond` whose branches are given over Bound(i) for operand i; constants move inside."""
    used = {x.op.index: x for x in toposort([*true, *false]) if isinstance(x.op, Bound)}
    place: dict[Tensor, int] = {}
    renumber: dict[Tensor, Tensor] = {}
    for i in sorted(used):
        x = operands[i]
        if isinstance(x.op, Constant):
            renumber[used[i]] = x
            continue
        bound = Bound(place.setdefault(x, len(place)), x.shape, x.dtype)
        renumber[used[i]] = make(bound)
    closed = [substitute_all(list(outputs), renumber) for outputs in (true, false)]
    for size in _unknown_sizes([*closed[0], *closed[1]], place):
        place[F.broadcast_to(constant(False), (size,))] = len(place)
    bodies = [Body([x.aval for x in place], outputs) for outputs in closed]
    node = make(Cond(*bodies), pred, *place)
    return [make(Item(i), node) for i in range(len(true))] if isinstance(node.aval, tuple) else [node]


def _unknown_sizes(outputs: Sequence[Tensor], operands: Iterable[Tensor]) -> list[Dim]:
    """The sizes that a body uses, as in `zeros(n)`, and that no axis of its operands tells: they need an operand too."""
    known = {v for x in operands for s in x.shape if isinstance(s, Dim) and s.is_variable for v in dims.variables(s)}
    found: dict[dims.Variable, None] = {}
    for node in toposort(outputs):
        avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
        fields: list[Any] = (
            [getattr(node.op, f.name) for f in dataclasses.fields(node.op)] if is_dataclass(node.op) else []
        )
        for size in _sizes_in((*[a.shape for a in avals], *fields)):
            found.update(dict.fromkeys(v for v in dims.variables(size) if v not in known))
    return [dim_of(v) for v in found]


def _sizes_in(value: Any) -> Iterator[Dim]:
    """The symbolic sizes in nested tuples and slices."""
    if isinstance(value, Dim):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _sizes_in(item)
    elif isinstance(value, slice):
        yield from _sizes_in((value.start, value.stop, value.step))


# Tracing -------------------------------------------------------------------------------------------------------------


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """`true_fn(*operands)` if `pred` else `false_fn(*operands)`; only the branch that is taken runs.

    `pred` is one bool or number (true unless 0). Operands are tensors, or nestings of list, tuple and dict; a branch
    may also use tensors from outside directly. Both branches must return the same nesting of tensors, of the same
    shapes and dtypes (Python scalars adapt), else ShapeError or DTypeError. Use `where` to choose for each element.

    >>> from symgraph import cond, function, log, symbol
    >>> x = symbol("x")
    >>> f = function([x], cond(x > 0, lambda: log(x), lambda: 0.0))
    >>> f(1.0), f(-1.0)
    (np.float64(0.0), np.float64(0.0))
    """
    test = as_tensor(pred)
    test = test if test.dtype == np.bool_ else F.not_equal(test, 0)
    leaves, rebuild = flatten(operands)
    given = [x for x in leaves if isinstance(x, Tensor) and not x.aval.weak]
    symbols = {x: make_fresh(Symbol("operand", ShapedArray(x.shape, x.dtype))) for x in given}
    arguments = rebuild([symbols.get(x, x) if isinstance(x, Tensor) else x for x in leaves])

    with recording() as nodes:
        results = [true_fn(*arguments), false_fn(*arguments)]
        shapes = [tree_map(lambda leaf: None, r) for r in results]
        flat = [[as_tensor(leaf) for leaf in flatten(r)[0]] for r in results]
        if shapes[0] != shapes[1] or paths(results[0]) != paths(results[1]):
            rule = f"the branches must return one nesting, not {shapes[0]} and {shapes[1]} (None stands for a tensor)"
            raise located_error(ShapeError, "cond", [test], rule)
        if not flat[0]:
            raise located_error(ShapeError, "cond", [test], "the branches return no tensor")
        true, false = map(list, zip(*[_agreed(test, a, b) for a, b in zip(*flat)]))
    outer = captured([*true, *false], nodes, set(symbols.values()))
    inputs = [*symbols, *outer]
    mapping = {x: make(Bound(i, x.shape, x.dtype)) for i, x in enumerate([*symbols.values(), *outer])}
    outputs = substitute_all([*true, *false], mapping)
    found = branch(test, outputs[: len(true)], outputs[len(true) :], inputs)
    return flatten(results[0])[1](found)


def _agreed(test: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two results in one dtype: a Python scalar takes that of the other branch."""
    if a.aval.weak or b.aval.weak:
        dtype = promote(promotion_type(a), promotion_type(b))
        strong = {x.dtype for x in (a, b) if not x.aval.weak}
        if strong <= {dtype}:
            a, b = cast(a, dtype), cast(b, dtype)
    try:
        _same_type(a.aval, b.aval, "the true branch gives", "and the false branch")
    except (ShapeError, DTypeError) as error:
        raise located_error(type(error), "cond", [test, a, b], str(error)) from None
    return a, b


def captured(outputs: Sequence[Tensor], made: Sequence[Tensor], inputs: set[Tensor]) -> list[Tensor]:
    """The tensors from outside that a traced body uses: leaves, and nodes that existed before it was traced.

    What is not made of any leaf, such as a constant, stays in the body.
    """
    inside = set(made)
    found: dict[Tensor, None] = {}
    seen: set[Tensor] = set()
    stack = list(outputs)[::-1]
    while stack:
        node = stack.pop()
        if node in seen or node in inputs or not node.leafy:
            continue
        seen.add(node)
        if node not in inside or _reads_outside(node, inside, inputs):
            found[node] = None
        else:
            stack.extend(reversed(node.inputs))
    return list(found)


def _reads_outside(node: Tensor, inside: set[Tensor], inputs: set[Tensor]) -> bool:
    """Whether `node` is one output of an op from outside that has several."""
    op: Op = node.op
    return isinstance(op, Item) and node.inputs[0] not in inside
