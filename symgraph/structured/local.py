"""The derivatives of single ops in their structure: found once over symbols, and put in place at every node that is alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..autodiff import jvp
from ..core import Constant, Item, Symbol, Tensor, make, make_fresh, substitute_all
from ..dtypes import is_inexact
from ..ops.base import Linear, Mask, Multilinear, Primitive
from .linear import structure_of
from .term import Factor, NotStructuredError, Terms

Cotangents = dict[Tensor, tuple[Any, Mask]]


@dataclass(frozen=True, eq=False)
class Bend:
    """cotangent * d2 op / d row d column, for one pair of operands of a node."""

    row: Tensor
    column: Tensor
    terms: Terms


class Models:
    """The derivatives of the ops of one graph; `cotangents` has the nodes through which its output depends on a variable."""

    def __init__(self, cotangents: Cotangents) -> None:
        self.cotangents = cotangents
        self.known: dict[Any, _Model] = {}

    def bends(self, node: Tensor) -> list[Bend]:
        """The second derivatives of a node that are not zero."""
        if isinstance(node.op, Linear | Item):
            return []
        active = self._active(node)
        if not active or (isinstance(node.op, Multilinear) and len(active) < 2):
            return []
        return self._model(node, active).bends(node, self._held(node))

    def jacobians(self, node: Tensor) -> list[tuple[Tensor, Terms]]:
        """The operands on which a node depends, with its first derivative; an operand twice where it occurs twice."""
        active = self._active(node)
        return self._model(node, active).jacobians(node) if active else []

    def _active(self, node: Tensor) -> tuple[int, ...]:
        return tuple(i for i, z in enumerate(node.inputs) if z in self.cotangents)

    def _held(self, node: Tensor) -> list[Tensor | None]:
        """The cotangents of the outputs and the mask."""
        ct, mask = self.cotangents[node]
        return [*(ct if isinstance(ct, tuple) else (ct,)), mask]

    def _model(self, node: Tensor, active: tuple[int, ...]) -> _Model:
        fixed = tuple(z if isinstance(z.op, Constant) else z.aval for z in node.inputs)
        held = self._held(node)
        key = node.op, fixed, active, tuple(None if v is None else v.aval for v in held)
        model = self.known.get(key)
        if model is None:
            model = self.known[key] = _Model(node, active, held)
        return model


class _Model:
    """An op over symbols, which stand for the operands, the cotangents and the mask of a node."""

    def __init__(self, node: Tensor, active: Sequence[int], held: Sequence[Tensor | None]) -> None:
        if not isinstance(node.op, Primitive):
            raise NotStructuredError(node.op.name)
        self.active = active
        self.inputs = [z if isinstance(z.op, Constant) else make_fresh(Symbol("x", z.aval)) for z in node.inputs]
        self.held = [None if v is None else make_fresh(Symbol("held", v.aval)) for v in held]
        self.y = make(node.op, *self.inputs)  # whose operands may stand in another order
        self.index = {s: i for i, s in enumerate(self.inputs)}

    @cached_property
    def first(self) -> list[tuple[int, Terms]]:
        if isinstance(self.y.aval, tuple):
            raise NotStructuredError(self.y.op.name)
        found = []
        for j in self.active:
            notes: list[str] = []
            seed = make_fresh(Symbol("t", self.inputs[j].aval))
            (terms,) = structure_of([jvp(self.y, self.inputs[j], seed)], seed, notes)
            if notes:
                raise NotStructuredError(f"no rule for {notes[0]}")
            found.append((j, terms))
        return found

    @cached_property
    def second(self) -> list[tuple[int, int, Terms]]:
        op = self.y.op
        assert isinstance(op, Primitive)
        *cts, mask = self.held
        wanted = [self.index[s] in self.active for s in self.y.inputs]
        ct = tuple(cts) if isinstance(self.y.aval, tuple) else cts[0]
        pulled = op.pullback(ct, mask, self.y, self.y.inputs, wanted)
        rows = [(self.index[s], p[0]) for s, p in zip(self.y.inputs, pulled, strict=True) if p is not None]
        found = []
        for j in self.active:
            if not is_inexact(self.inputs[j].dtype):
                continue
            seed = make_fresh(Symbol("t", self.inputs[j].aval))
            blocks = structure_of(jvp([value for _, value in rows], self.inputs[j], seed), seed)
            found += [(i, j, terms) for (i, _), terms in zip(rows, blocks, strict=True) if terms]
        return found

    def bends(self, node: Tensor, held: Sequence[Tensor | None]) -> list[Bend]:
        """The second derivatives at a node."""
        places = self._places(node, held)
        return [Bend(node.inputs[i], node.inputs[j], _placed(terms, places)) for i, j, terms in self.second]

    def jacobians(self, node: Tensor) -> list[tuple[Tensor, Terms]]:
        """The first derivatives at a node."""
        places = self._places(node, ())
        return [(node.inputs[j], _placed(terms, places)) for j, terms in self.first]

    def _places(self, node: Tensor, held: Sequence[Tensor | None]) -> dict[Tensor, Tensor]:
        places = {s: z for s, z in zip(self.inputs, node.inputs, strict=True) if s is not z}
        places |= {s: v for s, v in zip(self.held, held, strict=False) if s is not None and v is not None}
        return places


def _placed(terms: Terms, places: dict[Tensor, Tensor]) -> Terms:
    return [replace(t, factors=_replaced(t.factors, places)) for t in terms]


def _replaced(factors: Sequence[Factor], places: dict[Tensor, Tensor]) -> tuple[Factor, ...]:
    values = substitute_all([x for x, _ in factors], places)
    return tuple((x, labels) for x, (_, labels) in zip(values, factors, strict=True))
