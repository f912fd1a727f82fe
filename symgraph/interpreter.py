"""The naive interpreter: a graph evaluated node by node, each op by its own `evaluate` on plain arrays.

It schedules, fuses and reuses nothing, and keeps every value until the end. It is what the compiler is tested against,
and what runs the bodies of loops and branches when their op is evaluated on arrays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import dims
from .core import Body, Bound, Constant, Item, Tensor, describe, make, toposort
from .dims import Dim, Size, Variable
from .errors import ShapeError
from .ops.late import F

Sizes = dict[Variable, int]
"""The number that each symbolic dimension is."""


def interpret(outputs: Sequence[Tensor], values: Mapping[Tensor, Any]) -> list[Any]:
    """The values of `outputs`, given those of the leaves (or of any other nodes, which are then not looked into).

    Symbolic dimensions are read from the shapes of the given values. Raises `ShapeError` where a value does not fit the
    shape of its leaf, and `KeyError` for a leaf without a value.
    """
    found = trace(outputs, values)
    return [found[y] for y in outputs]


def trace(outputs: Sequence[Tensor], values: Mapping[Tensor, Any]) -> dict[Tensor, Any]:
    """The value of every node that the outputs depend on, inputs before users; a tuple where an op has several outputs."""
    found: dict[Tensor, Any] = {
        x: v if isinstance(x.aval, tuple) else np.asarray(v, dtype=x.dtype) for x, v in values.items()
    }
    sizes = sizes_of(found)
    for node in toposort(outputs, stop=found):
        if node not in found:
            found[node] = _value(node, [found[x] for x in node.inputs], sizes)
    return found


def _value(node: Tensor, operands: list[Any], sizes: Sizes) -> Any:
    op: Any = node.op
    if isinstance(op, Constant):
        return op.value
    if isinstance(op, Item):
        return operands[0][op.index]
    if isinstance(op, Bound) or not hasattr(op, "evaluate"):
        kept = getattr(node, "value", None)  # a parameter holds its own value
        if kept is None:
            raise KeyError(f"no value is given for {describe(node)}")
        return np.asarray(kept)
    return specialized(op, sizes).evaluate(*operands)


# Sizes ---------------------------------------------------------------------------------------------------------------


def sizes_of(values: Mapping[Tensor, Any]) -> Sizes:
    """What the symbolic dimensions are, by the shapes of these values."""
    sizes: Sizes = {}
    pending = []
    for x, value in values.items():
        if isinstance(x.aval, tuple):
            continue
        if np.ndim(value) != x.ndim:
            raise ShapeError(f"{describe(x)} is given a value of shape {np.shape(value)}")
        pending += [(d, size, x, value) for d, size in zip(x.shape, np.shape(value), strict=True)]
    while pending:
        later = []
        for d, size, x, value in pending:
            known = _solve(d, size, sizes)
            if known is None:
                later.append((d, size, x, value))
            elif not known:
                raise ShapeError(f"{describe(x)} is given a value of shape {np.shape(value)}: {d} is not {size}")
        if len(later) == len(pending):
            break  # a size that no value determines: an error only where an op asks for it
        pending = later
    return sizes


def _solve(d: Size, size: int, sizes: Sizes) -> bool | None:
    """Whether `d` can be `size`, after binding its variable when there is just one; None when that is not known yet."""
    d = dims.substitute(d, sizes)
    if isinstance(d, int):
        return d == size
    if len(dims.variables(d)) > 1:
        return None
    (variable,) = dims.variables(d)
    low, high, far = (dims.evaluate(d, {variable: n}) for n in (1, 2, 1002))
    slope = high - low
    if not slope or far != low + 1001 * slope:
        return None  # a floor or a product: not for this interpreter to solve
    guess, rest = divmod(size - low, slope)
    if rest or guess < -1:
        return False
    sizes[variable] = guess + 1
    return True


def specialized(op: Any, sizes: Sizes) -> Any:
    """`op` with numbers in the place of the symbolic sizes in its fields."""
    if not dataclasses.is_dataclass(op) or isinstance(op, type):
        return op
    changed = {}
    for field in dataclasses.fields(op):
        before = getattr(op, field.name)
        after = _specialized(before, sizes)
        if after is not before:
            changed[field.name] = after
    return dataclasses.replace(op, **changed) if changed else op


def _specialized(value: Any, sizes: Sizes) -> Any:
    if isinstance(value, Dim):
        return dims.evaluate(value, sizes)
    if isinstance(value, tuple):
        items = tuple(_specialized(item, sizes) for item in value)
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if isinstance(value, slice):
        parts = [_specialized(part, sizes) for part in (value.start, value.stop, value.step)]
        return slice(*parts)
    return _specialized_body(value, sizes) if isinstance(value, Body) else value


def _specialized_body(body: Body, sizes: Sizes) -> Body:
    symbolic = any(dims.variables(*a.shape) for a in body.avals)
    done: dict[Tensor, Tensor] = {}
    for node in toposort(body.outputs):
        op = specialized(node.op, sizes)
        inputs = [done[x] for x in node.inputs]
        same = op is node.op and all(a is b for a, b in zip(inputs, node.inputs, strict=True))
        done[node] = node if same else make(op, *inputs)
    if not symbolic and all(done[y] is y for y in body.outputs):
        return body
    avals = [dataclasses.replace(a, shape=_specialized(a.shape, sizes)) for a in body.avals]
    return Body(avals, [done[y] for y in body.outputs])


F.provide({"interpret": interpret})
