"""The directives `run`, `shell`, `file` and `equivalents`: a block of a page, and below it what really came out.

```{run}
:as: python        the language of what it prints; `math` for LaTeX
:alt: the graph    what its pictures show, in words; required where it makes one
:name: model.py    the file as which it runs, which generated lines and errors name
:raises: Error     it ends with this error, which is shown
:folded: Title     what it prints is folded away under a title
:status: 2         of `shell`: the exit status of its commands, 0 unless said otherwise
loss = ...
```
"""

from __future__ import annotations

import html
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from session import PageError, Result, Session, written
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

MADE = "_made"
SIZE = re.compile(r'<svg[^>]*?\bwidth="([\d.]+)pt"')


class Runs(SphinxDirective):
    """A block that is executed with the blocks before it on its page."""

    has_content = True
    option_spec: ClassVar = {name: directives.unchanged for name in ("as", "alt", "name", "raises", "folded", "status")}

    @property
    def session(self) -> Session:
        sessions: dict[str, Session] = self.env.temp_data.setdefault("symgraph_sessions", {})  # type: ignore[assignment]
        return sessions.setdefault(self.env.docname, Session(_folder(self.env.app) / self.env.docname))

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        try:
            return self.made(text)
        except PageError as error:
            raise ExtensionError(f"{self.env.docname}, line {self.lineno}: {error}") from error

    def made(self, text: str) -> list[nodes.Node]:
        result = self.session.run(text, self.options.get("name", "model.py"), self.options.get("raises", ""))
        return [self.listing(text, "python", self.options.get("name")), *self.shown(result)]

    def listing(self, text: str, language: str, title: str | None = None) -> nodes.Element:
        made = nodes.literal_block(text, text, language=language)
        if title is None:
            return made
        box = nodes.container("", literal_block=True, classes=["literal-block-wrapper"])
        box += [nodes.caption(title, title), made]
        return box

    def shown(self, result: Result) -> list[nodes.Node]:
        """What a block left, as nodes."""
        found: list[nodes.Node] = []
        if result.text:
            found += self.said(result.text)
        found += [self.picture(path, k) for k, path in enumerate(result.files)]
        return found

    def said(self, text: str) -> list[nodes.Node]:
        kind = self.options.get("as", "text")
        if kind == "math":
            return [nodes.math_block(line, line, nowrap=True, number=None, label=None) for line in text.split("\n\n")]
        made = self.listing(text, kind)
        made["classes"] += ["came-out", "raised"] if "raises" in self.options else ["came-out"]
        folded = self.options.get("folded")
        if folded is None:
            return [made]
        opened = f'<details class="folded"><summary>{html.escape(folded)}</summary>'
        return [nodes.raw("", opened, format="html"), made, nodes.raw("", "</details>", format="html")]

    def picture(self, path: Path, k: int) -> nodes.Node:
        """A picture, or a page in a frame; the file is copied beside the pages."""
        alt = self.options.get("alt")
        if not alt:
            raise PageError(f"{path.name} was written: say what it shows with :alt:")
        name = f"{self.env.docname.replace('/', '-')}-{self.lineno}-{path.name}"
        folder = Path(self.env.app.outdir) / MADE
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
        target = "../" * self.env.docname.count("/") + f"{MADE}/{name}"
        said = html.escape(alt, quote=True)
        if path.suffix == ".html":
            frame = f'<iframe class="made" src="{target}" title="{said}" loading="lazy"></iframe>'
            return nodes.raw("", f'{frame}<p class="made"><a href="{target}">Open it alone</a></p>', format="html")
        wide = SIZE.search(path.read_text(encoding="utf-8")) if path.suffix == ".svg" else None
        width = float(wide[1]) if wide else 0.0  # letters are legible down to 0.8 pixels for a point
        style = f' style="min-width: {0.8 * width:.0f}px; max-width: {width:.0f}px"' if wide else ""
        image = f'<img src="{target}" alt="{said}" loading="lazy"{style}>'
        return nodes.raw("", f'<div class="made" tabindex="0"><a href="{target}">{image}</a></div>', format="html")


class Shell(Runs):
    """Commands, and what they print."""

    def made(self, text: str) -> list[nodes.Node]:
        result = self.session.shell(text, int(self.options.get("status", 0)))
        return [self.listing(text, "sh"), *self.shown(result)]


class File(Runs):
    """A file in the folder of the page."""

    required_arguments = 1

    def made(self, text: str) -> list[nodes.Node]:
        name = self.arguments[0]
        written(self.session, name, text)
        return [self.listing(text, "python" if name.endswith(".py") else "text", name)]


class Equivalents(Runs):
    """A table of two columns: what it is called there, and here; the second column is executed."""

    required_arguments = 1
    final_argument_whitespace = True

    def made(self, text: str) -> list[nodes.Node]:
        rows = self.session.check_table(text)
        table = nodes.table(classes=["equivalents"])
        group = nodes.tgroup(cols=2)
        table += group
        group += [nodes.colspec(colwidth=50), nodes.colspec(colwidth=50)]
        head = nodes.thead("", _row(nodes.Text(self.arguments[0]), nodes.Text("symgraph")))
        body = nodes.tbody("", *[_row(nodes.literal(a, a), nodes.literal(b, b)) for a, b in rows])
        group += [head, body]
        return [table]


def _row(*cells: nodes.Node) -> nodes.row:
    return nodes.row("", *[nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells])


def _folder(app: Any) -> Path:
    """Where pages run, until the build is over."""
    if not hasattr(app, "symgraph_folder"):
        app.symgraph_folder = tempfile.TemporaryDirectory(prefix="symgraph-docs-")
    return Path(app.symgraph_folder.name)


def _finished(app: Any, _: Exception | None) -> None:
    if hasattr(app, "symgraph_folder"):
        app.symgraph_folder.cleanup()


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("run", Runs)
    app.add_directive("shell", Shell)
    app.add_directive("file", File)
    app.add_directive("equivalents", Equivalents)
    app.connect("build-finished", _finished)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
