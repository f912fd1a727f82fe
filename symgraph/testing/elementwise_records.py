"""Records of the elementwise primitives: samples inside the domain of each, and its singular points.

Most elementwise ops are one line of a table: operands, singular operands, SymPy's name. The NumPy or SciPy function of the
same name is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.late import F
from .ops import Record

INF, NAN = float("inf"), float("nan")
A = np.array
EVERY_DTYPE = "?bBhiqQefdFD"
EDGES = A([0.0, -0.0, INF, -INF, NAN])


def _special(name: str) -> Callable[..., Any]:
    def reference(*xs: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*xs)

    return reference


def _elementwise(
    name: str,
    *operands: Any,
    singular: Sequence[Any] = (),
    sympy: str | None = None,
    reference: Callable[..., Any] | None = None,
    complex_at: Any = None,
    dtypes: str | None = None,
    **options: Any,
) -> Record:
    """Operands as vectors; the record adds a matrix with a size-1 axis, 0-d, empty and complex operands and a named axis."""
    vectors = tuple(np.asarray(o, float) for o in operands)
    samples: list[tuple[Any, ...]] = [vectors]
    if len(vectors) == 1:
        samples += [(vectors[0].reshape(1, -1),), (vectors[0][0],), (vectors[0][:0],)]
        named: list[Any] = [("n",)]
    else:
        first, *rest = vectors
        samples += [(first[:, None], *[r[None, :2] for r in rest]), (first[0], *rest), tuple(v[:0] for v in vectors)]
        samples += [(first, *[r[:1] for r in rest]), tuple(v[0] for v in vectors)]
        named = [("n", 1), *[(3,)] * len(rest)] if len(first) == 3 else [("n",)] * len(vectors)
        named = [("n",), *[("n",)] * len(rest)]
    if complex_at is not None:
        samples.append(tuple(np.asarray(c, complex) for c in (complex_at if len(vectors) > 1 else [complex_at])))
    points = [p if isinstance(p, tuple) else (p,) for p in singular]
    return Record(
        name,
        _function(name),
        samples,
        reference=reference or getattr(np, name, None) or _special(name),
        singular=points or [(EDGES,) * len(vectors)],
        symbolic=named,
        sympy=sympy,
        dtypes=(EVERY_DTYPE if len(vectors) == 1 else "?biefdF") if dtypes is None else dtypes,
        **options,
    )


def _function(name: str) -> Callable[..., Any]:
    return lambda *xs: getattr(F, name)(*xs)


_op = _elementwise
_ANY = A([-1.7, 0.4, 2.3])
_POSITIVE = A([0.2, 1.3, 3.1])
_UNIT = A([-0.7, 0.15, 0.6])
_OTHER = A([1.2, -0.6, 2.9])
_ALONG = A([-0.5, 1.7, 0.9])
_PAIRS = tuple(A(p) for p in zip(*[(x, y) for x in EDGES.tolist() for y in [*EDGES.tolist(), 1.0, -2.0]], strict=True))
_Z = A([0.3 + 0.7j, -1.2 + 0.4j])
_W = A([1.1 - 0.5j, 0.6 + 0.8j])
_NO_ORDER: dict[str, Any] = {"order": 0}


def _zero_at_zero(name: str) -> Callable[..., Any]:
    """SciPy's function, and 0 where x = 0, also for y = nan."""
    return lambda x, y: np.where(x == 0, x.dtype.type(0), _special(name)(x, y))


