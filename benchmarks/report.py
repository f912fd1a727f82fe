"""Tables, a plot, and the machine they were measured on.

A figure is the median over all samples of all turns. A ratio is the median over the turns of one program's median in the
turn over the other's: both were measured within seconds of each other, on a machine in the same mood.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import statistics
from pathlib import Path
from typing import Any

Peers = dict[str, dict[str, Any]]

TITLES = {
    "symgraph": "symgraph",
    "numpy": "NumPy by hand",
    "jax": "JAX",
    "torch": "PyTorch",
    "torch-compile": "torch.compile",
    "pytensor": "PyTensor",
    "autograd": "autograd",
    "casadi": "CasADi",
}


# Figures -------------------------------------------------------------------------------------------------------------


def works(peer: dict[str, Any]) -> bool:
    """Whether a peer ran to the end and agreed."""
    return "error" not in peer and bool(peer.get("rounds"))


def median(peer: dict[str, Any]) -> float:
    """Seconds per call."""
    return statistics.median([sample for turn in peer["rounds"] for sample in turn])


def best(peers: Peers) -> str | None:
    """The fastest framework: neither symgraph nor the program by hand."""
    others = {name: median(p) for name, p in peers.items() if works(p) and name not in ("symgraph", "numpy")}
    return min(others, key=others.__getitem__) if others else None


def ratio(peers: Peers, other: str | None) -> float | None:
    """The time of symgraph over that of another peer."""
    if other is None or not works(peers.get("symgraph", {})) or not works(peers.get(other, {})):
        return None
    turns = zip(peers["symgraph"]["rounds"], peers[other]["rounds"])
    return statistics.median(statistics.median(a) / statistics.median(b) for a, b in turns)


# Tables --------------------------------------------------------------------------------------------------------------


def tables(found: dict[str, Any]) -> str:
    """The Markdown of everything measured: run time, compile time, memory, and the reasons for dashes."""
    measured = found["measured"]
    text = [found["machine"], ""]
    reasons: dict[str, list[str]] = {}
    for threads in ("1", "all"):
        rows = [m for m in measured if m["threads"] == threads]
        if rows:
            text += run_times(rows, "One thread" if threads == "1" else "All threads", reasons)
    rows = list({m["name"]: m for m in reversed(measured)}.values())[::-1]  # one thread where it was measured
    text += plain(rows, "Compile time: from the program's first line to its first result", "first", seconds, reasons)
    text += plain(rows, "Peak memory of the process, MB", "memory", lambda mb: f"{mb:.0f}", reasons)
    if reasons:
        text += ["A dash:", "", *[f"- {reason}: {', '.join(where)}" for reason, where in reasons.items()], ""]
    return "\n".join(text)


def columns(rows: list[dict[str, Any]]) -> list[str]:
    """The peers that any row has asked."""
    return [name for name in TITLES if any(name in row["peers"] for row in rows)]


def run_times(rows: list[dict[str, Any]], title: str, reasons: dict[str, list[str]]) -> list[str]:
    """Time per call, the fastest in bold, with the ratios to the best framework and to NumPy by hand."""
    names = columns(rows)
    head = [*[TITLES[n] for n in names], "symgraph / best framework", "symgraph / by hand"]
    text = [f"**{title}**, median time per call", "", header(["workload", *head])]
    ratios: dict[str, list[float]] = {"best": [], "hand": []}
    for row in rows:
        peers = row["peers"]
        fastest = min((median(p) for p in peers.values() if works(p)), default=math.inf)
        cells = [row["title"]]
        for name in names:
            value = seconds(median(peers[name])) if works(peers.get(name, {})) else dash(row, name, reasons)
            cells.append(f"**{value}**" if value != "–" and median(peers[name]) == fastest else value)
        for kind, other in (("best", best(peers)), ("hand", "numpy")):
            times = ratio(peers, other)
            cells.append("–" if times is None else f"{times:.2f}")
            ratios[kind] += [] if times is None else [times]
        text.append(line_of(cells))
    means = [f"{statistics.geometric_mean(r):.2f}" if r else "–" for r in ratios.values()]
    text.append(line_of(["geometric mean", *[""] * len(names), *means]))
    return [*text, ""]


def plain(rows: list[dict[str, Any]], title: str, key: str, written: Any, reasons: dict[str, list[str]]) -> list[str]:
    """A table of one figure per peer."""
    names = columns(rows)
    text = [f"**{title}**", "", header(["workload", *[TITLES[n] for n in names]])]
    for row in rows:
        cells = [
            written(row["peers"][n][key]) if works(row["peers"].get(n, {})) else dash(row, n, reasons) for n in names
        ]
        text.append(line_of([row["title"], *cells]))
    return [*text, ""]


def dash(row: dict[str, Any], peer: str, reasons: dict[str, list[str]]) -> str:
    """A dash, and its reason for the list below."""
    error = row["peers"].get(peer, {}).get("error", "no program")
    if error == "no program":
        return "–"
    where = reasons.setdefault(f"{TITLES[peer]}, {error.replace('|', '/')}", [])
    if row["name"] not in where:
        where.append(row["name"])
    return "–"


def header(cells: list[str]) -> str:
    return line_of(cells) + "\n|---|" + "---:|" * (len(cells) - 1)


def line_of(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def seconds(value: float) -> str:
    """A time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if value >= size or unit == "ns":
            number = value / size
            return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"
    raise AssertionError


