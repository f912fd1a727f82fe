"""Contraction planning: the products of a model in the order, and in the form, in which a person would write them."""

import random
import time

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol, toposort
from symgraph.interpreter import interpret
from symgraph.ops.einsum import Einsum
from symgraph.ops.late import F
from symgraph.rewrite import simplify
from symgraph.rewrite.contractions import plan_contractions
from symgraph.rewrite.contractions.order import Sizes, best_order, count, pair_cost

rng = np.random.default_rng(7)
A, B, C = symbol("A", (50, 40)), symbol("B", (40, 30)), symbol("C", (30, 20))
v, w, d = symbol("v", (30,)), symbol("w", (50,)), symbol("d", (50,))
x, W = symbol("x", ("n", 40)), symbol("W", (40, 30))
S = symbol("S", (40, 40))


def plan(*outputs):
    found, _ = plan_contractions(list(outputs))
    return found[0] if len(found) == 1 else found


def flops(*outputs):
    nodes = [n for n in toposort(list(outputs)) if n.inputs]
    return sum(n.op.cost(n.aval, *[i.aval for i in n.inputs]) for n in nodes if hasattr(n.op, "cost"))


def values_of(outputs):
    leaves = [n for n in toposort(outputs) if isinstance(n.op, sg.core.Symbol)]
    sizes = {}
    for leaf in leaves:
        for n in leaf.shape:
            if not isinstance(n, int):
                sizes.setdefault(n.key, 3 + len(sizes))
    found = {}
    for leaf in leaves:
        value = rng.standard_normal([sg.dims.evaluate(n, sizes) for n in leaf.shape])
        found[leaf] = (value + 1j * rng.standard_normal(value.shape) if leaf.dtype.kind == "c" else value).astype(
            leaf.dtype
        )
    return found


def agree(*outputs, rtol=1e-9):
    """Planned and unplanned graphs have the same types and, by the naive interpreter, the same values."""
    planned, mapping = plan_contractions(list(outputs))
    given = values_of(outputs)
    for old, new, a, b in zip(outputs, planned, interpret(outputs, given), interpret(planned, given), strict=True):
        assert new.aval == old.aval and mapping[old] is new
        np.testing.assert_allclose(b, a, rtol=rtol, atol=rtol * np.max(np.abs(a), initial=1))
    return planned


# What a person would write -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written, wanted",
    [
        (lambda: (A @ B) @ v, lambda: A @ (B @ v)),
        (lambda: w @ (A @ B), lambda: (w @ A) @ B),
        (lambda: ((A @ B) @ C) @ symbol20, lambda: A @ (B @ (C @ symbol20))),
        (lambda: sg.multi_dot([A, B, C, symbol20]), lambda: A @ (B @ (C @ symbol20))),
        (lambda: (B.T @ A.T).T, lambda: A @ B),
        (lambda: (A @ B).T, lambda: sg.einsum("ij,jk->ki", A, B)),
        (lambda: (A.T * d) @ A, lambda: sg.einsum("ni,nj->ji", A, A * d[:, None])),
        (lambda: A.T @ A, lambda: sg.einsum("ni,nj->ij", A, A)),
        (lambda: (A * A).sum(), lambda: sg.einsum("ij,ij->", A, A)),
        (lambda: (A**2).sum(axis=1), lambda: sg.einsum("ij,ij->i", A, A)),
        (lambda: sg.square(A).sum(axis=0), lambda: sg.einsum("ij,ij->j", A, A)),
        (lambda: (A * d[:, None]).sum(axis=0), lambda: d @ A),
        (lambda: (x @ W).sum(axis=0), lambda: x.sum(axis=0) @ W),
        (lambda: (x @ W).sum(), lambda: x.sum(axis=0) @ W.sum(axis=1)),
        (lambda: (x @ W).mean(axis=0), lambda: (x.sum(axis=0) @ W) / x.shape[0]),
        (lambda: sg.trace(A @ D), lambda: sg.einsum("ij,ji->", A, D)),
        (lambda: sg.einsum("ii->i", A @ D), lambda: sg.einsum("ij,ji->i", A, D)),
        (lambda: sg.diag(d) @ A, lambda: d[:, None] * A),
        (lambda: sg.eye(50) @ A @ B, lambda: A @ B),
        (lambda: sg.outer(sg.ones((50,)), v) @ C, lambda: sg.broadcast_to(v @ C, (50, 20))),
        (lambda: (A * -2.0) @ B @ v, lambda: (A @ (B @ v)) * -2.0),
        (lambda: sg.exp(sg.outer(d, v)), lambda: sg.exp(d[:, None] * v)),
        (lambda: (3 * S) @ S[:, :2], lambda: 3.0 * (S @ S[:, :2])),
    ],
)  # fmt: skip
def test_the_form_is_that_of_a_person(written, wanted):
    assert plan(written()) is wanted()


