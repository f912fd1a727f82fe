r"""Elementwise ops in mathematical notation. \odot and \oslash are the elementwise product and quotient; a function of an
array is applied to every element; a comparison in square brackets is 1 where it holds and 0 elsewhere (Iverson)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..core import Tensor
from ..dims import Shape, same, same_shape
from .broadcasting import aligned, as_diagonal, ones, stretched
from .pieces import (
    CASES,
    COMPARE,
    POWER,
    PRODUCT,
    SUM,
    ZEROS,
    Piece,
    added,
    atom,
    bracketed,
    fraction,
    function,
    hadamard,
    operator,
    power,
    product,
    quotient,
    raised,
    scalar_product,
    scaled,
)

Operands = Sequence[tuple[Piece, Shape]]

_COMMANDS = ["exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan"]
FUNCTIONS = {
    **{name: f"\\{name}" for name in _COMMANDS},
    "log2": "\\log_{2}", "log10": "\\log_{10}", "sigmoid": "\\sigma", "ndtr": "\\Phi", "ndtri": "\\Phi^{-1}", "gamma": "\\Gamma",
    "gammaln": "\\log\\Gamma", "digamma": "\\psi", "i0": "I_{0}", "i1": "I_{1}", "j0": "J_{0}", "j1": "J_{1}",
    "log_ndtr": "\\log\\Phi", "maximum": "\\max", "minimum": "\\min", "fmax": "\\max", "fmin": "\\min",
    "erfinv": f"{operator('erf')}^{{-1}}", "erfcinv": f"{operator('erfc')}^{{-1}}",
    "sign": operator("sign"), "rint": operator("round"),
}  # fmt: skip
"""The names of functions that are written as f(x)."""

RELATIONS = {
    "equal": "=", "not_equal": "\\neq", "less": "<", "less_equal": "\\leq", "greater": ">", "greater_equal": "\\geq",
    "logical_and": "\\wedge", "logical_or": "\\vee", "logical_xor": "\\oplus", "bitwise_and": "\\wedge",
    "bitwise_or": "\\vee", "bitwise_xor": "\\oplus",
}  # fmt: skip
"""Operators whose value is a truth, or that combine truths."""

_ORDERED = {"iv": "I", "jv": "J", "spherical_jn": "j"}
"""Functions with an order, which is a subscript."""


def elementwise(name: str, node: Tensor, xs: Operands) -> Piece:
    """The formula of an elementwise op on its operands, each with its shape."""
    shape: Shape = node.shape
    xs = [(x, given if any(not same(n, 1) for n in given) else ()) for x, given in xs]  # one element is a scalar
    if name in _SPECIAL:
        return _SPECIAL[name](shape, *xs)
    if name in RELATIONS:
        return Piece(f" {RELATIONS[name]} ".join(_compared(x) for x, _ in xs), COMPARE)
    if name in _ORDERED:
        return Piece(f"{_ORDERED[name]}_{{{xs[0][0].text}}}{bracketed(xs[1][0].text)}")
    made = FUNCTIONS.get(name) or operator(name.replace("_", "\\_"))
    return function(made, *[aligned(x, given, shape) for x, given in xs])


def _compared(x: Piece) -> str:
    return x.at(SUM)


def _add(shape: Shape, a: tuple[Piece, Shape], b: tuple[Piece, Shape], minus: bool = False) -> Piece:
    return added(stretched(*a, shape), stretched(*b, shape), minus)


def _multiply(shape: Shape, a: tuple[Piece, Shape], b: tuple[Piece, Shape]) -> Piece:
    (x, given), (y, other) = truth(a), truth(b)
    if x.is_zero or y.is_zero:
        return ZEROS if shape else replace(ZEROS, body="0", number=True)
    for choices, factor, size in ((x.choices, y, other), (y.choices, x, given)):  # 1/2 or 1 times g is g/2 or g
        plain = not factor.rows and not factor.number and (not size or same_shape(size, shape))
        if choices and plain and all(value.number for value, _ in choices):
            return choice([(ZEROS if v.is_zero and shape else scaled(v, factor), c) for v, c in choices])
    if not given and not other:
        if x == y and not x.number:
            return _to_power(shape, (x, given), 2)
        return scalar_product(x, y)
    if not given or not other:
        factor, array, of = (x, y, other) if not given else (y, x, given)
        return scaled(factor, stretched(array, of, shape) if not same_shape(of, shape) else array)
    for one, size, two, rest in ((x, given, y, other), (y, other, x, given)):
        scale = as_diagonal(one, size, shape)
        if scale is not None and same_shape(rest, shape):
            return product([scale[1], two] if scale[0] == "left" else [two, scale[1]])
    if len(shape) == 2 and not same_shape(given, shape) and not same_shape(other, shape):
        column, row = (a, b) if len(a[1]) == 2 and a[1][1] == 1 else (b, a)
        if len(column[1]) == 2 and column[1][1] == 1:
            return product([column[0], row[0].turned if len(row[1]) == 1 else row[0]])
    return hadamard(stretched(x, given, shape), stretched(y, other, shape))


def _divide(shape: Shape, a: tuple[Piece, Shape], b: tuple[Piece, Shape]) -> Piece:
    (x, given), (y, other) = truth(a), truth(b)
    if not other:
        x = x if same_shape(given, shape) or not given else stretched(x, given, shape)
        if y.number and y.text == "1":
            return x
        return fraction(x, y, constant=y.number or y.symmetric, scalar=not shape)
    if not given:
        over = quotient(ones(other), y)
        made = scaled(x, over)
        return made
    scale = as_diagonal(y, other, shape)
    if scale is not None and same_shape(given, shape):
        column = y if scale[0] == "left" or len(other) == 1 else y.turned
        inside = bracketed(replace(column, negative=False).text)
        inverse = Piece(f"{operator('diag')}{inside}^{{-1}}", POWER, column.negative, symmetric=True)
        return product([inverse, x] if scale[0] == "left" else [x, inverse])
    return quotient(stretched(x, given, shape), stretched(y, other, shape))


def _power(shape: Shape, a: tuple[Piece, Shape], b: tuple[Piece, Shape]) -> Piece:
    x, exponent = a[0], b[0]
    if exponent.text == "\\frac{1}{2}":
        return _sqrt(shape, a)
    return power(aligned(*a, shape), exponent.text, elementwise=bool(shape)) if x else x


def _to_power(shape: Shape, a: tuple[Piece, Shape], n: int) -> Piece:
    x, given = a
    made = power(replace(x, negative=False), str(n), elementwise=True) if given else raised(x, n)
    return made if not x.negative or n % 2 == 0 else made.negated


def _sqrt(shape: Shape, a: tuple[Piece, Shape]) -> Piece:
    return Piece(f"\\sqrt{{{a[0].text}}}")


def _around(left: str, right: str) -> Callable[..., Piece]:
    return lambda shape, a: Piece(f"\\left{left} {a[0].text} \\right{right}")


def _one(shape: Shape) -> Piece:
    return ones(shape) if shape else Piece("1", number=True)


def _plus_one(shape: Shape, a: tuple[Piece, Shape]) -> Piece:
    return added(_one(a[1]), a[0])


def _called(name: str, x: Piece) -> Piece:
    return function(name, x)


def _logaddexp(base: str) -> Callable[..., Piece]:
    def made(shape: Shape, a: tuple[Piece, Shape], b: tuple[Piece, Shape]) -> Piece:
        exps = [
            function("\\exp", aligned(*x, shape)) if not base else power(atom(base), x[0].text, elementwise=bool(x[1]))
            for x in (a, b)
        ]
        return function(f"\\log{f'_{{{base}}}' if base else ''}", added(exps[0], exps[1]))

    return made


def truth(x: tuple[Piece, Shape]) -> tuple[Piece, Shape]:
    """A truth value as a number: in Iverson's brackets."""
    piece, shape = x
    return (Piece(f"[{piece.text}]"), shape) if piece.prec == COMPARE else x


