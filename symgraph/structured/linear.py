"""The structure of a linear map that is given as a graph.

The tangent of any program is a graph that is linear in the seed. Terms are propagated through it from the identity, by one
rule for each op (`rules`). An op without a rule is applied to the term made dense, with the term's own labels as batch
axes, and named in the notes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..core import Symbol, Tensor, make, make_fresh, rebuild, toposort
from ..dims import prod, same
from ..dtypes import is_inexact
from ..ops.base import Primitive
from ..ops.checkpoint import Barrier
from ..ops.late import F
from .dense import dense_rows
from .merge import merged
from .rules import RULES
from .term import NotStructuredError, Term, Terms, fresh, identity

MOST_FACTORS = 6
"""A term with more factors than this is contracted where they meet, so that terms stay short in a deep graph."""


def structure_of(outputs: Sequence[Tensor], seed: Tensor, notes: list[str] | None = None) -> list[Terms]:
    """The terms of each output as a linear map of `seed`, a leaf on which they depend linearly.

    `notes` receives the name of each op that had no structured rule.
    """
    outputs = _without_barriers(outputs)
    terms = propagated(outputs, seed, notes)
    return [terms.get(y, []) for y in outputs]


def _without_barriers(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs without waiting: what reverse mode recomputes would wait for the seed, which is no value here."""
    done: dict[Tensor, Tensor] = {}
    for node in toposort(outputs):
        inputs = [done[x] for x in node.inputs]
        done[node] = inputs[0] if isinstance(node.op, Barrier) else rebuild(node, inputs)
    return [done[y] for y in outputs]


def propagated(
    outputs: Sequence[Tensor], seed: Tensor, notes: list[str] | None, shared: Collection[Tensor] = ()
) -> dict[Tensor, Terms]:
    """The terms of every node between the seed and the outputs; those of `shared` nodes are used again elsewhere."""
    order = toposort(outputs)
    terms: dict[Tensor, Terms] = {seed: [identity(seed.shape)]}
    uses: dict[Tensor, int] = {}
    for node in order:
        for x in dict.fromkeys(node.inputs):
            uses[x] = uses.get(x, 0) + 1
    several: set[Tensor] = set()  # nodes with several outputs that depend on the seed
    for node in order:
        if node is seed or not any(x in terms or x in several for x in node.inputs):
            continue
        if isinstance(node.aval, tuple):
            several.add(node)
            continue
        if not is_inexact(node.dtype):
            continue
        found: Terms = []
        if node.inputs[0] in several:
            for i, x in enumerate(node.inputs[0].inputs):
                if x in terms:
                    found += _batched(node, node.inputs[0], i, terms, terms[x], notes)
        else:
            for i, x in enumerate(node.inputs):
                if x in terms:
                    found += _through(node, i, terms, notes)
        if uses.get(node, 0) > 1 or node in shared or any(len(t.factors) > MOST_FACTORS for t in found):
            found = [t.materialised(node.dtype) for t in found]
        terms[node] = merged(found, node.dtype)
    return terms


def _through(node: Tensor, i: int, terms: dict[Tensor, Terms], notes: list[str] | None) -> Terms:
    """The terms of `node` from those of its operand `i`."""
    rule = RULES.get(node.op.family)
    found: Terms = []
    for term in terms[node.inputs[i]]:
        try:
            if rule is None:
                raise NotStructuredError(node.op.name)
            made = rule(term, node, i)
            found += made if isinstance(made, list) else [made]
        except NotStructuredError:
            found += _batched(node, node, i, terms, [term], notes)
    return found


def _batched(
    y: Tensor, node: Tensor, i: int, terms: dict[Tensor, Terms], given: Terms, notes: list[str] | None
) -> Terms:
    """The op applied to dense terms, whose columns are batch axes; `y` is `node` or one of its outputs."""
    if not isinstance(node.op, Primitive):
        raise NotStructuredError(node.op.name)
    if notes is not None and node.op.name not in notes:
        notes.append(node.op.name)
    x = node.inputs[i]
    row = make_fresh(Symbol("row", x.aval))
    inputs = [row if k == i else F.zeros_like(z) if z in terms else z for k, z in enumerate(node.inputs)]
    result = make(node.op, *inputs)
    result = result if y is node else make(y.op, result)
    found = []
    for term in given:
        columns = tuple(dict.fromkeys(k for p in term.cols for k in p.labels))
        sizes = [term.sizes[k] for k in columns]
        rows = dense_rows(term, columns, x.shape, x.dtype)
        ((value, axis),) = F.batched([result], {row: (F.reshape(rows, (prod(sizes), *x.shape)), 0)})
        places, more = fresh(y.shape)
        if axis is None:
            continue  # it does not depend on the operand after all
        value = F.reshape(F.moveaxis(value, axis, 0), (*sizes, *[n for n in y.shape if not same(n, 1)]))
        labels = (*columns, *[k for p in places for k in p.labels])
        found.append(Term(((value, labels),), places, term.cols, {**dict(zip(columns, sizes, strict=True)), **more}))
    return found
