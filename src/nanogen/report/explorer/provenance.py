"""The sources of a study's numbers: the checked metric files of every row, and their inputs."""

from __future__ import annotations

from typing import Any

from nanogen.config import metrics, stages
from nanogen.files import read_json
from nanogen.report.results import Metric, Results
from nanogen.report.sample_sets import SampleSet


def of_set(results: Results, of: SampleSet) -> list[dict[str, Any]]:
    """Return the name, hash, protocol, inputs and program version of each metric of a sample set.

    Raises UserError if a metric file is missing or was made by another configuration.
    """
    names = stages.metrics_of(results.study, of.run.task)
    return [_described(results.metric(of.run.task, of.run.method, of.variant, n)) for n in names]


def _described(metric: Metric) -> dict[str, Any]:
    content = read_json(metric.path)
    program = ("nanogen", content.get("nanogen"), content.get("commit"))
    return {
        "metric": metrics.title(metric.metric),
        "file": str(metric.path),
        "hash": metric.hash,
        "protocol": metric.protocol,
        "inputs": content.get("inputs", {}),
        "program": " ".join(str(part) for part in program if part),
    }
