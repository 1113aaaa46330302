"""Figures 1, 4 and 5: does a better ImageNet FID mean better text-to-image scores?

There is one panel per text-to-image metric, with Pearson's r over the methods shown (paper, section 3.2
and appendix A), its 95 % interval, and a line of least squares where the interval excludes 0. The
published figures and a study's are drawn by the same code from the same columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nanogen.config.metrics import main_scores
from nanogen.config.study_schema import FigureStyle, Study
from nanogen.errors import UserError
from nanogen.report import paper_tables, prompt_notes
from nanogen.report.columns import column
from nanogen.report.correlations import Pair, Question
from nanogen.report.finished_tables import published_tables, study_tables
from nanogen.report.labels import nearest_on_box, place
from nanogen.report.rows import Row, number
from nanogen.report.style import FAINT, FAMILIES, INK, applied
from nanogen.statistics.relation import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = tuple(score.key for score in main_scores("t2i", published=True))
FID_TABLES = {"figure1": ("table2",), "figure4": ("table4", "table2"), "figure5": ("table4",)}
PROTOCOL = {"table2": "with CFG", "table4": "without CFG"}  # classifier-free guidance
WITH_PIXELS = ("figure4",)
CROWD = 12  # above this many points, names are written smaller


@dataclass(frozen=True)
class Point:
    name: str
    family: str
    fid: float
    score: float


@dataclass(frozen=True)
class Panel:
    """One scatter plot.

    Attributes:
        metric: the text-to-image score.
        protocol: of the FID.
        families: the requested families.
        on_genevals: whether the score is measured on GenEval's prompts instead of its benchmark's own.
    """

    metric: str
    protocol: str
    points: tuple[Point, ...]
    families: tuple[str, ...] = ()
    on_genevals: bool = False

    @cached_property
    def correlation(self) -> Estimate | None:
        """Pearson's r with its interval, as in the table of correlations; None for fewer than three
        points."""
        pairs = tuple(Pair(p.name, p.name, p.family, p.fid, p.score) for p in self.points)
        guidance = "yes" if self.protocol == PROTOCOL["table2"] else "no"
        question = Question(guidance, "fid", self.metric, "+".join(self.families), "", "", pairs)
        answer = question.answer()
        return answer.pearson if answer else None

    @property
    def trend(self) -> bool:
        """Whether the interval leaves no doubt about the sign of r."""
        found = self.correlation and self.correlation.interval
        return bool(found and not found[0] <= 0 <= found[1])

    @property
    def statement(self) -> str:
        """r with its 95 % interval; r is left out if there is no interval."""
        count = f"n = {len(self.points)}"
        if self.correlation is not None and np.isnan(self.correlation.value):
            return f"{count}, r undefined (constant)"
        if self.correlation is None or self.correlation.interval is None:
            return f"{count}, too few for r"
        low, high = self.correlation.interval
        return f"r = {self.correlation.value:.3f} [{low:.2f}, {high:.2f}], {count}".replace("-", "−")


def _panel(metric: str, protocol: str, fids: list[Row], scores: list[Row], families) -> Panel:
    by_method = {row["method"]: row for row in scores if row.get(metric) is not None}
    points = tuple(
        Point(
            str(row["name"]),
            str(row["family"]),
            number(row, "fid"),
            number(by_method[row["method"]], metric),
        )
        for row in fids
        if row["method"] in by_method and row["family"] in families
    )
    elsewhere = any(row.get(f"{metric}_prompts") == prompt_notes.GENEVAL for row in scores)
    return Panel(metric, protocol, points, tuple(families), elsewhere)


def panels(name: str, tables: Mapping[str, list[Row]], families: Sequence[str]) -> list[list[Panel]]:
    """A figure's rows of panels.

    Args:
        name: figure1, figure4 or figure5.
        tables: rows of table3 and of the figure's tables of FIDs, one row per method.
        families: the families shown.
    """
    scores = tables["table3"]
    metrics = [m for m in METRICS if any(row.get(m) is not None for row in scores)]
    return [
        [_panel(m, PROTOCOL[source], tables[source], scores, families) for m in metrics]
        for source in FID_TABLES[name]
    ]


def published_panels(name: str) -> list[list[Panel]]:
    """The paper's figure: 21 latent-space methods, in Figure 4 also the three pixel-space methods."""
    families = [*paper_tables.LATENT_FAMILIES, *(["pixel"] if name in WITH_PIXELS else [])]
    return panels(name, published_tables(("table3", *FID_TABLES[name])), families)


def study_panels(name: str, study: Study, inputs: Sequence[Path] = ()) -> list[list[Panel]]:
    """A study's figure from its tables, by default those at their default paths.

    At paper scale the families are the paper's; a small study shows all its methods.
    """
    tables = study_tables(study, ("table3", *FID_TABLES[name]), inputs, what=name)
    families: Sequence[str] = tuple(FAMILIES)
    if study.scale == "paper":
        families = [*paper_tables.LATENT_FAMILIES, *(["pixel"] if name in WITH_PIXELS else [])]
    return panels(name, tables, families)


def statements(rows: list[list[Panel]]) -> list[str]:
    """A sentence on each panel."""
    return [f"{p.metric}, {p.protocol}: {p.statement}" for row in rows for p in row]


def _trend(panel: Panel, count: int = 2) -> np.ndarray:
    """Return points (count, 2) on the least-squares line; (0, 2) without a trend."""
    if not panel.trend:
        return np.empty((0, 2))
    x = np.array([p.fid for p in panel.points])
    slope, offset = np.polyfit(x, [p.score for p in panel.points], 1)
    along = np.linspace(x.min(), x.max(), count)
    return np.stack([along, slope * along + offset], axis=1)


