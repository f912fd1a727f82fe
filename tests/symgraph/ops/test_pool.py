"""Pooling: ties, masks, kinds of numbers, and what is refused."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.ops.pool import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d


def gradient(build, x):
    v = sg.symbol("v", x.shape, x.dtype)
    y = build(v)
    return sg.function([v], sg.grad(sg.sum(y), v))(x)


def test_ties_share_evenly_in_both_modes():
    x = np.array([[1.0, 1, 0, 2], [1, 0, 0, 2]])
    np.testing.assert_allclose(gradient(lambda v: max_pool2d(v, 2), x), [[1 / 3, 1 / 3, 0, 0.5], [1 / 3, 0, 0, 0.5]])
    v, t = sg.symbol("v", (2, 4)), sg.symbol("t", (2, 4))
    tangent = sg.function([v, t], sg.jvp(max_pool2d(v, 2), v, t))
    np.testing.assert_allclose(tangent(x, np.array([[3.0, 6, 9, 4], [0, 9, 9, 2]])), [[3, 3]])


def test_an_element_in_several_windows_adds_its_shares():
    x = np.array([0.0, 5, 0, 0, 7, 7])
    np.testing.assert_allclose(gradient(lambda v: max_pool1d(v, 3, stride=1), x), [0, 2, 0, 0, 1.5, 0.5])


def test_the_gradient_is_that_of_max_over_reshaped_axes():
    x = np.random.default_rng(0).integers(0, 4, (3, 4, 6)).astype(float)
    by_max = lambda v: sg.max(v.reshape(3, 2, 2, 3, 2), axis=(2, 4))
    np.testing.assert_allclose(gradient(lambda v: max_pool2d(v, 2), x), gradient(by_max, x), rtol=1e-15)


def test_elements_that_are_not_the_largest_do_not_leak():
    x = np.array([[0.0, 4, 9, 0]])
    np.testing.assert_allclose(gradient(lambda v: max_pool1d(sg.sqrt(v), 2), x), [[0, 0.25, 1 / 6, 0]])
    chosen = np.array([[True, False]])
    masked = lambda v: sg.where(chosen, max_pool1d(sg.sqrt(v), 2), 1.0)
    np.testing.assert_allclose(gradient(masked, np.array([[0.0, 4, 0, 0]])), [[0, 0.25, 0, 0]])


def test_nan_is_the_largest_and_has_no_derivative():
    x = np.array([[np.nan, 1, 2, 3]])
    assert np.isnan(sg.evaluate(max_pool1d(x, 2), {})[0, 0])
    np.testing.assert_array_equal(gradient(lambda v: max_pool1d(v, 2), x), [[0, 0, 0, 1]])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float32"])
def test_the_largest_keeps_its_dtype(dtype):
    x = np.array([[0, 1, 1, 0, 1]]).astype(dtype)
    found = sg.evaluate(max_pool1d(x, 2, stride=2, padding=1), {})
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [[0, 1, 1]])


def test_padding_is_smaller_than_everything():
    x = np.array([[-5.0, -3, -4]])
    np.testing.assert_array_equal(sg.evaluate(max_pool1d(x, 2, padding=1), {}), [[-5, -3]])
    np.testing.assert_array_equal(sg.evaluate(max_pool1d(x.astype(np.int8), 2, padding=1), {}), [[-5, -3]])


def test_the_mean_counts_its_padding():
    np.testing.assert_allclose(sg.evaluate(avg_pool1d(np.array([[2.0, 4, 6]]), 2, padding=1), {}), [[1, 5]])
    assert avg_pool2d(sg.symbol("x", (4, 4), "int8"), 2).dtype == np.float64
    assert avg_pool2d(sg.symbol("x", (4, 4), "float32"), 2).dtype == np.float32


def test_windows_of_one_element():
    x = sg.symbol("x", (3, 4))
    assert max_pool2d(x, 1) is x
    assert avg_pool1d(x, 1, stride=2) is x[:, ::2]


def test_the_batch_and_the_image_may_be_symbolic():
    x = sg.symbol("x", ("batch", 8, "height", 24))
    assert str(max_pool2d(x, 2).shape) == "(batch, 8, height // 2, 12)"
    y = avg_pool2d(x, 2)
    f = sg.function([x], [max_pool2d(x, 2), sg.grad(sg.sum(y * y), x)])
    a = np.random.default_rng(0).standard_normal((2, 8, 5, 24))
    largest, g = f(a)
    whole = a[:, :, :4].reshape(2, 8, 2, 2, 12, 2)
    np.testing.assert_array_equal(largest, whole.max(axis=(3, 5)))
    expected = np.zeros_like(a)
    expected[:, :, :4] = np.repeat(np.repeat(whole.mean(axis=(3, 5)), 2, axis=2), 2, axis=3) / 2
    np.testing.assert_allclose(g, expected, rtol=1e-12)
    assert [y.shape for y in f(np.zeros((0, 8, 1, 24)))] == [(0, 8, 0, 12), (0, 8, 1, 24)]


@pytest.mark.parametrize(
    "call, rule",
    [
        (lambda x: max_pool2d(x, 5), r"a window of 5 places does not fit axis 1 of size 4"),
        (lambda x: max_pool2d(x, 2, stride=0), "stride must be at least 1, not 0"),
        (lambda x: max_pool2d(x, 2, padding=2), "padding=2 is more than half of a window of 2"),
        (lambda x: avg_pool2d(x, (1, 2, 3)), r"kernel_size=\(1, 2, 3\) must be one int or 2 of them"),
        (lambda x: avg_pool2d(x, 2.5), "kernel_size must be a fixed int, not 2.5"),
        (lambda x: avg_pool2d(x, True), "kernel_size must be at least 1, not True"),
        (lambda x: max_pool2d(x[0], 2), "there must be 2 axes to pool over, not 1"),
    ],
)
def test_mistakes_are_named(call, rule):
    with pytest.raises(sg.ShapeError, match=rule):
        call(sg.symbol("x", (8, 4)))


def test_complex_numbers_have_no_largest():
    with pytest.raises(sg.DTypeError, match="none is the largest"):
        max_pool1d(sg.symbol("z", (4,), "complex128"), 2)
