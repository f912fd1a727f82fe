"""`root`: equations solved by Newton's method, as a loop in the compiled source, and differentiated implicitly."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .core import Aval, Body, Item, ShapedArray, Tensor, make
from .implicit import implicit, jacobian_matrix, joined, solve_with, split, traced, unknowns
from .ops import code
from .ops.base import Mask, Primitive, Pulled
from .ops.code import Code
from .ops.control import _unknown_sizes
from .ops.late import F
from .ops.work import body_flops

__all__ = ["root"]


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
    there are unknowns. The loop ends when a step is at most `tol` long relative to `1 + |y|`; by default eps^(2/3), after
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
    starts, restore = unknowns("root", y0)
    eps = max(float(np.finfo(y.dtype).eps) for y in starts)
    limit = eps ** (2 / 3) if tol is None else float(tol)
    if not limit > 0:
        raise ValueError(f"tol={tol!r}: give a positive number")
    body, theta = traced("root", "root", f, starts, restore)
    ys = body.inputs[: len(starts)]
    change = split(solve_with(jacobian_matrix(body.outputs, ys), joined(body.outputs)), ys)
    new = [y - F.cast(d, y.dtype) for y, d in zip(ys, change, strict=True)]
    step = [*new, _length(change) / (1 + _length(new))]
    sizes = [F.broadcast_to(F.asarray(False), (size,)) for size in _unknown_sizes(step, [*starts, *theta])]
    op = Newton(Body([*body.avals, *[s.aval for s in sizes]], step), len(starts), count, limit)
    node = make(op, *starts, *theta, *sizes)
    found = restore([make(Item(k), node) for k in range(len(starts))] if len(starts) > 1 else [node])
    return implicit(found, root=f)


def _length(xs: Sequence[Tensor]) -> Tensor:
    """The Euclidean length of all the numbers together."""
    if len(xs) == 1 and not xs[0].ndim:
        size: Tensor = F.absolute(xs[0])
        return size
    parts = [F.sum(F.square(F.absolute(x))) for x in xs]
    found: Tensor = F.sqrt(functools.reduce(operator.add, parts))
    return found
