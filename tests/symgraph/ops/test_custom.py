"""custom_vjp and custom_jvp: the rule is used, in both modes and all orders; it vanishes in compiled code; clear errors."""

import copy
import pickle

import numpy as np
import pytest

import symgraph as sg
from symgraph.batching import vmap
from symgraph.core import toposort
from symgraph.errors import DTypeError, GradientError, ShapeError
from symgraph.ops.custom import custom_jvp, custom_vjp
from symgraph.ops.rules import Again, Custom
from symgraph.testing.gradients import check_grads

x, y = sg.symbol("x", (3,)), sg.symbol("y", (3,))
A, B = np.array([0.3, -0.4, 0.5]), np.array([0.7, 0.2, -0.9])


def vjp_rule(function, forward, backward):
    made = custom_vjp(function)
    made.defvjp(forward, backward)
    return made


def jvp_rule(function, rule):
    made = custom_jvp(function)
    made.defjvp(rule)
    return made


def told(factor):
    """The identity, whose rule says that it multiplies derivatives by `factor`: a rule that can be told from the truth."""
    return vjp_rule(lambda a: a * 1.0, lambda a: (a * 1.0, None), lambda _, ct: (factor * ct,))


def ops_of(node):
    return {type(n.op) for n in toposort([node])}


def test_the_rule_is_used_in_both_modes():
    f = told(7)
    np.testing.assert_array_equal(sg.evaluate(sg.grad(f(x).sum(), x), {x: A}), np.full(3, 7.0))
    np.testing.assert_array_equal(sg.evaluate(sg.jvp(f(x), x, y), {x: A, y: B}), 7 * B)
    g = jvp_rule(lambda a: a * 1.0, lambda xs, ts: (xs[0] * 1.0, 5 * ts[0]))
    np.testing.assert_array_equal(sg.evaluate(sg.grad(g(x).sum(), x), {x: A}), np.full(3, 5.0))
    np.testing.assert_array_equal(sg.evaluate(sg.jvp(g(x), x, y), {x: A, y: B}), 5 * B)


def test_higher_orders_differentiate_the_rule():
    f = vjp_rule(lambda a: a * 1.0, lambda a: (a * 1.0, a), lambda a, ct: (ct * a * a,))  # says f' = a^2, so f'' = 2 a
    once = sg.grad(f(x).sum(), x)
    np.testing.assert_allclose(sg.evaluate(sg.grad(once.sum(), x), {x: A}), 2 * A)
    np.testing.assert_allclose(sg.evaluate(sg.jvp(once, x, y), {x: A, y: B}), 2 * A * B)


def test_a_rule_may_use_its_function():
    exp = custom_jvp(lambda a: sg.exp(a))
    exp.defjvp(lambda xs, ts: (exp(*xs), 3 * exp(*xs) * ts[0]))  # says exp' = 3 exp, so exp'' = 9 exp
    twice = sg.grad(sg.grad(exp(x).sum(), x).sum(), x)
    np.testing.assert_allclose(sg.evaluate(twice, {x: A}), 9 * np.exp(A))
    assert Again not in ops_of(twice)
    root = custom_vjp(lambda a: sg.sqrt(a))
    root.defvjp(lambda a: (root(a), root(a)), lambda r, ct: (ct / (2 * r),))
    check_grads(lambda a: root(a), B**2 + 0.1, order=3)


def test_nestings_several_results_and_static_arguments():
    def f(d, how, pair):
        assert how == "sum"
        return {"s": d["a"] * pair[0], "t": (d["a"].sum() + pair[1],)}

    def forward(d, how, pair):
        return f(d, how, pair), (d["a"], pair, how)

    def backward(kept, ct):
        a, pair, how = kept
        assert how == "sum"
        return {"a": ct["s"] * pair[0] + ct["t"][0]}, None, [(ct["s"] * a).sum(), ct["t"][0]]

    g = vjp_rule(f, forward, backward)
    check_grads(lambda a, p, q: g({"a": a}, "sum", [p, q]), A, np.asarray(0.3), np.asarray(0.6), order=2)
    check_grads(lambda a, p, q: g({"a": a}, pair=[p, q], how="sum")["t"], A, np.asarray(0.3), np.asarray(0.6), order=2)


def test_the_op_is_gone_in_compiled_code_and_shares_what_it_can():
    f = vjp_rule(sg.tanh, lambda a: (sg.tanh(a), sg.tanh(a)), lambda t, ct: (ct * (1 - t * t),))
    source = sg.function([x], [f(x), sg.grad(f(x).sum(), x)], comments=False).source
    assert source.count("np.tanh") == 1 and "custom" not in source
    assert sg.function([x], f(x), comments=False).source == sg.function([x], sg.tanh(x), comments=False).source


