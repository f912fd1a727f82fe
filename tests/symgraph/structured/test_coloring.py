"""Colourings separate what they must, and compressed products give the sparse matrix."""

import numpy as np
import pytest
import scipy.sparse

import symgraph as sg
from symgraph.core import toposort
from symgraph.errors import ShapeError
from symgraph.structured.coloring import best_csr, column_colors, compressed_csr, star_colors, star_places
from symgraph.structured.sparse import CSR
from symgraph.structured.sparsity import sparsity

rng = np.random.default_rng(11)
edges = rng.integers(0, 12, (20, 2))


def count(colors):
    return len(set(colors.tolist()))


def pattern_of(array):
    return scipy.sparse.csr_array(np.asarray(array) != 0)


def random_pattern(rows, columns, density):
    return pattern_of(rng.random((rows, columns)) < density)


def band(n, width):
    return pattern_of(abs(np.subtract.outer(np.arange(n), np.arange(n))) <= width)


# Colours -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", range(40))
def test_columns_of_one_color_share_no_row(trial):
    pattern = random_pattern(*rng.integers(1, 25, 2), rng.uniform(0, 0.5))
    colors = column_colors(pattern)
    for color in set(colors.tolist()):
        assert (pattern.toarray()[:, colors == color].sum(axis=1) <= 1).all()
    assert set(colors.tolist()) == set(range(count(colors)))


@pytest.mark.parametrize("trial", range(40))
def test_a_star_coloring_has_no_path_of_two_colors(trial):
    n = int(rng.integers(1, 20))
    half = random_pattern(n, n, rng.uniform(0, 0.3)).toarray()
    pattern = pattern_of(half | half.T)
    colors = star_colors(pattern)
    joined = half | half.T
    np.fill_diagonal(joined, False)
    near = [np.flatnonzero(row) for row in joined]
    paths = [
        (a, b, c, d) for a in range(n) for b in near[a] for c in near[b] if c != a for d in near[c] if d not in (a, b)
    ]
    assert all(colors[a] != colors[b] for a in range(n) for b in near[a])
    assert all(len({colors[v] for v in path}) > 2 for path in paths)

    matrix = np.where(pattern.toarray(), rng.normal(size=(n, n)), 0)
    matrix = matrix + matrix.T
    products = np.stack([matrix @ (colors == c) for c in range(colors.max() + 1)])
    rows, columns = star_places(pattern, colors)
    np.testing.assert_allclose(products[colors[columns], rows], matrix[pattern.toarray()])


def test_known_counts():
    assert count(column_colors(band(50, 1))) == 3 and count(star_colors(band(50, 1))) == 3
    assert count(column_colors(band(50, 3))) == 7
    assert count(column_colors(band(50, 0))) == 1 and count(star_colors(band(50, 0))) == 1
    arrow = np.eye(30)
    arrow[0] = arrow[:, 0] = 1
    assert count(column_colors(pattern_of(arrow))) == 30 and count(star_colors(pattern_of(arrow))) == 2
    assert count(column_colors(pattern_of(np.ones((4, 6))))) == 6
    blocks = np.kron(np.eye(8), np.ones((3, 3)))
    assert count(column_colors(pattern_of(blocks))) == 3 and count(star_colors(pattern_of(blocks))) == 3


def test_a_stencil_needs_few_colors():
    u = sg.symbol("u", (20, 20))
    p = sg.pad(u, 1)
    pattern = sparsity(4 * u - p[2:, 1:-1] - p[:-2, 1:-1] - p[1:-1, 2:] - p[1:-1, :-2], u)
    assert 5 <= count(column_colors(pattern)) <= 8
    assert 3 <= count(star_colors(pattern)) <= 6


def test_colors_are_the_same_each_time():
    pattern = random_pattern(40, 40, 0.1)
    assert (column_colors(pattern) == column_colors(pattern.copy())).all()


def test_large_patterns():
    n = 100_000
    pattern = scipy.sparse.diags_array([np.ones(n - 1), np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1]).tocsr()
    assert count(column_colors(pattern.astype(bool))) == 3
    assert count(star_colors(pattern.astype(bool))) == 3


# Compressed derivatives ----------------------------------------------------------------------------------------------

weights = rng.normal(size=(4, 3, 3))

JACOBIANS = {
    "chain": lambda x: x[1:] ** 2 * x[:-1],
    "edges": lambda x: sg.sqrt(1 + (x[edges[:, 0]] - x[edges[:, 1]]) ** 2),
    "nodes": lambda x: sg.zeros((12,)).at[edges[:, 0]].add(sg.sin(x)[edges[:, 1]]),
    "arrow": lambda x: sg.concatenate([sg.sum(x**2)[None], x[0] * x]),
    "tall": lambda x: sg.concatenate([x**2, x[::-1] ** 3, sg.exp(x)]),
    "wide": lambda x: sg.sum(x.reshape(4, 3) ** 2, axis=1),
    "blocks": lambda x: sg.tanh(sg.einsum("bij,bj->bi", weights, x.reshape(4, 3))),
    "dense": lambda x: sg.outer(x, x),
    "scalar": lambda x: sg.sum(x**3),
    "diagonal": sg.sin,
    "fixed": lambda x: 2 * x[::2],
    "none": lambda x: sg.floor(x),
    "empty": lambda x: x[:0],
    "rows of a loop": lambda x: sg.map_rows(lambda row: sg.sin(row[1:]) * row[:-1], x.reshape(4, 3)),
}


