"""What `explain` reports: the story of a node, each rewrite rule that fired, and the story of a compiled function."""

import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import toposort
from symgraph.explaining.text import WIDTH, title
from symgraph.explanation import explain
from symgraph.pipeline import rewritten
from symgraph.rewrite import SIMPLIFY, STABILIZE

x, y = sg.symbol("x", ("n",)), sg.symbol("y", ("n",))
A, B, v = sg.symbol("A", (50, 40)), sg.symbol("B", (40, 30)), sg.symbol("v", (30,))


def section(told, name):
    """The lines of a section, without the indentation."""
    lines = told.split("\n")
    begin = lines.index(name) + 1
    end = next((i for i, line in enumerate(lines[begin:], begin) if not line.startswith("    ")), len(lines))
    return [line[4:] for line in lines[begin:end]]


def network():
    W = sg.parameter(np.ones((4, 3)), "W")
    V = sg.parameter(np.ones((3, 2)), "V")
    data = sg.symbol("data", ("batch", 4))
    with sg.scope("layer"):
        hidden = sg.named(sg.tanh(data @ W), "hidden")
    loss = sg.named((hidden @ V).sum() + (hidden * hidden).sum(), "loss")
    gradients = sg.grad(loss, [W, V, hidden])
    f = sg.function([data], loss, updates={W: W - 0.1 * gradients[0]}, name="step")
    return data, W, V, hidden, loss, gradients, f


# Rewrites ------------------------------------------------------------------------------------------------------------


def test_each_rule_with_its_places():
    told = explain([sg.log(1 + sg.exp(x)) * 1 + (y - y)])
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
    (told,) = explain(outputs, rewrites=False).splitlines()
    assert told.endswith(f" -> {count}")
    assert told in explain(sg.function([A, B, v], outputs), rewrites=False).splitlines()


def test_a_function_tells_the_passes_of_its_own_style():
    outputs = sg.log(1 + sg.exp(x)) * 1
    by_style = {s: explain(sg.function([x], outputs, style=s, optimize=s == "fast")) for s in ("fast", "plain")}
    assert "x * 1 (exact)" in by_style["fast"] and "x * 1 (exact)" not in by_style["plain"]


def test_every_rule_has_a_title_that_says_what_it_does():
    for rule in [*STABILIZE, *SIMPLIFY]:
        assert len(title(rule)) > 1, rule


def test_what_changes_nothing():
    assert explain([sg.sin(x)]) == "0 rewrites by 0 rules, 2 nodes -> 2"


# A node --------------------------------------------------------------------------------------------------------------


def test_what_a_node_is():
    _, _, _, hidden, *_ = network()
    told = explain(hidden)
    first = told.split("\n")[0]
    assert re.fullmatch(r"hidden: \(batch, 3\) float64, made at test_explanation\.py:\d+, in layer", first)
    assert section(told, "computes") == ["hidden = tanh(data @ W)"]
    assert told.endswith("0 rewrites by 0 rules, 4 nodes -> 4")
    assert explain(x, rewrites=False).startswith("x: input, (n,) float64, made at test_explanation.py:")


def test_gradients_add():
    _, _, _, _, loss, (_, _, ct), _ = network()
    first, add, *parts = section(explain(ct, within=[loss, ct]), "derivative")
    assert first.startswith("adjoint of hidden = tanh(data @ W) (test_explanation.py:")
    assert add.strip() == "gradients add: 3 contributions"
    assert [p.strip().partition(" (")[0] for p in parts] == [
        "through hidden @ V", "through hidden * hidden", "through hidden * hidden"
    ]  # fmt: skip
    told = [p.partition("), ")[2] for p in parts]
    assert told[0] == "matmul: adjoint of the left operand = ct @ V.T"
    assert {t.partition(" operand")[0] for t in told[1:]} == {
        "multiply: adjoint of the left",
        "multiply: adjoint of the right",
    }


def test_the_rule_is_told_over_the_adjoint_that_it_was_given():
    *_, (gW, gV, _), _ = network()
    assert section(explain(gW), "derivative")[1].endswith("matmul: adjoint of the right operand = data.T @ ct")
    assert section(explain(gV), "derivative")[1].endswith("matmul: adjoint of the right operand = hidden.T @ ct")
    z = sg.symbol("z")
    inner = sg.tanh(sg.sin(z))
    told = section(explain(sg.grad(inner * inner, sg.sin(z))), "derivative")
    assert told[1].endswith("tanh: adjoint of the operand")
    assert told[2].strip() == "= ct * (1 - y * y), y being tanh(sin(z))"


