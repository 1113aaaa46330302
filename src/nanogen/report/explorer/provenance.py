"""Where a study's numbers come from: the metric files of every row, checked, and their inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from nanogen.config import PublicRun, Run, replicates, stages, variants
from nanogen.files import read_json
from nanogen.report.collect import NAMES, Metric, Results
from nanogen.report.measured import head, sample_sets

# part of a method's numbers -> (task, guidance), as in ``entries``
PARTS = {
    "cfg": ("imagenet", variants.GUIDED),
    "nocfg": ("imagenet", variants.UNGUIDED),
    "t2i": ("t2i", variants.GUIDED),
}


class SampleSet(NamedTuple):
    """The images behind one part of a row."""

    row: str
    part: str
    run: Run | PublicRun
    variant: str


def shown_sets(results: Results) -> Iterator[SampleSet]:
    """Every sample set of a first training that the study's Tables 2 to 4 score."""
    for part, (task, guidance) in PARTS.items():
        if task not in results.study.tasks:
            continue
        if task == "t2i":
            for run in results.public():
                yield SampleSet(run.method, part, run, variants.GUIDED)
        for run, variant, steps in sample_sets(results, task, guidance):
            if replicates.is_first(run.method):
                yield SampleSet(str(head(run, steps)["method"]), part, run, variant)


def metrics_of(results: Results, of: SampleSet) -> tuple[str, ...]:
    """Names of the metric files of one sample set."""
    if of.run.task == "imagenet":
        return stages.image_metrics(results.study)
    simple = ("simpleeval",) if of.run.evaluation.simpleeval else ()
    return ("geneval", *stages.answering(results.study), *simple)


def of_set(results: Results, of: SampleSet) -> list[dict[str, Any]]:
    """Name, hash, protocol, inputs and program of each metric; raises UserError where one is missing
    or of another configuration."""
    names = metrics_of(results, of)
    return [_described(results.metric(of.run.task, of.run.method, of.variant, n)) for n in names]


def _described(metric: Metric) -> dict[str, Any]:
    content = read_json(metric.path)
    program = ("nanogen", content.get("nanogen"), content.get("commit"))
    return {
        "metric": NAMES.get(metric.metric, metric.metric),
        "file": str(metric.path),
        "hash": metric.hash,
        "protocol": metric.protocol,
        "inputs": content.get("inputs", {}),
        "program": " ".join(str(part) for part in program if part),
    }
