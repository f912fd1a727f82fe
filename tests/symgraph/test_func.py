"""func: transforms of Python callables, called with arrays or tensors, nested in any order, compiled once per signature."""

import functools
import threading

import numpy as np
import pytest

import symgraph as sg
from symgraph import func
from symgraph.errors import GradientError
from symgraph.staging import MOST_KEPT

X = np.array([0.1, 0.2, 0.3])
Y = np.array([1.0, -2.0, 0.5])


def wave(x):
    return np.sum(np.sin(x) * x)


def slope_of_wave(x):
    return np.cos(x) * x + np.sin(x)


def curvature_of_wave(x):
    return np.diag(2 * np.cos(x) - x * np.sin(x))


def differences(f, x, h=1e-6):
    """Central differences of a function of one array, over the last axes."""
    columns = [(np.asarray(f(x + h * e)) - np.asarray(f(x - h * e))) / (2 * h) for e in np.eye(x.size)]
    return np.stack(columns, axis=-1)


# Values


def test_each_transform_of_a_function():
    np.testing.assert_allclose(func.jit(wave)(X), wave(X))
    np.testing.assert_allclose(func.grad(wave)(X), slope_of_wave(X))
    np.testing.assert_allclose(func.hessian(wave)(X), curvature_of_wave(X))
    np.testing.assert_allclose(func.hvp(wave)(X, Y), curvature_of_wave(X) @ Y)
    value, slope = func.value_and_grad(wave)(X)
    np.testing.assert_allclose(value, wave(X))
    np.testing.assert_allclose(slope, slope_of_wave(X))
    np.testing.assert_allclose(
        func.jacobian(lambda x: np.outer(x, x))(X), differences(lambda x: np.outer(x, x), X), atol=1e-8
    )
    np.testing.assert_allclose(func.vmap(wave)(np.stack([X, Y])), [wave(X), wave(Y)])
    coefficients = func.taylor(lambda t: np.exp(2 * t), 3)(0.0, 1.0)
    np.testing.assert_allclose(coefficients, [1, 2, 2, 4 / 3])


def test_the_laplacian():
    np.testing.assert_allclose(func.laplacian(wave)(X), np.trace(curvature_of_wave(X)))


def test_vjp_and_jvp_take_the_primals():
    y, pullback = func.vjp(lambda a, b: {"p": a * b, "s": np.sum(a)}, X, Y)
    np.testing.assert_allclose(y["p"], X * Y)
    a, b = pullback({"p": Y, "s": 2.0})
    np.testing.assert_allclose(a, Y * Y + 2)
    np.testing.assert_allclose(b, X * Y)
    y, t = func.jvp(lambda a, b: (a * b, a), (X, Y), (Y, X))
    np.testing.assert_allclose(y[0], X * Y)
    np.testing.assert_allclose(t[0], Y * Y + X * X)
    np.testing.assert_allclose(t[1], Y)


def test_vjp_and_jvp_compile_once():
    traced = []

    def f(a):
        traced.append(a)
        return a * a

    for v in (1.0, 2.0, 3.0):
        y, pullback = func.vjp(f, v)
        assert (y, pullback(1.0)) == (v * v, (2 * v,))
        assert func.jvp(f, (v,), (1.0,)) == (v * v, 2 * v)
    assert len(traced) == 3  # the function, its pullback, its tangent


def test_nested_arguments_and_results():
    def loss(weights, pair, scale=1.0):
        return np.sum((pair[0] @ weights["W"] + weights["b"] - pair[1]) ** 2) * scale

    W, x, t = np.ones((3, 2)), np.arange(6.0).reshape(2, 3), np.zeros((2, 2))
    weights = {"W": W, "b": np.array([0.5, -0.5])}
    found = func.grad(loss)(weights, [x, t], scale=0.5)
    error = x @ W + weights["b"] - t
    np.testing.assert_allclose(found["W"], x.T @ error)
    np.testing.assert_allclose(found["b"], error.sum(0))
    to_data = func.grad(loss, argnums=1)(weights, [x, t], scale=0.5)
    assert isinstance(to_data, list)
    np.testing.assert_allclose(to_data[1], -error)
    blocks = func.hessian(loss)(weights, [x, t], scale=0.5)
    assert blocks["W"]["b"].shape == (3, 2, 2)
    np.testing.assert_allclose(blocks["b"]["b"], 2 * np.eye(2))
    result = func.jit(lambda d: [{"out": d["a"] + 1}, (d["a"] * 2,), "as it is", None])({"a": 1.5})
    assert result == [{"out": 2.5}, (3.0,), "as it is", None]


