# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Newton's method against gradient descent
#
# To find the minimum of a function one can walk downhill. *Gradient descent* does so in small steps,
# $x \leftarrow x - \eta \nabla f$. *Newton's method* also knows how the slope changes: it approximates $f$ near $x$
# by a parabola, and jumps to the bottom of that,
#
# $$x \leftarrow x - H^{-1} \nabla f, \qquad H = \text{the Hessian of } f.$$
#
# The price is the Hessian, and a system of equations in each step. In this notebook we see what it buys, and how the
# structure of a Hessian makes the price small.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import symgraph as sg

# %% [markdown]
# ## A problem
#
# Logistic regression on measurements of tumours, thirty columns each, standardized. A small quadratic penalty makes
# the minimum unique.

# %%
data = load_breast_cancer()
X = np.column_stack([np.ones(len(data.data)), (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)])
Y = (data.target == 0).astype(float)

A, y, w = sg.symbol("A", ("rows", 31)), sg.symbol("y", ("rows",)), sg.symbol("w", (31,))
z = A @ w
loss = np.mean(np.log(1 + np.exp(z)) - y * z) + 1e-3 * np.sum(w**2)
gradient, H = sg.grad(loss, w), sg.hessian(loss, w)
print(H)

# %% [markdown]
# ## Two steps, compiled
#
# Each step is a function of the current point. Both return the loss and the length of the gradient there, and the
# point that follows. The rate of gradient descent is not a matter of luck here: the gradient never changes faster
# than $\lambda$, the largest eigenvalue of $A^T A / (4\, \text{rows})$ plus the penalty, and $\eta = 1 / \lambda$ is
# known to be safe.

# %%
rate = 1 / (np.linalg.eigvalsh(X.T @ X / 4 / len(X)).max() + 2e-3)
length = np.sqrt(np.sum(gradient**2))
descent_step = sg.function([A, y, w], [loss, length, w - rate * gradient])
newton_step = sg.function(
    [A, y, w], [loss, length, w - H.solve(gradient)], name="newton_step", style="plain", comments=False
)
print(newton_step.source)


def minimize(step, steps):
    """The losses, the lengths of the gradient and the points that a method visits, from zero."""
    point, losses, lengths, points = np.zeros(31), [], [], []
    for _ in range(steps):
        value, size, following = step(X, Y, point)
        losses.append(value)
        lengths.append(size)
        points.append(point)
        point = following
    return np.array(losses), np.array(lengths), np.array(points)


descent = minimize(descent_step, 5000)
newton = minimize(newton_step, 12)
print(f"gradient descent, after 5000 steps: gradient {descent[1][-1]:.1e}")
print(f"Newton's method,  after   12 steps: gradient {newton[1][-1]:.1e}")
assert newton[1][-1] < 1e-14 < 1e-6 < descent[1][-1]
assert np.all(np.diff(descent[0]) < 0)  # the rate is safe

# %% [markdown]
# ## Quadratic convergence
#
# Let $e_k$ be the distance to the minimum after $k$ steps. Gradient descent shortens it by a factor in each step, at
# best: *linear* convergence. Newton's method squares it, $e_{k+1} \le c\, e_k^2$: *quadratic* convergence, which
# doubles the number of correct digits in each step.

# %%
best = newton[2][-1]
distance = np.linalg.norm(newton[2] - best, axis=1)
close = [k for k in range(len(distance) - 1) if 1e-7 < distance[k] < 1]  # below, e**2 drowns in rounding errors
for k in close:
    e, following = distance[k], distance[k + 1]
    print(f"step {k}: e = {e:.1e}   next e = {following:.1e} = {following / e**2:.2f} e**2")
assert len(close) >= 3
assert all(distance[k + 1] < 2 * distance[k] ** 2 for k in close)

fig, axes = plt.subplots(1, 2, figsize=(11, 4))
away = np.linalg.norm(descent[2] - best, axis=1)
axes[0].loglog(1 + np.arange(len(away)), away, label="gradient descent")
axes[0].loglog(1 + np.arange(11), np.maximum(distance[:11], 1e-16), "o-", label="Newton")
axes[0].set(xlabel="step", ylabel="distance to the minimum")
axes[0].legend()
axes[1].loglog(distance[close], distance[[k + 1 for k in close]], "o-", label="Newton")
axes[1].loglog(distance[close], distance[close] ** 2, "--", color="0.6", label=r"$e^2$")
axes[1].set(xlabel="$e_k$", ylabel="$e_{k+1}$")
axes[1].legend()
fig.tight_layout()

