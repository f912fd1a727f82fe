"""How a contraction is written into an existing array: the call of BLAS or of a ufunc that needs no memory of its own.

    ij,jk->ik    np.dot(x, W, out=out)                 bij,bjk->bik   np.matmul(x, y, out=out)
    ij,ik->jk    np.dot(x.T, y, out=out)               bij,bj->bi     np.matmul(x, y[..., None], out=out[..., None])
    ij,jk->ki    np.dot(W.T, x.T, out=out)             bi,bi->b       np.vecdot(x, y, out=out)
    bij,bik->jk  np.dot(x.reshape(b*i, j).T, y.reshape(b*i, k), out=out)

BLAS takes transposed matrices as they are, and `np.dot(x.T, x)` of one array computes half of it (SYRK). Several axes are
one axis of a matrix where they lie side by side: the reshape of a contiguous array is a view, of any other a copy.

Figures on one core of an AMD EPYC (Zen 4), NumPy 2.4, microseconds, float32 / float64:

    (32, 64) @ (64, 64)         dot 2.9 / 5.3          matmul 3.4 / 5.7
    (1000, 4, 4) @ (4, 4)       dot of reshaped 8 / 8  matmul 31 / 33         dot 138 / 147
    x[32, 20, 30] y[32, 20, 40] dot of reshaped 17 / 29  tensordot 21 / 35    einsum 153 / 250
    outer, (32,) (64,)          dot 1.2 / 1.3          multiply 1.9 / 2.5     einsum 2.5 / 2.8
    outer, (1000,) (1000,)      dot 173 / 302          multiply 264 / 507     einsum 166 / 321
    rows, (32, 64)              vecdot 1.1 / 1.3       einsum 2.2 / 2.4       multiply and sum 2.4 / 2.7
    rows, (1000, 10)            vecdot 10.2 / 8.3      einsum 6.8 / 7.4       multiply and sum 22 / 23
    rows, (1000, 1000)          vecdot 98 / 230        einsum 185 / 405       multiply and sum 313 / 604
    columns, (1000, 1000)       vecdot 1240 / 1690     einsum 141 / 375       multiply and sum 271 / 733
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import dims
from ..dims import Size
from ..dtypes import DType
from . import code
from .code import Code
from .einsum_source import Labels, Term, einsum_call, expanded, inner_source, permuted, reduction_options, summed

Sizes = Mapping[int, Size]

REST = Code("...")

SHORT, MANY = 16, 256
"""np.einsum is faster than np.vecdot for many rows that are short."""


def into_statements(out: str, terms: Sequence[Term], output: Labels, sizes: Sizes, dtype: DType) -> list[str]:
    """The statements that compute a contraction in the array `out`."""
    target = Code(out)
    present = {label for term in terms for label in term.labels}
    if len(set(output)) < len(output):
        return _delta(target, terms, output, sizes, dtype)
    arrays = [term for term in terms if term.labels]
    if not present.issuperset(output) or not arrays:
        return [f"{out}[...] = {expanded(inner_source(terms, output, dtype), output)}"]
    if len(arrays) == 1:
        lines = [_one(target, arrays[0], output, dtype)]
    elif len(arrays) == 2 and not (arrays[0].repeats or arrays[1].repeats):
        a, b = (summed(x, (*y.labels, *output), dtype) for x, y in (arrays, arrays[::-1]))
        lines = [_two(target, a, b, output, sizes, dtype)]
    else:
        lines = [str(einsum_call(arrays, output, target))]
    lines += [str(code.call("np.multiply", target, term.text, out=target)) for term in terms if not term.labels]
    return lines


def _delta(out: Code, terms: Sequence[Term], output: Labels, sizes: Sizes, dtype: DType) -> list[str]:
    """Zeros, and the diagonal written over them."""
    place, value = _diagonal(out, terms, output, sizes, dtype)
    return [f"{out}.fill(0)", f"{place} = {value}"]


def added_diagonal(out: str, terms: Sequence[Term], output: Labels, sizes: Sizes, dtype: DType) -> list[str]:
    """The diagonal added to what is in the array."""
    place, value = _diagonal(Code(out), terms, output, sizes, dtype)
    return [f"{place} {'|' if dtype.kind == 'b' else '+'}= {value}"]


def _diagonal(out: Code, terms: Sequence[Term], output: Labels, sizes: Sizes, dtype: DType) -> tuple[str, Code]:
    """Where labels that the output repeats are equal, and what is there."""
    value = inner_source(terms, output, dtype)
    if len(output) == 2:
        n = sizes[output[0]]
        return f"{code.method(out, 'reshape', n * n)}[::{code.argument(n + 1)}]", value.text
    distinct = tuple(dict.fromkeys(output))
    return f"{einsum_call([Term(out, output)], distinct)}[...]", expanded(value, distinct)


def _one(out: Code, x: Term, output: Labels, dtype: DType) -> str:
    if x.repeats:
        if set(x.labels) == set(output):
            return f"{out}[...] = {einsum_call([x], output)}"
        return str(einsum_call([x], output, out))
    axes = tuple(i for i, label in enumerate(x.labels) if label not in output)
    kept = tuple(label for label in x.labels if label in output)
    if kept != output:
        return str(code.call("np.copyto", out, permuted(summed(x, output, dtype), output)))
    if not axes:
        return str(code.call("np.copyto", out, x.text))
    if dtype.kind == "b":
        return str(code.call("np.logical_or.reduce", x.text, axis=axes, out=out))
    return str(code.call("np.add.reduce", x.text, **reduction_options(axes, x, dtype), out=out))


def _two(out: Code, a: Term, b: Term, output: Labels, sizes: Sizes, dtype: DType) -> str:
    both = [label for label in a.labels if label in b.labels]
    contracted = tuple(label for label in both if label not in output)
    batch = tuple(label for label in output if label in both)
    rows = tuple(label for label in output if label in a.labels and label not in both)
    columns = tuple(label for label in output if label in b.labels and label not in both)
    if not contracted:
        if not batch and dtype.char in "fd" and output in (rows + columns, columns + rows):
            return _matrices(out, a, b, rows, columns, (), output, sizes)
        return str(code.call("np.multiply", expanded(a, output), expanded(b, output), out=out))
    if not rows and not columns:
        return _row_products(out, a, b, contracted, output, sizes, dtype)
    if batch:
        found = _stacks(out, a, b, batch, contracted, output, sizes)
    elif output in (rows + columns, columns + rows):
        return _matrices(out, a, b, rows, columns, contracted, output, sizes)
    else:
        found = _around(out, a, b, rows, columns, contracted, output, sizes)
    return found or f"{out}[...] = {inner_source([a, b], output, dtype).text}"


# Matrices ------------------------------------------------------------------------------------------------------------


def _matrices(
    out: Code, a: Term, b: Term, rows: Labels, columns: Labels, contracted: Labels, output: Labels, sizes: Sizes
) -> str:
    """`np.dot` of two matrices, of a matrix and a vector, or of two vectors as a column and a row."""
    left, right, shape = _sides(a, b, rows, columns, contracted, output, sizes)
    return str(code.call("np.dot", left, right, out=_joined(out, shape, sizes)))


def joined_product(terms: Sequence[Term], output: Labels, sizes: Sizes) -> Code | None:
    """`x.reshape(n*k, i).T @ y.reshape(n*k, j)`: a matrix that is summed over axes which both operands have side by side."""
    if len(terms) != 2 or len(output) != 2 or any(x.repeats or set(x.labels) <= set(output) for x in terms):
        return None
    a, b = terms if output[0] in terms[0].labels else terms[::-1]
    (row, column), contracted = output, tuple(label for label in a.labels if label not in output)
    if len(contracted) < 2 or a.labels != (*contracted, row) or b.labels != (*contracted, column):
        return None
    left, right, _ = _sides(a, b, (row,), (column,), contracted, output, sizes)
    return code.infix("@", left, right)


def _sides(
    a: Term, b: Term, rows: Labels, columns: Labels, contracted: Labels, output: Labels, sizes: Sizes
) -> tuple[Code, Code, list[Labels]]:
    """Two matrices or vectors whose product is the contraction, and the labels of each axis of that product."""
    turned = (not rows and b.labels[-len(contracted) :] == contracted) or (
        not columns and a.labels[: len(contracted)] == contracted
    )
    if output != rows + columns or turned:  # x @ w, not w @ x.T, and w @ x, not x.T @ w
        a, b, rows, columns = b, a, columns, rows
    contracted = _common_order(a, b, contracted)
    vector = bool(contracted) and (not rows or not columns)
    left = _grouped(a, (rows, contracted), sizes, vector)
    right = _grouped(b, (contracted, columns), sizes, vector)
    if not contracted:
        left, right = _outer_side(a, rows, sizes, column=True), _outer_side(b, columns, sizes, column=False)
    return left, right, [rows, columns] if not vector else [rows or columns]


def _common_order(a: Term, b: Term, contracted: Labels) -> Labels:
    """The summed labels as they stand in the operand that would be longer to copy."""
    orders = [tuple(label for label in x.labels if label in contracted) for x in (a, b)]
    return orders[0] if len(a.labels) >= len(b.labels) else orders[1]


def _outer_side(x: Term, labels: Labels, sizes: Sizes, column: bool) -> Code:
    x = Term(permuted(x, labels), labels)
    if len(labels) == 1:
        return code.index(x.text, slice(None), None) if column else code.index(x.text, None)
    n = _size(labels, sizes)
    return code.method(x.text, "reshape", *((n, 1) if column else (1, n)))


def _grouped(x: Term, groups: Sequence[Labels], sizes: Sizes, vector: bool = False) -> Code:
    """`x` as a matrix (or a vector, where one group is empty) with each group of labels as one axis."""
    groups = [group for group in groups if group] if vector else list(groups)
    straight = tuple(label for group in groups for label in group)
    turned = tuple(label for group in groups[::-1] for label in group)
    if x.labels == straight:
        return _joined(x.text, groups, sizes)
    if x.labels == turned:
        return Code(f"{_joined(x.text, groups[::-1], sizes).atom}.T")
    return _joined(permuted(x, straight), groups, sizes)


def _joined(x: Code, groups: Sequence[Labels], sizes: Sizes) -> Code:
    """`x` with each group of neighbouring labels as one axis."""
    if all(len(group) == 1 for group in groups):
        return x
    return code.method(x, "reshape", *[_size(group, sizes) for group in groups])


def _size(labels: Labels, sizes: Sizes) -> Size:
    return dims.prod(sizes[label] for label in labels)


# Stacks of matrices --------------------------------------------------------------------------------------------------


def _stacks(out: Code, a: Term, b: Term, batch: Labels, contracted: Labels, output: Labels, sizes: Sizes) -> str | None:
    """`np.matmul` with the batch axes in front, straight into the axes of `out`; None where they lie too far apart."""
    if output[-1] in batch:
        return None  # no matrix of the result would have neighbouring elements
    if output[-1] in a.labels and any(label in b.labels and label not in batch for label in output):
        a, b = b, a
    rows = tuple(label for label in output if label in a.labels and label not in batch)
    columns = tuple(label for label in output if label in b.labels and label not in batch)
    straight = output == (*batch, *rows, *columns)
    if not straight and (len(rows) > 1 or len(columns) > 1):
        return None
    contracted = _common_order(a, b, contracted)
    left, right = _stack(a, batch, rows, contracted, sizes), _stack(b, batch, contracted, columns, sizes)
    target = _stack(Term(out, output), batch, rows, columns, sizes)
    return str(code.call("np.matmul", left, right, out=target))


def _stack(x: Term, batch: Labels, rows: Labels, columns: Labels, sizes: Sizes) -> Code:
    """`x` as a stack of matrices: a view, unless several labels of one side do not lie side by side."""
    order = (*batch, *rows, *columns)
    text = permuted(x, order)
    if x.labels[-1] in batch and rows and columns:
        text = code.call("np.ascontiguousarray", text)  # BLAS needs one axis of neighbours
    if not columns:
        if len(rows) > 1:
            text = code.method(text, "reshape", *[sizes[label] for label in batch], _size(rows, sizes))
        return code.index(text, REST, None)
    if not rows:
        if len(columns) > 1:
            text = code.method(text, "reshape", *[sizes[label] for label in batch], _size(columns, sizes))
        return code.index(text, REST, None, slice(None))
    return _joined(text, [*[(label,) for label in batch], rows, columns], sizes)


def _around(
    out: Code, a: Term, b: Term, rows: Labels, columns: Labels, contracted: Labels, output: Labels, sizes: Sizes
) -> str | None:
    """The axes of one operand stand around those of the other: a stack of products with one matrix."""
    if output[0] in b.labels:
        a, b, rows, columns = b, a, columns, rows
    at = output.index(columns[0])
    if output[at : at + len(columns)] != columns:
        return None
    before, after = output[:at], output[at + len(columns) :]
    contracted = _common_order(b, a, contracted)
    matrix = _grouped(b, (columns, contracted), sizes)
    stack = _stack(a, before, contracted, after, sizes)
    return str(code.call("np.matmul", matrix, stack, out=_stack(Term(out, output), before, columns, after, sizes)))


# Products of rows ----------------------------------------------------------------------------------------------------


def _row_products(out: Code, a: Term, b: Term, contracted: Labels, output: Labels, sizes: Sizes, dtype: DType) -> str:
    """The dot product of each row of one operand with that of the other."""
    count = len(contracted)
    contracted = a.labels[len(a.labels) - count :]
    last = set(contracted) == set(b.labels[len(b.labels) - count :]) and not set(contracted) & set(output)
    length, many = _size(contracted, sizes), _size(output, sizes)
    short = isinstance(length, int) and length <= SHORT and not (isinstance(many, int) and many < MANY)
    if dtype.char not in "fd" or not last or short:
        return str(einsum_call([a, b], output, out))
    xs = [permuted(x, (*output, *contracted)) for x in (a, b)]
    if count > 1:
        groups = [*[(label,) for label in output], contracted]
        xs = [_joined(x, groups, sizes) for x in xs]
    return str(code.call("np.vecdot", *xs, out=out))


def joins_rows(operands: Sequence[Labels], output: Labels) -> bool:
    """Whether it is a sum over all elements of two arrays that are read row by row."""
    return not output and len(operands) == 2 and all(len(set(ls)) == len(ls) > 0 and ls[0] == 0 for ls in operands)


def row_operands(operands: Sequence[Labels], output: Labels) -> tuple[bool, ...] | None:
    """Which operands of a product of rows are needed row by row, or None for what is better done as a whole."""
    if len(operands) != 2 or not output or len(set(output)) < len(output):
        return None
    a, b = operands
    if len(set(a)) < len(a) or set(a) != set(b) or not set(output) < set(a):
        return None
    if len(a) - len(output) > 1:  # axes are joined, by sizes that a block of rows does not know
        return None
    rows: tuple[Any, ...] = tuple(labels[0] == output[0] for labels in operands)
    return rows if all(rows) else None
