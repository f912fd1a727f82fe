"""The kinds of op, and every question a later stage may ask of one.

An op states *one* derivative fact; forward and reverse mode follow from its kind:

    Elementwise   partials dy/dx_i        vjp  unbroadcast(ct * p)      jvp  sum of p * t
    Linear        transpose               vjp  transpose(ct)            jvp  the op itself
    Multilinear   one transpose each      vjp  those                    jvp  the product rule
    General       vjp and jvp             as written

Reverse mode carries, beside a cotangent, an optional *mask*: where it is False the cotangent is 0 because a branch was
not taken (`where`, `maximum`, ...). Under a mask a product with a partial is `masked_multiply`, which is 0 outside the
mask whatever the partial is, so an infinite derivative of an untaken branch never leaks. Masks follow linear ops made of
zeros and ones (`structural`); contractions stop them and keep IEEE meaning.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..core import (
    Aval,
    Constant,
    Item,
    Op,
    ShapedArray,
    Tensor,
    as_array,
    constant,
    describe,
    located_error,
    make,
    misuse,
    toposort,
    weak_constant,
)
from ..dims import Dim, Shape, broadcast_shapes, prod, same
from ..dtypes import DType, is_complex, is_inexact, resolve, scalar_type
from ..errors import DTypeError, GradientError, ShapeError, SymgraphError
from . import code
from .batches import Axis, Batched, aligned
from .code import Code
from .late import F

Mask = Tensor | None
Pulled = tuple[Tensor, Mask] | None
"""What reverse mode sends to an operand: its cotangent and mask, or nothing."""


class Primitive(Op):
    """An op of the library. Each method is a question with a safe default; ops answer the ones they know better."""

    # How is it written and computed?

    def numpy(self, *xs: Code) -> Code:
        """The NumPy expression of the result."""
        raise TypeError(f"{self.name} has no NumPy expression")

    def statements(self, out: str, *xs: Code) -> list[str] | None:
        """The statements that compute `out`, for an op that one expression cannot write."""
        return None

    def into(self, out: str, *xs: Code) -> list[str] | None:
        """The statements that compute the result in the array `out`, without memory of their own where NumPy can.

        `out` is C-contiguous, has the shape and dtype of the result and holds anything; it shares no memory with an
        operand, but may be one of them where `inplace` says so, and is then written as that operand is. An operand may
        be written more than once, and so must be a name, a view or a number. None where NumPy has no such form; where
        the op works row by row, the same statements make any rows of the result from those of the operands.
        """
        return code.assign(out, self.numpy(*xs)) if self.is_view else None

    mostly_zeros: bool = False
    """Whether the result is mostly zeros, so that adding it to an array is less work than computing it."""

    def add_into(self, out: str, *xs: Code) -> list[str] | None:
        """The statements that add the result to what is in the array `out`, where it is `mostly_zeros`."""
        return None

    def fast(self, *xs: Code) -> Code | None:
        """An expression that is faster than `numpy`, if less pretty, for a value that is not written into an array."""
        return None

    def lower(self, *xs: Tensor) -> Tensor | None:
        """The same value from simpler ops, taken just before scheduling, so that the parts are shared and fused."""
        return None

    def evaluate(self, *values: Any) -> Any:
        """The value on arrays, used to fold constants and by the naive interpreter."""
        return evaluate_source(self, values)

    quiet: str | None = None
    """A floating-point warning (`over`, `divide`, `invalid`) that the way it is computed raises without harm."""

    # How is it differentiated?

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        """What each wanted operand receives from the cotangent of `y`."""
        raise located_error(
            GradientError, self.name, xs, "this op has no derivative; use stop_gradient if none is meant"
        )

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        """The tangent of `y` from those of the operands, where None is zero."""
        raise located_error(
            GradientError, self.name, xs, "this op has no derivative; use stop_gradient if none is meant"
        )

    hazard: str | None = None
    """Where a partial is infinite or undefined, in words about the operands: `x = 0`."""

    def batch(self, axes: Sequence[Axis], *xs: Tensor) -> Batched:
        """The op over operands with an extra axis (at `axes[i]`, or None), and where the result has it.

        At least one operand has it. An op with several outputs gives its node, or the outputs each with an axis of its
        own. None where there is no rule: the rows are then computed one by one.
        """
        return None

    # What may later stages do with it?

    is_view: bool = False
    """Whether the result may share memory with an operand."""
    readonly: bool = False
    """Whether the result may be a view that NumPy lets nobody write."""
    inplace: bool = False
    """Whether the result may be written over an operand of the same type."""

    def by_rows(self, y: ShapedArray, *xs: ShapedArray) -> tuple[bool, ...] | None:
        """Whether each row of the result, `y[i]`, needs of an operand only its row i (True) or the whole (False).

        None for an op that does not work row by row: then no loop over blocks of rows may hold it.
        """
        return None

    def joins_rows(self) -> bool:
        """Whether the op reduces the leading axes of all its operands: for blocks of rows it gives parts to be joined."""
        return False

    combine: str | None = None
    """The ufunc that joins such parts."""

    scalar: bool = False
    """Whether a result without axes is certainly a NumPy scalar, never an array of no axes."""

    literals: tuple[int, ...] = ()
    """The operands that may be written as plain numbers: the source itself sees to their dtype."""
    assigned: tuple[int, ...] = ()
    """The operands that are written into an array, which casts and broadcasts them."""

    def as_einsum(self, *xs: Tensor) -> Any:
        """The op as a contraction of its operands, or None."""
        return None

    def nonnegative(self, *known: bool) -> bool:
        """Whether the result is never negative (nan aside), given which operands are known not to be."""
        return False

    def bounded(self, *known: bool) -> bool:
        """Whether the result is finite for every value of the operands that are not themselves `known` to be finite."""
        return False

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        """Floating-point operations, as a number or a Dim: one for each element computed or moved, none for a view."""
        if self.is_view:
            return 0
        return prod(y.shape) if isinstance(y, ShapedArray) else sum(prod(a.shape) for a in y)

    def traffic(self, y: Any, *xs: ShapedArray) -> Any | None:
        """Bytes read and written, where that is not each operand and the result once; else None."""
        return None


def gives_scalar(x: Tensor) -> bool:
    """Whether the code of a value without axes certainly gives a NumPy scalar."""
    while isinstance(x.op, Item) or x.op.name == "cast":
        x = x.inputs[0]
    return isinstance(x.op, Primitive) and x.op.scalar


_sources: dict[tuple[Any, ...], Callable[..., Any]] = {}


def evaluate_source(op: Primitive, values: Sequence[Any]) -> Any:
    """Run what `op` emits on arrays: the meaning of an op is its NumPy expression."""
    arrays = [np.asarray(v) for v in values]
    avals = [ShapedArray(a.shape, a.dtype) for a in arrays]
    key = (op, *avals)
    function = _sources.get(key)
    if function is None:
        names = [f"x{i}" for i in range(len(arrays))]
        xs = [Code(n, aval=a) for n, a in zip(names, avals, strict=True)]
        lines = op.statements("out", *xs) or [f"out = {op.numpy(*xs)}"]
        text = f"def run({', '.join(names)}):\n    " + "\n    ".join(lines) + "\n    return out"
        scope: dict[str, Any] = {"np": np}
        if "scipy." in text:
            import scipy
            import scipy.linalg
            import scipy.special

            scope["scipy"] = scipy
        exec(compile(text, "<symgraph op>", "exec"), scope)
        if len(_sources) > 4096:
            _sources.clear()
        function = _sources[key] = scope["run"]
    with np.errstate(all="ignore"):
        return function(*arrays)


# Operands ------------------------------------------------------------------------------------------------------------


def as_tensor(value: Any) -> Tensor:
    """A tensor: itself, a weak constant for a Python scalar or Dim, a strong constant for an array or list of numbers."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return constant(value)
    if isinstance(value, bool | int | float | complex):
        return weak_constant(value)
    if isinstance(value, Dim):
        return F.dim_value(value)
    if rule := _unusable(value):
        raise misuse(DTypeError, rule)
    return constant(value if isinstance(value, list | tuple) else np.asarray(value))


