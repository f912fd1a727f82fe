"""Running generated source: loading it so that tracebacks show its lines, and checking what it is called with."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgraph.core import Tensor, format_shape, masked
from symgraph.dims import Dim, Shape, Variable, evaluate
from symgraph.dtypes import DType, is_complex
from symgraph.errors import CompileError, DTypeError, ShapeError

from . import blocks, cache
from .donated import stored
from .program import Check
from .shield import Shield
from .source import Source

_serial = itertools.count(1)


def load(source: Source, values: Mapping[str, Any]) -> Callable[..., Any]:
    """The function that `source` defines, with parameters and large constants bound to `values`."""
    return load_text(source.text, source.name, {**source.constants, **values})


SHARED = {"process": blocks.process, "asked": cache.asked}
"""What the functions of one process share: the threads that help, and the size of the cache."""


def load_text(text: str, name: str, values: Mapping[str, Any]) -> Callable[..., Any]:
    """The function `name` of a generated module, whose lines tracebacks and debuggers can show."""
    filename = f"<generated {name} {next(_serial)}>"
    scope: dict[str, Any] = {"__name__": f"generated.{name}", **values}
    try:
        exec(compile(text, filename, "exec"), scope)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise CompileError(f"{name} uses {error.name}, which is not installed: pip install {package}") from None
    if "blockwise" in scope:
        scope |= {shared: SHARED[shared] for shared in SHARED.keys() & scope.keys()}
    linecache.cache[filename] = len(text), None, text.splitlines(keepends=True), filename
    function: Callable[..., Any] = scope[name]
    return function


@dataclass(frozen=True)
class Argument:
    """What one argument must be."""

    name: str
    identifier: str
    shape: Shape
    dtype: DType
    number: bool = False
    """Whether the function takes a Python float, not an array."""

    def __str__(self) -> str:
        return f"{self.name} {format_shape(self.shape)} {self.dtype}"


@dataclass(frozen=True)
class Kept:
    """What a function keeps between calls: its parameters, whose turn it is, and those that it updates."""

    parameters: Mapping[str, Any]
    turn: Any
    updated: frozenset[str] = frozenset()
    starts: Callable[[], dict[Any, int]] = dict
    """For a shield: the line from which each function writes parameters."""
    whole: bool = True
    """Whether no interrupt can come between two updates, even without a shield."""


def guarded(
    function: Callable[..., Any],
    arguments: Sequence[Argument],
    checks: Sequence[Check],
    kept: Kept | None = None,
    restore: Callable[[Any], Any] | None = None,
    donate: Callable[[Any, Sequence[Any]], list[Any]] | None = None,
) -> Callable[..., Any]:
    """`function` behind a check of its arguments, which costs well under a microsecond when all is well.

    What keeps parameters runs in its turn: it holds the lock of the turn, or of the one that has taken its place. These
    locks are taken by the interpreter itself, so that an interrupt cannot leave one behind.
    `restore` is applied to what the function returns. With `donate`, which tells for each result the array that it is
    written into, those arrays come before the arguments.
    """
    names = [f"a{i}" for i in range(len(arguments))]
    scope: dict[str, Any] = {"ndarray": np.ndarray, "float64": np.float64, "function": function}
    scope["convert"] = lambda i, value: converted(arguments[i], value)
    scope["number"] = lambda i, value: float(converted(arguments[i], value))
    scope["mismatch"] = lambda values: explain_mismatch(arguments, checks, values)
    scope |= {f"d{i}": argument.dtype for i, argument in enumerate(arguments)}
    scope |= {f"t{i}": argument.dtype.type for i, argument in enumerate(arguments)}
    result = f"function({', '.join(names)})"
    steps = []
    if donate is not None:
        scope |= {"donate": donate, "stored": stored}
        steps.append(f"targets = donate(out, [{', '.join(names)}])")
        result = f"stored({result}, targets)"
    if restore is not None:
        scope["restore"] = restore
        result = f"restore({result})"
    if kept is not None and kept.updated:
        scope |= {"geterr": np.geterr, "or_undone": lambda call: or_undone(call, kept)}
        steps += ['if "raise" in geterr().values():', f"    return or_undone(lambda: {result})"]
    steps.append(f"return {result}")
    if donate is not None or (kept is not None and not kept.whole):
        scope |= {"Shield": Shield, "starts": lambda: {stored.__code__: 0, **(kept.starts() if kept else {})}}
        steps = ["with Shield(starts):", *[f"    {step}" for step in steps]]
    lines = [*_types(arguments), *_sizes(arguments, checks)]
    if kept is None:
        lines += steps
    else:
        steps = [*_unchanged(kept, scope), *steps]
        scope |= {"turn": kept.turn, "lock": kept.turn.lock}
        lines += ["with lock:", "    if turn.parent is None:", *[f"        {step}" for step in steps]]
        lines += ["while True:", "    top = turn.top()", "    with top.lock:", "        if top.parent is None:"]
        lines += [f"            {step}" for step in steps]
    takes = names if donate is None else ["out", *names]
    text = f"def call({', '.join(takes)}):\n    " + "\n    ".join(lines)
    exec(compile(text, "<symgraph arguments>", "exec"), scope)
    entry: Callable[..., Any] = scope["call"]
    return entry


def _unchanged(kept: Kept, scope: dict[str, Any]) -> list[str]:
    """Lines that make sure that each parameter still has its array, and those that are updated can be."""
    arrays = {name: p._array for name, p in kept.parameters.items()}
    tests = []
    for i, (name, p) in enumerate(kept.parameters.items()):
        scope |= {f"p{i}": p, f"v{i}": arrays[name]}
        tests.append(f"p{i}._array is not v{i}" + (f" or not v{i}.flags.writeable" if name in kept.updated else ""))
    scope["unfit"] = lambda: explain_unfit(kept, arrays)
    return [f"if {' or '.join(tests)}:", "    unfit()"]


def or_undone(call: Callable[[], Any], kept: Kept) -> Any:
    """`call()`; where the user has NumPy raise FloatingPointError, parameters are afterwards what they were before."""
    arrays = [kept.parameters[name]._array for name in kept.updated]
    before = [array.copy() for array in arrays]
    try:
        return call()
    except FloatingPointError:
        for array, old in zip(arrays, before, strict=True):
            array[...] = old
        raise


def explain_unfit(kept: Kept, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Raise the error that says which parameter is no longer what it was."""
    for name, array in arrays.items():
        now = kept.parameters[name]._array
        if now is not array:
            what = f"{now.dtype} {now.shape}" if isinstance(now, np.ndarray) else type(now).__name__
            raise CompileError(
                f"the array of parameter {name} ({array.dtype} {array.shape}) has been replaced by another ({what}); "
                "assign to .value, which copies into it, or compile the function anew"
            )
        if name in kept.updated and not array.flags.writeable:
            raise ValueError(
                f"parameter {name} is to be updated, but its array is read-only; nothing was computed. "
                "Make it writeable, or compile the function without this update"
            )


