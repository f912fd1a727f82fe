"""The back end of symgraph: from a graph to NumPy source, and from source to something that can be called.

    Program -> schedule -> lines of source -> module text -> Function

Data moves one way. This package knows the nodes and the ops of `symgraph`; it knows nothing of differentiation or
rewriting.
"""

from __future__ import annotations

import symgraph as symgraph  # either package may be imported first

from .program import Program
from .source import Source, emit

__all__ = ["Program", "Source", "emit"]
