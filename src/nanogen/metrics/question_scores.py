"""DPG-Bench and GenAI-Bench of a sample set, measured by a model that answers questions about images.

Each is measured on its own prompts if the study has them, and otherwise on GenEval's. The chance level
of each is the score of the same images with questions about other images' prompts. Intervals are from a
bootstrap over prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nanogen.config.score_stages import QuestionScoresStage
from nanogen.errors import UserError
from nanogen.metrics import dpg, vqa_score
from nanogen.metrics.benchmark_samples import BenchmarkSamples
from nanogen.metrics.metric_files import write_metric
from nanogen.metrics.vqa_score import Images, VQAModel
from nanogen.prompts.files import GENEVAL
from nanogen.prompts.question_graphs import Graph
from nanogen.prompts.questions import check_complete, item_of, read_questions
from nanogen.statistics.prompts import METHOD, ends, group, interval

OWN, OF_GENEVAL = " of its own", " of GenEval, not of its own"
SHIFTS = 2  # number of other prompts per image for the chance level
Prompts = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SampleSet:
    """The images of some prompts.

    Attributes:
        images: uint8 (N, H, W, 3), possibly read one by one.
        of_image: the index of each image's prompt, int (N,).
        whose: a description of the prompts for the protocol.
    """

    images: Images
    of_image: np.ndarray
    prompts: Prompts
    about: Mapping[str, str]  # method, task, variant
    whose: str = ""

    def shifted(self, by: int) -> SampleSet:
        """Return the same images, each with the prompt ``by`` positions further on."""
        others = (self.of_image + by) % len(self.prompts)
        return replace(self, of_image=others)

    def __str__(self) -> str:
        return f"{len(self.images)} images of {len(self.prompts)} prompts{self.whose}"


def _check_counts(of_image: np.ndarray, prompts: Prompts, each: int, where: str) -> None:
    """Raise UserError unless every prompt has ``each`` images, or the number in its own metadata."""
    counts = Counter(of_image.tolist())
    for index, prompt in enumerate(prompts):
        if counts[index] != (expected := prompt.get("images", each)):
            raise UserError(
                f"{where}: prompt {index} ({prompt['prompt']!r}) has {counts[index]} images, expected "
                f"{expected}; make the samples again"
            )


def read_samples(
    stage: QuestionScoresStage, samples: Path, prompts_file: Path, metric: str
) -> SampleSet:
    """Read the images of the prompts of ``metric`` (``dpg`` or ``genai``), or else of GenEval's prompts.

    Raises UserError if the two files do not belong together.
    """
    judged = BenchmarkSamples(stage.expects, samples, prompts_file, metric, GENEVAL)
    _check_counts(judged.of_image, judged.prompts, stage.images_per_prompt, str(samples))
    whose = OWN if judged.benchmark == metric else OF_GENEVAL
    return SampleSet(judged.images, judged.of_image, judged.prompts, judged.about, whose)


def answers(graph: Graph, samples: SampleSet, model: VQAModel) -> list[tuple[str, np.ndarray]]:
    """Return the item in ``graph`` of every image's prompt, and the answers to the item's questions."""
    items = [item_of(int(place), samples.prompts[place]) for place in samples.of_image]
    asked = [(row, question.text) for row, item in enumerate(items) for question in graph[item]]
    rows, texts = zip(*asked, strict=True)
    said = model.answer(samples.images, np.array(rows), texts).yes
    given = np.split(said, np.cumsum([len(graph[item]) for item in items])[:-1])
    return list(zip(items, given, strict=True))


def shown(samples: SampleSet, model: VQAModel) -> np.ndarray:
    """Return the probability that each image shows its prompt, float64 (N,) in [0, 1]."""
    texts = [vqa_score.question(samples.prompts[place]["prompt"]) for place in samples.of_image]
    return model.answer(samples.images, np.arange(len(texts)), texts).probability


def _shifted(samples: SampleSet, count: int) -> list[SampleSet]:
    """Return up to ``count`` copies of the sample set, shifted by evenly spaced numbers of prompts."""
    total = len(samples.prompts)
    steps = {k * total // (count + 1) for k in range(1, count + 1)} - {0}
    return [samples.shifted(by) for by in sorted(steps)]


class Measure(NamedTuple):
    """A metric.

    Attributes:
        name: the name of its main value.
        what: a description of what is counted.
        values: a function that returns the values and the score of every image in [0, 1], (N,).
    """

    name: str
    what: str
    values: Callable[[SampleSet, VQAModel], tuple[dict[str, float], np.ndarray]]


def _dpg(stage: QuestionScoresStage, samples: SampleSet, questions_file: Path | None) -> Measure:
    if questions_file is None:
        raise UserError("DPG-Bench needs --questions, the file that `nanogen make-questions` writes")
    graph = read_questions(questions_file, stage.expects["questions"])
    check_complete(graph, samples.prompts, str(questions_file))
    count = sum(map(len, graph.values()))

    def values(asked: SampleSet, model: VQAModel) -> tuple[dict[str, float], np.ndarray]:
        said = answers(graph, asked, model)
        return dpg.score(graph, said), dpg.per_image(graph, said)

    return Measure("dpg_bench", f"{count} questions, a no to a parent counts for its children", values)


def _genai(stage: QuestionScoresStage, samples: SampleSet, questions_file: Path | None) -> Measure:
    def values(asked: SampleSet, model: VQAModel) -> tuple[dict[str, float], np.ndarray]:
        probabilities = shown(asked, model)
        return vqa_score.score(asked.prompts, asked.of_image, probabilities), probabilities

    return Measure("genai_bench", "mean P(yes) that the figure shows the prompt", values)


MEASURES = {"dpg": _dpg, "genai": _genai}


def with_interval(name: str, of_images: np.ndarray, samples: SampleSet) -> dict[str, float]:
    """Return the ends of the interval of the mean score of images (N,), if there are several prompts."""
    return ends(name, interval([group(of_images, samples.of_image)], name))


def _measured(measure: Measure, samples: SampleSet, model: VQAModel, shifts: int) -> dict[str, float]:
    """Return the values, and the interval and the chance level of the main one."""
    values, of_images = measure.values(samples, model)
    values |= with_interval(measure.name, of_images, samples)
    by_chance = [measure.values(others, model)[0][measure.name] for others in _shifted(samples, shifts)]
    return values | ({f"chance_{measure.name}": float(np.mean(by_chance))} if by_chance else {})


def score_questions(
    content: Mapping[str, Any],
    samples_file: Path,
    prompts_file: Path,
    questions_file: Path | None,
    models: Mapping[str, VQAModel],
    output: Path,
    shifts: int = SHIFTS,
) -> None:
    """Write dpg.json, genai.json or both, of a ``question_scores`` stage, into the folder ``output``.

    Args:
        content: the stage's JSON.
        questions_file: needed for ``dpg``.
        models: the models that answer, by metric, ``dpg`` or ``genai``.
        shifts: number of other prompts per image for the chance level; 0: no chance level.

    Raises UserError if an input is missing, damaged or made with another configuration, or if images,
    prompts and questions do not belong together.
    """
    stage = QuestionScoresStage.from_json(content)
    for metric, model in models.items():
        samples = read_samples(stage, samples_file, prompts_file, metric)
        measure = MEASURES[metric](stage, samples, questions_file)
        values = _measured(measure, samples, model, shifts)
        protocol = f"{samples}, {measure.what}; {stage.models[metric].name}: {model.protocol}; {METHOD}"
        if shifts:
            protocol += "; chance: the same images, asked about by other images' prompts"
        write_metric(output / f"{metric}.json", stage, metric, samples.about, (values, protocol))
