"""Convolutions: values against sums written out, dtypes, symbolic sizes, both modes, and what is refused."""

import itertools

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import toposort
from symgraph.ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from symgraph.ops.convolve import convolve, correlate
from symgraph.testing import check_grads

rng = np.random.default_rng(6)


def draw(*shape):
    return rng.standard_normal(shape)


def by_loops(x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """The definition."""
    x = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    (n, _, *image), (o, cg, *kernel) = x.shape, w.shape
    size = [(m - d * (k - 1) - 1) // s + 1 for m, k, s, d in zip(image, kernel, stride, dilation, strict=True)]
    y = np.zeros((n, o, *size))
    for q, s, i, j in itertools.product(*map(range, (*size, *kernel))):
        place = x[:, :, q * stride[0] + i * dilation[0], s * stride[1] + j * dilation[1]]
        for g in range(groups):
            outputs, channels = slice(g * o // groups, (g + 1) * o // groups), slice(g * cg, (g + 1) * cg)
            y[:, outputs, q, s] += place[:, channels] @ w[outputs, :, i, j].T
    return y


CASES = [
    dict(),
    dict(stride=(2, 1)),
    dict(stride=(1, 3), padding=(1, 2)),
    dict(dilation=(2, 1)),
    dict(dilation=(1, 2), padding=(0, 1), stride=(2, 2)),
    dict(groups=2),
    dict(groups=4, padding=(1, 1)),
]


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("kernel", [(3, 2), (1, 1), (2, 3)])
def test_conv2d_is_its_definition(kernel, options):
    groups = options.get("groups", 1)
    x, w = draw(3, 4, 7, 8), draw(4, 4 // groups, *kernel)
    a, b = sg.symbol("a", ("batch", 4, 7, 8)), sg.symbol("b", w.shape)
    y = conv2d(a, b, **options)
    expected = by_loops(x, w, **options)
    np.testing.assert_allclose(sg.function([a, b], y)(x, w), expected, rtol=1e-12, atol=1e-12)
    assert y.shape[1:] == expected.shape[1:]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_conv_transpose2d_is_the_transpose(options):
    """<ct, conv2d(x, w)> = <conv_transpose2d(ct, w), x>, where the strides leave nothing over."""
    groups = options.get("groups", 1)
    w, ct = draw(4, 4 // groups, 3, 2), draw(2, 4, 5, 3)
    full = conv_transpose2d(ct, w, **options)
    x = sg.symbol("x", full.shape)
    y = conv2d(x, w, **options)
    assert y.shape == ct.shape
    np.testing.assert_allclose(sg.evaluate(full, {}), sg.evaluate(sg.vjp(y, x, ct), {x: np.zeros(x.shape)}), atol=1e-12)


def test_output_padding_adds_rows_that_conv2d_leaves_out():
    ct, w = draw(1, 2, 3, 3), draw(2, 2, 3, 3)
    wide = sg.evaluate(conv_transpose2d(ct, w, stride=2, output_padding=(1, 0)), {})
    narrow = sg.evaluate(conv_transpose2d(ct, w, stride=2), {})
    np.testing.assert_array_equal(wide[:, :, :-1], narrow)
    assert not wide[:, :, -1].any()


def test_derivatives_of_both_operands_to_second_order():
    check_grads(lambda x, w: conv2d(x, w, padding=1), draw(2, 2, 3, 4), draw(3, 2, 2, 2), order=2)
    check_grads(lambda x, w: conv2d(x, w, stride=2, groups=2), draw(1, 2, 4, 4), draw(2, 1, 2, 3), order=2)
    check_grads(lambda x, w: conv_transpose1d(x, w, stride=2, padding=1), draw(2, 2, 3), draw(2, 2, 3), order=2)
    check_grads(lambda x: conv2d(x, x), draw(2, 2, 3, 3), order=2)


def test_one_dimension_is_a_row_of_two():
    x, w, b = draw(2, 4, 9), draw(6, 2, 3), draw(6)
    options = dict(stride=2, padding=1, dilation=2, groups=2)
    two = dict(stride=(1, 2), padding=(0, 1), dilation=(1, 2), groups=2)
    found = sg.evaluate(conv1d(x, w, b, **options), {})
    np.testing.assert_allclose(
        found, sg.evaluate(conv2d(x[:, :, None], w[:, :, None], b, **two), {})[:, :, 0], rtol=1e-12
    )


def test_same_keeps_the_size():
    x = sg.symbol("x", ("batch", 1, "height", 9))
    y = conv2d(x, draw(2, 1, 4, 3), padding="same", dilation=(1, 2))
    assert y.shape == (x.shape[0], 2, x.shape[2], 9)
    a = draw(1, 1, 5, 9)
    padded = np.pad(a, [(0, 0), (0, 0), (1, 2), (2, 2)])
    w = draw(1, 1, 4, 3)
    found = sg.evaluate(conv2d(a, w, padding="same", dilation=(1, 2)), {})
    np.testing.assert_allclose(found, by_loops(padded, w, dilation=(1, 2)), rtol=1e-12)
    pairs = sg.evaluate(conv2d(a, w, padding=((1, 2), (2, 2)), dilation=(1, 2)), {})
    np.testing.assert_array_equal(found, pairs)


def test_dtypes():
    x, w = sg.symbol("x", ("n", 1, 4, 4), "float32"), sg.symbol("w", (2, 1, 3, 3), "float32")
    y = conv2d(x, w, sg.symbol("b", (2,), "float32"), padding=1)
    assert {node.dtype.name for node in toposort([y, *sg.grad(sg.sum(y), [x, w])]) if node.ndim} == {"float32"}
    assert conv2d(x, sg.symbol("w", (2, 1, 3, 3))).dtype == np.float64
    assert conv2d(x, w, sg.symbol("b", (2,))).dtype == np.float64
    bits = np.array([[[[True, True], [True, False]]]])
    np.testing.assert_array_equal(sg.evaluate(conv2d(bits, bits), {}), [[[[3]]]])
    ints = rng.integers(-9, 9, (2, 3, 5, 4)).astype(np.int32)
    found = sg.evaluate(conv2d(ints, ints[:, :, :2, :3]), {})
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, by_loops(ints, ints[:, :, :2, :3]))


def test_an_empty_batch():
    x, w = sg.symbol("x", ("n", 2, 5, 5)), sg.symbol("w", (3, 2, 3, 3))
    y = conv2d(x, w)
    f = sg.function([x, w], [y, *sg.grad(sg.sum(y * y), [x, w])])
    values = f(np.zeros((0, 2, 5, 5)), np.ones((3, 2, 3, 3)))
    assert [v.shape for v in values] == [(0, 3, 3, 3), (0, 2, 5, 5), (3, 2, 3, 3)]
    assert not values[2].any()


def test_arrays_in_any_order_of_memory():
    x, w = sg.symbol("x", ("n", 2, 5, 6)), sg.symbol("w", (3, 2, 3, 2))
    y = conv2d(x, w)
    f = sg.function([x, w], [y, *sg.grad(sg.sum(y * y), [x, w])])
    a, b = draw(4, 2, 5, 6), draw(3, 2, 3, 2)
    strided = np.asfortranarray(a), np.repeat(b, 2, axis=3)[..., ::2]
    for u, v in zip(f(a, b), f(*strided), strict=True):
        np.testing.assert_allclose(u, v, rtol=1e-12)


def test_the_windows_are_computed_once_for_value_and_gradient():
    x, w = sg.symbol("x", ("n", 2, 8, 8)), sg.symbol("w", (3, 2, 3, 3))
    y = conv2d(x, w)
    assert sum(node.op.name == "columns" for node in toposort([y, sg.grad(sg.sum(y * y), w)])) == 1


X, W = ("batch", 3, 8, 8), (4, 3, 5, 5)


@pytest.mark.parametrize(
    "shapes, options, rule",
    [
        ((X, (4, 1, 5, 5)), {}, r"x has 3 channels \(axis 1\) and w is for 1"),
        ((X, (4, 2, 5, 5)), {"groups": 2}, r"x has 3 channels \(axis 1\) and w is for 4 \(2 per group\)"),
        ((("batch", 4, 8, 8), (3, 2, 5, 5)), {"groups": 2}, "groups=2 must divide the 3 outputs"),
        ((X, (4, 3, 9, 5)), {}, r"the kernel covers 9 places, and axis 2 of x has size 8"),
        ((X, W), {"dilation": 2}, r"the kernel covers 9 places"),
        ((X, (4, 3, 13, 1)), {"padding": 2}, r"12 with its padding"),
        ((X, W), {"stride": 0}, "stride must be at least 1"),
        ((X, W), {"stride": (1, 2, 3)}, r"must be one int or 2 of them"),
        ((X, W), {"padding": -1}, "padding must be at least 0"),
        ((X, W), {"padding": "full"}, "must be 'valid', 'same', an int"),
        ((X, W), {"padding": "same", "stride": 2}, "padding='same' is for stride 1"),
        ((X, W), {"padding": ((1, 1),)}, "a pair \\(before, after\\) for each of 2 axes"),
        ((X, W), {"groups": 0}, "groups must be at least 1"),
        ((X[1:], W), {}, r"x has 3 axes and must have 4: \(batch, channels, height, width\)"),
        ((X, (4, 3, "k", 5)), {}, "the sizes of the kernel must be fixed ints, not k"),
        ((X, (4, 3, 0, 5)), {}, "the kernel has an axis of size 0"),
        ((X, W, (3,)), {}, "b has 3 values and the result has 4 outputs"),
        ((X, W, (4, 1)), {}, "b must have one axis"),
    ],
)
def test_mistakes_are_named(shapes, options, rule):
    operands = [sg.symbol("xwb"[i], shape) for i, shape in enumerate(shapes)]
    with pytest.raises(sg.ShapeError, match=rule) as caught:
        conv2d(*operands, **options)
    assert "test_conv.py" in str(caught.value) and "conv2d of x" in str(caught.value)


@pytest.mark.parametrize(
    "options, rule",
    [
        ({"output_padding": 1}, "output_padding=1 must be less than stride=1"),
        ({"padding": 4}, "padding=4 leaves nothing of the 6 places"),
        ({"groups": 2}, "groups=2 must divide the 3 channels"),
    ],
)
def test_mistakes_of_the_transpose(options, rule):
    with pytest.raises(sg.ShapeError, match=rule):
        conv_transpose2d(sg.symbol("x", ("n", 3, 4, 4)), sg.symbol("w", (3, 2, 3, 3)), **options)
    with pytest.raises(sg.ShapeError, match="b has 3 values and the result has 2 outputs"):
        conv_transpose2d(sg.symbol("x", ("n", 3, 4, 4)), sg.symbol("w", (3, 2, 3, 3)), sg.symbol("b", (3,)))


# Two sequences


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_every_pair_of_lengths_is_numpys(name, mode):
    ours, theirs = {"convolve": convolve, "correlate": correlate}[name], getattr(np, name)
    a, v = sg.symbol("a", ("n",)), sg.symbol("v", ("m",))
    f = sg.function([a, v], ours(a, v, mode))
    for n, m in itertools.product(range(1, 6), repeat=2):
        x, y = draw(n), draw(m)
        np.testing.assert_allclose(f(x, y), theirs(x, y, mode), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(sg.evaluate(ours(x, y, mode), {}), theirs(x, y, mode), rtol=1e-12, atol=1e-12)


def test_numpys_functions_reach_ours():
    a = sg.symbol("a", ("n",))
    assert np.convolve(a, [1.0, 2.0]) is convolve(a, [1.0, 2.0])
    assert np.correlate(a, [1.0, 2.0], "full") is correlate(a, [1.0, 2.0], "full")


def test_mistakes_with_sequences():
    with pytest.raises(sg.ShapeError, match="x must have one axis"):
        convolve(sg.symbol("x", (2, 2)), [1.0])
    with pytest.raises(sg.ShapeError, match="is empty"):
        correlate(sg.symbol("x", (3,)), np.zeros(0))
    with pytest.raises(ValueError, match="mode must be"):
        convolve([1.0], [1.0], "whole")
