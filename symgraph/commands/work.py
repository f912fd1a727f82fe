"""`symgraph draw`, `view`, `source` and `explain`: each returns the text for the standard output."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..core import Tensor, toposort
from ..errors import SymgraphError
from ..function import Function, function
from ..naming import symbols_by_name
from ..provenance import name_of
from ..pytree import tree_map
from .choosing import chosen, nodes_called, roots_of
from .running import Failed, from_file, loaded
from .target import Refused, Target, parse

Options = argparse.Namespace
LOADED = "was loaded or copied without its graph"


def perform(options: Options, work: Callable[[Options, Target, ModuleType, Any], str]) -> str:
    """Run the user's file, find what is named in it, and do the work with it.

    Raises `Refused`, or `Failed` for an error in the user's code.
    """
    target = parse(options.target)
    output = getattr(options, "output", None)
    if output is not None and output != "-" and not Path(output).parent.is_dir():
        raise Refused(f"the folder {str(Path(output).parent)!r} does not exist")
    with loaded(target) as module:
        try:
            return work(options, target, module, chosen(module, target))
        except (Refused, Failed):
            raise
        except Exception as error:
            if tail := from_file(error, module):  # an op or a container of the user's
                raise Failed(error.with_traceback(tail)) from None
            if line := _refusal(error, options):
                raise Refused(line) from error
            raise


def _refusal(error: Exception, options: Options) -> str:
    """The line that says what an error means to who wrote these options; empty for one that nobody foresaw."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot write {options.output or 'into the current folder'}: {error.strerror}"
    foreseen: tuple[type[Exception], ...] = (SymgraphError, ImportError, ValueError, OSError)
    if getattr(options, "values", None):
        foreseen += (TypeError,)  # a value of another kind than an array or a number
    if not isinstance(error, foreseen):
        return ""
    return _as_options(str(error)) if options.command in ("draw", "view") else str(error)


def _as_options(text: str) -> str:
    """What a message tells to write in Python, as it is written here: `--depth 0` for `depth=0`."""
    text = text.replace("draw(outputs, 'model.dot')", "-o model.dot")
    return re.sub(r"\b(optimize|by|depth|focus|radius|collapse|theme)='?([\w.]+)'?", r"--\1 \2", text)


def draw(options: Options, target: Target, module: ModuleType, outputs: Any) -> str:
    """A picture in a file; its path."""
    from ..viz import draw

    choices = {
        **_choices(options, outputs, module),
        "optimize": "both" if options.both else options.optimize or None,
        "theme": options.theme,
        "legend": False if options.no_legend else None,
    }
    return str(draw(outputs, _destination(options, target, ".svg"), **_given(choices)))


def _choices(options: Options, outputs: Any, module: ModuleType) -> dict[str, Any]:
    """What `draw` and `view` have in common."""
    return {
        "by": options.by,
        "depth": options.depth,
        "focus": [_focus(name, outputs, module) for name in options.focus] if options.focus else None,
        "radius": options.radius,
        "collapse": options.collapse,
        "engine": options.engine,
        "timeout": options.timeout,
    }


def _focus(name: str, outputs: Any, module: ModuleType) -> Tensor | str:
    """A variable of the file where it is a node without a name; else the name, for `draw` to find."""
    node = vars(module).get(name)
    if isinstance(node, Tensor) and name_of(node) is None and node in set(toposort(roots_of(outputs))):
        return node
    return name


def view(options: Options, target: Target, module: ModuleType, outputs: Any) -> str:
    """A page in a file; its path."""
    from ..viz import view

    path = _destination(options, target, ".html")
    values = None if options.values is None else _values(Path(options.values), _arguments(outputs))
    made = view(outputs, path, values, **_given(_choices(options, outputs, module)))
    if options.open and not _opened(made):
        print(f"symgraph view: no browser could be started; open {made}", file=sys.stderr)
    return str(made)


def _opened(page: Path) -> bool:
    import webbrowser

    return webbrowser.open(page.resolve().as_uri())


