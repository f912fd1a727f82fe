"""Nodes and the graph they make.

A `Tensor` is an immutable node: an operation, its inputs and the shape and dtype of its value. Nodes are *interned*: the
same operation on the same inputs is the same object, so `is` means "the same expression" and a common subexpression
exists once, whoever built it. The table holds weak references and identifies inputs by `id`, which is sound because a
live node keeps its inputs alive. Leaves (symbols, parameters) are fresh on every call.

Every walk over a graph is iterative; a chain of any length needs no recursion.
"""

from __future__ import annotations

import gc
import hashlib
import operator
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import ref

import numpy as np

from .dims import Dim, Shape, dim, same_shape
from .dtypes import DType, as_dtype
from .errors import DTypeError, ShapeError, SymgraphError
from .provenance import Location, current, format_location, name_of, user_call, user_location

if TYPE_CHECKING:
    from .operators import Operators as _Operators
else:
    _Operators = object

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class ShapedArray:
    """What is known of a value before it is computed: shape, dtype, and whether it was a bare Python scalar."""

    shape: Shape
    dtype: DType
    weak: bool = False

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ShapedArray)
            and self.dtype == other.dtype
            and same_shape(self.shape, other.shape)
            and self.weak == other.weak
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return f"{format_shape(self.shape)} {self.dtype}"


Aval = ShapedArray | tuple[ShapedArray, ...]
"""One abstract value, or one for each output of an op that has several."""


def format_shape(shape: Shape) -> str:
    """`(batch, 784)`; a single axis keeps its comma."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


# Ops -----------------------------------------------------------------------------------------------------------------


class Op:
    """An operation: a plain class whose instances are singletons or frozen dataclasses of ints, strings, dtypes and Dims.

    Subclasses say what type of value they make (`infer`); `symgraph.ops.base` adds the kinds of op, their derivatives,
    and every other question that later stages ask.
    """

    name: str = "op"
    commutative: bool = False
    interned: ClassVar[bool] = True
    bodies: ClassVar[tuple[str, ...]] = ()
    """The fields that hold closed sub-graphs (`Body`), which passes rewrite too."""
    family: Any
    """What rewrite rules are filed under: the class, or the op itself where it is unique by name."""

    def __init_subclass__(cls) -> None:
        cls.family = cls

    node_type: ClassVar[Any] = None
    """The class of the nodes that this op makes, where that is not plain `Tensor`."""

    mentions: int = 0
    """How many of the last operands only say what the value belongs to: it can be computed without them."""

    arranges: ClassVar[bool] = False
    """Whether `arrange` puts the operands of a new node in canonical order."""

    def arrange(self, inputs: tuple[Tensor, ...]) -> tuple[Op, tuple[Tensor, ...]]:
        """The same value from operands in canonical order, for an op that reorders them by changing itself."""
        return self, inputs

    def infer(self, *avals: Any) -> Aval:
        """The shape and dtype of the result, or a `ShapeError` or `DTypeError` that says which rule is broken."""
        raise TypeError(f"{type(self).__name__} has no type rule")

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def digest(self) -> int:
        """A number that depends on what the op is, never on the process or on what was built before."""
        return digest_of(f"{self.name} {self!r}")


def digest_of(text: str | bytes) -> int:
    """A 61-bit number derived from the bytes alone."""
    data = text.encode() if isinstance(text, str) else text
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 3


class Leaf(Op):
    """A value that comes from outside: it has a label, and every instance is a different leaf."""

    interned = False

    def __init__(self, label: str, aval: ShapedArray) -> None:
        self.label = label
        self.aval = aval

    def infer(self) -> ShapedArray:
        return self.aval

    def __repr__(self) -> str:
        return f"{self.name}({self.label!r}, {self.aval})"


class Symbol(Leaf):
    """An input of the functions to be compiled."""

    name = "symbol"


@dataclass(frozen=True)
class Bound(Op):
    """The numbered input of a closed sub-graph (a `Body`)."""

    index: int
    shape: Shape
    dtype: DType
    name = "bound"

    def infer(self) -> ShapedArray:
        return ShapedArray(self.shape, self.dtype)


class Constant(Op):
    """A value known now, identified by dtype, shape and bits, so that 1, 1.0, True, 0.0 and -0.0 differ and nan is one."""

    name = "constant"

    def __init__(self, value: np.ndarray[Any, Any], weak: bool = False) -> None:
        self.value = value
        self.weak = weak
        bits = value
        if value.dtype.kind in "fc" and np.isnan(value).any():
            bits = np.where(np.isnan(value), value.dtype.type(np.nan), value)
        data = bits.tobytes()
        self.number = value.item() if value.ndim == 0 else None
        self.key = (
            value.dtype.str,
            value.shape,
            data if len(data) <= 64 else hashlib.blake2b(data, digest_size=16).digest(),
            weak,
        )

    def infer(self) -> ShapedArray:
        return ShapedArray(self.value.shape, self.value.dtype, self.weak)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"constant{self.key!r}"

    def __reduce__(self) -> Any:
        return Constant, (self.value, self.weak)


@dataclass(frozen=True)
class Item(Op):
    """One output of an op that has several."""

    index: int
    name = "item"

    def infer(self, avals: Any) -> ShapedArray:
        found: ShapedArray = avals[self.index]
        return found


class Body:
    """A closed sub-graph over numbered bound variables: what a loop or a branch runs. What it captures is an input.

    Because nodes are interned, two bodies are equal exactly when their outputs are the same objects.
    """

    __slots__ = ("avals", "outputs")

    def __init__(self, avals: Sequence[ShapedArray], outputs: Sequence[Tensor]) -> None:
        self.avals = tuple(ShapedArray(a.shape, a.dtype) for a in avals)
        self.outputs = tuple(outputs)
        for node in toposort(self.outputs):
            if not node.inputs and not isinstance(node.op, Bound | Constant) and node.leafy:
                raise SymgraphError(f"a body must be closed, but it uses {describe(node)}; pass it as an operand")

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The bound variables, also those that the outputs do not use."""
        return tuple(make(Bound(i, a.shape, a.dtype)) for i, a in enumerate(self.avals))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Body)
            and self.avals == other.avals
            and list(map(id, self.outputs)) == list(map(id, other.outputs))
        )

    def __hash__(self) -> int:
        return hash((self.avals, tuple(map(id, self.outputs))))

    def __repr__(self) -> str:
        return f"Body({', '.join(map(str, self.avals))}; {' '.join(str(o.digest) for o in self.outputs)})"

    def __reduce__(self) -> Any:
        return Body, (self.avals, self.outputs)


