"""Simplification, run when a function is compiled with `optimize=True`: every set of rules that makes less work."""

from __future__ import annotations

from .arithmetic import ARITHMETIC
from .canonical import CANONICALIZE
from .choices import CHOICES
from .deviations import DEVIATIONS
from .factors import FACTORS
from .identity import IDENTITY, Values
from .linear import LINEAR
from .masks import MASKS
from .matrices import MATRICES
from .movement import MOVEMENT
from .pattern import RuleSet
from .terms import TERMS

SIMPLIFY = (
    CANONICALIZE
    + RuleSet(*IDENTITY, values=Values.of)
    + CHOICES
    + MASKS
    + ARITHMETIC
    + MOVEMENT
    + LINEAR
    + MATRICES
    + DEVIATIONS
    + RuleSet(*FACTORS, *TERMS)
)

__all__ = ["CANONICALIZE", "SIMPLIFY"]
