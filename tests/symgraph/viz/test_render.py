"""DOT text and files: plain labels whatever the names, deterministic text, engines and their failures, atomic files."""

import os
import re
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import symgraph as sg
from symgraph.viz import draw, to_graphviz
from symgraph.viz import engine as rendering

pytest.importorskip("graphviz")
HOSTILE = [
    "x); import os",
    "<script>alert(1)</script>",
    '"; a -> b; "',
    "back\\slash\\",
    "new\nline",
    "\u202eright",
    "&lt;b&gt;",
    "\\N",
    "<b>",
]


def model():
    x = sg.symbol("x", ("n",))
    loss = sg.named(sg.tanh(x).sum(), "loss")
    return {"loss": loss, "grad": sg.grad(loss, x)}


def engine():
    try:
        return rendering.find_engine("svg")
    except sg.SymgraphError:
        pytest.skip("no Graphviz program")


def fake(folder, name, text):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_never_markup(name, tmp_path):
    engine()
    x = sg.symbol(name)
    path = draw([sg.named(sg.sin(x) * x, name), x], tmp_path / "a.svg")
    tree = ET.parse(path)  # well-formed
    texts = [t.text or "" for t in tree.iter("{http://www.w3.org/2000/svg}text")]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert any(t.replace("\xa0", " ") == shown for t in texts)
    assert not [e for e in tree.iter() if e.tag.endswith("script")]
    assert "\u202e" not in path.read_text()


def test_the_same_model_gives_the_same_text():
    assert to_graphviz(model()).source == to_graphviz(model()).source
    assert not re.search(r"0x[0-9a-f]{6}", to_graphviz(model()).source)


def test_text_does_not_depend_on_the_hash_seed():
    program = (
        "import symgraph as sg; from symgraph.viz import to_graphviz\n"
        "x, y = sg.symbol('x', ('n',)), sg.symbol('y'); f = (sg.exp(x) * y + x / y).sum(); print(to_graphviz([f, *sg.grad(f, [x, y])]).source)"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "12"
    }
    assert len(texts) == 1


@pytest.mark.parametrize("suffix", ["svg", "png", "dot", "gv"])
def test_formats(suffix, tmp_path):
    engine()
    path = draw(model(), str(tmp_path / f"m.{suffix}"))
    start = {"svg": b"<?xml", "png": b"\x89PNG"}.get(suffix, b"digraph")
    assert path.read_bytes().startswith(start)
    assert os.listdir(tmp_path) == [path.name]


def test_pdf_needs_the_system_program(tmp_path):
    if shutil.which("dot"):
        assert draw(model(), tmp_path / "m.pdf").read_bytes().startswith(b"%PDF")
    else:
        with pytest.raises(sg.SymgraphError, match=r"Graphviz|PDF"):
            draw(model(), tmp_path / "m.pdf")


def test_forward_is_drawn_on_the_left(tmp_path):
    engine()
    tree = ET.parse(draw(model(), tmp_path / "m.svg"))
    left = {t.text: float(t.get("x")) for t in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert left["forward"] < left["backward"]


def test_no_program_leaves_the_text_and_names_the_remedies(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering.shutil, "which", lambda *a, **k: None)
    with pytest.raises(sg.SymgraphError, match=r"symgraph\[viz\].*apt-get.*brew.*m\.dot"):
        draw(model(), tmp_path / "m.svg")
    assert os.listdir(tmp_path) == ["m.dot"]


def test_a_program_that_hangs_or_fails(tmp_path):
    with pytest.raises(sg.SymgraphError, match=r"more than 0\.2 s"):
        draw(model(), tmp_path / "m.svg", engine=fake(tmp_path, "slow", "import time; time.sleep(60)"), timeout=0.2)
    with pytest.raises(sg.SymgraphError, match="boom"):
        draw(model(), tmp_path / "m.svg", engine=fake(tmp_path, "bad", "import sys; sys.exit('boom')"))
    with pytest.raises(sg.SymgraphError, match="no program 'absent'"):
        draw(model(), tmp_path / "m.svg", engine="absent")
    assert not (tmp_path / "m.svg").exists()


def test_bad_paths(tmp_path):
    with pytest.raises(ValueError, match="must end in one of"):
        draw(model(), tmp_path / "m.bmp")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        draw(model(), tmp_path / "absent" / "m.svg")


def test_foreign_and_cyclic_outputs_write_nothing(tmp_path):
    x = sg.symbol("x")
    itself = [x]
    itself.append(itself)
    by_key = {"a": x}
    by_key["b"] = by_key
    for outputs, error in ((itself, ValueError), (by_key, ValueError), ("x", TypeError), ([x, object()], TypeError),
                           (sg, TypeError), ([], sg.SymgraphError), ({}, sg.SymgraphError)):  # fmt: skip
        for write, name in ((draw, "m.svg"), (sg.view, "m.html")):
            with pytest.raises(error, match=r"holds? itself|cannot be used as a tensor|hold no tensor"):
                write(outputs, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_long_chains_give_text():
    x = sg.symbol("x")
    y = x
    for _ in range(50_000):
        y = sg.sin(y)
    assert to_graphviz(y).source.count("sin") >= 50_000


def test_large_graphs_are_laid_out(tmp_path):
    engine()
    x = sg.symbol("x")
    y = x
    for i in range(200):
        y = sg.sin(y) + x if i % 3 else sg.exp(y) * x
    assert draw([y, sg.grad(y, x)], tmp_path / "m.svg", timeout=30).exists()


def test_importing_viz_loads_no_optional_package():
    program = "import sys, symgraph.viz; print(sorted({'graphviz', 'networkx', 'matplotlib'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )
