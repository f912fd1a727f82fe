r"""Pieces of a formula that know how tightly they bind and what their transposes are.

A piece is `sign * scalars * body`: signs and scalar factors move to the front of a product by themselves, and a product
of matrices is transposed by transposing its factors in reverse, so x^{\top} A x needs no bracket and no transpose of a
transpose. A 1-d array is a column; `turned` is the row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

COMPARE, SUM, HADAMARD, INNER, PRODUCT, POWER, ATOM = range(7)
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
        return replace(self, body=f"{self.at(ATOM, bare=True)}{TOP}", prec=POWER, row=Piece(self.body, self.prec))

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
        return self.number and self.body == "0"


def atom(text: str) -> Piece:
    """What needs no brackets anywhere."""
    return Piece(text)


ONES = Piece("\\mathbf{1}")
ZEROS = Piece("\\mathbf{0}")
IDENTITY = Piece("I", symmetric=True)


def bracketed(text: str) -> str:
    """The text in brackets as high as it is."""
    high = "\\frac" in text or "\\sum" in text or "\\begin" in text or "\\left" in text
    return f"\\left({text}\\right)" if high else f"({text})"


def juxtaposed(texts: Sequence[str]) -> str:
    """Factors side by side, with a dot before a numeral."""
    made = texts[0]
    for text in texts[1:]:
        made += (
            " \\cdot " if text[:1].isdigit() else " \\, " if text.startswith("\\mathbf") and made[-1].isdigit() else " "
        )
        made += text
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
    return replace(x, negative=negative, scalars=scalars + x.scalars)


def product(factors: Sequence[Piece], prec: int = PRODUCT) -> Piece:
    """The product of matrices and vectors: signs and scalars in front, the transpose in reverse."""
    if len(factors) == 1:
        return factors[0]
    negative, scalars = gathered(factors)
    bodies = [f.plain for f in factors]
    made = juxtaposed([b.at(PRODUCT) for b in bodies])
    turned = juxtaposed([b.turned.at(PRODUCT) for b in reversed(bodies)])
    row = Piece(turned, prec)
    row = replace(row, row=Piece(made, prec))
    return Piece(made, prec, negative, scalars, row)


def gathered(factors: Sequence[Piece]) -> tuple[bool, tuple[str, ...]]:
    """The sign and the scalars of a product: numerals first."""
    scalars = [s for f in factors for s in f.scalars]
    scalars = [*[s for s in scalars if s[0].isdigit()], *[s for s in scalars if not s[0].isdigit()]]
    return sum(f.negative for f in factors) % 2 == 1, tuple(scalars)


def hadamard(a: Piece, b: Piece) -> Piece:
    """The elementwise product of two arrays of one shape."""
    negative, scalars = gathered([a, b])
    x, y = a.plain, b.plain
    if x == y:
        return Piece(f"{x.at(ATOM)}^{{\\odot 2}}", POWER, negative, scalars)
    return Piece(f"{x.at(HADAMARD)} \\odot {y.at(HADAMARD)}", HADAMARD, negative, scalars)


def quotient(a: Piece, b: Piece) -> Piece:
    """The elementwise quotient of two arrays of one shape."""
    x = a.plain
    over = Piece(f"{x.at(HADAMARD)} \\oslash {b.at(PRODUCT)}", HADAMARD)
    return replace(over, negative=a.negative, scalars=a.scalars)


def fraction(a: Piece, b: Piece, constant: bool, scalar: bool) -> Piece:
    """a over the scalar b. Over a number or a size the fraction stands in front: (1 / n) A x."""
    negative = a.negative ^ b.negative
    below = replace(b, negative=False).text
    body = a.plain
    short = scalar and width(body.text) <= 3
    if constant and not short and not body.is_one:
        above = juxtaposed(a.scalars) if a.scalars else "1"
        return Piece(
            body.body, body.prec, negative, (f"\\frac{{{above}}}{{{below}}}",), body.row, False, body.symmetric
        )
    over = replace(a, negative=False)
    row = None if scalar else Piece(f"\\frac{{{over.turned.text}}}{{{below}}}", POWER)
    return Piece(f"\\frac{{{over.text}}}{{{below}}}", POWER, negative, (), row)


def added(a: Piece, b: Piece, minus: bool = False) -> Piece:
    """a + b, or a - b; b with a sign of its own turns the one into the other."""
    minus ^= b.negative
    right = replace(b, negative=False)
    text = right.at(SUM + 1) if minus else right.at(SUM)
    if a.is_zero:
        return b if not minus else replace(right, negative=True)
    return Piece(f"{a.at(SUM)} {'-' if minus else '+'} {text}", SUM)


def function(name: str, *xs: Piece) -> Piece:
    r"""`\exp(x)`."""
    inside = ", ".join(x.text for x in xs)
    return Piece(f"{name}{bracketed(inside)}")


def operator(name: str) -> str:
    r"""The name of a function in upright letters."""
    return f"\\operatorname{{{name}}}"


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
    return Piece(f"{operator('diag')}{bracketed(x.plain.text)}", ATOM, negative, scalars, None, False, True)


def norm(x: Piece, kind: str) -> Piece:
    """The length of a vector, or the Frobenius norm of a matrix."""
    inside = replace(x, negative=False).text
    high = "\\frac" in inside or "\\left" in inside
    text = f"\\left\\|{inside}\\right\\|" if high else f"\\|{inside}\\|"
    return Piece(f"{text}_{{{kind}}}")
