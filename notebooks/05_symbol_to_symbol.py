# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Symbol to symbol
#
# There are two ways to get a derivative from a program. *Symbol to number*: run the program, write down on a tape what
# it does, and run the tape backward; out comes the derivative at this one point, a number. PyTorch and autograd do so.
# *Symbol to symbol*: look at the formula, and write the derivative as another formula; numbers come later. Theano did
# so, and symgraph does.
#
# Both use the same rules and the same walk. In this notebook we build a tape, on half a page, and ask both ways
# the same questions: what is in the derivative? what is the derivative of that? what does it cost?

# %%
import math
import timeit

import matplotlib.pyplot as plt
import numpy as np

import symgraph as sg

# %% [markdown]
# ## A tape
#
# A `Recorded` number holds its value; whoever adds or multiplies it also notes, for each operand, how a cotangent is
# to be pulled back to it: for a product $y = u\,v$, the cotangent of $u$ is $\bar u = \bar y\, v$. The
# `value` may itself be a `Recorded` of another tape. So a derivative can be differentiated again: the outer tape
# writes down what the inner one does.


# %%
class Recorded:
    """A number, and on which tape and from what it was made."""

    def __init__(self, value, tape, *parents):
        self.value, self.tape, self.parents, self.adjoint = value, tape, parents, None
        tape.append(self)
        Recorded.made += 1

    def __add__(self, other):
        return Recorded(self.value + other.value, self.tape, (self, lambda ct: ct), (other, lambda ct: ct))

    def __mul__(self, other):
        pulls = (self, lambda ct: ct * other.value), (other, lambda ct: ct * self.value)
        return Recorded(self.value * other.value, self.tape, *pulls)

    def __neg__(self):
        return Recorded(-self.value, self.tape, (self, lambda ct: -ct))

    def __radd__(self, c):  # a constant on the left
        return Recorded(c + self.value, self.tape, (self, lambda ct: ct))

    def __rmul__(self, c):
        return Recorded(c * self.value, self.tape, (self, lambda ct: c * ct))


def sin(x):
    if not isinstance(x, Recorded):
        return math.sin(x)
    return Recorded(sin(x.value), x.tape, (x, lambda ct: ct * cos(x.value)))


def cos(x):
    if not isinstance(x, Recorded):
        return math.cos(x)
    return Recorded(cos(x.value), x.tape, (x, lambda ct: -(ct * sin(x.value))))


def tanh(x):
    if not isinstance(x, Recorded):
        return math.tanh(x)
    y = tanh(x.value)
    return Recorded(y, x.tape, (x, lambda ct: ct + -(ct * y * y)))


# %% [markdown]
# `derivative(f)` runs `f` on such a number, then goes through the tape from its end, and adds up what arrives at each
# entry.


# %%
def derivative(f):
    """The function that gives the derivative of `f` at a point."""

    def slope(at):
        x = Recorded(at, [])
        y = f(x)
        y.adjoint = 1.0
        for node in reversed(x.tape):
            for parent, pull in node.parents if node.adjoint is not None else ():
                arrived = pull(node.adjoint)
                parent.adjoint = arrived if parent.adjoint is None else parent.adjoint + arrived
        return x.adjoint

    return slope


def f(x):
    return tanh(x * sin(x))


Recorded.made = 0
number = derivative(f)(0.8)
print(f"{number}, from a tape of {Recorded.made} entries")

h = 1e-6
np.testing.assert_allclose(number, (f(0.8 + h) - f(0.8 - h)) / (2 * h), rtol=1e-8)

# %% [markdown]
# That is a real program for derivatives, and a short one. What does it give? A number.
#
# ## A graph
#
# The same function of a symbol, and its gradient. What comes out is an expression:

# %%
x = sg.symbol("x")
y = sg.tanh(x * sg.sin(x))
slope = sg.grad(y, x)
print(sg.simplify(slope))

# %% [markdown]
# We compile it: the program is made once, then called for any number of points. The tape is written anew for each.

# %%
compiled = sg.function([x], slope, name="slope", style="plain", comments=False)
print(compiled.source)

points = np.linspace(-3, 3, 500)
Recorded.made = 0
by_tape = [derivative(f)(point) for point in points]
print(f"by tape: {Recorded.made} entries for {len(points)} points, and the derivative derived {len(points)} times")

np.testing.assert_allclose([compiled(point) for point in points], by_tape, rtol=1e-12, atol=1e-12)

# %% [markdown]
# ## What a formula can be asked
#
# **What does it depend on?** The slope of $a\,x + b$ is $a$. The tape would say `2.0`; the graph says that it *is*
# `a`, wherever $x$ may be.

