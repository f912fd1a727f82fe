r"""Names and sizes as LaTeX: `alpha1` is \alpha_{1}, `W_hidden` is W_{\mathrm{hidden}}, `grad_W` is \nabla_{W}.

Every character of a user's name that LaTeX or HTML gives a meaning is left out, so no name is ever markup; names that come
out equal are told apart by a number in brackets.
"""

from __future__ import annotations

import re
import unicodedata

from ..dims import Size

GREEK = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi",
    "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma",
    "Upsilon", "Phi", "Psi", "Omega",
]  # fmt: skip
_COMMANDS = {name: f"\\{name}" for name in [*GREEK, "varepsilon", "vartheta", "varphi", "ell"]}


def _letter(name: str) -> str:
    """The character itself; Unicode spells lambda its own way."""
    stem = "lamda" if name.lower() == "lambda" else name
    return unicodedata.lookup(f"GREEK {'CAPITAL' if name[0].isupper() else 'SMALL'} LETTER {stem.upper()}")


_LETTERS = {_letter(name): f"\\{name}" for name in GREEK}
ACCENTS = {"hat": "\\hat", "bar": "\\bar", "tilde": "\\tilde", "dot": "\\dot"}
_PLAIN = frozenset("+-*/=.,:;!?()[]|@")


def name(text: str) -> str:
    r"""One name as LaTeX: the stem, and what follows a `_` or is a number at the end as subscripts.

    >>> print(name("W1"), name("grad_loss"), name("sigma_x"), name("x_hat"), name("a}^2"))
    W_{1} \nabla_{\mathrm{loss}} \sigma_{x} \hat{x} a_{2}
    """
    text = unicodedata.normalize("NFKC", text)
    prefix, _, rest = text.partition("_")
    if prefix == "grad" and rest.strip("_"):
        return f"\\nabla_{{{name(rest)}}}"
    words = _joined([w for w in re.split(r"_+", text) if w] or [text])
    stem, number = _numbered(words[0])
    subscripts = [number] if number else []
    made = _word(stem)
    for word in words[1:]:
        if word in ACCENTS and not subscripts:
            made = f"{ACCENTS[word]}{{{made}}}"
            continue
        part, digits = _numbered(word)
        subscripts.append(f"{_word(part)}{f'_{{{digits}}}' if digits and part else digits}" if part else digits)
    return f"{made}_{{{','.join(subscripts)}}}" if subscripts else made


def _joined(words: list[str]) -> list[str]:
    """`log density` as one word: a second word is no subscript of a first."""
    if len(words) > 1 and all(map(_is_word, words[:2])):
        return [f"{words[0]} {words[1]}", *words[2:]]
    return words


def _is_word(text: str) -> bool:
    return len(text) > 1 and text.isascii() and text.isalpha() and text not in _COMMANDS and text not in ACCENTS


def _numbered(word: str) -> tuple[str, str]:
    """A word and the digits that end it."""
    stem = word.rstrip("0123456789")
    return (stem, word[len(stem) :]) if stem else ("", word)


def _word(text: str) -> str:
    if text in _COMMANDS:
        return _COMMANDS[text]
    if text in _LETTERS:
        return _LETTERS[text]
    if len(text) == 1 and text.isalpha() and text.isascii():
        return text
    if text.isdigit() and text.isascii():
        return text
    shown = "".join(map(_character, text)) or "x"
    return shown if len(shown) == 1 and shown.isalpha() and shown.isascii() else f"\\mathrm{{{shown}}}"


def _character(c: str) -> str:
    """One character without a meaning to LaTeX or to HTML; the ones that cannot be shown are left out."""
    if c == " ":
        return "\\ "
    if c in _PLAIN or c.isalnum():
        return c
    return ""


class Distinct:
    """Gives each name in a formula once; a name that is taken gets a number in brackets."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.counts: dict[str, int] = {}

    def take(self, text: str) -> str:
        r"""The LaTeX of a user's name, which no other call has returned."""
        base = made = name(text)
        while made in self.taken:
            count = self.counts[base] = self.counts.get(base, 1) + 1
            made = f"{base[:-1]},({count})}}" if base.endswith("}") and "_{" in base else f"{base}_{{({count})}}"
        self.taken.add(made)
        return made

    def number(self, stem: str) -> str:
        """The next of stem_{1}, stem_{2}, ..."""
        while True:
            count = self.counts[f"#{stem}"] = self.counts.get(f"#{stem}", 0) + 1
            made = f"{stem}_{{{count}}}"
            if made not in self.taken:
                self.taken.add(made)
                return made


_TOKENS = re.compile(r"\s*(//|\*\*|[^\W\d]\w*(?:\.\w+\[\d+\])?|\d+|\S)\s*")


def size(value: Size) -> str:
    r"""A size as LaTeX: `2*batch + 1` is 2 \, \mathrm{batch} + 1.

    >>> from symgraph.dims import dim
    >>> print(size(2 * dim("n") + 1))
    2 n + 1
    """
    if isinstance(value, int):
        return str(value)
    made: list[str] = []
    for token in _TOKENS.findall(str(value)):
        if token == "**":
            made.append("^")
        elif token == "*":
            continue
        elif token == "//":
            made.append("\\div")
        elif token == "%":
            made.append("\\bmod")
        elif token in ("min", "max"):
            made.append(f"\\{token}")
        elif token[0].isalpha() or token[0] == "_":
            made.append(name(token))
        elif token.isdigit() and made and made[-1] == "^":
            made.append(f"{{{token}}}")
        elif token in "+-(),":
            made.append(token)
        else:
            made.append(_character(token) if not token.isdigit() else token)
    spaced = re.sub(r"(?<=[\w}]) (?=\\mathrm)", r" \\, ", " ".join(made))
    return re.sub(r" ?\^ ?", "^", spaced)
