"""Identifiers for the generated source: the user's names where they can be kept, and never a user's text as code."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable

RESERVED = frozenset([*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "float64", "math", "np", "scipy", "self"])


def identifier(name: str, default: str = "x") -> str:
    """A valid identifier as close to `name` as possible.

    >>> identifier("class"), identifier("hidden layer"), identifier("x); import os"), identifier("σ")
    ('class_', 'hidden_layer', 'x_import_os', 'σ')
    """
    text = unicodedata.normalize("NFKC", name)
    text = re.sub(r"\W+", "_", text).strip("_") or default
    text = re.sub(r"_{2,}", "_", text)
    if text[0].isdigit():
        text = f"{default}{text}" if default else f"_{text}"
    if not text.isidentifier():
        text = default
    return f"{text}_" if text in RESERVED else text


class Names:
    """Gives out identifiers, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self._counts: dict[str, int] = {}

    def take(self, name: str, default: str = "x") -> str:
        """An identifier for `name`, numbered when it is taken."""
        made = base = identifier(name, default)
        while made in self.taken:
            self._counts[base] = self._counts.get(base, 1) + 1
            made = f"{base}_{self._counts[base]}"
        self.taken.add(made)
        return made

    def number(self, prefix: str) -> str:
        """The next of `prefix1`, `prefix2`, ..."""
        while True:
            self._counts[prefix] = self._counts.get(prefix, 0) + 1
            made = f"{prefix}{self._counts[prefix]}"
            if made not in self.taken:
                self.taken.add(made)
                return made
