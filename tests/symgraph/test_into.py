"""What an op writes into an existing array is what its expression gives: over garbage, over an operand, in blocks of rows."""

import warnings
from functools import lru_cache, partial

import numpy as np
import pytest

import symgraph as sg
from symgraph import dims
from symgraph.autodiff import vjp
from symgraph.core import Constant, ShapedArray, constant, make, symbol, toposort
from symgraph.dtypes import is_inexact
from symgraph.implicit import Implicit
from symgraph.interpreter import specialized, trace
from symgraph.ops import code
from symgraph.ops.base import Elementwise, Multilinear, Primitive
from symgraph.ops.code import Code
from symgraph.ops.elementwise import Where
from symgraph.ops.gather import Gather, ScatterAdd, ScatterSet
from symgraph.ops.late import F
from symgraph.ops.reduce import Norm, Prod
from symgraph.ops.slices import SliceSet
from symgraph.ops.triangular import CholeskyGradient
from symgraph.pytree import flatten
from symgraph.testing.ops import _converted
from symgraph.testing.records import RECORDS

INF, NAN = np.inf, np.nan


def rounds_differently(op, dtype):
    """Sums in another order, and loops for other strides that round in another way; all else agrees bit for bit."""
    functions = isinstance(op, Elementwise) and (op.flops >= 20 or dtype.kind == "c")
    sums = isinstance(op, Multilinear | Prod | Norm) or getattr(op, "adds", False)
    signs = op.name in ("maximum", "minimum", "fmax", "fmin")  # NumPy leaves that of max(0.0, -0.0) open
    return functions or sums or signs


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
        exec(compiled(text), scope)
    return scope


@lru_cache(maxsize=20_000)
def compiled(text):
    return compile(text, "<into>", "exec")


def garbage(shape, dtype):
    return np.full(shape, NAN if dtype.kind in "fc" else 77, dtype)


def same(found, expected, rounds, what):
    assert found.shape == expected.shape and found.dtype == expected.dtype, what
    if rounds and found.dtype.kind in "fc":
        rtol = (
            1e-12
            if found.dtype.itemsize >= 8 and found.dtype != np.complex64
            else 1e-2
            if found.itemsize == 2
            else 1e-5
        )
        np.testing.assert_allclose(
            found, expected, rtol, rtol * np.abs(expected[np.isfinite(expected)]).max(initial=1), err_msg=what
        )
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
            expected = np.array(run(plain, dict(given))["y"]).astype(
                aval.dtype
            )  # two Python numbers are of their own type
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
    np.testing.assert_allclose(
        scope["out"], total, rtol=1e-6, atol=1e-6 * np.abs(total).max(initial=1), err_msg=what + "\n".join(lines)
    )


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
            if isinstance(node.op, Implicit | CholeskyGradient):
                continue  # has no expression: it is only ever lowered
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


# Forms that the records do not reach -----------------------------------------------------------------------------------

RNG = np.random.default_rng(7)
A = np.array


@pytest.mark.parametrize("char", "?bHilefdFD")
@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((3,), (2, 1)), ((2, 3), ()), ((), (2, 3)), ((), ())])
def test_choosing_by_a_mask(char, shapes):
    c = A([[True, False, True], [False, False, True]])
    special = A([0.0, -0.0, INF, -INF, NAN, 1.5, -2.0, 3.0])
    special = (
        np.where(np.isfinite(special), np.abs(special), 7).astype(char) if char in "?bHil" else special.astype(char)
    )
    numbers = [constant(special[i]) for i in (0, 1, 2, 5, 6)]
    for shift in range(4):
        a, b = (np.resize(np.roll(special, k), shape) for k, shape in zip((shift, 2 * shift + 1), shapes, strict=True))
        check_graph(F.where, (c, a, b))
        check_graph(F.where, (c[:, :1], np.broadcast_to(a, (2, 3)), b))
        check_graph(F.masked_multiply, (c, a, b))
    for number in numbers:
        x = np.resize(special, (2, 3))
        check_graph(lambda c, x, number=number: F.where(c, x, number), (c, x))
        check_graph(lambda c, x, number=number: F.where(c, number, x), (c, x))
        for other in numbers:
            check_graph(lambda c, number=number, other=other: F.where(c, number, other), (c,))


