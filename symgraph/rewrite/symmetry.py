"""Whether a matrix is certainly symmetric because of how it is made, by a short look at it.

    A + A.T,  A @ A.T,  f(x[:, None] - x[None]) for an even f,  sums and products of these,  diagonal matrices

A kernel matrix is one. Exchanging its two axes changes nothing: +1; or the sign alone: -1. What is not seen is None.
"""

from __future__ import annotations

from ..core import Tensor
from ..dims import same
from ..ops.base import Elementwise
from ..ops.diagonal import DiagonalMatrix, Eye
from ..ops.einsum import Einsum
from ..ops.elementwise import Cast
from ..ops.reduce import Norm, Sum
from ..ops.shape import BroadcastTo, Reshape, Transpose
from .factors import number_of

DEPTH = 24
EVEN = frozenset(["absolute", "square", "cos", "cosh"])
COMMUTATIVE = frozenset(["add", "multiply", "maximum", "minimum"])


def is_symmetric(x: Tensor) -> bool:
    """Whether the matrix is certainly its own transpose, but for rounding."""
    return x.ndim == 2 and _sign(x, 0, 1, {}, DEPTH) == 1


def _sign(x: Tensor, i: int, j: int, known: dict[tuple[Tensor, int, int], int | None], depth: int) -> int | None:
    """What the exchange of axes i and j multiplies `x` by; None where that is not known."""
    key = x, min(i, j), max(i, j)
    if key not in known:
        known[key] = _look(x, i, j, known, depth - 1) if depth and same(x.shape[i], x.shape[j]) else None
    return known[key]


def _look(x: Tensor, i: int, j: int, known: dict[tuple[Tensor, int, int], int | None], depth: int) -> int | None:
    op, xs = x.op, x.inputs
    if isinstance(op, Eye):
        return 1 if op.k == 0 else None
    if isinstance(op, DiagonalMatrix):
        return 1 if op.offset == 0 and {i, j} == {x.ndim - 2, x.ndim - 1} else None
    if isinstance(op, Transpose):
        return _sign(xs[0], op.axes[i], op.axes[j], known, depth)
    if isinstance(op, Sum | Norm):
        kept = [k for k in range(xs[0].ndim) if k not in op.axis] if not op.keepdims else list(range(xs[0].ndim))
        if kept[i] in op.axis or kept[j] in op.axis:
            return None
        found = _sign(xs[0], kept[i], kept[j], known, depth)
        return found if isinstance(op, Sum) or found is None else 1
    if isinstance(op, Einsum):
        return _contraction(x, op, i, j, known, depth)
    if not isinstance(op, Elementwise | Cast | BroadcastTo):
        return None
    name = op.name
    if len(xs) == 2 and _mirrored(xs[0], xs[1], x.ndim, i, j, known, depth):
        return 1 if name in COMMUTATIVE else -1 if name == "subtract" else None
    signs = [_operand(a, x.ndim, i, j, known, depth) for a in xs]
    if any(s is None for s in signs):
        return None
    if name in EVEN or all(s == 1 for s in signs) or (name == "power" and number_of(xs[1]) in (2, 4)):
        return 1
    if name in ("multiply", "divide"):
        return 1 if signs[0] == signs[1] else -1
    alike = name in ("negative", "cast", "broadcast_to") or (name in ("add", "subtract") and signs[0] == signs[1])
    return signs[0] if alike else None


def _operand(
    a: Tensor, ndim: int, i: int, j: int, known: dict[tuple[Tensor, int, int], int | None], depth: int
) -> int | None:
    """The sign of an operand that is broadcast to `ndim` axes: one that has neither axis is the same along both."""
    at = [k - (ndim - a.ndim) for k in (i, j)]
    there = [k >= 0 and not same(a.shape[k], 1) for k in at]
    if not any(there):
        return 1
    return _sign(a, at[0], at[1], known, depth) if all(there) else None


def _mirrored(
    a: Tensor, b: Tensor, ndim: int, i: int, j: int, known: dict[tuple[Tensor, int, int], int | None], depth: int
) -> bool:
    """Whether two operands are each other with the axes exchanged: x[:, None] and x[None], A and A.T."""
    if isinstance(a.op, Transpose) or isinstance(b.op, Transpose):
        turned, other = (a, b) if isinstance(a.op, Transpose) else (b, a)
        axes = list(range(ndim))
        axes[i], axes[j] = j, i
        return turned.ndim == ndim and turned.inputs[0] is other and list(turned.op.axes) == axes  # type: ignore[attr-defined]
    if abs(i - j) != 1 or _base(a) is not _base(b):
        return False
    left, right = ((*[1] * (ndim - x.ndim), *x.shape) for x in (a, b))
    turned_right = list(right)
    turned_right[i], turned_right[j] = right[j], right[i]
    return all(map(same, left, turned_right)) and any(
        same(left[k], 1) and same(right[m], 1) for k, m in ((i, j), (j, i))
    )


def _base(x: Tensor) -> Tensor:
    """What has only been given axes of 1."""
    while isinstance(x.op, Reshape):
        wide = [[n for n in s if not same(n, 1)] for s in (x.shape, x.inputs[0].shape)]
        if len(wide[0]) != len(wide[1]) or not all(map(same, *wide)):
            break
        x = x.inputs[0]
    return x


def _contraction(
    x: Tensor, op: Einsum, i: int, j: int, known: dict[tuple[Tensor, int, int], int | None], depth: int
) -> int | None:
    """Each operand is the same with the two labels exchanged, or another one is what it becomes, whichever has a number."""
    p, q = op.output[i], op.output[j]
    if p == q:
        return 1
    exchanged = {p: q, q: p}
    sign, left = 1, list(zip(map(_unscaled, x.inputs), op.operands, strict=True))
    while left:
        a, labels = left.pop()
        if labels.count(p) > 1 or labels.count(q) > 1:
            return None
        if (p in labels) != (q in labels):
            turned = tuple(exchanged.get(label, label) for label in labels)
            k = next((k for k, (b, other) in enumerate(left) if b is a and tuple(other) == turned), None)
            if k is None:
                return None
            del left[k]
        elif p in labels:
            found = _sign(a, labels.index(p), labels.index(q), known, depth)
            if found is None:
                return None
            sign *= found
    return sign


def _unscaled(x: Tensor) -> Tensor:
    """What a number multiplies."""
    while isinstance(x.op, Elementwise) and x.op.name == "multiply" and x.ndim:
        numbers = [k for k in (0, 1) if x.inputs[k].ndim == 0]
        if not numbers:
            break
        x = x.inputs[1 - numbers[0]]
    return x
