# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # The double pendulum, from its Lagrangian
#
# Mechanics needs derivatives of derivatives. One writes down a single function, the Lagrangian $L(q, \dot q)$:
# kinetic less potential energy, as a function of the coordinates $q$ and the velocities $\dot q$. The motion then
# follows from the equations of Euler and Lagrange,
#
# $$\frac{d}{dt} \frac{\partial L}{\partial \dot q} = \frac{\partial L}{\partial q}.$$
#
# By hand this is an afternoon of trigonometry for two rods, and nobody does it for five. Here the computer does it,
# and writes down the program. A physicist's checks follow: the textbook, the small oscillations, and the conservation
# of energy.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import eigh

import symgraph as sg

# %% [markdown]
# ## The Lagrangian
#
# A chain of $n$ rods hangs from a nail; $q_i$ is the angle of rod $i$ from the vertical. Bob $i$ is where the first
# $i$ rods lead, so its place is a sum, which we write as a product with a triangular matrix: $S_{ij}$ is the length
# of rod $j$ if $j \le i$, else 0. The velocities are the derivative of the places along $\dot q$, which is what `jvp`
# gives.

# %%
q, v = sg.symbol("q", ("n",)), sg.symbol("v", ("n",))  # angles, and how fast they change
S, m = sg.symbol("S", ("n", "n")), sg.symbol("m", ("n",))
g = 9.81

x, y = S @ np.sin(q), -S @ np.cos(q)
vx, vy = sg.jvp([x, y], q, v)
kinetic = np.sum(m * (vx**2 + vy**2)) / 2
potential = g * np.sum(m * y)
L = kinetic - potential

# %% [markdown]
# ## The equations of motion
#
# The left side of the equation is the change of the momentum $p = \partial L / \partial \dot q$ in time. It depends
# on time through $\dot q$ and through $q$, so by the chain rule
#
# $$\underbrace{\frac{\partial^2 L}{\partial \dot q \, \partial \dot q}}_{M} \ddot q
#   + \frac{\partial p}{\partial q} \dot q = \frac{\partial L}{\partial q}.$$
#
# The Hessian $M$ is called the mass matrix. We ask for it and print it: with two formulas of one line each we have
# what textbooks derive on a page.

# %%
p = sg.grad(L, v)
M = sg.hessian(L, v)
acceleration = M.solve(sg.grad(L, q) - sg.jvp(p, q, v))
print(M)

assert "diag(sin(q)) @ S.T @ diag(m) @ S @ diag(sin(q))" in str(M)
assert "diag(cos(q)) @ S.T @ diag(m) @ S @ diag(cos(q))" in str(M)

# %% [markdown]
# Now the program. Second derivatives of the Lagrangian are in it, but no trace of differentiation is left: it could
# have been written by hand.

# %%
motion = sg.function([q, v, S, m], acceleration, name="motion", style="plain", comments=False)
print(motion.source)

# %% [markdown]
# ## Against the textbook
#
# For two rods of length 1 and two bobs of mass 1 the equations are in every book on mechanics. They agree at random
# points.

# %%
rods, masses = np.tril(np.ones((2, 2))), np.ones(2)


def textbook(q, v):
    d = q[0] - q[1]
    common = 3 - np.cos(2 * d)
    first = -3 * g * np.sin(q[0]) - g * np.sin(q[0] - 2 * q[1]) - 2 * np.sin(d) * (v[1] ** 2 + v[0] ** 2 * np.cos(d))
    second = 2 * np.sin(d) * (2 * v[0] ** 2 + 2 * g * np.cos(q[0]) + v[1] ** 2 * np.cos(d))
    return np.array([first, second]) / common


rng = np.random.default_rng(0)
for angles, speeds in 3 * rng.standard_normal((100, 2, 2)):
    np.testing.assert_allclose(motion(angles, speeds, rods, masses), textbook(angles, speeds), rtol=1e-9, atol=1e-9)

# %% [markdown]
# ## Small oscillations
#
# Near rest the pendulum is a linear system, $M \ddot q = -K q$, where the stiffness $K$ is the Hessian of the
# potential energy. A motion $\cos(\omega t)\, u$ solves it if $K u = \omega^2 M u$. For the double pendulum
# $\omega^2 = (2 \pm \sqrt 2)\, g$: the bobs swing together slowly, or against each other fast.

