"""Batching: a graph for one row becomes the graph for all rows, with one more axis, and no loop.

One walk from the inputs asks each op for its rule: given operands that have a batch axis, and where, the node over all
rows. What does not depend on the batch stays the same object, and is computed once. An op without a rule runs row by row
(`map_rows`), and is reported to whoever listens.

The method is that of JAX's `vmap` (Bradbury et al., "JAX: composable transformations of Python+NumPy programs", 2018).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .core import (
    Item,
    Op,
    ShapedArray,
    Symbol,
    Tensor,
    building,
    describe,
    located_error,
    make,
    make_fresh,
    rebuild,
    toposort,
)
from .dims import Size, require_equal, same
from .errors import ShapeError, SymgraphError
from .ops.base import Primitive, as_tensor, strong
from .ops.batches import Axis, front
from .ops.late import F
from .provenance import carry_links, current, name_of, set_name
from .pytree import flatten, paths

# Graphs --------------------------------------------------------------------------------------------------------------

Placed = tuple[Any, Any]
"""A tensor and its batch axis; for an op with several outputs the tensors and their axes."""


@building()
def batched(
    outputs: Sequence[Tensor],
    mapping: Mapping[Tensor, tuple[Tensor, Axis]],
    looped: list[Op] | None = None,
) -> list[tuple[Tensor, Axis]]:
    """`outputs` over a batch: each with the place of its batch axis, or None where it does not depend on the batch.

    `mapping` replaces nodes by tensors that have one more axis, at the given place; None is a replacement for all rows.
    Ops that run row by row, for want of a batch rule, are added to `looped`.
    """
    if looped is not None:
        with row_by_row() as found:
            results = batched(outputs, mapping)
        looped.extend(found)
        return results
    done: dict[Tensor, Placed] = dict(mapping)
    order = [node for node in toposort(outputs, stop=done) if node not in done]
    keep = current.where, current.order
    try:
        for node in order:
            current.where, current.order = node.where, node.order
            done[node] = _step(node, [done[x] for x in node.inputs])
    finally:
        current.where, current.order = keep
    _carry(order, done)
    return [done[y] for y in outputs]


def _step(node: Tensor, given: list[Placed]) -> Placed:
    """One node over the batch."""
    axes = [axis for _, axis in given]
    if isinstance(node.op, Item) and isinstance(axes[0], tuple):
        return given[0][0][node.op.index], axes[0][node.op.index]
    if all(axis is None for axis in axes):
        return rebuild(node, [x for x, _ in given]), None
    if not isinstance(node.op, Primitive):
        raise SymgraphError(f"{describe(node)} cannot be computed for a batch")
    if node.flipped:  # the user's order of operands
        given, axes = given[::-1], axes[::-1]
    xs = [x for x, _ in given]
    found = node.op.batch(axes, *xs)
    if found is None:
        if _active.ops is not None:
            _active.ops.append(node.op)
        found = _row_by_row(node.op, xs, axes), 0
    y, at = found
    if not isinstance(node.aval, tuple):
        return (y, at) if isinstance(y, Tensor) else (y[0], at[0])  # type: ignore[index]
    count = len(node.aval)
    ys = tuple(make(Item(k), y) for k in range(count)) if isinstance(y, Tensor) else tuple(y)
    return ys, tuple(at) if isinstance(at, Sequence) else (at,) * count


def _row_by_row(op: Op, xs: Sequence[Tensor], axes: Sequence[Axis]) -> Any:
    """An op without a batch rule: its results for each row, stacked."""

    def one(*rows: Tensor) -> Any:
        left = iter(rows)
        y = make(op, *[x if a is None else next(left) for x, a in zip(xs, axes, strict=True)])
        return tuple(make(Item(k), y) for k in range(len(y.aval))) if isinstance(y.aval, tuple) else y

    return F.map_rows(one, *[front(x, a) for x, a in zip(xs, axes, strict=True) if a is not None])


def _carry(order: Sequence[Tensor], done: Mapping[Tensor, Placed]) -> None:
    """The user's names, and which adjoint is whose, for the nodes over the batch."""
    for node in order:
        new, axis = done[node]
        if axis is None or isinstance(axis, tuple):
            continue
        name = name_of(node)
        if name is not None and new.leafy and name_of(new) is None:
            set_name(new, name)
        carry_links(node, new, lambda old: _one(done.get(old)))