def source(options: Options, target: Target, module: ModuleType, outputs: Any) -> str:
    """The generated source; the path of the file, if it goes into one."""
    text = _compiled(options, module, outputs).source
    if options.output in (None, "-"):
        return text
    path = _destination(options, target, ".py")
    own = getattr(module, "__file__", None)
    if own and path.exists() and os.path.exists(own) and os.path.samefile(own, path):
        raise Refused(f"{str(path)!r} is the file that the model is written in; write the source into another")
    if path.exists() and not path.is_file():  # a device, a pipe
        path.write_text(text, encoding="utf-8")
    else:
        from ..viz.render import write

        write(path, text.encode())
    return str(path)


def explain(options: Options, target: Target, module: ModuleType, outputs: Any) -> str:
    """The report."""
    from ..explanation import explain

    if isinstance(outputs, Function) and outputs.program is None:
        raise Refused(f"{outputs.name} {LOADED}; name the function where it is compiled")
    if options.node is None:
        return explain(outputs, rewrites=not options.no_rewrites)
    within = {"within": outputs} if "within" in inspect.signature(explain).parameters else {}
    nodes = nodes_called(options.node, outputs, module)
    return "\n\n".join(explain(node, rewrites=not options.no_rewrites, **within) for node in nodes)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given; the others keep the defaults of the function."""
    return {name: value for name, value in options.items() if value is not None}


def _destination(options: Options, target: Target, suffix: str) -> Path:
    """The file that is written: the one asked for, or one called as what is drawn."""
    own = f"{target.stem}{suffix}"
    if options.output is None:
        return Path(own)
    path = Path(options.output)
    return path / own if path.is_dir() else path


# Compiled ------------------------------------------------------------------------------------------------------------


def _arguments(outputs: Any) -> dict[str, Tensor]:
    """The inputs by the names that they have as arguments."""
    if isinstance(outputs, Function):
        assert outputs.program is not None
        return {a.name: x for a, x in zip(outputs.arguments, outputs.program.inputs, strict=True)}
    return symbols_by_name(roots_of(outputs))


def _compiled(options: Options, module: ModuleType, outputs: Any) -> Function:
    """The function whose source is asked for. Tensors are a function of all their symbols, called as the file is."""
    comments = not options.no_comments
    if not isinstance(outputs, Function):
        inputs, style = _arguments(outputs), options.style or "fast"
        return function(inputs, outputs, name=module.__name__.rpartition(".")[2], style=style, comments=comments)
    optimize, style = (outputs.passes.get(k, default) for k, default in (("optimize", True), ("style", "fast")))
    if comments and options.style in (None, style if outputs.program else None):
        return outputs
    if (program := outputs.program) is None:
        raise Refused(f"{outputs.name} {LOADED}; its source is what it is, without --style and --no-comments")
    written = outputs.written
    return function(
        _arguments(outputs),
        tree_map(lambda i: written[i], program.tree),
        {p: new for (p, _), new in zip(program.updates, written[len(program.outputs) :], strict=True)},  # type: ignore[misc]
        name=outputs.name,
        style=options.style or style,
        optimize=optimize,
        comments=comments and program.comments,
        threads=program.threads,
        tile=program.tile,
    )


# Values --------------------------------------------------------------------------------------------------------------


def _values(path: Path, arguments: dict[str, Tensor]) -> dict[Tensor, Any]:
    """`{symbol: value}` from a file of arrays or of JSON with the names of the arguments."""
    if path.suffix.lower() not in (".npz", ".json"):
        raise Refused(f"{str(path)!r}: values are read from .npz (numpy.savez) or .json")
    try:
        found = _arrays(path) if path.suffix.lower() == ".npz" else _json(path)
    except OSError as error:
        raise Refused(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    known = ", ".join(map(repr, arguments)) or "none"
    for what, names in {
        "does not name": arguments.keys() - found,
        "names the unknown": found.keys() - arguments,
    }.items():
        if names:
            raise Refused(f"{str(path)!r} {what} {', '.join(map(repr, sorted(names)))}; the symbols are {known}")
    return {x: found[name] for name, x in arguments.items()}


def _arrays(path: Path) -> dict[str, Any]:
    import zipfile

    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                raise ValueError("it holds one array without a name")
            return {name: found[name] for name in found.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(f"{str(path)!r} is no file of plain arrays by name (numpy.savez): {error}") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Refused(f"{str(path)!r} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused(f'{str(path)!r} must be an object of values by name, as in {{"x": [1.0, 2.0]}}')
    return found
