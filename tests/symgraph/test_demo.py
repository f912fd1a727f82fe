"""The demo as a whole, once at full length, and its parts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("graphviz")

from symgraph.demo import Settings, data, model, replay, report, run, training
from symgraph.demo.run import FILES, DemoError, summary


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(Settings(tmp_path_factory.mktemp("demo") / "out"))


def test_the_network_learns_the_digits(done: Any) -> None:
    assert done.accuracy >= 0.97
    assert done.history.losses[-1] < 0.2 < done.history.losses[0]
    assert len(done.history.accuracies) == done.settings.epochs


def test_training_without_symgraph_gives_the_same_parameters(done: Any) -> None:
    assert done.proof.packages == ("numpy",)
    assert done.proof.identical or done.proof.difference < 1e-4  # another BLAS may divide its work differently


def test_all_files_are_there_and_nothing_else(done: Any) -> None:
    assert sorted(p.name for p in done.settings.out.iterdir()) == sorted(FILES)
    for name in ("forward.svg", "backward.svg", "loss.svg"):
        assert "<svg" in (done.settings.out / name).read_text()


def test_the_summary_says_it_all(done: Any) -> None:
    text = summary(done)
    assert f"{done.accuracy:.2%} on the 360 test images" in text
    assert all(name in text for name in FILES)
    assert max(map(len, text.splitlines())) < 160


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_self_contained_and_runs_nothing(done: Any) -> None:
    text = (done.settings.out / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    tags = [tag for tag, _ in page.seen]
    assert not {"script", "iframe", "object", "link", "svg"} & set(tags)
    policy = next(a["content"] for _, a in page.seen if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    for _, attributes in page.seen:
        assert not [a for a in attributes if a.startswith("on") or a == "style"]
        source = attributes.get("src") or attributes.get("srcset")
        assert source is None or source.startswith("data:image/")
        assert "://" not in attributes.get("href", "")
    assert {a["href"] for t, a in page.seen if t == "a" and not a["href"].startswith("#")} == set(FILES)
    assert "$" not in re.sub(r"(?s)<style>.*?</style>", "", text).replace("$ ", "")
    ids = {a["id"] for _, a in page.seen if "id" in a}
    targets = {a["href"][1:] for t, a in page.seen if t == "a" and a["href"].startswith("#")}
    assert targets and targets <= ids


def test_the_shipped_classifier_needs_numpy_alone(done: Any, tmp_path: Path) -> None:
    digits = data.load(done.settings.seed)
    np.save(tmp_path / "x.npy", digits.test.pixels)
    program = (
        "import sys, json, numpy as np, predict; print(json.dumps(predict.predict(np.load(sys.argv[1]))[0].tolist()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x.npy")], cwd=done.settings.out, capture_output=True, text=True
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert np.mean(json.loads(ran.stdout) == digits.test.labels) == done.accuracy


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    first = run(Settings(tmp_path, "logistic", epochs=1, seed=3))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    again = run(Settings(tmp_path, "logistic", epochs=1, seed=3))
    after = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert set(before) == set(after) == {*FILES, "mine.txt"} and after["mine.txt"] == b"kept"
    assert {n for n in before if before[n] != after[n]} <= {"report.html"}  # it holds times
    assert first.accuracy == again.accuracy > 0.5
    for name in ("predict.npz", "train_step.npz"):
        with np.load(tmp_path / name) as arrays:
            assert all(np.isfinite(arrays[key]).all() for key in arrays)


def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.html").write_text("earlier")

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "page", fail)
    with pytest.raises(DemoError, match=r"cannot write to .*: No space left on device"):
        run(Settings(tmp_path, "logistic", epochs=1))
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"report.html": "earlier"}
    monkeypatch.undo()
    (tmp_path / "loss.svg").mkdir()
    with pytest.raises(DemoError, match="that is a folder"):
        run(Settings(tmp_path, "logistic", epochs=1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["loss.svg", "report.html"]


def test_without_graphviz_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)
    with pytest.raises(DemoError, match=r"cannot be drawn: no Graphviz program was found; pip install") as info:
        run(Settings(tmp_path / "out", epochs=1))
    assert str(tmp_path) not in str(info.value) and not (tmp_path / "out").exists()


def test_the_proof_notices_a_difference(tmp_path: Path) -> None:
    digits = data.load(0)
    built = model.logistic(np.random.default_rng(0))
    step, predict = model.training_step(built), model.predictor(built, digits.mean, digits.scale)
    step.export(tmp_path / "train_step.py")
    training.train(step, predict, digits, 0, 1)
    assert training.prove(tmp_path, step, digits, 0, 1).identical
    built.parameters[0].value = built.parameters[0].value + np.float32(1e-3)
    proof = training.prove(tmp_path, step, digits, 0, 1)
    assert not proof.identical and 5e-4 < proof.difference < 2e-3
    (tmp_path / "train_step.py").write_text("import symgraph\n")
    with pytest.raises(RuntimeError, match="failed without symgraph: ModuleNotFoundError"):
        training.prove(tmp_path, step, digits, 0, 1)


def test_the_parts_of_the_data_are_apart() -> None:
    digits = data.load(1)
    sizes = [len(p) for p in (digits.train, digits.validation, digits.test)]
    assert sizes == [1257, 180, 360]
    images = [image.tobytes() for part in (digits.train, digits.validation, digits.test) for image in part.pixels]
    assert len(set(images)) == 1797
    normalized = (digits.train.pixels - digits.mean) / digits.scale
    assert normalized.dtype == np.float32 and abs(normalized.mean()) < 1e-5
    assert not np.array_equal(data.load(2).test.labels, digits.test.labels)


def test_batches_come_from_the_seed_and_end_at_the_last_rate() -> None:
    digits = data.load(0)
    first, second = (list(training.mini_batches(digits, 7, 2)) for _ in range(2))
    assert len(first) == 2 * (1257 // replay.BATCH)
    for (x, y, rate), (x2, y2, rate2) in zip(first, second, strict=True):
        assert x.dtype == np.float32 and y.dtype == np.int64
        assert np.array_equal(x, x2) and np.array_equal(y, y2) and rate == rate2
    rates = [rate for _, _, rate in first]
    assert rates[0] == replay.RATE and rates == sorted(rates, reverse=True) and rates[-1] > replay.LAST_RATE


def test_moved_images() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    one = np.ones((1, 1, 1), np.float32)
    assert np.array_equal(replay.moved(image, 0 * one, 1), image)
    down = replay.moved(image, one, 1)
    assert np.array_equal(down[0, 1:], image[0, :-1]) and not down[0, 0].any()
    left = replay.moved(image, -one, 2)
    assert np.array_equal(left[0, :, :-1], image[0, :, 1:]) and not left[0, :, -1].any()
    np.testing.assert_allclose(replay.moved(image, 0.25 * one, 1), 0.75 * image + 0.25 * down)


def test_listings_escape_and_number_every_line() -> None:
    shown = report.listing('x = "</pre><script>"  # model.py:7\nif x < 1:\n    pass', 5, anchors=True, links={7})
    assert "<script>" not in shown and "&lt;/pre&gt;&lt;script&gt;" in shown and "x &lt; " in shown
    assert re.findall(r"<i>(\d+)</i>", shown) == ["5", "6", "7"]
    assert '<a href="#model-7">model.py:7</a>' in shown and 'id="model-5"' in shown
    assert '<span class="k">if</span>' in shown
    assert report.listing("'unfinished <b>") == '<span class="line"><i>1</i>&#x27;unfinished &lt;b&gt;</span>'