def _masked(shape: Shape, mask: tuple[Piece, Shape], a: tuple[Piece, Shape], b: tuple[Piece, Shape]) -> Piece:
    made = _multiply(shape, a, b)
    if made.choices:
        return cases(shape, mask, (made, shape), (Piece("0", number=True), ()))
    return _multiply(shape, (made, shape), mask if mask[0].prec == COMPARE else (Piece(f"[{mask[0].text}]"), mask[1]))


def cases(shape: Shape, c: tuple[Piece, Shape], a: tuple[Piece, Shape], b: tuple[Piece, Shape]) -> Piece:
    """`where`: a product with a truth value if one side is 0, a choice otherwise."""
    condition = c[0].text
    if a[0].choices or b[0].choices:
        return choice([*_under(a[0], c[0]), *(b[0].choices or [(b[0], "")])])
    if b[0].is_zero:
        return _multiply(shape, a, c if c[0].prec == COMPARE else (Piece(f"[{condition}]"), c[1]))
    if a[0].is_zero:
        return _multiply(shape, b, (Piece(f"[{_not(shape, c).text}]"), c[1]))
    return choice([(a[0], condition), (b[0], "")])


def choice(rows: Sequence[tuple[Piece, str]]) -> Piece:
    """The first value whose condition holds; the last has none."""
    lines = " \\\\ ".join(f"{value.text} & {condition or OTHERWISE}" for value, condition in rows)
    return Piece(f"\\begin{{cases}} {lines} \\end{{cases}}", CASES, rows=tuple(rows))