# Tensors -------------------------------------------------------------------------------------------------------------


class Tensor(_Operators):
    """A node of the graph. Build one with `symbol`, `parameter`, `constant` or any NumPy-named function."""

    __slots__ = ("__weakref__", "aval", "digest", "flipped", "inputs", "leafy", "op", "order", "where")

    op: Op
    inputs: tuple[Tensor, ...]
    aval: Any  # ShapedArray, or a tuple of them: read through Item
    digest: int
    leafy: bool
    """Whether a leaf is among the ancestors: such a node belongs to one model alone."""
    flipped: bool
    """Whether the user wrote the operands of a commutative op in the other order."""
    where: Location | None
    order: int
    """0 for what the user wrote, k for what a k-th differentiation made first: for drawings only."""

    __array_priority__ = 1000

    def __init__(self, op: Op, inputs: tuple[Tensor, ...], aval: Aval) -> None:
        put = object.__setattr__
        put(self, "op", op)
        put(self, "inputs", inputs)
        put(self, "aval", aval)
        put(self, "digest", hash((op.digest, *[x.digest for x in inputs])) if inputs else op.digest)
        put(self, "leafy", isinstance(op, Leaf | Bound) or any([x.leafy for x in inputs]))
        put(self, "flipped", False)
        put(self, "where", user_location())
        put(self, "order", current.order)

    @property
    def shape(self) -> Shape:
        """The sizes of the axes, each an int or a symbolic `Dim`."""
        return self.aval.shape

    @property
    def dtype(self) -> DType:
        """The NumPy dtype."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.aval.shape)

    @property
    def name(self) -> str | None:
        """The user's name for this node, or None."""
        return name_of(self)

    __hash__ = object.__hash__

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Tensor is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Tensor is immutable: {name} cannot be deleted")

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    def __reduce__(self) -> Any:
        if not self.inputs:
            return (_unpickle_leaf, (type(self), self.op))
        order = toposort([self])
        position = {node: i for i, node in enumerate(order)}
        plan = [node if not node.inputs else (node.op, [position[x] for x in _as_written(node)]) for node in order]
        return _unpickle_graph, (plan,)


def _unpickle_leaf(cls: type[Tensor], op: Op) -> Tensor:
    return make(op) if op.interned else cls(op, (), op.infer())


