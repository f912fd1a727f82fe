"""The README shows only what really comes out."""

import contextlib
import io
import re
import shlex
import shutil
import webbrowser
from pathlib import Path

import pytest

from symgraph.cli import main

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


def commands() -> list[list[str]]:
    text = README.read_text(encoding="utf-8")
    return [shlex.split(line, comments=True) for line in re.findall(r"^symgraph \w+ model\.py.*$", text, re.MULTILINE)]


@pytest.mark.parametrize("command", commands(), ids=lambda words: words[1])
def test_the_commands_work_on_the_program_shown(command, tmp_path, monkeypatch, capsys):
    """Each command as it stands, with the program in `model.py`; and with the options that stand in its comment."""
    if command[1] in ("draw", "view"):
        pytest.importorskip("graphviz")
        if shutil.which("dot") is None:
            pytest.skip("Graphviz is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    (tmp_path / "model.py").write_text(blocks()[0], encoding="utf-8")
    rest = {"draw": [[], ["--both"], ["--focus", "p"], ["--depth", "1"]], "source": [[], ["--style", "plain"]]}
    text = README.read_text(encoding="utf-8")
    for options in rest.get(command[1], [[]]):
        assert " ".join(options) in text
        assert main([*command[1:], *options]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out


def test_there_is_a_command_of_each_kind():
    assert [words[1] for words in commands()] == ["draw", "view", "source", "explain"]
