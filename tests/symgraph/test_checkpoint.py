"""Values that are computed again in place of being kept: the same numbers from less memory."""

import numpy as np
import pytest

import symgraph as sg
from symgraph import dims
from symgraph.core import make, toposort
from symgraph.errors import CompileError
from symgraph.ops.checkpoint import Barrier, Checkpoint, checkpoint
from symgraph.pipeline import rewritten
from symgraph.rewrite.remat import peak, within

DEPTH = 16
SIZES = {"batch": 512}
rng = np.random.default_rng(3)
DATA = rng.standard_normal((512, 64))
WEIGHTS = [rng.standard_normal((64, 64)) / 8 for _ in range(DEPTH)]


def _deep(every=0, form="value", depth=DEPTH):
    """A deep tanh network with a checkpoint after every so many layers: its loss and gradients, the last layer's first."""
    x = sg.symbol("x", ("batch", 64))
    Ws = [sg.parameter(W, f"W{i}") for i, W in enumerate(WEIGHTS[:depth])]

    def run(h, Ws):
        for W in Ws:
            h = sg.tanh(h @ W)
        return h

    h = x
    for i in range(0, depth, every or depth):
        part = Ws[i : i + (every or depth)]
        if not every:
            h = run(h, part)
        elif form == "value":
            h = checkpoint(run(h, part))
        else:
            h = checkpoint(run)(h, part)
    loss = sg.mean(h * h)
    return x, [loss, *sg.grad(loss, Ws)[::-1]]


def _ops(outputs, name):
    return [node for node in toposort(outputs) if node.op.name == name]


def _final(outputs, optimize=True):
    return rewritten(list(outputs), optimize)[0]


FORMS = [(4, "value"), (4, "function"), (1, "value"), (16, "function"), (5, "function")]


@pytest.mark.parametrize("every, form", FORMS)
def test_gradients_are_the_same_bit_for_bit(every, form):
    x, plain = _deep()
    y, less = _deep(every, form)
    expected = sg.function([x], plain, optimize=False)(DATA)
    for found, want in zip(sg.function([y], less, optimize=False)(DATA), expected, strict=True):
        np.testing.assert_array_equal(found, want)


def test_every_style_agrees():
    x, plain = _deep()
    y, less = _deep(4)
    expected = sg.function([x], plain, style="plain")(DATA)
    for options in ({}, {"optimize": False}):
        for found, want in zip(sg.function([y], less, **options)(DATA), expected, strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-14)


