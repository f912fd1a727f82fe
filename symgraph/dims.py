"""Sizes of arrays that are known only when the compiled function is called: all that the rest of the package uses.

`symbolic_size` has one size, a `Dim`. Here are the equations between two of them that only a call can decide,
broadcasting, and slices: what shapes are made with.

Two assumptions, and no others: every variable is >= 0, and nothing is divided by zero. Nothing depends on hash seeds or
on what unrelated code made before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .dim_calls import absorb, at_least, differ, lower
from .errors import ShapeError
from .polynomial import Call, Monomial, Rank, Term, Variable, constant
from .symbolic_size import (
    Dim,
    Env,
    Shape,
    Size,
    anonymous,
    as_polynomial,
    as_size,
    code,
    digest,
    dim,
    evaluate,
    from_polynomial,
    maximum,
    minimum,
    prod,
    same,
    same_shape,
    size_or_none,
    substitute,
    variables,
)
from .symbolic_size import _of as _of  # the size of a Variable

__all__ = [
    "dim",
    "anonymous",
    "Dim",
    "Size",
    "Shape",
    "Env",
    "as_size",
    "prod",
    "minimum",
    "maximum",
    "same",
    "same_shape",
    "variables",
    "substitute",
    "evaluate",
    "code",
    "digest",
    "collecting",
    "require_equal",
    "broadcast_shapes",
    "slice_of",
    "Variable",
    "Call",
    "Monomial",
    "Rank",
    "Term",
]


# --- Equations between sizes ------------------------------------------------------------------------------------------


class _Active(threading.local):
    def __init__(self) -> None:
        self.stack: list[list[tuple[Size, Size]]] = []


_active = _Active()


@contextmanager
def collecting() -> Iterator[list[tuple[Size, Size]]]:
    """Collects, in this thread, the pairs that `require_equal` could not decide; the innermost collector gets them."""
    pairs: list[tuple[Size, Size]] = []
    _active.stack.append(pairs)
    try:
        yield pairs
    finally:
        _active.stack.pop()


def require_equal(a: Size, b: Size) -> Size:
    """One size for two that must be equal: an int if either is one, else `a`. ShapeError when they are never equal.

    What is not known before the call is recorded for the active `collecting()`, and allowed.
    """
    if same(a, b):
        return a
    if differ(as_polynomial(a), as_polynomial(b)):
        raise ShapeError(f"{a} != {b}")
    if _active.stack:
        _active.stack[-1].append((a, b))
    return b if isinstance(b, int) else a


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's broadcast shape, where only an axis of int 1 stretches; other pairs go through `require_equal`.

    >>> broadcast_shapes((dim("n"), 1), (3,))
    (n, 3)
    """
    result: list[Size] = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for axis, size in enumerate(shape, len(result) - len(shape)):
            if same(size, 1):
                continue
            try:
                result[axis] = size if same(result[axis], 1) else require_equal(result[axis], size)
            except ShapeError:
                raise ShapeError(
                    f"axis {axis - len(result)}: {result[axis]} != {size}; to broadcast, sizes must be equal or 1. "
                    "Use reshape, .T or [:, None] to line the axes up"
                ) from None
    return tuple(result)


# --- Slices -----------------------------------------------------------------------------------------------------------


def slice_of(s: slice, size: Size) -> tuple[Size, Size | None, int, Size]:
    """(start, stop, step, length) of x[s] along an axis of `size`, clamped as `slice.indices` clamps.

    The first three are those of range(); a stop of None is before 0 (range's -1). A symbolic stop or start may evaluate
    to -1 when step < 0, so to index with them test that the length is not 0, or index with `s` itself.

    >>> slice_of(slice(1, None), dim("n"))
    (min(n, 1), n, 1, max(n - 1, 0))
    >>> slice_of(slice(None, None, -1), dim("n"))
    (n - 1, None, -1, n)
    """
    step = 1 if s.step is None else size_or_none(s.step)
    if not isinstance(step, int) or step == 0:
        raise ShapeError(f"the step of a slice must be a fixed integer other than 0, not {s.step!r}")
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first, last = (low, high) if step > 0 else (high, low)
    # A start or stop past the far end gives length 0 with or without `high`, so the length uses the simpler of the two.
    start = first if s.start is None else _bound(s.start, size, low)
    stop = last if s.stop is None else _bound(s.stop, size, low)
    clamped, end = minimum(start, high), minimum(stop, high)
    gap = end - start if step > 0 else clamped - stop
    length = maximum(from_polynomial(absorb(as_polynomial(gap + (abs(step) - 1)))) // abs(step), 0)
    return clamped, None if same(end, -1) else end, step, length


def _bound(bound: object, size: Size, low: int) -> Size:
    """A start or stop counted from the front, and at least `low`."""
    value = size_or_none(bound)
    if value is None:
        raise TypeError(f"a slice is made of integers, sizes and None, not {type(bound).__name__}")
    if lower(as_polynomial(value)) >= 0:
        return value
    if at_least(constant(-1), as_polynomial(value)):
        return maximum(value + size, low)
    # value = size - k: where it is negative, value + size = 2*value + k <= k - 2 clamps to `low` as value itself does
    k = size - value
    if isinstance(k, int) and k - 2 <= low:
        return maximum(value, low)
    raise ShapeError(
        f"the slice bound {value} of an axis of size {size} could be negative, which would count from the end; "
        f"write maximum({value}, 0), or use a negative integer to count from the end"
    )
