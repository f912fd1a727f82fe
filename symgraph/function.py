"""Parameters, and functions compiled from a graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import codegen
from codegen.names import identifier
from codegen.program import Check, Program
from codegen.runtime import Argument, guarded, load_text
from codegen.source import Source

from .core import (
    Constant,
    Leaf,
    ShapedArray,
    Symbol,
    Tensor,
    as_array,
    building,
    constant,
    describe,
    make_fresh,
    toposort,
)
from .dims import Dim, collecting, same_shape, variables
from .dtypes import as_dtype
from .errors import CompileError, DTypeError, ShapeError
from .hazards import is_harmless
from .ops.base import Primitive, as_tensor, cast
from .ops.creation import DimValue
from .ops.elementwise import MaskedMultiply, Where
from .provenance import adjoint_of, format_location, name_of
from .pytree import flatten, paths
from .rewrite import SIMPLIFY, STABILIZE, RuleSet, rewrite
from .rewrite import Mapping as NodeMap
from .rewrite.engine import compose
from .rewrite.lower import LOWER

# Parameters ----------------------------------------------------------------------------------------------------------


class _Turn:
    """Whose turn it is: functions that share a parameter, directly or through others, run one at a time."""

    __slots__ = ("lock", "parent")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.parent: _Turn | None = None

    def top(self) -> _Turn:
        turn = self
        while turn.parent is not None:
            turn = turn.parent
        return turn

    def __enter__(self) -> _Turn:
        while True:
            turn = self.top()
            turn.lock.acquire()
            if turn.parent is None:
                return turn
            turn.lock.release()

    def __exit__(self, *error: object) -> None:
        self.top().lock.release()

    @staticmethod
    def join(turns: Sequence[_Turn]) -> _Turn:
        """One turn for all: later calls wait for each other."""
        first = turns[0]
        for other in turns[1:]:
            with first as a:
                b = other.top()
                if a is not b:
                    with b.lock:
                        b.parent = a
        return first.top()


class ParameterLeaf(Leaf):
    """A leaf whose value is kept beside it and may be updated by functions."""

    name = "parameter"


class Parameter(Tensor):
    """A leaf with a value that functions read and update; make one with `parameter`."""

    __slots__ = ("_array", "_turn", "advance")

    _array: np.ndarray[Any, Any]
    _turn: _Turn
    advance: Callable[[], Tensor] | None
    """For the state of random draws: its next value, written after every call that reads it."""

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """A copy of the present value. Assigning copies in, and refuses another shape or a lossy dtype."""
        with self._turn:
            return self._array.copy()

    @value.setter
    def value(self, new: Any) -> None:
        array = as_array(new)
        if array.shape != self._array.shape:
            raise ShapeError(
                f"parameter {self.name} has shape {self._array.shape}; a value of shape {array.shape} does not fit"
            )
        if not np.can_cast(array.dtype, self._array.dtype, "safe") and not isinstance(new, int | float | list | tuple):
            raise DTypeError(
                f"parameter {self.name} is {self._array.dtype}; a value of {array.dtype} could lose values, "
                f"pass .astype(np.{self._array.dtype.name}) if that is meant"
            )
        with self._turn:
            self._array[...] = array

    def __setattr__(self, name: str, value: object) -> None:
        if name != "value":
            raise AttributeError(f"a parameter is immutable but for its value: {name} cannot be set")
        Parameter.value.fset(self, value)  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        return parameter, (self.value, self.name)


def parameter(value: Any, name: str) -> Parameter:
    """A fresh leaf with a value of its own, which functions read and update.

    >>> from symgraph import function, parameter
    >>> w = parameter([1.0, 2.0], "w")
    >>> function([], w.sum(), updates={w: 2 * w})()
    np.float64(3.0)
    >>> w.value
    array([2., 4.])
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"the name of a parameter must be a non-empty string, not {name!r}")
    if isinstance(value, Tensor):
        raise TypeError(
            f"the value of parameter {name} must be an array, not {describe(value)}; use evaluate to compute it"
        )
    array = as_array(value).copy()
    leaf = ParameterLeaf(name, ShapedArray(array.shape, array.dtype))
    made = Parameter(leaf, (), leaf.aval)
    put = object.__setattr__
    put(made, "_array", array)
    put(made, "_turn", _Turn())
    put(made, "advance", None)
    return made


