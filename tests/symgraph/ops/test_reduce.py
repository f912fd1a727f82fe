"""Reductions, statistics, norms, softmax and cumulative ops: values, types, derivatives of first and second order."""

import numpy as np
import pytest
import scipy.special

import symgraph.numpy_api  # noqa: F401  fills F
from symgraph.autodiff import grad, jvp
from symgraph.core import symbol, toposort
from symgraph.errors import DTypeError, ShapeError
from symgraph.interpreter import interpret
from symgraph.ops.code import Code
from symgraph.ops.late import F

rng = np.random.default_rng(0)
inf, nan = np.inf, np.nan


def value(y, env=None):
    with np.errstate(all="ignore"):
        return interpret([y], env or {})[0]


def numeric_grad(f, x, h=1e-6):
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = h
        g[i] = (f(x + e) - f(x - e)) / (2 * h)
    return g


def check(f, reference, X, shape=None):
    """Value, reverse and forward derivative, and both second derivatives, through a nonlinear scalar of f(x)."""
    x = symbol("x", X.shape if shape is None else shape)
    y = f(x)
    v = value(y, {x: X})
    np.testing.assert_allclose(v, reference(X), rtol=1e-12)
    assert v.dtype == y.dtype
    if shape is None:
        assert v.shape == y.shape
    if getattr(y.op, "lower", None) and (low := y.op.lower(*y.inputs)) is not None:
        np.testing.assert_allclose(value(low, {x: X}), v, rtol=1e-12)
    s, t = symbol("s", y.shape), symbol("t", x.shape)
    env = {s: rng.normal(size=v.shape), t: rng.normal(size=X.shape)}
    loss = F.sum(F.sin(y) * s)
    g = grad(loss, x)
    expected = numeric_grad(lambda a: float(value(loss, {**env, x: a})), X)
    np.testing.assert_allclose(value(g, {**env, x: X}), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value(jvp(loss, x, t), {**env, x: X}), (expected * env[t]).sum(), rtol=1e-5, atol=1e-6)
    slope = F.sum(g * t)
    second = numeric_grad(lambda a: float(value(slope, {**env, x: a})), X)
    np.testing.assert_allclose(value(grad(slope, x), {**env, x: X}), second, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(value(jvp(slope, x, t), {**env, x: X}), (second * env[t]).sum(), rtol=1e-4, atol=1e-5)


REDUCTIONS = {
    "sum": np.sum,
    "prod": np.prod,
    "mean": np.mean,
    "var": np.var,
    "std": np.std,
    "max": np.max,
    "min": np.min,
    "ptp": np.ptp,
    "logsumexp": scipy.special.logsumexp,
    "norm": lambda x, axis, keepdims: np.sqrt((x * x).sum(axis=axis, keepdims=keepdims)),
}


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (0, 1)], ids=str)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, axis):
    X = rng.normal(size=(2, 3, 2))
    for keepdims in (False, True):
        for shape in (None, ("a", "b", "c")):
            f = lambda x, keepdims=keepdims: getattr(F, name)(x, axis=axis, keepdims=keepdims)
            reference = lambda X, keepdims=keepdims: REDUCTIONS[name](X, axis=axis, keepdims=keepdims)
            check(f, reference, X, shape)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cumsum", "cumprod"])
def test_ops_that_keep_the_shape(name):
    reference = getattr(np, name, None) or getattr(scipy.special, name)
    for axis in (None, 0, -1):
        for shape in (None, ("a", "b")):
            f = lambda x, axis=axis: getattr(F, name)(x, axis=axis)
            check(f, lambda X, axis=axis: reference(X, axis=axis), rng.normal(size=(2, 3)), shape)


DTYPES = "?bhilBHILefdFD"
UNDEFINED = {("ptp", "?")} | {(n, d) for n in ("argmax", "argmin", "max", "min", "ptp") for d in "FD"}


@pytest.mark.parametrize(
    "name",
    [
        *["sum", "prod", "mean", "average", "var", "std", "norm", "cumsum", "cumprod"],
        *["max", "min", "ptp", "argmax", "argmin", "any", "all", "count_nonzero"],
    ],
)
def test_dtypes_are_those_of_numpy(name):
    reference = getattr(np, name, None) or getattr(np.linalg, name)
    for dtype in DTYPES:
        if (name, dtype) in UNDEFINED:
            continue
        X = np.ones((2, 3), dtype)
        x = symbol("x", X.shape, dtype)
        for options in ({}, {"axis": 1}, {"axis": 0}):
            y, expected = getattr(F, name)(x, **options), np.asarray(reference(X, **options))
            found = value(y, {x: X})
            assert y.dtype == expected.dtype == found.dtype, (name, dtype, options)
            assert y.shape == expected.shape == found.shape
            np.testing.assert_array_equal(found, expected)


