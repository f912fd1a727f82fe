# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Training
#
# To train a model is to repeat one step: compute the loss and its gradient, and change the parameters a little. In
# this notebook we write three such steps. The first two are classics, with which Theano (2010) and TensorFlow (2015)
# introduced themselves; the third is a network that reads handwritten digits. Each becomes a NumPy program that we
# read, check and time, and the last we put into a file that needs no symgraph.

# %%
import ast
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import symgraph as sg

# %% [markdown]
# ## Logistic regression, as in Theano's tutorial
#
# The data are noise: 400 rows of 784 random numbers, each row of class 0 or 1 by the toss of a coin. There is nothing
# to learn; but there are more weights than rows, so the classes can be learnt *by heart*. Theano's program has four
# parts, and each has its counterpart here:
#
# | to do | Theano | symgraph |
# |---|---|---|
# | name an input | `T.dmatrix("x")` | `sg.symbol("x", ("samples", 784))` |
# | hold a parameter | `theano.shared(array, "w")` | `sg.parameter(array, "w")` |
# | differentiate | `T.grad(cost, [w, b])` | `sg.grad(cost, [w, b])` |
# | compile | `theano.function(inputs, outputs, updates)` | `sg.function(inputs, outputs, updates)` |
#
# One thing is new: a symbol says its shape, and a size may have a name, here `samples`. So a mistake in shapes is
# found on the line where it is made.

# %%
rng = np.random.default_rng(0)
features = rng.standard_normal((400, 784))
classes = rng.integers(0, 2, 400)

x, y = sg.symbol("x", ("samples", 784)), sg.symbol("y", ("samples",))
w, b = sg.parameter(rng.standard_normal(784), "w"), sg.parameter(0.0, "b")

p = sg.named(1 / (1 + np.exp(-(x @ w) - b)), "p")  # the probability of class 1
cross_entropy = sg.named(-y * np.log(p) - (1 - y) * np.log(1 - p), "cross_entropy")
cost = sg.named(cross_entropy.mean() + 0.01 * (w**2).sum(), "cost")  # with a penalty on large weights
grad_w, grad_b = sg.grad(cost, [w, b])

# %% [markdown]
# `updates` says which parameters change, and to what; all new values are computed from the old ones. Here is the whole
# step in the style for readers. Only what is asked for is in it: nobody asked for the cost, whose gradient alone is
# needed, and so the program does not compute it.

# %%
updates = {w: w - 0.1 * grad_w, b: b - 0.1 * grad_b}
outputs = {"prediction": p > 0.5, "cross_entropy": cross_entropy}
plain = sg.function([x, y], outputs, updates, name="train", style="plain", comments=False)
print(plain.source)

assert "cost" not in plain.source

# %% [markdown]
# Look at the line of the cross-entropy: it is not what we wrote. With such weights many a prediction is certain,
# $p = 1$ to the last bit, and then the formula as we wrote it takes the logarithm of zero. symgraph knows the stable
# form, $-\log(1 - p) = \log(1 + e^z)$ and so on, and puts it in place *before* it differentiates. How many of the 400
# values would be lost, and how many inexact?

# %%
with np.errstate(all="ignore"):
    P = 1 / (1 + np.exp(-(features @ w.value) - b.value))
    as_written = -classes * np.log(P) - (1 - classes) * np.log(1 - P)
as_compiled = sg.function([x, y], cross_entropy)(features, classes)

Z = features @ w.value + b.value
exact = np.logaddexp(0, np.where(classes == 1, -Z, Z))
for name, found in {"as written": as_written, "as compiled": as_compiled}.items():
    lost = ~np.isfinite(found)
    inexact = np.abs(found[~lost] / exact[~lost] - 1) > 1e-9
    print(f"{name:11}: {lost.sum():2} values are nan or inf, {inexact.sum():3} are inexact")

assert not lost.any() and not inexact.any()
assert np.sum(~np.isfinite(as_written)) > 10

