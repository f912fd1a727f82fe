import _thread
import contextvars
import os
import queue

import numpy as np


def train_step(X, y):
    """X (batch, 784) float32, y (batch,) int64 -> float32; updates W1, b1, W2, b2."""
    batch = X.shape[0]
    with workspace(batch) as (
        hidden, t6, t7, logits, t8, t9, t10, t11, step_logits, step_W2, step_b2, step_hidden, step_b1, step_W1,
    ):
        t1 = y[:, None]
        t2 = np.ones(batch, dtype=np.float32)
        t5 = np.arange(batch)
        t3 = t5[:, None]
        np.dot(X, W1, out=hidden)
        hidden += b1
        np.greater(hidden, 0, out=t6)
        hidden.clip(0, np.inf, out=hidden)
        np.dot(hidden, W2, out=t7)
        blockwise(
            train_step_block1, batch, 13107, (t7, t11, step_logits), (logits, t8, t9, t10),
            (np.divide(0.1, batch, dtype=np.float32),),
        )
        t12 = t11[t3, t1]
        t4 = np.add.reduce(t12, axis=None)
        loss = -(t4 / batch)
        step_logits[t3, t1] += np.divide(-0.1, batch, dtype=np.float32)
        np.dot(hidden.T, step_logits, out=step_W2)
        np.dot(t2, step_logits, out=step_b2)
        np.dot(step_logits, W2.T, out=step_hidden)
        np.multiply(step_hidden.view(np.uint32), t6, out=step_hidden.view(np.uint32))
        np.dot(t2, step_hidden, out=step_b1)
        np.dot(X.T, step_hidden, out=step_W1)
        np.subtract(W2, step_W2, out=W2)
        np.subtract(b2, step_b2, out=b2)
        np.subtract(b1, step_b1, out=b1)
        np.subtract(W1, step_W1, out=W1)
        return loss


def train_step_block1(t7, t11, step_logits, logits, t8, t9, t10, x1):
    np.add(t7, b2, out=logits)
    np.maximum.reduceat(logits.ravel(), np.arange(0, logits.size, 10), out=t8.ravel())
    logits -= t8
    np.exp(logits, out=t9)
    np.einsum("ij->i", t9, out=t8[..., 0])
    np.log(t8, out=t10)
    np.subtract(logits, t10, out=t11)
    np.divide(x1, t8, out=t8)
    np.multiply(t8, t9, out=step_logits)


def train_step_buffers(batch):
    """The shape, dtype, first and last step of each buffer."""
    return [
        ((batch, 128), np.float32, 20, 31),  # hidden
        ((batch, 128), bool, 22, 34),  # t6
        ((batch, 10), np.float32, 24, 25),  # t7
        ((*blocks(batch, 13107), 10), np.float32, 25, 25),  # logits
        ((*blocks(batch, 13107), 1), np.float32, 25, 25),  # t8
        ((*blocks(batch, 13107), 10), np.float32, 25, 25),  # t9
        ((*blocks(batch, 13107), 1), np.float32, 25, 25),  # t10
        ((batch, 10), np.float32, 25, 26),  # t11
        ((batch, 10), np.float32, 25, 33),  # step_logits
        ((128, 10), np.float32, 31, 37),  # step_W2
        ((10,), np.float32, 32, 38),  # step_b2
        ((batch, 128), np.float32, 33, 36),  # step_hidden
        ((128,), np.float32, 35, 39),  # step_b1
        ((784, 128), np.float32, 36, 40),  # step_W1
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


workspace = Workspaces(train_step_buffers)
