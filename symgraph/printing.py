"""Graphs as text: NumPy notation in let-form, where a part that is used twice, is long, or has a name gets a line.

    >>> from symgraph import exp, sin, symbol
    >>> x1, x2 = symbol("x1"), symbol("x2")
    >>> print(to_text(x1 * x2 + sin(x1)))
    x1 * x2 + sin(x1)
    >>> y = exp(x1)
    >>> print(to_text(y / (1 + y)))
    t1 = exp(x1)
    t1 / (1 + t1)

The text is for reading: casts that promotion does anyway and the types of numbers are left out. What runs is the source
that `function` generates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from codegen.names import Names, identifier

from .core import Body, Bound, Constant, Item, Leaf, Op, Tensor, format_shape, toposort
from .dims import Dim, Variable
from .dtypes import promote, resolve, scalar_type
from .errors import DTypeError
from .naming import gradient_name, output_labels
from .ops import code
from .ops.assembly import Assembly
from .ops.base import Elementwise, Primitive, as_tensor
from .ops.code import Code
from .ops.creation import DimValue
from .ops.einsum import Einsum
from .ops.elementwise import Cast, Where
from .printing_places import placed
from .printing_products import matrix_product
from .printing_signs import on_paper, total
from .provenance import name_of
from .pytree import flatten

INLINE = 56
"""A part whose text is longer than this gets a line of its own."""

DEPTH = 4
"""And so does one with brackets nested deeper than this."""

SMALL = 8
"""Constant arrays up to this many elements are spelled out."""


def to_text(outputs: Any) -> str:
    """The expressions of `outputs` (a tensor or any nesting) in NumPy notation, shared parts named.

    A single tensor without a name ends as a bare expression; otherwise each output is a line `name = expression`.

    >>> from symgraph import grad, named, symbol, tanh
    >>> x = symbol("x", ("n",))
    >>> loss = named(tanh(x).sum(), "loss")
    >>> print(to_text({"loss": loss}))
    loss = tanh(x).sum()
    """
    leaves, _ = flatten(outputs)
    roots = [as_tensor(leaf) for leaf in leaves]
    single = isinstance(outputs, Tensor)
    labels = [None] if single else output_labels(roots, outputs, "out")
    return "\n".join(_Printer(roots).lines(labels))


# One node ------------------------------------------------------------------------------------------------------------


def expression(node: Tensor, xs: Sequence[Code], body: Callable[[Any], str] = lambda _: "body") -> Code:
    """The text of `node` over the texts of its operands, in the order in which the user wrote them."""
    op = node.op
    xs = tuple(xs)[::-1] if node.flipped else tuple(xs)
    made: Code | None = None
    if isinstance(op, Elementwise):
        operator = op.source if isinstance(op.source, str) and not op.source[-1].isalnum() else None
        operands = [without_cast(x, node) for x in node.inputs]
        made = on_paper(node, operands[::-1] if node.flipped else operands, xs)
        if made is not None:
            pass
        elif operator or (isinstance(op.source, str) and op.source.startswith("np.")):
            made = op.numpy(*xs)
        else:
            made = code.call(op.name, *xs)
    elif isinstance(op, Assembly):
        made = total(xs[:-1])
    elif isinstance(op, Primitive):
        with code.emitting(_DimNames(), body):
            try:
                made = placed(op, xs)
                whole = isinstance(op, Einsum) or op.statements("out", *xs) is None
                made = matrix_product(op, xs, derived=node.order > 0) if isinstance(op, Einsum) else made
                made = made or (op.numpy(*xs) if whole else None)
            except (TypeError, AttributeError, RuntimeError):  # an op that is only ever lowered
                made = None
            if made is None:
                made = code.call(op.name, *xs, **_options(op))
    else:
        made = code.call(op.name, *xs)
    return Code(
        _TURNED_TWICE.sub(r"\1", _MODULES.sub("", made)),
        made.prec,
        node.aval if not isinstance(node.aval, tuple) else None,
        made.literal,
    )


_MODULES = re.compile(r"(?<![\w.])(?:np\.(?:linalg\.|fft\.)?|scipy\.\w+\.)(?=[a-z])")
_TURNED_TWICE = re.compile(r"\b([^\W\d]\w*)\.T\.T\b")
_NUMBERED = re.compile(r"t\d+")
_CHEAP = re.compile(r"[^\W\d]\w*(?:\.T)?")
"""A name, or its transpose: written out wherever it is used."""


class _DimNames(dict[Variable, str]):
    def __missing__(self, v: Variable) -> str:
        return identifier(v.name, "n")


def _options(op: Op) -> dict[str, Any]:
    """The fields of an op that a reader wants to see."""
    if not is_dataclass(op):
        return {}
    values = {f.name: getattr(op, f.name) for f in fields(op)}
    return {
        name: v
        for name, v in values.items()
        if (isinstance(v, Dim) or v not in (None, False, ())) and not isinstance(v, Body) and len(repr(v)) <= 24
    }


def number(node: Tensor) -> Code | None:
    """The text of a scalar constant or of a size used as a number, or None for any other node."""
    while isinstance(node.op, Cast) and isinstance(node.inputs[0].op, Constant | DimValue | Cast):
        node = node.inputs[0]
    if isinstance(node.op, Constant) and node.op.value.ndim == 0:
        value = node.op.value
        if value.dtype.kind == "c" and not value.imag and not np.signbit(value.imag):
            value = value.real  # beside a complex tensor 2 says what (2+0j) does
        text = code.literal(value)
        return Code(text.removeprefix("np."), text.prec, node.aval, literal=True)
    if isinstance(node.op, DimValue):
        with code.emitting(_DimNames(), str):
            text = code.size(node.op.dim)
        return Code(text, text.prec, node.aval)
    return None


def without_cast(x: Tensor, user: Tensor) -> Tensor:
    """The operand of a cast that promotion would do anyway where `user` takes it; otherwise `x`."""
    if not isinstance(x.op, Cast) or not isinstance(user.op, Elementwise | Where):
        return x
    inner = x.inputs[0]
    operands = user.inputs if isinstance(user.op, Elementwise) else user.inputs[1:]
    seen = [inner.dtype if i is x else scalar_type(i.dtype) if number(i) is not None else i.dtype for i in operands]
    try:
        if isinstance(user.op, Elementwise):
            alike = list(resolve(user.op.like, *seen)[0]) == [i.dtype for i in operands]
        else:
            alike = promote(*seen) == operands[0].dtype
    except DTypeError:
        return x
    return inner if alike else x


# A graph -------------------------------------------------------------------------------------------------------------


class _Printer:
    """The text of every node that has been reached, and the lines written so far."""

    def __init__(
        self, roots: Sequence[Tensor], names: Names | None = None, bodies: dict[Body, str] | None = None
    ) -> None:
        self.roots = roots
        self.order = toposort(roots)
        self.operands = {node: _operands(node) for node in self.order}
        self.names = names or Names()
        self.bodies = {} if bodies is None else bodies
        self.text: dict[Tensor, Code] = {}
        self.written: list[str] = []
        self.uses: dict[Tensor, int] = dict.fromkeys(self.order, 0)
        for x in roots:
            self.uses[x] += 1
        for node in reversed(self.order):
            if self.uses[node]:
                for x in self.operands[node]:
                    self.uses[x] += 1

    def lines(self, labels: Sequence[str | None]) -> list[str]:
        """The lines, one for each named part, and then the outputs."""
        for node in self.order:
            if isinstance(node.op, Leaf):
                self.text[node] = Code(self.names.take(node.op.label), aval=node.aval)
        targets: dict[Tensor, str] = {}
        for root, label in zip(self.roots, labels, strict=True):
            known = root in self.text or root in targets or isinstance(root.op, Item)
            if label and not known and number(root) is None:
                targets[root] = self.names.take(label)
        for node in self.order:
            if node not in self.text and self.uses[node]:
                self._step(node, targets.get(node))
        for root, label in zip(self.roots, labels, strict=True):
            name = name_of(root)
            if label and targets.pop(root, None) is None:
                self.written.append(f"{self.names.take(label)} = {self.text[root]}")
            elif not label and (isinstance(root.op, Leaf) or not name or str(self.text[root]) != identifier(name)):
                self.written.append(self._last(str(self.text[root])))
        return self.written

    def _last(self, text: str) -> str:
        """The text of a bare expression: in place of the line before, if that is all there is to it."""
        line = self.written[-1] if self.written else ""
        return (
            self.written.pop().partition(" = ")[2]
            if _NUMBERED.fullmatch(text) and line.startswith(f"{text} = ")
            else text
        )

    def _step(self, node: Tensor, target: str | None) -> None:
        literal = number(node)
        if literal is not None and not name_of(node):
            self.text[node] = literal
            return
        if isinstance(node.op, Constant):
            made = _array(node)
        elif isinstance(node.op, Bound):
            made = Code(f"x{node.op.index + 1}", aval=node.aval)
        elif isinstance(node.op, Item):
            return  # named by the line of its parent
        else:
            made = self._expression(node)
        if isinstance(node.aval, tuple):
            self._several(node, made)
            return
        name = target or (name_of(node) and self.names.take(str(name_of(node))))
        shared = self.uses[node] > 1 and not _CHEAP.fullmatch(made) and not made.literal
        if not name and (shared or (self.uses[node] and not self._is_last(node) and self._is_long(made))):
            name = self.names.take(gradient_name(node) or "") if gradient_name(node) else self.names.number("t")
        self.text[node] = self._assign(node, name, made) if name else made

    def _assign(self, node: Tensor, name: str, made: Code) -> Code:
        self.written.append(f"{name} = {made}")
        return Code(name, aval=node.aval)

    def _several(self, node: Tensor, made: Code) -> None:
        items = {x.op.index: x for x in self.order if isinstance(x.op, Item) and x.inputs[0] is node}
        words = []
        for index, aval in enumerate(node.aval):
            item = items.get(index)
            words.append(
                "_"
                if item is None
                else self.names.take(name_of(item) or "")
                if name_of(item)
                else self.names.number("t")
            )
            if item is not None:
                self.text[item] = Code(words[-1], aval=aval)
        self.text[node] = Code(f"({', '.join(words)})")
        self.written.append(f"{', '.join(words)}{',' if len(words) == 1 else ''} = {made}")

    def _is_last(self, node: Tensor) -> bool:
        return len(self.roots) == 1 and node is self.roots[0]

    def _is_long(self, text: Code) -> bool:
        return len(text) > INLINE or (text.count("(") + text.count("[") > DEPTH and _depth(text) > DEPTH)

    def _expression(self, node: Tensor) -> Code:
        operands = self.operands[node]
        xs = [self.text[x] for x in operands]
        mentioned = [Code("_")] * node.op.mentions
        if not (isinstance(node.op, Elementwise) and isinstance(node.op.source, str)):
            for i, x in enumerate(xs):
                if x.isidentifier() or x.literal:
                    continue
                probe = [Code(f"_{j}_", aval=o.aval) if j == i else Code("x", aval=o.aval) for j, o in enumerate(xs)]
                if expression(node, [*probe, *mentioned], self._body).count(f"_{i}_") > 1:  # it would be written twice
                    xs[i] = self.text[operands[i]] = self._assign(operands[i], self.names.number("t"), x)
        return expression(node, [*xs, *mentioned], self._body)

    def _body(self, body: Body) -> str:
        """The name of a closed sub-graph, which is written as a function above its first use."""
        if body not in self.bodies:
            name = self.bodies[body] = self.names.number("body")
            taken = Names([*self.names.taken, *[f"x{i + 1}" for i in range(len(body.avals))]])
            inside = _Printer(body.outputs, taken, self.bodies)
            labels = [None] if len(body.outputs) == 1 else [f"out{i + 1}" for i in range(len(body.outputs))]
            head = f"{name}({', '.join(f'x{i + 1}' for i in range(len(body.avals)))}):"
            self.written += [head, *[f"    {line}" for line in inside.lines(labels)]]
        return self.bodies[body]


def _operands(node: Tensor) -> list[Tensor]:
    """What the text of a node speaks of: its inputs without the casts of promotion, and without what it merely mentions."""
    used = node.inputs[: len(node.inputs) - node.op.mentions]
    return [without_cast(x, node) for x in used]


def _depth(text: str) -> int:
    depth = deepest = 0
    for c in text:
        if c in "([":
            depth += 1
            deepest = max(deepest, depth)
        elif c in ")]":
            depth -= 1
    return deepest


def _array(node: Tensor) -> Code:
    value = node.op.value  # type: ignore[attr-defined]
    if value.size <= SMALL:
        return Code(f"array({_rows(value)})", aval=node.aval)
    return Code(f"constant({format_shape(node.shape)}, {node.dtype})", aval=node.aval)


def _rows(value: Any) -> str:
    if value.ndim == 0:
        return str(code.literal(value)).removeprefix("np.")
    return f"[{', '.join(map(_rows, value))}]"
