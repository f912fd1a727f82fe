"""Everything that walks a graph is iterative: a chain of 50 000 nodes under Python's default recursion limit."""

import gc
import pickle
import sys
import time

import numpy as np

import symgraph as sg
from symgraph import core
from symgraph.core import symbol, toposort
from symgraph.interpreter import interpret

LENGTH = 50_000


def chain(x, length=LENGTH):
    y = x
    for i in range(length // 2):
        y = sg.sin(y) if i % 2 else sg.tanh(y)
        y = y + x
    return y


def straight(x, length=LENGTH):
    """The same in plain NumPy: the value and the derivative."""
    y, dy = x, 1.0
    for i in range(length // 2):
        y, dy = (np.sin(y), np.cos(y) * dy) if i % 2 else (np.tanh(y), dy / np.cosh(y) ** 2)
        y, dy = y + x, dy + 1.0
    return y, dy


def test_a_long_chain_is_built_differentiated_compiled_and_run():
    assert sys.getrecursionlimit() <= 1000
    start = time.perf_counter()
    x = symbol("x")
    y = chain(x)
    assert len(toposort([y])) == LENGTH + 1
    g = sg.grad(y, x)
    t = sg.jvp(y, x, 1.0)
    f = sg.function([x], [y, g])
    value, slope = f(0.3)
    expected = straight(0.3)
    np.testing.assert_allclose([value, slope], expected, rtol=1e-9)
    np.testing.assert_allclose(interpret([t], {x: 0.3})[0], expected[1], rtol=1e-9)
    assert time.perf_counter() - start < 60, "linear time: about 10 s on a slow machine"


def test_a_long_chain_pickles():
    x = symbol("x", 3)
    y = chain(x)
    x2, y2 = pickle.loads(pickle.dumps((x, y)))
    assert y2 is chain(x2)
    assert y2.digest == y.digest


def test_a_long_chain_over_arrays_runs_in_either_style():
    x = symbol("x", 3)
    y = chain(x, 5_000)
    g = sg.vjp(y, x, np.ones(3))
    value = np.array([0.1, 0.2, 0.3])
    for style in ("plain", "fast"):
        found = sg.function([x], [y, g], style=style, optimize=style == "fast")(value)
        np.testing.assert_allclose(found, straight(value, 5_000), rtol=1e-9)


def test_a_long_chain_is_rewritten_and_printed():
    x = symbol("x")
    y = chain(x)
    assert len(str(y)) > 0
    (new,) = core.substitute_all([y], {x: symbol("z")})
    assert len(toposort([new])) == LENGTH + 1
    assert not sg.hazards(y)


def test_a_long_chain_is_drawn():
    x = symbol("x")
    y = chain(x)
    dot = sg.to_graphviz(y).source
    assert dot.count("->") >= LENGTH


def test_dropping_a_long_chain_does_not_recurse():
    gc.collect()
    before = len(core._table)
    x = symbol("x")
    y = chain(x, 2 * LENGTH)
    assert len(core._table) >= before + 2 * LENGTH
    del y
    gc.collect()
    assert len(core._table) <= before + 1
    wide = [sg.exp(x)]
    for _ in range(LENGTH):
        wide.append(sg.sin(wide[-1]) * wide[-1])  # a ladder: 2**n paths
    del wide
    gc.collect()
    assert len(core._table) <= before + 1


def test_diamonds_are_linear():
    """y = y + y doubles the paths with each step; cotangents are accumulated once per node."""
    x = symbol("x")
    y = x
    for _ in range(2_000):
        y = sg.sin(y) + y * 0.5
    g = sg.grad(y, x)
    assert len(toposort([g])) < 40_000
    f = sg.function([x], g)
    assert np.isfinite(f(0.1))


def test_a_wide_sum_is_linear():
    x = symbol("x")
    terms = [sg.sin(x * float(i)) for i in range(10_000)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    f = sg.function([x], [total, sg.grad(total, x)])
    k = np.arange(10_000.0)
    np.testing.assert_allclose(f(0.01), [np.sin(0.01 * k).sum(), (k * np.cos(0.01 * k)).sum()], rtol=1e-8, atol=1e-6)
