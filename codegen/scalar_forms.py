"""How elementwise ops are written over Python floats: a table of facts.

The text of a form is a function (`math.exp`), an operator (`+`) or a pattern in which `{0}` and `{1}` stand for the
operands. Each gives NumPy's value, to rounding, or raises an `ArithmeticError` or a `ValueError`: for infinities, poles
and arguments outside of the domain `math` raises, which says "ask NumPy" and never "this is an error".
"""

from __future__ import annotations

from dataclasses import dataclass

from symgraph.ops.code import ATOM, COMPARE, TERNARY, TIMES

AND, OR, NOT = 4, 3, 5
"""How tightly Python's logical operators bind, between a comparison and a conditional expression."""


@dataclass(frozen=True)
class Form:
    """The text, whether it may raise, how tightly a pattern binds, and what its operands are."""

    text: str
    raises: bool = True
    prec: int = ATOM
    operands: str = "f"
    """`f` for floats, `b` for booleans, `fb` for two of either."""


def never(text: str, prec: int = ATOM, operands: str = "f") -> Form:
    """A form that raises for no float."""
    return Form(text, False, prec, operands)


FORMS: dict[str, Form] = {
    # Arithmetic; a sum or product out of range is an infinity in Python too
    "add": never("+"),
    "subtract": never("-"),
    "multiply": never("*"),
    "divide": Form("/"),
    "floor_divide": Form("//"),
    "remainder": Form("%"),
    "fmod": Form("math.fmod"),
    "power": Form("math.pow"),  # (-8.0) ** 0.5 would be complex
    "negative": never("-"),
    "positive": never("{0}"),
    "reciprocal": Form("1.0 / {0}", prec=TIMES),
    "square": never("{0} * {0}", TIMES),
    "sqrt": Form("math.sqrt"),
    "cbrt": never("math.cbrt"),
    "absolute": never("abs"),
    "sign": never("1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else 0.0 if {0} == 0.0 else {0}", TERNARY),
    "copysign": never("math.copysign"),
    "hypot": Form("math.hypot"),
    "heaviside": never("0.0 if {0} < 0.0 else {1} if {0} == 0.0 else 1.0 if {0} > 0.0 else {0}", TERNARY),
    # Rounding: Python's makes an int, which has no -0 and no infinity
    "floor": Form("math.copysign(math.floor({0}), {0})"),
    "ceil": Form("math.copysign(math.ceil({0}), {0})"),
    "trunc": Form("math.copysign(math.trunc({0}), {0})"),
    "rint": Form("math.copysign(round({0}), {0})"),
    "deg2rad": never("math.radians"),
    "rad2deg": never("math.degrees"),
    # Choosing: nan wins in maximum and minimum, and loses in fmax and fmin
    "maximum": never("{0} if {0} > {1} or {0} != {0} else {1}", TERNARY),
    "minimum": never("{0} if {0} < {1} or {0} != {0} else {1}", TERNARY),
    "fmax": never("{0} if {0} >= {1} or {1} != {1} else {1}", TERNARY),
    "fmin": never("{0} if {0} <= {1} or {1} != {1} else {1}", TERNARY),
    "relu": never("0.0 if {0} <= 0.0 else {0}", TERNARY),
    # Exponentials and logarithms
    "exp": Form("math.exp"),
    "exp2": Form("math.exp2"),
    "expm1": Form("math.expm1"),
    "log": Form("math.log"),
    "log2": Form("math.log2"),
    "log10": Form("math.log10"),
    "log1p": Form("math.log1p"),
    "logaddexp": never("_logaddexp"),
    "softplus": never("{0} + math.log1p(math.exp(-{0})) if {0} > 0.0 else math.log1p(math.exp({0}))", TERNARY),
    "sigmoid": Form("1.0 / (1.0 + math.exp(-{0}))", prec=TIMES),
    "xlogy": Form("{0} * math.log({1}) if {0} else {0}", prec=TERNARY),
    "xlog1py": Form("{0} * math.log1p({1}) if {0} else {0}", prec=TERNARY),
    "entr": Form("-{0} * math.log({0}) if {0} else 0.0", prec=TERNARY),
    # Circular and hyperbolic functions
    "sin": Form("math.sin"),
    "cos": Form("math.cos"),
    "tan": Form("math.tan"),
    "arcsin": Form("math.asin"),
    "arccos": Form("math.acos"),
    "arctan": never("math.atan"),
    "arctan2": never("math.atan2"),
    "sinh": Form("math.sinh"),
    "cosh": Form("math.cosh"),
    "tanh": never("math.tanh"),
    "arcsinh": never("math.asinh"),
    "arccosh": Form("math.acosh"),
    "arctanh": Form("math.atanh"),
    "sinc": Form("math.sin(math.pi * {0}) / (math.pi * {0}) if {0} else 1.0", prec=TERNARY),
    # The error function, the normal distribution and the gamma function; lgamma loses digits near its zeros
    "erf": never("math.erf"),
    "erfc": never("math.erfc"),
    "ndtr": never("0.5 * math.erfc(-0.7071067811865476 * {0})", TIMES),
    "gamma": Form("math.gamma"),
    # Comparison and logic
    "equal": never("==", operands="fb"),
    "not_equal": never("!=", operands="fb"),
    "less": never("<"),
    "less_equal": never("<="),
    "greater": never(">"),
    "greater_equal": never(">="),
    "isnan": never("{0} != {0}", COMPARE),
    "isinf": never("math.isinf"),
    "isfinite": never("math.isfinite"),
    "signbit": never("math.copysign(1.0, {0}) < 0.0", COMPARE),
    **dict.fromkeys(["logical_and", "bitwise_and"], never("{0} and {1}", AND, "b")),
    **dict.fromkeys(["logical_or", "bitwise_or"], never("{0} or {1}", OR, "b")),
    **dict.fromkeys(["logical_xor", "bitwise_xor"], never("!=", operands="b")),
    **dict.fromkeys(["logical_not", "invert"], never("not {0}", NOT, "b")),
}
"""By the name of the elementwise op. One that is not here has no form, and a program with it is written in NumPy."""

HELPERS: dict[str, str] = {
    "_logaddexp": '''\
def _logaddexp(x, y):
    """log(exp(x) + exp(y)), also where exp(x) is out of range."""
    if x == y:
        return x + math.log(2.0)
    larger, smaller = (x, y) if x > y else (y, x)
    return larger + math.log1p(math.exp(smaller - larger))''',
}
"""Functions that forms call. No name of a user's starts with an underscore."""
