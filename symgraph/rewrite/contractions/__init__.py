"""Contraction planning: every region of the graph that is one contraction is written anew, two operands at a time.

    (A @ B) @ v         ->  A @ (B @ v)                 the cheapest order of the products
    sum(x * y)          ->  dot of x and y              no array of products
    sum(x @ W, axis=0)  ->  sum(x, axis=0) @ W          sums before products
    (-(2 * E)) @ V      ->  -2 * (E @ V)                multiples of the smallest of the values
    (U.T @ E).T         ->  E.T @ U                     no transposed results
    diag(d) @ A         ->  d[:, None] * A              identity matrices and ones are no arrays

The pass runs when differentiation and simplification are done. A region is rewritten where that costs less, by the estimate
of `contraction_order`; products that exist already, of the forward pass for example, cost nothing, and those that several
regions would use are shared among them. All of it is rounding: equal in real arithmetic.
"""

from __future__ import annotations

from .plan import plan_contractions as plan_contractions

__all__ = ["plan_contractions"]
