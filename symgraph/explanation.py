"""What is behind a node or a compiled function, told to a person: see `explaining` for each part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .core import Tensor, building, describe
from .explaining.node import Context, node_story
from .explaining.program import function_story
from .explaining.rewriting import Rewriting
from .function import Function
from .ops.base import as_tensor
from .pytree import flatten
from .structured import Structured


@building()
def explain(outputs: Any, rewrites: bool = True, *, within: Any = None, sizes: Mapping[str, int] | None = None) -> str:
    """A report as text on a node (a tensor), on a compiled `Function`, or on how a nesting of tensors is simplified.

    Of a *node*: what it computes, as mathematics, where named parts are names; its shape, dtype, line and scopes; of which
    values it is the adjoint or tangent, and by which derivative rules; then the rewrites that compiling it alone would
    make. With `within`, the outputs or the `Function` that it is part of, also who uses it; and of a function, what
    became of it there, by which rules, and which generated lines compute it. A name stands for the node of that name.

    Of a *function*: the rewrite rules that fired and where, hazards of its derivatives, its cost in the dimensions, its
    memory (for `sizes`, such as `{"batch": 64}`), and for every generated line the user's line it comes from.

    A rewrite rule is named with its tag: *exact* keeps every bit, *rounding* is equal in real arithmetic, *finite-real*
    wherever both sides are finite. Without `rewrites` they are only counted. No line is longer than 120 characters.

    Raises `TypeError` for what is no tensor, and for a function that was loaded without its graph; `SymgraphError` for a
    node that is no part of `within`; `ShapeError` for `sizes` that are missing or that no argument has.

    >>> from symgraph import symbol
    >>> x = symbol("x")
    >>> print(explain((x * x) / x + 0))
    add: scalar float64, made at <...>:1
    <BLANKLINE>
    computes
        x * x / x + 0
    <BLANKLINE>
    2 rewrites by 2 rules, 5 nodes -> 1
    <BLANKLINE>
    collect factors (finite-real), 1 time
        <...>:1  x * x / x -> x
    x + 0 (finite-real), 1 time
        <...>:1  x + 0 -> x
    """
    if within is not None:
        return "\n".join(node_story(*_placed(outputs, within)))
    if isinstance(outputs, Function):
        if outputs.program is None:
            raise TypeError(
                f"{outputs.name} was loaded or copied and holds its source only; explain the tensors it was made of"
            )
        return "\n".join(function_story(outputs, rewrites, sizes))
    if isinstance(outputs, str):
        raise TypeError(f"{outputs!r} is a name; explain(name, within=outputs) finds the node that has it")
    roots = [_tensor(leaf) for leaf in flatten(outputs)[0]]
    if not roots:
        raise TypeError("there is nothing to explain: no tensor was given")
    if not any(isinstance(leaf, Tensor | Structured) for leaf in flatten(outputs)[0]):
        raise TypeError(f"{describe(outputs)} is a value, and there is nothing to explain about it; give a tensor")
    if isinstance(outputs, Tensor):
        lines = [*node_story(outputs), ""]
    else:
        lines = [f"{root} by {root.story}" for root in roots if isinstance(root, Structured) and root.story]
    return "\n".join([*lines, *Rewriting.of(roots).report(rewrites)])


def _placed(node: Any, within: Any) -> tuple[Tensor, Context]:
    """The node and the graph it is explained in."""
    if isinstance(node, Function | list | tuple | dict):
        raise TypeError(f"with within=, explain takes one tensor or its name, not {describe(node)}")
    context = Context(within)
    return context.find(node if isinstance(node, str) else _tensor(node)), context


def _tensor(leaf: Any) -> Tensor:
    try:
        return as_tensor(leaf)
    except TypeError:
        raise TypeError(
            f"explain takes tensors, a nesting of them, or a compiled Function, not {describe(leaf)}"
        ) from None


__all__ = ["explain"]
