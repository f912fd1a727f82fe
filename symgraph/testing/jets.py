"""Taylor coefficients against differentiation repeated: c[k] k! is the k-th derivative along the direction.

Both are evaluated by the naive interpreter. An error is measured against the largest element of the coefficient (at
least 1), since a sum of products has the rounding of its largest terms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autodiff import jvp
from ..core import Tensor, describe, symbol
from ..dtypes import is_complex, is_inexact
from ..interpreter import interpret
from ..taylor import taylor
from .ops import check_types


def check_jet(
    outputs: Sequence[Tensor],
    wrt: Sequence[Tensor],
    values: Mapping[Tensor, Any],
    order: int = 3,
    *,
    rtol: float = 1e-9,
    seed: int = 0,
) -> None:
    """Raise AssertionError unless `taylor` agrees with nested `jvp` along random directions, in value, shape and dtype.

    >>> from symgraph import sin, symbol
    >>> x = symbol("x", (2,))
    >>> check_jet([sin(x) * x], [x], {x: np.array([0.3, -1.0])}, order=4)
    """
    rng = np.random.default_rng(seed)
    outputs = [y for y in outputs if is_inexact(y.dtype)]
    directions = [symbol(f"v{i}", x.shape, x.dtype) for i, x in enumerate(wrt)]
    given = {**values, **{v: _random(rng, np.asarray(values[x])) for x, v in zip(wrt, directions, strict=True)}}
    found = taylor(list(outputs), list(wrt), directions, order)
    derivative: list[Tensor] = list(outputs)
    for k in range(order + 1):
        if k:
            derivative = jvp(derivative, list(wrt), directions)
        for y, c in zip(outputs, found[k], strict=True):
            assert c.aval.dtype == y.dtype and c.shape == y.shape, f"c[{k}] of {describe(y)} is {describe(c)}"
        check_types(found[k], given)
        exact = [np.asarray(d) / math.factorial(k) for d in interpret(derivative, given)]
        for y, a, b in zip(outputs, interpret(found[k], given), exact, strict=True):
            size = np.max(np.abs(b[np.isfinite(b)]), initial=1)
            what = f"c[{k}] of {describe(y)} by recurrence and by {k} nested jvp"
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * size, err_msg=what)


def _random(rng: np.random.Generator, like: Any) -> Any:
    t = rng.standard_normal(like.shape)
    if is_complex(like.dtype):
        t = t + 1j * rng.standard_normal(like.shape)
    return t.astype(like.dtype)
