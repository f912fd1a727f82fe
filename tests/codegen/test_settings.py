"""Threads and tiles: their ranges, where they come from, and that neither the machine nor a request changes a result's meaning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from codegen import blocks, cache
from codegen.program import Program
from codegen.support import NAMES, body, support
from symgraph import CompileError

A = np.random.default_rng(0).normal(size=100_003)


def made(**options: Any) -> Any:
    x = sg.symbol("x", ("n",))
    return sg.function([x], [sg.exp(-x * x) + sg.tanh(x), sg.sin(x * x).sum()], **options)


@pytest.mark.parametrize("value", [0, -1, True, 1.0, 2.5, "2", 10**9, np.float64(2), float("nan")])
def test_threads_out_of_range(value: Any) -> None:
    message = f"threads={value!r} must be an int from 1 to 1024, or None for as many as the process may use"
    with pytest.raises(CompileError, match=re.escape(message)):
        made(threads=value)


@pytest.mark.parametrize("value", [0, -1, False, 4096.0, "big", 1 << 31])
def test_a_tile_out_of_range(value: Any) -> None:
    message = f"tile={value!r} must be an int from 1 to 1073741824: the elements of an array that a block has"
    with pytest.raises(CompileError, match=re.escape(message)):
        made(tile=value)


@pytest.mark.parametrize("size", ["0", "-5", "1e6", "1MB", " "])
def test_a_cache_size_that_is_no_number(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMGRAPH_CACHE_BYTES", size)
    with pytest.raises(
        CompileError, match=re.escape(f"SYMGRAPH_CACHE_BYTES={size!r} must be a positive number of bytes")
    ):
        made()


@pytest.mark.parametrize("tile", [1000, 7777, 99_999, 100_003, 1 << 30])
@pytest.mark.parametrize("threads", [None, 1, 2, 50])
def test_any_tile_gives_the_same_values(tile: int, threads: int | None) -> None:
    values, total = made(tile=tile, threads=threads)(A)
    assert np.array_equal(values, np.exp(-A * A) + np.tanh(A))
    assert np.isclose(total, np.sin(A * A).sum(), rtol=1e-13)


@pytest.mark.parametrize("tile", [1, 3])
def test_blocks_of_few_rows(tile: int) -> None:
    values, total = made(tile=tile)(A[:50])
    assert np.array_equal(values, np.exp(-(A[:50] ** 2)) + np.tanh(A[:50])) and np.isclose(
        total, np.sin(A[:50] ** 2).sum()
    )


def rows_of(f: Any, monkeypatch: pytest.MonkeyPatch, size: int) -> int:
    lengths: list[int] = []
    kernel = lambda part: lengths.append(len(part))
    scope = f._function.__globals__
    monkeypatch.setitem(cache.asked, "bytes", size)
    rows = int(re.search(r"blockwise\(f_block1, n, (\d+)", f.source)[1])  # type: ignore[index]
    scope["blockwise"](kernel, len(A), rows, (A,), ())
    assert sum(lengths) == len(A)
    return max(lengths)


def test_a_block_has_as_many_rows_as_fit_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    f = made(threads=1)
    at_one = rows_of(f, monkeypatch, 1 << 20)
    assert rows_of(f, monkeypatch, 1 << 19) == at_one // 2
    assert rows_of(f, monkeypatch, 1 << 18) == at_one // 4
    assert rows_of(f, monkeypatch, 1) == 1
    fixed = made(threads=1, tile=5000)
    assert rows_of(fixed, monkeypatch, 1 << 21) == rows_of(fixed, monkeypatch, 1 << 19) == 5000


def test_the_text_does_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    source = made().source
    monkeypatch.setitem(cache.asked, "bytes", 1 << 22)
    monkeypatch.setenv("SYMGRAPH_CACHE_BYTES", "123456")
    assert made().source == source


def asked(**environment: str) -> list[str]:
    program = "from codegen.cache import cache\nfrom codegen.blocks import THREADS\nprint(cache(), cache(), THREADS)"
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True
    ).stdout.split()


def test_the_environment_overrides_what_the_system_says() -> None:
    assert asked(SYMGRAPH_CACHE_BYTES="654321")[:2] == ["654321", "654321"]
    size = int(asked(SYMGRAPH_CACHE_BYTES="")[0])
    assert 1 << 18 <= size <= 1 << 22


def test_the_system_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "asked", {})
    monkeypatch.delenv("SYMGRAPH_CACHE_BYTES", raising=False)
    calls = []

    def missing(path: str) -> Any:
        calls.append(path)
        raise FileNotFoundError(path)

    monkeypatch.setattr("builtins.open", missing)
    assert [cache.cache() for _ in range(3)] == [1 << 20] * 3
    assert len(calls) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_the_default_is_as_many_threads_as_the_process_may_use() -> None:
    program = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nfrom codegen.blocks import THREADS\nprint(THREADS)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert blocks.THREADS == len(os.sched_getaffinity(0))


def test_all_names_of_the_text_are_known() -> None:
    import ast

    defined = set()
    for threads in (None, 1):
        for node in ast.parse(support(True, True, Program("f", (), (), (), threads=threads))).body:
            defined |= {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            defined |= {t.id for t in targets if isinstance(t, ast.Name)}
    assert defined | {"os", "queue", "contextvars"} == NAMES
    assert "def cache" in body(cache)


@pytest.mark.parametrize("style, shape", [("fast", (3,)), ("plain", (3,)), ("plain", ())])  # Python's floats never ask
def test_a_call_that_overflows_under_errstate_leaves_parameters_as_they_were(style, shape):
    p, q = sg.parameter(np.full(shape, 1.0), "p"), sg.parameter(np.full(shape, 1e308), "q")
    f = sg.function([], sg.sum(p), {p: p + 1, q: q * 10}, style=style)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        f()
    assert np.all(p.value == 1) and np.all(q.value == 1e308)
    with np.errstate(over="ignore"):
        assert f() == np.sum(np.ones(shape))
    assert np.all(p.value == 2) and np.all(np.isinf(q.value))
