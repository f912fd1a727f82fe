"""From which line on a generated function writes parameters: an interrupt must not come between two such statements.

The answer may be a line too early, never one too late: whatever hands a parameter to a function of the module counts.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

WRITERS = frozenset(
    ["copyto", "put", "place", "putmask", "put_along_axis", "fill_diagonal", "at", "fill", "sort", "partition"]
)
"""NumPy's functions and methods that write into their first argument or their array."""


def first_write(text: str, name: str, updated: Collection[str]) -> tuple[int, bool] | None:
    """The line, counted from its `def`, from which the function `name` writes the parameters `updated`; None if it does not.

    And whether they are all written at a stroke: by one statement that NumPy runs whole, or by assignments without calls.

    >>> text = "def f(g):\\n    t = 2 * g\\n    np.add(W, t, out=W)\\n    b[...] = np.sum(t)"
    >>> first_write(text, "f", ["W", "b"])
    (2, False)
    >>> first_write(text, "f", ["W"])
    (2, True)
    """
    functions = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}
    main = functions[name]
    held = set(updated)
    statements: list[tuple[ast.stmt, ast.stmt | None]] = []
    found: list[int] = []
    for statement, loop in _simple(main.body):
        if _stores(statement, held) or _calls_write(statement, held, functions, frozenset([name])):
            found.append(len(statements))
        elif isinstance(statement, ast.Assign) and _may_be_view(statement.value) and _mentions(statement.value, held):
            held |= {n.id for target in statement.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        statements.append((statement, loop))
    if not found:
        return None
    (first, loop), *rest = statements[found[0] : found[-1] + 1]
    whole = loop is None and not any(again or _calls(s) for s, again in rest)
    if whole and _calls_write(first, held, functions, frozenset([name])):
        whole = not rest and not any(_is_own(c, functions) for c in _calls(first))
    return (loop or first).lineno - main.lineno, whole


def _simple(body: list[ast.stmt], loop: ast.stmt | None = None) -> Iterator[tuple[ast.stmt, ast.stmt | None]]:
    """The statements that hold no others, in order, and the outermost loop that repeats them."""
    for statement in body:
        blocks = [getattr(statement, field, []) for field in ("body", "orelse", "finalbody")]
        blocks += [handler.body for handler in getattr(statement, "handlers", [])]
        if any(blocks):
            repeats = isinstance(statement, ast.For | ast.While)
            for block in blocks:
                yield from _simple(block, loop or (statement if repeats else None))
        else:
            yield statement, loop


def _stores(statement: ast.stmt, held: Collection[str]) -> bool:
    """Whether the statement assigns into one of the arrays `held`, after all that it calls."""
    if isinstance(statement, ast.AugAssign):
        return _mentions(statement.target, held)
    return isinstance(statement, ast.Assign) and any(
        _mentions(t, held) for t in statement.targets if not isinstance(t, ast.Name)
    )


def _calls_write(
    node: ast.AST, held: Collection[str], functions: dict[str, ast.FunctionDef], seen: frozenset[str]
) -> bool:
    """Whether a call in `node` may write one of the arrays `held`."""
    for call in _calls(node):
        if any(k.arg == "out" and _mentions(k.value, held) for k in call.keywords):
            return True
        if any((k.arg or "").startswith("overwrite_") for k in call.keywords) and _mentions(call, held):
            return True
        if isinstance(call.func, ast.Attribute) and call.func.attr in WRITERS:
            if any(_mentions(x, held) for x in [call.func.value, *call.args[:1]]):
                return True
        if _is_own(call, functions):
            if _mentions(call, held):
                return True
            names = {x.id for x in ast.walk(call) if isinstance(x, ast.Name)} & functions.keys() - seen
            bodies = [s for f in names for s in functions[f].body]
            if any(_stores(s, held) for s, _ in _simple(bodies)):
                return True
            if any(_calls_write(s, held, functions, seen | names) for s in bodies):
                return True
    return False


def _calls(node: ast.AST) -> list[ast.Call]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Call)]


def _is_own(call: ast.Call, functions: dict[str, ast.FunctionDef]) -> bool:
    """Whether Python code is called: a function of the module."""
    return isinstance(call.func, ast.Name) and call.func.id in functions


def _mentions(node: ast.AST, names: Collection[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(node))


def _may_be_view(node: ast.expr) -> bool:
    """Whether the value may share memory with what it is made from."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in (
            "reshape", "transpose", "swapaxes", "moveaxis", "ravel", "squeeze", "view", "diagonal", "broadcast_to",
            "expand_dims", "flip", "asarray",
        )  # fmt: skip
    return isinstance(node, ast.Name | ast.Subscript | ast.Attribute)
