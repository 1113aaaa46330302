"""The figure of the correlations: r with its interval, one panel per score and one line per question.

The upper lines are for FID and different sets of methods, the lower ones for other ImageNet metrics and
the methods with latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nanogen.config.study_schema import FigureStyle, Study
from nanogen.report import correlations
from nanogen.report.columns import column
from nanogen.report.correlation_words import STRONG, conclusion
from nanogen.report.rows import Row, is_number, number
from nanogen.report.style import FAINT, INK, applied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "correlations"
STEP = 0.16  # distance of a line's two marks from its middle


class Mark(NamedTuple):
    title: str
    colour: str
    marker: str
    offset: float


GUIDANCE = {
    "yes": Mark("with guidance", "#0072B2", "o", STEP),
    "no": Mark("without guidance", "#D55E00", "s", -STEP),
}


@dataclass(frozen=True)
class Line:
    """One line of the figure: its label, and the table's row for each metric and guidance."""

    label: str
    rows: dict[tuple[str, str], Row]


def _label(row: Row) -> str:
    if row["axis"] == "fid":
        return f"{row['name']} ({row['n']})"
    known = column(str(row["axis"]))
    assert known is not None
    return f"{known.title}, −r" if known.better == "higher" else known.title


def lines(rows: Sequence[Row]) -> list[Line]:
    """Lines of the figure: rows for the same question, over all scores, with and without guidance."""
    found: dict[tuple[object, ...], Line] = {}
    for row in rows:
        line = found.setdefault((row["axis"], row["name"]), Line(_label(row), {}))
        line.rows[str(row["metric"]), str(row["guidance"])] = row
    return list(found.values())


def figure(study: Study | None, inputs: Sequence[Path], style: FigureStyle) -> tuple[Figure, list[str]]:
    """The figure and, for the terminal, the conclusion from its first lines."""
    tables = correlations.tables_of(study, inputs)
    of_fid = correlations.rows(correlations.of_fid(tables))
    others = correlations.rows(correlations.of_other_axes(tables))
    first = [row for row in of_fid if row["name"] == of_fid[0]["name"]]
    said = [
        f"{mark.title}: {conclusion(found)}"
        for guidance, mark in GUIDANCE.items()
        if (found := [row for row in first if row["guidance"] == guidance])
    ]
    return draw(lines(of_fid), lines(others), correlations.metrics(tables), style), said


def draw(
    above: Sequence[Line], below: Sequence[Line], metrics: Sequence[str], style: FigureStyle
) -> Figure:
    """Draw both groups of lines; ``style`` gives width and height of the whole figure in inches."""
    with applied(style):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(style.width, style.height), layout="constrained")
        panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
        shown = _known("ImageNet FID, over", above) + _known("Other metrics, over latent space", below)
        places = [-place for place in range(len(shown))]
        for metric, axes in zip(metrics, panels, strict=True):
            _frame(axes, metric)
            for line, y in zip(shown, places, strict=True):
                for guidance in GUIDANCE:
                    if row := line.rows.get((metric, guidance)):
                        _draw(axes, row, y, GUIDANCE[guidance], style.font_size)
        panels[0].set_yticks(places, [line.label for line in shown])
        for line, label in zip(shown, panels[0].get_yticklabels(), strict=True):
            label.set_fontweight("normal" if line.rows else "bold")
        panels[0].set_ylim(min(places) - 0.6, 0.6)
        _legend(figure, style.font_size)
    return figure


def _known(heading: str, found: Sequence[Line]) -> list[Line]:
    """A heading and the lines that have an interval; a coefficient without one is not drawn.

    Returns the heading with a note if there are no such lines.
    """
    known = [line for line in found if any(_has_interval(row) for row in line.rows.values())]
    if known:
        return [Line(heading, {}), *known]
    return [Line(f"{heading.partition(',')[0]}: too few methods", {})] if found else []


def _has_interval(row: Row) -> bool:
    return is_number(row.get("pearson_low"))


def _frame(axes: Axes, metric: str) -> None:
    heading = column(metric)
    assert heading is not None
    axes.set_xlim(-1.05, 1.05)
    axes.set_xticks([-STRONG, 0, STRONG], [f"−{STRONG:g}", "0", f"{STRONG:g}"])
    axes.axvline(0, color=INK, linewidth=0.6, zorder=0)
    for strong in (-STRONG, STRONG):
        axes.axvline(strong, color=FAINT, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0)
    axes.set_title(heading.heading, loc="left", pad=4)
    axes.tick_params(colors=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Pearson's r")


def _draw(axes: Axes, row: Row, y: float, mark: Mark, size: float) -> None:
    """Draw the coefficient, its interval (thin) and its range when one method is left out (thick)."""
    if not _has_interval(row):
        return
    known = column(str(row["axis"]))
    sign = -1 if known and known.better == "higher" else 1
    y += mark.offset
    for low, high, width in (
        ("pearson_low", "pearson_high", 0.8),
        ("without_one_low", "without_one_high", 2.4),
    ):
        if is_number(row.get(low)):
            ends = [sign * number(row, low), sign * number(row, high)]
            axes.plot(ends, [y, y], color=mark.colour, linewidth=width, solid_capstyle="butt", zorder=2)
    axes.plot(
        [sign * number(row, "pearson")],
        [y],
        marker=mark.marker,
        markersize=0.5 * size,
        markerfacecolor=mark.colour if mark.marker == "o" else "white",
        markeredgecolor=mark.colour,
        markeredgewidth=0.8,
        zorder=3,
    )


def _legend(figure: Figure, size: float) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=mark.colour, marker=mark.marker, linewidth=0.8, markersize=0.5 * size,
            markerfacecolor=mark.colour if mark.marker == "o" else "white", label=mark.title,
        )
        for mark in GUIDANCE.values()
    ]  # fmt: skip
    handles.append(Line2D([], [], color=INK, linewidth=0.8, label="95 % interval"))
    handles.append(Line2D([], [], color=INK, linewidth=2.4, label="leaving one method out"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4, handletextpad=0.5)
