"""What is done to each item of an array is done once, to the array, and a sum of products is one product of stacks.

    h[t] = tanh(x[t] @ U + h[t-1] @ W + b)      z = x @ U + b, and then tanh(z[t] + h[t-1] @ W)
    grad U = sum over t of x[t].T @ d[t]        tensordot(x, d), where d is the stack of all d[t]

An unrolled recurrence reads so as a person writes it: what does not depend on the step before is done for all steps at
once. The stacks are not copied together: each step writes into its place (`codegen.pieces`).

Sums are only associated in another way, so the rewriting is one of rounding.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core import Tensor, building, make, rebuild, toposort
from ..dims import same_shape
from ..ops.base import Elementwise
from ..ops.checkpoint import Checkpoint
from ..ops.einsum import Einsum, contraction
from ..ops.elementwise import Cast
from ..ops.joining import Stack
from ..ops.late import F
from ..ops.reduce import Sum
from ..ops.slices import FULL, Slice
from ..provenance import current, name_of
from .contractions.regions import elements
from .engine import Mapping as NodeMap
from .engine import compose
from .sums import terms_of

FEWEST = 4
"""Fewer items, or products, are left as they are."""

LARGEST = 1 << 21
"""Arrays of more elements are not made: what is done to one item at a time stays in the cache."""

MOST_ARRAYS = 16
"""The items of so many arrays are looked at, of those with the most items first."""


@building()
def do_together(outputs: Sequence[Tensor]) -> tuple[list[Tensor], NodeMap]:
    """`outputs` with items treated together where that saves steps, and the successor of every node.

    >>> from symgraph.core import symbol
    >>> x, U = symbol("x", (4, 3, 2)), symbol("U", (2, 5))
    >>> (y,), _ = do_together([(x[0] @ U) * (x[1] @ U) * (x[2] @ U) * (x[3] @ U)])
    >>> y is (x @ U)[0] * (x @ U)[1] * (x @ U)[2] * (x @ U)[3]
    True
    """
    order = toposort(outputs)
    found: list[Tensor] = list(outputs)
    done: NodeMap = dict(zip(order, order, strict=True))
    if not any([_is_item(node) or isinstance(node.op, Einsum) for node in order]):
        return found, done
    if any([isinstance(node.op, Checkpoint) for node in order]):
        return found, done  # stacks take the memory that the user wants to save
    keep = current.where
    try:
        for array, items in _whole_arrays(order):
            if done[array] is array and all(done[x] is x for x in items.values()):
                found, step = _at_once(found, array, items)
                done = compose(done, step)
        found, step, stacks = _Products(found).built()
        done = compose(done, step)
        for stack in stacks:
            found, step = _at_once(found, stack, dict(enumerate(stack.inputs)))
            done = compose(done, step)
    finally:
        current.where = keep
    return found, done


def _is_item(node: Tensor) -> bool:
    """Whether the node is one item along the first axis of an array."""
    op = node.op
    return isinstance(op, Slice) and isinstance(op.items[0], int) and all(i == FULL for i in op.items[1:])


def _item(array: Tensor, t: int) -> Tensor:
    return make(Slice((t, *[FULL] * (array.ndim - 1))), array)


def _whole_arrays(order: Sequence[Tensor]) -> list[tuple[Tensor, dict[int, Tensor]]]:
    """The arrays of which every item is read, those with the most items first."""
    found: dict[Tensor, dict[int, Tensor]] = {}
    for node in order:
        if _is_item(node):
            found.setdefault(node.inputs[0], {})[node.op.items[0]] = node  # type: ignore[attr-defined]
    known = [(x, items) for x, items in found.items() if isinstance(x.shape[0], int)]
    whole = [(x, items) for x, items in known if x.shape[0] == len(items) >= FEWEST]
    return sorted(whole, key=lambda entry: -len(entry[1]))[:MOST_ARRAYS]


class _Sums:
    """The sums of a graph with all their terms."""

    def __init__(self, order: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        users: dict[Tensor, list[Tensor]] = {}
        for node in order:
            for x in node.inputs:
                users.setdefault(x, []).append(node)
        kept = set(outputs)
        self.inner = {
            x
            for x in order
            if x.op is F.add and x not in kept and name_of(x) is None and len(users.get(x, ())) == 1
            and users[x][0].op is F.add and same_shape(users[x][0].shape, x.shape)
        }  # fmt: skip
        """Sums that are only a part of another."""
        self.roots = [x for x in order if x.op is F.add and x not in self.inner]

    def terms(self, root: Tensor) -> list[Tensor]:
        """The terms of a sum, from left to right."""
        return terms_of(root, self.inner)


# Items ---------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Family:
    """Nodes that do the same with each item of an array: one op, of members of families and of what is common to all."""

    node: Tensor
    """The first of them."""
    operands: tuple[_Family | Tensor, ...] = ()
    members: dict[int, Tensor] = field(default_factory=dict)
    array: Tensor | None = None
    """The values of all of them."""

    def built(self, done: NodeMap) -> Tensor:
        """The array: the op applied to the arrays of the families."""
        if self.array is None:
            axes = [0 if isinstance(x, _Family) else None for x in self.operands]
            xs = [x.built(done) if isinstance(x, _Family) else done[x] for x in self.operands]
            self.array = _batched(self.node.op, axes, xs)
        return self.array


def _batched(op: Any, axes: Sequence[int | None], xs: Sequence[Tensor]) -> Tensor:
    made, axis = op.batch(axes, *xs)
    found: Tensor = F.moveaxis(made, axis, 0)
    return found


def _at_once(outputs: list[Tensor], array: Tensor, items: Mapping[int, Tensor]) -> tuple[list[Tensor], NodeMap]:
    """`outputs` with what is done to each of the items done to the array, and the successor of every node."""
    order = toposort([array, *outputs])  # all that the array is made of comes first, and is left as it is
    base = _Family(items[0], (), dict(items), array)
    family = _families(order, base, {*toposort([array]), *outputs})
    sums = _common_terms(order, base, family, outputs)
    done: NodeMap = {}
    arrays: dict[tuple[Tensor, ...], Tensor] = {}
    for node in order:
        current.where = node.where
        if node in family and family[node][0] is not base:
            made, t = family[node]
            done[node] = _item(made.built(done), t)
        elif node in sums:
            (made, t), common, rest = sums[node]
            key = made.node, *common
            if key not in arrays:
                arrays[key] = made.built(done)
                for x in common:
                    arrays[key] = _batched(F.add, [0, None], [arrays[key], done[x]])
            done[node] = _item(arrays[key], t)
            for x in rest:
                done[node] = done[node] + done[x]
        else:
            done[node] = rebuild(node, [done[x] for x in node.inputs])
    return [done[y] for y in outputs], done


def _families(order: Sequence[Tensor], base: _Family, left: set[Tensor]) -> dict[Tensor, tuple[_Family, int]]:
    """The families that have a member for each item of an array, by their members; nodes to be `left` are none."""
    member = {node: (base, t) for t, node in base.members.items()}
    found: dict[Hashable, _Family] = {}
    for node in order:
        if node in member or node in left or not node.ndim or not isinstance(node.op, Elementwise | Einsum | Cast):
            continue
        inside = [member.get(x) for x in node.inputs]
        places = {at[1] for at in inside if at is not None}
        if len(places) == 1:
            operands = tuple(x if at is None else at[0] for at, x in zip(inside, node.inputs, strict=True))
            made = found.setdefault((node.op, *map(id, operands)), _Family(node, operands))
            if same_shape(made.node.shape, node.shape):
                (t,) = places
                made.members[t] = node
                member[node] = made, t
    count = len(base.members)
    whole = {base}
    for made in found.values():  # parents first
        parents = {x for x in made.operands if isinstance(x, _Family)}
        if len(made.members) == count and elements(made.node) * count <= LARGEST and parents <= whole:
            whole.add(made)
    return {node: at for node, at in member.items() if at[0] in whole}


def _common_terms(
    order: Sequence[Tensor], base: _Family, family: Mapping[Tensor, tuple[_Family, int]], outputs: Sequence[Tensor]
) -> dict[Tensor, tuple[tuple[_Family, int], list[Tensor], list[Tensor]]]:
    """Sums of a member of a family, of terms that all members have, and of others."""
    sums = _Sums(order, outputs)
    found: dict[Tensor, tuple[tuple[_Family, int], list[Tensor]]] = {}
    places: dict[tuple[_Family, Tensor], set[int]] = {}
    for root in sums.roots:
        terms = sums.terms(root)
        members = [x for x in terms if x in family]
        if root not in family and len(members) == 1 and same_shape(members[0].shape, root.shape):
            made, t = family[members[0]]
            rest = [x for x in terms if x is not members[0]]
            found[root] = (made, t), rest
            for x in rest:
                places.setdefault((made, x), set()).add(t)
    chosen = {}
    for root, ((made, t), rest) in found.items():
        common = [x for x in rest if len(places[made, x]) == len(base.members)]
        if common and elements(root) * len(base.members) <= LARGEST:
            chosen[root] = (made, t), common, [x for x in rest if len(places[made, x]) < len(base.members)]
    return chosen


# Sums of products ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pile:
    """Values of one shape that are to be stacked."""

    nodes: tuple[Tensor, ...]


@dataclass
class _Group:
    """The terms of one sum that are products, or sums, of the same form."""

    root: Tensor
    terms: list[Tensor] = field(default_factory=list)
    labels: tuple[tuple[int, ...], ...] = ()
    operands: list[list[Tensor]] = field(default_factory=list)
    """For each operand its values in all terms."""
    stacks: list[tuple[_Pile | Tensor, int]] = field(default_factory=list)
    """For each operand the array or pile that has these values, one after the other, and the place of the first."""


class _Products:
    """Sums of at least `FEWEST` products of one form, which become products of stacks."""

    def __init__(self, outputs: list[Tensor]) -> None:
        self.outputs = outputs
        self.order = toposort(outputs)
        self.sums = _Sums(self.order, outputs)
        self.places: dict[Tensor, list[tuple[_Pile | Tensor, int]]] = {}
        for node in self.order:
            if _is_item(node):
                self.places[node] = [(node.inputs[0], node.op.items[0])]  # type: ignore[attr-defined]
        self.groups: dict[Tensor, list[_Group]] = {}
        for group in sorted(self._forms(), key=lambda g: (len(g.operands) < 2, -len(g.terms))):
            if self._arrange(group):
                self.groups.setdefault(group.root, []).append(group)

    def built(self) -> tuple[list[Tensor], NodeMap, list[Tensor]]:
        """The new outputs, the successor of every node, and the stacks that were made."""
        piles = {
            pile: None for gs in self.groups.values() for g in gs for pile, _ in g.stacks if isinstance(pile, _Pile)
        }
        order = toposort([*[x for pile in piles for x in pile.nodes], *self.outputs])
        done: NodeMap = {}
        made: dict[_Pile | Tensor, Tensor] = {}
        for node in order:
            current.where = node.where
            groups = [g for g in self.groups.get(node, ()) if all(x in done for x in self._needs(g))]
            if not groups:
                done[node] = rebuild(node, [done[x] for x in node.inputs])
                continue
            inside = {x for g in groups for x in g.terms}
            parts = [done[x] for x in self.sums.terms(node) if x not in inside]
            total = parts[0] if parts else None
            for x in [*parts[1:], *[self._product(g, done, made) for g in groups]]:
                total = x if total is None else total + x
            assert total is not None
            done[node] = total
        stacks = [x for pile, x in made.items() if isinstance(pile, _Pile) and isinstance(x.op, Stack)]
        return [done[y] for y in self.outputs], done, stacks

    def _forms(self) -> Iterator[_Group]:
        for root in self.sums.roots:
            terms = self.sums.terms(root) if root.dtype.kind == "f" else []
            groups: dict[Hashable, _Group] = {}
            for term in dict.fromkeys(terms) if len(set(terms)) == len(terms) >= FEWEST else ():
                form = _form(term) if same_shape(term.shape, root.shape) else None
                if form is not None:
                    labels, xs = form
                    group = groups.setdefault((term.op if len(xs) == 1 else None, labels), _Group(root, [], labels))
                    group.operands = group.operands or [[] for _ in xs]
                    if all(not ys or same_shape(ys[0].shape, x.shape) for ys, x in zip(group.operands, xs)):
                        group.terms.append(term)
                        for ys, x in zip(group.operands, xs, strict=True):
                            ys.append(x)
            yield from [g for g in groups.values() if len(g.terms) >= FEWEST]

    def _arrange(self, group: _Group) -> bool:
        """Find an order of the terms in which operands are stacked already, make piles of the others, and say if it pays."""
        count = len(group.terms)
        if any(len(set(xs)) < count or count * elements(xs[0]) > LARGEST for xs in group.operands):
            return False
        for xs in group.operands:
            known = self._sorted_places(xs)
            if known is not None:
                turned = known[1]
                break
        else:
            if len(group.operands) == 1:
                return False
            turned = list(range(count))
        group.operands = [[xs[i] for i in turned] for xs in group.operands]
        group.terms = [group.terms[i] for i in turned]
        for xs in group.operands:
            known = self._sorted_places(xs)
            if known is None or known[1] != list(range(count)):
                pile = _Pile(tuple(xs))
                for i, x in enumerate(xs):
                    self.places.setdefault(x, []).append((pile, i))
                known = (pile, 0), []
            group.stacks.append(known[0])
        return True

    def _sorted_places(self, xs: Sequence[Tensor]) -> tuple[tuple[_Pile | Tensor, int], list[int]] | None:
        """An array or pile that has all these values side by side, the place of the first, and the order in which it has them."""
        for whole, _ in self.places.get(xs[0], ()):
            found = [[i for at, i in self.places.get(x, ()) if at is whole] for x in xs]
            if all(len(at) == 1 for at in found):
                at = [i for (i,) in found]
                if max(at) - min(at) == len(xs) - 1:
                    return (whole, min(at)), sorted(range(len(xs)), key=at.__getitem__)
        return None

    def _needs(self, group: _Group) -> list[Tensor]:
        return [x for whole, _ in group.stacks for x in (whole.nodes if isinstance(whole, _Pile) else (whole,))]

    def _product(self, group: _Group, done: NodeMap, made: dict[_Pile | Tensor, Tensor]) -> Tensor:
        """The product of the stacks, summed over the terms too."""
        xs = []
        for whole, first in group.stacks:
            if whole not in made:
                made[whole] = (
                    make(Stack(0), *[done[x] for x in whole.nodes]) if isinstance(whole, _Pile) else done[whole]
                )
            xs.append(made[whole][first : first + len(group.terms)])
        op = group.terms[0].op
        if isinstance(op, Sum):
            found: Tensor = F.sum(xs[0], axis=(0, *[a + 1 for a in op.axis]))
            return found
        output = range(group.root.ndim)
        return contraction([(-1, *labels) for labels in group.labels], output, xs)


def _form(term: Tensor) -> tuple[tuple[tuple[int, ...], ...], Sequence[Tensor]] | None:
    """A product of two, or a sum over axes: the labels of each operand, those of the result being 0, 1, ...; and the operands."""
    op = term.op
    if isinstance(op, Sum) and not op.keepdims and op.dtype is None and term.ndim:
        return (op.axis,), term.inputs
    if not isinstance(op, Einsum) or len(term.inputs) != 2 or op.sizes or term.dtype.char not in "fd":
        return None
    if any(len(set(labels)) < len(labels) for labels in (*op.operands, op.output)):
        return None
    forms = []
    for i, j in ((0, 1), (1, 0)):
        number = {label: n for n, label in enumerate(op.output)}
        for label in (*op.operands[i], *op.operands[j]):
            number.setdefault(label, len(number))
        labels = tuple(tuple(number[label] for label in op.operands[k]) for k in (i, j))
        forms.append((labels, [term.inputs[i], term.inputs[j]]))
    return min(forms, key=lambda form: form[0])
