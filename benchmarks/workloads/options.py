"""Black-Scholes: the value of European calls and five greeks, each a derivative of the value.

    value(S, K, T, r, v) = S N(d1) - K exp(-r T) N(d2),   d1 = (log(S / K) + (r + v**2 / 2) T) / (v sqrt(T)),  d2 = d1 - v sqrt(T)
    delta = dV/dS, gamma = d2V/dS2, theta = dV/dT, rho = dV/dr, vega = dV/dv

Options do not touch each other, so the gradient of the sum is the vector of derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import steps
from .base import Case, Data, tiles

TILE = 4096


def data(rng: np.random.Generator, n: int) -> Data:
    ranges = {"S": (80, 120), "K": (80, 120), "T": (0.2, 2), "r": (0.01, 0.05), "v": (0.1, 0.5)}
    return {"inputs": [rng.uniform(low, high, n) for low, high in ranges.values()]}


def by_numpy(data: Data) -> Case:
    """The closed formulas, in blocks: both distribution functions, one density and one discount serve all six results."""
    from scipy.special import ndtr

    n = len(data["inputs"][0])
    run = tiles(n, TILE, *[np.float64] * 5)

    def call(S: Any, K: Any, T: Any, r: Any, v: Any) -> Any:
        results = [np.empty(n) for _ in range(6)]

        def block(at: slice, root: Any, vol: Any, d: Any, N: Any, t: Any) -> None:
            s, k, time, rate, sigma = S[at], K[at], T[at], r[at], v[at]
            value, delta, gamma, theta, rho, vega = (a[at] for a in results)
            np.sqrt(time, out=root)
            np.multiply(sigma, root, out=vol)
            np.divide(s, k, out=d)
            np.log(d, out=d)
            np.multiply(rate, time, out=t)
            np.add(d, t, out=d)
            np.divide(d, vol, out=d)
            np.multiply(vol, 0.5, out=N)
            np.add(d, N, out=d)  # d1
            ndtr(d, out=delta)
            np.negative(t, out=t)
            np.exp(t, out=t)
            np.multiply(t, k, out=t)  # K exp(-rT)
            np.subtract(d, vol, out=N)
            ndtr(N, out=N)
            np.multiply(N, t, out=t)  # K exp(-rT) N(d2)
            np.multiply(s, delta, out=value)
            np.subtract(value, t, out=value)
            np.multiply(t, time, out=rho)
            np.multiply(d, d, out=d)
            np.multiply(d, -0.5, out=d)
            np.exp(d, out=d)
            np.multiply(d, 1 / np.sqrt(2 * np.pi), out=d)  # the density at d1
            np.multiply(s, vol, out=gamma)
            np.divide(d, gamma, out=gamma)
            np.multiply(s, d, out=d)
            np.multiply(d, root, out=vega)
            np.divide(sigma, root, out=root)
            np.multiply(root, 0.5, out=root)
            np.multiply(root, d, out=theta)
            np.multiply(rate, t, out=t)
            np.add(theta, t, out=theta)

        run(block)
        return results

    return Case(call, tuple(data["inputs"]))


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    S, K, T, r, v = inputs = [sg.symbol(name, ("n",)) for name in ("S", "K", "T", "r", "v")]
    d1 = (sg.log(S / K) + (r + v**2 / 2) * T) / (v * sg.sqrt(T))
    d2 = d1 - v * sg.sqrt(T)
    value = S * sg.special.ndtr(d1) - K * sg.exp(-r * T) * sg.special.ndtr(d2)
    delta, theta, rho, vega = sg.grad(value.sum(), [S, T, r, v])
    gamma = sg.grad(delta.sum(), S)
    greeks = sg.function(inputs, [value, delta, gamma, theta, rho, vega], name="greeks")
    return Case(greeks, tuple(data["inputs"]))


def formula(np: Any, cdf: Any, S: Any, K: Any, T: Any, r: Any, v: Any) -> Any:
    """The value, in any framework that has NumPy's names."""
    d1 = (np.log(S / K) + (r + v**2 / 2) * T) / (v * np.sqrt(T))
    d2 = d1 - v * np.sqrt(T)
    return S * cdf(d1) - K * np.exp(-r * T) * cdf(d2)


