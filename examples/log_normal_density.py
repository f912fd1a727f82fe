"""The logarithm of the normal density and its gradients, compiled and compared with the formulas found by hand.

log N(y | mu, sigma)   = -((y - mu) / sigma)**2 / 2 - log(sigma) - log(2 pi) / 2
d log N / d y          = -(y - mu) / sigma**2
d log N / d mu         = (y - mu) / sigma**2
d log N / d sigma      = ((y - mu)**2 / sigma**2 - 1) / sigma

python examples/log_normal_density.py
"""

import math

import symgraph as sg


def main(y=1.3, mu=0.4, sigma=0.7):
    """The density and its three derivatives at a point, and the same by hand."""
    Y, Mu, Sigma = sg.symbol("y"), sg.symbol("mu"), sg.symbol("sigma")
    log_density = -0.5 * ((Y - Mu) / Sigma) ** 2 - sg.log(Sigma) - 0.5 * math.log(2 * math.pi)
    value, gradient = sg.value_and_grad(log_density, {"y": Y, "mu": Mu, "sigma": Sigma})
    f = sg.function([Y, Mu, Sigma], {"value": value, **gradient}, name="log_normal")

    by_hand = {
        "value": -(((y - mu) / sigma) ** 2) / 2 - math.log(sigma) - math.log(2 * math.pi) / 2,
        "y": -(y - mu) / sigma**2,
        "mu": (y - mu) / sigma**2,
        "sigma": ((y - mu) ** 2 / sigma**2 - 1) / sigma,
    }
    print(f.source)
    print(f"at y = {y}, mu = {mu}, sigma = {sigma}")
    found = f(y, mu, sigma)
    for name, expected in by_hand.items():
        print(f"{name:8} {found[name]:12.8f}   by hand {expected:12.8f}")
    return found, by_hand


if __name__ == "__main__":
    main()