def line(title: str, threads: str, peers: Peers) -> str:
    """What the terminal shows while the measurement goes on."""
    cells = [f"{n} {seconds(median(p)) if works(p) else '(' + p.get('error', '?') + ')'}" for n, p in peers.items()]
    value, hand = ratio(peers, best(peers)), ratio(peers, "numpy")
    shown = "".join(f", {r:.2f} of {what}" for r, what in ((value, "the best"), (hand, "by hand")) if r is not None)
    return f"{title}, threads {threads}: {'; '.join(cells)}{shown}"


# Machine -------------------------------------------------------------------------------------------------------------


def machine() -> str:
    """The processor and the versions, as a sentence."""
    packages = ["numpy", "scipy", "jax", "torch", "pytensor", "autograd", "casadi"]
    versions = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{processor()}; {', '.join(versions)}."


def processor() -> str:
    """The processor's name and how many cores this process may use."""
    from benchmarks.workloads.base import cores

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = dict(x.split("\t: ", 1) for x in info.read_text().splitlines() if "\t: " in x.replace("\t\t", "\t"))
        name = next((v.strip() for k, v in found.items() if k.strip() == "model name"), name)
        level = next((v for k, v in found.items() if k.strip() == "flags"), "").split()
        name += " with AVX-512" if "avx512f" in level else " with AVX2" if "avx2" in level else ""
    return f"{name}, {cores()} of {os.cpu_count()} cores"


# Plot ----------------------------------------------------------------------------------------------------------------


def plot(found: dict[str, Any], path: Path, titles: dict[str, str] = TITLES) -> None:
    """Each peer's time over symgraph's, a dot per workload, one panel per number of threads; needs matplotlib."""
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = [t for t in ("1", "all") if any(m["threads"] == t for m in found["measured"])]
    rows = {t: [m for m in found["measured"] if m["threads"] == t][::-1] for t in panels}
    most = max(len(r) for r in rows.values())
    figure, axes = plt.subplots(1, len(panels), figsize=(6.5 * len(panels), 1.2 + 0.32 * most), squeeze=False)
    for axis, threads in zip(axes[0], panels):
        for i, name in enumerate(n for n in titles if n != "symgraph"):
            points = [(median(m["peers"][name]) / median(m["peers"]["symgraph"]), y)
                      for y, m in enumerate(rows[threads])
                      if works(m["peers"].get(name, {})) and works(m["peers"].get("symgraph", {}))]  # fmt: skip
            if points:
                axis.scatter(*zip(*points), label=titles[name], marker="os^vDP*X"[i], s=36)
        axis.axvline(1, color="black", linewidth=1)
        axis.set_xscale("log")
        axis.set_yticks(range(len(rows[threads])), [m["title"] for m in rows[threads]], fontsize=7)
        axis.set_xlabel("time / time of symgraph; right of the line symgraph is faster", fontsize=8)
        axis.set_title("one thread" if threads == "1" else "all threads", fontsize=9)
        axis.grid(alpha=0.3)
    axes[0][-1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
