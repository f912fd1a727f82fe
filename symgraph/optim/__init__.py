"""Optimizers, each as the updates it makes: `{parameter: new value}`, state included, for `function`.

An optimizer is ordinary mathematics on derivatives, compiled into the same function as the model. What it remembers between
steps (velocities, moments, damping) are parameters like any other: read and set through `.value`, and exported along.

    updates = optim.adam(weights, grad(loss, weights))          first order: sgd, momentum, adam
    updates = optim.newton(weights, loss)                       second order: newton, newton_cg
    updates = optim.levenberg_marquardt(weights, residuals)     sums of squares: also gauss_newton
    step = function([x, y], loss, updates)

`minimize` and `least_squares` repeat a second-order step until it has converged. Logistic regression, on data that are given
when it runs:

    >>> import numpy as np
    >>> import symgraph as sg
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(200, 3))
    >>> labels = np.where(features @ [1.0, -2.0, 0.5] + rng.logistic(size=200) > 0, 1.0, -1.0)
    >>> X, y, w = sg.symbol("X", ("n", 3)), sg.symbol("y", ("n",)), sg.parameter(np.zeros(3), "w")
    >>> loss = sg.softplus(-y * (X @ w)).mean() + 0.001 * (w @ w)
    >>> found = sg.optim.minimize(loss, w, data={X: features, y: labels})
    >>> found.success, found.nit < 10, bool(found.optimality < 1e-8), np.sign(w.value)
    (True, True, True, array([ 1., -1.,  1.]))

The step alone is a function like any other, to be read, exported and called:

    >>> step = sg.function([X, y], loss, sg.optim.newton(w, loss))
    >>> bool(abs(step(features, labels) - found.fun) < 1e-12)
    True
"""

from __future__ import annotations

from .first_order import Updates, adam, momentum, sgd
from .minimize import Iteration, OptimizeResult, least_squares, minimize
from .newton import gauss_newton, levenberg_marquardt, newton
from .newton_cg import newton_cg

__all__ = [
    "sgd", "momentum", "adam", "Updates",
    "newton", "newton_cg", "gauss_newton", "levenberg_marquardt",
    "minimize", "least_squares", "OptimizeResult", "Iteration",
]  # fmt: skip
