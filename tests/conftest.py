"""Settings for every test: the same examples in every run, and no window is ever opened.

`pytest --hypothesis-profile=explore` looks for new counterexamples instead.
"""

import os

from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("repeatable")
