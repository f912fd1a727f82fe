"""Whether a step is taken, and how far the next one may go: what all second-order methods share.

A model of the loss at x predicts by how much a step p makes it smaller; the ratio

    rho = (loss(x) - loss(x + p)) / predicted

says how good the model is there. A step with rho > 1e-4 is taken, any other (a loss of nan or inf included) leaves the
parameters as they are. Either way the damping, the radius or the rate of the next step follows from rho. These are
parameters beside those that are optimized, so that one compiled function is a whole step.

Near a minimum the two losses agree to the last digits and their difference is noise: both differences are increased by what
rounding may have done, after which rho is 1 where there is nothing left to be seen (Conn, Gould and Toint, Trust-Region
Methods, 2000, section 17.4.2).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Tensor, describe, substitute_all
from ..dtypes import DType
from ..errors import CompileError, DTypeError
from ..ops.base import cast
from ..ops.late import F
from ..parameter import Parameter, parameter
from ..pytree import flatten
from .first_order import Updates

ENOUGH = 1e-4
"""The share of the predicted decrease that must come true."""


@dataclass(frozen=True)
class Step:
    """One step of a method: what it writes, and what a driver needs to know."""

    updates: Updates
    loss: Tensor
    """At the parameters as they are."""
    optimality: Tensor
    """The largest derivative there."""
    predicted: Tensor
    """By how much the model says that the loss becomes smaller."""
    length: Tensor
    """The largest change of a number, relative to 1 + its size."""
    taken: Tensor
    control: Parameter
    """The damping, the radius or the rate."""
    stuck: str
    """What it means if no step is ever taken."""
    definite: Callable[[], Tensor] | None = None
    """Whether the Hessian has no direction of clearly negative curvature, where the method can tell."""


def targets(name: str, parameters: Any) -> tuple[list[Parameter], DType]:
    """The parameters, all real, and the dtype in which a step over all of them is computed."""
    found, _ = flatten(parameters)
    if not found:
        raise CompileError(f"{name}: there are no parameters; give at least one")
    for i, p in enumerate(found):
        if not isinstance(p, Parameter):
            raise CompileError(
                f"{name} changes parameters, and {describe(p)} is none; make it with parameter(value, name)"
            )
        if any(p is other for other in found[:i]):
            raise CompileError(f"{name}: {describe(p)} is given twice")
        if p.dtype.char not in "fd":
            raise DTypeError(
                f"{name}: {describe(p)} is {p.dtype}, and second derivatives are solved with in float32 or float64; "
                "make it one of these, a complex one as its real and imaginary parts"
            )
    return found, np.result_type(*[p.dtype for p in found])


def number(what: str, value: Any, least: float = 0.0) -> float:
    """A setting that is one finite number above `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{what} must be a number, not {describe(value)}")
    if not least < value < np.inf:
        raise ValueError(f"{what}={value!r} must be finite and greater than {least:g}")
    return float(value)


def state(value: float, name: str, dtype: DType) -> Parameter:
    """A number that is remembered from step to step."""
    return parameter(np.array(value, dtype), name)


def total(xs: Sequence[Tensor], dtype: DType) -> Tensor:
    """The sum of all the numbers of several tensors."""
    parts = [F.sum(cast(x, dtype)) for x in xs]
    return functools.reduce(operator.add, parts) if parts else F.zeros((), dtype=dtype)


def largest(xs: Sequence[Tensor], dtype: DType) -> Tensor:
    """The largest absolute value of all the numbers; nan if one is nan."""
    parts = [F.max(F.absolute(cast(x, dtype))) if x.ndim else F.absolute(cast(x, dtype)) for x in xs if x.size != 0]
    return functools.reduce(F.maximum, parts) if parts else F.zeros((), dtype=dtype)


@dataclass(frozen=True)
class Verdict:
    """A step that was tried: its ratio, whether it is taken, the new values, and the length."""

    rho: Tensor
    taken: Tensor
    updates: Updates
    length: Tensor


def judged(xs: Sequence[Parameter], ps: Sequence[Tensor], loss: Tensor, predicted: Tensor, dtype: DType) -> Verdict:
    """The loss after the step `ps`, against what was predicted."""
    ps = [cast(p, x.dtype) for p, x in zip(ps, xs, strict=True)]
    trial = [x + p for x, p in zip(xs, ps, strict=True)]
    (after,) = substitute_all([loss], dict(zip(xs, trial, strict=True)))
    eps = 10 * float(np.finfo(np.result_type(loss.dtype, dtype)).eps)
    noise = cast(eps * F.absolute(loss), dtype)
    actual = cast(loss - after, dtype)
    hoped = predicted + noise
    some = hoped > 0  # else nothing is left to be hoped for, as at a loss of 0
    rho = F.where(some, (actual + noise) / F.where(some, hoped, 1.0), 1.0)
    taken = F.isfinite(after) & (predicted >= 0) & (rho > ENOUGH)
    updates: Updates = {x: F.where(taken, new, x) for x, new in zip(xs, trial, strict=True)}
    length = largest([cast(p, dtype) / (1 + F.absolute(cast(x, dtype))) for p, x in zip(ps, xs, strict=True)], dtype)
    return Verdict(rho, taken, updates, length)


class Damping:
    """mu, made smaller after a good step by max(1/3, 1 - (2 rho - 1)^3), and after a bad one larger by 2, 4, 8, ...

    Source: Nielsen, Damping Parameter in Marquardt's Method (1999).
    """

    def __init__(self, start: float, dtype: DType) -> None:
        self.value = state(start, "damping", dtype)
        self.growth = state(2.0, "growth", dtype)
        self._limits = float(np.finfo(dtype).tiny) * 2.0**20, float(np.finfo(dtype).max) ** 0.5

    def updates(self, verdict: Verdict) -> Updates:
        smaller = self.value * F.maximum(1 / 3, 1 - (2 * F.minimum(verdict.rho, 2.0) - 1) ** 3)
        new = F.where(verdict.taken, smaller, self.value * self.growth)
        growth = F.where(verdict.taken, 2.0, F.minimum(2 * self.growth, 1024.0))
        return {self.value: F.clip(new, *self._limits), self.growth: growth}
