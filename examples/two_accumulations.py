"""f(x1, x2) = x1 x2 + sin x1, differentiated by forward and by reverse accumulation.

Forward accumulation carries a derivative from the inputs along the graph: one sweep gives the derivative along one
direction. Reverse accumulation carries one from the output back: a single sweep gives the whole gradient. Both are
symbolic: the derivative is one more expression, printed, compiled and differentiated like any other.

    python examples/two_accumulations.py
"""

import math

import symgraph as sg


def main(a=2.0, b=3.0):
    """Both accumulations as source, and their values at (a, b) beside the formulas found by hand."""
    x1, x2 = sg.symbol("x1"), sg.symbol("x2")
    f = sg.named(x1 * x2 + sg.sin(x1), "f")

    along_x1 = sg.jvp(f, [x1, x2], [1.0, 0.0])
    along_x2 = sg.jvp(f, [x1, x2], [0.0, 1.0])
    forward = sg.function([x1, x2], {"df_dx1": along_x1, "df_dx2": along_x2}, name="forward")

    gradient = sg.grad(f, {"df_dx1": x1, "df_dx2": x2})
    reverse = sg.function([x1, x2], gradient, name="reverse")

    by_hand = {"df_dx1": b + math.cos(a), "df_dx2": a}
    print(forward.source, reverse.source, sep="\n")
    print(f"at ({a}, {b})    forward    reverse    by hand")
    pushed, pulled = forward(a, b), reverse(a, b)
    for name, expected in by_hand.items():
        print(f"{name:10} {pushed[name]:12.6f} {pulled[name]:10.6f} {expected:10.6f}")
    return pushed, pulled, by_hand


if __name__ == "__main__":
    main()
