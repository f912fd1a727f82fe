"""Drivers that repeat a second-order step until it has converged.

A driver compiles one step and calls it. Every call either makes the loss smaller or leaves the parameters as they are, so
whatever ends a run (a limit, an interrupt, a loss of nan) leaves them at the best point that was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..autodiff import substitute
from ..checking import places, without_value
from ..core import Symbol, Tensor, describe
from ..errors import CompileError, ShapeError, SymgraphError
from ..function import Function, function
from ..parameter import Parameter, parameter
from ..pytree import flatten, paths
from .damping import Step, number
from .newton import gauss_newton_step, levenberg_marquardt_step, newton_step
from .newton_cg import newton_cg_step

MINIMIZE: dict[str, Callable[..., Step]] = {"newton": newton_step, "newton-cg": newton_cg_step}
LEAST_SQUARES: dict[str, Callable[..., Step]] = {
    "levenberg-marquardt": levenberg_marquardt_step,
    "gauss-newton": gauss_newton_step,
}
MOST_REJECTIONS = 60
"""So many steps in a row that do not make the loss smaller end a run."""


@dataclass(frozen=True)
class Iteration:
    """One call of a step: the loss and its largest derivative before it, and whether it was taken."""

    fun: Any
    optimality: Any
    predicted: Any
    """By how much the model said that the loss becomes smaller; nan where the method had no step."""
    taken: bool
    control: Any
    """The damping, the radius or the rate with which the step was made."""


@dataclass(frozen=True)
class OptimizeResult:
    """What a driver found, in SciPy's words: `x` with the nesting of the variables, `fun` the loss there."""

    x: Any
    fun: Any
    optimality: Any
    """The largest absolute derivative at x."""
    nit: int
    """The steps that were taken."""
    success: bool
    status: int
    """0: the derivatives vanish; 1: rounding leaves nothing to be gained. The others are failures: 2: `maxiter`; 3: no step
    helps; 4: a start that is not finite; 5: the derivatives vanish, but not at a minimum; 6: the callback stopped the run."""
    message: str
    history: tuple[Iteration, ...] = field(repr=False)
    """Every step that was tried."""


def minimize(
    loss: Any,
    variables: Any,
    x0: Any = None,
    method: str = "newton",
    *,
    data: Mapping[Tensor, Any] | None = None,
    gtol: float | None = None,
    maxiter: int = 200,
    callback: Callable[[Iteration], Any] | None = None,
    **options: Any,
) -> OptimizeResult:
    """A local minimum of the scalar `loss` over `variables`, by "newton" or "newton-cg".

    `variables` is a parameter, a symbol, or any nesting of them, float32 or float64. Parameters start at their values, or at
    `x0` of the same nesting, and end at the minimum; symbols start at `x0` and are otherwise left alone. `data` has the
    values of the other symbols. The run ends when the largest derivative is at most `gtol` (the square root of the
    precision), when rounding leaves nothing to be gained, after `maxiter` calls, or when `callback`, which is given every
    `Iteration`, raises `StopIteration`. Options go to the step: `damping` of `newton`, `radius` and `steps` of `newton_cg`.

    A loss that is flat in some direction has a singular Hessian; the damping makes the step small there, and the run
    converges to one of the minima. A run that fails says so in `message` and leaves the best parameters it has seen.

    Raises `CompileError` for variables without a start or data that are missing, `ValueError` for settings out of range.

    Source: Nocedal and Wright, Numerical Optimization (2nd ed.), chapters 3, 4 and 7.

    >>> from symgraph import optim, symbol
    >>> x, y = symbol("x"), symbol("y")
    >>> found = optim.minimize((1 - x) ** 2 + 100 * (y - x * x) ** 2, [x, y], [-1.2, 1.0])
    >>> found.success, [round(float(v), 9) for v in found.x]
    (True, [1.0, 1.0])
    """
    if method in LEAST_SQUARES:
        raise ValueError(f"method={method!r} works on residuals: use optim.least_squares(residuals, ...)")
    return _run(MINIMIZE, loss, variables, x0, method, data, gtol, maxiter, callback, options)


