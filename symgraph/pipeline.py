"""From the graph as it was written to the graph that is emitted: which passes run, in which order."""

from __future__ import annotations

from collections.abc import Mapping

from .core import Tensor, toposort
from .expected import expecting
from .hazards import is_harmless
from .ops.base import Primitive
from .ops.elementwise import MaskedMultiply, Where
from .ops.shape import Transpose
from .rewrite import SIMPLIFY, STABILIZE, RuleSet, rewrite
from .rewrite import Mapping as NodeMap
from .rewrite.contractions import plan_contractions
from .rewrite.definite import DEFINITE
from .rewrite.engine import Fired, compose
from .rewrite.expand import EXPAND
from .rewrite.factorizations import share_factorizations
from .rewrite.gram import GRAM, SIGNED_GRAM
from .rewrite.layout import ARRANGE
from .rewrite.lower import LOWER
from .rewrite.rates import take_in_factors
from .rewrite.sums import order_sums
from .rewrite.together import do_together

Trail = list[tuple[str, Fired, NodeMap]]
"""For each pass that ran: what it does, the rules that fired, and the successors of the nodes it was given."""


def rewritten(
    given: list[Tensor],
    optimize: bool = True,
    style: str = "fast",
    stacks: bool = True,
    sizes: Mapping[str, int] | None = None,
    trail: Trail | None = None,
) -> tuple[list[Tensor], NodeMap, frozenset[str], NodeMap]:
    """The graph ready for emission, the successor of every node as written, and the warnings that are harmless.

    Without `stacks`, values that are needed one after the other are not kept together, which takes less memory. Products
    are planned for symbolic dimensions as in `sizes`.
    The fourth result has the nodes of which only a multiple is computed, such as gradients times a learning rate, and these
    multiples. Where a `trail` is given, each pass adds to it what it did.
    """
    passes: list[RuleSet] = [STABILIZE + SIMPLIFY, GRAM + DEFINITE, LOWER, SIMPLIFY] if optimize else [STABILIZE, LOWER]
    if optimize and style == "fast":
        passes[1:] = [GRAM + SIGNED_GRAM + DEFINITE, LOWER, EXPAND, SIMPLIFY]
    quiet: set[str] = set()
    whole: list[Tensor] = []
    nodes, mapping = list(given), {node: node for node in toposort(given)}
    multiples: NodeMap = {}
    for rules in passes:
        if rules is LOWER:
            quiet = _harmless_warnings(nodes)
            whole = nodes
        elif rules is SIMPLIFY and all(a is b for a, b in zip(whole, nodes, strict=True)):
            continue  # nothing was lowered
        fired: Fired | None = None if trail is None else []
        nodes, step = rewrite(nodes, rules, fired=fired)
        mapping = _followed(mapping, "rewritten", step, fired, trail)
    if optimize:
        if any(isinstance(node.op, Transpose) and node.ndim > 2 for node in toposort(nodes)):
            fired = None if trail is None else []
            nodes, step = rewrite(nodes, ARRANGE, fired=fired)
            mapping = _followed(mapping, "axes arranged", step, fired, trail)
        if style == "fast":
            nodes, step, scaled = take_in_factors(nodes)
            if scaled:
                multiples = {old: scaled[new] for old, new in mapping.items() if new in scaled}
                mapping = _followed(mapping, "factor taken in", step, [], trail)
                fired = None if trail is None else []
                nodes, step = rewrite(nodes, SIMPLIFY, fired=fired)
                mapping, multiples = _followed(mapping, "rewritten", step, fired, trail), compose(multiples, step)
        with expecting(sizes):
            nodes, step = plan_contractions(nodes)
        mapping, multiples = _followed(mapping, "contraction planned", step, [], trail), compose(multiples, step)
        nodes, step = share_factorizations(nodes, style == "fast")
        mapping, multiples = _followed(mapping, "factorization shared", step, [], trail), compose(multiples, step)
        if style == "fast":
            if stacks:
                with expecting(sizes):
                    nodes, step = do_together(nodes)
                mapping, multiples = _followed(mapping, "done together", step, [], trail), compose(multiples, step)
            nodes, step = order_sums(nodes)
            mapping, multiples = _followed(mapping, "terms ordered", step, [], trail), compose(multiples, step)
    return nodes, mapping, frozenset(quiet), multiples


def _followed(mapping: NodeMap, what: str, step: NodeMap, fired: Fired | None, trail: Trail | None) -> NodeMap:
    """`mapping` and then `step`, which is noted in the trail."""
    if trail is not None:
        trail.append((what, fired or [], step))
    return compose(mapping, step)


def _harmless_warnings(outputs: list[Tensor]) -> set[str]:
    """The warnings raised only where a result is not used: under an untaken branch, or by a formula that expects them."""
    quiet: set[str] = set()
    chosen: set[Tensor] = set()
    for node in reversed(toposort(outputs)):
        op = node.op
        if isinstance(op, Primitive) and op.quiet:
            quiet.add(op.quiet)
        for field in op.bodies:
            quiet |= _harmless_warnings(list(getattr(op, field).outputs))
        if isinstance(op, Where | MaskedMultiply):
            chosen.update(node.inputs[1:])
        if node in chosen:
            chosen.update(node.inputs)
            if isinstance(op, Primitive) and op.hazard and not is_harmless(node):
                quiet |= {"divide", "invalid"}
            if getattr(op, "name", "") in ("exp", "power", "expm1", "exp2", "sinh", "cosh", "square"):
                quiet |= {"over", "invalid"}
    return quiet
