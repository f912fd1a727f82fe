"""A user's file is run as `python file.py` runs it, but for its name: `if __name__ == "__main__":` is not entered.

While a command works, the file's folder (for a dotted name: the current folder) stands first on `sys.path`, and the module is
in `sys.modules` under its own stem. What goes wrong in the user's code is shown as Python shows it, from the first line that
is the user's.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from .target import Refused, Target, did_you_mean

NOTEBOOK = "is a notebook; turn it into a Python file with: jupyter nbconvert --to script"


class Failed(Exception):
    """The user's code raised an error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def show(self) -> None:
        """The traceback, as Python would show it."""
        tail = _users(self.error.__traceback__)
        sys.excepthook(type(self.error), self.error.with_traceback(tail), tail)


def attempt(what: Callable[..., Any], *args: Any) -> Any:
    """`what(*args)`, which runs the user's code.

    Raises `Failed` for an error in it. `SystemExit` and `KeyboardInterrupt` mean what they mean to Python.
    """
    try:
        return what(*args)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Failed(error) from None


@contextlib.contextmanager
def loaded(target: Target) -> Iterator[ModuleType]:
    """The module of a target, run. Afterwards `sys` is as it was.

    Raises `Refused` for a file or module that does not exist, and `Failed` for an error in it.
    """
    path = target.path
    kept_path, kept_argv = sys.path[:], sys.argv[:]
    try:
        if path is None:
            sys.path.insert(0, os.getcwd())
            sys.argv[:] = [target.place]
            yield _imported(target.place)
        else:
            text = _read(path)
            sys.path.insert(0, str(path.resolve().parent))
            sys.argv[:] = [target.place]
            with _registered(path) as module:
                attempt(_execute, text, module)
                yield module
    finally:
        sys.path[:], sys.argv[:] = kept_path, kept_argv


def _read(path: Path) -> bytes:
    """The text of the file, in the encoding that it says it has."""
    if path.is_dir():
        raise Refused(f"{str(path)!r} is a folder; name a Python file in it")
    if not path.exists():
        try:
            near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.py")])
        except OSError:
            near = ""
        raise Refused(f"there is no file {str(path)!r}{near}")
    if path.suffix == ".ipynb":
        raise Refused(f"{str(path)!r} {NOTEBOOK} {path.name}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{str(path)!r} cannot be read: {error.strerror or error}") from None


@contextlib.contextmanager
def _registered(path: Path) -> Iterator[ModuleType]:
    """A module for a file, known to Python under the file's stem while the command works."""
    name = path.stem.replace(".", "_")
    while name in sys.modules:  # the file is called as one that is in use
        name += "_"
    file = os.path.abspath(path)
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, file), origin=file)
    assert spec is not None
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        yield module
    finally:
        if sys.modules.get(name) is module:
            del sys.modules[name]


def _execute(text: bytes, module: ModuleType) -> None:
    """Run the text, and leave no compiled file behind."""
    exec(compile(text, str(module.__file__), "exec", dont_inherit=True), module.__dict__)


def _imported(name: str) -> ModuleType:
    """The module with a dotted name."""
    try:
        module: ModuleType = attempt(importlib.import_module, name)
    except Failed as failure:
        error = failure.error
        missing = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")
        if missing and _users(error.__traceback__) is None:
            beside = Path(f"{name}.py").is_file() or Path(name).is_dir()
            cure = did_you_mean(name, [p.stem for p in Path().glob("*.py")]) if not beside else ""
            raise Refused(f"there is no module {name!r} here{cure}; write FILE.py:NAME for a file") from None
        raise
    if getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
        raise Refused(f"{name!r} is a folder; name a Python file in it")
    return module


def from_file(error: BaseException, module: ModuleType) -> TracebackType | None:
    """The traceback from the first frame in the file of a module; None where the error has nothing to do with it."""
    file = os.path.abspath(getattr(module, "__file__", None) or "?")
    tail = error.__traceback__
    while tail is not None and os.path.abspath(tail.tb_frame.f_code.co_filename) != file:
        tail = tail.tb_next
    return tail


_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _users(tail: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame that is the user's; None where there is none."""
    while tail is not None:
        file = tail.tb_frame.f_code.co_filename
        if not file.startswith(("<frozen importlib", _HERE)) and os.path.abspath(file) != importlib.__file__:
            return tail
        tail = tail.tb_next
    return None
