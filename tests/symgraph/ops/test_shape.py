"""Reshape, transpose, broadcast, joining and splitting: NumPy's values, transposes, symbolic sizes, source."""

import itertools

import numpy as np
import pytest

import symgraph as sg
from symgraph import dims
from symgraph.autodiff import grad, jvp, vjp
from symgraph.core import make, symbol, toposort
from symgraph.errors import DTypeError, ShapeError
from symgraph.interpreter import interpret
from symgraph.ops.base import Linear

rng = np.random.default_rng(0)
m, n = dims.dim("m"), dims.dim("n")


def compiled(y, env):
    return sg.function(list(env), [y, *env])(*env.values())[0]  # an input that y does not use is an error


def same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


def check(function, *arrays, shapes=None, exact=True):
    """Value, type, both derivatives, the transpose of the transpose, masks and batch rules of a linear function."""
    xs = [symbol(f"x{i}", a.shape if shapes is None else shapes[i], a.dtype) for i, a in enumerate(arrays)]
    env = dict(zip(xs, arrays))
    y, expected = function(sg)(*xs), function(np)(*arrays)
    same(interpret([y], env)[0], expected)
    same(compiled(y, env), expected)
    assert len(y.shape) == expected.ndim
    if arrays[0].dtype.kind not in "fc":
        return
    ts = [symbol(f"t{i}", x.shape, x.dtype) for i, x in enumerate(xs)]
    T = {t: rng.normal(size=a.shape).astype(a.dtype) for t, a in zip(ts, arrays)}
    C = rng.normal(size=expected.shape).astype(expected.dtype)
    ct = symbol("ct", expected.shape, expected.dtype)
    everything = {**env, **T, ct: C}
    pushed = compiled(jvp(y, xs, ts), everything)
    np.testing.assert_allclose(pushed, function(np)(*T.values()), rtol=1e-6)
    pulled = vjp(y, xs, ct)
    assert all(p.dtype == x.dtype for p, x in zip(pulled, xs))
    got = [compiled(p, everything) for p in pulled]
    assert all(g.shape == a.shape for g, a in zip(got, arrays))
    inner = sum(float((g * t).sum()) for g, t in zip(got, T.values()))
    np.testing.assert_allclose(inner, (C * pushed).sum(), rtol=1e-4, atol=1e-6)
    back = vjp(pulled, ct, ts)  # the transpose of the transpose
    np.testing.assert_allclose(compiled(back, everything), pushed, rtol=1e-4, atol=1e-6)
    hot = C > 0  # below a where, an infinite derivative stays where the branch taken reaches
    loss = sg.where(hot, function(sg)(*[sg.sqrt(x) for x in xs]), 0).sum()
    zeros = {x: np.zeros_like(a) for x, a in env.items()}
    for g, p in zip(grad(loss, xs), pulled):
        reached = compiled(p, {**everything, ct: hot.astype(C.dtype)}) > 0
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(compiled(g, zeros), np.where(reached, np.inf, 0))
    for node in toposort([y, *pulled]):
        if isinstance(node.op, Linear) and type(node.op).__module__.rsplit(".")[-1] in HERE and shapes is None:
            check_batch(node)


HERE = ("shape", "joining", "creation", "diagonal", "slices", "gather")


def check_batch(node):
    operands = [symbol(f"o{k}", x.shape, x.dtype) for k, x in enumerate(node.inputs)]
    for batched in itertools.product([False, True], repeat=len(operands)):
        if not any(batched):
            continue
        nodes, arrays, axes = [], [], []
        for k, (x, b) in enumerate(zip(operands, batched)):
            at = (k + x.ndim) % (x.ndim + 1) if b else None
            shape = (*x.shape[:at], 3, *x.shape[at:]) if b else x.shape
            arrays.append(
                rng.integers(0, 1, size=shape) if x.dtype.kind == "i" else rng.normal(size=shape).astype(x.dtype)
            )
            nodes.append(symbol(f"b{k}", shape, x.dtype))
            axes.append(at)
        y, where = node.op.batch(axes, *nodes)
        found = np.moveaxis(interpret([y], dict(zip(nodes, arrays)))[0], where, 0)
        for i in range(3):
            one = [a if at is None else a.take(i, at) for a, at in zip(arrays, axes)]
            same(found[i], interpret([make(node.op, *operands)], dict(zip(operands, one)))[0])


