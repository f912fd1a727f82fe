# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # The Taylor series of a network
#
# Along a line $x + t\,d$, a network with one output is a function of one number, $t$. If its activations are smooth,
# so is that function, and it has a Taylor series:
#
# $$y(x + t\,d) = c_0 + c_1 t + c_2 t^2 + \dots$$
#
# In this notebook we compute its coefficients, thirty and more; see what the first few mean; and ask how far from $x$
# the series is of any use. The answer lies in the complex plane.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from scipy.interpolate import pade

import symgraph as sg

# %% [markdown]
# ## The coefficients
#
# The network has two inputs and one layer of sixteen tanh. `sg.taylor(y, x, d, order)` gives the coefficients as
# nodes of the same graph, to be compiled like any others. Here is the program for the first four.

# %%
rng = np.random.default_rng(3)
W, b, v = sg.symbol("W", (2, 16)), sg.symbol("b", (16,)), sg.symbol("v", (16,))
x, d = sg.symbol("x", (2,)), sg.symbol("d", (2,))
y = sg.named(np.tanh(x @ W + b) @ v, "y")

print(sg.function([x, d, W, b, v], sg.taylor(y, x, d, 3), name="series", style="plain", comments=False).source)

# %% [markdown]
# One tanh at the top; the rest are products. If $u = \tanh z$ then $u' = (1 - u^2) z'$, and this equation, written
# for power series and solved one coefficient after another, gives each from those before. Such recurrences are known
# for all elementary functions (Griewank and Walther, chapter 13), and the program they make grows with the square of
# the order. The alternative is to differentiate the derivative, again and again. symgraph shares what the derivatives
# have in common, so that low orders cost much the same; high orders do not. We count lines, for a network with two
# layers.

# %%
V = sg.symbol("V", (16, 16))
deep = np.tanh(np.tanh(x @ W + b) @ V) @ v


def by_repetition(y, order):
    """The same coefficients, each by a derivative of the one before."""
    coefficients, derivative = [y], y
    for k in range(1, order + 1):
        derivative = sg.jvp(derivative, x, d)
        coefficients.append(derivative / math.factorial(k))
    return coefficients


def lines(outputs):
    return sg.function([x, d, W, b, V, v], outputs, style="plain", comments=False).source.count("\n")


for order in (2, 6, 12):
    few, many = lines(sg.taylor(deep, x, d, order)), lines(by_repetition(deep, order))
    print(f"order {order:2}: {few:3} lines by recurrence, {many:3} by repeated differentiation")
assert few < many / 2

# %% [markdown]
# ## What they mean
#
# The first coefficient is the derivative along $d$, and twice the second is the curvature along $d$, $d^T H d$. In
# general $c_k = \frac{1}{k!} \frac{d^k y}{dt^k}$, so all agree with what repeated differentiation gives.

# %%
values = {
    W: rng.standard_normal((2, 16)),
    b: rng.standard_normal(16),
    v: rng.standard_normal(16) / 4,
    x: np.zeros(2),
    d: np.array([0.6, 0.8]),
}
c = sg.taylor(y, x, d, 6)
found, again = sg.evaluate([list(c), by_repetition(y, 6)], values)
np.testing.assert_allclose(found, again, rtol=1e-10)

slope, curvature = sg.evaluate([sg.grad(y, x) @ d, d @ sg.hessian(y, x).matvec(d)], values)
np.testing.assert_allclose(found[1:3], [slope, curvature / 2], rtol=1e-12)
print("coefficients:", np.round(found, 4))

# %% [markdown]
# ## Thirty-two coefficients
#
# Let us see the polynomials beside the network. Near $x$, each further coefficient makes a better polynomial. But
# beyond a certain distance more coefficients make it *worse*.

# %%
order = 32
series = sg.function([x, d, W, b, v], sg.taylor(y, x, d, order))
network = sg.function([x, W, b, v], y)
weights = [values[s] for s in (W, b, v)]
coefficients = np.array(series(values[x], values[d], *weights))

t = np.linspace(-3, 3, 601)
truth = np.array([network(values[x] + s * values[d], *weights) for s in t])


def polynomial(n):
    return np.polynomial.Polynomial(coefficients[: n + 1])(t)


