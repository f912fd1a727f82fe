"""A contraction written into an array that exists: the same value as its expression, by the call that a person would choose."""

import itertools
import random

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import ShapedArray
from symgraph.ops.code import Code
from symgraph.ops.einsum import Einsum, renumbered

rng = np.random.default_rng(3)


def run(op, arrays):
    """The array that holds the result, full of other things before, and the statements."""
    xs = [Code(f"x{i}", aval=ShapedArray(a.shape, a.dtype)) for i, a in enumerate(arrays)]
    aval = op.infer(*[x.aval for x in xs])
    lines = op.into("out", *xs)
    out = np.full(aval.shape, 77 if aval.dtype.kind in "iub" else np.nan, aval.dtype)
    scope = {"np": np, "out": out, **{f"x{i}": a for i, a in enumerate(arrays)}}
    exec("\n".join(lines), scope)
    assert scope["out"] is out
    return out, lines


def agree(op, arrays):
    out, lines = run(op, arrays)
    xs = [Code(f"x{i}", aval=ShapedArray(a.shape, a.dtype)) for i, a in enumerate(arrays)]
    expected = eval(op.numpy(*xs), {"np": np, **{f"x{i}": a for i, a in enumerate(arrays)}})
    np.testing.assert_array_equal(out, expected, err_msg="\n".join(lines))


def laid_out(array, choose):
    """The same values in memory of another order."""
    kind = choose.randrange(4)
    if kind == 0 or not array.ndim:
        return array
    if kind == 1:
        return np.asfortranarray(array)
    if kind == 2:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    order = list(range(array.ndim))
    choose.shuffle(order)
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


@pytest.mark.parametrize("seed", range(500))
def test_every_contraction_can_be_written_into_an_array(seed):
    choose = random.Random(seed)
    pool = "ijklmn"[: choose.randint(1, 6)]
    size = {label: choose.choice([0, 1, 2, 3] if choose.random() < 0.2 else [2, 3, 4]) for label in pool}
    count = choose.choice([1, 2, 2, 2, 2, 2, 3])
    if choose.random() < 0.75:
        operands = [choose.sample(pool, choose.randint(0, min(4, len(pool)))) for _ in range(count)]
    else:
        operands = [choose.choices(pool, k=choose.randint(0, 3)) for _ in range(count)]
    known = sorted({label for ls in operands for label in ls})
    if choose.random() < 0.7:
        output = choose.sample(known, choose.randint(min(1, len(known)), min(4, len(known))))
    else:
        output = choose.choices(pool, k=choose.randint(1, 3))
    dtype = choose.choice(["f8", "f8", "f4", "f4", "f2", "i8", "i1", "?", "c8", "c16"])
    arrays = [np.asarray(rng.integers(-2, 3, [size[label] for label in ls])).astype(dtype) for ls in operands]
    sizes = tuple(size[label] for label in dict.fromkeys(output) if label not in known)
    op = Einsum(*renumbered(operands, output), sizes)
    if not output:
        pytest.skip("a value without axes is an expression")
    agree(op, [laid_out(a, choose) for a in arrays])
    if count == 2 and operands[0] != operands[1] and arrays[0].shape == arrays[1].shape:
        agree(op, [arrays[0], arrays[0]])


@pytest.mark.parametrize("char", "?bBhiqQefdFD")
@pytest.mark.parametrize("subscripts", ["ij,jk->ik", "bij,bjk->bik", "i,j->ij", "bi,bi->b", "ib,ib->b", "ij,j->i", "bij,bik->jk"])  # fmt: skip
def test_every_dtype(char, subscripts):
    inputs, output = subscripts.split("->")
    operands = inputs.split(",")
    arrays = [rng.integers(-3, 4, [dict(b=5, i=3, j=4, k=2)[c] for c in ls]).astype(char) for ls in operands]
    agree(Einsum(*renumbered(operands, output)), arrays)