def test_the_node_is_plain_data():
    f = told(2)
    assert f(x) is f(x)
    assert copy.deepcopy(f(x)) is f(x)
    node = pickle.loads(pickle.dumps(sg.grad((f(x) ** 2).sum(), x)))
    (leaf,) = [n for n in toposort([node]) if n.op.name == "symbol"]
    np.testing.assert_array_equal(sg.evaluate(node, {leaf: A}), 4 * A)


def test_the_same_tensor_twice_and_captured_tensors():
    f = vjp_rule(lambda a, b: a * b + y, lambda a, b: (a * b + y, (a, b)), lambda r, ct: (ct * r[1], ct * r[0] * 10))
    np.testing.assert_allclose(sg.evaluate(sg.grad(f(x, x).sum(), x), {x: A}), 11 * A)
    with pytest.raises(GradientError, match=r"takes it from outside.*Pass it as an argument"):
        sg.grad(f(x, x).sum(), y)
    with pytest.raises(GradientError, match="takes it from outside"):
        sg.jvp(f(x, x), y, A)
    np.testing.assert_allclose(sg.evaluate(f(x, x), {x: A, y: B}), A * A + B)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 1), ("n", 3)])
def test_shapes(shape):
    z = sg.symbol("z", shape)
    values = np.full([2 if s == "n" else s for s in shape], 0.5)
    for f in (told(3), jvp_rule(lambda a: a * 1.0, lambda xs, ts: (xs[0], 3 * ts[0]))):
        found = sg.evaluate(sg.grad(f(z).sum(), z), {z: values})
        np.testing.assert_array_equal(found, np.full(values.shape, 3.0))


def test_single_precision_stays():
    z = sg.symbol("z", (3,), "float32")
    for f in (told(3.5), jvp_rule(lambda a: a * 1.0, lambda xs, ts: (xs[0], 3.5 * ts[0]))):
        assert f(z).dtype == sg.grad(f(z).sum(), z).dtype == sg.jvp(f(z), z, z).dtype == np.float32
    wide = vjp_rule(lambda a: a * 2, lambda a: (a * 2, None), lambda _, ct: (sg.astype(ct, "float64"),))
    assert sg.grad(wide(z).sum(), z).dtype == np.float32


def test_integer_arguments_and_results_have_no_derivatives():
    k = sg.symbol("k", (3,), "int64")

    def backward(kept, ct):
        assert ct[1] is None
        return ct[0] * kept, None

    f = vjp_rule(lambda a, n: (a * n, n + 1), lambda a, n: ((a * n, n + 1), n), backward)
    found = sg.grad(f(x, k)[0].sum(), x)
    np.testing.assert_array_equal(sg.evaluate(found, {k: np.arange(3)}), [0.0, 1.0, 2.0])
    g = vjp_rule(lambda a, n: a * n, lambda a, n: (a * n, n), lambda n, ct: (ct * n, ct))
    with pytest.raises(GradientError, match="argument 1 is int64"):
        g(x, k)


def test_complex_follows_the_pairing_of_the_library():
    z = sg.symbol("z", (2,), "complex128")
    f = vjp_rule(lambda a: a * a, lambda a: (a * a, a), lambda a, ct: (2 * a * ct,))
    value = np.array([1 + 2j, 0.5 - 1j])
    for loss in (lambda u: sg.real(u).sum(), lambda u: sg.absolute(u).sum()):
        np.testing.assert_allclose(
            sg.evaluate(sg.grad(loss(f(z)), z), {z: value}), sg.evaluate(sg.grad(loss(z * z), z), {z: value})
        )


def test_an_untaken_branch_does_not_leak():
    log = vjp_rule(sg.log, lambda a: (sg.log(a), a), lambda a, ct: (ct / a,))
    loss = sg.where(x > 0, log(x), 0).sum()
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(sg.evaluate(sg.grad(loss, x), {x: [0.0, 2.0, -1.0]}), [0, 0.5, 0])


def test_a_rule_that_is_not_linear_has_one_mode_only():
    clipped = vjp_rule(lambda a: a * 1.0, lambda a: (a * 1.0, None), lambda _, ct: (sg.clip(ct, -1, 1),))
    np.testing.assert_array_equal(sg.evaluate(sg.grad((10 * clipped(x)).sum(), x)), np.ones(3))
    with pytest.raises(GradientError, match="not linear in the cotangents"):
        sg.jvp(clipped(x), x, y)
    squared = jvp_rule(lambda a: a * 1.0, lambda xs, ts: (xs[0], ts[0] ** 2))
    with pytest.raises(GradientError, match="not linear in the tangents"):
        sg.grad(squared(x).sum(), x)


