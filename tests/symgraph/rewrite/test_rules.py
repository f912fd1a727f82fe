"""Every rewrite rule is an equation, and is held to its tag on samples of its domain.

The formula and its replacement are run by the naive interpreter on ordinary, large and tiny values, both zeros, infinities
and nan, on empty and size-1 axes, in every dtype in which the rule fires. Where rounding is allowed, a third opinion with 60
digits (mpmath) tells whether the replacement is as good as the formula or better.
"""

import itertools

import mpmath
import numpy as np
import pytest

import symgraph as sg
from symgraph.core import Constant, symbol, toposort
from symgraph.interpreter import interpret
from symgraph.ops.base import Elementwise
from symgraph.ops.late import F
from symgraph.rewrite import (
    CANONICALIZE,
    READABLE,
    SIMPLIFY,
    STABILIZE,
    NodeRule,
    RuleSet,
    rewrite,
    simplify,
    stabilize,
)
from symgraph.rewrite.expand import EXPAND
from symgraph.rewrite.identity import Values
from symgraph.rewrite.pattern import AnyOp, Wildcard

exp, log, log1p, sigmoid, where = sg.exp, sg.log, sg.log1p, sg.sigmoid, sg.where
NAN, INF = np.nan, np.inf
REALS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.3,
    2.0,
    3.7,
    -8.1,
    1e-9,
    -1e-18,
    40.0,
    -40.0,
    300.0,
    -2000.0,
    1e30,
    -1e30,
    INF,
    -INF,
    NAN,
]
COMPLEX = [0j, 1 + 0j, -1 + 1j, 0.3 - 0.7j, 3 + 4j, -2 + 7j, 1e-9 + 2j, 1e-9j, 30 - 50j]
INTS = [0, 1, -1, 7, 127, -128, 2**53 + 1, -(2**62) + 1]
DTYPES = ["float64", "float32", "complex128", "int64", "int8", "uint8", "bool"]

# Instances of rules whose pattern does not say everything: what is a number, which axes, which dtypes.
# Each builds a node from tensors called x, y, z (elements) or X (a matrix with three columns).
# fmt: off
INSTANCES = {
    "log(x / y)":                [lambda x, y: log(exp(x) / exp(y)), lambda x, y: log(sg.square(x) / abs(y)), lambda x: log(3.0 / exp(x))],
    "fold constants":            [lambda: sg.exp(sg.constant([1.0, INF])), lambda: where(sg.constant([True, False]), 1, sg.constant([2, 3])),
                                  lambda: sg.constant(np.ones((2, 0))).sum(axis=1), lambda: sg.constant([[1, 2]]).T,
                                  lambda: sg.constant([1.5, NAN]).astype("float32"), lambda: sg.constant(np.arange(4)).reshape(2, 2)],
    "drop broadcasts":           [lambda X, x: X * sg.broadcast_to(x, X.shape), lambda X, x: exp(sg.broadcast_to(x, X.shape)),
                                  lambda X, x: sg.full(X.shape, x) - X, lambda X, x: where(sg.broadcast_to(x > 0, X.shape), X, 0),
                                  lambda X, x: sg.broadcast_to(x, X.shape) / sg.full(X.shape, 2.0)],
    "sum over no axis":          [lambda X: sg.core.make(sg.ops.reduce.Sum(()), X)],
    "sum of a broadcast":        [lambda X, x: sg.broadcast_to(x, (5, *X.shape)).sum(axis=0), lambda X: sg.broadcast_to(X, (2, 4, 3)).sum() if _is(X, (4, 3)) else None,
                                  lambda X: sg.broadcast_to(X.sum(axis=1, keepdims=True), (4, 3)).sum(axis=1) if _is(X, (4, 3)) else None,
                                  lambda x: sg.full((4, 2), x).sum(axis=1)],
    "broadcast of a broadcast":  [lambda X: sg.broadcast_to(sg.broadcast_to(X, (2, *X.shape)), (5, 2, *X.shape)), lambda X: sg.core.make(sg.ops.shape.BroadcastTo(X.shape), X)],
    "full of no axes":           [lambda x: sg.core.make(sg.ops.creation.Full(()), x)],
    "transpose of a transpose":  [lambda X: sg.transpose(sg.transpose(X[None], (2, 0, 1)), (1, 0, 2)), lambda X: sg.core.make(sg.ops.shape.Transpose((0, 1)), X)],
    "reshape of a reshape":      [lambda X: X.reshape(X.size).reshape((1, X.size)), lambda X: sg.core.make(sg.ops.shape.Reshape(X.shape), X)],
    "cast of a cast":            [lambda x, a=a, b=b: x.astype(a).astype(b) for a, b in itertools.product(DTYPES, DTYPES)],
    "exp(x) / some(sum)(exp(x))": [lambda X: exp(X) / sg.sum(exp(X), axis=-1, keepdims=True), lambda x: exp(x) / sg.sum(exp(x)),
                                   lambda X: exp(X) / sg.sum(exp(X), axis=0, keepdims=True), lambda X: exp(X) / exp(X).sum()],
    "log(some(sum)(exp(x)))":    [lambda X: log(sg.sum(exp(X), axis=-1)), lambda x: log(sg.sum(exp(x))), lambda X: log(exp(X).sum(0, keepdims=True))],
    "x - some(logsumexp)(x)":    [lambda X: X - sg.logsumexp(X, axis=-1, keepdims=True), lambda x: x - sg.logsumexp(x)],
    "some(softmax)(x - some(max)(x))": [lambda X: sg.softmax(X - sg.max(X, axis=-1, keepdims=True), axis=-1), lambda X: sg.softmax(X - X.max(), axis=0)],
    "some(sum)(negative(x))":    [lambda X: sg.sum(-X), lambda X: sg.sum(-X, axis=1, keepdims=True)],
}  # fmt: skip
# fmt: on

