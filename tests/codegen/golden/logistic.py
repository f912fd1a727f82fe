import numpy as np


def train(x, y):
    """x (samples, 784) float64, y (samples,) float64 -> (samples,) bool, float64.

    Updates w, b.
    """
    global w, b
    with np.errstate(over="ignore"):
        samples = x.shape[0]
        t1 = -(x @ w) - b
        t2 = 1 + np.exp(t1)
        p_1 = 1 / t2
        t3 = p_1 > 0.5
        t4 = -t1
        t5 = 1 - y
        xent = y * np.logaddexp(t1, 0) + t5 * np.logaddexp(t4, 0)
        cost = xent.sum() / samples + 0.01 * (w**2).sum()
        t6 = y / samples / (1 + np.exp(t4)) - t5 / samples / t2
        grad_w = -t6 @ x + 0.02 * w
        w -= 0.1 * grad_w
        b += 0.1 * t6.sum()
        return [t3, cost]
