"""A program as an expert writes it when it must be fast: every array step writes into memory that is there already.

    np.dot(X, W1, out=hidden)
    hidden += b1
    np.maximum(hidden, 0, out=hidden)

A step writes over an operand that nobody reads afterwards, else into a buffer of the workspace, which is kept from call
to call; results that the caller gets are the only arrays made. Groups of steps that work row by row become *kernels*:
functions that `blockwise` runs on blocks of rows, so that their temporaries stay in the cache. New values of parameters
are written into the parameters' own arrays after everything else.

`places` says where each value lies; here are the order of things and the loops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from symgraph.core import Constant, Tensor
from symgraph.dims import code as size_code
from symgraph.dims import prod, same, same_shape
from symgraph.ops import code
from symgraph.ops.base import Elementwise, Primitive
from symgraph.ops.code import Code
from symgraph.ops.creation import DimValue
from symgraph.ops.elementwise import Cast, Where
from symgraph.ops.shape import BroadcastTo

from .fuse import Unit, fuse, is_final
from .inplace import is_virtual
from .memory import Storage, nominal_bytes
from .pieces import Pieces
from .places import Kernel
from .plain import Plain
from .program import Program
from .source import Source
from .support import NAMES, support
from .text import wrapped

LARGE = 1 << 17
"""Arrays of fewer elements are computed without a loop over blocks: the second level of the cache holds a few of them."""

TILE = 1 << 19
"""The bytes of one array in a block, where the second level of the cache has 1 MiB."""

MANY = 3
"""Steps on vectors of unknown length that make a loop worth its line; on rows of matrices, twice as many."""


class Fast(Pieces):
    """The state of one emission in the fast style."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        taken = NAMES | {f"{program.name}_buffers"}
        self.shared.names.taken |= taken
        self.names.taken |= taken
        self.registers: list[tuple[Storage, Kernel, str]] = []
        self.kernels: list[str] = []
        self.kernel_lines: list[list[tuple[str, Tensor | None]]] = []
        self.outer: tuple[Any, ...] = ()
        """Code and lines of the function, while a loop is being written."""

    def _helper(self, program: Program) -> str:
        return Plain(program, shared=self.shared).emit().function.split("\n\n\n")[-1]

    def _numpy(self, op: Primitive, xs: list[Code]) -> Code:
        return op.fast(*xs) or op.numpy(*xs)

    def _steps(self) -> None:
        units = self._units()
        self.last = self._lifetimes(units)
        settled = False
        terms = frozenset(self.added.values())
        for self.at, unit in enumerate(units):
            if not settled and any(node in self.late for node in unit.nodes):
                self._settle(units[self.at :])
                settled = True
            if unit.size is not None:
                self._loop(unit)
            elif unit.nodes[0] not in self.code and unit.nodes[0] not in terms:
                self._step(unit.nodes[0])
        self.at = len(units)

    def _units(self) -> list[Unit]:
        alone = {*self.added, *self.added.values(), *self.pieces}
        return fuse(self.plan, self.late, self.after, alone, self._is_worth_a_loop)

    def _is_worth_a_loop(self, group: Sequence[Tensor]) -> bool:
        """Whether there is enough to do: else each step is a statement of its own."""
        steps = [n for n in group if not is_virtual(n)]
        if len(steps) < 2:
            return False
        widest = max(steps, key=nominal_bytes)
        x = widest.inputs[0] if is_final(widest) else widest
        count, inner = prod(x.shape), prod(x.shape[1:])
        if isinstance(count, int):
            return count > LARGE
        return len(steps) >= (MANY if same(inner, 1) else 2 * MANY)

    def _settle(self, rest: list[Unit]) -> None:
        """Before parameters change, give names to whatever is still to be computed from their old values."""
        for node in self.program.outputs:
            if node not in self.late and not isinstance(node.op, Constant):
                self._strong(node)
        news = [new for _, new in self.program.updates if new not in self.finals]
        pending = [x for unit in rest for node in unit.nodes for x in node.inputs] + news + list(self.program.outputs)
        needed: set[Tensor] = set()
        while pending:
            x = pending.pop()
            if x not in needed:
                needed.add(x)
                pending += () if x in self.code else x.inputs
        for node, text in list(self.inlined.items()):
            if node in needed and not text.literal:
                self._named_operand(node, text)

    def _loop(self, unit: Unit) -> None:
        """A group of steps as a function over blocks of rows, and the statement that runs it."""
        assert unit.size is not None
        name = self.names.take(f"{self.program.name}_block{len(self.kernels) + 1}")
        self.shared.names.taken.add(name)
        last: dict[Tensor, int] = {}
        for position, node in enumerate(unit.nodes):
            last.setdefault(node, position)
            for x in node.inputs:
                for root in self.keeps[x]:
                    last[root] = position
        kernel = Kernel(name, unit.size, frozenset(unit.nodes), last, self._becoming(unit, last))
        finals = [n for n in unit.nodes if is_final(n) and self.last[n] >= self.at]
        with self._inside(kernel):
            for kernel.at, node in enumerate(unit.nodes):
                if node not in self.code:
                    self._step(node)
            parts = [str(self._strong(n)) for n in finals]
        for storage in [self.storage_of[n] for n in unit.nodes if n in self.storage_of]:
            if not storage.register and storage.opening < 0:
                storage.opening = len(self.body_lines)
                self.body_lines.append(("", None))
        self._call(kernel, unit, finals, parts)
        for n in unit.nodes:
            if n in kernel.code and n not in kernel.inlined and self.last[n] > self.at and not is_final(n):
                made = self.storage_of.get(n)
                if made is not None and not made.register:
                    self.code[n] = Code(made.name, aval=n.aval)
                    self._alias_outside(n, made)

    def _becoming(self, unit: Unit, last: dict[Tensor, int]) -> dict[Tensor, Tensor]:
        """The temporaries that are read last by the step that makes a new value of a parameter in its own array."""
        found: dict[Tensor, Tensor] = {}
        members = set(unit.nodes)
        for position, node in enumerate(unit.nodes):
            p = self.finals.get(node)
            if p is None or not node.op.inplace or any(p in self.keeps[x] for x in node.inputs):  # type: ignore[attr-defined]
                continue
            for x in node.inputs:
                alike = x.dtype == p.dtype and same_shape(x.shape, p.shape) and sum(z is x for z in node.inputs) == 1
                if alike and x in members and last[x] == position:
                    found[x] = p
        return found

    def _alias_outside(self, node: Tensor, storage: Storage) -> None:
        name = self.reserved.get(node)
        if name is not None and storage.called != name:
            self.body_lines.append((f"{name} = {storage.name}", node))
            self.code[node] = Code(name, aval=node.aval)

    def _call(self, kernel: Kernel, unit: Unit, finals: list[Tensor], parts: list[str]) -> None:
        """The function itself, and the line that runs it."""
        cut = [v for (_, row), v in kernel.arguments.items() if row]
        whole = [v for (_, row), v in kernel.arguments.items() if not row]
        words = set(re.findall(r"\w+", "\n".join([*[line for line, _ in kernel.lines], *parts])))
        whole = [(inside, outside) for inside, outside in whole if inside in words]  # not what a cast has replaced
        taken = {inside for inside, _ in cut}
        cut += [v for v in kernel.written if v[0] not in taken]
        names = [inside for inside, _ in cut] + [r.name for r in kernel.registers] + [inside for inside, _ in whole]
        rows = self._rows(kernel, unit, len(cut))
        body = list(kernel.lines)
        if finals:
            body.append((f"return {_tuple(parts) if len(parts) == 1 else ', '.join(parts)}", None))
        self.kernels.append(f"def {kernel.name}({', '.join(names)}):")
        self.kernel_lines.append(body)
        for register in kernel.registers:
            self.registers.append((register, kernel, rows))
        arguments = [kernel.name, str(code.size(kernel.size)), rows, _tuple([outside for _, outside in cut])]
        arguments.append(_tuple([r.name for r in kernel.registers]))
        joins = [n.op.combine for n in finals]  # type: ignore[attr-defined]
        if whole or joins:
            arguments.append(_tuple([outside for _, outside in whole]))
        if joins:
            arguments.append(_tuple(joins))
        targets = [self.reserved.get(n) or self._temporary(n) for n in finals]
        for n, target in zip(finals, targets, strict=True):
            self.code[n] = Code(target, aval=n.aval)
        assigned = f"{_tuple(targets) if len(targets) == 1 else ', '.join(targets)} = " if targets else ""
        call = "\n".join(wrapped(f"{assigned}blockwise({', '.join(arguments)})"))
        self.body_lines.append((call, unit.nodes[-1]))

    def _rows(self, kernel: Kernel, unit: Unit, streams: int) -> str:
        """How many rows a block has: as many as let everything it touches stay in the cache."""
        steps = [n for n in unit.nodes if not is_virtual(n)]
        widest = max([n.inputs[0] if is_final(n) else n for n in steps], key=nominal_bytes)
        inner = prod(widest.shape[1:])
        tile = self.program.tile or TILE // max(n.dtype.itemsize for n in steps)
        if isinstance(inner, int):
            return str(max(1, tile // max(inner, 1)))
        return f"max(1, {tile} // max(1, {size_code(inner, self.dims)}))"

    @contextmanager
    def _inside(self, kernel: Kernel) -> Iterator[None]:
        self.outer = self.code, self.inlined, self.body_lines
        self.kernel, self.code, self.inlined, self.body_lines = kernel, kernel.code, kernel.inlined, kernel.lines
        try:
            yield
        finally:
            self.kernel = None
            self.code, self.inlined, self.body_lines = self.outer

    def _outside(self, x: Tensor) -> Code:
        """The code of a value in the main function."""
        if self.kernel is None:
            return super()._strong(x)
        kernel = self.kernel
        self.kernel = None
        self.code, self.inlined, self.body_lines = self.outer
        try:
            return super()._strong(x)
        finally:
            self.outer = self.code, self.inlined, self.body_lines
            self.kernel, self.code, self.inlined, self.body_lines = kernel, kernel.code, kernel.inlined, kernel.lines

    def _strong(self, x: Tensor) -> Code:
        kernel = self.kernel
        if kernel is None or x in self.code or x in kernel.members or (isinstance(x.op, Constant) and x.ndim == 0):
            return super()._strong(x)
        if isinstance(x.op, Cast | BroadcastTo) and x.inputs[0] in kernel.members:
            return super()._strong(x)
        row = self._reads_rows(x, kernel)
        found = kernel.arguments.get((x, row))
        if found is None:
            text = self._outside(x)
            if (text.literal and not isinstance(x.op, DimValue)) or (
                not row and (isinstance(x.op, Constant) or any(x is p for p in self.parameters.values()))
            ):
                return text
            inside = str(text)
            if not text.isidentifier() or any(inside == name for name, _ in kernel.arguments.values()):
                inside = self.names.number("x")
            found = kernel.arguments[x, row] = inside, str(text)
        return Code(found[0], aval=x.aval)

    def _reads_rows(self, x: Tensor, kernel: Kernel) -> bool:
        """Whether the step being written needs of `x` the rows of its block."""
        if not x.ndim or not same(x.shape[0], kernel.size):
            return False
        reader = self.reader
        aligned = reader is not None and isinstance(reader.op, Elementwise | Where | Cast)
        return not aligned or x.ndim == reader.ndim  # type: ignore[union-attr]

    def _contexts(self) -> list[str]:
        names = [s.name for s in self._buffers()]
        if not names:
            return super()._contexts()
        sizes = ", ".join(self.dims.values())
        return [*super()._contexts(), f"workspace({sizes}) as {_tuple(names)}"]

    def _assemble(self, arguments: list[str]) -> Source:
        source = super()._assemble(arguments)
        lines = source.function.split("\n")
        found = dict(source.lines)
        for head, body in zip(self.kernels, self.kernel_lines, strict=True):
            lines += ["", "", *wrapped(head)]
            found |= self._place(lines, body, "    ")
        if self._buffers():
            lines += ["", "", *self._buffer_table()]
        text = self._renamed("\n".join(lines))
        text += support(bool(self._buffers()), bool(self.kernels), self.program)
        return Source(
            source.name, text, source.preamble, source.constants, source.arguments, source.parameters, source.dims, found
        )  # fmt: skip

    def _buffer_table(self) -> list[str]:
        """The function that says what the workspace holds."""
        rows = {id(register): (kernel, rows) for register, kernel, rows in self.registers}
        lines = [
            f"def {self.program.name}_buffers({', '.join(self.dims.values())}):",
            '    """The shape, dtype, first and last step of each buffer."""',
            "    return [",
        ]
        for s in self._buffers():
            last = min(s.last, self.at)
            if id(s) in rows:
                kernel, count = rows[id(s)]
                inner = "".join(f", {code.size(n)}" for n in s.shape[1:])
                shape = f"(*blocks({code.size(kernel.size)}, {count}){inner or ','})"
            else:
                shape = code.shape(s.shape)
            lines.append(f"        ({shape}, {code.dtype(s.dtype)}, {s.first}, {last}),  # {s.name}")
        return [*lines, "    ]"]


def _tuple(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
