"""The list of all tables and figures: names, the studies that have them, inputs, and functions.

Rules, commands, explorer, provenance and the summary in the terminal are derived from this list. To add
a figure, write an entry here and the function that it names (docs/howto/tables.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nanogen.config import Run, Study, stages, variants
from nanogen.config.paths import Paths
from nanogen.config.schema import Task
from nanogen.errors import UserError, nearest
from nanogen.report.artefact_files import (
    choices,
    curves,
    measured_tokenizers,
    prompts,
    reconstructed_images,
    reconstructions,
    runs,
    seeds_metrics,
    shown_samples,
    sizes,
    swept,
)
from nanogen.report.paper_tables import reproduced_variant

SAMPLED: dict[Task, tuple[str, ...]] = {
    "imagenet": (variants.GUIDED, variants.UNGUIDED),
    "t2i": (variants.GUIDED,),
}


@dataclass(frozen=True)
class Scores:
    """The sample sets that a table scores.

    Attributes:
        guidance: guidance of the sample sets in the table's rows; empty: as in Table 1 for each run.
        beside: guidance of further sample sets that the table reads.
        metrics: names of the metric files; empty: all of the task's metrics.
    """

    task: Task
    guidance: tuple[str, ...]
    beside: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


def _always(study: Study) -> bool:
    return True


def _nothing(study: Study) -> list[str]:
    return []


@dataclass(frozen=True)
class Artefact:
    """A table or a figure.

    Attributes:
        title: its heading in the terminal.
        function: ``module:function`` that builds it from a study (None: the paper's numbers) and files;
            a figure's function also takes its style. The command imports it, so its module may import
            this one.
        published: how it is obtained from the paper's numbers: ``copied`` from config/published, or
            ``made``; empty: not at all.
        unpublished: the reason why it cannot be built from the paper's numbers.
        scores: the sample sets that a table of metric files scores.
        tables: the tables that it is built from.
        some: whether some of ``tables`` are enough.
        has: a further condition on the study, in addition to those of ``scores`` and ``tables``.
        files: further files that it reads.
    """

    kind: Literal["table", "figure"]
    name: str
    title: str
    function: str
    published: Literal["", "copied", "made"] = ""
    unpublished: str = ""
    scores: Scores | None = None
    tables: tuple[str, ...] = ()
    some: bool = False
    has: Callable[[Study], bool] = _always
    files: Callable[[Study], list[str]] = _nothing

    def is_of(self, study: Study) -> bool:
        """Whether the study has it."""
        if self.scores and not self._scored(study, self.scores):
            return False
        needed = [TABLES[name].is_of(study) for name in self.tables]
        return (self.some or all(needed)) and self.has(study)

    def inputs(self, study: Study) -> list[str]:
        """The files that it is built from: tables, metric files, others."""
        paths = Paths(study)
        made_of = [paths.table(name) for name in self.tables if TABLES[name].is_of(study)]
        return made_of + self.files(study) + self.metric_files(study)

    def metric_files(self, study: Study) -> list[str]:
        """The metric files that it reads; for Table 3 those of public models come first."""
        if self.scores is None:
            return []
        names = self.scores.metrics or stages.metrics_of(study, self.scores.task)
        at = Paths(study)
        sets = self.sample_sets(study)
        return [at.metric(method, self.scores.task, v, name) for method, v in sets for name in names]

    def sample_sets(self, study: Study) -> list[tuple[str, str]]:
        """(method, sample set) of every set that it reads."""
        return self._scored(study, self.scores, *self.scores.beside) if self.scores else []

    @staticmethod
    def _scored(study: Study, scores: Scores, *beside: str) -> list[tuple[str, str]]:
        """(method, sample set) of the sets in the rows, and of those with the guidance ``beside``."""
        public = study.public if scores.task == "t2i" and "t2i" in study.tasks else []
        found = [(name, variants.GUIDED) for name in public]
        if scores.guidance == (variants.BEST,):
            return [(run.method, variants.BEST) for run in swept(study)]
        for run in runs(study, scores.task):
            for guidance in (*(scores.guidance or shown_guidance(study, run)), *beside):
                found += [(run.method, variant) for variant in variants.with_steps(run, guidance)]
        return found


def shown_guidance(study: Study, run: Run) -> tuple[str, ...]:
    """The sample sets of a run that a study shows; in a reproduction the one that Table 1 scores."""
    return (reproduced_variant(run),) if study.report.reproduction else SAMPLED[run.task]


def _reproduces(study: Study) -> bool:
    return study.report.reproduction


def _compares(study: Study) -> bool:
    """Whether the study's methods have the same size and schedule, so that they can be compared."""
    return not study.report.reproduction


def _trains_both(study: Study) -> bool:
    return bool(curves(study)) and set(study.tasks) == set(SAMPLED)


def _has_both_axes(study: Study) -> bool:
    """Whether the study has Tables 2 and 3; Table 4 can be missing."""
    return TABLES["table2"].is_of(study) and TABLES["table3"].is_of(study)


_MEASURED = ("table2", "table3", "table4")
_TABLES = (
    Artefact(
        "table", "table1", "Table 1: known methods, reported, reproduced and measured",
        "nanogen.report.study_tables:reproduction", "copied",
        scores=Scores("imagenet", (), metrics=("fid", "is")), files=sizes("imagenet"), has=_reproduces,
    ),
    Artefact(
        "table", "table2", "Table 2: class-conditional generation with guidance",
        "nanogen.report.study_tables:with_guidance", "copied",
        scores=Scores("imagenet", (variants.GUIDED,), (variants.UNTRAINED,)), has=_compares,
    ),
    Artefact(
        "table", "table3", "Table 3: text-to-image generation",
        "nanogen.report.study_tables:text_to_image", "copied",
        scores=Scores("t2i", (variants.GUIDED,)), files=sizes("t2i"), has=_compares,
    ),
    Artefact(
        "table", "table4", "Table 4: class-conditional generation without guidance",
        "nanogen.report.study_tables:without_guidance", "copied",
        scores=Scores("imagenet", (variants.UNGUIDED,), (variants.UNTRAINED,)), has=_compares,
    ),
    Artefact(
        "table", "correlations", "Correlations of FID with text-to-image scores",
        "nanogen.report.correlation_tables:statistics", "made", tables=_MEASURED, some=True,
        has=_has_both_axes,
    ),
    Artefact(
        "table", "sensitivity", "Correlations by other choices",
        "nanogen.report.correlation_tables:sensitivity", "made", tables=_MEASURED, some=True,
        has=_has_both_axes,
    ),
    Artefact(
        "table", "influence", "Correlations without each method",
        "nanogen.report.correlation_tables:influence", "made", tables=_MEASURED, some=True,
        has=_has_both_axes,
    ),
    Artefact(
        "table", "times", "Figure 2: hours of training per 100,000 steps",
        "nanogen.report.training_times:table", has=lambda study: bool(curves(study)), files=curves,
    ),
    Artefact(
        "table", "regimes", "Regimes: are both tasks trained alike?",
        "nanogen.report.regimes:table", has=_trains_both, files=curves,
    ),
    Artefact(
        "table", "claims", "The paper's claims: does the study bear them out?",
        "nanogen.claims.table:table", "made",
        tables=("table1", *_MEASURED, "times"), some=True, files=prompts,
    ),
    Artefact(
        "table", "sweep", "Sweep: each method's best guidance scale",
        "nanogen.report.sweep:table",
        scores=Scores("imagenet", (variants.BEST,), metrics=("fid", "is")), files=choices,
        has=lambda study: bool(swept(study)),
    ),
    Artefact(
        "table", "tokenizers", "Tokenizers: reconstructions of validation images",
        "nanogen.report.tokenizers:table", files=reconstructions,
        has=lambda study: bool(measured_tokenizers(study)),
    ),
    Artefact(
        "table", "seeds", "Seeds: how far trainings of one method differ",
        "nanogen.report.seeds:table", files=seeds_metrics, has=lambda study: study.seeds > 1,
    ),
)  # fmt: skip
_FIGURES = (
    Artefact(
        "figure", "overview", "samples of every method on both tasks",
        "nanogen.report.overview:figure", files=shown_samples,
    ),
    Artefact(
        "figure", "figure1", "does a better ImageNet FID mean a better text-to-image score?",
        "nanogen.report.scatter_figures:figure1", "made", tables=("table2", "table3"),
    ),
    Artefact(
        "figure", "figure2", "hours of training per 100,000 steps",
        "nanogen.report.training_times:figure", tables=("times",),
        unpublished="the paper's Figure 2 is an image without numbers, so it cannot be redrawn",
    ),
    Artefact(
        "figure", "figure4", "as Figure 1, with pixel space, without and with guidance",
        "nanogen.report.scatter_figures:figure4", "made", tables=_MEASURED,
    ),
    Artefact(
        "figure", "figure5", "as Figure 1, without guidance",
        "nanogen.report.scatter_figures:figure5", "made", tables=("table3", "table4"),
    ),
    Artefact(
        "figure", "correlations", "every correlation with its interval",
        "nanogen.report.correlation_figure:figure", "made", tables=_MEASURED, some=True,
        has=_has_both_axes,
    ),
    Artefact(
        "figure", "regimes", "the training curves of both tasks",
        "nanogen.report.regimes:figure", tables=("regimes",),
    ),
    Artefact(
        "figure", "sweep", "FID at every guidance scale",
        "nanogen.report.sweep:figure", tables=("sweep",), unpublished="the paper published no sweep",
    ),
    Artefact(
        "figure", "tokenizers", "images reconstructed by each tokenizer",
        "nanogen.report.reconstructions:figure", tables=("tokenizers",), files=reconstructed_images,
        unpublished="the paper published no reconstructions",
    ),
)  # fmt: skip
TABLES = {artefact.name: artefact for artefact in _TABLES}
FIGURES = {artefact.name: artefact for artefact in _FIGURES}


def check_styles(study: Study) -> None:
    """Raise UserError if the study's key ``report.figures`` names a figure that does not exist."""
    for name in study.report.figures:
        if name not in FIGURES:
            raise UserError(
                f"study {study.study}: report.figures has no figure {name!r}{nearest(name, FIGURES)}"
            )


def table_of(task: Task, guidance: str) -> str:
    """The table whose rows are a task's sample sets with this guidance."""
    return next(
        name
        for name, artefact in TABLES.items()
        if artefact.scores and (artefact.scores.task, artefact.scores.guidance) == (task, (guidance,))
    )
