"""Linear algebra: NumPy's values, derivatives against central differences, the triangles that are read, and errors."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.ops.late import F
from symgraph.testing.gradients import check_grads

rng = np.random.default_rng(0)


def matrix(*shape):
    return rng.standard_normal(shape) + 3 * np.eye(shape[-1])


def positive(*shape):
    a = rng.standard_normal(shape)
    return a @ np.swapaxes(a, -1, -2) + 2 * np.eye(shape[-1])


M, P = matrix(3, 3), positive(3, 3)
STACK = matrix(2, 3, 3)
Z = matrix(3, 3) + 1j * rng.standard_normal((3, 3))


@pytest.mark.parametrize(
    "a", [M, STACK, Z, M.astype("f4"), np.eye(2, dtype=int), np.ones((1, 1)), np.ones((0, 2, 2)) + np.eye(2)]
)
@pytest.mark.parametrize("name", ["inv", "det", "slogdet"])
def test_one_matrix(name, a):
    x = sg.symbol("x", a.shape, a.dtype)
    expected, y = getattr(np.linalg, name)(a), getattr(F, name)(x)
    assert getattr(np.linalg, name)(x)[0] is y[0] if name == "slogdet" else getattr(np.linalg, name)(x) is y
    found = sg.evaluate(y, {x: a})
    for u, e, f in zip(y, expected, found, strict=True) if name == "slogdet" else [(y, expected, found)]:
        assert (u.dtype, u.shape) == (e.dtype, e.shape) == (f.dtype, f.shape)
        np.testing.assert_allclose(f, e, rtol=1e-5)


@pytest.mark.parametrize(
    "a, b",
    [(M, rng.standard_normal(3)), (M, rng.standard_normal((3, 2))), (STACK, rng.standard_normal((3, 2))),
     (STACK, rng.standard_normal(3)), (M, rng.standard_normal((4, 3, 1))), (Z, rng.standard_normal(3))],
)  # fmt: skip
def test_solve(a, b):
    A, B = sg.symbol("A", a.shape, a.dtype), sg.symbol("B", b.shape, b.dtype)
    y, expected = F.solve(A, B), np.linalg.solve(a, b)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(sg.evaluate(y, {A: a, B: b}), expected)
    if a.dtype == float:
        check_grads(lambda x, y: F.solve(x, y), a, b, order=2)


def test_factorizations_have_numpys_names_and_values():
    x = sg.symbol("x", (3, 3))
    for name, fields in [
        ("slogdet", ("sign", "logabsdet")),
        ("eigh", ("eigenvalues", "eigenvectors")),
        ("qr", ("Q", "R")),
    ]:
        y, expected = getattr(F, name)(x), getattr(np.linalg, name)(P)
        for field in fields:
            np.testing.assert_allclose(sg.evaluate(getattr(y, field), {x: P}), getattr(expected, field))
    np.testing.assert_allclose(sg.evaluate(F.cholesky(x), {x: P}), np.linalg.cholesky(P))
    np.testing.assert_allclose(sg.evaluate(F.eigvalsh(x), {x: P}), np.linalg.eigvalsh(P))
    q, r = F.qr(sg.symbol("t", ("m", 3)))
    assert [str(d) for d in (*q.shape, *r.shape)] == ["m", "min(m, 3)", "min(m, 3)", "3"]


@pytest.mark.parametrize("n", [-2, -1, 0, 1, 2, 5])
def test_matrix_power(n):
    x, s = sg.symbol("x", (3, 3)), sg.symbol("s", ("n", 3, 3))
    np.testing.assert_allclose(sg.evaluate(F.matrix_power(x, n), {x: M}), np.linalg.matrix_power(M, n))
    np.testing.assert_allclose(sg.evaluate(F.matrix_power(s, n), {s: STACK}), np.linalg.matrix_power(STACK, n))


@pytest.mark.parametrize(
    "function, a",
    [
        (lambda x: F.inv(x), M),
        (lambda x: F.inv(x), STACK),
        (lambda x: F.det(x), M / 3),
        (lambda x: F.det(x), STACK / 3),
        (lambda x: F.slogdet(x)[1], STACK),
        (lambda x: F.cholesky(x), P),
        (lambda x: F.cholesky(x), positive(2, 3, 3)),
        (lambda x: F.eigvalsh(x), P),
        (lambda x: F.eigh(x)[1] ** 2, P),
        (lambda x: F.qr(x)[0], rng.standard_normal((4, 3))),
        (lambda x: F.qr(x)[1], matrix(2, 3, 3)),
        (lambda x: F.matrix_power(x, -3), M),
    ],
)
def test_derivatives_to_second_order(function, a):
    check_grads(function, a, order=2)


def test_gradient_of_a_determinant_is_the_inverse_transposed():
    x = sg.symbol("x", (3, 3))
    np.testing.assert_allclose(sg.evaluate(sg.grad(F.slogdet(x)[1], x), {x: M}), np.linalg.inv(M).T)
    np.testing.assert_allclose(sg.evaluate(sg.grad(F.det(x), x), {x: M}), np.linalg.det(M) * np.linalg.inv(M).T)


def test_complex_slogdet_follows_both_outputs():
    """Along dz: d log|det| = Re t, d sign = i sign Im t with t = tr(inv(z) dz)."""
    z = sg.symbol("z", (3, 3), "complex128")
    dz = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    sign, log = F.slogdet(z)
    t, s = np.trace(np.linalg.solve(Z, dz)), np.linalg.slogdet(Z)[0]
    found = sg.evaluate(sg.jvp([sign, log], [z], [sg.constant(dz)]), {z: Z})
    np.testing.assert_allclose(found, [1j * s * t.imag, t.real])
    c, k = 0.3 - 0.7j, 1.3
    pulled = sg.evaluate(sg.vjp([sign, log], z, [sg.constant(c), sg.constant(k)]), {z: Z})
    np.testing.assert_allclose((pulled * dz).sum().real, (c * found[0]).real + k * found[1])


def test_only_the_lower_triangle_is_read():
    x = sg.symbol("x", (3, 3))
    for y in (F.cholesky(x), F.eigvalsh(x)):
        g = sg.evaluate(sg.grad((y**2).sum(), x), {x: P})
        np.testing.assert_array_equal(g, np.tril(g))


def test_equal_eigenvalues_have_finite_gradients_when_only_they_are_used():
    x = sg.symbol("x", (3, 3))
    np.testing.assert_allclose(sg.evaluate(sg.grad(F.eigvalsh(x).sum(), x), {x: np.eye(3)}), np.eye(3))


def test_single_precision_stays():
    x, b = sg.symbol("x", (3, 3), "float32"), sg.symbol("b", (3,), "float32")
    loss = F.solve(x, b).sum() + F.slogdet(x)[1] + F.cholesky(x).sum() + F.eigvalsh(x).sum() + F.qr(x)[1].sum()
    assert loss.dtype == np.float32
    for order in range(2):
        loss = (sg.grad(loss, x) ** 2).sum()
        assert loss.dtype == np.float32, order


@pytest.mark.parametrize(
    "build, error, message",
    [
        (lambda: F.inv(sg.symbol("x", (2, 3))), sg.ShapeError, r"\(2, 3\) must be equal. The matrix must be square"),
        (lambda: F.det(sg.symbol("x", (3,))), sg.ShapeError, "A matrix has two"),
        (
            lambda: F.solve(sg.symbol("x", (3, 3)), sg.symbol("b", (2,))),
            sg.ShapeError,
            "3 rows and the right-hand side 2",
        ),
        (
            lambda: F.inv(sg.symbol("x", (3, 3), "float16")),
            sg.DTypeError,
            r"no float16. Cast with .astype\('float32'\)",
        ),
        (lambda: F.matrix_power(sg.symbol("x", (2, 3)), 2), sg.ShapeError, "square"),
        (lambda: F.qr(sg.symbol("x", (3,))), sg.ShapeError, "A matrix has two"),
    ],
)
def test_mistakes_are_explained(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_derivatives_that_are_not_known_are_refused():
    wide, z = sg.symbol("x", (2, 3)), sg.symbol("z", (3, 3), "complex128")
    with pytest.raises(sg.GradientError, match="Factor the transpose"):
        sg.grad(F.qr(wide)[1].sum(), wide)
    with pytest.raises(sg.GradientError, match="real matrices only"):
        sg.grad(sg.absolute(F.cholesky(z)).sum(), z)


def test_a_singular_matrix_raises_when_the_function_runs():
    x = sg.symbol("x", (2, 2))
    with pytest.raises(np.linalg.LinAlgError):
        sg.evaluate(F.inv(x), {x: np.ones((2, 2))})
