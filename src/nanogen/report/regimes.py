"""Are both tasks trained alike? A comparison of each method's training curves on the two tasks.

The paper's claim assumes that the few lines in which both configurations differ do not change the
optimisation. Here loss, gradient norm, learning rate and update size of both runs are compared at equal
fractions of their training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nanogen.config.paths import Paths
from nanogen.config.schema import Task
from nanogen.config.study_schema import FigureStyle, Study
from nanogen.errors import UserError
from nanogen.report.columns import Column
from nanogen.report.results import Results
from nanogen.report.style import applied
from nanogen.report.table import Table
from nanogen.report.training_times import LOOKS, curve_path
from nanogen.training.curve import Line, read_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "regimes"
QUANTITIES = {
    "loss": "Loss",
    "grad_norm": "Gradient norm",
    "learning_rate": "Learning rate",
    "update": "Update size",
}
SHARES = np.linspace(0.05, 1.0, 39)  # fractions of the training; before, both curves rise from zero
NOTE = (
    "Distance: the factor by which the ImageNet and text-to-image curves differ at equal shares of "
    "their training, the mean over the training from 5 % on (exp of the mean absolute difference of "
    "logarithms); 1 is alike. Update size: the change of the weights in a step over their norm."
)


@dataclass(frozen=True)
class Regime:
    """A method's curves: values at the fractions ``SHARES`` of the training, by task and quantity."""

    method: str
    name: str
    family: str
    curves: Mapping[Task, dict[str, np.ndarray]]

    def distance(self, quantity: str) -> float | None:
        """The factor between both tasks' curves, at least 1; None if one lacks the quantity."""
        both = [curve[quantity] for curve in self.curves.values() if quantity in curve]
        if len(both) < 2:
            return None
        logs = [np.log(np.maximum(values, 1e-12)) for values in both]
        return float(np.exp(np.abs(logs[0] - logs[1]).mean()))


def _at_shares(lines: Sequence[Line]) -> dict[str, np.ndarray]:
    steps = np.array([line["step"] for line in lines]) / lines[-1]["step"]
    return {
        quantity: np.interp(SHARES, steps, [line[quantity] for line in lines])
        for quantity in QUANTITIES
        if all(quantity in line for line in lines)
    }


def regimes(study: Study) -> list[Regime]:
    """The methods that were trained on both tasks; raises UserError if there is none."""
    results, paths = Results(study), Paths(study)
    found = []
    for run in results.runs(study.tasks[0]):
        files = {task: curve_path(paths, run.method, task) for task in study.tasks}
        if len(files) == 2 and all(path.exists() for path in files.values()):
            curves = {task: _at_shares(read_curve(path)) for task, path in files.items()}
            found.append(Regime(run.method, run.title, run.family, curves))
    if not found:
        raise UserError(
            f"study {study.study}: no method has training curves on both tasks; train with "
            "`snakemake models`"
        )
    return found


def table(study: Study, inputs: Sequence[Path] = ()) -> Table:
    """The table of the factors between both tasks' curves, per method and quantity."""
    found = regimes(study)
    rows = [
        {
            "method": r.method,
            "name": r.name,
            "family": r.family,
            **{q: r.distance(q) for q in QUANTITIES},
        }
        for r in found
    ]
    shown = [Column(key, title, 2, group="Distance of") for key, title in QUANTITIES.items()]
    return Table(
        name=NAME,
        caption=f"ImageNet and text-to-image training compared, study {study.study}.",
        columns=[Column("name", "Method"), *shown],
        rows=rows,
        notes=[NOTE],
        identity=("method", "family"),
    )


def figure(study: Study, inputs: Sequence[Path], style: FigureStyle) -> tuple[Figure, list[str]]:
    """The figure of both tasks' curves, and a sentence per method on the factors between them."""
    found = regimes(study)
    said = []
    for regime in found:
        distances = [(t, d) for q, t in QUANTITIES.items() if (d := regime.distance(q)) is not None]
        said.append(f"{regime.name}: " + ", ".join(f"{title} {d:.2f}" for title, d in distances))
    return draw(found, style), said


def draw(found: Sequence[Regime], style: FigureStyle) -> Figure:
    """Draw a row of panels per method; ``style.height`` is the height of three rows, in inches."""
    with applied(style):
        from matplotlib.figure import Figure

        height = style.height / 3 * len(found) + 0.5
        figure = Figure(figsize=(style.width, height), layout="constrained")
        grid = figure.subplots(len(found), len(QUANTITIES), squeeze=False, sharex=True)
        for regime, line in zip(found, grid, strict=True):
            for quantity, axes in zip(QUANTITIES, line, strict=True):
                _draw_panel(axes, regime, quantity)
            look = {"rotation": 0, "ha": "right", "va": "center"}
            line[0].set_ylabel(regime.name, fontsize=0.8 * style.font_size, **look)
        for axes, title in zip(grid[0], QUANTITIES.values(), strict=True):
            axes.set_title(title, pad=4)
        figure.supxlabel("share of the training", fontsize=style.font_size)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def _draw_panel(axes: Axes, regime: Regime, quantity: str) -> None:
    for (task, curves), dashes in zip(regime.curves.items(), ("-", (0, (3, 1.5))), strict=False):
        if quantity in curves:
            title, colour, _ = LOOKS[task]
            axes.plot(
                SHARES, curves[quantity], color=colour, linestyle=dashes, linewidth=0.9, label=title
            )
    if not axes.lines:  # logged in neither run
        axes.set_axis_off()
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")  # the default one writes mathematics, which is not parsed
    axes.tick_params(labelsize=5)
    axes.minorticks_off()
