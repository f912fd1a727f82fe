"""Graphs as people write them, small: each a function that gives outputs, gradients among them, and values for the leaves."""

from __future__ import annotations

import numpy as np

import symgraph as sg

rng = np.random.default_rng(11)


def mlp():
    X, labels = sg.symbol("X", ("batch", 5), "float32"), sg.symbol("labels", ("batch",), "int64")
    W1, b1, W2, b2 = (
        sg.symbol(n, s, "float32") for n, s in zip(("W1", "b1", "W2", "b2"), ((5, 4), (4,), (4, 3), (3,)))
    )
    logits = sg.relu(X @ W1 + b1) @ W2 + b2
    loss = -sg.mean(sg.log_softmax(logits)[sg.arange(X.shape[0]), labels])
    weights = [W1, b1, W2, b2]
    steps = [w - 0.1 * g for w, g in zip(weights, sg.grad(loss, weights))]
    values = {x: rng.standard_normal(x.shape).astype("float32") for x in weights}
    return [loss, *steps], {X: rng.standard_normal((6, 5)).astype("float32"), labels: rng.integers(0, 3, 6), **values}


def logistic():
    X, y = sg.symbol("X", ("batch", 3)), sg.symbol("y", ("batch",))
    w, b = sg.symbol("w", (3,)), sg.symbol("b")
    p = 1 / (1 + sg.exp(-(X @ w) - b))
    loss = sg.mean(-y * sg.log(p) - (1 - y) * sg.log(1 - p)) + 0.01 * sg.sum(w**2)
    dw, db = sg.grad(loss, [w, b])
    values = {X: rng.standard_normal((7, 3)), y: rng.integers(0, 2, 7).astype(float), w: rng.standard_normal(3), b: 0.3}
    return [loss, w - 0.1 * dw, b - 0.1 * db], values


def options():
    S, K, r, v, T = (sg.symbol(n, ("n",) if n == "S" else ()) for n in ("S", "K", "r", "v", "T"))
    d1 = (sg.log(S / K) + (r + v**2 / 2) * T) / (v * sg.sqrt(T))
    d2 = d1 - v * sg.sqrt(T)
    price = S * sg.special.ndtr(d1) - K * sg.exp(-r * T) * sg.special.ndtr(d2)
    greeks = sg.grad(price.sum(), [S, K, r, v, T])
    return [price, *greeks], {S: rng.uniform(80, 120, 6), K: 100.0, r: 0.05, v: 0.2, T: 0.7}


def mixture():
    x, logits, means, scales = (sg.symbol(n, s) for n, s in zip(("x", "a", "m", "s"), (("n",), (4,), (4,), (4,))))
    z = (x[:, None] - means) * sg.exp(-scales)
    terms = sg.log_softmax(logits) - scales - 0.5 * z * z
    value = sg.sum(sg.logsumexp(terms, axis=1))
    values = {x: rng.standard_normal(9), **{p: rng.standard_normal(4) for p in (logits, means, scales)}}
    return [value, *sg.grad(value, [logits, means, scales])], values


def recurrent():
    X, U, W, b = (sg.symbol(n, s) for n, s in zip("XUWb", ((5, 3, 2), (2, 4), (4, 4), (4,))))
    h = sg.zeros((3, 4))
    for t in range(5):
        h = sg.tanh(X[t] @ U + h @ W + b)
    loss = sg.mean(h * h)
    return [loss, *sg.grad(loss, [U, W, b])], {x: rng.standard_normal(x.shape) for x in (X, U, W, b)}


def attention():
    Q, K, V = (sg.symbol(n, ("n", 4)) for n in "QKV")
    weights = sg.softmax(Q @ K.T / 4**0.5, axis=-1)
    loss = sg.sum((weights @ V) ** 2)
    return [loss, *sg.grad(loss, [Q, K, V])], {x: rng.standard_normal((5, 4)) for x in (Q, K, V)}


def log_normal():
    y, mu, sigma = sg.symbol("y", ("n",)), sg.symbol("mu"), sg.symbol("sigma")
    value = sg.sum(-0.5 * ((y - mu) / sigma) ** 2 - sg.log(sigma) - 0.9189385332046727)
    return [value, *sg.grad(value, [y, mu, sigma])], {y: rng.standard_normal(8), mu: 0.3, sigma: 1.7}


