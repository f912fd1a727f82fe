"""Records of what sorts, and of the compositions that read order statistics, leave nan out and compare."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import make
from ..ops.base import as_tensor
from ..ops.late import F
from ..ops.sorting import MeanOfTies
from .ops import Record

A = np.array
INF, NAN = float("inf"), float("nan")
REAL = "?bBhiqQefd"
_rng = np.random.default_rng(22)


def _apart(*shape: int) -> Any:
    """Numbers no two of which are near each other, in no order."""
    size = int(np.prod(shape))
    return _rng.permutation(np.linspace(-1.4, 1.5, max(size, 1))[:size]).reshape(shape)


M, T, V = _apart(3, 4), _apart(2, 3, 2), _apart(5)
Z = _apart(2, 3) + 1j * _apart(2, 3)
_GAPS = A([[0.4, NAN, -1.1, 0.9], [NAN, 0.2, 0.7, NAN], [-0.3, 1.2, NAN, NAN]])
_ODD = A([[1.0, 2.0, 2.0, 1.0], [NAN, 1.0, INF, -INF], [0.0, -0.0, 0.0, NAN], [NAN] * 4])


def _record(name: str, covers: tuple[str, ...], samples: Any, **words: Any) -> Record:
    """A function under its name in NumPy, with options of its own among those of the record."""
    options = {k: words.pop(k) for k in ("order", "dtypes", "singular", "symbolic", "sizes") if k in words}
    text = ", ".join(f"{k}={v}" for k, v in words.items())
    ours: Callable[..., Any] = lambda *xs: getattr(F, name)(*xs, **words)

    def theirs(*xs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # among nothing but nan
            return getattr(np, name)(*xs, **words)

    return Record(f"{name}({text})", ours, samples, covers=covers, reference=theirs, **options)


SORTING = [
    _record("sort", ("sort",), [(M,), (V,), (T,), (Z,), (M[:0],), (M[:, :1],)], axis=-1, dtypes=REAL, singular=[(_ODD,)],
            symbolic=[("n", 4)]),
    _record("sort", ("sort",), [(M,), (T,), (M[:1],), (M[:, :0],)], axis=0, singular=[(_ODD,)], symbolic=[(3, "n")]),
    _record("sort", ("sort",), [(M,), (V,), (A(0.7),)], axis=None, kind="stable", symbolic=[("n", 4)]),
    _record("argsort", ("argsort",), [(M,), (V,), (T,), (M[:0],)], axis=-1, order=0, dtypes=REAL, singular=[(_ODD,)], symbolic=[("n", 4)]),
    _record("argsort", ("argsort",), [(M,), (T,), (_ODD[:1],)], axis=0, stable=True, order=0, symbolic=[(3, "n")]),
    Record("mean_of_ties", lambda u, y: make(MeanOfTies(), as_tensor(u), F.rint(y)),
           [(M, A([[0, 0, 1, 2], [3, 3, 3, 3], [3, 4, 5, 5]], float)), (V, A([1.0, 1, 2, 2, 2])), (V[:0], V[:0]), (V[:1], V[:1])],
           symbolic=[("n", 4), ("n", 4)],
           reference=lambda u, y: np.array([[v[r == s].mean() for s in r] for v, r in zip(np.atleast_2d(u), np.atleast_2d(np.rint(y)))])
           .reshape(u.shape)),
]  # fmt: skip

STATISTICS = [
    *[_record(name, ("sort",), [(M,), (T,), (V,)], axis=axis, singular=[(_ODD,)], symbolic=[("n", 4)],
              sizes=({"n": 5}, {"n": 1}), dtypes="?bBiefd" if axis is None else "")
      for name in ("median", "nanmedian") for axis in (None, 0, -1)],
    *[_record(name, ("sort",), [(M, A(q)), (V, A(q))], axis=axis, method=method, symbolic=[("n", 4), np.shape(q)],
              sizes=({"n": 5}, {"n": 1}))
      for name, q, axis, method in (("quantile", 0.37, None, "linear"), ("quantile", [0.1, 0.62], 0, "linear"),
                                    ("quantile", 0.55, -1, "lower"), ("percentile", [10.0, 44.0], -1, "midpoint"),
                                    ("nanquantile", 0.37, -1, "linear"), ("nanpercentile", 61.0, 0, "higher"))],
]  # fmt: skip

NANS = [
    *[_record(name, (covered,), [(_GAPS,), (M,), (_GAPS[0],)], axis=axis, singular=[(_ODD,)], symbolic=[(3, "n")],
              sizes=({"n": 4}, {"n": 2}))
      for name, covered in (("nansum", "sum"), ("nanprod", "prod"), ("nanmean", "sum"), ("nanvar", "sum"), ("nanstd", "norm"),
                            ("nanmax", "max"), ("nanmin", "min"), ("nancumsum", "cumsum"), ("nancumprod", "cumprod"))
      for axis in (None, 0) if not (name == "nanstd" and axis == 0)],
]  # fmt: skip

OTHERS = [
    _record("diff", ("subtract",), [(M,), (T,), (V,), (M[:1],), (M[:, :0],), (Z,)], n=2, axis=0, symbolic=[("n", 4)]),
    Record("diff with ends", lambda x, y: F.diff(x, 1, -1, y, 0.5), [(M, M[:, :2])], covers=("subtract",), symbolic=[("n", 4), ("n", 2)],
           reference=lambda x, y: np.diff(x, 1, -1, y, 0.5), float32=False),
    Record("trapezoid", lambda y, x: F.trapezoid(y, x, axis=0), [(M, V[:3]), (M, M + 1)], covers=("sum",),
           reference=lambda y, x: np.trapezoid(y, x, axis=0), symbolic=[("n", 4), ("n",)]),
    Record("select", lambda x, y: F.select([x > 0.5, x < 0], [x * x, F.sin(y)], x * y), [(M, M.T.copy().reshape(3, 4))], covers=("where",),
           reference=lambda x, y: np.select([x > 0.5, x < 0], [x * x, np.sin(y)], x * y), symbolic=[("n", 4), ("n", 4)]),
    Record("isclose", lambda x, y: F.isclose(x, y, equal_nan=True), [(M, M + 1e-9), (V, A(0.3)), (_ODD, _ODD + 1e-9)],
           covers=("less_equal",), reference=lambda x, y: np.isclose(x, y, equal_nan=True), order=0, dtypes="?Bifd"),
    Record("cumulative_prod", lambda x: F.cumulative_prod(x, axis=0, include_initial=True), [(M,), (M[:0],)], covers=("cumprod",),
           reference=lambda x: np.cumulative_prod(x, axis=0, include_initial=True), symbolic=[("n", 4)]),
]  # fmt: skip

ORDERS: list[Record] = [*SORTING, *STATISTICS, *NANS, *OTHERS]
