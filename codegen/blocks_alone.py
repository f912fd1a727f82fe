"""The same loop over blocks of rows for one thread: no pool, no other modules, and the same results bit for bit.

The text of this module, without this paragraph, stands in each generated module that is to use one thread.
"""

from .cache import cache


def blocks(n, rows):
    """One thread, and how many rows a block has: `rows` for a cache of 1 MiB."""
    return 1, min(n, max(1, rows * cache() >> 20))


def blockwise(kernel, n, rows, arrays, scratch, whole=(), joins=()):
    """Run `kernel` on blocks of rows of the arrays; what it returns for each block is joined by the ufuncs `joins`."""
    _, rows = blocks(n, rows)
    if n <= rows:
        return kernel(*arrays, *[t[0] for t in scratch], *whole)
    parts = []
    for start in range(0, n, rows):
        here, m = slice(start, start + rows), min(rows, n - start)
        parts.append(kernel(*[x[here] for x in arrays], *[t[0, :m] for t in scratch], *whole))
    return [join.reduce(part) for join, part in zip(joins, zip(*parts))] if joins else None
