"""Patterns hold for all values, and are exact for what is made of moves, sums and contractions."""

import numpy as np
import pytest
import scipy.sparse

import symgraph as sg
from symgraph.autodiff import batched_jacobian
from symgraph.dtypes import is_inexact
from symgraph.errors import GradientError, ShapeError
from symgraph.ops.conv import conv2d
from symgraph.ops.convolve import convolve
from symgraph.ops.cumulative import cumprod, cumsum
from symgraph.ops.diagonal import tril
from symgraph.ops.einsum import contraction
from symgraph.ops.pool import avg_pool2d
from symgraph.pytree import flatten
from symgraph.structured.sparsity import sparsity
from symgraph.testing.records import RECORDS

rng = np.random.default_rng(7)


def numeric(y, x, values):
    """The Jacobian by vector-Jacobian products, as a matrix."""
    (block,) = batched_jacobian(y, [x])
    return np.asarray(sg.interpret([block], values)[0]).reshape(int(y.size), int(x.size))


def check(y, x, values, exact):
    pattern = sparsity(y, x)
    found = numeric(y, x, values)
    assert pattern.dtype == bool and pattern.shape == found.shape and pattern.has_canonical_format
    there = pattern.toarray()
    nonzero = (found != 0) & ~np.isnan(found)
    assert not (nonzero & ~there).any()
    if exact:
        assert (nonzero == there).all()


# Exact cases ---------------------------------------------------------------------------------------------------------

edges = rng.integers(0, 9, (14, 2))
sparse_matrix = np.where(rng.random((5, 9)) < 0.3, rng.normal(size=(5, 9)), 0)
weights = sg.symbol("weights", (9, 9))
kernel = sg.symbol("kernel", (2, 1, 2, 2))
blocks = sg.symbol("blocks", (3, 2, 3))
systems = sg.symbol("systems", (3, 3, 3))
given = {
    weights: rng.normal(size=(9, 9)),
    kernel: rng.uniform(1, 2, (2, 1, 2, 2)),
    blocks: rng.normal(size=(3, 2, 3)),
    systems: np.eye(3) * 3 + rng.uniform(0.1, 1, (3, 3, 3)),
}


def laplace(u):
    p = sg.pad(u, 1)
    return 4 * u - p[2:, 1:-1] - p[:-2, 1:-1] - p[1:-1, 2:] - p[1:-1, :-2] - sg.exp(u)


def half(x):
    return x.reshape(3, 3)


EXACT = {
    "itself": lambda x: x,
    "elementwise": lambda x: sg.sin(x) * sg.exp(x),
    "chain of Rosenbrock": lambda x: 100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2,
    "five-point stencil": lambda x: laplace(half(x)),
    "edges of a mesh": lambda x: (x[edges[:, 0]] - x[edges[:, 1]]) ** 2,
    "added by index": lambda x: sg.zeros((9,)).at[edges[:, 0]].add(x[edges[:, 1]] ** 2),
    "set by index": lambda x: sg.sin(x).at[np.array([1, 5, 2])].set(x[:3]),
    "set by slice": lambda x: sg.sin(x).at[2:5].set(x[0] * 2),
    "constant matrix": lambda x: sg.constant(sparse_matrix) @ sg.tanh(x),
    "triangle of a matrix": lambda x: tril(weights) @ sg.tanh(x),
    "diagonal of a matrix": lambda x: sg.diag(weights[0]) @ x,
    "masked by a constant": lambda x: sg.where(np.arange(9) % 2 == 0, x, 1.0) * np.arange(9.0),
    "small dense blocks": lambda x: sg.tanh(sg.einsum("bij,bj->bi", blocks, half(x))),
    "one block": lambda x: weights[:3, :3] @ half(x),
    "delta": lambda x: contraction(["i"], "ii", [x * x]),
    "trace": lambda x: sg.einsum("ii", half(x) * 2),
    "outer": lambda x: sg.outer(x, x),
    "running sum": lambda x: cumsum(half(x) ** 2, axis=-1),
    "running sum from the end": lambda x: sg.flip(cumsum(sg.flip(half(x), 0), 0), 0),
    "running product": lambda x: cumprod(x),
    "softmax of rows": lambda x: sg.special.softmax(half(x), axis=-1),
    "sums of rows": lambda x: sg.sum(half(x), axis=-1, keepdims=True) + sg.zeros((3, 2)),
    "convolution": lambda x: conv2d(x.reshape(1, 1, 3, 3), kernel, padding=1),
    "sequence": lambda x: convolve(x, np.array([1.0, 2.0, 3.0]), "same"),
    "pooling": lambda x: avg_pool2d(x.reshape(1, 1, 3, 3), 2, stride=1),
    "right-hand sides": lambda x: sg.linalg.solve(systems, half(x)[:, :, None]),
    "rows of a loop": lambda x: sg.map_rows(lambda row: sg.sin(row[1:]) * row[:-1], half(x)),
    "branches": lambda x: sg.cond(weights[0, 0] > -100, lambda v: v * 2, lambda v: v[:] * 3, x),
    "moves": lambda x: sg.stack([sg.roll(x, 2)[::-1], sg.concatenate([x[4:], x[:4]])], axis=-1).T,
    "windows": lambda x: sg.sliding_window_view(x, 3),
    "other matrix": lambda x: half(x).T[1:, None, :] * sg.ones((4, 1)),
    "repeated": lambda x: sg.broadcast_to(half(x)[:, :1], (2, 3, 4)),
    "checkpoint": lambda x: sg.checkpoint(lambda h: sg.tanh(h[1:]) * h[:-1])(x),
    "single": lambda x: x.astype("float32")[3:5],
    "constant": lambda x: sg.floor(x) + 1,
    "nothing": lambda x: weights[0] * 2,
    "empty": lambda x: x[:0],
    "one element": lambda x: x[4] ** 2,
}


