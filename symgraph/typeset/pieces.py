r"""Pieces of a formula that know how tightly they bind and what their transposes are.

A piece is `sign * scalars * body`: signs and scalar factors move to the front of a product by themselves, and a product
of matrices is transposed by transposing its factors in reverse, so x^{\top} A x needs no bracket and no transpose of a
transpose. A 1-d array is a column; `turned` is the row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

CASES, COMPARE, SUM, HADAMARD, INNER, PRODUCT, POWER, ATOM = range(-1, 7)
"""How tightly a body binds. INNER is a product of matrices that is a scalar: as a factor of another it needs brackets."""

TOP = "^{\\top}"


@dataclass(frozen=True)
class Piece:
    """`body` without its sign and scalar factors."""

    body: str
    prec: int = ATOM
    negative: bool = False
    scalars: tuple[str, ...] = ()
    row: Piece | None = None
    """The transpose, where that is not this piece with a superscript."""
    number: bool = False
    """Whether the body is a numeral."""
    symmetric: bool = False
    over: tuple[Piece, Piece] | None = None
    """What is above and below the line, where the body is a fraction."""
    rows: tuple[tuple[Piece, str], ...] = ()
    """The values and conditions, where the body is a choice; the last condition is empty."""

    @property
    def whole(self) -> int:
        """How tightly it binds with sign and scalars."""
        if self.negative:
            return SUM
        return min(PRODUCT, max(self.prec, HADAMARD)) if self.scalars else self.prec

    @property
    def text(self) -> str:
        """All of it."""
        return f"-{self.unsigned}" if self.negative else self.unsigned

    @property
    def unsigned(self) -> str:
        """All but the sign; a sum after a sign or a factor is in brackets."""
        if not self.scalars:
            return self.at(HADAMARD, bare=True) if self.negative else self.body
        return juxtaposed([*self.scalars, self.at(HADAMARD, bare=True)])

    def at(self, level: int, bare: bool = False) -> str:
        """The text (or the `bare` body), in brackets if it binds less tightly than `level`."""
        text, prec = (self.body, self.prec) if bare else (self.text, self.whole)
        return text if prec >= level else bracketed(text)

    @property
    def turned(self) -> Piece:
        """The transpose."""
        if self.symmetric:
            return self
        if self.row is not None:
            return replace(
                self.row, negative=self.row.negative ^ self.negative, scalars=self.scalars + self.row.scalars
            )
        turned = f"{self.at(ATOM, bare=True)}{TOP}"
        return replace(self, body=turned, prec=POWER, row=Piece(self.body, self.prec), over=None, rows=())

    @property
    def choices(self) -> tuple[tuple[Piece, str], ...]:
        """The rows, where there is nothing but them."""
        return () if self.negative or self.scalars else self.rows

    @property
    def negated(self) -> Piece:
        return replace(self, negative=not self.negative)

    @property
    def plain(self) -> Piece:
        """The body alone."""
        return replace(self, negative=False, scalars=())

    @property
    def is_one(self) -> bool:
        return self.number and self.body == "1" and not self.scalars and not self.negative

    @property
    def is_zero(self) -> bool:
        return self.body == "0" if self.number else self.body == ZEROS.body


def atom(text: str) -> Piece:
    """What needs no brackets anywhere."""
    return Piece(text)


ONES = Piece("\\mathbf{1}")
ZEROS = Piece("\\mathbf{0}")
IDENTITY = Piece("I", symmetric=True)
_ALL_ONES = (ONES.body, ONES.turned.body, f"{ONES.body} {ONES.turned.body}")


def bracketed(text: str) -> str:
    """The text in brackets as high as it is."""
    high = "\\frac" in text or "\\sum" in text or "\\begin" in text or "\\left" in text
    return f"\\left({text}\\right)" if high else f"({text})"


def juxtaposed(texts: Sequence[str]) -> str:
    """Factors side by side, with a dot before a numeral and a space beside a word."""
    made = before = texts[0]
    for text in texts[1:]:
        word = text.startswith("\\mathrm") or before.startswith("\\mathrm")
        ones = text.startswith("\\mathbf") and made[-1].isdigit()
        made += " \\cdot " if text[:1].isdigit() else " \\, " if ones or word else " "
        made += text
        before = text
    return made


def width(text: str) -> int:
    """About how many characters wide the text is."""
    text = re.sub(r"\\(?:mathrm|operatorname|mathbf|left|right|hat|bar|tilde|text|frac|boldsymbol)", "", text)
    text = re.sub(r"\\[a-zA-Z]+", "x", text)
    return len(re.sub(r"[{}_^\\ ]", "", text))


# Combinations --------------------------------------------------------------------------------------------------------


def scaled(factor: Piece, x: Piece) -> Piece:
    """A scalar times x; numerals come first."""
    if factor.is_one:
        return x
    if x.is_one:
        return factor
    negative = factor.negative ^ x.negative
    if x.number and not x.scalars and not factor.number:
        factor, x = x, factor
    body = factor.body if factor.prec >= PRODUCT else bracketed(factor.body)
    scalars = () if factor.number and factor.body == "1" else (body,)
    scalars = (*scalars, *factor.scalars) if factor.number else (*factor.scalars, *scalars)
    return replace(x, negative=negative, scalars=ordered(scalars + x.scalars))


def product(factors: Sequence[Piece], prec: int = PRODUCT) -> Piece:
    """The product of matrices and vectors: signs and scalars in front, the transpose in reverse."""
    if len(factors) == 1:
        return factors[0]
    negative, scalars = gathered(factors)
    bodies = [f.plain for f in factors if f.plain != IDENTITY] or [IDENTITY]
    if len(bodies) == 1:
        return replace(bodies[0], negative=negative, scalars=scalars)
    made = juxtaposed([b.at(PRODUCT) for b in bodies])
    turned = juxtaposed([b.turned.at(PRODUCT) for b in reversed(bodies)])
    row = Piece(turned, prec)
    row = replace(row, row=Piece(made, prec))
    return Piece(made, prec, negative, scalars, row)


def gathered(factors: Sequence[Piece]) -> tuple[bool, tuple[str, ...]]:
    """The sign and the scalars of a product: numerals first."""
    return sum(f.negative for f in factors) % 2 == 1, ordered([s for f in factors for s in f.scalars])


def hadamard(a: Piece, b: Piece) -> Piece:
    """The elementwise product of two arrays of one shape."""
    negative, scalars = gathered([a, b])
    x, y = a.plain, b.plain
    if x.body in _ALL_ONES or y.body in _ALL_ONES:
        return replace(y if x.body in _ALL_ONES else x, negative=negative, scalars=scalars)
    if x == y and x.body[0] == "[" and x.body[-1] == "]" and x.prec == ATOM:  # a truth value
        return replace(x, negative=negative, scalars=scalars)
    if x == y:
        return Piece(f"{x.at(ATOM)}^{{\\odot 2}}", POWER, negative, scalars)
    return Piece(f"{x.at(HADAMARD)} \\odot {y.at(HADAMARD)}", HADAMARD, negative, scalars)


def quotient(a: Piece, b: Piece) -> Piece:
    """The elementwise quotient of two arrays of one shape."""
    x = a.plain
    over = Piece(f"{x.at(HADAMARD)} \\oslash {b.at(PRODUCT)}", HADAMARD)
    return replace(over, negative=a.negative, scalars=a.scalars)


def fraction(a: Piece, b: Piece, constant: bool, scalar: bool) -> Piece:
    """a over the scalar b. Over a number or a size the fraction stands in front: (1 / n) A x.

    A fraction over another is one: (a / b) / c is a over b c, and a / (b / c) is a c over b.
    """
    negative = a.negative ^ b.negative
    body = a.plain
    short = scalar and width(body.text) <= 3
    if constant and not short and not body.is_one:
        above = juxtaposed(a.scalars) if a.scalars else "1"
        share = f"\\frac{{{above}}}{{{replace(b, negative=False).text}}}"
        return replace(body, negative=negative, scalars=(share,))
    over, below = replace(a, negative=False), replace(b, negative=False)
    front = tuple(s for s in over.scalars if s.startswith("\\frac"))
    over = replace(over, scalars=tuple(s for s in over.scalars if s not in front))
    if over.over and not b.number:
        top, bottom = over.over
        top = replace(top, scalars=ordered(over.scalars + top.scalars))
        over, below = top, scalar_product(bottom, below)
    if below.over and not below.number and not below.scalars:
        bottom, top = below.over
        over, below = scalar_product(over, top) if scalar else scaled(top, over), bottom
    row = None if scalar else Piece(f"\\frac{{{over.turned.text}}}{{{below.text}}}", POWER)
    return Piece(f"\\frac{{{over.text}}}{{{below.text}}}", POWER, negative, front, row, over=(over, below))


def scalar_product(a: Piece, b: Piece) -> Piece:
    """The product of two scalars: numerals first, names before functions and brackets, equal factors as a power."""
    if a.is_one or b.is_one:
        return b if a.is_one else a
    negative, scalars = gathered([a, b])
    x, y = a.plain, b.plain
    if x.over and y.over and not x.number and not y.number:
        merged = fraction(scalar_product(x.over[0], y.over[0]), scalar_product(x.over[1], y.over[1]), False, True)
        return replace(merged, negative=merged.negative ^ negative, scalars=ordered(scalars + merged.scalars))
    *front, last = ordered([*scalars, x.at(PRODUCT), y.at(PRODUCT)]) or ["1"]
    if not front and (last.isdigit() or _RATIO.fullmatch(last)):
        return Piece(last, ATOM if last.isdigit() else PRODUCT, negative, number=True)
    for body in (x, y):
        if body.at(PRODUCT) == last:
            return replace(body if body.prec >= INNER else Piece(last), negative=negative, scalars=tuple(front))
    return Piece(last, POWER, negative, tuple(front))


# Factors of a product ------------------------------------------------------------------------------------------------

_RATIO = re.compile(r"\d+|\\frac\{\d+\}\{\d+\}")
_NAME = re.compile(r"(?:\\?[a-zA-Z]+|\\(?:mathrm|hat|bar|tilde|dot)\{[^{}]*\})(?:_\{[^{}]*\})?")
_POWER = re.compile(rf"({_NAME.pattern}|\([^()]*\))\^\{{(\d+)\}}")
_CALL = re.compile(r"(?:\\?[a-zA-Z]+|\\operatorname\{[^{}]*\})?\([^()]*(?:\([^()]*\)[^()]*)*\)")
_LATER = ("(", "\\left", "\\nabla", "\\begin", "\\sqrt")


def ordered(scalars: Sequence[str]) -> tuple[str, ...]:
    """Scalar factors as on paper: one number, then names, then functions and brackets; equal ones are a power."""
    counts: dict[str, int] = {}
    numerals: list[str] = []
    ratio = Fraction(1)
    for text in scalars:
        if _RATIO.fullmatch(text):
            ratio *= Fraction("/".join(re.findall(r"\d+", text)))
            continue
        if text[0].isdigit() or text == "\\mathrm{i}":
            numerals.append(text)
            continue
        power = _POWER.fullmatch(text)
        base, count = (power[1], int(power[2])) if power else (text, 1)
        counts[base] = counts.get(base, 0) + count
    made = [base if base[0] == "[" and base[-1] == "]" else _raised(base, n) for base, n in counts.items()]
    share = next((s for s in made if s.startswith("\\frac{1}{")), None)
    if share and ratio.denominator == 1:
        made[made.index(share)] = share.replace("1", str(ratio.numerator), 1)
    elif ratio != 1:
        above, below = ratio.numerator, ratio.denominator
        numerals.insert(0, str(above) if below == 1 else f"\\frac{{{above}}}{{{below}}}")
    return (*numerals, *[s for s in made if not _later(s)], *[s for s in made if _later(s)])


def raised(x: Piece, n: int) -> Piece:
    """A scalar to a whole power, of which the sign is left out."""
    if x.scalars or x.number or not _POWER.fullmatch(x.body):
        return power(replace(x, negative=False), str(n))
    return Piece(ordered([x.body] * n)[0], POWER)


def _raised(base: str, n: int) -> str:
    if n == 1:
        return base
    simple = _NAME.fullmatch(base) or _CALL.fullmatch(base)
    return f"{base if simple else bracketed(base)}^{{{n}}}"


def _later(text: str) -> bool:
    return text[0] == "[" or (any(mark in text for mark in _LATER) and not text.startswith("\\frac"))


def added(a: Piece, b: Piece, minus: bool = False) -> Piece:
    """a + b, or a - b; b with a sign of its own turns the one into the other."""
    minus ^= b.negative
    right = replace(b, negative=False)
    text = right.at(SUM + 1) if minus else right.at(SUM)
    if a.is_zero:
        return b if not minus else replace(right, negative=True)
    if b.is_zero:
        return a
    if not minus and text.startswith("-"):  # of a sum that begins with a minus
        minus, text = True, text[1:]
    return Piece(f"{a.at(SUM)} {'-' if minus else '+'} {text}", SUM)


def function(name: str, *xs: Piece) -> Piece:
    r"""`\exp(x)`."""
    inside = ", ".join(x.text for x in xs)
    return Piece(f"{name}{bracketed(inside)}")


def operator(name: str) -> str:
    r"""The name of a function in upright letters."""
    return f"\\mathrm{{{name}}}" if name[-1].isdigit() else f"\\operatorname{{{name}}}"  # `arctan2` is no letters


def power(x: Piece, exponent: str, elementwise: bool = False) -> Piece:
    """x to an exponent; of arrays it is elementwise, with a dot."""
    base = x.at(ATOM)
    if x.number and not x.scalars and not x.negative:
        base = x.body
    dot = "\\odot " if elementwise else ""
    return Piece(f"{base}^{{{dot}{exponent}}}", POWER)


def diagonal(x: Piece) -> Piece:
    """The diagonal matrix of a vector."""
    negative, scalars = x.negative, x.scalars
    if x.plain == ONES:
        return replace(IDENTITY, negative=negative, scalars=scalars)
    return Piece(f"{operator('diag')}{bracketed(x.plain.text)}", ATOM, negative, scalars, None, False, True)


def norm(x: Piece, kind: str) -> Piece:
    """The length of a vector, or the Frobenius norm of a matrix."""
    inside = replace(x, negative=False).text
    high = "\\frac" in inside or "\\left" in inside
    text = f"\\left\\|{inside}\\right\\|" if high else f"\\|{inside}\\|"
    return Piece(f"{text}_{{{kind}}}")
