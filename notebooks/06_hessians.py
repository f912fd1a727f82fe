# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Hessians and their structure
#
# The Hessian of a function $f(x_1, \dots, x_n)$ is the table of all its second derivatives,
# $H_{ij} = \partial^2 f / \partial x_i \, \partial x_j$. It has $n^2$ numbers, and most programs that compute
# Hessians compute each of them. A person with paper and pencil does better: the person finds a *formula*, and the
# formula shows that most of the numbers are zero, or repeat, or come from a few vectors.
#
# symgraph finds that formula. In this notebook we ask for four Hessians, read their formulas, and read the NumPy
# programs that are made of them.

# %%
import matplotlib.pyplot as plt
import numpy as np

import symgraph as sg

rng = np.random.default_rng(0)

# %% [markdown]
# ## Logistic regression: a matrix, a diagonal, the matrix again
#
# Each row of $A$ describes an observation, and $y$ says whether it is of the class that we look for. The loss below
# is the usual one, $\sum_i \log(1 + e^{z_i}) - y_i z_i$ with $z = A w$. We differentiate it twice and print the
# result.

# %%
A = sg.symbol("A", ("rows", 4))
y = sg.symbol("y", ("rows",))
w = sg.symbol("w", (4,))

z = sg.named(A @ w, "z")
loss = np.sum(np.log(1 + np.exp(z)) - y * z)
H = sg.hessian(loss, w)
print(H)

assert str(H).endswith("A.T @ diag(t1 * (1 - t1)) @ A")

# %% [markdown]
# This is the formula of the textbooks. The labels $y$ are not in it: they enter the loss linearly, and two
# derivatives remove what is linear. We compile it, and read the program. `style="plain"` asks for the program as one
# would write it for a reader (otherwise it is written for speed, and longer), and `comments=False` leaves out the
# comments that say which line of ours a statement comes from.

# %%
hessian_of_loss = sg.function([A, w], H, name="hessian_of_loss", style="plain", comments=False)
print(hessian_of_loss.source)

# %% [markdown]
# No loop over columns, and no diagonal matrix: the rows of $A$ are scaled, and one product of matrices follows. Is it
# right? We compare it with central differences of the gradient. There is more to see in the formula:
# $d_i = p_i (1 - p_i)$ is never negative, so $v^T H v = \sum_i d_i (A v)_i^2 \ge 0$ for every $v$. The loss is
# convex, and no eigenvalue of $H$ is negative.

# %%
gradient = sg.function([A, y, w], sg.grad(loss, w))
a, labels, point = rng.standard_normal((50, 4)), rng.integers(0, 2, 50).astype(float), rng.standard_normal(4)


def differences(f, x, h=1e-5):
    """The derivatives of f along each axis, by central differences."""
    return np.stack([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.size)])


value = hessian_of_loss(a, point)
np.testing.assert_allclose(value, differences(lambda x: gradient(a, labels, x), point), rtol=1e-7, atol=1e-7)
assert np.linalg.eigvalsh(value).min() > 0
print(np.linalg.eigvalsh(value))

# %% [markdown]
# ## Matrix factorization: one small block, many times
#
# Now the variable is itself a matrix. We approximate a table $T$ by $U V^T$, where $U$ and $V$ have few columns. The
# second derivative with respect to $U$ has four axes:
# $H_{ij,kl} = \partial^2 f / \partial U_{ij} \, \partial U_{kl}$. For a thousand rows and five columns it has 25
# million numbers. Its formula has 25:

# %%
T = sg.symbol("T", ("n", "m"))
U = sg.symbol("U", ("n", "k"))
V = sg.symbol("V", ("m", "k"))

squares = np.sum((T - U @ V.T) ** 2)
H = sg.hessian(squares, U)
print(H, "  shape", H.shape)

assert str(H) == "2 * kron(I, V.T @ V)"

# %% [markdown]
# `kron(I, V.T @ V)` is a block-diagonal matrix with the same $k \times k$ block for each row of $U$: the rows do not
# know of each other. To use this one should not make the array. A Hessian has methods that work on the formula:
# `matvec(v)` multiplies by it, `solve(b)` divides by it, `diagonal()` gives its diagonal.

# %%
B = sg.symbol("B", ("n", "k"))
multiply = sg.function([V, B], H.matvec(B), name="multiply", style="plain", comments=False)
divide = sg.function([V, B], H.solve(B), name="divide", style="plain", comments=False)
print(multiply.source)
print(divide.source)

# %% [markdown]
# One system of $k$ equations, solved for all rows at once. Since the loss is quadratic in $U$, one step of Newton's
# method, $U - H^{-1} \nabla f$, leads from anywhere to its minimum: this is the famous method of *alternating least
# squares*, which we did not have to know.

# %%
newton = sg.function([T, U, V], U - H.solve(sg.grad(squares, U)))
t, u, v = rng.standard_normal((1000, 80)), rng.standard_normal((1000, 5)), rng.standard_normal((80, 5))
best = newton(t, u, v)
by_least_squares = np.linalg.lstsq(v, t.T)[0].T
np.testing.assert_allclose(best, by_least_squares, rtol=1e-9, atol=1e-9)

# %% [markdown]
# If only some entries of $T$ are known, a mask $M$ of zeros and ones hides the others. Then each row has its own
# block, and the formula says so: `ijik` repeats `i`, which means that the array is zero unless the two rows are the
# same.

