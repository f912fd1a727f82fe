# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Hamiltonian Monte Carlo, and three derivatives of a posterior
#
# Bayesian statistics describes what is known about the weights $w$ of a model by a probability density, the
# posterior. We shall draw from a posterior by Hamiltonian Monte Carlo (HMC), which needs its *first* derivative;
# approximate it by a normal distribution, which needs the *second*; and correct that approximation, which needs the
# *third*. All three come from one formula.
#
# The data are 569 tumours, measured under the microscope, and known to be benign or malignant (Wisconsin, 1993; they
# come with scikit-learn).

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer

import symgraph as sg

data = load_breast_cancer()
columns = ["mean radius", "mean texture", "mean smoothness", "mean concavity"]
features = data.data[:, [list(data.feature_names).index(c) for c in columns]]
features = (features - features.mean(axis=0)) / features.std(axis=0)
X = np.column_stack([np.ones(len(features)), features])
Y = (data.target_names[data.target] == "malignant").astype(float)
names = ["intercept", *columns]
print(X.shape, f"{Y.mean():.0%} malignant")

# %% [markdown]
# ## The posterior
#
# The model is logistic regression: $P(\text{malignant}) = 1 / (1 + e^{-x \cdot w})$. Before we see data, each weight
# is normal with standard deviation 2. The *potential* $U(w)$ is the negative logarithm of the posterior density, up
# to a constant.

# %%
A, t = sg.symbol("A", ("rows", 5)), sg.symbol("t", ("rows",))


def potential(w):
    z = A @ w
    return np.sum(np.log(1 + np.exp(z)) - t * z) + np.sum(w**2) / (2 * 2.0**2)


w = sg.symbol("w", (5,))
U = potential(w)
gradient, H = sg.grad(U, w), sg.hessian(U, w)
print(H)

# %% [markdown]
# ## Second derivatives: the Laplace approximation
#
# Newton's method finds the most probable weights $\hat w$ in a few steps. Around them
# $U(w) \approx U(\hat w) + \frac12 (w - \hat w)^T H (w - \hat w)$, so the posterior is nearly normal with mean
# $\hat w$ and covariance $H^{-1}$. We get that covariance by solving with $H$ against each unit vector.

# %%
newton = sg.function([A, t, w], [U, gradient, w - H.solve(gradient)])
mode = np.zeros(5)
for step in range(20):
    value, slope, following = newton(X, Y, mode)
    print(f"step {step}: U = {value:.6f}, |gradient| = {np.linalg.norm(slope):.1e}")
    if np.linalg.norm(slope) < 1e-10:
        break
    mode = following
assert step < 12 and np.linalg.norm(slope) < 1e-10

e = sg.symbol("e", (5,))
solve = sg.function([A, w, e], H.solve(e))
covariance = np.stack([solve(X, mode, unit) for unit in np.eye(5)])
deviation = np.sqrt(np.diag(covariance))
assert np.linalg.eigvalsh(covariance).min() > 0

# %% [markdown]
# ## Third derivatives: where the mean is
#
# A posterior that is skewed has its mean beside its mode. To first order the mean is
# $$\hat w - \tfrac12 H^{-1} \nabla \log \det H(w)$$
# (Lindley, 1980): the gradient of the Hessian's determinant, hence third derivatives of $U$. There is nothing to
# prepare: $H$ is a tensor like any other, and we differentiate it again.

# %%
_, logdet = sg.linalg.slogdet(H)
shift = sg.function([A, w], -H.solve(sg.grad(logdet, w)) / 2)
mean_by_third_derivatives = mode + shift(X, mode)


def log_determinant(at):
    return np.linalg.slogdet(sg.evaluate(H, {A: X, w: at}))[1]


pairs = [(log_determinant(mode + 1e-5 * unit), log_determinant(mode - 1e-5 * unit)) for unit in np.eye(5)]
by_differences = [(ahead - behind) / 2e-5 for ahead, behind in pairs]
np.testing.assert_allclose(shift(X, mode), -covariance @ by_differences / 2, rtol=1e-6, atol=1e-9)

# %% [markdown]
# ## First derivatives: Hamiltonian Monte Carlo
#
# Neither approximation tells how good it is. HMC does not approximate. It treats $w$ as the place of a particle on a
# hill of height $U(w)$, kicks it at random, and follows its motion for a while: the particle comes far, and yet stays
# where the density is high. The motion is computed by leapfrog steps, each of which needs the gradient.
#
# We follow four particles (chains) at once. `vmap` turns the potential and gradient of one vector into those of many;
# in the program there is one product of matrices for all chains, and no loop.

# %%
W = sg.symbol("W", ("chains", 5))
values, slopes = sg.vmap(lambda w: sg.value_and_grad(potential(w), w))(W)
print(sg.function([A, t, W], [values, slopes], name="hill", style="plain", comments=False).source)
hill = sg.function([A, t, W], [values, slopes])

# %% [markdown]
# The kinetic energy is $\frac12 p^T H^{-1} p$, with the Hessian at the mode as mass: then all directions are equally
# wide to the particle. Leapfrog is reversible, and its error in the energy falls with the square of the step. We
# check both before we rely on them.

# %%
mass = np.linalg.inv(covariance)
root = np.linalg.cholesky(mass)


