"""The sparse Hessian of the chained Rosenbrock function: three bands, as the entries of a CSR matrix row by row.

f(z) = sum of 100 (z[i+1] - z[i]**2)**2 + (1 - z[i])**2
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .base import Compiled, Data, JaxNames, Seconds, jax, symgraph

ONLY_OWN = True


def data(rng: np.random.Generator, n: int) -> Data:
    return {"z": rng.standard_normal(n)}


def formula(np: Any, z: Any) -> Any:
    return (100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2).sum()


def by_numpy(data: Data) -> Compiled:
    """Row by row the entries are d0 o0 | o0 d1 o1 | o1 d2 ..., and each of the two kinds stands at a fixed distance."""
    from scipy.sparse import csr_array

    n = len(data["z"])
    indices = np.stack([np.arange(n), np.arange(1, n + 1), np.arange(n)], 1).reshape(-1)[: 3 * n - 2].astype(np.int32)
    indptr = np.append(0, np.minimum(np.arange(1, n + 1) * 3 - 1, 3 * n - 2)).astype(np.int32)

    def call(z: Any) -> Any:
        values = np.empty(3 * n - 2)
        d, o = values[::3], values[1::3]
        np.multiply(z[:-1], 1200, out=d[:-1])
        d[:-1] *= z[:-1]
        d[:-1] -= 400 * z[1:]
        d[:-1] += 2
        d[1:-1] += 200
        d[-1] = 200
        np.multiply(z[:-1], -400, out=o)
        values[2::3] = o
        return csr_array((values, indices, indptr), shape=(n, n))

    return Compiled(call, tuple(data.values()))


def by_symgraph(data: Data) -> Compiled:
    import symgraph as sg

    return symgraph(lambda z: sg.hessian(formula(sg, z), z).csr(), data)


def by_jax_special(data: Data) -> Compiled:
    """What a colouring finds: columns three apart do not meet, so three products give all entries; the rest is a gather."""
    import jax as j

    n = len(data["z"])
    colours = np.eye(3)[:, np.arange(n) % 3]
    rows = np.repeat(np.arange(n), 3)[1:-1]
    columns = (np.arange(n)[:, None] + np.arange(-1, 2)).reshape(-1)[1:-1]

    def hessian(z: Any) -> Any:
        _, product = j.linearize(j.grad(lambda z: formula(JaxNames(), z)), z)
        return j.vmap(product)(colours)[columns % 3, rows]

    return jax(hessian, data)


def by_casadi(data: Data) -> Compiled:
    """CasADi finds the pattern and colours it; the entries of the lower triangle, column by column, twice."""
    import casadi as ca

    n = len(data["z"])

    def build() -> Any:
        z = ca.SX.sym("z", n)
        return ca.Function("H", [z], [ca.hessian(formula(ca, Sliced(z)), z)[0]])

    def stages() -> Seconds:
        start = time.perf_counter()
        build()
        return 0.0, time.perf_counter() - start

    f = build()
    buffer, run = f.buffer()
    given, found = data["z"].copy(), np.empty(f.nnz_out(0))
    buffer.set_arg(0, memoryview(given))
    buffer.set_res(0, memoryview(found))  # type: ignore[arg-type]

    def call(z: Any) -> Any:
        buffer.set_arg(0, memoryview(z))
        run()
        return found

    call.alive = f, buffer  # type: ignore[attr-defined]
    return Compiled(call, (given,), stages=stages)


class Sliced:
    """A CasADi vector with the slices and the sum of an array."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __getitem__(self, at: slice) -> Any:
        return Sliced(self.x[at.start or 0 : self.x.numel() + (at.stop or 0)])

    def sum(self) -> Any:
        import casadi as ca

        return ca.sum1(self.x)

    def __add__(self, other: Any) -> Any:
        return Sliced(self.x + other.x)

    def __sub__(self, other: Any) -> Any:
        return Sliced(self.x - other.x)

    def __rsub__(self, other: Any) -> Any:
        return Sliced(other - self.x)

    def __rmul__(self, other: Any) -> Any:
        return Sliced(other * self.x)

    def __pow__(self, n: Any) -> Any:
        return Sliced(self.x**n)
