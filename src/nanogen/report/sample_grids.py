"""Grids of sample images with readable captions, for a page of a paper."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nanogen.data import hdf5
from nanogen.data.images import ImageFile
from nanogen.data.wordnet import spoken
from nanogen.errors import UserError
from nanogen.files import atomic_path, check_label, read_json
from nanogen.prompts.files import first_images, spread

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

CELL = 128  # pixels: small images are enlarged to about this side
LARGEST = 256  # pixels: larger images are reduced to this side
GAP = 6
INK = (34, 34, 34)
FAINT = (110, 110, 110)
SAMPLES, IMAGES, PROMPTS = ("samples", 1), ("images", 1), ("prompts", 1)


@dataclass(frozen=True)
class Cell:
    """One image of a grid, uint8 (H, W, 3), and the caption below it."""

    image: np.ndarray
    caption: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a grid: heading on the left, and images; ``apart`` sets the first image apart."""

    heading: str
    cells: list[Cell]
    apart: bool = False


def class_lines(
    samples: Path, reference: Path | None, rows: int, columns: int
) -> tuple[list[Line], str]:
    """One row per class, for classes spread evenly over all of them.

    Args:
        samples: a ``samples`` file of the class-conditional task.
        reference: an ``images`` file, which gives the classes' names and a real image at the beginning
            of each row; without it, classes have numbers.

    Returns:
        The rows, and a sentence on what they show.
    """
    real = ImageFile(reference) if reference else None
    names = real.classes if real else []
    first = dict(zip(*np.unique(real.labels, return_index=True), strict=True)) if real else {}
    with hdf5.opened(samples, *SAMPLES) as file:
        labels, images = file["labels"][:], hdf5.memmap(file, "images")
        present = np.unique(labels)
        lines = []
        for label in present[spread(len(present), rows)]:
            cells = [Cell(np.array(images[i])) for i in np.flatnonzero(labels == label)[:columns]]
            if real and label in first:
                cells.insert(0, Cell(np.array(real.images[[first[label]]][0])))
            heading = spoken(names[label]) if label < len(names) else f"class {label}"
            lines.append(Line(heading, cells, apart=label in first))
    return lines, "first column: a real image of the class" if real else ""


def prompt_lines(samples: Path, prompts: Path, rows: int, columns: int) -> tuple[list[Line], str]:
    """One image per prompt, with the prompt as its caption; prompts are spread over all of GenEval's."""
    content = read_json(prompts)
    check_label(content, prompts, *PROMPTS, None)
    texts = [entry["prompt"] for entry in content["prompts"]]
    with hdf5.opened(samples, *SAMPLES) as file:
        labels, images = file["labels"][:], hdf5.memmap(file, "images")
        if len(labels) and labels.max() >= len(texts):
            raise UserError(
                f"{samples} refers to prompt {labels.max()}, {prompts} holds {len(texts)}; "
                "give the prompts it was sampled from"
            )
        chosen = first_images(labels, content["prompts"], rows * columns)
        cells = [Cell(np.array(images[i]), texts[labels[i]]) for i in chosen]
    return [Line("", cells[i : i + columns]) for i in range(0, len(cells), columns)], ""


def same_prompts(sets: Mapping[str, Path], prompts: Path) -> tuple[list[Line], str]:
    """One row per sample set, with its heading. The images of a column are drawn from the same noise for
    the same prompt, which is printed below the last row.

    Raises UserError if the sets have no image in common.
    """
    content = read_json(prompts)
    check_label(content, prompts, *PROMPTS, None)
    keys = {path: _by_noise(path) for path in sets.values()}
    first, *others = keys.values()
    shared = [key for key in first if all(key in other for other in others)]
    if not shared:
        names = ", ".join(map(str, sets.values()))
        raise UserError(f"{names} share no image: they must be of the same prompts and seeds")
    texts = [content["prompts"][label]["prompt"] for label, _ in shared]
    last = list(sets)[-1]
    lines = []
    for heading, path in sets.items():
        images = _images_at(path, [keys[path][key] for key in shared])
        captions = texts if heading == last else [""] * len(shared)
        lines.append(Line(heading, list(map(Cell, images, captions))))
    return lines, "each column: one prompt, from the same noise"


