"""The tables and the plot of derivatives of higher order.

Figures and ratios as in report.py: medians over all turns, ratios turn by turn.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.report import Peers, header, line_of, seconds, works

JAX = {
    "jax-reverse": "reverse over reverse",
    "jax-forward": "forward over forward",
    "jax-linear": "linearized gradient, vmap",
    "jax-loop": "linearized gradient, loop",
    "jax-jet": "jet",
    "jax-special": "written by hand in JAX",
}
"""The ways besides jax.hessian."""

TITLES = {
    "symgraph": "symgraph",
    "numpy": "NumPy by hand",
    "jax-hessian": "jax.hessian",
    "jax-best": "JAX, best other way",
    "torch": "torch.func",
    "casadi": "CasADi",
    "sympy": "SymPy",
}

PROTOTYPE = {
    "quadratic": (0.97, 76), "logistic": (5.4, 18.4), "factorization": (0.25, 213), "masked": (0.15, 362),
    "relu": (0.475, 2.04), "perceptron": (0.333, 0.47), "logsumexp": (0.51, 0.33), "third": (5.66, 11.9),
    "laplacian": (32 * 2.86, 32 * 5.51), "rosenbrock": (0.02, 0.102), "product": (0.179, 0.195),
}  # fmt: skip
"""What was aimed at: milliseconds of a throw-away program that wrote these derivatives by hand-made rules, and of JAX
beside it, on another machine. The ratio of the two is the target."""


def tables(found: dict[str, Any]) -> str:
    """The Markdown of everything measured."""
    measured = found["measured"]
    text = [f"{found['machine']} One thread, float64.", ""]
    reasons: dict[str, list[str]] = {}
    if measured:
        text += times(measured, "rounds", "Time per call", reasons)
        text += times(measured, "read", "Time per call, with one number read on every page of the result", reasons)
        text += ways(measured)
        text += compiling(measured)
    if "counts" in found:
        text += sizes(found["counts"])
    text += targets(measured)
    if reasons:
        text += ["A dash:", "", *[f"- {reason}: {', '.join(where)}" for reason, where in reasons.items()], ""]
    return "\n".join(text)


def timed(peers: Peers, kind: str = "rounds") -> Peers:
    """The peers by the figures of one kind, with the fastest other way of JAX as "jax-best"."""
    found = {name: {**p, "rounds": p.get(kind, [])} for name, p in peers.items()}
    others = [name for name in JAX if works(found.get(name, {}))]
    if others:
        fastest = min(others, key=lambda name: report.median(found[name]))
        found["jax-best"] = {**found[fastest], "way": JAX[fastest]}
    return found


def faster(peers: Peers, other: str) -> float | None:
    """How many times faster symgraph is."""
    ratio = report.ratio(peers, other)
    return None if ratio is None else 1 / ratio


def fastest_jax(peers: Peers) -> str | None:
    """jax.hessian or the best other way."""
    found = [name for name in ("jax-hessian", "jax-best") if works(peers.get(name, {}))]
    return min(found, key=lambda name: report.median(peers[name])) if found else None


def times(measured: list[dict[str, Any]], kind: str, title: str, reasons: dict[str, list[str]]) -> list[str]:
    """Time per call of each program, the fastest in bold, and how many times faster symgraph is than JAX."""
    names = [n for n in TITLES if any(n in timed(m["peers"]) for m in measured)]
    head = [TITLES[n] for n in names]
    text = [f"**{title}**", "", header(["problem", *head, "jax.hessian / symgraph", "best JAX / symgraph"])]
    for m in measured:
        peers = timed(m["peers"], kind)
        fastest = min((report.median(peers[n]) for n in names if works(peers.get(n, {}))), default=0.0)
        cells = [m["title"]]
        for name in names:
            peer = peers.get(name, {})
            if not works(peer):
                cells.append(dash(m, name, peer, reasons))
                continue
            value = seconds(report.median(peer))
            cells.append(f"**{value}**" if report.median(peer) == fastest else value)
            if name == "jax-best":
                cells[-1] += f" ({peer['way']})"
        best = fastest_jax(peers)
        for other in ("jax-hessian", best):
            factor = faster(peers, other) if other else None
            cells.append("–" if factor is None else f"{factor:.3g}")
        text.append(line_of(cells))
    return [*text, ""]


def dash(m: dict[str, Any], name: str, peer: dict[str, Any], reasons: dict[str, list[str]]) -> str:
    """A dash, and its reason for the list at the end."""
    if "error" in peer:
        where = reasons.setdefault(f"{TITLES[name]}, {peer['error'].replace('|', '/')}", [])
        if m["name"] not in where:
            where.append(m["name"])
    return "–"


def ways(measured: list[dict[str, Any]]) -> list[str]:
    """All ways of JAX, and symgraph's two modes beside the one it chose."""
    modes = {"symgraph": "chosen", "symgraph-fr": "forward over reverse", "symgraph-sym": "symmetric"}
    names = [*modes, "jax-hessian", *JAX]
    head = [*[f"symgraph, {modes[n]}" for n in modes], "jax.hessian", *[f"JAX, {way}" for way in JAX.values()]]
    text = ["**All ways**, time per call", "", header(["problem", *head])]
    for m in measured:
        found = [m["peers"].get(n, {}) for n in names]
        text.append(line_of([m["title"], *[seconds(report.median(p)) if works(p) else "–" for p in found]]))
    return [*text, ""]


