"""A call that fails says which function it was, where it was compiled, and which of the user's lines it is about."""

import pickle
import re
import sys
import traceback

import numpy as np
import pytest

import symgraph as sg
from symgraph import failing

w, x = sg.symbol("w", (3, 3)), sg.symbol("x", ("n", 3))
k = sg.symbol("k", (), "int64")


def line():
    return sys._getframe(1).f_lineno


def notes(call, kind):
    with pytest.raises(kind) as caught:
        call()
    return "\n".join(caught.value.__notes__), str(caught.value)


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_an_error_of_numpy_names_the_users_line(style):
    inverse, made = np.linalg.inv(w), line()
    f, compiled = sg.function([w], inverse.sum() * 2, name="total", style=style), line()
    note, text = notes(lambda: f(np.zeros((3, 3))), np.linalg.LinAlgError)
    assert text == "Singular matrix"
    first, second = note.split("\n")
    assert first == f"in total(w (3, 3) float64), compiled at test_failing.py:{compiled}"
    assert (
        "np.linalg.inv(w)" in second
        and "comes from" in second
        and re.search(rf"test_failing\.py:(\d+, )?{made}\b", second)
    )
    number = int(second.split()[1])
    assert "np.linalg.inv" in f.source.splitlines()[number - 1]
    assert "in total(w" in "".join(traceback.format_exception_only(_error(lambda: f(np.zeros((3, 3))))))


def _error(call):
    try:
        call()
    except Exception as error:
        return error


def test_an_index_out_of_range():
    f = sg.function([x, k], x[k], name="row")
    note, _ = notes(lambda: f(np.ones((2, 3)), 5), IndexError)
    assert "in row(x (n, 3) float64, k () int64)" in note and "x[k]" in note


def test_a_floating_point_error_in_blocks_and_threads():
    f = sg.function([x], np.sum(np.exp(x) * np.sin(x) + np.exp(2 * x)), threads=2)
    with np.errstate(over="raise"):
        note, _ = notes(lambda: f(np.full((200_000, 3), 800.0)), FloatingPointError)
    assert "comes from test_failing.py" in note


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda f: f(np.ones((3, 4))), sg.ShapeError),
        (lambda f: f(None), sg.DTypeError),
        (lambda f: f(np.ones((3, 3)), out=np.ones(4)), sg.ShapeError),
    ],
)
def test_errors_in_the_arguments_name_the_function(call, kind):
    f = sg.function([w], np.tanh(w), name="layer")
    note, text = notes(lambda: call(f), kind)
    assert text.startswith("layer: ") and text.count("layer") == 1
    assert note.startswith("in layer(w (3, 3) float64), compiled at test_failing.py:")


def test_sizes_that_do_not_agree_name_the_function():
    y = sg.symbol("y", ("m", 3))
    f = sg.function([x, y], x + y, name="both")
    _, text = notes(lambda: f(np.ones((2, 3)), np.ones((4, 3))), sg.ShapeError)
    assert text.startswith("both: x has n=2 but y has m=4 (used together by x + y, test_failing.py:")


def test_missing_arguments_too():
    f = sg.function([w, k], w * k, name="scaled")
    assert "in scaled(w (3, 3) float64, k () int64)" in notes(lambda: f(np.ones((3, 3))), TypeError)[0]


def test_a_loaded_function_tells_its_own_line():
    f = pickle.loads(pickle.dumps(sg.function([w], np.linalg.inv(w), name="inverse")))
    note, _ = notes(lambda: f(np.zeros((3, 3))), np.linalg.LinAlgError)
    assert note.startswith("in inverse(w (3, 3) float64)\n  line ") and "np.linalg.inv(w)`" in note
    assert "comes from" not in note


def test_a_function_of_a_large_graph_is_not_traced(monkeypatch):
    monkeypatch.setattr(failing, "MOST_TRACED", 0)
    f = sg.function([w], np.linalg.inv(w))
    monkeypatch.setattr(f, "trace", lambda: pytest.fail("traced"))
    assert "np.linalg.inv(w)`" in notes(lambda: f(np.zeros((3, 3))), np.linalg.LinAlgError)[0]


def test_an_interrupt_is_left_as_it_is():
    f = sg.function([w], w * 2)
    f._call = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        f(np.ones((3, 3)))
    assert not hasattr(caught.value, "__notes__")


def test_nothing_is_traced_twice_and_nothing_before_a_failure():
    f = sg.function([w], np.linalg.inv(w))
    f(np.eye(3))
    assert "traced" not in vars(f)
    notes(lambda: f(np.zeros((3, 3))), np.linalg.LinAlgError)
    kept = f.traced
    notes(lambda: f(np.zeros((3, 3))), np.linalg.LinAlgError)
    assert f.traced is kept
