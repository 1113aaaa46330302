"""The parts of an import (`nanogen.data.source.Part`), each in its own file.

If an import is interrupted, only the current parts are lost; the next import continues with the others.
Unreadable examples are recorded in the file of a part, so the same parts serve whether these are refused
or skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.data import hdf5
from nanogen.data.source import Example, Part, Unreadable
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.identity import config_hash

FORMAT = ("image_part", 1)
BLOCK_BYTES = 16 << 20
OF_PLACES = 4096


def block_of(side: int | None) -> int:
    """Return how many images of ``side`` x ``side`` pixels, or locations of images, form a block."""
    return max(1, min(1024, BLOCK_BYTES // (3 * side**2))) if side else OF_PLACES


def columns(block: list[Example]) -> dict[str, np.ndarray]:
    """Return the rows (B, ...) of each dataset of an image file, by name."""
    found: dict[str, Any] = {
        "labels": np.array([e.label for e in block], np.int64),
        "captions/short": np.array([e.short for e in block], object),
        "captions/dense": np.array([e.dense for e in block], object),
    }
    images = [e.image for e in block if e.image is not None]
    if images:
        found = {"images": np.stack(images)} | found
    else:
        found = {"places": np.array([(0, *e.place) for e in block if e.place], np.int64)} | found
    if block[0].masks is not None:
        found["masks"] = np.stack([np.asarray(e.masks) for e in block])
        found["objects"] = np.array([json.dumps(e.objects) for e in block], object)
    return found


def kind_of(rows: np.ndarray) -> Any:
    """Return the HDF5 type of a dataset for these rows."""
    return h5py.string_dtype("utf-8") if rows.dtype == object else rows.dtype


@dataclass(frozen=True)
class Finished:
    """The file of a part.

    Attributes:
        path: the file.
        part: the name of the part.
        rows: number of examples in it.
        unreadable: for each unreadable example the number of examples before it, its name, and why.
    """

    path: Path
    part: str
    rows: int
    unreadable: list[tuple[int, str, str]]


def path_of(part: Part, folder: Path, side: int | None) -> Path:
    """Return the path of a part's file. ``side`` is in pixels, or None for locations of images."""
    return folder / f"{config_hash([type(part).__name__, part.name, part.chosen, side])}.h5"


def state_of(part: Part) -> str:
    """Return a hash of the size and time of each of the part's files, which may also be missing."""
    return config_hash([_state(file) for file in part.files])


def _state(file: Path) -> list[int]:
    try:
        found = file.stat()
    except OSError:  # reported when it is read
        return []
    return [found.st_size, found.st_mtime_ns]


def finish(part: Part, folder: Path, side: int | None) -> Finished:
    """Import a part into ``folder``, unless that has been done and its files have not changed since.

    Raises UserError if a file changes during the import.
    """
    path, state = path_of(part, folder, side), state_of(part)
    if not hdf5.is_made(path, *FORMAT, state, ()):
        _write(part, path, state, block_of(side))
        if state_of(part) != state:
            path.unlink()
            raise UserError(f"{part.name} changed while it was being imported; start again")
    return read(path, state)


def read(path: Path, state: str | None = None) -> Finished:
    """Read the description of a part's file."""
    with hdf5.opened(path, *FORMAT, state) as file:
        rows = len(file["labels"]) if "labels" in file else 0
        return Finished(path, str(file.attrs["part"]), rows, json.loads(file["unreadable"][()]))


def _write(part: Part, path: Path, state: str, block: int) -> None:
    unreadable: list[tuple[int, str, str]] = []
    readable = _readable(part.examples(), unreadable)
    with hdf5.create(path, label(*FORMAT, state, part=part.name)) as file:
        rows = 0
        while examples := list(islice(readable, block)):
            for name, values in columns(examples).items():
                if not rows:
                    shape = values.shape[1:]
                    file.create_dataset(
                        *(name, (0, *shape), kind_of(values)),
                        **{"maxshape": (None, *shape), "chunks": (block, *shape)},
                    )
                file[name].resize(rows + len(examples), axis=0)
                file[name][rows:] = values
            rows += len(examples)
        file["unreadable"] = json.dumps(unreadable)


def _readable(
    found: Iterable[Example | Unreadable], unreadable: list[tuple[int, str, str]]
) -> Iterator[Example]:
    """Yield the readable examples, and append the others to ``unreadable`` (see `Finished`)."""
    count = 0
    for each in found:
        if isinstance(each, Unreadable):
            unreadable.append((count, each.name, each.reason))
        else:
            count += 1
            yield each


def blocks(parts: Iterable[Finished], size: int, most: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield the rows of all parts in order, at most ``most``, in blocks of exactly ``size``.

    Only the last block may be smaller. The bytes that are written therefore do not depend on how the
    data was divided into parts. Column 0 of ``places`` becomes the number of the part.
    """
    pending: list[dict[str, np.ndarray]] = []
    held, left = 0, most
    for number, part in enumerate(parts):
        start = 0
        while start < min(part.rows, left):
            stop = min(part.rows, left, start + size - held)
            pending.append(_rows(part.path, number, start, stop))
            held, start = held + stop - start, stop
            if held == size:
                yield _joined(pending)
                pending, held = [], 0
        left -= min(part.rows, left)
    if pending:
        yield _joined(pending)


def _rows(path: Path, number: int, start: int, stop: int) -> dict[str, np.ndarray]:
    names = ("images", "places", "labels", "captions/short", "captions/dense")
    with hdf5.opened(path, *FORMAT) as file:
        found = {name: file[name][start:stop] for name in names if name in file}
    if "places" in found:
        found["places"][:, 0] = number
    return found


def _joined(pending: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([rows[name] for rows in pending]) for name in pending[0]}
