# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Sensitivity analysis
#
# A model has parameters that we know only roughly. *Sensitivities* tell how much its results change when a parameter
# does: they are derivatives. But the results of the three models of this notebook are not formulas. The first solves
# an equation, the second minimizes a loss, the third follows a differential equation. What is the derivative of "the
# $y$ that solves $f(y, p) = 0$"?
#
# The *implicit function theorem* answers: if $f(y(p), p) = 0$ for all $p$, then the derivative of this along $p$ is
# zero too, and
#
# $$\frac{\partial f}{\partial y} \frac{dy}{dp} + \frac{\partial f}{\partial p} = 0.$$
#
# One system of linear equations gives $dy/dp$, however $y$ was found.

# %%
import matplotlib.pyplot as plt
import numpy as np

import symgraph as sg


def central(f, x, h):
    """df/dx[j], along the last axis, by central differences."""
    return np.stack([(np.asarray(f(x + h * e)) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))], axis=-1)


# %% [markdown]
# ## An equilibrium
#
# Two genes repress each other: each makes a protein at a rate that falls with the amount of the other protein, and
# each protein decays.
#
# $$\dot u = \frac{a}{1 + v^2} - u, \qquad \dot v = \frac{b}{1 + u^2} - v.$$
#
# At equilibrium both rates are zero. `sg.root` finds that point by Newton's method, starting from a guess, and its
# result is a tensor of the graph like any other.

# %%
rates = sg.symbol("rates", (2,))  # a and b
guess = sg.symbol("guess", (2,))


def change(y):
    return sg.stack([rates[0] / (1 + y[1] ** 2) - y[0], rates[1] / (1 + y[0] ** 2) - y[1]])


equilibrium = sg.root(change, guess)
switch = sg.function([rates, guess], [equilibrium, sg.jacobian(equilibrium, rates)])

ab = np.array([4.0, 3.5])
point, sensitivity = switch(ab, np.array([4.0, 0.1]))
print("u, v =", point)
print("d(u, v) / d(a, b) =", sensitivity, sep="\n")
np.testing.assert_allclose(point, ab / (1 + point[::-1] ** 2), rtol=1e-12)  # it is an equilibrium
np.testing.assert_allclose(sensitivity, central(lambda p: switch(p, point)[0], ab, 1e-5), rtol=1e-7, atol=1e-7)

# %% [markdown]
# With these rates one gene is on and the other is nearly off. From another guess we find the opposite state: together
# they are a switch, the first that was ever built of genes (Gardner, Cantor and Collins, 2000). As $a$ falls, the
# state with gene 1 on becomes more and more sensitive, until it vanishes. Then only the other state is left. We
# follow it, each time starting from the last point.

# %%
other = switch(ab, np.array([0.1, 3.5]))[0]
print("the other state: u, v =", other)
assert point[0] > 2 * point[1] and other[1] > 2 * other[0]

path, here = [], point
for a in np.linspace(4.0, 3.0, 100):
    here, slopes = switch(np.array([a, 3.5]), here)
    path.append([a, here[0], slopes[0, 0]])
path = np.array(path)
assert np.all(np.diff(path[:, 2]) > 0)  # du/da rises all the way
assert path[-1, 2] > 3 * path[0, 2]

flipped, _ = switch(np.array([2.5, 3.5]), other)
np.testing.assert_allclose(switch(np.array([2.5, 3.5]), here)[0], flipped)
print("at a = 2.5, from either side: u, v =", flipped)

# %% [markdown]
# Derivatives of higher order go the same way: the second derivative of an equilibrium is the derivative of the first.
# It is what tells that the switch is about to flip.

# %%
one = sg.grad(equilibrium[0], rates)[0]
two = sg.grad(one, rates)[0]
second = sg.function([rates, guess], [one, two])
value, curvature = second(ab, point)
step = np.array([1e-4, 0])
expected = (second(ab + step, point)[0] - second(ab - step, point)[0]) / 2e-4
np.testing.assert_allclose(curvature, expected, rtol=1e-6)

# %% [markdown]
# ## The penalty of a ridge regression
#
# Ridge regression minimizes $\|X w - y\|^2 + e^s \|w\|^2$. How large should the penalty be? One that makes the error
# on *other* data small. That error depends on $s$ through the optimum $w(s)$, and to find the best $s$ we want its
# derivative.
#
# `sg.implicit` says by which condition a value is to be differentiated. We compute $w$ as we like (here by solving
# the normal equations), and say that it is an `argmin`.

# %%
X, y = sg.symbol("X", ("rows", 20)), sg.symbol("y", ("rows",))
X_test, y_test = sg.symbol("X_test", ("tests", 20)), sg.symbol("y_test", ("tests",))
s = sg.symbol("s")


def ridge(w):
    return np.sum((X @ w - y) ** 2) + np.exp(s) * np.sum(w**2)


solution = np.linalg.solve(X.T @ X + np.exp(s) * np.eye(20), X.T @ y)
w = sg.implicit(sg.stop_gradient(solution), argmin=ridge)
test_error = np.mean((X_test @ w - y_test) ** 2)
slope = sg.grad(test_error, s)
curvature = sg.grad(slope, s)
tune = sg.function([X, y, X_test, y_test, s], [test_error, slope, curvature])

# %% [markdown]
# `stop_gradient` hides the computation, so that all derivatives come from the condition; they would be the same
# without. Central differences agree, and so does the formula that one derives by hand:
# $dw/ds = -e^s (X^T X + e^s I)^{-1} w$.

# %%
rng = np.random.default_rng(0)
truth = rng.standard_normal(20) * (rng.uniform(size=20) < 0.3)
train_x, test_x = rng.standard_normal((30, 20)), rng.standard_normal((200, 20))
train_y, test_y = (inputs @ truth + 1.5 * rng.standard_normal(len(inputs)) for inputs in (train_x, test_x))
data = (train_x, train_y, test_x, test_y)

