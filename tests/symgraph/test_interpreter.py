"""The naive interpreter, which everything else is tested against, is itself tested against NumPy."""

import numpy as np
import pytest

import symgraph as sg
from symgraph import dims
from symgraph.core import Body, Bound, ShapedArray, make, symbol
from symgraph.dims import dim
from symgraph.interpreter import interpret, sizes_of, specialized, trace

X = np.arange(6.0).reshape(2, 3)


def value(y, values):
    return interpret([y], values)[0]


def test_it_evaluates_node_by_node():
    x, y = symbol("x", (2, 3)), symbol("y", 3)
    z = sg.exp(x) @ y + sg.sum(x, axis=1)
    np.testing.assert_allclose(value(z, {x: X, y: [1, 2, 3]}), np.exp(X) @ [1, 2, 3] + X.sum(1))
    assert interpret([], {}) == []
    assert value(x, {x: X}).dtype == np.float64


def test_values_may_stand_at_any_node():
    x = symbol("x", 3)
    h = sg.exp(x)
    np.testing.assert_array_equal(value(h * 2, {h: [1, 2, 3]}), [2, 4, 6])


def test_sizes_come_from_the_values():
    x = symbol("x", ("n", 3))
    assert value(sg.mean(x, axis=0) * x.shape[0], {x: X}).tolist() == X.sum(0).tolist()
    assert value(sg.zeros((x.shape[0] + 1, 2)), {x: X}).shape == (3, 2)
    assert value(sg.reshape(x, -1)[1:], {x: X}).tolist() == X.ravel()[1:].tolist()


def test_sizes_are_solved_for():
    n = dim("n")
    x, y = symbol("x", (2 * n + 1,)), symbol("y", ("n", "m"))
    assert sizes_of({x: np.zeros(7)}) == {n.key: 3}
    assert sizes_of({x: np.zeros(7), y: np.zeros((3, 2))})[dim("m").key] == 2
    for bad in ({x: np.zeros(6)}, {x: np.zeros(7), y: np.zeros((2, 2))}, {x: np.zeros((7, 1))}):
        with pytest.raises(sg.ShapeError, match="given a value"):
            sizes_of(bad)


def test_fixed_axes_are_checked():
    with pytest.raises(sg.ShapeError, match="given a value of shape"):
        value(symbol("x", 3) + 1, {symbol("x", 2): X[0]} | {})
    x = symbol("x", 3)
    with pytest.raises(sg.ShapeError, match="given a value of shape"):
        value(x + 1, {x: np.zeros(4)})


def test_a_leaf_without_a_value_is_named():
    with pytest.raises(KeyError, match="weights"):
        value(symbol("weights", 3) + 1, {})


def test_parameters_hold_their_value():
    w = sg.parameter([1.0, 2.0], "w")
    np.testing.assert_array_equal(value(w * 3, {}), [3, 6])
    np.testing.assert_array_equal(value(w * 3, {w: [0, 1]}), [0, 3])


def test_every_node_is_traced():
    x = symbol("x", 3)
    h = sg.sin(x)
    y = h * h
    assert set(trace([y], {x: np.ones(3)})) == {x, h, y}


def test_several_outputs():
    a = symbol("a", (2, 2))
    sign, log = sg.slogdet(a) if hasattr(sg, "slogdet") else sg.linalg.slogdet(a)
    found = interpret([sign, log], {a: [[0.0, 2], [1, 0]]})
    np.testing.assert_allclose(found, [-1, np.log(2)])


def test_bodies_are_made_concrete():
    aval = ShapedArray((dim("n"),), np.dtype(float))
    b = make(Bound(0, aval.shape, aval.dtype))
    op = sg.cond(symbol("p", (), bool), lambda v: v * 2, lambda v: v, symbol("x", ("n",))).op
    body = Body([aval], [sg.concatenate([b, sg.zeros(dim("n") + 1)])])
    made = specialized(op, {dim("n").key: 3})
    assert all(dims.same_shape(x.shape, (3,)) for x in made.true.inputs)
    assert not dims.variables(*made.true.outputs[0].shape)
    assert body.inputs[0] is b
    x, p = symbol("x", ("n",)), symbol("p", (), bool)
    y = sg.cond(p, lambda v: v * v.shape[0], lambda v: sg.zeros(v.shape), x)
    np.testing.assert_array_equal(value(y, {x: [1, 2, 3], p: True}), [3, 6, 9])
    np.testing.assert_array_equal(value(y, {x: [1, 2, 3], p: False}), [0, 0, 0])
