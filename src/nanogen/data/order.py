"""In which order training sees its data: shuffled in blocks, so that reading stays sequential.

An epoch's blocks, runs of consecutive rows of about ``BLOCK`` bytes, are shuffled and cut into windows
of ``WINDOW`` bytes; the rows of a window are then shuffled among each other. A batch comes from hundreds
of places of the data, yet is read in large requests. Data of at most one window is shuffled as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from nanogen.identity import seed_for

BLOCK = 1 << 20  # bytes
WINDOW = 256 * BLOCK


@dataclass(frozen=True)
class Window:
    """The stretch of the training sequence that shares one window of the data."""

    number: int  # counted through all epochs
    start: int  # its first place in the training sequence
    stop: int  # the place behind its last


class Order:
    """Which sample stands at each place of the endless training sequence.

    A function of the data's size, the ``identity`` and the place alone.

    Args:
        length: samples of an epoch.
        sample_bytes: of one sample; what a block and a window hold follows from it.
        identity: what the order is for; its seed.
    """

    def __init__(self, length: int, sample_bytes: int, *identity: str | int):
        self.length, self.identity = length, identity
        self.block = max(1, BLOCK // sample_bytes)  # rows
        self.blocks = -(-length // self.block)
        self.windows = -(-self.blocks // (WINDOW // BLOCK))  # of an epoch
        self._epoch = lru_cache(2)(self._blocks_of)
        self._permuted = lru_cache(4)(self._rows_of)

    def rows(self, start: int, count: int) -> np.ndarray:
        """Indices int64 (count,) at places start, start + 1, ..."""
        stop = start + count
        parts = [
            self._permuted(w.number)[max(start, w.start) - w.start : min(stop, w.stop) - w.start]
            for w in self.windows_of(start, stop)
        ]
        return np.concatenate(parts)

    def windows_of(self, start: int, stop: int) -> Iterator[Window]:
        """The windows that the places from ``start`` to before ``stop`` lie in, in order."""
        place = start
        while place < stop:
            epoch, inside = divmod(place, self.length)
            _, edges = self._epoch(epoch)
            w = int(np.searchsorted(edges, inside, side="right")) - 1
            first = epoch * self.length
            window = Window(epoch * self.windows + w, first + int(edges[w]), first + int(edges[w + 1]))
            yield window
            place = window.stop

    def _blocks_of(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """An epoch's blocks in their order, and the places in the epoch where its windows begin."""
        blocks = self._drawn(self.blocks, "blocks", epoch)
        sizes = np.minimum((blocks + 1) * self.block, self.length) - blocks * self.block
        edges = np.arange(self.windows + 1) * (WINDOW // BLOCK)
        return blocks, np.concatenate([[0], np.cumsum(sizes)])[edges.clip(max=self.blocks)]

    def _rows_of(self, number: int) -> np.ndarray:
        """The rows of a window in their order."""
        epoch, w = divmod(number, self.windows)
        blocks, _ = self._epoch(epoch)
        size = WINDOW // BLOCK
        first = np.sort(blocks[w * size : (w + 1) * size]) * self.block
        rows = (first[:, None] + np.arange(self.block)).ravel()
        rows = rows[rows < self.length]
        # One window per epoch: the number is the epoch's, and this the permutation of all rows.
        return rows[self._drawn(len(rows), "order", number)]

    def _drawn(self, count: int, *what: str | int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed_for(*self.identity, *what))
        return torch.randperm(count, generator=generator).numpy()
