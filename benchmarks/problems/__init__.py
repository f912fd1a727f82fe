"""The problems of higher derivatives."""

from __future__ import annotations

from .base import PEERS, Compiled, Problem

FORWARD_TWICE = {"jax-forward": "carries n k tangents of n k tangents of an n x n matrix: minutes"}

WORKLOADS = {
    p.name: p
    for p in [
        Problem("quadratic", "1. x'Ax, n 1000: Hessian", "quadratic", {"n": 1000}, {"n": 7}, target=76 / 0.97),
        Problem(
            "logistic", "2. Logistic regression 1000 x 500: Hessian", "logistic",
            {"rows": 1000, "features": 500}, {"rows": 9, "features": 4}, target=18.4 / 5.4,
        ),
        Problem(
            "factorization", "3. norm(T - UV')^2, n 200, k 5: Hessian in U", "factorization",
            {"n": 200, "k": 5, "masked": False}, {"n": 6, "k": 2, "masked": False}, target=213 / 0.25,
            without=FORWARD_TWICE,
        ),
        Problem(
            "masked", "4. The same with a mask", "factorization",
            {"n": 200, "k": 5, "masked": True}, {"n": 6, "k": 2, "masked": True}, target=362 / 0.15,
            without=FORWARD_TWICE,
        ),
        Problem(
            "relu", "5. 10 ReLU layers 10 x 10, cross-entropy, 100 rows: Hessian in W1", "relu",
            {"rows": 100, "width": 10, "layers": 10}, {"rows": 9, "width": 5, "layers": 3}, target=2.04 / 0.475,
        ),
        Problem(
            "perceptron", "6. tanh network 64-256-256-1: Hessian in x", "perceptron",
            {"inputs": 64, "width": 256}, {"inputs": 4, "width": 5}, target=0.47 / 0.333,
        ),
        Problem("logsumexp", "7. log(sum(exp(x))), n 1000: Hessian", "logsumexp", {"n": 1000}, {"n": 7}, target=1),
        Problem(
            "third", "8. Logistic regression 2048 x 256: third derivative along v", "third",
            {"rows": 2048, "features": 256}, {"rows": 9, "features": 4}, target=11.9 / 5.66,
        ),
        Problem(
            "laplacian", "9. tanh network 50-768-768-512-512-1: Laplacian, 32 rows", "laplacian",
            {"rows": 32, "widths": (50, 768, 768, 512, 512)}, {"rows": 3, "widths": (4, 6, 5)}, target=5.51 / 2.86,
        ),
        Problem(
            "rosenbrock", "10. Chained Rosenbrock, n 10000: sparse Hessian", "rosenbrock", {"n": 10_000}, {"n": 11},
            without={"jax-hessian": "makes the whole matrix, 800 MB"},
        ),
        Problem(
            "product", "11. Logistic regression 2048 x 256: Hessian times vector", "product",
            {"rows": 2048, "features": 256}, {"rows": 9, "features": 4}, target=1,
        ),
        Problem("taylor", "12. 3 tanh layers of 32: sixth derivative along v", "taylor", {"width": 32}, {"width": 4}),
        Problem("scalar", "13. tanh(x sin x): sixth derivative", "scalar", {}, {}, 1e-6),
    ]
}  # fmt: skip

__all__ = ["PEERS", "WORKLOADS", "Compiled", "Problem"]
