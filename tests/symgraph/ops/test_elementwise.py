"""Elementwise functions where a rule of NumPy's, or a derivative that is not known, is easily got wrong."""

import itertools

import numpy as np
import pytest

import symgraph as sg

x, order = sg.symbol("x"), sg.symbol("order")

ORDERED = [sg.iv, sg.jv, sg.polygamma, sg.spherical_jn]


@pytest.mark.parametrize("function", ORDERED, ids=str)
@pytest.mark.parametrize(
    "derive",
    [
        sg.grad,
        lambda y, n: sg.jvp(y, n, 1.0),
        lambda y, n: sg.taylor(y, n, 1.0, 2),
        sg.hessian,
        lambda y, n: sg.grad(sg.exp(y), [x, n]),
    ],
)
def test_a_derivative_in_an_order_is_an_error(function, derive):
    with pytest.raises(sg.GradientError, match=rf"{function} of order .* in order, operand 1.*stop_gradient\(order\)"):
        derive(function(order, x), order)


@pytest.mark.parametrize("function", ORDERED, ids=str)
def test_an_order_that_is_held_constant_has_no_part_in_a_derivative(function):
    n = sg.symbol("n", (), int)
    y = function(sg.stop_gradient(order), x * order)
    slope = sg.grad(function(n, x), x)
    expected = sg.evaluate(slope, {n: 2, x: 1.2})
    assert abs(expected) > 0.01
    env = {order: 2.0, x: 0.6}
    np.testing.assert_allclose(sg.evaluate(sg.grad(y, order), env), expected * 0.6, rtol=1e-12)
    np.testing.assert_allclose(sg.evaluate(sg.jvp(y, order, 1.0), env), expected * 0.6, rtol=1e-12)
    np.testing.assert_allclose(sg.evaluate(sg.taylor(y, order, 1.0, 1)[1], env), expected * 0.6, rtol=1e-12)


BOUNDS = [(-1, 1), (None, 300), (-1, 300), (300, 400), (0.5, 1), (0.5, np.float32(1)), (None, None), (-1.5, 2),
          (np.int64(-1), 1), (-300, -1), (0, 255), (True, 1)]  # fmt: skip


@pytest.mark.parametrize(("dtype", "bounds"), list(itertools.product("?bBhQefd", BOUNDS)), ids=str)
def test_clip_takes_what_numpy_takes(dtype, bounds):
    values = np.array([0, 1, 2], dtype)
    a = sg.symbol("a", 3, dtype)
    try:
        expected = np.clip(values, *bounds)
    except (OverflowError, TypeError):
        with pytest.raises(sg.DTypeError, match=r"clip|positive|cast"):
            np.clip(a, *bounds)
        return
    y = np.clip(a, *bounds)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(sg.function([a], y)(values), expected, strict=True)


@pytest.mark.parametrize("n", [0, 1, 2, 3, True, 2.0, 0.5, np.int64(2), np.float32(2)])
@pytest.mark.parametrize("dtype", "?bBilfd")
@pytest.mark.parametrize("power", [lambda a, n: a**n, np.power], ids=["operator", "function"])
def test_a_power_has_the_dtype_it_has_in_numpy(power, dtype, n):
    values = np.array([0, 1, 1], dtype)
    a = sg.symbol("a", 3, dtype)
    expected = power(values, n)
    np.testing.assert_array_equal(sg.function([a], power(a, n))(values), expected, strict=True)


@pytest.mark.parametrize("at_zero", [0.5, 1, 0.0, -2.5])
@pytest.mark.parametrize("dtype", "?bifd")
def test_a_step_is_that_of_numpy(dtype, at_zero):
    values = np.array([[0, 1, 1], [-0.0, 1, -2]] if dtype in "fd" else [[0, 1, 1]]).astype(dtype)
    a = sg.symbol("a", ("n", 3), dtype)
    step = np.heaviside(a, at_zero)
    expected = np.heaviside(values, at_zero)
    f = sg.function([a], [step, step @ np.ones(3)])  # the second in memory of its own
    np.testing.assert_array_equal(f(values)[0], expected, strict=True)
    np.testing.assert_array_equal(sg.function([a], step @ np.ones(3))(values), expected @ np.ones(3))


@pytest.mark.parametrize("dtype", "fd")
def test_a_step_of_what_is_no_number(dtype):
    values = np.array([np.nan, np.inf, -np.inf], dtype)
    a = sg.symbol("a", 3, dtype)
    np.testing.assert_array_equal(sg.function([a], np.heaviside(a, 0.5))(values), np.array([np.nan, 1, 0], dtype))
