"""One record per op, and the check that looks at everything the record's op claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dims
from ..autodiff import jvp, vjp
from ..core import Tensor, describe, symbol, toposort
from ..dtypes import is_complex, is_inexact
from ..errors import DTypeError
from ..interpreter import interpret, sizes_of, trace
from ..ops.base import Elementwise, Primitive
from ..pytree import flatten
from .batches import check_batching

Arrays = tuple[Any, ...]


@dataclass(frozen=True)
class Record:
    """Samples of one op and what is to be compared with them."""

    name: str
    build: Callable[..., Any]
    """From operands as tensors to the result: a tensor or a nesting."""
    samples: Sequence[Arrays]
    """Operands inside the domain, away from kinks: everything is checked there."""
    covers: tuple[str, ...] = ()
    """The primitives this is the record of; the one called `name` unless said otherwise."""
    reference: Callable[..., Any] | None = None
    """The same in NumPy or SciPy."""
    singular: Sequence[Arrays] = ()
    """Operands where derivatives may be infinite: values, types and sources are checked there."""
    symbolic: Sequence[Any] | None = None
    """A shape with named axes for each operand of the first sample."""
    sizes: Sequence[Mapping[str, int]] = ({"n": 4}, {"n": 1}, {"n": 0})
    """Sizes at which the symbolic graph runs."""
    sympy: str | None = None
    """The op as a SymPy expression in x, y, z, for elementwise ops of one number each."""
    dtypes: str = ""
    """dtype characters to try in every combination against the reference, mistakes included."""
    order: int = 2
    """To what order derivatives are checked; 0 where there are none."""
    float32: bool = True
    """Whether the op works in single precision."""
    rtol: float = 1e-5
    """Of derivatives against central differences."""

    @property
    def covered(self) -> tuple[str, ...]:
        return self.covers or (self.name,)


def check_op(record: Record) -> None:
    """Raise AssertionError for the first claim of a record that does not hold."""
    for i, sample in enumerate(record.samples):
        values = tuple(np.asarray(v) for v in sample)
        xs = _symbols(values)
        outputs, _ = flatten(record.build(*xs))
        given = dict(zip(xs, values, strict=True))
        if i == 0:
            _check_covers(record, outputs)
        _check_value(record, outputs, given, values)
        check_sources(xs, outputs, given)
        if record.order:
            _check_derivatives(record, xs, outputs, given)
        if record.float32:
            _check_single(record, values)
        check_batching(record.build, values, thorough=i == 0)
    for sample in record.singular:
        values = tuple(np.asarray(v) for v in sample)
        xs = _symbols(values)
        outputs, _ = flatten(record.build(*xs))
        given = dict(zip(xs, values, strict=True))
        _check_value(record, outputs, given, values)
        check_sources(xs, outputs, given)
        wrt = [x for x in xs if is_inexact(x.dtype)]
        if record.order and wrt:
            check_sources(xs, _gradients(outputs, wrt), given, finite_only=True)
    if record.symbolic is not None:
        for sizes in record.sizes:
            _check_symbolic(record, sizes)
    if record.dtypes:
        _check_promotion(record)
    if record.sympy:
        _check_sympy(record)


def _symbols(values: Sequence[Any], shapes: Sequence[Any] | None = None) -> list[Tensor]:
    shapes = shapes or [v.shape for v in values]
    return [symbol("xyzuvw"[i], shape, v.dtype) for i, (v, shape) in enumerate(zip(values, shapes, strict=True))]


def _check_covers(record: Record, outputs: Sequence[Tensor]) -> None:
    present = {key_of(node.op) for node in toposort(outputs)}
    if record.symbolic is not None:
        named, _ = flatten(record.build(*_symbols([np.asarray(v) for v in record.samples[0]], record.symbolic)))
        present |= {key_of(node.op) for node in toposort(named)}
    missing = set(record.covered) - present
    assert not missing, (
        f"{record.name}: the graph of its record has no {', '.join(sorted(missing))}, only {sorted(present)}"
    )


# Values and types ----------------------------------------------------------------------------------------------------


def check_types(outputs: Sequence[Tensor], values: Mapping[Tensor, Any]) -> dict[Tensor, Any]:
    """Every node has the shape and dtype that its type rule says; returns the values of the nodes."""
    found = trace(outputs, values)
    sizes = sizes_of({x: np.asarray(v) for x, v in values.items()})
    for node, value in found.items():
        avals, results = (node.aval, value) if isinstance(node.aval, tuple) else ((node.aval,), (value,))
        assert len(avals) == len(results), f"{describe(node)} has {len(results)} results"
        for aval, result in zip(avals, results, strict=True):
            shape = tuple(dims.evaluate(d, sizes) for d in aval.shape)
            assert np.shape(result) == shape, f"{describe(node)} came out as {np.shape(result)}, inferred {shape}"
            dtype = np.asarray(result).dtype
            assert dtype == aval.dtype, f"{describe(node)} came out as {dtype}, inferred {aval.dtype}"
    return found


def _check_value(record: Record, outputs: Sequence[Tensor], given: Mapping[Tensor, Any], values: Arrays) -> None:
    found = check_types(outputs, given)
    _check_signs(found)
    if record.reference is None:
        return
    with np.errstate(all="ignore"):
        expected, _ = flatten(record.reference(*values))
    assert len(expected) == len(outputs), f"{record.name}: {len(outputs)} outputs, the reference has {len(expected)}"
    for y, value in zip(outputs, expected, strict=True):
        value = np.asarray(value)
        assert y.dtype == value.dtype, f"{record.name} of {_types(values)} is {y.dtype}, the reference {value.dtype}"
        _close(found[y], value, 1e-12, f"{record.name} of {values} and its reference")


def _check_signs(found: Mapping[Tensor, Any]) -> None:
    """What an op says of its sign and its finiteness holds at these values."""
    for node, value in found.items():
        if not isinstance(node.op, Primitive) or isinstance(node.aval, tuple) or node.dtype.kind == "c":
            continue
        operands = [found[x] for x in node.inputs]
        if any(isinstance(v, tuple) or np.asarray(v).dtype.kind == "c" for v in operands):
            continue
        if node.op.nonnegative(*[not np.any(np.less(v, 0)) for v in operands]):
            assert not np.any(np.less(value, 0)), f"{describe(node)} says it is not negative: {value}"
        if node.op.bounded(*[bool(np.all(np.isfinite(v))) for v in operands]):
            assert np.all(np.isfinite(value)), f"{describe(node)} says it is finite: {value}"


def _types(values: Sequence[Any]) -> str:
    return ", ".join(f"{v.dtype}{list(v.shape)}" for v in values)


def _close(found: Any, expected: Any, rtol: float, what: str, finite_only: bool = False) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape} and {expected.shape}"
    if (found.dtype.itemsize < 8 and found.dtype.kind in "f") or found.dtype == np.complex64:
        rtol = max(rtol, 1e-2 if found.dtype.itemsize == 2 else 1e-5)
    if finite_only:
        finite = np.isfinite(expected)
        found, expected = found[finite], expected[finite]
    if expected.dtype.kind not in "fc":
        np.testing.assert_array_equal(found, expected, err_msg=what)
    else:
        size = np.max(np.abs(expected[np.isfinite(expected)]), initial=1)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * size, err_msg=what)


def check_sources(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    values: Mapping[Tensor, Any],
    *,
    rtol: float = 1e-9,
    finite_only: bool = False,
) -> None:
    """Plain and fast sources, optimized and not, give what the naive interpreter gives.

    `finite_only` leaves out where that is not finite: a rewrite may turn nan or inf into the finite answer.
    """
    from ..function import function

    expected = interpret(outputs, values)
    reached = set(toposort(outputs))
    inputs = [x for x in inputs if x in reached or dims.variables(*x.shape)]
    arguments = [np.asarray(values[x], x.dtype) for x in inputs]
    before = [a.copy() for a in arguments]
    for style in ("plain", "fast"):
        for optimize in (True, False):
            compiled = function(list(inputs), list(outputs), style=style, optimize=optimize)
            for _ in range(2):  # twice, for a workspace that is used again
                with np.errstate(all="ignore"):
                    found = compiled(*arguments)
                for y, a, b in zip(outputs, found, expected, strict=True):
                    how = f"style={style!r}, optimize={optimize}:\n{compiled.source}\n"
                    what = f"{describe(y)} by the interpreter and by {how}"
                    assert np.asarray(a).dtype == y.dtype, f"{what}dtype {np.asarray(a).dtype}"
                    _close(a, b, rtol, what, finite_only)
            for a, b in zip(arguments, before, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"an argument was written to:\n{compiled.source}")


# Derivatives ---------------------------------------------------------------------------------------------------------


def _gradients(outputs: Sequence[Tensor], wrt: Sequence[Tensor], ct: float = 1.0) -> list[Tensor]:
    from ..ops.late import F

    inexact = [y for y in outputs if is_inexact(y.dtype)]
    return list(vjp(inexact, list(wrt), [F.full_like(y, ct) for y in inexact], unused="zero"))


def _check_derivatives(
    record: Record, xs: Sequence[Tensor], outputs: Sequence[Tensor], given: Mapping[Tensor, Any]
) -> None:
    from .gradients import check_derivatives

    wrt = [x for x in xs if is_inexact(x.dtype) and x.dtype.itemsize >= 8]
    if not wrt:
        return
    check_derivatives(outputs, wrt, given, order=record.order, rtol=record.rtol, atol=record.rtol)
    first = _gradients(outputs, wrt, 0.75)
    check_types(first, given)
    check_sources(list(xs), first, given)


_SINGLE = {"d": "f", "D": "F"}


def _check_single(record: Record, values: Arrays) -> None:
    """In single precision nothing becomes double: values, gradients, tangents, and all the nodes between."""
    if not any(v.dtype.char in _SINGLE for v in values):
        return
    single = tuple(v.astype(_SINGLE.get(v.dtype.char, v.dtype.char)) for v in values)
    xs = _symbols(single)
    wide = _symbols(values)
    double, _ = flatten(record.build(*wide))
    outputs, _ = flatten(record.build(*xs))
    given = dict(zip(xs, single, strict=True))
    wrt = [x for x in xs if is_inexact(x.dtype)]
    found = check_types(outputs, given)
    for y, d in zip(outputs, double, strict=True):
        if d.dtype.char in _SINGLE:
            assert y.dtype.char == _SINGLE[d.dtype.char], f"{record.name} of float32 is {y.dtype}"
    expected = interpret(double, dict(zip(wide, values, strict=True)))
    for y, e in zip(outputs, expected, strict=True):
        if is_inexact(y.dtype):
            _close(found[y], e.astype(y.dtype), 1e-4, f"{record.name} in single and in double precision")
    if not record.order:
        return
    made = _gradients(outputs, wrt)
    made += [t for t in jvp(outputs, wrt, [symbol("t", x.shape, x.dtype) for x in wrt]) if is_inexact(t.dtype)]
    for g in made:
        assert g.dtype.char in "fF", f"{record.name}: a derivative in float32 is {g.dtype}"
    for node in toposort(made):
        avals = node.aval if isinstance(node.aval, tuple) else (node.aval,)
        wide = [a for a in avals if a.dtype.char in "dD" and not a.weak]
        assert not wide, f"{record.name}: {describe(node)} is double in the derivative of a float32 op"


# Symbolic sizes ------------------------------------------------------------------------------------------------------


def _check_symbolic(record: Record, sizes: Mapping[str, int]) -> None:
    """The graph over named axes gives, at these sizes, what the graph over numbers gives: values, gradients, batches."""
    from ..function import function

    assert record.symbolic is not None
    sample = tuple(np.asarray(v) for v in record.samples[0])
    named = _symbols(sample, record.symbolic)
    values = [np.resize(v, [dims.evaluate(d, sizes) for d in x.shape]).astype(v.dtype) for x, v in zip(named, sample)]
    fixed = _symbols(values)
    results = []
    for xs in (named, fixed):
        outputs, _ = flatten(record.build(*xs))
        wrt = [x for x in xs if is_inexact(x.dtype)]
        inexact = any(is_inexact(y.dtype) for y in outputs)
        results.append([*outputs, *(_gradients(outputs, wrt) if record.order and wrt and inexact else [])])
    given = dict(zip(named, values, strict=True))
    check_types(results[0], given)
    expected = interpret(results[1], dict(zip(fixed, values, strict=True)))
    for y, a, b in zip(results[0], interpret(results[0], given), expected, strict=True):
        _close(
            a, b, 1e-10, f"{record.name} at {sizes}: {describe(y)} over symbolic and over fixed sizes", finite_only=True
        )
    for style in ("plain", "fast"):
        compiled = function(named, results[0], style=style)
        with np.errstate(all="ignore"):
            found = compiled(*values)
        for y, a, b in zip(results[0], found, expected, strict=True):
            _close(a, b, 1e-10, f"{record.name} at {sizes}: {describe(y)} by\n{compiled.source}\n", finite_only=True)
    check_batching(record.build, values, shapes=record.symbolic)


# dtypes --------------------------------------------------------------------------------------------------------------


def _check_promotion(record: Record) -> None:
    """Over every combination of dtypes: NumPy's result and dtype, or a DTypeError where NumPy has none."""
    assert record.reference is not None
    sample = tuple(np.asarray(v) for v in record.samples[0])
    combinations: list[tuple[str, ...]] = [()]
    for _ in sample:
        combinations = [(*c, d) for c in combinations for d in record.dtypes]
    for chars in combinations:
        values = tuple(_converted(v, c) for v, c in zip(sample, chars, strict=True))
        xs = _symbols(values)
        try:
            with np.errstate(all="ignore"):
                expected, _ = flatten(record.reference(*values))
        except TypeError:
            try:
                record.build(*xs)
            except DTypeError:
                continue
            raise AssertionError(f"{record.name} of {_types(values)}: NumPy refuses these types") from None
        outputs, _ = flatten(record.build(*xs))
        found = check_types(outputs, dict(zip(xs, values, strict=True)))
        for y, e in zip(outputs, expected, strict=True):
            e = np.asarray(e)
            assert y.dtype == e.dtype, f"{record.name} of {_types(values)} is {y.dtype}; in NumPy it is {e.dtype}"
            _close(found[y], e, 1e-6, f"{record.name} of {_types(values)}")


