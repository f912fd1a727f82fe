"""What the names of a user's file stand for, as something that can be drawn: a tensor, a nesting of tensors, a `Function`.

A Python function without required arguments is called, and stands for what it returns. What needs arguments is not: its
shapes and dtypes are the user's to choose.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..core import Constant, Leaf, Tensor, toposort
from ..dims import Dim
from ..func import Transformed
from ..function import Function
from ..naming import gradient_name
from ..ops.base import as_tensor
from ..provenance import format_location, name_of, set_name
from ..pytree import flatten, paths
from .running import Failed, attempt
from .target import Listing, Refused, Target, did_you_mean, one_line

MOST = 30
"""A listing has at most this many names."""

FEW = 6
"""So many names stand in one line."""

TAKEN = "a tensor, a list, tuple or dict of tensors, or a compiled function"

_FUNCTIONS = (FunctionType, MethodType, functools.partial)


def chosen(module: ModuleType, target: Target) -> Any:
    """What the target names: one thing as it is, several as a dict by name.

    A tensor that is called nothing else is called as it is in the file. Raises `Refused` for a name that does not exist or
    stands for something else, `Listing` where there is no name, and `Failed` where the user's code raises an error.
    """
    if not target.names:
        raise Listing(_listing(module, target))
    found = {name: _value(module, target, name) for name in target.names}
    if len(found) == 1:
        return next(iter(found.values()))
    for name, value in found.items():
        if isinstance(value, Function):
            raise Refused(f"{name} is a compiled function; name it alone")
    return found


def _value(module: ModuleType, target: Target, name: str) -> Any:
    value: Any = module
    for i, part in enumerate(parts := name.split(".")):
        value = _attribute(value, part, ":".join([target.place, ".".join(parts[:i])]).rstrip(":"))
    label = f"{target.place}:{name}"
    if _is_called(value):
        value, label = attempt(value), f"{label}()"
    _check(value, label)
    last = name.rpartition(".")[2]
    if isinstance(value, Tensor) and not isinstance(value.op, Leaf | Constant):
        if name_of(value) is None and gradient_name(value) is None:
            set_name(value, last)
    return value


def _attribute(owner: Any, name: str, label: str) -> Any:
    try:
        return attempt(getattr, owner, name)
    except Failed as failure:
        static = object()
        if isinstance(failure.error, AttributeError) and inspect.getattr_static(owner, name, static) is static:
            near = did_you_mean(name, dir(owner)) or _choice(found for found, _ in _of_whatever(owner))
            raise Refused(f"{label} has no {name!r}{near}") from None
        raise


def _is_called(value: Any) -> bool:
    """Whether this is a Python function that needs no arguments."""
    if isinstance(value, Transformed) or inspect.iscoroutinefunction(value):
        return False
    wrapped = isinstance(value, _FUNCTIONS) or isinstance(getattr(value, "__wrapped__", None), FunctionType)
    return wrapped and not isinstance(value, type) and _required(value) == []


def _required(value: Any) -> list[str] | None:
    """The arguments that a call needs; None where Python does not know."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.default is p.empty and p.kind not in kinds]


def _check(value: Any, label: str) -> None:
    """That the value can be drawn."""
    if isinstance(value, Function):
        return
    if isinstance(value, Transformed):
        raise Refused(
            f"{label} is compiled for the arguments it is called with: add a line such as f = "
            f"{label.rpartition(':')[2]}.compiled(...) with sample arrays, and name f"
        )
    if not isinstance(value, Tensor) and (callable(value) or isinstance(value, ModuleType)):
        raise Refused(f"{label} is {_described(value)}; name {TAKEN}{_inner(value, label)}")
    leaves, places = flatten(value)[0], paths(value)
    for leaf, place in zip(leaves, places, strict=True):
        if not isinstance(leaf, Tensor | bool | int | float | complex | np.ndarray | np.generic | Dim):
            cure = f"name that function alone, or {TAKEN}" if isinstance(leaf, Function) else f"name {TAKEN}"
            raise Refused(f"{label}{place} is {_described(leaf)}; {cure}{_inner(leaf, label)}")
    if not any(isinstance(leaf, Tensor) for leaf in leaves):
        raise Refused(f"{label} is {_described(value)} and holds no tensor; name {TAKEN}")