symbol20, D = symbol("u", (20,)), symbol("D", (40, 50))


@pytest.mark.parametrize(
    "build",
    [
        lambda: A @ B,
        lambda: sg.einsum("ni,nj->ij", A, A),
        lambda: sg.outer(d, v),
        lambda: A.sum(axis=0),
        lambda: sg.tanh(A) * A,
        lambda: 2 * A,
        lambda: A.T,
        lambda: x @ W + v,
        lambda: sg.einsum("ij,ij->i", A, A)[:, None] * A,
        lambda: F.sum(symbol("i", (3, 4), "int64") * symbol("j", (3, 4), "int64")),
        lambda: (symbol("h", (3, 4), "float16") ** 2).sum(),
    ],
)
def test_what_is_right_stays_the_same_object(build):
    y = build()
    assert plan(y) is y


def test_work_that_others_need_is_not_done_again():
    y = A @ B
    assert plan(y @ v, y)[0] is y @ v
    square = A * A
    assert plan(square.sum(), square)[0] is square.sum()
    named = plan(y @ v, sg.exp(y))
    assert sum(isinstance(n.op, Einsum) for n in toposort(named)) == 2


def test_multiples_leave_a_shared_value_for_smaller_results():
    T, U, V = symbol("T", (100, 80)), symbol("U", (100, 5)), symbol("V", (80, 5))
    loss = ((T - U @ V.T) ** 2).sum()
    value, gu, gv = plan(loss, *sg.simplify(sg.grad(loss, [U, V])))
    E = T - sg.einsum("ik,jk->ij", U, V)
    assert value is sg.vdot(E, E)
    assert gu is (E @ V) * -2.0 and gv is sg.einsum("ij,ik->jk", E, U) * -2.0
    agree(loss, *sg.grad(loss, [U, V]))


def test_products_are_shared_between_the_forward_and_the_backward_pass():
    x, M = symbol("x", (40,)), symbol("M", (40, 40))
    y = sg.einsum("i,ij,j->", x, M, x)
    found = agree(y, *sg.grad(y, [x, M]))
    products = [n for n in toposort(found) if isinstance(n.op, Einsum)]
    assert sum(len(n.inputs) == 2 and n.ndim == 1 for n in products) == 2  # x M and M x, and no third one

    D, E = symbol("D", ("n", "k", 10)), symbol("E", ("k", 10, 10))
    q = sg.einsum("nkd,kde,nke->nk", D, E, D)
    found = agree(q, *sg.grad(q.sum(), [D, E]))
    products = [n for n in toposort(found) if isinstance(n.op, Einsum)]
    assert len(products) == 4 and all(len(n.inputs) == 2 for n in products)


def test_the_gradients_of_a_layer_are_plain_products():
    b, g = symbol("b", (30,)), symbol("g", ("n", 30))
    loss = (sg.tanh(x @ W + b) * g).sum()
    dW, dx = plan(*sg.simplify(sg.grad(loss, [W, x])))
    assert isinstance(dW.op, Einsum) and dW.op.name == "matmul" and x in dW.inputs
    assert isinstance(dx.op, Einsum) and W in dx.inputs


def test_attention_in_the_layout_of_heads():
    Q, K, V = (symbol(n, ("b", "n", 4, 8)) for n in "QKV")
    q, k, u = (z.swapaxes(1, 2) for z in (Q, K, V))
    out = (sg.softmax(q @ k.mT / np.sqrt(8.0), axis=-1) @ u).swapaxes(1, 2)
    loss = (out * out).sum()
    lowered = sg.rewrite.sequence([loss, *sg.grad(loss, [Q, K, V])], (sg.rewrite.CANONICALIZE,))[0]
    found = agree(*lowered)
    nodes = toposort(found)
    assert sum(n.op.name == "transpose" for n in nodes) == 1  # the view that the user asked for
    scaled = [n for n in nodes if n.op is F.multiply and any(x.ndim == 0 for x in n.inputs)]
    assert len(scaled) == 2 and Q in scaled[0].inputs  # Q / sqrt(8), for the scores and for grad K, and grad Q
    assert scaled[0] in found[2].inputs


def test_shared_scale_of_scores_stays_where_it_is_small():
    n = symbol("s", (6, 4))
    y = (3.0 * n) @ symbol("r", (4, 500))
    assert plan(y) is y