def test_choosing_where_an_operand_is_cast_on_the_way():
    c, a, b = A([True, False, True]), A([1.5, INF, NAN]), A([4, 5, 6], dtype="i")
    names = [
        Code("c", aval=ShapedArray((3,), c.dtype)),
        Code("a", aval=ShapedArray((3,), a.dtype)),
        Code("b", aval=ShapedArray((3,), b.dtype)),
    ]
    where = sg.where(symbol("c", 3, bool), symbol("a", 3), symbol("b", 3)).op
    for xs in (names, [names[0], names[2], names[1]]):
        expected = np.where(c, *[{"a": a, "b": b}[str(x)] for x in xs[1:]])
        for out in ("out", "a"):
            scope = {"c": c, "a": a.copy(), "b": b, "out": garbage((3,), a.dtype)}
            same(run(where.into(out, *xs), scope)[out], expected, False, f"{out} = {xs}")


def test_nothing_is_copied_onto_itself():
    x = Code("x", aval=ShapedArray((3,), np.dtype(float)))
    assert F.positive(symbol("x", 3)).op.into("x", x) == []


def test_a_slice_is_assigned_as_it_stands():
    assert code.whole("t[i:j]") == "t[i:j]"
    assert (
        code.whole("t") == "t[...]"
        and code.whole("t[0]") == "t[0][...]"
        and code.whole("t[i:n[0]]") == "t[i:n[0]][...]"
    )


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
@pytest.mark.parametrize("number", [0.0, -0.0, 2.5, INF, NAN])
def test_extremes_with_a_number(name, number):
    x = np.tile(A([0.0, -0.0, 1.0, INF, -INF, NAN]), 400)
    check_graph(lambda x: getattr(F, name)(x, number), (x[:20],))
    check_graph(lambda x: getattr(F, name)(x, number), (x,))
    check_graph(lambda x: getattr(F, name)(number, x), (x.astype("f"),))
    check_graph(lambda x, n: getattr(F, name)(x, n), (x, A(number)))


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 0.5, -1.0, -0.5, 0.0])
def test_powers(exponent):
    for char in "fdD":
        check_graph(lambda x: x**exponent, (A([0.0, -0.0, INF, 2.0, 0.3]).astype(char),))


@pytest.mark.parametrize("shape", [(5, 2), (4, 3, 5), (3, 1), (2, 1000), (0, 4), (3, 2000)])
@pytest.mark.parametrize("char", "?ilfdD")
def test_short_rows(shape, char):
    x = (RNG.standard_normal(shape) * 3).astype(char)
    names = ("sum", "any", "all") if char in "D?" else ("sum", "any", "all", "max", "min")
    for keepdims in (False, True):
        for axes in ((-1,), (-2, -1)) if len(shape) > 2 else ((-1,),):
            for name in names:
                check_graph(partial(getattr(F, name), axis=axes, keepdims=keepdims), (x,))


def test_a_sum_of_many_small_integers_does_not_overflow():
    check_graph(lambda x: F.sum(x, 1), (np.full((2, 700), 127, np.int8),))
    check_graph(lambda x: F.sum(x, 1), (np.ones((2, 700), bool),))
    check_graph(lambda x: F.sum(x), (np.ones(700, bool),))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_running_sums_of_wide_rows(axis):
    x = RNG.standard_normal((3, 4, 300))
    check_graph(lambda x: F.cumsum(x, axis), (x,))
    check_graph(lambda x: F.cumprod(x, axis), (x.astype("f"),))
    check_graph(lambda x: F.cumsum(x, axis), (x.astype("i"),))
    check_graph(lambda x: F.cumsum(x, axis), (x[:, :0],))
    check_graph(lambda x: F.cumsum(x, axis), (x[:0],))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_joining_many(axis, count):
    x = RNG.standard_normal((2, 3))
    check_graph(lambda x, y: F.concatenate(([x, y, x] * count)[:count], axis), (x, x + 1))
    check_graph(lambda x, y: F.stack(([x, y, x] * count)[:count], axis), (x, x + 1))
    check_graph(lambda x: F.stack([x] * count), (A(0.5),))


@pytest.mark.parametrize("k", [-4, -3, -1, 0, 1, 2, 5])
@pytest.mark.parametrize("shape", [(3, 3), (3, 5), (5, 3), (1, 4), (0, 3), (3, 0)])
def test_diagonals(k, shape):
    check_graph(lambda x: F.eye(*shape, k=k, dtype=x.dtype) * x, (A(1.5, dtype="f"),))
    x = RNG.standard_normal(shape)
    for y in (x, np.stack([x, x + 1]), x.astype("F"), x > 0, x.astype(complex)):
        check_graph(lambda x: F.triu(x, k), (y,))
        check_graph(lambda x: F.tril(x, k), (y,))
        check_graph(lambda x: F.diagonal(x, k, -2, -1), (y,), derivatives=True)
    check_graph(lambda v: F.diag(v, k), (RNG.standard_normal(4),))


