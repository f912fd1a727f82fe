"""Forward mode, reverse mode and central differences, compared to any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autodiff import jvp, vjp
from ..core import Tensor, describe, symbol
from ..dtypes import is_complex, is_inexact
from ..interpreter import interpret
from ..pytree import flatten

STEP = 2e-4
"""Of the central differences, whose error is of order STEP**4 + eps / STEP."""


class GradientMismatch(AssertionError):
    """Two ways to the same derivative disagree."""


def check_grads(
    function: Callable[..., Any], *args: Any, order: int = 2, rtol: float = 1e-5, atol: float = 1e-6, seed: int = 0
) -> None:
    """Check the derivatives of `function` at the arrays `args`, in forward and reverse mode, up to `order`.

    `function` takes tensors and returns a tensor or a nesting of them; float and complex arguments are differentiated,
    in float64 precision. The arrays should be away from kinks. Raises `GradientMismatch`.

    >>> import symgraph as sg
    >>> check_grads(lambda x: sg.exp(x) * sg.sin(x), [0.1, 2.0])
    """
    values = [np.asarray(a) for a in args]
    xs = [symbol(f"x{i}", v.shape, v.dtype) for i, v in enumerate(values)]
    outputs, _ = flatten(function(*xs))
    wrt = [x for x in xs if is_inexact(x.dtype)]
    check_derivatives(outputs, wrt, dict(zip(xs, values, strict=True)), order=order, rtol=rtol, atol=atol, seed=seed)


def check_derivatives(
    outputs: Sequence[Tensor],
    wrt: Sequence[Tensor],
    values: Mapping[Tensor, Any],
    *,
    order: int = 2,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    seed: int = 0,
) -> None:
    """`check_grads` of a graph that is already built; `values` holds those of its leaves."""
    known = dict(values)
    known.update({x: v for x, v in zip(wrt, interpret(wrt, known), strict=True) if x not in known})
    _check(list(outputs), list(wrt), known, order, rtol, atol, np.random.default_rng(seed), "y")


def _check(
    outputs: list[Tensor],
    wrt: list[Tensor],
    values: dict[Tensor, Any],
    order: int,
    rtol: float,
    atol: float,
    rng: np.random.Generator,
    what: str,
) -> None:
    outputs = [y for y in outputs if is_inexact(y.dtype)]
    if not outputs or not wrt or order == 0:
        return
    tangents = [_direction("t", x, np.shape(values[x]), rng) for x in wrt]
    found = interpret(outputs, values)
    cotangents = [_direction("c", y, np.shape(v), rng) for y, v in zip(outputs, found, strict=True)]
    ts = [t for t, _ in tangents]
    cs = [c for c, _ in cotangents]
    values = {**values, **dict(tangents), **dict(cotangents)}

    forward = jvp(outputs, wrt, ts)
    backward = vjp(outputs, wrt, cs, unused="zero")
    for made, like, mode in [
        *[(f, y, "jvp") for f, y in zip(forward, outputs)],
        *[(b, x, "vjp") for b, x in zip(backward, wrt)],
    ]:
        if made.dtype != like.dtype or made.ndim != like.ndim:
            raise GradientMismatch(f"{mode} of {what} is {describe(made)}, for {describe(like)}")

    numbers = interpret([*forward, *backward], values)
    pushed, pulled = numbers[: len(forward)], numbers[len(forward) :]
    differences = central_differences(outputs, {x: values[t] for x, t in zip(wrt, ts, strict=True)}, values)
    for y, by_jvp, by_difference in zip(outputs, pushed, differences, strict=True):
        _compare(by_jvp, by_difference, rtol, atol, f"jvp of {what}, {describe(y)}, and central differences")
    there = sum(_inner(values[c], p) for c, p in zip(cs, pushed, strict=True))
    back = sum(_inner(p, values[t]) for p, t in zip(pulled, ts, strict=True))
    scale = sum(np.abs(_inner(np.abs(p), np.abs(values[t]))) for p, t in zip(pulled, ts, strict=True))
    _compare(back, there, 1e-8, 1e-9 + 1e-9 * scale, f"vjp and jvp of {what}")

    _check(forward, wrt, values, order - 1, rtol, atol, rng, f"jvp of {what}")
    _check(backward, wrt, values, order - 1, rtol, atol, rng, f"vjp of {what}")


def _direction(name: str, like: Tensor, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Tensor, Any]:
    """A symbol of the type of `like`, and numbers between 0.5 and 1 with random signs for it."""
    made = rng.uniform(0.5, 1, shape) * rng.choice([-1.0, 1.0], shape)
    if is_complex(like.dtype):
        made = made + 1j * rng.uniform(0.5, 1, shape)
    return symbol(name, like.shape, like.dtype), np.asarray(made, like.dtype)


def central_differences(
    outputs: Sequence[Tensor], directions: Mapping[Tensor, Any], values: Mapping[Tensor, Any]
) -> list[Any]:
    """The derivative of the outputs along `directions`, by the five-point stencil; nodes moved need not be leaves."""

    def at(k: int) -> list[Any]:
        moved = {x: np.asarray(values[x] + k * STEP * t, x.dtype) for x, t in directions.items()}
        return interpret(outputs, {**values, **moved})

    return [(8 * (a - b) - (c - d)) / (12 * STEP) for a, b, c, d in zip(at(1), at(-1), at(2), at(-2), strict=True)]


def _inner(a: Any, b: Any) -> Any:
    return np.sum(np.asarray(a) * np.asarray(b)).real


def _compare(found: Any, expected: Any, rtol: float, atol: float, what: str) -> None:
    try:
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
    except AssertionError as error:
        raise GradientMismatch(f"{what} disagree: {error}") from None
