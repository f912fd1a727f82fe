"""A compiled function as a module of its own: `step.py`, which imports NumPy and no symgraph, and `step.npz` beside it.

The module reads from top to bottom: arrays loaded from the `.npz` as globals, the generated function just as `.source`
shows it, then the check of its arguments, and `save` for the parameters. It is text made from text: every name in it is
an identifier that was given out once, and what the user wrote appears only inside quoted strings.
"""

from __future__ import annotations

import keyword
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import numpy as np

from symgraph.core import format_shape
from symgraph.dims import Dim, Size, Variable
from symgraph.dims import code as size_code
from symgraph.errors import CompileError
from symgraph.ops.code import dtype as dtype_code

from . import shield
from .names import Names, identifier
from .program import Check
from .runtime import Argument
from .support import body
from .writes import first_write

Arrays = Mapping[str, np.ndarray[Any, Any]]

_Part = str | tuple[str]
"""A part of a message: literal text, or an expression in a tuple of one."""

_NOT_KEYS = frozenset(["file", "allow_pickle"])
"""Keywords of `np.savez`, which cannot be the names of arrays in it."""


def export(
    path: str | os.PathLike[str],
    source_text: str,
    name: str,
    arguments: Sequence[Argument],
    checks: Sequence[Check],
    constants: Arrays,
    arrays: Arrays,
    updated: Collection[str] = (),
) -> None:
    """Write the function `name` of `source_text` as the module `path`, with its constants and parameters (`arrays`).

    The function writes the parameters called `updated`: one call at a time, and all of them or none.

    Both files are complete under temporary names before either takes its place. Without arrays there is no `.npz`.

    Raises `CompileError` for a path that does not end in `.py` or would hide NumPy or SciPy, `FileNotFoundError` for a
    missing directory and `IsADirectoryError` where a directory has that name; then nothing is written.
    """
    target = _target(path)
    text = module_text(source_text, name, arguments, checks, constants, arrays, updated)
    files = {target: text.encode()}
    stored = {**constants, **arrays}
    keys = _keys(list(stored))
    temporaries: dict[Path, Path] = {}
    token = secrets.token_hex(4)
    try:
        if stored:
            beside = target.with_suffix(".npz")
            temporaries[beside] = beside.with_name(f".{beside.name}.{token}")
            with open(temporaries[beside], "xb") as file:
                np.savez(file, allow_pickle=False, **{keys[n]: a for n, a in stored.items()})
        for final, content in files.items():
            temporaries[final] = final.with_name(f".{final.name}.{token}")
            with open(temporaries[final], "xb") as file:
                file.write(content)
        for final, temporary in temporaries.items():
            os.replace(temporary, final)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if target.suffix != ".py":
        raise CompileError(f"export writes a Python module, so the path must end in .py: {str(target)!r}")
    if not target.stem.isidentifier() or keyword.iskeyword(target.stem):
        cure = identifier(target.stem, "module")
        raise CompileError(f"a module named {target.name!r} cannot be imported; choose a name such as {cure}.py")
    if target.stem in ("numpy", "scipy", "os", "functools", "math"):
        raise CompileError(f"a module named {target.name} would hide the {target.stem} it imports; choose another name")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"export to {str(target)!r}: no directory {str(target.parent)!r}; make it first")
    if target.is_dir():
        raise IsADirectoryError(f"export to {str(target)!r}: that is a directory")
    return target


def module_text(
    source_text: str,
    name: str,
    arguments: Sequence[Argument],
    checks: Sequence[Check],
    constants: Arrays,
    parameters: Arrays,
    updated: Collection[str] = (),
) -> str:
    """The text of the exported module."""
    return _Module(source_text, name, arguments, checks, constants, parameters, updated).text()


