"""Whose adjoint a node is: which uses it sums over, which rules made the parts; weak, many-to-many, and cheap to keep."""

import gc
import weakref

import symgraph as sg
from symgraph import provenance
from symgraph.core import toposort
from symgraph.provenance import adjoint_of, carry_links, contributions, link_adjoint, tangent_of


def test_the_parts_of_an_adjoint_add_up_to_it():
    x, w = sg.symbol("x", ("n",)), sg.symbol("w", ("n",))
    h = x * w
    loss = (sg.tanh(h) + h * h).sum()
    gradient = sg.grad(loss, h)
    ((forward, (parts,)),) = [(f, ways) for f, ways in contributions(gradient) if f is h]
    assert forward is h
    assert sorted(p.rule for p in parts) == ["multiply", "multiply", "tanh"]
    total = parts[0].made
    for p in parts[1:]:
        total = total + p.made
    assert total is gradient
    for p in parts:
        assert p.through.inputs[p.operand] is h and p.where == p.through.where
        assert any(f is p.through for f in adjoint_of(p.given))


def test_differentiating_again_adds_nothing():
    x = sg.symbol("x", ("n",))
    h = sg.tanh(x)
    loss = (h * h).sum()
    first = sg.grad(loss, x)
    known = contributions(first)
    assert sg.grad(loss, x) is first
    assert [(f, len(ways)) for f, ways in contributions(first)] == [(f, len(ways)) for f, ways in known]


def test_one_node_may_be_the_adjoint_of_one_value_in_two_ways():
    x, y = sg.symbol("x", ("n",)), sg.symbol("y", ("n",))
    ones = sg.grad(x.sum(), x)
    assert sg.grad((x + y).sum(), x) is ones
    ((_, ways),) = [(f, ways) for f, ways in contributions(ones) if f is x]
    assert [[p.rule for p in way] for way in ways] == [["sum"], ["add"]]


def test_a_stable_form_is_that_of_what_was_written():
    x = sg.symbol("x")
    h = 2 * x
    loss = sg.log(1 + sg.exp(h))
    ((forward, ((part,),)),) = contributions(sg.grad(loss, h))
    assert forward is h and part.through is loss and part.rule == "softplus"
    tangent = sg.jvp(loss, h, 1.0)
    assert [(f is loss, rule) for f, rule in tangent_of(tangent)] == [(True, "softplus")]


def test_links_keep_nothing_alive():
    gc.collect()
    before = len(provenance._adjoint_of._entries), len(provenance._tangent_of._entries)
    x, w = sg.symbol("x"), sg.symbol("w")
    h = sg.sin(x * w)
    kept = [sg.grad(h * w, [x, w]), sg.jvp(h * w, [x, w], [w, x]), sg.grad(x * w, w)]
    assert kept[2] is x
    watched = [weakref.ref(n) for n in toposort([*kept[0], kept[1], h]) if n.leafy]
    del kept, h, x, w
    gc.collect()
    assert not [r for r in watched if r() is not None]
    after = len(provenance._adjoint_of._entries), len(provenance._tangent_of._entries)
    assert after[0] <= before[0] + 2 and after[1] <= before[1] + 2  # constants may stay


def test_a_node_that_is_the_adjoint_of_very_many():
    """Links to forward nodes that are gone do not pile up on a constant that lives on, and the order is that of age."""
    seed = sg.constant(123.5)
    lasting = [sg.symbol("a"), sg.symbol("b")]
    link_adjoint(seed, lasting[0])
    for _ in range(1000):
        link_adjoint(seed, sg.symbol("gone"))
    link_adjoint(seed, lasting[1])
    assert [n.name for n in adjoint_of(seed)] == ["a", "b"]
    links = provenance._adjoint_of.get(seed)
    assert len(links) <= 2 * provenance.MANY


def test_links_follow_nodes_that_are_moved():
    x, z = sg.symbol("x"), sg.symbol("z")
    h = sg.tanh(x)
    gradient = sg.grad(h * h, x)
    moved = dict(zip(toposort([gradient]), [None] * 99, strict=False))
    for node in moved:
        moved[node] = sg.substitute(node, {x: z})
    carry_links(gradient, moved[gradient], moved.get)
    ((forward, ((part,),)),) = contributions(moved[gradient])
    assert forward is z and part.rule == "tanh" and part.made is moved[gradient]


def test_transforms_of_python_callables_tell_it_too():
    x = sg.symbol("x", ("n",))
    gradient = sg.func.grad(lambda a: sg.sum(sg.tanh(a) * a))(x)
    ((forward, ways),) = [(f, ways) for f, ways in contributions(gradient) if f is x]
    assert forward is x and sorted(p.rule for p in ways[0]) == ["multiply", "tanh"]
