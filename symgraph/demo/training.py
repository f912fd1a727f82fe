"""The training loop, and the proof that the exported step needs NumPy alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg

from . import replay
from .data import Digits, Part

SMOOTHING = 0.02
"""The weight of the newest loss in the running loss Q <- weight * L + (1 - weight) * Q."""


@dataclass
class History:
    """What happened: the running loss after every step, the validation accuracy after every epoch."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: float = 0.0


def train(step: sg.Function, predict: sg.Function, digits: Digits, seed: int, epochs: int) -> History:
    """Train on mini-batches, showing the running loss and the validation accuracy where the error output is a terminal."""
    from tqdm import tqdm

    history = History()
    per_epoch = len(digits.train) // replay.BATCH
    average: float | None = None
    begin = time.perf_counter()
    with one_thread(), tqdm(total=epochs * per_epoch, desc="training", unit="step", disable=None, leave=False) as bar:
        for i, (x, y, rate) in enumerate(mini_batches(digits, seed, epochs), 1):
            loss = float(step(x, y, rate))
            average = loss if average is None else SMOOTHING * loss + (1 - SMOOTHING) * average
            history.losses.append(average)
            if i % per_epoch == 0:
                history.accuracies.append(accuracy(predict, digits.validation))
                bar.update(per_epoch)
                bar.set_postfix(loss=f"{average:.4f}", validation=f"{history.accuracies[-1]:.1%}", refresh=False)
    history.seconds = time.perf_counter() - begin
    return history


def mini_batches(digits: Digits, seed: int, epochs: int) -> Iterator[tuple[Any, Any, float]]:
    """The batches of this run, from the training part alone."""
    return replay.batches(digits.train.pixels, digits.train.labels, digits.mean, digits.scale, seed, epochs)


def accuracy(predict: sg.Function, part: Part) -> float:
    """The share of images whose digit is found."""
    return float((predict(part.pixels)[0] == part.labels).mean())


@dataclass(frozen=True)
class Proof:
    """What a fresh interpreter without symgraph computed, compared with the training here."""

    identical: bool
    difference: float
    """The largest absolute difference of any parameter; 0 when they are identical."""
    packages: tuple[str, ...]
    """Every package outside the standard library that the run imported."""
    numpy: str
    seconds: float


def prove(folder: Path, step: sg.Function, digits: Digits, seed: int, epochs: int) -> Proof:
    """Train again in a subprocess that cannot import symgraph, with `folder`/train_step.py and NumPy, on the same batches.

    `folder` holds the exported step with the initial parameters. Raises `RuntimeError` when the subprocess fails.
    """
    data: dict[str, Any] = dict(
        pixels=digits.train.pixels, labels=digits.train.labels, mean=digits.mean, scale=digits.scale
    )
    np.savez(folder / "run.npz", seed=seed, epochs=epochs, **data)
    home = str(Path(np.__file__).resolve().parents[1])
    threads = dict.fromkeys(
        ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"], "1"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-I", str(Path(replay.__file__).resolve()), str(folder.resolve()), home],
        env={**os.environ, **threads}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RuntimeError(f"train_step.py failed without symgraph: {last[0]}")
    said = json.loads(done.stdout)
    if not said["blocked"]:
        raise RuntimeError("symgraph could be imported in the subprocess that was to do without it")
    difference, identical = 0.0, True
    with np.load(folder / "replayed.npz") as replayed:
        for name, p in step.parameters.items():
            mine, other = p.value, replayed[name]
            identical &= mine.dtype == other.dtype and mine.tobytes() == other.tobytes()
            difference = max(difference, float(np.max(np.abs(mine - other), initial=0)))
    for name in ("run.npz", "replayed.npz"):
        (folder / name).unlink()
    return Proof(identical, difference, tuple(said["packages"]), said["numpy"], seconds)


@contextmanager
def one_thread() -> Iterator[None]:
    """Matrix products on one thread: these are too small to share, and waiting threads would steal the time."""
    try:
        from threadpoolctl import threadpool_limits  # comes with scikit-learn
    except ImportError:
        yield
        return
    with threadpool_limits(1):
        yield
