"""What to write in place of a function of NumPy or SciPy that a tensor refuses, for the message that refuses it.

Where something is known to take the place of a function, `FACTS` says so; for the others there are the names of
symgraph's own functions that are spelled nearly alike. All of it is looked up only once an error is certain.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

VALUE = "apply it to the value, which evaluate(x, {symbol: value}) computes"
"""What is left where nothing takes the place of a function."""

_SHAPE = (
    "the size of its result would depend on values, and sizes are known before them: choose values with "
    "where(condition, x, 0), and count them with count_nonzero"
)
_WRITES = "a tensor is immutable: x.at[index].set(value) is a changed copy"
_SAVES = (
    "a tensor has no value to write: evaluate(x, {symbol: value}) computes one, and Function.export writes a program"
)
_TYPE = "x.dtype and x.shape are known, and NumPy takes those"

FACTS: Mapping[str, str] = {
    **dict.fromkeys(("nonzero", "argwhere", "flatnonzero", "extract", "compress", "trim_zeros", "unique", "unique_all",
                     "unique_counts", "unique_inverse", "unique_values", "union1d", "intersect1d", "setdiff1d",
                     "setxor1d"), _SHAPE),
    **dict.fromkeys(("copyto", "put", "putmask", "place", "fill_diagonal"), _WRITES),
    **dict.fromkeys(("save", "savez", "savez_compressed", "savetxt"), _SAVES),
    **dict.fromkeys(("result_type", "can_cast", "common_type", "min_scalar_type", "iscomplexobj", "isrealobj"), _TYPE),
    **dict.fromkeys(("fft.fft", "fft.ifft", "fft.rfft", "fft.fft2", "fft.fftn"),
                    "over a fixed number n of points it is the product x @ np.fft.fft(np.eye(n))"),
    **dict.fromkeys(("histogram", "bincount"), "one_hot(k, n).sum(axis=0) counts in n bins by their number"),
    **dict.fromkeys(("digitize", "searchsorted"), "sum(x[..., None] > edges, axis=-1) counts the edges below each x"),
    **dict.fromkeys(("cov", "corrcoef"),
                    "with d = x - mean(x, axis=1, keepdims=True), the covariance is d @ d.T / (x.shape[1] - 1)"),
    **dict.fromkeys(("linalg.eig", "linalg.eigvals"), "linalg.eigh and linalg.eigvalsh are for symmetric matrices"),
    **dict.fromkeys(("linalg.vector_norm", "linalg.matrix_norm"), "linalg.norm(x, ord, axis) has both"),
    **dict.fromkeys(("linalg.tensorsolve", "linalg.tensorinv"), "reshape to a matrix for linalg.solve or linalg.inv"),
    **dict.fromkeys(("apply_along_axis", "vectorize"), "vmap(f)(x) applies f to each row of x"),
    **dict.fromkeys(("piecewise", "choose", "select"), "where(condition, x, y), one in another, chooses elementwise"),
    **dict.fromkeys(("array_repr", "array_str", "array2string"), "str(x) is the formula"),
    "apply_over_axes": "write the reduction with axis=(...), as in sum(x, axis=(0, 1))",
    "around": "write round(x, decimals)",
    "block": "write concatenate([...], axis) or stack([...])",
    "copy": "a tensor is immutable and needs no copy",
    "ediff1d": "write x[1:] - x[:-1]",
    "fix": "write trunc(x)",
    "float_power": "write power(x, y)",
    "geomspace": "write exp(linspace(log(start), log(stop), num))",
    "gradient": "write differences of slices, such as (x[2:] - x[:-2]) / (2 * step)",
    "interp": "between fixed points it is a sum of hinges, as in y[0] + sum(change_of_slope * relu(x[..., None] - knots), -1)",
    "insert": "write concatenate([x[:i], value, x[i:]])",
    "delete": "write concatenate([x[:i], x[i + 1:]])",
    "isneginf": "write x == -np.inf",
    "isposinf": "write x == np.inf",
    "iscomplex": "write imag(x) != 0",
    "isreal": "write imag(x) == 0",
    "ldexp": "write x * exp2(k)",
    "logaddexp.reduce": "write logsumexp(x, axis)",
    "add.accumulate": "write cumsum(x, axis)",
    "multiply.accumulate": "write cumprod(x, axis)",
    "add.at": "write x.at[index].add(value), a changed copy",
    "add.reduceat": "write sum of slices, or put_along_axis",
    "polyval": "write the sum of coefficients * x**k",
    "real_if_close": "write real(x)",
    "resize": "write reshape, tile or pad",
    "rot90": "write flip(transpose(x), axis)",
    "vander": "write x[:, None] ** np.arange(n)",
    "scipy.linalg.lu_solve": "linalg.solve(A, b) solves with the matrix itself, not its factors",
}  # fmt: skip
"""Names without `np.` and what takes their place."""

NEAR = 0.75
"""How alike two names must be for one to be offered in place of the other."""


def substitute_for(name: str, known: Mapping[str, Callable[..., Any]]) -> str:
    """What to write in place of `np.median` or `scipy.linalg.expm`, given what symgraph has, by the names after `symgraph.`.

    >>> from symgraph.numpy_api import PUBLIC
    >>> substitute_for("np.float_power", PUBLIC)
    'write power(x, y)'
    >>> substitute_for("np.sqrtt", PUBLIC)
    'symgraph has sqrt'
    """
    name = name.removeprefix("np.")
    last = name.rpartition(".")[2]
    ours = {public.rpartition(".")[2]: public for public in reversed(list(known))}  # the shortest path is the first one
    if name in FACTS and last not in ours:
        return FACTS[name]
    near = [last] if last in ours else difflib.get_close_matches(last, ours, 2, NEAR)
    return f"symgraph has {' and '.join(ours[n] for n in near)}" if near else ""


def called_from() -> str:
    """The function of NumPy or SciPy that the user called and that asks for a value, such as `scipy.linalg.expm`.

    Empty where there is none: NumPy's functions written in C leave no trace.
    """
    frame: FrameType | None = sys._getframe(1)
    found = ""
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        for wrapped in ("f", "func", "fun") if name == "wrapper" else ():  # a decorated function goes by its own name
            function = frame.f_locals.get(wrapped)
            if callable(function):
                module, name = function.__module__, function.__name__
        package, *parts = module.split(".")
        if package not in ("numpy", "scipy", "symgraph"):
            break
        if package != "symgraph" and not name.startswith(("_", "<", "wrapper")):
            public = [part for part in parts if not part.startswith("_") and part not in _PRIVATE]
            found = ".".join(["np" if package == "numpy" else package, *public, name])
        frame = frame.f_back
    return found


_PRIVATE = ("fromnumeric", "numeric", "multiarray", "shape_base", "function_base", "core", "lib", "arrayprint")
"""Modules of NumPy whose functions are known without them."""

__all__ = ["FACTS", "VALUE", "called_from", "substitute_for"]
