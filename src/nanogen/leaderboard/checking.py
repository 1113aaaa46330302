"""Compare an entry with the metric files that it was built from."""

from __future__ import annotations

from pathlib import Path

from nanogen.config import variants
from nanogen.errors import UserError
from nanogen.leaderboard.entry import Entry, Measured, Scores
from nanogen.leaderboard.submission import GUIDANCE
from nanogen.records import record
from nanogen.report.results import Metric, read_metric


def check(found: Entry, results: Path) -> None:
    """Compare an entry with the metric files in ``results``, the study's folder.

    Raises UserError if a file is missing, belongs to another sample set or configuration, contradicts a
    claimed value, or is not the one that was submitted.
    """
    for scores in found.scores:
        for name, measured in scores.metrics.items():
            metric = read_metric(results / measured.file)
            claim = f"{found.method.name}'s entry of study {found.source}"
            _check_set(found, scores, name, metric, claim)
            _check_values(measured, metric, claim)


def _check_set(found: Entry, scores: Scores, name: str, metric: Metric, claim: str) -> None:
    guidance = GUIDANCE.get(variants.guidance_of(metric.variant))
    method = found.method.name.partition("-nfe")[0]
    wanted = (method, scores.task, scores.guidance, name)
    if (metric.method, metric.task, guidance, metric.metric) != wanted:
        raise UserError(
            f"{claim} gives {metric.path} for {name} ({scores.task}, {scores.guidance} guidance), but "
            f"that holds {metric.metric} of {metric.method} on {metric.task} ({metric.variant})"
        )


def _check_values(measured: Measured, metric: Metric, claim: str) -> None:
    for name, value in measured.values.items():
        given = metric.values.get(name)
        if given != value:
            raise UserError(f"{claim} claims {name} {value!r}, but {metric.path} gives {given!r}")
    if metric.hash != measured.hash:
        raise UserError(
            f"{claim} claims configuration {measured.hash}, but {metric.path} carries {metric.hash}"
        )
    if record.checksums(metric.path)[metric.path.name] != measured.sha256:
        raise UserError(
            f"{claim} was made from another file than {metric.path}: its SHA-256 differs; submit again"
        )
