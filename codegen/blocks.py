"""A loop over blocks of rows, on several threads where that pays.

The text of this module, without this paragraph, stands in each generated module that needs it: it runs on NumPy alone.
"""

import concurrent.futures
import contextvars
import os

from .cache import cache, process

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blocks(n, rows):
    """How many threads share the loop over n rows, and how many rows a block has: `rows` for a cache of 1 MiB."""
    rows = min(n, max(1, rows * cache() >> 20))
    return THREADS if n >= 4 * rows else 1, rows


def blockwise(kernel, n, rows, arrays, scratch, whole=(), joins=()):
    """Run `kernel` on blocks of rows of the arrays; what it returns for each block is joined by the ufuncs `joins`."""
    threads, rows = blocks(n, rows)
    if n <= rows:
        return kernel(*arrays, *[t[0] for t in scratch], *whole)
    parts = [()] * -(-n // rows)
    left = list(reversed(range(len(parts))))

    def work(thread):
        while left:
            try:
                k = left.pop()
            except IndexError:  # another thread took the last one
                return
            here, m = slice(k * rows, k * rows + rows), min(rows, n - k * rows)
            parts[k] = kernel(*[x[here] for x in arrays], *[t[thread, :m] for t in scratch], *whole)

    tasks = []
    try:
        for thread in range(1, threads):
            tasks.append(pool().submit(contextvars.copy_context().run, work, thread))
    except RuntimeError:
        pass  # the interpreter is going down, or the system has no more threads: this one does what is left
    try:
        work(0)
    finally:
        finish(left, tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
    return [join.reduce(part) for join, part in zip(joins, zip(*parts))] if joins else None


def finish(left, tasks):
    """Let the other threads end the block they are at, and wait for them, through any interrupt."""
    try:
        left.clear()
        concurrent.futures.wait([task for task in tasks if not task.cancel()])
    finally:
        if not all(task.done() for task in tasks):
            finish(left, tasks)


def pool():
    """The threads of this process; a forked child makes its own."""
    key = os.getpid(), THREADS
    if key not in process:
        process.setdefault(key, concurrent.futures.ThreadPoolExecutor(THREADS - 1))
    return process[key]
