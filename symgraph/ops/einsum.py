"""Contractions: matrix products and everything that `einsum` can say, as one primitive.

    y[output] = sum over the labels not in output of  x1[labels1] * x2[labels2] * ...

A label that an operand has twice takes its diagonal. A label that the output has twice is a Kronecker delta: `i->ii`
puts a vector on the diagonal. A label that only the output has is a broadcast. With these two the family is closed
under transposition, so the derivative of a contraction with respect to any operand is the same contraction with the
cotangent in its place, without conjugation, at every order.

Operands stand in canonical order and labels are numbered as they appear, so `einsum("ij,jk->ik", x, W)`,
`einsum("jk,ij->ik", W, x)` and `x @ W` are one node; emission finds the order a person would write from the labels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np

from .. import dims
from ..core import Op, ShapedArray, Tensor, make
from ..core import _rank as rank
from ..dims import Size
from ..dtypes import DType
from ..errors import DTypeError, ShapeError
from .base import Mask, Multilinear, Pulled, cast_back
from .code import Code
from .einsum_into import added_diagonal, into_statements, joined_product, joins_rows, row_operands
from .einsum_source import Labels, Term, contraction_source, delta_statements, subscripts
from .late import F


@dataclass(frozen=True)
class Einsum(Multilinear):
    """A contraction in normal form: labels count from 0 as they appear, and those only in the output come last."""

    operands: tuple[Labels, ...]
    output: Labels
    sizes: tuple[Size, ...] = ()
    """The sizes of the labels that only the output has."""

    name = "einsum"
    arranges = True

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "name", _name(self.operands, self.output))
        put(self, "commutative", len(self.operands) == 2 and self._reordered((1, 0)) == (self.operands, self.output))
        put(self, "scalar", self._is_scalar())
        put(self, "mostly_zeros", len(self.operands) == 1 and self.has_delta)
        put(self, "readonly", bool(self.sizes))  # np.broadcast_to
        put(
            self,
            "is_view",
            len(self.operands) == 1 and set(self.operands[0]) <= set(self.output) and not self.has_delta,
        )

    def _is_scalar(self) -> bool:
        """Whether the value is a NumPy scalar: a product over all elements by np.dot or np.vdot, not by np.tensordot."""
        if len(self.operands) != 2 or self.output:
            return False
        a, b = self.operands
        return max(len(a), len(b)) < 2 or (set(a) == set(b) and len(set(a)) == len(a) == len(b))

    @property
    def has_delta(self) -> bool:
        """Whether the output repeats a label."""
        return len(set(self.output)) < len(self.output)

    def _reordered(self, order: Sequence[int]) -> tuple[tuple[Labels, ...], Labels]:
        return renumbered([self.operands[i] for i in order], self.output)

    def arrange(self, inputs: tuple[Tensor, ...]) -> tuple[Op, tuple[Tensor, ...]]:
        if len(inputs) < 2 or self.commutative:
            return self, inputs
        ranks = [rank(x) for x in inputs]
        order: Sequence[int] = sorted(range(len(inputs)), key=ranks.__getitem__)
        if len(set(inputs)) < len(
            inputs
        ):  # a tensor that occurs twice: of its orders, the one with the smallest labels
            order = min(_orders_of_same(inputs, order), key=self._reordered)
        elif list(order) == list(range(len(inputs))):
            return self, inputs
        operands, output = self._reordered(order)
        return Einsum(operands, output, self.sizes), tuple(inputs[i] for i in order)

    def infer(self, *avals: ShapedArray) -> ShapedArray:
        sizes = self._sizes(avals, dims.require_equal)
        dtype = avals[0].dtype
        if any(a.dtype != dtype for a in avals):
            raise DTypeError("the operands of a contraction have one dtype. Cast them with .astype(...)")
        return ShapedArray(tuple(sizes[label] for label in self.output), dtype)

    def _sizes(self, avals: Sequence[ShapedArray], agree: Any) -> dict[int, Size]:
        found: dict[int, Size] = {}
        for labels, a in zip(self.operands, avals, strict=True):
            if len(labels) != len(a.shape):
                raise ShapeError(
                    f"an operand has {len(a.shape)} axes and {len(labels)} labels. Give one label per axis"
                )
            for label, size in zip(labels, a.shape):
                try:
                    found[label] = agree(found[label], size) if label in found else size
                except ShapeError:
                    raise ShapeError(
                        f"axes of sizes {found[label]} and {size} share a label ({self.subscripts}). They must be equal"
                    ) from None
        return found | dict(enumerate(self.sizes, len(found)))

    @property
    def subscripts(self) -> str:
        """The contraction in the notation of `np.einsum`."""
        return subscripts(self.operands, self.output)

    # Emission

    def _source(self, xs: Sequence[Code]) -> tuple[list[Term], Labels, dict[int, Size], DType]:
        terms = [Term(x, labels) for x, labels in zip(xs, self.operands)]
        avals = [x.aval for x in xs]
        return terms, self.output, self._sizes(avals, lambda a, b: b if isinstance(b, int) else a), avals[0].dtype

    def numpy(self, *xs: Code) -> Code:
        return contraction_source(*self._source(xs))

    def fast(self, *xs: Code) -> Code | None:
        return joined_product(*self._source(xs)[:3])

    def statements(self, out: str, *xs: Code) -> list[str] | None:
        return delta_statements(out, *self._source(xs)) if self.has_delta else None

    def into(self, out: str, *xs: Code) -> list[str] | None:
        return into_statements(out, *self._source(xs))

    def add_into(self, out: str, *xs: Code) -> list[str] | None:
        return added_diagonal(out, *self._source(xs)) if self.mostly_zeros else None

    def by_rows(self, y: ShapedArray, *xs: ShapedArray) -> tuple[bool, ...] | None:
        return row_operands(self.operands, self.output)

    def joins_rows(self) -> bool:
        return joins_rows(self.operands, self.output)

    combine = "np.add"

    # Derivatives

    def transpose(self, i: int, ct: Tensor, *xs: Tensor) -> Tensor:
        operands = (*self.operands[:i], self.output, *self.operands[i + 1 :])
        sizes = dict(zip(self.operands[i], xs[i].shape))
        return contraction(operands, self.operands[i], (*xs[:i], ct, *xs[i + 1 :]), sizes)

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        if len(xs) == 1 and mask is not None and wanted[0]:  # a map of zeros and ones, which masks follow
            return [(cast_back(self.transpose(0, ct, *xs), xs[0]), self.transpose(0, mask, *xs))]
        return super().pullback(ct, mask, y, xs, wanted)

    # Other questions

    def batch(self, axes: Sequence[int | None], *xs: Tensor) -> tuple[Tensor, int] | None:
        operands: list[Sequence[Hashable]] = [
            ls if axis is None else (*ls[:axis], "batch", *ls[axis:]) for ls, axis in zip(self.operands, axes)
        ]
        count = len({label for labels in self.operands for label in labels})
        return contraction(operands, ("batch", *self.output), xs, dict(enumerate(self.sizes, count))), 0

    def as_einsum(self, *xs: Tensor) -> Einsum:
        return self

    def nonnegative(self, *known: bool) -> bool:
        return all(known)

    def bounded(self, *known: bool) -> bool:
        return self.is_view and all(known)

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        """Multiplications and additions, operands summed first over the labels that they alone have."""
        if self.is_view:
            return 0
        sizes = self._sizes(xs, lambda a, b: b if isinstance(b, int) else a)
        total: Size = 0
        used: dict[int, None] = {}
        for i, labels in enumerate(self.operands):
            others = {label for ls in (self.output, *self.operands[:i], *self.operands[i + 1 :]) for label in ls}
            if not others.issuperset(labels):
                total = total + dims.prod(sizes[label] for label in dict.fromkeys(labels))
            used.update(dict.fromkeys(label for label in labels if label in others))
        if len(self.operands) == 1:
            return total if any(label not in self.output for label in self.operands[0]) else dims.prod(y.shape)
        steps = len(self.operands) - 1 + (not set(used) <= set(self.output))
        return total + steps * dims.prod(sizes[label] for label in used)


def _name(operands: tuple[Labels, ...], output: Labels) -> str:
    """The usual name of a contraction, for messages and drawings."""
    plain = all(len(set(labels)) == len(labels) for labels in (*operands, output))
    if len(operands) == 1:
        return "trace" if operands[0] == (0, 0) and not output else "einsum" if plain else "diagonal"
    if len(operands) == 2 and plain:
        a, b = map(set, operands)
        if not output:
            return "dot" if len(a | b) == 1 else "einsum"
        if len((a & b) - set(output)) == 1 and a != b and a ^ b <= set(output):
            return "matmul"
        if len(a) == len(b) == 1 and not a & b:
            return "outer"
    return "einsum"


def _orders_of_same(inputs: Sequence[Tensor], order: Sequence[int]) -> list[list[int]]:
    """`order` and the orders that differ from it by exchanging occurrences of one tensor."""
    places: dict[Tensor, list[int]] = {}
    for i in order:
        places.setdefault(inputs[i], []).append(i)
    choices = [list(permutations(p)) if len(p) <= 5 else [tuple(p)] for p in places.values()]
    found = []
    for chosen in product(*choices):
        occurrences = {x: iter(c) for x, c in zip(places, chosen)}
        found.append([next(occurrences[inputs[i]]) for i in order])
    return found


def renumbered(operands: Sequence[Sequence[Hashable]], output: Sequence[Hashable]) -> tuple[tuple[Labels, ...], Labels]:
    """Any labels as numbers from 0 in the order in which they appear."""
    numbers: dict[Hashable, int] = {}
    for labels in (*operands, output):
        for label in labels:
            numbers.setdefault(label, len(numbers))
    return tuple(tuple(numbers[label] for label in labels) for labels in operands), tuple(numbers[x] for x in output)


def contraction(
    operands: Sequence[Sequence[Hashable]],
    output: Sequence[Hashable],
    xs: Sequence[Tensor],
    sizes: Mapping[Any, Size] = {},
) -> Tensor:
    """The contraction of tensors of one dtype, with any labels; `sizes` gives those that only the output has.

    What a sum, transpose, broadcast or product of equal shapes can say is said by these ops.
    """
    if len(xs) == 1 and _distinct(operands[0]) and _distinct(output):
        return _rearranged(xs[0], list(operands[0]), output, sizes)
    if len(xs) == 2 and _distinct(output):
        short, long = sorted((tuple(labels) for labels in operands), key=len)
        if long == tuple(output) and short == long[len(long) - len(short) :]:
            return xs[0] * xs[1]
    known = {label for labels in operands for label in labels}
    missing = [label for label in dict.fromkeys(output) if label not in known]
    return make(Einsum(*renumbered(operands, output), tuple(sizes[label] for label in missing)), *xs)


def _distinct(labels: Sequence[Hashable]) -> bool:
    return len(set(labels)) == len(labels)


def _rearranged(x: Tensor, labels: list[Any], output: Sequence[Hashable], sizes: Mapping[Any, Size]) -> Tensor:
    """A contraction of one operand without repeated labels: a sum, a transposition, a broadcast."""
    summed = tuple(i for i, label in enumerate(labels) if label not in output)
    if summed:
        x = F.any(x, axis=summed) if x.dtype == np.bool_ else F.sum(x, axis=summed, dtype=x.dtype)
        labels = [label for label in labels if label in output]
    kept = [label for label in output if label in labels]
    if kept != labels:
        x = F.transpose(x, tuple(labels.index(label) for label in kept))
    if len(kept) < len(output):
        shape = dict(zip(kept, x.shape))
        lead = next((i for i, label in enumerate(output) if label in shape), len(output))
        new = tuple(i - lead for i in range(lead, len(output)) if output[i] not in shape)
        x = F.expand_dims(x, new) if new else x
        x = F.broadcast_to(x, tuple(shape[label] if label in shape else sizes[label] for label in output))
    return x
