"""The command line: what it accepts, and one line with status 2 for what it does not."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import symgraph
from symgraph.cli import EXAMPLES, main

COMMAND = [sys.executable, "-m", "symgraph.cli"]


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line on the error output of a command that ends with status 2."""
    try:
        status: Any = main(argv)
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2 and out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"symgraph {symgraph.__version__}\n"
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--help"])
    assert stop.value.code == 0 and "--epochs N" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["0", "-3", "1.5", "many", "", "1000000000"])
def test_epochs_must_be_a_positive_number(capsys: pytest.CaptureFixture[str], value: str) -> None:
    assert f"{value!r} is not a whole number from 1" in refused(capsys, "demo", f"--epochs={value}")


@pytest.mark.parametrize(
    "argv", [["demo", "--seed=-1"], ["demo", "--model", "forest"], ["demo", "extra"], ["demo", "--out"], ["paint"]]
)
def test_other_arguments(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert refused(capsys, *argv).startswith("symgraph")


def test_a_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "below"):
        line = refused(capsys, "demo", "--out", str(out))
        assert line.startswith(f"symgraph demo: cannot write to {str(out)!r}: ")
    assert file.read_text() == "mine" and list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refused(capsys, "demo", "--out", str(tmp_path))
    finally:
        tmp_path.chmod(0o700)


def test_missing_packages_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in ("sklearn", "tqdm") else found(name, *a)
    )
    line = refused(capsys, "demo", "--out", str(tmp_path / "out"))
    assert line == "symgraph demo: the demo needs scikit-learn, tqdm: run pip install 'symgraph[demo]'\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupt(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "out"
    command = [*COMMAND, "demo", "--epochs=100000", "--out", str(out)]
    keep = signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # what a shell runs in the background ignores it, and so do children
    try:
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, keep)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/.unfinished-*/train_step.py")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=240)
    assert run.returncode == 130 and err == "\nsymgraph demo: interrupted; no file was changed\n"
    assert not out.exists()


def test_the_examples_of_the_help_name_what_the_guide_has():
    """Every `model.py:NAME` and `--node NAME` of the help is a name of the model in the guide to the command line."""
    guide = (Path(__file__).parents[2] / "docs" / "howto" / "command_line.md").read_text(encoding="utf-8")
    model = guide.partition("```{file} model.py\n")[2].partition("```")[0]
    scope: dict = {}
    exec(compile(model, "model.py", "exec"), scope)
    text = "\n".join(EXAMPLES.values())
    names = {n for found in re.findall(r"model\.py:([\w,]+)", text) for n in found.split(",")}
    names |= set(re.findall(r"--(?:node|focus) (\w+)", text))
    assert {"loss", "gradient", "step", "hidden"} <= names
    assert names <= scope.keys()
