"""Iterate over rows in batches, with a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm


def progress(items: Iterable[Any], what: str) -> Iterable[Any]:
    """Show a progress bar while iterating, if standard error is a terminal."""
    return tqdm(items, what, disable=not sys.stderr.isatty(), leave=False)


def batches(count: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of at most ``size`` rows."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def gather(images: np.ndarray, rows: Tensor | slice) -> Tensor:
    """Copy rows of a memory-mapped array into a tensor."""
    return torch.from_numpy(np.array(images[rows if isinstance(rows, slice) else rows.numpy()]))
