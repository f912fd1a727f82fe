"""Source text as HTML, in quiet colours: everything escaped, tokens marked by kind."""

from __future__ import annotations

import io
import keyword
import tokenize
from html import escape

from ..explaining.text import safe

KINDS = {tokenize.COMMENT: "c", tokenize.STRING: "s", tokenize.NUMBER: "n"}
"""The class of each kind of token; that of keywords is `k`."""


def highlighted(source: str) -> list[str]:
    """The lines of a source; without marks where it is no whole program."""
    lines = source.rstrip("\n").split("\n")
    marks: list[list[tuple[int, int, str]]] = [[] for _ in lines]
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            is_keyword = token.type == tokenize.NAME and keyword.iskeyword(token.string)
            kind = "k" if is_keyword else KINDS.get(token.type, "")
            (first, left), (last, right) = token.start, token.end
            for row in range(first, last + 1) if kind else ():
                begin, end = (left if row == first else 0), (right if row == last else len(lines[row - 1]))
                marks[row - 1].append((begin, end, kind))
    except (tokenize.TokenError, IndentationError):
        return [text(line) for line in lines]
    return [_marked(line, found) for line, found in zip(lines, marks, strict=True)]


def _marked(line: str, marks: list[tuple[int, int, str]]) -> str:
    parts, at = [], 0
    for begin, end, kind in marks:
        parts += [text(line[at:begin]), f'<span class="{kind}">{text(line[begin:end])}</span>']
        at = end
    return "".join([*parts, text(line[at:])])


def text(line: str) -> str:
    """Plain text as HTML: markup is escaped, and what cannot be seen is spelled out."""
    return escape(safe(line))
