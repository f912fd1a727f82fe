"""Indexing, read and written: NumPy's values for every kind of key, exact transposes, one normal form."""

import itertools

import numpy as np
import pytest

import symgraph as sg
from symgraph import dims
from symgraph.autodiff import grad, jvp, vjp
from symgraph.core import constant, make, symbol
from symgraph.errors import DTypeError, ShapeError
from symgraph.interpreter import interpret
from symgraph.ops.gather import Gather, Pick, ScatterAdd, ScatterSet
from symgraph.ops.slices import Slice, SliceSet, Unslice

rng = np.random.default_rng(0)
n = dims.dim("n")


def value(y, env):
    return np.asarray(interpret([y], env)[0])


def compiled(y, env):
    return sg.function(list(env), [y, *env])(*env.values())[0]  # an input that y does not use is an error


def same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


IDX, TABLE = np.array([0, 2, 1, 2]), np.array([[0, 1], [2, -1]])
KEYS = [
    0, -1, (0, 1), (slice(1, 2), slice(None), 0), (Ellipsis, 0), (0, Ellipsis), (np.int64(1),), np.array(1),
    slice(None), slice(1, None), slice(None, -1), slice(-2, None), slice(None, None, -1), slice(None, None, 2),
    slice(3, 0, -1), slice(2, None, -2), slice(-1, -3, -1), slice(5, 1), slice(0, 100), slice(-100, 2), slice(1, 2, 3),
    slice(None, -3, -1), slice(-3, None, -1), (), Ellipsis,
    (None, 0), (slice(None), None, 1), (Ellipsis, None), (0, Ellipsis, None, 1), None,
    IDX, (slice(None), IDX), (IDX, IDX), (IDX, slice(None), IDX), (0, slice(None), IDX), (slice(None), 0, IDX),
    (slice(None), IDX, 0), (IDX, None, IDX), (slice(None), IDX, Ellipsis, IDX), (slice(None), IDX, None, IDX),
    (Ellipsis, IDX), TABLE, (TABLE, slice(1, 3), np.array([0, 1])), (TABLE[:, :, None], IDX), [0, 2], [],
    (slice(None), [1, 0], [0, 1]), (slice(1, None), IDX[:2] % 2, slice(None, None, -1)), np.array([1, 2], np.uint8),
    (slice(None), np.array([[True] * 4, [False] * 4, [True] * 4])),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=repr)
@pytest.mark.parametrize("first", [3, "n"])
def test_read_and_write(key, first):
    X = rng.normal(size=(3, 3, 4))
    x = symbol("x", (first, 3, 4))
    y = x[key]
    same(value(y, {x: X}), X[key])
    same(compiled(y, {x: X}), X[key])
    assert tuple(dims.evaluate(d, {"n": 3}) if isinstance(d, dims.Dim) else d for d in y.shape) == X[key].shape
    V = rng.normal(size=X[key].shape)
    v, t = constant(V), symbol("t", x.shape)

    added = np.zeros_like(X)
    np.add.at(added, key, V)
    pulled = vjp(y, x, v)
    np.testing.assert_allclose(value(pulled, {x: X}), added)
    T = rng.normal(size=X.shape)
    same(value(jvp(y, x, t), {x: X, t: T}), T[key])
    twice = grad((vjp(sg.sin(y), x, v) * t).sum(), x)  # -sin(x[key]) v t[key], carried back
    again = np.zeros_like(X)
    np.add.at(again, key, -np.sin(X[key]) * V * T[key])
    np.testing.assert_allclose(value(twice, {x: X, t: T}), again)

    for new in (V, 2.0):
        written = X.copy()
        written[key] = new
        same(compiled(x.at[key].set(new), {x: X}), written)
        grown = X.copy()
        np.add.at(grown, key, new)
        np.testing.assert_allclose(compiled(x.at[key].add(new), {x: X}), grown)
    same(compiled(x.at[key].get(), {x: X}), X[key])


@pytest.mark.parametrize("size", range(5))
def test_every_slice_of_a_short_axis(size):
    X = np.arange(size)
    x, s = symbol("x", size, int), symbol("s", "n", int)
    for bounds in itertools.product([None, *range(-6, 7)], [None, *range(-6, 7)], [None, 1, 2, -1, -2, 3, -3]):
        key = slice(*bounds)
        same(value(x[key], {x: X}), X[key])
        if size != 1:
            same(value(s[key], {s: X}), X[key])
    assert x[::2] is x[0:100:2] and x[:] is x


def test_normal_form():
    x = symbol("x", ("n", 5))
    assert x[:n] is x and x[...] is x and x[0:] is x
    assert x[1 : n - 1] is x[1:-1] and x[n - 1] is x[-1] and x[1:None:1] is x[1:n]
    assert x[:, -1] is x[:, 4] and x[:, 1:7] is x[:, 1:] and x[:, 4:1:-1] is x[:, :1:-1] and x[:, 3:3] is x[:, 4:2]
    assert x[np.int64(1)] is x[1] and x[constant(1)] is x[1]


