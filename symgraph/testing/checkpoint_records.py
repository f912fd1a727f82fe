"""Records of the ops that pass a value through to say when it is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import make
from ..ops.base import as_tensor
from ..ops.checkpoint import Barrier, checkpoint
from ..ops.late import F
from .ops import Record

_x = np.array([[0.3, -0.4, 0.5], [0.7, 0.2, -0.9]])


def _segment(x: Any) -> Any:
    return checkpoint(F.sin(checkpoint(lambda h: F.tanh(F.exp(h)))(x))) * 2


def _barrier(x: Any, y: Any) -> Any:
    return F.sin(make(Barrier(), as_tensor(x), as_tensor(y))) * x


CHECKPOINTS: list[Record] = [
    Record("checkpoint", _segment, [(_x,), (np.asarray(0.4),), (_x[:0],)], covers=("checkpoint",),
           reference=lambda x: np.sin(np.tanh(np.exp(x))) * 2, symbolic=[("n", 3)]),
    Record("barrier", _barrier, [(_x, _x[0]), (_x[:0], np.asarray(0.5))], covers=("barrier",),
           reference=lambda x, y: np.sin(x) * x, symbolic=[("n", 3), ("n",)]),
]  # fmt: skip