CANCELS = {
    "sum of deviations",
    "sigmoid and its complement",
    "nothing at all",
    "logistic loss",
    "log(x / y)",
    "x - some(logsumexp)(x)",
    "log(some(sum)(exp(x)))",
}
"""Rules whose replacement is a difference that may cancel: its error is measured against its terms."""
ROWS = {"exp(x) / some(sum)(exp(x))", "x - some(logsumexp)(x)"}
"""Rules whose replacement is nan all along a row that holds an infinite element."""


def _is(x, shape):
    return x.shape == shape


# The rules by name ---------------------------------------------------------------------------------------------------


def text(pattern):
    """A pattern as mathematics: the name of its rule."""
    op, xs = pattern.op, [text(x) for x in pattern.inputs]
    if isinstance(op, Wildcard):
        return op.label
    if isinstance(op, Constant):
        return f"{op.value:g}"
    name = f"some({op.kind.__name__.lower()})" if isinstance(op, AnyOp) else op.name
    infix = getattr(op, "source", None)
    if isinstance(infix, str) and not infix[-1].isalnum() and len(xs) == 2:
        xs = [f"({x})" if " " in x and "(" not in x[:1] and infix in "*/**" and infix not in x else x for x in xs]
        return f"{xs[1]} {infix} {xs[0]}" if pattern.flipped else f"{xs[0]} {infix} {xs[1]}"
    return f"{name}({', '.join(xs)})"


def name_of(rule):
    return rule.name or text(rule.pattern)


RULES = {}
for _rule in [*READABLE, *EXPAND]:
    RULES.setdefault(name_of(_rule), []).append(_rule)


