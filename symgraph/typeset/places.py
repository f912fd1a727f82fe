r"""Reading and writing places of an array: [x]_{1:} is x[1:], \operatorname{unslice}_{1:}(v) is v there and 0 elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from ..core import Tensor
from ..ops.gather import Gather, ScatterAdd
from ..ops.slices import Items, Slice, SliceSet, Unslice
from . import names
from .pieces import ATOM, Piece, bracketed, function, operator


def _slice(node: Tensor, x: Piece) -> Piece:
    items = node.op.items  # type: ignore[attr-defined]
    return Piece(f"[{x.plain.text}]_{{{_places(items)}}}", negative=x.negative, scalars=x.scalars)


def _unslice(node: Tensor, x: Piece) -> Piece:
    items = node.op.items  # type: ignore[attr-defined]
    inside = bracketed(x.plain.text)
    return Piece(f"{operator('unslice')}_{{{_places(items)}}}{inside}", ATOM, x.negative, x.scalars)


def _slice_set(node: Tensor, x: Piece, v: Piece) -> Piece:
    items = node.op.items  # type: ignore[attr-defined]
    return function(f"{operator('set')}_{{{_places(items)}}}", x, v)


def _gather(node: Tensor, x: Piece, *indices: Piece) -> Piece:
    axes = node.op.axes  # type: ignore[attr-defined]
    found = dict(zip(axes, (i.text for i in indices), strict=True))
    places = ", ".join(found.get(axis, ":") for axis in range(node.inputs[0].ndim))
    return Piece(f"[{x.plain.text}]_{{{places}}}", negative=x.negative, scalars=x.scalars)


def _scatter(node: Tensor, v: Piece, *indices: Piece) -> Piece:
    places = f"{operator('scatter')}_{{{', '.join(i.text for i in indices)}}}"
    return Piece(f"{places}{bracketed(v.plain.text)}", ATOM, v.negative, v.scalars)


def _places(items: Items) -> str:
    """The index of each axis."""
    places = []
    for item in items:
        if isinstance(item, tuple):
            start, stop, step = item
            ends = "" if start is None else names.size(start), "" if stop is None else names.size(stop)
            places.append(f"{ends[0]}:{ends[1]}" + (f":{step}" if step != 1 else ""))
        else:
            places.append(names.size(item))
    return ", ".join(places)


PLACES: dict[type, Callable[..., Piece]] = {
    Slice: _slice,
    Unslice: _unslice,
    SliceSet: _slice_set,
    Gather: _gather,
    ScatterAdd: _scatter,
}


__all__ = ["PLACES"]
