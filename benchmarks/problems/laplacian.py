"""The Laplacian of a tanh network with respect to each datum of a batch, as in physics-informed networks.

By hand, and in JAX as "special", it is the forward Laplacian: through every layer go the value, the derivatives J along all
inputs, and the Laplacian L itself. For h = tanh(z), with h' = 1 - h**2 and h'' = -2 h h',

    L_h = h' L_z + h'' sum_r J_z[r]**2

Source: R. Li et al., *A computational framework for neural network-based variational Monte Carlo with forward Laplacian*
(Nature Machine Intelligence, 2024).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Compiled, Data, JaxNames, jax, symgraph

ONLY_OWN = True


def data(rng: np.random.Generator, rows: int, widths: tuple[int, ...]) -> Data:
    weights = {f"W{i}": rng.standard_normal((a, b)) / a**0.5 for i, (a, b) in enumerate(zip(widths, [*widths[1:], 1]))}
    return {"X": rng.standard_normal((rows, widths[0])), **weights}


def formula(np: Any, x: Any, *weights: Any) -> Any:
    h = x
    for W in weights[:-1]:
        h = np.tanh(h @ W)
    return (h @ weights[-1]).sum()


def forward(np: Any, X: Any, *weights: Any) -> Any:
    """The forward Laplacian of all rows at once."""
    n, d = X.shape
    z = X @ weights[0]
    h = np.tanh(z)
    s = 1 - h * h
    L = -2 * h * s * (weights[0] ** 2).sum(axis=0)
    J = s[:, None, :] * weights[0]
    for W in weights[1:-1]:
        h = np.tanh(h @ W)
        s = 1 - h * h
        J = (J.reshape(n * d, -1) @ W).reshape(n, d, -1)
        L = s * (L @ W) - 2 * h * s * np.einsum("nrk,nrk->nk", J, J)
        if W is not weights[-2]:
            J = J * s[:, None, :]
    return (L @ weights[-1])[:, 0]


def by_numpy(data: Data) -> Compiled:
    return Compiled(lambda *given: forward(np, *given), tuple(data.values()))


def by_symgraph(data: Data) -> Compiled:
    import symgraph as sg

    def derive(X: Any, *weights: Any) -> Any:
        return sg.vmap(lambda x: sg.laplacian(formula(sg, x, *weights), x))(X)

    return symgraph(derive, data, "laplacian")


def by_jax_hessian(data: Data) -> Compiled:
    """The trace of jax.hessian."""
    import jax as j

    def laplacian(X: Any, *weights: Any) -> Any:
        each = lambda x: j.numpy.trace(j.hessian(lambda x: formula(JaxNames(), x, *weights))(x))
        return j.vmap(each)(X)

    return jax(laplacian, data)


def by_jax_linear(data: Data) -> Compiled:
    """The sum of e' H e over the unit vectors e, by products with the linearized gradient."""
    import jax as j

    def laplacian(X: Any, *weights: Any) -> Any:
        def each(x: Any) -> Any:
            _, product = j.linearize(j.grad(lambda x: formula(JaxNames(), x, *weights)), x)
            return j.vmap(lambda e: e @ product(e))(j.numpy.eye(x.size)).sum()

        return j.vmap(each)(X)

    return jax(laplacian, data)


def by_jax_forward(data: Data) -> Compiled:
    """Two derivatives forward along each unit vector."""
    import jax as j

    def laplacian(X: Any, *weights: Any) -> Any:
        def each(x: Any) -> Any:
            f = lambda x: formula(JaxNames(), x, *weights)
            second = lambda e: j.jvp(lambda x: j.jvp(f, (x,), (e,))[1], (x,), (e,))[1]
            return j.vmap(second)(j.numpy.eye(x.size)).sum()

        return j.vmap(each)(X)

    return jax(laplacian, data)


def by_jax_jet(data: Data) -> Compiled:
    """The second coefficient of the Taylor series along each unit vector."""
    import jax as j
    from jax.experimental.jet import jet

    def laplacian(X: Any, *weights: Any) -> Any:
        def each(x: Any) -> Any:
            f = lambda x: formula(JaxNames(), x, *weights)
            second = lambda e: jet(f, (x,), ((e, j.numpy.zeros_like(e)),))[1][1]
            return j.vmap(second)(j.numpy.eye(x.size)).sum()

        return j.vmap(each)(X)

    return jax(laplacian, data)


def by_jax_special(data: Data) -> Compiled:
    """The forward Laplacian, written out."""
    import jax.numpy as jnp

    return jax(lambda *given: forward(jnp, *given), data)
