"""Newton's method without the Hessian: truncated conjugate gradients in a trust region.

    minimize over |p| <= radius    loss + g.p + p.H.p / 2,        H p by `hvp`

The whole inner iteration is one operation of the compiled step (see `symgraph.ops.truncated`): what a product with H needs
of the parameters alone is computed once for all products.

Source: Nocedal and Wright, Numerical Optimization (2nd ed.), algorithms 4.1 and 7.2.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..autodiff import grad, jvp, scalar_output
from ..core import ShapedArray, Symbol, make_fresh
from ..implicit import joined, split
from ..ops.base import as_tensor, cast, strong
from ..ops.late import F
from ..ops.truncated import truncated_cg
from .damping import Step, judged, largest, number, state, targets
from .first_order import Updates

LARGEST_RADIUS = 1e10


def newton_cg(parameters: Any, loss: Any, radius: float = 1.0, steps: int | None = None) -> Updates:
    """Newton's method by products with the Hessian: p <- p + d, where d nearly minimizes the quadratic model within `radius`.

    d is found by at most `steps` conjugate gradients (None: twice as many as there are numbers), which end at the boundary,
    or along a direction of negative curvature, or where the residual is below `min(1/2, |g|^(1/2)) |g|`. The step is taken if
    the loss becomes smaller; the radius, a parameter too, follows from how well the model predicted that.

    The parameters are float32 or float64 (`DTypeError`), of any shapes.

    Source: Steihaug (1983); Nocedal and Wright, Numerical Optimization (2nd ed.), algorithms 4.1 and 7.2.

    >>> import numpy as np
    >>> from symgraph import function, optim, parameter
    >>> w = parameter(np.zeros(3), "w")
    >>> loss = ((w - np.array([1.0, 2.0, 3.0])) ** 4).sum() + (w**2).sum()
    >>> step = function([], loss, optim.newton_cg(w, loss))
    >>> for _ in range(12):
    ...     last = step()
    >>> last.round(6)
    np.float64(7.132621)
    """
    return newton_cg_step(parameters, loss, radius, steps).updates


def newton_cg_step(parameters: Any, loss: Any, radius: float = 1.0, steps: int | None = None) -> Step:
    xs, dtype = targets("newton_cg", parameters)
    count = sum(x.size for x in xs)
    most = 2 * count if steps is None else operator.index(steps)
    if most < 1 and steps is not None:
        raise ValueError(f"steps={steps!r}: give a positive whole number")
    within = state(number("radius", radius), "radius", dtype)
    loss = scalar_output(strong(as_tensor(loss)))
    gs = grad(loss, list(xs))
    g = joined([cast(x, dtype) for x in gs])
    v = make_fresh(Symbol("v", ShapedArray(g.shape, dtype)))
    parts = [cast(p, x.dtype) for p, x in zip(split(v, xs), xs, strict=True)]
    hv = joined([cast(h, dtype) for h in jvp(gs, list(xs), parts)])
    flat, hp = truncated_cg(g, within, v, hv, most)
    predicted = -F.sum(flat * (g + 0.5 * hp))
    verdict = judged(xs, split(flat, xs), loss, predicted, dtype)
    length = F.sqrt(F.sum(flat * flat))
    smaller = F.where(length > 0, F.minimum(length, within), within) * 0.25
    larger = F.where(length >= 0.99 * within, F.minimum(2 * within, LARGEST_RADIUS), within)
    bad = F.logical_not(verdict.taken & (verdict.rho >= 0.25))
    new = F.where(bad, F.maximum(smaller, float(np.finfo(dtype).tiny)), F.where(verdict.rho > 0.75, larger, within))
    return Step(
        {**verdict.updates, within: new},
        loss, largest(gs, dtype), predicted, verdict.length, verdict.taken, within,
        "no step makes the loss smaller, however short it is",
    )  # fmt: skip