def instances(name, rule):
    """Functions of tensors that build formulas for the rule to replace."""
    if name in INSTANCES:
        return INSTANCES[name]
    if rule.examples:
        return rule.examples
    if isinstance(rule, NodeRule):
        raise AssertionError(f"{name} gives no examples")
    if rule.example is not None:
        return [rule.example]
    labels = sorted({n.op.label for n in toposort([rule.pattern]) if isinstance(n.op, Wildcard)})

    def build(*xs):
        values = dict(zip(labels, xs))
        done = {}
        for n in toposort([rule.pattern]):
            if isinstance(n.op, Wildcard):
                done[n] = values[n.op.label]
            elif isinstance(n.op, Constant):
                done[n] = n.op.value.item()
            else:
                done[n] = n.op(*[done[i] for i in n.inputs])
        return done[rule.pattern]

    build.labels = labels
    return [build]


def labels_of(build):
    code = build.__code__
    return getattr(build, "labels", None) or [n for n in code.co_varnames[: code.co_argcount] if n not in "ab"]


# A third opinion -----------------------------------------------------------------------------------------------------


def _mp(function):
    """A function of mpmath's numbers as one of arrays; nan where it has no value."""

    def guarded(*args):
        try:
            return function(*args)
        except (ZeroDivisionError, ValueError, OverflowError):
            return mpmath.nan

    return np.frompyfunc(guarded, function.__code__.co_argcount, 1)


EXACT = {
    "add": _mp(lambda x, y: x + y), "subtract": _mp(lambda x, y: x - y), "multiply": _mp(lambda x, y: x * y),
    "divide": _mp(lambda x, y: x / y), "negative": _mp(lambda x: -x), "reciprocal": _mp(lambda x: 1 / x),
    "square": _mp(lambda x: x * x), "absolute": _mp(lambda x: abs(x)), "power": _mp(lambda x, n: x ** int(n.real)),
    "exp": _mp(lambda x: mpmath.exp(x)), "log": _mp(lambda x: mpmath.log(x)), "log1p": _mp(lambda x: mpmath.log(1 + x)), "expm1": _mp(lambda x: mpmath.expm1(x)),
    "sqrt": _mp(lambda x: mpmath.sqrt(x)), "sigmoid": _mp(lambda x: 1 / (1 + mpmath.exp(-x))),
}  # fmt: skip


def exactly(node, values):
    """The value of a real or complex graph with many digits, nan where it has none; None for an op not known here."""
    digits = 1000 if any(n.op.name == "sigmoid" for n in toposort([node])) else 60  # 1 - sigmoid(2000) is about 1e-869
    lifted = np.frompyfunc(lambda v: mpmath.mpmathify(v.item() if isinstance(v, np.generic) else v), 1, 1)
    found = {}
    with mpmath.workdps(digits):
        for n in toposort([node]):
            op, xs = n.op, [found[i] for i in n.inputs]
            if n in values or isinstance(op, Constant):
                found[n] = lifted(values[n]) if n in values else lifted(op.value)
            elif op.name in EXACT:
                found[n] = EXACT[op.name](*xs)
            elif op.name == "cast":
                found[n] = lifted(*interpret([n], values))
            elif op.name == "sum" or (op.name == "max" and xs[0].size):
                found[n] = getattr(np, op.name)(xs[0], axis=op.axis, keepdims=op.keepdims)
            elif op.name == "norm":
                found[n] = EXACT["sqrt"](np.sum(xs[0] * xs[0], axis=op.axis, keepdims=op.keepdims))
            elif op.name == "softmax":
                e = EXACT["exp"](xs[0])
                found[n] = EXACT["divide"](e, np.sum(e, axis=op.axis, keepdims=True))
            elif op.name in ("logsumexp", "log_softmax"):
                s = EXACT["log"](np.sum(EXACT["exp"](xs[0]), axis=op.axis, keepdims=True))
                found[n] = xs[0] - s if op.name == "log_softmax" else s if op.keepdims else np.squeeze(s, op.axis)
            else:
                return None
        as_number = np.frompyfunc(complex if node.dtype.kind == "c" else _real, 1, 1)
        return np.asarray(as_number(found[node]), complex if node.dtype.kind == "c" else float)


def _real(value):
    """A float; nan for the complex value of a real formula outside its domain."""
    return NAN if isinstance(value, mpmath.mpc) else float(value)


