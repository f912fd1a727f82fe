"""Formulas: graphs in mathematical notation, as LaTeX."""

from __future__ import annotations

from .formula import latex, lines, notebook

__all__ = ["latex", "lines", "notebook"]
