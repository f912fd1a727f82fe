"""What the source computes: the dtypes, the values and the ownership of NumPy run on the same expression, optimized or not."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol

EITHER = pytest.mark.parametrize("optimize", [True, False])


def agrees(outputs, expected, values=None, optimize=True):
    """The compiled values, which have the types and values of `expected`."""
    values = values or {}
    found = sg.function(list(values), outputs, optimize=optimize)(*values.values())
    for got, wanted in zip(found, expected, strict=True):
        assert type(got) is type(wanted), (got, wanted)
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)
    return found


@EITHER
def test_a_cast_that_loses_is_made_though_another_follows(optimize):
    x, y = symbol("x", (3,)), symbol("y", (3,))
    u, v = np.array([0.5, -1.5, 2.7]), np.ones(3)
    single = x.astype("float32")
    agrees(
        [x.astype("int64") + y, single + y, sg.where(y > 0, x.astype("int8"), y)],
        [u.astype("int64") + v, u.astype("float32") + v, np.where(v > 0, u.astype("int8"), v)],
        {x: u, y: v},
        optimize,
    )


@EITHER
def test_a_cast_number_is_written_as_what_it_becomes(optimize):
    n, y = symbol("n", (3,), "int8"), symbol("y", (3,))
    v, zeros = np.arange(3, dtype="int8"), np.zeros(3)
    found = [sg.constant(300).astype("int8") + n, sg.constant(np.float32(0.1)) + y, sg.constant(-1).astype("uint8")]
    expected = [np.int8(44) + v, np.float32(0.1) + zeros, np.uint8(255)]
    agrees(found, expected, {n: v, y: zeros}, optimize)


@EITHER
def test_operations_on_numbers_alone_keep_their_dtype(optimize):
    two, three = sg.constant(2.0), sg.constant(3)
    agrees(
        [two + 1, sg.fmax(two, 1.0), three[None].cumsum(), sg.constant(2.5).astype(bool), sg.constant(True)[None]],
        [np.float64(3), np.float64(2), np.array([3]), np.True_, np.array([True])],
        optimize=optimize,
    )


@EITHER
def test_a_python_complex_number_does_not_leave_numpy(optimize):
    x = symbol("x", ("n",))
    v = np.arange(3.0)
    total = np.complex128(3j)
    agrees([1j * x.sum(), (1j * x.sum())[None]], [total, np.array([total])], {x: v}, optimize)


@EITHER
def test_numbers_inside_the_source_of_an_op_do_not_widen_it(optimize):
    b, y = symbol("b", (3,), "bool"), symbol("y", (3,), "float32")
    v, ones = np.array([True, False, True]), np.ones(3, "f")
    f = sg.function([b, y], [sg.softplus(b), sg.grad(sg.sum(2**y), y), sg.xlog1py(y, np.float32(1))], optimize=optimize)
    assert [r.dtype for r in f(v, ones)] == [sg.softplus(b).dtype, np.float32, np.float32]


@EITHER
def test_the_square_of_booleans_has_the_promised_dtype(optimize):
    b, v = symbol("b", (2,), "bool"), np.array([True, False])
    agrees([b**2, b**3], [v**2, v**3], {b: v}, optimize)


@EITHER
def test_results_without_axes_are_scalars(optimize):
    x, z = symbol("x"), symbol("z", (1, 1))
    m = symbol("m", (2, 2))
    one = np.float64(1)
    outputs = [sg.where(x > 0, x, 2), z.squeeze(), z.reshape(()), sg.tensordot(m, m), x.astype("float32")]
    agrees(
        outputs,
        [one, one, one, np.float64(4), np.float32(1)],
        {x: one, z: np.ones((1, 1)), m: np.ones((2, 2))},
        optimize,
    )


@EITHER
def test_no_result_is_a_readonly_view(optimize):
    x = symbol("x", ("n", 3))
    y = x + 1
    wide = sg.broadcast_to(y[:, None], (*x.shape[:1], 2, 3))
    outputs = [wide[0], sg.diagonal(y), sg.diagonal(y)[::-1], wide.reshape((*x.shape[:1], 6)), sg.repeat(y, 2, axis=0)]
    outputs += [sg.grad(sg.sum(sg.sum(y, axis=0) @ np.arange(3.0)), x)]
    for output in outputs:
        assert sg.function([x], output, optimize=optimize)(np.ones((3, 3))).flags.writeable


@EITHER
def test_the_softmax_family_of_no_elements(optimize):
    x = symbol("x", ("batch", "n"))
    f = sg.function([x], [np.log(np.sum(np.exp(x), axis=1)), sg.softmax(x), sg.log_softmax(x)], optimize=optimize)
    total, *rows = f(np.zeros((2, 0)))
    assert np.array_equal(total, [-np.inf, -np.inf]) and [r.shape for r in rows] == [(2, 0), (2, 0)]


@EITHER
def test_a_loop_counter_hides_no_name_of_the_user(optimize):
    i = symbol("i", ("n",))
    agrees([sg.map_rows(lambda row: 2 * row, i) + i], [np.array([0.0, 3.0, 6.0])], {i: np.arange(3.0)}, optimize)


@EITHER
def test_a_branch_given_a_number_takes_it_as_an_array(optimize):
    p = symbol("p", (), "bool")
    y = sg.cond(p, lambda a: a[None] * 2, lambda a: (a + 1)[None], sg.constant(3))
    agrees([y], [np.array([6])], {p: True}, optimize)


@EITHER
@pytest.mark.parametrize("dtype, number", [("uint8", -1), ("uint8", 256), ("int8", 255), ("uint64", -1), ("bool", 2)])
def test_a_number_out_of_the_range_of_an_array_compares_with_it(dtype, number, optimize):
    x = symbol("x", (3,), dtype)
    v = np.array([0, 1, 3]).astype(dtype)
    agrees([x == number, x < number, number <= x], [v == number, v < number, number <= v], {x: v}, optimize)


@pytest.mark.parametrize("order", ["C", "F"])
def test_sparse_terms_are_added_to_arrays_in_any_order(order):
    """The memory that a term is added to may have been made by NumPy, in the order of the operand."""
    x, i = symbol("x", ("n", "n")), symbol("i", (3,), "int64")
    outputs = [
        2 * x.T + 3 * sg.eye(x.shape[0]),
        sg.grad((x.T**3).sum() + (x[i] ** 2).sum(), x),
        sg.exp(x.T) + sg.pad(x[1:], ((1, 0), (0, 0))),
        sg.diag(x[0], 0) + x / sg.eye(x.shape[0]).sum(),
    ]
    X, k = np.asarray(np.arange(16.0).reshape(4, 4) / 7, order=order), np.array([0, 2, 0])
    rows = np.zeros((4, 4))
    np.add.at(rows, k, 2 * X[k])
    expected = [
        2 * X.T + 3 * np.eye(4),
        3 * X**2 + rows,
        np.exp(X.T) + np.vstack([np.zeros((1, 4)), X[1:]]),
        np.diag(X[0]) + X / 4,
    ]
    for options in ({}, {"optimize": False}, {"style": "plain"}):
        for found, wanted in zip(sg.function([x, i], outputs, **options)(X, k), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-14, err_msg=str(options))


# New values of parameters, computed in the parameters' own arrays -----------------------------------------------------


def moving(n, style):
    """The updates of Adam in float32, and of a value that is read again after its new value could have been begun."""
    rng = np.random.default_rng(0)
    g = sg.symbol("g", (n,), "float32")
    m, v, p, q = (sg.parameter(rng.uniform(0.5, 2, n).astype("float32"), name) for name in "mvpq")
    new_m, new_v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    updates = {
        m: new_m,
        v: new_v,
        p: p - 0.01 * new_m / (sg.sqrt(new_v) + 1e-8),
        q: sg.exp(-q) * 0.5 + sg.sin(g) * sg.cos(q),
    }
    return sg.function([g], sg.sum(p * q), updates, style=style, threads=1), [m, v, p, q]


@pytest.mark.parametrize("n", [7, 300_001])
def test_large_updates_begin_in_the_arrays_that_they_end_in(n):
    gradient = np.random.default_rng(1).normal(size=n).astype("float32")
    (fast, found), (plain, expected) = moving(n, "fast"), moving(n, "plain")
    for _ in range(3):
        np.testing.assert_allclose(fast(gradient), plain(gradient), rtol=1e-5)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.value, b.value, rtol=2e-6, atol=1e-6)
    if n > 7:
        assert "np.multiply(0.9, m, out=m)" in fast.source and "np.multiply(0.999, v, out=v)" in fast.source
        assert (
            "np.exp(q, out=q)" not in fast.source and "np.negative(q, out=q)" not in fast.source
        )  # cos(q) comes later
