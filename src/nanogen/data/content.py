"""The identity of a user's data: the content of the folder, not its path.

A different spelling of the path, a link or a copy give the same identity. Adding, removing, renaming or
changing a picture, class or shard gives a different one.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from nanogen.data.captioned_files import caption_of, pictures
from nanogen.data.photographs import class_folders, class_names, is_exported
from nanogen.data.tar_shards import shards
from nanogen.data.walk import walk
from nanogen.errors import UserError
from nanogen.files import explained

LOOKED_INTO = 20_000  # files; of more, a plan has no time to open each, and their names count alone
BLOCK = 4096  # bytes
SAMPLE_BLOCKS = 1 << 14  # of a sample set, up to 64 MiB whole
Named = tuple[str, Path]  # the name that counts, where the file lies


def content_hash(source: str, root: Path, split: str) -> str:
    """16 hexadecimal digits for one split of the photographs (source ``folder``), captioned
    pictures (``captioned``) or tar shards (``webdataset``) in ``root``.

    The hash covers the name below ``root``, the size, and the first and last 4 KiB of every file. For
    sets of more than `LOOKED_INTO` files it covers the names only. Raises UserError if the folder cannot
    be read.
    """
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
    """A hash of the images of a sample set, which is stored in its scores."""
    return hash_of([("samples", path)], blocks=SAMPLE_BLOCKS)


def check_content(source: str, root: Path, split: str, planned: str) -> None:
    """Raise UserError if the data has changed since the step was planned."""
    if content_hash(source, root, split) != planned:
        raise UserError(
            f"data.root: {root} has changed since this step was planned; start Snakemake again"
        )


def _below(root: Path, files: Iterable[Path]) -> Iterator[Named]:
    return ((file.relative_to(root).as_posix(), file) for file in files)


def _photographs(folder: Path) -> Iterator[Named]:
    if not folder.is_dir():  # the import says so, for who only plans it is no matter
        return
    for name, path in class_folders(folder).items():
        found = walk(path)
        for file in (*found.files, *found.nowhere, *found.loops):
            yield f"{name}/{file.relative_to(path).as_posix()}", file


def hash_of(files: Iterable[Named], also: Iterable[str] = (), blocks: int = 2) -> str:
    """A hash of files, independent of their order, and of names that belong to them.

    It covers ``blocks`` blocks of 4 KiB of each file, spread evenly from its beginning to its end, and
    smaller files completely.
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
