"""Which memory each value takes: when it is born and dies, what it may be written over, and the most that is needed at once.

A *storage* holds one value after another. A step may write over an operand that nobody reads afterwards; everything else
gets a buffer of the workspace with the first and last step that uses it, and the workspace places them, for the sizes of
the call, so that no two in use at one step overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from symgraph.core import Tensor
from symgraph.dims import Shape
from symgraph.dtypes import DType
from symgraph.expected import expected

NOMINAL = 64
"""The size that a symbolic dimension is taken to have where sizes must be compared before any call."""


@dataclass(eq=False)
class Storage:
    """Memory of one shape and dtype, and the values that lie in it one after another."""

    shape: Shape
    dtype: DType
    first: int
    last: int = 0
    members: list[Tensor] = field(default_factory=list)
    returned: bool = False
    """Whether the call makes it, as the caller's to keep or for lack of a way to write into memory that is there."""
    register: bool = False
    """Whether it holds a block of rows, inside a kernel."""
    opening: int = -1
    """The place of the first statement that writes into it: the one that makes the array, if the caller gets it."""
    made: tuple[int, str] = (0, "")
    """How many statements write its first value, and the expression that makes it in an array of its own."""
    name: str = ""
    called: str = ""
    """The user's name for the first of its values that has one."""


def _nominal(shape: Shape) -> int:
    count = 1
    for size in shape:
        count *= size if isinstance(size, int) else expected(size, NOMINAL)
    return count


def nominal_bytes(x: Tensor) -> int:
    """The bytes of a value where symbolic dimensions are as the user expects them, or else `NOMINAL`."""
    aval = x.aval
    if not isinstance(aval, tuple):
        return _nominal(aval.shape) * int(aval.dtype.itemsize)
    return sum(_nominal(a.shape) * a.dtype.itemsize for a in aval)
