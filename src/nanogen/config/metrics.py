"""The list of all metrics of sample sets: their names, the numbers they give, and what measures them.

Rules, tables, figures, explorer, leaderboard and provenance are derived from this list. To add a
metric, write an entry here and the function that it names (docs/howto/metrics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from nanogen.config.evaluation_schema import Evaluation
from nanogen.config.schema import Task

Better = Literal["lower", "higher"]
TAGS = {  # GenEval's tags and their column headings
    "single_object": "1 object",
    "two_object": "2 objects",
    "counting": "Counting",
    "colors": "Colors",
    "position": "Position",
    "color_attr": "Attributes",
}


@dataclass(frozen=True)
class Score:
    """A number of a metric file, and the column that shows it.

    Attributes:
        key: its name in the metric file and in tables (CSV). For a metric that gives a number per
            extractor, the name is ``<key>_<extractor>``.
        digits: decimals that are printed.
        better: the direction in which methods are ranked; None: they are not ranked by it.
        group: a heading that it shares with neighbouring columns.
        alone: the heading can be understood without that of its group.
        main: shown by a leaderboard by default; the others only if every column is requested.
        published: the paper's tables contain it.
        detail: placed after the other scores of its task.
        chance: key of its chance level in the same file, which tables print beside it; empty: none.

    The ends of its 95 % interval, if the file has one, are ``<key>_low`` and ``<key>_high``.
    """

    key: str
    heading: str
    digits: int = 3
    better: Better | None = None
    group: str = ""
    alone: bool = False
    main: bool = False
    published: bool = False
    detail: bool = False
    chance: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric of one sample set, which becomes ``metrics/<name>.json``.

    Attributes:
        stage: the function in ``nanogen.config.stages`` that configures it.
        function: ``module:function`` that measures it, for the stages that measure a list of metrics.
            In stage ``distribution`` the function takes feature spaces and ``Options``, in
            ``image_text`` it takes ``BenchmarkSamples`` and the seed.
        needs: the key of ``evaluation`` that a study must set for it to be measured, with dots for one
            of a section; empty: none.
        per_extractor: it gives a number for each of the study's extractors.
        real_images: it needs the features of the real images, not only their moments.
        details: prefixes of the other numbers in its file; tables show those in CSV only.
    """

    name: str
    title: str
    task: Task
    stage: str
    scores: tuple[Score, ...]
    function: str = ""
    needs: str = ""
    per_extractor: bool = False
    real_images: bool = False
    details: tuple[str, ...] = ()

    def is_asked(self, evaluation: Evaluation) -> bool:
        return not self.needs or attrgetter(self.needs)(evaluation) is not None

    def has(self, column: str) -> bool:
        """Whether a column of that name is one of its numbers."""
        if self.per_extractor:
            return any(column.startswith(f"{score.key}_") for score in self.scores)
        return any(column == score.key for score in self.scores)


