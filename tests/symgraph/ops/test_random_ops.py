"""Random draws: keyed by (seed, call, number), repeatable, independent, and differentiable in location and scale."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import symgraph as sg
from symgraph.ops.random import random_draw
from symgraph.random import RandomState

state = sg.symbol("state", (2,), "uint64")
KEY = np.array([7, 3], np.uint64)


def drawn(y, key=KEY):
    return sg.evaluate(y, {state: key})


@pytest.mark.parametrize(
    "distribution, options, dtype",
    [
        ("random", {}, "float64"),
        ("random", {"dtype": "float32"}, "float32"),
        ("standard_normal", {"dtype": "float16"}, "float16"),
        ("standard_exponential", {}, "float64"),
        ("integers", {"bounds": (2, 9)}, "int64"),
        ("integers", {"bounds": (0, 2), "dtype": "uint8"}, "uint8"),
    ],
)
@pytest.mark.parametrize("shape", [(), (5,), (2, 0), (3, 4)])
def test_type_and_repetition(distribution, options, dtype, shape):
    y = random_draw(distribution, state, 1, shape, **options)
    assert y is random_draw(distribution, state, 1, shape, **options)
    value = drawn(y)
    assert (value.shape, value.dtype) == (y.shape, y.dtype) == (shape, np.dtype(dtype))
    np.testing.assert_array_equal(drawn(y), value)


def test_draws_differ_by_number_and_by_call():
    one, two = (random_draw("random", state, n, (8,)) for n in (1, 2))
    assert one is not two
    later = np.array([7, 4], np.uint64)
    values = [drawn(one), drawn(two), drawn(one, later), drawn(two, later)]
    assert len({v.tobytes() for v in values}) == 4


def test_a_permutation_holds_every_number_once():
    value = drawn(random_draw("permutation", state, 1, bounds=(9,)))
    assert sorted(value) == list(range(9))


def test_neighbouring_keys_are_uncorrelated():
    y = random_draw("standard_normal", state, 1, (500,))
    z = np.stack([drawn(y, np.array([7, call], np.uint64)) for call in range(40)])
    assert abs(z.mean()) < 4 / np.sqrt(z.size) and abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    correlation = np.corrcoef(z) - np.eye(40)
    assert abs(correlation).max() < 5 / np.sqrt(500)


@pytest.mark.parametrize(
    "build, error, message",
    [
        (lambda: random_draw("random", sg.symbol("s", (2,)), 1), sg.DTypeError, "two uint64"),
        (lambda: random_draw("cauchy", state, 1), ValueError, "choose one of random, standard_normal"),
        (lambda: random_draw("random", state, 1, dtype="int64"), sg.DTypeError, "does not hold real numbers"),
        (lambda: random_draw("integers", state, 1, bounds=(3, 3)), sg.ShapeError, "low=3 must be less than high=3"),
        (lambda: RandomState(0).normal(np.zeros(3), 1.0, shape=(2,)), sg.ShapeError, "3"),
        (lambda: RandomState(0).normal(1j), sg.DTypeError, "real"),
    ],
)
def test_mistakes_are_explained(build, error, message):
    with pytest.raises(error, match=message):
        build()


# RandomState ---------------------------------------------------------------------------------------------------------


def test_every_call_draws_afresh_and_a_seed_repeats_them():
    rng = RandomState(0)
    f = sg.function([], [rng.normal(shape=(4,)), rng.normal(shape=(4,))])
    calls = [f() for _ in range(3)]
    assert len({value.tobytes() for call in calls for value in call}) == 6
    assert rng.state.value[1] == 3
    rng.reseed(0)
    np.testing.assert_array_equal(f(), calls[0])


def test_a_draw_happens_once_in_a_call():
    rng = RandomState(0)
    z = rng.normal(shape=(3,))
    f = sg.function([], [z, sg.exp(z), z - z, (z * z).sum()])
    first, exponent, zero, squares = f()
    np.testing.assert_allclose(exponent, np.exp(first))
    np.testing.assert_allclose(squares, (first**2).sum())
    assert not zero.any()
    assert f.source.count("default_rng") == 1


def test_removing_a_draw_changes_no_other():
    def second(use_first):
        rng = RandomState(5)
        a, b = rng.uniform(shape=(3,)), rng.uniform(shape=(3,))
        return sg.function([], [a, b] if use_first else [b])()[-1]

    np.testing.assert_array_equal(second(True), second(False))


PROGRAM = """
import symgraph as sg
from symgraph.random import RandomState
print(sg.function([], RandomState(11).integers(10**6, shape=(3,)))())
"""


def test_the_same_numbers_in_another_process():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert run.stdout == f"{sg.function([], RandomState(11).integers(10**6, shape=(3,)))()}\n"


def test_gradients_reach_location_and_scale():
    rng, loc, scale = RandomState(1), sg.symbol("loc"), sg.symbol("scale")
    y = rng.normal(loc, scale, shape=(4,))
    f = sg.function([loc, scale], [y, *sg.grad(y.sum(), [loc, scale])])
    value, by_loc, by_scale = f(2.0, 3.0)
    np.testing.assert_allclose(by_loc, 4)
    np.testing.assert_allclose(by_scale, ((value - 2) / 3).sum())


def test_distributions_have_their_moments():
    rng, n = RandomState(2), 20_000
    p = sg.symbol("p", (), "float32")
    draws = {
        "normal": (rng.normal(1.0, 2.0, (n,)), 1, 4),
        "uniform": (rng.uniform(-1.0, 3.0, (n,)), 1, 4 / 3),
        "exponential": (rng.exponential(2.0, (n,)), 2, 4),
        "laplace": (rng.laplace(0.5, 1.0, (n,)), 0.5, 2),
        "gumbel": (rng.gumbel(shape=(n,)), 0.57722, 1.64493),
        "bernoulli": (rng.bernoulli(p, (n,), "float32"), 0.25, 0.1875),
        "integers": (rng.integers(1, 4, (n,)), 2, 2 / 3),
    }
    values = sg.function([p], {name: y for name, (y, _, _) in draws.items()})(np.float32(0.25))
    for name, (_, mean, variance) in draws.items():
        value = values[name]
        assert abs(value.mean() - mean) < 5 * np.sqrt(variance / n), name
        assert abs(value.var() / variance - 1) < 0.1, name


def test_shapes_and_dtypes_follow_the_parameters():
    rng = RandomState(3)
    mu = sg.symbol("mu", ("batch", 2), "float32")
    assert rng.normal(mu, 1.0).aval == mu.aval
    assert rng.uniform(0.0, mu).aval == mu.aval
    assert rng.normal(0, 1).dtype == np.float64
    assert rng.normal(mu, 1.0, dtype="float64").dtype == np.float64
    assert rng.bernoulli(mu).dtype == bool
    with pytest.raises(sg.ShapeError):
        rng.normal(mu, 1.0, shape=(2,))
    f = sg.function([mu], rng.permutation(mu.shape[0]))
    assert sorted(f(np.zeros((5, 2), "f4"))) == list(range(5))


def test_a_state_pickles_with_its_counters():
    rng = RandomState(4)
    sg.function([], rng.normal())()
    again = pickle.loads(pickle.dumps(rng))
    np.testing.assert_array_equal(again.state.value, rng.state.value)
    np.testing.assert_array_equal(sg.function([], again.normal())(), sg.function([], rng.normal())())


def test_a_branch_may_draw():
    rng, p = RandomState(6), sg.symbol("p")
    f = sg.function([p], sg.cond(p > 0, lambda: rng.normal(shape=(3,)), lambda: sg.zeros(3)))
    assert f(1.0).any() and not f(-1.0).any()
    assert rng.state.value[1] == 2
