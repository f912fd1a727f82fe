"""One program in a process of its own: builds a case, checks it, times it when told to.

Started by run.py, which speaks to it in lines of JSON on the standard streams: {"do": "build"}, then any number of
{"do": "time", "seconds": ...}, then {"do": "end"}. What the frameworks print goes to the standard error. The last argument
names the module that lists the workloads.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from typing import Any


def main(workload: str, peer: str, threads: str, folder: str, small: bool, lists: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(workload, peer, threads, folder, small, lists)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except BaseException as error:
            traceback.print_exc()
            reason = (str(error).strip().splitlines() or [""])[0]
            answer = {"error": f"{type(error).__name__}: {reason}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)
        if "error" in answer or answer.get("ended"):
            break
    answers.flush()
    os._exit(0)  # the frameworks' own threads need not be waited for


class Worker:
    """A case and what is done with it."""

    def __init__(self, workload: str, peer: str, threads: str, folder: str, small: bool, lists: str) -> None:
        self.workload, self.peer, self.threads, self.folder, self.small = workload, peer, threads, folder, small
        self.lists = lists
        self.case: Any = None
        self.calls = 1

    def build(self) -> dict[str, Any]:
        """The program, timed from its first line to its first result; what it gave is saved for comparison."""
        import numpy as np

        lists = importlib.import_module(self.lists)
        __import__(lists.PEERS[self.peer])
        if self.peer.startswith("torch"):
            import torch

            torch.set_num_threads(1 if self.threads == "1" else len(os.sched_getaffinity(0)))
        workload = lists.WORKLOADS[self.workload]
        data = workload.data(self.small)
        before = memory()
        start = time.perf_counter()
        self.case = workload.case(self.peer, data)
        built = time.perf_counter() - start
        results = self.case.results()
        first = time.perf_counter() - start
        np.savez(os.path.join(self.folder, f"{self.peer}.npz"), *results)
        return {"build": built, "first": first, "memory_before": before}

    def stages(self, seconds: float) -> dict[str, Any]:
        """Seconds to derive and to compile the program anew, again and again."""
        found: list[tuple[float, float]] = []
        end = time.perf_counter() + seconds
        while self.case.stages and (len(found) < 3 or time.perf_counter() < end):
            gc.collect()
            found.append(self.case.stages())
        return {"stages": found}

    def time(self, seconds: float, read: bool = False) -> dict[str, Any]:
        """Seconds per call: as many samples as fit, each of enough calls for the clock; what they gave is touched.

        With `read`, every call is followed by a read of each page of what it gave, and the time contains it.
        """
        import numpy as np

        call, args = self.case.call, self.case.args
        if read:
            call = read_after(call)
        gc.collect()
        clock = time.perf_counter
        for _ in range(2):  # threads and caches wake
            result = call(*args)
        while True:
            start = clock()
            for _ in range(self.calls):
                result = call(*args)
            took = clock() - start
            if took > min(2e-3, seconds / 8):
                break
            self.calls *= 2
        samples: list[float] = []
        end = clock() + seconds
        while len(samples) < 3 or clock() < end:
            start = clock()
            for _ in range(self.calls):
                result = call(*args)
            samples.append((clock() - start) / self.calls)
        from benchmarks.workloads.base import flat

        total = sum(float(np.sum(np.asarray(stored(x), dtype=float))) for x in flat(touchable(result)))
        return {"samples": samples, "finite": bool(np.isfinite(total)), "memory": memory()}

    def end(self) -> dict[str, Any]:
        return {"ended": True, "memory": memory()}


def read_after(call: Any) -> Any:
    """The call, and then a read of one number of every page (4 KiB) of its results."""
    import numpy as np

    from benchmarks.workloads.base import flat

    def run(*args: Any) -> Any:
        result = call(*args)
        for x in flat(touchable(result)):
            a = np.asarray(stored(x)).reshape(-1)
            a[:: max(4096 // a.itemsize, 1)].sum()
        return result

    return run


def touchable(result: Any) -> Any:
    """Results out of their framework's graph."""
    if isinstance(result, list | tuple):
        return [touchable(r) for r in result]
    return result.detach() if hasattr(result, "detach") else result


def stored(x: Any) -> Any:
    """An array; of a sparse matrix the values that it stores."""
    return x.data if hasattr(x, "indptr") else x


def memory() -> float:
    """The most memory this process has held, in MB."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path[1:] = [p for p in sys.path[1:] if os.path.abspath(p) != os.path.dirname(os.path.abspath(__file__))]
    chosen, by, threads, folder, size, lists = sys.argv[1:]
    if threads == "1" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    main(chosen, by, threads, folder, size == "small", lists)