# %%
M = sg.symbol("M", ("n", "m"))
masked = sg.hessian(np.sum(M * (T - U @ V.T) ** 2), U)
print(masked)

assert "->ijik" in str(masked)
blocks = sg.evaluate(masked, {M: (t[:3] > 0).astype(float), V: v, U: u[:3], T: t[:3]})
assert np.all(blocks[0, :, 1, :] == 0)
assert not np.allclose(blocks[0, :, 0, :], blocks[1, :, 1, :])

# %% [markdown]
# ## Softmax: a diagonal less a product of two vectors
#
# The gradient of $\log \sum_i e^{x_i}$ is the vector $p = \mathrm{softmax}(x)$, and its Hessian is

# %%
x = sg.symbol("x", ("n",))
logsumexp = np.log(np.sum(np.exp(x)))
H = sg.hessian(logsumexp, x)
print(H)

assert str(H) == "diag(softmax(x)) - outer(softmax(x), softmax(x))"

# %% [markdown]
# To multiply by $\mathrm{diag}(p) - p p^T$ takes time proportional to $n$, not to $n^2$, and so does division. The
# Hessian itself is singular, because adding a constant to all $x_i$ only adds it to the logsumexp: $H$ times a vector
# of ones is zero. With a quadratic term added it can be inverted, and `solve` uses the Sherman-Morrison-Woodbury
# formula, for a million unknowns as well.

# %%
b = sg.symbol("b", ("n",))
times_ones = sg.evaluate(H.matvec(np.ones(4)), {x: np.array([0.3, -1.0, 2.0, 0.5])})
np.testing.assert_allclose(times_ones, 0, atol=1e-15)

K = sg.hessian(logsumexp + np.sum(x**2) / 2, x)
print(K)
solve = sg.function([x, b], [K.solve(b), K.matvec(K.solve(b))])
n = 1_000_000
right = rng.standard_normal(n)
solution, back = solve(rng.standard_normal(n), right)
np.testing.assert_allclose(back, right, rtol=1e-9, atol=1e-9)

# %% [markdown]
# ## A chain: three diagonals
#
# The chained Rosenbrock function, $\sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2$, is a classic test of optimizers.
# Each unknown meets only its two neighbours, so the Hessian is zero but for three diagonals. `csr()` gives it as a
# sparse matrix of SciPy: for 100 000 unknowns the array would take 80 gigabytes, and the sparse matrix stores 299 998
# numbers.

# %%
n = 100_000
x = sg.symbol("x", (n,))
chain = np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
H = sg.hessian(chain, x)
sparse = sg.function([x], H.csr())
matrix = sparse(np.ones(n))
print(repr(matrix))

assert matrix.nnz == n + 2 * (n - 1) == 299_998
np.testing.assert_array_equal(matrix[:2, :3].toarray(), [[802, -400, 0], [-400, 1002, -400]])

# %% [markdown]
# A system with three diagonals is solved in time proportional to $n$, and again `solve` knows. In the program below
# the diagonals are computed as vectors, and handed to a solver for banded matrices.

# %%
b = sg.symbol("b", (n,))
solve = sg.function([x, b], H.solve(b), name="solve", style="plain", comments=False)
print(solve.source)

right = rng.standard_normal(n)
np.testing.assert_allclose(matrix @ solve(np.ones(n), right), right, rtol=1e-6, atol=1e-6)

# %% [markdown]
# ## The four, seen
#
# For small sizes we do make the arrays, and look at them (white is zero). Their structure is plain to the eye; the
# point of this notebook is that it was known *before* there was a number.

# %%
small = sg.symbol("x", (12,))
rosenbrock = np.sum(100 * (small[1:] - small[:-1] ** 2) ** 2 + (1 - small[:-1]) ** 2)
at = {small: rng.standard_normal(12)}
factors = {T: np.zeros((4, 6)), U: np.zeros((4, 3)), V: rng.standard_normal((6, 3))}
softmax_part = sg.hessian(np.log(np.sum(np.exp(small))), small)
pictures = {
    "logistic regression\n$A^T$ diag$(d)$ $A$": hessian_of_loss(a, point),
    "matrix factorization\n2 kron$(I, V^T V)$": sg.evaluate(sg.hessian(squares, U), factors).reshape(12, 12),
    "logsumexp\ndiag$(p) - p p^T$": sg.evaluate(softmax_part, at),
    "chained Rosenbrock\nthree diagonals": sg.evaluate(sg.hessian(rosenbrock, small), at),
}
fig, axes = plt.subplots(1, 4, figsize=(12, 3.4))
for axis, (title, array) in zip(axes, pictures.items()):
    limit = np.abs(array).max()
    axis.imshow(array, cmap="RdBu", vmin=-limit, vmax=limit)
    axis.set(title=title, xticks=[], yticks=[])
    np.testing.assert_allclose(array, array.T, rtol=1e-12, atol=1e-12)  # second derivatives commute
fig.tight_layout()

# %% [markdown]
# And the pattern of the sparse one as `spy` shows it, here the first 40 of its 100 000 rows:

# %%
fig, axis = plt.subplots(figsize=(4, 4))
axis.spy(matrix[:40, :40], markersize=3)
axis.set_title("chained Rosenbrock, first 40 rows", pad=20)
fig.tight_layout()