@pytest.mark.parametrize("argnums, expected", [(0, 3.0), (1, 2.0), (-1, 2.0), ((1, 0), (2.0, 3.0)), ((0,), (3.0,))])
def test_argnums(argnums, expected):
    f = lambda a, b: a * b
    assert func.grad(f, argnums)(2.0, 3.0) == expected
    assert func.grad(f, argnums)(*map(sg.constant, (2.0, 3.0))) is not None
    assert func.value_and_grad(f, argnums)(2.0, 3.0) == (6.0, expected)
    assert func.jacobian(f, argnums)(2.0, 3.0) == expected


def test_auxiliary_results():
    f = lambda x: (np.sum(x * x), {"twice": 2 * x, "note": "ok"})
    slope, aux = func.grad(f, has_aux=True)(X)
    np.testing.assert_allclose(slope, 2 * X)
    np.testing.assert_allclose(aux["twice"], 2 * X)
    assert aux["note"] == "ok"
    (value, aux), slope = func.value_and_grad(f, has_aux=True)(X)
    np.testing.assert_allclose(value, np.sum(X * X))
    with pytest.raises(GradientError, match=r"with has_aux=True it must return \(y, aux\)"):
        func.grad(wave, has_aux=True)(X)


def test_an_unused_argument_has_gradient_zero():
    found = func.grad(lambda a, b: np.sum(a), argnums=1)(X, Y)
    np.testing.assert_array_equal(found, np.zeros(3))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_and_dtypes(shape, dtype):
    x = np.full(shape, 0.5, dtype)
    for found in (func.grad(wave)(x), func.jit(np.sin)(x), func.hvp(wave)(x, x)):
        assert np.shape(found) == shape and found.dtype == dtype
    np.testing.assert_allclose(func.grad(wave)(x), slope_of_wave(x), rtol=1e-6)


def test_a_complex_argument():
    z = np.array([1 + 2j, 3 - 1j])
    np.testing.assert_allclose(func.grad(lambda z: np.sum(np.abs(z) ** 2))(z), 2 * z.conj())


# Nested in any order


def test_grad_of_grad():
    assert func.grad(func.grad(func.grad(lambda x: x**4)))(2.0) == 48.0


@pytest.mark.parametrize(
    "made",
    [
        lambda f: func.hessian(f),
        lambda f: func.jit(func.hessian(f)),
        lambda f: func.jacobian(func.grad(f)),
        lambda f: func.jacobian(func.jit(func.grad(f))),
        lambda f: func.jit(func.jacobian(func.grad(func.jit(f)))),
        lambda f: lambda x: func.vmap(lambda v: func.hvp(f)(x, v))(np.eye(3)),
        lambda f: lambda x: func.vmap(lambda v: func.jvp(func.grad(f), (x,), (v,))[1])(np.eye(3)),
        lambda f: lambda x: func.vmap(lambda v: func.vjp(func.grad(f), x)[1](v)[0])(np.eye(3)),
    ],
)
def test_a_hessian_in_many_ways(made):
    f = lambda x: np.sum(np.sin(x)) * np.sum(x**2)
    expected = differences(func.grad(f), X)
    np.testing.assert_allclose(made(f)(X), expected, atol=1e-7)
    x = sg.symbol("x", (3,))
    np.testing.assert_allclose(sg.evaluate(made(f)(x), {x: X}), expected, atol=1e-7)


