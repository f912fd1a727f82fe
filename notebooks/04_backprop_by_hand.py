# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Backpropagation by hand
#
# Every course on neural networks derives the four equations of backpropagation, and every student has once asked
# whether the program on the next slide really is these equations. Here the two meet: we derive each formula, ask
# symgraph for the same derivative, read the formula that it finds, read the program that it writes, write that
# program once more by hand, and see that all give the same numbers.
#
# The network has $L = 3$ layers. Vectors are columns, $a^0 = x$ is the input, and
#
# $$z^l = W^l a^{l-1} + b^l, \qquad a^l = f(z^l), \qquad C = \tfrac12 \| a^L - y \|^2, \qquad f = \tanh.$$

# %%
import matplotlib.pyplot as plt
import numpy as np

import symgraph as sg

rng = np.random.default_rng(0)


class Formula:
    """LaTeX that Jupyter sets: of tensors, or as it is given."""

    def __init__(self, shown):
        self.latex = shown if isinstance(shown, str) else sg.latex(shown)

    def _repr_latex_(self):
        return "$$" + self.latex.replace("align*", "aligned") + "$$"

    def __repr__(self):
        return self.latex


L = 3
x, y = sg.symbol("x", ("n0",)), sg.symbol("y", ("n3",))
W = [None] + [sg.symbol(f"W{l}", (f"n{l}", f"n{l - 1}")) for l in range(1, L + 1)]
b = [None] + [sg.symbol(f"b{l}", (f"n{l}",)) for l in range(1, L + 1)]
z, a = [None], [x]
for l in range(1, L + 1):
    z.append(sg.named(W[l] @ a[l - 1] + b[l], f"z{l}"))
    a.append(sg.named(np.tanh(z[l]), f"a{l}"))
C = sg.named(0.5 * np.sum((a[L] - y) ** 2), "C")

Formula(C)

# %% [markdown]
# ## The four equations
#
# **Errors.** Let $\delta^l = \partial C / \partial z^l$, the *error* of layer $l$. Of the last layer,
# $C$ depends on $z^L_j$ only through $a^L_j = f(z^L_j)$, so the chain rule has one term,
# $\delta^L_j = (a^L_j - y_j) f'(z^L_j)$, or for the whole vector
#
# $$\delta^L = (a^L - y) \odot f'(z^L). \tag{1}$$
#
# **One layer back.** $C$ depends on $z^l_j$ through every $z^{l+1}_i = \sum_j W^{l+1}_{ij} f(z^l_j) + b^{l+1}_i$, and
# the chain rule sums over $i$: $\delta^l_j = \sum_i \delta^{l+1}_i W^{l+1}_{ij} f'(z^l_j)$. The sum over the *first*
# index of $W$ is a product with its transpose,
#
# $$\delta^l = (W^{l+1})^{\top} \delta^{l+1} \odot f'(z^l). \tag{2}$$
#
# **Weights.** $W^l_{ij}$ occurs in $z^l_i$ alone, multiplied by $a^{l-1}_j$. So
# $\partial C / \partial W^l_{ij} = \delta^l_i a^{l-1}_j$: a column times a row,
#
# $$\partial C / \partial W^l = \delta^l (a^{l-1})^{\top}. \tag{3}$$
#
# **Biases.** $b^l_i$ occurs in $z^l_i$ alone, multiplied by 1:
#
# $$\partial C / \partial b^l = \delta^l. \tag{4}$$
#
# Now we ask symgraph for the same derivatives. It knows none of these equations: it knows the derivative of a
# product, of a sum and of $\tanh$. `grad` with respect to an intermediate value such as $z^l$ is allowed, and is the
# $\delta^l$ of the lectures. `simplify` rewrites what comes out, and `latex` sets it.

# %%
wanted = {f"delta{l}": z[l] for l in (3, 2, 1)}
wanted |= {f"dW{l}": W[l] for l in (3, 2, 1)} | {f"db{l}": b[l] for l in (3, 2, 1)}
gradients = sg.simplify({"C": C, **sg.grad(C, wanted)})

Formula(gradients)

# %% [markdown]
# These *are* the equations, with $f' = 1 - \tanh^2 = 1 - (a^l)^2$ written by means of the value that the forward pass has
# found already. (Layers are subscripts here, $\mathbf{1}$ is a vector of ones, and $\odot 2$ squares each element.) Nobody has to
# take our word for it:

