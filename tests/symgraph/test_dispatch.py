"""NumPy's dispatch reaches the function that NumPy means: every public function of it is called with arrays and with tensors.

What a name stands for depends on where it stands: `np.linalg.trace` is of the last two axes and `np.trace` of the first two,
`np.linalg.cond` is no branch. Values are compared on arrays of three axes of different lengths, where such things show.
"""

import inspect
import itertools

import numpy as np
import pytest
import scipy.special

import symgraph as sg
from symgraph.numpy_api import FUNCTIONS, _array_function, _functions, _of_scipy

NAMESPACES = {
    "np": np,
    "np.linalg": np.linalg,
    "np.fft": np.fft,
    "np.ma": np.ma,
    "np.emath": np.emath,
    "np.strings": np.strings,
    "np.char": np.char,
    "np.polynomial.polynomial": np.polynomial.polynomial,
    "np.random": np.random,
    "np.lib.stride_tricks": np.lib.stride_tricks,
}


def public():
    """Every function of NumPy that hands tensors on, by its name."""
    for prefix, module in NAMESPACES.items():
        for name in dir(module):
            function = getattr(module, name)
            if not name.startswith("_") and (isinstance(function, np.ufunc) or hasattr(function, "_implementation")):
                yield f"{prefix}.{name}", function


REACHED = {name: f for name, f in public() if f in _functions}
rng = np.random.default_rng(0)
CUBE, SQUARE, VECTOR = rng.uniform(0.5, 0.9, (2, 3, 4)), rng.uniform(0.1, 0.9, (2, 3, 3)), rng.uniform(0.1, 0.9, 3)
GOOD = SQUARE @ np.swapaxes(SQUARE, -1, -2) + np.eye(3)
WHOLE, TRUTH = rng.integers(1, 4, (2, 3, 3)), SQUARE > 0.5
I, J = np.array([0, 2]), np.array([[[0], [1]]])
SAMPLES = [
    (CUBE,), (GOOD,), (VECTOR,), (WHOLE,), (TRUTH,), (GOOD[0],), (CUBE, CUBE), (GOOD, VECTOR), (WHOLE, WHOLE), (TRUTH, TRUTH),
    (CUBE, np.swapaxes(CUBE, -1, -2)), (VECTOR, VECTOR), (GOOD[0], VECTOR), (TRUTH, SQUARE, GOOD), (SQUARE, GOOD, SQUARE + 1),
]  # fmt: skip
"""Operands that are tried until NumPy and symgraph both take some; all of a row that both take are compared."""

EXTRA = {
    "np.apply_over_axes": [],
    "np.arange": [],
    "np.array_split": [((CUBE,), (2, 1))],
    "np.split": [((CUBE,), (2, 0))],
    "np.astype": [((CUBE,), (np.float32,))],
    "np.block": [],
    "np.broadcast_to": [((VECTOR,), ((2, 3),))],
    "np.expand_dims": [((CUBE,), (1,))],
    "np.ma.expand_dims": [((CUBE,), (1,))],
    "np.full_like": [((CUBE,), (3.0,))],
    "np.linalg.matrix_power": [((GOOD,), (3,))],
    "np.moveaxis": [((CUBE,), (0, 2))],
    "np.pad": [((CUBE,), (1,))],
    "np.partition": [((CUBE,), (1,))],
    "np.percentile": [((CUBE,), (30,))],
    "np.nanpercentile": [((CUBE,), (30,))],
    "np.put_along_axis": [],
    "np.quantile": [((CUBE,), (0.3,))],
    "np.nanquantile": [((CUBE,), (0.3,))],
    "np.repeat": [((CUBE,), (2, 1))],
    "np.reshape": [((CUBE,), ((4, 6),))],
    "np.roll": [((CUBE,), (1, 2))],
    "np.rollaxis": [((CUBE,), (2,))],
    "np.swapaxes": [((CUBE,), (0, 2))],
    "np.take": [((CUBE,), (I, 1))],
    "np.take_along_axis": [((CUBE,), (J, 1))],
    "np.tile": [((CUBE,), (2,))],
    "np.vsplit": [((CUBE,), (2,))],
    "np.hsplit": [((CUBE,), (3,))],
    "np.dsplit": [((CUBE,), (2,))],
    "np.tensordot": [((CUBE, CUBE), (((0, 2), (0, 2)),))],
    "np.linalg.tensordot": [((GOOD, GOOD[0]), ())],
    "np.vecmat": [((SQUARE[:, 0], SQUARE), ())],
    "np.linspace": [((0.5, 2.0), (5,))],
    "np.logspace": [((0.5, 2.0), (5,))],
    "np.lib.stride_tricks.sliding_window_view": [((CUBE,), (2, 1))],
}
"""What some functions take beside tensors: operands, and the rest of the arguments."""

