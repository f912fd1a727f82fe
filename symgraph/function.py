"""Functions compiled from a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache, cached_property
from typing import Any

import numpy as np

import codegen
from codegen.donated import Result, donation
from codegen.footprint import Memory, footprint
from codegen.names import identifier
from codegen.program import Check, Program
from codegen.runtime import Argument, Kept, guarded, load_text
from codegen.scalar import emit_scalar
from codegen.schedule import order_in_memory
from codegen.source import Source
from codegen.support import NAMES
from codegen.writes import first_write

from .checking import (
    advances,
    check_leaves,
    check_options,
    check_sizes,
    checked_updates,
    dimension_checks,
    gives_dimension,
    named_inputs,
    places,
    strong,
    without_value,
)
from .core import Symbol, Tensor, building, describe, toposort
from .dims import Dim
from .errors import CompileError
from .expected import expecting
from .failing import tell
from .naming import name_steps, positions, restorer, source_names
from .ops.base import as_tensor
from .parameter import Parameter, Turn, parameter
from .pipeline import rewritten
from .provenance import Location, user_location
from .pytree import flatten, paths
from .rewrite.engine import compose
from .rewrite.remat import within


class Function:
    """A compiled function: generated NumPy source, its constants and its parameters."""

    def __init__(
        self,
        source_text: str,
        name: str,
        arguments: Sequence[Argument],
        checks: Sequence[Check],
        constants: Mapping[str, np.ndarray[Any, Any]],
        parameters: Mapping[str, Parameter],
        restore: Callable[[Any], Any] | None = None,
        results: Sequence[Result] = (),
        updated: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.source = source_text
        self.arguments = tuple(arguments)
        self.checks = tuple(checks)
        self.constants = dict(constants)
        self.parameters = dict(parameters)
        self._restore = restore
        values = {**self.constants, **{n: p._array for n, p in self.parameters.items()}}
        self._function = load_text(source_text, name, values)
        self.results = tuple(results)
        self.updated = updated
        self._kept = self._what_is_kept()
        self._call = guarded(self._function, self.arguments, self.checks, self._kept, restore)
        self._arity = len(self.arguments)
        self._takes_out = all("out" not in (a.name, a.identifier) for a in self.arguments)
        self.program: Program | None = None
        self.details: Source | None = None
        self.written: tuple[Tensor, ...] = ()
        """The outputs, then the updates, as the user wrote them."""
        self.became: Mapping[Tensor, Tensor] = {}
        """What each node as written was rewritten to."""
        self.multiples: Mapping[Tensor, Tensor] = {}
        """For nodes of which only a multiple is computed, such as a learning rate times a gradient: that multiple."""
        self.where: Location | None = None
        """The user's line that compiled it."""
        self.passes: dict[str, Any] = {}
        """The options of `rewritten` that the graph was compiled with."""

    def __call__(self, /, *args: Any, **by_name: Any) -> Any:
        """The outputs for these arguments, by position or by name.

        `out=` gives arrays that the results are written into and that are returned: one, or the nesting of the outputs
        with None where an array is to be made. Each has exactly the shape and dtype of its result, in C order, and shares
        memory with no argument, parameter or other result; else nothing is computed, and `ShapeError`, `DTypeError`,
        `ValueError` or `TypeError` says why. Where an input is called `out`, the keyword is that input.
        """
        try:
            if by_name or len(args) != self._arity:
                if "out" in by_name and self._takes_out:
                    out = by_name.pop("out")
                    if by_name or len(args) != self._arity:
                        args = self._bind(args, by_name)
                    return self._call(*args) if out is None else self._donated(out, *args)
                args = self._bind(args, by_name)
            return self._call(*args)
        except Exception as error:
            tell(self, error)
            raise

    @cached_property
    def traced(self) -> Any:
        """What `trace` tells, kept: for the messages of calls that fail."""
        return self.trace()

    @cached_property
    def _donated(self) -> Callable[..., Any]:
        """The same call with the arrays for the results before the arguments."""
        arrays = {**self.constants, **{n: p._array for n, p in self.parameters.items()}}
        donate = donation(self.results, [(a.name, a.shape) for a in self.arguments], arrays)
        return guarded(self._function, self.arguments, self.checks, self._kept, self._restore, donate)

    def _what_is_kept(self) -> Kept | None:
        if not self.parameters:
            return None

        @cache
        def writes() -> tuple[int, bool]:
            return first_write(self.source, self.name, self.updated) or (0, True)

        def starts() -> dict[Any, int]:
            code, scope = self._function.__code__, self._function.__globals__
            found = {code: code.co_firstlineno + writes()[0]} if self.updated else {}
            if "Workspace" in scope:  # what it ends with seems to Python to run on the line that it began with
                found[scope["Workspace"].__exit__.__code__] = 0
            return found

        several = len(self.updated) > 1 and "out=" in self.source  # then they are never written at a stroke
        whole = not self.updated or (not several and writes()[1])
        turn = Turn.join([p._turn for p in self.parameters.values()])
        return Kept(self.parameters, turn, self.updated, starts, whole)

    def _bind(self, args: tuple[Any, ...], by_name: dict[str, Any]) -> tuple[Any, ...]:
        """Positional and named arguments in order."""
        names = [a.name for a in self.arguments]
        wanted = f"{self.name}({', '.join(names)})"
        if len(args) > len(names):
            raise TypeError(f"{wanted} takes {len(names)} arguments but {len(args)} were given")
        values = dict(zip(names, args, strict=False))
        aliases = {a.identifier: a.name for a in self.arguments}
        for key, value in by_name.items():
            name = key if key in names else aliases.get(key, key)
            if name not in names:
                raise TypeError(f"{wanted} has no argument {key!r}")
            if name in values:
                raise TypeError(f"{wanted} got {key!r} twice")
            values[name] = value
        missing = [n for n in names if n not in values]
        if missing:
            raise TypeError(f"{wanted} is missing {', '.join(map(repr, missing))}")
        return tuple(values[n] for n in names)

    def __repr__(self) -> str:
        takes = ", ".join(str(a) for a in self.arguments)
        rest = f" over {', '.join(self.parameters)}" if self.parameters else ""
        return f"<Function {self.name}({takes}){rest}>"

    def _repr_html_(self) -> str:
        """The signature, the source in colours, and the graph if it is small, for notebooks."""
        from .viz.display import html

        return html(self)

    def _repr_svg_(self) -> str | None:
        """The graph as a picture, for notebooks; None where it is large, gone, or there is no program to draw it."""
        from .viz.display import svg

        return svg(self)

    def __reduce__(self) -> Any:
        return _unpickle, (
            self.source, self.name, self.arguments, self.checks, self.constants, self.parameters, self._restore,
            self.results, self.updated,
        )  # fmt: skip

    def copy(self, parameters: Mapping[Parameter, Any] | None = None) -> Function:
        """The same function over other parameters: `{old: new}`, where new is a `Parameter` or a value for a fresh one.

        Parameters that are not mentioned are shared with this function.
        """
        swapped = dict(self.parameters)
        for old, new in (parameters or {}).items():
            names = [n for n, p in self.parameters.items() if p is old]
            if not names:
                known = f"it has {', '.join(self.parameters)}" if self.parameters else "it has none"
                raise CompileError(f"{describe(old)} is no parameter of {self.name}; {known}")
            made = new if isinstance(new, Parameter) else parameter(new, old.name or "p")
            if made.dtype != old.dtype or made.shape != old.shape:
                raise CompileError(
                    f"{describe(old)} cannot be replaced by {describe(made)}: shapes and dtypes must agree"
                )
            swapped[names[0]] = made
        return _unpickle(
            self.source, self.name, self.arguments, self.checks, self.constants, swapped, self._restore,
            self.results, self.updated,
        )  # fmt: skip

    def profile(self, *args: Any, repeat: int | None = None, **by_name: Any) -> Any:
        """Time, calls, operations and bytes of each generated statement over calls with these arguments, as a table."""
        from .profiling import profile

        return profile(self, args, by_name, repeat)

    def view(self, path: Any, /, *args: Any, **by_name: Any) -> Any:
        """Write one HTML page with the graph, the source and, for sample arguments, the values of every step."""
        from .viz import view_function

        return view_function(self, path, *args, **by_name)

    def cost(self) -> Any:
        """Floating-point operations and bytes of one call, over the dimensions: `f.cost()(batch=64)` gives numbers."""
        from .costs import cost

        if self.program is None:
            raise CompileError(f"{self.name} came from a pickle, without its graph: count the cost before pickling")
        return cost(self.program)

    def trace(self) -> Any:
        """Which lines of the generated source come from which lines of the user, and back; prints as a table."""
        from .explaining.source_map import source_map

        return source_map(self)

    def memory(self, **sizes: int) -> Memory:
        """Bytes of workspace, results and parameters for these sizes: `f.memory(batch=64).workspace`.

        Raises `ShapeError` for a dimension that is missing or that no argument has.
        """
        workspace = self._function.__globals__.get("workspace")
        plan = getattr(workspace, "plan", None)
        arrays = [p._array for p in self.parameters.values()]
        return footprint(plan, self.arguments, self.results, arrays, sizes)

    def export(self, path: Any) -> None:
        """Write a module that runs where symgraph is not installed; arrays go beside it as `.npz`.

        Both files are written completely before either replaces what was there.
        """
        from codegen.export import export

        with self._kept.turn if self._kept else nullcontext():
            arrays = {n: p._array.copy() for n, p in self.parameters.items()}
        export(path, self.source, self.name, self.arguments, self.checks, self.constants, arrays, self.updated)


