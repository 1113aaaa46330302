"""Compare an entry with the metric files that it was built from."""

from __future__ import annotations

from pathlib import Path

from nanogen.config import variants
from nanogen.errors import UserError
from nanogen.leaderboard.entry import Entry, Measured, Scores
from nanogen.leaderboard.submission import GUIDANCE, images_in
from nanogen.records import record
from nanogen.report.results import Metric, read_metric


def check(found: Entry, results: Path) -> None:
    """Compare an entry with the metric files in ``results``, the study's folder.

    Raises UserError if a file is missing, belongs to another sample set or configuration, contradicts a
    claimed value or protocol, or is not the one that was submitted. If the samples are there too, it
    also raises one if they are not as many as claimed.
    """
    for scores in found.scores:
        for name, measured in scores.metrics.items():
            metric = read_metric(results / measured.file)
            claim = f"{found.method.name}'s entry of study {found.source}"
            _check_set(found, scores, name, metric, claim)
            _check_values(measured, metric, claim)
            _check_count(scores, metric, claim)


def _check_set(found: Entry, scores: Scores, name: str, metric: Metric, claim: str) -> None:
    guidance = GUIDANCE.get(variants.guidance_of(metric.variant))
    wanted = (scores.task, scores.guidance, name)
    is_wanted = (metric.task, guidance, metric.metric) == wanted
    if not (is_wanted and _is_of(found.method.name, metric)):
        raise UserError(
            f"{claim} gives {metric.path} for {name} ({scores.task}, {scores.guidance} guidance), but "
            f"that holds {metric.metric} of {metric.method} on {metric.task} ({metric.variant})"
        )


def _is_of(row: str, metric: Metric) -> bool:
    """Return whether a row of the tables, such as meanflow-nfe2, shows the metric's sample set."""
    method, variant = metric.method, metric.variant
    if steps := variant.removeprefix(variants.guidance_of(variant)):
        return row == method + steps
    if not row.startswith(f"{method}-nfe"):
        return row == method
    # This set has the method's own number of steps, for which no set is named.
    return not (metric.path.parent.parent.parent / f"{variant}{row.removeprefix(method)}").exists()


def _check_count(scores: Scores, metric: Metric, claim: str) -> None:
    samples = metric.path.parent.parent / "samples.h5"
    count = images_in(samples)
    if None not in (count, scores.samples) and count != scores.samples:
        raise UserError(f"{claim} claims {scores.samples} images, but {samples} holds {count}")


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
    if metric.protocol != measured.protocol:
        raise UserError(
            f"{claim} claims the protocol {measured.protocol!r}, but {metric.path} gives "
            f"{metric.protocol!r}"
        )
