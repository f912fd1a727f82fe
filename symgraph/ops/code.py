"""Pieces of Python source that know how tightly they bind, so that parentheses appear only where they are needed.

An op's `numpy` method receives its operands as `Code` and returns `Code`:

    def numpy(self, x): return call("np.sum", x, axis=self.axis)

`Code.aval` is the type of an operand; `size` and `shape` write dimensions with the names they have in the function being
emitted; `body` gives the name of the helper function that a closed sub-graph has become.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import dims
from ..dims import Shape, Size

ATOM, POWER, UNARY, TIMES, PLUS, SHIFT, AND, XOR, OR, COMPARE, TERNARY, TUPLE = (
    20,
    15,
    14,
    13,
    12,
    11,
    10,
    9,
    8,
    7,
    2,
    0,
)

PRECEDENCE = {
    "**": POWER,
    **dict.fromkeys(["*", "/", "//", "%", "@"], TIMES),
    **dict.fromkeys(["+", "-"], PLUS),
    **dict.fromkeys(["<<", ">>"], SHIFT),
    "&": AND,
    "^": XOR,
    "|": OR,
    **dict.fromkeys(["<", "<=", ">", ">=", "==", "!="], COMPARE),
}


class Code(str):
    """An expression: its text, its precedence, and the type of its value where that is known."""

    __slots__ = ("aval", "literal", "prec")
    aval: Any
    literal: bool
    prec: int

    def __new__(cls, text: str, prec: int = ATOM, aval: Any = None, literal: bool = False) -> Code:
        made = super().__new__(cls, text)
        made.prec = prec
        made.aval = aval
        made.literal = literal
        return made

    @property
    def atom(self) -> str:
        """The text, in parentheses unless it binds as tightly as a name: for `.method`, `[index]` and `.T`."""
        return self.within(ATOM)

    def within(self, prec: int) -> str:
        """The text, in parentheses if it binds less tightly than `prec`."""
        if prec == ATOM and self.literal and not self.startswith("np."):  # 2.sum() is no Python, nor (2).sum()
            return f"({self})" if self.aval is None else f"{scalar(self.aval.dtype)}({self})"
        return str(self) if self.prec >= prec else f"({self})"


def call(function: str, *args: Any, **options: Any) -> Code:
    """`function(args, option=value)`; an option that is None is left out."""
    words = [argument(a) for a in args]
    words += [f"{name}={argument(value)}" for name, value in options.items() if value is not None]
    return Code(f"{function}({', '.join(words)})")


def method(x: Code, name: str, *args: Any, **options: Any) -> Code:
    """`x.name(args, option=value)`."""
    return call(f"{x.atom}.{name}", *args, **options)


def infix(operator: str, left: Code, right: Code) -> Code:
    """`left operator right`, grouping from the left (power from the right) exactly as the graph does."""
    prec = PRECEDENCE[operator]
    if operator == "**":
        a, b = left.within(POWER + 1), right.within(UNARY)
        simple = all(c.isalnum() or c in "_.-" for c in a + b)
        return Code(f"{a}**{b}" if simple else f"{a} ** {b}", prec)
    return Code(f"{left.within(prec + (prec == COMPARE))} {operator} {right.within(prec + 1)}", prec)


def prefix(operator: str, x: Code) -> Code:
    """`-x`, `~x`."""
    return Code(f"{operator}{x.within(UNARY)}", UNARY)


def index(x: Code, *items: Any) -> Code:
    """`x[items]`."""
    return Code(f"{x.atom}[{', '.join(argument(i) for i in items)}]")


def whole(out: str) -> str:
    """`out[...]`, the target of an assignment to all elements; a slice such as `t[i:j]` is one as it stands."""
    return out if out.endswith("]") and ":" in out[out.rfind("[") :] else f"{out}[...]"


def assign(out: str, value: Any) -> list[str]:
    """The statement `out[...] = value`, and none where they are one."""
    return [] if out == value else [f"{whole(out)} = {argument(value)}"]


def is_plain(x: Code) -> bool:
    """Whether the operand is a name, or rows of one: an array that is contiguous unless the caller chose otherwise."""
    return not x.literal and re.fullmatch(r"\w+(\[\w+:\w+\])?", x) is not None


def argument(value: Any) -> str:
    """The text of one argument: code as it is, sizes and shapes by their names, anything else by its repr."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, dims.Dim):
        return str(size(value))
    if isinstance(value, tuple):
        return f"({', '.join(map(argument, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, np.dtype):
        return dtype(value)
    if isinstance(value, slice):
        return _slice(value)
    return repr(value)