class _Module:
    """The parts of an exported module. Its own helpers take names that the generated function leaves free."""

    def __init__(
        self,
        source: str,
        name: str,
        arguments: Sequence[Argument],
        checks: Sequence[Check],
        constants: Arrays,
        parameters: Arrays,
        updated: Collection[str],
    ) -> None:
        self.name, self.arguments, self.checks = name, arguments, checks
        self.parameters, self.updated = parameters, updated
        self.writes = first_write(source, name, updated) if updated else None
        self.stored = [*constants, *parameters]
        self.keys = _keys(self.stored)
        self.standard, self.imports, self.body = _split(source)
        taken = {*re.findall(r"\w+", source), *self.stored, *[a.identifier for a in arguments]}
        names = Names(taken)
        self.os = "os" if "import os" in self.standard else names.take("os")
        self.wraps = names.take("wraps")
        self.saved, self.arrays, self.save = names.take("PARAMETERS"), names.take("arrays"), names.take("save")
        self.checked, self.as_array = names.take("checked"), names.take("as_array")
        self.function, self.call = names.take("function"), names.take("call")
        self.lock, self.threading = names.take("lock"), names.take("threading")
        self.shield, self.starts = names.take("Shield"), names.take("starts")
        self.fit, self.signal = names.take("check_parameters"), "_signal"
        self.path, self.file, self.temporary = names.take("path"), names.take("file"), names.take("temporary")
        self.dims = Names(
            {*self.stored, *[a.identifier for a in arguments], self.as_array, self.function, "min", "max"}
        )

    def text(self) -> str:
        """The module: two blank lines around each definition, as formatters have it."""
        blocks = [self._head(), self.body, self._guard()]
        if self.parameters:
            blocks.append(self._save())
        return "\n\n\n".join(block.strip("\n") for block in blocks if block) + "\n"

    def _head(self) -> str:
        needs = "NumPy and SciPy" if "scipy" in self.imports else "NumPy"
        lines = [f'"""`{self.name}`, generated by symgraph. It needs {needs} and nothing else."""', ""]
        standard = list(self.standard)
        if self.stored:
            if "import os" not in standard:
                standard.append("import os" if self.os == "os" else f"import os as {self.os}")
        standard += [f"import {m}" if m == n else f"import {m} as {n}" for m, n in self._for_updates()]
        standard.sort()
        if self.arguments or self.parameters:
            standard.append("from functools import wraps" + ("" if self.wraps == "wraps" else f" as {self.wraps}"))
        lines += [*standard, *([""] if standard else []), self.imports]
        if self.stored:
            lines += ["", f'{self.saved} = {self.os}.path.splitext({self.os}.path.abspath(__file__))[0] + ".npz"', ""]
            lines.append(f"with np.load({self.saved}) as {self.arrays}:")
            lines += [f"    {n} = {self.arrays}[{quoted(self.keys[n])}]" for n in self.stored]
            lines += ["", f"{self.lock} = {self.threading}.RLock()"] if self.updated else []
        return "\n".join(lines)

    def _for_updates(self) -> list[tuple[str, str]]:
        """The modules that updates need, and what they are called here."""
        if not self.updated:
            return []
        return [*([("_signal", self.signal)] if self._is_shielded() else []), ("threading", self.threading)]

    def _is_shielded(self) -> bool:
        """Whether an interrupt could come between two updates."""
        return self.writes is not None and not self.writes[1]

    def _run(self) -> list[str]:
        """The call of the function: where it updates parameters, alone, on arrays that fit, and past interrupts."""
        ids = ", ".join(a.identifier for a in self.arguments)
        lines = [f"return {self.function}({ids})"]
        if self._is_shielded():
            lines = [f"with {self.shield}({self.starts}):", f"    {lines[0]}"]
        if self.parameters:
            lines = [f"{self.fit}()", *lines]
        return [f"with {self.lock}:", *[f"    {line}" for line in lines]] if self.updated else lines

    def _shield(self) -> str:
        """What holds an interrupt back while parameters are written, and from where on they are."""
        assert self.writes is not None
        text = body(shield).replace("class Shield:", f"class {self.shield}:").replace("_signal.", f"{self.signal}.")
        more = ", Workspace.__exit__.__code__: 0" if "class Workspace:" in self.body else ""
        code = f"{self.name}.__code__"
        return (
            f"{text}\n\n\ndef {self.starts}(code={code}):\n"
            f'    """The lines from which parameters are written."""\n'
            f"    return {{code: code.co_firstlineno + {self.writes[0]}{more}}}"
        )

    def _fit(self) -> str:
        """What makes sure, before a call, that the parameters are still what they were."""
        local = Names(self.stored)
        name, array, dtype, shape, updated = (local.take(n) for n in ("name", "array", "dtype", "shape", "updated"))
        rows = "".join(
            f"        ({quoted(n)}, {n}, {dtype_code(a.dtype)}, {a.shape}, {n in self.updated}),\n"
            for n, a in self.parameters.items()
        )
        return (
            dedent(f'''
            def {self.fit}():
                """Each parameter must be an array of its dtype and shape, and writeable if it is updated."""
                for {name}, {array}, {dtype}, {shape}, {updated} in [
            @rows@
                ]:
                    if not isinstance({array}, np.ndarray) or {array}.dtype != {dtype} or {array}.shape != {shape}:
                        raise ValueError(
                            f"the parameter {{{name}}} must be an array of dtype {{np.dtype({dtype})}} and shape {{{shape}}}"
                        )
                    if {updated} and not {array}.flags.writeable:
                        raise ValueError(f"the parameter {{{name}}} is to be updated, but its array is read-only")
            ''')
            .strip("\n")
            .replace("@rows@", rows.rstrip("\n"))
        )

    def _guard(self) -> str:
        """`name` behind a check of its arguments: dtypes and ranks first, then sizes, fixed and named."""
        if not self.arguments and not self.parameters:
            return ""
        ids = [a.identifier for a in self.arguments]
        lines = [line for a in self.arguments for line in self._checked(a)]
        lines += self._size_checks()
        body = indent("\n".join([*lines, *self._run()]), " " * 8)
        before = f"{self._shield()}\n\n\n" if self._is_shielded() else ""
        before += f"{self._fit()}\n\n\n" if self.parameters else ""
        return before + (
            dedent(f'''
            def {self.as_array}(name, value, dtype, ndim):
                """`value` as an array of `dtype` with `ndim` axes, cast only where no value can be lost."""
                array, dtype = np.asarray(value), np.dtype(dtype)
                if hasattr(value, "filled") and np.ma.is_masked(value):
                    raise TypeError(f"{{name}} has masked elements, and the mask would be lost")
                kinds = {{"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}}
                if array.dtype.kind not in kinds:
                    raise TypeError(f"{{name}} must hold {{dtype}} numbers, not {{array.dtype}}")
                if not np.can_cast(array.dtype, dtype, "safe"):
                    literal = type(value) in (bool, int, float, complex, list, tuple)
                    if not literal or (array.size and kinds[array.dtype.kind] > kinds[dtype.kind]):
                        raise TypeError(f"{{name}} is {{array.dtype}}; as {{dtype}} it could lose values")
                    if dtype.kind in "iu" and np.any(array.astype(dtype) != array):
                        raise TypeError(f"{{name}} holds a number out of the range of {{dtype}}")
                if array.ndim != ndim:
                    raise ValueError(f"{{name}} has shape {{array.shape}}, but {{ndim}} axes are expected")
                return array.astype(dtype, copy=False)


            def {self.checked}({self.function}):
                """`{self.name}` behind a check of its arguments: their dtypes, axes, and the sizes that must agree."""

                @{self.wraps}({self.function})
                def {self.call}({", ".join(ids)}):
            ''').lstrip("\n")
            + body
            + f"\n\n    return {self.call}\n\n\n{self.name} = {self.checked}({self.name})"
        )

    def _checked(self, a: Argument) -> list[str]:
        """An argument as an array of its dtype and rank, or as the Python float that it mostly is already."""
        x = a.identifier
        array = f"{self.as_array}({quoted(a.name)}, {x}, {dtype_code(a.dtype)}, ndim={len(a.shape)})"
        if not a.number:
            return [f"{x} = {array}"]
        return [f"if type({x}) is not float:", f"    {x} = float({x} if isinstance({x}, float) else {array})"]

    def _size_checks(self) -> list[str]:
        """Each dimension read from the axis that has it first, then every other axis compared."""
        names: dict[Variable, str] = {}
        owners: dict[Variable, Argument] = {}
        lines: list[str] = []
        axes = [(a, axis, size) for a in self.arguments for axis, size in enumerate(a.shape)]
        bound = set()
        for a, axis, size in axes:
            if isinstance(size, Dim) and size.is_variable and size.key not in names:
                names[size.key] = self.dims.take(size.key.name, "n")
                owners[size.key] = a
                bound.add((a.identifier, axis))
        needed = {v for a, axis, s in axes if (a.identifier, axis) not in bound for v in _variables(s)}
        needed |= {v for c in self.checks for s in (c.left, c.right) for v in _variables(s)}
        for a, axis, size in axes:
            if (a.identifier, axis) in bound and isinstance(size, Dim) and size.key in needed:
                lines.append(f"{names[size.key]} = {a.identifier}.shape[{axis}]")
        for a in self.arguments:
            compared = [axis for axis in range(len(a.shape)) if (a.identifier, axis) not in bound]
            if not compared:
                continue
            whole = len(compared) == len(a.shape)
            test = [f"{a.identifier}.shape[{i}] != {size_code(a.shape[i], names, atomic=True)}" for i in compared]
            if whole:
                wanted = ", ".join(size_code(s, names) for s in a.shape)
                test = [f"{a.identifier}.shape != ({wanted}{',' if len(a.shape) == 1 else ''})"]
            message: list[_Part] = [
                f"{a.name} has shape ",
                (f"{a.identifier}.shape",),
                f" but {format_shape(a.shape)} is expected",
            ]
            for v in dict.fromkeys(v for i in compared for v in _variables(a.shape[i]) if owners[v] is not a):
                message += [f" ({owners[v].name} has {v.name}=", (names[v],), ")"]
            lines += _raise_if(" or ".join(test), message)
        for check in self.checks:
            left, right = (size_code(s, names, atomic=True) for s in (check.left, check.right))
            message = [
                *self._owned(check.left, owners, names),
                " but ",
                *self._owned(check.right, owners, names),
                f" ({check.why})",
            ]
            lines += _raise_if(f"{left} != {right}", message)
        return lines

    def _owned(self, size: Size, owners: Mapping[Variable, Argument], names: Mapping[Variable, str]) -> list[_Part]:
        """`x has batch=64`, as far as one argument can be named."""
        if not isinstance(size, Dim):
            return [f"{size} is needed"]
        who = f"{owners[size.key].name} has " if size.is_variable else ""
        return [f"{who}{size}=", (size_code(size, names),)]

    def _save(self) -> str:
        lock = f"with {self.lock}, " if self.updated else "with "
        pairs = [f"{self.keys[n]}={n}" for n in self.stored]
        call = f"np.savez({self.file}, {', '.join(pairs)})"
        if len(call) > 100:
            call = f"np.savez(\n    {self.file},\n" + "".join(f"    {pair},\n" for pair in pairs) + ")"
        return dedent(f'''
            def {self.save}({self.path}={self.saved}):
                """Write the present parameters to `{self.path}`, where this module finds them: all or none."""
                {self.temporary} = f"{{{self.os}.fspath({self.path})}}.{{{self.os}.getpid()}}.tmp"
                try:
                    {lock}open({self.temporary}, "wb") as {self.file}:
                        @call@
                    {self.os}.replace({self.temporary}, {self.path})
                finally:
                    if {self.os}.path.exists({self.temporary}):
                        {self.os}.remove({self.temporary})
            ''').replace("@call@", indent(call, " " * 12).lstrip())


