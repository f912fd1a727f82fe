"""`vmap` and `batched`: what they give is what a loop over the rows gives, and no loop is left."""

import ast
import functools

import numpy as np
import pytest

import symgraph as sg
from symgraph import evaluate, function, grad, jvp, symbol
from symgraph.autodiff import batched_jacobian
from symgraph.batching import batched, row_by_row, vmap
from symgraph.core import make, toposort
from symgraph.ops.einsum import contraction
from symgraph.ops.gather import ScatterSet, gather
from symgraph.ops.mapped import MapRows
from symgraph.ops.random import random_draw
from symgraph.testing import check_batching, check_grads, check_sources, check_types

RNG = np.random.default_rng(7)


def of(*shape):
    return RNG.standard_normal(shape)


def values(outputs, given):
    """By the interpreter, checked against every way of compiling."""
    outputs = list(outputs)
    check_types(outputs, given)
    check_sources(list(given), outputs, given)
    return sg.interpret(outputs, given)


def loops(source):
    return [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.For | ast.While | ast.comprehension)]


def step(function):
    """The part of the source that is written for this model."""
    return function.source.split("\n\n\n")[1]


# Transformations together --------------------------------------------------------------------------------------------


def test_a_matrix_times_each_row_is_one_product():
    a, v = symbol("A", (4, 3)), symbol("V", ("n", 3))
    y = vmap(lambda row: a @ row)(v)
    f = function([a, v], y)
    assert step(f).count("@") + step(f).count("dot(") == 1 and not loops(step(f))


def test_nested():
    x, y = symbol("x", ("m", 3)), symbol("y", ("n", 3))
    kernel = lambda a, b: sg.exp(-sg.sum((a - b) ** 2))
    k = vmap(lambda a: vmap(lambda b: kernel(a, b))(y))(x)
    assert str(k.shape) == "(m, n)"
    vx, vy = of(4, 3), of(5, 3)
    expected = np.exp(-((vx[:, None] - vy[None]) ** 2).sum(-1))
    np.testing.assert_allclose(values([k], {x: vx, y: vy})[0], expected, rtol=1e-12)
    turned = vmap(vmap(kernel, in_axes=(None, 0)), in_axes=(0, None), out_axes=1)(x, y)
    np.testing.assert_allclose(values([turned], {x: vx, y: vy})[0], expected.T, rtol=1e-12)


def test_gradients_of_every_example():
    w, b = symbol("W", (3, 2)), symbol("b", (2,))
    x, t = symbol("x", ("batch", 3)), symbol("t", ("batch",), "int64")

    def loss(row, label):
        return -sg.log_softmax(sg.tanh(row @ w) + b)[label]

    each = vmap(lambda row, label: grad(loss(row, label), {"w": w, "b": b}))(x, t)
    given = {w: of(3, 2), b: of(2), x: of(5, 3), t: np.array([0, 1, 1, 0, 1])}
    one, label = symbol("row", (3,)), symbol("label", (), "int64")
    single = list(grad(loss(one, label), {"w": w, "b": b}).values())
    expected = [
        sg.interpret(single, {w: given[w], b: given[b], one: r, label: i})
        for r, i in zip(given[x], given[t], strict=True)
    ]
    found = values([each["w"], each["b"]], given)
    for k in range(2):
        np.testing.assert_allclose(found[k], np.stack([e[k] for e in expected]), rtol=1e-12)
    assert not loops(step(function([w, b, x, t], each)))


def test_the_sum_of_the_gradients_is_the_gradient_of_the_sum():
    w, x = symbol("w", (3,)), symbol("x", ("n", 3))
    loss = lambda row: sg.log1p(sg.exp(row @ w)) + sg.max(row * w)
    whole = grad(sg.sum(vmap(loss)(x)), w)
    parts = sg.sum(vmap(lambda row: grad(loss(row), w))(x), axis=0)
    a, b = values([whole, parts], {w: of(3), x: of(4, 3)})
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_derivatives_of_vmap_against_differences():
    check_grads(lambda x, w: vmap(lambda row: sg.tanh(w @ row) / (1 + sg.sum(row * row)))(x), of(3, 2), of(4, 2))


