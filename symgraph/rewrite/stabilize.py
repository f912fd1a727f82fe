"""Numerically stable forms, recognised before differentiating and again when compiling, whatever the optimization level.

Each rule replaces a formula that overflows or cancels by the function a numerical analyst would have called.
"""

from __future__ import annotations

from ..core import Constant, Tensor
from ..dims import same_shape
from ..ops.elementwise import ComplexAbs
from ..ops.late import F
from ..ops.reduce import Max, Norm, Sum
from ..ops.softmax import LogSoftmax, LogSumExp, Softmax
from .pattern import RuleSet, rule, some, wildcards
from .signs import is_nonnegative

x, y = wildcards("x y")
exp, log, log1p, sigmoid = F.exp, F.log, F.log1p, F.sigmoid


def _logsumexp(x: Tensor, s: Tensor) -> Tensor:
    return F.logsumexp(x, axis=s.op.axis, keepdims=s.op.keepdims)  # type: ignore[attr-defined]


def _softmax(x: Tensor, s: Tensor) -> Tensor | None:
    if not _aligned(x, s) or s.dtype != x.dtype:
        return None
    return F.softmax(x, axis=s.op.axis)  # type: ignore[attr-defined]


def _shifted(x: Tensor, m: Tensor, node: Tensor) -> Tensor | None:
    """softmax(x - max(x)) = softmax(x), where the maximum is the same along the axes of the softmax."""
    if node.op.zero or not _aligned(x, m) or not set(node.op.axis) <= set(m.op.axis):  # type: ignore[attr-defined]
        return None
    return F.softmax(x, axis=node.op.axis)  # type: ignore[attr-defined]


def _log_softmax(x: Tensor, s: Tensor) -> Tensor | None:
    return F.log_softmax(x, axis=s.op.axis) if _aligned(x, s) else None  # type: ignore[attr-defined]


def _aligned(x: Tensor, s: Tensor) -> bool:
    """Whether a reduction of `x` broadcasts against each of its own rows: with kept axes, or over all of them."""
    return s.op.keepdims or len(s.op.axis) == x.ndim  # type: ignore[attr-defined]


def _log_of_quotient(x: Tensor, y: Tensor) -> Tensor | None:
    """log(a / b) = log a - log b where neither can be negative; the quotient alone may overflow or vanish."""
    if isinstance(x.op, Constant) and isinstance(y.op, Constant):
        return None
    return log(x) - log(y) if is_nonnegative(x) and is_nonnegative(y) else None


def _softplus(node: Tensor, x: Tensor) -> Tensor | None:
    """logaddexp(0, x) = log(1 + e**x), where nothing was broadcast."""
    return F.softplus(x) if x.dtype == node.dtype and same_shape(x.shape, node.shape) else None


def _square_of_norm(x: Tensor, n: Tensor) -> Tensor:
    return F.sum(x * x, axis=n.op.axis, keepdims=n.op.keepdims)  # type: ignore[attr-defined]


def _square_of_magnitude(x: Tensor) -> Tensor:
    """|z|**2 = z.real**2 + z.imag**2, whose derivative 2 * conj(z) divides by nothing."""
    return F.real(x * F.conj(x))


STABILIZE = RuleSet(
    # logarithms of sums
    rule(log(1 + x), lambda x: log1p(x)),
    rule(log(1 - x), lambda x: log1p(-x)),
    rule(log(some(Sum, "s")(exp(x))), _logsumexp, example=lambda x: log(F.sum(exp(x), axis=-1))),
    rule(log(exp(x) + exp(y)), lambda x, y: F.logaddexp(x, y)),
    rule(log(x / y), _log_of_quotient, example=lambda x, y: log(exp(x) / exp(y))),
    rule(log(exp(x)), lambda x: x, tag="finite-real"),
    rule(exp(x) - 1, lambda x: F.expm1(x)),
    # softmax and its logarithm
    rule(exp(x) / some(Sum, "s")(exp(x)), _softmax, example=lambda x: exp(x) / F.sum(exp(x), axis=-1, keepdims=True)),
    rule(
        some(Softmax, "p")(x - some(Max, "m")(x)),
        _shifted,
        example=lambda x: F.softmax(x - F.max(x, axis=-1, keepdims=True)),
    ),
    rule(
        log(some(Softmax, "p")(x)),
        lambda x, p: None if p.op.zero else F.log_softmax(x, axis=p.op.axis),
        example=lambda x: log(F.softmax(x)),
    ),
    rule(
        exp(some(LogSoftmax, "p")(x)),
        lambda x, p: F.softmax(x, axis=p.op.axis),
        example=lambda x: exp(F.log_softmax(x)),
    ),
    rule(x - some(LogSumExp, "s")(x), _log_softmax, example=lambda x: x - F.logsumexp(x, axis=-1, keepdims=True)),
    # sigmoid and softplus
    rule(1 / (1 + exp(-x)), lambda x: sigmoid(x)),
    rule(F.reciprocal(1 + exp(-x)), lambda x: sigmoid(x)),
    rule(1 / (1 + exp(x)), lambda x: sigmoid(-x)),
    rule(exp(x) / (1 + exp(x)), lambda x: sigmoid(x), tag="finite-real"),
    rule(log1p(exp(x)), lambda x: F.softplus(x), tag="finite-real"),
    rule(F.logaddexp(x, 0), _softplus, tag="exact"),
    rule(F.logaddexp(0, x), _softplus, tag="exact"),
    rule(F.logaddexp(x, -0.0), _softplus, tag="exact"),
    rule(F.logaddexp(-0.0, x), _softplus, tag="exact"),
    rule(log(sigmoid(x)), lambda x: -F.softplus(-x)),
    rule(log(1 - sigmoid(x)), lambda x: -F.softplus(x)),
    rule(log1p(-sigmoid(x)), lambda x: -F.softplus(x)),
    # tanh
    rule((exp(x) - exp(-x)) / (exp(x) + exp(-x)), lambda x: F.tanh(x), tag="finite-real"),
    rule(2 * sigmoid(2 * x) - 1, lambda x: F.tanh(x)),
    # 0 log 0 = 0, for weights that may be 0: numbers and sizes are not
    rule(x * log(y), lambda x, y: F.xlogy(x, y) if x.leafy else None, tag="finite-real"),
    rule(x * log1p(y), lambda x, y: F.xlog1py(x, y) if x.leafy else None, tag="finite-real"),
    # the square of a norm has a derivative everywhere
    rule(some(Norm, "n")(x) ** 2, _square_of_norm, example=lambda x: F.norm(x, axis=-1) ** 2),
    rule(F.square(some(Norm, "n")(x)), _square_of_norm, example=lambda x: F.square(F.norm(x, axis=-1))),
    rule(
        some(Norm, "n")(x) * some(Norm, "n")(x),
        _square_of_norm,
        example=lambda x: F.norm(x, axis=-1) * F.norm(x, axis=-1),
    ),
    # and so has the square of the magnitude of a complex number
    rule(some(ComplexAbs, "n")(x) ** 2, _square_of_magnitude, example=lambda x: abs(x) ** 2, moderate=True),
    rule(F.square(some(ComplexAbs, "n")(x)), _square_of_magnitude, example=lambda x: F.square(abs(x)), moderate=True),
    rule(
        some(ComplexAbs, "n")(x) * some(ComplexAbs, "n")(x),
        _square_of_magnitude,
        example=lambda x: abs(x) * abs(x),
        moderate=True,
    ),
    # double negation hides the forms above
    rule(F.negative(-x), lambda x: x, tag="exact"),
).on_reals()
