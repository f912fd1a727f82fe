"""Sizes of arrays that are known only when the compiled function is called.

A `Dim` is an integer polynomial  c1*m1 + c2*m2 + ... + c0  over monomials of *atoms*: variables, and the calls a // b,
a % b, min(...), max(...) of other sizes. It is kept in normal form, so equal algebra is equal structure: terms sorted
(degree, then name, constant last), no zero coefficient, and a result without variables is a plain `int`. For k an int,

    a // k     keeps coefficients in [0, k) coprime with k; the rest is moved out: (2n + 4)//2 = n + 2, (n//2)//3 = n//6
    a // b     b symbolic: exact polynomial division, and common factors cancel: (4n)//n = 4, (n*n - 1)//(n + 1) = n - 1
    max(a, b)  drops an argument which is provably not the largest: max(n, 0) = n, min(n, n + 1) = n

Two assumptions, and no others: every variable is >= 0, and nothing is divided by zero. A comparison is answered where
it has one answer under them; otherwise it raises. Nothing depends on hash seeds or on what unrelated code made before.
"""

from __future__ import annotations

import math
import operator
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias
from weakref import WeakValueDictionary

from .errors import ShapeError


def dim(name: str) -> Dim:
    """The size called `name`, any integer >= 0. The same name is the same size.

    >>> n = dim("n")
    >>> (n + 1) * (n - 1), (2 * n + 4) // 2, (n + 1) - 1 == n
    (n**2 - 1, n + 2, True)
    """
    return _of(Variable(_checked(name)))


def anonymous(label: str) -> Dim:
    """A size equal to no other, printed as `label`; of two with one label the older sorts first."""
    return _of(_anonymous(_checked(label), uuid.uuid4().hex))


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
        return (_anonymous, (self.name, self.token)) if self.serial else (Variable, (self.name,))


@dataclass(frozen=True, slots=True, eq=False)
class Call(_Atom):
    """`//` or `%` of two sizes, `min` or `max` of two or more, at least one of them symbolic."""

    op: str
    args: tuple[Size, ...]
    rank: Rank


def _call(op: str, args: tuple[Size, ...]) -> Dim:
    if op in ("min", "max"):
        args = tuple(sorted(args, key=lambda a: (isinstance(a, int), str(a), _serials(a), digest(a))))
    text, identity = _call_text(op, args, _name)[0], _call_text(op, args, _identity)[0]
    return _of(Call(op, args, (True, text, tuple(s for a in args for s in _serials(a)), identity)))


_alive: WeakValueDictionary[str, Variable] = WeakValueDictionary()  # anonymous variables by token
_labels: dict[str, int] = {}  # how many anonymous variables were made with each label
_lock = threading.Lock()


def _anonymous(label: str, token: str) -> Variable:
    """The variable of this token: a new one, or in unpickling the one that this process already has."""
    with _lock:
        known = _alive.get(token)
        if known is None:
            _labels[label] = _labels.get(label, 0) + 1
            known = _alive[token] = Variable(label, _labels[label], token)
        return known


