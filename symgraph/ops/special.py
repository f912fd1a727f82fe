"""Special functions: activations in stable forms, and the functions of statistics. SciPy computes what NumPy cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import ShapedArray
from . import code
from .base import UNKNOWN, Elementwise, as_tensor
from .code import Code
from .elementwise import absolute, exp, expm1, log, log1p, maximum, minimum, where
from .late import F

__all__ = [
    "sigmoid", "expit", "softplus", "relu", "logit", "log_sigmoid", "log_expit", "leaky_relu", "elu", "selu",
    "silu", "swish", "gelu", "hard_tanh", "softsign", "relu6", "log1mexp", "xlogy", "xlog1py", "entr", "erf",
    "erfc", "erfinv", "erfcinv", "ndtr", "ndtri", "log_ndtr", "gammaln", "loggamma", "gamma", "digamma", "psi",
    "polygamma", "i0", "i1", "j0", "j1", "iv", "jv", "sinc", "spherical_jn",
]  # fmt: skip

elementwise = Elementwise
_SQRT_PI = math.sqrt(math.pi)
_SQRT_2PI = math.sqrt(2 * math.pi)


def _scipy(name: str) -> str:
    return f"scipy.special.{name}"


def _all(*known: bool) -> bool:
    return all(known)


def _relu(x: Code) -> Code:
    return code.call("np.maximum", x, code.literal(0))


def _sigmoid(x: Code) -> Code:
    one = code.literal(1)
    return code.infix("/", one, code.infix("+", one, code.call("np.exp", code.prefix("-", x))))


def _spherical_jn(n: Code, x: Code) -> Code:
    """SciPy's, which computes in double precision whatever it is given."""
    made = code.call("scipy.special.spherical_jn", n, x)
    double = x.aval is None or x.aval.dtype.itemsize >= 8
    return made if double else code.method(made, "astype", x.aval.dtype)


def _typed(x: Code) -> Code:
    """A number with its dtype, where it meets nothing but Python numbers."""
    return Code(x.atom) if x.literal else x


def _xlogy(x: Code, y: Code) -> Code:
    """0 where x = 0 for every y, without a warning where y = 0 too."""
    return code.infix(
        "*",
        x,
        code.call("np.log", code.call("np.where", code.infix("==", x, code.literal(0)), code.literal(1), _typed(y))),
    )


def _xlog1py(x: Code, y: Code) -> Code:
    return code.infix(
        "*",
        x,
        code.call("np.log1p", code.call("np.where", code.infix("==", x, code.literal(0)), code.literal(0), _typed(y))),
    )


def _relu_into(out: str, x: Code) -> list[str] | None:
    return maximum.into(out, x, Code("0", aval=ShapedArray((), x.aval.dtype), literal=True))


def _sigmoid_into(out: str, x: Code) -> list[str]:
    steps = [f"np.negative({x}, out={out})", f"np.exp({out}, out={out})", f"np.add({out}, 1, out={out})"]
    return [*steps, f"np.divide(1, {out}, out={out})"]


def _times_log(function: str, neutral: int) -> Callable[..., list[str]]:
    """x * f(y) with `neutral` in the place of y where x = 0."""

    def into(out: str, x: Code, y: Code) -> list[str]:
        if out in (x, y) or y.literal:
            masked = code.call("np.where", code.infix("==", x, code.literal(0)), code.literal(neutral), _typed(y))
            return [f"np.multiply({x}, {function}({masked}), out={out})"]
        return [
            *code.assign(out, y),
            f"np.copyto({out}, {neutral}, where={code.infix('==', x, code.literal(0))})",
            f"{function}({out}, out={out})",
            f"np.multiply({x}, {out}, out={out})",
        ]

    return into


def _none(out: str, *xs: Code) -> None:
    """For functions that are no ufuncs."""
    return None