def test_the_operands_are_those_that_the_user_wrote():
    """Whatever order the graph keeps the operands of a product in."""
    z = sg.symbol("z", ("n",))
    p = sg.exp(z)
    for build in (lambda q: p * q, lambda q: q / p):
        q = sg.symbol("q", ("n",))
        product = build(q)
        loss = product.sum()
        (line,) = section(explain(sg.grad(loss, p), within=[loss, sg.grad(loss, p)]), "derivative")[1:2]
        side = "left" if product.op.name != "divide" else "right"
        assert f"adjoint of the {side} operand" in line, line
    loss = (x * p).sum()
    line = section(explain(sg.grad(loss, p)), "derivative")[1]
    assert "through x * exp(z)" in line and "adjoint of the right operand = ct * x" in line


def test_a_value_that_is_gone_is_told_by_its_rule_and_line():
    told = section(explain(sg.grad((x * y).sum() + 0 * x.sum(), x)), "derivative")
    assert any("through multiply (test_explanation.py:" in line and "no longer in memory" in line for line in told)


def test_what_reverse_mode_starts_from_and_a_value_that_is_an_adjoint():
    a, b = sg.symbol("a"), sg.symbol("b")
    product = a * b
    gradient = sg.grad(product, b)
    assert gradient is a
    told = section(explain(a, within=[product, gradient]), "derivative")
    assert told[0].startswith("adjoint of the input b") and told[1].endswith("= a, ct being 1")
    seed = sg.grad(product, product)
    told = section(explain(seed, within=[product, seed]), "derivative")
    assert told[0].startswith("adjoint of a * b") and "where reverse mode starts" in told[1]


def test_links_survive_stable_forms():
    z = sg.symbol("z")
    h = 2 * z
    loss = sg.log(1 + sg.exp(h))
    told = section(explain(sg.grad(loss, h)), "derivative")
    assert "through log(1 + a)" in told[1]
    assert "in its stable form softplus" in told[1] and "sigmoid(2 * z)" in told[2]


def test_forward_mode():
    t = sg.symbol("t", ("n",))
    h = x * y
    wave = sg.sin(h)
    told = section(explain(sg.jvp(wave, [x, y], [t, t])), "derivative")
    assert told[0].startswith("tangent of sin(x * y)")
    assert told[1].strip() == "by the rule of sin = t1 * cos(x * y)"
    assert told[2].strip().startswith("t1 is the tangent of x * y")
    positive = sg.log(1 + sg.exp(h))
    stable = section(explain(sg.jvp(positive, x, t)), "derivative")
    assert stable[0].startswith("tangent of log(1 + ") and "rule of softplus, its stable form" in stable[1]


def test_a_part_of_a_rule_tells_which():
    h = sg.named(x * y, "h")
    loss = (sg.tanh(h) * y).sum()
    g = sg.grad(loss, h)
    (part,) = [n for n in toposort([g]) if n.op.name == "subtract"]
    assert "explain(node, within=outputs)" in explain(part)
    told = section(explain(part, within=[loss, g]), "derivative")
    assert told[0].startswith("is a part of a contribution to the adjoint of h = x * y") or told[0].startswith(
        "is a part of the adjoint of h = x * y"
    )


def test_who_uses_it():
    *_, hidden, loss, gradients, f = network()
    for within in (f, {"loss": loss, "g": gradients}):
        told = section(explain(hidden, within=within), "used by")
        assert any(line.startswith("the left operand of hidden @ V (test_explanation.py:") for line in told)
        assert any(line.startswith("both operands of hidden * hidden") for line in told)
    assert section(explain(loss, within=f), "used by") == ["is the output"]
    update = f.written[1]
    assert section(explain(update, within=f), "used by") == ["is update of W"]
    assert section(explain(gradients[0], within=[*gradients]), "used by") == ["is output grad_W"]


def test_a_name_stands_for_its_node():
    *_, hidden, loss, _, f = network()
    assert explain("hidden", within=f) == explain(hidden, within=f)
    with pytest.raises(sg.SymgraphError, match=r"nothing is named 'h' there; the names are .*hidden"):
        explain("h", within=loss)
    with pytest.raises(TypeError, match=r"explain\(name, within=outputs\)"):
        explain("hidden")


