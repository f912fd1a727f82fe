"""The demonstration: real handwritten digits, a model and Adam written with symgraph, and everything they turn into.

data.py      the digits, split and normalized          model.py    the models, as a user would write them
replay.py    mini-batches, and training without symgraph training.py the loop, and the proof that replay.py agrees
report.py    the pictures and report.html              run.py      all of it, into a folder
"""

from __future__ import annotations

from .run import Settings, run

__all__ = ["Settings", "run"]
