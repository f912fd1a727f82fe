"""Taylor coefficients, n-th derivatives of functions of one number, and the biharmonic operator.

    y(x + t v) = c[0] + c[1] t + ... + c[n] t**n + O(t**(n + 1)),     c[k] = 1/k! d^k/dt^k y(x + t v) at t = 0

All coefficients come from one walk over the graph, by recurrences whose work grows with the square of the order (see
`symgraph.jets`), where repeated differentiation doubles it with each order. They are nodes like any others.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .autodiff import _aligned, check_variables, scalar_output
from .batching import batched
from .core import (
    ShapedArray,
    Symbol,
    Tensor,
    building,
    describe,
    located_error,
    make_fresh,
    misuse,
    rebuild,
    substitute_all,
    toposort,
)
from .dtypes import is_complex, is_inexact
from .errors import GradientError, ShapeError
from .jets.propagation import coefficients_of
from .jets.series import Coefficient, Series, is_zero
from .ops.base import Elementwise, as_tensor, mask_of
from .ops.elementwise import Cast, StopGradient, Where
from .ops.late import F
from .ops.shape import BroadcastTo
from .provenance import deriving
from .pytree import flatten
from .rewrite import stabilize_nodes

# Public --------------------------------------------------------------------------------------------------------------


def taylor(y: Any, x: Any, direction: Any, order: int) -> tuple[Any, ...]:
    """The Taylor coefficients (c[0], ..., c[order]) of `y` along `direction`: y(x + t v) = sum of c[k] t**k.

    `x` is a tensor or any nesting of list, tuple and dict, with `direction` nested alike in the shapes of `x`; so is `y`,
    and each c[k] has the nesting, shapes and dtypes of `y`, zeros where `y` does not depend on `x`. c[0] is `y`, c[1] is
    `jvp(y, x, direction)`, 2 c[2] is the Hessian applied to the direction twice.

    Raises `TypeError` for an order that is not an int, `GradientError` for a negative one or for int or bool
    variables, and `ShapeError` where a direction has not the shape of its variable.

    Source: Griewank and Walther, Evaluating Derivatives (2nd ed., 2008), chapter 13.

    >>> from symgraph import evaluate, exp, symbol
    >>> x = symbol("x")
    >>> [float(c) for c in evaluate(taylor(exp(2 * x), x, 1.0, 3), {x: 0.0})]
    [1.0, 2.0, 2.0, 1.3333333333333333]
    """
    order = _order(order)
    variables, _ = flatten(x)
    check_variables(variables, x)
    seeds = _aligned(variables, direction, "direction")
    given, restore = flatten(y)
    outputs = [as_tensor(o) for o in given]
    found = _coefficients(outputs, variables, seeds, order)
    return tuple(restore([_filled(c[k], o) for c, o in zip(found, outputs, strict=True)]) for k in range(order + 1))


def derivative(y: Any, x: Tensor, order: int = 1) -> Any:
    """The n-th derivative d^n y / dx^n of a function of one number, for each element where `x` has axes.

    `x` has no axes, or y[i] depends on x[i] alone, which is checked: all between them is elementwise. The result has the
    nesting, shapes and dtypes of `y`. It is n! times a Taylor coefficient, so the graph grows with the square of the order at
    most. A complex `x` wants an analytic function.

    Raises `TypeError` for an order that is not an int, and `GradientError` for a negative one, for an int or bool
    variable, or where elements are mixed: the message names the op.

    >>> from symgraph import evaluate, symbol
    >>> x = symbol("x", (2,))
    >>> evaluate(derivative(x**3, x, 2), {x: [1.0, 2.0]})
    array([ 6., 12.])
    """
    order = _order(order)
    if order > 170:
        raise misuse(GradientError, f"order {order}: its factorial overflows. Take the coefficient from taylor(...)")
    check_variables([x], x)
    given, restore = flatten(y)
    outputs = [as_tensor(o) for o in given]
    _check_elementwise(outputs, x)
    found = _coefficients(outputs, [x], [F.ones_like(x)], order)
    factorial = math.factorial(order)
    results = [_filled(c[order], o) for c, o in zip(found, outputs, strict=True)]
    return restore([c if order < 2 else c * float(factorial) if is_inexact(c.dtype) else c for c in results])


def biharmonic(y: Tensor, x: Tensor) -> Tensor:
    """The biharmonic operator: the sum over i and j of d^4 y / dx[i]^2 dx[j]^2, for a real scalar `y` and a vector `x`.

    With D(v) = d^4/dt^4 y(x + t v) at t = 0, which is 24 times a Taylor coefficient,

        biharmonic(y, x) = (4 - n)/3 * sum of D(e[i]) over i + 1/6 * sum of D(e[i] + e[j]) + D(e[i] - e[j]) over i < j

    so n^2 directions give it, all in one batch, and no fourth derivative is ever formed. Where n is symbolic, pairs count
    twice. The result has no axes and the dtype of `y`.

    Raises `GradientError` unless `y` is a real scalar and `x` of floats, `ShapeError` unless `x` has one axis.

    Source: Griewank, Utke and Walther, "Evaluating higher derivative tensors by forward propagation of univariate
    Taylor series" (Mathematics of Computation 69, 2000).

    >>> from symgraph import evaluate, symbol
    >>> x = symbol("x", (3,))
    >>> evaluate(biharmonic((x * x).sum() ** 2, x), {x: [1.0, 2.0, 3.0]})
    np.float64(120.0)
    """
    y = scalar_output(y, "biharmonic")
    check_variables([x], x)
    if x.ndim != 1:
        raise located_error(ShapeError, "biharmonic", [y, x], "the variable must be a vector. Use x of shape (n,)")
    n = x.shape[0]
    eye = F.eye(n, dtype=x.dtype)
    if isinstance(n, int):
        i, j = np.triu_indices(n, 1)
        first, second, pairs, singles = eye[i], eye[j], 4, 8 * (4 - n)
    else:
        square = (n * n, n)
        first = F.reshape(F.broadcast_to(F.expand_dims(eye, 1), (n, n, n)), square)
        second = F.reshape(F.broadcast_to(eye, (n, n, n)), square)
        pairs, singles = 2, -8 * n
    v = make_fresh(Symbol("v", ShapedArray(x.shape, x.dtype)))
    top = _filled(_coefficients([y], [x], [v], 4)[0][4], y)

    def over(directions: Tensor) -> Tensor:
        """The sum of the fourth coefficients over the rows of a matrix of directions."""
        ((found, axis),) = batched([top], {v: (directions, 0)})
        return F.sum(found, axis=0) if axis is not None else found * directions.shape[0]

    total = over(eye) * singles
    if not isinstance(n, int) or n > 1:
        total = total + pairs * over(F.concatenate([first + second, first - second]))
    return total


# Coefficients --------------------------------------------------------------------------------------------------------


@building()
def _coefficients(
    outputs: list[Tensor], variables: list[Tensor], seeds: list[Tensor], order: int
) -> list[list[Coefficient]]:
    """The coefficients of stable forms of the outputs; a variable that depends on others adds their effect to its own."""
    if order == 0:
        return [[y] for y in outputs]
    with deriving(1 + max([y.order for y in outputs], default=0)):
        return _series(outputs, variables, seeds, order)


def _series(outputs: list[Tensor], variables: list[Tensor], seeds: list[Tensor], order: int) -> list[list[Coefficient]]:
    stable = stabilize_nodes(outputs, frozen=variables)
    twins: dict[Tensor, Tensor] = {}
    known: dict[Tensor, Series] = {}
    directions: dict[Tensor, Any] = {}
    for v, seed in zip(variables, seeds, strict=True):
        directions[v] = seed if v not in directions else directions[v] + seed
    for v in _dependent(list(directions)):
        # A variable made of others gets a twin: its node keeps meaning the function, wherever a rule makes it again
        twins[v] = make_fresh(Symbol(v.name or "h", v.aval))
    for v in toposort(directions):
        if v not in directions:
            continue
        effect: list[Coefficient] = [None] * (order + 1)
        if v in twins:
            inner = substitute_all(v.inputs, twins)
            (effect,) = coefficients_of([rebuild(v, inner)], known, order)
        node = twins.get(v, v)
        known[node] = _seeded(node, directions[v], effect, order)
    if twins:
        stable = substitute_all(stable, twins)
    found = coefficients_of(stable, known, order)
    if twins:
        found = _with_originals(found, {twin: v for v, twin in twins.items()})
    return [[y, *c[1:]] for y, c in zip(outputs, found, strict=True)]


def _dependent(variables: list[Tensor]) -> list[Tensor]:
    """The variables that depend on other variables."""
    if all(not v.inputs for v in variables):
        return []
    below, roots, found = set(), set(variables), []
    for node in toposort(variables):
        if any(x in below for x in node.inputs):
            below.add(node)
            if node in roots:
                found.append(node)
        elif node in roots:
            below.add(node)
    return found


def _seeded(node: Tensor, seed: Tensor, effect: Sequence[Coefficient], order: int) -> Series:
    mask = mask_of(seed) if all(c is None for c in effect[1:]) else None
    first = None if is_zero(seed) else seed
    z = Series(node, node, mask=mask, by_rate=True)
    if any(c is not None for c in effect[2:]):
        z.by_rate = False
    direct = effect[1] if first is None else first if effect[1] is None else effect[1] + first
    found = [direct, *effect[2:]]
    (z.rates if z.by_rate else z.coefficients).extend(found)
    z.active = any(c is not None for c in found)
    return z


def _with_originals(found: list[list[Coefficient]], originals: Mapping[Tensor, Tensor]) -> list[list[Coefficient]]:
    flat = [c for cs in found for c in cs if c is not None]
    replaced = dict(zip(flat, substitute_all(flat, originals), strict=True))
    return [[None if c is None else replaced[c] for c in cs] for cs in found]


def _filled(c: Coefficient, y: Tensor) -> Tensor:
    return F.zeros_like(y) if c is None else c


# Checks --------------------------------------------------------------------------------------------------------------


def _order(order: Any) -> int:
    try:
        if isinstance(order, bool | np.bool_):
            raise TypeError
        n = operator.index(order)
    except TypeError:
        raise TypeError(f"order must be an int, not {describe(order)}") from None
    if n < 0:
        raise misuse(GradientError, f"order={n} is negative. The order of a derivative is 0, 1, 2, ...")
    return n


_ALONE = (Elementwise, Where, Cast, StopGradient, BroadcastTo)
_NOT_ANALYTIC = ("real", "imag", "conjugate", "complex_abs")


def _check_elementwise(outputs: list[Tensor], x: Tensor) -> None:
    """Raise where an element of an output depends on another element of `x`, or in no analytic way on complex `x`."""
    active = {x}
    for node in toposort(outputs, stop=active):
        if node is x or not any(a in active for a in node.inputs):
            continue
        if not (isinstance(node.aval, tuple) or is_inexact(node.dtype)):
            continue
        active.add(node)
        alone = isinstance(node.op, _ALONE) or node.op.name in _NOT_ANALYTIC
        if x.ndim and not alone:
            raise located_error(
                GradientError,
                f"derivative with respect to {describe(x)} through {node.op.name}",
                [a for a in node.inputs if a in active],
                "elements are mixed or moved, and y[i] must depend on x[i] alone. Use jacobian(y, x), or taylor(y, x, "
                "direction, order) for the derivatives along one direction",
            )
        if is_complex(x.dtype) and node.op.name in _NOT_ANALYTIC:
            raise located_error(
                GradientError,
                f"derivative with respect to {describe(x)} through {node.op.name}",
                [a for a in node.inputs if a in active],
                "the function is not analytic. Use taylor(y, x, direction, order), along one direction",
            )
