"""What is done to each item of an array is done once, and sums of products are products of stacks."""

import random

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import toposort
from symgraph.ops.einsum import Einsum
from symgraph.ops.joining import Stack
from symgraph.rewrite.together import FEWEST, LARGEST, do_together


def recurrence(T, step, size=3, inputs=2, batch="batch"):
    """Symbols and states of h <- step(x[t], h, U, W, b)."""
    x = sg.symbol("x", (T, batch, inputs))
    U, W, b = sg.symbol("U", (inputs, size)), sg.symbol("W", (size, size)), sg.symbol("b", (size,))
    h, states = np.tanh(x[0] @ U + b), []
    for t in range(1, T):
        h = step(x[t], h, U, W, b)
        states.append(h)
    return [x, U, W, b], states


def elman(x, h, U, W, b):
    return np.tanh(x @ U + h @ W + b)


def gated(x, h, U, W, b):
    update = sg.sigmoid(h @ W + x @ U)
    return update * h + (1 - update) * np.tanh(b + x @ U + (update * h) @ W)


def skipping(x, h, U, W, b):
    return h + 0.1 * np.maximum(x @ U - h @ W, b)


STEPS = {f.__name__: f for f in (elman, gated, skipping)}


def values(symbols, batch=4, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal([batch if not isinstance(n, int) else n for n in s.shape]) for s in symbols]


def agree(symbols, outputs, seed=0, **options):
    """The fast style gives what the graph as written gives, also when it is called again."""
    symbols = [x for x in symbols if x in set(toposort(outputs))]
    fast = sg.function(symbols, outputs, **options)
    plain = sg.function(symbols, outputs, optimize=False)
    for batch in (4, 1, 0, 4):
        given = values(symbols, batch, seed)
        with np.errstate(all="ignore"):
            for got, wanted in zip(fast(*given), plain(*given), strict=True):
                assert got.shape == wanted.shape
                np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11)
    return fast


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("T", [2, 4, 5, 9])
def test_values_and_gradients_of_recurrences(step, T):
    symbols, states = recurrence(T, STEPS[step])
    loss = (states[-1] ** 2).sum()
    agree(symbols, [loss, *sg.grad(loss, symbols)])


@pytest.mark.parametrize("step", STEPS)
def test_all_states_enter_the_loss(step):
    symbols, states = recurrence(7, STEPS[step])
    stack = np.stack(states)
    loss = (stack * np.arange(6.0)[:, None, None]).sum() + (states[2] * states[3]).sum()
    agree(symbols, [loss, stack, states[3], *sg.grad(loss, symbols)])


@pytest.mark.parametrize("step", STEPS)
def test_second_derivatives(step):
    symbols, states = recurrence(6, STEPS[step])
    W = symbols[2]
    v = sg.symbol("v", W.shape)
    agree([*symbols, v], [sg.hvp((states[-1] ** 2).sum(), W, v), sg.grad((sg.grad(states[-1].sum(), W) ** 2).sum(), W)])


def test_an_unrolled_recurrence_reads_as_it_is_written_by_hand():
    symbols, states = recurrence(8, elman)
    f = sg.function(symbols, sg.grad((states[-1] ** 2).sum(), symbols[1:]), comments=False, name="f")
    assert "np.dot(x.reshape(8*batch, 2), U, out=" in f.source
    assert f.source.count(", U, out=") == 1
    assert f.source.count(", W, out=") == 7  # one step after the other
    assert "grad_U = x.reshape(8*batch, 2).T @ " in f.source
    assert f.source.count(".T @ ") == 2
    products = [n for n in f.program.order if isinstance(n.op, Einsum)]
    assert len(products) < 20


def test_pieces_are_computed_in_their_places():
    symbols, states = recurrence(8, elman)
    f = sg.function(symbols, sg.grad((states[-1] ** 2).sum(), symbols[1:]), comments=False)
    stacks = [n for n in f.program.order if isinstance(n.op, Stack)]
    assert len(stacks) == 2
    assert "[7] = t" not in f.source  # nothing is copied
    assert "out=t" in f.source and "[0])" in f.source


def test_the_user_stacks_what_is_made_elsewhere():
    xs = [sg.symbol(f"x{i}", ("n", 2)) for i in range(5)]
    stack = np.stack([np.exp(xs[0]), xs[1], xs[2] * 2, xs[2] * 2, np.tanh(xs[3]), xs[4].T.T])
    agree(xs, [stack + 1, stack])
    agree(xs, [stack + 1, stack[0] * 3, np.exp(xs[0])])
    agree(xs, [np.stack([np.exp(x) for x in xs], axis=1) * 2, np.stack([np.exp(x) for x in xs]) * 2])
    twice = [np.exp(x) for x in xs]
    agree(xs, [np.stack(twice).sum(0), np.stack(twice[::-1]) * 2, np.stack([t + 1 for t in twice])])


