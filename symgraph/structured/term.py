"""One term of a structured Jacobian: a product of factors whose labels say how they meet.

    T[rows, cols] = scale * sum over inner labels of  factor1[labels1] * factor2[labels2] * ...

`rows` are the axes of the output, `cols` those of the variable. A label that stands in both is a Kronecker delta, one that
no factor has repeats the value along its axis: identity matrices, diagonals, transposes and broadcasts are labels, never
arrays. Where a term stands along an axis is an affine function of its labels (`Place`), so slices, pads, joins and
reshapes are labels too: a band of a matrix is `rows = i + 1, cols = i`.

The derivative of a contraction is a contraction: Laue, Mitterreiter and Giesen, *A Simple and Efficient Tensor Calculus*
(AAAI 2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from ..core import Constant, Tensor
from ..dims import Shape, Size, prod, same, same_shape
from ..dtypes import DType
from ..errors import ShapeError
from ..ops.base import as_tensor, cast
from ..ops.creation import Full
from ..ops.einsum import contraction
from ..ops.elementwise import Where
from ..ops.late import F
from ..ops.shape import BroadcastTo, Reshape, Transpose

Label = int
Labels = tuple[Label, ...]
Factor = tuple[Tensor, Labels]
"""A tensor and the label of each of its axes, all different."""

_numbers = count()


class NotStructuredError(Exception):
    """What cannot be said with places and labels: the term is then made dense for this op."""


@dataclass(frozen=True)
class Place:
    """Where a term stands along an axis: at offset + sum of step * label."""

    offset: Size = 0
    steps: tuple[tuple[Label, Size], ...] = ()

    @property
    def labels(self) -> Labels:
        return tuple(label for label, _ in self.steps)

    @property
    def label(self) -> Label | None:
        """The label that is the place itself, if it is so simple."""
        if len(self.steps) == 1 and same(self.offset, 0) and same(self.steps[0][1], 1):
            return self.steps[0][0]
        return None

    def moved(self, offset: Size, step: Size) -> Place:
        """offset + step * self."""
        return Place(offset + step * self.offset, tuple((label, step * s) for label, s in self.steps))

    def substituted(self, label: Label, by: Place) -> Place:
        if label not in self.labels:
            return self
        place = Place(self.offset, tuple((k, s) for k, s in self.steps if k != label))
        for k, s in self.steps:
            if k == label:
                moved = by.moved(0, s)
                place = Place(place.offset + moved.offset, (*place.steps, *moved.steps))
        return place


Places = tuple[Place, ...]


def same_place(a: Place, b: Place) -> bool:
    """Whether two places are written alike; sizes that are known only at the call cannot be compared by `==`."""
    return same(a.offset, b.offset) and same_steps(a, b)


def same_steps(a: Place, b: Place) -> bool:
    return a.labels == b.labels and all(same(s, t) for (_, s), (_, t) in zip(a.steps, b.steps, strict=True))


def at(label: Label) -> Place:
    """The whole of an axis."""
    return Place(0, ((label, 1),))


@dataclass(frozen=True, eq=False)
class Term:
    """scale * product of the factors, from the axes `cols` to the axes `rows`; `sizes` has every label in use."""

    factors: tuple[Factor, ...]
    rows: Places
    cols: Places
    sizes: Mapping[Label, Size] = field(default_factory=dict)
    scale: Any = 1

    @property
    def outer(self) -> Labels:
        """The labels of the axes, each once."""
        return tuple(dict.fromkeys(k for p in (*self.rows, *self.cols) for k in p.labels))

    @property
    def T(self) -> Term:
        return replace(self, rows=self.cols, cols=self.rows)

    def scaled(self, number: Any) -> Term:
        return self if number == 1 else replace(self, scale=self.scale * number)

    def split(self, rows: int) -> Term:
        """The term whose axes are the first `rows` of its rows, and the others its columns."""
        return replace(self, rows=self.rows[:rows], cols=self.rows[rows:])

    def is_full(self, place: Place, size: Size) -> bool:
        """Whether a place runs over the whole axis, once."""
        label = place.label
        if label is not None:
            return same(self.sizes[label], size)
        return not place.steps and same(size, 1)

    # Labels

    def with_rows(self, rows: Places, sizes: Mapping[Label, Size] = {}) -> Term:
        """The term with other rows: a label that no axis and no factor has any more counts equal values."""
        merged = {**self.sizes, **sizes}
        used = {k for p in (*rows, *self.cols) for k in p.labels}
        inside = {k for _, labels in self.factors for k in labels}
        scale, factors = self.scale, self.factors
        for label in list(merged):
            if label in used or label in inside:
                continue
            size = merged.pop(label)
            if isinstance(size, int):
                scale = scale * size
            else:
                factors = (*factors, (as_tensor(size), ()))
        return Term(factors, rows, self.cols, merged, scale)

    def substituted(self, label: Label, place: Place, sizes: Mapping[Label, Size]) -> Term:
        """The term with `label` running over `place` only."""
        if place.label == label:
            return self
        whole = self.sizes[label]
        kept = {k: n for k, n in self.sizes.items() if k != label}
        term = Term(
            (),
            tuple(p.substituted(label, place) for p in self.rows),
            tuple(p.substituted(label, place) for p in self.cols),
            {**kept, **sizes},
            self.scale,
        )
        for x, labels in self.factors:
            if label not in labels:
                term = term.with_factor(x, labels)
                continue
            where = [place if k == label else at(k) for k in labels]
            scale, factors = restricted(x, where, {**term.sizes, label: whole})
            term = term.scaled(scale)
            for factor in factors:
                term = term.with_factor(*factor)
        return term

    def unified(self, a: Label, b: Label) -> Term:
        """The term where two labels of one size are one."""
        return self if a == b else self.substituted(b, at(a), {})

    # Factors

    def with_factor(self, x: Tensor, labels: Labels) -> Term:
        """The term times x, multiplied at once with a factor that has the same labels."""
        if not labels and isinstance(x.op, Constant):
            return self.scaled(x.op.number)
        for i, (y, known) in enumerate(self.factors):
            if len(known) == len(labels) and set(known) == set(labels):
                product = y * _turned(x, labels, known)
                return replace(self, factors=(*self.factors[:i], (product, known), *self.factors[i + 1 :]))
        return replace(self, factors=(*self.factors, (x, labels)))

    def times(self, x: Tensor) -> Term:
        """The term times `x`, which broadcasts along the rows."""
        scale, factors = restricted(x, self.rows[len(self.rows) - x.ndim :], self.sizes)
        term = self.scaled(scale)
        for factor in factors:
            term = term.with_factor(*factor)
        return term

    def masked(self, mask: Tensor, x: Tensor | None, dtype: DType) -> Term:
        """The term times `x` where `mask` is True, and 0 elsewhere whatever they are there."""
        row_labels = tuple(dict.fromkeys(k for p in self.rows for k in p.labels))
        inside = [(y, ls) for y, ls in self.factors if set(ls) <= set(row_labels)]
        slope = _slope_of_ramp(mask, x) if x is not None and not inside else None
        if slope is not None:
            return self.times(slope)
        _, [(m, where)] = restricted(mask, self.rows[len(self.rows) - mask.ndim :], self.sizes, whole=True)
        factors = [(y, ls) for y, ls in self.factors if not set(ls) <= set(row_labels)]
        scale: Any = 1
        if x is not None:
            scale, more = restricted(x, self.rows[len(self.rows) - x.ndim :], self.sizes)
            inside += more
        labels = tuple(k for k in row_labels if k in where or any(k in ls for _, ls in inside))
        term = replace(self.scaled(scale), factors=tuple(factors))
        if not inside:
            return term.with_factor(F.cast(m, dtype), where)
        here = spread(m, where, labels)
        if len(inside) == 1:
            return term.with_factor(F.where(here, spread(*inside[0], labels), 0), labels)
        *rest, last = inside
        first = contraction([ls for _, ls in rest], labels, [cast(y, dtype) for y, _ in rest], self.sizes)
        return term.with_factor(F.masked_multiply(here, first, spread(*last, labels)), labels)

    # Values

    def value(self, output: Labels, dtype: DType) -> Tensor:
        """The product of the factors with the axes `output`, scaled."""
        factors = self.factors or ((F.ones((), dtype), ()),)
        x = contraction([ls for _, ls in factors], output, [cast(y, dtype) for y, _ in factors], self.sizes)
        return x if self.scale == 1 else -x if self.scale == -1 else x * self.scale

    def materialised(self, dtype: DType) -> Term:
        """The term with factors that meet in an inner label contracted to one."""
        outer = set(self.outer)
        groups: list[tuple[set[Label], list[Factor]]] = []
        for x, labels in self.factors:
            inner = set(labels) - outer
            met = [g for g in groups if g[0] & inner]
            groups = [g for g in groups if not g[0] & inner]
            groups.append((inner.union(*[g[0] for g in met]), [f for g in met for f in g[1]] + [(x, labels)]))
        if not any(inner for inner, _ in groups):
            return self
        term = replace(self, factors=(), sizes={k: self.sizes[k] for k in outer})
        for inner, members in groups:
            if not inner:
                for member in members:
                    term = term.with_factor(*member)
                continue
            labels = tuple(dict.fromkeys(k for _, ls in members for k in ls if k in outer))
            x = contraction([ls for _, ls in members], labels, [cast(y, dtype) for y, _ in members])
            term = term.with_factor(x, labels)
        return term


Terms = list[Term]
"""A sum."""


def _slope_of_ramp(mask: Tensor, x: Tensor) -> Tensor | None:
    """The derivative of max(z, 0) where it is `x` under `mask`: where(z == 0, 0.5, 1) where z >= 0."""
    if mask.op is not F.greater_equal or not isinstance(x.op, Where) or x.inputs[0].op is not F.equal:
        return None
    z, zero = mask.inputs
    a, b = x.inputs[0].inputs
    numbers = [y.op.number if isinstance(y.op, Constant) else None for y in (zero, *x.inputs[1:])]
    if z.dtype.kind != "f" or numbers != [0, 0.5, 1] or {a, b} != {z, zero}:
        return None
    return F.heaviside(z, 0.5)


def identity(shape: Shape) -> Term:
    """The derivative of x with respect to itself."""
    places, sizes = fresh(shape)
    return Term((), places, places, sizes)


def fresh(shape: Iterable[Size]) -> tuple[Places, dict[Label, Size]]:
    """A new label for every axis that is longer than 1."""
    places, sizes = [], {}
    for size in shape:
        if same(size, 1):
            places.append(Place())
            continue
        label = next(_numbers)
        sizes[label] = size
        places.append(at(label))
    return tuple(places), sizes


def new_label() -> Label:
    return next(_numbers)


# Tensors at places ---------------------------------------------------------------------------------------------------


def restricted(
    x: Tensor, places: Sequence[Place], sizes: Mapping[Label, Size], whole: bool = False
) -> tuple[Any, list[Factor]]:
    """`x` at the places of its axes, as a number and factors: values repeated along an axis, products of small things
    and multiples come apart, unless it is to stay `whole`."""
    scale: Any = 1
    factors: list[Factor] = []
    todo: list[tuple[Tensor, Sequence[Place]]] = [(x, places)]
    while todo:
        node, where = todo.pop()
        if isinstance(node.op, Full | BroadcastTo) and _only_repeats(node):
            inner = node.inputs[0]
            todo.append((inner, where[node.ndim - inner.ndim :]))
        elif not node.ndim and isinstance(node.op, Constant) and not whole:
            scale = scale * node.op.number
        elif node.op is F.negative and not whole:
            scale = -scale
            todo.append((node.inputs[0], where))
        elif node.op is F.multiply and not whole and any(_is_smaller(a, node) for a in node.inputs):
            todo += [(a, where[node.ndim - a.ndim :]) for a in reversed(node.inputs)]
        elif isinstance(node.op, Transpose):
            todo.append((node.inputs[0], [where[node.op.axes.index(i)] for i in range(node.ndim)]))
        elif isinstance(node.op, Reshape) and _only_brings_ones(node):
            wide = [p for p, n in zip(where, node.shape, strict=True) if not same(n, 1)]
            inner = node.inputs[0]
            given = iter(wide)
            todo.append((inner, [Place() if same(n, 1) else next(given) for n in inner.shape]))
        else:
            factors.append(_read(node, where, sizes))
    return scale, factors


def _only_repeats(node: Tensor) -> bool:
    """Whether no axis is said to be as long as one that is called otherwise, which is checked at the call."""
    inner = node.inputs[0].shape
    return all(same(a, b) or same(a, 1) for a, b in zip(inner, node.shape[node.ndim - len(inner) :], strict=True))


def _is_smaller(x: Tensor, product: Tensor) -> bool:
    return not same_shape(x.shape, product.shape) or isinstance(x.op, Full | BroadcastTo)


def _only_brings_ones(node: Tensor) -> bool:
    wide = [[n for n in s if not same(n, 1)] for s in (node.shape, node.inputs[0].shape)]
    return same_shape(tuple(wide[0]), tuple(wide[1]))


def _read(x: Tensor, places: Sequence[Place], sizes: Mapping[Label, Size]) -> Factor:
    """x[place, place, ...] with one axis for each label."""
    items: list[Any] = []
    labels: list[list[Label]] = []
    for place, size in zip(places, x.shape, strict=True):
        if same(size, 1):
            items.append(0)
        elif not place.steps:
            items.append(place.offset)
        elif len(place.steps) == 1:
            label, step = place.steps[0]
            items.append(_range(place.offset, step, sizes[label], size))
            labels.append([label])
        else:
            steps = _nested(place, sizes)
            items.append(_range(place.offset, steps[-1][1], prod(sizes[k] for k, _ in steps), size))
            labels.append([k for k, _ in steps])
    if any(not (isinstance(i, slice) and i == slice(None)) for i in items):
        try:
            x = x[tuple(items)]
        except ShapeError as error:  # a bound whose sign is known only at the call
            raise NotStructuredError(str(error)) from None
    flat = [k for group in labels for k in group]
    if len(flat) > len(labels):
        x = F.reshape(x, tuple(sizes[k] for k in flat))
    if len(set(flat)) < len(flat):
        distinct = tuple(dict.fromkeys(flat))
        x = contraction([flat], distinct, [x])
        flat = list(distinct)
    return x, tuple(flat)


def _range(offset: Size, step: Size, length: Size, size: Size) -> slice:
    if not isinstance(step, int) or step == 0:
        raise NotStructuredError("a step that is no fixed number")
    if same(offset, 0) and step == 1 and same(length, size):
        return slice(None)
    if step < 0:
        last = offset + step * (length - 1)
        return slice(offset, None if same(last, 0) else last - 1, step)
    end = offset + step * (length - 1) + 1
    return slice(offset, None if same(end, size) else end, step)


def _nested(place: Place, sizes: Mapping[Label, Size]) -> list[tuple[Label, Size]]:
    """The steps of an axis that was made of several, from the longest: each is as long as the next goes."""
    for first in place.steps:
        steps, rest = [first], [s for s in place.steps if s is not first]
        while rest:
            label, step = steps[-1]
            outer = next((s for s in rest if same(s[1], step * sizes[label])), None)
            if outer is None:
                break
            steps.append(outer)
            rest.remove(outer)
        if not rest:
            return steps[::-1]
    raise NotStructuredError("an axis whose places are not those of axes joined")


def _turned(x: Tensor, labels: Labels, order: Labels) -> Tensor:
    return x if labels == order else F.transpose(x, tuple(labels.index(k) for k in order))


def spread(x: Tensor, labels: Labels, order: Labels) -> Tensor:
    """`x` with its axes as in `order`, and size 1 for those that it lacks."""
    kept = tuple(k for k in order if k in labels)
    x = _turned(x, labels, kept)
    missing = tuple(i for i, k in enumerate(order) if k not in labels)
    lead = next((i for i, k in enumerate(order) if k in labels), len(order))
    new = tuple(i - lead for i in missing if i > lead)
    return F.expand_dims(x, new) if new else x
