"""What `explain` reports: each rule that fired, its tag, the place, and the expression before and after."""

import re

import pytest

import symgraph as sg
from symgraph.core import toposort
from symgraph.explanation import explain, title
from symgraph.pipeline import rewritten
from symgraph.rewrite import SIMPLIFY, STABILIZE

x, y = sg.symbol("x", ("n",)), sg.symbol("y", ("n",))
A, B, v = sg.symbol("A", (50, 40)), sg.symbol("B", (40, 30)), sg.symbol("v", (30,))


def test_each_rule_with_its_places():
    told = explain(sg.log(1 + sg.exp(x)) * 1 + (y - y))
    first, *rest = told.splitlines()
    assert re.fullmatch(r"\d+ rewrites by \d+ rules, \d+ nodes -> \d+", first)
    assert "x * 1 (exact), 1 time" in told
    assert "test_explanation.py" in told and "log(1 + exp(x)) -> log1p(exp(x))" in told
    assert all(line.startswith("    ") or line == "" or re.search(r", \d+ times?$", line) for line in rest)


def test_contractions_are_told_too():
    assert "contraction planned (rounding), 1 time" in explain((A @ B) @ v)
    assert "A @ B @ v -> A @ (B @ v)" in explain((A @ B) @ v)


def test_the_nodes_counted_are_those_of_the_function():
    loss = sg.mean(sg.softplus(A @ B @ v))
    outputs = [loss, *sg.grad(loss, [A, B])]
    count = len(toposort(rewritten(outputs, True)[0]))
    assert explain(outputs).splitlines()[0].endswith(f" -> {count}")
    assert explain(outputs, rewrites=False) == explain(sg.function([A, B, v], outputs), rewrites=False)


def test_every_rule_has_a_title_that_says_what_it_does():
    for rule in [*STABILIZE, *SIMPLIFY]:
        assert len(title(rule)) > 1, rule


def test_what_changes_nothing():
    assert explain(sg.sin(x)) == "0 rewrites by 0 rules, 2 nodes -> 2"


def test_a_function_from_a_pickle_says_what_to_explain():
    f = sg.function([x], sg.sin(x))
    with pytest.raises(TypeError, match="explain the tensors it was made of"):
        explain(f.copy())
