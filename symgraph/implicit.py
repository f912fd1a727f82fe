"""Implicit differentiation: derivatives that follow from the condition a value satisfies, not from how it was computed.

If F(y, theta) = 0 then, by the implicit function theorem,

    dF/dy dy + dF/dtheta dtheta = 0,     dy = -(dF/dy)^-1 dF/dtheta dtheta,

whatever found y: Newton's method, an optimizer, a table. Reverse mode solves with the transposed matrix. The matrix is one
node of the graph, made from y itself, so that both modes and every order share it and the compiler factors it once;
differentiating it again goes through y, which gives the higher orders.

Source: Krantz and Parks, The Implicit Function Theorem (2002); Blondel et al., Efficient and Modular Implicit
Differentiation (NeurIPS 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import dims
from .autodiff import grad, jvp, vjp
from .core import (
    Aval,
    Body,
    Bound,
    Item,
    ShapedArray,
    Symbol,
    Tensor,
    describe,
    format_shape,
    located_error,
    make,
    make_fresh,
    recording,
    substitute_all,
    toposort,
)
from .dtypes import is_inexact
from .errors import DTypeError, GradientError, ShapeError
from .ops.base import Mask, Pulled, as_tensor, cast_back, strong
from .ops.control import captured
from .ops.late import F
from .ops.rules import Transparent
from .pytree import Rebuild, flatten, paths

__all__ = ["implicit"]


# What a condition says of derivatives ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Implicit(Transparent):
    """The first `count` operands, as the y for which `condition(y, theta)` vanishes; theta are the other operands."""

    condition: Body
    count: int
    symmetric: bool
    name = "implicit"

    def infer(self, *xs: ShapedArray) -> Aval:
        for bound, x in zip(self.condition.avals, xs, strict=True):
            if bound.dtype != x.dtype or len(bound.shape) != len(x.shape):
                raise ShapeError(f"the condition was traced with {bound} and is given {x}")
            for a, b in zip(bound.shape, x.shape, strict=True):
                dims.require_equal(a, b)
        found = tuple(ShapedArray(x.shape, x.dtype) for x in xs[: self.count])
        return found if len(found) > 1 else found[0]

    def item(self, index: int, *xs: Tensor) -> Tensor:
        return xs[index]

    def evaluate(self, *values: Any) -> Any:
        return values[: self.count] if self.count > 1 else values[0]

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 0

    def traffic(self, y: Any, *xs: ShapedArray) -> Any:
        return 0

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        body, theta = self.condition, self._theta(wanted)
        pulled: list[Pulled] = [None] * len(xs)
        if not theta:
            return pulled
        cts = ct if isinstance(y.aval, tuple) else (ct,)
        full = [F.zeros(x.shape, x.dtype) if c is None else c for c, x in zip(cts, xs, strict=False)]
        at = self._at(y, xs)
        matrix = self._matrix(at)
        back = solve_with(matrix if self.symmetric or not matrix.ndim else matrix.T, joined(full))
        seeds = split(-back, body.outputs)
        unknown = self._seeds(body.outputs)
        found = vjp(list(body.outputs), [body.inputs[i] for i in theta], unknown, "zero")
        given = substitute_all(found, {**at, **dict(zip(unknown, seeds, strict=True))})
        for i, g in zip(theta, given, strict=True):
            g = cast_back(g, xs[i])
            if mask is None:
                pulled[i] = g, None
            else:  # outside the mask everything is 0, whatever the condition is there
                inside = F.any(mask)
                pulled[i] = F.where(inside, g, 0), F.broadcast_to(inside, g.shape)
        return pulled

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        body, theta = self.condition, self._theta([t is not None for t in ts])
        if not theta:
            return None
        at = self._at(y, xs)
        unknown = self._seeds([body.inputs[i] for i in theta])
        moved = jvp(list(body.outputs), [body.inputs[i] for i in theta], unknown)
        given = substitute_all(
            moved, {**at, **{u: t for u, i in zip(unknown, theta, strict=True) if (t := ts[i]) is not None}}
        )
        found = split(-solve_with(self._matrix(at), joined(given)), body.inputs[: self.count])
        return tuple(found) if isinstance(y.aval, tuple) else found[0]

    def _theta(self, moving: Sequence[bool]) -> list[int]:
        avals = self.condition.avals
        return [i for i in range(self.count, len(avals)) if moving[i] and is_inexact(avals[i].dtype)]

    def _at(self, y: Tensor, xs: Sequence[Tensor]) -> dict[Tensor, Tensor]:
        """The bound variables of the condition, at the solution (this node itself) and theta."""
        ys = [make(Item(k), y) for k in range(self.count)] if isinstance(y.aval, tuple) else [y]
        return dict(zip(self.condition.inputs, [*ys, *xs[self.count :]], strict=True))

    def _seeds(self, like: Sequence[Tensor]) -> list[Tensor]:
        """Bound variables beyond those of the condition, for directions."""
        start = len(self.condition.avals)
        return [make(Bound(start + k, x.shape, x.dtype)) for k, x in enumerate(like)]

    def _matrix(self, at: dict[Tensor, Tensor]) -> Tensor:
        made = jacobian_matrix(self.condition.outputs, self.condition.inputs[: self.count])
        return substitute_all([made], at)[0]


def jacobian_matrix(outputs: Sequence[Tensor], wrt: Sequence[Tensor]) -> Tensor:
    """dF/dy as one matrix over all the numbers of F and y, in their order; a number for a number."""
    from . import jacobian

    blocks = [[_dense(b) for b in row] for row in jacobian(list(outputs), list(wrt))]
    if len(blocks) == len(blocks[0]) == 1 and not blocks[0][0].ndim:
        return blocks[0][0]
    rows = [
        [F.reshape(block, (f.size, y.size)) for block, y in zip(row, wrt, strict=True)]
        for row, f in zip(blocks, outputs, strict=True)
    ]
    joined = [row[0] if len(row) == 1 else F.concatenate(row, axis=1) for row in rows]
    return joined[0] if len(joined) == 1 else F.concatenate(joined, axis=0)


def _dense(block: Any) -> Tensor:
    found: Tensor = block if isinstance(block, Tensor) else block.dense()
    return found


def solve_with(matrix: Tensor, b: Tensor) -> Tensor:
    found: Tensor = F.solve(matrix, b) if matrix.ndim else F.reshape(b, ()) / matrix
    return found


def joined(xs: Sequence[Tensor]) -> Tensor:
    """The numbers of several tensors as one vector."""
    parts = [F.reshape(x, (x.size,)) for x in xs]
    return parts[0] if len(parts) == 1 else F.concatenate(parts, axis=0)


def split(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """A vector taken apart into tensors of the shapes of `like`."""
    found, start = [], 0
    for x in like:
        part = vector if len(like) == 1 else vector[start : start + x.size]
        found.append(F.reshape(part, x.shape))
        start = start + x.size
    return found


# Functions -------------------------------------------------------------------------------------------------------------


def implicit(
    solution: Any,
    *,
    root: Callable[[Any], Any] | None = None,
    argmin: Callable[[Any], Any] | None = None,
    fixed_point: Callable[[Any], Any] | None = None,
) -> Any:
    """`solution`, differentiated by the condition that it satisfies: one of root(y) = 0, y minimizes argmin(y), or
    fixed_point(y) = y.

    `solution` is a real or complex tensor or a nesting of them, and the result has its nesting, shapes and values. The
    condition takes such a nesting; the tensors that it uses from outside are what derivatives go to, and nothing goes
    through the computation of `solution`. `root` has as many equations as unknowns, in any nesting; `argmin` is one real
    number; `fixed_point` gives the nesting of y. For y of n numbers in all, derivatives of every order and both modes solve
    with one n x n matrix, the Jacobian of the condition (the Hessian of `argmin`).

    Derivatives are those of an exact solution: an error e in `solution` makes one of order e in them. Where the matrix is
    singular, y is not a function of theta, and the compiled function raises NumPy's `LinAlgError` (a single number: inf or
    nan). Raises `TypeError` unless there is one condition, `DTypeError` for a solution of ints, `ShapeError` for a condition
    that does not fit, `GradientError` for one that does not depend on y.

    Source: Blondel et al., Efficient and Modular Implicit Differentiation (NeurIPS 2022).

    >>> import symgraph as sg
    >>> a = sg.symbol("a")
    >>> y = implicit(sg.sqrt(a), root=lambda y: y * y - a)
    >>> sg.evaluate([y, sg.grad(y, a)], {a: 4.0})
    [np.float64(2.0), np.float64(0.25)]
    """
    given = {"root": root, "argmin": argmin, "fixed_point": fixed_point}
    conditions = {name: f for name, f in given.items() if f is not None}
    if len(conditions) != 1:
        raise TypeError(f"implicit takes one of root, argmin and fixed_point, not {' and '.join(conditions) or 'none'}")
    ((kind, condition),) = conditions.items()
    ys, restore = unknowns("implicit", solution)
    body, theta = traced("implicit", kind, condition, ys, restore)
    node = make(Implicit(body, len(ys), kind == "argmin"), *ys, *theta)
    return restore([make(Item(k), node) for k in range(len(ys))] if len(ys) > 1 else [node])


def unknowns(what: str, tree: Any) -> tuple[list[Tensor], Rebuild]:
    leaves, restore = flatten(tree)
    ys = [strong(as_tensor(leaf)) for leaf in leaves]
    if not ys:
        raise located_error(ShapeError, what, [], "there is no unknown: give at least one tensor")
    for y, path in zip(ys, paths(tree), strict=True):
        if isinstance(y.aval, tuple) or not is_inexact(y.dtype):
            rule = f"the unknown{path} is {describe(y)}. It must be real or complex: use .astype('float64')"
            raise located_error(DTypeError, what, [], rule)
    return ys, restore


def traced(
    what: str, kind: str, condition: Callable[[Any], Any], ys: Sequence[Tensor], restore: Rebuild
) -> tuple[Body, list[Tensor]]:
    """The equations F(y, theta) = 0 as a closed body over y and what is captured, and that."""
    symbols = [make_fresh(Symbol("y", ShapedArray(y.shape, y.dtype))) for y in ys]
    with recording() as made:
        outputs = _equations(what, kind, condition, symbols, restore)
    if not set(symbols) & set(toposort(outputs)):
        rule = f"the condition {kind} does not depend on its argument, so it determines nothing"
        raise located_error(GradientError, what, ys, rule)
    theta = captured(outputs, made, set(symbols))
    inside = [*symbols, *theta]
    bound = {x: make(Bound(i, x.shape, x.dtype)) for i, x in enumerate(inside)}
    return Body([x.aval for x in inside], substitute_all(outputs, bound)), theta


def _equations(
    what: str, kind: str, condition: Callable[[Any], Any], ys: Sequence[Tensor], restore: Rebuild
) -> list[Tensor]:
    result = condition(restore(ys))
    leaves = [strong(as_tensor(leaf)) for leaf in flatten(result)[0]]
    if kind == "argmin":
        if len(leaves) != 1 or leaves[0].ndim or leaves[0].dtype.kind != "f":
            rule = f"argmin must give one real number, not {', '.join(map(describe, leaves))}. Reduce it with sum"
            raise located_error(ShapeError, what, ys, rule)
        return list(grad(leaves[0], list(ys), unused="zero"))
    if any(not is_inexact(f.dtype) for f in leaves):
        rule = f"the condition {kind} gives {', '.join(map(describe, leaves))}. It must be real or complex"
        raise located_error(DTypeError, what, ys, rule)
    if kind == "fixed_point":
        if paths(result) != paths(restore(ys)) or any(
            not dims.same_shape(f.shape, y.shape) for f, y in zip(leaves, ys, strict=True)
        ):
            rule = f"fixed_point must give the nesting and the shapes of its argument, not {_shapes(leaves)}"
            raise located_error(ShapeError, what, ys, rule)
        return [f - y for f, y in zip(leaves, ys, strict=True)]
    equations, unknowns = sum(f.size for f in leaves), sum(y.size for y in ys)
    if not dims.same(equations, unknowns):
        rule = f"root gives {_shapes(leaves)}, {equations} equations for {unknowns} unknowns. There must be as many"
        raise located_error(ShapeError, what, ys, rule)
    return leaves


def _shapes(xs: Sequence[Tensor]) -> str:
    return ", ".join(format_shape(x.shape) for x in xs) or "nothing"
