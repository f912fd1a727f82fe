"""`symgraph draw | view | source | explain` on a user's own file, in this process."""

from __future__ import annotations

import io
import json
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph
import symgraph.viz
from symgraph.cli import main
from symgraph.commands.target import Refused, did_you_mean, one_line, parse

MODEL = """
import functools, sys
import numpy as np
import symgraph as sg

print("the file speaks", sys.argv, __name__)
x = sg.symbol("x", ("batch", 3))
y = sg.symbol("y", ("batch",))
W = sg.parameter(np.zeros(3), "W")
h = np.tanh(x @ W)
hidden = sg.named(h * 2, "hidden")
loss = np.mean((hidden - y) ** 2)
elsewhere = np.cos(y)
grads = {"W": sg.grad(loss, W)}
step = sg.function([x, y], loss, updates={W: W - 0.1 * grads["W"]}, name="step")
plain = sg.function([x, y], loss, style="plain", optimize=False)
pair = (loss, "words")
calls = []
number, nothing = 3, None


def build():
    calls.append(1)
    return loss + len(calls)


def needs(a, b=1):
    return a


@functools.cache
def kept():
    return [loss]


def silent():
    pass


@sg.func.jit
def jitted(a):
    return a


class Net:
    def __init__(self):
        self.loss = loss

    @property
    def broken(self):
        return {}["missing"]

    @property
    def absent(self):
        return self.nowhere

    def whole(self):
        return [self.loss]


net = Net()
endless = []
endless.append(endless)

if __name__ == "__main__":
    raise SystemExit("this is not for the command line")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    return tmp_path


class Run:
    """What a command gave."""

    def __init__(self, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
        before = sys.path[:], sys.argv[:], sys.stdout, "model" in sys.modules
        try:
            self.status: Any = main(argv)
        except SystemExit as stop:
            self.status = stop.code
        assert (sys.path, sys.argv, sys.stdout, "model" in sys.modules) == before
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], folder: Path) -> Any:
    return lambda *argv: Run(capsys, argv)


def line(ran: Run) -> str:
    """The last line on the error output of a command that could not do what was asked."""
    assert ran.status == 2 and ran.out == "" and "Traceback" not in ran.err
    last = ran.err.splitlines()[-1]
    assert last.startswith("symgraph ") and ran.err.count("symgraph ") >= 1
    return last


# What is named ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, place, names",
    [
        ("model.py:loss", "model.py", ("loss",)),
        ("model.py", "model.py", ()),
        ("model.py:", "model.py", ()),
        ("my models/a b.py:loss, net.hidden", "my models/a b.py", ("loss", "net.hidden")),
        (r"C:\m.py:name", r"C:\m.py", ("name",)),
        (r"C:\m.py", r"C:\m.py", ()),
        ("c:/m.py", "c:/m.py", ()),
        ("package.module:loss", "package.module", ("loss",)),
        ("módulo.py:θ", "módulo.py", ("θ",)),
        ("m.py:ﬁt", "m.py", ("fit",)),
        ("m.py:a,b,a", "m.py", ("a", "b")),
    ],
)
def test_targets(text: str, place: str, names: tuple[str, ...]) -> None:
    target = parse(text)
    assert (target.place, target.names) == (place, names)
    assert (target.path is None) == (text == "package.module:loss")


@pytest.mark.parametrize("text", ["", ":loss", "m.py:a b", "m.py:a,,b", "m.py:a.", "m.py:1", "m.py:f()", "m.py:a[0]"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(Refused):
        parse(text)


def test_a_colon_in_the_name_of_a_file_that_exists(folder: Path) -> None:
    if os.name != "posix":
        pytest.skip("no such names here")
    (folder / "a:b.py").write_text(MODEL)
    assert parse("a:b.py").names == () and parse("a:b.py:loss").names == ("loss",)
    assert parse("a:b.py:loss").place == "a:b.py"


def test_what_messages_are_made_of() -> None:
    assert did_you_mean("los", ["loss", "x"]) == "; did you mean 'loss'?" and did_you_mean("q", ["loss"]) == ""
    assert one_line("a\n  b\x1b[31m") == "a b\\x1b[31m"


# draw ------------------------------------------------------------------------------------------------------------------


def test_a_picture_is_called_as_what_it_shows(run: Any, folder: Path) -> None:
    ran = run("draw", "model.py:loss")
    assert (ran.status, ran.out) == (0, "loss.svg\n")
    assert ran.err == "the file speaks ['model.py'] model\n"
    assert (folder / "loss.svg").read_text().count("<svg") == 1


def test_names_in_the_file_are_names_in_the_picture(run: Any, folder: Path) -> None:
    assert run("draw", "model.py:loss,grads", "-o", "both.dot").out == "both.dot\n"
    text = (folder / "both.dot").read_text()
    assert "loss" in text and "gradient of W" in text and "hidden" in text


@pytest.mark.parametrize(
    "name, file", [("net.loss", "net.loss"), ("grads", "grads"), ("step", "step"), ("build", "build"), ("kept", "kept")]
)
def test_what_can_be_named(run: Any, folder: Path, name: str, file: str) -> None:
    assert run("draw", f"model.py:{name}", "-o", str(folder)).out == f"{folder / file}.svg\n"
    assert (folder / f"{file}.svg").is_file()


def test_a_method_and_a_module_by_its_dotted_name(run: Any, folder: Path) -> None:
    package = folder / "package_of_cli"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(MODEL)
    try:
        assert "def part(x, y):" in run("source", "package_of_cli.part:net.whole").out
    finally:
        for name in ("package_of_cli", "package_of_cli.part"):
            del sys.modules[name]


def drawn_with(monkeypatch: pytest.MonkeyPatch, run: Any, *argv: str) -> dict[str, Any]:
    """The keyword arguments that `draw` gets."""
    got: dict[str, Any] = {}

    def draw(outputs: Any, path: Path, **options: Any) -> Path:
        got.update(options)
        return path

    monkeypatch.setattr(symgraph.viz, "draw", draw)
    ran = run("draw", "model.py:loss", *argv)
    assert ran.status == 0, ran.err
    return got


def test_options_of_draw(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    assert drawn_with(monkeypatch, run) == {}
    assert drawn_with(monkeypatch, run, "--optimize") == {"optimize": True}
    given = drawn_with(
        monkeypatch, run, "--both", "--by=name", "--depth=0", "--focus=hidden", "--focus=W", "--radius=0",
        "--collapse=elementwise", "--collapse=auto", "--theme=print", "--no-legend", "--engine=dot", "--timeout=2.5",
    )  # fmt: skip
    assert given == {
        "optimize": "both", "by": "name", "depth": 0, "focus": ["hidden", "W"], "radius": 0,
        "collapse": ["elementwise", "auto"], "theme": "print", "legend": False, "engine": "dot", "timeout": 2.5,
    }  # fmt: skip


def test_draw_takes_every_option(run: Any, folder: Path) -> None:
    ran = run(
        "draw", "model.py:loss", "-o", "all.dot", "--by=name", "--depth=3", "--focus=hidden", "--focus=h", "--radius=1",
        "--collapse=elementwise", "--theme=dark", "--no-legend", "--optimize",
    )  # fmt: skip
    assert (ran.status, ran.out) == (0, "all.dot\n"), ran.err


def test_focus_finds_variables_of_the_file(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    (found,) = drawn_with(monkeypatch, run, "--focus=h")["focus"]
    assert isinstance(found, symgraph.Tensor) and found.op.name == "tanh"
    assert drawn_with(monkeypatch, run, "--focus=elsewhere")["focus"] == ["elsewhere"]  # no part of it: draw tells


def test_large_graphs_are_answered_in_options(run: Any, folder: Path) -> None:
    (folder / "chain.py").write_text(
        "import symgraph as sg\ny = sg.symbol('x')\nfor _ in range(5000):\n    y = sg.sin(y)\n"
    )
    said = line(run("draw", "chain.py:y"))
    assert "5,001 nodes" in said and "--collapse auto" in said and "--depth 0" in said and "-o model.dot" in said
    assert "=" not in said
    assert run("draw", "chain.py:y", "--collapse=auto", "-o", "y.dot").out == "y.dot\n"


@pytest.mark.parametrize(
    "option",
    [
        "--depth=-1",
        "--depth=x",
        "--radius=1.5",
        "--timeout=0",
        "--timeout=nan",
        "--timeout=inf",
        "--theme=pink",
        "--by=luck",
    ],
)
def test_options_out_of_range(run: Any, option: str) -> None:
    assert option.partition("=")[2] in line(run("draw", "model.py:loss", option))


def test_optimize_or_both(run: Any) -> None:
    assert "not allowed with" in line(run("draw", "model.py:loss", "--both", "--optimize"))


# What cannot be done ---------------------------------------------------------------------------------------------------


def test_without_a_name_there_is_a_list(run: Any) -> None:
    for target in ("model.py", "model.py:"):
        ran = run("draw", target)
        assert ran.status == 2 and ran.out == ""
        _, first, *rest = ran.err.splitlines()
        assert first.startswith("symgraph draw: say which, as in model.py:")
        listed = {words[0]: " ".join(words[1:]) for words in map(str.split, rest)}
        assert listed["loss"] == "tensor () float64" and listed["grads"] == "dict of 1 tensor"
        assert listed["step"] == "function step(x (batch, 3) float64, y (batch,) float64) over W"
        assert listed["net.loss"] == "tensor () float64"
        assert not listed.keys() & {"x", "W", "np", "number", "pair", "endless", "build", "net"}


def test_long_lists_are_cut(run: Any, folder: Path) -> None:
    (folder / "many.py").write_text(
        "import symgraph as sg\nx = sg.symbol('x')\nfor i in range(100):\n    globals()[f't{i}'] = x + i + 1\n"
    )
    lines = run("view", "many.py").err.splitlines()
    assert len(lines) == 32 and lines[-1] == "  and 70 more"


def test_a_file_with_nothing_to_draw(run: Any, folder: Path) -> None:
    (folder / "empty.py").write_text("def first():\n    pass\n")
    assert line(run("draw", "empty.py")).endswith(
        "nothing to draw at its top level; a function without arguments can be named too, and is called: first"
    )


@pytest.mark.parametrize(
    "name, said",
    [
        ("los", "model.py has no 'los'; did you mean 'loss'?"),
        ("net.los", "model.py:net has no 'los'; did you mean 'loss'?"),
        (
            "gradients_of_all",
            "model.py has no 'gradients_of_all'; there is 'h', 'hidden', 'loss', 'elsewhere', 'grads', 'step', ...",
        ),
        ("net.zzz", "model.py:net has no 'zzz'; there is 'loss'"),
        ("loss.q", "model.py:loss has no 'q'"),
        ("zzz", "model.py has no 'zzz'"),
        ("number", "model.py:number is an int and holds no tensor"),
        ("nothing", "model.py:nothing is None"),
        ("pair", "model.py:pair[1] is a str; name a tensor, a list"),
        ("calls", "model.py:calls is a list and holds no tensor"),
        ("endless", "does it hold itself?"),
        ("np", "is the module numpy"),
        ("np.add", "is the function add"),
        ("len", "model.py has no 'len'"),
        ("Net", "is the class Net"),
        (
            "net",
            "is a Net; name a tensor, a list, tuple or dict of tensors, or a compiled function, such as model.py:net.loss",
        ),
        ("needs", "is a function of a, and only the file can tell"),
        ("silent", "model.py:silent() is None"),
        ("jitted", "f = jitted.compiled(...)"),
        ("loss,step", "step is a compiled function; name it alone"),
        ("a b", "is no name"),
    ],
)
def test_what_cannot_be_drawn(run: Any, folder: Path, name: str, said: str) -> None:
    assert said in line(run("draw", f"model.py:{name}"))
    assert list(folder.iterdir()) == [folder / "model.py"]


@pytest.mark.parametrize(
    "target, said",
    [
        ("modle.py:loss", "there is no file 'modle.py'; did you mean 'model.py'?"),
        ("no/where.py:loss", "there is no file"),
        ("modle:loss", "there is no module 'modle' here; did you mean 'model'?"),
        (".:loss", "'.' is a folder"),
        ("inner:loss", "'inner' is a folder"),
        ("inner/:loss", "is a folder"),
        ("book.ipynb:loss", "jupyter nbconvert --to script book.ipynb"),
    ],
)
def test_files_that_are_none(run: Any, folder: Path, target: str, said: str) -> None:
    (folder / "inner").mkdir()
    (folder / "book.ipynb").write_text("{}")
    assert said in line(run("draw", target))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read(run: Any, folder: Path) -> None:
    (folder / "model.py").chmod(0)
    assert "cannot be read: Permission denied" in line(run("draw", "model.py:loss"))


def test_outputs_that_cannot_be_written(run: Any, folder: Path) -> None:
    assert line(run("draw", "model.py:loss", "-o", "no/x.svg")) == "symgraph draw: the folder 'no' does not exist"
    assert "must end in" in line(run("draw", "model.py:loss", "-o", "x.txt"))
    assert "must end in .html" in line(run("view", "model.py:loss", "-o", "x.svg"))
    (folder / "x.svg").mkdir()
    (folder / "x.svg" / "loss.svg").mkdir()
    assert line(run("draw", "model.py:loss", "-o", "x.svg")).startswith("symgraph draw: cannot write x.svg: ")


def test_an_output_survives_a_failure(run: Any, folder: Path) -> None:
    (folder / "old.svg").write_text("old")
    assert "there is no program" in line(run("draw", "model.py:loss", "-o", "old.svg", "--engine", "no-such-program"))
    assert run("draw", "model.py:net.broken", "-o", "old.svg").status == 1
    assert (folder / "old.svg").read_text() == "old"
    assert not list(folder.glob(".*"))


def test_a_graph_that_is_not_there_any_more(run: Any, folder: Path) -> None:
    (folder / "written_by_cli.py").write_text(MODEL)
    (folder / "saved.py").write_text(
        "import pickle\nfrom written_by_cli import step\nstep = pickle.loads(pickle.dumps(step))\n"
    )
    try:
        assert run("source", "saved.py:step").out == run("source", "written_by_cli.py:step").out
        for command in ("draw", "view", "explain"):
            assert "without its graph" in line(run(command, "saved.py:step"))
        assert "without --style" in line(run("source", "saved.py:step", "--style=plain"))
        assert "without --style" in line(run("source", "saved.py:step", "--no-comments"))
    finally:
        del sys.modules["written_by_cli"]


# Errors of the user's --------------------------------------------------------------------------------------------------


def test_errors_in_attributes_are_the_users(run: Any) -> None:
    ran = run("draw", "model.py:net.broken")
    assert ran.status == 1 and ran.out == ""
    _, first, place, *_, last = ran.err.splitlines()
    assert first == "Traceback (most recent call last):" and "model.py" in place and "in broken" in place
    assert last == "KeyError: 'missing'"
    assert "AttributeError: 'Net' object has no attribute 'nowhere'" in run("draw", "model.py:net.absent").err


def test_errors_in_containers_are_the_users(run: Any, folder: Path) -> None:
    (folder / "odd.py").write_text(
        "class Odd(dict):\n    def items(self):\n        return 1 / 0\n    values = items\nodd = Odd(a=1)\n"
    )
    ran = run("draw", "odd.py:odd")
    assert (
        ran.status == 1
        and ran.err.startswith("Traceback")
        and ran.err.endswith("ZeroDivisionError: division by zero\n")
    )
    assert str(folder / "odd.py") in ran.err.splitlines()[1]


def test_a_file_may_exit(run: Any, folder: Path) -> None:
    (folder / "exits.py").write_text("import sys\nprint('bye')\nsys.exit(7)\n")
    ran = run("source", "exits.py:loss")
    assert (ran.status, ran.out, ran.err) == (7, "", "bye\n")


def test_interrupts(run: Any, folder: Path) -> None:
    (folder / "slow.py").write_text("raise KeyboardInterrupt\n")
    ran = run("explain", "slow.py:loss")
    assert (ran.status, ran.out, ran.err) == (130, "", "\nsymgraph explain: interrupted\n")


def test_the_folder_of_the_file_is_on_the_path(run: Any, folder: Path) -> None:
    inner = folder / "mit Leerzeichen é"
    inner.mkdir()
    (inner / "helper_of_cli.py").write_text("import symgraph as sg\nx = sg.symbol('x')\n")
    (inner / "ein Modell.py").write_text("from helper_of_cli import x\ny = x * x\n")
    try:
        assert "def ein_Modell(x):" in run("source", "mit Leerzeichen é/ein Modell.py:y").out
    finally:
        del sys.modules["helper_of_cli"]


def test_a_file_called_as_a_module_in_use(run: Any, folder: Path) -> None:
    (folder / "json.py").write_text(MODEL.replace("print", "name = __name__; print"))
    ran = run("source", "json.py:loss")
    assert ran.status == 0 and ran.err == "the file speaks ['json.py'] json_\n" and sys.modules["json"] is json


# source ----------------------------------------------------------------------------------------------------------------


def test_the_source_of_a_tensor(run: Any) -> None:
    text = run("source", "model.py:loss", "--style=plain").out
    assert "def model(x, y):" in text and "return loss\n" in text and "# model.py:11" in text
    space: dict[str, Any] = {"W": np.zeros(3)}
    exec(text, space)
    assert space["model"](np.ones((2, 3)), np.array([1.0, 3.0])) == 5.0
    assert "#" not in run("source", "model.py:loss", "--style=plain", "--no-comments").out


def test_the_source_of_a_function(run: Any) -> None:
    fast, plain = run("source", "model.py:step").out, run("source", "model.py:step", "--style", "plain").out
    assert "def step(x, y):" in fast and "out=" in fast
    assert "def step(x, y):" in plain and "out=" not in plain and "W -= " in plain
    assert run("source", "model.py:step", "--style", "fast").out == fast
    bare = run("source", "model.py:step", "--no-comments").out
    assert "model.py:" in fast and "model.py:" not in bare and "out=" in bare
    assert run("source", "model.py:plain", "--no-comments").out.count("x @ W") == 1


def test_symbols_of_one_name(run: Any, folder: Path) -> None:
    (folder / "two.py").write_text("import symgraph as sg\nx, z = sg.symbol('x'), sg.symbol('x')\ny = x - 2 * z\n")
    assert "def two(x, x_2):" in run("source", "two.py:y", "--style=plain").out
    (folder / "v.json").write_text('{"x": 1, "x_2": 2}')
    assert run("view", "two.py:y", "--values=v.json").status == 0


def test_source_into_a_file(run: Any, folder: Path) -> None:
    ran = run("source", "model.py:step", "-o", "step.py")
    assert ran.out == "step.py\n" and (folder / "step.py").read_text() == run("source", "model.py:step", "-o", "-").out
    assert "is the file that the model is written in" in line(run("source", "model.py:step", "-o", "./model.py"))
    assert (folder / "model.py").read_text() == MODEL


def test_a_terminal_without_the_letters(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "greek.py").write_text("import symgraph as sg\nθ = sg.symbol('θ')\ny = θ * θ\n", encoding="utf-8")
    assert "θ * θ" in run("source", "greek.py:y").out
    with monkeypatch.context() as narrow:
        narrow.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
        assert main(["source", "greek.py:y"]) == 2
    assert capsys.readouterr().err == "symgraph source: the output cannot be written in ascii; set PYTHONUTF8=1\n"


# view ------------------------------------------------------------------------------------------------------------------


def test_a_page(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or len(opened) == 1)
    assert run("view", "model.py:step").out == "step.html\n" and opened == []
    assert run("view", "model.py:loss", "--open").out == "loss.html\n"
    assert opened == [(folder / "loss.html").as_uri()]
    ran = run("view", "model.py:loss", "--open")
    assert ran.status == 0 and "symgraph view: no browser could be started; open loss.html" in ran.err


def test_sample_values(run: Any, folder: Path) -> None:
    np.savez(folder / "v.npz", x=np.ones((2, 3)), y=[0.25, 0.75])
    (folder / "v.json").write_text('{"x": [[1, 1, 1], [1, 1, 1]], "y": [0.25, 0.75]}')
    for name in ("loss", "step"):
        for file in ("v.npz", "v.json"):
            ran = run("view", f"model.py:{name}", "--values", file)
            assert ran.status == 0, ran.err
            assert "0.3125" in (folder / f"{name}.html").read_text()  # the mean of the squares of y: tanh(0) is 0
    run("view", "model.py:loss")
    assert "0.3125" not in (folder / "loss.html").read_text()


@pytest.mark.parametrize(
    "file, text, said",
    [
        ("v.json", '{"x": [[1, 2, 3]]}', "does not name 'y'; the symbols are 'x', 'y'"),
        ("v.json", '{"x": [[1, 2, 3]], "y": [1], "z": 1}', "names the unknown 'z'"),
        ("v.json", '{"x": [[1, 2]], "y": [1]}', "x has shape (1, 2)"),
        ("v.json", '{"x": [[1, 2, 3], [1]], "y": [1]}', "rectangular"),
        ("v.json", '{"x": "text", "y": [1]}', "x must hold numbers"),
        ("v.json", '{"x": {"a": 1}, "y": [1]}', "x must hold"),
        ("v.json", '{"x": [1', "is not JSON: "),
        ("v.json", "[1]", "must be an object of values by name"),
        ("v.npz", "text", "is no file of plain arrays"),
        ("v.csv", "1,2", "values are read from .npz (numpy.savez) or .json"),
        ("other.json", "", "is not JSON"),
    ],
)
def test_values_that_do_not_fit(run: Any, folder: Path, file: str, text: str, said: str) -> None:
    (folder / file).write_text(text)
    assert said in line(run("view", "model.py:loss", "--values", file))
    assert not (folder / "loss.html").exists()


def test_values_of_other_kinds(run: Any, folder: Path) -> None:
    assert "'none.json' cannot be read" in line(run("view", "model.py:loss", "--values", "none.json"))
    np.savez(folder / "objects.npz", x=np.array([None, {}], object))
    assert "is no file of plain arrays" in line(run("view", "model.py:loss", "--values", "objects.npz"))
    np.save(folder / "one.npy", np.ones(3))
    (folder / "one.npy").rename(folder / "one.npz")
    assert "it holds one array without a name" in line(run("view", "model.py:loss", "--values", "one.npz"))
    (folder / "torn.npz").write_bytes((folder / "objects.npz").read_bytes()[:100])
    assert "is no file of plain arrays" in line(run("view", "model.py:loss", "--values", "torn.npz"))
    (folder / "empty.npz").write_bytes(b"")
    assert "is no file of plain arrays" in line(run("view", "model.py:loss", "--values", "empty.npz"))


# explain ---------------------------------------------------------------------------------------------------------------


def test_explain(run: Any) -> None:
    whole, short = run("explain", "model.py:step"), run("explain", "model.py:step", "--no-rewrites")
    assert whole.status == short.status == 0
    assert "model.py:12" in whole.out and len(short.out) < len(whole.out)
    assert run("explain", "model.py:loss,grads").status == 0


def test_explain_a_node(run: Any) -> None:
    by_name, by_variable = run("explain", "model.py:loss", "--node=hidden"), run("explain", "model.py:loss", "--node=h")
    assert by_name.status == by_variable.status == 0 and by_name.out != by_variable.out
    assert run("explain", "model.py:grads", "--node=grad_W").status == 0
    assert line(run("explain", "model.py:loss", "--node=hiden")).endswith(
        "no node is called 'hiden'; did you mean 'hidden'?"
    )
    assert "elsewhere (model.py:13) is a tensor of the file, and no part" in line(
        run("explain", "model.py:step", "--node=elsewhere")
    )
