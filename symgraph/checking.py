"""What may be compiled: the inputs, outputs and updates of a function, and the sizes that must agree when it is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from codegen.program import Check

from .core import Constant, Symbol, Tensor, constant, describe, toposort
from .dims import Dim, collecting, same_shape, variables
from .errors import CompileError, DTypeError, ShapeError
from .ops.base import Primitive, as_tensor, cast
from .ops.creation import DimValue
from .parameter import Parameter, ParameterLeaf
from .provenance import format_location

MOST_THREADS = 1024
MOST_TILE = 1 << 30


def check_options(backend: str, style: str, threads: int | None, tile: int | None, name: str | None = None) -> None:
    """The options of `function`."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name={name!r} must be a string, or None for 'f'")
    if name == "":
        raise CompileError("name='' must be a string that is not empty, or None for 'f'")
    if backend != "numpy":
        raise CompileError(f"backend={backend!r} is not available; the backend is 'numpy'")
    if style not in ("fast", "plain"):
        raise CompileError(f"style={style!r}: choose 'fast' or 'plain'")
    if not _is_count(threads, MOST_THREADS):
        raise CompileError(
            f"threads={threads!r} must be an int from 1 to {MOST_THREADS}, or None for as many as the process may use"
        )
    if not _is_count(tile, MOST_TILE):
        raise CompileError(
            f"tile={tile!r} must be an int from 1 to {MOST_TILE}: the elements of an array that a block has; "
            "None chooses it by the size of the cache"
        )
    size = os.environ.get("SYMGRAPH_CACHE_BYTES", "")
    if size and not (size.isascii() and size.isdigit() and int(size)):
        raise CompileError(
            f"the environment variable SYMGRAPH_CACHE_BYTES={size!r} must be a positive number of bytes, such as 1048576; "
            "leave it out to ask the system"
        )


def check_sizes(sizes: Mapping[str, int] | None, leaves: list[Tensor]) -> None:
    """The dimensions that a plan is made for."""
    known = {v.name for x in leaves for v in variables(*x.shape)}
    for name, size in (sizes or {}).items():
        if name not in known:
            have = f"they have {', '.join(sorted(known))}" if known else "they have none"
            raise CompileError(f"sizes={dict(sizes or {})!r}: no input has a dimension called {name!r}; {have}")
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise CompileError(f"sizes={dict(sizes or {})!r}: {name} must be a positive int")


def _is_count(value: Any, most: int) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most)


def named_inputs(inputs: Any) -> tuple[list[Tensor], list[str]]:
    """The symbols to pass, and the names of the arguments."""
    if isinstance(inputs, Tensor):
        raise CompileError(f"inputs must be a list, tuple or dict of symbols: write [{describe(inputs, short=True)}]")
    if not isinstance(inputs, list | tuple | dict):
        raise CompileError(f"inputs must be a list, tuple or dict of symbols, not {describe(inputs)}")
    pairs = list(inputs.items()) if isinstance(inputs, dict) else [(None, x) for x in inputs]
    leaves, keys = [], []
    for key, x in pairs:
        if not isinstance(x, Tensor):
            raise CompileError(f"an input must be a symbol, not {describe(x)}")
        if isinstance(x, Parameter):
            raise CompileError(f"{describe(x)} is a parameter: its value is read by itself; set it through .value")
        if not isinstance(x.op, Symbol):
            raise CompileError(
                f"an input must be a symbol, but {describe(x)} is computed; use substitute to cut the graph there"
            )
        if key is not None and not isinstance(key, str):
            raise CompileError(f"the keys of inputs are argument names, not {key!r}")
        leaves.append(x)
        keys.append(key or x.op.label)
    for i, x in enumerate(leaves):
        if any(x is other for other in leaves[:i]):
            raise CompileError(f"{describe(x)} is given twice as an input")
        if keys[i] in keys[:i]:
            raise CompileError(f"two inputs are named {keys[i]!r}; pass a dict {{name: symbol}} to tell them apart")
    return leaves, keys


def strong(node: Tensor) -> Tensor:
    """A result with a dtype of its own."""
    if isinstance(node.aval, tuple) or not node.aval.weak:
        return node
    return constant(node.op.value) if isinstance(node.op, Constant) else cast(node, node.dtype)