# %% [markdown]
# The default style is *fast*: the same mathematics, as an expert writes it who is in a hurry. Results go into memory
# that is kept from call to call (`out=`), and the elementwise steps are gathered in a block, so that they find their
# operands in the cache. The file goes on with some helpers, which need NumPy alone. We show the two functions.

# %%
train = sg.function([x, y], outputs, updates, name="train", comments=False)
print("\n\n\n".join(train.source.split("\n\n\n")[1:3]))

# %% [markdown]
# Now 10 000 steps. The penalty keeps the cost above zero, but every row is learnt.

# %%
for step in range(10_000):
    result = train(features, classes)
    if step in (0, 10, 100, 1000, 9999):
        right = np.mean(result["prediction"] == classes)
        print(f"step {step:4}: cross-entropy {result['cross_entropy'].mean():9.6f}, {right:4.0%} right")

assert right == 1
assert result["cross_entropy"].mean() < 0.06

# %% [markdown]
# Where a cost has a minimum, the gradient vanishes. It is zero to six digits, so we are there:

# %%
slopes = sg.function([x, y], [grad_w, grad_b])(features, classes)
print("largest derivative:", max(np.abs(slope).max() for slope in slopes))

assert max(np.abs(slope).max() for slope in slopes) < 1e-6

# %% [markdown]
# ## What a step costs
#
# `cost()` counts, and its counts are formulas in the sizes that have names. The two products of matrices, one forward
# and one backward, do nearly all the arithmetic: 784 multiplications and additions for each sample, twice.

# %%
count = train.cost()
print(count)

numbers = count(samples=400)
products, total = int(numbers.by_op["matmul"].flops), int(numbers.flops)
print(f"\nfor 400 samples: {total:,} operations, {products / total:.1%} of them in products")

assert products == 2 * 2 * 400 * 784 > 0.95 * total

# %% [markdown]
# `profile` runs the program with a clock at every statement; printed, it is a table of all of them. Here are the four
# that took longest on the machine that ran this notebook. (It works on copies: no parameter changes.)

# %%
before = w.value
profile = train.profile(features, classes, repeat=200)
print(f"{1e6 * profile.seconds:.0f} us a call")
for row in profile.rows[:4]:
    print(f"{1e6 * row.seconds:6.1f} us {row.share:4.0%}  {row.statement[:80]}")

np.testing.assert_array_equal(w.value, before)

# %% [markdown]
# ## A line, as in TensorFlow's first tutorial
#
# A hundred points lie on the line $y = 0.1\, x + 0.3$, and gradient descent with rate 0.5 is to find out. In
# TensorFlow one makes an optimizer object, asks it for the operation `train`, opens a session, initializes the
# variables in it, and runs the operation 201 times. Here the optimizer is a function that returns updates, a parameter
# has its value from the start, and a compiled function is called. All is float32, as it was there.

# %%
xs = rng.random(100, dtype=np.float32)
ys = xs * np.float32(0.1) + np.float32(0.3)

u, v = sg.symbol("x", ("points",), "float32"), sg.symbol("y", ("points",), "float32")
W = sg.parameter(rng.uniform(-1, 1, 1).astype(np.float32), "W")
B = sg.parameter(np.zeros(1, np.float32), "b")
loss = sg.named(np.mean((W * u + B - v) ** 2), "loss")

fit = sg.function(
    [u, v], loss, sg.optim.sgd([W, B], sg.grad(loss, [W, B]), rate=0.5), name="fit", style="plain", comments=False
)
print(fit.source)

assert "0.5" not in fit.source

# %% [markdown]
# The rate 0.5, times the 2 that comes from the square, is 1: no multiplication is left. We run it.

# %%
line_losses = []
for step in range(201):
    line_losses.append(fit(xs, ys))
    if step % 40 == 0:
        print(f"step {step:3}: W = {W.value}, b = {B.value}")

assert W.value.dtype == np.float32 == line_losses[0].dtype
np.testing.assert_allclose([W.value, B.value], [[0.1], [0.3]], rtol=0, atol=1e-5)

