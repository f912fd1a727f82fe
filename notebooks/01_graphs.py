# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Graphs, forward and backward
#
# A formula is a graph. Its *nodes* are the inputs and the operations, and an edge leads from each value to where it is
# used. To compute the formula one follows the edges forward. To differentiate it one follows them once more, forward
# or backward, and this second walk can itself be written down as nodes of the same graph.
#
# In this notebook we take one small formula apart: its graph, its values, its derivatives by forward and by reverse
# accumulation, number by number. Then we draw larger graphs, print them, simplify them, and ask them questions.

# %%
import math
import re
import tempfile
from pathlib import Path

import networkx as nx
import numpy as np

import symgraph as sg


class Picture:
    """The drawing of a graph, as Jupyter shows it: `sg.draw` writes a file, which is read."""

    def __init__(self, outputs, **options):
        with tempfile.TemporaryDirectory() as folder:
            self.svg = sg.draw(outputs, Path(folder) / "graph.svg", **options).read_text(encoding="utf-8")

    def _repr_svg_(self, widest=640):
        width, height = map(float, re.search(r'width="(.+)pt" height="(.+)pt"', self.svg).groups())
        scale = min(1, widest / width)
        size = f'width="{scale * width:.0f}pt" height="{scale * height:.0f}pt"'
        return re.sub(r'width=".+pt" height=".+pt"', size, self.svg[self.svg.index("<svg") :], count=1)

    def __repr__(self):
        return "a picture"


class Formula:
    """A graph as a formula in LaTeX, as Jupyter shows it."""

    def __init__(self, outputs):
        self.text = sg.latex(outputs)

    def _repr_latex_(self):
        return self.text if self.text.startswith(r"\begin") else rf"$\displaystyle {self.text}$"

    def __repr__(self):
        return self.text


# %% [markdown]
# ## The worked example
#
# $$f(x_1, x_2) = x_1 x_2 + \sin x_1$$
#
# We write it as NumPy would have it, only that `x1` and `x2` are *symbols*: they stand for numbers that we do not yet
# have. `sg.named` gives a node a name, so that we find it again.

# %%
x1, x2 = sg.symbols("x1 x2")
v1 = sg.named(x1 * x2, "v1")
v2 = sg.named(sg.sin(x1), "v2")
f = sg.named(v1 + v2, "f")
print(f)

# %% [markdown]
# Nothing has been computed. What `f` holds is a graph of five nodes, and here it is. (A tensor alone at the end of a cell
# would show itself too; our `Picture` takes several, and the options of `sg.draw`.)

# %%
Picture(f)

# %% [markdown]
# A node knows its operation, its operands, its shape and dtype, and the line of ours that made it. And each expression
# exists once: whoever writes $x_1 x_2$ again, even as $x_2 x_1$, gets the node that is already there.

# %%
print("operation:", f.op.name)
print("operands: ", [node.name for node in f.inputs])
print("type:     ", f.shape, f.dtype)

assert x1 * x2 is v1 and x2 * x1 is v1
assert sg.sin(x1) + x1 * x2 is f

# %% [markdown]
# ## Values, forward
#
# Let $x_1 = 2$ and $x_2 = 3$. The nodes are computed in an order in which every operand comes before its use, a
# *topological order*.

# %%
at = {x1: 2.0, x2: 3.0}
nodes = [x1, x2, v1, v2, f]
values = sg.evaluate(nodes, at)
for node, value in zip(nodes, values):
    print(f"{str(node).splitlines()[-1]:12} = {value:8.5f}")

assert values[-1] == 2 * 3 + math.sin(2)

# %% [markdown]
# ## Derivatives, forward
#
# *Forward accumulation* carries beside each value $v$ its derivative $\dot v$ along one direction. We choose the
# direction by what we set for the inputs: $\dot x_1 = 1$ and $\dot x_2 = 0$ asks for $\partial / \partial x_1$. Each
# node then needs only the derivatives of its operands:
#
# $$\dot v_1 = \dot x_1 x_2 + x_1 \dot x_2, \qquad \dot v_2 = \cos(x_1)\, \dot x_1, \qquad \dot f = \dot v_1 + \dot v_2.$$
#
# `sg.jvp(node, inputs, direction)` makes the node that computes this (the name stands for *Jacobian times vector*). A
# sweep gives one direction, so two inputs take two sweeps.


# %%
def sweep(direction):
    return sg.evaluate([sg.jvp(node, [x1, x2], direction) for node in nodes], at)


