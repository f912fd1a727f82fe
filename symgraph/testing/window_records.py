"""Records of windows, pooling and convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import make
from ..ops.conv import conv1d, conv2d, conv_transpose2d
from ..ops.correlation import Correlate, CorrelateRows, CorrelateWeights
from ..ops.late import F
from ..ops.pool import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from ..ops.windows import Columns, Fold, Windows, sliding_window_view
from .ops import Record

view = np.lib.stride_tricks.sliding_window_view
_rng = np.random.default_rng(22)


def _of(*shape: int) -> Any:
    return _rng.uniform(-1, 1, shape)


def _complex(*shape: int) -> Any:
    return _of(*shape) + 1j * _of(*shape)


def _distinct(*shape: int) -> Any:
    """Numbers of which no two are near each other, so that none ties for the largest."""
    return _rng.permutation(np.linspace(-1, 1, int(np.prod(shape)))).reshape(shape)


# Windows -------------------------------------------------------------------------------------------------------------


def _windows(x: Any, axis: int, size: int, stride: int = 1, dilation: int = 1) -> Any:
    every = view(x, (size - 1) * dilation + 1, axis=axis)[..., ::dilation]
    return np.moveaxis(np.moveaxis(every, axis, 0)[::stride], 0, axis).swapaxes(axis, -1) if every.ndim == 2 else (
        np.moveaxis(np.moveaxis(np.moveaxis(every, axis, 0)[::stride], 0, axis), -1, axis)
    )  # fmt: skip


def _folded(y: Any, axis: int, length: int, stride: int = 1, dilation: int = 1) -> Any:
    x = np.zeros((*y.shape[:axis], length, *y.shape[axis + 2 :]), y.dtype)
    for j in range(y.shape[axis]):
        for i in range(y.shape[axis + 1]):
            key = [slice(None)] * axis
            x[(*key, i * stride + j * dilation)] += y[(*key, j, i)]  # type: ignore[arg-type]
    return x


def _window_records(kind: Any, name: str) -> list[Record]:
    cases: list[tuple[tuple[int, ...], Any, list[Any]]] = [
        ((0, 3), _of(7), [("n",)]),
        ((1, 2), _of(2, 5, 3), [("n", 5, 3)]),
        ((1, 3, 2), _of(2, 8), [("n", 8)]),
        ((0, 2, 1, 3), _of(6, 2), [(6, "n")]),
        ((0, 1, 2), _of(4, 2), [(4, "n")]),
        ((1, 2, 3), _of(1, 9), [("n", 9)]),
    ]
    return [
        Record(f"{name} {fields}", lambda x, op=kind(*fields): make(op, x), [(x,), (x + 1j * x,)], covers=(name,),
               reference=lambda x, fields=fields: _windows(x, *fields), symbolic=symbolic,
               sizes=({"n": 4}, {"n": 3}) if symbolic == [("n",)] else ({"n": 4}, {"n": 1}, {"n": 0}))
        for fields, x, symbolic in cases
    ]  # fmt: skip


WINDOWS = [
    *_window_records(Windows, "windows"),
    *_window_records(Columns, "columns"),
    *[
        Record(f"fold {fields}", lambda x, op=Fold(*fields): make(op, x), [(x,), (x * 1j,)], covers=("fold",),
               reference=lambda x, fields=fields: _folded(x, *fields), symbolic=symbolic)
        for fields, x, symbolic in [
            ((0, 7), _of(3, 5), None),
            ((1, 5), _of(2, 2, 4, 3), [("n", 2, 4, 3)]),
            ((1, 8, 2), _of(2, 3, 3), [("n", 3, 3)]),
            ((0, 6, 1, 3), _of(2, 3, 2), [(2, 3, "n")]),
            ((1, 9, 3), _of(1, 2, 3), [("n", 2, 3)]),
            ((1, 4), _of(2, 4, 1), [("n", 4, 1)]),
        ]
    ],
    Record("sliding_window_view", lambda x: sliding_window_view(x, (2, 3), axis=(0, 1)), [(_of(3, 5),)], covers=("windows",),
           reference=lambda x: view(x, (2, 3), axis=(0, 1)), symbolic=[("n", 5)], sizes=({"n": 4}, {"n": 2})),
]  # fmt: skip


# Pooling -------------------------------------------------------------------------------------------------------------


def _pooled(join: Callable[..., Any], size: tuple[int, ...], stride: tuple[int, ...]) -> Callable[[Any], Any]:
    """Windows over the last axes, joined."""

    def reference(x: Any) -> Any:
        n = len(size)
        every = view(x, size, axis=tuple(range(-n, 0)))
        steps = tuple(slice(None, None, s) for s in stride)
        return join(every[(..., *steps, *[slice(None)] * n)], axis=tuple(range(-n, 0)))  # type: ignore[arg-type]

    return reference


_TIES = np.array([[1.0, 1, 0, 2], [1, 0, 2, 2], [3, 3, -1, np.nan], [3, 3, 0, -1]])

POOLING = [
    Record("max_pool2d", lambda x: max_pool2d(x, 2), [(_distinct(2, 1, 4, 6),), (_distinct(5, 4),), (_distinct(0, 2, 2),)],
           covers=("window_max",), reference=_pooled(np.max, (2, 2), (2, 2)), singular=[(_TIES,)], dtypes="?bBhiqQefd",
           symbolic=[("n", 1, 4, 6)]),
    Record("max_pool2d that overlaps", lambda x: max_pool2d(x, (3, 2), stride=(1, 2)), [(_distinct(2, 5, 4),)],
           covers=("window_max",), reference=_pooled(np.max, (3, 2), (1, 2)), singular=[(_TIES,)], symbolic=[("n", 5, 4)]),
    Record("max_pool1d", lambda x: max_pool1d(x, 3, stride=2), [(_distinct(2, 8),), (_distinct(1, 3),)],
           covers=("window_max",), reference=_pooled(np.max, (3,), (2,)), symbolic=[(2, "n")], sizes=({"n": 8}, {"n": 4})),
    Record("max_pool2d with one axis", lambda x: max_pool2d(x, (1, 3), stride=(2, 3)), [(_distinct(3, 7),)],
           covers=("window_max",), reference=_pooled(np.max, (1, 3), (2, 3)), symbolic=[(3, 7)], sizes=({},)),
    Record("padded max_pool2d", lambda x: max_pool2d(x, 3, stride=2, padding=1), [(_distinct(2, 4, 4),)], covers=("window_max",),
           reference=lambda x: _pooled(np.max, (3, 3), (2, 2))(np.pad(x, [(0, 0), (1, 1), (1, 1)], constant_values=-np.inf)),
           symbolic=[("n", 4, 4)]),
    Record("avg_pool2d", lambda x: avg_pool2d(x, 2), [(_of(2, 1, 4, 6),), (_complex(5, 4),)], covers=("window_sum",),
           reference=_pooled(np.mean, (2, 2), (2, 2)), dtypes="?bBhiqQfdFD", symbolic=[("n", 1, 4, 6)]),
    Record("avg_pool2d that overlaps", lambda x: avg_pool2d(x, 3, stride=1), [(_of(2, 4, 5),)], covers=("window_sum",),
           reference=_pooled(np.mean, (3, 3), (1, 1)), symbolic=[("n", 4, 5)]),
    Record("padded avg_pool1d", lambda x: avg_pool1d(x, 4, stride=3, padding=2), [(_of(2, 7),)], covers=("window_sum",),
           reference=lambda x: _pooled(np.mean, (4,), (3,))(np.pad(x, [(0, 0), (2, 2)])), symbolic=[("n", 7)]),
    Record("the gradient of max_pool2d", lambda x, ct: F.vjp(max_pool2d(x, 2), x, ct), [(_distinct(2, 4, 6), _of(2, 2, 3))],
           covers=("share_max",), symbolic=[("n", 4, 6), ("n", 2, 3)], singular=[(_TIES[None], _of(1, 2, 2))]),
    Record("the gradient of max_pool2d that overlaps", lambda x, ct: F.vjp(max_pool2d(x, 3, stride=(1, 2)), x, ct),
           [(_distinct(2, 4, 5), _of(2, 2, 2))], covers=("share_max",), symbolic=[("n", 4, 5), ("n", 2, 2)]),
    Record("the tangent of max_pool1d", lambda x, t: F.jvp(max_pool1d(x, 2), x, t), [(_distinct(2, 7), _of(2, 7))],
           covers=("at_max",), symbolic=[("n", 7), ("n", 7)]),
]  # fmt: skip


# Correlations --------------------------------------------------------------------------------------------------------


def _correlate(t: Any, w: Any, stride: int = 1, dilation: int = 1) -> Any:
    every = _windows(t, t.ndim - 3, w.shape[-3], stride, dilation)
    return np.einsum("...iqrp,...iro->...qop", every, w)


def _weights(u: Any, t: Any, stride: int, dilation: int, places: int) -> Any:
    return np.einsum("...qop,...iqrp->...iro", u, _windows(t, t.ndim - 3, places, stride, dilation))


def _rows(u: Any, w: Any, stride: int, dilation: int, rows: int) -> Any:
    return _folded(np.einsum("...iro,...qop->...iqrp", w, u), u.ndim - 3, rows, stride, dilation)


_U, _T, _W = _of(4, 3, 2), _of(6, 2, 2), _of(3, 2, 3)

CORRELATIONS = [
    *[
        Record(f"correlate {fields} of {symbolic}", lambda t, w, op=Correlate(*fields): make(op, t, w), samples, covers=("correlate",),
               reference=lambda t, w, fields=fields: _correlate(t, w, *fields), symbolic=symbolic, sizes=sizes)  # type: ignore[arg-type]
        for fields, samples, symbolic, sizes in [
            ((), [(_T, _W), (_complex(3, 2, 2), _complex(3, 2, 3)), (_of(2, 5, 2, 3), _of(2, 2, 2, 1))], [(6, 2, "n"), (3, 2, 3)],
             ({"n": 3}, {"n": 1}, {"n": 0})),
            ((), [(_T, _of(1, 2, 3)), (_of(2, 3, 1, 1, 2), _of(2, 3, 1, 1, 1))], [("n", 2, 2), (1, 2, 3)], ({"n": 3}, {"n": 1})),
            ((2,), [(_of(7, 2, 1), _W), (_of(2, 6, 1, 2), _of(2, 2, 1, 3))], [("n", 2, 1), (3, 2, 3)], ({"n": 7}, {"n": 4})),
            ((1, 2), [(_T, _of(2, 2, 3)), (_of(2, 6, 1, 2), _of(2, 2, 1, 3))], [(6, 2, "n"), (2, 2, 3)], ({"n": 3}, {"n": 0})),
        ]
    ],
    *[
        Record(f"correlate_weights {fields}", lambda u, t, op=CorrelateWeights(*fields): make(op, u, t), samples,
               covers=("correlate_weights",), reference=lambda u, t, fields=fields: _weights(u, t, *fields), symbolic=symbolic)
        for fields, samples, symbolic in [
            ((1, 1, 3), [(_U, _T), (_of(2, 4, 3, 1), _of(2, 6, 2, 1))], [(4, 3, "n"), (6, 2, "n")]),
            ((2, 1, 2), [(_of(3, 2, 2), _T)], [(3, 2, "n"), (6, 2, "n")]),
            ((1, 2, 2), [(_of(4, 1, 2), _T), (_of(2, 4, 3, 1), _of(2, 6, 2, 1))], [(4, 1, "n"), (6, 2, "n")]),
        ]
    ],
    *[
        Record(f"correlate_rows {fields}", lambda u, w, op=CorrelateRows(*fields): make(op, u, w), samples,
               covers=("correlate_rows",), reference=lambda u, w, fields=fields: _rows(u, w, *fields), symbolic=symbolic)
        for fields, samples, symbolic in [
            ((1, 1, 6), [(_U, _W), (_of(2, 4, 1, 2), _of(2, 3, 2, 1))], [(4, 3, "n"), (3, 2, 3)]),
            ((1, 1, 4), [(_of(2, 3, 2), _W), (_of(4, 3, 2), _of(1, 2, 3))], [(2, 3, "n"), (3, 2, 3)]),
            ((2, 1, 8), [(_of(3, 3, 2), _W)], [(3, 3, "n"), (3, 2, 3)]),
            ((1, 2, 6), [(_of(4, 3, 2), _of(2, 2, 3))], [(4, 3, "n"), (2, 2, 3)]),
        ]
    ],
]  # fmt: skip


# Convolutions --------------------------------------------------------------------------------------------------------


def _conv2d(x: Any, w: Any, b: Any = 0, stride: int = 1, dilation: int = 1, groups: int = 1) -> Any:
    """Windows of both axes of every group, against its kernels."""
    parts = []
    for k, v in zip(np.split(w, groups), np.split(x, groups, axis=1), strict=True):
        every = _windows(_windows(v, 2, w.shape[2], stride, dilation), 4, w.shape[3], stride, dilation)
        parts.append(np.einsum("ncihjw,ocij->nohw", every, k))
    return np.concatenate(parts, axis=1) + np.reshape(b, (-1, 1, 1))


_X2, _W2 = _of(2, 2, 5, 6), _of(3, 2, 3, 2)

CONVOLUTIONS = [
    Record("conv2d", conv2d, [(_X2, _W2, _of(3)), (_of(1, 1, 3, 3), _of(1, 1, 3, 3), _of(1))], covers=("correlate", "columns"),
           reference=_conv2d, symbolic=[("n", 2, 5, 6), (3, 2, 3, 2), (3,)], order=1),
    Record("conv2d with steps", lambda x, w: conv2d(x, w, stride=2, padding=((1, 0), (2, 1)), dilation=(1, 2)), [(_X2, _W2)],
           covers=("correlate", "columns"),
           reference=lambda x, w: _strided(np.pad(x, [(0, 0), (0, 0), (1, 0), (2, 1)]), w),
           symbolic=[("n", 2, 5, 6), (3, 2, 3, 2)], order=1),
    Record("conv2d in groups", lambda x, w: conv2d(x, w, padding="same", groups=2), [(_of(2, 4, 3, 4), _of(2, 2, 3, 1))],
           covers=("correlate",), reference=lambda x, w: _conv2d(np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)]), w, groups=2),
           symbolic=[("n", 4, 3, 4), (2, 2, 3, 1)], order=1),
    Record("conv2d of symbolic images", lambda x, w: conv2d(x, w), [(_X2, _W2)], covers=("correlate", "columns"), reference=_conv2d,
           symbolic=[(2, 2, "h", "w"), (3, 2, 3, 2)], sizes=({"h": 5, "w": 6}, {"h": 3, "w": 2}), order=1),
    Record("conv2d of other numbers", lambda x, w: conv2d(x, w), [(_of(1, 2, 3, 3), _of(1, 2, 2, 2))], covers=("correlate",),
           reference=lambda x, w: _conv2d(x, w, np.zeros(1, np.result_type(x, w))), dtypes="bBhiqQefdFD", order=1),
    Record("conv1d", lambda x, w: conv1d(x, w, stride=2), [(_of(2, 3, 7), _of(2, 3, 3)), (_of(2, 1, 4), _of(1, 1, 1))],
           covers=("correlate",), reference=lambda x, w: _conv2d(x[:, :, None], w[:, :, None], 0, 2)[:, :, 0],
           symbolic=[("n", 3, 7), (2, 3, 3)], order=1),
    Record("conv_transpose2d", lambda x, w: conv_transpose2d(x, w, stride=2, padding=1, output_padding=1),
           [(_of(2, 2, 3, 3), _of(2, 1, 3, 2))], covers=("correlate_rows", "fold"), symbolic=[("n", 2, 3, 3), (2, 1, 3, 2)], order=1),
    *[
        Record(f"{function} {mode}", lambda a, v, f=function, mode=mode: getattr(F, f)(a, v, mode), samples, covers=("convolve",),
               reference=lambda a, v, f=function, mode=mode: getattr(np, f)(a, v, mode), symbolic=[("n",), (3,)],
               sizes=({"n": 5}, {"n": 3}), dtypes="?bBhiqQefdFD")
        for function in ("convolve", "correlate")
        for mode in ("full", "same", "valid")
        for samples in [[(_of(6), _of(3)), (_of(2), _of(5)), (_of(4), _of(4)), (_complex(5), _complex(2)), (_of(1), _of(1))]]
    ],
]  # fmt: skip


def _strided(x: Any, w: Any) -> Any:
    every = _windows(_windows(x, 2, 3, 2), 4, 2, 2, 2)
    return np.einsum("ncihjw,ocij->nohw", every, w)


SLIDING: list[Record] = [*WINDOWS, *POOLING, *CORRELATIONS, *CONVOLUTIONS]