def _unpickle_graph(plan: list[Any]) -> Tensor:
    nodes: list[Tensor] = []
    for step in plan:
        nodes.append(step if isinstance(step, Tensor) else make(step[0], *[nodes[i] for i in step[1]]))
    return nodes[-1]


# Interning -----------------------------------------------------------------------------------------------------------


class _Entry(ref[Tensor]):
    """A weak reference that knows where it is filed."""

    __slots__ = ("key",)
    key: Any


_table: dict[Any, _Entry] = {}
_lock = threading.RLock()


def _forget(entry: Any) -> None:
    key = entry.key
    with _lock:
        if _table.get(key) is entry:
            del _table[key]


def _lookup(key: Any) -> Tensor | None:
    entry = _table.get(key)
    return entry() if entry is not None else None


class _Recording(threading.local):
    nodes: list[Tensor] | None = None


_recording = _Recording()


@contextmanager
def recording() -> Iterator[list[Tensor]]:
    """Collects the interned nodes that are new: while a body is traced, the others come from outside it."""
    before = _recording.nodes
    nodes: list[Tensor] = []
    _recording.nodes = nodes
    try:
        yield nodes
    finally:
        _recording.nodes = before
        if before is not None:
            before.extend(nodes)


def _existing(key: Any, op: Op, inputs: tuple[Tensor, ...]) -> Tensor | None:
    """The live node of this key; operands of one rank, such as two leaves of one name, are found in either order."""
    found = _lookup(key)
    if found is None and op.commutative and inputs[0].digest == inputs[1].digest:
        found = _lookup((op, id(inputs[1]), id(inputs[0])))
    return found


def make(op: Op, *inputs: Tensor) -> Tensor:
    """The node `op(*inputs)`: the one that exists already, or a new one once its type rule agrees."""
    flipped = False
    if op.arranges:
        op, inputs = op.arrange(inputs)
    if op.commutative:
        first, second = inputs
        flipped = _rank(second) < _rank(first)
        if flipped:
            inputs = (second, first)
    key = (op, *map(id, inputs))
    found = _existing(key, op, inputs)
    if found is not None:
        return found
    node: Tensor = (op.node_type or Tensor)(op, inputs, _inferred(op, inputs, flipped))
    if not op.interned:
        return node
    if flipped and node.leafy:
        object.__setattr__(node, "flipped", True)
    entry = _Entry(node, _forget)
    entry.key = key
    with _lock:
        found = _existing(key, op, inputs)
        if found is not None:
            return found
        _table[key] = entry
    if _recording.nodes is not None:
        _recording.nodes.append(node)
    return node


def make_fresh(op: Op, *inputs: Tensor) -> Tensor:
    """A node outside the intern table, different from every other: a leaf, or the named twin of a constant."""
    return Tensor(op, inputs, _inferred(op, inputs))


def _rank(node: Tensor) -> tuple[int, str, int]:
    """Canonical operand order: leaves by name, then structure, constants last; never by id or age."""
    if isinstance(node.op, Constant):
        return 2, "", node.digest
    if isinstance(node.op, Leaf):
        return 0, node.op.label, node.digest
    return 1, "", node.digest


def _inferred(op: Op, inputs: tuple[Tensor, ...], flipped: bool = False) -> Aval:
    try:
        return op.infer(*[x.aval for x in inputs])
    except (ShapeError, DTypeError) as error:
        if error.located:
            raise
        raise located_error(type(error), op.name, inputs[::-1] if flipped else inputs, str(error)) from None


def located_error(kind: type[SymgraphError], what: str, operands: Sequence[Any], rule: str) -> SymgraphError:
    """An error that says where, what was tried, on which operands, and the broken rule with its remedy."""
    here = format_location(user_location())
    tried = f"{what} of {' and '.join(map(describe, operands))}" if operands else what
    text = ": ".join(filter(None, [here, tried, rule]))
    made = [
        f"{describe(x, short=True)} at {format_location(x.where)}"
        for x in operands
        if isinstance(x, Tensor) and x.where and not isinstance(x.op, Constant)
    ]
    if made:
        text += f"\n  made: {', '.join(dict.fromkeys(made))}"
    error = kind(text)
    error.located = True
    return error


def misuse(kind: type[SymgraphError], rule: str) -> SymgraphError:
    """The same error for the function that the user called, whichever that was: for checks that many functions share."""
    name, arguments = user_call()
    flat = [y for x in arguments for y in (x if isinstance(x, list | tuple) else [x])]
    return located_error(kind, name, [x for x in flat if isinstance(x, Tensor)], rule)


