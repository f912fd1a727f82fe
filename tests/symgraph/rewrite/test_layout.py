"""Transpositions between convolutions meet and cancel."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import toposort
from symgraph.ops.conv import conv2d
from symgraph.ops.pool import avg_pool2d, max_pool2d
from symgraph.ops.shape import Transpose
from symgraph.rewrite import CANONICALIZE, rewrite
from symgraph.rewrite.layout import LAYOUT

RULES = CANONICALIZE + LAYOUT
P = (2, 1, 3, 0)
BACK = (3, 1, 0, 2)


def rewritten(y):
    return rewrite([y], RULES)[0][0]


def test_elementwise_steps_run_in_the_layout_of_their_operands():
    x, y = sg.symbol("x", (2, 3, 4, 5)), sg.symbol("y", (2, 3, 4, 5))
    b = sg.symbol("b", (3,))
    inside = sg.exp(x - y) + b.reshape(1, 3, 1, 1)
    assert rewritten(sg.exp(x.transpose(P) - y.transpose(P)) + b[:, None, None]) is inside.transpose(P)
    assert rewritten(sg.where(x.transpose(P) > 0, y.transpose(P), 0)) is sg.where(x > 0, y, 0).transpose(P)


def test_what_is_not_transposed_alike_stays():
    x, y = sg.symbol("x", (2, 3, 4, 5)), sg.symbol("y", (4, 3, 5, 2))
    for node in (x.transpose(P) + y, x.transpose(P) * y, sg.symbol("m", (2, 3)).T + 1, 2 * x.transpose(P)):
        assert rewritten(node) is node


@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d])
def test_pooling_runs_in_the_layout_of_its_operand(pool):
    x = sg.symbol("x", (6, 3, 4, "n"))
    y = rewritten(pool(x.transpose(BACK), (2, 4), stride=(1, 2)))
    first = next(node for node in toposort([y]) if node.op.name in ("window_max", "window_sum"))
    assert first.inputs[0] is x and (first.op.axis, first.op.size, first.op.stride) == ((0, 2), (2, 4), (1, 2))
    a = np.random.default_rng(0).standard_normal((6, 3, 4, 2))
    np.testing.assert_array_equal(
        sg.evaluate(y, {x: a}), sg.evaluate(pool(x.transpose(BACK), (2, 4), stride=(1, 2)), {x: a})
    )


def test_no_transposition_is_left_between_two_layers():
    x = sg.symbol("x", ("n", 1, 12, 12))
    w, v = sg.symbol("w", (2, 1, 3, 3)), sg.symbol("v", (3, 2, 2, 2))
    h = max_pool2d(sg.relu(conv2d(x, w, sg.symbol("b", (2,)))), 2)
    y = conv2d(h, v)
    loss = sg.sum(y * y)
    outputs = [y, *sg.grad(loss, [w, v])]
    found, _ = rewrite(outputs, RULES)
    large = [n for n in toposort(found) if isinstance(n.op, Transpose) and n.ndim == 4 and n.shape[0] is x.shape[0]]
    assert [n for n in large if n is not found[0]] == []
    values = {s: np.random.default_rng(1).standard_normal([2 if n is x.shape[0] else n for n in s.shape])
              for s in toposort(outputs) if s.op.name == "symbol"}  # fmt: skip
    for a, b in zip(found, outputs, strict=True):
        np.testing.assert_allclose(sg.evaluate(a, values), sg.evaluate(b, values), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("r", list(LAYOUT), ids=lambda r: f"{r.name} {r.kind}")
def test_examples_are_rewritten(r):
    x = sg.symbol("x", (3, 4))
    fired: list = []
    a = np.random.default_rng(2).standard_normal((3, 4))
    for example in r.examples:
        y = example(x)
        (z,), _ = rewrite([y], RULES, fired=fired)
        np.testing.assert_array_equal(sg.evaluate(z, {x: a}), sg.evaluate(y, {x: a}))
    assert any(f[0].name == r.name for f in fired)
