"""Where each value lies: over an operand that nobody reads any more, in a buffer that is free again, or in memory of its own.

Where that is settled only when all steps are written: until then a storage goes by the token `s__7`.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from typing import Any

from symgraph.core import Leaf, ShapedArray, Tensor
from symgraph.dims import Shape, Size, digest, same_shape
from symgraph.dtypes import FLOAT64, DType
from symgraph.ops import code
from symgraph.ops.base import Elementwise, Primitive
from symgraph.ops.code import Code

from .fuse import Unit, is_final
from .inplace import added_in_place, keeps_alive, updates_in_place
from .memory import Storage
from .plain import Plain
from .program import Program
from .schedule import low_memory

END = 1 << 60
"""The step after the last, until which results are kept."""


@dataclass
class Kernel:
    """A function over blocks of rows, while its steps are written."""

    name: str
    size: Size
    members: frozenset[Tensor]
    last: dict[Tensor, int]
    """The position of the last step of the group that reads each value."""
    becomes: dict[Tensor, Tensor] = field(default_factory=dict)
    """For a temporary that ends in the new value of a parameter, and may lie in its array: that parameter."""
    code: dict[Tensor, Code] = field(default_factory=dict)
    inlined: dict[Tensor, Code] = field(default_factory=dict)
    lines: list[tuple[str, Tensor | None]] = field(default_factory=list)
    arguments: dict[tuple[Tensor, bool], tuple[str, str]] = field(default_factory=dict)
    """For each value from outside, and whether it is cut into blocks: its name inside, and its text outside."""
    written: list[tuple[str, str]] = field(default_factory=list)
    registers: list[Storage] = field(default_factory=list)
    in_use: list[tuple[int, int, Storage]] = field(default_factory=list)
    """A heap of registers that may serve again, by the last step that reads them."""
    free: dict[tuple[Any, DType], list[Storage]] = field(default_factory=dict)
    at: int = 0


class Places(Plain):
    """An emission whose steps write into memory that is there already."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.plan = low_memory(self.plan, [*program.outputs, *[new for _, new in program.updates]])
        self.added = added_in_place(self.plan)
        self.keeps = keeps_alive(self.plan.steps, frozenset(self.added.values()))
        self.finals, self.late, self.after = updates_in_place(program, self.plan.steps, self.keeps, self._writes)
        self.storages: list[Storage] = []
        self.storage_of: dict[Tensor, Storage] = {}
        self.swept = 0
        """How many storages have been seen by the search for free ones."""
        self.in_use: list[tuple[int, int, Storage]] = []
        """A heap of storages that may serve again, by the last step that reads them."""
        self.free: dict[Any, list[Storage]] = {}
        self.reader: Tensor | None = None
        """The step that is being written."""
        self.kernel: Kernel | None = None
        """The loop that is being written."""
        self.at = 0
        """The unit that is being written."""
        self.last: dict[Tensor, int] = {}

    def _writes(self, node: Tensor) -> bool:
        """Whether the step can write into an array that is there already."""
        op = node.op
        if not isinstance(op, Primitive) or isinstance(node.aval, tuple) or op.is_view:
            return False
        return op.into("out", *[Code(f"x{i}", aval=x.aval) for i, x in enumerate(node.inputs)]) is not None

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

    def _making(self, op: Primitive, name: str, xs: list[Code], lines: list[str]) -> tuple[int, str]:
        """How many of the lines an expression can stand for that makes the array, and that expression."""
        if op.readonly:
            return 0, ""  # np.broadcast_to
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
        return self._memory(node)

    def _memory(self, node: Tensor) -> Storage:
        """Memory that is free again, or new."""
        found = self._free_storage(node)
        if found is not None:
            found.members.append(node)
            found.last = self.last[node]
            found.made = 0, ""  # what is written next may need contiguous memory
            heapq.heappush(self.in_use, (found.last, _serial(found), found))
        else:
            found = Storage(node.shape, node.dtype, self.at, self.last[node], [node], self._is_returned(node))
            found.name = f"s__{len(self.storages)}"
            self.storages.append(found)
        self.storage_of[node] = found
        self._write_blocks(found, node)
        return found

    def _extend(self, storage: Storage, node: Tensor) -> None:
        """Let the memory of an operand hold the result."""
        storage.members.append(node)
        storage.last = max(storage.last, self.last[node])
        storage.returned |= self._is_returned(node)
        self.storage_of[node] = storage
        self._write_blocks(storage, node)

    def _free_storage(self, node: Tensor) -> Storage | None:
        """Memory of the shape and dtype of a value without a name, whose last value nobody reads any more."""
        if node in self.reserved or self._is_returned(node):
            return None
        for i, s in enumerate(self.storages[self.swept :], self.swept):
            heapq.heappush(self.in_use, (s.last, i, s))
        self.swept = len(self.storages)
        while self.in_use and self.in_use[0][0] < self.at:
            last, i, s = heapq.heappop(self.in_use)
            if s.last > last:  # another value has been written over the first
                heapq.heappush(self.in_use, (s.last, i, s))
            elif not (s.returned or s.register or s.called):
                self.free.setdefault(_kind(s.shape, s.dtype), []).append(s)
        free = self.free.get(_kind(node.shape, node.dtype))
        return free.pop() if free else None

    def _outside(self, x: Tensor) -> Code:
        """The code of a value in the function itself, outside of any loop."""
        return super()._strong(x)

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
        p = kernel.becomes.get(node)
        if p is not None and self._is_read(p, node, op, kernel):
            kernel.becomes = {x: q for x, q in kernel.becomes.items() if q is not p}
            made = Storage(node.shape, node.dtype, -1, members=[node], name=str(self._outside(p)))
            self._write_blocks(made, node)
            return made
        if op.inplace:
            for x in node.inputs:
                storage = self.storage_of.get(x)
                if storage is not None and storage.register and storage.members[-1] is x:
                    if self._may_overwrite(x, node, kernel):
                        storage.members.append(node)
                        self.storage_of[node] = storage
                        return storage
        if kernel.free.get(key):
            found = kernel.free[key].pop()
        else:
            found = Storage(node.shape, node.dtype, self.at, self.at, name=f"s__{len(self.storages)}", register=True)
            self.storages.append(found)
            kernel.registers.append(found)
        found.members.append(node)
        self.storage_of[node] = found
        heapq.heappush(kernel.in_use, (kernel.last.get(node, -1), _serial(found), found))
        return found

    def _is_read(self, p: Tensor, node: Tensor, op: Primitive, kernel: Kernel) -> bool:
        """Whether nobody reads the old value of a parameter any more, once `node` is made in its place."""
        readers_end = kernel.last.get(p, -1)
        if readers_end < kernel.at:
            return True
        read = any(x is p for x in node.inputs)
        alone = read and not any(p in self.keeps[z] for z in node.inputs if z is not p)
        return readers_end == kernel.at and alone and op.inplace

    def _release(self, kernel: Kernel) -> None:
        """Registers whose value was read for the last time before this step are free."""
        while kernel.in_use and kernel.in_use[0][0] < kernel.at:
            read, serial, storage = heapq.heappop(kernel.in_use)
            last = kernel.last.get(storage.members[-1], -1)
            if last > read:  # another value has been written over the first
                heapq.heappush(kernel.in_use, (last, serial, storage))
            else:
                kernel.free.setdefault((storage.shape[1:], storage.dtype), []).append(storage)

    def _is_returned(self, node: Tensor) -> bool:
        return any(node in self.keeps[y] for y in self.program.outputs)

    def _is_readonly(self, node: Tensor) -> bool:
        return node not in self.storage_of and super()._is_readonly(node)

    def _write_blocks(self, storage: Storage, node: Tensor) -> None:
        """Inside a kernel, memory from outside is an argument."""
        if self.kernel is not None and all(name != storage.name for name, _ in self.kernel.written):
            self.kernel.written.append((storage.name, storage.name))

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

    def _buffers(self) -> list[Storage]:
        return [s for s in self.storages if not s.returned]

    def _renamed(self, text: str) -> str:
        """The text with the names of storages in the place of their tokens."""
        names = {s.name: s.called for s in self.storages}
        for s in self.storages:
            names[s.name] = s.called or self.names.number("t")
        return re.sub(r"\bs__\d+\b", lambda m: names[m[0]], text)


def _serial(storage: Storage) -> int:
    return int(storage.name.removeprefix("s__"))


def _kind(shape: Shape, dtype: DType) -> Any:
    """What memory must have in common to hold a value: the sizes and the dtype."""
    return tuple(n if isinstance(n, int) else digest(n) for n in shape), dtype


def _is_array(x: Tensor) -> bool:
    """Whether the value is an array that steps of the function write."""
    return isinstance(x.aval, ShapedArray) and bool(x.ndim) and not isinstance(x.op, Leaf)


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
