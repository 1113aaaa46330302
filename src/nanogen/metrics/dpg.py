"""DPG-Bench (Hu et al. 2024, arXiv 2403.05135): the score from answers to its questions.

The models that answer are in `nanogen.metrics.vqa`, the questions in `nanogen.prompts.question_graphs`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from nanogen.prompts.question_graphs import Graph, Question

Given = Sequence[float] | np.ndarray  # the answers to an item's questions, 1 yes and 0 no


def adjusted(questions: Sequence[Question], answers: Given) -> list[float]:
    """Return the answers (1 yes, 0 no), with 0 for every question that has a parent answered with 0.

    Questions are processed in order, using the answers adjusted so far. A no therefore also applies to
    indirect children; but for a question that precedes its parent, the parent's raw answer counts.
    A parent that is missing among the questions counts as yes.
    """
    scores = {q.id: float(answer) for q, answer in zip(questions, answers, strict=True)}
    for question in questions:
        if any(scores.get(parent) == 0 for parent in question.parents):
            scores[question.id] = 0.0
    return [scores[question.id] for question in questions]


def _key(category: str) -> str:
    """Convert a category to a part of a name: ``attribute - color`` becomes ``attribute-color``."""
    return "-".join(part.strip().replace(" ", "_") for part in category.split("-"))


def per_image(graph: Graph, answers: Iterable[tuple[str, Given]]) -> np.ndarray:
    """Return the mean adjusted answer of every image, in [0, 1], (N,)."""
    return np.array([np.mean(adjusted(graph[item], given)) for item, given in answers])


def score(graph: Graph, answers: Iterable[tuple[str, Given]]) -> dict[str, float]:
    """Compute the metric from pairs (item, 1 or 0 for each question of the item), one per image.

    ``dpg_bench``: mean over images of the mean adjusted answer.
    ``dpg_<category>``: mean of the raw answers of all questions of a broad (``dpg_attribute``) or
    detailed category (``dpg_attribute-color``). All in [0, 1].
    """
    adjusted_means: list[float] = []
    by_category = defaultdict(list)
    for item, given in answers:
        questions = graph[item]
        adjusted_means.append(float(np.mean(adjusted(questions, given))))
        for question, answer in zip(questions, given, strict=True):
            for category in dict.fromkeys((question.group, question.category)):
                by_category[f"dpg_{_key(category)}"].append(float(answer))
    return {
        "dpg_bench": float(np.mean(adjusted_means)),
        **{name: float(np.mean(by_category[name])) for name in sorted(by_category)},
    }
