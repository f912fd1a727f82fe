"""The gradient through a Cholesky factor, where it is that of a log-determinant or of a quadratic form.

For A = L L^T, and a cotangent G of L, the cotangent of A is half(inv(L)^T M inv(L)), where the symmetric M has the lower
triangle of L^T G. Two forms of G make it what a person would write, and they are those of a Gaussian log-density:

    G = diag(c / diag(L))             M = c I          c inv(A)         of c * sum(log(diag(L)))
    G = c u v^T, u = inv(L)^T v       M = c v v^T      c u u^T          of c / 2 * |inv(L) b|**2, v = inv(L) b

A sum of cotangents is taken apart, and what has neither form keeps the two systems. `half` is linear, and stays outside.
Only where SciPy is, which has LAPACK's inverse from a factor; just before lowering, after everything is differentiated.
"""

from __future__ import annotations

from typing import NamedTuple

from ..core import Tensor, constant, make
from ..ops.base import Primitive
from ..ops.creation import Full
from ..ops.diagonal import Diagonal, DiagonalMatrix, Triangle
from ..ops.einsum import Einsum, contraction
from ..ops.factored import inv_from_cholesky
from ..ops.late import F
from ..ops.linalg import Cholesky, Solve
from ..ops.shape import BroadcastTo, Transpose
from ..ops.triangular import CholeskyGradient, SolveTriangular
from .factorizations import has_lapack
from .factors import number_of
from .pattern import NodeRule, RuleSet


class Term(NamedTuple):
    """`scale` * x, or scale * x.T if `turned`, where the scale has no axes; None is 1."""

    scale: Tensor | None
    x: Tensor
    turned: bool = False

    def times(self, c: Tensor | None) -> Term:
        if c is None or number_of(c) == 1:
            return self
        return self._replace(scale=c if self.scale is None else self.scale * c)

    def negated(self) -> Term:
        minus = constant(self.x.dtype.type(-1)) if self.scale is None else -self.scale
        return self._replace(scale=minus)

    @property
    def value(self) -> Tensor:
        x = self.x.T if self.turned else self.x
        return x if self.scale is None else self.scale * x


def _gradient(node: Tensor) -> Tensor | None:
    """The cotangent of A with what is known of its parts."""
    factor, g = node.inputs
    if not isinstance(factor.op, Cholesky) or node.ndim != 2 or not has_lapack():
        return None
    known: list[Tensor] = []
    rest: list[Tensor] = []
    for term in _terms(g):
        found = _logdet(term, factor) or _quadratic(term, factor)
        if found is None:
            rest.append(term.value)
        else:
            known.append(found.value)
    if not known:
        return None
    made = F.half(_sum(known))
    return made + F.cholesky_gradient(factor, _sum(rest)) if rest else made


def _sum(xs: list[Tensor]) -> Tensor:
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total


def _terms(g: Tensor) -> list[Term]:
    """The terms of which a cotangent is the sum, in order; of each only the lower triangle is read."""
    found: list[Term] = []
    left = [Term(None, g)]
    while left:
        term = left.pop()
        op, xs = term.x.op, term.x.inputs
        name = op.name if isinstance(op, Primitive) else ""
        if name in ("add", "subtract") and all(a.ndim == term.x.ndim for a in xs):
            second = term._replace(x=xs[1])
            left += [second if name == "add" else second.negated(), term._replace(x=xs[0])]
        elif isinstance(op, Transpose):
            left.append(term._replace(x=xs[0], turned=not term.turned))
        elif isinstance(op, Triangle) and op.part == ("triu" if term.turned else "tril") and op.k == 0:
            left.append(term._replace(x=xs[0]))
        elif (inner := _scaled(term.x)).x is not term.x:
            left.append(term._replace(x=inner.x).times(inner.scale))
        else:
            found.append(term)
    return found