def test_vmap_of_grad_and_grad_of_vmap():
    rows = np.stack([X, Y, X + Y])
    expected = np.stack([slope_of_wave(r) for r in rows])
    np.testing.assert_allclose(func.vmap(func.grad(wave))(rows), expected)
    np.testing.assert_allclose(func.grad(lambda r: np.sum(func.vmap(wave)(r)))(rows), expected)
    np.testing.assert_allclose(func.jit(func.vmap(func.grad(wave), in_axes=1, out_axes=1))(rows.T), expected.T)
    per_example = func.vmap(func.grad(lambda w, x: np.tanh(x @ w)), in_axes=(None, 0))(X, rows)
    np.testing.assert_allclose(per_example, rows / np.cosh(rows @ X)[:, None] ** 2)


def test_inside_a_graph():
    x = sg.symbol("x", ("n",))
    y = func.grad(wave)(sg.exp(x))
    assert isinstance(y, sg.Tensor)
    np.testing.assert_allclose(sg.evaluate(y, {x: X}), slope_of_wave(np.exp(X)))


# What a derivative is taken of


def test_what_is_taken_from_outside_is_constant():
    assert func.grad(lambda x: func.grad(lambda y: x * y)(x))(3.0) == 1.0
    assert func.jit(lambda x: func.grad(lambda y: y * x)(x))(3.0) == 3.0
    assert func.grad(lambda x: x * func.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    s = sg.symbol("s")
    assert sg.evaluate(func.grad(lambda a: a * s)(s), {s: 3.0}) == 3.0
    assert func.vmap(lambda x: func.grad(lambda y: y * x)(x))(X).tolist() == X.tolist()


def test_arguments_that_are_one_tensor_or_made_of_each_other():
    s = sg.symbol("s")
    f = lambda a, b: a * b
    assert func.grad(f)(s, s) is s
    assert func.grad(f)(s, sg.exp(s)) is sg.exp(s)
    assert sg.evaluate(func.jvp(f, (s, s), (1.0, 0.0))[1], {s: 3.0}) == 3.0
    a, b = func.vjp(f, s, sg.exp(s))[1](1.0)
    assert a is sg.exp(s) and b is s


def test_names_and_lines_go_with_the_graph():
    def f(x):
        h = sg.named(np.tanh(x * 2), "hidden")
        return np.sum(h * h)

    assert "hidden = " in func.jit(func.grad(f)).compiled(X).source
    assert "test_func.py" in func.jit(func.grad(f)).compiled(X).source


# Signatures


def test_compiled_once_for_each_signature():
    traced = []

    def f(x, k=1, how="plain"):
        traced.append((x.shape, x.dtype, k, how))
        return x * k

    g = func.jit(f)
    for _ in range(3):
        g(X), g(X[:2]), g(X.astype("float32")), g(X, k=2), g(X, how="other"), g(X, k=np.float64(3.0)), g(1.5)
    assert len(traced) == 7
    np.testing.assert_allclose(g(X, k=np.float64(5.0)), 5 * X)  # an array by name is an input
    assert len(traced) == 7


def test_static_values_are_told_apart():
    g = func.jit(lambda x, k=None: x if k is None else x + (k is True) * 10 + (type(k) is float) * 100)
    assert [g(1.0, k=k) for k in (None, 1, True, 1.0)] == [1.0, 1.0, 11.0, 101.0]
    with pytest.raises(TypeError, match="static argument cannot be hashed"):
        g(1.0, k={1, 2})


def test_the_cache_is_bounded():
    g = func.jit(lambda x: x + 1)
    for n in range(MOST_KEPT + 10):
        g(np.zeros(n))
    assert len(g._kept) == MOST_KEPT


def test_calls_from_many_threads():
    g = func.jit(func.hessian(wave))
    errors = []

    def work(n):
        try:
            for size in range(1, 6):
                x = np.linspace(0, n, size)
                np.testing.assert_allclose(g(x), curvature_of_wave(x))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors


def test_the_compiled_function():
    def model(weights, rate):
        return np.sum(weights**2) * rate

    slope = func.grad(model)
    compiled = slope.compiled(X, 0.5)
    assert isinstance(compiled, sg.Function)
    assert compiled.source.split("def ")[1].startswith("grad_model(weights, rate)")
    assert compiled is slope.compiled(Y, 1.5)
    np.testing.assert_allclose(compiled(X, 0.5), [X])
    g = func.jit(model)
    assert g.compiled(X, 0.5) is g.compiled(Y, 1.5)
    assert (g.__name__, g.__wrapped__) == ("model", model)
    assert repr(func.grad(model)) == "<func.grad of model>"


def test_parameters_and_methods():
    p = sg.parameter(2.0, "p")
    g = func.jit(lambda x: x * p)
    assert g(3.0) == 6.0
    p.value = 5.0
    assert g(3.0) == 15.0

    class Model:
        @func.jit
        def __call__(self, x):
            return x * 2

        @func.grad
        def ignored(x):
            return x * x

    assert Model()(1.5) == 3.0
    assert func.grad(functools.partial(lambda k, x: k * x, 3.0))(1.0) == 3.0


def test_arguments_are_not_written_and_results_are_owned():
    x = X.copy()
    found = func.jit(lambda x: x)(x)
    found[:] = 7
    np.testing.assert_array_equal(x, X)


# Bad input


def test_integers_are_not_differentiated():
    with pytest.raises(GradientError, match=r"func.grad of square: argument 0 is .*int64.*2\.0 for 2"):

        def square(x):
            return x * x

        func.grad(square)(2)
    with pytest.raises(GradientError, match=r"argument 1\['k'\] is .*int64"):
        func.grad(lambda x, d: x * d["k"], argnums=1)(1.0, {"k": np.array([1, 2])})
    with pytest.raises(GradientError, match="bool"):
        func.jvp(lambda x: x, (True,), (1.0,))
    assert func.grad(lambda x, n: x * n)(2.0, 3) == 3.0


def test_results_that_are_no_scalar():
    with pytest.raises(GradientError, match="must be a scalar"):
        func.grad(lambda x: x * x)(X)
    with pytest.raises(GradientError, match="returns 'tuple': it must return one tensor"):
        func.grad(lambda x: (x, x))(1.0)
    with pytest.raises(GradientError, match="returns None: it must return one tensor"):
        func.hessian(lambda x: None)(1.0)


def test_control_flow_on_values():
    with pytest.raises(TypeError, match="choose with where"):
        func.grad(lambda x: x if x > 0 else -x)(1.0)
    assert func.grad(lambda x, flag=True: x if flag else -x)(1.0, flag=False) == -1.0


def test_symbols_from_outside():
    s = sg.symbol("s")
    y = func.jit(lambda x: np.sum(x * s))(X)
    assert isinstance(y, sg.Tensor)
    np.testing.assert_allclose(sg.evaluate(y, {s: 2.0}), 2 * X.sum())
    with pytest.raises(sg.CompileError, match=r"uses s \(\) float64, a symbol from outside; pass it as an argument"):
        func.jit(lambda x: x * s).compiled(X)


def test_misuse():
    with pytest.raises(TypeError, match=r"func\.grad takes a function, not 3"):
        func.grad(3)
    with pytest.raises(TypeError, match="argnums=2, but it is called with 1 arguments"):
        func.grad(wave, argnums=2)(X)
    with pytest.raises(TypeError, match="each once"):
        func.grad(lambda a, b: a * b, argnums=(0, -2))(1.0, 2.0)
    with pytest.raises(TypeError, match="must be an int"):
        func.grad(wave, argnums=0.5)(X)
    with pytest.raises(TypeError, match="argument 0 is 'text', not a tensor or a number"):
        func.grad(lambda s: s)("text")
    with pytest.raises(TypeError, match="one for each primal"):
        func.jvp(wave, (X,), (X, X))
    with pytest.raises(GradientError, match="nested like the result"):
        func.vjp(lambda x: (x, x), 1.0)[1](1.0)
    with pytest.raises(TypeError, match="last, the vector v"):
        func.hvp(wave)()
