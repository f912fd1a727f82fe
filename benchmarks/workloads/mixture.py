"""Log-posterior of a Gaussian mixture and its gradient: the objective of ADBench (Srajer, Kukelova and Fitzgibbon, 2018).

Component k has weight softmax(alpha)[k], mean mu[k] and inverse covariance Q' Q, where Q[k] is lower triangular with the
diagonal exp(icf[k, :d]) and icf[k, d:] below it. With a Wishart prior (gamma = 1, m = 0) on the covariances,

    sum_i logsumexp_k(alpha[k] + sum(icf[k, :d]) - |Q[k] (x[i] - mu[k])|**2 / 2) - n logsumexp(alpha) + prior(icf) + constant
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import steps
from .base import Case, Data

TILE = 64


def data(rng: np.random.Generator, n: int, d: int, K: int) -> Data:
    alphas, means = rng.standard_normal(K), rng.standard_normal((K, d))
    icf = 0.3 * rng.standard_normal((K, d + d * (d - 1) // 2))
    return {"weights": [alphas, means, icf], "x": rng.standard_normal((n, d)), "constant": constant(n, d, K)}


def constant(n: int, d: int, K: int) -> float:
    """What does not depend on the parameters: of the normal densities, and of the prior with gamma = 1, m = 0."""
    freedom = d + 1
    log_gamma = 0.25 * d * (d - 1) * math.log(math.pi) + sum(math.lgamma(0.5 * (freedom - j)) for j in range(d))
    return -n * d * 0.5 * math.log(2 * math.pi) + K * (freedom * d * 0.5 * math.log(2) + log_gamma)


def by_numpy(data: Data) -> Case:
    """Q (x - mu) = Q x - Q mu: one matrix product gives all components of a block of rows, another all gradients."""
    x, c = data["x"], data["constant"]
    (n, d), K = x.shape, len(data["weights"][0])
    rows, columns = np.tril_indices(d, -1)
    diagonal = np.arange(d)
    Q = np.zeros((K, d, d))
    flat = Q.reshape(K * d, d)
    dQ, product, total = np.empty((K * d, d)), np.empty((K * d, d)), np.empty(K * d)
    y, row = np.empty((TILE, K * d)), np.empty(K * d)
    p, top = np.empty((TILE, K)), np.empty((TILE, 1))

    def call(weights: Any, x: Any) -> Any:
        alphas, means, icf = weights
        diagonals = np.exp(icf[:, :d])
        Q[:, diagonal, diagonal] = diagonals
        Q[:, rows, columns] = icf[:, d:]
        shift = np.matmul(Q, means[:, :, None]).reshape(-1)
        bias = alphas + icf[:, :d].sum(axis=1)
        share = np.zeros(K)
        dQ[...] = 0
        total[...] = 0
        value = 0.0
        for start in range(0, n, TILE):
            block = x[start : start + TILE]
            size = len(block)
            Y, P, m = y[:size], p[:size], top[:size]
            np.dot(block, flat.T, out=Y)
            np.subtract(Y, shift, out=Y)
            Y3 = Y.reshape(size, K, d)
            np.einsum("nki,nki->nk", Y3, Y3, out=P)
            np.multiply(P, -0.5, out=P)
            np.add(P, bias, out=P)
            np.maximum.reduce(P, axis=1, keepdims=True, out=m)
            np.subtract(P, m, out=P)
            np.exp(P, out=P)
            value += m.sum()
            np.add.reduce(P, axis=1, keepdims=True, out=m)
            value += np.log(m).sum()
            np.divide(P, m, out=P)  # the share of each component in each row
            share += P.sum(axis=0)
            np.multiply(Y3, P[:, :, None], out=Y3)
            np.add(dQ, np.dot(Y.T, block, out=product), out=dQ)
            np.add(total, np.add.reduce(Y, axis=0, out=row), out=total)
        sums = total.reshape(K, d)
        cotangent = sums[:, :, None] * means[:, None, :] - dQ.reshape(K, d, d)
        dmeans = np.matmul(sums[:, None, :], Q).reshape(K, d)
        below = icf[:, d:]
        squares = np.vdot(diagonals, diagonals) + np.vdot(below, below)
        highest = alphas.max()
        e = np.exp(alphas - highest)
        value += c - n * (highest + math.log(e.sum())) + 0.5 * squares
        dicf = np.empty_like(icf)
        dicf[:, :d] = share[:, None] + (cotangent[:, diagonal, diagonal] + diagonals) * diagonals
        dicf[:, d:] = cotangent[:, rows, columns] + below
        return value, share - n * (e / e.sum()), dmeans, dicf

    return Case(call, (data["weights"], x))


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    K, d = data["weights"][1].shape
    alphas, means = sg.symbol("alphas", (K,)), sg.symbol("means", (K, d))
    icf, x = sg.symbol("icf", (K, d + d * (d - 1) // 2)), sg.symbol("x", ("n", d))
    diagonals, sums = sg.exp(icf[:, :d]), icf[:, :d].sum(axis=1)
    rows, columns = np.tril_indices(d, -1)
    Q = sg.zeros((K, d, d)).at[:, rows, columns].set(icf[:, d:]) + diagonals[:, :, None] * np.eye(d)
    y = sg.einsum("kij,nkj->nki", Q, x[:, None, :] - means)
    inner = alphas + sums - 0.5 * (y**2).sum(axis=2)
    prior = 0.5 * ((diagonals**2).sum() + (icf[:, d:] ** 2).sum())
    value = sg.logsumexp(inner, axis=1).sum() - x.shape[0] * sg.logsumexp(alphas) + prior + data["constant"]
    weights = [alphas, means, icf]
    f = sg.function([*weights, x], [value, *sg.grad(value, weights)], name="mixture")
    return Case(f, (*data["weights"], data["x"]))


def by_jax(data: Data) -> Case:
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    K, d = data["weights"][1].shape
    rows, columns = np.tril_indices(d, -1)

    def loss(weights: Any, x: Any) -> Any:
        alphas, means, icf = weights
        diagonals, sums = jnp.exp(icf[:, :d]), icf[:, :d].sum(axis=1)
        Q = jnp.zeros((K, d, d), x.dtype).at[:, rows, columns].set(icf[:, d:]) + diagonals[:, :, None] * jnp.eye(d)
        y = jnp.einsum("kij,nkj->nki", Q, x[:, None, :] - means)
        inner = alphas + sums - 0.5 * (y**2).sum(axis=2)
        prior = 0.5 * ((diagonals**2).sum() + (icf[:, d:] ** 2).sum())
        return logsumexp(inner, axis=1).sum() - len(x) * logsumexp(alphas) + prior + data["constant"]

    return steps.jax_gradients(loss, data["weights"], [data["x"]])


def torch_loss(data: Data) -> Any:
    import torch

    K, d = data["weights"][1].shape
    rows, columns = np.tril_indices(d, -1)
    places = torch.tensor(rows * d + columns)

    def loss(weights: Any, x: Any) -> Any:
        alphas, means, icf = weights
        diagonals, sums = torch.exp(icf[:, :d]), icf[:, :d].sum(dim=1)
        lower = torch.zeros((K, d * d), dtype=x.dtype).index_copy(1, places, icf[:, d:]).reshape(K, d, d)
        Q = lower + torch.diag_embed(diagonals)
        y = torch.einsum("kij,nkj->nki", Q, x[:, None, :] - means)
        inner = alphas + sums - 0.5 * (y**2).sum(dim=2)
        prior = 0.5 * ((diagonals**2).sum() + (icf[:, d:] ** 2).sum())
        mixed = torch.logsumexp(inner, dim=1).sum() - len(x) * torch.logsumexp(alphas, dim=0)
        return mixed + prior + data["constant"]

    return loss


def by_torch(data: Data) -> Case:
    return steps.torch_gradients(torch_loss(data), data["weights"], [data["x"]])


def by_torch_compile(data: Data) -> Case:
    return steps.torch_compile_gradients(torch_loss(data), data["weights"], [data["x"]])


def by_pytensor(data: Data) -> Case:
    import pytensor.tensor as pt

    K, d = data["weights"][1].shape
    rows, columns = np.tril_indices(d, -1)

    def loss(weights: Any, x: Any) -> Any:
        alphas, means, icf = weights
        diagonals, sums = pt.exp(icf[:, :d]), icf[:, :d].sum(axis=1)
        Q = pt.zeros((K, d, d))[:, rows, columns].set(icf[:, d:]) + diagonals[:, :, None] * np.eye(d)
        y = pt.einsum("kij,nkj->nki", Q, x[:, None, :] - means)
        inner = alphas + sums - 0.5 * (y**2).sum(axis=2)
        prior = 0.5 * ((diagonals**2).sum() + (icf[:, d:] ** 2).sum())
        return pt.logsumexp(inner, axis=1).sum() - len(data["x"]) * pt.logsumexp(alphas) + prior + data["constant"]

    return steps.pytensor_gradients(loss, data["weights"], [data["x"]])


def by_autograd(data: Data) -> Case:
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    K, d = data["weights"][1].shape
    rows, columns = np.tril_indices(d, -1)
    below = np.zeros(
        (len(rows), d * d)
    )  # assignment is not differentiated: a product with a one-hot matrix in its place
    below[np.arange(len(rows)), rows * d + columns] = 1

    def loss(weights: Any, x: Any) -> Any:
        alphas, means, icf = weights
        diagonals, sums = anp.exp(icf[:, :d]), anp.sum(icf[:, :d], axis=1)
        Q = anp.reshape(anp.dot(icf[:, d:], below), (K, d, d)) + diagonals[:, :, None] * np.eye(d)
        y = anp.einsum("kij,nkj->nki", Q, x[:, None, :] - means)
        inner = alphas + sums - 0.5 * anp.sum(y**2, axis=2)
        prior = 0.5 * (anp.sum(diagonals**2) + anp.sum(icf[:, d:] ** 2))
        return anp.sum(logsumexp(inner, axis=1)) - len(x) * logsumexp(alphas) + prior + data["constant"]

    return steps.autograd_gradients(loss, data["weights"], [data["x"]])
