"""Whose derivative a node is, and which derivative rules made it.

The adjoint of a value is the sum of what its uses contribute: each use asks the rule of an op, which is given the adjoint
of the result (`ct`) and makes that of the operand. A tangent is made by one rule, from the tangents of the operands.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from ..core import Constant, Leaf, Tensor
from ..ops.code import Code
from ..printing import expression, number
from ..provenance import Contribution, adjoint_of, contributions, format_location, line_of, name_of, tangent_of
from .text import WIDTH, Line, counted, first, formula, names_in, safe

MOST_FORWARD = 4
"""Of a node that is the adjoint of more values than this, the first are told."""

MOST_USES = 8
"""Of an adjoint that adds more contributions than this, the first are told."""

NEAR = 200
"""So many nodes around a tangent are searched for the tangents that it was made of."""


def adjoint_story(node: Tensor, within: Collection[Tensor] | None) -> list[str]:
    """For each value whose adjoint `node` is: the uses it sums over, and the rules that made each contribution.

    A constant may be the adjoint of values in any model; `within` says which are meant.
    """
    linked = [(f, ways) for f, ways in contributions(node) if f is not node and _is_meant(node, f, within)]
    lines: list[str] = []
    for forward, ways in linked[:MOST_FORWARD]:
        lines.append(f"adjoint of {described(forward)}")
        if not ways:
            lines.append(
                "    where reverse mode starts: the cotangent that was given for the output (1 for a gradient)"
            )
        told = dict.fromkeys("\n    ".join(["", *_sum(forward, way)]) for way in ways)
        lines += "\n    in another derivative:".join(told).split("\n")[1:]
    if len(linked) > MOST_FORWARD:
        lines.append(f"and the adjoint of {counted(len(linked) - MOST_FORWARD, 'value')} more")
    return lines


def _is_meant(node: Tensor, forward: Tensor, within: Collection[Tensor] | None) -> bool:
    return node.leafy or (within is not None and forward in within)


def _sum(forward: Tensor, way: Sequence[Contribution]) -> list[str]:
    lines = [f"gradients add: {counted(len(way), 'contribution')}"] if len(way) > 1 else []
    told = [line for c in way[:MOST_USES] for line in _contributed(forward, c)]
    more = [f"and {counted(len(way) - MOST_USES, 'contribution')} more"] if len(way) > MOST_USES else []
    return [*lines, *told, *more]


def _contributed(forward: Tensor, c: Contribution) -> list[str]:
    """`through h @ W2 (model.py:9), matmul: adjoint of the left operand = ct @ W2.T`."""
    at = format_location(c.where)
    place = f" ({at})" if at else ""
    line = None
    if c.through is None:
        start = f"through {c.rule}{place}, no longer in memory: adjoint of operand {c.operand + 1}"
    else:
        line = Line(taken=names_in([c.through, *([] if c.made is None else [c.made])], 4))
        stable = "" if c.rule == c.through.op.name else f" in its stable form {c.rule}"
        which = f"operand {c.operand + 1}" if stable else operand(c.through, c.operand)
        rule = "" if stable else f", {rule_name(c.through)}"
        start = f"through {formula(c.through, 2, line=line)}{place}{stable}{rule}: adjoint of {which}"
    if c.made is None:
        return [start]
    told = _made(c, line)
    return [f"{start} = {told}"] if len(start) + len(told) + 3 <= WIDTH - 8 else [start, f"    = {told}"]


def rule_name(node: Tensor) -> str:
    """The op, or the function whose rule the user gave."""
    of = getattr(node.op, "of", None)
    return f"the rule given for {of}" if isinstance(of, str) else node.op.name


def _made(c: Contribution, line: Line | None) -> str:
    """What the rule made, over the adjoint that it was given and the value that it belongs to."""
    assert c.made is not None
    if c.made is c.given:
        return "1" if _is_one(c.given) else "ct, passed on as it is"
    line = line or Line(taken=names_in([c.made], 4))
    plain = formula(c.made, 4)
    of = formula(c.through, 2, line=line) if c.through is not None else ""
    known: dict[Tensor, str] = {}
    if c.through is not None and name_of(c.through) is None and not isinstance(c.through.op, Leaf | Constant):
        known[c.through] = _unused("y", plain)
    ct = _unused("ct", plain)
    if c.given is not None and not _is_one(c.given):
        known[c.given] = ct
    line.letters.update({node: Code(name, aval=node.aval) for node, name in known.items()})
    told = formula(c.made, 4, line=line)
    if c.given is not None and _is_one(c.given):
        told += f", {ct} being 1"
    y = known.get(c.through) if c.through is not None else None
    if y and re.search(rf"\b{y}\b", told):
        told += f", {y} being {of}"
    return told


def _is_one(ct: Tensor | None) -> bool:
    literal = None if ct is None else number(ct)
    return literal is not None and float(getattr(ct.op, "number", None) or 0) == 1  # type: ignore[union-attr]


def _unused(name: str, text: str) -> str:
    while re.search(rf"\b{name}\b", text):
        name += "_"
    return name


def operand(node: Tensor, position: int) -> str:
    """Which operand, as the user wrote them: `the left operand`, `operand 2 of 3`."""
    count = len(node.inputs)
    if count == 1:
        return "the operand"
    probes = [Code(f"_{i}_", aval=None if isinstance(x.aval, tuple) else x.aval) for i, x in enumerate(node.inputs)]
    text = str(expression(node, probes))
    at = [text.find(p) for p in probes]
    if count == 2 and min(at) >= 0 and re.fullmatch(r"_\d_(?:\.T)? \S+ _\d_(?:\.T)?", text):
        return "the left operand" if at[position] == min(at) else "the right operand"
    if min(at) >= 0:
        position = sorted(at).index(at[position])
    return f"operand {position + 1} of {count}"


def described(node: Tensor) -> str:
    """`hidden = tanh(x @ W1) (model.py:5)`, `the input x (model.py:3)`."""
    at = line_of(node)
    place = f" ({at})" if at else ""
    if isinstance(node.op, Leaf):
        return f"the {'input' if node.op.name == 'symbol' else node.op.name} {formula(node)}{place}"
    name = name_of(node)
    text = formula(node, 2)
    return f"{safe(name)} = {text}{place}" if name else f"{text}{place}"


# Tangents ------------------------------------------------------------------------------------------------------------


def tangent_story(node: Tensor, within: Collection[Tensor] | None) -> list[str]:
    """For each value whose tangent `node` is: the rule that made it, over the tangents of the operands."""
    linked = [(f, rule) for f, rule in tangent_of(node) if f is not node and _is_meant(node, f, within)]
    lines: list[str] = []
    for forward, rule in linked[:MOST_FORWARD]:
        lines.append(f"tangent of {described(forward)}")
        stable = "" if rule == forward.op.name else ", its stable form"
        moving = _tangents_near(node, forward)
        known = {t: f"t{i}" for i, t in enumerate(moving, 1) if t is not node and name_of(t) is None}
        lines.append(f"    by the rule of {rule}{stable} = {formula(node, 4, known)}")
        lines += [
            f"    {known[t]} is the tangent of {described(x)}"
            for t, x in list(moving.items())[:MOST_USES]
            if t in known
        ]
    return first(lines, MOST_FORWARD * (MOST_USES + 2))


def _tangents_near(node: Tensor, forward: Tensor) -> dict[Tensor, Tensor]:
    """Tangents of the operands of `forward` among what `node` is made of, and whose they are."""
    operands = set(forward.inputs)
    found: dict[Tensor, Tensor] = {}
    seen = {node}
    layer: list[Tensor] = [node]
    while layer and len(seen) < NEAR:
        below = [x for n in layer if n not in found for x in n.inputs if x not in seen]
        layer = list(dict.fromkeys(below))
        seen.update(layer)
        for x in layer:
            mine = [f for f, _ in tangent_of(x) if f in operands]
            if mine and x not in operands:
                found[x] = mine[0]
    return found


# What lies inside a rule ---------------------------------------------------------------------------------------------


def part_story(node: Tensor, order: Sequence[Tensor], users: dict[Tensor, list[Tensor]]) -> list[str]:
    """For a node that a derivative rule made on the way: the contribution it is a part of."""
    pieces = _pieces(order)
    seen, layer = {node}, [node]
    while layer:
        for n in layer:
            if n in pieces:
                forward, c = pieces[n]
                of = "is" if n is node else "is a part of"
                return [
                    f"{of} a contribution to the adjoint of {described(forward)}",
                    *_indented(_contributed(forward, c)),
                ]
            if n is not node and adjoint_of(n):
                return [f"is a part of the adjoint of {described(adjoint_of(n)[0])}"]
        above = [u for n in layer for u in users.get(n, ()) if u not in seen]
        layer = list(dict.fromkeys(above))
        seen.update(layer)
    return []


def _pieces(order: Iterable[Tensor]) -> dict[Tensor, tuple[Tensor, Contribution]]:
    """What rules made in this graph, and for which value."""
    found: dict[Tensor, tuple[Tensor, Contribution]] = {}
    for node in order:
        for forward, ways in contributions(node):
            for c in (c for way in ways for c in way):
                if c.made is not None:
                    found.setdefault(c.made, (forward, c))
    return found


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]
