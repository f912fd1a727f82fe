"""Sliding windows, overlap-add, and the correlations built on them: values by either way of writing, views, errors."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import ShapedArray, make
from symgraph.ops import correlation
from symgraph.ops.code import Code
from symgraph.ops.correlation import Correlate, CorrelateRows, CorrelateWeights
from symgraph.ops.pooled import AtMax, ShareMax, WindowMax, WindowSum
from symgraph.ops.windows import Columns, Fold, Windows, sliding_window_view

rng = np.random.default_rng(5)
F32 = np.float32


def draw(*shape, dtype=np.float64):
    return rng.standard_normal(shape).astype(dtype)


def run_into(op, *xs):
    """The value as `into` writes it, over an array full of garbage."""
    avals = [ShapedArray(x.shape, x.dtype) for x in xs]
    aval = op.infer(*avals)
    names = [f"x{i}" for i in range(len(xs))]
    lines = op.into("out", *[Code(n, aval=a) for n, a in zip(names, avals, strict=True)])
    out = np.full(aval.shape, 7).astype(aval.dtype)
    scope = {"np": np, "out": out, **dict(zip(names, xs, strict=True))}
    exec("\n".join(lines), scope)
    assert scope["out"] is out
    return out


OPS = [
    (Columns(1, 3), draw(2, 6)),
    (Columns(0, 1, 2), draw(5, 2)),
    (Columns(1, 2, 2, 2), draw(2, 7, 2)),
    (Columns(0, 4), draw(4, 3)),
    (Fold(1, 6), draw(2, 3, 4)),
    (Fold(0, 7, 2), draw(3, 3)),
    (Fold(0, 9, 3), draw(2, 3)),
    (Fold(0, 6, 1, 2), draw(3, 2)),
    (Fold(0, 5), draw(1, 5, 2)),
    (WindowMax((1, 2), (2, 2), (2, 2)), draw(2, 4, 6)),
    (WindowMax((0, 1), (3, 4), (1, 2)), draw(5, 8)),
    (WindowMax((0, 1), (3, 1), (1, 2)), draw(5, 8)),
    (WindowSum((0, 1, 2), (2, 3, 2), (1, 1, 2)), draw(3, 4, 6)),
    (WindowSum((1,), (3,), (3,)), draw(2, 8)),
    (Correlate(), draw(6, 2, 3), draw(3, 2, 4)),
    (Correlate(2), draw(2, 7, 2, 3), draw(2, 3, 2, 1)),
    (Correlate(1, 2), draw(6, 2, 3), draw(3, 2, 4)),
    (Correlate(), draw(2, 3, 4, 2, 3), draw(2, 3, 1, 2, 4)),
    (CorrelateWeights(1, 1, 3), draw(4, 2, 3), draw(6, 5, 3)),
    (CorrelateWeights(2, 1, 2), draw(2, 3, 2, 3), draw(2, 7, 1, 3)),
    (CorrelateWeights(1, 2, 3), draw(2, 2, 3), draw(6, 2, 3)),
    (CorrelateRows(1, 1, 7), draw(5, 2, 3), draw(3, 4, 2)),
    (CorrelateRows(1, 1, 4), draw(2, 2, 3), draw(3, 4, 2)),
    (CorrelateRows(2, 1, 8), draw(3, 2, 3), draw(3, 4, 2)),
    (CorrelateRows(1, 2, 7), draw(2, 3, 2, 3), draw(2, 3, 4, 2)),
    (CorrelateRows(1, 1, 5), draw(2, 5, 2, 3), draw(2, 1, 4, 2)),
]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("case", OPS, ids=lambda case: str(case[0]))
def test_what_is_written_into_an_array_is_the_value(case, large, monkeypatch):
    op, *xs = case
    if large:
        monkeypatch.setattr(correlation, "LARGE", 0)
    np.testing.assert_allclose(run_into(op, *xs), op.evaluate(*xs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", OPS, ids=lambda case: str(case[0]))
def test_operands_need_not_lie_along_memory(case):
    op, *xs = case
    strided = [np.repeat(x.T, 2, axis=0)[::2].T for x in xs]
    assert not any(x.flags.c_contiguous for x in strided if x.ndim > 1 and x.shape != (1,) * x.ndim)
    np.testing.assert_allclose(run_into(op, *strided), op.evaluate(*xs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("window", [((2, 2), (2, 2)), ((3, 2), (2, 1)), ((1, 2), (2, 3))])
def test_shares_of_the_largest_are_exact(dtype, window):
    x = rng.integers(0, 3, (5, 6)).astype(dtype)
    op = WindowMax((0, 1), *window)
    y = op.evaluate(x)
    share = ShareMax((0, 1), *window)
    for ct in (draw(*y.shape, dtype=dtype), np.full(y.shape, np.inf, dtype)):
        with np.errstate(invalid="ignore"):
            found = run_into(share, ct, x, y)
        np.testing.assert_array_equal(found, share.evaluate(ct, x, y))
        assert found.dtype == dtype and not np.isnan(found).any()


@pytest.mark.parametrize("case", OPS, ids=lambda case: str(case[0]))
def test_a_batch_is_each_of_its_elements(case):
    op, *xs = case
    many = [np.stack([x, 2 * x, -x], axis=-1) for x in xs]
    tensors = [sg.constant(x) for x in many]
    y, at = op.batch([x.ndim - 1 for x in many], *tensors)
    each = [op.evaluate(*[x[..., k] for x in many]) for k in range(3)]
    np.testing.assert_allclose(sg.evaluate(y, {}), np.stack(each, axis=at), rtol=1e-12, atol=1e-12)


def test_a_batch_of_one_operand_alone():
    t, w = draw(3, 6, 2, 3), draw(3, 2, 4)
    y, at = Correlate().batch([0, None], sg.constant(t), sg.constant(w))
    each = [Correlate().evaluate(x, w) for x in t]
    np.testing.assert_allclose(sg.evaluate(y, {}), np.stack(each, axis=at), rtol=1e-12)


def test_a_large_problem_adds_its_rows_one_by_one():
    x = [ShapedArray(s, np.dtype(F32)) for s in [(200, 64, 10), (202, 192, 10)]]
    text = "\n".join(CorrelateWeights(1, 1, 3).into("out", *[Code("ut"[i], aval=a) for i, a in enumerate(x)]))
    assert "for q in range(200)" in text


def test_windows_are_a_view_and_columns_are_not():
    x = draw(6)
    assert np.shares_memory(Windows(0, 3).evaluate(x), x)
    assert not np.shares_memory(Columns(0, 3).evaluate(x), x)
    assert Windows(0, 3).is_view and not Columns(0, 3).is_view


def test_transposes_of_each_other():
    x = sg.symbol("x", (2, 7))
    y = make(Columns(1, 3, 2), x)
    ct = sg.symbol("ct", y.shape)
    assert sg.vjp(y, x, ct) is make(Fold(1, 7, 2), ct)
    assert sg.vjp(make(Fold(1, 7, 2), ct), ct, x) is y


def test_masks_follow_windows():
    x = sg.symbol("x", (4,))
    y = sg.where(np.array([[True, False, True], [False, False, True]]), make(Windows(0, 2), sg.sqrt(x)), 1.0)
    found = sg.evaluate(sg.grad(sg.sum(y), x), {x: np.array([1.0, 0.0, 4.0, 9.0])})
    np.testing.assert_allclose(found, [0.5, 0, 0.25, 1 / 6])


def test_a_symbolic_axis_too_short_has_no_windows():
    x = sg.symbol("x", ("n",))
    f = sg.function([x], make(Columns(0, 3), x))
    assert f(np.zeros(2)).shape == (3, 0) and f(np.zeros(5)).shape == (3, 3)


def test_sliding_window_view_errors():
    x = sg.symbol("x", ("n", 4))
    with pytest.raises(sg.ShapeError, match=r"the window \(5\) is longer than axis 1 \(4\)"):
        sliding_window_view(x, 5, axis=1)
    with pytest.raises(sg.ShapeError, match="window_shape has 1 sizes for 2 axes"):
        sliding_window_view(x, 2)
    with pytest.raises(sg.ShapeError, match="window_shape must be at least 1, not 0"):
        sliding_window_view(x, 0, axis=0)
    with pytest.raises(sg.ShapeError, match=r"window_shape must be a fixed int, not 1\.5"):
        sliding_window_view(x, 1.5, axis=0)


@pytest.mark.parametrize("n", [7, 3])
def test_correlations_over_symbolic_rows(n):
    t, w = sg.symbol("t", ("h", 2, 3)), sg.symbol("w", (3, 2, 4))
    y = make(Correlate(), t, w)
    f = sg.function([t, w], [y, *sg.grad(sg.sum(y * y), [t, w])])
    a, b = draw(n, 2, 3), draw(3, 2, 4)
    expected = sg.function([t, w], [y, *sg.grad(sg.sum(y * y), [t, w])], style="plain", optimize=False)(a, b)
    for found, value in zip(f(a, b), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-12)


def test_correlation_types():
    t, w = sg.symbol("t", (6, 2, 3)), sg.symbol("w", (3, 2, 4), "float32")
    with pytest.raises(sg.DTypeError, match="one dtype"):
        make(Correlate(), t, w)
    with pytest.raises(sg.ShapeError):
        make(Correlate(), t, sg.symbol("w", (3, 3, 4)))
    with pytest.raises(sg.ShapeError, match="fixed int"):
        make(Correlate(), t, sg.symbol("w", ("k", 2, 4)))
    with pytest.raises(sg.ShapeError, match="as many axes"):
        make(Correlate(), t, sg.symbol("w", (2, 4)))


def test_costs_count_products():
    n = sg.symbol("x", ("n",)).shape[0]
    t, w = [ShapedArray(s, np.dtype(float)) for s in [(6, 2, n), (3, 2, 4)]]
    y = Correlate().infer(t, w)
    assert Correlate().cost(y, t, w) == 2 * 4 * 4 * 6 * n
    assert CorrelateWeights(1, 1, 3).cost(w, y, t) == Correlate().cost(y, t, w)
    assert CorrelateRows(1, 1, 6).cost(t, y, w) == Correlate().cost(y, t, w)
    assert Windows(0, 2).cost(y, t) == 0


def test_at_max_is_the_transpose_of_share_max():
    x, t = sg.symbol("x", (4, 4)), sg.symbol("t", (4, 4))
    y = make(WindowMax((0, 1), (2, 2), (2, 2)), x)
    assert sg.jvp(y, x, t) is make(AtMax((0, 1), (2, 2), (2, 2)), t, x, y)
    ct = sg.symbol("ct", (2, 2))
    assert sg.vjp(sg.jvp(y, x, t), t, ct) is make(ShareMax((0, 1), (2, 2), (2, 2)), ct, x, y)
