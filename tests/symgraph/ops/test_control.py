"""cond: closures become operands, only the taken branch runs, derivatives of any order, clear errors."""

import pickle

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import Body, Constant, toposort
from symgraph.ops.control import Cond
from symgraph.ops.late import F
from symgraph.testing.gradients import check_grads

rng = np.random.default_rng(0)
A, B = rng.uniform(0.5, 1.5, 3), rng.uniform(0.5, 1.5, 3)
x, p = sg.symbol("x", (3,)), sg.symbol("p")


def op_of(y):
    (found,) = [node for node in toposort([y]) if isinstance(node.op, Cond)]
    return found


def test_the_taken_branch_gives_the_value():
    y = sg.cond(p > 0, lambda a: sg.sin(a), lambda a: a * 2, x)
    for value, expected in [(1.0, np.sin(A)), (-1.0, A * 2)]:
        np.testing.assert_allclose(sg.evaluate(y, {x: A, p: value}), expected)
        np.testing.assert_allclose(F.interpret([y], {x: A, p: value})[0], expected)


def test_nestings_of_operands_and_results():
    y = sg.cond(
        p,
        lambda d: {"s": d["a"] + d["b"][0], "t": (d["a"].sum(),)},
        lambda d: {"s": d["a"], "t": (1.0,)},
        {"a": x, "b": [x]},
    )
    assert (y["s"].shape, y["t"][0].shape) == ((3,), ())
    f = sg.function([x, p], y)
    np.testing.assert_allclose(f(A, 2.0)["s"], 2 * A)
    assert f(A, 0.0)["t"] == (1.0,)


def test_captured_tensors_become_operands_once():
    h = sg.exp(x)
    y = sg.cond(p > 0, lambda a: a * h + sg.log(h), lambda a: a - x, x)
    node = op_of(y)
    assert node.inputs == ((p > 0), x, h)
    assert all(isinstance(body, Body) for body in (node.op.true, node.op.false))


def test_what_a_branch_builds_stays_in_the_branch():
    y = sg.cond(p > 0, lambda: sg.log(x).sum(), lambda: 0.0)
    assert op_of(y).inputs == ((p > 0), x)
    with np.errstate(all="raise"):
        assert sg.evaluate(y, {x: np.zeros(3), p: -1.0}) == 0
        np.testing.assert_array_equal(sg.evaluate(sg.grad(y, x), {x: np.zeros(3), p: -1.0}), np.zeros(3))


def test_constants_move_inside():
    y = sg.cond(p > 0, lambda a: a * np.arange(3.0), lambda a: a, x)
    g = sg.grad(y.sum(), x)
    assert not any(isinstance(operand.op, Constant) for operand in op_of(y).inputs)
    np.testing.assert_allclose(sg.evaluate(g, {x: A, p: 1.0}), np.arange(3.0))


def test_equal_conds_are_one_node():
    def build():
        return sg.cond(p > 0, lambda a: sg.sin(a) * x, lambda a: a, x)

    assert build() is build()


def test_an_output_of_an_outer_op_with_several_is_captured():
    m = sg.symbol("m", (2, 2))
    w, v = F.eigh(m)
    y = sg.cond(p > 0, lambda: w + v[0], lambda: w)
    np.testing.assert_allclose(sg.evaluate(y, {m: np.diag([1.0, 2.0]), p: -1.0}), [1.0, 2.0])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_derivatives_to_second_order(sign):
    test = sg.constant(sign) > 0
    check_grads(lambda a, b: sg.cond(test, lambda u: sg.sin(u) * b * sg.exp(a), lambda u: u**3 + b, a), A, B, order=2)

    def nested(a, b):
        first = lambda u, w: (sg.sin(u) * w, [u.sum()])
        inner = lambda u, w: sg.cond(w.sum() > 0, lambda q: (q * u).sum(), lambda q: (q * w * u**2).sum(), w)
        second = lambda u, w: (w / u, [inner(u, w)])
        y, (s,) = sg.cond(test, first, second, a, b)
        return y * s

    check_grads(nested, A, B, order=2)


