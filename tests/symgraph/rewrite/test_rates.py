"""Common factors: multiplied once, where they cost least, and nowhere else."""

import time

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import constant, symbol, toposort
from symgraph.interpreter import interpret
from symgraph.ops.late import F
from symgraph.rewrite.rates import take_in_factors

rng = np.random.default_rng(3)
c, k = symbol("c"), symbol("k")
A, B, x, y = symbol("A", (5, 4)), symbol("B", (5, 4)), symbol("x", (4,)), symbol("y", (5,))
GIVEN = {s: rng.standard_normal([int(n) for n in s.shape]) for s in (c, k, A, B, x, y)}


def multiples(outputs):
    return [n for n in toposort(outputs) if n.op is F.multiply and n.ndim and any(not z.ndim for z in n.inputs)]


def taken_in(*outputs):
    """The rewritten outputs, which have the same types and values."""
    found, mapping, scaled = take_in_factors(list(outputs))
    for old, new, a, b in zip(outputs, found, interpret(outputs, GIVEN), interpret(found, GIVEN), strict=True):
        assert new.aval == old.aval and mapping[old] is new
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)
    kept = toposort(found)
    assert all(new in set(kept) or not new.inputs for new in scaled.values())
    return found


def test_a_rate_joins_the_number_that_the_error_is_multiplied_by():
    d = k * (A @ x - y)
    found = taken_in(x - c * (A.T @ d), B - c * F.outer(d, x))
    assert len(multiples(found)) == 1
    (only,) = multiples(found)
    assert only.inputs[0].shape == (5,) or only.inputs[1].shape == (5,)


def test_through_sums_differences_masks_and_moves():
    d = k * (A @ x - y)
    inner = sg.where(y > 0, d, 0) + F.masked_multiply(y > 0.5, d, sg.exp(y)) - d[::-1] * 2
    rows = sg.concatenate([inner, -inner])[None, :].sum(axis=0)
    found = taken_in(c * (rows * 3), c * (A.T @ inner))
    assert sum(any(z is c for z in n.inputs) for n in toposort(found)) == 1


def test_of_two_operands_the_one_that_costs_nothing_takes_the_factor():
    d = k * (A @ x - y)
    e = d * (1 - sg.tanh(y))  # linear in both
    found = taken_in(c * (A.T @ e), c * (B.T @ e))
    (only,) = [n for n in toposort(found) if any(z is c for z in n.inputs)]
    assert not only.ndim  # c * k


@pytest.mark.parametrize(
    "outputs",
    [
        lambda: [c * (A @ x)],  # one multiple: nothing is saved
        lambda: [c * (A @ x), A @ x],  # needed as it is too
        lambda: [c * sg.exp(A @ x), c * sg.sin(A @ x)],  # nothing to take it in
        lambda: [c * (A @ x), k * (A @ x)],  # two factors
        lambda: [c * (x * x), x],  # a square is not linear
        lambda: [(A @ x) / sg.sum((A @ x) ** 2), c * y],  # the factor is made of the value
        lambda: [c * x, c * y],  # leaves
    ],
)
def test_what_stays_as_it_is(outputs):
    written = outputs()
    assert all(a is b for a, b in zip(taken_in(*written), written, strict=True))


def test_a_factor_made_of_the_gradients_waits_for_them():
    """Clipping by the norm of all gradients multiplies them by a number that depends on them."""
    d = k * (A @ x - y)
    g, h = A.T @ d, F.outer(d, x)
    shrink = 1 / sg.sqrt(sg.sum(g * g) + sg.sum(h * h))
    taken_in(shrink * g, shrink * h)
    found = taken_in(c * (shrink * g), c * (shrink * h))
    assert found


def test_other_types_are_left_alone():
    n, z = symbol("n", (3,), "int64"), symbol("z", (3,), "complex128")
    for v, factor in ((n, constant(2)), (z, constant(2.0 + 0j))):
        outputs = [factor * (v + 1), factor * (v + 1)[::-1]]
        assert all(a is b for a, b in zip(take_in_factors(outputs)[0], outputs, strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_keep_their_values(seed):
    draw = np.random.default_rng(seed)
    pool = [A, B, A * k, k * B, F.outer(y, x)]
    for _ in range(12):
        u, v = (pool[i] for i in draw.integers(0, len(pool), 2))
        pool.append(
            [
                lambda u=u, v=v: u + v, lambda u=u, v=v: u - v, lambda u=u, v=v: u * v, lambda u=u: -u, lambda u=u: u[::-1],
                lambda u=u: c * u, lambda u=u: u * k, lambda u=u: u / (1 + k * k), lambda u=u, v=v: (u @ v.T) @ v * 0.1,
                lambda u=u: sg.where(A > 0, u, 0), lambda u=u: sg.broadcast_to(u.sum(axis=0), (5, 4)), lambda u=u: sg.tanh(u),
            ][draw.integers(12)]()
        )  # fmt: skip
    chosen = [pool[i] for i in draw.choice(np.arange(5, len(pool)), 4, replace=False)]
    factor = [c, k, constant(0.25)][draw.integers(3)]
    taken_in(*[factor * u for u in chosen], *chosen[: draw.integers(3)])


def test_a_training_step_multiplies_by_its_rate_once():
    def step(style):
        X, Y = symbol("X", ("n", 3)), symbol("Y", ("n", 2))
        draw = np.random.default_rng(0)
        parameters, h = [], X
        for i, shape in enumerate([(3, 4), (4, 4), (4, 2)]):
            W, b = sg.parameter(draw.normal(size=shape), f"W{i}"), sg.parameter(draw.normal(size=shape[1]), f"b{i}")
            parameters += [W, b]
            h = sg.named(sg.tanh(h @ W + b), f"h{i}")
        loss = ((h - Y) ** 2).mean()
        updates = {p: p - 0.125 * g for p, g in zip(parameters, sg.grad(loss, parameters), strict=True)}
        return sg.function([X, Y], loss, updates, style=style, comments=False), parameters

    (fast, found), (plain, expected) = step("fast"), step("plain")
    X, Y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    for _ in range(4):
        np.testing.assert_allclose(fast(X, Y), plain(X, Y), rtol=1e-12)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.value, b.value, rtol=1e-12, atol=1e-14)
    assert fast.source.count("0.125") == 0 and fast.source.count("0.25") == 1  # 2 * 0.125
    assert "step_W0" in fast.source and "grad_W0" not in fast.source
    assert "step_" not in plain.source


def test_long_chains_take_linear_time():
    h = x
    for _ in range(12_000):
        h = -(h * x)[::-1]
    start = time.process_time()
    take_in_factors([c * h, c * (h + x)])
    assert time.process_time() - start < 20