def by_jax(data: Data) -> Case:
    jax = steps.jax_for(*data["inputs"])

    def value(*inputs: Any) -> Any:
        return formula(jax.numpy, jax.scipy.special.ndtr, *inputs)

    @jax.jit
    def greeks(*inputs: Any) -> Any:
        total = lambda *inputs: (lambda each: (each.sum(), each))(value(*inputs))
        (delta, theta, rho, vega), each = jax.grad(total, (0, 2, 3, 4), has_aux=True)(*inputs)
        gamma = jax.grad(lambda *inputs: jax.grad(lambda *i: value(*i).sum())(*inputs).sum())(*inputs)
        return each, delta, gamma, theta, rho, vega

    return Case(lambda *inputs: jax.block_until_ready(greeks(*inputs)), tuple(map(jax.numpy.array, data["inputs"])))


def by_torch(data: Data) -> Case:
    import torch

    def call(S: Any, K: Any, T: Any, r: Any, v: Any) -> Any:
        value = formula(torch, torch.special.ndtr, S, K, T, r, v)
        delta, theta, rho, vega = torch.autograd.grad(value.sum(), (S, T, r, v), create_graph=True)
        (gamma,) = torch.autograd.grad(delta.sum(), S)
        return [x.detach() for x in (value, delta, gamma, theta, rho, vega)]

    S, K, T, r, v = (torch.tensor(x) for x in data["inputs"])
    return Case(call, tuple(x if x is K else x.requires_grad_() for x in (S, K, T, r, v)))


def by_torch_compile(data: Data) -> Case:
    import torch
    from torch.func import grad

    def total(*inputs: Any) -> Any:
        value = formula(torch, torch.special.ndtr, *inputs)
        return value.sum(), value

    @torch.compile(dynamic=False)
    def greeks(*inputs: Any) -> Any:
        (delta, theta, rho, vega), value = grad(total, (0, 2, 3, 4), has_aux=True)(*inputs)
        gamma = grad(lambda *inputs: grad(lambda *i: total(*i)[0])(*inputs).sum())(*inputs)
        return value, delta, gamma, theta, rho, vega

    return Case(greeks, tuple(torch.tensor(x) for x in data["inputs"]))


def by_pytensor(data: Data) -> Case:
    import pytensor
    import pytensor.tensor as pt

    S, _, T, r, v = inputs = steps.pytensor_inputs(data["inputs"])
    value = formula(pt, lambda x: 0.5 * pt.erfc(-x / np.sqrt(2)), *inputs)
    delta, theta, rho, vega = pytensor.grad(value.sum(), [S, T, r, v])
    gamma = pytensor.grad(delta.sum(), S)
    greeks = pytensor.function(inputs, [value, delta, gamma, theta, rho, vega])
    greeks.trust_input = True
    return Case(greeks, tuple(data["inputs"]))


def by_autograd(data: Data) -> Case:
    import autograd.numpy as anp
    from autograd import elementwise_grad
    from autograd.scipy.stats import norm

    def value(*inputs: Any) -> Any:
        return formula(anp, norm.cdf, *inputs)

    first = elementwise_grad(value, (0, 2, 3, 4))
    second = elementwise_grad(elementwise_grad(value))

    def call(*inputs: Any) -> Any:
        delta, theta, rho, vega = first(*inputs)
        return value(*inputs), delta, second(*inputs), theta, rho, vega

    return Case(call, tuple(data["inputs"]))


def by_casadi(data: Data) -> Case:
    """One option as a scalar program, mapped over all of them."""
    import casadi as ca

    S, _, T, r, v = inputs = [ca.SX.sym(name) for name in ("S", "K", "T", "r", "v")]
    value = formula(ca, lambda x: 0.5 * (1 + ca.erf(x / np.sqrt(2))), *inputs)
    delta, theta, rho, vega = (ca.gradient(value, x) for x in (S, T, r, v))
    gamma = ca.gradient(delta, S)
    one = ca.Function("one", inputs, [value, delta, gamma, theta, rho, vega])
    n = len(data["inputs"][0])
    return steps.casadi_function(one.map(n), data["inputs"])