KEYS = [
    np.s_[1:], np.s_[:-1], np.s_[1:3], np.s_[3:1], np.s_[:0], np.s_[-2:], np.s_[9:], np.s_[::2], np.s_[::-1], np.s_[2], np.s_[-1],
    np.s_[:, 1:], np.s_[:, :-1], np.s_[:, 1], np.s_[1:, 1:], np.s_[1, 1:], np.s_[:, ::-1],
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_parts(key):
    x = RNG.standard_normal((4, 3))
    part = RNG.standard_normal(x[key].shape)
    check_graph(lambda x: x[key], (x,), derivatives=True)
    check_graph(lambda v: F.unslice(v, key, (4, 3)), (part,))
    check_graph(lambda x, v: x.at[key].set(v), (x, part))
    check_graph(lambda x: x.at[key].set(7.0), (x,))


def test_a_part_of_the_same_shape_may_be_written_over():
    for op in (SliceSet(((None, None, -1), (None, None, 1))), ScatterSet((0,), 1)):
        x, v = RNG.standard_normal((3, 2)), RNG.standard_normal((3, 2))
        index = [A([2, 0, 1])] if isinstance(op, ScatterSet) else []
        node = make(op, symbol("x", (3, 2)), symbol("v", (3, 2)), *[symbol("i", 3, int)] * len(index))
        check_node(node, op, [x, v, *index], node.aval)


def test_an_index_may_be_written_over():
    op = ScatterSet((0,), 1)
    node = make(op, symbol("x", 3, int), symbol("v", 3, int), symbol("i", 3, int))
    check_node(node, op, [A([5, 6, 7]), A([1, 2, 3]), A([2, 0, 1])], node.aval)


@pytest.mark.parametrize("kind", ["int64", "int8", "uint8", "uint64", "int32"])
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 2), (5, 1), (5, 0)])
def test_rows_read_and_added(kind, shape):
    x = RNG.standard_normal(shape)
    for index in ([4, 0, 4, 2], [[0, 1], [1, 1]], [], [3]):
        index = A(index, dtype=kind)
        check_graph(lambda x, i: x[i], (x, index))
        check_graph(lambda x, i: x[i], (x.astype("f"), index), derivatives=True)
        if kind[0] == "i" and index.size:
            check_graph(lambda x, i: x[i], (x, index - 5), derivatives=True)
    values = RNG.standard_normal((3, *shape[1:])).astype("f")
    check_graph(lambda v, i: make(ScatterAdd((0,), shape, 0), v, i), (values, A([1, 1, 4], dtype=kind)))


def test_large_places_in_small_integers():
    x = RNG.standard_normal((120, 100))
    check_graph(lambda x, i: x[i], (x, A([119, 3, -120], dtype=np.int8)), derivatives=True)


@pytest.mark.parametrize("place", [5, -6, 2**40])
def test_places_outside_are_index_errors(place):
    x, v = RNG.standard_normal((5, 3)), RNG.standard_normal((2, 3))
    index = A([1, place])
    names = {"x": x, "v": v, "i": index}
    xs = {n: Code(n, aval=ShapedArray(a.shape, a.dtype)) for n, a in names.items()}
    out = garbage((5, 3), x.dtype)
    for lines in (
        Gather((0,)).into("out[:2]", xs["x"], xs["i"]),
        ScatterAdd((0,), (5, 3), 0).into("out", xs["v"], xs["i"]),
        ScatterAdd((0,), (5, 3), 1).into("out", xs["v"], xs["i"]),
        ScatterSet((0,), 1).into("out", xs["x"], xs["v"], xs["i"]),
        [f"y = {Gather((0,)).fast(xs['x'], xs['i'])}"],
    ):
        with pytest.raises(IndexError):
            run(lines, names | {"out": out})


def test_places_along_two_axes():
    x = RNG.standard_normal((4, 5))
    rows, columns = A([0, 1, 2, 3]), A([4, 4, 0, -1])
    check_graph(lambda x, i, j: x[i, j], (x, rows, columns), derivatives=True)
    check_graph(lambda x, j: x[F.arange(4), j], (x, columns), derivatives=True)
    check_graph(lambda x, j: x[:, j], (x, columns), derivatives=True)
    check_graph(lambda x, i: F.take_along_axis(x, i, 1), (x, columns[:, None]), derivatives=True)


