"""Handwritten digits: 1797 images of 8 x 8 pixels from 0 to 16, which come with scikit-learn (NIST, via UCI)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Part:
    """Images (count, 64) float32 with their labels (count,) int64."""

    pixels: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Digits:
    """The three parts of the data, and the statistics of the first by which inputs are normalized."""

    train: Part
    validation: Part
    test: Part
    mean: Array
    scale: np.float32


def load(seed: int) -> Digits:
    """The digits split at random: 70 % to learn from, 10 % to watch while learning, 20 % that are looked at once.

    Each pixel is centred; all are divided by one number, as the pixels at the border hardly vary.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    pixels, labels = pixels.astype(np.float32), labels.astype(np.int64)
    order = np.random.default_rng([seed, 0]).permutation(len(labels))
    ends = [len(labels) * 7 // 10, len(labels) * 8 // 10]
    train, validation, test = (Part(pixels[i], labels[i]) for i in np.split(order, ends))
    return Digits(train, validation, test, train.pixels.mean(axis=0), train.pixels.std())