def _unusable(value: Any) -> str:
    """Why a value is no operand and what to give in its place; empty for one that is."""
    if isinstance(value, list | tuple):
        joined = any(isinstance(item, Tensor) for item in value)
        return "a list of tensors is not a tensor. Join them with stack or concatenate" if joined else ""
    if isinstance(value, Tensor | Dim | bool | int | float | complex) or hasattr(value, "__array__"):
        return ""
    return (
        f"{describe(value)} of type {type(value).__name__} cannot be used as a tensor. Give a tensor, a number, or an array "
        "or list of numbers"
    )


def strong(value: Any) -> Tensor:
    """An operand as a tensor with a dtype of its own: an array made of a Python scalar is no longer weak."""
    x = as_tensor(value)
    return cast(x, x.dtype)


def promotion_type(x: Tensor) -> DType | type:
    """How `x` takes part in promotion: by its dtype, or as a Python scalar when it is weak."""
    return scalar_type(x.dtype) if x.aval.weak else x.dtype


def cast(x: Tensor, dtype: DType) -> Tensor:
    """`x` in another dtype; a weak constant becomes a strong one, and the same dtype returns `x` itself."""
    if x.aval.weak and isinstance(x.op, Constant):
        try:
            return constant(as_array(x.op.value.item(), dtype))
        except DTypeError as error:
            raise located_error(DTypeError, f"cast to {dtype}", [x], str(error)) from None
    if x.aval.weak and x.inputs and isinstance(x.op, Elementwise):
        x = _strengthened(x, dtype if is_inexact(dtype) else x.dtype)
    return x if x.dtype == dtype and not x.aval.weak else F.cast(x, dtype)