# %% [markdown]
# ## Handwritten digits
#
# Now a network with something to learn: 1797 images of 8 x 8 pixels, each of a digit, from scikit-learn. We train on
# 1300 and keep 497 aside, to see what was learnt and what only memorized.

# %%
digits = load_digits()
shuffled = rng.permutation(len(digits.target))
pixels, labels = digits.data[shuffled] / 16, digits.target[shuffled]
train_pixels, train_labels = pixels[:1300], labels[:1300]
test_pixels, test_labels = pixels[1300:], labels[1300:]

image, label = sg.symbol("image", ("batch", 64)), sg.symbol("label", ("batch",), "int64")
with sg.scope("hidden layer"):
    W1 = sg.parameter(rng.standard_normal((64, 48)) * np.sqrt(2 / 64), "W1")
    b1 = sg.parameter(np.zeros(48), "b1")
    hidden = sg.named(np.maximum(image @ W1 + b1, 0), "hidden")
with sg.scope("output layer"):
    W2 = sg.parameter(rng.standard_normal((48, 10)) * np.sqrt(1 / 48), "W2")
    b2 = sg.parameter(np.zeros(10), "b2")
    scores = sg.named(hidden @ W2 + b2, "scores")
log_p = sg.named(sg.log_softmax(scores, axis=1), "log_p")
picked = np.take_along_axis(log_p, label[:, None], axis=1)
loss = sg.named(-picked.mean(), "loss")

weights = [W1, b1, W2, b2]
gradients = sg.grad(loss, weights)

# %% [markdown]
# First we check the gradient, as one should with any program for gradients: against *central differences*,
# $(L(\theta + h d) - L(\theta - h d)) / 2h$, along a random direction $d$ in each parameter.

# %%
loss_and_gradients = sg.function([image, label], [loss, gradients])
some = train_pixels[:20], train_labels[:20]
_, found = loss_and_gradients(*some)

for parameter, gradient in zip(weights, found):
    value, direction, h = parameter.value, rng.standard_normal(parameter.shape), 1e-6
    parameter.value = value + h * direction
    ahead, _ = loss_and_gradients(*some)
    parameter.value = value - h * direction
    behind, _ = loss_and_gradients(*some)
    parameter.value = value
    difference, derivative = (ahead - behind) / (2 * h), np.vdot(gradient, direction)
    print(f"{parameter.name}: {difference:12.8f} by differences, {derivative:12.8f} by the gradient")
    np.testing.assert_allclose(difference, derivative, rtol=1e-6, atol=1e-9)

# %% [markdown]
# We train with Adam on *mini-batches*: each step sees 50 images. The programs are made for any number of them,
# since `batch` is a name: the whole test set is judged as one large batch.

# %%
learn = sg.function([image, label], loss, sg.optim.adam(weights, gradients, rate=3e-3), name="learn", comments=False)
judge = sg.function([image, label], {"loss": loss, "right": np.argmax(scores, axis=1) == label}, name="judge")

steps, curve, accuracy = [], [], {"train": [], "test": []}
for epoch in range(60):
    shuffled = rng.permutation(len(train_labels))
    for start in range(0, len(shuffled), 50):
        batch = shuffled[start : start + 50]
        steps.append(learn(train_pixels[batch], train_labels[batch]))
    judged = {"train": judge(train_pixels, train_labels), "test": judge(test_pixels, test_labels)}
    curve.append([judged["train"]["loss"], judged["test"]["loss"]])
    for part, result in judged.items():
        accuracy[part].append(result["right"].mean())
    if epoch in (0, 9, 29, 59):
        shares = ", ".join(f"{accuracy[part][-1]:6.1%} of the {part} set" for part in judged)
        print(f"after epoch {epoch + 1:2}: right are {shares}")

assert accuracy["train"][-1] > 0.99
assert accuracy["test"][-1] > 0.95

