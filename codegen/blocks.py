"""A loop over blocks of rows, on several threads where that pays.

The text of this module, without this paragraph, stands in each generated module that needs it: it runs on NumPy alone.
"""

import collections
import concurrent.futures
import contextvars
import os

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blocks(n, rows):
    """How many threads share the loop over n rows, and how many rows a block has."""
    return THREADS if n >= 4 * rows else 1, min(n, rows)


def blockwise(kernel, n, rows, arrays, scratch, whole=(), joins=()):
    """Run `kernel` on blocks of rows of the arrays; what it returns for each block is joined by the ufuncs `joins`."""
    if n <= rows:
        return kernel(*arrays, *[t[0] for t in scratch], *whole)
    starts = range(0, n, rows)
    parts = [()] * len(starts)
    left = collections.deque(range(len(starts)))

    def work(thread):
        while left:
            try:
                k = left.popleft()
            except IndexError:  # another thread took the last one
                return
            here, m = slice(starts[k], starts[k] + rows), min(rows, n - starts[k])
            parts[k] = kernel(*[x[here] for x in arrays], *[t[thread, :m] for t in scratch], *whole)

    tasks = []
    try:
        for thread in range(1, blocks(n, rows)[0]):
            tasks.append(pool().submit(contextvars.copy_context().run, work, thread))
    except RuntimeError:
        pass  # the interpreter is going down: this thread does it all
    try:
        work(0)
    finally:
        left.clear()  # after an error or interrupt the others stop with their block
        concurrent.futures.wait(tasks)
    for task in tasks:
        task.result()
    return [join.reduce(part) for join, part in zip(joins, zip(*parts))] if joins else None


pools = {}


def pool():
    """The threads of this process; a forked child makes its own."""
    if os.getpid() not in pools:
        pools.clear()
        pools[os.getpid()] = concurrent.futures.ThreadPoolExecutor(THREADS - 1)
    return pools[os.getpid()]