def _one(placed: Placed | None) -> Tensor | None:
    return placed[0] if placed is not None and isinstance(placed[0], Tensor) else None


class _Active(threading.local):
    def __init__(self) -> None:
        self.ops: list[Op] | None = None


_active = _Active()


@contextmanager
def row_by_row() -> Iterator[list[Op]]:
    """Collects, in this thread, the ops that were batched as a loop over rows because they have no batch rule."""
    found: list[Op] = []
    before, _active.ops = _active.ops, found
    try:
        yield found
    finally:
        _active.ops = before
        if before is not None:
            before.extend(found)


# Functions -----------------------------------------------------------------------------------------------------------


def vmap(function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """A function of rows as a function of arrays of rows: y[i] = function(x[i]), as one graph without a loop.

    `function` takes and returns tensors, or nestings of list, tuple and dict. `in_axes` says along which axis the rows of
    an argument lie, or None for one that every row shares (which is handed on as it is): an int or None for all
    arguments, or a tuple with one entry each, which may in turn be a nesting that begins like the argument. Keyword
    arguments are mapped along their first axis. `out_axes` says in the same way where the results have the axis of rows;
    a result that no row changes is repeated along it, or left as it is for None. Axes may be negative. Arrays and
    numbers become constants; dtypes stay. What `function` takes from outside is shared by the rows, random draws too:
    a draw inside is one draw, the same in every row.

    Nests, and goes with `grad`, `jvp` and the rest in any order. An op without a batch rule runs row by row.

    Raises `ShapeError` if nothing is mapped, if an axis is out of range, if the numbers of rows differ (where that is
    known only at the call: then), or if `in_axes` or `out_axes` does not fit the nesting, and `ValueError` for an axis
    that is neither an int nor None.

    Source: Bradbury et al., "JAX: composable transformations of Python+NumPy programs" (2018).

    >>> from symgraph import grad, symbol, tanh
    >>> from symgraph.batching import vmap
    >>> w, x = symbol("w", (3,)), symbol("x", ("batch", 3))
    >>> vmap(lambda row: w @ row)(x) is x @ w
    True
    >>> vmap(lambda row: grad(tanh(w @ row), w))(x).shape
    (batch, 3)
    """

    @functools.wraps(function, updated=())
    def mapped(*args: Any, **by_name: Any) -> Any:
        leaves, restore = flatten((args, by_name))
        axes = [*_spread(in_axes, args, "in_axes", top=True), *_spread(0, by_name, "in_axes")]
        names = [f"args{p}" for p in paths(args)] + [f"arguments{p}" for p in paths(by_name)]
        given = {
            i: _mapped(leaves[i], axis, name)
            for i, (axis, name) in enumerate(zip(axes, names, strict=True))
            if axis is not None
        }
        size = _size_of_all(given, names)
        rows = {i: _row(x, at) for i, (x, at) in given.items()}
        arguments, keywords = restore([rows.get(i, x) for i, x in enumerate(leaves)])

        value = function(*arguments, **keywords)
        results, rebuild_results = flatten(value)
        outputs = [strong(_result(y, path)) for y, path in zip(results, paths(value), strict=True)]
        found = batched(outputs, {rows[i]: (_resized(x, at, size), at) for i, (x, at) in given.items()})
        wanted = _spread(out_axes, value, "out_axes")
        return rebuild_results([_put(y, at, to, size) for (y, at), to in zip(found, wanted, strict=True)])

    return mapped


def _spread(axes: Any, tree: Any, what: str, path: str = "", top: bool = False) -> list[Any]:
    """One axis for each leaf of `tree`, from axes given for the whole or for parts of it."""
    if axes is None or not isinstance(axes, list | tuple | dict):
        if axes is not None and (isinstance(axes, bool) or not hasattr(axes, "__index__")):
            raise ValueError(f"vmap: {what}{path}={axes!r} is not an axis; give an int, None, or a nesting of these")
        axis = None if axes is None else axes.__index__()
        return [axis] * len(flatten(tree)[0])
    fits = (
        axes.keys() == tree.keys()
        if isinstance(axes, dict) and isinstance(tree, dict)
        else isinstance(axes, list | tuple) and isinstance(tree, list | tuple) and len(axes) == len(tree)
    )
    if not fits:
        kind = "arguments" if top else "the argument" if what == "in_axes" else "the result"
        raise located_error(
            ShapeError,
            "vmap",
            [],
            f"{what}{path}={axes!r} does not fit {kind} {_outline(tree)}; give one entry for each part, "
            "or one axis for the whole",
        )
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    return [a for k in keys for a in _spread(axes[k], tree[k], what, f"{path}[{k!r}]")]


def _outline(tree: Any) -> str:
    """The nesting, with shapes for leaves."""
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{k!r}: {_outline(v)}' for k, v in tree.items())}}}"
    if isinstance(tree, list | tuple):
        inside = ", ".join(map(_outline, tree))
        return f"[{inside}]" if isinstance(tree, list) else f"({inside}{',' if len(tree) == 1 else ''})"
    return describe(tree)


def _place(axis: int, ndim: int, what: str, name: str, x: Tensor) -> int:
    """An axis as a place from the front."""
    if not -ndim <= axis < ndim:
        among = f"from {-ndim} to {ndim - 1}" if ndim else "there is none; use None for what every row shares"
        raise located_error(
            ShapeError, "vmap", [x], f"{what}: axis {axis} of {name} is out of range for {ndim} axes ({among})"
        )
    return axis % ndim


def _mapped(x: Any, axis: int, name: str) -> tuple[Tensor, int]:
    """A mapped argument as a tensor, and where its rows lie."""
    tensor = as_tensor(x)
    return tensor, _place(axis, tensor.ndim, "in_axes", name, tensor)


def _size_of_all(given: Mapping[int, tuple[Tensor, int]], names: Sequence[str]) -> Size:
    """The number of rows, the same in all mapped arguments."""
    if not given:
        rule = "no argument is mapped, so there are no rows. Give in_axes an int for at least one argument"
        raise located_error(ShapeError, "vmap", [], rule)
    sizes = {names[i]: x.shape[at] for i, (x, at) in given.items()}
    try:
        return functools.reduce(require_equal, sizes.values())
    except ShapeError:
        counts = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        rule = (
            f"the numbers of rows differ: {counts}. They must be equal; use None in in_axes for what every row shares"
        )
        raise located_error(ShapeError, "vmap", [x for x, _ in given.values()], rule) from None


def _resized(x: Tensor, at: int, size: Size) -> Tensor:
    """`x` with exactly that many rows, which the call checks where it is not known before."""
    if same(x.shape[at], size):
        return x
    made: Tensor = F.reshape(x, (*x.shape[:at], size, *x.shape[at + 1 :]))
    return made


def _row(x: Tensor, at: int) -> Tensor:
    """What stands for one row of `x` while the function is traced."""
    shape = tuple(s for a, s in enumerate(x.shape) if a != at)
    return make_fresh(Symbol(name_of(x) or "row", ShapedArray(shape, x.dtype)))


def _result(y: Any, path: str) -> Tensor:
    try:
        return as_tensor(y)
    except TypeError:
        raise TypeError(f"vmap: result{path} of the function is not a tensor, but {describe(y)}") from None


def _put(y: Tensor, at: Axis, to: Any, size: Size) -> Tensor:
    """A result with its rows where they are wanted."""
    if to is None:
        if at is not None:
            raise located_error(
                ShapeError, "vmap", [y], "out_axes=None is for results that no row changes, and this one they do"
            )
        return y
    if at is None:
        y, at = F.broadcast_to(y, (size, *y.shape)), 0
    moved: Tensor = F.moveaxis(y, at, _place(to, y.ndim, "out_axes", "the result", y))
    return moved


F.provide({"batched": batched})
