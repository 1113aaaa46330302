"""The figure of the tokenizers: images next to each tokenizer's reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nanogen.config import Study, stages
from nanogen.config.paths import Paths
from nanogen.config.study_schema import FigureStyle
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.report import tokenizers
from nanogen.report.rows import number, read_rows
from nanogen.report.style import FAINT, FAMILIES, INK, applied

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = tokenizers.NAME
RECONSTRUCTIONS = ("reconstructions", 1)
ROWS = 4  # of images; fewer if the files contain fewer
COLUMNS = 10  # of images in a band, including the originals
TITLE_LINES = 3.4  # height of a column's heading, in lines of its text
LINE = 1.25 / 72  # inches per line of text and point of font size
GAP = 0.06  # between images, relative to their side


@dataclass(frozen=True)
class Column:
    """One column of the figure: images (n, H, W, 3) and its heading."""

    title: str
    images: np.ndarray
    said: str = ""
    colour: str = INK


def _read(study: Study, name: str, inputs: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Originals and reconstructions, each uint8 (n, H, W, 3)."""
    usual = Path(Paths(study).reconstructions(name))
    path = next((p for p in inputs if p.suffix == ".h5" and p.parent.name == name), usual)
    with hdf5.opened(path, *RECONSTRUCTIONS, stages.reconstruction(study, name)["hash"]) as file:
        return file["originals"][:], file["reconstructions"][:]


def columns(study: Study, inputs: Sequence[Path] = ()) -> list[Column]:
    """The originals, then a column for every tokenizer with its scores.

    Args:
        inputs: the table (CSV) and files ``.../<tokenizer>/reconstructions.h5``; those that are not
            given are read from their default paths.

    Raises UserError if a file is missing or belongs to another configuration.
    """
    path = next((p for p in inputs if p.suffix == ".csv"), Path(Paths(study).table(NAME)))
    if not path.exists():
        raise UserError(f"{path} does not exist; make it with `snakemake tokenizers`")
    scores = {str(row["tokenizer"]): row for row in read_rows(path, needs=("tokenizer", "family"))}
    found: list[Column] = []
    for name in tokenizers.ordered(study):
        if name not in scores:
            raise UserError(f"{path} has no row of {name}; delete it and make it again")
        originals, made = _read(study, name, inputs)
        found = found or [Column("original", originals)]
        row = scores[name]
        said = f"rFID {number(row, 'rfid'):.2f}\n{number(row, 'psnr'):.1f} dB"
        found.append(Column(name, made, said, FAMILIES[str(row["family"])].colour))
    return found


def figure(study: Study, inputs: Sequence[Path], style: FigureStyle) -> tuple[Figure, list[str]]:
    """The figure and, for the terminal, a line per tokenizer; the paper has no such figure."""
    found = columns(study, inputs)
    said = [f"{c.title}: {', '.join(c.said.splitlines())}" for c in found[1:]]
    return draw(found, style), said


def _bands(found: Sequence[Column]) -> list[list[Column]]:
    """The columns divided into bands of about equal length, each beginning with the originals."""
    original, *others = found
    count = -(-len(others) // (COLUMNS - 1))
    size = -(-len(others) // count)
    return [[original, *others[start : start + size]] for start in range(0, len(others), size)]


@dataclass(frozen=True)
class _Layout:
    """Lengths in inches: side of an image, distance between images, height of a column's heading."""

    side: float
    step: float
    above: float
    rows: int

    @classmethod
    def of(cls, columns: int, images: int, style: FigureStyle) -> _Layout:
        widest = style.width / (columns + GAP * (columns - 1))
        side = min(widest, style.height / (ROWS + GAP * (ROWS - 1)))
        step = side * (1 + GAP)
        fitting = int((style.height + GAP * side) / step + 1e-6)
        return cls(side, step, TITLE_LINES * LINE * style.font_size, min(images, fitting))

    @property
    def band(self) -> float:
        return self.above + self.rows * self.step


def draw(found: Sequence[Column], style: FigureStyle) -> Figure:
    """Draw a column for each tokenizer, in as many bands as needed.

    ``style.width`` is the largest width of the figure and ``style.height`` the largest height of a
    band's images, in inches. At least ``ROWS`` images are shown, and as many as fit. They are not
    smoothed.
    """
    bands = _bands(found)
    wide = max(map(len, bands))
    layout = _Layout.of(wide, len(found[0].images), style)
    gap = layout.step - layout.side
    with applied(style):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(wide * layout.step - gap, len(bands) * layout.band - gap))
        for number_, band in enumerate(bands):
            for place, column in enumerate(band):
                at = (place * layout.step, number_ * layout.band + layout.above)
                _draw_column(figure, column, at, layout, style.font_size)
    return figure


def _draw_column(
    figure: Figure, column: Column, at: tuple[float, float], layout: _Layout, size: float
) -> None:
    """Draw a column of images and its title, ``at`` (x, y) from the figure's upper left corner."""
    wide, high = figure.get_size_inches()
    x, y = at
    for row, image in enumerate(column.images[: layout.rows]):
        bottom = high - y - row * layout.step - layout.side
        box = (x / wide, bottom / high, layout.side / wide, layout.side / high)
        axes = figure.add_axes(box)
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=FAINT, linewidth=0.3)  # images may be white like the page
    centre, base = (x + layout.side / 2) / wide, (high - y + 0.04) / high
    said: dict[str, Any] = {"ha": "center", "va": "bottom", "linespacing": 1.15}
    scores = figure.text(centre, base, column.said, fontsize=0.8 * size, color=INK, **said)
    base += (column.said.count("\n") + 1) * 0.8 * size * LINE / high if column.said else 0
    bold: dict[str, Any] = {"fontsize": 0.9 * size, "fontweight": "bold", "color": column.colour}
    name = figure.text(centre, base, column.title, **bold, **said)
    for words in (scores, name):  # long texts shrink to the column's width
        long = words.get_window_extent().width / figure.dpi
        words.set_fontsize(float(words.get_fontsize()) * min(1.0, layout.side / max(long, 1e-6)))
