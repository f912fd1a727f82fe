"""The lecture programs run, and say what the lectures say."""

import runpy
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples"


def load(name):
    return runpy.run_path(str(FOLDER / f"{name}.py"), run_name=name)


def test_theano_logistic_regression(capsys):
    predictions, targets = load("theano_logistic")["main"]()
    assert predictions.shape == (400,)
    np.testing.assert_array_equal(predictions, targets)
    assert "np.log1p" in capsys.readouterr().out


def test_the_naive_cross_entropy_stays_finite():
    """With weights a thousand times larger every prediction is certain, and the formula as printed is inf and nan."""
    program = load("theano_logistic")
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((400, 784)), rng.integers(0, 2, 400)
    train, predict, w, b = program["model"](rng, scale=1000.0)

    z = inputs @ w.value + b.value
    with np.errstate(all="ignore"):
        p_1 = 1 / (1 + np.exp(-z))
        naive = -targets * np.log(p_1) - (1 - targets) * np.log(1 - p_1)
    assert not np.isfinite(naive).all()

    xent = train(inputs, targets)["xent"]
    np.testing.assert_allclose(xent, np.logaddexp(0, -z) * targets + np.logaddexp(0, z) * (1 - targets))
    assert np.isfinite(w.value).all() and np.isfinite(b.value)
    for _ in range(200):
        train(inputs, targets)
    assert np.isfinite(w.value).all() and np.isfinite(b.value)
    assert predict(inputs).dtype == bool


def test_the_step_of_the_logistic_regression_is_gradient_descent():
    """One step against the gradient found by hand."""
    rng = np.random.default_rng(1)
    inputs, targets = rng.standard_normal((30, 784)), rng.integers(0, 2, 30)
    train, _, w, b = load("theano_logistic")["model"](rng, scale=0.05)
    w0, b0 = w.value, b.value
    found = train(inputs, targets)
    p = 1 / (1 + np.exp(-inputs @ w0 - b0))
    np.testing.assert_allclose(found["xent"], -targets * np.log(p) - (1 - targets) * np.log(1 - p), rtol=1e-10)
    np.testing.assert_array_equal(found["prediction"], p > 0.5)
    np.testing.assert_allclose(w.value, w0 - 0.1 * (inputs.T @ (p - targets) / 30 + 0.02 * w0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(b.value, b0 - 0.1 * np.mean(p - targets), rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_tensorflow_linear_regression(seed):
    W, b = load("tf_linear")["main"](seed=seed)
    np.testing.assert_allclose(W, [0.1], atol=1e-4)
    np.testing.assert_allclose(b, [0.3], atol=1e-4)
    assert W.dtype == b.dtype == np.float32


def test_the_two_accumulations_agree_with_the_formulas():
    pushed, pulled, by_hand = load("two_accumulations")["main"]()
    for name, expected in by_hand.items():
        assert pushed[name] == pytest.approx(expected, rel=1e-14)
        assert pulled[name] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("point", [(1.3, 0.4, 0.7), (-2.0, 1.5, 3.0), (0.1, 0.1, 1e-3)])
def test_the_log_normal_density(point):
    found, by_hand = load("log_normal_density")["main"](*point)
    assert found == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.stem)
def test_every_example_says_how_it_is_run(path):
    text = path.read_text()
    assert f"python examples/{path.name}" in text
    assert 'if __name__ == "__main__":\n    main()\n' in text
