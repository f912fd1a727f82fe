"""The picture that was asked for: which graph, how deep, around what, with what in one box."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from operator import index
from typing import Any

from ..core import Tensor, describe
from ..errors import SymgraphError
from .collapse import STAGES, STEPS, Assigned, by_depth, by_kind, by_part, contracted
from .focus import focused
from .model import painted
from .picture import Picture

MOST = 4000
"""Larger pictures are neither drawn nor read."""

ENOUGH = 150
"""`collapse="auto"` looks for a picture of at most this many nodes."""

BOTH = ("as written", "after rewriting")


@dataclass(frozen=True)
class Choice:
    """What is to be seen of a graph: the arguments that `draw`, `to_graphviz`, `to_networkx` and `view` have in common.

    `optimize`: False for the graph as it was written, True as rewriting leaves it, `"both"` for the two side by side.
    `by`: what makes the parts of the model: the user's scopes, or the named values (`"name"`), or the lines (`"line"`).
    `depth`: parts nested deeper are one box each; 0 shows every part as a box.
    `focus`: a tensor or a name, or several; only what is within `radius` edges of them is shown.
    `collapse`: what else goes into one box: `"elementwise"` (runs of elementwise steps), `"repeats"` (parts that come again),
    `"constants"` (arrays, written where they are used), `"parts"` (all of them), the name of a part; or several of these; or
    `"auto"`, as much as it takes to leave a readable picture.
    """

    optimize: Any = False
    by: str = "scope"
    depth: int | None = None
    focus: Any = None
    radius: int = 2
    collapse: Any = ()


def picture(outputs: Any, optimize: Any = False, **choices: Any) -> Picture:
    """The picture of `outputs`: a tensor, any nesting of tensors, or a `Function` (with its updates), as `Choice` tells."""
    return selected(outputs, Choice(optimize, **choices))[0]


def selected(outputs: Any, choice: Choice) -> tuple[Picture, dict[Tensor, str]]:
    """The picture, and the key of the node or box in it that stands for each tensor.

    Raises `ValueError` and `TypeError` for choices that are none, `SymgraphError` for names that are not in the graph.
    """
    if choice.optimize != "both":
        if not isinstance(choice.optimize, bool):
            raise ValueError(f"optimize={choice.optimize!r} is neither a bool nor 'both'")
        return _one(outputs, choice, _checked(choice))
    words = _checked(choice)
    sides = []
    for optimize, side in zip((False, True), BOTH, strict=True):
        shown, _ = _one(outputs, replace(choice, optimize=optimize), words)
        sides.append(_renamed(shown, "a" if optimize else "w", side))
    first, second = sides
    return Picture(first.nodes + second.nodes, first.edges + second.edges), {}


def _renamed(shown: Picture, prefix: str, side: str) -> Picture:
    nodes = [replace(n, key=prefix + n.key, side=side) for n in shown.nodes]
    edges = [replace(e, tail=prefix + e.tail, head=prefix + e.head) for e in shown.edges]
    return Picture(tuple(nodes), tuple(edges))


def _checked(choice: Choice) -> list[str]:
    """The words of `collapse`, once everything was found to be what it should be."""
    for name, value in (("depth", choice.depth), ("radius", choice.radius)):
        if value is None and name == "depth":
            continue
        try:
            fine = not isinstance(value, bool) and index(value) >= 0  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"{name}={value!r} is not a whole number") from None
        if not fine:
            raise ValueError(f"{name}={value!r} is not a whole number from 0 on")
    words = [choice.collapse] if isinstance(choice.collapse, str) else choice.collapse
    if not isinstance(words, Iterable) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"collapse={choice.collapse!r} is neither a word nor several")
    return list(words)


def _one(outputs: Any, choice: Choice, words: list[str]) -> tuple[Picture, dict[Tensor, str]]:
    rest = [word for word in words if word not in ("auto", "constants")]
    shown, keys = painted(outputs, choice.optimize, choice.by, "constants" not in words)
    if choice.focus is not None:
        shown = focused(shown, _middle(shown, keys, choice.focus), index(choice.radius))
        left = {n.key for n in shown.nodes}
        keys = {node: key for node, key in keys.items() if key in left}
    todo = [STEPS[w](shown) if w in STEPS else _named(shown, w) for w in rest]  # look before anything is put away
    if choice.depth is not None:
        todo.insert(0, by_depth(shown, choice.depth))
    for assigned in todo:
        shown, keys = _put_away(shown, keys, assigned)
    if choice.depth is not None:
        shown = _without_parts(shown, choice.depth)
    return _smaller(shown, keys) if "auto" in words else (shown, keys)


def _put_away(shown: Picture, keys: dict[Tensor, str], assigned: Assigned) -> tuple[Picture, dict[Tensor, str]]:
    present = {n.key for n in shown.nodes}
    shown, now = contracted(shown, {key: box for key, box in assigned.items() if key in present})
    return shown, {node: now[key] for node, key in keys.items()}


def _without_parts(shown: Picture, depth: int) -> Picture:
    """The picture without the frames of parts that are nested deeper: one node stands for each of them."""
    return Picture(tuple([replace(n, parts=n.parts[:depth]) for n in shown.nodes]), shown.edges)


def _smaller(shown: Picture, keys: dict[Tensor, str]) -> tuple[Picture, dict[Tensor, str]]:
    """The first of ever coarser pictures that is small enough, or the last.

    Where parts are boxes, there is no room for the gradient and the new value of each of many parameters either.
    """
    done = False
    for assign in STAGES:
        if len(shown.nodes) <= ENOUGH:
            break
        shown, keys = _put_away(shown, keys, assign(shown))
        done = True
    return _put_away(shown, keys, by_kind(shown)) if done else (shown, keys)


def _middle(shown: Picture, keys: dict[Tensor, str], focus: Any) -> list[str]:
    """The keys of what is to be in the middle."""
    found: list[str] = []
    for item in focus if isinstance(focus, list | tuple) else [focus]:
        if isinstance(item, Tensor):
            if item not in keys:
                raise SymgraphError(f"focus: {describe(item)} is not drawn in the graph of the outputs")
            found.append(keys[item])
        elif isinstance(item, str):
            mine = [n.key for n in shown.nodes if item and item in (n.name, *n.role.rpartition(" of ")[::2])]
            mine = mine or [n.key for n in shown.nodes if n.text.partition(" = ")[0] == item]
            if not mine:
                raise SymgraphError(
                    f"focus: nothing in the graph is named {item!r}{_close(item, [n.name for n in shown.nodes])}"
                )
            found += mine
        else:
            raise TypeError(f"focus is a tensor or a name, or several, not {item!r}")
    return found


def _named(shown: Picture, word: str) -> Assigned:
    found = by_part(shown, word)
    if not found:
        names = [part.name for n in shown.nodes for part in n.parts]
        others = ", ".join(map(repr, (*STEPS, "constants", "auto")))
        raise SymgraphError(f"collapse: {word!r} is no part of the model{_close(word, names)}, and none of {others}")
    return found


def _close(word: str, names: list[str]) -> str:
    close = get_close_matches(word, list(dict.fromkeys(filter(None, names))), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_size(count: int, most: int, what: str) -> None:
    """Refuse a picture that is too large.

    Raises `SymgraphError`.
    """
    if count > most:
        raise SymgraphError(
            f"the graph has {count:,} nodes, and {what} holds at most {most:,}. Put nodes together with collapse='auto' or "
            "depth=0, or look at a part of it with focus=..., or write its text with draw(outputs, 'model.dot')."
        )
