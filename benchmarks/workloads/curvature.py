"""Product of a Hessian with a vector: the perceptron's loss, differentiated twice along one direction in all weights.

H v = d/de grad(w + e v) at e = 0
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import mlp, steps
from .base import Case, Data


def data(rng: np.random.Generator, widths: tuple[int, ...], batch: int, dtype: str) -> Data:
    made = mlp.data(rng, widths, batch, dtype)
    return {**made, "v": [rng.standard_normal(w.shape).astype(dtype) for w in made["weights"]]}


def by_numpy(data: Data) -> Case:
    """Pearlmutter's method: the backward pass, and its derivative along v, layer by layer."""
    weights, v, x, y = data["weights"], data["v"], data["x"], data["y"]
    W1, _, W2, _ = weights
    n, dtype = len(x), x.dtype
    H, DH, CT, DCT = (np.empty((n, W1.shape[1]), dtype) for _ in range(4))
    P, DP, SPARE = (np.empty((n, W2.shape[1]), dtype) for _ in range(3))
    on, column, rows, scale = np.empty(H.shape, bool), np.empty((n, 1), dtype), np.arange(n), dtype.type(1 / n)

    def call(weights: Any, v: Any, x: Any, y: Any) -> Any:
        W1, b1, W2, b2 = weights
        V1, c1, V2, c2 = v
        np.add(np.dot(x, W1, out=H), b1, out=H)
        np.greater(H, 0, out=on)
        np.maximum(H, 0, out=H)
        np.add(np.dot(x, V1, out=DH), c1, out=DH)
        np.multiply(DH, on, out=DH)
        np.add(np.dot(H, W2, out=P), b2, out=P)
        np.add(np.dot(DH, W2, out=DP), c2, out=DP)
        np.add(DP, np.dot(H, V2, out=SPARE), out=DP)
        np.maximum.reduce(P, axis=1, keepdims=True, out=column)
        np.subtract(P, column, out=P)
        np.exp(P, out=P)
        np.add.reduce(P, axis=1, keepdims=True, out=column)
        np.divide(P, column, out=P)
        np.multiply(P, DP, out=SPARE)  # derivative of softmax: p (dz - sum(p dz))
        np.add.reduce(SPARE, axis=1, keepdims=True, out=column)
        np.subtract(DP, column, out=DP)
        np.multiply(DP, P, out=DP)
        np.multiply(DP, scale, out=DP)
        P[rows, y] -= 1
        np.multiply(P, scale, out=P)
        dV2 = H.T @ DP
        np.add(dV2, DH.T @ P, out=dV2)
        np.dot(DP, W2.T, out=DCT)
        np.add(DCT, np.dot(P, V2.T, out=CT), out=DCT)
        np.multiply(DCT, on, out=DCT)
        return x.T @ DCT, DCT.sum(axis=0), dV2, DP.sum(axis=0)

    return Case(call, (weights, v, x, y))


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    X, y = sg.symbol("X", ("batch", data["x"].shape[1]), data["x"].dtype), sg.symbol("y", ("batch",), "int64")
    weights = [sg.symbol(name, w.shape, w.dtype) for name, w in zip(("W1", "b1", "W2", "b2"), data["weights"])]
    v = [sg.symbol(name, w.shape, w.dtype) for name, w in zip(("V1", "c1", "V2", "c2"), data["weights"])]
    product = sg.hvp(mlp.symgraph_loss(weights, X, y), weights, v)
    f = sg.function([*weights, *v, X, y], product, name="curvature")
    return Case(f, (*data["weights"], *data["v"], data["x"], data["y"]))


def by_jax(data: Data) -> Case:
    jax = steps.jax_for(*data["weights"])

    @jax.jit
    def product(weights: Any, v: Any, x: Any, y: Any) -> Any:
        return jax.jvp(lambda w: jax.grad(mlp.jax_loss)(w, x, y), (weights,), (v,))[1]

    given = jax.tree.map(jax.numpy.array, (data["weights"], data["v"], data["x"], data["y"]))
    return Case(lambda *given: jax.block_until_ready(product(*given)), given)


def by_torch(data: Data) -> Case:
    """Backward through the backward pass, which is faster than forward mode here."""
    import torch

    weights = [torch.tensor(w).requires_grad_() for w in data["weights"]]

    def product(v: Any, x: Any, y: Any) -> Any:
        gradients = torch.autograd.grad(mlp.torch_loss(weights, x, y), weights, create_graph=True)
        return torch.autograd.grad(gradients, weights, v)

    return Case(product, ([torch.tensor(v) for v in data["v"]], torch.tensor(data["x"]), torch.tensor(data["y"])))


def by_torch_compile(data: Data) -> Case:
    import torch

    @torch.compile(dynamic=False)
    def product(weights: Any, v: Any, x: Any, y: Any) -> Any:
        along = lambda w: sum((a * b).sum() for a, b in zip(torch.func.grad(mlp.torch_loss)(w, x, y), v))
        return torch.func.grad(along)(weights)

    tensors = lambda arrays: [torch.tensor(a) for a in arrays]
    return Case(product, (tensors(data["weights"]), tensors(data["v"]), *tensors([data["x"], data["y"]])))


def by_pytensor(data: Data) -> Case:
    import pytensor

    arrays = [*data["weights"], *data["v"], data["x"], data["y"]]
    given = steps.pytensor_inputs(arrays)
    k = len(data["weights"])
    weights, v, (x, y) = given[:k], given[k : 2 * k], given[2 * k :]
    gradients = pytensor.grad(mlp.pytensor_loss(weights, x, y), weights)
    along = sum((g * d).sum() for g, d in zip(gradients, v))
    product = pytensor.function(given, pytensor.grad(along, weights))
    product.trust_input = True
    return Case(product, tuple(arrays))


def by_autograd(data: Data) -> Case:
    import autograd.numpy as anp
    from autograd import grad

    gradients = grad(mlp.autograd_loss)

    def along(weights: Any, v: Any, x: Any, y: Any) -> Any:
        return sum(anp.sum(g * d) for g, d in zip(gradients(weights, x, y), v))

    return Case(grad(along), (data["weights"], data["v"], data["x"], data["y"]))
