"""The identity of a user's data, which depends on the content of the folder and not on its path.

Another spelling of the path, a link or a copy has the same identity. Adding, removing, renaming or
changing an image, class or shard changes it.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from nanogen.data.array_file import array_file
from nanogen.data.captioned_files import caption_of, pictures
from nanogen.data.photographs import class_folders, class_names, is_exported
from nanogen.data.stage import DataStage
from nanogen.data.tar_shards import shards
from nanogen.data.walk import walk
from nanogen.errors import UserError
from nanogen.files import explained

LOOKED_INTO = 20_000  # files; for larger sets only names count, because opening each would be slow
BLOCK = 4096  # bytes
SAMPLE_BLOCKS = 1 << 14  # for a sample set, which is read completely up to 64 MiB
Named = tuple[str, Path]  # the name that is hashed, and the path of the file


def content_hash(source: str, root: Path, split: str, file: str | None = None) -> str:
    """Hash one split of a user's data, 16 hexadecimal digits.

    The hash covers the name below ``root``, the size, and the first and last 4 KiB of every file. For
    sets of more than `LOOKED_INTO` files it only covers the names.

    Args:
        source: ``folder`` (photographs by class), ``captioned`` (images with captions), ``webdataset``
            (tar shards) or ``array`` (a file of validation images).
        root: the folder of the data.
        split: ``train`` or ``val``.
        file: the name of the file, for ``array``.

    Raises:
        UserError: the folder cannot be read.
    """
    if source == "array":
        return hash_of(_below(root, [array_file(root, file)]))
    if source == "webdataset":
        return hash_of(_below(root, shards(root, split)))
    if source == "captioned":
        files = pictures(root, split)
        return hash_of(_below(root, [*files, *filter(None, map(caption_of, files))]))
    if is_exported(root):
        from nanogen.data.exported_tables import tables

        return hash_of(_below(root, (table.path for table in tables(root, split))), class_names(root))
    return hash_of(_photographs(root / split), class_names(root))


def of_sample_set(path: Path) -> str:
    """Hash the images of a sample set; the hash is stored with its scores."""
    return hash_of([("samples", path)], blocks=SAMPLE_BLOCKS)


def check_content(stage: DataStage) -> None:
    """Raise UserError if a user's data has changed since the step was planned."""
    root = Path(str(stage.root))
    if stage.content and content_hash(stage.source, root, stage.split, stage.file) != stage.content:
        raise UserError(
            f"data.root: {root} has changed since this step was planned; start Snakemake again"
        )


def _below(root: Path, files: Iterable[Path]) -> Iterator[Named]:
    return ((file.relative_to(root).as_posix(), file) for file in files)


def _photographs(folder: Path) -> Iterator[Named]:
    if not folder.is_dir():  # the import reports it; a plan need not
        return
    for name, path in class_folders(folder).items():
        found = walk(path)
        for file in (*found.files, *found.nowhere, *found.loops):
            yield f"{name}/{file.relative_to(path).as_posix()}", file


def hash_of(files: Iterable[Named], also: Iterable[str] = (), blocks: int = 2) -> str:
    """Hash files, independent of their order, and the names ``also``.

    The hash covers ``blocks`` blocks of 4 KiB of each file, spread evenly from its beginning to its end,
    and smaller files completely.
    """
    named = sorted((unicodedata.normalize("NFC", name), file) for name, file in files)
    digest = hashlib.sha256()
    for name in also:
        digest.update(b"\0class " + _bytes(name))
    for name, file in named:
        digest.update(b"\0file " + _bytes(name))
        if len(named) <= LOOKED_INTO and file.is_file():
            _add(digest, file, blocks)
    return digest.hexdigest()[:16]


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _add(digest: hashlib._Hash, path: Path, blocks: int) -> None:
    with explained(path, "read"), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(b"\0size %d " % size)
        if size <= blocks * BLOCK:
            digest.update(file.read())
            return
        last = size - BLOCK
        for place in sorted({last * k // (blocks - 1) for k in range(blocks)}):
            file.seek(place)
            digest.update(file.read(BLOCK))
