"""Constants are merged only where no finite value becomes another, in every dtype."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.core import toposort
from symgraph.interpreter import interpret
from symgraph.rewrite.scales import fits, is_extreme

LARGEST = {"float16": 4, "float32": 37, "float64": 300, "complex64": 18}
"""The decimal exponents of constants and elements."""


def chain(x, steps):
    """A value scaled and raised step by step."""
    for how, number in steps:
        if how == "square":
            x = x**2
        elif how == "cube":
            x = x**3
        else:
            x = x * number if how == "times" else number * x if how == "scaled" else x / number
    return x


@st.composite
def chains(draw):
    dtype = draw(st.sampled_from(sorted(LARGEST)))
    most = LARGEST[dtype]
    exponents = st.integers(-most, most) | st.sampled_from([0, most * 2 // 3, -most * 2 // 3])
    numbers = st.builds(lambda d, e: float(f"{d}e{e}"), st.sampled_from([1, 2, 3]), exponents)
    step = st.tuples(st.sampled_from(["times", "scaled", "over", "over", "times", "square", "cube"]), numbers)
    return dtype, draw(st.lists(step, min_size=1, max_size=6))


def normal(values, dtype):
    """Where values are so far from the ends of the range that a number which is not extreme brings none there."""
    info = np.finfo(dtype)
    least, most = float(info.smallest_normal), float(info.max)
    if dtype != "float16":  # whose numbers do not meet at all
        least, most = least**0.75, most**0.75
    return (np.abs(values) >= least) & (np.abs(values) <= most)


def on_the_way(node, x, values, dtype):
    """The values of a graph as written, and where all that is computed for them is normal."""
    inner = [n for n in toposort([node]) if n.ndim and n.dtype == node.dtype]
    found = interpret(inner, {x: values})
    good = np.all([normal(np.broadcast_to(v, values.shape), dtype) for v in found], axis=0)
    return found[-1], good


@settings(max_examples=150, deadline=None)
@given(chains())
def test_a_chain_of_multiples_and_powers_is_what_it_is_step_by_step(made):
    dtype, steps = made
    x = sg.symbol("x", ("n",), dtype)
    elements = (10.0 ** np.linspace(-LARGEST[dtype], LARGEST[dtype], 60)).astype(dtype)
    with np.errstate(all="ignore"):
        y = chain(x, steps)
        slope = sg.grad(sg.sum(sg.real(y)), x)
    for node in (y, slope):
        with np.errstate(all="ignore"):
            expected, good = on_the_way(node, x, elements, dtype)
        for style in ("fast", "plain"):
            with np.errstate(all="raise"), warnings.catch_warnings():
                warnings.simplefilter("error")
                f = sg.function([x], node, style=style)
            with np.errstate(all="ignore"):
                found = f(elements)
            np.testing.assert_allclose(
                found[good], expected[good], rtol=40 * np.finfo(dtype).eps, err_msg=f.source[:1000]
            )


CASES = [
    (lambda x: (x * 1e25) ** 2, 1e-15, 1e20),
    (lambda x: x * 1e20 * 1e20, 1e-10, 1e30),
    (lambda x: 2e30 * (x * 2e30), 1e-30, 4e30),
    (lambda x: x / 1e30 / 1e30, 1e38, 1e-22),
    (lambda x: 1e-25 * x * 1e-25 * 1e20, 1e10, 1e-20),
    (lambda x: x / 1e25 * 1e-20, 1e20, 1e-25),
    (lambda x: np.sqrt(1e-30 * x * x * 1e-30), 1e20, 1e-10),
    (lambda x: sg.grad(sg.sum((1e25 * x) ** 2), x), 1e-20, 2e30),
    (lambda x: sg.sum((1e25 * x) * (1e25 * x)), 1e-20, 1e10),
    (lambda x: sg.sum((1e-30 * x) * x), 1e25, 1e20),
    (lambda x: (1e-30 * x) @ x, 1e25, 1e20),
    (lambda x: (1e25 * x) @ (1e25 * x), 1e-20, 1e10),
    (lambda x: np.where(x > 0, 1e-30, 2e-30) * 1e-30 * x * 1e35, 1e30, 1e5),
    (lambda x: 3e38 * x + 2e38 * x + 1e38 * x, 1e-3, 6e35),
    (lambda x: (1e-30 * x) * x + (1e-30 * x) * (x * x), 1.0, 2e-30),
]


@pytest.mark.parametrize(("formula", "value", "expected"), CASES)
@pytest.mark.parametrize("style", ["fast", "plain"])
def test_a_float32_formula_that_is_finite_step_by_step_stays_so(formula, value, expected, style):
    x = sg.symbol("x", ("n",), "float32")
    with np.errstate(all="raise"):
        f = sg.function([x], formula(x), style=style)
    np.testing.assert_allclose(f(np.array([value], "float32")), expected, rtol=1e-5)


def test_constants_of_ordinary_size_still_meet():
    x = sg.symbol("x", ("n",), "float32")
    assert sg.simplify(x * 1e5 * 1e5) is 1e10 * x
    assert sg.simplify(x / 1e20 * 1e30) is 1e10 * x
    assert sg.simplify((3 * x) * (2 * x)) is 6 * (x * x)


def test_normal_numbers_fit_and_far_ones_are_extreme():
    f32, f64, whole = np.dtype("float32"), np.dtype("float64"), np.dtype("int64")
    assert fits(1e-37, f32) and not fits(1e-39, f32) and not fits(1e39, f32) and fits(1e39, f64) and not fits(0.0, f64)
    assert not fits(float("inf"), f64) and not fits(1.5e308 + 1.5e308j, np.dtype("complex128"))
    assert fits(10**6, whole) and fits(0, whole)
    assert is_extreme(1e10, f32) and is_extreme(-1e-10, f32) and not is_extreme(1e9, f32) and not is_extreme(1e10, f64)