# Functions -----------------------------------------------------------------------------------------------------------


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
        self._call = guarded(self._function, self.arguments, self.checks)
        turns = [p._turn for p in self.parameters.values()]
        self._turn = _Turn.join(turns) if turns else None
        self._arity = len(self.arguments)
        self.program: Program | None = None
        self.details: Source | None = None
        self.written: tuple[Tensor, ...] = ()
        """The outputs, then the updates, as the user wrote them."""

    def __call__(self, /, *args: Any, **by_name: Any) -> Any:
        if by_name or len(args) != self._arity:
            args = self._bind(args, by_name)
        if self._turn is None:
            result = self._call(*args)
        else:
            with self._turn:
                result = self._call(*args)
        return result if self._restore is None else self._restore(result)

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

    def __reduce__(self) -> Any:
        return _unpickle, (
            self.source, self.name, self.arguments, self.checks, self.constants, self.parameters, self._restore,
        )  # fmt: skip

    def copy(self, parameters: Mapping[Parameter, Any] | None = None) -> Function:
        """The same function over other parameters: `{old: new}`, where new is a `Parameter` or a value for a fresh one.

        Parameters that are not mentioned are shared with this function.
        """
        swapped = dict(self.parameters)
        for old, new in (parameters or {}).items():
            names = [n for n, p in self.parameters.items() if p is old]
            if not names:
                raise CompileError(
                    f"{describe(old)} is no parameter of {self.name}; it has {', '.join(self.parameters)}"
                )
            made = new if isinstance(new, Parameter) else parameter(new, old.name or "p")
            if made.dtype != old.dtype or made.shape != old.shape:
                raise CompileError(
                    f"{describe(old)} cannot be replaced by {describe(made)}: shapes and dtypes must agree"
                )
            swapped[names[0]] = made
        return _unpickle(self.source, self.name, self.arguments, self.checks, self.constants, swapped, self._restore)

    def export(self, path: Any) -> None:
        """Write a module that runs where symgraph is not installed; arrays go beside it as `.npz`.

        Both files are written completely before either replaces what was there.
        """
        from codegen.export import export

        with self._turn or threading.Lock():
            arrays = {n: p._array.copy() for n, p in self.parameters.items()}
        export(path, self.source, self.name, self.arguments, self.checks, self.constants, arrays)


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
    comments: bool = True,
) -> Function:
    """Compile a graph to NumPy source and load it.

    `inputs` is a list, tuple or dict of symbols; `outputs` a tensor or any nesting of list, tuple and dict; `updates` maps
    parameters to their new values, which are computed from the old ones and written last. With `optimize=False` the graph
    is translated as it was written, but for the stable forms. `comments=False` leaves the user's lines out of the source.

    Raises `CompileError` for inputs that are not symbols, are named alike, are missing or unused, and for updates of
    something that is no parameter; `ShapeError` and `DTypeError` for updates that do not fit.

    >>> from symgraph import function, grad, symbol, tanh
    >>> x = symbol("x")
    >>> f = function([x], grad(tanh(x), x))
    >>> f(0.0)
    np.float64(1.0)
    """
    _check_options(backend, style, threads)
    leaves, keys = _inputs(inputs)
    results, _ = flatten(outputs)
    for result, path in zip(results, paths(outputs), strict=True):
        if not isinstance(result, Tensor | int | float | complex | np.ndarray | np.generic | Dim):
            raise CompileError(f"outputs{path} must be a tensor, not {describe(result)}")
    nodes = [_strong(as_tensor(r)) for r in results]
    for node in nodes:
        if isinstance(node.aval, tuple):
            raise CompileError(f"{describe(node)} has several outputs; return them one by one")
    changes = _updates(updates)
    changes += _advances(nodes, changes)
    given = [*nodes, *[new for _, new in changes]]
    _check_leaves(leaves, keys, given, outputs_known=bool(results) or bool(changes))
    checks = _dimension_checks(leaves, given)
    lowered, mapping, quiet = _rewritten(given, optimize)
    names = _names(given, mapping, results, outputs)
    names.update(dict(zip(leaves, keys, strict=True)))
    program = Program(
        name=identifier(name, "f") if name else "f",
        inputs=tuple(leaves),
        outputs=tuple(lowered[: len(nodes)]),
        tree=_positions(outputs),
        updates=tuple((p, new) for (p, _), new in zip(changes, lowered[len(nodes) :], strict=True)),
        names=names,
        checks=tuple(checks),
        comments=comments,
        quiet=quiet,
    )
    source = codegen.emit(program)
    arguments = [
        Argument(key, ident, leaf.shape, leaf.dtype)
        for key, ident, leaf in zip(keys, source.arguments, leaves, strict=True)
    ]
    parameters = {n: p for n, p in source.parameters.items() if isinstance(p, Parameter)}
    made = Function(source.text, program.name, arguments, checks, source.constants, parameters, _restorer(outputs))
    made.program, made.details, made.written = program, source, tuple(given)
    return made


