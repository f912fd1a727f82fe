"""Masks: derivatives of choices come out as choices, and guards stay where something is divided that may be 0."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol, toposort
from symgraph.interpreter import interpret
from symgraph.printing import to_text
from symgraph.rewrite import rewrite, simplify
from symgraph.rewrite.masks import MASKS

x, y = symbol("x"), symbol("y")
v, p, q = symbol("v", 3), symbol("p", 3), symbol("q", 3)
m = v > 0
where = sg.where

# fmt: off
SLOPES = [
    (where(x > 0, x, 0.1 * x),                          "where(x > 0, 1, 0.1)"),
    (where(abs(x) <= 1, x**2 / 2, abs(x) - 0.5),        "where(abs(x) <= 1, x, sign(x))"),
    (where(x > 0, x, sg.exp(x) - 1),                    "where(x > 0, 1, exp(x))"),
    (x**2 * sg.log(x),                                  "x + xlogy(2 * x, x)"),
    (sg.maximum(0, 1 - y * x),                          "t1 = 1 - y * x; where(t1 >= 0, where(0 == t1, -0.5, -1) * y, 0)"),
]
# fmt: on


@pytest.mark.parametrize(("f", "text"), SLOPES, ids=lambda v: v if isinstance(v, str) else "")
def test_slopes_of_choices_are_choices(f, text):
    slope = sg.grad(f, x)
    made = simplify(slope)
    assert to_text(made).replace("\n", "; ") == text
    for at in (-2.0, -0.5, 0.0, 0.25, 1.0, 3.0):
        with np.errstate(all="ignore"):
            a, b = interpret([made, slope], {x: np.float64(at), y: np.float64(1.0)})
        if not np.isnan(b):
            np.testing.assert_allclose(a, b, rtol=1e-14)


# fmt: off
FORMS = [
    (where(m, where(m, p, q), v),               where(m, p, v)),
    (where(m, 2 * where(m, p, q) + v, v),       where(m, 2 * p + v, v)),
    (where(m, 1, 0) * where(m, p, 2.0),         where(m, p, 0)),
    (where(m, 1.0, 0.0) * sg.exp(v),            where(m, sg.exp(v), 0)),
    (where(m, 1.0, 0.0) * where(m, 1.0, 0.0),   where(m, 1.0, 0.0)),
    (where(m, p, 0) - where(m, 0, q),           where(m, p, -q)),
    (where(v == 0, 0, v * v / where(v == 0, 1, v)), v),
    (where(v == 0, 0.0, 3.0) + sg.log(v),       3.0 + sg.log(v)),
    (np.ones(3) * v,                            v),
    (v + np.zeros(3),                           v),
]
# fmt: on


@pytest.mark.parametrize(("written", "simple"), FORMS)
def test_simple_forms(written, simple):
    assert simplify(written) is simplify(simple)
    assert len(toposort([simplify(written)])) <= len(toposort([simple]))


def test_a_guard_stays_where_something_is_divided():
    for guarded in (where(p == 0, 0, p / where(p == 0, 1, q)), where(p == 0, 0, 1 / where(p == 0, 1, p))):
        made = simplify(guarded)
        with np.errstate(all="raise"):
            assert interpret([made], {p: np.zeros(3), q: np.zeros(3)})[0].tolist() == [0, 0, 0]


def test_a_user_s_guard_of_an_exponential_stays():
    """where(m, exp(where(m, v, 0)), 1) does not overflow where v is large and not used."""
    guarded = where(v < 5, sg.exp(where(v < 5, v, 0.0)), 1.0)
    assert simplify(guarded) is guarded


def test_nothing_is_known_of_a_frozen_choice():
    choice = where(m, p, q)
    (made,), _ = rewrite([where(m, 2 * choice, v)], MASKS, frozen={choice})
    assert any(node is choice for node in toposort([made]))


def test_the_gradient_of_a_divergence():
    grads = simplify(sg.grad(sg.sum(p * sg.log(p / q)), [p, q]))
    assert grads[0] is sg.log(p / q) + 1.0
    assert to_text(grads[1]) == "where(p == 0, 0, -p / q)"


@pytest.mark.parametrize("f", [lambda z: abs(z) ** 2, lambda z: abs(z) * abs(z), lambda z: sg.square(abs(z))])
def test_the_square_of_a_magnitude_divides_by_nothing(f):
    z = symbol("z", 3, "complex128")
    assert simplify(f(z)) is sg.real(z * sg.conj(z))
    slope = simplify(sg.grad(sg.sum(f(z)), z))
    assert to_text(slope) == "2 * conj(z)"
    values = {z: np.array([0, 3 - 4j, 1e-160j])}
    np.testing.assert_array_equal(interpret([slope], values)[0], 2 * np.conj(values[z]))
