"""From SymPy: an expression read bottom-up into a graph, each part once.

A product with negative powers is read as a quotient and a sum with negative terms as a difference, as a person writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import Any

import numpy as np

from .core import Tensor, describe
from .errors import SymgraphError
from .ops.base import as_tensor
from .ops.late import F


def read(expression: Any, known: Mapping[Any, Any]) -> Any:
    """One expression, Matrix or Array as a tensor (or a number, if it has no symbol and is a scalar)."""
    import sympy

    if isinstance(expression, bool | int | float | complex | Tensor):
        return as_tensor(expression)
    if hasattr(expression, "shape") and hasattr(expression, "tolist"):
        flat = [read(e, known) for e in np.array(expression.tolist(), object).reshape(-1)]
        return F.reshape(F.stack(flat), tuple(map(int, expression.shape)))
    if not isinstance(expression, sympy.Basic):
        raise TypeError(f"from_sympy: expected a SymPy expression, not {type(expression).__name__} {expression!r:.60}")
    names = _by_name(known)
    values: dict[Any, Any] = {}
    stack = [expression]
    while stack:
        e = stack[-1]
        pending = [p for p in _parts(e) if p not in values] if e not in values else []
        if pending:
            stack += pending[::-1]
            continue
        if e not in values:
            values[e] = _value(e, values, known, names)
        stack.pop()
    return as_tensor(values[expression])


def _by_name(known: Mapping[Any, Any]) -> dict[str, Any]:
    """What each name stands for: tensors, and the elements of array tensors."""
    names: dict[str, Any] = {}
    for key, value in known.items():
        names[str(key)] = value
    for key, value in known.items():
        if isinstance(value, Tensor) and value.ndim and all(isinstance(n, int) for n in value.shape):
            for place in np.ndindex(*[n for n in value.shape if isinstance(n, int)]):
                names.setdefault("_".join([str(key), *map(str, place)]), (value, place))
    return names


def _parts(e: Any) -> tuple[Any, ...]:
    """The sub-expressions whose values are needed."""
    import sympy

    if isinstance(e, sympy.Piecewise):
        return tuple(p for pair in e.args for p in pair.args)
    return () if e.is_Atom else e.args


def _value(e: Any, values: Mapping[Any, Any], known: Mapping[Any, Any], names: Mapping[str, Any]) -> Any:
    import sympy

    if e.is_Atom:
        return _atom(e, known, names)
    xs = [values[p] for p in _parts(e)]
    if e.is_Add:
        return _sum(e, values)
    if e.is_Mul:
        return _product(e, values)
    if e.is_Pow:
        return _power(e.args[0], e.args[1], values)
    if isinstance(e, sympy.Piecewise):
        return _piecewise(e, values)
    rule = _rules().get(type(e)) or _rules().get(e.func)
    if rule is None:
        raise SymgraphError(
            f"from_sympy: {type(e).__name__} has no counterpart here (in {str(e)[:80]}). Rewrite it in functions that have one "
            "with SymPy's .rewrite or .doit"
        )
    return rule(*xs)


def _atom(e: Any, known: Mapping[Any, Any], names: Mapping[str, Any]) -> Any:
    import sympy

    if isinstance(e, sympy.Symbol):
        found = known.get(e, names.get(e.name))
        if found is None:
            given = ", ".join(map(str, known)) or "none"
            raise SymgraphError(
                f"from_sympy: the symbol {e.name} is not given. Given are: {given}. Add it to `symbols`"
            )
        if isinstance(found, tuple):
            x, place = found
            return x[place]
        if isinstance(found, Tensor) and found.ndim:
            raise SymgraphError(
                f"from_sympy: the symbol {e.name} is {describe(found)}, an array; SymPy's symbols are scalars. Its elements are "
                f"{e.name}_{'_'.join('0' * found.ndim)} and so on"
            )
        return found
    if e is sympy.true or e is sympy.false:
        return bool(e)
    if e is sympy.nan:
        return float("nan")
    if e is sympy.I:
        return 1j
    if e.is_Integer:
        return _whole(e)
    if e.is_number and not e.is_extended_real and e is not sympy.zoo:
        return complex(e)
    if e.is_number and e is not sympy.zoo:
        return float(e)
    raise SymgraphError(f"from_sympy: {e} is no number")


def _whole(n: Any) -> int | float:
    """A whole number, as a float if an int64 cannot hold it."""
    return int(n) if abs(int(n)) < 2**63 else float(n)


def _sum(e: Any, values: Mapping[Any, Any]) -> Any:
    """Terms in SymPy's printed order; one with a negative coefficient is subtracted."""
    total: Any = None
    for term in e.as_ordered_terms():
        negative = term.could_extract_minus_sign() and term.as_coeff_Mul()[0].is_negative
        if total is None:
            total = values[term] if term in values else _product(term, values)
        elif negative:
            total = total - _product(-term, values)
        else:
            total = total + (values[term] if term in values else _product(term, values))
    return total


