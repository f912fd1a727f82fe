"""Identity of nodes: interning, constants, canonical order, walks, pickling, and what a tensor refuses to be."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph import core, dims
from symgraph.core import Body, Bound, Constant, ShapedArray, constant, make, symbol, toposort, weak_constant
from symgraph.dims import dim
from symgraph.errors import DTypeError, ShapeError, SymgraphError
from symgraph.ops.base import Elementwise, Primitive
from symgraph.ops.late import F

ROOT = Path(__file__).parents[2]


def run_python(code: str, seed: str) -> str:
    """What `code` prints in a fresh interpreter with this hash seed."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Interning -----------------------------------------------------------------------------------------------------------


def test_the_same_op_on_the_same_inputs_is_the_same_object():
    x, y = symbol("x", 3), symbol("y", 3)
    assert x + y is x + y
    assert sg.exp(x) is sg.exp(x)
    assert sg.sum(x, axis=0) is sg.sum(x, axis=-1) is sg.sum(x)
    assert x - y is not y - x
    assert sg.exp(x) is not sg.exp(y)
    assert x + 1 is x + 1
    assert x * np.float64(2) is x * np.array(2.0)


def test_leaves_are_always_fresh():
    x, other = symbol("x"), symbol("x")
    assert x is not other
    assert x + 1 is not other + 1
    assert {x, other} == {x, other} and len({x, other}) == 2


def test_ops_are_equal_only_when_they_are_the_same():
    ops = list(Elementwise.registry.values())
    assert len(set(ops)) == len(ops)
    assert all(a != b for i, a in enumerate(ops) for b in ops[:i])
    singles = [op for op in (cls() for cls in _subclasses(Primitive) if _fieldless(cls)) if op is not None]
    assert all(type(a) is type(b) for a in singles for b in singles if a == b)


def _subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def _fieldless(cls):
    return cls is not Elementwise and getattr(cls, "__dataclass_fields__", None) == {}


def test_ops_hash_and_pickle_by_value():
    for op in [*list(Elementwise.registry.values()), (sg.sum(symbol("x", (2, 3)), axis=1)).op]:
        loaded = pickle.loads(pickle.dumps(op))
        assert loaded == op and hash(loaded) == hash(op)


def test_op_fields_are_plain_values():
    """np.int64 and bool would make equal ops unequal, or unequal text."""
    x = symbol("x", (2, 3, 4))
    assert sg.sum(x, axis=np.int64(1)) is sg.sum(x, axis=1)
    assert sg.transpose(x, (np.int64(2), 0, 1)) is sg.transpose(x, [2, 0, 1])
    assert sg.reshape(x, (np.int8(6), 4)) is sg.reshape(x, (6, 4))
    assert repr(sg.sum(x, axis=np.int64(1)).op) == repr(sg.sum(x, axis=1).op)


# Constants -----------------------------------------------------------------------------------------------------------


def test_constants_are_keyed_by_dtype_and_bits():
    values = [1, 1.0, True, 0.0, -0.0, np.float32(1), np.int32(1), 1j, [1.0], [[1.0]]]
    nodes = [constant(v) for v in values]
    assert len(set(nodes)) == len(values)
    assert [constant(v) for v in values] == nodes or all(constant(v) is n for v, n in zip(values, nodes, strict=True))


def test_weak_and_strong_constants_differ():
    assert weak_constant(1.0) is weak_constant(1.0)
    assert weak_constant(1.0) is not constant(1.0)
    assert weak_constant(1) is not weak_constant(1.0)
    assert weak_constant(True) is not weak_constant(1)


def test_every_nan_is_one():
    other = np.array(0x7FF8000000000001, np.uint64).view(np.float64)
    negative = -np.float64(np.nan)
    assert np.isnan(other)
    assert constant(np.nan) is constant(other) is constant(negative)
    assert constant([np.nan, 0.0]) is constant([other, 0.0])
    assert constant([np.nan, 0.0]) is not constant([np.nan, -0.0])


