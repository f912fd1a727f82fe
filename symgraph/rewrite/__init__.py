"""Rewriting: rules as data, one engine, and the passes built from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .. import numpy_api as numpy_api  # the rules are written with the functions
from .. import operators as operators  # and the operators
from ..core import Tensor
from ..ops.base import as_tensor
from ..pytree import flatten
from .engine import Fired, Mapping, rewrite, sequence
from .pattern import NodeRule, Rule, RuleSet, rule, some, wildcards
from .simplify import CANONICALIZE, SIMPLIFY
from .stabilize import STABILIZE


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

    >>> from symgraph import simplify, symbol
    >>> x, y = symbol("x"), symbol("y")
    >>> simplify(x * 1 + (y - y)) is x
    True
    """
    leaves, restore = flatten(outputs)
    found, _ = sequence([as_tensor(leaf) for leaf in leaves], (STABILIZE + SIMPLIFY,))
    return restore(found)


__all__ = ["CANONICALIZE", "SIMPLIFY", "STABILIZE", "Fired", "Mapping", "NodeRule", "Rule", "RuleSet", "rewrite", "rule",
           "sequence", "simplify", "some", "stabilize", "stabilize_nodes", "wildcards"]  # fmt: skip