def test_values_that_broadcast_are_added():
    op = ScatterAdd((0,), (4, 3), 0)
    i = A([1, 1, 3])
    for v in (A(2.0), A([1.0, 2.0, 3.0]), RNG.standard_normal((3, 1))):
        xs = [Code("v", aval=ShapedArray(v.shape, v.dtype)), Code("i", aval=ShapedArray(i.shape, i.dtype))]
        found = run(op.into("out", *xs), {"v": v, "i": i, "out": garbage((4, 3), v.dtype)})["out"]
        expected = np.zeros((4, 3))
        np.add.at(expected, i, v)
        np.testing.assert_array_equal(found, expected)


DRAWS = [
    ("random", "d", ()), ("random", "f", ()), ("standard_normal", "d", ()), ("standard_normal", "f", ()),
    ("standard_exponential", "f", ()), ("integers", "l", (2, 9)), ("permutation", "l", (6,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype", "bounds"), DRAWS)
def test_draws_are_the_same_numbers(name, dtype, bounds):
    state = A([3, 4], dtype=np.uint64)
    check_graph(lambda s: sg.random.random_draw(name, s, 2, (6,), dtype, bounds), (state,))


def test_rows_mapped():
    x = symbol("x", (3, 2))
    node = sg.map_rows(lambda row: row * 2, x)
    lines = None
    with code.emitting({}, lambda body: "double"):
        lines = node.op.into("out", Code("x", aval=x.aval))
    value = RNG.standard_normal((3, 2))
    scope = run(lines, {"x": value, "double": lambda row: row * 2, "out": garbage((3, 2), value.dtype)})
    np.testing.assert_array_equal(scope["out"], value * 2)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
@pytest.mark.parametrize(
    "build",
    [
        lambda x: F.roll(x, 3, 0),
        lambda x: F.roll(x, -1, 0),
        lambda x: F.concatenate([x, x[1:], x]),
        lambda x: F.unslice(x, np.s_[2:], (x.shape[0] + 2, 3)),
        lambda x: F.eye(x.shape[0], 3, 1),
        lambda x: F.eye(x.shape[0], x.shape[0] + 1, -1),
        lambda x: F.tril(x, -1),
        lambda x: F.arange(x.shape[0]),
        lambda x: F.full((x.shape[0], 2), 0.5),
        lambda x: F.diag(x[:, 0], 1),
        lambda x: x.at[:-1].set(1.0),
        lambda x: F.sum(x, 1),
        lambda x: F.max(x, 1, keepdims=True),
        lambda x: F.reshape(x.T, (-1,)),
        lambda x: F.broadcast_to(x[:, :1], x.shape),
    ],
)
def test_symbolic_sizes(build, n):
    x = symbol("x", ("n", 3))
    y = build(x)
    value = RNG.standard_normal((n, 3))
    ((size, *_), *_) = [dims.variables(x.shape[0])]
    found = trace([y], {x: value})
    with code.emitting({size: "n"}, str):
        xs = [Code(f"x{i}", aval=a.aval) for i, a in enumerate(y.inputs)]
        lines = y.op.into("out", *[Code("0.5", aval=a.aval, literal=True) if y.op.name == "full" else a for a in xs])
    given = {f"x{i}": found[a] for i, a in enumerate(y.inputs)}
    scope = run(lines, given | {"n": n, "out": garbage(found[y].shape, y.dtype)})
    same(scope["out"], found[y], rounds_differently(y.op, y.dtype), "\n".join(lines))


WITHOUT = {
    "polygamma", "sinc", "spherical_jn",  # no ufuncs
    "cholesky", "cholesky_gradient", "det", "inv", "solve", "solve_triangular", "solve_triangle", "solve_banded",
    "solve_definite", "solve_definite_banded", "lu_solve", "least_squares", "cond", "pinv", "svdvals",  # NumPy or SciPy makes the array itself
    "logsumexp", "softmax", "log_softmax", "norm", "structured", "implicit",  # lowered
    "convolve", "at_max",  # NumPy has no such form
}  # fmt: skip


def test_every_other_op_writes_into_an_array():
    found, without = set(), set()
    for record in RECORDS:
        values = [np.asarray(v) for v in record.samples[0]]
        outputs, _ = flatten(record.build(*[symbol("xyzuvw"[i], v.shape, v.dtype) for i, v in enumerate(values)]))
        for node in toposort(outputs):
            if isinstance(node.op, Primitive) and isinstance(node.aval, ShapedArray) and not node.op.bodies:
                xs = [Code(f"x{i}", aval=x.aval) for i, x in enumerate(node.inputs)]
                if not any(isinstance(x.aval, tuple) for x in node.inputs) and node.ndim:
                    (without if node.op.into("out", *xs) is None else found).add(node.op.name)
    assert without <= WITHOUT
    assert {"add", "where", "sum", "max", "getitem", "einsum", "scatter_add", "unslice", "draw"} <= found
