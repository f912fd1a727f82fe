"""One page about a compiled function: its graph, its generated source, and how each belongs to the other.

The page is a single file that loads nothing, under a content security policy that lets nothing run but its own script, by
hash. Everything from a user is text: markup is escaped where it is written, the data is JSON without angle brackets, and
the script sets text, never markup. The graph, the source and a list of all nodes are in the file as such, so that it can be
read and printed without the script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from ..core import Tensor, describe
from ..errors import CompileError, SymgraphError
from ..explaining.derivative import adjoint_story
from ..explaining.links import Trace, carrier, trace
from ..function import Function, function
from ..naming import symbols_by_name
from ..ops.base import as_tensor
from ..pytree import flatten
from .highlight import highlighted, text
from .markup import legend, listing, picture_of, support
from .picture import KINDS, Picture, clean
from .placement import Placement, place
from .render import TIMEOUT, write
from .selection import Choice, check_size, selected
from .story import cut, formula, rewrites, told, values

MOST = 3000
"""A page holds at most this many nodes: larger ones take browsers and readers too long."""


def view(
    outputs: Any,
    path: Any,
    values: Mapping[Tensor, Any] | None = None,
    *,
    by: str = "scope",
    depth: int | None = None,
    focus: Any = None,
    radius: int = 2,
    collapse: Any = (),
    engine: str | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Write one HTML page about `outputs` (a tensor, any nesting of tensors, or a `Function`), and return its path.

    The page shows the graph as it was written, the source generated for it (in the plain style, unless a `Function` is
    given), which lines belong to which nodes, the rewrite rules that lie between them, and with `values` for the symbols,
    `{symbol: value}`, the value of every node. The file holds all it needs, and loads nothing.

    `by`, `depth`, `focus`, `radius` and `collapse` choose what of the graph is shown, as in `draw`; on the page, parts of the
    model can be collapsed and expanded. The graph is laid out by a Graphviz program, as for `draw`: `engine`, or the
    system's `dot`, or that of graphviz-pure.

    Raises `ValueError` for a suffix other than .html and for choices that are none, `OSError` where the path cannot be
    written, `SymgraphError` for a graph that is too large or cannot be laid out, and for `values` that do not fit what a
    call with them would raise. A call that fails writes nothing.

    Example::

        x = symbol("x")
        y = named(x * sin(x), "y")
        view({"y": y, "slope": grad(y, x)}, "model.html", {x: 2.0})
    """
    target = _target(path)
    choice = Choice(False, by, depth, focus, radius, collapse)
    f = _with_graph(outputs) if isinstance(outputs, Function) else _compiled(outputs, choice)
    by_name = None if values is None else _by_name(f, values)
    return _write(f, target, choice, (), by_name, engine, timeout)


def view_function(
    f: Function, path: Any, /, *args: Any, engine: str | None = None, timeout: float = TIMEOUT, **by_name: Any
) -> Path:
    """Write one HTML page about a compiled function, and return its path; with arguments, the values they give are shown.

    The arguments are those of a call of `f`. Nothing is updated, and parameters show the values they hold now.

    Raises what `view` raises, and what binding these arguments in a call would raise.

    Example::

        view_function(function([x], tanh(x).sum()), "model.html", [0.5, -1.0])
    """
    sample = by_name if args or by_name or not f.arguments else None
    return _write(_with_graph(f), _target(path), Choice(), args, sample, engine, timeout)


def _target(path: Any) -> Path:
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{target.name} must end in .html; draw writes pictures")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist")
    return target


def _compiled(outputs: Any, choice: Choice) -> Function:
    """The outputs as a function of all their symbols, in the style that is made for reading."""
    roots = [as_tensor(leaf) for leaf in flatten(outputs)[0]]
    if not roots:
        raise SymgraphError("there is nothing to view: the outputs hold no tensor")
    check_size(len(selected(outputs, choice)[0].nodes), MOST, "a page")
    return function(symbols_by_name(roots), outputs, name="model", style="plain")


