"""Multiples s * x, of a factor s without axes, that need not be computed because everyone who reads them takes s over.

    z = (x - m) / s        sum(z * z) = sum((x - m)**2) / s**2        sum(z) = sum(x - m) / s        z / s = (x - m) / s**2

A sum takes the factor out, another multiple merges it with its own, and a product passes it on to its users. Where even
one user needs the elements of z, z stays, and all of them read it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..core import Constant, Tensor
from ..dtypes import is_inexact
from ..ops.late import F
from ..ops.reduce import Sum

PRODUCTS = frozenset([F.multiply, F.divide])


def multiples_taken(order: Sequence[Tensor], shared: Collection[Tensor], outputs: Sequence[Tensor]) -> set[Tensor]:
    """The shared multiples, and products of such, whose every user takes a factor without axes out of them."""
    if not any([node.op in PRODUCTS and node.ndim for node in shared]):
        return set()
    kept = set(outputs)
    """The nodes whose elements somebody needs."""
    taken: set[Tensor] = set()
    for node in reversed(order):
        op = node.op
        if isinstance(op, Sum):
            if is_inexact(node.dtype) and node.dtype == node.inputs[0].dtype:
                continue
        elif (op is F.negative or op in PRODUCTS or _is_square(node)) and is_inexact(node.dtype):
            multiple = op is F.negative or (op in PRODUCTS and any([not x.ndim for x in node.inputs]))
            if node not in kept and (multiple or node not in shared):
                if node in shared and node.ndim and node.dtype.itemsize > 2:
                    taken.add(node)
                continue  # its users take the factors of its operands too
            if multiple:
                continue
        kept.update(node.inputs)
    return taken


def _is_square(node: Tensor) -> bool:
    return node.op is F.square or (
        node.op is F.power and isinstance(n := node.inputs[-1].op, Constant) and n.number == 2
    )


__all__ = ["multiples_taken"]
