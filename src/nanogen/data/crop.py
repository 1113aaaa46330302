"""Decode image files to RGB, and crop them to square uint8 images with ADM's centre crop."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

LONG = 8  # an image whose long side is at least this many times the short side is a strip
# Large captions and colour profiles in a PNG, which are not needed, must not make it unreadable.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 256 << 20


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale integer and floating-point greyscale to 0..255 (Pillow itself would clip it)."""
    values = np.asarray(image).astype(np.float64)
    full = 1.0 if image.mode == "F" else 65535.0
    if values.size and (values.min() < 0 or values.max() > full or not np.isfinite(values).all()):
        raise ValueError(
            f"greyscale values from {values.min():g} to {values.max():g}; expected 0 to {full:g}"
        )
    return Image.fromarray(np.rint(values * (255 / full)).astype(np.uint8))


def rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8-bit RGB, rotated upright, with transparent parts on white.

    16-bit greyscale is scaled, palettes and CMYK are converted, and only the first frame of an animation
    is used. Raises the exceptions of Pillow (OSError, ValueError, ...) for damaged data.
    """
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def centre_crop(image: Image.Image, size: int) -> np.ndarray:
    """Apply ADM's centre crop (Dhariwal and Nichol 2021); returns uint8 (size, size, 3).

    The image is halved with a box filter while its short side is at least twice ``size``, then scaled
    bicubically (up or down) until the short side equals ``size``, then cropped at the centre.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    left, top = (width - size) // 2, (height - size) // 2
    if max(width, height) <= LONG * size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        return np.array(image.crop((left, top, left + size, top + size)))
    # Resize only the pixels inside the crop: the whole of a long strip could need gigabytes.
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box))


def load(file: Path | IO[bytes], size: int) -> np.ndarray:
    """Decode and crop one image file: uint8 (size, size, 3)."""
    with Image.open(file) as image:
        return centre_crop(rgb(image), size)


def load_or_check(file: IO[bytes], size: int | None) -> np.ndarray | None:
    """Decode and crop one image file; for ``size`` None, only check that it can be decoded."""
    if size is not None:
        return load(file, size)
    with Image.open(file) as image:
        rgb(image)
    return None