error = {n: np.abs(polynomial(n) - truth) for n in (4, 8, 16, 32)}
near, far = np.abs(t) < 0.5, np.abs(t) > 1.5
for n, e in error.items():
    print(f"order {n:2}: largest error {e[near].max():.1e} for |t| < 0.5, and {e[far].max():.1e} for |t| > 1.5")
assert error[32][near].max() < 1e-2 * error[16][near].max() < 1e-3 * error[8][near].max()
assert error[32][far].max() > 1e3 * error[16][far].max() > 1e3 * error[8][far].max()

# %% [markdown]
# ## The radius of convergence
#
# A power series converges within a circle of the complex plane, which reaches to the nearest point where the function
# is not smooth. On the real line a tanh is smooth everywhere; but it has poles at $\pm i \pi / 2$, $\pm 3 i \pi / 2$
# and so on. Unit $j$ of the network computes $\tanh(a_j + b_j t)$, so it meets its first pole at
# $t_j = (\pm i \pi / 2 - a_j) / b_j$, and the radius is the least $|t_j|$.

# %%
a_j, b_j = values[x] @ values[W] + values[b], values[d] @ values[W]
poles = np.concatenate([(1j * np.pi * (k + 0.5) - a_j) / b_j for k in range(-4, 4)])
radius = np.abs(poles).min()
print(f"radius of convergence: {radius:.6f}")

# %% [markdown]
# Do the coefficients know? Near a pole and its mirror image, $c_k \approx 2 \,\mathrm{Re}(r\, t_j^{-k-1})$: the
# coefficients grow or fall like $R^{-k}$, while their signs turn. The combination $D_k = c_k^2 - c_{k-1} c_{k+1}$
# does not turn, and $D_{k+1} / D_k \to R^{-2}$. So we can read the radius from the coefficients alone, to three
# digits.

# %%
D = coefficients[1:-1] ** 2 - coefficients[:-2] * coefficients[2:]
estimates = np.sqrt(D[:-1] / D[1:])
print("the last estimates:", estimates[-4:])
np.testing.assert_allclose(estimates[-8:], radius, rtol=1e-3)

fig, axes = plt.subplots(1, 3, figsize=(14, 4))
axes[0].plot(t, truth, "k", lw=2, label="network")
for n in error:
    axes[0].plot(t, polynomial(n), lw=1, label=f"order {n}")
axes[0].axvspan(-radius, radius, color="0.93")
axes[0].set(ylim=(truth.min() - 1, truth.max() + 1), xlabel="t", title="the network and its polynomials")
axes[0].legend(fontsize=8)

axes[1].semilogy(np.abs(coefficients), "o", ms=3, label="$|c_k|$")
axes[1].semilogy(radius ** -np.arange(order + 1.0), "--", label="$R^{-k}$")
axes[1].set(xlabel="k", title="the coefficients")
axes[1].legend()

axes[2].plot(poles.real, poles.imag, "x", label="poles of the units")
axes[2].add_patch(plt.Circle((0, 0), radius, fill=False, color="C1"))
axes[2].axhline(0, color="0.7", lw=0.8)
axes[2].set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", title="the complex plane of t")
axes[2].legend(loc="upper right", fontsize=8)
fig.tight_layout()

# %% [markdown]
# ## Past the circle
#
# The circle stops polynomials, because polynomials have no poles. A *Padé approximant* is a quotient of two
# polynomials that has the same Taylor series. It puts poles of its own near those of the network, and goes on where
# the polynomial has long left: all from the derivatives at one point.

# %%
above, below = pade(coefficients[:17], 8)
quotient = above(t) / below(t)
beyond = (np.abs(t) > radius) & (np.abs(t) < 1.5)
print(f"for {radius:.2f} < |t| < 1.5: polynomial of order 16 errs by {error[16][beyond].max():.1e},", end=" ")
print(f"the quotient by {np.abs(quotient - truth)[beyond].max():.1e}")
assert np.abs(quotient - truth)[beyond].max() < 1e-2 * error[16][beyond].max()

fig, axis = plt.subplots(figsize=(7, 4))
axis.plot(t, truth, "k", lw=2, label="network")
axis.plot(t, polynomial(16), label="polynomial of order 16")
axis.plot(t, quotient, "--", label="Padé approximant of order 8 / 8")
axis.axvspan(-radius, radius, color="0.93")
axis.set(ylim=(truth.min() - 1, truth.max() + 1), xlabel="t")
axis.legend()
fig.tight_layout()