# Values --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(150))
def test_random_expressions_keep_their_values(seed):
    choose = random.Random(seed)
    dtype = choose.choice(["float64", "float64", "complex128"])
    sizes = [choose.choice([1, 2, 3, 5, 40, sg.dims.dim("n"), sg.dims.dim("m")]) for _ in range(3)]
    pool = [symbol(f"x{i}", tuple(choose.choice(sizes) for _ in range(choose.randint(1, 3))), dtype) for i in range(5)]
    for _ in range(choose.randint(2, 9)):
        a, b = choose.choice(pool), choose.choice(pool)
        kind = choose.randrange(10)
        if kind <= 3:
            labels = {}
            la = ["abcdefgh"[i] for i in range(a.ndim)]
            for i, n in enumerate(a.shape):
                labels.setdefault(str(n), []).append(la[i])
            lb = []
            for i, n in enumerate(b.shape):
                same = [c for c in labels.get(str(n), []) if c not in lb]
                lb.append(choose.choice(same) if same and choose.random() < 0.8 else "ijklmnop"[i])
            every = list(dict.fromkeys([*la, *lb]))
            out = choose.sample(every, choose.randint(0, min(3, len(every))))
            made = sg.einsum(f"{''.join(la)},{''.join(lb)}->{''.join(out)}", a, b)
        elif kind == 4:
            made = a.sum(axis=choose.randrange(a.ndim), keepdims=choose.random() < 0.4) if a.ndim else -a
        elif kind == 5:
            made = a.transpose(choose.sample(range(a.ndim), a.ndim)) if a.ndim > 1 else a * a
        elif kind == 6:
            made = [2.5 * a, -a, a / 3.0, a**2, a * b.sum()][choose.randrange(5)]
        elif kind == 7:
            made = sg.expand_dims(a, choose.randint(0, a.ndim)) if a.ndim < 3 else a.sum(axis=(0, 2))
        elif kind == 8:
            made = sg.diag(a) if a.ndim == 1 else sg.broadcast_to(a, (3, *a.shape)) if a.ndim < 3 else sg.exp(a)
        else:
            try:
                with sg.dims.collecting() as undecided:
                    made = a * b
                made = sg.tanh(a) if undecided else made
            except sg.ShapeError:
                made = sg.tanh(a)
        pool.append(made)
    outputs = [pool[-1], *choose.sample(pool, 2)]
    agree(*outputs, rtol=1e-8)


def test_single_precision_stays():
    a, b = symbol("a", ("n", 3), "float32"), symbol("b", (3, 3), "float32")
    loss = ((a @ b) * (a @ b)).mean() / 3
    for node in toposort(agree(loss, *sg.grad(loss, [a, b]), rtol=1e-4)):
        assert node.dtype == np.float32 or node.aval.weak or node.dtype.kind == "i"


def test_empty_and_size_one_axes():
    for n in (0, 1):
        a, b = symbol("a", (n, 3)), symbol("b", (3, 1))
        agree((a @ b).sum(axis=0), (a * a).sum(axis=1, keepdims=True), ((a @ b) @ symbol("c", (1, 4))), (2 * a).T @ a)


def test_coefficients_that_overflow_are_not_joined():
    y = ((A * 1e300) * 1e300) @ B @ v
    a = np.full((50, 40), 1e-300)
    given = {A: a, B: np.ones((40, 30)), v: np.ones(30)}
    np.testing.assert_allclose(interpret([plan(y)], given)[0], interpret([y], given)[0])


def test_bodies_of_loops_are_planned():
    M = symbol("M", (30, 30))
    y = sg.cond(v.sum() > 0, lambda h: (M @ M.T) @ h, lambda h: h * 2, v)
    (planned,) = agree(y)
    ops = [n.op for n in (y, planned)]
    assert ops[0] != ops[1]
    products = [[n for n in toposort(op.true.outputs) if n.op.name == "matmul"] for op in ops]
    assert [max(n.ndim for n in ns) for ns in products] == [2, 1]


# Cost ----------------------------------------------------------------------------------------------------------------


def brute_force(factors, output, sizes):
    """The least cost over every binary tree."""
    if len(factors) == 1:
        return 0.0
    least = np.inf
    for i in range(len(factors)):
        for j in range(i):
            rest = [f for k, f in enumerate(factors) if k not in (i, j)]
            out = (factors[i] | factors[j]) & output.union(*rest)
            total = pair_cost(factors[i], factors[j], out, sizes) + brute_force([*rest, out], output, sizes)
            least = min(least, total)
    return least


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_the_best_of_all(seed):
    choose = random.Random(seed)
    n = choose.randint(3, 5)
    chain = (
        [frozenset([i, i + 1]) for i in range(n)]
        if seed % 2
        else [frozenset(choose.sample(range(5), 2)) for _ in range(n)]
    )
    sizes = Sizes((label, float(choose.choice([2, 10, 50, 300]))) for label in range(7))
    used = frozenset().union(*chain)
    output = frozenset(choose.sample(sorted(used), 2))
    chain = [f & (output.union(*[g for g in chain if g is not f])) for f in chain]
    tree, cost = best_order(chain, output, sizes, lambda i, j, out: None)
    connected = seed % 2
    assert (
        cost == pytest.approx(brute_force(chain, output, sizes))
        if connected
        else cost >= brute_force(chain, output, sizes) - 1e-6
    )
    assert sorted(str(tree).translate(str.maketrans("(),", "   ")).split()) == sorted(map(str, range(n)))
    assert count(output, sizes) > 0


