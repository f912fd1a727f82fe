"""What there is to tell of a node: its formula, the rules that rewrote it, and its value for a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core import Leaf, Tensor, toposort
from ..errors import SymgraphError
from ..explaining.rewriting import Rewriting, history
from ..explaining.text import formula as expressed
from ..function import Function
from .picture import clean

LONGEST = 400
"""Longer formulas are cut."""

WHOLE = 48
"""Values of up to this many elements are shown whole."""

FIRST = 8
"""Of larger ones, the first so many elements."""

MOST_RULES = 6


# Formulas ------------------------------------------------------------------------------------------------------------


def formula(node: Tensor) -> str:
    """What a node computes, to a depth; parts that lie deeper are letters, or go by their names."""
    return clean(node.op.label, LONGEST) if isinstance(node.op, Leaf) else cut(expressed(node))


def cut(text: str) -> str:
    """One line of text that is not too long."""
    return clean(text.replace("\n", "; "), LONGEST)


# Rewriting -----------------------------------------------------------------------------------------------------------


def rewrites(f: Function) -> dict[Tensor, list[str]]:
    """For each node as written, the rules that made it what is computed: name, tag, before and after."""
    trail = Rewriting.of(f.written, **f.passes).trail
    found: dict[Tensor, list[str]] = {}
    for node, steps in history(trail, toposort(f.written)).items():
        told = [f"{rule}: {cut(before)} → {cut(after)}" for rule, before, after in steps]
        found[node] = told if len(told) <= MOST_RULES else [*told[:MOST_RULES], f"and {len(told) - MOST_RULES} more"]
    return found


# Values --------------------------------------------------------------------------------------------------------------


def values(f: Function, args: Sequence[Any], by_name: Mapping[str, Any]) -> dict[Tensor, Any]:
    """The value of every node as written, for these arguments; parameters have the values they hold now.

    Raises what a call of `f` with these arguments would raise for their names, shapes and dtypes, and `SymgraphError` where
    a step cannot be computed.
    """
    from codegen.runtime import converted, explain_mismatch

    from ..interpreter import trace

    assert f.program is not None
    arrays = [converted(a, v) for a, v in zip(f.arguments, f._bind(tuple(args), dict(by_name)), strict=True)]
    explain_mismatch(f.arguments, f.checks, arrays)
    try:
        with np.errstate(all="ignore"):
            return trace(list(f.written), dict(zip(f.program.inputs, arrays, strict=True)))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise SymgraphError(
            f"the values of {f.name} for this sample cannot be shown: {type(error).__name__}: {error}. "
            "Give a sample for which every step is defined, or none."
        ) from error


def told(value: Any) -> tuple[str, str]:
    """A value as text, whole or summarised, and in a few characters."""
    if isinstance(value, tuple):
        parts = [told(v) for v in value]
        return "\n".join(text for text, _ in parts), f"{len(parts)} values"
    array = np.asarray(value)
    if array.ndim == 0:
        return _number(array[()], 8), _number(array[()], 4)
    if array.size <= WHOLE:
        text = np.array2string(array, precision=4, suppress_small=True, max_line_width=64, threshold=WHOLE + 1)
        if array.size <= 3 and array.ndim == 1:
            return text, f"[{', '.join(_number(v, 3) for v in array)}]"
        return text, _range(array)
    lines = [f"{array.dtype}, shape {array.shape}, {array.size:,} elements", _summary(array)]
    first = " ".join(_number(v, 4) for v in array.ravel()[:FIRST])
    return "\n".join([*lines, f"first: {first} …"]), _range(array)


def _summary(array: np.ndarray[Any, Any]) -> str:
    if array.dtype.kind == "b":
        return f"true: {int(array.sum()):,} of {array.size:,}"
    finite = array[np.isfinite(array)]
    if array.dtype.kind == "c" or not finite.size:
        size = np.abs(finite)
        words = [f"largest magnitude {_number(size.max(), 4)}"] if finite.size else ["no finite element"]
    else:
        mean = finite.mean(dtype=np.float64)
        words = [f"min {_number(finite.min(), 4)}", f"max {_number(finite.max(), 4)}", f"mean {_number(mean, 4)}"]
    odd = array.size - finite.size
    return ", ".join([*words, *([f"{odd:,} not finite"] if odd else [])])


def _range(array: np.ndarray[Any, Any]) -> str:
    """`-0.12 … 3.4`."""
    if array.size == 0:
        return "empty"
    if array.dtype.kind in "bc":
        return f"{array.size} elements"
    if not np.isfinite(array).all():
        return "not all finite"
    low, high = array.min(), array.max()
    return f"all {_number(low, 3)}" if low == high else f"{_number(low, 3)} … {_number(high, 3)}"


def _number(value: Any, digits: int) -> str:
    """A number to some digits; integers and truth values as they are."""
    kind = np.asarray(value).dtype.kind
    if kind in "iu":
        return str(int(value))
    if kind == "b":
        return str(bool(value))
    return f"{complex(value):.{digits}g}" if kind == "c" else f"{float(value):.{digits}g}"