X, Y, V = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 1, 4)), rng.normal(size=4)
SQUARE, EMPTY, POINT = rng.normal(size=(3, 3)), np.zeros((0, 3)), np.array(1.5)


ARRANGEMENTS = {
    "reshape": (lambda np: lambda x: np.reshape(x, (4, -1)), X),
    "reshape f": (lambda np: lambda x: np.reshape(x, (4, 6), order="F"), X),
    "reshape to 0-d": (lambda np: lambda x: np.reshape(x, ()), V[:1]),
    "reshape of 0-d": (lambda np: lambda x: np.reshape(x, (1, 1)), POINT),
    "reshape of nothing": (lambda np: lambda x: np.reshape(x, (3, 0)), EMPTY),
    "ravel": (lambda np: lambda x: np.ravel(x), X),
    "expand_dims": (lambda np: lambda x: np.expand_dims(x, (0, -1, 2)), X),
    "squeeze": (lambda np: lambda x: np.squeeze(x), Y),
    "squeeze axis": (lambda np: lambda x: np.squeeze(x, axis=1), Y),
    "atleast_2d": (lambda np: np.atleast_2d, V),
    "atleast_3d": (lambda np: np.atleast_3d, V),
    "atleast_3d of a matrix": (lambda np: np.atleast_3d, SQUARE),
    "transpose": (lambda np: np.transpose, X),
    "transpose axes": (lambda np: lambda x: np.transpose(x, (1, -1, 0)), X),
    "swapaxes": (lambda np: lambda x: np.swapaxes(x, -1, -2), X),
    "moveaxis": (lambda np: lambda x: np.moveaxis(x, (0, 1), (-1, 0)), X),
    "rollaxis": (lambda np: lambda x: np.rollaxis(x, 2, 1), X),
    "rollaxis back": (lambda np: lambda x: np.rollaxis(x, 0, 3), X),
    "matrix_transpose": (lambda np: np.matrix_transpose, X),
    "broadcast_to": (lambda np: lambda x: np.broadcast_to(x, (5, 2, 3, 4)), Y),
    "broadcast 0-d": (lambda np: lambda x: np.broadcast_to(x, (2, 3)), POINT),
    "broadcast to nothing": (lambda np: lambda x: np.broadcast_to(x, (0, 1, 4)), V),
    "broadcast_arrays": (lambda np: lambda x, v: np.concatenate(np.broadcast_arrays(x, v)), Y, V),
    "concatenate": (lambda np: lambda x, y: np.concatenate((x, y), axis=1), X, Y),
    "concatenate last": (lambda np: lambda x, y: np.concatenate((x, y, x), axis=-1), X, X + 1),
    "concatenate rows": (lambda np: lambda x, y: np.concatenate((x, y), axis=None), X, V),
    "concatenate nothing": (lambda np: lambda x, y: np.concatenate((x, y)), EMPTY, SQUARE),
    "stack": (lambda np: lambda x, y: np.stack((x, y), axis=1), X, X + 1),
    "stack last": (lambda np: lambda x, y: np.stack((x, y), -1), V, V + 1),
    "stack 0-d": (lambda np: lambda x, y: np.stack((x, y)), POINT, POINT + 1),
    "hstack": (lambda np: lambda x, y: np.hstack((x, y)), X, Y),
    "hstack vectors": (lambda np: lambda x, y: np.hstack((x, y)), V, POINT),
    "vstack": (lambda np: lambda x, y: np.vstack((x, y)), SQUARE, V[:3]),
    "vstack vectors": (lambda np: lambda x, y: np.vstack((x, y)), V, V + 1),
    "dstack": (lambda np: lambda x, y: np.dstack((x, y)), SQUARE, SQUARE + 1),
    "column_stack": (lambda np: lambda x, y: np.column_stack((x, y)), SQUARE, V[:3]),
    "append": (lambda np: lambda x, y: np.append(x, y, axis=1), X, Y),
    "split": (lambda np: lambda x: np.split(x, 2, axis=2)[1], X),
    "split at": (lambda np: lambda x: np.split(x, [1, 3], axis=-1)[1], X),
    "array_split": (lambda np: lambda x: np.array_split(x, 3, axis=2)[0], X),
    "hsplit": (lambda np: lambda x: np.hsplit(x, 3)[2], X),
    "vsplit": (lambda np: lambda x: np.vsplit(x, 2)[0], X),
    "dsplit": (lambda np: lambda x: np.dsplit(x, 4)[3], X),
    "pad": (lambda np: lambda x: np.pad(x, 1), X),
    "pad pairs": (lambda np: lambda x: np.pad(x, ((0, 0), (2, 1), (0, 3))), X),
    "pad pair": (lambda np: lambda x: np.pad(x, (2, 1)), V),
    "pad edge": (lambda np: lambda x: np.pad(x, ((1, 0), (2, 3), (0, 1)), mode="edge"), X),
    "pad reflect": (lambda np: lambda x: np.pad(x, ((1, 0), (2, 1), (0, 2)), mode="reflect"), X),
    "pad symmetric": (lambda np: lambda x: np.pad(x, ((1, 2), (2, 1), (0, 2)), mode="symmetric"), X),
    "pad wrap": (lambda np: lambda x: np.pad(x, ((1, 0), (2, 1), (0, 2)), mode="wrap"), X),
    "flip": (lambda np: np.flip, X),
    "flip axes": (lambda np: lambda x: np.flip(x, (0, -1)), X),
    "flipud": (lambda np: np.flipud, X),
    "fliplr": (lambda np: np.fliplr, X),
    "roll": (lambda np: lambda x: np.roll(x, 2, axis=1), X),
    "roll all": (lambda np: lambda x: np.roll(x, -5), X),
    "roll axes": (lambda np: lambda x: np.roll(x, (1, -2), axis=(0, 2)), X),
    "roll one by two": (lambda np: lambda x: np.roll(x, 7, axis=(1, 2)), X),
    "tile": (lambda np: lambda x: np.tile(x, (2, 1, 3)), X),
    "tile more": (lambda np: lambda x: np.tile(x, (2, 3)), V),
    "tile less": (lambda np: lambda x: np.tile(x, 2), X),
    "repeat": (lambda np: lambda x: np.repeat(x, 3, axis=1), X),
    "repeat all": (lambda np: lambda x: np.repeat(x, 2), X),
    "repeat counts": (lambda np: lambda x: np.repeat(x, [1, 0, 2], axis=1), X),
    "triu": (lambda np: np.triu, X),
    "tril": (lambda np: lambda x: np.tril(x, -1), SQUARE),
    "triu of a vector": (lambda np: np.triu, V),
    "diag": (lambda np: np.diag, V),
    "diag up": (lambda np: lambda x: np.diag(x, 2), V),
    "diag down": (lambda np: lambda x: np.diag(x, -1), V),
    "diag of a matrix": (lambda np: lambda x: np.diag(x, 1), X[0]),
    "diagonal": (lambda np: lambda x: np.diagonal(x, -1, 2, 1), X),
    "diagonal of a stack": (lambda np: lambda x: np.diagonal(x, 1, 1, 2), X),
    "diagonal outside": (lambda np: lambda x: np.diagonal(x, 9), SQUARE),
    "diagflat": (lambda np: lambda x: np.diagflat(x, 1), SQUARE),
}


