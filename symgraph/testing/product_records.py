"""Records of contractions, linear algebra, branches and random draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops.late import F
from .ops import Record

A = np.array
_rng = np.random.default_rng(21)
EVERY = "?bBhiqQefdFD"


def _of(*shape: int) -> Any:
    return _rng.uniform(-1, 1, shape)


def _complex(*shape: int) -> Any:
    return _of(*shape) + 1j * _of(*shape)


def _einsum(subscripts: str, *samples: Any, **options: Any) -> Record:
    options.setdefault("covers", ("einsum",))
    return Record(
        f"einsum {subscripts}",
        lambda *xs: F.einsum(subscripts, *xs),
        samples,
        reference=lambda *xs: np.einsum(subscripts, *xs),
        **options,
    )


def _product(name: str, build: Callable[..., Any], reference: Callable[..., Any], *samples: Any, **options: Any) -> Record:
    options.setdefault("covers", ("einsum",))
    return Record(name, build, samples, reference=reference, **options)


_M, _N, _v, _w = _of(3, 4), _of(4, 2), _of(4), _of(3)

CONTRACTIONS = [
    _product("matmul", lambda x, y: x @ y, np.matmul, (_M, _N), (_complex(2, 3), _complex(3, 2)), (_of(1, 4), _N), (_of(0, 4), _N),
             (_of(3, 0), _of(0, 2)), (_of(3, 1), _of(1, 1)), symbolic=[("n", 4), (4, "m")], dtypes=EVERY,
             sizes=({"n": 3, "m": 2}, {"n": 1, "m": 1}, {"n": 0, "m": 2})),
    _product("matmul over a size", lambda x, y: x.T @ y, lambda x, y: x.T @ y, (_M, _of(3, 2)), symbolic=[("n", 4), ("n", 2)]),
    _product("matmul of itself", lambda x: x @ x.T @ x, lambda x: x @ x.T @ x, (_M,), (_of(1, 4),), symbolic=[("n", 4)]),
    _product("matmul matrix vector", lambda x, y: x @ y, np.matmul, (_M, _v), (_of(0, 4), _v), (_of(1, 4), _v), symbolic=[("n", 4), (4,)]),
    _product("matmul vector matrix", lambda x, y: x @ y, np.matmul, (_w, _M), (_of(1), _of(1, 2)), symbolic=[("n",), ("n", 4)]),
    _product("matmul vectors", lambda x, y: x @ y, np.matmul, (_v, _of(4)), (_of(0), _of(0)), (_complex(3), _complex(3)), symbolic=[("n",), ("n",)]),
    _product("matmul batches", lambda x, y: x @ y, np.matmul, (_of(2, 3, 4), _of(2, 4, 2)), (_of(1, 3, 4), _of(2, 4, 2)),
             (_of(2, 3, 4), _N), (_of(2, 1, 3, 4), _of(5, 4, 1)), symbolic=[("n", 3, 4), ("n", 4, 2)]),
    _product("dot of stacks", lambda x, y: F.dot(x, y), np.dot, (_of(2, 3, 4), _of(2, 4, 3)), (_M, _v)),
    _product("inner", lambda x, y: F.inner(x, y), np.inner, (_M, _of(2, 4)), (_v, _of(4)), symbolic=[("n", 4), (2, 4)]),
    _product("outer", lambda x, y: F.outer(x, y), np.outer, (_w, _v), (_of(2, 2), _of(0)), (_complex(2), _complex(3)), symbolic=[("n",), ("m",)],
             sizes=({"n": 3, "m": 2}, {"n": 0, "m": 1})),
    _product("outer of itself", lambda x: F.outer(x, x), lambda x: np.outer(x, x), (_w,), symbolic=[("n",)]),
    _product("vdot", lambda x, y: F.vdot(x, y), np.vdot, (_M, _of(3, 4)), (_complex(3), _complex(3)), symbolic=[("n", 4), ("n", 4)]),
    _product("tensordot", lambda x, y: F.tensordot(x, y, axes=([1, 0], [0, 2])), lambda x, y: np.tensordot(x, y, axes=([1, 0], [0, 2])),
             (_of(2, 3, 4), _of(3, 5, 2)), symbolic=[("n", 3, 4), (3, 5, "n")]),
    _product("kron", lambda x, y: F.kron(x, y), np.kron, (_of(2, 3), _of(2, 2)), (_of(2), _of(3))),
    _product("trace", lambda x: F.trace(x), np.trace, (_of(3, 3),), (_complex(2, 2),), symbolic=[("n", "n")], dtypes="?bBhiqQefd"),
    _einsum("bij,bjk->bik", (_of(2, 3, 4), _of(2, 4, 2)), symbolic=[("n", 3, 4), ("n", 4, 2)]),
    _einsum("ij,ij->", (_M, _of(3, 4)), (_of(0, 4), _of(0, 4)), symbolic=[("n", 4), ("n", 4)]),
    _einsum("ij,ij->i", (_M, _of(3, 4)), symbolic=[("n", 4), ("n", 4)]),
    _einsum("ii->i", (_of(3, 3),), symbolic=[("n", "n")]),
    _einsum("ii->", (_of(3, 3),), symbolic=[("n", "n")]),
    _einsum("iij->ij", (_of(3, 3, 2),)),
    _einsum("iij,jj->i", (_of(2, 2, 3), _of(3, 3))),
    _einsum("ij,jk,kl->il", (_of(2, 3), _of(3, 2), _of(2, 4)), symbolic=[("n", 3), (3, 2), (2, "n")]),
    _einsum("i,j,k->ijk", (_of(2), _of(3), _of(2))),
    _einsum("...ij,...j->...i", (_of(2, 3, 4), _of(4)), (_of(2, 1, 3, 4), _of(5, 4))),
    _einsum("ij,k->", (_M, _v)),
    _einsum("ij,ji", (_M, _of(4, 3))),
    _einsum("ijkl,jmln->imkn", (_of(2, 3, 2, 2), _of(3, 2, 2, 3))),
    Record("einsum of itself", lambda x: F.einsum("ij,ij->", x, x) + F.einsum("ij,kj->ik", x, x)[0, 0], [(_M,)], covers=("einsum",),
           reference=lambda x: np.einsum("ij,ij->", x, x) + np.einsum("ij,kj->ik", x, x)[0, 0], symbolic=[("n", 4)],
           sizes=({"n": 4}, {"n": 1})),
    Record("einsum of a delta", lambda x, y: F.vjp(F.einsum("ii->i", x), x, y * y), [(_of(3, 3), _w)], covers=("einsum",),
           reference=lambda x, y: np.diag(y * y), symbolic=[("n", "n"), ("n",)]),
]  # fmt: skip


def _square(*shape: int) -> Any:
    """Well-conditioned matrices."""
    return _of(*shape) + 3 * np.eye(shape[-1])


def _positive(*shape: int) -> Any:
    a = _of(*shape)
    return a @ np.swapaxes(a, -1, -2) + 2 * np.eye(shape[-1])


def _symmetric(x: Any) -> Any:
    return (x + F.matrix_transpose(x)) / 2


def _apart(n: int) -> Any:
    """A symmetric matrix whose eigenvalues lie apart."""
    q, _ = np.linalg.qr(_of(n, n))
    return (q * np.arange(1, n + 1)) @ q.T


def _numpy_symmetric(x: Any) -> Any:
    return (x + np.swapaxes(x, -1, -2)) / 2


LINALG = [
    Record("solve", lambda a, b: F.solve(a, b), [(_square(3, 3), _of(3, 2)), (_square(3, 3), _of(3)), (_square(2, 3, 3), _of(2, 3, 1)),
           (_square(1, 1), _of(1)), (_square(2, 2) + 1j * _of(2, 2), _complex(2))], reference=np.linalg.solve, dtypes="ifd",
           symbolic=[(3, 3), (3, "n")]),
    Record("solve of a size", lambda a, b: F.solve(a + 9 * F.eye(a.shape[0], dtype=a.dtype), b), [(_square(3, 3), _of(3))],
           covers=("solve",), symbolic=[("n", "n"), ("n",)], sizes=({"n": 4}, {"n": 1})),
    Record("inv", lambda a: F.inv(a), [(_square(3, 3),), (_square(2, 2, 2),), (_square(1, 1),), (_square(2, 2) + 1j * _of(2, 2),)],
           reference=np.linalg.inv, dtypes="fd"),
    Record("det", lambda a: F.det(a), [(_square(3, 3),), (_square(2, 2, 2),), (_square(1, 1),), (_square(2, 2) + 1j * _of(2, 2),)],
           reference=np.linalg.det, dtypes="fd"),
    Record("slogdet", lambda a: tuple(F.slogdet(a)), [(_square(3, 3),), (-_square(2, 3, 3),), (_square(1, 1),)], dtypes="fd",
           reference=lambda a: tuple(np.linalg.slogdet(a))),
    Record("cholesky", lambda a: F.cholesky(_symmetric(a)), [(_positive(3, 3),), (_positive(2, 2, 2),), (_positive(1, 1),)],
           reference=lambda a: np.linalg.cholesky(_numpy_symmetric(a))),
    Record("eigh", lambda a: (F.eigh(_symmetric(a))[0], F.eigh(_symmetric(a))[1] ** 2), [(_apart(3),), (_apart(2),), (_apart(1),)],
           reference=lambda a: (np.linalg.eigh(_numpy_symmetric(a))[0], np.linalg.eigh(_numpy_symmetric(a))[1] ** 2)),
    Record("qr", lambda a: tuple(F.qr(a)), [(_of(4, 3),), (_square(3, 3),), (_square(2, 2, 2),)],
           reference=lambda a: tuple(np.linalg.qr(a))),
    Record("matrix_power", lambda a: F.matrix_power(a, 3) + F.matrix_power(a, -2), [(_square(3, 3),)], covers=("einsum", "inv"),
           reference=lambda a: np.linalg.matrix_power(a, 3) + np.linalg.matrix_power(a, -2)),
]  # fmt: skip

PRODUCTS: list[Record] = [*CONTRACTIONS, *LINALG]
