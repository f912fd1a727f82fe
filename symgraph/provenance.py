"""Where a node came from: relations held beside the graph, never part of a node's identity.

The relations: the user's *line* with the *scopes* around it (kept on the node when it is first made), the user's *name*
for a node, *adjoint of* and *tangent of*, which are many-to-many: one node may be the adjoint of two, and a variable may
itself be an adjoint. An adjoint remembers which uses of its forward node it adds up, and whose derivative rule made each
part. Names and links are weak: they vanish with the nodes they speak of, so nothing outlives its model.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from weakref import ref

import numpy as np

if TYPE_CHECKING:
    from .core import Tensor

V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., object])


_serials = itertools.count()
"""The age of scopes: parts of one name are numbered by it."""


class _Line(NamedTuple):
    file: str
    line: int


class Location(_Line):
    """A user's file (basename) and line; beside it the scopes that were open there, outermost first.

    Two places in one line are equal, whatever scopes are open: comments of a generated source do not depend on scopes.
    """

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

    __slots__ = ("name", "serial")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"scope(name) needs a string, but got {name!r}")
        if not name.strip():
            raise ValueError("scope(name) needs a name that is not empty")
        self.name = name
        self.serial = next(_serials)

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
_DISPATCH = (
    *(os.path.join(_HERE, name) for name in ("operators.py", "numpy_api.py")),
    os.path.abspath(contextlib.__file__),
)
"""Files whose functions stand between the user and the function that is called."""
_DEMO = os.path.join(_HERE, "demo") + os.sep  # written as a user writes, so its lines are a user's lines


class _Current(threading.local):
    where: Location | None = None
    order: int = 0
    scopes: tuple[scope, ...] = ()


current = _Current()
"""While a pass derives nodes from a node, `current.where` is that node's line; otherwise None and the stack is read.
While a graph is differentiated, `current.order` is the order of the derivative; what the user writes has order 0.
`current.scopes` are the scopes that the user has open, outermost first."""


@contextlib.contextmanager
def deriving(order: int) -> Iterator[None]:
    """What is made meanwhile belongs to a derivative of this order at least."""
    keep = current.order
    current.order = max(order, keep)
    try:
        yield
    finally:
        current.order = keep


def user_location() -> Location | None:
    """The innermost line of code that is neither symgraph's nor NumPy's."""
    if current.where is not None:
        return current.where
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(_INTERNAL) or filename.startswith(_DEMO):
            found = Location(_shown(filename), frame.f_lineno)
            if current.scopes:
                found.scopes = current.scopes
            return found
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


def line_of(node: Tensor) -> str:
    """`model.py:14` for a node that was made there; nothing for what depends on no leaf, which all models share."""
    return format_location(node.where) if node.leafy else ""


class _Key(ref["Tensor"]):
    """A weak reference that knows under which number its node is filed."""

    __slots__ = ("number",)
    number: int


class _Relation(Generic[V]):
    """Values by node, as long as the node lives. (WeakKeyDictionary compares keys by ==, which is elementwise here.)"""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[_Key, V]] = {}
        self._gone = self._forget

    def get(self, node: Tensor) -> V | None:
        entry = self._entries.get(id(node))
        return entry[1] if entry is not None else None

    def put(self, node: Tensor, value: V) -> V:
        key = _Key(node, self._gone)
        number = key.number = id(node)
        self._entries[number] = key, value
        return value

    def _forget(self, key: Any) -> None:
        entry = self._entries.get(key.number)
        if entry is not None and entry[0] is key:
            del self._entries[key.number]


_names: _Relation[str] = _Relation()
_adjoint_of: _Relation[Any] = _Relation()
"""A weak reference to a forward node and the ways in which this is its adjoint; several of them by their numbers."""
_tangent_of: _Relation[Any] = _Relation()


def set_name(node: Tensor, name: str) -> None:
    """Remember the user's name for `node`; a later name replaces an earlier one."""
    _names.put(node, name)


def name_of(node: Tensor) -> str | None:
    """The name the user gave to `node`: that of a symbol or parameter, or the one given by `named`."""
    return getattr(node.op, "label", None) or _names.get(node)


# Derivatives ---------------------------------------------------------------------------------------------------------

Use = tuple["ref[Tensor]", str, "Location | None", "ref[Tensor] | None"]
"""A value whose derivative rule was asked: as the user wrote it, the name of the op that answered (its stable form may be
another), the user's line, and the adjoint that the rule was given (None for an op of several outputs)."""

Way = Sequence[tuple[Use, int, "ref[Tensor]"]]
"""What an adjoint is the sum of: for each use of the value, the operand that the value is, and what the rule made for it."""

MOST_WAYS = 4
"""A node that is the adjoint of another in more ways than this (of several outputs) tells the first."""

