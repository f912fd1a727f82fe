import numpy as np


def body1(x1):
    """x1 (n,) float64 -> float64."""
    return np.sin(x1).sum()


def body2(x1):
    """x1 (n,) float64 -> float64."""
    return x1 @ x1


def body3(x1):
    """x1 (n,) float64 -> (n,) float64."""
    return np.cos(x1)


def body4(x1):
    """x1 (n,) float64 -> (n,) float64."""
    return 2 * x1


def branches(x, flag):
    """x (n,) float64, flag bool -> float64, (n,) float64."""
    y = body1(x) if flag else body2(x)
    grad_x = body3(x) if flag else body4(x)
    return {"y": y, "grad": grad_x}