along_x1, along_x2 = sweep([1.0, 0.0]), sweep([0.0, 1.0])
print("node    value    first sweep   second sweep")
for node, value, first, second in zip(nodes, values, along_x1, along_x2):
    print(f"{node.name:4} {value:8.5f} {first:14.5f} {second:14.5f}")

assert along_x1[-1] == 3 + math.cos(2)
assert along_x2[-1] == 2

# %% [markdown]
# The last line holds $\partial f / \partial x_1 = x_2 + \cos x_1$ and $\partial f / \partial x_2 = x_1$.
#
# ## Derivatives, backward
#
# *Reverse accumulation* begins at the other end. To each node $v$ belongs its *adjoint* $\bar v = \partial f / \partial
# v$: how much $f$ changes if this one value is nudged. We know $\bar f = 1$, and walk the edges backward:
#
# $$\bar v_1 = \bar f, \qquad \bar v_2 = \bar f, \qquad
# \bar x_2 = \bar v_1 x_1, \qquad \bar x_1 = \bar v_1 x_2 + \bar v_2 \cos x_1.$$
#
# The value $x_1$ was used twice, and so two terms arrive at it: gradients *add* where a value was duplicated. A
# single sweep gives the derivatives with respect to everything. `sg.grad` makes it, for inputs and for nodes between.

# %%
adjoints = sg.grad(f, nodes)
for node, adjoint, value in reversed(list(zip(nodes, adjoints, sg.evaluate(adjoints, at)))):
    print(f"adjoint of {node.name:2} = {str(adjoint).split(' = ')[-1]:12} = {value:8.5f}")

gradient = sg.grad(f, [x1, x2])
assert sg.evaluate(gradient, at) == [along_x1[-1], along_x2[-1]]  # both accumulations, the same bits

# %% [markdown]
# These adjoints are *nodes*: the gradient is a graph, and what it needs of the forward graph ($x_1$ and $x_2$) it
# shares. In the picture the forward graph stands on the left and flows down. The backward graph stands on the right,
# each adjoint beside the node it belongs to, and a dashed line between the two.

# %%
Picture([f, *gradient])

# %% [markdown]
# $\partial f / \partial x_2$ is $x_1$ itself, and no operation was made for it. In a longer chain the backward graph has
# more to show: it repeats the forward graph as in a mirror.

# %%
x = sg.symbol("x")
a = sg.named(sg.sin(x), "a")
b = sg.named(sg.exp(a), "b")
c = sg.named(sg.tanh(b), "c")
slope = sg.grad(c, x)
Picture([c, slope], legend=False)

# %% [markdown]
# See which forward values the backward graph reads: $x$ for the cosine; $b$, the *result* of the exponential, since
# $\exp' = \exp$; and $c$, since $\tanh' = 1 - \tanh^2$. Nothing is computed twice. When the graph is compiled, this
# becomes a short NumPy program (`style="plain"` is the style for readers).

# %%
program = sg.function([x], [c, slope], name="c_and_slope", style="plain", comments=False)
print(program.source)

assert program.source.count("np.exp(") == 1 and program.source.count("np.tanh(") == 1
point, h = 0.3, 1e-6
np.testing.assert_allclose(program(point)[1], (program(point + h)[0] - program(point - h)[0]) / (2 * h), rtol=1e-8)

# %% [markdown]
# ## A value that is used twice
#
# Why do gradients add? Give the two uses of a value two names, $s$ and $t$, and differentiate $g(s, t)$ with respect
# to each. If then both are $u$, a nudge of $u$ nudges both, and the two effects add up. This is the chain rule for a
# *duplicate* node.

# %%
s, t = sg.symbols("s t")
g = s * sg.sin(t)
parts = sg.grad(g, [s, t])

u = sg.symbol("u")
whole = sg.grad(sg.substitute(g, {s: u, t: u}), u)
sum_of_parts = sg.substitute(parts[0] + parts[1], {s: u, t: u})
print("whole:       ", sg.simplify(whole))
print("sum of parts:", sg.simplify(sum_of_parts))

np.testing.assert_allclose(*sg.evaluate([whole, sum_of_parts], {u: 0.7}), rtol=1e-14)

# %% [markdown]
# So a derivative is a sum over all *paths* from $x$ to the result. That is a theorem, and a bad way to compute one.
# Thirty residual steps $h \leftarrow h + \tanh h$ have $2^{30}$ paths. Reverse accumulation adds the adjoints as soon as
# they meet, and takes a few nodes for each step.

