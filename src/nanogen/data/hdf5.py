"""HDF5 files: contiguous arrays with a checked header, read through a memory map.

Arrays are stored contiguously, because a random gather through a memory map over a contiguous dataset is
two orders of magnitude faster than through h5py's chunked layout (docs/performance.md).
"""

from __future__ import annotations

import io
import logging
import math
import os
import shutil
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.errors import UserError
from nanogen.files import atomic_path, check_label, damage, explained
from nanogen.stand_ins import stand_in

log = logging.getLogger(__name__)


class _Storage(io.FileIO):
    """The file object that HDF5 writes to, which handles a full disk.

    HDF5 crashes if it cannot write its buffers while closing. Therefore the first failed write is
    reported to it and kept in ``error``. After that, or while ``closing``, writes pretend to succeed, so
    that the file can be closed; the caller then raises ``error`` and removes the file.
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
        """Like write. Growing a file needs no space yet, so an error here can be ignored."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


@contextmanager
def create(path: Path | str, header: Mapping[str, Any]) -> Iterator[h5py.File]:
    """Yield a new HDF5 file with this header, which appears at ``path`` when the block ends.

    Raises UserError if it cannot be written, for example because the disk is full.
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
    """Yield the file, opened for reading, after checking its header.

    Raises UserError if the file is missing, truncated or of another kind, version or hash.
    """
    with whole(Path(path)), _opened(Path(path)) as file:
        check_label(file.attrs, path, kind, version, hash_)
        yield file


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Convert HDF5's errors about damage inside a file, in this block, to UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not _raised_by_hdf5(error):
            raise
        raise UserError(
            f"{path} is damaged ({damage(error, path)}); delete it and make it again"
        ) from error


def _raised_by_hdf5(error: Exception) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "h5py" in frames[-1].filename


def _opened(path: Path) -> h5py.File:
    with explained(path, "read"):
        if not path.exists():
            raise UserError(f"{path} does not exist; make it with `snakemake {path}`")
        said = stand_in(path)
    if said:
        raise UserError(f"{path} is {said}, or make it again")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UserError(
            f"{path} is not a readable HDF5 file, perhaps truncated ({damage(error, path)}); "
            "delete it and make it again"
        ) from error


def kind(path: Path | str) -> str:
    """Return the format named in a file's header, e.g. ``samples``; raise UserError if unreadable."""
    with whole(Path(path)), _opened(Path(path)) as file:
        return str(file.attrs.get("format", "unknown")).removeprefix("nanogen.")


def header(path: Path | str, kind: str, version: int, hash_: str | None = None) -> dict[str, Any]:
    """Return the file's attributes as plain Python values."""
    with opened(path, kind, version, hash_) as file:
        return {k: v.item() if isinstance(v, np.generic) else v for k, v in file.attrs.items()}


def is_made(path: Path, kind: str, version: int, hash_: str, made_from: Iterable[Path]) -> bool:
    """Whether ``path`` is a complete file with this header and newer than all of ``made_from``."""
    try:
        with opened(path, kind, version, hash_):
            made = path.stat().st_mtime_ns
            return all(source.stat().st_mtime_ns <= made for source in made_from)
    except (UserError, OSError):  # the next attempt to make it reports what is wrong
        return False


@dataclass(frozen=True)
class Stored:
    """The location of a contiguous dataset in its file.

    Attributes:
        path: the file.
        offset: of the first row, in bytes.
        shape, dtype: of the dataset.
        identity: device, inode and time of the file whose header was read; empty: not checked.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype
    identity: tuple[int, ...] = ()

    def open(self) -> io.FileIO:
        """Open the file, unbuffered.

        Raises UserError if it has been replaced since its header was read: the new file may belong to
        another configuration.
        """
        file = io.FileIO(self.path)
        if self.identity and _identity(file.fileno()) != self.identity:
            file.close()
            raise UserError(f"{self.path} was replaced while it was being opened; start again")
        return file

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield the rows from ``start`` to ``stop``, each read into a new array.

        Use this for a pass through all rows: every page of a memory map that is read counts as memory of
        this process, so that a map of a large set of images would seem to need as much memory.
        """
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        with self.open() as raw, io.BufferedReader(raw) as file:
            file.seek(self.offset + start * size)
            for _ in range(start, self.shape[0] if stop is None else stop):
                row = np.empty(self.shape[1:], self.dtype)
                # numpy's stub knows the buffer protocol from Python 3.12 on only.
                if file.readinto(row) < size:  # type: ignore[arg-type]
                    raise UserError(f"{self.path} is truncated; delete it and make it again")
                yield row


def _identity(descriptor: int) -> tuple[int, ...]:
    about = os.fstat(descriptor)
    return about.st_dev, about.st_ino, about.st_mtime_ns


def stored(file: h5py.File, name: str) -> Stored:
    """Locate dataset ``name``; raise UserError if it is missing, truncated or not contiguous."""
    path = Path(file.filename)
    if name not in file:
        raise UserError(f"{path} holds no {name!r}, only {', '.join(file)}")
    dataset = file[name]
    offset = dataset.id.get_offset()
    if offset is None and dataset.size:
        raise UserError(f"{path}: {name!r} is not stored contiguously; make the file again")
    identity = _identity(file.id.get_vfd_handle())
    place = Stored(path, offset or 0, dataset.shape, dataset.dtype, identity)
    if place.offset + dataset.size * dataset.dtype.itemsize > path.stat().st_size:
        raise UserError(f"{path} is truncated; delete it and make it again")
    return place


def memmap(file: h5py.File, name: str) -> np.ndarray:
    """Return a read-only memory map of the contiguous dataset ``name``."""
    place = stored(file, name)
    if 0 in place.shape:
        return np.empty(place.shape, place.dtype)
    with place.open() as raw:
        return np.memmap(raw, place.dtype, "r", place.offset, place.shape)


def strings(file: h5py.File, name: str) -> list[str]:
    """Return a dataset of UTF-8 strings as a list."""
    return list(file[name].asstr()[:])


def announce(path: Path, what: str, count: int, size: int, written: int = 0) -> None:
    """Log the size of a file before it is written; raise UserError if the disk has no space for it.

    Args:
        size: size in bytes, of which ``written`` bytes are on the disk already.
    """
    log.info("%s: %d %s, %.1f MB", path, count, what, size / 1e6)
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free, needed = shutil.disk_usage(folder).free, size - written
    if needed > free:
        raise UserError(
            f"{path} needs {needed / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free on its disk; "
            "free some space, or put results/ on another disk"
        )
