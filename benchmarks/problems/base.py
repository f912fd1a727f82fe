"""What a problem is, and the ways of the frameworks to a Hessian.

A problem is a workload (see benchmarks.workloads) whose module has

    data(rng, **sizes)             the arrays by name, the variable first
    formula(np, x, *others)        the function, in the names of `np`: symgraph, jax.numpy with jax.nn, or torch
    by_numpy(data)                 the derivative, by hand

and gets from it a program for each way in `WAYS`. A module may have a program of its own, `by_<peer>`, which comes first,
and has only those where it has no formula. Everything is float64. A program is told from its compilation: `stages` derives
and compiles once more, and says how long either took.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..workloads.base import Case, Data, Workload, flat, program

PEERS = {
    "symgraph": "symgraph",
    "numpy": "numpy",
    "symgraph-fr": "symgraph",
    "symgraph-sym": "symgraph",
    "jax-hessian": "jax",
    "jax-reverse": "jax",
    "jax-forward": "jax",
    "jax-linear": "jax",
    "jax-loop": "jax",
    "jax-jet": "jax",
    "jax-special": "jax",
    "torch": "torch",
    "casadi": "casadi",
    "sympy": "sympy",
}
"""The programs, and the package each needs."""

Seconds = tuple[float, float]


@dataclass
class Compiled(Case):
    """A program that can be derived and compiled anew: the seconds of both."""

    stages: Callable[[], Seconds] | None = None

    def results(self) -> list[np.ndarray[Any, Any]]:
        """What one call gives; of a sparse matrix its entries, row by row."""
        return [entries(x) for x in flat(self.call(*self.args))]


@dataclass(frozen=True)
class Problem(Workload):
    """One line of the tables. `target` is the time by which symgraph should at least be faster than jax.hessian."""

    target: float | None = None

    def case(self, peer: str, data: Data) -> Case:
        module = self._module()
        own = getattr(module, program(peer), None)
        made: Case = own(data) if own else WAYS[peer](module.formula, data)
        return made

    def peers(self) -> list[str]:
        module = self._module()
        general = WAYS if hasattr(module, "formula") and not getattr(module, "ONLY_OWN", False) else {}
        return [p for p in PEERS if p not in self.without and (p in general or hasattr(module, program(p)))]

    def _module(self) -> Any:
        return importlib.import_module(f"{__package__}.{self.module}")


def entries(x: Any) -> np.ndarray[Any, Any]:
    """The values of an array; the stored ones of a sparse matrix."""
    if hasattr(x, "sorted_indices"):
        x = x.sorted_indices().data
    if hasattr(x, "detach"):
        x = x.detach()
    return np.array(x)


# symgraph ------------------------------------------------------------------------------------------------------------


def symgraph(derive: Callable[..., Any], data: Data, name: str = "hessian") -> Compiled:
    """`derive` takes a symbol for each of the arrays, and gives what is to be computed."""
    import symgraph as sg

    def build() -> tuple[Any, Seconds]:
        start = time.perf_counter()
        inputs = [sg.symbol(name, value.shape) for name, value in data.items()]
        found = derive(*inputs)
        derived = time.perf_counter()
        f = sg.function(inputs, found, name=name, threads=1)
        return f, (derived - start, time.perf_counter() - derived)

    return Compiled(build()[0], tuple(data.values()), stages=lambda: build()[1])


def _symgraph_hessian(mode: str | None) -> Callable[..., Compiled]:
    def way(formula: Callable[..., Any], data: Data) -> Compiled:
        import symgraph as sg

        return symgraph(lambda x, *others: sg.hessian(formula(sg, x, *others), x, mode=mode), data)

    return way


# JAX -----------------------------------------------------------------------------------------------------------------


class JaxNames:
    """jax.numpy, with the functions of jax.nn beside."""

    def __getattr__(self, name: str) -> Any:
        import jax

        return getattr(jax.numpy if hasattr(jax.numpy, name) else jax.nn, name)

    def along(self, f: Callable[..., Any], x: Any, v: Any) -> Any:
        """The derivative of f at x along v."""
        import jax

        return jax.jvp(f, (x,), (v,))[1]


def jax(function: Callable[..., Any], data: Mapping[str, Any]) -> Compiled:
    """The compiled function, called on arrays that are on the device already."""
    import jax

    jax.config.update("jax_enable_x64", True)
    given = [jax.numpy.array(x) for x in data.values()]
    compiled = jax.jit(function)

    def stages() -> Seconds:
        start = time.perf_counter()
        lowered = jax.jit(lambda *args: function(*args)).lower(*given)
        traced = time.perf_counter()
        lowered.compile()
        return traced - start, time.perf_counter() - traced

    return Compiled(lambda *args: jax.block_until_ready(compiled(*args)), tuple(given), stages=stages)


def _jax_way(derive: Callable[..., Any]) -> Callable[..., Compiled]:
    return lambda formula, data: jax(derive(lambda *args: formula(JaxNames(), *args)), data)


def _jax_hessian(f: Any) -> Any:
    import jax

    return jax.hessian(f)


def _jax_reverse(f: Any) -> Any:
    import jax

    return jax.jacrev(jax.jacrev(f))


def _jax_forward(f: Any) -> Any:
    import jax

    return jax.jacfwd(jax.jacfwd(f))


def _jax_products(over: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient linearized once, and the linear map applied to all unit vectors."""

    def derive(f: Any) -> Any:
        import jax

        def hessian(x: Any, *others: Any) -> Any:
            _, product = jax.linearize(lambda x: jax.grad(f)(x, *others), x)
            units = jax.numpy.eye(x.size).reshape(x.size, *x.shape)
            return over(jax, product, units).reshape(*x.shape, *x.shape)

        return hessian

    return derive


# PyTorch -------------------------------------------------------------------------------------------------------------


class TorchNames:
    """torch, with numbers where it asks for tensors."""

    def __getattr__(self, name: str) -> Any:
        import torch

        return getattr(torch, name)

    def logaddexp(self, a: Any, b: Any) -> Any:
        import torch

        return torch.logaddexp(torch.as_tensor(a, dtype=b.dtype), b)

    def along(self, f: Callable[..., Any], x: Any, v: Any) -> Any:
        """The derivative of f at x along v."""
        import torch

        return torch.func.jvp(f, (x,), (v,))[1]


def _torch(formula: Callable[..., Any], data: Data) -> Case:
    import torch

    given = [torch.tensor(x) for x in data.values()]
    return Compiled(torch.func.hessian(lambda *args: formula(TorchNames(), *args)), tuple(given))


WAYS: dict[str, Callable[..., Case]] = {
    "symgraph": _symgraph_hessian(None),
    "symgraph-fr": _symgraph_hessian("forward-over-reverse"),
    "symgraph-sym": _symgraph_hessian("symmetric"),
    "jax-hessian": _jax_way(_jax_hessian),
    "jax-reverse": _jax_way(_jax_reverse),
    "jax-forward": _jax_way(_jax_forward),
    "jax-linear": _jax_way(_jax_products(lambda jax, product, units: jax.vmap(product)(units))),
    "jax-loop": _jax_way(_jax_products(lambda jax, product, units: jax.lax.map(product, units))),
    "torch": _torch,
}
"""The ways to the Hessian of a formula with respect to its first argument."""
