"""Arrays made from sizes and numbers: NumPy's values and dtypes, symbolic sizes, derivatives of fill values, source."""

import numpy as np
import pytest

import symgraph as sg
from symgraph import dims
from symgraph.autodiff import grad, jvp
from symgraph.core import Constant, constant, symbol
from symgraph.errors import DTypeError, ShapeError

n = dims.dim("n")


def compiled(y, env=None):
    env = env or {}
    return sg.function(list(env), [y, *env])(*env.values())[0]  # an input that y does not use is an error


def same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


MADE = {
    "zeros": lambda np: np.zeros((2, 3)),
    "zeros of one axis": lambda np: np.zeros(3, "float32"),
    "zeros 0-d": lambda np: np.zeros(()),
    "no values": lambda np: np.zeros((0, 2), int),
    "ones": lambda np: np.ones((2, 3), bool),
    "ones complex": lambda np: np.ones(2, "complex64"),
    "full": lambda np: np.full((2, 3), 7),
    "full whole": lambda np: np.full(2, 7.0),
    "full negative": lambda np: np.full(2, -7.0),
    "full float32": lambda np: np.full(2, 0.1, "float32"),
    "full nan": lambda np: np.full(2, np.nan if hasattr(np, "nan") else float("nan")),
    "full minus zero": lambda np: np.full(2, -0.0),
    "full of a row": lambda np: np.full((2, 3), [1.0, 2.0, 3.0]),
    "full bool": lambda np: np.full((2, 2), True),
    "full complex": lambda np: np.full(2, 1j),
    "zeros_like": lambda np: np.zeros_like([[1, 2]]),
    "ones_like": lambda np: np.ones_like([1.0, 2], dtype="float32"),
    "full_like": lambda np: np.full_like([1, 2], 3),
    "eye": lambda np: np.eye(3),
    "eye wide": lambda np: np.eye(2, 4, k=1, dtype="float32"),
    "eye low": lambda np: np.eye(3, k=-1, dtype=int),
    "identity": lambda np: np.identity(2),
    "tri": lambda np: np.tri(3, 4, 1),
    "arange": lambda np: np.arange(5),
    "arange from": lambda np: np.arange(2, 9, 3),
    "arange back": lambda np: np.arange(5, -2, -2),
    "arange nothing": lambda np: np.arange(3, 1),
    "arange float32": lambda np: np.arange(4, dtype="float32"),
    "arange whole floats": lambda np: np.arange(1.0, 4.0),
    "arange floats": lambda np: np.arange(0.5, 2, 0.3),
    "linspace": lambda np: np.linspace(0, 1, 7),
    "linspace open": lambda np: np.linspace(2.0, -1.0, 4, endpoint=False),
    "linspace one": lambda np: np.linspace(2.0, 3.0, 1),
    "linspace int": lambda np: np.linspace(0, 10, 4, dtype=int),
    "logspace": lambda np: np.logspace(0, 2, 3),
    "meshgrid": lambda np: np.meshgrid([1, 2, 3], [4.0, 5.0])[1],
    "meshgrid ij": lambda np: np.meshgrid([1, 2, 3], [4, 5], [6], indexing="ij")[0],
    "meshgrid sparse": lambda np: np.meshgrid([1, 2, 3], [4, 5], sparse=True)[0],
    "array": lambda np: np.array([[1, 2], [3, 4]], dtype="float32"),
    "array of a number": lambda np: np.array(2),
}


@pytest.mark.parametrize("name", MADE)
def test_as_numpy(name):
    y = MADE[name](sg)
    expected = MADE[name](np)
    assert y.dtype == expected.dtype and y.shape == expected.shape and not y.aval.weak
    same(compiled(y), expected)
    assert np.signbit(compiled(y)).tolist() == np.signbit(expected).tolist() if expected.dtype == float else True


def test_symbolic_sizes():
    x = symbol("x", ("n", 3), "float32")
    env = {x: np.ones((4, 3), "float32")}
    for y, expected in [
        (sg.zeros((n, 2)), np.zeros((4, 2))),
        (sg.zeros("n"), np.zeros(4)),
        (sg.zeros_like(x), np.zeros((4, 3), "float32")),
        (sg.full((n, n + 1), 0.5, "float32"), np.full((4, 5), 0.5, "float32")),
        (sg.arange(n), np.arange(4)),
        (sg.arange(n, 2 * n, 2, dtype="float32"), np.arange(4, 8, 2, dtype="float32")),
        (sg.arange(n - 1, -1, -1), np.arange(3, -1, -1)),
        (sg.eye(n), np.eye(4)),
        (sg.eye(n, 2, dtype="float32"), np.eye(4, 2, dtype="float32")),
        (sg.tri(n, k=-1), np.tri(4, k=-1)),
        (sg.linspace(0, 1, n, endpoint=False), np.linspace(0, 1, 4, endpoint=False)),
    ]:
        same(compiled(y, env), expected)
    np.testing.assert_allclose(compiled(sg.linspace(0, 1, n), env), np.linspace(0, 1, 4))
    assert sg.zeros((n, 2)) is sg.zeros((n, 2)) and sg.zeros((2, 3)) is not sg.zeros((3, 2))


