"""A large matrix that is read along its columns, in panels whose rows stay in the cache.

    np.add(A, A.T, out=t)                    1.14 ms for 1000 x 1000 float64

    for i in range(0, 1000, 512):            0.87 ms
        t[:, i:i + 512] = A[i:i + 512].T
    t += A

NumPy writes a column of `A.T` after the other, each from as many places in memory as the matrix has rows. Of 512 rows the 64
bytes that are fetched at each place are still in the nearest cache when the next columns are read.
"""

from __future__ import annotations

from symgraph.dims import prod
from symgraph.expected import expected
from symgraph.ops import code
from symgraph.ops.base import Primitive
from symgraph.ops.code import Code
from symgraph.ops.elementwise import Elementwise

ROWS = 512
"""The rows of a panel, of 64 bytes each: two thirds of a cache of 48 kB."""

LARGE = 2**19
"""The fewest elements of a matrix that is read in panels: smaller ones gain less than a tenth."""


def read_in_panels(op: Primitive, out: str, xs: list[Code]) -> tuple[list[str], list[Code]]:
    """The statements that bring a large transposed operand of `op` into the array `out`, and the operands after them."""
    turned = [x for x in xs if x.endswith(".T") and x.removesuffix(".T").isidentifier()]
    if not isinstance(op, Elementwise) or len(xs) != 2 or len(turned) != 1 or out in xs or f"{out}.T" in xs:
        return [], xs
    (x,) = turned
    shape = x.aval.shape
    large = len(shape) == 2 and expected(shape[1], 1) > ROWS and expected(prod(shape), 1) >= LARGE
    if not large or any(y.literal or y.aval != x.aval for y in xs) or op.infer(*[y.aval for y in xs]) != x.aval:
        return [], xs
    i = code.local("i")
    panel = f"{i}:{i} + {ROWS}"
    lines = [
        f"for {i} in range(0, {code.size(shape[1])}, {ROWS}):",
        f"    {out}[:, {panel}] = {x.removesuffix('.T')}[{panel}].T",
    ]
    return lines, [Code(out, aval=x.aval) if y is x else y for y in xs]
