"""Read rows of arrays on disk in few large requests, and hold them in memory one window at a time.

A network file system answers a request for a megabyte about as fast as one for a row, and every page of
a memory map that is read counts as memory of the process. Therefore rows that are close together in the
file are read in one request, into memory that is released after their window.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from nanogen.data.hdf5 import Stored
from nanogen.errors import UserError

if TYPE_CHECKING:
    from nanogen.data.shard_images import ShardImages

GAP = 64 << 10  # bytes; smaller gaps between rows are read and discarded
MOST_BUFFERS = 512  # in one request; the operating system allows 1024
LARGE = 64 << 10  # bytes; larger rows have a request of their own
TOGETHER = 8  # number of concurrent requests for such rows


class _Part:
    """Consecutive rows in one file."""

    def __init__(self, stored: Stored, first: int):
        self.first, self.path, self.offset = first, stored.path, stored.offset
        self.file = stored.open() if stored.shape[0] else None

    def read(self, buffers: Sequence[Any], offset: int) -> None:
        """Fill the buffers from ``offset`` on; raise UserError if the file is too short."""
        assert self.file is not None
        pending = list(buffers)
        while pending:
            count = os.preadv(self.file.fileno(), pending, offset)
            if not count:
                raise UserError(f"{self.path} is truncated; delete it and make it again")
            offset += count
            while pending and count >= len(pending[0]):
                count -= len(pending.pop(0))
            if count:
                pending[0] = memoryview(pending[0])[count:]


Request = tuple[_Part, int, list[Any]]  # part, offset in its file, buffers


def _answer(request: Request) -> None:
    part, offset, buffers = request
    part.read(buffers, offset)


class Rows:
    """An array (N, ...) whose rows are stored contiguously in one file or several.

    Indexing reads rows and returns arrays. It is thread-safe.

    Attributes: ``shape``, ``dtype``, ``ndim``, ``row_bytes``.
    """

    def __init__(self, parts: Sequence[Stored]):
        starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape = (int(starts[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype
        self.row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._parts = [_Part(part, int(start)) for part, start in zip(parts, starts, strict=False)]
        self._stops: list[int] = starts[1:].tolist()

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the rows of a slice or at the indices (B,), in that order."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        return self.read(np.asarray(rows, np.int64))

    def read(self, rows: np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """Read the rows at the indices int64 (B,), into the first B rows of ``into`` if it is given."""
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"row out of range: there are {len(self)} rows")
        if into is None:
            into = np.empty((len(rows), *self.shape[1:]), self.dtype)
        found = into[: len(rows)]
        if found.size:
            # numpy's stub knows the buffer protocol from Python 3.12 on only.
            target = memoryview(found.reshape(-1)).cast("B")  # type: ignore[arg-type]
            requests = self._requests(rows, target)
            if self.row_bytes >= LARGE and len(rows) > 1:
                with ThreadPoolExecutor(TOGETHER, "rows") as pool:
                    for _ in pool.map(_answer, requests):
                        pass
            else:
                for request in requests:
                    _answer(request)
        return found

    def _runs(self, rows: np.ndarray) -> Iterator[tuple[int, int, int]]:
        """Yield first row, position in ``rows`` and length of each run of consecutive rows.

        Rows of a run are consecutive both in ``rows`` and in a file.
        """
        order = np.argsort(rows, kind="stable")
        rising = rows[order]
        broken = (np.diff(rising) != 1) | (np.diff(order) != 1)
        broken |= np.diff(np.searchsorted(self._stops, rising, side="right")) != 0
        edges = np.concatenate([[0], np.flatnonzero(broken) + 1, [len(rows)]])
        firsts = edges[:-1]
        return zip(rising[firsts].tolist(), order[firsts].tolist(), np.diff(edges).tolist(), strict=True)

    def _requests(self, rows: np.ndarray, target: memoryview) -> Iterator[Request]:
        """Yield part, offset and buffers of each request; runs close together share a request."""
        size, between = self.row_bytes, memoryview(bytearray(GAP))
        part, begin, end = None, 0, 0  # of the request so far; offsets in the part's file
        buffers: list[Any] = []
        for row, place, count in self._runs(rows):
            following = self._parts[bisect_right(self._stops, row)]
            offset = following.offset + (row - following.first) * size
            gap = offset - end
            if following is not part or not 0 <= gap <= GAP or len(buffers) > MOST_BUFFERS:
                if part is not None:
                    yield part, begin, buffers
                part, begin, buffers, gap = following, offset, [], 0
            if gap:
                buffers.append(between[:gap])
            buffers.append(target[place * size : (place + count) * size])
            end = offset + count * size
        if part is not None:
            yield part, begin, buffers


class WindowedRows:
    """Rows whose current windows are in memory, while the next window is being read.

    Announcing windows (`ahead`) changes when rows are read, but not their values. Rows of ``LARGE``
    bytes or more are not kept in memory: each is a large request by itself, several are read at the same
    time, and a window of them might not fit in memory.
    """

    def __init__(self, rows: Rows | ShardImages):
        self.rows = rows
        self._reader = ThreadPoolExecutor(1, "reader")
        self._windows: dict[int, tuple[np.ndarray, Future[np.ndarray]]] = {}

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        """Keep only these windows in memory: number of a window -> its rows in ascending order."""
        if self.rows.row_bytes >= LARGE:
            return
        before, self._windows = self._windows, {}
        for number, rows in windows.items():
            same = (n for n, (held, _) in before.items() if n == number or np.array_equal(held, rows))
            known = next(same, None)
            if known is not None:
                self._windows[number] = before.pop(known)
        for number, rows in windows.items():
            if number not in self._windows:
                over = before.popitem()[1][1] if before else None
                self._windows[number] = rows, self._reader.submit(self._read, rows, over)

    def _read(self, rows: np.ndarray, over: Future[np.ndarray] | None) -> np.ndarray:
        """Read the rows, if possible into the memory of a finished window ``over``, which saves time."""
        memory = over.result().base if over and not over.exception() else None
        if memory is None or len(memory) < len(rows):
            # Windows differ a little in size; pages that are not written to use no memory.
            memory = np.empty((len(rows) + len(rows) // 4 + 1, *self.rows.shape[1:]), self.rows.dtype)
        return self.rows.read(rows, memory)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows at the indices (B,), from memory if they are there."""
        found, missing = None, np.ones(len(rows), bool)
        for held, data in self._windows.values():
            if not len(held) or not missing.any():
                continue
            at = np.searchsorted(held, rows).clip(max=len(held) - 1)
            here = missing & (held[at] == rows)
            if here.all():
                return np.take(data.result(), at, axis=0)  # lets the reader run meanwhile
            if here.any():
                if found is None:
                    found = np.empty((len(rows), *self.rows.shape[1:]), self.rows.dtype)
                found[here] = np.take(data.result(), at[here], axis=0)
                missing &= ~here
        if found is None:
            return self.rows[rows]
        if missing.any():
            found[missing] = self.rows[rows[missing]]
        return found
