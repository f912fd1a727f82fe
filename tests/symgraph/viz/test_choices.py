"""What of a graph is shown: parts, depth, focus, boxes, both sides of rewriting, themes; and what is refused."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest

import symgraph as sg
from symgraph.viz import draw, picture, to_graphviz, to_networkx
from symgraph.viz.selection import ENOUGH
from symgraph.viz.theme import THEMES

HOSTILE = ["<b>x</b>", '"; a -> b; "', "new\nline", "\u202eright", "\\N", "a/b"]


def network(layers=3, name=lambda i: f"layer{i + 1}"):
    """A deep network in scopes: its training step and its loss."""
    x = sg.symbol("x", ("batch", 4))
    h, parameters = x, []
    for i in range(layers):
        with sg.scope(name(i)):
            W, b = sg.parameter(np.zeros((4, 4)), f"W{i + 1}"), sg.parameter(np.zeros(4), f"b{i + 1}")
            h = sg.named(sg.tanh(h @ W + b), f"h{i + 1}")
        parameters += [W, b]
    loss = sg.named((h * h).mean(), "loss")
    updates = {p: p - 0.1 * g for p, g in zip(parameters, sg.grad(loss, parameters), strict=True)}
    return sg.function([x], loss, updates=updates, optimize=False), loss, x


def boxes(shown):
    return [n.text for n in shown.nodes if n.kind == "group"]


def paths(shown):
    return {n.text: tuple(map(str, n.parts)) for n in shown.nodes}


# Parts ---------------------------------------------------------------------------------------------------------------


def test_scopes_nest_and_gradients_belong_to_them():
    x = sg.symbol("x", (3,))
    with sg.scope("model"):
        with sg.scope("inner"):
            h = sg.named(sg.tanh(x), "h")
        y = h * h
    loss = y.sum()
    shown = picture([loss, sg.grad(loss, x)])
    assert paths(shown)["h = tanh(x)"] == ("model", "inner")
    assert paths(shown)["h * h"] == ("model",) and paths(shown)["x"] == ()
    adjoint = next(n for n in shown.nodes if n.role == "adjoint of h")
    assert [str(p) for p in adjoint.parts] == ["model", "inner"]


def test_scopes_of_one_name_are_numbered_and_one_scope_goes_on():
    x = sg.symbol("x")
    values = []
    for _ in range(2):
        with sg.scope("cell"):
            values.append(sg.sin(x * (len(values) + 2)))
    again = sg.scope("tail")
    with again:
        a = sg.exp(values[0] * values[1])
    with again:
        b = sg.log(a + 2)
    found = paths(picture([b]))
    assert found["x * 2"] == ("cell 1",) and found["x * 3"] == ("cell 2",)
    assert {path for text, path in found.items() if text.startswith(("exp", "log"))} == {("tail",)}


def test_the_gradient_of_a_leaf_that_several_parts_use_belongs_to_none():
    x, W = sg.symbol("x", (2, 3)), sg.parameter(np.eye(3), "W")
    h = x
    for _ in range(2):
        with sg.scope("cell"):
            h = sg.tanh(h @ W)
    y = h.sum()
    shown = picture([y, *sg.grad(y, [x, W])])
    found = {n.role: [str(p) for p in n.parts] for n in shown.nodes if n.kind == "gradient"}
    assert found == {"gradient of x": ["cell 1"], "gradient of W": []}


def test_scope_as_a_decorator_and_after_an_error():
    @sg.scope("block")
    def block(x):
        return sg.tanh(x)

    x = sg.symbol("x")
    assert paths(picture(block(x) + 1))["tanh(x)"] == ("block",)
    with pytest.raises(ZeroDivisionError), sg.scope("broken"):
        1 / 0
    assert sg.sin(x).where.scopes == ()
    for bad, error in ((3, TypeError), ("  ", ValueError)):
        with pytest.raises(error, match="scope"):
            sg.scope(bad)


def test_scopes_change_no_source():
    def model(scoped):
        x = sg.symbol("x", ("n",))
        y = sg.scope("a")(lambda v: sg.tanh(v) * 2)(x) if scoped else (lambda v: sg.tanh(v) * 2)(x)
        return sg.function([x], y.sum(), comments=False).source

    assert model(True) == model(False)


def test_parts_by_name_and_by_line():
    _, loss, _ = network(2)
    named = paths(picture(loss, by="name"))
    assert named["x @ W1"] == ("h1",) and named["h1 @ W2"] == ("h2",) and named["x"] == ()
    by_line = paths(picture(loss, by="line"))
    assert by_line["x @ W1"][0] == "test_choices.py" and by_line["x @ W1"] == by_line["h1 @ W2"]
    with pytest.raises(ValueError, match=r"by='file'"):
        picture(loss, by="file")


# Boxes ---------------------------------------------------------------------------------------------------------------


def test_depth_zero_has_one_box_for_each_part_and_order():
    step, _, _ = network(2)
    shown = picture(step, depth=0)
    words = ("", ", backward", ", to new values")
    assert sorted(boxes(shown)) == [f"layer{k}{word}" for k in (1, 2) for word in words]
    assert {n.kind for n in shown.nodes} >= {"input", "output", "gradient", "update", "group"}
    assert not any(n.parts for n in shown.nodes)
    layer = next(n for n in shown.nodes if n.text == "layer1")
    assert layer.count == 5 and "2 parameters" in layer.role and layer.type == "(batch, 4) float64"


def test_counts_are_kept_by_every_collapse():
    step, _, _ = network(4)
    total = len(picture(step).nodes)
    for choice in ({"depth": 0}, {"collapse": "repeats"}, {"collapse": "elementwise"}, {"by": "line", "depth": 1},
                   {"collapse": ["elementwise", "repeats"]}, {"collapse": "layer2"}):  # fmt: skip
        shown = picture(step, **choice)
        assert sum(n.count for n in shown.nodes) == total and len(shown.nodes) < total, choice
        keys = {n.key for n in shown.nodes}
        assert all(e.tail in keys and e.head in keys and e.tail != e.head for e in shown.edges)


def test_repeated_parts_are_one_box_by_number_or_by_structure():
    step, _, _ = network(5)
    assert any(text.startswith("layer × 5") for text in boxes(picture(step, collapse="repeats")))
    step, _, _ = network(5, lambda i: "cell")
    assert "cell × 5" in boxes(picture(step, collapse="repeats"))
    assert boxes(picture(step, collapse="cell 2")) == ["cell 2", "cell 2, backward", "cell 2, to new values"]


def test_elementwise_runs_stop_where_a_value_is_read_twice():
    x = sg.symbol("x")
    a = sg.exp(sg.sin(x) + 1)
    y = sg.tanh(a) * a
    shown = picture(y, collapse="elementwise")
    assert boxes(shown) == ["sin, add, exp"]
    box = next(n for n in shown.nodes if n.kind == "group")
    assert box.count == 3 and box.role == "3 elementwise steps"
    assert [(e.tail, e.head) for e in shown.edges if e.head == box.key] == [("n0", box.key)]


def test_constants_are_written_where_they_are_used():
    x = sg.symbol("x", (2,))
    y = x * np.array([1.0, 2.0])
    assert [n.text for n in picture(y, collapse="constants").nodes] == ["x", "x * array"]
    assert "constant" in {n.kind for n in picture(y).nodes}


def test_auto_leaves_a_readable_picture_of_a_large_graph():
    step, _, _ = network(80)
    total = len(picture(step).nodes)
    shown = picture(step, collapse="auto")
    assert total > 1000 and len(shown.nodes) <= ENOUGH and sum(n.count for n in shown.nodes) == total
    small, _, _ = network(1)
    assert picture(small, collapse="auto") == picture(small)


def test_auto_shows_many_gradients_and_new_values_as_one_box_each():
    x, weights = sg.symbol("x", ("batch", 3)), []
    h = x
    for k in range(20):
        with sg.scope("layer"):
            weights.append(sg.parameter(np.eye(3), f"W{k}"))
            h = sg.tanh(h @ weights[-1])
    y = h.sum()
    updates = {w: w - 0.1 * g for w, g in zip(weights, sg.grad(y, weights), strict=True)}
    shown = picture(sg.function([x], y, updates=updates), collapse="auto")
    texts = [n.text for n in shown.nodes]
    assert "20 gradients" in texts and "20 updates" in texts and len(texts) < 12
    keys = {n.text: n.key for n in shown.nodes}
    ways = [(e.tail, e.head) for e in shown.edges if e.kind == "value"]
    steps = [keys[k] for k in ("layer × 20, backward", "20 gradients", "layer × 20, to new values", "20 updates")]
    assert set(pairwise(steps)) <= set(ways)
    assert not {(b, a) for a, b in ways} & set(ways), "no box leads to another and back"


def test_a_chain_of_fifty_thousand_nodes_collapses(tmp_path):
    x = sg.symbol("x")
    y = x
    for i in range(25_000):
        y = sg.sin(y) if i % 2 else y * 1.5
    shown = picture([y, sg.grad(y, x)], collapse="auto")
    assert len(shown.nodes) < 10 and sum(n.count for n in shown.nodes) > 50_000
    with pytest.raises(sg.SymgraphError, match=r"at most 4,000.*collapse='auto'.*focus"):
        draw(y, tmp_path / "chain.svg")
    assert not list(tmp_path.iterdir())


# Focus ---------------------------------------------------------------------------------------------------------------


def test_focus_keeps_what_is_near_and_counts_the_rest():
    step, _, _ = network(3)
    shown = picture(step, focus="h2", radius=1)
    texts = [n.text for n in shown.nodes]
    assert "h2 = tanh(•)" in texts and "h1 = tanh(•)" not in texts
    assert any(n.kind == "more" and "more" in n.text for n in shown.nodes)
    assert picture(step, focus="h2", radius=0).nodes[0].text == "h2 = tanh(•)"
    assert len(picture(step, focus="h2", radius=99).nodes) == len(picture(step).nodes)


def test_focus_by_tensor_before_and_after_rewriting():
    x = sg.symbol("x")
    inner = sg.log(sg.exp(x) + 1)
    y = inner * x
    assert picture(y, focus=inner, radius=0).nodes[0].text.startswith("log")
    assert picture(y, True, focus=inner, radius=0).nodes[0].op == "softplus"


def test_focus_on_what_is_not_there():
    _, loss, _ = network(1)
    with pytest.raises(sg.SymgraphError, match=r"named 'h11' \(did you mean 'h1'\?\)"):
        picture(loss, focus="h11")
    with pytest.raises(sg.SymgraphError, match="not drawn"):
        picture(loss, focus=sg.symbol("other"))
    with pytest.raises(TypeError, match="focus"):
        picture(loss, focus=3.0)


# Both sides, themes, files -------------------------------------------------------------------------------------------


def test_before_and_after_rewriting_side_by_side(tmp_path):
    x = sg.symbol("x")
    y = sg.named(x * x / x + 0, "y")
    shown = picture(y, "both")
    assert shown.sides == ["as written", "after rewriting"]
    count = {side: sum(n.side == side for n in shown.nodes) for side in shown.sides}
    assert count["after rewriting"] < count["as written"]
    source = to_graphviz(y, optimize="both").source
    assert "as written" in source and "after rewriting" in source
    assert draw([y, sg.grad(y, x)], tmp_path / "both.svg", optimize="both").exists()


@pytest.mark.parametrize("theme", THEMES)
def test_themes_colour_everything(theme, tmp_path):
    step, _, _ = network(1)
    path = draw(step, tmp_path / "m.svg", theme=theme)
    colours = set(re.findall(r"#[0-9a-f]{6}", path.read_text()))
    known = THEMES[theme]
    if theme == "print":
        assert colours <= {known.soft}
    else:
        assert known.kinds["gradient"][0] in colours and known.ink in colours
        others = {c for name, t in THEMES.items() if name != theme for pair in t.kinds.values() for c in pair}
        mine = {c for pair in known.kinds.values() for c in pair} | {known.ink, known.soft, known.page}
        assert not colours & (others - mine)


@pytest.mark.parametrize("choice", [
    {"theme": "pink"}, {"optimize": "maybe"}, {"depth": -1}, {"radius": 1.5, "focus": "loss"}, {"collapse": 3}, {"depth": True},
    {"collapse": "nothing of the kind"}, {"collapse": ["repeats", "x y"]},
])  # fmt: skip
def test_choices_that_are_none_leave_the_file_alone(choice, tmp_path):
    _, loss, _ = network(1)
    path = tmp_path / "m.svg"
    path.write_text("kept")
    with pytest.raises((ValueError, TypeError, sg.SymgraphError), match=str(next(iter(choice)))):
        draw(loss, path, **choice)
    assert path.read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_parts_are_text(name, tmp_path):
    x = sg.symbol("x")
    with sg.scope(name):
        y = sg.exp(sg.sin(x))
    for depth in (None, 0):
        text = draw([y, sg.grad(y, x)], tmp_path / "m.svg", depth=depth).read_text()
        assert "<b>" not in text and "\u202e" not in text
    networkx = pytest.importorskip("networkx")
    assert networkx.is_directed_acyclic_graph(to_networkx(y, depth=0))


def test_two_thousand_nodes_with_parts_are_laid_out(tmp_path):
    step, _, _ = network(130, lambda i: "layer")
    assert len(picture(step).nodes) > 1900
    assert draw(step, tmp_path / "m.svg", timeout=30).exists()


# networkx ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [{}, {"depth": 0}, {"optimize": "both"}, {"focus": "h1"}])
def test_networkx_graphs_come_back_from_graphml_and_json(choice, tmp_path):
    networkx = pytest.importorskip("networkx")
    step, _, _ = network(2, lambda i: HOSTILE[i + 1])
    graph = to_networkx(step, **choice)
    networkx.write_graphml(graph, tmp_path / "m.graphml", named_key_ids=True)
    back = networkx.read_graphml(tmp_path / "m.graphml", force_multigraph=True)
    assert dict(back.nodes(data=True)) == dict(graph.nodes(data=True))
    assert sorted(map(str, back.edges(data=True))) == sorted(map(str, graph.edges(data=True)))
    text = json.dumps(networkx.node_link_data(graph, edges="edges"))
    again = networkx.node_link_graph(json.loads(text), edges="edges")
    assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True))
    assert list(again.edges(data=True)) == list(graph.edges(data=True))