# %% [markdown]
# ## Ten thousand unknowns
#
# For $n$ unknowns the Hessian has $n^2$ numbers, and a system of equations costs $n^3$ operations. That is what makes
# people say that Newton's method is for small problems. But the Hessian of the chained Rosenbrock function has three
# diagonals, so `H.solve` solves a banded system, in time proportional to $n$. (The whole array would take 800
# megabytes.)
#
# Far from the minimum the parabola may be a bad one. So the step is shortened until the function falls, as any
# textbook on optimization advises; and where the curvature is negative along it, we turn it around.

# %%
n = 10_000
x = sg.symbol("x", (n,))
chain = np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
slope, curvature = sg.grad(chain, x), sg.hessian(chain, x)
value = sg.function([x], chain)
propose = sg.function([x], [chain, slope, curvature.solve(slope)])

start = 1 + 0.1 * np.random.default_rng(0).standard_normal(n)
point = start
for step in range(100):
    now, downhill, move = propose(point)
    if step % 4 == 0 or np.linalg.norm(downhill) < 1e-8:
        print(f"step {step:2}: f = {now:.3e}   |gradient| = {np.linalg.norm(downhill):.1e}")
    if np.linalg.norm(downhill) < 1e-8:
        break
    move = move * np.sign(downhill @ move)
    size = 1.0
    while value(point - size * move) > now - 1e-4 * size * (downhill @ move):
        size /= 2
    point = point - size * move
assert step < 40
np.testing.assert_allclose(point, 1, rtol=0, atol=1e-8)  # the minimum is at (1, ..., 1)

# %% [markdown]
# ## Without the Hessian: Newton-CG
#
# And where a Hessian has no structure, as in a network? Then there are the *conjugate gradients* of Hestenes and
# Stiefel, which solve $H s = g$ and ask for nothing but products $H v$. `hvp` gives such a product for the price of
# one or two gradients, and no matrix is ever made.

# %%
rng = np.random.default_rng(0)
inputs = rng.uniform(-2, 2, (200, 2))
targets = np.sin(2 * inputs[:, 0]) * inputs[:, 1]

P = sg.symbol("P", ("points", 2))
u = sg.symbol("u", ("points",))
weights = {"W": sg.symbol("W", (2, 20)), "b": sg.symbol("b", (20,)), "v": sg.symbol("v", (20,))}
network = np.tanh(P @ weights["W"] + weights["b"]) @ weights["v"]
error = np.mean((network - u) ** 2) + 1e-3 * sum(np.sum(s**2) for s in weights.values())

directions = {name: sg.symbol(f"d_{name}", s.shape) for name, s in weights.items()}
symbols, along = list(weights.values()), list(directions.values())
slopes = sg.function([P, u, *symbols], sg.value_and_grad(error, symbols))
products = sg.function([P, u, *symbols, *along], sg.hvp(error, symbols, along))

one, two = (int(f.cost()(points=200).flops) for f in (slopes, products))
print(f"operations: a gradient {one}, a product with the Hessian {two}")
assert two < 2 * one

# %% [markdown]
# In a network the curvature is negative along some directions. The iteration stops when it meets one: what it has
# found until then goes downhill (Steihaug, 1983).

# %%
sizes = [s.shape for s in symbols]
ends = np.cumsum([int(np.prod(s)) for s in sizes])


def apart(vector):
    """A vector of all weights as arrays."""
    return [part.reshape(s) for part, s in zip(np.split(vector, ends[:-1]), sizes)]


