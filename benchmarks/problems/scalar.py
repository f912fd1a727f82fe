"""The sixth derivative of tanh(x sin x) at a number."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..workloads import steps
from .base import Compiled, Data, JaxNames, Seconds, jax, symgraph

ONLY_OWN = True
ORDER = 6


def data(rng: np.random.Generator) -> Data:
    return {"x": np.float64(0.7)}


def formula(np: Any, x: Any) -> Any:
    return np.tanh(x * np.sin(x))


def derive(x: Any) -> Any:
    """The derivative in symgraph."""
    import symgraph as sg

    return sg.derivative(formula(sg, x), x, ORDER)


def sympy_source(nested: bool = False) -> str:
    """The derivative by SymPy, with common subexpressions named, as Python; asked at once, it collects factors on its way."""
    import sympy as sp

    x = sp.Symbol("x")
    y = formula(sp, x)
    for order in [1] * ORDER if nested else [ORDER]:
        y = sp.diff(y, x, order)
    shared, (result,) = sp.cse(y)
    lines = [f"    {name} = {sp.pycode(value, fully_qualified_modules=False)}" for name, value in shared]
    last = sp.pycode(result, fully_qualified_modules=False)
    return "\n".join(["def f(x):", *lines, f"    return {last}", ""])


def casadi_expression() -> tuple[Any, Any]:
    """The variable and the derivative in CasADi, with common subexpressions shared."""
    import casadi as ca

    x = ca.SX.sym("x")
    y = formula(ca, x)
    for _ in range(ORDER):
        y = ca.jacobian(y, x)
    return x, ca.cse(y)


def by_numpy(data: Data) -> Compiled:
    """The Taylor series of sin, x sin x and tanh, by their recurrences, on Python's floats."""
    import math

    def call(x: Any) -> Any:
        s, c = math.sin(x), math.cos(x)
        a = [x * s, s + x * c, c - x * s / 2, -s / 2 - x * c / 6, -c / 6 + x * s / 24]
        a += [s / 24 + x * c / 120, c / 120 - x * s / 720]
        t = [math.tanh(a[0])]
        q = [1 - t[0] * t[0]]
        for k in range(1, ORDER + 1):
            t.append(sum(j * a[j] * q[k - j] for j in range(1, k + 1)) / k)
            q.append(-sum(t[j] * t[k - j] for j in range(k + 1)))
        return math.factorial(ORDER) * t[ORDER]

    return Compiled(call, (float(data["x"]),))


def by_symgraph(data: Data) -> Compiled:
    return symgraph(derive, data, "sixth")


def by_jax_forward(data: Data) -> Compiled:
    import jax as j

    def derivative(x: Any) -> Any:
        f = lambda x: formula(JaxNames(), x)
        for _ in range(ORDER):
            f = j.grad(f)
        return f(x)

    return jax(derivative, data)


def by_jax_jet(data: Data) -> Compiled:
    from jax.experimental.jet import jet

    def derivative(x: Any) -> Any:
        series = (1.0, *[0.0] * (ORDER - 1))
        return jet(lambda x: formula(JaxNames(), x), (x,), (series,))[1][-1]

    return jax(derivative, data)


def by_casadi(data: Data) -> Compiled:
    import casadi as ca

    def stages() -> Seconds:
        start = time.perf_counter()
        x, y = casadi_expression()
        derived = time.perf_counter()
        ca.Function("f", [x], [y])
        return derived - start, time.perf_counter() - derived

    x, y = casadi_expression()
    case = steps.casadi_function(ca.Function("f", [x], [y]), [data["x"]])
    return Compiled(lambda x: case.call(x)[0], case.args, stages=stages)


def by_sympy(data: Data) -> Compiled:
    import math

    def build() -> Any:
        scope: dict[str, Any] = dict(vars(math))
        exec(sympy_source(), scope)
        return scope["f"]

    def stages() -> Seconds:
        start = time.perf_counter()
        build()
        return time.perf_counter() - start, 0.0

    return Compiled(build(), (float(data["x"]),), stages=stages)