def test_what_became_of_a_node_in_a_function():
    a = sg.symbol("a")
    s = sg.log(1 + sg.exp(a))
    f = sg.function([a], s * 2, style="plain")
    told = section(explain(s, within=f), "compiled")
    assert told[0] == "as softplus(a)"
    assert told[1].strip() == "log(1 + x) (rounding): log(1 + exp(a)) -> log1p(exp(a))"
    assert told[2].strip().startswith("log1p(exp(x)) (finite-real):")
    assert "logaddexp" in told[-1] and "test_explanation.py:" in told[-1]
    assert section(explain(a, within=f), "compiled")[0] == "stands in"
    made = f.became[s]
    assert made is not s and section(explain(made, within=f), "compiled") == ["took the place of log(1 + exp(a))"]


def test_a_hessian_tells_its_story():
    told = explain(sg.hessian(sg.sum(sg.exp(A @ B @ v)), v))
    assert section(told, "computes")[-1].startswith("found by mode ")


def test_a_hessian_tells_whose_derivative_it_is():
    f = sg.named(sg.sum(sg.exp(A @ B @ v)), "f")
    H = sg.hessian(f, v)
    (line,) = section(explain(H, within={"f": f, "H": H}), "derivative")
    assert re.fullmatch(r"derivative of order 2 of f = .* \(test_explanation\.py:\d+\)", line)


def test_one_part_has_one_letter_in_a_line_and_no_letter_is_a_name():
    a, W = sg.symbol("a", ("n", 3)), sg.symbol("W", (3, 3))
    y = sg.sum(sg.tanh(sg.tanh(sg.tanh(a @ W) @ W) @ W))
    g = sg.grad(y, W)
    lines = [line for line in section(explain(g, within=[y, g]), "derivative") if "through" in line]
    assert any(re.search(r"through tanh\((\w)\) @ W .* = tanh\(\1\)\.T @ ct$", line) for line in lines)
    assert not any("tanh(a)" in line for line in lines), "a is the name of an input"


def test_a_rewrite_that_reads_the_same_is_told_without_an_arrow():
    told = explain(sg.sum(-sg.sum(x)) / 3 + sg.sum(y))
    for line in told.split("\n"):
        before, arrow, after = line.partition(" -> ")
        assert not arrow or before.rpartition("  ")[2] != after, line
    assert "-x.sum() / 3  (reads the same)" in told


def test_outputs_are_told_once_and_by_their_places():
    z = sg.named(sg.sin(x), "z")
    within = {"a": z, "b": [z, z], "c": [x, z]}
    assert section(explain(x, within=within), "used by")[0] == "is output ['c'][0]"
    used = section(explain(z, within=(z, z)), "used by")
    assert used == ["is output z"]


# A function ----------------------------------------------------------------------------------------------------------


def test_the_story_of_a_function():
    *_, f = network()
    told = explain(f, sizes={"batch": 7})
    assert told.startswith("Function step(data (batch, 4) float64) over ")
    assert section(told, "hazards") == ["none known"]
    assert section(told, "cost of a call")[0] == f"FLOPs  {f.cost().flops}"
    assert section(told, "memory") == [str(f.memory(batch=7))]
    assert "explain(function, sizes={'batch': 64})" in section(explain(f), "memory")[0]
    with pytest.raises(sg.ShapeError, match="sizes="):
        explain(f, sizes={"rows": 7})
    lines = section(told, "generated line <- where it comes from")
    assert len(lines) >= len(f.trace().rows[:40])
    assert any("np.tanh" in line and re.search(r"test_explanation\.py:\d+", line) for line in lines)


def test_hazards_of_what_was_differentiated():
    root = sg.sqrt(x)
    f = sg.function([x], [root.sum(), sg.grad(root.sum(), x)])
    (line,) = section(explain(f), "hazards")
    assert re.fullmatch(
        r"test_explanation\.py:\d+: sqrt\(x\): the derivative is infinite or undefined where x = 0", line
    )


def test_steps_of_an_optimizer_are_not_differentiated_and_no_hazards():
    W = sg.parameter(np.ones(3), "W")
    data = sg.symbol("data", ("batch", 3))
    loss = sg.named((sg.tanh(data @ W)).sum(), "loss")
    adam = sg.optim.adam([W], [sg.grad(loss, W)])
    assert section(explain(sg.function([data], loss, updates=adam)), "hazards") == ["none known"]
    rough = sg.named(sg.sqrt(data @ W).sum(), "rough")
    adam = sg.optim.adam([W], [sg.grad(rough, W)])
    (line,) = section(explain(sg.function([data], [], updates=adam)), "hazards")
    assert "sqrt(matmul)" in line