def _draw_panel(axes: Axes, panel: Panel, marker: float, axis: str, part: str) -> None:
    for family, look in FAMILIES.items():
        points = [p for p in panel.points if p.family == family]
        axes.plot(
            [p.fid for p in points],
            [p.score for p in points],
            linestyle="none",
            marker=look.marker,
            markersize=marker,
            markerfacecolor=look.colour,
            markeredgecolor="white",
            markeredgewidth=0.4,
            zorder=3,
        )
    axes.plot(*_trend(panel).T, color=FAINT, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    axes.margins(x=0.16, y=0.16)
    heading = column(panel.metric)
    assert heading is not None
    where = " of GenEval's prompts" if panel.on_genevals else ""
    axes.set_ylabel(heading.heading + where + heading.arrow)
    axes.set_xlabel(f"{axis} ↓ {panel.protocol}")
    axes.set_title(part + panel.statement, loc="left", pad=4, fontsize="small")


def _label_panel(figure: Figure, axes: Axes, panel: Panel, size: float, marker: float) -> None:
    """Write the names, once the layout is final; lengths are in typographic points."""
    from matplotlib.patheffects import withStroke

    scale = 72 / figure.dpi
    texts = [
        axes.annotate(
            p.name,
            (p.fid, p.score),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=size,
            ha="center",
            va="center",
            color=FAMILIES[p.family].colour,
            path_effects=[withStroke(linewidth=1.2, foreground="white")],
            zorder=4,
        )
        for p in panel.points
    ]
    boxes = [text.get_window_extent() for text in texts]
    sizes = np.array([[box.width, box.height] for box in boxes]) * scale
    points = axes.transData.transform([[p.fid, p.score] for p in panel.points]) * scale
    area = axes.get_window_extent()
    bounds = ((area.x0 + 1) * scale, (area.y0 + 1) * scale, area.x1 * scale, area.y1 * scale)
    line = _trend(panel, count=200)
    trend = axes.transData.transform(line) * scale if len(line) else None
    centres = place(points, sizes, bounds, marker, trend)
    for text, point, centre, box in zip(texts, points, centres, sizes, strict=True):
        text.set_position(tuple(centre - point))
        end = nearest_on_box(point, centre[None], box)[0]
        if np.linalg.norm(end - point) > marker:
            start, stop = (axes.transData.inverted().transform(q / scale) for q in (point, end))
            axes.plot(*zip(start, stop, strict=True), color=FAINT, linewidth=0.4, zorder=2)


def _legend(figure: Figure, rows: list[list[Panel]], marker: float) -> None:
    from matplotlib.lines import Line2D

    shown = {p.family for row in rows for panel in row for p in panel.points}
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=look.marker,
            markersize=marker,
            color=look.colour,
            label=look.title,
        )
        for family, look in FAMILIES.items()
        if family in shown
    ]
    if any(panel.trend for row in rows for panel in row):
        handles.append(Line2D([], [], color=FAINT, linestyle=(0, (4, 2)), label="least squares"))
    for columns in range(len(handles), 0, -1):  # the fewest lines that fit into the figure's width
        legend = figure.legend(
            handles=handles, loc="outside upper center", ncols=columns, handletextpad=0.4
        )
        if legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def draw(rows: list[list[Panel]], style: FigureStyle, axis: str = "ImageNet FID") -> Figure:
    """Draw rows of panels; ``style.width`` is the figure's, ``style.height`` one row's, in inches.

    Raises UserError if no method has both an FID and a text-to-image score.
    """
    if not rows or not rows[0] or not all(panel.points for row in rows for panel in row):
        raise UserError("no method has both an FID and a text-to-image score: nothing to draw")
    with applied(style):
        from matplotlib.figure import Figure

        columns = len(rows[0])
        # a single panel keeps a panel's shape instead of the whole width
        width = style.width if columns > 1 else min(style.width, 1.6 * style.height)
        figure = Figure(figsize=(width, style.height * len(rows)), layout="constrained")
        marker = style.font_size * 0.5
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for letter, row, line in zip("ab", rows, grid, strict=False):
            for panel, axes in zip(row, line, strict=True):
                part = f"({letter}) " if len(rows) > 1 else ""
                _draw_panel(axes, panel, marker, axis, part)
        _legend(figure, rows, marker)
        _finish(figure, rows, grid, style, marker)
    return figure


def _finish(figure: Figure, rows, grid, style: FigureStyle, marker: float) -> None:
    """Finish the layout, then add the labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    figure.set_layout_engine("none")
    for row, line in zip(rows, grid, strict=True):
        for panel, axes in zip(row, line, strict=True):
            axes.set_xlim(axes.get_xlim())
            axes.set_ylim(axes.get_ylim())
            axes.tick_params(colors=INK)
            if style.labels:
                crowded = len(panel.points) > CROWD
                _label_panel(figure, axes, panel, style.font_size * (0.6 if crowded else 0.85), marker)


def figure(
    name: str, study: Study | None, inputs: Sequence[Path], style: FigureStyle
) -> tuple[Figure, list[str]]:
    """Draw one of these figures; also return a sentence per panel for the terminal."""
    found = study_panels(name, study, inputs) if study else published_panels(name)
    axis = f"FID ({study.study})" if study else "ImageNet FID"
    return draw(found, style, axis), statements(found)


figure1, figure4, figure5 = (partial(figure, name) for name in FID_TABLES)