# Comparing -----------------------------------------------------------------------------------------------------------


def check(rule, name, old, new, values):
    """Hold one replacement to the tag of its rule, on one set of values."""
    with np.errstate(all="ignore"):
        a, b = (np.asarray(v) for v in interpret([old, new], values))
        assert a.dtype == b.dtype and a.shape == b.shape, f"{name}: {a!r} became {b!r}"
        good = _good(rule.tag, name, a, b, old, values)
    if not np.all(good):
        at = tuple(np.argwhere(~good)[0])
        given = {x.name: v[at] if np.shape(v) == a.shape else v for x, v in values.items()}
        raise AssertionError(f"{name} ({rule.tag}) of {given}, {old.dtype}: {a[at]!r} became {b[at]!r}")


def _good(tag, name, a, b, old, values):
    """Where the replacement `b` may stand for the formula `a`."""
    same = (a == b) | ((a != a) & (b != b))
    if a.dtype.kind not in "fc":
        return same
    if name in ROWS and np.isposinf(np.max(next(iter(values.values())), initial=0)):
        same |= np.isnan(b)
    signs = np.signbit(a) == np.signbit(b) if a.dtype.kind == "f" else True
    if tag == "exact" and a.dtype.kind == "f":
        return same & (signs | np.isnan(a))
    finite = np.isfinite(a)
    if tag == "exact":  # complex arithmetic makes nan of inf * (1 + 0j), and loses signs of zeros
        return same | ~finite | _close(b, a, name, 0)
    reference = exactly(old, values)
    largest = sum(np.max(np.abs(v), initial=0, where=np.isfinite(v)) for v in map(_wide, values.values())) + 1
    good = same | _close(b, a, name, largest)
    if reference is not None:
        reference[~np.isfinite(reference)] = NAN
        closer = np.abs(b - reference) <= 2 * np.abs(a - reference)
        with_reference = (b == reference.astype(a.dtype)) | _close(b, reference, name, largest) | closer
        good = np.where(np.isnan(reference), good, good | with_reference)
    good = good | (
        np.isinf(a) & np.isfinite(b) & (np.sign(a) == np.sign(b)) & (reference is None or np.isnan(reference))
    )
    if not any(np.isnan(v).any() for v in map(np.asarray, values.values())):  # nan may become a limit
        good = good | (np.isnan(a) & (np.isnan(reference) if reference is not None else True))
    return good if tag == "rounding" else good | ~finite


def _wide(value):
    value = np.asarray(value)
    return value.astype(complex if value.dtype.kind == "c" else float)


def _close(b, a, name, largest):
    info = np.finfo(b.dtype)
    size = largest if name in CANCELS else np.where(np.isfinite(a), np.abs(a), 0)
    size = size * min(largest, 2000) if name in ROWS else size  # exp(x - m) has the rounding of x - m in its exponent
    return np.abs(b - a) <= 16 * info.eps * size + info.smallest_normal


def samples(labels, dtype, moderate=False):
    """Sets of values: the wildcards take elements of one axis, in every combination; X takes matrices.

    Moderate values are neither so large nor so small that a product of several overflows or vanishes.
    """
    special = COMPLEX if dtype.startswith("complex") else REALS if dtype.startswith("float") else INTS
    if moderate:
        special = [v for v in special if not np.isfinite(v) or v == 0 or 1e-3 < abs(v) < 100]
    with np.errstate(over="ignore"):
        special = np.array(special).astype(dtype) if dtype != "bool" else np.array([True, False])
    rows = [special[i : i + 3] for i in range(0, len(special) - 2, 3)] if len(special) >= 3 else [special[[0, 1, 1]]]
    many = np.stack([*rows, *[r[::-1] for r in rows]])
    if "X" in labels:
        matrices = [many[:4], many[-4:], many[:1], many[:0], many[:4, :1]]
        for m in matrices if len(labels) == 1 else matrices[:3]:
            for v in special if len(labels) > 1 else special[:1]:
                yield {label: m if label == "X" else v for label in labels}
        return
    if len(labels) == 1:
        shapes = [special, special[:0], special[:1], special[-1], many, many[:, :1], many[:0], many[:, :0]]
        yield from ({labels[0]: v} for v in shapes)
        return
    grids = np.meshgrid(*[special] * len(labels))
    yield {label: g.ravel() for label, g in zip(labels, grids)}
    if len(labels) > 1:
        yield {label: special[: 1 if i else None] for i, label in enumerate(labels)}
        yield {label: special[:1] if i else special[:0] for i, label in enumerate(labels)}
        yield {label: special[i % len(special)] for i, label in enumerate(labels)}


