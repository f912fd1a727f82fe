import concurrent.futures
import contextvars
import os

import numpy as np


def train(x, y):
    """x (samples, 784) float64, y (samples,) float64 -> (samples,) bool, float64.

    Updates w, b.
    """
    samples = x.shape[0]
    with np.errstate(over="ignore"), workspace(samples) as (t6, t7, p_1, xent, t9, t10, t11, grad_w):
        np.dot(w, x.T, out=t6)
        t8 = np.empty((samples,), bool)
        t3, t4 = blockwise(
            train_block1, samples, 16384, (t6, y, t8, t10), (t7, p_1, xent, t9), (samples,),
            (np.add, np.add),
        )
        cost = t3 / samples + 0.01 * (w @ w)
        np.dot(x.T, t10, out=t11)
        np.multiply(0.02, w, out=grad_w)
        grad_w -= t11
        grad_w *= 0.1
        t5 = b + 0.1 * (t4 / samples)
        np.subtract(w, grad_w, out=w)
        b[...] = t5
        return [t8, cost]


def train_block1(t6, y, t8, t10, t7, p_1, xent, t9, samples):
    np.negative(t6, out=t7)
    t7 -= b
    np.exp(t7, out=p_1)
    p_1 += 1
    np.divide(1, p_1, out=p_1)
    np.greater(p_1, 0.5, out=t8)
    np.logaddexp(t7, 0, out=xent)
    xent *= y
    np.negative(t7, out=t7)
    np.logaddexp(t7, 0, out=t7)
    np.subtract(1, y, out=t9)
    t7 *= t9
    xent += t7
    t1 = np.add.reduce(xent)
    np.subtract(y, p_1, out=p_1)
    np.divide(p_1, samples, out=t10)
    t2 = np.add.reduce(p_1)
    return t1, t2


def train_buffers(samples):
    """The shape, dtype, first and last step of each buffer."""
    return [
        ((samples,), np.float64, 3, 9),  # t6
        ((*blocks(samples, 16384),), np.float64, 9, 9),  # t7
        ((*blocks(samples, 16384),), np.float64, 9, 9),  # p_1
        ((*blocks(samples, 16384),), np.float64, 9, 9),  # xent
        ((*blocks(samples, 16384),), np.float64, 9, 9),  # t9
        ((samples,), np.float64, 9, 16),  # t10
        ((784,), np.float64, 16, 18),  # t11
        ((784,), np.float64, 17, 24),  # grad_w
    ]


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
        for task in tasks:
            task.cancel()
        concurrent.futures.wait(tasks)
    finally:
        if not all(task.done() for task in tasks):
            finish(left, tasks)


process = {}
"""What all functions of one process share: the pool of threads, and the size of the cache."""


def pool():
    """The threads of this process; a forked child makes its own."""
    key = os.getpid(), THREADS
    if key not in process:
        process.setdefault(key, concurrent.futures.ThreadPoolExecutor(THREADS - 1))
    return process[key]


def cache():
    """The bytes of cache that a block should stay in: as SYMGRAPH_CACHE_BYTES says, else the second level of this machine."""
    if "cache" not in process:
        size = os.environ.get("SYMGRAPH_CACHE_BYTES", "")
        try:
            if not size:
                with open("/sys/devices/system/cpu/cpu0/cache/index2/size") as file:
                    size = min(max(1024 * int(file.read().strip().rstrip("K")), 1 << 18), 1 << 22)
        except (OSError, ValueError):
            size = 1 << 20
        process["cache"] = int(size)
    return process["cache"]


class Workspaces:
    """Buffers for the values between the steps: a set for each choice of sizes and each call in progress."""

    def __init__(self, plan, kept=16):
        self.plan, self.kept, self.free = plan, kept, {}

    def __call__(self, *sizes):
        try:
            return self.free[sizes].pop()
        except (KeyError, IndexError):
            while len(self.free) >= self.kept:
                self.free.pop(next(iter(self.free)), None)
            return Workspace(self.plan(*sizes), self.free.setdefault(sizes, []))


class Workspace:
    """The buffers of one call, placed in one block of memory: those in use at the same step never overlap."""

    def __init__(self, plan, free):
        self.free, placed, end = free, [], 0
        sizes = [-(-np.dtype(dtype).itemsize * int(np.prod(shape)) // 64) * 64 for shape, dtype, _, _ in plan]
        offsets = [0] * len(plan)
        for i in sorted(range(len(plan)), key=lambda i: -sizes[i]):
            first, last = plan[i][2:]
            taken = [j for j in placed if plan[j][2] <= last and first <= plan[j][3]]
            for start, stop in sorted((offsets[j], offsets[j] + sizes[j]) for j in taken):
                if offsets[i] + sizes[i] <= start:
                    break
                offsets[i] = max(offsets[i], stop)
            placed.append(i)
            end = max(end, offsets[i] + sizes[i])
        memory = np.empty(end + 64, np.uint8)
        start = -memory.ctypes.data % 64
        self.nbytes = end
        self.buffers = [np.ndarray(shape, dtype, memory, start + at) for (shape, dtype, _, _), at in zip(plan, offsets)]

    def __enter__(self):
        return self.buffers

    def __exit__(self, *error):
        self.free.append(self)


workspace = Workspaces(train_buffers)
