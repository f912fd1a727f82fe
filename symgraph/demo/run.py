"""All of the demo in one function, and the folder it leaves: complete, or as it was before."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import symgraph as sg

    from .data import Digits
    from .model import Model
    from .training import History, Proof

NEEDS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "tqdm": "tqdm", "graphviz": "graphviz"}


class DemoError(RuntimeError):
    """The demo cannot be run as asked; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    out: Path = Path("symgraph-demo")
    model: str = "mlp"
    epochs: int = 120
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """Everything that the summary and the report tell."""

    settings: Settings
    digits: Digits
    model: Model
    step: sg.Function
    predict: sg.Function
    compile_seconds: float
    history: History
    accuracy: float
    proof: Proof
    files: tuple[str, ...]
    seconds: float


def run(settings: Settings) -> Result:
    """Load, build, train, prove, draw and report; the files appear in `settings.out` together, at the end.

    Raises `DemoError` (a RuntimeError) for packages that are missing and a folder that cannot be written, before any work.
    """
    missing = [package for module, package in NEEDS.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise DemoError(f"the demo needs {', '.join(missing)}: run  pip install 'symgraph[demo]'")
    begin = time.perf_counter()
    with staging(settings.out) as folder:
        result = _run(settings, folder, begin)
    return result


def _run(settings: Settings, folder: Path, begin: float) -> Result:
    from . import data, report, training
    from . import model as models

    digits = data.load(settings.seed)
    started = time.perf_counter()
    model = models.MODELS[settings.model](np.random.default_rng([settings.seed, 1]))
    step = models.training_step(model)
    predict = models.predictor(model, digits.mean, digits.scale)
    compile_seconds = time.perf_counter() - started

    pictures(model, folder)
    step.export(folder / "train_step.py")
    history = training.train(step, predict, digits, settings.seed, settings.epochs)
    proof = training.prove(folder, step, digits, settings.seed, settings.epochs)
    predict.export(folder / "predict.py")
    accuracy = training.accuracy(predict, digits.test)
    report.loss_curve(history, folder / "loss.svg")
    files = tuple(name for name in FILES if (folder / name).exists() or name == "report.html")
    result = Result(
        settings, digits, model, step, predict, compile_seconds, history, accuracy, proof, files, time.perf_counter() - begin
    )  # fmt: skip
    (folder / "report.html").write_text(report.page(result, folder), encoding="utf-8")
    return result


def pictures(model: Model, folder: Path) -> None:
    """The graph of the loss, and the graph of the loss with its gradients: the nodes that the training step uses."""
    import symgraph as sg
    from symgraph.viz import draw

    try:
        draw(model.loss, folder / "forward.svg")
        draw([model.loss, *sg.grad(model.loss, model.parameters)], folder / "backward.svg")
    except sg.SymgraphError as error:
        raise DemoError(f"the graph cannot be drawn: {str(error).partition(' The graph is in ')[0]}") from error


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A hidden folder inside `out`; if all goes well its files replace those of `out`, and if not nothing is left of it."""
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=out))
    except OSError as error:
        raise DemoError(f"cannot write to {str(out)!r}: {reason(error)}") from None
    try:
        yield folder
        files = sorted(folder.iterdir(), key=lambda p: p.suffix == ".html")
        for file in files:
            if (out / file.name).is_dir():
                raise DemoError(f"cannot write {str(out / file.name)!r}: that is a folder")
        for file in files:
            os.replace(file, out / file.name)
    except OSError as error:
        raise DemoError(f"cannot write to {str(out)!r}: {reason(error)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made and not any(out.iterdir()):
            out.rmdir()


def reason(error: OSError) -> str:
    """Why, in the words of the operating system."""
    return error.strerror or str(error)


def summary(result: Result) -> str:
    """The last word on the terminal."""
    s, d, p, h = result.settings, result.digits, result.proof, result.history
    out = s.out
    count = sum(q.value.size for q in result.model.parameters)
    shape = " - ".join(map(str, layer_sizes(result.model)))
    same = "the same parameters, bit for bit" if p.identical else f"parameters within {p.difference:.1e}"
    validation = f"{h.accuracies[-1]:.1%} validation" if h.accuracies else ""
    listed = "\n".join(f"             {name:<16}{FILES.get(name, '')}".rstrip() for name in result.files[:-1])
    return f"""
  Data       1797 handwritten digits: {len(d.train)} to train, {len(d.validation)} to validate, {len(d.test)} to test
  Model      {s.model} {shape}, {count:,} parameters, softmax cross-entropy, Adam
  Compiled   {result.compile_seconds * 1e3:.0f} ms from formula to NumPy source, gradients included
  Trained    {len(h.losses):,} steps, {s.epochs} epochs in {h.seconds:.1f} s; running loss {h.losses[-1]:.3f}, {validation}
  Proved     without symgraph, with {" and ".join(p.packages)} alone: {same}
  Accuracy   {result.accuracy:.2%} on the {len(d.test)} test images

  Written    {out / "report.html"}: all of it on one page
{listed}
  Total      {result.seconds:.1f} s

  Next       open {out / "report.html"} in a browser
             read {out / "train_step.py"}: what symgraph wrote, with the lines of model.py it came from
             cd {shlex.quote(str(out))} && python -c "import predict; print(predict.predict([[8.0] * 64]))"
"""


FILES = {
    "forward.svg": "the model as a graph",
    "backward.svg": "its gradients, each beside what it belongs to",
    "loss.svg": "how training went",
    "train_step.py": "the training step, which needs NumPy alone",
    "train_step.npz": "its initial parameters",
    "predict.py": "the trained classifier, which needs NumPy alone",
    "predict.npz": "its parameters",
    "report.html": "this page",
}


def layer_sizes(model: Model) -> list[int]:
    """64, 128, 10: the sizes of the layers."""
    matrices = [p.value.shape for p in model.parameters if p.ndim == 2]
    return [matrices[0][0], *[shape[1] for shape in matrices]]
