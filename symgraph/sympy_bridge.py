"""To SymPy and back: a graph of scalars, or of arrays whose sizes are small and fixed, as SymPy expressions.

    >>> from symgraph import grad, sin, symbol
    >>> x, y = symbol("x"), symbol("y")
    >>> to_sympy(grad(sin(x) * y**2, x))
    y**2*cos(x)
    >>> import sympy
    >>> a = sympy.Symbol("a")
    >>> print(from_sympy(sympy.diff(sympy.exp(-a * a), a), {a: x}))
    -2 * x * exp(-x**2)

An array is computed element by element: a symbol of shape (2,) becomes x_0 and x_1, a result with two axes an (immutable)
Matrix and one with any other number of axes an Array. Numbers that are whole are exact, other floats stay floats, and what
chooses (`where`, `maximum`, `relu`) is a `Piecewise`. SymPy is imported when a function here is first called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .core import Bound, Constant, Leaf, Tensor, describe, format_shape, located_error, toposort
from .errors import ShapeError, SymgraphError
from .ops.base import Elementwise, as_tensor
from .ops.control import Cond
from .pytree import flatten

MOST_ELEMENTS = 4096
"""A larger array is refused: every element would be an expression."""


def to_sympy(outputs: Any, symbols: Mapping[Tensor, Any] | None = None) -> Any:
    """`outputs` (a tensor or any nesting) as SymPy expressions, in the same nesting.

    Symbols and parameters become SymPy symbols of their names, numbered where two have one name (x, x_2): real for floats,
    integer for ints. `symbols` gives others: for a tensor a SymPy expression, or an array of them of its shape.

    Raises `ShapeError` for sizes that are not known now or too large, and `SymgraphError` for an op that SymPy has no form of.

    >>> from symgraph import symbol
    >>> A, x = symbol("A", (2, 2)), symbol("x", (2,))
    >>> to_sympy(x @ A @ x)
    x_0*(A_0_0*x_0 + A_1_0*x_1) + x_1*(A_0_1*x_0 + A_1_1*x_1)
    >>> to_sympy(A.T)
    Matrix([
    [A_0_0, A_1_0],
    [A_0_1, A_1_1]])
    """
    _sympy()
    leaves, restore = flatten(outputs)
    roots = [as_tensor(leaf) for leaf in leaves]
    given = {as_tensor(x): _filled(as_tensor(x), v) for x, v in (symbols or {}).items()}
    values = _evaluated(roots, given)
    return restore([_shown(values[x]) for x in roots])


def from_sympy(expression: Any, symbols: Any) -> Any:
    """A SymPy expression (or Matrix, Array, or nesting of these) as a tensor.

    `symbols` says what its symbols are: a mapping from SymPy symbols or their names to tensors or numbers, or a list of tensors,
    meant by their own names. An array tensor x stands for the names of its elements, x_0, x_1 or x_0_1, too.

    Raises `TypeError` for what is no SymPy expression, and `SymgraphError` for a symbol that is not given, two tensors of one
    name, or a function without a counterpart here.

    >>> import sympy
    >>> from symgraph import symbol
    >>> x = symbol("x")
    >>> print(from_sympy(sympy.sympify("(x + 1)/2"), [x]))
    x / 2 + 0.5
    """
    _sympy()
    from .sympy_reading import read

    known = dict(symbols) if isinstance(symbols, Mapping) else {_own_name(x): x for x in symbols}
    if not isinstance(symbols, Mapping) and len(known) < len(list(symbols)):
        raise SymgraphError(
            "from_sympy: two of the tensors have one name. Give a mapping from SymPy symbols to tensors instead of a list"
        )
    leaves, restore = flatten(expression)
    return restore([read(leaf, known) for leaf in leaves])


def _sympy() -> Any:
    try:
        import sympy
    except ImportError:
        raise ImportError("to_sympy and from_sympy need SymPy: pip install sympy") from None
    return sympy


def _own_name(x: Any) -> str:
    name = x.name if isinstance(x, Tensor) else None
    if name is None:
        raise TypeError(
            f"from_sympy: {describe(x)} has no name. Give a mapping from SymPy symbols to tensors instead of a list"
        )
    return name


# To SymPy ------------------------------------------------------------------------------------------------------------


def _evaluated(roots: Sequence[Tensor], given: Mapping[Tensor, Any]) -> dict[Tensor, Any]:
    """The array of expressions that each node is; nodes in `given` are not looked into."""
    from .sympy_forms import array_forms, constants, elementwise_forms

    values: dict[Tensor, Any] = dict(given)
    taken = {str(s) for v in given.values() for e in v.flat for s in getattr(e, "free_symbols", ())}
    for node in toposort(roots, stop=values):
        if node in values:
            continue
        op: Any = node.op
        xs = [values[x] for x in node.inputs]
        if isinstance(op, Leaf):
            values[node] = _symbols(node, taken)
        elif isinstance(op, Constant):
            values[node] = constants(op.value, _shape(node))
        elif isinstance(op, Cond):
            values[node] = _branched(op, xs)
        elif isinstance(op, Elementwise) and (form := elementwise_forms().get(_logical(node))) is not None:
            values[node] = np.frompyfunc(form, len(xs), 1)(*xs)
        else:
            if not isinstance(node.aval, tuple) and any(not isinstance(n, int) for n in node.shape):
                _shape(node)  # which tells what is wrong
            form = next((f for kind, f in array_forms().items() if isinstance(op, kind)), None)
            made = form(node, *xs) if form is not None else None
            if made is None:
                rule = "it has no form in SymPy. Give a SymPy expression for this part: to_sympy(y, symbols={part: expression})"
                raise located_error(SymgraphError, f"to_sympy of {op.name}", node.inputs, rule)
            values[node] = made
        if not isinstance(values[node], tuple):
            values[node] = _as_objects(values[node])
    return values


def _branched(op: Cond, xs: Sequence[Any]) -> Any:
    """What a `cond` gives: a choice between its branches, of which both are looked into."""
    sympy = _sympy()
    condition, *given = xs
    branches = []
    for body in (op.true, op.false):
        bound = {x: given[x.op.index] for x in toposort(body.outputs) if isinstance(x.op, Bound)}
        inside = _evaluated(body.outputs, bound)
        branches.append([inside[y] for y in body.outputs])
    choose = np.frompyfunc(lambda a, b: sympy.Piecewise((a, condition[()]), (b, True)), 2, 1)
    made = tuple(_as_objects(choose(a, b)) for a, b in zip(*branches, strict=True))
    return made if len(made) > 1 else made[0]


def _logical(node: Tensor) -> str:
    """The name of an elementwise op; of one on the bits of truths, that of the one on truths."""
    name = node.op.name
    truths = {
        "bitwise_and": "logical_and",
        "bitwise_or": "logical_or",
        "bitwise_xor": "logical_xor",
        "invert": "logical_not",
    }
    return truths.get(name, name) if node.dtype.kind == "b" else name


def _as_objects(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == object:
        return value
    made = np.empty((), object)
    made[()] = value
    return made


def _shape(node: Tensor) -> tuple[int, ...]:
    """The shape of a node in whole numbers."""
    shape = tuple(n for n in node.shape if isinstance(n, int))
    if len(shape) < node.ndim:
        rule = (
            f"its shape {format_shape(node.shape)} is not known now, and every element becomes an expression. Give the symbols "
            "fixed sizes"
        )
        raise located_error(ShapeError, "to_sympy", [node], rule)
    if int(np.prod(shape)) > MOST_ELEMENTS:
        rule = (
            f"it has {int(np.prod(shape))} elements, and every one becomes an expression; the limit is {MOST_ELEMENTS}"
        )
        raise located_error(ShapeError, "to_sympy", [node], rule)
    return shape


def _symbols(leaf: Tensor, taken: set[str]) -> Any:
    """Fresh SymPy symbols for the elements of a leaf."""
    sympy = _sympy()
    shape, label = _shape(leaf), leaf.op.label  # type: ignore[attr-defined]
    assumptions = {"f": {"real": True}, "i": {"integer": True}, "u": {"integer": True, "nonnegative": True}}
    made = np.empty(shape, object)
    stem, count = label, 1
    while True:
        names = {place: "_".join([stem, *map(str, place)]) for place in np.ndindex(*shape)}
        if not taken.intersection(names.values()):
            break
        count += 1
        stem = f"{label}_{count}" if not shape else f"{label}__{count}"
    for place, name in names.items():
        made[place] = sympy.Symbol(name, **assumptions.get(leaf.dtype.kind, {}))
    taken.update(names.values())
    return made


def _filled(x: Tensor, value: Any) -> Any:
    """What the user gives for a tensor, as an array of expressions of its shape."""
    sympy = _sympy()
    shape = _shape(x)
    if isinstance(value, str):
        value = sympy.Symbol(value)
    rows = value.tolist() if hasattr(value, "tolist") else value
    made = np.empty(shape, object)
    try:
        array = np.array(rows, dtype=object)
        made[...] = array if array.shape == shape else array.reshape(shape)
    except ValueError:
        rule = f"the symbols given for it must have its shape {format_shape(shape)}"
        raise located_error(ShapeError, "to_sympy", [x], rule) from None
    return np.frompyfunc(sympy.sympify, 1, 1)(made) if shape else _as_objects(sympy.sympify(made[()]))


def _shown(value: Any) -> Any:
    sympy = _sympy()
    if isinstance(value, tuple):
        return tuple(map(_shown, value))
    if value.ndim == 0:
        return value[()]
    if value.ndim == 2:
        return sympy.ImmutableDenseMatrix(*value.shape, list(value.flat))
    return sympy.ImmutableDenseNDimArray(list(value.flat), value.shape)


__all__ = ["from_sympy", "to_sympy"]