def test_a_constant_is_a_snapshot():
    a = np.arange(3.0)
    c = constant(a)
    a[0] = 7
    assert c.op.value[0] == 0
    assert constant(a) is not c
    with pytest.raises(ValueError, match="read-only"):
        c.op.value[0] = 1


def test_layout_does_not_matter():
    a = np.arange(6.0).reshape(2, 3)
    assert constant(a) is constant(np.asfortranarray(a)) is constant(a[::-1][::-1])
    assert constant(a.astype(">f8")) is constant(a)


def test_large_constants_are_keyed_by_digest():
    a = np.random.default_rng(0).normal(size=(100, 100))
    assert constant(a) is constant(a.copy())
    assert constant(a) is not constant(a + 1e-16 * (a == a.max())) or a.max() + 1e-16 == a.max()
    assert len(repr(constant(a).op)) < 300


@pytest.mark.parametrize("value", ["text", object(), np.array(["a"]), [[1], [1, 2]], np.datetime64("2020")])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(DTypeError):
        constant(value)


def test_a_constant_of_a_tensor_is_refused():
    with pytest.raises(TypeError, match="already a tensor"):
        constant(symbol("x"))


# The table -----------------------------------------------------------------------------------------------------------


def test_the_table_forgets_dropped_nodes():
    gc.collect()
    before = len(core._table)
    x = symbol("x", 3)
    y = x
    for _ in range(100):
        y = sg.sin(y) * 1.25
    assert len(core._table) >= before + 200
    del x, y
    gc.collect()
    assert len(core._table) <= before + 1


def test_names_and_links_do_not_keep_nodes_alive():
    import weakref

    x = symbol("x", 3)
    h = sg.named(sg.exp(x), "hidden")
    alive = weakref.ref(h)
    del h, x
    gc.collect()
    assert alive() is None