def test_a_batch_uses_the_rule():
    rows = sg.symbol("rows", ("n", 3))
    values = np.stack([A, B])
    w = sg.symbol("w", (3,))
    f = vjp_rule(lambda a, b: a @ b, lambda a, b: (a @ b, (a, b)), lambda r, ct: (ct * r[1] * 5, ct * r[0] * 7))
    made = vmap(lambda row: f(row, w))(rows)
    assert any(isinstance(op, type) and issubclass(op, Custom) for op in ops_of(made))
    np.testing.assert_allclose(sg.evaluate(made, {rows: values, w: B}), values @ B)
    found = sg.evaluate(sg.grad(made.sum(), (rows, w)), {rows: values, w: B})
    np.testing.assert_allclose(found[0], np.stack([5 * B, 5 * B]))
    np.testing.assert_allclose(found[1], 7 * (A + B))
    exp = custom_jvp(sg.exp)
    exp.defjvp(lambda xs, ts: (exp(*xs), 3 * exp(*xs) * ts[0]))
    twice = sg.grad(sg.grad(vmap(exp)(rows).sum(), rows).sum(), rows)
    np.testing.assert_allclose(sg.evaluate(twice, {rows: values}), 9 * np.exp(values))
    pushed = sg.jvp(vmap(lambda row: f(row, w))(rows), w, A)
    np.testing.assert_allclose(sg.evaluate(pushed, {rows: values}), 7 * values @ A)


def test_inside_a_loop_and_a_branch():
    f = told(7)
    rows = sg.symbol("rows", (2, 3))
    found = sg.evaluate(sg.grad(sg.map_rows(lambda r: f(r), rows).sum(), rows), {rows: np.stack([A, B])})
    np.testing.assert_array_equal(found, np.full((2, 3), 7.0))
    p = sg.symbol("p")
    chosen = sg.cond(p > 0, lambda: f(x), lambda: x)
    np.testing.assert_array_equal(sg.evaluate(sg.grad(chosen.sum(), x), {x: A, p: 1.0}), np.full(3, 7.0))


def test_without_tensors_it_is_the_function():
    f = told(2)
    assert f(3.0) == 3.0
    np.testing.assert_array_equal(f(A), A)
    assert custom_vjp(told).__name__ == "told"


@pytest.mark.parametrize(
    "forward, backward, message, kind",
    [
        (lambda a: a, lambda r, ct: (ct,), r"forward must return \(out, residuals\)", GradientError),
        (lambda a: (a.sum(), None), lambda r, ct: (ct,), "forward must return first what the function returns", GradientError),
        (lambda a: ([a], None), lambda r, ct: (ct,), "forward must return first what the function returns", GradientError),
        (lambda a: (a * 2, None), lambda r, ct: ct, "must return a tuple of 1", GradientError),
        (lambda a: (a * 2, None), lambda r, ct: (ct, ct), "must return a tuple of 1.*not 2 values", GradientError),
        (lambda a: (a * 2, None), lambda r, ct: ([ct],), "nested like the argument", GradientError),
        (lambda a: (a * 2, None), lambda r, ct: (ct.sum(),), r"argument 0 has the shape \(\).*\(3,\): use sum", ShapeError),
        (lambda a: (a * 2, None), lambda r, ct: (ct > 0,), "is bool. It must be float64", DTypeError),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit(forward, backward, message, kind):
    with pytest.raises(kind, match=message):
        vjp_rule(lambda a: a * 2, forward, backward)(x)


@pytest.mark.parametrize(
    "rule, message, kind",
    [
        (lambda xs, ts: xs[0], r"must return \(out, tangent_out\)", GradientError),
        (lambda xs, ts: (xs[0], [ts[0]]), "nested like the result", GradientError),
        (lambda xs, ts: (xs[0], ts[0].sum()), r"tangent of the result has the shape \(\)", ShapeError),
    ],
)
def test_tangent_rules_that_do_not_fit(rule, message, kind):
    with pytest.raises(kind, match=message):
        jvp_rule(lambda a: a * 2, rule)(x)


def test_none_is_zero():
    f = vjp_rule(lambda a, b: a * b, lambda a, b: (a * b, b), lambda b, ct: (ct * b, None))
    np.testing.assert_array_equal(sg.evaluate(sg.grad(f(x, y).sum(), y, unused="zero")), np.zeros(3))
    g = jvp_rule(lambda a: a * 2, lambda xs, ts: (xs[0], None))
    np.testing.assert_array_equal(sg.evaluate(sg.jvp(g(x), x, y)), np.zeros(3))


def test_a_function_without_its_rule():
    with pytest.raises(GradientError, match=r"give it with <lambda>.defvjp\(forward, backward\)"):
        custom_vjp(lambda a: a)(x)
    with pytest.raises(GradientError, match="defjvp"):
        custom_jvp(lambda a: a)(x)
    with pytest.raises(TypeError, match="takes a function, not 3"):
        custom_vjp(3)


def test_a_long_chain_in_a_body():
    def chain(a):
        for _ in range(5000):
            a = sg.sin(a)
        return a

    f = vjp_rule(chain, lambda a: (chain(a), None), lambda _, ct: (2 * ct,))
    assert sg.evaluate(sg.grad(f(x).sum(), x)).tolist() == [2.0, 2.0, 2.0]
