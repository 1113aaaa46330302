"""The overview: images by every method on both tasks, for the same classes and the same prompts.

Images are not cherry-picked: the first image of each class or prompt is shown. Classes are spread evenly
over all classes; prompts are spread over GenEval's tags and, within a tag, over its shorter prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from nanogen.config import PublicRun, Run, Study, stages, variants
from nanogen.config.paths import Paths
from nanogen.config.study_schema import FigureStyle
from nanogen.data import hdf5
from nanogen.data.wordnet import spoken
from nanogen.errors import UserError
from nanogen.files import check_label, read_json
from nanogen.prompts.files import GENEVAL, of_benchmark, spread
from nanogen.report import paper_tables, sample_grids
from nanogen.report.results import Results
from nanogen.report.sample_sets import head
from nanogen.report.style import FAINT, FAMILIES, INK, PNG_DPI, applied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "overview"
COLUMNS = 8  # classes, and prompts
TITLES = {"imagenet": "Class-conditional generation", "t2i": "Text-to-image generation"}
UNITS = {"imagenet": "class", "t2i": "prompt"}
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


# ------------------------------------------------------------------------------- what is shown


def shown(study: Study, task: str) -> Iterator[tuple[Run | PublicRun, str]]:
    """Run and sample set of each row: those with guidance or, in a reproduction, those of Table 1."""
    results = Results(study)
    for public in results.public() if task == "t2i" else ():
        yield public, variants.GUIDED
    for run in results.runs(task):
        if study.report.reproduction:
            yield run, paper_tables.reproduced_variant(run)
        else:
            yield from ((run, variant) for variant in variants.with_steps(run, variants.GUIDED))


def panels(study: Study, inputs: Sequence[Path] = ()) -> list[Panel]:
    """A panel for each of the study's tasks.

    Args:
        inputs: ``.../<task>/<method>/<sample set>/samples.h5``, the prompts (JSON) and the validation
            images, which name the classes; files that are not given are read from their default paths.

    Raises UserError if a file is missing or was made by another configuration, or if the sets have no
    class or prompt in common.
    """
    return [_panel(study, task, inputs) for task in study.tasks]


def _panel(study: Study, task: str, inputs: Sequence[Path]) -> Panel:
    sets = {}
    for run, variant in shown(study, task):
        usual = Path(Paths(study).samples(run.method, task, variant))
        path = next((p for p in inputs if p.parts[-4:] == usual.parts[-4:]), usual)
        sets[path] = run, variant
    present = [
        _labels(path, stages.sample(study, run.method, task, variant)["hash"])
        for path, (run, variant) in sets.items()
    ]
    shared = sorted(set.intersection(*map(set, present)))
    if not shared:
        raise UserError(f"{', '.join(map(str, sets))} share no class or prompt; make them again")
    chosen = _classes(study, inputs, shared) if task == "imagenet" else _prompts(study, inputs, shared)
    rows = [
        Row(_name(run, variant), run.family, _images(path, found, chosen))
        for (path, (run, variant)), found in zip(sets.items(), present, strict=True)
    ]
    drawn = "as in Table 1" if study.report.reproduction else "with guidance"
    return Panel(TITLES[task], f"{drawn}, the first image of each {UNITS[task]}", chosen, rows)


def _name(run: Run | PublicRun, variant: str) -> str:
    steps = variants.with_steps(run, variants.guidance_of(variant))[variant]
    return str(head(run, steps)["name"])


def _labels(path: Path, hash_: str) -> dict[int, int]:
    """Class or prompt of a sample set -> index of its first image."""
    with hdf5.opened(path, *sample_grids.SAMPLES, hash_) as file:
        labels, first = np.unique(file["labels"][:], return_index=True)
    return dict(zip(labels.tolist(), first.tolist(), strict=True))


def _images(path: Path, first: Mapping[int, int], chosen: Mapping[int, str]) -> dict[int, np.ndarray]:
    with hdf5.opened(path, *sample_grids.SAMPLES) as file:
        images = hdf5.memmap(file, "images")
        return {label: np.array(images[first[label]]) for label in chosen}


def _classes(study: Study, inputs: Sequence[Path], there: Sequence[int]) -> dict[int, str]:
    """Classes spread evenly over all, and their names (the first of several synonyms)."""
    usual = Path(Paths(study).data("imagenet", "val"))
    path = next((p for p in inputs if p.name == usual.name), usual)
    with hdf5.opened(path, *sample_grids.IMAGES) as file:
        names = json.loads(file.attrs.get("classes", "[]"))
    chosen = [there[i] for i in spread(len(there), COLUMNS)]
    known = {label: spoken(name).partition(",")[0] for label, name in enumerate(names)}
    return {label: known.get(label, f"class {label}") for label in chosen}


def _prompts(study: Study, inputs: Sequence[Path], there: Sequence[int]) -> dict[int, str]:
    """Prompts of different tags, grouped by tag."""
    path = next((p for p in inputs if p.suffix == ".json"), Path(Paths(study).prompts))
    content = read_json(path)
    check_label(content, path, *sample_grids.PROMPTS, None)
    prompts: list[dict[str, Any]] = content["prompts"]
    by_tag: dict[str, list[int]] = {}
    for i in sorted(set(there) & set(of_benchmark(prompts, GENEVAL))):
        by_tag.setdefault(prompts[i].get("tag", ""), []).append(i)
    each = -(-COLUMNS // max(1, len(by_tag)))
    spreads = [
        _shorter(found, prompts, each, (number + 0.5) / len(by_tag))
        for number, found in enumerate(by_tag.values())
    ]
    turns = [i for turn in zip_longest(*spreads) for i in turn if i is not None]
    wanted = set(turns[:COLUMNS])
    return {i: prompts[i]["prompt"] for found in spreads for i in found if i in wanted}


def _shorter(
    found: Sequence[int], prompts: Sequence[Mapping[str, Any]], wanted: int, at: float
) -> list[int]:
    """Some of a tag's prompts, spread over the shorter ones, so that they fit as headings.

    Args:
        at: position in each part of the spread, in (0, 1); differs by tag, because lists may be alike.
    """
    longest = median(len(prompts[i]["prompt"]) for i in found)
    short = [i for i in found if len(prompts[i]["prompt"]) <= longest]
    short = short if len(short) >= wanted else list(found)
    places = (int((part + at) / wanted * len(short)) for part in range(wanted))
    return list(dict.fromkeys(short[place] for place in places))


# ----------------------------------------------------------------------------- how it is drawn


def figure(study: Study, inputs: Sequence[Path], style: FigureStyle) -> tuple[Figure, list[str]]:
    """The figure and, for the terminal, a description of its columns."""
    found = panels(study, inputs)
    said = [f"{panel.title}: {'; '.join(panel.columns.values())}" for panel in found]
    return draw(found, style), said


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
