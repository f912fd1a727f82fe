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


def _product(
    name: str, build: Callable[..., Any], reference: Callable[..., Any], *samples: Any, **options: Any
) -> Record:
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


def _numpy_svd(a: Any) -> Any:
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return u**2, s, vh**2


def _numpy_symmetric(x: Any) -> Any:
    return (x + np.swapaxes(x, -1, -2)) / 2


def _triangle(a: Any, part: str, trans: str, unit: bool) -> Any:
    """The triangle of a matrix that is read."""
    t = np.tril(a) if part == "lower" else np.triu(a)
    if unit:
        t = np.where(np.eye(a.shape[-1], dtype=bool), t.dtype.type(1), t)
    return np.swapaxes(t, -1, -2) if trans == "T" else t


def _numpy_cholesky_gradient(a: Any, g: Any) -> Any:
    inverse = np.linalg.inv(np.linalg.cholesky(_numpy_symmetric(a)))
    m = np.swapaxes(np.linalg.inv(inverse), -1, -2) @ g
    s = np.swapaxes(inverse, -1, -2) @ (np.tril(m) + np.swapaxes(np.tril(m, -1), -1, -2)) @ inverse
    return np.tril(s) - np.eye(a.shape[-1]) * s / 2


LINALG = [
    Record("solve", lambda a, b: F.solve(a, b), [(_square(3, 3), _of(3, 2)), (_square(3, 3), _of(3)), (_square(2, 3, 3), _of(2, 3, 1)),
           (_square(1, 1), _of(1)), (_square(2, 2) + 1j * _of(2, 2), _complex(2))], reference=np.linalg.solve, dtypes="ifd",
           symbolic=[(3, 3), (3, "n")]),
    Record("solve of a size", lambda a, b: F.solve(a + 9 * F.eye(a.shape[0], dtype=a.dtype), b), [(_square(3, 3), _of(3))],
           covers=("solve",), symbolic=[("n", "n"), ("n",)], sizes=({"n": 4}, {"n": 1})),
    *[Record(f"solve_triangular {part} {trans}{' unit' * unit}",
             lambda a, b, trans=trans, part=part, unit=unit: F.solve_triangular(a, b, trans, part == "lower", unit),
             [(_square(3, 3), _of(3, 2)), (_square(3, 3), _of(3)), (_square(2, 3, 3), _of(2, 3, 1)), (_square(2, 3, 3), _of(3)),
              (_square(1, 1), _of(1)), (_square(2, 2) + 1j * _of(2, 2), _complex(2)), (_of(0, 0), _of(0))], dtypes="ifd",
             covers=("solve_triangular",), symbolic=[("n", "n"), ("n", "m")], sizes=({"n": 3, "m": 2}, {"n": 1, "m": 1}, {"n": 0, "m": 2}),
             reference=lambda a, b, trans=trans, part=part, unit=unit: np.linalg.solve(_triangle(a, part, trans, unit), b))
      for part in ("lower", "upper") for trans in ("N", "T") for unit in (False, True)],
    Record("cho_solve", lambda a, b: F.cho_solve(F.cho_factor(_symmetric(a)), b), [(_positive(3, 3), _of(3)), (_positive(2, 2, 2), _of(2, 2, 1))],
           covers=("solve_triangular", "cholesky"), reference=lambda a, b: np.linalg.solve(_numpy_symmetric(a), b)),
    Record("cholesky_gradient", lambda a, g: F.cholesky_gradient(F.cholesky(_symmetric(a)), g), [(_positive(3, 3), _of(3, 3)),
           (_positive(2, 2, 2), _of(2, 2))], covers=("cholesky_gradient",), reference=_numpy_cholesky_gradient),
    Record("half", lambda a: F.half(a), [(_of(3, 3),), (_of(2, 2, 2),), (_of(0, 0),)], reference=lambda a: (np.tril(a) + np.tril(a, -1)) / 2,
           symbolic=[("n", "n")], sizes=({"n": 3}, {"n": 0})),
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
    Record("svd", lambda a: (F.svd(a, full_matrices=False)[0] ** 2, *F.svd(a, full_matrices=False)[1:2], F.svd(a, full_matrices=False)[2] ** 2),
           [(_of(4, 3),), (_square(3, 3),), (_of(2, 2, 3),), (_of(1, 1),), (_of(3, 1),)], reference=_numpy_svd),
    Record("svdvals", lambda a: F.svdvals(a), [(_of(4, 3),), (_of(2, 2, 3),), (_of(1, 1),), (_of(0, 2),)], reference=np.linalg.svdvals,
           dtypes="ifd", symbolic=[("n", 3)]),
    Record("pinv", lambda a: F.pinv(a), [(_of(4, 3),), (_of(2, 2, 3),), (_of(1, 1),), (_complex(3, 2),)], reference=np.linalg.pinv, dtypes="ifd",
           symbolic=[("n", 3)], sizes=({"n": 4}, {"n": 2})),
    Record("lstsq", lambda a, b: F.lstsq(a, b)[:2], [(_of(4, 3), _of(4)), (_of(4, 2), _of(4, 3))], covers=("pinv",),
           reference=lambda a, b: np.linalg.lstsq(a, b)[:2], symbolic=[("n", 3), ("n",)], sizes=({"n": 5},)),
    *[Record(f"norm {p} of matrices", lambda a, p=p: F.norm(a, p, (0, -1)), [(_of(3, 4),), (_of(2, 2, 3),)], covers=("svdvals",),
             reference=lambda a, p=p: np.linalg.norm(a, p, (0, -1)), symbolic=[(3, 4)]) for p in (2, -2, "nuc")],
    Record("matrix_power", lambda a: F.matrix_power(a, 3) + F.matrix_power(a, -2), [(_square(3, 3),)], covers=("einsum", "inv"),
           reference=lambda a: np.linalg.matrix_power(a, 3) + np.linalg.matrix_power(a, -2)),
]  # fmt: skip


