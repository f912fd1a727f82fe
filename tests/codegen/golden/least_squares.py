import numpy as np


def newton_step(A, b, x):
    """A (m, n) float64, b (m,) float64, x (n,) float64 -> float64, (n,) float64."""
    n = A.shape[1]
    t1 = 0.05 * x
    residual = A @ x - b
    loss = 0.5 * (residual @ residual) + t1 @ x
    t2 = 0.5 * residual
    grad_residual = t2 + t2
    grad_x = grad_residual @ A + t1 + t1
    t3 = np.linalg.solve(A.T @ A + np.eye(n) * 0.1, grad_x)
    x_2 = x - t3
    return {"loss": loss, "x": x_2}
