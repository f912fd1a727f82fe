"""`python -m symgraph` is the command `symgraph`."""

import sys

from .cli import main

sys.exit(main())
