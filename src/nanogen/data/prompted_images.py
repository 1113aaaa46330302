"""Images that somebody drew for a list of prompts: a folder in one of two layouts.

``00000/samples/0000.png``, as GenEval has it: the prompt's folder, the image's name; or flat,
``0-0.png``: prompt and image in one name. Both count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from nanogen.data.crop import rgb
from nanogen.errors import UserError
from nanogen.files import explained

LAYOUTS = "expected 00000/samples/0000.png (prompt, image) or 0-0.png (prompt-image), counted from 0"
PICTURE = r"\.(?:png|jpe?g|webp)"
NESTED = re.compile(rf"(\d+)/samples/(\d+){PICTURE}", re.IGNORECASE)
FLAT = re.compile(rf"(\d+)-(\d+){PICTURE}", re.IGNORECASE)


def drawn_images(folder: Path | str, prompts: int) -> dict[int, list[Path]]:
    """Prompt's index -> its images in order, for each of ``prompts`` prompts.

    Other files are passed over. Raises UserError where there is no image, where images and prompts do
    not belong together, or where prompts have different numbers of images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder} of images; {LAYOUTS}")
    with explained(folder, "read"):
        names = [f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()]
    found: dict[int, dict[int, Path]] = {}
    for layout in (NESTED, FLAT):
        for match in filter(None, map(layout.fullmatch, sorted(names))):
            of_prompt = found.setdefault(int(match[1]), {})
            if int(match[2]) in of_prompt:
                raise UserError(
                    f"{folder}: {match[0]} and {of_prompt[int(match[2])].name} are one image"
                )
            of_prompt[int(match[2])] = folder / match[0]
        if found:
            break
    _check(folder, found, prompts)
    return {p: [found[p][i] for i in sorted(found[p])] for p in range(prompts)}


def _check(folder: Path, found: Mapping[int, Mapping[int, Path]], prompts: int) -> None:
    if not found:
        raise UserError(f"{folder} holds no images of prompts; {LAYOUTS}")
    if max(found) >= prompts:
        raise UserError(
            f"{folder} has images of prompt {max(found)}, but there are {prompts} prompts, counted from "
            "0: give the file of prompts that the images were drawn from"
        )
    missing = [p for p in range(prompts) if p not in found]
    if missing:
        raise UserError(
            f"{folder} has images of {len(found)} of {prompts} prompts; the first without is prompt "
            f"{missing[0]}, counted from 0"
        )
    counts = {p: len(images) for p, images in found.items()}
    usual = max(counts.values())
    fewer = [p for p, count in sorted(counts.items()) if count < usual]
    if fewer:
        raise UserError(
            f"{folder}: prompt {fewer[0]} has {counts[fewer[0]]} images, others {usual}; draw as many "
            "for each"
        )


def read_image(path: Path) -> np.ndarray:
    """A picture file as uint8 (H, W, 3); raises UserError where it cannot be read."""
    try:
        with Image.open(path) as image:
            return np.asarray(rgb(image))
    except Exception as error:  # Pillow's formats raise whatever their parsers stumble over
        raise UserError(f"{path} cannot be read as an image: {error}") from error
