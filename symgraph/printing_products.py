"""How `print` writes products of matrices that derivatives bring: as on paper, not as NumPy's shortest call.

    r @ A                          A.T @ r
    einsum("ij,ik,i->jk", A, A, d) A.T @ diag(d) @ A

The user's own product of a vector and a matrix is printed as NumPy has it, since that is how it was written.
"""

from __future__ import annotations

from collections.abc import Sequence

from .ops import code
from .ops.code import Code
from .ops.einsum import Einsum
from .ops.einsum_source import Labels, Term, permuted

MOST_OPERANDS = 8


def matrix_product(op: Einsum, xs: Sequence[Code], derived: bool) -> Code | None:
    """A contraction as a product of matrices, or None where it is none or NumPy's way is the one on paper."""
    given = [Term(x, labels) for x, labels in zip(xs, op.operands, strict=True)]
    scalars, terms = [t for t in given if not t.labels], [t for t in given if t.labels]
    if op.sizes or op.has_delta or any(t.repeats or len(t.labels) > 2 for t in terms):
        return None
    made = None
    if len(terms) == 2:
        made = _by_vector(terms, op.output) if derived else None
    elif 2 < len(terms) <= MOST_OPERANDS and 1 <= len(op.output) <= 2:
        made = _chain(terms, op.output)
    for s in reversed(scalars):
        made = code.infix("*", s.text, made) if made is not None else None
    return made


def _by_vector(terms: list[Term], out: Labels) -> Code | None:
    """A.T @ v, of which NumPy's own form is v @ A."""
    for v, matrix in (terms, terms[::-1]):
        if len(v.labels) == len(out) == 1 and matrix.labels == (*v.labels, *out):
            return code.infix("@", permuted(matrix, matrix.labels[::-1]), v.text)
    return None


def _chain(terms: list[Term], out: Labels) -> Code | None:
    """The product from the first label of the output to the second, each matrix once; vectors on the way are diagonals."""
    rest = list(terms)
    made: Code | None = None
    here = out[0]
    while True:
        scale: Code | None = None
        for v in [t for t in rest if t.labels == (here,)]:
            rest.remove(v)
            scale = v.text if scale is None else code.infix("*", scale, v.text)
        edges = [t for t in rest if here in t.labels]
        if scale is not None and not edges and len(out) == 1 and made is not None:
            return None if rest else code.infix("@", made, scale)
        if scale is not None:
            diagonal = code.call("diag", scale)
            made = diagonal if made is None else code.infix("@", made, diagonal)
        if len(edges) != 1:
            return made if not rest and here == out[-1] and len(out) == 2 else None
        (edge,) = edges
        rest.remove(edge)
        there = edge.labels[1] if edge.labels[0] == here else edge.labels[0]
        step = permuted(edge, (here, there))
        made = step if made is None else code.infix("@", made, step)
        here = there
        if here in out[1:] and not rest:
            return made


__all__ = ["matrix_product"]
