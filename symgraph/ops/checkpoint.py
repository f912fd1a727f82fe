"""`checkpoint`: values that reverse mode computes again in place of keeping them.

A gradient reads values of the forward pass, which must be kept until then. Between two checkpoints they need not be: the
backward pass recomputes them from what is kept, one segment at a time, so a chain of n steps with a checkpoint every
sqrt(n) steps holds O(sqrt(n)) values for the price of one more forward pass.

The graph says so by two ops that pass their operand through. `Checkpoint` marks the end of a segment; reverse mode, where
it meets one, builds *twins* of the segment's nodes and hands those to the derivative rules. A twin is the same op on the
same values, but hangs on a `Barrier(x, after)`: x, once `after` is known. That keeps it from being merged with the node it
repeats, and from being computed before the backward pass gets there.

Source: Griewank and Walther, Evaluating Derivatives (2nd ed.), chapter 12; Chen et al., Training Deep Nets with Sublinear
Memory Cost (2016).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..core import ShapedArray, Symbol, Tensor, make, recording
from ..pytree import flatten
from .base import Linear, as_tensor, strong
from .batches import Axis, Batched
from .code import Code
from .control import captured

__all__ = ["checkpoint"]


class PassThrough(Linear):
    """The first operand as it is."""

    is_view = True
    aliases: ClassVar[tuple[int, ...]] = (0,)
    """The operands in whose memory the result may lie."""

    def infer(self, x: ShapedArray, *others: ShapedArray) -> ShapedArray:
        return x

    def numpy(self, x: Code, *others: Code) -> Code:
        return x

    def evaluate(self, x: Any, *others: Any) -> Any:
        return x

    def transpose(self, ct: Tensor, x: Tensor, *others: Tensor) -> Tensor:
        return ct

    def batch(self, axes: Sequence[Axis], *xs: Tensor) -> Batched:
        return make(self, *xs), axes[0]


@dataclass(frozen=True)
class Checkpoint(PassThrough):
    """x, at the end of a segment which reverse mode recomputes.

    The segment is what x is made of, back to the other operands and to leaves; unless `whole`, back to earlier
    checkpoints too.
    """

    whole: int = 0
    name = "checkpoint"

    def lower(self, *xs: Tensor) -> Tensor:
        return xs[0]

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        if ts[0] is None:
            return None
        return make(self, ts[0], *xs[1:], *[t for t in ts[1:] if t is not None])


@dataclass(frozen=True)
class Barrier(PassThrough):
    """x, not before `after` is known; equal to nothing but itself."""

    name = "barrier"

    def infer(self, x: ShapedArray, after: ShapedArray) -> ShapedArray:
        return x


def checkpoint(value: Any) -> Any:
    """A value whose making is recomputed by reverse mode, or a function of tensors whose results are.

    `checkpoint(h)` is h, at the end of a segment: what lies between it and the checkpoints (or symbols and parameters)
    before it is not kept for the backward pass but computed again. `checkpoint(f)` is f with what it computes as one
    segment, between its arguments, the tensors that it takes from outside, and its results; such segments may be nested.
    Values and derivatives of every order are the same. Random draws are kept, never drawn again.

    >>> from symgraph import checkpoint, grad, symbol, tanh
    >>> x = symbol("x", (3,))
    >>> y = checkpoint(lambda h: tanh(tanh(h)))(x)
    >>> grad(y.sum(), x).shape
    (3,)
    """
    if callable(value) and not isinstance(value, Tensor):
        return _checkpointed(value)
    x = as_tensor(value)
    if isinstance(x.aval, tuple) or not x.inputs:
        return x
    return make(Checkpoint(), strong(x))


def _checkpointed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def wrapped(*args: Any, **by_name: Any) -> Any:
        given = {x for x in flatten((args, by_name))[0] if isinstance(x, Tensor)}
        with recording() as made:
            results, restore = flatten(function(*args, **by_name))
        ends = []
        for result in results:
            if isinstance(result, Tensor) and result.inputs and result not in given:
                kept = [*given, *captured([result], made, given)]
                edge = [x for x in dict.fromkeys(kept) if x.inputs and x.leafy and not isinstance(x.aval, tuple)]
                result = make(Checkpoint(1), strong(result), *edge)
            ends.append(result)
        return restore(ends)

    return wrapped


def waiting(inputs: Sequence[Tensor], after: Tensor) -> list[Tensor]:
    """The operands of a twin that reads only kept values: one of them, a parameter last, waits for `after`."""
    candidates = [i for i, x in enumerate(inputs) if x.leafy and not isinstance(x.aval, tuple)]
    chosen = min(candidates, key=lambda i: _patience(inputs[i]))
    return [make(Barrier(), x, after) if i == chosen else x for i, x in enumerate(inputs)]


def _patience(x: Tensor) -> int:
    return 0 if x.inputs else 1 if isinstance(x.op, Symbol) else 2
