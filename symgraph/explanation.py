"""What the compiler did with what was written: every rewrite rule that fired, how often, and where.

    >>> from symgraph import symbol
    >>> x = symbol("x")
    >>> print(explain((x * x) / x + 0))
    2 rewrites by 2 rules, 5 nodes -> 1
    <BLANKLINE>
    collect factors (finite-real), 1 time
        <...>:1  x * x / x -> x
    x + 0 (finite-real), 1 time
        <...>:1  x + 0 -> x

A rule is named with its tag: *exact* keeps every bit, *rounding* is equal in real arithmetic, *finite-real* wherever both
sides are finite. Parts that lie deeper than `DEPTH`, and have no name, are letters: the same letter for the same part.
"""

from __future__ import annotations

from typing import Any

from .core import Bound, Constant, Item, Leaf, Tensor, toposort
from .function import Function
from .ops.base import as_tensor
from .ops.code import Code, call
from .printing import expression, number, without_cast
from .provenance import format_location, name_of
from .pytree import flatten
from .rewrite import SIMPLIFY, STABILIZE, sequence
from .rewrite.contractions import plan_contractions
from .rewrite.engine import Fired
from .rewrite.expand import EXPAND
from .rewrite.layout import ARRANGE
from .rewrite.lower import LOWER
from .rewrite.pattern import AnyOp, NodeRule, Rule
from .structured import Structured

DEPTH = 3
MOST_PLACES = 12
"""Of a rule that fired more often than this, the first places are listed."""
LONGEST = 120


def explain(outputs: Any, rewrites: bool = True) -> str:
    """A report on how `outputs` (a compiled `Function`, a tensor or any nesting) are simplified, as text.

    For each rule: its name and tag, how often it fired, and per firing the user's line with the expression before and
    after. The passes are those that `function` runs for the fast style, contractions last. Without `rewrites` only the count
    of rewrites and of nodes before and after. A structured Jacobian or Hessian tells its formula and how it was found first.

    Raises `TypeError` for what is no tensor.
    """
    if isinstance(outputs, Function):
        if not outputs.written:
            raise TypeError(
                f"{outputs.name} was loaded or copied and holds its source only; explain the tensors it was made of"
            )
        roots = list(outputs.written)
    else:
        roots = [as_tensor(leaf) for leaf in flatten(outputs)[0]]
    stories = [f"{root} by {root.story}" for root in roots if isinstance(root, Structured) and root.story]
    before = len(toposort(roots))
    fired: Fired = []
    nodes, _ = sequence(roots, (STABILIZE + SIMPLIFY, LOWER, EXPAND, SIMPLIFY, ARRANGE), fired)
    planned, step = plan_contractions(nodes)
    found: dict[tuple[str, str], list[str]] = {}
    for rule, old, new in fired:
        found.setdefault((title(rule), rule.tag), []).append(_change(old, new))
    for old, new in step.items():
        if new is not old and new.op != old.op:
            found.setdefault(("contraction planned", "rounding"), []).append(_change(old, new))
    nodes, count = planned, sum(map(len, found.values()))
    times = f"{count} rewrite{'s' * (count != 1)} by {len(found)} rule{'s' * (len(found) != 1)}"
    lines = [*stories, f"{times}, {before} nodes -> {len(toposort(nodes))}"]
    if not rewrites or not found:
        return "\n".join(lines)
    lines.append("")
    for (name, tag), places in sorted(found.items(), key=lambda entry: -len(entry[1])):
        lines.append(f"{name} ({tag}), {len(places)} time{'s' * (len(places) != 1)}")
        lines += [f"    {place}" for place in places[:MOST_PLACES]]
        if len(places) > MOST_PLACES:
            lines.append(f"    and {len(places) - MOST_PLACES} more")
    return "\n".join(lines)


def title(rule: Rule | NodeRule) -> str:
    """The name of a rule, or its pattern as mathematics."""
    return rule.name or (str(_Line().text(rule.pattern, 6)) if isinstance(rule, Rule) else "rule")


def _change(old: Tensor, new: Tensor) -> str:
    """`model.py:14  x * x / x -> x`."""
    line = _Line()
    where = format_location(old.where)
    text = f"{_short(line.text(old, DEPTH))} -> {_short(line.text(new, DEPTH))}"
    return f"{where}  {text}" if where else text


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


class _Line:
    """The letters for the parts of one line."""

    def __init__(self) -> None:
        self.letters: dict[Tensor, Code] = {}

    def text(self, node: Tensor, depth: int) -> Code:
        """`node` to a depth, then letters."""
        if isinstance(node.op, AnyOp):
            xs = [self.text(x, depth - 1) for x in node.inputs]
            return call(node.op.kind.__name__.lower(), *xs)
        known = number(node)
        name = name_of(node)
        if known is not None:
            return known
        aval = None if isinstance(node.aval, tuple) else node.aval
        if name is not None:
            return Code(name, aval=aval)
        if isinstance(node.op, Constant):
            return Code("constant", aval=aval)
        if node in self.letters or depth == 0 or isinstance(node.op, Item | Bound | Leaf):
            letter = self.letters.get(node)
            if letter is None:
                count = len(self.letters)
                letter = self.letters[node] = Code(f"{'abcdefgh'[count % 8]}{count // 8 or ''}", aval=aval)
            return letter
        xs = [self.text(without_cast(x, node), depth - 1) for x in node.inputs]
        return expression(node, xs)


__all__ = ["explain"]