def _with_graph(f: Function) -> Function:
    if f.program is None:
        raise SymgraphError(f"{f!r} was loaded without its graph; view it where it was compiled, or read its source")
    return f


def _by_name(f: Function, given: Mapping[Tensor, Any]) -> dict[str, Any]:
    """The values by the names of the arguments."""
    assert f.program is not None
    names = {x: a.name for x, a in zip(f.program.inputs, f.arguments, strict=True)}
    unknown = [x for x in given if not isinstance(x, Tensor) or x not in names]
    if unknown:
        what = describe(unknown[0]) if isinstance(unknown[0], Tensor) else repr(unknown[0])
        raise CompileError(f"values are given as {{symbol: value}}, and {what} is no symbol of the outputs")
    return {names[x]: value for x, value in given.items()}


def _write(
    f: Function,
    target: Path,
    choice: Choice,
    args: tuple[Any, ...],
    by_name: Mapping[str, Any] | None,
    engine: str | None,
    timeout: float,
) -> Path:
    shown, keys = selected(f, choice)
    check_size(len(shown.nodes), MOST, "a page")
    found = values(f, args, by_name) if by_name is not None else None
    write(target, page(f, shown, keys, place(shown, engine, timeout), found).encode())
    return target


# The page ------------------------------------------------------------------------------------------------------------


def page(
    f: Function, shown: Picture, keys: Mapping[Tensor, str], placed: Placement, found: Mapping[Tensor, Any] | None
) -> str:
    """The text of the page."""
    links = trace(f, keys)
    style, script = _part("page.css"), _part("page.js")
    data = _data(f, shown, keys, links, found)
    name = clean(f.name, 80)
    count = len(shown.nodes)
    later = sum(node.order > 0 for node in shown.nodes)
    summary = f"{count:,} nodes" + (f": {count - later:,} forward, {later:,} backward" if later else "")
    source = highlighted(f.source)
    rest = source[links.end :]
    while rest and not rest[0].strip():
        rest.pop(0)
    return Template(_part("page.html")).substitute(
        style_hash=_digest(style),
        script_hash=_digest(script),
        style=style,
        script=script,
        title=escape(name),
        summary=text(f"{summary}. {cut('; '.join(map(str, f.arguments))) or 'No inputs'}."),
        description=escape(f"Graph of {name}, {summary}"),
        width=f"{placed.width:.0f}",
        height=f"{placed.height:.0f}",
        picture="\n".join(picture_of(shown, placed)),
        legend="".join(legend(shown)),
        count=count,
        source=listing(source[: links.end], links),
        support=support(rest, len(source) - len(rest) + 1),
        list="\n".join(_items(data)),
        data=embedded(data),
    )


