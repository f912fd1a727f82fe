"""A Python callable traced on fresh symbols, to be differentiated, and its results in terms of what it was given.

What the callable takes from outside is held constant, and arguments that are one tensor, or made of each other, are
differentiated apart: each is a symbol of its own while the callable runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .core import ShapedArray, Symbol, Tensor, building, describe, make_fresh, rebuild, toposort
from .dtypes import is_inexact
from .errors import GradientError
from .ops.base import as_tensor, strong
from .provenance import carry_links, current, name_of, set_name
from .pytree import flatten, paths

Argnums = int | Sequence[int]
"""Which arguments, by position from the front or, negative, from the back."""


class Trace:
    """A function traced on fresh symbols in the place of its tensors: what to differentiate, and how to come back."""

    def __init__(self, transform: str, f: Callable[..., Any], args: tuple[Any, ...], argnums: Argnums | None) -> None:
        self.transform, self.f = transform, f
        chosen = _positions(transform, f, argnums, len(args))
        places: list[int] = []
        leaves, restore = flatten(args)
        start = 0
        for i, argument in enumerate(args):
            count = len(flatten(argument)[0])
            if i in chosen:
                places += range(start, start + count)
                for k, path in enumerate(paths(argument)):
                    leaves[start + k] = self._variable(leaves[start + k], i, path)
            start += count
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        before, known.symbols = known.symbols, frozenset()
        if before.issuperset(tensors) and len(set(tensors)) == len(tensors):
            self.back: dict[Tensor, Tensor] = {}
        else:
            inside = [x if not isinstance(x, Tensor) else _twin(x) for x in leaves]
            self.back = {s: x for s, x in zip(inside, leaves, strict=True) if s is not x}
            leaves = inside
        self.arguments = restore(leaves)
        single = isinstance(argnums, int | np.integer)
        self.wrt = self.arguments[chosen[0]] if single else tuple(self.arguments[i] for i in chosen)

    def value(self, by_name: dict[str, Any]) -> Any:
        """What the function returns at the symbols."""
        return self.f(*self.arguments, **by_name)

    def outside(self, tree: Any) -> Any:
        """Results in terms of the tensors that were given."""
        if not self.back:
            return tree
        leaves, restore = flatten(tree)
        places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]
        for i, x in zip(places, _moved([leaves[i] for i in places], self.back), strict=True):
            leaves[i] = x
        return restore(leaves)

    def _variable(self, leaf: Any, position: int, path: str) -> Tensor:
        what = f"func.{self.transform} of {name_of_function(self.f)}: argument {position}{path}"
        if not isinstance(leaf, Tensor | np.ndarray | np.generic | bool | int | float | complex):
            raise TypeError(f"{what} is {describe(leaf)}, not a tensor or a number; choose others with argnums")
        x = strong(as_tensor(leaf))
        if not is_inexact(x.dtype):
            raise GradientError(
                f"{what} is {describe(x) if isinstance(leaf, Tensor) else x.aval}, and there is no derivative with respect "
                "to ints or bools; give floats, such as 2.0 for 2, or .astype('float64'), or choose others with argnums"
            )
        return x


@building()
def _moved(outputs: Sequence[Tensor], mapping: dict[Tensor, Tensor]) -> list[Tensor]:
    """`outputs` with symbols replaced; lines, names and adjoints go with the nodes."""
    done = dict(mapping)
    keep = current.where, current.order
    try:
        for node in toposort(outputs, stop=mapping):
            if node in done:
                continue
            current.where, current.order = node.where, node.order
            new = done[node] = rebuild(node, [done[x] for x in node.inputs])
            if new is node or isinstance(node.aval, tuple):
                continue
            name = name_of(node)
            if name is not None and name_of(new) is None:
                set_name(new, name)
            carry_links(node, new, done.get)
    finally:
        current.where, current.order = keep
    return [done[y] for y in outputs]


def _twin(x: Tensor) -> Tensor:
    """A fresh symbol in the place of a tensor."""
    x = strong(x)
    return make_fresh(Symbol(x.name or "x", ShapedArray(x.shape, x.dtype)))


def _positions(transform: str, f: Callable[..., Any], argnums: Argnums | None, count: int) -> list[int]:
    """`argnums` as positions from the front; None for all arguments."""
    if argnums is None:
        return list(range(count))
    given = list(argnums) if isinstance(argnums, list | tuple) else [argnums]
    found = []
    for n in given:
        if isinstance(n, bool) or not isinstance(n, int | np.integer):
            raise TypeError(f"func.{transform}: argnums={argnums!r} must be an int or several")
        if not -count <= n < count:
            what = f"func.{transform} of {name_of_function(f)}"
            raise TypeError(f"{what}: argnums={argnums!r}, but it is called with {count} arguments by position")
        found.append(int(n) % count)
    if not found or len(set(found)) != len(found):
        raise TypeError(f"func.{transform}: argnums={argnums!r} must name at least one argument, and each once")
    return found


def single(trace: Trace, value: Any) -> Tensor:
    """The result of a function that must return one tensor."""
    if isinstance(value, dict | list | tuple) or not is_value(value):
        shown = value if not isinstance(value, dict | list | tuple) else type(value).__name__
        rule = "it must return one tensor" + (
            "; with has_aux=True, (tensor, anything)" if trace.transform in ("grad", "value_and_grad") else ""
        )
        raise GradientError(
            f"func.{trace.transform} of {name_of_function(trace.f)}, which returns {describe(shown)}: {rule}"
        )
    return as_tensor(value)


def is_value(result: Any) -> bool:
    """Whether a result is computed, or is handed through as it is."""
    return isinstance(result, Tensor | np.ndarray | np.generic | bool | int | float | complex)


def name_of_function(f: Callable[..., Any]) -> str:
    name = getattr(f, "__name__", type(f).__name__)
    return "f" if name == "<lambda>" else str(name)


# Symbols that are fresh already --------------------------------------------------------------------------------------


class _FreshSymbols(threading.local):
    symbols: frozenset[Tensor] = frozenset()


known = _FreshSymbols()


class fresh:
    """While a function is compiled: the symbols of its arguments, which nothing has been made of until its first line."""

    def __init__(self, symbols: Sequence[Tensor]) -> None:
        self.symbols = frozenset(symbols)

    def __enter__(self) -> None:
        self.before, known.symbols = known.symbols, self.symbols

    def __exit__(self, *error: Any) -> None:
        known.symbols = self.before