def _checked(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a dimension is named by a string, not {type(name).__name__}")
    if not name:
        raise ShapeError("a dimension needs a name that is not empty; use None in a shape for an anonymous one")
    return name


# --- The polynomial ---------------------------------------------------------------------------------------------------


def _lift(function: Callable[[Any, Any], Any]) -> Callable[[Dim, Any], Any]:
    """The method of a binary operator: defers to the other operand unless that is a size."""

    def method(self: Dim, other: object) -> Any:
        size = _size(other)
        return NotImplemented if size is None else function(self, size)

    return method


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dim:
    """A symbolic size: made by `dim` and `anonymous`, combined with + - * // % **, `minimum` and `maximum`.

    bool counts as int, as in Python; a float is not a size. A comparison which the graph cannot decide raises
    ShapeError, and so does a test like `if n:`; int(n) and range(n) raise TypeError. Use `same` to ask without raising.
    """

    terms: tuple[Term, ...]
    _hash: int

    __array_ufunc__ = None  # np.int64(2) * n defers to n

    __add__ = __radd__ = _lift(lambda a, b: _plus(a, b))
    __sub__ = _lift(lambda a, b: _minus(a, b))
    __rsub__ = _lift(lambda a, b: _minus(b, a))
    __mul__ = __rmul__ = _lift(lambda a, b: _times(a, b))
    __floordiv__ = _lift(lambda a, b: _quotient(a, b))
    __rfloordiv__ = _lift(lambda a, b: _quotient(b, a))
    __mod__ = _lift(lambda a, b: _remainder(a, b))
    __rmod__ = _lift(lambda a, b: _remainder(b, a))
    __lt__ = _lift(lambda a, b: _less(a, b, 1, "<"))
    __le__ = _lift(lambda a, b: _less(a, b, 0, "<="))
    __gt__ = _lift(lambda a, b: _less(b, a, 1, ">"))
    __ge__ = _lift(lambda a, b: _less(b, a, 0, ">="))

    def __eq__(self, other: object) -> bool:
        size = _size(other)
        return NotImplemented if size is None else _equal(self, size, "==")

    def __ne__(self, other: object) -> bool:
        size = _size(other)
        return NotImplemented if size is None else not _equal(self, size, "!=")

    def __hash__(self) -> int:
        return self._hash

    def __bool__(self) -> bool:
        return not _equal(self, 0, "!=")

    def __neg__(self) -> Size:
        return _times(self, -1)

    def __pos__(self) -> Size:
        return self

    def __pow__(self, exponent: int) -> Size:
        power = _size(exponent)
        if not isinstance(power, int):
            return NotImplemented
        if not 0 <= power <= 32:
            raise ShapeError(f"({self})**{power}: the power of a size must be between 0 and 32")
        return prod([self] * power)

    def __index__(self) -> int:
        raise TypeError(f"the size {self} is not a number yet: it is known only when the compiled function is called. "
                        "Compute with it as it is, or give the axis a fixed size.")  # fmt: skip

    __int__ = __index__

    def __float__(self) -> float:
        return float(operator.index(self))

    def __str__(self) -> str:
        return _text(self, _name)

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.terms,)

    @property
    def is_variable(self) -> bool:
        """Whether this is one variable and nothing else."""
        return isinstance(_sole_atom(self), Variable)

    @property
    def key(self) -> Variable:
        """The hashable key of a variable, which is what `code` and `substitute` look up."""
        atom = _sole_atom(self)
        if not isinstance(atom, Variable):
            raise ShapeError(f"the size {self} is not one variable, so it has no key")
        return atom

    def variables(self) -> tuple[Variable, ...]:
        return variables(self)

    def evaluate(self, env: Env) -> int:
        return evaluate(self, env)


Size: TypeAlias = int | Dim  # an axis, or any integer computed from axes
Shape: TypeAlias = tuple[Size, ...]
Env: TypeAlias = Mapping[Any, int]  # keyed by Variable, by Dim that is a variable, or by the name of a named one
Rank: TypeAlias = tuple[bool, str, tuple[int, ...], str]
Monomial: TypeAlias = tuple[tuple[Variable | Call, int], ...]  # (atom, power), by rank; () is 1
Term: TypeAlias = tuple[Monomial, int]


def as_size(value: object) -> Size:
    """`value` as an int or a Dim (np.int64 becomes int); TypeError for anything else."""
    size = _size(value)
    if size is None:
        raise TypeError(f"a size must be an integer or a symbolic dimension, not {type(value).__name__}: {value!r}")
    return size


def prod(sizes: Iterable[Size]) -> Size:
    """The product of sizes; 1 for none."""
    total: Size = 1
    for size in sizes:
        total = _times(total, size)
    return total


def minimum(*sizes: Size) -> Size:
    """The smallest size: minimum(n, n + 1, 3) is min(n, 3)."""
    return _extreme("min", sizes)


def maximum(*sizes: Size) -> Size:
    """The largest size: maximum(n - 1, 0) stays, maximum(n, 0) is n."""
    return _extreme("max", sizes)


def same(a: Size, b: Size) -> bool:
    """Whether two sizes are provably equal (equal in normal form). Never raises."""
    if a is b:
        return True
    if isinstance(a, Dim):
        return isinstance(b, Dim) and a._hash == b._hash and a.terms == b.terms
    return not isinstance(b, Dim) and a == b


def same_shape(s: Shape, t: Shape) -> bool:
    """`same` for every axis of two shapes of one rank."""
    return s is t or (len(s) == len(t) and all(map(same, s, t)))


def variables(*sizes: Size) -> tuple[Variable, ...]:
    """Every variable in the sizes, once each, in order of first appearance."""
    found: dict[Variable, None] = {}
    for size in sizes:
        for monomial, _ in size.terms if isinstance(size, Dim) else ():
            for atom, _ in monomial:
                found.update(dict.fromkeys((atom,) if isinstance(atom, Variable) else variables(*atom.args)))
    return tuple(found)


