"""The reference: `api` lists public names, each with its signature and docstring; `elementwise` tabulates functions.

    ```{api} symgraph
    :made:               classes whose instances the library makes; their arguments are not shown
    :members: told       with their members, but not these
    Structured
    ```

The names are those of the module, one entry each; names for one thing share an entry. A row of the other table is
an elementwise function with its derivatives, which the library itself derives and prints.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import symgraph as sg
from symgraph.ops.base import Unknown

made: set[str] = set()
"""The classes whose instances the library makes: nobody calls them, so their arguments are not shown."""

EXAMPLE = re.compile(r"(>>>|\.\.\. )")
MARK = re.compile(r"([-*+]|\d+\.|:\w+:)( |$)")


class Api(SphinxDirective):
    """Public names of a module, documented in the order in which they are given."""

    has_content = True
    required_arguments = 1
    option_spec: ClassVar = {"members": directives.unchanged, "made": directives.flag}

    def run(self) -> list[nodes.Node]:
        lines = ["``````{eval-rst}"]
        for same in aliases(self.arguments[0], " ".join(self.content).split()):
            lines += entry(self.arguments[0], same, self.options.get("members"))
            if "made" in self.options:
                made.update(f"{self.arguments[0]}.{name}" for name in same)
        lines.append("``````")
        box = nodes.Element()
        self.state.nested_parse(StringList(lines, self.env.docname), 0, box)
        return box.children


def aliases(module: str, names: list[str]) -> list[list[str]]:
    """The names in groups that mean the same object."""
    home = importlib.import_module(module)
    groups: dict[int, list[str]] = {}
    for name in names:
        if not hasattr(home, name):
            raise ExtensionError(f"{module} has no {name}")
        groups.setdefault(id(getattr(home, name)), []).append(name)
    return list(groups.values())


def entry(module: str, names: list[str], members: str | None) -> Iterator[str]:
    """The reStructuredText of one entry."""
    thing = getattr(importlib.import_module(module), names[0])
    if not isinstance(thing, type) and not inspect.isroutine(thing):
        yield from [f".. py:data:: {module}.{names[0]}", "", f"   `{thing!r}`", ""]
        return
    kind = "function"
    if isinstance(thing, type):
        kind = "exception" if issubclass(thing, Exception) else "class"
    yield f".. auto{kind}:: {module}.{names[0]}"
    if kind == "class" and members is not None:
        yield from ["   :members:", f"   :exclude-members: {members}"]
    if len(names) > 1:
        yield from ["", f"   Also {', '.join(f'`{name}`' for name in names[1:])}."]
    yield ""


class Functions(SphinxDirective):
    """A table of elementwise functions and their derivatives."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        table = nodes.table(classes=["functions"])
        group = nodes.tgroup(cols=3)
        table += group
        group += [nodes.colspec(colwidth=w) for w in (30, 45, 25)]
        heads = ("function", "derivative in each operand", "infinite or undefined where")
        cells = [nodes.entry("", nodes.paragraph(text=head)) for head in heads]
        group += nodes.thead("", nodes.row("", *cells))
        body = nodes.tbody()
        for same in aliases("symgraph", " ".join(self.content).split()):
            body += self.row(same)
        group += body
        return [table]

    def row(self, names: list[str]) -> nodes.row:
        op = getattr(sg, names[0])
        operands, derivatives = derived(op)
        called = f"{names[0]}({', '.join(operands)})"
        name = nodes.paragraph("", "", nodes.literal(called, called))
        if len(names) > 1:
            also = ", ".join(names[1:])
            name += [nodes.Text(", also "), nodes.literal(also, also)]
        formulas = [nodes.paragraph("", "", nodes.literal(text, text)) for text in derivatives or ["–"]]
        where = nodes.paragraph(text=op.hazard or "")
        return nodes.row("", nodes.entry("", name), nodes.entry("", *formulas), nodes.entry("", where))


def derived(op: Any) -> tuple[list[str], list[str]]:
    """The names of the operands of an elementwise op, and its derivatives as text: a dash where it is taken as 0."""
    if op.partials is None:
        return (["x"] if op.like.nin == 1 else ["x", "y"]), []
    operands = list(inspect.signature(op.partials).parameters)[1:]
    xs = [sg.symbol(name) for name in operands]
    y = op(*xs)
    partials = op.partials(y, *xs)
    return operands, [_derivative(y, p, x) for p, x in zip(partials, xs, strict=True)]


def _derivative(y: sg.Tensor, p: Any, x: sg.Tensor) -> str:
    return "–" if p is None else "not known" if isinstance(p, Unknown) else str(sg.simplify(sg.grad(y, x)))


def without_arguments(app: Any, what: str, name: str, *_: Any) -> tuple[str, None] | None:
    return ("", None) if what == "class" and name in made else None


def literal_blocks(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Indented text in a docstring is code: make it so in reStructuredText, where only `::` says it."""
    lines[:] = list(_marked(lines))


def _marked(lines: list[str]) -> Iterator[str]:
    inside = False
    for k, line in enumerate(lines):
        indented = line.startswith("    ")
        if inside and line and not indented:
            inside = False
        starts = indented and not inside and k > 0 and not lines[k - 1].strip()
        before = next((x for x in reversed(lines[:k]) if x.strip()), "")
        if starts and not EXAMPLE.match(line.strip()) and not MARK.match(before.strip()) and "::" not in before:
            yield from [".. code-block:: text", ""]
            inside = True
        yield line


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("api", Api)
    app.add_directive("elementwise", Functions)
    app.connect("autodoc-process-docstring", literal_blocks)
    app.connect("autodoc-process-signature", without_arguments)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
