"""Optimizers of first order: gradient descent, momentum, Adam.

`parameters` is one parameter or any nesting of list, tuple and dict, and `gradients` has the same nesting, as `grad`
returns it; clip or add to the gradients on the way. State is named after the parameter it serves. A hyperparameter is a
Python number, or a 0-d tensor (a symbol or a parameter) where it changes while training. Values keep their dtype: a
float32 model trains in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Tensor, describe
from ..dtypes import is_complex
from ..errors import CompileError, ShapeError
from ..ops.late import F
from ..parameter import Parameter, parameter
from ..pytree import flatten

Updates = dict[Parameter, Tensor]


def sgd(parameters: Any, gradients: Any, rate: Any = 0.01) -> Updates:
    """Gradient descent: p <- p - rate * g. With gradients of mini-batches it is stochastic gradient descent.

    >>> from symgraph import function, grad, optim, parameter
    >>> w = parameter(4.0, "w")
    >>> loss = w * w
    >>> step = function([], loss, optim.sgd(w, grad(loss, w), rate=0.25))
    >>> step(), step(), w.value
    (np.float64(16.0), np.float64(4.0), array(1.))
    """
    _check(rate=rate)
    return {p: p - _like(rate, p) * g for p, g in _pairs(parameters, gradients)}


def momentum(parameters: Any, gradients: Any, rate: Any = 0.01, decay: Any = 0.9, nesterov: bool = False) -> Updates:
    """Descent with momentum: v <- decay * v + g, then p <- p - rate * v; v starts at 0.

    With `nesterov` the step looks ahead along the new velocity: p <- p - rate * (decay * v + g)
    (Sutskever et al., 2013).
    """
    _check(rate=rate, decay=decay)
    updates: Updates = {}
    for p, g in _pairs(parameters, gradients):
        v = parameter(np.zeros(p.shape, p.dtype), f"velocity_{p.name}")
        velocity = _like(decay, p) * v + g
        step = _like(decay, p) * velocity + g if nesterov else velocity
        updates[v] = velocity
        updates[p] = p - _like(rate, p) * step
    return updates


def adam(
    parameters: Any, gradients: Any, rate: Any = 1e-3, beta1: Any = 0.9, beta2: Any = 0.999, epsilon: Any = 1e-8
) -> Updates:
    """Adam: steps along the mean gradient, in units of its root mean square (Kingma and Ba, 2015).

        t <- t + 1
        m <- beta1 * m + (1 - beta1) * g            v <- beta2 * v + (1 - beta2) * g**2
        p <- p - rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)

    The moments start at 0, which the division by 1 - beta**t corrects; one count t serves all parameters.
    """
    _check(rate=rate, beta1=beta1, beta2=beta2, epsilon=epsilon)
    pairs = _pairs(parameters, gradients)
    if not pairs:
        return {}
    count = parameter(np.int64(0), "t")
    t = count + 1
    updates: Updates = {count: t}
    rate = rate / (1 - beta1**t)  # both in float64, then as precise as the parameter
    correction = 1 - beta2**t
    for p, g in pairs:
        power = F.real(g * F.conj(g)) if is_complex(p.dtype) else g * g
        m = parameter(np.zeros(p.shape, p.dtype), f"m_{p.name}")
        v = parameter(np.zeros(p.shape, power.dtype), f"v_{p.name}")
        mean = _like(beta1, m) * m + _like(1 - beta1, m) * g
        square = _like(beta2, v) * v + _like(1 - beta2, v) * power
        updates[m], updates[v] = mean, square
        updates[p] = p - _like(rate, v) * mean / (F.sqrt(square / _like(correction, v)) + _like(epsilon, v))
    return updates


def _pairs(parameters: Any, gradients: Any) -> list[tuple[Parameter, Tensor]]:
    """Each parameter with the direction in which the loss grows: the gradient, conjugated where it is complex."""
    targets, _ = flatten(parameters)
    found, _ = flatten(gradients)
    if len(targets) != len(found):
        raise CompileError(
            f"{len(found)} gradients are given for {len(targets)} parameters; pass grad(loss, parameters)"
        )
    for i, (p, g) in enumerate(zip(targets, found, strict=True)):
        if not isinstance(p, Parameter):
            raise CompileError(
                f"an optimizer changes parameters, and {describe(p)} is none; make it with parameter(value, name)"
            )
        if any(p is other for other in targets[:i]):
            raise CompileError(f"{describe(p)} is given twice")
        if not isinstance(g, Tensor):
            raise CompileError(
                f"the gradient of {describe(p)} must be a tensor, not {describe(g)}; pass grad(loss, parameters)"
            )
        if g.shape != p.shape:
            raise ShapeError(f"the gradient {describe(g)} does not fit {describe(p)}: both must have one shape")
    return [(p, F.conj(g) if is_complex(p.dtype) else g) for p, g in zip(targets, found, strict=True)]


def _like(value: Any, p: Tensor) -> Any:
    """A hyperparameter that leaves the dtype of `p` as it is; Python numbers do so by themselves."""
    return value.astype(np.empty(0, p.dtype).real.dtype) if isinstance(value, Tensor) else value


def _check(**given: Any) -> None:
    """Hyperparameters that cannot be meant: shares outside [0, 1), negative or infinite rates."""
    for name, value in given.items():
        if isinstance(value, Tensor):
            if value.ndim:
                raise ShapeError(f"{name} must be a number or a 0-d tensor, not {describe(value)}")
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number or a 0-d tensor, not {describe(value)}")
        limit = 1.0 if name in ("decay", "beta1", "beta2") else np.inf
        if not 0 <= value < limit:
            raise ValueError(f"{name}={value!r} must be {'in [0, 1)' if limit == 1 else 'finite and not negative'}")


__all__ = ["adam", "momentum", "sgd"]