def describe(x: Any, short: bool = False) -> str:
    """`x (batch, 784) float32`: a node as it appears in messages."""
    if not isinstance(x, Tensor):
        return repr(x) if len(repr(x)) < 60 else type(x).__name__
    name = name_of(x)
    if name is None:
        name = str(x.op.value) if isinstance(x.op, Constant) and x.op.value.size == 1 else x.op.name
        if name == "cast":
            name = f"cast {describe(x.inputs[0], short=True)}"
    return name if short or isinstance(x.aval, tuple) else f"{name} {x.aval}"


# Leaves --------------------------------------------------------------------------------------------------------------


def symbol(name: str, shape: Any = (), dtype: Any = "float64") -> Tensor:
    """A fresh input of the model, with a name, a shape and a dtype.

    An axis is an int, a name for a size known only when the function is called, None for such a size without a name,
    or an expression in dimensions. Two symbols are always different, whatever their names.

    Raises `TypeError` for a name that is not a string and `ShapeError` for a negative or fractional size.

    >>> x = symbol("x", ("batch", 784), "float32")
    >>> x.shape, x.dtype
    ((batch, 784), dtype('float32'))
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"the name of a symbol must be a non-empty string, not {name!r}")
    return make_fresh(Symbol(name, ShapedArray(as_shape(shape, name), as_dtype(dtype))))


def symbols(names: str, shape: Any = (), dtype: Any = "float64") -> tuple[Tensor, ...]:
    """Several symbols of one shape and dtype, from names separated by spaces or commas.

    Raises `TypeError` for names that are not in a string.

    >>> [x.name for x in symbols("mu, sigma y")]
    ['mu', 'sigma', 'y']
    """
    if not isinstance(names, str):
        raise TypeError(f'symbols takes names in one string, such as "x y z", not {describe(names)}')
    return tuple(symbol(name, shape, dtype) for name in names.replace(",", " ").split())


def scalar(name: str, dtype: Any = "float64") -> Tensor:
    """A symbol without axes."""
    return symbol(name, (), dtype)


def vector(name: str, dtype: Any = "float64") -> Tensor:
    """A symbol with one axis, whose size is known only when the function is called."""
    return symbol(name, (None,), dtype)


def matrix(name: str, dtype: Any = "float64") -> Tensor:
    """A symbol with two axes, whose sizes are known only when the function is called."""
    return symbol(name, (None, None), dtype)


def as_shape(shape: Any, owner: str = "") -> Shape:
    """A tuple of ints and Dims made from an int, a name, None, or a sequence of these."""
    if shape is None or isinstance(shape, int | str | Dim | np.integer):
        shape = (shape,)
    if isinstance(shape, set | dict | Tensor) or not isinstance(shape, Iterable):
        raise misuse(ShapeError, f"a shape is a tuple of sizes, not {describe(shape)}")
    return tuple(_as_size(size, axis, owner) for axis, size in enumerate(shape))


def _as_size(size: Any, axis: int, owner: str) -> int | Dim:
    from .dims import anonymous

    if isinstance(size, Dim):
        return size
    if isinstance(size, str):
        return dim(size)
    if size is None and owner:
        return anonymous(f"{owner}.shape[{axis}]")
    try:
        if isinstance(size, bool | np.bool_):
            raise TypeError
        made = operator.index(size)
    except TypeError:
        rule = f"the size of axis {axis} must be an int, a Dim or a name, not {describe(size)}"
        raise misuse(ShapeError, rule) from None
    if made < 0:
        raise misuse(ShapeError, f"the size of axis {axis} is negative ({made}); a size is at least 0")
    return made


def constant(value: Any, dtype: Any = None) -> Tensor:
    """A strong constant: a snapshot of `value`, which later changes to the array do not touch.

    >>> constant(1.0) is constant(1.0), constant(1) is constant(1.0), constant(0.0) is constant(-0.0)
    (True, False, False)
    """
    if isinstance(value, Tensor):
        raise TypeError(f"{describe(value)} is already a tensor, not a value to make a constant of")
    return make(Constant(as_array(value, dtype)))


def weak_constant(value: bool | int | float | complex) -> Tensor:
    """A bare Python scalar, which takes its width from the tensors it meets."""
    return make(Constant(as_array(value), weak=True))


def as_array(value: Any, dtype: Any = None) -> np.ndarray[Any, Any]:
    """A read-only private copy of `value` in a supported dtype."""
    if rule := masked(value):
        raise DTypeError(rule)
    try:
        array = np.array(value, dtype=None if dtype is None else as_dtype(dtype), order="C")
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, SymgraphError):
            raise
        raise DTypeError(f"{type(value).__name__} cannot be made an array of numbers: {error}") from None
    array = array.astype(as_dtype(array.dtype), copy=False)
    array.flags.writeable = False
    return array


def masked(value: Any) -> str:
    """What is wrong with a masked array, whose mask no computation would see; empty for any other value.

    >>> masked(np.ma.array([1.0, 2.0], mask=[False, True]))
    '1 of 2 elements are masked, and the mask would be lost. Give x.filled(value), and the mask as an array of its own'
    """
    ma = sys.modules.get("numpy.ma")  # loaded by whoever has a masked array
    if ma is None or not isinstance(value, ma.MaskedArray) or not ma.is_masked(value):
        return ""
    count = int(ma.count_masked(value))
    return (
        f"{count} of {value.size} elements are masked, and the mask would be lost. Give x.filled(value), and the mask as an "
        "array of its own"
    )


# Walks ---------------------------------------------------------------------------------------------------------------


_last: ContextVar[dict[str, tuple[tuple[int, ...], Any, Any]] | None] = ContextVar("last", default=None)
"""While something is built, what the last walks and sweeps found: the ids of their nodes, the result, and the nodes."""


@contextmanager
def building() -> Iterator[None]:
    """While passes make nodes by the thousand, garbage collection waits, and the last walk and sweep are remembered.

    Nodes hold no cycles, and garbage collection would scan them all.
    """
    enabled = gc.isenabled()
    gc.disable()
    outermost = _last.set({}) if _last.get() is None else None
    try:
        yield
    finally:
        if outermost:
            _last.reset(outermost)
        if enabled:
            gc.enable()


def remembered(what: str, nodes: Sequence[Tensor], compute: Callable[[], T]) -> T:
    """The result of `compute()`, which while something is built is not called twice in a row for the same nodes."""
    last = _last.get()
    if last is None:
        return compute()
    key = tuple(map(id, nodes))
    if what not in last or last[what][0] != key:
        last[what] = key, compute(), nodes
    result: T = last[what][1]
    return result


def toposort(outputs: Iterable[Tensor], stop: Collection[Tensor] = ()) -> list[Tensor]:
    """Every node the outputs depend on, inputs before users, each once; nodes in `stop` are not looked into.

    The order depends only on the graph: depth first, operands from left to right.
    """
    roots = list(outputs)
    return _walk(roots, stop) if stop else remembered("walk", roots, lambda: _walk(roots, stop)).copy()


def _walk(roots: list[Tensor], stop: Collection[Tensor]) -> list[Tensor]:
    order: list[Tensor] = []
    done: set[Tensor] = set()
    stack = roots[::-1]
    while stack:
        node = stack[-1]
        if node not in done:
            if not stop or node not in stop:
                pending = [x for x in node.inputs if x not in done]
                if pending:
                    stack += pending[::-1]
                    continue
            done.add(node)
            order.append(node)
        stack.pop()
    return order


def substitute_all(outputs: Sequence[Tensor], mapping: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """`outputs` with nodes replaced; parts that do not depend on a replaced node remain the same objects."""
    done: dict[Tensor, Tensor] = dict(mapping)
    for node in toposort(outputs, stop=done):
        if node not in done:
            done[node] = rebuild(node, [done[x] for x in node.inputs])
    return [done[o] for o in outputs]


def rebuild(node: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """`node` on new inputs: the same object when they are its own."""
    if all(a is b for a, b in zip(node.inputs, inputs, strict=True)):
        return node
    return make(node.op, *(inputs[::-1] if node.flipped else inputs))


def with_bodies(node: Tensor, rewritten: Callable[[Sequence[Tensor]], Sequence[Tensor]]) -> Tensor:
    """`node` with the outputs of the closed sub-graphs of its op rewritten."""
    changed = {}
    for field in node.op.bodies:
        body: Body = getattr(node.op, field)
        outputs = rewritten(body.outputs)
        if any(a is not b for a, b in zip(outputs, body.outputs, strict=True)):
            changed[field] = Body(body.avals, outputs)
    return make(replace(node.op, **changed), *node.inputs) if changed else node  # type: ignore[type-var]


def _as_written(node: Tensor) -> Sequence[Tensor]:
    return node.inputs[::-1] if node.flipped else node.inputs
