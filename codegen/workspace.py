"""Memory for the values between the steps of a generated function, kept from call to call.

The text of this module stands in each generated module that needs it, so that it runs on NumPy alone.
"""

import numpy as np


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