# fmt: off
ARITHMETIC = [
    _op("add",          _ANY, _OTHER, singular=[_PAIRS], sympy="x + y", complex_at=(_Z, _W)),
    _op("subtract",     _ANY, _OTHER, singular=[_PAIRS], sympy="x - y", complex_at=(_Z, _W)),
    _op("multiply",     _ANY, _OTHER, singular=[_PAIRS], sympy="x*y", complex_at=(_Z, _W)),
    _op("divide",       _ANY, _OTHER, singular=[_PAIRS], sympy="x/y", complex_at=(_Z, _W)),
    _op("floor_divide", _ANY, _OTHER, singular=[_PAIRS]),
    _op("remainder",    _ANY, _OTHER, singular=[_PAIRS]),
    _op("fmod",         _ANY, _OTHER, singular=[_PAIRS]),
    _op("power",        _POSITIVE, _OTHER, singular=[_PAIRS], sympy="x**y", complex_at=(_Z, _W), dtypes="?bifdF"),
    _op("negative",     _ANY, sympy="-x", complex_at=_Z),
    _op("positive",     _ANY, sympy="x", complex_at=_Z),
    _op("reciprocal",   _ANY, sympy="1/x", complex_at=_Z),
    _op("square",       _ANY, sympy="x**2", complex_at=_Z),
    _op("sqrt",         _POSITIVE, sympy="sqrt(x)", complex_at=_Z),
    _op("cbrt",         _ANY),
    _op("absolute",     _ANY, dtypes="?bBhiqQefd"),
    _op("sign",         _ANY, complex_at=None),
    _op("copysign",     _ANY, _OTHER, singular=[_PAIRS]),
    _op("hypot",        _ANY, _OTHER, singular=[_PAIRS], sympy="sqrt(x**2 + y**2)"),
    _op("heaviside",    _ANY, _OTHER, singular=[_PAIRS]),
    _op("floor",        _ANY),
    _op("ceil",         _ANY),
    _op("trunc",        _ANY),
    _op("rint",         _ANY),
    _op("deg2rad",      _ANY, sympy="x*pi/180"),
    _op("rad2deg",      _ANY, sympy="x*180/pi"),
    _op("maximum",      _ANY, _OTHER, singular=[_PAIRS]),
    _op("minimum",      _ANY, _OTHER, singular=[_PAIRS]),
    _op("fmax",         _ANY, _OTHER, singular=[_PAIRS]),
    _op("fmin",         _ANY, _OTHER, singular=[_PAIRS]),
]

TRANSCENDENTAL = [
    _op("exp",        _ANY, sympy="exp(x)", complex_at=_Z),
    _op("exp2",       _ANY, sympy="2**x", complex_at=_Z),
    _op("expm1",      _ANY, sympy="exp(x) - 1", complex_at=_Z),
    _op("log",        _POSITIVE, singular=[EDGES, A([-1.0])], sympy="log(x)", complex_at=_Z),
    _op("log2",       _POSITIVE, singular=[EDGES, A([-1.0])], sympy="log(x)/log(2)", complex_at=_Z),
    _op("log10",      _POSITIVE, singular=[EDGES, A([-1.0])], sympy="log(x)/log(10)", complex_at=_Z),
    _op("log1p",      _POSITIVE, singular=[EDGES, A([-1.0, -2.0])], sympy="log(1 + x)", complex_at=_Z),
    _op("logaddexp",  _ANY, _OTHER, singular=[_PAIRS], sympy="log(exp(x) + exp(y))"),
    _op("logaddexp2", _ANY, _OTHER, singular=[_PAIRS], sympy="log(2**x + 2**y)/log(2)"),
    _op("sin",        _ANY, sympy="sin(x)", complex_at=_Z),
    _op("cos",        _ANY, sympy="cos(x)", complex_at=_Z),
    _op("tan",        _ANY, sympy="tan(x)", complex_at=_Z),
    _op("arcsin",     _UNIT, singular=[EDGES, A([1.0, -1.0, 2.0])], sympy="asin(x)", complex_at=_Z),
    _op("arccos",     _UNIT, singular=[EDGES, A([1.0, -1.0, 2.0])], sympy="acos(x)", complex_at=_Z),
    _op("arctan",     _ANY, sympy="atan(x)", complex_at=_Z),
    _op("arctan2",    _ANY, _OTHER, singular=[_PAIRS], sympy="atan2(x, y)"),
    _op("sinh",       _ANY, sympy="sinh(x)", complex_at=_Z),
    _op("cosh",       _ANY, sympy="cosh(x)", complex_at=_Z),
    _op("tanh",       _ANY, sympy="tanh(x)", complex_at=_Z),
    _op("arcsinh",    _ANY, sympy="asinh(x)", complex_at=_Z),
    _op("arccosh",    _POSITIVE + 1, singular=[EDGES, A([1.0])], sympy="acosh(x)", complex_at=_Z),
    _op("arctanh",    _UNIT, singular=[EDGES, A([1.0, -1.0])], sympy="atanh(x)", complex_at=_Z),
]

