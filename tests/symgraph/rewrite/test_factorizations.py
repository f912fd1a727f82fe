"""A matrix that is solved against more than once is factored once, where that is the same, and nowhere else."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.linalg import solve
from symgraph.rewrite import factorizations

rng = np.random.default_rng(0)


def given(n, dtype="float64"):
    a = rng.standard_normal((n, n)) + 4 * np.eye(n)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((n, n))
    return a.astype(dtype), rng.standard_normal(n).astype(dtype), rng.standard_normal((n, 2)).astype(dtype)


def three_systems(n, dtype):
    A, b, B = sg.symbol("A", (n, n), dtype), sg.symbol("b", (n,), dtype), sg.symbol("B", (n, 2), dtype)
    return [A, b, B], [solve(A, b), solve(A.T, b), solve(A, B), solve(A.T, B)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("n", [4, "n"])
@pytest.mark.parametrize("style", ["plain", "fast"])
def test_forward_and_transposed_systems_share_one_factorization(n, dtype, style):
    inputs, outputs = three_systems(n, dtype)
    f = sg.function(inputs, outputs, style=style)
    assert f.source.count("getrf") == 1 and f.source.count("getrs") == 4 and "linalg.solve" not in f.source
    a, b, B = given(4, dtype)
    expected = [np.linalg.solve(a, b), np.linalg.solve(a.T, b), np.linalg.solve(a, B), np.linalg.solve(a.T, B)]
    for found, e in zip(f(a, b, B), expected, strict=True):
        assert found.dtype == e.dtype and found.flags.c_contiguous
        np.testing.assert_allclose(found, e, rtol=1e-4 if found.itemsize < 8 or dtype == "complex64" else 1e-10)


def test_arguments_are_not_written():
    inputs, outputs = three_systems(4, "float64")
    arguments = [np.asfortranarray(v) for v in given(4)]
    before = [v.copy() for v in arguments]
    sg.function(inputs, outputs)(*arguments)
    for v, w in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(v, w)


def test_an_empty_matrix(capfd):
    inputs, outputs = three_systems("n", "float64")
    found = sg.function(inputs, outputs)(np.zeros((0, 0)), np.zeros(0), np.zeros((0, 2)))
    assert [v.shape for v in found] == [(0,), (0,), (0, 2), (0, 2)]
    inputs, outputs = three_systems(0, "float64")
    assert "getrf" not in sg.function(inputs, outputs).source
    assert capfd.readouterr().out == ""  # LAPACK would complain there


@pytest.mark.parametrize("n", [2, "n"])
def test_a_singular_matrix_raises_as_numpy_does(n):
    inputs, outputs = three_systems(n, "float64")
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        sg.function(inputs, outputs)(np.ones((2, 2)), np.ones(2), np.ones((2, 2)))


def test_nan_is_handed_on_as_numpy_does():
    inputs, outputs = three_systems(2, "float64")
    found = sg.function(inputs, outputs)(np.full((2, 2), np.nan), np.ones(2), np.ones((2, 2)))
    assert all(np.isnan(v).all() for v in found)


def test_one_system_and_stacks_are_left_to_numpy():
    A, b, S = sg.symbol("A", (3, 3)), sg.symbol("b", (3,)), sg.symbol("S", (2, 3, 3))
    assert "getrf" not in sg.function([A, b], solve(A, b)).source
    assert "getrf" not in sg.function([S, A], [solve(S, A), solve(S.mT, A)]).source
    assert "getrf" not in sg.function([A, b], [solve(A, b), solve(A.T, b)], optimize=False).source


def test_a_gradient_factors_once():
    A, b = sg.symbol("A", (3, 3)), sg.symbol("b", (3,))
    x = solve(A, b)
    f = sg.function([A, b], [x, *sg.grad((x * x).sum(), (A, b))])
    assert f.source.count("getrf") == 1 and f.source.count("getrs") == 2
    a, v, _ = given(3)
    for found, expected in zip(
        f(a, v), sg.function([A, b], [x, *sg.grad((x * x).sum(), (A, b))], optimize=False)(a, v), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_matrix_of_a_loop_is_factored_before_it():
    A, rows = sg.symbol("A", (3, 3)), sg.symbol("rows", ("n", 3))
    f = sg.function([A, rows], sg.map_rows(lambda r: solve(A.T, sg.sin(r)), rows))
    assert f.source.count("getrf") == 1 and f.source.index("getrf") < f.source.index("for i in")
    a, _, _ = given(3)
    values = rng.standard_normal((5, 3))
    np.testing.assert_allclose(f(a, values), np.linalg.solve(a.T, np.sin(values).T).T)
    own = sg.function([rows], sg.map_rows(lambda r: solve(sg.diag(r), r), rows))
    assert "getrf" not in own.source  # each row has a matrix of its own
    np.testing.assert_allclose(own(np.ones((2, 3))), np.ones((2, 3)))


def test_without_scipy_every_system_is_numpys(monkeypatch):
    monkeypatch.setattr(factorizations, "has_lapack", lambda: False)
    inputs, outputs = three_systems(3, "float64")
    assert "scipy" not in sg.function(inputs, outputs).source


# Triangles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "triangle", [np.linalg.cholesky, np.tril, np.triu, lambda a: np.linalg.qr(a)[1], lambda a: np.linalg.cholesky(a).T]
)
@pytest.mark.parametrize("style", ["plain", "fast"])
def test_a_matrix_known_to_be_triangular_is_not_factored(triangle, style):
    A, b, B = sg.symbol("A", ("n", "n")), sg.symbol("b", ("n",)), sg.symbol("B", ("n", "k"))
    T = triangle(A)
    f = sg.function([A, b, B], [solve(T, b), solve(T.T, b), solve(T, B)], style=style)
    assert "getrf" not in f.source and "np.linalg.solve" not in f.source
    a, v, w = given(4)
    a = a @ a.T
    t = triangle(a)
    for found, expected in zip(
        f(a, v, w), [np.linalg.solve(t, v), np.linalg.solve(t.T, v), np.linalg.solve(t, w)], strict=True
    ):
        assert style == "plain" or found.flags.c_contiguous
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert [y.size for y in f(np.zeros((0, 0)), np.zeros(0), np.zeros((0, 2)))] == [0, 0, 0]


def test_part_of_a_triangle_is_not_one():
    A, b = sg.symbol("A", (3, 3)), sg.symbol("b", (3,))
    assert "np.linalg.solve" in sg.function([A, b], solve(sg.tril(A, 1), b)).source
    assert "trtrs" in sg.function([A, b], solve(sg.tril(A, -1) + 0 * A, b) + solve(sg.tril(A), b)).source


@pytest.mark.parametrize("product", [lambda t: t @ t.T, lambda t: t.T @ t])
@pytest.mark.parametrize("triangle", [np.tril, np.triu])
def test_a_product_of_a_triangle_and_its_transpose_is_two_triangular_systems(triangle, product):
    A, b = sg.symbol("A", (4, 4)), sg.symbol("b", (4,))
    f = sg.function([A, b], solve(product(triangle(A)), b))
    assert f.source.count("trtrs") == 2 and "np.linalg.solve" not in f.source
    a, v, _ = given(4)
    np.testing.assert_allclose(f(a, v), np.linalg.solve(product(triangle(a)), v), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("n", [4, "n"])
def test_determinant_and_inverse_share_the_factors_of_a_system(n, dtype):
    A, b = sg.symbol("A", (n, n), dtype), sg.symbol("b", (n,), dtype)
    f = sg.function([A, b], [solve(A, b), *np.linalg.slogdet(A), np.linalg.det(A), np.linalg.inv(A)])
    assert f.source.count("getrf") == 1 and "np.linalg.inv" not in f.source and "det(" not in f.source
    matrix, v, _ = given(4, dtype)
    for a in (matrix, matrix[[1, 0, 2, 3]], -matrix):
        expected = [np.linalg.solve(a, v), *np.linalg.slogdet(a), np.linalg.det(a), np.linalg.inv(a)]
        for found, e in zip(f(a, v), expected, strict=True):
            assert found.dtype == e.dtype
            np.testing.assert_allclose(
                found, e, rtol=1e-3 if dtype == "float32" else 1e-9, atol=1e-5 if dtype == "float32" else 1e-12
            )


def test_a_determinant_alone_may_be_zero():
    A = sg.symbol("A", (2, 2))
    f = sg.function([A], [np.linalg.det(A), *np.linalg.slogdet(A)])
    assert "getrf" not in f.source
    assert [float(v) for v in f(np.ones((2, 2)))] == [0, 0, -np.inf]


def test_the_triangle_of_a_loop_is_not_factored():
    A, rows = sg.symbol("A", (3, 3)), sg.symbol("rows", ("n", 3))
    T = np.tril(A)
    f = sg.function([A, rows], sg.map_rows(lambda r: solve(T.T, sg.sin(r)), rows))
    assert "getrf" not in f.source and "np.linalg.solve" not in f.source
    a, _, _ = given(3)
    values = rng.standard_normal((5, 3))
    np.testing.assert_allclose(f(a, values), np.linalg.solve(np.tril(a).T, np.sin(values).T).T)