def _strengthened(x: Tensor, dtype: DType) -> Tensor:
    """Arithmetic of sizes and Python scalars in the dtype of the tensor it meets, as if it were written there."""
    done: dict[Tensor, Tensor] = {}
    for node in toposort([x]):
        done[node] = make(node.op, *[done[a] for a in node.inputs]) if node.inputs else cast(node, dtype)
    return done[x]


_ARITHMETIC = {np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.power, np.negative}
"""Of sizes and Python scalars these make what Python makes of them: a number that is weak again."""


def promoted(name: str, like: np.ufunc, args: Sequence[Any]) -> list[Tensor]:
    """The operands as tensors in the dtypes in which the ufunc `like` would compute."""
    try:
        xs = [as_tensor(a) for a in args]
    except DTypeError as error:
        rule = next(filter(None, map(_unusable, args)), str(error))
        raise located_error(DTypeError, name, args, rule) from None
    try:
        dtypes, _ = resolve(like, *[promotion_type(x) for x in xs])
    except DTypeError as error:
        raise located_error(DTypeError, name, xs, str(error)) from None
    if like in _ARITHMETIC and all([x.aval.weak for x in xs]) and not all([isinstance(x.op, Constant) for x in xs]):
        return xs
    if like in _COMPARISONS and any(_overflows(x, d) for x, d in zip(xs, dtypes, strict=True)):
        dtypes = (
            np.result_type(np.int64, *dtypes),
        ) * 2  # a number out of the range of the array's dtype compares all the same
    return [x if x.dtype == d and not _weak_constant(x) else cast(x, d) for x, d in zip(xs, dtypes, strict=True)]


_COMPARISONS = frozenset([np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal])


def _overflows(x: Tensor, dtype: DType) -> bool:
    if not (_weak_constant(x) and dtype.kind in "iu" and x.dtype.kind == "i"):
        return False
    limits = np.iinfo(dtype)
    return not limits.min <= x.op.number <= limits.max  # type: ignore[attr-defined]


def _weak_constant(x: Tensor) -> bool:
    return x.aval.weak and isinstance(x.op, Constant)


