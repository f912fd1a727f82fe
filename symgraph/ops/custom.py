"""`custom_vjp` and `custom_jvp`: functions whose derivative is a rule that the user gives.

The function and its rule are traced at once to closed bodies over the same operands, so the op (`symgraph.ops.rules`) is
plain data. What they use from outside becomes an operand that is not differentiated.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..core import (
    Body,
    Bound,
    ShapedArray,
    Symbol,
    Tensor,
    describe,
    format_shape,
    located_error,
    make,
    make_fresh,
    recording,
    substitute_all,
)
from ..dims import same_shape
from ..dtypes import is_complex, is_inexact
from ..errors import DTypeError, GradientError, ShapeError
from ..pytree import Rebuild, flatten, paths, tree_map
from .base import as_tensor, cast, cast_back, strong
from .control import captured
from .late import F
from .rules import Again, Custom, CustomJVP, CustomVJP, items

__all__ = ["custom_jvp", "custom_vjp"]


class _Frame:
    """A rule that is being traced, and what a call of its function in it is."""

    def __init__(self, owner: WithRule, signature: Any, avals: tuple[ShapedArray, ...], restore: Rebuild) -> None:
        self.owner, self.signature, self.avals, self.restore = owner, signature, avals, restore


class _Tracing(threading.local):
    def __init__(self) -> None:
        self.frames: list[_Frame] = []


_tracing = _Tracing()


class WithRule:
    """A function whose derivative is given by a rule; see `custom_vjp` and `custom_jvp`."""

    kind: type[Custom]
    _method: str

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"{type(self).__name__} takes a function, not {describe(function)}")
        self.function = function
        functools.update_wrapper(self, function)
        self.of = getattr(function, "__name__", type(function).__name__)

    def __call__(self, /, *args: Any, **by_name: Any) -> Any:
        args = self._positional(args, by_name)
        leaves, restore = flatten(args)
        operands = [strong(x) for x in leaves if isinstance(x, Tensor)]
        if not operands:
            return self.function(*args)
        self._ready()
        signature = (
            [x.aval for x in operands],
            paths(args),
            [None if isinstance(x, Tensor) else (type(x), id(x)) for x in leaves],
        )
        for frame in reversed(_tracing.frames):
            if frame.owner is self and frame.signature == signature:
                if frame is not _tracing.frames[-1]:
                    rule = f"the rule of {self.of} uses {self.of} within the rule of {_tracing.frames[-1].owner.of}"
                    raise located_error(GradientError, self.kind.name, operands, f"{rule}. Write it without")
                return frame.restore(items(make(Again(frame.avals), *operands)))
        symbols = [make_fresh(Symbol("operand", ShapedArray(x.shape, x.dtype))) for x in operands]
        fresh = iter(symbols)
        arguments = restore([next(fresh) if isinstance(x, Tensor) else x for x in leaves])
        with recording() as made:
            results, rebuilt = flatten(self.function(*arguments))
            outputs = [strong(r) for r in results]
            if not outputs:
                raise located_error(ShapeError, self.of, operands, "the function returns no tensor")
            seeds: list[Tensor] = []
            avals = tuple(ShapedArray(y.shape, y.dtype) for y in outputs)
            with _frame(_Frame(self, signature, avals, rebuilt)):
                ruled = self._rule(arguments, symbols, outputs, rebuilt, seeds)
        outer = captured([*outputs, *ruled], made, {*symbols, *seeds})
        inside = [*symbols, *outer, *seeds]
        bound = {x: make(Bound(i, x.shape, x.dtype)) for i, x in enumerate(inside)}
        types = [x.aval for x in inside]
        primal = Body(types[: len(types) - len(seeds)], substitute_all(outputs, bound))
        rule_body = Body(types, substitute_all(ruled, bound))
        op = self.kind(primal, rule_body, len(symbols), self.of)
        return rebuilt(items(make(op, *operands, *outer)))

    def _positional(self, args: tuple[Any, ...], by_name: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, as the rule receives them."""
        if not by_name:
            return args
        bound = inspect.signature(self.function).bind(*args, **by_name)
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(
                f"{self.of}: {', '.join(bound.kwargs)} can be given by name only, which the rule cannot see"
            )
        return bound.args

    def _ready(self) -> None:
        raise NotImplementedError

    def _called(self, given: Callable[..., Any], args: Sequence[Any], spelled: str, symbols: list[Tensor]) -> Any:
        """What a function of the rule returns, which must take these arguments."""
        try:
            inspect.signature(given).bind(*args)
        except ValueError:  # Python does not know what it takes
            pass
        except TypeError as error:
            role = spelled.partition("(")[0]
            rule = f"the {role} that was given, {describe(given)}, does not take {len(args)} arguments ({error})"
            what = f"{type(self).__name__} of {self.of}"
            raise located_error(GradientError, what, symbols, f"{rule}. It is called as {spelled}") from None
        return given(*args)

    def _rule(
        self, arguments: Any, symbols: list[Tensor], outputs: list[Tensor], rebuilt: Rebuild, seeds: list[Tensor]
    ) -> list[Tensor]:
        """What the rule gives for seeds, which are appended to `seeds`: one for each that has a derivative."""
        raise NotImplementedError

    def _seeds(self, primals: Sequence[Tensor], seeds: list[Tensor], name: str) -> list[Tensor | None]:
        """A fresh symbol for each primal that has derivatives, None for the others."""
        found: list[Tensor | None] = []
        for x in primals:
            found.append(
                make_fresh(Symbol(name, ShapedArray(x.shape, x.dtype)))
                if isinstance(x, Tensor) and is_inexact(x.dtype)
                else None
            )
        seeds += [s for s in found if s is not None]
        return found

    def _fitting(self, given: Any, like: Tensor, what: str) -> Tensor:
        """What a rule returned for `like`, checked; None is zero."""
        if given is None:
            return F.zeros(like.shape, like.dtype)
        g = as_tensor(given)
        if not same_shape(g.shape, like.shape):
            rule = (
                f"{what} has the shape {format_shape(g.shape)}. It must have that of what it belongs to, "
                f"{format_shape(like.shape)}: use sum or broadcast_to"
            )
            raise located_error(ShapeError, f"the rule of {self.of}", [], rule)
        if not is_inexact(g.dtype) and not g.aval.weak and g.op.name != "full":
            rule = f"{what} is {g.dtype}. It must be {like.dtype}, a derivative"
            raise located_error(DTypeError, f"the rule of {self.of}", [], rule)
        return cast_back(g, like) if is_complex(g.dtype) else cast(g, like.dtype)


