"""Sorting, order statistics, nan-functions, comparisons and differences: NumPy's values, and what ties share."""

import warnings

import numpy as np
import pytest

import symgraph as sg
from symgraph.ops.late import F
from symgraph.testing import check_grads

NAN, INF = np.nan, np.inf
RNG = np.random.default_rng(5)
M = RNG.permutation(np.linspace(-1, 2, 12)).reshape(3, 4)
GAPS = np.array([[0.4, NAN, -1.1, 0.9], [NAN, 0.2, 0.7, NAN], [NAN] * 4])


def same(function, *values, shapes=None):
    """NumPy's function called with tensors gives what it gives of arrays: values, shape, dtype."""
    arrays = [np.asarray(v) for v in values]
    xs = [sg.symbol("xyz"[i], a.shape if shapes is None else shapes[i], a.dtype) for i, a in enumerate(arrays)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, among nothing but nan
        expected = np.asarray(function(*arrays))
        found = sg.function(xs, function(*xs))(*arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.shape == expected.shape and found.dtype == expected.dtype


def test_ties_share_the_derivative_of_a_sort_evenly():
    x, w = sg.symbol("x", "n"), sg.symbol("w", "n")
    f = sg.function([x, w], sg.grad(np.sum(w * np.sort(x)), x))
    np.testing.assert_array_equal(f(np.array([3.0, 1, 2, 1]), np.arange(4.0)), [3, 0.5, 2, 0.5])
    np.testing.assert_array_equal(f(np.array([0.0, 0, -0.0]), np.array([3.0, 0, 0])), [1, 1, 1])
    np.testing.assert_array_equal(f(np.array([NAN, 1, NAN]), np.arange(3.0)), [1, 0, 2])
    assert f(np.zeros(0), np.zeros(0)).shape == (0,)
    g = sg.function([x, w], sg.jvp(np.sort(x), x, w))
    np.testing.assert_array_equal(g(np.array([3.0, 1, 2, 1]), np.array([5.0, 1, 7, 2])), [1.5, 1.5, 7, 5])


def test_the_extremes_of_a_sort_have_the_derivative_of_min_and_max():
    x = sg.symbol("x", (2, 5))
    value = np.array([[1.0, 3, 3, 1, 2], [0.0, 0, 0, 0, 0]])
    y = np.sort(x)
    for ours, theirs in ((y[:, 0], x.min(1)), (y[:, -1], x.max(1))):
        np.testing.assert_allclose(*sg.evaluate([sg.grad((a**2).sum(), x) for a in (ours, theirs)], {x: value}))


def test_branches_that_are_not_taken_do_not_leak_through_a_sort():
    x = sg.symbol("x", 3)
    y = np.where(x.min() > 0, np.sort(np.log(x)).sum(), 0.0)
    np.testing.assert_array_equal(sg.evaluate(sg.grad(y, x), {x: np.array([0.0, 1, 2])}), np.zeros(3))
    np.testing.assert_allclose(sg.evaluate(sg.grad(y, x), {x: np.array([4.0, 1, 2])}), [0.25, 1, 0.5])


def test_the_source_says_what_a_person_would_write():
    x = sg.symbol("x", "n")
    assert "return np.sort(x)" in sg.function([x], np.sort(x), style="plain").source
    assert "return np.argsort(x)" in sg.function([x], np.argsort(x)).source
    assert 'np.argsort(x, kind="stable")' in sg.function([x], F.argsort(x, stable=True), style="plain").source.replace(
        "'", '"'
    )
    a = sg.symbol("A", (4, 3))
    assert "np.linalg.svd(A, compute_uv=False)" in sg.function([a], np.linalg.norm(a, "nuc"), style="plain").source


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    "values", [M, GAPS, M.astype("f"), (10 * M).astype(int), M[:1], M[:, :1]], ids=lambda v: f"{v.dtype}{v.shape}"
)
@pytest.mark.parametrize(
    "name", ["median", "nanmedian", "nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"]
)
def test_reductions_are_numpys(name, values, keepdims, axis):
    def function(x):
        return getattr(np, name)(x, axis=axis, keepdims=keepdims)

    if values.dtype == np.float32 and name not in ("median", "nanmedian", "nanmax", "nanmin"):
        values = values.astype(float)  # sums in another order
    same(function, values)
    same(function, values, shapes=[("n", "m")])


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("q", [0, 1, 0.3, 0.5, [0.1, 0.7], [[0.0, 0.25], [0.5, 1.0]], np.float32(0.75)], ids=str)
@pytest.mark.parametrize("name", ["quantile", "nanquantile", "percentile", "nanpercentile"])
def test_quantiles_are_numpys(name, q, method):
    if name.endswith("percentile"):
        q = q * 100 if isinstance(q, int | float) else np.asarray(q) * 100
    for axis, values in [(None, M), (0, M), (-1, GAPS), ((0, 1), M), (1, (10 * M).astype(int))]:
        if np.ndim(q) == 2 and name.startswith("nan"):
            continue  # where NumPy puts the axes depends on what is reduced
        for shapes in (None, [("n", "m")]):
            same(lambda x: getattr(np, name)(x, q, axis=axis, method=method), values, shapes=shapes)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sort(x, 0),
        lambda x: np.median(x, 0),
        lambda x: np.median(x),
        lambda x: np.quantile(x, [0.3, 0.6], axis=1),
        lambda x: np.nanquantile(x, 0.37, axis=(0, 1)),
        lambda x: np.nanmean(x, axis=0) * np.nanstd(x),
        lambda x: np.diff(x, 2, axis=0),
        lambda x: np.trapezoid(x, x**2, axis=1),
    ],
)
def test_derivatives(function):
    check_grads(function, M)