def axes_of(axis: Any, ndim: int, what: str = "axis") -> tuple[int, ...]:
    """`axis` (None for all, an int or a sequence) as distinct non-negative ints in increasing order."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    found = tuple(sorted(axis_of(a, ndim, what) for a in axes))
    if len(set(found)) != len(found):
        raise misuse(ShapeError, f"{what}={axis} names an axis twice")
    return found


def axis_of(axis: Any, ndim: int, what: str = "axis") -> int:
    """One axis as a non-negative int."""
    try:
        made = operator.index(axis)
    except TypeError:
        raise TypeError(f"{what} must be an int, not {describe(axis)}") from None
    if not -ndim <= made < ndim:
        among = f"from {-ndim} to {ndim - 1}" if ndim else "there is none"
        raise misuse(ShapeError, f"{what}={made} is out of range for {ndim} axes ({among})")
    return made % ndim if ndim else 0


# Kinds ---------------------------------------------------------------------------------------------------------------


class Unknown:
    """The partial in an operand for which no derivative is known, such as the order of a Bessel function."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()

Partial = Tensor | float | int | Unknown | None


class Elementwise(Primitive):
    """y[i] = f(x1[i], x2[i], ...) with broadcasting, given by its partial derivatives.

    `like` is the ufunc whose promotion it follows; `source` is the name of a ufunc, an infix or prefix operator, or a
    function of `Code`, beside which `into` gives the statements of `Primitive.into`. `selects` gives, for ops that
    choose among operands, the mask where each one is chosen. Instances are unique by name and pickle by name.
    """

    inplace = True
    scalar = True
    registry: ClassVar[dict[str, Elementwise]] = {}

    def __init__(
        self,
        name: str,
        partials: Callable[..., Sequence[Partial]] | None,
        *,
        like: np.ufunc | None = None,
        source: str | Callable[..., Code] | None = None,
        selects: Callable[..., Sequence[Mask]] | None = None,
        lower: Callable[..., Tensor] | None = None,
        into: Callable[..., list[str] | None] | None = None,
        commutative: bool = False,
        hazard: str | None = None,
        nonnegative: Callable[..., bool] | bool = False,
        bounded: Callable[..., bool] | bool = False,
        flops: int = 1,
        quiet: str | None = None,
    ) -> None:
        self.name = name
        self.family = self
        self.partials = partials
        self.like: np.ufunc = like if like is not None else getattr(np, name)
        self.source = source or f"np.{name}"
        self.selects = selects
        self._lower = lower
        self._into = into
        self.commutative = commutative
        self.hazard = hazard
        self._nonnegative = nonnegative
        self._bounded = bounded
        self.flops = flops
        self.quiet = quiet
        self.__doc__ = f"`{name}`, elementwise with broadcasting."
        assert name not in Elementwise.registry, name
        Elementwise.registry[name] = self

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return _registered, (self.name,)

    def __call__(self, *args: Any) -> Tensor:
        if len(args) != self.like.nin:
            raise TypeError(f"{self.name} takes {self.like.nin} operands, not {len(args)}")
        return make(self, *promoted(self.name, self.like, args))

    def infer(self, *xs: ShapedArray) -> Aval:
        shape = broadcast_shapes(*[x.shape for x in xs])
        _, dtypes = resolve(self.like, *[x.dtype for x in xs])
        weak = all([x.weak for x in xs])
        found = tuple(ShapedArray(shape, d, weak) for d in dtypes)
        return found if len(found) > 1 else found[0]

    def numpy(self, *xs: Code) -> Code:
        if callable(self.source):
            return self.source(*xs)
        if self.source[-1].isalnum():
            return code.call(self.source, *xs)
        return code.prefix(self.source, *xs) if len(xs) == 1 else code.infix(self.source, *xs)

    def into(self, out: str, *xs: Code) -> list[str] | None:
        if self._into is not None:
            return self._into(out, *xs)
        if callable(self.source) or self.like.nout > 1:
            return None
        function = self.source if self.source[-1].isalnum() else f"np.{self.like.__name__}"
        return [str(code.call(function, *xs, out=Code(out)))]

    def by_rows(self, y: ShapedArray, *xs: ShapedArray) -> tuple[bool, ...] | None:
        return aligned_rows(y, *xs)

    def batch(self, axes: Sequence[Axis], *xs: Tensor) -> Batched:
        return batch_broadcasting(self, axes, *xs)

    def lower(self, *xs: Tensor) -> Tensor | None:
        return self._lower(*xs) if self._lower else None

    def evaluate(self, *values: Any) -> Any:
        if self.source == f"np.{self.like.__name__}":
            with np.errstate(all="ignore"):
                return self.like(*values)
        return evaluate_source(self, values)

    def nonnegative(self, *known: bool) -> bool:
        return self._nonnegative(*known) if callable(self._nonnegative) else self._nonnegative

    def bounded(self, *known: bool) -> bool:
        return self._bounded(*known) if callable(self._bounded) else self._bounded

    def cost(self, y: Any, *xs: ShapedArray) -> Any:
        return self.flops * super().cost(y, *xs)

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        if self.partials is None:
            return super().pullback(ct, mask, y, xs, wanted)
        chosen = self.selects(y, *xs) if self.selects else [None] * len(xs)
        pulled: list[Pulled] = []
        for x, p, select, want in zip(xs, self.partials(y, *xs), chosen, wanted, strict=True):
            if not want or p is None:
                pulled.append(None)
                continue
            if isinstance(p, Unknown):
                raise self.refused(x, xs)
            both = mask_and(mask, select)
            pulled.append((unbroadcast(times(ct, p, select, both), x), unbroadcast_mask(both, x)))
        return pulled

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        if self.partials is None:
            return super().pushforward(ts, y, xs)
        chosen = self.selects(y, *xs) if self.selects else [None] * len(xs)
        total: Tensor | None = None
        for t, x, p, select in zip(ts, xs, self.partials(y, *xs), chosen, strict=True):
            if t is not None and p is not None:
                if isinstance(p, Unknown):
                    raise self.refused(x, xs)
                term = times(t, p, select, mask_and(mask_of(t), select))
                total = term if total is None else total + term
        return None if total is None else broadcast_like(total, y)

    def refused(self, x: Tensor, xs: Sequence[Tensor]) -> SymgraphError:
        """The error of a derivative in the operand `x`, whose partial is `UNKNOWN`."""
        here, place = describe(x, short=True), next(i for i, a in enumerate(xs, 1) if a is x)
        rule = f"its derivative in {here}, operand {place}, is not known. Use stop_gradient({here}) to hold it constant"
        return located_error(GradientError, self.name, xs, rule)


