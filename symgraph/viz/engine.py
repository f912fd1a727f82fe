"""The Graphviz program: the one that is asked for, or the system's `dot`, or the one of the `graphviz-pure` package.

It runs in a process of its own, with a time limit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import SymgraphError

TIMEOUT = 60.0
REMEDY = "pip install 'symgraph[viz]' brings one; so do apt-get install graphviz and brew install graphviz"


def render(
    source: str, formats: str, engine: str | None = None, timeout: float = TIMEOUT, placed: bool = False
) -> bytes:
    """What the program makes of a DOT text: the bytes of a file in the format, or in several (`plain dot`) one after another.

    A text that has everything `placed` is only drawn, any other is laid out in layers, whatever the program is called.
    Raises `SymgraphError` where there is no program, or it fails or takes longer than `timeout` seconds.
    """
    program = find_engine(formats, engine)
    how = ["-Kneato", "-n2"] if placed else ["-Kdot"]
    try:
        done = subprocess.run(
            [program, *how, *[f"-T{format}" for format in formats.split()]],
            input=source.encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
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
        raise SymgraphError(f"{program} could not draw the graph as {formats}: {why}.")
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
