"""Figure 2 and its table: the duration of training per method and task, from the training curves.

The paper's figure shows the time of 100,000 steps on 32 H200 GPUs, with latents encoded in each step.
The paper gives these numbers only in the figure, so a study's numbers are compared with its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from nanogen.config import cache_choice
from nanogen.config.paths import Paths
from nanogen.config.study_schema import FigureStyle, Study
from nanogen.errors import UserError
from nanogen.report.columns import columns
from nanogen.report.results import Results
from nanogen.report.rows import Row, is_number, number, read_rows
from nanogen.report.style import FAINT, INK, applied
from nanogen.report.table import GROUPS, Table
from nanogen.training.curve import read_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME, FIGURE = "times", "figure2"
STEPS = 100_000  # the paper reports the time of this many steps
LOOKS = {"imagenet": ("ImageNet", "#0072B2", ""), "t2i": ("Text-to-image", "#E69F00", "////")}
PAPER = (
    "The paper on its Figure 2 (Section 2.3): latent-space methods cost about as much as each other, "
    "pixel space is much cheaper on ImageNet, RAEs are marginally faster than VAEs, MeanFlow is much "
    "the slowest; about 10 hours on 32 H200."
)


def curve_path(paths: Paths, method: str, task: str) -> Path:
    """The path of a run's training curve, beside the trained model's card."""
    return Path(paths.trained(method, task)).with_name("train.jsonl")


def _of_run(given: dict[Path, Path], path: Path, task: str) -> Row:
    """Hours per 100,000 steps, from the median interval, which pauses of the machine do not affect."""
    path = given.get(path, path)
    if not path.exists():
        return {}
    lines = read_curve(path)
    starts = [0.0, *(line["step"] for line in lines)]
    paces = [
        line["seconds"] / (line["step"] - start) for start, line in zip(starts, lines, strict=False)
    ]
    return {
        f"{task}_hours": median(paces) * STEPS / 3600,
        f"{task}_steps": int(lines[-1]["step"]),
        f"{task}_seconds": sum(line["seconds"] for line in lines),
    }


def table(study: Study, inputs: Iterable[Path] = ()) -> Table:
    """The time of 100,000 steps of every method on every task; raises UserError without any curve."""
    results = Results(study)
    given = {path: path for path in inputs}
    rows: dict[str, Row] = {}
    for task in study.tasks:
        for run in results.runs(task):
            head: Row = {"method": run.method, "name": run.title, "family": run.family}
            found = _of_run(given, curve_path(results.paths, run.method, task), task)
            rows[run.method] = rows.get(run.method, head) | found
    if not any("_hours" in key for row in rows.values() for key in row):
        path = curve_path(results.paths, study.methods[0], study.tasks[0])
        raise UserError(
            f"{path} does not exist, and no other training curve either; train with `snakemake models`"
        )
    for row in rows.values():
        if is_number(row.get("imagenet_hours")) and is_number(row.get("t2i_hours")):
            row["ratio"] = number(row, "t2i_hours") / number(row, "imagenet_hours")
    tasks = [f"{task}_hours" for task in study.tasks]
    return Table(
        name=NAME,
        caption=f"Wall-clock time of training, study {study.study}: hours per 100,000 steps.",
        columns=columns(["name", *tasks, *["ratio"] * (len(tasks) > 1)]),
        rows=list(rows.values()),
        notes=[
            "From the training curves: the median of their intervals, without evaluations. Ratio: "
            "text-to-image over ImageNet.",
            _encoding_note(study),
            PAPER,
        ],
        identity=("method", "family"),
        more=tuple(f"{task}_{key}" for task in study.tasks for key in ("steps", "seconds")),
    )


def _encoding_note(study: Study) -> str:
    """What is encoded in every step, and is therefore part of the times."""
    encoded = sorted(cache.name for cache in cache_choice.choice(study).encoded())
    if not encoded:
        return "Latents and features are cached: steps do not encode them."
    return f"Not cached, so the steps of the methods that need them encode them: {', '.join(encoded)}."


def figure(study: Study, inputs: Sequence[Path], style: FigureStyle) -> tuple[Figure, list[str]]:
    """The figure from the table of times, and a line per method for the terminal."""
    path = next(iter(inputs), Path(Paths(study).table(NAME)))
    if not path.exists():
        raise UserError(f"{path} does not exist; make it with `snakemake {path}`")
    rows = read_rows(path, needs=("name", "family"))
    tasks = [task for task in LOOKS if any(is_number(row.get(f"{task}_hours")) for row in rows)]
    said = [
        f"{row['name']}: "
        + ", ".join(
            f"{LOOKS[task][0]} {number(row, f'{task}_hours'):.2f} h"
            for task in tasks
            if is_number(row.get(f"{task}_hours"))
        )
        for row in rows
    ]
    return draw(rows, tasks, style), said


def draw(rows: Sequence[Row], tasks: Sequence[str], style: FigureStyle) -> Figure:
    """Draw two bars per method, in the paper's order and grouped by family."""
    with applied(style):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(style.width, style.height), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / len(tasks)
        for place, task in enumerate(tasks):
            title, colour, hatch = LOOKS[task]
            axes.bar(
                [i + (place - (len(tasks) - 1) / 2) * width for i in range(len(rows))],
                [float(row.get(f"{task}_hours") or 0) for row in rows],
                width,
                color=colour,
                edgecolor="white",
                linewidth=0.4,
                hatch=hatch,
                label=title,
            )
        axes.set_xticks(range(len(rows)), [str(row["name"]) for row in rows], rotation=40, ha="right")
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.6, len(rows) - 0.4)
        axes.set_ylabel("hours per 100,000 steps")
        _families(axes, rows, style.font_size)
        figure.legend(loc="outside upper center", ncols=len(tasks))
    return figure


def _families(axes: Axes, rows: Sequence[Row], size: float) -> None:
    """Draw a line between families, and each family's name above its bars."""
    starts = [i for i, row in enumerate(rows) if not i or row["family"] != rows[i - 1]["family"]]
    for start in starts:
        if start:
            axes.axvline(start - 0.5, color=FAINT, linewidth=0.6, linestyle=(0, (3, 2)))
        name = GROUPS.get(str(rows[start]["family"]), "").removeprefix("Latent-space ").strip("()")
        axes.text(
            start - 0.4, 1.0, name, transform=axes.get_xaxis_transform(), ha="left", va="bottom",
            fontsize=0.85 * size, color=INK,
        )  # fmt: skip