def _branches(x: Any, y: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Two branches over an operand that capture another tensor, one through an expression made outside."""
    outside = y * y
    return (lambda a: F.sin(a) * y, lambda a: a * a * outside)


def _in_numpy(x: Any, y: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    return (lambda a: np.sin(a) * y, lambda a: a * a * y * y)


_x, _y = _of(3), _of(3)

CONTROL = [
    Record("cond", lambda p, x, y: F.cond(p, *_branches(x, y), x), [(A(True), _x, _y), (A(False), _x, _y), (A(True), _x[:0], _y[:0])],
           reference=lambda p, x, y: _in_numpy(x, y)[not p](x), symbolic=[(), ("n",), ("n",)]),
    Record("cond of several", lambda p, x: F.cond(p > 0, lambda a: (F.exp(a), a[0]), lambda a: (a, F.sum(a * a)), x),
           [(A(1.0), _x), (A(-1.0), _x)], covers=("cond",),
           reference=lambda p, x: (np.exp(x), x[0]) if p > 0 else (x, np.sum(x * x))),
    Record("cond in cond", lambda p, q, x: F.cond(p, lambda a: F.cond(q, lambda b: b * F.sum(a), lambda b: F.tanh(b) * x, a), lambda a: -a, x),
           [(A(p), A(q), _x) for p in (True, False) for q in (True, False)], covers=("cond",),
           reference=lambda p, q, x: (x * np.sum(x) if q else np.tanh(x) * x) if p else -x, symbolic=[(), (), ("n",)]),
    Record("cond where a branch is singular", lambda x: F.cond(x > 0, lambda: F.log(x), lambda: F.sin(x)), [(A(0.7),), (A(-0.7),)],
           covers=("cond",), reference=lambda x: np.log(x) if x > 0 else np.sin(x), singular=[(A(0.0),)]),
    Record("map_rows", lambda x, y: F.map_rows(lambda a, b: F.outer(a, b * b), x, y), [(_of(3, 2), _of(3, 4)), (_of(1, 2), _of(1, 4))],
           reference=lambda x, y: np.stack([np.outer(a, b * b) for a, b in zip(x, y, strict=True)]), symbolic=[("n", 2), ("n", 4)],
           sizes=({"n": 4}, {"n": 1})),
    Record("map_rows of several", lambda x, y: F.map_rows(lambda a: (F.sum(a) * y, a @ y), x), [(_of(3, 2), _of(2))], covers=("map_rows",),
           reference=lambda x, y: (np.sum(x, axis=1)[:, None] * y, x @ y), symbolic=[("n", 2), (2,)], sizes=({"n": 4}, {"n": 1})),
]  # fmt: skip

_STATE = A([7, 3], np.uint64)


def _draw(distribution: str, shape: tuple[int, ...], *bounds: int) -> Record:
    def reference(state: Any) -> Any:
        method = getattr(np.random.default_rng((*state, 5)), distribution)
        return method(*bounds) if distribution == "permutation" else method(*bounds, size=shape)

    return Record(f"draw {distribution} {shape}", lambda state: F.random_draw(distribution, state, 5, shape, bounds=bounds),
                  [(_STATE,)], covers=("draw",), reference=reference, order=0)  # fmt: skip


RANDOM = [
    _draw("random", (2, 3)),
    _draw("standard_normal", ()),
    _draw("standard_normal", (0, 3)),
    _draw("standard_exponential", (4,)),
    _draw("integers", (5,), -3, 7),
    _draw("permutation", (), 6),
    Record("draw of a size", lambda state, x: x * F.random_draw("standard_normal", state, 2, x.shape), [(_STATE, _of(3, 2))],
           covers=("draw",), reference=lambda state, x: x * np.random.default_rng((*state, 2)).standard_normal(x.shape),
           symbolic=[(2,), ("n", 2)], float32=False),
]  # fmt: skip

PRODUCTS: list[Record] = [*CONTRACTIONS, *LINALG, *CONTROL, *RANDOM]
