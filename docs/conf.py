"""The documentation: `pip install '.[docs]'`, then `sphinx-build docs site`. Nothing is fetched while it is built."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # profiles on busy machines

import symgraph

project = "symgraph"
author = copyright = "The symgraph authors"
version = release = symgraph.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "directives", "api", "notebook", "mathml"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # notebooks may begin at any level
exclude_patterns = ["_ext", "_static"]
nitpicky = False
default_role = "literal"  # docstrings write `code` in single backticks

autodoc_typehints = "none"
autodoc_member_order = "bysource"
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 88

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "symgraph"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
