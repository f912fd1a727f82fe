"""One step by second derivatives, as updates: Newton's method, Gauss-Newton and Levenberg-Marquardt.

Each has a quadratic model of the loss at the parameters x, steps to the minimum of the model, damped, and keeps the step if
the loss has become smaller (see `damping`):

    Newton                  H + mu |g| I                 H the Hessian of the loss, by its structure
    Gauss-Newton            J.T J                        J the Jacobian of the residuals
    Levenberg-Marquardt     J.T J + mu D^2               D the largest lengths so far of the columns of J

J.T J is nothing but the Hessian of |J v|^2 / 2 in v, so its structure (bands, diagonals, a weighted Gram matrix) is found
as that of H is.

Sources: Nocedal and Wright, Numerical Optimization (2nd ed.), chapters 3, 4 and 10; Li, Fukushima, Qi and Yamashita,
Regularized Newton methods for convex minimization problems with singular solutions (2004); Moré, The Levenberg-Marquardt
algorithm: implementation and theory (1978).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autodiff import grad, jvp, scalar_output, vjp
from ..core import Symbol, Tensor, describe, make_fresh
from ..dtypes import DType
from ..errors import DTypeError, ShapeError
from ..implicit import joined, split
from ..ops.base import as_tensor, cast, strong
from ..ops.definite import least_squares
from ..ops.late import F
from ..parameter import Parameter, parameter
from ..pytree import flatten, paths
from ..structured import hessian, jacobian
from .damping import Damping, Step, judged, largest, number, state, targets, total
from .first_order import Updates
from .system import Blocks, solve_shifted

QR_AT_MOST = 128
"""With at most this many unknowns a least-squares step is solved by QR, unless the normal equations are sparse."""

SOLVERS = ("qr", "cholesky")


def newton(parameters: Any, loss: Any, damping: float = 1e-3) -> Updates:
    """Newton's method: `p <- p - (H + mu |g| I)^-1 g`, if that makes the loss smaller; else mu grows and p stays.

    mu starts as `damping`; since `|g|` vanishes at a minimum, the method converges quadratically there, also where the
    minima are not isolated. Where `H + mu |g| I` is not positive definite, as may be far from a minimum, the step is not
    taken, so that saddles are left. `H` is `hessian(loss, parameters)`: diagonals, bands and low ranks are solved as such.

    The parameters are float32 or float64 (`DTypeError`), of any shapes. `damping` and `growth` are parameters too.

    Source: Li, Fukushima, Qi and Yamashita (2004); Nocedal and Wright, Numerical Optimization (2nd ed.), section 3.4.

    >>> from symgraph import exp, function, optim, parameter
    >>> w = parameter(1.0, "w")
    >>> loss = exp(w) - 2 * w
    >>> step = function([], loss, optim.newton(w, loss))
    >>> for _ in range(6):
    ...     _ = step()
    >>> w.value.round(12)  # log(2)
    np.float64(0.69314718056)
    """
    return newton_step(parameters, loss, damping).updates


def gauss_newton(parameters: Any, residuals: Any, rate: float = 1.0) -> Updates:
    """Gauss-Newton for sum(residuals**2) / 2: p <- p - rate * (J.T J)^-1 J.T r, if that makes the sum smaller.

    Where it does not, p stays and `rate` is halved; after a step it doubles again, up to 1. `residuals` is a real tensor or
    any nesting of them. Where the columns of J are dependent there is no such step, and none is taken:
    `levenberg_marquardt` has one.

    Source: Nocedal and Wright, Numerical Optimization (2nd ed.), section 10.3.

    >>> import numpy as np
    >>> from symgraph import function, optim, parameter
    >>> w = parameter([1.0, 1.0], "w")
    >>> step = function([], [], optim.gauss_newton(w, np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]) @ w - 3))
    >>> step()
    []
    >>> abs(w.value.round(9))
    array([3., 0.])
    """
    return gauss_newton_step(parameters, residuals, rate).updates


def levenberg_marquardt(parameters: Any, residuals: Any, damping: float = 1e-3, solver: str | None = None) -> Updates:
    """Levenberg-Marquardt for sum(residuals**2) / 2: p <- p - (J.T J + mu D^2)^-1 J.T r, if that makes the sum smaller.

    mu starts as `damping` and D is diagonal, the largest length so far of each column of J, so that the units of the
    parameters do not matter. `solver` is "qr", which factors J with sqrt(mu) D below it and does not lose half of the digits
    where J is badly conditioned, "cholesky", which uses the structure of J.T J, or None: QR for a few dense unknowns.

    Source: Moré, The Levenberg-Marquardt algorithm: implementation and theory (1978).

    >>> import numpy as np
    >>> from symgraph import exp, function, optim, parameter
    >>> t = np.linspace(0, 1, 9)
    >>> a, k = parameter(1.0, "a"), parameter(0.0, "k")
    >>> step = function([], [], optim.levenberg_marquardt([a, k], a * exp(-k * t) - 3 * np.exp(-2 * t)))
    >>> for _ in range(12):
    ...     _ = step()
    >>> a.value.round(6), k.value.round(6)
    (np.float64(3.0), np.float64(2.0))
    """
    return levenberg_marquardt_step(parameters, residuals, damping, solver).updates


# Newton --------------------------------------------------------------------------------------------------------------


def newton_step(parameters: Any, loss: Any, damping: float = 1e-3) -> Step:
    xs, dtype = targets("newton", parameters)
    mu = Damping(number("damping", damping), dtype)
    loss = scalar_output(strong(as_tensor(loss)))
    gs = grad(loss, list(xs))
    blocks: Blocks = hessian(loss, list(xs))
    optimality = largest(gs, dtype)
    scale = largest([blocks[i][i].diagonal() for i in range(len(xs))], dtype)
    limits = np.finfo(dtype)
    count = sum(x.size for x in xs)
    shift = mu.value * optimality + count * float(limits.eps) * scale + float(limits.tiny)
    down = [-g for g in gs]
    ps = solve_shifted(blocks, xs, [shift] * len(xs), down, dtype)

    def definite() -> Tensor:
        hardly = float(limits.eps) ** 0.5 * scale + float(limits.tiny)
        return F.isfinite(total(solve_shifted(blocks, xs, [hardly] * len(xs), down, dtype), dtype))

    predicted = total([p * (shift * p - cast(g, dtype)) for p, g in zip(ps, gs, strict=True)], dtype) * 0.5
    verdict = judged(xs, ps, loss, predicted, dtype)
    return Step(
        {**verdict.updates, **mu.updates(verdict)},
        loss, optimality, predicted, verdict.length, verdict.taken, mu.value,
        "no step makes the loss smaller, however much it is damped",
        definite,
    )  # fmt: skip


# Sums of squares -----------------------------------------------------------------------------------------------------


class _Residuals:
    """r, half of its sum of squares, and the gradient J.T r."""

    def __init__(self, name: str, xs: Sequence[Parameter], residuals: Any, dtype: DType) -> None:
        leaves, _ = flatten(residuals)
        self.parts = [strong(as_tensor(leaf)) for leaf in leaves]
        for r, path in zip(self.parts, paths(residuals), strict=True):
            if isinstance(r.aval, tuple) or r.dtype.kind != "f":
                rule = "give real ones, complex ones as their real and imaginary parts"
                raise DTypeError(f"{name}: the residuals{path} are {describe(r)}; {rule}")
        if not self.parts:
            raise ShapeError(f"{name}: there are no residuals; give at least one tensor")
        self.xs, self.dtype = list(xs), dtype
        self.loss = total([r * r for r in self.parts], np.result_type(*[r.dtype for r in self.parts])) * 0.5
        self.gs = vjp(self.parts, self.xs, self.parts)
        self.optimality = largest(self.gs, dtype)

    def down(self) -> Tensor:
        """-r as one vector."""
        return -joined([cast(r, self.dtype) for r in self.parts])

    def normal(self) -> Blocks:
        """J.T J by its structure: the Hessian of |J v|^2 / 2 in v."""
        vs = [make_fresh(Symbol(f"d{x.name}", x.aval)) for x in self.xs]
        moved = jvp(self.parts, self.xs, vs)
        made = total([m * m for m in moved], np.result_type(*[m.dtype for m in moved])) * 0.5
        blocks: Blocks = hessian(made, vs)
        return blocks

    def jacobian(self) -> Tensor:
        """J as one array, a row for each residual."""
        rows = [
            [F.reshape(cast(b.dense(), self.dtype), (r.size, x.size)) for b, x in zip(row, self.xs, strict=True)]
            for r, row in zip(self.parts, jacobian(self.parts, self.xs), strict=True)
        ]
        found = [row[0] if len(row) == 1 else F.concatenate(row, axis=1) for row in rows]
        return found[0] if len(found) == 1 else F.concatenate(found, axis=0)


def gauss_newton_step(parameters: Any, residuals: Any, rate: float = 1.0) -> Step:
    xs, dtype = targets("gauss_newton", parameters)
    if number("rate", rate) > 1:
        raise ValueError(f"rate={rate!r} must be at most 1, the whole step")
    r = _Residuals("gauss_newton", xs, residuals, dtype)
    count, rows = (sum(x.size for x in part) for part in (xs, r.parts))
    if isinstance(rows, int) and count <= min(rows, QR_AT_MOST):
        whole = split(least_squares(r.jacobian(), r.down()), xs)
    else:
        none = F.zeros((), dtype=dtype)
        whole = solve_shifted(r.normal(), xs, [none] * len(xs), [-g for g in r.gs], dtype)
    share = state(rate, "rate", dtype)
    ps = [share * p for p in whole]
    slope = -total([p * cast(g, dtype) for p, g in zip(whole, r.gs, strict=True)], dtype)
    verdict = judged(xs, ps, r.loss, share * (1 - share * 0.5) * slope, dtype)
    least = float(np.finfo(dtype).tiny)
    next_share = F.where(verdict.taken, F.minimum(2 * share, 1.0), F.maximum(share * 0.5, least))
    return Step(
        {**verdict.updates, share: next_share},
        r.loss, r.optimality, slope * 0.5, verdict.length, verdict.taken, share,
        "no step makes the sum smaller: the columns of the Jacobian are dependent, or nearly so; "
        "method='levenberg-marquardt' does not need them to be independent",
    )  # fmt: skip


def levenberg_marquardt_step(parameters: Any, residuals: Any, damping: float = 1e-3, solver: str | None = None) -> Step:
    if solver is not None and solver not in SOLVERS:
        raise ValueError(f"solver={solver!r} must be {', '.join(map(repr, SOLVERS))} or None")
    xs, dtype = targets("levenberg_marquardt", parameters)
    mu = Damping(number("damping", damping), dtype)
    r = _Residuals("levenberg_marquardt", xs, residuals, dtype)
    blocks = r.normal()
    squares = [cast(blocks[i][i].diagonal(), dtype) for i in range(len(xs))]
    longest = [parameter(np.zeros(x.shape, dtype), f"length_{x.name}") for x in xs]
    kept = [F.where(F.isfinite(b), F.maximum(a, b), a) for a, b in zip(longest, squares, strict=True)]
    shifts = [mu.value * F.where(d > 0, d, 1.0) for d in kept]
    count = sum(x.size for x in xs)
    if solver == "qr" or (solver is None and count <= QR_AT_MOST):
        below = F.diag(F.sqrt(joined(shifts)))
        right = F.concatenate([r.down(), F.zeros((count,), dtype=dtype)])
        ps = split(least_squares(F.concatenate([r.jacobian(), below]), right), xs)
    else:
        ps = solve_shifted(blocks, xs, shifts, [-g for g in r.gs], dtype)
    predicted = total([p * (s * p - cast(g, dtype)) for p, s, g in zip(ps, shifts, r.gs, strict=True)], dtype) * 0.5
    verdict = judged(xs, ps, r.loss, predicted, dtype)
    updates: Updates = {**verdict.updates, **mu.updates(verdict), **dict(zip(longest, kept, strict=True))}
    return Step(
        updates, r.loss, r.optimality, predicted, verdict.length, verdict.taken, mu.value,
        "no step makes the sum smaller, however much it is damped",
    )  # fmt: skip