@pytest.mark.parametrize("name", EXACT)
def test_exact(name):
    x = sg.symbol("x", (9,))
    check(EXACT[name](x), x, {x: rng.uniform(0.2, 2, 9), **given}, exact=True)


@pytest.mark.parametrize("shape", [(0,), (1,), (), (1, 1), (2, 1), (0, 3)])
def test_small_shapes(shape):
    x = sg.symbol("x", shape)
    for y in (sg.sin(x), sg.sum(x * x), sg.ravel(x), sg.sum(x, axis=0) if shape else x):
        check(y, x, {x: rng.uniform(0.2, 2, shape)}, exact=True)


def test_complex():
    z = sg.symbol("z", (4,), "complex128")
    assert sparsity(sg.real(z) * sg.conj(z), z).nnz == 4


def test_steps_that_depend_on_values_are_dense_only_where_they_must():
    x, i = sg.symbol("x", (3, 4)), sg.symbol("i", (5,), "int64")
    assert (sparsity(x[:, i], x).toarray() == np.kron(np.eye(3), np.ones((5, 4)))).all()
    added = sg.zeros((2, 6)).at[:, i[:3]].add(x[:2, :3])
    assert sparsity(added, x).nnz == 2 * 6 * 3
    written = sg.zeros((6,)).at[i[:2]].set(x[0, :2])
    assert sparsity(written, x).nnz == 6 * 2


# Every op ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", [r for r in RECORDS if r.order], ids=lambda r: r.name)
def test_contains_the_derivative_of_every_op(record):
    for sample in record.samples[:3]:
        values = [np.asarray(v) for v in sample]
        xs = [sg.symbol(f"x{k}", v.shape, v.dtype) for k, v in enumerate(values)]
        outputs, _ = flatten(record.build(*xs))
        for y in outputs:
            if isinstance(y.aval, tuple) or not is_inexact(y.dtype):
                continue
            for x in [x for x in xs if is_inexact(x.dtype)]:
                check(y, x, dict(zip(xs, values, strict=True)), exact=False)


# Random graphs -------------------------------------------------------------------------------------------------------

STEPS = [
    lambda a, b, r: a + b,
    lambda a, b, r: a * sg.sin(b),
    lambda a, b, r: sg.roll(a, int(r.integers(1, 6))) - b,
    lambda a, b, r: a[r.integers(0, 6, 6)] * b,
    lambda a, b, r: sg.zeros((6,)).at[r.integers(0, 6, 6)].add(a) + b,
    lambda a, b, r: sg.constant(np.where(r.random((6, 6)) < 0.3, 1.5, 0)) @ a,
    lambda a, b, r: sg.concatenate([a[3:], b[:3]]),
    lambda a, b, r: sg.repeat(sg.sum(a.reshape(2, 3), axis=int(r.integers(2))).reshape(-1)[:2] ** 2, 3),
    lambda a, b, r: sg.where(r.random(6) < 0.5, a, b * b),
    lambda a, b, r: sg.pad(a[1:4], (1, 2)) / (2 + sg.cos(b)),
]


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs(seed):
    r = np.random.default_rng(seed)
    x = sg.symbol("x", (6,))
    nodes = [sg.exp(x), x]
    for _ in range(6):
        a, b = (nodes[k] for k in r.integers(0, len(nodes), 2))
        nodes.append(STEPS[r.integers(len(STEPS))](a, b, r))
    values = {x: r.uniform(0.2, 1.5, 6)}
    check(nodes[-1], x, values, exact=False)
    hessian = sparsity(nodes[-1].sum(), x, order=2)
    found = numeric(sg.grad(nodes[-1].sum(), x, unused="zero"), x, values)
    assert not ((abs(found) > 1e-9) & ~hessian.toarray()).any()
    assert (hessian != hessian.T).nnz == 0