OTHERWISE, GREATER, LESS = "\\text{otherwise}", "\\geq", "\\leq"


def _under(x: Piece, condition: Piece) -> list[tuple[Piece, str]]:
    """The rows of a choice that is made where the condition holds: x = 0 says all of x >= 0, and leaves x > 0."""
    rest, made = condition.text, []
    for value, inner in x.choices or [(x, "")]:
        sides = inner.split(" = ")
        weak = next((r for r in (GREATER, LESS) if len(sides) == 2 and rest == f"{sides[0]} {r} {sides[1]}"), None)
        if weak:
            made.append((value, inner))
            rest = f"{sides[0]} {'>' if weak == GREATER else '<'} {sides[1]}"
        else:
            made.append((value, f"{_part(rest)} \\wedge {_part(inner)}" if inner else rest))
    return made


def _part(condition: str) -> str:
    return bracketed(condition) if "\\wedge" in condition or "\\vee" in condition else condition


_NOT = {"=": "\\neq", "\\neq": "=", "<": "\\geq", "\\geq": "<", ">": "\\leq", "\\leq": ">"}


def _not(shape: Shape, a: tuple[Piece, Shape]) -> Piece:
    text = a[0].text
    found = [token for token in text.split(" ") if token in _NOT]
    if len(found) == 1 and "\\wedge" not in text and "\\vee" not in text and a[0].prec == COMPARE:
        return Piece(text.replace(f" {found[0]} ", f" {_NOT[found[0]]} "), COMPARE)
    return Piece(f"\\neg {a[0].at(COMPARE + 1)}", COMPARE)


def _xlogy(add: bool) -> Callable[..., Piece]:
    def made(shape: Shape, a: tuple[Piece, Shape], b: tuple[Piece, Shape]) -> Piece:
        inside = _plus_one(shape, b) if add else b[0]
        return _multiply(shape, a, (function("\\log", inside), b[1]))

    return made


def _polygamma(shape: Shape, n: tuple[Piece, Shape], x: tuple[Piece, Shape]) -> Piece:
    return Piece(f"\\psi^{{({n[0].text})}}{bracketed(x[0].text)}", POWER)


_SPECIAL: dict[str, Callable[..., Piece]] = {
    "add": _add,
    "subtract": lambda shape, a, b: _add(shape, a, b, minus=True),
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "square": lambda shape, a: _to_power(shape, a, 2),
    "negative": lambda shape, a: a[0].negated,
    "positive": lambda shape, a: a[0],
    "reciprocal": lambda shape, a: _divide(shape, (Piece("1", number=True), ()), a),
    "sqrt": _sqrt,
    "cbrt": lambda shape, a: Piece(f"\\sqrt[3]{{{a[0].text}}}"),
    "absolute": _around("|", "|"),
    "floor": _around("\\lfloor", "\\rfloor"),
    "ceil": _around("\\lceil", "\\rceil"),
    "floor_divide": lambda shape, a, b: Piece(f"\\left\\lfloor {_divide(shape, a, b).text} \\right\\rfloor"),
    "remainder": lambda shape, a, b: Piece(f"{a[0].at(PRODUCT)} \\,\\mathrm{{mod}}\\, {b[0].at(POWER)}", SUM),
    "hypot": lambda shape, a, b: Piece(
        f"\\sqrt{{{added(_to_power(shape, a, 2), _to_power(shape, b, 2)).text}}}"
    ),
    "exp2": lambda shape, a: power(Piece("2", number=True), a[0].text, elementwise=bool(shape)),
    "expm1": lambda shape, a: added(function("\\exp", a[0]), _one(shape), minus=True),
    "log1p": lambda shape, a: function("\\log", _plus_one(shape, a)),
    "softplus": lambda shape, a: function("\\log", added(_one(shape), function("\\exp", a[0]))),
    "logaddexp": _logaddexp(""),
    "logaddexp2": _logaddexp("2"),
    "xlogy": _xlogy(False),
    "xlog1py": _xlogy(True),
    "entr": lambda shape, a: _multiply(shape, a, (function("\\log", a[0]), shape)).negated,
    "deg2rad": lambda shape, a: scaled(Piece("\\frac{\\pi}{180}"), a[0]),
    "rad2deg": lambda shape, a: scaled(Piece("\\frac{180}{\\pi}"), a[0]),
    "polygamma": _polygamma,
    "masked_multiply": _masked,
    "logical_not": _not,
    "invert": _not,
}  # fmt: skip
