"""Random graphs: every source agrees with the naive interpreter, every gradient with central differences.

The differentiation is with respect to *every* node of the graph, so a wrong cotangent anywhere is seen where it arises.
"""

import numpy as np
import pytest

import symgraph as sg
from codegen import fast
from symgraph.core import substitute_all, symbol, toposort
from symgraph.dtypes import is_inexact
from symgraph.interpreter import interpret
from symgraph.ops.late import F
from symgraph.testing import check_batching, check_derivatives, check_sources, check_types
from symgraph.testing.gradients import central_differences

UNARY = [
    sg.sin, sg.tanh, sg.sigmoid, sg.softplus, sg.square, sg.arctan, sg.negative, sg.abs, sg.relu, sg.cosh,
    lambda x: sg.exp(-x * x),
    lambda x: sg.sqrt(1 + x * x),
    lambda x: sg.log(1 + sg.exp(x)),
    lambda x: sg.log1p(x * x),
    lambda x: 1 / (2 + sg.cos(x)),
    lambda x: x**3 / 3,
    lambda x: sg.where(x > 0.3, x, 0.25 * x * x),
    lambda x: sg.where(x > 0, sg.sqrt(sg.maximum(x, 0.01)), 0),
    lambda x: sg.clip(x, -1.1, 0.9),
    lambda x: sg.expm1(0.5 * x),
]  # fmt: skip
BINARY = [
    sg.add, sg.subtract, sg.multiply, sg.maximum, sg.minimum, sg.add, sg.multiply, sg.hypot, sg.logaddexp,
    lambda x, y: x / (1.5 + y * y),
    lambda x, y: sg.where(x < y, x * y, x - y),
    lambda x, y: (1 + x * x) ** sg.tanh(y),
    lambda x, y: sg.arctan2(x, 2 + y * y),
]  # fmt: skip


def reduced(rng, x):
    if x.ndim == 0:
        return x
    axis = [None, int(rng.integers(x.ndim)), -1][rng.integers(3)]
    op = [sg.sum, sg.mean, sg.max, sg.min, sg.logsumexp, sg.prod, sg.var, F.norm][rng.integers(8)]
    if op is F.norm and axis is None:
        axis = 0
    return op(x, axis=axis, keepdims=bool(rng.integers(2)))


def reshaped(rng, x):
    choice = rng.integers(10)
    if choice == 0 or x.ndim == 0:
        return sg.reshape(x, (1, *x.shape))
    if choice == 1:
        return x.T
    if choice == 2:
        return x[::-1]
    if choice == 3:
        return x[..., 1:] if x.shape[-1] > 1 else x
    if choice == 4:
        return x[int(rng.integers(x.shape[0]))]
    if choice == 5:
        return sg.concatenate([x, 2 * x], axis=int(rng.integers(x.ndim)))
    if choice == 6:
        return x[rng.integers(0, x.shape[0], 3)]
    if choice == 7:
        return sg.cumsum(x, axis=-1)
    if choice == 8:
        return sg.ravel(x)
    return sg.softmax(x, axis=-1)


def grow(seed, steps):
    """Leaves and a pool of nodes, each made from earlier ones."""
    rng = np.random.default_rng(seed)
    shapes = [(3, 4), (4,), (3, 1), (), (4, 3), (3, 4)]
    leaves = [symbol(name, shape) for name, shape in zip("abcdef", shapes, strict=True)]
    pool = list(leaves)
    for _ in range(steps):
        x, y = (pool[min(len(pool) - 1, int(len(pool) * rng.beta(2.0, 1.0)))] for _ in range(2))
        kind = rng.integers(8)
        try:
            if kind <= 2:
                z = UNARY[rng.integers(len(UNARY))](x)
            elif kind <= 4:
                z = BINARY[rng.integers(len(BINARY))](x, y)
            elif kind == 5:
                z = reduced(rng, x)
            elif kind == 6:
                z = reshaped(rng, x)
            else:
                z = x @ y / 2
        except sg.ShapeError:
            continue
        if int(np.prod(z.shape)) <= 200 and z.ndim <= 3:
            pool.append(z)
    values = {x: rng.uniform(-1.2, 1.2, x.shape) for x in leaves}
    return leaves, pool, values


def tamed(pool, values):
    """The nodes whose values are moderate, so that differences of them mean something."""
    numbers = interpret(pool, values)
    return [
        x for x, v in zip(pool, numbers, strict=True) if np.all(np.isfinite(v)) and np.max(np.abs(v), initial=0) < 30
    ]


def scalar_of(nodes):
    total = 0
    for i, x in enumerate(nodes):
        total = total + sg.sum(x * (0.5 + 0.1 * i)) if is_inexact(x.dtype) else total
    return total


@pytest.mark.parametrize("seed", range(30))
def test_every_source_agrees_with_the_interpreter(seed):
    leaves, pool, values = grow(seed, 25)
    good = tamed(pool, values)
    outputs = good[-4:]
    check_types(outputs, values)
    check_sources(leaves, outputs, values)
    loss = scalar_of(outputs)
    gradients = sg.vjp(loss, leaves, 1.0, unused="zero")
    check_types(gradients, values)
    check_sources(leaves, [loss, *gradients], values, rtol=1e-8)


