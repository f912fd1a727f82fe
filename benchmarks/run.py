"""Measures symgraph and every installed peer on one list of workloads, and writes tables and a plot.

    python benchmarks/run.py                                       # everything, one thread and all threads
    python benchmarks/run.py mlp deep --peers jax torch --threads 1 --quick
    python benchmarks/run.py --list
    python benchmarks/run.py --costs                               # import, compile, call overhead and long chains only

Every program runs in a fresh process. The programs of a workload are timed in turns (A B C A B C ...), so that whatever
else the machine does falls on all of them alike; all get the same arrays, and their results are compared with those of
NumPy by hand. With one thread, every process is bound to one core and every library told so. A peer that is missing,
fails, disagrees or takes too long is a dash with its reason. Tables, plot and raw figures go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

import numpy as np  # noqa: E402

from benchmarks import costs, report  # noqa: E402
from benchmarks.workloads import PEERS, WORKLOADS, Workload  # noqa: E402

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def main() -> None:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # through the blocks that end the programs
    if options.list:
        for workload in WORKLOADS.values():
            print(f"{workload.name:14} {workload.title}  [{', '.join(workload.peers())}]")
        return
    if options.costs:
        print(costs.table(options.quick))
        return
    results = Path(options.results)
    results.mkdir(parents=True, exist_ok=True)
    measured = []
    for name in options.workloads or WORKLOADS:
        for threads in options.threads:
            measured.append(measure(WORKLOADS[name], threads, options))
            found = {"machine": report.machine(), "measured": measured}
            (results / "figures.json").write_text(json.dumps(found, indent=1))
            (results / "tables.md").write_text(report.tables(found))
    print(report.tables(found))
    report.plot(found, results / "figures.svg")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", choices=[*WORKLOADS, []], metavar="workload", help="default: all")
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS, default=list(PEERS), help="default: all that are installed"
    )
    parser.add_argument("--threads", nargs="+", choices=["1", "all"], default=["1", "all"])
    parser.add_argument("--rounds", type=int, help="turns per program (default 7)")
    parser.add_argument("--seconds", type=float, help="length of a turn (default 0.3)")
    parser.add_argument("--limit", type=float, default=300, help="seconds after which a program is given up")
    parser.add_argument("--quick", action="store_true", help="three short turns")
    parser.add_argument("--small", action="store_true", help="small sizes: whether everything runs, not how fast")
    parser.add_argument("--results", default=ROOT / "benchmarks" / "results", help="where the tables go")
    parser.add_argument("--list", action="store_true", help="the workloads, and who has a program for each")
    parser.add_argument("--costs", action="store_true", help="import, compile, call overhead and long chains only")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.1 if options.quick else 0.3)
    return options


def measure(workload: Workload, threads: str, options: argparse.Namespace) -> dict[str, Any]:
    """One workload: every peer built and compared, then timed in turns."""
    peers: dict[str, dict[str, Any]] = {}
    running: dict[str, Program] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            build(workload, threads, folder, options, peers, running)
            for _ in range(options.rounds):
                for peer in list(running):
                    take_turn(peers[peer], running, peer, options.seconds)
        finally:
            for program in running.values():
                program.stop()
    for peer, reason in workload.without.items():
        peers[peer] = {"error": reason}
    print(report.line(workload.title, threads, peers), flush=True)
    return {"name": workload.name, "title": workload.title, "threads": threads, "peers": peers}


def build(
    workload: Workload,
    threads: str,
    folder: str,
    options: argparse.Namespace,
    peers: dict[str, dict[str, Any]],
    running: dict[str, Program],
    packages: Mapping[str, str] = PEERS,
) -> None:
    """Starts the programs of a workload, and keeps those that agree with NumPy by hand."""
    for peer in workload.peers():
        if peer not in ("symgraph", "numpy") and peer not in options.peers:
            continue
        if importlib.util.find_spec(packages[peer]) is None:
            peers[peer] = {"error": "not installed"}
            continue
        running[peer] = Program(workload.name, peer, threads, folder, options)
        peers[peer] = running[peer].ask(do="build")
        if "error" in peers[peer]:
            del running[peer]
    for peer in list(running):
        difference = disagreement(folder, peer, workload.tolerance) if "numpy" in running else ""
        if difference:
            peers[peer]["error"] = difference
            running.pop(peer).stop()


def take_turn(figures: dict[str, Any], running: dict[str, Program], peer: str, seconds: float) -> None:
    """Adds the samples of one turn to a peer's figures."""
    answer = running[peer].ask(do="time", seconds=seconds)
    if "error" in answer or not answer["finite"]:
        figures["error"] = answer.get("error", "gave nan or inf")
        running.pop(peer).stop()
        return
    figures.setdefault("rounds", []).append(answer["samples"])
    figures["memory"] = answer["memory"]


def disagreement(folder: str, peer: str, tolerance: float) -> str:
    """How the results of a peer differ from those by hand; nothing where they agree."""
    wanted, found = (dict(np.load(Path(folder) / f"{p}.npz")) for p in ("numpy", peer))
    if len(wanted) != len(found):
        return f"gave {len(found)} results, not {len(wanted)}"
    for name, a in wanted.items():
        b = found[name]
        if a.squeeze().shape != b.squeeze().shape:
            return f"{name} has shape {b.shape}, not {a.shape}"
        error = np.max(np.abs(a.squeeze() - b.squeeze()), initial=0) / max(np.max(np.abs(a), initial=0), 1e-30)
        if not error <= tolerance:
            return f"{name} differs by {error:.1e}, more than {tolerance:.0e}"
    return ""


class Program:
    """A worker process and the conversation with it."""

    def __init__(self, workload: str, peer: str, threads: str, folder: str, options: argparse.Namespace) -> None:
        self.limit = options.limit
        self.home = tempfile.mkdtemp(prefix="benchmark-")  # compilers' caches: every program is compiled anew
        environment = {
            **os.environ,
            **(ONE_THREAD if threads == "1" else {}),
            "JAX_PLATFORMS": "cpu",
            "TORCHINDUCTOR_CACHE_DIR": self.home,
            "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
            "PYTENSOR_FLAGS": f"base_compiledir={self.home}",
            "NUMBA_CACHE_DIR": self.home,
        }
        size = "small" if options.small else "full"
        lists = getattr(options, "lists", "benchmarks.workloads")
        self.log = (Path(self.home) / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "worker.py"), workload, peer, threads, folder, size, lists],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
        )  # fmt: skip

    def ask(self, **request: Any) -> dict[str, Any]:
        """The worker's answer, or why there is none."""
        assert self.process.stdin and self.process.stdout
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            ready, _, _ = select.select([self.process.stdout], [], [], self.limit)
            if not ready:
                self.stop()
                return {"error": f"gave up after {self.limit:.0f} s"}
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer = json.loads(line)
        else:
            self.stop(keep_log=True)
            answer = {"error": f"died with status {self.process.returncode}: {self.last_words()}"}
        if "error" in answer:
            self.stop()
        return answer

    def last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        return lines[-1][:200] if lines else "no message"

    def stop(self, keep_log: bool = False) -> None:
        """Ends the process and forgets what its compilers left; its log too, but where it is to be read."""
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()
        if keep_log:
            return
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)


if __name__ == "__main__":
    main()
