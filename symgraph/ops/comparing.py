"""Comparing arrays up to rounding, and choosing between several: compositions of elementwise functions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from ..core import Tensor, constant, located_error
from ..dims import same
from ..dtypes import BOOL, is_inexact, promote
from ..errors import DTypeError, ShapeError
from .base import as_tensor, cast, promotion_type, strong
from .late import F

__all__ = ["isclose", "allclose", "array_equal", "select"]


def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether `|a - b| <= atol + rtol * |b|`, elementwise, or both are the same infinity; with `equal_nan` also both nan."""
    x, y = as_tensor(a), as_tensor(b)
    if not is_inexact(y.dtype):
        y = cast(y, promote(promotion_type(y), float))
    near = F.isfinite(y) & (F.absolute(x - y) <= atol + rtol * F.absolute(y)) | F.equal(x, y)
    return near | F.isnan(x) & F.isnan(y) if equal_nan and is_inexact(x.dtype) else near


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether all elements are close, as by `isclose`; one bool."""
    return F.all(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a: Any, b: Any, equal_nan: bool = False) -> Tensor:
    """Whether both have one shape and equal elements; one bool. With `equal_nan` a nan equals a nan.

    Raises `ShapeError` where it is not known while the graph is built whether the sizes agree.
    """
    x, y = strong(a), strong(b)
    if x.ndim != y.ndim or any(isinstance(m, int) and isinstance(n, int) and m != n for m, n in zip(x.shape, y.shape)):
        return constant(False)
    if not all(same(m, n) for m, n in zip(x.shape, y.shape)):
        rule = "whether the sizes agree is known only when the function is called. Give axes that agree the same name"
        raise located_error(ShapeError, "array_equal", [x, y], rule)
    equal = F.equal(x, y)
    if equal_nan and is_inexact(x.dtype) and is_inexact(y.dtype):
        equal = equal | F.isnan(x) & F.isnan(y)
    return F.all(equal)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """Each element from the choice whose condition is the first to hold there, `default` where none does.

    The conditions are boolean, and all broadcast together. The choices not taken receive exactly 0 of the derivative.
    Raises `ValueError` unless there are as many choices as conditions, and at least one.

    >>> from symgraph.core import symbol
    >>> x = symbol("x", "n")
    >>> select([x < 0, x > 1], [-x, x**2], default=x).shape
    (n,)
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        counts = f"{len(condlist)} conditions and {len(choicelist)} choices"
        raise ValueError(f"select: {counts}; give as many choices as conditions, and at least one")
    conditions, choices = [as_tensor(c) for c in condlist], [as_tensor(c) for c in (*choicelist, default)]
    for c in conditions:
        if c.dtype != BOOL:
            rule = f"a condition must be bool, not {c.dtype}. Compare it with something, such as != 0"
            raise located_error(DTypeError, "select", [c], rule)
    dtype = promote(*[promotion_type(c) for c in choices])
    first, *others = reversed([cast(c, dtype) for c in choices])
    pairs = zip(reversed(conditions), others, strict=True)
    return reduce(lambda rest, pair: F.where(*pair, rest), pairs, first)