def test_the_peak_is_lower():
    kept = peak(_final(_deep()[1]), SIZES)
    for every, form in [(4, "value"), (4, "function")]:
        assert peak(_final(_deep(every, form)[1]), SIZES) < 0.55 * kept
    one = DATA.nbytes  # all but the last of the hidden layers are kept, and a few values beside them
    assert kept >= (DEPTH - 1) * one
    assert peak(_final(_deep(4)[1]), SIZES) <= (DEPTH // 4 + 4 + 3) * one


def test_a_segment_is_computed_once_more_and_its_checkpoint_is_kept():
    assert len(_ops(_final(_deep()[1]), "tanh")) == DEPTH
    assert len(_ops(_final(_deep(4)[1]), "tanh")) == DEPTH + 3 * DEPTH // 4
    assert len(_ops(_final(_deep(4, "function")[1]), "tanh")) == 2 * DEPTH
    assert not _ops(_final(_deep(4)[1]), "checkpoint"), "the marks themselves are gone before the source is written"


def test_twins_wait_for_the_backward_pass():
    outputs = _final(_deep(4)[1])
    order = toposort(outputs)
    at = {node: i for i, node in enumerate(order)}
    tanhs = [at[node] for node in _ops(outputs, "tanh")]
    first_waiting = min(at[node] for node in _ops(outputs, "barrier"))
    assert sum(i < first_waiting for i in tanhs) == DEPTH, "the forward pass comes first, then the twins"
    for node in _ops(outputs, "barrier"):
        assert at[node.inputs[1]] < at[node]


def test_without_a_gradient_nothing_is_computed_twice():
    x = sg.symbol("x", (3,))
    y = checkpoint(sg.tanh(checkpoint(sg.exp)(x)))
    assert _final([y])[0] is sg.tanh(sg.exp(x))


def test_a_constant_cotangent_recomputes_nothing():
    x = sg.symbol("x", (3,))
    g = sg.grad(checkpoint(sg.exp(sg.tanh(x)).sum()), x)
    assert not _ops([g], "barrier")


def test_a_barrier_equals_only_itself():
    x, a, b = sg.symbols("x a b", (3,))
    assert make(Barrier(), x, a) is make(Barrier(), x, a)
    assert make(Barrier(), x, a) is not make(Barrier(), x, b)
    twin = sg.tanh(make(Barrier(), x, a))
    assert sg.simplify([sg.tanh(x), twin])[1] is twin is not sg.tanh(x)


def _plain(x):
    return sg.sin(sg.exp(sg.tanh(x) * x)) + x


def _by_value(x):
    return sg.sin(checkpoint(sg.exp(checkpoint(sg.tanh(x) * x)))) + x


def _by_function(x):
    return checkpoint(lambda h: sg.sin(sg.exp(h)))(sg.tanh(x) * x) + x


def _nested(x):
    inner = checkpoint(lambda h: sg.tanh(h) * h)
    return checkpoint(lambda h: sg.sin(sg.exp(inner(h))))(x) + x


CASES = [_by_value, _by_function, _nested]


@pytest.mark.parametrize("shape", [(), (4,), (0, 3), (2, 1)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_every_order_and_both_modes(case, dtype, shape):
    value = rng.uniform(-1, 1, shape).astype(dtype)
    results = []
    for f in (_plain, case):
        x = sg.symbol("x", shape, dtype)
        t = sg.symbol("t", shape, dtype)
        y = f(x)
        g = sg.grad((y * y).sum(), x)
        outputs = [
            y, g, sg.jvp(y, x, t), sg.hvp((y * y).sum(), x, t), sg.jvp(g, x, t), sg.grad((g * t).sum(), x),
            sg.grad((sg.jvp(y, x, t) ** 2).sum(), x), sg.grad((sg.grad((g * g).sum(), x) * t).sum(), x),
        ]  # fmt: skip
        assert all(o.dtype == np.dtype(dtype) for o in outputs)
        results.append(sg.interpret(outputs, {x: value, t: value + 1}))
    for found, want in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-4 if dtype == "float32" else 1e-10, atol=1e-6)


def test_a_gradient_through_a_tangent_is_recomputed_too():
    x, t = sg.symbols("x t", (3,))
    tangent = sg.jvp(checkpoint(lambda h: sg.exp(sg.tanh(h)))(sg.sin(x)), x, t)
    assert _ops([tangent], "checkpoint")
    assert _ops([sg.grad((tangent * tangent).sum(), x)], "barrier")


def test_a_variable_inside_a_segment_is_held():
    x = sg.symbol("x", (3,))
    inside = sg.tanh(x)
    y = checkpoint(sg.exp(sg.sin(inside) * inside))
    g, gx = sg.grad((y * y).sum(), [inside, x])
    plain = sg.exp(sg.sin(inside) * inside)
    want, want_x = sg.grad((plain * plain).sum(), [inside, x])
    value = {x: np.array([0.3, -0.2, 1.5])}
    np.testing.assert_allclose(sg.interpret([g, gx], value), sg.interpret([want, want_x], value), rtol=1e-14)
    assert len(_ops([g], "tanh")) == 1, "the variable is not computed again"


def test_what_a_function_takes_from_outside_is_kept():
    x, W = sg.symbol("x", (4, 3)), sg.symbol("W", (3, 3))
    outside = sg.exp(W)
    y = checkpoint(lambda h: sg.tanh(sg.tanh(h @ outside) @ outside))(sg.sin(x))
    g = sg.grad((y * y).sum(), W)
    assert len(_ops([g], "exp")) == len(_ops([g], "sin")) == 1
    assert len(_ops([g], "tanh")) == 4


def test_nestings_of_arguments_and_results():
    x, y = sg.symbols("x y", (3,))

    @checkpoint
    def both(pair, *, scale):
        """Documented."""
        return {"sum": sg.tanh(pair[0] + pair[1]) * scale, "first": pair[0], "number": 2.0}

    assert both.__doc__ == "Documented."
    found = both((sg.exp(x), y), scale=3)
    assert found["first"] is sg.exp(x) and found["number"] == 2.0
    assert isinstance(found["sum"].op, Checkpoint)
    g = sg.grad((found["sum"] ** 2).sum(), [x, y])
    want = sg.grad(((sg.tanh(sg.exp(x) + y) * 3) ** 2).sum(), [x, y])
    value = {x: np.array([0.1, -2.0, 0.5]), y: np.array([0.2, 0.3, -0.4])}
    np.testing.assert_allclose(sg.interpret(g, value), sg.interpret(want, value), rtol=1e-13)


def test_untaken_branches_do_not_leak():
    x = sg.symbol("x", (3,))
    y = checkpoint(lambda h: sg.where(h > 0, sg.log(h), 0.0) * 2)(x * 1.0)
    g = sg.grad((y * y + y).sum(), x)
    np.testing.assert_allclose(sg.interpret([g], {x: np.array([0.0, -1.0, 1.0])})[0], [0, 0, 2])


def test_random_draws_are_never_drawn_again():
    state = sg.random.RandomState(3)
    x = sg.symbol("x", (5,))
    y = checkpoint(lambda h: sg.tanh(h * state.normal((5,))))(sg.exp(x))
    g = sg.grad((y * y).sum(), x)
    assert len(_ops([y, g], "draw")) == 1
    assert len(_ops([g], "tanh")) == 2


def test_branches_loops_and_products_inside_a_segment():
    def body(h):
        h = sg.cond(h.sum() > 0, lambda: sg.tanh(h), lambda: h * 2)
        return sg.map_rows(lambda row: row * row.sum(), h) @ h.T

    values = []
    for f in (body, checkpoint(body)):
        x = sg.symbol("x", (3, 2))
        y = f(sg.sin(x))
        values.append(sg.evaluate(sg.grad((y * y).sum(), x), {x: np.arange(6.0).reshape(3, 2)}))
    np.testing.assert_allclose(*values, rtol=1e-13)


def test_leaves_and_numbers_are_kept_anyway():
    x = sg.symbol("x", (3,))
    assert checkpoint(x) is x
    assert checkpoint(lambda h: h)(x) is x
    assert sg.evaluate(checkpoint(2.0)) == 2.0


def test_long_chains_take_linear_time():
    x = h = sg.symbol("x", (3,))
    for i in range(10_000):
        h = sg.sin(h)
        if i % 100 == 99:
            h = checkpoint(h)
    g = sg.grad((h * h).sum(), x)
    assert len(_ops([g], "sin")) == 10_000 + 99 * 100


# The peak ------------------------------------------------------------------------------------------------------------


def test_the_peak_of_small_graphs():
    x, y = sg.symbols("x y", (10,))
    a, b = sg.exp(x), sg.exp(y)
    assert peak([a]) == 80
    assert peak([sg.exp(a)]) == 80, "written over its operand"
    assert peak([a, sg.exp(a)]) == 160, "returned values stay"
    assert peak([a + b]) == 160
    assert peak([a.T @ b]) == 160, "a view is no memory, nor is a number"
    assert peak([sg.cumsum(a)]) == 160, "no room is saved by an op that does not work in place"
    assert peak([x]) == peak([x.T]) == 0
    n = sg.symbol("z", ("n",))
    assert peak([sg.exp(n) + 1], {"n": 5}) == 40


def test_the_peak_follows_the_order():
    x = sg.symbol("x", (10,))
    a, b = sg.exp(x), sg.cos(x)
    outputs = [a.sum(), b.sum()]
    assert peak(outputs) == 80
    assert peak(outputs, order=lambda ys: [x, a, b, *ys]) == 160


# A budget ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.7, 0.4, 0.3])
def test_a_budget_is_met_with_the_same_values(part):
    x, outputs = _deep()
    lowered = _final(outputs)
    budget = int(part * peak(lowered, SIZES))
    less, mapping = within(lowered, budget, SIZES)
    assert peak(less, SIZES) <= budget
    assert all(mapping[y] is z for y, z in zip(lowered, less))
    f, g = (sg.function([x], ys, style="plain", optimize=False) for ys in (lowered, less))
    for found, want in zip(g(DATA), f(DATA), strict=True):
        np.testing.assert_array_equal(found, want)


def test_a_budget_that_is_met_changes_nothing():
    outputs = _final(_deep()[1])
    found, mapping = within(outputs, peak(outputs, SIZES), SIZES)
    assert all(a is b for a, b in zip(found, outputs))
    assert all(a is b for a, b in mapping.items())


def test_a_budget_recomputes_what_is_cheap_first():
    x, W = sg.symbol("x", (100, 100)), sg.symbol("W", (100, 100))
    cheap, dear = x + 1, x @ W  # both wait while the middle needs room, and are read in the end
    middle = sg.cumsum(sg.cumsum(cheap + dear, axis=0), axis=1)
    outputs = [(middle * cheap * dear).sum()]
    less, _ = within(outputs, peak(outputs) - 1)
    assert peak(outputs) == 4 * 80_000 and peak(less) == 3 * 80_000
    assert len(_ops(less, "matmul")) == 1 and len(_ops(less, "add")) == 3


def test_a_budget_holds_through_views():
    x = sg.symbol("x", (50, 50))
    a = sg.exp(x)
    first = sg.cumsum(sg.cumsum(a.T, axis=0), axis=0).sum()
    second = sg.cumsum(x * first, axis=1).sum()
    outputs = [(a.T * second).sum() + (a[1:] * second).sum()]
    least = peak(outputs)
    less, _ = within(outputs, least - 1)
    assert peak(less) < least
    value = {x: rng.standard_normal((50, 50))}
    np.testing.assert_array_equal(sg.interpret(less, value), sg.interpret(outputs, value))


def test_a_budget_out_of_reach():
    outputs = _final(_deep()[1])
    with pytest.raises(CompileError, match="no further"):
        within(outputs, 1000, SIZES)


@pytest.mark.parametrize("memory", [-1, 1.5, True, None])
def test_a_budget_is_a_number_of_bytes(memory):
    with pytest.raises(CompileError, match="number of bytes"):
        within(_final(_deep()[1]), memory, SIZES)


def test_a_budget_needs_sizes():
    with pytest.raises(CompileError, match="batch"):
        within(_final(_deep()[1]), 10**6)
    assert within(_final(_deep()[1]), 10**9, {dims.dim("batch"): 512})[0]