def _split(source: str) -> tuple[list[str], str, str]:
    """The imports at the top, the standard library's apart from the others, and the rest."""
    lines = source.splitlines()
    count = next((i for i, line in enumerate(lines) if line and not line.startswith("import ")), len(lines))
    imports = [line for line in lines[:count] if line]
    standard = [line for line in imports if not line.startswith(("import numpy", "from numpy", "import scipy"))]
    others = [line for line in imports if line not in standard]
    return standard, "\n".join(others), "\n".join(lines[count:]).strip("\n")


def _variables(size: Size) -> tuple[Variable, ...]:
    return size.variables() if isinstance(size, Dim) else ()


def _keys(stored: Sequence[str]) -> dict[str, str]:
    """What each array is called in the `.npz`: by its name, unless that is a keyword of `np.savez`."""
    names = Names([*_NOT_KEYS, *stored])
    return {name: names.take(name) if name in _NOT_KEYS else name for name in stored}


def _raise_if(condition: str, parts: Sequence[_Part]) -> list[str]:
    """`if condition: raise ValueError(f"...")`, with every part of the message in its place."""
    filled = any(isinstance(part, tuple) for part in parts)
    text = "".join(
        "{" + part[0] + "}"
        if isinstance(part, tuple)
        else escaped(part.replace("{", "{{").replace("}", "}}") if filled else part)
        for part in parts
    )
    return [f"if {condition}:", f'    raise ValueError({"f" if filled else ""}"{text}")']


def quoted(text: str) -> str:
    """`text` as a Python string literal.

    >>> print(quoted("x"), quoted('σ"'), quoted("new\\nline"))
    "x" "σ\\"" "new\\nline"
    """
    return f'"{escaped(text)}"'


def escaped(text: str) -> str:
    """`text` as it stands between double quotes."""
    return "".join(
        c if c.isprintable() and c not in '"\\' else f"\\{c}" if c in '"\\' else c.encode("unicode_escape").decode()
        for c in text
    )
