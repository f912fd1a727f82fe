"""What tensors and sizes have of NumPy's and Python's operators, and what they say of names they do not have."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.dims import Dim, same

x = sg.symbol("x", ("n", 3))
n = x.shape[0]
w = sg.symbol("w", ("n",), "float32")


@pytest.mark.parametrize(
    ("attribute", "cure"),
    [
        ("exp", r"symgraph\.exp\(x\)"),
        ("backward", r"grad\(loss, x\)"),
        ("detach", "stop_gradient"),
        ("numpy", "evaluate"),
        ("unsqueeze", "expand_dims"),
        ("shpe", "'shpe'$"),
    ],
)
def test_a_missing_attribute_says_what_to_write(attribute, cure):
    with pytest.raises(AttributeError, match=cure):
        getattr(x, attribute)
    assert not hasattr(x, attribute)


def test_numpy_names_are_spelled_in_full():
    with pytest.raises(TypeError, match=r"np\.linalg\.eig is not available"):
        np.linalg.eig(sg.symbol("A", (3, 3)))


def test_clip_takes_both_of_numpys_spellings():
    assert np.clip(x, min=0, max=1) is np.clip(x, 0, 1) and x.clip(max=1) is x.clip(None, 1)
    with pytest.raises(TypeError, match="not both"):
        sg.clip(x, 0, min=0)


# Sizes as numbers ----------------------------------------------------------------------------------------------------


def test_whole_arithmetic_of_sizes_is_a_size():
    for size, wanted in [(np.int64(2) * n, 2 * n), (np.int64(7) - n, 7 - n), (np.maximum(n, 3), sg.dims.maximum(n, 3))]:
        assert isinstance(size, Dim) and same(size, wanted)
    assert (np.int64(2) == n + n + 1) is False


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (1 / n, 0.25),
        (n / 2, 2.0),
        (0.5 * n, 2.0),
        (n**0.5, 2.0),
        (2**n, 16),
        (np.sqrt(n), 2.0),
        (np.float32(2) * n, np.float32(8)),
        (n * np.ones(2), [4.0, 4.0]),
    ],
)
def test_a_size_is_a_number_beside_what_is_no_size(number, value):
    found = sg.evaluate(number, {x: np.ones((4, 3))})
    np.testing.assert_array_equal(found, value)
    assert np.asarray(found).dtype == np.asarray(value).dtype


def test_numbers_made_of_sizes_are_weak():
    f = sg.function([w], [w * (1 / n), w / (0.5 * n), (w * (2 / n)).sum()])
    assert [r.dtype for r in f(np.ones(4, np.float32))] == [np.float32] * 3


def test_of_no_rows_a_size_divides_as_numpy_divides():
    f = sg.function([w], [w * (1 / n), 1 / n])
    with np.errstate(divide="ignore"):
        empty, inverse = f(np.ones(0, np.float32))
    assert empty.shape == (0,) and inverse == np.inf
