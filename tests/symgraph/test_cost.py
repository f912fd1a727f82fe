"""What functions cost: operations and bytes, symbolic in the dimensions."""

import pickle

import numpy as np
import pytest

import symgraph as sg
from symgraph import dims
from symgraph.core import toposort
from symgraph.costs import Count, cost
from symgraph.errors import CompileError, ShapeError
from symgraph.ops.base import Primitive
from symgraph.ops.work import bytes_of, flops_of
from symgraph.pytree import flatten
from symgraph.testing.ops import _symbols
from symgraph.testing.records import RECORDS


def _product():
    x, W = sg.symbol("x", ("batch", 784), "float32"), sg.symbol("W", (784, 128), "float32")
    return sg.function([x, W], x @ W)


def test_a_product_counts_two_operations_for_each_term():
    found = cost(_product())
    assert str(found.flops) == "2*batch*784*128"
    assert found.flops == 2 * 784 * 128 * dims.dim("batch")
    assert int(found(batch=64).flops) == 2 * 64 * 784 * 128


def test_bytes_are_each_operand_and_the_result_once():
    found = cost(_product())(batch=64)
    assert int(found.bytes) == 4 * (64 * 784 + 784 * 128 + 64 * 128)


def test_an_operand_used_twice_is_read_once():
    x = sg.symbol("x", (1000,))
    assert int(cost(sg.function([x], x * x)).bytes) == 2 * 8000


def test_a_broadcast_operand_is_read_as_it_is_stored():
    x, y = sg.symbol("x", (100, 50)), sg.symbol("y", (50,))
    f = sg.function([x, y], x * sg.broadcast_to(y, (100, 50)), optimize=False)
    assert int(cost(f).bytes) == 8 * (5000 + 50 + 5000)


def test_views_are_free():
    x = sg.symbol("x", (6, 4))
    views = [x.T, sg.reshape(x, (4, 6)), x[1:3], sg.broadcast_to(x, (2, 6, 4)), sg.stop_gradient(x)]
    for view in views:
        assert flops_of(view) == 0 and bytes_of(view) == 0, view.op


def test_a_gather_reads_what_it_takes():
    x, i = sg.symbol("x", (10**6,)), sg.symbol("i", (3,), "int64")
    assert int(cost(sg.function([x, i], x[i])).bytes) == 24 + 24 + 24


def test_factorizations_have_cubic_terms():
    A, b = sg.symbol("A", ("n", "n")), sg.symbol("b", ("n",))
    found = cost(sg.function([A, b], sg.linalg.solve(A, b)))(n=100)
    assert int(found.flops) == 2 * 100**3 // 3 + 2 * 100**2


def test_what_runs_in_a_loop_counts_for_every_row():
    x = sg.symbol("x", ("n", 5))
    f = sg.function([x], sg.map_rows(lambda row: sg.tanh(row).sum(), x))
    assert cost(f).flops == 105 * dims.dim("n")
    assert int(cost(f)(n=4).bytes) == 4 * (40 + 40 + 40) + 4 * 8


def test_a_branch_counts_the_dearer_side():
    x = sg.symbol("x", (10,))
    f = sg.function([x], sg.cond(x.sum() > 0, lambda: sg.exp(x), lambda: -x))
    by_op = cost(f).by_op
    assert int(by_op["cond"].flops) == 200


def test_kinds_of_op_sum_to_the_whole():
    x = sg.symbol("x", ("n", 3))
    found = cost(sg.function([x], sg.grad(sg.logsumexp(sg.tanh(x)), x)))
    total = sum((c.flops for c in found.by_op.values()), Count(0))
    assert total == found.flops and found.by_op["tanh"].steps == 1
    assert sum(c.steps for c in found.by_op.values()) == len(found.steps)


def test_sums_of_fixed_sizes_are_one_number():
    x, y = sg.symbol("x", ("n", 7)), sg.symbol("y", (5, 3))
    found = cost(sg.function([x, y], [x + 1, sg.exp(y)]))
    assert str(found.flops) == "n*7 + 300"
    assert found.flops == 7 * dims.dim("n") + 300


def test_many_terms_are_folded_by_dimension():
    xs = [sg.symbol(f"x{k}", ("n", k)) for k in range(2, 14)]
    found = cost(sg.function(xs, [x + 1 for x in xs]))
    assert str(found.flops) == f"{sum(range(2, 14))}*n"


def test_the_table_names_ops_and_totals():
    text = str(cost(_product()))
    assert "matmul" in text and "FLOPs  2*batch*784*128" in text
    assert repr(cost(_product())) == text


def test_sizes_by_name_by_dimension_and_in_part():
    x, W = sg.symbol("x", ("n", "m")), sg.symbol("W", ("m", 2))
    found = cost(sg.function([x, W], x @ W)).flops
    n, m = dims.dim("n"), dims.dim("m")
    assert found(n=3, m=4) == found({n: 3, m: 4}) == 48
    assert found(n=3) == 12 * m


def test_anonymous_dimensions_are_given_by_themselves():
    x = sg.symbol("x", (None,))
    found = cost(sg.function([x], x + 1))
    assert found({x.shape[0]: 5}).flops == 5


@pytest.mark.parametrize("sizes", [{"rows": 3}, {"batch": -1}, {"batch": 1.5}, {"batch": True}])
def test_wrong_sizes(sizes):
    with pytest.raises(ShapeError, match=r"batch|rows"):
        cost(_product())(**sizes)


def test_without_sizes_there_is_no_number():
    with pytest.raises(TypeError, match="batch"):
        int(cost(_product()).flops)


def test_a_pickled_function_has_no_graph_to_count():
    with pytest.raises(CompileError, match="pickled"):
        cost(pickle.loads(pickle.dumps(_product())))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_op_counts_and_views_count_nothing(record):
    xs = _symbols([np.asarray(v) for v in record.samples[0]])
    for node in toposort(flatten(record.build(*xs))[0]):
        if isinstance(node.op, Primitive):
            flops, moved = flops_of(node), bytes_of(node)
            assert flops >= 0 and moved >= 0
            if node.op.is_view and not node.op.bodies:
                assert flops == moved == 0, node.op.name


def test_a_long_chain_is_counted_in_linear_time():
    x = y = sg.symbol("x", ("n",))
    for _ in range(3000):
        y = sg.sin(y) * 1.5
    assert cost(sg.function([x], y, optimize=False)).flops == 3000 * 21 * dims.dim("n")
