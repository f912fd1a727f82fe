"""Random programs: every form of a Hessian, and all that is answered from it, agrees with products with all unit vectors.

All axes have one of very few sizes, so that labels that were mixed up show as wrong numbers and not as errors. A program is
a list of steps, which is run on leaves of fixed sizes, of symbolic ones, in single precision, and on rows of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.sparse import csr_array

import symgraph as sg
from symgraph.autodiff import batched_jacobian
from symgraph.core import substitute_all, toposort
from symgraph.errors import GradientError
from symgraph.interpreter import interpret
from symgraph.structured.derive import HESSIAN_MODES

N = 3
MORE = 1
"""How many times as many programs to try; 14 takes four minutes."""

SHAPES = {"x": (N,), "A": (N, N), "B": (N, N), "c": (N, 1), "r": (1, N), "s": ()}
TOGETHER = 3
"""The most variables at a time."""
SIZES = {name: tuple("n" if k == N else k for k in shape) for name, shape in SHAPES.items()}
MODES = (None, *HESSIAN_MODES)

UNARY = [
    sg.sin, sg.tanh, sg.sigmoid, sg.relu, sg.abs, sg.negative, sg.square,
    lambda x: sg.exp(-0.3 * x),
    lambda x: x**3 / 3,
    lambda x: sg.clip(x, -0.9, 1.1),
    lambda x: 1 / (2 + sg.cos(x)),
    lambda x: sg.sqrt(1 + x * x),
    lambda x: 0.5 * x + 1,
    lambda x: sg.where(x > 0.2, x * x, sg.sin(x)),
    lambda x: sg.where(x > 0.5, sg.log(sg.where(x > 0.5, x, 1)) * x, 0.3),
]  # fmt: skip
BINARY = [
    sg.add, sg.subtract, sg.multiply, sg.multiply, sg.maximum, sg.minimum, sg.matmul, sg.matmul, sg.outer,
    sg.hypot, sg.logaddexp,
    lambda x, y: x @ y.T,
    lambda x, y: x / (1.5 + y * y),
    lambda x, y: sg.where(x < y, x * y, x - y),
    lambda x, y: (1 + x * x) ** sg.tanh(y),
]  # fmt: skip


@dataclass
class Step:
    """`function` of the values at `operands` of the pool, which has the leaves first."""

    function: Callable
    operands: tuple[int, ...]


def contraction(rng, x, y):
    """An einsum over few labels, which repeat in operands and in the output wherever the sizes allow it."""
    a, b = ("".join(rng.choice(list("ijk"), t.ndim)) for t in (x, y))
    known = sorted(set(a + b))
    output = "".join(rng.permutation([k for k in known if rng.integers(3)]))[:2]
    if rng.integers(4):
        return lambda x, y: sg.einsum(f"{a},{b}->{output}", x, y)
    return lambda x, y: sg.einsum(f"{a},{b},{a}->{output}", x, y, x)


def movement(rng, shape):
    """A step that moves values of such a shape, or reduces them along an axis."""
    if not shape:
        return [lambda x: sg.stack([x, x * x, sg.sin(x)]), lambda x: x[None, None]][rng.integers(2)]
    axis = int(rng.integers(len(shape)))
    before, after, shift = (int(k) for k in rng.integers(0, 3, 3))
    place, rows = int(rng.integers(shape[axis])), rng.integers(0, shape[axis], 3)
    order = tuple(int(k) for k in rng.permutation(len(shape)))
    keep = bool(rng.integers(2))
    widths = [(before, after) if k == axis else (0, 0) for k in range(len(shape))]
    key = lambda item: (*[slice(None)] * axis, item)
    found = [
        lambda x: x[key(slice(1, None))],
        lambda x: x[key(slice(None, None, -1))],
        lambda x: x[key(slice(None, None, 2))],
        lambda x: x[key(slice(None, 1))],
        lambda x: x[key(slice(None, -1))] * x[key(slice(1, None))],
        lambda x: x[key(slice(None, None, -2))][key(slice(None, None, -1))],
        lambda x: x[key(place)],
        lambda x: sg.pad(x, widths),
        lambda x: sg.concatenate([x, 2 * x * x], axis=axis),
        lambda x: sg.stack([x, sg.sin(x), x], axis=axis),
        lambda x: sg.reshape(x, (-1,)),
        lambda x: sg.roll(x, shift - 1, axis=axis),
        lambda x: x[key(rows)],
        lambda x: sg.diag(x) if x.ndim <= 2 else sg.diagonal(x),
        lambda x: sg.tril(x) if x.ndim > 1 else sg.diag(x),
        lambda x: sg.softmax(x, axis=axis),
        lambda x: sg.logsumexp(x, axis=axis, keepdims=keep),
        lambda x: sg.linalg.norm(x, axis=axis, keepdims=keep),
        lambda x: sg.cumsum(x, axis=axis),
        lambda x: sg.transpose(x, order),
        lambda x: sg.mean(x, axis=axis, keepdims=keep),
        lambda x: sg.max(x, axis=axis, keepdims=keep),
        lambda x: sg.prod(x, axis=axis, keepdims=keep),
        lambda x: sg.linalg.solve(3 * np.eye(N, dtype=x.dtype) + sg.sin(x), x),
        lambda x: sg.reshape(x, (x.shape[0] * N, -1)) if x.ndim > 2 else sg.reshape(x, (-1, 1, N)),
    ]  # fmt: skip
    return found[rng.integers(len(found))]


def leaves_of(shapes=SHAPES, dtype="float64"):
    return [sg.symbol(name, shape, dtype) for name, shape in shapes.items()]


def applied(steps, pool):
    pool = list(pool)
    for step in steps:
        pool.append(step.function(*[pool[i] for i in step.operands]))
    return pool


def program(rng, count, sizes=SHAPES):
    """Steps that work on leaves of fixed sizes and on others, and keep values moderate; values of the leaves."""
    pool, other = leaves_of(), leaves_of(sizes)
    numbers = [rng.uniform(-1.3, 1.3, shape) for shape in SHAPES.values()]
    given, values = dict(zip(pool, numbers, strict=True)), list(numbers)
    pool, steps = list(pool), []
    while len(steps) < count:
        late = int(len(pool) * rng.beta(2, 1))
        operands = late, int(rng.integers(len(pool)))
        x, y = (values[i] for i in operands)
        kind = rng.integers(10)
        if kind < 2:
            step = Step(UNARY[rng.integers(len(UNARY))], operands[:1])
        elif kind < 5:
            step = Step(BINARY[rng.integers(len(BINARY))], operands)
        elif kind < 6:
            step = Step(contraction(rng, x, y), operands)
        else:
            step = Step(movement(rng, x.shape), operands[:1])
        try:
            (*_, z), (*_, also) = applied([step], pool), applied([step], other)
            (value,) = interpret([z], given)
        except (sg.ShapeError, ValueError):  # what does not fit, or is said by sizes that are not known
            continue
        if z not in set(pool) and value.ndim <= 3 and 0 < value.size <= 60 and np.max(np.abs(value)) < 20:
            pool.append(z)
            other.append(also)
            values.append(value)
            steps.append(step)
    return steps, numbers


def loss_of(pool):
    """A scalar that bends in the last three nodes."""
    a, b, c = pool[-3:]
    return sg.sum(sg.sin(a) * a) + sg.sum(b * b) + sg.sum(0.5 * b) * sg.sum(sg.tanh(c)) + sg.sum(c) ** 2 / 4


def reference(loss, variables, given):
    """All blocks, by products with the rows of identity matrices."""
    gradients = sg.grad(loss, variables, unused="zero")
    return [interpret(batched_jacobian(g, variables), given) for g in gradients]


def answers(block, expected, rng, square):
    """What is asked of a block, with what it must be."""
    m, n = block.row_shape, block.column_shape
    shapes = expected.shape[len(m) :], expected.shape[: len(m)]
    v, u = (rng.uniform(-1, 1, shape).astype(expected.dtype) for shape in shapes)
    yield block, expected
    yield block.matvec(sg.constant(v)), np.tensordot(expected, v, len(n))
    yield block.rmatvec(sg.constant(u)), np.tensordot(u, expected, len(m))
    if square and m:
        flat = expected.reshape(u.size, u.size)
        yield block.diagonal(), np.diag(flat).reshape(u.shape)
        yield block.trace(), np.trace(flat)


def chosen(rng, loss, leaves, pool):
    """The variables: leaves, or a node between."""
    reached = set(toposort([loss]))
    inner = [x for x in pool if x in reached and x.ndim < 2 and x not in set(leaves)]
    known = [x for x in leaves if x in reached]
    if inner and not rng.integers(4):
        return [inner[rng.integers(len(inner))]]
    return [known[i] for i in rng.permutation(len(known))[: rng.integers(1, 1 + TOGETHER)]]


def agree(found, expected, what, rtol=1e-9):
    assert np.shape(found) == np.shape(expected), what
    scale = np.max(np.abs(expected), initial=1)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale, err_msg=what)


def forms(loss, variables):
    """The Hessian in every form that can be written."""
    for mode in MODES:
        try:
            yield mode, sg.hessian(loss, variables, mode)
        except GradientError as error:
            assert mode == "edge-pushing" and "cannot be written" in str(error)


def check_forms(rng, loss, variables, given, dtype=np.float64, rtol=1e-9):
    expected = reference(loss, variables, given)
    found, wanted, where = [], [], []
    for mode, blocks in forms(loss, variables):
        for i, row in enumerate(blocks):
            for j, block in enumerate(row):
                assert block.dtype == dtype
                for answer, value in answers(block, expected[i][j], rng, i == j):
                    found.append(answer)
                    wanted.append(value)
                    where.append(f"block {i}, {j}, {mode}: {answer.op.name}\n{block}")
    for value, e, what in zip(interpret(found, given), wanted, where, strict=True):
        agree(value, e, what, rtol)
    return found, wanted


@pytest.mark.parametrize("seed", range(8 * MORE))
def test_every_form_agrees_with_all_unit_vectors(seed):
    rng = np.random.default_rng(seed)
    steps, numbers = program(rng, int(rng.integers(3, 12)))
    leaves = leaves_of()
    pool = applied(steps, leaves)
    given = dict(zip(leaves, numbers, strict=True))
    loss = loss_of(pool)
    check_forms(rng, loss, chosen(rng, loss, leaves, pool), given)


@pytest.mark.parametrize("seed", range(1000, 1000 + 3 * MORE))
def test_every_source_agrees(seed):
    rng = np.random.default_rng(seed)
    steps, numbers = program(rng, 7)
    leaves = leaves_of()
    pool = applied(steps, leaves)
    given = dict(zip(leaves, numbers, strict=True))
    loss = loss_of(pool)
    found, wanted = check_forms(rng, loss, chosen(rng, loss, leaves, pool), given)
    picked = rng.permutation(len(found))[:8]
    outputs = [loss, *[found[i] for i in picked]]
    reached = set(toposort(outputs))
    inputs = {x: v for x, v in given.items() if x in reached}
    for style, optimize in (("fast", True), ("plain", True), ("plain", False)):
        f = sg.function(list(inputs), outputs, style=style, optimize=optimize)
        for value, i in zip(f(*inputs.values())[1:], picked, strict=True):
            agree(value, wanted[i], f"{style}, {optimize}\n{f.source}")


@pytest.mark.parametrize("seed", range(2000, 2000 + 4 * MORE))
def test_jacobians_and_sparse_matrices(seed):
    rng = np.random.default_rng(seed)
    steps, numbers = program(rng, 6)
    leaves = leaves_of()
    pool = applied(steps, leaves)
    given = dict(zip(leaves, numbers, strict=True))
    (x,) = chosen(rng, loss_of(pool), leaves, pool)[:1]
    y = next(node for node in reversed(pool) if node is not x)
    (expected,) = interpret(batched_jacobian(y, [x]), given)
    for mode in (None, "forward", "reverse"):
        J = sg.jacobian(y, x, mode)
        matrix = J.csr()
        parts = interpret([*[a for a, _ in answers(J, expected, rng, False)], matrix.data], given)
        agree(parts[0], expected, f"{mode}\n{J}")
        full = csr_array((parts[-1], matrix.indices, matrix.indptr), shape=matrix.shape).toarray()
        agree(full.reshape(expected.shape), expected, f"csr, {mode}\n{J}")
        for answer, value in answers(J, expected, rng, False):
            agree(interpret([answer], given)[0], value, f"{mode}\n{J}")


@pytest.mark.parametrize("seed", range(3000, 3000 + 2 * MORE))
def test_single_precision(seed):
    rng = np.random.default_rng(seed)
    steps, numbers = program(rng, 6)
    leaves = leaves_of(dtype="float32")
    pool = applied(steps, leaves)
    loss = loss_of(pool)
    assert loss.dtype == np.float32
    given = {x: v.astype("f") for x, v in zip(leaves, numbers, strict=True)}
    check_forms(rng, loss, chosen(rng, loss, leaves, pool), given, np.float32, 1e-3)


@pytest.mark.parametrize("seed", range(4000, 4000 + 3 * MORE))
def test_rows_of_a_batch_and_third_derivatives(seed):
    """vmap of a Hessian is the Hessian of every row; derivatives of it are those of the dense one."""
    rng = np.random.default_rng(seed)
    steps, numbers = program(rng, 5)
    leaves = leaves_of()
    loss = loss_of(applied(steps, leaves))
    others = dict(zip(leaves[1:], numbers[1:], strict=True))
    x, rows = leaves[0], rng.uniform(-1, 1, (4, N))
    hessian = lambda r: sg.hessian(substitute_all([loss], {x: r})[0], r)
    X = sg.symbol("X", (4, N))
    batches = [
        sg.vmap(hessian)(X),
        sg.vmap(lambda r: hessian(r).diagonal())(X),
        sg.vmap(lambda r: hessian(r).trace())(X),
    ]
    found = interpret(batches, {X: rows, **others})
    H = hessian(x)
    (dense,) = batched_jacobian(sg.grad(loss, x, unused="zero"), [x])
    (third,) = batched_jacobian(dense, [x])
    v = rng.uniform(-1, 1, N)
    derived = [sg.jacobian(H, x), sg.vjp(H.trace(), x, 1.0, "zero"), sg.jacobian(H.matvec(v), x), sg.laplacian(loss, x)]
    for k, row in enumerate(rows):
        given = {x: row, **others}
        flat, full, *values = interpret([dense, third, *derived], given)
        for batch, e in zip(found, (flat, np.diag(flat), np.trace(flat)), strict=True):
            agree(batch[k], e, f"row {k}\n{H}")
        wanted = full, np.einsum("iij->j", full), np.einsum("ijk,j->ik", full, v), np.trace(flat)
        for value, e in zip(values, wanted, strict=True):
            agree(value, e, f"derivatives of\n{H}", 1e-8)


@pytest.mark.parametrize("seed", range(5000, 5000 + 4 * MORE))
def test_sizes_known_only_at_the_call(seed):
    rng = np.random.default_rng(seed)
    leaves = leaves_of(SIZES)
    steps, numbers = program(rng, 5, SIZES)
    pool = applied(steps, leaves)
    given = dict(zip(leaves, numbers, strict=True))
    loss = loss_of(pool)
    variables = [x for x in chosen(rng, loss, leaves, pool) if x in set(leaves)] or leaves[:1]
    fixed, at = leaves_of(), {x: i for i, x in enumerate(leaves)}
    expected = reference(
        loss_of(applied(steps, fixed)), [fixed[at[x]] for x in variables], dict(zip(fixed, numbers, strict=True))
    )
    for mode, blocks in forms(loss, variables):
        for i, row in enumerate(blocks):
            for j, block in enumerate(row):
                asked = list(answers(block, expected[i][j], rng, i == j))
                for value, (_, e) in zip(interpret([a for a, _ in asked], given), asked, strict=True):
                    agree(value, e, f"block {i}, {j}, {mode}\n{block}")