def _part(name: str) -> str:
    return resources.files(__package__ or "symgraph.viz").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The source expression that allows an inline script or style with this text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def embedded(data: Any) -> str:
    """Data as JSON that cannot end or open an element of the page."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    for c in "<>&\u2028\u2029":
        text = text.replace(c, f"\\u{ord(c):04x}")
    return text


def _data(
    f: Function, shown: Picture, keys: Mapping[Tensor, str], links: Trace, found: Mapping[Tensor, Any] | None
) -> dict[str, Any]:
    """All that the script knows, nodes in the order in which they are computed."""
    several = {node.key for node in shown.nodes if node.kind == "group"}
    tensors = {key: node for node, key in keys.items() if key not in several}
    rules = rewrites(f)
    known = set(keys)
    at = {node.key: i for i, node in enumerate(shown.nodes)}
    operands: dict[str, list[int]] = {key: [] for key in at}
    users: dict[str, list[int]] = {key: [] for key in at}
    forward: dict[str, list[int]] = {key: [] for key in at}
    adjoints: dict[str, list[int]] = {key: [] for key in at}
    for edge in sorted(shown.edges, key=lambda e: e.position):
        back, ahead = (operands, users) if edge.kind == "value" else (forward, adjoints)
        if at[edge.tail] not in back[edge.head]:
            back[edge.head].append(at[edge.tail])
            ahead[edge.tail].append(at[edge.head])
    nodes = []
    for node in shown.nodes:
        tensor = tensors.get(node.key)
        entry: dict[str, Any] = {
            "id": node.key, "text": node.text, "kind": node.kind, "order": node.order, "role": node.role,
            "type": cut(node.type), "op": node.op, "where": clean(node.where, 80), "operands": operands[node.key],
            "users": sorted(users[node.key]), "adjoints": adjoints[node.key],
            "forward": sorted(forward[node.key], key=lambda i: not shown.nodes[i].name),
            "lines": links.lines_of.get(node.key, []), "within": node.key in links.within, "rules": [],
        }  # fmt: skip
        if tensor is not None:
            entry["formula"] = formula(tensor)
            entry["rules"] = [cut(rule) for rule in rules.get(tensor, ())]
            entry["derived"] = [cut(line.strip()) for line in adjoint_story(tensor, known) if line.startswith(" ")]
            new = carrier(f, tensor)
            if new is not tensor:
                entry["became"] = formula(new) + (", a multiple of it" if tensor in f.multiples else "")
            if found is not None and tensor in found:
                entry["value"], entry["short"] = told(found[tensor])
        nodes.append(entry)
    steps = sorted(range(len(nodes)), key=lambda i: shown.nodes[i].order)
    lines = {str(line): [at[key] for key in found_keys] for line, found_keys in links.nodes_of.items()}
    source = f.source.split("\n")
    statements = {str(n): _statement(source[n - 1]) for n in sorted({n for e in nodes for n in e["lines"]})}
    return {"nodes": nodes, "steps": steps, "lines": lines, "text": statements, "groups": _groups(shown)}


def _statement(line: str) -> str:
    """A line of source without the comment that says where it comes from."""
    return cut(re.sub(r"  # .*:\d+$", "", line).strip())


def _groups(shown: Picture) -> list[dict[str, Any]]:
    """The nodes of each part of the model, elsewhere of each line of the program, forward and backward apart."""
    found: dict[tuple[str, int, bool], list[int]] = {}
    for i, node in enumerate(shown.nodes):
        place = " / ".join(map(str, node.parts)) or node.where
        if place and node.kind not in ("input", "more") and (node.parts or node.kind != "parameter"):
            found.setdefault((place, node.order, bool(node.parts)), []).append(i)
    groups = []
    for (where, order, is_part), members in found.items():
        rounds = _rounds(shown, members) if len(members) > CROWD and not is_part else [members]
        for k, part in enumerate(rounds, 1):
            label = clean(where, 60) + (f", round {k}" if len(rounds) > 1 else "")
            if len(part) > 1:
                groups.append({"label": label, "order": order, "members": part})
    return groups


CROWD = 12
"""A line that made more nodes than this was run more than once, most likely: each round is a group."""


def _rounds(shown: Picture, members: list[int]) -> list[list[int]]:
    """The nodes of a line that runs in a loop, cut where the operation it began with comes again."""
    first = shown.nodes[members[0]].op
    rounds: list[list[int]] = []
    for i in members:
        if not rounds or (shown.nodes[i].op == first and len(rounds[-1]) > 1):
            rounds.append([])
        rounds[-1].append(i)
    return rounds


def _items(data: Mapping[str, Any]) -> Iterable[str]:
    """The list of all nodes in words, in the order of the steps."""
    for i in data["steps"]:
        n = data["nodes"][i]
        words = [n["role"] or KINDS[n["kind"]], n["type"]]
        words += [f"from {', '.join(data['nodes'][x]['text'] for x in n['operands'])}"] if n["operands"] else []
        words += [n["where"]] if n["where"] else []
        words += [f"value {n['short']}"] if "short" in n else []
        yield (
            f'<li><button type="button" data-i="{i}"><bdi>{escape(n["text"])}</bdi></button> '
            f'<span class="kind"><bdi>{escape(cut("; ".join(words)))}</bdi></span></li>'
        )


__all__ = ["view", "view_function"]
