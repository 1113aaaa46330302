"""Panels of labelled images: a row per method, a column per class or prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nanogen.config.study_schema import FigureStyle
from nanogen.report import sample_grids
from nanogen.report.style import FAINT, FAMILIES, INK, PNG_DPI, applied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 8  # the most classes or prompts of a panel
GAP = 8  # dots between images
BETWEEN = 24  # dots between panels
SHARE = 0.17  # largest fraction of the width for the methods' names
LINE = 1.25  # height of a line of text, relative to its size


@dataclass(frozen=True)
class Row:
    """A method's images, uint8 (H, W, 3), by the number of their class or prompt."""

    name: str
    family: str
    images: Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Panel:
    """One task: title, note, column headings by number of class or prompt, and a row per method."""

    title: str
    note: str
    columns: Mapping[int, str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class _Text:
    """Text of one size (points), broken into lines; lengths in dots of the PNG."""

    size: float
    bold: bool = True

    @property
    def line(self) -> int:
        return round(self.size * PNG_DPI / 72 * LINE)

    def wrapped(self, words: str, width: int) -> list[str]:
        return sample_grids.wrapped(words, self._font(), width)

    def width(self, words: str) -> int:
        return round(self._font().getlength(words))

    def _font(self) -> Any:
        return sample_grids.font_of(round(self.size * PNG_DPI / 72), bold=self.bold)


@dataclass(frozen=True)
class _Layout:
    """Lengths in dots of the PNG, so that small images are enlarged by whole factors.

    Attributes:
        names: width of the methods' names, left of the images.
        side: of an image.
    """

    names: int
    side: int
    title: _Text
    name: _Text
    small: _Text

    @classmethod
    def of(cls, panels: Sequence[Panel], style: FigureStyle) -> _Layout:
        title, name = _Text(style.font_size), _Text(0.85 * style.font_size)
        small = _Text(0.75 * style.font_size, bold=False)
        whole = round(style.width * PNG_DPI)
        most = round(SHARE * whole)
        lines = [line for p in panels for row in p.rows for line in name.wrapped(row.name, most)]
        names = max(map(name.width, lines)) + 2 * GAP
        side = (whole - names) // COLUMNS - GAP
        pixels = max(image.shape[0] for p in panels for row in p.rows for image in row.images.values())
        return cls(names, side // pixels * pixels or side, title, name, small)

    @property
    def width(self) -> int:
        return self.names + COLUMNS * (self.side + GAP)

    def x(self, column: int) -> int:
        return self.names + column * (self.side + GAP)

    def headings(self, panel: Panel) -> list[list[str]]:
        return [self.small.wrapped(text, self.side) for text in panel.columns.values()]

    def above(self, panel: Panel) -> int:
        """The height above a panel's first images, for its title and the columns' headings."""
        lines = max(map(len, self.headings(panel)))
        return round(1.5 * self.title.line) + lines * self.small.line

    def height(self, panel: Panel) -> int:
        return self.above(panel) + len(panel.rows) * (self.side + GAP)


def draw(panels: Sequence[Panel], style: FigureStyle) -> Figure:
    """Draw the panels below each other. ``style.width`` is the figure's largest width in inches; its
    height follows from the number of methods. Images are enlarged without smoothing."""
    layout = _Layout.of(panels, style)
    height = sum(map(layout.height, panels)) + BETWEEN * (len(panels) - 1) + 2 * GAP
    with applied(style):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(layout.width / PNG_DPI, height / PNG_DPI))
        axes = figure.add_axes((0, 0, 1, 1))
        top = GAP
        for panel in panels:
            _draw_head(axes, panel, top, layout)
            for number, row in enumerate(panel.rows):
                _draw_row(axes, row, top + layout.above(panel) + number * (layout.side + GAP), layout)
            top += layout.height(panel) + BETWEEN
        axes.set(xlim=(0, layout.width), ylim=(height, 0), aspect="auto")
        axes.set_axis_off()
    return figure


def _draw_head(axes: Axes, panel: Panel, top: int, layout: _Layout) -> None:
    """Draw the panel's title and its columns' headings, beginning at ``top`` (dots)."""
    size, base = layout.title.size, top + layout.title.line * 0.8
    axes.text(layout.x(0), base, panel.title, fontsize=size, fontweight="bold")
    right: dict[str, Any] = {"ha": "right", "fontsize": layout.small.size, "color": INK}
    axes.text(layout.width - GAP, base, panel.note, **right)
    bottom = top + layout.above(panel) - GAP
    for column, lines in enumerate(layout.headings(panel)):
        centre = layout.x(column) + layout.side / 2
        for number, line in enumerate(reversed(lines)):
            base = bottom - number * layout.small.line
            axes.text(centre, base, line, ha="center", fontsize=layout.small.size)


def _draw_row(axes: Axes, row: Row, top: int, layout: _Layout) -> None:
    """Draw a method's name and images with their upper edge at ``top`` (dots)."""
    from matplotlib.patches import Rectangle

    lines = layout.name.wrapped(row.name, layout.names - GAP)
    known = FAMILIES.get(row.family)
    colour, size = known.colour if known else INK, layout.name.size
    look: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": size, "fontweight": "bold"}
    axes.text(layout.names - GAP, top + layout.side / 2, "\n".join(lines), color=colour, **look)
    for column, image in enumerate(row.images.values()):
        left, side = layout.x(column), layout.side
        smooth = "antialiased" if image.shape[0] > side else "nearest"
        axes.imshow(image, extent=(left, left + side, top + side, top), interpolation=smooth)
        # images may be as white as the page
        frame = Rectangle((left, top), side, side, fill=False, edgecolor=FAINT, linewidth=0.3)
        axes.add_patch(frame)
