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
from .model import Picture, picture

FORMATS = ("svg", "png", "pdf", "dot", "gv")
TIMEOUT = 60.0
REMEDY = "pip install 'symgraph[viz]' brings one; so do apt-get install graphviz and brew install graphviz"


def draw(
    outputs: Any,
    path: Any,
    *,
    optimize: bool = False,
    legend: bool = True,
    engine: str | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Draw `outputs` (a tensor, any nesting of tensors, or a `Function`) into a file, and return its path.

    The suffix chooses the format: svg, png, pdf, or dot (gv) for the text of the graph alone. `engine` is the Graphviz
    program to run; by default the system's `dot`, else that of the graphviz-pure package. The graph is drawn as it was
    written; `optimize=True` draws it as rewriting leaves it.

    Raises `ValueError` for another suffix, `OSError` where the path cannot be written, and `SymgraphError` when there is no
    program, or it fails or takes longer than `timeout` seconds; the DOT text is then left beside the path.
    """
    target = Path(path)
    suffix = target.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise ValueError(f"{target.name} must end in one of {', '.join('.' + f for f in FORMATS)}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist")
    shown = picture(outputs, optimize)
    source = digraph(shown, legend).source
    if suffix in ("dot", "gv"):
        write(target, source.encode())
        return target
    try:
        if len(shown.orders) > 1 and len(shown.nodes) <= LARGE:
            source = _forward_left(shown, legend, engine, timeout)
        image = render(source, suffix, engine, timeout)
    except SymgraphError as error:
        beside = target.with_suffix(".dot")
        write(beside, source.encode())
        raise SymgraphError(f"{error} The graph is in {beside}.") from None
    write(target, image)
    return target


def _forward_left(shown: Picture, legend: bool, engine: str | None, timeout: float) -> str:
    """The DOT text from the first start that puts the columns in order from left to right."""
    first = ""
    for start in STARTS:
        source = digraph(shown, legend, start).source
        first = first or source
        lines = render(source, "plain", engine, timeout).decode().splitlines()
        x = {words[1]: float(words[2]) for line in lines if (words := line.split())[:1] == ["node"]}
        middles = [[x[n.key] for n in shown.nodes if n.order == order and n.key in x] for order in shown.orders]
        means = [sum(m) / max(len(m), 1) for m in middles]
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
