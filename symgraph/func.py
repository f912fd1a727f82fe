"""Transforms of Python callables written in NumPy: the same `grad`, `jacobian`, `vmap`, ... for functions, not graphs.

    step = func.jit(func.value_and_grad(loss))
    value, slope = step(weights, batch)

A transformed function called with arrays or numbers is traced once for each signature (the shapes, dtypes and nesting of its
arguments), compiled, and kept; called with tensors it builds the graph, so that transforms nest in any order and any of them
may be used inside a larger graph. While a function is traced its arguments are fresh symbols: what it takes from outside is
held constant, and arguments that are one tensor, or made of each other, are differentiated apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from . import autodiff
from .core import Tensor
from .dtypes import is_inexact
from .errors import GradientError
from .ops.base import as_tensor, strong
from .pytree import flatten, paths
from .staging import MOST_KEPT, Transformed
from .tracing import Argnums, Trace, name_of_function, single

__all__ = [
    "Transformed", "grad", "hessian", "hvp", "jacobian", "jit", "jvp", "laplacian", "taylor", "value_and_grad", "vjp",
    "vmap",
]  # fmt: skip


def jit(f: Callable[..., Any]) -> Transformed:
    """`f`, traced and compiled once for each signature of its arguments.

    >>> import numpy as np
    >>> from symgraph import func
    >>> norm = func.jit(lambda x: np.sqrt(np.sum(x * x)))
    >>> norm(np.array([3.0, 4.0])), "def f(x):" in norm.compiled(np.array([3.0, 4.0])).source
    (np.float64(5.0), True)
    """
    return Transformed(f, "jit", f, traces=False)


def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Transformed:
    """The function that gives the gradient of the real scalar `f(*args)` with respect to the arguments `argnums`.

    An int gives one gradient, nested, shaped and typed like its argument; a tuple gives a tuple of them. Arguments that f
    does not use have gradient 0. With `has_aux`, f returns `(y, aux)` and the result is `(gradient, aux)`.

    Raises `GradientError` for an argument of ints or bools, and for a result that is not one real scalar.

    >>> import numpy as np
    >>> from symgraph import func
    >>> func.grad(lambda x: np.sin(x) * x)(0.0), func.grad(func.grad(lambda x: x**3))(2.0)
    (np.float64(0.0), np.float64(12.0))
    """

    def build(*args: Any, **by_name: Any) -> Any:
        (_, aux), found = _graded("grad", f, argnums, has_aux, args, by_name)
        return (found, aux) if has_aux else found

    return Transformed(f, "grad", build)


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Transformed:
    """The function that gives `f(*args)` and its gradient; with `has_aux`, ((y, aux), gradient). See `grad`."""

    def build(*args: Any, **by_name: Any) -> Any:
        (y, aux), found = _graded("value_and_grad", f, argnums, has_aux, args, by_name)
        return ((y, aux) if has_aux else y), found

    return Transformed(f, "value_and_grad", build)


def _graded(
    transform: str, f: Callable[..., Any], argnums: Argnums, has_aux: bool, args: Any, by_name: dict[str, Any]
) -> Any:
    trace = Trace(transform, f, args, argnums)
    value, aux = trace.value(by_name), None
    if has_aux:
        if not isinstance(value, tuple) or len(value) != 2:
            raise GradientError(f"func.{transform} of {name_of_function(f)}: with has_aux=True it must return (y, aux)")
        value, aux = value
    y = strong(single(trace, value))
    return trace.outside(((y, aux), autodiff.grad(y, trace.wrt, unused="zero")))


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], Any]]:
    """`f(*primals)`, and the function that pulls a cotangent back: a tuple with one cotangent for each primal.

    The cotangent has the nesting and shapes of the result. Called with arrays, the pullback is compiled too, and computes
    what it needs of f again.

    >>> import numpy as np
    >>> from symgraph import func
    >>> y, pullback = func.vjp(lambda a, b: a * b, 2.0, 3.0)
    >>> y, pullback(1.0)
    (np.float64(6.0), (np.float64(3.0), np.float64(2.0)))
    """
    forward, backward = _products(f)
    return forward(*primals), lambda ct: backward(ct, *primals)


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """`f(*primals)` and its derivative along `tangents`, which has one entry for each primal, nested and shaped like it.

    >>> import numpy as np
    >>> from symgraph import func
    >>> func.jvp(lambda a, b: a * b, (2.0, 3.0), (1.0, 0.0))
    (np.float64(6.0), np.float64(3.0))
    """
    if not isinstance(primals, list | tuple) or not isinstance(tangents, list | tuple) or len(primals) != len(tangents):
        raise TypeError("func.jvp takes the primals as a tuple and the tangents as another, one for each primal")
    found: tuple[Any, Any] = _pushed(f)(tuple(primals), tuple(tangents))
    return found


def _remembered(make: Callable[[Callable[..., Any]], Any]) -> Callable[[Callable[..., Any]], Any]:
    """What is made of a function, kept for the functions used last, so that calling again does not compile again."""
    kept = functools.lru_cache(maxsize=MOST_KEPT)(make)

    def found(f: Callable[..., Any]) -> Any:
        try:
            hash(f)
        except TypeError:
            return make(f)
        return kept(f)

    return found


@_remembered
def _products(f: Callable[..., Any]) -> tuple[Transformed, Transformed]:
    def build(ct: Any, *primals: Any) -> Any:
        trace = Trace("vjp", f, primals, None)
        leaves, restore = flatten(trace.value({}))
        outputs = restore([strong(as_tensor(leaf)) for leaf in leaves])
        seeds = [_held(c) for c in flatten(ct)[0]]
        inexact = [(y, c) for y, c in zip(flatten(outputs)[0], seeds, strict=False) if is_inexact(y.dtype)]
        if len(seeds) != len(leaves) or paths(ct) != paths(outputs):
            raise GradientError(
                f"func.vjp of {name_of_function(f)}: the cotangent must be nested like the result, with {len(leaves)} parts, not "
                f"{len(seeds)}"
            )
        found = autodiff.vjp([y for y, _ in inexact], trace.wrt, [c for _, c in inexact], unused="zero")
        return trace.outside(found)

    return jit(f), Transformed(f, "vjp", build)


@_remembered
def _pushed(f: Callable[..., Any]) -> Transformed:
    def build(primals: Any, tangents: Any) -> Any:
        trace = Trace("jvp", f, primals, None)
        leaves, restore = flatten(trace.value({}))
        outputs = [strong(as_tensor(leaf)) for leaf in leaves]
        if paths(tangents) != paths(primals):
            raise GradientError(f"func.jvp of {name_of_function(f)}: the tangents must be nested like the primals")
        ts = [_held(t) for t in flatten(tangents)[0]]
        found = autodiff.jvp(outputs, list(flatten(trace.arguments)[0]), ts)
        return trace.outside((restore(outputs), restore(found)))

    return Transformed(f, "jvp", build)


def _held(x: Any) -> Any:
    """A cotangent or tangent as a tensor."""
    return as_tensor(x)


def jacobian(f: Callable[..., Any], argnums: Argnums = 0) -> Transformed:
    """The function that gives the dense Jacobian dy[i]/dx[j], of shape y.shape + x.shape.

    Nested as the result of f outside and, within, as the arguments `argnums`.

    >>> import numpy as np
    >>> from symgraph import func
    >>> func.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    def build(*args: Any, **by_name: Any) -> Any:
        from . import jacobian as of_graph

        trace = Trace("jacobian", f, args, argnums)
        leaves, restore = flatten(trace.value(by_name))
        return trace.outside(_dense(of_graph(restore([strong(as_tensor(leaf)) for leaf in leaves]), trace.wrt)))

    return Transformed(f, "jacobian", build)


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Transformed:
    """The function that gives the dense Hessian of the real scalar `f(*args)`, of shape x.shape + x.shape.

    Nested blocks for nested arguments, or for several `argnums`.

    >>> import numpy as np
    >>> from symgraph import func
    >>> func.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """

    def build(*args: Any, **by_name: Any) -> Any:
        from . import hessian as of_graph

        trace = Trace("hessian", f, args, argnums)
        y = strong(single(trace, trace.value(by_name)))
        return trace.outside(_dense(of_graph(y, trace.wrt)))

    return Transformed(f, "hessian", build)


