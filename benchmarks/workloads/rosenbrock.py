"""The Rosenbrock function of many variables and its gradient, as optimizers call it.

f(x) = sum(100 (x[i+1] - x[i]**2)**2 + (1 - x[i])**2)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import steps
from .base import Case, Data

TILE = 8192


def data(rng: np.random.Generator, n: int) -> Data:
    return {"x": rng.standard_normal(n)}


def by_numpy(data: Data) -> Case:
    """In blocks: a = x[1:] - x[:-1]**2 and b = x[:-1] - 1 give the value by two dot products, and both slopes."""
    n = len(data["x"])
    squares, slopes = np.empty(TILE), np.empty(TILE)

    def call(x: Any) -> Any:
        gradient = np.empty(n)
        gradient[0] = 0
        value = 0.0
        for start in range(0, n - 1, TILE):
            stop = min(start + TILE, n - 1)
            left, a, b = x[start:stop], squares[: stop - start], slopes[: stop - start]
            right, slope = gradient[start + 1 : stop + 1], gradient[start:stop]
            np.multiply(left, left, out=a)
            np.subtract(x[start + 1 : stop + 1], a, out=a)
            np.subtract(left, 1, out=b)
            value += 100 * np.dot(a, a) + np.dot(b, b)
            np.multiply(a, 200, out=right)
            np.multiply(right, left, out=a)
            np.subtract(b, a, out=b)
            np.add(b, b, out=b)
            np.add(slope, b, out=slope)  # whose first element the block before has begun
        return value, gradient

    return Case(call, (data["x"],))


def formula(x: Any) -> Any:
    """The function, in anything that can be sliced and summed."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    x = sg.symbol("x", ("n",))
    value = formula(x)
    return Case(sg.function([x], [value, sg.grad(value, x)], name="rosenbrock"), (data["x"],))


def by_jax(data: Data) -> Case:
    return steps.jax_gradients(lambda weights: formula(weights[0]), [data["x"]], ())


def by_torch(data: Data) -> Case:
    return steps.torch_gradients(lambda weights: formula(weights[0]), [data["x"]], ())


def by_torch_compile(data: Data) -> Case:
    return steps.torch_compile_gradients(lambda weights: formula(weights[0]), [data["x"]], ())


def by_pytensor(data: Data) -> Case:
    return steps.pytensor_gradients(lambda weights: formula(weights[0]), [data["x"]], ())


def by_autograd(data: Data) -> Case:
    return steps.autograd_gradients(lambda weights: formula(weights[0]), [data["x"]], ())


def by_casadi(data: Data) -> Case:
    """Whole vectors (MX): a scalar program (SX) of this length runs slower."""
    import casadi as ca

    x = ca.MX.sym("x", len(data["x"]))
    a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    value = 100 * ca.dot(a, a) + ca.dot(b, b)
    return steps.casadi_function(ca.Function("rosenbrock", [x], [value, ca.gradient(value, x)]), [data["x"]])