def _product(e: Any, values: Mapping[Any, Any]) -> Any:
    """Numerator over denominator; a coefficient of -1 is a sign."""
    if e in values:
        return values[e]
    if not e.is_Mul:
        return _atom(e, {}, {}) if e.is_Atom else _factor(e, values)
    above: list[Any] = []
    below: list[Any] = []
    negative = False
    for factor in e.as_ordered_factors():
        if factor.is_Rational:
            negative ^= bool(factor.is_negative)
            top, bottom = abs(_whole(factor.p)), _whole(factor.q)
            above += [top] if top != 1 else []
            below += [bottom] if bottom != 1 else []
        elif factor.is_Pow and factor.args[1].is_Number and factor.args[1].is_negative:
            below.append(_power(factor.args[0], -factor.args[1], values))
        else:
            above.append(_factor(factor, values))
    made = reduce(_times, above) if above else 1
    if below:
        made = made / reduce(_times, below)
    return -made if negative else made


def _times(a: Any, b: Any) -> Any:
    return a * b


def _factor(e: Any, values: Mapping[Any, Any]) -> Any:
    if e in values:
        return values[e]
    if e.is_Pow:
        return _power(e.args[0], e.args[1], values)
    return _product(e, values) if e.is_Mul else _atom(e, {}, {})


def _power(base: Any, exponent: Any, values: Mapping[Any, Any]) -> Any:
    import sympy

    x = values[base] if base in values else _factor(base, values)
    if exponent.is_Number and exponent.is_negative:
        return 1 / _power(base, -exponent, values)
    if exponent == 1:
        return x
    if exponent == sympy.Rational(1, 2):
        return F.sqrt(x)
    if base == sympy.E:
        return F.exp(values[exponent])
    y = values[exponent] if exponent in values else _atom(exponent, {}, {})
    return F.power(x, y)


def _piecewise(e: Any, values: Mapping[Any, Any]) -> Any:
    import sympy

    pairs = [(pair.args[0], pair.args[1]) for pair in e.args]
    last, condition = pairs[-1]
    made = values[last] if condition is sympy.true else F.where(values[condition], values[last], float("nan"))
    for value, condition in reversed(pairs[:-1]):
        made = F.where(values[condition], values[value], made)
    return made


@cache
def _rules() -> dict[Any, Callable[..., Any]]:
    """By SymPy's function, ours."""
    import sympy as sp

    def several(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        return lambda *xs: reduce(function, xs)

    def bessel(zero: str, one: str, other: str) -> Callable[..., Any]:
        def made(n: Any, x: Any) -> Any:
            name = {0: zero, 1: one}.get(n if isinstance(n, int) else -1)
            return getattr(F, name)(x) if name else getattr(F, other)(n, x)

        return made

    same = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sign", "floor", "erf", "erfc", "erfinv", "gamma",
            "polygamma", "conjugate", "sqrt")  # fmt: skip
    other = {
        "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh",
        "atanh": "arctanh", "Abs": "absolute", "ceiling": "ceil", "loggamma": "gammaln", "digamma": "digamma", "re": "real",
        "im": "imag", "Mod": "remainder", "Not": "logical_not", "Eq": "equal", "Ne": "not_equal", "Lt": "less",
        "Le": "less_equal", "Gt": "greater", "Ge": "greater_equal", "jn": "spherical_jn",
    }  # fmt: skip
    found: dict[Any, Callable[..., Any]] = {getattr(sp, n): getattr(F, n) for n in same}
    found |= {getattr(sp, theirs): getattr(F, ours) for theirs, ours in other.items()}
    return found | {
        sp.log: lambda x, *base: F.log(x) / F.log(base[0]) if base else F.log(x),
        sp.Max: several(F.maximum),
        sp.Min: several(F.minimum),
        sp.And: several(F.logical_and),
        sp.Or: several(F.logical_or),
        sp.Xor: several(F.logical_xor),
        sp.ITE: F.where,
        sp.Heaviside: lambda x, *h: F.heaviside(x, *h or (0.5,)),
        sp.besseli: bessel("i0", "i1", "iv"),
        sp.besselj: bessel("j0", "j1", "jv"),
        sp.sinc: lambda x: F.sinc(x / np.pi),
        sp.sec: lambda x: 1 / F.cos(x),
        sp.csc: lambda x: 1 / F.sin(x),
        sp.cot: lambda x: 1 / F.tan(x),
        sp.sech: lambda x: 1 / F.cosh(x),
        sp.csch: lambda x: 1 / F.sinh(x),
        sp.coth: lambda x: 1 / F.tanh(x),
    }
