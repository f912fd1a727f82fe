"""Sums in the order in which their terms come, and sparse terms last."""

import re

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol, toposort
from symgraph.interpreter import interpret
from symgraph.rewrite.sums import order_sums

RNG = np.random.default_rng(3)


def chain(x, n):
    for _ in range(n):
        x = sg.sin(x)
    return x


def terms_in_order(total):
    """The terms of a sum from the first that is added to the last."""
    found = []
    while total.op.name == "add":
        total, term = total.inputs if total.inputs[0].op.name == "add" else total.inputs[::-1]
        found.append(term)
    return [total, *found[::-1]]


def depth(x):
    return len(toposort([x]))


@pytest.mark.parametrize("order", [[5, 4, 3, 2, 1], [3, 1, 5, 2, 4], [1, 2, 3, 4, 5]])
def test_the_terms_that_are_soonest_there_are_added_first(order):
    x = symbol("x", (4,))
    terms = [chain(x, n) for n in order]
    total = terms[0] + (terms[1] + terms[2]) + (terms[3] + terms[4])
    (found,), mapping = order_sums([total])
    depths = [depth(t) for t in terms_in_order(found)]
    assert depths[2:] == sorted(depths)[2:]
    assert mapping[total] is found
    values = {x: RNG.normal(size=4)}
    np.testing.assert_allclose(interpret([found], values)[0], interpret([total], values)[0], rtol=1e-14)


def test_what_others_read_stays():
    x = symbol("x", (4,))
    part = chain(x, 4) + chain(x, 3)
    total = part + chain(x, 2) + chain(x, 1)
    found, _ = order_sums([total, part])
    assert found[1] is part and part in set(toposort(found[:1]))
    named = sg.named(chain(x, 4) + chain(x, 3), "part")
    assert named in set(toposort(order_sums([named + chain(x, 2) + chain(x, 1)])[0]))


@pytest.mark.parametrize("shapes", [[(4,), (1,), (4,), (4,)], [(), (), (), ()], [(3, 4), (4,), (3, 1), (3, 4)]])
def test_sums_that_broadcast_and_sums_of_numbers_are_left_alone(shapes):
    xs = [symbol(f"x{i}", s) for i, s in enumerate(shapes)]
    total = chain(xs[0], 3) + chain(xs[1], 2) + chain(xs[2], 1) + xs[3]
    assert order_sums([total])[0][0] is total


def test_a_sparse_term_is_added_to_the_other():
    x, i = symbol("x", ("n", 3)), symbol("i", ("n",), "int64")
    loss = -sg.take_along_axis(sg.log_softmax(x), i[:, None], axis=1).mean()
    f = sg.function([x, i], sg.grad(loss, x))
    assert "+= np.divide(-1, n)" in f.source and "fill(0)" not in f.source and "np.zeros" not in f.source
    X, k = RNG.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    p = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(f(X, k), (p - np.eye(3)[k]) / 5, rtol=1e-12)


@pytest.mark.parametrize("name", ["a", "p", "x", "z"])
def test_an_outer_product_under_a_diagonal_is_one_whatever_the_names(name):
    x = symbol(name, (300,))
    f = sg.function([x], sg.hessian(sg.logsumexp(x), x))
    assert re.search(r"np\.dot\(\w+\[:, None\], \w+\[None\], out=\w+\)", f.source)
    value = np.linspace(-1, 1, 300)
    p = np.exp(value) / np.exp(value).sum()
    np.testing.assert_allclose(f(value), np.diag(p) - np.outer(p, p), rtol=1e-12, atol=1e-18)


def test_long_sums_take_linear_time():
    x = symbol("x", (2,))
    total = x
    for n in range(20_000):
        total = total + sg.sin(x * n)
    (found,), _ = order_sums([total])
    assert depth(found) == depth(total)