def replaced(rules, build, labels, values, dtype):
    """The formula on symbols that fit the values, the rule that fires and what it makes of it; None where none does."""
    xs = {label: symbol(label, np.shape(values[label]), dtype) for label in labels}
    try:
        old = build(*xs.values())
    except (sg.DTypeError, sg.ShapeError):
        return None
    if old is None:
        return None
    fired = []
    (new,), _ = rewrite([old], RuleSet(*rules, values=Values), fired=fired)
    return (xs, old, new, fired[-1][0]) if fired else None


CASES = [(name, rule) for name, rules in RULES.items() for rule in rules[:1]]


@pytest.mark.parametrize(("name", "rule"), CASES, ids=[name for name, _ in CASES])
def test_a_rule_keeps_its_tag(name, rule):
    fired = set()
    for which, build in enumerate(instances(name, rule)):
        labels = labels_of(build)
        for dtype in DTYPES if labels else ["float64"]:
            for values in samples(labels, dtype, rule.moderate) if labels else [{}]:
                made = replaced(RULES[name], build, labels, values, dtype)
                if made is not None:
                    xs, old, new, r = made
                    fired.add(which)
                    check(r, name, old, new, {x: values[label] for label, x in xs.items()})
    if name != "cast of a cast":
        assert len(fired) == len(instances(name, rule)), (
            f"instances {set(range(len(instances(name, rule)))) - fired} do not fire"
        )
    assert fired, f"{name} never fires"


def test_every_rule_has_a_name_and_a_tag():
    for rule in [*READABLE, *EXPAND]:
        assert name_of(rule)
        assert rule.tag in ("exact", "rounding", "finite-real")
        assert isinstance(rule, NodeRule) or rule.wants
    assert set(INSTANCES) <= set(RULES)
    assert len(SIMPLIFY) > len(CANONICALIZE)


# Stable forms --------------------------------------------------------------------------------------------------------

x, y, X = symbol("x", 3), symbol("y", 3), symbol("X", ("n", 4))
z = symbol("z", 3, "complex128")


def rows(reduction, of, axis=-1):
    return reduction(of, axis=axis, keepdims=True)