# fmt: off
# Activations
sigmoid  = elementwise("sigmoid",  lambda y, x: [y * (1 - y)], like=np.exp, source=_sigmoid, into=_sigmoid_into, lower=lambda x: 1 / (1 + exp(-x)), nonnegative=True, flops=22, quiet="over")
softplus = elementwise("softplus", lambda y, x: [sigmoid(x)], like=np.exp, source=lambda x: code.call("np.logaddexp", x, code.literal(0)), into=lambda out, x: [f"np.logaddexp({x}, 0, out={out})"], nonnegative=True, flops=40)
relu     = elementwise("relu",     lambda y, x: [1], like=np.positive, source=_relu, into=_relu_into, selects=lambda y, x: [x > 0], nonnegative=True, bounded=_all)  # 0 at 0

# x log y and its like: 0 where x = 0, whatever y is
xlogy    = elementwise("xlogy",    lambda z, x, y: [log(y) + 1, None] if x is y else [log(y), _ratio(x, y)], like=np.true_divide, source=_xlogy, into=_times_log("np.log", 1), hazard="y = 0", flops=24)
xlog1py  = elementwise("xlog1py",  lambda z, x, y: [log1p(y), _ratio(x, 1 + y)], like=np.true_divide, source=_xlog1py, into=_times_log("np.log1p", 0), hazard="y = -1", flops=24)
entr     = elementwise("entr",     lambda y, x: [-log(x) - 1], like=np.exp, source=_scipy("entr"), hazard="x = 0", flops=24)

# Error functions and the normal distribution
erf      = elementwise("erf",      lambda y, x: [2 / _SQRT_PI * exp(-x * x)], like=np.exp, source=_scipy("erf"), nonnegative=_all, flops=40)
erfc     = elementwise("erfc",     lambda y, x: [-2 / _SQRT_PI * exp(-x * x)], like=np.exp, source=_scipy("erfc"), nonnegative=True, flops=40)
erfinv   = elementwise("erfinv",   lambda y, x: [_SQRT_PI / 2 * exp(y * y)], like=np.exp, source=_scipy("erfinv"), nonnegative=_all, hazard="|x| = 1", flops=40)
erfcinv  = elementwise("erfcinv",  lambda y, x: [-_SQRT_PI / 2 * exp(y * y)], like=np.exp, source=_scipy("erfcinv"), hazard="x = 0 or x = 2", flops=40)
ndtr     = elementwise("ndtr",     lambda y, x: [exp(-x * x / 2) / _SQRT_2PI], like=np.exp, source=_scipy("ndtr"), nonnegative=True, flops=40)
ndtri    = elementwise("ndtri",    lambda y, x: [_SQRT_2PI * exp(y * y / 2)], like=np.exp, source=_scipy("ndtri"), hazard="x = 0 or x = 1", flops=40)
log_ndtr = elementwise("log_ndtr", lambda y, x: [exp(-x * x / 2 - y) / _SQRT_2PI], like=np.exp, source=_scipy("log_ndtr"), flops=60)

# The gamma function and its like
gammaln  = elementwise("gammaln",  lambda y, x: [digamma(x)], like=np.exp, source=_scipy("gammaln"), hazard="x = 0, -1, -2, ...", flops=60)
gamma    = elementwise("gamma",    lambda y, x: [y * digamma(x)], like=np.exp, source=_scipy("gamma"), hazard="x = 0, -1, -2, ...", flops=60)
digamma  = elementwise("digamma",  lambda y, x: [polygamma(1, x)], like=np.exp, source=_scipy("digamma"), hazard="x = 0, -1, -2, ...", flops=60)
polygamma = elementwise("polygamma", lambda y, n, x: [UNKNOWN, polygamma(n + 1, x)], like=np.true_divide, source=_scipy("polygamma"), into=_none, hazard="x = 0, -1, -2, ...", flops=90)

