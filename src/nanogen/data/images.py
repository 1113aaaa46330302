"""Image files, format ``images`` (docs/formats.md).

`nanogen.data.image_import` imports all sources of images to this format, which later stages read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import h5py
import numpy as np

from nanogen.data import hdf5
from nanogen.data.rows import Rows
from nanogen.data.shard_images import ShardImages
from nanogen.errors import UserError
from nanogen.text import parsed

FORMAT, VERSION = "images", 1
LEFT_OUT = "left_out"  # attribute: number of unreadable files that the import left out


def located(file: h5py.File) -> hdf5.Stored | ShardImages:
    """Locate the images uint8 (N, H, W, 3) of an open file: in it, or in the shards that it names."""
    if "places" not in file:
        return hdf5.stored(file, "images")
    # The list of shards can be longer than an HDF5 attribute's 64 KiB; older files have it there.
    shards = file["shards"][()] if "shards" in file else file.attrs["shards"]
    folder = Path(os.path.realpath(file.filename)).parent
    found = [(folder / path, size) for path, size in json.loads(shards)]
    return ShardImages(found, file["places"][:], int(file.attrs["side"]))


def _classes(file: h5py.File) -> list[str]:
    found = parsed(str(file.attrs["classes"]), f"{file.filename}: its list of classes")
    if not isinstance(found, list):
        raise UserError(f"{file.filename} is damaged: it has no list of classes; make it again")
    return found


def _check(file: h5py.File, images: tuple[int, ...], labels: np.ndarray) -> None:
    """Raise UserError unless there is an image uint8 (H, W, 3) for each label."""
    stored = file["images"].dtype if "images" in file else np.dtype(np.uint8)
    if len(images) != 4 or images[3] != 3 or stored != np.uint8:
        raise UserError(f"{file.filename} is damaged: its images are {stored} {images}; make it again")
    if labels.shape != images[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{file.filename} is damaged: {images[0]} images, labels {labels.dtype} {labels.shape}; "
            "make it again"
        )


class ImageFile:
    """A file of format ``images``, read through a memory map or from the shards that it names.

    Attributes:
        images: uint8 (N, H, W, 3).
        labels: int64 (N,).
        masks: uint8 (N, 4, H, W), or None.
        classes: names of the classes.
        hash: the hash of the stage that made it.
        left_out: number of unreadable files that are not among the images.

    Raises:
        UserError: the file is missing, damaged, or has another hash than expected.
    """

    def __init__(self, path: Path | str, hash_: str | None = None):
        self.path = Path(path)
        with hdf5.opened(path, FORMAT, VERSION, hash_) as file:
            self.hash, self.split, self.task = (str(file.attrs[k]) for k in ("hash", "split", "task"))
            self.classes: list[str] = _classes(file)
            self.left_out = int(file.attrs.get(LEFT_OUT, 0))
            self._located = located(file)
            self.images: Any = self._located if "places" in file else hdf5.memmap(file, "images")
            self.labels: np.ndarray = file["labels"][:]
            _check(file, self.images.shape, self.labels)
            self.masks = hdf5.memmap(file, "masks") if "masks" in file else None

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self) -> Rows | ShardImages:
        """Return the images for reading in large requests; see ``nanogen.data.rows``."""
        return Rows([self._located]) if isinstance(self._located, hdf5.Stored) else self._located

    def _strings(self, name: str) -> list[str]:
        with hdf5.opened(self.path, FORMAT, VERSION, self.hash) as file:
            return hdf5.strings(file, name)

    def captions(self, kind: str = "short") -> list[str]:
        """Return one caption per image; ``kind`` is ``short`` or ``dense``."""
        return self._strings(f"captions/{kind}")

    def captions_of(self, rows: np.ndarray, kind: str = "short") -> list[str]:
        """Return the captions of the rows (B,), in their order, without reading others."""
        if not len(rows):
            return []
        wanted, places = np.unique(rows, return_inverse=True)
        with hdf5.opened(self.path, FORMAT, VERSION, self.hash) as file:
            found = file[f"captions/{kind}"].asstr()[wanted]
        return [str(text) for text in found[places]]

    def captions_between(self, start: int, stop: int, kind: str = "short") -> list[str]:
        """Return the captions of rows ``start`` to ``stop``, without reading others."""
        with hdf5.opened(self.path, FORMAT, VERSION, self.hash) as file:
            return list(file[f"captions/{kind}"].asstr()[start:stop])

    @cached_property
    def objects(self) -> list[list[dict[str, Any]]] | None:
        """The objects ``{shape, color, size, box}`` of each image in the order of its masks, or None."""
        if self.masks is None:
            return None
        return [json.loads(text) for text in self._strings("objects")]


class CaptionRows(Sequence[str]):
    """The captions of one kind, as a sequence that reads from the file when it is indexed."""

    def __init__(self, images: ImageFile, kind: str):
        self.images, self.kind = images, kind

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return self.images.captions_between(start, stop, self.kind)[::step]
        return self.images.captions_of(np.array([at]), self.kind)[0]
