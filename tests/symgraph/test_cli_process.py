"""The command line as a process of its own: tracebacks, statuses, pipes, signals, and what it imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import symgraph
from symgraph.cli import main

ROOT = str(Path(symgraph.__file__).parents[1])
COMMAND = [sys.executable, "-m", "symgraph"]
MODEL = "import symgraph as sg\nx = sg.symbol('x')\ny = x * x\nstep = sg.function([x], sg.grad(y, x))\n"


def environment() -> dict[str, str]:
    """Without what would change how Python writes."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k not in ("FORCE_COLOR", "COLUMNS")}
    return {**kept, "PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}


def run(folder: Path, *argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command on `model.py` with this text."""
    if text is not None:
        (folder / "model.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return subprocess.run([*COMMAND, *argv], cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)


def as_python_shows_it(folder: Path) -> tuple[int, str]:
    """The status and the error output of `python model.py`."""
    done = subprocess.run(
        [sys.executable, "model.py"], cwd=folder, env=environment(), capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr


def test_the_source_and_nothing_else(tmp_path: Path) -> None:
    done = run(tmp_path, "source", "model.py:step", text=MODEL + "print('chatter')\n")
    assert done.returncode == 0 and done.stderr == "chatter\n"
    assert done.stdout.startswith("from numpy import") and "def f(x):" in done.stdout and "chatter" not in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["model.py"]


@pytest.mark.parametrize(
    "text",
    [
        """
        def deeper():
            return {}["none"]
        try:
            deeper()
        except KeyError as error:
            raise RuntimeError("while building") from error
        """,
        """
        x = (1,
        """,
        """
        from nowhere_at_all import x
        """,
        """
        import symgraph as sg
        y = sg.symbol("x", (2,)) + sg.symbol("y", (3,))
        """,
        """
        import sys
        sys.exit("no data")
        """,
        """
        é = 1
        raise BaseException(é)
        """,
        """
        from . import sibling
        """,
    ],
)
def test_errors_are_shown_as_python_shows_them(tmp_path: Path, text: str) -> None:
    done = run(tmp_path, "draw", "model.py:y", text=text)
    assert (done.returncode, done.stderr) == as_python_shows_it(tmp_path)
    assert done.returncode == 1 and done.stdout == "" and "commands" not in done.stderr


def test_errors_of_a_dotted_module_begin_in_it(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "part.py").write_text("import nowhere_at_all\n")
    done = run(tmp_path, "draw", "package.part:y")
    first, place, _, last = done.stderr.splitlines()
    assert done.returncode == 1 and first == "Traceback (most recent call last):"
    assert place == f'  File "{tmp_path / "package" / "part.py"}", line 1, in <module>'
    assert last == "ModuleNotFoundError: No module named 'nowhere_at_all'"


def test_one_line_for_what_cannot_be_done(tmp_path: Path) -> None:
    done = run(tmp_path, "view", "model.py:stpe", text=MODEL)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "symgraph view: model.py has no 'stpe'; did you mean 'step'?\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("argv", [["source", "model.py:step"], ["--help"]])
def test_a_reader_that_has_gone(tmp_path: Path, argv: list[str]) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*COMMAND, *argv], cwd=tmp_path, env=environment(), stdout=write, stderr=subprocess.PIPE, timeout=120
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "source", "model.py:step"], cwd=tmp_path, env=environment(), stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("symgraph: cannot write the output: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupt(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(100)\n")
    keep = signal.signal(signal.SIGINT, signal.SIG_DFL)  # children of a shell in the background ignore it
    try:
        going = subprocess.Popen(
            [*COMMAND, "draw", "model.py:y"], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, keep)
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    going.send_signal(signal.SIGINT)
    _, err = going.communicate(timeout=60)
    assert (going.returncode, err) == (130, "\nsymgraph draw: interrupted\n")


def test_help_is_short_and_loads_little(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom symgraph.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "print(sorted({'scipy', 'matplotlib', 'networkx', 'sympy', 'graphviz'} & {m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
    )
    *text, loaded = done.stdout.splitlines()
    assert loaded == "[]" and done.stderr == ""
    commands = text[text.index("  command") + 1 : text.index("options:") - 1]
    starts = [i for i, words in enumerate(commands) if words[4] != " "]
    assert [commands[i].split()[0] for i in starts] == ["draw", "view", "source", "explain", "demo"]
    assert all(b - a <= 2 for a, b in zip(starts, [*starts[1:], len(commands)], strict=True))


@pytest.mark.parametrize("command", ["draw", "view", "source", "explain"])
def test_help_of_each_command_has_examples(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and f"examples:\n  symgraph {command} model.py:" in out
    assert max(map(len, out.splitlines())) <= 80
