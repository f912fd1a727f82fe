"""Truncated conjugate gradients: the step to the minimum of a quadratic model within a radius, from products alone.

    minimize over |p| <= radius    g.p + p.H.p / 2

Conjugate gradients need of H only its products with vectors. They stop at the boundary, along the first direction of
negative curvature as far as the boundary, or when the residual is small enough for the outer iteration to converge faster
than linearly.

Source: Steihaug, The conjugate gradient method and trust regions in large scale optimization (1983); Nocedal and Wright,
Numerical Optimization (2nd ed.), algorithm 7.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Aval, Body, Bound, Item, ShapedArray, Tensor, make, substitute_all, toposort
from ..errors import ShapeError
from .base import Primitive
from .code import Code, local
from .code import body as name_of
from .control import _unknown_sizes
from .late import F
from .work import body_flops

__all__: list[str] = []


@dataclass(frozen=True)
class TruncatedCG(Primitive):
    """(p, H p) from the gradient g (n,), the radius, and what the body `product`, v -> H v, uses besides v."""

    product: Body
    steps: int
    name = "truncated_cg"
    bodies = ("product",)

    def infer(self, g: ShapedArray, radius: ShapedArray, *theta: ShapedArray) -> Aval:
        if len(g.shape) != 1 or radius.shape or g.dtype.kind != "f" or g.dtype != radius.dtype:
            raise ShapeError(f"the gradient is {g} and the radius {radius}. Give a vector and a number of one dtype")
        found = ShapedArray(g.shape, g.dtype)
        return found, found

    def statements(self, out: str, g: Code, radius: Code, *theta: Code) -> list[str]:
        return self._lines(out, g, radius, theta, name_of(self.product))

    def _lines(self, out: str, g: str, radius: str, theta: Sequence[Code], product: str) -> list[str]:
        rest = "".join(f", {x.atom}" for x in theta)
        p, hp, r, d, hd = map(local, ("p", "hp", "r", "d", "hd"))
        rr, small, bend, dd, pd, far, inside = map(local, ("rr", "small", "bend", "dd", "pd", "far", "inside"))
        return [
            f"{p}, {hp}, {r} = np.zeros_like({g}), np.zeros_like({g}), {g}.copy()",
            f"{d}, {rr} = -{r}, {r} @ {r}",
            f"{small} = min(0.25, {rr}**0.5) * {rr}",  # (min(0.5, |g|^0.5) |g|)^2
            f"for _ in range({self.steps}):",
            f"    if not {rr} > {small}:",
            "        break",
            f"    {hd} = {product}({d}{rest})",
            f"    {bend}, {dd}, {pd} = {d} @ {hd}, {d} @ {d}, {p} @ {d}",
            f"    {far} = {rr} / {bend} if {bend} > 0 else np.inf",
            f"    {inside} = {p} @ {p} + {far} * (2 * {pd} + {far} * {dd}) < {radius}**2",  # |p + far d| < radius
            f"    if not {inside}:",
            f"        {far} = (max({pd}**2 + {dd} * ({radius}**2 - {p} @ {p}), 0)**0.5 - {pd}) / {dd}",
            f"    {p} += {far} * {d}",
            f"    {hp} += {far} * {hd}",
            f"    if not {inside}:",
            "        break",
            f"    {r} += {far} * {hd}",
            f"    {far}, {rr} = {rr}, {r} @ {r}",
            f"    {d} = {rr} / {far} * {d} - {r}",
            f"{out} = {p}, {hp}",
        ]

    def evaluate(self, *values: Any) -> Any:
        g, radius, *theta = map(np.asarray, values)
        names = [f"theta{i}" for i in range(len(theta))]

        def product(*operands: Any) -> Any:
            return F.interpret(self.product.outputs, dict(zip(self.product.inputs, operands, strict=True)))[0]

        lines = self._lines("out", "g", "radius", [Code(n) for n in names], "product")
        scope = {"np": np, "product": product, "g": g, "radius": radius, **dict(zip(names, theta, strict=True))}
        with np.errstate(all="ignore"):
            exec(compile("\n".join(lines), "<symgraph op>", "exec"), scope)
        return scope["out"]

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return min(self.steps, 10) * (body_flops(self.product) + 10 * xs[0].shape[0])


def truncated_cg(g: Tensor, radius: Tensor, v: Tensor, hv: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """(p, H p) for the minimum p of g.p + p.H.p / 2 within the radius; `hv` is H v for the symbol `v`, of the shape of g.

    What of `hv` does not depend on `v` is computed once, outside the loop.
    """
    outside = _independent(hv, v)
    inputs = [v, *outside]
    bound = {x: make(Bound(i, x.shape, x.dtype)) for i, x in enumerate(inputs)}
    product = substitute_all([hv], bound)
    sizes = [F.broadcast_to(F.asarray(False), (size,)) for size in _unknown_sizes(product, inputs)]
    op = TruncatedCG(Body([x.aval for x in [*inputs, *sizes]], product), steps)
    node = make(op, g, radius, *outside, *sizes)
    return make(Item(0), node), make(Item(1), node)


def _independent(y: Tensor, v: Tensor) -> list[Tensor]:
    """The largest parts of `y` that are made of leaves and not of `v`."""
    moving = {v}
    found: dict[Tensor, None] = {}
    for node in toposort([y]):
        if not any(x in moving for x in node.inputs):
            continue
        moving.add(node)
        for x in node.inputs:
            if x.leafy and x not in moving:
                found[x] = None
    if y not in moving and y.leafy:
        found[y] = None
    return list(found)
