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
from symgraph.ops.late import F
from symgraph.rewrite import CANONICALIZE, SIMPLIFY, STABILIZE, NodeRule, rewrite, simplify, stabilize
from symgraph.rewrite.pattern import AnyOp, Wildcard

exp, log, log1p, sigmoid, where = sg.exp, sg.log, sg.log1p, sg.sigmoid, sg.where
NAN, INF = np.nan, np.inf
REALS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.3, 2.0, 3.7, -8.1, 1e-9, -1e-18, 40.0, -40.0, 300.0, -2000.0, 1e30, -1e30, INF, -INF, NAN]
COMPLEX = [0j, 1 + 0j, -1 + 1j, 0.3 - 0.7j, 3 + 4j, -2 + 7j, 1e-9 + 2j, 1e-9j, 30 - 50j]
INTS = [0, 1, -1, 7, 127, -128, 2**53 + 1, -(2**62) + 1]
DTYPES = ["float64", "float32", "complex128", "int64", "int8", "uint8", "bool"]

# Instances of rules whose pattern does not say everything: what is a number, which axes, which dtypes.
# Each builds a node from tensors called x, y, z (elements) or X (a matrix with three columns).
# fmt: off
INSTANCES = {
    "x ** c":                    [lambda x: x**1, lambda x: x**0, lambda x: x**-1],
    "x * c * d":                 [lambda x: (x * 3.0) * 0.7, lambda x: (x * 3) * 5],
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
    "where of a known condition": [lambda x: where(True, x, 1), lambda x: where(False, 1, x), lambda x, y: where(x > 0, y, y)],
    "where in where":            [lambda x, y, z: where(x > 0, where(x > 0, y, z), x), lambda x, y, z: where(x > 0, x, where(x > 0, y, z))],
    "exp(x) / some(sum)(exp(x))": [lambda X: exp(X) / sg.sum(exp(X), axis=-1, keepdims=True), lambda x: exp(x) / sg.sum(exp(x)),
                                   lambda X: exp(X) / sg.sum(exp(X), axis=0, keepdims=True), lambda X: exp(X) / exp(X).sum()],
    "log(some(sum)(exp(x)))":    [lambda X: log(sg.sum(exp(X), axis=-1)), lambda x: log(sg.sum(exp(x))), lambda X: log(exp(X).sum(0, keepdims=True))],
    "x - some(logsumexp)(x)":    [lambda X: X - sg.logsumexp(X, axis=-1, keepdims=True), lambda x: x - sg.logsumexp(x)],
    "some(softmax)(x - some(max)(x))": [lambda X: sg.softmax(X - sg.max(X, axis=-1, keepdims=True), axis=-1), lambda X: sg.softmax(X - X.max(), axis=0)],
    "some(sum)(negative(x))":    [lambda X: sg.sum(-X), lambda X: sg.sum(-X, axis=1, keepdims=True)],
    "masked product with one":   [lambda x, y: F.masked_multiply(x > 0, y, 1), lambda x, y: F.masked_multiply(True, x, y)],
}  # fmt: skip
# fmt: on

CANCELS = {"log(x / y)", "x - some(logsumexp)(x)", "log(some(sum)(exp(x)))"}
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
for _rule in [*STABILIZE, *SIMPLIFY]:
    RULES.setdefault(name_of(_rule), []).append(_rule)


def instances(name, rule):
    """Functions of tensors that build formulas for the rule to replace."""
    if name in INSTANCES:
        return INSTANCES[name]
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
    "exp": _mp(lambda x: mpmath.exp(x)), "log": _mp(lambda x: mpmath.log(x)), "log1p": _mp(lambda x: mpmath.log(1 + x)),
    "sqrt": _mp(lambda x: mpmath.sqrt(x)), "sigmoid": _mp(lambda x: 1 / (1 + mpmath.exp(-x))),
}  # fmt: skip


def exactly(node, values):
    """The value of a real or complex graph with 1000 digits, nan where it has none; None for an op not known here."""
    lifted = np.frompyfunc(lambda v: mpmath.mpmathify(v.item() if isinstance(v, np.generic) else v), 1, 1)
    found = {}
    with mpmath.workdps(1000):
        for n in toposort([node]):
            op, xs = n.op, [found[i] for i in n.inputs]
            if n in values or isinstance(op, Constant):
                found[n] = lifted(values[n] if n in values else op.value)
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
    largest = sum(np.max(np.abs(v), initial=0, where=np.isfinite(v)) for v in map(np.asarray, values.values())) + 1
    good = same | _close(b, a, name, largest)
    if reference is not None:
        reference[~np.isfinite(reference)] = NAN
        closer = np.abs(b - reference) <= 2 * np.abs(a - reference)
        with_reference = (b == reference.astype(a.dtype)) | _close(b, reference, name, largest) | closer
        good = np.where(np.isnan(reference), good, good | with_reference)
    good = good | (np.isinf(a) & np.isfinite(b) & (np.sign(a) == np.sign(b)) & (reference is None or np.isnan(reference)))
    if not any(np.isnan(v).any() for v in map(np.asarray, values.values())):  # nan may become a limit
        good = good | (np.isnan(a) & (np.isnan(reference) if reference is not None else True))
    return good if tag == "rounding" else good | ~finite


def _close(b, a, name, largest):
    info = np.finfo(b.dtype)
    size = largest if name in CANCELS else np.where(np.isfinite(a), np.abs(a), 0)
    size = size * min(largest, 2000) if name in ROWS else size  # exp(x - m) has the rounding of x - m in its exponent
    return np.abs(b - a) <= 16 * info.eps * size + info.smallest_normal


def samples(labels, dtype):
    """Sets of values: the wildcards take elements of one axis, in every combination; X takes matrices."""
    special = COMPLEX if dtype.startswith("complex") else REALS if dtype.startswith("float") else INTS
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


def replaced(rule, build, labels, values, dtype):
    """The formula on symbols that fit the values, and what the rule makes of it; None where it cannot be written."""
    xs = {label: symbol(label, np.shape(values[label]), dtype) for label in labels}
    try:
        old = build(*xs.values())
    except (sg.DTypeError, sg.ShapeError):
        return None
    if old is None:
        return None
    fired = []
    (new,), _ = rewrite([old], sg.rewrite.RuleSet(rule), fired=fired)
    return (xs, old, new) if fired else (xs, old, None)


CASES = [(name, rule) for name, rules in RULES.items() for rule in rules[:1]]


@pytest.mark.parametrize(("name", "rule"), CASES, ids=[name for name, _ in CASES])
def test_a_rule_keeps_its_tag(name, rule):
    fired = set()
    rules = RULES[name]
    for which, build in enumerate(instances(name, rule)):
        labels = labels_of(build)
        for dtype in DTYPES if labels else ["float64"]:
            for values in samples(labels, dtype) if labels else [{}]:
                for r in rules:
                    made = replaced(r, build, labels, values, dtype)
                    if made is None or made[2] is None:
                        continue
                    xs, old, new = made
                    fired.add(which)
                    check(r, name, old, new, {x: values[label] for label, x in xs.items()})
    if name != "cast of a cast":
        assert len(fired) == len(instances(name, rule)), f"instances {set(range(len(instances(name, rule)))) - fired} do not fire"
    assert fired, f"{name} never fires"
