"""What a user writes to name a part of a model: `model.py:loss`, `model.py:net.loss,step`, `package.module:loss`, `model.py`.

    target = place [":" name {"," name}]        name = identifier {"." identifier}

The place is a file, or a module by its dotted name. The last colon parts it from the names, unless it is that of a drive
(`C:\\model.py`) or belongs to the name of a file that exists.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class Refused(Exception):
    """What cannot be done as asked; the message is the line that says why."""


class Listing(Refused):
    """The target has no names; the message lists what it could have, a name a line."""


@dataclass(frozen=True)
class Target:
    """A file or a module, and names in it."""

    place: str
    names: tuple[str, ...]

    @property
    def path(self) -> Path | None:
        """The file; None for a module."""
        return None if _is_module(self.place) else Path(self.place)

    @property
    def stem(self) -> str:
        """What files made from this are called: the names, or else the place."""
        return "-".join(self.names) or (self.path.stem if self.path else self.place.rpartition(".")[2])


def parse(text: str) -> Target:
    r"""The target that a text stands for.

    Raises `Refused` for names that are none.

    >>> parse("model.py:net.loss,step")
    Target(place='model.py', names=('net.loss', 'step'))
    >>> parse(r"C:\models\first.py:loss").names, parse(r"C:\models\first.py").names
    (('loss',), ())
    """
    place, names = _parted(text)
    if not place:
        raise Refused(f"{text!r} names no file; write FILE.py:NAME")
    return Target(place, tuple(dict.fromkeys(_name(n, text) for n in names.split(",")) if names else ()))


def _parted(text: str) -> tuple[str, str]:
    place, colon, names = text.rpartition(":")
    drive = re.fullmatch(r"[A-Za-z]", place) and names[:1] in ("\\", "/")
    if not colon or drive or Path(text).exists():
        return text, ""
    return place, names.strip()


def _name(name: str, text: str) -> str:
    """A dotted name, in the form in which Python keeps identifiers."""
    name = unicodedata.normalize("NFKC", name.strip())
    if name.endswith("()"):
        raise Refused(f"{name!r} in {text!r}: leave out the parentheses; a function without arguments is called")
    if not all(part.isidentifier() for part in name.split(".")):
        raise Refused(f"{name!r} in {text!r} is no name; names are separated by commas, as in model.py:loss,net.hidden")
    return name


def _is_module(place: str) -> bool:
    parts = place.split(".")
    dotted = all(part.isidentifier() for part in parts) and parts[-1] not in ("py", "pyw", "ipynb")
    return dotted and not Path(place).is_file()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'loss'?`, or nothing where no known name is near."""
    near = difflib.get_close_matches(name, sorted(set(known)), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def one_line(text: str) -> str:
    """A text as one line that a terminal only shows."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
