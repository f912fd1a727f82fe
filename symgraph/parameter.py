"""Parameters: leaves with a value of their own, which functions read and update."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .core import Leaf, ShapedArray, Tensor, as_array, describe
from .errors import DTypeError, ShapeError


class Turn:
    """Whose turn it is: functions that share a parameter, directly or through others, run one at a time."""

    __slots__ = ("__weakref__", "lock", "parent")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.parent: Turn | None = None
        _turns.add(self)

    def top(self) -> Turn:
        turn = self
        while turn.parent is not None:
            turn = turn.parent
        return turn

    def __enter__(self) -> Turn:
        while True:
            turn = self.top()
            turn.lock.acquire()
            if turn.parent is None:
                return turn
            turn.lock.release()

    def __exit__(self, *error: object) -> None:
        self.top().lock.release()

    @staticmethod
    def join(turns: Sequence[Turn]) -> Turn:
        """One turn for all: later calls wait for each other."""
        first = turns[0]
        with _joining:  # one join at a time, or two could wait for each other's locks
            for other in turns[1:]:
                with first as a:
                    b = other.top()
                    if a is not b:
                        with b.lock:
                            b.parent = a
            return first.top()


_joining = threading.Lock()
_turns: weakref.WeakSet[Turn] = weakref.WeakSet()


def _after_fork() -> None:
    """In a forked child: the threads whose turn it was are gone, and with them their turns."""
    global _joining
    _joining = threading.Lock()
    for turn in list(_turns):
        if not turn.lock._is_owned():  # type: ignore[attr-defined]
            turn.lock._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ParameterLeaf(Leaf):
    """A leaf whose value is kept beside it and may be updated by functions."""

    name = "parameter"


class Parameter(Tensor):
    """A leaf with a value that functions read and update; make one with `parameter`."""

    __slots__ = ("_array", "_turn", "advance")

    _array: np.ndarray[Any, Any]
    _turn: Turn
    advance: Callable[[], Tensor] | None
    """For the state of random draws: its next value, written after every call that reads it."""

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """A copy of the present value. Assigning copies in, and refuses another shape or a lossy dtype."""
        with self._turn:
            return self._array.copy()

    @value.setter
    def value(self, new: Any) -> None:
        array = as_array(new)
        if array.shape != self._array.shape:
            raise ShapeError(
                f"parameter {self.name} has shape {self._array.shape}; a value of shape {array.shape} does not fit"
            )
        if not np.can_cast(array.dtype, self._array.dtype, "safe") and not isinstance(new, int | float | list | tuple):
            raise DTypeError(
                f"parameter {self.name} is {self._array.dtype}; a value of {array.dtype} could lose values, "
                f"pass .astype(np.{self._array.dtype.name}) if that is meant"
            )
        with self._turn:
            self._array[...] = array

    def __setattr__(self, name: str, value: object) -> None:
        if name != "value":
            raise AttributeError(f"a parameter is immutable but for its value: {name} cannot be set")
        Parameter.value.fset(self, value)  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        return parameter, (self.value, self.name)


def parameter(value: Any, name: str) -> Parameter:
    """A fresh leaf with a value of its own, which functions read and update.

    >>> from symgraph import function, parameter
    >>> w = parameter([1.0, 2.0], "w")
    >>> function([], w.sum(), updates={w: 2 * w})()
    np.float64(3.0)
    >>> w.value
    array([2., 4.])
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"the name of a parameter must be a non-empty string, not {name!r}")
    if isinstance(value, Tensor):
        raise TypeError(
            f"the value of parameter {name} must be an array, not {describe(value)}; use evaluate to compute it"
        )
    array = as_array(value).copy()
    leaf = ParameterLeaf(name, ShapedArray(array.shape, array.dtype))
    made = Parameter(leaf, (), leaf.aval)
    put = object.__setattr__
    put(made, "_array", array)
    put(made, "_turn", Turn())
    put(made, "advance", None)
    return made