def dtype(dt: np.dtype[Any]) -> str:
    """`np.float32`, and plain `bool` for booleans."""
    return "bool" if dt.kind == "b" else f"np.{dt.name}"


def scalar(dt: np.dtype[Any]) -> str:
    """The name of NumPy's scalar type: `np.float32`, `np.bool_`."""
    return "np.bool_" if dt.kind == "b" else f"np.{dt.name}"


def literal(value: Any, exact: bool = False) -> Code:
    """A Python literal for a 0-d NumPy value; a whole real number is written as an int unless `exact`."""
    kind = np.asarray(value).dtype.kind
    if kind == "f":
        text = _real(value, exact)
    elif kind == "c":
        value = complex(value)
        text = repr(value) if np.isfinite(value) else f"complex({_real(value.real, True)}, {_real(value.imag, True)})"
    else:
        text = repr(value.item() if isinstance(value, np.generic | np.ndarray) else value)
    return Code(text, UNARY if text.startswith("-") else ATOM, literal=True)


def _real(value: Any, exact: bool) -> str:
    value = np.asarray(value)[()]
    if np.isnan(value):
        return "np.nan"
    if np.isinf(value):
        return "np.inf" if value > 0 else "-np.inf"
    if not exact and value == np.rint(value) and abs(float(value)) < 1e6 and not (value == 0 and np.signbit(value)):
        return str(int(value))
    return str(value)  # the shortest digits that give this value back in its own dtype


# The function being emitted ------------------------------------------------------------------------------------------


class _Emitting(threading.local):
    names: dict[Any, str] | None = None
    body: Callable[[Any], str] | None = None
    local: Callable[[str], str] | None = None


_emitting = _Emitting()


@contextmanager
def emitting(names: dict[Any, str], body: Callable[[Any], str], local: Callable[[str], str] = str) -> Iterator[None]:
    """While a function is emitted: the identifier of each dimension, of the helper made from each body, of a local."""
    before = _emitting.names, _emitting.body, _emitting.local
    _emitting.names, _emitting.body, _emitting.local = names, body, local
    try:
        yield
    finally:
        _emitting.names, _emitting.body, _emitting.local = before


def local(name: str) -> str:
    """A variable of the statements of one op, such as the counter of a loop: `name`, or like it where that is taken."""
    return name if _emitting.local is None else _emitting.local(name)


def size(value: Size) -> Code:
    """A size: an int, or arithmetic on the names of dimensions."""
    if isinstance(value, int):
        return Code(str(value), ATOM if value >= 0 else UNARY, literal=True)
    if _emitting.names is None:
        raise RuntimeError(f"the size {value} has a name only while a function is emitted")
    text = dims.code(value, _emitting.names)
    return Code(text, ATOM if text.isidentifier() else TERNARY)


def shape(value: Shape) -> str:
    """A shape tuple such as `(batch, 3)`."""
    return argument(tuple(value))


def body(value: Any) -> str:
    """The name of the helper function that computes a body."""
    if _emitting.body is None:
        raise RuntimeError("bodies have names only while a function is emitted")
    return _emitting.body(value)


def _slice(s: slice) -> str:
    start, stop, step = ("" if v is None else argument(v) for v in (s.start, s.stop, s.step))
    return f"{start}:{stop}" + (f":{step}" if step and step != "1" else "")
