"""The table of seeds: how much a method's main scores differ between its trainings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from nanogen.config import Run, Study, metrics, replicates, stages, variants
from nanogen.config.metrics import TAGS
from nanogen.errors import UserError
from nanogen.identity import config_hash
from nanogen.report.columns import column, columns
from nanogen.report.results import Metric, Results
from nanogen.report.rows import Row
from nanogen.report.sample_sets import head
from nanogen.report.table import Table

NAME = "seeds"
TASKS = {"imagenet": "Class-conditional generation with guidance", "t2i": "Text-to-image generation"}
NOTE = (
    "Trainings of one method share data, frozen networks, tokenizers, caches and prompts. They differ "
    "in what the seed decides: initial weights, order and noise of the training, noise of the samples. "
    "SD: standard deviation over the trainings (n - 1); 95 %: Student's interval of their mean."
)


class Measure(NamedTuple):
    """A number of a metric file that has a row in the table."""

    task: str
    metric: str
    key: str

    @property
    def title(self) -> str:
        known = column(self.key)
        assert known is not None
        return f"GenEval, {known.title}" if self.key in TAGS else known.title


OF_TAGS = ("colors", "single_object")  # GenEval tags in the table


def measures(study: Study) -> list[Measure]:
    """The study's main scores, the class accuracy, and some of GenEval's tags."""
    return [
        Measure(task, metric, score.key)
        for task in study.tasks
        for metric in stages.metrics_of(study, task)
        for score in metrics.BY_NAME[metric].scores
        if score.main or score.key in ("accuracy", *OF_TAGS)
    ]


def _sample_sets(results: Results, task: str) -> Iterator[tuple[Run, str, Row]]:
    """The guided sample sets of first trainings, each with the cells that identify its rows."""
    for run in results.runs(task):
        for variant, steps in variants.with_steps(run, variants.GUIDED).items():
            yield run, variant, head(run, steps)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean of two or more trainings' values."""
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def _row(measure: Measure, of: Row, found: list[Metric]) -> Row:
    values = [metric.value(measure.key) for metric in found]
    return {
        **of,
        "task": measure.task,
        "axis": TASKS[measure.task],
        "metric": measure.key,
        "measure": measure.title,
        "seeds": len(values),
        "mean": fmean(values),
        **dict(zip(("mean_low", "mean_high"), interval(values), strict=True)),
        "deviation": stdev(values),
        "minimum": min(values),
        "maximum": max(values),
        "hash": config_hash(sorted(metric.hash for metric in found)),
    }


def table(study: Study, inputs: Iterable[Path] = ()) -> Table:
    """Mean, standard deviation, minimum and maximum over the trainings, per score and method.

    Raises UserError if the study trains each method only once, or a metric file is missing.
    """
    if study.seeds == 1:
        raise UserError(
            f"study {study.study} trains each method once; set seeds, e.g. --config seeds=3, or take "
            "study nano-seeds"
        )
    results = Results(study, inputs)
    numbers = range(1, study.seeds + 1)
    rows: list[Row] = []
    for measure in measures(study):
        for run, variant, of in _sample_sets(results, measure.task):
            names = [replicates.name_of(run.method, number) for number in numbers]
            found = [results.metric(measure.task, name, variant, measure.metric) for name in names]
            if all(measure.key in metric.values for metric in found):  # prompts may lack a tag
                rows.append(_row(measure, of, found))
    made = config_hash(sorted({metric.hash for metric in results.used}))
    return Table(
        name=NAME,
        caption=f"The main scores over {study.seeds} trainings of each method, study {study.study}.",
        columns=columns(
            [
                "name",
                "measure",
                "seeds",
                "mean",
                "mean_low",
                "mean_high",
                "deviation",
                "minimum",
                "maximum",
            ]
        ),
        rows=rows,
        grouped_by="axis",
        notes=[NOTE, f"Study {study.study}, configuration {made}, first seed {study.seed}."],
        identity=("method", "family"),
        more=("task", "metric", "hash"),
    )