def aligned_rows(y: ShapedArray, *xs: ShapedArray) -> tuple[bool, ...] | None:
    """The operands of an elementwise op that have the leading axis of the result; the others broadcast along it."""
    if not isinstance(y, ShapedArray) or not y.shape:
        return None
    return tuple(len(x.shape) == len(y.shape) and same(x.shape[0], y.shape[0]) for x in xs)


def batch_broadcasting(op: Op, axes: Sequence[Axis], *xs: Tensor) -> tuple[Tensor, int]:
    """The batch rule of an op that works on each element and broadcasts its operands."""
    operands, at = aligned(xs, axes)
    return make(op, *operands), at


def _registered(name: str) -> Elementwise:
    return Elementwise.registry[name]


def times(ct: Tensor, p: Tensor | float, select: Mask, mask: Mask) -> Tensor:
    """`ct * p`; 0 outside `select`, whatever both are there, and outside `mask`, where `ct` is known to be 0, whatever `p` is.

    `mask` lies within `select`.
    """
    if isinstance(p, int | float) and abs(p) == 1:
        chosen = ct if select is None else F.where(select, ct, 0)
        return chosen if p == 1 else -chosen
    within = None if mask is None else select if is_bounded(p) else mask
    if within is None and isinstance(p, Tensor) and _is_unit_seed(ct, p):
        return p
    return ct * p if within is None else F.masked_multiply(within, ct, p)


def _is_unit_seed(ct: Tensor, p: Tensor) -> bool:
    """Whether `ct` is the number 1, the seed of a scalar's gradient, and multiplying by it changes nothing."""
    return isinstance(ct.op, Constant) and ct.op.number == 1 and ct.dtype == p.dtype and not p.aval.weak


