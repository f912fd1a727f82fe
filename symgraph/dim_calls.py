"""The calls //, %, min and max of polynomials: bounds that can be proved, and the normal form that they allow.

    a // k     keeps coefficients in [0, k) coprime with k; the rest is moved out: (2n + 4)//2 = n + 2, (n//2)//3 = n//6
    a // b     b symbolic: exact polynomial division, and common factors cancel: (4n)//n = 4, (n*n - 1)//(n + 1) = n - 1
    max(a, b)  drops an argument which is provably not the largest: max(n, 0) = n, min(n, n + 1) = n

A proof assumes that every variable is >= 0 and that nothing is divided by zero, and no more. It is a search of bounded
depth, so it may fail where the claim is true; `at_least` and `differ` are then False, and a call stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from .polynomial import (
    Call,
    Monomial,
    Polynomial,
    Variable,
    call,
    constant,
    constant_term,
    divide,
    linear,
    minus,
    negative,
    normal,
    number,
    plus,
    sole_atom,
    text,
    times,
)

# --- What is provable -------------------------------------------------------------------------------------------------


def at_least(a: Polynomial, b: Polynomial) -> bool:
    """Whether a >= b is provable."""
    return lower(minus(a, b)) >= 0


def differ(a: Polynomial, b: Polynomial) -> bool:
    """Whether a != b whatever the variables are: by sign, or by divisibility as in 2*n and 2*m + 1."""
    d = minus(a, b)
    if (value := number(d)) is not None:
        return value != 0
    g = math.gcd(*(c for monomial, c in d if monomial))
    return constant_term(d) % g != 0 or lower(d) >= 1 or lower(negative(d)) >= 1


def lower(p: Polynomial) -> float:
    """A lower bound, -inf for none."""
    value = number(p)
    return _bounded(p, 4) if value is None else value


@lru_cache(maxsize=8192)
def _bounded(p: Polynomial, depth: int) -> float:
    """The better of two lower bounds: from the range of every term; and with one call replaced by what it is at least,
    or at most where its coefficient is negative, which sees that n - n//2 and n - min(n, m) are >= 0."""
    best: float = 0
    for monomial, c in p:
        low, high = _range(monomial)
        best += c * (low if c > 0 else high)
    for monomial, c in p if depth else ():
        if isinstance(atom := linear(monomial), Call):
            rest = minus(p, ((monomial, c),))
            bounds = [_bounded(plus(rest, times(x, constant(c))), depth - 1) for x in _candidates(atom, c)]
            if atom.op in ("min", "max"):  # c * min is the min of the c * arg, or for c < 0 their max
                return max(best, min(bounds) if (atom.op == "min") == (c > 0) else max(bounds))
            if atom.op == "//" and (k := number(atom.args[1])) is not None:  # (x - k + 1)/k <= x//k <= x/k, times k
                x = atom.args[0] if c < 0 else plus(atom.args[0], constant(1 - k))
                scaled = _bounded(plus(times(rest, constant(k)), times(x, constant(c))), depth - 1)
                return max(best, scaled if math.isinf(scaled) else -(-scaled // k))
            if bounds:
                return max(best, *bounds)
    return best


def _candidates(atom: Call, c: int) -> tuple[Polynomial, ...]:
    """What may replace, for a lower bound, the call that stands with coefficient c."""
    if atom.op in ("min", "max"):
        return atom.args
    a, b = atom.args
    if c > 0 or lower(b) < 0:
        return ()
    if atom.op == "%":
        return (plus(b, constant(-1)), a) if lower(a) >= 0 else (plus(b, constant(-1)),)
    return () if number(b) is not None or lower(a) < 0 else (a,)


def _range(monomial: Monomial) -> tuple[float, float]:
    """Bounds of a product of atoms; of several factors, only when none can be negative."""
    low: float = 1
    high: float = 1
    for atom, power in monomial:
        a, b = (0, math.inf) if isinstance(atom, Variable) else _call_range(atom)
        if a < 0:
            return (a, b) if linear(monomial) else (-math.inf, math.inf)
        low, high = low * a**power, high * b**power if high and b else 0
    return low, high


def _call_range(atom: Call) -> tuple[float, float]:
    lows, highs = [lower(a) for a in atom.args], [-lower(negative(a)) for a in atom.args]
    if atom.op in ("min", "max"):
        return (min(lows), min(highs)) if atom.op == "min" else (max(lows), max(highs))
    if lows[1] < 0:
        return -math.inf, math.inf
    if atom.op == "%":
        return 0, min(highs[1] - 1, highs[0] if lows[0] >= 0 else math.inf)
    if (k := number(atom.args[1])) is not None:
        return tuple(x if math.isinf(x) else x // k for x in (lows[0], highs[0]))  # type: ignore[return-value]
    return (0, highs[0]) if lows[0] >= 0 else (-math.inf, math.inf)


# --- Quotients and remainders -----------------------------------------------------------------------------------------


def quotient(a: Polynomial, b: Polynomial) -> Polynomial:
    if b and b[0][1] < 0:
        return quotient(negative(a), negative(b))
    q, r, d, _, _ = _split(a, b)
    return plus(q, _quotient_atom(r, d) if d == b else quotient(r, d))


def remainder(a: Polynomial, b: Polynomial) -> Polynomial:
    if b and b[0][1] < 0:
        return negative(remainder(negative(a), negative(b)))
    _, r, d, factor, offset = _split(a, b)
    if d != b:
        return plus(times(factor, remainder(r, d)), constant(offset))
    return r if _is_digit(r, d) else call("%", (r, d))


def _split(a: Polynomial, b: Polynomial) -> tuple[Polynomial, Polynomial, Polynomial, Polynomial, int]:
    """(q, r, d, f, k) with b = f*d and a = q*b + f*r + k, 0 <= k < f if k: so a//b = q + r//d and a%b = f*(r%d) + k."""
    divisor = number(b)
    if divisor == 0:
        raise ZeroDivisionError(f"({text(a)}) divided by zero")
    if divisor is not None:
        q, r = (normal({m: f(c, divisor) for m, c in a}) for f in (int.__floordiv__, int.__mod__))
        g = math.gcd(divisor, *(c for m, c in r if m))
        k = constant_term(r) % g
        return q, normal({m: c // g for m, c in r}), constant(divisor // g), constant(g), k
    q, r = divide(a, b)
    if not r:
        return q, (), constant(1), b, 0
    parts = r + b
    common = {atom: min(dict(m).get(atom, 0) for m, _ in parts) for atom, _ in parts[0][0]}
    monomial = tuple((atom, p) for atom, p in common.items() if p)
    factor = ((monomial, math.gcd(*(c for _, c in parts))),)
    return q, divide(r, factor)[0], divide(b, factor)[0], factor, 0


def _quotient_atom(a: Polynomial, b: Polynomial) -> Polynomial:
    """a // b when `_split` has nothing left to do."""
    if _is_digit(a, b):
        return ()
    k = constant(constant_term(a))
    inner = sole_atom(minus(a, k))
    if number(b) is not None and isinstance(inner, Call):
        x, y = inner.args[:2]
        if inner.op == "//" and number(y) is not None:  # (x//y + k)//b = (x + k*y)//(y*b)
            return quotient(plus(x, times(k, y)), times(y, b))
        if inner.op in ("min", "max"):  # floor is monotone
            return extreme(inner.op, [quotient(plus(arg, k), b) for arg in inner.args])
    return call("//", (a, b))


def _is_digit(a: Polynomial, b: Polynomial) -> bool:
    """Whether 0 <= a < b, so that a // b is 0 and a % b is a."""
    return not a or (lower(a) >= 0 and at_least(b, plus(a, constant(1))))


# --- Minima and maxima ------------------------------------------------------------------------------------------------


def extreme(op: str, args: Iterable[Polynomial]) -> Polynomial:
    """min or max, without the arguments that another one provably makes useless."""
    kept: list[Polynomial] = []
    useless = at_least if op == "min" else lambda x, y: at_least(y, x)  # x, beside y
    for arg in args:
        atom = sole_atom(arg)
        for x in atom.args if isinstance(atom, Call) and atom.op == op else (arg,):
            if not any(useless(x, y) for y in kept):
                kept = [y for y in kept if not useless(y, x)] + [x]
    if not kept:
        raise TypeError(f"{op} of no sizes")
    return kept[0] if len(kept) == 1 else call(op, tuple(kept))


def absorb(p: Polynomial, budget: int = 3) -> Polynomial:
    """x + min(a, b) as min(x + a, x + b), and so on, which may lose an argument: n - max(n - 3, 0) is min(3, n)."""
    for monomial, c in p if budget else ():
        if isinstance(atom := linear(monomial), Call) and atom.op in ("min", "max") and c in (1, -1):
            rest = minus(p, ((monomial, c),))
            op = atom.op if c == 1 else {"min": "max", "max": "min"}[atom.op]
            return extreme(op, [absorb(plus(rest, times(arg, constant(c))), budget - 1) for arg in atom.args])
    return p
