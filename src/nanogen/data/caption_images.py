"""Read the images of a caption set from a folder, or from a zip archive without unpacking it."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from nanogen.data.content import hash_of
from nanogen.data.image_sets import ImageSet
from nanogen.data.walk import PICTURES, walk
from nanogen.errors import UserError
from nanogen.files import damage

Read = Callable[[str], bytes]  # end of a path -> content of the file


def caption_images(folder: Path, images: str, wanted: Sequence[str], side: int) -> ImageSet:
    """Open the images whose paths end with ``wanted``, in this order.

    They are scaled and cropped like training images (`nanogen.data.crop`).

    Args:
        folder: holds ``images``.zip or the folder ``images`` at any depth.
        side: in pixels.

    Raises UserError where there is neither, where an image is missing, and, when they are read, for
    damage.
    """
    depth = len(PurePosixPath(wanted[0]).parts)
    read, names = _archive(folder, images, depth) or _folder(folder, images, depth)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of {len(wanted)} images, first {missing[0]}; give the "
            "folder with all images that belong to these captions"
        )

    def rows() -> Iterator[np.ndarray]:
        from nanogen.data.source import in_order

        return in_order(partial(_decoded, read, folder, side), wanted)

    return ImageSet(f"images of {folder}", len(wanted), side, rows)


def images_hash(folder: Path, images: str) -> str:
    """Hash the images of a caption set, 16 hexadecimal digits; the path of ``folder`` does not count.

    Of an archive, names, sizes and checksums of its members count. Of a folder, names and sizes count,
    and content as in `hash_of`. Raises UserError where there is neither.
    """
    if path := _archive_in(folder, images):
        with _opened(path) as archive:
            members = sorted(f"{m.filename} {m.file_size} {m.CRC}" for m in archive.infolist())
        return hash_of((), also=members)
    found = {path.relative_to(folder).as_posix(): path for path in _pictures(folder, images)}
    sizes = sorted(f"{name} {os.path.getsize(path)}" for name, path in found.items())
    return hash_of(found.items(), also=sizes)


def _archive_in(folder: Path, images: str) -> Path | None:
    return next((path for path in walk(folder).files if path.name == f"{images}.zip"), None)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a zip archive ({error}); fetch it again") from error


def _pictures(folder: Path, images: str) -> list[Path]:
    found = [path for path in walk(folder).only(PICTURES).files if images in path.parts]
    if not found:
        raise UserError(f"{folder} holds neither {images}.zip nor a folder {images} with images")
    return found


def _end(path: str | Path, depth: int) -> str:
    return "/".join(PurePosixPath(path).parts[-depth:])


def _archive(folder: Path, images: str, depth: int) -> tuple[Read, set[str]] | None:
    """Open the archive; names of members are only looked up, so one like ``../x`` does no harm."""
    path = _archive_in(folder, images)
    if path is None:
        return None
    archive = _opened(path)
    members = {_end(member.filename, depth): member for member in archive.infolist()}

    def read(name: str) -> bytes:
        with closing(archive.open(members[name])) as file:
            return file.read()

    return read, set(members)


def _folder(folder: Path, images: str, depth: int) -> tuple[Read, set[str]]:
    paths = {_end(path, depth): path for path in _pictures(folder, images)}
    return lambda name: paths[name].read_bytes(), set(paths)


def _decoded(read: Read, folder: Path, side: int, name: str) -> np.ndarray:
    from nanogen.data.crop import load

    try:
        return load(io.BytesIO(read(name)), side)
    except Exception as error:  # Pillow's parsers raise errors of any type
        raise UserError(
            f"{folder}: {name} cannot be read ({damage(error, Path(name))}); fetch the set again"
        ) from error