_, found, bend = tune(*data, 0.0)
np.testing.assert_allclose(found, (tune(*data, 1e-4)[0] - tune(*data, -1e-4)[0]) / 2e-4, rtol=1e-6)
np.testing.assert_allclose(bend, (tune(*data, 1e-4)[1] - tune(*data, -1e-4)[1]) / 2e-4, rtol=1e-6)

both = sg.function([X, y, s], [w, sg.jacobian(w, s)])
best, along = both(train_x, train_y, 1.0)
matrix = train_x.T @ train_x + np.e * np.eye(20)
np.testing.assert_allclose(along, -np.e * np.linalg.solve(matrix, best), rtol=1e-9, atol=1e-12)

# %% [markdown]
# With two derivatives in hand we tune the penalty by Newton's method, and need no grid.

# %%
at = 2.0
for _ in range(10):
    error, first, bend = tune(*data, at)
    print(f"log penalty {at:.6f}: test error {error:.6f}, derivative {first:+.1e}")
    if abs(first) < 1e-12:
        break
    at -= first / abs(bend)
grid = np.linspace(-2, 6, 81)
errors = [tune(*data, value)[0] for value in grid]
assert abs(first) < 1e-10
assert error <= min(errors) + 1e-12

# %% [markdown]
# ## An epidemic
#
# In the SIR model, infected people $I$ infect susceptible ones $S$ at the rate $\beta S I$, and recover at the rate
# $\gamma I$. A classical Runge-Kutta step of length $h$ gives the state a little later, $x_{k+1} = \Phi(x_k, p)$. By
# the chain rule, the sensitivities $Z_k = dx_k / dp$ go along:
#
# $$Z_{k+1} = \frac{\partial \Phi}{\partial x} Z_k + \frac{\partial \Phi}{\partial p}.$$
#
# Both matrices are Jacobians of one step. We compile the step with its sensitivities, and run it as any integrator.

# %%
x, p, Z = sg.symbol("x", (2,)), sg.symbol("p", (2,)), sg.symbol("Z", (2, 2))
h = 0.25


def velocity(x):
    infections = p[0] * x[0] * x[1]
    return sg.stack([-infections, infections - p[1] * x[1]])


k1 = velocity(x)
k2 = velocity(x + h / 2 * k1)
k3 = velocity(x + h / 2 * k2)
k4 = velocity(x + h * k3)
after = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
step = sg.function([x, p, Z], [after, sg.jacobian(after, x) @ Z + sg.jacobian(after, p)])


def epidemic(p, days=80):
    """States (days * 4 + 1, 2) and their sensitivities (days * 4 + 1, 2, 2), from one infected in a thousand."""
    state, Z = np.array([0.999, 0.001]), np.zeros((2, 2))
    states, sensitivities = [state], [Z]
    for _ in range(int(days / h)):
        state, Z = step(state, p, Z)
        states.append(state)
        sensitivities.append(Z)
    return np.array(states), np.array(sensitivities)


parameters = np.array([0.5, 0.2])
states, sensitivities = epidemic(parameters)
by_differences = central(lambda p: epidemic(p)[0], parameters, 1e-5)
np.testing.assert_allclose(sensitivities, by_differences, rtol=0, atol=1e-7)

# %% [markdown]
# What do they tell? Early, a higher $\beta$ means more infected, and later fewer: the wave comes sooner. And there is
# a law to be found. If both rates are multiplied by the same number, everything happens that much faster, and nothing
# else changes. So at every time
#
# $$\beta \frac{dI}{d\beta} + \gamma \frac{dI}{d\gamma} = t \, \frac{dI}{dt}.$$
#
# At the peak the right side is zero. There, the *elasticities* $\frac{p}{I} \frac{dI}{dp}$ (by how many percent the
# peak rises when a parameter rises by one) are opposite to each other (nearly so here, since the peak falls between
# two steps): the height of the wave depends on $\beta / \gamma$ alone, the famous reproduction number.

# %%
days = h * np.arange(len(states))
slope_in_time = parameters[0] * states[:, 0] * states[:, 1] - parameters[1] * states[:, 1]
np.testing.assert_allclose(sensitivities[:, 1] @ parameters, days * slope_in_time, rtol=0, atol=1e-5)

peak = states[:, 1].argmax()
elasticity = parameters / states[peak, 1] * sensitivities[peak, 1]
print(f"peak after {days[peak]} days, elasticities {elasticity[0]:+.2f} to beta and {elasticity[1]:+.2f} to gamma")
assert abs(elasticity.sum()) < 0.1
assert sensitivities[:peak, 1, 0].max() > 0 > sensitivities[peak + 20 :, 1, 0].min()

fig, axes = plt.subplots(1, 3, figsize=(14, 4))
axes[0].plot(path[:, 0], path[:, 1], label="u")
axes[0].plot(path[:, 0], path[:, 2], label="du/da")
axes[0].set(xlabel="a", title="the switch, with gene 1 on")
axes[0].legend()
axes[1].plot(grid, errors)
axes[1].plot(at, error, "o", label="found by Newton's method")
axes[1].set(xlabel="log penalty", title="error on the test data")
axes[1].legend()
axes[2].plot(days, states[:, 1], "k", label="infected")
axes[2].plot(days, parameters[0] * sensitivities[:, 1, 0], label=r"$\beta\; dI/d\beta$")
axes[2].plot(days, parameters[1] * sensitivities[:, 1, 1], label=r"$\gamma\; dI/d\gamma$")
axes[2].set(xlabel="days", title="an epidemic")
axes[2].legend()
fig.tight_layout()
