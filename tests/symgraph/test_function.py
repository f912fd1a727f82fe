"""What a compiled Function does: arguments, updates, memory, pickling, copies, threads, and the errors of running it."""

import copy
import pickle
import subprocess
import sys
import threading
import traceback
from collections import namedtuple

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol

STYLES = ["fast", "plain"]


# Arguments -----------------------------------------------------------------------------------------------------------


def test_arguments_by_position_and_by_name():
    x, y = symbol("x"), symbol("y", 2)
    f = sg.function([x, y], x - y)
    assert f(1.0, np.zeros(2)).tolist() == [1, 1]
    assert f(x=1.0, y=np.zeros(2)).tolist() == [1, 1]
    assert f(1.0, y=np.zeros(2)).tolist() == [1, 1]
    assert repr(f) == "<Function f(x () float64, y (2,) float64)>"


def test_the_keys_of_a_dict_of_inputs_are_the_argument_names():
    a, b = symbol("x"), symbol("x")
    f = sg.function({"left": a, "right": b}, a / b)
    assert f(left=1.0, right=4.0) == 0.25
    assert f(right=4.0, left=1.0) == 0.25
    assert f(1.0, 4.0) == 0.25
    assert "def f(left, right):" in f.source


@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        ("float64", 1), ("float64", 1.5), ("float64", True), ("float64", np.float32(1.5)), ("float64", np.int32(3)),
        ("float32", 1), ("float32", 0.1), ("float32", np.float16(0.5)), ("float32", np.uint8(3)),
        ("int64", 7), ("int64", True), ("int8", -128), ("int8", np.int8(1)), ("bool", True), ("complex128", 1j), ("complex64", 2.0),
    ],
)  # fmt: skip
def test_scalars_are_accepted_where_nothing_is_lost(dtype, given):
    x = symbol("x", (), dtype)
    found = sg.function([x], sg.where(True, x, x))(given)
    assert found.dtype == dtype and found == np.asarray(given).astype(dtype)
    X = symbol("x", 2, dtype)
    for pair in ([given, given], (given, given)):
        assert sg.function([X], X)(pair).tolist() == [np.asarray(given).astype(dtype)] * 2


@pytest.mark.parametrize(
    ("dtype", "given", "cast"),
    [
        ("float32", np.float64(1.5), "float64"), ("float32", np.ones(1)[0], "float64"), ("float32", np.int64(1), "int64"),
        ("int64", 1.5, "float64"), ("int64", np.uint64(1), "uint64"), ("int8", 128, "int64"), ("int8", -129, "int64"),
        ("uint8", -1, "int64"), ("bool", 1, "int64"), ("bool", 0.0, "float64"), ("float64", 1j, "complex128"), ("int64", "1", "<U1"),
    ],
)  # fmt: skip
def test_what_could_lose_values_is_refused(dtype, given, cast):
    x = symbol("x", (), dtype)
    with pytest.raises(sg.DTypeError, match=f"x .*{dtype}") as caught:
        sg.function([x], sg.where(True, x, x))(given)
    assert cast in str(caught.value)


def test_the_refused_cast_is_named_with_its_remedy():
    x = symbol("x", 3, "float32")
    with pytest.raises(sg.DTypeError, match=r"x is float64 but float32 is expected.*pass x.astype\(np.float32\)"):
        sg.function([x], x * 2)(np.ones(3))


