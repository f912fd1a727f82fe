"""The operations of the library, one file per family."""

from __future__ import annotations

import importlib
from typing import Any

FAMILIES = (
    "elementwise", "special", "reduce", "statistics", "norm", "cumulative", "softmax", "shape", "joining", "diagonal",
    "indexing", "creation", "contract", "linalg", "triangular", "factored", "control", "checkpoint", "custom", "mapped", "random",
    "windows", "pool", "conv", "convolve", "sorting", "quantiles", "nans", "comparing", "differences", "singular",
)  # fmt: skip


def functions() -> tuple[dict[str, Any], dict[str, Any]]:
    """The public functions of every family by name, and those meant for the rules of other families alone."""
    public: dict[str, Any] = {}
    late: dict[str, Any] = {}
    for family in FAMILIES:
        module = importlib.import_module(f"{__name__}.{family}")
        public.update({name: getattr(module, name) for name in module.__all__})
        late.update(getattr(module, "LATE", {}))
    return public, late