@pytest.mark.parametrize(
    "subscripts, expected",
    [
        ("ij,jk->ik", "np.dot(x0, x1, out=out)"),
        ("ij,jk->ki", "np.dot(x1.T, x0.T, out=out)"),
        ("ji,jk->ik", "np.dot(x0.T, x1, out=out)"),
        ("ij,kj->ik", "np.dot(x0, x1.T, out=out)"),
        ("ij,j->i", "np.dot(x0, x1, out=out)"),
        ("ji,j->i", "np.dot(x1, x0, out=out)"),
        ("i,j->ij", "np.dot(x0[:, None], x1[None], out=out)"),
        ("ij,i->ij", "np.multiply(x0, x1[:, None], out=out)"),
        ("bij,bjk->bik", "np.matmul(x0, x1, out=out)"),
        ("bji,bjk->bik", "np.matmul(x0.mT, x1, out=out)"),
        ("bhnm,bmhd->bnhd", "np.matmul(x0, x1.transpose(0, 2, 1, 3), out=out.transpose(0, 2, 1, 3))"),
        ("bnhd,bmhd->bhnm", "np.matmul(x0.transpose(0, 2, 1, 3), x1.transpose(0, 2, 3, 1), out=out)"),
        ("bij,bj->bi", "np.matmul(x0, x1[..., None], out=out[..., None])"),
        ("bij,bik->jk", "np.dot(x0.reshape(b*i, j).T, x1.reshape(b*i, k), out=out)"),
        ("bij,jk->bik", "np.dot(x0.reshape(b*i, j), x1, out=out.reshape(b*i, k))"),
        ("bij,kj->bki", "np.matmul(x1, x0.mT, out=out)"),
        ("bi,bi->b", "np.vecdot(x0, x1, out=out)"),
        ("ib,ib->b", 'np.einsum("ib,ib->b", x0, x1, out=out)'),
        ("ijk->i", "np.add.reduce(x0, axis=(1, 2), out=out)"),
        ("ij->ji", "np.copyto(out, x0.T)"),
    ],
)  # fmt: skip
def test_the_call_is_that_of_an_expert(subscripts, expected):
    inputs, output = subscripts.split("->")
    operands = inputs.split(",")
    op = Einsum(*renumbered(operands, output))
    names = {sg.core.dim(c).key: c for c in "bhijkmnd"}
    xs = [Code(f"x{i}", aval=sg.symbol("x", tuple(ls)).aval) for i, ls in enumerate(operands)]
    with sg.ops.code.emitting(names, str):
        found = op.into("out", *xs)
    letters = [c for c in dict.fromkeys(inputs.replace(",", "")) if c in "bi"]
    assert found == [expected], letters


def test_short_rows_are_left_to_einsum():
    def call(rows, length):
        x = Code("x", aval=ShapedArray((rows, length), np.dtype("f4")))
        return Einsum(((0, 1), (0, 1)), (0,)).into("out", x, x)[0].split("(")[0]

    assert call(1000, 10) == "np.einsum" and call(1000, 64) == call(20, 10) == "np.vecdot"


def test_the_diagonal_is_written_over_zeros():
    op = Einsum(((0,),), (0, 0))
    out, lines = run(op, [np.arange(3.0)])
    np.testing.assert_array_equal(out, np.diag(np.arange(3.0)))
    assert lines == ["out.fill(0)", "out.reshape(9)[::4] = x0"]


def test_a_product_of_rows_may_run_block_by_block():
    def rows(subscripts):
        inputs, output = subscripts.split("->")
        op = Einsum(*renumbered(inputs.split(","), output))
        return op.by_rows(None)

    assert rows("ij,ij->i") == (True, True) == rows("nke,nke->nk")
    for whole in ["ij,jk->ik", "ij,ij->j", "ij,ij->", "nke,kne->nk", "ij->i"]:
        assert rows(whole) is None


@pytest.mark.parametrize("shape", [("n", 3, "m"), (70_000, 3, 20)])
def test_a_product_of_rows_of_several_axes_is_made_as_a_whole(shape):
    x = sg.symbol("x", shape)
    y = sg.sqrt((x * x).sum(axis=(1, 2)))
    value = rng.random((70_000, 3, 20))
    expected = np.sqrt((value * value).sum(axis=(1, 2)))
    double, inverse = sg.function([x], [y * 2, 1 / (1 + y)])(value)
    np.testing.assert_allclose(double, 2 * expected, rtol=1e-12)
    np.testing.assert_allclose(inverse, 1 / (1 + expected), rtol=1e-12)


def test_the_cost_counts_multiplications_and_additions():
    def cost(subscripts, *shapes):
        y = sg.einsum(subscripts, *[sg.symbol(f"x{i}", s) for i, s in enumerate(shapes)])
        return str(y.op.cost(y.aval, *[x.aval for x in y.inputs]))

    assert cost("ij,jk->ik", ("m", "k"), ("k", "n")) == "2*k*m*n"
    assert cost("i,j->ij", ("m",), ("n",)) == "m*n"
    assert cost("bij,bjk->bik", ("b", 2, 3), ("b", 3, 4)) == "48*b"
    assert cost("ij,ij->", ("m", "n"), ("m", "n")) == "2*m*n"
    assert cost("ij,jk->k", ("m", 3), (3, 4)) == "3*m + 24"
    assert cost("ii->i", ("n", "n")) == "0" and cost("ii->", ("n", "n")) == "n"


@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_a_product_over_all_elements_is_a_scalar(dtype):
    for left, right in itertools.product([(2, 3)], [(2, 3), (3, 2)]):
        a, b = rng.standard_normal(left).astype(dtype), rng.standard_normal(right).astype(dtype)
        subscripts = "ij,ij->" if left == right else "ij,ji->"
        x, y = sg.symbol("x", left, dtype), sg.symbol("y", right, dtype)
        z = sg.einsum(subscripts, x, y)
        assert z.op.scalar
        found = z.op.evaluate(a, b) if z.inputs[0] is x else z.op.evaluate(b, a)
        assert isinstance(found, np.generic)
        np.testing.assert_allclose(found, np.einsum(subscripts, a, b), rtol=1e-5)
