# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # A network that solves Poisson's equation
#
# A membrane over the unit square is fixed at its border and pressed with a force $f$. Its height $u$ satisfies
# Poisson's equation,
#
# $$\Delta u + f = 0 \text{ inside}, \qquad u = 0 \text{ on the border}, \qquad
#   \Delta u = \frac{\partial^2 u}{\partial x_1^2} + \frac{\partial^2 u}{\partial x_2^2}.$$
#
# *Physics-informed networks* (Raissi, Perdikaris and Karniadakis, 2019) let a network be $u$, and train it until the
# equation holds at many points. There are no data: the loss itself contains second derivatives, and training
# differentiates these once more, by the weights.

# %%
import matplotlib.pyplot as plt
import numpy as np

import symgraph as sg

# %% [markdown]
# ## The network and its Laplacian
#
# We choose $f = 2 \pi^2 \sin(\pi x_1) \sin(\pi x_2)$, for which the solution is known:
# $u = \sin(\pi x_1) \sin(\pi x_2)$. The network will not be told.
#
# To be zero on the border is easy: the network is multiplied by $x_1 (1 - x_1) x_2 (1 - x_2)$, which is.

# %%
rng = np.random.default_rng(0)
W1 = sg.parameter(1.5 * rng.standard_normal((16, 2)), "W1")
b1 = sg.parameter(rng.standard_normal(16), "b1")
W2 = sg.parameter(rng.standard_normal((16, 16)) / 3, "W2")
b2 = sg.parameter(rng.standard_normal(16) / 2, "b2")
w3 = sg.parameter(rng.standard_normal(16) / 4, "w3")
weights = [W1, b1, W2, b2, w3]


def u(x):
    """The height at one point x, of shape (2,)."""
    border = x[0] * (1 - x[0]) * x[1] * (1 - x[1])
    return border * (np.tanh(W2 @ np.tanh(W1 @ x + b1) + b2) @ w3)


def exact(points):
    return np.sin(np.pi * points[..., 0]) * np.sin(np.pi * points[..., 1])


# %% [markdown]
# `sg.laplacian` takes the height at one point, and gives the Laplacian there. `vmap` makes functions of many points
# of both. Let us look at the program.

# %%
points = sg.symbol("points", ("n", 2))
heights, laplacians = sg.vmap(lambda x: (u(x), sg.laplacian(u(x), x)))(points)
network = sg.function([points], [heights, laplacians], name="network", style="plain", comments=False)
print(network.source)

# %% [markdown]
# Two tanh, as in the network itself; no loop over points, none over the weights, and no Hessian. Central differences
# agree:

# %%
where = rng.uniform(0.1, 0.9, (50, 2))
step = 1e-4
around = sum(network(where + step * e)[0] + network(where - step * e)[0] - 2 * network(where)[0] for e in np.eye(2))
np.testing.assert_allclose(network(where)[1], around / step**2, rtol=1e-5, atol=1e-5)

edge = np.array([[0.0, 0.3], [1.0, 0.7], [0.2, 0.0], [0.9, 1.0]])
np.testing.assert_array_equal(network(edge)[0], 0)

# %% [markdown]
# ## Training
#
# The loss is the mean square of $\Delta u + f$. One compiled function computes it and its gradient, and takes a step
# of Adam. `rate` is an input, since it falls while we train. The points are a regular grid of 256.

# %%
force = 2 * np.pi**2 * np.sin(np.pi * points[:, 0]) * np.sin(np.pi * points[:, 1])
loss = np.mean((laplacians + force) ** 2)
rate = sg.symbol("rate")
train = sg.function([points, rate], loss, sg.optim.adam(weights, sg.grad(loss, weights), rate))

ticks = (np.arange(16) + 0.5) / 16
grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
rates = 0.01 * 0.5 ** (np.arange(6000) / 1000)
losses = np.array([train(grid, r) for r in rates])
print(f"loss before: {losses[0]:.2f}, after: {losses[-1]:.1e}")
assert losses[-1] < 1e-4 * losses[0]

# %% [markdown]
# ## The solution
#
# We compare with the exact solution on a finer grid, whose points the network has never seen.

# %%
ticks = np.linspace(0, 1, 101)
fine = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1)
found, curved = (values.reshape(101, 101) for values in network(fine.reshape(-1, 2)))
error = found - exact(fine)
print(f"largest error of the height: {np.abs(error).max():.1e}")
assert np.abs(error).max() < 2e-3

fig, axes = plt.subplots(1, 4, figsize=(13, 3))
residual = curved + 2 * np.pi**2 * exact(fine)
pictures = [("the network", found), ("its error", error), (r"its residual $\Delta u + f$", residual)]
for axis, (title, values) in zip(axes, pictures):
    image = axis.imshow(values.T, origin="lower", extent=(0, 1, 0, 1))
    axis.set_title(title)
    fig.colorbar(image, ax=axis, shrink=0.9)
axes[3].semilogy(losses, lw=0.7)
axes[3].set(title="loss", xlabel="step")
fig.tight_layout()

# %% [markdown]
# The height is better than the loss suggests: to solve Poisson's equation is to integrate twice, which smooths the
# residual away. A maximum principle even bounds the error: if $|\Delta u + f| \le \epsilon$ everywhere, then
# $|u - u_\text{exact}| \le \epsilon / 8$, because $\epsilon\, x_1 (1 - x_1) / 2$ bends at least as much as the error
# and is nowhere larger than $\epsilon / 8$. So the residual, which anyone can compute who does not know the solution,
# vouches for the network.

# %%
worst = np.abs(residual).max()
print(f"residual at most {worst:.3f}, so the error is at most {worst / 8:.1e}")
assert np.abs(error).max() <= worst / 8
