"""A message names what was written and what to write in its place: for NumPy's habits, values, options and names."""

import keyword

import numpy as np
import pytest

import symgraph as sg
from symgraph import substitutes
from symgraph.numpy_api import PUBLIC

x = sg.symbol("x", ("n", 3))
w = sg.symbol("w", (3, 3))
s = sg.symbol("s")
v = sg.symbol("v", 3)
p = sg.parameter(np.ones(3), "p")
f = sg.function([w], w * 2)
MASKED = np.ma.array(np.ones((3, 3)), mask=np.eye(3))


@pytest.mark.parametrize(
    ("attempt", "kind", "message"),
    [
        # Iteration, and what NumPy does with it
        (lambda: [r for r in x], TypeError, r"iteration over x \(n, 3\) .*sum\(x, axis=0\).*vmap\(f\)\(x\)"),
        (lambda: sum(x), TypeError, r"iteration over x .*sum\(x, axis=0\)"),
        (lambda: np.concatenate(x), TypeError, r"iteration over x .*reshape"),
        (lambda: np.stack(x), TypeError, r"iteration over x .*vmap"),
        (lambda: np.concatenate(s), TypeError, r"iteration over s \(\) float64, a 0-d tensor"),
        # Sizes where NumPy wants numbers
        (lambda: np.zeros(x.shape), TypeError, r"the size n is not a number yet.*symgraph\.zeros, ones, full, eye"),
        (lambda: np.eye(x.shape[0]), TypeError, r"the size n .*symgraph\.zeros, ones, full, eye"),
        (lambda: np.full(x.shape, 1.0), TypeError, r"the size n .*full"),
        (lambda: np.arange(x.shape[0]), sg.ShapeError, r"`n != 0` cannot be decided.*symgraph\.arange"),
        (lambda: np.tile(np.ones(3), x.shape[0]), sg.ShapeError, r"symgraph\.tile"),
        # Lists of tensors
        (lambda: np.array([s, s]), TypeError, r"conversion to a NumPy array of s .*stack\(\[x, y\]\)"),
        (lambda: np.sum([s, s]), TypeError, r"conversion to a NumPy array by np\.sum of s .*stack"),
        (lambda: np.exp([w, w]), TypeError, r"of w .*stack"),
        (lambda: w + [s, s], sg.DTypeError, r"add of w .*a list of tensors is not a tensor. Join them with stack"),
        # Functions that tensors do not have
        (lambda: np.fft.fft(v), TypeError, r"np\.fft\.fft is not available for tensors such as v .*x @ np\.fft\.fft\(np\.eye"),
        (lambda: np.unique(v), TypeError, r"np\.unique .*where\(condition, x, 0\).*count_nonzero"),
        (lambda: np.linalg.eig(w), TypeError, r"np\.linalg\.eig is not .*linalg\.eigh"),
        (lambda: np.add.at(v, 0, 1), TypeError, r"np\.add\.at .*x\.at\[index\]\.add"),
        (lambda: np.float_power(v, 2), TypeError, r"np\.float_power .*power\(x, y\)"),
        (lambda: np.gcd(v, v), TypeError, r"np\.gcd .*evaluate\(x, \{symbol: value\}\)"),
        (lambda: np.sum(v, out=np.zeros(())), TypeError, r"np\.sum of v .*out= is not supported.*a new tensor"),
        (lambda: np.mean(v, where=np.array([True, False, True])), TypeError, r"the option where= .*where\(condition, x, value\)"),
        (lambda: np.sum(v, 0, None, None, False, 1.0, 2), TypeError, r"np\.sum of v .*these arguments are not supported"),
        # Operands that are none
        (lambda: v + {}, sg.DTypeError, r"remedies\.py:\d+: add of v .* and \{\}: \{\} of type dict cannot .*Give a tensor"),
        (lambda: np.maximum(v, None), sg.DTypeError, r"maximum of v .*None of type NoneType"),
        (lambda: v["a"], sg.DTypeError, r"getitem of v .*'a' of type str"),
        (lambda: sg.sum({}), sg.DTypeError, r"sum: \{\} of type dict"),
        (lambda: sg.concatenate([v, None]), sg.DTypeError, r"concatenate of v .*None of type NoneType"),
        (lambda: v + np.array(["a"] * 3), sg.DTypeError, r"add of v .*U1"),
        # Values that are missing, or of another form
        (lambda: sg.evaluate(x @ w, {w: np.eye(3)}), sg.CompileError, r"no value for x \(n, 3\) .*made at .*evaluate\(outputs, \{x: \.\.\.\}\)"),
        (lambda: sg.evaluate(s + v), sg.CompileError, r"no value for s .*, v .*\{s: \.\.\., v: \.\.\.\}"),
        (lambda: sg.evaluate(s, [1.0]), sg.CompileError, r"a dict \{symbol: value\}, not \[1\.0\]"),
        (lambda: sg.evaluate(s, {s: [1.0]}), sg.ShapeError, r"^evaluate: s has shape \(1,\)"),
        (lambda: sg.optim.minimize(np.sum(p * v), p), sg.CompileError, r"no value for v .*give data=\{v: \.\.\.\}"),
        (lambda: sg.optim.minimize(np.sum(p * v), p, data=[1]), sg.CompileError, r"data must be a dict"),
        (lambda: sg.optim.least_squares(p - v, p), sg.CompileError, r"no value for v"),
        (lambda: f.copy({w: 1}), sg.CompileError, r"w .*is no parameter of f; it has none$"),
        (lambda: sg.function([v], p + v).copy({w: 1}), sg.CompileError, r"it has p$"),
        # Names
        (lambda: sg.symbols(3), TypeError, r'one string, such as "x y z", not 3'),
        (lambda: sg.function([w], w, name=3), TypeError, r"name=3 must be a string"),
        (lambda: sg.function([w], w, name=""), sg.CompileError, r"name='' must be a string that is not empty"),
        # Masks
        (lambda: f(MASKED), sg.DTypeError, r"f: w: 3 of 9 elements are masked.*x\.filled"),
        (lambda: w + MASKED, sg.DTypeError, r"add of w .*3 of 9 elements are masked"),
        (lambda: sg.parameter(MASKED, "q"), sg.DTypeError, r"masked"),
        (lambda: sg.constant(MASKED), sg.DTypeError, r"masked"),
        (lambda: setattr(p, "value", MASKED[0]), sg.DTypeError, r"1 of 3 elements are masked"),
        # What there is nothing to tell of
        (lambda: sg.explain(3), TypeError, r"3 is a value, and there is nothing to explain"),
        (lambda: sg.explain([1.0, 2]), TypeError, r"nothing to explain"),
        (lambda: sg.explain(None), TypeError, r"explain takes tensors, .*not None$"),
        (lambda: sg.vmap(lambda r: "a")(v), TypeError, r"vmap: result of the function is not a tensor, but 'a'"),
    ],
)  # fmt: skip
def test_the_remedy_is_named(attempt, kind, message):
    with pytest.raises(kind, match=message):
        attempt()


