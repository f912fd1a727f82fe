"""Records of the ops with which a step of an optimizer solves for its direction; they have no derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Symbol, make_fresh
from ..ops.definite import least_squares, solve_definite, solve_definite_banded
from ..ops.late import F
from ..ops.truncated import truncated_cg
from .ops import Record

_a = np.array([[4.0, 1.0, -1.0], [0.5, 3.0, 1.0], [-1.0, 0.5, 5.0]])
_b = np.array([0.5, -1.5, 2.0])
_bands = np.array([[4.0, 5.0, 6.0, 7.0], [1.0, -2.0, 0.5, 0.0], [0.3, 0.2, 0.0, 0.0]])
_indefinite = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
_sizes = ({"n": 4}, {"n": 1})


def _dense(bands: Any) -> Any:
    below = sum(np.diag(band[: len(band) - k], -k) for k, band in enumerate(bands))
    return below + np.tril(below, -1).T


def _solved(a: Any, b: Any) -> Any:
    a = np.tril(a) + np.tril(a, -1).T
    return np.linalg.solve(a, b) if np.linalg.eigvalsh(a).min() > 0 else np.full_like(b, np.nan)


def _within(a: Any, g: Any, radius: Any) -> Any:
    v = make_fresh(Symbol("v", g.aval))
    return truncated_cg(g, radius, v, F.matvec(F.tril(a) + F.tril(a, -1).T, v), 20)


def _within_reference(a: Any, g: Any, radius: Any) -> Any:
    """With few numbers and a radius that is small or large: along the gradient, or all the way."""
    a = np.tril(a) + np.tril(a, -1).T
    p = -g * radius / np.linalg.norm(g) if radius < 1 else -np.linalg.solve(a, g)
    return p, a @ p


OPTIM: list[Record] = [
    Record("solve_definite", solve_definite, [(_a, _b)], singular=[(_indefinite, _b)], reference=_solved, order=0,
           symbolic=[("n", "n"), ("n",)], sizes=_sizes),
    Record("solve_definite_banded", solve_definite_banded, [(_bands, np.arange(4.0)), (_bands[:2], np.arange(4.0))],
           singular=[(-_bands, np.arange(4.0)), (-_bands[:2], np.arange(4.0))], order=0,
           reference=lambda bands, b: _solved(_dense(bands), b)),
    Record("least_squares", least_squares, [(np.vstack([_a, _a**2]), np.arange(6.0)), (_a, _b)], order=0,
           singular=[(_a[:, [0, 1, 1]], _b)], symbolic=[("n", 3), ("n",)], sizes=({"n": 6}, {"n": 9}),
           reference=lambda a, b: np.linalg.lstsq(a, b)[0] if np.linalg.matrix_rank(a) == 3 else np.full(3, np.nan)),
    Record("truncated_cg", _within, [(_a, np.array([1e-6, -2e-6, 3e-6]), np.asarray(9.0)), (_a, _b, np.asarray(0.05))],
           reference=_within_reference, order=0, rtol=1e-3, float32=False),
]  # fmt: skip
