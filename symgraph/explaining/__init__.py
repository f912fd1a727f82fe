"""What there is to tell of nodes and functions, as text: see `symgraph.explain`."""
