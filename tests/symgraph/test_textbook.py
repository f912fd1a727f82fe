"""Gradients as a person would write them on paper: what `simplify` makes of them, in NumPy notation, and that it is equal."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.printing import to_text
from symgraph.rewrite import rewrite, simplify
from symgraph.rewrite.simplify import SIMPLIFY

rng = np.random.default_rng(5)
SIZES = {"n": 4, "m": 5, "k": 3}

A, S = sg.symbol("A", ("n", "n")), sg.symbol("S", ("n", "n"))
B, T = sg.symbol("B", ("m", "n")), sg.symbol("T", ("m", "n"))
U, V = sg.symbol("U", ("m", "k")), sg.symbol("V", ("n", "k"))
x, y = sg.symbol("x", ("n",)), sg.symbol("y", ("n",))
b, c = sg.symbol("b", ("m",)), sg.symbol("c")
norm = sg.linalg.norm


def _values(outputs):
    """A value for each symbol below the outputs; S is well conditioned."""
    found = {}
    for node in sg.core.toposort(outputs):
        if node.op.name == "symbol":
            value = rng.standard_normal([SIZES[str(n)] for n in node.shape])
            found[node] = value + 5 * np.eye(SIZES["n"]) if node is S else value
    return found


# Gradients -----------------------------------------------------------------------------------------------------------

# fmt: off
GRADIENTS = [
    (sg.sum((B @ x - b) ** 2) / 2,                    x, "B.T @ (B @ x - b)"),
    (sg.mean((B @ x - b) ** 2),                       x, "2 / m * (B.T @ (B @ x - b))"),
    (sg.sum((B @ x - b) ** 2) + c * sg.sum(x * x),    x, "2 * (B.T @ (B @ x - b) + x * c)"),
    (sg.sum(sg.softplus(B @ x) - b * (B @ x)),        x, "B.T @ (sigmoid(B @ x) - b)"),
    (sg.sum((U @ V.T - T) ** 2) / 2,                  U, "(U @ V.T - T) @ V"),
    (sg.sum((U @ V.T - T) ** 2) / 2,                  V, "(U @ V.T - T).T @ U"),
    (sg.sum((U @ V.T - T) ** 2) + c * sg.sum(V * V),  V, "2 * ((U @ V.T - T).T @ U + V * c)"),
    (sg.trace(A @ S),                                 S, "A.T"),
    (sg.trace(S @ A),                                 S, "A.T"),
    (3 * sg.trace(A @ S),                             S, "3 * A.T"),
    (sg.trace(S),                                     S, "eye(n)"),
    (sg.trace(S.T @ S),                               S, "2 * S"),
    (sg.trace(S.T @ A @ S),                           S, "A.T @ S + A @ S"),
    (sg.linalg.slogdet(S)[1],                         S, "inv(S).T"),
    (c * (S * S).sum(),                               S, "2 * c * S"),
    (x @ y / (norm(x) * norm(y)),                     x, "(y - x @ y / (x * x).sum() * x) / (norm(x) * norm(y))"),
    (sg.sum(y * x / norm(x)),                         x, "(y - (y * x).sum() / (x * x).sum() * x) / norm(x)"),
    (sg.var(x),                                       x, "2 / n * (x - x.sum(keepdims=True) / n)"),
    (sg.logsumexp(x),                                 x, "softmax(x)"),
]
# fmt: on


@pytest.mark.parametrize(("f", "by", "text"), GRADIENTS, ids=lambda v: v if isinstance(v, str) else "")
def test_gradients_come_out_as_on_paper(f, by, text):
    g = sg.grad(f, by)
    made = simplify(g)
    assert to_text(made) == text
    values = _values([f, g])
    found, expected = sg.evaluate([made, g], values)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_a_standard_deviation_has_one_mean():
    made = simplify(sg.grad(sg.std(x), x))
    assert [n.op.name for n in sg.core.toposort([made])].count("sum") == 1


def test_the_hessian_of_the_logistic_loss_is_a_weighted_gram_matrix():
    slope = simplify(sg.grad(sg.sum(sg.softplus(B @ x)), x))
    made = simplify(sg.jacobian(slope, x))
    assert to_text(made).splitlines()[-1] == "B.T @ diag(t1 * (1 - t1)) @ B"


def test_the_users_own_product_is_printed_as_it_was_written():
    assert to_text(b @ B) == "b @ B"
    assert to_text(simplify(b * 1 @ B)) == "b @ B"


def test_the_derivatives_of_a_gaussian_are_hermite_polynomials_times_it():
    t = sg.symbol("t")
    orders = [sg.exp(-(t**2) / 2)]
    for _ in range(3):
        orders.append(sg.grad(orders[-1], t))
    text = to_text(simplify(dict(zip(["f0", "f1", "f2", "f3"], orders)))).splitlines()
    assert text[-3:] == ["f1 = -t2", "f2 = f0 * (t1 - 1)", "f3 = t2 * (3 - t1)"]


# Rules ---------------------------------------------------------------------------------------------------------------


def test_products_with_the_identity():
    n = A.shape[0]
    assert simplify(A @ sg.eye(n)) is A
    assert simplify(sg.eye(n) @ A) is A
    assert simplify(A @ (2 * sg.eye(n))) is not A
    assert simplify(sg.einsum("ij,ij->", A, sg.eye(n))) is simplify(sg.trace(A))
    k = sg.symbol("k", ("n", "n"), "int64")
    assert simplify(k @ sg.eye(n, dtype="int64")).op.name == "matmul"  # ints are left alone


def test_an_off_diagonal_or_frozen_identity_stays():
    n = A.shape[0]
    assert simplify(A @ sg.eye(n, k=1)).op.name == "matmul"
    identity = sg.eye(n)
    (made,), _ = rewrite([A @ identity], SIMPLIFY, frozen={identity})
    assert made is A @ identity


def test_the_transpose_of_a_product():
    assert simplify((U.T @ T).T) is simplify(T.T @ U)
    assert simplify((2 * (U.T @ T)).T) is simplify(2 * (T.T @ U))
    shared = U.T @ T
    product, turned = simplify([shared, shared.T])
    assert turned is product.T  # the product is needed as it is


def test_terms_that_repeat_are_counted():
    a, d = sg.symbol("a", 3), sg.symbol("d", 3)
    assert simplify(a + d + a) is 2 * a + d
    assert simplify(a + d + a + d) is 2 * (a + d)
    assert simplify(a + d + a - d) is 2 * a


def test_numbers_of_a_sum_are_joined_unless_they_are_large():
    a = sg.symbol("a", 3)
    assert simplify(2 - (a - 1)) is 3 - a
    assert simplify((1 + a) - 1) is a
    assert simplify((1 - a) - 1) is -a
    shifted = (a + 2.0**52) - 1.0  # 2**52 - 1 is another number to round at
    assert simplify(shifted) is shifted


def test_a_number_merges_with_that_of_a_shared_multiple():
    a, d = sg.symbol("a", 3), sg.symbol("d", 3)
    half = simplify([2 * a, -0.5 * d * (2 * a)])[1]
    assert half is -(d * a)


def test_a_guard_stands_once():
    n = norm(x)
    guard = sg.where(n == 0, np.inf, n)
    assert simplify(1 / (n * guard)) is simplify(1 / (n * n))
    assert simplify(c * guard) is c * guard


# What is known of nodes ----------------------------------------------------------------------------------------------


def test_names_follow_their_nodes():
    h = sg.named(x * 1 + 0 * y + sg.sin(x), "h")
    loss = sg.named(sg.sum(h * h) * 1.0, "loss")
    assert to_text(simplify(loss)).splitlines() == ["h = x + sin(x)", "loss = (h * h).sum()"]
    assert simplify(sg.named(x * 1, "same")).name == "x"
    assert simplify(sg.named(sg.zeros(3) + 0, "nothing")).name is None


def test_what_was_the_gradient_of_a_node_is_so_when_simplified():
    h = sg.named(x * 1 + sg.sin(x), "h")
    loss = sg.sum(sg.exp(h) * h)
    slope, loss = simplify([sg.grad(loss, h), loss])
    assert any(f.name == "h" for f in sg.provenance.adjoint_of(slope))
    assert slope.order == 1


def test_no_rewriting_changes_the_order_of_what_comes_after():
    g = sg.grad(sg.sum((B @ x - b) ** 2), x)
    simplify(g)
    assert sg.sin(x + 12.5).order == 0