def test_a_size_is_a_weak_integer():
    x = symbol("x", ("n", 3), "float32")
    y = x.sum() / sg.dim_value(n)
    assert y.dtype == np.float32 and sg.dim_value(n).aval.weak and (x * n).dtype == np.float32
    assert (symbol("i", 2, "int8") * sg.dim_value(n)).dtype == np.int8
    same(compiled(y, {x: np.ones((4, 3), "float32")}), np.float32(3))
    same(compiled(sg.array(n) + 0, {x: np.ones((4, 3), "float32")}), np.int64(4))
    same(compiled(grad(y, x), {x: np.ones((4, 3), "float32")}), np.full((4, 3), 0.25, "float32"))
    assert isinstance(sg.dim_value(3).op, Constant)


def test_fill_values_have_derivatives():
    c, t = symbol("c"), symbol("t")
    y = (sg.full((2, 3), c) ** 2).sum()
    same(compiled(grad(y, c), {c: 1.5}), np.float64(18))
    same(compiled(grad(grad(y, c), c), {c: 1.5}), np.float64(12))
    same(compiled(jvp(sg.full(2, c), c, t), {c: 1.0, t: 3.0}), np.full(2, 3.0))
    assert sg.full((2,), symbol("f", (), "float32")).dtype == np.float32
    good = grad(sg.where(np.array([False, False]), sg.full(2, sg.sqrt(c)), 1.0).sum(), c)
    same(compiled(good, {c: 0.0}), np.float64(0))


def test_linspace_between_tensors():
    a, b = symbol("a", 2), symbol("b")
    A, B = np.array([0.0, 1.0]), np.float64(4.0)
    for options in ({"num": 5}, {"num": 5, "endpoint": False}, {"num": 4, "axis": 1}, {"num": 1}):
        np.testing.assert_allclose(compiled(sg.linspace(a, b, **options), {a: A, b: B}), np.linspace(A, B, **options))
    g = grad(sg.linspace(a, b, 5).sum(), (a, b))
    np.testing.assert_allclose(compiled(g[0], {a: A, b: B}), [2.5, 2.5])
    np.testing.assert_allclose(compiled(g[1], {a: A, b: B}), 5.0)
    step = sg.linspace(a, b, 5, retstep=True)[1]
    np.testing.assert_allclose(compiled(step, {a: A, b: B}), np.linspace(A, B, 5, retstep=True)[1])
    f = symbol("f", (), "float32")
    assert sg.linspace(f, 1.0, 5).dtype == np.float32


def test_lists_of_tensors():
    x = symbol("x", 2)
    y = sg.array([[x[0], 1], [0.5, x[1]]])
    same(compiled(y, {x: np.array([3.0, 4])}), np.array([[3.0, 1], [0.5, 4]]))
    same(compiled(grad((y * y).sum(), x), {x: np.array([3.0, 4])}), np.array([6.0, 8]))
    assert sg.asarray(x) is x and sg.asarray(x, "float32").dtype == np.float32
    same(compiled(sg.asarray([x, x * 2]), {x: np.array([1.0, 2])}), np.array([[1.0, 2], [2, 4]]))
    assert sg.asarray(1.0) is constant(1.0)


def test_meshgrid_of_tensors():
    x, y = symbol("x", "n"), symbol("y", 2)
    xx, yy = sg.meshgrid(x, y)
    assert xx.shape == (2, n)
    X, Y = np.arange(3.0), np.arange(2.0)
    same(compiled(xx * yy, {x: X, y: Y}), np.prod(np.meshgrid(X, Y), axis=0))


def test_errors():
    x = symbol("x", (), int)
    for build, kind, words in [
        (lambda: sg.zeros(-1), ShapeError, "negative"),
        (lambda: sg.zeros(1.5), ShapeError, "shape"),
        (lambda: sg.zeros(2, "U3"), DTypeError, "not supported"),
        (lambda: sg.arange(x), ShapeError, "not known"),
        (lambda: sg.arange(0, 5, 0), ShapeError, "other than 0"),
        (lambda: sg.arange(0, n, 0.5), ShapeError, "whole"),
        (lambda: sg.arange(0, 5, n), ShapeError, "fixed"),
        (lambda: sg.arange(3, dtype=bool), DTypeError, "bool"),
        (lambda: sg.meshgrid([1], indexing="no"), ValueError, "xy"),
    ]:
        with pytest.raises(kind, match=words):
            build()


def test_source():
    x = symbol("x", ("n", 3), "float32")
    lines = sg.function([x], [
        x * 2, sg.zeros((n, 2)), sg.zeros_like(x), sg.ones(n), sg.full((n, 3), 7.0), sg.full(n, 0.5, "float32"),
        sg.arange(n), sg.arange(2, n, dtype="float32"), sg.eye(n),
    ]).source  # fmt: skip
    for line in [
        "np.zeros((n, 2))", "np.zeros((n, 3), dtype=np.float32)", "np.ones(n)", "np.full((n, 3), 7.0)",
        "np.full(n, 0.5, dtype=np.float32)", "np.arange(n)", "np.arange(2, n, dtype=np.float32)", "np.eye(n)",
    ]:  # fmt: skip
        assert line in lines, lines