def _by_noise(samples: Path) -> dict[tuple[int, int], int]:
    """The index of each image of a sample set by (prompt, seed)."""
    with hdf5.opened(samples, *SAMPLES) as file:
        keys = zip(file["labels"][:].tolist(), file["seeds"][:].tolist(), strict=True)
        return {key: i for i, key in enumerate(keys)}


def _images_at(samples: Path, rows: Sequence[int]) -> list[np.ndarray]:
    with hdf5.opened(samples, *SAMPLES) as file:
        images = hdf5.memmap(file, "images")
        return [np.array(images[row]) for row in rows]


def font_of(size: int, bold: bool = False) -> FreeTypeFont:
    """DejaVu Sans as shipped with matplotlib, so that text looks the same on every machine."""
    from PIL import ImageFont

    # located without importing matplotlib, which takes longer than drawing a grid
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    place = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(place / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


def wrapped(text: str, font: FreeTypeFont, width: int, most: int = 5) -> list[str]:
    """Break ``text`` into at most ``most`` lines no wider than ``width`` pixels."""
    letters = max(8, int(width / (font.getlength("abcdefghij klmnop") / 17)))
    lines = textwrap.wrap(text, letters) or [""]
    while any(font.getlength(line) > width for line in lines) and letters > 8:
        letters -= 1
        lines = textwrap.wrap(text, letters)
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1] + " …"]


def _sized(image: np.ndarray, side: int) -> Image:
    """Resize an image: enlarged without smoothing, or reduced by averaging."""
    from PIL import Image

    smaller = side < image.shape[0]
    filtered = Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    return Image.fromarray(image).resize((side, side), filtered)


def _caption_lines(line: Line, font: FreeTypeFont, width: int) -> list[list[str]]:
    return [wrapped(cell.caption, font, width) if cell.caption else [] for cell in line.cells]


def compose(lines: Sequence[Line], title: str, note: str = "") -> Image:
    """Return the grid as one image; small images are enlarged by whole factors without smoothing.

    Raises UserError if there is no image.
    """
    from PIL import Image, ImageDraw

    if not lines or not any(line.cells for line in lines):
        raise UserError("there are no images to show: the sample file is empty")
    side = lines[0].cells[0].image.shape[0]
    cell = min(side * max(1, round(CELL / side)), LARGEST)
    text, head = font_of(11), font_of(15, bold=True)
    left = max((int(text.getlength(line.heading)) for line in lines), default=0)
    left = left + 2 * GAP if left else GAP
    columns = max(len(line.cells) for line in lines)
    captions = [_caption_lines(line, text, cell) for line in lines]
    below = [14 * max(map(len, caption), default=0) + GAP for caption in captions]
    top = 30 + (16 if note else 0)
    width = left + columns * (cell + GAP) + 2 * GAP * any(line.apart for line in lines)
    least = int(max(head.getlength(title), text.getlength(note))) + 2 * GAP
    height = top + sum(cell + rest for rest in below) + GAP
    page = Image.new("RGB", (max(width, least), height), "white")
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), title, fill=INK, font=head)
    if note:
        draw.text((GAP, 28), note, fill=FAINT, font=text)
    y = top
    for line, caption, rest in zip(lines, captions, below, strict=True):
        draw.text((left - GAP, y + cell / 2), line.heading, fill=INK, font=text, anchor="rm")
        for index, (item, words) in enumerate(zip(line.cells, caption, strict=True)):
            x = left + index * (cell + GAP) + 2 * GAP * (line.apart and index > 0)
            page.paste(_sized(item.image, cell), (x, y))
            for number, word in enumerate(words):
                draw.text((x, y + cell + 2 + 14 * number), word, fill=INK, font=text)
        y += cell + rest
    return page


def write(page: Image, path: Path) -> None:
    """Save as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        page.save(temporary, format="PNG")
