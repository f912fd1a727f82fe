"""Run notebooks and write what comes out beside them: `python notebooks/_render.py 06_hessians 07_newton`, or all of them.

The files are the same whenever the results are: no times are recorded, and cells are numbered.
"""

import json
import sys
from pathlib import Path

import jupytext
import nbclient
import nbformat

FOLDER = Path(__file__).parent


def render(path: Path) -> None:
    notebook = jupytext.read(path)
    for cell in notebook.cells:
        cell.source = cell.source.strip("\n")
    nbclient.NotebookClient(notebook, kernel_name="python3", record_timing=False, coalesce_streams=True).execute()
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k}"
        cell.metadata = {}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.validate(notebook)
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
    path.with_suffix(".ipynb").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    for source in sorted(FOLDER.glob("[0-9]*.py")):
        if len(sys.argv) == 1 or source.stem in sys.argv[1:]:
            print(source.name)
            render(source)
