"""What notebooks show: formulas, pictures and source, and nothing at all rather than an error."""

import pickle

import numpy as np
import pytest

import symgraph as sg
from symgraph.viz import display, engine


def model():
    x = sg.symbol("x", ("n",))
    return x, sg.named(sg.tanh(x).sum(), "loss")


def test_tensors_show_a_formula_and_a_picture():
    x, loss = model()
    assert "tanh" in loss._repr_latex_()
    if engine.find_engine("svg"):
        assert loss._repr_svg_().startswith("<svg") and "loss = •.sum()" in loss._repr_svg_()
    assert sg.grad(loss, x)._repr_svg_() is not None


def test_functions_show_their_source_without_what_every_module_carries():
    x, loss = model()
    shown = sg.function([x], [loss, sg.grad(loss, x)])._repr_html_()
    assert "np.tanh" in shown and "class _Workspace" not in shown and "<img alt=" in shown
    assert "<script" not in shown and 'style="color:' in shown


def test_hostile_names_are_text():
    x = sg.symbol("<script>alert(1)</script>", (2,))
    shown = sg.function([x], sg.named(sg.sin(x), "<i>"), name="f")._repr_html_()
    assert "<script" not in shown and "<i>" not in shown


def test_large_graphs_and_missing_programs_fall_back(monkeypatch):
    x = sg.symbol("x")
    y = x
    for _ in range(display.MOST_NODES):
        y = sg.sin(y)
    assert y._repr_svg_() is None
    f = sg.function([x], sg.sin(x))
    monkeypatch.setattr(engine.shutil, "which", lambda *a, **k: None)
    assert sg.sin(x)._repr_svg_() is None and f._repr_svg_() is None
    assert "<img" not in f._repr_html_() and "sin" in f._repr_html_()


def test_a_loaded_function_shows_its_source():
    x, loss = model()
    f = pickle.loads(pickle.dumps(sg.function([x], loss)))
    assert "np.tanh" in f._repr_html_() and f._repr_svg_() is None


def test_long_sources_are_cut():
    x = sg.symbol("x", (3,))
    y, outputs = x, []
    for i in range(300):
        y = sg.sin(y @ np.ones((3, 3)) * (i + 1.5))
        outputs.append(y)
    assert "more lines in .source" in sg.function([x], outputs, style="plain")._repr_html_()


@pytest.mark.parametrize("name", ["_repr_svg_", "_repr_latex_"])
def test_values_with_several_outputs_show_nothing_or_text(name):
    pair = sg.linalg.slogdet(sg.symbol("A", (2, 2)))
    shown = getattr(pair[0], name)()
    assert shown is None or isinstance(shown, str)
