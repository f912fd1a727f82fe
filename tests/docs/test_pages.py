"""The pages of the documentation run as they stand, and say of the library what there is.

Sphinx shows what the blocks of a page leave; here they only run, by the same `Session`, without Sphinx.
"""

import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path

import pytest

import symgraph as sg

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(set(DOCS.rglob("*.md")) - set(DOCS.glob("notebooks/[0-9]*")))  # those are made from notebooks by a build
KINDS = {"run", "shell", "file", "equivalents", "api", "elementwise", "toctree"}


def _load():
    spec = importlib.util.spec_from_file_location("docs_session", DOCS / "_ext" / "session.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


session = _load()


def text(page):
    return page.read_text(encoding="utf-8")


def name(page):
    return page.relative_to(DOCS).as_posix()


# The pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [p for p in PAGES if "```{" in text(p)], ids=name)
def test_a_page_runs(page, tmp_path):
    for module in ("matplotlib", "networkx", "scipy", "sklearn", "sympy"):
        pytest.importorskip(module)
    session.run_page(text(page), tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_is_pasted_into_a_page(page):
    """Programs and what they print are never text alone; the commands of an installation are."""
    fences = re.findall(r"^`{3,}(.*)$", text(page), re.MULTILINE)
    opened = [f.split()[0] for f in fences if f]
    assert set(opened) <= {"sh", *(f"{{{kind}}}" for kind in KINDS)}
    assert len([f for f in opened if f.startswith("{")]) == len(list(session.blocks(text(page))))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_pages(page):
    for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text(page)):
        assert (page.parent / f"{target}.md").resolve().is_file(), target


# The reference -----------------------------------------------------------------------------------------------------


def documented():
    """The names in the reference, as (module, name)."""
    found = []
    for page in sorted((DOCS / "reference").glob("*.md")):
        for block in session.blocks(text(page)):
            if block.kind in ("api", "elementwise"):
                found += [(block.title or "symgraph", n) for n in block.text.split()]
    return found


def test_the_reference_has_every_public_name_once():
    public = [
        ("symgraph", n)
        for n in set(dir(sg))
        if not n.startswith("_")
        and not isinstance(getattr(sg, n), types.ModuleType)
        and str(getattr(getattr(sg, n), "__module__", "")).startswith("symgraph")
    ]
    for module in ("func", "optim", "random", "testing"):
        public += [(f"symgraph.{module}", n) for n in importlib.import_module(f"symgraph.{module}").__all__]
    assert sorted(documented()) == sorted(public)
    assert {"symgraph"} == {m for m, n in documented() if n in (*sg.linalg.__all__, *sg.special.__all__)}


def test_every_public_name_has_a_docstring():
    for module, n in documented():
        thing = getattr(importlib.import_module(module), n)
        assert thing == sg.optim.Updates or (thing.__doc__ or "").strip(), f"{module}.{n}"


# What runs them ----------------------------------------------------------------------------------------------------


def test_blocks_share_names_and_leave_what_they_print_and_end_with(tmp_path):
    page = "```{run}\n:as: text\na = 1\nprint(a)\na + 1\n```\n\n```{run}\na += 1\n```\n```{run}\n'a'\n```"
    assert [r.text for r in session.run_page(page, tmp_path)] == ["1\n2", "", "a"]


def test_pictures_and_pages_that_a_block_writes_are_its_files(tmp_path):
    code = "open('{0}', 'w').close()"
    page = "".join(f"```{{run}}\n{code.format(f)}\n```\n" for f in ("a.svg", "b.txt", "c.html", "a.svg"))
    found = session.run_page(page, tmp_path)
    assert [[f.name for f in r.files] for r in found] == [["a.svg"], [], ["c.html"], ["a.svg"]]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("```{run}\n1 / 0\n```", "ZeroDivisionError"),
        ("```{run}\n:raises: KeyError\n1 / 0\n```", "ZeroDivisionError"),
        ("```{run}\n:raises: KeyError\n1\n```", "KeyError was to be raised"),
        ("```{run}\nimport warnings\nwarnings.warn('old')\n```", "old"),
        ("```{equivalents} theirs\nthis ==> 1 / 0\n```", "ZeroDivisionError"),
        ("```{equivalents} theirs\nthis\n```", "a row of a table"),
        ("```{shell}\npython -c 'raise SystemExit(3)'\n```", "exit status 3"),
        ("```{file} ../up.py\n```", "a plain name"),
    ],
)
def test_a_block_that_does_not_do_what_it_says_is_an_error(block, said, tmp_path):
    with pytest.raises(session.PageError, match=re.escape(said)):
        session.run_page(block, tmp_path)


def test_an_error_that_is_announced_is_shown(tmp_path):
    (result,) = session.run_page("```{run}\n:raises: ValueError\nint('x')\n```", tmp_path)
    assert result.text.startswith("ValueError: invalid literal")


def test_a_module_of_one_page_is_not_seen_by_another(tmp_path):
    page = "```{{file}} mine.py\nvalue = {0}\n```\n```{{run}}\nimport mine\nmine.value\n```"
    for k in (1, 2):
        assert session.run_page(page.format(k), tmp_path / str(k))[-1].text == str(k)
    assert "mine" not in sys.modules
