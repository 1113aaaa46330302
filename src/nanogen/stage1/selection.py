"""A few images that stand for a data set, which may be in the order of its classes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Labelled(Protocol):
    """Images, uint8 (N, H, W, 3), in memory or on disk, and their classes, int64 (N,)."""

    images: Any
    labels: np.ndarray


def images_of_classes(held: Labelled, most: int) -> np.ndarray:
    """Return the images at the rows that `rows_of_classes` chooses, in memory."""
    return np.asarray(held.images[rows_of_classes(held.labels, most)])


def rows_of_classes(labels: np.ndarray, most: int) -> np.ndarray:
    """Choose ``most`` rows, or all if there are fewer; ascending, int64.

    They are the first rows if these have every class, and otherwise the first rows of every class, in
    equal numbers as far as there are enough.
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(np.unique(classes[:most])) == len(counts):
        return np.arange(min(most, len(labels)))
    before = np.empty(len(labels), np.int64)  # rows of the same class before each row
    before[np.argsort(classes, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return np.sort(np.argsort(before, kind="stable")[:most])
