"""The page in a real browser: headless Chromium, driven over a pipe by the DevTools protocol, with real keys and clicks."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

import symgraph as sg
from symgraph.viz import engine as rendering
from symgraph.viz.page import view, view_function

pytest.importorskip("graphviz")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason=f"no Chromium is installed ({', '.join(NAMES)})"),
    pytest.mark.skipif(sys.platform == "win32", reason="the pipe is given to Chromium as file descriptors 3 and 4"),
]
PATIENCE = 60
"""Seconds for a browser on a machine with other things to do."""


class Browser:
    """Chromium with one tab, and what it said."""

    def __init__(self, folder):
        to_read, self.write = os.pipe()
        self.read, to_write = os.pipe()
        start = (
            "import fcntl, os, sys\n"
            "kept = [fcntl.fcntl(int(d), fcntl.F_DUPFD, 20) for d in sys.argv[1:3]]\n"
            "os.dup2(kept[0], 3), os.dup2(kept[1], 4)\n"
            "os.execv(sys.argv[3], sys.argv[3:])\n"
        )
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
                   "--no-first-run", f"--user-data-dir={folder}", "--window-size=1400,900", "about:blank"]  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, str(to_read), str(to_write), CHROMIUM, *options],
            pass_fds=[to_read, to_write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self.stuck = threading.Timer(3 * PATIENCE, self.process.kill)
        self.stuck.start()
        self.count, self.rest, self.session, self.events = 0, b"", None, []
        tabs = self.send("Target.getTargets")["targetInfos"]
        tab = next(t["targetId"] for t in tabs if t["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    def receive(self):
        while b"\0" not in self.rest:
            more = os.read(self.read, 1 << 16)
            assert more, "Chromium has ended"
            self.rest += more
        one, _, self.rest = self.rest.partition(b"\0")
        message = json.loads(one)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, path, fragment=""):
        self.events.clear()
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=f"{path.as_uri()}{fragment}")
        for _ in range(PATIENCE * 20):
            if self.run("document.body && document.body.dataset.ready") == "yes":
                return
            threading.Event().wait(0.05)
        raise AssertionError("the page did not become ready")

    def run(self, expression):
        """The value of an expression in the page (the debugger is not bound by the policy of the page)."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def state(self, name):
        return self.run(f"document.body.dataset.{name}")

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS.get(key, 0), **text
            )

    def click(self, selector):
        """A real click in the middle of an element."""
        where = f"(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        x, y = self.run(where)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def complaints(self):
        """What was said on the console or thrown, and what was asked of any network."""
        said = [
            e["params"]
            for e in self.events
            if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        ]
        asked = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return said, [url for url in asked if not url.startswith(("file:", "about:"))]

    def close(self):
        with contextlib.suppress(OSError, AssertionError):
            self.session = None
            self.send("Browser.close")
        self.stuck.cancel()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.read)
        os.close(self.write)


