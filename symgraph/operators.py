"""Dunders and NumPy's methods on tensors: each is one call of the NumPy-named function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .core import Tensor, describe, format_shape
from .dims import Dim, Size
from .ops.late import F
from .provenance import set_name
from .substitutes import called_from

if TYPE_CHECKING:
    from .ops.indexing import At


def _method(name: str) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **options: Any) -> Any:
        return getattr(F, name)(self, *args, **options)

    method.__name__ = name
    method.__doc__ = f"`symgraph.{name}` of this tensor."
    return method


class Operators:
    """What a `Tensor` can do; mixed into it when symgraph is imported."""

    __slots__ = ()
    __hash__ = object.__hash__
    if TYPE_CHECKING:
        aval: Any
        shape: Any
        dtype: Any
        ndim: Any

    # Arithmetic
    def __add__(self, other: Any) -> Tensor:
        return _binary(F.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary(F.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _binary(F.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary(F.subtract, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _binary(F.multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary(F.multiply, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _binary(F.divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary(F.divide, other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return _binary(F.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _binary(F.floor_divide, other, self)

    def __mod__(self, other: Any) -> Tensor:
        return _binary(F.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return _binary(F.remainder, other, self)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return F.divmod(self, other)

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return F.divmod(other, self)

    def __pow__(self, other: Any) -> Tensor:
        if type(other) is int and other == 2 and self.dtype == np.bool_:
            return F.square(self)  # int8, as NumPy's operator but not its np.power
        return _binary(F.power, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _binary(F.power, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return _binary(F.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _binary(F.matmul, other, self)

    def __neg__(self) -> Tensor:
        return F.negative(self)

    def __pos__(self) -> Tensor:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Tensor:
        return F.absolute(self)

    def __round__(self, decimals: int = 0) -> Tensor:
        return F.round(self, decimals)

    # Comparison is elementwise; `is` compares expressions
    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _binary(F.equal, self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _binary(F.not_equal, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _binary(F.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return _binary(F.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _binary(F.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _binary(F.greater_equal, self, other)

    # Logic and bits
    def __and__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_and, self, other)

    def __rand__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_and, other, self)

    def __or__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_or, self, other)

    def __ror__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_or, other, self)

    def __xor__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_xor, self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_xor, other, self)

    def __lshift__(self, other: Any) -> Tensor:
        return _binary(F.left_shift, self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return _binary(F.left_shift, other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return _binary(F.right_shift, self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return _binary(F.right_shift, other, self)

    def __invert__(self) -> Tensor:
        return F.logical_not(self) if self.dtype == np.bool_ else F.invert(self)

    # Indexing
    def __getitem__(self, key: Any) -> Tensor:
        return F.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(f"{describe(self)} is immutable: write x = x.at[...].set(value) in place of x[...] = value")

    @property
    def at(self) -> At:
        """`x.at[index].set(v)`, `.add(v)`: a copy of x changed at the index."""
        return F.At(self)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        size = self.shape[0]
        if not isinstance(size, int):
            raise TypeError(
                f"len() of {describe(self)}: {size} is known only when the function is called; use x.shape[0]"
            )
        return size

    def __iter__(self) -> Any:
        # Errors come with the first element, not with the iterator: np.concatenate(x) hides a TypeError of the latter
        if self.ndim == 0:
            raise TypeError(f"iteration over {describe(self)}, a 0-d tensor")
        size = self.shape[0]
        if not isinstance(size, int):
            raise TypeError(
                f"iteration over {describe(self)}: {size} is known only when the function is called. Compute with all of "
                "axis 0 at once (sum(x, axis=0), reshape), apply a function to each row with vmap(f)(x), or give the axis a "
                "fixed size"
            )
        yield from [self[i] for i in range(size)]

    __contains__ = None

    # A node has no value
    def __bool__(self) -> bool:
        raise TypeError(
            f"the truth of {describe(self)} is not known while the graph is built: choose with where(condition, a, b) in "
            "place of `if`, and combine conditions with & | ~ in place of and, or, not"
        )

    def __float__(self) -> float:
        raise TypeError(_no_value(self, "float()"))

    def __int__(self) -> int:
        raise TypeError(_no_value(self, "int()"))

    def __complex__(self) -> complex:
        raise TypeError(_no_value(self, "complex()"))

    def __index__(self) -> int:
        raise TypeError(_no_value(self, "use as a Python index"))

    def __array__(self, *args: Any, **options: Any) -> Any:
        caller = called_from()
        if not caller.startswith("scipy."):
            lists = "; a list of tensors becomes one tensor with stack([x, y])"
            raise TypeError(_no_value(self, "conversion to a NumPy array" + (caller and f" by {caller}")) + lists)
        from .numpy_api import refuse

        refuse(caller, self)  # type: ignore[arg-type]

    def item(self) -> Any:
        """Not available: a tensor has no value."""
        raise TypeError(_no_value(self, "item()"))

    # NumPy's attributes and methods
    @property
    def T(self) -> Tensor:
        """The transpose: all axes reversed."""
        return F.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The matrix transpose: the last two axes exchanged."""
        return F.matrix_transpose(self)

    @property
    def size(self) -> Size:
        """The number of elements, an int or a Dim."""
        return F.size(self)

    @property
    def real(self) -> Tensor:
        """The real part."""
        return F.real(self)

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""
        return F.imag(self)

    # Methods that are the function of the same name with the tensor as its first argument
    sum = _method("sum")
    prod = _method("prod")
    mean = _method("mean")
    max = _method("max")
    min = _method("min")
    argmax = _method("argmax")
    argmin = _method("argmin")
    argsort = _method("argsort")
    any = _method("any")
    all = _method("all")
    var = _method("var")
    std = _method("std")
    cumsum = _method("cumsum")
    cumprod = _method("cumprod")
    ptp = _method("ptp")
    ravel = _method("ravel")
    squeeze = _method("squeeze")
    swapaxes = _method("swapaxes")
    dot = _method("dot")
    trace = _method("trace")
    diagonal = _method("diagonal")
    clip = _method("clip")
    round = _method("round")
    take = _method("take")
    repeat = _method("repeat")
    conj = _method("conj")
    conjugate = _method("conjugate")

    def astype(self, dtype: Any) -> Tensor:
        """The same values in another dtype."""
        return F.astype(self, dtype)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return F.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order, reversed unless told."""
        order = axes[0] if len(axes) == 1 and (axes[0] is None or not isinstance(axes[0], int)) else axes or None
        return F.transpose(self, order)

    def flatten(self) -> Tensor:
        """All elements along one axis."""
        return F.ravel(self)

    def copy(self) -> Tensor:
        """The tensor itself, which is immutable."""
        return self  # type: ignore[return-value]

    def __repr__(self) -> str:
        return (
            f"Tensor({describe(self)})"
            if not isinstance(self.aval, tuple)
            else f"Tensor({describe(self)}, several outputs)"
        )

    def __str__(self) -> str:
        from .printing import to_text

        return repr(self) if isinstance(self.aval, tuple) else to_text(self)

    def _repr_latex_(self) -> str | None:
        """The formula, for notebooks; None where there is none to show, and then the text is shown."""
        from .typeset import notebook

        try:
            return notebook(self)  # type: ignore[arg-type]
        except Exception:  # a picture of a value must not hide the value
            return None

    def _repr_svg_(self) -> str | None:
        """The graph as a picture, for notebooks; None where it is large or there is no program to draw it."""
        from .viz.display import svg

        return svg(self)

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(_no_value(self, f"formatting with {spec!r}"))
        return str(self)

    def __getattr__(self, name: str) -> Any:
        """Called for what a tensor does not have: the names of other libraries are told their names here."""
        if not name.startswith("_") and callable(getattr(F, name, None)):
            cure = f"write symgraph.{name}(x)"
        else:
            cure = _CURES.get(name, "")
        raise AttributeError(f"a tensor has no attribute {name!r}{cure and ': ' + cure}", name=name, obj=self)


_VALUE = "it is a node of a graph and has no value; compute it with evaluate(x, {symbol: value})"
_CURES = {
    "eval": _VALUE,
    "numpy": _VALUE,
    "tolist": _VALUE,
    "value": _VALUE,
    "block_until_ready": _VALUE,
    "grad": "gradients are tensors of their own, grad(loss, x)",
    "backward": "gradients are tensors of their own, grad(loss, x)",
    "detach": "write stop_gradient(x)",
    "view": "write x.reshape(...), or x.astype(dtype)",
    "unsqueeze": "write x[..., None] or expand_dims(x, axis)",
    "permute": "write x.transpose(...)",
    "sort": "it is immutable, and is not changed in place; write sort(x)",
    "fill": "it is immutable; write full_like(x, value)",
    "nonzero": "the number of such places is not known now; choose values with where(condition, x, y)",
}


def _no_value(x: Any, what: str) -> str:
    return (
        f"{what} of {describe(x)}: a tensor is a node of a graph and has no value; compute it with "
        "evaluate(x, {symbol: value}) or compile it with function([...], x)"
    )


def _binary(function: Any, left: Any, right: Any) -> Tensor:
    for x in (left, right):
        if not isinstance(x, Tensor) and (isinstance(x, str) or x is None):
            return NotImplemented
    return function(left, right)


def _as_number(symbolic: Any, name: str) -> Any:
    """An operator of sizes that, beside what is no size (a float, an array), computes with the size as a weak int."""

    def operator(self: Dim, other: Any) -> Any:
        found = symbolic(self, other) if symbolic else NotImplemented
        if found is NotImplemented and isinstance(other, int | float | complex | np.number | np.ndarray | Dim):
            return getattr(F.dim_value(self), name)(other)
        return found

    return operator


def _install() -> None:
    for stem in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        for name in (f"__{stem}__", f"__r{stem}__"):
            setattr(Dim, name, _as_number(getattr(Dim, name, None), name))
    for name, member in vars(Operators).items():
        if name not in ("__module__", "__dict__", "__weakref__", "__doc__", "__slots__", "__hash__"):
            setattr(Tensor, name, member)


def named(x: Any, name: str) -> Tensor:
    """`x` itself, remembered under the user's name: in the generated source, the drawings and the messages.

    A tensor that depends on no symbol or parameter is shared between models, so it is given a private twin to carry
    the name.

    >>> from symgraph import named, symbol, tanh
    >>> h = named(tanh(symbol("x")), "hidden")
    >>> h.name
    'hidden'
    """
    from .core import make_fresh
    from .ops.base import as_tensor

    if not isinstance(name, str) or not name:
        raise TypeError(f"a name must be a non-empty string, not {name!r}")
    node = as_tensor(x)
    if not node.leafy:
        node = make_fresh(node.op, *node.inputs)
    set_name(node, name)
    return node


_install()
__all__ = ["format_shape", "named"]
