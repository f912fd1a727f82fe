"""The NumPy-named functions, and NumPy's own dispatch to them.

`np.exp(x)`, `np.sum(x, axis=0)`, `ndarray @ x` and SciPy's special ufuncs call the symgraph function of the same name when an
operand is a `Tensor`, so code written for NumPy builds graphs unchanged.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from . import dims
from .core import Tensor, describe
from .dims import Dim
from .ops import functions
from .ops.base import Elementwise
from .ops.late import F

FUNCTIONS, _late = functions()
F.provide(FUNCTIONS)
F.provide(_late)


def _by_function(module: ModuleType) -> dict[Any, Callable[..., Any]]:
    """NumPy's function objects mapped to ours of the same name."""
    table: dict[Any, Callable[..., Any]] = {}
    for name, function in FUNCTIONS.items():
        theirs = getattr(module, name, None)
        if callable(theirs) and not isinstance(theirs, type):
            table[theirs] = function
    return table


_numpy = _by_function(np)
_linalg = _by_function(np.linalg)

_REDUCTIONS = {
    np.add: "sum", np.multiply: "prod", np.maximum: "max", np.minimum: "min", np.logical_and: "all", np.logical_or: "any",
}  # fmt: skip


def _array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *args: Any, **options: Any) -> Any:
    if options.pop("out", None) is not None:
        raise TypeError(
            f"{ufunc.__name__} into out= with {describe(self)}: a tensor is not written into, nor an array with a tensor "
            "(x += tensor); write the result as a new expression"
        )
    if method == "reduce" and ufunc in _REDUCTIONS:
        options.setdefault("axis", 0)
        return FUNCTIONS[_REDUCTIONS[ufunc]](*args, **options)
    if method == "outer" and len(args) == 2:
        x, y = (FUNCTIONS["asarray"](a) for a in args)
        return _array_ufunc(self, ufunc, "__call__", x.reshape(*x.shape, *[1] * y.ndim), y, **options)
    function = _numpy.get(ufunc) or FUNCTIONS.get(ufunc.__name__)
    if method != "__call__" or function is None:
        text = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise TypeError(f"symgraph has no {text} for {describe(self)}; evaluate computes its value")
    dtype = options.pop("dtype", None)
    if options and isinstance(function, Elementwise):
        raise TypeError(
            f"{ufunc.__name__} of {describe(self)}: the option {next(iter(options))}= is not supported for tensors"
        )
    result = function(*args, **options)
    return result if dtype is None else result.astype(dtype)


def _array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    ours = _numpy.get(function) or _linalg.get(function)
    if ours is None:
        raise TypeError(
            f"{_spelled(function)} is not available for tensors such as {describe(self)}; "
            "write it with the functions symgraph has, or apply it to the value from evaluate"
        )
    return ours(*args, **options)


_SIZES: dict[np.ufunc, Callable[..., Any]] = {
    np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.floor_divide: operator.floordiv,
    np.remainder: operator.mod, np.power: operator.pow, np.equal: operator.eq, np.not_equal: operator.ne,
    np.less: operator.lt, np.less_equal: operator.le, np.greater: operator.gt, np.greater_equal: operator.ge,
    np.maximum: dims.maximum, np.minimum: dims.minimum,
}  # fmt: skip


def _size_ufunc(self: Dim, ufunc: np.ufunc, method: str, *args: Any, **options: Any) -> Any:
    """Of sizes and integers a size, such as np.int64(2) * n; of anything else a tensor, such as np.sqrt(n)."""
    if ufunc in _SIZES and method == "__call__" and not options:
        sizes = [operator.index(a) if isinstance(a, np.integer | np.ndarray) and _is_whole(a) else a for a in args]
        if all(isinstance(a, Dim | int) for a in sizes):
            return _SIZES[ufunc](*sizes)
    xs = [FUNCTIONS["dim_value"](a) if isinstance(a, Dim) else a for a in args]
    return _array_ufunc(next(x for x in xs if isinstance(x, Tensor)), ufunc, method, *xs, **options)


def _is_whole(a: np.integer | np.ndarray[Any, Any]) -> bool:
    return a.ndim == 0 and a.dtype.kind in "iu"


def _spelled(function: Any) -> str:
    """`np.linalg.svd`"""
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
Dim.__array_ufunc__ = _size_ufunc  # type: ignore[assignment]
