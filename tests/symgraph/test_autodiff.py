"""What `grad`, `vjp`, `jvp`, `hvp`, `jacobian` and `hessian` mean: nestings, variables, dtypes, complex numbers, any order."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol, toposort
from symgraph.interpreter import interpret
from symgraph.ops.late import F

RNG = np.random.default_rng(0)


def value(node, **given):
    """The value of a node; leaves are found by name."""
    leaves = {n.name: n for n in toposort([node]) if n.op.name == "symbol"}
    return interpret([node], {leaves[k]: v for k, v in given.items() if k in leaves})[0]


x1, x2 = symbol("x1"), symbol("x2")
x, y, v, w = (symbol(n, 3) for n in "xyvw")
A = symbol("A", (3, 3))


# The lectures' example -----------------------------------------------------------------------------------------------


def test_reverse_accumulation():
    d1, d2 = sg.simplify(sg.grad(x1 * x2 + sg.sin(x1), (x1, x2)))
    assert d1 is x2 + sg.cos(x1)
    assert d2 is x1


def test_forward_accumulation():
    f = x1 * x2 + sg.sin(x1)
    assert sg.jvp(f, (x1, x2), (1.0, 0.0)).shape == ()
    assert sg.simplify(sg.jvp(f, (x1, x2), (0.0, 1.0))) is x1
    assert sg.simplify(sg.jvp(f, x1, 1.0)) is x2 + sg.cos(x1)
    assert value(sg.jvp(f, (x1, x2), (2.0, 5.0)), x1=0.5, x2=3.0) == pytest.approx(2 * (3 + np.cos(0.5)) + 5 * 0.5)


def test_a_derivative_is_a_node_of_the_same_graph():
    e = sg.exp(x1)
    assert sg.simplify(sg.grad(e, x1)) is e
    assert sg.simplify(sg.grad(sg.grad(sg.sin(x1), x1), x1)) is -sg.sin(x1)


# Nestings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nest",
    [
        lambda a, b: [a, b],
        lambda a, b: (a, b),
        lambda a, b: {"a": a, "b": b},
        lambda a, b: {"outer": [a, (b,)]},
        lambda a, b: [{"a": a}, b],
    ],
)
def test_results_have_the_nesting_of_the_variables(nest):
    f = sg.sum(x * x * y)
    da, db = sg.grad(f, [x, y])
    expected = nest(da, db)
    assert type(sg.grad(f, nest(x, y))) is type(expected)
    assert _same(sg.grad(f, nest(x, y)), expected)
    assert _same(sg.vjp(f, nest(x, y), 1.0), expected)
    assert _same(sg.value_and_grad(f, nest(x, y)), (f, expected))
    assert sg.jvp(f, nest(x, y), nest(x, y)).shape == ()
    assert _same_shapes(sg.hvp(f, nest(x, y), nest(x, y)), nest(x, y))


def _same(a, b):
    (a, _), (b, _) = sg.pytree.flatten(a), sg.pytree.flatten(b)
    return len(a) == len(b) and all(p is q for p, q in zip(a, b))


def _same_shapes(a, b):
    (a, _), (b, _) = sg.pytree.flatten(a), sg.pytree.flatten(b)
    return [p.shape for p in a] == [q.shape for q in b]


def test_nested_outputs_take_nested_cotangents():
    outputs = {"s": sg.sin(x), "p": (x * y, sg.sum(y))}
    dx, dy = sg.vjp(outputs, (x, y), {"s": v, "p": (v, 2.0)})
    numbers = {"x": RNG.normal(size=3), "y": RNG.normal(size=3), "v": RNG.normal(size=3)}
    np.testing.assert_allclose(value(dx, **numbers), numbers["v"] * (np.cos(numbers["x"]) + numbers["y"]))
    np.testing.assert_allclose(value(dy, **numbers), numbers["v"] * numbers["x"] + 2)
    tangents = sg.jvp(outputs, (x, y), (v, sg.zeros_like(y)))
    assert tangents.keys() == outputs.keys() and isinstance(tangents["p"], tuple)
    np.testing.assert_allclose(value(tangents["p"][0], **numbers), numbers["v"] * numbers["y"])


def test_jacobians_nest_outputs_outside_and_variables_inside():
    J = sg.jacobian({"f": sg.sin(x), "g": A @ x}, (x, A))
    assert J["f"][0].shape == (3, 3) and J["g"][1].shape == (3, 3, 3)
    H = sg.hessian(sg.sum((A @ x) ** 2), {"x": x, "A": A})
    assert H["x"]["A"].shape == (3, 3, 3) and H["A"]["A"].shape == (3, 3, 3, 3)


# What a variable may be ----------------------------------------------------------------------------------------------


def test_an_unreached_variable_is_named():
    with pytest.raises(
        sg.GradientError, match=r"does not depend on y \(3,\) float64 .made at test_autodiff.py:\d+.*zero"
    ):
        sg.grad(sg.sum(x), [x, y])
    with pytest.raises(sg.GradientError, match="does not depend on y"):
        sg.vjp(sg.sin(x), y, v)


def test_an_unreached_variable_gets_zeros_when_asked():
    dx, dy = sg.grad(sg.sum(x), [x, y], unused="zero")
    assert dx.shape == (3,) and dy is sg.zeros_like(y)
    assert sg.vjp(sg.sin(x), y, v, unused="zero") is sg.zeros_like(y)
    assert sg.value_and_grad(sg.sum(x), y, unused="zero")[1] is sg.zeros_like(y)
    assert value(sg.jvp(sg.sin(x), y, v)).tolist() == [0, 0, 0]
    assert value(sg.jacobian(sg.sin(x), y), x=np.ones(3)).tolist() == np.zeros((3, 3)).tolist()


def test_second_derivatives_raise_for_an_unreached_variable_when_asked():
    for derive in (sg.jacobian, sg.hessian, sg.laplacian, lambda f, wrt, unused: sg.hvp(f, wrt, v, unused)):
        with pytest.raises(sg.GradientError, match="does not depend on y"):
            derive(sg.sum(x**2), y, unused="raise")
        with pytest.raises(sg.GradientError, match="'raise' or 'zero'"):
            derive(sg.sum(x**2), x, unused="ignore")
        derive(sg.sum(x**2), x, unused="raise")


def test_forward_mode_and_structure_have_the_order_of_their_derivative():
    f = sg.sum(sg.sin(x) ** 2)
    assert sg.jvp(f, x, v).order == 1 and sg.jacobian(sg.sin(x), x).order == 1
    assert sg.hessian(f, x).order == 2 and sg.hvp(f, x, v).order == 2
    assert sg.taylor(f, x, v, 2)[1].order == 1


def test_unused_is_raise_or_zero():
    with pytest.raises(sg.GradientError, match="'raise' or 'zero'"):
        sg.grad(sg.sum(x), x, unused="ignore")


def test_a_variable_reached_only_through_ints_is_reached():
    assert value(sg.grad(sg.sum(sg.floor(x)), x), x=np.ones(3)).tolist() == [0, 0, 0]
    assert value(sg.grad(sg.sum(x.astype("int64").astype("float64")), x), x=np.ones(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("dtype", "word"), [("int64", "int"), ("uint8", "int"), ("bool", "bool")])
def test_ints_and_bools_are_constants(dtype, word):
    k = symbol("k", 3, dtype)
    for differentiate in (
        lambda: sg.grad(sg.sum(k * 2.0), k),
        lambda: sg.jvp(k * 2.0, k, np.ones(3)),
        lambda: sg.vjp(k * 2.0, k, np.ones(3)),
        lambda: sg.jacobian(k * 2.0, k),
    ):
        with pytest.raises(sg.GradientError, match=f"k .*{dtype}.*: {word} values are constants of differentiation"):
            differentiate()
    with pytest.raises(sg.GradientError, match=f"{word} values"):
        sg.grad(symbol("m", (), dtype), x)
    with pytest.raises(sg.GradientError, match=f"{word} values"):
        sg.jacobian(symbol("m", 2, dtype), x)


def test_a_loss_is_a_real_scalar():
    with pytest.raises(sg.GradientError, match=r"sin \(3,\) float64 .*must be a scalar; reduce it with sum or mean"):
        sg.grad(sg.sin(x), x)
    with pytest.raises(sg.GradientError, match="must be real; take its real part or abs"):
        z = symbol("z", (), "complex128")
        sg.grad(z * z, z)
    with pytest.raises(sg.GradientError, match="scalar"):
        sg.hessian(sg.sin(x), x)


def test_what_is_no_tensor_of_the_graph_is_refused():
    with pytest.raises(TypeError, match=r"wrt\['a'\] must be a tensor of the graph, not 1.0"):
        sg.grad(sg.sum(x), {"a": 1.0})
    with pytest.raises(TypeError, match="must be a tensor"):
        sg.grad(sg.sum(x), "x")
    with pytest.raises(sg.GradientError, match="no variable"):
        sg.grad(sg.sum(x), [])


def test_cotangents_and_tangents_must_fit():
    with pytest.raises(sg.ShapeError, match=r"cotangent of sin \(3,\) float64 and .*Use broadcast_to"):
        sg.vjp(sg.sin(x), x, 1.0)
    with pytest.raises(sg.ShapeError, match="tangent"):
        sg.jvp(sg.sin(x), x, np.ones(4))
    with pytest.raises(sg.ShapeError, match="1 tangents for 2"):
        sg.jvp(x * y, [x, y], [v])
    with pytest.raises(sg.DTypeError, match="real"):
        sg.jvp(sg.sin(x), x, np.ones(3, complex))


# Intermediate nodes --------------------------------------------------------------------------------------------------


def test_an_intermediate_node_is_a_frozen_leaf():
    """log(1 + e) with e = exp(x): with respect to e it is 1 / (1 + e), whatever e is made of."""
    e = sg.exp(x1)
    f = sg.log(1 + e)
    assert sg.sigmoid(x1) not in set(toposort([sg.grad(f, e)]))
    assert sg.sigmoid(x1) not in set(toposort([sg.jvp(f, e, 1.0)]))
    assert sg.simplify(sg.grad(f, x1)) is sg.sigmoid(x1)
    s = 1 + e
    np.testing.assert_allclose(value(sg.grad(sg.log(s), s), x1=1.3), 1 / (1 + np.exp(1.3)))
    np.testing.assert_allclose(value(sg.grad(f, e), x1=1.3), 1 / (1 + np.exp(1.3)))


def test_a_variable_and_an_intermediate_node_of_it():
    """Reverse mode gives the total derivative of x and the adjoint of h, both in one sweep."""
    h = x * x
    f = sg.sum(sg.sin(h) * x)
    dx, dh = sg.grad(f, [x, h])
    n = RNG.normal(size=3)
    np.testing.assert_allclose(value(dh, x=n), np.cos(n * n) * n)
    np.testing.assert_allclose(value(dx, x=n), np.cos(n * n) * n * 2 * n + np.sin(n * n))


def test_a_variable_that_depends_on_another_moves_with_it_in_both_modes():
    """Forward mode is the transpose of reverse mode also when one variable is made from the other."""
    h = x * x
    f = h * x
    n, dx, dh = RNG.normal(size=(3, 3))
    moved = value(sg.jvp(f, [x, h], [v, w]), x=n, v=dx, w=dh)
    np.testing.assert_allclose(moved, n * (dh + 2 * n * dx) + n * n * dx)
    gx, gh = sg.vjp(f, [x, h], v)
    np.testing.assert_allclose(value(gx, x=n, v=dx), 3 * n * n * dx)
    np.testing.assert_allclose(value(gh, x=n, v=dx), n * dx)
    np.testing.assert_allclose(value(sg.jvp(f, h, v), x=n, v=np.ones(3)), n)


def test_the_output_itself_may_be_the_variable():
    f = sg.sum(x)
    assert value(sg.grad(f, f)) == 1
    assert sg.vjp(x, x, v) is v
    assert sg.jvp(x, x, v) is v


def test_the_same_variable_twice():
    a, b = sg.grad(sg.sum(x * x), [x, x])
    assert a is b


# stop_gradient and substitute ----------------------------------------------------------------------------------------


def test_stop_gradient_is_a_constant_of_differentiation():
    f = sg.sum(x * sg.stop_gradient(x))
    n = RNG.normal(size=3)
    np.testing.assert_allclose(value(sg.grad(f, x), x=n), n)
    np.testing.assert_allclose(value(f, x=n), n @ n)
    np.testing.assert_allclose(value(sg.jvp(f, x, np.ones(3)), x=n), n.sum())
    g = sg.grad(sg.sum(sg.stop_gradient(sg.exp(x))), x, unused="zero")
    assert value(g, x=n).tolist() == [0, 0, 0]


def test_substitute_replaces_nodes_and_keeps_the_rest():
    h = sg.exp(x)
    f = sg.sum(h * y)
    assert sg.substitute(f, {h: y}) is sg.sum(y * y)
    assert sg.substitute({"a": f, "b": [y]}, {x: v})["a"] is sg.sum(sg.exp(v) * y)
    assert sg.substitute(f, {v: x}) is f
    assert value(sg.substitute(f, {x: np.zeros(3), y: np.ones(3)})) == 3
    with pytest.raises(sg.ShapeError, match="substitute of x"):
        sg.substitute(f, {x: x1})
    with pytest.raises(sg.DTypeError, match="astype"):
        sg.substitute(f, {x: symbol("w", 3, "float32")})
    with pytest.raises(TypeError, match="substitute replaces tensors"):
        sg.substitute(f, {"x": y})


def test_the_derivative_of_a_substituted_graph():
    f = sg.sum(sg.sin(x))
    n = RNG.normal(size=3)
    np.testing.assert_allclose(value(sg.grad(sg.substitute(f, {x: y * y}), y), y=n), 2 * n * np.cos(n * n))


# Products with Hessians and Jacobians --------------------------------------------------------------------------------


def test_hvp_is_the_hessian_times_the_vector():
    f = sg.sum(sg.sin(A @ x) * x)
    n = {"x": RNG.normal(size=3), "A": RNG.normal(size=(3, 3)), "v": RNG.normal(size=3)}
    H = value(sg.hessian(f, x), **n)
    np.testing.assert_allclose(H, H.T, atol=1e-12)
    np.testing.assert_allclose(value(sg.hvp(f, x, v), **n), H @ n["v"])


def test_a_jacobian_is_made_of_its_rows_and_columns():
    f = sg.tanh(A @ x)
    n = {"x": RNG.normal(size=3), "A": RNG.normal(size=(3, 3))}
    J = value(sg.jacobian(f, x), **n)
    np.testing.assert_allclose(J, (1 - np.tanh(n["A"] @ n["x"]) ** 2)[:, None] * n["A"])
    for i in range(3):
        np.testing.assert_allclose(value(sg.jvp(f, x, np.eye(3)[i]), **n), J[:, i])
        np.testing.assert_allclose(value(sg.vjp(f, x, np.eye(3)[i]), **n), J[i])


def test_the_shape_of_a_jacobian():
    M = symbol("M", (2, 4))
    assert sg.jacobian(M * M, M).shape == (2, 4, 2, 4)
    assert sg.jacobian(sg.sum(M), M).shape == (2, 4)
    assert sg.jacobian(x1 * x2, x1).shape == ()
    assert sg.jacobian(x * x1, x1).shape == (3,)
    n = RNG.normal(size=(2, 4))
    J = value(sg.jacobian(M * M, M), M=n).reshape(8, 8)
    np.testing.assert_allclose(J, np.diag(2 * n.ravel()))


def test_jacobians_with_symbolic_dimensions():
    w = symbol("w", ("n",))
    W = symbol("W", ("m", "n"))
    J = sg.jacobian(sg.sin(W @ w), w)
    assert [str(s) for s in J.shape] == ["m", "n"]
    f = sg.function([W, w], [J, sg.hessian(sg.sum(w**3), w)])
    for m, n in ((2, 3), (4, 1), (1, 5)):
        Wn, wn = RNG.normal(size=(m, n)), RNG.normal(size=n)
        jacobian, hessian = f(Wn, wn)
        np.testing.assert_allclose(jacobian, np.cos(Wn @ wn)[:, None] * Wn)
        np.testing.assert_allclose(hessian, np.diag(6 * wn))


def test_gradients_with_symbolic_dimensions():
    X, w = symbol("X", ("batch", 4)), symbol("w", 4)
    loss = sg.mean((X @ w) ** 2)
    g = sg.grad(loss, w)
    assert g.shape == (4,)
    Xn, wn = RNG.normal(size=(7, 4)), RNG.normal(size=4)
    np.testing.assert_allclose(sg.evaluate(g, {X: Xn, w: wn}), 2 * Xn.T @ (Xn @ wn) / 7)
    gX = sg.grad(loss, X)
    assert str(gX.shape[0]) == "batch"
    np.testing.assert_allclose(sg.evaluate(gX, {X: Xn, w: wn}), 2 * np.outer(Xn @ wn, wn) / 7)


# Any order -----------------------------------------------------------------------------------------------------------


def test_the_sixth_derivative_agrees_with_sympy():
    sympy = pytest.importorskip("sympy")
    s = sympy.Symbol("x")
    f, expected = sg.tanh(x1 * sg.sin(x1)), sympy.tanh(s * sympy.sin(s))
    points = (0.0, 0.3, -0.7, 1.1)
    forward = f
    for order in range(1, 7):
        f, forward, expected = sg.grad(f, x1), sg.jvp(forward, x1, 1.0), sympy.diff(expected, s)
        exact = [float(expected.evalf(30, subs={s: p})) for p in points]
        np.testing.assert_allclose(
            [value(f, x1=p) for p in points], exact, rtol=1e-9, atol=1e-9, err_msg=f"order {order}"
        )
        np.testing.assert_allclose([value(forward, x1=p) for p in points], exact, rtol=1e-9, atol=1e-9)
    compiled = sg.function([x1], f)
    np.testing.assert_allclose([compiled(p) for p in points], exact, rtol=1e-9, atol=1e-9)


def test_mixed_partial_derivatives_commute():
    f = sg.exp(x1 * sg.cos(x2)) / (1 + x1 * x1)
    a, b = sg.grad(sg.grad(f, x1), x2), sg.grad(sg.grad(f, x2), x1)
    np.testing.assert_allclose(value(a, x1=0.7, x2=-0.4), value(b, x1=0.7, x2=-0.4))


# dtypes --------------------------------------------------------------------------------------------------------------


def wide_nodes(outputs):
    return [
        n for n in toposort(outputs) if not isinstance(n.aval, tuple) and n.dtype in ("float64", "complex128", "int32")
    ]


@pytest.mark.parametrize("order", [1, 2])
def test_single_precision_stays_single_precision(order):
    X, W, b = symbol("X", ("batch", 4), "float32"), symbol("W", (4, 3), "float32"), symbol("b", 3, "float32")
    k = symbol("k", ("batch",), "int64")
    h = sg.softplus(X @ W + b) * 0.5 + sg.sqrt(1 + sg.square(X @ W)) / 3 + sg.gelu(X @ W) + sg.relu(X @ W) ** 2
    logp = sg.log_softmax(h, axis=1)
    loss = (
        -sg.take_along_axis(logp, k[:, None], axis=1).mean() + 0.01 * F.norm(W) ** 2 + sg.var(h) + sg.logsumexp(h) / 2
    )
    wrt = [X, W, b]
    outputs = [loss]
    for _ in range(order):
        loss = sum(sg.sum(g * g) for g in sg.grad(loss, wrt))
        outputs.append(loss)
    assert not [n for n in wide_nodes(outputs) if n.leafy], [n for n in wide_nodes(outputs) if n.leafy]
    f = sg.function([X, k, W, b], outputs)
    Xn = RNG.normal(size=(5, 4)).astype("f")
    found = f(Xn, RNG.integers(0, 3, 5), RNG.normal(size=(4, 3)).astype("f"), np.zeros(3, "f"))
    assert all(r.dtype == np.float32 for r in found)


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64"])
def test_derivatives_have_the_dtype_of_their_variable(dtype):
    u = symbol("u", 3, dtype)
    f = sg.sum(abs(sg.sin(u) * 2.0) ** 2)
    assert sg.grad(f, u).dtype == dtype
    w = symbol("w", 3, "float64")
    mixed = sg.sum(sg.real(u) * w)
    du, dw = sg.grad(mixed, [u, w])
    assert du.dtype == dtype and dw.dtype == "float64"
    assert sg.jvp(sg.sin(u), u, np.ones(3, dtype)).dtype == dtype


# Complex numbers -----------------------------------------------------------------------------------------------------


def by_differences(f, z, step=1e-6):
    """df/dx - i df/dy, element by element."""
    found = np.zeros_like(z)
    for i in np.ndindex(z.shape):
        d = np.zeros_like(z)
        d[i] = step
        found[i] = (f(z + d) - f(z - d) - 1j * (f(z + 1j * d) - f(z - 1j * d))) / (2 * step)
    return found


@pytest.mark.parametrize(
    "build",
    [
        lambda z: sg.sum(abs(z) ** 2),
        lambda z: sg.sum(sg.real(z * z)),
        lambda z: sg.sum(sg.imag(z * z)),
        lambda z: sg.real(sg.sum(sg.exp(z) * sg.conj(z))),
        lambda z: abs(sg.sum(z * z * (1 + 2j))),
        lambda z: sg.real(sg.sum(sg.sin(z) / (3 + z))),
        lambda z: sg.real(sg.conj(z) @ z[::-1]),
        lambda z: sg.sum(abs(sg.sqrt(z) + sg.log(z))),
    ],
)
def test_the_complex_gradient(build):
    z = symbol("z", 3, "complex128")
    n = RNG.normal(size=3) + 1j * RNG.normal(size=3)
    f = build(z)
    assert f.dtype == "float64"
    expected = by_differences(lambda m: value(f, z=m), n)
    g = sg.grad(f, z)
    np.testing.assert_allclose(value(g, z=n), expected, rtol=1e-5, atol=1e-7)
    t = RNG.normal(size=3) + 1j * RNG.normal(size=3)
    np.testing.assert_allclose(value(sg.jvp(f, z, t), z=n), np.sum(expected * t).real, rtol=1e-5, atol=1e-7)


def test_the_complex_gradient_by_hand():
    """f = |z|**2 = x**2 + y**2 has df/dx - i df/dy = 2 conj(z); for f = Re z it is 1, for f = Im z it is -i."""
    z = symbol("z", (), "complex128")
    n = 1.5 - 0.7j
    assert value(sg.grad(abs(z) ** 2, z), z=n) == pytest.approx(2 * np.conj(n))
    assert value(sg.grad(sg.real(z), z)) == 1
    assert value(sg.grad(sg.imag(z), z)) == -1j
    assert value(sg.vjp(z * z, z, 1.0), z=n) == pytest.approx(2 * n)  # holomorphic: the derivative itself


def test_real_variables_of_complex_functions_have_real_gradients():
    f = sg.sum(abs(sg.exp(1j * x) + 0.5 * x) ** 2)
    n = RNG.normal(size=3)
    g = sg.grad(f, x)
    assert g.dtype == "float64"
    np.testing.assert_allclose(value(g, x=n), np.cos(n) - n * np.sin(n) + 0.5 * n, rtol=1e-10)


def test_what_a_rule_turns_into_the_variable_is_not_the_variable():
    x = symbol("x", 3)
    a = 0.7 * x
    loss = sg.sum(a) + sg.sum(0.7 * sg.negative(-x))
    assert np.array_equal(value(sg.grad(loss, a), x=np.ones(3)), np.ones(3))