def evaluate(outputs: Any, values: Mapping[Tensor, Any] | None = None) -> Any:
    """The value of `outputs` (a tensor or any nesting) where the symbols have `values`.

    >>> from symgraph import evaluate, symbol
    >>> x = symbol("x", ("n",))
    >>> evaluate((x * x).sum(), {x: [1.0, 2.0]})
    np.float64(5.0)
    """
    given = dict(values or {})
    for key in given:
        if not isinstance(key, Tensor) or not isinstance(key.op, Symbol):
            raise CompileError(f"evaluate takes {{symbol: value}}, and {describe(key)} is no symbol")
    leaves, _ = flatten(outputs)
    reached = dict.fromkeys(toposort([as_tensor(leaf) for leaf in leaves]))
    used = [x for x in given if x in reached or _gives_dimension(x, reached)]
    inputs = {f"x{i}": x for i, x in enumerate(used)} if len({x.op.label for x in used}) < len(used) else used  # type: ignore[attr-defined]
    return function(inputs, outputs)(*[given[x] for x in used])


# Checking what is compiled -------------------------------------------------------------------------------------------


def _check_options(backend: str, style: str, threads: int | None) -> None:
    if backend != "numpy":
        raise CompileError(f"backend={backend!r} is not available; the backend is 'numpy'")
    if style not in ("fast", "plain"):
        raise CompileError(f"style={style!r}: choose 'fast' or 'plain'")
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise CompileError(f"threads={threads!r} must be a positive int or None")


def _inputs(inputs: Any) -> tuple[list[Tensor], list[str]]:
    if isinstance(inputs, Tensor):
        raise CompileError(f"inputs must be a list, tuple or dict of symbols: write [{describe(inputs, short=True)}]")
    if not isinstance(inputs, list | tuple | dict):
        raise CompileError(f"inputs must be a list, tuple or dict of symbols, not {describe(inputs)}")
    pairs = list(inputs.items()) if isinstance(inputs, dict) else [(None, x) for x in inputs]
    leaves, keys = [], []
    for key, x in pairs:
        if not isinstance(x, Tensor):
            raise CompileError(f"an input must be a symbol, not {describe(x)}")
        if isinstance(x, Parameter):
            raise CompileError(f"{describe(x)} is a parameter: its value is read by itself; set it through .value")
        if not isinstance(x.op, Symbol):
            raise CompileError(
                f"an input must be a symbol, but {describe(x)} is computed; use substitute to cut the graph there"
            )
        if key is not None and not isinstance(key, str):
            raise CompileError(f"the keys of inputs are argument names, not {key!r}")
        leaves.append(x)
        keys.append(key or x.op.label)
    for i, x in enumerate(leaves):
        if any(x is other for other in leaves[:i]):
            raise CompileError(f"{describe(x)} is given twice as an input")
        if keys[i] in keys[:i]:
            raise CompileError(f"two inputs are named {keys[i]!r}; pass a dict {{name: symbol}} to tell them apart")
    return leaves, keys


def _strong(node: Tensor) -> Tensor:
    if isinstance(node.aval, tuple) or not node.aval.weak:
        return node
    return constant(node.op.value) if isinstance(node.op, Constant) else cast(node, node.dtype)


