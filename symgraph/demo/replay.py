"""Mini-batches from a seed, and a training run on them with NumPy alone.

This file imports NumPy and nothing of symgraph. The demo draws its batches from `batches`; afterwards it runs this file
as a program in a fresh interpreter, where it trains again with the generated module, from the same initial parameters:

    python -I replay.py FOLDER

FOLDER holds train_step.py, its parameters, and run.npz with the images, the seed and the epochs. Importing symgraph is
blocked before anything else is done. The final parameters go to replayed.npz, and what was loaded is printed as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

BATCH = 32
SHIFT, NOISE = 0.5, 0.3
RATE, LAST_RATE = 2e-3, 4e-5


def batches(
    pixels: Any, labels: Any, mean: Any, scale: Any, seed: int, epochs: int
) -> Iterator[tuple[Any, Any, float]]:
    """`(x, y, rate)` for every step: images in a new order each epoch, each moved by up to half a pixel, with noise.

    The learning rate falls linearly, (1 - a) high + a low with a from 0 to 1.
    """
    import numpy as np

    rng = np.random.default_rng([seed, 2])
    per_epoch = len(labels) // BATCH
    for epoch in range(epochs):
        order = rng.permutation(len(labels))
        for i in range(per_epoch):
            chosen = order[i * BATCH : (i + 1) * BATCH]
            images = pixels[chosen].reshape(-1, 8, 8)
            for axis in (1, 2):
                images = moved(images, rng.uniform(-SHIFT, SHIFT, (len(images), 1, 1)).astype(np.float32), axis)
            x = (images.reshape(-1, 64) - mean) / scale
            x += NOISE * rng.standard_normal(x.shape, dtype=np.float32)
            a = (epoch * per_epoch + i) / (epochs * per_epoch)
            yield x, labels[chosen], (1 - a) * RATE + a * LAST_RATE


def moved(images: Any, distance: Any, axis: int) -> Any:
    """Images moved along an axis by a fraction of a pixel, with empty pixels moving in: linear interpolation."""
    import numpy as np

    edge = np.zeros_like(np.take(images, [0], axis=axis))
    inner = [slice(None)] * 3
    inner[axis] = slice(1, -1)
    padded = np.concatenate([edge, images, edge], axis=axis)
    before, after = inner.copy(), inner.copy()
    before[axis], after[axis] = slice(0, -2), slice(2, None)
    weight = np.abs(distance)
    return (1 - weight) * images + weight * np.where(distance > 0, padded[tuple(before)], padded[tuple(after)])


class Blocked:
    """An import hook before all others: symgraph is not there, however it is installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in ("symgraph", "codegen"):
            raise ModuleNotFoundError(f"No module named {name!r} (blocked for this run)")


def main(folder: str, *homes: str) -> None:
    """Train with `folder`/train_step.py and write `folder`/replayed.npz. NumPy is looked for in `homes` as well."""
    sys.meta_path.insert(0, Blocked())
    sys.dont_write_bytecode = True
    found = set(sys.modules)
    sys.path[:0] = [folder]
    sys.path += homes
    import json
    import os

    import numpy as np

    with np.load(os.path.join(folder, "run.npz")) as saved:
        run = dict(saved)
    import train_step  # type: ignore[import-not-found]

    for x, y, rate in batches(
        run["pixels"], run["labels"], run["mean"], run["scale"], int(run["seed"]), int(run["epochs"])
    ):
        train_step.train_step(x, y, rate)
    with np.load(train_step.PARAMETERS) as initial:
        names = list(initial)
    np.savez(os.path.join(folder, "replayed.npz"), **{name: getattr(train_step, name) for name in names})
    try:
        import symgraph  # noqa: F401
    except ImportError:
        blocked = True
    else:
        blocked = False
    imported = {name for name in set(sys.modules) - found if getattr(sys.modules[name], "__spec__", None) is not None}
    loaded = {name.partition(".")[0] for name in imported}  # without what C extensions put there by themselves
    packages = sorted(loaded - set(sys.stdlib_module_names) - {"train_step"})
    print(
        json.dumps(
            {"blocked": blocked, "packages": packages, "python": sys.version.split()[0], "numpy": np.__version__}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
