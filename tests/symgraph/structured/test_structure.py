"""The structure that a person would find, its formula, and what is answered from it without making the array."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

import symgraph as sg
from symgraph.autodiff import batched_jacobian
from symgraph.core import toposort
from symgraph.errors import CompileError, GradientError, ShapeError
from symgraph.ops.banded import SolveBanded
from symgraph.ops.base import as_tensor
from symgraph.ops.linalg import Solve
from symgraph.pytree import flatten
from symgraph.structured.choose import work

A = sg.symbol("A", ("m", 5))
x = sg.symbol("x", (5,))
y = sg.symbol("y", ("m",))
T, U, V, M = sg.symbol("T", (7, 6)), sg.symbol("U", (7, 2)), sg.symbol("V", (6, 2)), sg.symbol("M", (7, 6))
z = sg.symbol("z", (9,))
S = sg.symbol("S", (5, 5))
W1, W2, w3 = sg.symbol("W1", (6, 5)), sg.symbol("W2", (6, 6)), sg.symbol("w3", (6,))
X = sg.symbol("X", (8, 5))
MODES = ("forward-over-reverse", "symmetric", "edge-pushing")


def rosenbrock(z):
    return sg.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2)


def residual(h):
    for _ in range(6):
        h = h + sg.tanh(W2 @ h)
    return h


def total_variation(U):
    return sg.sum((U[1:] - U[:-1]) ** 4) + sg.sum((U[:, 1:] - U[:, :-1]) ** 4)


PROBLEMS = {
    "quadratic form": (x @ S @ x, x),
    "sum of f(Ax)": (sg.sum(sg.exp(A @ x)), x),
    "logistic regression": (sg.sum(np.log(1 + np.exp(-y * (A @ x)))), x),
    "least squares": (sg.sum((A @ x - y) ** 2), x),
    "factorization": (sg.sum((T - U @ V.T) ** 2), U),
    "factorization with a mask": (sg.sum((M * (T - U @ V.T)) ** 2), U),
    "logsumexp": (sg.logsumexp(z), z),
    "softmax cross-entropy": (-sg.sum(sg.log_softmax(X @ S, axis=1)[:, 0]), S),
    "chained Rosenbrock": (rosenbrock(z), z),
    "network, its input": (w3 @ sg.tanh(W2 @ sg.tanh(W1 @ x)), x),
    "network, a weight": (sg.sum(sg.tanh(sg.tanh(X @ W1.T) @ W2)), W1),
    "relu network": (sg.sum(sg.maximum(sg.maximum(X @ W1.T, 0) @ W2, 0) ** 2), W1),
    "residual network": (sg.sum(residual(W1 @ x) ** 2), x),
    "total variation": (total_variation(U), U),
    "reshapes": (sg.sum(sg.sin(U.reshape(14)[2:12].reshape(5, 2) @ U[:2].T) ** 2), U),
    "stack and concatenate": (sg.sum(sg.stack([z, z * z[::-1]]) ** 3) + sg.sum(sg.concatenate([z, sg.exp(z)]) ** 2), z),
    "diagonals": (sg.sum(sg.exp(sg.diag(S) * x)) + sg.sum(sg.diagonal(S) ** 3), S),
    "norm and division": (sg.sum(x / (1 + sg.sum(x * x))) + sg.linalg.norm(x), x),
    "where": (sg.sum(sg.where(z > 0, sg.sqrt(abs(z)) * z, sg.sin(z) * z[0])), z),
    "padded and rolled": (sg.sum(sg.pad(z, 2) ** 3) + sg.sum(sg.roll(z, 2) * sg.exp(z)), z),
    "an axis of size 1": (sg.sum(sg.exp(U[:, :1] * U) * U[:1]), U),
    "products of sums": (sg.sum(z**3) * sg.sum(sg.exp(z)), z),
    "solve and logdet": (x @ sg.linalg.solve(S @ S.T + np.eye(5), x) + sg.linalg.slogdet(S @ S.T + np.eye(5))[1], S),
    "cumsum and max": (sg.sum(sg.cumsum(z) ** 3) + sg.max(z) ** 3, z),
}


def values(outputs):
    rng = np.random.default_rng(3)
    sizes = {"m": 11}
    found = {}
    for node in (A, S, T, U, V, M, W1, W2, w3, X, x, y, z):
        shape = tuple(n if isinstance(n, int) else sizes[str(n)] for n in node.shape)
        found[node] = rng.normal(size=shape) * 0.7
    found[M] = (found[M] > 0) * 1.0
    reached = set(toposort([as_tensor(o) for o in flatten(outputs)[0]]))
    return {node: v for node, v in found.items() if node in reached}


def run(outputs, **options):
    given = values(outputs)
    return sg.function(list(given), list(outputs), **options)(*given.values())


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("name", PROBLEMS)
def test_hessians(name, mode):
    loss, v = PROBLEMS[name]
    if (name, mode) == ("cumsum and max", "edge-pushing"):
        with pytest.raises(GradientError, match="cannot be written"):
            sg.hessian(loss, v, mode)
        return
    H = sg.hessian(loss, v, mode)
    given = values([H, loss])
    (expected,) = sg.interpret(batched_jacobian(sg.grad(loss, v, unused="zero"), [v]), given)
    n = int(np.prod(v.shape))
    direction = sg.constant(np.random.default_rng(0).normal(size=v.shape))
    outputs = [H, H.matvec(direction), H.rmatvec(direction), H.diagonal(), H.trace()]
    wanted = [
        expected,
        np.tensordot(expected, direction.op.value, v.ndim),
        np.tensordot(expected, direction.op.value, v.ndim),
        np.diag(expected.reshape(n, n)).reshape(v.shape),
        np.trace(expected.reshape(n, n)),
    ]
    scale = max(1.0, np.abs(expected).max())
    for style, optimize in (("fast", True), ("plain", True), ("plain", False)):
        for found, value in zip(run([*outputs, loss], style=style, optimize=optimize), wanted, strict=False):
            np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-9 * scale * n, err_msg=f"{style}\n{H}")
    np.testing.assert_allclose(expected.reshape(n, n), expected.reshape(n, n).T, atol=1e-9 * scale)


@pytest.mark.parametrize("name", PROBLEMS)
def test_sparse_matrices_hold_the_same_values(name):
    loss, v = PROBLEMS[name]
    H = sg.hessian(loss, v)
    sparse, dense, _ = run([H.csr(), H, loss]) if not sg.dims.variables(*H.shape) else (None, None, None)
    assert isinstance(sparse, csr_array) and sparse.has_canonical_format
    np.testing.assert_allclose(sparse.toarray(), dense.reshape(sparse.shape), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_solving(name):
    loss, v = PROBLEMS[name]
    loss = loss + 50 * sg.sum(v**2)  # definite
    H = sg.hessian(loss, v)
    b = sg.constant(np.random.default_rng(1).normal(size=v.shape))
    solution, dense, _ = run([H.solve(b), H, loss])
    n = int(np.prod(v.shape))
    expected = np.linalg.solve(dense.reshape(n, n), b.op.value.ravel()).reshape(v.shape)
    np.testing.assert_allclose(solution, expected, rtol=1e-8, atol=1e-10)


FORMULAS = {
    "quadratic form": "S.T + S",
    "sum of f(Ax)": "A.T @ diag(exp(A @ x)) @ A",
    "least squares": "2 * (A.T @ A)",
    "factorization": "2 * kron(I, V.T @ V)",
    "logsumexp": "diag(softmax(z)) - outer(softmax(z), softmax(z))",
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name):
    loss, v = PROBLEMS[name]
    assert str(sg.hessian(loss, v)) == FORMULAS[name]


def test_formulas_of_jacobians():
    assert str(sg.jacobian(sg.sin(A @ x), x)) == "diag(cos(A @ x)) @ A"
    assert str(sg.jacobian(U @ V.T, U)) == "kron(I, V)"
    assert str(sg.jacobian(sg.linalg.inv(S), S)) == "-kron(inv(S), inv(S).T)"
    assert str(sg.jacobian(z, z)) == "I"
    assert str(sg.jacobian(z[1:], z)) == "diag(ones, 1)"


def test_the_slope_of_a_ramp_is_a_step():
    assert str(sg.jacobian(sg.maximum(A @ x, 0), x)) == "diag(heaviside(A @ x, 0.5)) @ A"
    assert str(sg.jacobian(sg.maximum(0, x), x)) == "diag(heaviside(x, 0.5))"
    assert "heaviside" not in str(sg.jacobian(sg.maximum(x, 1), x)) + str(sg.jacobian(sg.minimum(x, 0), x))
    at = np.array([-1, -0.0, 0, 2, np.inf])
    (d,) = sg.function([x], [sg.jacobian(sg.maximum(x, 0), x)])(at)
    np.testing.assert_array_equal(d, np.diag([0, 0.5, 0.5, 1, 1]))


def test_long_factors_are_named():
    H = sg.hessian(sg.sum(sg.sin(A @ x) ** 2 * sg.exp(A @ x) * y), x)
    assert str(H).endswith("\nA.T @ diag(d1) @ A")


def test_a_factor_may_be_part_of_another():
    B = sg.symbol("B", (4, 5))
    text = str(sg.hessian(sg.logsumexp(B @ x), x))
    assert "factor" not in text and text.count("softmax(B @ x)") == 1


def test_what_factors_share_has_one_name_and_one_meaning():
    q, v = sg.symbol("q", (2,)), sg.symbol("v", (2,))
    p = sg.stack([sg.sin(q[0]), -sg.cos(q[0]), sg.sin(q[0]) + sg.sin(q[1]), -sg.cos(q[0]) - sg.cos(q[1])])
    H = sg.hessian(sg.sum(sg.jvp(p, q, v) ** 2) / 2, v)
    *lines, total = str(H).split("\n")
    scope = {
        "q": np.array([0.3, 1.1]),
        "sin": np.sin,
        "cos": np.cos,
        "unit": lambda i, j: np.eye(2)[i][:, None] * np.eye(2)[j],
    }
    names = [line.split(" = ")[0] for line in lines]
    assert len(set(names)) == len(names)
    exec("\n".join([*lines, f"total = {total}"]), scope)
    np.testing.assert_allclose(scope["total"], sg.evaluate(H, {q: [0.3, 1.1], v: [0.0, 0.0]}))


def test_diagonals_bands_blocks_and_low_rank_are_solved_as_such():
    b = sg.symbol("b", (9,))

    def solvers(H, b):
        return {type(n.op) for n in toposort([H.solve(b)]) if isinstance(n.op, Solve | SolveBanded)}

    assert solvers(sg.hessian(sg.sum(sg.exp(z)), z), b) == set()
    assert solvers(sg.hessian(rosenbrock(z), z), b) == {SolveBanded}
    long, c = sg.symbol("long", (500,)), sg.symbol("c", (500,))
    low = sg.hessian(sg.sum(sg.exp(long)) + sg.sum(long) ** 2, long).solve(c)
    assert all(n.size < 500 * 500 for n in toposort([low]))  # no matrix of the size of the system, unless in a branch
    B = sg.symbol("B", (7, 2))
    (solve,) = [n for n in toposort([sg.hessian(sg.sum((T - U @ V.T) ** 2), U).solve(B)]) if isinstance(n.op, Solve)]
    assert solve.inputs[0].shape == (2, 2)


@pytest.mark.parametrize("first", [0.0, 1e-9, 1e-6, 1e-4, 1e-2, 1.0])
def test_a_nearly_singular_diagonal_is_no_loss_of_digits(first):
    q, a = sg.symbol("q", (6,)), np.arange(1.0, 7)
    H = sg.hessian(sg.sum(q**4) + (a @ q) ** 2, q)
    matrix, found = sg.function([q], [H, H.solve(np.ones(6))])(np.array([first, 1, -1, 2, 0.5, 0.3]))
    np.testing.assert_allclose(matrix @ found, np.ones(6), rtol=1e-9)


def test_a_derivative_that_is_zero_is_not_solved():
    with pytest.raises(GradientError, match="zero for all values"):
        sg.hessian(sg.sum(2 * x), x).solve(x)


COUPLED = {
    "sines": lambda x, c: sg.sum(sg.exp(sg.sin(x) * 3) * sg.cos(c)),
    "a variable after the nodes": lambda x, c: sg.sum(sg.exp(sg.sin(x)) ** 2 * c) * sg.sum(c**2),
    "products": lambda x, c: (x @ c) ** 3 + sg.sum(sg.tanh(x * c[::-1])),
}


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("name", COUPLED)
@pytest.mark.parametrize("dependent", [False, True])
def test_coupled_variables(name, mode, dependent):
    """All blocks in both orders of the variables, of which the second may depend on the first and moves by itself as well."""
    q, e = sg.symbol("q", (3,)), sg.symbol("e", (3,))
    c = sg.exp(q) * 0.5 if dependent else sg.symbol("c", (3,))

    def loss(q, c):
        return COUPLED[name](q, c) + sg.sum(c**3) * sg.sum(q)

    point = np.array([0.3, -0.5, 0.8])
    apart = loss(q, sg.exp(q) * 0.5 + e) if dependent else loss(q, e)
    start = np.zeros(3) if dependent else point[::-1] * 0.7
    wanted = [
        sg.interpret([batched_jacobian(sg.grad(apart, a), [b])[0]], {q: point, e: start})[0]
        for a in (q, e)
        for b in (q, e)
    ]
    given = {q: point} if dependent else {q: point, c: start}
    (qq, qc), (cq, cc) = sg.hessian(loss(q, c), [q, c], mode)
    for found, expected in zip(sg.interpret([qq, qc, cq, cc], given), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    (cc, cq), (qc, qq) = sg.hessian(loss(q, c), [c, q], mode)
    for found, expected in zip(sg.interpret([qq, qc, cq, cc], given), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_product_with_a_vector_makes_no_matrix():
    n = 400
    B, w, v = sg.symbol("B", (300, n)), sg.symbol("w", (n,)), sg.symbol("v", (n,))
    H = sg.hessian(sg.sum(sg.exp(B @ w)), w)
    source = sg.function([B, w, v], H.matvec(v), style="plain").source
    assert source.count("@") == 3  # B @ w, B @ v, (...) @ B
    assert work([H.matvec(v)]) < work([H])


def test_the_gram_matrix_of_a_convex_loss_is_one_symmetric_product():
    B, w, t = sg.symbol("B", (300, 200)), sg.symbol("w", (200,)), sg.symbol("t", (300,))
    source = sg.function([B, w, t], sg.hessian(sg.sum(np.log(1 + np.exp(-t * (B @ w)))), w), style="plain").source
    assert "np.sqrt" in source
    rng = np.random.default_rng(0)
    Bn, wn, tn = rng.normal(size=(300, 200)), rng.normal(size=200) * 0.1, np.sign(rng.normal(size=300))
    found = sg.function([B, w, t], sg.hessian(sg.sum(np.log(1 + np.exp(-t * (B @ w)))), w))(Bn, wn, tn)
    p = 1 / (1 + np.exp(tn * (Bn @ wn)))
    np.testing.assert_allclose(found, (Bn.T * (p * (1 - p))) @ Bn, rtol=1e-10, atol=1e-12)
    assert (found == found.T).all()


def test_blocks_of_several_variables():
    loss = sg.sum((M * (T - U @ V.T)) ** 2)
    H = sg.hessian(loss, {"U": U, "V": V})
    given = values(loss)
    G = sg.grad(loss, {"U": U, "V": V})
    for a in "UV":
        for b, v in (("U", U), ("V", V)):
            (expected,) = sg.interpret(batched_jacobian(G[a], [v]), given)
            (found,) = sg.interpret([H[a][b]], given)
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_structured_tensor_is_a_tensor():
    H = sg.hessian(sg.sum(sg.exp(A @ x)), x)
    assert isinstance(H, sg.Tensor) and H.shape == (5, 5) and H.dtype == np.float64
    assert sg.hessian(sg.sum(sg.exp(A @ x)), x) is H
    f = sg.function([A, x], [np.sum(H * H), H @ x, sg.grad(sg.sum(H), x), H.T, H.dense()])
    a, v = np.arange(10.0).reshape(2, 5) / 10, np.linspace(-1, 1, 5)
    e = np.exp(a @ v)
    dense = (a.T * e) @ a
    third = a.T @ (e * (a.sum(axis=1) ** 2))
    for found, expected in zip(f(a, v), [np.sum(dense * dense), dense @ v, third, dense.T, dense], strict=True):
        np.testing.assert_allclose(found, expected)


def test_copies_answer_too():
    """What is rebuilt from other operands has no places and labels, but is the same array."""
    v = sg.symbol("v", (9,))
    H = sg.hessian(rosenbrock(z), z)
    given = {v: np.linspace(-1, 1, 9)}
    moved = sg.substitute(H, {z: sg.sin(v)})
    again = pickle.loads(pickle.dumps(sg.substitute(H, {z: sg.constant(np.sin(given[v]))})))
    batch = sg.vmap(lambda row: sg.hessian(rosenbrock(row), row))(sg.stack([z, z]))
    wanted = sg.interpret([H], {z: np.sin(given[v])})[0]
    for copy, at in ((moved, given), (again, {})):
        assert isinstance(copy, sg.Structured) and str(copy) and copy.story == ""
        for found, expected in (
            (copy, wanted), (copy.matvec(np.ones(9)), wanted @ np.ones(9)), (copy.diagonal(), np.diag(wanted)),
            (copy.solve(np.ones(9)), np.linalg.solve(wanted, np.ones(9))), (copy.csr().data, None),
        ):  # fmt: skip
            value = sg.interpret([found], at)[0]
            if expected is not None:
                np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(sg.interpret([batch], {z: np.sin(given[v])})[0], [wanted, wanted])


def test_terms_of_a_deep_residual_network_do_not_double():
    h = x
    for _ in range(40):
        h = h + sg.sin(h) * 0.1
    assert len(sg.jacobian(h, x).terms) == 1


def test_inputs_that_the_hessian_does_not_need_are_accepted_and_not_required():
    H = sg.hessian(sg.sum((A @ x - y) ** 2), x)
    a = np.arange(10.0).reshape(2, 5)
    np.testing.assert_allclose(sg.function([A, x, y], H)(a, np.zeros(5), np.zeros(2)), 2 * a.T @ a)
    np.testing.assert_allclose(sg.function([A], H)(a), 2 * a.T @ a)


def test_symbolic_bands():
    u, v = sg.symbol("u", ("n",)), sg.symbol("v", ("r",))
    H = sg.hessian(sg.sum((u[1:] - u[:-1] ** 2) ** 2), u)
    value = np.array([0.5, -0.3, 0.8, 0.1])
    dense, d, t, m = sg.function([u], [H, H.diagonal(), H.trace(), H.matvec(u)])(value)
    np.testing.assert_allclose(d, np.diag(dense))
    np.testing.assert_allclose(t, np.trace(dense))
    np.testing.assert_allclose(m, dense @ value)
    with pytest.raises(ShapeError, match=r"n=3.*r=5|r=5.*n=3"):
        sg.function([u, v], H.matvec(v))(np.ones(3), np.ones(5))


def test_float32_stays():
    w = sg.symbol("w", (3,), "float32")
    B = sg.symbol("B", (4, 3), "float32")
    H = sg.hessian(sg.sum(sg.logsumexp(B * w, axis=1)) + 2 * sg.sum(w[1:] ** 3), w)
    assert H.dtype == np.float32
    assert {n.dtype for n in toposort([H.dense(), H.solve(w), H.csr().data]) if n.dtype.kind == "f"} <= {
        np.dtype("float32"), np.dtype("float64")
    }  # fmt: skip
    found = sg.function([B, w], [H, H.solve(w), H.csr()])(np.ones((4, 3), "f4"), np.ones(3, "f4"))
    assert {a.dtype for a in found} == {np.dtype("float32")}


@pytest.mark.parametrize("shape", [(), (0,), (1,), (1, 1), (0, 3)])
def test_small_shapes(shape):
    v = sg.symbol("v", shape)
    n = int(np.prod(shape))
    H = sg.hessian(sg.sum(sg.exp(v) * v), v)
    value = np.full(shape, 0.5)
    dense, diagonal, solved = sg.function([v], [H, H.diagonal(), H.solve(v)])(value)
    d = np.exp(0.5) * 2.5
    assert dense.shape == shape + shape
    np.testing.assert_allclose(dense.reshape(n, n), np.eye(n) * d)
    np.testing.assert_allclose(diagonal, np.full(shape, d))
    np.testing.assert_allclose(solved, value / d)


def test_errors():
    H = sg.hessian(sg.sum(sg.exp(A @ x)), x)
    with pytest.raises(GradientError, match="must be a scalar"):
        sg.hessian(sg.exp(x), x)
    with pytest.raises(GradientError, match="mode='sideways' must be"):
        sg.hessian(sg.sum(x), x, mode="sideways")
    with pytest.raises(GradientError, match="int values are constants"):
        sg.hessian(sg.sum(x), sg.symbol("k", (3,), int))
    with pytest.raises(ShapeError, match=r"matvec of .* the operand has the shape \(5,\)"):
        H.matvec(np.ones(4))
    with pytest.raises(ShapeError, match="the axes of the output"):
        sg.jacobian(A @ x, x).trace()
    n = sg.symbol("n", ("n",))
    with pytest.raises(ShapeError, match="a sparse matrix needs sizes that are known while the graph is built, not n"):
        sg.hessian(sg.sum(sg.exp(n)), n).csr()
    many = sg.symbol("many", (100_000,))
    large = sg.hessian(sg.sum(sg.exp(many)), many)
    assert large.matvec(many).shape == large.diagonal().shape == (100_000,)
    with pytest.raises(CompileError, match=r"\(100000, 100000\) float64 would take 74.5 GiB.*matvec"):
        sg.function([many], large)


def test_a_singular_matrix_is_an_error():
    c, b = sg.symbol("c", (5,)), sg.symbol("b", (5,))
    f = sg.function([c, b], sg.hessian((x @ c) ** 2, x).solve(b))
    with pytest.raises(np.linalg.LinAlgError, match=r"[Ss]ingular"):
        f(np.zeros(5), np.ones(5))


def test_what_the_estimate_says_is_told():
    assert "mode " in sg.explain(sg.hessian(sg.sum(sg.exp(A @ x)), x), rewrites=False)
    assert "no structured rule for cumsum" in sg.explain(sg.jacobian(sg.cumsum(z), z), rewrites=False)
