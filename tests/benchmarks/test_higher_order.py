"""The programs of higher derivatives compute the same, and the tables say what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import higher_order_report
from benchmarks.problems import PEERS, WORKLOADS, base, counts

ROOT = Path(__file__).parents[2]

MADE_BY_SYMGRAPH = [(name, peer) for name, p in WORKLOADS.items() for peer in p.peers() if PEERS[peer] == "symgraph"]


@pytest.mark.parametrize("name, peer", MADE_BY_SYMGRAPH)
def test_symgraph_agrees_with_numpy_by_hand(name, peer):
    problem = WORKLOADS[name]
    if name == "rosenbrock":
        pytest.importorskip("scipy")
    data = problem.data(small=True)
    (wanted,), (found,) = (problem.case(p, data).results() for p in ("numpy", peer))
    assert np.abs(wanted).max() > 0
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_program_is_listed(name):
    problem = WORKLOADS[name]
    assert problem.peers()[:2] == ["symgraph", "numpy"]
    assert not set(problem.peers()) & set(problem.without)
    own = {n for n in dir(problem._module()) if n.startswith("by_")}
    assert own <= {f"by_{peer.replace('-', '_')}" for peer in PEERS}


def test_by_hand_agrees_with_differences():
    """The programs by hand are the yardstick, so each Hessian is checked against differences of the function itself."""
    for name in ("quadratic", "logistic", "factorization", "masked", "relu", "perceptron", "logsumexp"):
        problem = WORKLOADS[name]
        x, *others = problem.data(small=True).values()
        formula = problem._module().formula
        (found,) = problem.case("numpy", problem.data(small=True)).results()
        units = np.eye(x.size).reshape(x.size, *x.shape) * 1e-3
        f = lambda d: formula(Names(), x + d, *others)
        wanted = [[(f(a + b) - f(a - b) - f(b - a) + f(-a - b)) / 4e-6 for b in units] for a in units]
        difference = found.reshape(x.size, x.size) - np.array(wanted)
        assert np.abs(difference).max() < 1e-4 * np.abs(found).max(), name


class Names:
    """NumPy, with the two functions of networks that it lacks."""

    def __getattr__(self, name):
        return getattr(np, name)

    def relu(self, x):
        return np.maximum(x, 0)

    def log_softmax(self, x, axis):
        return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def test_stages_derive_anew():
    """What is timed is a whole derivation, and not one that was remembered."""
    problem = WORKLOADS["relu"]
    made = problem.case("symgraph", problem.data(small=True))
    again = [made.stages() for _ in range(3)]
    assert all(derive > 1e-4 and compiled > 1e-4 for derive, compiled in again)


def test_entries_of_a_sparse_matrix():
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.csr_array((np.array([2.0, 1.0, 3.0]), np.array([1, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    np.testing.assert_array_equal(base.entries(x), [1, 2, 3])


@pytest.mark.parametrize(
    "line, operations",
    [("y = x", 0), ("y = -x", 1), ("y = -1.0", 0), ("y = x * x + 1", 2), ("y = math.tanh(x * 2)", 2), ("y += x**2", 2),
     ("y = np.float64(float(x))", 0)],
)  # fmt: skip
def test_operations(line, operations):
    source = f"def g(x):\n    return x * x\n\ndef f(x):\n    y = 0\n    {line}\n    return y\n"
    assert counts.operations(source, "f") == operations


def test_what_the_sixth_derivative_takes():
    found = counts.sixth()
    assert found["symgraph, `derivative(y, x, 6)`"] <= 386


def test_a_taylor_coefficient_takes_few_nodes():
    data = WORKLOADS["taylor"].data()
    grown = {k: counts.nodes(WORKLOADS["taylor"]._module().by_symgraph(data, k).call) for k in (2, 4, 6)}
    assert grown[6] <= 200
    assert grown[6] - grown[4] < 3 * (grown[4] - grown[2])  # the square of the order, and no power of 2


FOUND = {
    "machine": "A machine.",
    "measured": [
        {
            "name": "logistic",
            "title": "2. Logistic regression",
            "target": 3.0,
            "threads": "1",
            "peers": {
                "symgraph": {
                    "first": 0.02, "stages": [[1e-3, 2e-3]] * 3, "rounds": [[1e-3], [4e-3]], "read": [[2e-3], [4e-3]],
                },
                "numpy": {"rounds": [[1e-3], [2e-3]], "read": [[1e-3], [2e-3]]},
                "jax-hessian": {
                    "stages": [[0.01, 0.1]] * 3, "rounds": [[8e-3], [32e-3]], "read": [[4e-3], [8e-3]],
                },
                "jax-loop": {"rounds": [[2e-3], [8e-3]], "read": [[2e-3], [8e-3]]},
                "jax-linear": {"rounds": [[3e-3], [8e-3]], "read": [[3e-3], [8e-3]]},
                "torch": {"error": "not installed"},
            },
        }
    ],
    "counts": {"series": {"nodes": {"2": 30, "3": 59}}, "sixth": {"symgraph": 92}},
}  # fmt: skip


def test_tables():
    text = higher_order_report.tables(FOUND)
    rows = [line for line in text.splitlines() if line.startswith("| 2. Logistic regression |")]
    assert rows == [
        "| 2. Logistic regression | 2.50 ms | **1.50 ms** | 20.0 ms | 5.00 ms (linearized gradient, loop) | – | 8 | 2 |",
        "| 2. Logistic regression | 3.00 ms | **1.50 ms** | 6.00 ms | 5.00 ms (linearized gradient, loop) | – | 2 | 1.33 |",
        "| 2. Logistic regression | 2.50 ms | – | – | 20.0 ms | – | – | 5.50 ms | 5.00 ms | – | – |",
        "| 2. Logistic regression | 3.0 | 1.0 + 2.0 | 20.0 | 110.0 | 10.0 + 100.0 |",
        "| 2. Logistic regression | 5.4 | 18.4 | 3 | 2 (missed) |",
    ]
    assert "- torch.func, not installed: logistic" in text
    assert "| nodes | 30 | 59 |" in text


def test_a_problem_that_failed_is_a_dash_with_its_reason():
    peers = {"symgraph": {"error": "AttributeError: no attribute 'laplacian'"}, "jax-hessian": {"rounds": [[1.0]]}}
    measured = {**FOUND["measured"][0], "peers": peers}
    text = higher_order_report.tables({"machine": "A machine.", "measured": [measured]})
    assert "| 2. Logistic regression | – |" in text
    assert "- symgraph, AttributeError: no attribute 'laplacian': logistic" in text


def test_the_command(tmp_path):
    """From the command line to the files: one problem, small, NumPy and symgraph only."""
    command = [sys.executable, "benchmarks/higher_order.py", "logsumexp", "--small", "--quick", "--peers", "symgraph"]
    subprocess.run([*command, "--seconds", "0.01", "--results", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (measured,) = json.loads((tmp_path / "higher_order.json").read_text())["measured"]
    for peer in ("symgraph", "numpy"):
        figures = measured["peers"][peer]
        assert "error" not in figures
        assert len(figures["rounds"]) == len(figures["read"]) == 3
    assert len(measured["peers"]["symgraph"]["stages"]) >= 3
    assert "Derive and compile" in (tmp_path / "higher_order.md").read_text()