def test_dtype_argument():
    x = symbol("x", (3,), "int8")
    for dtype in ("int8", "float32", "uint16", "bool"):
        for name in ("sum", "prod", "cumsum", "cumprod"):
            y = getattr(F, name)(x, dtype=dtype)
            expected = getattr(np, name)(np.array([1, 2, 3], "int8"), dtype=dtype)
            assert y.dtype == dtype
            np.testing.assert_array_equal(value(y, {x: [1, 2, 3]}), expected)
    assert F.mean(x, dtype="float32").dtype == F.var(symbol("z", (3,), "complex64")).dtype == "float32"
    with pytest.raises(DTypeError, match="imaginary"):
        F.sum(symbol("z", (3,), "complex128"), dtype=float)


@pytest.mark.parametrize(
    "name", ["sum", "prod", "mean", "var", "std", "max", "norm", "logsumexp", "softmax", "log_softmax", "cumprod"]
)
def test_float32_stays_float32_in_derivatives(name):
    x = symbol("x", ("n",), "float32")
    g = grad(F.sum(getattr(F, name)(x) ** 2 * 0.5), x)
    h = grad(F.sum(g * g), x)
    assert g.dtype == h.dtype == jvp(g, x, x).dtype == "float32"
    assert all(node.dtype != "float64" or node.aval.weak for node in toposort([g, h, jvp(g, x, x)]))


def test_no_axes_is_the_identity():
    x, k = symbol("x", (2,)), symbol("k", (), "int8")
    for name in ("sum", "prod", "max", "min", "logsumexp"):
        assert getattr(F, name)(x, axis=()) is x
        assert getattr(F, name)(symbol("c")).shape == ()
    assert F.sum(k).dtype == F.prod(k).dtype == "int64" and F.max(k) is k
    assert F.any(k).dtype == "bool"
    assert not F.sum(3.0).aval.weak and F.sum(3).dtype == "int64"
    assert value(F.norm(-3.0)) == 3


def test_empty_axes():
    e = symbol("e", (0, 3))
    env = {e: np.zeros((0, 3))}
    for name in ("sum", "prod", "mean", "any", "all", "norm"):
        reference = getattr(np, name, None) or getattr(np.linalg, name)
        with np.errstate(all="ignore"), pytest.warns(RuntimeWarning) if name == "mean" else np.errstate():
            expected = reference(env[e], axis=0)
        np.testing.assert_array_equal(value(getattr(F, name)(e, axis=0), env), expected)
    np.testing.assert_array_equal(value(F.logsumexp(e, axis=0)), [-inf] * 3)
    assert F.softmax(e, axis=0) is e and F.max(e, axis=1).shape == (0,)
    for bad in (lambda: F.max(e, axis=0), lambda: F.min(e), lambda: F.argmax(e, axis=0)):
        with pytest.raises(ShapeError, match="size 0"):
            bad()


# Products ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", [None, ("n",)], ids=str)
def test_product_with_zeros_is_exact_in_every_order(zeros, shape):
    X = np.array([2.0, 3.0, 5.0, 7.0])
    X[:zeros] = 0
    x = symbol("x", X.shape if shape is None else shape)
    ones = {j: symbol(f"t{j}", x.shape) for j in range(3)}
    env = {x: X} | {t: np.eye(4)[j] for j, t in ones.items()}
    for f in (F.prod, lambda x: F.cumprod(x)[-1]):
        d = f(x)
        for order, (j, t) in enumerate(
            ones.items(), 1
        ):  # d^order/dx0 dx1 ..., once in reverse and once in forward mode
            forward, reverse = jvp(d, x, t), F.sum(grad(d, x) * t)
            expected = np.prod(X[order:])
            assert value(forward, env) == value(reverse, env) == expected, (order, j)
            d = reverse


