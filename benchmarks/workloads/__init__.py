"""The list of workloads."""

from __future__ import annotations

from .base import PEERS, Case, Workload

FLOAT32 = 1e-4

WORKLOADS = {
    w.name: w
    for w in [
        Workload(
            "mlp", "MLP 784-128-10, batch 64, float32, step", "mlp",
            {"widths": (784, 128, 10), "batch": 64, "dtype": "float32"},
            {"widths": (7, 5, 3), "batch": 4, "dtype": "float32"}, FLOAT32,
        ),
        Workload(
            "mlp-large", "MLP 784-1024-1024-10, batch 512, float32, step", "mlp",
            {"widths": (784, 1024, 1024, 10), "batch": 512, "dtype": "float32"},
            {"widths": (7, 6, 5, 3), "batch": 4, "dtype": "float32"}, FLOAT32,
        ),
        Workload(
            "deep", "20 tanh layers of 64, batch 32, float64, step", "deep",
            {"layers": 20, "width": 64, "batch": 32}, {"layers": 3, "width": 4, "batch": 5},
        ),
        Workload(
            "logistic", "Logistic regression 400 x 784, float64, step", "logistic",
            {"rows": 400, "features": 784}, {"rows": 6, "features": 4},
        ),
        Workload("options-1e4", "Black-Scholes and 5 greeks, 10^4, float64", "options", {"n": 10_000}, {"n": 7}),
        Workload("options-1e6", "Black-Scholes and 5 greeks, 10^6, float64", "options", {"n": 1_000_000}, {"n": 9_001}),
        Workload("density", "Normal log-density and gradients, one number", "density", {"n": None}, {"n": None}),
        Workload("density-1e4", "Normal log-density and gradients, 10^4, float64", "density", {"n": 10_000}, {"n": 7}),
        Workload(
            "mixture", "Gaussian mixture, n 1000, d 10, K 25, value and gradient", "mixture",
            {"n": 1000, "d": 10, "K": 25}, {"n": 70, "d": 3, "K": 4}, 1e-8,
        ),
        Workload(
            "recurrent", "RNN, T 100, batch 32, h 64, float32, value and gradient", "recurrent",
            {"T": 100, "batch": 32, "inputs": 32, "width": 64, "outputs": 10},
            {"T": 4, "batch": 3, "inputs": 2, "width": 5, "outputs": 2}, 10 * FLOAT32,
        ),
        Workload("rosenbrock", "Rosenbrock, 10^5, value and gradient", "rosenbrock", {"n": 100_000}, {"n": 9_001}),
        Workload(
            "convnet", "LeNet-like network, 28 x 28, batch 32, float32, step", "convnet",
            {"batch": 32, "size": 28, "channels": (6, 16), "widths": (120, 84, 10)},
            {"batch": 3, "size": 16, "channels": (2, 3), "widths": (5, 3)}, 10 * FLOAT32,
            without={"pytensor": "has no convolution over channels"},
        ),
        Workload("adam", "Adam update of 10^6 parameters, float32", "adam", {"n": 1_000_000}, {"n": 17_001}, FLOAT32),
        Workload(
            "curvature", "Hessian-vector product of the first MLP, float32", "curvature",
            {"widths": (784, 128, 10), "batch": 64, "dtype": "float32"},
            {"widths": (7, 5, 3), "batch": 4, "dtype": "float32"}, FLOAT32,
        ),
        Workload("elementwise", "log1p(exp(tanh(x))), 10^6, float64", "elementwise", {"n": 1_000_000}, {"n": 9_001}),
        Workload(
            "chain", "Chain of 10 000 scalar nodes and its derivative", "chain",
            {"nodes": 10_000}, {"nodes": 10}, 1e-6,
        ),
    ]
}  # fmt: skip

__all__ = ["PEERS", "WORKLOADS", "Case", "Workload"]
