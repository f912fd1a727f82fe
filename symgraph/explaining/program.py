"""The story of a compiled function: rewrites, hazards, cost, memory, and where every generated line comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import Tensor, toposort
from ..costs import Cost
from ..dims import variables
from ..errors import ShapeError
from ..function import Function
from ..hazards import Hazard, hazards
from ..provenance import adjoint_of, tangent_of
from .rewriting import Rewriting
from .source_map import source_map, table
from .text import first, indented, safe

MOST_HAZARDS = 12
MOST_OPS = 8
MOST_ROWS = 40


def function_story(f: Function, rewrites: bool, sizes: Mapping[str, int] | None) -> list[str]:
    """What there is to tell of a compiled function, section by section."""
    lines = indented([safe(repr(f).strip("<>"))], 0)
    lines += Rewriting.of(f.written, **f.passes).report(rewrites)
    found = source_map(f)
    sections = {
        "hazards": _hazards(f),
        "cost of a call": _cost(f.cost()),
        "memory": _memory(f, sizes),
        "generated line <- where it comes from": table(found.rows, MOST_ROWS),
    }
    for name, told in sections.items():
        lines += ["", name, *indented(told)]
    return lines


def _hazards(f: Function) -> list[str]:
    """Where a derivative can be inf or nan: of what was differentiated, or of everything if nothing was."""
    found = _differentiated(f, hazards(list(f.written)))
    told = [str(h) for h in found]
    return first(told, MOST_HAZARDS) or ["none known"]


def _differentiated(f: Function, found: list[Hazard]) -> list[Hazard]:
    """Of a function with derivatives the hazards of what they were taken of.

    Those of its gradients are of higher order, and what leads to new values of parameters alone is not differentiated.
    """
    assert f.program is not None
    order = toposort(f.written)
    level: dict[Tensor, int] = {}
    for node in order:
        level[node] = max([node.order, *[level[x] for x in node.inputs]])
    top = max(level.values(), default=0)
    if not top:
        return found
    seen = dict.fromkeys(x for node in order for x in (*adjoint_of(node), *[x for x, _ in tangent_of(node)]))
    inside = set(toposort([*f.written[: len(f.program.outputs)], *[x for x in seen if x in level]]))
    return [h for h in found if level.get(h.node, h.node.order) < top and (h.node in inside or h.node not in level)]


def _cost(cost: Cost) -> list[str]:
    """Operations and bytes over the dimensions, then the operations by op, in the order of first use."""
    lines = [f"FLOPs  {cost.flops}", f"bytes  {cost.bytes}"]
    by_op = [f"{name}, {c.steps} step{'s' * (c.steps != 1)}: {c.flops} FLOPs" for name, c in cost.by_op.items()]
    return [*lines, *[f"    {line}" for line in first(by_op, MOST_OPS)]]


def _memory(f: Function, sizes: Mapping[str, int] | None) -> list[str]:
    """Bytes, where the sizes are known."""
    names = list(dict.fromkeys(v.name for a in f.arguments for v in variables(*a.shape)))
    given: dict[str, Any] = dict(sizes or {})
    if names and not given:
        example = ", ".join(f"{name!r}: 64" for name in names)
        return [
            f"depends on {', '.join(map(safe, names))}: explain(function, sizes={{{safe(example)}}}) tells the bytes"
        ]
    try:
        return [str(f.memory(**given))]
    except ShapeError as error:
        raise ShapeError(f"sizes={given}: {error}") from None
