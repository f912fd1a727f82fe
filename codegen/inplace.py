"""What may be written over what: found before anything is written, from the graph alone.

Parameters are updated in their own arrays where all else that reads them comes earlier, and nothing that follows can fail.
A term of a sum that is mostly zeros is not made, but added to the other in its places.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from symgraph.core import Item, Leaf, Tensor
from symgraph.dims import same_shape
from symgraph.ops.base import Elementwise, Primitive
from symgraph.ops.elementwise import Cast
from symgraph.ops.late import F
from symgraph.ops.shape import BroadcastTo

from .fuse import row_operands
from .program import Program
from .schedule import Schedule


def is_virtual(node: Tensor) -> bool:
    """Whether the step is no statement of its own: a view, a cast or a broadcast that NumPy does by itself."""
    return isinstance(node.op, Cast | BroadcastTo | Item) or (isinstance(node.op, Primitive) and node.op.is_view)


def added_in_place(plan: Schedule) -> dict[Tensor, Tensor]:
    """The sums of an array that nobody else reads and one that is mostly zeros, which is not made but added to the first."""
    found: dict[Tensor, Tensor] = {}
    for node in plan.steps:
        if node.op is not F.add or not node.ndim:
            continue
        once = [x for x in node.inputs if plan.uses[x] == 1 and same_shape(x.shape, node.shape)]
        if len(once) < 2:
            continue
        for other, term in (once, once[::-1]):
            made = (
                isinstance(other.op, Primitive) and not other.op.is_view and type(other.op).into is not Primitive.into
            )
            if made and term not in found and isinstance(term.op, Primitive) and term.op.mostly_zeros:
                found[node] = term
                break
    return found


def keeps_alive(
    steps: tuple[Tensor, ...], terms: Collection[Tensor], wholes: Mapping[Tensor, Tensor] = MappingProxyType({})
) -> dict[Tensor, frozenset[Tensor]]:
    """The values that must be alive while each value is read: itself, and what it is a view or an elided cast of.

    What `terms` are made of is read where they are added. Items of stacks that lie in them from the beginning need these
    `wholes`.
    """
    keeps: dict[Tensor, frozenset[Tensor]] = {}
    for node in steps:
        found = frozenset([node])
        if is_virtual(node) or node in terms:
            among = getattr(node.op, "aliases", range(len(node.inputs)))
            found = found.union(*[keeps[node.inputs[i]] for i in among])
        keeps[node] = found | {wholes[node]} if node in wholes else found
    return keeps


def updates_in_place(
    program: Program,
    steps: tuple[Tensor, ...],
    keeps: dict[Tensor, frozenset[Tensor]],
    writes: Callable[[Tensor], bool],
) -> tuple[dict[Tensor, Tensor], set[Tensor], dict[Tensor, list[Tensor]]]:
    """The new values computed in the parameters' own arrays, all that must come last, and the readers they wait for.

    A parameter may be overwritten where all else that reads it comes earlier, and nothing that follows can fail.
    """
    news = {new: p for p, new in program.updates if new.inputs and new.ndim}
    if len(news) < len([1 for _, new in program.updates if new.inputs and new.ndim]):
        return {}, set(), {}
    dependent: set[Tensor] = set()
    for node in steps:
        if any(x in news or x in dependent for x in node.inputs):
            dependent.add(node)
    safe = all(row_operands(n) is not None or (isinstance(n.op, Elementwise) and not n.ndim) for n in dependent)
    if not safe:
        return {}, set(), {}
    readers: dict[Tensor, list[Tensor]] = {p: [] for p in news.values()}
    for node in steps:
        for p in {p for x in node.inputs for p in keeps[x] if p in readers}:
            readers[p].append(node)
    seen = {p for y in program.outputs for p in keeps[y] if isinstance(p.op, Leaf)}
    seen |= {r for p, new in program.updates for r in keeps[new] if r is not p}
    finals: dict[Tensor, Tensor] = {}
    after: dict[Tensor, list[Tensor]] = {}
    for new, p in news.items():
        others = [r for r in readers[p] if r is not new]
        if p in seen or not writes(new) or any(r in dependent or r in news for r in others):
            continue
        reads = [x for x in new.inputs if p in keeps[x]]
        if any(x is not p for x in reads) or (reads and not new.op.inplace) or not same_shape(new.shape, p.shape):  # type: ignore[attr-defined]
            continue
        finals[new] = p
        if others:
            after[new] = others
    late = set(finals) | {n for n in dependent if any(True for _ in n.inputs)} if finals else set()
    return finals, late, after
