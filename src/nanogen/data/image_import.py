"""Import of a source of pictures (`nanogen.data.source`) to an image file, block by block."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nanogen.data import hdf5
from nanogen.data.content import check_content
from nanogen.data.hdf5 import announce
from nanogen.data.images import FORMAT, VERSION
from nanogen.data.source import Example, ImageSource, UnreadableFiles
from nanogen.data.stage import DataStage
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.text import one_line

log = logging.getLogger(__name__)
_BLOCK_BYTES = 16 << 20


def _scenes(stage: DataStage) -> ImageSource:
    from nanogen.data.scenes.source import Scenes

    return Scenes(stage)


def _photographs(stage: DataStage) -> ImageSource:
    from nanogen.data.exported import Exported
    from nanogen.data.folder import Folder
    from nanogen.data.photographs import is_exported

    return Exported(stage) if stage.root and is_exported(stage.root) else Folder(stage)


def _webdataset(stage: DataStage) -> ImageSource:
    from nanogen.data.webdataset import Shards

    return Shards(stage)


def _captioned(stage: DataStage) -> ImageSource:
    from nanogen.data.captioned import Captioned

    return Captioned(stage)


def _array(stage: DataStage) -> ImageSource:
    from nanogen.data.array_images import ArrayImages

    return ArrayImages(stage)


SOURCES: dict[str, Callable[[DataStage], ImageSource]] = {
    "scenes": _scenes,
    "folder": _photographs,
    "captioned": _captioned,
    "webdataset": _webdataset,
    "array": _array,
}


def _create_datasets(file: h5py.File, count: int, first: Example, store: str) -> None:
    text = h5py.string_dtype("utf-8")
    if store == "places":
        file.create_dataset("places", (count, 3), np.int64)
    else:
        file.create_dataset("images", (count, *first.image.shape), np.uint8)
    file.create_dataset("labels", (count,), np.int64)
    file.create_dataset("captions/short", (count,), text)
    file.create_dataset("captions/dense", (count,), text)
    if first.masks is not None:
        file.create_dataset("masks", (count, *first.masks.shape), np.uint8)
        file.create_dataset("objects", (count,), text)


def _write_block(file: h5py.File, start: int, block: list[Example]) -> None:
    rows = slice(start, start + len(block))
    if "places" in file:
        file["places"][rows] = [e.place for e in block]
    else:
        file["images"][rows] = np.stack([e.image for e in block])
    file["labels"][rows] = [e.label for e in block]
    file["captions/short"][rows] = [e.short for e in block]
    file["captions/dense"][rows] = [e.dense for e in block]
    if "masks" in file:
        file["masks"][rows] = np.stack([np.asarray(e.masks) for e in block])
        file["objects"][rows] = [json.dumps(e.objects) for e in block]


def _shards(source: ImageSource) -> list[tuple[str, int]]:
    """Path and size of the tar files that hold the source's pictures; raises UserError if none do."""
    shards: list[Path] | None = getattr(source, "shards", None)
    if shards is None:
        raise UserError("data.store: only pictures in tar shards (source: webdataset) have places")
    return [(str(path), path.stat().st_size) for path in shards]


def _write(source: ImageSource, stage: DataStage, output: Path) -> None:
    from tqdm import tqdm

    header = label(FORMAT, VERSION, stage.hash, classes=json.dumps(source.classes))
    header |= {"split": stage.split, "task": stage.name}
    if stage.store == "places":
        header |= {"shards": json.dumps(_shards(source)), "side": stage.resolution}
    else:
        announce(output, "images", len(source), 3 * len(source) * stage.resolution**2)
    size = max(1, min(1024, _BLOCK_BYTES // (3 * stage.resolution**2)))
    progress = tqdm(total=len(source), unit="image", disable=not sys.stderr.isatty())
    with progress, hdf5.create(output, header) as file:
        examples = source.examples()
        written = 0
        while block := list(islice(examples, size)):
            if not written:
                _create_datasets(file, len(source), block[0], stage.store)
            _write_block(file, written, block)
            written += len(block)
            progress.update(len(block))


def _listing(files: Mapping[str, str]) -> str:
    shown = [
        f"  {one_line(name)}: {one_line(reason)}" for name, reason in islice(sorted(files.items()), 20)
    ]
    more = [f"  and {len(files) - 20} more"] if len(files) > 20 else []
    return "\n".join(shown + more)


def write_images(content: Mapping[str, Any], output: Path | str) -> None:
    """Write the image file of a ``data`` stage, given its JSON.

    Unreadable files are listed by name. Depending on ``data.unreadable`` they raise UserError or are
    left out. A source without examples raises UserError, too.
    """
    output, stage = Path(output), DataStage.from_json(content)
    started = time.monotonic()
    if stage.content:
        check_content(stage.source, Path(str(stage.root)), stage.split, stage.content)
    source = SOURCES[stage.source](stage)
    try:
        _write(source, stage, output)
    except UnreadableFiles as found:
        listing = _listing(found.files)
        if stage.unreadable == "refuse":
            raise UserError(
                f"{len(found.files)} files under {stage.root} are unreadable; mend or remove them, "
                f"or set data.unreadable to skip:\n{listing}"
            ) from found
        log.warning("left out %d unreadable files:\n%s", len(found.files), listing)
        # The number of rows must be known before the first one is written: start again without them.
        source = source.without(set(found.files))
        _write(source, stage, output)
    log.info(
        "%s: %d images of %d classes in %.1f s",
        *(output, len(source), len(source.classes), time.monotonic() - started),
    )