def hvp(f: Callable[..., Any], argnums: Argnums = 0) -> Transformed:
    """The function `(*args, v)` that gives the Hessian of the real scalar `f(*args)` times `v`, nested like the arguments.

    `v`, the last argument by position, is nested and shaped like the argument `argnums` (a tuple for several).

    >>> import numpy as np
    >>> from symgraph import func
    >>> func.hvp(lambda x: (x**3).sum())(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """

    def build(*args: Any, **by_name: Any) -> Any:
        if not args:
            raise TypeError(f"func.hvp of {name_of_function(f)} takes its arguments and, last, the vector v")
        *primals, v = args
        trace = Trace("hvp", f, tuple(primals), argnums)
        y = strong(single(trace, trace.value(by_name)))
        return trace.outside(autodiff.hvp(y, trace.wrt, v))

    return Transformed(f, "hvp", build)


def laplacian(f: Callable[..., Any], argnums: int = 0) -> Transformed:
    """The function that gives the Laplacian of `f(*args)`, the trace of its Hessian, with respect to one argument."""

    def build(*args: Any, **by_name: Any) -> Any:
        from . import laplacian as of_graph  # type: ignore[attr-defined,unused-ignore]

        trace = Trace("laplacian", f, args, argnums)
        return trace.outside(of_graph(strong(single(trace, trace.value(by_name))), trace.wrt))

    return Transformed(f, "laplacian", build)


def taylor(f: Callable[..., Any], order: int) -> Transformed:
    """The function `(x, direction)` that gives the Taylor coefficients of f(x + t direction) in t, up to `order`.

    >>> import numpy as np
    >>> from symgraph import func
    >>> [float(c) for c in func.taylor(np.exp, 2)(0.0, 1.0)]
    [1.0, 1.0, 0.5]
    """

    def build(x: Any, direction: Any) -> Any:
        from .taylor import taylor as of_graph

        trace = Trace("taylor", f, (x,), 0)
        return trace.outside(of_graph(strong(single(trace, trace.value({}))), trace.wrt, _held(direction), order))

    return Transformed(f, "taylor", build)


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Transformed:
    """`f` on rows as a function on arrays of rows, without a loop: see `symgraph.vmap`.

    >>> import numpy as np
    >>> from symgraph import func
    >>> func.vmap(func.grad(lambda x: x**2))(np.array([1.0, 2.0, 3.0]))
    array([2., 4., 6.])
    """

    def build(*args: Any, **by_name: Any) -> Any:
        from .batching import vmap as of_graph

        return of_graph(f, in_axes, out_axes)(*args, **by_name)

    return Transformed(f, "vmap", build, traces=False)


def _dense(tree: Any) -> Any:
    """Structured results as plain tensors."""
    if isinstance(tree, dict):
        return {k: _dense(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([_dense(v) for v in tree])
    return tree if isinstance(tree, Tensor) else tree.dense()