def least_squares(
    residuals: Any,
    variables: Any,
    x0: Any = None,
    method: str = "levenberg-marquardt",
    *,
    data: Mapping[Tensor, Any] | None = None,
    gtol: float | None = None,
    maxiter: int = 200,
    callback: Callable[[Iteration], Any] | None = None,
    **options: Any,
) -> OptimizeResult:
    """A local minimum of sum(residuals**2) / 2 over `variables`, by "levenberg-marquardt" or "gauss-newton".

    `residuals` is a real tensor or any nesting of them; the rest is as for `minimize`. Options go to the step: `damping` and
    `solver` of `levenberg_marquardt`, `rate` of `gauss_newton`. Where the Jacobian has dependent columns, Gauss-Newton
    stops and says so, and Levenberg-Marquardt converges to one of the minima.

    Source: Moré, The Levenberg-Marquardt algorithm: implementation and theory (1978).

    >>> import numpy as np
    >>> from symgraph import exp, optim, parameter, symbol
    >>> t, y = symbol("t", ("n",)), symbol("y", ("n",))
    >>> a, k = parameter(1.0, "a"), parameter(0.0, "k")
    >>> times = np.linspace(0, 1, 9)
    >>> found = optim.least_squares(a * exp(-k * t) - y, {"a": a, "k": k}, data={t: times, y: 3 * np.exp(-2 * times)})
    >>> found.success, found.x["a"].round(9), k.value.round(9)
    (True, np.float64(3.0), np.float64(2.0))
    """
    if method in MINIMIZE:
        raise ValueError(f"method={method!r} works on one number: use optim.minimize(loss, ...)")
    return _run(LEAST_SQUARES, residuals, variables, x0, method, data, gtol, maxiter, callback, options)


def _run(
    methods: Mapping[str, Callable[..., Step]],
    of: Any,
    variables: Any,
    x0: Any,
    method: str,
    data: Mapping[Tensor, Any] | None,
    gtol: float | None,
    maxiter: int,
    callback: Callable[[Iteration], Any] | None,
    options: dict[str, Any],
) -> OptimizeResult:
    if method not in methods:
        raise ValueError(f"method={method!r} must be {' or '.join(map(repr, methods))}")
    if isinstance(maxiter, bool) or not isinstance(maxiter, int) or maxiter < 0:
        raise ValueError(f"maxiter={maxiter!r} must be a whole number that is not negative")
    of, xs, starts, restore = _started(of, variables, x0)
    _check_data(of, data)
    step = methods[method](xs, of, **options)
    limit = float(np.finfo(step.optimality.dtype).eps) ** 0.5 if gtol is None else number("gtol", gtol)
    call, measure = _compiled(step, data or {})
    _start(xs, starts)
    values = list((data or {}).values())
    status, message, history = _repeated(lambda: call(*values), step, limit, maxiter, callback)
    with np.errstate(all="ignore"):
        fun, optimality = measure(*values)
    if status == 2 and optimality <= limit:
        status, message = 0, _converged(limit)
    if status == 0 and step.definite is not None and (not history or np.isnan(history[-1].predicted)):
        if not function(list(data or {}), step.definite(), name="definite")(*values):
            status = 5
            message += ", but the Hessian has a direction of negative curvature there: start elsewhere"
    nit = sum(i.taken for i in history)
    return OptimizeResult(
        restore([x.value[()] for x in xs]), fun, optimality, nit, status < 2, status, message, tuple(history)
    )


def _check_data(of: Any, data: Any) -> None:
    """That every symbol has a value."""
    if data is not None and not isinstance(data, Mapping):
        raise CompileError(f"data must be a dict {{symbol: value}}, not {describe(data)}")
    leaves = [leaf for leaf in flatten(of)[0] if isinstance(leaf, Tensor)]
    if missing := without_value(leaves, data or {}):
        pairs = ", ".join(f"{describe(x, short=True)}: ..." for x in missing)
        raise CompileError(f"there is no value for {places(missing)}; give data={{{pairs}}}")


