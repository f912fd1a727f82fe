"""NumPy's products: matmul, dot, einsum and their kin, each one contraction (`Einsum`) of its operands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import dims
from ..core import Tensor, describe, located_error
from ..dims import Size
from ..dtypes import promote
from ..errors import ShapeError
from .base import as_tensor, axis_of, cast, promoted, promotion_type
from .diagonal import Eye
from .einsum import contraction
from .late import F

__all__ = [
    "matmul", "dot", "vdot", "inner", "outer", "tensordot", "einsum", "kron", "trace", "cross",
    "vecdot", "matvec", "vecmat", "multi_dot",
]  # fmt: skip


def _contract(
    operands: Sequence[Sequence[Any]], output: Sequence[Any], xs: Sequence[Tensor], stretch: Any = None
) -> Tensor:
    """A contraction where an axis of size 1 stretches to the size its label has elsewhere, for labels in `stretch`."""
    sizes: dict[Any, Size] = {}
    for labels, x in zip(operands, xs):
        for label, size in zip(labels, x.shape):
            if not dims.same(size, 1):
                sizes[label] = size
    kept, taken = [], []
    for labels, x in zip(operands, xs):
        ones = [
            i for i, (label, size) in enumerate(zip(labels, x.shape))
            if dims.same(size, 1) and label in sizes and (stretch is None or label in stretch)
        ]  # fmt: skip
        taken.append(F.squeeze(x, axis=tuple(ones)) if ones else x)
        kept.append([label for i, label in enumerate(labels) if i not in ones])
    return contraction(kept, output, taken)


def _agree(name: str, xs: Sequence[Tensor], a: Size, b: Size, rule: str) -> None:
    """Raise `rule` as the error of `name` when two sizes can never be equal."""
    try:
        dims.require_equal(a, b)
    except ShapeError:
        raise located_error(ShapeError, name, xs, rule) from None


def matmul(x1: Any, x2: Any) -> Tensor:
    """The matrix product `x1 @ x2`: y[..., i, k] = sum over j of x1[..., i, j] * x2[..., j, k].

    A 1-d operand is a row on the left, a column on the right, and its axis is absent from the result. Leading axes are
    batches and broadcast. Raises `ShapeError` for a scalar, or where the last axis of x1 is not as long as the
    last but one (or only) axis of x2.
    """
    a, b = _promoted("matmul", x1, x2)
    _at_least("matmul", (a, b), (1, 1))
    inner, right = a.shape[-1], b.shape[-2 if b.ndim > 1 else 0]
    _agree("matmul", [a, b], inner, right, _matmul_rule(a, b))
    batches = [_batch_labels(x.ndim - 2) for x in (a, b)]
    la = [*batches[0], *(["i"] if a.ndim > 1 else []), "j"]
    lb = [*batches[1], "j", *(["k"] if b.ndim > 1 else [])]
    return _batched("matmul", [a, b], [la, lb], batches, [label for label in (*la, *lb) if label in ("i", "k")])


def _promoted(name: str, *operands: Any) -> list[Tensor]:
    return promoted(name, np.matmul, operands)


def _at_least(name: str, xs: Sequence[Tensor], ranks: Sequence[int]) -> None:
    for x, least in zip(xs, ranks):
        if x.ndim < least:
            cure = " Multiply by a scalar with *." if x.ndim == 0 else ""
            axes = "one axis" if least == 1 else "two axes"
            raise located_error(ShapeError, name, xs, f"{describe(x, short=True)} must have at least {axes}.{cure}")


def _matmul_rule(a: Tensor, b: Tensor) -> str:
    inner = a.shape[-1]
    which = "first" if b.ndim <= 2 else "last but one"
    rule = (
        f"the last axis of the left ({inner}) must equal the {which} of the right ({b.shape[-2 if b.ndim > 1 else 0]})."
    )
    left, right = describe(a, short=True), describe(b, short=True)
    if b.ndim < 2:
        return f"{rule} Did you mean a {right} of shape ({inner},)?"
    if dims.same(b.shape[-1], inner):
        return f"{rule} Did you mean {right}.{'T' if b.ndim == 2 else 'mT'}?"
    if a.ndim > 1 and dims.same(a.shape[-2], b.shape[-2]):
        return f"{rule} Did you mean {left}.{'T' if a.ndim == 2 else 'mT'}?"
    return f"{rule} Did you mean a {right} of shape ({', '.join(map(str, (*b.shape[:-2], inner, b.shape[-1])))})?"


def _batch_labels(count: int) -> list[Any]:
    """Labels of the leading axes, counted from the right as broadcasting does."""
    return list(range(max(count, 0), 0, -1))


def _batched(name: str, xs: list[Tensor], labels: list[list[Any]], batches: list[list[Any]], tail: list[Any]) -> Tensor:
    """A contraction whose batch axes broadcast and come first in the result."""
    batch = max(batches, key=len)
    try:
        dims.broadcast_shapes(*[x.shape[: len(ls)] for x, ls in zip(xs, batches)])
    except ShapeError:
        shapes = " and ".join(str(x.shape[: len(ls)]) for x, ls in zip(xs, batches))
        rule = f"the leading axes {shapes} do not broadcast. Each pair must be equal, or one of them 1"
        raise located_error(ShapeError, name, xs, rule) from None
    return _contract(labels, [*batch, *tail], xs, stretch=set(batch))


def matvec(x1: Any, x2: Any) -> Tensor:
    """Matrices times vectors, with leading axes broadcast: y[..., i] = sum over j of x1[..., i, j] * x2[..., j]."""
    return _named_product("matvec", x1, x2, "ij", "j", "i")


def vecmat(x1: Any, x2: Any) -> Tensor:
    """Vectors (conjugated) times matrices, with leading axes broadcast.

    y[..., k] = sum over j of conj(x1[..., j]) * x2[..., j, k]
    """
    return _named_product("vecmat", F.conj(x1), x2, "j", "jk", "k")


def vecdot(x1: Any, x2: Any, axis: int = -1) -> Tensor:
    """The inner product along one axis, the first operand conjugated, other axes broadcast.

    y[...] = sum over j of conj(x1[..., j]) * x2[..., j]
    """
    a, b = as_tensor(x1), as_tensor(x2)
    if axis != -1:
        a, b = F.moveaxis(a, axis, -1), F.moveaxis(b, axis, -1)
    return _named_product("vecdot", F.conj(a), b, "j", "j", "")


def _named_product(name: str, x1: Any, x2: Any, left: str, right: str, tail: str) -> Tensor:
    xs = _promoted(name, x1, x2)
    _at_least(name, xs, (len(left), len(right)))
    batches = [_batch_labels(x.ndim - len(core)) for x, core in zip(xs, (left, right))]
    a, b = xs[0].shape[-1], xs[1].shape[xs[1].ndim - len(right)]
    _agree(name, xs, a, b, f"the axes to be summed have sizes {a} and {b}. They must be equal")
    return _batched(name, xs, [[*batches[0], *left], [*batches[1], *right]], batches, list(tail))


def dot(a: Any, b: Any) -> Tensor:
    """The sum over the last axis of `a` and the last but one (or only) axis of `b`; of scalars, the product.

    Unlike `matmul` it does not broadcast: dot(a, b)[i, j, k, m] = sum over n of a[i, j, n] * b[k, n, m].
    """
    x, y = _promoted("dot", a, b)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    axis = -2 if y.ndim > 1 else -1
    _agree("dot", [x, y], x.shape[-1], y.shape[axis], _matmul_rule(x, y))
    return _over("dot", x, y, [x.ndim - 1], [y.ndim + axis])


def _over(name: str, x: Tensor, y: Tensor, left: Sequence[int], right: Sequence[int]) -> Tensor:
    """The sum over pairs of axes; the remaining axes of x come before those of y."""
    lx: list[Any] = [("x", i) for i in range(x.ndim)]
    ly: list[Any] = [("y", i) for i in range(y.ndim)]
    for i, j in zip(left, right):
        lx[i] = ly[j] = i
    return contraction([lx, ly], [label for label in (*lx, *ly) if isinstance(label, tuple)], [x, y])


def vdot(a: Any, b: Any) -> Tensor:
    """The inner product of all elements, the first operand conjugated: sum of conj(a) * b over operands of one size."""
    x, y = _promoted("vdot", a, b)
    x = F.conj(x)
    if not dims.same_shape(x.shape, y.shape):
        x, y = (z if z.ndim == 1 else F.ravel(z) for z in (x, y))
        sizes = x.shape[0], y.shape[0]
        _agree(
            "vdot",
            [x, y],
            *sizes,
            f"the operands have {sizes[0]} and {sizes[1]} elements. They must have the same number",
        )
    labels = list(range(x.ndim))
    return contraction([labels, labels], [], [x, y])


def inner(a: Any, b: Any) -> Tensor:
    """The sum of products over the last axes of both: inner(a, b)[i, j, k] = sum over n of a[i, j, n] * b[k, n]."""
    x, y = _promoted("inner", a, b)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    m, n = x.shape[-1], y.shape[-1]
    _agree("inner", [x, y], m, n, f"the last axes have sizes {m} and {n}. They must be equal")
    return _over("inner", x, y, [x.ndim - 1], [y.ndim - 1])


def outer(a: Any, b: Any) -> Tensor:
    """The products of every element of `a` with every element of `b`, both flattened: y[i, j] = a[i] * b[j]."""
    x, y = (F.ravel(z) if z.ndim != 1 else z for z in promoted("outer", np.multiply, (a, b)))
    return contraction(["i", "j"], "ij", [x, y])


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """The sum over pairs of axes, the remaining axes of `a` before those of `b`.

    `axes` is a number n (the last n axes of `a` with the first n of `b`), or two axes or sequences of axes.
    Raises `ShapeError` where paired axes have different sizes.
    """
    x, y = _promoted("tensordot", a, b)
    if isinstance(axes, Sequence | np.ndarray):
        if len(axes) != 2:
            raise located_error(
                ShapeError, "tensordot", [x, y], f"axes={axes!r} must be a number or two sequences of axes"
            )
        left, right = (list(p) if isinstance(p, Sequence | np.ndarray) else [p] for p in axes)
    else:
        count = int(axes)
        if not 0 <= count <= min(x.ndim, y.ndim):
            raise located_error(ShapeError, "tensordot", [x, y], f"axes={count} is more axes than an operand has")
        left, right = list(range(x.ndim - count, x.ndim)), list(range(count))
    if len(left) != len(right):
        raise located_error(ShapeError, "tensordot", [x, y], f"{len(left)} axes cannot be paired with {len(right)}")
    pairs = [(axis_of(i, x.ndim), axis_of(j, y.ndim)) for i, j in zip(left, right)]
    if len({i for i, _ in pairs}) < len(pairs) or len({j for _, j in pairs}) < len(pairs):
        raise located_error(ShapeError, "tensordot", [x, y], f"axes={axes!r} names an axis twice")
    for i, j in pairs:
        m, n = x.shape[i], y.shape[j]
        _agree("tensordot", [x, y], m, n, f"axis {i} of the left ({m}) must equal axis {j} of the right ({n})")
    return _over("tensordot", x, y, [i for i, _ in pairs], [j for _, j in pairs])


def kron(a: Any, b: Any) -> Tensor:
    """The Kronecker product: every element of `a` replaced by it times `b`; of equal rank after axes of 1 in front."""
    x, y = promoted("kron", np.multiply, (a, b))
    if all([isinstance(z.op, Eye) and not z.op.k and dims.same(z.op.rows, z.op.columns) for z in (x, y)]):
        return F.eye(x.shape[0] * y.shape[0], dtype=x.dtype)
    rank = max(x.ndim, y.ndim)
    x, y = (F.expand_dims(z, tuple(range(rank - z.ndim))) if z.ndim < rank else z for z in (x, y))
    left, right = [("x", i) for i in range(rank)], [("y", i) for i in range(rank)]
    blocks = contraction([left, right], [label for pair in zip(left, right) for label in pair], [x, y])
    return F.reshape(blocks, tuple(m * n for m, n in zip(x.shape, y.shape)))


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
    """The sum over i of a[i, i + offset] along two axes. Integers and booleans are summed as `sum` does."""
    x = as_tensor(a)
    _at_least("trace", [x], [2])
    first, second = axis_of(axis1, x.ndim, "axis1"), axis_of(axis2, x.ndim, "axis2")
    if first == second:
        raise located_error(ShapeError, "trace", [x], f"axis1={axis1} and axis2={axis2} are one axis. Name two")
    if offset or not dims.same(x.shape[first], x.shape[second]):
        return F.sum(F.diagonal(x, offset, axis1, axis2), axis=-1, dtype=dtype)
    total = np.add.reduce(np.zeros(1, x.dtype)).dtype if dtype is None else np.dtype(dtype)
    labels = [min(first, second) if i in (first, second) else i for i in range(x.ndim)]
    return contraction(
        [labels], [label for i, label in enumerate(labels) if i not in (first, second)], [cast(x, total)]
    )


def cross(a: Any, b: Any, axis: int = -1) -> Tensor:
    """The cross product of vectors of length 3: c[i] = a[i+1] * b[i+2] - a[i+2] * b[i+1], indices modulo 3."""
    x, y = promoted("cross", np.multiply, (a, b))
    for z in (x, y):
        if z.ndim == 0 or not dims.same(z.shape[axis_of(axis, z.ndim)], 3):
            raise located_error(
                ShapeError, "cross", [x, y], f"axis {axis} must have 3 elements. Add a component 0 to a plane vector"
            )
    ahead, behind = (lambda z: F.roll(z, -1, axis)), (lambda z: F.roll(z, -2, axis))
    return ahead(x) * behind(y) - behind(x) * ahead(y)


def multi_dot(arrays: Sequence[Any]) -> Tensor:
    """The matrix product of several arrays, as one contraction; the first and last may be vectors."""
    xs = [as_tensor(x) for x in arrays]
    if len(xs) < 2:
        raise located_error(ShapeError, "multi_dot", xs, "expected at least two arrays")
    common = promote(*[promotion_type(x) for x in xs])
    xs = [cast(x, common) for x in xs]
    ranks = [x.ndim for x in xs]
    if any(n != 2 for n in ranks[1:-1]) or not {ranks[0], ranks[-1]} <= {1, 2}:
        raise located_error(
            ShapeError, "multi_dot", xs, "the operands must be matrices; only the first and last may be vectors"
        )
    for a, b in pairwise(xs):
        _agree("multi_dot", [a, b], a.shape[-1], b.shape[0], _matmul_rule(a, b))
    labels = [[i, i + 1] for i in range(len(xs))]
    if ranks[0] == 1:
        labels[0] = [1]
    if ranks[-1] == 1:
        labels[-1] = [len(xs) - 1]
    output = ([0] if ranks[0] == 2 else []) + ([len(xs)] if ranks[-1] == 2 else [])
    return contraction(labels, output, xs)


# Einsum notation -----------------------------------------------------------------------------------------------------


def einsum(subscripts: Any, *operands: Any, optimize: Any = True) -> Tensor:
    """Einstein's summation convention, as `np.einsum`: products of operands, summed over every label not in the output.

    `...` stands for axes that broadcast; without `->` the output is `...` and the labels that occur once, sorted; a
    label twice in an operand takes its diagonal. The form `einsum(x, [0, 1], y, [1, 2], [0, 2])` is accepted too.
    `optimize` is accepted and ignored: the compiler chooses the order of the products.
    Raises `ShapeError` for labels that do not fit the operands or sizes that differ.

    >>> from symgraph.core import symbol
    >>> einsum("bij,bjk->bik", symbol("x", ("b", 2, 3)), symbol("y", ("b", 3, 4))).shape
    (b, 2, 4)
    """
    spelled = isinstance(subscripts, str)
    inputs, output, args = _spelled(subscripts, operands) if spelled else _interleaved((subscripts, *operands))
    xs = [as_tensor(x) for x in args]
    if len(inputs) != len(xs) or not xs:
        raise located_error(
            ShapeError, "einsum", xs, f"the subscripts speak of {len(inputs)} operands, and {len(xs)} are given"
        )
    common = promote(*[promotion_type(x) for x in xs])
    xs = [cast(x, common) for x in xs]
    labels = [_with_ellipsis(ls, x, xs) for ls, x in zip(inputs, xs)]
    dots = max((ls for ls in ([n for n in ls if isinstance(n, _Dot)] for ls in labels)), key=len, default=[])
    flat = [label for ls in labels for label in ls]
    if output is None:
        once = sorted({label for label in flat if not isinstance(label, _Dot) and flat.count(label) == 1})
        out: list[Any] = [*dots, *once]
    else:
        out = [n for label in output for n in (dots if label == "..." else [label])]
        if dots and "..." not in output:
            raise located_error(
                ShapeError, "einsum", xs, "an operand has '...' and the output has not. Add it to the output"
            )
    for label in out:
        if out.count(label) > 1:
            raise located_error(
                ShapeError, "einsum", xs, f"the output has {label!r} twice. Use diag to fill a diagonal"
            )
        if label not in flat:
            raise located_error(
                ShapeError,
                "einsum",
                xs,
                f"the output label {label!r} is in no operand. Use broadcast_to for a new axis",
            )
    _check_sizes(labels, xs)
    return _contract(labels, out, xs)


class _Dot(int):
    """The label of an axis that `...` stands for, counted from the right."""


Spelling = tuple[list[list[Any]], list[Any] | None, Sequence[Any]]
"""The labels of each operand, those of the output (None if left out), and the operands."""


def _spelled(text: str, operands: Sequence[Any]) -> Spelling:
    left, arrow, right = text.replace(" ", "").partition("->")
    return [_letters(part, text) for part in left.split(",")], _letters(right, text) if arrow else None, operands


def _letters(part: str, text: str) -> list[Any]:
    before, dots, after = part.partition("...")
    if not (before + after).isalpha() and before + after:
        raise ShapeError(f"einsum {text!r}: {part!r} must be letters, with at most one '...'")
    return [*before, *(["..."] if dots else []), *after]


def _interleaved(args: Sequence[Any]) -> Spelling:
    output = [("..." if n is Ellipsis else n) for n in args[-1]] if len(args) % 2 else None
    pairs = args[: len(args) // 2 * 2]
    return [[("..." if n is Ellipsis else n) for n in ls] for ls in pairs[1::2]], output, pairs[::2]


def _with_ellipsis(labels: list[Any], x: Tensor, xs: Sequence[Tensor]) -> list[Any]:
    """The label of every axis of `x`."""
    named = [label for label in labels if label != "..."]
    extra = x.ndim - len(named)
    if extra < 0 or (extra > 0 and "..." not in labels):
        rule = f"{describe(x, short=True)} has {x.ndim} axes and {len(named)} labels. Name each, or write '...'"
        raise located_error(ShapeError, "einsum", xs, rule)
    dots = [_Dot(n) for n in range(-extra, 0)]
    return [n for label in labels for n in (dots if label == "..." else [label])]


def _check_sizes(labels: Sequence[Sequence[Any]], xs: Sequence[Tensor]) -> None:
    """Axes that share a label have one size; a 1 in another operand stretches."""
    seen: dict[Any, tuple[Size, Tensor]] = {}
    for ls, x in zip(labels, xs):
        for label, size in zip(ls, x.shape):
            repeated = list(ls).count(label) > 1
            known, owner = seen.get(label, (size, x))
            if not repeated and (dims.same(size, 1) or dims.same(known, 1)):
                known, owner = (size, x) if dims.same(known, 1) else (known, owner)
            else:
                spelling = "an axis of '...'" if isinstance(label, _Dot) else f"label {label!r}"
                where = f"{known} in {describe(owner, short=True)} and {size} in {describe(x, short=True)}"
                _agree("einsum", xs, known, size, f"{spelling} is {where}. The sizes must be equal")
            seen[label] = known, owner