# %%
h = x
for _ in range(30):
    h = h + sg.tanh(h)
forward, backward = sg.to_networkx(h), sg.to_networkx([h, sg.grad(h, x)])

paths = {}
for node in nx.topological_sort(forward):
    paths[node] = sum(paths[before] for before, _ in forward.in_edges(node)) or 1
print(f"{max(paths.values())} paths, {len(forward)} nodes, with the gradient {len(backward)}")

assert max(paths.values()) == 2**30
assert len(forward) == 61 and len(backward) < 4 * len(forward)

# %% [markdown]
# ## The logarithm of the normal density
#
# Stan, a language for statistics, computes gradients of log-densities day and night. Its textbook example has three
# inputs, and we ask for all three derivatives:

# %%
y, mu, sigma = sg.symbols("y mu sigma")
z = (y - mu) / sigma
density = sg.named(-(z**2) / 2 - sg.log(sigma) - math.log(2 * math.pi) / 2, "density")
derivatives = sg.grad(density, {"grad_y": y, "grad_mu": mu, "grad_sigma": sigma})
Picture([density, derivatives], optimize=True, legend=False)

# %% [markdown]
# `optimize=True` drew the graph as the compiler leaves it. `sg.simplify` does the same to the nodes themselves, and
# `sg.latex` writes them as formulas:

# %%
Formula(sg.simplify(derivatives))

# %% [markdown]
# A line may use the lines above it: in the last, $\nabla_{\mu}$ is the derivative by $\mu$ that has just been found. Are they
# right? On paper, with $z = (y - \mu) / \sigma$, one finds $-z / \sigma$, $z / \sigma$ and $(z^2 - 1) / \sigma$.

# %%
log_normal = sg.function(
    [y, mu, sigma], {"value": density, **derivatives}, name="log_normal", style="plain", comments=False
)
print(log_normal.source)

Y, M, S = 1.3, 0.4, 0.7
Z = (Y - M) / S
on_paper = {"grad_y": -Z / S, "grad_mu": Z / S, "grad_sigma": (Z**2 - 1) / S}
found = log_normal(Y, M, S)
for name, expected in on_paper.items():
    print(f"{name:10} {found[name]:10.6f}   on paper {expected:10.6f}")
    np.testing.assert_allclose(found[name], expected, rtol=1e-14)
np.testing.assert_allclose(found["value"], math.log(math.exp(-(Z**2) / 2) / (S * math.sqrt(2 * math.pi))), rtol=1e-14)

# %% [markdown]
# ## Names and scopes
#
# In a larger model one wants to know what is what. Symbols and parameters have names, `sg.named` gives them to others,
# and `sg.scope` marks a part of a model, here the layers of a small network. Gradients need no names: they are called
# after what they are gradients of.

# %%
rng = np.random.default_rng(0)
inputs, target = sg.symbol("x", ("batch", 6)), sg.symbol("target", ("batch", 3))
W1 = sg.parameter(rng.standard_normal((6, 16)) / 2, "W1")
W2 = sg.parameter(rng.standard_normal((16, 3)) / 4, "W2")

with sg.scope("hidden layer"):
    hidden = sg.named(np.tanh(inputs @ W1), "hidden")
with sg.scope("output layer"):
    output = sg.named(hidden @ W2, "output")
loss = sg.named(np.mean((output - target) ** 2), "loss")

network_gradient = sg.grad(loss, [W1, W2])
Picture([loss, *network_gradient], optimize=True)

# %% [markdown]
# Each layer has a box, and its backward part a box of the same name. Of a model with many layers one may not want to
# see so much: `depth=0` draws a part that has several nodes as one. (The gradients, which we asked for, stay.)

# %%
Picture([loss, *network_gradient], optimize=True, depth=0, legend=False)

# %% [markdown]
# The names and scopes go with the nodes, and the names reach the generated program. A comment says which line of ours a
# statement comes from; in a notebook, which line of its cell.

# %%
print("hidden is part of", [scope.name for scope in hidden.where.scopes])
print(sg.function([inputs, target], [loss, *network_gradient], name="network", style="plain").source)

assert [scope.name for scope in output.where.scopes] == ["output layer"]

# %% [markdown]
# ## Printed and simplified
#
# A tensor prints as the expression it is, and `sg.to_text` prints several, each shared part once:

# %%
text = sg.to_text({"loss": loss, "grad_W1": network_gradient[0], "grad_W2": network_gradient[1]})
print(text)

assert text.count("tanh") == 1

