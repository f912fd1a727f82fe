"""The product of the Hessian of logistic regression with a vector: X' (d * (X v)), without the Hessian."""

from __future__ import annotations

from typing import Any

from . import logistic, third
from .base import Compiled, Data, JaxNames, TorchNames, jax, symgraph

data = third.data


def by_numpy(data: Data) -> Compiled:
    def call(w: Any, X: Any, y: Any, v: Any) -> Any:
        p = logistic.probability(w, X, y)
        p *= 1 - p
        p *= y
        p *= y
        p *= X @ v
        return p @ X

    return Compiled(call, tuple(data.values()))


def by_symgraph(data: Data) -> Compiled:
    import symgraph as sg

    return symgraph(lambda w, X, y, v: sg.hvp(logistic.formula(sg, w, X, y), w, v), data, "product")


def by_jax_hessian(data: Data) -> Compiled:
    """Forward over reverse."""
    import jax as j

    def product(w: Any, X: Any, y: Any, v: Any) -> Any:
        return j.jvp(j.grad(lambda w: logistic.formula(JaxNames(), w, X, y)), (w,), (v,))[1]

    return jax(product, data)


def by_jax_reverse(data: Data) -> Compiled:
    """Reverse over reverse."""
    import jax as j

    def product(w: Any, X: Any, y: Any, v: Any) -> Any:
        return j.grad(lambda w: j.grad(lambda w: logistic.formula(JaxNames(), w, X, y))(w) @ v)(w)

    return jax(product, data)


def by_jax_forward(data: Data) -> Compiled:
    """Reverse over forward."""
    import jax as j

    def product(w: Any, X: Any, y: Any, v: Any) -> Any:
        loss = lambda w: logistic.formula(JaxNames(), w, X, y)
        return j.grad(lambda w: j.jvp(loss, (w,), (v,))[1])(w)

    return jax(product, data)


def by_torch(data: Data) -> Compiled:
    import torch

    def product(w: Any, X: Any, y: Any, v: Any) -> Any:
        return torch.func.jvp(torch.func.grad(lambda w: logistic.formula(TorchNames(), w, X, y)), (w,), (v,))[1]

    return Compiled(product, tuple(torch.tensor(x) for x in data.values()))