def leapfrog(w, p, size, steps):
    """The places and momenta after so many steps along the motion."""
    _, slope = hill(X, Y, w)
    for _ in range(steps):
        p = p - size / 2 * slope
        w = w + size * p @ covariance
        _, slope = hill(X, Y, w)
        p = p - size / 2 * slope
    return w, p


def energy(w, p):
    return hill(X, Y, w)[0] + np.einsum("ci,ij,cj->c", p, covariance, p) / 2


rng = np.random.default_rng(1)
start = mode + rng.standard_normal((4, 5)) @ np.linalg.cholesky(covariance).T
kick = rng.standard_normal((4, 5)) @ root.T

there, momentum = leapfrog(start, kick, 0.3, 6)
back, _ = leapfrog(there, -momentum, 0.3, 6)
np.testing.assert_allclose(back, start, rtol=1e-10, atol=1e-10)

errors = [np.abs(energy(*leapfrog(start, kick, 1.8 / n, n)) - energy(start, kick)).mean() for n in (12, 24, 48)]
ratios = np.divide(errors[:-1], errors[1:])
print("the error of the energy falls by", ratios)
assert np.all(np.abs(ratios - 4) < 0.5)

# %% [markdown]
# What error remains is corrected: a step that has gained energy $\Delta$ is accepted with probability $e^{-\Delta}$
# only. This makes the draws exact, in the limit of many.

# %%


def sample(w, draws, size=0.3, steps=6):
    """Draws of every chain, (draws, chains, 5), and the rate at which steps were accepted."""
    kept, accepted = np.empty((draws, *w.shape)), 0
    for i in range(draws):
        p = rng.standard_normal(w.shape) @ root.T
        proposal, after = leapfrog(w, p, size * rng.uniform(0.8, 1.2), steps)
        accept = np.log(rng.uniform(size=len(w))) < energy(w, p) - energy(proposal, after)
        w = np.where(accept[:, None], proposal, w)
        kept[i], accepted = w, accepted + accept.mean()
    return kept, accepted / draws


far = mode + 3 * (start - mode)
warm, _ = sample(far, 100)
draws, rate = sample(warm[-1], 1500)
print(f"accepted: {rate:.0%}")
assert rate > 0.9

# %% [markdown]
# ## Did it work?
#
# Two numbers tell. $\hat R$ compares the spread between the halves of all chains with the spread within them: it is 1
# when they agree. The effective sample size tells how many independent draws ours are worth, by their correlation
# with those before.

# %%


def r_hat(x):
    """The split R-hat of (draws, chains)."""
    halves = np.concatenate(np.split(x, 2), axis=1)
    n = len(halves)
    within, between = halves.var(axis=0, ddof=1).mean(), n * halves.mean(axis=0).var(ddof=1)
    return np.sqrt(((n - 1) / n * within + between / n) / within)


def effective_size(x):
    """The number of draws over their correlation time, summed in pairs of lags while these are positive (Geyer, 1992)."""
    n, chains = x.shape
    centred = x - x.mean()
    correlation = lambda lag: np.sum(centred[: n - lag] * centred[lag:]) / np.sum(centred**2)
    total = -1.0
    for lag in range(0, n, 2):
        pair = correlation(lag) + correlation(lag + 1)
        if pair < 0:
            break
        total += 2 * pair
    return n * chains / total


mean, spread = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
sizes = [effective_size(draws[..., k]) for k in range(5)]
error = spread / np.sqrt(sizes)
print(f"{'':16}  R-hat   size      mean  +- error    mode   mode corrected")
for k, name in enumerate(names):
    print(
        f"{name:16} {r_hat(draws[..., k]):6.3f} {sizes[k]:6.0f} {mean[k]:9.3f} {error[k]:9.3f}"
        f" {mode[k]:8.3f} {mean_by_third_derivatives[k]:10.3f}"
    )
assert max(r_hat(draws[..., k]) for k in range(5)) < 1.01
assert min(sizes) > 1000

# %% [markdown]
# The mode misses the mean by up to a quarter of a standard deviation or so, which is many times the error of our
# sampling. The third derivatives take nearly all of that away, and needed no sampling at all.

# %%
miss = np.abs(mode - mean) / spread
corrected = np.abs(mean_by_third_derivatives - mean) / spread
print("mode, in standard deviations:     ", miss.round(3))
print("corrected, in standard deviations:", corrected.round(3))
assert 0.2 < miss.max() < 0.4
assert corrected.max() < 0.1
np.testing.assert_allclose(spread, deviation, rtol=0.1)

# %%
fig, axes = plt.subplots(1, 5, figsize=(14, 3))
for k, axis in enumerate(axes):
    axis.hist(draws[..., k].ravel(), bins=50, density=True, color="0.8", label="HMC")
    grid = mode[k] + deviation[k] * np.linspace(-4, 4, 200)
    axis.plot(grid, norm.pdf(grid, mode[k], deviation[k]), label="Laplace")
    axis.plot(grid, norm.pdf(grid, mean_by_third_derivatives[k], deviation[k]), "--", label="corrected")
    axis.axvline(mean[k], color="k", lw=0.8)
    axis.set(title=names[k], yticks=[])
axes[0].legend(fontsize=8)
fig.tight_layout()