# %% [markdown]
# `sg.simplify` brings expressions to the form that one would write on paper: here the gradient of least squares,
# $A^T (A w - r)$.

# %%
A, r, w = sg.symbol("A", ("m", "n")), sg.symbol("r", ("m",)), sg.symbol("w", ("n",))
squares = np.sum((A @ w - r) ** 2) / 2
raw = sg.grad(squares, w)
neat = sg.simplify(raw)
print("as derived: ", raw)
print("simplified: ", neat)

assert str(neat) in ("(A @ w - r) @ A", "A.T @ (A @ w - r)")

# %% [markdown]
# Every step from the one to the other is an equation with a name. `sg.explain` tells where a tensor comes from, and
# lists the rules that were used. The word in brackets says what may change: an *exact* rule keeps every bit, and a
# *finite-real* one holds wherever both sides are finite.

# %%
print(sg.explain(raw))

# %% [markdown]
# ## The graph as data
#
# `sg.to_networkx` hands the graph to networkx, a library of algorithms for graphs; a node there carries its kind, its
# text and the order of derivative it belongs to. Let us ask the network of above some questions. Which kinds of node
# are there?

# %%
graph = sg.to_networkx([loss, *network_gradient])
kinds = [data["kind"] for _, data in graph.nodes(data=True)]
print({kind: kinds.count(kind) for kind in dict.fromkeys(kinds)})

assert nx.is_directed_acyclic_graph(graph)
assert kinds.count("gradient") == kinds.count("parameter") == 2

# %% [markdown]
# **Which value is used most often?** The out-degree counts. (We leave out the dashed edges, which only link each
# adjoint to its node.)

# %%
flow = nx.MultiDiGraph((tail, head) for tail, head, kind in graph.edges(data="kind") if kind == "value")
text = dict(graph.nodes(data="text"))
order = dict(graph.nodes(data="order"))
for node, degree in sorted(flow.out_degree, key=lambda pair: -pair[1])[:3]:
    print(f"{degree} uses: {text[node]}")

most_used = max(flow.out_degree, key=lambda pair: pair[1])[0]
assert text[most_used].startswith("hidden") and flow.out_degree(most_used) == 4

# %% [markdown]
# The hidden layer: once by the next layer, twice by the derivative of tanh, $1 - h \cdot h$, and once by the gradient of
# $W_2$.
#
# **How deep is it?** The longest path is what even a machine with as many arms as one likes must do one after the
# other. It leads forward to the loss, and back to the first layer:

# %%
longest = nx.dag_longest_path(flow)
print("\n".join(f"{'forward ' if order[node] == 0 else 'backward'}  {text[node]}" for node in longest))

deep = [order[node] for node in longest]
assert deep == sorted(deep) and 0 < deep.count(0) < len(deep)

# %% [markdown]
# **What must be kept?** The forward values that the backward graph reads have to stay in memory until it has read them.
# They are the tails of the edges that cross from order 0 to order 1.

# %%
kept = {tail for tail, head in flow.edges() if order[tail] == 0 and order[head] == 1}
print("\n".join(sorted(text[node] for node in kept)))

assert {text[node].split(" = ")[0] for node in kept} >= {"x", "hidden", "W2"}

# %% [markdown]
# **What does the gradient of $W_2$ depend on?** On every node from which it can be reached. They are fewer than those of
# $W_1$: to train the last layer alone costs less.

# %%
role = dict(graph.nodes(data="role"))
(last,) = [node for node in graph if role[node] == "gradient of W2"]
(first,) = [node for node in graph if role[node] == "gradient of W1"]
needs = {name: sum(order[n] for n in nx.ancestors(flow, node)) for name, node in {"W2": last, "W1": first}.items()}
print(f"backward nodes before the gradient of W2: {needs['W2']}, of W1: {needs['W1']}")

assert needs["W2"] < needs["W1"]

# %% [markdown]
# ## One page with everything
#
# A drawing is still. `sg.view` writes a page to click on: the graph, the generated program, which lines of it belong to
# which nodes, the rules that lie between, and with sample values every number on the way. It is one file, which loads
# nothing from elsewhere, and so it can be sent by mail and opened offline.

# %%
with tempfile.TemporaryDirectory() as folder:
    samples = {x1: 2.0, x2: 3.0}
    page = sg.view([f, *gradient], Path(folder) / "worked_example.html", samples).read_text(encoding="utf-8")
print(f"{len(page) // 1000} kB of HTML")

assert "grad_x1" in page and "default-src 'none'" in page
