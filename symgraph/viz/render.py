"""A picture in a file, made by a Graphviz program; a file is replaced only by a complete one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import SymgraphError
from .engine import TIMEOUT, find_engine, render
from .graphviz_graph import digraph, placed
from .picture import Picture
from .placement import layout
from .selection import MOST, Choice, check_size, selected
from .theme import Theme, theme_of

FORMATS = ("svg", "png", "pdf", "dot", "gv")


def draw(
    outputs: Any,
    path: Any,
    *,
    optimize: bool | str = False,
    by: str = "scope",
    depth: int | None = None,
    focus: Any = None,
    radius: int = 2,
    collapse: Any = (),
    theme: str = "light",
    legend: bool = True,
    engine: str | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Draw `outputs` (a tensor, any nesting of tensors, or a `Function`) into a file, and return its path.

    The forward graph stands on the left, each order of derivative in a column beside it, every adjoint next to the node
    whose adjoint it is. The suffix of `path` chooses the format: svg, png, pdf, or dot (gv) for the text of the graph alone.

    What is drawn:

    - `optimize`: False for the graph as it was written, True as rewriting leaves it, `"both"` for the two side by side.
    - `by`: what makes the boxes around parts of the model: the scopes that were open (`"scope"`), named values (`"name"`:
      each with what flows into it alone), or the lines of the program (`"line"`).
    - `depth`: parts nested deeper are drawn as one node each; 0 draws every part as one.
    - `focus`: a tensor, a name, or several; what is farther than `radius` edges from them is left out.
    - `collapse`: what else is drawn as one node: `"elementwise"` (runs of elementwise steps), `"repeats"` (parts that come
      again, like the layers of a loop), `"constants"` (arrays, written where they are used), `"parts"`, the name of a part, a
      list of these, or `"auto"`: as much as it takes for a readable picture.

    How: `theme` is `"light"`, `"dark"` or `"print"` (no colours), `legend=False` leaves the legend out, and `engine` is the
    Graphviz program to run; by default the system's `dot`, else that of the graphviz-pure package.

    Raises `ValueError` for another suffix or an argument that is none of these, `OSError` where the path cannot be written,
    and `SymgraphError` for a name that is not in the graph, for more than 4000 nodes, and when there is no Graphviz program,
    or it fails or takes longer than `timeout` seconds; the DOT text is then left beside the path.

    Example::

        with scope("layer"):
            h = tanh(x @ W)
        draw(function([x], h.sum()), "model.svg", depth=0, theme="dark")
    """
    target = Path(path)
    suffix = target.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise ValueError(f"{target.name} must end in one of {', '.join('.' + f for f in FORMATS)}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist")
    colours = theme_of(theme)
    shown = selected(outputs, Choice(optimize, by, depth, focus, radius, collapse))[0]
    if suffix in ("dot", "gv"):
        write(target, digraph(shown, legend, theme=colours).source.encode())
        return target
    check_size(len(shown.nodes), MOST, "a picture")
    try:
        image = image_of(shown, suffix, legend, colours, engine, timeout)
    except SymgraphError as error:
        beside = target.with_suffix(".dot")
        write(beside, digraph(shown, legend, theme=colours).source.encode())
        raise SymgraphError(f"{error} The graph is in {beside}.") from None
    write(target, image)
    return target


def image_of(shown: Picture, format: str, legend: bool, theme: Theme, engine: str | None, timeout: float) -> bytes:
    """The picture as the bytes of a file in `format`."""
    find_engine(format, engine)  # one that draws this format, before anything is laid out
    if len(shown.columns) == 1:
        return render(digraph(shown, legend, theme).source, format, engine, timeout)
    laid = layout(shown, legend, theme, engine, timeout)
    return render(placed(laid.text, laid.routes, theme), format, engine, timeout, placed=True)


def write(path: Path, data: bytes) -> None:
    """Write a file beside `path`, and put it in its place when it is complete."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
