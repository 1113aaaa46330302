"""Find images that another program generated from a list of prompts, in one of two folder layouts.

GenEval's layout is ``00000/samples/0000.png``, with a folder for each prompt. The flat layout is
``0-0.png``, with the numbers of prompt and image in the name. Both count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from nanogen.data.crop import rgb
from nanogen.data.walk import PICTURES, walk
from nanogen.errors import UserError
from nanogen.files import damage

LAYOUTS = "expected 00000/samples/0000.png (prompt, image) or 0-0.png (prompt-image), counted from 0"
PICTURE = rf"\.(?:{'|'.join(sorted(suffix[1:] for suffix in PICTURES))})"
NESTED = re.compile(rf"(\d+)/samples/(\d+){PICTURE}", re.IGNORECASE)
FLAT = re.compile(rf"(\d+)-(\d+){PICTURE}", re.IGNORECASE)


def drawn_images(folder: Path | str, prompts: int) -> dict[int, list[Path]]:
    """Return the images of each of ``prompts`` prompts in order, by index of the prompt.

    Other files are ignored (`passed_over`). Raises UserError if there are no images, if images and
    prompts do not belong together, or if prompts have different numbers of images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder} of images; {LAYOUTS}")
    listed = walk(folder)
    found = [_of_layout(layout, folder, listed.files) for layout in (NESTED, FLAT)]
    if all(found):
        raise UserError(f"{folder} holds images in both layouts; give one of them; {LAYOUTS}")
    images = found[0] or found[1]
    _check(folder, images, prompts)
    return {p: [images[p][i] for i in sorted(images[p])] for p in range(prompts)}


def _of_layout(layout: re.Pattern[str], folder: Path, files: list[Path]) -> dict[int, dict[int, Path]]:
    """Return prompt -> image -> file; raise UserError if two files have the same prompt and image."""
    found: dict[int, dict[int, Path]] = {}
    for file in files:
        match = layout.fullmatch(file.relative_to(folder).as_posix())
        if match is None:
            continue
        other = found.setdefault(int(match[1]), {}).setdefault(int(match[2]), file)
        if other is not file:
            raise UserError(
                f"{folder}: {match[0]} and {other.relative_to(folder)} are the same image of the same "
                "prompt; remove one of them"
            )
    return found


def passed_over(folder: Path, drawn: Mapping[int, list[Path]]) -> str:
    """Describe the other files in the folder; empty if there are none."""
    listed = walk(folder)
    rest = len(listed.files) - sum(map(len, drawn.values()))
    others = [f"{rest} files that are not images of a prompt"] if rest else []
    return ", ".join([*filter(None, [listed.passed_over]), *others])


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
            f"{folder} has images of {len(found)} of {prompts} prompts; the first prompt without is "
            f"{missing[0]}, counted from 0: add its images, or give the file of prompts they belong to"
        )
    counts = {p: len(images) for p, images in found.items()}
    usual = max(counts.values())
    fewer = [p for p, count in sorted(counts.items()) if count < usual]
    if fewer:
        raise UserError(
            f"{folder}: prompt {fewer[0]} has {counts[fewer[0]]} images, others {usual}; generate the "
            "same number for each"
        )


def read_image(path: Path) -> np.ndarray:
    """Read an image file as uint8 (H, W, 3); raise UserError if it cannot be read."""
    try:
        with Image.open(path) as image:
            return np.asarray(rgb(image))
    except Exception as error:  # Pillow's parsers raise errors of any type
        raise UserError(f"{path} cannot be read as an image: {damage(error, path)}") from error
