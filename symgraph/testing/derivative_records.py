"""Records of the ops that say how a value is differentiated, of the solver beside them, and of shared factorizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..implicit import implicit
from ..ops.custom import custom_jvp, custom_vjp
from ..ops.factored import lu_factor, lu_solve
from ..ops.late import F
from ..roots import root
from .ops import Record

_x = np.array([[0.3, -0.4, 0.5], [0.7, 0.2, -0.9]])
_p = np.array([0.5, 1.5, 2.0])
_a = np.array([[4.0, 1.0, -1.0], [0.5, 3.0, 1.0], [-1.0, 0.5, 5.0]])


@custom_vjp
def _product(x: Any, y: Any) -> Any:
    return F.sin(x) * y, F.sum(x * y)


def _product_forward(x: Any, y: Any) -> Any:
    return (F.sin(x) * y, F.sum(x * y)), (x, y)


def _product_backward(kept: Any, ct: Any) -> Any:
    x, y = kept
    return ct[0] * F.cos(x) * y + ct[1] * y, ct[0] * F.sin(x) + ct[1] * x


_product.defvjp(_product_forward, _product_backward)


@custom_jvp
def _wave(x: Any) -> Any:
    return F.sin(x) * F.exp(x)


_wave.defjvp(lambda xs, ts: (_wave(*xs), (_wave(*xs) + F.cos(xs[0]) * F.exp(xs[0])) * ts[0]))


def _square_root(a: Any) -> Any:
    return implicit(F.sqrt(a), root=lambda y: y * y - a)


def _found_root(a: Any) -> Any:
    return root(lambda y: y * y - a, F.ones_like(a))


def _twice_solved(a: Any, b: Any) -> Any:
    factors = lu_factor(a)
    return lu_solve(factors, b), lu_solve(factors, b, transposed=True)


DERIVATIVES: list[Record] = [
    Record("custom_vjp", _product, [(_x, _x * 2), (np.asarray(0.4), np.asarray(0.7)), (_x[:0], _x[:0])],
           reference=lambda x, y: (np.sin(x) * y, np.sum(x * y)), symbolic=[("n", 3), ("n", 3)]),
    Record("custom_jvp", _wave, [(_x,), (np.asarray(0.4),), (_x[:, :1],)],
           reference=lambda x: np.sin(x) * np.exp(x), symbolic=[("n", 3)]),
    Record("implicit", _square_root, [(_p,), (np.asarray(2.0),), (_p[:0],)], reference=np.sqrt, symbolic=[("n",)]),
    Record("newton", _found_root, [(_p,), (np.asarray(2.0),), (_p[:1],)], reference=np.sqrt, symbolic=[("n",)]),
    Record("lu_factor", _twice_solved, [(_a, _p), (_a, _x.T), (_a + 0.5j * _a.T, _x.T + 0j)],
           covers=("lu_factor", "lu_solve"), order=0, symbolic=[("n", "n"), ("n", 2)],
           reference=lambda a, b: (np.linalg.solve(a, b), np.linalg.solve(a.T, b))),
]  # fmt: skip
