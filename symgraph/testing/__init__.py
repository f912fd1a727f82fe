"""Checks that an op, or any function of tensors, is what it says: value, type, derivatives, generated source.

    check_grads(function, *arrays)      forward mode, reverse mode and central differences agree, to any order
    check_op(record)                    one op against NumPy, its type rule, its derivatives, its sources and SymPy
    check_batching(function, arrays)    vmap of a function against a loop over rows

A derivative is tried in random directions: with J = dy/dx, a tangent t and a cotangent c,

    J t      by jvp                     against   (-y(x + 2ht) + 8y(x + ht) - 8y(x - ht) + y(x - 2ht)) / 12h
    Re <c, J t>                         against   Re <vjp(c), t>

and then the same for J t and for vjp(c) as functions of x, which are the second order. The numbers come from the naive
interpreter, so the compiler has no part in them; what the compiler writes is compared with it afterwards.
"""

from .batches import check_batching
from .gradients import GradientMismatch, check_derivatives, check_grads
from .ops import Record, check_op, check_sources, check_types, default_answers, primitives

__all__ = [
    "GradientMismatch",
    "Record",
    "check_batching",
    "check_derivatives",
    "check_grads",
    "check_op",
    "check_sources",
    "check_types",
    "default_answers",
    "primitives",
]
