"""What the fast style computes in steps of its own, because NumPy's function is slow."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol

EXTREME = np.array(
    [0.0, -0.0, 1e-300, -1e-300, 1e-8, 0.5, -0.5, 30.0, -30.0, 700.0, -700.0, 1e308, -1e308, np.inf, -np.inf, np.nan]
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softplus_at_its_limits(dtype):
    x = symbol("x", ("n",), dtype)
    f = sg.function([x], sg.softplus(x))
    assert "np.log1p" in f.source and "logaddexp" not in f.source
    with np.errstate(over="ignore"):  # of the largest numbers in float32
        values = EXTREME.astype(dtype)
    with np.errstate(invalid="ignore"):  # NumPy's own warning about nan
        wanted = np.logaddexp(values, values.dtype.type(0))
    found = f(values)
    assert found.dtype == values.dtype
    np.testing.assert_allclose(found, wanted, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("inner", [sg.tanh, sg.sin, sg.sigmoid, sg.erf])
def test_of_a_bounded_function_the_definition_is_safe(inner):
    x = symbol("x", ("n",))
    f = sg.function([x], sg.log1p(sg.exp(inner(x))))
    assert "np.log1p" in f.source and "np.abs" not in f.source
    values = EXTREME[np.isfinite(EXTREME)]
    wanted = sg.function([x], sg.softplus(inner(x)), optimize=False)(values)
    np.testing.assert_allclose(f(values), wanted, rtol=1e-14)


def test_numbers_and_the_plain_style_keep_the_function():
    x = symbol("x", ("n",))
    assert "np.logaddexp" in sg.function([x], sg.softplus(x), style="plain").source
    assert "np.logaddexp" in sg.function([x], sg.softplus(x), optimize=False).source
    y = symbol("y")
    assert sg.function([y], sg.softplus(y))(800.0) == 800.0