LOGIC = [
    *[_op(name, A([1.0, 2.0, 2.0]), A([2.0, 2.0, 1.0]), singular=[_PAIRS], order=0)
      for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")],
    *[_op(name, A([1.0, -2.0, 0.5]), order=0) for name in ("isnan", "isinf", "isfinite", "signbit")],
    *[_op(name, A([1.0, 0.0, 2.0]), A([0.0, 0.0, 1.0]), singular=[_PAIRS], order=0)
      for name in ("logical_and", "logical_or", "logical_xor")],
    _op("logical_not", A([1.0, 0.0, -2.0]), order=0),
    *[Record(name, _function(name), [(A([True, True, False]), A([True, False, False])), (A([6, 5, 1]), A([3, 1, 2]))],
             reference=getattr(np, name), symbolic=[("n",), ("n",)], dtypes="?biqQfF", order=0)
      for name in ("bitwise_and", "bitwise_or", "bitwise_xor")],
    Record("invert", _function("invert"), [(A([True, False]),), (A([6, -5]),)], reference=np.invert, symbolic=[("n",)],
           dtypes="?biqQfF", order=0),
    *[Record(name, _function(name), [(A([6, 5, 1]), A([3, 1, 2]))], reference=getattr(np, name), symbolic=[("n",), ("n",)],
             dtypes="?biqfF", order=0)
      for name in ("left_shift", "right_shift")],
]

ACTIVATIONS = [
    _op("sigmoid",   _ANY, singular=[EDGES, A([800.0, -800.0])], reference=_special("expit"), sympy="1/(1 + exp(-x))", dtypes="fd"),
    _op("softplus",  _ANY, singular=[EDGES, A([800.0, -800.0])], reference=lambda x: np.logaddexp(x, x.dtype.type(0)), sympy="log(1 + exp(x))", dtypes="efd"),
    _op("relu",      _ANY, reference=lambda x: np.maximum(x, 0), dtypes="bifd"),
    _op("xlogy",     _ANY, _POSITIVE, singular=[_PAIRS], reference=_zero_at_zero("xlogy"), sympy="x*log(y)", dtypes="fd"),
    _op("xlog1py",   _ANY, _POSITIVE, singular=[_PAIRS], reference=_zero_at_zero("xlog1py"), sympy="x*log(1 + y)", dtypes="fd"),
    _op("entr",      _POSITIVE, sympy="-x*log(x)", dtypes="fd"),
    _op("erf",       _ANY, sympy="erf(x)", dtypes="fd"),
    _op("erfc",      _ANY, sympy="erfc(x)", dtypes="fd"),
    _op("erfinv",    _UNIT, singular=[EDGES, A([1.0, -1.0])], sympy="erfinv(x)", dtypes="fd"),
    _op("erfcinv",   _POSITIVE / 2, singular=[EDGES, A([2.0])], sympy="erfinv(1 - x)", dtypes="fd"),
    _op("ndtr",      _ANY, sympy="(1 + erf(x/sqrt(2)))/2", dtypes="fd"),
    _op("ndtri",     _POSITIVE / 4, singular=[EDGES, A([1.0])], sympy="sqrt(2)*erfinv(2*x - 1)", dtypes="fd"),
    _op("log_ndtr",  _ANY, singular=[EDGES, A([-40.0, 40.0])], sympy="log((1 + erf(x/sqrt(2)))/2)", dtypes="fd"),
    _op("gammaln",   _POSITIVE, singular=[EDGES, A([-1.0])], sympy="loggamma(x)", dtypes="fd"),
    _op("gamma",     _POSITIVE, singular=[EDGES, A([-1.0])], sympy="gamma(x)", dtypes="fd"),
    _op("digamma",   _POSITIVE, singular=[EDGES, A([-1.0])], sympy="digamma(x)", dtypes="fd"),
    _op("i0",        _ANY, singular=[EDGES], reference=_special("i0"), sympy="besseli(0, x)", dtypes="fd"),
    _op("i1",        _ANY, singular=[EDGES], sympy="besseli(1, x)", dtypes="fd"),
    _op("j0",        _ANY, singular=[EDGES], sympy="besselj(0, x)", dtypes="fd"),
    _op("j1",        _ANY, singular=[EDGES], sympy="besselj(1, x)", dtypes="fd"),
    Record("polygamma", lambda x: _function("polygamma")(2, x), [(_POSITIVE,), (_POSITIVE[:0],)],
           reference=lambda x: _special("polygamma")(2, x), symbolic=[("n",)], sympy="polygamma(2, x)", singular=[(EDGES,)]),
    *[Record(name, lambda x, name=name: _function(name)(2, x), [(_ANY,), (_ANY[:0],), (_ANY[0],)], symbolic=[("n",)],
             reference=lambda x, name=name: _special(name)(2, x), sympy=f"{bessel}(2, x)", singular=[(A([0.0, -0.0]),)])
      for name, bessel in (("iv", "besseli"), ("jv", "besselj"))],
    _op("sinc",      _ANY, singular=[EDGES, A([1e-9])], sympy="sin(pi*x)/(pi*x)", dtypes="fd"),
    *[Record(f"spherical_jn {n}", lambda x, n=n: F.spherical_jn(n, x), [(_ANY,), (_ANY[:0],), (_ANY[0],)], symbolic=[("n",)],
             covers=("spherical_jn",), reference=lambda x, n=n: _special("spherical_jn")(n, x), singular=[(A([0.0, -0.0]),)])
      for n in (0, 1, 2)],
]
# fmt: on

_MASK = A([True, False, True])


CHOOSING = [
    Record(
        "where",
        _function("where"),
        [(_MASK, _ANY, _OTHER), (_MASK, _ANY[:, None], A(2.0)), (A(True), _ANY, _OTHER), (_MASK[:0], _ANY[:0], A(1.0)),
         (_MASK[:2], _Z, _W)],
        reference=np.where,
        singular=[(_MASK, A([INF, NAN, 0.0]), A([NAN, INF, NAN]))],
        symbolic=[("n",), ("n",), ("n",)],
    ),
    Record(
        "masked_multiply",
        _function("masked_multiply"),
        [(_MASK, _ANY, _OTHER), (_MASK, _ANY, A(2.5)), (_MASK[:, None], _ANY, _OTHER), (_MASK[:0], _ANY[:0], A(1.0))],
        reference=lambda m, a, b: np.where(m, a * b, 0.0),
        singular=[(_MASK, A([0.0, NAN, INF]), A([INF, INF, 0.0]))],
        symbolic=[("n",), ("n",), ("n",)],
    ),
    Record("clip", _function("clip"), [(_ANY, A(-1.0), A(1.0)), (_ANY, _ANY - 0.5, A(2.0))],
           covers=("maximum", "minimum"), reference=np.clip, symbolic=[("n",), (), ()]),
    Record("stop_gradient", lambda x: F.stop_gradient(x) * x, [(_ANY,)], reference=lambda x: x * x, order=0),
]  # fmt: skip

TYPES = [
    Record("cast", lambda x: F.astype(x, "float32"), [(A([1, 2, 3]),), (_MASK,)], reference=lambda x: x.astype("f"), order=0),
    Record("cast to int", lambda x: F.astype(x, "int64"), [(_ANY,), (A(2.5),)], covers=("cast",), order=0, float32=False,
           reference=lambda x: x.astype("int64"), symbolic=[("n",)]),
    Record("cast to complex", lambda x: F.astype(x, "complex128"), [(_ANY,), (A(2.5),)], covers=("cast",), float32=False,
           reference=lambda x: x.astype("complex128"), symbolic=[("n",)]),
    Record("real", _function("real"), [(_Z,), (A(1 + 2j),), (_Z[:0],)], reference=np.real, symbolic=[("n",)]),
    Record("imag", _function("imag"), [(_Z,), (A(1 + 2j),), (_Z[:0],)], reference=np.imag, symbolic=[("n",)]),
    Record("conjugate", _function("conj"), [(_Z,), (A(1 + 2j),), (_Z[:0],)], reference=np.conj, symbolic=[("n",)]),
    Record("complex_abs", _function("absolute"), [(_Z,), (A(1 + 2j),), (_Z[:0],)], reference=np.abs, symbolic=[("n",)],
           singular=[(A([0j, complex(INF, 0), complex(NAN, 0)]),)]),
    Record("complex loss", lambda z, w: F.absolute(z * w + F.exp(z)) ** 2 + F.real(F.conj(z) * w), [(_Z, _W)],
           covers=("complex_abs", "real", "conjugate")),
]  # fmt: skip

ELEMENTWISE: list[Record] = [*ARITHMETIC, *TRANSCENDENTAL, *LOGIC, *ACTIVATIONS, *CHOOSING, *TYPES]