def test_the_derivative_in_the_fraction_of_a_quantile_is_the_slope():
    check_grads(lambda x, q: np.quantile(x, q, axis=1), M, np.array([0.3, 0.55]))
    check_grads(lambda x, q: np.nanquantile(x, q, axis=1), M, np.array([0.3, 0.55]))
    q = sg.symbol("q")
    assert sg.evaluate(sg.grad(np.quantile(np.array([0.0, 1, 4, 9]), q), q), {q: 0.5}) == 9  # 3 steps, of 1 to 4


@pytest.mark.parametrize("name", ["nancumsum", "nancumprod", "nanargmax", "nanargmin"])
def test_running_sums_and_places_without_nan(name):
    for axis in (None, 0, 1):
        same(lambda x: getattr(np, name)(x, axis=axis), GAPS[:2])


def test_comparisons_are_numpys():
    special = np.array([0, 1, 1 + 1e-9, 1.001, NAN, INF, -INF, -1e-9])
    a, b = np.meshgrid(special, special)
    for equal_nan in (False, True):
        for x, y in [(a, b), (a.astype("f"), b), (a, b.astype("f")), (np.where(np.isfinite(a), a, 2).astype("i"), b)]:
            for f in (np.isclose, np.allclose, np.array_equal):
                same(lambda x, y: f(x, y, equal_nan=equal_nan), x, y)
                same(lambda x, y: f(x, y, equal_nan=equal_nan), x, x)
    assert not sg.evaluate(np.array_equal(sg.symbol("x", 3), np.zeros(4)))


def test_select_takes_the_first_condition_that_holds():
    same(lambda x: np.select([x > 1, x > 0], [x * 2, 7], default=-1), M)
    same(lambda x, y: np.select([x > y, x < 0], [1, 2]), M, M[::-1])
    x = sg.symbol("x", 3)
    g = sg.grad(np.select([x > 1, x > 0], [x**2, np.sqrt(x)], 3 * x).sum(), x)
    np.testing.assert_allclose(sg.evaluate(g, {x: np.array([2.0, 0.25, 0.0])}), [4, 1, 3])


@pytest.mark.parametrize(
    ("attempt", "error", "said"),
    [
        (lambda x: np.sort(x[0, 0]), sg.ShapeError, "axis"),
        (lambda x: np.sort(x, kind="bogo"), ValueError, "bogo.*choose"),
        (lambda x: np.quantile(x, 1.5), ValueError, "between 0 and 1"),
        (lambda x: np.percentile(x, [-1, 2]), ValueError, "out of range"),
        (lambda x: np.quantile(x, 0.5, method="hazen"), ValueError, "hazen.*linear"),
        (lambda x: np.quantile(x > 0, 0.5), sg.DTypeError, "bool values have no quantiles"),
        (lambda x: np.quantile(x[:, :0], 0.5, axis=1), sg.ShapeError, "among no values"),
        (lambda x: np.diff(x, -1), ValueError, "negative"),
        (lambda x: np.diff(x[0, 0]), sg.ShapeError, "no axis"),
        (lambda x: np.select([x], [x]), sg.DTypeError, "must be bool"),
        (lambda x: F.select([x > 0], [x, x]), ValueError, "1 conditions and 2 choices"),
        (lambda x: np.array_equal(x, sg.symbol("y", ("n", 4))), sg.ShapeError, "same name"),
        (lambda x: np.cumulative_sum(x), sg.ShapeError, "Give axis="),
    ],
)
def test_mistakes_are_explained(attempt, error, said):
    with pytest.raises(error, match=said):
        attempt(sg.symbol("x", (3, 4)))
