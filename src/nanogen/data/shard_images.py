"""Images that stay in their shards, tar or Arrow files, and are decoded when they are read.

The pixels of a large set need several times the space of its shards. Instead, an image file can contain
the location of each image. All of them were readable when the file was written.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nanogen.errors import UserError


class ShardImages:
    """Images in tar or Arrow shards, indexed like an array uint8 (N, H, W, 3).

    Args:
        shards: (path, size in bytes) of each file.
        places: int64 (N, 3): index of the shard, and offset and size of the image in it.
        side: H and W in pixels, to which `nanogen.data.crop` scales and crops images.

    Raises UserError if a shard is missing or its size has changed.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, shards: Sequence[tuple[str, int]], places: np.ndarray, side: int):
        self.shards = [Path(path) for path, _ in shards]
        self.places = places
        self.shape = (len(places), side, side, 3)
        self.row_bytes = side * side * 3
        for path, size in shards:
            if not Path(path).is_file():
                raise UserError(f"the shard {path}, from which images are read, is missing")
            if Path(path).stat().st_size != size:
                raise UserError(
                    f"the shard {path} has {Path(path).stat().st_size} bytes, not {size}: it is "
                    "truncated or was changed; fetch it again"
                )

    def __len__(self) -> int:
        return len(self.places)

    @cached_property
    def _files(self) -> list[io.FileIO]:
        return [io.FileIO(path, "r") for path in self.shards]

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

    def _image(self, row: int) -> np.ndarray:
        from nanogen.data.crop import load

        shard, offset, size = self.places[row].tolist()
        content = os.pread(self._files[shard].fileno(), size, offset)
        try:
            return load(io.BytesIO(content), self.shape[1])
        except Exception as error:  # Pillow's parsers raise errors of any type
            raise UserError(
                f"{self.shards[shard]}: the image at byte {offset} can no longer be read ({error}); "
                "fetch the shard again"
            ) from error
