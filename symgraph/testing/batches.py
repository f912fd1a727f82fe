"""The check of batch rules: `vmap` of a function gives what a Python loop over the rows gives.

The rows are made of one sample so that they stay in the domain: real and complex numbers shrink by a few percent from
row to row, integers and booleans are rolled along their axes (an index stays an index), a number without axes steps
towards 0, a boolean without axes changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..batching import vmap
from ..core import Tensor, as_shape, symbol, toposort
from ..interpreter import interpret
from ..pytree import flatten

ROWS = 3


def check_batching(
    build: Callable[..., Any],
    values: Sequence[Any],
    *,
    thorough: bool = False,
    rtol: float = 1e-10,
    shapes: Sequence[Any] | None = None,
) -> None:
    """Raise AssertionError where `vmap(build)` and a loop over rows that are made of `values` differ.

    Tried with the batch axis first and last in all operands, and first in some operands alone; where `thorough`, also
    with one row and with none, and compiled. With `shapes`, in which the sizes of an operand may have names, the batch
    comes first in all operands, and its size has a name too.
    """
    rows = [tuple(_varied(np.asarray(v), b) for v in values) for b in range(ROWS)]
    if not rows[0]:
        return
    every = (True,) * len(rows[0])
    if shapes is not None:
        named = [("batch of rows", *as_shape(shape, "xyzuvw"[i])) for i, shape in enumerate(shapes)]
        _compare(build, rows, every, 0, _loop(build, rows), rtol, shapes=named)
        return
    for chosen in (every, *_some(len(every))):
        mixed = [tuple(x if c else first for x, first, c in zip(row, rows[0], chosen, strict=True)) for row in rows]
        expected = _loop(build, mixed)
        _compare(build, mixed, chosen, 0, expected, rtol, compiled=thorough)
        if chosen == every:
            _compare(build, mixed, chosen, -1, expected, rtol)
        if thorough:
            for count in (0, 1):
                _compare(build, mixed[:count], chosen, 0, [e[:count] for e in expected], rtol, like=mixed[0])


def _varied(value: np.ndarray[Any, Any], b: int) -> np.ndarray[Any, Any]:
    """Row `b` of the rows that are made of one value; row 0 is the value."""
    if value.dtype.kind in "fc":
        return (value * (1 - 0.03 * b)).astype(value.dtype)
    if value.ndim:
        return np.roll(value, b)
    if value.dtype.kind == "b":
        return np.asarray(bool(value) ^ bool(b % 2))
    return np.asarray(max(int(value) - b, min(int(value), 1)), value.dtype)


def _some(count: int) -> list[tuple[bool, ...]]:
    """Each operand alone, and all but each."""
    alone = [tuple(i == k for i in range(count)) for k in range(count)] if count > 1 else []
    return list(dict.fromkeys([*alone, *[tuple(not c for c in some) for some in alone]]))


def _loop(build: Callable[..., Any], rows: Sequence[Sequence[Any]]) -> list[np.ndarray[Any, Any]]:
    """The results for each row, stacked."""
    xs = _symbols([v.shape for v in rows[0]], rows[0])
    outputs, _ = flatten(build(*xs))
    found = [interpret(outputs, dict(zip(xs, row, strict=True))) for row in rows]
    return [np.stack([np.asarray(row[k]) for row in found]) for k in range(len(outputs))]


def _symbols(shapes: Sequence[Any], values: Sequence[Any]) -> list[Tensor]:
    return [symbol("xyzuvw"[i], s, v.dtype) for i, (s, v) in enumerate(zip(shapes, values, strict=True))]


def _compare(
    build: Callable[..., Any],
    rows: Sequence[Sequence[Any]],
    chosen: Sequence[bool],
    at: int,
    expected: Sequence[np.ndarray[Any, Any]],
    rtol: float,
    *,
    like: Sequence[Any] | None = None,
    shapes: Sequence[Any] | None = None,
    compiled: bool = False,
) -> None:
    from ..function import function

    first = rows[0] if rows else like
    assert first is not None
    stacks = [
        np.moveaxis(np.array([row[i] for row in rows], v.dtype).reshape(len(rows), *v.shape), 0, at) if c else v
        for i, (v, c) in enumerate(zip(first, chosen, strict=True))
    ]
    xs = _symbols(shapes or [v.shape for v in stacks], stacks)
    outputs, _ = flatten(vmap(build, in_axes=tuple(at if c else None for c in chosen))(*xs))
    found = [interpret(outputs, dict(zip(xs, stacks, strict=True)))]
    if compiled:
        used = [(x, v) for x, v in zip(xs, stacks, strict=True) if _reaches(outputs, x)]
        with np.errstate(all="ignore"):
            found.append(function([x for x, _ in used], outputs)(*[v for _, v in used]))
    where = f"{sum(chosen)} of {len(chosen)} operands batched along axis {at}, {len(rows)} rows"
    for results in found:
        for k, (y, a, e) in enumerate(zip(outputs, results, expected, strict=True)):
            what = f"result {k} of vmap and of a loop over rows ({where})"
            assert y.dtype == e.dtype == np.asarray(a).dtype, f"{what}: {y.dtype}, {np.asarray(a).dtype} and {e.dtype}"
            assert np.shape(a) == e.shape, f"{what}: shapes {np.shape(a)} and {e.shape}"
            assert shapes or y.shape == e.shape, f"{what}: shapes {y.shape} and {e.shape}"
            if e.dtype.kind not in "fc":
                np.testing.assert_array_equal(a, e, err_msg=what)
                continue
            finite = np.abs(e[np.isfinite(e)])
            tolerance = max(rtol, 1e3 * float(np.finfo(e.dtype).eps)) if e.dtype.itemsize > 2 else 1e-2
            np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * np.max(finite, initial=1), err_msg=what)


def _reaches(outputs: Sequence[Tensor], x: Tensor) -> bool:
    return x in set(toposort(outputs))