def test_outputs_without_derivative():
    s, i = sg.cond(p > 0, lambda a: (a.sum(), sg.argmax(a)), lambda a: ((a * a).sum(), sg.argmin(a)), x)
    assert i.dtype == np.int64
    np.testing.assert_allclose(sg.evaluate(sg.grad(s, x), {x: A, p: -1.0}), 2 * A)
    np.testing.assert_allclose(sg.evaluate(sg.jvp(s, x, sg.ones_like(x)), {x: A, p: 1.0}), 3.0)


def test_an_operand_that_no_branch_uses_has_gradient_zero():
    y = sg.cond(p > 0, lambda a, b: a.sum(), lambda a, b: 0.0, x, sg.symbol("b"))
    assert len(op_of(y).inputs) == 2


def test_masks_stop_what_an_untaken_where_would_leak():
    y = sg.where(p > 5, sg.cond(p > 0, lambda a: sg.sqrt(a).sum(), lambda a: a.sum(), x), 0.0)
    np.testing.assert_array_equal(sg.evaluate(sg.grad(y, x), {x: np.zeros(3), p: 1.0}), np.zeros(3))


def test_scalars_adapt_and_single_precision_stays():
    f = sg.symbol("f", (), "float32")
    y = sg.cond(f > 0, lambda a: a * 2, lambda a: 0, f)
    assert y.dtype == sg.grad(y, f).dtype == np.float32


def test_symbolic_sizes():
    n = sg.symbol("n", ("batch", 2))
    y = sg.cond(p > 0, lambda: n * 2, lambda: sg.zeros_like(n))
    assert str(y.shape) == "(batch, 2)"
    f = sg.function([n, p], [y, sg.grad(y.sum(), n)])
    for value in (1.0, -1.0):
        found = f(np.ones((4, 2)), value)
        assert [z.sum() for z in found] == ([16.0, 16.0] if value > 0 else [0.0, 0.0])


def test_a_size_that_no_operand_has():
    n = sg.symbol("n", ("batch", 2))
    y = sg.cond(p > 0, lambda: sg.zeros(n.shape), lambda: sg.ones((2 * n.shape[0], 2))[::2]) * n
    f = sg.function([n, p], [y, sg.grad(y.sum(), n)])
    np.testing.assert_array_equal(f(np.full((3, 2), 5.0), -1.0)[0], np.full((3, 2), 5.0))
    assert not f(np.ones((3, 2)), 1.0)[1].any()
    np.testing.assert_array_equal(F.interpret([y], {n: np.ones((3, 2)), p: -1.0})[0], np.ones((3, 2)))


def test_a_function_with_branches_pickles():
    f = sg.function([x, p], sg.cond(p > 0, lambda a: sg.sin(a), lambda a: a, x))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(f))(A, 1.0), f(A, 1.0))


@pytest.mark.parametrize(
    "build, error, message",
    [
        (
            lambda: sg.cond(p > 0, lambda: x, lambda: p),
            sg.ShapeError,
            r"gives \(3,\) float64 and the false branch \(\) float64",
        ),
        (lambda: sg.cond(p > 0, lambda: x, lambda: x.astype("float32")), sg.DTypeError, "Cast one of them"),
        (lambda: sg.cond(p > 0, lambda: (x,), lambda: [x]), sg.ShapeError, "one nesting"),
        (lambda: sg.cond(p > 0, lambda: {"a": x}, lambda: {"b": x}), sg.ShapeError, "one nesting"),
        (lambda: sg.cond(x > 0, lambda: x, lambda: x), sg.DTypeError, r"reduce it with all\(\) or any\(\)"),
        (lambda: sg.cond(p > 0, lambda: (), lambda: ()), sg.ShapeError, "return no tensor"),
    ],
)
def test_mistakes_are_explained(build, error, message):
    with pytest.raises(error, match=message) as caught:
        build()
    assert "test_control.py:" in str(caught.value)
