r"""Ops on whole arrays in mathematical notation: sums as products with ones, norms, transposes, inverses, determinants.

What has no notation of its own is written as the function that it is, \operatorname{name}(x).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..core import Body, Constant, Item, Tensor
from ..dims import Dim, Shape, same, same_shape
from ..ops.checkpoint import PassThrough
from ..ops.creation import Arange, DimValue, Full
from ..ops.diagonal import Diagonal, DiagonalMatrix, Eye
from ..ops.einsum import Einsum
from ..ops.elementwise import Cast, ComplexAbs, Conjugate, Imag, Real, StopGradient, Where
from ..ops.linalg import Cholesky, Determinant, Inverse, SignLogDet, Solve
from ..ops.reduce import Norm, OverAxes, Sum
from ..ops.shape import BroadcastTo, Reshape, Transpose
from ..ops.softmax import Rowwise
from ..ops.triangular import SolveTriangular
from . import names
from .broadcasting import ones, stretched
from .contractions import contraction, inner
from .elementwise import cases, truth
from .pieces import (
    ATOM,
    COMPARE,
    IDENTITY,
    INNER,
    ONES,
    POWER,
    PRODUCT,
    SUM,
    TOP,
    ZEROS,
    Piece,
    added,
    bracketed,
    diagonal,
    function,
    norm,
    operator,
    power,
    product,
    scaled,
)
from .places import PLACES

SMALL = 6
"""Constant arrays up to this many elements are spelled out."""


def array(node: Tensor, xs: Sequence[Piece], squares: Callable[[Tensor], tuple[Piece, Piece] | None]) -> Piece:
    """The formula of a node that is not elementwise; `squares` tells what a product that has no name is the product of."""
    op: Any = node.op
    for kind, rule in _RULES.items():
        if isinstance(op, kind):
            made = rule(node, *xs)
            if made is not None:
                return made
            break
    if isinstance(op, Sum):
        return _sum(node, xs[0], squares)
    return _generic(node, xs)


def _generic(node: Tensor, xs: Sequence[Piece]) -> Piece:
    op: Any = node.op
    title = "".join(c if c.isalnum() else "\\_" for c in op.name)
    options = [f"{names.name(n)} = {v}" for n, v in _options(op)]
    if node.inputs and shape_of(node.inputs[0]) and node.inputs[0].ndim == 1:
        options = [o for o in options if o != "\\mathrm{axis} = 0"]
    inside = ", ".join(x.text for x in xs[: len(xs) - op.mentions if op.mentions else None])
    return Piece(f"{operator(title)}{bracketed('; '.join(filter(None, [inside, ', '.join(options)])))}")


def _options(op: Any) -> list[tuple[str, str]]:
    """The whole numbers and sizes among the fields of an op."""
    if not is_dataclass(op):
        return []
    found = []
    for field in fields(op):
        value = getattr(op, field.name)
        if isinstance(value, Body) or value is None or isinstance(value, bool) or value == ():
            continue
        if isinstance(value, tuple) and all(isinstance(v, int | Dim) for v in value):
            found.append(
                (field.name, f"({', '.join(map(names.size, value))})" if len(value) > 1 else names.size(value[0]))
            )
        elif isinstance(value, int | Dim):
            found.append((field.name, names.size(value)))
    return found


# Sums ----------------------------------------------------------------------------------------------------------------


def _sum(node: Tensor, x: Piece, squares: Callable[[Tensor], tuple[Piece, Piece] | None]) -> Piece:
    factors = squares(node.inputs[0])
    shape, axis = node.inputs[0].shape, node.op.axis  # type: ignore[attr-defined]
    x, _ = truth((x, shape))
    inner_sum = node.inputs[0]
    if len(shape) == 1 and isinstance(inner_sum.op, Sum) and inner_sum.inputs[0].ndim == 2 and ONES.body in x.body:
        both = squares(inner_sum.inputs[0])
        if both:
            return _traced(*both)
    if len(shape) == 1:
        made = _inner(*factors) if factors else inner([ONES.turned, x])
    elif len(shape) == 2 and len(axis) == 2:
        made = _traced(*factors) if factors else inner([ONES.turned, x, ONES])
    elif len(shape) == 2 and node.op.keepdims:  # type: ignore[attr-defined]
        made = product([ONES.turned, x] if axis == (0,) else [x, ONES])
    elif len(shape) == 2:
        made = product([x.turned, ONES] if axis == (0,) else [x, ONES])
    else:
        letters = names_of(len(shape))
        summed = " ".join(letters[i] for i in axis)
        kept = " ".join(c for i, c in enumerate(letters) if i not in axis)
        text = f"\\sum_{{{summed}}} [{x.text}]_{{{' '.join(letters)}}}"
        made = Piece(f"\\left[{text}\\right]_{{{kept}}}") if kept else Piece(text, INNER - 1)
    return made


def names_of(count: int) -> str:
    """The first letters for indices."""
    return "ijklmnopqrstuvw"[:count]


def _inner(a: Piece, b: Piece) -> Piece:
    return _squared(a, "2") if a == b else inner([a.turned, b])


def _traced(a: Piece, b: Piece) -> Piece:
    if a == b:
        return _squared(a, "F")
    inside = product([a.turned, b])
    return Piece(f"{operator('tr')}{bracketed(inside.plain.text)}", ATOM, inside.negative, inside.scalars)


def _squared(x: Piece, kind: str) -> Piece:
    return power(norm(x, kind), "2")


def _norm(node: Tensor, x: Piece) -> Piece | None:
    shape = node.inputs[0].shape
    if len(node.op.axis) != len(shape) or len(shape) > 2:  # type: ignore[attr-defined]
        return None
    return norm(x, "2" if len(shape) == 1 else "F")


def _reduction(node: Tensor, x: Piece) -> Piece | None:
    """max, min, logsumexp, ...: with the axis only where it is not all of them."""
    op: Any = node.op
    if isinstance(op, Sum):
        return None
    title = {"max": "\\max", "min": "\\min"}.get(op.name) or operator(op.name.replace("_", "\\_"))
    if len(op.axis) < node.inputs[0].ndim:
        title += f"_{{{', '.join(map(str, op.axis))}}}"
    return function(title, x)


# Shapes --------------------------------------------------------------------------------------------------------------


def _transpose(node: Tensor, x: Piece) -> Piece | None:
    return x.turned if node.op.axes == (1, 0) else x if node.ndim < 2 else None  # type: ignore[attr-defined]


def _reshape(node: Tensor, x: Piece) -> Piece | None:
    """A vector as a column or a row, and back; otherwise None."""
    given, shape = node.inputs[0].shape, node.shape
    wide = [tuple(n for n in s if not same(n, 1)) for s in (given, shape)]
    if not same_shape(*wide):
        return None
    if len(wide[0]) == len(given) and len(given) == 1 and len(shape) == 2:
        return x if same(shape[1], 1) else x.turned
    if len(given) == 2 and len(shape) == 1:
        return x if same(given[1], 1) else x.turned
    if len(given) == len(shape) == 2:
        return x.turned
    return x if not wide[0] else None


def _broadcast(node: Tensor, x: Piece) -> Piece | None:
    return truth((stretched(x, node.inputs[0].shape, node.shape), node.shape))[0] if node.ndim < 3 else None


def _full(node: Tensor, x: Piece) -> Piece | None:
    if x.is_zero:
        return ZEROS
    return scaled(x, ones(node.shape)) if node.ndim < 3 else None


def _einsum(node: Tensor, *xs: Piece) -> Piece:
    op = node.op
    assert isinstance(op, Einsum)
    order = range(len(xs))[::-1] if node.flipped else range(len(xs))  # as the user wrote them
    return contraction([op.operands[i] for i in order], op.output, [xs[i] for i in order])


# Linear algebra ------------------------------------------------------------------------------------------------------


def _inverse(node: Tensor, x: Piece) -> Piece | None:
    if node.ndim != 2 or x.scalars or x.negative:
        return None
    row = Piece(f"{x.at(ATOM)}^{{-\\top}}", POWER)
    made = Piece(f"{x.at(ATOM)}^{{-1}}", POWER, row=row, symmetric=x.symmetric)
    return replace(made, row=replace(row, row=made))


def _solve(node: Tensor, a: Piece, b: Piece) -> Piece | None:
    if node.inputs[0].ndim != 2 or a.scalars or a.negative:
        return None
    turned = a.body.endswith(TOP)
    row = Piece(f"{a.at(ATOM)}^{{-\\top}}", POWER) if not turned else None
    inverse = Piece(f"{a.turned.at(ATOM)}^{{-\\top}}" if turned else f"{a.at(ATOM)}^{{-1}}", POWER, row=row)
    return product([inverse, b])


def _solve_triangular(node: Tensor, a: Piece, b: Piece) -> Piece | None:
    return _solve(node, a.turned if node.op.transposed else a, b)  # type: ignore[attr-defined]


def _item(node: Tensor, *xs: Piece) -> Piece | None:
    whole = node.inputs[0]
    if isinstance(whole.op, SignLogDet):
        inside = xs[0].body
        return Piece(f"\\log\\left|{inside}\\right|") if node.op.index == 1 else function(operator("sign"), xs[0])  # type: ignore[attr-defined]
    return Piece(f"{xs[0].at(ATOM)}_{{[{node.op.index}]}}")  # type: ignore[attr-defined]


def _cast(node: Tensor, x: Piece) -> Piece:
    if x.prec == COMPARE and node.dtype.kind != "b":
        return Piece(f"[{x.text}]")
    if node.dtype.kind in "iu" and node.inputs[0].dtype.kind in "fc":
        return function(operator("trunc"), x)
    return x


def _diagonal_matrix(node: Tensor, x: Piece) -> Piece | None:
    op: Any = node.op
    return diagonal(x) if op.offset == 0 and not op.stack and same(op.rows, op.columns) else None


def _where(node: Tensor, *xs: Piece) -> Piece:
    made = [(x, i.shape) for x, i in zip(xs, node.inputs, strict=True)]
    return cases(node.shape, *made)


_RULES: dict[type, Callable[..., Piece | None]] = {
    Einsum: _einsum,
    Where: _where,
    Cast: _cast,
    StopGradient: lambda node, x: x,
    PassThrough: lambda node, *xs: xs[0],
    Conjugate: lambda node, x: Piece(f"\\overline{{{x.text}}}"),
    Real: lambda node, x: function(operator("Re"), x),
    Imag: lambda node, x: function(operator("Im"), x),
    ComplexAbs: lambda node, x: Piece(f"\\left| {x.text} \\right|"),
    Norm: _norm,
    Rowwise: lambda node, x: _reduction(node, x),
    OverAxes: _reduction,
    Transpose: _transpose,
    Reshape: _reshape,
    BroadcastTo: _broadcast,
    Full: _full,
    **PLACES,
    Eye: lambda node: IDENTITY if node.op.k == 0 and same(node.op.rows, node.op.columns) else None,
    Diagonal: lambda node, x: (
        Piece(f"{operator('diag')}{bracketed(x.text)}") if node.op.offset == 0 and node.ndim == 1 else None
    ),
    DiagonalMatrix: _diagonal_matrix,
    Inverse: _inverse,
    SolveTriangular: _solve_triangular,  # before what it is a kind of
    Solve: _solve,
    Determinant: lambda node, x: function("\\det", x),
    SignLogDet: lambda node, x: function("\\det", x),
    Cholesky: lambda node, x: function(operator("chol"), x),
    Item: _item,
    DimValue: lambda node: Piece(
        names.size(node.op.dim), SUM if any(c in str(node.op.dim) for c in "+-%") else PRODUCT, symmetric=True
    ),
    Arange: lambda node: None,
}


# Constants -----------------------------------------------------------------------------------------------------------


def constant(node: Tensor) -> Piece:
    """A number, or an array of them: ones, zeros, the elements of a small one, or its shape."""
    op = node.op
    assert isinstance(op, Constant)
    value = op.value
    if value.ndim == 0:
        return number(value.item())
    if value.size and (value == value.flat[0]).all():
        first = number(value.flat[0].item())
        return ZEROS if first.is_zero else scaled(first, ones(value.shape))
    if 0 < value.size <= SMALL and value.ndim <= 2:
        rows = np.atleast_2d(value)
        lines = [" & ".join(number(v.item()).text for v in row) for row in rows]
        made = Piece("\\begin{pmatrix} " + " \\\\ ".join(lines) + " \\end{pmatrix}")
        if value.ndim == 2:
            return made
        return Piece(f"({', '.join(number(v.item()).text for v in value)})", row=None)
    size = " \\times ".join(map(str, value.shape))
    return Piece(f"\\mathrm{{constant}}_{{{size}}}")


def number(value: Any) -> Piece:
    r"""A numeral: \frac{1}{2} for 0.5, 10^{-5}, \pi, \infty."""
    if isinstance(value, bool):
        return Piece("\\mathrm{true}" if value else "\\mathrm{false}")
    if isinstance(value, complex):
        return _complex(_real(value.real), _real(value.imag))
    return _real(value)


def _complex(real: Piece, imag: Piece) -> Piece:
    if imag.is_zero:
        return real
    turn = replace(scaled(imag, Piece("\\mathrm{i}")), number=False)
    return turn if real.is_zero else Piece(f"({added(real, turn).text})")


def _real(value: float) -> Piece:
    if isinstance(value, float):
        if np.isnan(value):
            return Piece("\\mathrm{nan}")
        if np.isinf(value):
            return Piece("\\infty", negative=value < 0)
        if abs(value) in _TURNS:
            return Piece(_TURNS[abs(value)], PRODUCT, value < 0)
        ratio = Fraction(value).limit_denominator(LARGEST) if np.isfinite(value) else Fraction(0)
        if ratio.denominator in _DENOMINATORS and float(ratio) == value:
            above, below = abs(ratio.numerator), ratio.denominator
            parts = Piece(str(above), number=True), Piece(str(below), number=True)
            return Piece(f"\\frac{{{above}}}{{{below}}}", PRODUCT, value < 0, number=True, over=parts)
    negative, size = value < 0, abs(value)
    text = repr(size)
    if isinstance(size, float):
        text = str(int(size)) if size.is_integer() and size < 1e6 else text
    if "e" in text:
        digits, _, exponent = text.partition("e")
        tens = f"10^{{{int(exponent)}}}"
        return Piece(tens if digits in ("1", "1.0") else f"{digits} \\cdot {tens}", PRODUCT, negative, number=True)
    return Piece(text, negative=negative, number=True)


_TURNS = {np.pi: "\\pi", 2 * np.pi: "2 \\pi", np.pi / 2: "\\frac{\\pi}{2}"}
_DENOMINATORS = {2, 3, 4, 6, 7, 8, 9, 12, 24, 120, 720}
"""Numbers with these below the line are written as fractions, others as decimals."""
LARGEST = 720


def shape_of(x: Tensor) -> Shape:
    """The shape of a node with one output."""
    return x.shape if not isinstance(x.aval, tuple) else ()