# fmt: off
STABLE = [
    (log(1 + exp(x)),                                   sg.softplus(x)),
    (log(exp(x) + 1),                                   sg.softplus(x)),
    (log1p(exp(x)),                                     sg.softplus(x)),
    (log(1 + x),                                        log1p(x)),
    (log(x + 1),                                        log1p(x)),
    (log(1 - x),                                        log1p(-x)),
    (exp(x) - 1,                                        sg.expm1(x)),
    (log(exp(x)),                                       x),
    (log(sg.sum(exp(X), axis=1)),                       sg.logsumexp(X, axis=1)),
    (log(sg.sum(exp(X), axis=1, keepdims=True)),        sg.logsumexp(X, axis=1, keepdims=True)),
    (exp(X) / rows(sg.sum, exp(X)),                     sg.softmax(X, axis=-1)),
    (exp(x) / sg.sum(exp(x)),                           sg.softmax(x)),
    (exp(X - rows(sg.max, X)) / rows(sg.sum, exp(X - rows(sg.max, X))), sg.softmax(X, axis=-1)),
    (exp(x - x.max()) / exp(x - x.max()).sum(),         sg.softmax(x)),
    (log(exp(X) / rows(sg.sum, exp(X))),                sg.log_softmax(X, axis=-1)),
    (log(sg.softmax(X, axis=0)),                        sg.log_softmax(X, axis=0)),
    (X - sg.logsumexp(X, axis=1, keepdims=True),        sg.log_softmax(X, axis=1)),
    (X - log(rows(sg.sum, exp(X))),                     sg.log_softmax(X, axis=-1)),
    (exp(sg.log_softmax(X, axis=0)),                    sg.softmax(X, axis=0)),
    (1 / (1 + exp(-x)),                                 sigmoid(x)),
    (1 / (exp(-x) + 1),                                 sigmoid(x)),
    (sg.reciprocal(1 + exp(-x)),                        sigmoid(x)),
    (1 / (1 + exp(x)),                                  sigmoid(-x)),
    (exp(x) / (1 + exp(x)),                             sigmoid(x)),
    (exp(x) / (exp(x) + 1),                             sigmoid(x)),
    (log(sigmoid(x)),                                   -sg.softplus(-x)),
    (log(1 - sigmoid(x)),                               -sg.softplus(x)),
    (log(1 / (1 + exp(-x))),                            -sg.softplus(-x)),
    (log(1 - 1 / (1 + exp(-x))),                        -sg.softplus(x)),
    ((exp(x) - exp(-x)) / (exp(x) + exp(-x)),           sg.tanh(x)),
    (2 * sigmoid(2 * x) - 1,                            sg.tanh(x)),
    (x * log(y),                                        sg.xlogy(x, y)),
    (log(y) * x,                                        sg.xlogy(x, y)),
    (x * log(1 + y),                                    sg.xlog1py(x, y)),
    (log(exp(x) / exp(y)),                              x - y),
    (F.norm(x) ** 2,                                    sg.sum(x * x)),
    (F.norm(x) * F.norm(x),                             sg.sum(x * x)),
]
# fmt: on


@pytest.mark.parametrize(("written", "recognised"), STABLE)
def test_stable_forms(written, recognised):
    assert stabilize(written) is recognised


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stable_forms_keep_the_dtype(dtype):
    x = symbol("x", 3, dtype)
    assert stabilize(log(1 + exp(x))) is sg.softplus(x)
    assert stabilize(1 / (1.0 + exp(-x))) is sigmoid(x)
    assert sg.softplus(x).dtype == dtype


