"""`map_rows`: a function applied to every row of its operands, as a loop over a closed sub-graph in the compiled source.

What does not depend on the rows is computed once, outside the loop, and handed in as a shared operand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import dims
from ..core import (
    Aval,
    Body,
    Bound,
    Item,
    ShapedArray,
    Symbol,
    Tensor,
    constant,
    make,
    make_fresh,
    substitute_all,
    toposort,
)
from ..dtypes import is_inexact
from ..errors import ShapeError
from . import code
from .base import Mask, Primitive, Pulled, as_tensor, cast_back
from .batches import Axis, Batched
from .code import Code
from .control import _unknown_sizes
from .late import F
from .work import body_bytes, body_flops, nbytes

__all__ = ["map_rows"]


@dataclass(frozen=True)
class MapRows(Primitive):
    """`body(x1[i], ..., s1, ...)` for every i, stacked; the first `mapped` operands give rows, the others are shared."""

    body: Body
    mapped: int
    name = "map_rows"
    bodies = ("body",)

    def infer(self, *xs: ShapedArray) -> Aval:
        rows = xs[0].shape[0]
        for x in xs[1 : self.mapped]:
            rows = dims.require_equal(rows, x.shape[0])
        found = tuple(ShapedArray((rows, *y.shape), y.dtype) for y in self.body.outputs)
        return found if len(found) > 1 else found[0]

    def statements(self, out: str, *xs: Code) -> list[str]:
        rows = code.size(xs[0].aval.shape[0])
        outputs = self.body.outputs
        empty = [str(code.call("np.empty", (xs[0].aval.shape[0], *y.shape), dtype=y.dtype)) for y in outputs]
        return [f"{out} = {', '.join(empty)}", *self._loop(out, rows, xs)]

    def into(self, out: str, *xs: Code) -> list[str] | None:
        return self._loop(out, code.size(xs[0].aval.shape[0]), xs) if len(self.body.outputs) == 1 else None

    def _loop(self, out: str, rows: Code, xs: Sequence[Code]) -> list[str]:
        i, count = code.local("i"), len(self.body.outputs)
        targets = [f"{out}[{i}]"] if count == 1 else [f"{out}[{k}][{i}]" for k in range(count)]
        arguments = ", ".join([f"{x}[{i}]" for x in xs[: self.mapped]] + [x.atom for x in xs[self.mapped :]])
        return [f"for {i} in range({rows}):", f"    {', '.join(targets)} = {code.body(self.body)}({arguments})"]

    def evaluate(self, *values: Any) -> Any:
        import numpy as np

        rows, shared = values[: self.mapped], values[self.mapped :]
        found = [
            F.interpret(self.body.outputs, dict(zip(self.body.inputs, [*r, *shared], strict=True)))
            for r in zip(*rows, strict=True)
        ]
        sizes = {v: n for x, s in zip(self.body.inputs[self.mapped :], shared, strict=True) for v, n in _sizes(x, s)}
        stacked = tuple(
            np.array([f[k] for f in found], y.dtype).reshape(len(rows[0]), *[dims.evaluate(d, sizes) for d in y.shape])
            for k, y in enumerate(self.body.outputs)
        )
        return stacked if len(stacked) > 1 else stacked[0]

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        cts = ct if isinstance(y.aval, tuple) else (ct,)
        live = [k for k, c in enumerate(cts) if c is not None]
        variables = [i for i, (x, want) in enumerate(zip(xs, wanted, strict=True)) if want and is_inexact(x.dtype)]
        if not live or not variables:
            return [None] * len(xs)

        def backward(*rows: Tensor) -> tuple[Tensor, ...]:
            seeds = rows[self.mapped :]
            inside, unknown = self.body.inputs, self._seeds(seeds)
            found = F.vjp([self.body.outputs[k] for k in live], [inside[i] for i in variables], unknown, "zero")
            operands = [*rows[: self.mapped], *xs[self.mapped :], *seeds]
            return tuple(substitute_all(found, dict(zip([*inside, *unknown], operands, strict=True))))

        found = map_rows(backward, *xs[: self.mapped], *[cts[k] for k in live])
        pulled: list[Pulled] = [None] * len(xs)
        for i, g in zip(variables, found, strict=True):
            pulled[i] = cast_back(g if i < self.mapped else F.sum(g, axis=0), xs[i]), None
        return pulled

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        moving = [i for i, t in enumerate(ts) if t is not None]
        rows = [ts[i] for i in moving if i < self.mapped]

        def forward(*given: Tensor) -> tuple[Tensor, ...]:
            tangents = [*given[self.mapped :], *[t for t in ts[self.mapped :] if t is not None]]
            inside, unknown = self.body.inputs, self._seeds(tangents)
            found = F.jvp(list(self.body.outputs), [inside[i] for i in moving], unknown)
            operands = [*given[: self.mapped], *xs[self.mapped :], *tangents]
            return tuple(substitute_all(found, dict(zip([*inside, *unknown], operands, strict=True))))

        found = map_rows(forward, *xs[: self.mapped], *rows)
        return found if isinstance(y.aval, tuple) else found[0]

    def _seeds(self, like: Sequence[Tensor]) -> list[Tensor]:
        """Bound variables beyond those of the body, so that operands made of each other are differentiated apart."""
        start = len(self.body.avals)
        return [make(Bound(start + k, x.shape, x.dtype)) for k, x in enumerate(like)]

    def batch(self, axes: Sequence[Axis], *xs: Tensor) -> Batched:
        """Still one loop over the rows, whose body works on a batch."""
        moved = [x if a is None else F.moveaxis(x, a, int(i < self.mapped)) for i, (x, a) in enumerate(zip(xs, axes))]
        avals = [ShapedArray(x.shape[1:] if i < self.mapped else x.shape, x.dtype) for i, x in enumerate(moved)]
        inside = zip(Body(avals, ()).inputs, [None if a is None else 0 for a in axes], strict=True)
        found = F.batched(self.body.outputs, dict(zip(self.body.inputs, inside, strict=True)))
        outputs = [y if a is None else F.moveaxis(y, a, 0) for y, a in found]
        sizes = _sizes_of(outputs, Body(avals, ()).inputs)
        node = make(MapRows(Body([*avals, *[s.aval for s in sizes]], outputs), self.mapped), *moved, *sizes)
        ys = [make(Item(k), node) for k in range(len(outputs))] if len(outputs) > 1 else [node]
        return ys, [None if a is None else 1 for _, a in found]

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return xs[0].shape[0] * body_flops(self.body)

    def traffic(self, y: Any, *xs: ShapedArray) -> Any:
        return xs[0].shape[0] * body_bytes(self.body) + nbytes(y)


def apply(body: Body, operands: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of a body with its bound variables replaced by `operands`."""
    return substitute_all(body.outputs, dict(zip(body.inputs, operands, strict=True)))


