"""One update of Adam (Kingma and Ba, 2015) over one large vector of parameters, from a gradient that is given.

m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g**2,
p <- p - rate (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .base import Case, Data, tiles

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
TILE = 32768


def data(rng: np.random.Generator, n: int) -> Data:
    p, g = (rng.standard_normal(n).astype(np.float32) for _ in range(2))
    return {"p": p, "g": g}


def by_numpy(data: Data) -> Case:
    """In blocks; both corrections are two numbers: sqrt(v) / sqrt(c2) + epsilon times c1 / rate divides m."""
    p, m, v = data["p"].copy(), np.zeros_like(data["p"]), np.zeros_like(data["p"])
    t, g, first, shift = 0, data["g"], np.float32(0), np.float32(0)

    def block(at: slice, s: Any) -> None:
        P, G, M, V = p[at], g[at], m[at], v[at]
        np.multiply(M, np.float32(BETA1), out=M)
        np.multiply(G, np.float32(1 - BETA1), out=s)
        np.add(M, s, out=M)
        np.multiply(V, np.float32(BETA2), out=V)
        np.multiply(s, s, out=s)
        np.multiply(s, np.float32((1 - BETA2) / (1 - BETA1) ** 2), out=s)
        np.add(V, s, out=V)
        np.sqrt(V, out=s)
        np.multiply(s, first, out=s)
        np.add(s, shift, out=s)
        np.divide(M, s, out=s)
        np.subtract(P, s, out=P)

    run = tiles(len(p), TILE, np.float32)

    def call(gradient: Any) -> Any:
        nonlocal t, g, first, shift
        t, g = t + 1, gradient
        c1 = (1 - BETA1**t) / RATE
        first, shift = np.float32(c1 / (1 - BETA2**t) ** 0.5), np.float32(c1 * EPSILON)
        run(block)
        return []

    return Case(call, (g,), lambda: [p, m, v])


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    p, g = sg.parameter(data["p"], "p"), sg.symbol("g", data["p"].shape, "float32")
    updates = sg.optim.adam(p, g, RATE, BETA1, BETA2, EPSILON)
    step = sg.function([g], [], updates, name="adam")
    by_name = {q.name: q for q in updates}
    return Case(step, (data["g"],), lambda: [by_name[n].value for n in ("p", "m_p", "v_p")])


def update(p: Any, m: Any, v: Any, t: Any, g: Any) -> Any:
    """The new values, in any framework that has NumPy's operators."""
    m = BETA1 * m + (1 - BETA1) * g
    v = BETA2 * v + (1 - BETA2) * g * g
    return p - RATE * (m / (1 - BETA1**t)) / ((v / (1 - BETA2**t)) ** 0.5 + EPSILON), m, v, t + 1


def by_jax(data: Data) -> Case:
    import jax
    import jax.numpy as jnp

    step = partial(jax.jit, donate_argnums=(0, 1, 2, 3))(update)
    p, g = jnp.array(data["p"]), jnp.array(data["g"])
    state = (p, jnp.zeros_like(p), jnp.zeros_like(p), jnp.array(1, "float32"))

    def call(g: Any) -> Any:
        nonlocal state
        state = step(*state, g)
        state[0].block_until_ready()
        return []

    return Case(call, (g,), lambda: state[:3])


def by_torch(data: Data) -> Case:
    """The fused optimizer: one kernel."""
    import torch

    p = torch.nn.Parameter(torch.tensor(data["p"]))
    p.grad = torch.tensor(data["g"])
    optimizer = torch.optim.Adam([p], RATE, (BETA1, BETA2), EPSILON, fused=True)

    def call() -> Any:
        optimizer.step()
        return []

    return Case(call, (), lambda: [p.detach(), optimizer.state[p]["exp_avg"], optimizer.state[p]["exp_avg_sq"]])


def by_torch_compile(data: Data) -> Case:
    import torch

    p, g = torch.tensor(data["p"]), torch.tensor(data["g"])
    m, v, t = torch.zeros_like(p), torch.zeros_like(p), torch.tensor(1.0)

    @torch.compile(dynamic=False)
    def call(g: Any) -> Any:
        m.mul_(BETA1).add_(g, alpha=1 - BETA1)
        v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
        p.sub_(RATE * (m / (1 - BETA1**t)) / ((v / (1 - BETA2**t)).sqrt() + EPSILON))
        t.add_(1)
        return []

    return Case(call, (g,), lambda: [p, m, v])


def by_pytensor(data: Data) -> Case:
    import pytensor
    import pytensor.tensor as pt

    zeros = np.zeros_like(data["p"])
    state = [pytensor.shared(a, borrow=True, shape=a.shape) for a in (data["p"].copy(), zeros.copy(), zeros.copy())]
    t = pytensor.shared(np.float32(1))
    g = pt.vector("g", dtype="float32", shape=data["g"].shape)
    with pytensor.config.change_flags(floatX="float32"):
        p, m, v = state
        new = update(p, m, v, t, g)
    step = pytensor.function([g], [], updates=list(zip([*state, t], new)))
    step.trust_input = True
    return Case(step, (data["g"],), lambda: [s.get_value() for s in state])