@pytest.mark.parametrize(
    "given",
    [
        lambda a: a[::2, ::-1], lambda a: np.asfortranarray(a)[::2, ::-1], lambda a: a[::2, ::-1].tolist(),
        lambda a: a[::2, ::-1].astype(">f8"), lambda a: a[::2, ::-1].astype("f4"), lambda a: a[::2, ::-1].view(np.recarray),
        lambda a: np.ma.array(a[::2, ::-1]), lambda a: np.broadcast_to(a[::2, ::-1], (3, 4)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("style", STYLES)
def test_any_layout_is_accepted(given, style):
    x = symbol("x", ("n", "m"))
    a = np.arange(24.0).reshape(6, 4)
    f = sg.function([x], [sg.exp(-x / 10).sum(axis=0), x.T @ x], style=style)
    for found, expected in zip(f(given(a)), f(a[::2, ::-1].copy())):
        np.testing.assert_allclose(found, expected)


def test_empty_arrays_and_scalars():
    x, s = symbol("x", ("n", 3)), symbol("s")
    f = sg.function(
        [x, s], {"sum": (x * s).sum(), "cols": x.sum(axis=0), "rows": x.sum(axis=1), "same": sg.exp(x), "s": s * 2}
    )
    found = f(np.zeros((0, 3)), 2.0)
    assert found["sum"] == 0 and found["cols"].tolist() == [0, 0, 0]
    assert found["rows"].shape == (0,) and found["same"].shape == (0, 3)
    assert isinstance(found["s"], np.float64) and found["s"] == 4
    assert f(np.zeros((1, 3)), np.array(2.0))["s"] == 4


def test_a_function_of_nothing():
    assert sg.function([], sg.constant(1.0) + 2)() == 3
    assert sg.function([], [])() == []
    w = sg.parameter(1.0, "w")
    assert sg.function([], [], updates={w: w + 1})() == []
    assert w.value == 2


@pytest.mark.parametrize("style", STYLES)
def test_outputs_have_the_nesting_they_were_given_in(style):
    x = symbol("x")
    Pair = namedtuple("Pair", "a b")
    outputs = {"one": [x, (x + 1,)], 2: {"three": x * 2}, "pair": Pair(x, x - 1)}
    found = sg.function([x], outputs, style=style)(5.0)
    assert found == {"one": [5, (6,)], 2: {"three": 10}, "pair": Pair(5, 4)}
    assert isinstance(found["pair"], Pair) and isinstance(found["one"][1], tuple)
    assert sg.function([x], (x,))(5.0) == (5.0,)


def test_numbers_arrays_and_dims_may_be_outputs():
    x = symbol("x", ("n",))
    found = sg.function([x], {"n": x.shape[0], "twice": 2 * x.shape[0], "k": 3, "a": np.ones(2), "x": x})(np.zeros(4))
    assert found["n"] == 4 and found["twice"] == 8 and found["k"] == 3 and found["a"].tolist() == [1, 1]
    assert found["n"].dtype == np.int64


# Dimensions ----------------------------------------------------------------------------------------------------------


def test_sizes_that_must_agree_are_checked_in_the_users_terms():
    x, y = symbol("x", ("batch",)), symbol("y", ("rows",))
    f = sg.function([x, y], x - y)
    assert f(np.ones(3), np.ones(3)).tolist() == [0, 0, 0]
    with pytest.raises(sg.ShapeError) as caught:
        f(np.ones(64), np.ones(32))
    line = test_sizes_that_must_agree_are_checked_in_the_users_terms.__code__.co_firstlineno + 2
    assert str(caught.value) == f"f: x has batch=64 but y has rows=32 (used together by x - y, test_function.py:{line})"


def test_a_size_one_axis_does_not_broadcast_by_accident():
    x, y = symbol("x", ("batch",)), symbol("y", ("rows",))
    with pytest.raises(sg.ShapeError, match=r"batch=1 .*rows=3"):
        sg.function([x, y], x * y)(np.ones(1), np.ones(3))


def test_checks_come_from_the_outputs_as_written():
    """The product is simplified away, and the sizes must agree all the same."""
    x, y = symbol("x", ("n",)), symbol("y", ("m",))
    f = sg.function([x, y], (x + y * 0).sum() + y.sum())
    with pytest.raises(sg.ShapeError, match="x has n=2 but y has m=3"):
        f(np.ones(2), np.ones(3))


def test_one_dimension_in_two_arguments():
    x, y = symbol("x", ("n", 2)), symbol("y", ("n",))
    f = sg.function([x, y], [x, y])
    with pytest.raises(sg.ShapeError, match=r"x has n=3 but y has n=4"):
        f(np.ones((3, 2)), np.ones(4))
    with pytest.raises(sg.ShapeError, match=r"x has shape \(3, 5\) but \(n, 2\) is expected: axis 1 is 5, not 2"):
        f(np.ones((3, 5)), np.ones(3))
    with pytest.raises(sg.ShapeError, match=r"x has shape \(3,\) but \(n, 2\) is expected: 1 axes in place of 2"):
        f(np.ones(3), np.ones(3))


def test_sizes_computed_from_others():
    x = symbol("x", ("n",))
    y = symbol("y", (2 * x.shape[0] + 1,))
    f = sg.function([x, y], [x.sum(), y.sum()])
    assert f(np.ones(2), np.ones(5)) == [2, 5]
    with pytest.raises(sg.ShapeError, match=r"y has 4 along axis 0, which must be 2\*n \+ 1 = 5"):
        f(np.ones(2), np.ones(4))


def test_an_argument_may_come_before_the_one_that_gives_its_size():
    x = symbol("x", ("n",))
    y = symbol("y", (x.shape[0] + 1,))
    f = sg.function([y, x], [x.sum(), y.sum()])
    assert f(np.ones(3), np.ones(2)) == [2, 3]
    with pytest.raises(sg.ShapeError, match="y has 4 along axis 0"):
        f(np.ones(4), np.ones(2))


# Updates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_updates_are_computed_from_the_old_values(style):
    a, b = sg.parameter(np.array([1.0, 2.0]), "a"), sg.parameter(np.array([10.0, 20.0]), "b")
    f = sg.function([], [a, a + b], updates={a: a + b, b: a * 2}, style=style)
    old, total = f()
    assert old.tolist() == [1, 2] and total.tolist() == [11, 22]
    assert a.value.tolist() == [11, 22] and b.value.tolist() == [2, 4]


@pytest.mark.parametrize("style", STYLES)
def test_two_parameters_swap(style):
    a, b = sg.parameter(np.arange(3.0), "a"), sg.parameter(np.ones(3), "b")
    f = sg.function([], [], updates={a: b, b: a}, style=style)
    f()
    assert a.value.tolist() == [1, 1, 1] and b.value.tolist() == [0, 1, 2]
    f()
    assert a.value.tolist() == [0, 1, 2]
    c, d = sg.parameter(1.0, "c"), sg.parameter(2.0, "d")
    sg.function([], [], updates={c: d, d: c})()
    assert (c.value, d.value) == (2, 1)


@pytest.mark.parametrize(
    "update",
    [
        lambda A: A.T, lambda A: A[::-1], lambda A: A[::-1, ::-1].T, lambda A: A.T @ A, lambda A: A - A.T, lambda A: A.T - A,
        lambda A: A - A.sum(axis=0), lambda A: A + A[0], lambda A: A * A[:, :1], lambda A: A / A.T.reshape(2, 2), lambda A: A,
        lambda A: sg.broadcast_to(A[0], (2, 2)), lambda A: A - 0.1 * A[::-1],
    ],
)  # fmt: skip
@pytest.mark.parametrize("style", STYLES)
def test_an_update_by_a_view_of_itself(update, style):
    n = np.array([[1.0, 2.0], [3.0, 5.0]])
    A = sg.parameter(n, "A")
    f = sg.function([], A.sum(), updates={A: update(A)}, style=style)
    expected = sg.evaluate(update(sg.constant(n)))
    assert f() == 11
    np.testing.assert_allclose(A.value, expected)


@pytest.mark.parametrize("style", STYLES)
def test_the_update_reads_another_updated_parameter_through_a_view(style):
    a, b = sg.parameter(np.arange(4.0).reshape(2, 2), "a"), sg.parameter(np.ones((2, 2)), "b")
    f = sg.function([], [a.T], updates={a: a + 1, b: a.T}, style=style)
    (old,) = f()
    assert old.tolist() == [[0, 2], [1, 3]] and b.value.tolist() == [[0, 2], [1, 3]]
    assert a.value.tolist() == [[1, 2], [3, 4]]


def test_the_parameters_own_array_is_written():
    """Other functions that hold the parameter see the new value."""
    w = sg.parameter(np.zeros(2), "w")
    read, write = sg.function([], w * 1), sg.function([], [], updates={w: w + 1})
    write()
    write()
    assert read().tolist() == [2, 2]
    w.value = [7.0, 8.0]
    assert read().tolist() == [7, 8]
    w.value[...] = 0  # a copy
    assert read().tolist() == [7, 8]


def test_setting_a_value_checks_it():
    w = sg.parameter(np.zeros(2, "float32"), "w")
    with pytest.raises(sg.ShapeError, match=r"parameter w has shape \(2,\)"):
        w.value = np.zeros(3, "float32")
    with pytest.raises(sg.DTypeError, match="parameter w is float32"):
        w.value = np.zeros(2)
    with pytest.raises(sg.DTypeError):
        w.value = ["a", "b"]
    w.value = [1, 2.5]
    assert w.value.tolist() == [1, 2.5] and w.value.dtype == np.float32
    with pytest.raises(AttributeError):
        w.name = "v"


# Memory --------------------------------------------------------------------------------------------------------------


def all_arrays(tree):
    leaves, _ = sg.pytree.flatten(tree)
    return [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("optimize", [True, False])
def test_returned_arrays_alias_nothing_and_are_writeable(style, optimize):
    x = symbol("x", (3, 3))
    w = sg.parameter(np.arange(9.0).reshape(3, 3), "w")
    c = sg.constant(np.arange(100.0).reshape(10, 10))
    h = sg.exp(x)
    outputs = [
        x, x, x.T, x[::2], x[0], x.reshape(9), sg.broadcast_to(x[0], (4, 3)), x[None], x.astype("float64"),
        w, w.T, w[1:], c, c.T, c[0], h, h, h.T, h[0], h.reshape(9), sg.expand_dims(h, 0), sg.stop_gradient(x),
        sg.real(x), sg.broadcast_to(h, (2, 3, 3)), sg.zeros(4), sg.broadcast_to(sg.zeros(1), (4,)), sg.where(True, x, h),
        x.sum(axis=()), x * 1, sg.diagonal(x), sg.ravel(x),
    ]  # fmt: skip
    f = sg.function([x], outputs, updates={w: w + 1}, style=style, optimize=optimize)
    given = np.arange(9.0).reshape(3, 3)
    expected = [np.array(a) for a in f(given)]
    w.value = np.arange(9.0).reshape(3, 3)
    found = f(given)
    again = f(given)
    arrays = [*found, *again]
    for i, a in enumerate(arrays):
        assert a.flags.writeable, i
        for other in [given, w._array, *f.constants.values(), *arrays[:i]]:
            assert not np.shares_memory(a, other), i
    for a in found:
        a[...] = -1
    w.value = np.arange(9.0).reshape(3, 3)
    for a, b in zip(f(given), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("style", STYLES)
def test_inputs_are_never_written_to(style):
    x, s = symbol("x", ("n", 3)), symbol("s", ())
    f = sg.function([x, s], [x + 1, sg.exp(x) * s, x.T, x[::-1], x.at[0].set(9.0), sg.cumsum(x), s, s + 1], style=style)
    given, zero = np.arange(6.0).reshape(2, 3), np.array(2.0)
    given.flags.writeable = zero.flags.writeable = False
    f(given, zero)
    assert given.tolist() == [[0, 1, 2], [3, 4, 5]] and zero == 2


def test_scalars_come_back_as_numpy_scalars():
    x, k = symbol("x"), symbol("k", (), "int64")
    found = sg.function([x, k], [x, k, x * 2, x.sum(), x > 1, sg.constant(2.0), k + 1])(np.array(1.5), np.array(3))
    assert all(isinstance(v, np.generic) for v in found), [type(v) for v in found]


# Pickles and copies --------------------------------------------------------------------------------------------------


def make_step():
    x = symbol("x", ("n", 2), "float32")
    w = sg.parameter(np.ones(2, "float32"), "w")
    c = sg.constant(np.arange(200, dtype="float32"))
    loss = ((x @ w) ** 2).mean() + c.sum() * 0
    return sg.function([x], {"loss": loss, "c": c[:3]}, updates={w: w - 0.1 * sg.grad(loss, w)}, name="step"), w


def test_a_function_pickles_with_its_parameters():
    step, w = make_step()
    data = np.ones((3, 2), "float32")
    step(data)
    twin = pickle.loads(pickle.dumps(step))
    assert twin.source == step.source and repr(twin) == repr(step)
    (v,) = twin.parameters.values()
    assert v is not w and v.value.tolist() == w.value.tolist()
    assert twin(data)["loss"] == step(data)["loss"]
    assert v.value.tolist() == w.value.tolist()
    twin(data)
    assert v.value.tolist() != w.value.tolist()
    with pytest.raises(sg.ShapeError):
        twin(np.ones((3, 5), "float32"))


def test_functions_pickled_together_still_share_their_parameter():
    step, w = make_step()
    read = sg.function([], w * 1)
    step2, read2 = pickle.loads(pickle.dumps((step, read)))
    step2(np.ones((3, 2), "float32"))
    assert read2().tolist() != read().tolist()


def test_a_function_pickles_to_another_process(tmp_path):
    step, _ = make_step()
    (tmp_path / "f.pickle").write_bytes(pickle.dumps(step))
    code = "import pickle, sys, numpy as np; f = pickle.load(open(sys.argv[1], 'rb')); print(f(np.ones((3, 2), 'float32'))['loss'])"
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "f.pickle")], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) == step(np.ones((3, 2), "float32"))["loss"]


def test_keys_that_source_cannot_spell_pickle():
    x = symbol("x")
    f = sg.function([x], {("a", 1): x, None: x + 1})
    assert f(1.0) == pickle.loads(pickle.dumps(f))(1.0) == {("a", 1): 1, None: 2}


def test_a_copy_with_other_parameters():
    step, w = make_step()
    v = sg.parameter(np.full(2, 2, "float32"), "v")
    other = step.copy({w: v})
    data = np.ones((3, 2), "float32")
    other(data)
    assert w.value.tolist() == [1, 1] and v.value.tolist() != [2, 2]
    third = step.copy({w: np.zeros(2, "float32")})
    assert third(data)["loss"] == 0
    same = step.copy()
    same(data)
    assert w.value.tolist() != [1, 1]
    with pytest.raises(sg.CompileError, match="is no parameter of step; it has w"):
        step.copy({v: w})
    with pytest.raises(sg.CompileError, match="shapes and dtypes must agree"):
        step.copy({w: np.zeros(3, "float32")})


def test_copy_and_deepcopy():
    step, _ = make_step()
    data = np.ones((3, 2), "float32")
    deep = copy.deepcopy(step)
    deep(data)
    assert callable(copy.copy(step))
    assert deep.source == step.source


# Threads -------------------------------------------------------------------------------------------------------------


def in_threads(count, work):
    errors = []

    def run(i):
        try:
            work(i)
        except Exception as error:  # reported by the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[0]


def test_concurrent_updates_of_one_parameter_add_up():
    x = symbol("x", 100)
    w = sg.parameter(np.zeros(100), "w")
    add = sg.function([x], w.sum(), updates={w: w + x})
    in_threads(8, lambda i: [add(np.full(100, i + 1.0)) for _ in range(200)])
    assert w.value.tolist() == [200.0 * 36] * 100


def test_functions_that_share_parameters_take_turns():
    a, b, c = (sg.parameter(np.zeros(50), n) for n in "abc")
    x = symbol("x")
    functions = [
        sg.function([x], [], updates={a: a + x, b: b + x}),
        sg.function([x], [], updates={b: b + x, c: c + x}),
        sg.function([x], a.sum() - b.sum() + c.sum(), updates={c: c + x}),
    ]
    in_threads(6, lambda i: [functions[i % 3](1.0) for _ in range(200)])
    assert a.value[0] == 400 and b.value[0] == 800 and c.value[0] == 800


def test_one_function_runs_in_many_threads():
    x = symbol("x", ("n",))
    f = sg.function([x], [sg.exp(x).sum(), sg.cumsum(x)])
    results = {}

    def work(i):
        for _ in range(100):
            results[i] = f(np.full(i + 1, float(i)))

    in_threads(6, work)
    for i, (total, _) in results.items():
        assert total == pytest.approx((i + 1) * np.exp(i))


def test_building_and_compiling_in_threads():
    def work(i):
        x = symbol("x", ("n",))
        loss = sg.log(1 + sg.exp(x * i)).sum()
        f = sg.function([x], sg.grad(loss, x))
        np.testing.assert_allclose(f(np.zeros(2)), [i / 2, i / 2])

    in_threads(8, lambda i: [work(i + 1) for _ in range(5)])


# evaluate ------------------------------------------------------------------------------------------------------------


def test_evaluate():
    x, y = symbol("x", ("n",)), symbol("y")
    assert sg.evaluate(x.sum() * y, {x: [1, 2], y: 3}) == 9
    assert sg.evaluate({"a": [x, y]}, {x: [1.0], y: 2}) == {"a": [np.array([1.0]), 2]}
    assert sg.evaluate(sg.constant(2.0) * 3) == 6
    assert sg.evaluate(y, {y: 1, x: [1.0]}) == 1
    assert sg.evaluate(sg.zeros((x.shape[0], 2)), {x: [1.0, 1.0, 1.0]}).shape == (3, 2)
    a, b = symbol("x"), symbol("x")
    assert sg.evaluate(a - b, {a: 3, b: 1}) == 2
    w = sg.parameter(4.0, "w")
    assert sg.evaluate(w * y, {y: 2}) == 8
    assert sg.evaluate(5.0) == 5
    with pytest.raises(sg.CompileError, match=r"no value for y \(\) float64"):
        sg.evaluate(x.sum() * y, {x: [1.0]})
    with pytest.raises(sg.CompileError, match="no symbol"):
        sg.evaluate(y * 2, {y * 2: 1.0})
    with pytest.raises(sg.CompileError, match="no symbol"):
        sg.evaluate(y, {"y": 1.0})


# Running errors ------------------------------------------------------------------------------------------------------


def test_an_error_while_running_shows_the_generated_line():
    x, k = symbol("x", ("n",)), symbol("k", ("m",), "int64")
    f = sg.function([x, k], x[k] * 2, name="pick")
    with pytest.raises(IndexError) as caught:
        f(np.ones(2), np.array([5]))
    text = "".join(traceback.format_exception(caught.value))
    assert "<generated pick" in text
    assert "x.take(k, 0)" in text.split("<generated pick")[1]


@pytest.mark.parametrize("style", STYLES)
def test_parameters_are_unchanged_after_an_error(style):
    x, k = symbol("x", ("n",)), symbol("k", ("m",), "int64")
    w, v = sg.parameter(np.ones(2), "w"), sg.parameter(1.0, "v")
    f = sg.function([x, k], v * 1, updates={v: v + 1, w: w + x[k].sum()}, style=style)
    for bad in [
        (np.ones(2), np.array([5])),
        (np.ones((2, 2)), np.array([0])),
        (np.ones(2), np.array([0.5])),
        (None, None),
        (),
    ]:
        with pytest.raises((IndexError, TypeError, sg.SymgraphError)):
            f(*bad)
    assert w.value.tolist() == [1, 1] and v.value == 1
    f(np.ones(2), np.array([1]))
    assert w.value.tolist() == [2, 2] and v.value == 2


def test_the_turn_is_given_back_after_an_error():
    w = sg.parameter(np.ones(2), "w")
    k = symbol("k", ("m",), "int64")
    f = sg.function([k], [], updates={w: w + w[k].sum()})
    with pytest.raises(IndexError):
        f(np.array([9]))
    in_threads(1, lambda i: f(np.array([0])))
    assert w.value.tolist() == [2, 2]


def test_warnings_of_hidden_formulas_stay_hidden_and_real_ones_do_not():
    x = symbol("x", ("n",))
    sg.function([x], [sg.sigmoid(x), sg.softplus(x), sg.softmax(x), sg.logsumexp(x)])(np.array([-1000.0, 1000.0]))
    sg.function([x], sg.grad(sg.where(x > 0, sg.log(x), 0).sum(), x))(np.array([0.0, 1.0]))
    with pytest.warns(RuntimeWarning, match="divide"):
        sg.function([x], sg.log(x))(np.array([0.0]))


def test_updates_that_are_no_pairs_are_refused():
    w = sg.parameter(np.zeros(3), "w")
    with pytest.raises(sg.CompileError, match="updates must be a dict"):
        sg.function([], w, updates=[w])


def test_lines_are_the_users_where_decorated_functions_are_entered():
    x, u = sg.symbol("x"), sg.symbol("u", (1237,))  # a size of its own: zeros of one shape are one node
    _, unused = sg.grad(x * x, [x, u], unused="zero")
    assert unused.where[0] == "test_function.py"


def test_products_are_planned_for_the_sizes_that_are_expected():
    A, B, C = sg.symbol("A", ("n", 50)), sg.symbol("B", (50, 50)), sg.symbol("C", (50, 5))
    product = (A @ B) @ C
    rng = np.random.default_rng(0)
    given = rng.random((4, 50)), rng.random((50, 50)), rng.random((50, 5))
    few = sg.function([A, B, C], product, sizes={"n": 2})
    many = sg.function([A, B, C], product, sizes={"n": 10_000})
    assert int(few.cost().flops(n=2)) < int(many.cost().flops(n=2))
    assert int(many.cost().flops(n=10_000)) < int(few.cost().flops(n=10_000))
    for f in (few, many):
        np.testing.assert_allclose(f(*given), given[0] @ given[1] @ given[2])


def test_sizes_that_cannot_be_expected():
    x = sg.symbol("x", ("n",))
    with pytest.raises(sg.CompileError, match="no input has a dimension called 'batch'; they have n"):
        sg.function([x], x + 1, sizes={"batch": 3})
    for size in (0, -1, 2.5, True, "3"):
        with pytest.raises(sg.CompileError, match="n must be a positive int"):
            sg.function([x], x + 1, sizes={"n": size})
