"""Which expressions are equal, and which are nothing at all, however they are written.

A value is read as a rational function of unknowns, with exponentials: S * exp(-d1**2 / 2) - K * exp(-r * T) * exp(-d2**2 / 2)
is 0 when d1 = (log(S / K) + (r + v**2 / 2) * T) / (v * sqrt(T)) and d2 = d1 - v * sqrt(T), as the people who trade options
know. No rule on the shape of expressions finds this. Instead every unknown is given a random number, and the expression is
computed exactly, in whole numbers modulo a prime: two different rational functions agree there with a probability of about
degree / 2**61 (Schwartz, 1980; Zippel, 1979). Exponents live modulo another prime Q which divides P - 1, so that
g**(a + b) = g**a * g**b holds for an element g of order Q (as in the equivalence checker of Mirage: Wu et al., 2024).

The numbers are the same in every process: the n-th unknown of a graph takes the n-th number of a fixed sequence. What is
no arithmetic (sin, where, a sum over axes) is an unknown, the same for the same op of equal operands. Roots split only for
unknowns, since sqrt(x * x) is not x; logarithms split only within exponents, which a sign does not reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Constant, Tensor
from ..dims import same_shape
from ..ops.base import Elementwise
from ..ops.late import F
from .facts import facts
from .pattern import node_rules

Q = 2**61 - 1
P = 52 * Q + 1
GENERATOR = pow(3, 52, P)
"""Of the subgroup of order Q."""

WINDOW = 6
_POWERS: list[list[int]] = []


class Value:
    """What a node is in the two fields: c * g**log where it is a product of unknowns, else a number modulo P."""

    __slots__ = ("_number", "c", "exponent", "log", "root")

    def __init__(self, number: int | None, c: int, log: int | None, exponent: int | None, root: int | None) -> None:
        self._number = number
        self.c = c
        self.log = log
        self.exponent = exponent
        """The value modulo Q, for use in an exponent; None where nobody asks."""
        self.root = root
        """Of an unknown: the square root of `exponent`."""

    @property
    def number(self) -> int:
        """The value modulo P."""
        if self._number is None:
            self._number = self.c * exponential(self.log or 0) % P
        return self._number


def exponential(n: int) -> int:
    """g**n modulo P, from a table."""
    if not _POWERS:
        base = GENERATOR
        for _ in range(0, 61, WINDOW):
            row = [1]
            for _ in range(2**WINDOW - 1):
                row.append(row[-1] * base % P)
            _POWERS.append(row)
            base = row[-1] * base % P
    found, at = 1, 0
    while n:
        digit = n & (2**WINDOW - 1)
        if digit:
            found = found * _POWERS[at][digit] % P
        n >>= WINDOW
        at += 1
    return found


class Values:
    """The values of the nodes of one graph, in the order in which they are met."""

    def __init__(self, order: Sequence[Tensor]) -> None:
        self.known: dict[Tensor, Value] = {}
        self.unknowns: dict[Any, Value] = {}
        self.count = 0
        self.products: dict[Any, Tensor] = {}
        """The first node for each product of unknowns."""
        self.exponents = any([node.op in EXPONENTIALS for node in order])

    @classmethod
    def of(cls, order: Sequence[Tensor]) -> Values | None:
        """Of a graph with quotients, roots or exponentials; what cancels in sums of products, `collect_terms` finds."""
        return cls(order) if any([node.op in WORTH_IT for node in order]) else None

    def carry(self, node: Tensor, new: Tensor) -> None:
        """What a node has become has its value."""
        value = self.known.get(node)
        if value is not None:
            self.known.setdefault(new, value)

    def settled(self, node: Tensor) -> None:
        """Products that no rule changes any more are there for others to be found equal to."""
        value = self.known.get(node)
        if value is not None and value.log is not None and node.inputs and node.op in PRODUCTS:
            self.products.setdefault(product_key(node, value), node)

    def find(self, node: Tensor, candidate: Tensor) -> None:
        """Work out the value of `node` from those of its operands; `candidate`, the node on new operands, has the same."""
        if node not in self.known and not isinstance(node.aval, tuple):
            self._find(node)
        if candidate is not node:
            self.carry(node, candidate)

    def _find(self, node: Tensor) -> None:
        op = node.op
        if isinstance(op, Constant) and op.number is not None and node.dtype.kind in "fiu":
            self.known[node] = self.constant(op.number)
            return
        made = None
        if node.dtype.kind == "f" and isinstance(op, Elementwise) and all([x in self.known for x in node.inputs]):
            rule = RULES.get(op)
            xs = [self.known[x] for x in node.inputs]
            made = rule(self, *xs) if rule is not None else None
            if made is None:
                made = self.unknown((op, *[x.number for x in xs]))
        self.known[node] = made if made is not None else self.unknown(node)

    def unknown(self, key: Any) -> Value:
        """A fresh number for an unknown, the same whenever it is asked for with the same key."""
        found = self.unknowns.get(key)
        if found is None:
            self.count += 1
            log = _mixed(2 * self.count) % Q
            root = _mixed(2 * self.count + 1) % Q
            found = self.unknowns[key] = Value(None, 1, log, root * root % Q, root)
        return found

    def constant(self, number: float) -> Value:
        if not np.isfinite(number):
            return self.unknown(("number", str(number)))
        over, under = number.as_integer_ratio()
        c = over * pow(under, -1, P) % P
        return Value(c, c, 0 if c else None, over * pow(under, -1, Q) % Q, None)


def _mixed(n: int) -> int:
    """A fixed sequence of numbers that look random (the finalizer of SplitMix64, twice)."""
    found = 0
    for _ in range(2):
        n = (n + 0x9E3779B97F4A7C15) & (2**64 - 1)
        z = n
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & (2**64 - 1)
        found = found << 32 ^ (z ^ (z >> 31))
    return found


# Rules of arithmetic -------------------------------------------------------------------------------------------------


def _add(v: Values, x: Value, y: Value) -> Value:
    return Value((x.number + y.number) % P, 0, None, (x.exponent + y.exponent) % Q if v.exponents else 0, None)  # type: ignore[operator]


def _subtract(v: Values, x: Value, y: Value) -> Value:
    return Value((x.number - y.number) % P, 0, None, (x.exponent - y.exponent) % Q if v.exponents else 0, None)  # type: ignore[operator]


def _multiply(v: Values, x: Value, y: Value) -> Value:
    exponent = x.exponent * y.exponent % Q if v.exponents else 0  # type: ignore[operator]
    if x.log is not None and y.log is not None:
        return Value(None, x.c * y.c % P if x.c != 1 or y.c != 1 else 1, (x.log + y.log) % Q, exponent, None)
    return Value(x.number * y.number % P, 0, None, exponent, None)


def _divide(v: Values, x: Value, y: Value) -> Value | None:
    if (y._number is not None and y.number == 0) or (v.exponents and y.exponent == 0):
        return None
    exponent = x.exponent * pow(y.exponent, -1, Q) % Q if v.exponents else 0  # type: ignore[operator, arg-type]
    if x.log is not None and y.log is not None:
        c = x.c if y.c == 1 else x.c * pow(y.c, -1, P) % P
        return Value(None, c, (x.log - y.log) % Q, exponent, None)
    return None if y.number == 0 else Value(x.number * pow(y.number, -1, P) % P, 0, None, exponent, None)


def _negative(v: Values, x: Value) -> Value:
    exponent = -x.exponent % Q if v.exponents else 0  # type: ignore[operator]
    return Value(None if x.log is not None else -x.number % P, -x.c % P, x.log, exponent, None)


def _square(v: Values, x: Value) -> Value:
    return _multiply(v, x, x)


def _reciprocal(v: Values, x: Value) -> Value | None:
    return _divide(v, v.constant(1), x)


def _sqrt(v: Values, x: Value) -> Value | None:
    """The root of an unknown, whose square is the unknown again; of anything else a new unknown."""
    if x.root is None or x.log is None:
        return None
    return Value(None, 1, x.log * pow(2, -1, Q) % Q, x.root, None)


def _exp(v: Values, x: Value) -> Value:
    return Value(None, 1, x.exponent, v.unknown(("exp", x.exponent)).exponent, None)


def _log(v: Values, x: Value) -> Value | None:
    """In an exponent, the logarithm of a product is the sum of those of its factors."""
    if x.log is None:
        return None
    own = v.unknown(("log", x.number))
    c = v.unknown(("log of a number", x.c)).exponent if x.c != 1 else 0
    return Value(own.number, 1, own.log, (x.log + c) % Q, None)  # type: ignore[operator]


def _power(v: Values, x: Value, n: Value) -> Value | None:
    """Whole powers up to 8."""
    if n.log != 0 or not (1 <= n.c <= 8 or P - 8 <= n.c < P):
        return None
    count = n.c if n.c <= 8 else n.c - P
    one = v.constant(1)
    found = one
    for _ in range(abs(count)):
        found = _multiply(v, found, x)
    return found if count > 0 else _divide(v, one, found)


EXPONENTIALS = frozenset([F.exp])
PRODUCTS = frozenset([F.multiply, F.divide])
WORTH_IT = frozenset([F.exp, F.divide, F.reciprocal, F.sqrt])
RULES: dict[Elementwise, Any] = {
    F.add: _add, F.subtract: _subtract, F.multiply: _multiply, F.divide: _divide, F.negative: _negative,
    F.square: _square, F.reciprocal: _reciprocal, F.sqrt: _sqrt, F.exp: _exp, F.log: _log, F.power: _power,
}  # fmt: skip


def product_key(node: Tensor, value: Value) -> tuple[Any, ...]:
    """What products have in common that are equal up to their sign."""
    return min(value.c, P - value.c), value.log, node.dtype, node.ndim


# Rewrite rules -------------------------------------------------------------------------------------------------------


def _nothing(node: Tensor) -> Tensor | None:
    """A sum or difference that is 0 as a rational function."""
    values = facts.current.values
    value = values.known.get(node) if values is not None else None
    if value is None or value.log is not None or value.number != 0:
        return None
    return F.zeros_like(node)


def _same_product(node: Tensor) -> Tensor | None:
    """A product that was computed before from other factors, up to its sign, or that is 1."""
    values = facts.current.values
    value = values.known.get(node) if values is not None else None
    if value is None or value.log is None or not value.c:
        return None
    assert values is not None
    if value.log == 0 and value.c == 1:
        return F.ones_like(node)
    first = values.products.get(product_key(node, value))
    if first is None or first is node or not same_shape(first.shape, node.shape):
        return None
    if values.known[first].c == value.c:
        return first
    return -first if all([x.ndim for x in node.inputs]) else None  # a multiple costs no more than a change of sign


IDENTITY = node_rules(
    "nothing at all", [F.add, F.subtract], _nothing, tag="finite-real", moderate=True, first=True,
    examples=[
        lambda x, y: F.exp(x) * F.exp(y) - F.exp(x + y),
        lambda x, y: x * (y + 1) - x - y * x,
        lambda x: (x + 1) * (x - 1) - x * x + 1,
        lambda x, y: F.exp(F.log(x) + y) - x * F.exp(y),
    ],
) + node_rules(
    "the same product", [F.multiply, F.divide], _same_product, tag="finite-real", moderate=True, first=True,
    examples=[
        lambda x, y: F.exp(x) * F.exp(y) * F.exp(-(x + y)),
        lambda x, y: F.sin(x * y) + F.exp(y * x * F.exp(x)) * (x * F.exp(x + y)) + (y * F.exp(x) * -x) / F.exp(-x - y) * y,
    ],
)  # fmt: skip

__all__ = ["IDENTITY", "Value", "Values"]