# %%
formulas = dict(line.split(" &= ") for line in Formula(gradients).latex.split(" \\\\\n") if " &= " in line)
assert formulas[r"\delta_{3}"] == r"(a_{3} - y) \odot (\mathbf{1} - a_{3}^{\odot 2})"  # (1)
assert formulas[r"\delta_{1}"] == r"W_{2}^{\top} \delta_{2} \odot (\mathbf{1} - a_{1}^{\odot 2})"  # (2)
assert formulas[r"\mathrm{dW}_{2}"] == r"\delta_{2} a_{1}^{\top}"  # (3)
assert formulas[r"\mathrm{db}_{2}"] == r"\delta_{2}"  # (4)

# %% [markdown]
# ## The program, line by line
#
# `function` compiles the same derivatives to a NumPy program. In `style="plain"` it is made for reading. We print the
# program with the number of the equation that each line is. Products of a vector and a matrix are NumPy's:
# `v @ W` is $W^{\top} v$.

# %%
inputs = [x, y, *W[1:], *b[1:]]
backprop = sg.function(inputs, {"C": C, **sg.grad(C, wanted)}, name="backprop", style="plain", comments=False)


def equation(statement):
    """Which equation a line of the program is, or a part of."""
    target, _, formula = statement.partition(" = ")
    if target.startswith("grad_W"):
        return "(3)  a column times a row"
    if target.startswith("grad_a"):
        return "(1)  dC/da of the last layer" if " - y" in formula else "(2)  back through the weights"
    if target.startswith("grad_z"):
        return ("(1)" if target == f"grad_z{L}" else "(2)") + "  through f' = 1 - a * a"
    return "forward" if formula else "(4)  db = delta: a copy"


body = backprop.source.rpartition('"""\n')[2]
statements = [line.strip() for line in body.splitlines() if line.strip()]
for statement in statements:
    print(f"{statement[:44]:44} {equation(statement)}")

parts_of = [equation(s)[:3] for s in statements]
assert parts_of.count("(2)") == 2 * (L - 1)  # a product and an f' for each layer but the last
assert parts_of.count("(3)") == L

# %% [markdown]
# No line is there that the equations do not ask for, and nothing is computed twice: $a^l$ is found once, going
# forward, and read again going back. That is why the gradient costs only a small multiple of the function itself.
#
# ## The same by hand
#
# Now in NumPy, written by a person with the four equations beside the keyboard.

# %%
sizes = [4, 6, 5, 3]
point = {
    "x": rng.standard_normal(sizes[0]),
    "y": rng.standard_normal(sizes[L]),
    **{f"W{l}": rng.standard_normal((sizes[l], sizes[l - 1])) / 2 for l in range(1, L + 1)},
    **{f"b{l}": rng.standard_normal(sizes[l]) / 2 for l in range(1, L + 1)},
}


def by_hand(x, y, **weights):
    activations = [x]
    for l in range(1, L + 1):
        activations.append(np.tanh(weights[f"W{l}"] @ activations[-1] + weights[f"b{l}"]))
    found = {"C": 0.5 * np.sum((activations[L] - y) ** 2)}
    delta = (activations[L] - y) * (1 - activations[L] ** 2)  # (1)
    for l in range(L, 0, -1):
        found |= {f"delta{l}": delta, f"dW{l}": np.outer(delta, activations[l - 1]), f"db{l}": delta}  # (3), (4)
        if l > 1:
            delta = weights[f"W{l}"].T @ delta * (1 - activations[l - 1] ** 2)  # (2)
    return found


