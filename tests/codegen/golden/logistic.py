import _thread
import contextvars
import os
import queue

import numpy as np


def train(x, y):
    """x (samples, 784) float64, y (samples,) float64 -> (samples,) bool, float64.

    Updates w, b.
    """
    samples = x.shape[0]
    with np.errstate(over="ignore"), workspace(samples) as (t6, t7, p_1, t9, t10, t11, t12):
        np.dot(x, w, out=t6)
        t8 = np.empty((samples,), bool)
        t3, t4 = blockwise(
            train_block1, samples, 65536, (t6, y, t8, t9), (t7, p_1, t10),
            (np.divide(0.1, samples),), (np.add, np.add),
        )
        grad_b = t3 / samples
        cost = t4 / samples + 0.01 * (w @ w)
        np.dot(t9, x, out=t11)
        np.multiply(0.998, w, out=t12)
        t5 = b - 0.1 * grad_b
        np.subtract(t12, t11, out=w)
        b[...] = t5
        return [t8, cost]


def train_block1(t6, y, t8, t9, t7, p_1, t10, x1):
    np.add(t6, b, out=t7)
    np.negative(t7, out=p_1)
    np.exp(p_1, out=p_1)
    p_1 += 1
    np.divide(1, p_1, out=p_1)
    np.greater(p_1, 0.5, out=t8)
    p_1 -= y
    t1 = np.add.reduce(p_1)
    np.multiply(p_1, x1, out=t9)
    t7.clip(0, np.inf, out=p_1)
    np.multiply(t7, y, out=t10)
    p_1 -= t10
    np.abs(t7, out=t7)
    np.negative(t7, out=t7)
    np.exp(t7, out=t7)
    np.log1p(t7, out=t7)
    p_1 += t7
    xent = p_1
    t2 = np.add.reduce(xent)
    return t1, t2


def train_buffers(samples):
    """The shape, dtype, first and last step of each buffer."""
    return [
        ((samples,), np.float64, 14, 15),  # t6
        ((*blocks(samples, 65536),), np.float64, 15, 15),  # t7
        ((*blocks(samples, 65536),), np.float64, 15, 15),  # p_1
        ((samples,), np.float64, 15, 21),  # t9
        ((*blocks(samples, 65536),), np.float64, 15, 15),  # t10
        ((784,), np.float64, 21, 23),  # t11
        ((784,), np.float64, 22, 23),  # t12
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


asked: dict = {}


def cache():
    """The bytes of cache that a block should stay in: SYMGRAPH_CACHE_BYTES, else its second level."""
    if not asked:
        try:
            with open("/sys/devices/system/cpu/cpu0/cache/index2/size") as file:
                found = min(max(1024 * int(file.read().strip().rstrip("K")), 1 << 18), 1 << 22)
        except (OSError, ValueError):
            found = 1 << 20
        asked["bytes"] = int(os.environ.get("SYMGRAPH_CACHE_BYTES") or found)
    return asked["bytes"]


class Workspaces:
    """Buffers for the values between the steps: a set for each choice of sizes and each call in progress."""

    def __init__(self, plan, kept=16):
        self.plan, self.kept, self.free = plan, kept, {}

    def __call__(self, *sizes):
        try:
            return self.free[sizes].pop()
        except (KeyError, IndexError):
            if sizes not in self.free:
                for oldest in list(self.free)[: len(self.free) + 1 - self.kept]:
                    self.free.pop(oldest, None)
            return Workspace(self.plan(*sizes), self.free.setdefault(sizes, []))


class Workspace:
    """The buffers of one call, placed in one block of memory: those in use at the same step never overlap."""

    def __init__(self, plan, free):
        offsets, self.nbytes = placed(plan)
        memory = np.empty(self.nbytes + 64, np.uint8)
        start = -memory.ctypes.data % 64
        self.free = free
        self.buffers = [np.ndarray(shape, dtype, memory, start + at) for (shape, dtype, _, _), at in zip(plan, offsets)]

    def __enter__(self):
        return self.buffers

    def __exit__(self, error, *_):
        if error is None or issubclass(error, Exception):
            self.free.append(self)  # not after an interrupt: another thread may not have ended its block


def placed(plan):
    """Where each buffer begins, the largest placed first, and how many bytes they take together."""
    offsets, taken = [0] * len(plan), []
    sizes = [-(-np.dtype(dtype).itemsize * int(np.prod(shape)) // 64) * 64 for shape, dtype, _, _ in plan]
    for i in sorted(range(len(plan)), key=lambda i: -sizes[i]):
        at, (first, last) = 0, plan[i][2:]
        for start, stop, begin, end in taken:
            if begin <= last and first <= end:
                if at + sizes[i] <= start:
                    break
                at = max(at, stop)
        offsets[i] = at
        taken.append((at, at + sizes[i], first, last))
        taken.sort()
    return offsets, max([stop for _, stop, _, _ in taken], default=0)


workspace = Workspaces(train_buffers)
