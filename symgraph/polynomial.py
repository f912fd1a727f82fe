"""Integer polynomials  c1*m1 + c2*m2 + ... + c0  over monomials of *atoms*: their ring operations and their text.

An atom is a variable, or a call a // b, a % b, min(...), max(...) of other polynomials, which stands here for itself
(`dim_calls` makes the calls, and knows what they are worth). A polynomial is the tuple of its terms in normal form:
sorted (degree, then name, constant last), no zero coefficient. So equal algebra is an equal tuple, and zero is ().

Atoms are ordered by their text and told apart by a digest, so nothing depends on hash seeds; anonymous variables are
numbered among those with their label, so nothing depends on what unrelated code made before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

# --- Atoms: variables and calls ---------------------------------------------------------------------------------------


class _Atom:
    """`rank` = (is a call, text, serials, digest) orders atoms, and the digest alone identifies one."""

    __slots__ = ()
    rank: Rank

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Atom) and self.rank[3] == other.rank[3])

    def __hash__(self) -> int:
        return hash(self.rank[3])


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Variable(_Atom):
    """The hashable key of a variable. Serial 0 is named; an anonymous one is numbered among those with its label."""

    name: str
    serial: int = 0
    token: str = field(default="", repr=False)  # the identity of an anonymous variable across processes, for pickle
    rank: Rank = field(init=False, repr=False)

    def __post_init__(self) -> None:
        identity = ascii(self.name) + (f"#{self.serial}" if self.serial else "")
        object.__setattr__(self, "rank", (False, self.name, (self.serial,), identity))

    def __reduce__(self) -> tuple[Any, ...]:
        return (anonymous_variable, (self.name, self.token)) if self.serial else (Variable, (self.name,))


@dataclass(frozen=True, slots=True, eq=False)
class Call(_Atom):
    """`//` or `%` of two polynomials, `min` or `max` of two or more, at least one of them with a variable."""

    op: str
    args: tuple[Polynomial, ...]
    rank: Rank


Rank: TypeAlias = tuple[bool, str, tuple[int, ...], str]
Monomial: TypeAlias = tuple[tuple[Variable | Call, int], ...]  # (atom, power), by rank; () is 1
Term: TypeAlias = tuple[Monomial, int]
Polynomial: TypeAlias = tuple[Term, ...]

_alive: WeakValueDictionary[str, Variable] = WeakValueDictionary()  # anonymous variables by token
_labels: dict[str, int] = {}  # how many anonymous variables were made with each label
_lock = threading.Lock()


def anonymous_variable(label: str, token: str) -> Variable:
    """The variable of this token: a new one, or in unpickling the one that this process already has."""
    with _lock:
        known = _alive.get(token)
        if known is None:
            _labels[label] = _labels.get(label, 0) + 1
            known = _alive[token] = Variable(label, _labels[label], token)
        return known


def call(op: str, args: tuple[Polynomial, ...]) -> Polynomial:
    """The call as an atom; the arguments of min and max are sorted, constants last."""
    if op in ("min", "max"):
        args = tuple(sorted(args, key=lambda a: (number(a) is not None, text(a), _serials(a), text(a, identity))))
    serials = tuple(s for a in args for s in _serials(a))
    return of(Call(op, args, (True, _call(op, args, name)[0], serials, _call(op, args, identity)[0])))


def variables_of(p: Polynomial, found: dict[Variable, None]) -> None:
    """Adds the variables of `p` to `found`, in order of first appearance."""
    for monomial, _ in p:
        for atom, _ in monomial:
            if isinstance(atom, Variable):
                found[atom] = None
            else:
                for a in atom.args:
                    variables_of(a, found)


def _serials(p: Polynomial) -> tuple[int, ...]:
    found: dict[Variable, None] = {}
    variables_of(p, found)
    return tuple(v.serial for v in found)


# --- Parts ------------------------------------------------------------------------------------------------------------


def of(atom: Variable | Call) -> Polynomial:
    return ((((atom, 1),), 1),)


def constant(c: int) -> Polynomial:
    return (((), c),) if c else ()


def number(p: Polynomial) -> int | None:
    """The integer that a polynomial is, if it is one."""
    return 0 if not p else None if p[0][0] else p[0][1]


def constant_term(p: Polynomial) -> int:
    return p[-1][1] if p and not p[-1][0] else 0


def linear(monomial: Monomial) -> Variable | Call | None:
    """The atom that a monomial is, if it is one atom to the first power."""
    return monomial[0][0] if len(monomial) == 1 and monomial[0][1] == 1 else None


def sole_atom(p: Polynomial) -> Variable | Call | None:
    """The atom that a polynomial is, if it is one atom and nothing else."""
    return linear(p[0][0]) if len(p) == 1 and p[0][1] == 1 else None


# --- Arithmetic -------------------------------------------------------------------------------------------------------


def normal(table: dict[Monomial, int]) -> Polynomial:
    terms = [(m, c) for m, c in table.items() if c]
    return tuple(sorted(terms, key=_order) if len(terms) > 1 else terms)


def _order(term: Term) -> tuple[int, list[Rank]]:
    """Graded lexicographic: an order that products respect, which exact division relies on."""
    atoms = [atom.rank for atom, power in term[0] for _ in range(power)]
    return -len(atoms), atoms


def plus(p: Polynomial, q: Polynomial) -> Polynomial:
    table = dict(p)
    for monomial, c in q:
        table[monomial] = table.get(monomial, 0) + c
    return normal(table)


def minus(p: Polynomial, q: Polynomial) -> Polynomial:
    return plus(p, negative(q))


def negative(p: Polynomial) -> Polynomial:
    return tuple((monomial, -c) for monomial, c in p)


def times(p: Polynomial, q: Polynomial) -> Polynomial:
    table: dict[Monomial, int] = {}
    for x, c in p:
        for y, d in q:
            powers = dict(x)
            for atom, power in y:
                powers[atom] = powers.get(atom, 0) + power
            monomial = tuple(sorted(powers.items(), key=lambda item: item[0].rank)) if x and y else x or y
            table[monomial] = table.get(monomial, 0) + c * d
    return normal(table)


def divide(p: Polynomial, by: Polynomial) -> tuple[Polynomial, Polynomial]:
    """(q, r) with p = q*by + r. Unless `by` is a single term, all or nothing: r = 0, or q = 0."""
    (lead, c), *others = by
    q: Polynomial = ()
    r: Polynomial = ()
    rest = p
    while rest:
        monomial, v = rest[0]
        powers = dict(monomial)
        for atom, power in lead:
            powers[atom] = powers.get(atom, 0) - power
        if v % c == 0 and all(power >= 0 for power in powers.values()):
            term = ((tuple((atom, power) for atom, power in powers.items() if power), v // c),)
            q, rest = plus(q, term), minus(rest, times(term, by))
        elif others:
            return (), p
        else:
            r, rest = (*r, rest[0]), rest[1:]
    return q, r


# --- Text -------------------------------------------------------------------------------------------------------------

SUM, RATIO, PRODUCT, POWER, ATOM = range(5)  # what binds tighter is larger; -(n // 2) needs its parentheses


def name(variable: Variable) -> str:
    return variable.name


def identity(variable: Variable) -> str:
    return variable.rank[3]


def text(p: Polynomial, leaf: Callable[[Variable], str] = name, tight: int = SUM) -> str:
    """Python source of `p` with `leaf` of each variable, in parentheses if it binds less than `tight`."""
    source, level = _sum(p, leaf)
    return f"({source})" if level < tight else source


def _sum(p: Polynomial, leaf: Callable[[Variable], str]) -> tuple[str, int]:
    if not p:
        return "0", ATOM
    if p[0][1] < 0:  # 3 - n reads better than -n + 3
        p = tuple(sorted(p, key=lambda term: term[1] < 0))
    source, level = _product(*p[0], leaf)
    if p[0][1] < 0:
        source, level = f"-({source})" if level == RATIO else f"-{source}", SUM
    for monomial, c in p[1:]:
        source, level = f"{source} {'-' if c < 0 else '+'} {_product(monomial, c, leaf)[0]}", SUM
    return source, level


def _product(monomial: Monomial, c: int, leaf: Callable[[Variable], str]) -> tuple[str, int]:
    """The text of |c| * monomial, and how tightly it binds."""
    factors = [(str(abs(c)), ATOM)] if abs(c) != 1 or not monomial else []
    for atom, power in monomial:
        source, level = (leaf(atom), ATOM) if isinstance(atom, Variable) else _call(atom.op, atom.args, leaf)
        if power > 1:
            source, level = f"({source})**{power}" if level < ATOM else f"{source}**{power}", POWER
        factors.append((source, level))
    if len(factors) == 1:
        return factors[0]
    return "*".join(f"({source})" if level < POWER else source for source, level in factors), PRODUCT


def _call(op: str, args: tuple[Polynomial, ...], leaf: Callable[[Variable], str]) -> tuple[str, int]:
    if op in ("min", "max"):
        return f"{op}({', '.join(text(a, leaf) for a in args)})", ATOM
    return f"{text(args[0], leaf, RATIO)} {op} {text(args[1], leaf, POWER)}", RATIO
