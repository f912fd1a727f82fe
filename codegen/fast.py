"""A program as an expert writes it when it must be fast: every array step writes into memory that is there already.

    np.dot(X, W1, out=hidden)
    hidden += b1
    np.maximum(hidden, 0, out=hidden)

A step writes over an operand that nobody reads afterwards, else into a buffer of the workspace, which is kept from call
to call; results that the caller gets are the only arrays made. Groups of steps that work row by row become *kernels*:
functions that `blockwise` runs on blocks of rows, so that their temporaries stay in the cache. New values of parameters
are written into the parameters' own arrays after everything else.

Where a value lies is settled only when all steps are written: until then a storage goes by the token `s__7`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from symgraph.core import Constant, Item, Leaf, ShapedArray, Tensor
from symgraph.dims import Shape, Size, digest, prod, same, same_shape
from symgraph.dims import code as size_code
from symgraph.dtypes import FLOAT64, DType
from symgraph.ops import code
from symgraph.ops.base import Elementwise, Primitive
from symgraph.ops.code import Code
from symgraph.ops.creation import DimValue
from symgraph.ops.elementwise import Cast, Where
from symgraph.ops.late import F
from symgraph.ops.shape import BroadcastTo

from .fuse import Unit, fuse, is_final, row_operands
from .memory import Storage, nominal_bytes
from .plain import Plain
from .program import Program
from .schedule import Schedule, low_memory
from .source import Source
from .support import NAMES, support
from .text import wrapped

END = 1 << 60
"""The step after the last, until which results are kept."""

LARGE = 1 << 17
"""Arrays of fewer elements are computed without a loop over blocks: the second level of the cache holds a few of them."""

TILE = 1 << 19
"""The bytes of one array in a block, where the second level of the cache has 1 MiB."""

MANY = 3
"""Steps on vectors of unknown length that make a loop worth its line; on rows of matrices, twice as many."""

NOWHERE: frozenset[Tensor] = frozenset()


@dataclass
class Kernel:
    """A function over blocks of rows, while its steps are written."""

    name: str
    size: Size
    members: frozenset[Tensor]
    last: dict[Tensor, int]
    """The position of the last step of the group that reads each value."""
    code: dict[Tensor, Code] = field(default_factory=dict)
    inlined: dict[Tensor, Code] = field(default_factory=dict)
    lines: list[tuple[str, Tensor | None]] = field(default_factory=list)
    arguments: dict[tuple[Tensor, bool], tuple[str, str]] = field(default_factory=dict)
    """For each value from outside, and whether it is cut into blocks: its name inside, and its text outside."""
    written: list[tuple[str, str]] = field(default_factory=list)
    registers: list[Storage] = field(default_factory=list)
    free: dict[tuple[Any, DType], list[Storage]] = field(default_factory=dict)
    at: int = 0


class Fast(Plain):
    """The state of one emission in the fast style."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        taken = NAMES | {f"{program.name}_buffers"}
        self.shared.names.taken |= taken
        self.names.taken |= taken
        self.plan = low_memory(self.plan, [*program.outputs, *[new for _, new in program.updates]])
        self.added = _added_in_place(self.plan)
        self.keeps = _keeps(self.plan.steps, frozenset(self.added.values()))
        self.storages: list[Storage] = []
        self.storage_of: dict[Tensor, Storage] = {}
        self.in_use: list[Storage] = []
        self.swept = 0
        self.free: dict[Any, list[Storage]] = {}
        self.registers: list[tuple[Storage, Kernel, str]] = []
        self.kernels: list[str] = []
        self.kernel_lines: list[list[tuple[str, Tensor | None]]] = []
        self.kernel: Kernel | None = None
        self.outer: tuple[Any, ...] = ()
        self.reader: Tensor | None = None
        self.finals, self.late, self.after = _updates_in_place(program, self.plan.steps, self.keeps, self._writes)
        self.given: dict[Tensor, str] = {}
        """The results that are already bound to names, because updates are written after them."""
        self.at = 0
        self.last: dict[Tensor, int] = {}

    def _helper(self, program: Program) -> str:
        return Plain(program, shared=self.shared).emit().function.split("\n\n\n")[-1]

    def _numpy(self, op: Primitive, xs: list[Code]) -> Code:
        return op.fast(*xs) or op.numpy(*xs)

    def _writes(self, node: Tensor) -> bool:
        """Whether the step can write into an array that is there already."""
        op = node.op
        if not isinstance(op, Primitive) or isinstance(node.aval, tuple) or op.is_view:
            return False
        return op.into("out", *[Code(f"x{i}", aval=x.aval) for i, x in enumerate(node.inputs)]) is not None

    # The order of things

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
        alone = {*self.added, *self.added.values()}
        return fuse(self.plan, self.late, self.after, alone, self._is_worth_a_loop)

    def _is_worth_a_loop(self, group: Sequence[Tensor]) -> bool:
        """Whether there is enough to do: else each step is a statement of its own."""
        steps = [n for n in group if not _is_virtual(n)]
        if len(steps) < 2:
            return False
        widest = max(steps, key=nominal_bytes)
        x = widest.inputs[0] if is_final(widest) else widest
        count, inner = prod(x.shape), prod(x.shape[1:])
        if isinstance(count, int):
            return count > LARGE
        return len(steps) >= (MANY if same(inner, 1) else 2 * MANY)

    def _lifetimes(self, units: list[Unit]) -> dict[Tensor, int]:
        """The last unit that reads each value, through views and casts."""
        last: dict[Tensor, int] = {}
        for at, unit in enumerate(units):
            for node in unit.nodes:
                last.setdefault(node, at)
                for x in node.inputs:
                    for root in self.keeps[x]:
                        last[root] = at
        for node in [*self.program.outputs, *[new for _, new in self.program.updates if new not in self.finals]]:
            for root in self.keeps[node]:
                last[root] = END
        return last

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

    # Where values go

    def _may_inline(self, node: Tensor, text: Code) -> bool:
        if text.literal:
            return True
        view = isinstance(node.op, Primitive) and node.op.is_view
        if not view and (node.ndim or any(_is_array(r) for x in node.inputs for r in self.keeps[x])):
            return False  # what it reads may be overwritten by the time it is used
        return super()._may_inline(node, text)

    def _primitive(self, node: Tensor, op: Primitive) -> None:
        before, self.reader = self.reader, node
        try:
            if self._into(node, op):
                return
            super()._primitive(node, op)
        finally:
            self.reader = before

    def _into(self, node: Tensor, op: Primitive) -> bool:
        """Write the step into memory of its own, if it is an array that may be, and say whether it was."""
        if isinstance(node.aval, tuple) or not node.ndim or op.is_view:
            return False
        if node in self.added and self._add_in_place(node, self.added[node]):
            return True
        if self.kernel is not None and node in self.kernel.members and is_final(node):
            return False
        xs = self._in_user_order(node, self._operands(node, op))
        if op.into("out", *xs) is None or (xs and all(x.literal for x in xs)):
            return False
        storage = self._storage(node, op)
        lines = op.into(storage.name, *xs) or []
        if len(lines) == 1 and isinstance(op, Elementwise):
            lines = [_augmented(op, storage, xs) or lines[0]]
        if self.kernel is None and storage.opening < 0:
            storage.opening = len(self.body_lines)
            storage.made = self._making(op, storage.name, xs, lines)
            if lines == [f"{storage.name}[...] = {storage.made[1]}"]:
                storage.returned = True  # NumPy makes an array anyway: it need not be copied
        name = self._alias(node, storage, lines)
        self.body_lines += [(line, node) for line in lines]
        self.code[node] = Code(name, aval=node.aval)
        return True

    def _add_in_place(self, node: Tensor, term: Tensor) -> bool:
        """Write a sum by adding its sparse term to the memory of the other, if that may be overwritten."""
        (x,) = [x for x in node.inputs if x is not term]
        storage = self.storage_of.get(x)
        if storage is None or storage.members[-1] is not x or not self._may_overwrite(x, node, None):
            return False
        assert isinstance(term.op, Primitive)
        lines = term.op.add_into(storage.name, *self._operands(term, term.op))
        if lines is None:
            return False
        if any(".ravel()" in line or ".reshape(" in line for line in lines):
            storage.made = 0, ""  # these are views of what is contiguous, as an array made by NumPy need not be
        self._extend(storage, node)
        name = self._alias(node, storage, lines)
        self.body_lines += [(line, node) for line in lines]
        self.code[node] = Code(name, aval=node.aval)
        return True

    def _extend(self, storage: Storage, node: Tensor) -> None:
        """Let the memory of an operand hold the result."""
        storage.members.append(node)
        storage.last = max(storage.last, self.last[node])
        storage.returned |= self._is_returned(node)
        self.storage_of[node] = storage
        self._write_blocks(storage, node)

    def _making(self, op: Primitive, name: str, xs: list[Code], lines: list[str]) -> tuple[int, str]:
        """How many of the lines an expression can stand for that makes the array, and that expression."""
        statements = op.statements(name, *xs)
        if statements is None:
            return len(lines), str(self._numpy(op, xs))
        if statements[1:] == lines[1:] and statements[0].startswith(f"{name} = "):
            return 1, statements[0].removeprefix(f"{name} = ")
        return 0, ""

    def _alias(self, node: Tensor, storage: Storage, lines: list[str]) -> str:
        """The name of the value: that of its memory, or its own when the user gave one and the memory has another."""
        name = self.reserved.get(node)
        if name is None:
            return storage.name
        if not storage.called and storage.first >= 0:
            storage.called = name
            return storage.name
        if len(lines) == 1 and lines[0].startswith("np.") and lines[0].endswith(f"out={storage.name})"):
            lines[0] = f"{name} = {lines[0]}"
        else:
            lines.append(f"{name} = {storage.name}")
        return name

    def _storage(self, node: Tensor, op: Primitive) -> Storage:
        """The memory of the result: a parameter's own, that of an operand nobody reads any more, or new."""
        kernel = self.kernel
        if kernel is not None and node in kernel.members and self.last[node] <= self.at and node not in self.finals:
            return self._register(node, op, kernel)
        if node in self.finals:
            made = Storage(node.shape, node.dtype, -1, members=[node], name=str(self._outside(self.finals[node])))
            self._write_blocks(made, node)
            return made
        if op.inplace:
            for x in node.inputs:
                storage = self.storage_of.get(x)
                if storage is None or storage.register or storage.members[-1] is not x:
                    continue
                if not self._may_overwrite(x, node, kernel):
                    continue
                self._extend(storage, node)
                return storage
        found = self._free_storage(node)
        if found is not None:
            found.members.append(node)
            found.last = self.last[node]
            self.in_use.append(found)
        else:
            found = Storage(node.shape, node.dtype, self.at, self.last[node], [node], self._is_returned(node))
            found.name = f"s__{len(self.storages)}"
            self.storages.append(found)
        self.storage_of[node] = found
        self._write_blocks(found, node)
        return found

    def _free_storage(self, node: Tensor) -> Storage | None:
        """Memory of the shape and dtype of a value without a name, whose last value nobody reads any more."""
        if node in self.reserved or self._is_returned(node):
            return None
        for s in self.storages[self.swept :]:
            if s.last < END and not (s.returned or s.register or s.called):
                self.in_use.append(s)
        self.swept = len(self.storages)
        for s in [s for s in self.in_use if s.last < self.at]:
            self.in_use.remove(s)
            self.free.setdefault(_kind(s.shape, s.dtype), []).append(s)
        free = self.free.get(_kind(node.shape, node.dtype))
        return free.pop() if free else None

    def _may_overwrite(self, x: Tensor, node: Tensor, kernel: Kernel | None) -> bool:
        """Whether `node` may lie where its operand `x` does: read here for the last time, by nobody else, and alike."""
        if self.last[x] != self.at or x.dtype != node.dtype or not same_shape(x.shape, node.shape):
            return False
        if kernel is not None and kernel.last.get(x, -1) != kernel.at:
            return False
        return not any(x in self.keeps[z] for z in node.inputs if z is not x)

    def _register(self, node: Tensor, op: Primitive, kernel: Kernel) -> Storage:
        """A temporary of a kernel: over an operand, in one that is free again, or new."""
        key = (node.shape[1:], node.dtype)
        self._release(kernel)
        found = None
        if op.inplace:
            for x in node.inputs:
                storage = self.storage_of.get(x)
                if storage in kernel.registers and storage.members[-1] is x and self._may_overwrite(x, node, kernel):
                    found = storage
                    break
        if found is None and kernel.free.get(key):
            found = kernel.free[key].pop()
        if found is None:
            found = Storage(node.shape, node.dtype, self.at, self.at, name=f"s__{len(self.storages)}", register=True)
            self.storages.append(found)
            kernel.registers.append(found)
        found.members.append(node)
        self.storage_of[node] = found
        return found

    def _release(self, kernel: Kernel) -> None:
        """Registers whose value was read for the last time before this step are free."""
        for storage in kernel.registers:
            key = (storage.shape[1:], storage.dtype)
            if kernel.last.get(storage.members[-1], -1) < kernel.at and storage not in kernel.free.get(key, []):
                kernel.free.setdefault(key, []).append(storage)

    def _is_returned(self, node: Tensor) -> bool:
        return any(node in self.keeps[y] for y in self.program.outputs)

    def _write_blocks(self, storage: Storage, node: Tensor) -> None:
        """Inside a kernel, memory from outside is an argument."""
        if self.kernel is not None and all(name != storage.name for name, _ in self.kernel.written):
            self.kernel.written.append((storage.name, storage.name))

    # Kernels

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
        kernel = Kernel(name, unit.size, frozenset(unit.nodes), last)
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

    def _alias_outside(self, node: Tensor, storage: Storage) -> None:
        name = self.reserved.get(node)
        if name is not None and storage.called != name:
            self.body_lines.append((f"{name} = {storage.name}", node))
            self.code[node] = Code(name, aval=node.aval)

    def _call(self, kernel: Kernel, unit: Unit, finals: list[Tensor], parts: list[str]) -> None:
        """The function itself, and the line that runs it."""
        cut = [v for (_, row), v in kernel.arguments.items() if row]
        whole = [v for (_, row), v in kernel.arguments.items() if not row]
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
        steps = [n for n in unit.nodes if not _is_virtual(n)]
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

    # The end of the function

    def _is_readonly(self, node: Tensor) -> bool:
        return node not in self.storage_of and super()._is_readonly(node)

    def _finish(self) -> None:
        super()._finish()
        for s in self.storages:
            if s.returned:
                self._allocate(s)
        self.body_lines = [line for line in self.body_lines if line[0]]

    def _allocate(self, s: Storage) -> None:
        """Let the first statement that writes into the memory of a result make the array."""
        text, node = self.body_lines[s.opening]
        count, expression = s.made
        if not expression:
            self.body_lines[s.opening] = _allocating(text, s), node
            return
        rest: list[tuple[str, Tensor | None]] = [("", None)] * (count - 1)
        returned = self.body_lines[-1]
        if returned[0] == f"return {s.name}" and len(s.members) == 1 and not s.called:
            if not any(s.name in line for line, _ in self.body_lines[s.opening + count : -1]):
                self.body_lines[-1] = f"return {expression}", node
                self.body_lines[s.opening : s.opening + count] = [("", None), *rest]
                return
        self.body_lines[s.opening : s.opening + count] = [(f"{s.name} = {expression}", node), *rest]

    def _contexts(self) -> list[str]:
        names = [s.name for s in self._buffers()]
        if not names:
            return super()._contexts()
        sizes = ", ".join(self.dims.values())
        return [*super()._contexts(), f"workspace({sizes}) as {_tuple(names)}"]

    def _buffers(self) -> list[Storage]:
        return [s for s in self.storages if not s.returned]

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

    def _renamed(self, text: str) -> str:
        """The text with the names of storages in the place of their tokens."""
        names = {s.name: s.called for s in self.storages}
        for s in self.storages:
            names[s.name] = s.called or self.names.number("t")
        return re.sub(r"\bs__\d+\b", lambda m: names[m[0]], text)


