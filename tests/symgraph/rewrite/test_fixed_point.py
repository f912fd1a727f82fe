"""`simplify` is done when it returns: a second one changes nothing, and names stay with what they named."""

import random

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol
from symgraph.interpreter import interpret
from symgraph.printing import to_text
from symgraph.provenance import name_of
from symgraph.rewrite import simplify

x, y = symbol("x"), symbol("y")
UNARY = [
    sg.exp, sg.sin, sg.cos, sg.tanh, sg.sqrt, sg.log, sg.sigmoid, sg.softplus, sg.relu, abs,
    lambda v: -v, lambda v: v * v, lambda v: v**3, lambda v: 1 / v, lambda v: 2 * v, lambda v: v / 3, lambda v: 1 - v,
]  # fmt: skip
BINARY = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: sg.where(a > 0, a, b),
    lambda a, b: sg.maximum(a, b), lambda a, b: sg.where(b > 0, a * b, 0),
]  # fmt: skip


def random_expression(choose, leaves):
    nodes = list(leaves)
    for _ in range(choose.randint(3, 12)):
        if choose.random() < 0.45:
            nodes.append(choose.choice(UNARY)(choose.choice(nodes[-5:])))
        else:
            nodes.append(choose.choice(BINARY)(choose.choice(nodes[-4:]), choose.choice(nodes)))
    return nodes[-1]


def derivative(f, order):
    for _ in range(order):
        f = sg.grad(f, x, unused="zero")
    return f


@pytest.mark.parametrize("block", range(8))
def test_random_expressions_and_their_derivatives(block):
    for seed in range(25 * block, 25 * block + 25):
        choose = random.Random(seed)
        leaves = [symbol(n, choose.choice([(), (3,)])) for n in "ab"]
        f = random_expression(choose, leaves)
        for _ in range(choose.randint(0, 2)):
            f = sg.grad(sg.sum(f), choose.choice(leaves), unused="zero")
        once = simplify(f)
        assert simplify(once) is once, seed
        values = {leaf: 0.3 + np.abs(np.random.default_rng(seed).standard_normal(leaf.shape)) for leaf in leaves}
        with np.errstate(all="ignore"):
            made, expected = interpret([once, f], values)
        finite = np.isfinite(expected)
        np.testing.assert_allclose(np.where(finite, made, 0), np.where(finite, expected, 0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", range(1, 7))
@pytest.mark.parametrize(
    "f", [x * sg.sin(x), x * sg.exp(x), sg.exp(-(x**2)), x**2 * sg.log(x), 1 / (1 + x**2), sg.sin(x) * sg.cos(x), sg.tanh(x)],
    ids=to_text,
)  # fmt: skip
def test_derivatives_of_any_order(f, order):
    once = simplify(derivative(f, order))
    assert simplify(once) is once


# fmt: off
ORDERS = [
    (x * sg.sin(x),     3, "-3 * sin(x) - x * cos(x)"),
    (x * sg.exp(x),     4, "exp(x) * (x + 4)"),
    (x * sg.exp(-x),    1, "exp(-x) * (1 - x)"),
    (x**2 * sg.log(x),  2, "3 + 2 * log(x)"),
    (-x**2 / 2,         2, "-1"),
    (sg.tanh(x),        2, "t1 = tanh(x); -2 * t1 * (1 - t1 * t1)"),
]
# fmt: on


@pytest.mark.parametrize(("f", "order", "text"), ORDERS, ids=lambda v: v if isinstance(v, str) else "")
def test_derivatives_as_on_paper(f, order, text):
    made = to_text(simplify(derivative(f, order))).replace("\n", "; ")
    assert sorted(made) == sorted(text), made  # the order of factors is that in which they came to be


def test_quotients_by_the_same_number_stay_apart():
    """x / y / y is finite where y * y is not, so no rule joins the divisors."""
    big = {x: 1e300, y: 1e160}
    for written in (x / y / y, x / (y * 3) / y):
        made = simplify(written)
        assert np.isfinite(interpret([made], big)[0])
    assert simplify(x / y * y) is x
    assert simplify(x * (y / x)) is y


# Names ---------------------------------------------------------------------------------------------------------------


def test_a_named_result_keeps_its_name():
    for written in (x + x + x, sg.exp(x) * 1 + y, sg.exp(x) * y / y, sg.where(x > 0, y * 1, y)):
        root = sg.named(written + 0 * y, "loss")
        assert simplify(root).op.name == "symbol" or name_of(simplify(root)) == "loss"


def test_the_name_of_a_result_comes_before_that_of_a_value_within():
    inner = sg.named(sg.sin(x) * 1, "inner")
    outer = sg.named(inner + 0 * y, "outer")
    made = simplify(outer)
    assert made is sg.sin(x)
    assert name_of(made) == "outer"