def test_what_is_offered_for_a_function_can_be_written():
    """The formulas in place of functions that tensors lack have those functions' values."""
    a = np.array([[0.3, 1.2, 2.5], [1.7, 0.1, 2.0]])
    y = sg.symbol("y", (2, 3))
    knots, heights = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 0.0])
    d = y - sg.mean(y, axis=1, keepdims=True)
    slopes = np.diff(heights, append=heights[-1:]) - np.diff(heights, prepend=heights[:1])
    for ours, theirs in [
        (y @ np.fft.fft(np.eye(3)), np.fft.fft(a)),
        (d @ d.T / (y.shape[1] - 1), np.cov(a)),
        (sg.sum(y[..., None] > knots, axis=-1), np.searchsorted(knots, a)),
        (heights[0] + sg.sum(slopes * sg.relu(y[..., None] - knots), -1), np.interp(a, knots, heights)),
        (y[0][:, None] ** np.arange(3), np.vander(a[0], increasing=True)),
        (sg.exp(sg.linspace(sg.log(1.0), sg.log(8.0), 4)), np.geomspace(1, 8, 4)),
        (y * sg.exp2(3), np.ldexp(a, 3)),
    ]:
        assert np.allclose(sg.evaluate(ours, {y: a} if ours.leafy else {}), theirs)


def test_functions_of_scipy_are_named():
    linalg = pytest.importorskip("scipy.linalg")
    special = pytest.importorskip("scipy.special")
    with pytest.raises(
        TypeError, match=r"scipy\.linalg\.solve is not available for tensors such as w .*symgraph has solve"
    ):
        linalg.solve(w, v)
    with pytest.raises(TypeError, match=r"scipy\.special\.logsumexp is not .*symgraph has logsumexp"):
        special.logsumexp(v)
    with pytest.raises(TypeError, match=r"scipy\.linalg\.eigh is not"):  # it is decorated
        linalg.eigh(w)
    with pytest.raises(
        TypeError, match=r"scipy\.linalg\.block_diag is not available for tensors such as w .*: apply it"
    ):
        linalg.block_diag(w, w)


def test_near_names_are_ours():
    assert substitutes.substitute_for("np.linalg.eigh_", PUBLIC) == "symgraph has eigh"
    assert substitutes.substitute_for("np.logaddexp3", PUBLIC) == "symgraph has logaddexp and logaddexp2"
    assert substitutes.substitute_for("np.entirely_different", PUBLIC) == ""


def test_masked_arrays_without_a_masked_element_are_arrays():
    assert np.array_equal(f(np.ma.array(np.ones((3, 3)))), np.full((3, 3), 2.0))


def test_an_exported_module_can_be_imported(tmp_path):
    for name in ("a b", "step-1", "1st", *keyword.kwlist[:3]):
        with pytest.raises(sg.CompileError, match=rf"{name}\.py' cannot be imported; choose a name such as \w+\.py"):
            f.export(tmp_path / f"{name}.py")
    assert not list(tmp_path.iterdir())


def test_an_exported_function_refuses_masks_too(tmp_path, monkeypatch):
    f.export(tmp_path / "exported_f.py")
    monkeypatch.syspath_prepend(tmp_path)
    from exported_f import f as exported  # type: ignore[import-not-found]

    with pytest.raises(TypeError, match="w has masked elements"):
        exported(MASKED)
    assert np.array_equal(exported(MASKED.filled(0)), 2 * MASKED.filled(0))


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        (
            lambda x: (x, None),
            lambda ct: (ct,),
            r"custom_vjp of same .*the backward .*takes? .*as backward\(residuals, ct\)",
        ),
        (
            lambda: 1,
            lambda r, ct: (ct,),
            r"custom_vjp of same .*the forward .*does not take 1 arguments.*as forward\(\*args\)",
        ),
    ],
)
def test_a_rule_of_the_wrong_arity(forward, backward, message):
    @sg.custom_vjp
    def same(x):
        return x

    same.defvjp(forward, backward)
    with pytest.raises(sg.GradientError, match=message):
        same(v)


def test_a_forward_rule_of_the_wrong_arity():
    @sg.custom_jvp
    def same(x):
        return x

    same.defjvp(lambda x: x)
    with pytest.raises(
        sg.GradientError, match=r"custom_jvp of same .*does not take 2 arguments.*rule\(primals, tangents\)"
    ):
        same(v)
