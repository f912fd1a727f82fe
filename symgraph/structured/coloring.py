"""Sparse derivatives by compression: columns that share no row are computed together, in one product.

For a Jacobian J and a matrix of seeds S, one for each colour, J @ S has every value of J in a place of its own if columns of
one colour share no row (Curtis, Powell and Reid 1974; Coleman and Moré 1983). Rows may be coloured instead, for the product
S.T @ J. In a Hessian a value can be read in either of its two places, and a *star colouring* of the graph is enough:
neighbours differ, and a path of four vertices has at least three colours (Coleman and Moré 1984; Gebremedhin, Manne and
Pothen, *What color is your Jacobian?*, SIAM Review 2005).

Colours and places are found when the graph is built. The compiled function computes all products at once, as a batch, and
takes the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..autodiff import jvp, vjp
from ..batching import batched
from ..core import Symbol, Tensor, building, constant, located_error, make, make_fresh
from ..dtypes import is_complex
from ..errors import ShapeError
from ..ops.assembly import Of
from ..ops.base import cast
from ..ops.late import F
from .choose import work
from .patterns import Pattern, size_of, sizes_of
from .sparse import CSR, MOST_VALUES
from .sparsity import hessian_patterns, jacobian_patterns
from .tensor import Structured

Numbers = np.ndarray[Any, Any]
FAR_MORE = 32
"""Terms with so many times the values of the pattern are dense where they need not be, and not worth an estimate."""


def best_csr(structured: Structured, y: Tensor, x: Tensor, *, symmetric: bool = False) -> CSR:
    """dy/dx as a sparse matrix, from the terms of `structured` or by compression, whichever is estimated to take less.

    `structured` is the Jacobian of y, or with `symmetric` the Hessian of which y is the gradient. Terms are taken where
    they are as sparse as the pattern; one that an op made dense is compared with the compressed products.
    """
    pattern = _pattern(y, x, symmetric)
    count = sum(math.prod(int(t.sizes[k]) for k in t.outer) for t in structured.terms)
    least = min(_most(pattern), _most(pattern.T.tocsr())) * max(pattern.shape)
    if count <= max(2 * pattern.nnz, least):
        return structured.csr()
    compressed = compressed_csr(y, x, symmetric=symmetric, pattern=pattern)
    if count > FAR_MORE * pattern.nnz:
        return compressed
    from_terms = structured.csr()
    return from_terms if work([from_terms.data]) <= work([compressed.data]) else compressed


@building()
def compressed_csr(y: Tensor, x: Tensor, *, symmetric: bool = False, pattern: Pattern | None = None) -> CSR:
    """dy/dx, of shape (size of y, size of x), by products with one seed for each colour of its columns or rows.

    With `symmetric`, y is the gradient of a scalar with respect to x, and the Hessian is coloured as a graph. `pattern`
    is computed if it is not given. Raises `ShapeError` where sizes are not known, or the products would be too large.

    >>> from symgraph import evaluate, symbol
    >>> from symgraph.structured.coloring import compressed_csr
    >>> x = symbol("x", (4,))
    >>> J = compressed_csr(x[1:] * x[:-1], x)
    >>> evaluate(J, {x: [1.0, 2.0, 3.0, 4.0]}).toarray()
    array([[2., 1., 0., 0.],
           [0., 3., 2., 0.],
           [0., 0., 4., 3.]])
    """
    if pattern is None:
        pattern = _pattern(y, x, symmetric)
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    columns = pattern.indices
    colors, side = _coloring(pattern, symmetric, is_complex(y.dtype) or is_complex(x.dtype))
    if side == "rows":
        products = _products(y, x, colors, forward=False)
        places = colors[rows].astype(np.int64) * pattern.shape[1] + columns
    else:
        products = _products(y, x, colors, forward=True)
        if side == "star":
            rows, columns = star_places(pattern, colors)
        places = colors[columns].astype(np.int64) * pattern.shape[0] + rows
    flat = F.ravel(products)
    if not np.array_equal(places, np.arange(size_of(flat))):
        flat = F.take(flat, constant(places)) if len(places) else flat[:0]
    return CSR(make(Of(), cast(flat, products.dtype), y), pattern.indices, pattern.indptr, pattern.shape)


def _pattern(y: Tensor, x: Tensor, symmetric: bool) -> Pattern:
    if symmetric:
        return hessian_patterns([y], [x])[0][0]
    return jacobian_patterns([y], x)[0]


def _most(pattern: Pattern) -> int:
    """The length of the longest row: no fewer colours can do for the columns."""
    return int(np.diff(pattern.indptr).max(initial=0))


def _coloring(pattern: Pattern, symmetric: bool, only_rows: bool) -> tuple[Numbers, str]:
    """The colouring with the fewest colours, and of what it is: columns, rows, or star."""
    turned = pattern.T.tocsr()
    if only_rows:
        return column_colors(turned), "rows"
    if symmetric:
        columns, star = column_colors(pattern), star_colors(pattern)
        return (star, "star") if _count(star) < _count(columns) else (columns, "columns")
    sides = {"columns": pattern, "rows": turned}
    first, second = sorted(sides, key=lambda side: _most(sides[side]))
    found = column_colors(sides[first])
    if _most(sides[second]) < _count(found):
        other = column_colors(sides[second])
        if _count(other) < _count(found):
            return other, second
    return found, first


def _count(colors: Numbers) -> int:
    return int(colors.max(initial=-1)) + 1


def _products(y: Tensor, x: Tensor, colors: Numbers, forward: bool) -> Tensor:
    """The tangents of y along each colour of x, or the cotangents of x for each colour of y."""
    given, other = (x, y) if forward else (y, x)
    count = _count(colors)
    if count * max(size_of(x), size_of(y)) > MOST_VALUES:
        rule = f"{count} colours make products of {count * size_of(other):.2e} values; use matvec, which needs none of them"
        raise located_error(ShapeError, "compressed_csr", [y, x], rule)
    seed = make_fresh(Symbol("t" if forward else "ct", given.aval))
    product = jvp(y, x, seed) if forward else vjp(y, x, seed, "zero")
    seeds = (np.arange(count)[:, None] == colors).astype(given.dtype).reshape(count, *sizes_of(given))
    ((rows, axis),) = batched([product], {seed: (constant(seeds), 0)})
    if axis is None:
        return F.broadcast_to(rows, (count, *other.shape))
    return F.moveaxis(rows, axis, 0)


# Colours -------------------------------------------------------------------------------------------------------------


def column_colors(pattern: Pattern) -> Numbers:
    """A colour for each column such that columns of one colour share no row: greedy, in two orders, the better one.

    The orders are those of decreasing numbers of neighbours (largest first; Welsh and Powell 1967) and of the columns
    themselves, which is best for bands.
    """
    columns = pattern.T.tocsr()
    lengths = np.diff(pattern.indptr)
    degrees = columns.astype(np.int64) @ (lengths - 1)
    least = int(lengths.max(initial=0))
    natural = _greedy(columns, range(columns.shape[0]), pattern.shape[0])
    if _count(natural) <= max(least, 1):
        return natural
    largest = _greedy(columns, np.argsort(-degrees, kind="stable").tolist(), pattern.shape[0])
    return largest if _count(largest) < _count(natural) else natural


def _greedy(columns: Pattern, order: Iterable[int], rows: int) -> Numbers:
    """The first colour that no row of the column has yet; the colours of a row are the bits of a number."""
    taken = [0] * rows
    starts, indices = columns.indptr.tolist(), columns.indices.tolist()
    colors = np.zeros(columns.shape[0], np.int64)
    for column in order:
        mine = indices[starts[column] : starts[column + 1]]
        used = 0
        for row in mine:
            used |= taken[row]
        free = ~used & (used + 1)
        for row in mine:
            taken[row] |= free
        colors[column] = free.bit_length() - 1
    return colors


def star_colors(pattern: Pattern) -> Numbers:
    """A star colouring of the graph of a symmetric pattern: neighbours differ, and so do some two of any path of four
    vertices at a distance of two.

    Greedy, largest first, with the stars of two colours kept at hand: Gebremedhin, Tarafdar, Manne and Pothen, *New
    acyclic and star coloring algorithms with application to computing Hessians*, SIAM J. Sci. Comput. 29 (2007),
    algorithm 4.1. Linear in the sum over vertices of the number of neighbours of neighbours.
    """
    graph = _Graph(pattern)
    degrees = np.array([len(others) for others in graph.neighbours], np.int64)
    for v in np.argsort(-degrees, kind="stable").tolist():
        graph.color(v)
    return np.array(graph.colors, np.int64)


class _Graph:
    """A graph that is being coloured; -1 for a vertex that is not yet, and for a star that has no hub yet."""

    def __init__(self, pattern: Pattern) -> None:
        n = pattern.shape[0]
        starts, indices = pattern.indptr.tolist(), pattern.indices.tolist()
        self.neighbours = [[w for w in indices[starts[v] : starts[v + 1]] if w != v] for v in range(n)]
        self.colors = [-1] * n
        self.hubs: list[int] = []  # of each star
        self.stars: dict[tuple[int, int], int] = {}  # the star of each edge

    def star(self, v: int, w: int) -> int:
        return self.stars[(v, w) if v < w else (w, v)]

    def color(self, v: int) -> None:
        colors, neighbours = self.colors, self.neighbours
        near = [w for w in neighbours[v] if colors[w] >= 0]
        forbidden: set[int] = set()
        first: dict[int, int] = {}  # the first neighbour of each colour
        treated: set[int] = set()
        for w in near:
            forbidden.add(colors[w])
            q = first.setdefault(colors[w], w)
            if q != w:  # v between two of one colour: it would be their hub, and they may not have leaves of its colour
                for hub in (q, w):
                    if hub not in treated:
                        treated.add(hub)
                        forbidden.update(colors[x] for x in neighbours[hub] if colors[x] >= 0)
            else:
                for x in neighbours[w]:
                    if x != v and colors[x] >= 0 and self.hubs[self.star(w, x)] == x:
                        forbidden.add(colors[x])
        mine = 0
        while mine in forbidden:
            mine += 1
        colors[v] = mine
        for w in near:
            self._join(v, w, mine, first[colors[w]])

    def _join(self, v: int, w: int, mine: int, q: int) -> None:
        """Put the edge from the new vertex v to w into a star; q is the first neighbour of v with the colour of w."""
        edge = (v, w) if v < w else (w, v)
        for x in self.neighbours[w]:
            if x != v and self.colors[x] == mine:
                self.stars[edge] = star = self.star(w, x)
                self.hubs[star] = w
                return
        if q != w:
            self.stars[edge] = star = self.star(v, q)
            self.hubs[star] = v
            return
        self.stars[edge] = len(self.hubs)
        self.hubs.append(-1)


def star_places(pattern: Pattern, colors: Numbers) -> tuple[Numbers, Numbers]:
    """For each value its row and its column, exchanged where the row has two columns of one colour."""
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    columns = pattern.indices
    keys = rows.astype(np.int64) * max(_count(colors), 1) + colors[columns]
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    alone = counts[inverse] == 1
    return np.where(alone, rows, columns), np.where(alone, columns, rows)
