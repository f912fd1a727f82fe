"""Parts of matrices: the identity, triangles and diagonals.

`diagonal` reads a diagonal of every matrix of a stack and `diag` of a vector writes one; each is the transpose of the
other. Keeping a triangle is its own transpose.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core import ShapedArray, Tensor, as_shape, located_error, make
from ..dims import Size, maximum, minimum, require_equal, same
from ..dtypes import BOOL, FLOAT64, DType, as_dtype
from ..errors import ShapeError
from . import bits, code
from .base import Linear, Mask, Primitive, Pulled, as_tensor, axis_of, cast
from .code import Code
from .late import F

__all__ = ["eye", "identity", "tri", "triu", "tril", "diag", "diagflat", "diagonal"]


@dataclass(frozen=True)
class Eye(Primitive):
    """1 on a diagonal and 0 elsewhere."""

    rows: Size
    columns: Size
    k: int
    dtype: DType
    name = "eye"

    def infer(self) -> ShapedArray:
        return ShapedArray((self.rows, self.columns), self.dtype)

    def numpy(self) -> Code:
        square = self.rows is self.columns or code.size(self.rows) == code.size(self.columns)
        sizes = [self.rows] if square else [self.rows, self.columns]
        return code.call("np.eye", *sizes, k=self.k or None, dtype=None if self.dtype == FLOAT64 else self.dtype)

    def into(self, out: str, *xs: Code) -> list[str]:
        return [f"{out}.fill(0)", f"{_places(out, self.k, self.rows, self.columns)} = 1"]

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        return []

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> None:
        return None

    def nonnegative(self, *known: bool) -> bool:
        return True

    def bounded(self, *known: bool) -> bool:
        return True


def eye(N: Any, M: Any = None, k: int = 0, dtype: Any = float) -> Tensor:
    """The (N, M) matrix with ones on the k-th diagonal; square without M."""
    rows, columns = as_shape((N, N if M is None else M))
    return make(Eye(rows, columns, operator.index(k), as_dtype(dtype)))


def identity(n: Any, dtype: Any = float) -> Tensor:
    """The (n, n) identity matrix."""
    return eye(n, dtype=dtype)


# Triangles -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Triangle(Linear):
    """Each matrix of a stack with zeros on one side of its k-th diagonal; `part` is triu or tril."""

    part: str
    k: int
    inplace = True

    @property
    def name(self) -> str:
        return self.part

    def infer(self, x: ShapedArray) -> ShapedArray:
        if x.ndim < 2:
            raise ShapeError(f"a matrix has two axes, not {x.ndim}. Give a matrix or a stack of them")
        return ShapedArray(x.shape, x.dtype)

    def numpy(self, x: Code) -> Code:
        return code.call(f"np.{self.part}", x, k=self.k or None)

    def into(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        rows, columns = x.aval.shape[-2:]
        below = code.call("np.arange", *[self.k, rows + self.k] if self.k else [rows])
        mask = code.infix(
            "<=" if self.part == "triu" else ">=", Code(f"{below}[:, None]"), code.call("np.arange", columns)
        )
        return bits.keep(out, Code(f"({mask})", aval=ShapedArray((rows, columns), BOOL)), x, x.aval.dtype)

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return make(self, ct)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        return make(self, F.moveaxis(x, axes[0], 0)), 0


def triu(x: Any, k: int = 0) -> Tensor:
    """`x` with zeros below its k-th diagonal, for every matrix of a stack. A vector stands for that row repeated."""
    return _triangle("triu", x, k)


def tril(x: Any, k: int = 0) -> Tensor:
    """`x` with zeros above its k-th diagonal, for every matrix of a stack. A vector stands for that row repeated."""
    return _triangle("tril", x, k)


def _triangle(part: str, x: Any, k: int) -> Tensor:
    x = as_tensor(x)
    if x.ndim == 1:
        x = F.broadcast_to(x, (x.shape[0], x.shape[0]))
    return make(Triangle(part, operator.index(k)), cast(x, x.dtype))


def tri(N: Any, M: Any = None, k: int = 0, dtype: Any = float) -> Tensor:
    """The (N, M) matrix with ones on and below the k-th diagonal."""
    return tril(F.ones((N, N if M is None else M), dtype), k)


# Diagonals -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Diagonal(Linear):
    """The diagonal x[..., i, i + offset] of the last two axes."""

    offset: int
    name = "diagonal"
    is_view = True
    readonly = True

    def infer(self, x: ShapedArray) -> ShapedArray:
        if x.ndim < 2:
            raise ShapeError(f"a matrix has two axes, not {x.ndim}. Give a matrix or a stack of them")
        return ShapedArray((*x.shape[:-2], _length(x.shape[-2], x.shape[-1], self.offset)), x.dtype)

    def numpy(self, x: Code) -> Code:
        last = {} if x.aval is not None and x.aval.ndim == 2 else {"axis1": -2, "axis2": -1}
        return code.method(x, "diagonal", *[self.offset] if self.offset else [], **last)

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return make(DiagonalMatrix(self.offset, x.shape[-2], x.shape[-1], x.ndim - 2), ct)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        return make(self, F.moveaxis(x, axes[0], 0)), 0

    def cost(self, y: Any, *xs: ShapedArray) -> int:
        return 0


@dataclass(frozen=True)
class DiagonalMatrix(Linear):
    """Matrices of zeros with x along a diagonal: the transpose of `Diagonal`; `stack` counts the axes before theirs."""

    offset: int
    rows: Size
    columns: Size
    stack: int = 0
    name = "diag"
    mostly_zeros = True

    @property
    def assigned(self) -> tuple[int, ...]:
        return () if self.stack else (0,)

    def infer(self, x: ShapedArray) -> ShapedArray:
        if x.ndim != self.stack + 1:
            raise ShapeError(f"the diagonals have {self.stack + 1} axes, not {x.ndim}. Give a vector for each matrix")
        length = _length(self.rows, self.columns, self.offset)
        try:
            require_equal(length, x.shape[-1])
        except ShapeError:
            matrix = f"a ({self.rows}, {self.columns}) matrix"
            raise ShapeError(
                f"diagonal {self.offset} of {matrix} has {length} values, not {x.shape[-1]}. Give as many"
            ) from None
        return ShapedArray((*x.shape[:-1], self.rows, self.columns), x.dtype)

    def statements(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        shape = (*x.aval.shape[: self.stack], self.rows, self.columns)
        down, right = max(-self.offset, 0), max(self.offset, 0)
        n = _length(self.rows, self.columns, self.offset)
        i, j = (code.call("np.arange", *[a, n + a] if a else [n]) for a in (down, right))
        lead = "..., " if self.stack else ""
        dtype = None if x.aval.dtype == FLOAT64 else x.aval.dtype
        return [f"{out} = {code.call('np.zeros', shape, dtype=dtype)}", f"{out}[{lead}{i}, {j}] = {x}"]

    def into(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        return [f"{out}.fill(0)", f"{self._written(out)} = {x}"]

    def add_into(self, out: str, *xs: Code) -> list[str]:
        (x,) = xs
        return [f"{self._written(out)} += {x}"]

    def _written(self, out: str) -> str:
        """The diagonals, as something that can be written."""
        if not self.stack:
            return _places(out, self.offset, self.rows, self.columns)
        n = _length(self.rows, self.columns, self.offset)
        i, j = (slice(a, a + n) for a in (max(-self.offset, 0), max(self.offset, 0)))
        return f'np.einsum("...ii->...i", {out}[..., {code.argument(i)}, {code.argument(j)}])[...]'

    def transpose(self, ct: Tensor, x: Tensor) -> Tensor:
        return make(Diagonal(self.offset), ct)

    def batch(self, axes: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        return make(replace(self, stack=self.stack + 1), F.moveaxis(x, axes[0], 0)), 0


def _places(out: str, k: int, rows: Size, columns: Size) -> str:
    """The k-th diagonal of a C-contiguous matrix, as something that can be written: every (columns + 1)-th element."""
    if k or not same(rows, columns):
        stop = maximum(columns - k, 0) if k > 0 else columns - k
        out = f"{out}[{code.argument(slice(max(-k, 0) or None, stop))}]"
    return f"{out}.ravel()[{max(k, 0) or ''}::{code.argument(columns + 1)}]"


def _length(rows: Size, columns: Size, offset: int) -> Size:
    return maximum(minimum(rows + min(offset, 0), columns - max(offset, 0)), 0)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """y[..., i] = x[..., i, i + offset] over `axis1` and `axis2`; the diagonal is the last axis of the result."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise located_error(ShapeError, "diagonal", [x], f"a matrix has two axes, not {x.ndim}. Give a matrix")
    a, b = axis_of(axis1, x.ndim, "axis1"), axis_of(axis2, x.ndim, "axis2")
    if a == b:
        raise located_error(ShapeError, "diagonal", [x], f"axis1 and axis2 are both {a}. Name two axes")
    return make(Diagonal(operator.index(offset)), F.moveaxis(x, (a, b), (-2, -1)))


def diag(x: Any, k: int = 0) -> Tensor:
    """A vector becomes a square matrix with it on the k-th diagonal; of a matrix, the k-th diagonal is read."""
    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        rule = f"x must be a vector or a matrix, not have {x.ndim} axes. Use diagonal for a stack of matrices"
        raise located_error(ShapeError, "diag", [x], rule)
    size = x.shape[0] + abs(operator.index(k))
    return make(DiagonalMatrix(operator.index(k), size, size), x)


def diagflat(x: Any, k: int = 0) -> Tensor:
    """A square matrix with all values of `x` on its k-th diagonal."""
    return diag(F.ravel(x), k)
