"""Text for people: names made safe, lines that are not too long, columns that are aligned, and parts that are letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..core import Body, Bound, Constant, Item, Leaf, Tensor
from ..ops.code import Code, call
from ..printing import expression, number, without_cast
from ..provenance import Location, format_location, name_of
from ..rewrite.pattern import AnyOp, NodeRule, Rule
from ..structured import Structured

WIDTH = 120
"""No line is longer."""

DEPTH = 3
"""Parts that lie deeper, and have no name, are letters."""


def safe(text: str) -> str:
    """Text of a user on one line: control characters and direction marks are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short(text: str, longest: int = WIDTH) -> str:
    """One safe line that is not longer; what is left out shows as `...`."""
    line = safe("; ".join(text.split("\n")))
    return line if len(line) <= longest else f"{line[: max(0, longest - 3)]}..."


def indented(lines: Iterable[str], by: int = 4) -> list[str]:
    """Lines moved to the right, cut at the width of the page."""
    return [(" " * by + short(line, WIDTH - by)).rstrip() for line in lines]


def columns(rows: Sequence[Sequence[str]], by: int = 4, widest: Mapping[int, int] | None = None) -> list[str]:
    """Rows in aligned columns; a column is cut at its `widest`, the last at the width of the page."""
    if not rows:
        return []
    cells = [[short(cell, (widest or {}).get(i, WIDTH)) for i, cell in enumerate(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return indented(["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells], by)


def first(lines: Sequence[str], most: int, what: str = "more") -> list[str]:
    """The first lines, and how many there are besides."""
    rest = len(lines) - most
    return list(lines) if rest <= 0 else [*lines[:most], f"and {rest:,} {what}"]


def counted(number: int, noun: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def place(where: Location | None) -> str:
    """`model.py:14, in layer1 > block`."""
    if where is None:
        return ""
    scopes = " > ".join(safe(s.name) for s in where.scopes)
    return f"{format_location(where)}, in {scopes}" if scopes else format_location(where)


# Formulas ------------------------------------------------------------------------------------------------------------


def title(rule: Rule | NodeRule) -> str:
    """The name of a rule, or its pattern as mathematics."""
    return rule.name or (str(Line().text(rule.pattern, 6)) if isinstance(rule, Rule) else "rule")


def change(old: Tensor, new: Tensor) -> tuple[str, str]:
    """Before and after: the same letter for the same part."""
    line = Line(taken=names_in([old, new]))
    return str(line.text(old, DEPTH)), str(line.text(new, DEPTH))


def formula(
    node: Tensor, depth: int = DEPTH, known: Mapping[Tensor, str] | None = None, line: Line | None = None
) -> str:
    """What a node computes, to a depth; parts that lie deeper are letters, those with a name (or `known`) go by it.

    Formulas that stand beside each other share their letters by a `line`.
    """
    if isinstance(node, Structured):
        return node.formula
    line = line or Line(known, names_in([node], depth))
    if isinstance(node.op, Constant | Item | Leaf) or not node.inputs or node in line.letters:
        return str(line.text(node, depth))
    return str(one_step(node, [line.text(without_cast(x, node), depth - 1) for x in node.inputs]))


def one_step(node: Tensor, words: Sequence[Code]) -> Code:
    """One operation over the words of its operands; where it has several bodies (`cond`), these are told apart by numbers."""
    names: dict[Body, str] = {}
    text = expression(node, words, lambda body: names.setdefault(body, f"body{len(names) + 1}"))
    return expression(node, words) if len(names) == 1 else text


def names_in(nodes: Iterable[Tensor], depth: int = DEPTH) -> set[str]:
    """The names that formulas of these nodes can show."""
    found: set[str] = set()
    layer = list(nodes)
    for _ in range(depth + 2):  # casts are not shown
        found.update(name for x in layer if (name := name_of(x)))
        layer = list(dict.fromkeys(x for node in layer for x in node.inputs))
    return found


class Line:
    """The letters for the parts of one line, none of them `taken`, and what is `known` by another name."""

    def __init__(self, known: Mapping[Tensor, str] | None = None, taken: Iterable[str] = ()) -> None:
        self.letters: dict[Tensor, Code] = {node: Code(text, aval=node.aval) for node, text in (known or {}).items()}
        self.taken = {*taken, *self.letters.values()}
        self.spelled: dict[Tensor, Code] = {}
        """What was written out once is written out again, however deep it lies then."""
        self.count = 0

    def letter(self) -> str:
        """The next letter that is not the name of something."""
        while True:
            letter = f"{'abcdefgh'[self.count % 8]}{self.count // 8 or ''}"
            self.count += 1
            if letter not in self.taken:
                return letter

    def text(self, node: Tensor, depth: int) -> Code:
        """`node` to a depth, then letters."""
        if isinstance(node.op, AnyOp):
            xs = [self.text(x, depth - 1) for x in node.inputs]
            return call(node.op.kind.__name__.lower(), *xs)
        if node in self.letters:
            return self.letters[node]
        literal = number(node)
        name = name_of(node)
        if literal is not None:
            return literal
        aval = None if isinstance(node.aval, tuple) else node.aval
        if name is not None:
            return Code(safe(name), aval=aval)
        if isinstance(node.op, Constant):
            return Code("constant", aval=aval)
        if node in self.spelled:
            return self.spelled[node]
        if depth <= 0 or isinstance(node.op, Item | Bound | Leaf):
            letter = self.letters[node] = Code(self.letter(), aval=aval)
            return letter
        xs = [self.text(without_cast(x, node), depth - 1) for x in node.inputs]
        told = self.spelled[node] = one_step(node, xs)
        return told
