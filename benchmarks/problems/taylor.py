"""The k-th derivative of a network of three tanh layers along a direction: k! times a Taylor coefficient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .base import Compiled, Data, JaxNames, jax, symgraph

ONLY_OWN = True


def data(rng: np.random.Generator, width: int) -> Data:
    weights = {f"W{i}": rng.standard_normal((width, width)) / width**0.5 for i in range(3)}
    return {"x": rng.standard_normal(width), "v": rng.standard_normal(width), **weights}


def formula(np: Any, x: Any, *weights: Any) -> Any:
    for W in weights:
        x = np.tanh(W @ x)
    return x


def by_numpy(data: Data, order: int = 6) -> Compiled:
    """The recurrence k t[k] = sum of j a[j] s[k-j], s = 1 - t**2, on the coefficients as rows."""

    def call(x: Any, v: Any, *weights: Any) -> Any:
        c = np.zeros((order + 1, len(x)))
        c[0], c[1] = x, v
        scale = np.arange(order + 1)[:, None]
        for W in weights:
            a = scale * (c @ W.T)  # k a[k]
            a[0] = W @ c[0]
            t, s = np.empty_like(a), np.empty_like(a)
            np.tanh(a[0], out=t[0])
            s[0] = 1 - t[0] * t[0]
            for k in range(1, order + 1):
                t[k] = (a[1 : k + 1] * s[k - 1 :: -1] if k > 1 else a[1:2] * s[:1]).sum(axis=0) / k
                s[k] = -(t[: k + 1] * t[k::-1]).sum(axis=0)
            c = t
        return math.factorial(order) * c[order]

    return Compiled(call, tuple(data.values()))


def by_symgraph(data: Data, order: int = 6) -> Compiled:
    import symgraph as sg

    def derive(x: Any, v: Any, *weights: Any) -> Any:
        return math.factorial(order) * sg.taylor(formula(sg, x, *weights), x, v, order)[order]

    return symgraph(derive, data, "taylor")


def jet(order: int) -> Any:
    """The derivative by jax.experimental.jet, whose coefficients are derivatives."""

    def derivative(x: Any, v: Any, *weights: Any) -> Any:
        import jax.numpy as jnp
        from jax.experimental.jet import jet

        series = (v, *[jnp.zeros_like(v)] * (order - 1))
        return jet(lambda x: formula(JaxNames(), x, *weights), (x,), (series,))[1][-1]

    return derivative


def nested(order: int) -> Any:
    """The derivative by one forward derivative of another."""

    def derivative(x: Any, v: Any, *weights: Any) -> Any:
        import jax as j

        f = lambda x: formula(JaxNames(), x, *weights)
        for _ in range(order):
            f = lambda x, f=f: j.jvp(f, (x,), (v,))[1]  # type: ignore[misc]
        return f(x)

    return derivative


def by_jax_jet(data: Data) -> Compiled:
    return jax(jet(6), data)


def by_jax_forward(data: Data) -> Compiled:
    return jax(nested(6), data)
