"""A loop over blocks of rows, on several threads where that pays.

The text of this module, without this paragraph, stands in each generated module that needs it: it runs on NumPy alone.
"""

import _thread
import contextvars
import os
import queue

from .cache import cache

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

    share(work, left, threads)
    return [join.reduce(part) for join, part in zip(joins, zip(*parts))] if joins else None


def share(work, left, threads):
    """Let several threads work until nothing is left, which an error or interrupt of any of them brings about."""
    begun, ended, errors, bell = [], [], [], queue.SimpleQueue()

    def help(thread):
        begun.append(thread)
        try:
            work(thread)
        except BaseException as error:  # noqa: BLE001, RUF100  # the calling thread raises it
            errors.append(error)
            left.clear()
        ended.append(thread)
        bell.put(thread)

    try:
        for thread in range(1, threads):
            helpers().put((contextvars.copy_context().run, help, thread))
        work(0)
    finally:
        finish(left, begun, ended, bell)
    if errors:
        raise errors[0]


def finish(left, begun, ended, bell):
    """Wait, through any interrupt, for those that have begun; who comes later finds nothing left."""
    try:
        left.clear()
        while len(ended) < len(begun):
            bell.get()
    finally:
        if len(ended) < len(begun):
            finish(left, begun, ended, bell)


process = {}
"""The helpers of this process."""


def helpers():
    """The queue that the other threads of this process take their work from; a forked child has its own."""
    key = os.getpid(), THREADS
    if key not in process:
        mine = queue.SimpleQueue()
        try:
            for _ in range(THREADS - 1):
                _thread.start_new_thread(serve, (mine,))
        except RuntimeError:
            pass  # the system has no more threads, or the interpreter is going down: those there are do the work
        if process.setdefault(key, mine) is not mine:
            for _ in range(THREADS - 1):
                mine.put(None)
    return process[key]


def serve(tasks):
    """The life of a thread that helps: it holds no lock that an interrupt of another thread could leave behind."""
    for run, *arguments in iter(tasks.get, None):
        run(*arguments)
        del run, arguments  # they hold arrays
