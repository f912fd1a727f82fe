"""How a batch rule lines its operands up: an operand with one more axis, the batch, beside operands without it.

A rule is given each operand with the place of its batch axis, or None. The *rows* of an operand are what remains without
that axis; the op acts on the rows as it did before. `aligned` is for ops that broadcast, `spread` for ops that want all
operands of one rank, `front` for ops that take stacks.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Tensor
from ..dims import Size
from .late import F

Axis = int | None
"""Where an operand has the batch axis, or None for the same value in every row."""
Batched = tuple[Tensor | Sequence[Tensor], Axis | Sequence[Axis]] | None
"""What a batch rule gives: the node and where its values have the batch axis; or the outputs, each with its own axis."""


def front(x: Tensor, axis: int) -> Tensor:
    """`x` with its batch axis first."""
    moved: Tensor = F.moveaxis(x, axis, 0)
    return moved


def batch_size(xs: Sequence[Tensor], axes: Sequence[Axis]) -> Size:
    """How many rows there are."""
    return next(x.shape[a] for x, a in zip(xs, axes, strict=True) if a is not None)


def spread(xs: Sequence[Tensor], axes: Sequence[Axis]) -> list[Tensor]:
    """Every operand with the batch axis first, repeated along it where it had none."""
    n = batch_size(xs, axes)
    return [F.broadcast_to(x, (n, *x.shape)) if a is None else front(x, a) for x, a in zip(xs, axes, strict=True)]


def padded(x: Tensor, axis: Axis, rank: int) -> Tensor:
    """`x` with its batch axis first and then rows of `rank` axes, new ones of size 1 in front; itself without a batch."""
    if axis is None:
        return x
    x = front(x, axis)
    made: Tensor = F.reshape(x, (x.shape[0], *[1] * (rank + 1 - x.ndim), *x.shape[1:]))
    return made


def aligned(xs: Sequence[Tensor], axes: Sequence[Axis]) -> tuple[list[Tensor], int]:
    """The operands of an op that broadcasts, so that their rows do, and where the result has the batch axis.

    It stays where the operands of the highest rank have it, and comes first where they disagree.
    """
    ranks = [x.ndim - (a is not None) for x, a in zip(xs, axes, strict=True)]
    rank = max(ranks)
    places = {a for a, r in zip(axes, ranks, strict=True) if a is not None and r == rank}
    at = places.pop() if len(places) == 1 else 0
    behind = rank - at  # axes of the rows
    made = []
    for x, a, r in zip(xs, axes, ranks, strict=True):
        if a is None:
            x = F.expand_dims(x, r - behind) if r > behind else x
        elif r >= behind:
            x = F.moveaxis(x, a, r - behind)
        else:
            x = padded(x, a, behind)
        made.append(x)
    return made, at