@pytest.mark.parametrize("name", ARRANGEMENTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_as_numpy(name, dtype):
    function, *arrays = ARRANGEMENTS[name]
    check(function, *[a.astype(dtype) for a in arrays])


@pytest.mark.parametrize("name", [
    "expand_dims", "transpose axes", "flip", "roll", "concatenate last", "stack", "ravel", "triu", "tile", "repeat",
    "pad pairs", "diagonal of a stack", "hsplit", "moveaxis", "matrix_transpose",
])  # fmt: skip
def test_symbolic_sizes(name):
    function, *arrays = ARRANGEMENTS[name]
    check(function, *arrays, shapes=[("n", 3, "k") if a.ndim == 3 else a.shape for a in arrays])


def test_reshape_follows_symbolic_sizes():
    x = symbol("x", ("n", 28, 28))
    assert sg.reshape(x, (-1, 784)).shape == (n, 784) and sg.reshape(x, (n, -1)).shape == (n, 784)
    assert x.reshape("n", 784) is x.reshape(-1, 784) and x.reshape(n, 28, 28) is x
    assert sg.reshape(x, -1).shape == (784 * n,) and sg.reshape(symbol("y", (m, n)), (n, -1)).shape == (n, m)
    half = sg.reshape(symbol("z", "n"), (-1, 2))
    assert half.shape == (n // 2, 2)
    (z,) = half.inputs
    same(compiled(half, {z: np.arange(4.0)}), np.arange(4.0).reshape(2, 2))
    with pytest.raises(ValueError):
        compiled(half, {z: np.arange(3.0)})
    assert "-1" not in sg.function([x], sg.reshape(x, (-1, 784))).source


def test_errors():
    x, s = symbol("x", (2, 3)), symbol("s", ("n", 3))
    for build, words in [
        (lambda: sg.reshape(x, (4, 2)), "6 values and .* 8"),
        (lambda: sg.reshape(x, (4, -1)), "evenly"),
        (lambda: sg.reshape(x, (-1, -1)), "only one"),
        (lambda: sg.reshape(symbol("e", (0, 3)), (0, -1)), "any size"),
        (lambda: sg.squeeze(s, 0), "size n"),
        (lambda: sg.expand_dims(x, 5), "out of range"),
        (lambda: sg.transpose(x, (0, 0)), "permutation"),
        (lambda: sg.moveaxis(x, (0, 1), 0), "as many axes"),
        (lambda: sg.matrix_transpose(symbol("v", 3)), "two axes"),
        (lambda: sg.broadcast_to(x, (3, 2)), "does not broadcast"),
        (lambda: sg.broadcast_to(x, (3,)), "does not broadcast"),
        (lambda: sg.broadcast_arrays(x, symbol("y", 4)), "no common"),
        (lambda: sg.concatenate([x, symbol("y", (2, 4))]), "must agree"),
        (lambda: sg.concatenate([x, symbol("y", 3)]), "must agree"),
        (lambda: sg.concatenate([]), "at least one"),
        (lambda: sg.concatenate([symbol("a"), symbol("b")]), "stack"),
        (lambda: sg.stack([x, s, symbol("y", (2, 4))]), "must agree"),
        (lambda: sg.split(x, 2, axis=1), "array_split"),
        (lambda: sg.split(s, 2), "array_split"),
        (lambda: sg.unstack(s), "symbolic"),
        (lambda: sg.pad(x, -1), "negative"),
        (lambda: sg.pad(x, ((1, 1), (2, 2), (3, 3))), "2 axes"),
        (lambda: sg.pad(s, 1, mode="wrap"), "symbolic"),
        (lambda: sg.pad(x, 3, mode="reflect"), "too few"),
        (lambda: sg.repeat(x, [1, 2], axis=1), "2 counts"),
        (lambda: sg.triu(symbol("a")), "two axes"),
        (lambda: sg.diagonal(x, 0, 1, 1), "Name two axes"),
        (lambda: sg.diag(symbol("t", (2, 2, 2))), "stack of matrices"),
    ]:
        with pytest.raises(ShapeError, match=words):
            build()
    with pytest.raises(TypeError):
        sg.concatenate([x], out=None)
    with pytest.raises(DTypeError):
        sg.stack([x, ["a", "b"]])


def test_sizes_that_meet_are_checked_when_called():
    x, y = symbol("x", ("m", 3)), symbol("y", ("n", 3))
    assert sg.concatenate([x, y]).shape == (m + n, 3)
    assert sg.stack([x, x]).shape == (2, m, 3)
    f = sg.function([x, y], sg.concatenate([x, y], axis=1))
    same(f(np.ones((2, 3)), np.zeros((2, 3))), np.hstack([np.ones((2, 3)), np.zeros((2, 3))]))
    with pytest.raises(ShapeError, match="m=2"):
        f(np.ones((2, 3)), np.zeros((1, 3)))
    a, b = sg.array_split(symbol("z", "n"), 2)
    same(compiled(b, {a.inputs[0]: np.arange(5.0)}), [3.0, 4.0])
    edge = sg.pad(x, ((1, 2), (0, 0)), mode="edge")
    same(
        compiled(edge, {x: np.arange(6.0).reshape(2, 3)}),
        np.pad(np.arange(6.0).reshape(2, 3), ((1, 2), (0, 0)), "edge"),
    )


def test_promotion():
    x, i = symbol("x", 2, "float32"), symbol("i", 2, "int64")
    assert sg.concatenate([x, x]).dtype == np.float32 and sg.concatenate([x, i]).dtype == np.float64
    assert sg.stack([x[0], 1.0]).dtype == np.float32 and sg.hstack([x, 1]).dtype == np.float32
    assert sg.stack([symbol("b", (), bool), 1]).dtype == np.int64
    assert sg.concatenate([x, i], dtype="float32").dtype == np.float32
    g = grad((sg.concatenate([x, x * 2]) ** 2).sum(), x)
    assert g.dtype == np.float32


def test_pad_with_values():
    x, c = symbol("x", (2, 3)), symbol("c")
    for values in (2.5, -0.0, ((1, 2), (3, 4)), (5, 6)):
        same(compiled(sg.pad(x, ((1, 2), (0, 1)), constant_values=values), {x: X[0, :2, :3]}),
             np.pad(X[0, :2, :3], ((1, 2), (0, 1)), constant_values=values))  # fmt: skip
    g = grad(sg.pad(x, 1, constant_values=c).sum(), (x, c))
    same(compiled(g[1], {x: X[0, :2, :3], c: 2.0}), np.float64(14))
    assert np.signbit(compiled(sg.pad(x, 1, constant_values=-0.0), {x: X[0, :2, :3]})[0, 0])


def test_shape_functions():
    x = symbol("x", ("n", 3))
    assert sg.shape(x) == (n, 3) and sg.ndim(x) == 2 and sg.size(x) == 3 * n and sg.size(x, 1) == 3
    assert sg.shape([[1, 2]]) == (1, 2) and sg.broadcast_shapes((2, 1), (3,)) == (2, 3)
    assert sg.unstack(x, axis=1)[2] is x[:, 2]


def test_source():
    x, y = symbol("x", ("n", 3, 4)), symbol("y", (1, 5))
    for build, line in [
        (lambda: x.T, "x.T"), (lambda: x.swapaxes(1, 2), "x.swapaxes(1, 2)"), (lambda: x[..., None], "x[..., None]"),
        (lambda: sg.expand_dims(x, 1), "x[:, None]"), (lambda: sg.expand_dims(x, 0), "x[None]"),
        (lambda: y.squeeze(), "y.squeeze(axis=0)"), (lambda: y.reshape(5, 1), "y.reshape(5, 1)"),
        (lambda: x.ravel(), "x.ravel()"), (lambda: x.reshape(-1, 12), "x.reshape(n, 12)"),
        (lambda: sg.stack([y, y], 1), "np.stack((y, y), axis=1)"),
        (lambda: sg.concatenate([y, y]), "np.concatenate((y, y))"),
        (lambda: sg.flip(x), "x[::-1, ::-1, ::-1]"), (lambda: sg.roll(x, 1, 0), "np.roll(x, 1, axis=0)"),
        (lambda: sg.triu(y, 1), "np.triu(y, k=1)"), (lambda: sg.pad(y, 1), "[1:2, 1:6] = y"),
        (lambda: x[0].diagonal(), ".diagonal()"),
    ]:  # fmt: skip
        z = build()
        source = sg.function([leaf for leaf in toposort([z]) if not leaf.inputs], z).source
        assert line in source, source
