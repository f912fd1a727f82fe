"""What a notebook shows of a tensor and of a compiled function: a picture, and source with its colours.

Whatever cannot be shown (a large graph, no Graphviz program) is left out: showing a value never fails.
"""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from ..explaining.links import trace
from ..function import Function
from .highlight import highlighted
from .picture import clean
from .render import image_of
from .selection import picture
from .theme import THEMES

MOST_NODES = 80
"""Larger graphs are not drawn unasked."""

PATIENCE = 5.0
"""Seconds that a notebook waits for a picture."""

MOST_LINES = 200
COLOURS = {"k": "#8250a0", "s": "#4f7a3a", "c": "#7d8590", "n": "#a0522d"}
"""Of keywords, strings, comments and numbers, on light and on dark pages."""


def svg(outputs: Any) -> str | None:
    """The picture as SVG; None for a graph that is large, or cannot be drawn."""
    try:
        shown = picture(outputs)
        if len(shown.nodes) > MOST_NODES:
            return None
        text = image_of(shown, "svg", False, THEMES["light"], None, PATIENCE).decode()
    except Exception:  # whatever it is, the text is shown
        return None
    return text[text.index("<svg") :]


def html(f: Function) -> str:
    """A function by its signature, its source, and its graph if that is small."""
    lines = highlighted(f.source)
    if f.program is not None:
        lines = lines[: trace(f, {}).end]  # what every module carries is left out
    shown = "\n".join(lines[:MOST_LINES])
    for kind, colour in COLOURS.items():
        shown = shown.replace(f'<span class="{kind}">', f'<span style="color:{colour}">')
    if len(lines) > MOST_LINES:
        shown += f"\n… and {len(lines) - MOST_LINES:,} more lines in .source"
    parts = [
        f"<div><code>{escape(clean(repr(f), 400))}</code>",
        f'<pre style="line-height:1.35">{shown}</pre>',
    ]
    drawn = svg(f) if f.program is not None else None
    if drawn is not None:
        data = base64.b64encode(drawn.encode()).decode()
        image = f'<img alt="the graph of {escape(clean(f.name))}" src="data:image/svg+xml;base64,{data}">'
        parts.append(f"<details><summary>graph</summary>{image}</details>")
    return "\n".join([*parts, "</div>"])