# %%
epochs = np.arange(1, 61)
fig, axes = plt.subplots(1, 3, figsize=(14, 3.8))
axes[0].semilogy(line_losses, lw=2)
axes[0].set(title="a line: loss", xlabel="step")
axes[1].semilogy(np.arange(len(steps)) / 26, steps, lw=0.6, color="0.7", label="of each mini-batch")
axes[1].semilogy(epochs, [pair[0] for pair in curve], lw=2, label="train set")
axes[1].semilogy(epochs, [pair[1] for pair in curve], "--", lw=2, label="test set")
axes[1].set(title="digits: loss", xlabel="epoch")
axes[2].plot(epochs, accuracy["train"], lw=2, label="train set")
axes[2].plot(epochs, accuracy["test"], "--", lw=2, label="test set")
axes[2].set(title="digits: share that is right", xlabel="epoch", ylim=(0.85, 1.005))
for axis in axes[1:]:
    axis.legend()
for axis in axes:
    axis.grid(alpha=0.3)
fig.tight_layout()

# %% [markdown]
# The grey line trembles, because each mini-batch tells something else. In the second half of the training the loss on
# the train set falls much faster than that on the test set: what the network still learns is mostly the train set, by
# heart. Here are digits of the test set that it gets wrong, with what it takes them for.

# %%
(train_half, test_half), (train_end, test_end) = curve[29], curve[59]
print("after epoch 60, the loss of epoch 30 is down")
print(f"  on the train set to {train_end / train_half:.0%},\n  on the test set to  {test_end / test_half:.0%}")
assert train_end / train_half < 0.5 < test_end / test_half

answer = sg.function([image], np.argmax(scores, axis=1), name="answer")(test_pixels)
(wrong,) = np.nonzero(answer != test_labels)
print(f"{len(wrong)} of {len(test_labels)} are wrong")

fig, axes = plt.subplots(1, 8, figsize=(12, 2))
for axis in axes:
    axis.axis("off")
for axis, k in zip(axes, wrong):
    axis.imshow(test_pixels[k].reshape(8, 8), cmap="gray_r")
    axis.set_title(f"{test_labels[k]}, not {answer[k]}")
fig.tight_layout()

assert 0 < len(wrong) < 25

# %% [markdown]
# ## Take it away
#
# `learn.export` writes the training step as a module, and the parameters beside it (those of Adam as well, so that
# training can go on where it stopped). What does the file import?

# %%
folder = tempfile.TemporaryDirectory()
file = Path(folder.name) / "digits_step.py"
learn.export(file)

text = file.read_text(encoding="utf-8")
statements = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
imported = {name.name for node in statements for name in node.names if isinstance(node, ast.Import)}
imported |= {node.module for node in statements if isinstance(node, ast.ImportFrom)}
print(f"{len(text.splitlines())} lines, {file.with_suffix('.npz').stat().st_size // 1000} kB of parameters")
print("from elsewhere:", {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names})

assert {name for name in imported if name not in sys.stdlib_module_names} == {"numpy"}

# %% [markdown]
# We run it in another process, where symgraph is never loaded: ten more steps there, the same ten here. The numbers
# agree.

# %%
np.savez(Path(folder.name) / "batches.npz", images=train_pixels[:500], labels=train_labels[:500])
elsewhere = """
import sys
import numpy as np
from digits_step import learn

data = np.load("batches.npz")
for k in range(0, 500, 50):
    print(repr(float(learn(data["images"][k : k + 50], data["labels"][k : k + 50]))))
assert "symgraph" not in sys.modules
"""
done = subprocess.run([sys.executable, "-c", elsewhere], cwd=folder.name, capture_output=True, text=True, check=True)
there = [float(line) for line in done.stdout.split()]
here = [float(learn(train_pixels[k : k + 50], train_labels[k : k + 50])) for k in range(0, 500, 50)]
folder.cleanup()
print("largest difference:", np.abs(np.subtract(here, there)).max())

assert len(here) == len(there) == 10
np.testing.assert_allclose(there, here, rtol=1e-9)
