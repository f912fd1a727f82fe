"""Contractions: one node per meaning, the source a person writes, NumPy's values, dtypes and errors."""

import itertools
import pickle
import random

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import Bound, make
from symgraph.ops.base import evaluate_source
from symgraph.ops.code import Code
from symgraph.ops.einsum import Einsum, contraction, renumbered
from symgraph.ops.late import F
from symgraph.testing.gradients import check_grads

rng = np.random.default_rng(0)


def source(y):
    """The expression of one contraction over its operands' names."""
    return str(y.op.numpy(*[Code(x.name or f"x{i}", aval=x.aval) for i, x in enumerate(y.inputs)]))


x = sg.symbol("x", ("batch", 64))
W = sg.symbol("W", (64, 10))
V = sg.symbol("V", (10, 64))
g = sg.symbol("g", ("batch", 10))
q = sg.symbol("q", (64, 64))
u, v = sg.symbol("u", (64,)), sg.symbol("v", (64,))
s, t = sg.symbol("s", ("batch", "time", 64)), sg.symbol("t", ("batch", "time", 64))
heads = [sg.symbol(name, ("batch", "time", 4, 8)) for name in "kq"]

# One node ------------------------------------------------------------------------------------------------------------


def test_the_same_product_is_one_node():
    assert sg.einsum("ij,jk->ik", x, W) is sg.einsum("jk,ij->ik", W, x) is x @ W
    assert sg.einsum("ab,bc->ac", x, W) is sg.einsum("ij,jk", x, W) is sg.tensordot(x, W, 1) is sg.dot(x, W)
    assert u @ v is v @ u is sg.inner(u, v) is sg.einsum("i,i", v, u)
    assert sg.einsum("ij,kj->ik", q, q) is sg.einsum("kj,ij->ik", q, q)
    assert sg.einsum("ij,jk->ki", q, q) is sg.einsum("jk,ij->ki", q, q)
    assert sg.einsum("i,j,k->ijk", u, v, u) is sg.einsum("k,i,j->ijk", u, u, v)
    assert q @ q is not sg.einsum("ij,jk->ki", q, q)


def test_simpler_ops_are_used_where_they_say_the_same():
    assert sg.einsum("ij->ji", q) is q.T
    assert sg.einsum("ij->j", q) is q.sum(axis=0)
    assert sg.einsum("ij,ij->ij", q, q) is q * q
    assert sg.einsum("ij->ij", q) is q
    assert sg.einsum(",ij->ij", sg.constant(2.0), q) is sg.constant(2.0) * q


def test_substitution_restores_the_canonical_order():
    z = sg.symbol("a", ("batch", 64))
    assert sg.substitute(x @ W, {x: z}) is z @ W
    assert sg.substitute(u @ v, {u: v}) is v @ v


def test_an_op_survives_pickling():
    y = sg.einsum("ij,jk,kl->il", x, W, V)
    assert pickle.loads(pickle.dumps(y.op)) == y.op
    assert make(pickle.loads(pickle.dumps(y.op)), *y.inputs) is y


def test_names_for_drawings():
    assert [y.op.name for y in (x @ W, u @ v, sg.outer(u, v), sg.trace(q))] == ["matmul", "dot", "outer", "trace"]
    assert sg.einsum("ij,ij->i", q, q).op.name == sg.einsum("ij,ij->", q, V.T @ V).op.name == "einsum"


