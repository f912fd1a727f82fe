"""Rewrite rules as equations between tensors.

    x, y = wildcards("x y")
    rule(log(1 + x), lambda x: log1p(x))

A pattern is written with the tensors' own operators. A wildcard matches any node, and the same node wherever it occurs
again; a constant matches that number in any dtype; operands of commutative ops match in either order. `some(Sum, "s")(x)`
matches any `Sum`, whatever its axes, and hands the matched node to the replacement as `s`. A replacement receives what it
names and returns a tensor of the same type, or None to decline.

Each rule carries a tag: *exact* (bit for bit), *rounding* (equal in real arithmetic), or *finite-real* (equal wherever both
sides are finite: nan or inf may become the finite answer, never one finite value another). Complex products have no bits to
keep (NumPy already makes nan of inf * (1 + 0j)): there, exact means equal up to the sign of zeros, wherever the result is finite.
A rule with `reals_only` holds for real tensors: the complex logarithm has branches, and NumPy no complex logaddexp. A
`moderate` rule adds or multiplies in another order, and holds where nothing on the way overflows or vanishes.

`examples` build formulas for the rule to replace, from tensors called x, y, z (elements) or X (a matrix): the rule's own test.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ..core import Constant, Leaf, Op, ShapedArray, Tensor, make_fresh
from ..dtypes import FLOAT64

Tag = Literal["exact", "rounding", "finite-real"]
Replacement = Callable[..., Tensor | None]
Bindings = dict[str, Tensor]


class Wildcard(Leaf):
    """Stands for any node."""

    name = "wildcard"


class Number(Wildcard):
    """Stands for any 0-d constant."""

    name = "number"


class AnyOp(Op):
    """Stands for any op of a class, with any fields."""

    interned = False
    name = "any op"

    def __init__(self, kind: type[Op], label: str) -> None:
        self.kind = kind
        self.label = label

    def infer(self, *xs: ShapedArray) -> ShapedArray:
        return ShapedArray((), FLOAT64)

    def __repr__(self) -> str:
        return f"some({self.kind.__name__}, {self.label!r})"


def wildcards(names: str) -> list[Tensor]:
    """Wildcards with the given names, separated by spaces."""
    return [make_fresh(Wildcard(name, ShapedArray((), FLOAT64))) for name in names.split()]


def numbers(names: str) -> list[Tensor]:
    """Wildcards that match 0-d constants only."""
    return [make_fresh(Number(name, ShapedArray((), FLOAT64))) for name in names.split()]


def some(kind: type[Op], label: str) -> Callable[..., Tensor]:
    """A pattern for any op of class `kind`; the matched node is bound to `label`."""
    return lambda *xs: make_fresh(AnyOp(kind, label), *xs)


@dataclass(frozen=True, eq=False)
class Rule:
    """An equation: where `pattern` matches, its `replacement` may stand."""

    pattern: Tensor
    replacement: Replacement
    tag: Tag = "rounding"
    example: Callable[..., Tensor] | None = None
    """For a pattern with `some`: builds an instance from tensors named like the wildcards, for the rule's own test."""
    name: str = ""
    reals_only: bool = False
    moderate: bool = False
    examples: tuple[Callable[..., Any], ...] = ()
    first: bool = False
    wants: tuple[str, ...] = field(init=False, default=())
    needs: frozenset[Any] = field(init=False, default=frozenset())
    """The families and numbers that must be among the operands of a node for the pattern to match it."""

    def __post_init__(self) -> None:
        fixed = [x.op for x in self.pattern.inputs if type(x.op) is not Wildcard]
        twin = len(self.pattern.inputs) == 2 and self.pattern.inputs[0] is self.pattern.inputs[1]
        object.__setattr__(self, "needs", frozenset([_need(op) for op in fixed] + [TWIN] * twin))
        object.__setattr__(self, "wants", tuple(inspect.signature(self.replacement).parameters))

    @property
    def root(self) -> Any:
        """What the index files the rule under: an op that is unique, or a class of ops."""
        return root_of(self.pattern.op)

    def apply(self, node: Tensor, frozen: Collection[Tensor]) -> Tensor | None:
        """The replacement for `node`, or None when the pattern does not match or the rule declines."""
        if self.reals_only and node.dtype.kind == "c":
            return None
        for bound in match(self.pattern, node, {}, frozen, top=True):
            bound["node"] = node
            new = self.replacement(*[bound[name] for name in self.wants])
            if new is not None:
                return new
        return None


@dataclass(frozen=True, eq=False)
class NodeRule:
    """A rule on every node of an op class, for conditions that a pattern cannot state."""

    kind: Any
    replacement: Callable[[Tensor], Tensor | None]
    tag: Tag = "exact"
    name: str = ""
    needs: frozenset[Any] = frozenset()
    """The families and numbers that must be among the operands, or `TWIN` where both are one node."""
    moderate: bool = False
    examples: tuple[Callable[..., Any], ...] = ()
    first: bool = False
    """Whether it is tried before the rules that are not, in whatever order the set has them."""

    @property
    def root(self) -> Any:
        return self.kind

    def apply(self, node: Tensor, frozen: Collection[Tensor]) -> Tensor | None:
        """The replacement for `node`, or None."""
        if frozen and any([x in frozen for x in node.inputs]):
            return None
        return self.replacement(node)


def rule(
    pattern: Tensor,
    replacement: Replacement,
    tag: Tag = "rounding",
    example: Any = None,
    name: str = "",
    moderate: bool = False,
    examples: Sequence[Callable[..., Any]] = (),
) -> Rule:
    """`pattern` may be replaced by `replacement`."""
    return Rule(pattern, replacement, tag, example, name, moderate=moderate, examples=tuple(examples))