# %%
a, b = sg.symbols("a b")
print(sg.grad(a * x + b, x))

assert sg.grad(a * x + b, x) is a

# %% [markdown]
# **Can it be simpler?** The gradient of least squares comes out as the walk wrote it. As an expression it can be
# rewritten, by the rules of algebra, and then it is what stands in the books, $A^T (A w - r)$.

# %%
A, r, w = sg.symbol("A", ("m", "n")), sg.symbol("r", ("m",)), sg.symbol("w", ("n",))
gradient = sg.grad(np.sum((A @ w - r) ** 2) / 2, w)
print("as derived: ", gradient)
print("simplified: ", sg.simplify(gradient))

assert str(sg.simplify(gradient)) in ("(A @ w - r) @ A", "A.T @ (A @ w - r)")

# %% [markdown]
# **Is it the formula that I found on paper?** Both are graphs, and equal expressions are the same node.

# %%
x1, x2 = sg.symbols("x1 x2")
g = x1 * x2 + sg.sin(x1)
assert sg.simplify(sg.grad(g, x1)) is x2 + sg.cos(x1)
assert sg.simplify(sg.grad(g, x2)) is x1
print("yes, and yes")

# %% [markdown]
# ## Again, and again
#
# A derivative that is a graph has a derivative, which is a graph. The third of $g(x_1, x_2) = x_1 x_2 + \sin x_1$:

# %%
third = g
for k in (1, 2, 3):
    third = sg.simplify(sg.grad(third, x1))
    print(f"derivative {k} by x1: {third}")

assert third is -sg.cos(x1)
assert float(sg.evaluate(sg.grad(sg.grad(g, x1), x2), {})) == 1  # by x1, then by x2: the constant 1

# %% [markdown]
# The tape can do that too: a tape of a tape of a tape. The numbers agree. But count what is written down: each
# further order records, beside the computation, all that the inner tape did forward and backward.


# %%
def microseconds(function, calls):
    return 1e6 * min(timeit.repeat(lambda: function(at), number=calls, repeat=3)) / calls


at = 0.8
tape_of, repeated = f, y
orders, entries, statements, by_recurrence, tape_time, graph_time = range(1, 8), [], [], [], [], []
print("order   tape entries   statements   by recurrences   value")
for k in orders:
    tape_of, repeated = derivative(tape_of), sg.grad(repeated, x)
    again = sg.function([x], repeated)
    series = sg.function([x], sg.derivative(y, x, k))

    Recorded.made = 0
    number = tape_of(at)
    entries.append(Recorded.made)
    statements.append(len(again.cost().steps))
    by_recurrence.append(len(series.cost().steps))
    print(f"{k:5} {entries[-1]:14} {statements[-1]:12} {by_recurrence[-1]:16} {number:12.4f}")

    np.testing.assert_allclose([again(at), series(at)], number, rtol=1e-10)
    tape_time.append(microseconds(tape_of, 3))
    graph_time.append(microseconds(series, 300))

ratios = np.divide(entries[1:], entries[:-1])
print("each order of the tape is larger than the one before by", np.round(ratios, 1))
assert ratios.min() > 2.5
assert 1.8 < statements[-1] / statements[-2] < 2.6 and by_recurrence[-1] < 3 * 7**2
assert entries[-1] > 2 * statements[-1] > 8 * by_recurrence[-1]

# %% [markdown]
# To differentiate the graph again and again (*statements*: the operations of the compiled program) also doubles it with
# each order, once nothing more is found to share. But a graph can be asked for its $n$-th derivative at once:
# `sg.derivative(y, x, n)` uses the recurrences of power series, and the work grows with the square of the order. (A
# tape could be taught to carry power series as well. It would still be run entry by entry.) The times are those of the
# machine that ran this notebook. Our tape is no fast one; look at how its curve rises rather than how high it lies.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8))
left.semilogy(orders, entries, "o-", label="tape: entries")
left.semilogy(orders, statements, "s-", label="graph, differentiated again: statements")
left.semilogy(orders, by_recurrence, "^-", label="graph, by recurrences: statements")
left.set(title="size by order of derivative", xlabel="order")
right.semilogy(orders, tape_time, "o-", label="tape")
right.semilogy(orders, graph_time, "^-", color="C2", label="graph, by recurrences")
right.set(title="microseconds for one value", xlabel="order")
for axis in (left, right):
    axis.legend()
    axis.grid(alpha=0.3)
fig.tight_layout()

assert tape_time[-1] > 10 * graph_time[-1]

# %% [markdown]
# ## Forward and backward share
#
# The backward graph is part of the *same* graph, so it reads what the forward graph has computed. In softmax
# regression the gradient needs the very exponentials that the loss needs. In the program they are computed once.