# Source --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y, expected",
    [
        (x @ W, "x @ W"),
        (sg.einsum("ij,kj->ik", x, V), "x @ V.T"),
        (sg.einsum("ij,kj->ki", x, V), "V @ x.T"),
        (sg.einsum("bi,bj->ij", x, g), "x.T @ g"),
        (x @ v, "x @ v"),
        (v @ W, "v @ W"),
        (sg.einsum("ij,i->j", W, v), "v @ W"),
        (u @ v, "u @ v"),
        (sg.outer(u, v), "np.outer(u, v)"),
        (sg.einsum("i,j->ji", u, v), "np.outer(v, u)"),
        (q @ q, "q @ q"),
        (sg.einsum("ij,kj->ik", q, q), "q @ q.T"),
        (sg.einsum("ji,jk->ik", q, q), "q.T @ q"),
        (sg.einsum("ij,ij->", q, q), "np.vdot(q, q)"),
        (sg.einsum("ij,ij->i", q, q), 'np.einsum("bi,bi->b", q, q)'),
        (s @ W, "s @ W"),
        (sg.einsum("bij,kj->bik", s, V), "s @ V.T"),
        (sg.einsum("bij,bkj->bik", s, t), "s @ t.mT"),
        (sg.einsum("bij,bik->jk", s, t), "np.tensordot(s, t, axes=((0, 1), (0, 1)))"),
        (sg.einsum("bnhd,bmhd->bhnm", heads[1], heads[0]), "q.transpose(0, 2, 1, 3) @ k.transpose(0, 2, 3, 1)"),
        (sg.trace(q), "np.trace(q)"),
        (sg.einsum("ii->i", q), "q.diagonal()"),
        (sg.einsum("ij,jk,kl->il", x, W, V), 'np.einsum("ij,ki,lk->lj", V, W, x, optimize=True)'),
        (sg.einsum("i,j->i", u, v), "u * v.sum()"),
        (sg.einsum("ij,k->ikj", q, v), "q[:, None, :] * v[:, None]"),
    ],
)
def test_source(y, expected):
    assert source(y) == expected


def test_gradients_of_a_layer_are_written_as_by_hand():
    loss = ((x @ W - g) ** 2).sum()
    assert "x.T @ " in sg.function([x, W, g], sg.grad(loss, W)).source
    assert " @ W.T" in sg.function([x, W, g], sg.grad(0.5 * loss, x)).source
    assert "np.fill_diagonal" in sg.function([q], sg.grad(sg.trace(q) ** 2, q), style="plain").source
    assert "np.diag(" in sg.function([q], sg.grad((sg.einsum("ii->i", q) ** 2).sum(), q)).source


# Values --------------------------------------------------------------------------------------------------------------


def brute_force(operands, output, arrays, sizes):
    """The definition: np.einsum over distinct labels, then each element put on the diagonals of the output."""
    known = {
        label: n for ls, a in zip(operands, arrays, strict=True) for label, n in zip(ls, a.shape, strict=True)
    } | sizes
    distinct = list(dict.fromkeys(output))
    ones = [np.ones(known[label], arrays[0].dtype) for label in distinct]
    inputs = ",".join(["".join(ls) for ls in operands] + distinct)
    value = np.einsum(f"{inputs}->{''.join(distinct)}", *arrays, *ones)
    result = np.zeros([known[label] for label in output], arrays[0].dtype)
    for place in itertools.product(*[range(known[label]) for label in distinct]):
        at = dict(zip(distinct, place, strict=True))
        result[tuple(at[label] for label in output)] = value[place]
    return result


def random_contraction(choose):
    pool = "ijklm"[: choose.randint(1, 5)]
    size = {label: choose.choice([0, 1, 2, 3] if choose.random() < 0.2 else [2, 3, 4]) for label in pool}
    count = choose.choice([1, 2, 2, 2, 3])
    if choose.random() < 0.6:
        operands = [choose.sample(pool, choose.randint(0, min(4, len(pool)))) for _ in range(count)]
    else:
        operands = [choose.choices(pool, k=choose.randint(0, 3)) for _ in range(count)]
    known = sorted({label for ls in operands for label in ls})
    kind = choose.random()
    if kind < 0.6:
        output = choose.sample(known, choose.randint(0, min(4, len(known))))
    else:
        output = choose.choices(pool, k=choose.randint(0, 3))
    dtype = choose.choice(["f8", "f4", "f2", "i8", "i1", "?", "c8", "c16"])
    arrays = [np.asarray(rng.integers(-2, 3, [size[label] for label in ls])).astype(dtype) for ls in operands]
    return operands, output, arrays, {label: size[label] for label in output if label not in known}


