"""Nestings of list, tuple and dict: taken apart into a flat list of leaves, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Rebuild = Callable[[Iterable[Any]], Any]
"""Puts a flat sequence of leaves back into the nesting it was taken from."""


DEEPEST = 200
"""Nestings are no deeper than this."""


class Compound:
    """A value made of several leaves that is put together anew around other leaves, such as a sparse matrix."""

    def parts(self) -> list[Any]:
        """The leaves."""
        raise NotImplementedError

    def rebuilt(self, parts: list[Any]) -> Any:
        """The same around other leaves: tensors, or the arrays that a function computed for them."""
        raise NotImplementedError


def flatten(tree: Any) -> tuple[list[Any], Rebuild]:
    """The leaves of `tree` in order, and the function that rebuilds the nesting around new leaves.

    Raises `ValueError` for a nesting deeper than `DEEPEST`, such as one that holds itself.

    >>> leaves, rebuild = flatten({"a": 1, "b": (2, [3])})
    >>> leaves
    [1, 2, 3]
    >>> rebuild("xyz")
    {'a': 'x', 'b': ('y', ['z'])}
    """
    leaves: list[Any] = []
    shape = _shape_of(tree, leaves, DEEPEST)
    count = len(leaves)

    def rebuild(new: Iterable[Any]) -> Any:
        values = list(new)
        if len(values) != count:
            raise ValueError(f"{len(values)} leaves for a nesting of {count}")
        return _fill(shape, iter(values))

    return leaves, rebuild


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` applied to every leaf, in the same nesting."""
    leaves, rebuild = flatten(tree)
    return rebuild([function(leaf) for leaf in leaves])


def paths(tree: Any) -> list[str]:
    """A text for each leaf that says where it stands, such as `['layers'][0]`; empty for a bare leaf."""
    if isinstance(tree, dict):
        return [f"[{key!r}]{rest}" for key, item in tree.items() for rest in paths(item)]
    if isinstance(tree, list | tuple):
        return [f"[{i}]{rest}" for i, item in enumerate(tree) for rest in paths(item)]
    if isinstance(tree, Compound):
        return [rest for item in tree.parts() for rest in paths(item)]
    return [""]


class _Leaf:
    pass


class _Compound:
    def __init__(self, value: Compound, shapes: list[Any]) -> None:
        self.value = value
        self.shapes = shapes


def _shape_of(tree: Any, leaves: list[Any], depth: int) -> Any:
    if not isinstance(tree, dict | list | tuple | Compound):
        leaves.append(tree)
        return _Leaf
    if not depth:
        raise ValueError(
            f"a nesting deeper than {DEEPEST} levels has no leaves that could be listed; does it hold itself?"
        )
    depth -= 1
    if isinstance(tree, dict):
        return {key: _shape_of(item, leaves, depth) for key, item in tree.items()}
    if isinstance(tree, Compound):
        return _Compound(tree, [_shape_of(item, leaves, depth) for item in tree.parts()])
    items = [_shape_of(item, leaves, depth) for item in tree]
    return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)


def _fill(shape: Any, values: Any) -> Any:
    if shape is _Leaf:
        return next(values)
    if isinstance(shape, dict):
        return {key: _fill(item, values) for key, item in shape.items()}
    if isinstance(shape, _Compound):
        return shape.value.rebuilt([_fill(item, values) for item in shape.shapes])
    if hasattr(shape, "_fields"):
        return type(shape)(*[_fill(item, values) for item in shape])
    return type(shape)([_fill(item, values) for item in shape])
