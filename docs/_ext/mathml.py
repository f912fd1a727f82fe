"""Formulas as MathML, which browsers draw themselves: no script, no font and no network is needed to read a page."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

VARIANTS = {"bold": "font-weight: bold", "bold-italic": "font-weight: bold", "monospace": "font-family: monospace"}
UNREAD = re.compile(r"<m[io]>(&|\\[^<]*)</m[io]>")
log = logging.getLogger(__name__)


def mathml(latex: str, display: str) -> str:
    """A formula; what cannot be read in it is a warning."""
    made = str(convert(latex.replace("{aligned}", "{align*}"), display=display))
    if unread := UNREAD.search(made):
        log.warning("a formula has %s, which latex2mathml cannot read: %s", unread[1], latex, type="symgraph")
    for variant, style in VARIANTS.items():  # browsers know no variant but normal
        made = made.replace(f'mathvariant="{variant}"', f'style="{style}"')
    return made


def inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula" tabindex="0">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
