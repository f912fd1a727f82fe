"""Several threads: their number changes no result, errors come back as they are, and no fork, exit or nesting hangs."""

from __future__ import annotations

import _thread
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from codegen import blocks

A = np.random.default_rng(0).normal(size=40_000)


def made(**options: Any) -> Any:
    x = sg.symbol("x", ("n",))
    return sg.function([x], [sg.exp(-x * x) + sg.tanh(x), sg.sin(x * x).sum()], **{"tile": 1000, **options})


def run(body: str, timeout: float = 60) -> str:
    head = """
import os, sys, threading, time
import numpy as np
import symgraph as sg
a = np.random.default_rng(0).normal(size=40_000)
x = sg.symbol("x", ("n",))
w = sg.parameter(0.0, "w")
outputs = [sg.exp(-x * x) + sg.tanh(x), sg.sin(x * x).sum()]
f = sg.function([x], outputs, threads=4, tile=1000)
step = sg.function([x], outputs[1], {w: w + 1}, threads=4, tile=1000)
one = sg.function([x], outputs, threads=1, tile=1000)
wanted = one(a)
def right(found):
    return np.array_equal(found[0], wanted[0]) and found[1] == wanted[1]
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", head + textwrap.dedent(body)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_results_are_the_same_bits_for_any_number_of_threads() -> None:
    wanted = made(threads=1)(A)
    for threads in (None, 2, 3, 8):
        f = made(threads=threads)
        for _ in range(5):
            found = f(A)
            assert np.array_equal(found[0], wanted[0]) and found[1] == wanted[1]


def test_one_thread_needs_no_pool() -> None:
    source = made(threads=1).source
    assert "blockwise(" in source and "_thread." not in source and "queue" not in source and "contextvars" not in source
    assert made(threads=1).source.splitlines()[0] == "import numpy as np"  # with a tile of its own it asks for no cache
    assert "import _thread" in made(threads=2).source


def test_functions_share_one_pool() -> None:
    made(threads=3)(A)
    before = _thread._count()
    for _ in range(10):
        made(threads=3)(A)
    assert _thread._count() == before
    assert made(threads=3)._function.__globals__["process"] is blocks.process


def test_many_threads_call_one_function() -> None:
    f = made(threads=3)
    inputs = [A + i for i in range(8)]
    wanted = [f(a) for a in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for found, known in zip(pool.map(f, inputs), wanted, strict=True):
                assert np.array_equal(found[0], known[0]) and found[1] == known[1]
    free = f._function.__globals__["workspace"].free
    assert 1 <= sum(map(len, free.values())) <= 8  # one for each call that ran at the same time


def test_an_error_in_a_block_comes_back_as_it_is_and_the_workspace_with_it() -> None:
    f = made(threads=3)
    f(A)
    free = f._function.__globals__["workspace"].free
    assert [len(kept) for kept in free.values()] == [1]
    for at in (0, 20_500, 39_999):  # in the block of any thread
        bad = A.copy()
        bad[at] = 1e200
        with pytest.raises(FloatingPointError, match="overflow"), np.errstate(over="raise"):
            f(bad)
        assert [len(kept) for kept in free.values()] == [1]
    assert np.isfinite(f(A)[1])


def test_warnings_are_those_of_the_calling_thread() -> None:
    bad = np.full(40_000, np.inf)
    with np.errstate(all="ignore"):
        made(threads=4)(bad)
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        made(threads=4)(bad)


def test_a_pool_after_a_fork() -> None:
    out = run("""
        assert right(f(a))
        for _ in range(3):
            child = os.fork()
            if not child:
                try:
                    good = right(f(a)) and step(a) == wanted[1] and w.value == 1
                finally:
                    os._exit(0 if good else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert right(f(a))
        print("ok")
    """)
    assert out == "ok\n"


def test_a_fork_while_other_threads_call() -> None:
    run("""
        stop = threading.Event()
        def work():
            while not stop.is_set():
                f(a)
                step(a)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads:
            t.start()
        failed = 0
        for _ in range(20):
            child = os.fork()
            if not child:
                good = 0
                try:
                    before = w.value
                    step(a)
                    good = right(f(a)) and w.value == before + 1
                finally:
                    os._exit(0 if good else 1)
            failed += os.waitpid(child, 0)[1] != 0
        stop.set()
        for t in threads:
            t.join()
        assert not failed, failed
    """)


def test_the_end_of_the_interpreter_while_calls_run() -> None:
    out = run("""
        import atexit
        def work():
            while True:
                f(a)
        for _ in range(2):
            threading.Thread(target=work, daemon=True).start()
        def last():
            assert right(f(a))  # no more threads are to be had
            print("last")
        atexit.register(last)
        f(a)
        time.sleep(0.05)
    """)
    assert out == "last\n"


def test_a_call_from_a_thread_that_outlives_the_main_one() -> None:
    out = run("""
        def work():
            threading.main_thread().join()
            print(right(f(a)), right(f(a)))
        threading.Thread(target=work).start()
    """)
    assert out == "True True\n"


def test_no_threads_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: Any) -> None:
        raise RuntimeError("can't start new thread")

    f = made(threads=7)
    wanted = made(threads=1)(A)
    monkeypatch.setattr(_thread, "start_new_thread", none)
    for _ in range(2):
        found = f(A)
        assert np.array_equal(found[0], wanted[0]) and found[1] == wanted[1]


def test_a_pool_whose_threads_are_all_busy_delays_nobody() -> None:
    f = made(threads=2)
    wanted = f(A)[1]
    key = next(k for k in blocks.process if isinstance(k, tuple) and k[1] == 2)
    hold, ended = threading.Event(), threading.Event()
    blocks.process[key].put((lambda: (hold.wait(30), ended.set()),))
    try:
        assert f(A)[1] == wanted and not ended.is_set()  # what is queued behind it is not waited for
    finally:
        hold.set()


def test_a_function_called_within_a_call_of_another() -> None:
    x, w = sg.symbol("x", ("n",)), sg.parameter(1.0, "w")
    inner = sg.function([x], [sg.exp(-x * x).sum() + sg.tanh(x).sum() * w], {w: w + 1}, threads=3, tile=1000)
    with ThreadPoolExecutor(2) as pool:
        first = list(pool.map(lambda _: inner(A)[0], range(4)))
    assert w.value == 5 and len({float(v) for v in first}) == 4


def test_several_updates_from_other_threads_than_the_main_one() -> None:
    x, w, b = sg.symbol("x", ("n",)), sg.parameter(np.zeros(2), "w"), sg.parameter(np.zeros(2), "b")
    f = sg.function([x], [], {w: w + x.sum(), b: b - x.sum()})
    assert not f._kept.whole
    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: f([1.0, 1.0]), range(200)))
    assert np.array_equal(w.value, [400, 400]) and np.array_equal(b.value, [-400, -400])
    assert signal.getsignal(signal.SIGINT) is before


def test_joined_turns_still_exclude_each_other() -> None:
    """Two functions that are compiled first and joined later, by a third."""
    x, w, b = sg.symbol("x"), sg.parameter(0.0, "w"), sg.parameter(0.0, "b")
    first, second = sg.function([x], [], {w: w + x}), sg.function([x], [], {b: b + x})
    both = sg.function([x], [w + b], {w: w + x, b: b + x})
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda k: (first, second, both)[k % 3](1.0), range(600)))
    assert w.value == b.value == 400