def _updates(updates: Any) -> list[tuple[Parameter, Tensor]]:
    if updates is None:
        return []
    pairs = list(updates.items()) if isinstance(updates, Mapping) else list(updates)
    found: list[tuple[Parameter, Tensor]] = []
    for target, new in pairs:
        if not isinstance(target, Parameter):
            raise CompileError(
                f"an update changes a parameter, and {describe(target)} is none; make it with parameter(value, name)"
            )
        if any(target is p for p, _ in found):
            raise CompileError(f"{describe(target)} is updated twice")
        value = as_tensor(new)
        if value.aval.weak:
            value = (
                cast(value, np.result_type(target.dtype, value.op.value.item()))
                if isinstance(value.op, Constant)
                else cast(value, target.dtype)
            )
        if value.ndim != target.ndim or not same_shape(value.shape, target.shape):
            raise ShapeError(
                f"the update of {describe(target)} has shape {value.shape}{_made(value)}; it must have the parameter's shape"
            )
        if value.dtype != target.dtype:
            if not np.can_cast(value.dtype, target.dtype, "safe"):
                raise DTypeError(
                    f"the update of {describe(target)} is {value.dtype}{_made(value)}; writing it could lose values. "
                    f"Use .astype({str(target.dtype)!r})"
                )
            value = cast(value, target.dtype)
        found.append((target, value))
    return found


def _made(node: Tensor) -> str:
    return f" (made at {format_location(node.where)})" if node.where else ""


def _advances(nodes: list[Tensor], changes: list[tuple[Parameter, Tensor]]) -> list[tuple[Parameter, Tensor]]:
    """The next value of every random state that is read and not updated by the user."""
    updated = {p for p, _ in changes}
    found = toposort([*nodes, *[new for _, new in changes]])
    return [(x, x.advance()) for x in found if isinstance(x, Parameter) and x.advance is not None and x not in updated]


def _check_leaves(leaves: list[Tensor], keys: list[str], given: list[Tensor], outputs_known: bool) -> None:
    order = toposort(given)
    reached, known = set(order), set(leaves)
    missing = [x for x in order if isinstance(x.op, Symbol) and x not in known]
    if missing:
        names = ", ".join(f"{describe(x)}{_made(x)}" for x in missing)
        raise CompileError(
            f"the outputs depend on {names}, which {'is' if len(missing) == 1 else 'are'} not among the inputs"
        )
    stray = [x for x in order if not x.inputs and not isinstance(x.op, Symbol | Constant | ParameterLeaf | Primitive)]
    if stray:
        raise CompileError(
            f"the outputs depend on {describe(stray[0])}, which has no value outside the body it belongs to"
        )
    for x, key in zip(leaves, keys, strict=True):
        if x not in reached and outputs_known and not _gives_dimension(x, order):
            raise CompileError(f"the input {key!r} ({describe(x)}) is not used by the outputs; leave it out")


def _gives_dimension(x: Tensor, order: Any) -> bool:
    """Whether a size of `x` is used by the graph."""
    mine = set(variables(*x.shape))
    if not mine:
        return False
    for node in order:
        avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
        dims = [s for a in avals for s in a.shape] + ([node.op.dim] if isinstance(node.op, DimValue) else [])
        if mine & set(variables(*dims)):
            return True
    return False


def _dimension_checks(leaves: list[Tensor], given: list[Tensor]) -> list[Check]:
    """The sizes that the graph as written needs to be equal, in the user's terms."""
    bound = {v for x in leaves for s in x.shape if isinstance(s, Dim) and s.is_variable for v in variables(s)}
    checks: list[Check] = []
    seen = set()
    for node in toposort(given):
        avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
        unknown = [v for a in avals for v in variables(*a.shape) if v not in bound]
        if unknown:
            raise CompileError(
                f"the size {unknown[0].name} of {describe(node)} cannot be told from the inputs; "
                "give an input an axis of that size alone"
            )
        if not node.inputs or not any(
            isinstance(s, Dim) for x in node.inputs if not isinstance(x.aval, tuple) for s in x.shape
        ):
            continue
        with collecting() as pairs:
            node.op.infer(*[x.aval for x in node.inputs])
        for left, right in pairs:
            key = (str(left), str(right))
            if key not in seen:
                seen.add(key)
                operands = f" {_symbol_of(node)} ".join(describe(x, short=True) for x in node.inputs)
                at = f", {format_location(node.where)}" if node.where else ""
                checks.append(Check(left, right, f"used together by {operands}{at}"))
    return checks


def _symbol_of(node: Tensor) -> str:
    source = getattr(node.op, "source", None)
    return source if isinstance(source, str) and not source[-1].isalnum() else f"and, in {node.op.name},"


