"""Systems of equations with a banded matrix, solved in time linear in their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import dims
from ..core import Aval, ShapedArray, Tensor, make
from ..errors import ShapeError
from . import code
from .base import General
from .code import Code
from .late import F


@dataclass(frozen=True)
class SolveBanded(General):
    """x with A x = b; A has the first operands on its diagonals `offsets` (decreasing; 0 is the main one)."""

    offsets: tuple[int, ...]
    name = "solve_banded"

    def infer(self, *xs: ShapedArray) -> Aval:
        *bands, b = xs
        n = b.shape[0]
        for k, band in zip(self.offsets, bands, strict=True):
            try:
                dims.require_equal(band.shape[0], n - abs(k))
            except ShapeError:
                raise ShapeError(f"diagonal {k} has {band.shape[0]} values for {n} rows. Give n - |k|") from None
        return b

    @property
    def reach(self) -> tuple[int, int]:
        """How many diagonals lie below and above the main one."""
        return max(-self.offsets[-1], 0), max(self.offsets[0], 0)

    def statements(self, out: str, *xs: Code) -> list[str]:
        *bands, b = xs
        lower, upper = self.reach
        rows, n = code.local("bands"), b.aval.shape[0]
        lines = [f"{rows} = {code.call('np.zeros', (lower + upper + 1, n), dtype=b.aval.dtype)}"]
        for k, band in zip(self.offsets, bands, strict=True):
            place = f"{k}:" if k > 0 else f":{code.argument(n + k)}" if k < 0 else ":"
            lines.append(f"{rows}[{upper - k}, {place}] = {band}")
        both = code.call("scipy.linalg.solve_banded", (lower, upper), Code(rows), b, overwrite_ab=True)
        return [*lines, f"{out} = {both}"]

    def vjp(self, ct: Any, y: Tensor, *xs: Tensor) -> Sequence[Tensor | None]:
        *bands, _ = xs
        back = make(SolveBanded(tuple(-k for k in self.offsets[::-1])), *bands[::-1], ct)
        return [*[-_outer_diagonal(back, y, k) for k in self.offsets], back]

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, *xs: Tensor) -> Any:
        bands, right = xs[:-1], ts[-1]
        for k, t in zip(self.offsets, ts[:-1], strict=True):
            if t is not None:
                moved = _times_diagonal(t, y, k)
                right = -moved if right is None else right - moved
        return None if right is None else make(self, *bands, right)

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        lower, upper = self.reach
        return 2 * y.shape[0] * (lower + 1) * (upper + 1)


def _outer_diagonal(u: Tensor, v: Tensor, k: int) -> Tensor:
    """The k-th diagonal of outer(u, v)."""
    n = u.shape[0]
    return u[: n - k] * v[k:] if k > 0 else u[-k:] * v[: n + k] if k else u * v


def _times_diagonal(d: Tensor, v: Tensor, k: int) -> Tensor:
    """The product of a matrix that has `d` on its k-th diagonal with `v`."""
    if k == 0:
        return d * v
    n = v.shape[0]
    part = d * (v[k:] if k > 0 else v[: n + k])
    return F.zeros_like(v).at[slice(None, n - k) if k > 0 else slice(-k, None)].set(part)
