import numpy as np


def entropy_and_grad(x):
    """x (n,) float64 -> float64, (n,) float64."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t1 = x > 0
        t2 = np.where(t1, x * np.log(np.where(x == 0, 1, x)), 0)
        entropy = -t2.sum()
        t3 = np.where(t1, np.float64(-1.0), np.float64(0.0))
        t4 = x == 0
        t5 = np.where(t1, t3 * np.where(t4, 0, x / np.where(t4, 1, x)), 0)
        grad_x = np.where(t1, t3 * np.log(x), 0) + t5
        return [entropy, grad_x]