def _types(arguments: Sequence[Argument]) -> Iterator[str]:
    """Lines that make each argument an array of its dtype and rank, without axes a NumPy scalar, or a Python float."""
    for i, argument in enumerate(arguments):
        if argument.number:
            yield f"if type(a{i}) is not float:"
            array = f"type(a{i}) is ndarray and a{i}.dtype is d{i} and not a{i}.ndim"
            yield f"    a{i} = float(a{i}) if type(a{i}) is float64 or {array} else number({i}, a{i})"
        elif not argument.shape:
            quick = f"t{i}(a{i}) if type(a{i}) is float else " if argument.dtype.kind == "f" else ""
            yield f"if type(a{i}) is not t{i}:"
            yield f"    a{i} = {quick}convert({i}, a{i})[()]"
        else:
            yield f"if type(a{i}) is not ndarray or a{i}.dtype is not d{i} or a{i}.ndim != {len(argument.shape)}:"
            yield f"    a{i} = convert({i}, a{i})"


def _sizes(arguments: Sequence[Argument], checks: Sequence[Check]) -> list[str]:
    """Lines that read each dimension from the axis that has it first and compare all others."""
    dims: dict[Variable, str] = {}
    lines = []
    known = []
    for i, argument in enumerate(arguments):
        for axis, size in enumerate(argument.shape):
            if isinstance(size, Dim) and size.is_variable and size.key not in dims:
                dims[size.key] = f"n{len(dims)}"
                lines.append(f"{dims[size.key]} = a{i}.shape[{axis}]")
            else:  # written when every dimension is bound, by whichever argument
                known.append((f"a{i}.shape[{axis}]", size))
    conditions = [f"{found} != {_expression(size, dims)}" for found, size in known]
    conditions += [f"{_expression(c.left, dims)} != {_expression(c.right, dims)}" for c in checks]
    if conditions:
        values = ", ".join(f"a{i}" for i in range(len(arguments)))
        lines += [f"if {' or '.join(conditions)}:", f"    mismatch([{values}])"]
    return lines


