"""Random draws as pure functions of (state, number).

The state is two unsigned integers: a seed, and a counter that the owner of the state advances once per call of a
compiled function. A draw is numbered among those of its state, so two draws never merge, removing one changes no other,
and a call with the same state gives the same numbers. Each draw has its own generator, seeded by NumPy's SeedSequence,
which is made to turn neighbouring keys into independent streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dims
from ..core import Aval, ShapedArray, Tensor, as_shape, located_error, make
from ..dims import Shape, Size
from ..dtypes import FLOAT64, INT64, DType, as_dtype
from ..errors import DTypeError, ShapeError
from . import code
from .base import Primitive, as_tensor
from .code import Code
from .late import F

__all__ = ["random_draw"]

STATE = ShapedArray((2,), np.dtype(np.uint64))
REAL = ("random", "standard_normal", "standard_exponential")
WHOLE = ("integers", "permutation")


@dataclass(frozen=True)
class Draw(Primitive):
    """An array drawn from `distribution`, which is the name of a method of `numpy.random.Generator`."""

    distribution: str
    number: int
    shape: Shape
    dtype: DType
    bounds: tuple[Size, ...] = ()
    """For integers: the least value, and one more than the largest. For a permutation: how many."""
    name = "draw"

    def infer(self, state: ShapedArray) -> Aval:
        if state.dtype != STATE.dtype or not dims.same_shape(state.shape, STATE.shape):
            raise DTypeError("the state of a draw holds two uint64, seed and counter. Pass RandomState.state")
        return ShapedArray(self.shape, self.dtype)

    def numpy(self, state: Code) -> Code:
        generator = self._generator(state)
        if self.distribution == "permutation":
            return code.method(generator, "permutation", *self.bounds)
        dtype = None if self.dtype in (INT64, FLOAT64) else self.dtype
        size = self.shape[0] if len(self.shape) == 1 else self.shape
        return code.method(generator, self.distribution, *self.bounds, size, dtype=dtype)

    def into(self, out: str, *xs: Code) -> list[str]:
        (state,) = xs
        if self.distribution not in REAL:
            return code.assign(out, self.numpy(state))
        dtype = None if self.dtype == FLOAT64 else self.dtype
        return [str(code.method(self._generator(state), self.distribution, out=Code(out), dtype=dtype))]

    def _generator(self, state: Code) -> Code:
        return Code(f"np.random.default_rng((*{state.atom}, {self.number}))")

    def nonnegative(self, *known: bool) -> bool:
        return self.distribution in ("random", "standard_exponential", "permutation")

    def bounded(self, *known: bool) -> bool:
        return True

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return 20 * dims.prod(y.shape) + 10_000


def random_draw(
    distribution: str, state: Any, number: int, shape: Any = (), dtype: Any = None, bounds: tuple[Any, ...] = ()
) -> Tensor:
    """The draw of this number from a state.

    `distribution` is "random" (uniform on [0, 1)), "standard_normal", "standard_exponential", "integers" (from
    bounds[0] up to, without, bounds[1]) or "permutation" (of bounds[0] numbers). The dtype is float64 or int64 unless
    given.
    """
    x = as_tensor(state)
    if distribution not in REAL + WHOLE:
        raise ValueError(f"distribution={distribution!r}: choose one of {', '.join(REAL + WHOLE)}")
    whole = distribution in WHOLE
    made = as_dtype(("int64" if whole else "float64") if dtype is None else dtype)
    if made.kind not in ("iu" if whole else "f"):
        kind = "whole" if whole else "real"
        raise located_error(
            DTypeError, distribution, [x], f"dtype {made} does not hold {kind} numbers. Cast afterwards"
        )
    sizes = tuple(dims.as_size(b) for b in bounds)
    if len(sizes) != {"integers": 2, "permutation": 1}.get(distribution, 0):
        raise located_error(ShapeError, distribution, [x], f"{len(sizes)} bounds are given")
    if distribution == "permutation":
        return _astype(make(Draw(distribution, int(number), sizes, INT64, sizes), x), made)
    if distribution == "integers" and all(isinstance(b, int) for b in sizes) and sizes[0] >= sizes[1]:
        raise located_error(ShapeError, distribution, [x], f"low={sizes[0]} must be less than high={sizes[1]}")
    drawn = np.dtype(np.float32) if made == np.float16 else made  # NumPy draws in float32 and float64
    return _astype(make(Draw(distribution, int(number), as_shape(shape), drawn, sizes), x), made)


def _astype(x: Tensor, dtype: DType) -> Tensor:
    return x if x.dtype == dtype else F.astype(x, dtype)
