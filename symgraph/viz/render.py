"""A picture in a file, made by a Graphviz program.

The program is the one that is asked for, or the system's `dot`, or the one that comes with the `graphviz-pure` package. It
runs in a process of its own with a time limit, and a file is replaced only by a complete one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..errors import SymgraphError
from .graphviz_graph import LARGE, STARTS, digraph
from .picture import Picture
from .selection import MOST, Choice, check_size, selected
from .theme import Theme, theme_of

FORMATS = ("svg", "png", "pdf", "dot", "gv")
TIMEOUT = 60.0
REMEDY = "pip install 'symgraph[viz]' brings one; so do apt-get install graphviz and brew install graphviz"


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
    if len(shown.orders) > 1 and len(shown.nodes) <= LARGE:
        source = forward_left(shown, legend, theme, engine, timeout)
    else:
        source = digraph(shown, legend, theme=theme).source
    return render(source, format, engine, timeout)


def forward_left(shown: Picture, legend: bool, theme: Theme, engine: str | None, timeout: float) -> str:
    """The DOT text from the first start that puts the columns in order from left to right."""
    first = ""
    for start in STARTS:
        source = digraph(shown, legend, start, theme).source
        first = first or source
        lines = render(source, "plain", engine, timeout).decode().splitlines()
        x = {words[1]: float(words[2]) for line in lines if (words := line.split())[:1] == ["node"]}
        columns: dict[tuple[str, int], list[float]] = {}
        for node in shown.nodes:
            if node.key in x:
                columns.setdefault((node.side, node.order), []).append(x[node.key])
        means = [
            sum(columns[key]) / len(columns[key])
            for key in sorted(columns, key=lambda k: (shown.sides.index(k[0]), k[1]))
        ]
        if means == sorted(means):
            return source
    return first


def render(source: str, format: str, engine: str | None = None, timeout: float = TIMEOUT) -> bytes:
    """The picture of a DOT text as the bytes of a file in `format`."""
    program = find_engine(format, engine)
    try:
        done = subprocess.run(
            [program, f"-T{format}"], input=source.encode(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise SymgraphError(
            f"{program} took more than {timeout:g} s to lay out the graph; draw a part of it."
        ) from None
    except OSError as error:
        raise SymgraphError(f"{program} could not be run: {error.strerror}.") from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"exit status {done.returncode}"
        raise SymgraphError(f"{program} could not draw the graph as {format}: {why}.")
    return done.stdout


def find_engine(format: str, engine: str | None = None) -> str:
    """The Graphviz program to run."""
    if engine is not None:
        found = shutil.which(engine)
        if found is None:
            raise SymgraphError(f"there is no program {engine!r}.")
        return found
    if system := shutil.which("dot"):
        return system
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    pure = shutil.which("graphviz-pure", path=beside)
    if pure is None:
        raise SymgraphError(f"no Graphviz program was found; {REMEDY}.")
    if format == "pdf":
        raise SymgraphError(
            "graphviz-pure draws no PDF; a dot that does comes with apt-get install graphviz or brew install graphviz."
        )
    return pure


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
