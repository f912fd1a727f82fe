"""The tables say what was measured, and why something was not."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.run import disagreement

ROOT = Path(__file__).parents[2]

FOUND = {
    "machine": "a machine",
    "measured": [
        {
            "name": "w",
            "title": "A workload",
            "threads": "1",
            "peers": {
                "symgraph": {"first": 0.01, "memory": 50.4, "rounds": [[1e-3, 1.2e-3, 1e-3], [4e-3]]},
                "numpy": {"first": 1e-4, "memory": 40, "rounds": [[1e-3], [2e-3]]},
                "jax": {"first": 0.5, "memory": 200, "rounds": [[2e-3], [8e-3]]},
                "torch": {"first": 0.5, "memory": 200, "rounds": [[3e-3], [9e-3]]},
                "autograd": {"error": "not installed"},
            },
        }
    ],
}


def test_tables():
    rows = [line for line in report.tables(FOUND).splitlines() if line.startswith("| A workload")]
    assert rows == [
        "| A workload | **1.10 ms** | 1.50 ms | 5.00 ms | 6.00 ms | – | 0.50 | 1.50 |",
        "| A workload | 10.0 ms | 100 us | 500 ms | 500 ms | – |",
        "| A workload | 50 | 40 | 200 | 200 | – |",
    ]
    assert "- autograd, not installed: w" in report.tables(FOUND)


def test_ratios_compare_turn_by_turn():
    """The machine became four times slower in the second turn; half the time of JAX it was all along."""
    peers = FOUND["measured"][0]["peers"]
    assert report.best(peers) == "jax"
    assert report.ratio(peers, "jax") == pytest.approx(0.5)
    assert report.ratio(peers, "autograd") is None


@pytest.mark.parametrize(
    "value, text", [(2.0, "2.00 s"), (0.0123, "12.3 ms"), (4e-4, "400 us"), (2.5e-7, "250 ns"), (3e-10, "0.30 ns")]
)
def test_seconds(value, text):
    assert report.seconds(value) == text


def test_disagreement(tmp_path):
    np.savez(tmp_path / "numpy.npz", np.ones(3), np.float64(2))
    np.savez(tmp_path / "jax.npz", np.ones((3, 1)) + 1e-9, np.float64(2))
    np.savez(tmp_path / "torch.npz", np.ones(3), np.float64(np.nan))
    np.savez(tmp_path / "autograd.npz", np.ones(3))
    assert not disagreement(tmp_path, "jax", 1e-8)
    assert "differs by 1.0e-09" in disagreement(tmp_path, "jax", 1e-10)
    assert "differs by nan" in disagreement(tmp_path, "torch", 1e-8)
    assert "1 results, not 2" in disagreement(tmp_path, "autograd", 1e-8)


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    report.plot(FOUND, tmp_path / "figures.svg")
    assert "A workload" in (tmp_path / "figures.svg").read_text() or (tmp_path / "figures.svg").stat().st_size > 5000


def test_the_command(tmp_path):
    """From the command line to the files: one workload, small."""
    command = [
        sys.executable,
        "benchmarks/run.py",
        "density",
        "--small",
        "--quick",
        "--threads",
        "1",
        "--peers",
        "numpy",
    ]
    subprocess.run([*command, "--seconds", "0.01", "--results", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (measured,) = json.loads((tmp_path / "figures.json").read_text())["measured"]
    for peer in ("symgraph", "numpy"):
        assert "error" not in measured["peers"][peer]
        assert len(measured["peers"][peer]["rounds"]) == 3
    assert "One thread" in (tmp_path / "tables.md").read_text()
