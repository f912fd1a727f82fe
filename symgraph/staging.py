"""Callables that compile themselves for the arrays they are called with, once for each signature.

A signature is the nesting of the arguments, the shapes and dtypes of arrays and numbers, and the values of what is static.
"""

from __future__ import annotations

import functools
import inspect
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .core import Symbol, Tensor, describe, symbol, toposort
from .errors import CompileError
from .function import Function, function
from .ops.base import as_tensor, strong
from .pytree import flatten, paths
from .tracing import fresh, is_value, name_of_function

MOST_KEPT = 64
"""Signatures whose compiled functions one transformed function keeps; the least recently used goes first."""


class Transformed:
    """A transformed callable: called with arrays it compiles and runs, called with tensors it builds the graph.

    Arrays and numbers given by position are inputs of the compiled function; given by name, arrays are inputs and
    everything else is a static Python value, as are arguments that are no numbers (None, strings, callables): each static
    value has its own compilation, and must be hashable. Lists are nestings, not arrays. Where the function uses symbols
    from outside, a call with arrays builds the graph too. Parameters from outside are read at each call; other values from
    outside are what they were when the signature was first met. A call may come from several threads.
    """

    def __init__(self, f: Callable[..., Any], transform: str, build: Callable[..., Any], traces: bool = True) -> None:
        if not callable(f):
            raise TypeError(f"func.{transform} takes a function, not {describe(f)}")
        functools.update_wrapper(self, f, updated=())
        self._f, self._transform, self._build = f, transform, build
        self._traces = traces
        self._kept: OrderedDict[Any, _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, /, *args: Any, **by_name: Any) -> Any:
        """The transformed function at arrays (which gives arrays) or at tensors (which gives tensors)."""
        leaves, _ = flatten((args, by_name))
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            return self._build(*args, **by_name)
        try:
            found = self._compiled(args, by_name)
        except _Open:  # it uses symbols from outside, so it is part of a larger graph
            return self._build(*args, **by_name)
        return found(leaves)

    def compiled(self, /, *args: Any, **by_name: Any) -> Function:
        """The compiled `Function` for arguments like these: its `source`, `cost()`, `profile(...)`, `export(path)`.

        Its inputs are the arrays that the result depends on, by name.
        """
        try:
            return self._compiled(args, by_name).function
        except _Open as error:
            raise CompileError(f"{self!r} uses {error}, a symbol from outside; pass it as an argument") from None

    def __repr__(self) -> str:
        return f"<func.{self._transform} of {name_of_function(self._f)}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _compiled(self, args: tuple[Any, ...], by_name: dict[str, Any]) -> _Compiled:
        key = _signature(args), _signature(by_name, named=True)
        try:
            hash(key)
        except TypeError:
            raise TypeError(
                f"{name_of_function(self._f)}: a static argument cannot be hashed; give an array by position, or a hashable value"
            ) from None
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = _Compiled(self, args, by_name)
        with self._lock:
            found = self._kept.setdefault(key, made)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found


class _Open(Exception):
    """What a function gives depends on symbols that are no arguments of it."""


class _Compiled:
    """A transformed function, compiled for one signature."""

    def __init__(self, owner: Transformed, args: tuple[Any, ...], by_name: dict[str, Any]) -> None:
        leaves, restore = flatten((args, by_name))
        inputs = [_input(leaf, name) for leaf, name in zip(leaves, _names(owner._f, args, by_name), strict=True)]
        given, named = restore([leaf if x is None else x for leaf, x in zip(leaves, inputs, strict=True)])
        with fresh([x for x in inputs if x is not None and owner._traces]):
            value = owner._build(*given, **named)
        results, self.restore = flatten(value)
        self.static = [None if is_value(r) else r for r in results]
        self.places = [i for i, r in enumerate(results) if is_value(r)]
        outputs = [strong(as_tensor(results[i])) for i in self.places]
        reached = dict.fromkeys(toposort(outputs))
        known = set(inputs)
        for x in reached:
            if isinstance(x.op, Symbol) and x not in known:
                raise _Open(describe(x))
        self.used = [i for i, x in enumerate(inputs) if x is not None and x in reached]
        name = (
            f"{owner._transform}_{name_of_function(owner._f)}"
            if owner._transform != "jit"
            else name_of_function(owner._f)
        )
        self.function = function([inputs[i] for i in self.used], outputs, name=re.sub(r"\W+", "_", name).strip("_"))

    def __call__(self, leaves: Sequence[Any]) -> Any:
        results = list(self.static)
        for i, value in zip(self.places, self.function(*[leaves[i] for i in self.used]), strict=True):
            results[i] = value
        return self.restore(results)


def _is_array(leaf: Any, named: bool) -> bool:
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind in "biufc"
    return not named and isinstance(leaf, bool | int | float | complex)


def _input(leaf: Any, name: str | None) -> Tensor | None:
    """The symbol of an argument; None for a static one."""
    if name is None:
        return None
    value = np.asarray(leaf)
    return symbol(name, value.shape, value.dtype)


def _names(f: Callable[..., Any], args: tuple[Any, ...], by_name: dict[str, Any]) -> list[str | None]:
    """A distinct name for each array among the arguments, from the names of the parameters; None for what is static."""
    found: list[str | None] = []
    taken: set[str] = set()
    positions = [(p, arg, False) for p, arg in zip(_parameters(f, len(args)), args, strict=True)]
    for base, argument, named in [*positions, *[(k, v, True) for k, v in by_name.items()]]:
        for leaf, path in zip(flatten(argument)[0], paths(argument), strict=True):
            if not _is_array(leaf, named):
                found.append(None)
                continue
            name = stem = re.sub(r"\W+", "_", base + path).strip("_") or "x"
            count = 1
            while name in taken:
                count += 1
                name = f"{stem}_{count}"
            taken.add(name)
            found.append(name)
    return found


def _parameters(f: Callable[..., Any], count: int) -> list[str]:
    """What the function calls its first `count` positional arguments."""
    found: list[str] = []
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    for p in parameters:
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            found.append(p.name)
        elif p.kind == p.VAR_POSITIONAL:
            found += [f"{p.name}_{i}" for i in range(count - len(found))]
    return [*found, *[f"x{i}" for i in range(len(found), count)]][:count]


def _signature(tree: Any, named: bool = False) -> Any:
    """What two calls must have in common to run the same compiled function."""
    if isinstance(tree, dict):
        return dict, tuple((k, _signature(v, named)) for k, v in tree.items())
    if isinstance(tree, list | tuple):
        return type(tree), tuple([_signature(v, named) for v in tree])
    if not _is_array(tree, named):
        return type(tree), repr(tree) if isinstance(tree, float | complex) else tree
    if isinstance(tree, np.ndarray | np.generic):
        return tree.dtype, tree.shape
    return np.asarray(tree).dtype, ()
