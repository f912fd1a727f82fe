import numpy as np


def newton_step(A, b, x):
    """A (m, n) float64, b (m,) float64, x (n,) float64 -> float64, (n,) float64."""
    n = A.shape[1]
    residual = A @ x - b
    loss = 0.5 * (residual @ residual) + 0.05 * x @ x
    grad_x = 0.1 * x + residual @ A
    t1 = np.linalg.solve(A.T @ A + 0.1 * np.eye(n), grad_x)
    x_2 = x - t1
    return {"loss": loss, "x": x_2}
