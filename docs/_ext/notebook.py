"""Each notebook becomes a page with its results: `notebooks/NAME.ipynb` is `docs/notebooks/NAME.md` when a build begins.

The results are those in the `.ipynb` file, which the tests hold to its source. Nothing runs here, and git ignores the pages.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FOLDER = Path(__file__).parents[2] / "notebooks"
FENCE = "`" * 6
LINK = re.compile(r"\]\((\d\d_\w+)\.(?:ipynb|py)\)")  # from one notebook to another


def write(app: Sphinx, _: Any) -> None:
    """Write the pages anew; a page that would be the same is left alone, so that Sphinx need not read it again."""
    pages = Path(app.srcdir) / "notebooks"
    made = {p.stem: markdown(json.loads(p.read_text(encoding="utf-8"))) for p in FOLDER.glob("[0-9]*.ipynb")}
    for page in pages.glob("[0-9]*.md"):
        if page.stem not in made:
            page.unlink()
        elif page.read_text(encoding="utf-8") == made[page.stem]:
            del made[page.stem]
    for name, text in made.items():
        (pages / f"{name}.md").write_text(text, encoding="utf-8")


def markdown(notebook: Any) -> str:
    """The cells of a notebook, and what came out of them."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(LINK.sub(r"](\1.md)", text))
        else:
            parts.append(f"{FENCE}python\n{text}\n{FENCE}")
            parts += [shown for output in cell["outputs"] for shown in results(output)]
    return "\n\n".join(parts) + "\n"


def results(output: Any) -> Iterator[str]:
    """The richest form of one output."""
    data = output.get("data", {})
    if "image/svg+xml" in data:
        yield _raw(f'<div class="made" tabindex="0">{"".join(data["image/svg+xml"])}</div>')
    elif "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        yield _raw(f'<div class="made"><img alt="figure" src="data:image/png;base64,{picture}"></div>')
    elif "text/html" in data:
        yield _raw(f'<div class="made" tabindex="0">{"".join(data["text/html"])}</div>')
    elif "text/latex" in data:
        yield "$$\n" + "".join(data["text/latex"]).strip().strip("$").strip() + "\n$$"
    elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
        yield _raw(f'<div class="highlight came-out"><pre>{html.escape(text)}</pre></div>')


def _raw(text: str) -> str:
    return f"{FENCE}{{raw}} html\n{text}\n{FENCE}"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