def test_vmap_of_jvp_and_of_hessian():
    x, v = symbol("x", (3,)), symbol("v", ("n", 3))
    y = sg.sin(x) * sg.sum(x * x)
    pushed = vmap(lambda t: jvp(y, x, t))(v)
    full = vmap(lambda row: sg.hessian(sg.sum(sg.sin(row) * row[0]), row))(v)
    given = {x: of(3), v: of(4, 3)}
    jacobian = evaluate(sg.jacobian(y, x), {x: given[x]})
    found, curved = values([pushed, full], given)
    np.testing.assert_allclose(found, given[v] @ jacobian.T, rtol=1e-12)
    for row, h in zip(given[v], curved, strict=True):
        expected = np.diag(-np.sin(row) * row[0])
        expected[0, :] += np.cos(row)
        expected[:, 0] += np.cos(row)
        np.testing.assert_allclose(h, expected, rtol=1e-12)


def test_a_dense_jacobian_is_computed_without_a_loop():
    w, x = symbol("W", (4, 3)), symbol("x", (3,))
    h = sg.softmax(sg.tanh(w @ x))
    blocks = batched_jacobian(h, [w, x])
    given = {w: of(4, 3), x: of(3)}
    found = values(blocks, given)
    for k, (block, at) in enumerate(zip(found, (w, x), strict=True)):
        for i in np.ndindex(at.shape):
            e = np.zeros(at.shape)
            e[i] = 1e-6
            ends = [evaluate(h, given | {at: given[at] + s * e}) for s in (1, -1)]
            np.testing.assert_allclose(block[(slice(None), *i)], (ends[0] - ends[1]) / 2e-6, atol=1e-8, err_msg=str(k))
    assert not any(isinstance(node.op, MapRows) for node in toposort(blocks))
    assert not loops(step(function([w, x], blocks)))


def test_a_jacobian_where_nothing_depends_on_the_variable_is_zero():
    x, z = symbol("x", (3,)), symbol("z", (2,))
    assert (values(batched_jacobian(sg.sin(x) * z[0] ** 0, [z]), {x: of(3), z: of(2)})[0] == np.zeros((3, 2))).all()


# Ops -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subscripts",
    ["ii->", "ii->i", "i->ii", "ij,jj->i", "i,i,i->i", "ij,kj->ik", "i->ij", "ij,i->iji", "ii,ij->j", "ij,ij->"],
)
def test_contractions(subscripts):
    operands, output = subscripts.split("->")
    labels = operands.split(",")
    arrays = [of(*[3] * len(ls)) for ls in labels]
    check_batching(lambda *xs: contraction(labels, output, xs, dict.fromkeys("ijk", 3)), arrays, thorough=True)


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int32", "bool", "uint8"])
def test_dtypes_stay(dtype):
    x, y = (RNG.integers(0, 3, s).astype(dtype) for s in [(2, 3), (3,)])
    check_batching(lambda a, b: (a * b, sg.sum(a, axis=0), sg.where(a == b, a, b), a[:, ::-1]), (x, y), thorough=True)


@pytest.mark.parametrize(
    "shapes", [((), (3,)), ((2, 1), (3,)), ((1, 3), (2, 1)), ((0, 3), (3,)), ((4, 2, 1), ()), ((), ())]
)
def test_operands_of_different_ranks(shapes):
    a, b = (of(*s) for s in shapes)
    check_batching(lambda x, y: (x - y, sg.where(x > y, x, y), x @ x.T if x.ndim == 2 else x), (a, b), thorough=True)