def has_kink(loss, node, direction, known):
    """Whether the slopes to the left and to the right differ, however small the step."""

    def jump(step):
        at = [interpret([loss], {**known, node: known[node] + k * step * direction})[0] for k in (-1, 0, 1)]
        return abs(at[0] - 2 * at[1] + at[2]) / step

    return jump(1e-3) > 1e-6 and jump(1e-4) > 0.5 * jump(1e-3)


@pytest.mark.parametrize("seed", range(100, 130))
def test_the_gradient_of_every_node_agrees_with_differences(seed):
    _, pool, values = grow(seed, 18)
    good = tamed(pool, values)
    loss = scalar_of(good[-3:])
    numbers = dict(zip(toposort([loss]), interpret(toposort([loss]), values), strict=True))
    rng = np.random.default_rng(seed)
    checked = 0
    for node in toposort([loss]):
        if not is_inexact(node.dtype) or (not node.leafy):
            continue
        direction = rng.uniform(0.5, 1, np.shape(numbers[node])) * rng.choice([-1, 1], np.shape(numbers[node]))
        known = {**values, node: numbers[node]}
        if has_kink(loss, node, direction, known):  # such as relu(relu(x)), which starts at the corner
            continue
        checked += 1
        (expected,) = central_differences([loss], {node: direction}, known)
        (by_vjp,) = interpret([sg.sum(sg.vjp(loss, node, 1.0) * direction)], values)
        (by_jvp,) = interpret([sg.jvp(loss, node, direction)], values)
        where = f"seed {seed}, {node.op!r} {node.shape} made at {node.where}"
        np.testing.assert_allclose(by_vjp, by_jvp, rtol=1e-8, atol=1e-9, err_msg=where)
        np.testing.assert_allclose(by_vjp, expected, rtol=1e-5, atol=1e-6, err_msg=where)
    assert checked > len(numbers) // 3


@pytest.mark.parametrize("seed", range(200, 212))
def test_second_order_of_random_graphs(seed):
    leaves, pool, values = grow(seed, 10)
    good = tamed(pool, values)
    loss = scalar_of(good[-2:])
    wrt = [x for x in leaves if x in set(toposort([loss]))]
    if wrt:
        check_derivatives([loss], wrt, values, order=2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(300, 310))
def test_second_derivatives_compile(seed):
    leaves, pool, values = grow(seed, 14)
    good = tamed(pool, values)
    loss = scalar_of(good[-2:])
    wrt = [x for x in leaves if x in set(toposort([loss]))]
    if wrt:
        first = sg.grad(loss, wrt)
        second = sg.vjp(first, wrt, [np.ones(x.shape) for x in wrt], unused="zero")
        check_sources(leaves, [loss, *first, *second], values, rtol=1e-7)


@pytest.mark.parametrize("seed", range(400, 406))
def test_single_precision_graphs_agree(seed):
    rng = np.random.default_rng(seed)
    a, b = symbol("a", (3, 4), "float32"), symbol("b", (4,), "float32")
    y = a
    for _ in range(6):
        y = UNARY[rng.integers(len(UNARY))](y) + b * 0.5
    loss = sg.mean(y)
    gradients = sg.grad(loss, [a, b], unused="zero")
    assert loss.dtype == np.float32 and all(g.dtype == np.float32 for g in gradients)
    values = {a: rng.uniform(-1, 1, (3, 4)).astype("f"), b: rng.uniform(-1, 1, 4).astype("f")}
    check_types([loss, *gradients], values)
    check_sources([a, b], [loss, *gradients], values, rtol=1e-4)


@pytest.mark.parametrize("seed", range(100, 130))
def test_loops_over_blocks_of_one_or_two_rows_agree(seed, monkeypatch):
    """Every group of steps as a loop, on arrays that would be too small for one, in blocks of very few rows."""
    monkeypatch.setattr(fast, "LARGE", 0)
    monkeypatch.setattr(fast, "MANY", 1)
    monkeypatch.setattr(fast, "TILE", 8 * (4 if seed % 2 else 8))
    leaves, pool, values = grow(seed, 25)
    outputs = tamed(pool, values)[-4:]
    loss = scalar_of(outputs)
    gradients = sg.vjp(loss, leaves, 1.0, unused="zero")
    check_sources(leaves, [*outputs, loss, *gradients], values, rtol=1e-8)


@pytest.mark.parametrize("seed", range(500, 512))
def test_a_batch_agrees_with_a_loop_over_its_rows(seed):
    leaves, pool, values = grow(seed, 20)
    good = tamed(pool, values)
    loss = scalar_of(good[-3:])
    outputs = [*good[-3:], *sg.vjp(loss, leaves, 1.0, unused="zero")]
    build = lambda *xs: substitute_all(outputs, dict(zip(leaves, xs, strict=True)))
    check_batching(build, [values[x] for x in leaves], thorough=seed % 3 == 0, rtol=1e-8)
