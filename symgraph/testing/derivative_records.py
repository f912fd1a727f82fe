"""Records of the ops that say how a value is differentiated, of the solver beside them, and of shared factorizations."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..core import make
from ..implicit import implicit
from ..ops.assembly import Of
from ..ops.banded import SolveBanded
from ..ops.base import as_tensor
from ..ops.custom import custom_jvp, custom_vjp
from ..ops.factored import SolveTriangle, inv_from_cholesky, lu_factor, lu_solve
from ..ops.gram import WeightedGram
from ..ops.late import F
from ..roots import root
from ..structured import hessian
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


SIDES: tuple[Literal[0], Literal[1]] = (0, 1)
TRIANGLES = [(below, transposed, unit) for below in (True, False) for transposed in SIDES for unit in (False, True)]


def _all_triangles(a: Any, b: Any) -> Any:
    return [make(SolveTriangle(*fields), a, b) for fields in TRIANGLES]


def _numpy_triangles(a: Any, b: Any) -> Any:
    found = []
    for below, transposed, unit in TRIANGLES:
        t = np.tril(a) if below else np.triu(a)
        t = np.where(np.eye(len(a), dtype=bool), 1, t) if unit else t
        found.append(np.linalg.solve(t.T if transposed else t, b))
    return found


def _twice_solved(a: Any, b: Any) -> Any:
    factors = lu_factor(a)
    return lu_solve(factors, b), lu_solve(factors, b, transposed=True)


def _hessian(a: Any, x: Any) -> Any:
    return hessian(F.sum(F.exp(a @ x)) + F.sum(x[1:] ** 3), x)


def _hessian_by_hand(a: Any, x: Any) -> Any:
    tail = np.where(np.arange(len(x)) > 0, 6 * x, 0)
    return (a.T * np.exp(a @ x)) @ a + np.diag(tail)


def _banded(upper: Any, main: Any, lower: Any, b: Any) -> Any:
    return make(SolveBanded((1, 0, -1)), *map(as_tensor, (upper, main, lower, b)))


def _gram(x: Any, w: Any) -> Any:
    return make(WeightedGram(), as_tensor(x), as_tensor(w))


DERIVATIVES: list[Record] = [
    Record("of", lambda x, y: make(Of(), F.exp(x), F.sum(y)), [(_x, _p), (_x[:0], _p)], reference=lambda x, y: np.exp(x)),
    Record(
        "weighted_gram",
        _gram,
        [(_a, _p - 1), (_x, np.array([-0.5, 0.0])), (_x[:0], _p[:0])],
        reference=lambda x, w: (x.T * w) @ x,
        symbolic=[("n", 3), ("n",)],
    ),
    Record("structured", _hessian, [(_x, _p), (_x[:0], _p), (_x[:, :1], _p[:1])],
           reference=_hessian_by_hand, symbolic=[("n", 3), (3,)]),
    Record("solve_banded", _banded, [(_p[:2], _p + 3, -_p[:2], _p), (_p[:0], _p[:1], _p[:0], _p[:1])],
           reference=lambda u, d, l, b: np.linalg.solve(np.diag(u, 1) + np.diag(d) + np.diag(l, -1), b)),
    Record("custom_vjp", _product, [(_x, _x * 2), (np.asarray(0.4), np.asarray(0.7)), (_x[:0], _x[:0])],
           reference=lambda x, y: (np.sin(x) * y, np.sum(x * y)), symbolic=[("n", 3), ("n", 3)]),
    Record("custom_jvp", _wave, [(_x,), (np.asarray(0.4),), (_x[:, :1],)],
           reference=lambda x: np.sin(x) * np.exp(x), symbolic=[("n", 3)]),
    Record("implicit", _square_root, [(_p,), (np.asarray(2.0),), (_p[:0],)], reference=np.sqrt, symbolic=[("n",)]),
    Record("newton", _found_root, [(_p,), (np.asarray(2.0),), (_p[:1],)], reference=np.sqrt, symbolic=[("n",)]),
    Record("solve_triangle", _all_triangles, [(_a, _p), (_a, _x.T), (_a + 0.5j * _a.T, _x.T + 0j)], order=0, symbolic=[("n", "n"), ("n", 2)],
           reference=_numpy_triangles, sizes=({"n": 4}, {"n": 1}, {"n": 0})),
    Record("inv_from_cholesky", lambda a: inv_from_cholesky(F.cholesky(a @ a.T + F.eye(a.shape[0], dtype=a.dtype))), [(_a,)], order=0,
           symbolic=[("n", "n")], reference=lambda a: np.linalg.inv(a @ a.T + np.eye(len(a))), sizes=({"n": 4}, {"n": 1}, {"n": 0})),
    Record("lu_factor", _twice_solved, [(_a, _p), (_a, _x.T), (_a + 0.5j * _a.T, _x.T + 0j)],
           covers=("lu_factor", "lu_solve"), order=0, symbolic=[("n", "n"), ("n", 2)],
           reference=lambda a, b: (np.linalg.solve(a, b), np.linalg.solve(a.T, b))),
]  # fmt: skip
