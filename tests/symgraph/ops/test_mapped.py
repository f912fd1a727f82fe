"""map_rows: what its rows share is differentiated once, however the shared tensors are made of each other."""

import numpy as np

import symgraph as sg
from symgraph.testing.gradients import check_grads

ROWS, X = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]]), np.array([0.1, 0.2, 0.3])


def test_shared_operands_made_of_each_other():
    def f(rows, x):
        h = sg.exp(x)
        return sg.map_rows(lambda r: r * h * x, rows)

    check_grads(f, ROWS, X, order=2)


def test_rows_that_are_shared_too():
    x = sg.symbol("x", (3, 3))
    y = sg.map_rows(lambda r: (r @ x).sum(), x).sum()  # the sum of x @ x
    a = np.arange(9.0).reshape(3, 3)
    expected = np.ones((3, 3)) @ a.T + a.T @ np.ones((3, 3))
    np.testing.assert_allclose(sg.evaluate(sg.grad(y, x), {x: a}), expected)
    np.testing.assert_allclose(sg.evaluate(sg.jvp(y, x, np.ones((3, 3))), {x: a}), expected.sum())
