"""What symbolic sizes are taken to be where ways of computing something are compared before any call.

    with expecting({"batch": 8}): ...       # (A @ B) @ v or A @ (B @ v)?

Sizes that nobody expects anything of count as a number that the asker chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from .dims import Size, evaluate, variables

_expected: ContextVar[tuple[tuple[str, int], ...]] = ContextVar("expected", default=())


@contextmanager
def expecting(sizes: Mapping[str, int] | None) -> Iterator[None]:
    """Within the block, dimensions are expected to be as in `sizes`."""
    token = _expected.set(tuple((sizes or {}).items()))
    try:
        yield
    finally:
        _expected.reset(token)


def expected(size: Size, otherwise: int) -> int:
    """A size as a number, at least 1; dimensions of which nothing is known count as `otherwise`."""
    return size if isinstance(size, int) else _number(size, otherwise, _expected.get())


@lru_cache(maxsize=4096)
def _number(size: Size, otherwise: int, sizes: tuple[tuple[str, int], ...]) -> int:
    known = dict(sizes)
    return max(1, evaluate(size, {v: known.get(v.name, otherwise) for v in variables(size)}))
