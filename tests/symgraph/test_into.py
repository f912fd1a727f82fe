"""What an op writes into an existing array is what its expression gives: over garbage, over an operand, in blocks of rows."""

import warnings

import numpy as np
import pytest

import symgraph as sg
from symgraph import dims
from symgraph.autodiff import vjp
from symgraph.core import Constant, ShapedArray, constant, make, symbol, toposort
from symgraph.dtypes import is_inexact
from symgraph.interpreter import specialized, trace
from symgraph.ops import code
from symgraph.ops.base import Elementwise, Multilinear, Primitive
from symgraph.ops.code import Code
from symgraph.ops.elementwise import Where
from symgraph.ops.gather import Gather, Pick, ScatterAdd, ScatterSet
from symgraph.ops.late import F
from symgraph.ops.reduce import AllOf, AnyOf, Max, Min, Norm, Prod, Sum
from symgraph.ops.slices import SliceSet, Unslice
from symgraph.pytree import flatten
from symgraph.testing.ops import _converted
from symgraph.testing.records import RECORDS

INF, NAN = np.inf, np.nan


def rounds_differently(op, dtype):
    """Sums in another order, and loops for other strides that round in another way; all else agrees bit for bit."""
    functions = isinstance(op, Elementwise) and (op.flops >= 20 or dtype.kind == "c")
    sums = isinstance(op, Multilinear | Prod | Norm) or getattr(op, "adds", False)
    return functions or sums


# Running -------------------------------------------------------------------------------------------------------------


def run(lines, scope):
    text = "\n".join(lines)
    scope["np"] = np
    if "scipy" in text:
        import scipy
        import scipy.special

        scope["scipy"] = scipy
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(text, scope)
    return scope


def garbage(shape, dtype):
    return np.full(shape, NAN if dtype.kind in "fc" else 77, dtype)


def same(found, expected, rounds, what):
    assert found.shape == expected.shape and found.dtype == expected.dtype, what
    if rounds and found.dtype.kind in "fc":
        rtol = 1e-12 if found.dtype.itemsize >= 8 and found.dtype != np.complex64 else 1e-2 if found.itemsize == 2 else 1e-5
        np.testing.assert_allclose(found, expected, rtol, rtol * np.abs(expected[np.isfinite(expected)]).max(initial=1), err_msg=what)
        return
    if found.dtype.kind == "c":
        same(found.real.copy(), expected.real.copy(), rounds, what)
        same(found.imag.copy(), expected.imag.copy(), rounds, what)
        return
    np.testing.assert_array_equal(found, expected, err_msg=what)
    if found.dtype.kind == "f":
        signs = np.where(np.isnan(expected), False, np.signbit(found) != np.signbit(expected))
        assert not signs.any(), f"{what}\nthe sign of zero differs: {found} {expected}"


def operands(node, values):
    """Operands as names, and as numbers where the source would write them so."""
    named = [Code(f"x{i}", aval=ShapedArray(np.shape(v), np.asarray(v).dtype)) for i, v in enumerate(values)]
    yield named
    if isinstance(node.op, Elementwise | Where):
        which = range(len(named))
    else:
        which = (*node.op.literals, *node.op.assigned)
    written = list(named)
    for i in which:
        if isinstance(node.inputs[i].op, Constant) and np.ndim(values[i]) == 0:
            text = code.literal(values[i])
            written[i] = Code(str(text), text.prec, named[i].aval, literal=True)
    if any(x.literal for x in written) and not all(x.literal for x in written):
        yield written


def layouts(values):
    """The same values in arrays laid out in other ways."""
    yield values
    if any(np.ndim(v) for v in values):
        yield [np.repeat(v, 2, axis=-1)[..., ::2] if np.ndim(v) else v for v in values]
        yield [np.flip(np.flip(v).copy()) if np.ndim(v) else v for v in values]
        yield [np.asfortranarray(v) if np.ndim(v) else v for v in values]


