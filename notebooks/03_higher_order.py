# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Derivatives of higher order
#
# Differentiation takes an expression and gives an expression. In symgraph both are graphs, so the derivative can be
# differentiated again, and again: this is what *symbol-to-symbol* means. Nothing new is needed for the second order,
# and in this notebook we look at what comes out: the graphs themselves, curvature, Newton's method, Taylor
# polynomials, and what all this costs.

# %%
import itertools
import re
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import symgraph as sg

rng = np.random.default_rng(0)


class Formula:
    """Formulas of tensors, which Jupyter sets as mathematics."""

    def __init__(self, outputs):
        self.latex = sg.latex(outputs)

    def _repr_latex_(self):
        return "$$" + self.latex.replace("align*", "aligned") + "$$"

    def __repr__(self):
        return self.latex


class Picture:
    """The graph of tensors, which Jupyter shows."""

    def __init__(self, outputs, **how):
        self.outputs, self.how = outputs, how

    def _repr_svg_(self):
        with tempfile.TemporaryDirectory() as folder:
            drawn = sg.draw(self.outputs, Path(folder) / "graph.svg", **self.how).read_text()
        size = re.compile(r'<svg width="\S+" height="\S+"')
        return size.sub("<svg", drawn[drawn.index("<svg") :])  # as wide as the page

    def __repr__(self):
        return "a picture"


# %% [markdown]
# ## The graphs
#
# A function, and its derivative as symgraph makes it, drawn side by side: on the left what we wrote, on the right what
# differentiation added. The derivative reads values of the function (the exponential is not computed again), which is
# why arrows cross from left to right.

# %%
t = sg.symbol("t")
f = sg.named(np.exp(-(t**2) / 2), "f")
slope = sg.grad(f, t)

Picture({"f": f, "slope": slope})

# %% [markdown]
# The second derivative adds a column, with arrows from the columns before it, and so does the third. What
# differentiation writes has many factors 1 and double signs, so we draw the graph as simplification leaves it.

# %%
orders = [f, slope]
for _ in range(2):
    orders.append(sg.grad(orders[-1], t))
simplified = sg.simplify({f"f{k}": order for k, order in enumerate(orders)})

Picture(simplified, legend=False)

# %% [markdown]
# As formulas, these are the Hermite polynomials of probability theory: $f^{(k)} = (-1)^k\, \mathrm{He}_k(t)\, f$ with
# $\mathrm{He}_1 = t$, $\mathrm{He}_2 = t^2 - 1$, $\mathrm{He}_3 = t^3 - 3 t$.

# %%
derivatives = sg.function([t], orders)
for at in np.linspace(-3, 3, 7):
    known = [(-1) ** k * np.polynomial.hermite_e.hermeval(at, np.eye(4)[k]) * np.exp(-(at**2) / 2) for k in range(4)]
    np.testing.assert_allclose(derivatives(at), known, rtol=1e-12, atol=1e-12)

assert Formula(simplified).latex.splitlines()[-4:-1] == [
    r"f_{1} &= -f_{0} t \\",
    r"f_{2} &= f_{0} (t^{2} - 1) \\",
    r"f_{3} &= f_{0} t (3 - t^{2})",
]

Formula(simplified)

# %%
r = np.linspace(-4, 4, 201)
curves = np.array([derivatives(at) for at in r])
fig, axis = plt.subplots(figsize=(6, 3.2))
for k in range(4):
    axis.plot(r, curves[:, k], label=f"$f^{{({k})}}$")
axis.set(xlabel="$t$", title="The Gaussian and its derivatives")
axis.legend()
fig.tight_layout()
assert np.sum(np.diff(np.sign(curves[:, 3])) != 0) >= 3  # three zeros, those of the polynomial

# %% [markdown]
# ## Why graphs, and not formulas
#
# A formula has to write $e^{-t}$ each time that it is meant, a graph has it once. For one derivative this hardly
# matters. But the product rule makes two terms of one, at every order, and what a formula repeats grows like a power.
# We count: the nodes of the graph of the $k$-th derivative, and the symbols of the formula written out in full.


