"""Read the images of a caption set from a folder, or from a zip archive without unpacking it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

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


def _end(path: str | Path, depth: int) -> str:
    return "/".join(PurePosixPath(path).parts[-depth:])


def _archive(folder: Path, images: str, depth: int) -> tuple[Read, set[str]] | None:
    """Open the archive; names of members are only looked up, so one like ``../x`` does no harm."""
    paths = [path for path in walk(folder).files if path.name == f"{images}.zip"]
    if not paths:
        return None
    try:
        archive = zipfile.ZipFile(paths[0])
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{paths[0]} is not a zip archive ({error}); fetch it again") from error
    members = {_end(member.filename, depth): member for member in archive.infolist()}

    def read(name: str) -> bytes:
        with closing(archive.open(members[name])) as file:
            return file.read()

    return read, set(members)


def _folder(folder: Path, images: str, depth: int) -> tuple[Read, set[str]]:
    found = [path for path in walk(folder).only(PICTURES).files if images in path.parts]
    if not found:
        raise UserError(f"{folder} holds neither {images}.zip nor a folder {images} with images")
    paths = {_end(path, depth): path for path in found}
    return lambda name: paths[name].read_bytes(), set(paths)


def _decoded(read: Read, folder: Path, side: int, name: str) -> np.ndarray:
    from nanogen.data.crop import load

    try:
        return load(io.BytesIO(read(name)), side)
    except Exception as error:  # Pillow's parsers raise errors of any type
        raise UserError(
            f"{folder}: {name} cannot be read ({damage(error, Path(name))}); fetch the set again"
        ) from error