def _kind(shape: Shape, dtype: DType) -> Any:
    """What memory must have in common to hold a value: the sizes and the dtype."""
    return tuple(n if isinstance(n, int) else digest(n) for n in shape), dtype


def _tuple(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def _is_array(x: Tensor) -> bool:
    """Whether the value is an array that steps of the function write."""
    return isinstance(x.aval, ShapedArray) and bool(x.ndim) and not isinstance(x.op, Leaf)


def _is_virtual(node: Tensor) -> bool:
    """Whether the step is no statement of its own: a view, a cast or a broadcast that NumPy does by itself."""
    return isinstance(node.op, Cast | BroadcastTo | Item) or (isinstance(node.op, Primitive) and node.op.is_view)


def _added_in_place(plan: Schedule) -> dict[Tensor, Tensor]:
    """The sums of an array that nobody else reads and one that is mostly zeros, which is not made but added to the first."""
    found: dict[Tensor, Tensor] = {}
    for node in plan.steps:
        if node.op is not F.add or not node.ndim:
            continue
        once = [x for x in node.inputs if plan.uses[x] == 1 and x not in found and same_shape(x.shape, node.shape)]
        if len(once) < 2:
            continue
        for other, term in (once, once[::-1]):
            made = (
                isinstance(other.op, Primitive) and not other.op.is_view and type(other.op).into is not Primitive.into
            )
            if made and isinstance(term.op, Primitive) and type(term.op).add_into is not Primitive.add_into:
                found[node] = term
                break
    return found


def _keeps(steps: tuple[Tensor, ...], terms: Collection[Tensor]) -> dict[Tensor, frozenset[Tensor]]:
    """The values that must be alive while each value is read: itself, and what it is a view or an elided cast of.

    What `terms` are made of is read where they are added.
    """
    keeps: dict[Tensor, frozenset[Tensor]] = {}
    for node in steps:
        found = frozenset([node])
        if _is_virtual(node) or node in terms:
            among = getattr(node.op, "aliases", range(len(node.inputs)))
            found = found.union(*[keeps[node.inputs[i]] for i in among])
        keeps[node] = found
    return keeps


def _augmented(op: Elementwise, storage: Storage, xs: list[Code]) -> str | None:
    """`t += x` for `np.add(t, x, out=t)`; not for a parameter, which is a global name."""
    if not isinstance(op.source, str) or op.source[-1].isalnum() or len(xs) != 2 or storage.first < 0:
        return None
    if op.source not in ("+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>"):
        return None
    if xs[0] == storage.name:
        return f"{storage.name} {op.source}= {xs[1]}"
    return f"{storage.name} {op.source}= {xs[0]}" if xs[1] == storage.name and op.commutative else None


def _allocating(line: str, storage: Storage) -> str:
    """The first statement of a result that the caller gets: NumPy makes the array."""
    name, dtype = storage.name, "" if storage.dtype == FLOAT64 else f", {code.dtype(storage.dtype)}"
    if line == f"{name}.fill(0)":
        return f"{name} = np.zeros({code.shape(storage.shape)}{dtype})"
    made = f"{name} = np.empty({code.shape(storage.shape)}{dtype})"
    return f"{made}\n{line}" if line else made


def _updates_in_place(
    program: Program, steps: tuple[Tensor, ...], keeps: dict[Tensor, frozenset[Tensor]], writes: Any
) -> tuple[dict[Tensor, Tensor], set[Tensor], dict[Tensor, list[Tensor]]]:
    """The new values computed in the parameters' own arrays, all that must come last, and the readers they wait for.

    A parameter may be overwritten where all else that reads it comes earlier, and nothing that follows can fail.
    """
    news = {new: p for p, new in program.updates if new.inputs and new.ndim}
    if len(news) < len([1 for _, new in program.updates if new.inputs and new.ndim]):
        return {}, set(), {}
    dependent: set[Tensor] = set()
    for node in steps:
        if any(x in news or x in dependent for x in node.inputs):
            dependent.add(node)
    safe = all(row_operands(n) is not None or (isinstance(n.op, Elementwise) and not n.ndim) for n in dependent)
    if not safe:
        return {}, set(), {}
    readers: dict[Tensor, list[Tensor]] = {p: [] for p in news.values()}
    for node in steps:
        for p in {p for x in node.inputs for p in keeps[x] if p in readers}:
            readers[p].append(node)
    seen = {p for y in program.outputs for p in keeps[y] if isinstance(p.op, Leaf)}
    seen |= {r for p, new in program.updates for r in keeps[new] if r is not p}
    finals: dict[Tensor, Tensor] = {}
    after: dict[Tensor, list[Tensor]] = {}
    for new, p in news.items():
        others = [r for r in readers[p] if r is not new]
        if p in seen or not writes(new) or any(r in dependent or r in news for r in others):
            continue
        reads = [x for x in new.inputs if p in keeps[x]]
        if any(x is not p for x in reads) or (reads and not new.op.inplace) or not same_shape(new.shape, p.shape):  # type: ignore[attr-defined]
            continue
        finals[new] = p
        if others:
            after[new] = others
    late = set(finals) | {n for n in dependent if any(True for _ in n.inputs)} if finals else set()
    return finals, late, after
