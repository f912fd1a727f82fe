"""What a compiled function costs: floating-point operations and bytes, symbolic in the dimensions.

The operations of a program are those of its steps, each as its op counts them; the bytes are what the steps read and
write, each operand once and each result once, as if nothing stayed in cache between two steps. Both are polynomials in
the dimensions. To stay readable they remember the fixed sizes they are made of, `2*batch*784*128` and not
`200704*batch`: while they are added up, a fixed size is a variable of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import dims
from .core import ShapedArray, Tensor
from .dims import Dim, Size, Variable
from .dims import _of as dim_of
from .errors import CompileError, ShapeError
from .ops.work import as_it_is, bytes_of, flops_of, is_step, stored_as
from .polynomial import Call, of
from .symbolic_size import as_polynomial, from_polynomial

MOST_TERMS = 8
"""Of a count with more terms than this, those over the same dimensions are added into one."""


def cost(program: Any) -> Cost:
    """What one call of a compiled function costs, by the steps of its program.

    `cost(f).flops` and `.bytes` print as sums of products of dimensions, `.by_op` has them for each kind of op, and
    `cost(f)(batch=64)` is the same in numbers. One operation is counted for each element that is computed or moved,
    20 for exp and its like, and of a factorization its leading term.

    Raises `CompileError` for a function that came from a pickle, which carries its source but not its graph.

    >>> from symgraph import function, symbol, tanh
    >>> x, W = symbol("x", ("batch", 784)), symbol("W", (784, 128))
    >>> f = function([x, W], tanh(x @ W))
    >>> cost(f).flops
    2*batch*784*128 + 20*batch*128
    >>> cost(f)(batch=64).flops
    13008896
    """
    found = getattr(program, "program", program)
    if found is None:
        raise CompileError(
            f"the cost of {program.name} is read off its graph, which a pickled or copied function does not carry; "
            "ask the function it was made from"
        )
    known: dict[Any, tuple[Count, Count]] = {}  # steps that are alike cost the same
    steps = []
    for n in found.order:
        if is_step(n):
            key = _alike(n)
            if key not in known:
                known[key] = _count(n, flops_of), _count(n, bytes_of)
            steps.append(Step(n, *known[key]))
    return Cost(found.name, tuple(s for s in steps if s.flops != 0 or s.bytes != 0))


# Counts --------------------------------------------------------------------------------------------------------------


class Count:
    """A number that may depend on dimensions: prints as a sum of products; `count(batch=64)` is its value there."""

    __slots__ = ("_size",)

    def __init__(self, size: Size) -> None:
        self._size = size

    @property
    def size(self) -> Size:
        """The number as an int, or as a `Dim` to compute with where it depends on dimensions."""
        fixed = {v: _fixed(v) for v in dims.variables(self._size) if _is_fixed(v)}
        return dims.substitute(self._size, fixed) if fixed else self._size

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The dimensions it depends on."""
        return tuple(v for v in dims.variables(self._size) if not _is_fixed(v))

    def __call__(self, sizes: Mapping[Any, int] | None = None, /, **named: int) -> Count:
        known = _sizes({**(sizes or {}), **named}, self.variables)
        return Count(dims.substitute(self.size, known))

    def __add__(self, other: Count) -> Count:
        return Count(self._size + other._size)

    def __eq__(self, other: object) -> bool:
        value = other.size if isinstance(other, Count) else other
        return dims.same(self.size, value) if isinstance(value, int | Dim) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.size)

    def __index__(self) -> int:
        return int(self.size)

    __int__ = __index__

    def __float__(self) -> float:
        return float(int(self))

    def __str__(self) -> str:
        return _text(self._size)

    __repr__ = __str__


def _count(node: Tensor, measure: Any) -> Count:
    """`measure` of a node: with its fixed sizes remembered, where it depends on dimensions too."""
    plain = measure(node, as_it_is)
    if isinstance(plain, int):
        return Count(plain)
    try:
        count = Count(measure(node, _remembering))
    except ShapeError:  # an op that has to know a size
        return Count(plain)
    return count if dims.same(count.size, plain) else Count(plain)


def _alike(node: Tensor) -> Any:
    """What the counts of a step depend on: the op, the types, and which operands are stored as one."""
    stored = [stored_as(x) for x in node.inputs]
    first = {id(x): i for i, x in reversed(list(enumerate(stored)))}
    operands = [(x.aval, s.aval, first[id(s)]) for x, s in zip(node.inputs, stored)]
    return node.op, node.aval, *operands


def _sum(counts: Iterable[Count]) -> Count:
    """The sum, with equal terms taken together."""
    times: dict[int, tuple[Count, int]] = {}
    for c in counts:
        times[id(c)] = c, 1 + times.get(id(c), (c, 0))[1]
    return sum([Count(c._size * n) for c, n in times.values()], Count(0))