@pytest.mark.parametrize("seed", range(400))
def test_every_contraction_is_what_its_labels_say(seed):
    choose = random.Random(seed)
    operands, output, arrays, sizes = random_contraction(choose)
    tensors = [sg.symbol(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    value = dict(zip(tensors, arrays, strict=True))
    if len(tensors) > 1 and arrays[0].shape == arrays[1].shape and choose.random() < 0.5:
        tensors[1], arrays[1] = tensors[0], arrays[0]  # the same tensor twice
    expected = brute_force(operands, output, arrays, sizes)

    op = Einsum(*renumbered(operands, output), tuple(sizes[label] for label in dict.fromkeys(output) if label in sizes))
    y = make(op, *tensors)
    given = [value[z] for z in y.inputs]
    text = y.op.numpy(*[Code(f"x{i}", aval=z.aval) for i, z in enumerate(y.inputs)])
    expression = eval(text, {"np": np, **{f"x{i}": a for i, a in enumerate(given)}})
    for found in (expression, evaluate_source(y.op, given)):
        assert np.asarray(found).dtype == expected.dtype == y.dtype, text
        np.testing.assert_array_equal(found, expected, err_msg=text)

    order = list(range(len(tensors)))
    choose.shuffle(order)
    again = Einsum(*renumbered([operands[i] for i in order], output), op.sizes)
    assert make(again, *[tensors[i] for i in order]) is y
    assert make(y.op, *y.inputs) is y

    rearranged = contraction(operands, output, tensors, sizes)  # may be said by simpler ops
    np.testing.assert_array_equal(F.interpret([rearranged], value)[0], expected)
    assert rearranged.dtype == expected.dtype


A, B, C = rng.standard_normal((2, 3)), rng.standard_normal((3, 4)), rng.standard_normal((4, 2))
S = rng.standard_normal((5, 1, 3))
Z = rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3))


@pytest.mark.parametrize(
    "name, args, options",
    [
        ("einsum", ("ij,jk", A, B), {}),
        ("einsum", ("ba,cb", A, C), {}),
        ("einsum", ("ij , jk , kl -> il", A, B, C), {}),
        ("einsum", ("...ij,...jk->...ik", S, B), {}),
        ("einsum", ("...j,kj", S, A), {}),
        ("einsum", ("i...->...", A), {}),
        ("einsum", ("...", A), {}),
        ("einsum", ("ij,ij->ij", A, A[:1]), {}),
        ("einsum", ("ij,ij->j", A[:1], A), {}),
        ("einsum", (A, [0, 1], B, [1, 2], [2, 0]), {}),
        ("einsum", (A, [0, 1], B, [1, 2]), {}),
        ("einsum", (S, [..., 7], A, [3, 7], [..., 3]), {}),
        ("einsum", ("ij,jk->ik", A, B), {"optimize": True}),
        ("tensordot", (A, B, 1), {}),
        ("tensordot", (A, B, 0), {}),
        ("tensordot", (A, B), {"axes": (1, 0)}),
        ("tensordot", (A, C), {"axes": ([0], [-1])}),
        ("dot", (A, np.stack([B, B])), {}),
        ("dot", (A, 2.0), {}),
        ("inner", (A, A), {}),
        ("inner", (A, 2.0), {}),
        ("outer", (A, B[0]), {}),
        ("vdot", (Z, Z), {}),
        ("vdot", (A, A.reshape(3, 2)), {}),
        ("vecdot", (Z, Z), {}),
        ("vecdot", (A, S), {}),
        ("vecdot", (B, B), {"axis": 0}),
        ("kron", (A, B), {}),
        ("kron", (A[0], B), {}),
        ("kron", (A[0], 2.0), {}),
        ("cross", (A, S), {}),
        ("cross", (B, B[::-1]), {"axis": 0}),
        ("trace", (B,), {}),
        ("trace", (B, 1), {}),
        ("trace", (S,), {"axis1": 0, "axis2": 2, "offset": -1}),
        ("trace", (np.ones((2, 3, 2), np.int8),), {"axis1": 2, "axis2": 0}),
        ("trace", (np.ones((2, 2), bool),), {}),
        ("trace", (A[:, :2],), {"dtype": "float32"}),
        ("matmul", (S, B), {}),
        ("matmul", (rng.standard_normal((1, 2, 3)), rng.standard_normal((4, 3, 2))), {}),
        ("matmul", (rng.standard_normal(3), rng.standard_normal((4, 3, 2))), {}),
        ("matmul", (rng.standard_normal((4, 2, 3)), rng.standard_normal(3)), {}),
    ],
)
def test_functions_mean_what_numpy_means(name, args, options):
    expected = getattr(np, name)(*args, **options)
    tensors = [sg.symbol(f"x{i}", a.shape, a.dtype) if isinstance(a, np.ndarray) else a for i, a in enumerate(args)]
    y = getattr(sg, name)(*tensors, **options)
    given = {z: a for z, a in zip(tensors, args, strict=True) if z is not a}
    found = sg.evaluate(y, given)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if name not in ("einsum", "vecdot"):
        np.testing.assert_allclose(sg.evaluate(getattr(np, name)(*tensors, **options), given), expected, rtol=1e-12)