# %%
def written_out(tensor):
    """How many symbols the formula has when nothing is shared."""
    size = {}
    stack = [tensor]
    while stack:
        node = stack[-1]
        waiting = [i for i in node.inputs if i not in size]
        stack.extend(waiting)
        if not waiting:
            size[node] = 1 + sum(size[i] for i in node.inputs)
            stack.pop()
    return size[tensor], len(size)


chain = np.tanh(np.sin(np.exp(-t) * t) + t)
sizes = []
for k in range(6):
    sizes.append(written_out(sg.simplify(chain)))
    print(f"order {k}: {sizes[-1][0]:9,} symbols written out, {sizes[-1][1]:5} nodes in the graph")
    chain = sg.grad(chain, t)

symbols, nodes = np.array(sizes).T
assert symbols[5] > 100 * nodes[5]
assert np.all(symbols[1:] > nodes[1:])

fig, axis = plt.subplots(figsize=(6, 3.2))
axis.semilogy(symbols, "s--", label="symbols of the formula")
axis.semilogy(nodes, "o-", label="nodes of the graph")
axis.set(xlabel="order of the derivative", title="$\\tanh(\\sin(t e^{-t}) + t)$")
axis.legend()
fig.tight_layout()

# %% [markdown]
# Even the graph grows when the derivative is taken one order at a time. If all that is wanted is the $k$-th derivative of
# a scalar function, `sg.derivative` goes another way, by recurrences between Taylor coefficients, in which the graph
# grows with the *square* of the order. [08_taylor_network](08_taylor_network.ipynb) tells more.

# %%
again = np.tanh(np.sin(np.exp(-t) * t) + t)
by_recurrence = written_out(sg.simplify(sg.derivative(again, t, 5)))[1]
print(f"order 5: {nodes[5]} nodes one order at a time, {by_recurrence} by recurrences")
assert by_recurrence < nodes[5] / 2

growth = [written_out(sg.simplify(sg.derivative(again, t, k)))[1] for k in (5, 10, 20)]
print("orders 5, 10, 20 by recurrences:", *growth, "nodes")
assert all(
    following < 4.5 * count for count, following in itertools.pairwise(growth)
)  # twice the order, four times the nodes
for at in (-0.3, 0.4, 1.5):
    both = sg.evaluate([chain, sg.derivative(again, t, 6)], {t: at})
    np.testing.assert_allclose(both[0], both[1], rtol=1e-6)

# %% [markdown]
# ## Curvature
#
# Of a function of many variables the second derivative is a matrix, the Hessian. For logistic regression it is the
# formula of the textbooks ([06_hessians](06_hessians.ipynb) reads such formulas, and the programs made of them):

# %%
X, y, w = sg.symbol("X", ("rows", 31)), sg.symbol("y", ("rows",)), sg.symbol("w", (31,))
rate_of_decay = 1e-3
loss = np.mean(np.log(1 + np.exp(X @ w)) - y * (X @ w)) + rate_of_decay * np.sum(w**2)
gradient, H = sg.grad(loss, w), sg.hessian(loss, w)

Formula({"gradient": sg.simplify(gradient), "H": H})

# %% [markdown]
# Its eigenvalues say how curved the loss is in each direction. The weights $\sigma (1 - \sigma)$ are at most
# $\tfrac14$, reached where the model knows nothing ($w = 0$). As it learns, it gets sure of most examples, their
# weights vanish, and the loss flattens. We watch this along gradient descent, on measurements of tumours.

# %%
data = load_breast_cancer()
rows = np.column_stack([np.ones(len(data.data)), (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)])
labels = (data.target == 0).astype(float)

descend = sg.function([X, y, w], w - 0.1 * gradient)
curvature = sg.function([X, y, w], H)
point, seen, moments = np.zeros(31), [], [0, *np.unique(np.geomspace(1, 2000, 25).astype(int))]
for step in range(2001):
    if step in moments:
        seen.append(np.linalg.eigvalsh(curvature(rows, labels, point)))
    point = descend(rows, labels, point)
seen = np.array(seen)

