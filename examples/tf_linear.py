"""Linear regression as in the first TensorFlow 1 tutorial: the same program, in symgraph.

A line W * x + b is fitted to 100 points of y = 0.1 x + 0.3 by gradient descent on the mean squared error. Everything is
float32, as it was there, and stays so.

    python examples/tf_linear.py
"""

import numpy as np

import symgraph as sg


def main(steps=201, seed=0):
    """Fit the line; after 201 steps W is [0.1] and b is [0.3]."""
    # Create 100 points
    rng = np.random.default_rng(seed)
    x_data = rng.random(100, dtype=np.float32)
    y_data = x_data * np.float32(0.1) + np.float32(0.3)

    # Construct the graph
    x, target = sg.symbol("x", ("points",), "float32"), sg.symbol("target", ("points",), "float32")
    W = sg.parameter(rng.uniform(-1, 1, 1).astype(np.float32), "W")
    b = sg.parameter(np.zeros(1, np.float32), "b")
    y = W * x + b

    # Minimize the mean squared error by gradient descent
    loss = sg.named(sg.mean(sg.square(y - target)), "loss")
    gradients = sg.grad(loss, [W, b])
    train = sg.function([x, target], loss, updates={p: p - 0.5 * g for p, g in zip([W, b], gradients)}, name="train")

    # Fit the line
    print(train.source)
    for step in range(steps):
        loss_now = train(x_data, y_data)
        if step % 20 == 0:
            print(f"{step:3}  W = {W.value}  b = {b.value}  loss = {loss_now:.2e}")
    return W.value, b.value


if __name__ == "__main__":
    main()
