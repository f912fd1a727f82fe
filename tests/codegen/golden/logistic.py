import collections
import concurrent.futures
import contextvars
import os

import numpy as np


def train(x, y):
    """x (samples, 784) float64, y (samples,) float64 -> (samples,) bool, float64.

    Updates w, b.
    """
    samples = x.shape[0]
    with np.errstate(over="ignore"), workspace(samples) as (
        t7, t8, p_1, xent, t10, t11, t12, t13, grad_w,
    ):
        np.dot(w, x.T, out=t7)
        t9 = np.empty((samples,), bool)
        t3, t4 = blockwise(
            train_block1, samples, 16384, (t7, y, t9, t11), (t8, p_1, xent, t10), (), (np.add,
            np.add),
        )
        np.multiply(w, w, out=t12)
        t5 = np.add.reduce(t12)
        cost = t3 / samples + 0.01 * t5
        np.dot(x.T, t11, out=t13)
        np.multiply(0.02, w, out=grad_w)
        t13 /= samples
        grad_w -= t13
        grad_w *= 0.1
        t6 = b + 0.1 * (t4 / samples)
        np.subtract(w, grad_w, out=w)
        b[...] = t6
        return [t9, cost]


def train_block1(t7, y, t9, t11, t8, p_1, xent, t10):
    np.negative(t7, out=t8)
    t8 -= b
    np.exp(t8, out=p_1)
    p_1 += 1
    np.divide(1, p_1, out=p_1)
    np.greater(p_1, 0.5, out=t9)
    np.logaddexp(t8, 0, out=xent)
    xent *= y
    np.negative(t8, out=t8)
    np.logaddexp(t8, 0, out=t8)
    np.subtract(1, y, out=t10)
    t8 *= t10
    xent += t8
    t1 = np.add.reduce(xent)
    np.subtract(y, p_1, out=t11)
    t2 = np.add.reduce(t11)
    return t1, t2


def train_buffers(samples):
    """The shape, dtype, first and last step of each buffer."""
    return [
        ((samples,), np.float64, 3, 7),  # t7
        ((*blocks(samples, 16384),), np.float64, 7, 7),  # t8
        ((*blocks(samples, 16384),), np.float64, 7, 7),  # p_1
        ((*blocks(samples, 16384),), np.float64, 7, 7),  # xent
        ((*blocks(samples, 16384),), np.float64, 7, 7),  # t10
        ((samples,), np.float64, 7, 17),  # t11
        ((784,), np.float64, 8, 9),  # t12
        ((784,), np.float64, 17, 20),  # t13
        ((784,), np.float64, 18, 26),  # grad_w
    ]


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
