"""The logarithm of the normal density, and its gradients.

    log N(x; m, s) = -((x - m) / s)**2 / 2 - log(s) - log(2 pi) / 2

As a scalar it is the case of tiny functions, where only the cost per call and per operation counts; over many x it is
summed, and differentiated by x, m and s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import steps
from .base import Case, Data

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def data(rng: np.random.Generator, n: int | None) -> Data:
    x = float(rng.standard_normal()) if n is None else rng.standard_normal(n)
    return {"inputs": [x, 0.3, 1.7]}


def by_numpy(data: Data) -> Case:
    """One number is arithmetic of Python's floats; many are three passes."""
    x = data["inputs"][0]
    if isinstance(x, float):

        def one(x: float, m: float, s: float) -> Any:
            t = 1 / s
            z = (x - m) * t
            dx = -z * t
            return -0.5 * z * z - math.log(s) - HALF_LOG_TAU, dx, -dx, (z * z - 1) * t

        return Case(one, tuple(data["inputs"]))
    n = len(x)

    def many(x: Any, m: float, s: float) -> Any:
        t = 1 / s
        dx = np.subtract(x, m)
        np.multiply(dx, -t * t, out=dx)
        square = np.dot(dx, dx) * (s * s)  # sum of z**2
        value = -0.5 * square - n * (math.log(s) + HALF_LOG_TAU)
        return value, dx, -np.sum(dx), (square - n) * t

    return Case(many, tuple(data["inputs"]))


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    x, m, s = sg.symbol("x", np.shape(data["inputs"][0]) and ("n",)), sg.symbol("m"), sg.symbol("s")
    density = formula(sg, x, m, s)
    value = density.sum() if x.ndim else density
    f = sg.function([x, m, s], [value, *sg.grad(value, [x, m, s])], name="density")
    return Case(f, tuple(data["inputs"]))


def formula(np: Any, x: Any, m: Any, s: Any) -> Any:
    """The density, in any framework that has NumPy's names."""
    return -0.5 * ((x - m) / s) ** 2 - np.log(s) - HALF_LOG_TAU


def by_jax(data: Data) -> Case:
    jax = steps.jax_for(np.float64(0))

    @jax.jit
    def f(*inputs: Any) -> Any:
        return jax.value_and_grad(lambda *i: formula(jax.numpy, *i).sum(), (0, 1, 2))(*inputs)

    def call(*inputs: Any) -> Any:
        value, gradients = f(*inputs)
        value.block_until_ready()
        return value, gradients

    return Case(call, tuple(map(jax.numpy.float64, data["inputs"])))


def by_torch(data: Data) -> Case:
    import torch

    def call(*inputs: Any) -> Any:
        value = formula(torch, *inputs).sum()
        return value.detach(), torch.autograd.grad(value, inputs)

    return Case(call, tuple(torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in data["inputs"]))


def by_torch_compile(data: Data) -> Case:
    import torch

    @torch.compile(dynamic=False)
    def call(*inputs: Any) -> Any:
        gradients, value = torch.func.grad_and_value(lambda *i: formula(torch, *i).sum(), (0, 1, 2))(*inputs)
        return value, gradients

    return Case(call, tuple(torch.tensor(x, dtype=torch.float64) for x in data["inputs"]))


def by_pytensor(data: Data) -> Case:
    import pytensor
    import pytensor.tensor as pt

    arrays = [np.asarray(x) for x in data["inputs"]]
    inputs = steps.pytensor_inputs(arrays)
    value = formula(pt, *inputs).sum()
    f = pytensor.function(inputs, [value, *pytensor.grad(value, inputs)])
    f.trust_input = True
    return Case(f, tuple(arrays))


def by_autograd(data: Data) -> Case:
    import autograd.numpy as anp
    from autograd import value_and_grad

    f = value_and_grad(lambda inputs: anp.sum(formula(anp, *inputs)))
    return Case(f, (tuple(data["inputs"]),))


def by_casadi(data: Data) -> Case:
    import casadi as ca

    arrays = [np.asarray(x) for x in data["inputs"]]
    x, m, s = [ca.SX.sym("x", arrays[0].size), ca.SX.sym("m"), ca.SX.sym("s")]
    value = ca.sum1(formula(ca, x, m, s))
    f = ca.Function("density", [x, m, s], [value, *[ca.gradient(value, v) for v in (x, m, s)]])
    return steps.casadi_function(f, arrays)