# %%
X, labels = sg.symbol("X", ("batch", 20)), sg.symbol("labels", ("batch", 5))
W = sg.symbol("W", (20, 5))
scores = sg.named(X @ W, "scores")
loss = sg.named(-np.sum(labels * np.log(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))), "loss")
both = sg.function([X, labels, W], [loss, sg.grad(loss, W)], name="both", style="plain", comments=False)
print(both.source)

assert both.source.count("np.exp(") == 1 and both.source.count("X @ W") == 1

# %% [markdown]
# Orders share with each other in the same way: together, a function and its first four derivatives take fewer
# statements than one by one.

# %%
family = [y]
for _ in range(4):
    family.append(sg.grad(family[-1], x))
alone = [len(sg.function([x], member).cost().steps) for member in family]
together = len(sg.function([x], family).cost().steps)
print(f"one by one {alone}, in all {sum(alone)}; together {together}")

assert together < 0.75 * sum(alone)

# %% [markdown]
# ## What nobody asks for is not there
#
# A tape records all that happens. A graph is read from its outputs backward, so whatever leads to none of them is never
# part of the program: *dead code* does not have to be removed, it is not reached.


# %%
def wasteful(sin, tanh):
    def f(x):
        sin(sin(sin(x)))  # and never used
        return tanh(x * sin(x))

    return f


Recorded.made = 0
derivative(wasteful(sin, tanh))(at)
program = sg.function([x], sg.grad(wasteful(sg.sin, sg.tanh)(x), x))
print(f"tape: {Recorded.made} entries in place of {entries[0]}")
print(f"graph: {len(program.cost().steps)} statements, as before")

assert Recorded.made == entries[0] + 3 and len(program.cost().steps) == statements[0]

# %% [markdown]
# So it is with gradients. We ask a network for that of its last layer only, and then of the first one too.

# %%
V = sg.symbol("V", (20, 8))
U = sg.symbol("U", (8, 5))
hidden = sg.named(np.tanh(X @ V), "hidden")
loss = sg.named(np.mean((hidden @ U - labels) ** 2), "loss")


def gradients_of(*variables):
    outputs = {f"grad_{v.name}": sg.grad(loss, v) for v in variables}
    return sg.function([X, labels, V, U], outputs, name="gradients", style="plain", comments=False)


print(gradients_of(U).source)
print(gradients_of(U, V).source)

assert len(gradients_of(U).cost().steps) < len(gradients_of(U, V).cost().steps)

# %% [markdown]
# The first program has no derivative of tanh in it, and neither has a `loss`: the gradient of a square needs what was
# squared, not the sum.

# %%
assert "grad_hidden" not in gradients_of(U).source
assert all("loss =" not in program.source for program in (gradients_of(U), gradients_of(U, V)))

# %% [markdown]
# ## What a tape does better
#
# A tape sees numbers while it runs, so the program may look at them, and do this or that. Here is one that halves its
# argument until it is below one. The tape follows each round, and never knows that there was a loop.


# %%
def halved(x):
    while x > 1.0:
        x = 0.5 * x
    return x * x


Recorded.__gt__ = lambda self, number: self.value > number
print(derivative(halved)(10.0))

assert derivative(halved)(10.0) == 2 * (10 / 16) / 16  # four rounds

# %% [markdown]
# When a graph is built there are no numbers to look at. symgraph refuses, and says what to do instead.

# %%
try:
    halved(x)
except TypeError as error:
    print(error)
else:
    raise AssertionError

# %% [markdown]
# A choice becomes a node, `sg.where` or `sg.cond`; and a loop that seeks something is better said by what it seeks. The
# root of $y^2 = c$, by Newton's method in the compiled program; its derivative does not go through the rounds, but
# comes from the equation:

# %%
c = sg.symbol("c")
root = sg.root(lambda y: y * y - c, 1.0)
value, slope_of_root = sg.evaluate([root, sg.grad(root, c)], {c: 2.0})
print(value, slope_of_root)

np.testing.assert_allclose([value, slope_of_root], [math.sqrt(2), 1 / (2 * math.sqrt(2))], rtol=1e-12)

# %% [markdown]
# ## In sum
#
# | | tape: symbol to number | graph: symbol to symbol |
# |---|---|---|
# | gives | a number at a point | an expression for all points |
# | is derived | at every call | once |
# | can be read, drawn, simplified, compared | no | yes |
# | a further order | repeats the work of the former, and more | shares it, or uses recurrences |
# | what nobody asks for | is recorded | is not reached |
# | `if` and `while` on values | as in any program | as nodes: `where`, `cond`, `root` |
