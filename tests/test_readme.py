"""The README shows only what really comes out."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_program_prints_the_source_shown_below_it():
    program, shown = blocks()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "model.py", "exec"), {})
    assert printed.getvalue().rstrip() == shown.rstrip()


def test_the_shown_source_runs():
    import numpy as np

    scope = {"w": np.zeros(3)}
    exec(blocks()[1], scope)
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(64, 3))
    ys = (xs @ [1.0, -2.0, 0.5] > 0).astype(float)
    losses = [scope["step"](xs, ys) for _ in range(200)]
    assert losses[0] == np.log(2)
    assert losses[-1] < 0.3