def _unpickle(*args: Any) -> Function:
    return Function(*args)


@building()
def function(
    inputs: Any,
    outputs: Any,
    updates: Mapping[Parameter, Any] | None = None,
    *,
    name: str | None = None,
    backend: str = "numpy",
    style: str = "fast",
    optimize: bool = True,
    threads: int | None = None,
    tile: int | None = None,
    memory: int | None = None,
    sizes: Mapping[str, int] | None = None,
    comments: bool = True,
) -> Function:
    """Compile a graph to NumPy source and load it.

    `inputs` is a list, tuple or dict of symbols; `outputs` a tensor or any nesting of list, tuple and dict; `updates` maps
    parameters to their new values, which are computed from the old ones and written last. With `optimize=False` the graph
    is translated as it was written, but for the stable forms. `comments=False` leaves the user's lines out of the source.

    Loops over blocks run on `threads` threads, by default as many as the process may use, and a block has `tile` elements
    of its largest array, by default so many that it stays in the cache of the machine. Results do not depend on the
    number of threads. Sums over blocks depend on the size of a block, by rounding.

    Products are computed in the order that is cheapest where symbolic dimensions are as in `sizes`, such as
    `{"batch": 8}`; by default each counts as a few hundred. The function is right for all sizes. With `memory`, values
    are computed again where keeping them would take more than so many bytes between the arguments and the results at
    these sizes. `Function.memory` tells what a call takes.

    Raises `CompileError` for inputs that are not symbols, are named alike, are missing or unused, for updates of something
    that is no parameter, for options out of range and for a budget that cannot be met; `ShapeError` and `DTypeError` for
    updates that do not fit.

    >>> from symgraph import function, grad, symbol, tanh
    >>> x = symbol("x")
    >>> f = function([x], grad(tanh(x), x))
    >>> f(0.0)
    np.float64(1.0)
    """
    check_options(backend, style, threads, tile, name)
    leaves, keys = named_inputs(inputs)
    results, _ = flatten(outputs)
    for result, path in zip(results, paths(outputs), strict=True):
        if not isinstance(result, Tensor | int | float | complex | np.ndarray | np.generic | Dim):
            hint = "; give [] for no outputs" if outputs is None else ""
            raise CompileError(f"outputs{path} must be a tensor, not {describe(result)}{hint}")
    nodes = [strong(as_tensor(r)) for r in results]
    for node in nodes:
        if isinstance(node.aval, tuple):
            raise CompileError(f"{describe(node)} has several outputs; return them one by one")
    changes = checked_updates(updates)
    changes += advances(nodes, changes)
    given = [*nodes, *[new for _, new in changes]]
    check_leaves(leaves, keys, given, outputs_known=bool(results) or bool(changes))
    checks = dimension_checks(leaves, given)
    check_sizes(sizes, leaves)
    passes: dict[str, Any] = {"optimize": optimize, "style": style, "stacks": memory is None, "sizes": sizes}
    with np.errstate(all="ignore"):  # constants are computed here, under whatever settings the caller has
        lowered, mapping, quiet, multiples = rewritten(given, **passes)
    if memory is not None:
        lowered, step = within(lowered, memory, sizes, order_in_memory if style == "fast" and optimize else toposort)
        mapping, multiples = compose(mapping, step), compose(multiples, step)
    names = source_names(given, mapping, results, outputs)
    if changes:
        name_steps(names, multiples)
    names.update(dict(zip(leaves, keys, strict=True)))
    program = Program(
        name=_function_name(name),
        inputs=tuple(leaves),
        outputs=tuple(lowered[: len(nodes)]),
        tree=positions(outputs),
        updates=tuple((p, new) for (p, _), new in zip(changes, lowered[len(nodes) :], strict=True)),
        names=names,
        checks=tuple(checks),
        comments=comments,
        threads=threads,
        tile=tile,
        quiet=quiet,
    )
    with np.errstate(all="ignore"), expecting(sizes):
        scalar = emit_scalar(program) if optimize and style == "fast" else None
        source = scalar or codegen.emit(program, style if optimize else "plain")
    arguments = [
        Argument(key, ident, leaf.shape, leaf.dtype, number=scalar is not None)
        for key, ident, leaf in zip(keys, source.arguments, leaves, strict=True)
    ]
    parameters = {n: p for n, p in source.parameters.items() if isinstance(p, Parameter)}
    returned = [Result(path, node.shape, node.dtype) for path, node in zip(paths(outputs), nodes, strict=True)]
    written = {p for p, new in program.updates if new is not p}
    updated = frozenset(n for n, p in parameters.items() if p in written)
    made = Function(
        source.text, program.name, arguments, checks, source.constants, parameters, restorer(outputs), returned, updated
    )
    made.program, made.details, made.written = program, source, tuple(given)
    made.became, made.multiples, made.passes = mapping, multiples, passes
    made.where = user_location()
    return made