bound = np.linalg.eigvalsh(rows.T @ rows / 4 / len(rows)).max() + 2 * rate_of_decay
print(f"largest eigenvalue: {seen[0, -1]:.3f} at first, {seen[-1, -1]:.3f} at last; it cannot exceed {bound:.3f}")
np.testing.assert_allclose(seen[0, -1], bound, rtol=1e-12)  # at w = 0 all weights are 1/4
assert seen[:, -1].argmax() == 0
assert seen[-1, -1] < seen[0, -1] / 10
assert seen.min() >= 2 * rate_of_decay * (1 - 1e-9)  # the penalty: the loss is strictly convex

fig, axis = plt.subplots(figsize=(6, 3.2))
axis.plot(np.maximum(moments, 0.5), seen[:, ::-5], ".-")
axis.axhline(2 * rate_of_decay, color="0.5", ls="--")
axis.text(0.5, 2.2 * rate_of_decay, "the penalty alone", color="0.4")
axis.set(xscale="log", yscale="log", xlabel="step", ylabel="eigenvalues of the Hessian (every fifth)")
fig.tight_layout()

# %% [markdown]
# ## Newton's method in three lines
#
# A parabola with the slope and the curvature of $f$ has its lowest point at $w - H^{-1} \nabla f$. To go there, and to
# repeat this, is Newton's method. ([07_newton](07_newton.ipynb) compares it with gradient descent, and shows what to do where it
# fails.)

# %%
newton = sg.function([X, y, w], [w - H.solve(gradient), np.sqrt(np.sum(gradient**2))])
w_now, lengths = np.zeros(31), []
for _ in range(11):
    w_now, length = newton(rows, labels, w_now)
    lengths.append(length)
    print(f"length of the gradient {length:.1e}")
assert lengths[-1] < 1e-14

# %% [markdown]
# The number of zeros doubles in the last steps. The third derivative tells how fast: near the solution $x^*$ of
# $g(x) = 0$ the error of Newton's method obeys
#
# $$e_{k+1} \approx \frac{g''(x^*)}{2 g'(x^*)}\, e_k^2,$$
#
# and $g = f'$ makes $g'' = f'''$. With one variable this can be seen:

# %%
q = sg.symbol("q")
cost = np.exp(q) - 2 * q + 0.1 * q**4
d1, d2, d3 = (sg.derivative(cost, q, k) for k in (1, 2, 3))
step = sg.function([q], [q - d1 / d2, d3 / (2 * d2)])
visited = [1.5]
for _ in range(8):
    visited.append(step(visited[-1])[0])
constant = step(visited[-1])[1]
errors = np.abs(np.array(visited) - visited[-1])
ratios = [errors[k + 1] / errors[k] ** 2 for k in range(6) if errors[k] > 1e-5]
print("e' / e**2:", np.round(ratios, 4), "  predicted:", round(constant, 4))
np.testing.assert_allclose(ratios[-1], constant, rtol=1e-2)

# %% [markdown]
# ## Taylor polynomials
#
# All derivatives at one point make a polynomial. `sg.taylor(y, x, direction, order)` gives the coefficients
# $y^{(k)} / k!$ as expressions. Those of $e^x$ at 0 are $1 / k!$, and those of $\sin$ are every second of these, with
# alternating signs:

# %%
s = sg.symbol("s")
coefficients = {
    name: sg.evaluate(sg.taylor(g(s), s, 1.0, 13), {s: 0.0}) for name, g in {"sin": np.sin, "exp": np.exp}.items()
}
factorials = np.cumprod([1.0, *range(1, 14)])
np.testing.assert_allclose(coefficients["exp"], 1 / factorials, rtol=1e-14)
np.testing.assert_allclose(coefficients["sin"][1::4], 1 / factorials[1::4], rtol=1e-14)
np.testing.assert_allclose(coefficients["sin"][3::4], -1 / factorials[3::4], rtol=1e-14)
assert not np.any(coefficients["sin"][::2])

# %% [markdown]
# For a network with many inputs the same call follows a line $x + s v$ through its domain. The series of $\sin$ and
# $\exp$ converge everywhere. That of a network of $\tanh$ does not, since $\tanh$ has poles beside the real axis: beyond some
# distance, more terms make it worse ([08_taylor_network](08_taylor_network.ipynb) finds that distance).

