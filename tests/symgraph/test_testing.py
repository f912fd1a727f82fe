"""The checks themselves fail where they should."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import ShapedArray, make, symbol
from symgraph.ops import code
from symgraph.ops.base import General, Linear, as_tensor
from symgraph.testing import (
    GradientMismatch,
    Record,
    check_derivatives,
    check_grads,
    check_op,
    check_sources,
    check_types,
)

X = np.array([0.3, -1.2, 2.0])


class Sine(General):
    """An op that is right; each class below breaks one claim."""

    name = "sine"

    def infer(self, x):
        return x

    def numpy(self, x):
        return code.call("np.sin", x)

    def vjp(self, ct, y, x):
        return [ct * sg.cos(x)]

    def jvp(self, ts, y, x):
        return ts[0] * sg.cos(x)


class WrongVjp(Sine):
    def vjp(self, ct, y, x):
        return [ct * (sg.cos(x) + 0.001)]


class WrongJvp(Sine):
    def jvp(self, ts, y, x):
        return ts[0] * sg.sin(x)


class WrongBoth(Sine):
    def vjp(self, ct, y, x):
        return [ct * 2 * sg.cos(x)]

    def jvp(self, ts, y, x):
        return ts[0] * 2 * sg.cos(x)


class WrongSecond(Sine):
    """The first derivative is right at every point, its derivative is not: `held` is a constant of differentiation."""

    def vjp(self, ct, y, x):
        return [ct * sg.stop_gradient(sg.cos(x))]

    def jvp(self, ts, y, x):
        return ts[0] * sg.stop_gradient(sg.cos(x))


class WrongShape(Sine):
    def infer(self, x):
        return ShapedArray((*x.shape, 1), x.dtype)


class WrongType(Sine):
    def infer(self, x):
        return ShapedArray(x.shape, np.dtype("float32"))


class WrongBatch(Sine):
    def batch(self, axes, x):
        return make(self, x[::-1]), axes[0]


class WrongPlace(Sine):
    def batch(self, axes, x):
        return make(self, x), 0


class Wide(Sine):
    """Makes double of single precision in its derivative."""

    def vjp(self, ct, y, x):
        return [(ct.astype("float64") * sg.cos(x.astype("float64"))).astype(x.dtype)]


class WrongSign(Sine):
    def nonnegative(self, *known):
        return True


class WrongBound(General):
    name = "reciprocal_without_bound"

    def infer(self, x):
        return x

    def numpy(self, x):
        return code.infix("/", code.literal(1), x)

    def bounded(self, *known):
        return all(known)


class WrongTranspose(Linear):
    name = "double"

    def infer(self, x):
        return x

    def numpy(self, x):
        return code.infix("*", code.literal(2), x)

    def transpose(self, ct, x):
        return ct * 3


def record(kind, **options):
    op = kind()
    return Record(kind.name, lambda x: make(op, as_tensor(x)), [(X,)], **{"reference": np.sin, **options})


def test_a_right_op_passes():
    check_op(record(Sine, symbolic=[("n",)], sympy="sin(x)", dtypes="fd"))


@pytest.mark.parametrize("kind", [WrongVjp, WrongJvp, WrongBoth, WrongSecond])
def test_wrong_derivatives_are_found(kind):
    with pytest.raises(GradientMismatch):
        check_op(record(kind))


def test_a_wrong_transpose_is_found():
    with pytest.raises(GradientMismatch, match="vjp and jvp"):
        check_op(record(WrongTranspose, reference=lambda x: 2 * x))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (WrongShape, {}, "inferred"),
        (WrongType, {}, "inferred"),
        (Wide, {}, "double"),
        (WrongSign, {"order": 0}, "not negative"),
        (WrongBound, {"order": 0, "reference": None, "singular": [(np.zeros(2),)]}, "finite"),
        (Sine, {"reference": np.cos}, "reference"),
        (WrongBatch, {}, "vmap and of a loop"),
        (WrongPlace, {}, "vmap and of a loop"),
        (Sine, {"sympy": "cos(x)"}, "SymPy"),
        (Sine, {"covers": ("exp",)}, "no exp"),
    ],
)
def test_wrong_claims_are_found(kind, options, says):
    with pytest.raises(AssertionError, match=says):
        check_op(record(kind, **options))


def test_check_grads_takes_any_function():
    check_grads(lambda x, y: {"a": sg.exp(x) * y, "b": [sg.sum(x @ x * y)]}, X, 0.7)
    check_grads(lambda x, n: x**n, np.array([1.5, 2.5]), np.array([2, 3]), order=3)
    check_grads(lambda z: abs(z * z), np.array([0.3 + 0.4j]))
    with pytest.raises(GradientMismatch):
        check_grads(lambda x: sg.sin(sg.stop_gradient(x)) + x, X)


def test_check_derivatives_of_an_inner_node():
    x = symbol("x", 3)
    h = sg.tanh(x)
    check_derivatives([sg.sum(h * h * x)], [h], {x: X})


def test_check_sources_takes_values_of_leaves():
    x, y = symbol("x", 3), symbol("y", 3)
    check_sources([x, y], [x * y + 1, sg.sum(x)], {x: X, y: X})


def test_check_types_returns_the_values():
    x = symbol("x", ("n",))
    y = sg.sum(x)
    assert check_types([y], {x: X})[y] == X.sum()
