"""What derivatives of high order grow to: nodes of the graph, equations, operations of the emitted program.

Operations are those on numbers in the text of a program: + - * / ** and signs as one each (a power too, as SymPy's
`count_ops` has it), and a call of a function that computes (sin, tanh) as one. Equations of JAX are those of its traced
program, with those of inner programs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

from . import scalar, taylor
from .base import JaxNames

ORDERS = (2, 3, 4, 5, 6, 7, 8)
NOT_COUNTED = {"float", "float64", "asarray", "empty", "empty_like", "reshape", "array", "isinstance", "type", "len"}


def operations(source: str, function: str) -> int:
    """The arithmetic in one function of a program."""
    found = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == function)
    return sum(_counts(node) for node in ast.walk(next(found)))


def _counts(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return True
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant)
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name not in NOT_COUNTED
    return False


def body(f: Any) -> str:
    """The function of a generated module that computes, not the one for what Python's floats refuse."""
    return str(f.name)


def equations(jaxpr: Any) -> int:
    """The equations of a traced program and of those inside it."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [getattr(v, "jaxpr", v) for v in equation.params.values() if hasattr(getattr(v, "jaxpr", v), "eqns")]
        total += sum(equations(j) for j in inner) or 1
    return total


def nodes(f: Any) -> int:
    """The nodes of the rewritten graph that a Function was emitted from; inputs, constants and views are none."""
    from symgraph.core import toposort
    from symgraph.pipeline import rewritten

    found, *_ = rewritten(list(f.written), True)
    return sum(bool(node.inputs) and not getattr(node.op, "is_view", False) for node in toposort(found))


# Tables --------------------------------------------------------------------------------------------------------------


def series() -> dict[str, dict[int, Any]]:
    """Problem 12: by order, the nodes of symgraph's rewritten graph and the equations of JAX."""
    data = taylor.data(np.random.default_rng(0), 32)
    ways: dict[str, Callable[[int], Any]] = {
        "symgraph nodes": lambda k: nodes(taylor.by_symgraph(data, k).call),
        "jax nested equations": lambda k: _traced(taylor.nested(k), *data.values()),
        "jax jet equations": lambda k: _traced(taylor.jet(k), *data.values()),
    }
    return {name: {k: attempt(way, k) for k in ORDERS} for name, way in ways.items()}


def sixth() -> dict[str, Any]:
    """Problem 13: arithmetic operations in each program."""

    def symgraph() -> int:
        f: Any = scalar.by_symgraph({"x": np.float64(0.7)}).call
        return operations(f.source, body(f))

    def nested() -> int:
        import symgraph as sg

        x = sg.symbol("x")
        y = scalar.formula(sg, x)
        for _ in range(scalar.ORDER):
            y = sg.grad(y, x)
        f = sg.function([x], y, name="sixth")
        return operations(f.source, body(f))

    def casadi() -> int:
        import casadi as ca

        x, y = scalar.casadi_expression()
        f = ca.Function("f", [x], [y])
        moves = {ca.OP_INPUT, ca.OP_OUTPUT, ca.OP_CONST}
        return sum(f.instruction_id(i) not in moves for i in range(f.n_instructions()))

    def jax() -> int:
        import jax as j

        f = lambda x: scalar.formula(JaxNames(), x)
        for _ in range(scalar.ORDER):
            f = j.grad(f)
        return _traced(f, 0.7)

    ways = {
        "symgraph, `derivative(y, x, 6)`": symgraph,
        "symgraph, six nested `grad`": nested,
        "SymPy with cse, `diff(y, x, 6)`": lambda: operations(scalar.sympy_source(), "f"),
        "SymPy with cse, six times `diff(y, x)`": lambda: operations(scalar.sympy_source(nested=True), "f"),
        "CasADi with cse, instructions": casadi,
        "JAX, six nested `grad`, equations": jax,
    }
    return {name: attempt(way) for name, way in ways.items()}


def attempt(way: Callable[..., Any], *args: Any) -> Any:
    """What a way gives, or why it gives nothing."""
    try:
        return way(*args)
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _traced(f: Any, *args: Any) -> int:
    import jax

    jax.config.update("jax_enable_x64", True)
    return equations(jax.make_jaxpr(f)(*args).jaxpr)