ours, by_us = backprop(**point), by_hand(**point)
interpreted = sg.evaluate(gradients, {s: point[s.name] for s in inputs})
for name in by_us:
    np.testing.assert_allclose(ours[name], by_us[name], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(interpreted[name], by_us[name], rtol=1e-12, atol=1e-15)
largest = max(np.max(np.abs(ours[name] - by_us[name])) for name in by_us)
print(f"{len(by_us)} results, three ways; the largest difference is {largest:.0e}")

# %% [markdown]
# ## A gradient check
#
# Two programs made from the same equations may share a mistake. A check that uses no derivative compares with central
# differences, $(C(W + h e) - C(W - h e)) / 2h$. Their error has two parts: what the Taylor series leaves out,
# proportional to $h^2$, and the rounding of $C$, proportional to $1/h$. So we let $h$ run and look for a slope of 2 on
# the right and $-1$ on the left, with the best value in between near $h = \varepsilon^{1/3}$. A wrong gradient would show
# as a flat line.

# %%
steps = 10.0 ** np.arange(-12, 0.5, 0.5)


def differences(h):
    """dC/dW2 by central differences."""
    made = np.empty_like(point["W2"])
    for place in np.ndindex(made.shape):
        e = np.zeros_like(made)
        e[place] = h
        above, below = (by_hand(**{**point, "W2": point["W2"] + s * e})["C"] for s in (1, -1))
        made[place] = (above - below) / (2 * h)
    return made


errors = np.array([np.max(np.abs(differences(h) - ours["dW2"])) for h in steps])
wrong = np.array([np.max(np.abs(differences(h) - ours["dW2"] * (1 + 1e-3))) for h in steps])
best = steps[np.argmin(errors)]
print(f"smallest error {errors.min():.0e} at h = {best:.0e}")
assert errors.min() < 1e-9 and 1e-7 < best < 1e-3
slope = np.polyfit(np.log(steps[-5:-1]), np.log(errors[-5:-1]), 1)[0]
assert 1.7 < slope < 2.3
assert wrong.min() > 1e5 * errors.min()

fig, axis = plt.subplots(figsize=(7, 4))
axis.loglog(steps, errors, "o-", label="the gradient")
axis.loglog(steps, wrong, "s--", color="0.5", label="a gradient that is wrong by 0.1 %")
axis.set(xlabel="$h$", ylabel="largest difference", title="Gradient check of $\\partial C / \\partial W^2$")
axis.legend()
fig.tight_layout()

# %% [markdown]
# ## Many examples at once
#
# In practice the examples of a batch are the columns of a matrix, $Z = W A + b \mathbf{1}^{\top}$: the bias is added to each
# column. What is used $N$ times receives $N$ contributions, and they add. So (3) becomes a sum of outer products,
# which is a product of matrices, and (4) a sum over the batch,
#
# $$\partial C / \partial W = \Delta A^{\top}, \qquad \partial C / \partial b = \Delta \mathbf{1}. $$

# %%
A, Y = sg.symbol("A", ("n0", "N")), sg.symbol("Y", ("n1", "N"))
Z = sg.named(W[1] @ A + b[1][:, None], "Z")
batch_cost = 0.5 * np.sum((np.tanh(Z) - Y) ** 2)
batch = sg.simplify(sg.grad(batch_cost, {"Delta": Z, "dW": W[1], "db": b[1]}))
Formula(batch)

# %%
many = {A: rng.standard_normal((4, 50)), Y: rng.standard_normal((6, 50)), W[1]: point["W1"], b[1]: point["b1"]}
found = sg.evaluate(batch, many)
np.testing.assert_allclose(found["dW"], found["Delta"] @ many[A].T, rtol=1e-12)
np.testing.assert_allclose(found["db"], found["Delta"].sum(axis=1), rtol=1e-12)

# %% [markdown]
# ## Modules
#
# Lectures then take the network apart into *modules*. A module computes $y$ from $x$ going forward, and going back
# turns the cotangent $g = \partial C / \partial y$ into $\partial C / \partial x$. It need not know what comes after
# it. This is a *vector-Jacobian product*, and `sg.vjp` gives it for any expression and a symbolic $g$. Here are those
# of every course:

# %%
n = 4
u, v, g = (sg.symbol(name, (n,)) for name in "uvg")
M, h = sg.symbol("M", (3, n)), sg.symbol("h", (3,))

modules = {  # name: (output, input, cotangent)
    "linear, to x": (M @ u, u, h),
    "linear, to W": (M @ u, M, h),
    "relu": (sg.relu(u), u, g),
    "add": (u + v, u, g),
    "max": (np.maximum(u, v), u, g),
    "log-softmax": (sg.log_softmax(u), u, g),
}
rules = {name: sg.simplify(sg.vjp(out, to, ct)) for name, (out, to, ct) in modules.items()}
assert rules["add"] is g
assert sg.latex(rules["linear, to x"]) == r"M^{\top} h"
assert sg.latex(rules["linear, to W"]) == r"h u^{\top}"
assert sg.latex(rules["relu"]) == r"g \odot [u > 0]"

rows = [rf"\text{{{name}}} & {sg.latex(modules[name][0])} & {sg.latex(rule)}" for name, rule in rules.items()]
Formula(
    r"\begin{array}{lll} \text{module} & \text{forward} & \text{back} \\ \hline " + r" \\ ".join(rows) + r" \end{array}"
)

# %% [markdown]
# Of `max`, the operand that is larger gets all of $g$, and where both are equal each gets half.
#
# *Duplicate* is the module that is easily forgotten: a value that is used twice. Going forward it is copied; going
# back the two cotangents are added. It is the opposite of *add*, which going back copies. symgraph has no such
# module, since a node of a graph may simply have two users; the gradients add all the same.

# %%
copied = sg.vjp([u, u], u, [g, v])
assert sg.simplify(copied) is sg.simplify(g + v)

shared = sg.grad(np.sum(np.sin(u)) + np.sum(u * u), u)
print(sg.latex(sg.simplify(shared)))

# %% [markdown]
# The rules as a person writes them, each a pair of functions. The last is worth a look: of
# $y_i = u_i - \log \sum_k e^{u_k}$ the Jacobian is $I - \mathbf{1} p^{\top}$ with $p = \mathrm{softmax}(u)$, and
# $g^{\top} (I - \mathbf{1} p^{\top})$ is $g - (\sum_k g_k)\, p$. For the loss $-y_c$ of class $c$, $g = -e_c$, and what comes out
# is the famous $p - e_c$: what was predicted, less what is.


# %%
def softmax(u):
    e = np.exp(u - u.max())
    return e / e.sum()


hand_written = {
    "linear, to x": lambda p, q, ct: p["M"].T @ ct,
    "linear, to W": lambda p, q, ct: np.outer(ct, q),
    "relu": lambda p, q, ct: np.where(q > 0, ct, 0),
    "add": lambda p, q, ct: ct,
    "max": lambda p, q, ct: np.where(q > p["v"], ct, 0),
    "log-softmax": lambda p, q, ct: ct - ct.sum() * softmax(q),
}
values = {s: rng.standard_normal(s.shape) for s in (u, v, g, M, h)}
names = {s.name: value for s, value in values.items()}
for name, (_, _, ct) in modules.items():
    expected = hand_written[name](names, values[u], values[ct])
    np.testing.assert_allclose(sg.evaluate(rules[name], values), expected, rtol=1e-12, atol=1e-15)

c = 2
predicted_less_true = sg.evaluate(sg.grad(-sg.log_softmax(u)[c], u), values)
np.testing.assert_allclose(predicted_less_true, softmax(values[u]) - np.eye(n)[c], rtol=1e-12, atol=1e-15)
print(predicted_less_true)

# %% [markdown]
# Where both operands of `max` are equal, or the argument of `relu` is 0, there is no derivative, and a course makes a
# choice. symgraph's is documented: ties share the cotangent evenly, and $\mathrm{relu}'(0) = 0$.

# %%
ties = sg.evaluate(rules["max"], {u: np.zeros(n), v: np.zeros(n), g: np.ones(n)})
assert np.all(ties == 0.5)
assert np.all(sg.evaluate(rules["relu"], {u: np.zeros(n), g: np.ones(n)}) == 0)
print(ties)

# %% [markdown]
# ## A network of modules
#
# A stack of modules with a `forward` and a `backward` is what most libraries are inside. Ours has ten lines, and its
# gradients are those of the graph. The difference: a graph can be simplified, printed and differentiated again (see
# [03_higher_order](03_higher_order.ipynb)), which a stack of modules cannot.


# %%
class Linear:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, a):
        self.a = a
        return self.W @ a + self.b

    def backward(self, g):
        self.dW, self.db = np.outer(g, self.a), g
        return self.W.T @ g


class Relu:
    def forward(self, z):
        self.z = z
        return np.maximum(z, 0)

    def backward(self, g):
        return np.where(self.z > 0, g, 0)


class LogSoftmax:
    def forward(self, z):
        self.p = softmax(z)
        return z - z.max() - np.log(np.sum(np.exp(z - z.max())))

    def backward(self, g):
        return g - g.sum() * self.p


first, second = Linear(point["W1"], point["b1"]), Linear(point["W2"], point["b2"])
stack = [first, Relu(), second, LogSoftmax()]
value = point["x"]
for module in stack:
    value = module.forward(value)
cotangent = -np.eye(len(value))[c]  # of the loss -value[c]
for module in reversed(stack):
    cotangent = module.backward(cotangent)

loss = -sg.log_softmax(W[2] @ sg.relu(W[1] @ x + b[1]) + b[2])[c]
of_graph = sg.evaluate(
    sg.grad(loss, [x, W[1], b[1], W[2], b[2]]), {s: point[s.name] for s in (x, W[1], b[1], W[2], b[2])}
)
for ours, theirs in zip(of_graph, [cotangent, first.dW, first.db, second.dW, second.db], strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
print("the stack of modules and the graph agree")
