"""What compiling costs, apart from the workloads: import, compile, call overhead, and long chains.

The figures of `run.py --costs`: medians, with the targets they are held to.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import symgraph as sg

ROOT = Path(__file__).resolve().parents[1]
IMPORT = """
import time
import numpy
start = time.perf_counter()
import symgraph
print(time.perf_counter() - start)
"""


def table(quick: bool) -> str:
    """All figures as a Markdown table; `quick` repeats them less often."""
    from benchmarks import report

    rows = [import_time(3 if quick else 9), compile_time(5 if quick else 21), *overhead(3 if quick else 15)]
    rows += chains(1 if quick else 3)
    head = f"Python {platform.python_version()}, NumPy {np.__version__}, {report.processor()}"
    lines = [f"| {figure} | {median} | {target} |" for figure, median, target in rows]
    return "\n".join([head, "", "| figure | median | target |", "|---|---:|---:|", *lines])


def median(measure: Callable[[], float], repeat: int) -> float:
    """The median of several measurements."""
    return statistics.median(measure() for _ in range(repeat))


def import_time(repeat: int) -> tuple[str, str, str]:
    """Importing symgraph in a fresh process that has NumPy already."""

    def measure() -> float:
        run = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, cwd=ROOT)
        return float(run.stdout)

    measure()  # writes the byte code
    return "`import symgraph` after NumPy", f"{1e3 * median(measure, repeat):.1f} ms", "< 60 ms"


def compile_time(repeat: int) -> tuple[str, str, str]:
    """A 784-128-10 perceptron: loss, gradient, and the compiled training step."""

    def measure() -> float:
        start = time.perf_counter()
        mlp_step()
        return time.perf_counter() - start

    return "MLP 784-128-10: loss, gradient, compile", f"{1e3 * median(measure, repeat):.1f} ms", "< 60 ms"


def mlp_step() -> sg.Function:
    """Softmax cross-entropy and one step of gradient descent."""
    X, y = sg.symbol("X", ("batch", 784), "float32"), sg.symbol("y", ("batch",), "int64")
    weights = [
        sg.parameter(np.zeros(shape, np.float32), name)
        for name, shape in [("W1", (784, 128)), ("b1", 128), ("W2", (128, 10)), ("b2", 10)]
    ]
    W1, b1, W2, b2 = weights
    logits = sg.relu(X @ W1 + b1) @ W2 + b2
    loss = -sg.take_along_axis(sg.log_softmax(logits), y[:, None], axis=1).mean()
    gradients = sg.grad(loss, weights)
    return sg.function([X, y], loss, updates={p: p - 0.1 * g for p, g in zip(weights, gradients)}, name="step")


def overhead(repeat: int, calls: int = 20_000) -> list[tuple[str, str, str]]:
    """What a Function costs above its own source called directly: checks of the arguments, and the parameters' lock."""
    x, y = sg.symbol("x", ("n",)), sg.symbol("y", ("n",))
    w = sg.parameter(np.ones(8), "w")
    n = np.ones(8)
    cases = {
        "no parameters": (sg.function([x, y], x + y, name="f"), {}),
        "one parameter": (sg.function([x, y], x + w * y, updates={w: w + x}, name="f"), {"w": np.ones(8)}),
    }
    rows = []
    for what, (f, values) in cases.items():
        scope = dict(values)
        exec(f.source, scope)

        def measure(f: Callable[..., object] = f, plain: Callable[..., object] = scope["f"]) -> float:  # type: ignore[assignment]
            return (seconds(f, n, calls) - seconds(plain, n, calls)) / calls

        rows.append((f"call above the plain code, {what}", f"{1e6 * median(measure, repeat):.2f} us", "< 2 us"))
    return rows


def seconds(f: Callable[..., object], x: np.ndarray, calls: int) -> float:
    """The time of many calls in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        f(x, x)
    return time.perf_counter() - start


def chains(repeat: int) -> list[tuple[str, str, str]]:
    """Scalar chains of elementary functions: build, gradient, compile."""
    times = {length: median(lambda n=length: chain(n), repeat) for length in (10_000, 50_000)}  # type: ignore[misc]
    rows = [(f"chain of {n:_} nodes: build, grad, compile", f"{t:.2f} s", "") for n, t in times.items()]
    ratio = times[50_000] / times[10_000]
    return [*rows, ("the longer chain over the shorter (5 is linear)", f"{ratio:.1f}", "< 8")]


def chain(length: int) -> float:
    """The time to build, differentiate and compile a chain of `length` nodes."""
    start = time.perf_counter()
    x = sg.symbol("x")
    y = x
    for i in range(length // 2):
        y = (sg.sin(y) if i % 2 else sg.tanh(y)) + x
    f = sg.function([x], [y, sg.grad(y, x)])
    elapsed = time.perf_counter() - start
    assert np.isfinite(f(0.3)).all()
    return elapsed