def test_numpy_dispatches_einsum():
    assert np.einsum("ij,jk->ik", x, W) is x @ W


def test_matvec_and_vecmat():
    m, a = rng.standard_normal((4, 2, 3)), rng.standard_normal(3)
    M, b = sg.symbol("M", m.shape), sg.symbol("a", ("n",))
    np.testing.assert_allclose(sg.evaluate(sg.matvec(M, b), {M: m, b: a}), m @ a)
    w = Z[:, 0]
    np.testing.assert_allclose(sg.evaluate(sg.vecmat(sg.constant(w), M), {M: m}), w.conj() @ m)


def test_multi_dot_is_one_contraction():
    a, b, c = (sg.symbol(n, m.shape) for n, m in zip("abc", (A, B, C), strict=True))
    y = sg.multi_dot([a, b, c])
    assert len(y.inputs) == 3
    np.testing.assert_allclose(sg.evaluate(y, {a: A, b: B, c: C}), A @ B @ C)
    assert sg.multi_dot([a[0], b, c[:, 0]]).shape == ()


@pytest.mark.parametrize("one, two", list(itertools.product("?bBhiqQefdFD", repeat=2)))
def test_products_have_the_dtypes_of_matmul(one, two):
    a, b = np.ones((2, 2), one), np.ones((2, 2), two)
    y = sg.symbol("a", (2, 2), one) @ sg.symbol("b", (2, 2), two)
    assert y.dtype == (a @ b).dtype
    assert sg.einsum("ij,jk->ik", sg.constant(a), sg.constant(b)).dtype == np.einsum("ij,jk->ik", a, b).dtype


def test_symbolic_sizes_and_their_entry_checks():
    a, b = sg.symbol("a", ("n", "k")), sg.symbol("b", ("m", 3))
    y = a @ b
    assert str(y.shape) == "(n, 3)"
    f = sg.function([a, b], y)
    assert f(np.ones((2, 4)), np.ones((4, 3))).shape == (2, 3)
    with pytest.raises(sg.ShapeError, match=r"k=4 .*m=5"):
        f(np.ones((2, 4)), np.ones((5, 3)))
    assert str((sg.symbol("p", (1, "n", 3)) @ sg.symbol("q", ("b", 3, 2))).shape) == "(b, n, 2)"


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: x @ sg.symbol("W", (32, 10)), r"\(64\) must equal the first of the right \(32\).* \(64, 10\)"),
        (lambda: x @ V, r"Did you mean V.T\?"),
        (lambda: W @ q, r"Did you mean W.T\?"),
        (lambda: x @ sg.symbol("b", (3,)), r"b of shape \(64,\)"),
        (lambda: sg.matmul(x, 2.0), r"at least one axis. Multiply by a scalar with \*"),
        (lambda: sg.symbol("p", (3, 4, 5)) @ sg.ones((2, 5, 6)), r"leading axes \(3,\) and \(2,\) do not broadcast"),
        (lambda: sg.einsum("ij,jk->ik", x, V), r"label 'j' is 64 in x and 10 in V"),
        (lambda: sg.einsum("ii", W), r"label 'i' is 64 in W and 10 in W"),
        (lambda: sg.einsum("ij,jk", x), r"2 operands, and 1 are given"),
        (lambda: sg.einsum("ijk", x), r"2 axes and 3 labels"),
        (lambda: sg.einsum("ij->ii", q), r"'i' twice"),
        (lambda: sg.einsum("ij->ijk", q), r"'k' is in no operand"),
        (lambda: sg.einsum("i.j", q), r"must be letters"),
        (lambda: sg.einsum("...i->i", q), r"Add it to the output"),
        (lambda: sg.tensordot(x, V, 1), r"axis 1 of the left \(64\) must equal axis 0 of the right \(10\)"),
        (lambda: sg.tensordot(x, V, 3), r"more axes"),
        (lambda: sg.tensordot(q, q, ([0, 0], [0, 1])), r"twice"),
        (lambda: sg.dot(x, V), r"last axis of the left"),
        (lambda: sg.inner(x, W), r"64 and 10"),
        (lambda: sg.vdot(u, sg.symbol("w", (3,))), r"64 and 3 elements"),
        (lambda: sg.cross(u, u), r"3 elements"),
        (lambda: sg.trace(u), r"at least two axes"),
        (lambda: sg.multi_dot([x]), r"at least two"),
        (lambda: sg.multi_dot([x, V]), r"Did you mean V.T"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(build, message):
    with pytest.raises(sg.ShapeError, match=message) as caught:
        build()
    text = str(caught.value)
    assert "test_contract.py:" in text or "must be letters" in text


# Derivatives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subscripts, shapes",
    [
        ("ij,jk->ik", [(2, 3), (3, 2)]),
        ("ii->i", [(3, 3)]),
        ("iij->j", [(2, 2, 3)]),
        ("ii,i->", [(3, 3), (3,)]),
        ("ij,k->ik", [(2, 3), (2,)]),
        ("...i,...i->...", [(2, 3), (1, 3)]),
        ("ij,jk,ki->", [(2, 3), (3, 2), (2, 2)]),
    ],
)
def test_derivatives_to_second_order(subscripts, shapes):
    check_grads(lambda *xs: sg.sin(sg.einsum(subscripts, *xs)), *[rng.uniform(0.5, 1.0, n) for n in shapes], order=2)


