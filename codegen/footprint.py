"""How much memory a compiled function takes for given sizes, told without calling it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from symgraph.dims import Variable, evaluate, variables
from symgraph.errors import ShapeError

from .donated import Result
from .runtime import Argument
from .workspace import placed

Plan = Sequence[tuple[tuple[int, ...], Any, int, int]]
"""Buffers: shape, dtype, first and last step."""


@dataclass(frozen=True)
class Memory:
    """Bytes that a function takes: its workspace, which is kept from call to call, its results and its parameters."""

    workspace: int
    least: int
    """The bytes of buffers that are in use at one step, where they are most: no workspace can be smaller."""
    results: int
    parameters: int

    def __str__(self) -> str:
        return (
            f"workspace {self.workspace:,} bytes (at least {self.least:,} are in use at once), "
            f"results {self.results:,}, parameters {self.parameters:,}"
        )


def footprint(
    plan: Callable[..., Plan] | None,
    arguments: Sequence[Argument],
    results: Sequence[Result],
    parameters: Sequence[np.ndarray[Any, Any]],
    sizes: Mapping[str, int],
) -> Memory:
    """The memory of a function whose buffers are as `plan` says for the sizes of the dimensions of its arguments."""
    dims = list(dict.fromkeys(v for a in arguments for v in variables(*a.shape)))
    env = _env(dims, sizes)
    buffers = plan(*[env[v] for v in dims]) if plan else []
    returned = [prod(evaluate(s, env) for s in r.shape) * r.dtype.itemsize for r in results if r.shape]
    return Memory(placed(buffers)[1], most_at_once(buffers), sum(returned), sum(p.nbytes for p in parameters))


def most_at_once(plan: Plan) -> int:
    """The most bytes in use at one step.

    >>> most_at_once([((3,), "f8", 0, 1), ((4,), "f4", 1, 2), ((5,), "f8", 2, 2)])
    56
    """
    changes: dict[int, int] = {}
    for shape, dtype, first, last in plan:
        size = prod(shape) * np.dtype(dtype).itemsize
        changes[first] = changes.get(first, 0) + size
        changes[last + 1] = changes.get(last + 1, 0) - size
    most = now = 0
    for _, change in sorted(changes.items()):
        now += change
        most = max(most, now)
    return most


def _env(dims: Sequence[Variable], sizes: Mapping[str, int]) -> dict[Variable, int]:
    names = [v.name for v in dims]
    wanted = ", ".join(dict.fromkeys(names)) or "no dimension"
    for name, size in sizes.items():
        if name not in names:
            raise ShapeError(f"the arguments have no dimension {name!r}; they have {wanted}")
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 0:
            raise ShapeError(f"{name}={size!r}: a size is an int that is at least 0")
    missing = [name for name in names if name not in sizes]
    if missing:
        raise ShapeError(
            f"the memory depends on the sizes of {wanted}; give {', '.join(missing)} too, such as {missing[0]}=64"
        )
    return {v: int(sizes[v.name]) for v in dims}
