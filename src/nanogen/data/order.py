"""The order in which training reads its data: shuffled in blocks, so that reads are large.

In each epoch, blocks (consecutive rows of about ``BLOCK`` bytes) are shuffled and divided into windows
of ``WINDOW`` bytes; then the rows within a window are shuffled. A batch thus comes from hundreds of
parts of the data, but is read in large requests. Data of at most one window is shuffled completely.
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
    """The part of the training sequence that reads one window of the data."""

    number: int  # counted through all epochs
    start: int  # its first position in the training sequence
    stop: int  # the position after its last


class Order:
    """The endless sequence of training samples.

    The sample at a position is a function of the data's size, the ``identity`` and the position only.

    Args:
        length: number of samples in an epoch.
        sample_bytes: size of a sample in bytes, which determines how many a block and a window hold.
        identity: seed of the order.
    """

    def __init__(self, length: int, sample_bytes: int, *identity: str | int):
        self.length, self.identity = length, identity
        self.block = max(1, BLOCK // sample_bytes)  # rows
        self.blocks = -(-length // self.block)
        self.windows = -(-self.blocks // (WINDOW // BLOCK))  # of an epoch
        self._epoch = lru_cache(2)(self._blocks_of)
        self._permuted = lru_cache(4)(self._rows_of)

    def rows(self, start: int, count: int) -> np.ndarray:
        """Return the indices of samples at positions start, start + 1, ..., int64 (count,)."""
        stop = start + count
        parts = [
            self._permuted(w.number)[max(start, w.start) - w.start : min(stop, w.stop) - w.start]
            for w in self.windows_of(start, stop)
        ]
        return np.concatenate(parts)

    def windows_of(self, start: int, stop: int) -> Iterator[Window]:
        """Yield the windows that contain the positions from ``start`` to before ``stop``, in order."""
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
        """Return an epoch's blocks in order, and the positions at which its windows begin."""
        blocks = self._drawn(self.blocks, "blocks", epoch)
        sizes = np.minimum((blocks + 1) * self.block, self.length) - blocks * self.block
        edges = np.arange(self.windows + 1) * (WINDOW // BLOCK)
        return blocks, np.concatenate([[0], np.cumsum(sizes)])[edges.clip(max=self.blocks)]

    def _rows_of(self, number: int) -> np.ndarray:
        """Return the rows of a window in order."""
        epoch, w = divmod(number, self.windows)
        blocks, _ = self._epoch(epoch)
        size = WINDOW // BLOCK
        first = np.sort(blocks[w * size : (w + 1) * size]) * self.block
        rows = (first[:, None] + np.arange(self.block)).ravel()
        rows = rows[rows < self.length]
        # With one window per epoch, ``number`` is the epoch, and this permutes all rows.
        return rows[self._drawn(len(rows), "order", number)]

    def _drawn(self, count: int, *what: str | int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed_for(*self.identity, *what))
        return torch.randperm(count, generator=generator).numpy()
