"""Large matrices that are read along their columns."""

import numpy as np
import pytest

import symgraph as sg

A, B = sg.symbol("A", (1030, 600)), sg.symbol("B", (600, 1030))
S, i = sg.symbol("S", (1000, 1000)), sg.symbol("i", (1000, 1000))


def drawn(node):
    return np.random.default_rng(len(node.op.label)).normal(size=node.shape)


SUMS = {
    "sum": ([S], S + S.T),
    "difference": ([A, B], A - B.T),
    "difference, turned first": ([A, B], B.T - A),
    "of two results": ([A, B], sg.exp(A) + sg.sin(B).T),
    "turned twice": ([S, i], (i + S.T).T + S),
    "into what is summed": ([S], (S - S.T).sum(0)),
}


@pytest.mark.parametrize("name", SUMS)
def test_panels_hold_what_numpy_computes(name):
    inputs, y = SUMS[name]
    f = sg.function(inputs, y)
    values = [drawn(x) for x in inputs]
    assert ", 512):" in f.source or "blockwise" in f.source
    expected = sg.function(inputs, y, style="plain")(*values)
    np.testing.assert_allclose(f(*values), expected, rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(f(*map(np.asfortranarray, values)), expected, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize(
    ("inputs", "y"),
    [
        ([sg.symbol("a", (300, 300))], lambda a: a + a.T),
        ([sg.symbol("a", ("n", "n"))], lambda a: a + a.T),
        ([sg.symbol("a", (1000, 1000))], lambda a: a > a.T),
        ([sg.symbol("a", (1000, 1000))], lambda a: 2 * a.T),
        ([sg.symbol("a", (1000, 1000)), sg.symbol("b", (1000,))], lambda a, b: a.T + b),
        ([sg.symbol("a", (1000, 1000)), sg.symbol("b", (1000, 1000), "float32")], lambda a, b: a.T + b),
        ([sg.symbol("a", (2, 1000, 1000)), sg.symbol("b", (1000, 1000))], lambda a, b: a + b.T),
    ],
    ids=["small", "of unknown size", "another dtype", "a number", "a row", "mixed", "a stack"],
)
def test_others_are_one_statement(inputs, y):
    assert ", 512):" not in sg.function(inputs, y(*inputs)).source


def test_sizes_that_are_expected_decide():
    a = sg.symbol("a", ("n", "n"))
    f = sg.function([a], a - a.T, sizes={"n": 2000})
    assert "range(0, n, 512)" in f.source
    for n in (0, 1, 511, 1025):
        value = np.random.default_rng(n).normal(size=(n, n))
        np.testing.assert_array_equal(f(value), value - value.T)


def test_the_result_may_be_given():
    value, out = drawn(S), np.empty((1000, 1000))
    f = sg.function([S], S + S.T)
    assert f(value, out=out) is out
    np.testing.assert_array_equal(out, value + value.T)