def node_rules(
    name: str,
    kinds: Sequence[Any],
    replacement: Callable[[Tensor], Tensor | None],
    tag: Tag = "exact",
    needs: Sequence[Any] = (None,),
    moderate: bool = False,
    examples: Sequence[Callable[..., Any]] = (),
    first: bool = False,
) -> list[NodeRule]:
    """One rule for each op class in `kinds` and each operand in `needs` (None for any) that makes it worth trying."""
    made = []
    for kind in kinds:
        for need in needs:
            asked = frozenset() if need is None else frozenset([need])
            made.append(NodeRule(kind, replacement, tag, name, asked, moderate, tuple(examples), first))
    return made


TWIN = "twin"
"""What a rule needs where both operands must be the same node."""


def _need(op: Op) -> Any:
    return Constant if isinstance(op, Number) else op.number if isinstance(op, Constant) else root_of(op)


def root_of(op: Op) -> Any:
    """The key under which rules for a pattern's op are filed."""
    return op.kind if isinstance(op, AnyOp) else op.family


NO_RULES: tuple[Any, ...] = ()


class RuleSet:
    """Rules filed by the op at their root; sets join with `+`."""

    def __init__(self, *rules: Rule | NodeRule, values: Callable[[Sequence[Tensor]], Any] | None = None) -> None:
        self.rules = rules
        self.values = values
        """What makes the values of nodes that some rules ask for."""
        self.by_root: dict[Any, list[Rule | NodeRule]] = {}
        for r in sorted(rules, key=lambda r: not r.first):
            self.by_root.setdefault(r.root, []).append(r)
        self.numbers = frozenset(n for r in rules for n in r.needs if isinstance(n, bool | int | float | complex))
        self.sums: dict[RuleSet, RuleSet] = {}
        self.index: dict[tuple[Any, ...], tuple[Rule | NodeRule, ...]] = {}

    def __add__(self, other: RuleSet) -> RuleSet:
        """Both sets' rules; the same set each time, with what its index has learnt."""
        found = self.sums.get(other)
        if found is None:
            found = self.sums[other] = RuleSet(*self.rules, *other.rules, values=self.values or other.values)
        return found

    def on_reals(self) -> RuleSet:
        """The same rules, for real tensors only."""
        return RuleSet(*[replace(r, reals_only=True) if isinstance(r, Rule) else r for r in self.rules])

    def __iter__(self) -> Iterator[Rule | NodeRule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def at(self, node: Tensor) -> Sequence[Rule | NodeRule]:
        """The rules whose root, and the operands it asks for, may match `node`."""
        family = node.op.family
        if family not in self.by_root:
            return NO_RULES
        xs = node.inputs
        known: tuple[Any, ...]
        if len(xs) == 2:
            first, second = xs
            a, b = first.op.family, second.op.family
            if a is Constant:
                a = self._constant(first)
            if b is Constant:
                b = self._constant(second)
            known = (family, a, b, TWIN) if first is second else (family, a, b)
        else:
            known = (family, *[self._constant(x) if x.op.family is Constant else x.op.family for x in xs])
        found = self.index.get(known)
        if found is None:
            found = self.index[known] = self._filed(known)
        return found

    def _constant(self, x: Tensor) -> Any:
        """Under which a constant is filed: with its number where some rule asks for it."""
        number = x.op.number  # type: ignore[attr-defined]
        return (Constant, number) if number in self.numbers else Constant

    def _filed(self, key: tuple[Any, ...]) -> tuple[Rule | NodeRule, ...]:
        """The rules for a root and the families (and the numbers that some rule asks for) of its operands."""
        there: set[Any] = set()
        for kind in key[1:]:
            there.update(kind if isinstance(kind, tuple) else [kind])
        return tuple([r for r in self.by_root[key[0]] if r.needs <= there])


def match(
    pattern: Tensor, node: Tensor, bound: Bindings, frozen: Collection[Tensor], top: bool = False
) -> Iterator[Bindings]:
    """Every way in which `pattern` matches `node`, extending `bound`; nothing matches through a frozen node."""
    op = pattern.op
    if isinstance(op, Wildcard):
        if isinstance(op, Number) and not (isinstance(node.op, Constant) and node.op.value.ndim == 0):
            return
        held = bound.get(op.label)
        if held is None:
            yield {**bound, op.label: node}
        elif held is node:
            yield bound
        return
    if node in frozen and not top:
        return
    if isinstance(op, Constant):
        if isinstance(node.op, Constant) and node.op.value.ndim == 0 and _same_number(op.value, node.op.value):
            yield bound
        return
    if isinstance(op, AnyOp):
        if not isinstance(node.op, op.kind) or len(node.inputs) != len(pattern.inputs):
            return
        if op.label in bound and bound[op.label] is not node:
            return
        bound = {**bound, op.label: node}
    elif node.op is not op and node.op != op:
        return
    orders = [pattern.inputs]
    if op.commutative and pattern.inputs[0] is not pattern.inputs[1]:
        orders.append(pattern.inputs[::-1])
    for inputs in orders:
        yield from _match_all(inputs, node.inputs, bound, frozen)


def _match_all(
    patterns: tuple[Tensor, ...], nodes: tuple[Tensor, ...], bound: Bindings, frozen: Collection[Tensor]
) -> Iterator[Bindings]:
    if not patterns:
        yield bound
        return
    for extended in match(patterns[0], nodes[0], bound, frozen):
        yield from _match_all(patterns[1:], nodes[1:], extended, frozen)


def _same_number(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if b.dtype == np.bool_ or a.dtype == np.bool_:
        return bool(a.dtype == b.dtype and a == b)
    return bool(a == b) and (a != 0 or bool(np.signbit(a.real) == np.signbit(b.real)))