def _converted(value: Any, char: str) -> Any:
    value = value.real if char not in "FD" else value
    with np.errstate(all="ignore"):
        return np.abs(np.rint(value)).astype(char) if np.dtype(char).kind in "bui" else value.astype(char)


# SymPy ---------------------------------------------------------------------------------------------------------------


def _check_sympy(record: Record) -> None:
    """Value and partials at the samples, against SymPy's own derivative evaluated with 30 digits."""
    import sympy

    assert record.sympy is not None
    for sample in record.samples:
        values = tuple(np.asarray(v) for v in sample)
        if any(is_complex(v.dtype) for v in values):
            continue
        xs = _symbols(values)
        (y,), _ = flatten(record.build(*xs))
        names = [sympy.Symbol(c, real=True) for c in "xyz"[: len(xs)]]
        expression = sympy.sympify(record.sympy, locals=dict(zip("xyz", names, strict=False)))
        wrt = [x for x in xs if is_inexact(x.dtype)] if record.order else []
        formulas = [expression, *(sympy.diff(expression, n) for n, x in zip(names, xs, strict=True) if x in set(wrt))]
        whole = np.broadcast_arrays(*values)
        points = list(zip(*[w.ravel().tolist() for w in whole], strict=True))[:4]
        wide = [symbol("xyz"[i], w.shape, w.dtype) for i, w in enumerate(whole)]
        (y,), _ = flatten(record.build(*wide))
        gradients = _gradients([y], [w for w, x in zip(wide, xs, strict=True) if x in set(wrt)]) if wrt else []
        found = interpret([y, *gradients], dict(zip(wide, whole, strict=True)))
        for formula, value in zip(formulas, found, strict=True):
            exact = [complex(formula.evalf(30, subs=dict(zip(names, p, strict=True)))) for p in points]
            got = np.asarray(value).ravel()[: len(points)]
            _close(got, np.real(exact), 1e-9, f"{record.name} and SymPy's {formula}")


