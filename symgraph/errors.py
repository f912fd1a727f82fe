"""The errors symgraph raises, each also an instance of the built-in exception a NumPy user would expect."""

from __future__ import annotations


class SymgraphError(Exception):
    """Base class of every error that symgraph raises on purpose."""

    located = False
    """Whether the message already has the user's line, the operation and its operands."""


class ShapeError(SymgraphError, ValueError):
    """Shapes that do not fit, or a symbolic dimension about which something cannot be decided."""


class DTypeError(SymgraphError, TypeError):
    """dtypes that do not fit, or a cast that could lose values."""


class GradientError(SymgraphError, ValueError):
    """A derivative that does not exist: an integer variable, an unreached variable, a non-scalar output."""


class CompileError(SymgraphError, ValueError):
    """Inputs, outputs or updates from which no function can be made."""
