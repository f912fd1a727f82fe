"""What values are called, in source, text and formulas, and the nesting in which they are returned."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from .core import Constant, Leaf, Symbol, Tensor, toposort
from .provenance import adjoint_of, name_of
from .pytree import Compound, flatten, paths
from .rewrite import Mapping as NodeMap


def source_names(given: list[Tensor], mapping: NodeMap, results: list[Any], outputs: Any) -> dict[Tensor, str]:
    """What the nodes to be emitted are called: the user's names, `grad_W` for adjoints, the keys of the outputs."""
    names: dict[Tensor, str] = {}
    for old, new in mapping.items():
        name = name_of(old) if old.leafy else None
        if isinstance(old.op, Constant):
            name = name_of(old)
        if name and not isinstance(new.op, Leaf) and new not in names:
            names[new] = name
    for old, new in mapping.items():
        if new in names or isinstance(new.op, Leaf | Constant):
            continue
        forward = [f for f in adjoint_of(old) if name_of(f) and (old.leafy or f in mapping)]  # constants are everyone's
        if forward:
            names[new] = f"grad_{name_of(forward[0])}"
    for result, path in zip(results, paths(outputs), strict=True):
        key = path.rpartition("[")[2].rstrip("]")
        if isinstance(result, Tensor) and key[:1] in "'\"" and key:
            names.setdefault(mapping.get(result, result), key[1:-1])
    return names


def name_steps(names: dict[Tensor, str], multiples: NodeMap) -> None:
    """Call `step_W` a multiple of the gradient of W that is computed in its place: a learning rate times `grad_W`."""
    for old, new in multiples.items():
        forward = [name for f in adjoint_of(old) if old.leafy and (name := name_of(f))]
        if forward and not isinstance(new.op, Leaf | Constant):
            names.setdefault(new, f"step_{forward[0]}")


def symbols_by_name(roots: list[Tensor]) -> dict[str, Tensor]:
    """All symbols of the roots, by labels that differ: of symbols with one label, the later ones are numbered."""
    found: dict[str, Tensor] = {}
    for node in toposort(roots):
        if isinstance(node.op, Symbol):
            label, numbers = node.op.label, itertools.count(2)
            while label in found:
                label = f"{node.op.label}_{next(numbers)}"
            found[label] = node
    return found


def positions(outputs: Any) -> Any:
    """The nesting of the outputs with the position of each leaf in its place; other keys than text are left to `restorer`."""
    leaves, restore = flatten(outputs)
    if restorer(outputs) is not None:
        return tuple(range(len(leaves)))
    return restore(range(len(leaves)))


def restorer(outputs: Any) -> Callable[[Any], Any] | None:
    """For a nesting that source text cannot spell (named tuples, keys that are objects): what rebuilds it."""
    if _plain(outputs):
        return None
    return _Restore(_template(outputs))


class _Restore:
    """Rebuilds a nesting around a flat tuple; it pickles with the keys it holds."""

    def __init__(self, template: Any) -> None:
        self.template = template

    def __call__(self, values: Any) -> Any:
        return flatten(self.template)[1](values)


def _template(tree: Any) -> Any:
    leaves, restore = flatten(tree)
    return restore([0] * len(leaves))


def _plain(tree: Any) -> bool:
    if isinstance(tree, dict):
        return all(type(k) in (str, int) for k in tree) and all(map(_plain, tree.values()))
    if isinstance(tree, list | tuple):
        return type(tree) in (list, tuple) and all(map(_plain, tree))
    return not isinstance(tree, Compound)


def output_label(root: Tensor, path: str, otherwise: str) -> str:
    """What an output is called: its key, its own name, that of what it is the gradient of, or `otherwise`."""
    key = path.rpartition("[")[2].rstrip("]")
    if key[:1] in ("'", '"'):
        return key[1:-1]
    if not isinstance(root.op, Leaf) and name_of(root):
        return str(name_of(root))
    return gradient_name(root) or otherwise


def output_labels(roots: Sequence[Tensor], outputs: Any, stem: str) -> list[str]:
    """What the outputs are called; gradients whose keys are the names of their variables are `grad_W`, not a second W."""
    found = [output_label(r, p, f"{stem}{i + 1}") for i, (r, p) in enumerate(zip(roots, paths(outputs), strict=True))]
    leaves = {node.op.label: node for node in toposort(roots) if isinstance(node.op, Leaf)}
    again = [label in leaves and leaves[label] is not r for label, r in zip(found, roots, strict=True)]
    if not any(
        a and any(name_of(f) == label for f in adjoint_of(r)) for a, label, r in zip(again, found, roots, strict=True)
    ):
        return found
    return [f"grad_{label}" if a else label for a, label in zip(again, found, strict=True)]


def gradient_name(node: Tensor) -> str | None:
    """`grad_W` for an adjoint of what the user called W."""
    if isinstance(node.op, Leaf | Constant) or not node.leafy:  # what depends on no leaf is shared by all models
        return None
    return next((f"grad_{name_of(f)}" for f in adjoint_of(node) if name_of(f)), None)
