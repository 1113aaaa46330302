"""The metrics that a study asks for, and the stage that measures each."""

from __future__ import annotations

from nanogen.config import metrics
from nanogen.config.load import load_run
from nanogen.config.schema import Task
from nanogen.config.stages.base import Stage
from nanogen.config.stages.runs import distribution
from nanogen.config.stages.text_to_image import geneval, image_text, question_scores, simpleeval
from nanogen.config.study_schema import Study

_MAKE = (distribution, geneval, question_scores, simpleeval, image_text)
_STAGES = {make.__name__: make for make in _MAKE}


def metrics_of(study: Study, task: Task) -> list[str]:
    """Names of the metric files of a task's sample sets."""
    evaluation = load_run(study, study.methods[0], task).evaluation
    return [metric.name for metric in metrics.of_task(task, evaluation)]


def metric(study: Study, method: str, variant: str, name: str) -> Stage:
    """The stage that measures a metric of one sample set."""
    return _STAGES[metrics.BY_NAME[name].stage](study, method, variant)