_SPACES = "nanogen.metrics.feature_spaces:"
METRICS = (
    Metric(
        "fdr", "FDr", "imagenet", "distribution",
        (Score("fdr", "FDr", 2, "lower"),), f"{_SPACES}fdr", per_extractor=True,
    ),
    Metric(
        "mind", "MIND", "imagenet", "distribution",
        (Score("mind", "MIND", 2, "lower"),), f"{_SPACES}mind_scores", per_extractor=True,
        real_images=True,
    ),
    Metric(
        "fid", "FID", "imagenet", "distribution",
        (Score("fid", "FID", 2, "lower", main=True, published=True),), f"{_SPACES}fid",
    ),
    Metric(
        "is", "IS", "imagenet", "distribution",
        (Score("is", "IS", 1, "higher", main=True, published=True),), f"{_SPACES}inception",
    ),
    Metric(
        "sfid", "sFID", "imagenet", "distribution",
        (Score("sfid", "sFID", 2, "lower"),), f"{_SPACES}sfid",
    ),
    Metric(
        "pr", "Precision and recall", "imagenet", "distribution",
        (Score("precision", "Precision", better="higher"), Score("recall", "Recall", better="higher")),
        f"{_SPACES}precision_and_recall", real_images=True,
    ),
    Metric(
        "accuracy", "Class accuracy", "imagenet", "distribution",
        (
            Score("accuracy", "Class acc.", better="higher", chance="accuracy_chance"),
            Score("accuracy_chance", "chance", group="Class acc."),
        ),
        f"{_SPACES}accuracy", needs="classifier", details=("accuracy_",),
    ),
    Metric(
        "geneval", "GenEval", "t2i", "geneval",
        (
            Score("geneval", "GenEval", better="higher", main=True, published=True, chance="chance"),
            Score("chance", "chance", group="GenEval"),
            Score("tag_mean", "mean of tags", better="higher", group="GenEval", detail=True),
            *(
                Score(
                    tag, name, 3, "higher", "GenEval by tag", alone=True, detail=True,
                    chance=f"chance_{tag}",
                )
                for tag, name in TAGS.items()
            ),
        ),
        details=(
            "image_accuracy", "prompt_accuracy", "chance_", "geneval_", *(f"{tag}_" for tag in TAGS),
        ),
    ),
    Metric(
        "dpg", "DPG-Bench", "t2i", "question_scores",
        (
            Score(
                "dpg_bench", "DPG-Bench", better="higher", main=True, published=True,
                chance="chance_dpg_bench",
            ),
            Score("chance_dpg_bench", "chance", group="DPG-Bench"),
        ),
        needs="dpg", details=("dpg_", "chance_dpg_"),
    ),
    Metric(
        "genai", "GenAI-Bench", "t2i", "question_scores",
        (
            Score(
                "genai_bench", "GenAI-Bench", better="higher", main=True, published=True,
                chance="chance_genai_bench",
            ),
            Score("chance_genai_bench", "chance", group="GenAI-Bench"),
        ),
        needs="genai", details=("vqa_score_", "genai_", "chance_genai_"),
    ),
    Metric(
        "simpleeval", "SimpleEval", "t2i", "simpleeval",
        (
            Score("simpleeval", "SimpleEval", better="higher", main=True, chance="simpleeval_chance"),
            Score("simpleeval_chance", "chance", group="SimpleEval"),
        ),
        needs="simpleeval", details=("simpleeval_",),
    ),
    Metric(
        "clip_score", "CLIPScore", "t2i", "clip_score",
        (Score("clip_score", "CLIPScore", 2, "higher"),), needs="clipscore",
    ),
    Metric(
        "fid_coco", "FID on COCO-30k", "t2i", "caption_fid",
        (Score("fid_coco", "FID COCO-30k", 2, "lower"),), needs="captions.coco",
    ),
    Metric(
        "fid_mjhq", "FID on MJHQ-30K", "t2i", "caption_fid",
        (Score("fid_mjhq", "FID MJHQ-30K", 2, "lower"),), needs="captions.mjhq",
    ),
)  # fmt: skip
# The authors' extractors, whose plain mean is FDr-6 and MIND-6.
SIX = ("inception", "convnext", "dinov2", "mae", "siglip", "clip")
OF_SIX = "6"  # suffix of a column for the mean over them
BY_NAME = {metric.name: metric for metric in METRICS}


def title(name: str) -> str:
    """A metric's name as it is printed."""
    return BY_NAME[name].title if name in BY_NAME else name


def of_task(task: Task, evaluation: Evaluation | None = None) -> list[Metric]:
    """A task's metrics, in the order of the tables; with ``evaluation`` only those that it enables."""
    return [
        metric
        for metric in METRICS
        if metric.task == task and (evaluation is None or metric.is_asked(evaluation))
    ]


def of_stage(stage: str, evaluation: Evaluation) -> list[Metric]:
    """The metrics that one stage measures and ``evaluation`` enables."""
    return [metric for metric in METRICS if metric.stage == stage and metric.is_asked(evaluation)]


def spaces(evaluation: Evaluation) -> list[str]:
    """Suffixes of the columns of a metric per extractor: the extractors' names, and `OF_SIX`."""
    named = evaluation.extractors
    return [*named, OF_SIX] if set(SIX) <= set(named) else list(named)


def columns(task: Task, evaluation: Evaluation) -> list[str]:
    """The columns of a task's scores that ``evaluation`` enables, in the order of the tables."""
    found = [
        (score.detail, f"{score.key}_{extractor}" if extractor else score.key)
        for metric in of_task(task, evaluation)
        for score in metric.scores
        for extractor in (spaces(evaluation) if metric.per_extractor else [""])
    ]
    return [key for _, key in sorted(found, key=lambda pair: pair[0])]  # stable


def main_scores(task: Task | None = None, *, published: bool = False) -> list[Score]:
    """The main scores of a task, or of all; with ``published`` only those in the paper's tables."""
    return [
        score
        for metric in METRICS
        for score in metric.scores
        if score.main and task in (None, metric.task) and (score.published or not published)
    ]


def holder(column: str) -> Metric | None:
    """The metric whose file contains the number in a table's column; None if there is none."""
    named = (metric for metric in METRICS if metric.has(column))
    parts = [(len(part), m.name) for m in METRICS for part in m.details if column.startswith(part)]
    return next(named, None) or BY_NAME.get(max(parts, default=(0, ""))[1])
