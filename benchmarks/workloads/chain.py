"""A long chain of scalar functions and its derivative: what compiling costs when the graph is large.

y <- tanh(y) + x,  y <- sin(y) + x, ...
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import steps
from .base import Case, Data


def data(rng: np.random.Generator, nodes: int) -> Data:
    return {"x": float(rng.uniform(0.2, 0.4)), "nodes": nodes}


def formula(np: Any, x: Any, nodes: int) -> Any:
    """Half of the nodes are functions, half are sums."""
    y = x
    for i in range(nodes // 2):
        y = (np.sin(y) if i % 2 else np.tanh(y)) + x
    return y


def by_numpy(data: Data) -> Case:
    """A loop over Python's floats, forward mode."""

    def call(x: float) -> Any:
        y, dy = x, 1.0
        for i in range(data["nodes"] // 2):
            if i % 2:
                y, dy = math.sin(y) + x, math.cos(y) * dy + 1
            else:
                h = math.tanh(y)
                y, dy = h + x, (1 - h * h) * dy + 1
        return y, dy

    return Case(call, (data["x"],))


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    x = sg.symbol("x")
    y = formula(sg, x, data["nodes"])
    return Case(sg.function([x], [y, sg.grad(y, x)], name="chain"), (data["x"],))


def by_jax(data: Data) -> Case:
    jax = steps.jax_for(np.float64(0))
    f = jax.jit(jax.value_and_grad(lambda x: formula(jax.numpy, x, data["nodes"])))
    return Case(lambda x: jax.block_until_ready(f(x)), (jax.numpy.float64(data["x"]),))


def by_torch(data: Data) -> Case:
    import torch

    def call(x: Any) -> Any:
        y = formula(torch, x, data["nodes"])
        return y.detach(), torch.autograd.grad(y, x)

    return Case(call, (torch.tensor(data["x"], dtype=torch.float64, requires_grad=True),))


def by_torch_compile(data: Data) -> Case:
    import torch

    @torch.compile(dynamic=False)
    def call(x: Any) -> Any:
        slope, y = torch.func.grad_and_value(lambda x: formula(torch, x, data["nodes"]))(x)
        return y, slope

    return Case(call, (torch.tensor(data["x"], dtype=torch.float64),))


def by_pytensor(data: Data) -> Case:
    import pytensor
    import pytensor.tensor as pt

    x = pt.dscalar("x")
    y = formula(pt, x, data["nodes"])
    f = pytensor.function([x], [y, pytensor.grad(y, x)])
    f.trust_input = True
    return Case(f, (np.asarray(data["x"]),))


def by_autograd(data: Data) -> Case:
    import autograd.numpy as anp
    from autograd import value_and_grad

    return Case(value_and_grad(lambda x: formula(anp, x, data["nodes"])), (data["x"],))


def by_casadi(data: Data) -> Case:
    import casadi as ca

    x = ca.SX.sym("x")
    y = formula(ca, x, data["nodes"])
    return steps.casadi_function(ca.Function("chain", [x], [y, ca.gradient(y, x)]), [np.asarray(data["x"])])
