"""What is drawn: kinds, columns, links, and what is left to labels."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.viz import picture, to_networkx


def lecture():
    x1, x2 = sg.symbol("x1"), sg.symbol("x2")
    y = sg.named(x1 * x2 + sg.sin(x1), "y")
    return x1, x2, y


def training_step():
    x = sg.symbol("x", ("batch", 3))
    w, b = sg.parameter(np.zeros(3), "w"), sg.parameter(0.0, "b")
    loss = sg.named(sg.tanh(x @ w + b).mean(), "loss")
    gw, gb = sg.grad(loss, [w, b])
    return sg.function([x], loss, updates={w: w - 0.1 * gw, b: b - 0.1 * gb})


def by_text(shown):
    return {node.text: node for node in shown.nodes}


def test_forward_graph_alone_has_one_column():
    _, _, y = lecture()
    shown = picture(y)
    assert shown.orders == [0]
    assert [(n.text, n.kind) for n in shown.nodes] == [
        ("x1", "input"), ("x2", "input"), ("x1 * x2", "op"), ("sin(x1)", "op"), ("y = • + •", "output"),
    ]  # fmt: skip


def test_adjoints_stand_in_the_second_column_and_are_linked():
    x1, x2, y = lecture()
    shown = picture({"y": y, "grads": sg.grad(y, [x1, x2])})
    nodes = {n.key: n for n in shown.nodes}
    links = {(nodes[e.tail].text, nodes[e.head].role) for e in shown.edges if e.kind == "adjoint"}
    assert {("x1", "gradient of x1"), ("x2", "gradient of x2")} <= links
    assert shown.orders == [0, 1]
    assert by_text(shown)["cos(x1)"].order == 1 and by_text(shown)["sin(x1)"].order == 0


def test_a_forward_graph_drawn_after_grad_stays_forward():
    x1, x2, y = lecture()
    kept = sg.grad(y, [x1, x2])
    assert picture(y).orders == [0] and kept


def test_second_derivatives_have_a_column_of_their_own():
    x = sg.symbol("x")
    f = sg.tanh(x) * x
    g = sg.grad(f, x)
    assert picture([f, g, sg.grad(g, x)]).orders == [0, 1, 2]


def test_function_shows_every_kind():
    shown = picture(training_step())
    kinds = {n.kind for n in shown.nodes}
    assert {"input", "parameter", "op", "output", "gradient", "update"} <= kinds
    assert [n.text for n in shown.nodes if n.kind == "update"] == ["w ← w - •", "b ← b - •"]
    assert any(n.type == "(batch, 3) float64" for n in shown.nodes)


@pytest.mark.parametrize("optimize", [False, True])
def test_what_feeds_the_forward_graph_is_forward(optimize):
    shown = picture(training_step(), optimize)
    order = {n.key: n.order for n in shown.nodes}
    assert all(order[e.tail] <= order[e.head] for e in shown.edges)
    assert {n.order for n in shown.nodes if n.kind == "output"} == {0}
    assert {n.order for n in shown.nodes if n.kind in ("update", "gradient")} == {1}


def test_stable_forms_keep_the_link_to_what_was_written():
    x = sg.symbol("x", ("n",))
    inner = sg.named(sg.log(1 + sg.exp(x)), "inner")
    loss = inner.sum()
    shown = picture([loss, sg.grad(loss, x)])
    assert "adjoint of inner" in {n.role for n in shown.nodes}


def test_numbers_and_sizes_are_written_in_labels():
    x = sg.symbol("x", ("batch",))
    texts = [n.text for n in picture(0.5 * x**2 / x.shape[0]).nodes]
    assert "x**2" in texts and "• / batch" in texts and "0.5 * •" in texts


def test_array_constants_and_leaf_outputs_are_drawn():
    x = sg.symbol("x", (2,))
    assert "constant" in {n.kind for n in picture(x + np.array([1.0, 2.0])).nodes}
    assert [(n.kind, n.text) for n in picture({"k": x}).nodes] == [("input", "x"), ("output", "k = x")]


def test_networkx_carries_everything():
    networkx = pytest.importorskip("networkx")
    graph = to_networkx(training_step())
    assert networkx.is_directed_acyclic_graph(graph)
    assert {"kind", "order", "text", "role", "type", "op", "name", "where", "parts"} <= set(graph.nodes["n0"])
    assert {d["kind"] for *_, d in graph.edges(data=True)} == {"value", "adjoint"}


def test_an_unpickled_function_says_that_it_has_no_graph():
    import pickle

    with pytest.raises(sg.SymgraphError, match="without its graph"):
        picture(pickle.loads(pickle.dumps(training_step())))
    with pytest.raises(sg.SymgraphError, match="nothing to draw"):
        picture([])
