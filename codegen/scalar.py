"""Functions of 0-d float64 as Python: floats and `math`, at 50 ns a step where NumPy takes 600.

Python's arithmetic is NumPy's wherever it gives a result; where it raises (a pole, an overflow, a point outside of the
domain), the whole call is run again in NumPy, whose answer is the IEEE one. Parameters are therefore written last.

A value needed on one side of a `where` alone is computed on that side alone, in an `if` block when it is more than an
expression: the side not taken costs nothing and raises nothing. Blocks follow the conditions of the graph: each node
stands in the innermost one that holds all its uses.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from symgraph.core import Constant, Leaf, ShapedArray, Tensor
from symgraph.dtypes import BOOL, FLOAT64
from symgraph.ops import code
from symgraph.ops.base import Elementwise
from symgraph.ops.code import Code
from symgraph.ops.elementwise import Cast, MaskedMultiply, StopGradient, Where
from symgraph.provenance import format_location

from .names import Names
from .plain import Plain
from .program import Program
from .scalar_forms import FORMS, HELPERS, Form
from .scalar_sides import CHOICES, Branch, Line, Side, Sides, branches, known_on, lines_of, without_stops
from .source import Source
from .text import WIDTH, docstring, escaped, nested

POWERS = {1.0: "positive", 2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}
"""The exponents for which NumPy does not call pow either."""

DIVISIONS = ("/", "//", "%")

SCALARS = {BOOL: "np.bool_", FLOAT64: "float64"}
"""What makes a result of a Python value."""

CAST = {BOOL: Form("{0} != 0.0", False, code.COMPARE), FLOAT64: Form("float", False)}


class ScalarSource(Source):
    """Source that works on Python floats."""

    @property
    def imports(self) -> str:
        math = ["import math"] if re.search(r"\bmath\.", self.function) else []
        numpy = super().imports.split("\n")
        if re.search(r"(?<![\w.])float64\(", self.function):  # by the name alone it is found faster
            used = re.search(r"\bnp\.", self.function)
            numpy = [line for line in numpy if used or line != "import numpy as np"] + ["from numpy import float64"]
        return "\n\n".join([*math, "\n".join(numpy)])


def emit_scalar(program: Program) -> Source | None:
    """The source of `program` over Python floats, or None where some value is no 0-d float64 or op has no such form.

    The arguments of the function are Python floats; its results are `np.float64` and `np.bool_`.
    """
    order = program.order
    given = [*program.inputs, *program.parameters]
    if not (all(x.aval.shape == () and x.dtype == FLOAT64 for x in given) and all(map(_has_form, order))):
        return None
    return _Scalar(program, order).emit()


def _has_form(node: Tensor) -> bool:
    aval, op = node.aval, node.op
    if not isinstance(aval, ShapedArray) or aval.shape or aval.dtype not in CAST:
        return False
    if isinstance(op, Constant | Leaf | Where | MaskedMultiply | Cast | StopGradient):
        return True
    if not isinstance(op, Elementwise) or op.name not in FORMS:
        return False
    wanted = FORMS[op.name].operands
    return all(x.dtype == node.inputs[0].dtype and x.dtype.kind in wanted for x in node.inputs)


class _Scalar:
    """The state of one emission: the code of every value, and the statements so far."""

    def __init__(self, program: Program, order: list[Tensor]) -> None:
        self.program, self.order = program, order
        self.numpy = Plain(_without_updates(program)).emit()
        self.names = Names([program.name, *self.numpy.arguments, *self.numpy.parameters])
        named = {p: name for name, p in self.numpy.parameters.items()}
        self.parameters = {named.get(p) or self.names.take(p.op.label): p for p in program.parameters}  # type: ignore[attr-defined]
        self.outputs = [without_stops(y) for y in program.outputs]
        self.updates = [
            (n, without_stops(new)) for n, (p, new) in zip(self._updated(), program.updates) if new is not p
        ]
        self.new_of = {new: name for name, new in self.updates}
        self.results = dict.fromkeys([*self.outputs, *self.new_of])
        self.sides = Sides(order, [*self.outputs, *[new for _, new in self.updates]])
        self.again = self.names.take(f"{program.name}_numpy")
        self.reserved: dict[Tensor, str] = {}
        self.code: dict[Tensor, Code] = {}
        self.inlined: set[Tensor] = set()
        self.block: list[Any] = []
        self.raises = False

    def _updated(self) -> list[str]:
        named = {p: n for n, p in self.parameters.items()}
        return [named[p] for p, _ in self.program.updates]

    def emit(self) -> Source:
        """The function, and the same in NumPy where it may be needed."""
        for x, name in zip(self.program.inputs, self.numpy.arguments, strict=True):
            self.code[x] = Code(name)
        for node in [*self.results, *self.order]:
            wanted = self.program.names.get(node)
            if wanted and node in self.sides.uses and not isinstance(node.op, Leaf | Constant):
                if node not in self.reserved:
                    self.reserved[node] = self.names.take(wanted)
        for name, parameter in self.parameters.items():
            if parameter in self.sides.uses:
                self._assign(parameter, self.names.take(f"old_{name}"), f"float({name})")
        for node in self.order:
            if node not in self.code and node in self.sides.uses:
                self._step(node)
        return self._assembled()

    def _step(self, node: Tensor) -> None:
        op = node.op
        if isinstance(op, Constant):
            text = code.literal(op.value, exact=True)
            self.code[node] = Code(text.replace("np.", "math."), text.prec, literal=True)
        elif isinstance(op, CHOICES):
            self._choice(node)
        else:
            xs = [without_stops(x) for x in (node.inputs[::-1] if node.flipped else node.inputs)]
            form = CAST[op.dtype] if isinstance(op, Cast) else FORMS[op.name]
            if op.name == "power" and isinstance(xs[1].op, Constant) and xs[1].op.number in POWERS:
                form, xs = FORMS[POWERS[xs[1].op.number]], xs[:1]
            self._put(node, self._written(form, xs, self.sides.of[node]))

    def _choice(self, node: Tensor) -> None:
        """A conditional expression, or two assignments where the condition has a block already or the line is long."""
        condition, holds, taken, other = branches(node)
        side = self.sides.of[node]
        known = known_on(side, condition)
        if known is not None:
            self._put(node, self._side_value(taken if known == holds else other, side))
            return
        yes = self._side_value(taken, self.sides.within(side, condition, holds))
        no = self._side_value(other, self.sides.within(side, condition, not holds))
        yes, no = (yes, no) if holds else (no, yes)
        block = self._block(side, may_open=False)
        branch = block[-1] if block else None
        if not isinstance(branch, Branch) or branch.condition is not condition:
            test = self.code[condition].within(code.TERNARY + 1)
            text = f"{yes.within(code.TERNARY + 1)} if {test} else {no.within(code.TERNARY)}"
            if len(text) <= self._room(side) or isinstance(condition.op, Constant):
                self._put(node, Code(text, code.TERNARY))
                return
            branch = self._branch(self._block(side), condition)
        name = self.reserved.get(node) or self._temporary(node)
        branch.sides[True].append((f"{name} = {yes}", node))
        branch.sides[False].append((f"{name} = {no}", node))
        self.code[node] = Code(name)

    def _side_value(self, xs: list[Tensor], side: Side | None) -> Code:
        """What a choice is on one side: a value, the product of two under a mask, or 0 where that leaves all out."""
        if len(xs) == 2:
            return self._written(FORMS["multiply"], xs, side)
        return self.code[xs[0]] if xs else Code("0.0", literal=True)

    # Expressions

    def _written(self, form: Form, xs: list[Tensor], side: Side | None) -> Code:
        """The form of the operands; one that it writes twice, or that makes the line too long, is given a name first."""
        if "{" in form.text:
            for i, x in enumerate(xs):
                if x in self.inlined and form.text.count(f"{{{i}}}") > 1:
                    self._name(x)
        text = _applied(form, [self.code[x] for x in xs])
        room = self._room(side)
        while len(text) > room:
            inlined = [x for x in xs if x in self.inlined]
            if not inlined:
                break
            self._name(max(inlined, key=lambda x: len(self.code[x])))
            text = _applied(form, [self.code[x] for x in xs])
        nonzero = form.text in DIVISIONS and isinstance(xs[1].op, Constant) and xs[1].op.number
        self.raises = self.raises or (form.raises and not nonzero)
        return text

    def _room(self, side: Side | None) -> int:
        """How long an expression may be beside its indentation and name."""
        return WIDTH - 24 - 4 * (0 if side is None else side.depth)

    def _put(self, node: Tensor, text: Code) -> None:
        """The value is written where it is used if it is used once and the text is short, else it gets a name."""
        alone = node not in self.results or (len(self.outputs) == 1 and not self.updates)
        short = len(text) <= WIDTH // 2 and text.count("(") <= 4
        if node not in self.reserved and (text.isidentifier() or text.literal):
            self.code[node] = text
        elif node not in self.reserved and self.sides.uses[node] == 1 and alone and short:
            self.code[node] = text
            self.inlined.add(node)
        else:
            self._assign(node, self.reserved.get(node) or self._temporary(node), text)

    def _name(self, node: Tensor) -> None:
        self.inlined.discard(node)
        self._assign(node, self._temporary(node), self.code[node])

    def _temporary(self, node: Tensor) -> str:
        name = self.new_of.get(node)
        return self.names.number("t") if name is None else self.names.take(f"new_{name}")

    # Statements

    def _assign(self, node: Tensor, name: str, text: str) -> None:
        self._block(self.sides.of[node]).append((f"{name} = {text}", node))
        self.code[node] = Code(name)

    def _block(self, side: Side | None, may_open: bool = True) -> list[Any]:
        """The statements of a side, in the `if` that stands last or in a new one; nothing if none may be opened."""
        if side is None:
            return self.block
        path = []
        while side is not None:
            path.append(side)
            side = side.outer
        block = self.block
        for side in reversed(path):
            last = block[-1] if block else None
            if not isinstance(last, Branch) or last.condition is not side.condition:
                if not may_open:
                    return []
                last = self._branch(block, side.condition)
            block = last.sides[side.holds]
        return block

    def _branch(self, block: list[Any], condition: Tensor) -> Branch:
        """A new `if` at the end of a block; it may be written several times, so its condition is short."""
        if condition in self.inlined and "(" in self.code[condition]:
            self._name(condition)
        made = Branch(condition, self.code[condition])
        block.append(made)
        return made

    # Text

    def _assembled(self) -> Source:
        program = self.program
        returned = [f"{SCALARS[y.dtype]}({self.code[without_stops(y)]})" for y in program.outputs]
        writes: list[Line] = [(1, f"{name}[...] = {self.code[new]}", new) for name, new in self.updates]
        body = list(lines_of(self.block, 2 if self.raises else 1))
        failed: Line = (1, "except (ArithmeticError, ValueError):  # NumPy gives inf or nan", None)
        again = f"{self.again}("
        lines: list[Line]
        if not self.raises:
            lines = [*body, *writes, *_returned(program.tree, returned, 1)]
        elif not self.updates:
            lines = [(1, "try:", None), *body, *_returned(program.tree, returned, 2), failed]
            lines += _called(f"return {again}", self.numpy.arguments)
        else:
            result = self.names.take("result")
            targets = ", ".join([result, *[f"{name}[...]" for name, _ in self.updates]])
            lines = [(1, "try:", None), *body, failed, *_called(f"{targets} = {again}", self.numpy.arguments)]
            lines += [(2, f"return {result}", None), *writes, *_returned(program.tree, returned, 1)]
        text, numbered = self._text(lines)
        used = [helper for name, helper in HELPERS.items() if f"{name}(" in text]
        before = "".join(f"{helper}\n\n\n" for helper in used)
        found = {line + before.count("\n"): node for line, node in numbered.items()}
        after = ""
        if self.raises:
            after = "\n\n\n" + self.numpy.function.replace(f"def {program.name}(", f"def {self.again}(", 1)
            shift = (before + text).count("\n") + 3
            found.update({line + shift: node for line, node in self.numpy.lines.items()})
        return ScalarSource(
            program.name, before + text + after, "", {}, self.numpy.arguments, self.parameters, {}, found,
        )  # fmt: skip

    def _text(self, body: list[Line]) -> tuple[str, dict[int, Tensor]]:
        """The definition, with the user's lines in comments, and the node of each line."""
        lines = [f"def {self.program.name}({', '.join(self.numpy.arguments)}):", *docstring(*self._signature())]
        numbered: dict[int, Tensor] = {}
        previous = None
        for depth, text, node in body:
            where = node.where if node is not None and node.leafy else None
            fresh = where is not None and where != previous and self.program.comments
            previous = where or previous
            lines.append(f"{'    ' * depth}{text}{f'  # {escaped(format_location(where))}' if fresh else ''}")
            if node is not None:
                numbered[len(lines)] = node
        return "\n".join(lines), numbered

    def _signature(self) -> tuple[str, str]:
        takes = ", ".join(f"{name} float64" for name in self.numpy.arguments)
        gives = ", ".join(str(y.dtype) for y in self.program.outputs)
        writes = self._updated()
        reads = [n for n in self.parameters if n not in writes]
        effects = [f"{verb} {', '.join(names)}" for verb, names in (("reads", reads), ("updates", writes)) if names]
        return f"{takes or 'nothing'} -> {gives or 'nothing'}", "; ".join(effects)


