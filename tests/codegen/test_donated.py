"""`f(x, out=...)`: results are written into the arrays that the caller gives, or nothing is."""

from __future__ import annotations

import pickle
import re
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import DTypeError, ShapeError

X = np.linspace(-1, 1, 12).reshape(3, 4)


def single(**options: Any) -> Any:
    x = sg.symbol("x", ("n", 4))
    return sg.function([x], sg.exp(x) + 1, **options)


def several() -> Any:
    x, w = sg.symbol("x", ("n", 4)), sg.parameter(np.ones(4), "w")
    outputs = {"total": x.sum(), "parts": [x * w, (x > 0, sg.exp(x).sum(axis=0))]}
    return sg.function([x], outputs, {w: w + x.sum(axis=0)}), w


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_one_result_is_written_and_returned(style: str) -> None:
    f = single(style=style)
    out = np.full((3, 4), np.nan)
    assert f(X, out=out) is out
    assert np.array_equal(out, np.exp(X) + 1)
    assert f(x=X.tolist(), out=out) is out
    assert np.array_equal(f(X, out=None), out)
    again = pickle.loads(pickle.dumps(f))
    assert again(2 * X, out=out) is out and np.array_equal(out, f(2 * X))


def test_a_result_that_is_a_number_is_written_into_an_array_without_axes() -> None:
    x = sg.symbol("x")
    f, out = sg.function([x], sg.exp(x)), np.array(0.0)
    assert f(1.0, out=out) is out and out == np.exp(1.0)
    with pytest.raises(ShapeError, match=re.escape("out has shape (1,) but the result has shape ()")):
        f(1.0, out=np.zeros(1))


def test_a_nesting_with_none_where_an_array_is_to_be_made() -> None:
    f, w = several()
    wanted = f(X)
    w.value = np.ones(4)
    out = {"parts": [np.empty((3, 4)), (None, np.empty(4))], "total": np.array(0.0)}
    found = f(X, out=out)
    assert (
        found["total"] is out["total"]
        and found["parts"][0] is out["parts"][0]
        and found["parts"][1][1] is out["parts"][1][1]
    )
    assert found["total"] == wanted["total"] and found["parts"][1][0].dtype == bool
    for a, b in [(found["parts"][0], wanted["parts"][0]), *zip(found["parts"][1], wanted["parts"][1])]:
        assert np.array_equal(a, b)
    assert np.array_equal(w.value, 1 + X.sum(axis=0))


def test_named_tuples_and_parameters_of_other_functions() -> None:
    Pair = namedtuple("Pair", "a b")
    x = sg.symbol("x", (4,))
    f = sg.function([x], Pair(x + 1, 2 * x))
    out = Pair(np.empty(4), None)
    found = f(X[0], out=out)
    assert type(found) is Pair and found.a is out.a and np.array_equal(found.a, X[0] + 1)


def test_an_input_called_out_is_an_input() -> None:
    out = sg.symbol("out", (4,))
    f = sg.function([out], 2 * out)
    assert np.array_equal(f(out=X[0]), 2 * X[0])


read_only = np.empty((3, 4))
read_only.flags.writeable = False


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((4, 3)), ShapeError, "out has shape (4, 3) but the result has shape (3, 4) = (n, 4)"),
        (np.empty((3, 4), "f4"), DTypeError, "out is float32 but the result is float64; give np.empty((3, 4), np.float64)"),
        (np.empty((3, 4), ">f8"), DTypeError, "out is >f8 but the result is float64"),
        (np.empty((4, 3)).T, ValueError, "out is not contiguous in C order (strides (8, 24)); give np.empty((3, 4), np.float64)"),
        (np.empty((3, 8))[:, ::2], ValueError, "out is not contiguous in C order"),
        (read_only, ValueError, "out is read-only; give an array that can be written"),
        (np.ma.zeros((3, 4)), TypeError, "out must be a NumPy array or None, not a MaskedArray"),
        ("text", TypeError, "out must be a NumPy array or None, not a str"),
        ([np.empty((3, 4))], TypeError, "out must be one array, as there is one result, not a list"),
        (X, ValueError, "out shares memory with the argument x; give an array of its own, or None to have one made"),
    ],
)  # fmt: skip
def test_bad_arrays_are_refused_and_stay_as_they_are(out: Any, error: type[Exception], message: str) -> None:
    before = np.array(out)
    with pytest.raises(error, match=re.escape(message)):
        single()(X, out=out)
    assert np.array_equal(np.array(out), before, equal_nan=before.dtype.kind == "f")


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([], TypeError, "it has nothing, the results are out['total'], out['parts'][0], out['parts'][1][0], out['parts'][1][1]"),
        ({"total": None, "parts": None}, TypeError, "it has out['total'], out['parts'], the results are"),
        (("total", 1, None, 3), TypeError, "it has out[0], out[1], out[2], out[3], the results are"),
        ({"total": None, "parts": [X.copy(), (None, np.empty(4, "i8"))]}, DTypeError, "out['parts'][1][1] is int64 but"),
    ],
)  # fmt: skip
def test_another_nesting_is_refused_before_anything_is_computed(out: Any, error: type[Exception], message: str) -> None:
    f, w = several()
    with pytest.raises(error, match=re.escape(message)):
        f(X, out=out)
    assert np.array_equal(w.value, np.ones(4))
    if isinstance(out, dict) and out["parts"]:
        assert np.array_equal(out["parts"][0], X)


