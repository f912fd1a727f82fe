import concurrent.futures
import contextvars
import os

import numpy as np


def train_step(X, y):
    """X (batch, 784) float32, y (batch,) int64 -> float32; updates W1, b1, W2, b2."""
    batch = X.shape[0]
    with workspace(batch) as (
        t5, t6, hidden, t7, t8, t9, grad_logits, logits, t10, t11, t12, t13, t14, grad_hidden, grad_b1,
        t15, grad_W2, t16,
    ):
        np.dot(X, W1, out=t5)
        blockwise(train_step_block1, batch, 128, (t5, hidden, t7), (t6,))
        np.dot(hidden, W2, out=t8)
        t9[...] = np.arange(batch)
        t1 = t9[:, None]
        t2 = y[:, None]
        grad_logits.fill(0)
        grad_logits[t1, t2] = -np.divide(1, batch, dtype=np.float32)
        t3 = np.float32(batch)
        (grad_b2,) = blockwise(
            train_step_block2, batch, 1638, (t8, grad_logits, t13), (logits, t10, t11, t12), (batch, t3),
            (np.add,),
        )
        t14[...] = t13[t1, t2]
        t4 = np.add.reduce(t14, axis=None)
        loss = -(t4 / batch)
        np.dot(grad_logits, W2.T, out=grad_hidden)
        np.multiply(grad_hidden.view(np.uint32), t7, out=grad_hidden.view(np.uint32))
        np.add.reduce(grad_hidden, axis=0, out=grad_b1)
        grad_hidden *= 0.1
        np.dot(X.T, grad_hidden, out=t15)
        np.dot(hidden.T, grad_logits, out=grad_W2)
        np.subtract(W1, t15, out=W1)
        grad_b1 *= 0.1
        np.subtract(b1, grad_b1, out=b1)
        grad_W2 *= 0.1
        np.subtract(W2, grad_W2, out=W2)
        np.multiply(0.1, grad_b2, out=t16)
        np.subtract(b2, t16, out=b2)
        return loss


def train_step_block1(t5, hidden, t7, t6):
    np.add(t5, b1, out=t6)
    t6.clip(0, np.inf, out=hidden)
    np.greater(t6, 0, out=t7)


def train_step_block2(t8, grad_logits, t13, logits, t10, t11, t12, batch, t3):
    np.add(t8, b2, out=logits)
    np.maximum.reduceat(logits.ravel(), np.arange(0, logits.size, 10), out=t10.ravel())
    logits -= t10
    np.exp(logits, out=t11)
    np.einsum("ij->i", t11, out=t10[..., 0])
    np.log(t10, out=t12)
    np.subtract(logits, t12, out=t13)
    t10 *= t3
    t11 /= t10
    grad_logits += t11
    grad_b2 = grad_logits.sum(axis=0)
    return (grad_b2,)


def train_step_buffers(batch):
    """The shape, dtype, first and last step of each buffer."""
    return [
        ((batch, 128), np.float32, 5, 7),  # t5
        ((*blocks(batch, 128), 128), np.float32, 7, 7),  # t6
        ((batch, 128), np.float32, 7, 31),  # hidden
        ((batch, 128), bool, 7, 26),  # t7
        ((batch, 10), np.float32, 8, 20),  # t8
        ((batch,), np.int64, 15, 21),  # t9
        ((batch, 10), np.float32, 19, 31),  # grad_logits
        ((*blocks(batch, 1638), 10), np.float32, 20, 20),  # logits
        ((*blocks(batch, 1638), 1), np.float32, 20, 20),  # t10
        ((*blocks(batch, 1638), 10), np.float32, 20, 20),  # t11
        ((*blocks(batch, 1638), 1), np.float32, 20, 20),  # t12
        ((batch, 10), np.float32, 20, 21),  # t13
        ((batch, 1), np.float32, 21, 22),  # t14
        ((batch, 128), np.float32, 25, 30),  # grad_hidden
        ((128,), np.float32, 27, 34),  # grad_b1
        ((784, 128), np.float32, 30, 32),  # t15
        ((128, 10), np.float32, 31, 36),  # grad_W2
        ((10,), np.float32, 37, 38),  # t16
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


workspace = Workspaces(train_step_buffers)