def together(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def value_and_slope(vector):
    found, gradients = slopes(inputs, targets, *apart(vector))
    return found, together(gradients)


def hessian_times(vector, direction):
    return together(products(inputs, targets, *apart(vector), *apart(direction)))


def conjugate_gradients(times, g, accuracy):
    """An approximate solution s of H s = g, of H known by its products."""
    s, residual = np.zeros_like(g), g
    d, size = residual, residual @ residual
    for _ in range(len(g)):
        Hd = times(d)
        if d @ Hd <= 0:
            return s if s.any() else g
        s, residual = s + size / (d @ Hd) * d, residual - size / (d @ Hd) * Hd
        d, size = residual + (residual @ residual) / size * d, residual @ residual
        if np.sqrt(size) < accuracy * np.linalg.norm(g):
            break
    return s


point = rng.standard_normal(ends[-1])
some, other = rng.standard_normal((2, ends[-1]))
by_differences = (value_and_slope(point + 1e-5 * some)[1] - value_and_slope(point - 1e-5 * some)[1]) / 2e-5
np.testing.assert_allclose(hessian_times(point, some), by_differences, rtol=1e-6, atol=1e-7)
np.testing.assert_allclose(other @ hessian_times(point, some), some @ hessian_times(point, other), rtol=1e-10)

# %% [markdown]
# The accuracy to which we solve follows the gradient: rough at first, fine at the end. To be fair we count the work:
# a product with the Hessian costs about as much as two gradients. Gradient descent gets 20 000 of them, and a rate as
# large as it bears (with 0.2 it runs away).

# %%


def newton_cg(point, steps):
    """The loss, the length of the gradient and the work so far, in gradients, at every step."""
    history, work = [], 0

    def times(d):
        nonlocal work
        work += 2
        return hessian_times(point, d)

    for _ in range(steps):
        now, g = value_and_slope(point)
        work += 1
        history.append((now, np.linalg.norm(g), work))
        if np.linalg.norm(g) < 1e-9:
            break
        s = conjugate_gradients(times, g, min(0.5, np.sqrt(np.linalg.norm(g))))
        size = 1.0
        while value_and_slope(point - size * s)[0] > now - 1e-4 * size * (g @ s) and size > 1e-12:
            size, work = size / 2, work + 1
        point = point - size * s
    return np.array(history)


def descend(point, steps, rate=0.1):
    history = []
    for step in range(steps):
        now, g = value_and_slope(point)
        history.append((now, np.linalg.norm(g), 1 + step))
        point = point - rate * g
    return np.array(history)


by_newton = newton_cg(point, 200)
by_descent = descend(point, 20_000)
for name, history in [("Newton-CG", by_newton), ("gradient descent", by_descent)]:
    value, size, work = history[-1]
    print(f"{name:17} {len(history):5} steps, {work:6.0f} gradients: loss {value:.6f}, gradient {size:.1e}")

assert by_newton[-1, 1] < 1e-9 < 1e-5 < by_descent[-1, 1]
assert by_newton[-1, 2] < len(by_descent) / 2
assert np.all(np.diff(by_newton[:, 0]) < 1e-12)
with np.errstate(over="ignore", invalid="ignore"):
    assert not np.isfinite(descend(point, 1000, rate=0.2)[-1, 0])

fig, axes = plt.subplots(1, 2, figsize=(11, 4))
for axis, column, title in [(axes[0], 0, "loss"), (axes[1], 1, "length of the gradient")]:
    for name, history in [("gradient descent", by_descent), ("Newton-CG", by_newton)]:
        axis.loglog(history[:, 2], history[:, column], label=name)
    axis.set(xlabel="work, in gradients", title=title)
    axis.legend()
fig.tight_layout()

# %% [markdown]
# Notice the beginning: for the first fifty gradients or so, the two are about as good as each other. Curvature is
# worth its price later, where the valley is long and flat, and where a solution is wanted to many digits.

# %% [markdown]
# ## In one line
#
# We wrote these loops to see how they work. `sg.optim.minimize` has both methods, and takes more care of what may go
# wrong on the way. It compiles the step from the loss as it stands.

# %%
found = sg.optim.minimize(chain, x, start)
print(f"chain:   {found.nit} steps, {found.message}")
assert found.success
np.testing.assert_allclose(found.x, 1, rtol=0, atol=1e-8)

found = sg.optim.minimize(error, symbols, apart(point), method="newton-cg", data={P: inputs, u: targets})
print(f"network: {found.nit} steps, {found.message}")
assert found.success
