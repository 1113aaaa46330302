"""Import a source of images (`nanogen.data.source`) to an image file, block by block."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nanogen.data import hdf5, part_workers
from nanogen.data.content import check_content
from nanogen.data.images import FORMAT, LEFT_OUT, VERSION
from nanogen.data.in_place import in_place
from nanogen.data.parts import Finished, block_of, blocks, columns, kind_of, path_of
from nanogen.data.source import Drawn, Imported
from nanogen.data.stage import DataStage, pixel_bytes
from nanogen.errors import UserError
from nanogen.files import label, write_text
from nanogen.text import one_line

log = logging.getLogger(__name__)
SHOWN = 20  # unreadable files in a message; all are listed in a file


def _scenes(stage: DataStage) -> Drawn:
    from nanogen.data.scenes.source import Scenes

    return Scenes(stage)


def _photographs(stage: DataStage) -> Imported:
    from nanogen.data.exported import Exported
    from nanogen.data.folder import Folder
    from nanogen.data.photographs import is_exported

    return Exported(stage) if stage.root and is_exported(stage.root) else Folder(stage)


def _webdataset(stage: DataStage) -> Imported:
    from nanogen.data.webdataset import Shards

    return Shards(stage)


def _captioned(stage: DataStage) -> Imported:
    from nanogen.data.captioned import Captioned

    return Captioned(stage)


def _array(stage: DataStage) -> Drawn:
    from nanogen.data.array_images import ArrayImages

    return ArrayImages(stage)


DRAWN: dict[str, Callable[[DataStage], Drawn]] = {"scenes": _scenes, "array": _array}
IMPORTED: dict[str, Callable[[DataStage], Imported]] = {
    "folder": _photographs,
    "captioned": _captioned,
    "webdataset": _webdataset,
}


def write_images(
    content: Mapping[str, Any], output: Path | str, parts: Path | None = None, workers: int = 1
) -> None:
    """Write the image file of a ``data`` stage.

    Unreadable files are listed by name; ``data.unreadable`` decides whether they are an error or are
    left out. Raises UserError for them, and if the source has no examples.

    Args:
        parts: folder in which finished parts (`nanogen.data.parts`) are kept until all are finished; by
            default `parts_beside` the output.
        workers: number of processes; the output does not depend on it.
    """
    output, stage = Path(output), DataStage.from_json(content)
    started = time.monotonic()
    if stage.source in DRAWN:
        check_content(stage)
        drawn = DRAWN[stage.source](stage)
        count, classes = len(drawn), drawn.classes
        hdf5.announce(output, "images", count, pixel_bytes(count, stage.resolution))
        _write(_drawn(drawn, stage), count, output, _header(stage, classes))
    else:
        source = _opened(stage)
        parts = parts or parts_beside(output)
        found, left_out = _finished(source, stage, output, parts, workers)
        classes = source.classes
        count = min(stage.images, sum(part.rows for part in found))
        if not count:
            raise UserError(f"data.root: {stage.root} holds no readable images")
        _join(found, count, stage, source.side, output, _header(stage, classes, left_out))
        shutil.rmtree(parts, ignore_errors=True)  # a job of another study may still write there
    log.info(
        "%s: %d images of %d classes in %.1f s",
        *(output, count, len(classes), time.monotonic() - started),
    )


def parts_beside(output: Path) -> Path:
    """Return the hidden folder next to an image file in which its finished parts are kept."""
    return output.with_name(f".{output.name}.parts")


def write_share(
    content: Mapping[str, Any], parts: Path, number: int, count: int, workers: int = 1
) -> list[Finished]:
    """Import the parts of job ``number`` of ``count``, counted from 1, for `write_images` to join.

    A job imports every ``count``-th part, up to its share of the requested number of images.
    """
    stage = DataStage.from_json(content)
    if stage.source in DRAWN:
        raise UserError(f"data.source {stage.source}: it is drawn by one job; data_shards must be 1")
    source = _opened(stage)
    own, most = source.parts()[number - 1 :: count], -(-stage.images // count)
    found = part_workers.finished(own, parts, source.side, most, workers)
    _check(found, stage.images, stage, parts / f"unreadable-{number}-of-{count}.txt")
    return found


def _opened(stage: DataStage) -> Imported:
    check_content(stage)
    if stage.store == "places":
        in_place(stage)  # raises UserError where images cannot stay
    return IMPORTED[stage.source](stage)


# ------------------------------------------------------------------------------------- parts


def _finished(
    source: Imported, stage: DataStage, output: Path, folder: Path, workers: int
) -> tuple[list[Finished], int]:
    """Import all parts of the source; also return the number of unreadable images.

    Parts with other images instead of unreadable ones are included.
    """
    listing, left_out = output.with_suffix(".unreadable.txt"), 0
    while True:
        todo = source.parts()
        if source.count is not None and source.side is not None:
            _announce(source.count, stage, output, [path_of(p, folder, source.side) for p in todo])
        found = part_workers.finished(todo, folder, source.side, stage.images, workers)
        unreadable = _check(found, stage.images, stage, listing)
        left_out += len(unreadable)
        again = source.filled(set(unreadable)) if unreadable else source
        if again.count in (None, sum(part.rows for part in found)):
            return found, left_out
        source = again


def _where(shard: Path, folder: Path) -> str:
    """Return the path of a shard, or the target of a link, which remains when the link is removed.

    If it is given by a relative path, it becomes relative to the real path of ``folder``, that of the
    image file, so that both can be moved together and read from anywhere.
    """
    target = shard.parent / os.readlink(shard) if shard.is_symlink() else shard
    path = os.path.join(os.path.realpath(target.parent), target.name)
    return path if target.is_absolute() else os.path.relpath(path, os.path.realpath(folder))


def _announce(count: int, stage: DataStage, output: Path, parts: Sequence[Path]) -> None:
    """Raise UserError unless the disk has space for both the parts and the image file."""
    there = sum(path.stat().st_size for path in parts if path.exists())
    hdf5.announce(output, "images", count, 2 * pixel_bytes(count, stage.resolution), there)


def _check(found: Sequence[Finished], most: int, stage: DataStage, listing: Path) -> Mapping[str, str]:
    """Return name -> reason of the unreadable files among the first ``most`` images, and list them.

    The list is written to ``listing``. Raises UserError if there are any and the stage does not skip
    them.
    """
    unreadable: dict[str, str] = {}
    for part in found:
        unreadable |= {name: reason for place, name, reason in part.unreadable if place < most}
        most -= part.rows
    if not unreadable:
        return unreadable
    lines = [f"{one_line(name)}: {one_line(reason)}" for name, reason in sorted(unreadable.items())]
    write_text(listing, "\n".join(lines) + "\n")
    more = [f"and {len(lines) - SHOWN} more, all listed in {listing}"] if len(lines) > SHOWN else []
    told = "\n".join(f"  {line}" for line in [*lines[:SHOWN], *more])
    if stage.unreadable == "refuse":
        raise UserError(
            f"{len(lines)} files under {stage.root} are unreadable; repair or remove them, "
            f"or set data.unreadable to skip (what is imported is kept):\n{told}"
        )
    log.warning("left out %d unreadable files:\n%s", len(lines), told)
    return unreadable


# -------------------------------------------------------------------------------- image file


def _header(stage: DataStage, classes: Sequence[str], left_out: int = 0) -> dict[str, Any]:
    header = label(FORMAT, VERSION, stage.hash, classes=json.dumps(classes))
    header |= {"split": stage.split, "task": stage.name}
    header |= {LEFT_OUT: left_out} if left_out else {}
    return header


def _drawn(source: Drawn, stage: DataStage) -> Iterator[dict[str, np.ndarray]]:
    examples = source.examples()
    while block := list(islice(examples, block_of(stage.resolution))):
        yield columns(block)


def _join(
    parts: Sequence[Finished],
    count: int,
    stage: DataStage,
    side: int | None,
    output: Path,
    header: Mapping[str, Any],
) -> None:
    rows, shards = blocks(parts, block_of(side), count), None
    if side is None:
        header = {**header, "side": stage.resolution}
        paths = [Path(str(stage.root)) / part.part for part in parts]
        shards = json.dumps([(_where(path, output.parent), path.stat().st_size) for path in paths])
    _write(rows, count, output, header, shards)


def _write(
    blocks: Iterable[Mapping[str, np.ndarray]],
    count: int,
    output: Path,
    header: Mapping[str, Any],
    shards: str | None = None,
) -> None:
    """Write an image file of ``count`` rows; ``shards`` is the JSON of the files they are in."""
    from tqdm import tqdm

    progress = tqdm(total=count, unit="image", disable=not sys.stderr.isatty())
    with progress, hdf5.create(output, header) as file:
        if shards is not None:
            file["shards"] = shards
        start = 0
        for block in blocks:
            stop = start + len(block["labels"])
            for name, rows in block.items():
                if not start:
                    file.create_dataset(name, (count, *rows.shape[1:]), kind_of(rows))
            for name, rows in block.items():
                file[name][start:stop] = rows
            progress.update(stop - start)
            start = stop
