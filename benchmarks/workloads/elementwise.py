"""A chain of elementwise functions over a large array: what memory traffic between the steps costs.

y = log1p(exp(tanh(x)))
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import steps
from .base import Case, Data, tiles

TILE = 8192


def data(rng: np.random.Generator, n: int, dtype: str = "float64") -> Data:
    return {"x": rng.standard_normal(n).astype(dtype)}


def by_numpy(data: Data) -> Case:
    n, dtype = len(data["x"]), data["x"].dtype
    run = tiles(n, TILE)

    def call(x: Any) -> Any:
        y = np.empty(n, dtype)

        def block(at: slice) -> None:
            out = y[at]
            np.tanh(x[at], out=out)
            np.exp(out, out=out)
            np.log1p(out, out=out)

        run(block)
        return y

    return Case(call, (data["x"],))


def by_symgraph(data: Data) -> Case:
    import symgraph as sg

    x = sg.symbol("x", ("n",), data["x"].dtype)
    return Case(sg.function([x], sg.log1p(sg.exp(sg.tanh(x))), name="elementwise"), (data["x"],))


def by_jax(data: Data) -> Case:
    jax = steps.jax_for(data["x"])
    f = jax.jit(lambda x: jax.numpy.log1p(jax.numpy.exp(jax.numpy.tanh(x))))
    return Case(lambda x: f(x).block_until_ready(), (jax.numpy.array(data["x"]),))


def by_torch(data: Data) -> Case:
    import torch

    return Case(lambda x: torch.tanh(x).exp_().log1p_(), (torch.tensor(data["x"]),))


def by_torch_compile(data: Data) -> Case:
    import torch

    f = torch.compile(lambda x: torch.log1p(torch.exp(torch.tanh(x))), dynamic=False)
    return Case(f, (torch.tensor(data["x"]),))


def by_pytensor(data: Data) -> Case:
    import pytensor
    import pytensor.tensor as pt

    (x,) = steps.pytensor_inputs([data["x"]])
    f = pytensor.function([x], pt.log1p(pt.exp(pt.tanh(x))))
    f.trust_input = True
    return Case(f, (data["x"],))