def compiled_equals_dense(found, y, x, value, **tolerance):
    given = {x: value} if x in set(toposort([found.data])) else {}  # a constant derivative needs no input
    result = sg.function(list(given), found)(*given.values())
    assert isinstance(result, scipy.sparse.csr_array) and result.dtype == y.dtype and result.has_canonical_format
    dense = sg.evaluate(sg.jacobian(y, x), {x: value})
    np.testing.assert_allclose(result.toarray(), dense.reshape(result.shape), **(tolerance or {"atol": 1e-13}))


@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobians(name):
    x = sg.symbol("x", (12,))
    y = JACOBIANS[name](x)
    found = compressed_csr(y, x)
    assert found.nnz == sparsity(y, x).nnz
    compiled_equals_dense(found, y, x, rng.uniform(0.5, 2, 12))


HESSIANS = {
    "chain": lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(),
    "edges": lambda x: sg.sqrt(1 + (x[edges[:, 0]] - x[edges[:, 1]]) ** 2).sum(),
    "arrow": lambda x: (x[0] * sg.sin(x)).sum(),
    "blocks": lambda x: sg.prod(x.reshape(4, 3), axis=1).sum(),
    "separable": lambda x: sg.exp(x).sum(),
    "linear": lambda x: x.sum(),
    "dense": lambda x: sg.logsumexp(x),
}


@pytest.mark.parametrize("name", HESSIANS)
@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_hessians(name, shape):
    x = sg.symbol("x", shape)
    gradient = sg.grad(HESSIANS[name](sg.ravel(x)), x)
    found = compressed_csr(gradient, x, symmetric=True)
    compiled_equals_dense(found, gradient, x, rng.uniform(0.5, 2, shape), atol=1e-10)


def test_the_side_with_fewer_colors():
    x = sg.symbol("x", (200,))
    for y in (sg.sum(x**2), sg.stack([x[0] ** k for k in range(200)])):
        assert "(200, 200)" not in sg.function([x], compressed_csr(y, x)).source
    gradient = sg.grad((x[0] * sg.sin(x)).sum(), x)
    assert "(2, 200)" in sg.function([x], compressed_csr(gradient, x, symmetric=True)).source


def test_single_precision_and_complex():
    x = sg.symbol("x", (12,), "float32")
    y = JACOBIANS["edges"](x)
    compiled_equals_dense(compressed_csr(y, x), y, x, rng.uniform(0.5, 2, 12).astype("f"), atol=1e-6)
    z = sg.symbol("z", (5,), "complex128")
    y = z[1:] ** 2 * z[:-1]
    compiled_equals_dense(compressed_csr(y, z), y, z, rng.normal(size=5) + 1j * rng.normal(size=5))


@pytest.mark.parametrize("shape", [(0,), (1,), (), (1, 1), (0, 3)])
def test_small_shapes(shape):
    x = sg.symbol("x", shape)
    compiled_equals_dense(compressed_csr(x**2, x), x**2, x, np.full(shape, 1.5))
    gradient = sg.grad((x**3).sum(), x)
    compiled_equals_dense(compressed_csr(gradient, x, symmetric=True), gradient, x, np.full(shape, 1.5))


def test_the_matrix_can_be_used_in_a_graph():
    x = sg.symbol("x", (12,))
    found = compressed_csr(x[1:] * x[:-1], x)
    assert isinstance(found, CSR)
    total = sg.grad(found.data.sum(), x)
    np.testing.assert_allclose(sg.evaluate(total, {x: np.ones(12)}), [1, *[2] * 10, 1])


def test_products_beyond_reason_are_refused():
    x = sg.symbol("x", (20_000,))
    with pytest.raises(ShapeError, match=r"it is not sparse|use matvec"):
        compressed_csr(sg.sum(x) * x, x)
    n = sg.symbol("n", ("batch",))
    with pytest.raises(ShapeError, match=r"not batch; give them as ints"):
        compressed_csr(n**2, n)


# The better of two ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JACOBIANS)
def test_the_best_jacobian(name):
    x = sg.symbol("x", (12,))
    y = JACOBIANS[name](x)
    compiled_equals_dense(best_csr(sg.jacobian(y, x), y, x), y, x, rng.uniform(0.5, 2, 12))


@pytest.mark.parametrize("name", HESSIANS)
def test_the_best_hessian(name):
    x = sg.symbol("x", (12,))
    y = HESSIANS[name](x)
    gradient = sg.grad(y, x)
    found = best_csr(sg.hessian(y, x), gradient, x, symmetric=True)
    compiled_equals_dense(found, gradient, x, rng.uniform(0.5, 2, 12), atol=1e-10)


def test_terms_that_an_op_made_dense_are_left():
    x = sg.symbol("x", (2000,))
    places = rng.permutation(2000)
    y = (x**2)[places] + x
    found = best_csr(sg.jacobian(y, x), y, x)
    assert found.nnz <= 4000


def test_terms_of_a_dense_derivative_are_kept():
    a, x = sg.symbol("a", (300, 200)), sg.symbol("x", (200,))
    y = sg.tanh(a @ x)
    structured = sg.jacobian(y, x)
    assert best_csr(structured, y, x).data is structured.csr().data