def _without_updates(program: Program) -> Program:
    """The program that returns its new values, after its outputs, in place of writing them."""
    changes = [(p, new) for p, new in program.updates if new is not p]
    if not changes:
        return replace(program, updates=())
    count = len(program.outputs)
    return replace(
        program,
        outputs=(*program.outputs, *[new for _, new in changes]),
        tree=(program.tree, *range(count, count + len(changes))),
        updates=(),
        names={**{new: f"new_{p.op.label}" for p, new in changes}, **program.names},  # type: ignore[attr-defined]
    )


def _applied(form: Form, xs: list[Code]) -> Code:
    """The text of a form with its operands in place, in parentheses where they need them."""
    if form.text == "{0}":
        return xs[0]
    if "{" in form.text:
        prec = 0 if form.prec == code.ATOM else form.prec + 1
        return Code(form.text.format(*[x.within(prec) for x in xs]), form.prec)
    if form.text[-1].isalnum():
        return code.call(form.text, *xs)
    return code.prefix(form.text, *xs) if len(xs) == 1 else code.infix(form.text, *xs)


def _called(start: str, arguments: Sequence[str]) -> list[Line]:
    """The call of the NumPy function, over several lines if it is long."""
    passed = ", ".join(f"float64({x})" for x in arguments)
    if len(start) + len(passed) <= WIDTH - 9:
        return [(2, f"{start}{passed})", None)]
    wrapped = textwrap.wrap(f"{passed},", WIDTH - 12, break_long_words=False)
    return [(2, start, None), *[(3, line, None) for line in wrapped], (2, ")", None)]


def _returned(tree: Any, results: list[str], depth: int) -> list[Line]:
    """The return statement, with one result a line if it is long."""
    text = nested(tree, results)
    if len(text) <= WIDTH - 7 - 4 * depth or not isinstance(tree, dict | list | tuple):
        return [(depth, f"return {text}", None)]
    parts = [{key: item} for key, item in tree.items()] if isinstance(tree, dict) else list(tree)
    items = [nested(part, results) for part in parts]
    items = [item[1:-1] for item in items] if isinstance(tree, dict) else items
    return [
        (depth, f"return {text[0]}", None),
        *[(depth + 1, f"{item},", None) for item in items],
        (depth, text[-1], None),
    ]