def _function_name(name: str | None) -> str:
    """An identifier that nothing else in the generated module goes by."""
    made = "f" if name is None else identifier(name, "f")
    return f"{made}_" if made in NAMES else made


def evaluate(outputs: Any, values: Mapping[Tensor, Any] | None = None) -> Any:
    """The value of `outputs` (a tensor or any nesting) where the symbols have `values`.

    >>> from symgraph import evaluate, symbol
    >>> x = symbol("x", ("n",))
    >>> evaluate((x * x).sum(), {x: [1.0, 2.0]})
    np.float64(5.0)
    """
    if values is not None and not isinstance(values, Mapping):
        raise CompileError(f"evaluate takes a dict {{symbol: value}}, not {describe(values)}")
    given = dict(values or {})
    for key in given:
        if not isinstance(key, Tensor) or not isinstance(key.op, Symbol):
            cure = "; substitute replaces other nodes" if isinstance(key, Tensor) else ""
            raise CompileError(f"evaluate takes {{symbol: value}}, and {describe(key)} is no symbol{cure}")
    leaves = [as_tensor(leaf) for leaf in flatten(outputs)[0]]
    if missing := without_value(leaves, given):
        pairs = ", ".join(f"{describe(x, short=True)}: ..." for x in missing)
        raise CompileError(f"evaluate has no value for {places(missing)}; give evaluate(outputs, {{{pairs}}})")
    reached = dict.fromkeys(toposort(leaves))
    used = [x for x in given if x in reached or gives_dimension(x, reached)]
    inputs = {f"x{i}": x for i, x in enumerate(used)} if len({x.op.label for x in used}) < len(used) else used  # type: ignore[attr-defined]
    return function(inputs, outputs, name="evaluate")(*[given[x] for x in used])


__all__ = ["Function", "Parameter", "evaluate", "function", "parameter"]
