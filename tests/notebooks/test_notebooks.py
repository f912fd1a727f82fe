"""The notebooks are programs that check what their text says: here they run, and their form and their pictures are checked.

A notebook is a Python file in the percent format: cells begin with `# %%`, those of text with `# %% [markdown]`, and text
is commented. Beside it may lie what came out when it was run, as an `.ipynb` file. None of this needs Jupyter.
"""

import ast
import json
import re
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted(FOLDER.glob("[0-9]*.py"))
RENDERED = sorted(FOLDER.glob("*.ipynb"))
MARKS = {"# %%": "code", "# %% [markdown]": "markdown"}
LARGEST = 300_000
TO_RENDER = "the notebook has changed since: render it anew by `python notebooks/_render.py NAME`"


def cells(text):
    """(kind, source) of each cell, as Jupyter shows them; what stands before the first, a header, is left out."""
    found = []
    for line in text.splitlines():
        if line.startswith("# %%"):
            found.append((MARKS[line], []))
        elif found:
            found[-1][1].append(line)
    return [(kind, _uncommented(lines) if kind == "markdown" else "\n".join(lines).strip()) for kind, lines in found]


def _uncommented(lines):
    lines = "\n".join(lines).strip("\n").split("\n")
    assert all(line == "#" or line.startswith("# ") for line in lines), "text that is not commented"
    return "\n".join(line[2:] for line in lines)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_a_notebook_runs(path, capsys):
    """Warnings are errors, as everywhere in the tests; what the text claims is asserted in the code."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.close("all")
    try:
        runpy.run_path(str(path), run_name="notebook")
        figures = [plt.figure(number) for number in plt.get_fignums()]
        assert all(figure.axes for figure in figures)
        for figure in figures:
            figure.canvas.draw()  # labels are typeset only now
    finally:
        plt.close("all")
    assert ("plt.subplots" in path.read_text()) == bool(figures)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_a_notebook_has_text_that_is_checked_by_code(path):
    found = cells(path.read_text())
    texts = [source for kind, source in found if kind == "markdown"]
    codes = [source for kind, source in found if kind == "code"]
    assert found[0][0] == "markdown" and texts[0].startswith("# ")
    assert len(texts) >= 5 and all(texts) and all(codes)
    for source in texts:
        assert source.replace(r"\$", "").count("$") % 2 == 0, f"a formula without its end:\n{source}"
    checks = 0
    for source in codes:
        checks += sum(_checks(node) for node in ast.walk(ast.parse(source)))
    assert checks >= 5


def _checks(node):
    called = (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("assert_")
    )
    return called or isinstance(node, ast.Assert)


def test_the_readme_names_every_notebook():
    text = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"\((\w+)\.py\)", text)) == {path.stem for path in SOURCES}
    assert set(re.findall(r"\((\w+)\.ipynb\)", text)) == {path.stem for path in RENDERED}


@pytest.mark.parametrize("path", RENDERED, ids=lambda p: p.stem)
def test_a_rendered_notebook_shows_its_source(path):
    assert path.stat().st_size <= LARGEST
    shown = json.loads(path.read_text())["cells"]
    source = path.with_suffix(".py").read_text()
    assert [(c["cell_type"], "".join(c["source"])) for c in shown] == cells(source), TO_RENDER
    assert all(c["execution_count"] for c in shown if c["cell_type"] == "code"), TO_RENDER
    outputs = [o for c in shown if c["cell_type"] == "code" for o in c["outputs"]]
    kinds = {o["output_type"] for o in outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}, "an error"
    assert {o["name"] for o in outputs if o["output_type"] == "stream"} <= {"stdout"}, "a warning"


# The checks themselves -----------------------------------------------------------------------------------------------


def test_cells_are_taken_apart():
    text = "# ---\n# header\n# ---\n\n# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\n# %%\n\n\ndef f():\n    pass\n"
    assert cells(text) == [("markdown", "# Title\n\ntext"), ("code", "x = 1"), ("code", "def f():\n    pass")]


@pytest.mark.parametrize("text", ["# %% [markdown]\nnot commented\n", "# %% [raw]\n# x\n"])
def test_cells_that_are_not_of_the_format_are_refused(text):
    with pytest.raises((AssertionError, KeyError)):
        cells(text)
