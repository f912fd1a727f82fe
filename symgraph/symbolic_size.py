"""One symbolic size: a `Dim` is a polynomial with Python's operators, and a result without variables is a plain `int`.

The polynomial is in the normal form of `polynomial` and `dim_calls`, so equal algebra is equal structure. A comparison
is answered where it has one answer for all variables >= 0; otherwise it raises.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from . import polynomial
from .dim_calls import at_least, differ, extreme, quotient, remainder
from .errors import ShapeError
from .polynomial import ATOM, SUM, Polynomial, Variable, constant, minus, number, plus, sole_atom, text, times


def dim(name: str) -> Dim:
    """The size called `name`, any integer >= 0. The same name is the same size.

    >>> n = dim("n")
    >>> (n + 1) * (n - 1), (2 * n + 4) // 2, (n + 1) - 1 == n
    (n**2 - 1, n + 2, True)
    """
    return _of(Variable(_checked(name)))


def anonymous(label: str) -> Dim:
    """A size equal to no other, printed as `label`; of two with one label the older sorts first."""
    return _of(polynomial.anonymous_variable(_checked(label), uuid.uuid4().hex))


def _checked(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a dimension is named by a string, not {type(name).__name__}")
    if not name:
        raise ShapeError("a dimension needs a name that is not empty; use None in a shape for an anonymous one")
    return name


# --- The class --------------------------------------------------------------------------------------------------------


def _lift(function: Callable[[Any, Any], Any]) -> Callable[[Dim, Any], Any]:
    """The method of a binary operator: defers to the other operand unless that is a size."""

    def method(self: Dim, other: object) -> Any:
        size = size_or_none(other)
        return NotImplemented if size is None else function(self, size)

    return method


def _arithmetic(function: Callable[[Polynomial, Polynomial], Polynomial]) -> tuple[Callable[[Dim, Any], Any], ...]:
    """The methods of an arithmetic operator, `__add__` and `__radd__`."""
    return (
        _lift(lambda a, b: from_polynomial(function(a.terms, as_polynomial(b)))),
        _lift(lambda a, b: from_polynomial(function(as_polynomial(b), a.terms))),
    )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dim:
    """A symbolic size: made by `dim` and `anonymous`, combined with `+ - * // % **`, `minimum` and `maximum`.

    bool counts as int, as in Python; a float is not a size. A comparison which the graph cannot decide raises
    ShapeError, and so does a test like `if n:`; int(n) and range(n) raise TypeError. Use `same` to ask without raising.
    """

    terms: Polynomial
    _hash: int

    __array_ufunc__ = None  # np.int64(2) * n defers to n

    __add__, __radd__ = _arithmetic(plus)
    __sub__, __rsub__ = _arithmetic(minus)
    __mul__, __rmul__ = _arithmetic(times)
    __floordiv__, __rfloordiv__ = _arithmetic(quotient)
    __mod__, __rmod__ = _arithmetic(remainder)
    __lt__ = _lift(lambda a, b: _less(a, b, 1, "<"))
    __le__ = _lift(lambda a, b: _less(a, b, 0, "<="))
    __gt__ = _lift(lambda a, b: _less(b, a, 1, ">"))
    __ge__ = _lift(lambda a, b: _less(b, a, 0, ">="))

    def __eq__(self, other: object) -> bool:
        size = size_or_none(other)
        return NotImplemented if size is None else _equal(self, size, "==")

    def __ne__(self, other: object) -> bool:
        size = size_or_none(other)
        return NotImplemented if size is None else not _equal(self, size, "!=")

    def __hash__(self) -> int:
        return self._hash

    def __bool__(self) -> bool:
        return not _equal(self, 0, "!=")

    def __neg__(self) -> Size:
        return self * -1

    def __pos__(self) -> Size:
        return self

    def __pow__(self, exponent: int) -> Size:
        power = size_or_none(exponent)
        if not isinstance(power, int):
            return NotImplemented
        if not 0 <= power <= 32:
            raise ShapeError(f"({self})**{power}: the power of a size must be between 0 and 32")
        return prod([self] * power)

    def __index__(self) -> int:
        raise TypeError(
            f"the size {self} is not a number yet: it is known only when the compiled function is called. Compute with it "
            "as it is, or give the axis a fixed size; arrays of this size are made by symgraph.zeros, ones, full, eye, "
            "arange and linspace, in place of NumPy's."
        )

    __int__ = __index__

    def __float__(self) -> float:
        return float(operator.index(self))

    def __str__(self) -> str:
        return text(self.terms)

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.terms,)

    @property
    def is_variable(self) -> bool:
        """Whether this is one variable and nothing else."""
        return isinstance(sole_atom(self.terms), Variable)

    @property
    def key(self) -> Variable:
        """The hashable key of a variable, which is what `code` and `substitute` look up."""
        atom = sole_atom(self.terms)
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


# --- Functions of sizes -----------------------------------------------------------------------------------------------


def as_size(value: object) -> Size:
    """`value` as an int or a Dim (np.int64 becomes int); TypeError for anything else."""
    size = size_or_none(value)
    if size is None:
        raise TypeError(f"a size must be an integer or a symbolic dimension, not {type(value).__name__}: {value!r}")
    return size


def prod(sizes: Iterable[Size]) -> Size:
    """The product of sizes; 1 for none."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def minimum(*sizes: Size) -> Size:
    """The smallest size: minimum(n, n + 1, 3) is min(n, 3)."""
    return from_polynomial(extreme("min", [as_polynomial(as_size(size)) for size in sizes]))


def maximum(*sizes: Size) -> Size:
    """The largest size: maximum(n - 1, 0) stays, maximum(n, 0) is n."""
    return from_polynomial(extreme("max", [as_polynomial(as_size(size)) for size in sizes]))


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
        polynomial.variables_of(as_polynomial(size), found)
    return tuple(found)


def substitute(size: Size, values: Mapping[Any, Size]) -> Size:
    """`size` with sizes in the place of some variables, normalized again. Keys as for `evaluate`.

    >>> substitute(dim("n") * 2 // 3, {"n": 3 * dim("m")})
    2*m
    """
    return _rebuild(size.terms, _lookup(values)) if isinstance(size, Dim) else size


def evaluate(size: Size, env: Env) -> int:
    """The number that `size` is when its variables are as in `env`, keyed by variable, or by name where it has one.

    >>> evaluate((dim("n") + 1) // 2, {"n": 7})
    4
    """
    value = substitute(size, env)
    if isinstance(value, Dim):
        raise ShapeError(f"{size}: no value is given for {', '.join(v.name for v in variables(value))}")
    return value


def size_or_none(value: object) -> Size | None:
    """`value` as an int or a Dim; None for anything else."""
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


# --- Sizes and polynomials --------------------------------------------------------------------------------------------


def _rebuild(terms: Polynomial, value: Callable[[Variable], Size]) -> Size:
    """The polynomial computed afresh, with `value` of each variable."""
    total: Size = 0
    for monomial, coefficient in terms:
        term: Size = coefficient
        for atom, power in monomial:
            if isinstance(atom, Variable):
                factor = value(atom)
            else:
                factor = _APPLY[atom.op](*(_rebuild(a, value) for a in atom.args))
            term = term * factor**power
        total = total + term
    return total


_APPLY: dict[str, Callable[..., Size]] = {"//": operator.floordiv, "%": operator.mod, "min": minimum, "max": maximum}


def _restore(terms: Polynomial) -> Size:
    return _rebuild(terms, _of)  # afresh, for the order of anonymous variables may differ in this process


def _of(variable: Variable) -> Dim:
    return _dim(polynomial.of(variable))


def _dim(terms: Polynomial) -> Dim:
    # 2*c + 1, because hash(-1) == hash(-2): equal hashes would make a dict compare m - n with m - 2*n, which raises
    return Dim(terms, hash(tuple((monomial, 2 * c + 1) for monomial, c in terms)))


def from_polynomial(terms: Polynomial) -> Size:
    """An int if the polynomial is one, else its Dim."""
    value = number(terms)
    return _dim(terms) if value is None else value


def as_polynomial(size: Size) -> Polynomial:
    return size.terms if isinstance(size, Dim) else constant(size)


# --- Comparisons ------------------------------------------------------------------------------------------------------


def _equal(a: Size, b: Size, relation: str) -> bool:
    return same(a, b) or (not differ(as_polynomial(a), as_polynomial(b)) and _undecided(a, relation, b))


def _less(a: Size, b: Size, gap: int, relation: str) -> bool:
    """Whether a + gap <= b; for > and >= the user wrote b first."""
    x, y = as_polynomial(a), as_polynomial(b)
    if at_least(y, plus(x, constant(gap))):
        return True
    left, right = (a, b) if relation[0] == "<" else (b, a)
    return not at_least(x, plus(y, constant(1 - gap))) and _undecided(left, relation, right)


def _undecided(a: Size, relation: str, b: Size) -> NoReturn:
    raise ShapeError(
        f"`{a} {relation} {b}` cannot be decided while the graph is built: sizes are known only when the compiled "
        "function is called. Use the same dim name for sizes which are always equal, or a fixed size; to choose by the "
        "size at call time, use where()." + (_FROM_NUMPY if isinstance(b, int) and "=" in relation else "")
    )


_FROM_NUMPY = " In place of NumPy's functions that ask this (np.arange, np.tile), write symgraph.arange, symgraph.tile."


# --- Text -------------------------------------------------------------------------------------------------------------


def code(size: Size, names: Mapping[Variable, str], *, atomic: bool = False) -> str:
    """Python source of `size` over the identifiers `names`; with `atomic`, safe beside any operator.

    >>> n = dim("batch")
    >>> code((n + 1) // 2 - 1, {n.key: "b"}), code(2 * n, {n.key: "b"}, atomic=True)
    ('(b + 1) // 2 - 1', '(2*b)')
    """
    return text(as_polynomial(size), names.__getitem__, ATOM if atomic else SUM)


def digest(size: Size, ordinals: dict[Variable, int] | None = None) -> str:
    """A text equal for two sizes just when `same` holds, without hash seeds.

    Anonymous variables are numbered as in this process among those with their label; or, if `ordinals` is given (and
    shared by the digests to be compared), in the order in which they are met, so that the past does not show.
    """

    def leaf(v: Variable) -> str:
        if ordinals is None or not v.serial:
            return polynomial.identity(v)
        return f"{v.name!a}#{ordinals.setdefault(v, len(ordinals) + 1)}"

    return text(as_polynomial(size), leaf)
