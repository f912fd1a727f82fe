"""What each op is in SymPy: elementwise ops as functions of expressions, others as functions of object arrays of them.

Ops that only move elements need no form of their own: they are run on the numbers of the elements.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import numpy as np

from .core import Constant, Item, Tensor
from .ops.assembly import Assembly
from .ops.checkpoint import PassThrough
from .ops.creation import Arange, Full
from .ops.cumulative import CumProd, CumSum
from .ops.diagonal import Diagonal, DiagonalMatrix, Eye, Triangle
from .ops.einsum import Einsum
from .ops.elementwise import Cast, ComplexAbs, Conjugate, Imag, Real, StopGradient, Where
from .ops.gather import Gather
from .ops.joining import Concatenate, Roll, Stack
from .ops.linalg import Determinant, Inverse, SignLogDet, Solve
from .ops.reduce import AllOf, AnyOf, Max, Min, Norm, Prod, Sum
from .ops.shape import BroadcastTo, Reshape, Transpose
from .ops.slices import Slice, SliceSet, Unslice
from .ops.softmax import LogSoftmax, LogSumExp, Softmax
from .ops.triangular import Half, SolveTriangular

Form = Callable[..., Any]


@cache
def elementwise_forms() -> dict[str, Form]:
    """By the name of the op, the SymPy expression of its operands."""
    import sympy as sp

    half = sp.Rational(1, 2)

    def maximum(x: Any, y: Any) -> Any:
        return sp.Piecewise((x, x >= y), (y, True))

    def minimum(x: Any, y: Any) -> Any:
        return sp.Piecewise((x, x <= y), (y, True))

    def trunc(x: Any) -> Any:
        return sp.sign(x) * sp.floor(sp.Abs(x))

    def heaviside(x: Any, h: Any) -> Any:
        return sp.Piecewise((0, x < 0), (h, sp.Eq(x, 0)), (1, True))

    def ndtr(x: Any) -> Any:
        return (1 + sp.erf(x / sp.sqrt(2))) / 2

    def zero_times(function: Form) -> Form:
        """x f(y), and 0 where x = 0."""
        return lambda x, y: x * function(y)

    named = {
        name: getattr(sp, name)
        for name in ("sign", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "erfc", "erfinv", "gamma",
                     "digamma", "polygamma", "floor", "sqrt")
    }  # fmt: skip
    return named | {
        "add": lambda x, y: x + y,
        "subtract": lambda x, y: x - y,
        "multiply": lambda x, y: x * y,
        "divide": lambda x, y: x / y,
        "floor_divide": lambda x, y: sp.floor(x / y),
        "remainder": lambda x, y: x - y * sp.floor(x / y),
        "fmod": lambda x, y: x - y * trunc(x / y),
        "power": lambda x, y: x**y,
        "negative": lambda x: -x,
        "positive": lambda x: x,
        "reciprocal": lambda x: 1 / x,
        "square": lambda x: x**2,
        "cbrt": lambda x: sp.sign(x) * sp.Abs(x) ** sp.Rational(1, 3),
        "absolute": sp.Abs,
        "copysign": lambda x, y: sp.Piecewise((sp.Abs(x), y >= 0), (-sp.Abs(x), True)),
        "hypot": lambda x, y: sp.sqrt(x**2 + y**2),
        "heaviside": heaviside,
        "ceil": sp.ceiling,
        "trunc": trunc,
        "deg2rad": lambda x: x * sp.pi / 180,
        "rad2deg": lambda x: x * 180 / sp.pi,
        "maximum": maximum,
        "minimum": minimum,
        "fmax": maximum,
        "fmin": minimum,
        "relu": lambda x: sp.Piecewise((x, x > 0), (0, True)),
        "exp2": lambda x: sp.Integer(2) ** x,
        "expm1": lambda x: sp.exp(x) - 1,
        "log2": lambda x: sp.log(x) / sp.log(2),
        "log10": lambda x: sp.log(x) / sp.log(10),
        "log1p": lambda x: sp.log(1 + x),
        "logaddexp": lambda x, y: sp.log(sp.exp(x) + sp.exp(y)),
        "logaddexp2": lambda x, y: sp.log(sp.Integer(2) ** x + sp.Integer(2) ** y) / sp.log(2),
        "arcsin": sp.asin,
        "arccos": sp.acos,
        "arctan": sp.atan,
        "arctan2": sp.atan2,
        "arcsinh": sp.asinh,
        "arccosh": sp.acosh,
        "arctanh": sp.atanh,
        "equal": sp.Eq,
        "not_equal": sp.Ne,
        "less": lambda x, y: x < y,
        "less_equal": lambda x, y: x <= y,
        "greater": lambda x, y: x > y,
        "greater_equal": lambda x, y: x >= y,
        "logical_and": sp.And,
        "logical_or": sp.Or,
        "logical_xor": sp.Xor,
        "logical_not": sp.Not,
        "sigmoid": lambda x: 1 / (1 + sp.exp(-x)),
        "softplus": lambda x: sp.log(1 + sp.exp(x)),
        "xlogy": zero_times(sp.log),
        "xlog1py": zero_times(lambda y: sp.log(1 + y)),
        "entr": lambda x: -x * sp.log(x),
        "erfcinv": lambda x: sp.erfinv(1 - x),
        "ndtr": ndtr,
        "ndtri": lambda x: sp.sqrt(2) * sp.erfinv(2 * x - 1),
        "log_ndtr": lambda x: sp.log(ndtr(x)),
        "gammaln": sp.loggamma,
        "i0": lambda x: sp.besseli(0, x),
        "i1": lambda x: sp.besseli(1, x),
        "j0": lambda x: sp.besselj(0, x),
        "j1": lambda x: sp.besselj(1, x),
        "iv": sp.besseli,
        "jv": sp.besselj,
        "spherical_jn": lambda n, x: sp.jn(n, x),
        "sinc": lambda x: sp.Piecewise((1, sp.Eq(x, 0)), (sp.sin(sp.pi * x) / (sp.pi * x), True)),
        "masked_multiply": lambda mask, a, b: sp.Piecewise((a * b, mask), (0, True)),
        "rint": lambda x: _rint(x, half),
    }


def _rint(x: Any, half: Any) -> Any:
    """To the nearest whole number, halves to the even one."""
    import sympy as sp

    low = sp.floor(x)
    even = 2 * sp.floor(low / 2)
    to_even = sp.Piecewise((low, sp.Eq(low, even)), (low + 1, True))
    return sp.Piecewise((low, x - low < half), (low + 1, x - low > half), (to_even, True))


def constants(value: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Any:
    """Numbers as SymPy numbers: whole ones exact, others as the floats that they are."""
    made = np.empty(shape, object)
    for place in np.ndindex(*shape):
        made[place] = number(value[place].item())
    return made


def number(value: Any) -> Any:
    """One number as a SymPy number."""
    import sympy as sp

    if isinstance(value, bool):
        return sp.true if value else sp.false
    if isinstance(value, int):
        return sp.Integer(value)
    if isinstance(value, complex):
        return number(value.real) + number(value.imag) * sp.I
    if np.isnan(value):
        return sp.nan
    if np.isinf(value):
        return sp.oo if value > 0 else -sp.oo
    return sp.Integer(int(value)) if value.is_integer() else sp.Float(value)


# Arrays --------------------------------------------------------------------------------------------------------------


def moved(node: Tensor, *xs: Any) -> Any:
    """An op that moves elements, run on their numbers; what comes from nowhere is 0. An index must be a constant."""
    import sympy as sp

    elements: list[Any] = [sp.Integer(0)]
    numbers: list[Any] = []
    index = isinstance(node.op, Gather)
    for i, (x, operand) in enumerate(zip(xs, node.inputs, strict=True)):
        if index and i > 0:
            if not isinstance(operand.op, Constant):
                return None
            numbers.append(operand.op.value)
            continue
        numbers.append(np.arange(len(elements), len(elements) + x.size, dtype=float).reshape(x.shape))
        elements += list(x.flat)
    places = np.asarray(node.op.evaluate(*numbers)).astype(int)  # type: ignore[attr-defined]
    made = np.empty(places.shape, object)
    for place in np.ndindex(*places.shape):
        made[place] = elements[places[place]]
    return made


def _reduced(combine: Form, empty: Any) -> Form:
    def form(node: Tensor, x: Any) -> Any:
        op: Any = node.op
        kept = [i for i in range(x.ndim) if i not in op.axis]
        rows = np.transpose(x, [*kept, *op.axis])
        made = np.empty(rows.shape[: len(kept)], object)
        for place in np.ndindex(*made.shape):
            made[place] = (
                reduce(combine, np.asarray(rows[place], object).flat, empty)
                if empty is not None
                else reduce(combine, np.asarray(rows[place], object).flat)
            )
        return np.expand_dims(made, op.axis) if getattr(op, "keepdims", False) else made

    return form


def _sum(node: Tensor, x: Any) -> Any:
    """The sum; a truth counts as 0 or 1."""
    import sympy as sp

    if node.inputs[0].dtype.kind == "b":
        x = np.frompyfunc(lambda e: sp.Piecewise((1, e), (0, True)), 1, 1)(x)
    return _reduced(lambda a, b: a + b, sp.Integer(0))(node, np.asarray(x, object))


def _einsum(node: Tensor, *xs: Any) -> Any:
    """The contraction, term by term."""
    import sympy as sp

    op: Any = node.op
    sizes: dict[int, int] = {}
    for labels, x in zip(op.operands, xs, strict=True):
        sizes |= dict(zip(labels, x.shape, strict=True))
    sizes |= {k: int(n) for k, n in enumerate(op.sizes, len(sizes))}
    outer = tuple(dict.fromkeys(op.output))
    inner = tuple(k for k in sizes if k not in outer)
    made = np.empty(tuple(sizes[k] for k in op.output), object)
    made[...] = sp.Integer(0)
    for place in np.ndindex(*[sizes[k] for k in outer]):
        at = dict(zip(outer, place, strict=True))
        terms = []
        for within in np.ndindex(*[sizes[k] for k in inner]):
            here = at | dict(zip(inner, within, strict=True))
            terms.append(
                sp.Mul(*[x[tuple(here[k] for k in labels)] for labels, x in zip(op.operands, xs, strict=True)])
            )
        made[tuple(at[k] for k in op.output)] = sp.Add(*terms)
    return made


def _matrix(function: Form) -> Form:
    """A function of a single square matrix."""

    def form(node: Tensor, x: Any, *rest: Any) -> Any:
        import sympy as sp

        if x.ndim != 2:
            return None
        made = function(sp.Matrix(*x.shape, list(x.flat)), *rest)
        return np.array(made.tolist(), object).reshape(made.shape) if hasattr(made, "tolist") else made

    return form


def _solved(a: Any, b: Any) -> Any:
    import sympy as sp

    columns = b.reshape(b.shape[0], -1)
    made = a.LUsolve(sp.Matrix(*columns.shape, list(columns.flat)))
    return np.array(made.tolist(), object).reshape(b.shape)


def _solve_triangular(node: Tensor, a: Any, b: Any) -> Any:
    op: Any = node.op
    part = np.tril(a, -1 if op.unit else 0) if op.below else np.triu(a, 1 if op.unit else 0)
    if op.unit:
        part = part + np.eye(len(a), dtype=int).astype(object)
    return _matrix(_solved)(node, part.T if op.transposed else part, b)


def _slogdet(x: Any) -> Any:
    import sympy as sp

    det = x.det()
    parts = np.empty((), object), np.empty((), object)
    parts[0][()], parts[1][()] = sp.sign(det), sp.log(sp.Abs(det))
    return parts


def _cast(node: Tensor, x: Any) -> Any:
    import sympy as sp

    given, made = node.inputs[0].dtype.kind, node.dtype.kind
    if given == "b" and made != "b":
        return np.frompyfunc(lambda e: sp.Piecewise((1, e), (0, True)), 1, 1)(x)
    if given in "fc" and made in "iu":
        return np.frompyfunc(elementwise_forms()["trunc"], 1, 1)(x)
    return x if made != "b" else np.frompyfunc(lambda e: sp.Ne(e, 0), 1, 1)(x)


def _exponentials(node: Tensor, x: Any) -> tuple[Any, Any]:
    """exp(x), and its sum over the axes, which are kept."""
    import sympy as sp

    e = np.frompyfunc(sp.exp, 1, 1)(np.asarray(x, object))
    total = np.asarray(np.sum(np.asarray(e, object), axis=node.op.axis, keepdims=True), object)  # type: ignore[attr-defined]
    return e, total


def _logsumexp(node: Tensor, x: Any) -> Any:
    import sympy as sp

    op: Any = node.op
    made = np.asarray(np.frompyfunc(sp.log, 1, 1)(_exponentials(node, x)[1]), object)
    return made if op.keepdims else made.reshape(tuple(n for n in node.shape if isinstance(n, int)))


def _softmax(node: Tensor, x: Any) -> Any:
    e, total = _exponentials(node, x)
    return e / total


def _log_softmax(node: Tensor, x: Any) -> Any:
    import sympy as sp

    return x - np.frompyfunc(sp.log, 1, 1)(_exponentials(node, x)[1])


def _norm(node: Tensor, x: Any) -> Any:
    import sympy as sp

    squares = _reduced(lambda a, b: a + b, sp.Integer(0))(node, np.asarray(x * x, object))
    return np.frompyfunc(sp.sqrt, 1, 1)(squares)


def _known(node: Tensor) -> Any:
    """An array that depends on nothing but its sizes."""
    shape = tuple(n for n in node.shape if isinstance(n, int))
    if len(shape) < node.ndim:
        return None
    return constants(np.asarray(node.op.evaluate()), shape)  # type: ignore[attr-defined]


@cache
def array_forms() -> dict[type, Form]:
    """By the class of the op, the function of object arrays; it returns None where SymPy has no form."""
    import sympy as sp

    forms = elementwise_forms()

    def apply(function: Form) -> Form:
        return lambda node, *xs: np.frompyfunc(function, len(xs), 1)(*xs)

    return {
        **dict.fromkeys(
            (Reshape, Transpose, BroadcastTo, Slice, Unslice, SliceSet, Concatenate, Stack, Roll, Diagonal, DiagonalMatrix,
             Triangle, Full, Gather), moved,
        ),
        **dict.fromkeys((StopGradient, PassThrough), lambda node, *xs: xs[0]),
        **dict.fromkeys((Eye, Arange), _known),
        Where: apply(lambda c, a, b: sp.Piecewise((a, c), (b, True))),
        Cast: _cast,
        Real: apply(sp.re),
        Imag: apply(sp.im),
        Conjugate: apply(sp.conjugate),
        ComplexAbs: apply(sp.Abs),
        Sum: _sum,
        Prod: _reduced(lambda a, b: a * b, sp.Integer(1)),
        Max: _reduced(forms["maximum"], None),
        Min: _reduced(forms["minimum"], None),
        AnyOf: _reduced(sp.Or, sp.false),
        AllOf: _reduced(sp.And, sp.true),
        Norm: _norm,
        LogSumExp: _logsumexp,
        Softmax: _softmax,
        LogSoftmax: _log_softmax,
        CumSum: lambda node, x: np.add.accumulate(x, axis=node.op.axis),
        CumProd: lambda node, x: np.multiply.accumulate(x, axis=node.op.axis),
        Einsum: _einsum,
        Assembly: lambda node, *xs: reduce(lambda a, b: a + b, xs[:-1]),
        Inverse: _matrix(lambda a: a.inv()),
        Determinant: _matrix(lambda a: a.det()),
        Solve: _matrix(_solved),
        SolveTriangular: _solve_triangular,
        Half: lambda node, x: (np.tril(x) + np.tril(x, -1)) / 2,
        SignLogDet: _matrix(_slogdet),
        Item: lambda node, x: x[node.op.index],
    }  # fmt: skip