def map_rows(function: Callable[..., Any], *xs: Any) -> Any:
    """`function(x[0]), function(x[1]), ...` along the first axis of every operand, each result stacked in the same way.

    `function` takes one row of each operand and returns a tensor or a tuple of them; it may use tensors from outside.

    >>> from symgraph import evaluate, map_rows, symbol
    >>> x = symbol("x", ("n", 2))
    >>> evaluate(map_rows(lambda row: row.sum(), x), {x: [[1.0, 2.0], [3.0, 4.0]]})
    array([3., 7.])
    """
    operands = [as_tensor(x) for x in xs]
    if not operands or any(x.ndim == 0 for x in operands):
        raise ShapeError("map_rows needs operands with at least one axis, along which their rows lie")
    rows = [make_fresh(Symbol(f"row{i}", ShapedArray(x.shape[1:], x.dtype))) for i, x in enumerate(operands)]
    results = function(*rows)
    single = isinstance(results, Tensor)
    outputs = [as_tensor(results)] if single else [as_tensor(r) for r in results]
    outputs = [F.cast(r, r.dtype) if r.aval.weak else r for r in outputs]
    shared = _invariant(outputs, rows)
    inside = dict(zip([*rows, *shared], _bound([*rows, *shared]), strict=True))
    closed = substitute_all(outputs, inside)
    shared += _sizes_of(closed, [*rows, *shared])
    node = make(MapRows(Body([x.aval for x in [*rows, *shared]], closed), len(rows)), *operands, *shared)
    found = tuple(make(Item(k), node) for k in range(len(outputs))) if len(outputs) > 1 else (node,)
    return found[0] if single else found


def _sizes_of(outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> list[Tensor]:
    """Operands that tell a body the sizes it uses and that no other operand tells."""
    return [F.broadcast_to(constant(False), (size,)) for size in _unknown_sizes(outputs, operands)]


def _bound(nodes: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return Body([x.aval for x in nodes], ()).inputs


def _invariant(outputs: Sequence[Tensor], rows: Sequence[Tensor]) -> list[Tensor]:
    """The largest parts that depend on some leaf but on no row: computed once, outside the loop."""
    varying = set(rows)
    found: dict[Tensor, None] = {}
    for node in toposort(outputs):
        if any(x in varying for x in node.inputs):
            varying.add(node)
    for node in toposort(outputs):
        if node in varying:
            found.update(
                dict.fromkeys(x for x in node.inputs if x not in varying and x.leafy and not isinstance(x.aval, tuple))
            )
    found.update(dict.fromkeys(y for y in outputs if y not in varying and y.leafy))
    return list(found)


def _sizes(x: Tensor, value: Any) -> list[tuple[Any, int]]:
    return [(s.key, n) for s, n in zip(x.shape, value.shape, strict=True) if not isinstance(s, int) and s.is_variable]
