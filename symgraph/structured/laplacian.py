"""The Laplacian: the trace of the Hessian, without the Hessian.

    laplacian(y, x) = sum_j d2y/dx_j2

In the symmetric form of the Hessian the trace unites the labels of both sides of each term before anything is computed,

    sum over v, k of  cotangent_v[k] * phi''_v[k] * sum_j J_v[k, j]**2 ,

so each layer of a network contributes squares of its Jacobian, and no matrix of second derivatives exists. For an output with
axes the cotangent is a symbol in which the result is linear; its gradient is the Laplacian of every element.

Source: Dangel et al., *Collapsing Taylor Mode Automatic Differentiation* (NeurIPS 2025), for the sum over directions.
"""

from __future__ import annotations

from typing import Any

from ..autodiff import check_reached, check_variables, grad, why_constant
from ..core import Symbol, Tensor, building, describe, make_fresh
from ..dtypes import is_complex, is_inexact
from ..errors import GradientError
from ..ops.base import as_tensor
from ..ops.late import F
from ..pytree import flatten, tree_map
from .choose import work
from .derive import HESSIAN_MODES, hessian


def laplacian(y: Any, wrt: Any, unused: str = "zero") -> Any:
    """The sum of the second derivatives of `y` along every element of the variables; it has the shape of `y`.

    laplacian(y, x)[i] = sum_j d2y[i]/dx[j]2. `y` and `wrt` are real tensors or nestings of them; over several variables
    the sum goes through all. Raises `GradientError` for integer or complex outputs or variables, and with
    `unused="raise"` for a variable that no output depends on, which counts as 0 otherwise.

    >>> from symgraph import evaluate, laplacian, symbol
    >>> X = symbol("X", (2, 3))
    >>> evaluate(laplacian((X**4).sum(axis=1), X), {X: [[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]})
    array([36., 60.])
    """
    variables, _ = flatten(wrt)
    check_variables(variables, wrt)
    for x in variables:
        if is_complex(x.dtype):
            raise GradientError(f"laplacian with respect to {describe(x)}: the variables must be real")
    check_reached([as_tensor(leaf) for leaf in flatten(y)[0]], variables, unused)
    return tree_map(lambda leaf: _laplacian(as_tensor(leaf), variables), y)


def _laplacian(y: Tensor, variables: list[Tensor]) -> Tensor:
    if not is_inexact(y.dtype):
        raise GradientError(f"laplacian of {describe(y)}: {why_constant(y)}")
    if is_complex(y.dtype):
        raise GradientError(f"laplacian of {describe(y)}: the output must be real; take its real and imaginary parts")
    if not y.ndim:
        return _of_scalar(y, variables)
    seed = make_fresh(Symbol("ct", y.aval))
    return grad(_of_scalar(F.sum(seed * y), variables), seed, unused="zero")


@building()
def _of_scalar(y: Tensor, variables: list[Tensor]) -> Tensor:
    total: Tensor | None = None
    for x in variables:
        traces = []
        for mode in HESSIAN_MODES:
            try:
                traces.append(hessian(y, x, mode).trace())
            except GradientError:  # the symmetric form cannot be written
                continue
        trace = min(traces, key=lambda t: work([t]))
        total = trace if total is None else total + trace
    assert total is not None
    return total