# Rewriting -----------------------------------------------------------------------------------------------------------


def _rewritten(given: list[Tensor], optimize: bool) -> tuple[list[Tensor], NodeMap, frozenset[str]]:
    """The graph ready for emission, the successor of every node as written, and the warnings that are harmless."""
    passes: list[RuleSet] = [STABILIZE + SIMPLIFY, LOWER, SIMPLIFY] if optimize else [STABILIZE, LOWER]
    quiet: set[str] = set()
    whole: list[Tensor] | None = None
    nodes, mapping = list(given), {node: node for node in toposort(given)}
    for rules in passes:
        if rules is LOWER:
            quiet = _harmless_warnings(nodes)
            whole = nodes
        elif whole is not None and all(a is b for a, b in zip(whole, nodes, strict=True)):
            continue  # nothing was lowered
        nodes, step = rewrite(nodes, rules)
        mapping = compose(mapping, step)
    return nodes, mapping, frozenset(quiet)


def _harmless_warnings(outputs: list[Tensor]) -> set[str]:
    """The warnings raised only where a result is not used: under an untaken branch, or by a formula that expects them."""
    quiet: set[str] = set()
    chosen: set[Tensor] = set()
    for node in reversed(toposort(outputs)):
        op = node.op
        if isinstance(op, Primitive) and op.quiet:
            quiet.add(op.quiet)
        for field in op.bodies:
            quiet |= _harmless_warnings(list(getattr(op, field).outputs))
        if isinstance(op, Where | MaskedMultiply):
            chosen.update(node.inputs[1:])
        if node in chosen:
            chosen.update(node.inputs)
            if isinstance(op, Primitive) and op.hazard and not is_harmless(node):
                quiet |= {"divide", "invalid"}
            if getattr(op, "name", "") in ("exp", "power", "expm1", "exp2", "sinh", "cosh", "square"):
                quiet |= {"over", "invalid"}
    return quiet


# Names and nestings --------------------------------------------------------------------------------------------------


def _names(given: list[Tensor], mapping: NodeMap, results: list[Any], outputs: Any) -> dict[Tensor, str]:
    """What the nodes to be emitted are called: the user's names, `grad_W` for adjoints, the keys of the outputs."""
    names: dict[Tensor, str] = {}
    for old, new in mapping.items():
        name = name_of(old) if old.leafy else None
        if isinstance(old.op, Constant):
            name = name_of(old)
        if name and not isinstance(new.op, Leaf) and new not in names:
            names[new] = name
    for old, new in mapping.items():
        if new in names or isinstance(new.op, Leaf | Constant):
            continue
        forward = [f for f in adjoint_of(old) if name_of(f)]
        if forward:
            names[new] = f"grad_{name_of(forward[0])}"
    for result, path in zip(results, paths(outputs), strict=True):
        key = path.rpartition("[")[2].rstrip("]")
        if isinstance(result, Tensor) and key[:1] in "'\"" and key:
            names.setdefault(mapping.get(result, result), key[1:-1])
    return names


def _positions(outputs: Any) -> Any:
    """The nesting of the outputs with the position of each leaf in its place; other keys than text are left to `_restorer`."""
    leaves, restore = flatten(outputs)
    if _restorer(outputs) is not None:
        return tuple(range(len(leaves)))
    return restore(range(len(leaves)))


def _restorer(outputs: Any) -> Callable[[Any], Any] | None:
    """For a nesting that source text cannot spell (named tuples, keys that are objects): what rebuilds it."""
    if _plain(outputs):
        return None
    return _Restore(_template(outputs))


class _Restore:
    """Rebuilds a nesting around a flat tuple; it pickles with the keys it holds."""

    def __init__(self, template: Any) -> None:
        self.template = template

    def __call__(self, values: Any) -> Any:
        return flatten(self.template)[1](values)


def _template(tree: Any) -> Any:
    leaves, restore = flatten(tree)
    return restore([0] * len(leaves))


def _plain(tree: Any) -> bool:
    if isinstance(tree, dict):
        return all(type(k) in (str, int) for k in tree) and all(map(_plain, tree.values()))
    if isinstance(tree, list | tuple):
        return type(tree) in (list, tuple) and all(map(_plain, tree))
    return True


__all__ = ["Function", "Parameter", "as_dtype", "evaluate", "function", "make_fresh", "parameter"]
