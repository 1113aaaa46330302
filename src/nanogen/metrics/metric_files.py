"""Metric files: JSON with the numbers of one sample set and how they were measured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from nanogen.config.entries import named
from nanogen.config.metrics import Metric
from nanogen.config.score_stages import ScoreStage
from nanogen.errors import UserError
from nanogen.files import label, write_json

log = logging.getLogger(__name__)
METRIC = ("metric", 1)
Score = tuple[dict[str, float], str]  # values by name, protocol


def write_metric(
    output: Path,
    stage: ScoreStage,
    metric: str,
    about: Mapping[str, str],
    result: Score,
) -> None:
    """Write one metric's JSON; raises UserError for NaN.

    ``about`` holds method, task, variant and the sample set's identity (`nanogen.data.content`).
    """
    values, protocol = result
    broken = [name for name, value in values.items() if not np.isfinite(value)]
    if broken:
        raise UserError(
            f"{output} is not written, because {', '.join(broken)} is NaN or infinite; check the samples"
        )
    header = label(*METRIC, stage.hash, metric=metric, **about)
    inputs = dict(stage.expects)
    write_json(output, {**header, "values": values, "protocol": protocol, "inputs": inputs})
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    log.info("%s: %s", output, shown)


def measure(metric: Metric) -> Callable[..., Score]:
    """Import the function that an entry of the list of metrics names."""
    return named(metric.function)
