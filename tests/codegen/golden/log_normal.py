import numpy as np


def log_normal(y, mu, sigma):
    """y (n,) float64, mu float64, sigma float64 -> float64, (n,) float64, float64, float64."""
    n = y.shape[0]
    t1 = (y - mu) / sigma
    log_density = -0.5 * t1**2 - np.log(sigma) - 0.9189385332046727
    total = log_density.sum()
    t2 = t1 / sigma
    grad_y = -t2
    grad_mu = t2.sum()
    grad_sigma = (t1 * t2).sum() - n / sigma
    return {"total": total, "y": grad_y, "mu": grad_mu, "sigma": grad_sigma}
