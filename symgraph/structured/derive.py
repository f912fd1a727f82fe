"""Jacobians and Hessians in their structure.

The tangent of y along a seed t is a graph that is linear in t; its structure is the Jacobian (`linear.structure_of`). From
the side of the output the cotangent does the same. A Hessian is found in several ways, and the cheapest one is taken:

    forward-over-reverse   the structure of the tangent of the gradient
    symmetric              the sum over nonlinear nodes v of  J_v.T @ B_v @ J_v,   B_v = cotangent * second derivative of v
    edge-pushing           second derivatives carried back from node to node (`pushing`)

Sources: Griewank and Walther, *Evaluating Derivatives* (2nd ed.), chapters 7 and 8; Gower and Mello, *A new framework for the
computation of Hessians* (2012); Laue, Mitterreiter and Giesen (AAAI 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autodiff import (
    batched_jacobian,
    check_reached,
    check_variables,
    dependents,
    grad,
    jvp,
    scalar_output,
    vjp,
    why_constant,
)
from ..core import Symbol, Tensor, building, describe, make_fresh, toposort
from ..dtypes import is_complex, is_inexact
from ..errors import GradientError
from ..ops.base import as_tensor
from ..provenance import deriving
from ..pytree import flatten
from ..rewrite.contractions.regions import elements
from .choose import work
from .coloring import best_csr
from .curvature import curvature
from .linear import structure_of
from .pushing import pushed
from .tensor import Structured, assembled, whole
from .term import NotStructuredError, Terms

FORMATS = ("dense", "csr")
JACOBIAN_MODES = ("forward", "reverse")
HESSIAN_MODES = ("forward-over-reverse", "symmetric", "edge-pushing")

NARROWER = 2
"""How many times narrower than the variable a node must be for edge pushing to be tried."""

SHORT = 16
"""With so many nodes between the variable and the output all forms are derived and compared."""


def jacobian(y: Any, wrt: Any, mode: str | None = None, format: str = "dense", unused: str = "zero") -> Any:
    """The Jacobian dy[i]/dx[j], of shape `y.shape + x.shape`, nested as `y` outside and `wrt` inside.

    The result is a tensor that keeps its structure, a sum of products (`Structured`): it prints as its formula, and a
    product with a vector, a diagonal or a trace never makes the array. `mode` is "forward" (from the variables), "reverse"
    (from the outputs), or None for the one with fewer elements at its end. With `format="csr"` each block is a sparse matrix
    of shape (size of y, size of x), for which a function returns a `scipy.sparse.csr_array`: from the terms, or by products
    with the colours of its pattern where an op made them dense.

    Raises `GradientError` for integer outputs or variables, and with `unused="raise"` for a variable that no output
    depends on, whose block is zero otherwise.

    >>> from symgraph import evaluate, jacobian, sin, symbol
    >>> A, x = symbol("A", (3, 2)), symbol("x", (2,))
    >>> J = jacobian(sin(A @ x), x)
    >>> J.shape, print(J)
    diag(cos(A @ x)) @ A
    ((3, 2), None)
    """
    _check("jacobian", "mode", mode, (None, *JACOBIAN_MODES))
    _check("jacobian", "format", format, FORMATS)
    outputs, restore_y = flatten(y)
    variables, restore_x = flatten(wrt)
    check_variables(variables, wrt)
    outputs = [as_tensor(output) for output in outputs]
    for output in outputs:
        if not is_inexact(output.dtype):
            raise GradientError(f"jacobian of {describe(output)}: {why_constant(output)}")
    check_reached(outputs, variables, unused)
    blocks = []
    for output in outputs:
        with deriving(1 + output.order):
            row: list[Any] = [_jacobian(output, x, mode) for x in variables]
        if format == "csr":
            row = [best_csr(block, output, x) for block, x in zip(row, variables, strict=True)]
        blocks.append(restore_x(row))
    return restore_y(blocks)


@building()
def _jacobian(y: Tensor, x: Tensor, mode: str | None) -> Structured:
    if is_complex(x.dtype) or is_complex(y.dtype):
        (block,) = batched_jacobian(y, [x])
        return assembled([whole(block, y.shape)], y.shape, x.shape, y, block.dtype)
    mode = mode or ("reverse" if elements(y) < elements(x) else "forward")
    notes: list[str] = []
    if mode == "reverse":
        seed = make_fresh(Symbol("ct", y.aval))
        (terms,) = structure_of([vjp(y, x, seed, "zero")], seed, notes)
        terms = [t.T for t in terms]
    else:
        seed = make_fresh(Symbol("t", x.aval))
        (terms,) = structure_of([jvp(y, x, seed)], seed, notes)
    return assembled(terms, y.shape, x.shape, y).told(mode, {}, notes)


@building()
def hessian(y: Any, wrt: Any, mode: str | None = None, format: str = "dense", unused: str = "zero") -> Any:
    """The Hessian d2y/dx[i]dx[j] of the scalar `y`, of shape `x.shape + x.shape`; nested blocks for nested variables.

    The result is a tensor that keeps its structure, a sum of products (`Structured`): it prints as its formula, and
    `matvec`, `diagonal`, `trace` and `solve` use it. `mode` is "forward-over-reverse", "symmetric" (the sum of J.T @ B @ J
    over the nonlinear steps), "edge-pushing" (second derivatives carried back through the graph), or None for the one that
    is estimated to take the least time. With `format="csr"` each block is a sparse matrix, as for `jacobian`.

    Raises `GradientError` if `y` is no real scalar, if a variable is int or bool, and with `unused="raise"` if `y` does not
    depend on a variable, whose blocks are zero otherwise.

    >>> from symgraph import hessian, log1p, exp, symbol
    >>> A, x = symbol("A", (100, 5)), symbol("x", (5,))
    >>> H = hessian((log1p(exp(A @ x))).sum(), x)
    >>> H.shape, H.matvec(x).shape
    ((5, 5), (5,))
    """
    _check("hessian", "mode", mode, (None, *HESSIAN_MODES))
    _check("hessian", "format", format, FORMATS)
    y = scalar_output(y, "hessian")
    variables, restore = flatten(wrt)
    check_variables(variables, wrt)
    if any(is_complex(x.dtype) for x in variables):
        return jacobian(grad(y, wrt, unused), wrt, format=format)
    blocks: dict[tuple[Tensor, Tensor], Structured] = {}
    found = dict(zip(variables, grad(y, variables, unused), strict=True))
    wanted = set(variables)
    order = [
        v for v in reversed(toposort(found)) if v in wanted
    ]  # a gradient may contain what the variable depends on,
    for j, x in enumerate(order):  # as in exp, but never what depends on it
        us = order[: j + 1]
        with deriving(2 + y.order):
            column = _column(y, [found[u] for u in us], us, x, mode)
        for u, block in zip(us, column, strict=True):
            blocks[u, x] = block
            if u is not x:
                turned = assembled([t.T for t in block.terms], x.shape, u.shape, y, block.dtype)
                blocks[x, u] = turned.retold(block.story)
    if format == "csr":
        sparse = {(u, x): best_csr(b, found[u], x, symmetric=u is x) for (u, x), b in blocks.items()}
        return restore([restore([sparse[u, x] for x in variables]) for u in variables])
    return restore([restore([blocks[u, x] for x in variables]) for u in variables])


@building()
def _column(
    y: Tensor, gradients: Sequence[Tensor], variables: Sequence[Tensor], x: Tensor, mode: str | None
) -> list[Structured]:
    """The blocks d2y / du dx for every u, in the form that takes the least work."""
    found: dict[str, tuple[list[Structured], list[str]]] = {}
    candidates = [mode] if mode else list(_candidates(y, x))
    for candidate in candidates:
        notes: list[str] = []
        try:
            columns = _FORMS[candidate](y, gradients, variables, x, notes)
        except NotStructuredError as error:
            if mode:
                raise GradientError(
                    f"the {mode} form of the Hessian of {describe(y)} cannot be written ({error}); "
                    f"leave mode out or use mode={HESSIAN_MODES[0]!r}"
                ) from None
            if candidates == ["symmetric"]:
                candidates.append("forward-over-reverse")
            continue
        blocks = [
            assembled(terms, u.shape, x.shape, y, np.result_type(u.dtype, x.dtype))
            for terms, u in zip(columns, variables, strict=True)
        ]
        found[candidate] = blocks, notes
    costs = {m: work([part for b in blocks for part in b.inputs[:-1]]) for m, (blocks, _) in found.items()}
    chosen = min(costs, key=costs.__getitem__)
    blocks, notes = found[chosen]
    return [b.told(chosen, costs, notes) for b in blocks]


def _candidates(y: Tensor, x: Tensor) -> Sequence[str]:
    """The forms worth trying: edge pushing pays where the graph is narrower than the variable.

    Where it is not, a product J.T @ B @ J has no more multiply-adds than the way back through a layer, so that of a long
    graph the symmetric form alone is derived.
    """
    inner = [elements(node) for node in dependents(y, x) if node.ndim]
    if inner and elements(x) > NARROWER * min(inner):
        return HESSIAN_MODES
    return HESSIAN_MODES[:2] if len(inner) <= SHORT else ("symmetric",)


def _forward_over_reverse(
    y: Tensor, gradients: Sequence[Tensor], variables: Sequence[Tensor], x: Tensor, notes: list[str]
) -> list[Terms]:
    seed = make_fresh(Symbol("t", x.aval))
    return structure_of(jvp(list(gradients), x, seed), seed, notes)


def _symmetric(
    y: Tensor, gradients: Sequence[Tensor], variables: Sequence[Tensor], x: Tensor, notes: list[str]
) -> list[Terms]:
    return [curvature(y, u, x, notes) for u in variables]


def _edge_pushing(
    y: Tensor, gradients: Sequence[Tensor], variables: Sequence[Tensor], x: Tensor, notes: list[str]
) -> list[Terms]:
    found = pushed(y, [*variables, x])
    return [found[u, x] for u in variables]


_FORMS = dict(zip(HESSIAN_MODES, (_forward_over_reverse, _symmetric, _edge_pushing), strict=True))


def _check(name: str, what: str, given: Any, known: Sequence[Any]) -> None:
    if given not in known:
        *others, last = map(repr, known)
        raise GradientError(f"{name}: {what}={given!r} must be {', '.join(others)} or {last}")