def _described(value: Any) -> str:
    """What a value is, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}"
    if isinstance(value, np.ufunc | BuiltinFunctionType):
        return f"the function {value.__name__}"
    if isinstance(value, _FUNCTIONS):
        required = _required(value)
        if required and not inspect.iscoroutinefunction(value):
            return f"a function of {', '.join(required)}, and only the file can tell their shapes"
        return "a Python function that cannot be called here"
    if isinstance(value, Function):
        return "a compiled function"
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _inner(value: Any, label: str) -> str:
    """The tensors of an object, as names to try."""
    names = [f"{label}.{name}" for name, _ in _of_object(value)] if "[" not in label and "(" not in label else []
    return f", such as {', '.join(names[:3])}" if names else ""


# Listing -------------------------------------------------------------------------------------------------------------


def _choice(names: Iterable[str]) -> str:
    """`; there is 'loss', 'step'`, or nothing."""
    known = list(dict.fromkeys(names))
    more = ", ..." if len(known) > FEW else ""
    return f"; there is {', '.join(map(repr, known[:FEW]))}{more}" if known else ""


def _of_whatever(owner: Any) -> Iterator[tuple[str, str]]:
    return _drawable(owner) if isinstance(owner, ModuleType) else _of_object(owner)


def _listing(module: ModuleType, target: Target) -> str:
    """What could be drawn, a name a line."""
    found = list(_drawable(module))
    if not found:
        called = [name for name, value in vars(module).items() if _is_called(value) and _is_local(module, name, value)]
        also = f"; a function without arguments can be named too, and is called: {', '.join(called)}" if called else ""
        return f"{target.place} has nothing to draw at its top level{also}"
    width = min(max(len(name) for name, _ in found), 40)
    lines = [f"  {name:<{width}}  {what}" for name, what in found[:MOST]]
    more = [f"  and {len(found) - MOST} more"] if len(found) > MOST else []
    return "\n".join([f"say which, as in {target.place}:{found[0][0]}", *lines, *more])


def _is_local(module: ModuleType, name: str, value: Any) -> bool:
    return not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


def _drawable(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The names of the module that can be drawn, with what they are."""
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if what := _kind(value):
            yield name, what
        else:
            yield from ((f"{name}.{inner}", what) for inner, what in _of_object(value))


def _of_object(value: Any) -> Iterator[tuple[str, str]]:
    """The public attributes of a plain object that can be drawn."""
    if isinstance(value, type | ModuleType | Function | Tensor) or not hasattr(value, "__dict__"):
        return
    for name, inner in vars(value).items():
        if isinstance(name, str) and not name.startswith("_") and (what := _kind(inner)):
            yield name, what


def _kind(value: Any) -> str:
    """What a value is, if there is something to draw: computed values, not the leaves they are made of."""
    if isinstance(value, Function):
        return f"function {one_line(repr(value))[10:-1]}"
    if isinstance(value, Tensor):
        shown = not isinstance(value.op, Leaf | Constant) and not isinstance(value.aval, tuple)
        return one_line(f"tensor {value.aval}") if shown else ""
    if not isinstance(value, dict | list | tuple) or not value:
        return ""
    try:
        leaves = flatten(value)[0]
    except ValueError:  # it holds itself
        return ""
    shown = all(isinstance(x, Tensor) for x in leaves) and any(map(_kind, leaves))
    return f"{type(value).__name__} of {len(leaves)} tensor{'s' * (len(leaves) != 1)}" if shown else ""


# Nodes ---------------------------------------------------------------------------------------------------------------


def roots_of(outputs: Any) -> list[Tensor]:
    """The tensors that are drawn, as they were written."""
    if isinstance(outputs, Function):
        return list(outputs.written)
    return [as_tensor(leaf) for leaf in flatten(outputs)[0]]


def nodes_called(name: str, outputs: Any, module: ModuleType) -> list[Tensor]:
    """The nodes of the outputs that go by a name: one given by `named`, `grad_W` of a gradient, or a variable of the file.

    Raises `Refused` where there is none.
    """
    order = toposort(roots_of(outputs))
    names = {node: name_of(node) or gradient_name(node) for node in order}
    if called := [node for node in order if names[node] == name]:
        return called
    if name.isidentifier() and isinstance(node := vars(module).get(name), Tensor):
        if node in names:
            return [node]
        where = f" ({format_location(node.where)})" if node.where else ""
        raise Refused(f"{name}{where} is a tensor of the file, and no part of what was named")
    variables = [key for key, value in vars(module).items() if isinstance(value, Tensor) and value in names]
    known = [*filter(None, names.values()), *variables]
    raise Refused(f"no node is called {name!r}{did_you_mean(name, known) or _choice(known)}")