def test_parameters_are_updated_after_stacks_are_read():
    def step(optimize):
        W = sg.parameter(np.full((3, 3), 0.1), "W")
        h = x = sg.symbol("x", ("n", 3))
        for _ in range(6):
            h = np.tanh(h @ W + x)
        loss = (h * h).sum()
        f = sg.function([x], loss, {W: W - 0.1 * sg.grad(loss, W)}, optimize=optimize)
        return [f(np.ones((2, 3)) * k) for k in range(3)], W.value

    (a, W), (b, V) = step(True), step(False)
    np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(W, V, rtol=1e-12)


def together(*outputs):
    return do_together(list(outputs))[0]


def test_what_does_not_pay_or_is_not_whole_is_left_alone():
    x, U = sg.symbol("x", (FEWEST, 3, 2)), sg.symbol("U", (2, 5))
    few = sum((x[t] @ U) ** 2 for t in range(FEWEST - 1))
    assert together(few)[0] is few
    other = sum((x[t] @ (U * t)) ** 2 for t in range(FEWEST))
    assert together(other)[0] is other
    symbolic = sg.symbol("s", ("n", 3, 2))
    some = sum((symbolic[t] @ U) ** 2 for t in range(6))
    assert together(some)[0] is some
    large = sg.symbol("l", (FEWEST, LARGEST, 2))
    much = sum((large[t] @ U) ** 2 for t in range(FEWEST))
    assert together(much)[0] is much
    saved = sum(sg.checkpoint(np.tanh(x[t] @ U)) for t in range(FEWEST))
    assert together(saved)[0] is saved


def test_an_item_that_the_array_is_made_of_stays():
    """d[t] depends on d[t - 1]: squares of items are taken in the stack only where the stack does not need them."""
    x, W = sg.symbol("x", (5, 4, 3)), sg.symbol("W", (3, 3))
    d, ds, squares = x[0], [], []
    for t in range(5):
        d = np.tanh(d @ W) + x[t]
        squares.append(d * d)
        d = squares[-1] if t % 2 else d
        ds.append(d)
    total = sum(x[t].mT @ ds[t] for t in range(5))
    agree([x, W], [total, sum(squares), *sg.grad(total.sum() + sum(squares).sum(), [x, W])])


def test_memory_budgets_come_without_stacks():
    symbols, states = recurrence(8, elman)
    gradient = sg.grad((states[-1] ** 2).sum(), symbols[2])
    f = sg.function(symbols, gradient, memory=1 << 20, sizes={"batch": 4})
    assert not [n for n in toposort(f.program.outputs) if isinstance(n.op, Stack)]
    np.testing.assert_allclose(f(*values(symbols)), sg.function(symbols, gradient)(*values(symbols)), rtol=1e-10)


def test_float32_integers_and_complex():
    for dtype in ("float32", "int64", "complex128"):
        x, U = sg.symbol("x", (6, 2, 3), dtype), sg.symbol("U", (3, 3), dtype)
        h = x[0]
        for t in range(6):
            h = x[t] @ U + h * U[0] + U[1]
        f, g = sg.function([x, U], h), sg.function([x, U], h, optimize=False)
        rng = np.random.default_rng(0)
        given = [rng.integers(-3, 3, s.shape).astype(dtype) for s in (x, U)]
        found, wanted = f(*given), g(*given)
        assert found.dtype == wanted.dtype == dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_random_recurrences(seed):
    """Steps of random ops over items, states and weights; some states are returned, some enter the loss."""
    rng = random.Random(seed)
    T = rng.choice([4, 5, 8])
    x, W, V = sg.symbol("x", (T, "n", 3)), sg.symbol("W", (3, 3)), sg.symbol("V", (3,))
    program = [
        rng.choice(["x@W", "h@W", "+x", "*h", "tanh", "+V", "square", "relu", "-x*V", "+first"]) for _ in range(7)
    ]
    h, first, states = x[0] * 0.3, x[rng.randrange(T)], []
    for t in range(T):
        z = h
        for word in program:
            z = {
                "x@W": lambda z: z * 0.5 + x[t] @ W, "h@W": lambda z: z @ W * 0.3, "+x": lambda z: z + x[t],
                "*h": lambda z: z * np.tanh(h), "tanh": np.tanh, "+V": lambda z: z + V, "square": lambda z: z * z * 0.1,
                "relu": lambda z: np.maximum(z, 0.1), "-x*V": lambda z: z - x[t] * V, "+first": lambda z: first + z,
            }[word](z)  # fmt: skip
        h = np.tanh(z)
        states.append(h)
    loss = sum((s * s).sum() for s in rng.sample(states, 2)) + states[-1].sum()
    outputs = [loss, rng.choice(states), *sg.grad(loss, [x, W, V], unused="zero")]
    agree([x, W, V], outputs, seed)
