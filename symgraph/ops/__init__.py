"""The operations of the library, one file per family."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

FAMILIES = (
    "elementwise", "special", "reduce", "statistics", "norm", "softmax", "cumulative", "shape", "joining", "indexing", "creation", "diagonal",
    "contract", "linalg", "control", "random",
)  # fmt: skip


def functions() -> dict[str, Any]:
    """Every public function of every family, by name."""
    found: dict[str, Any] = {}
    for family in FAMILIES:
        if importlib.util.find_spec(f"{__name__}.{family}") is None: continue  # TEMPORARY
        module = importlib.import_module(f"{__name__}.{family}")
        table = getattr(module, "FUNCTIONS", None)
        found.update(table if table is not None else {name: getattr(module, name) for name in module.__all__})
    return found
