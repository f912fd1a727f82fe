"""The story of one node: what it computes, whose derivative it is, who uses it, and what the compiler made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import Constant, Leaf, Tensor, describe, format_shape, toposort
from ..errors import SymgraphError
from ..function import Function
from ..naming import output_label
from ..ops.base import as_tensor
from ..printing import to_text
from ..provenance import format_location, line_of, name_of
from ..pytree import flatten, paths
from ..structured import Structured
from .derivative import adjoint_story, described, operand, part_story, tangent_story
from .links import carrier
from .rewriting import Rewriting, arrow, history
from .source_map import source_map, table
from .text import counted, first, formula, indented, place, safe

MOST_LINES = 16
"""Of a long computation the last lines are told."""

MOST_USERS = 12
MOST_STEPS = 8


class Context:
    """The graph in which a node is explained: outputs with what they are called, or a compiled function."""

    def __init__(self, within: Any) -> None:
        self.function = within if isinstance(within, Function) else None
        if self.function is not None:
            f = self.function
            if f.program is None:
                raise TypeError(
                    f"{f.name} was loaded or copied and holds its source only; explain within the function it was made from"
                )
            count = len(f.program.outputs)
            self.roots = list(f.written)
            labels = [f"update of {safe(name_of(p) or 'a parameter')}" for p, _ in f.program.updates]
            self.labels = [*_labels(f.program.tree, self.roots[:count]), *labels]
        else:
            leaves, _ = flatten(within)
            self.roots = [as_tensor(leaf) for leaf in leaves]
            self.labels = _labels(within, self.roots)
        self.order = toposort(self.roots)
        self.present = set(self.order)
        self.users: dict[Tensor, list[Tensor]] = {}
        for node in self.order:
            for x in dict.fromkeys(node.inputs):
                self.users.setdefault(x, []).append(node)

    def find(self, node: Any) -> Tensor:
        """The node, or the one of that name; a `SymgraphError` where the graph has no such node."""
        if isinstance(node, str):
            named = [n for n in self.order if name_of(n) == node]
            if not named:
                known = ", ".join(dict.fromkeys(safe(n) for x in self.order if (n := name_of(x))))
                raise SymgraphError(f"nothing is named {node!r} there; the names are {known or 'none'}")
            return named[0]
        found = as_tensor(node)
        made = () if self.function is None else self.function.program.order  # type: ignore[union-attr]
        if found not in self.present and found not in set(made):
            where = format_location(found.where)
            raise SymgraphError(
                f"{describe(found)}{f' (made at {where})' if where else ''} is no part of the "
                f"{'function' if self.function else 'outputs'} given as within=; explain it alone, or within what uses it"
            )
        return found


def _labels(tree: Any, roots: Sequence[Tensor]) -> list[str]:
    if len(roots) == 1:
        return ["the output"]
    places = list(paths(tree))
    made = [output_label(root, path, "") for root, path in zip(roots, places, strict=True)]
    nested = [path if path.count("[") > 1 else str(i) for i, path in enumerate(places, 1)]
    return [f"output {safe(label or path)}" for label, path in zip(made, nested, strict=True)]


def node_story(node: Tensor, context: Context | None = None) -> list[str]:
    """What there is to tell of a node, section by section."""
    lines = _heading(node)
    known = context is None or node in context.present
    sections = {
        "computes": _computes(node),
        "derivative": _derivative(node, context) if known else [],
        "used by": _used(node, context) if context and known else [],
        "compiled": _compiled(node, context) if context and context.function else [],
    }
    for name, told in sections.items():
        if told:
            lines += ["", name, *indented(told)]
    return lines


def _heading(node: Tensor) -> list[str]:
    name = name_of(node)
    avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
    kind = f"{safe(name)}: " if name else ""
    if isinstance(node.op, Leaf):
        kind += "input, " if node.op.name == "symbol" else f"{node.op.name}, "
    elif not name:
        kind = f"{node.op.name}: "
    types = "; ".join(f"{format_shape(a.shape)} {a.dtype}" if a.shape else f"scalar {a.dtype}" for a in avals)
    made = place(node.where) if node.leafy else ""
    derived = f"; by differentiation (order {node.order})" if node.order and node.leafy else ""
    return indented([f"{kind}{types}{f', made at {made}' if made else ''}{derived}"], 0)


def _computes(node: Tensor) -> list[str]:
    """The mathematics, in let-form; of a long one the end."""
    if isinstance(node.op, Leaf):
        return []
    if isinstance(node, Structured):
        story = [f"found by {node.story}"] if node.story else []
        return [line for text in (node.formula, *story) for line in text.split("\n")]
    if isinstance(node.aval, tuple):
        return [formula(node)]
    text = to_text(node).split("\n")
    rest = len(text) - MOST_LINES
    return text if rest <= 0 else [f"({counted(rest, 'line')} before)", *text[rest:]]


def _derivative(node: Tensor, context: Context | None) -> list[str]:
    within = context.present if context else None
    told = [*adjoint_story(node, within), *tangent_story(node, within)]
    if not told and node.op.mentions:
        told = [f"derivative of order {node.order} of {described(x)}" for x in node.inputs[-node.op.mentions :]]
    if not told and node.order and node.inputs:
        told = part_story(node, context.order, context.users) if context else []
        hint = "" if context else "; explain(node, within=outputs) tells for which value"
        told = told or [f"made on the way by a derivative rule{hint}"]
    return told


def _used(node: Tensor, context: Context) -> list[str]:
    """Each use: the operand it is, in what, where; and which output it is."""
    outputs = [f"is {label}" for root, label in zip(context.roots, context.labels, strict=True) if root is node]
    told = list(dict.fromkeys(outputs))
    users = context.users.get(node, [])
    for user in users[:MOST_USERS]:
        at = line_of(user)
        positions = [i for i, x in enumerate(user.inputs) if x is node]
        which = (
            "both operands"
            if len(positions) == len(user.inputs) == 2
            else ", ".join(operand(user, i) for i in positions)
        )
        name = name_of(user)
        told.append(f"{which} of {f'{safe(name)} = ' if name else ''}{formula(user, 2)}{f' ({at})' if at else ''}")
    if len(users) > MOST_USERS:
        told.append(f"and {counted(len(users) - MOST_USERS, 'user')} more")
    return told or ["nothing there"]


def _compiled(node: Tensor, context: Context) -> list[str]:
    """What rewriting made of the node, by which rules, and the generated lines that compute it."""
    f = context.function
    assert f is not None
    if isinstance(node.op, Leaf):
        return _read_in(node, f)
    if node not in context.present:
        told = [f"took the place of {formula(old)}" for old, new in f.became.items() if new is node and old is not node]
        return first(told, MOST_STEPS) or ["made by rewriting, on the way to what uses it"]
    multiple = f.multiples.get(node)
    lines = _became(node, f.became) if multiple is None else [f"as a multiple of it: {formula(multiple)}"]
    steps = history(Rewriting.of(f.written, **f.passes).trail, [node]).get(node, [])
    for rule, before, after in steps[:MOST_STEPS]:
        lines += [f"    {line}" for line in arrow(before, after, f"{rule}: ")]
    if len(steps) > MOST_STEPS:
        lines.append(f"    and {len(steps) - MOST_STEPS} more")
    found = source_map(f)
    rows = found.of(node)
    if rows and not isinstance(carrier(f, node).op, Constant):
        own = node in found.own
        lines += ["computed by" if own else "computed inside the lines of what uses it:", *table(rows, MOST_USERS)]
    return lines


def _read_in(leaf: Tensor, f: Function) -> list[str]:
    """The generated lines in which an input or parameter stands."""
    assert f.program is not None and f.details is not None
    names = {x: name for name, x in [*zip(f.details.arguments, f.program.inputs, strict=True)]}
    names |= {x: name for name, x in f.details.parameters.items()}
    word = re.compile(rf"\b{re.escape(names.get(leaf, ''))}\b")
    rows = [r for r in source_map(f).rows if r.function == f.name and not r.reason and word.search(r.text)]
    return ["stands in", *table(rows, MOST_USERS)] if rows and leaf in names else ["not needed"]


def _became(node: Tensor, became: Mapping[Tensor, Tensor]) -> list[str]:
    new = became.get(node, node)
    if new is node:
        return ["as it is written"] if node.inputs else []
    return [f"as {formula(new)}"]
