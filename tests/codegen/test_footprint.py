"""The memory that a function takes, told without calling it, and how close it is to the least that is possible."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from codegen.footprint import most_at_once
from codegen.workspace import placed
from symgraph import ShapeError


def deep(batch: Any = "batch", layers: int = 20, width: int = 64) -> Any:
    """One step of a deep network of tanh layers."""
    rng = np.random.default_rng(0)
    x, y = sg.symbol("x", (batch, width)), sg.symbol("y", (batch, width))
    parameters, h = [], x
    for i in range(layers):
        weights = sg.parameter(rng.normal(size=(width, width)) / 8, f"W{i}")
        bias = sg.parameter(np.zeros(width), f"b{i}")
        parameters += [weights, bias]
        h = sg.tanh(h @ weights + bias)
    loss = ((h - y) ** 2).mean()
    grads = sg.grad(loss, parameters)
    return sg.function([x, y], loss, {p: p - 0.01 * g for p, g in zip(parameters, grads, strict=True)}, threads=1)


def test_a_deep_network_needs_little_more_than_its_gradients() -> None:
    """All gradients are there before the first update is written, so nothing can take less than they do."""
    step = deep()
    found = step.memory(batch=32)
    gradients = sum(p._array.nbytes for p in step.parameters.values())
    assert found.parameters == gradients
    assert gradients <= found.least <= found.workspace <= 1.1 * gradients
    assert found.workspace <= 1.1 * found.least
    x = np.ones((32, 64))
    step(x, x)
    (kept,) = step._function.__globals__["workspace"].free.values()
    assert [w.nbytes for w in kept] == [found.workspace]
    assert deep(batch=32).memory().workspace <= 1.1 * gradients


@pytest.mark.parametrize("seed", range(20))
def test_buffers_in_use_at_one_step_never_overlap_and_are_packed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = []
    for _ in range(30):
        first = int(rng.integers(0, 40))
        plan.append(((int(rng.integers(1, 2000)),), np.float32, first, first + int(rng.integers(0, 10))))
    offsets, end = placed(plan)
    for i, (a, _, f, l) in enumerate(plan):
        assert offsets[i] % 64 == 0 and offsets[i] + 4 * a[0] <= end
        for j, (b, _, f2, l2) in enumerate(plan[:i]):
            if f <= l2 and f2 <= l:
                assert offsets[i] + 4 * a[0] <= offsets[j] or offsets[j] + 4 * b[0] <= offsets[i]
    assert most_at_once(plan) <= end <= 1.25 * most_at_once(plan) + 64 * 30


def test_sizes_come_by_name() -> None:
    x, y = sg.symbol("x", ("rows", "cols")), sg.symbol("y", ("rows",))
    f = sg.function([x, y], [sg.tanh(x @ x.T), (sg.exp(x).T @ y).sum()])
    found = f.memory(rows=10, cols=3)
    assert found.results == 800 and found.parameters == 0
    assert f.memory(rows=20, cols=3).results == 3200
    assert pickle.loads(pickle.dumps(f)).memory(rows=10, cols=3) == found
    assert re.fullmatch(
        r"workspace [\d,]+ bytes \(at least [\d,]+ are in use at once\), results 800, parameters 0", str(found)
    )
    for sizes, message in [
        ({"rows": 3}, "the memory depends on the sizes of rows, cols; give cols too, such as cols=64"),
        ({"rows": 3, "cols": 4, "depth": 5}, "the arguments have no dimension 'depth'; they have rows, cols"),
        ({"rows": 3, "cols": -1}, "cols=-1: a size is an int that is at least 0"),
        ({"rows": 3, "cols": 2.0}, "cols=2.0: a size is an int that is at least 0"),
    ]:
        with pytest.raises(ShapeError, match=re.escape(message)):
            f.memory(**sizes)


def test_functions_without_a_workspace() -> None:
    x = sg.symbol("x")
    assert sg.function([x], sg.exp(x)).memory().workspace == 0
    v = sg.symbol("v", ("n",))
    assert sg.function([v], sg.exp(v) * 2, style="plain").memory(n=100).results == 800
    with pytest.raises(ShapeError, match="the arguments have no dimension 'n'; they have no dimension"):
        sg.function([x], sg.exp(x)).memory(n=3)


def test_workspaces_of_few_sizes_are_kept() -> None:
    x = sg.symbol("x", ("n",))
    f = sg.function([x], sg.exp(x) @ sg.tanh(x))
    for n in range(40):
        f(np.ones(n))
    assert len(f._function.__globals__["workspace"].free) <= 16


# Less memory for more work -------------------------------------------------------------------------------------------


def layers(every: int = 0):
    """The gradient of a deep network with respect to its input, with a checkpoint after every so many layers."""
    x, weights = sg.symbol("x", ("batch", 16)), [sg.symbol(f"W{i}", (16, 16)) for i in range(12)]
    h = x
    for i, w in enumerate(weights, 1):
        h = sg.tanh(h @ w)
        if every and i % every == 0:
            h = sg.checkpoint(h)
    return [x, *weights], sg.grad((h * h).sum(), x)


RNG = np.random.default_rng(0)
VALUES = [RNG.normal(size=(64, 16)), *[RNG.normal(size=(16, 16)) / 4 for _ in range(12)]]


@pytest.mark.parametrize("part", [0.7, 0.5, 0.35])
def test_a_budget_is_kept_and_changes_no_value(part):
    inputs, gradient = layers()
    f = sg.function(inputs, gradient)
    budget = int(part * f.memory(batch=64).workspace)
    less = sg.function(inputs, gradient, memory=budget, sizes={"batch": 64})
    assert less.memory(batch=64).workspace <= budget
    np.testing.assert_array_equal(less(*VALUES), f(*VALUES))


def test_checkpoints_take_less_memory():
    f, less = (sg.function(*layers(every)) for every in (0, 4))
    assert less.memory(batch=64).workspace < 0.6 * f.memory(batch=64).workspace
    np.testing.assert_array_equal(less(*VALUES), f(*VALUES))


@pytest.mark.parametrize("memory", [1000, 0, -1, True, 1e6, "1 MB"])
def test_a_budget_that_cannot_be_kept_is_refused(memory):
    with pytest.raises(sg.CompileError, match="memory="):
        sg.function(*layers(), memory=memory, sizes={"batch": 64})


def test_a_budget_needs_the_sizes_of_symbolic_dimensions():
    with pytest.raises(sg.CompileError, match=r"depends on batch; give the sizes to plan for, as in sizes="):
        sg.function(*layers(), memory=1 << 20)