def checked_updates(updates: Any) -> list[tuple[Parameter, Tensor]]:
    """The parameters to write and their new values, of their shapes and dtypes."""
    if updates is None:
        return []
    pairs = list(updates.items()) if isinstance(updates, Mapping) else updates
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise CompileError(
            f"updates must be a dict {{parameter: new value}}, or pairs of these, not {describe(updates)}"
        )
    found: list[tuple[Parameter, Tensor]] = []
    for target, new in pairs:
        if not isinstance(target, Parameter):
            raise CompileError(
                f"an update changes a parameter, and {describe(target)} is none; make it with parameter(value, name)"
            )
        if any(target is p for p, _ in found):
            raise CompileError(f"{describe(target)} is updated twice")
        value = as_tensor(new)
        if value.aval.weak:
            value = (
                cast(value, np.result_type(target.dtype, value.op.value.item()))
                if isinstance(value.op, Constant)
                else cast(value, target.dtype)
            )
        if value.ndim != target.ndim or not same_shape(value.shape, target.shape):
            raise ShapeError(
                f"the update of {describe(target)} has shape {value.shape}{_made(value)}; it must have the parameter's shape"
            )
        if value.dtype != target.dtype:
            if not np.can_cast(value.dtype, target.dtype, "safe"):
                raise DTypeError(
                    f"the update of {describe(target)} is {value.dtype}{_made(value)}; writing it could lose values. "
                    f"Use .astype({str(target.dtype)!r})"
                )
            value = cast(value, target.dtype)
        found.append((target, value))
    return found


def _made(node: Tensor) -> str:
    return f" (made at {format_location(node.where)})" if node.where else ""


def advances(nodes: list[Tensor], changes: list[tuple[Parameter, Tensor]]) -> list[tuple[Parameter, Tensor]]:
    """The next value of every random state that is read and not updated by the user."""
    updated = {p for p, _ in changes}
    found = toposort([*nodes, *[new for _, new in changes]])
    return [(x, x.advance()) for x in found if isinstance(x, Parameter) and x.advance is not None and x not in updated]


def check_leaves(leaves: list[Tensor], keys: list[str], given: list[Tensor], outputs_known: bool) -> None:
    """Every symbol that is needed is an input, and every input is needed."""
    reached = set(toposort(given))
    order = needed(given)
    known = set(leaves)
    missing = [x for x in order if isinstance(x.op, Symbol) and x not in known]
    if missing:
        which = "is" if len(missing) == 1 else "are"
        raise CompileError(f"the outputs depend on {places(missing)}, which {which} not among the inputs")
    stray = [x for x in order if not x.inputs and not isinstance(x.op, Symbol | Constant | ParameterLeaf | Primitive)]
    if stray:
        raise CompileError(
            f"the outputs depend on {describe(stray[0])}, which has no value outside the body it belongs to"
        )
    for x, key in zip(leaves, keys, strict=True):
        if x not in reached and outputs_known and not gives_dimension(x, order):
            raise CompileError(f"the input {key!r} ({describe(x)}) is not used by the outputs; leave it out")


def without_value(outputs: list[Tensor], values: Any) -> list[Tensor]:
    """The symbols that the outputs need and that have no value."""
    known = set(values)
    return [x for x in needed(outputs) if isinstance(x.op, Symbol) and x not in known]


def places(symbols: list[Tensor]) -> str:
    """`x (3,) float64 (made at model.py:2), y ...`"""
    return ", ".join(f"{describe(x)}{_made(x)}" for x in symbols)


def needed(outputs: list[Tensor]) -> list[Tensor]:
    """Every node that must be computed, operands first: all but what is only mentioned."""
    found: dict[Tensor, None] = {}
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack += node.inputs[: len(node.inputs) - node.op.mentions]
    return [node for node in toposort(outputs) if node in found]


def gives_dimension(x: Tensor, order: Any) -> bool:
    """Whether a size of `x` is used by the graph."""
    mine = set(variables(*x.shape))
    if not mine:
        return False
    for node in order:
        avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
        dims = [s for a in avals for s in a.shape] + ([node.op.dim] if isinstance(node.op, DimValue) else [])
        if mine & set(variables(*dims)):
            return True
    return False


def dimension_checks(leaves: list[Tensor], given: list[Tensor]) -> list[Check]:
    """The sizes that the graph as written needs to be equal, in the user's terms."""
    bound = {v for x in leaves for s in x.shape if isinstance(s, Dim) and s.is_variable for v in variables(s)}
    checks: list[Check] = []
    seen = set()
    for node in needed(given):
        avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
        unknown = [v for a in avals if a.shape for v in variables(*a.shape) if v not in bound]
        if unknown:
            raise CompileError(
                f"the size {unknown[0].name} of {describe(node)} cannot be told from the inputs; "
                "give an input an axis of that size alone"
            )
        if not node.inputs or not any(
            isinstance(s, Dim) for x in node.inputs if not isinstance(x.aval, tuple) for s in x.shape
        ):
            continue
        with collecting() as pairs:
            node.op.infer(*[x.aval for x in node.inputs])
        for left, right in pairs:
            key = (str(left), str(right))
            if key not in seen:
                seen.add(key)
                operands = f" {_symbol_of(node)} ".join(describe(x, short=True) for x in node.inputs)
                at = f", {format_location(node.where)}" if node.where else ""
                checks.append(Check(left, right, f"used together by {operands}{at}"))
    return checks


def _symbol_of(node: Tensor) -> str:
    source = getattr(node.op, "source", None)
    return source if isinstance(source, str) and not source[-1].isalnum() else f"and, in {node.op.name},"
