"""The generated source is the product: what it reads like is fixed by golden files, and it is the same in every process.

A change of the emitter shows here as a difference of text, to be read like any other change of code. When it is meant:

    python tests/codegen/test_source.py

writes the golden files anew.
"""

import ast
import gc
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from codegen.source import STANDARD
from symgraph.core import symbol

GOLDEN = Path(__file__).parent / "golden"


# The models ----------------------------------------------------------------------------------------------------------


def logistic():
    """Theano's logistic regression: the naive cross-entropy, in stable form."""
    x, y = symbol("x", ("samples", 784)), symbol("y", ("samples",))
    w, b = sg.parameter(np.zeros(784), "w"), sg.parameter(0.0, "b")
    p_1 = sg.named(1 / (1 + sg.exp(-sg.dot(x, w) - b)), "p_1")
    xent = sg.named(-y * sg.log(p_1) - (1 - y) * sg.log(1 - p_1), "xent")
    cost = sg.named(xent.mean() + 0.01 * (w**2).sum(), "cost")
    gw, gb = sg.grad(cost, [w, b])
    return sg.function(
        [x, y], [p_1 > 0.5, cost], updates={w: w - 0.1 * gw, b: b - 0.1 * gb}, name="train", comments=False
    )


def mlp():
    """A training step of a perceptron with one hidden layer."""
    X, y = symbol("X", ("batch", 784), "float32"), symbol("y", ("batch",), "int64")
    W1, b1 = sg.parameter(np.zeros((784, 128), "float32"), "W1"), sg.parameter(np.zeros(128, "float32"), "b1")
    W2, b2 = sg.parameter(np.zeros((128, 10), "float32"), "W2"), sg.parameter(np.zeros(10, "float32"), "b2")
    hidden = sg.named(sg.relu(X @ W1 + b1), "hidden")
    logits = sg.named(hidden @ W2 + b2, "logits")
    loss = sg.named(-sg.take_along_axis(sg.log_softmax(logits), y[:, None], axis=1).mean(), "loss")
    weights = [W1, b1, W2, b2]
    gradients = sg.grad(loss, weights)
    updates = {p: p - 0.1 * g for p, g in zip(weights, gradients)}
    return sg.function([X, y], loss, updates=updates, name="train_step", comments=False)


def log_normal():
    """The log-normal density and its three derivatives."""
    y, mu, sigma = symbol("y", ("n",)), symbol("mu"), symbol("sigma")
    log_density = sg.named(-0.5 * ((y - mu) / sigma) ** 2 - sg.log(sigma) - 0.5 * np.log(2 * np.pi), "log_density")
    total = sg.named(log_density.sum(), "total")
    grads = sg.grad(total, {"y": y, "mu": mu, "sigma": sigma})
    return sg.function([y, mu, sigma], {"total": total, **grads}, name="log_normal", comments=False)


def guarded_log():
    """A guarded logarithm: the branch not taken leaves no trace in the gradient, and raises no warning."""
    x = symbol("x", ("n",))
    entropy = sg.named(-sg.where(x > 0, x * sg.log(x), 0).sum(), "entropy")
    return sg.function([x], [entropy, sg.grad(entropy, x)], name="entropy_and_grad", comments=False)


def least_squares():
    """A Hessian and a solve: dense linear algebra."""
    A, b, x = symbol("A", ("m", "n")), symbol("b", ("m",)), symbol("x", ("n",))
    residual = sg.named(A @ x - b, "residual")
    loss = sg.named(0.5 * (residual @ residual) + 0.05 * x @ x, "loss")
    step = sg.linalg.solve(A.T @ A + 0.1 * sg.eye(A.shape[1]), sg.grad(loss, x))
    return sg.function([A, b, x], {"loss": loss, "x": x - step}, name="newton_step", comments=False)


def branches():
    """A branch that is chosen when the function runs: each side is a helper of its own."""
    x, flag = symbol("x", ("n",)), symbol("flag", (), "bool")
    y = sg.named(sg.cond(flag, lambda u: sg.sin(u).sum(), lambda u: (u * u).sum(), x), "y")
    return sg.function([x, flag], {"y": y, "grad": sg.grad(y, x)}, name="branches", comments=False)


MODELS = {f.__name__: f for f in (logistic, mlp, log_normal, guarded_log, least_squares, branches)}


# The tests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_source_is_the_golden_one(name):
    golden = (GOLDEN / f"{name}.py").read_text()
    assert MODELS[name]().source == golden, f"when this change is meant, run: python {Path(__file__).name}"


@pytest.mark.parametrize("name", MODELS)
def test_the_source_is_the_same_after_other_models(name):
    before = MODELS[name]().source
    kept = [symbol("x", ("n",)) for _ in range(50)]
    for other in MODELS.values():
        kept.append(other())
        sg.function([kept[0]], sg.grad(sg.sum(sg.exp(kept[0]) * sg.sin(kept[0])), kept[0]))
    assert MODELS[name]().source == before
    del kept
    gc.collect()
    assert MODELS[name]().source == before


def test_the_source_is_the_same_in_every_process():
    """Whatever the hash seed, and whatever order the models are built in."""
    code = "import runpy, sys; m = runpy.run_path(sys.argv[1])['MODELS']; names = sys.argv[2].split(); s = {n: m[n]().source for n in names}; print([s[n] for n in sorted(s)])"
    names = list(MODELS)
    orders = [names, names[::-1], names[2:] + names[:2]]
    root = Path(__file__).parents[2]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, __file__, " ".join(order)],
            stdout=subprocess.PIPE, text=True, cwd=root, env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(root)},
        )
        for seed, order in zip((0, 1, 4242), orders)
    ]  # fmt: skip
    printed = {run.communicate()[0] for run in runs}
    assert len(printed) == 1
    assert ast.literal_eval(printed.pop()) == [MODELS[n]().source for n in sorted(names)]


@pytest.mark.parametrize("name", MODELS)
def test_the_source_is_tidy(name):
    """One module of NumPy: it parses, every name that is assigned is used, and lines are of a readable length."""
    source = MODELS[name]().source
    tree = ast.parse(source)
    loaded = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    parameters = {a for n in ast.walk(tree) if isinstance(n, ast.Global) for a in n.names}
    assert stored <= loaded | parameters | {"_"}, f"assigned and never read: {sorted(stored - loaded - parameters)}"
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert imported - {"numpy", "scipy.special", "scipy.linalg"} <= set(STANDARD)
    assert all(len(line) <= 120 for line in source.splitlines())
    assert not source.endswith("\n\n") and source.endswith("\n")
    assert all(line == line.rstrip() for line in source.splitlines())


def test_every_function_has_a_docstring_with_its_signature():
    assert '"""x (n,) float64 -> float64, (n,) float64."""' in guarded_log().source
    assert "pdates w, b." in logistic().source


def test_comments_name_the_users_lines():
    x = symbol("x", ("n",))
    h = sg.exp(x) + 1
    line = sys._getframe().f_lineno - 1
    source = sg.function([x], [h, h.sum()]).source
    assert f"# test_source.py:{line}" in source


def test_the_users_names_survive():
    source = mlp().source
    for name in ("hidden", "logits", "loss", "W1", "b2", "batch"):
        assert re.search(rf"\b{name}\b", source)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, model in MODELS.items():
        (GOLDEN / f"{name}.py").write_text(model().source)
        print(f"golden/{name}.py")
