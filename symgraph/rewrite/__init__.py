"""Rewriting: rules as data, one engine, and the passes built from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .. import numpy_api as numpy_api  # the rules are written with the functions
from .. import operators as operators  # and the operators
from ..core import Leaf, Tensor, toposort
from ..ops.base import as_tensor
from ..provenance import carry_links, name_of, set_name
from ..pytree import flatten
from .engine import Fired, Mapping, compose, rewrite, sequence
from .pattern import NodeRule, Rule, RuleSet, rule, some, wildcards
from .simplify import CANONICALIZE, SIMPLIFY
from .sizes import SIZES
from .stabilize import STABILIZE

MOST_REWRITINGS = 4

READABLE = STABILIZE + SIMPLIFY + SIZES
"""What is read has 1 / m for 2 / (2 * m). What runs leaves the number: a factor is cheaper than a divisor."""


def stabilize_nodes(outputs: Sequence[Tensor], frozen: Collection[Tensor] = ()) -> list[Tensor]:
    """`outputs` with stable forms recognised, looking through no frozen node."""
    return rewrite(outputs, STABILIZE, frozen)[0]


def stabilize(outputs: Any) -> Any:
    """`outputs` (a tensor or any nesting) with numerically stable forms recognised.

    >>> from symgraph import exp, log, softplus, stabilize, symbol
    >>> x = symbol("x")
    >>> stabilize(log(1 + exp(x))) is softplus(x)
    True
    """
    leaves, restore = flatten(outputs)
    return restore(stabilize_nodes([as_tensor(leaf) for leaf in leaves]))


def simplify(outputs: Any) -> Any:
    """`outputs` (a tensor or any nesting) in simplified form, stable forms recognised.

    Names follow their nodes, and what was the gradient with respect to a node is so in the new graph.

    >>> from symgraph import simplify, symbol
    >>> x, y = symbol("x"), symbol("y")
    >>> simplify(x * 1 + (y - y)) is x
    True
    """
    leaves, restore = flatten(outputs)
    roots = [as_tensor(leaf) for leaf in leaves]
    found, mapping = _settled(roots)
    _carry_relations([*roots, *toposort(roots)], mapping)
    return restore(found)


def _settled(roots: Sequence[Tensor]) -> tuple[list[Tensor], Mapping]:
    """`roots` rewritten until nothing changes, so that a second `simplify` returns the same objects."""
    found, mapping = rewrite(roots, READABLE)
    for _ in range(MOST_REWRITINGS - 1):
        again, step = rewrite(found, READABLE)
        if all([a is b for a, b in zip(found, again, strict=True)]):
            break
        found, mapping = again, compose(mapping, step)
    return found, mapping


def _carry_relations(order: Sequence[Tensor], mapping: Mapping) -> None:
    """Names, and which node is the adjoint of which, from nodes to their successors; where two names meet, the first stays."""
    for old in order:
        new = mapping.get(old, old)
        if new is old or not new.leafy or isinstance(new.op, Leaf):
            continue
        name = name_of(old)
        if name is not None and name_of(new) is None:
            set_name(new, name)
    for old in order:
        carry_links(old, mapping.get(old, old), lambda x: mapping.get(x, x))


__all__ = ["CANONICALIZE", "READABLE", "SIMPLIFY", "STABILIZE", "Fired", "Mapping", "NodeRule", "Rule", "RuleSet", "rewrite", "rule",
           "sequence", "simplify", "some", "stabilize", "stabilize_nodes", "wildcards"]  # fmt: skip