def test_the_axis_stays_where_it_was():
    x, y = symbol("x", (3, "n")), symbol("y", ("n", 3))
    ((both, at),) = batched([sg.exp(x[:, 0]) * 2], {x[:, 0]: (x, 1)})
    assert both is sg.exp(x) * 2 and at == 1
    total = vmap(lambda c: sg.sum(sg.tanh(c)), in_axes=-1)(x)
    assert total is sg.sum(sg.tanh(x), axis=0)
    mixed = vmap(lambda a, b: a - b, in_axes=(1, 0))(x, y)
    assert mixed is x.T - y


INDICES = [np.array([2, 0, 2]), np.array([0, 1, 0])]


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_writing_at_indices(axes, unique, whole):
    x = of(3, 3, 3)
    indices = [np.array([2, 0, 1]), np.array([0, 1, 2])] if unique else INDICES
    indices = indices[: len(axes)]
    v = of(*[3] * (4 - len(axes))) if whole else of()
    build = lambda x, v, *i: make(ScatterSet(axes, int(unique)), x, v, *i)
    check_batching(build, (x, v, *indices), thorough=True)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 2), (1, 2)])
def test_reading_at_indices(axes):
    x = of(3, 3, 3)
    flat, square = [np.array([2, 0, 2, 1]), np.array([1, 1, 0, -1])], [np.array([[2, 0], [-1, 1]]), np.array([1, 0])]
    for indices in (flat, square, [np.array(1), np.array(2)]):
        chosen = indices[: len(axes)]
        check_batching(lambda x, *i: gather(x, axes, i), (x, *chosen), thorough=True)
        check_batching(
            lambda x, *i: grad(sg.sum(gather(x, axes, i) ** 2 * x[0, 0, 0]), x), (x, *chosen)
        )  # which adds at indices


@pytest.mark.parametrize("shapes", [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 2)), ((3, 3), (4, 3, 2)), ((2, 3, 3), (1, 3, 2))])  # fmt: skip
def test_linear_systems(shapes):
    a, b = of(*shapes[0]) + 4 * np.eye(3), of(*shapes[1])
    check_batching(sg.solve, (a, b), thorough=True, rtol=1e-9)
    a, b = symbol("a", shapes[0]), symbol("b", ("n", *shapes[1]))
    (node,) = [n for n in toposort([vmap(lambda r: sg.solve(a, r))(b)]) if n.op.name == "solve"]
    assert node.inputs[0] is a, "one matrix for the whole batch"


def test_several_outputs():
    a = of(4, 3)
    check_batching(lambda m: sg.qr(m), (a,), thorough=True)
    check_batching(lambda m: (sg.eigh(m.T @ m)[0], sg.slogdet(m.T @ m)), (a,), thorough=True, rtol=1e-9)
    check_batching(lambda m: grad(sg.sum(sg.qr(m).R), m), (a,), rtol=1e-8)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolutions(mode):
    check_batching(lambda a, v: (sg.convolve(a, v, mode), sg.correlate(v, a, mode)), (of(6), of(3)), thorough=True)
    a, v = symbol("a", ("b", "n")), symbol("v", (3,))
    y = vmap(lambda row: sg.convolve(row, v))(a)
    given = {a: of(2, 5), v: of(3)}
    (found,) = values([y], given)
    np.testing.assert_allclose(found, np.stack([np.convolve(r, given[v]) for r in given[a]]), rtol=1e-12)
    with row_by_row() as looped:
        vmap(sg.convolve)(a, symbol("w", ("b", "m")))
    assert [op.name for op in looped] == ["convolve"]


def test_images_with_filters_of_their_own():
    check_batching(lambda x, w: sg.conv2d(x, w), (of(2, 3, 5, 5), of(2, 3, 3, 3)), thorough=True)
    check_batching(lambda x, w: grad(sg.sum(sg.conv2d(x, w) ** 2), [x, w]), (of(1, 2, 4, 4), of(3, 2, 2, 2)))


# Bodies, draws, checkpoints ------------------------------------------------------------------------------------------


