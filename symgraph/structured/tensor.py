"""`Structured`: a Jacobian or Hessian that is a tensor of the graph and still knows what it is made of.

It can be used wherever a tensor can; its own methods answer from the terms: a product with a vector never makes the
matrix, a diagonal or a trace only what they need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core import Tensor, format_shape, located_error, make
from ..dims import Shape, require_equal, same, same_shape
from ..dtypes import DType, is_complex
from ..errors import DTypeError, GradientError, ShapeError
from ..ops.assembly import Assembly
from ..ops.base import as_tensor, cast
from ..ops.late import F
from .bands import as_bands
from .compose import on_diagonal, product
from .dense import dense
from .formula import formula
from .merge import merged
from .solve import solve
from .sparse import CSR, csr
from .term import NotStructuredError, Term, fresh


class Structured(Tensor):
    """A sum of terms `rows <- columns`; as a tensor, the array of shape `output shape + variable shape`."""

    __slots__ = ("_story", "_terms")
    _story: str
    _terms: tuple[Term, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms; of a copy made by `substitute`, `vmap` or from a pickle, its arrays as terms without structure."""
        try:
            return self._terms
        except AttributeError:
            return tuple(whole(x, self.row_shape) for x in self.inputs[:-1])

    @property
    def story(self) -> str:
        """How the structure was found: the mode, what others were estimated to take, the ops without a structured rule."""
        try:
            return self._story
        except AttributeError:
            return ""

    @property
    def row_shape(self) -> Shape:
        """The shape of what was differentiated."""
        return self.shape[: self._split]

    @property
    def column_shape(self) -> Shape:
        """The shape of the variable."""
        return self.shape[self._split :]

    def told(self, mode: str, costs: Mapping[str, float], dense_ops: Sequence[str]) -> Structured:
        """The same tensor with its story, unless it has one."""
        lines = [f"mode {mode}"]
        if len(costs) > 1:
            lines[0] += ", estimated: " + ", ".join(f"{m} {ns / 1e6:.3g} ms" for m, ns in costs.items())
        if dense_ops:
            lines.append(f"no structured rule for {', '.join(dense_ops)}: what passes through is dense")
        return self.retold("\n".join(lines))

    def retold(self, story: str) -> Structured:
        """The same tensor with this story, unless it has one."""
        if not self.story:
            object.__setattr__(self, "_story", story)
        return self

    @property
    def _split(self) -> int:
        rows: int = self.op.rows  # type: ignore[attr-defined]
        return rows

    @property
    def formula(self) -> str:
        """The terms as a sum of products of matrices, after the names of long factors."""
        return formula(self.terms)

    def __str__(self) -> str:
        return self.formula

    def dense(self) -> Tensor:
        """The array of shape `row_shape + column_shape`, as a plain tensor."""
        assert isinstance(self.op, Assembly)
        return self.op.lower(*self.inputs)

    def matvec(self, v: Any) -> Tensor:
        """The product with `v`, of the variable's shape, summed over all its axes; the result has `row_shape`."""
        return self._times(self.terms, v, self.column_shape, self.row_shape, "matvec")

    def rmatvec(self, v: Any) -> Tensor:
        """The product of the transpose with `v`, of the output's shape; the result has `column_shape`."""
        return self._times([t.T for t in self.terms], v, self.row_shape, self.column_shape, "rmatvec")

    def _times(self, terms: Sequence[Term], v: Any, given: Shape, result: Shape, name: str) -> Tensor:
        x = self._aligned(v, given, name)
        places, sizes = fresh(given)
        vector = Term((), places, (), sizes).times(x)
        found = []
        for term in terms:
            try:
                found.append(product(term, vector, given))
            except NotStructuredError:
                found.append(product(whole(dense(term, result, given, self.dtype), result), vector, given))
        return _total([dense(t, result, (), self.dtype) for t in found if t is not None], result, self.dtype)

    def _aligned(self, v: Any, shape: Shape, name: str) -> Tensor:
        x = as_tensor(v)
        try:
            if x.ndim != len(shape):
                raise ShapeError(f"{x.ndim} axes for {len(shape)}")
            for a, b in zip(x.shape, shape, strict=True):
                require_equal(a, b)
        except ShapeError as error:
            rule = f"the operand has the shape {format_shape(shape)} of the axes it meets ({error})"
            raise located_error(ShapeError, name, [self, x], rule) from None
        if is_complex(x.dtype) and not is_complex(self.dtype):
            raise located_error(
                DTypeError, name, [self, x], "a complex vector for a real derivative; take its real part"
            )
        return cast(x if same_shape(x.shape, shape) else F.broadcast_to(x, shape), self.dtype)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """The values at `[i, i]`, of the variable's shape; with other arguments, NumPy's `diagonal` of the array."""
        if (offset, axis1, axis2) != (0, 0, 1):
            return F.diagonal(self, offset, axis1, axis2)
        shape = self._square("diagonal")
        return _total([dense(t, shape, (), self.dtype) for t in self._on_diagonal()], shape, self.dtype)

    def trace(self) -> Tensor:
        """The sum of the values at `[i, i]`: of a Hessian, the Laplacian."""
        self._square("trace")
        return _total([dense(t.with_rows(()), (), (), self.dtype) for t in self._on_diagonal()], (), self.dtype)

    def _square(self, name: str) -> Shape:
        if not same_shape(self.row_shape, self.column_shape):
            rule = f"the axes of the output {self.row_shape} are not those of the variable {self.column_shape}"
            raise located_error(ShapeError, name, [self], rule)
        return self.row_shape

    def solve(self, b: Any) -> Tensor:
        """x with H x = b, summed over all axes of the variable; `b` and x have its shape.

        Uses the structure: diagonals, blocks, bands and diagonals plus low rank are solved without the array. A singular
        matrix raises `numpy.linalg.LinAlgError` when the function runs; a zero on a diagonal gives inf, as division does.
        A derivative that is zero for all values is refused with a `GradientError`.
        """
        shape = self._square("solve")
        if not self.terms and not any(same(n, 0) for n in shape):
            rule = "it is zero for all values, so that nothing solves it; is the function linear in the variable?"
            raise located_error(GradientError, "solve", [self], rule)
        if not self.terms:
            return F.zeros(shape, dtype=self.dtype)
        return solve(self.terms, shape, self._aligned(b, shape, "solve"), self.dtype)

    def csr(self) -> CSR:
        """The matrix of shape (output size, variable size) in compressed rows, its pattern computed now.

        A function of it returns a `scipy.sparse.csr_array`. Sizes must be ints (`ShapeError`).
        """
        return csr(self.terms, self.row_shape, self.column_shape, self.inputs[-1])

    def _on_diagonal(self) -> list[Term]:
        found = []
        for term, part in zip(self.terms, self.inputs, strict=False):
            try:
                made = on_diagonal(term, self.row_shape)
            except NotStructuredError:
                made = on_diagonal(whole(part, self.row_shape), self.row_shape)
            if made is not None:
                found.append(made)
        return found


Assembly.node_type = Structured


def assembled(terms: Sequence[Term], y: Shape, x: Shape, of: Tensor, dtype: DType | None = None) -> Structured:
    """The tensor of shape y + x that is the sum of the terms, a derivative `of` something and of its dtype."""
    dtype = dtype or of.dtype
    terms = merged([as_bands(t, y, x, dtype) for t in terms], dtype)
    parts = [dense(t, y, x, dtype) for t in terms] or [F.zeros((*y, *x), dtype=dtype)]
    node: Any = make(Assembly(len(y)), *[cast(p, dtype) for p in parts], of)
    if not hasattr(node, "_terms"):
        object.__setattr__(node, "_terms", tuple(terms))
    return node


def whole(x: Tensor, y: Shape) -> Term:
    """An array of shape y + x as a term without structure."""
    places, sizes = fresh(x.shape)
    return Term((), places, (), sizes).times(x).split(len(y))


def _total(parts: Sequence[Tensor], shape: Shape, dtype: DType) -> Tensor:
    total: Tensor | None = None
    for part in parts:
        total = part if total is None else total + part
    return F.zeros(shape, dtype=dtype) if total is None else total
