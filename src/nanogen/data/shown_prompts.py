"""Which images a picture of samples shows: one of each of some prompts, spread over all of GenEval's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nanogen.data.prompt_files import GENEVAL, of_benchmark


def spread(count: int, wanted: int) -> list[int]:
    """``wanted`` indices spread over 0 ... count - 1, all of them if there are fewer."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, wanted)).round()})


def first_images(labels: np.ndarray, prompts: Sequence[Mapping[str, Any]], wanted: int) -> np.ndarray:
    """Places (at most ``wanted``,) of the first image of each of the chosen prompts.

    Args:
        labels: int (N,), of which prompt each image is.
    """
    shown, first = np.unique(labels, return_index=True)
    first = first[np.isin(shown, of_benchmark(prompts, GENEVAL))]
    return first[spread(len(first), wanted)]