def _scaled(x: Tensor) -> Term:
    """`x` as a number times something, also where the number stands on the right of a system."""
    scale: Tensor | None = None
    solved: list[Tensor] = []
    while True:
        op, xs = x.op, x.inputs
        name = op.name if isinstance(op, Primitive) else ""
        if name == "negative":
            scale, x = Term(scale, x).negated().scale, xs[0]
        elif name in ("multiply", "divide") and x.ndim and any(a.ndim == 0 for a in xs[name == "divide" :]):
            k = 1 if xs[1].ndim == 0 else 0
            factor = xs[k] if name == "multiply" else 1 / xs[1]
            scale, x = Term(factor, x).times(scale).scale, xs[1 - k]
        elif isinstance(op, Solve) and x.ndim == xs[1].ndim:
            solved.append(x)
            x = xs[1]
        else:
            break
    if scale is not None:
        for node in reversed(solved):
            x = make(node.op, node.inputs[0], x)
    elif solved:
        x = solved[0]
    return Term(scale, x)


def _logdet(term: Term, factor: Tensor) -> Term | None:
    """c * diag(1 / diag(L)) gives c * inv(A)."""
    if not isinstance(term.x.op, DiagonalMatrix) or term.x.op.offset:
        return None
    inner = _scaled(term.x.inputs[0])
    if not isinstance(inner.x.op, Primitive) or inner.x.op.name != "divide":
        return None
    top, below = _scaled(inner.x.inputs[0]), inner.x.inputs[1]
    if below.inputs and all(x is top.x for x in below.inputs) and below.op.name in ("multiply", "square"):
        top, below = top._replace(x=constant(top.x.dtype.type(1))), top.x  # d / (d * d), of log(d * d)
    if not isinstance(below.op, Diagonal) or below.op.offset or _untransposed(below.inputs[0])[0] is not factor:
        return None
    c = top.x.inputs[0] if isinstance(top.x.op, BroadcastTo | Full) else top.x
    if c.ndim:
        return None
    return Term(None, inv_from_cholesky(factor)).times(c).times(top.scale).times(inner.scale).times(term.scale)


def _quadratic(term: Term, factor: Tensor) -> Term | None:
    """c * u v^T with u = inv(L)^T v gives c * u u^T, for vectors and for matrices of several columns."""
    op, xs = term.x.op, term.x.inputs
    if not isinstance(op, Einsum) or len(xs) != 2 or xs[0].ndim != xs[1].ndim or op.has_delta or op.sizes:
        return None
    ends = [[label for label in labels if label in op.output] for labels in op.operands]
    inner = [[label for label in labels if label not in op.output] for labels in op.operands]
    if len(op.output) != 2 or sorted(ends) != sorted([label] for label in op.output) or inner[0] != inner[1]:
        return None
    k = ends.index([op.output[1 if term.turned else 0]])  # the operand that has the rows
    u, v = (_scaled(x) for x in (xs[k], xs[1 - k]))
    same_place = op.operands[k].index(ends[k][0]) == op.operands[1 - k].index(ends[1 - k][0])
    if not same_place or _under(u.x, factor, turned=u.x.ndim == 2 and op.operands[k][0] != ends[k][0]) is not v.x:
        return None
    square = contraction(op.operands, op.output, [u.x, u.x])
    return Term(None, square).times(u.scale).times(v.scale).times(term.scale)


def _under(x: Tensor, factor: Tensor, turned: bool) -> Tensor | None:
    """The v of which `x` is inv(L)^T v; None for a matrix that lies the other way."""
    if turned or not isinstance(x.op, Solve):
        return None
    a, v = x.inputs
    matrix, transposed = _untransposed(a)
    if isinstance(x.op, SolveTriangular):
        if x.op.unit or x.op.below == transposed:
            return None
        transposed = transposed != bool(x.op.transposed)
    return v if matrix is factor and transposed else None


def _untransposed(a: Tensor) -> tuple[Tensor, bool]:
    return (a.inputs[0], True) if isinstance(a.op, Transpose) else (a, False)


def _number_out(node: Tensor) -> Tensor | None:
    """solve(A, c * b) = c * solve(A, b): what is solved for is the same wherever the number is not."""
    a, b = node.inputs
    if not isinstance(b.op, Primitive) or b.op.name != "multiply" or b.ndim != node.ndim:
        return None
    for c, x in (b.inputs, b.inputs[::-1]):
        if c.ndim == 0 and x.ndim == b.ndim:
            return c * make(node.op, a, x)
    return None


DEFINITE = RuleSet(
    NodeRule(CholeskyGradient, _gradient, tag="rounding", name="gradient of a Gaussian log-density"),
    *[NodeRule(kind, _number_out, tag="rounding", name="number out of a system") for kind in (Solve, SolveTriangular)],
)
