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

import numpy as np

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
from .ops import code
from .ops.base import Mask, Primitive, Pulled, as_tensor, cast_back, strong
from .ops.code import Code
from .ops.control import _unknown_sizes, captured
from .ops.custom import Transparent
from .ops.late import F
from .ops.work import body_flops
from .pytree import Rebuild, flatten, paths

__all__ = ["implicit", "root"]


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
        back = _solve(matrix if self.symmetric or not matrix.ndim else matrix.T, _joined(full))
        seeds = _split(-back, body.outputs)
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
        given = substitute_all(moved, {**at, **{u: ts[i] for u, i in zip(unknown, theta, strict=True)}})
        found = _split(-_solve(self._matrix(at), _joined(given)), body.inputs[: self.count])
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


def _solve(matrix: Tensor, b: Tensor) -> Tensor:
    found: Tensor = F.solve(matrix, b) if matrix.ndim else F.reshape(b, ()) / matrix
    return found


def _joined(xs: Sequence[Tensor]) -> Tensor:
    """The numbers of several tensors as one vector."""
    parts = [F.reshape(x, (x.size,)) for x in xs]
    return parts[0] if len(parts) == 1 else F.concatenate(parts, axis=0)


def _split(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
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
    ys, restore = _unknowns("implicit", solution)
    body, theta = _traced("implicit", kind, condition, ys, restore)
    node = make(Implicit(body, len(ys), kind == "argmin"), *ys, *theta)
    return restore([make(Item(k), node) for k in range(len(ys))] if len(ys) > 1 else [node])


def _unknowns(what: str, tree: Any) -> tuple[list[Tensor], Rebuild]:
    leaves, restore = flatten(tree)
    ys = [strong(as_tensor(leaf)) for leaf in leaves]
    if not ys:
        raise located_error(ShapeError, what, [], "there is no unknown: give at least one tensor")
    for y, path in zip(ys, paths(tree), strict=True):
        if isinstance(y.aval, tuple) or not is_inexact(y.dtype):
            rule = f"the unknown{path} is {describe(y)}. It must be real or complex: use .astype('float64')"
            raise located_error(DTypeError, what, [], rule)
    return ys, restore


def _traced(
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


# Newton's method -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Newton(Primitive):
    """`step(y, theta)` again and again until the last of its results, the relative length of the step, is at most `tol`.

    It has no derivative of its own: `root` gives it one by `implicit`.
    """

    step: Body
    count: int
    steps: int
    tol: float
    name = "newton"
    bodies = ("step",)

    def infer(self, *xs: ShapedArray) -> Aval:
        found = tuple(ShapedArray(x.shape, x.dtype) for x in xs[: self.count])
        return found if len(found) > 1 else found[0]

    def statements(self, out: str, *xs: Code) -> list[str]:
        moved, step = code.local("moved"), code.body(self.step)
        targets, state = (out, out) if self.count == 1 else (f"*{out}", f"*{out}")
        theta = "".join(f", {x.atom}" for x in xs[self.count :])
        return [
            f"{out} = {', '.join(xs[: self.count])}",
            f"for _ in range({self.steps}):",
            f"    {targets}, {moved} = {step}({state}{theta})",
            f"    if {moved} <= {self.tol!r}:",
            "        break",
            "else:",
            f"    raise RuntimeError({self._complaint!r})",
        ]

    @property
    def _complaint(self) -> str:
        return f"root: Newton's method did not converge in {self.steps} steps; start closer, or allow more steps"

    def evaluate(self, *values: Any) -> Any:
        ys, theta = list(values[: self.count]), values[self.count :]
        for _ in range(self.steps):
            *ys, moved = F.interpret(self.step.outputs, dict(zip(self.step.inputs, [*ys, *theta], strict=True)))
            if moved <= self.tol:
                return tuple(ys) if self.count > 1 else ys[0]
        raise RuntimeError(self._complaint)

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        return [None] * len(xs)

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        return None

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return min(self.steps, 5) * body_flops(self.step)  # it converges quadratically


def root(f: Callable[[Any], Any], y0: Any, *, steps: int = 50, tol: float | None = None) -> Any:
    """The y with f(y) = 0 near `y0`, by Newton's method: y - (df/dy)^-1 f(y), as a loop in the compiled source.

    `y0` is a real or complex tensor, a number or a nesting of them; `f` takes that nesting and gives as many equations as
    there are unknowns. The loop ends when a step is at most `tol` long relative to 1 + |y|; by default eps^(2/3), after
    which a quadratically convergent y has every digit. Derivatives with respect to what `f` uses from outside are those
    of `implicit`; with respect to `y0` they are zero.

    A call that does not converge in `steps` steps raises `RuntimeError`, as SciPy's solvers do, rather than give nan, which
    would be written into parameters by updates; a singular Jacobian raises NumPy's `LinAlgError`. Raises `ValueError` for
    `steps` or `tol` that are not positive, `DTypeError` for integers, `ShapeError` for equations that do not fit.

    Source: Nocedal and Wright, Numerical Optimization (2nd ed.), chapter 11.

    >>> import symgraph as sg
    >>> a = sg.symbol("a")
    >>> y = root(lambda y: y * y - a, 1.0)
    >>> sg.evaluate([y, sg.grad(y, a)], {a: 4.0})
    [np.float64(2.0), np.float64(0.25)]
    """
    count = int(steps)
    if count < 1 or count != steps:
        raise ValueError(f"steps={steps!r}: give a positive whole number")
    starts, restore = _unknowns("root", y0)
    eps = max(float(np.finfo(y.dtype).eps) for y in starts)
    limit = eps ** (2 / 3) if tol is None else float(tol)
    if not limit > 0:
        raise ValueError(f"tol={tol!r}: give a positive number")
    body, theta = _traced("root", "root", f, starts, restore)
    ys = body.inputs[: len(starts)]
    change = _split(_solve(jacobian_matrix(body.outputs, ys), _joined(body.outputs)), ys)
    new = [y - F.cast(d, y.dtype) for y, d in zip(ys, change, strict=True)]
    step = [*new, _length(change) / (1 + _length(new))]
    sizes = [F.broadcast_to(F.asarray(False), (size,)) for size in _unknown_sizes(step, [*starts, *theta])]
    op = Newton(Body([*body.avals, *[s.aval for s in sizes]], step), len(starts), count, limit)
    node = make(op, *starts, *theta, *sizes)
    found = restore([make(Item(k), node) for k in range(len(starts))] if len(starts) > 1 else [node])
    return implicit(found, root=f)


def _length(xs: Sequence[Tensor]) -> Tensor:
    """The Euclidean length of all the numbers together."""
    total: Any = sum(F.sum(F.square(F.absolute(x))) for x in xs)
    found: Tensor = F.sqrt(total)
    return found