def rosenbrock():
    x = sg.symbol("x", ("n",))
    value = sg.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    return [value, sg.grad(value, x)], {x: rng.standard_normal(9)}


def least_squares():
    A, b, x = sg.symbol("A", ("m", 3)), sg.symbol("b", ("m",)), sg.symbol("x", (3,))
    r = A @ x - b
    loss = 0.5 * r @ r + 0.05 * x @ x
    step = sg.linalg.solve(A.T @ A + 0.1 * sg.eye(3), sg.grad(loss, x))
    return [loss, x - step], {A: rng.standard_normal((6, 3)), b: rng.standard_normal(6), x: rng.standard_normal(3)}


def adam():
    p, g, m, v = (sg.symbol(n, (6,)) for n in "pgmv")
    t = sg.symbol("t")
    new_m, new_v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    step = p - 0.01 * (new_m / (1 - 0.9**t)) / (sg.sqrt(new_v / (1 - 0.999**t)) + 1e-8)
    values = {x: rng.uniform(0.1, 1, 6) for x in (p, g, m, v)}
    return [step, new_m, new_v], {**values, t: 3.0}


def masked():
    x, y = sg.symbol("x", ("n",)), sg.symbol("y", ("n",))
    safe = sg.where(x > 0, sg.log(x), 0) * sg.where(x > 0, y, 0) + sg.where(~(x > 0), sg.exp(x), 0)
    value = sg.sum(safe * safe)
    return [value, *sg.grad(value, [x, y])], {x: rng.standard_normal(9), y: rng.standard_normal(9)}


def curvature():
    X, w, v = sg.symbol("X", ("m", 4)), sg.symbol("w", (4,)), sg.symbol("v", (4,))
    loss = sg.mean(sg.softplus(X @ w)) + 0.1 * sg.sum(w * w)
    return [sg.grad(loss, w), sg.hvp(loss, w, v)], {
        X: rng.standard_normal((6, 4)),
        w: rng.standard_normal(4),
        v: rng.standard_normal(4),
    }


def mean_square():
    X, w = sg.symbol("X", ("batch", 4)), sg.symbol("w", (4,))
    loss = sg.mean((X @ w) ** 2)
    return [loss, sg.grad(loss, w)], {X: rng.standard_normal((5, 4)), w: rng.standard_normal(4)}


def random_graph(seed):
    """Twenty ops on earlier values, chosen at random among those that stay finite, and two gradients."""
    pick = np.random.default_rng(seed)
    x, y, s = sg.symbol("x", ("n",)), sg.symbol("y", ("n",)), sg.symbol("s")
    made = [x, y, s, sg.constant(0.5), sg.tanh(x)]
    unary = [sg.tanh, sg.sigmoid, sg.softplus, lambda u: -u, lambda u: u * u, lambda u: sg.exp(-u * u), abs]
    binary = [
        lambda u, v: u + v, lambda u, v: u - v, lambda u, v: u * v, lambda u, v: u / (1.5 + sg.sigmoid(v)),
        lambda u, v: sg.where(u > v, u, v), lambda u, v: sg.log(sg.exp(sg.tanh(u)) + sg.exp(sg.tanh(v))),
        lambda u, v: u * sg.sum(sg.tanh(v)) / 9,
    ]  # fmt: skip
    for _ in range(20):
        recent = made[-6:]
        u, v = recent[pick.integers(len(recent))], made[pick.integers(len(made))]
        made.append(
            unary[pick.integers(len(unary))](u) if pick.random() < 0.4 else binary[pick.integers(len(binary))](u, v)
        )
        made[-1] = sg.tanh(made[-1]) if pick.random() < 0.3 else made[-1]
    value = sg.sum(sg.tanh(made[-1]) + sg.tanh(made[-2]) * x)
    return [value, *sg.grad(value, [x, y, s], unused="zero")], {
        x: pick.standard_normal(5),
        y: pick.standard_normal(5),
        s: 0.7,
    }


MODELS = {
    f.__name__: f
    for f in (mlp, logistic, options, mixture, recurrent, attention, log_normal, rosenbrock, least_squares, adam, masked,
              curvature, mean_square)
} | {f"random {seed}": (lambda seed=seed: random_graph(seed)) for seed in range(4)}  # fmt: skip
