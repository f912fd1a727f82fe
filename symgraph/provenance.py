"""Where a node came from: relations held beside the graph, never part of a node's identity.

Three relations: the user's *line* with the *scopes* around it (kept on the node when it is first made), the user's *name*
for a node, and *adjoint of*, which is many-to-many: one node may be the adjoint of two, and a variable may itself be an
adjoint. Names and links are weak: they vanish with the nodes they speak of, so nothing outlives its model.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar
from weakref import ref

import numpy as np

if TYPE_CHECKING:
    from .core import Tensor

V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., object])


class Location(NamedTuple):
    """A user's file (basename) and line, and the scopes that were open there, outermost first."""

    file: str
    line: int
    scopes: tuple[scope, ...] = ()


class scope:
    """A part of a model, by name: what is built inside stands in one box where the graph is drawn, its gradients too.

    A `with` block, or a decorator. Scopes nest. Each `scope(name)` is a part of its own, so a loop that opens one in each round
    makes as many parts; a scope that is kept, and entered again, goes on where it was.

    Scopes are for those who look: they change no value, no name and no generated line.

    Raises `TypeError` for a name that is not a string, `ValueError` for an empty one.

    >>> import symgraph as sg
    >>> x = sg.symbol("x", (3,))
    >>> with sg.scope("layer"):
    ...     h = sg.tanh(2 * x)
    >>> h.where.scopes
    (scope('layer'),)
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"scope(name) needs a string, but got {name!r}")
        if not name.strip():
            raise ValueError("scope(name) needs a name that is not empty")
        self.name = name

    def __repr__(self) -> str:
        return f"scope({self.name!r})"

    def __enter__(self) -> scope:
        current.scopes = (*current.scopes, self)
        return self

    def __exit__(self, *_: object) -> None:
        current.scopes = current.scopes[:-1]

    def __call__(self, f: F) -> F:
        """`f` with its calls in this scope."""

        @functools.wraps(f)
        def inside(*args: object, **by_name: object) -> object:
            with self:
                return f(*args, **by_name)

        return inside  # type: ignore[return-value]


_HERE = os.path.dirname(os.path.abspath(__file__))
_INTERNAL = (
    _HERE + os.sep,
    os.path.join(os.path.dirname(_HERE), "codegen") + os.sep,
    os.path.dirname(os.path.abspath(np.__file__)) + os.sep,
    os.path.abspath(contextlib.__file__),  # where a decorated function is entered
    "<symgraph",
    "<__array_function__",
    "<frozen",
)
_DISPATCH = tuple(os.path.join(_HERE, name) for name in ("operators.py", "numpy_api.py"))
_DEMO = os.path.join(_HERE, "demo") + os.sep  # written as a user writes, so its lines are a user's lines


class _Current(threading.local):
    where: Location | None = None
    order: int = 0
    scopes: tuple[scope, ...] = ()


current = _Current()
"""While a pass derives nodes from a node, `current.where` is that node's line; otherwise None and the stack is read.
While a graph is differentiated, `current.order` is the order of the derivative; what the user writes has order 0.
`current.scopes` are the scopes that the user has open, outermost first."""


def user_location() -> Location | None:
    """The innermost line of code that is neither symgraph's nor NumPy's."""
    if current.where is not None:
        return current.where
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(_INTERNAL) or filename.startswith(_DEMO):
            return Location(_shown(filename), frame.f_lineno, current.scopes)
        frame = frame.f_back
    return None


def _shown(filename: str) -> str:
    """The basename of a file; a notebook's cell has none that a person would know."""
    folder, base = os.path.split(filename)
    return "cell" if "ipykernel_" in folder or base.startswith("<ipython-input") else base


def user_call() -> tuple[str, list[object]]:
    """The public function that the user called and its arguments, read off the stack to word an error; or nothing."""
    frame: FrameType | None = sys._getframe(1)
    called = None
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_INTERNAL) or code.co_filename.startswith(_DEMO):
            break
        if not code.co_name.startswith(("_", "<")) and code.co_filename not in _DISPATCH:
            called = frame
        frame = frame.f_back
    if called is None:
        return "", []
    code = called.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
    return code.co_name.rstrip("_"), [
        called.f_locals[name] for name in code.co_varnames[:count] if name in called.f_locals
    ]


def format_location(where: Location | None) -> str:
    """`model.py:14`, or an empty string when the line is not known."""
    return f"{where[0]}:{where[1]}" if where else ""


class _Relation(Generic[V]):
    """Values by node, as long as the node lives. (WeakKeyDictionary compares keys by ==, which is elementwise here.)"""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[ref[Tensor], V]] = {}

    def get(self, node: Tensor) -> V | None:
        entry = self._entries.get(id(node))
        return entry[1] if entry is not None else None

    def put(self, node: Tensor, value: V) -> V:
        key = id(node)
        self._entries[key] = (ref(node, lambda _: self._entries.pop(key, None)), value)
        return value


_names: _Relation[str] = _Relation()
_adjoint_of: _Relation[dict[int, ref[Tensor]]] = _Relation()


def set_name(node: Tensor, name: str) -> None:
    """Remember the user's name for `node`; a later name replaces an earlier one."""
    _names.put(node, name)


def name_of(node: Tensor) -> str | None:
    """The name the user gave to `node`: that of a symbol or parameter, or the one given by `named`."""
    return getattr(node.op, "label", None) or _names.get(node)


def link_adjoint(adjoint: Tensor, forward: Tensor) -> None:
    """Remember that `adjoint` is the derivative of some output with respect to `forward`."""
    links = _adjoint_of.get(adjoint)
    if links is None:
        links = _adjoint_of.put(adjoint, {})
    known = links.get(id(forward))
    if known is None or known() is not forward:
        key = id(forward)
        links[key] = ref(forward, lambda _: links.pop(key, None))


def adjoint_of(node: Tensor) -> list[Tensor]:
    """The forward nodes whose adjoint `node` is, oldest first."""
    return [forward for link in (_adjoint_of.get(node) or {}).values() if (forward := link()) is not None]