# Hessians and nestings -----------------------------------------------------------------------------------------------


def test_second_order_of_known_structures():
    x = sg.symbol("x", (50,))
    band = sparsity((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(), x, order=2)
    assert (band.toarray() == (abs(np.subtract.outer(np.arange(50), np.arange(50))) <= 1)).all()
    arrow = sparsity((x[0] * sg.sin(x)).sum(), x, order=2).toarray()
    assert arrow.sum() == 50 * 3 - 2 and arrow[0].all() and arrow[:, 0].all() and arrow.diagonal().all()
    assert sparsity((x * 3).sum(), x, order=2).nnz == 0


def test_nesting_is_that_of_jacobian_and_hessian():
    x, y = sg.symbol("x", (3,)), sg.symbol("y", (2,))
    found = sparsity({"a": x * 2, "b": (y[0] * x, y)}, [x, (y,)])
    assert [f.shape for f in (found["a"][0], found["a"][1][0], found["b"][1][1][0])] == [(3, 3), (3, 2), (2, 2)]
    assert (found["b"][0][1][0].toarray() == [[1, 0]] * 3).all() and found["a"][1][0].nnz == 0
    blocks = sparsity(y[1] * (x**2).sum(), {"x": x, "y": y}, order=2)
    assert (blocks["x"]["x"].toarray() == np.eye(3)).all()
    assert (blocks["x"]["y"].toarray() == blocks["y"]["x"].toarray().T).all() and blocks["y"]["x"].nnz == 3
    assert blocks["y"]["y"].nnz == 0


def test_a_hessian_counts_what_both_sides_count():
    x, i = sg.symbol("x", (4,)), sg.symbol("i", (), "int64")
    pattern = sparsity((x[i] ** 2 * x).sum(), x, order=2)
    assert (pattern != pattern.T).nnz == 0


def test_with_respect_to_a_node_inside():
    x = sg.symbol("x", (4,))
    h = sg.sin(x)
    assert sparsity(h[1:] * x[1:], h).nnz == 3


# Size ----------------------------------------------------------------------------------------------------------------


def test_large_problems():
    x = sg.symbol("x", (100_000,))
    assert sparsity(((x[1:] - x[:-1] ** 2) ** 2).sum(), x, order=2).nnz == 299_998
    u = sg.symbol("u", (300, 300))
    assert sparsity(laplace(u), u).nnz == 5 * 90_000 - 4 * 300


def test_long_chains():
    x = sg.symbol("x", (3,))
    y = x
    for _ in range(20_000):  # the tangent has three times as many nodes
        y = sg.sin(y)
    assert sparsity(y, x).nnz == 3


def test_wide_joins_are_linear():
    x = sg.symbol("x", (2000,))
    y = sg.stack([x[k] ** 2 for k in range(2000)])
    assert sparsity(y, x).nnz == 2000


def test_numbers_of_places_beyond_reason_are_refused():
    x = sg.symbol("x", (100_000,))
    for y in (cumsum(x), sg.broadcast_to(sg.sum(x), (10_000,)) * 2):
        with pytest.raises(ShapeError, match=r"it is not sparse; use jvp or vjp"):
            sparsity(y, x)


# Errors --------------------------------------------------------------------------------------------------------------


def test_errors():
    x, n = sg.symbol("x", (3,)), sg.symbol("n", ("batch", 3))
    with pytest.raises(
        ShapeError, match=r"sparsity of multiply \(batch, 3\) float64: a pattern needs sizes .* not batch"
    ):
        sparsity(n * 2, n)
    with pytest.raises(ShapeError, match=r"not batch; give them as ints"):
        sparsity((n @ x).sum() * x, x)
    with pytest.raises(GradientError, match=r"order=3 must be 1 .* or 2"):
        sparsity(x, x, order=3)
    with pytest.raises(GradientError, match=r"order=True"):
        sparsity(x, x, order=True)
    with pytest.raises(GradientError, match=r"must be a scalar"):
        sparsity(x * 2, x, order=2)
    with pytest.raises(GradientError, match=r"int values are constants of differentiation"):
        sparsity(x.astype("int64"), x)
    with pytest.raises(GradientError, match=r"int values are constants of differentiation"):
        sparsity(x, sg.symbol("i", (3,), "int64"))
    with pytest.raises(GradientError, match=r"no variable"):
        sparsity(x, [])


def test_what_does_not_touch_the_variable_may_have_any_size():
    x, n = sg.symbol("x", (3,)), sg.symbol("n", ("batch",))
    assert sparsity(x[1:] * n.sum(), x).nnz == 2
    assert isinstance(sparsity(x, x), scipy.sparse.csr_array)