# %%
K = sg.hessian(potential, q)
matrices = sg.function([q, v, S, m], [M, K])
mass, stiffness = matrices(np.zeros(2), np.zeros(2), rods, masses)
squares, shapes = eigh(stiffness, mass)
np.testing.assert_allclose(squares, [(2 - np.sqrt(2)) * g, (2 + np.sqrt(2)) * g], rtol=1e-12)
assert shapes[0, 0] * shapes[1, 0] > 0 > shapes[0, 1] * shapes[1, 1]  # together, and against each other
print("periods of the two modes (s):", 2 * np.pi / np.sqrt(squares))

# %% [markdown]
# ## Energy
#
# The energy $E = p \cdot \dot q - L$ is constant along every motion, because $L$ does not mention the time. Before we
# integrate anything we can ask whether that is so: the derivative of $E$ along $(\dot q, \ddot q)$ should be zero at
# any point.

# %%
E = p @ v - L
drift = sg.function([q, v, S, m], sg.jvp(E, [q, v], [v, acceleration]))
energy = sg.function([q, v, S, m], E)

for angles, speeds in rng.standard_normal((100, 2, 2)):
    assert abs(drift(angles, speeds, rods, masses)) < 1e-11
    assert energy(angles, speeds, rods, masses) >= -3 * g - 1e-12  # nothing lies lower than hanging at rest

# %% [markdown]
# Then we let it go, from high up, for 20 seconds. SciPy integrates the compiled function; the energy stays constant
# to eight digits after the point.

# %%


def swing(angles, rods, masses, seconds=20.0):
    """The times and the states (angles, then velocities) of a pendulum released at rest."""
    n = len(angles)
    start = np.concatenate([angles, np.zeros(n)])
    right_side = lambda t, s: np.concatenate([s[n:], motion(s[:n], s[n:], rods, masses)])
    moments = np.linspace(0, seconds, int(100 * seconds) + 1)
    found = solve_ivp(right_side, (0, seconds), start, method="DOP853", t_eval=moments, rtol=1e-12, atol=1e-12)
    return found.t, found.y.T


times, states = swing([2.0, 2.5], rods, masses)
energies = np.array([energy(s[:2], s[2:], rods, masses) for s in states])
print("largest change of the energy:", np.abs(energies - energies[0]).max())
assert np.abs(energies - energies[0]).max() < 1e-8

# %% [markdown]
# ## Chaos
#
# A second pendulum starts a billionth of a radian away. For a while nobody could tell the two apart; but their
# distance grows exponentially, on the average, until the two motions have nothing in common. The energy is no help
# against this.

# %%
_, others = swing([2.0, 2.5 + 1e-9], rods, masses)
distance = np.linalg.norm(states[:, :2] - others[:, :2], axis=1)
assert distance[:200].max() < 1e-6 < 1e-1 < distance.max()

fig, axes = plt.subplots(1, 3, figsize=(13, 4))
x2, y2 = np.sin(states[:, :2]).sum(axis=1), -np.cos(states[:, :2]).sum(axis=1)
axes[0].plot(x2, y2, lw=0.6)
for k, shade in [(0, "0.7"), (60, "0.4"), (120, "0.0")]:
    right, up = np.cumsum(np.sin(states[k, :2])), -np.cumsum(np.cos(states[k, :2]))
    axes[0].plot([0, *right], [0, *up], "o-", color=shade, label=f"t = {k / 100} s")
axes[0].set(title="the lower bob", aspect="equal", xlim=(-2.2, 2.2), ylim=(-2.2, 2.2))
axes[0].legend(loc="upper right", fontsize=8)
axes[1].plot(times, energies - energies[0], lw=0.8)
axes[1].set(title="change of the energy", xlabel="t (s)")
axes[2].semilogy(times, distance)
axes[2].set(title="distance of the two pendulums", xlabel="t (s)", ylabel="radians")
fig.tight_layout()

# %% [markdown]
# ## Five rods
#
# Nowhere did we say that there are two rods: the sizes in the program are symbolic. The same function moves five rods
# of different lengths, and keeps their energy.

# %%
lengths, five = np.array([1.0, 0.8, 0.6, 0.4, 0.2]), np.array([1.0, 1.0, 0.5, 0.5, 0.25])
rods = np.tril(np.ones((5, 5))) * lengths
times, states = swing(np.full(5, 1.5), rods, five, seconds=5.0)
energies = np.array([energy(s[:5], s[5:], rods, five) for s in states])
print("largest change of the energy:", np.abs(energies - energies[0]).max())
assert np.abs(energies - energies[0]).max() < 1e-8