@pytest.mark.parametrize("written", [
    log(exp(z)),                                         # z modulo 2 pi i
    log(exp(z) + exp(-z)), log1p(exp(z)), log(sigmoid(z)), log(1 + z),
    exp(z) / sg.sum(exp(z)), log(sg.sum(exp(z))),        # complex: of no use, or with branches
    log(2 + x), log(1 - exp(x) - exp(y)),
    log(x / y),                                          # of any sign
    log(sg.square(symbol("k", 3, "int8")) / 3),          # squares of ints wrap around
    exp(X) / rows(sg.sum, exp(X), 0) / 2,
    exp(X) / sg.sum(exp(X), axis=0),                     # no softmax of four columns...
    exp(X) / rows(sg.sum, exp(2 * X)),
    2 * log(x), F.norm(x) * F.norm(y), F.norm(z) ** 2,
    sg.softmax(X - rows(sg.max, X, 1), axis=(0, 1)),     # the maximum differs from row to row
], ids=str)  # fmt: skip
def test_what_only_looks_like_a_stable_form(written):
    """A part of it may change, and must keep its value."""
    kept = stabilize(written)
    rng = np.random.default_rng(0)
    sizes = {s for n in toposort([written]) for s in n.shape if not isinstance(s, int)}
    values = {}
    for n in toposort([written]):
        if n.op.name == "symbol":
            shape = tuple(4 if s in sizes else s for s in n.shape)
            v = rng.uniform(-3, 3, shape) + (5j * rng.uniform(-3, 3, shape) if n.dtype.kind == "c" else 0)
            values[n] = v.astype(n.dtype) if n.dtype.kind != "i" else np.array([0, 12, -100], n.dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(*interpret([kept, written], values), rtol=1e-12)


def test_logaddexp_in_either_order():
    assert stabilize(log(exp(x) + exp(y))) in {sg.logaddexp(x, y), sg.logaddexp(y, x)}


def test_rules_do_not_see_through_frozen_nodes():
    e = exp(x)
    y = log(1 + e)
    (kept,), _ = rewrite([y], STABILIZE, frozen=[e])
    assert kept is log1p(e)
    (kept,), _ = rewrite([y], STABILIZE, frozen=[1 + e])
    assert kept is y
    assert stabilize(y) is sg.softplus(x)


def test_stable_forms_are_found_at_any_depth_and_once():
    h = symbol("h", ("n", 4))
    y = sg.mean(log(1 + exp(h @ h.T)) * 2)
    (made,) = [n for n in toposort([stabilize(y)]) if n.op.name == "softplus"]
    assert made is sg.softplus(h @ h.T)
    assert stabilize(stabilize(y)) is stabilize(y)


# Simplification ------------------------------------------------------------------------------------------------------


# fmt: off
SIMPLE = [
    (x * 1,             x),
    (1 * x,             x),
    (x + 0,             x),
    (0 + x,             x),
    (x - 0,             x),
    (x / 1,             x),
    (0 - x,             -x),
    (sg.negative(-x),   x),
    (x * -1,            -x),
    (x * 0,             sg.zeros_like(x)),
    (x - x,             sg.zeros_like(x)),
    (x / x,             sg.ones_like(x)),
    (x**1,              x),
    (x**0,              sg.ones_like(x)),
    (x**-1,             1 / x),
    (x * (1 / y),       x / y),
    (x + (-y),          x - y),
    (x - (-y),          x + y),
    ((-x) * (-y),       x * y),
    ((-x) / (-y),       x / y),
    (sg.sum(-x),        -sg.sum(x)),
    (sg.positive(x),    x),
    (X.T.T,             X),
    (x.astype("float64"), x),
    (sg.where(True, x, y), x),
    (sg.where(x > 0, y, y), y),
    (x * 1 + (y - y),   x),
    (x + sg.zeros(3),   x),
    (x * sg.ones(3),    x),
    (sg.constant(2.0) * sg.constant(3.0), sg.constant(6.0)),
]
# fmt: on


@pytest.mark.parametrize(("written", "simple"), SIMPLE)
def test_simple_forms(written, simple):
    assert simplify(written) is simple


def test_broadcasting_by_one_is_not_simplified_away():
    s, one = symbol("s"), sg.ones(3)
    y = simplify(s * one)
    assert y.shape == (3,) and interpret([y], {s: 2.0})[0].tolist() == [2, 2, 2]
    assert simplify(s + sg.zeros(3)).shape == (3,)


def test_dtypes_are_kept():
    k = symbol("k", 3, "int64")
    assert simplify(k / k).dtype == np.float64
    assert simplify(k * 1) is k
    b = symbol("b", 3, "bool")
    assert simplify(b * 1).dtype == np.int64


def test_a_pass_that_changes_nothing_returns_the_same_objects():
    outputs = [sg.tanh(x) @ y, sg.sum(X, axis=0)]
    assert all(a is b for a, b in zip(simplify(outputs), outputs))


def test_broadcasts_are_dropped_in_every_elementwise_op():
    """With an operand of the full shape the broadcast goes; alone, it is done after the op."""
    matrix, row = symbol("m", (2, 3)), symbol("r", 3)
    for op in Elementwise.registry.values():
        if op.name in ("masked_multiply", "polygamma"):
            continue
        for dtype in ("float64", "int64", "bool", "complex128"):
            m, r = symbol("m", (2, 3), dtype), symbol("r", 3, dtype)
            wide = sg.broadcast_to(r, (2, 3))
            try:
                written = op(*[m, wide][-op.like.nin :])
            except sg.DTypeError:
                continue
            if isinstance(written.aval, tuple):
                assert rewrite([written], CANONICALIZE)[0]
                continue
            (kept,), _ = rewrite([written], CANONICALIZE)
            assert (kept.shape, kept.dtype) == (written.shape, written.dtype)
            values = {m: np.array([[1, 0, 1], [1, 1, 0]], dtype), r: np.array([1, 1, 0], dtype)}
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(*interpret([kept, written], values))
            assert (kept.op.name == "broadcast_to") == (op.like.nin == 1), op.name
            break
        else:
            raise AssertionError(f"{op.name} has no dtype here")
    assert simplify(matrix + sg.broadcast_to(row, (2, 3))) is matrix + row


# What a person would write ------------------------------------------------------------------------------------------

m, s, v, w = symbol("m"), symbol("s"), symbol("v", ("k",)), symbol("w", ("k",))
k = sg.core.make(sg.ops.creation.DimValue(v.shape[0]))


# fmt: off
WRITTEN = [
    # numbers and sizes are one factor, applied once
    (0.1 * v / k,                           sg.constant(0.1) / k * v),
    (v * 0.5 / k * 3.0,                     sg.constant(1.5) / k * v),
    (k * log(s),                            k * log(s)),                    # a count is no weight: not xlogy
    (-(v / s),                              -1 / s * v),
    (-s * v + w,                            w - s * v),
    (w - -s * v,                            w + s * v),
    (-(1 / s),                              -1 / s),
    (w - 0.01 * (0.02 * w - v),             0.9998 * w + 0.01 * v),
    # the logistic loss
    (w * sg.softplus(-v) + (1 - w) * sg.softplus(v), sg.relu(v) - v * w + sg.softplus(-abs(v))),
    (-v - w,                                -(v + w)),
]
# fmt: on


@pytest.mark.parametrize(("written", "simple"), WRITTEN, ids=lambda e: sg.to_text(e).splitlines()[-1])
def test_formulas_come_out_as_a_person_would_write_them(written, simple):
    assert simplify(written) is simple


def test_a_multiple_that_all_users_take_apart_is_not_computed():
    """Both sums and the quotient read v - m: there is no (v - m) / s."""
    z = (v - m) / s
    made = simplify([sg.sum(z * z), sg.sum(z), z / s])
    d = v - m
    assert made[0] is sg.sum(d * d) / (s * s)
    assert made[1] is sg.sum(d) / s
    assert made[2] is d / (s * s)
    kept = simplify([sg.sum(z * z), sg.exp(z)])
    assert any(x is z for x in toposort(kept)), "somebody needs its elements"


def test_half_precision_keeps_the_order_of_products():
    """300 * 300 is infinite in float16, x / 300 / 300 is not."""
    h, c = symbol("h", 3, "float16"), symbol("c", (), "float16")
    z = h / c
    for outputs in ([z / c], [sg.sum(z * z), z / c, sg.sum(z)], [sg.sum((h / c) * ((h + 1) / c))]):
        values = {h: np.array([1e4, 2e4, -3e4], "float16"), c: np.float16(300)}
        for found, want in zip(interpret(simplify(outputs), values), interpret(outputs, values), strict=True):
            np.testing.assert_allclose(found, want, rtol=4e-3)


def test_a_sum_of_squares_is_one_dot_product_for_each():
    made = simplify(sg.sum(100 * (v * v) + (1 - w) ** 2 * 3))
    assert made in {
        100 * sg.sum(v * v) + 3 * sg.sum((1 - w) * (1 - w)),
        3 * sg.sum((1 - w) * (1 - w)) + 100 * sg.sum(v * v),
    }
    for mixed in (sg.sum(v * v - w * w), sg.sum(v * v + v * w)):
        assert sum(x.op.name == "sum" for x in toposort([simplify(mixed)])) == 1, "two sums could cancel"
