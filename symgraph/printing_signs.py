"""How `print` writes signs and numbers: as on paper.

    a + -b * c        a - b * c
    a - -b            a + b
    -(a / b)          -a / b
    -2 * (a * b)      -2 * a * b
    (a * b) * 2       2 * a * b, where a derivative put the number last

A sign moves exactly. A number before a product stands for the same number, though the graph may round it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from .core import Tensor
from .ops import code
from .ops.code import PLUS, TIMES, UNARY, Code

_OTHER = {"add": "-", "subtract": "+"}


def on_paper(node: Tensor, operands: Sequence[Tensor], xs: Sequence[Code]) -> Code | None:
    """The text of a sum, a sign or a product over those of its operands, or None where NumPy's way is the one on paper."""
    name = node.op.name
    if name == "masked_multiply":
        return code.call("where", xs[0], code.infix("*", xs[1], xs[2]), code.literal(0))
    if name == "multiply" and node.order > 0:
        return _derived_product(operands, xs)
    if name in _OTHER and len(xs) == 2 and _signed(xs[1]):
        return _added(xs[0], xs[1], name)
    if name == "negative" and xs[0].prec == TIMES and xs[0][0] not in "-+" and _product(operands[0], "matmul"):
        return Code(f"-{xs[0]}", TIMES)
    if name == "multiply" and xs[0].literal and xs[1].prec == TIMES and xs[1][0] != "-" and _product(operands[1]):
        return Code(f"{xs[0].within(PLUS + 1)} * {xs[1]}", TIMES)
    return None


def _derived_product(operands: Sequence[Tensor], xs: Sequence[Code]) -> Code:
    """A product that a derivative made: its number first, and no parentheses around a product on its right."""
    if xs[1].literal and not xs[0].literal:
        operands, xs = operands[::-1], xs[::-1]
    flat = xs[1].prec == TIMES and xs[1][0] != "-" and _product(operands[1]) and (xs[0].literal or "@" not in xs[1])
    if not flat:
        return code.infix("*", *xs)
    return Code(f"{xs[0].within(PLUS + 1 if xs[0].literal else TIMES)} * {xs[1]}", TIMES)


def total(terms: Sequence[Code]) -> Code:
    """The sum of the terms."""
    return reduce(_added, terms)


def _added(a: Code, b: Code, name: str = "add") -> Code:
    if _signed(b):
        return code.infix(_OTHER[name], a, Code(b[1:], b.prec))
    return code.infix("+", a, b)


def _signed(x: Code) -> bool:
    """Whether the text is a term with a minus before it."""
    if not x.startswith("-") or x.startswith("--") or "//" in x or "%" in x:  # -a // b is (-a) // b
        return False
    return x.prec in (UNARY, TIMES)


def _product(x: Tensor, *more: str) -> bool:
    return x.op.name in ("multiply", "divide", *more)


__all__ = ["on_paper", "total"]
