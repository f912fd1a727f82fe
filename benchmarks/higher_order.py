"""Measures derivatives of higher order beside JAX, torch, CasADi and NumPy by hand, and writes tables and a plot.

    python benchmarks/higher_order.py                              # all problems, one thread, float64
    python benchmarks/higher_order.py logistic third --quick
    python benchmarks/higher_order.py --counts                     # sizes of programs only (problems 12 and 13)

Programs run as in run.py: each in a fresh process on one core, timed in turns, on the same arrays, their results compared
with those by hand. JAX is asked in every way that a user would try: `jax.hessian`, and the fastest of the others. Each
program is timed twice over, as it stands and with a read of one number on every page of its result: an array of zeros costs
nothing until it is read. A program that takes half a second is timed in one turn only. Compile time is that of deriving
(tracing) and compiling once more in the same process, and, for symgraph, of the first time as well. Results go to
benchmarks/results/higher_order.*.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from benchmarks import higher_order_report, report, run  # noqa: E402
from benchmarks.problems import PEERS, WORKLOADS, Problem, counts  # noqa: E402


def main() -> None:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # through the blocks that end the programs
    results = Path(options.results)
    results.mkdir(parents=True, exist_ok=True)
    kept = results / "higher_order.json"
    found = json.loads(kept.read_text()) if options.keep and kept.exists() else {"measured": []}
    found["machine"] = report.machine()
    if options.counts or not options.problems:
        found["counts"] = {"series": counts.series(), "sixth": counts.sixth()}
    for name in () if options.counts else options.problems or WORKLOADS:
        new = measure(WORKLOADS[name], options)
        others = [m for m in found["measured"] if m["name"] != name]
        found["measured"] = sorted([*others, new], key=lambda m: list(WORKLOADS).index(m["name"]))
        write(found, results)
    write(found, results)
    print((results / "higher_order.md").read_text())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", choices=[*WORKLOADS, []], metavar="problem", help="default: all")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="default: all")
    parser.add_argument("--rounds", type=int, help="turns per program (default 7)")
    parser.add_argument("--seconds", type=float, help="length of a turn (default 0.2)")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a program is given up")
    parser.add_argument("--quick", action="store_true", help="three short turns")
    parser.add_argument("--small", action="store_true", help="small sizes: whether everything runs, not how fast")
    parser.add_argument("--counts", action="store_true", help="sizes of programs only")
    parser.add_argument("--keep", action="store_true", help="keep what was measured before of other problems")
    parser.add_argument("--results", default=ROOT / "benchmarks" / "results", help="where the tables go")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.1 if options.quick else 0.2)
    options.lists = "benchmarks.problems"
    return options


def measure(problem: Problem, options: argparse.Namespace) -> dict[str, Any]:
    """One problem: every program built and compared, compiled again, and timed in turns."""
    peers: dict[str, dict[str, Any]] = {}
    running: dict[str, run.Program] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            run.build(problem, "1", folder, options, peers, running, PEERS)
            for peer in list(running):
                ask(peers, running, peer, "stages", do="stages", seconds=options.seconds)
            for _ in range(options.rounds):
                for peer in list(running):
                    if not is_slow(peers[peer]):
                        turn(peers, running, peer, options.seconds)
        finally:
            for program in running.values():
                program.stop()
    for peer, reason in problem.without.items():
        peers[peer] = {"error": reason}
    measured = {"name": problem.name, "title": problem.title, "target": problem.target, "threads": "1", "peers": peers}
    others = {name: p for name, p in peers.items() if name not in ("symgraph-fr", "symgraph-sym")}
    print(report.line(problem.title, "1", others), flush=True)
    return measured


def is_slow(peer: dict[str, Any]) -> bool:
    """Whether one turn has shown that a call takes half a second or more: there is no need to see it again."""
    return bool(peer.get("rounds")) and report.median(peer) >= 0.5


def turn(peers: dict[str, Any], running: dict[str, run.Program], peer: str, seconds: float) -> None:
    """The samples of one turn, as it stands and with its results read."""
    for kind, read in (("rounds", False), ("read", True)):
        answer = ask(peers, running, peer, "samples", do="time", seconds=seconds, read=read)
        if answer is not None:
            peers[peer].setdefault(kind, []).append(peers[peer].pop("samples"))


def ask(peers: dict[str, Any], running: dict[str, run.Program], peer: str, key: str, **request: Any) -> Any:
    """One answer of a program, added to its figures; a program that fails is asked no more."""
    if peer not in running:
        return None
    answer = running[peer].ask(**request)
    if "error" in answer or not answer.get("finite", True):
        peers[peer]["error"] = answer.get("error", "gave nan or inf")
        running.pop(peer).stop()
        return None
    peers[peer][key] = answer[key]
    peers[peer]["memory"] = answer.get("memory", peers[peer].get("memory"))
    return answer


def write(found: dict[str, Any], results: Path) -> None:
    """The figures, the tables and the plot."""
    (results / "higher_order.json").write_text(json.dumps(found, indent=1))
    (results / "higher_order.md").write_text(higher_order_report.tables(found))
    if found["measured"]:
        higher_order_report.plot(found, results / "higher_order.svg")


if __name__ == "__main__":
    main()