def mask_of(t: Tensor, depth: int = 4) -> Mask:
    """Outside which the tangent `t` is 0 because a branch was not taken, by a short look at how it is made; or None."""
    if depth == 0 or not isinstance(t.op, Primitive):
        return None
    if t.op.name == "where":
        c, a, b = t.inputs
        if _is_zero(b):
            return mask_and(c, mask_of(a, depth - 1))
        return mask_and(F.logical_not(c), mask_of(b, depth - 1)) if _is_zero(a) else None
    if t.op.name == "masked_multiply":
        return mask_and(t.inputs[0], mask_and(*[mask_of(x, depth - 1) for x in t.inputs[1:]]))
    if t.op.name == "multiply":
        return mask_and(*[mask_of(x, depth - 1) for x in t.inputs])
    if t.op.name in ("negative", "cast"):
        return mask_of(t.inputs[0], depth - 1)
    if t.op.name in ("add", "subtract"):
        return mask_or(*[mask_of(x, depth - 1) for x in t.inputs])
    return None


def _is_zero(x: Tensor) -> bool:
    x = x.inputs[0] if x.op.name == "full" else x
    return isinstance(x.op, Constant) and not x.op.value.any()


def is_bounded(p: Tensor | float, depth: int = 6) -> bool:
    """Whether `p` is certainly finite whatever the leaves hold, by a short look at how it is made."""
    if not isinstance(p, Tensor):
        return bool(np.isfinite(p))
    if isinstance(p.op, Constant):
        return bool(np.all(np.isfinite(p.op.value)))
    if not is_inexact(p.dtype):
        return True
    if depth == 0 or not isinstance(p.op, Primitive):
        return False
    return p.op.bounded(*[is_bounded(x, depth - 1) for x in p.inputs])


def mask_and(a: Mask, b: Mask) -> Mask:
    """Both masks at once, where None is everywhere."""
    if a is None or b is None or a is b:
        return b if a is None else a
    return F.logical_and(a, b)


def mask_or(a: Mask, b: Mask) -> Mask:
    """Either mask, where None is everywhere."""
    if a is None or b is None or a is b:
        return a if a is b else None
    return F.logical_or(a, b)


def summed_axes(shape: Shape, target: Shape) -> tuple[int, ...]:
    """The axes over which a value of `shape`, broadcast from `target`, is summed to come back to it."""
    lead = len(shape) - len(target)
    stretched = [i + lead for i, t in enumerate(target) if same(t, 1) and not same(shape[i + lead], 1)]
    return (*range(lead), *stretched)


def unbroadcast(ct: Tensor, x: Tensor) -> Tensor:
    """The transpose of broadcasting `x` to the shape of `ct`, in the dtype of `x`."""
    axes = summed_axes(ct.shape, x.shape)
    if axes:
        lead = ct.ndim - x.ndim
        kept = [i for i in axes if i >= lead]
        if kept:
            ct = F.sum(ct, axis=tuple(axes), keepdims=True)
            ct = F.squeeze(ct, axis=tuple(range(lead))) if lead else ct
        else:
            ct = F.sum(ct, axis=tuple(axes))
    return cast(ct, x.dtype)


def unbroadcast_mask(mask: Mask, x: Tensor) -> Mask:
    """Where `x` reaches some place inside the mask."""
    if mask is None or x.ndim == mask.ndim == 0:
        return mask
    if mask.ndim < x.ndim or any(
        same(m, 1) and not same(s, 1) for m, s in zip(mask.shape[::-1], x.shape[::-1], strict=False)
    ):
        mask = F.broadcast_to(mask, broadcast_shapes(mask.shape, x.shape))
    axes = summed_axes(mask.shape, x.shape)
    return mask if not axes else F.reshape(F.any(mask, axis=axes), x.shape)


def broadcast_like(t: Tensor, y: Tensor) -> Tensor:
    """`t` broadcast to the shape of `y`, itself when it has that shape."""
    if t.ndim == y.ndim and not summed_axes(y.shape, t.shape):
        return t
    return F.broadcast_to(t, y.shape)