# %%
inputs, W1, W2 = sg.symbol("x", (5,)), rng.standard_normal((16, 5)), rng.standard_normal((1, 16)) / 4
network = (W2 @ np.tanh(W1 @ inputs))[0]
origin, along = rng.standard_normal(5) / 2, rng.standard_normal(5) / 2
series = sg.function([inputs], sg.taylor(network, inputs, along, 13))
coefficients["a network"] = series(origin)
value = sg.function([inputs], network)

exact = {"sin": np.sin, "exp": np.exp, "a network": np.vectorize(lambda r: value(origin + r * along))}
reach = {"sin": 7, "exp": 4, "a network": 1.5}
fig, axes = plt.subplots(1, 3, figsize=(9, 2.8))
for axis, (name, c) in zip(axes, coefficients.items()):
    r = np.linspace(-reach[name], reach[name], 101)
    axis.plot(r, exact[name](r), "k", lw=2)
    for order in (1, 3, 7, 13):
        axis.plot(r, np.polynomial.polynomial.polyval(r, np.array(c[: order + 1])), lw=1, label=f"order {order}")
    low, high = exact[name](r).min(), exact[name](r).max()
    axis.set(title=name, ylim=(low - 0.3 * (high - low), high + 0.3 * (high - low)))
axes[0].legend(fontsize=8)
fig.tight_layout()

small = 0.05
for order in (1, 3, 5):
    polynomial = np.polynomial.polynomial.polyval(small, np.array(coefficients["a network"][: order + 1]))
    error = abs(polynomial - value(origin + small * along))
    print(f"order {order}: error {error:.1e} at s = {small}")
    assert error < 20 * small ** (order + 1)

# %% [markdown]
# ## What it costs
#
# A gradient costs a few times as much as the function, however many variables there are. A full Hessian has $n^2$
# numbers, and for a network about $n$ times the work. But a Hessian *times a vector* is the derivative of a number,
# $H v = \nabla (\nabla f \cdot v)$, so it costs a few times as much as the gradient. `Function.cost()` counts the arithmetic
# of the programs:

# %%
parameters = sg.symbol("p", ("n", 16))
examples, direction = sg.symbol("E", (200, "n")), sg.symbol("v", ("n", 16))
fit = np.mean(np.tanh(examples @ parameters) ** 2)
gradient_of_fit = sg.grad(fit, parameters)
programs = {
    "value": sg.function([parameters, examples], fit),
    "gradient": sg.function([parameters, examples], gradient_of_fit),
    "Hessian times v": sg.function([parameters, examples, direction], sg.hvp(fit, parameters, direction)),
    "Hessian": sg.function([parameters, examples], sg.hessian(fit, parameters)),
}
widths = (10, 40, 160)
work = {name: [int(program.cost().flops(n=n)) for n in widths] for name, program in programs.items()}
print(f"{'operations for n =':20}" + "".join(f"{n:>14}" for n in widths))
for name, counts in work.items():
    print(f"{name:20}" + "".join(f"{count:14,}" for count in counts))
for value_work, gradient_work, product_work in zip(work["value"], work["gradient"], work["Hessian times v"]):
    assert gradient_work < 3 * value_work
    assert product_work < 3 * gradient_work
assert work["Hessian"][-1] > 16 * work["Hessian times v"][-1]

# %% [markdown]
# From one column of the table to the next there are four times as many variables. The work of the product grows with
# them, that of the Hessian with their square, even though symgraph uses its structure (each column of $p$ has its own
# block: the columns meet nowhere but in the mean). The two agree, of course, and so does a difference of gradients:

# %%
at = {parameters: rng.standard_normal((10, 16)), examples: rng.standard_normal((200, 10))}
along = rng.standard_normal((10, 16))
product = programs["Hessian times v"](at[parameters], at[examples], along)
full = programs["Hessian"](at[parameters], at[examples])
np.testing.assert_allclose(product, np.tensordot(full, along, axes=2), rtol=1e-10, atol=1e-14)
h = 1e-5
above, below = (programs["gradient"](at[parameters] + sign * h * along, at[examples]) for sign in (1, -1))
np.testing.assert_allclose(product, (above - below) / (2 * h), rtol=1e-6, atol=1e-9)
print(f"the Hessian has {full.size:,} numbers, {np.count_nonzero(full):,} of which are not zero")
assert np.count_nonzero(full) == full.size / 16
