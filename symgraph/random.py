"""Random tensors: every call of a compiled function draws afresh, and a seed makes it repeatable.

A `RandomState` holds a parameter of two integers, its seed and a counter. Each draw takes the next number of its state,
and depends on (seed, counter, number) alone. A compiled function that reads the state advances the counter once per
call, so all draws of a call are independent, and the same call of a fresh state with the same seed repeats them.
Location and scale enter as arithmetic, so gradients flow to them.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any
from weakref import ref

import numpy as np

from .core import Tensor, as_shape, describe, located_error
from .dims import broadcast_shapes
from .dtypes import DType, as_dtype, is_complex, is_inexact, promote
from .errors import DTypeError, ShapeError
from .ops.base import as_tensor, promotion_type
from .ops.late import F
from .ops.random import random_draw
from .parameter import Parameter, parameter

__all__ = [
    "RandomState", "normal", "uniform", "bernoulli", "exponential", "laplace", "gumbel", "integers", "permutation",
]  # fmt: skip


class RandomState:
    """A seeded source of random tensors.

    >>> from symgraph import function
    >>> rng = RandomState(0)
    >>> f = function([], rng.normal(shape=(2,)))
    >>> first, second = f(), f()
    >>> bool((first == second).any())
    False
    >>> rng.reseed(0)
    >>> bool((f() == first).all())
    True
    """

    def __init__(self, seed: int | None = None, name: str = "random_state") -> None:
        self.state = _parameter(_key(seed), name)
        self._drawn = 0
        self._lock = threading.Lock()

    def reseed(self, seed: int | None = None) -> None:
        """Start again from a seed (None: from the system's entropy); the functions that draw from here follow."""
        self.state.value = _key(seed)

    def advance(self) -> Tensor:
        """The state of the next call. Compiled functions that read the state write it, unless their updates set it."""
        return _advanced(ref(self.state))

    def draw(self, distribution: str, shape: Any, dtype: Any = None, bounds: tuple[Any, ...] = ()) -> Tensor:
        """The next draw of this state, by the name of a method of `numpy.random.Generator`."""
        with self._lock:
            self._drawn += 1
            number = self._drawn
        return random_draw(distribution, self.state, number, shape, dtype, bounds)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
        """Normal with mean `loc` and standard deviation `scale`; `shape` is by default that of loc and scale."""
        return self._scaled("standard_normal", loc, scale, shape, dtype)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
        """Uniform between `low` and `high`."""
        a, b = as_tensor(low), as_tensor(high)
        made, sizes = _dtype("uniform", dtype, a, b), _shape("uniform", shape, a, b)
        u = self.draw("random", sizes, made)
        if isinstance(low, int | float) and isinstance(high, int | float) and (low, high) == (0, 1):
            return u
        return _in(a, made) + (_in(b, made) - _in(a, made)) * u

    def bernoulli(self, p: Any = 0.5, shape: Any = None, dtype: Any = bool) -> Tensor:
        """True (or 1 in `dtype`) with probability `p`. It has no derivative with respect to p."""
        q = as_tensor(p)
        hit = self.draw("random", _shape("bernoulli", shape, q), _dtype("bernoulli", None, q)) < q
        return hit if as_dtype(dtype) == np.bool_ else F.astype(hit, dtype)

    def exponential(self, scale: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
        """Exponential with mean `scale`."""
        return self._scaled("standard_exponential", 0.0, scale, shape, dtype)

    def laplace(self, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
        """Laplace: loc plus or minus an exponential of mean `scale`."""
        a, b = as_tensor(loc), as_tensor(scale)
        made, sizes = _dtype("laplace", dtype, a, b), _shape("laplace", shape, a, b)
        spread = self.draw("standard_exponential", sizes, made) - self.draw("standard_exponential", sizes, made)
        return _moved(spread, loc, scale, made)

    def gumbel(self, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
        """Gumbel: argmax over an axis of logits + gumbel is a draw from softmax(logits)."""
        a, b = as_tensor(loc), as_tensor(scale)
        made = _dtype("gumbel", dtype, a, b)
        return _moved(-F.log(self.draw("standard_exponential", _shape("gumbel", shape, a, b), made)), loc, scale, made)

    def integers(self, low: Any, high: Any = None, shape: Any = (), dtype: Any = None) -> Tensor:
        """Integers from `low` up to, without, `high`; from 0 up to `low` when high is None. Bounds are ints or Dims."""
        return self.draw("integers", shape, dtype, (0, low) if high is None else (low, high))

    def permutation(self, n: Any) -> Tensor:
        """The numbers 0 ... n-1 in random order; `x[rng.permutation(x.shape[0])]` shuffles rows."""
        return self.draw("permutation", (), None, (n,))

    def _scaled(self, distribution: str, loc: Any, scale: Any, shape: Any, dtype: Any) -> Tensor:
        a, b = as_tensor(loc), as_tensor(scale)
        made = _dtype(distribution, dtype, a, b)
        return _moved(self.draw(distribution, _shape(distribution, shape, a, b), made), loc, scale, made)

    def __repr__(self) -> str:
        return f"RandomState({self.state.name}, {self._drawn} draws)"

    def __reduce__(self) -> Any:
        return _restored, (self.state.value, self.state.name, self._drawn)


def _key(seed: int | None) -> np.ndarray[Any, Any]:
    """The state of a seed before its first call."""
    (mixed,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    return np.array([mixed, 0], np.uint64)


def _parameter(value: np.ndarray[Any, Any], name: str) -> Parameter:
    state = parameter(value, name)
    object.__setattr__(state, "advance", partial(_advanced, ref(state)))
    return state


def _advanced(state: ref[Parameter]) -> Tensor:
    here = state()
    assert here is not None
    return F.add(here, np.array([0, 1], np.uint64))


def _restored(value: np.ndarray[Any, Any], name: str, drawn: int) -> RandomState:
    made = RandomState(0, name)
    made.state.value = value
    made._drawn = drawn
    return made


def _dtype(name: str, dtype: Any, *parameters: Tensor) -> DType:
    """The dtype asked for, else that of the parameters, else float64."""
    if dtype is not None:
        return as_dtype(dtype)
    found = promote(*[promotion_type(x) for x in parameters])
    if is_complex(found):
        raise located_error(DTypeError, name, parameters, "the parameters of a real distribution are real")
    return found if is_inexact(found) else np.dtype(np.float64)


def _shape(name: str, shape: Any, *parameters: Tensor) -> Any:
    try:
        own = broadcast_shapes(*[x.shape for x in parameters])
        wanted = own if shape is None else as_shape(shape)
        if shape is not None and len(broadcast_shapes(own, wanted)) > len(wanted):
            raise ShapeError(f"shape={wanted} has fewer axes than the parameters")
    except ShapeError as error:
        raise located_error(ShapeError, name, parameters, str(error)) from None
    return wanted


def _in(x: Tensor, dtype: DType) -> Tensor:
    return x if x.aval.weak or x.dtype == dtype else F.astype(x, dtype)


def _moved(x: Tensor, loc: Any, scale: Any, dtype: DType) -> Tensor:
    """loc + scale * x, without what changes nothing."""
    if not (isinstance(scale, int | float) and scale == 1):
        x = _in(as_tensor(scale), dtype) * x
    if not (isinstance(loc, int | float) and loc == 0):
        x = _in(as_tensor(loc), dtype) + x
    return x


def _state(rng: Any) -> RandomState:
    if not isinstance(rng, RandomState):
        raise TypeError(
            f"draws come from a RandomState, not {describe(rng)}: rng = random.RandomState(0), then rng.normal(shape=(3,))"
        )
    return rng


def normal(rng: RandomState, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
    """`rng.normal(loc, scale, shape, dtype)`."""
    return _state(rng).normal(loc, scale, shape, dtype)


def uniform(rng: RandomState, low: Any = 0.0, high: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
    """`rng.uniform(low, high, shape, dtype)`."""
    return _state(rng).uniform(low, high, shape, dtype)


def bernoulli(rng: RandomState, p: Any = 0.5, shape: Any = None, dtype: Any = bool) -> Tensor:
    """`rng.bernoulli(p, shape, dtype)`."""
    return _state(rng).bernoulli(p, shape, dtype)


def exponential(rng: RandomState, scale: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
    """`rng.exponential(scale, shape, dtype)`."""
    return _state(rng).exponential(scale, shape, dtype)


def laplace(rng: RandomState, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
    """`rng.laplace(loc, scale, shape, dtype)`."""
    return _state(rng).laplace(loc, scale, shape, dtype)


def gumbel(rng: RandomState, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, dtype: Any = None) -> Tensor:
    """`rng.gumbel(loc, scale, shape, dtype)`."""
    return _state(rng).gumbel(loc, scale, shape, dtype)


def integers(rng: RandomState, low: Any, high: Any = None, shape: Any = (), dtype: Any = None) -> Tensor:
    """`rng.integers(low, high, shape, dtype)`."""
    return _state(rng).integers(low, high, shape, dtype)


def permutation(rng: RandomState, n: Any) -> Tensor:
    """`rng.permutation(n)`."""
    return _state(rng).permutation(n)