# Bad input, determinism, width, time ---------------------------------------------------------------------------------


def test_a_function_from_a_pickle_says_what_to_explain():
    f = sg.function([x], sg.sin(x))
    with pytest.raises(TypeError, match="explain the tensors it was made of"):
        explain(f.copy())
    with pytest.raises(TypeError, match="explain within the function it was made from"):
        explain(x, within=f.copy())
    with pytest.raises(sg.CompileError, match="trace the function it was made from"):
        f.copy().trace()


def test_mistakes_are_told():
    f = sg.function([x], sg.sin(x))
    for within in (f, [sg.sin(x)]):
        with pytest.raises(sg.SymgraphError, match=r"y \(n,\) float64 \(made at .*\) is no part of the"):
            explain(y, within=within)
    with pytest.raises(sg.SymgraphError, match="is no part of what f was made of"):
        f.trace().of(y)
    for foreign in (object(), lambda: 0, [x, object()]):
        with pytest.raises(TypeError, match="explain takes tensors"):
            explain(foreign)
    for nothing in ([], {}):
        with pytest.raises(TypeError, match="nothing to explain"):
            explain(nothing)
    with pytest.raises(TypeError, match="one tensor or its name"):
        explain([x], within=f)


@pytest.mark.parametrize("name", ["a\nb", "</script>", "\u202eabc", "x" * 300])
def test_names_are_text_on_one_line(name):
    s = sg.symbol(name, ("n",))
    h = sg.named(sg.exp(s) * s + 0, name + "2")
    f = sg.function({"s": s}, {"out": h, "g": sg.grad(h.sum(), s)})
    for told in (explain(h), explain(s, within=f), explain(h, within=f), explain(f)):
        assert all(len(line) <= WIDTH and line.isprintable() for line in told.split("\n")), told


PROGRAM = """
import symgraph as sg
x, w = sg.symbol("x", ("n",)), sg.symbol("w", ("n",))
with sg.scope("part"):
    h = sg.named(sg.tanh(x * w), "h")
loss = (h * h).sum() + sg.log(1 + sg.exp(h)).sum()
g = sg.grad(loss, [x, w, h])
f = sg.function([x, w], [loss, g])
print(sg.explain(f), *[sg.explain(n, within=f) for n in (*g, h, loss, x)], sg.explain(g), sep="\\n")
"""


def test_the_same_model_is_explained_alike_in_every_process():
    root = str(Path(__file__).parents[2])
    runs = [
        subprocess.run([sys.executable, "-c", (PROGRAM if i else PROGRAM.replace("h = sg", "z = x * w; h = sg"))],
                       env={"PYTHONHASHSEED": seed, "PYTHONPATH": root}, capture_output=True, text=True, check=True).stdout
        for i, seed in enumerate("0123")
    ]  # fmt: skip
    assert len(runs[1]) > 3000 and runs[1] == runs[2] == runs[3]


def test_another_model_does_not_show():
    """`broadcast_to(1, (n,))` is the adjoint of values of many models: each tells its own."""
    other = sg.named(sg.sin(sg.symbol("u", ("n",))), "other")
    kept = [other.sum(), sg.grad(other.sum(), other)]
    mine = sg.named(sg.cos(x), "mine")
    ones = sg.grad(mine.sum(), mine)
    assert ones is kept[1]
    told = explain(ones, within=[mine.sum(), ones])
    assert "adjoint of mine" in told and "other" not in told
    assert "other" not in explain(ones) and "other" not in sg.function([x], [mine, ones]).source


LONG = 30.0
"""Seconds: some ten times what it takes; what is quadratic takes minutes."""


def test_long_chains():
    z = s = sg.symbol("z", ("n",))
    for _ in range(25_000):
        z = sg.sin(z) + s
    loss = z.sum()
    g = sg.grad(loss, s)
    begin = perf_counter()
    told = explain(g, within=[loss, g])
    assert "gradients add: 25,001 contributions" in told and "contributions more" in told
    assert len(told.split("\n")) < 60
    assert len(explain(loss).split("\n")) < 60
    assert perf_counter() - begin < LONG


def test_long_functions():
    z = sg.symbol("z", ("n",))
    f = sg.function([z], chain(z, 50_000))
    begin = perf_counter()
    told = explain(f)
    assert "and 49,9" in told and len(told.split("\n")) < 90
    assert perf_counter() - begin < LONG


def chain(z, n):
    for _ in range(n):
        z = sg.sin(z)
    return z