def test_a_tensor_multiplied_by_itself():
    check_grads(lambda m: m @ m @ m.T, rng.standard_normal((2, 2)), order=2)
    assert sg.simplify(sg.grad(sg.einsum("ij,ij->", q, q), q)) is 2 * q


def test_complex_derivatives_have_no_conjugation():
    z, w = sg.symbol("z", (3,), "complex128"), sg.symbol("w", (3,), "complex128")
    assert sg.vjp(sg.einsum("i,i->", z, w), z, sg.constant(1 + 0j)) is sg.constant(1 + 0j) * w


def test_single_precision_stays():
    a, b = sg.symbol("a", ("n", 3), "float32"), sg.symbol("b", (3, 3), "float32")
    for wrt in (a, b):
        assert sg.grad((sg.trace(b) * (a @ b)).mean(), wrt).dtype == np.float32


def test_masks_follow_diagonals():
    m = sg.symbol("m", (2, 2))
    safe = sg.where(sg.trace(m) > 9, sg.trace(sg.log(m)), 0.0)
    np.testing.assert_array_equal(sg.evaluate(sg.grad(safe, m), {m: np.zeros((2, 2))}), np.zeros((2, 2)))
    diagonal = sg.einsum("ii->i", sg.sqrt(m))
    chosen = sg.where(np.array([True, False]), diagonal, 0.0).sum()
    found = sg.evaluate(sg.grad(chosen, m), {m: np.array([[4.0, 0.0], [0.0, 0.0]])})
    np.testing.assert_array_equal(found, [[0.25, 0.0], [0.0, 0.0]])


def test_batching_adds_a_label():
    a, b = rng.standard_normal((5, 2, 3)), rng.standard_normal((3, 5, 2))
    xs = [sg.symbol("a", a.shape), sg.symbol("b", b.shape)]
    op = Einsum(((0, 1), (1, 2)), (0, 2))
    y, axis = op.batch([0, 1], *xs)
    expected = np.stack([a[i] @ b[:, i] for i in range(5)])
    np.testing.assert_allclose(np.moveaxis(sg.evaluate(y, {xs[0]: a, xs[1]: b}), axis, 0), expected)


def test_questions_of_later_stages():
    y = x @ W
    assert str(y.op.cost(y.aval, *[z.aval for z in y.inputs])) == "1280*batch"
    assert y.op.as_einsum(*y.inputs) is y.op
    assert y.op.nonnegative(True, True) and not y.op.nonnegative(True, False)
    assert sg.einsum("ii->i", q).op.is_view and not sg.trace(q).op.is_view and not y.op.is_view
    assert make(Bound(0, (2, 2), np.dtype("f8"))) @ np.eye(2) is make(Bound(0, (2, 2), np.dtype("f8"))) @ np.eye(2)
