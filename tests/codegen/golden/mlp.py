import collections
import concurrent.futures
import contextvars
import os

import numpy as np


def train_step(X, y):
    """X (batch, 784) float32, y (batch,) int64 -> float32; updates W1, b1, W2, b2."""
    batch = X.shape[0]
    with workspace(batch) as (t10, hidden, t11, logits, t12, t13, t14, t15, grad_logits, t16, grad_b1, t17,
         t18, t19):
        t1 = X @ W1
        blockwise(train_step_block1, batch, 128, (t1, hidden, t11), (t10,))
        t2 = hidden @ W2
        t3 = np.arange(batch)
        t4 = t3[:, None]
        t5 = y[:, None]
        t6 = -np.divide(1, batch, dtype=np.float32)
        t7 = np.zeros((batch, 10), dtype=np.float32)
        t7[t4, t5] = t6
        grad_b2, = blockwise(train_step_block2, batch, 1638, (t2, t7, t15, grad_logits), (logits, t12, t13, t14), (), (np.add,))
        t8 = t15[t4, t5]
        t9 = np.add.reduce(t8, axis=None)
        loss = -(t9 / batch)
        grad_hidden = grad_logits @ W2.T
        np.multiply(grad_hidden.view(np.uint32), t11, out=t16.view(np.uint32))
        np.add.reduce(t16, axis=0, out=grad_b1)
        grad_W1 = X.T @ t16
        grad_W2 = hidden.T @ grad_logits
        blockwise(train_step_block3, 784, 128, (grad_W1, W1), (t17,))
        grad_b1 *= 0.1
        np.subtract(b1, grad_b1, out=b1)
        np.multiply(0.1, grad_W2, out=t18)
        np.subtract(W2, t18, out=W2)
        np.multiply(0.1, grad_b2, out=t19)
        np.subtract(b2, t19, out=b2)
        return loss


def train_step_block1(t1, hidden, t11, t10):
    np.add(t1, b1, out=t10)
    hidden.fill(0)
    np.maximum(t10, hidden, out=hidden)
    np.greater(t10, 0, out=t11)


def train_step_block2(t2, t7, t15, grad_logits, logits, t12, t13, t14):
    np.add(t2, b2, out=logits)
    np.maximum.reduceat(logits.ravel(), np.arange(0, logits.size, 10), out=t12.ravel())
    logits -= t12
    np.exp(logits, out=t13)
    np.einsum("ij->i", t13, out=t12[..., 0])
    np.log(t12, out=t14)
    np.subtract(logits, t14, out=t15)
    np.einsum("ij->i", t7, out=t14[..., 0])
    t13 /= t12
    t13 *= t14
    np.subtract(t7, t13, out=grad_logits)
    grad_b2 = grad_logits.sum(axis=0)
    return grad_b2,


def train_step_block3(grad_W1, W1, t17):
    np.multiply(0.1, grad_W1, out=t17)
    np.subtract(W1, t17, out=W1)


def train_step_buffers(batch):
    """The shape, dtype, first and last step of each buffer."""
    return [
        ((*blocks(batch, 128), 128), np.float32, 7, 7),  # t10
        ((batch, 128), np.float32, 7, 30),  # hidden
        ((batch, 128), bool, 7, 26),  # t11
        ((*blocks(batch, 1638), 10), np.float32, 20, 20),  # logits
        ((*blocks(batch, 1638), 1), np.float32, 20, 20),  # t12
        ((*blocks(batch, 1638), 10), np.float32, 20, 20),  # t13
        ((*blocks(batch, 1638), 1), np.float32, 20, 20),  # t14
        ((batch, 10), np.float32, 20, 21),  # t15
        ((batch, 10), np.float32, 20, 30),  # grad_logits
        ((batch, 128), np.float32, 26, 28),  # t16
        ((128,), np.float32, 27, 33),  # grad_b1
        ((*blocks(784, 128), 128), np.float32, 31, 31),  # t17
        ((128, 10), np.float32, 34, 35),  # t18
        ((10,), np.float32, 36, 37),  # t19
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
    return [join.reduce(part) for join, part in zip(joins, zip(*parts))]


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
            for start, stop in sorted((offsets[j], offsets[j] + sizes[j]) for j in placed if plan[j][2] <= last and first <= plan[j][3]):
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