def check_node(node, op, values, aval):
    """Every way in which the op writes its result, against its expression."""
    shape, rounds = aval.shape, rounds_differently(op, aval.dtype)
    for xs in operands(node, values):
        plain = op.statements("y", *xs) or [f"y = {op.numpy(*xs)}"]
        for arrays in layouts([np.asarray(v) for v in values]):
            given = {f"x{i}": v for i, v in enumerate(arrays)}
            before = {n: v.copy() for n, v in given.items()}
            expected = np.array(run(plain, dict(given))["y"])
            what = f"{node.op!r} of {[(str(x), str(x.aval)) for x in xs]}:\n"
            quick = op.fast(*xs)
            if quick is not None:
                same(np.array(run([f"y = {quick}"], dict(given))["y"]), expected, rounds, f"{what}{quick}")
            if not shape:
                continue
            for out in ("out", "wide[1:-1]"):
                lines = op.into(out, *xs)
                if lines is None:
                    assert op.into("out", *xs) is None
                    continue
                wide = garbage((shape[0] + 2, *shape[1:]), aval.dtype)
                scope = run(lines, given | {"out": garbage(shape, aval.dtype), "wide": wide})
                found = scope["out"] if out == "out" else wide[1:-1]
                same(found, expected, rounds, what + "\n".join(lines))
                edges = garbage((2, *shape[1:]), aval.dtype)
                same(np.stack([wide[0], wide[-1]]), edges, False, f"{what}the rows around `out` are written")
            if op.inplace:
                check_inplace(op, xs, arrays, expected, rounds, what)
            check_rows(op, xs, arrays, aval, expected, rounds, what)
            check_addition(op, xs, given, expected, what)
            for name, value in before.items():
                np.testing.assert_array_equal(given[name], value, err_msg=f"{what}{name} was written to")


def check_inplace(op, xs, arrays, expected, rounds, what):
    for i, x in enumerate(xs):
        fits = arrays[i].shape == expected.shape and arrays[i].dtype == expected.dtype and not x.literal
        if not fits or x in (xs[:i] + xs[i + 1 :]):
            continue
        given = {f"x{j}": v.copy() for j, v in enumerate(arrays)}
        lines = op.into(str(x), *xs)
        if lines is not None:
            run(lines, given)
            same(given[str(x)], expected, rounds, f"{what}in the place of {x}:\n" + "\n".join(lines))


def check_rows(op, xs, arrays, aval, expected, rounds, what):
    """The same statements over two blocks of rows."""
    rows = op.by_rows(aval, *[x.aval for x in xs])
    if rows is None or aval.shape[0] < 2:
        return
    sliced = [
        Code(f"{x}[i:j]", aval=x.aval) if row and not x.literal and x.aval.shape else x
        for x, row in zip(xs, rows, strict=True)
    ]
    lines = op.into("out[i:j]", *sliced)
    if lines is None:
        return
    out = garbage(aval.shape, aval.dtype)
    given = {f"x{k}": v for k, v in enumerate(arrays)}
    for i, j in ((0, 1), (1, aval.shape[0])):
        run(lines, given | {"out": out, "i": i, "j": j})
    same(out, expected, rounds, f"{what}by rows:\n" + "\n".join(lines))


def check_addition(op, xs, given, expected, what):
    lines = op.add_into("out", *xs)
    if lines is None:
        return
    start = np.arange(expected.size).reshape(expected.shape).astype(expected.dtype)
    scope = run(lines, given | {"out": start.copy()})
    total = np.logical_or(start, expected) if start.dtype == bool else start + expected
    np.testing.assert_allclose(scope["out"], total, rtol=1e-6, err_msg=what + "\n".join(lines))


def check_graph(build, sample, derivatives=False):
    values = [np.asarray(v) for v in sample]
    xs = [symbol("xyzuvw"[i], v.shape, v.dtype) for i, v in enumerate(values)]
    outputs, _ = flatten(build(*xs))
    if derivatives:
        wrt = [x for x in xs if is_inexact(x.dtype)]
        inexact = [y for y in outputs if is_inexact(y.dtype)]
        if not wrt or not inexact:
            return
        outputs = list(vjp(inexact, wrt, [F.full_like(y, 0.75) for y in inexact], unused="zero"))
    found = trace(outputs, dict(zip(xs, values, strict=True)))
    for node in toposort(outputs):
        if isinstance(node.op, Primitive) and isinstance(node.aval, ShapedArray) and not node.op.bodies:
            if not node.aval.weak and not any(isinstance(x.aval, tuple) for x in node.inputs):
                check_node(node, specialized(node.op, {}), [found[x] for x in node.inputs], node.aval)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_record(record):
    for sample in (*record.samples, *record.singular):
        check_graph(record.build, sample)
    for char in record.dtypes:
        try:
            check_graph(record.build, [_converted(np.asarray(v), char) for v in record.samples[0]])
        except sg.DTypeError:
            continue
    single = {"d": "f", "D": "F"}
    values = [np.asarray(v) for v in record.samples[0]]
    if record.float32:
        check_graph(record.build, [v.astype(single.get(v.dtype.char, v.dtype.char)) for v in values])
    if record.order:
        check_graph(record.build, record.samples[0], derivatives=True)