# Bessel functions; in their order no derivative is known in closed form
i0       = elementwise("i0",       lambda y, x: [i1(x)], like=np.exp, source=_scipy("i0"), nonnegative=True, flops=40)
i1       = elementwise("i1",       lambda y, x: [(i0(x) + iv(2, x)) / 2], like=np.exp, source=_scipy("i1"), flops=40)
j0       = elementwise("j0",       lambda y, x: [-j1(x)], like=np.exp, source=_scipy("j0"), flops=40)
j1       = elementwise("j1",       lambda y, x: [(j0(x) - jv(2, x)) / 2], like=np.exp, source=_scipy("j1"), flops=40)
sinc     = elementwise("sinc",     lambda y, x: [-math.pi * spherical_jn(1, math.pi * x)], like=np.exp, source="np.sinc", into=_none, flops=30)
spherical_jn = elementwise("spherical_jn", lambda y, n, x: [UNKNOWN, _spherical_slope(n, x)], like=np.true_divide, source=_spherical_jn, flops=90)
iv       = elementwise("iv",       lambda y, n, x: [UNKNOWN, (iv(n - 1, x) + iv(n + 1, x)) / 2], like=np.true_divide, source=_scipy("iv"), flops=90)
jv       = elementwise("jv",       lambda y, n, x: [UNKNOWN, (jv(n - 1, x) - jv(n + 1, x)) / 2], like=np.true_divide, source=_scipy("jv"), flops=90)
# fmt: on


def _ratio(x: Any, y: Any) -> Any:
    """x / y, and 0 where x = 0."""
    return where(x == 0, 0, x / where(x == 0, 1, y))


def _spherical_slope(n: Any, x: Any) -> Any:
    """(n j[n-1](x) - (n + 1) j[n+1](x)) / (2n + 1), where j[-1] is not asked for."""
    lower = n * spherical_jn(maximum(n - 1, 0), x)
    upper = (n + 1) * spherical_jn(n + 1, x)
    return (lower - upper) / (2 * n + 1)


def logit(p: Any) -> Any:
    """log(p / (1 - p)), the inverse of the sigmoid."""
    p = as_tensor(p)
    return log(p) - log1p(-p)


def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)) = -softplus(-x), stable for every x."""
    return -softplus(-as_tensor(x))


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Any:
    """x where x > 0, negative_slope * x elsewhere."""
    x = as_tensor(x)
    return where(x > 0, x, negative_slope * x)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x where x > 0, alpha * (exp(x) - 1) elsewhere (Clevert, Unterthiner, Hochreiter 2016)."""
    x = as_tensor(x)
    return where(x > 0, x, alpha * expm1(minimum(x, 0)))


def selu(x: Any) -> Any:
    """The self-normalizing ELU (Klambauer et al. 2017)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def silu(x: Any) -> Any:
    """x * sigmoid(x), also called swish."""
    x = as_tensor(x)
    return x * sigmoid(x)


def gelu(x: Any, approximate: bool = False) -> Any:
    """x * Phi(x) with the normal distribution function Phi, or its tanh approximation (Hendrycks, Gimpel 2016)."""
    x = as_tensor(x)
    if approximate:
        return 0.5 * x * (1 + F.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * ndtr(x)


def hard_tanh(x: Any) -> Any:
    """x clipped to [-1, 1]."""
    return F.clip(x, -1, 1)


def softsign(x: Any) -> Any:
    """`x / (1 + |x|)`."""
    x = as_tensor(x)
    return x / (1 + absolute(x))


def relu6(x: Any) -> Any:
    """min(max(x, 0), 6)."""
    return minimum(relu(x), 6)


def log1mexp(x: Any) -> Any:
    """log(1 - exp(-x)) for x > 0, by expm1 for small x and log1p for large (Maechler 2012)."""
    x = as_tensor(x)
    small = x < math.log(2)
    return where(small, log(-expm1(-where(small, x, 1))), log1p(-exp(-where(small, 1, x))))


# The other names SciPy, JAX and PyTorch have for them
expit, log_expit, swish, loggamma, psi = sigmoid, log_sigmoid, silu, gammaln, digamma
