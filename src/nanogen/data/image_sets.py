"""Read images from a folder, an NPZ file or this project's HDF5 files, one by one.

Memory does not grow with the number of images.
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from nanogen.data import hdf5
from nanogen.data.images import located
from nanogen.data.shard_images import ShardImages
from nanogen.data.walk import PICTURES, Found, walk
from nanogen.errors import UserError
from nanogen.files import damage, explained

log = logging.getLogger(__name__)
ARRAY = "arr_0"  # np.savez's name for an unnamed array
HDF5_SUFFIXES = (".h5", ".hdf5")
Read = TypeVar("Read")


@dataclass(frozen=True)
class ImageSet:
    """Square images of one size, in a fixed order.

    Attributes:
        name: a description for messages and protocols, e.g. ``training images``.
        count: number of images.
        side: side in pixels.
        rows: a function that yields the images one by one, uint8 (side, side, 3).
        passed_over: a description of other files in the folder, which are ignored; or empty.
    """

    name: str
    count: int
    side: int
    rows: Callable[[], Iterator[np.ndarray]]
    passed_over: str = ""

    def __len__(self) -> int:
        return self.count

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield all images in order, in batches uint8 (n, side, side, 3) with n at most ``size``."""
        images = self.rows()
        for start in range(0, self.count, size):
            batch = np.empty((min(size, self.count - start), self.side, self.side, 3), np.uint8)
            for place, image in zip(batch, images, strict=False):  # ends with the batch
                place[...] = image
            yield batch


def of_hdf5(path: Path, name: str, start: int = 0, stop: int | None = None) -> ImageSet:
    """Return the images ``start`` to ``stop`` of an HDF5 file, which are read when needed.

    Raises UserError if the file is missing or damaged, or of another format than images or samples.
    """
    images = _located(path)
    stop = images.shape[0] if stop is None else stop
    return ImageSet(name, stop - start, images.shape[1], lambda: images.rows(start, stop))