def test_a_predicate_of_each_row_chooses_without_leaking():
    x = symbol("x", ("n",))
    root = lambda a: sg.cond(a > 0, lambda: (sg.sqrt(a), a), lambda: (sg.exp(a), 0.0))
    y, same = vmap(root)(x)
    given = {x: np.array([4.0, -1.0, 0.0])}
    slope = grad(sg.sum(y), x)
    found = values([y, same, slope], given)
    np.testing.assert_allclose(found[0], [2, np.exp(-1), 1])
    np.testing.assert_allclose(found[1], [4, 0, 0])
    np.testing.assert_allclose(found[2], [0.25, np.exp(-1), 1])


def test_one_predicate_for_all_rows_stays_a_branch():
    p, x, b = symbol("p", (), "bool"), symbol("x", ("n", 3)), symbol("b", (3,))
    y, z = vmap(lambda row: sg.cond(p, lambda: (row * 2, b), lambda: (b, b + 1)))(x)
    assert [node.op.name for node in toposort([y, z])].count("cond") == 1
    for taken in (True, False):
        given = {p: np.array(taken), x: of(4, 3), b: of(3)}
        found = values([y, z], given)
        np.testing.assert_array_equal(found[0], given[x] * 2 if taken else np.tile(given[b], (4, 1)))
        np.testing.assert_array_equal(found[1], np.tile(given[b] + (not taken), (4, 1)))


def test_a_loop_over_rows_stays_one_loop():
    x, w = symbol("x", ("n", 4, 3)), symbol("w", (3,))
    y, z = vmap(lambda m: sg.map_rows(lambda row: (sg.tanh(row * w), sg.sum(w)), m))(x)
    looping = [node for node in toposort([y, z]) if isinstance(node.op, MapRows)]
    assert len(looping) == 1 and not any(isinstance(n.op, MapRows) for n in toposort(looping[0].op.body.outputs))
    given = {x: of(2, 4, 3), w: of(3)}
    found = values([y, z], given)
    np.testing.assert_allclose(found[0], np.tanh(given[x] * given[w]), rtol=1e-12)
    np.testing.assert_allclose(found[1], np.full((2, 4), given[w].sum()), rtol=1e-12)


def test_a_loop_is_told_the_sizes_that_its_body_uses():
    state, x = symbol("state", ("b", 2), "uint64"), symbol("x", ("b", "n"))
    y = vmap(lambda key, row: row + random_draw("random", key, 2, row.shape))(state, x)
    given = {state: np.array([[1, 2], [3, 4]], np.uint64), x: of(2, 3)}
    expected = np.stack([r + np.random.default_rng((*k, 2)).random(3) for k, r in zip(given[state], given[x])])
    np.testing.assert_allclose(values([y], given)[0], expected, rtol=1e-15)


def test_a_draw_inside_is_one_draw():
    rng = sg.random.RandomState(3)
    x = symbol("x", ("n", 2))
    y = function([x], vmap(lambda row: row + rng.normal(shape=(2,)))(x))(np.zeros((4, 2)))
    assert (y == y[0]).all() and (y[0] != 0).all()


def test_checkpoints_are_kept():
    x = symbol("x", ("n", 3))
    y = vmap(lambda row: grad(sg.sum(sg.checkpoint(lambda h: sg.tanh(sg.tanh(h)))(row) ** 2), row))(x)
    assert any(node.op.name == "barrier" for node in toposort([y]))
    given = {x: of(2, 3)}
    inner, outer = np.tanh(given[x]), np.tanh(np.tanh(given[x]))
    np.testing.assert_allclose(values([y], given)[0], 2 * outer * (1 - outer**2) * (1 - inner**2), rtol=1e-12)