def _remembering(aval: Any) -> Any:
    """The type with a variable in the place of every fixed size but 0 and 1."""
    if isinstance(aval, tuple):
        return tuple(map(_remembering, aval))
    assert isinstance(aval, ShapedArray)
    shape = tuple(dim_of(Variable(f"\0{n}")) if isinstance(n, int) and n > 1 else n for n in aval.shape)
    return replace(aval, shape=shape)


def _is_fixed(v: Variable) -> bool:
    """Whether a variable stands for a fixed size; no dimension of a user is called so."""
    return v.name.startswith("\0")


def _fixed(v: Variable) -> int:
    return int(v.name[1:])


def _text(size: Size) -> str:
    """A sum of products, each a number, dimensions, then fixed sizes; what is fixed altogether is one number."""
    terms: dict[tuple[str, tuple[int, ...]], int] = {}  # the coefficient by dimensions and fixed sizes
    for monomial, number in as_polynomial(size):
        named: list[str] = []
        fixed: list[int] = []
        for atom, power in monomial:
            value: Size = _fixed(atom) if isinstance(atom, Variable) and _is_fixed(atom) else _folded(atom)
            if isinstance(value, int):
                fixed += [value] * power
            else:
                text = str(value) if value.is_variable or str(value).endswith(")") else f"({value})"
                named.append(text if power == 1 else f"{text}**{power}")
        key = "*".join(named), tuple(sorted(fixed, reverse=True))
        if not named:
            key, number = ("", ()), number * math.prod(fixed)
        terms[key] = terms.get(key, 0) + number
    if len(terms) > MOST_TERMS:
        folded: dict[tuple[str, tuple[int, ...]], int] = {}
        for (text, factors), number in terms.items():
            folded[text, ()] = folded.get((text, ()), 0) + number * math.prod(factors)
        terms = folded
    largest_first = sorted(
        terms.items(), key=lambda t: (t[0][0] == "", -t[0][0].count("*"), -t[1] * math.prod(t[0][1]))
    )
    parts = [_product(number, text, factors) for (text, factors), number in largest_first if number]
    return " + ".join(parts).replace("+ -", "- ") or "0"


def _product(number: int, text: str, fixed: Sequence[int]) -> str:
    factors = [text, *map(str, fixed)] if text else []
    return "*".join(factors if factors and number == 1 else [str(number), *factors])


def _folded(atom: Variable | Call) -> Size:
    return Count(from_polynomial(of(atom))).size


def _sizes(given: Mapping[Any, int], wanted: Sequence[Variable]) -> dict[Variable, int]:
    """The sizes by variable, checked."""
    by_name = {v.name: v for v in wanted}
    known: dict[Variable, int] = {}
    for key, value in given.items():
        v = key.key if isinstance(key, Dim) else by_name.get(key, key)
        if v not in wanted:
            names = ", ".join(by_name) or "none"
            raise ShapeError(f"{key} is no dimension that this depends on; there is {names}")
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ShapeError(f"{key}={value!r}: a size is an int that is at least 0")
        known[v] = value
    return known


# The whole -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a program and its counts."""

    node: Tensor
    flops: Count
    bytes: Count


@dataclass(frozen=True)
class OpCost:
    """The steps of one kind of op together."""

    steps: int
    flops: Count
    bytes: Count


@dataclass(frozen=True, eq=False, repr=False)
class Cost:
    """What a function costs: `.flops`, `.bytes`, `.by_op`; called with sizes, the same in numbers."""

    name: str
    steps: tuple[Step, ...]

    @property
    def flops(self) -> Count:
        """Floating-point operations."""
        return _sum(s.flops for s in self.steps)

    @property
    def bytes(self) -> Count:
        """Bytes read and written."""
        return _sum(s.bytes for s in self.steps)

    @property
    def by_op(self) -> dict[str, OpCost]:
        """The counts for each kind of op, in the order of first use."""
        groups: dict[str, list[Step]] = {}
        for s in self.steps:
            groups.setdefault(s.node.op.name, []).append(s)
        return {name: OpCost(len(g), _sum(s.flops for s in g), _sum(s.bytes for s in g)) for name, g in groups.items()}

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The dimensions it depends on."""
        found = [v for s in self.steps for c in (s.flops, s.bytes) for v in c.variables]
        return tuple(dict.fromkeys(found))

    def __call__(self, sizes: Mapping[Any, int] | None = None, /, **named: int) -> Cost:
        known = _sizes({**(sizes or {}), **named}, self.variables)
        at = lambda c: Count(dims.substitute(c.size, known))
        return Cost(self.name, tuple(Step(s.node, at(s.flops), at(s.bytes)) for s in self.steps))

    def __str__(self) -> str:
        rows = [(name, str(c.steps), str(c.flops), str(c.bytes)) for name, c in self.by_op.items()]
        table = aligned([("op", "steps", "FLOPs", "bytes"), *rows], left=(0,))
        return f"{table}\n{self.name}: {len(self.steps)} steps\n  FLOPs  {self.flops}\n  bytes  {self.bytes}"

    __repr__ = __str__


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    """A table: a heading, then rows, the columns `left` aligned to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(
            cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


__all__ = ["Cost", "Count", "OpCost", "Step", "cost"]