def _expression(size: Any, dims: dict[Variable, str]) -> str:
    """A size over the dimensions."""
    from symgraph.dims import code

    return str(size) if isinstance(size, int) else code(size, dims, atomic=True)


def converted(argument: Argument, value: Any) -> np.ndarray[Any, Any]:
    """`value` as an array of the argument's dtype and rank, cast only where no value can be lost."""
    if isinstance(value, Tensor):
        raise TypeError(f"{argument.name} got a tensor, which has no value; pass a number or an array")
    if type(value) is float and not argument.shape and argument.dtype.kind == "f":
        return np.array(value, argument.dtype)
    if rule := masked(value):
        raise DTypeError(f"{argument.name}: {rule}")
    literal = isinstance(value, bool | int | float | complex | list | tuple) and not isinstance(value, np.generic)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{argument.name}: a nested list must be rectangular to be an array ({error})") from None
    if array.dtype.kind not in "biufc":
        raise DTypeError(
            f"{argument.name} must hold numbers of dtype {argument.dtype}, not {array.dtype} ({type(value).__name__})"
        )
    if array.dtype != argument.dtype:
        weak = literal and _same_kind(array, argument.dtype)
        if not weak and not np.can_cast(array.dtype, argument.dtype, "safe"):
            raise DTypeError(
                f"{argument.name} is {array.dtype} but {argument.dtype} is expected, and the cast could lose values; "
                f"pass {argument.name}.astype(np.{argument.dtype.name}) if that is meant"
            )
        array = array.astype(argument.dtype)
    if array.ndim != len(argument.shape):
        raise ShapeError(
            f"{argument.name} has shape {array.shape} but {format_shape(argument.shape)} is expected: "
            f"{array.ndim} axes in place of {len(argument.shape)}"
        )
    return np.asarray(array)


def _same_kind(array: np.ndarray[Any, Any], dtype: DType) -> bool:
    """Whether Python numbers may become `dtype` as weak operands do: never a float an int, nor out of range."""
    if dtype.kind == "b":
        return array.dtype.kind == "b"
    if dtype.kind in "iu":
        if array.dtype.kind not in "biu":
            return array.size == 0
        limits = np.iinfo(dtype)
        return bool(array.size == 0 or (array.min() >= limits.min and array.max() <= limits.max))
    return dtype.kind == "c" or not is_complex(array.dtype)


def explain_mismatch(
    arguments: Sequence[Argument], checks: Sequence[Check], values: Sequence[np.ndarray[Any, Any]]
) -> None:
    """Raise the error that says which sizes do not fit."""
    sizes: dict[Variable, tuple[int, str]] = {}
    for argument, value in zip(arguments, values, strict=True):
        for axis, (size, found) in enumerate(zip(argument.shape, value.shape, strict=True)):
            if isinstance(size, int):
                if found != size:
                    raise ShapeError(
                        f"{argument.name} has shape {value.shape} but {format_shape(argument.shape)} is expected: "
                        f"axis {axis} is {found}, not {size}"
                    )
            elif size.is_variable:
                known, owner = sizes.setdefault(size.key, (found, argument.name))
                if known != found:
                    raise ShapeError(
                        f"{owner} has {size}={known} but {argument.name} has {size}={found} (the dimension {size} of both)"
                    )
    env = {v: n for v, (n, _) in sizes.items()}
    for argument, value in zip(arguments, values, strict=True):
        for axis, (size, found) in enumerate(zip(argument.shape, value.shape, strict=True)):
            if evaluate(size, env) != found:
                raise ShapeError(
                    f"{argument.name} has {found} along axis {axis}, which must be {size} = {evaluate(size, env)}"
                )
    for check in checks:
        left, right = evaluate(check.left, env), evaluate(check.right, env)
        if left != right:
            raise ShapeError(f"{_owned(check.left, left, sizes)} but {_owned(check.right, right, sizes)} ({check.why})")


def _owned(size: Any, value: int, sizes: Mapping[Variable, tuple[int, str]]) -> str:
    """`x has batch=64`, as far as one argument can be named."""
    if isinstance(size, Dim) and size.is_variable:
        return f"{sizes[size.key][1]} has {size}={value}"
    return f"{size}={value}" if isinstance(size, Dim) else f"{value} is needed"