def test_ops_without_a_rule_are_named():
    state, x = symbol("state", ("n", 2), "uint64"), symbol("x", (2,))
    row = symbol("row", (2,), "uint64")
    y = random_draw("random", row, 1, (3,))
    looped = []
    ((many, at), (same, none)) = batched([y, x], {row: (state, 0)}, looped)
    assert [op.name for op in looped] == ["draw"] and at == 0 and same is x and none is None
    keys = np.array([[1, 2], [3, 4]], np.uint64)
    expected = [np.random.default_rng((*k, 1)).random(3) for k in keys]
    np.testing.assert_array_equal(evaluate(many, {state: keys}), expected)


# Graphs --------------------------------------------------------------------------------------------------------------


def test_what_does_not_depend_on_the_batch_is_the_same_object():
    x, w, rows = symbol("x", (3,)), symbol("w", (3,)), symbol("rows", ("n", 3))
    shared = sg.exp(w)
    (a, at), (b, none) = batched([x * shared, shared], {x: (rows, 0)})
    assert a is rows * shared and at == 0 and b is shared and none is None
    ((c, place),) = batched([x * shared], {x: (w, None)})
    assert c is w * shared and place is None


def test_shared_parts_are_built_once():
    x = symbol("x", ("n",))

    def doubling(row):
        for _ in range(200):
            row = sg.sin(row) + row * row
        return row

    assert len(toposort([vmap(doubling)(x)])) == 1 + 3 * 200


def test_long_chains_are_linear():
    x, row = symbol("x", ("n",)), symbol("row")
    y = row
    for _ in range(50_000):
        y = sg.sin(y)
    ((many, at),) = batched([y], {row: (x, 0)})
    assert at == 0 and len(toposort([many])) == 50_001


def test_one_tensor_for_two_arguments():
    x = symbol("x", ("n", 3))
    assert vmap(lambda a, b: a * b)(x, x) is x * x
    outer = vmap(lambda a, b: sg.sum(a) * b, in_axes=(0, None))(x, x)
    v = of(2, 3)
    np.testing.assert_allclose(values([outer], {x: v})[0], v.sum(1)[:, None, None] * v, rtol=1e-12)


def test_names_and_lines_are_kept():
    x = symbol("x", ("n", 3))
    y = vmap(lambda row: sg.sum(sg.named(sg.tanh(row), "hidden") ** 2))(x)
    hidden = y.inputs[0].inputs[0]
    assert hidden.name == "hidden" and hidden.where is not None
    assert "hidden = " in function([x], [y, hidden], style="plain").source


# vmap: arguments and results -----------------------------------------------------------------------------------------


def test_nestings_and_axes():
    x, y = symbol("x", (3, "n")), symbol("y", ("n", 2))
    seen = {}

    def each(pair, scale, *, mode, extra):
        seen.update(mode=mode, scale=scale)
        return {"a": [pair["x"].sum() * scale, extra], "b": (pair["y"], 1.0)}

    bound = functools.partial(each, mode="sum")
    out = vmap(bound, in_axes=({"x": 1, "y": 0}, None), out_axes={"a": 0, "b": (-1, None)})(
        {"x": x, "y": y}, 3, extra=np.arange(4.0)[:, None] * np.ones(2)
    )
    assert seen == {"mode": "sum", "scale": 3}
    given = {x: of(3, 4), y: of(4, 2)}
    total, extra, turned, one = sg.interpret([*out["a"], *out["b"]], given)
    np.testing.assert_allclose(total, given[x].sum(0) * 3)
    np.testing.assert_array_equal(extra, np.arange(4.0)[:, None] * np.ones(2))
    np.testing.assert_array_equal(turned, given[y].T)
    assert one.shape == () and one == 1