@pytest.mark.parametrize(
    "written, before, after",
    [
        (lambda: (A @ B) @ v, 2 * 50 * 40 * 30 + 2 * 50 * 30, 2 * 40 * 30 + 2 * 50 * 40),
        (lambda: sg.trace(A @ D), 2 * 50 * 40 * 50 + 50, 2 * 50 * 40),
        (lambda: sg.diag(d) @ A, 50 * 50 + 2 * 50 * 50 * 40, 50 * 40),
    ],
)
def test_operations_saved(written, before, after):
    y = written()
    assert flops(y) >= before * 0.98 and flops(plan(y)) == after


@pytest.mark.parametrize("n", [4000])
def test_planning_takes_linear_time(n):
    def chain(count):
        y = x
        for i in range(count):
            y = (y @ S) * 2.0 if i % 3 else sg.tanh(y @ S).T.T
        return y

    def seconds(y):
        start = time.perf_counter()
        plan(y)
        return time.perf_counter() - start

    small, large = chain(n // 4), chain(n)
    assert seconds(large) < 12 * max(seconds(small), 0.02)


def test_a_long_elementwise_chain_costs_little():
    y = x
    for i in range(10_000):
        y = sg.sin(y) if i % 2 else -(y * 1.5)
    start = time.perf_counter()
    assert plan(y) is y
    assert time.perf_counter() - start < 2


def test_the_plan_does_not_depend_on_what_was_built_before():
    def model():
        a, b, c = symbol("a", ("n", 30)), symbol("b", (30, 40)), symbol("c", (40, 5))
        y = ((a @ b) @ c) ** 2
        return plan(*simplify([y.sum(), *sg.grad(y.sum(), [a, b, c])]))

    first = [n.op.digest for n in toposort(model())]
    _kept = [symbol("z", (3,)) * i for i in range(50)]
    assert [n.op.digest for n in toposort(model())] == first


@pytest.mark.parametrize("sizes", [(4, 8, 2), (4, 16, 2), (3, 16, 5), (4, 32, 2), (2, 8, 1), (4, 8, 1), (8, 32, 2)])
def test_small_networks_without_biases_are_written_as_matrix_products(sizes):
    inputs, width, outputs = sizes
    x, target = symbol("x", ("batch", inputs)), symbol("target", ("batch", outputs))
    W1, W2 = symbol("W1", (inputs, width)), symbol("W2", (width, outputs))
    loss = ((sg.tanh(x @ W1) @ W2 - target) ** 2).mean()
    source = sg.function([x, target, W1, W2], sg.grad(loss, [W1, W2]), style="plain").source
    assert "tensordot" not in source and "einsum" not in source and source.count(" @ ") == 5


def test_a_product_with_a_multiple_is_a_multiple_of_the_product():
    c = symbol("c")
    for written in (lambda u: c * u, lambda u: u / c, lambda u: -u, lambda u: u * 3.0):
        scaled = written(v)
        planned = agree(sg.sum(v * v), scaled, sg.sum(v * scaled))
        assert [type(n.op) for n in toposort(planned)].count(Einsum) == 1
    planned = agree(c * v, sg.sum(v * (c * v)))  # nobody else wants v @ v
    assert [type(n.op) for n in toposort(planned)].count(Einsum) == 1


L = symbol("L", (20, 7))


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (A @ (B @ C) @ L, "A @ (B @ (C @ L))"),
        ((C.T @ B.T).T @ L, "B @ (C @ L)"),
        (((B @ C @ L).T @ (B @ C @ L)), "t1.T @ t1"),
        (L.T @ (A @ B @ C).T, "L.T @ C.T @ B.T @ A.T"),
        ((A * d[:, None]).T @ (A * w[:, None]) @ (B @ (C @ L)), None),
    ],
    ids=["chain", "turned twice", "Gram matrix", "turned", "scaled"],
)
def test_factors_are_turned_only_where_the_user_turned_them(y, text):
    planned = agree(y)[0]
    assert text is None or sg.to_text(planned).splitlines()[-1] == text
