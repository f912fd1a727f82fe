"""How a contraction is written: from the labels of its operands to the NumPy a person would write for them.

    ij,jk->ik  x @ W        ij,kj->ik   x @ W.T             i,i->      a @ b         bij,bjk->bik  x @ y
    ji,jk->ik  x.T @ y      bij,bik->jk np.tensordot(...)   i,j->ij    np.outer(a, b)
    ij,ij->    np.vdot(x, y)                                ii->       np.trace(x)

`np.einsum` is written where nothing simpler says the same. Products with a summed axis go to BLAS where they can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dims import Size
from ..dtypes import DType
from . import code
from .code import Code

Labels = tuple[int, ...]
WHOLE = slice(None)


@dataclass(frozen=True)
class Term:
    """An expression and the label of each of its axes."""

    text: Code
    labels: Labels

    @property
    def repeats(self) -> bool:
        return len(set(self.labels)) < len(self.labels)


def contraction_source(terms: Sequence[Term], output: Labels, sizes: Mapping[int, Size], dtype: DType) -> Code:
    """The expression of a contraction; a repeated label of the output is written with `np.where`."""
    value = inner_source(terms, output, dtype)
    distinct = tuple(dict.fromkeys(output))
    if len(distinct) < len(output):
        return _delta(value, distinct, output, sizes, dtype)
    if len(value.labels) == len(output):
        return value.text
    shape = tuple(sizes[label] for label in output)
    if value.text.literal:
        return _full(value.text, shape, dtype)
    return code.call("np.broadcast_to", expanded(value, output), shape)


def delta_statements(
    out: str, terms: Sequence[Term], output: Labels, sizes: Mapping[int, Size], dtype: DType
) -> list[str] | None:
    """The statements of a contraction whose output repeats a label: zeros, and the diagonal written over them."""
    distinct = tuple(dict.fromkeys(output))
    if len(distinct) == len(output) or _is_diag(terms, output):
        return None
    value = inner_source(terms, output, dtype)
    zeros = code.call("np.zeros", tuple(sizes[label] for label in output), dtype=_unless_float64(dtype))
    if len(output) == 2:
        return [f"{out} = {zeros}", f"np.fill_diagonal({out}, {value.text})"]
    view = einsum_call([Term(Code(out), output)], distinct)
    return [f"{out} = {zeros}", f"{view}[...] = {expanded(value, distinct)}"]


def _is_diag(terms: Sequence[Term], output: Labels) -> bool:
    present = {label for term in terms for label in term.labels}
    return len(output) == 2 and output[0] == output[1] and output[0] in present


def inner_source(terms: Sequence[Term], output: Labels, dtype: DType) -> Term:
    """The contraction over the labels that some operand has, in the order of the output and each once."""
    present = {label for term in terms for label in term.labels}
    out = tuple(label for label in dict.fromkeys(output) if label in present)
    scalars = [term.text for term in terms if not term.labels]
    arrays = [term for term in terms if term.labels]
    if not arrays:
        return Term(_scalar_product(scalars, dtype), ())
    if len(arrays) == 1:
        text = _one(arrays[0], out, dtype)
    elif len(arrays) == 2:
        text = _two(arrays[0], arrays[1], out, dtype)
    else:
        text = einsum_call(arrays, out)
    for scalar in reversed(scalars):
        text = code.infix("*", scalar, text)
    return Term(text, out)


def _scalar_product(scalars: Sequence[Code], dtype: DType) -> Code:
    first, *rest = scalars
    if rest and all(s.literal for s in scalars):
        first = code.call(code.dtype(dtype), first)
    for scalar in rest:
        first = code.infix("*", first, scalar)
    return first


# One operand ---------------------------------------------------------------------------------------------------------


def _one(x: Term, out: Labels, dtype: DType) -> Code:
    if x.repeats:
        return _diagonal(x, out, dtype) or einsum_call([x], out)
    return permuted(summed(x, out, dtype), out)


def summed(x: Term, kept: Sequence[int], dtype: DType) -> Term:
    """`x` summed over the axes whose labels are not `kept`, in its own dtype."""
    axes = tuple(i for i, label in enumerate(x.labels) if label not in kept)
    if not axes:
        return x
    labels = tuple(label for label in x.labels if label in kept)
    options = reduction_options(axes, x, dtype)
    if dtype.kind == "b":
        return Term(code.method(x.text, "any", axis=options["axis"]), labels)
    return Term(code.method(x.text, "sum", **options), labels)


def reduction_options(axes: tuple[int, ...], x: Term, dtype: DType) -> dict[str, Any]:
    """The options of a sum over `axes` in the dtype of the operand."""
    axis = None if len(axes) == len(x.labels) else axes[0] if len(axes) == 1 else axes
    return {"axis": axis, "dtype": None if _sums_to_itself(dtype) else dtype}


def _sums_to_itself(dtype: DType) -> bool:
    return dtype.kind in "fc" or np.add.reduce(np.zeros(1, dtype)).dtype == dtype


def _diagonal(x: Term, out: Labels, dtype: DType) -> Code | None:
    """`np.trace` or `.diagonal()` where one label stands twice and nothing else happens."""
    twice = {label for label in x.labels if x.labels.count(label) == 2}
    if len(twice) != 1 or len(set(x.labels)) != len(x.labels) - 1:
        return None
    label = twice.pop()
    first = x.labels.index(label)
    second = x.labels.index(label, first + 1)
    rest = tuple(other for other in x.labels if other != label)
    axes: dict[str, int] = {} if (first, second) == (0, 1) else {"axis1": first, "axis2": second}
    if out == rest and _sums_to_itself(dtype):
        return code.call("np.trace", x.text, **axes)
    if out == (*rest, label):
        return code.method(x.text, "diagonal", **axes)
    return None


def permuted(x: Term, out: Labels) -> Code:
    """`x` with its axes in the order `out`: `.T`, `.mT` or `.transpose(...)`."""
    if x.labels == out:
        return x.text
    order = tuple(x.labels.index(label) for label in out)
    count = len(order)
    if order == tuple(range(count))[::-1]:
        return Code(f"{x.text.atom}.T")
    if order == (*range(count - 2), count - 1, count - 2):
        return Code(f"{x.text.atom}.mT")
    return code.method(x.text, "transpose", *order)


def expanded(x: Term, out: Labels) -> Code:
    """`x` permuted to the order of `out`, with a new axis for each label that it lacks, except in front."""
    x = Term(permuted(x, tuple(label for label in out if label in x.labels)), x.labels)
    missing = [label not in x.labels for label in out]
    lead = missing.index(False) if False in missing else len(out)
    if not any(missing[lead:]):
        return x.text
    return code.index(x.text, *[None if absent else WHOLE for absent in missing[lead:]])


# Two operands --------------------------------------------------------------------------------------------------------


def _two(a: Term, b: Term, out: Labels, dtype: DType) -> Code:
    if a.repeats or b.repeats:
        return einsum_call([a, b], out)
    a, b = summed(a, (*b.labels, *out), dtype), summed(b, (*a.labels, *out), dtype)
    both = [label for label in a.labels if label in b.labels]
    contracted = [label for label in both if label not in out]
    if not contracted:
        return _outer(a, b, out)
    batch = tuple(label for label in out if label in both)
    if batch:
        return _batched(a, b, batch, contracted, out)
    if len(contracted) == 1:
        found = _product(a, b, contracted[0], out) or _product(b, a, contracted[0], out)
        if found is not None:
            return found
    if not out and set(a.labels) == set(b.labels):
        return _full_product(a, b, dtype)
    return _tensordot(a, b, contracted, out)


def _outer(a: Term, b: Term, out: Labels) -> Code:
    if len(out) == 2 and len(a.labels) == len(b.labels) == 1:
        first, second = (a, b) if a.labels[0] == out[0] else (b, a)
        return code.call("np.outer", first.text, second.text)
    return code.infix("*", expanded(a, out), expanded(b, out))


def _product(a: Term, b: Term, c: int, out: Labels) -> Code | None:
    """`a @ b` with at most one transposition of a matrix on each side, where it makes the axes of `out` in order."""
    rows, columns = (tuple(label for label in x.labels if label != c) for x in (a, b))
    left, right = (*rows, c), (c, *columns)
    if (len(b.labels) == 1 and len(a.labels) <= 2) or (len(a.labels) == 1 and len(b.labels) == 2):
        if out != rows + columns:
            return None
        straight = (a.labels, b.labels) == (left, right)
        return code.infix("@", a.text, b.text) if straight else code.infix("@", b.text, a.text)  # v @ x is x.T @ v
    if len(a.labels) <= 2 and len(b.labels) > 2:  # a matrix or vector times a stack of matrices
        stack = tuple(label for label in b.labels[:-2] if label != c)
        if b.labels[-2] != c or out != (*stack, *rows, b.labels[-1]):
            return None
        return code.infix("@", permuted(a, left), b.text)
    if len(a.labels) > 2 and (len(b.labels) > 2 or c not in a.labels[-2:]):
        return None
    if out != rows + columns:
        return None
    return code.infix("@", permuted(a, left), permuted(b, right))


def _batched(a: Term, b: Term, batch: Labels, contracted: list[int], out: Labels) -> Code:
    """`@` of stacks of matrices, the batch axes moved to the front of each; vectors are left to einsum."""
    rest = [label for label in out if label not in batch]
    if len(contracted) != 1 or len(rest) != 2 or len(a.labels) != len(b.labels):
        return einsum_call([a, b], out)
    if rest[0] not in a.labels:
        a, b = b, a
    if rest[0] not in a.labels or rest[1] not in b.labels:
        return einsum_call([a, b], out)
    left, right = permuted(a, (*batch, rest[0], contracted[0])), permuted(b, (*batch, contracted[0], rest[1]))
    return permuted(Term(code.infix("@", left, right), (*batch, *rest)), out)


def _full_product(a: Term, b: Term, dtype: DType) -> Code:
    """The sum over all elements of a product, which is a NumPy scalar; `np.vdot` would conjugate a complex operand."""
    b = Term(permuted(b, a.labels), a.labels)
    if dtype.kind == "c":
        return code.call("np.dot", code.method(a.text, "ravel"), code.method(b.text, "ravel"))
    return code.call("np.vdot", a.text, b.text)


def _tensordot(a: Term, b: Term, contracted: list[int], out: Labels) -> Code:
    if out and out[0] in b.labels:
        a, b = b, a
    count = len(contracted)
    axes: Any = tuple(tuple(x.labels.index(label) for label in contracted) for x in (a, b))
    if a.labels[-count:] == b.labels[:count]:
        axes = count
    elif count == 1:
        axes = (axes[0][0], axes[1][0])
    made = tuple(label for x in (a, b) for label in x.labels if label not in contracted)
    return permuted(Term(code.call("np.tensordot", a.text, b.text, axes=axes), made), out)


def einsum_call(terms: Sequence[Term], out: Labels, into: Code | None = None) -> Code:
    """`np.einsum` as it is, written into an array where one is given."""
    spelled = subscripts([term.labels for term in terms], out)
    optimize = True if len(terms) > 2 else None
    return code.call("np.einsum", Code(f'"{spelled}"'), *[t.text for t in terms], out=into, optimize=optimize)


def subscripts(operands: Sequence[Labels], out: Labels) -> str:
    """`bij,bjk->bik`: labels that every operand and the output share are b, c, ...; the others i, j, k, ..."""
    labels = list(dict.fromkeys([label for labels in (*operands, out) for label in labels]))
    shared = [label for label in labels if len(operands) > 1 and all(label in ls for ls in (*operands, out))]
    names = dict(zip(shared, "bcdefgh"))
    spare = iter(c for c in "ijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh" if c not in names.values())
    for label in labels:
        names[label] = names.get(label) or next(spare)
    inputs, output = ",".join("".join(names[x] for x in ls) for ls in operands), "".join(names[x] for x in out)
    return f"{inputs}->{output}"


# Broadcast and repeated labels of the output -------------------------------------------------------------------------


def _full(value: Code, shape: tuple[Size, ...], dtype: DType) -> Code:
    return code.call("np.full", shape, value, dtype=dtype)


def _unless_float64(dtype: DType) -> DType | None:
    return None if dtype == np.float64 else dtype


def _delta(value: Term, distinct: Labels, output: Labels, sizes: Mapping[int, Size], dtype: DType) -> Code:
    if len(output) == 2 and value.labels:
        return code.call("np.diag", value.text)
    if len(output) == 2 and value.text.literal:
        eye = code.call("np.eye", sizes[output[0]], dtype=_unless_float64(dtype))
        if value.text == "1":
            return eye
    # not a product with an identity matrix: 0 * inf is nan
    masks = []
    first = {label: output.index(label) for label in distinct}
    for axis, label in enumerate(output):
        if axis != first[label]:
            eye = code.call("np.eye", sizes[label], dtype=np.dtype(bool))
            items: list[Any] = [None] * len(output)
            items[first[label]] = items[axis] = WHOLE
            items = items[first[label] :]
            masks.append(eye if items == [WHOLE, WHOLE] else code.index(eye, *items))
    mask = masks[0]
    for other in masks[1:]:
        mask = code.infix("&", mask, other)
    here = [WHOLE if axis == first[label] and label in value.labels else None for axis, label in enumerate(output)]
    body = Term(permuted(value, tuple(label for label in distinct if label in value.labels)), ()).text
    if body.literal:
        body = code.call(code.dtype(dtype) if dtype.kind != "b" else "bool", body)
    elif WHOLE in here:
        here = here[here.index(WHOLE) :]
        body = body if None not in here else code.index(body, *here)
    nothing = Code("False" if dtype.kind == "b" else "0", literal=True)
    made = code.call("np.where", mask, body, nothing)
    # a label in no operand that is not repeated is still missing
    if any(label not in value.labels and output.count(label) == 1 for label in distinct):
        return code.call("np.broadcast_to", made, tuple(sizes[label] for label in output))
    return made
