r"""The value of a formula in the LaTeX that `latex` writes, for tests: all axes have one length, and a vector is a column.

A product is computed from the left and from the right, and both must agree: brackets that are missing are found.
"""

import re

import numpy as np
import scipy.special

N = 3
TOKEN = re.compile(r"\\[a-zA-Z]+|\\[,|]|\d+(?:\.\d+)?|\S")
ENDS = (None, "+", "-", "\\odot", "\\oslash", ")", "]", "}", "|", "=", ">", "<", ",", "\\neq", "\\leq")
FUNCTIONS = {
    "\\exp": np.exp, "\\log": np.log, "\\tanh": np.tanh, "\\sin": np.sin, "\\cos": np.cos, "\\sigma": scipy.special.expit,
    "diag": lambda x: np.diag(x[:, 0]) if x.shape[1] == 1 else np.diag(x)[:, None], "tr": np.trace, "\\det": np.linalg.det,
    "softmax": lambda x: scipy.special.softmax(x), "logsumexp": lambda x: scipy.special.logsumexp(x),
    "relu": lambda x: np.maximum(x, 0),
}  # fmt: skip


def column(value):
    """A NumPy value as a column, a matrix or a float."""
    value = np.asarray(value, float)
    return float(value) if value.ndim == 0 else value[:, None] if value.ndim == 1 else value


class Reader:
    """A formula, read from left to right."""

    def __init__(self, text, names):
        self.tokens = [t for t in TOKEN.findall(text.replace("\\left", "").replace("\\right", "")) if t != "\\,"]
        self.names, self.at, self.norms = names, 0, 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, expected=None):
        token = self.peek()
        assert expected is None or token == expected, f"{token} for {expected} in {' '.join(self.tokens)}"
        self.at += 1
        return token

    def group(self):
        self.take("{")
        start, depth = self.at, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self.take(), 0)
        return self.tokens[start : self.at - 1]

    def sum(self):
        negative = self.peek() == "-" and bool(self.take())
        total = -self.hadamard() if negative else self.hadamard()
        while self.peek() in ("+", "-"):
            sign = 1 if self.take() == "+" else -1
            term = self.hadamard()
            assert np.shape(term) == np.shape(total), "a sum of different shapes"
            total = total + sign * term
        return total

    def hadamard(self):
        made = self.product()
        while self.peek() in ("\\odot", "\\oslash"):
            by = self.take()
            other = self.product()
            assert np.shape(made) == np.shape(other), "an elementwise product of different shapes"
            made = made * other if by == "\\odot" else made / other
        return made

    def product(self):
        factors = [self.factor()]
        while self.peek() not in ENDS and not (self.peek() == "\\|" and self.norms):
            if self.peek() == "\\cdot":
                self.take()
            factors.append(self.factor())
        left = factors[0]
        for f in factors[1:]:
            left = times(left, f)
        right = factors[-1]
        for f in factors[-2::-1]:
            right = times(f, right)
        np.testing.assert_allclose(left, right, rtol=1e-9, err_msg="a product that needs brackets")
        return left

    def factor(self):
        x = self.atom()
        while self.peek() in ("^", "_"):
            if self.take() == "_":
                kind = "".join(self.group())
                assert kind in ("2", "F")
                continue
            exponent = self.group()
            if exponent == ["\\top"]:
                x = x.T
            elif exponent == ["-", "\\top"]:
                x = np.linalg.inv(x).T
            elif exponent == ["-", "1"]:
                x = np.linalg.inv(x)
            elif exponent[0] == "\\odot":
                x = x ** value(" ".join(exponent[1:]), self.names)
            else:
                assert np.ndim(x) == 0, "a power of an array that is not elementwise"
                x = x ** value(" ".join(exponent), self.names)
        return x

    def atom(self):
        token = self.take()
        if token in "([":
            made = self.sum()
            if self.peek() in (">", "<"):
                larger = self.take() == ">"
                bound = self.sum()
                made = (made > bound if larger else made < bound) * 1.0
            self.take(")" if token == "(" else "]")
            return made
        if token == "\\|":
            self.norms += 1
            made = self.sum()
            self.take("\\|")
            self.norms -= 1
            return float(np.linalg.norm(made))
        if token == "|":
            made = self.sum()
            self.take("|")
            return np.abs(made)
        if token == "\\frac":
            above, below = value(" ".join(self.group()), self.names), value(" ".join(self.group()), self.names)
            assert np.ndim(below) == 0
            return above / below
        if token == "\\sqrt":
            return np.sqrt(value(" ".join(self.group()), self.names))
        if token == "\\mathbf":
            return {"1": np.ones((N, 1)), "0": np.zeros((N, 1))}["".join(self.group())]
        if token == "\\operatorname":
            name = "".join(self.group())
            return FUNCTIONS[name](self.atom())
        if token in FUNCTIONS:
            return FUNCTIONS[token](self.atom())
        if token == "I":
            return np.eye(N)
        if token == "\\pi":
            return np.pi
        if token[0].isdigit():
            return float(token)
        if self.peek() == "_" and token not in self.names:
            self.take()
            token += "".join(self.group())
        return self.names[token]


def times(a, b):
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    made = a @ b
    return float(made[0, 0]) if made.shape == (1, 1) else made


def value(text, names):
    """The value of a formula of the given names."""
    reader = Reader(text, names)
    made = reader.sum()
    assert reader.peek() is None, f"{reader.peek()} is left of {text}"
    return made
