"""A program as pure expressions: one statement per step, the user's names, no parenthesis that precedence does not need.

A value used once is written where it is used as long as the line stays short; everything else gets a name. Casts that
NumPy's promotion does anyway are not written, nor are numbers dressed as arrays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from symgraph.core import Body, Constant, Item, Leaf, Tensor
from symgraph.dims import Variable
from symgraph.dtypes import BOOL, FLOAT64, DType, is_lossless, promote, resolve, scalar_type
from symgraph.errors import CompileError, DTypeError
from symgraph.ops import code
from symgraph.ops.base import Elementwise, Primitive, gives_scalar
from symgraph.ops.code import Code
from symgraph.ops.creation import DimValue
from symgraph.ops.einsum import Einsum
from symgraph.ops.elementwise import Cast, MaskedMultiply, Where
from symgraph.ops.reduce import OverAxes
from symgraph.ops.shape import BroadcastTo, Transpose
from symgraph.provenance import format_location

from .names import Names
from .program import Program
from .schedule import Schedule, schedule
from .shared import Shared
from .source import Source
from .text import WIDTH, dim_lines, docstring, escaped, is_readonly, nested, type_of, wrapped


class Plain:
    """The state of one emission: the code of every value that has been written."""

    def __init__(self, program: Program, names: Names | None = None, shared: Shared | None = None) -> None:
        self.program = program
        self.plan: Schedule = schedule(program)
        self.outermost = shared is None
        self.shared = shared or Shared(Names([program.name]))
        self.names = Names(self.shared.names.taken) if names is None else names
        self.code: dict[Tensor, Code] = {}
        self.inlined: dict[Tensor, Code] = {}
        self.body_lines: list[tuple[str, Tensor | None]] = []
        self.parameters: dict[str, Tensor] = {}
        self.dims: dict[Variable, str] = {}
        self.outputs = frozenset(program.outputs)
        self.next_of = {new: parameter for parameter, new in program.updates}
        self.reserved: dict[Tensor, str] = {}
        """Names kept for named nodes until their step is reached."""
        self.locals: dict[str, str] = {}
        self.finals: dict[Tensor, Tensor] = {}
        """The new values that are computed in the arrays of their parameters."""

    def emit(self) -> Source:
        """The whole function."""
        program = self.program
        arguments = [self.names.take(program.names.get(x) or x.op.label) for x in program.inputs]  # type: ignore[attr-defined]
        for x, name in zip(program.inputs, arguments, strict=True):
            self.code[x] = Code(name, aval=x.aval)
        for parameter in program.parameters:
            name = self.names.take(parameter.op.label)  # type: ignore[attr-defined]
            self.shared.names.taken.add(name)
            self.parameters[name] = parameter
            self.code[parameter] = Code(name, aval=parameter.aval)
        for v in program.dims:
            self.dims[v] = self.names.take(v.name, "n")
        for node in [*program.outputs, *[new for _, new in program.updates], *self.plan.steps]:
            if node in program.names and node not in self.reserved and not isinstance(node.op, Leaf | Constant):
                self.reserved[node] = self.names.take(program.names[node])
        if self.outermost:  # constants are globals, which a local name would hide
            self.shared.names.taken |= self.names.taken
        with code.emitting(dict(self.dims), self._body, self._local):
            self._steps()
            self._finish()
            return self._assemble(arguments)

    # Steps

    def _steps(self) -> None:
        for node in self.plan.steps:
            if node not in self.code:
                self._step(node)

    def _step(self, node: Tensor) -> None:
        if isinstance(node.op, Constant):
            self._constant(node)
        elif isinstance(node.op, Leaf):
            raise CompileError(f"{node.op!r} is neither an input nor a parameter")
        elif isinstance(node.op, Item):
            return  # named by the statement of its parent
        elif isinstance(node.op, Cast | BroadcastTo) and node not in self.reserved and node not in self.outputs:
            return  # written when something needs it: NumPy often casts and broadcasts by itself
        elif isinstance(node.op, Primitive):
            self._primitive(node, node.op)
        else:
            raise CompileError(f"{node.op!r} cannot be written as NumPy")

    def _primitive(self, node: Tensor, op: Primitive) -> None:
        if isinstance(node.aval, tuple):
            self._several(node, op)
            return
        placeholder = self.reserved.get(node)
        xs = self._operands(node, op)
        lines = op.statements("out", *[self._atom_once(x) for x in xs])
        if lines is not None:
            xs = [self._named_operand(i, x) for i, x in zip(node.inputs, xs, strict=True)]
            name = placeholder or self._temporary(node)
            for line in op.statements(name, *xs) or []:
                self.body_lines.append((line, node))
            self.code[node] = Code(name, aval=node.aval)
            return
        text = self._expression(node, op, xs)
        if placeholder is None and self._may_inline(node, text):
            self.inlined[node] = self.code[node] = text
            return
        self._assign(node, placeholder or self._temporary(node), text)

    def _temporary(self, node: Tensor) -> str:
        """A name for a value the user did not name: `new_W` for the next value of W, else the next of t1, t2, ..."""
        parameter = self.next_of.get(node)
        return self.names.take(f"new_{parameter.op.label}") if parameter is not None else self.names.number("t")  # type: ignore[attr-defined]

    def _expression(self, node: Tensor, op: Primitive, xs: list[Code]) -> Code:
        """The expression of a node; an inlined operand that it would write twice is given a name first."""
        doubtful = [i for i, x in enumerate(node.inputs) if x in self.inlined]
        if doubtful and not (isinstance(op, Elementwise) and isinstance(op.source, str)):
            probes = [Code(f"_{i}_", aval=x.aval) if i in doubtful else x for i, x in enumerate(xs)]
            text = str(op.numpy(*probes))
            for i in doubtful:
                if text.count(f"_{i}_") > 1:
                    xs[i] = self._named_operand(node.inputs[i], xs[i])
        if all(x.literal for x in xs) and xs and isinstance(op, Elementwise) and not node.aval.weak:
            if op.like.__name__ == op.name:
                kinds = [np.dtype(self._bare(x)[1]) for x in node.inputs]
                dtype = None if resolve(op.like, *kinds)[1] == (node.dtype,) else node.dtype
                return Code(
                    str(code.call(f"np.{op.name}", *self._in_user_order(node, xs), dtype=dtype)), aval=node.aval
                )
        made = self._numpy(op, self._in_user_order(node, xs))
        return Code(str(made), made.prec, node.aval, made.literal or (node.aval.weak and all(x.literal for x in xs)))

    def _numpy(self, op: Primitive, xs: list[Code]) -> Code:
        return op.numpy(*xs)

    def _in_user_order(self, node: Tensor, xs: list[Code]) -> list[Code]:
        """The operands as the user wrote them; where nobody wrote them, a factor that is a number comes first."""
        number_last = not node.leafy and getattr(node.op, "name", "") == "multiply" and xs[1].literal
        return xs[::-1] if node.flipped or number_last else xs

    def _several(self, node: Tensor, op: Primitive) -> None:
        """An op with several outputs: `q, r = ...`, with `_` for those nobody reads."""
        items = {x.op.index: x for x in self.plan.steps if isinstance(x.op, Item) and x.inputs[0] is node}
        xs = [self._named_operand(i, x) for i, x in zip(node.inputs, self._operands(node, op), strict=True)]
        if op.statements("out", *xs) is not None:
            name = self.names.number("t")
            self.body_lines += [(line, node) for line in op.statements(name, *xs) or []]
            self.code.update({item: Code(f"{name}[{i}]", aval=item.aval) for i, item in items.items()})
            return
        text = op.numpy(*xs)
        targets = []
        for index in range(len(node.aval)):
            item = items.get(index)
            name = "_" if item is None else self.reserved.get(item) or self.names.number("t")
            if item is not None:
                self.code[item] = Code(name, aval=item.aval)
            targets.append(name)
        self.body_lines.append((f"{', '.join(targets)}{',' if len(targets) == 1 else ''} = {text}", node))

    def _may_inline(self, node: Tensor, text: Code) -> bool:
        if text.literal or (isinstance(node.op, DimValue)):
            return True
        if self.plan.uses[node] != 1 or (
            node in self.outputs and (len(self.program.outputs) > 1 or self.program.updates)
        ):
            return False
        return len(text) <= WIDTH // 2 and text.count("(") <= 4

    def _assign(self, node: Tensor, name: str, text: Code) -> None:
        self.body_lines.append((f"{name} = {text}", node))
        self.code[node] = Code(name, aval=node.aval)

    def _named_operand(self, node: Tensor, x: Code) -> Code:
        """The operand as a name, so that it may be written more than once."""
        if x.isidentifier() or x.literal:
            return x
        name = self.names.number("t")
        self.body_lines.append((f"{name} = {x}", node))
        self.code[node] = Code(name, aval=node.aval)
        self.inlined.pop(node, None)
        return self.code[node]

    def _atom_once(self, x: Code) -> Code:
        return x if x.isidentifier() or x.literal else Code("x", aval=x.aval)

    # Operands

    def _operands(self, node: Tensor, op: Primitive) -> list[Code]:
        """The code of each operand: numbers as literals and casts left out where NumPy's promotion agrees."""
        if isinstance(op, Elementwise | Where):
            bare = [self._bare(x) for x in node.inputs]
            if self._promotes_alike(node, op, [t for _, t in bare]):
                return [text for text, _ in bare]
        return [
            self._assigned(x)
            if i in op.assigned
            else self._number_or_strong(x)
            if i in op.literals
            else self._strong(x)
            for i, x in enumerate(node.inputs)
        ]

    def _bare(self, x: Tensor) -> tuple[Code, DType | type]:
        """A value as shortly as possible, and what NumPy's promotion will see."""
        cast = isinstance(x.op, Cast) and x not in self.reserved
        source = x.inputs[0] if cast else x
        if isinstance(source.op, Constant) and x.ndim == 0:
            value = x.op.evaluate(source.op.value) if isinstance(x.op, Cast) else source.op.value
            text = code.literal(value)
            whole = x.dtype.kind == "f" and not any(c in text for c in ".ne")
            return Code(str(text), text.prec, x.aval, literal=True), int if whole else scalar_type(x.dtype)
        if cast and source.dtype.kind != "c":
            if isinstance(source.op, Cast) and not is_lossless(source.inputs[0].dtype, source.dtype):
                return self._strong(source), source.dtype
            return self._bare(source)
        text = self._strong(x)
        return text, scalar_type(x.dtype) if text.literal else x.dtype

    def _promotes_alike(self, node: Tensor, op: Primitive, seen: Sequence[DType | type]) -> bool:
        wanted = [x.dtype for x in node.inputs]
        if all(isinstance(s, type) for s in seen) and not node.aval.weak and node.dtype.kind in "fc":
            return isinstance(op, Elementwise) and op.name == op.like.__name__
        try:
            if isinstance(op, Where | MaskedMultiply):
                return promote(*seen[1:]) == wanted[1]
            assert isinstance(op, Elementwise)
            if op.name != op.like.__name__ and any(s != w for s, w in zip(seen, wanted) if not isinstance(s, type)):
                return False  # the source may bring in numbers of its own
            if complex in seen and FLOAT64 in seen and not node.ndim:
                return False  # 1j * np.float64(2) is a Python complex
            if op.source == "**" and BOOL in seen:
                return False  # NumPy squares booleans as int8
            found, _ = resolve(op.like, *seen)
        except DTypeError:
            return False
        return list(found) == wanted

    def _assigned(self, x: Tensor) -> Code:
        """A value that is written into an array, which casts and broadcasts it."""
        while isinstance(x.op, BroadcastTo) and x not in self.reserved:
            x = x.inputs[0]
        return self._number_or_strong(x)

    def _number_or_strong(self, x: Tensor) -> Code:
        return self._bare(x)[0] if isinstance(x.op, Constant) else self._strong(x)

    def _strong(self, x: Tensor) -> Code:
        """A value whose dtype must be its own, whatever it meets."""
        if isinstance(x.op, Constant) and x.ndim == 0:
            literal = code.literal(x.op.value, exact=True)
            if x.dtype in (np.dtype(bool), np.dtype(np.int64)):
                return Code(str(literal), literal.prec, x.aval, literal=True)
            return Code(f"{code.scalar(x.dtype)}({literal})", aval=x.aval)
        if x not in self.code:
            self._primitive(x, x.op)  # type: ignore[arg-type]
        return self.code[x]

    def _constant(self, node: Tensor) -> None:
        assert isinstance(node.op, Constant)
        if node.ndim == 0:
            return
        name = self.shared.constant(node, self.program.names.get(node))
        self.names.taken.add(name)
        self.code[node] = Code(name, aval=node.aval)

    # Bodies

    def _body(self, body: Body) -> str:
        return self.shared.body(body, self.program.comments, self._helper)

    def _helper(self, program: Program) -> str:
        """The text of a helper function."""
        return Plain(program, shared=self.shared).emit().function.split("\n\n\n")[-1]

    def _local(self, name: str) -> str:
        """A variable that the statements of one op use for themselves, and those of another may use again."""
        if name not in self.locals:
            self.locals[name] = self.names.take(name)
        return self.locals[name]

    # The end of the function

    def _finish(self) -> None:
        updated = {parameter for parameter, _ in self.program.updates}
        results = self._results(updated)
        self._write_updates(updated)
        self.body_lines.append((f"return {nested(self.program.tree, results)}", None))

    def _results(self, updated: set[Tensor]) -> list[str]:
        """The returned values: each owns its memory, and none is read after the updates are written."""
        given: set[Tensor] = set()
        results = []
        for node in self.program.outputs:
            text = self._strong(node)
            roots = self.plan.roots[node]
            outside = any(isinstance(r.op, Leaf | Constant) for r in roots) or node in given or bool(roots & given)
            if isinstance(node.op, Constant) and node.ndim == 0:
                text = Code(f"{code.scalar(node.dtype)}({code.literal(node.op.value, exact=True)})")
            elif isinstance(node.op, DimValue) or text.literal:
                text = Code(f"{code.scalar(node.dtype)}({text})")
            elif node.ndim == 0 and (outside or not gives_scalar(node)):
                text = Code(f"{text.atom}[()]")
            elif outside or self._is_readonly(node):
                text = code.method(text, "copy")
            if updated and not text.isidentifier():
                name = self.names.number("out")
                self.body_lines.append((f"{name} = {text}", node))
                text = Code(name)
            given |= roots | {node}
            results.append(str(text))
        return results

    def _is_readonly(self, node: Tensor) -> bool:
        return is_readonly(node)

    def _write_updates(self, updated: set[Tensor]) -> None:
        """New values are computed from the old ones, then written into the parameters' own arrays, last of all."""
        written: set[Tensor] = set()
        values: list[tuple[Tensor, str, Tensor, Code]] = []
        for i, (parameter, new) in enumerate(self.program.updates):
            if new in self.finals:
                continue  # computed in its place
            text = self._strong(new)
            earlier = {str(self.code[p]) for p, _ in self.program.updates[:i]}
            shares = self.plan.roots[new] & (updated - {parameter})
            if shares or (self.plan.roots[new] & {parameter} and new is not parameter):
                name = self.names.number("new")
                self.body_lines.append((f"{name} = {text.atom}.copy()", new))
                text = Code(name)
            elif earlier & set(re.findall(r"\w+", text)) or (i and self._may_fail(new)):
                name = self.names.take(f"new_{parameter.op.label}")  # type: ignore[attr-defined]
                self.body_lines.append((f"{name} = {text}", new))
                text = Code(name)
            values.append((parameter, str(self.code[parameter]), new, text))
        for parameter, target, new, text in values:
            if new is not parameter:
                step = self._in_place(parameter, target, new, text)
                self.body_lines.append((step or f"{target}[...] = {text}", new))
                written.add(parameter)

    def _may_fail(self, new: Tensor) -> bool:
        """Whether what is not yet computed of `new` could raise: an index out of range, a singular matrix."""
        pending = [new]
        while pending:
            node = pending.pop()
            if node in self.inlined:
                if not isinstance(node.op, Elementwise | Where | Cast | OverAxes | Einsum | Transpose | BroadcastTo):
                    return True
                pending += node.inputs
        return False

    def _in_place(self, parameter: Tensor, target: str, new: Tensor, text: Code) -> str | None:
        """`W -= step` for W - step that is still unwritten."""
        if not isinstance(new.op, Elementwise) or not isinstance(new.op.source, str) or text.isidentifier():
            return None
        for op in ("+", "-", "*", "/"):
            start = f"{target} {op} "
            if (
                new.op.source == op
                and new.inputs[0] is parameter
                and text.startswith(start)
                and new not in self.reserved
            ):
                if new.inputs[1].dtype != parameter.dtype or new.inputs[1].ndim > parameter.ndim:
                    return None
                rest = self._operands(new, new.op)[1]
                return f"{target} {op}= {rest}" if str(text) == f"{start}{rest.within(text.prec + 1)}" else None
        return None

    def _assemble(self, arguments: list[str]) -> Source:
        lines = [
            f"def {self.program.name}({', '.join(self._parameters(arguments))}):",
            *docstring(*self._signature(arguments)),
        ]
        assigned = [str(self.code[p]) for p, _ in self.program.updates if self._is_rebound(str(self.code[p]))]
        if assigned:
            lines.append(f"    global {', '.join(assigned)}")
        contexts = self._contexts()
        said = [*self.body_lines, *[(c, None) for c in contexts]]
        lines += [f"    {text}" for text, _ in dim_lines(self.program, self.code, self.dims, said)]
        indent = "    "
        if contexts:
            lines += [f"{indent}{line}" for line in wrapped(f"with {', '.join(contexts)}:")]
            indent += "    "
        found = self._place(lines, self.body_lines, indent)
        helpers = "".join(f"{text}\n\n\n" for text in self.shared.bodies.values())
        offset = helpers.count("\n")
        function = helpers + "\n".join(lines)
        return Source(
            self.program.name,
            function,
            "\n".join(self.shared.preamble),
            self.shared.arrays,
            tuple(arguments),
            self.parameters,
            self.dims,
            {line + offset: node for line, node in found.items()},
        )

    def _parameters(self, arguments: list[str]) -> list[str]:
        """The parameters of the function, as they are written."""
        return arguments

    def _contexts(self) -> list[str]:
        """What the body runs inside of."""
        options = ", ".join(f'{kind}="ignore"' for kind in sorted(self.program.quiet))
        return [f"np.errstate({options})"] if options else []

    def _place(self, lines: list[str], body: list[tuple[str, Tensor | None]], indent: str) -> dict[int, Tensor]:
        """Append the statements of a body, each with the user's line where that changes; the node of each line."""
        found: dict[int, Tensor] = {}
        previous = None
        for text, node in body:
            where = node.where if node is not None and node.leafy else None
            told = where and where != previous and self.program.comments
            comment = f"  # {escaped(format_location(where))}" if told else ""
            previous = where or previous
            if node is not None:
                found[len(lines) + 1] = node
            lines += [f"{indent}{line}" for line in f"{text}{comment}".split("\n")]
        return found

    def _is_rebound(self, name: str) -> bool:
        """Whether the function has an augmented assignment to a parameter, which is a global of the module."""
        return any(
            text.startswith(f"{name} ") and text[len(name) + 1 : len(name) + 3] in ("+=", "-=", "*=", "/=")
            for text, _ in self.body_lines
        )

    def _signature(self, arguments: list[str]) -> tuple[str, str]:
        takes = ", ".join(f"{n} {type_of(x)}" for n, x in zip(arguments, self.program.inputs, strict=True))
        gives = ", ".join(type_of(y) for y in self.program.outputs)
        reads = [n for n, p in self.parameters.items() if p not in {u for u, _ in self.program.updates}]
        writes = [str(self.code[p]) for p, _ in self.program.updates]
        effects = [f"reads {', '.join(reads)}"] if reads else []
        effects += [f"updates {', '.join(writes)}"] if writes else []
        return escaped(f"{takes or 'nothing'} -> {gives or 'nothing'}"), escaped("; ".join(effects))