def test_interning_is_safe_under_threads():
    leaves = [symbol(f"x{i}", 3) for i in range(4)]
    count, rounds = 8, 30
    for r in range(rounds):
        found: list = [None] * count
        barrier = threading.Barrier(count)

        def work(k, r=r, found=found, barrier=barrier):
            barrier.wait()
            y = leaves[0]
            made = []
            for i in range(20):
                a, b = (y, leaves[i % 4]) if (k + i) % 2 else (leaves[i % 4], y)
                y = sg.sin(a + b * (r + 2)) if a is y else sg.sin(b * 1 + a * (r + 2))
                made.append(leaves[i % 3] * leaves[i % 3 + 1] + (r + i))
            found[k] = (y, made, sg.exp(leaves[0] - leaves[1]) ** (r + 2))

        threads = [threading.Thread(target=work, args=(k,)) for k in range(count)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for k in range(1, count):
            assert found[k][2] is found[0][2]
            assert all(a is b for a, b in zip(found[k][1], found[0][1], strict=True))


# Canonical order -----------------------------------------------------------------------------------------------------


def test_commutative_operands_have_one_order():
    x, y = symbol("x", 3), symbol("y", 3)
    assert x + y is y + x
    assert x * y is y * x
    assert 2 * x is x * 2
    assert sg.exp(x) * y is y * sg.exp(x)
    assert sg.exp(x) * sg.sin(x) is sg.sin(x) * sg.exp(x)
    assert (2 * x).inputs[0] is x, "constants come last"


def test_twins_commute():
    """Two leaves of one name have one rank; their sum is one node in either order."""
    a, b = symbol("x", 3), symbol("x", 3)
    assert a + b is b + a
    assert sg.exp(a) * sg.exp(b) is sg.exp(b) * sg.exp(a)


def test_maximum_does_not_commute():
    """max(nan payloads, signed zeros) tells its operands apart."""
    x, y = symbol("x"), symbol("y")
    assert sg.maximum(x, y) is not sg.maximum(y, x)


ORDER = """
import symgraph as sg
from symgraph.core import toposort
for _ in range(JUNK):
    sg.exp(sg.symbol("junk", 3)) + 1
x, y, n = sg.symbol("x", ("n", 3)), sg.symbol("y", ("n", 3)), sg.symbol("k", 3, "int64")
z = sg.sum((sg.exp(x) * sg.sin(y) + sg.cos(x) * y) * (x @ y.T @ x) + 0.5 * n, axis=0)
w = sg.concatenate([z, sg.reshape(x, -1)])[::2]
print([(node.op.name, node.digest, node.flipped) for node in toposort([w])])
"""


def test_order_and_digests_do_not_depend_on_the_process():
    first = run_python(ORDER.replace("JUNK", "0"), "0")
    assert len(first) > 100
    assert run_python(ORDER.replace("JUNK", "7"), "1") == first
    assert run_python(ORDER.replace("JUNK", "1"), "31337") == first


def test_printing_keeps_the_users_order():
    x, y = symbol("x", 3), symbol("y", 3)
    assert "y + x" in sg.function([x, y], y + x, style="plain").source
    a, b = symbol("a", 3), symbol("b", 3)
    assert "a + b" in sg.function([a, b], a + b, style="plain").source
    assert "2 * a" in sg.function([a], 2 * a, style="plain").source
    assert "b * 3" in sg.function([b], b * 3, style="plain").source


# Walks ---------------------------------------------------------------------------------------------------------------


def test_toposort_puts_inputs_first_from_left_to_right():
    x, y = symbol("x"), symbol("y")
    u, v = sg.exp(x), sg.sin(y)
    z = u - v
    assert toposort([z]) == [x, u, y, v, z] or [n is m for n, m in zip(toposort([z]), [x, u, y, v, z], strict=True)]
    assert list(map(id, toposort([z]))) == list(map(id, [x, u, y, v, z]))
    assert list(map(id, toposort([z], stop={u}))) == list(map(id, [u, y, v, z]))
    assert list(map(id, toposort([u, z, u]))) == list(map(id, [x, u, y, v, z]))
    assert toposort([]) == []


def test_substitution_keeps_what_it_does_not_touch():
    x, y, w = symbol("x"), symbol("y"), symbol("w")
    u = sg.exp(x)
    z = u - sg.sin(y)
    (new,) = core.substitute_all([z], {y: w})
    assert new is u - sg.sin(w)
    (same,) = core.substitute_all([z], {w: x})
    assert same is z
    (inner,) = core.substitute_all([z], {u: w})
    assert inner is w - sg.sin(y)
    assert core.substitute_all([x], {x: y})[0] is y


def test_rebuilding_keeps_the_users_order():
    b, c = symbol("b", 3), symbol("c", 3)
    z = sg.exp(c + b)
    d, e = symbol("d", 3), symbol("e", 3)
    (new,) = core.substitute_all([z], {b: d, c: e})
    assert new is sg.exp(d + e)
    assert "e + d" in sg.function([d, e], new, style="plain").source


# Pickle and copy -----------------------------------------------------------------------------------------------------


def test_copies_are_the_node_itself():
    x = symbol("x", 3)
    y = sg.exp(x)
    assert copy.copy(x) is x and copy.deepcopy(x) is x
    assert copy.deepcopy({"a": [y, x]})["a"][0] is y


def test_pickle_keeps_structure_and_shares_leaves():
    x, y = symbol("x", ("n", 3)), symbol("y", ("n", 3), "float32")
    z = sg.sum(sg.exp(x) + y) * 2.5
    x2, y2, z2 = pickle.loads(pickle.dumps((x, y, z)))
    assert x2 is not x and (x2.name, x2.dtype) == ("x", x.dtype)
    assert dims.same_shape(x2.shape, x.shape)
    assert z2 is sg.sum(sg.exp(x2) + y2) * 2.5


def test_pickle_of_constants_is_identity():
    for c in (constant(1.5), weak_constant(2), constant(np.arange(100.0)), constant(np.nan)):
        assert pickle.loads(pickle.dumps(c)) is c
    assert pickle.loads(pickle.dumps(constant(2.0) * constant([1.0, 3.0]))) is constant(2.0) * constant([1.0, 3.0])


def test_pickle_keeps_the_users_order():
    x, y = symbol("x", 3), symbol("y", 3)
    y2, x2, z2 = pickle.loads(pickle.dumps((y, x, sg.exp(y + x))))
    assert "y + x" in sg.function([x2, y2], z2, style="plain").source


def test_pickle_keeps_anonymous_dims_apart():
    x, y = symbol("x", (None, 3)), symbol("y", (None, 3))
    x2, y2 = pickle.loads(pickle.dumps((x, y)))
    assert dims.same(x2.shape[0], x.shape[0])
    assert not dims.same(x2.shape[0], y2.shape[0])


# Immutability and refusals -------------------------------------------------------------------------------------------


def test_a_tensor_is_immutable():
    x = symbol("x", 3)
    for attribute in ("op", "inputs", "aval", "shape", "dtype", "note"):
        with pytest.raises(AttributeError):
            setattr(x, attribute, 1)
    with pytest.raises(AttributeError):
        del x.op
    with pytest.raises(TypeError):
        x[0] = 1
    assert x.op.label == "x"


@pytest.mark.parametrize("shape", [(), (3,), ("n",)])
def test_a_tensor_is_not_a_number(shape):
    x = symbol("x", shape)
    with pytest.raises(TypeError, match="where"):
        bool(x)
    with pytest.raises(TypeError, match="where"):
        x == x or None
    for convert in (float, int, complex, range, np.asarray, np.array, lambda t: [1, 2][t], lambda t: f"{t:.2f}"):
        with pytest.raises(TypeError):
            convert(x)
    with pytest.raises(TypeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.array([x, x], dtype=float)


def test_len_and_iteration_need_a_known_axis():
    assert len(symbol("x", (3, 2))) == 3
    assert [row.shape for row in symbol("x", (2, 5))] == [(5,), (5,)]
    for x in (symbol("x"), symbol("x", ("n", 2))):
        with pytest.raises(TypeError):
            len(x)
        with pytest.raises(TypeError):
            list(x)
    with pytest.raises(TypeError):
        1 in symbol("x", 3)


def test_equality_is_elementwise_and_hash_is_identity():
    x, y = symbol("x", 3), symbol("y", 3)
    assert (x == y).dtype == bool and (x == y).shape == (3,)
    assert (x == y) is (x == y) and (x != 1).dtype == bool
    assert {x: 1, y: 2}[x] == 1
    assert hash(x) != hash(y)


# Leaves, shapes, errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", None, 3, b"x"])
def test_a_symbol_needs_a_name(name):
    with pytest.raises(TypeError, match="name"):
        symbol(name)


@pytest.mark.parametrize("shape", [-1, (2, -3), (1.5,), (True,), {3}, {"a": 2}, (np.float64(2),)])
def test_bad_shapes_are_refused(shape):
    with pytest.raises(ShapeError):
        symbol("x", shape)


def test_shapes_are_ints_and_dims():
    x = symbol("x", (np.int64(2), "n", None, dim("n") + 1))
    assert type(x.shape[0]) is int
    assert dims.same(x.shape[1], dim("n"))
    assert not dims.same(x.shape[2], symbol("x", (None,)).shape[0])
    assert symbol("x", 3).shape == (3,) and symbol("x", "n").ndim == 1
    with pytest.raises(DTypeError):
        symbol("x", 3, "U5")
    with pytest.raises(DTypeError):
        symbol("x", 3, "longdouble")


def test_an_error_names_the_line_the_operands_and_the_rule():
    x, y = symbol("x", (2, 3)), symbol("y", (4,), "float32")
    with pytest.raises(ShapeError) as caught:
        x + y
    text = str(caught.value)
    line = caught.tb.tb_lineno if hasattr(caught, "tb") and caught.tb else caught.traceback[0].lineno + 1
    assert f"test_core.py:{line}: add of x (2, 3) float64 and " in text
    assert "3" in text and "4" in text
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, SymgraphError)


def test_a_failed_build_leaves_nothing_behind():
    gc.collect()
    before = len(core._table)
    x, y = symbol("x", 2), symbol("y", 3)
    for _ in range(3):
        with pytest.raises(ShapeError):
            x * y
    assert len(core._table) <= before + 1


# Avals and bodies ----------------------------------------------------------------------------------------------------


def test_avals_compare_by_value():
    f64 = np.dtype(float)
    a = ShapedArray((dim("n"), 2), f64)
    assert a == ShapedArray((dim("n"), 2), f64) and hash(a) == hash(ShapedArray((dim("n"), 2), f64))
    assert a != ShapedArray((dim("m"), 2), f64)
    assert a != ShapedArray((dim("n"), 2), np.dtype("float32"))
    assert a != ShapedArray((dim("n"), 2), f64, weak=True)
    assert str(a) == "(n, 2) float64" and str(ShapedArray((3,), f64)) == "(3,) float64"


def test_bodies_are_closed_and_equal_by_structure():
    aval = ShapedArray((3,), np.dtype(float))

    def body(function):
        return Body([aval], [function(make(Bound(0, aval.shape, aval.dtype)))])

    assert body(lambda b: sg.exp(b) * 2) == body(lambda b: 2 * sg.exp(b))
    assert hash(body(sg.exp)) == hash(body(sg.exp))
    assert body(sg.exp) != body(sg.sin)
    assert pickle.loads(pickle.dumps(body(sg.exp))) == body(sg.exp)
    with pytest.raises(SymgraphError, match="closed"):
        body(lambda b: b + symbol("x", 3))
    assert body(sg.exp).inputs[0] is make(Bound(0, aval.shape, aval.dtype))
    assert Body([aval, aval], []).inputs[1].op.index == 1


def test_provenance_is_outside_identity():
    x = symbol("x", 3)
    y = sg.exp(x)
    assert y.where is not None and y.where[0] == "test_core.py"
    assert sg.named(y, "first") is y or sg.named(y, "first").op == y.op
    assert sg.exp(x) is y


def test_constants_do_not_print_their_arrays():
    assert isinstance(constant(np.zeros(1000)).op, Constant)
    assert len(str(constant(np.zeros(1000)))) < 2000


def test_late_namespace_says_what_is_missing():
    with pytest.raises(AttributeError, match="no_such_function"):
        F.no_such_function


def test_lines_of_a_notebook_are_lines_of_a_cell():
    scope = {"sg": __import__("symgraph")}
    for filename in ("/anywhere/ipykernel_12/8675041.py", "<ipython-input-3-0a1b>"):
        exec(compile("\n\nx = sg.symbol('x')\ny = sg.sin(x)", filename, "exec"), scope)
        assert scope["y"].where == ("cell", 4)


def test_a_remembered_walk_is_a_list_of_its_own():
    y = symbol("x")
    for _ in range(200):
        y = y + 1
    fresh = list(map(id, toposort([y])))
    with core.building():
        toposort([y]).clear()
        with core.building():
            assert list(map(id, toposort([y]))) == fresh
        assert len(toposort([y], stop=set(y.inputs))) == 1 + len(y.inputs)
        assert list(map(id, toposort([y]))) == fresh
        assert len(toposort([y * 2])) > len(fresh)
        assert list(map(id, toposort([y]))) == fresh


def test_a_remembered_walk_does_not_keep_nodes_alive():
    y = symbol("x")
    for _ in range(200):
        y = y + 1
    gone = weakref.ref(y)
    with core.building():
        toposort([y])
    del y
    assert gone() is None
