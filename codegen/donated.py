"""Results written into arrays that the caller gives: `f(x, out=...)`, as NumPy's functions take it.

All that can be wrong with the arrays is found before anything is computed, and they are written when everything is
computed: a call that fails leaves them as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgraph.core import format_shape
from symgraph.dims import Dim, Shape, Size, Variable, evaluate
from symgraph.dtypes import DType
from symgraph.errors import DTypeError, ShapeError
from symgraph.pytree import flatten, paths

EFFORT = 100_000
"""How hard NumPy tries to find out whether two arrays overlap; where it gives up they count as overlapping."""


@dataclass(frozen=True)
class Result:
    """What one result is, and where it stands in the nesting of all: `['grads'][0]`, or nothing for a single one."""

    path: str
    shape: Shape
    dtype: DType


def donation(
    results: Sequence[Result], arguments: Sequence[tuple[str, Shape]], kept: Mapping[str, Any]
) -> Callable[[Any, Sequence[Any]], list[Any]]:
    """What finds, for the `out` and the arguments of a call, the array for each result, or None where NumPy makes it.

    It raises what `f(..., out=...)` raises: `TypeError` for what is no array or another nesting, `ShapeError`,
    `DTypeError`, and `ValueError` for an array that cannot be written or shares memory with another.
    """

    kept_arrays = [(f"the parameter or constant {name}", array) for name, array in kept.items()]
    named = [(f"the argument {name}", _variables(shape)) for name, shape in arguments]
    single = [r.path for r in results] == [""]

    def donate(out: Any, values: Sequence[Any]) -> list[Any]:
        targets = [out] if single and isinstance(out, np.ndarray) else _matched(out, results)
        env: dict[Variable, int] = {}
        others = kept_arrays.copy()
        for (name, dims), value in zip(named, values, strict=True):
            if isinstance(value, np.ndarray):
                others.append((name, value))
                for axis, variable in dims:
                    env[variable] = value.shape[axis]
        for result, target in zip(results, targets, strict=True):
            if target is not None:
                _check(f"out{result.path}", target, tuple([_size(s, env) for s in result.shape]), result)
                for name, other in others:
                    if _overlap(target, other):
                        raise ValueError(
                            f"out{result.path} shares memory with {name}; give an array of its own, or None to have one made"
                        )
                others.append((f"out{result.path}", target))
        return targets

    return donate


def _variables(shape: Shape) -> list[tuple[int, Variable]]:
    """The axes whose sizes are dimensions of their own, and these."""
    return [(axis, s.key) for axis, s in enumerate(shape) if isinstance(s, Dim) and s.is_variable]


def _size(size: Size, env: Mapping[Variable, int]) -> int:
    if isinstance(size, int):
        return size
    return env[size.key] if size.is_variable else evaluate(size, env)


def stored(values: Any, targets: Sequence[Any]) -> Any:
    """The nesting of `values` with the targets, now holding their values, in the place of those that have one."""
    if len(targets) == 1 and isinstance(values, np.ndarray | np.generic):
        leaves, rebuild = [values], lambda new: new[0]
    else:
        leaves, rebuild = flatten(values)
    for value, target in zip(leaves, targets, strict=True):
        if target is not None:
            np.copyto(target, value, casting="no")
    return rebuild([v if t is None else t for v, t in zip(leaves, targets, strict=True)])


def _matched(out: Any, results: Sequence[Result]) -> list[Any]:
    """The leaves of `out`, which has the nesting of the results."""
    found = paths(out)
    wanted = [r.path for r in results]
    if sorted(found) == sorted(wanted):
        leaves = dict(zip(found, flatten(out)[0], strict=True))
        return [leaves[path] for path in wanted]
    if wanted == [""]:
        raise TypeError(f"out must be one array, as there is one result, not a {type(out).__name__}")
    places = ", ".join(f"out{path}" for path in wanted) or "nothing"
    given = ", ".join(f"out{path}" for path in found) or "nothing"
    raise TypeError(
        f"out must have the nesting of the results, with None where an array is to be made: it has {given}, "
        f"the results are {places}"
    )


def _check(name: str, target: Any, shape: tuple[int, ...], result: Result) -> None:
    """An array of exactly this shape and dtype, in C order, that can be written."""
    if type(target) not in (np.ndarray, np.memmap):
        raise TypeError(f"{name} must be a NumPy array or None, not a {type(target).__name__}")
    if target.shape != shape:
        symbolic = f" = {format_shape(result.shape)}" if any(isinstance(s, Dim) for s in result.shape) else ""
        raise ShapeError(f"{name} has shape {target.shape} but the result has shape {shape}{symbolic}")
    if target.dtype != result.dtype:
        raise DTypeError(
            f"{name} is {target.dtype} but the result is {result.dtype}; give np.empty({shape}, np.{result.dtype.name})"
        )
    if not target.flags.c_contiguous:
        raise ValueError(
            f"{name} is not contiguous in C order (strides {target.strides}); give np.empty({shape}, np.{result.dtype.name})"
        )
    if not target.flags.writeable:
        raise ValueError(f"{name} is read-only; give an array that can be written")


def _overlap(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=EFFORT)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