def test_product_over_two_axes_with_zeros():
    X = np.array([[0.0, 2, 3], [4, 0, 5]])
    x = symbol("x", X.shape)
    t = symbol("t", X.shape)
    g = grad(F.prod(x), x)
    np.testing.assert_array_equal(value(g, {x: X}), np.zeros((2, 3)))
    T = np.zeros((2, 3))
    T[0, 0] = 1
    expected = np.zeros((2, 3))
    expected[1, 1] = 2 * 3 * 4 * 5
    np.testing.assert_array_equal(value(jvp(g, x, t), {x: X, t: T}), expected)
    np.testing.assert_array_equal(value(grad(F.sum(g * t), x), {x: X, t: T}), expected)


def test_recurrence_batches():
    a, b = symbol("a", (3, 4)), symbol("b", (2, 3, 4))
    op = grad(F.sum(F.cumprod(a, axis=0) * 2.0), a)
    (node,) = {n for n in toposort([op]) if n.op.name == "recurrence"}
    y, at = node.op.batch((None, 0), a, b)
    A, B = rng.normal(size=(3, 4)), rng.normal(size=(2, 3, 4))
    expected = B.copy()
    for k in (1, 2):
        expected[:, k] += A[k] * expected[:, k - 1]
    np.testing.assert_allclose(np.moveaxis(value(y, {a: A, b: B}), at, 0), expected)


# Extremes ------------------------------------------------------------------------------------------------------------


