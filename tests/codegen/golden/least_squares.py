import numpy as np


def newton_step(A, b, x):
    """A (m, n) float64, b (m,) float64, x (n,) float64 -> float64, (n,) float64."""
    m = A.shape[0]
    n = A.shape[1]
    with workspace(m, n) as (residual, t3, grad_x, t4):
        np.dot(A, x, out=residual)
        residual -= b
        t1 = residual @ residual
        np.dot(residual, A, out=t3)
        loss = 0.5 * t1 + 0.05 * (x @ x)
        np.multiply(0.1, x, out=grad_x)
        grad_x += t3
        np.dot(A.T, A, out=t4)
        t4.ravel()[::n + 1] += 0.1
        t2 = np.linalg.solve(t4, grad_x)
        x_2 = x - t2
        return {"loss": loss, "x": x_2}


def newton_step_buffers(m, n):
    """The shape, dtype, first and last step of each buffer."""
    return [
        ((m,), np.float64, 6, 9),  # residual
        ((n,), np.float64, 9, 15),  # t3
        ((n,), np.float64, 14, 20),  # grad_x
        ((n, n), np.float64, 18, 20),  # t4
    ]


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


workspace = Workspaces(newton_step_buffers)
