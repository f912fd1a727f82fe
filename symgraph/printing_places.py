"""How `print` writes what puts values into places: with `.at`, as a user does.

zeros(n).at[1:].set(v)     the transpose of x[1:]
x.at[0].set(v)             x with v in the place of x[0]
zeros(n).at[i].add(v)      the transpose of x[i]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .core import Op
from .dims import Shape
from .ops import code
from .ops.code import Code
from .ops.gather import ScatterAdd, ScatterSet
from .ops.slices import SliceSet, Unslice, written


def placed(op: Op, xs: Sequence[Code]) -> Code | None:
    """The text of an op that writes into places, over the texts of its operands; None for any other op."""
    if isinstance(op, Unslice):
        return _at(_zeros(op.shape), written(op.items), "set", xs[0])
    if isinstance(op, SliceSet):
        return _at(xs[0], written(op.items), "set", xs[1])
    if isinstance(op, ScatterAdd):
        return _at(_zeros(op.shape), _key(op.axes, xs[1:]), "set" if op.unique else "add", xs[0])
    if isinstance(op, ScatterSet):
        return _at(xs[0], _key(op.axes, xs[2:]), "set", xs[1])
    return None


def _at(x: Code, key: Sequence[Any], how: str, v: Code) -> Code:
    return code.call(f"{code.index(Code(f'{x.atom}.at'), *key)}.{how}", v)


def _zeros(shape: Shape) -> Code:
    return code.call("zeros", shape[0] if len(shape) == 1 else shape)


def _key(axes: Sequence[int], indices: Sequence[Code]) -> list[Any]:
    """The index of each axis up to the last that has one."""
    found = dict(zip(axes, indices, strict=True))
    return [found.get(axis, slice(None)) for axis in range(max(axes) + 1)]


__all__ = ["placed"]