class custom_vjp(WithRule):
    """A function with a rule of yours for reverse mode: `defvjp(forward, backward)`.

        out, residuals  = forward(*args)              out as the function returns it
        cotangents      = backward(residuals, ct)     one for each argument, nested like it; None for zero

    `residuals` is anything that `backward` needs. `ct` has the nesting, shapes and dtypes of the result (None for results
    that are int or bool). Arguments are tensors and nestings of list, tuple and dict; anything else is passed on as it is.
    The value is always the function's own; what it has in common with `forward` is computed once. Forward mode is the
    transpose of `backward`, so the rule must be linear in `ct` there, else `GradientError`; higher orders differentiate
    the rule. Tensors from outside may be used, but not differentiated (`GradientError`). `ShapeError` or `DTypeError` for
    cotangents that do not fit. Called with no tensor, it is the function itself.

    Names and meaning are those of JAX (Bradbury et al., 2018).

    >>> import symgraph as sg
    >>> @custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, ct: (sg.clip(ct, -1, 1),))
    >>> x = sg.symbol("x")
    >>> sg.evaluate(sg.grad(10 * clipped(x), x), {x: 3.0})
    np.float64(1.0)
    """

    kind = CustomVJP
    _forward: Callable[..., Any] | None = None
    _backward: Callable[..., Any] | None = None

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Give the rule: `forward(*args) -> (out, residuals)` and `backward(residuals, ct) -> cotangents`."""
        self._forward, self._backward = forward, backward

    def _ready(self) -> None:
        if self._forward is None or self._backward is None:
            raise GradientError(
                f"custom_vjp: {self.of} has no rule yet; give it with {self.of}.defvjp(forward, backward)"
            )

    def _rule(
        self, arguments: Any, symbols: list[Tensor], outputs: list[Tensor], rebuilt: Rebuild, seeds: list[Tensor]
    ) -> list[Tensor]:
        assert self._forward is not None and self._backward is not None
        found = self._called(self._forward, arguments, "forward(*args)", symbols)
        if not isinstance(found, tuple) or len(found) != 2:
            raise located_error(
                GradientError, f"custom_vjp of {self.of}", symbols,
                f"forward must return (out, residuals), not {describe(found)}",
            )  # fmt: skip
        self._same_as_primal(found[0], outputs, rebuilt)
        cts = self._seeds(outputs, seeds, "ct")
        pulled = self._called(self._backward, (found[1], rebuilt(cts)), "backward(residuals, ct)", symbols)
        if not isinstance(pulled, tuple | list) or len(pulled) != len(arguments):
            count = f"{len(pulled)} values" if isinstance(pulled, tuple | list) else describe(pulled)
            raise located_error(
                GradientError, f"custom_vjp of {self.of}", symbols,
                f"backward must return a tuple of {len(arguments)}, one cotangent for each argument, not {count}",
            )  # fmt: skip
        found_for: list[Tensor] = []
        for position, (argument, given) in enumerate(zip(arguments, pulled, strict=True)):
            where = paths(argument)
            leaves = [None] * len(where) if given is None else flatten(given)[0]
            if given is not None and paths(given) != where:
                raise located_error(
                    GradientError, f"custom_vjp of {self.of}", symbols,
                    f"the cotangent of argument {position} must be nested like the argument, not {_skeleton(given)} for "
                    f"{_skeleton(argument)}",
                )  # fmt: skip
            for x, leaf, path in zip(flatten(argument)[0], leaves, where, strict=True):
                if isinstance(x, Tensor) and is_inexact(x.dtype):
                    found_for.append(self._fitting(leaf, x, f"the cotangent of argument {position}{path}"))
                elif isinstance(x, Tensor) and leaf is not None:
                    rule = f"argument {position}{path} is {x.dtype}, a constant of differentiation. Return None for it"
                    raise located_error(GradientError, f"custom_vjp of {self.of}", symbols, rule)
        return found_for

    def _same_as_primal(self, out: Any, outputs: list[Tensor], rebuilt: Rebuild) -> None:
        expected = rebuilt(outputs)
        leaves = [strong(leaf) for leaf in flatten(out)[0]] if paths(out) == paths(expected) else []
        alike = [same_shape(a.shape, b.shape) and a.dtype == b.dtype for a, b in zip(leaves, outputs, strict=False)]
        if len(leaves) != len(outputs) or not all(alike):
            raise located_error(
                GradientError, f"custom_vjp of {self.of}", [],
                f"forward must return first what the function returns, {_skeleton(expected)}, not {_skeleton(out)}",
            )  # fmt: skip


class custom_jvp(WithRule):
    """A function with a rule of yours for forward mode: `defjvp(rule)`.

        out, tangent_out = rule(primals, tangents)

    `primals` and `tangents` are tuples with one entry for each argument, nested like it; `out` and `tangent_out` are nested
    like the result. The tangent of an argument that is no real or complex tensor is None, and so is one that is zero in
    what the rule returns. Reverse mode is the transpose of the rule, which must be linear in the tangents, else
    `GradientError`; higher orders differentiate the rule. Everything else is as for `custom_vjp`.

    Names and meaning are those of JAX (Bradbury et al., 2018).

    >>> import symgraph as sg
    >>> @custom_jvp
    ... def log1pexp(x):
    ...     return sg.log(1 + sg.exp(x))
    >>> log1pexp.defjvp(lambda xs, ts: (log1pexp(*xs), ts[0] * (1 - 1 / (1 + sg.exp(xs[0])))))
    >>> x = sg.symbol("x")
    >>> sg.evaluate(sg.grad(log1pexp(x), x), {x: 0.0})
    np.float64(0.5)
    """

    kind = CustomJVP
    _rule_given: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> None:
        """Give the rule: `rule(primals, tangents) -> (out, tangent_out)`."""
        self._rule_given = rule

    def _ready(self) -> None:
        if self._rule_given is None:
            raise GradientError(f"custom_jvp: {self.of} has no rule yet; give it with {self.of}.defjvp(rule)")

    def _rule(
        self, arguments: Any, symbols: list[Tensor], outputs: list[Tensor], rebuilt: Rebuild, seeds: list[Tensor]
    ) -> list[Tensor]:
        assert self._rule_given is not None
        leaves, restore = flatten(arguments)
        given_to = arguments, restore(self._seeds(leaves, seeds, "t"))
        found = self._called(self._rule_given, given_to, "rule(primals, tangents)", symbols)
        if not isinstance(found, tuple) or len(found) != 2:
            raise located_error(
                GradientError, f"custom_jvp of {self.of}", symbols,
                f"the rule must return (out, tangent_out), not {describe(found)}",
            )  # fmt: skip
        expected = rebuilt(outputs)
        where = paths(expected)
        given = [None] * len(where) if found[1] is None else flatten(found[1])[0]
        if found[1] is not None and paths(found[1]) != where:
            raise located_error(
                GradientError, f"custom_jvp of {self.of}", symbols,
                f"tangent_out must be nested like the result, {_skeleton(expected)}, not {_skeleton(found[1])}",
            )  # fmt: skip
        return [
            self._fitting(t, y, f"the tangent of the result{path}")
            for y, t, path in zip(outputs, given, where, strict=True)
            if is_inexact(y.dtype)
        ]


@contextmanager
def _frame(frame: _Frame) -> Iterator[None]:
    _tracing.frames.append(frame)
    try:
        yield
    finally:
        _tracing.frames.pop()


def _skeleton(tree: Any) -> str:
    """The nesting with the types of its leaves: `{'a': (3,) float64}`."""
    return str(tree_map(_Shown, tree))


class _Shown:
    def __init__(self, leaf: Any) -> None:
        self.leaf = leaf

    def __repr__(self) -> str:
        return str(self.leaf.aval) if isinstance(self.leaf, Tensor) else describe(self.leaf)
