import numpy as np


def entropy_and_grad(x):
    """x (n,) float64 -> float64, (n,) float64."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t1 = x > 0
        t2 = np.where(t1, x * np.log(np.where(x == 0, 1, x)), 0)
        entropy = -t2.sum()
        grad_x = np.where(t1, -(np.log(x) + 1), 0)
        return [entropy, grad_x]
