"""The NumPy-named functions, and NumPy's own dispatch to them.

`np.exp(x)`, `np.sum(x, axis=0)`, `ndarray @ x` and SciPy's special ufuncs call the symgraph function of the same name when an
operand is a `Tensor`, so code written for NumPy builds graphs unchanged. What is called is known by the function object, never
by its name alone: `np.linalg.cond` is a number of a matrix and `symgraph.cond` a branch, and a ufunc that a user calls `relu`
is not `symgraph.relu`.
"""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from . import dims, linalg, special
from .core import Tensor, describe
from .dims import Dim
from .ops import functions
from .ops.base import Elementwise
from .ops.late import F
from .substitutes import VALUE, substitute_for

FUNCTIONS, _late = functions()
F.provide(FUNCTIONS)
F.provide(_late)


def _members(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {name: getattr(module, name) for name in module.__all__}


_NAMESPACES: tuple[tuple[ModuleType, Mapping[str, Callable[..., Any]]], ...] = (
    (np, FUNCTIONS),
    (np.linalg, _members(linalg)),
    (np.lib.stride_tricks, FUNCTIONS),
)
"""Namespaces of NumPy, each with those of our functions that mean there what NumPy's of the same name mean."""

PUBLIC: dict[str, Callable[..., Any]] = {
    **FUNCTIONS,
    **{f"linalg.{name}": function for name, function in _members(linalg).items()},
    **{f"special.{name}": function for name, function in _members(special).items()},
}
"""Our functions by what stands after `symgraph.`."""


def _by_function() -> dict[Any, Callable[..., Any]]:
    """NumPy's function objects mapped to ours."""
    table: dict[Any, Callable[..., Any]] = {np.around: FUNCTIONS["round"]}
    for theirs, ours in _NAMESPACES:
        for name, function in ours.items():
            found = getattr(theirs, name, None)
            if callable(found) and not isinstance(found, type):
                table[found] = function
    return table


_functions = _by_function()


def _of_scipy(ufunc: np.ufunc) -> Callable[..., Any] | None:
    """Our function for a ufunc of `scipy.special`, once the user has imported that."""
    name = ufunc.__name__
    theirs = getattr(sys.modules.get("scipy.special"), name, None)
    return FUNCTIONS.get(name) if theirs is ufunc else None


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
    function = _functions.get(ufunc) or _of_scipy(ufunc)
    if method != "__call__" or function is None:
        refuse(_spelled(ufunc) if method == "__call__" else f"{_spelled(ufunc)}.{method}", self)
    dtype = options.pop("dtype", None)
    if options and isinstance(function, Elementwise):
        raise TypeError(
            f"{ufunc.__name__} of {describe(self)}: the option {next(iter(options))}= is not supported for tensors"
        )
    result = function(*args, **options)
    return result if dtype is None else result.astype(dtype)


def _array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    ours = _functions.get(function)
    if ours is None:
        refuse(_spelled(function), self)
    try:
        return ours(*args, **options)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:  # from inside the function
            raise
        known = inspect.signature(ours).parameters.values()
        unknown = [name for name in options if name not in {p.name for p in known}]
        what = f"the option {unknown[0]}= is" if unknown else "these arguments are"
        raise TypeError(
            f"{_spelled(function)} of {describe(self)}: {what} not supported for tensors; "
            f"write {ours.__name__}({', '.join(str(p.replace(annotation=p.empty)) for p in known)}){_without(unknown)}"
        ) from None


_OPTIONS = {
    "where": "choose the elements first, with where(condition, x, value)",
    "initial": "join the result with the first value in an expression",
    "out": "the result is a new tensor",
    "dtype": "write .astype(dtype)",
}


def _without(options: Sequence[str]) -> str:
    return "".join(f"; in place of {name}=, {cure}" for name, cure in _OPTIONS.items() if name in options)


def refuse(what: str, x: Tensor) -> NoReturn:
    """Raise the `TypeError` of a function that tensors do not have, with what to write in its place."""
    instead = substitute_for(what, PUBLIC)
    raise TypeError(f"{what} is not available for tensors such as {describe(x)}: {instead}{instead and '; or '}{VALUE}")


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
    """`np.linalg.svd`, `np.gcd`; of a ufunc of others its own name."""
    if isinstance(function, np.ufunc):
        name: str = function.__name__
        return f"np.{name}" if name in vars(np) and vars(np)[name] is function else name
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
Dim.__array_ufunc__ = _size_ufunc  # type: ignore[assignment]
