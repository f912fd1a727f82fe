"""The Gram matrix with weights of both signs, as two symmetric products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core import ShapedArray, Tensor
from ..dims import prod, require_equal
from . import code
from .base import General
from .code import Code
from .late import F


@dataclass(frozen=True)
class WeightedGram(General):
    """x.T @ diag(w) @ x for a matrix x and a vector w.

    Rows of positive and of other weight are scaled by the root of their size: p.T @ p - q.T @ q. BLAS computes half of each
    of these products (SYRK), which together is half of the product as it is written.
    """

    name = "weighted_gram"

    def infer(self, x: ShapedArray, w: ShapedArray) -> ShapedArray:
        require_equal(x.shape[0], w.shape[0])
        return ShapedArray((x.shape[1], x.shape[1]), x.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        lines, p, q = self._parts(*xs)
        return [*lines, f"{out} = {p}.T @ {p} - {q}.T @ {q}"]

    def into(self, out: str, *xs: Code) -> list[str]:
        lines, p, q = self._parts(*xs)
        return [*lines, f"np.dot({p}.T, {p}, out={out})", f"{out} -= {q}.T @ {q}"]

    def _parts(self, x: Code, w: Code) -> tuple[list[str], str, str]:
        """The statements that put the rows of positive weight first and scale them, and both parts of them."""
        down, order, rows, k = (code.local(name) for name in ("down", "order", "rows", "k"))
        lines = [
            f"{down} = ~({w} > 0)",
            f'{order} = np.argsort({down}, kind="stable")',
            f"{rows} = {x.atom}.take({order}, 0)",
            f"{rows} *= np.sqrt(np.abs({w.atom}[{order}]))[:, None]",
            f"{k} = len({rows}) - np.count_nonzero({down})",
        ]
        return lines, f"{rows}[:{k}]", f"{rows}[{k}:]"

    def vjp(self, ct: Any, y: Tensor, x: Tensor, w: Tensor) -> Sequence[Tensor | None]:
        both = x @ (ct + ct.T)
        return [both * F.expand_dims(w, 1), F.sum((x @ ct) * x, axis=1)]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, x: Tensor, w: Tensor) -> Any:
        tx, tw = ts
        total: Tensor | None = None
        if tx is not None:
            half = (x * F.expand_dims(w, 1)).T @ tx
            total = half + half.T
        if tw is not None:
            moved = (x * F.expand_dims(tw, 1)).T @ x
            total = moved if total is None else total + moved
        return total

    def cost(self, y: Any, x: ShapedArray, w: ShapedArray) -> Any:
        return prod(x.shape) * (x.shape[1] + 2)
