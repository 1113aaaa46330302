"""HDF5 files: contiguous arrays with a checked header, read through a memory map.

A random gather through a memory map over a contiguous dataset is two orders of magnitude faster
than through h5py's chunked layout (docs/performance.md), so arrays are stored contiguously.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.errors import UserError
from nanogen.files import atomic_path, check_label


class _Storage(io.FileIO):
    """The file below HDF5, which survives a full disk.

    HDF5 crashes when it cannot write what it still holds while closing. So the first failed write is
    reported to it and kept in ``error``; after that, or when ``closing``, writes only seem to succeed,
    the file closes in order, and whoever opened it raises ``error`` and removes the file.
    """

    error: OSError | None = None
    closing = False

    def write(self, data: Any) -> int:
        remaining = memoryview(data).cast("B")
        size = len(remaining)
        while len(remaining) and self.error is None:
            try:
                remaining = remaining[super().write(remaining) :]
            except OSError as error:
                self.error = error
                if not self.closing:
                    raise
        return size

    def truncate(self, size: int | None = None) -> int:
        """Like write; growing a file needs no space yet, so an error here is as good as none."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


@contextmanager
def create(path: Path | str, header: Mapping[str, Any]) -> Iterator[h5py.File]:
    """Yield a new HDF5 file that appears under ``path``, header included, when the block ends.

    Raises UserError where it cannot be written, e.g. because the disk is full.
    """
    with atomic_path(path) as temporary, _Storage(temporary, "w+") as storage:
        try:
            with h5py.File(storage, "w") as file:
                try:
                    file.attrs.update(header)
                    yield file
                    file.flush()
                finally:
                    storage.closing = True
        except Exception as error:
            if storage.error:
                raise storage.error from error
            raise
        if storage.error:
            raise storage.error


@contextmanager
def opened(path: Path | str, kind: str, version: int, hash_: str | None = None) -> Iterator[h5py.File]:
    """Yield the file opened for reading after its header was checked.

    Raises UserError where the file is missing, truncated or of another kind, version or hash.
    """
    with _opened(Path(path)) as file:
        check_label(file.attrs, path, kind, version, hash_)
        yield file


def _opened(path: Path) -> h5py.File:
    if not path.exists():
        raise UserError(f"{path} does not exist; make it with `snakemake {path}`")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UserError(
            f"{path} is not a readable HDF5 file, perhaps truncated ({error}); "
            "delete it and make it again"
        ) from error


def kind(path: Path | str) -> str:
    """The format that a file says it has, e.g. ``samples``; raises UserError where it cannot be read."""
    with _opened(Path(path)) as file:
        return str(file.attrs.get("format", "unknown")).removeprefix("nanogen.")


def header(path: Path | str, kind: str, version: int, hash_: str | None = None) -> dict[str, Any]:
    """The file's attributes as plain Python values."""
    with opened(path, kind, version, hash_) as file:
        return {k: v.item() if isinstance(v, np.generic) else v for k, v in file.attrs.items()}


def memmap(file: h5py.File, name: str) -> np.ndarray:
    """A read-only memory map over dataset ``name`` (contiguous), with the dataset's shape and type."""
    dataset = file[name]
    offset = dataset.id.get_offset()
    if dataset.size == 0:
        return np.empty(dataset.shape, dataset.dtype)
    if offset is None:
        raise UserError(f"{file.filename}: {name!r} is not stored contiguously; make the file again")
    end = offset + dataset.size * dataset.dtype.itemsize
    if end > Path(file.filename).stat().st_size:
        raise UserError(f"{file.filename} is truncated; delete it and make it again")
    return np.memmap(file.filename, dataset.dtype, "r", offset, dataset.shape)


def strings(file: h5py.File, name: str) -> list[str]:
    """A dataset of UTF-8 strings as a list."""
    return list(file[name].asstr()[:])


def write_strings(group: h5py.Group, name: str, values: list[str]) -> None:
    group.create_dataset(name, data=values, dtype=h5py.string_dtype("utf-8"))