def test_a_result_that_no_row_changes_is_repeated():
    x, w = symbol("x", ("n", 3), "float32"), symbol("w", (2,), "float32")
    many, number = vmap(lambda row: (w, 2), out_axes=(1, 0))(x)
    assert str(many.shape) == "(2, n)" and many.dtype == np.float32 and str(number.shape) == "(n,)"
    found = values([many, number], {x: np.zeros((3, 3), np.float32), w: np.array([1, 2], np.float32)})
    np.testing.assert_array_equal(found[0], [[1, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal(found[1], [2, 2, 2])


def test_arrays_become_constants_and_keep_their_dtype():
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = vmap(lambda row, k: row * k)(rows, np.array([1, 2], np.int8))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(evaluate(y, {}), rows * [[1], [2]])


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_batch_of_symbolic_size(n):
    w, x = symbol("w", (3,)), symbol("x", ("n", 3))
    y = vmap(lambda row: grad(sg.logsumexp(row * w) + sg.prod(row), row))(x)
    f = function([w, x], y)
    vw, vx = of(3), of(n, 3)
    e = np.exp(vx * vw)
    others = np.stack([vx[:, 1] * vx[:, 2], vx[:, 0] * vx[:, 2], vx[:, 0] * vx[:, 1]], axis=1)
    np.testing.assert_allclose(f(vw, vx), vw * e / e.sum(1, keepdims=True) + others, rtol=1e-10)


def test_sizes_that_are_compared_at_the_call():
    x, y = symbol("x", ("n", 3)), symbol("y", ("m",))
    f = function([x, y], vmap(lambda a, b: (a.sum(), b * 2))(x, y))
    np.testing.assert_array_equal(f(np.ones((2, 3)), np.ones(2))[1], [2, 2])
    with pytest.raises(sg.ShapeError, match="x has n=2 but y has m=3"):
        f(np.ones((2, 3)), np.ones(3))
    fixed = symbol("z", (4, 3))
    assert vmap(lambda a, b: a * b)(fixed, y).shape == (4, 3)


X, N = symbol("x", (2, 3)), symbol("k", (), "int64")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: vmap(lambda a: a, in_axes=None)(X), "no argument is mapped"),
        (lambda: vmap(lambda: X)(), "no argument is mapped"),
        (lambda: vmap(lambda a: a, in_axes=2)(X), r"axis 2 of args\[0\] is out of range for 2 axes \(from -2 to 1\)"),
        (lambda: vmap(lambda a, b: a, in_axes=(0, -3))(X, [X]), r"axis -3 of args\[1\]\[0\] is out of range"),
        (lambda: vmap(lambda a, b: a)(X, N), r"axis 0 of args\[1\] is out of range for 0 axes.*use None"),
        (lambda: vmap(lambda a, k: a)(X, k=1), "axis 0 of|positional"),
        (lambda: vmap(lambda a, b: a, in_axes=(0, 1))(X, {"u": X}), r"2 in args\[0\], 3 in args\[1\]\['u'\]"),
        (lambda: vmap(lambda a: a, in_axes=(0, 0))(X), r"in_axes=\(0, 0\) does not fit arguments"),
        (lambda: vmap(lambda a: a, in_axes=({"v": 0},))({"u": X}), r"in_axes\[0\]=\{'v': 0\} does not fit"),
        (lambda: vmap(lambda a: a, out_axes=[0])(X), r"out_axes=\[0\] does not fit the result"),
        (lambda: vmap(lambda a: a, out_axes=2)(X), "out_axes: axis 2 of the result is out of range for 2 axes"),
        (lambda: vmap(lambda a: a, out_axes=None)(X), "out_axes=None is for results that no row changes"),
    ],
)
def test_mistakes(call, says):
    with pytest.raises(sg.ShapeError, match=says) as caught:
        call()
    assert "test_batching.py" in str(caught.value)


def test_mistakes_of_type():
    with pytest.raises(ValueError, match=r"in_axes=1\.5 is not an axis"):
        vmap(lambda a: a, in_axes=1.5)(X)
    with pytest.raises(ValueError, match=r"in_axes\[0\]=True is not an axis"):
        vmap(lambda a: a, in_axes=(True,))(X)
    with pytest.raises(TypeError, match=r"result\['a'\] of the function is not a tensor"):
        vmap(lambda a: {"a": None})(X)