def test_symbolic_bounds():
    X = rng.normal(size=(5, 3))
    x = symbol("x", ("n", 3))
    same(compiled(x[n // 2 :], {x: X}), X[2:])
    same(compiled(x[: n // 2, 1], {x: X}), X[:2, 1])
    same(compiled(x[n // 2], {x: X}), X[2])
    assert x[n // 2 :].shape[0] == n - n // 2
    for rows in (0, 1, 2):
        X = rng.normal(size=(rows, 3))
        for key in (slice(1, None), slice(None, -1), slice(3, 0, -1), slice(None, -3, -1), slice(-4, -1), slice(0, 2)):
            same(compiled(x[key], {x: X}), X[key])


def test_index_known_when_called():
    X = rng.normal(size=(4, 3))
    x, i, j = symbol("x", ("n", 3)), symbol("i", (), int), symbol("j", "k", "int32")
    assert x[i].op == Pick((0,)) and x[i].shape == (3,) and x[i, 1].shape == () and x[j].shape == (dims.dim("k"), 3)
    same(compiled(x[i], {x: X, i: 2}), X[2])
    same(compiled(x[i, 1], {x: X, i: -1}), X[-1, 1])
    J = np.array([3, 0, 3], np.int32)
    same(compiled(x[j, 0], {x: X, j: J}), X[J, 0])
    same(compiled(x[[i, 0]], {x: X, i: 1}), X[[1, 0]])
    with pytest.raises(IndexError):
        compiled(x[i], {x: X, i: 4})
    picked = compiled(x[i], {x: X, i: 2})
    picked[:] = 0
    assert X[2].all()
    same(compiled(grad((x[j] ** 2).sum(), x), {x: X, j: J}), 2 * X * np.array([[1], [0], [0], [2]]))
    same(compiled(grad(x[i, i] ** 3, x), {x: X, i: 1})[1, 1], 3 * X[1, 1] ** 2)


def test_errors_say_what_to_do():
    x, i, mask = symbol("x", (3, 2)), symbol("i", (), int), symbol("mask", 3, bool)
    for key, kind, words in [
        (3, ShapeError, "index 3 is out of range for axis 0 of size 3"),
        ((0, -3), ShapeError, "axis 1 of size 2"),
        (np.array([0, 5]), ShapeError, "index 5"),
        ((np.array([0, 5]), 0), ShapeError, "index 5"),
        (1.5, DTypeError, "astype"),
        (np.ones(2), DTypeError, "astype"),
        (symbol("f", 2), DTypeError, "astype"),
        (mask, ShapeError, "where"),
        (True, ShapeError, "where"),
        (np.array([True, False]), ShapeError, "mask"),
        ((0, 0, 0), ShapeError, "3 indices for 2 axes"),
        ((..., 0, ...), ShapeError, "only one"),
        (slice(None, i), ShapeError, "bound of a slice"),
        (slice(None, None, 0), ShapeError, "step"),
        ((np.array([0, 1]), np.array([0, 1, 0])), ShapeError, "broadcast"),
    ]:
        with pytest.raises(kind, match=words) as caught:
            x[key]
        assert "test_indexing.py" in str(caught.value) and "x (3, 2)" in str(caught.value)
    with pytest.raises(ShapeError):
        symbol("s", ("n", 2))[n]
    with pytest.raises(DTypeError, match="complex"):
        x.at[0].set(1j)
    with pytest.raises(ShapeError, match="twice"):
        x.at[symbol("j", 2, int)].multiply(2)


def test_constant_mask():
    X = rng.normal(size=(3, 4))
    x = symbol("x", (3, 4))
    rows, places = np.array([True, False, True]), X > 0
    same(compiled(x[rows], {x: X}), X[rows])
    same(compiled(x[places], {x: X}), X[places])
    same(compiled(x[rows, 1], {x: X}), X[rows, 1])
    same(compiled(x.at[places].set(0), {x: X}), np.where(places, 0, X))


def test_the_last_write_stays_and_alone_has_a_derivative():
    X, V = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))
    index = np.array([1, 0, 1, 1])
    x, v, i = symbol("x", (3, 2)), symbol("v", (4, 2)), symbol("i", 4, int)
    y = x.at[i].set(v)
    env = {x: X, v: V, i: index}
    expected = X.copy()
    expected[0], expected[1] = V[1], V[3]
    same(compiled(y, env), expected)
    gx, gv = grad((y * y).sum(), (x, v))
    same(compiled(gx, env), 2 * X * np.array([[0], [0], [1]]))
    same(compiled(gv, env), 2 * V * np.array([[0], [1], [0], [1]]))
    t, u = symbol("t", x.shape), symbol("u", v.shape)
    T, U = rng.normal(size=X.shape), rng.normal(size=V.shape)
    pushed = T.copy()
    pushed[0], pushed[1] = U[1], U[3]
    same(compiled(jvp(y, (x, v), (t, u)), {**env, t: T, u: U}), pushed)
    for flip in (False, True):  # NumPy may write in another order; the value and the derivative still agree
        I2 = np.array([[0, 0, 1], [1, 0, 0]], order="F")
        W = np.asfortranarray(np.arange(6.0).reshape(2, 3))
        I2, W = (a[::-1, ::-1].copy()[::-1, ::-1] if flip else a for a in (I2, W))
        z, w, k = symbol("z", (2, 2)), symbol("w", (2, 3)), symbol("k", (2, 3), int)
        env = {z: np.zeros((2, 2)), w: W, k: I2}
        same(compiled(z.at[k, k].set(w), env), np.diag([5.0, 3.0]))
        same(compiled(grad(z.at[k, k].set(w).sum(), w), env), [[0.0, 0, 0], [1, 0, 1]])


def test_masks_follow():
    """Below a branch that is not taken the derivative is 0, whatever the partial there."""
    X = np.array([0.0, 1.0, 4.0])
    x, i = symbol("x", 3), symbol("i", 3, int)
    r = sg.sqrt(x)
    env = {x: X, i: np.array([2, 0, 1])}
    for y, good in [
        (r[::-1], np.array([True, True, False])),
        (r[i], np.array([True, False, True])),
        (r.at[0].set(1.0), np.array([True, True, True])),
        (r.at[i].add(1.0), np.array([False, True, True])),
        (sg.zeros(3).at[i].set(r), np.array([True, True, False])),
        (sg.pad(r, 1)[1:-1], np.array([False, True, True])),
        (sg.take_along_axis(r, i, 0), np.array([True, False, True])),
    ]:
        g = compiled(grad(sg.where(good, y, 0.0).sum(), x), env)
        np.testing.assert_allclose(g, [0, 0.5, 0.25])
        second = compiled(grad(grad(sg.where(good, y, 0.0).sum(), x).sum(), x), env)
        np.testing.assert_allclose(second, [0, -0.25, -0.25 / 8])


def test_at_changes_places_in_other_ways():
    X = rng.normal(size=(4, 3))
    x, mask = symbol("x", (4, 3)), symbol("mask", 4, bool)
    for name, function in [
        ("multiply", np.multiply), ("divide", np.divide), ("min", np.minimum), ("max", np.maximum),
        ("subtract", np.subtract),
    ]:  # fmt: skip
        expected = X.copy()
        expected[1:3, 0] = function(X[1:3, 0], 0.3)
        np.testing.assert_allclose(compiled(getattr(x.at[1:3, 0], name)(0.3), {x: X}), expected)
    row = np.arange(3.0)
    expected = X.copy()
    expected[1:3] = row
    y = x.at[1:3].set(constant(row))
    same(compiled(y, {x: X}), expected)
    M = np.array([True, False, True, False])
    same(compiled(x.at[mask].set(0.0), {x: X, mask: M}), np.where(M[:, None], 0, X))
    same(compiled(x.at[mask].add(constant(row)), {x: X, mask: M}), np.where(M[:, None], X + row, X))
    v = symbol("v", 3)
    g = compiled(grad((x.at[:, 1:2].set(v[0]) * x).sum(), (x, v)), {x: X, v: row})
    np.testing.assert_allclose(g[1], [X[:, 1].sum(), 0, 0])
    with pytest.raises(ShapeError, match="where"):
        x.at[mask].set(constant(X[:2]))


def test_take():
    X = rng.normal(size=(4, 3))
    x = symbol("x", ("n", 3))
    same(compiled(sg.take(x, [0, 5, -1]), {x: X}), X.take([0, 5, -1]))
    same(compiled(sg.take(x, TABLE, axis=1), {x: X}), X.take(TABLE, axis=1))
    same(compiled(sg.take(x, 2, axis=0), {x: X}), X[2])
    for mode in ("wrap", "clip"):
        same(compiled(sg.take(x, np.array([0, 9, -7]), 0, mode), {x: X}), X.take([0, 9, -7], 0, mode=mode))
    i = symbol("i", ("n", 2), int)
    order = X.argsort(axis=1)[:, :2]
    y = sg.take_along_axis(x, i, axis=1)
    same(compiled(y, {x: X, i: order}), np.take_along_axis(X, order, 1))
    expected = np.zeros_like(X)
    np.put_along_axis(expected, order, 1, 1)
    same(compiled(grad(y.sum(), x), {x: X, i: order}), expected)
    put = X.copy()
    np.put_along_axis(put, order, 7.0, 1)
    same(compiled(sg.put_along_axis(x, i, 7.0, 1), {x: X, i: order}), put)
    with pytest.raises(ShapeError, match="as many axes"):
        sg.take_along_axis(x, symbol("j", 3, int), 1)


def test_one_hot():
    labels = symbol("labels", "n", int)
    L = np.array([2, 0, 5, -1])
    hot = sg.one_hot(labels, 3)
    same(compiled(hot, {labels: L}), np.array([[0.0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]]))
    assert sg.one_hot(labels, 3, "float32").dtype == np.float32
    with pytest.raises(DTypeError, match="astype"):
        sg.one_hot(symbol("x", 3), 3)


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int8", "bool"])
def test_dtypes_stay(dtype):
    X = (rng.normal(size=(3, 4)) * 3).astype(dtype)
    x = symbol("x", (3, 4), dtype)
    for y, expected in [(x[1:, 0], X[1:, 0]), (x[IDX], X[IDX]), (x[TABLE, 0], X[TABLE, 0])]:
        same(compiled(y, {x: X}), expected)
    same(compiled(x.at[0].set(1), {x: X})[0], np.ones(4, dtype))
    for op, i in [(Unslice(((None, None, 1), 0), (3, 4)), ()), (ScatterAdd((0,), (3, 4), 0), (constant([1, 1, 0]),))]:
        y = make(op, x[:, 0] if not i else x, *i)
        assert y.dtype == X.dtype and value(y, {x: X}).dtype == X.dtype
    if dtype in ("float32", "complex64"):
        g = grad(sg.real((x[IDX, 1:] * x[IDX, 1:] * x.at[IDX].set(2)[0, 0]).sum()), x)
        assert g.dtype == X.dtype and compiled(g, {x: X}).dtype == X.dtype


def test_batch_rules():
    x, v, i, j = symbol("x", (3, 4, 5)), symbol("v", (2, 5)), symbol("i", (2,), int), symbol("j", (6, 1), int)
    w = symbol("w", (6, 2, 5))
    full = (None, None, 1)
    cases = [
        (Slice(((1, None, 1), 2, full)), (x,)),
        (Unslice((1, (None, 2, 1), full), (4, 3, 5)), (v,)),
        (SliceSet((1, (None, 2, 1), full)), (x, v)),
        (Gather((0,)), (x, i)), (Gather((1,)), (x, j)), (Gather((0, 1)), (x, i, j)), (Gather((1, 2)), (x, j, i)),
        (Gather((0, 2)), (x, j, i)), (Pick((1,)), (x, symbol("p", (), int))),
        (ScatterAdd((0, 1), (3, 4, 5), 0), (w, i, j)),
        (ScatterAdd((0, 2), (3, 5, 4), 0), (symbol("u", (6, 2, 5)), i, j)),
        (ScatterAdd((1,), (2, 4, 5), 0), (symbol("q", (2, 6, 1, 5)), j)),
    ]  # fmt: skip
    for op, operands in cases:
        for batched in itertools.product([False, True], repeat=len(operands)):
            if not any(batched):
                continue
            single, axes, inputs, env = [], [], [], {}
            for k, (operand, b) in enumerate(zip(operands, batched)):
                at = k % (operand.ndim + 1) if b else None
                shape = (*operand.shape[:at], 7, *operand.shape[at:]) if b else operand.shape
                A = rng.integers(0, 3, size=shape) if operand.dtype == int else rng.normal(size=shape)
                node = symbol(f"b{k}", shape, operand.dtype)
                env[node] = A
                inputs.append(node)
                axes.append(at)
                single.append((operand, A, at))
            found = op.batch(axes, *inputs)
            if found is None:
                assert isinstance(op, ScatterSet)
                continue
            y = np.moveaxis(value(found[0], env), found[1], 0)
            each = [
                value(make(op, *operands), {o: A if at is None else A.take(m, at) for o, A, at in single})
                for m in range(7)
            ]
            np.testing.assert_allclose(y, np.stack(each), err_msg=f"{op} {batched}")


def test_source():
    x, i, v = symbol("x", ("n", 3, 4)), symbol("i", 5, int), symbol("v", (3, 4))
    text = sg.function([x, i, v], [
        x[1:, ::-1], x[..., 0], x[i, :, 1], x.at[0].set(v), x.at[:, 0].set(0.0), sg.grad((x[i] ** 2).sum(), x),
        sg.grad((x[:, [0, 2]] ** 2).sum(), x),
    ]).source  # fmt: skip
    for line in ["x[1:, ::-1]", "x[..., 0]", "x[i, :, 1]", "x.copy()", "[0] = v", "[:, 0] = ", "np.add.at("]:
        assert line in text, text
    assert text.count("np.add.at") == 1  # indices that are all different are assigned