KEYS = {"Enter": 13, "Escape": 27, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
        "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    try:
        rendering.find_engine("svg")
    except sg.SymgraphError:
        pytest.skip("no Graphviz program")
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The page of a training step with a sample, and its function."""
    x, y = sg.symbol("x", ("batch", 3)), sg.symbol("y", ("batch",))
    w, b = sg.parameter(np.array([0.1, -0.2, 0.3]), "w"), sg.parameter(0.5, "b")
    z = sg.named(sg.tanh(x @ w + b), "z")
    loss = sg.named(((z - y) ** 2).mean(), "loss")
    gw, gb = sg.grad(loss, [w, b])
    f = sg.function([x, y], loss, updates={w: w - 0.1 * gw, b: b - 0.1 * gb}, name="step")
    path = tmp_path_factory.mktemp("model") / "model.html"
    return view_function(f, path, np.arange(12.0).reshape(4, 3) / 10, [0.0, 1.0, 0.0, 1.0]), f


def id_of(browser, condition):
    """The key of the first node for which a condition on `n` holds."""
    return browser.run(f"nodes.find(n => {condition}).id")


def test_clicking_a_node_tells_of_it_and_lights_its_lines(browser, model):
    browser.open(model[0])
    z = id_of(browser, 'n.text.startsWith("z = ")')
    browser.click(f"#{z} .shape")
    assert browser.state("node") == z
    told = browser.text("#told")
    assert "tanh(x @ w + b)" in told and "(batch,) float64" in told and "test_page_in_browser.py:" in told
    assert "adjoint" in told and "Statement" in told and "Value" in told
    lit = browser.run('[...document.querySelectorAll("#source .lit")].map(d => d.textContent).join("|")')
    assert "np.tanh" in lit
    assert browser.run("document.activeElement.id") == z
    assert browser.complaints() == ([], [])


def test_clicking_a_line_lights_its_nodes_and_enter_goes_to_them(browser, model):
    browser.open(model[0])
    line = browser.run(
        '[...document.querySelectorAll("#source [data-n]")].find(d => d.textContent.includes("np.tanh")).id'
    )
    browser.run(f'document.getElementById("{line}").scrollIntoView()')
    browser.click(f"#{line} span")
    assert browser.state("line") == line[1:]
    lit = browser.run('[...document.querySelectorAll(".node.lit")].map(g => g.id)')
    assert id_of(browser, 'n.text.startsWith("z = ")') in lit
    assert browser.run(f'document.getElementById("{line}").getAttribute("aria-selected")') == "true"
    browser.run("$('source').focus()")
    browser.key("ArrowDown")
    assert int(browser.state("line")) == int(line[1:]) + 1
    browser.key("Enter")
    assert browser.state("node") and browser.run("document.activeElement.id") == browser.state("node")


def test_every_statement_lights_something(browser, model):
    browser.open(model[0])
    dark = browser.run("numbers.filter(n => { light(n); return !document.querySelector('.node.lit'); })")
    assert dark == [] and browser.run("numbers.length") > 10


def test_arrow_keys_walk_the_graph(browser, model):
    browser.open(model[0])
    z = id_of(browser, 'n.text.startsWith("z = ")')
    browser.click(f"#{z} .shape")
    browser.key("ArrowRight")
    adjoint = browser.state("node")
    assert browser.run(f"nodes[index.get('{adjoint}')].role") == "adjoint of z"
    browser.key("ArrowLeft")
    assert browser.state("node") == z
    browser.key("ArrowUp")
    assert browser.run(f"nodes[index.get('{z}')].operands.includes(state.node)")
    browser.key("ArrowDown")
    assert browser.state("node") == z
    browser.key("PageDown")
    assert browser.run(f"when[state.node] - when[index.get('{z}')]") == 1
    browser.key("Escape")
    assert browser.state("node") == ""


def test_tab_reaches_every_control_with_a_visible_focus(browser, model):
    browser.open(model[0])
    browser.run("document.activeElement.blur()")
    met, outlines = [], []
    for _ in range(14):
        browser.key("Tab")
        met.append(browser.run("document.activeElement.id || document.activeElement.tagName"))
        outlines.append(browser.run(
            "(e => e.closest('svg') ? getComputedStyle(e.querySelector('.shape')).strokeWidth : getComputedStyle(e).outlineStyle)(document.activeElement)"
        ))  # fmt: skip
    assert {"find", "closer", "farther", "fit", "fold", "n0", "first", "back", "at", "on", "last", "source"} <= set(met)
    assert not [name for name, o in zip(met, outlines, strict=True) if o in ("none", "1.2px") and name != "BODY"]


def test_steps_show_values_forward_then_backward(browser, model):
    path, f = model
    browser.open(path, "#step=0")
    count = int(browser.run("nodes.length"))
    assert browser.run('document.querySelectorAll(".node.todo").length') == count
    sides = []
    for k in range(1, count):
        browser.click("#on")
        assert browser.state("step") == str(k)
        assert browser.run('document.querySelectorAll(".node.todo").length') == count - k
        assert browser.run('document.querySelectorAll(".node .value").length') == k
        sides.append(browser.text("#step").split(" · ")[1])
    assert sides == sorted(sides, key=["forward", "backward"].index) and set(sides) == {"forward", "backward"}
    loss = browser.run('nodes.findIndex(n => n.text.startsWith("loss = "))')
    browser.run(f"go(when[{loss}] + 1)")
    assert f"{float(f(np.arange(12.0).reshape(4, 3) / 10, [0.0, 1.0, 0.0, 1.0])):.4g}" in browser.text("#step")
    browser.click("#back")
    assert browser.state("step") == str(browser.run(f"when[{loss}]"))


def test_search_marks_and_enter_selects(browser, model):
    browser.open(model[0])
    browser.click("#find")
    browser.send("Input.insertText", text="tanh")
    assert browser.text("#found").endswith(("node", "nodes"))
    assert browser.run('[...document.querySelectorAll(".node.hit")].some(g => g.textContent.includes("tanh"))')
    browser.key("Enter")
    assert browser.run("document.getElementById(document.body.dataset.node).classList.contains('hit')")


def test_lines_of_the_program_collapse_and_expand(browser, model):
    browser.open(model[0])
    count = browser.run('document.querySelectorAll("#nodes .node:not(.gone)").length')
    browser.click("#fold")
    boxes = browser.run('document.querySelectorAll(".group").length')
    assert boxes == browser.run("groups.length") > 1
    assert browser.run('document.querySelectorAll("#nodes .node:not(.gone)").length') < count
    assert browser.run("document.getElementById('fold').textContent") == "Expand all"
    browser.click(".group .shape + .shape")
    assert browser.run('document.querySelectorAll(".group").length') == boxes - 1
    browser.run("document.querySelector('.group').focus()")
    browser.key("Enter")
    assert browser.run('document.querySelectorAll(".group").length') == boxes - 2 and browser.state("node")
    browser.click("#fold")
    browser.click("#fold")
    assert browser.run('document.querySelectorAll("#nodes .node:not(.gone)").length') == count


def test_zoom_and_drag_move_the_view(browser, model):
    browser.open(model[0])
    box = lambda: [float(v) for v in browser.run("svg.getAttribute('viewBox')").split(" ")]
    start = box()
    browser.click("#closer")
    assert box()[2] < start[2]
    browser.send("Input.dispatchMouseEvent", type="mousePressed", x=60, y=300, button="left", clickCount=1)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=120, y=330, button="left", buttons=1)
    browser.send("Input.dispatchMouseEvent", type="mouseReleased", x=120, y=330, button="left", clickCount=1)
    moved = box()
    assert moved[0] < start[0] + (start[2] - moved[2]) / 2 - 10
    browser.send("Input.dispatchMouseEvent", type="mouseWheel", x=300, y=300, deltaX=0, deltaY=120)
    assert box()[2] > moved[2]
    browser.click("#fit")
    assert box() == pytest.approx(start)


def test_what_a_screen_reader_is_told(browser, model):
    browser.open(model[0])
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    told = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree if not n.get("ignored")]
    buttons = [name for role, name in told if role in ("button", "ToggleButton", "togglebutton")]
    assert any(name.startswith("z = tanh(•)") for name in buttons)
    assert {"Zoom in", "Zoom out", "One step on", "One step back"} <= set(buttons)
    assert ("listbox", "Generated source") in [(r.lower(), n) for r, n in told]
    assert ("slider", "Step") in [(r.lower(), n) for r, n in told]
    assert not [r for r, n in told if r in ("button", "slider", "searchbox", "listbox", "option") and not n.strip()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(browser, model, scheme):
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        browser.open(model[0])
        colours = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
        ink, paper = browser.run(colours)
        assert contrast(ink, paper) > 7
        assert (luminance(paper) > 0.5) is (scheme == "light")
        soft = browser.run("getComputedStyle(document.querySelector('header p')).color")
        assert contrast(soft, paper) > 4.5
        for kind in ("input", "parameter", "op", "output", "adjoint", "gradient", "update"):
            fill, text = browser.run(
                f"(g => [getComputedStyle(g.querySelector('.shape')).fill, getComputedStyle(g.querySelector('text')).fill])(document.querySelector('.node.{kind}'))"
            )
            assert contrast(fill, text) > 7, kind
    finally:
        browser.send("Emulation.setEmulatedMedia", features=[])


def luminance(colour):
    parts = [float(c) / 255 for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    r, g, b = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def test_a_phone_does_not_scroll_sideways(browser, model):
    browser.send("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    try:
        browser.open(model[0])
        assert browser.run("document.documentElement.scrollWidth") <= 360
    finally:
        browser.send("Emulation.clearDeviceMetricsOverride")


HOSTILE = [
    "</script><img src=x onerror=\"document.body.dataset.owned='yes'\">",
    "<svg onload=document.body.dataset.owned='yes'>",
    "\"'><script>document.body.dataset.owned='yes'</script>",
    "a\nb\u202ec",
]


def test_hostile_names_run_nothing(browser, tmp_path):
    xs = [sg.symbol(name, (f"d{i}<b>",)) for i, name in enumerate(HOSTILE)]
    out = {name: sg.named(sg.sin(x) * 2, name) for name, x in zip(HOSTILE, xs, strict=True)}
    path = view(out, tmp_path / "model.html", {x: [1.0] for x in xs})
    browser.open(path)
    for i in range(int(browser.run("nodes.length"))):
        browser.run(f"choose({i}, true)")
    for n in browser.run("numbers"):
        browser.run(f"light({n})")
    browser.run(f"location.hash = {json.dumps('find=%3Cimg%20onerror%3D1%3E&select=<b>&step=x&line=-1')}")
    browser.click("#fold")
    assert browser.state("owned") is None
    assert browser.run("document.querySelectorAll('img, b, script:not([type])').length") == 1  # its own script
    assert browser.complaints() == ([], [])
    assert "\u202e" not in browser.run("document.documentElement.outerHTML")


def test_the_policy_holds(browser, model):
    browser.open(model[0])
    browser.run(
        "const s = document.createElement('script'); s.textContent = \"document.body.dataset.owned = 'yes'\"; document.body.append(s);"
        "const i = document.createElement('img'); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i);"
        "document.body.setAttribute('onclick', \"document.body.dataset.owned = 'yes'\"); document.body.click(); 0"
    )
    browser.run("new Promise(r => setTimeout(r, 100))")
    assert browser.state("owned") is None
    said, _ = browser.complaints()
    assert any("Content Security Policy" in json.dumps(entry) for entry in said)


def test_two_thousand_nodes_are_quick(browser, tmp_path):
    h = x = sg.symbol("x", ("n",))
    for _ in range(330):
        h = sg.tanh(h) * 1.5
    path = view({"h": h.sum(), "g": sg.grad(h.sum(), x)}, tmp_path / "model.html", {x: [0.1, 0.2]})
    browser.open(path)
    count = int(browser.run("nodes.length"))
    assert count > 1500
    milliseconds = browser.run(
        "(() => { const t = performance.now(); choose(700, false); go(900); return performance.now() - t; })()"
    )
    assert milliseconds < 5000
    assert browser.run("performance.now()") < PATIENCE * 1000
    print(
        f"{count} nodes: select and step in {milliseconds:.0f} ms, ready after {browser.run('performance.timing.loadEventEnd - performance.timing.navigationStart')} ms"
    )
