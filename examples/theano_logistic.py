"""Logistic regression as in the Theano tutorial: the same program, in symgraph.

The cross-entropy is written naively, as in a textbook, and would be nan as soon as a prediction is certain:
log(1 - p) with p = 1. It stays finite because symgraph recognises the stable forms before it differentiates:

    1 / (1 + exp(-z)) = sigmoid(z)     -log(sigmoid(z)) = softplus(-z)     -log(1 - sigmoid(z)) = softplus(z)

Source: "A Real Example: Logistic Regression", Theano tutorial (Bergstra et al., 2010).

    python examples/theano_logistic.py
"""

import numpy as np

import symgraph as sg

SAMPLES, FEATURES = 400, 784
STEPS = 10_000


def model(rng, scale=1.0):
    """The two functions of the lecture, and the shared variables they train; `scale` is that of the first weights."""
    # Declare symbolic variables
    x = sg.symbol("x", ("samples", FEATURES))
    y = sg.symbol("y", ("samples",))
    w = sg.parameter(scale * rng.standard_normal(FEATURES), "w")
    b = sg.parameter(0.0, "b")

    # Construct the expression graph
    p_1 = sg.named(1 / (1 + sg.exp(-sg.dot(x, w) - b)), "p_1")  # probability that the target is 1
    prediction = p_1 > 0.5
    xent = -y * sg.log(p_1) - (1 - y) * sg.log(1 - p_1)  # cross-entropy
    cost = sg.named(xent.mean() + 0.01 * (w**2).sum(), "cost")  # with weight decay
    gw, gb = sg.grad(cost, [w, b])

    # Compile
    train = sg.function(
        [x, y], {"prediction": prediction, "xent": xent}, updates={w: w - 0.1 * gw, b: b - 0.1 * gb}, name="train"
    )
    predict = sg.function([x], prediction, name="predict")
    return train, predict, w, b


def main(steps=STEPS, seed=0):
    """Train on random data, which 784 weights fit exactly."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((SAMPLES, FEATURES))
    targets = rng.integers(0, 2, SAMPLES)

    train, predict, w, b = model(rng)
    print(train.source)
    for step in range(steps):
        xent = train(inputs, targets)["xent"]
        if step % max(1, steps // 5) == 0:
            print(f"step {step:5}  cross-entropy {xent.mean():.6f}")

    predictions = predict(inputs)
    print(f"final model: |w| = {np.linalg.norm(w.value):.4f}, b = {b.value:.4f}")
    print(f"{np.sum(predictions == targets)} of {SAMPLES} predictions equal their targets")
    return predictions, targets


if __name__ == "__main__":
    main()
