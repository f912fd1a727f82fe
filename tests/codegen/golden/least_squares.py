import numpy as np


def newton_step(A, b, x):
    """A (m, n) float64, b (m,) float64, x (n,) float64 -> float64, (n,) float64."""
    m = A.shape[0]
    n = A.shape[1]
    with workspace(m, n) as (residual, t8, grad_x, t9):
        t1 = A @ x
        np.subtract(t1, b, out=residual)
        t2 = residual @ residual
        t3 = np.eye(n)
        t4 = A.T @ A
        np.multiply(0.1, t3, out=t8)
        t8 += t4
        t5 = residual @ A
        np.multiply(0.1, x, out=grad_x)
        grad_x += t5
        t6 = np.linalg.solve(t8, grad_x)
        np.multiply(0.05, x, out=t9)
        x_2 = np.subtract(x, t6)
        t7 = t9 @ x
        loss = 0.5 * t2 + t7
        return {"loss": loss, "x": x_2}


def newton_step_buffers(m, n):
    """The shape, dtype, first and last step of each buffer."""
    return [
        ((m,), np.float64, 4, 15),  # residual
        ((n, n), np.float64, 13, 18),  # t8
        ((n,), np.float64, 16, 18),  # grad_x
        ((n,), np.float64, 19, 21),  # t9
    ]


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


workspace = Workspaces(newton_step_buffers)