def substitute(size: Size, values: Mapping[Any, Size]) -> Size:
    """`size` with sizes in the place of some variables, normalized again. Keys as for `evaluate`.

    >>> substitute(dim("n") * 2 // 3, {"n": 3 * dim("m")})
    2*m
    """
    return _rebuild(size, _lookup(values)) if isinstance(size, Dim) else size


def evaluate(size: Size, env: Env) -> int:
    """The number that `size` is when its variables are as in `env`, keyed by variable, or by name where it has one.

    >>> evaluate((dim("n") + 1) // 2, {"n": 7})
    4
    """
    value = substitute(size, env)
    if isinstance(value, Dim):
        raise ShapeError(f"{size}: no value is given for {', '.join(v.name for v in variables(value))}")
    return value


def _size(value: object) -> Size | None:
    if isinstance(value, Dim) or type(value) is int:
        return value
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def _lookup(values: Mapping[Any, Size]) -> Callable[[Variable], Size]:
    table = {k.key if isinstance(k, Dim) else k: as_size(v) for k, v in values.items()}

    def value(variable: Variable) -> Size:
        found = table.get(variable)
        found = table.get(variable.name) if found is None and not variable.serial else found
        return _of(variable) if found is None else found

    return value


def _rebuild(size: Dim, value: Callable[[Variable], Size]) -> Size:
    """The polynomial computed afresh, with `value` of each variable."""
    total: Size = 0
    for monomial, coefficient in size.terms:
        term: Size = coefficient
        for atom, power in monomial:
            if isinstance(atom, Variable):
                factor = value(atom)
            else:
                args = [_rebuild(a, value) if isinstance(a, Dim) else a for a in atom.args]
                factor = _APPLY[atom.op](*args)
            term = _times(term, factor**power)
        total = _plus(total, term)
    return total


def _restore(terms: tuple[Term, ...]) -> Size:
    return _rebuild(Dim(terms, 0), _of)  # afresh, for the order of anonymous variables may differ in this process


# --- Arithmetic -------------------------------------------------------------------------------------------------------


def _of(atom: Variable | Call) -> Dim:
    return _dim(((((atom, 1),), 1),))


def _dim(terms: tuple[Term, ...]) -> Dim:
    # 2*c + 1, because hash(-1) == hash(-2): equal hashes would make a dict compare m - n with m - 2*n, which raises
    return Dim(terms, hash(tuple((monomial, 2 * c + 1) for monomial, c in terms)))


def _poly(table: dict[Monomial, int]) -> Size:
    terms = [(m, c) for m, c in table.items() if c]
    if not terms or (len(terms) == 1 and not terms[0][0]):
        return terms[0][1] if terms else 0
    return _dim(tuple(sorted(terms, key=_order)))


def _order(term: Term) -> tuple[int, list[Any]]:
    """Graded lexicographic: an order that products respect, which exact division relies on."""
    atoms = [atom.rank for atom, power in term[0] for _ in range(power)]
    return -len(atoms), atoms


def _terms(size: Size) -> tuple[Term, ...]:
    return size.terms if isinstance(size, Dim) else (((), size),) if size else ()


def _constant(size: Size) -> int:
    return next((c for monomial, c in _terms(size) if not monomial), 0)


def _linear(monomial: Monomial) -> Variable | Call | None:
    """The atom that a monomial is, if it is one atom to the first power."""
    return monomial[0][0] if len(monomial) == 1 and monomial[0][1] == 1 else None


def _sole_atom(size: Size) -> Variable | Call | None:
    """The atom that a size is, if it is one atom and nothing else."""
    terms = _terms(size)
    return _linear(terms[0][0]) if len(terms) == 1 and terms[0][1] == 1 else None


