"""The page as text: its policy, that names are never markup, that it is one and the same, and what it refuses."""

import base64
import hashlib
import html
import json
import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import Constant, Leaf
from symgraph.explaining.links import trace
from symgraph.viz import engine as rendering
from symgraph.viz import page as pages
from symgraph.viz.highlight import highlighted
from symgraph.viz.model import painted
from symgraph.viz.page import embedded, view, view_function
from symgraph.viz.story import told

pytest.importorskip("graphviz")
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "\"'><b onclick=alert(1)>",
    "a\nb\r\u2028c",
    "\u202egnp.exe",
    "$title ${data} \\u003c",
    "]]> &lt; &amp;",
    "\ud800",
]


@pytest.fixture(autouse=True)
def engine():
    try:
        return rendering.find_engine("svg")
    except sg.SymgraphError:
        pytest.skip("no Graphviz program")


class Elements(HTMLParser):
    """Every element with its attributes, and the text directly inside scripts and styles."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.raw, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.cdata_elem:
            self.raw.append((self.found[-1], data))
        else:
            self.words.append(data)


def training(style="plain", **options):
    """A training step of a network of two layers."""
    x, y = sg.symbol("x", ("batch", 3)), sg.symbol("y", ("batch", 2))
    rng = np.random.default_rng(0)
    ps = [sg.parameter(rng.normal(size=s), n) for n, s in {"W1": (3, 4), "b1": (4,), "W2": (4, 2), "b2": (2,)}.items()]
    W1, b1, W2, b2 = ps
    h = sg.named(sg.tanh(x @ W1 + b1), "hidden")
    z = sg.named(h @ W2 + b2, "logits")
    log_p = z - sg.log(sg.exp(z).sum(axis=1, keepdims=True))
    loss = sg.named(-(y * log_p).sum(), "loss")
    updates = {p: p - 0.1 * g for p, g in zip(ps, sg.grad(loss, ps), strict=True)}
    return sg.function([x, y], {"loss": loss}, updates, name="step", style=style, **options)


SAMPLE = np.linspace(-1, 1, 15).reshape(5, 3), np.eye(2)[[0, 1, 0, 1, 1]]


def written(f, folder, *args):
    return view_function(f, folder / "model.html", *args).read_text()


def data_of(text):
    (found,) = [t for (tag, a), t in Elements(text).raw if tag == "script" and a.get("type") == "application/json"]
    return json.loads(found)


# The file ------------------------------------------------------------------------------------------------------------


def test_policy_allows_exactly_the_script_and_style_of_the_page(tmp_path):
    text = written(training(), tmp_path, *SAMPLE)
    page = Elements(text)
    (policy,) = [a["content"] for tag, a in page.found if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    for element in ("script", "style"):
        (body,) = [t for (tag, a), t in page.raw if tag == element and "type" not in a]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert rules.pop(f"{element}-src") == f"'sha256-{digest}'"
    assert rules == {"base-uri": "'none'", "form-action": "'none'"}
    assert text.index("Content-Security-Policy") < min(text.index("<style"), text.index("<script"))


def test_nothing_is_loaded_and_no_handler_is_inline(tmp_path):
    text = written(training("fast"), tmp_path, *SAMPLE)
    for tag, attributes in Elements(text).found:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "a", "form", "image", "use")
        assert not [a for a in attributes if a.startswith("on") or a in ("src", "href", "style", "xlink:href")], tag
    scripts = " ".join(t for (tag, _), t in Elements(text).raw if tag in ("script", "style"))
    outside = re.findall(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|fetch|XMLHttp|import", scripts
    )
    assert set(outside) <= {"import"}  # of the generated source, in the data
    assert "http" not in scripts.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_never_markup(name, tmp_path):
    x = sg.symbol(name, ("n",))
    size = sg.symbol("v", ("m" if name == "\ud800" else name,))
    out = {name: sg.named(sg.sin(x) * 2, name), "other": size + 1}
    path = view(out, tmp_path / "model.html", {x: [1.0, 2.0], size: [1.0]})
    text = path.read_bytes().decode()
    page = Elements(text)
    assert not [t for t, _ in page.found if t in ("img", "b")]
    assert [t for t, _ in page.found].count("script") == 2
    assert not any(c in text for c in "\u202e\u2028\r")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert shown in "".join(page.words)
    assert any(n.get("formula") == shown for n in data_of(text)["nodes"])


def test_data_cannot_end_its_element():
    text = embedded({"</script>": "<!-- & \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script>": "<!-- & \u2028"}


def test_listing_is_the_source():
    source = training("fast").source
    lines = [html.unescape(re.sub(r"</?span[^>]*>", "", line)) for line in highlighted(source)]
    assert "\n".join(lines) == source.rstrip("\n")


def test_the_same_model_gives_the_same_page(tmp_path):
    program = (
        "import sys, symgraph as sg\nfrom symgraph.viz.page import view\n"
        "x, y = sg.symbol('x', ('n',)), sg.symbol('y'); f = (sg.exp(x) * y + x / y).sum()\n"
        "view([f, *sg.grad(f, [x, y])], sys.argv[1], {x: [1.0, 2.0], y: 3.0})\n"
    )
    texts = []
    for seed in "12":
        path = tmp_path / f"{seed}.html"
        subprocess.run([sys.executable, "-c", program, path], env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin",
                       "PYTHONPATH": ":".join(sys.path)}, check=True)  # fmt: skip
        texts.append(path.read_text())
    assert texts[0] == texts[1]
    assert not re.search(r"0x[0-9a-f]{8}", texts[0])


# What it says --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["plain", "fast"])
@pytest.mark.parametrize("optimize", [True, False])
def test_every_line_of_the_function_belongs_to_nodes(style, optimize):
    f = training(style, optimize=optimize)
    shown, keys = painted(f)
    links = trace(f, keys)
    lines = f.source.split("\n")
    for number, line in enumerate(lines[: links.end], 1):
        if line.strip() and not line.startswith(("import ", "from ")):
            assert links.nodes_of.get(number), line
    keys_of = {node.key: node for node in shown.nodes}
    assert {key for keys in links.nodes_of.values() for key in keys} <= set(keys_of)
    for node in shown.nodes:
        assert links.lines_of[node.key], node.text
        for line in links.lines_of[node.key]:
            if node.key not in links.within:
                assert node.key in links.nodes_of[line]


def models():
    x, y, v = sg.symbol("x"), sg.symbol("y"), sg.symbol("v", ("n",))
    A = sg.symbol("A", ("n", "n"))
    Q, R = sg.linalg.qr(A)
    yield "scalar", sg.function([x, y], sg.grad(sg.sin(x * y) + sg.log(x), x))
    chosen = sg.cond(x > 0, lambda u: sg.sin(u) * 2, lambda u: u - 1, v)
    yield "branches", sg.function([x, v], chosen)
    yield "branches' gradient", sg.function([x, v], sg.grad(chosen.sum(), v), style="plain")
    yield "several outputs", sg.function([A], [Q @ Q, R])
    yield "constants", sg.function([v], [(v[:3] * np.arange(3.0)).sum(), sg.constant(np.arange(100.0))])
    yield "output is input", sg.function([x], [x, x + 0])
    yield "all in the return", sg.function([], sg.parameter(np.ones(3), "p").sum())
    yield "determinant", sg.function([A], sg.linalg.slogdet(A))
    yield "second order", sg.function([v], sg.hessian((sg.tanh(v) ** 2).sum(), v))


@pytest.mark.parametrize(("name", "f"), [*models()])
def test_every_kind_of_source_is_traced(name, f):
    _, keys = painted(f)
    links = trace(f, keys)
    for node, key in keys.items():
        if not isinstance(f.became[node].op, Leaf | Constant):  # else nothing is left to compute
            assert links.lines_of[key], node
    for number, line in enumerate(f.source.split("\n")[: links.end], 1):
        if line.strip() and not line.startswith(("import ", "from ")):
            assert links.nodes_of.get(number), (number, line, f.source)


def test_statement_of_a_node_is_the_one_that_computes_it():
    f = training()
    shown, keys = painted(f)
    links = trace(f, keys)
    lines = f.source.split("\n")
    statement = {
        n.name: [lines[i - 1].split(" = ")[0].strip() for i in links.lines_of[n.key]] for n in shown.nodes if n.name
    }
    assert statement["hidden"] == ["hidden"] and statement["logits"] == ["logits"] and statement["loss"] == ["loss"]
    gradient = next(n for n in shown.nodes if n.role == "gradient of W1")
    assert [lines[i - 1].split(" = ")[0].strip() for i in links.lines_of[gradient.key]] == ["grad_W1"]
    exp = next(n for n in shown.nodes if n.op == "exp")
    assert exp.key in links.within  # the sum of exponentials is written in its stable form


def test_line_that_runs_a_loop_lights_what_the_loop_computes():
    f = training("fast")
    links = trace(f, painted(f)[1])
    lines = f.source.split("\n")
    (call,) = [i for i, text in enumerate(lines, 1) if "= blockwise(" in text]
    begin = lines.index(next(text for text in lines if text.startswith("def step_block1("))) + 2
    end = lines.index("", begin)
    assert end - begin > 5
    for line in range(begin, end + 1):
        assert set(links.nodes_of[line]) & set(links.nodes_of[call]), lines[line - 1]


def test_rules_that_fired_on_rewritten_operands_are_told(tmp_path):
    x, y = sg.symbol("x"), sg.symbol("y")
    nodes = data_of(view(sg.log(sg.exp(x * y / y)) + 0, tmp_path / "model.html").read_text())["nodes"]
    last = nodes[-1]
    assert last["op"] == "add" and last["rules"] == ["x + 0 (finite-real): x + 0 → x"] and last["became"] == "x"
    log = next(n for n in nodes if n["op"] == "log")
    assert log["rules"][-1].endswith(": log(exp(x)) → x")


def test_rules_that_rewrote_a_node_are_told(tmp_path):
    nodes = data_of(written(training(), tmp_path))["nodes"]
    (log,) = [n for n in nodes if n["op"] == "log"]
    assert "logsumexp" in log["rules"][0] and "(rounding)" in log["rules"][0]
    assert not [n for n in nodes if n["op"] == "tanh" and n["rules"]]


def test_values_are_those_of_the_sample(tmp_path):
    f = training("fast")
    before = {name: p.value for name, p in f.parameters.items()}
    nodes = data_of(written(f, tmp_path, *SAMPLE))["nodes"]
    for name, p in f.parameters.items():
        np.testing.assert_array_equal(p.value, before[name])  # nothing is updated
    loss = next(n for n in nodes if n["kind"] == "output")
    assert float(loss["value"]) == pytest.approx(f(*SAMPLE)["loss"], rel=1e-6)
    assert all("value" in n for n in nodes)
    assert not [n for n in data_of(written(training(), tmp_path))["nodes"] if "value" in n]


def test_steps_go_forward_then_backward_and_inputs_before_users(tmp_path):
    x = sg.symbol("x", ("n",))
    y = sg.tanh(x).sum()
    data = data_of(view([sg.grad(y, x), y], tmp_path / "model.html").read_text())
    orders = [data["nodes"][i]["order"] for i in data["steps"]]
    assert orders == sorted(orders) and set(orders) == {0, 1}
    place = {i: k for k, i in enumerate(data["steps"])}
    assert sorted(place) == list(range(len(data["nodes"])))
    assert all(place[x] < place[i] for i, n in enumerate(data["nodes"]) for x in n["operands"])


def test_adjoints_know_their_forward_nodes(tmp_path):
    nodes = data_of(written(training(), tmp_path))["nodes"]
    for i, n in enumerate(nodes):
        assert all(i in nodes[j]["adjoints"] for j in n["forward"])
        assert all(i in nodes[j]["users"] for j in n["operands"])
    hidden = next(n for n in nodes if n["text"].startswith("hidden = "))
    assert [nodes[i]["role"] for i in hidden["adjoints"]] == ["adjoint of hidden"]


def test_forward_stands_left_of_backward(tmp_path):
    text = written(training(), tmp_path)
    columns = re.findall(r'<rect class="column[^"]*" x="([-\d.]+)"', text)
    assert len(columns) == 2 and float(columns[0]) < float(columns[1])


def test_all_nodes_stand_in_the_page_as_text(tmp_path):
    text = written(training(), tmp_path, *SAMPLE)
    data = data_of(text)
    assert text.count("<li>") == len(data["nodes"])
    page = Elements(text)
    labelled = [a["aria-label"] for tag, a in page.found if tag == "g" and a.get("role") == "button"]
    assert len(labelled) == len(data["nodes"]) and all(labelled)


@pytest.mark.parametrize(
    ("value", "has"),
    [
        (np.arange(6.0).reshape(2, 3), ["[[0. 1. 2.]", " [3. 4. 5.]]"]),
        (np.float32(0.5), ["0.5"]),
        (np.arange(100.0), ["min 0", "max 99", "mean 49.5", "first: 0 1 2 3 4 5 6 7 …", "shape (100,)"]),
        (np.where(np.arange(100) == 3, np.nan, 1.0), ["1 not finite", "min 1"]),
        (np.full(100, np.inf), ["no finite element"]),
        (np.arange(100) > 30, ["true: 69 of 100"]),
        (np.full(100, 3 + 4j), ["largest magnitude 5"]),
        (np.zeros((0, 3)), ["[]"]),
        ((np.float64(1), np.float64(2)), ["1\n2"]),
    ],
)
def test_values_are_shown_whole_or_summarised(value, has):
    text, short = told(value)
    assert all(part in text for part in has), text
    assert len(short) < 40


# What it refuses -----------------------------------------------------------------------------------------------------


def test_a_failed_call_leaves_nothing(tmp_path):
    x = sg.symbol("x", ("n", 3))
    target = tmp_path / "model.html"
    with pytest.raises(sg.ShapeError, match="x has shape"):
        view(sg.exp(x), target, {x: np.ones((2, 4))})
    with pytest.raises(sg.DTypeError, match="x must hold numbers"):
        view(sg.exp(x), target, {x: [["a"]]})
    with pytest.raises(TypeError, match="missing 'x'"):
        view(sg.exp(x), target, {})
    with pytest.raises(sg.CompileError, match="is no symbol of the outputs"):
        view(sg.exp(x), target, {sg.symbol("y"): 1.0})
    with pytest.raises(sg.SymgraphError, match="no program 'nowhere'"):
        view(sg.exp(x), target, engine="nowhere")
    with pytest.raises(sg.SymgraphError, match="nothing to view"):
        view([], target)
    with pytest.raises(ValueError, match=r"must end in \.html"):
        view(sg.exp(x), tmp_path / "model.svg")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        view(sg.exp(x), tmp_path / "nowhere" / "model.html")
    assert not list(tmp_path.iterdir())


def test_dimensions_that_must_agree_do(tmp_path):
    x, y = sg.symbol("x", ("n",)), sg.symbol("y", ("m",))
    with pytest.raises(sg.ShapeError, match="x has n=2 but y has m=1"):
        view(x + y, tmp_path / "model.html", {x: [1.0, 2.0], y: [1.0]})


def test_a_function_without_its_graph_is_refused(tmp_path):
    f = pickle.loads(pickle.dumps(training()))
    for call in (lambda: view(f, tmp_path / "a.html"), lambda: view_function(f, tmp_path / "a.html")):
        with pytest.raises(sg.SymgraphError, match="without its graph"):
            call()
    assert not list(tmp_path.iterdir())


def test_a_graph_that_is_too_large_is_refused_with_advice(tmp_path):
    y = x = sg.symbol("x")
    for _ in range(pages.MOST):
        y = sg.sin(y)
    with pytest.raises(sg.SymgraphError, match=r"3,001 nodes, and a page holds at most 3,000\. Put nodes together"):
        view(y, tmp_path / "model.html", {x: 1.0})
    assert not list(tmp_path.iterdir())


def test_two_inputs_of_one_name(tmp_path):
    a, b = sg.symbol("x"), sg.symbol("x")
    data = data_of(view(a - b, tmp_path / "model.html", {a: 3.0, b: 1.0}).read_text())
    assert [n["value"] for n in data["nodes"]][-1] == "2"


def test_deep_graphs_need_no_recursion(tmp_path):
    y = x = sg.symbol("x")
    for _ in range(2000):
        y = sg.sin(y)
    text = view(y, tmp_path / "model.html", {x: 1.0}).read_text()
    assert text.count('class="node ') == 2001