def open_images(path: Path | str, side: int | None = None) -> ImageSet:
    """Open a set of images.

    Args:
        path: a folder (`nanogen.data.walk.PICTURES` at any depth, ordered by name), an NPZ file
            (``arr_0``), or an HDF5 file of format images or samples.
        side: side in pixels that every image is scaled and cropped to, as for training data
            (`nanogen.data.crop`). None: images are used unchanged.

    Raises:
        UserError: there is nothing to read, a file is damaged or of another kind, or ``side`` is None
            and the images are not square and of the same size.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path, side)
    if not path.exists():
        raise UserError(f"{path} does not exist: give a folder of images, an .npz or an .h5 file")
    if path.suffix == ".npz":
        return _sized(_npz(path), side)
    if path.suffix in HDF5_SUFFIXES:
        return _sized(_hdf5(path), side)
    raise UserError(f"{path}: images are read from a folder, an .npz or an .h5 file")


# ------------------------------------------------------------------------------------- folders


def _pictures(folder: Path) -> Found:
    found = walk(folder).only(PICTURES)
    if not found.files:
        passed = f"; passed over: {found.passed_over}" if found.passed_over else ""
        raise UserError(f"{folder} holds no images: expected PNG, JPEG, WebP and the like{passed}")
    if found.passed_over:
        log.warning("%s: passed over %s", folder, found.passed_over)
    return found


def _folder(folder: Path, side: int | None) -> ImageSet:
    from nanogen.data.source import in_order

    found = _pictures(folder)
    files = found.files
    decode: Callable[[Path], np.ndarray]
    if side is None:
        sizes = in_order(partial(_read, _size), files)  # reads only headers, before the expensive work
        side = _common_side(folder, zip(files, sizes, strict=True))
        decode = _decoded
    else:
        decode = partial(_cropped, side=side)
    rows = partial(in_order, partial(_read, decode), files)
    return ImageSet(f"images of {folder}", len(files), side, rows, found.passed_over)


def _read(function: Callable[[Path], Read], file: Path) -> Read:
    try:
        return function(file)
    except Exception as error:  # Pillow's parsers raise errors of any type
        raise UserError(f"{file} cannot be read ({damage(error, file)}); repair or remove it") from error


def _size(file: Path) -> tuple[int, int]:
    from nanogen.data.crop import Image

    with Image.open(file) as image:
        return image.size


def _decoded(file: Path) -> np.ndarray:
    from nanogen.data.crop import Image, rgb

    with Image.open(file) as image:
        return np.array(rgb(image))


def _cropped(file: Path, side: int) -> np.ndarray:
    from nanogen.data.crop import load

    return load(file, side)


def _common_side(folder: Path, sizes: Iterator[tuple[Path, tuple[int, int]]]) -> int:
    first, (side, height) = next(sizes)
    if side != height:
        raise UserError(f"{first} is {side} x {height} pixels, not square; --resize SIDE crops it")
    for file, size in sizes:
        if size != (side, side):
            raise UserError(
                f"{folder} holds images of several sizes: {first.name} is {side} x {side}, "
                f"{file.name} {size[0]} x {size[1]} pixels; --resize SIDE makes them equal"
            )
    return side


# -------------------------------------------------------------------------------------- arrays


@dataclass(frozen=True)
class _Array:
    """Images of one size that may not be square: shape (N, H, W, 3) and a function that yields them."""

    path: Path
    shape: tuple[int, ...]
    rows: Callable[[], Iterator[np.ndarray]]


def _checked(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise UserError(
            f"{path}: {name} holds {dtype} of shape {shape}, expected uint8 images (N, H, W, 3)"
        )
    if not shape[0]:
        raise UserError(f"{path} holds no images: {name} is empty")


def _sized(array: _Array, side: int | None) -> ImageSet:
    count, height, width, _ = array.shape
    if side is None:
        if height != width:
            raise UserError(
                f"{array.path}: images of {width} x {height} pixels, not square; --resize SIDE crops"
            )
        return ImageSet(f"images of {array.path}", count, height, array.rows)

    def rows() -> Iterator[np.ndarray]:
        from PIL import Image

        from nanogen.data.crop import centre_crop

        return (centre_crop(Image.fromarray(np.ascontiguousarray(row)), side) for row in array.rows())

    return ImageSet(f"images of {array.path}", count, side, rows)


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays in an NPZ file; raise UserError if it is not one."""
    try:
        with explained(path, "read"), zipfile.ZipFile(path) as file:
            return [name.removesuffix(".npy") for name in file.namelist()]
    except (zipfile.BadZipFile, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is not a readable .npz file, perhaps truncated ({error})") from error


def _npz(path: Path) -> _Array:
    """Open an archive, compressed or not, for streaming; `np.load` would load the whole array."""
    names = array_names(path)
    if ARRAY not in names:
        raise UserError(f"{path} has no images: expected an array {ARRAY}, it holds {', '.join(names)}")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{ARRAY}.npy") as member:
            shape, by_column, dtype = _header(member)
    except Exception as error:  # zipfile, zlib and NumPy's parser raise errors of many types
        raise UserError(f"{path}: arr_0 is not a numpy array ({damage(error, path)})") from error
    _checked(path, "arr_0", shape, dtype)
    if by_column:
        raise UserError(f"{path}: arr_0 is stored by columns; save it with np.ascontiguousarray")
    return _Array(path, shape, lambda: _npz_rows(path, shape))


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"version {version} of the format")
    return read[version](member)


def _npz_rows(path: Path, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    size = int(np.prod(shape[1:]))
    with zipfile.ZipFile(path) as archive, archive.open(f"{ARRAY}.npy") as member:
        _header(member)
        for row in range(shape[0]):
            try:
                data = member.read(size)
            except (EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
                raise UserError(f"{path} is damaged at image {row} ({error})") from error
            if len(data) < size:
                raise UserError(f"{path} is truncated: it ends in image {row} of {shape[0]}")
            yield np.frombuffer(data, np.uint8).reshape(shape[1:])


def _located(path: Path) -> hdf5.Stored | ShardImages:
    kind = hdf5.kind(path)
    if kind not in ("images", "samples"):
        raise UserError(f"{path} is of format {kind}; images are in files of format images or samples")
    with hdf5.opened(path, kind, 1) as file:
        return located(file)


def _hdf5(path: Path) -> _Array:
    images = _located(path)
    _checked(path, "images", images.shape, images.dtype)
    return _Array(path, images.shape, images.rows)