def _plus(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    table = dict(_terms(a))
    for monomial, c in _terms(b):
        table[monomial] = table.get(monomial, 0) + c
    return _poly(table)


def _minus(a: Size, b: Size) -> Size:
    return 0 if a is b else _plus(a, _times(b, -1))


def _times(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    table: dict[Monomial, int] = {}
    for x, c in _terms(a):
        for y, d in _terms(b):
            powers = dict(x)
            for atom, p in y:
                powers[atom] = powers.get(atom, 0) + p
            monomial = tuple(sorted(powers.items(), key=lambda item: item[0].rank)) if x and y else x or y
            table[monomial] = table.get(monomial, 0) + c * d
    return _poly(table)


def _quotient(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if _terms(b) and _terms(b)[0][1] < 0:
        return _quotient(_minus(0, a), _minus(0, b))
    q, r, d, _, _ = _split(a, b)
    return _plus(q, _quotient_atom(r, d) if same(d, b) else _quotient(r, d))


def _remainder(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    if _terms(b) and _terms(b)[0][1] < 0:
        return _minus(0, _remainder(_minus(0, a), _minus(0, b)))
    _, r, d, factor, offset = _split(a, b)
    if not same(d, b):
        return _plus(_times(factor, _remainder(r, d)), offset)
    return r if _is_digit(r, d) else _call("%", (r, d))


def _quotient_atom(a: Size, b: Size) -> Size:
    """a // b when `_split` has nothing left to do."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if _is_digit(a, b):
        return 0
    k = _constant(a)
    inner = _sole_atom(_minus(a, k))
    if isinstance(b, int) and isinstance(inner, Call):
        x, y = inner.args[:2]
        if inner.op == "//" and isinstance(y, int):  # (x//y + k)//b = (x + k*y)//(y*b)
            return _quotient(_plus(x, k * y), y * b)
        if inner.op in ("min", "max"):  # floor is monotone
            return _extreme(inner.op, [_quotient(_plus(arg, k), b) for arg in inner.args])
    return _call("//", (a, b))


def _is_digit(a: Size, b: Size) -> bool:
    """Whether 0 <= a < b, so that a // b is 0 and a % b is a."""
    return same(a, 0) or (_lower(a) >= 0 and _at_least(b, _plus(a, 1)))


def _split(a: Size, b: Size) -> tuple[Size, Size, Size, Size, int]:
    """(q, r, d, f, k) with b = f*d and a = q*b + f*r + k, 0 <= k < f if k: so a//b = q + r//d and a%b = f*(r%d) + k."""
    if isinstance(b, int):
        if b == 0:
            raise ZeroDivisionError(f"({a}) divided by zero")
        r = _poly({m: c % b for m, c in _terms(a)})
        g = math.gcd(b, *(c for m, c in _terms(r) if m))
        k = _constant(r) % g
        q = _poly({m: c // b for m, c in _terms(a)})
        return q, _poly({m: (c if m else c - k) // g for m, c in _terms(r)}), b // g, g, k
    q, r = _divide(a, b)
    if same(r, 0):
        return q, 0, 1, b, 0
    parts = (*_terms(r), *_terms(b))
    common = {atom: min(dict(m).get(atom, 0) for m, _ in parts) for atom, _ in parts[0][0]}
    monomial = tuple((atom, p) for atom, p in common.items() if p)
    factor = _poly({monomial: math.gcd(*(c for _, c in parts))})
    return q, _divide(r, factor)[0], _divide(b, factor)[0], factor, 0


def _divide(a: Size, b: Size) -> tuple[Size, Size]:
    """(q, r) with a = q*b + r. Unless b is a single term, all or nothing: r = 0, or q = 0."""
    (lead, c), *others = _terms(b)
    q: Size = 0
    r: Size = 0
    rest = a
    while _terms(rest):
        monomial, v = _terms(rest)[0]
        powers = dict(monomial)
        for atom, p in lead:
            powers[atom] = powers.get(atom, 0) - p
        if v % c == 0 and all(p >= 0 for p in powers.values()):
            term = _poly({tuple((atom, p) for atom, p in powers.items() if p): v // c})
            q, rest = _plus(q, term), _minus(rest, _times(term, b))
        elif others:
            return 0, a
        else:
            term = _poly({monomial: v})
            r, rest = _plus(r, term), _minus(rest, term)
    return q, r


def _extreme(op: str, sizes: Iterable[Size]) -> Size:
    """min or max, without the arguments that another one provably makes useless."""
    kept: list[Size] = []
    useless = _at_least if op == "min" else lambda x, y: _at_least(y, x)  # x, beside y
    for size in map(as_size, sizes):
        atom = _sole_atom(size)
        for x in atom.args if isinstance(atom, Call) and atom.op == op else (size,):
            if not any(useless(x, y) for y in kept):
                kept = [y for y in kept if not useless(y, x)] + [x]
    if not kept:
        raise TypeError(f"{op} of no sizes")
    return kept[0] if len(kept) == 1 else _call(op, tuple(kept))


_APPLY: dict[str, Callable[..., Size]] = {"//": _quotient, "%": _remainder, "min": minimum, "max": maximum}


# --- What is provable -------------------------------------------------------------------------------------------------


def _equal(a: Size, b: Size, relation: str) -> bool:
    return same(a, b) or (not _differ(a, b) and _undecided(a, relation, b))


def _less(a: Size, b: Size, gap: int, relation: str) -> bool:
    """Whether a + gap <= b; for > and >= the user wrote b first."""
    if _at_least(b, _plus(a, gap)):
        return True
    left, right = (a, b) if relation[0] == "<" else (b, a)
    return not _at_least(a, _plus(b, 1 - gap)) and _undecided(left, relation, right)


def _undecided(a: Size, relation: str, b: Size) -> NoReturn:
    raise ShapeError(
        f"`{a} {relation} {b}` cannot be decided while the graph is built: sizes are known only when the compiled "
        "function is called. Use the same dim name for sizes which are always equal, or a fixed size; to choose by the "
        "size at call time, use where()."
    )


def _differ(a: Size, b: Size) -> bool:
    """Whether a != b whatever the variables are: by sign, or by divisibility as in 2*n and 2*m + 1."""
    d = _minus(a, b)
    if isinstance(d, int):
        return d != 0
    g = math.gcd(*(c for monomial, c in d.terms if monomial))
    return _constant(d) % g != 0 or _lower(d) >= 1 or _lower(_minus(0, d)) >= 1


def _at_least(a: Size, b: Size) -> bool:
    return a >= b if isinstance(a, int) and isinstance(b, int) else _lower(_minus(a, b)) >= 0


def _lower(size: Size) -> float:
    """A lower bound of `size`, -inf for none."""
    return size if isinstance(size, int) else _bounded(size, 4)


@lru_cache(maxsize=8192)
def _bounded(size: Dim, depth: int) -> float:
    """The better of two lower bounds: from the range of every term; and with one call replaced by what it is at least,
    or at most where its coefficient is negative, which sees that n - n//2 and n - min(n, m) are >= 0."""

    def below(x: Size) -> float:
        return x if isinstance(x, int) else _bounded(x, depth - 1)

    best: float = 0
    for monomial, c in size.terms:
        low, high = _range(monomial)
        best += c * (low if c > 0 else high)
    for monomial, c in size.terms if depth else ():
        if isinstance(atom := _linear(monomial), Call):
            rest = _minus(size, _poly({monomial: c}))
            bounds = [below(_plus(rest, _times(x, c))) for x in _candidates(atom, c)]
            if atom.op in ("min", "max"):  # c * min is the min of the c * arg, or for c < 0 their max
                return max(best, min(bounds) if (atom.op == "min") == (c > 0) else max(bounds))
            if atom.op == "//" and isinstance(k := atom.args[1], int):  # (x - k + 1)/k <= x//k <= x/k, times k
                x = atom.args[0] if c < 0 else _plus(atom.args[0], 1 - k)
                scaled = below(_plus(_times(rest, k), _times(x, c)))
                return max(best, scaled if math.isinf(scaled) else -(-scaled // k))
            if bounds:
                return max(best, *bounds)
    return best


def _candidates(atom: Call, c: int) -> tuple[Size, ...]:
    """Sizes by which `_lower` may replace the call that stands with coefficient c."""
    if atom.op in ("min", "max"):
        return atom.args
    a, b = atom.args
    if c > 0 or _lower(b) < 0:
        return ()
    if atom.op == "%":
        return (_plus(b, -1), a) if _lower(a) >= 0 else (_plus(b, -1),)
    return () if isinstance(b, int) or _lower(a) < 0 else (a,)


def _range(monomial: Monomial) -> tuple[float, float]:
    """Bounds of a product of atoms; of several factors, only when none can be negative."""
    low: float = 1
    high: float = 1
    for atom, power in monomial:
        a, b = (0, math.inf) if isinstance(atom, Variable) else _call_range(atom)
        if a < 0:
            return (a, b) if _linear(monomial) else (-math.inf, math.inf)
        low, high = low * a**power, high * b**power if high and b else 0
    return low, high


def _call_range(atom: Call) -> tuple[float, float]:
    lows, highs = [_lower(a) for a in atom.args], [-_lower(_minus(0, a)) for a in atom.args]
    if atom.op in ("min", "max"):
        return (min(lows), min(highs)) if atom.op == "min" else (max(lows), max(highs))
    if lows[1] < 0:
        return -math.inf, math.inf
    if atom.op == "%":
        return 0, min(highs[1] - 1, highs[0] if lows[0] >= 0 else math.inf)
    if isinstance(k := atom.args[1], int):
        return tuple(x if math.isinf(x) else x // k for x in (lows[0], highs[0]))  # type: ignore[return-value]
    return (0, highs[0]) if lows[0] >= 0 else (-math.inf, math.inf)


# --- Equations between sizes ------------------------------------------------------------------------------------------


class _Active(threading.local):
    def __init__(self) -> None:
        self.stack: list[list[tuple[Size, Size]]] = []


_active = _Active()


@contextmanager
def collecting() -> Iterator[list[tuple[Size, Size]]]:
    """Collects, in this thread, the pairs that `require_equal` could not decide; the innermost collector gets them."""
    pairs: list[tuple[Size, Size]] = []
    _active.stack.append(pairs)
    try:
        yield pairs
    finally:
        _active.stack.pop()


def require_equal(a: Size, b: Size) -> Size:
    """One size for two that must be equal: an int if either is one, else `a`. ShapeError when they are never equal.

    What is not known before the call is recorded for the active `collecting()`, and allowed.
    """
    if same(a, b):
        return a
    if _differ(a, b):
        raise ShapeError(f"{a} != {b}")
    if _active.stack:
        _active.stack[-1].append((a, b))
    return b if isinstance(b, int) else a


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's broadcast shape, where only an axis of int 1 stretches; other pairs go through `require_equal`.

    >>> broadcast_shapes((dim("n"), 1), (3,))
    (n, 3)
    """
    result: list[Size] = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for axis, size in enumerate(shape, len(result) - len(shape)):
            if same(size, 1):
                continue
            try:
                result[axis] = size if same(result[axis], 1) else require_equal(result[axis], size)
            except ShapeError:
                raise ShapeError(
                    f"axis {axis - len(result)}: {result[axis]} != {size}; to broadcast, sizes must be equal or 1. "
                    "Use reshape, .T or [:, None] to line the axes up"
                ) from None
    return tuple(result)


# --- Slices -----------------------------------------------------------------------------------------------------------


def slice_of(s: slice, size: Size) -> tuple[Size, Size | None, int, Size]:
    """(start, stop, step, length) of x[s] along an axis of `size`, clamped as `slice.indices` clamps.

    The first three are those of range(); a stop of None is before 0 (range's -1). A symbolic stop or start may evaluate
    to -1 when step < 0, so to index with them test that the length is not 0, or index with `s` itself.

    >>> slice_of(slice(1, None), dim("n"))
    (min(n, 1), n, 1, max(n - 1, 0))
    >>> slice_of(slice(None, None, -1), dim("n"))
    (n - 1, None, -1, n)
    """
    step = 1 if s.step is None else _size(s.step)
    if not isinstance(step, int) or step == 0:
        raise ShapeError(f"the step of a slice must be a fixed integer other than 0, not {s.step!r}")
    low, high = (0, size) if step > 0 else (-1, _minus(size, 1))
    first, last = (low, high) if step > 0 else (high, low)
    # A start or stop past the far end gives length 0 with or without `high`, so the length uses the simpler of the two.
    start = first if s.start is None else _bound(s.start, size, low)
    stop = last if s.stop is None else _bound(s.stop, size, low)
    clamped, end = minimum(start, high), minimum(stop, high)
    gap = _minus(end, start) if step > 0 else _minus(clamped, stop)
    length = maximum(_quotient(_absorb(_plus(gap, abs(step) - 1)), abs(step)), 0)
    return clamped, None if same(end, -1) else end, step, length


def _bound(bound: object, size: Size, low: int) -> Size:
    """A start or stop counted from the front, and at least `low`."""
    value = _size(bound)
    if value is None:
        raise TypeError(f"a slice is made of integers, sizes and None, not {type(bound).__name__}")
    if _lower(value) >= 0:
        return value
    if _at_least(-1, value):
        return maximum(_plus(value, size), low)
    # value = size - k: where it is negative, value + size = 2*value + k <= k - 2 clamps to `low` as value itself does
    k = _minus(size, value)
    if isinstance(k, int) and k - 2 <= low:
        return maximum(value, low)
    raise ShapeError(
        f"the slice bound {value} of an axis of size {size} could be negative, which would count from the end; "
        f"write maximum({value}, 0), or use a negative integer to count from the end"
    )


def _absorb(size: Size, budget: int = 3) -> Size:
    """x + min(a, b) as min(x + a, x + b), and so on, which may lose an argument: n - max(n - 3, 0) is min(3, n)."""
    for monomial, c in _terms(size) if budget else ():
        if isinstance(atom := _linear(monomial), Call) and atom.op in ("min", "max") and c in (1, -1):
            rest = _minus(size, _poly({monomial: c}))
            op = atom.op if c == 1 else {"min": "max", "max": "min"}[atom.op]
            return _extreme(op, [_absorb(_plus(rest, _times(arg, c)), budget - 1) for arg in atom.args])
    return size


# --- Text -------------------------------------------------------------------------------------------------------------

_SUM, _RATIO, _PRODUCT, _POWER, _ATOM = range(5)  # what binds tighter is larger; -(n // 2) needs its parentheses


def code(size: Size, names: Mapping[Variable, str], *, atomic: bool = False) -> str:
    """Python source of `size` over the identifiers `names`; with `atomic`, safe beside any operator.

    >>> n = dim("batch")
    >>> code((n + 1) // 2 - 1, {n.key: "b"}), code(2 * n, {n.key: "b"}, atomic=True)
    ('(b + 1) // 2 - 1', '(2*b)')
    """
    return _text(size, names.__getitem__, _ATOM if atomic else _SUM)


def digest(size: Size, ordinals: dict[Variable, int] | None = None) -> str:
    """A text equal for two sizes just when `same` holds, without hash seeds.

    Anonymous variables are numbered as in this process among those with their label; or, if `ordinals` is given (and
    shared by the digests to be compared), in the order in which they are met, so that the past does not show.
    """

    def leaf(v: Variable) -> str:
        if ordinals is None or not v.serial:
            return _identity(v)
        return f"{v.name!a}#{ordinals.setdefault(v, len(ordinals) + 1)}"

    return _text(size, leaf)


def _name(variable: Variable) -> str:
    return variable.name


def _identity(variable: Variable) -> str:
    return variable.rank[3]


def _serials(size: Size) -> tuple[int, ...]:
    return tuple(v.serial for v in variables(size))


def _text(size: Size, leaf: Callable[[Variable], str], tight: int = _SUM) -> str:
    if isinstance(size, Dim):
        text, level = _sum(size.terms, leaf)
    else:
        text, level = str(size), _ATOM if size >= 0 else _SUM
    return f"({text})" if level < tight else text


def _sum(terms: tuple[Term, ...], leaf: Callable[[Variable], str]) -> tuple[str, int]:
    if terms[0][1] < 0:  # 3 - n reads better than -n + 3
        terms = tuple(sorted(terms, key=lambda term: term[1] < 0))
    (text, level), negative = _product(*terms[0], leaf), terms[0][1] < 0
    if negative:
        text, level = f"-({text})" if level == _RATIO else f"-{text}", _SUM
    for monomial, c in terms[1:]:
        text, level = f"{text} {'-' if c < 0 else '+'} {_product(monomial, c, leaf)[0]}", _SUM
    return text, level


def _product(monomial: Monomial, c: int, leaf: Callable[[Variable], str]) -> tuple[str, int]:
    """The text of |c| * monomial, and how tightly it binds."""
    factors = [(str(abs(c)), _ATOM)] if abs(c) != 1 or not monomial else []
    for atom, power in monomial:
        text, level = (leaf(atom), _ATOM) if isinstance(atom, Variable) else _call_text(atom.op, atom.args, leaf)
        if power > 1:
            text, level = f"({text})**{power}" if level < _ATOM else f"{text}**{power}", _POWER
        factors.append((text, level))
    if len(factors) == 1:
        return factors[0]
    return "*".join(f"({text})" if level < _POWER else text for text, level in factors), _PRODUCT


def _call_text(op: str, args: tuple[Size, ...], leaf: Callable[[Variable], str]) -> tuple[str, int]:
    if op in ("min", "max"):
        return f"{op}({', '.join(_text(a, leaf) for a in args)})", _ATOM
    return f"{_text(args[0], leaf, _RATIO)} {op} {_text(args[1], leaf, _POWER)}", _RATIO
