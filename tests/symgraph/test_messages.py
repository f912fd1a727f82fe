"""What a message tells to write exists: each function that an error names is one of Python, NumPy or symgraph."""

import ast
import builtins
import re
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph import operators, substitutes
from symgraph.numpy_api import PUBLIC

ROOT = Path(sg.__file__).parent
FILES = sorted([*ROOT.rglob("*.py"), *(ROOT.parent / "codegen").rglob("*.py")])

RAISING = {"located_error", "misuse", "Refused"}
ENGLISH = {
    "a", "an", "as", "at", "both", "by", "each", "evaluate", "every", "for", "hand", "in", "is", "it", "its", "kind", "mode", "no",
    "of", "on", "one", "only", "or", "such", "tensors", "that", "the", "them", "to", "together", "two", "with", "x", "your",
}  # fmt: skip
"""Words that may follow "use" and "write"."""
LOCAL = {"defvjp", "defjvp", "compiled", "f", "tate", "item", "fixed_point"}
"""Methods of functions that are made, a function of the user's, a half word, and what the user wrote."""


def strings(node):
    return [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def messages():
    """(place, text) for the parts of messages: in `raise`, in what makes an error, and in the tables of remedies."""
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Raise) or name in RAISING:
                for n in strings(node):
                    yield f"{path.name}:{n.lineno}", n.value
    for table in (substitutes.FACTS, operators._CURES):
        yield from table.items()


def exists(name):
    """Whether a dotted name is a function of symgraph, of NumPy or of Python."""
    head, *rest = name.split(".")
    owner = {"np": np, "sg": sg, "symgraph": sg}.get(head)
    if owner is None:
        owner, rest = (sg, [head, *rest])
        if len(rest) == 1 and hasattr(builtins, head):
            return True
    for part in rest:
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True


METHODS = {
    m for kind in (sg.Tensor, sg.Function, sg.Structured, sg.Dim, np.ndarray, sg.ops.indexing.At) for m in dir(kind)
}


def named(text):
    """The names that a text tells to use, each with whether it is a method."""
    for dot, name in re.findall(r"(\.?)\b([A-Za-z_][\w.]*)\(", text):
        yield name, bool(dot)
    for name in re.findall(r"\b(?:sg|symgraph|linalg|optim|special)\.[a-z][\w.]*\w", text):
        yield name, False
    for name in re.findall(r"\b[uU]se ([a-z_]+)", text):
        if name not in ENGLISH:
            yield name, False


def missing(text):
    return [
        n for n, method in named(text) if not (n in LOCAL or (method and n in METHODS) or exists(n) or _method_of(n))
    ]


def _method_of(name):
    """`x.astype`, `rng.normal`, `Function.export`: a method of something that is there."""
    owner, _, method = name.rpartition(".")
    return bool(owner) and (method in METHODS or hasattr(sg.random.RandomState, method))


def test_the_names_in_messages_exist():
    found = {place: (text, gone) for place, text in messages() if (gone := missing(text))}
    assert not found


def test_a_missing_name_is_found():
    assert missing("is not known; use scan") == ["scan"]
    assert {"symgraph.nothing", "sg.linalg.none"} <= {*missing("write symgraph.nothing(x) or sg.linalg.none(x)")}
    assert not missing("use where(condition, a, b), x.at[i].set(v), np.fft.fft(x) or symgraph.linalg.eigh(x)")


def test_remedies_are_for_what_there_is():
    """The table speaks of functions of NumPy or SciPy, by their names."""
    for name in substitutes.FACTS:
        owner = np
        if name.startswith("scipy."):
            owner, name = pytest.importorskip("scipy.linalg"), name.rpartition(".")[2]
        for part in name.split("."):
            assert hasattr(owner, part), name
            owner = getattr(owner, part)
    assert set(PUBLIC) > {"exp", "linalg.solve", "special.erf"}
