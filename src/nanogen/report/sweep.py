"""A guidance sweep: a table of each method's best scale, and a figure of FID against the scale.

The figure has a panel per method, in which the best scale is circled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen.config import Run, variants
from nanogen.config.paths import Paths
from nanogen.config.study_schema import FigureStyle, Study, Sweep
from nanogen.errors import UserError
from nanogen.report.columns import FID_AT, columns
from nanogen.report.results import Results
from nanogen.report.rows import Row, number, read_rows
from nanogen.report.sample_sets import head
from nanogen.report.style import FAMILIES, INK, applied
from nanogen.report.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "sweep"
COLUMNS = 6  # panels in a row


def table(study: Study, inputs: Iterable[Path] = ()) -> Table:
    """Build the table: every method's best guidance scale, its scores, and the FIDs of all scales."""
    results = Results(study, inputs)
    of = study.sweep
    if of is None:
        raise UserError(f"study {study.study} sweeps no guidance: its key sweep is not set")
    rows: list[Row] = []
    swept = [run for run in results.runs("imagenet") if variants.is_swept(run, of)]
    for run in swept:
        choice = results.guidance(run.method)
        fid, score = (results.metric("imagenet", run.method, variants.BEST, n) for n in ("fid", "is"))
        rows.append(
            {
                **head(run, run.sampling.steps),
                "guidance_scale": run.sampling.guidance_scale,
                "best_scale": choice.scale,
                "fid": fid.value("fid"),
                "is": score.value("is"),
                **{f"{FID_AT}{scale:g}": fid for scale, fid in choice.fids.items()},
                "hash": fid.hash,
            }
        )
    tried = [f"{FID_AT}{scale:g}" for scale in of.scales]
    return Table(
        name=NAME,
        caption=f"Guidance on ImageNet, study {results.study.study}: each method's best scale.",
        columns=columns(["name", "guidance_scale", "best_scale", "fid", "is", *tried]),
        rows=rows,
        notes=[*_notes(results, swept, of), *results.provenance()],
        identity=("method", "family"),
        more=("hash",),
    )


def _notes(results: Results, swept: list[Run], of: Sweep) -> list[str]:
    """Notes on how the scales were chosen, and on methods whose best scale may be outside the sweep."""
    low, high = swept[0].sampling.guidance_interval
    notes = [
        f"Best scale: that of the lowest FID at {of.images} images each (FID at scale), guidance on "
        f"[{low}, {high}]. FID and IS: {swept[0].evaluation.images} images at that scale. Scale: that "
        "of the study's other tables.",
    ]
    if edge := [run.title for run in swept if results.guidance(run.method).at_edge]:
        names = ", ".join(edge)
        notes.append(f"{names}: the best scale is the last that was tried; a better one may lie beyond.")
    return notes


@dataclass(frozen=True)
class Curve:
    """One method's FIDs in ascending order of the guidance scale, and the chosen scale."""

    name: str
    family: str
    scales: tuple[float, ...]
    fids: tuple[float, ...]
    best: float

    @property
    def lowest(self) -> float:
        """The FID at the best scale."""
        return self.fids[self.scales.index(self.best)]


def _curve(row: Row) -> Curve:
    points = sorted((float(key.removeprefix(FID_AT)), number(row, key)) for key in row if FID_AT in key)
    scales, fids = zip(*points, strict=True)
    return Curve(str(row["name"]), str(row["family"]), scales, fids, number(row, "best_scale"))


def curves(study: Study, inputs: Sequence[Path] = ()) -> list[Curve]:
    """The curves in a study's sweep table, by default the one at its default path.

    Raises UserError if the table is missing or does not belong to a sweep.
    """
    path = next(iter(inputs), Path(Paths(study).table(NAME)))
    if not path.exists():
        raise UserError(
            f"{path} does not exist; make it with `snakemake sweep`, in a study with a sweep"
        )
    return [_curve(row) for row in read_rows(path, needs=("name", "family", "best_scale"))]


def figure(study: Study, inputs: Sequence[Path], style: FigureStyle) -> tuple[Figure, list[str]]:
    """The figure and, for the terminal, a sentence per method; the paper published no sweep."""
    found = curves(study, inputs)
    said = [f"{c.name}: guidance scale {c.best:g}, FID {c.lowest:.2f}" for c in found]
    return draw(found, style), said


def draw(found: Sequence[Curve], style: FigureStyle) -> Figure:
    """Draw a small panel per method, each with its own range of FIDs, in rows of ``COLUMNS``.

    ``style.width`` is the width of the figure, ``style.height`` the height of two rows, in inches.
    """
    columns = min(COLUMNS, len(found))
    rows = -(-len(found) // columns)
    with applied(style):
        from matplotlib.figure import Figure

        size = (style.width * columns / COLUMNS, style.height / 2 * rows)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for curve, axes in zip(found, panels.flat, strict=False):
            _draw_panel(axes, curve, style.font_size)
        for axes in panels.flat[len(found) :]:
            axes.set_axis_off()
        for column in range(columns):  # only the lowest panel of a column has tick labels
            lowest = panels[(len(found) - 1 - column) // columns, column]
            lowest.tick_params(labelbottom=True)
        figure.supxlabel("guidance scale", fontsize=style.font_size)
        figure.supylabel("FID ↓", fontsize=style.font_size)
    return figure


def _draw_panel(axes: Axes, curve: Curve, size: float) -> None:
    look = FAMILIES[curve.family]
    axes.plot(
        curve.scales,
        curve.fids,
        color=look.colour,
        linewidth=0.9,
        marker=look.marker,
        markersize=0.35 * size,
    )
    axes.plot(
        [curve.best],
        [curve.lowest],
        linestyle="none",
        marker="o",
        markersize=0.9 * size,
        markerfacecolor="none",
        markeredgecolor=INK,
        markeredgewidth=0.8,
    )
    axes.margins(x=0.12, y=0.2)
    axes.locator_params(axis="y", nbins=3)
    axes.set_title(curve.name, loc="left", pad=3, fontsize=0.85 * size)
    axes.tick_params(colors=INK)
