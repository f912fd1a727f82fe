"""Choices by one condition are one choice, in sums and with numbers before them."""

import numpy as np
import pytest

import symgraph as sg
from symgraph import simplify, symbol, where

x, y, z = symbol("x", ("n",)), symbol("y", ("n",)), symbol("z", ("n",))
m = x > 0


@pytest.mark.parametrize(("written", "expected"), [
    (where(m, x, 0) + where(m, y, 0), where(m, x + y, 0)),
    (where(m, x, 0) + where(~m, y, 0), where(m, x, y)),
    (where(m, 0.5 * y, 0) + where(m, y, 0) * 0.5, where(m, y, 0)),
    (where(m, y, 0) - where(m, 0, 3 * z), where(m, y, -3 * z)),
    (-where(m, y, 0) + where(m, 0, z), where(m, -y, z)),
    (where(m, y, 0) / 4 + where(m, 0, z), where(m, y / 4, z)),
    (z + where(m, x, 0) + where(m, 0, y), z + where(m, x, y)),
])  # fmt: skip
def test_a_sum_of_choices_is_a_choice(written, expected):
    assert simplify(written) is simplify(expected)
    assert sum(node.op.name == "where" for node in sg.core.toposort([simplify(written)])) == 1


def test_choices_that_others_need_stay():
    chosen = where(m, x, 0)
    total, alone = simplify([chosen * 0.5 + where(m, 0, y), sg.exp(chosen)])
    assert alone is sg.exp(chosen) and any(n.op.name == "add" for n in sg.core.toposort([total]))


def test_an_infinite_number_is_not_moved_into_a_choice():
    written = where(m, x, 0) * np.inf + where(m, y, 0)
    f = sg.function([x, y], written)
    with np.errstate(all="ignore"):
        assert np.isnan(f([-1.0], [1.0])) and f([1.0], [1.0]) == np.inf


def test_huber_is_written_as_by_hand():
    r = symbol("r", ("n",))
    loss = where(abs(r) <= 0.2, 0.5 * r * r, 0.2 * (abs(r) - 0.1))
    source = sg.function([r], sg.grad(sg.sum(loss), r), style="plain", comments=False).source
    assert "= np.where(np.abs(r) <= 0.2, r, 0.2 * np.sign(r))" in source


def test_logaddexp_with_zero_is_softplus():
    for written in (np.logaddexp(0, x), np.logaddexp(x, 0.0), np.logaddexp(np.float64(0), x), np.logaddexp(x, -0.0)):
        assert sg.stabilize(written) is sg.softplus(x)
    margin = -y * x
    assert sg.stabilize(np.logaddexp(0, margin)) is sg.softplus(margin)
    slopes = [sg.grad(sg.sum(loss), x) for loss in (np.logaddexp(margin, 0), sg.softplus(margin))]
    assert simplify(slopes[0]) is simplify(slopes[1])
    whole = symbol("k", ("n",), "int8")
    assert sg.stabilize(np.logaddexp(0.0, whole)).dtype == np.logaddexp(0.0, whole).dtype
    scalar = symbol("s")
    assert sg.stabilize(np.logaddexp(scalar, np.zeros(3))).shape == (3,)


def test_logaddexp2_with_zero_keeps_its_limits():
    values = np.array([0.0, -0.0, np.inf, -np.inf, 1e4, -1e4, 3.0, -50.0])
    for written in (np.logaddexp2(x, 0), np.logaddexp2(0, x)):
        f = sg.function([x], written + 0 * x.size)
        np.testing.assert_allclose(f(values), np.logaddexp2(values, 0), rtol=1e-14)
        assert "logaddexp2" not in f.source
