"""Products with zeros, identities and constants are not computed when a function is called."""

import numpy as np
import pytest

import symgraph as sg
from symgraph import constant, simplify, symbol

X, W = symbol("X", ("n", 3)), symbol("W", (3, 3))
n = X.shape[0]


def test_a_product_with_zeros_is_zeros():
    assert simplify(sg.zeros((n, 3)) @ W + X) is X
    assert simplify(X @ constant(np.zeros((3, 3))) + X) is X
    assert simplify(sg.sum(sg.grad(sg.sum(sg.zeros((n, 3)) @ W), W))) is simplify(sg.zeros(()))


def test_a_recurrent_net_begins_without_a_product():
    state = sg.zeros((n, 3))
    for _ in range(2):
        state = sg.tanh(X + state @ W)
    for outputs, products in ((state, 1), (sg.grad(sg.sum(state), W), 2)):
        source = sg.function([X, W], outputs, style="plain").source
        assert source.count("@") == products and "zeros" not in source and "* 0" not in source


def test_zeros_among_zeros_are_zeros():
    assert simplify(sg.pad(sg.zeros((n, 3)), 1)) is sg.zeros((n + 2, 5))


def test_a_product_of_constants_is_a_constant():
    A = np.arange(9.0).reshape(3, 3)
    found = simplify(constant(A) @ constant(A) @ X[0])
    assert len(found.inputs) == 2 and any(np.array_equal(getattr(c.op, "value", None), A @ A) for c in found.inputs)
    large = constant(np.ones((200, 1))) @ constant(np.ones((1, 200)))
    assert simplify(large).inputs


@pytest.mark.parametrize(("a", "b"), [(3, 4), (3, n)])
def test_a_kronecker_product_of_identities_is_one(a, b):
    assert sg.kron(sg.eye(a), sg.eye(b)) is sg.eye(a * b)


def test_kronecker_products_of_other_diagonals_are_not():
    made = sg.kron(sg.eye(3, k=1), sg.eye(2))
    np.testing.assert_array_equal(sg.function([], made)(), np.kron(np.eye(3, k=1), np.eye(2)))


@pytest.mark.parametrize("k", [-1, 0, 2])
def test_a_triangle_of_truth_is_a_comparison(k):
    f = sg.function([X], sg.where(sg.tri(n, k=k, dtype=bool), sg.sum(X), 0.0))
    assert "ones" not in f.source
    value = np.ones((4, 3))
    np.testing.assert_array_equal(f(value), np.where(np.tri(4, k=k, dtype=bool), 12.0, 0.0))


def test_multiples_of_a_diagonal_matrix_are_one():
    c = symbol("c")
    assert simplify(2 * ((0.5 * c) * sg.eye(3))) is simplify(c * sg.eye(3))
    v = symbol("v", (3,))
    assert str(sg.hessian(0.5 * c * sg.sum(v * v), v)) == "c * I"