def _started(of: Any, variables: Any, x0: Any) -> tuple[Any, list[Parameter], list[Any], Callable[[Any], Any]]:
    """What is minimized over parameters that stand for the symbols, and the values to start from."""
    found, restore = flatten(variables)
    starts = [None] * len(found) if x0 is None else _aligned(variables, x0)
    stand_ins: dict[Tensor, Tensor] = {}
    xs: list[Any] = []
    for x, start, path in zip(found, starts, paths(variables), strict=True):
        if isinstance(x, Tensor) and not isinstance(x, Parameter) and isinstance(x.op, Symbol):
            if x in stand_ins:
                raise CompileError(f"{describe(x)} is given twice")
            if start is None:
                raise CompileError(f"{describe(x)} has no value to start from: give x0{path}, or make it a parameter")
            if not all(isinstance(n, int) for n in x.shape):
                raise CompileError(
                    f"{describe(x)} has no size yet: make it with ints, or as a parameter, to optimize over it"
                )
            value = np.asarray(start)
            if value.shape != x.shape:
                raise ShapeError(f"x0{path} has shape {value.shape}, which does not fit {describe(x)}")
            made = parameter(value.astype(x.dtype), x.op.label)
            stand_ins[x] = made
            xs.append(made)
        else:
            xs.append(x)
    return (substitute(of, stand_ins) if stand_ins else of), xs, starts, restore


def _aligned(variables: Any, x0: Any, path: str = "") -> list[Any]:
    """The start of each variable; a variable may start from a list of numbers."""
    if isinstance(variables, dict):
        if not isinstance(x0, dict) or set(x0) != set(variables):
            raise CompileError(f"x0{path} must have the keys {', '.join(map(repr, variables))}, as the variables have")
        return [s for key, v in variables.items() for s in _aligned(v, x0[key], f"{path}[{key!r}]")]
    if isinstance(variables, list | tuple):
        if not isinstance(x0, list | tuple | np.ndarray) or len(x0) != len(variables):
            raise CompileError(f"x0{path} must have {len(variables)} entries, as the variables have")
        return [s for i, v in enumerate(variables) for s in _aligned(v, x0[i], f"{path}[{i}]")]
    return [x0]


def _start(xs: list[Parameter], starts: list[Any]) -> None:
    """Every parameter at its start, or none where one does not fit."""
    before = [x.value for x in xs]
    try:
        for x, start in zip(xs, starts, strict=True):
            if start is not None:
                x.value = start
    except SymgraphError:
        for x, value in zip(xs, before, strict=True):
            x.value = value
        raise


def _compiled(step: Step, data: Mapping[Tensor, Any]) -> tuple[Function, Function]:
    reports = [step.loss, step.optimality, step.predicted, step.length, step.taken, step.control]
    call = function(list(data), reports, step.updates, name="step")
    return call, function(list(data), [step.loss, step.optimality], name="measure")


def _repeated(
    call: Callable[[], Any], step: Step, gtol: float, maxiter: int, callback: Callable[[Iteration], Any] | None
) -> tuple[int, str, list[Iteration]]:
    """Status, message and history."""
    eps = float(np.finfo(step.optimality.dtype).eps)
    history: list[Iteration] = []
    rejections, quiet = 0, 0
    for _ in range(maxiter):
        with np.errstate(all="ignore"):
            loss, optimality, predicted, length, taken, control = call()
        history.append(Iteration(loss, optimality, predicted, bool(taken), control))
        if callback is not None:
            try:
                callback(history[-1])
            except StopIteration:
                return 6, "the callback stopped the run", history
        if not (np.isfinite(loss) and np.isfinite(optimality)):
            return 4, f"the loss is {loss} and its largest derivative {optimality}; start elsewhere", history
        if optimality <= gtol:
            return 0, _converged(gtol), history
        small = predicted <= eps * abs(loss) or length <= eps
        rejections = 0 if taken else rejections + 1
        quiet = quiet + 1 if small and taken else 0
        if quiet >= 2:
            return 1, "no step makes the loss smaller by more than rounding", history
        if rejections >= MOST_REJECTIONS or (rejections >= 3 and small):
            return 3, step.stuck, history
    return 2, f"the run has not converged after {maxiter} steps; allow more, or start closer", history


def _converged(gtol: float) -> str:
    return f"the largest derivative is at most {gtol:.3g}"