def compiling(measured: list[dict[str, Any]]) -> list[str]:
    """From the first line of the program to something callable, ms: deriving (or tracing) and compiling."""
    head = [
        "symgraph",
        "derive + compile",
        "the first in a process, with its first call",
        "jax.hessian",
        "trace + compile",
    ]
    text = ["**Derive and compile**, ms, again in the same process", "", header(["problem", *head])]
    for m in measured:
        cells = [m["title"]]
        for name in ("symgraph", "jax-hessian"):
            if name == "jax-hessian" and not works(m["peers"].get(name, {})):
                name = next((n for n in JAX if works(m["peers"].get(n, {}))), name)
            peer = m["peers"].get(name, {})
            stages = peer.get("stages")
            if not works(peer) or not stages:
                cells += ["–"] * (3 if name == "symgraph" else 2)
                continue
            derive, rest = (1e3 * statistics.median(s[i] for s in stages) for i in (0, 1))
            cells += [f"{1e3 * statistics.median(sum(s) for s in stages):.1f}", f"{derive:.1f} + {rest:.1f}"]
            cells += [f"{1e3 * peer['first']:.1f}"] if name == "symgraph" else []
        text.append(line_of(cells))
    return [*text, ""]


def sizes(counts: dict[str, Any]) -> list[str]:
    """Problems 12 and 13: what derivatives grow to."""
    orders = list(next(iter(counts["series"].values())))
    text = ["**12. k-th derivative of 3 tanh layers along v**, nodes of the rewritten graph and JAX's equations", ""]
    text.append(header(["", *[f"k = {k}" for k in orders]]))
    text += [line_of([name, *[str(n) for n in row.values()]]) for name, row in counts["series"].items()]
    text += ["", "**13. Sixth derivative of tanh(x sin x)**, arithmetic operations of the program", ""]
    text += [header(["", "operations"]), *[line_of([name, str(n)]) for name, n in counts["sixth"].items()], ""]
    return text


def targets(measured: list[dict[str, Any]]) -> list[str]:
    """What was aimed at, and whether it is reached: the smaller of both ways of timing counts."""
    head = ["prototype, ms", "JAX beside it, ms", "times faster than jax.hessian: target", "reached"]
    text = ["**Targets**, from a prototype on another machine (not measured here)", "", header(["problem", *head])]
    for m in measured:
        if m["name"] not in PROTOTYPE:
            continue
        prototype, jax = PROTOTYPE[m["name"]]
        found = [faster(timed(m["peers"], kind), "jax-hessian") for kind in ("rounds", "read")]
        reached = [f for f in found if f is not None]
        goal = m.get("target")
        shown = "–" if not reached else f"{min(reached):.3g}"
        if reached and goal:
            shown += "" if min(reached) >= goal else " (missed)"
        text.append(line_of([m["title"], f"{prototype:g}", f"{jax:g}", f"{goal:.3g}" if goal else "–", shown]))
    return [*text, ""]


def plot(found: dict[str, Any], path: Path) -> None:
    """Each peer's time over symgraph's; needs matplotlib."""
    measured = [{**m, "peers": timed(m["peers"])} for m in found["measured"]]
    report.plot({"measured": measured}, path, TITLES)