MANY = 64
"""Links to nodes that are gone are swept out whenever there are so many, or twice, four times, ... so many."""


class Contribution(NamedTuple):
    """One use of a value, and what it adds to the adjoint of that value; what is no longer in memory is None."""

    through: Tensor | None
    """What the value is used in, as the user wrote it."""
    rule: str
    """The op whose derivative rule was asked."""
    where: Location | None
    operand: int
    """Which operand of that op the value is."""
    given: Tensor | None
    """The adjoint of `through`, which the rule was given."""
    made: Tensor | None
    """What the rule made of it."""


def link_adjoint(adjoint: Tensor, forward: Tensor, way: Way = ()) -> None:
    """Remember that `adjoint` is the derivative of some output with respect to `forward`, and what it is the sum of."""
    _link(_adjoint_of, adjoint, forward, way)


def link_tangent(tangent: Tensor, forward: Tensor, rule: str) -> None:
    """Remember that `tangent` is the derivative of `forward` along a direction, made by the rule of an op."""
    _link(_tangent_of, tangent, forward, rule)


def adjoint_of(node: Tensor) -> list[Tensor]:
    """The forward nodes whose adjoint `node` is, oldest first."""
    return [forward for forward, _ in _linked(_adjoint_of, node)]


def contributions(adjoint: Tensor) -> list[tuple[Tensor, list[tuple[Contribution, ...]]]]:
    """The forward nodes whose adjoint this is, each with what was added up, for every differentiation that found it so."""
    return [(f, [tuple(map(_contribution, way)) for way in ways if way]) for f, ways in _linked(_adjoint_of, adjoint)]


def tangent_of(node: Tensor) -> list[tuple[Tensor, str]]:
    """The forward nodes whose tangent `node` is, oldest first, each with the op whose rule made it."""
    return [(forward, rules[0]) for forward, rules in _linked(_tangent_of, node)]


def carry_links(node: Tensor, new: Tensor, moved: Callable[[Tensor], Tensor | None]) -> None:
    """`new` takes the place of `node`: it is the adjoint and tangent of what takes the places of those forward nodes."""
    for forward, ways in _linked(_adjoint_of, node):
        target = moved(forward)
        if target is not None:
            for way in ways:
                _link(_adjoint_of, new, target, [_carried(part, moved) for part in way])
    for forward, rules in _linked(_tangent_of, node):
        target = moved(forward)
        if target is not None:
            _link(_tangent_of, new, target, rules[0])


def _carried(part: tuple[Use, int, ref[Tensor]], moved: Callable[[Tensor], Tensor | None]) -> Any:
    (through, rule, where, given), operand, made = part

    def at(x: ref[Tensor] | None) -> Any:
        old = None if x is None else x()
        new = None if old is None else moved(old)
        return x if new is None else ref(new)

    return (at(through), rule, where, at(given)), operand, at(made)


def _link(relation: _Relation[Any], node: Tensor, forward: Tensor, way: Any) -> None:
    """One link is a pair; several are a dict by the number of the forward node.

    What depends on no leaf is shared by all models: a link with it would tell of another.
    """
    if not forward.leafy:
        return
    links = relation.get(node)
    if links is None:
        relation.put(node, (ref(forward), way))
        return
    if isinstance(links, tuple):
        before = links[0]()
        links = relation.put(node, {} if before is None else {id(before): links})
    key = id(forward)
    known = links.get(key)
    if known is None or known[0]() is not forward:
        links.pop(key, None)  # of a node that is gone: the new one is the youngest
        links[key] = ref(forward), way
        if len(links) >= MANY and not len(links) & (len(links) - 1):
            for dead in [k for k, link in links.items() if link[0]() is None]:
                del links[dead]
    elif len(known) <= MOST_WAYS and way and not any(_same(way, other) for other in known[1:]):
        links[key] = (*(known if known[1] else known[:1]), way)


def _same(a: Any, b: Any) -> bool:
    """Whether two sums have the same terms. (References to tensors compare them by ==, which is elementwise here.)"""
    if isinstance(a, str):
        return True
    return len(a) == len(b) and all(
        m is n and i == j and x[0] is y[0] and x[1] == y[1] for (x, i, m), (y, j, n) in zip(a, b, strict=True)
    )


def _linked(relation: _Relation[Any], node: Tensor) -> list[tuple[Tensor, list[Any]]]:
    links = relation.get(node) or {}
    found = [links] if isinstance(links, tuple) else list(links.values())
    return [(forward, ways) for link, *ways in found if (forward := link()) is not None]


def _contribution(part: tuple[Use, int, ref[Tensor]]) -> Contribution:
    (through, rule, where, given), operand, made = part
    return Contribution(through(), rule, where, operand, None if given is None else given(), made())
