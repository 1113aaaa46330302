"""Images that stay in their shards, tar or Arrow files, and are decoded when they are read.

The pixels of a large set need several times the space of its shards. Instead, an image file can contain
the location of each image. All of them were readable when the file was written.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nanogen.errors import UserError
from nanogen.files import explained

MOST_OPEN = 256  # files; a window of training has that many blocks (`nanogen.data.order`)


class _Shard(io.FileIO):
    """An open file. It is closed when nothing refers to it any more, so never while it is read."""

    def __del__(self) -> None:
        self.close()


class ShardImages:
    """Images in tar or Arrow shards, indexed like an array uint8 (N, H, W, 3).

    Args:
        shards: path and size in bytes of each file.
        places: int64 (N, 3): index of the shard, and offset and size of the image in it.
        side: H and W in pixels, to which `nanogen.data.crop` scales and crops images.

    Raises UserError if a shard is missing or its size has changed.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, shards: Sequence[tuple[Path, int]], places: np.ndarray, side: int):
        self.shards = [path for path, _ in shards]
        self.places = places
        self.shape = (len(places), side, side, 3)
        self.row_bytes = side * side * 3
        self._open = lru_cache(MOST_OPEN)(_Shard)  # thread-safe
        for path, size in shards:
            if not path.is_file():
                raise UserError(
                    f"the shard {path}, from which images are read, is missing; put it back there, or "
                    "delete the image file and make it again"
                )
            if path.stat().st_size != size:
                raise UserError(
                    f"the shard {path} has {path.stat().st_size} bytes, not {size}: it is "
                    "truncated or was changed; fetch it again"
                )

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        return self.read(np.asarray(rows, np.int64))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def read(self, rows: np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """Read the images at the indices int64 (B,), into the first B of ``into`` if it is given."""
        from nanogen.data.source import in_order

        if into is None:
            into = np.empty((len(rows), *self.shape[1:]), np.uint8)
        order = np.lexsort(self.places[rows, 1::-1].T)  # by shard, then by offset
        for place, image in zip(order, in_order(self._image, rows[order].tolist()), strict=True):
            into[place] = image
        return into[: len(rows)]

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield the images from ``start`` to ``stop``; only a few are in memory."""
        from nanogen.data.source import in_order

        return in_order(self._image, range(start, len(self) if stop is None else stop))

    def _image(self, row: int) -> np.ndarray:
        from nanogen.data.crop import load

        shard, offset, size = self.places[row].tolist()
        path = self.shards[shard]
        with explained(path, "read"):
            file = self._open(path)
            content = os.pread(file.fileno(), size, offset)
        try:
            return load(io.BytesIO(content), self.shape[1])
        except Exception as error:  # Pillow's parsers raise errors of any type
            raise UserError(
                f"{path}: the image at byte {offset} can no longer be read ({error}); "
                "fetch the shard again"
            ) from error
