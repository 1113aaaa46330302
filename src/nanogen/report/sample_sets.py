"""The sample sets that a study's tables score, and the metric files of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nanogen.config import PublicRun, Run, replicates, variants
from nanogen.config.schema import Task
from nanogen.report.results import Results
from nanogen.report.rows import Row

# part of a method's numbers -> (task, guidance), as in ``entries``
PARTS: dict[str, tuple[Task, str]] = {
    "cfg": ("imagenet", variants.GUIDED),
    "nocfg": ("imagenet", variants.UNGUIDED),
    "t2i": ("t2i", variants.GUIDED),
}


def head(run: Run | PublicRun, steps: int | None) -> Row:
    """The cells that identify a row. A method has a row per number of steps, as in the paper."""
    if isinstance(run, PublicRun) or not run.sampling.more_steps:
        return {"method": run.method, "name": run.title, "family": run.family}
    name = f"{run.title} (NFE={steps})"
    return {"method": f"{run.method}-nfe{steps}", "name": name, "family": run.family}


def sample_sets(results: Results, task: str, guidance: str) -> Iterator[tuple[Run, str, int | None]]:
    """(run, sample set, steps) of every row; those of further seeds follow their method's first."""
    for run in results.trainings(task):
        for variant, steps in variants.with_steps(run, guidance).items():
            yield run, variant, steps


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
            for public in results.public():
                yield SampleSet(public.method, part, public, variants.GUIDED)
        for run, variant, steps in sample_sets(results, task, guidance):
            if replicates.is_first(run.method):
                yield SampleSet(str(head(run, steps)["method"]), part, run, variant)