LISTS = {"concatenate", "concat", "stack", "hstack", "vstack", "dstack", "column_stack", "multi_dot"}
SUBSCRIPTS = {"np.einsum": "abc,abc->cb"}
UNTESTED = {
    "np.put_along_axis",
    "np.apply_over_axes",
    "np.select",
    "np.empty_like",
    "np.bincount",
    "np.array_equiv",
    "np.allclose",
}
"""Functions that change an argument, or that symgraph answers otherwise than by a value."""
NO_SIGN = {"np.linalg.svd", "np.linalg.eigh", "np.linalg.qr", "np.linalg.lstsq"}
"""Factors are determined up to signs, which tests of their own look at; here there is their number and shape."""


def calls(name):
    """(operands, rest) to try."""
    if name in SUBSCRIPTS:
        return [((CUBE, CUBE), ())]
    most = getattr(REACHED[name], "nin", 9)
    return EXTRA.get(name) or [(sample, ()) for sample in SAMPLES if len(sample) <= most]


def call(name, f, xs, rest):
    if name in SUBSCRIPTS:
        return f(SUBSCRIPTS[name], *xs)
    return f(list(xs), *rest) if name.rpartition(".")[2] in LISTS else f(*xs, *rest)


def flat(value):
    return list(itertools.chain.from_iterable(map(flat, value))) if isinstance(value, list | tuple) else [value]


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("name", sorted(REACHED.keys() - UNTESTED))
def test_what_is_reached_has_the_values_of_numpy(name):
    f, compared = REACHED[name], 0
    for xs, rest in calls(name):
        try:
            expected = flat(call(name, f, xs, rest))
        except (TypeError, ValueError, IndexError, AttributeError):
            continue
        leaves = [sg.symbol(f"x{i}", np.shape(x), np.asarray(x).dtype) for i, x in enumerate(xs)]
        try:
            made = call(name, f, leaves, rest)
        except (sg.SymgraphError, TypeError) as error:
            assert "not available" not in str(error)
            continue
        found = flat(made)
        assert len(found) == len(expected), name
        for ours, theirs in zip(found, expected, strict=True):
            if isinstance(ours, sg.Tensor):
                ours = sg.evaluate(ours, dict(zip(leaves, xs, strict=True)))
            assert np.shape(ours) == np.shape(theirs), (name, [np.shape(x) for x in xs])
            if name not in NO_SIGN:
                near = 1e-2 if np.asarray(ours).dtype == np.float16 else 1e-8
                assert np.allclose(ours, theirs, near, near, equal_nan=True), (name, [np.shape(x) for x in xs])
        compared += 1
    assert compared, f"{name}: give an example"


def test_a_name_is_not_enough():
    """Where a namespace of NumPy has a function under a name of ours, but not under ours of that meaning, it is refused."""
    x = sg.symbol("x", (3, 3))
    refused = {name: f for name, f in public() if f not in _functions}
    alike = {name for name in refused if name.rpartition(".")[2] in FUNCTIONS}
    assert {"np.emath.sqrt", "np.emath.log"} <= alike
    for name in alike:
        with pytest.raises(TypeError, match="not available for tensors"):
            _array_function(x, refused[name], (), (x,), {}) if not isinstance(refused[name], np.ufunc) else refused[
                name
            ](x)


def test_linalg_is_of_the_last_axes():
    x = sg.symbol("x", (2, 3, 3))
    assert np.linalg.cond(x).shape == (2,)
    assert np.linalg.trace(x) is np.trace(x, axis1=-2, axis2=-1) is not np.trace(x)
    assert np.linalg.diagonal(x, offset=1) is np.diagonal(x, 1, -2, -1)
    with pytest.raises(sg.ShapeError, match=r"outer of x .*two vectors"):
        np.linalg.outer(x, x)


def test_a_ufunc_of_a_user_is_not_ours_by_its_name():
    def relu(x):
        return x - 1

    theirs = np.frompyfunc(relu, 1, 1)
    with pytest.raises(TypeError, match=r"relu \(vectorized\) is not available"):
        theirs(sg.symbol("x", 3))

    class Named:  # what numba.vectorize makes has the name of the function
        __name__ = "relu"

    assert _of_scipy(Named()) is None


@pytest.mark.parametrize(
    "name",
    [n for n, f in inspect.getmembers(scipy.special) if isinstance(f, np.ufunc) and _of_scipy(f) is not None],
)
def test_scipys_ufuncs_have_their_values(name):
    f = getattr(scipy.special, name)
    xs = [rng.uniform(0.1, 0.9, 5) for _ in range(f.nin)]
    if name in ("jv", "jn", "iv"):
        xs[0] = np.arange(5.0)
    leaves = [sg.symbol(f"x{i}", 5) for i in range(f.nin)]
    assert np.allclose(sg.evaluate(f(*leaves), dict(zip(leaves, xs, strict=True))), f(*xs))