def test_what_overlaps_a_parameter_or_another_result_is_refused() -> None:
    f, w = several()
    both = np.zeros(16)
    for out, message in [
        (
            {"total": None, "parts": [None, (None, w._array)]},
            "out['parts'][1][1] shares memory with the parameter or constant w",
        ),
        ({"total": None, "parts": [both[:12].reshape(3, 4), (None, both[8:12])]}, "shares memory with out['parts'][0]"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            f(X, out=out)
    assert np.array_equal(w.value, np.ones(4)) and not both.any()
    f(X, out={"total": None, "parts": [both[:12].reshape(3, 4), (None, both[12:])]})  # side by side
    rows = np.zeros((6, 4))
    rows[::2] = X
    single()(rows[1::2], out=np.empty((3, 4)))
    x = sg.symbol("x", ("n", 4))
    total = sg.function([x], x.sum(axis=0))
    total(rows[::2], out=rows[1])  # between the rows of the argument, not in them
    assert np.array_equal(rows[::2], X) and np.allclose(rows[1], X.sum(axis=0))


def test_a_call_that_fails_writes_nothing() -> None:
    a, w = sg.symbol("a", (2, 2)), sg.parameter(np.zeros(2), "w")
    f = sg.function([a], [a + 1, sg.linalg.inv(a)], {w: w + 1})
    out = [np.zeros((2, 2)), np.zeros((2, 2))]
    with pytest.raises(np.linalg.LinAlgError):
        f(np.zeros((2, 2)), out=out)
    assert not out[0].any() and not out[1].any() and not w.value.any()
    with pytest.raises(TypeError, match="missing 'a'"):
        f(out=out)


def test_results_in_memory_that_is_mapped_from_a_file(tmp_path: Any) -> None:
    out = np.memmap(tmp_path / "data", np.float64, "w+", shape=(3, 4))
    assert single()(X, out=out) is out
    out.flush()
    assert np.array_equal(np.fromfile(tmp_path / "data").reshape(3, 4), np.exp(X) + 1)


# Parameters that are no longer what they were ------------------------------------------------------------------------


def two() -> Any:
    x = sg.symbol("x")
    w, b = sg.parameter(np.zeros(3), "w"), sg.parameter(np.zeros(3), "b")
    return sg.function([x], x * w.sum(), {w: w + x, b: b - x}), w, b


def test_a_read_only_parameter_is_refused_before_anything_is_computed() -> None:
    f, w, b = two()
    b._array.flags.writeable = False
    for options in ({}, {"out": np.array(7.0)}):
        with pytest.raises(
            ValueError, match="parameter b is to be updated, but its array is read-only; nothing was computed"
        ):
            f(1.0, **options)
        assert not w.value.any() and not b.value.any()
    b._array.flags.writeable = True
    f(1.0)
    assert np.array_equal(w.value, np.ones(3)) and np.array_equal(b.value, -np.ones(3))
    x = sg.symbol("x")
    reads = sg.function([x], x * w.sum())
    w._array.flags.writeable = False
    assert reads(2.0) == 6


@pytest.mark.parametrize("new", [np.zeros(4), np.zeros(3, "f4"), np.zeros(6)[::2], [0.0, 0.0, 0.0]])
def test_a_parameter_whose_array_was_replaced_is_refused(new: Any) -> None:
    f, w, b = two()
    object.__setattr__(w, "_array", new)
    with pytest.raises(
        sg.CompileError, match=re.escape("the array of parameter w (float64 (3,)) has been replaced by another")
    ):
        f(1.0)
    assert not b.value.any()
