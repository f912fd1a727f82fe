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


def test_steps_from_a_gradient_to_one_new_value_belong_to_the_part_of_the_parameter():
    x = sg.symbol("x", ("batch", 3))
    h, weights = x, []
    for k in "12":
        with sg.scope(f"layer{k}"):
            weights.append(sg.parameter(np.eye(3), f"W{k}"))
            h = sg.tanh(h @ weights[-1])
    loss = sg.named(h.sum(), "loss")
    grads = sg.grad(loss, weights)
    step = sg.function([x], loss, updates={w: w - 0.1 * g for w, g in zip(weights, grads, strict=True)})
    part = {n.text: [str(p) for p in n.parts] for n in picture(step).nodes if n.kind == "update"}
    assert part == {"W1 ← W1 - •": ["layer1"], "W2 ← W2 - •": ["layer2"]}
    assert [str(n.parts[0]) for n in picture(step).nodes if n.text == "0.1 * •"] in (
        ["layer1", "layer2"],
        ["layer2", "layer1"],
    )
    adam = sg.function([x], loss, updates=sg.optim.adam(weights, grads))
    nodes = by_text(picture(adam))
    assert [str(p) for p in nodes["m_W2"].parts] == ["layer2"] and not nodes["t"].parts
    assert not nodes["loss = •.sum()"].parts, "the loss leads to all new values, and to none of them alone"


def test_what_is_its_own_adjoint_is_a_gradient_only_where_that_was_asked_for():
    x = sg.symbol("x")
    f = sg.named(sg.exp(sg.sin(x)), "f")
    g = sg.grad(f, x)
    assert [n.role for n in picture([f, g]).nodes if n.kind == "gradient"] == ["gradient of x"]
    y = sg.named(sg.exp(x), "y")
    kept = sg.grad(y, x)
    assert kept is y and [n.kind for n in picture(y).nodes] == ["input", "output"]
    shown = picture({"y": y, "slope": kept})
    assert [(n.kind, n.text) for n in shown.nodes] == [
        ("input", "x"), ("output", "y = exp(x)"), ("gradient", "slope = y")
    ]  # fmt: skip


def test_what_depends_on_no_input_stands_with_its_first_user():
    def drawn(first):
        x = sg.symbol("x", (3,))
        f = sg.sum(x * x * x)
        g = sg.grad(f, x)
        kept = sg.grad(g.sum(), x) if first else None  # makes constants of order 2 that f and g share with others
        shown = picture([f, g])
        return shown.orders, [(n.text, n.order) for n in shown.nodes], kept

    assert drawn(True)[:2] == drawn(False)[:2]
    assert drawn(True)[0] == [0, 1]
    with sg.provenance.deriving(2):
        two = sg.broadcast_to(sg.constant(2.0), (3,))
    x = sg.symbol("x", (3,))
    f = sg.sum(sg.sin(x) * two)
    assert two.order == 2 and picture([f, sg.grad(f, x)]).orders == [0, 1]


def test_the_derivative_in_a_constant_tells_nothing_of_other_models():
    def drawn():
        x = sg.symbol("x", (3,))
        f = (sg.where(x > 0, x, 0.0) ** 2).sum()
        return [(n.text, n.order) for n in picture([f, sg.grad(f, x)]).nodes]

    before, two = drawn(), sg.constant(2.0)
    kept = sg.grad(sg.stop_gradient(two) * 1.0 + 0.0 * two, two)  # the constant 0, shared by all graphs
    assert drawn() == before and isinstance(kept, sg.Tensor)


def test_a_constant_stands_in_the_part_that_uses_it_whoever_made_it():
    def drawn():
        x = sg.symbol("x", (3,))
        with sg.scope("mine"):
            f = (sg.exp(x) * np.arange(3.0)).sum()
        return [(n.text, [p.name for p in n.parts], n.where) for n in picture([f, sg.grad(f, x)]).nodes]

    with sg.scope("of others"):
        kept = sg.constant(np.arange(3.0))
    first = drawn()
    assert ("[0., 1., 2.]", ["mine"], "") in first
    del kept
    assert drawn() == first


def test_a_derivative_is_not_made_from_what_it_merely_mentions():
    A, w = sg.symbol("A", ("n", 4)), sg.symbol("w", (4,))
    f = sg.named(sg.log1p(sg.exp(A @ w)).sum(), "f")
    shown = picture({"f": f, "H": sg.hessian(f, w)})
    nodes = by_text(shown)
    assert "H = •" in nodes
    assert not [e for e in shown.edges if e.tail == nodes["f = •.sum()"].key and e.kind == "value"]


def test_small_constants_and_every_name_of_an_output_are_shown():
    x = sg.symbol("x", (2,))
    texts = by_text(picture({"a": x, "b": [x], "c": sg.constant(np.arange(3)), "d": x * np.ones((3, 2))}))
    assert {"a = x", "c = [0, 1, 2]", "constant"} <= texts.keys()


def test_bodies_are_told_apart():
    x, p = sg.symbol("x", (3,)), sg.symbol("p")
    y = sg.cond(p > 0, lambda a: sg.sin(a), lambda a: sg.cos(a), x)
    assert "body1(x) if • else body2(x)" in by_text(picture(sg.sum(y)))
