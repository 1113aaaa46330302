"""DPG-Bench (Hu et al. 2024, arXiv 2403.05135): what is made of the answers to its questions.

Which model answers is another matter (`nanogen.metrics.vqa`), and so is where the questions come from
(`nanogen.prompts.question_graphs`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from nanogen.prompts.question_graphs import Graph, Question

Given = Sequence[float] | np.ndarray  # the answers to an item's questions, 1 yes and 0 no


def adjusted(questions: Sequence[Question], answers: Given) -> list[float]:
    """The answers (1 yes, 0 no) with 0 for every question of which a parent has 0.

    Decided in order, on what is adjusted so far: a no passes on to the children of its children, unless
    a question stands before its parent, whose raw answer then counts. A parent that is none of the
    questions counts as yes.
    """
    scores = {q.id: float(answer) for q, answer in zip(questions, answers, strict=True)}
    for question in questions:
        if any(scores.get(parent) == 0 for parent in question.parents):
            scores[question.id] = 0.0
    return [scores[question.id] for question in questions]


def _key(category: str) -> str:
    """``attribute - color`` as part of a value's name: ``attribute-color``."""
    return "-".join(part.strip().replace(" ", "_") for part in category.split("-"))


def score(graph: Graph, answers: Iterable[tuple[str, Given]]) -> dict[str, float]:
    """The metric from the answers of every image: pairs (item, 1 or 0 per question of the item).

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
