"""A study's measured numbers: its metric files, located, checked and read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanogen.config import PublicRun, Run, Study, metrics, own_models, replicates, stages
from nanogen.config.load import public_run, trained_run
from nanogen.config.paths import Paths
from nanogen.config.variants import UNTRAINED
from nanogen.data.content import of_sample_set
from nanogen.errors import UserError
from nanogen.files import check_label, read_json
from nanogen.identity import config_hash
from nanogen.metrics.guidance_choice import Choice, read_choice
from nanogen.report import paper_tables

METRIC = ("metric", 1)
CARD = "nanogen.json"
GUIDANCE = "guidance.json"
TITLES = {"imagenet": "ImageNet", "t2i": "text-to-image"}


@dataclass(frozen=True)
class Metric:
    """One metric file: the numbers of one sample set, and how they were measured."""

    task: str
    method: str
    variant: str
    metric: str
    values: dict[str, float]
    protocol: str
    hash: str
    path: Path
    sample_set: str | None = None  # identifies the images; None in files that do not record it

    def value(self, name: str) -> float:
        """The number called ``name``; raises UserError if it is absent or not finite."""
        number = self.values.get(name)
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise UserError(
                f"{self.path}: {name} is {number!r}, expected a finite number; "
                "delete the file and make it again"
            )
        return float(number)


def read_metric(path: Path | str) -> Metric:
    """Read a metric file; raises UserError if it is missing, of another format or incomplete."""
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a metric file: expected a JSON object")
    check_label(content, path, *METRIC, None)
    try:
        return Metric(
            task=content["task"],
            method=content["method"],
            variant=content["variant"],
            metric=content["metric"],
            values=dict(content["values"]),
            protocol=content.get("protocol", ""),
            hash=content["hash"],
            path=path,
            sample_set=content.get("sample_set"),
        )
    except KeyError as error:
        raise UserError(
            f"{path} lacks {error.args[0]!r}; delete it and make it again with `snakemake {path}`"
        ) from error


def _method(run: Run) -> str:
    return replicates.parsed(run.method)[0]


def trainings_per_method(study: Study) -> str:
    """How many trainings a study makes of each method, in words."""
    if study.seeds == 1:
        return "one training per method"
    return f"{study.seeds} trainings per method: the first uses this seed, the others their own"


class Results:
    """Access to a study's metric files, given as inputs or at their default paths."""

    def __init__(self, study: Study, inputs: Iterable[Path] = ()):
        """Index ``inputs``: metric files, cards of trained models, and guidance chosen by a sweep.

        Raises UserError for a file that is not one of this study's.
        """
        self.study = study
        self.paths = Paths(study)
        self.used: list[Metric] = []
        self._given: dict[tuple[str, ...], Metric] = {}
        self._cards: dict[tuple[str, str], Path] = {}
        self._guidance: dict[str, Path] = {}
        self._sample_sets: dict[Path, str] = {}
        for path in inputs:
            if path.name == CARD:  # .../runs/<task>/<method>/model/nanogen.json
                self._cards[path.parts[-4], path.parts[-3]] = path
                continue
            if path.name == GUIDANCE:  # .../runs/imagenet/<method>/guidance.json
                self._guidance[path.parts[-2]] = path
                continue
            found = read_metric(path)
            if found.method not in (*study.trainings, *study.public) or found.task not in study.tasks:
                raise UserError(
                    f"{path} belongs to {found.method} on {found.task}, which study {study.study} lacks"
                )
            self._given[found.task, found.method, found.variant, found.metric] = found

    def runs(self, task: str) -> list[Run]:
        """The first run of each method on a task, in the order of the paper's tables."""
        return [run for run in self.trainings(task) if replicates.is_first(run.method)]

    def trainings(self, task: str) -> list[Run]:
        """The runs of all seeds on a task, grouped by method."""
        if task not in self.study.tasks:
            raise UserError(
                f"study {self.study.study} has no task {task!r} (its tasks: "
                f"{', '.join(self.study.tasks)}); add it with --config 'tasks=[imagenet,t2i]'"
            )
        runs = [trained_run(self.study, method, task) for method in self.study.trainings]
        families = ("rae", "vae", "pixel", "few-step")
        return sorted(
            runs,
            key=lambda r: (families.index(r.family), paper_tables.rank(_method(r), r.sampling.steps)),
        )

    def public(self) -> list[PublicRun]:
        """The study's public models, in the order of the paper's Table 3."""
        runs = [public_run(self.study, name) for name in self.study.public]
        return sorted(runs, key=lambda run: paper_tables.rank(run.method, table="table3"))

    def _make(self, path: str) -> str:
        study = self.study.study
        return f"`snakemake {path}{'' if study == 'nano' else f' --config study={study}'}`"

    def metric(self, task: str, method: str, variant: str, name: str) -> Metric:
        """One metric of one sample set, measured with this study's configuration.

        Raises UserError if there is none; the message names the file and the command that makes it.
        """
        found = self._given.get((task, method, variant, name))
        if found is None:
            path = self.paths.metric(method, task, variant, name)
            if not Path(path).exists():
                raise UserError(
                    f"{path} does not exist: {name} of {method} on {task} ({variant}) has not been "
                    f"measured; make it with {self._make(path)}"
                )
            found = read_metric(path)
        if (found.task, found.method, found.variant, found.metric) != (task, method, variant, name):
            raise UserError(
                f"{found.path} holds {found.metric} of {found.method} on {found.task} "
                f"({found.variant}), expected {name} of {method} on {task} ({variant})"
            )
        if found.hash != (expected := self._expected(method, variant, name)):
            raise UserError(
                f"{found.path} was made by another configuration: it carries hash {found.hash}, "
                f"study {self.study.study} expects {expected}; make it again with "
                f"{self._make(str(found.path))}"
            )
        self._check_images(found)
        self.used.append(found)
        return found

    def _check_images(self, found: Metric) -> None:
        """Raise UserError if the sample set has changed since it was measured."""
        path = Path(self.paths.samples(found.method, found.task, found.variant))
        if found.sample_set is None or not path.exists():
            return
        if path not in self._sample_sets:
            self._sample_sets[path] = of_sample_set(path)
        if self._sample_sets[path] != found.sample_set:
            raise UserError(
                f"{found.path} was measured on other images than {path} holds now; make it again "
                f"with {self._make(str(found.path))}"
            )

    def _expected(self, method: str, variant: str, name: str) -> str:
        return stages.metric(self.study, method, variant, name)["hash"]

    def card(self, task: str, method: str) -> dict[str, Any]:
        """The card of a trained model; raises UserError if it is missing or belongs to other weights."""
        path = self._cards.get((task, method), Path(self.paths.trained(method, task)))
        if not path.exists():
            raise UserError(
                f"{path} does not exist: {method} has not been trained on {task}; "
                f"make it with {self._make(str(path))}"
            )
        card = read_json(path)
        if card.get("hash") != (expected := stages.trained_model(self.study, method, task)["hash"]):
            raise UserError(
                f"{path} was made by another configuration: it carries hash {card.get('hash')}, "
                f"study {self.study.study} expects {expected}; make it again with "
                f"{self._make(str(path))}"
            )
        return card

    def guidance(self, method: str) -> Choice:
        """The guidance that a sweep chose; raises UserError if missing or from another configuration."""
        path = self._guidance.get(method, Path(self.paths.guidance(method)))
        if not path.exists():
            raise UserError(
                f"{path} does not exist: the guidance of {method} has not been swept; make it with "
                f"{self._make(str(path))}"
            )
        return read_choice(path, stages.guidance(self.study, method)["hash"])

    def protocols(self) -> list[str]:
        """One sentence per protocol, preceded by the metrics that it applies to."""
        by_sentence: dict[str, list[str]] = {}
        for metric in self.used:
            names = by_sentence.setdefault(metric.protocol, [])
            name = metrics.title(metric.metric)
            name += f" {UNTRAINED}" if metric.variant == UNTRAINED else ""
            if name not in names:
                names.append(name)
        return [f"{', '.join(names)}: {text}" for text, names in by_sentence.items() if text]

    def _lengths(self) -> list[str]:
        """A sentence per task on the training length of the runs behind the numbers."""
        sentences = []
        for task in dict.fromkeys(metric.task for metric in self.used):
            own = {metric.method for metric in self.used if metric.task == task}
            lengths = {
                f"{run.training.steps:,} steps of {run.training.batch_size:,}, "
                f"{run.data.resolution}×{run.data.resolution} pixels"
                for run in self.trainings(task)
                if run.method in own and own_models.is_own(self.study, run.method, task)
            }
            if lengths:
                sentences.append(f"Trained on {TITLES[task]}: {'; '.join(sorted(lengths))}.")
        return sentences

    def provenance(self) -> list[str]:
        """Footnotes of a table: the protocols, and a hash of all configurations behind its numbers."""
        study = self.study
        hashes = sorted({metric.hash for metric in self.used})
        return [
            *self.protocols(),
            *self._lengths(),
            f"Study {study.study}, configuration {config_hash(hashes)}, seed {study.seed}, "
            f"{trainings_per_method(study)}.",
        ]
