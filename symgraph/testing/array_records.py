"""Records of the ops that reduce, arrange, index and make arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.late import F
from .ops import Record

INF, NAN = float("inf"), float("nan")
A = np.array
_rng = np.random.default_rng(20)


def _away(*shape: int) -> Any:
    """Numbers between 0.3 and 1.5 with random signs, no two of them near each other."""
    size = int(np.prod(shape))
    made = np.linspace(0.3, 1.5, max(size, 1))[:size] * np.where(np.arange(size) % 3 == 1, -1, 1)
    return _rng.permutation(made).reshape(shape)


M, T, V, Z = _away(3, 4), _away(2, 3, 2), _away(5), _away(2, 3) + 1j * _away(2, 3)
EMPTY, THIN = _away(0, 3), _away(1, 3)
REAL = "?bBhiqQefd"
EVERY = "?bBhiqQefdFD"


def _over_axes(
    name: str,
    reference: Callable[..., Any] | None = None,
    *,
    axes: Sequence[Any] = (None, 0, -1, (0, 1)),
    empty: bool = True,
    complex_: bool = True,
    keepdims: bool = True,
    singular: Sequence[Any] = (),
    covers: tuple[str, ...] = (),
    dtypes: str = "",
    **options: Any,
) -> list[Record]:
    """A record for each axis, one of them with the axes kept."""
    ours = lambda *xs, **words: getattr(F, name)(*xs, **words)
    theirs = reference or getattr(np, name)
    records = []
    for i, axis in enumerate(axes):
        words: dict[str, Any] = {"axis": axis}
        if keepdims and i % 2:
            words["keepdims"] = True
        samples: list[tuple[Any, ...]] = [(M,), (THIN,), (T,)]
        if empty and not (axis is None and name in ("mean",)):
            samples.append((EMPTY,))
        if complex_:
            samples.append((Z,))
        if axis in (None, 0, -1):
            samples.append((V,))
        if axis is None:
            samples.append((A(0.7),))
        text = ", ".join(f"{k}={v}" for k, v in words.items())
        records.append(
            Record(
                f"{name}({text})",
                lambda x, words=words: ours(x, **words),
                samples,
                covers=covers or (name,),
                reference=lambda x, words=words: theirs(x, **words),
                singular=singular if i == 0 or axis == -1 else (),
                symbolic=[("n", 4)] if i % 2 else [(3, "n")],
                sizes=({"n": 4}, {"n": 1}, {"n": 0}) if empty else ({"n": 4}, {"n": 1}),
                dtypes=dtypes if i == 0 else "",
                **options,
            )
        )
    return records


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    import scipy.special

    return scipy.special.logsumexp(x, axis=axis, keepdims=keepdims)


def _softmax(name: str) -> Callable[..., Any]:
    def reference(x: Any, axis: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(x, axis=axis)

    return reference


def _norm(x: Any, axis: Any, keepdims: bool = False) -> Any:
    return np.sqrt(np.sum(np.abs(x) ** 2, axis=axis, keepdims=keepdims))


_ROWS = A([[-INF, -INF, -INF], [-INF, 1.0, 2.0], [INF, 1.0, -INF], [1000.0, 1000.0, -1000.0], [NAN, 1.0, 2.0]])
_TIES = A([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0], [0.0, -0.0, 0.0], [NAN, 1.0, 2.0], [INF, -INF, INF]])
_ZEROS = A([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [1.5, 2.5, -0.5], [0.0, 0.0, 0.0]])


REDUCTIONS = [
    *_over_axes("sum", dtypes=EVERY, singular=[(_TIES,)]),
    *_over_axes("prod", dtypes=EVERY, singular=[(_TIES,)]),
    Record("prod with zeros", lambda x: F.prod(x, axis=1), [(_ZEROS,), (A([[0.0]]),), (np.zeros((2, 2)),)], covers=("prod",),
           reference=lambda x: np.prod(x, axis=1)),
    *_over_axes("mean", covers=("sum",), dtypes=REAL, empty=False),
    *_over_axes("var", covers=("sum",), empty=False),
    *_over_axes("std", covers=("norm",), empty=False, complex_=False, axes=(1, 0)),
    *_over_axes("max", dtypes=REAL, empty=False, complex_=False, singular=[(_TIES,)]),
    *_over_axes("min", dtypes=REAL, empty=False, complex_=False, singular=[(_TIES,)]),
    *_over_axes("argmax", axes=(None, 0, -1), empty=False, complex_=False, order=0, dtypes=REAL, singular=[(_TIES,)]),
    *_over_axes("argmin", axes=(None, 0, -1), empty=False, complex_=False, order=0, dtypes=REAL, singular=[(_TIES,)]),
    *_over_axes("any", order=0, dtypes=EVERY, singular=[(_TIES,), (_ZEROS,)]),
    *_over_axes("all", order=0, dtypes=EVERY, singular=[(_TIES,), (_ZEROS,)]),
    *_over_axes("norm", _norm, axes=((0, 1), 0, -1), singular=[(_ZEROS,)]),
    *_over_axes("logsumexp", _logsumexp, empty=False, complex_=False, singular=[(_ROWS,)]),
    *_over_axes("softmax", _softmax("softmax"), axes=(-1, 0, (0, 1)), keepdims=False, complex_=False, empty=False,
                singular=[(A([[1000.0, 999.0], [-1000.0, 0.0]]),)]),
    *_over_axes("log_softmax", _softmax("log_softmax"), axes=(-1, 0, (0, 1)), keepdims=False, complex_=False, empty=False,
                singular=[(A([[1000.0, 999.0], [-1000.0, 0.0]]),)]),
    *_over_axes("cumsum", axes=(0, -1), keepdims=False, dtypes=EVERY, singular=[(_TIES,)]),
    *_over_axes("cumprod", axes=(0, -1), keepdims=False, dtypes=EVERY, singular=[(_TIES,)]),
    Record("cumprod with zeros", lambda x: F.cumprod(x, axis=1), [(_ZEROS,), (A([[0.0, 0.0]]),)], covers=("cumprod",),
           reference=lambda x: np.cumprod(x, axis=1)),
    Record("recurrence", lambda x, t: F.jvp(F.cumprod(x), x, t), [(V, _away(5)), (V[:1], V[1:2]), (V[:0], V[:0])],
           symbolic=[("n",), ("n",)]),
]  # fmt: skip


def _same(name: str, build: Callable[..., Any], *samples: Any, **options: Any) -> Record:
    """One expression for both sides: `build(np, x)` is the reference of `build(F, x)`."""
    return Record(
        name,
        lambda *xs: build(F, *xs),
        [s if isinstance(s, tuple) else (s,) for s in samples],
        reference=lambda *xs: build(np, *xs),
        **options,
    )


ARRANGING = [
    _same("reshape", lambda np, x: np.reshape(x, (2, -1)), M, _away(2, 2), A([4, 5, 6, 7]), Z, symbolic=[("n", 4)]),
    _same("reshape to 0-d", lambda np, x: np.reshape(x, ()), _away(1, 1), covers=("reshape",)),
    _same("reshape empty", lambda np, x: np.reshape(x, (3, 0)), EMPTY, covers=("reshape",)),
    _same("ravel", lambda np, x: np.ravel(x), M, EMPTY, covers=("reshape",), symbolic=[("n", 4)]),
    _same("expand_dims", lambda np, x: np.expand_dims(x, (0, 2)), M, EMPTY, covers=("reshape",), symbolic=[("n", 4)]),
    _same("squeeze", lambda np, x: np.squeeze(x, 0), THIN, covers=("reshape",), symbolic=[(1, "n")]),
    _same("transpose", lambda np, x: np.transpose(x, (1, 0)), M, EMPTY, THIN, Z, A([[True]]), symbolic=[("n", 4)]),
    _same("transpose 3", lambda np, x: np.transpose(x, (1, 2, 0)), T, covers=("transpose",), symbolic=[("n", 3, 2)]),
    _same("moveaxis", lambda np, x: np.moveaxis(x, 0, -1), T, covers=("transpose",), symbolic=[("n", 3, 2)]),
    _same("broadcast_to", lambda np, x: np.broadcast_to(x, (2, 3, 4)), _away(3, 1), _away(4), A(0.7), M),
    Record("broadcast_to a size", lambda x, y: F.broadcast_to(x, (y.shape[0], 3)) * F.sum(y), [(_away(1, 3), V), (A(0.7), V)],
           covers=("broadcast_to",), reference=lambda x, y: np.broadcast_to(x, (y.shape[0], 3)) * np.sum(y), symbolic=[(1, 3), ("n",)]),
    _same("concatenate", lambda np, x, y: np.concatenate([x, y, x], axis=0), (M, _away(2, 4)), (M[:0], M), (Z, Z),
          symbolic=[("n", 4), ("m", 4)], sizes=({"n": 2, "m": 3}, {"n": 0, "m": 1})),
    _same("concatenate -1", lambda np, x, y: np.concatenate([x, y], axis=-1), (M, _away(3, 2)), covers=("concatenate",),
          symbolic=[("n", 4), ("n", 2)]),
    _same("stack", lambda np, x, y: np.stack([x, y, x], axis=1), (M, _away(3, 4)), (V, V + 1), (EMPTY, EMPTY),
          symbolic=[("n", 4), ("n", 4)]),
    _same("stack 0-d", lambda np, x, y: np.stack([x, y]), (A(0.3), A(0.4)), covers=("stack",)),
    _same("pad", lambda np, x: np.pad(x, ((1, 2), (0, 1)), constant_values=0.5), M, EMPTY, covers=("slice_set",),
          symbolic=[("n", 4)]),
    _same("flip", lambda np, x: np.flip(x, 1), M, EMPTY, THIN, covers=("getitem",), symbolic=[(3, "n")]),
    _same("roll", lambda np, x: np.roll(x, 2, axis=1), M, EMPTY, THIN, symbolic=[("n", 4)]),
    _same("roll flat", lambda np, x: np.roll(x, -3), M, V, covers=("roll",), symbolic=[(3, "n")]),
    _same("tile", lambda np, x: np.tile(x, (2, 1, 3)), M, V, EMPTY, covers=("broadcast_to",), symbolic=[("n", 4)]),
    _same("repeat", lambda np, x: np.repeat(x, 3, axis=0), M, V, EMPTY, covers=("broadcast_to",), symbolic=[("n", 4)]),
    _same("triu", lambda np, x: np.triu(x, 1), M, T, EMPTY, Z, covers=("Triangle",), symbolic=[("n", 4)]),
    _same("tril", lambda np, x: np.tril(x, -1), M, T, THIN, covers=("Triangle",), symbolic=[("n", 4)]),
    _same("diagonal", lambda np, x: np.diagonal(x), M, _away(3, 3), THIN, EMPTY, symbolic=[("n", 4)]),
    _same("diagonal of a stack", lambda np, x: np.diagonal(x, 1, 2, 1), T, _away(2, 4, 3), covers=("diagonal",), symbolic=[("n", 3, 2)]),
    _same("diag", lambda np, x: np.diag(x), V, V[:1], V[:0], Z[0], symbolic=[("n",)]),
    _same("diag below", lambda np, x: np.diag(x, -2), V, V[:0], covers=("diag",), symbolic=[("n",)]),
]  # fmt: skip


def _index(name: str, key: Any, *samples: Any, **options: Any) -> Record:
    return Record(name, lambda x: x[key], [(s,) for s in samples], reference=lambda x: x[key], **options)


_I, _J = A([2, 0, 2, -1]), A([[1], [3]])

INDEXING = [
    _index("getitem", (slice(1, None), slice(None, None, -2)), M, THIN, EMPTY, _away(3, 4) * 1j, symbolic=[("n", 4)]),
    _index("getitem int", 1, M, V, covers=("getitem",), symbolic=[(3, "n")], sizes=({"n": 4}, {"n": 0})),
    _index("getitem last", (Ellipsis, -1), M, V, THIN, covers=("getitem",), symbolic=[("n", 4)]),
    _index("getitem none", (None, slice(0, 2), None, 0), M, THIN, covers=("getitem",), symbolic=[("n", 4)]),
    _index("getitem to n - 1", (slice(None, -1), slice(-3, 3)), M, THIN, EMPTY, covers=("getitem",), symbolic=[("n", 4)]),
    _index("getitem all", (slice(None), 2), M, covers=("getitem",), symbolic=[("n", 4)]),
    _index("gather", _I, M, V, _away(3), symbolic=[(5, "n")]),
    _index("gather pairs", (_J % 3, _I), M, covers=("gather",)),
    _index("gather last axis", (slice(None), _I), M, THIN, EMPTY, covers=("gather",), symbolic=[("n", 4)]),
    _index("gather apart", (_I % 2, slice(None), A([0, 1, 1, 0])), T, covers=("gather",)),
    _index("gather none", A([], dtype=int), M, covers=("gather",)),
    Record("gather a mask", lambda x: x[A([True, False, True])], [(M,), (_away(3),)], covers=("gather",),
           reference=lambda x: x[A([True, False, True])], symbolic=[(3, "n")]),
    Record("gather by a tensor", lambda x, i: x[i], [(M, _I), (V, _J)], covers=("gather",), reference=lambda x, i: x[i],
           symbolic=[(3, "n"), (4,)]),
    Record("pick", lambda x, i: x[i], [(M, A(-1)), (V, A(2)), (M, A(0, dtype=np.int8))], reference=lambda x, i: x[i],
           symbolic=[(3, "n"), ()]),
    Record("take", lambda x: F.take(x, _I, axis=1), [(M,)], covers=("gather",), reference=lambda x: np.take(x, _I, axis=1),
           symbolic=[("n", 4)]),
    Record("take_along_axis", lambda x, i: F.take_along_axis(x, i, 1), [(M, A([[0, 3], [1, 1], [2, -1]]))], covers=("gather",),
           reference=lambda x, i: np.take_along_axis(x, i, 1), symbolic=[("n", 4), ("n", 2)]),
    Record("scatter_add", lambda x, v: F.At(x)[_I].add(v), [(M, _away(4, 4)), (V, _away(4))],
           reference=lambda x, v: _added(x, _I, v), symbolic=[(3, "n"), (4, "n")]),
    Record("scatter_add of pairs", lambda x, v: F.At(x)[_J % 3, _I].add(v), [(M, _away(2, 4))], covers=("scatter_add",),
           reference=lambda x, v: _added(x, (_J % 3, _I), v)),
    Record("scatter_set", lambda x, v: F.At(x)[_I].set(v), [(M, _away(4, 4)), (V[:3], _away(4))],
           reference=lambda x, v: _written(x, _I, v), symbolic=[(3, "n"), (4, "n")]),
    Record("scatter_set unique", lambda x, v: F.At(x)[A([2, 0])].set(v), [(M, _away(2, 4)), (M, A(0.4))], covers=("scatter_set",),
           reference=lambda x, v: _written(x, A([2, 0]), v), symbolic=[(3, "n"), (2, "n")]),
    Record("slice_set", lambda x, v: F.At(x)[1:, ::2].set(v), [(M, _away(2, 2)), (M, A(0.4)), (THIN, _away(0, 2))],
           reference=lambda x, v: _written(x, np.s_[1:, ::2], v), symbolic=[(3, "n"), ()]),
    Record("unslice", lambda x: F.vjp(x[1:, ::-2], x, x[1:, ::-2] ** 2), [(M,), (THIN,)], symbolic=[("n", 4)]),
]  # fmt: skip


def _added(x: Any, key: Any, v: Any) -> Any:
    made = x.copy()
    np.add.at(made, key, v)
    return made


def _written(x: Any, key: Any, v: Any) -> Any:
    made = x.copy()
    made[key] = v
    return made


MAKING = [
    Record("full", lambda x: F.full((2, 3), x), [(A(0.7),), (A(3),), (A(True),), (A(1j),)], reference=lambda x: np.full((2, 3), x)),
    Record("full of a size", lambda x: F.full_like(x, 2) * x + F.zeros_like(x) + F.ones_like(x), [(M,), (EMPTY,)], covers=("full",),
           reference=lambda x: 2 * x + 1, symbolic=[("n", 4)]),
    Record("dim_value", lambda x: x * F.dim_value(x.shape[0]), [(M,)], reference=lambda x: x * x.shape[0],
           symbolic=[("n", 4)]),
    Record("eye", lambda x: F.eye(3, 4, k=1) * x, [(M,)], reference=lambda x: np.eye(3, 4, k=1) * x, float32=False),
    Record("eye of a size", lambda x: F.eye(x.shape[0], dtype=x.dtype) * x, [(_away(3, 1),)], covers=("eye",), symbolic=[("n", 1)],
           reference=lambda x: np.eye(x.shape[0]) * x),
    Record("arange", lambda x: F.arange(x.shape[0]) * x, [(V,), (V[:0],)], symbolic=[("n",)],
           reference=lambda x: np.arange(x.shape[0]) * x, float32=False),
    Record("linspace", lambda x: F.linspace(0.0, 1.0, 5) * x, [(V,)], covers=("multiply",), reference=lambda x: np.linspace(0, 1, 5) * x, float32=False),
]  # fmt: skip

ARRAYS: list[Record] = [*REDUCTIONS, *ARRANGING, *INDEXING, *MAKING]
