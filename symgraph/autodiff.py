"""Symbol-to-symbol differentiation: both accumulations, any order by repetition.

Reverse mode walks the graph once from the outputs, keeps one accumulated cotangent per node, and asks each op what its
operands receive. Forward mode walks once from the inputs. Both add ordinary nodes to the same graph, so a derivative can
be drawn, simplified, compiled and differentiated again.

Before differentiating, numerically stable forms are recognised (`log(1 + exp(x))` is `softplus(x)`), without looking
through the variables of differentiation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import ref

import numpy as np

from .batching import batched
from .core import (
    Item,
    ShapedArray,
    Symbol,
    Tensor,
    building,
    describe,
    located_error,
    make_fresh,
    remembered,
    substitute_all,
    toposort,
)
from .dims import require_equal, same_shape
from .dtypes import is_complex, is_inexact
from .errors import DTypeError, GradientError, ShapeError
from .ops.base import Mask, Primitive, as_tensor, cast, mask_or
from .ops.checkpoint import Checkpoint
from .ops.late import F
from .provenance import current, deriving, format_location, link_adjoint, link_tangent
from .pytree import flatten, paths
from .recompute import Twins
from .rewrite import STABILIZE, rewrite

_Swept = tuple[dict[Tensor, tuple[Any, Mask]], set[Tensor]]
"""The cotangent and mask of every node that was reached, and all nodes that depend on the variables."""

# Public --------------------------------------------------------------------------------------------------------------


def grad(y: Tensor, wrt: Any, unused: str = "raise") -> Any:
    """The gradient of the scalar `y` with respect to `wrt`, by reverse accumulation.

    `wrt` is a tensor or any nesting of list, tuple and dict; the result has that nesting, each gradient the shape and
    dtype of its variable. For complex variables z = x + iy the gradient is dy/dx - i dy/dy.

    Raises `GradientError` if `y` is not a real scalar, if a variable is int or bool, or if `y` does not depend on a
    variable (`unused="zero"` gives zeros instead).

    >>> from symgraph import evaluate, grad, sin, symbol
    >>> x1, x2 = symbol("x1"), symbol("x2")
    >>> y = x1 * x2 + sin(x1)
    >>> d1, d2 = grad(y, (x1, x2))
    >>> evaluate(d1, {x1: 2.0, x2: 3.0}).round(6), d2 is x1
    (np.float64(2.583853), True)
    """
    return value_and_grad(y, wrt, unused)[1]


def value_and_grad(y: Tensor, wrt: Any, unused: str = "raise") -> tuple[Tensor, Any]:
    """`y` and its gradient."""
    y = scalar_output(y)
    return y, vjp(y, wrt, F.ones_like(y), unused)


def vjp(y: Any, wrt: Any, cotangent: Any, unused: str = "raise") -> Any:
    """The vector-Jacobian product: for each variable v, the sum over outputs of cotangent * dy/dv.

    `cotangent` has the nesting and shapes of `y`; the result has the nesting of `wrt`.
    """
    outputs, _ = flatten(y)
    variables, restore = flatten(wrt)
    check_variables(variables, wrt)
    _check_unused(unused)
    cts = _aligned(outputs, cotangent, "cotangent")
    found = _backward([as_tensor(o) for o in outputs], cts, variables, unused)
    return restore(found)


def jvp(y: Any, wrt: Any, tangent: Any) -> Any:
    """The Jacobian-vector product: the derivative of `y` along `tangent`, by forward accumulation.

    `tangent` has the nesting and shapes of `wrt`; the result has the nesting of `y`, zeros where `y` does not depend on
    the variables.
    """
    outputs, restore = flatten(y)
    variables, _ = flatten(wrt)
    check_variables(variables, wrt)
    ts = _aligned(variables, tangent, "tangent")
    return restore(_forward([as_tensor(o) for o in outputs], variables, ts))


def hvp(y: Tensor, wrt: Any, v: Any, unused: str = "zero") -> Any:
    """The Hessian of the scalar `y` times `v`, forward over reverse, with the nesting of `wrt`."""
    return jvp(grad(y, wrt, unused), wrt, v)


def substitute(outputs: Any, mapping: Mapping[Tensor, Any]) -> Any:
    """`outputs` with nodes replaced by others of the same shape and dtype; untouched parts are the same objects.

    >>> from symgraph import exp, substitute, symbol
    >>> x, y = symbol("x"), symbol("y")
    >>> substitute(exp(x) + x, {x: y}) is exp(y) + y
    True
    """
    pairs: dict[Tensor, Tensor] = {}
    for old, new in mapping.items():
        if not isinstance(old, Tensor):
            raise TypeError(f"substitute replaces tensors, not {describe(old)}")
        value = as_tensor(new)
        value = cast(value, old.dtype) if value.aval.weak else value
        if value.dtype != old.dtype:
            raise located_error(
                DTypeError, "substitute", [old, value], f"the dtypes differ; use .astype({str(old.dtype)!r})"
            )
        if not same_shape(value.shape, old.shape):
            raise located_error(ShapeError, "substitute", [old, value], "the shapes differ; use broadcast_to")
        pairs[old] = value
    leaves, restore = flatten(outputs)
    return restore(substitute_all([as_tensor(x) for x in leaves], pairs))


# Reverse mode --------------------------------------------------------------------------------------------------------


@building()
def _backward(outputs: list[Tensor], seeds: list[Tensor], variables: list[Tensor], unused: str) -> list[Tensor]:
    """The gradients of the variables."""
    cotangents, reached = _sweep(outputs, seeds, variables)
    if unused == "raise":
        _check_reached(outputs, variables, reached)
    return [cotangents[v][0] if v in cotangents else F.zeros_like(v) for v in variables]


@building()
def adjoints(y: Tensor, variables: list[Tensor]) -> dict[Tensor, tuple[Any, Mask]]:
    """The cotangent and mask of every node between the variables and the scalar `y`, in its stable form."""
    return _sweep([y], [F.ones_like(y)], variables)[0]


def _sweep(outputs: list[Tensor], seeds: list[Tensor], variables: list[Tensor]) -> _Swept:
    """One sweep in reverse topological order, reaching only what the variables need."""
    nodes = [*outputs, *seeds, *variables]
    return remembered(f"sweep of {len(outputs)}", nodes, lambda: _swept(outputs, seeds, variables))


def _swept(outputs: list[Tensor], seeds: list[Tensor], variables: list[Tensor]) -> _Swept:
    derivative = 1 + max([y.order for y in outputs])
    stable, written = _stabilized(outputs, variables, derivative)
    order = toposort(stable)
    reached, active = _dependents(order, variables)
    cotangents: dict[Tensor, tuple[Any, Mask]] = {}
    for y, ct in zip(stable, seeds, strict=True):
        if y in active:
            _accumulate(cotangents, y, ct, None)
    twins = Twins(variables)
    parts: dict[Tensor, list[Any]] = {}  # what the cotangent of a node is the sum of
    keep = current.where, current.order
    current.order = derivative
    try:
        for node in reversed(order):
            if node not in active or node not in cotangents:
                continue
            ct, mask = cotangents[node]
            several = isinstance(node.aval, tuple)
            if not several:
                link_adjoint(ct, written.get(node, node), parts.pop(node, ()))
            wanted = [x in active for x in node.inputs]
            if not any(wanted):
                continue
            current.where = node.where
            if isinstance(node.op, Item):
                _accumulate_item(cotangents, node.inputs[0], node.op.index, ct)
                continue
            if not isinstance(node.op, Primitive):
                raise GradientError(f"{describe(node)} has no derivative")
            if isinstance(node.op, Checkpoint):
                twins.reach(node, ct)
            y, xs = twins.operands(node)
            by = ref(written.get(node, node)), node.op.name, node.where, None if several else ref(ct)
            pulled = node.op.pullback(ct, mask, y, xs, wanted)
            for i, (x, part) in enumerate(zip(node.inputs, pulled, strict=True)):
                if part is not None and x in active:
                    _accumulate(cotangents, x, *part)
                    parts.setdefault(x, []).append((by, i, ref(part[0])))
    finally:
        current.where, current.order = keep
    return cotangents, reached


def _stabilized(
    outputs: list[Tensor], variables: list[Tensor], derivative: int
) -> tuple[list[Tensor], dict[Tensor, Tensor]]:
    """Stable forms of the outputs, and for each node that is new the one the user wrote, whose adjoint is the same."""
    keep, current.order = current.order, derivative
    try:
        stable, successors = rewrite(outputs, STABILIZE, variables)
    finally:
        current.order = keep
    if all(a is b for a, b in zip(stable, outputs, strict=True)):
        return stable, {}
    user = toposort(outputs)
    known = set(user)
    pairs = [(successors.get(old, old), old) for old in user]
    return stable, {new: old for new, old in pairs if new not in known}


def _dependents(order: Sequence[Tensor], variables: Sequence[Tensor]) -> tuple[set[Tensor], set[Tensor]]:
    """The nodes that depend on a variable, and those among them that do so through real or complex values only."""
    reached, active = set(), set()
    roots = set(variables)
    for node in order:
        if node in roots:
            reached.add(node)
            active.add(node)
            continue
        if any(x in reached for x in node.inputs):
            reached.add(node)
        held = node.op.name == "stop_gradient"
        if (
            not held
            and any(x in active for x in node.inputs)
            and (isinstance(node.aval, tuple) or is_inexact(node.dtype))
        ):
            active.add(node)
    return reached, active


def dependents(y: Tensor, x: Tensor) -> list[Tensor]:
    """The nodes through which `y` depends on `x` by real or complex values, `x` itself left out."""
    order = toposort([y])
    active = _dependents(order, [x])[1]
    return [node for node in order if node in active and node is not x and not isinstance(node.aval, tuple)]


def _accumulate(cotangents: dict[Tensor, tuple[Any, Mask]], x: Tensor, ct: Tensor, mask: Mask) -> None:
    before = cotangents.get(x)
    cotangents[x] = (ct, mask) if before is None else (before[0] + ct, mask_or(before[1], mask))


def _accumulate_item(cotangents: dict[Tensor, tuple[Any, Mask]], x: Tensor, index: int, ct: Tensor) -> None:
    cts = list(cotangents[x][0]) if x in cotangents else [None] * len(x.aval)
    cts[index] = ct if cts[index] is None else cts[index] + ct
    cotangents[x] = (tuple(cts), None)


# Forward mode --------------------------------------------------------------------------------------------------------


@building()
def _forward(outputs: list[Tensor], variables: list[Tensor], seeds: list[Tensor]) -> list[Tensor]:
    """The tangents of the outputs."""
    with deriving(1 + max([y.order for y in outputs], default=0)):
        stable, written = _stabilized(outputs, variables, current.order)
        tangents = tangents_of(stable, variables, seeds, written)
        return [tangents[y] if y in tangents else F.zeros_like(y) for y in stable]


def tangents_of(
    outputs: list[Tensor], variables: list[Tensor], seeds: list[Tensor], written: Mapping[Tensor, Tensor] | None = None
) -> dict[Tensor, Any]:
    """The tangent of every node between the variables and the outputs, which are in their stable form.

    One sweep in topological order; a variable that depends on others adds their effect to its seed. Where it is told what
    was `written` in the place of stable forms, the tangents are remembered as those of what was written.
    """
    tangents: dict[Tensor, Any] = dict(zip(variables, seeds, strict=True))
    keep = current.where
    try:
        for node in toposort(outputs):
            ts = [tangents.get(x) for x in node.inputs]
            several = isinstance(node.aval, tuple)
            if all([t is None for t in ts]) or not (several or is_inexact(node.dtype)):
                continue
            current.where = node.where
            if isinstance(node.op, Item):
                t = tangents[node.inputs[0]][node.op.index]
            elif isinstance(node.op, Primitive):
                t = node.op.pushforward(ts, node, node.inputs)
            else:
                raise GradientError(f"{describe(node)} has no derivative")
            if t is None:
                continue
            t = t if several else cast(t, node.dtype)
            tangents[node] = t = tangents[node] + t if node in tangents else t
            if written is not None and not several:
                link_tangent(t, written.get(node, node), node.op.name)
    finally:
        current.where = keep
    return tangents


# Dense Jacobians -----------------------------------------------------------------------------------------------------


def batched_jacobian(y: Tensor, variables: list[Tensor]) -> list[Tensor]:
    """The vector-Jacobian products of all elements of `y` at once: a batch, over the rows of an identity matrix."""
    if y.ndim == 0:
        return _backward([y], [F.ones_like(y)], variables, "zero")
    row = make_fresh(Symbol("cotangent", ShapedArray(y.shape, y.dtype)))
    rows = F.reshape(F.eye(y.size, dtype=y.dtype), (y.size, *y.shape))
    pulled = batched(_backward([y], [row], variables, "zero"), {row: (rows, 0)})
    blocks = [F.broadcast_to(g, (y.size, *g.shape)) if at is None else F.moveaxis(g, at, 0) for g, at in pulled]
    return [F.reshape(b, (*y.shape, *x.shape)) for b, x in zip(blocks, variables, strict=True)]


# Checks --------------------------------------------------------------------------------------------------------------


def check_reached(outputs: list[Tensor], variables: list[Tensor], unused: str) -> None:
    """Raise `GradientError` for a variable that no output depends on, unless `unused="zero"`."""
    _check_unused(unused)
    if unused == "raise":
        _check_reached(outputs, variables, _dependents(toposort(outputs), variables)[0])


def _check_unused(unused: str) -> None:
    if unused not in ("raise", "zero"):
        raise GradientError(f"unused={unused!r}: choose 'raise' or 'zero'")


def _check_reached(outputs: list[Tensor], variables: list[Tensor], reached: set[Tensor]) -> None:
    missing = [v for v in variables if v not in reached]
    if missing:
        raise GradientError(
            f"{_names(outputs)} does not depend on {_names(missing)}"
            f"{_made(missing)}; remove it from the variables or pass unused='zero'"
        )


def scalar_output(y: Any, what: str = "grad") -> Tensor:
    """`y` as a real scalar, or an error about `what` was asked of it."""
    if isinstance(y, list | tuple | dict):
        raise GradientError(f"{what} of a {type(y).__name__}: there is one for each scalar; ask for them one by one")
    y = as_tensor(y)
    if isinstance(y.aval, tuple):
        raise GradientError(f"{what} of {describe(y)}, which has several outputs; take one of them")
    if y.shape != () or not is_inexact(y.dtype) or is_complex(y.dtype):
        asked = f"{what} of {describe(y)}{_made([y])}"
        if not is_inexact(y.dtype):
            raise GradientError(f"{asked}: {why_constant(y)}")
        if is_complex(y.dtype):
            raise GradientError(f"{asked}: the output must be real; take its real part or abs, or use vjp")
        raise GradientError(f"{asked}: the output must be a scalar; reduce it with sum or mean, or use vjp or jacobian")
    return y


def check_variables(variables: list[Any], wrt: Any) -> None:
    if not variables:
        raise GradientError("there is no variable to differentiate with respect to")
    for variable, path in zip(variables, paths(wrt), strict=True):
        if not isinstance(variable, Tensor):
            raise TypeError(f"wrt{path} must be a tensor of the graph, not {describe(variable)}")
        if isinstance(variable.aval, tuple) or not is_inexact(variable.dtype):
            raise GradientError(
                f"derivative with respect to {describe(variable)}{_made([variable])}: {why_constant(variable)}"
            )


def why_constant(x: Tensor) -> str:
    kind = "bool" if x.dtype == np.bool_ else "int"
    return f"{kind} values are constants of differentiation; use .astype('float64') where a real variable is meant"


def _aligned(primals: list[Any], given: Any, what: str) -> list[Tensor]:
    """The leaves of `given`, checked against the shapes and cast to the dtypes of the primals."""
    leaves, _ = flatten(given)
    if len(leaves) != len(primals):
        raise ShapeError(f"{len(leaves)} {what}s for {len(primals)} tensors: give one {what} each, in the same nesting")
    aligned = []
    for x, leaf in zip(primals, leaves, strict=True):
        t = as_tensor(leaf)
        if t.ndim != x.ndim:
            raise located_error(
                ShapeError, what, [x, t], f"a {what} has the shape of its tensor. Use broadcast_to(v, x.shape)"
            )
        try:
            for a, b in zip(x.shape, t.shape, strict=True):
                require_equal(a, b)
        except ShapeError as error:
            raise located_error(
                ShapeError, what, [x, t], f"a {what} has the shape of its tensor, but {error}"
            ) from None
        if is_complex(t.dtype) and not is_complex(x.dtype):
            raise located_error(DTypeError, what, [x, t], f"a {what} of a real tensor is real")
        aligned.append(cast(t, x.dtype))
    return aligned


def _names(nodes: Sequence[Tensor]) -> str:
    return ", ".join(describe(node) for node in nodes)


def _made(nodes: Sequence[Tensor]) -> str:
    made = [format_location(node.where) for node in nodes if node.where]
    return f" (made at {', '.join(dict.fromkeys(made))})" if made else ""


F.provide({"vjp": vjp, "jvp": jvp})
