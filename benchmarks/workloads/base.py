"""What a workload is, and what the programs in this folder share.

A workload is one computation written once per peer: by hand in NumPy (the bar for generated code), for symgraph as a
user would, and for each framework as a competent user of it would. Every program gets the same arrays, made by a seeded
generator, and gives a `Case`: what to call, with which arguments, and what the call has changed. Only the time inside
`call` is measured; building the case (trace, gradients, compile) and its first call are what compiling costs.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Data = dict[str, Any]

PEERS = {
    "symgraph": "symgraph",
    "numpy": "numpy",
    "jax": "jax",
    "torch": "torch",
    "torch-compile": "torch",
    "pytensor": "pytensor",
    "autograd": "autograd",
    "casadi": "casadi",
}
"""The peers, and the package each needs."""


@dataclass
class Case:
    """A program ready to be timed: `call(*args)` gives its results, blocked upon; `state()` what it has updated."""

    call: Callable[..., Any]
    args: tuple[Any, ...] = ()
    state: Callable[[], Sequence[Any]] = tuple

    def results(self) -> list[np.ndarray[Any, Any]]:
        """What one call gives and leaves behind, as arrays in an agreed order."""
        found = flat(self.call(*self.args))
        return [np.array(x) for x in [*found, *flat(self.state())]]


@dataclass(frozen=True)
class Workload:
    """One line of the tables: programs `by_<peer>` in a module of this folder, and the sizes to run them at."""

    name: str
    title: str
    module: str
    full: Mapping[str, Any]
    small: Mapping[str, Any]
    tolerance: float = 1e-9
    without: Mapping[str, str] = field(default_factory=dict)
    """Peers that are not asked, and why."""

    def data(self, small: bool = False) -> Data:
        """The arrays every peer gets."""
        sizes = self.small if small else self.full
        return self._module().data(np.random.default_rng(0), **sizes)

    def case(self, peer: str, data: Data) -> Case:
        """The program of one peer."""
        return getattr(self._module(), program(peer))(data)

    def peers(self) -> list[str]:
        """The peers that have a program for this workload."""
        return [p for p in PEERS if p not in self.without and hasattr(self._module(), program(p))]

    def _module(self) -> Any:
        return importlib.import_module(f"{__package__}.{self.module}")


def program(peer: str) -> str:
    """The name of a peer's program in a workload's module."""
    return f"by_{peer.replace('-', '_')}"


def flat(results: Any) -> list[Any]:
    """The leaves of nested lists, tuples and dicts."""
    if isinstance(results, dict):
        results = list(results.values())
    if isinstance(results, list | tuple):
        return [leaf for r in results for leaf in flat(r)]
    return [results]


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tiles(n: int, tile: int, *dtypes: Any) -> Callable[[Callable[..., None]], None]:
    """Runs `body(slice, *buffers)` over blocks of `tile`, on all cores where there are several blocks.

    Each thread has buffers of the given dtypes. This is how the programs by hand keep temporaries in cache.
    """
    blocks = [slice(start, min(start + tile, n)) for start in range(0, n, tile)]
    workers = min(cores(), len(blocks))
    buffers = [[np.empty(min(tile, n), dtype) for dtype in dtypes] for _ in range(workers)]

    def share(body: Callable[..., None], worker: int) -> None:
        for block in blocks[worker::workers]:
            body(block, *[b[: block.stop - block.start] for b in buffers[worker]])

    if workers == 1:
        return lambda body: share(body, 0)
    pool = ThreadPoolExecutor(workers - 1)

    def together(body: Callable[..., None]) -> None:
        others = [pool.submit(share, body, w) for w in range(1, workers)]
        share(body, 0)
        for other in others:
            other.result()

    return together