# Who is covered ------------------------------------------------------------------------------------------------------

QUESTIONS = ("lower", "batch", "as_einsum", "nonnegative", "bounded", "hazard", "cost", "inplace", "is_view")
"""What `symgraph.ops.base.Primitive` answers for an op that does not answer itself."""


def primitives() -> dict[str, Any]:
    """Every primitive of the library by its name: the elementwise instances, and the classes of the other kinds."""
    import symgraph  # noqa: F401  the whole library

    found: dict[str, Any] = {}
    for op in Elementwise.registry.values():
        if _library(op):
            found[str(op.name)] = op
    for cls in _subclasses(Primitive):
        if not issubclass(cls, Elementwise) and "name" in cls.__dict__ and _library(cls):
            found[key_of(cls)] = cls
    return dict(sorted(found.items()))


def key_of(op: Any) -> str:
    """The name of a primitive: that of an elementwise op or of a class, whatever an instance is called in print."""
    if isinstance(op, Elementwise):
        return str(op.name)
    cls: Any = op if isinstance(op, type) else type(op)
    return cls.name if isinstance(getattr(cls, "name", None), str) else str(cls.__name__)


def _library(op: Any) -> bool:
    module = op.__module__ if isinstance(op, type) else type(op).__module__
    return module.startswith("symgraph.")


def _subclasses(cls: Any) -> Iterator[Any]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def default_answers() -> dict[str, list[str]]:
    """For each primitive, the questions of `ops.base` that it leaves at their safe defaults."""
    return {name: [q for q in QUESTIONS if _is_default(op, q)] for name, op in primitives().items()}


def _is_default(op: Any, question: str) -> bool:
    if isinstance(op, Elementwise) and type(op) is Elementwise:
        given = {
            "lower": op._lower,
            "nonnegative": op._nonnegative,
            "bounded": op._bounded,
            "hazard": op.hazard,
        }
        if question in given:
            return given[question] in (None, False)
    cls = op if isinstance(op, type) else type(op)
    return getattr(cls, question) is getattr(Primitive, question)
