"""dtypes and their promotion: NumPy 2's own rules, asked of NumPy itself.

Python scalars are *weak*: they take the kind they need and leave the width to the arrays they meet, so a float32 model
stays float32. A weak operand is shown to NumPy as the Python type it came from.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .errors import DTypeError

DType = np.dtype[Any]

BOOL = np.dtype(np.bool_)
INT64 = np.dtype(np.int64)
FLOAT64 = np.dtype(np.float64)
SUPPORTED = {np.dtype(c): np.dtype(c) for c in "?bhilqBHILQefdFD"}
"""The supported dtypes, each with the one object that NumPy's own arrays carry, so that `is` compares them."""

_WEAK: dict[str, type] = {"b": bool, "i": int, "u": int, "f": float, "c": complex}


def as_dtype(dtype: Any) -> DType:
    """The NumPy dtype, refused with a `DTypeError` unless it is boolean, integer, real or complex of a usual width."""
    try:
        made = np.dtype(dtype)
    except TypeError as error:
        raise DTypeError(f"{dtype!r} is not a dtype; use one such as 'float64', 'float32', 'int64' or bool") from error
    found = SUPPORTED.get(made.newbyteorder("="))
    if found is None:
        raise DTypeError(
            f"dtype {made} is not supported: tensors hold bool, integers, float16/32/64 and complex64/128. "
            "Convert the values with .astype(float) or encode them as integers first"
        )
    return found


def is_complex(dtype: DType) -> bool:
    """Complex floating point."""
    return dtype.kind == "c"


def is_inexact(dtype: DType) -> bool:
    """Real or complex floating point: the dtypes one can differentiate with respect to."""
    return dtype.kind in "fc"


def real_dtype(dtype: DType) -> DType:
    """float32 for complex64, float64 for complex128, any other dtype unchanged."""
    return np.empty(0, dtype).real.dtype


def is_lossless(old: DType, new: DType) -> bool:
    """Whether every value survives; NumPy calls 64-bit ints to float64 safe, but 2**53 + 1 does not survive that."""
    return np.can_cast(old, new, "safe") and not (old.kind in "iu" and old.itemsize == 8 and new.kind in "fc")


def scalar_type(dtype: DType) -> type:
    """The Python type that stands for a weak operand of this dtype."""
    return _WEAK[dtype.kind]


@lru_cache(maxsize=4096)
def resolve(ufunc: np.ufunc, *operands: DType | type) -> tuple[tuple[DType, ...], tuple[DType, ...]]:
    """The dtypes `ufunc` computes in and those it returns, for operands given as dtypes or (weak) Python types."""
    names = ", ".join(o.__name__ if isinstance(o, type) else str(o) for o in operands)
    asked = tuple(np.dtype(o) if o is bool else o for o in operands)
    try:
        found = ufunc.resolve_dtypes((*asked, *[None] * ufunc.nout))
    except TypeError as error:
        raise DTypeError(f"{ufunc.__name__} is not defined for {names}; cast an operand with .astype(...)") from error
    if any(d not in SUPPORTED for d in found):
        raise DTypeError(f"{ufunc.__name__} of {names} has no supported dtype; cast an operand with .astype(...)")
    return tuple(found[: ufunc.nin]), tuple(found[ufunc.nin :])


@lru_cache(maxsize=4096)
def promote(*operands: DType | type) -> DType:
    """`np.result_type` over dtypes and weak Python types."""
    if all(isinstance(o, type) for o in operands):
        return np.result_type(*(np.dtype(o) for o in operands))
    return np.result_type(*(np.dtype(bool) if o is bool else o(0) if isinstance(o, type) else o for o in operands))
