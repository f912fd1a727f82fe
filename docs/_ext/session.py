"""Pages that run: the blocks of a page are one program, and what stands below a block is what it left.

A page is MyST Markdown with fenced blocks. Those named `run` are executed in order in one namespace and one empty folder; what
a block prints, the value of its last expression, and the pictures and pages it writes are its result. Sphinx shows them
(`directives`), the tests only run them: neither knows anything that is not here.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHOWN = (".svg", ".png", ".html")
ARROW = " ==> "
FENCE = re.compile(r"^(?P<fence>`{3,})\{(?P<kind>[\w-]+)\}[ \t]*(?P<title>.*?)\n(?P<body>.*?)^(?P=fence)$", re.M | re.S)
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)")


class PageError(Exception):
    """A block that did not do what the page says."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, the rest of its first line, its options and its text."""

    kind: str
    title: str
    options: Mapping[str, str]
    text: str
    line: int


@dataclass(frozen=True)
class Result:
    """What a block left: the text it printed or ended with, and the files it wrote."""

    text: str = ""
    files: tuple[Path, ...] = ()


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in FENCE.finditer(page):
        lines = found["body"].splitlines()
        options = {}
        while lines and (option := OPTION.fullmatch(lines[0])):
            options[option[1]] = option[2]
            del lines[0]
        yield Block(found["kind"], found["title"], options, "\n".join(lines), page.count("\n", 0, found.start()) + 1)


@dataclass
class Session:
    """The program that a page is: its names so far, and the folder in which it runs."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def run(self, code: str, name: str = "model.py", raises: str = "") -> Result:
        """Execute a block. Warnings are errors; with `raises`, so is coming to the end."""
        before = self._files()
        printed = io.StringIO()
        with self._inside(), contextlib.redirect_stdout(printed):
            try:
                value = self._execute(code, name)
            except Exception as error:
                if type(error).__name__ != raises:
                    raise PageError(f"{name}: {type(error).__name__}: {error}\n\n{code}") from error
                print(f"{raises}: {error}")
                value = None
            else:
                if raises:
                    raise PageError(f"{name}: {raises} was to be raised and was not\n\n{code}")
        if value is not None and not isinstance(value, Path):  # of a file that was written, the file itself is shown
            printed.write(f"{value if isinstance(value, str) else repr(value)}\n")
        return Result(printed.getvalue().rstrip(), self._written(before))

    def shell(self, commands: str, status: int = 0) -> Result:
        """Run each line as a command that ends with `status`; `symgraph` and `python` are those of this process."""
        before = self._files()
        said = []
        for line in commands.splitlines():
            words = shlex.split(line)
            start = {"symgraph": [sys.executable, "-m", "symgraph"], "python": [sys.executable]}[words[0]]
            done = subprocess.run(
                [*start, *words[1:]], cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
            )
            if done.returncode != status:
                raise PageError(f"{line}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
            said.append(done.stdout + done.stderr)
        return Result("\n".join(said).rstrip(), self._written(before))

    def check_table(self, rows: str) -> list[tuple[str, str]]:
        """Lines `theirs ==> ours`: each of ours is executed; returned as pairs."""
        pairs = []
        for row in rows.splitlines():
            theirs, arrow, ours = row.partition(ARROW)
            if not arrow:
                raise PageError(f"a row of a table is 'theirs{ARROW}ours', not {row!r}")
            self.run(ours.strip(), "table.py")
            pairs.append((theirs.strip(), ours.strip()))
        return pairs

    def _execute(self, code: str, name: str) -> Any:
        """The value of the last statement, where it is an expression."""
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(tree, name, "exec"), self.names)
            if isinstance(last, ast.Expr):
                return eval(compile(ast.Expression(last.value), name, "eval"), self.names)
        return None

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        sys.path.insert(0, str(self.folder))
        try:
            with contextlib.chdir(self.folder):
                yield
        finally:
            sys.path.remove(str(self.folder))
            for name, module in list(sys.modules.items()):  # other pages have modules of the same name
                if str(getattr(module, "__file__", None)).startswith(str(self.folder) + os.sep):
                    del sys.modules[name]

    def _written(self, before: Mapping[Path, tuple[int, int]]) -> tuple[Path, ...]:
        """The files to show that are new, or other than before."""
        return tuple(sorted(p for p, s in self._files().items() if before.get(p) != s and p.suffix in SHOWN))

    def _files(self) -> dict[Path, tuple[int, int]]:
        found = [p for p in self.folder.glob("*") if p.is_file()]
        return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in found}


def run_page(text: str, folder: Path) -> list[Result]:
    """Everything a page runs, in order."""
    session = Session(folder)
    results = []
    for block in blocks(text):
        if block.kind == "run":
            name = block.options.get("name", "model.py")
            results.append(session.run(block.text, name, block.options.get("raises", "")))
        elif block.kind == "shell":
            results.append(session.shell(block.text, int(block.options.get("status", 0))))
        elif block.kind == "file":
            results.append(written(session, block.title, block.text))
        elif block.kind == "equivalents":
            session.check_table(block.text)
    return results


def written(session: Session, name: str, text: str) -> Result:
    """A file of the page's folder with this text."""
    if os.path.basename(name) != name or not name:
        raise PageError(f"a file of a page has a plain name, not {name!r}")
    (session.folder / name).write_text(text + "\n", encoding="utf-8")
    return Result()
