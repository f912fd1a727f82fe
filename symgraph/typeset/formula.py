r"""Graphs as LaTeX: the mathematics of `symgraph.to_text`, in let-form where parts have names, are long, or are shared.

    >>> from symgraph import grad, simplify, symbol
    >>> A, x, b = symbol("A", ("m", "n")), symbol("x", ("n",)), symbol("b", ("m",))
    >>> r = A @ x - b
    >>> print(latex(r @ r))
    (A x - b)^{\top} (A x - b)
    >>> print(latex(simplify(grad(r @ r, x))))
    2 A^{\top} (A x - b)

A vector is a column, \odot and \oslash are elementwise, \mathbf{1} is the vector of ones, [z > 0] is 1 where it holds. Casts
and dtypes are left out, and so are guards that only settle a value at a singular point: x / |x| stands for 0 at 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..core import Bound, Constant, Leaf, Tensor
from ..naming import gradient_name, output_labels
from ..ops.base import Elementwise, as_tensor
from ..ops.control import Cond
from ..ops.late import F
from ..printing import number as is_number
from ..provenance import name_of
from ..pytree import flatten
from ..structured import Structured
from . import names
from .arrays import array, constant, shape_of
from .elementwise import cases, elementwise
from .guards import unguarded
from .pieces import Piece, width
from .structure import Structure, factors

LONG = 64
"""A part that is wider than this gets a line of its own."""

SHORT = 14
"""A shared part that is no wider than this is written out wherever it is used."""

_NUMBERED = re.compile(r"t_\{\d+\}")

MOST_SHOWN = 300
"""A notebook shows graphs of at most this many nodes as a formula."""


def latex(outputs: Any) -> str:
    r"""`outputs` (a tensor or any nesting) as LaTeX, without delimiters: one expression, or lines in `align*`.

    Names stay names, with Greek letters and subscripts: `W1` is W_{1}, `grad_W` is \nabla_{W}. A structured Hessian is
    written in its structure. Lines are `name = formula`; a single tensor without a name ends as a bare expression.
    Raises `TypeError` for what is no tensor.

    >>> from symgraph import named, symbol, tanh
    >>> W, x = symbol("W1", ("m", "n")), symbol("x", ("n",))
    >>> z = named(W @ x, "z1")
    >>> print(latex({"a1": tanh(z)}))
    \begin{align*}
    z_{1} &= W_{1} x \\
    a_{1} &= \tanh(z_{1})
    \end{align*}
    """
    return _aligned(lines(outputs), "align*")


def lines(outputs: Any) -> list[tuple[str, str]]:
    """The lines of the let-form: the name that each defines (empty for a bare expression), and its formula."""
    leaves, _ = flatten(outputs)
    roots = [as_tensor(leaf) for leaf in leaves]
    if isinstance(outputs, Tensor):
        return _Formula(roots, [None]).lines()
    return _Formula(roots, output_labels(roots, outputs, "y")).lines()


def notebook(x: Tensor) -> str | None:
    """`x` as Jupyter shows it: LaTeX in delimiters, or None (then the text is shown) for a graph too large to read."""
    seen: set[Tensor] = {x}
    todo = [x]
    while todo:
        fresh = [i for i in todo.pop().inputs if i not in seen]
        seen.update(fresh)
        todo += fresh
        if len(seen) > MOST_SHOWN:
            return None
    text = _aligned(lines(x), "aligned")
    return f"$$\n{text}\n$$" if "\n" in text else f"$\\displaystyle {text}$"


def _aligned(made: Sequence[tuple[str, str]], environment: str) -> str:
    if len(made) == 1:
        ((target, text),) = made
        return f"{target} = {text}" if target else text
    body = " \\\\\n".join(f"{target} &= {text}" if target else f"& {text}" for target, text in made)
    return f"\\begin{{{environment}}}\n{body}\n\\end{{{environment}}}"


class _Formula:
    """The piece of every node that has been reached, and the lines written so far."""

    def __init__(
        self,
        roots: Sequence[Tensor],
        labels: Sequence[str | None],
        taken: names.Distinct | None = None,
        given: Sequence[Piece] = (),
    ) -> None:
        self.roots, self.labels, self.given = roots, labels, given
        self.structure: dict[Tensor, list[Structure]] = {}
        self.order = self._sorted()
        self.names = taken or names.Distinct()
        self.made: dict[Tensor, Piece] = {}
        self.lined: set[Tensor] = set()
        self.written: list[tuple[str, str]] = []
        self.uses: dict[Tensor, int] = dict.fromkeys(self.order, 0)
        for used in [*roots, *[x for node in self.order for x in self._operands(node)]]:
            self.uses[used] += 1

    def _operands(self, node: Tensor) -> Sequence[Tensor]:
        """What the formula of a node speaks of: its inputs, or the factors of its structure."""
        if isinstance(node, Structured):
            if node not in self.structure:
                self.structure[node] = factors(node)
            return [x for t in self.structure[node] for x in t.tensors]
        if node.op.mentions:
            return node.inputs[: len(node.inputs) - node.op.mentions]
        return node.inputs

    def _sorted(self) -> list[Tensor]:
        order: dict[Tensor, None] = {}
        stack = list(self.roots)[::-1]
        while stack:
            node = stack[-1]
            pending = [x for x in self._operands(node) if x not in order] if node not in order else []
            if pending:
                stack += pending[::-1]
                continue
            order.setdefault(node)
            stack.pop()
        return list(order)

    def lines(self) -> list[tuple[str, str]]:
        for node in self.order:
            if isinstance(node.op, Leaf):
                self.made[node] = Piece(self.names.take(node.op.label))
        targets: dict[Tensor, str] = {}
        for root, label in zip(self.roots, self.labels, strict=True):
            if label and root not in self.made and root not in targets:
                targets[root] = self.names.take(label)
        for node in self.order:
            if node not in self.made:
                self._step(node, targets.get(node))
        for root, label in zip(self.roots, self.labels, strict=True):
            if label and targets.pop(root, None) is None:
                self.written.append((self.names.take(label), self.made[root].text))
            elif not label and root not in self.lined:
                text = self.made[root].text
                alone = bool(self.written) and self.written[-1][0] == text and _NUMBERED.fullmatch(text)
                self.written.append(("", self.written.pop()[1] if alone else text))
        return self.written

    def _step(self, node: Tensor, target: str | None) -> None:
        made = self._piece(node)
        given = name_of(node)
        if not target and isinstance(node.aval, tuple):
            self.made[node] = made
            return
        if not target and given:
            target = self.names.take(given)
        last = len(self.roots) == 1 and node is self.roots[0]
        if not target and not last and width(made.text) > (SHORT if self.uses[node] > 1 else LONG):
            adjoint = gradient_name(node)
            target = self.names.take(adjoint) if adjoint else self.names.number("t")
        if target:
            self.written.append((target, made.text))
            self.lined.add(node)
            made = Piece(target)
        self.made[node] = made

    def _piece(self, node: Tensor) -> Piece:
        op = node.op
        if isinstance(op, Constant):
            return constant(node)
        if isinstance(op, Bound):
            return self.given[op.index] if self.given else Piece(f"x_{{{op.index + 1}}}")
        if isinstance(node, Structured):
            return Structure.total([t.piece([self.made[x] for x in t.tensors]) for t in self.structure[node]])
        inputs = self._operands(node)
        meant = unguarded(node)
        if meant is not None:
            return self.made[meant]
        xs = [self.made[x] for x in inputs]
        if isinstance(op, Cond):
            made = self._branches(node)
            if made is not None:
                return made
        if isinstance(op, Elementwise):
            operands = [(x, shape_of(i)) for x, i in zip(xs, inputs, strict=True)]
            return elementwise(op.name, node, operands[::-1] if node.flipped else operands)
        return array(node, xs, self._factors)

    def _branches(self, node: Tensor) -> Piece | None:
        """A choice between the formulas of the branches, or None where one of them has several lines."""
        op: Any = node.op
        condition, *given = [self.made[x] for x in node.inputs]
        found = []
        for body in (op.true, op.false):
            inside = _Formula(body.outputs, [None] * len(body.outputs), self.names, given)
            if len(inside.lines()) != 1:
                return None
            found.append((inside.made[body.outputs[0]], body.outputs[0].shape))
        return cases(node.shape, (condition, ()), *found)

    def _factors(self, node: Tensor) -> tuple[Piece, Piece] | None:
        """The two factors of an elementwise product or square that has no name of its own."""
        if node in self.lined:
            return None
        inputs = node.inputs * 2 if node.op is F.square else node.inputs
        if node.op is F.power and is_number(node.inputs[1]) == "2":
            inputs = (node.inputs[0], node.inputs[0])
        elif node.op not in (F.multiply, F.square):
            return None
        a, b = inputs[::-1] if node.flipped else inputs
        if a.ndim != node.ndim or b.ndim != node.ndim or a.ndim > 2:
            return None
        return self.made[a], self.made[b]


__all__ = ["latex", "lines", "notebook"]