def test_ties_share_evenly():
    x, t = symbol("x", (2, 3)), symbol("t", (2, 3))
    X, T = np.array([[1.0, 3, 3], [2, 2, 2]]), np.arange(6.0).reshape(2, 3)
    y = F.max(x, axis=1)
    np.testing.assert_allclose(value(grad(F.sum(y), x), {x: X}), [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(value(jvp(y, x, t), {x: X, t: T}), [1.5, 4])
    np.testing.assert_allclose(value(grad(F.min(x), x), {x: X}), [[1, 0, 0], [0, 0, 0]])


def test_extremes_select():
    x, t = symbol("x", (3,)), symbol("t", (3,))
    env = {x: np.array([0.0, 1, 2]), t: np.ones(3)}
    y = F.max(F.log(x))
    g = grad(y, x)
    np.testing.assert_array_equal(value(g, env), [0, 0, 0.5])  # log'(0) does not leak
    assert value(jvp(y, x, t), env) == 0.5
    np.testing.assert_array_equal(value(grad(F.sum(g), x), env), [0, 0, -0.25])


def test_arg_extremes():
    X = rng.normal(size=(2, 3, 4))
    x = symbol("x", X.shape)
    for name in ("argmax", "argmin"):
        for axis in (None, 0, 1, -1):
            for keepdims in (False, True):
                y, expected = getattr(F, name)(x, axis, keepdims), getattr(np, name)(X, axis=axis, keepdims=keepdims)
                assert y.shape == expected.shape and y.dtype == expected.dtype
                np.testing.assert_array_equal(value(y, {x: X}), expected)


# Masks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f, row",
    [
        (lambda x: F.log(F.sum(x, axis=1)), [0, 0, 0]),
        (lambda x: F.log(F.max(x, axis=1)), [0, 0, 0]),
        (lambda x: F.log(F.norm(x, axis=1)), [0, 0, 0]),
        (lambda x: F.sum(F.log(x), axis=1), [0, 0, 0]),
        (lambda x: F.prod(F.log(x), axis=1), [0, 0, 0]),
        (lambda x: F.norm(F.log(x), axis=1), [0, 0, 0]),
        (lambda x: F.sum(F.cumprod(F.log(x), axis=1), axis=1), [0, 1, 0]),
        (lambda x: F.sum(F.cumsum(F.log(x), axis=1), axis=1), [0, 1, 0]),
        (lambda x: F.logsumexp(x, axis=1), [-inf, inf, inf]),
        (lambda x: F.sum(F.softmax(x, axis=1) ** 2, axis=1), [-inf, -inf, -inf]),
        (lambda x: F.sum(F.log_softmax(x, axis=1) ** 2, axis=1), [-inf, -inf, -inf]),
        (lambda x: F.sum(F.log_softmax(F.log(x), axis=1) ** 2, axis=1), [0, 0, 0]),
    ],
)
def test_rows_not_taken_do_not_leak(f, row):
    x, c = symbol("x", (2, 3)), symbol("c", (2,), "bool")
    taken = np.array([0.5, 1, 2])
    env, alone = {x: np.array([row, taken], float), c: [False, True]}, {x: np.array([taken, taken]), c: [False, True]}
    g = grad(F.sum(F.where(c, f(x), 0)), x)
    h = grad(F.sum(g * g), x)
    for d in (g, h, grad(F.sum(h * g), x)):
        found = value(d, env)
        np.testing.assert_array_equal(found[0], 0)
        np.testing.assert_allclose(found[1], value(d, alone)[1])
        assert np.isfinite(found[1]).all()


# Norms and statistics ------------------------------------------------------------------------------------------------


def test_norm_at_zero():
    x, t = symbol("x", (3,)), symbol("t", (3,))
    env = {x: np.zeros(3), t: np.ones(3)}
    for y in (F.norm(x), F.std(x)):
        d = y
        for _ in range(3):
            np.testing.assert_array_equal(value(grad(d, x), env), 0)
            assert value(jvp(d, x, t), env) == 0
            d = F.sum(grad(d, x) * t)


def test_norms_are_those_of_numpy():
    A = np.arange(12.0).reshape(3, 4) - 5
    a = symbol("a", A.shape)
    for ord in (None, "fro", "nuc", 1, -1, 2, -2, inf, -inf):
        np.testing.assert_allclose(value(F.norm(a, ord), {a: A}), np.linalg.norm(A, ord))
        for axis in ((0, 1), (1, 0), (-1, 0)):
            y, expected = F.norm(a, ord, axis, keepdims=True), np.linalg.norm(A, ord, axis, keepdims=True)
            assert y.shape == (1, 1)
            np.testing.assert_allclose(value(y, {a: A}), expected)
    for ord in (None, 0, 1, 2, 3, 0.5, inf, -inf):
        np.testing.assert_allclose(value(F.norm(a, ord, axis=1), {a: A}), np.linalg.norm(A, ord, axis=1))
    np.testing.assert_allclose(value(F.norm(a, axis=(0, 1)), {a: A}), np.linalg.norm(A))
    with pytest.raises(ValueError, match="no meaning"):
        F.norm(a, 3)
    with pytest.raises(ShapeError, match="vectors and matrices"):
        F.norm(symbol("b", (2, 2, 2)), 1)


def test_complex_norm():
    z, Z = symbol("z", (3,), "complex128"), np.array([3 + 4j, 0, 1j])
    np.testing.assert_allclose(value(F.norm(z), {z: Z}), np.linalg.norm(Z))
    np.testing.assert_allclose(value(grad(F.norm(z), z), {z: Z}), Z.conj() / np.linalg.norm(Z))
    for name in ("var", "std"):
        y = getattr(F, name)(z)
        assert y.dtype == "float64"
        np.testing.assert_allclose(value(y, {z: Z}), getattr(np, name)(Z))


def test_degrees_of_freedom():
    X = rng.normal(size=(3, 4))
    for shape in ((3, 4), ("n", "m")):
        x = symbol("x", shape)
        for name in ("var", "std"):
            for ddof in (0, 1, 1.5):
                y = getattr(F, name)(x, axis=0, ddof=ddof)
                np.testing.assert_allclose(value(y, {x: X}), getattr(np, name)(X, axis=0, ddof=ddof))
    assert np.isnan(value(F.var([2.0], ddof=1)))


def test_average():
    X = np.arange(12.0).reshape(3, 4)
    x = symbol("x", X.shape)
    for options in ({}, {"axis": 1, "weights": [1, 2, 3, 4]}, {"axis": 0, "weights": [1, 2, 3.0]}, {"weights": X + 1}):
        y, total = F.average(x, **options, returned=True)
        expected, expected_total = np.average(X, **options, returned=True)
        np.testing.assert_allclose(value(y, {x: X}), expected)
        np.testing.assert_allclose(value(total, {x: X}), expected_total)
    with pytest.raises(ShapeError, match="weights"):
        F.average(x, weights=[1.0, 2, 3])


# logsumexp and softmax -----------------------------------------------------------------------------------------------


def test_logsumexp_of_infinities():
    X = np.array([[-inf, -inf], [inf, 1], [-inf, 2], [1000, 1000], [nan, 1], [inf, -inf]])
    x = symbol("x", X.shape)
    y = F.logsumexp(x, axis=1)
    for node in (y, y.op.lower(x)):
        np.testing.assert_allclose(value(node, {x: X}), [-inf, inf, 2, 1000 + np.log(2), nan, inf])
    g = grad(F.sum(y), x)
    np.testing.assert_allclose(value(g, {x: X})[[0, 2, 3]], [[0, 0], [0, 1], [0.5, 0.5]])
    h = grad(F.sum(g * F.asarray([1.0, 2.0])), x)
    np.testing.assert_allclose(value(h, {x: X})[[0, 2, 3]], [[0, 0], [0, 0], [-0.25, 0.25]])
    (p,) = [n for n in toposort([g]) if n.op.name == "softmax"]
    np.testing.assert_allclose(value(p.op.lower(x), {x: X}), value(p, {x: X}))


def test_softmax_as_scipy():
    X = np.array([[-inf, -inf, -inf], [1000, 1000, 0], [-inf, 1, 2], [nan, 0, 0]])
    x = symbol("x", X.shape)
    for name in ("softmax", "log_softmax"):
        y = getattr(F, name)(x, axis=1)
        with np.errstate(all="ignore"):
            expected = getattr(scipy.special, name)(X, axis=1)
        np.testing.assert_allclose(value(y, {x: X}), expected)
        np.testing.assert_allclose(value(y.op.lower(x), {x: X}), expected)
    assert F.softmax(symbol("k", (2,), "int8")).dtype == "float64"
    with pytest.raises(DTypeError, match="real"):
        F.softmax(symbol("z", (2,), "complex128"))


def test_the_parts_of_softmax_are_shared():
    x = symbol("x", ("n", 5))
    y = F.logsumexp(x, axis=1, keepdims=True)
    g = grad(F.sum(y), x)
    (p,) = [n for n in toposort([g]) if n.op.name == "softmax"]
    nodes = toposort([y.op.lower(x), p.op.lower(x)])
    assert [n.op.name for n in nodes].count("exp") == 1


# Source, batching, errors --------------------------------------------------------------------------------------------


def test_source():
    x, b = symbol("x", (4, 3)), symbol("b", (2, 3, 4), "int8")
    code = lambda y: str(y.op.numpy(*[Code(i.name, aval=i.aval) for i in y.inputs]))
    assert code(F.sum(x)) == "x.sum()"
    assert code(F.sum(x, axis=-1)) == "x.sum(axis=1)"
    assert (
        code(F.prod(b, axis=(0, -1), dtype="int8", keepdims=True))
        == "b.prod(axis=(0, 2), dtype=np.int8, keepdims=True)"
    )
    assert code(F.max(x, axis=0, keepdims=True)) == "x.max(axis=0, keepdims=True)"
    assert code(F.argmin(x, 1)) == "x.argmin(axis=1)"
    assert code(F.norm(x)) == "np.linalg.norm(x)"
    assert code(F.cumsum(x, 1)) == "x.cumsum(axis=1)"
    assert code(F.logsumexp(x, 1)) == "scipy.special.logsumexp(x, axis=1)"


@pytest.mark.parametrize(
    "name", ["sum", "max", "prod", "norm", "logsumexp", "any", "argmax", "softmax", "log_softmax", "cumsum", "cumprod"]
)
def test_batch(name):
    X = rng.normal(size=(2, 3, 4))
    x = symbol("x", (2, 3, 4))
    for at in range(3):
        rows = [symbol("r", np.moveaxis(X, at, 0)[0].shape)] * X.shape[at]
        for axis in (0, 1):
            y = getattr(F, name)(rows[0], axis=axis)
            batched, where = y.op.batch((at,), x)
            found = np.moveaxis(value(batched, {x: X}), where, 0)
            expected = [value(y, {rows[0]: row}) for row in np.moveaxis(X, at, 0)]
            np.testing.assert_allclose(found, expected)


def test_errors():
    x = symbol("x", (4, 3))
    for name in ("sum", "max", "mean", "logsumexp", "softmax", "cumsum", "argmax", "std", "norm"):
        with pytest.raises(ShapeError, match=r"test_reduce.py:\d+: \w+ of x \(4, 3\) float64: axis=2 is out of range"):
            getattr(F, name)(x, axis=2)
    with pytest.raises(ShapeError, match="twice"):
        F.sum(x, axis=(0, -2))
    with pytest.raises(TypeError, match="must be an int"):
        F.sum(x, axis=1.5)


def test_signs_are_known():
    x = symbol("x", (3,))
    assert F.sum(x).op.nonnegative(True) and not F.sum(x).op.nonnegative(False)
    assert F.norm(x).op.nonnegative(False) and F.softmax(x).op.nonnegative(False)
    assert F.max(x).op.bounded(True) and not F.sum(x).op.bounded(True)
