"""report.html: one page that holds everything it shows, runs no script, and loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import inspect
import io
import re
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from ..viz.highlight import highlighted
from . import model as models
from .run import FILES, Result, layer_sizes

if TYPE_CHECKING:
    from .training import History

LIGHT = {"text": "#20242b", "grid": "#d9d5cb", "loss": "#2f5d8c", "accuracy": "#b4451f"}
DARK = {"text": "#e4e1d8", "grid": "#3b3f47", "loss": "#85b4e3", "accuracy": "#f08a5d"}


def page(result: Result, folder: Path) -> str:
    """The report, with the pictures that are in `folder` inside it."""
    template = Template((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    style = re.search(r"<style>(.*?)</style>", template.template, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    s, h, p = result.settings, result.history, result.proof
    dark = io.BytesIO()
    loss_curve(h, dark, DARK)
    model_source, numbers = model_listing(models.MODELS[s.model], models.cross_entropy, models.training_step)
    wrong = mistakes(result)
    count = sum(q.value.size for q in result.model.parameters)
    return template.substitute(
        style_hash=f"sha256-{digest}",
        model="a network of two layers" if s.model == "mlp" else "logistic regression",
        layers=" – ".join(map(str, layer_sizes(result.model))),
        accuracy=f"{100 * result.accuracy:.2f}",
        right=len(result.digits.test) - len(wrong),
        tested=len(result.digits.test),
        parameters=f"{count:,}",
        compiled=f"{result.compile_seconds * 1e3:.0f}",
        trained=f"{h.seconds:.2f}",
        steps=f"{len(h.losses):,}",
        microseconds=f"{h.seconds / len(h.losses) * 1e6:.0f}",
        epochs=s.epochs,
        seed=s.seed,
        train=len(result.digits.train),
        validation=len(result.digits.validation),
        validation_accuracy=f"{h.accuracies[-1]:.1%}" if h.accuracies else "not measured",
        last_loss=f"{h.losses[-1]:.3f}",
        model_source=model_source,
        step_source=listing(result.step.source, links=numbers),
        forward=picture(folder / "forward.svg", "the graph of the loss"),
        backward=picture(folder / "backward.svg", "the graph of the loss and its gradients"),
        loss_light=data_uri((folder / "loss.svg").read_bytes()),
        loss_dark=data_uri(dark.getvalue()),
        packages=escape(" and ".join(p.packages)),
        numpy=escape(p.numpy),
        verdict="identical, bit for bit" if p.identical else f"equal to within {p.difference:.1e}",
        proof_seconds=f"{p.seconds:.1f}",
        mistakes="\n".join(wrong) or "<p>There are none.</p>",
        wrong=len(wrong),
        files="\n".join(
            f'<tr><td><a href="{escape(name)}">{escape(name)}</a></td><td>{escape(FILES.get(name, ""))}</td></tr>'
            for name in result.files
        ),
    )


# Listings ------------------------------------------------------------------------------------------------------------


def model_listing(*functions: Callable[..., Any]) -> tuple[str, set[int]]:
    """The given functions of model.py as they stand there, and the numbers of the lines that are shown."""
    parts: list[str] = []
    numbers: set[int] = set()
    for function in functions:
        lines, start = inspect.getsourcelines(function)
        parts.append(listing("".join(lines), start, anchors=True))
        numbers.update(range(start, start + len(lines)))
    return "\n\n".join(parts), numbers


def listing(source: str, start: int = 1, anchors: bool = False, links: Iterable[int] = ()) -> str:
    """Source with line numbers and quiet colours. Lines of model.py that comments name become links to its listing."""
    shown = []
    targets = set(links)
    for number, line in enumerate(highlighted(source), start):
        line = re.sub(
            r"model\.py:(\d+)",
            lambda m: f'<a href="#model-{m[1]}">{m[0]}</a>' if int(m[1]) in targets else m[0],
            line,
        )
        anchor = f' id="model-{number}"' if anchors else ""
        shown.append(f'<span class="line"{anchor}><i>{number}</i>{line}</span>')
    return "\n".join(shown)


# Pictures ------------------------------------------------------------------------------------------------------------


def loss_curve(history: History, target: Any, colours: dict[str, str] = LIGHT) -> None:
    """The running loss by step and the validation accuracy by epoch, as SVG on a clear ground."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    plain = {"svg.hashsalt": "symgraph", "font.family": "sans-serif", "font.size": 10, "axes.spines.top": False}
    with matplotlib.rc_context({**plain, "axes.spines.right": False, "text.color": colours["text"]}):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        FigureCanvasSVG(figure)
        left, right = figure.subplots(1, 2)
        steps = np.arange(1, len(history.losses) + 1)
        left.plot(steps, history.losses, color=colours["loss"], lw=1.6)
        left.set(yscale="log", xlabel="step", title="Running loss")
        epochs = np.arange(1, len(history.accuracies) + 1)
        mark = "o" if len(epochs) < 3 else None
        right.plot(epochs, 100 * np.array(history.accuracies), color=colours["accuracy"], lw=1.6, marker=mark)
        right.set(xlabel="epoch", title="Validation accuracy (%)")
        for axes in (left, right):
            axes.grid(True, color=colours["grid"], lw=0.7)
            axes.set_axisbelow(True)
            axes.patch.set_alpha(0)
            axes.tick_params(which="both", colors=colours["text"], length=0)
            axes.xaxis.label.set_color(colours["text"])
            axes.title.set_color(colours["text"])
            for spine in axes.spines.values():
                spine.set_color(colours["grid"])
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


def picture(path: Path, description: str) -> str:
    """An SVG inside the page, as an image: nothing in it can run or style the page."""
    return f'<img src="{data_uri(path.read_bytes())}" alt="{escape(description)}">'


def data_uri(content: bytes, kind: str = "image/svg+xml") -> str:
    """The bytes as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def mistakes(result: Result) -> list[str]:
    """Each test image whose digit was not found, with what it is and what it was taken for."""
    from matplotlib import image

    test = result.digits.test
    found, probability = result.predict(test.pixels)
    figures = []
    for i in np.flatnonzero(found != test.labels):
        png = io.BytesIO()
        image.imsave(png, test.pixels[i].reshape(8, 8), cmap="gray_r", vmin=0, vmax=16, format="png")
        is_, as_ = int(test.labels[i]), int(found[i])
        figures.append(
            f'<figure><img src="{data_uri(png.getvalue(), "image/png")}" alt="a handwritten {is_}">'
            f"<figcaption><b>{is_}</b> read as <b>{as_}</b><br>p = {probability[i]:.2f}</figcaption></figure>"
        )
    return figures
