"""Columns in order, and curves from column to column that stay clear of nodes and inside the picture."""

import re
from itertools import pairwise

import numpy as np
import pytest

import symgraph as sg
from symgraph.viz import draw, engine
from symgraph.viz.picture import Edge
from symgraph.viz.placement import layout, place
from symgraph.viz.routes import CLEAR, Box, Routes, _sampled
from symgraph.viz.selection import picture
from symgraph.viz.theme import THEMES

pytest.importorskip("graphviz")


def kinks():
    x = sg.symbol("x", (5,))
    y = sg.where(x > 0, sg.sqrt(sg.maximum(x, 1e-3)), sg.clip(x, -1, 1) ** 2)
    s = sg.named(y.sum(), "s")
    return [s, sg.grad(s, x)]


def third_order():
    x = sg.symbol("x")
    f = sg.named(x**3 * sg.sin(x), "f")
    first = sg.grad(f, x)
    second = sg.grad(first, x)
    return [f, first, second, sg.grad(second, x)]


def unrolled():
    x, W = sg.symbol("x", (3, "batch", 4)), sg.parameter(np.eye(4), "W")
    h = sg.zeros((x.shape[1], 4))
    for t in range(3):
        with sg.scope("cell"):
            h = sg.tanh(x[t] @ W + h @ W)
    loss = sg.named((h * h).sum(), "loss")
    return [loss, sg.grad(loss, W)]


MODELS = [kinks, third_order, unrolled]


def program():
    try:
        engine.find_engine("svg")
    except sg.SymgraphError:
        pytest.skip("no Graphviz program")


@pytest.mark.parametrize("optimize", [False, True, "both"])
@pytest.mark.parametrize("model", MODELS)
def test_columns_stand_in_order_and_apart(model, optimize):
    program()
    shown = picture(model(), optimize)
    boxes = layout(shown, True, THEMES["light"]).boxes
    spans = []
    for column in shown.columns:
        mine = [boxes[n.key] for n in shown.nodes if (n.side, n.order) == column]
        spans.append((min(b.x - b.width / 2 for b in mine), max(b.x + b.width / 2 for b in mine)))
    assert len(spans) > 1 and all(a[1] < b[0] for a, b in pairwise(spans))


@pytest.mark.parametrize("model", MODELS)
def test_curves_pass_by_nodes_inside_the_picture(model):
    program()
    shown = picture(model(), True)
    laid = layout(shown, True, THEMES["light"])
    boxes = laid.boxes
    across = [e for e in shown.edges if e in laid.routes]
    left, right = min(b.x - b.width / 2 for b in boxes.values()), max(b.x + b.width / 2 for b in boxes.values())
    assert across
    for edge in across:
        curve = laid.routes[edge]
        others = [b for key, b in boxes.items() if key not in (edge.tail, edge.head)]
        for x, y in _sampled(curve):
            assert left <= x <= right, "no curve leaves the picture at a side"
            assert not any(
                abs(x - b.x) < b.width / 2 - CLEAR and abs(y - b.y) < b.height / 2 - CLEAR for b in others
            ), edge
        tail, head = boxes[edge.tail], boxes[edge.head]
        for (x, y), b in ((curve[0], tail), (curve[-1], head)):
            assert abs(x - b.x) <= b.width / 2 + 7 and abs(y - b.y) <= b.height / 2 + 7


def test_a_curve_goes_straight_where_nothing_is_in_the_way_and_else_along_a_strip():
    boxes = {"a": Box(0, 0, 40, 20), "wall": Box(100, 0, 40, 20), "b": Box(200, 0, 40, 20), "c": Box(100, 60, 40, 20)}
    column = {"a": 0, "wall": 1, "b": 1, "c": 1}
    routes = Routes(boxes, column).of([Edge("a", "wall"), Edge("a", "b")])
    assert {y for _, y in routes[Edge("a", "wall")]} == {0}
    detour = routes[Edge("a", "b")]
    assert max(abs(y) for _, y in detour) > 10 + CLEAR
    assert not any(abs(x - 100) < 20 and abs(y) < 10 for x, y in _sampled(detour))


@pytest.mark.parametrize("model", MODELS)
def test_every_edge_is_drawn_once(model, tmp_path):
    program()
    shown = picture(model())
    text = draw(model(), tmp_path / "m.svg", legend=False).read_text()
    drawn = re.findall(r'<g id="edge\d+" class="edge">\s*<title>(n\d+)&#45;&gt;(n\d+)</title>\s*<path', text)
    assert sorted(tuple(sorted(pair)) for pair in drawn) == sorted(tuple(sorted((e.tail, e.head))) for e in shown.edges)
    assert len(place(shown).routes) == len(shown.edges)


@pytest.mark.parametrize("model", MODELS)
def test_titles_of_columns_stand_above_the_parts_in_them(model):
    program()
    placed = place(picture(model(), by="line"))
    assert placed.frames
    for frame in placed.frames:
        column = placed.columns[frame.order]
        assert frame.box.y - frame.box.height / 2 >= column.y - column.height / 2 + 20
        assert 0 <= column.x - column.width / 2 and column.x + column.width / 2 <= placed.width
