"""Sizes: the normal form against integer arithmetic, slices against `slice.indices`, and what must not be decided."""

from __future__ import annotations

import copy
import itertools
import math
import operator
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph.dims import (
    Dim,
    Size,
    anonymous,
    as_size,
    broadcast_shapes,
    code,
    collecting,
    digest,
    dim,
    evaluate,
    maximum,
    minimum,
    prod,
    require_equal,
    same,
    same_shape,
    slice_of,
    substitute,
    variables,
)
from symgraph.errors import ShapeError

n, m, k = dim("n"), dim("m"), dim("k")
NAMES = {v.key: v.key.name for v in (n, m, k)}


def run(source: str, **env: int) -> int:
    return eval(source, {"__builtins__": {"min": min, "max": max}}, env)


# --- The normal form --------------------------------------------------------------------------------------------------

NORMAL = [
    ((n + 1) - 1, "n"),
    (n + n, "2*n"),
    ((n + 1) * (n - 1), "n**2 - 1"),
    (n * m * n, "m*n**2"),
    (m + n * n + n * m + 3, "m*n + n**2 + m + 3"),
    (2 * n // 2, "n"),
    ((2 * n + 4) // 2, "n + 2"),
    ((n - 3) // 2 + 1, "(n + 1) // 2 - 1"),
    ((2 * n + 1) // 4, "n // 2"),
    ((n // 2) // 3, "n // 6"),
    ((n // 2 + 1) // 3, "(n + 2) // 6"),
    (n // -2, "n // 2 - n"),
    ((n * m) // n, "m"),
    ((n * n - 1) // (n + 1), "n - 1"),
    ((n * m + 1) // m, "n + 1 // m"),
    ((n * k) // (m * k), "n // m"),
    (n % 2, "n % 2"),
    ((n + 3) % 2, "(n + 1) % 2"),
    ((2 * n + 1) % 4, "2*(n % 2) + 1"),
    (n % (n + 1), "n"),
    (n + n // 2, "n + n // 2"),
    (2 * (n // 2), "2*(n // 2)"),
    (-(n // 2), "-(n // 2)"),
    (-((n // 2) * m), "-m*(n // 2)"),
    ((n // 2) ** 2, "(n // 2)**2"),
    (n // (m * m), "n // m**2"),
    (n // (2 * m), "n // (2*m)"),
    (n // m // k, "n // m // k"),
    (n // (m // k), "n // (m // k)"),
    (3 - n, "3 - n"),
    (-n - 1, "-n - 1"),
    (maximum(n, 0), "n"),
    (maximum(n - 1, 0), "max(n - 1, 0)"),
    (maximum(maximum(n - 1, 0), 2), "max(n - 1, 2)"),
    (maximum(n // 2, n), "n"),
    (minimum(n, n + 1), "n"),
    (minimum(3, m, n, 5), "min(m, n, 3)"),
    (minimum(n, maximum(n, m)), "n"),
    (minimum(n, 7) // 2, "min(n // 2, 3)"),
    (minimum(n, m) * 2, "2*min(m, n)"),
]


@pytest.mark.parametrize("size, text", NORMAL, ids=[text for _, text in NORMAL])
def test_normal_form(size: Size, text: str) -> None:
    assert str(size) == repr(size) == text == code(size, NAMES)
    for values in itertools.product(range(1, 6), repeat=3):
        env = dict(zip("nmk", values, strict=True))
        if "m // k" not in text or env["m"] >= env["k"]:  # nothing is divided by zero
            assert run(text, **env) == evaluate(size, env)


@pytest.mark.parametrize(
    "size, value",
    [(n - n, 0), (n * 4 // n, 4), ((6 * n) // (2 * n), 3), ((3 * n) // (2 * n), 1), (n % 1, 0), ((4 * n) % 2, 0)]
    + [(n // (n + 1), 0), (n % 2 // 2, 0), (n * m % m, 0), (n**0, 1), (minimum(0, n), 0), (0 * n, 0), (prod([]), 1)],
)
def test_constants_are_ints(size: Size, value: int) -> None:
    assert type(size) is int and size == value


def trees() -> st.SearchStrategy[object]:
    """Computations: a variable's name, an int, or (operator, tree, tree)."""

    def combine(pair: st.SearchStrategy) -> st.SearchStrategy:
        binary = st.sampled_from(["+", "-", "*", "//", "%", "min", "max"])
        return st.tuples(binary, pair, pair)

    return st.recursive(st.sampled_from(["n", "m", "k"]) | st.integers(-4, 9), combine, max_leaves=9)


BINARY = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def value(tree: object, env: dict[str, Size], low: Callable, high: Callable) -> Size:
    """The tree computed with sizes or ints; divisors are made positive, for nothing is divided by zero."""
    if not isinstance(tree, tuple):
        return env[tree] if isinstance(tree, str) else tree
    op, x, y = tree[0], *(value(t, env, low, high) for t in tree[1:])
    if op in BINARY:
        return BINARY[op](x, y)
    if op in ("min", "max"):
        return (low if op == "min" else high)(x, y)
    return x // high(y, 1) if op == "//" else x % high(y, 1)


@settings(max_examples=400, deadline=None)
@given(trees(), st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=4, max_size=4))
def test_algebra_agrees_with_integers(tree: object, points: list[tuple[int, int, int]]) -> None:
    size = value(tree, {"n": n, "m": m, "k": k}, minimum, maximum)
    text = code(size, NAMES)
    assert not isinstance(size, Dim) or size.terms == pickle.loads(pickle.dumps(size)).terms
    for point in points:
        env = dict(zip("nmk", point, strict=True))
        expected = value(tree, env, min, max)
        assert evaluate(size, env) == expected
        assert run(text, **env) == expected
        assert run("5 - " + code(size, NAMES, atomic=True), **env) == 5 - expected
        for relation in (operator.lt, operator.le, operator.eq, operator.ne, operator.ge, operator.gt):
            for bound in (-1, 0, 1, 3):
                try:
                    decided = relation(size, bound)
                except ShapeError:
                    continue
                assert decided == relation(expected, bound), (size, relation, bound, env)


@settings(max_examples=300, deadline=None)
@given(trees(), trees(), st.tuples(*[st.integers(0, 6)] * 3))
def test_comparisons_of_two_sizes_are_true(s: object, t: object, point: tuple[int, int, int]) -> None:
    symbolic, env = {"n": n, "m": m, "k": k}, dict(zip("nmk", point, strict=True))
    a, b = (value(tree, symbolic, minimum, maximum) for tree in (s, t))
    x, y = (evaluate(size, env) for size in (a, b))
    assert not same(a, b) or (x == y and hash(a) == hash(b) and digest(a) == digest(b))
    for relation in (operator.lt, operator.le, operator.eq, operator.ne, operator.ge, operator.gt):
        try:
            assert relation(a, b) == relation(x, y)
        except ShapeError:
            assert isinstance(a - b, Dim)


@given(st.permutations([n, m, k, n * m, n // 2, maximum(m - 1, 0), -3]))
def test_order_of_building_does_not_show(parts: list[Size]) -> None:
    total: Size = 0
    for part in parts:
        total = total + part
    expected = n + m + k + n * m + n // 2 + maximum(m - 1, 0) - 3
    assert same(total, expected) and hash(total) == hash(expected)
    assert str(total) == "m*n + k + m + n + max(m - 1, 0) + n // 2 - 3"
    assert str(minimum(*parts)) == str(minimum(*parts[::-1]))


# --- Operators --------------------------------------------------------------------------------------------------------


def test_operands() -> None:
    three = np.int64(3)
    assert same(three * n, 3 * n) and same(n + three, n + 3) and same(three - n, 3 - n)
    assert str(7 // (n + 1)) == "7 // (n + 1)" and str(np.int64(7) % (n + 1)) == "7 % (n + 1)"
    assert (three == n + 4) is False and type((n + three).evaluate({"n": three})) is int
    assert same(n + True, n + 1) and same(+n, n) and same(pow(n, three), n * n * n)
    for bad in ("n", None):
        for operation in (operator.add, operator.mul, operator.floordiv, operator.mod, operator.lt):
            with pytest.raises(TypeError):
                operation(n, bad)
            with pytest.raises(TypeError):
                operation(bad, n)
    assert (n == 1.0) is False and (n != "n") is True  # neither is a size: identity decides
    with pytest.raises(ZeroDivisionError):
        n // 0
    with pytest.raises(ZeroDivisionError):
        (n + 1) % 0
    with pytest.raises(ShapeError, match="between 0 and 32"):
        n**-1


def test_names() -> None:
    assert dim("n") == n and str(dim("größe α")) == "größe α" and dim("n") != dim("n") + 1
    with pytest.raises(ShapeError, match="not empty"):
        dim("")
    with pytest.raises(TypeError, match="string"):
        dim(3)
    assert as_size(np.int8(3)) == 3 and type(as_size(np.int8(3))) is int and as_size(n) is n
    with pytest.raises(TypeError, match=r"not float: 2\.5"):
        as_size(2.5)


@pytest.mark.parametrize("convert", [int, operator.index, float, range, lambda size: np.zeros((size,)), [0].__mul__])
def test_not_a_number(convert: Callable[[Size], object]) -> None:
    with pytest.raises(TypeError, match=r"the size n \+ 1 is not a number yet.*only when the compiled"):
        convert(n + 1)


def test_frozen() -> None:
    for thing, attribute in ((n, "terms"), (n, "new"), (n.key, "name")):
        with pytest.raises((AttributeError, TypeError)):
            setattr(thing, attribute, 1)


# --- Comparisons ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decided",
    [n == n, n != n + 1, n != -1, 2 * n != 2 * m + 1, n >= 0, n > -1, n <= n + m, n < n + 1, not n + 1 <= n]
    + [n // 2 <= n, n % 3 < 3, n % 3 <= n, minimum(n, m) <= n, maximum(n, m) >= m, (n + 1) // 2 <= n + 1]
    + [n // (m + 1) <= n, maximum(n - 1, 0) >= 0, n - maximum(n - 3, 0) <= 3, n * (m // 2) >= 0, bool(n + 1)]
    + [bool(-n - 1), minimum(n, 3) < 4, 0 <= n, -1 < n, -1 != n, not n < 0, not n * n <= -1, n - n // 2 - n // 3 >= 0],
)
def test_decidable(decided: bool) -> None:
    assert decided is True


@pytest.mark.parametrize(
    "ask, relation",
    [
        (lambda: n == m, "n == m"),
        (lambda: n != m, "n != m"),
        (lambda: n < m, "n < m"),
        (lambda: n > m, "n > m"),
        (lambda: n <= 3, "n <= 3"),
        (lambda: n >= 3, "n >= 3"),
        (lambda: 3 < n, "n > 3"),
        (lambda: bool(n), "n != 0"),
        (lambda: n * 2 == 784, "2*n == 784"),
        (lambda: (n, 3) == (m, 3), "n == m"),
        (lambda: n in [m, n], "m == n"),
    ],
)
def test_undecidable(ask: Callable[[], bool], relation: str) -> None:
    with pytest.raises(ShapeError) as error:
        ask()
    message = str(error.value)
    assert message.startswith(f"`{relation}` cannot be decided while the graph is built")
    for part in ("only when the compiled function is called", "same dim name", "fixed size", "where()"):
        assert part in message


def test_same_never_raises() -> None:
    assert same(n + 1, 1 + n) and not same(n, m) and not same(n, 3) and not same(3, n) and same(3, 3)
    assert same_shape((n, 3), (n, 3)) and not same_shape((n, 3), (m, 3)) and not same_shape((n,), (n, n))


def test_dict_keys_never_compare_different_sizes() -> None:
    # In CPython hash(-1) == hash(-2): sizes which differ by such a coefficient must not meet in one bucket.
    sizes = [m + c * n + d for c in range(-3, 4) for d in range(-3, 4)]
    sizes += [f(m - n, c) for f in (minimum, maximum) for c in (-1, -2)]
    assert len({(s, 3): s for s in sizes}) == len(sizes) == len({digest(s) for s in sizes})
    for a, b in itertools.combinations(sizes, 2):
        assert hash(a) != hash(b)
    assert {n: "x", m: "y"}[dim("m")] == "y"


# --- Anonymous sizes, copies, text ------------------------------------------------------------------------------------


def test_anonymous() -> None:
    a, b = anonymous("x.shape[0]"), anonymous("x.shape[0]")
    assert same(a, a) and not same(a, b) and not same(a, dim("x.shape[0]")) and str(a) == str(b) == "x.shape[0]"
    with pytest.raises(ShapeError):
        assert a == b
    assert code(a + 2 * b, {a.key: "p", b.key: "q"}) == "p + 2*q" == code(2 * b + a, {a.key: "p", b.key: "q"})
    assert len({digest(s) for s in (a, b, dim("x.shape[0]"), a + b, a + a)}) == 5
    assert [v.serial for v in variables(b + a, n)] == sorted([a.key.serial, b.key.serial]) + [0]


def test_digest_can_forget_the_past() -> None:
    def digests() -> list[str]:
        a, b, ordinals = anonymous("x.shape[0]"), anonymous("x.shape[0]"), {}
        return [digest(s, ordinals) for s in (b, a, a * b + n, maximum(a - b, 0))]

    assert digests() == digests() == ["'x.shape[0]'#1", "'x.shape[0]'#2", *digests()[2:]]


def test_digest_tells_names_from_expressions() -> None:
    assert str(dim("n + 1")) == str(n + 1) and digest(dim("n + 1")) != digest(n + 1)
    assert digest(dim("n // 2")) != digest(n // 2) and not same(dim("n // 2"), n // 2) and digest(3) == "3"
    assert str(dim("n // 2") + n // 2) == str(n // 2 + dim("n // 2"))


def test_pickle_and_copy() -> None:
    a, b = anonymous("rows"), anonymous("rows")
    size = maximum(a // 2 - b, n % (m + 1), -1) * b + 3
    for again in (pickle.loads(pickle.dumps(size)), copy.copy(size), copy.deepcopy(size)):
        assert same(again, size) and hash(again) == hash(size) and digest(again) == digest(size)
    first, second, third = pickle.loads(pickle.dumps([a, b, a]))
    assert same(first, a) and same(second, b) and same(third, a)


def test_pickle_in_another_process() -> None:
    """An anonymous size keeps its identity within one pickle and is confused with no other of its label there."""
    a, b = anonymous("rows"), anonymous("rows")
    source = (
        "import pickle, sys; from symgraph.dims import anonymous, same\n"
        "mine = [anonymous('rows') for _ in range(9)]\n"
        "b, a, s, again = (pickle.loads(sys.stdin.buffer.read()))\n"
        "assert same(a + 2 * b, s) and same(a, again) and not same(a, b)\n"
        "assert not any(same(x, y) for x in mine for y in (a, b)); print('ok')"
    )
    result = python(source, pickle.dumps((b, a, a + 2 * b, a)))
    assert result == "ok\n"


def python(source: str, stdin: bytes = b"", seed: str = "0") -> str:
    env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p) or "."}
    done = subprocess.run([sys.executable, "-c", source], input=stdin, env=env, capture_output=True, check=True)
    return done.stdout.decode()


def test_hash_seeds_do_not_show() -> None:
    source = (
        "from symgraph.dims import anonymous, digest, dim, maximum, minimum, variables\n"
        "d = [dim(c) for c in 'zebra'] + [anonymous('b'), anonymous('b')]\n"
        "s = sum(x * y for x in d for y in d) + maximum(*d) // 3 + minimum(*d[::-1]) % d[0]\n"
        "print(s, digest(s), variables(s))"
    )
    assert len({python(source, seed=seed) for seed in ("1", "2", "3")}) == 1


def test_variables_evaluate_substitute() -> None:
    a = anonymous("rows")
    size = (a + n) // 2 + maximum(m - 1, 0)
    assert variables(size) == size.variables() == (n.key, a.key, m.key) and variables(3) == ()
    assert str(size) == "(n + rows) // 2 + max(m - 1, 0)"
    assert size.evaluate({a.key: 4, "n": 3, m: 5}) == 3 + 4
    with pytest.raises(ShapeError, match="no value is given for n, rows"):
        evaluate(size, {"m": 1, "rows": 2})  # a label is not a name
    assert same(substitute(size, {"n": a, m: n + 1}), a + n) and substitute(7, {"n": 1}) == 7
    assert same(substitute(n + m, {n.key: m, m.key: n}), n + m)  # all at once
    with pytest.raises(ShapeError, match="not one variable"):
        _ = (n + 1).key
    assert n.is_variable and not (2 * n).is_variable and not (n * n).is_variable and not (n // 2).is_variable


# --- Equations and broadcasting ---------------------------------------------------------------------------------------


def test_require_equal() -> None:
    with collecting() as outer:
        assert require_equal(n, n) is n and require_equal(3, 3) == 3 and outer == []
        assert require_equal(n, 3) == 3 and require_equal(3, n) == 3 and require_equal(n, m) is n
        with collecting() as inner:
            require_equal(m, k)
        thread = threading.Thread(target=require_equal, args=(n, k))
        thread.start()
        thread.join()
    assert [tuple(map(str, p)) for p in outer] == [("n", "3"), ("3", "n"), ("n", "m")]
    assert [tuple(map(str, p)) for p in inner] == [("m", "k")]
    assert require_equal(n, m) is n  # no collector: allowed
    for a, b in ((64, 10), (n, n + 1), (n + 1, 0), (2 * n, 3)):
        with pytest.raises(ShapeError, match=rf"^{a} != {b}$".replace("+", r"\+").replace("*", r"\*")):
            require_equal(a, b)


def test_collector_leaves_on_error() -> None:
    with pytest.raises(KeyError), collecting() as pairs:
        raise KeyError
    require_equal(n, m)
    assert pairs == []


def test_broadcast_shapes() -> None:
    for shapes in itertools.product([(), (1,), (3,), (2, 3), (2, 1), (4, 1, 3)], repeat=2):
        assert broadcast_shapes(*shapes) == np.broadcast_shapes(*shapes)
    with collecting() as pairs:
        assert same_shape(broadcast_shapes((n, 1), (3,), (1, 1, 1)), (1, n, 3))
        assert same_shape(broadcast_shapes((1, n), (m, n)), (m, n)) and pairs == []
        assert same_shape(broadcast_shapes((n,), (m,), (5,)), (5,))
    assert [tuple(map(str, p)) for p in pairs] == [("n", "m"), ("n", "5")]
    with pytest.raises(ShapeError, match="2 != 3"):
        broadcast_shapes((2,), (3,))
    with pytest.raises(ShapeError, match="0 != 3"):
        broadcast_shapes((0,), (3,))
    assert broadcast_shapes() == ()


# --- Slices -----------------------------------------------------------------------------------------------------------

BOUNDS = [None, *range(-5, 6)]
SLICES = [slice(*s) for s in itertools.product(BOUNDS, BOUNDS, [s for s in BOUNDS if s != 0])]


def indices(s: slice, size: int) -> tuple[int, int, int, int]:
    return *s.indices(size), len(range(*s.indices(size)))


def numbers(s: slice, size: Size, **env: int) -> tuple[int, ...]:
    return tuple(-1 if part is None else evaluate(part, env) for part in slice_of(s, size))


def test_concrete_slices() -> None:
    for s, size in itertools.product(SLICES, range(8)):
        assert numbers(s, size) == indices(s, size), (s, size)


def test_symbolic_slices() -> None:
    for s in SLICES:
        parts = slice_of(s, n)
        assert parts[3] >= 0
        for size in range(8):
            got = tuple(-1 if part is None else evaluate(part, {"n": size}) for part in parts)
            assert got == indices(s, size), (s, size, parts)


def test_slices_of_sizes_which_are_calls() -> None:
    sizes = {"max(n - 2, 0)": maximum(n - 2, 0), "min(n, 4)": minimum(n, 4), "(n + 1) // 2": (n + 1) // 2, "2*n": 2 * n}
    for s in SLICES[::7]:
        for text, size in sizes.items():
            for v in range(8):
                assert numbers(s, size, n=v) == indices(s, run(text, n=v)), (s, size, v)


@pytest.mark.parametrize(
    "s, length",
    [
        (np.s_[:], "n"),
        (np.s_[1:], "max(n - 1, 0)"),
        (np.s_[:-1], "max(n - 1, 0)"),
        (np.s_[1:-1], "max(n - 2, 0)"),
        (np.s_[:3], "min(n, 3)"),
        (np.s_[-3:], "min(n, 3)"),
        (np.s_[::2], "(n + 1) // 2"),
        (np.s_[1::2], "n // 2"),
        (np.s_[::-1], "n"),
        (np.s_[::-2], "(n + 1) // 2"),
        (np.s_[3:3], "0"),
        (np.s_[: n - 1], "max(n - 1, 0)"),
        (np.s_[n - 1 :], "min(n, 1)"),
        (np.s_[m:], "max(n - m, 0)"),
        (np.s_[-m - 1 :], "min(m + 1, n)"),
    ],
    ids=str,
)
def test_lengths_read_well(s: slice, length: str) -> None:
    assert str(slice_of(s, n)[3]) == length


def test_reversal_stops_before_zero() -> None:
    start, stop, step, length = slice_of(np.s_[::-1], n)
    assert same(start, n - 1) and stop is None and step == -1 and same(length, n)


def test_slices_of_slices_stay_small() -> None:
    size: Size = n
    for _ in range(300):
        size = slice_of(np.s_[1:], size)[3]
    assert str(size) == "max(n - 300, 0)"


def test_symbolic_bounds() -> None:
    bounds = [None, m, m + 1, -m - 1, n, n - 1, 2 * n, m // 2, minimum(m, n)]
    for start, stop, step in itertools.product(bounds, bounds, [1, 2, -1, -3]):
        parts = slice_of(slice(start, stop, step), n)
        for v, w in itertools.product(range(5), range(5)):
            ints = [None if b is None else evaluate(b, {"n": v, "m": w}) for b in (start, stop)]
            got = tuple(-1 if p is None else evaluate(p, {"n": v, "m": w}) for p in parts)
            assert got == indices(slice(*ints, step), v), (start, stop, step, v, w)
    assert all(numbers(np.s_[n - 2 :], n, n=v) == indices(slice(v - 2, None), v) for v in range(6))


def test_slices_refused() -> None:
    with pytest.raises(ShapeError, match=r"could be negative.*maximum\(n - 3, 0\)"):
        slice_of(np.s_[n - 3 :], n)  # for n = 2 NumPy reads x[-1:]
    with pytest.raises(ShapeError, match="could be negative"):
        slice_of(np.s_[n - m :], n)
    for step in (0, n, 1.5):
        with pytest.raises(ShapeError, match="step of a slice must be a fixed integer other than 0"):
            slice_of(slice(None, None, step), n)
    with pytest.raises(TypeError, match="not float"):
        slice_of(np.s_[1.0:], n)


def test_bounds_do_not_overflow_or_take_long() -> None:
    assert (n + 10**30 > 10**30 - 1) is True and math.prod([2] * 200) * n >= 0
    many = [dim(f"d{i}") for i in range(12)]
    assert minimum(*many) <= many[7] + maximum(*many[::-1]) and len(minimum(*many).terms) == 1