class Linear(Primitive):
    """Linear in its first `linear` operands (None for all); the remaining operands are indices and the like."""

    linear: ClassVar[int | None] = 1
    structural: ClassVar[bool] = True
    """Whether the matrix of the map holds only zeros and ones, so that masks can follow it."""
    adds: ClassVar[bool] = False
    """Whether elements may be added together; otherwise each is moved, or left out."""

    def transpose(self, ct: Any, *xs: Tensor) -> Any:
        """The cotangent of the linear operand, or a sequence of them when there are several."""
        raise TypeError(f"{self.name} has no transpose")

    def transpose_mask(self, mask: Tensor, *xs: Tensor) -> Any:
        """Where the linear operands reach the mask: the transpose itself, run on booleans."""
        return self.transpose(mask, *xs)

    def _operands(self, xs: Sequence[Any]) -> int:
        return len(xs) if self.linear is None else self.linear

    def nonnegative(self, *known: bool) -> bool:
        return self.structural and all(known[: self._operands(known)])

    def bounded(self, *known: bool) -> bool:
        return self.structural and not self.adds and all(known[: self._operands(known)])

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        count = self._operands(xs)
        cts = _several(self.transpose(ct, *xs), count)
        masks: Sequence[Mask] = [None] * count
        if mask is not None and self.structural:
            masks = [_as_mask(m) for m in _several(self.transpose_mask(mask, *xs), count)]
        pulled: list[Pulled] = [
            (cast_back(c, x), m) if want and c is not None else None
            for c, m, x, want in zip(cts, masks, xs, wanted, strict=False)
        ]
        return pulled + [None] * (len(xs) - count)

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        count = self._operands(xs)
        if all(t is None for t in ts[:count]):
            return None
        operands = [F.zeros_like(x) if t is None else t for t, x in zip(ts[:count], xs[:count], strict=True)]
        return make(self, *operands, *xs[count:])


def cast_back(ct: Tensor, x: Tensor) -> Tensor:
    """A cotangent in the dtype of its operand; a complex one for a real operand keeps its real part."""
    if is_complex(ct.dtype) and not is_complex(x.dtype):
        ct = F.real(ct)
    return cast(ct, x.dtype)


def _several(value: Any, count: int) -> Sequence[Any]:
    return [value] if isinstance(value, Tensor) or (value is None and count == 1) else value


def _as_mask(m: Tensor | None) -> Mask:
    return m if m is None or m.dtype == np.bool_ else F.not_equal(m, 0)


class Multilinear(Primitive):
    """Linear in each operand while the others are held."""

    def transpose(self, i: int, ct: Tensor, *xs: Tensor) -> Tensor:
        """The cotangent of operand `i`."""
        raise TypeError(f"{self.name} has no transpose")

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        return [
            (cast_back(self.transpose(i, ct, *xs), x), None) if want else None
            for i, (x, want) in enumerate(zip(xs, wanted, strict=True))
        ]

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        terms = [make(self, *xs[:i], t, *xs[i + 1 :]) for i, t in enumerate(ts) if t is not None]
        total = None
        for term in terms:
            total = term if total is None else total + term
        return total


class General(Primitive):
    """Everything else: vjp and jvp as written."""

    def vjp(self, ct: Any, y: Tensor, *xs: Tensor) -> Sequence[Tensor | None]:
        """The cotangent of each operand, or None. For an op with several outputs `ct` is a tuple."""
        raise TypeError(f"{self.name} has no vjp")

    def jvp(self, ts: Sequence[Tensor | None], y: Tensor, *xs: Tensor) -> Any:
        """The tangent of the result (a tuple for several outputs) from those of the operands, where None is zero."""
        raise TypeError(f"{self.name} has no jvp")

    def masks(self, mask: Mask, y: Tensor, *xs: Tensor) -> Sequence[Mask]:
        """The mask of each operand, given that of the result: None where the op stops masks and selects nothing."""
        return [None] * len(xs)

    def pullback(self, ct: Any, mask: Mask, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]) -> list[Pulled]:
        return [
            (cast_back(c, x), m) if want and c is not None else None
            for c, m, x, want in zip(self.vjp(ct, y, *xs), self.masks(mask, y, *xs), xs, wanted, strict=True)
        ]

    def pushforward(self, ts: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]) -> Any:
        return self.jvp(ts, y, *xs)
